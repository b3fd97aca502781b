"""Every figure calls, orders and colours models as the study does."""

import json

import pytest

from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.study import plan_figures
from upscale_audit.analysis.lfv.proof import Source
from upscale_audit.analysis.lfv.texture import draw_texture_dependency
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.report.facts import read_facts

NAMES = ("raw_alpha", "raw_beta", "raw_gamma")
LABELS = {"raw_alpha": "Alpha Net", "raw_beta": "Beta Net", "raw_gamma": "Gamma Net"}
FACTS = {
    "raw_alpha": {"label": "Alpha Net", "colour": "#aa0000"},
    "raw_beta": {"label": "Beta Net"},
    "raw_gamma": {"label": "Gamma Net", "order": 1},
}
ORDER = ["raw_gamma", "raw_alpha", "raw_beta"]


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    case = Case(
        models=NAMES,
        source_models=NAMES,
        without_tta=("raw_beta",),
        facts=FACTS,
        has_lr=True,
        is_complete=False,
    )
    return make_warehouse(tmp_path_factory.mktemp("labelled"), case)


@pytest.fixture
def marts(labelled):
    with Marts(labelled[0]) as opened:
        yield opened


def list_texts(value):
    """Every text of a chart, save pixels."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, item in value.items():
            if name not in ("model_id", "basis_id", "basis"):  # identifiers, never drawn
                yield from list_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from list_texts(item)


def test_models_are_in_the_order_of_the_study_and_others_behind(marts):
    assert marts.models == ORDER
    assert marts.order_models(["published", "raw_beta", "raw_gamma"]) == [
        "raw_gamma",
        "raw_beta",
        "published",
    ]
    assert marts.list_labels(["other", "raw_beta", "raw_gamma"]) == "Gamma Net, Beta Net, other"
    with marts.narrowed(["raw_alpha", "raw_gamma"]):
        assert marts.models == ["raw_gamma", "raw_alpha"]


def test_no_figure_shows_a_name_that_has_a_label(marts, labelled):
    plan = plan_figures(marts, labelled[1])
    shown = {}
    for name, draw in plan.items():
        texts = [text for text in list_texts(draw(marts).to_dict()) if not text.startswith("data:")]
        joined = "\n".join(texts).replace("\n", "")
        assert "raw_" not in joined, name
        shown[name] = any(label in joined for label in LABELS.values())
    # These say nothing of single models.
    pooled = {name for name, has_label in shown.items() if not has_label}
    kinds = {name.rpartition("/")[2].split("_images")[0] for name in pooled}
    assert kinds <= {
        "metric_correlation",
        "rule_information",
        "rule_overlap",
        "lfv_proof_coordinate_distribution",
    }


@pytest.mark.parametrize(
    "figure",
    ["frame_profile", "tier3_states", "consistency", "ledger", "flag_rates_images",
     "verdicts_images", "axis1_distribution", "direction_components", "axis1_blockmap_image_0"],
)  # fmt: skip
def test_models_stand_in_the_order_of_the_study(marts, labelled, figure):
    spec = json.dumps(plan_figures(marts, labelled[1])[figure](marts).to_dict())
    places = [spec.index(LABELS[model]) for model in ORDER]
    assert places == sorted(places)


def test_a_model_has_its_colour_where_models_are_told_by_colour(marts):
    chart = draw_texture_dependency(marts, Source("images", "notta"))
    spec = json.dumps(chart.to_dict())
    assert set(marts.colours.values()) == {"#aa0000", "#0072b2", "#d55e00"}
    for colour in marts.colours.values():
        assert f'"fill": "{colour}"' in spec


def test_the_report_says_labels_in_the_order_of_the_study(marts):
    facts = read_facts(marts)
    assert list(dict.fromkeys(row.label for row in facts.rows)) == [LABELS[name] for name in ORDER]


def test_a_long_label_breaks_at_its_spaces():
    assert theme.break_label("one two three", 7) == "one \ntwo \nthree"
    assert theme.break_label("short", 7) == "short"
