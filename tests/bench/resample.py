"""Studies of any size, resampled from the real blocks of the benchmark's eight images.

A new image is 16x16 tiles of 8x8 blocks (64x64 px), each drawn from the real tiles that lie at
the same place of their image (inside, at a side, in a corner), so that neighbours, frame and
block phases stay real. The same tiles are drawn for the reference and for every restored image.
An image prefers dark or bright, flat or rich tiles: its patient's taste, and some of its own.
What an image holds depends on its name only, so a small study is the beginning of a large one.
"""

import csv
import functools
import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.bench.scenes import MODELS
from upscale_audit.ingest.boxes import read_boxes
from upscale_audit.ingest.files import canonical_json, hash_file, hash_json, write_text
from upscale_audit.ingest.labels import read_entries
from upscale_audit.ingest.lr import NO_FACTS
from upscale_audit.ingest.manifests import describe_code
from upscale_audit.ingest.metrics.declared import round_published
from upscale_audit.ingest.pairing import Pair, Pairing
from upscale_audit.ingest.run import IMAGES_PER_UNIT, _small_tables, _write_tables, finish_tables
from upscale_audit.ingest.schema import ROUNDED_NAMES
from upscale_audit.ingest.study import INFERENCE_PATHS, load_study
from upscale_audit.ingest.units import Unit, _ShardWriter
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.ingest.windows import NO_DISPLAY

SIDE_PX, BLOCKS, TILE = 1024, 128, 8
"""Side of an image in pixels and in blocks, and of a tile in blocks."""

TILES = BLOCKS // TILE
BLOCKS_PER_IMAGE = BLOCKS * BLOCKS
SEED = 20_170_912
PATIENT_TASTE, IMAGE_TASTE = 0.6, 0.4
"""Spread over patients, and over a patient's images, of the log odds of a tile that is one
standard deviation brighter or richer."""

FINDINGS = {
    "Infiltration": 0.177,
    "Effusion": 0.119,
    "Atelectasis": 0.103,
    "Nodule": 0.056,
    "Mass": 0.052,
    "Pneumothorax": 0.047,
    "Cardiomegaly": 0.025,
    "Pneumonia": 0.013,
}
"""Share of ChestX-ray8 images with each of the findings that have boxes."""

BOXED_SHARE = 0.1
"""Share of images with findings that have boxes: more than ChestX-ray8, so small studies do."""


@dataclass(frozen=True)
class Pool:
    """Real rows to draw from.

    Attributes
    ----------
    blocks : dict of str to pyarrow.Table
        By model; rows by image, block row and block column.
    metrics : list of dict
        One per image: the metrics by model and inference path.
    places : dict
        Tile numbers by place: first, inside or last (0, 1, 2), down and across.
    marks : (tiles, 2) ndarray
        Mean grey and mean log spread of a tile of the reference, standardised.
    """

    blocks: dict
    metrics: list
    places: dict
    marks: np.ndarray


def resample_study(source, root, images, workers=None, models=MODELS, labelled=0):
    """Write a study of resampled images, ready to be built; what is there already is kept.

    Parameters
    ----------
    source : ingest.study.Study
        The benchmark's study, ingested.
    root : Path
        Receives ``study.toml``, label files, and ``raw/`` as ingest would have written it.
    images : int
    workers : int, optional
        Processes; all cores by default. No byte depends on it.
    models : tuple of str
    labelled : int
        Images that the label files name, where those are more.

    Returns
    -------
    ingest.study.Study
    """
    names = name_images(images)
    study = _write_study_file(root, name_images(max(images, labelled)), models)
    manifests = [json.loads(path.read_text()) for path in (study.raw / "units").glob("*.json")]
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        jobs = [
            pool.submit(_write_unit, source.raw, study, *unit)
            for unit in _plan_units(names, models, manifests)
        ]
        manifests += [job.result() for job in jobs]
    manifests.sort(key=lambda manifest: manifest["unit_id"])
    pairs = tuple(
        Pair(name, model_id, path, "matched", "exact", study.references / f"{name}.png")
        for name in names
        for model_id in models
        for path in INFERENCE_PATHS
    )
    labels = {
        "labels": read_entries(study.label_entries),
        "boxes": read_boxes(study.label_boxes),
        "published_results": [],
        "published_locations": [],
        "published_comparisons": [],
        "published_block_files": [],
    }
    tables = _small_tables(Pairing({}, pairs, ()), manifests, None) | labels
    tables = finish_tables(study, tables, manifests)
    sums = {
        f"{name}/{path.name}": hash_file(path)
        for name, path in (("labels", study.label_entries), ("boxes", study.label_boxes))
    }
    _write_tables(study, manifests, tables, None, sums, Journal(study.output, "raw"))
    return study


