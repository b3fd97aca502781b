"""The matrix of detectors by kinds draws the mart's numbers."""

import json

import duckdb
import polars as pl
import pytest

from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.phantoms import (
    draw_detectors,
    draw_free_response,
    list_detector_figures,
    list_free_response_figures,
)
from upscale_audit.analysis.figures.study import plan_figures
from upscale_audit.analysis.marts import Marts

ROW = {
    "model_id": "one",
    "inference_path": "notta",
    "arm": "auditor",
    "kind": "wire",
    "signal_part": "full",
    "contrast_dn": 8,
    "detector": "mse_dn2",
    "reading": "value",
    "cluster_unit": "patient",
    "cluster_count": 6,
    "drawn_count": 12,
    "sham_count": 108,
    "auc": 0.9,
    "auc_low": 0.8,
    "auc_high": 0.96,
}


FREE = {
    "model_id": "one",
    "inference_path": "notta",
    "detector": "mse_dn2",
    "reading": "value",
    "kind": "wire",
    "contrast_dn": 8,
    "false_positive_rate": 1.0,
    "cluster_count": 6,
    "limit_score": 20.5,
    "image_count": 12,
    "tile_count": 432,
    "false_positive_count": 12,
    "drawn_count": 24,
    "found_count": 18,
    "sensitivity_ratio": 0.75,
    "afroc_area": 0.5,
}


def write(folder, *changes, row=ROW, table="mart_detectors"):
    """Write a hand-made warehouse whose mart has a row for each change of `row`."""
    path, references = make_warehouse(folder, Case())
    frame = pl.DataFrame([row | change for change in changes], infer_schema_length=None)
    if changes:
        with duckdb.connect(str(path)) as connection:
            connection.register("frame", frame)
            connection.execute(f"insert into {table} by name select * from frame")
    return path, references


@pytest.fixture
def draw(tmp_path):
    def run(*changes, arm="auditor"):
        path, _ = write(tmp_path / "study", *changes)
        with Marts(path) as marts:
            chart = theme.finish(draw_detectors(marts, arm, "one")).to_dict()
        texts = [
            row["text"] for rows in chart["datasets"].values() for row in rows if "text" in row
        ]
        return texts, " ".join(chart["title"]["subtitle"]).replace("\u00a0", " "), chart

    return run


def test_a_cell_has_its_area_and_interval(draw):
    texts, caption, chart = draw({}, {"kind": "nodule_16", "auc": 1.0, "auc_low": None})
    assert {"mse_dn2", "wire", "nodule", "16 px", ".90", ".80\u2013.96", "1"} <= set(texts)
    assert "(n = 12 places a cell, 108 shams)" in caption
    assert "wires of 8 dn" in caption
    assert "drawn into the restored image" in json.dumps(chart["title"])


def test_an_area_below_one_is_never_written_as_one(draw):
    texts, _, _ = draw({"auc": 0.999, "auc_high": 0.9999})
    assert ".99" in texts
    assert texts.count("1") == 1  # of the legend


def test_signed_numbers_are_read_by_their_size_and_others_as_they_are(draw):
    texts, _, _ = draw(
        {"detector": "d_mu", "reading": "value", "auc": 0.11},
        {"detector": "d_mu", "reading": "negated", "auc": 0.22},
        {"detector": "d_mu", "reading": "absolute", "auc": 0.33},
        {"detector": "local_ssim", "reading": "negated", "auc": 0.44},
    )
    assert {".33", ".44"} <= set(texts)
    assert not {".11", ".22"} & set(texts)


def test_one_contrast_is_shown_and_what_was_nothing_is_not(draw):
    texts, caption, _ = draw(
        {"contrast_dn": 0, "auc": 0.51}, {"contrast_dn": 4, "auc": 0.61}, {"auc": 0.71}
    )
    assert ".71" in texts
    assert not {".51", ".61"} & set(texts)
    assert "wires of 8 dn" in caption


def test_the_highest_contrast_stands_for_eight_where_that_was_not_drawn(draw):
    texts, caption, _ = draw({"contrast_dn": 4, "auc": 0.61}, {"contrast_dn": 16, "auc": 0.81})
    assert (".81" in texts, ".61" in texts) == (True, False)
    assert "wires of 16 dn" in caption


def test_a_study_has_a_figure_for_each_arm_and_model_and_an_ordinary_one_none(tmp_path):
    path, references = write(tmp_path / "with", {}, {"arm": "lost", "model_id": "two"})
    with Marts(path) as marts:
        assert list_detector_figures(marts) == [("auditor", "one"), ("lost", "two")]
        names = [name for name in plan_figures(marts, references) if name.startswith("detectors_")]
    assert names == ["detectors_auditor_one", "detectors_lost_two"]
    path, references = write(tmp_path / "without")
    with Marts(path) as marts:
        assert list_detector_figures(marts) == []
        assert not any(name.startswith("detectors_") for name in plan_figures(marts, references))


def test_free_response_curves_have_a_panel_a_kind_of_one_contrast(tmp_path):
    changes = (
        {},
        {"false_positive_rate": 8.0, "sensitivity_ratio": 1.0},
        {"contrast_dn": 4, "sensitivity_ratio": 0.1},
        {"kind": "erase", "contrast_dn": None, "sensitivity_ratio": 0.25, "drawn_count": 20},
        {"kind": "nodule_16", "detector": "local_ssim", "reading": "negated"},
        {"detector": "d_hf", "sensitivity_ratio": 0.99},
    )
    path, references = write(tmp_path / "with", *changes, row=FREE, table="mart_free_response")
    with Marts(path) as marts:
        assert list_free_response_figures(marts) == ["one"]
        assert "free_response_one" in plan_figures(marts, references)
        chart = theme.finish(draw_free_response(marts, "one")).to_dict()
    heads = [panel["title"]["text"] for panel in chart["concat"]]
    assert heads == ["nodule 16 px", "wire", "erase"]
    drawn = sorted(
        (row["kind"], row["name"], row["false_positive_rate"], row["sensitivity_ratio"])
        for rows in chart["datasets"].values()
        for row in rows
    )
    assert drawn == [
        ("erase", "mse_dn2", 1, 0.25),
        ("nodule_16", "\u2212SSIM", 1, 0.75),
        ("wire", "mse_dn2", 1, 0.75),
        ("wire", "mse_dn2", 8, 1),
    ]
    caption = " ".join(chart["title"]["subtitle"]).replace("\u00a0", " ")
    assert "n = 20 to 24 places a panel, 12 images" in caption
    assert "Nodules, edges and wires of 8 dn." in caption


def test_a_study_without_phantoms_has_no_curves(tmp_path):
    path, _ = write(tmp_path / "without")
    with Marts(path) as marts:
        assert list_free_response_figures(marts) == []
