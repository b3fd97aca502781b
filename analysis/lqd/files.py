"""The published data file of a map and its statistics, byte for byte in format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.files import write_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.lqd.measure import QualityMap


DATA_NAME = "p6_local_quality_data.csv"
STATISTICS_NAME = "p6_local_quality_data_statistics.csv"
DATA_COLUMNS = (
    "row",
    "col",
    "local_ssim",
    "pixel_y_start",
    "pixel_x_start",
    "pixel_y_end",
    "pixel_x_end",
)
STATISTICS_COLUMNS = (
    "mean_ssim",
    "std_ssim",
    "min_ssim",
    "max_ssim",
    "median_ssim",
    "grid_rows",
    "grid_cols",
    "total_blocks",
    "patch_size",
)


def fill_published(quality_map: QualityMap) -> npt.NDArray[np.float64]:
    """Local SSIM as the published file has it, where no cell is empty.

    Parameters
    ----------
    quality_map : analysis.lqd.measure.QualityMap

    Returns
    -------
    (R, C) float64 array

    Notes
    -----
    The published generator clips a patch to the image. Where a side of what is left is
    shorter than the 7 px window, it copies the left neighbour (in the first column, the
    cell above; the first cell of all is 0). Our own data hold NULL in both cases
    (definitions B.1).
    """
    values = quality_map.clipped_ssim.copy()
    for row, col in np.argwhere(np.isnan(values)):
        if col > 0:
            values[row, col] = values[row, col - 1]
        else:
            values[row, col] = values[row - 1, 0] if row > 0 else 0.0
    return values


def write_published(quality_map: QualityMap, folder: Path) -> list[Path]:
    """Write the data file and the statistics file of a map.

    Parameters
    ----------
    quality_map : analysis.lqd.measure.QualityMap
    folder : Path

    Returns
    -------
    list of Path

    Notes
    -----
    UTF-8 without byte order mark, LF line ends. Numbers are spelled as the generator's
    pandas spells them: `local_ssim` rounded to six decimals and written with as few digits
    as name that float (0.95, not 0.950000), the statistics unrounded, with divisor n.
    ``*_end`` is exclusive and not clipped to the image.
    """
    values = fill_published(quality_map)
    paths = [folder / DATA_NAME, folder / STATISTICS_NAME]
    write_text(paths[0], spell_data(values, quality_map.patch_px))
    write_text(paths[1], spell_statistics(values, quality_map.patch_px))
    return paths


def spell_data(values: npt.NDArray[np.float64], patch_px: int) -> str:
    """Spell a map, (R, C) float64, as the text of the published data file."""
    lines = [",".join(DATA_COLUMNS)]
    for (row, col), value in np.ndenumerate(np.round(values, 6)):
        top, left = row * patch_px, col * patch_px
        lines.append(
            f"{row},{col},{float(value)!r},{top},{left},{top + patch_px},{left + patch_px}"
        )
    return "\n".join(lines) + "\n"


def spell_statistics(values: npt.NDArray[np.float64], patch_px: int) -> str:
    """Spell the statistics of a map, (R, C) float64, as the text of the published file."""
    moments = (values.mean(), values.std(), values.min(), values.max(), np.median(values))
    cells = [repr(float(value)) for value in moments]
    cells += [str(count) for count in (*values.shape, values.size, patch_px)]
    return ",".join(STATISTICS_COLUMNS) + "\n" + ",".join(cells) + "\n"
