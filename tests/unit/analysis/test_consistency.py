"""Figures of LR images: what they show, what they leave out, and how they grow."""

import re

import duckdb
import numpy as np
import pytest
from PIL import Image

from tests.unit.analysis.conftest import Case, make_warehouse
from tests.unit.analysis.test_figures import PRINTABLE_PT, read_rows, read_text
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.consistency import (
    choose_contradicted,
    draw_consistency,
    draw_contradictions,
)
from upscale_audit.analysis.figures.study import draw_figures, plan_figures
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.output import write_chart
from upscale_audit.ingest.files import hash_file

# Large enough for a window of 96 px, and one that is not.
SIZES = ((16, 20), (5, 3))


@pytest.fixture
def make(tmp_path):
    """Give a function that makes a warehouse of a case, and opens it."""
    opened = []

    def run(**changes):
        case = Case(**({"has_lr": True, "sizes": SIZES} | changes))
        path, references = make_warehouse(tmp_path / f"study{len(opened)}", case)
        opened.append(Marts(path))
        return opened[-1], references

    yield run
    for marts in opened:
        marts.close()


def test_shares_composition_and_the_floor_are_those_of_the_mart(make):
    marts, _ = make()
    rows = read_rows(draw_consistency(marts))
    shares = {row["row"]: row["share"] for row in rows if "low" in row and "share" in row}
    assert shares == {"one": 10.0, "one, tta": 10.0, "two": 50.0}
    parts = [row["share"] for row in rows if row.get("row") == "one" and "kind" in row]
    assert parts == pytest.approx([100 * part / 3.6 for part in (2.0, 0.1, 1.5, 0.0)])
    text = read_text(draw_consistency(marts))
    assert "dashed: what rounding to 8 bits gives, 0.0625" in text
    assert "n = 2 images and 100 blocks per row" in text
    assert "95 % intervals of Korn and Graubard over 6 clusters (images). Right: bootstrap." in text


def test_what_is_proof_depends_on_whose_lr_image_it_is(make, tmp_path):
    marts, _ = make()
    said = read_text(draw_consistency(marts))
    assert "proof if models were given the LR images that the stated rule makes" in said
    assert "says little there" not in said
    marts.close()
    (path,) = tmp_path.glob("study*/warehouse.duckdb")
    with duckdb.connect(str(path)) as connection:
        sparse = "lr_rule_status = 'verified', lr_rule = 'opencv_cubic', lr_scale = 3"
        connection.execute(f"update mart_consistency_images set {sparse}")
    with Marts(path) as again:
        said = read_text(draw_consistency(again))
    assert "proof without the reference, and no threshold" in said
    assert "does not read all pixels alike: what is bent and what is invented says little" in said


def test_with_few_clusters_no_interval_is_drawn(make):
    marts, _ = make(clusters=3)
    rows = read_rows(draw_consistency(marts))
    assert {row["low"] for row in rows if "low" in row} == {None}
    text = read_text(draw_consistency(marts))
    assert "No intervals: 3 clusters (images) are too few" in text
    assert "bootstrap" not in text


def test_a_point_at_0_keeps_off_its_models_name(make):
    marts, _ = make()
    share, *_ = draw_consistency(marts).to_dict()["hconcat"]
    scales = [layer["encoding"]["x"]["scale"] for layer in share["layer"]]
    # A point's radius is half the root of its size.
    radius = max(layer["mark"].get("size", 0) for layer in share["layer"]) ** 0.5 / 2
    assert scales == [{"domain": [0, 100], "padding": 4}] * 2
    assert radius < 4


def test_a_study_without_lr_images_has_neither_figure(make):
    marts, references = make(has_lr=False)
    names = plan_figures(marts, references)
    assert not any(name.startswith(("consistency", "contradictions")) for name in names)
    marts, references = make()
    names = set(plan_figures(marts, references))
    assert {"consistency", "contradictions_image_1"} <= names


def test_the_median_image_is_mapped_and_the_window_lies_where_most_structure_is(make):
    marts, references = make()
    assert choose_contradicted(marts) == "image_1"
    text = read_text(draw_contradictions(marts, references, "image_0"))
    # Contradictions and variance both grow to the right and downward.
    assert "Enlarged: 96 px from row 32, column 64" in text
    assert "LR by antialiased, 1/2, unverified" in text


def read_panels(chart):
    """Titles and subtitles of the pictures, in order."""

    def walk(spec):
        if "mark" in spec:
            title = spec["title"]
            yield title["text"], title["subtitle"]
        for key in ("concat", "vconcat"):
            for part in spec.get(key, []):
                yield from walk(part)

    return list(walk(chart.to_dict()))


def test_restored_and_lr_images_are_shown_where_they_are_those_that_were_measured(make, tmp_path):
    marts, references = make()
    alone = read_panels(draw_contradictions(marts, references, "image_0"))
    assert alone == [
        ("Reference", "enlarged"),
        ("Reference", "whole, and the window"),
        ("one", "95 % of blocks"),
        ("two", "100 % of blocks"),
    ]
    folder = tmp_path / "one"
    folder.mkdir()
    grey = np.asarray(Image.open(references / "image_0.png"))
    Image.fromarray(255 - grey).save(folder / "image_0.png")
    (path,) = (item for item in tmp_path.glob("study*/warehouse.duckdb"))
    marts.close()
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "insert into dim_source_files (role, model_id, inference_path, image_id, file_name,"
            " file_sha256, width_px, height_px) values"
            " ('restored', 'one', 'notta', 'image_0', 'image_0.png', ?, 160, 128)",
            [hash_file(folder / "image_0.png")],
        )
    with Marts(path) as again:
        folders = {"one": folder}
        shown = read_panels(draw_contradictions(again, references, "image_0", folders))
        assert ("one", "enlarged") in shown
        assert ("Contradicted", "95 % of blocks") in shown
        # Changed since: not what the map is of.
        Image.fromarray(grey).save(folder / "image_0.png")
        assert read_panels(draw_contradictions(again, references, "image_0", folders)) == alone


@pytest.mark.long
@pytest.mark.parametrize("count", [2, 7, 15])
def test_the_figures_fit_a_page_at_any_number_of_models(make, tmp_path, count):
    models = tuple(f"a_model_of_a_long_name_{number:02d}" for number in range(count))
    marts, references = make(models=models, without_tta=(), source_models=models)
    for name, chart in {
        "consistency": draw_consistency(marts),
        "contradictions": draw_contradictions(marts, references, "image_0"),
    }.items():
        svg = write_chart(theme.finish(chart), tmp_path, name)[1].read_text()
        assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) <= PRINTABLE_PT, name


@pytest.mark.long
def test_both_are_written_with_the_others(make, tmp_path):
    marts, references = make(lfv_paths=(), box_patients=0)
    path = next(tmp_path.glob("study*/warehouse.duckdb"))
    marts.close()
    drawn = {item.name for item in draw_figures(path, references, tmp_path / "figures")}
    assert {"consistency.png", "contradictions_image_1.svg"} <= drawn
