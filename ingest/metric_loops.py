"""The loops of the per-image metrics: fixed order, float64, no fast-math.

Counts and sums of 8-bit values are exact integers. `ingest.metrics` says what each is for.
"""

import math

import numpy as np
from numba import njit

_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
# exp(-k^2 / 4.5) / sum, k = 0..5 (sigma 1.5), written out so that no libm stands between
# two machines (50-digit arithmetic, rounded once).
_G0 = 0.26601172486179436
_G1 = 0.2130055377112537
_G2 = 0.10936068950970002
_G3 = 0.03600077212843082
_G4 = 0.007598758135239184
_G5 = 0.0010283800844791099
# Partial sums of the db2 high-pass filter (1+r, 3+r, 3-r, 1-r) / (4 sqrt 2), r = sqrt 3,
# signs as in a decomposition: they weigh differences, so a flat line gives exactly 0.
_DB2_FIRST = -0.48296291314453416
_DB2_SECOND = 0.3535533905932738
_DB2_THIRD = 0.12940952255126037
# sRGB to CIE XYZ and its D65 white, the numbers of kornia and scikit-image.
_WHITE = (0.95047, 1.0, 1.08883)

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def count_levels(grey):
    """Count the pixels of each grey level.

    Parameters
    ----------
    grey : (M, N) uint8 array

    Returns
    -------
    (256,) int64 array
    """
    counts = np.zeros((4, 256), np.int64)
    for row in range(grey.shape[0]):
        line = grey[row]
        for col in range(line.size):
            counts[col & 3, line[col]] += 1
    return counts[0] + counts[1] + counts[2] + counts[3]


@_jit
def sum_plane(plane):
    """Sum and sum of squares of an 8-bit plane, exact.

    Parameters
    ----------
    plane : (M, N) uint8 array

    Returns
    -------
    total, total_sq : int, dn and dn2
    """
    total, total_sq = np.int64(0), np.int64(0)
    for row in range(plane.shape[0]):
        line = plane[row]
        for col in range(line.size):
            value = np.int32(line[col])
            total += value
            total_sq += value * value
    return total, total_sq


@_jit
def sum_masked(plane, mask):
    """Count, sum and sum of squares of the pixels under a mask, exact.

    Parameters
    ----------
    plane : (M, N) uint8 array
    mask : (M, N) uint8 array
        A pixel counts where it is not 0.

    Returns
    -------
    count, total, total_sq : int
        Pixels, dn and dn2.
    """
    count, total, total_sq = np.int64(0), np.int64(0), np.int64(0)
    for row in range(plane.shape[0]):
        line, chosen = plane[row], mask[row]
        for col in range(line.size):
            value = np.int32(line[col]) if chosen[col] else np.int32(0)
            count += 1 if chosen[col] else 0
            total += value
            total_sq += value * value
    return count, total, total_sq


@_jit
def sum_laplacian(padded):
    """Sum the 8-neighbour Laplacian over an image, exact.

    Parameters
    ----------
    padded : (M + 2, N + 2) uint8 array
        The image with its frame.

    Returns
    -------
    total, total_sq, magnitude : int
        Sums of L, L**2 and ``|L|`` over M x N pixels, L = 3x3 sum - 9 y (dn, dn2, dn).
    """
    rows, cols = padded.shape[0] - 2, padded.shape[1] - 2
    column = np.empty(cols + 2, np.int32)
    total, total_sq, magnitude = np.int64(0), np.int64(0), np.int64(0)
    for row in range(rows):
        upper, here, lower = padded[row], padded[row + 1], padded[row + 2]
        for col in range(cols + 2):
            column[col] = np.int32(upper[col]) + np.int32(here[col]) + np.int32(lower[col])
        for col in range(cols):
            box = column[col] + column[col + 1] + column[col + 2]
            value = np.int32(box - 9 * np.int32(here[col + 1]))
            total += value
            total_sq += np.int64(value * value)
            magnitude += abs(value)
    return total, total_sq, magnitude


