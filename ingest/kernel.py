"""The block kernel: every block quantity of a greyscale image or image pair, in one sweep.

All inputs are 8-bit, so everything here is computed in integers and is exact, save the block
SSIM, which is float64 in a fixed order and rounded once to float32, and the ringing energy, an
exact sum divided once. No fast-math and no fused multiply-add are allowed, so equal pixels give
equal bits on every machine.

A sweep goes down the image one row of blocks at a time. Per-column accumulators are filled
first (that loop vectorises), then folded over the eight columns of each block.
"""

import numpy as np
from numba import njit

BLOCK_PX = 8

C1 = (0.01 * 255) ** 2
C2 = (0.03 * 255) ** 2
_WINDOW_PX = 7
_WINDOW_AREA = _WINDOW_PX * _WINDOW_PX
_C1_SCALED = C1 * _WINDOW_AREA * _WINDOW_AREA
_C2_SCALED = C2 * _WINDOW_AREA * (_WINDOW_AREA - 1)

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def pad_mirrored(image, border):
    """Pad an image by mirroring it about its edge pixels (the edge itself is not repeated).

    Parameters
    ----------
    image : (M, N) uint8 or int16 array
        Both sides must be longer than `border`.
    border : int
        Pixels added on every side.

    Returns
    -------
    (M + 2 * border, N + 2 * border) int16 array
        The rule of ``scipy.ndimage`` ``mode="mirror"`` and OpenCV's reflect-101.
    """
    rows, cols = image.shape
    padded = np.empty((rows + 2 * border, cols + 2 * border), np.int16)
    for row in range(rows + 2 * border):
        source = abs(row - border)
        if source >= rows:
            source = 2 * (rows - 1) - source
        for col in range(cols):
            padded[row, col + border] = image[source, col]
        for step in range(1, border + 1):
            padded[row, border - step] = image[source, step]
            padded[row, border + cols - 1 + step] = image[source, cols - 1 - step]
    return padded


@_jit
def sum_moments(image):
    """Sum grey values and their squares over each whole block.

    Parameters
    ----------
    image : (M, N) uint8 array

    Returns
    -------
    total, total_sq : (M // 8, N // 8) uint16 and uint32 arrays
        Sum in dn (0..16320) and sum of squares in dn2 (0..4161600).
    """
    block_rows, block_cols = image.shape[0] // 8, image.shape[1] // 8
    total = np.empty((block_rows, block_cols), np.uint16)
    total_sq = np.empty((block_rows, block_cols), np.uint32)
    sums = np.empty(block_cols * 8, np.int32)
    squares = np.empty(block_cols * 8, np.int32)
    for block_row in range(block_rows):
        sums[:] = 0
        squares[:] = 0
        for row in range(block_row * 8, block_row * 8 + 8):
            line = image[row]
            for col in range(block_cols * 8):
                value = np.int32(line[col])
                sums[col] += value
                squares[col] += value * value
        for block_col in range(block_cols):
            fold, fold_sq = np.int32(0), np.int32(0)
            for col in range(block_col * 8, block_col * 8 + 8):
                fold += sums[col]
                fold_sq += squares[col]
            total[block_row, block_col] = fold
            total_sq[block_row, block_col] = fold_sq
    return total, total_sq


@_jit
def _fold_windows(full, first, last, windows):
    """Fold per-column sums of eight rows into the four 7x7 window sums of each block.

    `full` sums all eight rows, `first` and `last` are the top and bottom row alone. Window
    order: offsets (0,0), (0,1), (1,0), (1,1).
    """
    for block_col in range(windows.shape[1]):
        begin = block_col * 8
        upper, lower = np.int32(0), np.int32(0)
        for col in range(begin, begin + 8):
            upper += full[col] - last[col]
            lower += full[col] - first[col]
        end = begin + 7
        windows[0, block_col] = upper - (full[end] - last[end])
        windows[1, block_col] = upper - (full[begin] - last[begin])
        windows[2, block_col] = lower - (full[end] - first[end])
        windows[3, block_col] = lower - (full[begin] - first[begin])


@_jit
def _accumulate_products(left, right, block_row, full, first, last):
    """Per column: the products of two images summed over a block row, and its outer rows."""
    full[:] = 0
    for offset in range(8):
        line_left, line_right = left[block_row * 8 + offset], right[block_row * 8 + offset]
        for col in range(full.size):
            full[col] += np.int32(line_left[col]) * np.int32(line_right[col])
    top_left, top_right = left[block_row * 8], right[block_row * 8]
    bottom_left, bottom_right = left[block_row * 8 + 7], right[block_row * 8 + 7]
    for col in range(full.size):
        first[col] = np.int32(top_left[col]) * np.int32(top_right[col])
        last[col] = np.int32(bottom_left[col]) * np.int32(bottom_right[col])


