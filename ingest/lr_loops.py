"""Loops of the LR rules: reduce, solve and expand along the first axis, and fold into blocks.

Everything is float64 in a fixed order. What a rule makes of an 8-bit image is a whole number over
the kernel's denominator and far below 2^53, hence exact.
"""

import numpy as np
from numba import njit

_jit = njit(cache=True, nogil=True, error_model="numpy")
_TILE = 8


@_jit
def factorise(starts, taps, reach):
    """Cholesky factor of D D^T, whose rows overlap with `reach` neighbours a side.

    Returns
    -------
    (n, reach + 1) float64 array
        Element (u, reach - k) is row u, column u - k; the diagonal holds its reciprocal.
    """
    count, width = taps.shape
    factor = np.zeros((count, reach + 1))
    for row in range(count):
        for col in range(max(0, row - reach), row + 1):
            shift = starts[row] - starts[col]
            total = 0.0
            for tap in range(width - shift):
                total += taps[row, tap] * taps[col, tap + shift]
            for inner in range(max(0, row - reach), col):
                if inner >= col - reach:
                    total -= factor[row, reach - row + inner] * factor[col, reach - col + inner]
            if row == col:
                factor[row, reach] = 1.0 / np.sqrt(total)
            else:
                factor[row, reach - row + col] = total * factor[col, reach]
    return factor


@_jit
def transpose(values):
    """Copy transposed, in tiles of 8x8: their lines stay apart in a cache of 8 ways."""
    rows, cols = values.shape
    turned = np.empty((cols, rows), values.dtype)
    for top in range(0, rows, _TILE):
        for left in range(0, cols, _TILE):
            for col in range(left, min(left + _TILE, cols)):
                for row in range(top, min(top + _TILE, rows)):
                    turned[col, row] = values[row, col]
    return turned


@_jit
def reduce_rows(values, starts, taps):
    """Apply D along the first axis: (M, N) to (m, N) float64."""
    count, width = taps.shape
    reduced = np.zeros((count, values.shape[1]))
    for row in range(count):
        target = reduced[row]
        for tap in range(width):
            weight = taps[row, tap]
            if weight != 0:
                source = values[starts[row] + tap]
                for col in range(target.size):
                    target[col] += weight * source[col]
    return reduced


@_jit
def solve_rows(values, factor):
    """Apply (D D^T)^-1 along the first axis, in place."""
    count, reach = factor.shape[0], factor.shape[1] - 1
    for row in range(count):
        target = values[row]
        for back in range(min(reach, row), 0, -1):
            weight, source = factor[row, reach - back], values[row - back]
            for col in range(target.size):
                target[col] -= weight * source[col]
        scale = factor[row, reach]
        for col in range(target.size):
            target[col] *= scale
    for row in range(count - 1, -1, -1):
        target = values[row]
        for ahead in range(min(reach, count - 1 - row), 0, -1):
            weight, source = factor[row + ahead, reach - ahead], values[row + ahead]
            for col in range(target.size):
                target[col] -= weight * source[col]
        scale = factor[row, reach]
        for col in range(target.size):
            target[col] *= scale


@_jit
def _expand_row(values, starts, taps, unit, row, first, target):
    """One row of what `expand_rows` gives, put into `target`; `first` is that of the row before.

    Returns the first LR row that reads this one.
    """
    count, width = taps.shape
    while first < count - 1 and starts[first] + width <= row:
        first += 1
    target[:] = 0
    for lr_row in range(first, count):
        if starts[lr_row] > row:
            break
        weight = taps[lr_row, row - starts[lr_row]] / unit if row < starts[lr_row] + width else 0.0
        if weight != 0:
            source = values[lr_row]
            for col in range(target.size):
                target[col] += weight * source[col]
    return first


@_jit
def expand_rows(values, starts, taps, unit, size):
    """Apply D^T, its taps over `unit`, along the first axis: (m, N) to (size, N) float64."""
    expanded = np.empty((size, values.shape[1]))
    first = 0
    for row in range(size):
        first = _expand_row(values, starts, taps, unit, row, first, expanded[row])
    return expanded