@_jit
def sum_noise_mask(grey):
    """Sum of Immerkaer's mask response over the valid region, exact.

    Parameters
    ----------
    grey : (M, N) uint8 array
        Both sides at least 3 px.

    Returns
    -------
    int
        Sum of ``|I * K|``, dn, K = [1 -2 1; -2 4 -2; 1 -2 1].
    """
    rows, cols = grey.shape
    curve = np.empty(cols, np.int32)
    total = np.int64(0)
    for row in range(rows - 2):
        upper, here, lower = grey[row], grey[row + 1], grey[row + 2]
        for col in range(cols):
            curve[col] = np.int32(upper[col]) - 2 * np.int32(here[col]) + np.int32(lower[col])
        for col in range(cols - 2):
            total += abs(curve[col] - 2 * curve[col + 1] + curve[col + 2])
    return total


@_jit
def count_gradients(padded, threshold):
    """Count the pixels with a strong Sobel gradient, exact.

    Parameters
    ----------
    padded : (M + 2, N + 2) uint8 array
        The image with its frame.
    threshold : float, dn2
        On ``gx**2 + gy**2`` of the unnormalised kernels, exclusive.

    Returns
    -------
    int
    """
    square = np.empty(padded.shape[1] - 2, np.int32)
    work = np.empty((2, padded.shape[1]), np.int32)
    count = np.int64(0)
    for row in range(padded.shape[0] - 2):
        _square_gradient(padded[row], padded[row + 1], padded[row + 2], work, square)
        for col in range(square.size):
            count += 1 if square[col] > threshold else 0
    return count


@_jit
def sum_gradients(padded, floor):
    """Sum the Sobel magnitudes of an image.

    Parameters
    ----------
    padded : (M + 2, N + 2) int16 array
        The image with its frame; values within 0..4095.
    floor : float
        Added to ``gx**2 + gy**2`` of the unnormalised kernels before the root.

    Returns
    -------
    float
        Summed in raster order.
    """
    square = np.empty(padded.shape[1] - 2, np.int32)
    work = np.empty((2, padded.shape[1]), np.int32)
    total = 0.0
    for row in range(padded.shape[0] - 2):
        _square_gradient(padded[row], padded[row + 1], padded[row + 2], work, square)
        for col in range(square.size):
            total += math.sqrt(square[col] + floor)
    return total


@_jit
def _square_gradient(upper, here, lower, work, square):
    """Square the unnormalised Sobel gradient along one row; `work` is scratch."""
    smooth, slope = work[0], work[1]
    for col in range(smooth.size):
        above, below = np.int32(upper[col]), np.int32(lower[col])
        smooth[col] = above + 2 * np.int32(here[col]) + below
        slope[col] = below - above
    for col in range(square.size):
        across = smooth[col + 2] - smooth[col]
        down = slope[col] + 2 * slope[col + 1] + slope[col + 2]
        square[col] = across * across + down * down


@_jit
def sum_steps_by_line(grey):
    """Sum the steps between neighbouring pixels, for each line between rows or columns.

    Parameters
    ----------
    grey : (M, N) uint8 array

    Returns
    -------
    down, down_sq : (M - 1,) int64 arrays, dn and dn2
        Absolute and squared steps from row r to r + 1, summed over columns.
    across, across_sq : (N - 1,) int64 arrays, dn and dn2
        The same from column c to c + 1, summed over rows.
    """
    rows, cols = grey.shape
    down, down_sq = np.zeros(rows - 1, np.int64), np.zeros(rows - 1, np.int64)
    across, across_sq = np.zeros(cols - 1, np.int64), np.zeros(cols - 1, np.int64)
    for row in range(rows):
        line = grey[row]
        for col in range(cols - 1):
            step = np.int32(line[col + 1]) - np.int32(line[col])
            across[col] += abs(step)
            across_sq[col] += step * step
        if row + 1 < rows:
            below = grey[row + 1]
            total, total_sq = np.int64(0), np.int64(0)
            for col in range(cols):
                step = np.int32(below[col]) - np.int32(line[col])
                total += abs(step)
                total_sq += step * step
            down[row], down_sq[row] = total, total_sq
    return down, down_sq, across, across_sq


