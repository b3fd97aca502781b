"""Figures are drawn whole, say what is missing, and come out the same twice."""

import io
import re
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

import upscale_audit.analysis
import upscale_audit.analysis.figures.study
import upscale_audit.warehouse.build
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.axis import (
    draw_axis1_distribution,
    draw_pca_basis,
)
from upscale_audit.analysis.figures.blockmap import (
    choose_images,
    draw_blockmap,
    find_limit,
    paint_blocks,
)
from upscale_audit.analysis.figures.correlation import draw_metric_correlation, format_r
from upscale_audit.analysis.figures.coverage import draw_coverage, is_complete
from upscale_audit.analysis.figures.information import ASSESSMENTS, DUPLICATE, draw_rule_information
from upscale_audit.analysis.figures.intervals import draw_direction_components, draw_tta_effect
from upscale_audit.analysis.figures.ledger import draw_ledger
from upscale_audit.analysis.figures.multiverse import draw_axis1_multiverse
from upscale_audit.analysis.figures.overlap import MOST_COMBINATIONS, draw_rule_overlap
from upscale_audit.analysis.figures.rates import EVIDENCE, draw_flag_rates
from upscale_audit.analysis.figures.rules import (
    COLOURS,
    label_classes,
    list_sources,
    name_class,
    name_files,
    read_least_counts,
)
from upscale_audit.analysis.figures.study import (
    SOURCE_FIGURES,
    STUDY_FIGURES,
    draw_figures,
    plan_figures,
)
from upscale_audit.analysis.figures.verdicts import draw_verdicts
from upscale_audit.analysis.lfv import LFV_FIGURES
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
COOKBOOK = sorted((Path(upscale_audit.analysis.__file__).parent / "cookbook").glob("*.sql"))
PUBLISHED = {
    "models": (),
    "sizes": (),
    "sources": ("paper-300",),
    "source_models": ("model1",),
    "has_lpips": True,
}
PRINTABLE_PT = 180 / 25.4 * 72


def read_text(chart):
    """Title and caption of a chart, and every text that its data hold, as one string."""
    spec = chart.to_dict()
    title = spec["title"]
    rows = [row for rows in spec.get("datasets", {}).values() for row in rows]
    words = [str(value) for row in rows for value in row.values()]
    heads = title["text"] if isinstance(title["text"], list) else [title["text"]]
    return " ".join([*heads, *title["subtitle"], *words]).replace("\u00a0", " ")


