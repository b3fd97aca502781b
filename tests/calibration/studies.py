"""Simulated studies of known truth, written as the raw tables that a build reads.

A study simulates many models at once, each an independent draw from the same population, so one
build answers as many simulated studies as it has models. All share patients, images, boxes and
the bootstrap's draws, as the models of a real study do.

Every measured value is a population mean, plus an effect of the model on the patient, plus one on
the image, plus noise of the block; only the mean is the truth. Patient effects are normal, or
skewed (exponential, centred): a few patients restored far worse than the rest.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy import stats

from upscale_audit.ingest.files import hash_file, write_text
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SOURCES,
    describe_code,
    find_files_root,
    make_manifest,
    write_manifest,
)
from upscale_audit.ingest.run import describe_metrics
from upscale_audit.ingest.schema import SCHEMA_VERSION, TABLES, arrow_schema
from upscale_audit.ingest.study import load_study

BASELINE = "bicubic"
EFFECTS = ("normal", "skewed")
"""Distributions of the patient effects; a simulated model is named for its own."""

FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
MOST_IMAGES = 3
"""A patient has 1 to 3 images, each number equally often."""
FINDING_RATE = 0.6
BOX_BLOCKS = 3
SAME_PLACE_RATE = 0.5
"""Chance that an image's worst block lies where its patient's other images have theirs."""

SIDE_BLOCKS = 12
TILE_PX = 8 * SIDE_BLOCKS // 2
"""Tiles meet in the middle of each image: four blocks within the interior lie 8 px off."""
SEAM_STEP = -0.02
BLOCK_COUNT = SIDE_BLOCKS**2
PUBLISHED_SIDE_BLOCKS = 128

SSIM = 0.8
DENT = 0.15
"""How far one block of each notta image lies below the rest: the worst block, wherever it is."""
WORST_SSIM = 0.2
TEXTURE_DN = 10.0
SLOPE = -0.002
CORRELATION = -0.5
FRAME_EXCESS = 0.02
NOISE_DN = 0.5
NOISE_CHANGE_DN = 0.15
FLAG_RATES = {"noise": 0.02, "delta_e": 0.1, "local_quality_std": 0.5}
"""How often a metric lies above the baseline's, which is the same in all its images."""
BASELINE_METRIC = 100.0
LIKENESS = 0.6
"""Correlation of what decides a flag between images of a patient."""

