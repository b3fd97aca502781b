"""Local SSIM of an image pair, patch by patch, with the terms that explain it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.kernel import C1, C2

if TYPE_CHECKING:
    import numpy.typing as npt


PATCH_SIZES_PX = (8, 16, 32, 64)
WINDOW_PX = 7
_AREA = WINDOW_PX * WINDOW_PX
_C1_SCALED = C1 * _AREA * _AREA
_C2_SCALED = C2 * _AREA * (_AREA - 1)


@dataclass(frozen=True, eq=False)
class QualityMap:
    """Local SSIM of one image pair at one patch size.

    Attributes
    ----------
    patch_px : int
        Side of a patch.
    height_px, width_px : int
        Size of the image.
    clipped_ssim : (R, C) float64 array
        Local SSIM, dimensionless, -1..1, of the part of each patch that lies in the image;
        NaN where a side of that part is shorter than 7 px. Only the published file format
        needs the values of partial patches.
    luminance, contrast, structure : (R, C) float64 arrays
        The terms l, c (0..1) and s (-1..1); NaN where the patch is partial.
    """

    patch_px: int
    height_px: int
    width_px: int
    clipped_ssim: npt.NDArray[np.float64]
    luminance: npt.NDArray[np.float64]
    contrast: npt.NDArray[np.float64]
    structure: npt.NDArray[np.float64]

    @cached_property
    def is_partial(self) -> npt.NDArray[np.bool_]:
        """Whether the image's frame cuts a patch, (R, C) bool array."""
        rows, cols = self.clipped_ssim.shape
        cut_rows = (np.arange(rows) + 1) * self.patch_px > self.height_px
        cut_cols = (np.arange(cols) + 1) * self.patch_px > self.width_px
        return cut_rows[:, None] | cut_cols[None, :]

    @cached_property
    def local_ssim(self) -> npt.NDArray[np.float64]:
        """Local SSIM of the whole patches, (R, C) float64 array; NaN where a patch is partial."""
        return np.where(self.is_partial, np.nan, self.clipped_ssim)


def measure_map(
    reference: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8], *, patch_px: int
) -> QualityMap:
    """Measure the local quality distribution of an image pair.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays
        Of equal size.
    patch_px : {8, 16, 32, 64}

    Returns
    -------
    QualityMap
        ceil(M / patch_px) rows and ceil(N / patch_px) columns.

    Raises
    ------
    StudyError
        The sizes differ, the patch size is none of the four, or no patch is whole.

    Notes
    -----
    Local SSIM is ``skimage.metrics.structural_similarity`` with its defaults and
    ``data_range=255`` on the two patches: 7x7 uniform windows that lie inside the patch,
    sample covariance, mean over the windows. It is computed for each patch size, never
    averaged from smaller patches. Window sums are exact integers.

    The terms l, c, s are those of the whole patch with population moments (definitions
    E.2), so their product is another estimator than the mean over windows and need not
    equal it:

        l = (2 mx my + C1) / (mx^2 + my^2 + C1)
        c = (2 sx sy + C2) / (sx^2 + sy^2 + C2)
        s = (sxy + C2 / 2) / (sx sy + C2 / 2)

    References
    ----------
    Wang Z. et al., Image quality assessment, IEEE TIP 13 (2004) 600-612,
    doi:10.1109/TIP.2003.819861.
    """
    _check_inputs(reference, restored, patch_px)
    reference, restored = np.ascontiguousarray(reference), np.ascontiguousarray(restored)
    height_px, width_px = reference.shape
    windows = _map_windows(reference, restored)
    grid = -(-height_px // patch_px), -(-width_px // patch_px)
    terms = [np.full(grid, np.nan) for _ in range(3)]
    whole = height_px // patch_px, width_px // patch_px
    for term, values in zip(terms, _measure_terms(reference, restored, patch_px), strict=True):
        term[: whole[0], : whole[1]] = values
    clipped = _pool_windows(windows, height_px, width_px, patch_px)
    return QualityMap(patch_px, height_px, width_px, clipped, *terms)


def has_whole_patch(shape: tuple[int, int], patch_px: int) -> bool:
    """Whether at least one patch of this size fits into an image of this shape."""
    return min(shape) >= patch_px


def _check_inputs(
    reference: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8], patch_px: int
) -> None:
    if patch_px not in PATCH_SIZES_PX:
        sizes = ", ".join(map(str, PATCH_SIZES_PX))
        raise StudyError(f"patch size {patch_px!r}; expected one of {sizes}")
    if reference.shape != restored.shape:
        raise StudyError(
            f"the restored image is {restored.shape[1]}x{restored.shape[0]} px and its reference"
            f" {reference.shape[1]}x{reference.shape[0]} px; restore it to the reference's size"
        )
    if not has_whole_patch(reference.shape, patch_px):
        raise StudyError(
            f"an image of {reference.shape[1]}x{reference.shape[0]} px holds no whole patch of"
            f" {patch_px} px; choose a smaller patch"
        )