@_jit
def _accumulate_values(image, block_row, full, first, last):
    """Per column: grey values summed over a block row, and its top and bottom rows."""
    full[:] = 0
    for offset in range(8):
        line = image[block_row * 8 + offset]
        for col in range(full.size):
            full[col] += np.int32(line[col])
    top, bottom = image[block_row * 8], image[block_row * 8 + 7]
    for col in range(full.size):
        first[col] = np.int32(top[col])
        last[col] = np.int32(bottom[col])


@_jit
def sum_windows(image):
    """Sum grey values and squares over the four 7x7 windows of each block.

    Parameters
    ----------
    image : (M, N) uint8 array

    Returns
    -------
    (M // 8, 2, 4, N // 8) int32 array
        Axis 1: sum (dn), sum of squares (dn2). Axis 2: windows at offsets (0,0), (0,1),
        (1,0), (1,1).
    """
    block_rows, block_cols = image.shape[0] // 8, image.shape[1] // 8
    windows = np.empty((block_rows, 2, 4, block_cols), np.int32)
    full = np.empty(block_cols * 8, np.int32)
    first = np.empty(block_cols * 8, np.int32)
    last = np.empty(block_cols * 8, np.int32)
    for block_row in range(block_rows):
        _accumulate_values(image, block_row, full, first, last)
        _fold_windows(full, first, last, windows[block_row, 0])
        _accumulate_products(image, image, block_row, full, first, last)
        _fold_windows(full, first, last, windows[block_row, 1])
    return windows


@_jit
def compare_pair(reference, restored, reference_windows, restored_windows):
    """Cross product and block SSIM of each block of an image pair.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays
    reference_windows, restored_windows : (M // 8, 2, 4, N // 8) int32 arrays
        From `sum_windows`.

    Returns
    -------
    cross : (M // 8, N // 8) uint32 array
        Sum of products over the block, dn2.
    local_ssim : (M // 8, N // 8) float32 array
        Block SSIM, (-1, 1].

    Notes
    -----
    The mean over the four 7x7 uniform windows inside the block, with sample covariance:
    ``skimage.metrics.structural_similarity`` with its defaults and ``data_range=255`` on
    the two 8x8 patches. Window sums are exact integers; with n = 49,

        SSIM = (2 SxSy + n^2 C1) (2 (n Sxy - SxSy) + n (n-1) C2)
               / ((Sx^2 + Sy^2 + n^2 C1) (n Sxx - Sx^2 + n Syy - Sy^2 + n (n-1) C2))

    in float64, rounded once to float32. Diagonal windows are added first, so that flipping
    or transposing both images moves the values and changes none.
    """
    block_rows, block_cols = reference.shape[0] // 8, reference.shape[1] // 8
    cross = np.empty((block_rows, block_cols), np.uint32)
    local_ssim = np.empty((block_rows, block_cols), np.float32)
    full = np.empty(block_cols * 8, np.int32)
    first = np.empty(block_cols * 8, np.int32)
    last = np.empty(block_cols * 8, np.int32)
    products = np.empty((4, block_cols), np.int32)
    totals = np.empty((2, block_cols), np.float64)
    for block_row in range(block_rows):
        _accumulate_products(reference, restored, block_row, full, first, last)
        _fold_windows(full, first, last, products)
        for block_col in range(block_cols):
            fold = np.int32(0)
            for col in range(block_col * 8, block_col * 8 + 8):
                fold += full[col]
            cross[block_row, block_col] = fold
        totals[:] = 0.0
        for window in range(4):
            ref_sum = reference_windows[block_row, 0, window]
            ref_sq = reference_windows[block_row, 1, window]
            res_sum = restored_windows[block_row, 0, window]
            res_sq = restored_windows[block_row, 1, window]
            product = products[window]
            total = totals[0 if window % 3 == 0 else 1]
            for block_col in range(block_cols):
                sum_x, sum_y = ref_sum[block_col], res_sum[block_col]
                square_x, square_y = sum_x * sum_x, sum_y * sum_y
                mixed = sum_x * sum_y
                covariance = 49 * product[block_col] - mixed
                variances = 49 * (ref_sq[block_col] + res_sq[block_col]) - square_x - square_y
                top = (2.0 * mixed + _C1_SCALED) * (2.0 * covariance + _C2_SCALED)
                bottom = (float(square_x + square_y) + _C1_SCALED) * (variances + _C2_SCALED)
                total[block_col] += top / bottom
        for block_col in range(block_cols):
            local_ssim[block_row, block_col] = 0.25 * (totals[0, block_col] + totals[1, block_col])
    return cross, local_ssim


