"""Train ChestX-ray8's network in folds of patients, and score each image by one that never saw it.

``python -m tests.bench.reader_folds FOLDER OUT --device cuda`` on a folder with ``MANIFEST.csv``
(image_id, path, finding_labels) and its images: the demonstration of docs/reader-training.md.
Writes ``scores.csv``, ``curves.csv`` and ``auc.csv``.
"""

import argparse
import csv
from pathlib import Path

import cv2
import numpy as np

from upscale_audit.reading.chestxray8_network import NetworkDesign
from upscale_audit.reading.discrimination import measure_discrimination
from upscale_audit.reading.splits import place_patient
from upscale_audit.reading.training import (
    LabelledImages,
    TrainingParameters,
    compute_logits,
    train_network,
)

FOLDS = 5
"""Of patients: three are trained on, one chooses the epoch, one is scored."""
RUNS = (("lse", 0), ("average", 0), ("max", 0), ("lse", 1), ("lse", 2), ("lse", 3))
"""Pooling, and the seed of training and of folds."""


def main():
    """Run every training and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reader_folds", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="tf32", help="float32 on a processor")
    parser.add_argument("--trunk", type=int, default=50)
    parser.add_argument("--width", type=int, default=64, help="of the trunk's first layer")
    parser.add_argument("--input-px", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    patients, findings, images, labels = read_images(options.folder, options.input_px)
    scores, curves, areas = [], [], []
    for pooling, seed in RUNS:
        key = {"trunk": options.trunk, "pooling": pooling, "seed": seed}
        design = NetworkDesign(options.trunk, pooling, 10.0, len(findings), options.width)
        parameters = TrainingParameters(
            epochs=options.epochs, patience=0, precision=options.precision, seed=seed
        )
        folds = np.array([int(place_patient(patient, seed) * FOLDS) for patient in patients])
        ranks, course = score_folds(design, parameters, images, labels, folds, options.device)
        curves += [key | row for row in course]
        scores += [
            key | {"patient": patient, "finding": finding, "fold_rank": rank}
            for patient, row in zip(patients, ranks, strict=True)
            for finding, rank in zip(findings, row, strict=True)
        ]
        areas += [key | row for row in measure(findings, patients, labels, ranks)]
        print(areas[-1], flush=True)
        for name, rows in (("scores", scores), ("curves", curves), ("auc", areas)):
            write(options.out / f"{name}.csv", rows)


def read_images(folder, side_px):
    """Read the images of a manifest.

    Returns
    -------
    patients, findings : list of str
    images : (N, P, P) uint8 array
    labels : (N, C) bool array
    """
    with (folder / "MANIFEST.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images = []
    for row in rows:
        image = cv2.imread(str(folder / row["path"]), cv2.IMREAD_GRAYSCALE)
        images.append(cv2.resize(image, (side_px, side_px), interpolation=cv2.INTER_AREA))
    said = [set(row["finding_labels"].split("|")) for row in rows]
    findings = sorted(set().union(*said) - {"No Finding"})
    labels = np.array([[name in found for name in findings] for found in said])
    return [row["image_id"].split("_")[0] for row in rows], findings, np.stack(images), labels


def score_folds(design, parameters, images, labels, folds, device):
    """Train once a fold; the ranks within its fold of each image's scores, and the curves."""
    ranks, curves = np.empty(labels.shape), []
    for fold in range(FOLDS):
        scored, stops = folds == fold, folds == (fold + 1) % FOLDS
        trained = ~scored & ~stops
        network, curve = train_network(
            design,
            LabelledImages(images[trained], labels[trained]),
            LabelledImages(images[stops], labels[stops]),
            parameters,
            device,
        )
        logits = compute_logits(network.to(device), images[scored], device)
        ranks[scored] = np.stack([rank(column) for column in logits.T], axis=1)
        curves += [{"fold": fold} | row for row in curve]
    return ranks, curves


def rank(scores):
    """Midranks in 0..1: each fold has a network of its own, whose scores stand on another scale."""
    below = (scores[:, None] > scores[None]).sum(axis=1)
    equal = (scores[:, None] == scores[None]).sum(axis=1)
    return (below + (equal + 1) / 2) / (len(scores) + 1)


def measure(findings, patients, labels, ranks):
    """Area under the ROC curve of each finding, and of all together."""
    rows = [
        {"finding": name} | vars(measure_discrimination(labels[:, at], ranks[:, at], patients))
        for at, name in enumerate(findings)
    ]
    repeated = [patient for patient in patients for _ in findings]
    pooled = measure_discrimination(labels.ravel(), ranks.ravel(), repeated)
    return [*rows, {"finding": "pooled"} | vars(pooled)]


def write(path, rows):
    """Write rows as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