def read_rows(chart):
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A study with every complication at once, drawn once."""
    from tests.unit.analysis.conftest import Case, make_warehouse

    folder = tmp_path_factory.mktemp("drawn")
    case = Case(is_complete=False, lfv_paths=("notta",), box_patients=0)
    path, references = make_warehouse(folder, case)
    calls = []
    paths = draw_figures(path, references, folder / "figures", lambda *call: calls.append(call))
    return path, references, paths, calls


def test_every_figure_is_written_in_four_formats_and_reported(drawn):
    _, _, paths, calls = drawn
    names = {
        *STUDY_FIGURES,
        "coverage",
        "model_pairs",
        "restorer_audit",
        "guarantee",
        "axis1_blockmap_image_0",
        "axis1_blockmap_image_1",
        *(f"{name}_images" for name in SOURCE_FIGURES),
        *(f"lfv_proof/images_notta/{name}" for name in LFV_FIGURES),
    }
    folder = paths[0].parent
    assert {path.relative_to(folder).as_posix() for path in paths} == {
        *(f"{name}{ending}" for name in names for ending in (".png", ".svg", ".pdf", ".html")),
        "captions.txt",
    }
    assert {path for path in folder.rglob("*") if path.is_file()} == set(paths)
    count = len(names) + 1  # and one that has nothing to show
    assert [call[:2] for call in calls] == [(done, count) for done in range(1, count + 1)]


def test_pictures_decode_are_not_blank_and_fit_a_page_at_300_dpi(drawn):
    pictures = [path for path in drawn[2] if path.suffix == ".png"]
    assert pictures
    for path in pictures:
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
        if path.suffix == ".pdf":
            assert path.read_bytes().startswith(b"%PDF-1.7")
            continue
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
        name = again.relative_to(tmp_path)
        first = next(known for known in paths if known.parts[-len(name.parts) :] == name.parts)
        assert again.read_bytes() == first.read_bytes(), again.name


def test_figures_of_an_earlier_study_are_removed_and_other_files_are_kept(
    study, tmp_path, monkeypatch
):
    monkeypatch.setattr(upscale_audit.analysis.figures.study, "write_chart", lambda *_: [])
    folder = tmp_path / "figures"
    folder.mkdir()
    stale = ("axis1_blockmap_gone.png", "coverage.svg", "verdicts_gone.html", "pca_basis.png")
    for name in (*stale, "mine.png", "pca_basis_mine.png", "coverage.txt"):
        (folder / name).write_text("old")
    path, _ = study(**PUBLISHED)
    draw_figures(path, None, folder)
    kept = {path.name for path in folder.iterdir()}
    assert {"mine.png", "pca_basis_mine.png", "coverage.txt"} <= kept
    assert not set(stale) & kept


def test_without_intervals_the_points_stand_alone_and_the_caption_says_why(study):
    path, _ = study(clusters=3)
    with Marts(path) as marts:
        for draw in (draw_direction_components, draw_tta_effect):
            chart = draw(marts)
            assert "No intervals: 3 clusters (images) are too few to resample." in read_text(chart)
            assert {row["low"] for row in read_rows(chart)} == {None}


def test_intervals_are_in_robust_spreads_like_their_means(study):
    path, _ = study()
    with Marts(path) as marts:
        chart = draw_direction_components(marts)
        rows = read_rows(chart)
        components = marts.read_components()
    # Controls are in the study, and not in the spreads (int_direction_scales).
    assert "of the component over the axis models' notta blocks" in read_text(chart)
    assert len(rows) == 2 * 2 * len(components)
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
        assert "axis1_blockmap" in plan_figures(marts, references)
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


def test_a_bin_of_unchanged_blocks_is_cut_so_that_other_models_are_seen(study):
    path, _ = study(models=("one",), without_tta=("one",))
    cut = "Cut off, its share beside it: the bin that begins at 0."
    with Marts(path) as marts:
        assert cut not in read_text(draw_axis1_distribution(marts))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "update mart_axis1_distribution set block_ratio = case when bin_low < 0 then 0.02"
            " when bin_low < 0.1 then 0.94 else 0.04 end"
        )
    with Marts(path) as marts:
        chart = draw_axis1_distribution(marts)
    assert cut in read_text(chart)
    drawn = chart.to_dict()["spec"]["layer"]
    assert drawn[0]["encoding"]["y"]["scale"]["domain"] == pytest.approx([0, 1.15 * 4])
    assert "datum.block_pct > 4.6" in str(drawn[-1]["transform"])


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
        (row,) = marts.rows("select cast(max(abs(axis1_notta)) as double) as most from fct_blocks")
        assert row["most"] <= find_limit(marts, images) < row["most"] + 0.1


def test_blocks_are_painted_where_they_lie_and_grey_where_there_is_no_score(study):
    path, _ = study()
    with Marts(path) as marts:
        blocks = marts.frame(
            "select block_row, block_col, cast(axis1_notta as double) as axis1 from fct_blocks"
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


@pytest.mark.long
def test_ten_models_with_long_names_fit_the_page(study):
    names = tuple(f"model_{number}_" + "long_name_" * 5 for number in range(10))
    path, references = study(models=names, without_tta=names[:3], source_models=names)
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
    label = theme.break_label(name)
    assert label.replace("\n", "") == name
    assert max(len(line) for line in label.split("\n")) <= 32


def set_constant(path, name, value):
    with duckdb.connect(str(path)) as connection:
        connection.execute("update dim_constants set value = ? where constant = ?", [value, name])


def test_figures_read_the_limit_of_alignment_from_the_warehouse(study):
    path, _ = study(axis_alignment=0.5)
    with Marts(path) as marts:
        assert "|cos| with the study's own is 0.50, below 0.9." in marts.describe_axis()
        assert "(|cos| = 0.9)" in read_text(draw_pca_basis(marts))
    set_constant(path, "minimum_alignment", 0.45)
    with Marts(path) as marts:
        assert "below" not in marts.describe_axis()
        assert "(|cos| = 0.45)" in read_text(draw_pca_basis(marts))


def test_an_unknown_constant_is_no_number(study):
    path, _ = study()
    with Marts(path) as marts, pytest.raises(KeyError, match="no_such"):
        marts.read_constant("no_such")


@pytest.mark.parametrize("file", COOKBOOK, ids=lambda file: file.stem)
def test_cookbook_queries_run_as_they_are_and_read_only_the_warehouse(study, file):
    path, _ = study(sources=("images", "paper-300"))
    query = file.read_text(encoding="utf-8")
    assert query.startswith("--"), "a query says first what it answers"
    assert not re.search(r"\b(stg|int)_", query)
    with duckdb.connect(str(path), read_only=True) as connection:
        rows = connection.sql(query).fetchall()
    # Of networks that were called, there are none here: tests/unit/analysis_hyra has one. Nor are
    # there patches: tests/warehouse/fidelity/test_sfrc.py; nor LR images: test_consistency.py
    # beside it; nor is anything drawn into these images: test_phantoms.py there. Regions and
    # content: tests/warehouse/fidelity/test_questions.py. Readers: test_readings.py above it. No
    # image is measured here: what repeats is asked in tests/warehouse/test_marts.py.
    without = (
        "what_the_lr_image_decides",
        "where_the_lr_image_is_missed",
        "where_the_residual_lies",
        "artefacts_on_the_positive_side",
        "what_networks_add_above_nyquist",
        "which_patches_disagree",
        "what_finds_what_was_drawn",
        "what_rules_find",
        "choose_a_limit",
        "what_happens_in_each_region",
        "does_harm_follow_texture",
        "do_flips_follow_contradiction",
        "what_repeats",
    )
    assert rows or file.stem in without


def test_the_cookbook_is_not_empty():
    assert len(COOKBOOK) >= 16


def read_words(chart):
    """Every text that a chart shows below its title."""
    return [row["text"] for row in read_rows(chart) if "text" in row]


def draw_source(study, draw, source="images", **fields):
    path, _ = study(**fields)
    with Marts(path) as marts:
        return draw(marts, source)


def test_a_study_of_published_files_only_has_the_figures_of_rules_and_no_others(study, tmp_path):
    path, _ = study(**PUBLISHED)
    with Marts(path) as marts:
        planned = plan_figures(marts, None)
        assert set(planned) == {f"{name}_paper-300" for name in SOURCE_FIGURES} | {
            f"lfv_proof/paper-300/{name}" for name in LFV_FIGURES
        }
        for draw in planned.values():
            text = read_text(draw(marts))
            assert "paper-300" in text
            assert "not evaluated" not in text
            assert "test-time augmentation" not in text
            assert "frozen" not in text


def test_a_study_without_metrics_has_the_figures_of_the_axis_only(study):
    path, references = study(sources=())
    with Marts(path) as marts:
        assert not any(
            name.startswith(tuple(SOURCE_FIGURES)) for name in plan_figures(marts, references)
        )


def test_images_without_a_folder_of_references_are_an_error(study):
    path, _ = study()
    with Marts(path) as marts, pytest.raises(StudyError, match=r"\[study\] references"):
        plan_figures(marts, None)


def test_each_source_has_its_own_figures(study):
    path, references = study(sources=("images", "paper-300"))
    with Marts(path) as marts:
        assert list_sources(marts, "fct_verdicts") == ["images", "paper-300"]
        planned = set(plan_figures(marts, references))
    for name in SOURCE_FIGURES:
        assert {f"{name}_images", f"{name}_paper-300"} <= planned


def test_names_of_files_are_plain_and_differ_even_where_case_is_ignored():
    sources = ["a/b", "a:b", "A_b", "../x", "\u30e2\u30c7\u30eb", "y" * 200, ""]
    names = name_files(sources)
    assert names == {
        "a/b": "a_b",
        "a:b": "a_b_2",
        "A_b": "A_b_3",
        "../x": "x",
        "\u30e2\u30c7\u30eb": "source",
        "y" * 200: "y" * 64,
        "": "source_2",
    }


@pytest.mark.long
@pytest.mark.parametrize("name", SOURCE_FIGURES)
@pytest.mark.parametrize("count", [1, 3, 10])
def test_figures_of_rules_fit_the_page_with_one_to_ten_models(study, name, count):
    models = tuple(f"model_{number}" for number in range(count))
    chart = draw_source(study, SOURCE_FIGURES[name][1], source_models=models)
    assert _width(theme.finish(chart)) <= PRINTABLE_PT


def test_rates_stand_where_the_marts_say_on_one_square_root_scale(study):
    chart = draw_source(study, draw_flag_rates, source_models=("solo",))
    words = read_words(chart)
    assert {"solo", "0", "10", "25", "50", "100", "At least one rule"} <= set(words)
    places = {row["text"]: row["x"] for row in read_rows(chart) if row.get("text") in ("0", "100")}
    points = [row for row in read_rows(chart) if "shape" in row and row["y"] > 20]
    expected = places["0"] + (places["100"] - places["0"]) * np.sqrt(1 / 6)
    assert any(row["x"] == pytest.approx(expected, abs=0.02) for row in points)
    assert min(row["x"] for row in points) == pytest.approx(places["0"])


def test_rates_without_a_value_are_not_drawn_as_zero(study):
    chart = draw_source(study, draw_flag_rates, source_models=("solo",))
    words = read_words(chart)
    assert words.count("not evaluated") == 1
    assert "n = 1" in words, "P5 is known for one image of six"
    known = draw_source(study, draw_flag_rates, source_models=("solo",), has_lpips=True)
    assert "not evaluated" not in read_words(known)
    assert not any(word.startswith("n =") for word in read_words(known))


def test_rates_are_drawn_of_frozen_thresholds_or_else_of_pooled_ones(study):
    frozen = read_text(draw_source(study, draw_flag_rates))
    assert "thresholds frozen on the baseline model" in frozen
    assert "the 10 or 25 % that a rule of one quantile flags by construction" in frozen
    pooled = read_text(draw_source(study, draw_flag_rates, "paper-300", **PUBLISHED))
    assert "thresholds pooled over all models" in pooled


def test_a_rate_departs_from_the_fixed_one_only_if_its_interval_excludes_it(study):
    with_intervals = draw_source(study, draw_flag_rates)
    used = {row["fill"] for row in read_rows(with_intervals) if "fill" in row}
    names = ("above", "below", "includes", "no fixed rate")
    assert {EVIDENCE[name][0] for name in ("above", "below", "no fixed rate")} <= used
    assert used <= {EVIDENCE[name][0] for name in names}


def test_rates_of_too_few_clusters_have_no_interval_and_make_no_claim(study):
    chart = draw_source(study, draw_flag_rates, clusters=3)
    assert "No intervals: 3 clusters (images)" in read_text(chart)
    fills = {row["fill"] for row in read_rows(chart) if "fill" in row}
    assert fills == {EVIDENCE["no interval"][0]}


def test_a_combination_is_exactly_the_rules_that_fired(study):
    chart = draw_source(study, draw_rule_overlap, source_models=("solo",), image_count=2)
    text = read_text(chart)
    assert "n = 4 restored images" in text
    assert "all combinations, on 4 images" in text
    dots = [row for row in read_rows(chart) if row.get("fill") == theme.BLACK]
    fired = {
        image: [n for n in range(1, 26) if n not in (1, 4, 5, 21) and (n + image) % 5 == 0]
        + ([4] if (23 + image) % 5 == 0 else [])
        for image in (0, 1)
    }
    assert len(dots) == sum(map(len, fired.values()))
    assert [word for word in read_words(chart) if word == "2"] == ["2", "2"], "both paths alike"


def test_only_the_most_frequent_combinations_are_drawn_and_the_rest_is_counted(study):
    path, _ = study(source_models=("solo",), image_count=3)
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from fct_rule_flags")
        rules = [
            row[0]
            for row in connection.sql(
                "select rule_id from dim_rules where rule_set = 'v2_current' order by rule_number"
            ).fetchall()
        ]
        for number in range(len(rules)):
            connection.executemany(
                "insert into fct_rule_flags by name select 'v2_current' as rule_set,"
                " 'pooled' as population, 'images' as source_id, 'solo' as model_id,"
                " 'notta' as inference_path, ? as image_id, ? as rule_id, ? as is_flagged",
                [(f"i{number}", rule, rule == rules[number]) for rule in rules],
            )
    with Marts(path) as marts:
        chart = draw_rule_overlap(marts, "images")
    text = read_text(chart)
    assert f"the {MOST_COMBINATIONS} most frequent of 25 combinations" in text
    assert f"on {MOST_COMBINATIONS} images" in text
    dots = [row for row in read_rows(chart) if row.get("fill") == theme.BLACK]
    assert len(dots) == MOST_COMBINATIONS


def test_rules_that_never_fire_together_or_at_all_are_said(study):
    text = read_text(draw_source(study, draw_rule_overlap, has_flags=False))
    assert "No rule fired on any image." in text


def test_a_rule_that_was_not_evaluated_has_no_total(study):
    words = read_words(draw_source(study, draw_rule_overlap))
    assert "not evaluated" in words
    assert "0 of 4" in words, "P5 is known for one image of each model and path"


@pytest.mark.parametrize(
    ("size", "name"), [(0, "Normal"), (1, "Low"), (2, "Low"), (3, "Medium"), (5, "High")]
)
def test_the_class_of_a_combination_is_that_of_its_size(study, size, name):
    path, _ = study()
    with Marts(path) as marts:
        assert name_class(size, read_least_counts(marts)) == name


def test_verdict_classes_say_the_numbers_of_rules_that_the_warehouse_decided_by(study):
    path, _ = study()
    with Marts(path) as marts:
        said = label_classes(read_least_counts(marts))
    assert list(said.values()) == [
        "High (5 rules or more)", "Medium (3 or 4)", "Low (1 or 2)", "Normal (none)",
        "not evaluated",
    ]  # fmt: skip
    set_constant(path, "verdict_high", 7)
    set_constant(path, "verdict_low", 2)
    with Marts(path) as marts:
        least = read_least_counts(marts)
    assert name_class(6, least) == "Medium"
    assert list(label_classes(least).values())[:4] == [
        "High (7 rules or more)", "Medium (3 to 6)", "Low (2)", "Normal (0 or 1)",
    ]  # fmt: skip


def test_verdict_bars_hold_every_image_and_end_at_100_percent(study):
    chart = draw_source(study, draw_verdicts, source_models=("solo",), image_count=7)
    rows = read_rows(chart)
    colours = set(COLOURS.values())
    bars = [row for row in rows if row.get("colour") in colours and "x2" in row and row["y"] > 20]
    ends = {}
    for bar in bars:
        ends.setdefault(bar["y"], []).append((bar["x"], bar["x2"]))
    assert len(ends) == 3, "one row of bars per population"
    widths = {round(sum(high - low for low, high in spans), 1) for spans in ends.values()}
    assert len(widths) == 1
    for name in ("v2_current", "v1_documented", "gui_suspects", "gui_clean"):
        assert name in read_words(chart)


def test_images_without_a_verdict_are_a_class_of_their_own(study):
    path, _ = study()
    with duckdb.connect(str(path)) as connection:
        connection.execute("update fct_verdicts set confidence = null where image_id = 'image_0'")
    with Marts(path) as marts:
        words = read_words(draw_verdicts(marts, "images"))
    assert "not evaluated" in words


def test_verdicts_that_all_exist_need_no_such_class(study):
    assert "not evaluated" not in read_words(draw_source(study, draw_verdicts))


def test_correlations_are_written_in_their_cells_and_strong_ones_are_outlined(study):
    chart = draw_source(study, draw_metric_correlation, has_lpips=True)
    words = read_words(chart)
    assert words.count("\u2212.86") == 1
    assert words.count(".00") == 14
    outlines = [row for row in read_rows(chart) if row.get("colour") == "transparent"]
    assert len(outlines) == 1
    assert "|r| > 0.7, 1 of 15 pairs" in read_text(chart)
    assert words.index("ms_ssim") < words.index("psnr") < words.index("histogram_corr")


@pytest.mark.parametrize(("count", "is_drawn"), [(1, False), (2, False), (3, True)])
def test_correlations_are_of_three_images_or_more(study, count, is_drawn):
    path, _ = study()
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "delete from fct_verdicts where image_id not in"
            " (select distinct image_id from fct_verdicts order by image_id limit ?)",
            [count],
        )
    with Marts(path) as marts:
        message = theme.find_message(draw_metric_correlation(marts, "images"))
    assert (message is None) == is_drawn
    assert is_drawn or message.startswith(theme.count_noun(count, "image"))


def test_a_metric_without_values_is_grey_and_named(study):
    chart = draw_source(study, draw_metric_correlation)
    assert "has no values or does not vary (lpips)" in read_text(chart)
    grey = [row for row in read_rows(chart) if row.get("colour") == theme.PALE_GREY]
    assert len(grey) == 5
    assert len([word for word in read_words(chart) if word == ".00"]) == 9


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.856, ".86"), (-0.856, "\u2212.86"), (-0.004, ".00"), (1, "1.00"), (-0.999, "\u22121.00")],
)
def test_a_correlation_is_written_without_its_leading_zero(value, text):
    assert format_r(value) == text


def test_the_table_says_of_each_rule_what_the_mart_says(study):
    chart = draw_source(study, draw_rule_information, source_models=("solo",))
    words = read_words(chart)
    # P1 and P5 never fire and single_lpips is unknown, in each of three populations.
    assert words.count("never fires") == 6
    assert words.count("not evaluated") == 3
    assert words.count(DUPLICATE[0]) == 6
    assert words.count("fixed rate") == 3
    assert words.count("informative") == 3 * (25 - 6)
    assert {"1.00 P4", "1.00 High Artifacts", "0/2", "\u2013"} <= set(words)


def test_every_assessment_of_the_mart_has_its_words():
    sql = next(PROJECT.rglob("models/marts/**/mart_rule_information.sql")).read_text("utf-8")
    case = sql[sql.index("        case\n") : sql.index("end as assessment")]
    said = set(re.findall(r"(?:then|else)\s+'([^']+)'(?! \|\|)", case))
    assert said == set(ASSESSMENTS)
    assert "'same images as ' ||" in case


@pytest.mark.parametrize(
    ("basis", "alignment", "said"),
    [
        ("standard-1", 0.9, "Basis: standard-1."),
        (
            "standard-1",
            0.899,
            "the first axis of these blocks: |cos| with the study's own is 0.90,",
        ),
        ("standard-1", None, "Basis: standard-1."),
        ("pooled", 0.5, "Basis: the study's own, which is not the first axis of these blocks"),
        ("frozen", 0.95, "Basis: the study's frozen one."),
    ],
)
def test_captions_name_the_basis_and_say_where_it_is_not_the_studys(study, basis, alignment, said):
    path, references = study(axis_basis=basis, axis_alignment=alignment)
    with Marts(path) as marts:
        for chart in (
            draw_axis1_distribution(marts),
            draw_blockmap(marts, references, "image_0", 1.0),
        ):
            text = read_text(chart)
            assert said in text
            assert ("which is not" in text) == (alignment is not None and alignment < 0.9)
            assert "a block restored exactly" in text


def test_the_studys_own_axis_stands_beside_the_one_that_scores(study):
    for basis, beside in (("standard-1", ["the study's own"]), ("pooled", [])):
        path, _ = study(axis_basis=basis)
        with Marts(path) as marts:
            rows = read_rows(draw_pca_basis(marts))
        assert [row["model"] for row in rows if "is_shared" in row] == [*beside, "one", "two"]


def test_a_ledger_has_a_bar_a_model_and_path_in_a_panel_a_scale(study):
    path, _ = study()
    with Marts(path) as marts:
        chart = draw_ledger(marts)
        rows = read_rows(chart)
    assert {row["row"] for row in rows} == {"one", "one, tta", "two"}
    parts = [row["kind"] for row in rows if row["row"] == "two"]
    assert parts == 6 * ["exaggerated", "invented", "lost"] + ["shifted"]
    assert "wider than 64 px" in read_text(chart)
    assert "read a model beside it" in read_text(chart)
    assert "per bar; mart_ledger" not in read_text(chart), "this study has no interval there"


def test_a_ledger_says_where_its_intervals_are_if_there_are_any(study):
    path, _ = study()
    with duckdb.connect(str(path)) as connection:
        connection.execute("update mart_ledger set energy_dn2_low = 0 where model_id = 'one'")
    with Marts(path) as marts:
        assert "per bar; mart_ledger has intervals." in read_text(draw_ledger(marts))


def test_a_ledger_of_small_images_ends_at_eight_pixels(study):
    path, _ = study(has_windows=False)
    with Marts(path) as marts:
        text = read_text(draw_ledger(marts))
    assert "wider than 8 px" in text
    assert "cells of 16 px" not in text
    assert "read a model beside it" not in text


def test_a_multiverse_has_a_cell_a_model_and_choice_that_there_is(study):
    path, _ = study()
    with Marts(path) as marts:
        chart = draw_axis1_multiverse(marts)
        rows = read_rows(chart)
        text = read_text(chart)
    cells = [row for row in rows if "type" in row]
    # Signs as returned are drawn of phi3 alone, where they turn one model's axis over.
    assert len(cells) == 2 * 2 * (3 * 2 + 2 * 2 + 2 * 2 * 2)
    assert {row["model"] for row in cells} == {"one", "two"}
    assert {row["type"] for row in cells} == {"A", "B", "mixed", "not identifiable"}
    assert {row["opacity"] for row in cells if row["type"] == "mixed"} == {1}
    assert {row["opacity"] for row in cells if row["type"] == "B"} < {0.4, 1}
    assert sum(row["is_scoring"] for row in cells) == 2 * 2
    assert "One column for each of 18 choices" in text
    assert {"A 7, B 0 of 14", "A 0, B 18 of 18"} <= {row.get("text") for row in rows}


def test_components_are_read_from_the_warehouse_in_the_order_of_the_seed(study):
    path, _ = study()
    with duckdb.connect(str(path)) as connection:
        connection.execute("update dim_components set label = 'Renamed' where component = 'mu'")
    with Marts(path) as marts:
        components = marts.read_components()
    assert [part["component"] for part in components][:3] == ["sharp", "texture", "hf"]
    assert components[0]["unit"] == "ln ratio"
    assert next(part for part in components if part["component"] == "mu")["label"] == "Renamed"
