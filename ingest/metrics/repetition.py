"""Repetition: a pattern of one period that a restored image has and its reference has not.

The change of an image, restored less reference, is looked at line by line, along rows and along
columns, for two patterns: grey values that repeat (a checkerboard, a sine, a tile) and sizes of
steps that repeat (the borders of blocks, whose sign is the content's). Each is a line in the mean
power spectrum of short pieces of lines; what is measured is how far the line stands out.

Named in the docstrings: "dn" is a grey level (0..255).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.metrics.image_loops import (
    sum_shares,
    take_medians,
    weigh_pieces,
)

if TYPE_CHECKING:
    import numpy.typing as npt


LEAST_PX = 128
"""Shortest side that is tested."""
LONGEST_PERIOD_PX = 16
"""Longest period that is looked for; slower change cannot be told from content."""
SHORTEST_STEP_PERIOD_PX = 3
"""Shortest period of steps: at 2 px every image that was enlarged by 2 has one."""
NOISE_DN2 = 1.0
"""Variance of the white noise that is added to a change: what is far weaker cannot be seen."""
ROUNDING_DN2 = 1 / 12
"""Variance that is added to an image: that of rounding to 8 bits."""
LIMIT = 1.4
"""Strength from which on a pattern is called repetition."""

_PIECE_PX = 512
_PIECE_COUNT = 256
_NEIGHBOURS_RATIO = 32
_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, eq=False)
class LineSpectra:
    """Pieces of an image's lines in one direction, and what their spectra say.

    Attributes
    ----------
    pieces : (K, S) uint8 array, dn
        S a power of two, 128..512.
    spectrum : (K, S // 2 + 1) complex128 array
        Of the pieces, `transform_pieces`.
    levels : (2, S // 2 + 1) float64 array
        `find_levels` of grey values, then of the sizes of steps.
    """

    pieces: npt.NDArray[np.uint8]
    spectrum: npt.NDArray[np.complex128]
    levels: npt.NDArray[np.float64]


def profile_lines(grey: npt.NDArray[np.uint8]) -> tuple[LineSpectra, LineSpectra] | None:
    """Take the spectra of an image along rows, then along columns.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn

    Returns
    -------
    tuple of two LineSpectra, or None
        None if a side is shorter than 128 px.
    """
    if min(grey.shape) < LEAST_PX:
        return None
    along, across = _profile_direction(grey), _profile_direction(grey.T)
    return along, across


def _profile_direction(grey: npt.NDArray[np.uint8]) -> LineSpectra:
    pieces = cut_pieces(grey)
    spectrum = transform_pieces(pieces)
    steps = transform_pieces(measure_steps(pieces))
    levels = [find_levels(found, ROUNDING_DN2) for found in (spectrum, steps)]
    return LineSpectra(pieces, spectrum, np.stack(levels))


def cut_pieces(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Cut pieces of one length from the rows of an image, some 256 in all.

    Parameters
    ----------
    grey : (M, N) uint8 array, dn
        N at least 128.

    Returns
    -------
    (K, S) uint8 array, dn
        S is the largest power of two that fits, at most 512.

    Notes
    -----
    As many places as it takes to cover a row, from its first to its last pixel; as many rows as
    give 256 pieces, or all. Rows stand M / R apart, each moved down by the fractional part of its
    number's square times the golden ratio, so that a short period of rows is met at every phase.
    """
    rows, cols = grey.shape
    length = min(_PIECE_PX, 1 << (cols.bit_length() - 1))
    places = -(-cols // length)
    count = min(rows, -(-_PIECE_COUNT // places))
    chosen = [int((row + row * row * _GOLDEN % 1) * rows / count) for row in range(count)]
    starts = [(cols - length) * place // max(places - 1, 1) for place in range(places)]
    lines = np.ascontiguousarray(grey[chosen])
    return np.concatenate([lines[:, start : start + length] for start in starts])


def measure_steps(pieces: npt.NDArray[np.integer]) -> npt.NDArray[np.int16]:
    """Take the size of the step from each pixel to the next; the last one stands twice.

    Parameters
    ----------
    pieces : (K, S) integer array, dn

    Returns
    -------
    (K, S) int16 array, dn
    """
    steps = np.empty(pieces.shape, np.int16)
    np.abs(np.diff(pieces.astype(np.int16), axis=1), out=steps[:, :-1])
    steps[:, -1] = steps[:, -2]
    return steps


def transform_pieces(pieces: npt.NDArray[np.integer]) -> npt.NDArray[np.complex128]:
    """Real FFT of each piece less its mean, under Hann's window.

    Parameters
    ----------
    pieces : (K, S) integer array, dn

    Returns
    -------
    (K, S // 2 + 1) complex128 array
    """
    return np.fft.rfft(weigh_pieces(pieces, _draw_window(pieces.shape[1])), axis=1)


@lru_cache(maxsize=8)
def _draw_window(length: int) -> npt.NDArray[np.float64]:
    return np.array([math.sin(math.pi * (place + 0.5) / length) ** 2 for place in range(length)])


def find_levels(spectrum: npt.NDArray[np.complex128], noise_dn2: float) -> npt.NDArray[np.float64]:
    """Mean power at each frequency over the median of those around it.

    Parameters
    ----------
    spectrum : (K, S // 2 + 1) complex128 array
        From `transform_pieces`.
    noise_dn2 : float
        Variance of white noise whose power is added, above 0.

    Returns
    -------
    (S // 2 + 1,) float64 array
        Above 0; 1 = as much as around it.

    Notes
    -----
    Each piece, with that noise, is divided by its mean power at periods of 16 px and shorter, so
    that all count alike, and a piece that is the same everywhere says that nothing repeats. Around:
    S / 32 frequencies on either side, the spectrum mirrored at its ends.
    """
    length = 2 * (spectrum.shape[1] - 1)
    # Hann's window has a mean square of 3/8.
    noise = noise_dn2 * length * 0.375
    power = sum_shares(spectrum, length // LONGEST_PERIOD_PX, noise)
    found: npt.NDArray[np.float64] = power / take_medians(power, length // _NEIGHBOURS_RATIO)
    return found


def measure_repetition(
    reference: tuple[LineSpectra, LineSpectra] | None,
    restored: tuple[LineSpectra, LineSpectra] | None,
) -> tuple[float | None, float | None]:
    """Strength (>= 1) and period (px) of the pattern that repeats most.

    Parameters
    ----------
    reference, restored : tuple of two LineSpectra, or None
        Of images of one size, `profile_lines`.

    Returns
    -------
    strength : float or None
        1 = nothing repeats. None where there are no spectra.
    period_px : float or None
        None where the strength is below 1.4: then it would be that of chance.

    Notes
    -----
    Of the change, restored less reference, `find_levels` at each frequency; no more than the level
    of the restored image over that of the reference there, so that a pattern of the reference
    counts neither where it was kept nor where it was lost; where it was sharpened, by what it
    gained on all around it. The largest over both directions, grey values (periods of 2 to 16 px)
    and sizes of steps (3 to 16 px).
    The period is that of the strongest line, by a parabola through its logarithm and its
    neighbours', times the largest whole number for which a line of that period is of strength 1.4
    itself: a pattern's lines are those of its whole fractions.

    References
    ----------
    Spectra of absolute steps against a median: Wang Z., Bovik A. C., Evans B. L., Blind measurement
    of blocking artifacts in images, ICIP 2000, doi:10.1109/ICIP.2000.899622. Mean spectra of
    pieces: Welch P. D., IEEE Trans. Audio Electroacoust. 15 (1967) 70-73,
    doi:10.1109/TAU.1967.1161901. The test itself is this project's own.
    """
    if reference is None or restored is None:
        return None, None
    strength, period = 1.0, None
    for before, after in zip(reference, restored, strict=True):
        change = np.subtract(after.pieces, before.pieces, dtype=np.int16)
        steps = transform_pieces(measure_steps(change))
        for number, (spectrum, shortest) in enumerate(
            ((after.spectrum - before.spectrum, 2), (steps, SHORTEST_STEP_PERIOD_PX))
        ):
            levels = find_levels(spectrum, NOISE_DN2)
            charged = np.minimum(levels, after.levels[number] / before.levels[number])
            length = change.shape[1]
            charged[: length // LONGEST_PERIOD_PX] = 0.0
            charged[length // shortest + 1 :] = 0.0
            place = int(charged.argmax())
            if charged[place] > strength:
                strength = float(charged[place])
                period = find_period(levels, charged, place) if strength >= LIMIT else None
    return strength, period


def find_period(
    levels: npt.NDArray[np.float64], charged: npt.NDArray[np.float64], place: int
) -> float:
    """Period of the pattern whose strongest line is at a place, px.

    Parameters
    ----------
    levels, charged : (S // 2 + 1,) float64 arrays
        Levels of the change; what of them is charged to the restored image.
    place : int
        At least S // 16.

    Returns
    -------
    float
        2..16.
    """
    length = 2 * (levels.size - 1)
    frequency = place + _find_shift(levels, place)
    for fraction in range(int(LONGEST_PERIOD_PX * frequency / length), 1, -1):
        below = int(frequency / fraction)
        if max(charged[below], charged[below + 1]) >= LIMIT:
            return min(fraction * length / frequency, float(LONGEST_PERIOD_PX))
    return min(length / frequency, float(LONGEST_PERIOD_PX))


def _find_shift(levels: npt.NDArray[np.float64], place: int) -> float:
    """Where between its neighbours the top of a line lies, -0.5..0.5; 0 at the last place."""
    if place == levels.size - 1:
        return 0.0
    left, top, right = (math.log(levels[place + step]) for step in (-1, 0, 1))
    bend = left - 2 * top + right
    return min(max(0.5 * (left - right) / bend, -0.5), 0.5) if bend < 0 else 0.0
