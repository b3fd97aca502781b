"""Figures of local fidelity: LFV proof, frame, seams, states, lesions."""

import inspect
import re
from collections import Counter

import duckdb
import numpy as np
import pytest
from scipy import stats

import upscale_audit.analysis.figures.frame
import upscale_audit.analysis.figures.lesions
import upscale_audit.analysis.figures.states
import upscale_audit.analysis.figures.study
import upscale_audit.analysis.lfv.places
import upscale_audit.analysis.lfv.texture
from tests.unit.analysis.conftest import Case, make_warehouse
from tests.unit.analysis.local_fidelity import GRID_COLS, GRID_ROWS, place_worst
from upscale_audit.analysis import fonts, theme
from upscale_audit.analysis.figures.frame import draw_frame_profile, draw_seam_profile
from upscale_audit.analysis.figures.lesions import QUANTITIES, draw_lesion_risk, plan_lesion_figures
from upscale_audit.analysis.figures.states import STATES, draw_tier3_states
from upscale_audit.analysis.figures.study import draw_figures, plan_figures
from upscale_audit.analysis.lfv import LFV_FIGURES
from upscale_audit.analysis.lfv.coordinates import draw_coordinate_distribution
from upscale_audit.analysis.lfv.places import Places, find_span, read_places, stretch
from upscale_audit.analysis.lfv.proof import Source, find_ticks, list_lfv_sources, spell, spell_p
from upscale_audit.analysis.lfv.spatial import draw_spatial_dependency
from upscale_audit.analysis.lfv.texture import draw_texture_dependency
from upscale_audit.analysis.lqd.texts import can_draw_japanese, get_texts
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError

NOTTA = Source("images", "notta")


def read_rows(chart):
    return [row for rows in chart.to_dict().get("datasets", {}).values() for row in rows]


def read_title(chart):
    title = chart.to_dict()["title"]
    heads = title["text"] if isinstance(title["text"], list) else [title["text"]]
    return " ".join([*heads, *title["subtitle"]]).replace("\u00a0", " ")


def read_words(chart):
    return [row["text"] for row in read_rows(chart) if "text" in row]


