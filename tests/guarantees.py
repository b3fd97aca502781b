"""Trust masks from their definition, one limit at a time, and simulated patients."""

import math
from fractions import Fraction

import numpy as np

LEVELS = 64
SCORES = {"lr_rms_dn": "dn", "tta_gap_dn2": "dn2", "detail_dn2": "dn2"}
LOSSES = {"erroneous": ("mse_dn2", 25), "invented": ("invented_dn2", 9), "lost": ("lost_dn2", 9)}
ALPHAS = (0.01, 0.05, 0.1, 0.2)


def list_limits(unit):
    """The limits of the grid, from the root of a whole number: 2^(k/4 - 8) dn, or their squares."""
    limits = []
    for number in range(1, LEVELS + 1):
        # limit^4 in dn is 2^(k - 32), limit^2 in dn2 is the same.
        power = Fraction(2) ** (number - 32)
        scaled = power * 10 ** (24 if unit == "dn" else 12)
        root = math.isqrt(scaled.numerator // scaled.denominator)
        limits.append((math.isqrt(root) if unit == "dn" else root) / 1e6)
    return limits


def choose_limit(patients, limits, alpha):
    """The largest limit that keeps the bound, and the bound; None where no mask keeps it.

    `patients` are pairs of arrays: the scores of a patient's blocks, NaN where there is none, and
    whether each is bad. 0 stands for the limit that trusts no block.
    """
    found = None
    for limit in [-1.0, *limits]:
        losses = []
        for scores, bad in patients:
            missed = int((bad & (scores <= limit)).sum())
            losses.append(Fraction(missed, int(bad.sum())) if bad.sum() else Fraction(0))
        bound = (sum(losses) + 1) / (len(patients) + 1)
        if bound <= Fraction(str(alpha)):
            found = (limit, float(bound), float(sum(losses) / len(losses)))
    return found


def draw_levels(generator, studies, patients, kind):
    """Levels of the truly bad blocks of simulated patients: (studies, patients, blocks), 0: none.

    Patients differ in how visible their bad blocks are, by a normal or a skewed draw, and in how
    many they have.
    """
    if kind == "normal":
        middle = 34 + 5 * generator.standard_normal((studies, patients))
    else:
        # A few patients whose bad blocks hardly show.
        middle = 40 - 4 * generator.lognormal(0.0, 1.0, (studies, patients))
    blocks = 12
    levels = middle[..., None] + 3 * generator.standard_normal((studies, patients, blocks))
    levels = np.clip(np.ceil(levels), 1, LEVELS).astype(int)
    count = generator.binomial(blocks, 0.5, (studies, patients))
    return np.where(np.arange(blocks) < count[..., None], levels, 0)


def measure_risks(levels):
    """The mean loss of patients at each level from 0: (65,), of `draw_levels`."""
    flat = levels.reshape(-1, levels.shape[-1])
    bad = (flat > 0).sum(axis=1)
    risks = [
        np.where(bad > 0, ((flat > 0) & (flat <= level)).sum(axis=1) / np.maximum(bad, 1), 0).mean()
        for level in range(LEVELS + 1)
    ]
    return np.array(risks)
