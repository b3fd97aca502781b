"""Block states and the limits behind them, from the blocks and definitions E.2, E.5 and E.6."""

import itertools
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from scipy import stats

COMPONENTS = ("sharp", "texture", "noise", "block", "ring")
FLAGS = ("silent", "masked", "lum_over", "lum_under")
STATES = {
    (False, False): "Stable",
    (True, True): "Persistent",
    (True, False): "Escape",
    (False, True): "BlindSpot",
}
NOTTA_STATES = {False: "Within", True: "Beyond"}
# The indicators' flags in fct_block_states.
INDICATORS = {"axis": "is_extreme", "error": "is_erroneous"}
ERROR_LIMIT_DN2 = 25
KEYS = ("model_id", "image_id", "block_row", "block_col")


def exact_quantile(values, level):
    """The smallest value that the share `level` of the values does not exceed."""
    return np.quantile(np.array(values), level, method="inverted_cdf")


def round_to_ten_thousandths(value):
    return value.quantize(Decimal("0.0001"), ROUND_HALF_UP)


@pytest.fixture(scope="module")
def limits(read_mart):
    return {row["model_id"]: row for row in read_mart("mart_limits")}


@pytest.fixture(scope="module")
def states(read_mart):
    return {tuple(row[key] for key in KEYS): row for row in read_mart("fct_block_states")}


def test_tau_is_the_pooled_95_percent_quantile_of_the_score(limits, facts):
    scores = [
        round_to_ten_thousandths(abs(row["pc1_notta"]))
        for row in facts
        if row["pc1_notta"] is not None
    ]
    tau = exact_quantile(scores, 0.95)
    assert {(row["tau"], row["pooled_block_count"]) for row in limits.values()} == {
        (tau, len(scores))
    }


def test_the_zone_and_masking_limits_are_each_models_own_quantiles(limits, facts):
    for model_id, row in limits.items():
        own = [fact for fact in facts if fact["model_id"] == model_id]
        similarities = [f["local_ssim_notta"] for f in own if f["local_ssim_notta"] is not None]
        errors = [f["mse_dn2_notta"] for f in own if f["mse_dn2_notta"] is not None]
        assert row["ssim_p90"] == exact_quantile(similarities, 0.9)
        assert row["mse_q75_dn2"] == exact_quantile(errors, 0.75)
        assert row["block_count"] == len(similarities) > 4000
        assert row["error_limit_dn2"] == ERROR_LIMIT_DN2


def test_direction_limits_are_twice_the_robust_spread_of_all_models(limits, facts):
    for name in COMPONENTS:
        values = [
            round_to_ten_thousandths(fact[f"d_{name}_notta"])
            for fact in facts
            if fact[f"d_{name}_notta"] is not None
        ]
        low, high = (exact_quantile(values, level) for level in (0.25, 0.75))
        expected = 2 * float(high - low) / 1.349
        for row in limits.values():
            assert float(row[f"limit_{name}"]) == pytest.approx(expected, abs=5.1e-7)


def judge(fact, limit, path):
    """Flags, masking and direction of a block, one rule a line; None where undecidable."""
    if fact[f"pc1_{path}"] is None:
        return dict.fromkeys(INDICATORS), None, None, None
    beyond = {
        "sharpness lost": fact[f"d_sharp_{path}"] < -limit["limit_sharp"],
        "sharpness gained": fact[f"d_sharp_{path}"] > limit["limit_sharp"],
        "ringing": (fact[f"d_ring_{path}"] or 0) > limit["limit_ring"],
        "blocking": fact[f"d_block_{path}"] > limit["limit_block"],
        "texture lost": fact[f"d_texture_{path}"] < -limit["limit_texture"],
        "noise": fact[f"d_noise_{path}"] > limit["limit_noise"],
    }
    found = [name for name, is_beyond in beyond.items() if is_beyond]
    flags = {
        "axis": abs(fact[f"pc1_{path}"]) > limit["tau"],
        "error": fact[f"mse_dn2_{path}"] > ERROR_LIMIT_DN2,
    }
    masked = (
        fact[f"local_ssim_{path}"] >= limit["ssim_p90"]
        and fact[f"mse_dn2_{path}"] > limit["mse_q75_dn2"]
        and fact[f"is_textured_{path}"]
    )
    kind = ("None", "Single", "Multi")[min(len(found), 2)]
    return flags, masked, kind, found[0] if len(found) == 1 else None