def _measure_terms(
    reference: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8], patch_px: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Terms l, c, s of the whole patches, from exact integer sums."""
    rows, cols = (side // patch_px for side in reference.shape)
    height, width = rows * patch_px, cols * patch_px
    x = reference[:height, :width].astype(np.int64)
    y = restored[:height, :width].astype(np.int64)
    count = patch_px * patch_px

    def add(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = values.reshape(rows, patch_px, cols, patch_px).sum(
            axis=(1, 3)
        )
        return found

    sum_x, sum_y = add(x), add(y)
    spread_x = count * add(x * x) - sum_x * sum_x
    spread_y = count * add(y * y) - sum_y * sum_y
    joint = count * add(x * y) - sum_x * sum_y
    root = np.sqrt(spread_x.astype(np.float64) * spread_y)
    c1, c2 = C1 * count * count, C2 * count * count
    luminance = (2 * sum_x * sum_y + c1) / (sum_x * sum_x + sum_y * sum_y + c1)
    contrast = (2 * root + c2) / (spread_x + spread_y + c2)
    structure = (joint + c2 / 2) / (root + c2 / 2)
    return luminance, contrast, structure


@njit(cache=True, nogil=True, error_model="numpy")
def _map_windows(
    reference: npt.NDArray[np.uint8], restored: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """SSIM of the 7x7 window that starts at each pixel, (M - 6, N - 6) float64 array."""
    rows, cols = reference.shape
    out = np.empty((rows - WINDOW_PX + 1, cols - WINDOW_PX + 1), np.float64)
    # Per column, over seven rows: sums of x, y, x^2 + y^2 and xy.
    column = np.zeros((4, cols), np.int64)
    for row in range(rows):
        for col in range(cols):
            x, y = np.int64(reference[row, col]), np.int64(restored[row, col])
            column[0, col] += x
            column[1, col] += y
            column[2, col] += x * x + y * y
            column[3, col] += x * y
            if row >= WINDOW_PX:
                x = np.int64(reference[row - WINDOW_PX, col])
                y = np.int64(restored[row - WINDOW_PX, col])
                column[0, col] -= x
                column[1, col] -= y
                column[2, col] -= x * x + y * y
                column[3, col] -= x * y
        if row >= WINDOW_PX - 1:
            _slide_across(column, out[row - WINDOW_PX + 1])
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _slide_across(column: npt.NDArray[np.int64], out: npt.NDArray[np.float64]) -> None:
    """Fill a row of windows from the sums of each column of pixels over seven rows."""
    sums = np.zeros(4, np.int64)
    for col in range(column.shape[1]):
        for kind in range(4):
            sums[kind] += column[kind, col]
            if col >= WINDOW_PX:
                sums[kind] -= column[kind, col - WINDOW_PX]
        if col >= WINDOW_PX - 1:
            squares = sums[0] * sums[0] + sums[1] * sums[1]
            mixed = sums[0] * sums[1]
            covariance = _AREA * sums[3] - mixed
            variances = _AREA * sums[2] - squares
            top = (2.0 * mixed + _C1_SCALED) * (2.0 * covariance + _C2_SCALED)
            bottom = (squares + _C1_SCALED) * (variances + _C2_SCALED)
            out[col - WINDOW_PX + 1] = top / bottom


@njit(cache=True, nogil=True, error_model="numpy")
def _pool_windows(
    windows: npt.NDArray[np.float64], height_px: int, width_px: int, patch_px: int
) -> npt.NDArray[np.float64]:
    """Mean over the windows that lie in each patch, (R, C); NaN where none does."""
    rows, cols = -(-height_px // patch_px), -(-width_px // patch_px)
    pooled = np.full((rows, cols), np.nan)
    for row in range(rows):
        top = row * patch_px
        bottom = min(top + patch_px, height_px) - WINDOW_PX + 1
        for col in range(cols):
            left = col * patch_px
            right = min(left + patch_px, width_px) - WINDOW_PX + 1
            if bottom <= top or right <= left:
                continue
            total = 0.0
            for window_row in range(top, bottom):
                for window_col in range(left, right):
                    total += windows[window_row, window_col]
            pooled[row, col] = total / ((bottom - top) * (right - left))
    return pooled
