"""Known truth through the whole pipeline: oracles of detectors, and their SQL against loops."""

import itertools

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from scipy import stats

from tests.warehouse.known_truth import PARAMETERS
from upscale_audit.analysis.lqd.marks import read_marks
from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long

GROUP = ("model_id", "arm", "kind", "signal_part", "contrast_dn")


@pytest.fixture(scope="module")
def ask(copies):
    """Give a function from SQL to rows as dictionaries."""

    def run(sql):
        with open_warehouse(copies.warehouse) as connection:
            return connection.sql(sql).pl().to_dicts()

    return run


@pytest.fixture(scope="module")
def scores(copies, ask):
    """Give mse, d_mu and lr_invented of each place, by loops over its blocks."""
    values = {
        (row["model_id"], row["image_id"], row["block_row"], row["block_col"]): row
        for row in ask(
            "select model_id, image_id, block_row, block_col, mse_dn2_notta as mse_dn2,"
            " cast(d_mu_notta as double) as d_mu,"
            " lr_invented_dn2_notta as lr_invented_dn2 from fct_blocks"
        )
    }
    blocks = {}
    for row in pq.read_table(copies.phantoms / "injection_blocks.parquet").to_pylist():
        place = (row["source_image_id"], row["site_number"], row["kind"])
        blocks.setdefault(place, []).append((row["block_row"], row["block_col"]))
    found = []
    for row in pq.read_table(copies.phantoms / "injections.parquet").to_pylist():
        kinds = PARAMETERS.kinds if row["arm"] == "sham" else (row["kind"],)
        for kind in kinds:
            here = [
                values[row["model_id"], row["image_id"], *block]
                for block in blocks[row["source_image_id"], row["site_number"], kind]
            ]
            found.append(
                row
                | {"kind": kind, "signal_part": row["component"]}
                | {"patient": row["source_image_id"][:8]}
                | {name: max(float(b[name]) for b in here) for name in ("mse_dn2", "d_mu")}
                | {"lr_invented_dn2": max(float(b["lr_invented_dn2"]) for b in here)}
            )
    return found


def split(scores, group):
    """The places drawn at under a condition, and the shams they are told from."""
    drawn = [row for row in scores if all(row[name] == group[name] for name in GROUP)]
    shams = [
        row
        for row in scores
        if row["arm"] == "sham"
        and (row["model_id"], row["kind"]) == (group["model_id"], group["kind"])
    ]
    return drawn, shams


def compare(first, second):
    return 1.0 if first > second else 0.5 if first == second else 0.0


def estimate(drawn, shams, name):
    """Area and its variance after Obuchowski (1997), term by term as the paper has it."""
    wins = np.array([[compare(d[name], s[name]) for s in shams] for d in drawn])
    m, n, area = len(drawn), len(shams), wins.mean()
    v10, v01 = wins.mean(axis=1), wins.mean(axis=0)
    s10 = s01 = s11 = 0.0
    patients = sorted({row["patient"] for row in drawn + shams})
    for patient in patients:
        x = [i for i, row in enumerate(drawn) if row["patient"] == patient]
        y = [j for j, row in enumerate(shams) if row["patient"] == patient]
        of_x, of_y = v10[x].sum() - len(x) * area, v01[y].sum() - len(y) * area
        s10, s01, s11 = s10 + of_x**2, s01 + of_y**2, s11 + of_x * of_y
    i10 = len({row["patient"] for row in drawn})
    i01 = len({row["patient"] for row in shams})
    s10 *= i10 / ((i10 - 1) * m)
    s01 *= i01 / ((i01 - 1) * n)
    s11 *= len(patients) / (len(patients) - 1)
    return area, s10 / m + s01 / n + 2 * s11 / (m * n), i10


