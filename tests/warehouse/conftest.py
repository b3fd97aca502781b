"""The sample study, ingested, built and exported once for every test of the warehouse."""

import hashlib
import logging
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy import stats

from tests.warehouse.damage import MADE
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import Model, load_study
from upscale_audit.warehouse import dbt_runner
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.export import export_tables

WARNINGS = "dbt_warnings.txt"
"""Beside the sample's outputs: what dbt warned of while they were made."""


class _Kept(logging.Handler):
    """A log handler that keeps what it is given, as text."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture(scope="session")
def sample_study(sample_study_file, made_once):
    """Give the sample study, complete, its outputs in a folder of the test run."""
    study = load_study(sample_study_file)

    def make(folder):
        own = replace(study, output=folder / "out")
        kept, log = _Kept(), logging.getLogger(dbt_runner.__name__)
        log.addHandler(kept)
        ingest_study(own, workers=1)
        build_warehouse(own, threads=2)
        export_tables(own)
        log.removeHandler(kept)
        (folder / WARNINGS).write_text("\n".join(kept.lines))

    return replace(study, output=made_once("sample", make) / "out")


@pytest.fixture(scope="session")
def small_study_root(new_study_folder, made_once):
    """Give the folder of a study of three tiny images, ingested, built and exported."""

    def make(root):
        folder = new_study_folder(root / "study")
        folder.add_model("alpha")
        folder.add_model("beta", paths=("notta",))
        for image_id in ("a", "b", "c"):
            folder.add_image(image_id)
        study = folder.load(sfrc=[16])
        ingest_study(study, workers=1)
        build_warehouse(study)
        export_tables(study)

    return made_once("small", make) / "study"


@pytest.fixture
def small_study(small_study_root, tmp_path):
    """Give a copy of a small finished study, to be broken."""
    shutil.copytree(small_study_root, tmp_path / "small")
    return load_study(tmp_path / "small" / "study.toml")


@pytest.fixture(scope="session")
def query(sample_study):
    """Give a function from SQL to a polars frame on the sample's warehouse."""

    def run(sql):
        with open_warehouse(sample_study.warehouse) as connection:
            return connection.sql(sql).pl()

    return run


@pytest.fixture(scope="session")
def stretch():
    """Give the correction of a percentile interval for few clusters, from its definition."""

    def apply(estimate, ends, clusters, least=-np.inf, greatest=np.inf):
        if clusters < 5 or estimate is None or None in ends or np.ptp(ends) < 1e-12:
            # What is the same in every draw is a point, and no interval.
            return None, None
        factor = stats.t.ppf(0.975, clusters - 1) / stats.norm.ppf(0.975)
        factor *= np.sqrt(clusters / (clusters - 1))
        return tuple(np.clip(estimate + factor * (np.array(ends) - estimate), least, greatest))

    return apply


@pytest.fixture(scope="session")
def read_blocks(sample_study):
    """Give a reader of an image's 8x8 blocks, (n, 64) float64 in raster order."""

    def read(image_id, model_id=None, inference_path="notta"):
        folder = sample_study.references
        if model_id is not None:
            model = next(item for item in sample_study.models if item.model_id == model_id)
            folder = model.folder(inference_path)
        grey = np.asarray(Image.open(folder / f"{image_id}.png")).astype(float)
        rows, cols = grey.shape[0] // 8, grey.shape[1] // 8
        return grey.reshape(rows, 8, cols, 8).swapaxes(1, 2).reshape(rows * cols, 64)

    return read


@pytest.fixture(scope="session")
def blocks(query):
    """Give every block of the sample in raster order, decimals as float64."""
    frame = query("select * from fct_blocks order by model_id, image_id, block_row, block_col")
    return frame.with_columns(pl.selectors.decimal().cast(pl.Float64))


@pytest.fixture(scope="session")
def controlled(sample_study, made_once):
    """Give the sample study with four controls added to its five restorers."""

    def describe(root):
        models = [Model(name, root / name, None, kind) for name, (kind, _) in MADE.items()]
        models = sorted([*sample_study.models, *models], key=lambda model: model.model_id)
        lean = replace(sample_study.ingest_parameters, image_metrics=False)
        changed = {"models": tuple(models), "output": root / "out", "ingest_parameters": lean}
        return replace(sample_study, **changed)

    def make(root):
        for name, (_, damage) in MADE.items():
            (root / name).mkdir()
            for path in sample_study.references.iterdir():
                image = np.asarray(Image.open(path).convert("L"))
                Image.fromarray(damage(image)).save(root / name / path.name)
        study = describe(root)
        ingest_study(study, workers=1)
        build_warehouse(study)

    return describe(made_once("controlled", make))


@pytest.fixture(scope="session")
def draws(sample_study):
    """Give the bootstrap's image indices, (1000, 6), from its definition."""
    images = sorted(f"image:{file.stem}" for file in sample_study.references.iterdir())

    def draw(replicate, position):
        digest = hashlib.sha256(f"upscale-audit:{replicate}:{position}".encode()).hexdigest()
        return int(digest[:15], 16) % len(images)

    return np.array([[draw(b, j) for j in range(len(images))] for b in range(1000)])


@pytest.fixture(scope="session")
def copies(made_once):
    """Give a phantom study, built: tests/warehouse/known_truth.py."""
    from tests.warehouse.known_truth import make_copies

    return load_study(made_once("known", make_copies) / "phantoms" / "study.toml")