def describe(fact, limit):
    """A row of fct_block_states."""
    row = {key: fact[key] for key in KEYS}
    # There are no LR images here: tests/warehouse/test_consistency.py has them.
    row |= dict.fromkeys(("state_contradicted", "delta_tier3_contradicted"))
    row |= dict.fromkeys(("is_contradicted_notta", "is_contradicted_tta"))
    pairs = {name: [] for name in INDICATORS}
    for path in ("notta", "tta"):
        flags, masked, kind, direction = judge(fact, limit, path)
        for name, stem in INDICATORS.items():
            pairs[name].append(flags[name])
            row[f"{stem}_{path}"] = flags[name]
        row |= {
            f"is_masked_{path}": masked,
            f"direction_class_{path}": kind,
            f"direction_{path}": direction,
        }
        for flag in ("is_silent", "is_textured", "is_lum_over", "is_lum_under"):
            row[f"{flag}_{path}"] = fact[f"{flag}_{path}"]
    for name, pair in pairs.items():
        row[f"state_{name}"] = STATES.get(tuple(pair))
        row[f"delta_tier3_{name}"] = None if None in pair else int(pair[1]) - int(pair[0])
    notta, tta = fact["local_ssim_notta"], fact["local_ssim_tta"]
    row["delta_ssim"] = None if notta is None or tta is None else tta - notta
    row["zone"] = None
    if notta is not None:
        row["zone"] = "hidden" if notta >= limit["ssim_p90"] else "visible"
    return row


def test_every_block_has_the_state_zone_flags_and_direction_of_the_rules(states, facts, limits):
    assert len(states) == len(facts)
    for fact in facts:
        expected = describe(fact, limits[fact["model_id"]])
        assert states[tuple(fact[key] for key in KEYS)] == expected


def test_the_study_holds_every_state_zone_flag_and_direction(states):
    rows = list(states.values())
    for name in INDICATORS:
        assert {row[f"state_{name}"] for row in rows} == {*STATES.values(), None}
    assert {row["zone"] for row in rows} == {"visible", "hidden", None}
    assert {row["direction_class_notta"] for row in rows} == {"None", "Single", "Multi", None}
    assert len({row["direction_notta"] for row in rows}) == 7
    for flag in FLAGS:
        assert {row[f"is_{flag}_notta"] for row in rows} == {True, False, None}


def test_the_flags_of_blindness_follow_from_the_pixels(read_mart, facts, read_raw_sums):
    """Definitions E.2, from raw sums of 64 pixels, without the warehouse's integer forms."""
    sums = read_raw_sums()
    for fact in facts:
        raw = sums[tuple(fact[key] for key in KEYS)]
        for path in ("notta", "tta"):
            if fact[f"pc1_{path}"] is None:
                continue
            mean_x, mean_y = raw["reference_sum"] / 64, raw[f"{path}_sum"] / 64
            spread = raw["reference_sum_sq"] / 64 - mean_x**2
            spread += raw[f"{path}_sum_sq"] / 64 - mean_y**2
            luminance = (mean_x - mean_y) ** 2 / (mean_x**2 + mean_y**2 + 6.5025)
            assert fact[f"is_silent_{path}"] == (58.5225 / (spread + 58.5225) >= 0.95)
            assert fact[f"is_textured_{path}"] == (spread > 58.5225)
            dark = mean_x**2 < 10 * 6.5025
            assert fact[f"is_lum_over_{path}"] == (dark and luminance > 0.05)
            bright = abs(mean_x - mean_y) >= 5 and luminance <= 0.01
            assert fact[f"is_lum_under_{path}"] == bright


@pytest.fixture(scope="module")
def read_raw_sums(fidelity_study, read_rows):
    """Give a reader of the raw block sums by block."""

    def read():
        rows = read_rows(fidelity_study.raw, "blocks")
        return {tuple(row[key] for key in KEYS): row for row in rows}

    return read


@pytest.fixture(scope="module")
def judged(facts, states):
    """Give the blocks that have a state: (indicator, judged paths) to dicts of a block's fields."""
    found = {(name, paths): [] for name in INDICATORS for paths in ("both", "notta")}
    for fact in facts:
        state = states[tuple(fact[key] for key in KEYS)]
        values = {path: (fact[f"pc1_{path}"], fact[f"mse_dn2_{path}"]) for path in ("notta", "tta")}
        for place, (name, stem) in enumerate(INDICATORS.items()):
            measured = [
                abs(values[path][place])
                for path in ("notta", "tta")
                if values[path][place] is not None
            ]
            for paths in ("both", "notta"):
                own = state[f"state_{name}"]
                if paths == "notta":
                    own = NOTTA_STATES.get(state[f"{stem}_notta"])
                if own is not None:
                    value = min(measured) if paths == "both" else abs(values["notta"][place])
                    found[name, paths].append(state | {"own": own, "value": value})
    return found