def test_areas_and_their_errors_are_those_of_loops(ask, scores):
    rows = ask(
        "select * from mart_detectors where reading = 'value'"
        " and detector in ('mse_dn2', 'd_mu', 'lr_invented_dn2')"
    )
    # Six conditions in two arms, and through one model in a third; less what is nothing, rounded.
    assert len(rows) > 3 * 6 * 4
    inner = 0
    for row in rows:
        drawn, shams = split(scores, row)
        if row["contrast_dn"] != 0:
            drawn = [item for item in drawn if item["energy_dn2"] > 0]
        area, variance, patients = estimate(drawn, shams, row["detector"])
        assert (row["drawn_count"], row["sham_count"]) == (len(drawn), len(shams) == 108 and 108)
        assert (row["cluster_count"], row["cluster_unit"]) == (patients, "patient")
        assert row["auc"] == pytest.approx(area, abs=1e-9)
        assert row["auc_error"] == pytest.approx(np.sqrt(max(variance, 0)), abs=2e-9)
        limit = sorted(item[row["detector"]] for item in shams)[-2]  # one of 108 may lie beyond
        assert row["limit_score"] == pytest.approx(limit, abs=1e-6)
        found = sum(item[row["detector"]] > limit for item in drawn)
        assert (row["found_count"], row["sensitivity_ratio"]) == (found, found / len(drawn))
        if row["auc_low"] is None:
            assert area in (0, 1) or variance < 1e-18
            continue
        reach = stats.t.ppf(0.975, patients - 1) * np.sqrt(variance) / (area * (1 - area))
        ends = [1 / (1 + np.exp(-(np.log(area / (1 - area)) + s * reach))) for s in (-1, 1)]
        assert [row["auc_low"], row["auc_high"]] == pytest.approx(ends, abs=1e-7)
        inner += 0 < area < 1
    assert inner > 20


def test_composites_are_judged_as_numbers_are(ask, copies):
    assert [name for name, _ in copies.composites] == ["mixed", "nowhere", "twice"]
    rows = ask("select * from dim_detectors where family = 'composite' order by detector")
    # 1 / 0 has no value anywhere, and what has none finds nothing.
    assert [(row["detector"], row["reading"]) for row in rows] == [
        ("mixed", "value"),
        ("twice", "value"),
    ]
    assert rows[1]["expression"] == "2 * mse_dn2"
    own = "select * exclude (detector, limit_score), limit_score * {} as limit_score"
    query = f"{own} from mart_detectors where reading = 'value' and detector = '{{}}' order by all"
    assert ask(query.format(1, "twice")) == ask(query.format(2, "mse_dn2"))
    values = {
        tuple(row[name] for name in ("image_id", "block_row", "block_col")): row["score"]
        for row in ask(
            "select image_id, block_row, block_col, case when lr_rms_dn_notta > 0.25 then"
            " cast(lr_rms_dn_notta as double) * sqrt(cast(mse_dn2_notta as double))"
            " else -abs(cast(d_mu_notta as double)) end as score from fct_blocks"
            " where model_id = 'bicubic'"
        )
    }
    sites = {}
    for row in pq.read_table(copies.phantoms / "injection_blocks.parquet").to_pylist():
        score = values[row["source_image_id"], row["block_row"], row["block_col"]]
        site = row["source_image_id"], row["site_number"]
        sites[site] = max(score, sites.get(site, score))
    (row,) = ask(
        "select any_value(limit_score) as limit_score from mart_detector_limits"
        " where detector = 'mixed' and model_id = 'bicubic' and level_ratio = 0.1"
    )
    assert row["limit_score"] == pytest.approx(sorted(sites.values())[-1 - 10], rel=1e-12)


def test_where_nothing_was_drawn_nothing_is_found(ask):
    rows = ask("select * from mart_detectors where contrast_dn = 0")
    assert {(row["arm"], row["kind"]) for row in rows} == set(
        itertools.product(("auditor", "lost", "through"), PARAMETERS.kinds)
    )
    # Every site once: the same places against themselves. Where the reference's edges lie, and with
    # them the mask of ringing, depends on its whole image, into which other things were drawn.
    for row in rows:
        is_far = row["detector"] == "d_ring" and row["arm"] != "auditor"
        assert row["auc"] == pytest.approx(0.5, abs=0.05 if is_far else 1e-9), row
    assert {row["drawn_count"] for row in rows if row["detector"] == "mse_dn2"} == {108}


def find(ask, condition, detector, reading="value"):
    rows = ask(
        f"select * from mart_detectors where {condition} and detector = '{detector}'"
        f" and reading = '{reading}'"
    )
    (row,) = rows
    return row


def test_of_a_perfect_copy_any_error_is_what_was_drawn(ask):
    for kind in PARAMETERS.kinds:
        for arm in ("auditor", "lost"):
            row = find(
                ask,
                f"model_id = 'copied' and arm = '{arm}' and kind = '{kind}'"
                " and signal_part = 'full' and contrast_dn = 16",
                "mse_dn2",
            )
            assert (row["auc"], row["sensitivity_ratio"], row["auc_low"]) == (1, 1, None)


