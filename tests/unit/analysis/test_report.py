"""The report's sentences follow from the tables, and its page holds any name as a text."""

import dataclasses
import json
import re
from ast import literal_eval
from importlib.resources import files
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

from tests.browser import dump_page, needs_browser
from tests.unit.analysis.conftest import PROJECT, Case, make_warehouse
from tests.unit.analysis.test_pages import Tags, poison
from upscale_audit.analysis.lqd.texts import get_texts
from upscale_audit.analysis.report import write_report
from upscale_audit.analysis.report.cutouts import Cutout
from upscale_audit.analysis.report.facts import Estimate, Facts, Row
from upscale_audit.analysis.report.page import ENLARGED, FRAME_RGB, _frame, _write_worst
from upscale_audit.analysis.report.sentences import (
    say_findings,
    say_warnings,
    spell,
    spell_number,
)

PACKAGE = "upscale_audit.analysis.report"
TEXT = get_texts("en", PACKAGE)
LEDGER = PROJECT / "macros" / "ledger.sql"


class Pairs:
    """Marts that know one pair of models, or none."""

    def __init__(self, p_holm=None, clusters=3):
        self.p_holm = p_holm
        self.clusters = clusters

    def rows(self, _):
        if self.clusters is None:
            return []
        return [{"p_holm": self.p_holm, "cluster_count": self.clusters}]

    def read_constant(self, name):
        return {"significance": 0.05}[name]


def make_row(model_id, contradicted=None, invented=None, mse=None, axis1=None, path="notta"):
    def estimate(given):
        return None if given is None else Estimate(*given)

    return Row(
        model_id=model_id, label=model_id, inference_path=path, image_count=3,
        mse_dn2=estimate(mse), local_ssim=None, axis1=estimate(axis1),
        invented_dn2=estimate(invented), lost_dn2=None,
        bent_dn2=None, contradicted_ratio=estimate(contradicted),
    )  # fmt: skip


def make_facts(*rows, has_lr=True, is_lr_made=False, warnings=(), coverage=()):
    counts = len(rows), 3, 3, 15
    return Facts({}, rows, *counts, "image", has_lr, is_lr_made, warnings, coverage)


def say(*rows, p_holm=None, clusters=3, text=TEXT, **facts):
    said = " ".join(say_findings(Pairs(p_holm, clusters), make_facts(*rows, **facts), text))
    return said.replace("\u00a0", " ")


def test_who_contradicts_its_input_is_named_worst_first_and_who_does_not():
    said = say(make_row("a", (0.0,)), make_row("b", (0.1, 0.05, 0.2)), make_row("c", (0.5,)))
    assert "contradict it under c in 50 %, b in 10 % (5 to 20)." in said
    assert "Never contradicted: a." in said
    assert "contradict it" not in say(make_row("a", (0.0,)))


def test_an_lr_image_made_of_the_reference_is_not_the_very_one_that_was_given():
    given, made = (say(make_row("a", (0.5,)), is_lr_made=is_made) for is_made in (False, True))
    assert "the very LR image it was given, a proof without the reference" in given
    assert "very" not in made
    assert "LR images that the stated rule makes of the references" in made
    assert "blocks contradict them under a in 50 %." in made


def test_without_lr_images_nothing_is_said_of_contradiction():
    said = say(make_row("a", None, (2.0,)), make_row("b", None, (1.0,)), has_lr=False)
    assert said.startswith("What contradicts the input is not known")
    assert "Most was invented by a, 2 dn²; least by b, 1 dn²." in said


@pytest.mark.parametrize(
    ("p_holm", "expected"),
    [
        (None, "The difference is not tested, for want of 15 patients or images."),
        (0.0004, "The difference is shown (p < 0.001, Holm)."),
        (0.049, "The difference is shown (p = 0.049, Holm)."),
        (0.05, "The difference is not shown (p = 0.05, Holm)."),
    ],
)
def test_a_difference_is_called_one_where_it_is_tested_and_shown(p_holm, expected):
    said = say(make_row("a", mse=(3.0,)), make_row("b", mse=(2.0, 1.0, 3.0)), p_holm=p_holm)
    assert "The smallest squared error has b, 2 dn² (1 to 3); next is a, 3 dn². " + expected in said