def count_independent(parts, wholes):
    """Effective number of a share's units by the papers: variance of its linearised scores."""
    parts, wholes = np.array(parts, dtype=float), np.array(wholes, dtype=float)
    clusters, total = np.count_nonzero(wholes), wholes.sum()
    share = parts.sum() / total
    if share in (0, 1):
        return clusters, share
    scores = (parts - share * wholes)[wholes > 0] / total
    variance = clusters / (clusters - 1) * np.sum(scores**2)
    if variance < 1e-30:
        return total, share
    size = share * (1 - share) / variance
    size *= (stats.t.ppf(0.975, total - 1) / stats.t.ppf(0.975, clusters - 1)) ** 2
    return min(size, total), share


def find_share(part, whole, find_cluster):
    """A share of blocks and the interval of Korn and Graubard, patients as clusters."""
    if not whole:
        return None, None, None
    wholes = Counter(find_cluster(row["image_id"]) for row in whole)
    parts = Counter(find_cluster(row["image_id"]) for row in part)
    if len(wholes) < 5:
        return len(part) / len(whole), None, None
    order = sorted(wholes)
    size, share = count_independent([parts[c] for c in order], [wholes[c] for c in order])
    low = stats.beta.ppf(0.025, size * share, size * (1 - share) + 1) if share > 0 else 0
    high = stats.beta.ppf(0.975, size * share + 1, size * (1 - share)) if share < 1 else 1
    return share, low, high


def count_cell(cell, zone, model, find_cluster):
    """Counts and shares of a row of mart_tier3_states."""
    classes = Counter(row["direction_class_notta"] for row in cell)
    loud = [row["value"] for row in zone if not row["is_silent_notta"]]
    expected = {
        "block_count": len(cell),
        "none_count": classes["None"],
        "single_count": classes["Single"],
        "multi_count": classes["Multi"],
        "unclassified_count": classes[None],
        "loud_most": float(max(loud)) if loud else None,
        "cluster_count": len({find_cluster(row["image_id"]) for row in model}),
    }
    for flag in FLAGS:
        expected[f"{flag}_count"] = sum(row[f"is_{flag}_notta"] for row in cell)
    silent = [row for row in cell if row["is_silent_notta"]]
    zone_silent = [row for row in zone if row["is_silent_notta"]]
    for share, part, whole in (
        ("zone", cell, zone),
        ("model", cell, model),
        ("silent", silent, cell),
        ("zone_silent", zone_silent, zone),
    ):
        found = find_share(part, whole, find_cluster)
        for end, value in zip(("ratio", "low_ratio", "high_ratio"), found, strict=True):
            expected[f"{share}_{end}"] = None if value is None else pytest.approx(value, abs=1e-8)
    return expected


STATE_KEYS = ("model_id", "indicator", "judged_paths", "zone", "state")


def test_counts_and_shares_of_states_are_of_blocks_and_patients(
    read_mart, judged, limits, find_cluster
):
    rows = read_mart(f"select * from mart_tier3_states where indicator in {tuple(INDICATORS)}")
    assert len(rows) == 5 * 2 * 2 * (4 + 2)
    bounded = 0
    for row in rows:
        blocks = judged[row["indicator"], row["judged_paths"]]
        model = [block for block in blocks if block["model_id"] == row["model_id"]]
        key = {name: row[name] for name in STATE_KEYS}
        column = {"axis": "tau", "error": "error_limit_dn2"}[row["indicator"]]
        limit = {"indicator_limit": float(limits[row["model_id"]][column])}
        if not model:
            assert row == dict.fromkeys(row) | key | limit
            continue
        zone = [block for block in model if block["zone"] == row["zone"]]
        cell = [block for block in zone if block["own"] == row["state"]]
        expected = count_cell(cell, zone, model, find_cluster)
        # The study names no detectors file: what its limits find is not known.
        unknown = {
            f"{share}{end}_ratio": None
            for share in ("sensitivity", "false_alarm")
            for end in ("", "_low", "_high")
        }
        assert row == key | limit | expected | unknown | {"cluster_unit": row["cluster_unit"]}
        bounded += row["silent_low_ratio"] is not None
    assert bounded > 20