def test_what_is_drawn_into_the_other_image_mirrors_its_facts(ask):
    condition = "model_id = 'copied' and kind = 'nodule_16' and contrast_dn = 16 and arm = "
    for detector, reading, mirrored in (
        ("mse_dn2", "value", "value"),
        ("d_mu", "value", "negated"),
        ("d_mu", "absolute", "absolute"),
        ("axis1", "value", "negated"),
        ("local_ssim", "negated", "negated"),
    ):
        here = find(ask, f"{condition} 'auditor'", detector, reading)
        there = find(ask, f"{condition} 'lost'", detector, mirrored)
        for name in ("auc", "auc_low", "auc_error", "limit_score", "found_count", "drawn_count"):
            assert here[name] == there[name], (detector, name)


def test_what_the_rule_cannot_see_contradicts_nothing_and_is_invented(ask):
    null = "arm = 'auditor' and kind = 'wire' and signal_part = 'null' and model_id ="
    assert find(ask, f"{null} 'copied'", "lr_contradicted_px")["auc"] == 0.5
    assert find(ask, f"{null} 'copied'", "is_contradicted")["auc"] == 0.5
    for model_id in ("copied", "bicubic"):
        assert find(ask, f"{null} '{model_id}'", "lr_invented_dn2")["auc"] > 0.97
    seen = "arm = 'auditor' and kind = 'wire' and signal_part = 'range' and model_id = 'copied'"
    assert find(ask, seen, "lr_contradicted_px")["auc"] == 1


def test_false_alarms_of_flags_are_counted(ask, copies):
    rows = ask("select * from mart_sham where flag = 'is_erroneous'")
    assert {(row["model_id"], row["kind"]) for row in rows} == set(
        itertools.product(("bicubic", "copied"), PARAMETERS.kinds)
    )
    for row in rows:
        assert row["site_count"] == 108
        assert 0 <= row["flagged_low_ratio"] <= row["flagged_ratio"] <= row["flagged_high_ratio"]
        if row["model_id"] == "copied":
            assert (row["flagged_count"], row["flagged_low_ratio"]) == (0, 0)
            # Of six patients, none: 1 - 0.025^(1/6).
            assert row["flagged_high_ratio"] == pytest.approx(1 - 0.025 ** (1 / 6), abs=1e-8)
    with duckdb.connect() as connection:
        shams = connection.sql(
            "select b.source_image_id, b.site_number, b.block_row, b.block_col from"
            f" read_parquet('{copies.phantoms / 'injection_blocks.parquet'}') as b"
            " where kind = 'wire'"
        ).pl()
    flagged = pl.DataFrame(
        ask(
            "select image_id as source_image_id, block_row, block_col, is_textured_notta as flag"
            " from fct_blocks where model_id = 'bicubic'"
        )
    )
    counted = (
        shams.join(flagged, on=["source_image_id", "block_row", "block_col"])
        .group_by("source_image_id", "site_number")
        .agg(pl.col("flag").any())
    )
    (row,) = ask(
        "select * from mart_sham where flag = 'is_textured' and kind = 'wire'"
        " and model_id = 'bicubic'"
    )
    assert (row["site_count"], row["flagged_count"]) == (counted.height, counted["flag"].sum())


def bound_share(flags):
    """Interval of a share: flags by patient, as test_flag_rates has it from the papers."""
    total, patients = sum(map(len, flags)), len(flags)
    rate = sum(map(sum, flags)) / total
    size = patients
    if 0 < rate < 1:
        scores = np.array([sum(flag - rate for flag in own) / total for own in flags])
        variance = patients / (patients - 1) * np.sum(scores**2)
        size = rate * (1 - rate) / variance if variance > 1e-15 else total
        size *= (stats.t.ppf(0.975, total - 1) / stats.t.ppf(0.975, patients - 1)) ** 2
        size = min(size, total)
    low = stats.beta.ppf(0.025, size * rate, size * (1 - rate) + 1) if rate > 0 else 0
    high = stats.beta.ppf(0.975, size * rate + 1, size * (1 - rate)) if rate < 1 else 1
    return [rate, low, high]


