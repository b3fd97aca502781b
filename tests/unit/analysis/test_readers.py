"""Figures of readers: what is drawn of them, and that captions say what the marts hold."""

import duckdb
import polars as pl
import pytest

from tests.unit.analysis.test_local_fidelity import read_rows, read_title
from upscale_audit.analysis.figures.lesions import MOST_FINDINGS
from upscale_audit.analysis.figures.readers import draw_readers, plan_reader_figures
from upscale_audit.analysis.figures.study import VARYING_STARTS, plan_figures
from upscale_audit.analysis.marts import Marts

FINDINGS = tuple(f"Finding {number:02}" for number in range(MOST_FINDINGS + 1))


def make_row(finding, model_id, number, **changes):
    return {
        "reader": "densenet",
        "model_id": model_id,
        "inference_path": "notta",
        "finding": finding,
        "cluster_unit": "patient",
        "image_count": 40,
        "positive_count": 10 + number,
        "positive_cluster_count": 9,
        "negative_cluster_count": 20,
        "auc_difference": -0.1,
        "auc_difference_low": -0.19,
        "auc_difference_high": -0.01,
        "p_holm": 0.04,
        "family_size": len(FINDINGS),
        "called_count": 44,
        "flip_count": 5,
        "flip_ratio": 5 / 44,
        "flip_low_ratio": 0.02,
        "flip_high_ratio": 0.3,
        "gained_count": 2,
        "lost_count": 3,
        "flip_p_holm": 1.0,
        "flip_family_size": len(FINDINGS),
    } | changes


@pytest.fixture
def read_study(study):
    """Give a function that makes a warehouse with rows of `mart_reading_effect`."""

    def make(rows):
        path, references = study()
        with duckdb.connect(str(path)) as connection:
            frame = pl.DataFrame(rows, infer_schema_length=None)
            connection.register("frame", frame)
            connection.execute("insert into mart_reading_effect by name select * from frame")
        return path, references

    return make


def test_nothing_is_drawn_where_nothing_was_read(study):
    path, references = study()
    with Marts(path) as marts:
        assert plan_reader_figures(marts) == {}
        assert not [name for name in plan_figures(marts, references) if "reader" in name]
    assert "readers_" in VARYING_STARTS


def test_a_caption_counts_what_its_picture_shows(read_study):
    rows = [
        make_row(finding, model_id, number)
        for number, finding in enumerate(FINDINGS)
        for model_id in ("one", "two")
    ]
    # The one with the fewest images is not drawn; nothing differs in another.
    rows[-1] |= {"auc_difference_low": None, "auc_difference_high": None, "p_holm": None}
    path, references = read_study(rows)
    with Marts(path) as marts:
        plan = plan_reader_figures(marts)
        assert list(plan) == ["readers_areas_densenet", "readers_flips_densenet"]
        assert {*plan} <= {*plan_figures(marts, references)}
        areas, flips = (draw_readers(marts, *facts) for facts in plan.values())
    drawn = read_rows(areas)
    assert {row["finding"] for row in drawn} == {*FINDINGS[1:]}
    assert {row["evidence"] for row in drawn} == {"corrected p < 0.05", "no test"}
    said = read_title(areas)
    assert "n = 40 images per point" in said
    assert "1 point without a bar" in said
    assert f"Drawn are the {MOST_FINDINGS} of {len(FINDINGS)} findings" in said
    said, drawn = read_title(flips), read_rows(flips)
    turned = sum(row["flip_count"] for row in drawn)
    gained = sum(row["gained_count"] for row in drawn)
    assert (turned, gained) == (5 * len(drawn), 2 * len(drawn))
    text = f"Of {turned} calls that turned over, {gained} became positive and {turned - gained} neg"
    assert text in said
    assert {row["evidence"] for row in drawn} == {"corrected p \u2265 0.05"}


def test_a_share_without_labels_of_both_kinds_is_said_to_be_none(read_study):
    path, _ = read_study([make_row("Mass", "one", 0, auc_difference=None)])
    with Marts(path) as marts:
        assert set(plan_reader_figures(marts)) == {
            "readers_areas_densenet",
            "readers_flips_densenet",
        }
        assert "labels of both kinds" in str(draw_readers(marts, "densenet", "areas").to_dict())
