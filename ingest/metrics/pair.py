"""What a pair of images says: every declared metric of a reference and a restored image.

Named in the docstrings: x is the reference, y the restored image, "dn" a grey level (0..255).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from upscale_audit.ingest.kernel import C1, C2, measure_ringing
from upscale_audit.ingest.metrics.declared import METRIC_NAMES, PERIOD_NAME
from upscale_audit.ingest.metrics.image import SCALE_WEIGHTS, linearise_srgb, spread
from upscale_audit.ingest.metrics.image_loops import convert_to_lab, sum_plane
from upscale_audit.ingest.metrics.pair_loops import (
    HAAR_ALPHA,
    compare_haar,
    compare_scale,
    sum_compensated,
    sum_cumulative,
    sum_distances,
    sum_errors,
    sum_table,
)
from upscale_audit.ingest.metrics.repetition import measure_repetition

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.metrics.image import ImageProfile


_BLOCK_PX, _BLOCK_WINDOW_PX = 8, 7
_HIGH_PASS_PX = 9
_HIGH_PASS_AREA = _HIGH_PASS_PX**2


def compare_images(
    reference: ImageProfile,
    restored: ImageProfile,
    local_ssim: npt.NDArray[np.float32],
    *,
    ring_mask: npt.NDArray[np.uint8] | None = None,
    ring_energy: int | None = None,
    lpips: float | None = None,
) -> dict[str, float | None]:
    """Compute every declared metric of an image pair, unrounded.

    Parameters
    ----------
    reference, restored : ImageProfile
        Of images of one size.
    local_ssim : (R, C) float32 array
        Block SSIM of the whole blocks, [-1, 1], without NaN; empty where there is none.
    ring_mask : (M, N) uint8 array of 0 and 1, optional
        Pixels `ringing_fr` looks at. By default those 2 to 5 px from a Canny(100, 200) edge
        of the reference.
    ring_energy : int, optional
        What `ingest.kernel.measure_ringing` found under that mask, where it was asked.
    lpips : float, optional
        From `ingest.perceptual`, which alone needs a network; passed on.

    Returns
    -------
    dict of str to float or None
        Keys are `METRIC_NAMES`, in order, then `PERIOD_NAME`. None where the metric cannot be
        computed; never NaN or infinite.

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
    values["ringing_fr"] = measure_ringing_error(reference.grey, restored.grey, mask, ring_energy)
    values["fsds"] = measure_fsds(reference, restored)
    values["haarpsi"] = measure_haarpsi(reference.haar, restored.haar)
    values["repetition_strength"], values[PERIOD_NAME] = measure_repetition(
        reference.line_spectra, restored.line_spectra
    )
    values |= _compare_measures(reference.measures, restored.measures)
    values |= summarise_local_ssim(local_ssim, compare_edge_blocks(reference.grey, restored.grey))
    return {name: values[name] for name in (*METRIC_NAMES, PERIOD_NAME)}


def _pair_planes(
    reference: tuple[Any, ...], restored: tuple[Any, ...]
) -> Iterable[tuple[Any, Any]]:
    """Put what is of two images' planes side by side, a grey one standing for R, G and B."""
    count = max(len(reference), len(restored))
    return zip(spread(reference, count), spread(restored, count), strict=True)


def measure_ssim(
    reference: ImageProfile, restored: ImageProfile
) -> tuple[float | None, float | None]:
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
    filtered = tuple(zip(reference.pyramids, reference.moments, strict=True))
    for (left, moments), right in _pair_planes(filtered, restored.pyramids):
        scales = [compare_scale(x, *m, y) for x, m, y in zip(left, moments, right, strict=True)]
        if scales:
            singles.append(scales[0][0])
        if len(scales) == len(SCALE_WEIGHTS):
            terms = [structure for _, structure in scales[:-1]] + [scales[-1][0]]
            powers = (max(t, 0.0) ** w for t, w in zip(terms, SCALE_WEIGHTS, strict=True))
            multiples.append(math.prod(powers))
    return _mean(singles), _mean(multiples)


def measure_error(reference: ImageProfile, restored: ImageProfile) -> tuple[float, float | None]:
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


def measure_colour_difference(reference: ImageProfile, restored: ImageProfile) -> float:
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


def correlate_histograms(
    reference: npt.NDArray[np.int64], restored: npt.NDArray[np.int64]
) -> float | None:
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
    found: float | None = mixed / (math.sqrt(scatter_x) * math.sqrt(scatter_y))
    return found