def exceed_by_patient(rows, name, limit):
    patients = sorted({row["patient"] for row in rows})
    return [
        [row[name] > limit for row in rows if row["patient"] == patient] for patient in patients
    ]


def test_limits_state_what_they_cost_and_find(ask, scores):
    names = ("mse_dn2", "d_mu", "lr_invented_dn2")
    rows = ask(
        "select * from mart_detector_limits where reading = 'value'"
        f" and detector in {names} order by level_ratio"
    )
    # Four levels for 108 shams, five conditions in two arms, and of one model in a third.
    assert {row["level_ratio"] for row in rows} == {0.01, 0.02, 0.05, 0.1}
    assert len(rows) == 4 * len(names) * (4 * 4 + 4)
    between = 0
    for row in rows:
        drawn, _ = split(scores, row)
        name, limit = row["detector"], row["limit_score"]
        sites = {}
        for item in scores:
            if item["arm"] == "sham" and item["model_id"] == row["model_id"]:
                site = item["patient"], item["source_image_id"], item["site_number"]
                sites[site] = max(sites.get(site, -np.inf), item[name])
        shams = [{"patient": site[0], name: score} for site, score in sites.items()]
        beyond = int(row["level_ratio"] * len(shams) + 1e-9)
        ordered = sorted(item[name] for item in shams)
        assert limit == pytest.approx(ordered[-1 - beyond], abs=1e-6)
        assert (row["sham_count"], row["sham_cluster_count"]) == (108, 6)
        drawn = [item for item in drawn if item["energy_dn2"] > 0]
        assert row["drawn_count"] == len(drawn)
        for stem, items in (("false_alarm", shams), ("sensitivity", drawn)):
            found = [row[f"{stem}_{end}ratio"] for end in ("", "low_", "high_")]
            expected = bound_share(exceed_by_patient(items, name, limit))
            assert found == pytest.approx(expected, abs=2e-8), row
            between += 0 < found[0] < 1
        assert row["alarm_count"] <= beyond
    assert between > 40


def test_a_flag_has_its_own_limit_and_a_sham_is_judged_in_the_blocks_of_every_kind(ask, copies):
    shams = pq.read_table(copies.phantoms / "injection_blocks.parquet").to_pylist()
    alarms = {}
    for flag in ("is_contradicted", "is_extreme", "is_masked", "is_erroneous"):
        raised = ask(
            f"select image_id, block_row, block_col from fct_block_states where {flag}_notta"
            " and model_id = 'bicubic'"
        )
        raised = {(row["image_id"], row["block_row"], row["block_col"]) for row in raised}
        alarms[flag] = {
            (row["source_image_id"], row["site_number"])
            for row in shams
            if (row["source_image_id"], row["block_row"], row["block_col"]) in raised
        }
        rows = ask(
            f"select * from mart_detector_limits where detector = '{flag}' and level_ratio is null"
            " and model_id = 'bicubic'"
        )
        assert {row["limit_score"] for row in rows} == {0}
        assert {row["sham_count"] for row in rows} == {108}
        assert {row["alarm_count"] for row in rows} == {len(alarms[flag])}
    assert sum(0 < len(places) < 108 for places in alarms.values()) == 3


def test_detectors_are_ranked_by_what_they_find(ask):
    rows = ask("select * from dim_detectors")
    mart = "select * from mart_detector_limits where level_ratio = 0.01 and signal_part = 'full'"
    for row in rows:
        own = ask(f"{mart} and detector = '{row['detector']}' and reading = '{row['reading']}'")
        assert row["condition_count"] == len(own)
        for arm in ("auditor", "lost", "through"):
            for name in ("drawn", "found"):
                total = sum(item[f"{name}_count"] for item in own if item["arm"] == arm)
                assert row[f"{arm}_{name}_count"] == total
        assert (row["kind_count"], row["model_count"]) == (2, 2)
    shares = [row["auditor_found_count"] / row["auditor_drawn_count"] for row in rows]
    ranks = [1 + sum(other > share for other in shares) for share in shares]
    assert [row["rank_number"] for row in rows] == ranks
    named = {row["detector"]: (row["family"], row["unit"]) for row in rows}
    assert named["mse_dn2"] == ("block fact", "dn2")
    assert named["d_mu"] == ("block fact", "dn")
    assert named["invented_dn2"] == ("ledger", "dn2")
    assert named["lr_rms_dn"] == ("consistency", "dn")
    assert named["is_silent"] == ("flag", None)
    assert named["is_extreme"] == ("state", None)
    read = {(row["detector"], row["reading"]): row["direction"] for row in rows}
    assert read["local_ssim", "negated"] == "less"
    assert read["axis1", "absolute"] == "farther from 0"