@_jit
def filter_diagonal(padded):
    """Magnitude of the finest diagonal db2 wavelet band.

    Parameters
    ----------
    padded : (M + 4, N + 4) uint8 array
        The image with two mirrored pixels around it, three after an odd side.

    Returns
    -------
    (K, L) float64 array, dn
        ``|HH1|``, K = ``(M + 3) // 2``.
    """
    rows, cols = padded.shape[0] // 2 - 1, padded.shape[1] // 2 - 1
    band = np.empty((rows, cols), np.float64)
    line = np.empty(padded.shape[1], np.float64)
    for row in range(rows):
        p0, p1 = padded[2 * row], padded[2 * row + 1]
        p2, p3 = padded[2 * row + 2], padded[2 * row + 3]
        for col in range(line.size):
            d0 = np.int32(p3[col]) - np.int32(p2[col])
            d1 = np.int32(p2[col]) - np.int32(p1[col])
            d2 = np.int32(p1[col]) - np.int32(p0[col])
            line[col] = (_DB2_FIRST * d0 + _DB2_SECOND * d1) + _DB2_THIRD * d2
        for col in range(cols):
            e0 = line[2 * col + 3] - line[2 * col + 2]
            e1 = line[2 * col + 2] - line[2 * col + 1]
            e2 = line[2 * col + 1] - line[2 * col]
            band[row, col] = abs((_DB2_FIRST * e0 + _DB2_SECOND * e1) + _DB2_THIRD * e2)
    return band


@_jit
def sum_amplitudes(spectrum, cols, radius):
    """Sum Fourier amplitudes inside and outside a disc, frequency 0 left out.

    Parameters
    ----------
    spectrum : (M, cols // 2 + 1) complex128 array
        Real FFT; a coefficient that stands for a conjugate pair counts twice.
    cols : int
        Columns of the image.
    radius : int
        Frequencies up to and including this distance from 0 are inside.

    Returns
    -------
    low, high : float
        Summed row by row, in order.
    """
    rows, half = spectrum.shape
    low, high = 0.0, 0.0
    for row in range(rows):
        vertical = min(row, rows - row)
        row_low, row_high = 0.0, 0.0
        for col in range(half):
            value = spectrum[row, col]
            amplitude = math.sqrt(value.real * value.real + value.imag * value.imag)
            if col > 0 and 2 * col != cols:
                amplitude *= 2.0
            if vertical * vertical + col * col > radius * radius:
                row_high += amplitude
            elif row + col > 0:
                row_low += amplitude
        low += row_low
        high += row_high
    return low, high


@_jit
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


