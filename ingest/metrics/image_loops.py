"""Loops over one image: fixed order, float64, no fast-math; sums of 8-bit values are exact."""

import math

import numpy as np
from numba import njit

# exp(-k^2 / 4.5) / sum, k = 0..5 (sigma 1.5), written out so that no libm stands between
# two machines (50-digit arithmetic, rounded once).
_G0 = 0.26601172486179436
_G1 = 0.2130055377112537
_G2 = 0.10936068950970002
_G3 = 0.03600077212843082
_G4 = 0.007598758135239184
_G5 = 0.0010283800844791099
GAUSSIAN = (_G0, _G1, _G2, _G3, _G4, _G5)
# Partial sums of the db2 high-pass filter (1+r, 3+r, 3-r, 1-r) / (4 sqrt 2), r = sqrt 3,
# signs as in a decomposition: they weigh differences, so a flat line gives exactly 0.
_DB2_FIRST = -0.48296291314453416
_DB2_SECOND = 0.3535533905932738
_DB2_THIRD = 0.12940952255126037
# sRGB to CIE XYZ and its D65 white, the numbers of kornia and scikit-image.
_WHITE = (0.95047, 1.0, 1.08883)
jit = njit(cache=True, nogil=True, error_model="numpy")
_FLUSH, _LANES = 512, 32
"""Sums of so many squares up to 2040**2 fit in 32 bits; sums that are taken at once."""
SIDE_BY_SIDE = 8
"""Lines that `sum_side_by_side` sums."""


@jit
def sum_side_by_side(lines, totals):
    """Sum each of eight lines from left to right.

    A sum in a stated order waits for every addition before the next; eight of them wait together.

    Parameters
    ----------
    lines : (8, N) float64 array
    totals : (8,) float64 array
        Filled.
    """
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
    totals[:] = (a, b, c, d, e, f, g, h)


@jit
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


@jit
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


@jit
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


@jit
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
    column = np.empty(cols + 2, np.int16)
    sums, totals = np.zeros((3, cols), np.int32), np.zeros(3, np.int64)
    for row in range(rows):
        upper, here, lower = padded[row], padded[row + 1], padded[row + 2]
        for col in range(cols + 2):
            column[col] = np.int16(upper[col]) + np.int16(here[col]) + np.int16(lower[col])
        for col in range(cols):
            box = column[col] + column[col + 1] + column[col + 2]
            value = np.int32(box - 9 * np.int32(here[col + 1]))
            sums[0, col] += value
            sums[1, col] += value * value
            sums[2, col] += abs(value)
        if row % _FLUSH == _FLUSH - 1 or row == rows - 1:
            _flush(sums, totals)
    return totals[0], totals[1], totals[2]


@jit
def _flush(sums, totals):
    """Add each line of 32-bit sums to its total, and begin anew."""
    for number in range(totals.size):
        line, total = sums[number], np.int64(0)
        for col in range(line.size):
            total += line[col]
        totals[number] += total
    sums[:] = 0


@jit
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
    curve = np.empty(cols, np.int16)
    sums, totals = np.zeros((1, cols - 2), np.int32), np.zeros(1, np.int64)
    magnitude = sums[0]
    for row in range(rows - 2):
        upper, here, lower = grey[row], grey[row + 1], grey[row + 2]
        for col in range(cols):
            curve[col] = np.int16(upper[col]) - 2 * np.int16(here[col]) + np.int16(lower[col])
        for col in range(cols - 2):
            magnitude[col] += abs(curve[col] - 2 * curve[col + 1] + curve[col + 2])
        if row % _FLUSH == _FLUSH - 1 or row == rows - 3:
            _flush(sums, totals)
    return totals[0]


@jit
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
    work = np.empty((2, padded.shape[1]), np.int16)
    limit = np.int32(math.floor(threshold))  # the squares are whole
    sums, totals = np.zeros((1, square.size), np.int32), np.zeros(1, np.int64)
    counts = sums[0]
    for row in range(padded.shape[0] - 2):
        _square_gradient(padded[row], padded[row + 1], padded[row + 2], work, square)
        for col in range(square.size):
            counts[col] += square[col] > limit
    _flush(sums, totals)
    return totals[0]


