"""Figures are drawn whole, say what is missing, and come out the same twice."""

import io
import re
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

import analysis
from analysis import theme
from analysis.axis import MINIMUM_ALIGNMENT, draw_axis1_distribution, draw_pca_basis
from analysis.blockmap import choose_images, draw_blockmap, find_limit, paint_blocks
from analysis.coverage import draw_coverage, is_complete
from analysis.figures import draw_figures, plan_figures
from analysis.intervals import draw_direction_components, draw_tta_effect
from analysis.marts import Marts, read_components
from ingest.errors import StudyError

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
COOKBOOK = sorted((Path(analysis.__file__).parent / "cookbook").glob("*.sql"))
PRINTABLE_PT = 180 / 25.4 * 72


def read_text(chart):
    """Title and caption of a chart, and every text that its data hold, as one string."""
    spec = chart.to_dict()
    title = spec["title"]
    rows = [row for rows in spec.get("datasets", {}).values() for row in rows]
    words = [str(value) for row in rows for value in row.values()]
    return " ".join([title["text"], *title["subtitle"], *words]).replace("\u00a0", " ")


def read_rows(chart):
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A study with every complication at once, drawn once."""
    from tests.unit.analysis.conftest import Case, make_warehouse

    folder = tmp_path_factory.mktemp("drawn")
    path, references = make_warehouse(folder, Case(is_complete=False))
    calls = []
    paths = draw_figures(path, references, folder / "figures", lambda *call: calls.append(call))
    return path, references, paths, calls


def test_every_figure_is_written_in_three_formats_and_reported(drawn):
    _, _, paths, calls = drawn
    names = {
        "direction_components",
        "axis1_distribution",
        "pca_basis",
        "tta_effect",
        "coverage",
        "axis1_blockmap_image_0",
        "axis1_blockmap_image_1",
    }
    assert {path.name for path in paths} == {
        f"{name}{ending}" for name in names for ending in (".png", ".svg", ".html")
    }
    assert {path.name for path in paths[0].parent.iterdir()} == {path.name for path in paths}
    assert [call[:2] for call in calls] == [(done, 7) for done in range(1, 8)]


def test_pictures_decode_are_not_blank_and_fit_a_page_at_300_dpi(drawn):
    for path in (path for path in drawn[2] if path.suffix == ".png"):
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"))
            assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert pixels.std() > 5, path
        assert pixels.shape[1] <= PRINTABLE_PT / 72 * 300, path


def test_a_block_map_shows_the_colours_of_its_scores(drawn):
    path = next(path for path in drawn[2] if path.name == "axis1_blockmap_image_0.png")
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    red = (pixels[..., 0] - pixels[..., 2] > 40).mean()
    blue = (pixels[..., 2] - pixels[..., 0] > 40).mean()
    assert red > 0.02
    assert blue > 0.02


def test_vectors_have_print_size_and_pages_load_nothing(drawn):
    for path in drawn[2]:
        text = path.read_text(encoding="utf-8") if path.suffix != ".png" else ""
        if path.suffix == ".svg":
            assert re.search(r'<svg[^>]*width="[\d.]+pt" height="[\d.]+pt"', text)
        if path.suffix == ".html":
            # Scripts are inline; what they contain is no markup.
            markup = re.sub(r"(<script[^>]*>).*?</script>", r"\1", text, flags=re.DOTALL)
            assert not re.search(r"<(script|link|img)[^>]*\b(src|href)=", markup)
            assert text.index("zoom") < text.index("<script")


def test_a_second_run_writes_the_same_bytes(drawn, tmp_path):
    path, references, paths, _ = drawn
    for again in draw_figures(path, references, tmp_path):
        first = next(known for known in paths if known.name == again.name)
        assert again.read_bytes() == first.read_bytes(), again.name


def test_figures_of_an_earlier_study_are_removed_and_other_files_are_kept(study, tmp_path):
    folder = tmp_path / "figures"
    folder.mkdir()
    for name in ("axis1_blockmap_gone.png", "coverage.svg", "mine.png", "coverage.txt"):
        (folder / name).write_text("old")
    draw_figures(*study(models=("one",), is_identifiable=False), folder)
    kept = {path.name for path in folder.iterdir()}
    assert {"mine.png", "coverage.txt"} <= kept
    assert not {"axis1_blockmap_gone.png", "coverage.svg"} & kept


def test_without_intervals_the_points_stand_alone_and_the_caption_says_why(study):
    path, _ = study(clusters=3)
    with Marts(path) as marts:
        for draw in (draw_direction_components, draw_tta_effect):
            chart = draw(marts)
            assert "No intervals: 3 clusters (images) are too few to resample." in read_text(chart)
            assert all(row["low"] is None for row in read_rows(chart))
            assert read_rows(chart)


def test_intervals_are_in_robust_spreads_like_their_means(study):
    path, _ = study()
    with Marts(path) as marts:
        rows = read_rows(draw_direction_components(marts))
    assert len(rows) == 2 * 2 * len(read_components())
    for row in rows:
        assert (row["low"], row["high"]) == pytest.approx((row["mean"] - 0.2, row["mean"] + 0.2))


def test_a_component_without_spread_is_named_and_not_drawn(study):
    path, _ = study(flat_component="ring")
    with Marts(path) as marts:
        chart = draw_direction_components(marts)
    assert "(no spread): Ringing." in read_text(chart)
    assert not any(row["component"] == "ring" for row in read_rows(chart))


def test_a_model_without_tta_is_named_and_not_drawn_as_zero(study):
    path, _ = study()
    with Marts(path) as marts:
        effect, distribution = draw_tta_effect(marts), draw_axis1_distribution(marts)
    assert "no augmented images: two." in read_text(effect)
    assert {row["model_id"] for row in read_rows(effect)} == {"one"}
    assert "Without augmented images: two." in read_text(distribution)


def test_a_study_without_any_tta_says_so(study):
    path, _ = study(models=("solo",), without_tta=("solo",))
    with Marts(path) as marts:
        assert "No model has augmented images: solo." in read_text(draw_tta_effect(marts))


def test_an_axis_that_is_not_identifiable_is_said_and_not_drawn(study):
    path, references = study(is_identifiable=False)
    with Marts(path) as marts:
        assert choose_images(marts) == []
        assert list(plan_figures(marts, references))[-1] == "axis1_blockmap"
        for draw in (draw_direction_components, draw_axis1_distribution):
            assert "Axis1 is not identifiable" in read_text(draw(marts))
        basis = read_text(draw_pca_basis(marts))
        assert "not identifiable: no block is scored" in basis
        assert "PC1 scores every block" not in basis
        assert "Without a value: |PC1| (dimensionless)." in read_text(draw_tta_effect(marts))


def test_empty_bins_are_drawn_as_zero(study):
    path, _ = study(models=("one",), without_tta=("one",))
    with Marts(path) as marts:
        rows = read_rows(draw_axis1_distribution(marts))
    shares = {row["axis1"]: row["block_pct"] for row in rows}
    assert shares == pytest.approx(
        {-0.45: 0, -0.35: 10, -0.25: 0, -0.15: 0, -0.05: 0, 0.05: 30, 0.15: 60, 0.25: 0}
    )
    assert rows[0]["model"].endswith("notta 90.0 %")


def test_coverage_is_drawn_only_if_something_is_missing(study, tmp_path):
    path, references = study(is_complete=False)
    with Marts(path) as marts:
        assert not is_complete(marts)
        text = read_text(draw_coverage(marts))
        assert "coverage" in plan_figures(marts, references)
    assert "Not in any bar: 1 reference refused" in text
    assert "path not declared" in text


def test_an_undeclared_path_alone_is_no_gap(study):
    path, _ = study()
    with Marts(path) as marts:
        assert is_complete(marts)


def test_the_most_changed_image_is_mapped_first_on_a_scale_that_holds_all(study):
    path, _ = study()
    with Marts(path) as marts:
        images = choose_images(marts)
        assert images[0] == "image_1"
        (row,) = marts.rows("select cast(max(abs(axis1)) as double) as most from fct_blocks")
        assert row["most"] <= find_limit(marts, images) < row["most"] + 0.1


def test_blocks_are_painted_where_they_lie_and_grey_where_there_is_no_score(study):
    path, _ = study()
    with Marts(path) as marts:
        blocks = marts.frame(
            "select block_row, block_col, cast(axis1 as double) as axis1 from fct_blocks"
            " where model_id = 'one' and image_id = 'image_1'"
        )
    pixels = paint_blocks(blocks, 5, 3, limit=2.0)
    side = pixels.shape[0] // 5
    centres = pixels[side // 2 :: side, side // 2 :: side]
    expected = np.array([[(row - col) / 4 + 1 for col in range(3)] for row in range(5)]) / 2
    expected[4] = np.nan
    np.testing.assert_array_equal(centres, theme.diverging_colours(expected))
    assert (centres[4] == centres[4, 0, 0]).all()


def test_the_diverging_colours_are_as_light_on_either_side():
    steps = np.linspace(0, 1, 9)
    weights = np.array([0.2126, 0.7152, 0.0722])
    high = (theme.diverging_colours(steps) / 255.0) ** 2.2 @ weights
    low = (theme.diverging_colours(-steps) / 255.0) ** 2.2 @ weights
    np.testing.assert_allclose(high, low, atol=0.06)
    assert (np.diff(high) < 0).all()
    assert (np.diff(low) < 0).all()


def test_a_reference_that_is_gone_or_changed_is_an_error_that_names_the_repair(study):
    path, references = study()
    with Marts(path) as marts:
        Image.new("L", (48, 32)).save(references / "image_0.png")
        with pytest.raises(StudyError, match=r"SHA-256 differs.*upscale-audit ingest"):
            draw_blockmap(marts, references, "image_0", 1.0)
        (references / "image_0.png").unlink()
        with pytest.raises(StudyError, match=r"no reference 'image_0.png'.*upscale-audit ingest"):
            draw_blockmap(marts, references, "image_0", 1.0)


def test_a_missing_warehouse_is_an_error_that_names_the_repair(tmp_path):
    with pytest.raises(StudyError, match=r"no warehouse at .*; run upscale-audit build first"):
        draw_figures(tmp_path / "warehouse.duckdb", tmp_path, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("content", [b"not a database", None])
def test_another_file_or_version_is_an_error_that_names_the_repair(tmp_path, content):
    path = tmp_path / "warehouse.duckdb"
    if content is None:
        with duckdb.connect(str(path)) as connection:
            connection.execute("create table dim_models (name varchar)")
    else:
        path.write_bytes(content)
    with pytest.raises(StudyError, match="upscale-audit build"):
        draw_figures(path, tmp_path, tmp_path / "figures")


def test_ten_models_with_long_names_fit_the_page(study):
    names = tuple(f"model_{number}_" + "long_name_" * 5 for number in range(10))
    path, references = study(models=names, without_tta=names[:3])
    with Marts(path) as marts:
        for name, draw in plan_figures(marts, references).items():
            svg = theme.finish(draw(marts))
            assert _width(svg) <= PRINTABLE_PT, name


def _width(chart):
    buffer = io.StringIO()
    chart.save(buffer, format="svg")
    return float(re.search(r'width="([\d.]+)"', buffer.getvalue())[1])


def test_a_long_model_name_is_broken_and_none_of_it_lost():
    name = "upscayl_standard-4x.with_a_very_long_suffix_" + "x" * 20
    label = theme.label_model(name)
    assert label.replace("\n", "") == name
    assert max(len(line) for line in label.split("\n")) <= 32


def test_the_alignment_limit_is_the_one_of_the_mart():
    sql = (PROJECT / "models" / "marts" / "mart_axis1_types.sql").read_text(encoding="utf-8")
    assert float(re.search(r"set minimum_alignment = ([\d.]+)", sql)[1]) == MINIMUM_ALIGNMENT


@pytest.mark.parametrize("file", COOKBOOK, ids=lambda file: file.stem)
def test_cookbook_queries_run_as_they_are_and_read_only_the_warehouse(study, file):
    path, _ = study()
    query = file.read_text(encoding="utf-8")
    assert query.startswith("--"), "a query says first what it answers"
    assert not re.search(r"\b(stg|int)_", query)
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.sql(query).fetchall()
    assert rows or file.stem == "artefacts_on_the_positive_side"


def test_the_cookbook_is_not_empty():
    assert len(COOKBOOK) >= 6