@_jit
def halve_image(image):
    """Average 2x2 pixels, with zeros before an odd side.

    Parameters
    ----------
    image : (M, N) uint8 or float64 array

    Returns
    -------
    (ceil(M / 2), ceil(N / 2)) float64 array
        Exact: means of 8-bit values have few binary digits.
    """
    rows, cols = image.shape
    half = np.empty(((rows + 1) // 2, (cols + 1) // 2), np.float64)
    odd = cols % 2
    for row in range(half.shape[0]):
        lower = image[2 * row + 1 - rows % 2]
        upper = image[max(2 * row - rows % 2, 0)]
        weight = 0.0 if row == 0 and rows % 2 else 1.0
        out = half[row]
        if odd:
            out[0] = (weight * upper[0] + lower[0]) * 0.25
        for col in range(odd, out.size):
            left, right = 2 * col - odd, 2 * col + 1 - odd
            above = weight * (float(upper[left]) + float(upper[right]))
            out[col] = (above + (float(lower[left]) + float(lower[right]))) * 0.25
    return half


@_jit
def filter_moments(image):
    """Gaussian-weighted mean and mean square over the valid region.

    Parameters
    ----------
    image : (M, N) uint8 or float64 array, dn
        Both sides at least 11 px.

    Returns
    -------
    mean, mean_square : (M - 10, N - 10) float64 arrays, dn and dn2
    """
    rows, cols = image.shape[0] - 10, image.shape[1] - 10
    mean = np.empty((rows, cols), np.float64)
    mean_square = np.empty((rows, cols), np.float64)
    values = np.empty((11, cols + 10), np.float64)
    squares = np.empty((11, cols + 10), np.float64)
    column = np.empty(cols + 10, np.float64)
    for row in range(rows + 10):
        line, value, square = image[row], values[row % 11], squares[row % 11]
        for col in range(cols + 10):
            value[col] = line[col]
            square[col] = value[col] * value[col]
        if row >= 10:
            _filter_rows(values, row + 1, column)
            _filter_line(column, mean[row - 10])
            _filter_rows(squares, row + 1, column)
            _filter_line(column, mean_square[row - 10])
    return mean, mean_square


@_jit
def _filter_rows(ring, first, column):
    """Weigh eleven rows held in a ring, the oldest at `first`."""
    a, b, c = ring[first % 11], ring[(first + 1) % 11], ring[(first + 2) % 11]
    d, e, f = ring[(first + 3) % 11], ring[(first + 4) % 11], ring[(first + 5) % 11]
    g, h, i = ring[(first + 6) % 11], ring[(first + 7) % 11], ring[(first + 8) % 11]
    j, k = ring[(first + 9) % 11], ring[(first + 10) % 11]
    for col in range(column.size):
        near = _G0 * f[col] + _G1 * (e[col] + g[col]) + _G2 * (d[col] + h[col])
        far = _G3 * (c[col] + i[col]) + _G4 * (b[col] + j[col]) + _G5 * (a[col] + k[col])
        column[col] = near + far


@_jit
def _filter_line(line, out):
    for col in range(out.size):
        near = _G1 * (line[col + 4] + line[col + 6]) + _G2 * (line[col + 3] + line[col + 7])
        mid = _G3 * (line[col + 2] + line[col + 8]) + _G4 * (line[col + 1] + line[col + 9])
        far = _G5 * (line[col] + line[col + 10])
        out[col] = (_G0 * line[col + 5] + near) + (mid + far)


@_jit
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
            _filter_rows(products, row + 1, column)
            _filter_line(column, cross)
            at = row - 10
            terms = _sum_terms(cross, mean_x[at], square_x[at], mean_y[at], square_y[at], column)
            ssim += terms[0]
            structure += terms[1]
    return ssim / (rows * cols), structure / (rows * cols)


@_jit
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


@_jit
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


@_jit
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


@_jit
def convert_to_lab(red, green, blue, linear):
    """Convert 8-bit sRGB to CIE L*a*b* under D65.

    Parameters
    ----------
    red, green, blue : (M, N) uint8 arrays
    linear : (256,) float64 array
        Linear light of each level, 0..1.

    Returns
    -------
    (3, M, N) float64 array
        L* (0..100), a*, b*.

    Notes
    -----
    The matrix, white point (0.95047, 1, 1.08883) and the threshold 0.008856 of kornia and
    scikit-image.
    """
    rows, cols = red.shape
    lab = np.empty((3, rows, cols), np.float64)
    for row in range(rows):
        for col in range(cols):
            r, g, b = linear[red[row, col]], linear[green[row, col]], linear[blue[row, col]]
            x = _compress((0.412453 * r + 0.357580 * g + 0.180423 * b) / _WHITE[0])
            y = _compress((0.212671 * r + 0.715160 * g + 0.072169 * b) / _WHITE[1])
            z = _compress((0.019334 * r + 0.119193 * g + 0.950227 * b) / _WHITE[2])
            lab[0, row, col] = 116.0 * y - 16.0
            lab[1, row, col] = 500.0 * (x - y)
            lab[2, row, col] = 200.0 * (y - z)
    return lab


@_jit
def _compress(share):
    return np.cbrt(share) if share > 0.008856 else 7.787 * share + 16.0 / 116.0


@_jit
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


@_jit
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
