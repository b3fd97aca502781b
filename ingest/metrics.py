"""Per-image metrics of a reference and a restored image.

The published generator's columns (its torch/kornia path, recomputed in float64) stand beside
sound companions of this project. `METRICS` declares each metric once: every other list of
metrics, column or unit comes from it.

Whatever depends on one image only is in an `ImageProfile`, so that a reference is filtered
once for all of its restored images. Inputs are 8-bit: counts and sums are exact integers
wherever the definition allows, and float loops run in a written order, without fast-math, so
that a value depends on its image pair alone. What is left to libraries is the FFT (NumPy),
exact 8-bit work (OpenCV) and libm's logarithm, power and cube root.

Named in the docstrings: x is the reference, y the restored image, "dn" a grey level (0..255).
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import cv2
import numpy as np

from upscale_audit.ingest.edges import mark_ringing_pixels
from upscale_audit.ingest.kernel import C1, C2
from upscale_audit.ingest.metric_loops import (
    compare_scale,
    convert_to_lab,
    count_gradients,
    count_levels,
    filter_diagonal,
    filter_moments,
    halve_image,
    sum_amplitudes,
    sum_cumulative,
    sum_distances,
    sum_errors,
    sum_gradients,
    sum_high_passed,
    sum_laplacian,
    sum_masked,
    sum_noise_mask,
    sum_plane,
    sum_steps_by_line,
    sum_table,
)

GENERATOR = "A.1 generator"
COMPANION = "A.3 own"
PAPER = "F.2 paper"
BLOCKINESS_PERIODS_PX = (8, 16, 4)
"""JPEG blocks, SwinIR's windows (8 px before upscaling by 2), zfp blocks."""

_GAUSSIAN_PX = 11
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MS_SSIM_MIN_PX = 161
_BLOCK_PX = 8
_BLOCK_WINDOW_PX = 7
_CANNY_LOW, _CANNY_HIGH = 100, 200
_RINGING_RADIUS_PX = 4
_HIGH_PASS_PX = 9
_HIGH_PASS_AREA = _HIGH_PASS_PX**2
# (gx^2 + gy^2 + 1e-6 > 0.1^2) with y in [0, 1] and Sobel / 8, times (8 * 255)^2.
_SOBEL_SCALE = 8 * 255
_EDGE_SQUARE = (0.1**2 - 1e-6) * _SOBEL_SCALE**2
_ROOT_FLOOR = 1e-6 * 255**2
_MAD_TO_SIGMA = 0.6745


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
        One line.
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

    @property
    def null_when(self):
        """When there is no value, as the description says after "NULL"; None if it does not."""
        return self.description.partition("; NULL ")[2] or None


def _declare(name, unit, bounds, decimals, polarity, looks_at, description, source=GENERATOR):
    return Metric(name, unit, *bounds, decimals, polarity, looks_at, source, description)


def _declare_blockiness(period):
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
             "Multi-scale SSIM over five scales; NULL unless both sides exceed 160 px"),
    _declare("psnr", "dB", _SIGNED, 2, _HIGH, _BOTH,
             "Peak signal-to-noise ratio over all samples; NULL for identical images"),
    _declare("lpips", "", _POSITIVE, 4, _LOW, _BOTH,
             "LPIPS v0.1, AlexNet; NULL without weights, or where a side is under 31 px"),
    _declare("sharpness", "dn2", _POSITIVE, 2, _NEUTRAL, _ONE,
             "Variance of the 8-neighbour Laplacian divided by 16"),
    _declare("sharpness_diff_pct", "%", _PERCENT, 1, _NEUTRAL, _BOTH,
             "Change of sharpness against the reference; 0 if the reference has none"),
    _declare("contrast", "dn", (0.0, 127.5), 2, _NEUTRAL, _ONE,
             "Population standard deviation of the grey levels"),
    _declare("contrast_diff_pct", "%", _PERCENT, 1, _NEUTRAL, _BOTH,
             "Change of contrast against the reference; NULL if the reference has none"),
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
             "Pearson correlation of the two grey histograms; NULL if one is uniform"),
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
             "RMS high-passed error 2 to 5 px from a reference edge; NULL without edges",
             COMPANION),
    _declare("fsds", "dB", _SIGNED, None, _HIGH, _BOTH,
             "Frequency spectrum distribution similarity; NULL if identical or constant",
             PAPER),
)
# fmt: on
"""Every metric, in the order of the published CSV, then the companions."""

METRIC_NAMES = tuple(metric.name for metric in METRICS)
_DECIMALS = {m.name: m.published_decimals for m in METRICS if m.source == GENERATOR}
PUBLISHED_NAMES = tuple(_DECIMALS)
"""Names of the generator's metrics, in order."""


