"""Fourier ring correlation of patches: up to which frequency a restored patch agrees with its own.

The method is sFRC's (Kc, Zeng, Soni, Badano, arXiv:2603.04673): images are scanned in patches, and
one whose correlation falls below a threshold before a given frequency is taken for a hallucination.
Here that frequency is the LR image's Nyquist frequency: below it the LR image held what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.metrics.image_loops import jit

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study


THRESHOLDS = (0.5, 0.75)
"""Correlations below which agreement ends: the authors' for CT and for MR images."""


@dataclass(frozen=True)
class Scan:
    """What a study asks of sFRC.

    Attributes
    ----------
    patch_px : tuple of int
        Sides of the patches, even, ascending.
    lr_scale : int
        Sides of the reference over sides of the LR image.
    """

    patch_px: tuple[int, ...]
    lr_scale: int

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides a patch's numbers beside its pixels, as a JSON document has it."""
        return {
            "patch_px": list(self.patch_px),
            "lr_scale": self.lr_scale,
            "thresholds": list(THRESHOLDS),
        }

    @property
    def lr_nyquist(self) -> float:
        """Nyquist frequency of the LR image on the reference's grid, cycles/px."""
        return 0.5 / self.lr_scale


def plan_scan(study: Study) -> Scan | None:
    """Give what a study asks of sFRC.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    Scan or None
        None where the study names no patch size.
    """
    return Scan(study.sfrc, find_lr_scale(study)) if study.sfrc else None


def find_lr_scale(study: Study) -> int:
    """Sides of the study's references over sides of the LR images that restorers were given."""
    return study.restore_parameters.scale


class PatchSpectra:
    """The whole patches of an image: their spectra under a Hann window.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn
    patch_px : int
        Side of a patch, even.

    Attributes
    ----------
    shape : (R, C)
        Whole patches down and across; what is left at the bottom and on the right is in none.
    """

    def __init__(self, grey: npt.NDArray[np.uint8], patch_px: int) -> None:
        self.patch_px = patch_px
        self.shape = rows, cols = grey.shape[0] // patch_px, grey.shape[1] // patch_px
        whole = grey[: rows * patch_px, : cols * patch_px]
        self._patches = whole.reshape(rows, patch_px, cols, patch_px).swapaxes(1, 2)

    def transform(self, row: int) -> npt.NDArray[np.complex128]:
        """Transform one row of patches.

        Returns
        -------
        (C, P, P // 2 + 1) complex128 array
            Real FFT of each patch less its least grey level, under the window; all zeros for a
            flat patch.
        """
        patches = self._patches[row]
        lifted = patches - patches.min(axis=(1, 2), keepdims=True)
        return np.fft.rfft2(lifted * _make_window(self.patch_px))


