"""Loops over a pair of images: fixed order, float64, no fast-math; integer sums are exact."""

import math

import numpy as np

from upscale_audit.ingest.metrics.image_loops import filter_line, filter_rows, jit

_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
# HaarPSI's C = 30 where a coefficient is 8 and 16 times as large as the paper's.
_HAAR_C1, _HAAR_C2 = 30 * 8**2, 30 * 16**2
HAAR_ALPHA = 4.2


@jit
def sum_cumulative(reference, restored, reference_deviation, restored_deviation):
    """Energy of the cumulative spectra of FSDS: of their difference, and of the reference.

    Parameters
    ----------
    reference, restored : (M, L) complex128 arrays
        Real FFTs of mean-free planes, M even.
    reference_deviation, restored_deviation : float
        Standard deviations to divide by.

    Returns
    -------
    difference, energy : float
        Sums over the half of non-negative and the reversed half of negative vertical
        frequencies of ``|D_y - D_x|**2`` and ``|D_x|**2``.
    """
    rows, cols = reference.shape
    difference, energy = 0.0, 0.0
    for half in range(2):
        apart = np.zeros(cols, np.complex128)
        own = np.zeros(cols, np.complex128)
        for step in range(rows // 2):
            row = step if half == 0 else rows - 1 - step
            line_x, line_y = reference[row], restored[row]
            run_apart, run_own = complex(0.0), complex(0.0)
            row_difference, row_energy = 0.0, 0.0
            for col in range(cols):
                x = line_x[col] / reference_deviation
                run_apart += line_y[col] / restored_deviation - x
                run_own += x
                apart[col] += run_apart
                own[col] += run_own
                row_difference += apart[col].real ** 2 + apart[col].imag ** 2
                row_energy += own[col].real ** 2 + own[col].imag ** 2
            difference += row_difference
            energy += row_energy
    return difference, energy


@jit
def compare_scale(x, mean_x, square_x, y, mean_y, square_y):
    """Mean SSIM and mean contrast-structure term of one scale.

    Parameters
    ----------
    x, y : (M, N) uint8 or float64 arrays, dn
    mean_x, square_x, mean_y, square_y : (M - 10, N - 10) float64 arrays
        From `filter_moments`.

    Returns
    -------
    ssim, structure : float
        Means over the valid region, summed row by row.
    """
    rows, cols = mean_x.shape
    products = np.empty((11, cols + 10), np.float64)
    column = np.empty(cols + 10, np.float64)
    cross = np.empty(cols, np.float64)
    ssim, structure = 0.0, 0.0
    for row in range(rows + 10):
        line_x, line_y, product = x[row], y[row], products[row % 11]
        for col in range(cols + 10):
            product[col] = float(line_x[col]) * float(line_y[col])
        if row >= 10:
            filter_rows(products, row + 1, column)
            filter_line(column, cross)
            at = row - 10
            terms = _sum_terms(cross, mean_x[at], square_x[at], mean_y[at], square_y[at], column)
            ssim += terms[0]
            structure += terms[1]
    return ssim / (rows * cols), structure / (rows * cols)


@jit
def _sum_terms(cross, mean_x, square_x, mean_y, square_y, luminance):
    """Sum SSIM and its contrast-structure term over a row; overwrites `cross`."""
    for col in range(cross.size):
        mixed = mean_x[col] * mean_y[col]
        energy = mean_x[col] * mean_x[col] + mean_y[col] * mean_y[col]
        variances = square_x[col] + square_y[col] - energy
        cross[col] = (2.0 * (cross[col] - mixed) + _C2) / (variances + _C2)
        luminance[col] = (2.0 * mixed + _C1) / (energy + _C1)
    ssim, structure = 0.0, 0.0
    for col in range(cross.size):
        structure += cross[col]
        ssim += cross[col] * luminance[col]
    return ssim, structure


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
def sum_high_passed(padded, mask):
    """Energy of an error less its 9x9 mean under a mask, times 81**2, exact.

    Parameters
    ----------
    padded : (M + 8, N + 8) int16 array, dn
        The error with four pixels of frame.
    mask : (M, N) uint8 array of 0 and 1

    Returns
    -------
    int
        Sum over masked pixels of ``(81 e - sum_9x9(e))**2``, dn2.
    """
    rows, cols = mask.shape
    column = np.zeros(cols + 8, np.int32)
    energy = np.int64(0)
    for row in range(8):
        for col in range(cols + 8):
            column[col] += padded[row, col]
    for row in range(rows):
        entering, here, leaving = padded[row + 8], padded[row + 4], padded[row]
        chosen = mask[row]
        for col in range(cols + 8):
            column[col] += entering[col]
        for col in range(cols):
            box = np.int32(0)
            for step in range(9):
                box += column[col + step]
            apart = np.int64(81 * np.int32(here[col + 4]) - box) * np.int64(chosen[col])
            energy += apart * apart
        for col in range(cols + 8):
            column[col] -= leaving[col]
    return energy


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
    similar, dissimilar = 0.0, 0.0
    for turn in range(2):
        for row in range(left.shape[2]):
            fine_x, fine_y = left[turn, 0, row], right[turn, 0, row]
            coarse_x, coarse_y = left[turn, 1, row], right[turn, 1, row]
            weight_x, weight_y = left[turn, 2, row], right[turn, 2, row]
            row_similar, row_dissimilar = 0.0, 0.0
            for col in range(fine_x.size):
                x, y = np.int32(fine_x[col]), np.int32(fine_y[col])
                fine = (2 * x * y + _HAAR_C1) / (x * x + y * y + _HAAR_C1)
                x, y = np.int32(coarse_x[col]), np.int32(coarse_y[col])
                coarse = (2 * x * y + _HAAR_C2) / (x * x + y * y + _HAAR_C2)
                rest = math.exp(-0.5 * HAAR_ALPHA * (fine + coarse))
                share = max(weight_x[col], weight_y[col]) / (1.0 + rest)
                row_similar += share
                row_dissimilar += rest * share
            similar += row_similar
            dissimilar += row_dissimilar
    return similar, dissimilar
