"""Of more models than a page holds, each picture has a part, and says which."""

import json

import altair as alt
import pytest

from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis.figures import study as figures_study
from upscale_audit.analysis.figures.lesions import MOST_FINDINGS, draw_lesion_risk
from upscale_audit.analysis.figures.study import MODELS_A_PICTURE, draw_figures, plan_figures
from upscale_audit.analysis.lfv.proof import MOST_MODELS, Source
from upscale_audit.analysis.lfv.spatial import draw_spatial_dependency
from upscale_audit.analysis.marts import Marts

NAMES = tuple(f"network_{number:02d}" for number in range(MOST_MODELS + 2))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    case = Case(models=NAMES, source_models=NAMES, sizes=((4, 6),), without_tta=NAMES[1::2])
    return make_warehouse(tmp_path_factory.mktemp("many"), case)


@pytest.fixture(autouse=True)
def pages_of_any_height(monkeypatch):
    """Split by the number of models alone: what a page holds is measured in test_print."""
    monkeypatch.setattr(figures_study, "MODELS_UNMEASURED", 1_000_000)


def read_names(chart):
    text = json.dumps(chart.to_dict()).replace("\\\\n", "").replace("\\n", "")
    return {name for name in NAMES if name in text}


@pytest.mark.long
def test_every_model_is_on_one_picture_of_each_figure(many):
    path, references = many
    with Marts(path) as marts:
        plan = plan_figures(marts, references)
        for figure in ("frame_profile", "tier3_states", "flag_rates_images", "verdicts_images"):
            parts = {name: draw for name, draw in plan.items() if name.startswith(f"{figure}_")}
            assert list(parts) == [f"{figure}_{number}of3" for number in (1, 2, 3)]
            shown = [read_names(draw(marts)) for draw in parts.values()]
            assert [len(names) for names in shown] == [14, 14, 14]
            assert set().union(*shown) == set(NAMES)
        assert "restorer_audit_1of2" in plan
        assert "rule_overlap_images" in plan
        assert marts.models == list(NAMES)


def test_a_picture_of_a_part_says_which_models_it_shows(many):
    path, references = many
    with Marts(path) as marts:
        chart = plan_figures(marts, references)["axis1_distribution_2of3"](marts)
    assert " ".join(chart.title.subtitle).startswith(
        "Models 15 to 28 of 42, network_14 to network_27; the others have pictures of"
        " their own, whose scales may differ."
    )


def test_maps_of_axis1_share_a_scale_over_their_pictures_and_say_no_other_thing(many):
    path, references = many
    with Marts(path) as marts:
        chart = plan_figures(marts, references)["axis1_blockmap_image_0_1of3"](marts)
    caption = " ".join(chart.title.subtitle)
    assert "the others have pictures of their own. Axis1" in caption
    assert "One scale for all maps" in caption


@pytest.mark.parametrize("count", [MODELS_A_PICTURE, MODELS_A_PICTURE + 1])
def test_a_figure_is_split_where_a_picture_is_full(tmp_path, count):
    case = Case(models=NAMES[:count], source_models=NAMES[:count], sizes=((4, 6),))
    path, references = make_warehouse(tmp_path, case)
    with Marts(path) as marts:
        plan = plan_figures(marts, references)
    assert ("frame_profile" in plan) == (count == MODELS_A_PICTURE)
    assert ("frame_profile_2of2" in plan) == (count > MODELS_A_PICTURE)
    assert "restorer_audit" in plan


def test_narrowed_tables_hold_the_part_and_what_is_of_all(many):
    path, _ = many
    with Marts(path) as marts:
        with marts.narrowed(["network_03", "network_01"]):
            assert marts.models == ["network_01", "network_03"]
            rows = marts.rows("select distinct model_id from fct_blocks order by model_id")
            assert [row["model_id"] for row in rows] == ["network_01", "network_03"]
            bases = marts.rows("select distinct basis_id from mart_pca_basis order by basis_id")
            names = [row["basis_id"] for row in bases]
            assert "pooled" in names
            own = {"model:network_01", "model:network_03"}
            assert set(names) <= {"pooled", "standard-1"} | own
        rows = marts.rows("select count(distinct model_id) as n from fct_blocks")
        assert rows == [{"n": len(NAMES)}]


