"""What the marts say of LR images, against dense matrices over the sample's own pixels."""

import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.unit.ingest.test_lr import make_matrix
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.proof.verify import verify

MODEL, IMAGE = "upscayl_standard", "rg1_r2c1"
BOUND_DN = 1.798828125

# Interior blocks of the sample, dn2 a pixel, as measured independently before this was written.
PUBLISHED = {
    ("bicubic", "notta"): ("2.34", "0.44", "0.087", "1.81"),
    ("span_x2_ch48", "notta"): ("2.01", "0.20", "0.114", "1.70"),
    ("realesr_animevideov3", "notta"): ("18.9", "16.8", "0.257", "1.77"),
    ("upscayl_standard", "notta"): ("17.4", "15.3", "0.342", "1.75"),
    ("upscayl_standard", "tta"): ("14.0", "12.1", "0.176", "1.73"),
    ("upscayl_digital", "notta"): ("58.5", "55.3", "1.339", "1.80"),
    ("upscayl_digital", "tta"): ("51.2", "49.0", "0.356", "1.76"),
}
SHARES = {
    "span_x2_ch48": 0,
    "bicubic": 1.7,
    "realesr_animevideov3": 99.7,
    "upscayl_standard": 98.0,
    "upscayl_digital": 99.4,
}


@pytest.fixture(scope="module")
def pixels(sample_study):
    def read(folder):
        return np.asarray(Image.open(folder / f"{IMAGE}.png")).astype(float)

    model = next(item for item in sample_study.models if item.model_id == MODEL)
    return read(sample_study.references), read(model.notta), read(sample_study.lr.folder)


def cut(image):
    rows, cols = image.shape[0] // 8, image.shape[1] // 8
    return image.reshape(rows, 8, cols, 8).swapaxes(1, 2).reshape(rows * cols, 64)


def test_block_columns_are_those_of_the_equations_written_naively(pixels, blocks):
    reference, restored, lr = pixels
    down = make_matrix("antialiased", 2, reference.shape[0])
    projector = down.T @ np.linalg.inv(down @ down.T) @ down
    x_range, y_range = (projector @ image @ projector.T for image in (reference, restored))
    x_null, y_null = cut(reference - x_range), cut(restored - y_range)
    bent = (cut(y_range - x_range) ** 2).mean(axis=1)
    own, seen = (y_null**2).sum(axis=1), (x_null**2).sum(axis=1)
    gain = (x_null * y_null).sum(axis=1) / seen
    correlation = gain * np.sqrt(seen / own)
    found = blocks.filter((pl.col("model_id") == MODEL) & (pl.col("image_id") == IMAGE))
    expected = {
        "lr_bent_dn2_notta": bent,
        "lr_invented_dn2_notta": own * (1 - correlation**2) / 64,
        "lr_lost_dn2_notta": np.where(gain < 1, (1 - gain) ** 2 * seen, 0) / 64,
        "lr_amplified_dn2_notta": np.where(gain > 1, (1 - gain) ** 2 * seen, 0) / 64,
        "null_correlation_notta": correlation,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].to_numpy(), values, rtol=2e-6, atol=2e-6)
    residual = (down @ restored @ down.T - lr)[2:-2, 2:-2]
    # No pixel here is near 0 or 255, so all that lies inside is judged.
    assert restored.min() > 30
    padded = np.pad(residual, 2, constant_values=np.nan)
    by_block = padded.reshape(64, 4, 64, 4).swapaxes(1, 2).reshape(-1, 16)
    judged = (~np.isnan(by_block)).sum(axis=1)
    assert found["lr_judged_px_notta"].to_list() == judged.tolist()
    count = (np.abs(by_block) > BOUND_DN).sum(axis=1)
    assert found["lr_contradicted_px_notta"].to_list() == count.tolist()
    rms = np.sqrt(np.nanmean(by_block**2, axis=1))
    np.testing.assert_allclose(found["lr_rms_dn_notta"].to_numpy(), rms, atol=1e-5)


def test_the_residual_of_an_image_is_in_grey_levels(pixels, query):
    _, restored, lr = pixels
    down = make_matrix("antialiased", 2, restored.shape[0])
    residual = (down @ restored @ down.T - lr)[2:-2, 2:-2]
    ((mean, rms, largest),) = query(
        "select mean_residual_dn, rms_dn, largest_dn from mart_consistency_images"
        f" where model_id = '{MODEL}' and image_id = '{IMAGE}' and inference_path = 'notta'"
    ).rows()
    # The rule counts in integers: 8 bits of a weight, twice.
    assert mean == pytest.approx(residual.mean(), abs=0.01)
    assert rms == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-3)
    assert largest == pytest.approx(np.abs(residual).max(), abs=0.05)


