"""The per-image metrics, each declared once: other lists of metrics or columns come from here.

The published generator's columns stand beside sound companions of this project.
"""

from collections.abc import Mapping
from dataclasses import dataclass

GENERATOR = "A.1 generator"
COMPANION = "A.3 own"
PAPER = "F.2 paper"
BLOCKINESS_PERIODS_PX = (8, 16, 4)
"""JPEG blocks, SwinIR's windows (8 px before upscaling by 2), zfp blocks."""


@dataclass(frozen=True)
class Metric:
    """What is declared about one metric.

    Attributes
    ----------
    name : str
        Column name; a generator metric keeps the name its CSV uses.
    unit : str
        Unit in words; empty if dimensionless.
    lowest, highest : float or None
        Closed bounds of the value; None where there is no bound.
    published_decimals : int or None
        Decimals in the published CSV (JSON for `mae`); None if it is not rounded there.
    polarity : str
        "higher_better", "lower_better" or "neutral", as a statement about the restored
        image.
    looks_at : str
        "restored" if the value depends on the restored image only, "both" otherwise.
    source : str
        "A.1 generator", "A.3 own" or "F.2 paper": the section of the definitions.
    description : str
        One line; it ends in when there is no value, where that is.
    null_when : str or None
        When there is no value, in words that follow "NULL"; None where only too small images have
        none.
    """

    name: str
    unit: str
    lowest: float | None
    highest: float | None
    published_decimals: int | None
    polarity: str
    looks_at: str
    source: str
    description: str
    null_when: str | None = None


def _declare(
    name: str,
    unit: str,
    bounds: tuple[float | None, float | None],
    decimals: int | None,
    polarity: str,
    looks_at: str,
    description: str,
    source: str = GENERATOR,
    null_when: str | None = None,
) -> Metric:
    text = description if null_when is None else f"{description}; NULL {null_when}"
    return Metric(name, unit, *bounds, decimals, polarity, looks_at, source, text, null_when)


def _declare_blockiness(period: int) -> tuple[Metric, Metric]:
    where = f"across lines of period {period} px"
    return (
        _declare(
            f"blockiness_bef_{period}", "dn2", (0.0, None), None, "lower_better", "restored",
            f"Blocking effect factor: excess of the mean squared step {where}", COMPANION,
        ),
        _declare(
            f"blockiness_ratio_{period}", "", (0.0, None), None, "lower_better", "restored",
            f"Mean absolute step {where} over the mean step elsewhere; 1 = none", COMPANION,
        ),
    )  # fmt: skip