class ScannedReference:
    """A reference whose patches were transformed once for all of its restored images.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn
    scan : Scan
    """

    def __init__(self, grey: npt.NDArray[np.uint8], scan: Scan) -> None:
        self._scales = []
        for patch_px in scan.patch_px:
            spectra = PatchSpectra(grey, patch_px)
            rows = [spectra.transform(row) for row in range(spectra.shape[0])]
            self._scales.append((patch_px, rows))

    def compare(
        self, restored: npt.NDArray[np.uint8]
    ) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Find where the agreement of each patch ends.

        Parameters
        ----------
        restored : (M, N) uint8 array, dn
            Of the reference's size.

        Yields
        ------
        patch_px : int
        ends : (R, C, 2) float64 array
            For each of `THRESHOLDS`, `find_ends`, cycles/px.
        """
        for patch_px, rows in self._scales:
            spectra = PatchSpectra(restored, patch_px)
            ends = np.empty((*spectra.shape, len(THRESHOLDS)))
            for row, reference in enumerate(rows):
                ends[row] = find_ends(correlate_rings(reference, spectra.transform(row)))
            yield patch_px, ends


def correlate_rings(
    reference: npt.NDArray[np.complex128], restored: npt.NDArray[np.complex128]
) -> npt.NDArray[np.float64]:
    """Fourier ring correlation of patches.

    Parameters
    ----------
    reference, restored : (K, P, P // 2 + 1) complex128 arrays
        Real FFTs, P even.

    Returns
    -------
    (K, P // 2) float64 array
        Correlation, -1..1, of the rings of 0, 1, ... cycles a patch. 0 in a ring where one of the
        two holds nothing. NaN throughout where the reference holds nothing in any.

    Notes
    -----
    ``Re(sum F G*) / sqrt(sum |F|**2 sum |G|**2)``. A place at a whole distance belongs to one ring,
    any other by half to each of the two it lies between, as in the authors' program, which also
    takes the magnitude of the numerator: here an inverted ring is no agreement.
    """
    found: npt.NDArray[np.float64] = _correlate(
        reference, restored, *_place_rings(reference.shape[1])
    )
    return found


def find_ends(correlations: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Frequency at which correlations first fall below each threshold.

    Parameters
    ----------
    correlations : (K, L) float64 array
        Of the rings of 0, 1, ... L - 1 cycles a patch of 2 L px.

    Returns
    -------
    (K, 2) float64 array
        For each of `THRESHOLDS`, cycles/px, 0..0.5: interpolated between rings; 0.5 where the
        correlation nowhere falls below it, 0 where it begins there; NaN where the reference is
        flat.
    """
    found: npt.NDArray[np.float64] = _find_ends(correlations, np.array(THRESHOLDS))
    return found


@lru_cache(maxsize=8)
def _make_window(patch_px: int) -> npt.NDArray[np.float64]:
    """(P, P) float64: the authors' Hann window, 0 on its frame."""
    steps = np.arange(patch_px) / (patch_px - 1)
    line = 0.5 - 0.5 * np.cos(2 * math.pi * steps)
    return line[:, None] * line[None]


@lru_cache(maxsize=8)
def _place_rings(
    patch_px: int,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Rings of each place of a real FFT, and how often it counts in each of its two.

    Rings from half the side on are one, which is not read.
    """
    half = patch_px // 2
    down = np.minimum(np.arange(patch_px), patch_px - np.arange(patch_px))
    squares = down[:, None] ** 2 + np.arange(half + 1)[None] ** 2
    lower = np.array([[math.isqrt(square) for square in line] for line in squares.tolist()])
    upper = lower + (lower * lower < squares)
    # The other half of the plane mirrors all columns but the first and the last.
    times = np.full(half + 1, 1.0)
    times[[0, half]] = 0.5
    return np.minimum(lower, half), np.minimum(upper, half), times


@jit
def _correlate(
    reference: npt.NDArray[np.complex128],
    restored: npt.NDArray[np.complex128],
    lower: npt.NDArray[np.int64],
    upper: npt.NDArray[np.int64],
    times: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    count, rows, cols = reference.shape
    rings = cols - 1
    found = np.empty((count, rings))
    for patch in range(count):
        cross, left, right = np.zeros(cols), np.zeros(cols), np.zeros(cols)
        for row in range(rows):
            for col in range(cols):
                x, y = reference[patch, row, col], restored[patch, row, col]
                weight = times[col]
                product = weight * (x.real * y.real + x.imag * y.imag)
                own = weight * (x.real * x.real + x.imag * x.imag)
                other = weight * (y.real * y.real + y.imag * y.imag)
                for ring in (lower[row, col], upper[row, col]):
                    cross[ring] += product
                    left[ring] += own
                    right[ring] += other
        for ring in range(rings):
            energy = math.sqrt(left[ring]) * math.sqrt(right[ring])
            found[patch, ring] = cross[ring] / energy if energy > 0.0 else 0.0
        if left[0] == 0.0:
            found[patch] = np.nan
    return found


@jit
def _find_ends(
    correlations: npt.NDArray[np.float64], thresholds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    count, rings = correlations.shape
    ends = np.full((count, thresholds.size), 0.5)
    for patch in range(count):
        curve = correlations[patch]
        for number in range(thresholds.size):
            limit = thresholds[number]
            if math.isnan(curve[0]):
                ends[patch, number] = math.nan
                continue
            if curve[0] < limit:
                ends[patch, number] = 0.0
                continue
            for ring in range(1, rings):
                if curve[ring] < limit:
                    before = curve[ring - 1]
                    place = ring - 1 + (before - limit) / (before - curve[ring])
                    ends[patch, number] = place / (2 * rings)
                    break
    return ends