def _plan_units(names, models, manifests):
    """Yield images and models of the units that are not there, images in their order."""
    missing = {name: set(models) for name in names}
    for manifest in manifests:
        for name in manifest["images"]:
            missing[name] -= set(manifest["models"])
    for wanted in sorted({tuple(sorted(item)) for item in missing.values() if item}):
        images = tuple(name for name in names if missing[name] == set(wanted))
        for begin in range(0, len(images), IMAGES_PER_UNIT):
            yield images[begin : begin + IMAGES_PER_UNIT], wanted


def name_images(count):
    """Name images as ChestX-ray8 does: patient and follow-up; a patient has 1 to 12 images."""
    names, patient = [], 0
    while len(names) < count:
        patient += 1
        draw = np.random.default_rng([SEED, patient]).geometric(0.4)
        names += [f"{patient:08d}_{follow_up:03d}" for follow_up in range(min(int(draw), 12))]
    return tuple(names[:count])


def _write_study_file(root, names, models):
    """Write the study file, its empty image folders and its label files."""
    lines = ["[study]", 'name = "resampled"', 'references = "reference"']
    folders = ["reference"]
    for model_id in models:
        lines += ["[[models]]", f'model_id = "{model_id}"']
        for path in INFERENCE_PATHS:
            folders.append(f"restored/{model_id}/{path}")
            lines.append(f'{path} = "{folders[-1]}"')
    lines += ["[labels]", 'entries = "Data_Entry_2017.csv"', 'boxes = "BBox_List_2017.csv"']
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "study.toml").write_text("\n".join(lines) + "\n")
    _write_labels(root, names)
    return load_study(root / "study.toml")


def _write_labels(root, names):
    """Write findings and boxes as ChestX-ray8's files have them."""
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender"
    entries = [[*header.split(","), "View Position"]]
    boxes = [["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"]]
    for name in names:
        patient, follow_up = map(int, name.split("_"))
        person = np.random.default_rng([SEED, patient, 1])
        age, sex = int(person.integers(18, 90)), "MF"[person.integers(2)]
        draw = np.random.default_rng([SEED, patient, 1, follow_up])
        found = [finding for finding, share in FINDINGS.items() if draw.random() < share]
        view = "PA" if draw.random() < 0.6 else "AP"
        text = "|".join(found) or "No Finding"
        entries.append([f"{name}.png", text, follow_up, patient, age, sex, view])
        if found and draw.random() < BOXED_SHARE:
            for finding in found:
                left, top = draw.uniform(100, 600, 2).round(3)
                width, height = draw.uniform(60, 320, 2).round(3)
                boxes.append([f"{name}.png", finding, left, top, width, height])
    for file_name, rows in (("Data_Entry_2017.csv", entries), ("BBox_List_2017.csv", boxes)):
        with open(root / file_name, "w", newline="") as file:
            csv.writer(file).writerows(rows)


def _write_unit(source_raw, study, names, models):
    """Write the shards of some images as ingest writes them; the unit's manifest."""
    pool = read_pool(source_raw)
    unit = Unit(study.raw, names, models, {}, study.ingest_parameters)
    writers = [_ShardWriter(unit, model_id) for model_id in models]
    for name in names:
        rows = draw_rows(pool, name)
        for writer in writers:
            drawn = place_rows(pool.blocks[writer.model_id].take(rows), name, writer.schema)
            for batch in drawn.to_batches():
                writer.add(batch)
    inputs = [item for name in names for item in _describe_inputs(name, models)]
    manifest = {
        "unit_id": unit.unit_id,
        "recipe": unit.recipe,
        "code": describe_code("ingest"),
        "images": list(names),
        "models": list(models),
        "shards": [writer.finish() for writer in writers],
        "patch_shards": [],
        "inputs": [
            {"key": list(item.values())[:5], "file_sha256": item["file_sha256"]} for item in inputs
        ],
        "image_facts": [_describe_image(name) for name in names],
        "source_files": inputs,
        "image_metrics": [
            row for name in names for row in mix_metrics(pool, name) if row["model_id"] in models
        ],
        "rejects": [],
    }
    manifest["content_sha256"] = hash_json(manifest)
    write_text(unit.manifest_path, canonical_json(manifest) + "\n")
    return manifest


@functools.cache
def read_pool(raw):
    """Read the rows to draw from; every image must have 128x128 whole blocks."""
    blocks = {}
    for model_id in MODELS:
        table = pq.read_table(raw / "blocks" / f"model_id={model_id}", partitioning=None)
        order = [(name, "ascending") for name in ("image_id", "block_row", "block_col")]
        blocks[model_id] = table.sort_by(order).combine_chunks()
    table = blocks[MODELS[0]]
    images = table.num_rows // BLOCKS_PER_IMAGE
    places = {}
    for number in range(images * TILES * TILES):
        down, across = number // TILES % TILES, number % TILES
        places.setdefault((_find_place(down), _find_place(across)), []).append(number)
    metrics = {}
    for row in pq.read_table(raw / "image_metrics" / "image_metrics.parquet").to_pylist():
        metrics.setdefault(row["image_id"], {})[row["model_id"], row["inference_path"]] = row
    return Pool(
        blocks,
        [metrics[name] for name in sorted(metrics)],
        {place: np.array(numbers) for place, numbers in places.items()},
        _mark_tiles(table, images),
    )


