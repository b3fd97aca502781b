"""What one image says: its profile, filtered once for all images it is compared with.

Inputs are 8-bit: counts and sums are exact integers wherever the definition allows, and float
loops run in a written order, without fast-math, so that a value depends on its image alone. What
is left to libraries is the FFT (NumPy), exact 8-bit work (OpenCV) and libm's logarithm, power and
cube root. The published columns follow the generator's torch/kornia path, in float64.

Named in the docstrings: x is the reference, y the restored image, "dn" a grey level (0..255).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from upscale_audit.ingest.edges import mark_ringing_pixels
from upscale_audit.ingest.metrics.declared import (
    BLOCKINESS_PERIODS_PX,
    PUBLISHED_DECIMALS,
    round_value,
)
from upscale_audit.ingest.metrics.image_loops import (
    convert_to_lab,
    count_gradients,
    count_levels,
    filter_diagonal,
    filter_haar,
    filter_moments,
    halve_image,
    halve_sums,
    sum_amplitudes,
    sum_centres,
    sum_gradients,
    sum_laplacian,
    sum_masked,
    sum_noise_mask,
    sum_plane,
    sum_steps_by_line,
)
from upscale_audit.ingest.metrics.repetition import LineSpectra, profile_lines

if TYPE_CHECKING:
    import numpy.typing as npt


_GAUSSIAN_PX = 11
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_MS_SSIM_MIN_PX = 161
_BLOCK_PX = 8
_CANNY_LOW, _CANNY_HIGH = 100, 200
_RINGING_RADIUS_PX = 4
# (gx^2 + gy^2 + 1e-6 > 0.1^2) with y in [0, 1] and Sobel / 8, times (8 * 255)^2.
_SOBEL_SCALE = 8 * 255
_EDGE_SQUARE = (0.1**2 - 1e-6) * _SOBEL_SCALE**2
_ROOT_FLOOR = 1e-6 * 255**2
_MAD_TO_SIGMA = 0.6745
_ROWS = 64
"""Rows that are transformed at once."""


T = TypeVar("T")
_Moments = tuple["npt.NDArray[np.float64]", "npt.NDArray[np.float64]"]


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
    pyramids : tuple of tuples of arrays
        Each plane at each scale of MS-SSIM, dn. Five scales where both sides exceed 160 px, one
        where they reach 11 px, else none.
    measures : dict of str to float or None
        The metrics that look at this image alone, unrounded.

    Notes
    -----
    A grey 1024 x 1024 profile holds about 50 MB once it was compared as the reference, else 20;
    a colour one about four times as much.
    """

    grey: np.ndarray
    planes: tuple
    histogram: np.ndarray
    edges: np.ndarray
    spectrum: np.ndarray
    pyramids: tuple
    measures: dict[str, float | None]

    @cached_property
    def ring_mask(self) -> npt.NDArray[np.uint8]:
        """(M, N) uint8: 1 at a Chebyshev distance of 2 to 5 px from an edge, else 0."""
        return mark_ringing_pixels(self.grey, _CANNY_LOW, _CANNY_HIGH)

    @cached_property
    def moments(self) -> tuple[tuple[_Moments, ...], ...]:
        """Gaussian mean (dn) and mean square (dn2) of each plane at each scale."""
        return tuple(tuple(map(filter_moments, scales)) for scales in self.pyramids)

    @cached_property
    def scaled(self) -> dict[int, tuple[tuple[npt.NDArray[np.complex128], ...], float]]:
        """FSDS's spectra and energy of this image as a reference, by the planes compared.

        Filled when it is first compared.
        """
        return {}

    @cached_property
    def lab(self) -> npt.NDArray[np.float64]:
        """(3, M, N) float64: CIE L*, a*, b* under D65."""
        found: npt.NDArray[np.float64] = convert_to_lab(*spread(self.planes, 3), linearise_srgb())
        return found

    @cached_property
    def haar(self) -> npt.NDArray[np.int16]:
        """(2, 3, ceil(M / 2), ceil(N / 2)) int16: magnitudes of HaarPSI's Haar coefficients."""
        found: npt.NDArray[np.int16] = filter_haar(halve_sums(self.grey))
        return found

    @cached_property
    def line_spectra(self) -> tuple[LineSpectra, LineSpectra] | None:
        """Spectra along rows, then along columns; None where a side is under 128 px."""
        return profile_lines(self.grey)

    @cached_property
    def plane_spectra(self) -> tuple[npt.NDArray[np.complex128], ...]:
        """One complex128 array a plane: real FFT of the plane less the mean of all planes.

        Where M is odd, a row of zeros is added below the image first.
        """
        rows, cols = self.grey.shape
        if len(self.planes) == 1 and rows % 2 == 0:
            return (self.spectrum,)
        mean = _mean_of_planes(self.planes)
        below = np.zeros((rows % 2, cols))
        return tuple(
            transform_plane(np.concatenate([plane - mean, below])) for plane in self.planes
        )


