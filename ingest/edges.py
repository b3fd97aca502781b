"""The pixels beside a reference's edges, where ringing is looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import IngestParameters


NEAREST_PX = 2
FARTHEST_PX = 5


def find_thresholds(grey: npt.NDArray[np.uint8], parameters: IngestParameters) -> tuple[int, int]:
    """Canny thresholds for one reference.

    Parameters
    ----------
    grey : (M, N) uint8 array
    parameters : ingest.study.IngestParameters

    Returns
    -------
    low, high : int
        L1 Sobel magnitudes, 0..2040. Adaptive rule [OWN]: `high` is the smallest magnitude
        that at least `edge_quantile` of the pixels do not exceed, `low` half of it rounded
        down. The generator's fixed 100 and 200 leave 2 to 12 % of a radiograph's blocks
        with any ringing pixel; this rule leaves about half.
    """
    if parameters.edge_rule == "fixed":
        return parameters.edge_low_dn, parameters.edge_high_dn
    across = cv2.Sobel(grey, cv2.CV_16S, 1, 0, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(grey, cv2.CV_16S, 0, 1, borderType=cv2.BORDER_REPLICATE)
    counts = _count_magnitudes(across, down)
    needed = int(np.ceil(parameters.edge_quantile * grey.size))
    high = int(np.searchsorted(np.cumsum(counts), needed))
    return high // 2, high


def mark_ringing_pixels(grey: npt.NDArray[np.uint8], low: int, high: int) -> npt.NDArray[np.uint8]:
    """Mark pixels at Chebyshev distance 2 to 5 from a Canny edge of the reference.

    Parameters
    ----------
    grey : (M, N) uint8 array
    low, high : int
        From `find_thresholds`.

    Returns
    -------
    (M, N) uint8 array of 0 and 1
        "Distance" is to the nearest edge pixel: pixels closer than 2 px to any edge are
        not marked. After Marziliano et al., Signal Process. Image Commun. 19 (2004)
        163-172, doi:10.1016/j.image.2003.08.003.
    """
    edges = cv2.Canny(grey, low, high)
    near = cv2.dilate(edges, _square(NEAREST_PX - 1))
    far = cv2.dilate(edges, _square(FARTHEST_PX))
    found: npt.NDArray[np.uint8] = ((far > 0) & (near == 0)).astype(np.uint8)
    return found


def _square(radius: int) -> npt.NDArray[np.uint8]:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


@njit(cache=True, nogil=True)
def _count_magnitudes(
    across: npt.NDArray[np.int16], down: npt.NDArray[np.int16]
) -> npt.NDArray[np.int64]:
    counts = np.zeros(2041, np.int64)
    for row in range(across.shape[0]):
        for col in range(across.shape[1]):
            counts[abs(across[row, col]) + abs(down[row, col])] += 1
    return counts
