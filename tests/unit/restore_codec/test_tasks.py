"""Tasks after decoding: edges and areas that can be counted by hand."""

import csv
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

REASON = "pip install 'upscale-audit[codec]'"
pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)
pytest.importorskip("skimage", reason="pip install scikit-image")
ndimage = pytest.importorskip("scipy.ndimage", reason="pip install scipy")

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.ingest.study import load_study  # noqa: E402
from upscale_audit.restore.codec import tasks  # noqa: E402


def draw_line(col, rows=10):
    edges = np.zeros((20, 20), bool)
    edges[:rows, col] = True
    return edges


def test_an_edge_one_pixel_off_is_found_and_two_pixels_off_is_not():
    assert tasks.compare_edges(draw_line(5), draw_line(5), 0) == 1
    assert tasks.compare_edges(draw_line(6), draw_line(5), 1) == 1
    assert tasks.compare_edges(draw_line(7), draw_line(5), 1) == 0
    # Recall: rows 0..5 have one of rows 0..4 near, 6 of 10; precision 1: F = 2 * 0.6 / 1.6.
    assert tasks.compare_edges(draw_line(5, 5), draw_line(5), 1) == pytest.approx(0.75)
    nothing = np.zeros((20, 20), bool)
    assert tasks.compare_edges(nothing, draw_line(5), 1) == 0
    assert tasks.compare_edges(nothing, nothing, 1) is None


def test_the_neighbourhood_is_scipys_dilation():
    edges = np.random.default_rng(2).random((31, 17)) < 0.1
    square = np.ones((3, 3), bool)
    assert np.array_equal(tasks._widen(edges, 1), ndimage.binary_dilation(edges, square))


def test_areas_are_compared_by_dice():
    first, second = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    first[:2], second[1:3] = True, True  # 8 and 8 pixels, 4 of them shared
    assert tasks.compare_areas(first, second) == 0.5
    assert tasks.compare_areas(first & ~first, second & ~second) is None


def test_otsu_parts_two_levels_and_a_step_has_its_edge_where_it_is():
    grey = np.full((40, 40), 40, np.uint8)
    grey[:, 20:] = 200
    assert np.array_equal(tasks.find_foreground(grey), grey == 200)
    assert not tasks.find_foreground(np.full((5, 5), 9, np.uint8)).any()
    cols = np.flatnonzero(tasks.find_edges(grey)[5:35].any(axis=0))
    assert len(cols)
    assert set(cols) <= {19, 20}


@pytest.fixture
def study(tmp_path, grey):
    flat = np.full_like(grey, 100)
    for model, image in (("reference", grey), ("same", grey), ("flat", flat)):
        (tmp_path / model).mkdir()
        for name in ("a", "b"):
            Image.fromarray(image).save(tmp_path / model / f"{name}.png")
    (tmp_path / "study.toml").write_text(
        '[study]\nname = "tasks"\nreferences = "reference"\noutput = "out"\n'
        '[[models]]\nmodel_id = "same"\nnotta = "same"\n'
        '[[models]]\nmodel_id = "flat"\nnotta = "flat"\n'
        '[parameters]\nbaseline_model = "same"\n',
        encoding="utf-8",
    )
    return load_study(tmp_path / "study.toml")


def test_what_is_unchanged_scores_one_and_what_is_flat_has_no_edges(study, tmp_path):
    table = tasks.measure_tasks(study, tmp_path / "tables")
    found = {(row["model_id"], row["task"]): row for row in table}
    assert {key[1] for key in found} == {"edge_f", "foreground_dice"}  # nothing was read
    for task in ("edge_f", "foreground_dice"):
        assert (found["same", task]["mean"], found["same", task]["image_count"]) == (1, 2)
        assert (found["flat", task]["mean"], found["flat", task]["worst"]) == (0, 0)
    with open(tmp_path / "tables" / "task_runs.csv", encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_a_reading_counts_as_far_as_it_is_from_the_references(study, tmp_path):
    rows = [
        {"reader": "r", "image_id": "a", "subject": subject, "model_id": model}
        | {"inference_path": path, "finding": finding, "score": score}
        for subject, model, path, finding, score in (
            ("reference", None, None, "Mass", 0.25),
            ("reference", None, None, "Edema", 0.5),
            ("restored", "flat", "notta", "Mass", 0.75),
            ("restored", "flat", "notta", "Edema", 0.25),
        )
    ]
    (study.output / "readings").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), study.output / "readings" / "readings.parquet")
    table = tasks.measure_tasks(study, tmp_path / "tables")
    (found,) = [row for row in table if row["task"] == "reading_shift"]
    assert (found["model_id"], found["mean"], found["image_count"]) == ("flat", 0.375, 1)
    assert found["low"] is None


def test_another_size_is_an_error(study, tmp_path, grey):
    Image.fromarray(grey[:-1]).save(tmp_path / "flat" / "b.png")
    with pytest.raises(StudyError, match="expected 83x61 px"):
        tasks.measure_tasks(study, tmp_path / "tables")


def test_without_references_there_is_nothing_to_compare_with(study, tmp_path):
    published_only = replace(study, references=None)
    with pytest.raises(StudyError, match="names no images: expected references"):
        tasks.measure_tasks(published_only, tmp_path / "tables")