def test_what_came_through_bicubic_is_the_mean_of_patients(ask, copies):
    injections = pq.read_table(copies.phantoms / "injections.parquet").to_pylist()
    rows = ask("select * from mart_signal_transfer order by kind, signal_part")
    assert [(r["model_id"], r["kind"], r["signal_part"], r["contrast_dn"]) for r in rows] == [
        ("bicubic", "nodule_16", "full", 16),
        ("bicubic", "wire", "full", 16),
        ("bicubic", "wire", "null", 16),
        ("bicubic", "wire", "range", 16),
    ]
    for row in rows:
        of_patient = {}
        for item in injections:
            drawn = item["kind"], item["component"], item["contrast_dn"]
            condition = row["kind"], row["signal_part"], row["contrast_dn"]
            if item["arm"] == "through" and drawn == condition:
                place = of_patient.setdefault(item["source_image_id"][:8], [])
                place.append([item[f"{n}_dn2"] / item["energy_dn2"] for n in ("response", "range")])
        assert row["site_count"] == sum(map(len, of_patient.values())) == 108
        means = np.array([np.mean(items, axis=0) for items in of_patient.values()])
        assert [row["transfer"], row["range_bound"]] == pytest.approx(means.mean(axis=0).tolist())
        reach = stats.t.ppf(0.975, 5) * means[:, 0].std(ddof=1) / np.sqrt(6)
        assert row["transfer_high"] - row["transfer"] == pytest.approx(reach, rel=1e-6)
        assert row["transfer"] - row["transfer_low"] == pytest.approx(reach, rel=1e-6)
    nodule, wire, null, seen = rows
    assert nodule["range_bound"] > 0.995
    assert 0.9 < wire["range_bound"] < 0.99
    assert 0.9 < nodule["transfer"] < 1
    assert 0.7 < wire["transfer"] < 0.9
    # What the rule cannot see reaches no LR image but by rounding.
    assert abs(null["transfer"]) < 0.02
    assert seen["range_bound"] > 0.97


def test_the_cookbook_names_the_best_number_of_each_condition(ask, repository):
    query = (repository / "analysis/cookbook/what_finds_what_was_drawn.sql").read_text()
    rows = ask(query.rstrip().removesuffix(";"))
    assert len(rows) == 2 * 2 * 4 + 4
    for row in rows:
        (best,) = ask(
            "select max(sensitivity_ratio) as ratio from mart_detectors where"
            + " and ".join(f" {name} = '{row[name]}'" for name in GROUP)
        )
        assert row["sensitivity_ratio"] == round(best["ratio"], 2)


def test_the_cookbook_lists_limits_to_choose_from(ask, repository):
    query = (repository / "analysis/cookbook/choose_a_limit.sql").read_text()
    rows = ask(query.rstrip().removesuffix(";"))
    for row in rows:
        mart = ask(
            "select kind, sum(found_count) as found, sum(drawn_count) as drawn"
            " from mart_detector_limits where arm = 'auditor' and signal_part = 'full'"
            + "".join(f" and {n} = '{row[n]}'" for n in ("model_id", "detector", "reading"))
            + f" and level_ratio is not distinct from {row['level_ratio'] or 'null'}"
            " group by kind"
        )
        found = {item["kind"]: float(100 * item["found"] / item["drawn"]) for item in mart}
        assert row["nodules_found_pct"] == pytest.approx(found["nodule_16"], abs=0.051)
        assert row["wires_found_pct"] == pytest.approx(found["wire"], abs=0.051)
        if row["level_ratio"] is not None:
            assert row["false_alarms_pct"] <= 100 * row["level_ratio"]
    assert len(rows) == 2 * (4 * 56 + 8)


