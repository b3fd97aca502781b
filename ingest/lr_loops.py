"""Loops of the LR rules: reduce, solve and expand along the first axis, and fold into blocks.

Everything is float64 in a fixed order. What a rule makes of an 8-bit image is a whole number over
the kernel's denominator and far below 2^53, hence exact.
"""

import numpy as np
from numba import njit

_jit = njit(cache=True, nogil=True, error_model="numpy")
_TILE = 8
_STRIP = 64


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
def _part_row(line, scale, parts):
    """Lay a row out by the place of its pixels among `scale`: every such part in a row."""
    if scale == 2:  # a stride that is known vectorises
        for place in range(line.size // 2):
            parts[0, place] = line[2 * place]
            parts[1, place] = line[2 * place + 1]
        return
    for part in range(scale):
        target = parts[part]
        for place in range(line.size // scale):
            target[place] = line[scale * place + part]


@_jit
def _join_parts(parts, scale, row):
    """Put parts of a row, as `_part_row` lays them, into their places."""
    if scale == 2:
        for place in range(row.size // 2):
            row[2 * place] = parts[0, place]
            row[2 * place + 1] = parts[1, place]
        return
    for part in range(scale):
        source = parts[part]
        for place in range(row.size // scale):
            row[scale * place + part] = source[place]


@_jit
def _reduce_row(line, parts, axis, made):
    """Apply D to one row: `made` gets what each LR pixel reads of it."""
    scale, first, begin, end, kernel, starts, taps = axis
    _part_row(line, scale, parts)
    inside = made[begin:end]
    inside[:] = 0
    for tap in range(kernel.size):
        weight, shift = np.float32(kernel[tap]), scale * begin + first + tap
        if weight != 0:
            source = parts[shift % scale, shift // scale : shift // scale + inside.size]
            for place in range(inside.size):
                inside[place] += weight * source[place]
    for place in range(starts.size):
        if begin <= place < end:
            continue
        made[place] = 0
        for tap in range(taps.shape[1]):
            made[place] += taps[place, tap] * line[starts[place] + tap]


@_jit
def reduce_image(grey, row_starts, row_taps, axis, limits):
    """Apply a rule: D along both axes, and where its columns may be cut.

    Parameters
    ----------
    grey : (M, N) uint8 array
    row_starts, row_taps
        Of the first axis.
    axis : tuple
        The second, as `ingest.lr_rules.Axis.layout` has it.
    limits : (float, float)
        A row's result outside of them may be cut; infinite where no row is.

    Returns
    -------
    made : (m, n) float64 array
    is_cut : (m, n) bool array
        Whether any row that the LR pixel reads leaves the limits where it reads it; LR pixels that
        read beyond the border across are not asked.

    Notes
    -----
    One row at a time, so that it stays in the cache. A row's result is a whole number below 2^24
    and exact in float32.
    """
    low, high = np.float32(limits[0]), np.float32(limits[1])
    scale, begin, end = axis[0], axis[2], axis[3]
    count, width = row_taps.shape
    made = np.zeros((count, axis[5].size))
    is_cut = np.zeros(made.shape, np.bool_)
    parts = np.empty((scale, grey.shape[1] // scale), np.float32)
    across = np.empty(axis[5].size, np.float32)
    is_out = np.zeros(axis[5].size, np.bool_)
    first = 0
    for row in range(grey.shape[0]):
        _reduce_row(grey[row], parts, axis, across)
        is_any = _mark_cuts(across[begin:end], low, high, is_out[begin:end])
        while first < count - 1 and row_starts[first] + width <= row:
            first += 1
        for lr_row in range(first, count):
            if row_starts[lr_row] > row:
                break
            if row >= row_starts[lr_row] + width:
                continue
            weight, target = row_taps[lr_row, row - row_starts[lr_row]], made[lr_row]
            for place in range(target.size):
                target[place] += weight * across[place]
            if is_any:
                is_cut[lr_row] |= is_out
    return made, is_cut


@_jit
def _mark_cuts(across, low, high, is_out):
    """Mark what leaves the limits; whether anything does."""
    count = 0
    for place in range(across.size):
        is_beyond = (across[place] < low) | (across[place] > high)
        is_out[place] = is_beyond
        count += is_beyond
    return count > 0


@_jit
def _solve_rows(values, factor):
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
def solve_image(made, unit, row_factor, col_factor):
    """Apply (D D^T)^-1 along both axes to `made` over `unit`: (m, n) float64.

    Strips stay in the cache; along the second axis they lie transposed, so that rows vectorise.
    """
    rows, cols = made.shape
    solved = np.empty((rows, cols))
    for left in range(0, cols, _STRIP):
        strip = made[:, left : left + _STRIP] / unit
        _solve_rows(strip, row_factor)
        solved[:, left : left + _STRIP] = strip
    for top in range(0, rows, _STRIP):
        turned = transpose(solved[top : top + _STRIP])
        _solve_rows(turned, col_factor)
        solved[top : top + _STRIP] = transpose(turned)
    return solved


@_jit
def _expand_border(values, axis, unit, nearest, cols, target):
    """Apply D^T, its taps over `unit`, to one row: the pixels from `cols[0]` up to `cols[1]`.

    None of them reads an LR pixel before `nearest`.
    """
    starts, taps = axis[5], axis[6]
    width = taps.shape[1]
    for col in range(cols[0], cols[1]):
        while nearest < starts.size - 1 and starts[nearest] + width <= col:
            nearest += 1
        target[col] = 0
        for place in range(nearest, starts.size):
            if starts[place] > col:
                break
            if col < starts[place] + width:
                target[col] += taps[place, col - starts[place]] / unit * values[place]


@_jit
def _expand_row(values, axis, unit, parts, target):
    """Apply D^T, its taps over `unit`, to one row. Pixels add LR pixels from left to right."""
    scale, first, begin, end, kernel, starts, taps = axis
    # In between, all LR pixels that read a pixel lie wholly inside the image.
    low = 0 if begin == 0 else -(-(starts[begin - 1] + taps.shape[1]) // scale)
    high = (target.size if end == starts.size else starts[end]) // scale
    if high <= low:
        _expand_border(values, axis, unit, 0, (0, target.size), target)
        return
    for part in range(scale):
        inside = parts[part, : high - low]
        inside[:] = 0
        for tap in range(kernel.size - 1, -1, -1):
            if (part - first - tap) % scale == 0 and kernel[tap] != 0:
                shift = low + (part - first - tap) // scale
                weight, source = kernel[tap] / unit, values[shift : shift + inside.size]
                for place in range(inside.size):
                    inside[place] += weight * source[place]
    _join_parts(parts, scale, target[scale * low : scale * high])
    _expand_border(values, axis, unit, 0, (0, scale * low), target)
    nearest = max(0, end - taps.shape[1])
    _expand_border(values, axis, unit, nearest, (scale * high, target.size), target)


@_jit
def _count_overlap(starts, width):
    """Most LR pixels that read one pixel."""
    most, first = 0, 0
    for last in range(starts.size):
        while starts[first] + width <= starts[last]:
            first += 1
        most = max(most, last - first + 1)
    return most


@_jit
def _make_ring(rows, cols):
    """Room for what `_fill_ring` keeps: LR rows expanded, parts of a row, and which they are."""
    size = cols[0] * cols[5].size
    count = _count_overlap(rows[5], rows[6].shape[1] + _TILE - 1)
    return np.empty((count, size)), np.empty((cols[0], cols[5].size)), np.zeros(2, np.int64)


@_jit
def _fill_ring(solved, top, rows, cols, unit, kept):
    """Expand across all LR rows that eight rows from `top` on read, each once.

    Returns the first of them.
    """
    starts, width = rows[5], rows[6].shape[1]
    ring, parts, place = kept
    while place[0] < starts.size - 1 and starts[place[0]] + width <= top:
        place[0] += 1
    while place[1] < starts.size and starts[place[1]] < top + _TILE:
        _expand_row(solved[place[1]], cols, unit, parts, ring[place[1] % ring.shape[0]])
        place[1] += 1
    return place[0]


@_jit
def _project_row(ring, first, row, rows, unit, target):
    """Expand down to one row; no LR row before `first` is read."""
    starts, taps = rows[5], rows[6]
    while first < starts.size and starts[first] + taps.shape[1] <= row:
        first += 1
    last = first
    while last < starts.size and starts[last] <= row:
        last += 1
    if last - first == 4:  # in one go, what antialiased rules have almost everywhere
        w0, w1 = taps[first, row - starts[first]], taps[first + 1, row - starts[first + 1]]
        w2, w3 = taps[first + 2, row - starts[first + 2]], taps[first + 3, row - starts[first + 3]]
        w0, w1, w2, w3 = w0 / unit, w1 / unit, w2 / unit, w3 / unit
        size = ring.shape[0]
        a, b = ring[first % size], ring[(first + 1) % size]
        c, d = ring[(first + 2) % size], ring[(first + 3) % size]
        for col in range(target.size):
            target[col] = w0 * a[col] + w1 * b[col] + w2 * c[col] + w3 * d[col]
        return
    target[:] = 0
    for lr_row in range(first, last):
        weight, source = taps[lr_row, row - starts[lr_row]] / unit, ring[lr_row % ring.shape[0]]
        for col in range(target.size):
            target[col] += weight * source[col]


@_jit
def project_image(solved, rows, cols, unit):
    """Apply D^T along both axes: (m, n) to (M, N) float64.

    Parameters
    ----------
    solved : (m, n) float64 array
    rows, cols : tuple
        The axes, as `ingest.lr_rules.Axis.layout` has them.
    unit : int
        What the taps are over.
    """
    projected = np.empty((rows[0] * rows[5].size, cols[0] * cols[5].size))
    kept = _make_ring(rows, cols)
    for top in range(0, projected.shape[0], _TILE):
        first = _fill_ring(solved, top, rows, cols, unit, kept)
        for row in range(top, min(top + _TILE, projected.shape[0])):
            _project_row(kept[0], first, row, rows, unit, projected[row])
    return projected


@_jit
def sum_up_residuals(made, lr, is_inside, is_clamped, unit, bound):
    """Count what `count_residuals` does, of a whole image.

    Returns
    -------
    usable, clamped, contradicted : int
        LR pixels.
    largest : int
        Largest absolute residual, of `unit` a dn.
    """
    usable, clamped, contradicted, largest = 0, 0, 0, 0.0
    for row in range(lr.shape[0]):
        for col in range(lr.shape[1]):
            if not is_inside[row, col]:
                continue
            if is_clamped[row, col]:
                clamped += 1
                continue
            size = abs(made[row, col] - unit * np.float64(lr[row, col]))
            usable += 1
            contradicted += size > bound
            largest = max(largest, size)
    return usable, clamped, contradicted, np.int64(largest)


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
    middle = (scale - 1) // 2
    # The first LR pixel of each block: that of the first pixel that is its middle.
    starts = np.array([(8 * block + scale - 1 - middle) // scale for block in range(cols + 1)])
    residual, square_dn2 = np.empty(lr.shape[1]), np.empty(lr.shape[1])
    for row in range(lr.shape[0]):
        block_row = (scale * row + middle) // 8
        if block_row >= rows:
            break
        line, grey = made[row], lr[row]
        for col in range(residual.size):
            residual[col] = line[col] - unit * np.float64(grey[col])
            share = residual[col] / unit
            square_dn2[col] = share * share
        for block_col in range(cols):
            square, largest, total = squares[block_row, block_col], 0.0, 0.0
            usable, clamped, beyond = 0, 0, 0
            for col in range(starts[block_col], starts[block_col + 1]):
                if not is_inside[row, col]:
                    continue
                if is_clamped[row, col]:
                    clamped += 1
                    continue
                size = abs(residual[col])
                usable += 1
                beyond += size > bound
                total += residual[col]
                largest = max(largest, size)
                square += square_dn2[col]
            counts[0, block_row, block_col] += usable
            counts[1, block_row, block_col] += clamped
            counts[2, block_row, block_col] += beyond
            sums[0, block_row, block_col] += np.int64(total)
            sums[1, block_row, block_col] = max(sums[1, block_row, block_col], np.int64(largest))
            squares[block_row, block_col] = square
    return counts, sums, squares


@_jit
def _add_products(reference, restored, reference_range, projected, null, product, bent):
    """Add a row's products to the sums of its columns."""
    for col in range(null.size):
        y_null = restored[col] - projected[col]
        null[col] += y_null * y_null
        product[col] += (reference[col] - reference_range[col]) * y_null
    for col in range(null.size):
        moved = projected[col] - reference_range[col]
        bent[col] += moved * moved


@_jit
def _fold_columns(columns, energies):
    """Sum the columns of each block."""
    for block_col in range(energies.size):
        total = 0.0
        for col in range(block_col * 8, block_col * 8 + 8):
            total += columns[col]
        energies[block_col] = total


@_jit
def sum_null_energies(image, projected, blocks):
    """Energy of each block in the null space of a rule.

    Parameters
    ----------
    image : (M, N) uint8 array
    projected : (M, N) float64 array
        Its projection.
    blocks : (int, int)
        Whole blocks down and across.

    Returns
    -------
    (*blocks) float64 array
        |x_n|^2, dn2 summed over a block.
    """
    energies = np.empty(blocks)
    columns = np.empty(blocks[1] * 8)
    for block_row in range(blocks[0]):
        columns[:] = 0
        for row in range(block_row * 8, block_row * 8 + 8):
            line, seen = image[row], projected[row]
            for col in range(columns.size):
                rest = line[col] - seen[col]
                columns[col] += rest * rest
        _fold_columns(columns, energies[block_row])
    return energies


@_jit
def split_energies(reference, restored, reference_range, solved, rows, cols, unit, blocks):
    """Energies of each block in the range and the null space of a rule.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays
    reference_range : (M, N) float64 array
        The reference's projection.
    solved, rows, cols, unit
        The restored image's, as `project_image` takes them.
    blocks : (int, int)
        Whole blocks down and across.

    Returns
    -------
    (3, *blocks) float64 array
        |y_n|^2, <x_n, y_n> and |P (y - x)|^2, dn2 summed over a block.

    Notes
    -----
    A row of blocks at a time, so that it stays in the cache.
    """
    energies = np.empty((3, *blocks))
    width = blocks[1] * 8
    null, product, bent = np.empty(width), np.empty(width), np.empty(width)
    projected = np.empty(restored.shape[1])
    kept = _make_ring(rows, cols)
    for block_row in range(blocks[0]):
        first = _fill_ring(solved, 8 * block_row, rows, cols, unit, kept)
        null[:], product[:], bent[:] = 0, 0, 0
        for row in range(block_row * 8, block_row * 8 + 8):
            _project_row(kept[0], first, row, rows, unit, projected)
            lines = reference[row], restored[row], reference_range[row]
            _add_products(*lines, projected, null, product, bent)
        _fold_columns(null, energies[0, block_row])
        _fold_columns(product, energies[1, block_row])
        _fold_columns(bent, energies[2, block_row])
    return energies