def measure_ringing_error(
    reference: npt.NDArray[np.uint8],
    restored: npt.NDArray[np.uint8],
    mask: npt.NDArray[np.uint8],
    energy: int | None = None,
) -> float | None:
    """RMS of the high-passed error beside reference edges, dn, >= 0.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays, dn
    mask : (M, N) uint8 array of 0 and 1
        Pixels 2 to 5 px (Chebyshev) from a reference edge.
    energy : int, optional
        What `ingest.kernel.measure_ringing` found of these three, where it was asked.

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
    count = cv2.countNonZero(mask)
    if count == 0 or min(reference.shape) <= _HIGH_PASS_PX // 2:
        return None
    if energy is None:
        energy = int(measure_ringing(reference, restored, mask)[1])
    return math.sqrt(energy / (count * _HIGH_PASS_AREA**2))


def measure_fsds(reference: ImageProfile, restored: ImageProfile) -> float | None:
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
    before = _sample_deviation(reference.planes, channels)
    after = _sample_deviation(restored.planes, channels)
    if not before or not after:
        return None
    if channels not in reference.scaled:
        spectra = tuple(scale_spectrum(plane, before) for plane in reference.plane_spectra)
        reference.scaled[channels] = spectra, find_energy(spread(spectra, channels))
    return compare_spectra(*reference.scaled[channels], restored.plane_spectra, after)


def compare_spectra(
    reference: tuple[npt.NDArray[np.complex128], ...],
    energy: float,
    restored: tuple[npt.NDArray[np.complex128], ...],
    deviation: float,
) -> float | None:
    """Compute FSDS from the spectra of two images, dB.

    Parameters
    ----------
    reference : sequence of one or three (M, L) complex128 arrays
        From `scale_spectrum`; one stands for three.
    energy : float
        The reference's own, `find_energy`.
    restored : sequence of one or three (M, L) complex128 arrays
        Real FFT of each plane less the mean of all planes, M even; one stands for three.
    deviation : float
        Sample standard deviation over all restored planes, above 0.

    Returns
    -------
    float or None
        None for equal spectra.
    """
    difference = 0.0
    for x, y in _pair_planes(reference, restored):
        difference += sum_cumulative(x, y, deviation)
    return -10 * math.log10(difference / energy) if difference and energy else None


def scale_spectrum(
    spectrum: npt.NDArray[np.complex128], deviation: float
) -> npt.NDArray[np.complex128]:
    """Divide real and imaginary parts by a standard deviation."""
    return (spectrum.view(np.float64) / deviation).view(np.complex128)


def find_energy(spectra: Iterable[npt.NDArray[np.complex128]]) -> float:
    """Energy of the cumulative spectra of a reference's planes, from `scale_spectrum`."""
    energy = 0.0
    for spectrum in spectra:
        energy += sum_cumulative(spectrum, spectrum, math.inf)
    return energy


def measure_haarpsi(
    reference: npt.NDArray[np.int16], restored: npt.NDArray[np.int16]
) -> float | None:
    """Haar wavelet-based perceptual similarity index, 0..1; 1 = alike.

    Parameters
    ----------
    reference, restored : (2, 3, R, C) int16 arrays
        Coefficient magnitudes, `ImageProfile.haar`.

    Returns
    -------
    float or None
        None if no coefficient of the third scale differs from 0: both images are black.

    Notes
    -----
    The paper's constants and its subsampling: 2x2 means of the image; Haar coefficients of both
    orientations at sides of 2, 4 and 8 of these; similarity ``(2ab + C) / (a**2 + b**2 + C)``,
    C = 30, averaged over the two finer scales; its logistic function (alpha = 4.2), averaged with
    the larger coefficient at the third scale as weight; the inverse of that function, squared.
    Beyond the frame is black, as in the authors' program, so that the frame counts as an edge that
    both images have. Grey images only: the authors' term for the chroma of colour images is left
    out. Coefficients are exact integers.

    References
    ----------
    Reisenhofer R., Bosse S., Kutyniok G., Wiegand T., A Haar wavelet-based perceptual similarity
    index for image quality assessment, Signal Process. Image Commun. 61 (2018) 33-43,
    doi:10.1016/j.image.2017.11.001.
    """
    similar, dissimilar = compare_haar(reference, restored)
    if similar == 0.0:
        return None
    # Rounding may put identical images one unit in the last place above 1.
    return min((math.log(similar / dissimilar) / HAAR_ALPHA) ** 2, 1.0)


def compare_edge_blocks(
    reference: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float32]:
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