@_jit
def find_cuts(grey, taps, scale, first, inside, count, limits, margin):
    """Whether a rule's columns may be cut: where they leave `limits`.

    Parameters
    ----------
    grey : (M, N) uint8 array
    taps : (T,) float64 array
    scale, first : int
        LR pixel v reads pixels ``scale * v + first`` and on.
    inside : (int, int)
        LR pixels from and up to which all that is read lies in the image; the others are False.
    count : int
        LR pixels across.
    limits : (float, float)
    margin : float
        A row whose grey values all lie between it and 255 less it leaves no limit.

    Returns
    -------
    (M, count) bool array
    """
    rows, cols = grey.shape
    begin, end = inside
    is_out = np.zeros((rows, count), np.bool_)
    width = cols // scale + 1
    phases = np.zeros((scale, width))
    made = np.empty(end - begin)
    low, high = limits
    for row in range(rows):
        line = grey[row]
        if line.min() >= margin and line.max() <= 255 - margin:
            continue
        for phase in range(scale):
            for place in range((cols - phase + scale - 1) // scale):
                phases[phase, place] = line[scale * place + phase]
        made[:] = 0
        for tap in range(taps.size):
            shift = scale * begin + first + tap
            source = phases[shift % scale, shift // scale : shift // scale + made.size]
            for place in range(made.size):
                made[place] += taps[tap] * source[place]
        for place in range(made.size):
            is_out[row, begin + place] = made[place] < low or made[place] > high
    return is_out


@_jit
def spread_flags(flags, starts, width):
    """Whether any flag stands among the rows that each LR row reads: (M, n) to (m, n) bool."""
    found = np.zeros((starts.size, flags.shape[1]), np.bool_)
    is_any = np.empty(flags.shape[0], np.bool_)
    for row in range(flags.shape[0]):
        is_any[row] = flags[row].any()
    for row in range(starts.size):
        for source in range(starts[row], starts[row] + width):
            if is_any[source]:
                found[row] |= flags[source]
    return found


@_jit
def count_residuals(made, lr, is_inside, is_clamped, unit, bound, scale, blocks):
    """Fold the residuals of LR pixels into the blocks that hold their centres.

    Parameters
    ----------
    made : (m, n) float64 array
        What the rule makes of an image, times `unit`.
    lr : (m, n) uint8 array
    is_inside, is_clamped : (m, n) bool arrays
        An LR pixel counts where it is inside and not clamped.
    unit, bound : int
    scale : int
    blocks : (int, int)
        Whole blocks down and across.

    Returns
    -------
    counts : (3, *blocks) int16 array
        LR pixels that count, that are clamped, and that contradict.
    sums : (2, *blocks) int64 array
        Sum of the residuals, and the largest absolute one, of `unit` a dn.
    squares : (*blocks) float64 array
        Sum of their squares, dn2.
    """
    rows, cols = blocks
    counts = np.zeros((3, rows, cols), np.int16)
    sums = np.zeros((2, rows, cols), np.int64)
    squares = np.zeros((rows, cols))
    for row in range(lr.shape[0]):
        block_row = (scale * row + (scale - 1) // 2) // 8
        if block_row >= rows:
            break
        for col in range(lr.shape[1]):
            block_col = (scale * col + (scale - 1) // 2) // 8
            if block_col >= cols:
                break
            if not is_inside[row, col]:
                continue
            if is_clamped[row, col]:
                counts[1, block_row, block_col] += 1
                continue
            residual = np.int64(made[row, col]) - unit * np.int64(lr[row, col])
            size = abs(residual)
            counts[0, block_row, block_col] += 1
            counts[2, block_row, block_col] += size > bound
            sums[0, block_row, block_col] += residual
            sums[1, block_row, block_col] = max(sums[1, block_row, block_col], size)
            share = np.float64(residual) / unit
            squares[block_row, block_col] += share * share
    return counts, sums, squares


@_jit
def split_energies(reference, restored, reference_range, half_range, starts, taps, unit, blocks):
    """Energies of each block in the range and the null space of a rule.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays
    reference_range : (M, N) float64 array
        The reference's projection.
    half_range : (m, N) float64 array
        The restored image's, not yet expanded along the first axis.
    starts, taps, unit
        Of that axis, as `expand_rows` takes them.
    blocks : (int, int)
        Whole blocks down and across.

    Returns
    -------
    (4, *blocks) float64 array
        |x_n|^2, |y_n|^2, <x_n, y_n> and |P (y - x)|^2, dn2 summed over a block.
    """
    rows, cols = blocks
    energies = np.empty((4, rows, cols))
    columns = np.empty((4, cols * 8))
    projected = np.empty(half_range.shape[1])
    first = 0
    for block_row in range(rows):
        columns[:] = 0
        for row in range(block_row * 8, block_row * 8 + 8):
            first = _expand_row(half_range, starts, taps, unit, row, first, projected)
            x, y, x_range = reference[row], restored[row], reference_range[row]
            for col in range(cols * 8):
                x_null, y_null = x[col] - x_range[col], y[col] - projected[col]
                bent = projected[col] - x_range[col]
                columns[0, col] += x_null * x_null
                columns[1, col] += y_null * y_null
                columns[2, col] += x_null * y_null
                columns[3, col] += bent * bent
        for kind in range(4):
            for block_col in range(cols):
                total = 0.0
                for col in range(block_col * 8, block_col * 8 + 8):
                    total += columns[kind, col]
                energies[kind, block_row, block_col] = total
    return energies