_ROW, _COL = np.divmod(np.arange(BLOCK_COUNT), SIDE_BLOCKS)
_DEPTH = np.minimum.reduce([_ROW, _COL, SIDE_BLOCKS - 1 - _ROW, SIDE_BLOCKS - 1 - _COL])
IS_FRAME = _DEPTH == 0
_IS_SEAM = np.isin(_ROW, (SIDE_BLOCKS // 2 - 1, SIDE_BLOCKS // 2)) | np.isin(
    _COL, (SIDE_BLOCKS // 2 - 1, SIDE_BLOCKS // 2)
)
_IS_INTERIOR = _DEPTH >= 4
# What a step of 1 at the seams does to the interior, whose mean stays.
_STEP = (_IS_SEAM - _IS_SEAM[_IS_INTERIOR].mean()) * _IS_INTERIOR
_NOISE_STEP_DN = math.sqrt(math.pi / 2) / 6 / 64
"""What one count of the raw noise sum is worth in d_noise."""
_REFERENCE_SUM, _REFERENCE_NOISE = 64 * 100, 10_000
# Sharp enough to lose some: d_sharp is the logarithm of a ratio to it.
_REFERENCE_LAPLACIAN = 4096 * 20
# Every block has an edge to ring at: a contrast counts patients that have all components.
_RINGING_PX = 8


@dataclass(frozen=True)
class Truth:
    """Population values of what the marts estimate."""

    mean_ssim: float = SSIM - DENT / BLOCK_COUNT
    excess_mean_ssim: float = -DENT / BLOCK_COUNT
    slope_texture: float = SLOPE
    correlation: float = CORRELATION
    frame_deficit: float = 0.0
    frame_excess: float = FRAME_EXCESS
    frame_ratio: float = float(IS_FRAME.mean())
    centred_bias: float = 0.0
    noise: float = NOISE_DN
    noise_change: float = NOISE_CHANGE_DN
    lesion_difference: float = 0.0
    sharpness_contrast: float = 0.0
    sharpness_difference: float = 0.0
    seam_step: float = SEAM_STEP


@dataclass(frozen=True)
class _Cohort:
    """Patients and images that all models of a study share."""

    patient: np.ndarray
    image_id: np.ndarray
    texture_dn: np.ndarray
    content: np.ndarray
    boxes: list[dict]

    @property
    def patient_count(self):
        return int(self.patient[-1]) + 1


def simulate_study(root, *, patient_count, model_count, seed, parameters=""):
    """Write a study of measured images and of a published results file on the same images.

    Parameters
    ----------
    root : Path
        Empty folder; receives ``study.toml`` and ``raw/``.
    patient_count : int
        Clusters.
    model_count : int
        Simulated models, besides the baseline; half have normal patient effects. The published
        file has as many.
    seed : int
    parameters : str
        Lines of the study file's ``[parameters]``.

    Returns
    -------
    ingest.study.Study
    """
    generator = np.random.default_rng([seed, patient_count])
    cohort = _draw_cohort(generator, patient_count)
    models = [BASELINE] + [f"{EFFECTS[n % 2]}_{n:04d}" for n in range(model_count)]
    study = _write_study_file(root, models, parameters)
    shards, metrics = {}, []
    for model_id, child in zip(models, generator.spawn(len(models)), strict=True):
        effect = model_id.split("_")[0]
        if model_id == BASELINE:
            columns, flagged = _baseline_columns(cohort), dict.fromkeys(FLAG_RATES, 0.0)
        else:
            columns, flagged = (
                _draw_model(child, cohort, effect),
                _draw_flags(child, cohort, effect),
            )
        metrics.append(_metric_table(cohort, model_id, flagged))
        shards[f"blocks/model_id={model_id}/{0:016x}.parquet"] = _block_table(cohort, columns)
    published = _draw_published(generator, cohort.patient, model_count, CORRELATION)
    tables = _describe_cohort(cohort, models) | published
    _write_raw(study, tables | {"image_metrics": pa.concat_tables(metrics)}, shards)
    return study


def simulate_published_study(root, *, patient_count, model_count, seed, parameters=""):
    """Write a study of one published results file and its location file, and nothing else.

    Worst blocks of a 128 x 128 grid are placed uniformly, SSIM and texture are independent: the
    null hypotheses of the published tests hold. As in the published study, a patient has
    several images, about 3.2 on average, and only the quarter with the smallest SSIM is located.

    Parameters
    ----------
    root, patient_count, model_count, seed, parameters
        As for `simulate_study`.

    Returns
    -------
    ingest.study.Study
    """
    generator = np.random.default_rng([seed, patient_count, 1])
    patient = np.repeat(np.arange(patient_count), generator.geometric(1 / 3.2, patient_count))
    study = _write_study_file(root, [], parameters)
    _write_raw(study, _draw_published(generator, patient, model_count, 0), {})
    return study


def _draw_effects(generator, effect, size):
    """Effects of mean 0 and standard deviation 1."""
    if effect == "normal":
        return generator.standard_normal(size)
    return generator.standard_exponential(size) - 1


def _name_images(patient):
    """ChestX-ray8 names: the patient, and the image's number among the patient's."""
    first = np.searchsorted(patient, patient)
    return np.array(
        [
            f"{owner + 1:08d}_{number:03d}"
            for owner, number in zip(patient, np.arange(len(patient)) - first, strict=True)
        ]
    )


def _draw_cohort(generator, patient_count):
    """Draw patients, their images, textures, boxes, and what content does to the frame."""
    size = generator.integers(1, MOST_IMAGES + 1, patient_count)
    patient = np.repeat(np.arange(patient_count), size)
    image_id = _name_images(patient)
    textures = generator.standard_normal(patient_count)[patient]
    textures = TEXTURE_DN + 1.5 * textures + generator.standard_normal(len(patient))
    # A frame that content makes better, the rest of the image worse by as much in all: the mean
    # over blocks stays, and the baseline never has its worst block on the frame.
    shift = 0.01 + 0.02 * generator.standard_exponential(patient_count)[patient]
    content = shift[:, None] * (IS_FRAME - IS_FRAME.mean())
    has_finding = generator.random((patient_count, len(FINDINGS))) < FINDING_RATE
    boxes = [
        {
            "image_id": image_id[image],
            "box_number": number,
            "line_number": number + 2,
            "frame": "reference",
            "frame_rule": "stated",
            "status": "whole",
            "finding": FINDINGS[finding],
            "left_px": 8.0 * generator.integers(SIDE_BLOCKS - BOX_BLOCKS + 1),
            "top_px": 8.0 * generator.integers(SIDE_BLOCKS - BOX_BLOCKS + 1),
            "width_px": 8.0 * BOX_BLOCKS,
            "height_px": 8.0 * BOX_BLOCKS,
        }
        for image, owner in enumerate(patient)
        for number, finding in enumerate(np.flatnonzero(has_finding[owner]))
    ]
    return _Cohort(patient, image_id, np.maximum(textures, 3), content, boxes)


def _draw_model(generator, cohort, effect):
    """Draw the block columns of one simulated model, by name."""
    patient = cohort.patient
    shape = (len(patient), BLOCK_COUNT)

    def vary(patient_sd, image_sd, sign=1):
        of_patient = sign * _draw_effects(generator, effect, cohort.patient_count)[patient]
        values = patient_sd * of_patient + image_sd * generator.standard_normal(len(patient))
        return values[:, None]

    def scatter(sd):
        return sd * generator.standard_normal(shape, dtype=np.float32)

    notta = SSIM + SLOPE * (cohort.texture_dn - TEXTURE_DN)[:, None] + scatter(0.02)
    notta += vary(0.03, 0.015, sign=-1) + vary(0.02, 0) * IS_FRAME
    notta[np.arange(len(patient)), _draw_places(generator, patient, BLOCK_COUNT)] -= DENT
    tta = SSIM + cohort.content + vary(0.03, 0.015, sign=-1) + scatter(0.02)
    tta -= (FRAME_EXCESS + vary(0.02, 0.01)) * IS_FRAME
    tta += (SEAM_STEP + vary(0.01, 0.005)) * _STEP
    noise = NOISE_DN + vary(0.3, 0.2) + scatter(0.3) + _draw_lesions(generator, effect, cohort)
    tta_noise = noise + NOISE_CHANGE_DN + vary(0.1, 0.1) + scatter(0.2)
    gain = np.exp(0.3 * generator.standard_normal(shape))
    correlation = generator.uniform(0.85, 0.95, shape)
    # Some patients gain sharpness where contrast grew, as many lose it there.
    sharp = vary(0.2, 0.1) + vary(0.2, 0.1) * np.sign(gain - 1) + scatter(0.3)
    columns = {"notta_local_ssim": notta, "tta_local_ssim": tta}
    columns["notta_ringing"] = np.rint(_RINGING_PX * 100 * np.exp(scatter(0.3)))
    columns["notta_laplacian"] = np.rint((_REFERENCE_LAPLACIAN + 4096) * np.exp(sharp)) - 4096
    for path, value in (("notta", noise), ("tta", tta_noise)):
        columns[f"{path}_noise"] = _REFERENCE_NOISE + np.rint(value / _NOISE_STEP_DN)
        columns |= _moments(cohort, path, gain, correlation)
    return columns


def _draw_flags(generator, cohort, effect):
    """Draw how far each metric lies above the baseline's: as often as its rate says."""
    patient = cohort.patient
    own, shared = math.sqrt(1 - LIKENESS), math.sqrt(LIKENESS)
    # The sum of a normal and an exponential variable of mean 0 has this distribution.
    skewed = stats.exponnorm(shared / own, loc=-shared, scale=own)
    margins = {}
    for metric, rate in FLAG_RATES.items():
        of_patient = _draw_effects(generator, effect, cohort.patient_count)[patient]
        latent = shared * of_patient + own * generator.standard_normal(len(patient))
        margins[metric] = latent - (stats.norm if effect == "normal" else skewed).isf(rate)
    return margins


def _draw_correlated(generator, effect, patient, correlation):
    """Draw two standardised values an image, of a correlation, alike within a patient."""
    first, second = 0, 0
    for count, owner in ((int(patient[-1]) + 1, patient), (len(patient), slice(None))):
        drawn, other = _draw_effects(generator, effect, (2, count)) / math.sqrt(2)
        first = first + drawn[owner]
        second = second + (correlation * drawn + math.sqrt(1 - correlation**2) * other)[owner]
    return first, second


def _draw_places(generator, patient, block_count):
    """Draw each image's worst block, uniform over the grid, often its patient's own."""
    shared = generator.integers(block_count, size=int(patient[-1]) + 1)[patient]
    own = generator.integers(block_count, size=len(patient))
    return np.where(generator.random(len(patient)) < SAME_PLACE_RATE, shared, own)


def _draw_lesions(generator, effect, cohort):
    """Draw what each patient's boxes add to the noise: of mean 0 over patients."""
    added = np.zeros((len(cohort.patient), SIDE_BLOCKS, SIDE_BLOCKS), np.float32)
    effects = _draw_effects(generator, effect, (cohort.patient_count, len(FINDINGS)))
    index = {name: number for number, name in enumerate(cohort.image_id)}
    for box in cohort.boxes:
        image = index[box["image_id"]]
        row, col = int(box["top_px"]) // 8, int(box["left_px"]) // 8
        value = effects[cohort.patient[image], FINDINGS.index(box["finding"])]
        added[image, row : row + BOX_BLOCKS, col : col + BOX_BLOCKS] += 0.2 * value
    return added.reshape(-1, BLOCK_COUNT)


def _moments(cohort, path, gain, correlation):
    """Raw sums of a restored image, of a contrast gain on and a correlation with the reference."""
    spread = 4096 * cohort.texture_dn[:, None] ** 2
    joint = correlation * gain * spread
    return {
        f"{path}_sum": np.full(gain.shape, _REFERENCE_SUM),
        f"{path}_sum_sq": np.rint((spread * gain**2 + _REFERENCE_SUM**2) / 64),
        f"{path}_cross": np.rint((joint + _REFERENCE_SUM**2) / 64),
    }


def _baseline_columns(cohort):
    """Columns of the baseline: what content does, and nothing else; no tta images."""
    gain = np.ones((len(cohort.patient), BLOCK_COUNT))
    return _moments(cohort, "notta", gain, 0.9 * gain) | {
        "notta_local_ssim": SSIM + cohort.content,
        "notta_noise": np.full(gain.shape, _REFERENCE_NOISE),
        "notta_laplacian": np.full(gain.shape, _REFERENCE_LAPLACIAN),
    }


def _metric_table(cohort, model_id, margins):
    """Raw image metrics of one model, notta: the baseline's value and the margin above it."""
    count = len(cohort.patient)
    columns = {
        "model_id": np.full(count, model_id),
        "inference_path": np.full(count, "notta"),
        "image_id": cohort.image_id,
    }
    for metric, margin in margins.items():
        values = np.broadcast_to(BASELINE_METRIC + margin, count)
        columns |= {metric: values, f"{metric}_rounded": values}
    return _table_of("image_metrics", columns)


_OF_LR = re.compile(r"_lr_|_null_|_bent$")
"""Raw columns of LR images, of which these studies have none."""


def _block_table(cohort, columns):
    """Raw block rows of one model, image by image in raster order."""
    images, schema = len(cohort.patient), arrow_schema("blocks")
    reference = 4096 * cohort.texture_dn[:, None] ** 2 + _REFERENCE_SUM**2
    sides = np.full(BLOCK_COUNT, 4) - np.isin(_ROW, (0, SIDE_BLOCKS - 1))
    known = columns | {
        "image_id": np.repeat(cohort.image_id, BLOCK_COUNT),
        "block_row": np.tile(_ROW, images),
        "block_col": np.tile(_COL, images),
        "is_partial": np.zeros(images * BLOCK_COUNT, bool),
        "side_count": np.tile(sides - np.isin(_COL, (0, SIDE_BLOCKS - 1)), images),
        "side16_count": np.full(images * BLOCK_COUNT, 2),
        "reference_sum": np.full(images * BLOCK_COUNT, _REFERENCE_SUM),
        "reference_sum_sq": np.repeat(np.rint(reference / 64), BLOCK_COUNT),
        "reference_noise": np.full(images * BLOCK_COUNT, _REFERENCE_NOISE),
        "reference_laplacian": np.full(images * BLOCK_COUNT, _REFERENCE_LAPLACIAN),
        "ringing_px": np.full(images * BLOCK_COUNT, _RINGING_PX),
    }
    has_tta = "tta_local_ssim" in columns
    arrays = []
    for field in schema:
        if field.name in known:
            values = np.ravel(known[field.name])
            arrays.append(pa.array(values).cast(field.type, safe=False))
        elif (field.name.startswith("tta_") and not has_tta) or _OF_LR.search(field.name):
            arrays.append(pa.nulls(images * BLOCK_COUNT, field.type))
        else:
            arrays.append(pa.array(np.zeros(images * BLOCK_COUNT)).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _describe_cohort(cohort, models):
    """Rows of the small tables of a study of images."""
    side_px = 8 * SIDE_BLOCKS
    pairs = [
        {
            "image_id": image_id,
            "model_id": model_id,
            "inference_path": path,
            "status": "not_declared" if (model_id, path) == (BASELINE, "tta") else "measured",
        }
        for model_id in models
        for path in ("notta", "tta")
        for image_id in cohort.image_id
    ]
    images = [
        {"image_id": name, "width_px": side_px, "height_px": side_px} for name in cohort.image_id
    ]
    tables = {"images": images, "pairs": pairs, "boxes": cohort.boxes}
    return {
        name: pa.Table.from_pylist(rows, schema=arrow_schema(name)) for name, rows in tables.items()
    }


def _draw_published(generator, patient, model_count, correlation):
    """Draw a published results file and its location file, all models in each."""
    results, locations = [], []
    image_id = _name_images(patient)
    for number in range(model_count):
        effect = EFFECTS[number % 2]
        complexity, smallest = _draw_correlated(generator, effect, patient, correlation)
        keys = {
            "label": np.full(len(patient), "published"),
            "row_number": np.arange(len(patient)) + len(patient) * number,
            "model_id": np.full(len(patient), f"{effect}_{number:04d}"),
            "image_id": image_id,
        }
        smallest = WORST_SSIM + 0.1 * smallest
        values = {"local_quality_min": smallest, "texture_complexity": 20 + 3 * complexity}
        results.append(_table_of("published_results", keys | values))
        places = _locate(generator, patient) | {"min_ssim_value": smallest}
        is_lfv = smallest < np.quantile(smallest, 0.25)
        rows = {name: column[is_lfv] for name, column in (keys | places).items()}
        locations.append(_table_of("published_locations", rows))
    return {
        "published_results": pa.concat_tables(results),
        "published_locations": pa.concat_tables(locations),
    }


def _locate(generator, patient):
    """Draw worst blocks of a published grid; what the published file says of them."""
    side = PUBLISHED_SIDE_BLOCKS
    row, col = np.divmod(_draw_places(generator, patient, side**2), side)
    depth = np.minimum.reduce([row, col, side - 1 - row, side - 1 - col])
    is_boundary = (np.minimum(row, col) < side / 4) | (np.maximum(row, col) > 3 * side / 4)
    return {
        "min_row": row,
        "min_col": col,
        "total_rows": np.full(len(patient), side),
        "total_cols": np.full(len(patient), side),
        "distance_to_boundary": depth,
        "normalized_distance": depth / (side / 2),
        "is_boundary": is_boundary,
    }


def _table_of(name, columns):
    """Arrow table of a raw table; columns not given are NULL."""
    schema = arrow_schema(name)
    count = len(columns["image_id"])
    return pa.Table.from_arrays(
        [
            pa.array(columns[field.name]).cast(field.type)
            if field.name in columns
            else pa.nulls(count, field.type)
            for field in schema
        ],
        schema=schema,
    )


def _write_study_file(root, models, parameters):
    """Write and read the study file; its folders are there and empty, its file has no row."""
    lines = ["[study]", 'name = "calibration"', 'output = "out"']
    if models:
        (root / "images").mkdir()
        lines.append('references = "images"')
    for model_id in models:
        lines += ["[[models]]", f'model_id = "{model_id}"', 'notta = "images"']
        lines += ['tta = "images"'] if model_id != BASELINE else []
    (root / "published.csv").write_text("image_id,model\n")
    lines += ["[[published]]", 'file = "published.csv"', 'label = "published"']
    tile = f"tile_px = {TILE_PX}"
    write_text(root / "study.toml", "\n".join([*lines, "[parameters]", tile, parameters]) + "\n")
    return load_study(root / "study.toml")


def _write_raw(study, tables, shards):
    """Write the raw folder as ingest leaves it: every table, then the manifest."""
    metrics = pa.Table.from_pylist(describe_metrics(None), arrow_schema("metrics"))
    tables = tables | {"metrics": metrics}
    for name in TABLES:
        if name not in ("blocks", "patches", "published_blocks"):
            shards = shards | {
                f"{name}/{name}.parquet": tables.get(name, arrow_schema(name).empty_table())
            }
    for name, table in shards.items():
        (study.raw / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, study.raw / name, compression="zstd")
    write_text(study.raw / SOURCES, "")
    files = {name: hash_file(study.raw / name) for name in (*shards, SOURCES)}
    sizes = {name: (study.raw / name).stat().st_size for name in files}
    recipe = {"code": describe_code("ingest")}
    manifest = make_manifest("raw", study.name, files, sizes, recipe, {})
    manifest |= {
        "schema_version": SCHEMA_VERSION,
        "models": [model.model_id for model in study.models],
        "has_published": bool(study.published),
        "source_count": 0,
        "sources_root": find_files_root({}),
        "block_shards": sorted(name for name in shards if name.startswith("blocks/")),
    }
    write_manifest(study.raw / MANIFEST, manifest)