def test_models_without_tta_have_the_half_that_notta_shows(read_mart):
    rows = read_mart("select * from mart_tier3_states where model_id = 'framed'")
    assert {row["block_count"] for row in rows if row["judged_paths"] == "both"} == {None}
    notta = [row for row in rows if row["judged_paths"] == "notta"]
    assert len(notta) == 3 * 2 * 2
    contradicted = [row["block_count"] for row in notta if row["indicator"] == "contradicted"]
    assert contradicted == [None] * 4  # no LR images here
    for name in INDICATORS:
        beyond = [r for r in notta if (r["indicator"], r["state"]) == (name, "Beyond")]
        assert sum(row["block_count"] for row in beyond) > 20


def test_only_silent_blocks_are_beyond_a_limit_that_no_other_reaches(read_mart):
    rows = read_mart(
        "select * from mart_tier3_states"
        " where state in ('Persistent', 'Beyond') and block_count > 0"
    )
    forced = [row for row in rows if (row["loud_most"] or 0) <= row["indicator_limit"]]
    free = [row for row in rows if row not in forced]
    assert all(row["silent_ratio"] == 1 for row in forced)
    assert free
    assert all(row["silent_ratio"] < 1 for row in free if row["judged_paths"] == "notta")


def test_the_crosstab_gives_each_pair_its_one_state(read_mart, states):
    rows = read_mart(f"select * from mart_tier3_crosstab where indicator in {tuple(INDICATORS)}")
    assert len(rows) == 5 * 2 * 4
    for row in rows:
        stem, column = INDICATORS[row["indicator"]], f"state_{row['indicator']}"
        pair = (row["is_beyond_notta"], row["is_beyond_tta"])
        model = [
            (state[f"{stem}_notta"], state[f"{stem}_tta"])
            for state in states.values()
            if state["model_id"] == row["model_id"] and state[column]
        ]
        found = (row["state"], row["state_count"], row["block_count"], row["block_ratio"])
        if not model:
            assert found == (None, None, None, None)
        elif pair in model:
            count = model.count(pair)
            assert found == (STATES[pair], 1, count, count / len(model))
        else:
            assert found == (None, 0, 0, 0)


def test_every_block_without_a_state_has_the_cause_it_was_given(read_mart):
    """The causes are those the study was spoilt by; 420 blocks an image, 340 and 40 the odd ones.

    The cut image is 17 x 20 blocks, of which 16 x 19 are whole.
    """
    whole, cut = 11 * 420 + 16 * 19 + 40, 17 * 20 - 16 * 19
    odd = 340 + 40
    expected = {
        ("bicubic", "evaluated"): 0,
        ("bicubic", "tta not_declared"): whole + cut,
        ("noisy", "evaluated"): 11 * 420,
        ("noisy", "notta missing"): odd,
        ("mixed", "evaluated"): whole - 4 * 420,
        ("mixed", "partial block"): cut,
        ("mixed", "notta rejected"): 420,
        ("mixed", "tta missing"): 420,
        ("mixed", "tta rejected"): 420,
        ("mixed", "tta ambiguous"): 420,
    }
    for model_id in ("framed", "lesioned"):
        expected[model_id, "evaluated"] = 0
        expected[model_id, "notta missing"] = odd
        expected[model_id, "tta not_declared"] = 11 * 420
    alone = {
        ("bicubic", "evaluated"): whole,
        ("bicubic", "partial block"): cut,
        ("noisy", "evaluated"): 11 * 420,
        ("noisy", "notta missing"): odd,
        ("mixed", "evaluated"): whole - 420,
        ("mixed", "partial block"): cut,
        ("mixed", "notta rejected"): 420,
    }
    for model_id in ("framed", "lesioned"):
        alone[model_id, "evaluated"] = 11 * 420
        alone[model_id, "notta missing"] = odd
    rows = read_mart("mart_tier3_coverage")
    for indicator, (paths, counts) in itertools.product(
        INDICATORS, {"both": expected, "notta": alone}.items()
    ):
        own = [r for r in rows if (r["indicator"], r["judged_paths"]) == (indicator, paths)]
        assert {(row["model_id"], row["outcome"]): row["block_count"] for row in own} == counts
    for row in rows:
        assert row["block_ratio"] == row["block_count"] / (whole + cut)
