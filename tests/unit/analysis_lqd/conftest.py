"""A small study with a hand-made warehouse, and the pairs its maps are measured on."""

import duckdb
import numpy as np
import pytest

from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.pairing import pair_study

COMPONENTS = (("sharp", "d_sharp", None), ("noise", "d_noise", "dn"))


def make_warehouse(study):
    """Write the tables that maps read: block (r, c) of every image has SSIM 0.6 + c / 10."""
    pairing = pair_study(study)
    study.output.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(study.warehouse)) as connection:
        connection.execute(
            "create table dim_models (model_id varchar, model_number bigint, label varchar,"
            " colour varchar)"
        )
        connection.execute(
            "create table dim_components (component varchar, column_stem varchar, unit varchar,"
            " family varchar, label varchar, positive_means varchar, negative_means varchar)"
        )
        connection.execute(
            "create table dim_source_files (role varchar, model_id varchar,"
            " inference_path varchar, image_id varchar, file_sha256 varchar)"
        )
        measures = [
            f"{stem}_{path} decimal(9, 6)"
            for stem in ("local_ssim", "d_sharp", "d_noise")
            for path in ("notta", "tta")
        ]
        connection.execute(
            "create table fct_blocks (model_id varchar, image_id varchar, block_row smallint,"
            f" block_col smallint, {', '.join(measures)})"
        )
        for number, model in enumerate(study.models):
            connection.execute(
                "insert into dim_models values (?, ?, ?, '#000000')",
                [model.model_id, number, model.label],
            )
        for name, stem, unit in COMPONENTS:
            row = [name, stem, unit, "family", name.title(), "more", "less"]
            connection.execute("insert into dim_components values (?, ?, ?, ?, ?, ?, ?)", row)
        for image_id, file in pairing.references.items():
            row = ["reference", None, None, image_id, hash_file(file)]
            connection.execute("insert into dim_source_files values (?, ?, ?, ?, ?)", row)
        for pair in pairing.pairs:
            if pair.file is None:
                continue
            row = ["restored", pair.model_id, pair.inference_path, pair.image_id]
            connection.execute(
                "insert into dim_source_files values (?, ?, ?, ?, ?)", [*row, hash_file(pair.file)]
            )
            if pair.inference_path == "notta":
                _fill_blocks(connection, pair)


def _fill_blocks(connection, pair):
    shift = "abc".index(pair.image_id) / 100
    for row in range(2):
        for col in range(3):
            ssim, sharp = 0.6 + col / 10 - shift, None if row else col - 1
            connection.execute(
                "insert into fct_blocks values (?, ?, ?, ?, ?, null, ?, null, ?, null)",
                [pair.model_id, pair.image_id, row, col, ssim, sharp, -3.25],
            )


@pytest.fixture
def built_study(tiny_study):
    """Give a study of images a, b, c (16 x 24 px) with a warehouse."""
    study = tiny_study.load()
    make_warehouse(study)
    return study


@pytest.fixture
def random_pair():
    """Give a maker of image pairs of a shape, the second a noisy copy of the first."""

    def make(shape, seed=0, noise=12):
        generator = np.random.default_rng(seed)
        reference = generator.integers(0, 256, shape, np.uint8)
        changed = reference + generator.integers(-noise, noise + 1, shape)
        return reference, np.clip(changed, 0, 255).astype(np.uint8)

    return make
