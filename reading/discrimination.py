"""Area under the ROC curve and its interval, where a patient may have several images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Discrimination:
    """How well scores tell images with a finding from those without.

    Attributes
    ----------
    auc : float or None
        0..1; None without an image of either kind.
    low, high : float or None
        Of the interval of `CONFIDENCE`; None where its variance is 0 or cannot be estimated.
    positives, negatives : int
        Images.
    """

    auc: float | None
    low: float | None
    high: float | None
    positives: int
    negatives: int


def measure_discrimination(
    labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating], patients: Sequence[str]
) -> Discrimination:
    """Measure the area under the ROC curve, with DeLong's interval over patients.

    Parameters
    ----------
    labels : (N,) bool array
        Whether an image has the finding.
    scores : (N,) float array
        Higher is likelier; finite.
    patients : sequence of str
        Of each image.

    Returns
    -------
    Discrimination

    Raises
    ------
    ValueError
        A score is no number, or lengths differ.

    Notes
    -----
    With m positives and n negatives, V10 of a positive is the share of negatives below it (equal
    ones half), V01 of a negative the share of positives above it; AUC is the mean of either. Their
    sums over a patient's images less AUC are what varies between patients (Obuchowski 1997):

    var = S10 / m + S01 / n + 2 S11 / (m n), S10 = I10 / ((I10 - 1) m) sum_p d10_p^2, S01
    likewise, S11 = I / (I - 1) sum_p d10_p d01_p,

    I10, I01 and I being patients with a positive, with a negative and all. One image a patient
    makes it DeLong's. The interval is AUC -+ 1.96 sqrt(var), cut to 0..1; where all positives lie
    above all negatives the variance is 0, which says nothing of the next patient: no interval.

    References
    ----------
    DeLong, E. R., DeLong, D. M. & Clarke-Pearson, D. L. (1988). Comparing the areas under two or
    more correlated receiver operating characteristic curves. Biometrics 44, 837-845,
    doi:10.2307/2531595.
    Obuchowski, N. A. (1997). Nonparametric analysis of clustered ROC curve data. Biometrics 53,
    567-578, doi:10.2307/2533958.
    """
    labels, scores = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if not (labels.shape == scores.shape == (len(patients),)) or not np.isfinite(scores).all():
        raise ValueError("expected one finite score, label and patient an image")
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return Discrimination(None, None, None, positives, negatives)
    auc, above = _compare(labels, scores.astype(np.float64))
    _, number = np.unique(np.asarray(patients, object), return_inverse=True)
    variance = _find_variance(labels, above - auc, number)
    if variance is None or variance <= 0:
        return Discrimination(auc, None, None, positives, negatives)
    half = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * math.sqrt(variance)
    return Discrimination(auc, max(0.0, auc - half), min(1.0, auc + half), positives, negatives)


def _compare(
    labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]
) -> tuple[float, npt.NDArray[np.float64]]:
    """Give AUC and each image's component: V10 of positives, V01 of negatives."""
    components = np.empty(len(scores))
    for side, sign in ((labels, 1), (~labels, -1)):
        others = np.sort(sign * scores[~side])
        below = np.searchsorted(others, sign * scores[side], "left")
        up_to = np.searchsorted(others, sign * scores[side], "right")
        components[side] = (below + up_to) / (2 * len(others))
    return float(components[labels].mean()), components


def _find_variance(
    labels: npt.NDArray[np.bool_], deviations: npt.NDArray[np.float64], number: npt.NDArray[np.intp]
) -> float | None:
    """Variance of AUC over patients; None where one patient has all images of a kind."""
    patients = int(number.max()) + 1
    sums, kinds, counts = [], [], []
    for side in (labels, ~labels):
        sums.append(np.bincount(number[side], deviations[side], patients))
        kinds.append(int(np.count_nonzero(np.bincount(number[side], minlength=patients))))
        counts.append(int(side.sum()))
    if min(kinds) < 2:
        return None
    variance = 2 * patients / (patients - 1) * float(sums[0] @ sums[1]) / (counts[0] * counts[1])
    for total, kind, count in zip(sums, kinds, counts, strict=True):
        variance += kind / (kind - 1) * float(total @ total) / count**2
    return variance
