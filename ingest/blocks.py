"""From decoded images to the rows of the raw block table."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from upscale_audit.ingest import kernel
from upscale_audit.ingest.schema import BLOCKS
from upscale_audit.ingest.study import INFERENCE_PATHS

if TYPE_CHECKING:
    import numpy.typing as npt


class Measured:
    """One decoded image with its own block measurements, reused for every pair.

    Parameters
    ----------
    grey : (M, N) uint8 array
        Both sides at least 8 px.
    """

    def __init__(self, grey: npt.NDArray[np.uint8]) -> None:
        self.grey = np.ascontiguousarray(grey)
        self.windows = kernel.sum_windows(self.grey)
        total, total_sq = kernel.sum_moments(self.grey)
        laplacian, noise = kernel.filter_blocks(kernel.pad_mirrored(self.grey, 1))
        self.cells = kernel.sum_cells(self.grey)
        details = kernel.measure_details(self.cells, self.cells, total_sq)
        steps = kernel.sum_steps(self.grey)
        self.columns = {
            "sum": total,
            "sum_sq": total_sq,
            "laplacian": laplacian,
            "noise": noise,
            "detail2": details[0],
            "detail4": details[1],
            "step_side": steps[0],
            "step_side16": steps[1],
            "step_middle": steps[2],
            "step_inside": steps[3],
        }


def compare_blocks(
    reference: Measured, restored: Measured, ringing_mask: npt.NDArray[np.uint8]
) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """Columns that compare a restored image with its reference.

    Parameters
    ----------
    reference, restored : Measured
        Of equal size.
    ringing_mask : (M, N) uint8 array of 0 and 1

    Returns
    -------
    columns : dict of str to (M // 8, N // 8) array
    ring_energy : int
        Of the whole image, `kernel.measure_ringing`.
    """
    cross, local_ssim = kernel.compare_pair(
        reference.grey, restored.grey, reference.windows, restored.windows
    )
    details = kernel.measure_details(reference.cells, restored.cells, cross)
    ringing, ring_energy = kernel.measure_ringing(reference.grey, restored.grey, ringing_mask)
    columns = {
        "cross": cross,
        "cross_detail2": details[0],
        "cross_detail4": details[1],
        "local_ssim": local_ssim,
        "ringing": ringing,
    }
    return columns, int(ring_energy)


def measure_pair(
    reference: Measured, restored: Measured, ringing_mask: npt.NDArray[np.uint8]
) -> tuple[dict[str, npt.NDArray[Any]], int]:
    """All block columns of a restored image, its own too; then as `compare_blocks`."""
    columns, ring_energy = compare_blocks(reference, restored, ringing_mask)
    return restored.columns | columns, ring_energy


@lru_cache(maxsize=1)
def frame_columns(height_px: int, width_px: int) -> dict[str, npt.NDArray[Any]]:
    """Columns that depend on the image's size alone, over its whole grid, raster order.

    Kept from one model to the next: not to be changed.
    """
    rows, cols = -(-height_px // 8), -(-width_px // 8)
    row, col = (index.ravel() for index in np.mgrid[0:rows, 0:cols])
    sides = {
        "top": (row > 0, row % 2 == 0),
        "bottom": ((row + 1) * 8 < height_px, row % 2 == 1),
        "left": (col > 0, col % 2 == 0),
        "right": ((col + 1) * 8 < width_px, col % 2 == 1),
    }
    return {
        "block_row": row,
        "block_col": col,
        "is_partial": ((row + 1) * 8 > height_px) | ((col + 1) * 8 > width_px),
        "side_count": sum(exists.astype(np.int8) for exists, _ in sides.values()),
        "side16_count": sum((exists & on16).astype(np.int8) for exists, on16 in sides.values()),
    }


def build_batch(
    image_id: str,
    reference: Measured,
    ringing_mask: npt.NDArray[np.uint8],
    restored: Mapping[str, Mapping[str, npt.NDArray[Any]]],
    schema: pa.Schema,
    lr_columns: dict[str, npt.NDArray[Any]] | None = None,
) -> pa.RecordBatch:
    """All block rows of one image under one model.

    Parameters
    ----------
    image_id : str
    reference : Measured
    ringing_mask : (M, N) uint8 array of 0 and 1
    restored : dict of str to dict
        By inference path, the columns from `measure_pair`; a path that is not there has
        NULL columns.
    schema : pyarrow.Schema
    lr_columns : dict of str to array, optional
        The reference's own, from `ingest.lr.LrReference`.

    Returns
    -------
    pyarrow.RecordBatch
        ceil(M / 8) * ceil(N / 8) rows in raster order. Blocks cut by the frame hold NULL
        measures.
    """
    height_px, width_px = reference.grey.shape
    frame = frame_columns(height_px, width_px)
    is_partial = frame["is_partial"]
    measures = {"ringing_px": kernel.count_mask(ringing_mask)}
    columns = reference.columns | (lr_columns or {})
    measures |= {f"reference_{name}": array for name, array in columns.items()}
    for inference_path in INFERENCE_PATHS:
        paired = restored.get(inference_path, {})
        measures |= {f"{inference_path}_{name}": array for name, array in paired.items()}
    arrays = []
    for column in BLOCKS:
        if column.name == "image_id":
            array = pa.repeat(pa.scalar(image_id, column.type), is_partial.size)
        elif column.name in frame and not column.name.endswith("_count"):
            array = pa.array(frame[column.name], column.type)
        elif column.name in frame:
            array = pa.array(frame[column.name], column.type, mask=is_partial)
        elif column.name in measures:
            array = _spread(measures[column.name], is_partial, column.type)
        else:
            array = pa.nulls(is_partial.size, column.type)
        arrays.append(array)
    return pa.record_batch(arrays, schema=schema)


def _spread(
    measured: npt.NDArray[Any], is_partial: npt.NDArray[np.bool_], arrow_type: pa.DataType
) -> pa.FloatArray | pa.Int16Array | pa.Int32Array | pa.Int64Array | pa.Int8Array | pa.UInt32Array:
    """Put the whole blocks' values into the full grid, NULL where a block is partial."""
    dtype = arrow_type.to_pandas_dtype()
    if not is_partial.any():
        return pa.array(np.ascontiguousarray(measured, dtype=dtype).ravel(), arrow_type)
    values = np.zeros(is_partial.size, dtype)
    values[~is_partial] = measured.ravel()
    return pa.array(values, arrow_type, mask=is_partial)