_HIGH, _LOW, _NEUTRAL = "higher_better", "lower_better", "neutral"
_BOTH, _ONE = "both", "restored"
_POSITIVE, _SIGNED, _PERCENT = (0.0, None), (None, None), (-100.0, None)
# fmt: off
METRICS = (
    _declare("ssim", "", (-1.0, 1.0), 4, _HIGH, _BOTH,
             "SSIM, Gaussian window 11 px, sigma 1.5, mean over channels"),
    _declare("ms_ssim", "", (0.0, 1.0), 4, _HIGH, _BOTH,
             "Multi-scale SSIM over five scales",
             null_when="unless both sides exceed 160 px"),
    _declare("psnr", "dB", _SIGNED, 2, _HIGH, _BOTH,
             "Peak signal-to-noise ratio over all samples",
             null_when="for identical images"),
    _declare("lpips", "", _POSITIVE, 4, _LOW, _BOTH,
             "LPIPS v0.1, AlexNet",
             null_when="without weights, or where a side is under 31 px"),
    _declare("sharpness", "dn2", _POSITIVE, 2, _NEUTRAL, _ONE,
             "Variance of the 8-neighbour Laplacian divided by 16"),
    _declare("sharpness_diff_pct", "%", _PERCENT, 1, _NEUTRAL, _BOTH,
             "Change of sharpness against the reference; 0 if the reference has none"),
    _declare("contrast", "dn", (0.0, 127.5), 2, _NEUTRAL, _ONE,
             "Population standard deviation of the grey levels"),
    _declare("contrast_diff_pct", "%", _PERCENT, 1, _NEUTRAL, _BOTH,
             "Change of contrast against the reference",
             null_when="if the reference has none"),
    _declare("entropy", "bit", (0.0, 8.0), 3, _NEUTRAL, _ONE,
             "Shannon entropy of the grey histogram"),
    _declare("noise", "% of 255 dn", _POSITIVE, 2, _LOW, _ONE,
             "Mean absolute 8-neighbour Laplacian with a zero frame; not a sigma"),
    _declare("edge_density", "%", (0.0, 100.0), 2, _NEUTRAL, _ONE,
             "Share of pixels whose Sobel magnitude exceeds 0.1"),
    _declare("edge_diff_pct", "%", _PERCENT, 1, _NEUTRAL, _BOTH,
             "Change of edge density against the reference; 0 if the reference has none"),
    _declare("artifact_block", "dn", _POSITIVE, 2, _LOW, _ONE,
             "Sum over all 8 px boundaries of the mean absolute step; grows with size"),
    _declare("artifact_ringing", "dn", (0.0, 127.5), 2, _LOW, _ONE,
             "Standard deviation of grey levels within 4 px of a Canny edge; 0 if no edge"),
    _declare("artifact_total", "dn", _POSITIVE, None, _LOW, _ONE,
             "Sum of the rounded artifact_block and artifact_ringing"),
    _declare("delta_e", "CIE76", _POSITIVE, 2, _LOW, _BOTH,
             "Mean CIE 1976 colour difference"),
    _declare("high_freq_ratio", "", (0.0, 1.0), None, _NEUTRAL, _ONE,
             "Share of Fourier amplitude outside a third of the half-band"),
    _declare("texture_complexity", "dn", (0.255, None), None, _NEUTRAL, _ONE,
             "Mean Sobel magnitude of the image at a quarter of its size; 0.255 if flat"),
    _declare("local_quality_mean", "", (-1.0, 1.0), 4, _HIGH, _BOTH,
             "Mean of the block SSIM"),
    _declare("local_quality_std", "", (0.0, 1.0), 4, _LOW, _BOTH,
             "Population standard deviation of the block SSIM"),
    _declare("local_quality_min", "", (-1.0, 1.0), 4, _HIGH, _BOTH,
             "Smallest block SSIM"),
    _declare("histogram_corr", "", (-1.0, 1.0), 4, _HIGH, _BOTH,
             "Pearson correlation of the two grey histograms",
             null_when="if one is uniform"),
    _declare("lab_L_mean", "L* times 2.55", (0.0, 255.0), None, _NEUTRAL, _ONE,
             "Mean of OpenCV's 8-bit L channel"),
    _declare("total_score", "points", (0.0, 100.0), 1, _HIGH, _ONE,
             "Mean of seven no-reference terms, from rounded inputs"),
    _declare("mae", "dn", (0.0, 255.0), 2, _LOW, _BOTH,
             "Mean absolute error over all samples (the generator's JSON only)"),
    _declare("noise_sigma_immerkaer", "dn", _POSITIVE, None, _LOW, _ONE,
             "Noise sigma from the mean absolute Immerkaer mask", COMPANION),
    _declare("noise_sigma_mad", "dn", _POSITIVE, None, _LOW, _ONE,
             "Noise sigma from the median absolute finest diagonal db2 coefficient", COMPANION),
    *(metric for period in BLOCKINESS_PERIODS_PX for metric in _declare_blockiness(period)),
    _declare("ringing_fr", "dn", _POSITIVE, None, _LOW, _BOTH,
             "RMS high-passed error 2 to 5 px from a reference edge",
             null_when="without edges", source=COMPANION),
    _declare("fsds", "dB", _SIGNED, None, _HIGH, _BOTH,
             "Frequency spectrum distribution similarity",
             null_when="if identical or constant", source=PAPER),
    _declare("haarpsi", "", (0.0, 1.0), None, _HIGH, _BOTH,
             "Haar wavelet perceptual similarity of the grey images",
             null_when="if both are black", source=COMPANION),
    _declare("repetition_strength", "", (1.0, None), None, _LOW, _BOTH,
             "How far a pattern of one period stands out of the change, above what the reference "
             "has; 1 = none",
             null_when="where a side is under 128 px", source=COMPANION),
)
# fmt: on
"""Every metric, in the order of the published CSV, then the companions."""
METRIC_NAMES = tuple(metric.name for metric in METRICS)
PERIOD_NAME = "repetition_period_px"
"""Measured beside the metrics; no mean of it says anything, so it is none of them."""
PUBLISHED_DECIMALS = {m.name: m.published_decimals for m in METRICS if m.source == GENERATOR}
PUBLISHED_NAMES = tuple(PUBLISHED_DECIMALS)
"""Names of the generator's metrics, in order."""


def round_published(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Round metrics as the published CSV does.

    Parameters
    ----------
    values : mapping of str to float or None
        From `compare_images`.

    Returns
    -------
    dict of str to float or None
        Keys are `PUBLISHED_NAMES`. A metric the CSV does not round is passed on unrounded.

    Raises
    ------
    KeyError
        If a generator metric is missing.

    Notes
    -----
    Python's ``round``: half to even on the exact value of the double. The generator's own
    values came from float32 tensors, so a value next to a rounding boundary may differ from
    the CSV by one unit in the last decimal.
    """
    return {
        name: round_value(values[name], decimals) for name, decimals in PUBLISHED_DECIMALS.items()
    }


def round_value(value: float | None, decimals: int | None) -> float | None:
    """Round as the published CSV does; None stays None, and no decimals mean unrounded."""
    return value if value is None or decimals is None else round(value, decimals)