@_jit
def filter_blocks(padded):
    """Laplacian dispersion and noise-mask sum of each block.

    Parameters
    ----------
    padded : (M + 2, N + 2) int16 array
        The image padded by one mirrored pixel.

    Returns
    -------
    laplacian : (M // 8, N // 8) uint32 array
        ``64 * sum(L**2) - sum(L)**2`` over the block, L the 4-neighbour Laplacian: its
        population variance times 4096 (dn2).
    noise : (M // 8, N // 8) uint32 array
        Sum of ``|I * M|`` over the block (dn), M = [1 -2 1; -2 4 -2; 1 -2 1].

    References
    ----------
    Immerkaer J., Fast noise variance estimation, CVIU 64 (1996) 300-302,
    doi:10.1006/cviu.1996.0060.
    """
    block_rows, block_cols = (padded.shape[0] - 2) // 8, (padded.shape[1] - 2) // 8
    width = block_cols * 8
    laplacian = np.empty((block_rows, block_cols), np.uint32)
    noise = np.empty((block_rows, block_cols), np.uint32)
    second = np.empty((3, width), np.int16)
    sums = np.empty(width, np.int32)
    squares = np.empty(width, np.int32)
    magnitudes = np.empty(width, np.int32)
    for row in range(2):
        _second_difference(padded[row], second[row])
    for block_row in range(block_rows):
        sums[:] = 0
        squares[:] = 0
        magnitudes[:] = 0
        for row in range(block_row * 8, block_row * 8 + 8):
            above, here, below = second[row % 3], second[(row + 1) % 3], second[(row + 2) % 3]
            _second_difference(padded[row + 2], below)
            upper, centre, lower = padded[row], padded[row + 1], padded[row + 2]
            for col in range(width):
                vertical = upper[col + 1] - 2 * np.int32(centre[col + 1]) + lower[col + 1]
                curvature = np.int32(here[col] + vertical)
                sums[col] += curvature
                squares[col] += curvature * curvature
                magnitudes[col] += abs(np.int32(above[col] - 2 * here[col] + below[col]))
        for block_col in range(block_cols):
            fold, fold_sq, fold_noise = np.int64(0), np.int64(0), np.int64(0)
            for col in range(block_col * 8, block_col * 8 + 8):
                fold += sums[col]
                fold_sq += squares[col]
                fold_noise += magnitudes[col]
            laplacian[block_row, block_col] = 64 * fold_sq - fold * fold
            noise[block_row, block_col] = fold_noise
    return laplacian, noise


@_jit
def _second_difference(line, out):
    for col in range(out.size):
        out[col] = line[col] - 2 * line[col + 1] + line[col + 2]


@_jit
def sum_steps(image):
    """Absolute grey steps of each block: across its sides, at its middle, and inside.

    Parameters
    ----------
    image : (M, N) uint8 array

    Returns
    -------
    (4, M // 8, N // 8) uint16 array, dn
        Sums of ``|step|`` between neighbouring pixels over
        0: the block's existing sides (top, bottom, left, right; none at the image frame),
        1: those of its sides that lie on a multiple of 16 px,
        2: the two lines through its middle (a multiple of 4 px but not of 8), 16 steps,
        3: all 112 steps inside the block, the middle lines included.
    """
    rows, cols = image.shape
    block_rows, block_cols = rows // 8, cols // 8
    steps = np.zeros((4, block_rows, block_cols), np.uint16)
    across = np.empty(block_cols * 8 + 1, np.int32)
    down = np.empty((3, block_cols * 8), np.int32)
    side = np.zeros(block_cols * 8, np.int32)
    for block_row in range(block_rows):
        top = block_row * 8
        across[:] = 0
        down[:] = 0
        for row in range(top, top + 8):
            line = image[row]
            for col in range(1, min(across.size, cols)):
                across[col] += abs(np.int32(line[col]) - np.int32(line[col - 1]))
            if row > top:
                kind = 1 if row == top + 4 else 0
                _add_steps(image[row - 1], line, down[kind])
        _fold_steps(across, down, block_row, steps)
        if top + 8 < rows:
            side[:] = 0
            _add_steps(image[top + 7], image[top + 8], side)
            _share_side(side, block_row, steps)
    return steps


