"""mart_sfrc against the raw patches, counted and bounded without SQL."""

from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.warehouse.test_flag_rates import find_interval
from upscale_audit.ingest.run import ingest_study

THRESHOLDS = {0.5: "frc50_end", 0.75: "frc75_end"}


@pytest.fixture(scope="module")
def patches(sample_study):
    """Give the sample's raw patches: rows by model and inference path."""
    (path,) = (sample_study.raw / "patches").glob("*.parquet")
    groups = defaultdict(list)
    for row in pq.ParquetFile(path).read().to_pylist():
        groups[row["model_id"], row["inference_path"]].append(row)
    return groups


@pytest.fixture(scope="module")
def mart(query):
    """Give the mart's rows by model, inference path and threshold."""
    rows = query("select * from mart_sfrc").to_dicts()
    keys = ("model_id", "inference_path", "frc_threshold")
    return {tuple(row[key] for key in keys): row for row in rows}


def test_every_path_has_a_row_a_threshold(patches, mart):
    assert len(patches) == 9
    assert mart.keys() == {(*path, threshold) for path in patches for threshold in THRESHOLDS}
    assert {row["patch_px"] for row in mart.values()} == {64}
    assert {row["lr_nyquist"] for row in mart.values()} == {0.25}


def test_counts_medians_and_intervals_are_those_of_the_raw_patches(patches, mart):
    for (model_id, inference_path, threshold), row in mart.items():
        raw = patches[model_id, inference_path]
        ends = np.array([item[THRESHOLDS[threshold]] for item in raw])
        flags = [(item["image_id"], end < 0.25) for item, end in zip(raw, ends, strict=True)]
        assert (row["patch_count"], row["evaluated_count"]) == (len(raw), len(raw)) == (384, 384)
        assert row["flagged_count"] == sum(flag for _, flag in flags)
        assert row["flagged_ratio"] == pytest.approx(row["flagged_count"] / 384)
        assert row["median_end"] == pytest.approx(np.median(ends), rel=1e-12)
        assert (row["cluster_unit"], row["cluster_count"]) == ("image", 6)
        size, low, high = find_interval(flags)
        found = row["effective_count"], row["flagged_low_ratio"], row["flagged_high_ratio"]
        assert found == pytest.approx((size, low, high), abs=2e-9, rel=1e-8)


def test_networks_that_repaint_disagree_below_lr_nyquist_and_interpolation_does_not(mart):
    notta = {key[0]: row for key, row in mart.items() if key[1:] == ("notta", 0.5)}
    repainted = ("realesr_animevideov3", "upscayl_digital", "upscayl_standard")
    for model_id, row in notta.items():
        if model_id in repainted:
            assert row["flagged_low_ratio"] > 0.85
        else:
            assert row["flagged_high_ratio"] < 0.05


def test_a_model_with_tta_differs_less_from_the_reference(mart):
    for model_id in ("realesr_animevideov3", "upscayl_digital", "upscayl_standard"):
        without, with_tta = (mart[model_id, path, 0.5] for path in ("notta", "tta"))
        assert with_tta["median_end"] > without["median_end"]


def test_the_cookbook_reads_models_beside_the_baseline(query, repository):
    sql = (repository / "analysis/cookbook/which_patches_disagree.sql").read_text()
    rows = query(sql).to_dicts()
    assert len(rows) == 18
    keys = [(row["frc_threshold"], -row["flagged_pct"]) for row in rows]
    assert keys == sorted(keys)
    bicubic = {row["frc_threshold"]: row for row in rows if row["model_id"] == "bicubic"}
    for row in rows:
        excess = row["flagged_pct"] - bicubic[row["frc_threshold"]]["flagged_pct"]
        assert row["excess_pct"] == pytest.approx(excess, abs=1e-9)


def test_workers_do_not_change_a_byte(new_study_folder, tmp_path, read_tree, monkeypatch):
    monkeypatch.setattr("upscale_audit.ingest.run.IMAGES_PER_UNIT", 1)
    folder = new_study_folder(tmp_path / "study")
    folder.add_model("alpha")
    for image_id in ("a", "b", "c"):
        folder.add_image(image_id, shape=(96, 130))
    trees = []
    for workers in (1, 2, 2):
        study = folder.load(output=f"out{len(trees)}", sfrc=[32, 64])
        ingest_study(study, workers=workers)
        trees.append(read_tree(study.raw / "patches"))
    assert len(trees[0]) == 3
    assert trees[0] == trees[1] == trees[2]


def test_patches_of_a_size_that_is_no_longer_asked_for_go(new_study_folder, tmp_path):
    folder = new_study_folder(tmp_path / "study")
    folder.add_model("alpha")
    folder.add_image("a", shape=(64, 64))
    for sizes, files in (([32], 1), ([], 0), ([16, 32], 1)):
        study = folder.load(sfrc=sizes)
        ingest_study(study, workers=1)
        assert len(list((study.raw / "patches").glob("*"))) == files