def _find_place(tile):
    return 0 if tile == 0 else 2 if tile == TILES - 1 else 1


def _mark_tiles(table, images):
    total = table["reference_sum"].to_numpy().astype(float)
    spread = 64.0 * table["reference_sum_sq"].to_numpy() - total * total
    marks = []
    for values in (total, np.log1p(spread)):
        tiles = values.reshape(images, TILES, TILE, TILES, TILE).mean((2, 4)).ravel()
        marks.append((tiles - tiles.mean()) / tiles.std())
    return np.stack(marks, axis=1)


def draw_rows(pool, name):
    """Draw the tiles of an image.

    Returns
    -------
    (16384,) int64 ndarray
        Row numbers of the pool, in raster order of the new image.
    """
    patient, follow_up = map(int, name.split("_"))
    taste = PATIENT_TASTE * np.random.default_rng([SEED, patient, 2]).standard_normal(2)
    generator = np.random.default_rng([SEED, patient, 2, follow_up])
    taste += IMAGE_TASTE * generator.standard_normal(2)
    odds = np.exp(pool.marks @ taste)
    tiles = np.empty((TILES, TILES), np.int64)
    place = np.array([_find_place(tile) for tile in range(TILES)])
    for (down, across), numbers in pool.places.items():
        area = np.ix_(place == down, place == across)
        share = odds[numbers] / odds[numbers].sum()
        tiles[area] = generator.choice(numbers, tiles[area].shape, p=share)
    image, rest = np.divmod(tiles, TILES * TILES)
    down, across = np.divmod(rest, TILES)
    first = image * BLOCKS_PER_IMAGE + down * TILE * BLOCKS + across * TILE
    inside = np.arange(TILE)[:, None] * BLOCKS + np.arange(TILE)
    return (first[:, None, :, None] + inside[None, :, None, :]).ravel()


def place_rows(table, name, schema):
    """Give drawn rows their image and their places."""
    place = np.arange(BLOCKS_PER_IMAGE)
    keys = {
        "image_id": pa.array([name] * BLOCKS_PER_IMAGE, pa.string()),
        "block_row": pa.array((place // BLOCKS).astype(np.int16)),
        "block_col": pa.array((place % BLOCKS).astype(np.int16)),
    }
    columns = [
        keys[field.name] if field.name in keys else table.column(field.name).combine_chunks()
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def mix_metrics(pool, name):
    """Metrics of an image: a weighted mean of two real images', the same two for every pair."""
    patient, follow_up = map(int, name.split("_"))
    generator = np.random.default_rng([SEED, patient, 3, follow_up])
    first, second = generator.choice(len(pool.metrics), 2, replace=False)
    weight = float(generator.random())
    rows = []
    for (model_id, path), row in sorted(pool.metrics[first].items()):
        other = pool.metrics[second][model_id, path]
        values = {
            key: None if None in (value, other[key]) else weight * value + (1 - weight) * other[key]
            for key, value in row.items()
            if not isinstance(value, str) and not key.endswith("_rounded")
        }
        rounded = round_published(values)
        keys = {"model_id": model_id, "inference_path": path, "image_id": name}
        rows.append(keys | values | {f"{key}_rounded": rounded[key] for key in ROUNDED_NAMES})
    return rows


def _describe_inputs(name, models):
    """Yield the files that an image would have been measured from; hashes stand for their names."""
    owners = [("reference", None, None)]
    owners += [("restored", model_id, path) for model_id in models for path in INFERENCE_PATHS]
    for role, model_id, path in owners:
        digest = hashlib.sha256(f"{model_id} {path} {name}".encode()).hexdigest()
        yield {
            "role": role,
            "model_id": model_id,
            "inference_path": path,
            "image_id": name,
            "file_name": f"{name}.png",
            "bytes": SIDE_PX * SIDE_PX // 2,
            "file_sha256": digest,
            "pixel_sha256": digest,
            "width_px": SIDE_PX,
            "height_px": SIDE_PX,
            "colour_mode": "L",
            "bit_depth": 8,
            "grey_rule": "none",
            "orientation": None,
            "transparent_px": None,
            "icc_sha256": None,
            "gamma": None,
            "grey_sha256": digest,
            "lowest_dn": 0,
            "highest_dn": 255,
            "size_rule": None,
            "row_spacing_mm": None,
            "col_spacing_mm": None,
        } | NO_DISPLAY


def _describe_image(name):
    return NO_FACTS | {
        "image_id": name,
        "width_px": SIDE_PX,
        "height_px": SIDE_PX,
        "edge_low_dn": 50,
        "edge_high_dn": 100,
        "patient_id": None,
    }
