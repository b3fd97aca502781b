"""Power of images by spatial frequency, and its share above the LR image's Nyquist limit [OWN].

Frequency here is ``max(|fy|, |fx|)`` in cycles per restored pixel: its rings are squares, as is
the band that an LR grid of pitch s can carry, ``max(|fy|, |fx|) <= 1 / (2 s)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


RING_COUNT = 64
"""Rings of equal width from 0 to 1/2 cycle per pixel."""

# Variance in grey levels squared: float32 leaves that much of a linear restorer's non-linear part.
_LEAST_POWER = 1e-6


def transform(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """Fourier transform of an image's deviations from its mean, under a Hann window.

    Parameters
    ----------
    grey : (M, N) float64 array
        0..1.

    Returns
    -------
    (M, N) complex128 array
        Scaled so that the sum of ``|F|**2`` is the windowed variance in grey levels squared.

    Notes
    -----
    Without a window the jump from one frame side to the other fills the high frequencies. The
    window spreads a line over its two neighbours.
    """
    window = np.outer(_make_hann(grey.shape[0]), _make_hann(grey.shape[1]))
    deviations = grey - (window * grey).sum() / window.sum()
    found: npt.NDArray[np.complex128] = np.fft.fft2(255 * window * deviations) / np.sqrt(
        (window**2).sum() * grey.size
    )
    return found


def _make_hann(count: int) -> npt.NDArray[np.float64]:
    return np.sin(np.pi * (np.arange(count) + 0.5) / count) ** 2


def list_frequencies(shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Frequency of each coefficient, (M, N) float64, cycles per pixel, 0..1/2."""
    rows, cols = (np.abs(np.fft.fftfreq(count)) for count in shape)
    found: npt.NDArray[np.float64] = np.maximum(rows[:, None], cols[None, :])
    return found


def measure_rings(spectrum: npt.NDArray[np.complex128]) -> npt.NDArray[np.float64]:
    """Mean power density by ring of frequency.

    Parameters
    ----------
    spectrum : (M, N) complex128 array
        As `transform` gives it.

    Returns
    -------
    (RING_COUNT,) float64 array
        Unit dn2 px2 (variance per squared cycle per pixel); NaN in a ring without a coefficient.
        Ring k reaches from k to k + 1 in units of 1 / (2 RING_COUNT) cycles per pixel.
    """
    rings = np.floor(2 * RING_COUNT * list_frequencies(spectrum.shape)).astype(int)
    rings = np.minimum(rings, RING_COUNT - 1).ravel()
    power = (np.abs(spectrum) ** 2).ravel() * spectrum.size
    counts = np.bincount(rings, minlength=RING_COUNT)
    sums = np.bincount(rings, power, minlength=RING_COUNT)
    found: npt.NDArray[np.float64] = np.divide(
        sums, counts, out=np.full(RING_COUNT, np.nan), where=counts > 0
    )
    return found


def compare_bands(
    reference: npt.NDArray[np.complex128],
    restored: npt.NDArray[np.complex128],
    linear: npt.NDArray[np.complex128],
    nonlinear: npt.NDArray[np.complex128],
    scale: int,
) -> dict[str, float | None]:
    """Measure what lies above LR Nyquist, and whether it is the reference's.

    Parameters
    ----------
    reference, restored, linear, nonlinear : (M, N) complex128 arrays
        Spectra as `transform` gives them.
    scale : int
        Restored pixels per LR pixel.

    Returns
    -------
    dict of str to float or None
        ``reference_hf_ratio``, ``restored_hf_ratio``, ``linear_hf_ratio`` and
        ``hyra_nonlin_hf``: share of the power of the reference, of N, H and G above LR Nyquist,
        0..1. ``restored_hf_gain``, ``linear_hf_gain``, ``nonlin_hf_gain``: power of
        N, H and G there over the reference's. ``hf_correlation``: correlation of N and the
        reference there, -1..1: what was added at the right place and sign. None where the
        denominator is 0; a share is None too where the image varies by less than a thousandth of
        a grey level, which is rounding.

    Notes
    -----
    The mean is left out everywhere. N = H + G, but their powers add up only where H and G are
    uncorrelated.
    """
    above = list_frequencies(reference.shape) > 1 / (2 * scale)
    spectra = {"reference": reference, "restored": restored, "linear": linear, "nonlin": nonlinear}
    whole = {name: _sum_power(spectrum) for name, spectrum in spectra.items()}
    high = {name: _sum_power(spectrum[above]) for name, spectrum in spectra.items()}
    shares = {
        name: _divide(high[name], whole[name] if whole[name] > _LEAST_POWER else 0.0)
        for name in spectra
    }
    powers = {name: _divide(high[name], high["reference"]) for name in spectra}
    cross = float((restored[above] * reference[above].conj()).real.sum())
    return {
        "reference_hf_ratio": shares["reference"],
        "restored_hf_ratio": shares["restored"],
        "linear_hf_ratio": shares["linear"],
        "hyra_nonlin_hf": shares["nonlin"],
        "restored_hf_gain": powers["restored"],
        "linear_hf_gain": powers["linear"],
        "nonlin_hf_gain": powers["nonlin"],
        "hf_correlation": _divide(cross, float(np.sqrt(high["restored"] * high["reference"]))),
    }


def _sum_power(spectrum: npt.NDArray[np.complex128]) -> float:
    return float((np.abs(spectrum) ** 2).sum())


def _divide(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
