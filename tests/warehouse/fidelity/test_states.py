"""Block states and the limits behind them, from the blocks and definitions E.2, E.5 and E.6."""

from collections import Counter
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest

COMPONENTS = ("sharp", "texture", "noise", "block", "ring")
FLAGS = ("silent", "masked", "lum_over", "lum_under")
STATES = {
    (False, False): "Stable",
    (True, True): "Persistent",
    (True, False): "Escape",
    (False, True): "BlindSpot",
}
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
    """Collapse, masking and direction of a block, one rule a line; None where undecidable."""
    if fact[f"pc1_{path}"] is None:
        return None, None, None, None
    beyond = {
        "sharpness lost": fact[f"d_sharp_{path}"] < -limit["limit_sharp"],
        "sharpness gained": fact[f"d_sharp_{path}"] > limit["limit_sharp"],
        "ringing": (fact[f"d_ring_{path}"] or 0) > limit["limit_ring"],
        "blocking": fact[f"d_block_{path}"] > limit["limit_block"],
        "texture lost": fact[f"d_texture_{path}"] < -limit["limit_texture"],
        "noise": fact[f"d_noise_{path}"] > limit["limit_noise"],
    }
    found = [name for name, is_beyond in beyond.items() if is_beyond]
    collapsed = abs(fact[f"pc1_{path}"]) > limit["tau"]
    masked = (
        fact[f"local_ssim_{path}"] >= limit["ssim_p90"]
        and fact[f"mse_dn2_{path}"] > limit["mse_q75_dn2"]
        and fact[f"is_textured_{path}"]
    )
    kind = ("None", "Single", "Multi")[min(len(found), 2)]
    return collapsed, masked, kind, found[0] if len(found) == 1 else None


def describe(fact, limit):
    """A row of fct_block_states."""
    row = {key: fact[key] for key in KEYS}
    pair = []
    for path in ("notta", "tta"):
        collapsed, masked, kind, direction = judge(fact, limit, path)
        pair.append(collapsed)
        row |= {
            f"is_collapsed_{path}": collapsed,
            f"is_masked_{path}": masked,
            f"direction_class_{path}": kind,
            f"direction_{path}": direction,
        }
        for flag in ("is_silent", "is_textured", "is_lum_over", "is_lum_under"):
            row[f"{flag}_{path}"] = fact[f"{flag}_{path}"]
    notta, tta = fact["local_ssim_notta"], fact["local_ssim_tta"]
    row["state"] = STATES.get(tuple(pair))
    row["delta_tier3"] = None if None in pair else int(pair[1]) - int(pair[0])
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
    assert {row["state"] for row in rows} == {*STATES.values(), None}
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


def test_counts_of_states_are_counts_of_blocks(read_mart, states):
    rows = read_mart("mart_tier3_states")
    assert len(rows) == 5 * 2 * 4
    for row in rows:
        model = [
            state
            for state in states.values()
            if state["model_id"] == row["model_id"] and state["state"]
        ]
        zone = [state for state in model if state["zone"] == row["zone"]]
        cell = [state for state in zone if state["state"] == row["state"]]
        if not model:
            assert set(row.values()) == {row["model_id"], row["zone"], row["state"], None}
            continue
        classes = Counter(state["direction_class_notta"] for state in cell)
        expected = {
            "block_count": len(cell),
            "zone_ratio": len(cell) / len(zone),
            "model_ratio": len(cell) / len(model),
            "none_count": classes["None"],
            "single_count": classes["Single"],
            "multi_count": classes["Multi"],
            "unclassified_count": classes[None],
        }
        for flag in FLAGS:
            count = sum(state[f"is_{flag}_notta"] for state in cell)
            expected[f"{flag}_count"] = count
            expected[f"{flag}_ratio"] = count / len(cell) if cell else None
        assert row == expected | {key: row[key] for key in ("model_id", "zone", "state")}


def test_the_crosstab_gives_each_pair_its_one_state(read_mart, states):
    rows = read_mart("mart_tier3_crosstab")
    assert len(rows) == 5 * 4
    for row in rows:
        pair = (row["is_collapsed_notta"], row["is_collapsed_tta"])
        model = [
            (state["is_collapsed_notta"], state["is_collapsed_tta"])
            for state in states.values()
            if state["model_id"] == row["model_id"] and state["state"]
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
    rows = read_mart("mart_tier3_coverage")
    assert {(row["model_id"], row["outcome"]): row["block_count"] for row in rows} == expected
    for row in rows:
        assert row["block_ratio"] == row["block_count"] / (whole + cut)