def test_free_response_curves_are_those_of_loops(ask, scores):
    for model_id in ("bicubic", "copied"):
        tiles, largest = {}, {}
        blocks = ask(
            "select image_id, block_row, block_col, mse_dn2_notta as score from fct_blocks"
            f" where model_id = '{model_id}' and not contains(image_id, '.')"
        )
        for row in blocks:
            tile = row["image_id"], row["block_row"] // 8, row["block_col"] // 8
            tiles[tile] = max(tiles.get(tile, 0), float(row["score"]))
            image = row["image_id"]
            largest[image] = max(largest.get(image, 0), float(row["score"]))
        assert (len(largest), len(tiles)) == (12, 12 * 36)
        rows = ask(
            "select * from mart_free_response where detector = 'mse_dn2'"
            f" and model_id = '{model_id}' order by false_positive_rate"
        )
        assert {(row["kind"], row["contrast_dn"]) for row in rows} == {
            (kind, 16) for kind in PARAMETERS.kinds
        }
        assert [row["false_positive_rate"] for row in rows[::2]] == [0.125, 0.25, 0.5, 1, 2, 4, 8]
        for row in rows:
            limit, allowed = row["limit_score"], int(12 * row["false_positive_rate"])
            assert limit == sorted(tiles.values(), reverse=True)[allowed]
            beyond = sum(score > limit for score in tiles.values())
            assert (row["false_positive_count"], row["tile_count"]) == (beyond, 432)
            assert beyond <= allowed
            drawn, _ = split(scores, row | {"arm": "auditor", "signal_part": "full"})
            found = sum(item["mse_dn2"] > limit for item in drawn)
            assert (row["found_count"], row["drawn_count"]) == (found, len(drawn))
            expected = bound_share(exceed_by_patient(drawn, "mse_dn2", limit))
            ends = [row[f"sensitivity_{end}ratio"] for end in ("", "low_", "high_")]
            assert ends == pytest.approx(expected, abs=2e-8)
            wins = [compare(d["mse_dn2"], top) for d in drawn for top in largest.values()]
            assert row["afroc_area"] == pytest.approx(np.mean(wins), abs=1e-9)
    (twice,) = ask(
        "select afroc_area, found_count, limit_score from mart_free_response where kind = 'wire'"
        " and detector = 'twice' and model_id = 'bicubic' and false_positive_rate = 0.125"
    )
    (once,) = ask(
        "select afroc_area, found_count, 2 * limit_score as limit_score from mart_free_response"
        " where kind = 'wire' and detector = 'mse_dn2' and model_id = 'bicubic'"
        " and false_positive_rate = 0.125"
    )
    assert twice == once


def test_a_map_marks_by_a_limit_the_shams_that_the_limit_counts(ask, copies):
    shams = {}
    for row in pq.read_table(copies.phantoms / "injection_blocks.parquet").to_pylist():
        sites = shams.setdefault(row["source_image_id"], {})
        blocks = sites.setdefault(row["site_number"], [])
        blocks.append((row["block_row"], row["block_col"]))
    for detector, reading in (
        ("mse_dn2", "value"),
        ("local_ssim", "negated"),
        ("d_variance_dn2", "absolute"),
    ):
        beyond = 0
        for image_id, sites in shams.items():
            place = (copies, image_id, "bicubic", "notta")
            # What is looked for by default was not drawn here: the rate is unknown, not the limit.
            (limit,) = ask(
                "select any_value(limit_score) as limit, any_value(alarm_count) as count"
                f" from mart_detector_limits where model_id = 'bicubic' and level_ratio = 0.05"
                f" and detector = '{detector}' and reading = '{reading}'"
            )
            marks = read_marks(*place, detector, reading, limit["limit"])
            beyond += sum(any(marks.is_beyond[b] for b in blocks) for blocks in sites.values())
        assert beyond == limit["count"] > 0
    for row in ask(
        "select * from dim_detectors where family not in ('flag', 'state', 'composite')"
    ):
        marks = read_marks(*place, row["detector"], row["reading"], 0.0)
        assert (marks.detector, marks.reading) == (row["detector"], row["reading"])


def test_a_study_without_phantoms_has_empty_tables(small_study):
    with open_warehouse(small_study.warehouse) as connection:
        for table in (
            "dim_detectors",
            "mart_detector_limits",
            "mart_detectors",
            "mart_free_response",
            "mart_sham",
            "mart_signal_transfer",
        ):
            assert connection.sql(f"select count(*) from {table}").fetchall() == [(0,)]