@pytest.mark.parametrize(
    ("clusters", "expected"),
    [
        (14, "for want of 15 patients or images."),
        (15, "for it is the same everywhere."),
        (None, "of so many models mart_model_pairs has those with the baseline only."),
    ],
)
def test_why_a_difference_is_not_tested_is_said_as_it_is(clusters, expected):
    said = say(make_row("a", mse=(3.0,)), make_row("b", mse=(3.0,)), clusters=clusters)
    assert expected in said


def test_the_axis_speaks_only_where_its_interval_leaves_no_sign_open():
    said = say(make_row("a", axis1=(1, 0.5, 2)), make_row("b", axis1=(-1, -2, -0.1)))
    assert "structure is gained under a." in said
    assert "structure is lost under b." in said
    open_sign = say(make_row("a", axis1=(1, -0.1, 2)), make_row("b", axis1=(1,)))
    assert "is shown for no model" in open_sign


def test_many_models_are_counted_and_augmented_ones_left_to_the_table():
    rows = [make_row(f"m{number}", (0.1 + number / 100,)) for number in range(9)]
    said = say(*rows, make_row("m0", (0.9,), path="tta"))
    assert "m8 in 18 %, m7 in 17 %" in said
    assert "under 3 more models" in said
    assert "90 %" not in said


def test_a_model_that_is_the_reference_is_ranked_in_no_sentence():
    rows = [make_row(name, mse=(mse,)) for name, mse in (("itself", 0), ("a", 3), ("b", 2))]
    same = {"warning": "same_as_reference", "model_id": "itself", "item_count": 3}
    said = say(*rows, warnings=({**same, "total_count": 3},))
    assert "The smallest squared error has b, 2 dn²; next is a" in said
    assert "has itself, 0 dn²" in say(*rows, warnings=({**same, "total_count": 4},))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (12.345, "12.3"),
        (-0.5, "\u22120.5"),
        (123456, "123,000"),
        (0.0000123, "0.000012"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value, expected):
    assert spell_number(value) == expected


def test_an_interval_stands_behind_its_value():
    assert spell(Estimate(1.5, 1, 2), TEXT) == "1.5 (1 to 2)"
    assert spell(Estimate(1.5), TEXT) == "1.5"


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1.0, "100"),
        (6008 / 6010, "99.97"),
        (0.999996, "99.9996"),
        (1 - 1e-8, "> 99.999"),
        (0.9994, "99.9"),
        (0.0, "0"),
    ],
)
def test_a_share_of_100_percent_is_all(share, expected):
    assert spell(Estimate(share, share, 1), TEXT, 100, " %") == f"{expected} % ({expected} to 100)"


def test_both_languages_have_every_text_and_japanese_every_warning():
    english, japanese = (get_texts(language, PACKAGE) for language in ("en", "ja"))
    own = {key for key in japanese if key.startswith("warning_")}
    assert set(english) == set(japanese) - own
    warning = {"subject": "m (notta)", "other": "n (notta)", "item_count": 2, "total_count": 3}
    warning |= {"example": "a", "sentence": "in English"}
    for key in own:
        row = warning | {"warning": key.removeprefix("warning_")}
        assert say_warnings(make_facts(warnings=(row,)), japanese) != ["in English"]
        assert say_warnings(make_facts(warnings=(row,)), english) == ["in English"]


@pytest.mark.long
@pytest.mark.parametrize("has_lr", [True, False])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_page_of_hostile_names_holds_them_as_texts_and_loads_nothing(
    tmp_path, has_lr, language
):
    path, references = make_warehouse(tmp_path, Case(has_lr=has_lr, is_complete=False))
    poison(path)
    study = SimpleNamespace(warehouse=path, references=references)
    page = tmp_path / "report.html"
    assert write_report(study, page, {}, language) == {}
    found = Tags(page.read_text(encoding="utf-8"))
    assert not found.handlers
    assert {address[:5] for address in found.addresses} == {"data:"}
    assert "script" not in found.tags
    first = page.read_bytes()
    write_report(study, page, {}, language)
    assert page.read_bytes() == first


def make_cutout(contradicted, judged, corner=(28, 28)):
    flat = np.full((64, 64), 100, dtype=np.uint8)
    return Cutout("m", "a", 0, 0, 1.5, contradicted, judged, (flat,), corner)