# ---- the image ---------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ImageProfile:
    """All that the metrics need to know about one image.

    Attributes
    ----------
    grey : (M, N) uint8 array, dn
    planes : tuple of one or three (M, N) uint8 arrays
        The grey image alone where R = G = B, else R, G and B.
    histogram : (256,) int64 array
        Pixels of each grey level.
    edges : (M, N) uint8 array
        255 on the Canny(100, 200) edges of `grey`, else 0.
    spectrum : (M, N // 2 + 1) complex128 array
        Real FFT of `grey` less its mean, unnormalised.
    pyramids : tuple of tuples
        For each plane, for each scale: image, its Gaussian mean (dn) and Gaussian mean
        square (dn2). Five scales where both sides exceed 160 px, one where they reach
        11 px, else none.
    measures : dict of str to float or None
        The metrics that look at this image alone, unrounded.

    Notes
    -----
    A grey 1024 x 1024 profile holds about 40 MB, a colour one about four times that.
    """

    grey: np.ndarray
    planes: tuple
    histogram: np.ndarray
    edges: np.ndarray
    spectrum: np.ndarray
    pyramids: tuple
    measures: dict

    @cached_property
    def ring_mask(self):
        """(M, N) uint8: 1 at a Chebyshev distance of 2 to 5 px from an edge, else 0."""
        return mark_ringing_pixels(self.grey, _CANNY_LOW, _CANNY_HIGH)

    @cached_property
    def lab(self):
        """(3, M, N) float64: CIE L*, a*, b* under D65."""
        return convert_to_lab(*_spread(self.planes, 3), _linearise_srgb())

    @cached_property
    def plane_spectra(self):
        """One complex128 array a plane: real FFT of the plane less the mean of all planes.

        Where M is odd, a row of zeros is added below the image first.
        """
        rows, cols = self.grey.shape
        if len(self.planes) == 1 and rows % 2 == 0:
            return (self.spectrum,)
        mean = _mean_of_planes(self.planes)
        below = np.zeros((rows % 2, cols))
        return tuple(np.fft.rfft2(np.concatenate([plane - mean, below])) for plane in self.planes)


def profile_image(grey, rgb=None):
    """Measure one image and keep what comparisons with it need.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn
        Luma by OpenCV's RGB2GRAY rule.
    rgb : (M, N, 3) uint8 array, optional
        The colours. None, or three equal channels, selects the grey path: each RGB metric
        is then computed once on `grey`.

    Returns
    -------
    ImageProfile

    Raises
    ------
    ValueError
        If an array is empty or has another shape or dtype, or if the channels of `rgb` are
        equal to each other but not to `grey`.
    """
    _check_image(grey, rgb)
    grey = np.ascontiguousarray(grey)
    planes = _split_planes(grey, rgb)
    histogram = count_levels(grey)
    edges = cv2.Canny(grey, _CANNY_LOW, _CANNY_HIGH)
    spectrum = np.fft.rfft2(grey)
    spectrum[0, 0] = 0.0
    return ImageProfile(
        grey=grey,
        planes=planes,
        histogram=histogram,
        edges=edges,
        spectrum=spectrum,
        pyramids=tuple(build_pyramid(plane) for plane in planes),
        measures=_measure_image(grey, planes, histogram, edges, spectrum),
    )


def compare_images(reference, restored, local_ssim, *, ring_mask=None, lpips=None):
    """Compute every declared metric of an image pair, unrounded.

    Parameters
    ----------
    reference, restored : ImageProfile
        Of images of one size.
    local_ssim : (R, C) float32 array or None
        Block SSIM of the valid blocks, [-1, 1], without NaN; None or empty where there is
        no valid block.
    ring_mask : (M, N) uint8 array of 0 and 1, optional
        Pixels `ringing_fr` looks at. By default those 2 to 5 px from a Canny(100, 200) edge
        of the reference.
    lpips : float, optional
        From `ingest.perceptual`, which alone needs a network; passed on.

    Returns
    -------
    dict of str to float or None
        Keys are `METRIC_NAMES`, in order. None where the metric cannot be computed; never
        NaN or infinite.

    Raises
    ------
    ValueError
        If the images differ in size, `local_ssim` is not two-dimensional or not finite, or
        `ring_mask` has another shape or dtype.

    Notes
    -----
    If one image is grey and the other is not, the grey one stands for R, G and B.
    `artifact_total` and `total_score` are built from rounded inputs, as published.
    """
    if reference.grey.shape != restored.grey.shape:
        raise ValueError(
            "expected images of one size, found reference "
            f"{reference.grey.shape} and restored {restored.grey.shape}"
        )
    values = dict(restored.measures)
    values["ssim"], values["ms_ssim"] = measure_ssim(reference, restored)
    values["mae"], values["psnr"] = measure_error(reference, restored)
    values["lpips"] = lpips
    values["delta_e"] = measure_colour_difference(reference, restored)
    values["histogram_corr"] = correlate_histograms(reference.histogram, restored.histogram)
    mask = reference.ring_mask if ring_mask is None else ring_mask
    values["ringing_fr"] = measure_ringing_error(reference.grey, restored.grey, mask)
    values["fsds"] = measure_fsds(reference, restored)
    values |= _compare_measures(reference.measures, restored.measures)
    values |= summarise_local_ssim(local_ssim, compare_edge_blocks(reference.grey, restored.grey))
    return {name: values[name] for name in METRIC_NAMES}


