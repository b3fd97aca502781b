"""What readers say, against loops: limits, areas, differences, flips, boxes, maps and harm."""

import itertools
import re

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from tests.calibration.readings import MACROS, SQL, estimate_effects, simulate_readings
from tests.macros import make_environment, make_renderer
from tests.warehouse.reading_truth import (
    BOX,
    LEVELS,
    MOVED,
    POSITIVE,
    READER,
    UNLISTED,
    make_study,
    read_images,
    write_readings,
)
from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.companions import CompanionFolder, read_readings
from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Give the study of the mean grey level, built with a reading of a file that has changed."""
    root = tmp_path_factory.mktemp("read")
    study = make_study(root)
    assert read_readings(study) == CompanionFolder("readings")
    tables = read_images(root)
    tables["readings"] += [
        # A finding that no label file has, of an image that left the study, and another file's.
        tables["readings"][0] | {"image_id": "gone"},
        *(row | {"finding": "Fracture"} for row in tables["readings"][:16]),
        *(
            row | {"finding": "Fracture", "file_sha256": "f" * 64, "score": 0.0}
            for row in tables["readings"][-16:]
        ),
    ]
    write_readings(study, tables)
    build_warehouse(study, threads=2)
    return study


@pytest.fixture(scope="module")
def ask(built):
    def run(sql):
        with open_warehouse(built.warehouse) as connection:
            return connection.sql(sql).pl().to_dicts()

    return run


def test_the_limit_of_the_mean_grey_level_and_its_flips_are_those_made_by_hand(ask):
    (copied, moved) = ask("from mart_reading_effect where finding = 'Mass' order by model_id")
    # Of LEVELS 116 (number 4) is negative and 120 (5) too; 124 (6) is the second positive.
    assert moved["limit_score"] == pytest.approx((120 + 124) / 2 / 255, abs=1e-15)
    assert (moved["limit_positive_count"], moved["limit_negative_count"]) == (10, 5)
    assert (moved["limit_sensitivity_ratio"], moved["limit_specificity_ratio"]) == (0.9, 1)
    assert (moved["called_count"], moved["image_count"]) == (len(LEVELS), len(LEVELS) - 1)
    flips = [number for number, mean in MOVED.items() if (mean < 122) != (LEVELS[number] < 122)]
    assert (moved["flip_count"], moved["gained_count"], moved["lost_count"]) == (3, 2, 1)
    assert sorted(flips) == [2, 5, 12]
    # Three patients, one image each: McNemar's exact test of 2 against 1.
    assert moved["flip_p_value"] == stats.binomtest(2, 3).pvalue == 1
    assert (copied["flip_count"], copied["flip_p_value"], copied["auc_difference"]) == (0, 1, 0)
    assert copied["p_value"] is None, "nothing varies"


def test_areas_of_the_mean_grey_level_are_those_of_all_pairs(ask):
    (row,) = ask("from mart_reading_effect where finding = 'Mass' and model_id = 'moved'")
    listed = [number for number in range(len(LEVELS)) if number != UNLISTED]
    means = {number: MOVED.get(number, LEVELS[number]) for number in listed}
    for name, values in (("reference", LEVELS), ("restored", means)):
        wins = [
            (values[one] > values[other]) + (values[one] == values[other]) / 2
            for one, other in itertools.product(POSITIVE, set(listed) - {*POSITIVE})
        ]
        assert row[f"{name}_auc"] == pytest.approx(np.mean(wins), abs=1e-9)
    assert row["lr_image_count"] == len(listed)
    assert row["auc_difference"] == pytest.approx(row["restored_auc"] - row["reference_auc"])


def test_a_call_needs_labels_and_what_is_outdated_counts_nowhere(ask):
    rows = ask("from fct_readings order by all")
    gone = [row for row in rows if row["image_id"] == "gone"]
    assert [row["is_current"] for row in gone] == [None]
    unlisted = [row for row in rows if row["image_id"] == "00000004_001"]
    assert {row["has_finding"] for row in unlisted} == {None}
    fracture = [row for row in rows if row["finding"] == "Fracture"]
    # No label names it: no limit, and so no call.
    assert {row["limit_score"] for row in fracture} == {row["is_positive"] for row in fracture}
    assert {row["limit_score"] for row in fracture} == {None}
    assert {row["is_current"] for row in fracture if row["subject"] == "restored"} == {False}
    assert ask("from mart_reading_effect where finding = 'Fracture'") == []
    (reader,) = ask("from dim_readers")
    assert (reader["reader"], reader["outdated_count"], reader["finding_count"]) == (READER, 17, 2)


def test_boxes_are_found_by_more_than_a_share_of_their_overlap(ask):
    rows = ask("from mart_localisation")
    found = {
        (row["model_id"], row["map_level"], row["overlap"], row["overlap_ratio"]): row
        for row in rows
    }
    assert len(found) == len(rows) == 2 * 3 * 2 * 5
    width, height = BOX[2:]
    for (model_id, level, overlap, ratio), row in found.items():
        for side, shift in (("reference", 0), ("restored", 8 * (model_id == "moved"))):
            hit = {}
            for own, wide in ((60, width), (180, width // 2)):
                low = 0 if own == 180 else shift
                shared = (min(width, low + wide) - low) * height
                of_both = width * height + wide * height - shared
                hit[own] = shared / (of_both if overlap == "iou" else wide * height) > ratio
            expected = [0, 0]
            for number in POSITIVE:
                has = {60: True, 180: not (shift and number % 2)}
                shown = [own for own in (60, 180) if has[own] and level in (0, own)]
                expected[0] += any(hit[own] for own in shown)
                expected[1] += sum(not hit[own] for own in shown)
            counted = [row[f"{side}_found_count"], row[f"{side}_false_count"]]
            assert counted == expected, (model_id, level, overlap, ratio, side)
            assert row[f"{side}_false_mean"] == expected[1] / len(POSITIVE)
    # A box half as wide within another overlaps it by one half: no more than that.
    assert found["copied", 180, "iou", 0.5]["reference_found_count"] == 0
    assert found["copied", 180, "iobb", 0.9]["reference_found_count"] == 10


def test_differences_of_boxes_have_the_interval_of_a_ratio_over_patients(ask):
    (row,) = ask(
        "from mart_localisation where model_id = 'moved' and map_level = 180"
        " and overlap = 'iobb' and overlap_ratio = 0.5"
    )
    patients = sorted({number // 2 for number in POSITIVE})
    boxes = np.array([sum(n // 2 == patient for n in POSITIVE) for patient in patients])
    lost = np.array([sum(n // 2 == patient and n % 2 for n in POSITIVE) for patient in patients])
    ratio = -lost.sum() / boxes.sum()
    rest = -lost - ratio * boxes
    error = np.sqrt(len(patients) / (len(patients) - 1) * (rest**2).sum()) / boxes.sum()
    reach = stats.t.ppf(0.975, len(patients) - 1) * error
    assert row["accuracy_difference"] == ratio
    assert row["accuracy_difference_low"] == pytest.approx(ratio - reach, abs=1e-8)
    assert row["accuracy_difference_high"] == pytest.approx(ratio + reach, abs=1e-8)


def test_maps_agree_by_the_mean_over_patients(ask):
    (row,) = ask("from mart_reading_maps where model_id = 'moved' and quantity = 'map_correlation'")
    means = [1 - (4 * patient + 1) / 200 for patient in range(8)]
    assert row["mean"] == pytest.approx(np.mean(means))
    # Evenly spread: no skewness to correct.
    reach = stats.t.ppf(0.975, 7) * stats.sem(means)
    assert row["mean_high"] - row["mean"] == pytest.approx(reach, abs=1e-8)
    empty = ask("from mart_reading_maps where quantity = 'overlap_180'")
    assert {(row["map_count"], row["image_count"], row["mean"]) for row in empty} == {(16, 0, None)}


def test_a_folder_that_is_not_as_it_was_written_is_refused_by_its_command(built):
    path = built.readings / "readers.parquet"
    content = path.read_bytes()
    path.write_bytes(content + b" ")
    try:
        with pytest.raises(StudyError, match=re.escape(f"run upscale-audit read {built.path}")):
            read_readings(built)
    finally:
        path.write_bytes(content)


def delong(cluster, has_finding, first, second):
    """Difference of two areas and its variance, by the equations of Obuchowski (1997), naively."""
    patients = sorted(set(cluster))
    means = []
    for scores in (first, second):
        above = (scores[has_finding][:, None] > scores[~has_finding][None, :]) + 0.5 * (
            scores[has_finding][:, None] == scores[~has_finding][None, :]
        )
        means.append((above.mean(), above.mean(1), above.mean(0)))
    area = means[1][0] - means[0][0]
    drawn = means[1][1] - means[0][1] - area
    sham = means[1][2] - means[0][2] - area
    m, n = has_finding.sum(), (~has_finding).sum()
    x = np.array([drawn[cluster[has_finding] == one].sum() for one in patients])
    y = np.array([sham[cluster[~has_finding] == one].sum() for one in patients])
    with_x = len(set(cluster[has_finding]))
    with_y = len(set(cluster[~has_finding]))
    both = len(patients)
    variance = (
        with_x / (with_x - 1) * (x**2).sum() / m**2
        + with_y / (with_y - 1) * (y**2).sum() / n**2
        + 2 * both / (both - 1) * (x * y).sum() / (m * n)
    )
    return area, variance, min(with_x, with_y) - 1


@pytest.fixture(scope="module")
def simulated():
    """Give readings of 30 studies of 25 patients, rounded so that scores tie, and their rows."""
    labelled = simulate_readings(25, 30, seed=3).with_columns(pl.col("score").round(1))
    return labelled, estimate_effects(labelled)


def test_differences_are_those_of_delongs_equations_by_patient(simulated):
    labelled, rows = simulated
    assert len(rows) == 30
    for row in rows:
        own = labelled.filter(reader=row["reader"]).sort("image_id")
        by = {one: own.filter(subject=one) for one in ("reference", "lr", "restored")}
        cluster = by["reference"]["cluster_id"].to_numpy()
        truth = by["reference"]["has_finding"].to_numpy()
        scores = {one: frame["score"].to_numpy() for one, frame in by.items()}
        for against, prefix in (("reference", ""), ("lr", "lr_")):
            area, variance, df = delong(cluster, truth, scores[against], scores["restored"])
            assert row[f"{prefix}auc_difference"] == pytest.approx(area, abs=2e-9)
            error = np.sqrt(variance)
            assert row[f"{prefix}auc_difference_error"] == pytest.approx(error, abs=2e-9)
            p = 2 * stats.t.sf(abs(area) / error, df)
            assert row[f"{prefix}p_value"] == pytest.approx(p, rel=1e-6)
            reach = stats.t.ppf(0.975, df) * error
            assert row[f"{prefix}auc_difference_high"] == pytest.approx(
                min(1, area + reach), abs=1e-8
            )


def test_limit_is_youdens_and_lies_between_two_scores(simulated):
    labelled, rows = simulated
    for row in rows:
        own = labelled.filter(reader=row["reader"], subject="reference")
        scores, truth = own["score"].to_numpy(), own["has_finding"].to_numpy()
        steps = np.unique(scores)[::-1]
        gain = [
            round((scores[truth] >= step).mean() - (scores[~truth] >= step).mean(), 12)
            for step in steps
        ]
        best = int(np.argmax(gain))
        assert row["limit_score"] == pytest.approx((steps[best] + steps[best + 1]) / 2)


def test_flips_by_patient_have_the_share_of_all_signs(simulated):
    labelled, rows = simulated
    several = 0
    for row in rows:
        own = labelled.filter(reader=row["reader"]).sort("image_id")
        calls = {
            one: own.filter(subject=one)["score"].to_numpy() >= row["limit_score"]
            for one in ("reference", "restored")
        }
        cluster = own.filter(subject="reference")["cluster_id"].to_numpy()
        net = calls["restored"].astype(int) - calls["reference"].astype(int)
        assert row["flip_count"] == np.abs(net).sum()
        assert (row["gained_count"], row["lost_count"]) == ((net > 0).sum(), (net < 0).sum())
        changes = np.array([net[cluster == one].sum() for one in sorted(set(cluster))])
        changes = changes[changes != 0]
        several += np.abs(changes).max(initial=0) > 1
        signs = np.array(list(itertools.product((-1, 1), repeat=len(changes))))
        sums = np.abs((signs * changes).sum(1))
        assert row["flip_p_value"] == pytest.approx((sums >= abs(changes.sum())).mean(), abs=1e-8)
    assert several, "some patient has two changes to one side"


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (9, 2), (60, 40), (150, 90)])
def test_with_one_image_a_patient_flips_are_mcnemars(gained, lost):
    (p,) = ask_sign_flip([1] * gained + [-1] * lost)
    if gained + lost == 0:
        assert p == 1
    elif gained + lost <= 200:
        assert p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, rel=1e-9)
    else:
        chi_square = (gained - lost) ** 2 / (gained + lost)
        assert p == pytest.approx(stats.chi2.sf(chi_square, 1), rel=1e-9)


def ask_sign_flip(changes):
    environment = make_environment(*MACROS)
    sql = environment.globals["sign_flip_p"]("sizes", "total")
    sizes = sorted(abs(float(change)) for change in changes)
    given = "select cast(? as double[]) as sizes, cast(? as bigint) as total"
    with duckdb.connect() as connection:
        (row,) = connection.execute(
            f"select {sql} from ({given})", [sizes, sum(changes)]
        ).fetchall()
    return row


@pytest.mark.parametrize("shuffled", [False, True])
def test_where_nothing_differs_intervals_hold_0_in_95_of_100_studies(shuffled):
    rows = estimate_effects(simulate_readings(40, 400, seed=1, shuffled=shuffled))
    for prefix in ("", "lr_"):
        held = [
            row[f"{prefix}auc_difference_low"] <= 0 <= row[f"{prefix}auc_difference_high"]
            for row in rows
        ]
        # Within what 400 studies leave open of 95 %: one in a thousand lies outside.
        low, high = stats.binom.interval(0.999, len(held), 0.95)
        assert low <= sum(held) <= high
    tested = [row["flip_p_value"] < 0.05 for row in rows if row["flip_p_value"] is not None]
    assert sum(tested) <= stats.binom.ppf(0.999, len(tested), 0.05)
    gained, lost = (sum(row[name] or 0 for row in rows) for name in ("gained_count", "lost_count"))
    # The limit, which was chosen on the references, favours neither.
    assert abs(gained - lost) < 4 * np.sqrt(3 * (gained + lost))


HARM = ("int_student_limits", "mart_reading_harm")


def measure_harm(cluster, value, is_flipped, model_id="m"):
    """Give mart_reading_harm of images that contradict by half of their values."""
    readings = pl.DataFrame(
        {
            "reader": "r",
            "subject": "restored",
            "model_id": model_id,
            "inference_path": "notta",
            "image_id": [f"i{number:05}" for number in range(len(value))],
            "finding": "Mass",
            "cluster_id": [f"p{one:03}" for one in cluster],
            "cluster_unit": "patient",
            "is_flipped": is_flipped,
            "is_current": True,
        }
    )
    images = readings.select("model_id", "inference_path", "image_id").with_columns(
        source_id=pl.lit("images"),
        lr_contradicted_ratio=pl.Series(value / 2),
        invented_dn2=pl.Series(value),
        mse_dn2=pl.lit(4.0),
    )
    files = {"mart_reading_harm": "marts/reading/mart_reading_harm.sql"} | SQL
    render = make_renderer(files, MACROS)
    with duckdb.connect() as connection:
        for name, frame in {"fct_readings": readings, "int_image_quantities": images}.items():
            connection.register("frame", frame)
            connection.execute(f"create table {name} as select * from frame")
        connection.execute("create table int_clusters as select unnest(range(130)) as cluster_id")
        for name in HARM:
            connection.execute(f"create table {name} as {render(name)}")
        return connection.sql("from mart_reading_harm order by quantity").pl().to_dicts()


def test_harm_is_a_difference_of_means_with_patients_kept_together():
    generator = np.random.default_rng(5)
    cluster = np.repeat(np.arange(20), 3)
    value = generator.random(60).round(3) + 0.2 * (cluster % 2)
    is_flipped = generator.random(60) < 0.3
    rows = measure_harm(cluster, value, is_flipped)
    for row, values in zip(rows, (value / 4, value / 2), strict=True):
        means = [values[is_flipped].mean(), values[~is_flipped].mean()]
        rest = np.where(
            is_flipped,
            (values - means[0]) / is_flipped.sum(),
            -(values - means[1]) / (~is_flipped).sum(),
        )
        sums = np.array([rest[cluster == one].sum() for one in range(20)])
        error = np.sqrt(20 / 19 * (sums**2).sum())
        df = min(len(set(cluster[is_flipped])), len(set(cluster[~is_flipped]))) - 1
        difference = means[0] - means[1]
        assert row["difference"] == pytest.approx(difference, abs=2e-9)
        ranks = stats.rankdata(values)
        kinds = np.where(is_flipped, 1 / is_flipped.sum(), -1 / (~is_flipped).sum())
        common = kinds * (ranks - ranks.mean())
        sums = np.array([common[cluster == one].sum() for one in range(20)])
        t = common.sum() / np.sqrt((sums**2).sum())
        assert row["t"] == pytest.approx(t, rel=1e-9)
        assert row["p_value"] == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-6)
        assert row["difference_high"] == pytest.approx(
            difference + stats.t.ppf(0.975, df) * error, abs=1e-8
        )
        assert (row["flipped_count"], row["kept_count"]) == (is_flipped.sum(), (~is_flipped).sum())


def test_flips_drawn_by_lot_seem_to_follow_no_skewed_value():
    generator = np.random.default_rng(16)
    cluster = np.tile(np.repeat(np.arange(60), 4), 200)
    value = np.minimum(1, generator.lognormal(-4, 1.2, (200, 60))).repeat(4)
    order = generator.random((200, 240)).argsort(axis=1).argsort(axis=1)
    models = [f"m{number}" for number in range(200) for _ in range(240)]
    rows = measure_harm(cluster, value, order.ravel() < 14, models)
    found = [row["p_value"] for row in rows if row["quantity"] == "lr_contradicted_ratio"]
    # Of 200 at 5 %, 19 or more come once in a thousand.
    assert len(found) == 200
    assert None not in found
    assert sum(p < 0.05 for p in found) < 19


@pytest.mark.parametrize(("start", "step"), [(0, 0.5), (2, -0.5)])
@pytest.mark.parametrize(("varied", "is_tested"), [(4, False), (5, True)])
def test_of_few_patients_who_contradict_there_is_no_test(start, step, varied, is_tested):
    number = np.arange(120)
    is_flipped = number < 19
    of_kind = np.where(is_flipped, number, number - 19)
    value = start + step * np.where(of_kind < varied, 1 + number % 2, 0)
    value[19:60] += step / 4
    _, row = measure_harm(number, value, is_flipped)
    assert row["quantity"] == "lr_contradicted_ratio"
    assert (row["p_value"] is not None, row["difference_low"] is not None) == (is_tested, is_tested)
    assert row["difference"] is not None
