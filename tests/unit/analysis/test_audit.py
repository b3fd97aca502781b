"""The audit of all restorers: its numbers are the warehouse's, and it says what is not known."""

import math
import re
import tomllib
from pathlib import Path

import duckdb
import pytest

import upscale_audit.analysis
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.audit import (
    LIMIT_SPREADS,
    NOT_KNOWN,
    draw_restorer_audit,
    group_restorers,
    paint_cells,
    read_restorers,
    spell_change,
)
from upscale_audit.analysis.figures.study import plan_figures
from upscale_audit.analysis.marts import Marts

QUERY = Path(upscale_audit.analysis.__file__).parent / "cookbook" / "who_adds_who_loses.sql"
COMPONENTS = ("sharp", "texture", "hf", "noise", "block", "block16", "block4", "ring", "mu")


@pytest.fixture
def audited(study):
    """A warehouse in which 'two' adds what 'one' loses, and images of 'one' differ in noise."""
    path, references = study()
    sign = "case when model_id = 'two' then 1 else -1 end"
    changes = ", ".join(
        f"d_{name}_{end} = ({sign}) * ({number} / 10.0 + (block_row + 2 * block_col) / 100.0)"
        for number, name in enumerate(COMPONENTS, start=1)
        for end in ("notta", "tta")
        if name != "noise"
    )
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"update fct_blocks set {changes}, local_ssim_tta = null")
        connection.execute(
            "update fct_blocks set local_ssim_tta = 0.5 where model_id = 'one' and not is_partial"
        )
        connection.execute(
            "update fct_blocks set d_noise_notta = case image_id when 'image_0' then 0.5"
            " else -0.25 end where model_id = 'one'"
        )
        connection.execute("update fct_blocks set d_ring_notta = null where block_row = 0")
    return path, references


def read_blocks(path, column):
    """Values of a column by model and image, from the blocks themselves."""
    blocks = {}
    with duckdb.connect(str(path), read_only=True) as connection:
        for model, image, value in connection.sql(
            f"select model_id, image_id, {column} from fct_blocks where {column} is not null"
        ).fetchall():
            blocks.setdefault((model, image), []).append(float(value))
    return blocks


def read_texts(chart):
    rows = [row for rows in chart.to_dict()["datasets"].values() for row in rows]
    return [row["text"] for row in rows if "text" in row]


def read_caption(chart):
    return " ".join(chart.to_dict()["title"]["subtitle"]).replace("\u00a0", " ")


def draw(path):
    with Marts(path) as marts:
        return draw_restorer_audit(marts)


def test_means_are_over_blocks_and_the_ends_over_images(audited):
    path, _ = audited
    with Marts(path) as marts:
        rows = read_restorers(marts, marts.read_components())
    assert set(rows) == {("one", "notta"), ("one", "tta"), ("two", "notta")}
    for model, end in rows:
        for name in COMPONENTS:
            blocks = read_blocks(path, f"d_{name}_{end}")
            images = [values for (owner, _), values in blocks.items() if owner == model]
            row = rows[model, end]
            if not images:
                assert row[name] is row[f"{name}_low"] is row[f"{name}_high"] is None
                continue
            everything = [value for values in images for value in values]
            means = sorted(math.fsum(values) / len(values) for values in images)
            assert row[name] == pytest.approx(math.fsum(everything) / len(everything), abs=1e-12)
            assert row[f"{name}_low"] == pytest.approx(means[0], abs=1e-12)
            assert row[f"{name}_high"] == pytest.approx(means[-1], abs=1e-12)


def test_the_power_above_nyquist_is_the_median_of_images_that_are_current(audited):
    path, _ = audited
    with duckdb.connect(str(path)) as connection:
        connection.executemany(
            "insert into mart_hyra (model_id, image_id, restored_hf_gain, is_current)"
            " values ('one', ?, ?, ?)",
            [("a", 0.25, True), ("b", 0.5, True), ("c", 133.0, True), ("d", 9.0, False)],
        )
    with Marts(path) as marts:
        rows = read_restorers(marts, marts.read_components())
    assert rows["one", "notta"]["hf_gain"] == 0.5
    assert rows["one", "tta"]["hf_gain"] is None, "networks are asked without augmentation"
    assert rows["two", "notta"]["hf_gain"] is None
    assert "0.50" in read_texts(draw(path))


def test_the_frame_deficit_is_the_marts(audited):
    path, _ = audited
    with duckdb.connect(str(path)) as connection:
        connection.execute("delete from mart_frame_effect")
        connection.execute(
            "insert into mart_frame_effect (model_id, inference_path, deficit)"
            " values ('two', 'notta', -0.0123), ('one', 'notta', null)"
        )
    texts = read_texts(draw(path))
    assert "\u221212.3" in texts


def test_who_adds_stands_above_who_loses_and_augmented_images_have_a_row(audited):
    texts = read_texts(draw(audited[0]))
    words = ("Fine grain added", "two", "Fine grain lost", "one", "with TTA")
    places = [texts.index(word) for word in words]
    assert places == sorted(places)
    assert texts.count("with TTA") == 1