def round_published(values):
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
    return {name: _round(values[name], decimals) for name, decimals in _DECIMALS.items()}


def _round(value, decimals):
    return value if value is None or decimals is None else round(value, decimals)


def _check_image(grey, rgb):
    for name, image, wanted in (("grey", grey, "(M, N)"), ("rgb", rgb, "(M, N, 3)")):
        if image is None and name == "rgb":
            continue
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
            found = getattr(image, "dtype", type(image).__name__)
            raise ValueError(f"{name}: expected a {wanted} uint8 array, found {found}")
    if grey.ndim != 2 or grey.size == 0:
        raise ValueError(f"grey: expected a non-empty (M, N) array, found {grey.shape}")
    if rgb is not None and rgb.shape != (*grey.shape, 3):
        raise ValueError(f"rgb: expected {(*grey.shape, 3)}, found {rgb.shape}")


def _split_planes(grey, rgb):
    if rgb is None:
        return (grey,)
    planes = tuple(np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
    if not all(np.array_equal(planes[0], plane) for plane in planes[1:]):
        return planes
    if not np.array_equal(planes[0], grey):
        raise ValueError("expected grey to equal the three equal channels of rgb; it differs")
    return (grey,)


def _spread(planes, count):
    """Repeat a single plane `count` times; leave several as they are."""
    return planes * count if len(planes) == 1 else planes


def _pair_planes(reference, restored):
    """Planes of two images side by side, a grey image standing for each of R, G and B."""
    count = max(len(reference), len(restored))
    return zip(_spread(reference, count), _spread(restored, count), strict=True)


# ---- metrics of one image ----------------------------------------------------------------


def _measure_image(grey, planes, histogram, edges, spectrum):
    """Compute the metrics that look at one image only."""
    steps = sum_steps_by_line(grey)
    measures = {
        "sharpness": measure_sharpness(grey),
        "contrast": measure_contrast(histogram),
        "entropy": measure_entropy(histogram),
        "noise": measure_noise(grey),
        "edge_density": measure_edge_density(grey),
        "artifact_block": measure_block_artifact(steps, grey.shape),
        "artifact_ringing": measure_ringing_artifact(grey, edges),
        "high_freq_ratio": measure_high_frequencies(spectrum, grey.shape, histogram),
        "texture_complexity": measure_texture(grey),
        "lab_L_mean": measure_lightness(planes, histogram),
        "noise_sigma_immerkaer": estimate_noise_immerkaer(grey),
        "noise_sigma_mad": estimate_noise_mad(grey),
    }
    for period in BLOCKINESS_PERIODS_PX:
        factor, ratio = measure_blockiness(steps, grey.shape, period)
        measures[f"blockiness_bef_{period}"] = factor
        measures[f"blockiness_ratio_{period}"] = ratio
    measures["artifact_total"] = _total_artifact(measures)
    measures["total_score"] = score_total(measures)
    return measures


def measure_sharpness(grey):
    """Sharpness as published: variance of the 8-neighbour Laplacian, dn2, >= 0.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    float or None
        None if a side is shorter than 2 px.

    Notes
    -----
    Var(K * y), K = 3x3 ones with -8 at the centre, divided by 16 (kornia's normalisation);
    divisor N - 1; the frame mirrored about the edge pixels. From exact integer sums.
    """
    if min(grey.shape) < 2:
        return None
    total, total_sq, _ = sum_laplacian(_pad(grey, 1, cv2.BORDER_REFLECT_101))
    count = grey.size
    scatter = count * int(total_sq) - int(total) ** 2
    return scatter / (count * (count - 1) * 256)


def measure_contrast(histogram):
    """Measure the population standard deviation of the grey levels, dn, 0..127.5.

    Parameters
    ----------
    histogram : (256,) int64 array

    Returns
    -------
    float
    """
    counts = histogram.tolist()
    return _deviation(
        sum(counts),
        sum(level * count for level, count in enumerate(counts)),
        sum(level * level * count for level, count in enumerate(counts)),
    )


def measure_entropy(histogram):
    """Shannon entropy of the grey levels, bit, 0..8.

    Parameters
    ----------
    histogram : (256,) int64 array

    Returns
    -------
    float
    """
    counts = [count for count in histogram.tolist() if count]
    total = sum(counts)
    return math.fsum(count / total * math.log2(total / count) for count in counts)


def measure_noise(grey):
    """Noise as published: 100 times the mean of ``|K * y|``, y in 0..1; >= 0.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    float

    Notes
    -----
    K = -1 everywhere and +8 at the centre, not normalised; zeros beyond the frame, which
    adds about 3 y there. From exact integer sums. Not an estimate of sigma.
    """
    _, _, magnitude = sum_laplacian(_pad(grey, 1, cv2.BORDER_CONSTANT))
    return 100 * int(magnitude) / (255 * grey.size)


def measure_edge_density(grey):
    """Share of pixels on an edge, %, 0..100.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    float

    Notes
    -----
    Pixels with ``sqrt(gx**2 + gy**2 + 1e-6) > 0.1``: Sobel kernels / 8, y in 0..1, the
    frame repeated (kornia ``sobel``). The comparison is made on exact integers, where the
    threshold lies at 41611.84 on the squared scale.
    """
    count = count_gradients(_pad(grey, 1, cv2.BORDER_REPLICATE), _EDGE_SQUARE)
    return 100 * int(count) / grey.size


def measure_texture(grey):
    """Texture complexity as published: mean Sobel magnitude at a quarter size, dn, >= 0.255.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    float or None
        None if a side is shorter than 4 px.

    Notes
    -----
    Bilinear reduction by 4 without antialias is the mean of the 2x2 centre pixels of each
    whole 4x4 cell; then ``sqrt(gx**2 + gy**2 + 1e-6)`` as in `measure_edge_density`, times
    255. The 1e-6 gives a flat image 0.255.
    """
    rows, cols = grey.shape[0] // 4, grey.shape[1] // 4
    if min(rows, cols) < 1:
        return None
    cells = grey[: rows * 4, : cols * 4].reshape(rows, 4, cols, 4)[:, 1:3, :, 1:3]
    quads = cells.sum(axis=(1, 3), dtype=np.int16)
    padded = _pad(quads, 1, cv2.BORDER_REPLICATE)
    # The sums of four stand for 4 y, Sobel / 8 for another 8: 32 in all, squared.
    return float(sum_gradients(padded, _ROOT_FLOOR * 1024)) / (32 * quads.size)


def measure_block_artifact(steps, shape):
    """Block artefact as published, dn, >= 0.

    Parameters
    ----------
    steps : tuple of four int64 arrays
        From `sum_steps_by_line`.
    shape : (M, N)

    Returns
    -------
    float
        0 if no side exceeds 8 px.

    Notes
    -----
    Sum over the row boundaries 8, 16, ... < M of the mean absolute step, plus the same for
    columns. A sum, so it grows with the image. From exact integer sums.
    """
    down, _, across, _ = steps
    rows, cols = shape
    boundary = slice(_BLOCK_PX - 1, None, _BLOCK_PX)
    return int(down[boundary].sum()) / cols + int(across[boundary].sum()) / rows


def measure_ringing_artifact(grey, edges):
    """Ringing artefact as published: deviation of grey levels near edges, dn, 0..127.5.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn
    edges : (M, N) uint8 array
        Canny(100, 200) edges, 0 elsewhere.

    Returns
    -------
    float
        0 if there is no edge.

    Notes
    -----
    Population standard deviation within a Chebyshev distance of 4 px (two dilations by
    5x5). It measures contrast around edges, not oscillation.
    """
    count, total, total_sq = sum_masked(grey, _dilate(edges, _RINGING_RADIUS_PX))
    return _deviation(int(count), int(total), int(total_sq)) if count else 0.0


def measure_high_frequencies(spectrum, shape, histogram):
    """Share of Fourier amplitude beyond a third of the half-band, 0..1.

    Parameters
    ----------
    spectrum : (M, N // 2 + 1) complex128 array
        Real FFT of the grey image; its value at frequency 0 is not read.
    shape : (M, N)
    histogram : (256,) int64 array
        Gives the amplitude at frequency 0, which is the sum of all pixels.

    Returns
    -------
    float or None
        None for an image of zeros.

    Notes
    -----
    Sum of ``|F|`` (amplitude, not power) where ``u**2 + v**2 > rho**2`` over the sum of all,
    rho = ``min(M // 2, N // 2) // 3``. No window: the frame leaks into it.
    """
    radius = min(shape[0] // 2, shape[1] // 2) // 3
    low, high = sum_amplitudes(spectrum, shape[1], radius)
    low += sum(level * count for level, count in enumerate(histogram.tolist()))
    return high / (low + high) if low + high > 0 else None


def measure_lightness(planes, histogram):
    """Mean of OpenCV's 8-bit L channel, 0..255 (L* times 2.55).

    Parameters
    ----------
    planes : tuple of one or three (M, N) uint8 arrays
    histogram : (256,) int64 array
        Of the grey image; used where there is one plane.

    Returns
    -------
    float
    """
    if len(planes) == 1:
        total = sum(
            light * count
            for light, count in zip(_grey_lightness(), histogram.tolist(), strict=True)
        )
    else:
        lab = cv2.cvtColor(cv2.merge(planes), cv2.COLOR_RGB2LAB)
        total = int(lab[..., 0].sum(dtype=np.int64))
    return total / planes[0].size


def score_total(measures):
    """Total score as published, 0..100.

    Parameters
    ----------
    measures : mapping of str to float or None
        Unrounded or already rounded metrics of one image.

    Returns
    -------
    float or None
        None if an input is None.

    Notes
    -----
    Mean of min(sharpness / 5, 100), min(contrast, 100), min(entropy / 8 * 100, 100),
    max(0, 100 - noise / 2), max(0, 100 - artifact_total / 50), min(2 edge_density, 100) and
    min(10 texture, 100), each from its rounded value (texture is not rounded). It uses no
    reference.
    """
    inputs = (
        "sharpness", "contrast", "entropy", "noise", "artifact_total", "edge_density",
        "texture_complexity",
    )  # fmt: skip
    rounded = [_round(measures[name], _DECIMALS[name]) for name in inputs]
    if None in rounded:
        return None
    sharpness, contrast, entropy, noise, artifact, edges, texture = rounded
    terms = (
        min(sharpness / 5, 100),
        min(contrast, 100),
        min(entropy / 8 * 100, 100),
        max(0, 100 - noise / 2),
        max(0, 100 - artifact / 50),
        min(edges * 2, 100),
        min(texture * 10, 100),
    )
    return sum(terms) / len(terms)


def _total_artifact(measures):
    names = ("artifact_block", "artifact_ringing")
    block, ringing = (_round(measures[name], _DECIMALS[name]) for name in names)
    return block + ringing


def estimate_noise_immerkaer(grey):
    """Noise sigma from Immerkaer's mask, dn, >= 0.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    float or None
        None if a side is shorter than 3 px.

    Notes
    -----
    ``sqrt(pi / 2) / (6 (M - 2) (N - 2)) * sum |I * K|``, K = [1 -2 1; -2 4 -2; 1 -2 1], over
    the valid region. Fine structure counts as noise.

    References
    ----------
    Immerkaer J., Fast noise variance estimation, CVIU 64 (1996) 300-302,
    doi:10.1006/cviu.1996.0060.
    """
    rows, cols = grey.shape
    if min(rows, cols) < 3:
        return None
    return math.sqrt(math.pi / 2) * int(sum_noise_mask(grey)) / (6 * (rows - 2) * (cols - 2))


def estimate_noise_mad(grey):
    """Noise sigma from the finest diagonal wavelet band, dn, >= 0.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    float or None
        None if a side is shorter than 4 px.

    Notes
    -----
    ``median(|HH1|) / 0.6745``, HH1 by the db2 wavelet with the frame mirrored including its
    edge pixels (PyWavelets ``mode="symmetric"``). Every coefficient counts, where
    scikit-image's ``estimate_sigma`` leaves out those that are exactly 0; an image that is
    more than half flat therefore has 0.

    References
    ----------
    Donoho D. L., Johnstone I. M., Ideal spatial adaptation by wavelet shrinkage, Biometrika
    81 (1994) 425-455, doi:10.1093/biomet/81.3.425.
    """
    if min(grey.shape) < 4:
        return None
    rows, cols = grey.shape
    padded = cv2.copyMakeBorder(grey, 2, 2 + rows % 2, 2, 2 + cols % 2, cv2.BORDER_REFLECT)
    return float(np.median(filter_diagonal(padded))) / _MAD_TO_SIGMA


def measure_blockiness(steps, shape, period):
    """Blocking effect factor (dn2, >= 0) and step ratio (>= 0, 1 = none) of one period.

    Parameters
    ----------
    steps : tuple of four int64 arrays
        From `sum_steps_by_line`.
    shape : (M, N)
    period : int
        Distance between boundaries, px.

    Returns
    -------
    factor, ratio : float or None
        Both None if no step lies on a boundary or none lies elsewhere; `ratio` also if all
        steps elsewhere are 0.

    Notes
    -----
    D_b, D_c are the mean squared steps across boundaries and elsewhere, both directions
    pooled; factor = log2(period) / log2(min(M, N)) * (D_b - D_c), 0 unless D_b > D_c. The
    ratio is that of the mean absolute steps. Steps are counted as they are; the paper's
    count assumes sides that are multiples of the period, where the two agree.

    References
    ----------
    Yim C., Bovik A. C., Quality assessment of deblocked images, IEEE TIP 20 (2011) 88-98,
    doi:10.1109/TIP.2010.2061859.
    """
    down, down_sq, across, across_sq = steps
    rows, cols = shape
    boundary = slice(period - 1, None, period)
    on_count = down[boundary].size * cols + across[boundary].size * rows
    off_count = down.size * cols + across.size * rows - on_count
    if on_count == 0 or off_count == 0 or min(shape) < 2:
        return None, None
    on = int(down[boundary].sum() + across[boundary].sum())
    on_sq = int(down_sq[boundary].sum() + across_sq[boundary].sum())
    off = int(down.sum() + across.sum()) - on
    off_sq = int(down_sq.sum() + across_sq.sum()) - on_sq
    excess = on_sq / on_count - off_sq / off_count
    factor = math.log2(period) / math.log2(min(shape)) * excess if excess > 0 else 0.0
    ratio = (on * off_count) / (on_count * off) if off else None
    return factor, ratio


# ---- metrics of a pair -------------------------------------------------------------------


def measure_ssim(reference, restored):
    """SSIM and multi-scale SSIM, (-1, 1] and 0..1.

    Parameters
    ----------
    reference, restored : ImageProfile

    Returns
    -------
    ssim : float or None
        None if a side is shorter than 11 px.
    ms_ssim : float or None
        None unless both sides exceed 160 px.

    Notes
    -----
    pytorch-msssim's definition: Gaussian window 11, sigma 1.5, valid region, biased
    variances, K1 = 0.01, K2 = 0.03; mean of the map per channel, then over channels.
    MS-SSIM: weights .0448 .2856 .3001 .2363 .1333 on the mean contrast-structure term of
    each scale (the full SSIM on the last), negative means set to 0; the next scale is the
    2x2 mean, with a row or column of zeros before an odd side. In float64 on 0..255, where
    the generator uses float32 on 0..1.

    References
    ----------
    Wang Z. et al., Image quality assessment: from error visibility to structural
    similarity, IEEE TIP 13 (2004) 600-612, doi:10.1109/TIP.2003.819861.
    Wang Z., Simoncelli E. P., Bovik A. C., Multiscale structural similarity for image
    quality assessment, Asilomar 2003, 1398-1402, doi:10.1109/ACSSC.2003.1292216.
    """
    singles, multiples = [], []
    for left, right in _pair_planes(reference.pyramids, restored.pyramids):
        scales = [compare_scale(*x, *y) for x, y in zip(left, right, strict=True)]
        if scales:
            singles.append(scales[0][0])
        if len(scales) == len(_SCALE_WEIGHTS):
            terms = [structure for _, structure in scales[:-1]] + [scales[-1][0]]
            powers = (max(t, 0.0) ** w for t, w in zip(terms, _SCALE_WEIGHTS, strict=True))
            multiples.append(math.prod(powers))
    return _mean(singles), _mean(multiples)


def measure_error(reference, restored):
    """Mean absolute error (dn, 0..255) and PSNR (dB) over all samples.

    Parameters
    ----------
    reference, restored : ImageProfile

    Returns
    -------
    mae : float
    psnr : float or None
        None for identical images, where the generator writes ``inf``.

    Notes
    -----
    ``10 log10(255**2 / MSE)`` with an exact integer sum of squares.
    """
    count, total, total_sq = 0, 0, 0
    for left, right in _pair_planes(reference.planes, restored.planes):
        absolute, squared = sum_errors(left, right)
        count += left.size
        total += int(absolute)
        total_sq += int(squared)
    psnr = 10 * math.log10(255**2 * count / total_sq) if total_sq else None
    return total / count, psnr


def measure_colour_difference(reference, restored):
    """Mean CIE 1976 colour difference, >= 0.

    Parameters
    ----------
    reference, restored : ImageProfile

    Returns
    -------
    float

    Notes
    -----
    sRGB -> linear -> XYZ (D65: 0.95047, 1, 1.08883) -> L*a*b*, Euclidean distance per
    pixel. For two grey images it is ``|dL*|`` to nine digits (the rows of the published
    XYZ matrix do not sum exactly to the white point), and is read from a table of the
    65,536 pairs of levels.
    """
    if len(reference.planes) == len(restored.planes) == 1:
        total = sum_table(reference.grey, restored.grey, _grey_difference())
    else:
        total = sum_distances(reference.lab, restored.lab)
    return float(total) / reference.grey.size


def correlate_histograms(reference, restored):
    """Pearson correlation of two grey histograms, -1..1.

    Parameters
    ----------
    reference, restored : (256,) int64 arrays

    Returns
    -------
    float or None
        None if all levels of a histogram are equally frequent, where OpenCV's
        HISTCMP_CORREL answers 1.
    """
    x, y = reference.tolist(), restored.tolist()
    bins, sum_x, sum_y = len(x), sum(x), sum(y)
    scatter_x = bins * sum(v * v for v in x) - sum_x**2
    scatter_y = bins * sum(v * v for v in y) - sum_y**2
    if scatter_x == 0 or scatter_y == 0:
        return None
    mixed = bins * sum(v * w for v, w in zip(x, y, strict=True)) - sum_x * sum_y
    return mixed / (math.sqrt(scatter_x) * math.sqrt(scatter_y))


def measure_ringing_error(reference, restored, mask):
    """RMS of the high-passed error beside reference edges, dn, >= 0.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays, dn
    mask : (M, N) uint8 array of 0 and 1
        Pixels 2 to 5 px (Chebyshev) from a reference edge.

    Returns
    -------
    float or None
        None if the mask is empty or a side is shorter than 5 px.

    Raises
    ------
    ValueError
        If the mask has another shape or dtype.

    Notes
    -----
    e = y - x on the grey images, less its 9x9 mean (the frame mirrored about the edge
    pixels); root of the mean square under the mask. The sum of squares is an exact integer.
    An idea of Marziliano et al., Perceptual blur and ringing metrics, Signal Process. Image
    Commun. 19 (2004) 163-172, doi:10.1016/j.image.2003.08.003; the formula is this
    project's own.
    """
    if mask.shape != reference.shape or mask.dtype != np.uint8:
        raise ValueError(
            f"ring_mask: expected a {reference.shape} uint8 array, found {mask.shape} {mask.dtype}"
        )
    border = _HIGH_PASS_PX // 2
    count = cv2.countNonZero(mask)
    if count == 0 or min(reference.shape) <= border:
        return None
    error = np.subtract(restored, reference, dtype=np.int16)
    energy = int(sum_high_passed(_pad(error, border, cv2.BORDER_REFLECT_101), mask))
    return math.sqrt(energy / (count * _HIGH_PASS_AREA**2))


def measure_fsds(reference, restored):
    """Frequency spectrum distribution similarity, dB; higher is more alike.

    Parameters
    ----------
    reference, restored : ImageProfile

    Returns
    -------
    float or None
        None for identical images (the paper's code fails there) and if either is constant.

    Notes
    -----
    z = (image - mean) / std over all channels together, std with divisor n - 1; a row of
    zeros below an odd number of rows; F = rfft2(z). The rows of non-negative and, reversed,
    of negative vertical frequency are summed cumulatively along both axes from low to high
    frequency, to D. ``-10 log10(sum |D_y - D_x|**2 / sum |D_x|**2)``: the reference is in
    the denominator, as in the paper's code, not its notebook. Not symmetric, sensitive to
    phase, and dominated by low frequencies.

    References
    ----------
    arXiv:2405.07919 (ICML 2024), section on FSDS.
    """
    channels = max(len(reference.planes), len(restored.planes))
    deviations = [_sample_deviation(p.planes, channels) for p in (reference, restored)]
    if not all(deviations):
        return None
    return compare_spectra(reference.plane_spectra, restored.plane_spectra, *deviations)


def compare_spectra(reference, restored, reference_deviation, restored_deviation):
    """Compute FSDS from the spectra of two images, dB.

    Parameters
    ----------
    reference, restored : sequences of one or three (M, L) complex128 arrays
        Real FFT of each plane less the mean of all planes, M even; one stands for three.
    reference_deviation, restored_deviation : float
        Sample standard deviations over all planes, above 0.

    Returns
    -------
    float or None
        None for equal spectra.
    """
    difference, energy = 0.0, 0.0
    for x, y in _pair_planes(reference, restored):
        apart, own = sum_cumulative(x, y, reference_deviation, restored_deviation)
        difference += apart
        energy += own
    return -10 * math.log10(difference / energy) if difference and energy else None


def compare_edge_blocks(reference, restored):
    """Block SSIM of the blocks that the frame clips to exactly 7 px on a side or two.

    Parameters
    ----------
    reference, restored : (M, N) uint8 array, dn

    Returns
    -------
    (K,) float32 array
        Bottom row, right column, corner; empty unless a side is 7 modulo 8.

    Notes
    -----
    The generator measures a clipped block that holds a window of 7 px, and counts it among
    those behind mean, deviation and minimum; smaller ones it does not. As for whole blocks:
    7x7 uniform windows, sample covariance, the mean over all that fit.
    """
    rows, cols = (side // _BLOCK_PX for side in reference.shape)
    is_bottom, is_right = (side % _BLOCK_PX == _BLOCK_WINDOW_PX for side in reference.shape)
    values = [np.empty(0, np.float32)]
    whole = (slice(rows * _BLOCK_PX), slice(cols * _BLOCK_PX))
    beyond = (slice(rows * _BLOCK_PX, None), slice(cols * _BLOCK_PX, None))
    for exists, place, shape in (
        (is_bottom, (beyond[0], whole[1]), (1, _BLOCK_WINDOW_PX, cols, _BLOCK_PX)),
        (is_right, (whole[0], beyond[1]), (rows, _BLOCK_PX, 1, _BLOCK_WINDOW_PX)),
        (is_bottom and is_right, beyond, (1, _BLOCK_WINDOW_PX, 1, _BLOCK_WINDOW_PX)),
    ):
        if exists:
            x, y = (image[place].reshape(shape).swapaxes(1, 2) for image in (reference, restored))
            values.append(_compare_windows(x, y).ravel().astype(np.float32))
    return np.concatenate(values)


def _compare_windows(x, y):
    """SSIM of (R, C, H, W) blocks: the mean of all 7x7 windows that fit in each."""
    area = _BLOCK_WINDOW_PX**2
    x, y = (
        np.lib.stride_tricks.sliding_window_view(
            image.astype(np.int64), (_BLOCK_WINDOW_PX, _BLOCK_WINDOW_PX), axis=(2, 3)
        )
        for image in (x, y)
    )
    sum_x, sum_y = x.sum(axis=(4, 5)), y.sum(axis=(4, 5))
    square = (x * x).sum(axis=(4, 5)) + (y * y).sum(axis=(4, 5))
    cross = (x * y).sum(axis=(4, 5))
    # Both fractions times the area squared, so that all but the constants are whole numbers.
    luminance = (2 * sum_x * sum_y + C1 * area**2) / (sum_x**2 + sum_y**2 + C1 * area**2)
    spread = area * square - sum_x**2 - sum_y**2
    c2 = C2 * area * (area - 1)
    structure = (2 * (area * cross - sum_x * sum_y) + c2) / (spread + c2)
    return (luminance * structure).mean(axis=(2, 3))


def summarise_local_ssim(local_ssim, edge=None):
    """Mean, population standard deviation and minimum of the block SSIM.

    Parameters
    ----------
    local_ssim : (R, C) float32 array or None
        Whole blocks.
    edge : (K,) float32 array, optional
        Of the clipped blocks that count, `compare_edge_blocks`.

    Returns
    -------
    dict of str to float or None
        None in each where there is no block.

    Raises
    ------
    ValueError
        If the array is not two-dimensional or holds a value that is not finite.

    Notes
    -----
    Correctly rounded sums (``math.fsum``), so the order of blocks does not matter.
    """
    names = ("local_quality_mean", "local_quality_std", "local_quality_min")
    if local_ssim is None or local_ssim.size == 0:
        return dict.fromkeys(names)
    if local_ssim.ndim != 2 or not np.isfinite(local_ssim).all():
        raise ValueError(
            f"local_ssim: expected a finite (R, C) array, found shape {local_ssim.shape} "
            f"with {np.count_nonzero(~np.isfinite(local_ssim))} values that are not finite"
        )
    blocks = local_ssim.astype(np.float64).ravel()
    if edge is not None:
        blocks = np.concatenate([blocks, edge])
    mean = math.fsum(blocks) / blocks.size
    deviation = math.sqrt(math.fsum((blocks - mean) ** 2) / blocks.size)
    return dict(zip(names, (mean, deviation, float(blocks.min())), strict=True))


def _compare_measures(reference, restored):
    """Percent changes from the reference's measures to the restored image's."""
    pairs = (("sharpness", 0.0), ("contrast", None), ("edge_density", 0.0))
    changes = {}
    for name, otherwise in pairs:
        column = "edge_diff_pct" if name == "edge_density" else f"{name}_diff_pct"
        before, after = reference[name], restored[name]
        if before is None or after is None:
            changes[column] = None
        else:
            changes[column] = (after / before - 1) * 100 if before else otherwise
    return changes


# ---- helpers -----------------------------------------------------------------------------


def _mean(values):
    return math.fsum(values) / len(values) if values else None


def _deviation(count, total, total_sq):
    """Take the population standard deviation from exact integer sums."""
    return math.sqrt(count * total_sq - total**2) / count


def _sample_deviation(planes, channels):
    """Take the standard deviation (divisor n - 1) over `channels` planes, one plane repeated."""
    count, total, total_sq = 0, 0, 0
    for plane in _spread(planes, channels):
        summed, squared = sum_plane(plane)
        count += plane.size
        total += int(summed)
        total_sq += int(squared)
    scatter = count * total_sq - total**2
    return math.sqrt(scatter / (count * (count - 1))) if scatter else 0.0


def _mean_of_planes(planes):
    return sum(int(sum_plane(plane)[0]) for plane in planes) / (len(planes) * planes[0].size)


def _pad(image, border, rule):
    return cv2.copyMakeBorder(image, border, border, border, border, rule, value=0)


def _dilate(mask, radius):
    side = 2 * radius + 1
    return cv2.dilate(mask, np.ones((side, side), np.uint8))


@lru_cache(maxsize=1)
def _linearise_srgb():
    """(256,) float64: linear light of each 8-bit sRGB level, 0..1."""
    shares = [level / 255 for level in range(256)]
    return np.array([((s + 0.055) / 1.055) ** 2.4 if s > 0.04045 else s / 12.92 for s in shares])


@lru_cache(maxsize=1)
def _grey_lightness():
    """OpenCV's 8-bit L of each grey level."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    return cv2.cvtColor(ramp, cv2.COLOR_RGB2LAB)[0, :, 0].tolist()


@lru_cache(maxsize=1)
def _grey_difference():
    """(256, 256) float64: CIE76 difference of each pair of grey levels."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    lab = convert_to_lab(ramp, ramp, ramp, _linearise_srgb())[:, 0]
    return np.sqrt(((lab[:, :, None] - lab[:, None, :]) ** 2).sum(axis=0))


def build_pyramid(plane):
    """Reduce a plane to the scales of MS-SSIM and filter each with the Gaussian window.

    Parameters
    ----------
    plane : (M, N) uint8 array, dn

    Returns
    -------
    tuple of (image, mean, mean_square)
        Five scales where both sides exceed 160 px, one where they reach 11 px, else none.
    """
    shortest = min(plane.shape)
    if shortest < _GAUSSIAN_PX:
        return ()
    scales = [plane]
    if shortest >= _MS_SSIM_MIN_PX:
        for _ in _SCALE_WEIGHTS[1:]:
            scales.append(halve_image(scales[-1]))
    return tuple((scale, *filter_moments(scale)) for scale in scales)