def profile_image(
    grey: npt.NDArray[np.uint8], rgb: npt.NDArray[np.uint8] | None = None
) -> ImageProfile:
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
    edges = np.asarray(cv2.Canny(grey, _CANNY_LOW, _CANNY_HIGH), np.uint8)
    spectrum = transform_plane(grey)
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


def _check_image(grey: npt.NDArray[np.uint8], rgb: npt.NDArray[np.uint8] | None) -> None:
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


def _split_planes(
    grey: npt.NDArray[np.uint8], rgb: npt.NDArray[np.uint8] | None
) -> tuple[npt.NDArray[np.uint8], ...]:
    if rgb is None:
        return (grey,)
    planes = tuple(np.ascontiguousarray(rgb[..., channel]) for channel in range(3))
    if not all(np.array_equal(planes[0], plane) for plane in planes[1:]):
        return planes
    if not np.array_equal(planes[0], grey):
        raise ValueError("expected grey to equal the three equal channels of rgb; it differs")
    return (grey,)


def transform_plane(plane: npt.NDArray[np.number]) -> npt.NDArray[np.complex128]:
    """Real FFT of a plane: ``numpy.fft.rfft2``, with no second array of its size.

    Parameters
    ----------
    plane : (M, N) array

    Returns
    -------
    (M, N // 2 + 1) complex128 array
    """
    rows, cols = plane.shape
    spectrum = np.empty((rows, cols // 2 + 1), np.complex128)
    for top in range(0, rows, _ROWS):
        np.fft.rfft(plane[top : top + _ROWS], out=spectrum[top : top + _ROWS])
    return np.fft.fft(spectrum, axis=0, out=spectrum)


def spread(planes: tuple[T, ...], count: int) -> tuple[T, ...]:
    """Repeat a single plane `count` times; leave several as they are."""
    return planes * count if len(planes) == 1 else planes


def _measure_image(
    grey: npt.NDArray[np.uint8],
    planes: tuple[npt.NDArray[np.uint8], ...],
    histogram: npt.NDArray[np.int64],
    edges: npt.NDArray[np.uint8],
    spectrum: npt.NDArray[np.complex128],
) -> dict[str, float | None]:
    """Compute the metrics that look at one image only."""
    steps = sum_steps_by_line(grey)
    measures: dict[str, float | None] = {
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


def measure_sharpness(grey: npt.NDArray[np.uint8]) -> float | None:
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
    total, total_sq, _ = sum_laplacian(pad(grey, 1, cv2.BORDER_REFLECT_101))
    count = grey.size
    scatter = count * int(total_sq) - int(total) ** 2
    return scatter / (count * (count - 1) * 256)


def measure_contrast(histogram: npt.NDArray[np.int64]) -> float:
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


def measure_entropy(histogram: npt.NDArray[np.int64]) -> float:
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


def measure_noise(grey: npt.NDArray[np.uint8]) -> float:
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
    _, _, magnitude = sum_laplacian(pad(grey, 1, cv2.BORDER_CONSTANT))
    return 100 * int(magnitude) / (255 * grey.size)


def measure_edge_density(grey: npt.NDArray[np.uint8]) -> float:
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
    count = count_gradients(pad(grey, 1, cv2.BORDER_REPLICATE), _EDGE_SQUARE)
    return 100 * int(count) / grey.size


def measure_texture(grey: npt.NDArray[np.uint8]) -> float | None:
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
    if min(grey.shape) < 4:
        return None
    quads = sum_centres(grey)
    padded = pad(quads, 1, cv2.BORDER_REPLICATE)
    # The sums of four stand for 4 y, Sobel / 8 for another 8: 32 in all, squared.
    found: float | None = float(sum_gradients(padded, _ROOT_FLOOR * 1024)) / (32 * quads.size)
    return found


def measure_block_artifact(
    steps: tuple[npt.NDArray[np.int64], ...], shape: tuple[int, int]
) -> float:
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


def measure_ringing_artifact(grey: npt.NDArray[np.uint8], edges: npt.NDArray[np.uint8]) -> float:
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


def measure_high_frequencies(
    spectrum: npt.NDArray[np.complex128], shape: tuple[int, int], histogram: npt.NDArray[np.int64]
) -> float | None:
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


def measure_lightness(
    planes: tuple[npt.NDArray[np.uint8], ...], histogram: npt.NDArray[np.int64]
) -> float:
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
    found: float = total / planes[0].size
    return found


def score_total(measures: Mapping[str, float | None]) -> float | None:
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
    rounded = [round_value(measures[name], PUBLISHED_DECIMALS[name]) for name in inputs]
    known = [value for value in rounded if value is not None]
    if len(known) < len(rounded):
        return None
    sharpness, contrast, entropy, noise, artifact, edges, texture = known
    terms = (
        min(sharpness / 5, 100),
        min(contrast, 100),
        min(entropy / 8 * 100, 100),
        max(0, 100 - noise / 2),
        max(0, 100 - artifact / 50),
        min(edges * 2, 100),
        min(texture * 10, 100),
    )
    total = 0.0
    for term in terms:
        total += term  # as published; sum() of floats gives other last digits since Python 3.12
    return total / len(terms)


def _total_artifact(measures: Mapping[str, float | None]) -> float | None:
    names = ("artifact_block", "artifact_ringing")
    block, ringing = (round_value(measures[name], PUBLISHED_DECIMALS[name]) for name in names)
    return None if block is None or ringing is None else block + ringing


def estimate_noise_immerkaer(grey: npt.NDArray[np.uint8]) -> float | None:
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
    found: float | None = (
        math.sqrt(math.pi / 2) * int(sum_noise_mask(grey)) / (6 * (rows - 2) * (cols - 2))
    )
    return found


def estimate_noise_mad(grey: npt.NDArray[np.uint8]) -> float | None:
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
    return _take_median(filter_diagonal(padded).ravel()) / _MAD_TO_SIGMA


def measure_blockiness(
    steps: tuple[npt.NDArray[np.int64], ...], shape: tuple[int, int], period: int
) -> tuple[float | None, float | None]:
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


def _take_median(values: npt.NDArray[np.float64]) -> float:
    """Median of values without NaN, as ``numpy.median`` gives it after looking for one."""
    middle = values.size // 2
    values = np.partition(values, middle)
    upper = float(values[middle])
    return upper if values.size % 2 else (float(values[:middle].max()) + upper) / 2


def _deviation(count: int, total: int, total_sq: int) -> float:
    """Take the population standard deviation from exact integer sums."""
    return math.sqrt(count * total_sq - total**2) / count


def _mean_of_planes(planes: tuple[npt.NDArray[np.uint8], ...]) -> float:
    return sum(int(sum_plane(plane)[0]) for plane in planes) / (len(planes) * planes[0].size)


def pad(image: npt.NDArray[np.integer], border: int, rule: int) -> npt.NDArray[np.integer]:
    """Widen an image on all four sides by an OpenCV border rule."""
    wide = cv2.copyMakeBorder(image, border, border, border, border, rule, value=0)
    return np.asarray(wide, image.dtype)


def _dilate(mask: npt.NDArray[np.uint8], radius: int) -> npt.NDArray[np.uint8]:
    side = 2 * radius + 1
    return np.asarray(cv2.dilate(mask, np.ones((side, side), np.uint8)), np.uint8)


@lru_cache(maxsize=1)
def linearise_srgb() -> npt.NDArray[np.float64]:
    """(256,) float64: linear light of each 8-bit sRGB level, 0..1."""
    shares = [level / 255 for level in range(256)]
    return np.array([((s + 0.055) / 1.055) ** 2.4 if s > 0.04045 else s / 12.92 for s in shares])


@lru_cache(maxsize=1)
def _grey_lightness() -> list[int]:
    """OpenCV's 8-bit L of each grey level."""
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    found: list[int] = cv2.cvtColor(ramp, cv2.COLOR_RGB2LAB)[0, :, 0].tolist()
    return found


def build_pyramid(plane: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.number], ...]:
    """Reduce a plane to the scales of MS-SSIM.

    Parameters
    ----------
    plane : (M, N) uint8 array, dn

    Returns
    -------
    tuple of arrays
        Five scales where both sides exceed 160 px, one where they reach 11 px, else none.
    """
    shortest = min(plane.shape)
    if shortest < _GAUSSIAN_PX:
        return ()
    scales: list[npt.NDArray[np.number]] = [plane]
    if shortest >= _MS_SSIM_MIN_PX:
        for _ in SCALE_WEIGHTS[1:]:
            scales.append(halve_image(scales[-1]))
    return tuple(scales)