def test_a_narrowing_that_fails_leaves_the_tables_whole(many):
    path, _ = many
    with Marts(path) as marts:
        with pytest.raises(KeyError), marts.narrowed(["network_03"]):
            raise KeyError
        assert marts.models == list(NAMES)
        assert len(marts.rows("select distinct model_id from fct_blocks")) == len(NAMES)


def test_pictures_of_parts_that_are_no_more_are_removed(many, tmp_path, monkeypatch):
    monkeypatch.setattr(figures_study, "write_chart", lambda *_: [])
    monkeypatch.setattr(figures_study, "plan_figures", lambda *_: {})
    stale = ("frame_profile_03of20.png", "frame_profile.svg", "axis1_blockmap_a_1of2.html")
    kept = ("frame_profile_of.png", "mine_1of2.png", "frame_profile_1of2.txt")
    for name in (*stale, *kept):
        (tmp_path / name).write_text("old")
    draw_figures(many[0], many[1], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*kept, "captions.txt"}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_table_of_the_lfv_proof_is_cut_and_says_so(many, language):
    with Marts(many[0]) as marts:
        chart = draw_spatial_dependency(marts, Source("images", "notta", language))
    assert read_names(chart) == set(NAMES[:MOST_MODELS])
    caption = "".join(chart.title.subtitle).replace(" ", "")
    assert f"{MOST_MODELS}" in caption
    assert f"{len(NAMES)}" in caption


def test_of_very_many_findings_those_with_the_most_patients_are_drawn(many, monkeypatch):
    with Marts(many[0]) as marts:
        template = marts.rows(
            "select * from mart_lesion_risk where finding != 'any' and difference_low is not null"
            " and quantity = 'local_ssim'"
        )[0]
        rows = [
            template | {"finding": f"finding {number:02d}", "cluster_count": 5 + number}
            for number in range(40)
        ]
        few = [
            template | {"finding": f"rare {number:02d}", "difference_low": None}
            for number in range(40)
        ]
        for row in rows + few:
            row |= {"mean": row["difference"], "low": row["difference_low"]}
            row |= {"high": row["difference_high"]}
        marts.read_constant("significance")  # read once, before its rows are others
        monkeypatch.setattr(marts, "rows", lambda _: rows + few)
        chart = draw_lesion_risk(marts, "local_ssim")
    caption = " ".join(chart.title.subtitle)
    assert f"Drawn are the {MOST_FINDINGS} of 40 findings with the most patients" in caption
    assert "and 28 more" in caption
    text = json.dumps(chart.to_dict())
    assert "finding 26" in text
    assert "finding 25" not in text


def test_beyond_a_number_the_first_models_have_detailed_pictures_and_they_say_so(many, monkeypatch):
    monkeypatch.setattr(figures_study, "MODELS_IN_DETAIL", 20)
    path, references = many
    with Marts(path) as marts:
        plan = plan_figures(marts, references)
        parts = [name for name in plan if name.startswith("axis1_distribution")]
        assert parts == ["axis1_distribution_1of2", "axis1_distribution_2of2"]
        charts = [plan[name](marts) for name in parts]
        assert set().union(*map(read_names, charts)) == set(NAMES[:20])
        assert " ".join(charts[1].title.subtitle).startswith(
            "Models 11 to 20 of 42, network_10 to network_19; the first 20 have pictures of"
            " this kind, the marts hold the others; scales may differ from picture to picture."
        )
        assert {name for name in plan if name.startswith("ledger")} == {
            f"ledger_{number}of3" for number in (1, 2, 3)
        }


def test_networks_beyond_a_number_are_named_as_not_drawn(monkeypatch):
    monkeypatch.setattr(figures_study, "MODELS_IN_DETAIL", 2)
    chart = alt.Chart(title=alt.TitleParams("HyRA", subtitle=["As it is."]))
    monkeypatch.setattr(figures_study, "draw_hyra", lambda marts, model_id: chart)
    assert list(figures_study._plan_hyra_figures(["a", "b"])) == ["hyra_a", "hyra_b"]
    plan = figures_study._plan_hyra_figures(["a", "b", "c"])
    assert list(plan) == ["hyra_a", "hyra_b"]
    caption = " ".join(plan["hyra_a"](None).title.subtitle)
    assert "Of 3 networks analysed, the first 2 have pictures" in caption