def read_message(chart):
    """Words of a figure that shows no data."""
    rows = read_rows(chart)
    assert len(rows) == 1, "a message and nothing else"
    return rows[0]["message"].replace("\n", " ")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Make a warehouse of a case once; tests that change one take `fresh_study`."""
    made = {}

    def make(**fields):
        key = repr(sorted(fields.items()))
        if key not in made:
            made[key] = make_warehouse(tmp_path_factory.mktemp("study"), Case(**fields))
        return made[key]

    return make


@pytest.fixture
def fresh_study(tmp_path):
    """Make a warehouse of a case that a test may change."""
    return lambda **fields: make_warehouse(tmp_path / "study", Case(**fields))


def change(path, sql):
    with duckdb.connect(str(path)) as connection:
        connection.execute(sql)


# ---- chance


def walk(rows, cols):
    return ((row, col) for row in range(rows) for col in range(cols))


def count_distances(rows, cols):
    """Distance of every block to the frame, counted one by one."""
    return Counter(min(r, rows - 1 - r, c, cols - 1 - c) for r, c in walk(rows, cols))


@pytest.mark.parametrize("grid", [(128, 128), (16, 24), (5, 1), (7, 7), (1, 1)])
def test_what_chance_gives_each_ring_is_a_count_of_its_blocks(grid):
    rows, cols = grid
    places = Places({(rows, cols, 0, 0): 3})
    expected = count_distances(rows, cols)
    deepest = max(expected)
    shares = places.expect_rings(deepest)
    assert shares == pytest.approx([expected[d] / (rows * cols) for d in range(deepest + 1)])
    if deepest > 1:
        early = places.expect_rings(1)
        assert early == pytest.approx([shares[0], 1 - shares[0]])


def test_the_rings_of_the_published_grid_give_the_published_null():
    """Definitions H: E[BBI] = .6744384765625 for 128 x 128."""
    shares = Places({(128, 128, 3, 4): 1}).expect_rings(63)
    assert 1 - shares @ np.arange(64) / 64 == pytest.approx(0.6744384765625, abs=1e-15)


def test_other_grids_are_stretched_frame_onto_frame_and_so_is_what_is_expected():
    assert [stretch(index, 5, 9) for index in range(5)] == [0, 2, 4, 6, 8]
    assert [stretch(index, 9, 5) for index in range(9)] == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert stretch(0, 1, 9) == 0
    places = Places({(4, 4, 3, 0): 2, (4, 4, 1, 1): 1, (8, 2, 7, 1): 2, (8, 2, 0, 0): 1})
    assert places.grid == (8, 2), "of equally frequent grids the largest"
    counts = places.count_places()
    assert (counts.sum(), counts[7, 0], counts[7, 1], counts[0, 0]) == (6, 2, 2, 1)
    expected = np.zeros(8)
    for lines in (4, 8):
        for line in range(lines):
            expected[round(line * 7 / (lines - 1))] += 0.5 / lines
    assert places.expect_lines(0) == pytest.approx(expected)
    assert places.expect_lines(1) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("total", [1, 7, 1251, 20016])
@pytest.mark.parametrize("share", [0.0, 1e-4, 1 / 128, 0.031, 0.5, 0.97, 1.0])
def test_the_span_of_chance_is_scipys(total, share):
    found = find_span(total, share)
    assert found == tuple(stats.binom(total, share).ppf([0.025, 0.975]).clip(0).astype(int))


def test_worst_blocks_are_counted_where_they_lie(study):
    path, _ = study(image_count=9)
    with Marts(path) as marts:
        lfv, every = (read_places(marts, NOTTA, is_lfv) for is_lfv in (True, False))
    expected = Counter(place_worst(model, image) for model in (0, 1) for image in range(9))
    counts = every.count_places()
    assert counts.shape == (GRID_ROWS, GRID_COLS)
    assert {(r, c): n for (r, c), n in np.ndenumerate(counts) if n} == expected
    assert (lfv.total, every.total) == (6, 18)
    assert every.count_rings(2).sum() == 18


# ---- words and numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\u2013"),
        (0.25, "0.250"),
        (0.001, "0.001"),
        (0.00099, "1e\u22123"),
        (1.38e-27, "1e\u221227"),
        (4.2e-92, "4e\u221292"),
        (0.0, "<1e\u2212308"),
        (1.0, "1.000"),
    ],
)
def test_a_small_p_is_never_written_as_0(value, text):
    assert spell_p(value) == text


def test_what_rounds_to_0_has_no_sign():
    assert (spell(-0.0004, 2), spell(-0.15, 2), spell(None, 2)) == ("0.00", "\u22120.15", "\u2013")


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.97), (-3e-5, 2e-4), (0, 1251), (5, 5.0001)])
def test_ticks_are_few_round_and_inside(low, high):
    ticks = find_ticks(low, high)
    steps = np.diff(ticks)
    assert 2 <= len(ticks) <= 7
    assert np.allclose(steps, steps[0])
    assert float(f"{steps[0]:.3g}") == pytest.approx(steps[0], rel=1e-6)
    assert low - 1e-9 * abs(low) <= ticks[0]
    assert ticks[-1] <= high * (1 + 1e-9)


def test_both_languages_have_the_same_words_and_gaps():
    english, japanese = (
        get_texts(language, "upscale_audit.analysis.lfv") for language in ("en", "ja")
    )

    def describe(value):
        if isinstance(value, dict):
            return {key: describe(each) for key, each in value.items()}
        return set(re.findall(r"\{\w+\}", value))

    assert describe(english) == describe(japanese)
    kana = re.compile("[\u3040-\u30ff\u4e00-\u9fff]")
    only_symbols = {"between", "notta", "tta"}
    missing = [key for key, value in japanese.items() if not kana.search(str(value))]
    assert set(missing) <= only_symbols


@pytest.mark.skipif(not can_draw_japanese(), reason="no installed font has Japanese characters")
def test_japanese_figures_are_japanese_and_fit_the_page(study):
    path, _ = study()
    with Marts(path) as marts:
        for draw in LFV_FIGURES.values():
            chart = draw(marts, Source("images", "notta", "ja"))
            assert re.search("[\u3040-\u30ff]", read_title(chart))
            assert chart.to_dict()["width"] <= theme.DOUBLE_COLUMN_PT


def test_japanese_without_its_font_is_an_error_before_anything_is_drawn(
    study, tmp_path, monkeypatch
):
    path, references = study()
    monkeypatch.setattr(fonts, "can_draw_japanese", lambda: False)
    with pytest.raises(StudyError, match=r"no installed font has Japanese.*apt-get install"):
        draw_figures(path, references, tmp_path / "figures", language="ja")
    assert not (tmp_path / "figures").exists()


# ---- LFV proof


def test_each_source_and_path_has_the_three_published_names_in_a_folder(study):
    path, references = study(sources=("images", "paper-300"))
    with Marts(path) as marts:
        assert list_lfv_sources(marts) == [
            ("images", "notta"), ("images", "tta"), ("paper-300", "unstated"),
        ]  # fmt: skip
        planned = plan_figures(marts, references)
    assert {name for name in planned if "lfv" in name} == {
        f"lfv_proof/{place}/lfv_proof_{name}"
        for place in ("images_notta", "images_tta", "paper-300")
        for name in ("texture_dependency", "spatial_dependency", "coordinate_distribution")
    }


def test_the_published_numbers_and_what_mends_them_stand_side_by_side(study):
    path, _ = study()
    with Marts(path) as marts:
        texture = read_words(draw_texture_dependency(marts, NOTTA))
        spatial = draw_spatial_dependency(marts, NOTTA)
    words = read_words(spatial)
    assert {"As published", "Corrected [OWN]"} <= set(texture) & set(words)
    assert texture.count("\u22120.200, 1e\u221227, Weak") == 3
    assert texture.count("[\u22120.30, \u22120.10] Weak") == 3
    assert texture.count("1.0 [0.5, 1.5]") == 3, "slope in thousandths of SSIM per dn"
    assert words.count("0.900, <1e\u2212308, Strong") == 3
    assert words.count("0.6744") == 3
    assert words.count("0.70 [0.60, 0.80]") == 3
    assert "BBI 0.6744 and 74.2 % in the boundary zone" in read_title(spatial)
    assert "bootstrap over 6 clusters (images)" in read_title(spatial)


def test_without_intervals_the_caption_says_why(study):
    path, _ = study(clusters=3)
    with Marts(path) as marts:
        for draw in (draw_texture_dependency, draw_spatial_dependency):
            chart = draw(marts, NOTTA)
            assert "No intervals: too few clusters to resample (3; images)." in read_title(chart)
        assert "too few clusters" in read_words(draw_texture_dependency(marts, NOTTA))


def test_one_patient_is_one_cluster_in_every_caption(study):
    path, _ = study(clusters=1)
    with Marts(path) as marts:
        for draw in (draw_texture_dependency, draw_spatial_dependency):
            title = read_title(draw(marts, NOTTA))
            assert "No intervals: too few clusters to resample (1; images)." in title
        assert "1 clusters" not in read_title(draw_coordinate_distribution(marts, NOTTA))


def test_one_model_is_not_listed_twice(study):
    path, _ = study(source_models=("solo",))
    with Marts(path) as marts:
        words = read_words(draw_texture_dependency(marts, NOTTA))
    assert words.count("solo") == 1
    assert "all models pooled" not in words


def test_points_lie_where_their_numbers_say_and_the_line_is_the_least_squares_one(study):
    path, _ = study(source_models=("solo",), image_count=7)
    with Marts(path) as marts:
        rows = read_rows(draw_texture_dependency(marts, NOTTA))
        pairs = marts.frame(
            "select texture_complexity, local_ssim_min from mart_lfv_images"
            " where inference_path = 'notta' order by image_id"
        ).to_numpy()
    points = np.array([(row["x"], row["y"]) for row in rows if "shape" in row])[:7]
    fit = stats.linregress(*pairs.T)
    # An affine map takes values to places.
    (slope_x, start_x), (slope_y, start_y) = (
        np.polyfit(pairs[:, axis], points[:, axis], 1) for axis in (0, 1)
    )
    assert points[:, 0] == pytest.approx(start_x + slope_x * pairs[:, 0], abs=0.02)
    assert points[:, 1] == pytest.approx(start_y + slope_y * pairs[:, 1], abs=0.02)
    assert slope_y < 0 < slope_x
    (line,) = (
        row for row in rows
        if row.get("colour") == theme.BLACK and row.get("y2") not in (None, row["y"])
        and row["x"] < 200
    )  # fmt: skip
    for end in ("", "2"):
        x = (line[f"x{end}"] - start_x) / slope_x
        y = (line[f"y{end}"] - start_y) / slope_y
        assert y == pytest.approx(fit.intercept + fit.slope * x, abs=2e-3)
    dashes = {row["y"] for row in rows if row.get("colour") == theme.VERMILLION and "x2" in row}
    assert sorted(dashes) == [pytest.approx(start_y + slope_y * 0.3, abs=0.02)]


def test_many_images_are_counted_in_cells_by_sql_and_none_is_lost(study, monkeypatch):
    monkeypatch.setattr(upscale_audit.analysis.lfv.texture, "MOST_POINTS", 100)
    path, _ = study(image_count=150)
    with Marts(path) as marts:
        samples = upscale_audit.analysis.lfv.texture._read_samples(
            marts, NOTTA, "texture_complexity", "local_ssim_min"
        )
        chart = draw_texture_dependency(marts, NOTTA)
    assert not samples.points
    assert sum(cell["n"] for cell in samples.cells) == 300
    columns, rows = upscale_audit.analysis.lfv.texture.CELLS
    assert all(0 <= c["col"] < columns and 0 <= c["row"] < rows for c in samples.cells)
    assert not any("shape" in row for row in read_rows(chart))
    assert "counted in cells" in read_title(chart)


def test_images_without_texture_have_a_panel_that_says_so(fresh_study):
    path, _ = fresh_study()
    change(path, "update mart_lfv_images set texture_complexity = null")
    with Marts(path) as marts:
        words = read_words(draw_texture_dependency(marts, NOTTA))
    assert words.count("No image has this texture and this SSIM.") == 1
    change(path, "update mart_lfv_images set reference_texture_dn = null")
    with Marts(path) as marts:
        chart = draw_texture_dependency(marts, NOTTA)
    assert read_message(chart) == "No image has this texture and this SSIM."


def test_the_map_outlines_the_published_centre_and_holds_every_image(study):
    path, _ = study(image_count=9)
    with Marts(path) as marts:
        chart = draw_spatial_dependency(marts, NOTTA)
    rows = read_rows(chart)
    words = read_words(chart)
    assert {"LFV images (n\u00a0=\u00a06)", "Every image (n\u00a0=\u00a018)"} <= set(words)
    zone = [row for row in rows if row.get("colour") == theme.VERMILLION][:4]
    left, right = (extreme(row[key] for row in zone for key in ("x", "x2"))
                   for extreme in (min, max))  # fmt: skip
    # Centre of 24 columns: those that are neither below 6 nor above 18.
    frame = next(row for row in rows if row.get("colour") == "#FFFFFF" and "x2" in row)
    side = (frame["x2"] - frame["x"]) / GRID_COLS
    assert ((left - frame["x"]) / side, (right - frame["x"]) / side) == pytest.approx(
        (6, 19), abs=1e-3
    )


def test_a_published_file_has_one_map_and_without_places_a_line(study):
    path, _ = study(sources=("paper-300",), models=(), sizes=(), image_count=9)
    source = Source("paper-300", "unstated")
    with Marts(path) as marts:
        words = read_words(draw_spatial_dependency(marts, source))
    assert any(word.startswith("LFV images") for word in words)
    assert not any(word.startswith("Every image") for word in words)
    path, _ = study(sources=("paper-300",), models=(), sizes=(), has_locations=False)
    with Marts(path) as marts:
        for draw in (draw_spatial_dependency, draw_coordinate_distribution):
            chart = draw(marts, source)
            assert read_message(chart) == "No worst block of an LFV image has a known place."
            assert "(paper-300)" in read_title(chart)


def test_images_of_another_grid_are_counted_in_the_caption(fresh_study):
    path, _ = fresh_study(image_count=9)
    change(path, "update mart_lfv_images set block_rows = 8 where image_id = 'image_8'")
    change(path, "update mart_lfv_images set min_row = 0 where image_id = 'image_8'")
    with Marts(path) as marts:
        title = read_title(draw_spatial_dependency(marts, NOTTA))
    assert "2 images of other grids are stretched onto it" in title


def test_bars_hold_every_lfv_image_on_either_axis(study):
    path, _ = study(image_count=12)
    with Marts(path) as marts:
        rows = read_rows(draw_coordinate_distribution(marts, NOTTA))
        words = read_words(draw_coordinate_distribution(marts, NOTTA))
    bars = [row for row in rows if row.get("colour") == theme.BLUE and row["y2"] - row["y"] > 7.5]
    middle = upscale_audit.analysis.lfv.proof.WIDTH_PT / 3
    heights = Counter()
    for bar in bars:
        heights[int(bar["x"] // middle)] += bar["y2"] - bar["y"]
    # Model 0: image 0 at (0, 5), 1 at (0, 3), 2 at (2, 5); model 1: image 1 at (0, 4).
    worst = [place_worst(model, image) for model in (0, 1) for image in range(3)]
    on_row = Counter(row for row, _ in worst)
    unit = max(b["y2"] - b["y"] for b in bars if b["x"] < middle) / max(on_row.values())
    assert heights[0] / unit == pytest.approx(6, abs=0.02)
    outermost = sum(row in (0, GRID_ROWS - 1) for row, _ in worst)
    assert f"outermost: {outermost} found, {6 * 2 / GRID_ROWS:.1f} by chance" in words


# ---- frame and seams


def test_a_frame_profile_has_every_side_and_says_what_is_the_models_own(study):
    path, _ = study()
    with Marts(path) as marts:
        chart = draw_frame_profile(marts)
    rows = read_rows(chart)
    assert {row["frame_side"] for row in rows} == {
        "all", "top", "bottom", "left", "right", "corner",
    }  # fmt: skip
    assert max(row["distance_blocks"] for row in rows) == 15
    heads = [" ".join(strip["title"]["text"]) for strip in chart.to_dict()["vconcat"]]
    assert heads[0] == "one: notta +50.0 [40.0, 60.0]; tta +50.0 [40.0, 60.0]"
    assert heads[1] == "two: notta +50.0 [40.0, 60.0], own +12.3"
    assert "Bands and bars: 95 % bootstrap intervals over 6 clusters (patients)" in read_title(
        chart
    )


def test_profiles_of_too_few_patients_have_no_band_and_say_so(study):
    path, _ = study(clusters=3)
    with Marts(path) as marts:
        for draw in (draw_frame_profile, draw_seam_profile):
            chart = draw(marts)
            assert {row["low"] for row in read_rows(chart)} == {None}
            assert "No intervals: 3 clusters (patients) are too few" in read_title(chart)


def test_a_flat_profile_has_room_and_a_tick_that_spells_its_value(study):
    path, _ = study()
    with duckdb.connect(str(path)) as connection:
        ends = "mean_low = null, mean_high = null"
        connection.execute(f"update mart_frame_profile set mean_local_ssim = 0.686, {ends}")
    with Marts(path) as marts:
        chart = draw_frame_profile(marts).to_dict()
    scales = [
        layer["encoding"]["y"]["scale"]
        for strip in chart["vconcat"]
        for layer in strip["spec"]["layer"]
    ]
    assert {tuple(np.round(scale["domain"], 9)) for scale in scales} == {(0.681, 0.691)}


def test_seams_are_drawn_against_blocks_one_farther(study):
    path, _ = study()
    with Marts(path) as marts:
        chart = draw_seam_profile(marts)
    rows = read_rows(chart)
    assert {row["distance_blocks"] for row in rows} == set(range(8)), "nothing is farther than 8"
    assert not any(row["inference_path"] == "tta" and row["model_id"] == "two" for row in rows)
    assert "less that of the blocks 8 px farther" in read_title(chart)


@pytest.mark.parametrize(
    ("seams", "reason"), [("none", "there is no seam"), ("near", "too small: every block is near")]
)
def test_a_study_without_seams_says_why(study, seams, reason):
    path, _ = study(seams=seams)
    with Marts(path) as marts:
        assert reason in read_message(draw_seam_profile(marts))


# ---- states


def test_bars_of_states_are_as_long_as_their_share(study):
    path, _ = study(models=("one",), without_tta=())
    with Marts(path) as marts:
        rows = read_rows(draw_tier3_states(marts))
    colours = {colour: state for state, (colour, _) in STATES.items()}
    bars = [row for row in rows if row.get("colour") in colours and row["y"] > 20]
    lengths = {}
    for bar in bars:
        lengths.setdefault(bar["y"], {})[colours[bar["colour"]]] = bar["x2"] - bar["x"]
    assert len(lengths) == 4, "one bar per indicator and zone"
    *extreme, hidden, visible = (lengths[y] for y in sorted(lengths))
    unit = hidden["Persistent"] / 0.2
    for found in extreme:
        assert found["Persistent"] / unit == pytest.approx(0.04, abs=1e-4)
        assert found["Escape"] / unit == pytest.approx(0.035, abs=1e-4)
        assert found["BlindSpot"] / unit == pytest.approx(0.025, abs=1e-4)
    assert visible["Escape"] / unit == pytest.approx(0.06, abs=1e-4)


def test_an_indicator_that_is_not_drawn_moves_nothing(study):
    drawn = []
    for has_lr in (False, True):
        path, _ = study(models=("one", "two"), without_tta=("two",), has_lr=has_lr)
        with Marts(path) as marts:
            kept = "from mart_tier3_states where indicator = 'contradicted'"
            assert (marts.rows(f"select count(*) as n {kept}")[0]["n"] > 0) == has_lr
            drawn.append(draw_tier3_states(marts).to_dict())
    assert drawn[0] == drawn[1]


def test_a_line_is_the_interval_of_a_bars_first_state(study):
    path, _ = study(models=("one",), without_tta=())
    with Marts(path) as marts:
        rows = read_rows(draw_tier3_states(marts))
    bars = [r for r in rows if r.get("colour") == STATES["Persistent"][0] and r["y"] > 20]
    lines = [r for r in rows if r.get("colour") == "#000000" and "x2" in r and r["y"] == r["y2"]]
    assert len(lines) == len(bars) == 4
    for bar, line in zip(bars, lines, strict=True):
        length = bar["x2"] - bar["x"]
        assert line["x"] - bar["x"] == pytest.approx(0.75 * length)
        assert line["x2"] - bar["x"] == pytest.approx(1.25 * length)
    path, _ = study(models=("one",), without_tta=(), clusters=4)
    with Marts(path) as marts:
        chart = draw_tier3_states(marts)
    assert not [r for r in read_rows(chart) if "x2" in r and r.get("y") == r.get("y2")]
    assert "No intervals: 4 clusters (patients) are too few." in read_title(chart)


def test_a_zone_without_blocks_is_not_counted_as_one_of_too_few_patients(study):
    path, _ = study(models=("one",), without_tta=())
    with duckdb.connect(str(path)) as connection:
        gone = "zone_ratio = null, zone_low_ratio = null, zone_high_ratio = null, block_count = 0"
        connection.execute(f"update mart_tier3_states set {gone} where zone = 'visible'")
    with Marts(path) as marts:
        title = read_title(draw_tier3_states(marts))
    assert "are too few" not in title
    assert "Hidden: its notta SSIM is at or above the 90 % quantile of the model's." in title


def test_silent_shares_stand_beside_those_of_the_zone_and_an_identity_is_marked(study):
    path, _ = study(models=("one", "three", "two"))
    with Marts(path) as marts:
        chart = draw_tier3_states(marts)
    words = read_words(chart)
    assert words.count("95.0 % (38 of 40)*") == 1
    assert words.count("no such block") == 1
    assert words.count("95.0 % (190 of 200)") == 2
    assert words.count("50.0 %") == 6
    assert "|PC1| exceeds 2.50" in read_title(chart)
    assert "above 25 dn²" in read_title(chart)
    assert "*: by identity" in read_title(chart)
    assert "[OWN]" in read_title(chart)
    assert "collaps" not in read_title(chart)


def test_the_caption_says_what_limits_were_measured_to_find(study):
    path, _ = study(models=("one", "two"))
    with Marts(path) as marts:
        assert "phantom study" not in read_title(draw_tier3_states(marts))
    with duckdb.connect(str(path)) as connection:
        for model_id, found, alarms in (("one", 0.5, 0), ("two", 1, 0.0625)):
            connection.execute(
                "update mart_tier3_states set sensitivity_ratio = ?, false_alarm_ratio = ?"
                " where model_id = ? and indicator = 'error'",
                [found, alarms, model_id],
            )
    with Marts(path) as marts:
        title = read_title(draw_tier3_states(marts))
    assert "and of places without: error 50 to 100 and 0 to 6.25." in title


def test_a_model_without_tta_has_the_half_that_notta_shows(study):
    path, _ = study(models=("solo",), without_tta=("solo",))
    with Marts(path) as marts:
        chart = draw_tier3_states(marts)
    bars = [r for r in read_rows(chart) if r.get("colour") == STATES["Beyond"][0]]
    assert len(bars) == 4 + 1, "a bar per indicator and zone, and the key"
    assert "Beyond: no tta to compare" in read_words(chart)
    assert "Persistent: beyond either way" not in read_words(chart)


def test_without_an_axis_the_error_still_has_states(study):
    path, _ = study(is_identifiable=False, models=("one",), without_tta=())
    with Marts(path) as marts:
        chart = draw_tier3_states(marts)
    assert "Axis1 is not identifiable" in read_title(chart)
    words = read_words(chart)
    assert "error, hidden" in words
    assert "extreme, hidden" not in words


# ---- lesions


def test_lesions_are_marked_by_their_corrected_p_the_union_as_a_family_of_its_own(study):
    path, _ = study()
    with Marts(path) as marts:
        assert plan_lesion_figures(marts) == {f"lesion_risk_{name}": name for name in QUANTITIES}
        chart = draw_lesion_risk(marts, "local_ssim")
    evidence = {(row["finding"], row["evidence"]) for row in read_rows(chart)}
    # p is 0.01 for all of them; Holm makes it 0.2 for Nodule.
    assert evidence == {
        ("any", "corrected p < 0.05"),
        ("Mass", "corrected p < 0.05"),
        ("Nodule", "corrected p \u2265 0.05"),
    }
    assert "Holm's correction for 2 findings" in read_title(chart)
    assert "paired t over patients" in read_title(chart)


def test_every_quantity_that_is_drawn_has_a_test_and_its_own_unit(study):
    path, _ = study()
    with Marts(path) as marts:
        for quantity in QUANTITIES:
            rows = read_rows(draw_lesion_risk(marts, quantity))
            assert {(row["mean"], row["low"], row["high"]) for row in rows} == {
                (-0.1, -0.15, -0.05)
            }
    assert "extreme" not in QUANTITIES


def test_findings_of_too_few_patients_are_named_and_not_drawn(study):
    path, _ = study(nodule_patients=4)
    with Marts(path) as marts:
        chart = draw_lesion_risk(marts, "local_ssim")
    assert {row["finding"] for row in read_rows(chart)} == {"any", "Mass"}
    assert "Too few patients to draw: Nodule (4)." in read_title(chart)


@pytest.mark.parametrize(
    ("patients", "reason"),
    [
        (0, "No image of this study has a finding box"),
        (1, "Finding boxes of 1 patient are too few for an interval"),
        (4, "Finding boxes of 4 patients are too few for an interval"),
    ],
)
def test_without_boxes_or_patients_one_line_says_so(study, patients, reason):
    path, references = study(box_patients=patients, nodule_patients=min(patients, 1))
    with Marts(path) as marts:
        figures = plan_figures(marts, references)
        assert [name for name in figures if "lesion" in name] == ["lesion_risk"]
        assert reason in read_message(figures["lesion_risk"](marts))


# ---- all of them


def test_figures_of_places_that_a_study_no_longer_has_are_removed(study, tmp_path, monkeypatch):
    def write(_, folder, name, form):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.png").write_text("new")
        return [folder / f"{name}.png"]

    monkeypatch.setattr(upscale_audit.analysis.figures.study, "write_chart", write)
    place = tmp_path / "figures" / "lfv_proof" / "gone"
    place.mkdir(parents=True)
    for name in ("lfv_proof_spatial_dependency.png", "lfv_proof_texture_dependency.html"):
        (place / name).write_text("old")
    kept = tmp_path / "figures" / "lfv_proof" / "mine" / "lfv_proof_mine.png"
    kept.parent.mkdir()
    kept.write_text("mine")
    (tmp_path / "figures" / "lesion_risk.svg").write_text("old")
    path, _ = study(sources=("paper-300",), models=(), sizes=(), source_models=("model1",))
    drawn = draw_figures(path, None, tmp_path / "figures")
    assert not place.exists()
    assert not (tmp_path / "figures" / "lesion_risk.svg").exists()
    assert kept.read_text() == "mine"
    names = [file.relative_to(tmp_path / "figures").as_posix() for file in drawn]
    assert "lfv_proof/paper-300/lfv_proof_spatial_dependency.png" in names
    assert all((tmp_path / "figures" / name).is_file() for name in names)


def test_no_figure_of_local_fidelity_reads_block_rows():
    """A study has 82 million of them a model; the marts have counted them."""
    modules = [
        upscale_audit.analysis.figures.frame,
        upscale_audit.analysis.figures.states,
        upscale_audit.analysis.figures.lesions,
        upscale_audit.analysis.lfv.places,
    ]
    modules += [
        upscale_audit.analysis.lfv.texture,
        upscale_audit.analysis.lfv.spatial,
        upscale_audit.analysis.lfv.coordinates,
    ]
    for module in modules:
        assert "fct_block" not in inspect.getsource(module), module