@_jit
def _add_steps(upper, lower, out):
    for col in range(out.size):
        out[col] += abs(np.int32(lower[col]) - np.int32(upper[col]))


@_jit
def _fold_steps(across, down, block_row, steps):
    """Fold one block row's column sums into the left, right, middle and inner steps."""
    block_cols = steps.shape[2]
    for block_col in range(block_cols):
        begin = block_col * 8
        inner, middle = np.int32(0), across[begin + 4]
        for offset in range(8):
            inner += down[0, begin + offset]
            middle += down[1, begin + offset]
            if offset > 0 and offset != 4:
                inner += across[begin + offset]
        left, right = across[begin], across[begin + 8]
        steps[0, block_row, block_col] += left + right
        steps[1, block_row, block_col] += left if block_col % 2 == 0 else right
        steps[2, block_row, block_col] = middle
        steps[3, block_row, block_col] = inner + middle


@_jit
def _share_side(side, block_row, steps):
    """Give the steps across the line below a block row to the blocks on either side."""
    block_rows, block_cols = steps.shape[1], steps.shape[2]
    for block_col in range(block_cols):
        fold = np.int32(0)
        for col in range(block_col * 8, block_col * 8 + 8):
            fold += side[col]
        on_sixteen = (block_row + 1) % 2 == 0
        for owner in (block_row, block_row + 1):
            if owner < block_rows:
                steps[0, owner, block_col] += fold
                if on_sixteen:
                    steps[1, owner, block_col] += fold