@pytest.mark.parametrize(
    ("contradicted", "judged", "expected"),
    [
        (None, None, "squared error 1.5 dn²</p>"),
        (None, 0, "squared error 1.5 dn²; no LR pixel of it could be judged</p>"),
        (0, 1, "squared error 1.5 dn²; 0 of 1 LR pixels contradicted</p>"),
    ],
)
def test_a_worst_block_says_what_was_judged_of_it(contradicted, judged, expected):
    cutout = make_cutout(contradicted, judged)
    cutout = dataclasses.replace(cutout, pictures=())
    said = _write_worst([cutout], make_facts(), TEXT)
    assert expected in said.replace("\u00a0", " ")


@pytest.mark.parametrize("corner", [(28, 28), (0, 0), (56, 0), (0, 56), (56, 56)])
def test_every_side_of_a_worst_blocks_frame_outlives_half_the_size(corner):
    (drawn,) = _frame(make_cutout(0, 16, corner))
    framed = (drawn == FRAME_RGB).all(axis=-1)
    side = ENLARGED * 8
    for start in (0, 1):
        shown = framed[start::2, start::2]
        rows, cols = (np.nonzero(shown.sum(axis=axis) > side / 4)[0] for axis in (1, 0))
        assert len(rows) >= 2
        assert len(cols) >= 2
        assert not shown[rows[0] + 1 : rows[-1], cols[0] + 1 : cols[-1]].any()
    top, left = (ENLARGED * place for place in corner)
    framed[max(0, top - 2) : top + side + 2, max(0, left - 2) : left + side + 2] = False
    assert not framed.any()


def run_macro(name):
    return literal_eval(
        re.search(rf"macro {name}\(\) %}}{{{{ return\((.+)\) }}}}", LEDGER.read_text())[1]
    )


def test_what_is_said_to_be_invented_without_lr_images_is_of_the_scales_of_a_block():
    scales = run_macro("block_scales")
    for language, spelled in (("en", "{} to {} px"), ("ja", "{}〜{} px")):
        table = get_texts(language, PACKAGE)["table_plain"]
        assert re.findall(r"\d+\D+\d+ px", table) == [spelled.format(scales[0], scales[-1])]


def write_page(tmp_path, change=None, **case):
    path, references = make_warehouse(tmp_path, Case(**case))
    if change:
        with duckdb.connect(str(path)) as connection:
            connection.execute(change)
    page = tmp_path / "report.html"
    write_report(SimpleNamespace(warehouse=path, references=references), page, {})
    return page.read_text(encoding="utf-8")


def test_columns_over_patients_and_columns_over_all_blocks_are_told_apart(tmp_path):
    page = write_page(tmp_path, has_lr=True)
    assert "Squared error, SSIM and Axis1: means over images" in page
    assert "The other columns: over all judged blocks together" in page
    # The case's LR images are made of its references.
    assert "a proof only if models were given what the stated rule makes" in page


def test_blocks_that_the_frame_cuts_are_not_among_all_that_are_measured(tmp_path):
    assert "All 300 blocks that the study should have are measured." in write_page(tmp_path / "a")
    change = "update mart_coverage set partial_block_count = 4, measured_block_count = 96"
    change += " where measured_block_count > 0"
    page = write_page(tmp_path / "b", change)
    assert "All 288 whole blocks that the study should have are measured; 12 more are cut" in page


def test_images_of_unknown_patients_beside_patients_are_called_clusters(tmp_path):
    change = "update dim_images set cluster_unit = 'patient' where image_id = 'image_0'"
    page = write_page(tmp_path, change)
    assert "patients, or images whose patient is not known (clusters): 2;" in page
    assert "Intervals and tests take clusters as independent" in page


@needs_browser
def test_a_browser_runs_no_name(tmp_path):
    path, references = make_warehouse(tmp_path, Case(has_lr=True))
    poison(path)
    page = tmp_path / "report.html"
    write_report(SimpleNamespace(warehouse=path, references=references), page, {})
    dumped = dump_page(page.as_uri(), tmp_path, "</main>")
    assert "<title>pwned" not in dumped
    assert "onerror=" in dumped


def test_a_study_of_published_files_only_says_so(tmp_path):
    path, references = make_warehouse(tmp_path, Case(models=(), sizes=(), sources=("other",)))
    page = tmp_path / "report.html"
    write_report(SimpleNamespace(warehouse=path, references=references), page, {})
    assert "no image was measured" in page.read_text(encoding="utf-8")


def test_texts_are_json_of_this_package():
    names = {file.name for file in files(PACKAGE).iterdir() if file.name.endswith(".json")}
    assert names == {"texts_en.json", "texts_ja.json"}
    assert json.loads(files(PACKAGE).joinpath("texts_en.json").read_text())["title"]
