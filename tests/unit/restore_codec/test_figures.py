"""The codec figures: numbers that can be checked by hand, from tables made for the test."""

import csv
import shutil

import duckdb
import numpy as np
import pytest

pytest.importorskip("altair", reason="pip install 'upscale-audit[figures]'")

from upscale_audit.analysis.figures import codecs
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError

MODELS = ("ae_mse_net", "ae_mse_r25", "ae_ssim_net", "ae_ssim_r25", "vae_mse_net", "zfp_r25")
IMAGES = ("a", "b")


@pytest.fixture(scope="module")
def audited(tmp_path_factory, encode_png):
    """Give the folder of a codec study whose every table is known."""
    folder = tmp_path_factory.mktemp("codecs")
    generator = np.random.default_rng(9)
    for image in IMAGES:
        grey = generator.integers(20, 230, (288, 288), np.uint8)
        for path in (folder / "reference", *(folder / "restored" / model for model in MODELS)):
            path.mkdir(parents=True, exist_ok=True)
            (path / f"{image}.png").write_bytes(encode_png(grey))
    sizes = ("ratio", "ratio_float32", "ratio_with_decoder", "latent_bytes", "residual_bytes")
    with open(folder / "codes.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("model_id", "image_id", *sizes))
        writer.writerows((model, image, 25, 100, 5, 7, 9) for model in MODELS for image in IMAGES)
    measures = [name for name, _, _ in codecs.PANELS]
    columns = ", ".join(f"{name}_notta double" for name in measures)
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.sql(
            "create table dim_models (model_id varchar, model_number bigint, label varchar,"
            " colour varchar)"
        )
        connection.sql(f"create table fct_blocks (model_id varchar, image_id varchar, {columns})")
        connection.sql(
            "create table fct_image_quality (source_id varchar, model_id varchar,"
            " inference_path varchar, image_id varchar, psnr double, blockiness_ratio_4 double,"
            " blockiness_ratio_8 double, blockiness_ratio_16 double)"
        )
        for number, model in enumerate((*MODELS, "lanczos")):
            connection.execute(
                "insert into dim_models values (?, ?, ?, '#000000')", [model, number, model]
            )
            for image, start in zip(IMAGES, (0.0, 2.0), strict=True):
                for block in (0.0, 1.0):
                    values = [number + start + block + place for place in range(len(measures))]
                    marks = ", ".join("?" * (2 + len(values)))
                    row = [model, image, *values]
                    connection.execute(f"insert into fct_blocks values ({marks})", row)
                connection.execute(
                    "insert into fct_image_quality values ('images', ?, 'notta', ?, 30, 1, 2, 3)",
                    [model, image],
                )
    return folder


def test_the_means_are_over_images_and_the_range_is_the_lowest_and_highest_image(audited):
    sizes = codecs._read_codes(audited / "codes.csv")
    with Marts(audited / "warehouse.duckdb") as marts:
        rows = codecs.read_audit(marts, sizes)
    found = [(row["codec"], row["target"]) for row in rows]
    assert found == [
        ("ae_mse", "net"),
        ("ae_mse", "25"),
        ("ae_ssim", "net"),
        ("ae_ssim", "25"),
        ("vae_mse", "net"),
        ("zfp", "25"),
    ]
    second = rows[1]
    # Model 1: blocks 1 and 2 of image a, 3 and 4 of image b.
    assert (second["d_block4"], second["d_block4_low"], second["d_block4_high"]) == (2.5, 1.5, 3.5)
    assert second["local_ssim"] == 2.5 + 5
    assert second["image_count"] == 2
    assert (second["ratio"], second["ratio_float32"], second["ratio_with_decoder"]) == (25, 100, 5)
    assert (second["psnr"], second["blockiness_ratio_16"]) == (30, 3)


def test_the_figure_and_its_numbers_are_written(audited, tmp_path):
    paths = codecs.write_codec_figure(
        audited / "warehouse.duckdb", audited / "codes.csv", audited / "reference", tmp_path
    )
    assert [path.name for path in paths] == [
        "codecs.png",
        "codecs.svg",
        "codecs.pdf",
        "codecs.html",
        "codecs.csv",
    ]
    drawing = paths[1].read_text(encoding="utf-8")
    assert "autoencoder, SSIM, ratio 25" in drawing
    assert "zfp alone, ratio 25" in drawing
    with open(paths[-1], encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(MODELS)


def test_an_image_that_no_coding_brought_to_its_ratio_is_left_out_of_the_details(audited, tmp_path):
    folder = tmp_path / "codecs"
    shutil.copytree(audited, folder)
    shutil.rmtree(folder / "restored" / "zfp_r25")
    paths = codecs.write_codec_figure(
        folder / "warehouse.duckdb", folder / "codes.csv", folder / "reference", folder
    )
    drawing = paths[1].read_text(encoding="utf-8")
    assert "autoencoder, SSIM, ratio 25" in drawing
    assert "zfp alone, ratio 25" not in drawing


def test_a_study_without_codecs_is_an_error(audited, tmp_path):
    with Marts(audited / "warehouse.duckdb") as marts, pytest.raises(StudyError, match="no model"):
        codecs.read_audit(marts, [])
    with pytest.raises(StudyError, match="codec study"):
        codecs._read_codes(tmp_path / "none.csv")


def test_a_training_curve_is_drawn_with_and_without_held_out_images(tmp_path):
    columns = ("step", "train_loss", "held_out_loss", "held_out_psnr_db", "held_out_ssim")
    for name, held_out in (("with", (0.5, 30.0, 0.9)), ("without", ("", "", ""))):
        with open(tmp_path / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, (50, 0.9, *held_out), (100, 0.4, *held_out)])
        paths = codecs.write_training_curve(tmp_path / f"{name}.csv", "A curve")
        drawing = paths[1].read_text(encoding="utf-8")
        assert ("PSNR 30.00" in drawing) == (name == "with")