def test_the_marts_add_up_what_the_blocks_hold(query, blocks):
    marts = query("select * from mart_consistency order by model_id, inference_path")
    assert marts.height == 9
    for row in marts.iter_rows(named=True):
        path = row["inference_path"]
        own = blocks.filter(pl.col("model_id") == row["model_id"])
        for kind in ("bent", "invented", "lost", "amplified"):
            mean = own[f"lr_{kind}_dn2_{path}"].mean()
            assert row[f"{kind}_dn2"] == pytest.approx(mean, rel=1e-9), kind
        parts = sum(row[f"{kind}_dn2"] for kind in ("bent", "invented", "lost", "amplified"))
        assert parts == pytest.approx(row["mse_dn2"], rel=1e-5)
        assert row["bent_ratio"] == pytest.approx(row["bent_dn2"] / row["mse_dn2"])
        contradicted = own[f"lr_contradicted_px_{path}"]
        assert row["contradicted_ratio"] == pytest.approx((contradicted > 0).mean())
        assert row["contradicted_px"] == contradicted.sum()
        assert row["rounding_floor_dn2"] == pytest.approx(0.0625)
        assert row["judged_px"] + row["border_px"] + row["clamped_px"] == 6 * 256 * 256
    images = query("select * from mart_consistency_images")
    assert images.height == 54
    assert set(images["lr_rule_status"]) == {"verified"}
    assert images["largest_dn"].max() == pytest.approx(marts["largest_dn"].max())
    assert set(images["bound_dn"]) == {BOUND_DN}


def test_the_sample_gives_the_figures_that_were_measured_before(query, repository):
    text = (repository / "analysis" / "cookbook" / "what_the_lr_image_decides.sql").read_text()
    rows = {(row[0], row[1]): row[2:] for row in query(text).iter_rows()}
    for key, expected in PUBLISHED.items():
        for value, wanted in zip(rows[key][:4], expected, strict=True):
            # To the digits that were written down.
            assert abs(value - float(wanted)) <= 0.51 * 10 ** -len(wanted.partition(".")[2]), key
    shares = query("select model_id, contradicted_ratio from mart_consistency"
                   " where inference_path = 'notta'")  # fmt: skip
    for model_id, ratio in shares.iter_rows():
        assert 100 * ratio == pytest.approx(SHARES[model_id], abs=0.25), model_id


def test_the_table_of_the_page_and_the_shares_of_readme_are_the_samples(query, repository):
    text = (repository / "analysis" / "cookbook" / "what_the_lr_image_decides.sql").read_text()
    inner = {(row[0], row[1]): row[2:7] for row in query(text).iter_rows()}
    whole = {
        (row["model_id"], row["inference_path"]): row
        for row in query("select * from mart_consistency").iter_rows(named=True)
    }
    page = (repository / "docs" / "lr.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")][2:]
    assert len(rows) == len(PUBLISHED)
    for key, line in zip(PUBLISHED, rows, strict=True):
        shown = [cell.strip().removesuffix("%").strip() for cell in line.split("|")[2:-1]]
        values = [*inner[key], 100 * whole[key]["contradicted_ratio"]]
        for value, cell in zip(values, shown, strict=True):
            assert abs(value - float(cell)) <= 0.51 * 10 ** -len(cell.partition(".")[2]), (
                key,
                cell,
            )
    readme = " ".join((repository / "README.md").read_text(encoding="utf-8").split())
    digital, span = (round(100 * whole[name, "notta"]["bent_ratio"])
                     for name in ("upscayl_digital", "span_x2_ch48"))  # fmt: skip
    assert f"of Digital's, {digital} % is bent; of SPAN's, {span} %" in readme


def test_the_query_of_the_frame_counts_every_judged_block(query, repository):
    text = (repository / "analysis/cookbook/where_the_lr_image_is_missed.sql").read_text()
    rows = query(text)
    totals = dict(rows.group_by("model_id").agg(pl.col("block_count").sum()).iter_rows())
    assert totals == dict.fromkeys(SHARES, 6 * 64 * 64)
    digital = rows.filter(pl.col("model_id") == "upscayl_digital")
    assert digital["residual_dn"].min() > 4
    assert set(rows["distance_blocks"]) == set(range(9))


def test_states_by_the_indicator_contradicted_are_those_of_the_pixels(query, blocks):
    states = query(
        "select state_contradicted as state, count(*) as n from fct_block_states"
        " where model_id = 'upscayl_digital' group by state"
    )
    own = blocks.filter(pl.col("model_id") == "upscayl_digital")
    notta, tta = ((own[f"lr_contradicted_px_{path}"] > 0) for path in ("notta", "tta"))
    expected = {
        "Persistent": (notta & tta).sum(),
        "Escape": (notta & ~tta).sum(),
        "BlindSpot": (~notta & tta).sum(),
        "Stable": (~notta & ~tta).sum(),
    }
    assert dict(states.iter_rows()) == expected


