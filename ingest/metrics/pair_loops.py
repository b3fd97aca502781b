"""Loops over a pair of images: fixed order, float64, no fast-math; integer sums are exact."""

import math

import numpy as np

from upscale_audit.ingest.metrics.image_loops import (
    GAUSSIAN,
    SIDE_BY_SIDE,
    jit,
    sum_side_by_side,
)

_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
# HaarPSI's C = 30 where a coefficient is 8 and 16 times as large as the paper's.
_HAAR_C1, _HAAR_C2 = 30 * 8**2, 30 * 16**2
HAAR_ALPHA = 4.2
_HALF = SIDE_BY_SIDE // 2
_G0, _G1, _G2, _G3, _G4, _G5 = GAUSSIAN
_TAPS = 11
_STRIP, _PITCH = 1014, 1048
"""Columns of a strip; values from one line of scratch to the next: no power of two, where lines
would push each other out of the cache."""
_U = tuple(np.uint64(tap) for tap in range(_TAPS))
_PER_LN2 = 1.4426950408889634
# ln 2 in two parts, the first of 32 bits.
_LN2_HIGH, _LN2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10


@jit
def sum_cumulative(reference, restored, deviation):
    """Energy of the difference of two cumulative spectra of FSDS.

    Parameters
    ----------
    reference, restored : (M, L) complex128 arrays
        Real FFTs of mean-free planes, M even; that of the reference over its standard deviation.
    deviation : float
        Standard deviation of the restored plane; where it is infinite its spectrum is left out.

    Returns
    -------
    float
        Sum over the half of non-negative and the reversed half of negative vertical frequencies of
        ``|D_y - D_x|**2``.
    """
    rows, cols = reference.shape
    parts, totals = np.zeros((SIDE_BY_SIDE, cols)), np.empty(SIDE_BY_SIDE)
    terms = np.zeros((SIDE_BY_SIDE, cols))
    energy = 0.0
    for half in range(2):
        column = np.zeros((2, cols))
        for first in range(0, rows // 2, SIDE_BY_SIDE):
            count = min(SIDE_BY_SIDE, rows // 2 - first)
            for begin in range(0, count, _HALF):
                number = min(_HALF, count - begin)
                for place in range(number):
                    step = first + begin + place
                    row = step if half == 0 else rows - 1 - step
                    real, imaginary = parts[place], parts[place + _HALF]
                    x, y = reference[row], restored[row]
                    for col in range(cols):
                        real[col] = y[col].real / deviation - x[col].real
                        imaginary[col] = y[col].imag / deviation - x[col].imag
                _run_side_by_side(parts)
                for place in range(number):
                    real, imaginary = parts[place], parts[place + _HALF]
                    _accumulate(real, imaginary, column, terms[begin + place])
            sum_side_by_side(terms, totals)
            for number in range(count):
                energy += totals[number]
    return energy


@jit
def _run_side_by_side(lines):
    """Replace each of eight lines by its running sums."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for col in range(lines.shape[1]):
        a += lines[0, col]
        b += lines[1, col]
        c += lines[2, col]
        d += lines[3, col]
        e += lines[4, col]
        f += lines[5, col]
        g += lines[6, col]
        h += lines[7, col]
        lines[0, col], lines[1, col], lines[2, col], lines[3, col] = a, b, c, d
        lines[4, col], lines[5, col], lines[6, col], lines[7, col] = e, f, g, h


@jit
def _accumulate(real, imaginary, column, squares):
    """Add a row to the sums of its columns, and square them."""
    for col in range(squares.size):
        column[0, col] += real[col]
        column[1, col] += imaginary[col]
        squares[col] = column[0, col] * column[0, col] + column[1, col] * column[1, col]


@jit
def compare_scale(x, mean_x, square_x, y):
    """Mean SSIM and mean contrast-structure term of one scale.

    Parameters
    ----------
    x, y : (M, N) uint8 or float64 arrays, dn
    mean_x, square_x : (M - 10, N - 10) float64 arrays
        From `filter_moments`.

    Returns
    -------
    ssim, structure : float
        Means over the valid region, summed row by row.

    Notes
    -----
    In strips of columns, so that what the window holds stays near. Scratch is flat and places are
    unsigned: views of rows would cost as much as the sums.
    """
    rows, cols = mean_x.shape
    sums = np.zeros(-(-rows // _HALF) * SIDE_BY_SIDE)
    ring, columns = np.empty(3 * _TAPS * _PITCH), np.empty(3 * _PITCH)
    terms = np.zeros(SIDE_BY_SIDE * _PITCH)
    for left in range(0, cols, _STRIP):
        width = min(_STRIP, cols - left)
        for row in range(rows + _TAPS - 1):
            _multiply_row(x, y, row, left, width + _TAPS - 1, ring)
            at = row - _TAPS + 1
            if at < 0:
                continue
            for number in range(3):
                _filter_rows(ring, number * _TAPS, row + 1, width + _TAPS - 1, columns, number)
            _fill_terms(columns, mean_x, square_x, at, left, width, terms)
            if at % _HALF == _HALF - 1 or at == rows - 1:
                _add_terms(terms, width, sums, at // _HALF)
    ssim, structure = 0.0, 0.0
    for row in range(rows):
        place = row // _HALF * SIDE_BY_SIDE + row % _HALF
        ssim += sums[place]
        structure += sums[place + _HALF]
    return ssim / (rows * cols), structure / (rows * cols)


@jit
def _multiply_row(x, y, row, left, width, ring):
    """Put a row of y, its squares and its products with x where the window's oldest row was."""
    slot, row, left = row % _TAPS, np.uint64(row), np.uint64(left)
    value, square = np.uint64(slot * _PITCH), np.uint64((slot + _TAPS) * _PITCH)
    product = np.uint64((slot + 2 * _TAPS) * _PITCH)
    for col in range(np.uint64(width)):
        level = float(y[row, left + col])
        ring[value + col] = level
        ring[square + col] = level * level
        ring[product + col] = float(x[row, left + col]) * level


@jit
def _filter_rows(ring, base, first, width, columns, number):
    """Weigh eleven rows from `base` on in a ring, the oldest at `first`, as `filter_rows` does."""
    a, b, c = _find(base, first), _find(base, first + 1), _find(base, first + 2)
    d, e, f = _find(base, first + 3), _find(base, first + 4), _find(base, first + 5)
    g, h, i = _find(base, first + 6), _find(base, first + 7), _find(base, first + 8)
    j, k = _find(base, first + 9), _find(base, first + 10)
    out = np.uint64(number * _PITCH)
    for col in range(np.uint64(width)):
        near = (
            _G0 * ring[f + col]
            + _G1 * (ring[e + col] + ring[g + col])
            + _G2 * (ring[d + col] + ring[h + col])
        )
        far = (
            _G3 * (ring[c + col] + ring[i + col])
            + _G4 * (ring[b + col] + ring[j + col])
            + _G5 * (ring[a + col] + ring[k + col])
        )
        columns[out + col] = near + far


@jit
def _find(base, row):
    return np.uint64((base + row % _TAPS) * _PITCH)


@jit
def _filter_place(columns, at):
    """Weigh eleven values of a line, as `filter_line` does."""
    near = _G1 * (columns[at + _U[4]] + columns[at + _U[6]])
    near += _G2 * (columns[at + _U[3]] + columns[at + _U[7]])
    mid = _G3 * (columns[at + _U[2]] + columns[at + _U[8]])
    mid += _G4 * (columns[at + _U[1]] + columns[at + _U[9]])
    far = _G5 * (columns[at] + columns[at + _U[10]])
    return (_G0 * columns[at + _U[5]] + near) + (mid + far)


@jit
def _fill_terms(columns, mean_x, square_x, at, left, width, terms):
    """Compute SSIM and its contrast-structure term along a row."""
    out, at, left = np.uint64(at % _HALF * _PITCH), np.uint64(at), np.uint64(left)
    square, product = np.uint64(_PITCH), np.uint64(2 * _PITCH)
    beyond = np.uint64(_HALF * _PITCH)
    for col in range(np.uint64(width)):
        mean = mean_x[at, left + col]
        mean_y = _filter_place(columns, col)
        square_y = _filter_place(columns, square + col)
        cross = _filter_place(columns, product + col)
        mixed = mean * mean_y
        energy = mean * mean + mean_y * mean_y
        variances = square_x[at, left + col] + square_y - energy
        term = (2.0 * (cross - mixed) + _C2) / (variances + _C2)
        terms[out + beyond + col] = term
        terms[out + col] = term * ((2.0 * mixed + _C1) / (energy + _C1))


@jit
def _add_terms(terms, width, sums, group):
    """Go on summing eight lines from left to right, side by side."""
    at = group * SIDE_BY_SIDE
    a, b, c, d = sums[at], sums[at + 1], sums[at + 2], sums[at + 3]
    e, f, g, h = sums[at + 4], sums[at + 5], sums[at + 6], sums[at + 7]
    for col in range(width):
        a += terms[col]
        b += terms[col + _PITCH]
        c += terms[col + 2 * _PITCH]
        d += terms[col + 3 * _PITCH]
        e += terms[col + 4 * _PITCH]
        f += terms[col + 5 * _PITCH]
        g += terms[col + 6 * _PITCH]
        h += terms[col + 7 * _PITCH]
    sums[at : at + SIDE_BY_SIDE] = (a, b, c, d, e, f, g, h)


@jit
def sum_errors(left, right):
    """Sum absolute and squared differences of two planes, exact.

    Parameters
    ----------
    left, right : (M, N) uint8 arrays

    Returns
    -------
    absolute, squared : int, dn and dn2
    """
    absolute, squared = np.int64(0), np.int64(0)
    for row in range(left.shape[0]):
        line_left, line_right = left[row], right[row]
        for col in range(line_left.size):
            error = np.int32(line_left[col]) - np.int32(line_right[col])
            absolute += abs(error)
            squared += error * error
    return absolute, squared


@jit
def sum_table(left, right, table):
    """Sum a table's value over the pixel pairs of two planes, row by row.

    Parameters
    ----------
    left, right : (M, N) uint8 arrays
    table : (256, 256) float64 array

    Returns
    -------
    float
    """
    total = 0.0
    for row in range(left.shape[0]):
        line_left, line_right = left[row], right[row]
        row_total = 0.0
        for col in range(line_left.size):
            row_total += table[line_left[col], line_right[col]]
        total += row_total
    return total


@jit
def sum_distances(left, right):
    """Sum the Euclidean distances between the pixels of two three-channel images.

    Parameters
    ----------
    left, right : (3, M, N) float64 arrays

    Returns
    -------
    float
        Summed row by row.
    """
    total = 0.0
    for row in range(left.shape[1]):
        row_total = 0.0
        for col in range(left.shape[2]):
            d0 = left[0, row, col] - right[0, row, col]
            d1 = left[1, row, col] - right[1, row, col]
            d2 = left[2, row, col] - right[2, row, col]
            row_total += math.sqrt((d0 * d0 + d1 * d1) + d2 * d2)
        total += row_total
    return total


@jit
def compare_haar(left, right):
    """Weigh the local similarities of HaarPSI after its logistic function.

    Parameters
    ----------
    left, right : (2, 3, R, C) int16 arrays
        From `filter_haar`.

    Returns
    -------
    similar, dissimilar : float
        Sums over both orientations and all places, row by row, of ``w s`` and ``w (1 - s)``:
        s the logistic function of alpha times the mean similarity at the two finer scales, w the
        larger coefficient at the third.
    """
    rows, cols = left.shape[2], left.shape[3]
    terms, totals = np.zeros((SIDE_BY_SIDE, cols)), np.empty(SIDE_BY_SIDE)
    similar, dissimilar = 0.0, 0.0
    for turn in range(2):
        for row in range(rows):
            place = row % _HALF
            share, rest = terms[place], terms[place + _HALF]
            fine = left[turn, 0, row], right[turn, 0, row]
            coarse = left[turn, 1, row], right[turn, 1, row]
            weights = left[turn, 2, row], right[turn, 2, row]
            _compare_haar_row(fine, coarse, weights, share, rest)
            if place == _HALF - 1 or row == rows - 1:
                sum_side_by_side(terms, totals)
                for number in range(place + 1):
                    similar += totals[number]
                    dissimilar += totals[number + _HALF]
    return similar, dissimilar


@jit
def find_exponential(power):
    """Exponential of a number from -5 to 0, to within an ulp: one that vectorises, without a libm.

    Notes
    -----
    ``exp(k ln 2 + r) = 2**k exp(r)``, k whole and ``|r|`` up to half of ln 2, where 13 terms of the
    series hold. ln 2 is taken away in two parts, of which the first times k is exact.
    """
    whole = np.floor(power * _PER_LN2 + 0.5)
    r = (power - whole * _LN2_HIGH) - whole * _LN2_LOW
    square = r * r
    low = square * (1 / 2 + r * (1 / 6))
    middle = (1 / 24 + r * (1 / 120)) + square * (1 / 720 + r * (1 / 5040))
    high = (1 / 40320 + r * (1 / 362880)) + square * (1 / 3628800 + r * (1 / 39916800))
    highest = 1 / 479001600 + r * (1 / 6227020800)
    fourth = square * square
    series = 1.0 + (r + (low + fourth * (middle + fourth * (high + fourth * highest))))
    halvings = np.int32(-whole)
    scale = 0.5 if halvings & 1 else 1.0
    scale *= 0.25 if halvings & 2 else 1.0
    scale *= 0.0625 if halvings & 4 else 1.0
    return series * (scale * (1 / 256 if halvings & 8 else 1.0))


@jit
def _compare_haar_row(fine, coarse, weights, share, rest):
    """Fill in ``w s`` and ``w (1 - s)`` of each place; all but the exponentials in vectors."""
    (fine_x, fine_y), (coarse_x, coarse_y), (weight_x, weight_y) = fine, coarse, weights
    for col in range(share.size):
        x, y = np.int32(fine_x[col]), np.int32(fine_y[col])
        first = np.int32(2 * x * y + _HAAR_C1) / np.int32(x * x + y * y + _HAAR_C1)
        x, y = np.int32(coarse_x[col]), np.int32(coarse_y[col])
        # Up to 2 * 8160**2: below 2**31.
        second = np.int32(2 * x * y + _HAAR_C2) / np.int32(x * x + y * y + _HAAR_C2)
        rest[col] = -0.5 * HAAR_ALPHA * (first + second)
    for col in range(share.size):
        rest[col] = find_exponential(rest[col])
    for col in range(share.size):
        share[col] = max(weight_x[col], weight_y[col]) / (1.0 + rest[col])
        rest[col] *= share[col]


@jit
def sum_compensated(values):
    """Sum in double the precision, and whether that decides how the sum is rounded.

    Parameters
    ----------
    values : (K,) float64 array
        Finite.

    Returns
    -------
    total : float
    is_certain : bool
        Whether `total` is the exact sum, rounded once: what ``math.fsum`` gives.
    """
    total, rest, weight = 0.0, 0.0, 0.0
    for place in range(values.size):
        value = values[place]
        added = total + value
        taken = added - total
        error = (total - (added - taken)) + (value - taken)
        rest += error
        weight += abs(error)
        total = added
    rounded = total + rest
    taken = rounded - total
    low = (total - (rounded - taken)) + (rest - taken)
    # Of each addition to `rest` half an ulp of what it had become; twice that, to be sure.
    bound = 2.0**-52 * values.size * weight
    return rounded, rounded + (low + bound) == rounded and rounded + (low - bound) == rounded