def test_models_are_ordered_by_what_they_added_then_by_name():
    part = {"component": "hf", "label": "Grain"}
    part |= {"positive_means": "added", "negative_means": "lost"}
    values = {"a": -2.0, "b": 0.5, "c": 0.5, "d": 1.0, "e": 0.0, "f": None}
    rows = {(model, "notta"): {"hf": value} for model, value in values.items()}
    groups = group_restorers([*values, "g"], rows, [part])
    assert groups == [
        ("added", ["d", "b", "c"]),
        ("grain unchanged", ["e"]),
        ("lost", ["a"]),
        ("not measured", ["f", "g"]),
    ]


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.126, 0.1, 0.2, "+0.13"),
        (-0.126, -0.2, -0.1, "\u22120.13"),
        (-0.126, -0.2, 0.1, "(\u22120.13)"),
        (0.1, 0.0, 0.2, "+0.10"),
        (-0.004, -0.005, -0.003, "0.00"),
        (123.4, 120.0, 130.0, "+123"),
        (None, None, None, NOT_KNOWN),
    ],
)
def test_a_change_is_spelt_with_its_sign_and_in_brackets_where_images_differ(
    value, low, high, text
):
    assert spell_change({"x": value, "x_low": low, "x_high": high}, "x") == text


def test_images_that_differ_in_sign_are_in_brackets(audited):
    blocks = read_blocks(audited[0], "d_noise_notta")
    values = [value for values in blocks.values() for value in values]
    mean = sum(values) / len(values)
    assert f"({mean:+.2f})" in read_texts(draw(audited[0]))


def test_colours_end_at_the_limit_and_are_grey_without_a_value():
    white, half, end, beyond, unknown = paint_cells([0.0, 0.5, 1.0, 7.0, math.nan])
    assert end == beyond
    assert len({white, half, end, unknown}) == 4
    assert unknown == theme.PALE_GREY


def test_cells_have_the_colour_of_their_share_of_the_limit(audited):
    path, _ = audited
    with duckdb.connect(str(path)) as connection:
        (spread,) = connection.execute(
            "select max(robust_sd) from mart_direction_components where component = 'mu'"
        ).fetchone()
    with Marts(path) as marts:
        row = read_restorers(marts, marts.read_components())["two", "notta"]
    chart = draw(path).to_dict()
    colours = [row["colour"] for rows in chart["datasets"].values() for row in rows if "x2" in row]
    assert paint_cells([row["mu"] / spread / LIMIT_SPREADS])[0] in colours


def test_a_study_without_directions_is_drawn_and_says_so(study):
    path, _ = study(is_identifiable=False)
    chart = draw(path)
    texts = read_texts(chart)
    assert "Not measured" in texts
    assert texts.count(NOT_KNOWN) >= 18
    assert "Without colour" in read_caption(chart)


def test_a_component_without_spread_keeps_its_number_and_is_named(study):
    path, _ = study(flat_component="block4")
    with duckdb.connect(str(path)) as connection:
        connection.execute("update fct_blocks set d_block4_notta = 0.75")
    chart = draw(path)
    assert "+0.75" in read_texts(chart)
    assert "not identifiable: Blocking (4 px)." in read_caption(chart)


def test_the_caption_counts_blocks_images_and_clusters(audited):
    path, _ = audited
    with duckdb.connect(str(path)) as connection:
        (count,) = connection.execute(
            "select count(local_ssim_notta) from fct_blocks where model_id = 'two'"
        ).fetchone()
    caption = read_caption(draw(path))
    assert f"n = {count} blocks of 2 images per row" in caption
    assert "No intervals are drawn; they would rest on 2 clusters (images)." in caption


@pytest.mark.parametrize("models", [("one",), ("one", "two")])
def test_one_model_alone_is_no_audit_of_restorers(study, models):
    path, references = study(models=models, source_models=models)
    with Marts(path) as marts:
        assert ("restorer_audit" in plan_figures(marts, references)) == (len(models) > 1)


def test_the_cookbook_query_gives_the_numbers_of_the_figure(audited):
    path, _ = audited
    with Marts(path) as marts:
        rows = read_restorers(marts, marts.read_components())
        table = marts.rows(QUERY.read_text(encoding="utf-8").rstrip().rstrip(";"))
    assert {(row["model_id"], row["inference_path"]) for row in table} == set(rows)
    names = {"sharp": "sharp", "hf": "fine_grain", "noise": "noise_dn", "ring": "ring_dn"}
    for row in table:
        drawn = rows[row["model_id"], row["inference_path"]]
        for name, column in names.items():
            expected = drawn[name]
            if expected is None:
                assert row[column] is None
            else:
                assert row[column] == pytest.approx(expected, abs=0.005001)


def test_the_page_has_a_row_for_every_restorer_of_its_study_and_no_other(repository):
    with (repository / "sample" / "audit.toml").open("rb") as file:
        models = tomllib.load(file)["models"]
    expected = {model["model_id"] for model in models}
    expected |= {f"{model['model_id']}, TTA" for model in models if "tta" in model}
    page = (repository / "docs" / "audit.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| ([a-z][^|]*) \|", page, flags=re.MULTILINE)
    assert sorted(name for name in named if name != "restorer") == sorted(expected)