def test_lr_files_are_sources_like_any_other(sample_study, query):
    listed = (sample_study.raw / "sources.sha256").read_text()
    assert listed.count("  lr/rg1_") == 6
    files = query("select role, count(*) as n from dim_source_files group by role")
    assert dict(files.iter_rows())["lr"] == 6
    named = query("select lr_file_name, lr_file_sha256 from dim_images order by image_id")
    assert all(sha256 in listed for _, sha256 in named.iter_rows())


@pytest.fixture
def changed(small_lr_study, tmp_path):
    """Give a copy of a small study with LR files, to be changed."""
    shutil.copytree(small_lr_study, tmp_path / "study")
    return load_study(tmp_path / "study" / "study.toml")


@pytest.fixture(scope="module")
def small_lr_study(sample_study_file, tmp_path_factory):
    """Give the folder of three images of the sample with LR files, ingested and built."""
    root, sample = tmp_path_factory.mktemp("lr") / "study", sample_study_file.parent
    for folder in ("reference", "lr", "restored/bicubic/notta"):
        (root / folder).mkdir(parents=True)
        for name in ("rg1_r0c0.png", "rg1_r0c1.png", "rg1_r1c0.png"):
            shutil.copy(sample / folder / name, root / folder / name)
    (root / "study.toml").write_text(
        '[study]\nname = "lr"\nreferences = "reference"\noutput = "out"\n'
        '[lr]\nfolder = "lr"\n'
        '[[models]]\nmodel_id = "bicubic"\nnotta = "restored/bicubic/notta"\n'
        "[parameters]\nimage_metrics = false\n"
    )
    study = load_study(root / "study.toml")
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    return root


def measure(study, read_rows):
    """Rows of the raw images, and of the refused LR files, after another ingest."""
    ingest_study(study, workers=1)
    rejects = [row for row in read_rows(study.raw, "rejects") if row["role"] == "lr"]
    return read_rows(study.raw, "images"), [(row["file_name"], row["reason"]) for row in rejects]


@pytest.mark.long
def test_the_rule_is_found_where_the_study_states_none(changed):
    with open_warehouse(changed.warehouse) as connection:
        rows = connection.sql("select lr_rule, lr_scale, lr_rule_status from dim_images").fetchall()
    assert rows == [("antialiased", 2, "verified")] * 3


@pytest.mark.long
def test_lr_files_that_prove_nothing_are_said_and_never_judged(changed, read_rows):
    lr = changed.lr.folder
    Image.open(lr / "rg1_r0c0.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        lr / "rg1_r0c0.png"
    )
    deep = np.asarray(Image.open(lr / "rg1_r0c1.png")).astype(np.uint16) * 257
    Image.fromarray(deep).save(lr / "rg1_r0c1.png")
    (lr / "rg1_r1c0.png").unlink()
    rows, rejects = measure(changed, read_rows)
    assert [row["lr_rule_status"] for row in rows] == ["unknown", "rejected", "missing"]
    assert "opencv_cubic x2" in rows[0]["lr_detail"]
    assert rejects == [("rg1_r0c1.png", "bit_depth")]
    build_warehouse(changed, threads=2)
    with open_warehouse(changed.warehouse) as connection:
        rows = connection.sql(
            "select lr_rule_status, judged_block_count, contradicted_px, bent_dn2, null_correlation"
            " from mart_consistency_images order by image_id"
        ).fetchall()
        assert connection.sql("select count(*) from mart_consistency").fetchall() == [(0,)]
    assert rows == [
        (status, None, None, None, None) for status in ("unknown", "rejected", "missing")
    ]


def test_lr_files_of_another_size_are_rejected_with_what_was_expected(changed, read_rows):
    lr = changed.lr.folder
    image = Image.open(lr / "rg1_r0c0.png")
    image.resize((1024, 1024)).save(lr / "rg1_r0c0.png")
    image.crop((0, 0, 255, 256)).save(lr / "rg1_r0c1.png")
    stated = replace(changed, lr=replace(changed.lr, rule="antialiased", scale=4))
    rows, rejects = measure(stated, read_rows)
    assert {row["lr_rule_status"] for row in rows} == {"rejected"}
    assert [reason for _, reason in rejects] == ["size_mismatch"] * 3
    rows, rejects = measure(changed, read_rows)
    assert [row["lr_rule_status"] for row in rows] == ["rejected", "rejected", "verified"]


def test_a_changed_lr_file_is_named_by_verify_and_measured_again(changed, read_rows):
    path = changed.lr.folder / "rg1_r0c0.png"
    grey = np.asarray(Image.open(path)).copy()
    grey[100, 100] += 9
    Image.fromarray(grey).save(path)
    report = verify(changed.output, changed)
    assert [(item.problem, item.name) for item in report.findings] == [
        ("differs", "sources/lr/rg1_r0c0.png")
    ]
    rows, _ = measure(changed, read_rows)
    assert [row["lr_rule_status"] for row in rows] == ["unknown", "verified", "verified"]
