"""How an LR image is made of a reference: each known rule, and what it is as exact algebra.

A rule is separable and, but for its roundings, linear: L = round(D_r y D_c^T). Taps are whole
numbers over a common denominator, so that what an image would have given is known exactly.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from upscale_audit.ingest.lr_loops import factorise
from upscale_audit.ingest.restorers import LR_RULES

if TYPE_CHECKING:
    import numpy.typing as npt


_COEFFICIENT_ERROR = Fraction(1, 1 << 23)
"""Pillow rounds a tap to 22 bits where it is no dyadic fraction."""


def make_lr(image: npt.NDArray[np.uint8], scale: int, lr_rule: str) -> npt.NDArray[np.uint8]:
    """Make the low-resolution image that restorers start from.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
        A reference; M and N are multiples of `scale`.
    scale : int
        Sides of the reference over sides of the result; 1 returns the reference.
    lr_rule : {"opencv_cubic", "antialiased"}
        ``cv2.resize(INTER_CUBIC)``, which reads 4x4 pixels whatever the scale and therefore
        aliases, as the published generator does; or Pillow's bicubic, whose kernel widens with
        the scale.

    Returns
    -------
    (M / scale, N / scale) or (M / scale, N / scale, 3) uint8 array

    Raises
    ------
    ValueError
        A side is no multiple of `scale`, or the rule is none of `LR_RULES`.

    References
    ----------
    Published generator (ai-image-analyzer-pro 1.7.2), creation of ``_LR_bicubic`` images.
    """
    height, width = image.shape[:2]
    if height % scale or width % scale:
        raise ValueError(f"{width}x{height} px is no multiple of {scale}")
    if scale == 1:
        return image
    size = (width // scale, height // scale)
    if lr_rule == "opencv_cubic":
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    if lr_rule == "antialiased":
        return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    raise ValueError(f"lr_rule = {lr_rule!r}; expected one of {', '.join(LR_RULES)}")


@dataclass(frozen=True)
class Kernel:
    """A rule's taps along one axis, away from the border.

    Attributes
    ----------
    taps : tuple of int
        Weights times `denominator`; LR pixel u reads pixels ``scale * u + first`` and on.
    denominator : int
    first : int
    rounds_twice : bool
        Whether the rule rounds to 8 bits between rows and columns: Pillow, columns first.
    """

    taps: tuple[int, ...]
    denominator: int
    first: int
    rounds_twice: bool

    @property
    def gain(self) -> Fraction:
        """Sum of the absolute taps: what an error of 1 everywhere can become at most."""
        return Fraction(sum(abs(tap) for tap in self.taps), self.denominator)

    def bound(self, rounding: Fraction = Fraction(1, 2)) -> int:
        """Largest residual of a real image that rounds to the restored one, as a whole number.

        Parameters
        ----------
        rounding : Fraction
            Largest distance, in dn, of a restored grey value from what it stands for: a half, or
            1 where colours were reduced to grey too.

        Returns
        -------
        int
            Of ``denominator ** 2`` a dn. A residual beyond it is a contradiction.

        Notes
        -----
        |A y - L| <= rounding * gain^2 + 1/2, and, of a rule that rounds its columns first, another
        gain / 2. Taps that Pillow's 22 bits do not hold add what 255 dn make of their error.
        """
        error = rounding * self.gain**2 + Fraction(1, 2)
        if self.rounds_twice:
            error += self.gain / 2
            if self.denominator & (self.denominator - 1):
                error += 255 * len(self.taps) * _COEFFICIENT_ERROR * (1 + self.gain)
        return math.floor(error * self.denominator**2)


@functools.cache
def find_kernel(lr_rule: str, scale: int) -> Kernel:
    """Taps of a rule.

    Parameters
    ----------
    lr_rule : {"opencv_cubic", "antialiased"}
    scale : {2, 3, 4}

    Returns
    -------
    Kernel

    Notes
    -----
    Both are cubic convolution (Keys 1981), with a = -1/2 stretched by the scale (Pillow), or
    a = -3/4 and not stretched (OpenCV). LR pixel u lies at ``scale * (u + 1/2) - 1/2``.
    """
    stretch, sharpness = (
        (scale, Fraction(-1, 2)) if lr_rule == "antialiased" else (1, Fraction(-3, 4))
    )
    centre = Fraction(scale - 1, 2)
    reach = 2 * stretch
    pixels = range(math.ceil(centre - reach), math.floor(centre + reach) + 1)
    weights = {x: _cubic(abs(x - centre) / stretch, sharpness) for x in pixels}
    weights = {x: weight / stretch for x, weight in weights.items() if weight}
    denominator = math.lcm(*(weight.denominator for weight in weights.values()))
    taps = [int(weights.get(x, 0) * denominator) for x in range(min(weights), max(weights) + 1)]
    return Kernel(tuple(taps), denominator, min(weights), lr_rule == "antialiased")


def _cubic(t: Fraction, a: Fraction) -> Fraction:
    if t < 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    if t < 2:
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return Fraction(0)


@dataclass(frozen=True)
class Axis:
    """A rule along one side of an image: the rows of D, and the factors of D D^T.

    Attributes
    ----------
    size_px : int
        Of the restored image's side; the LR image's is ``len(starts)``.
    starts : (n,) int64 array
        First pixel that each LR pixel reads.
    taps : (n, T) float64 array
        Weights times the kernel's denominator: whole numbers.
    is_inside : (n,) bool array
        Whether all that the LR pixel reads lies in the image.
    factor : (n, B + 1) float64 array
        Rows of the Cholesky factor of D D^T, the diagonal last.
    layout : tuple
        As loops take it: the scale, the kernel's first pixel, the LR pixels from and up to which
        all lie inside, the kernel's taps, `starts` and `taps`.
    """

    size_px: int
    starts: npt.NDArray[np.int64]
    taps: npt.NDArray[np.float64]
    is_inside: npt.NDArray[np.bool_]
    factor: npt.NDArray[np.float64]
    layout: tuple[
        int, int, int, int, npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.float64]
    ]


@functools.lru_cache(maxsize=64)
def find_axis(lr_rule: str, scale: int, size_px: int) -> Axis:
    """Lay a rule along a side of `size_px` pixels, a multiple of `scale`.

    Notes
    -----
    At the border the libraries differ (Pillow leaves out what lies beyond it, OpenCV repeats the
    last pixel), and no LR pixel there is judged. For the projector the image is mirrored instead:
    then a constant is wholly seen at the border too, and not taken for something invented.
    """
    kernel = find_kernel(lr_rule, scale)
    width = min(len(kernel.taps), size_px)
    count = size_px // scale
    first = scale * np.arange(count) + kernel.first
    starts = np.clip(first, 0, size_px - width)
    is_inside = (first >= 0) & (first + len(kernel.taps) <= size_px)
    taps = np.tile(np.array(kernel.taps[:width], np.float64), (count, 1))
    for index in np.flatnonzero(~is_inside):
        taps[index] = _fold_taps(kernel, first[index], starts[index], width, size_px)
    factor = factorise(starts, taps / kernel.denominator, -(-width // scale) - 1)
    inside = np.flatnonzero(is_inside)
    begin, end = (int(inside[0]), int(inside[-1]) + 1) if inside.size else (0, 0)
    whole = np.array(kernel.taps, np.float64)
    layout = (scale, kernel.first, begin, end, whole, starts, taps)
    return Axis(size_px, starts, taps, is_inside, factor, layout)


def _fold_taps(
    kernel: Kernel, first: int, start: int, width: int, size_px: int
) -> npt.NDArray[np.float64]:
    """Taps of an LR pixel at the border, what lies beyond it mirrored inward."""
    pixels = first + np.arange(len(kernel.taps))
    pixels = np.where(pixels < 0, -1 - pixels, pixels)
    pixels = np.where(pixels >= size_px, 2 * size_px - 1 - pixels, pixels)
    folded = np.zeros(width)
    np.add.at(folded, pixels - start, kernel.taps)
    return folded