def _compare_windows(x: npt.NDArray[np.uint8], y: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """SSIM of (R, C, H, W) blocks: the mean of all 7x7 windows that fit in each."""
    area = _BLOCK_WINDOW_PX**2
    left, right = (
        np.lib.stride_tricks.sliding_window_view(
            image.astype(np.int64), (_BLOCK_WINDOW_PX, _BLOCK_WINDOW_PX), axis=(2, 3)
        )
        for image in (x, y)
    )
    sum_x, sum_y = left.sum(axis=(4, 5)), right.sum(axis=(4, 5))
    square = (left * left).sum(axis=(4, 5)) + (right * right).sum(axis=(4, 5))
    cross = (left * right).sum(axis=(4, 5))
    # Both fractions times the area squared, so that all but the constants are whole numbers.
    luminance = (2 * sum_x * sum_y + C1 * area**2) / (sum_x**2 + sum_y**2 + C1 * area**2)
    spread = area * square - sum_x**2 - sum_y**2
    c2 = C2 * area * (area - 1)
    structure = (2 * (area * cross - sum_x * sum_y) + c2) / (spread + c2)
    found: npt.NDArray[np.float64] = (luminance * structure).mean(axis=(2, 3))
    return found


def summarise_local_ssim(
    local_ssim: npt.NDArray[np.float32], edge: npt.NDArray[np.float32] | None = None
) -> dict[str, float | None]:
    """Mean, population standard deviation and minimum of the block SSIM.

    Parameters
    ----------
    local_ssim : (R, C) float32 array
        Of the whole blocks.
    edge : (K,) float32 array, optional
        Of the clipped blocks that count, `compare_edge_blocks`.

    Returns
    -------
    dict of str to float or None
        None in each where there is no whole block.

    Raises
    ------
    ValueError
        If the array is not two-dimensional or holds a value that is not finite.

    Notes
    -----
    Sums are exact and rounded once, so the order of blocks does not matter.
    """
    names = ("local_quality_mean", "local_quality_std", "local_quality_min")
    if local_ssim.size == 0:
        return dict.fromkeys(names)
    if local_ssim.ndim != 2 or not np.isfinite(local_ssim).all():
        raise ValueError(
            f"local_ssim: expected a finite (R, C) array, found shape {local_ssim.shape} "
            f"with {np.count_nonzero(~np.isfinite(local_ssim))} values that are not finite"
        )
    blocks = local_ssim.astype(np.float64).ravel()
    if edge is not None:
        blocks = np.concatenate([blocks, edge])
    mean = sum_exactly(blocks) / blocks.size
    deviation = math.sqrt(sum_exactly((blocks - mean) ** 2) / blocks.size)
    return dict(zip(names, (mean, deviation, float(blocks.min())), strict=True))


def sum_exactly(values: npt.NDArray[np.float64]) -> float:
    """Sum as ``math.fsum`` does: exactly, and rounded once."""
    total, is_certain = sum_compensated(values)
    return float(total) if is_certain else math.fsum(values.tolist())


def _compare_measures(
    reference: Mapping[str, float | None], restored: Mapping[str, float | None]
) -> dict[str, float | None]:
    """Percent changes from the reference's measures to the restored image's."""
    pairs = (("sharpness", 0.0), ("contrast", None), ("edge_density", 0.0))
    changes: dict[str, float | None] = {}
    for name, otherwise in pairs:
        column = "edge_diff_pct" if name == "edge_density" else f"{name}_diff_pct"
        before, after = reference[name], restored[name]
        if before is None or after is None:
            changes[column] = None
        else:
            changes[column] = (after / before - 1) * 100 if before else otherwise
    return changes


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _sample_deviation(planes: tuple[npt.NDArray[np.uint8], ...], channels: int) -> float:
    """Take the standard deviation (divisor n - 1) over `channels` planes, one plane repeated."""
    count, total, total_sq = 0, 0, 0
    for plane in spread(planes, channels):
        summed, squared = sum_plane(plane)
        count += plane.size
        total += int(summed)
        total_sq += int(squared)
    scatter = count * total_sq - total**2
    return math.sqrt(scatter / (count * (count - 1))) if scatter else 0.0


@lru_cache(maxsize=1)
def _grey_difference() -> npt.NDArray[np.float64]:
    """(256, 256) float64: CIE76 difference of each pair of grey levels."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    lab = convert_to_lab(ramp, ramp, ramp, linearise_srgb())[:, 0]
    found: npt.NDArray[np.float64] = np.sqrt(((lab[:, :, None] - lab[:, None, :]) ** 2).sum(axis=0))
    return found