@jit
def sum_centres(grey):
    """Sum the four pixels in the middle of each whole cell of 4x4.

    Parameters
    ----------
    grey : (M, N) uint8 array

    Returns
    -------
    (M // 4, N // 4) int16 array, dn
        0..1020.
    """
    sums = np.empty((grey.shape[0] // 4, grey.shape[1] // 4), np.int16)
    for row in range(sums.shape[0]):
        upper, lower, out = grey[4 * row + 1], grey[4 * row + 2], sums[row]
        for col in range(out.size):
            left = np.int16(upper[4 * col + 1]) + np.int16(lower[4 * col + 1])
            out[col] = left + np.int16(upper[4 * col + 2]) + np.int16(lower[4 * col + 2])
    return sums


@jit
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
    work = np.empty((2, padded.shape[1]), np.int16)
    total = 0.0
    for row in range(padded.shape[0] - 2):
        _square_gradient(padded[row], padded[row + 1], padded[row + 2], work, square)
        for col in range(square.size):
            total += math.sqrt(square[col] + floor)
    return total


@jit
def _square_gradient(upper, here, lower, work, square):
    """Square the unnormalised Sobel gradient along one row; `work` is scratch."""
    smooth, slope = work[0], work[1]
    for col in range(smooth.size):
        smooth[col] = np.int16(upper[col]) + 2 * np.int16(here[col]) + np.int16(lower[col])
    for col in range(smooth.size):
        slope[col] = np.int16(lower[col]) - np.int16(upper[col])
    for col in range(square.size):
        across = np.int32(smooth[col + 2]) - np.int32(smooth[col])
        down = np.int32(slope[col]) + 2 * np.int32(slope[col + 1]) + np.int32(slope[col + 2])
        square[col] = across * across + down * down


@jit
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
    sums, squares = np.zeros(cols - 1, np.int32), np.zeros(cols - 1, np.int32)
    lanes = np.empty((2, _LANES), np.int32)
    for row in range(rows):
        line = grey[row]
        for col in range(cols - 1):
            step = np.int32(line[col + 1]) - np.int32(line[col])
            sums[col] += abs(step)
            squares[col] += step * step
        if row % _FLUSH == _FLUSH - 1 or row == rows - 1:
            across += sums
            across_sq += squares
            sums[:] = 0
            squares[:] = 0
        if row + 1 < rows:
            down[row], down_sq[row] = _sum_steps(line, grey[row + 1], lanes)
    return down, down_sq, across, across_sq


@jit
def _sum_steps(upper, lower, lanes):
    """Sum absolute and squared steps between two rows; `lanes` is scratch."""
    total, total_sq = np.int64(0), np.int64(0)
    for first in range(0, upper.size, _FLUSH * _LANES):
        last = min(first + _FLUSH * _LANES, upper.size)
        whole = first + (last - first) // _LANES * _LANES
        lanes[:] = 0
        for begin in range(first, whole, _LANES):
            above, below = upper[begin : begin + _LANES], lower[begin : begin + _LANES]
            for place in range(_LANES):
                step = np.int32(below[place]) - np.int32(above[place])
                lanes[0, place] += abs(step)
                lanes[1, place] += step * step
        for col in range(whole, last):
            step = np.int32(lower[col]) - np.int32(upper[col])
            lanes[0, 0] += abs(step)
            lanes[1, 0] += step * step
        for place in range(_LANES):
            total += lanes[0, place]
            total_sq += lanes[1, place]
    return total, total_sq


@jit
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


@jit
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
    together = SIDE_BY_SIDE // 2
    # The low frequencies of four rows, then their high ones; 0 stands where there is none.
    parts, totals = np.zeros((SIDE_BY_SIDE, half)), np.empty(SIDE_BY_SIDE)
    low, high = 0.0, 0.0
    for row in range(rows):
        place, vertical = row % together, min(row, rows - row)
        inner, outer, line = parts[place], parts[place + together], spectrum[row]
        reach = 0  # columns that are low
        while reach < half and vertical * vertical + reach * reach <= radius * radius:
            reach += 1
        for col in range(half):
            value = line[col]
            outer[col] = math.sqrt(value.real * value.real + value.imag * value.imag)
        for col in range(1, half if cols % 2 else half - 1):
            outer[col] *= 2.0
        if row == 0:
            outer[0] = 0.0
        inner[:reach] = outer[:reach]
        inner[reach:] = 0.0
        outer[:reach] = 0.0
        if place == together - 1 or row == rows - 1:
            sum_side_by_side(parts, totals)
            for number in range(place + 1):
                low += totals[number]
                high += totals[number + together]
    return low, high


@jit
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


@jit
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
            filter_rows(values, row + 1, column)
            filter_line(column, mean[row - 10])
            filter_rows(squares, row + 1, column)
            filter_line(column, mean_square[row - 10])
    return mean, mean_square


@jit
def filter_rows(ring, first, column):
    """Weigh eleven rows held in a ring, the oldest at `first`."""
    a, b, c = ring[first % 11], ring[(first + 1) % 11], ring[(first + 2) % 11]
    d, e, f = ring[(first + 3) % 11], ring[(first + 4) % 11], ring[(first + 5) % 11]
    g, h, i = ring[(first + 6) % 11], ring[(first + 7) % 11], ring[(first + 8) % 11]
    j, k = ring[(first + 9) % 11], ring[(first + 10) % 11]
    for col in range(column.size):
        near = _G0 * f[col] + _G1 * (e[col] + g[col]) + _G2 * (d[col] + h[col])
        far = _G3 * (c[col] + i[col]) + _G4 * (b[col] + j[col]) + _G5 * (a[col] + k[col])
        column[col] = near + far


@jit
def filter_line(line, out):
    """Filter a line that is ten values longer than `out` with the Gaussian window."""
    for col in range(out.size):
        near = _G1 * (line[col + 4] + line[col + 6]) + _G2 * (line[col + 3] + line[col + 7])
        mid = _G3 * (line[col + 2] + line[col + 8]) + _G4 * (line[col + 1] + line[col + 9])
        far = _G5 * (line[col] + line[col + 10])
        out[col] = (_G0 * line[col + 5] + near) + (mid + far)


@jit
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


@jit
def _compress(share):
    return np.cbrt(share) if share > 0.008856 else 7.787 * share + 16.0 / 116.0


@jit
def halve_sums(grey):
    """Sum the 2x2 cells of an image, zeros beyond an odd side.

    Parameters
    ----------
    grey : (M, N) uint8 array

    Returns
    -------
    (ceil(M / 2), ceil(N / 2)) int16 array, dn
        0..1020.
    """
    rows, cols = grey.shape
    sums = np.zeros(((rows + 1) // 2, (cols + 1) // 2), np.int16)
    for row in range(rows):
        line, cells = grey[row], sums[row // 2]
        for col in range(cols // 2):
            cells[col] += np.int16(line[2 * col]) + np.int16(line[2 * col + 1])
        if cols % 2:
            cells[cols // 2] += np.int16(line[cols - 1])
    return sums


@jit
def filter_haar(sums):
    """Filter 2x2 sums by the Haar wavelets of three scales, exact.

    Parameters
    ----------
    sums : (R, C) int16 array, dn
        From `halve_sums`.

    Returns
    -------
    (2, 3, R, C) int16 array, dn
        Magnitudes: differences of upper and lower, then of left and right halves; sides of 2,
        4 and 8, each square from k/2 - 1 before a place to k/2 after it, zeros beyond the
        frame. None exceeds 32 * 1020.
    """
    rows, cols = sums.shape
    found = np.empty((2, 3, rows, cols), np.int16)
    # Sums of rows above and below, 4 columns of frame on each side; at most 4 rows of them.
    upper, lower = np.zeros(cols + 8, np.int32), np.zeros(cols + 8, np.int32)
    boxes = np.zeros((4, cols + 8), np.int32)
    for scale in range(3):
        half = 1 << scale
        upper[:] = 0
        lower[:] = 0
        for row in range(half):
            _add_row(sums, row, 1, lower)
        for row in range(rows):
            # From row - half + 1 to row above, from row + 1 to row + half below.
            _add_row(sums, row - half, -1, upper)
            _add_row(sums, row, 1, upper)
            _add_row(sums, row, -1, lower)
            _add_row(sums, row + half, 1, lower)
            _write_haar(upper, lower, half, boxes, found[0, scale, row], found[1, scale, row])
    return found


@jit
def _add_row(sums, row, sign, column):
    """Add a row to column sums, or take it away; nothing beyond the frame."""
    if 0 <= row < sums.shape[0]:
        line = sums[row]
        for col in range(line.size):
            column[col + 4] += sign * np.int32(line[col])


@jit
def _write_haar(upper, lower, half, boxes, down, across):
    """Write one row of magnitudes; `boxes` is scratch."""
    difference, total, spare, other = boxes[0], boxes[1], boxes[2], boxes[3]
    for col in range(total.size):
        difference[col] = upper[col] - lower[col]
        total[col] = upper[col] + lower[col]
    step = 1
    while step < half:
        _add_shifted(total, step, other)
        _add_shifted(difference, step, spare)
        total, other = other, total
        difference, spare = spare, difference
        step *= 2
    # A sum begins at its column; the square's first column stands half - 1 before its place.
    above, beyond = difference[5 - half :], difference[5:]
    left, right = total[5 - half :], total[5:]
    for col in range(down.size):
        down[col] = abs(above[col] + beyond[col])
        across[col] = abs(right[col] - left[col])


@jit
def _add_shifted(line, step, out):
    """Add to each value the one `step` places on; the last ones have none."""
    for col in range(line.size - step):
        out[col] = line[col] + line[col + step]


@jit
def weigh_pieces(pieces, window):
    """Take each piece's mean from it, and weigh what is left.

    Parameters
    ----------
    pieces : (K, S) integer array, dn
    window : (S,) float64 array

    Returns
    -------
    (K, S) float64 array
    """
    weighed = np.empty(pieces.shape)
    for row in range(pieces.shape[0]):
        line, out = pieces[row], weighed[row]
        total = np.int64(0)
        for col in range(line.size):
            total += line[col]
        mean = total / line.size
        for col in range(line.size):
            out[col] = (line[col] - mean) * window[col]
    return weighed


@jit
def sum_shares(spectrum, lowest, noise):
    """Sum power spectra, each divided by its own mean power.

    Parameters
    ----------
    spectrum : (K, L) complex128 array
    lowest : int
        The mean is of the places from here on.
    noise : float
        Added to the power at each place, above 0.

    Returns
    -------
    (L,) float64 array
        Summed row by row.
    """
    rows, cols = spectrum.shape
    powers, total = np.empty((SIDE_BY_SIDE, cols)), np.zeros(cols)
    band, totals = np.zeros((SIDE_BY_SIDE, cols - lowest)), np.empty(SIDE_BY_SIDE)
    for first in range(0, rows, SIDE_BY_SIDE):
        count = min(SIDE_BY_SIDE, rows - first)
        for place in range(count):
            line, power = spectrum[first + place], powers[place]
            for col in range(cols):
                power[col] = line[col].real ** 2 + line[col].imag ** 2 + noise
            band[place] = power[lowest:]
        sum_side_by_side(band, totals)
        for place in range(count):
            power, scale = powers[place], (cols - lowest) / totals[place]
            for col in range(cols):
                total[col] += power[col] * scale
    return total


@jit
def take_medians(values, reach):
    """Median of each value and as many on either side, the line mirrored at its ends.

    Parameters
    ----------
    values : (L,) float64 array
        Without NaN.
    reach : int
        Below L.

    Returns
    -------
    (L,) float64 array
    """
    count = 2 * reach + 1
    wide = np.empty(values.size + 2 * reach)
    wide[reach : reach + values.size] = values
    for step in range(1, reach + 1):
        wide[reach - step] = values[step]
        wide[reach + values.size - 1 + step] = values[values.size - 1 - step]
    window, medians = np.full(count, np.inf), np.empty(values.size)
    for place in range(wide.size):
        entering, at = wide[place], count - 1
        if place >= count:  # what leaves makes room
            at = 0
            while window[at] < wide[place - count]:
                at += 1
        while at + 1 < count and window[at + 1] < entering:
            window[at] = window[at + 1]
            at += 1
        while at > 0 and window[at - 1] > entering:
            window[at] = window[at - 1]
            at -= 1
        window[at] = entering
        if place >= count - 1:
            medians[place - count + 1] = window[reach]
    return medians
