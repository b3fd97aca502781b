"""The simulated studies of `make calibrate` are what they claim; its counting is right."""

import re

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

from tests.calibration.campaign import Setting, count_build
from tests.calibration.page import introduce, replace_sections
from tests.calibration.questions import INTERVALS, PUBLISHED, RATES, TESTS, Interval, Test
from tests.calibration.shares import estimate_share, format_share
from tests.calibration.studies import (
    BASELINE,
    BASELINE_METRIC,
    FLAG_RATES,
    IS_FRAME,
    Truth,
    simulate_published_study,
    simulate_study,
)
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long

TRUTH = Truth()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Give a connection to the published warehouse of a small simulated study."""
    root = tmp_path_factory.mktemp("simulated")
    study = simulate_study(root, patient_count=6, model_count=2, seed=1)
    build_warehouse(study, threads=2)
    with open_warehouse(study.warehouse) as connection:
        yield connection


def read_blocks(study, model_id):
    """Raw block columns of a model as arrays, one row an image."""
    (path,) = (study.raw / "blocks" / f"model_id={model_id}").iterdir()
    table = pq.ParquetFile(path).read()
    wanted = ("notta_local_ssim", "tta_local_ssim", "notta_noise", "tta_noise", "reference_noise")
    return {name: table[name].to_numpy().reshape(-1, IS_FRAME.size) for name in wanted}


def test_a_simulated_study_passes_the_build_and_every_data_test_of_it(built):
    counts = built.execute(
        "select model_id, notta_image_count, tta_image_count from dim_models"
    ).fetchall()
    (images,) = built.execute("select count(*) from dim_images").fetchone()
    assert sorted(counts) == [
        (BASELINE, images, 0),
        ("normal_0000", images, images),
        ("skewed_0001", images, images),
    ]


def test_every_question_is_answered_for_every_simulated_model(built):
    for question in INTERVALS + RATES + TESTS:
        # Six patients are too few for a test of lesions.
        if question.mart != "mart_lesion_risk":
            answers = dict(built.execute(question.sql).fetchall())
            if question.mart == "mart_axis1_types":
                assert answers["normal_0000"] is not None
                assert answers["skewed_0001"] is not None
            assert {"normal_0000", "skewed_0001"} <= answers.keys(), question.name


def test_the_campaign_builds_what_it_asks_and_counts_every_answer():
    counts = count_build(Setting(15, 1, 2), 0)
    asked = {question.name for question in INTERVALS + RATES + TESTS}
    # Of fifteen patients too few have the same finding for several to be tested.
    few = {name for name in asked if "at least one finding" in name}
    assert {item.question for item in counts} == asked - few
    assert {item.effect for item in counts} == {"normal", "skewed"}
    assert {item.studies for item in counts} == {1}
    assert {item.hits for item in counts} == {0, 1}


def read_cells(section):
    """Give (what, patients, hits, studies) of every cell of a section of the page."""
    found = []
    for table in re.findall(r"^\| what \|.*\n(?:\|.*\n)+", section, re.MULTILINE):
        head, _, *lines = ([cell.strip() for cell in line.split("|")] for line in table.split("\n"))
        for line in filter(lambda line: len(line) > 1, lines):
            for name, cell in zip(head, line, strict=True):
                size = re.fullmatch(r"([\d,]+) patients, n = (\d+)", name)
                if size and cell:
                    count = int((re.search(r"n = (\d+)\)", cell) or size).groups()[-1])
                    share = float(re.search(r"[\d.]+", cell).group())
                    patients = int(size.group(1).replace(",", ""))
                    found.append((line[1], patients, round(share * count / 100), count))
    return found


def test_readme_says_of_the_page_what_it_holds(repository):
    page = (repository / "docs" / "calibration.md").read_text(encoding="utf-8")
    readme = " ".join((repository / "README.md").read_text(encoding="utf-8").split())
    _, intervals, rates, _, published, *_ = map(read_cells, page.split("\n## "))

    def count(cells, least=0, what=""):
        chosen = [cell for cell in cells if cell[1] >= least and cell[0].startswith(what)]
        return sum(cell[2] for cell in chosen), sum(cell[3] for cell in chosen)

    hits, studies = count(published, what="published: chi-square of the boundary")
    corrected, _ = count(published, what="corrected location test")
    assert f"{hits} of {studies} studies, the corrected one beside it in {corrected}." in readme
    held, cases = count(intervals, least=10)
    held_rates, of_rates = count(rates, least=10)
    said = f"hold the truth in {held / cases:.0%} of {cases:,} cases, those of flag rates in"
    said += f" {held_rates / of_rates:.0%} of {of_rates:,}."
    assert said.replace("%", " %") in readme
    worst = min(
        (cell for cell in intervals if cell[1] == 15 and cell[0].startswith("frame excess")),
        key=lambda cell: cell[2] / cell[3],
    )
    assert f"baseline in {worst[2] / worst[3]:.0%} of {worst[3]}.".replace("%", " %") in readme


def test_the_page_says_of_how_many_builds_and_what_one_cannot_tell():
    several = introduce([Setting(5, 4, 250), Setting(100, 4, 125), Setting(1567, 2, 400, True)])
    assert "each number of patients 2 to 4, of 125 to 400 models" in several
    assert "Of one build" not in several
    one = introduce([Setting(5, 1, 60), Setting(100, 1, 60)])
    assert "each number of patients 1, of 60 models" in one
    assert "Of one build" in one


def test_the_page_begins_as_this_code_writes_it(repository):
    page = (repository / "docs" / "calibration.md").read_text(encoding="utf-8")
    numbers = re.search(r"each number of patients (\d+), of (\d+) models", page).groups()
    assert page.startswith(introduce([Setting(5, *map(int, numbers))]))


def test_sections_are_replaced_in_place_and_others_stay():
    heads = {"one": "## One: in %\n{studies}", "two": "## Two\n", "three": "## Three\n"}
    page = "# Page\n\nText.\n\n## Main\n\nA.\n\n## One: in %\n\nOld.\n\n## Three\n\nC.\n"
    assert replace_sections(page, heads, {}) == page
    made = {"two": "## Two\n\nB.\n", "one": "## One: in %\n\nNew.\n"}
    expected = page.replace("Old.\n", "New.\n\n## Two\n\nB.\n")
    assert replace_sections(page, heads, made) == expected
    assert replace_sections(expected, heads, made) == expected


def test_a_share_is_bold_where_its_interval_lies_beyond_the_aim():
    assert format_share([(94, 100)], (93, 97)) == "94.0 (87.5 to 97.2)"
    assert format_share([(880, 1000)], (93, 97)) == "**88.0** (85.8 to 89.9)"
    assert format_share([(499, 500)], (93, 97)).startswith("**99.8**")
    assert format_share([(50, 100), (40, 50)], (4, 6), 200) == "**60.0** (34.6 to 80.9, n = 150)"
    assert format_share([(0, 0)], (93, 97)) == ""


def test_truths_that_need_no_sampling_are_what_the_marts_say(built):
    row = built.execute(
        "select null_frame_ratio, frame_count from mart_lfv_proof"
        f" where population = 'per_model' and model_id = '{BASELINE}' and inference_path = 'notta'"
    ).fetchone()
    assert row == (pytest.approx(TRUTH.frame_ratio), 0)


def test_simulated_means_lie_at_the_truth(tmp_path):
    study = simulate_study(tmp_path, patient_count=300, model_count=2, seed=2)
    for model_id in ("normal_0000", "skewed_0001"):
        blocks = read_blocks(study, model_id)
        to_dn = np.sqrt(np.pi / 2) / 6 / 64
        noise = to_dn * (blocks["notta_noise"] - blocks["reference_noise"])
        change = to_dn * (blocks["tta_noise"] - blocks["notta_noise"])
        deficit = blocks["notta_local_ssim"] @ (~IS_FRAME / (~IS_FRAME).sum())
        deficit -= blocks["notta_local_ssim"] @ (IS_FRAME / IS_FRAME.sum())
        means = {
            "noise": noise.mean(axis=1),
            "noise_change": change.mean(axis=1),
            "mean_ssim": blocks["notta_local_ssim"][:, IS_FRAME].mean(axis=1),
            "frame_deficit": deficit,
        }
        for name, values in means.items():
            # Images of a patient agree: at most three share one error.
            error = values.std() / np.sqrt(len(values) / 3)
            assert values.mean() == pytest.approx(getattr(TRUTH, name), abs=4 * error), name


def test_a_rule_fires_as_often_as_its_rate_says(tmp_path):
    study = simulate_study(tmp_path, patient_count=2000, model_count=2, seed=4)
    table = pq.read_table(study.raw / "image_metrics" / "image_metrics.parquet").to_pylist()
    for model_id in ("normal_0000", "skewed_0001"):
        rows = [row for row in table if row["model_id"] == model_id]
        for metric, rate in FLAG_RATES.items():
            share = np.mean([row[metric] > BASELINE_METRIC for row in rows])
            # Images of a patient agree: at most three share one error.
            error = np.sqrt(rate * (1 - rate) / (len(rows) / 3))
            assert share == pytest.approx(rate, abs=4 * error), (model_id, metric)


def test_published_places_are_uniform_and_only_the_worst_quarter_is_located(tmp_path):
    study = simulate_published_study(tmp_path, patient_count=1000, model_count=2, seed=3)
    results = pq.read_table(study.raw / "published_results" / "published_results.parquet")
    places = pq.read_table(study.raw / "published_locations" / "published_locations.parquet")
    assert places.num_rows == pytest.approx(results.num_rows / 4, abs=2)
    ratio = places["is_boundary"].to_numpy().mean()
    assert ratio == pytest.approx(12159 / 16384, abs=4 * np.sqrt(0.25 * 0.75 / 1000))
    assert set(places["min_row"].to_numpy()) == set(range(128))


def test_an_interval_counts_where_it_holds_the_truth_and_is_null_without_ends():
    connection = duckdb.connect()
    connection.execute(
        "create table mart as select * from (values ('in', 0.0, 1.0, 7), ('end', 0.5, 1.0, 7),"
        " ('below', 0.6, 1.0, 7), ('none', null, null, 7), ('other', 0.0, 1.0, 8))"
        " as rows (model_id, x_low, x_high, kind)"
    )
    sql = Interval("x", "mart", "x_low", 0.5, "kind = 7").sql
    answers = dict(connection.execute(sql).fetchall())
    assert answers == {"in": True, "end": True, "below": False, "none": None}


def test_a_test_counts_a_model_once_by_its_smallest_p():
    connection = duckdb.connect()
    connection.execute(
        "create table mart as select * from (values ('one', 0.2), ('one', 0.049), ('at', 0.05),"
        " ('none', null)) as rows (model_id, p)"
    )
    answers = dict(connection.execute(Test("p", "mart", "p").sql).fetchall())
    assert answers == {"one": True, "at": False, "none": None}


def test_questions_have_names_of_their_own():
    # Counts are pooled by name and number of patients: 1,567 of the published alone.
    for questions in (INTERVALS + RATES + TESTS, PUBLISHED):
        names = [question.name for question in questions]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(("hits", "studies"), [(0, 40), (38, 40), (40, 40), (947, 1000)])
def test_the_interval_of_a_share_is_wilsons_where_builds_agree(hits, studies):
    share, low, high, number = estimate_share([(hits, studies), (hits, studies)])
    expected = binomtest(2 * hits, 2 * studies).proportion_ci(method="wilson")
    assert (share, number) == (hits / studies, 2 * studies)
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_builds_that_disagree_widen_the_interval_of_a_share():
    narrow = estimate_share([(90, 100), (90, 100)])
    wide = estimate_share([(99, 100), (81, 100)])
    assert wide[1] < narrow[1]
    assert wide[2] > narrow[2]
    # Variance between the two builds over the binomial one is the factor lost.
    design = 2 * (9**2 + 9**2) / 200**2 / (0.9 * 0.1 / 200)
    expected = binomtest(round(180 / design), round(200 / design)).proportion_ci(method="wilson")
    assert wide[1:3] == pytest.approx((expected.low, expected.high), abs=0.02)