@_jit
def sum_cells(image):
    """Sum grey values over each cell of 2x2 pixels of whole blocks.

    Parameters
    ----------
    image : (M, N) uint8 array

    Returns
    -------
    (M // 8 * 4, N // 8 * 4) uint16 array, dn
        0..1020.
    """
    cells = np.empty((image.shape[0] // 8 * 4, image.shape[1] // 8 * 4), np.uint16)
    sums = np.empty(cells.shape[1] * 2, np.uint16)
    for row in range(cells.shape[0]):
        upper, lower = image[2 * row], image[2 * row + 1]
        for col in range(sums.size):
            sums[col] = np.uint16(upper[col]) + np.uint16(lower[col])
        for col in range(cells.shape[1]):
            cells[row, col] = sums[2 * col] + sums[2 * col + 1]
    return cells


@_jit
def measure_details(left, right, product):
    """Haar detail of each block at cells of 2 and of 4 px: energy, or product of two images.

    Parameters
    ----------
    left, right : (M // 8 * 4, N // 8 * 4) uint16 arrays
        From `sum_cells`; the same one twice for an image's energy.
    product : (M // 8, N // 8) uint32 array
        Sum of the two images' products over the block's pixels, dn2.

    Returns
    -------
    (2, M // 8, N // 8) int32 array, dn2
        4 E_2 and 16 E_4, exact; 0..16646400 for an energy, of either sign for a product.

    Notes
    -----
    With S_k the sums over cells of k x k px and Q_k = sum(S_k^a S_k^b) / k^2 over the block, the
    detail that is lost when cells are replaced by their means is

        E_2 = Q_1 - Q_2,  E_4 = Q_2 - Q_4,  E_8 = Q_4 - Q_8,

    the energy of the orthogonal Haar wavelets of that size (48, 12 and 3 dimensions). E_8 follows
    from the block's sums: E_2 + E_4 + E_8 = Q_1 - Q_8.
    """
    block_rows, block_cols = product.shape
    details = np.empty((2, block_rows, block_cols), np.int32)
    twos = np.empty(block_cols * 4, np.int32)
    fours = np.empty(block_cols * 2, np.int32)
    for block_row in range(block_rows):
        twos[:] = 0
        fours[:] = 0
        for half in range(2):
            top = block_row * 4 + half * 2
            for row in range(top, top + 2):
                for col in range(twos.size):
                    twos[col] += np.int32(left[row, col]) * np.int32(right[row, col])
            for col in range(fours.size):
                fours[col] += _sum_four(left, top, 2 * col) * _sum_four(right, top, 2 * col)
        for block_col in range(block_cols):
            fold, fold_four = np.int32(0), np.int32(0)
            for col in range(block_col * 4, block_col * 4 + 4):
                fold += twos[col]
            for col in range(block_col * 2, block_col * 2 + 2):
                fold_four += fours[col]
            details[0, block_row, block_col] = 4 * np.int32(product[block_row, block_col]) - fold
            details[1, block_row, block_col] = 4 * fold - fold_four
    return details


@_jit
def _sum_four(cells, row, col):
    """Sum over the cell of 4x4 px that begins at a cell of 2x2 px."""
    upper = np.int32(cells[row, col]) + np.int32(cells[row, col + 1])
    return upper + np.int32(cells[row + 1, col]) + np.int32(cells[row + 1, col + 1])


@_jit
def measure_ringing(reference, restored, mask):
    """Energy of the high-passed error on the pixels beside reference edges.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays
        Both sides at least 5 px.
    mask : (M, N) uint8 array
        1 where a pixel counts, else 0.

    Returns
    -------
    ringing : (M // 8, N // 8) float32 array, dn2
        Of each block: sum over masked pixels of ``(e - mean_9x9(e))**2``, e = restored -
        reference, mirrored at the image frame; the exact integer sum divided by 81**2.
    energy : int
        Of the whole image, what no whole block holds included; times 81**2, exact.
    """
    rows, cols = reference.shape
    block_rows, block_cols = rows // 8, cols // 8
    errors = np.empty((9, cols + 8), np.int16)
    ringing = np.empty((block_rows, block_cols), np.float32)
    column, box = np.zeros(cols + 8, np.int16), np.empty(cols, np.int16)
    energies = np.zeros(cols, np.int64)
    total = np.int64(0)
    for entering in range(rows + 8):
        _slide_down(reference, restored, entering, errors, column)
        row = entering - 8
        if row < 0:
            continue
        _add_energy(column, errors[(row + 4) % 9], mask[row], box, energies)
        if row % 8 < 7 and row < rows - 1:
            continue
        for col in range(cols):
            total += energies[col]
        if row % 8 == 7:
            for block_col in range(block_cols):
                fold = np.int64(0)
                for col in range(block_col * 8, block_col * 8 + 8):
                    fold += energies[col]
                ringing[row // 8, block_col] = float(fold) / 6561.0
        energies[:] = 0
    return ringing, total


@_jit
def _slide_down(reference, restored, entering, errors, column):
    """Let a padded row of errors into the nine that `column` sums, and the oldest out."""
    rows, cols = reference.shape
    error = errors[entering % 9]
    if entering >= 9:
        for col in range(column.size):
            column[col] -= error[col]
    source = abs(entering - 4)
    if source >= rows:
        source = 2 * (rows - 1) - source
    x, y, inner = reference[source], restored[source], error[4 : 4 + cols]
    for col in range(cols):
        inner[col] = np.int16(y[col]) - np.int16(x[col])
    for step in range(1, 5):
        error[4 - step] = inner[step]
        error[3 + cols + step] = inner[cols - 1 - step]
    for col in range(column.size):
        column[col] += error[col]


@_jit
def _add_energy(column, error, mask, box, energy):
    """Add the energy along one row; `box` is scratch, of 16 bits as all sums of 81 errors."""
    for col in range(box.size):
        box[col] = (
            (column[col] + column[col + 1])
            + (column[col + 2] + column[col + 3])
            + (column[col + 4] + column[col + 5])
            + (column[col + 6] + column[col + 7])
            + column[col + 8]
        )
    inner = error[4 : 4 + box.size]
    for col in range(box.size):
        deviation = np.int32(81 * np.int32(inner[col]) - box[col]) * np.int32(mask[col])
        energy[col] += np.int64(deviation) * np.int64(deviation)


@_jit
def count_mask(mask):
    """Count masked pixels of each block.

    Parameters
    ----------
    mask : (M, N) uint8 array of 0 and 1

    Returns
    -------
    (M // 8, N // 8) uint8 array, 0..64
    """
    block_rows, block_cols = mask.shape[0] // 8, mask.shape[1] // 8
    counts = np.empty((block_rows, block_cols), np.uint8)
    for block_row in range(block_rows):
        for block_col in range(block_cols):
            fold = 0
            for row in range(block_row * 8, block_row * 8 + 8):
                for col in range(block_col * 8, block_col * 8 + 8):
                    fold += mask[row, col]
            counts[block_row, block_col] = fold
    return counts
