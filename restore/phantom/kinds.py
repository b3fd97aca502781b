"""What is drawn: shapes that are added, and textures that are taken away or put in another place.

Every shape lies in a window of 72 px about its site; coordinates are whole pixels from its middle.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from upscale_audit.restore.phantom.design import SHAPED
from upscale_audit.restore.phantom.sites import ANGLES, REACH_PX

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.phantom.design import Condition
    from upscale_audit.restore.phantom.sites import Site


WIRE_SIGMA_PX, WIRE_PX, EDGE_PX = 0.8, 48, 1.5
PATCH_PX, RIM_PX = 16, 4
"""Radius of what is altered, and of it the rim over which it fades."""
TEXTURE_SIGMA_PX = 2.0
"""Texture is what a Gaussian of this sigma takes away."""
NODULES_PX = {"nodule_8": 8, "nodule_16": 16, "nodule_32": 32}
BLOCK_PX = 8
LEAST_SHARE = 0.05
"""A block belongs to a site where the shape's energy in it is such a share of the largest one's."""


@functools.cache
def draw_shape(kind: str, angle: int) -> npt.NDArray[np.float64]:
    """Draw a kind of contrast 1; of kinds that alter what is there, the weight of the altered.

    Parameters
    ----------
    kind : str
        One of `restore.phantom.design.KINDS`.
    angle : int
        Sixteenths of a half turn.

    Returns
    -------
    (72, 72) float64 array
        Read-only.

    Notes
    -----
    nodule: (1 - r^2 / R^2)^1.5 inside R. wire: a Gaussian profile of sigma 0.8 px, 48 px long.
    edge: tanh(u / 1.5 px) / 2 across a line, a step of 1, in a patch of radius 16 px that fades
    over its outer 4 px by a raised cosine. erase, swap, mirror: that patch.

    References
    ----------
    A. E. Burgess, F. L. Jacobson, P. F. Judy, Human observer detection experiments with mammograms
    and power-law noise, Medical Physics 28, 2001. doi:10.1118/1.1355308.
    """
    rows, cols = np.mgrid[-REACH_PX:REACH_PX, -REACH_PX:REACH_PX].astype(float)
    distance = np.hypot(rows, cols)
    theta = np.pi * angle / ANGLES
    across = cols * np.sin(theta) - rows * np.cos(theta)
    along = cols * np.cos(theta) + rows * np.sin(theta)
    shape: npt.NDArray[np.float64]
    if kind in NODULES_PX:
        shape = np.clip(1 - (distance / NODULES_PX[kind]) ** 2, 0, None) ** 1.5
    elif kind == "wire":
        shape = np.exp(-(across**2) / (2 * WIRE_SIGMA_PX**2)) * (np.abs(along) <= WIRE_PX / 2)
    else:
        fade = np.clip((PATCH_PX - distance) / RIM_PX, 0, 1)
        shape = (1 - np.cos(np.pi * fade)) / 2
        if kind == "edge":
            shape = shape * np.tanh(across / EDGE_PX) / 2
    shape.flags.writeable = False
    return shape


def draw_condition(
    condition: Condition,
    image: npt.NDArray[np.float64],
    texture: npt.NDArray[np.float64],
    sites: Sequence[Site],
    number: int,
) -> npt.NDArray[np.float64]:
    """Draw a condition in full.

    Parameters
    ----------
    condition : restore.phantom.design.Condition
    image, texture : (M, N) float64 arrays
        What it is drawn into, and its texture (`find_texture`).
    sites : list of restore.phantom.sites.Site
        All of the image's.
    number : int
        Which of them.

    Returns
    -------
    (72, 72) float64 array
        What it adds to the site's window, in dn.

    Notes
    -----
    ``erase`` takes the texture away; ``swap`` puts that of the next site in its place (of the place
    on the other side, where there is no other site); ``mirror`` puts what lies on the other side of
    the image there, turned over, with the mean of what was there.
    """
    site = sites[number]
    shape = draw_shape(condition.kind, site.angle)
    if condition.kind in SHAPED:
        return (condition.contrast_dn or 0) * shape
    window = site.window
    if condition.kind == "erase":
        return -shape * texture[window]
    if condition.kind == "mirror" or len(sites) == 1:
        source = image if condition.kind == "mirror" else texture
        other = source[:, ::-1][window] - source[window]
        found: npt.NDArray[np.float64] = shape * (other - (shape * other).sum() / shape.sum())
        return found
    donor = sites[(number + 1) % len(sites)].window
    return shape * (texture[donor] - texture[window])


def find_texture(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Find the texture of an image: what a Gaussian of sigma 2 px takes away, (M, N) float64."""
    size = 2 * int(np.ceil(4 * TEXTURE_SIGMA_PX)) + 1
    return image - cv2.GaussianBlur(
        image, (size, size), TEXTURE_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101
    )


def list_blocks(kind: str, site: Site, block_rows: int, block_cols: int) -> list[tuple[int, int]]:
    """List the blocks of an image in which a kind would show at a site.

    Parameters
    ----------
    kind : str
    site : restore.phantom.sites.Site
    block_rows, block_cols : int
        Of the image.

    Returns
    -------
    list of (int, int)
        Rows and columns of blocks, zero-based, in order.

    Notes
    -----
    Of the shape alone: the same whatever the contrast, component, model or arm, and at a site where
    nothing was drawn.
    """
    top, left = (site.row_px - REACH_PX, site.col_px - REACH_PX)
    energy = np.zeros((block_rows, block_cols))
    rows, cols = (start + np.arange(2 * REACH_PX) for start in (top, left))
    rows, cols = (rows // BLOCK_PX)[:, None], (cols // BLOCK_PX)[None, :]
    is_inside = (rows < block_rows) & (cols < block_cols)
    shape = np.where(is_inside, draw_shape(kind, site.angle) ** 2, 0)
    np.add.at(energy, (np.minimum(rows, block_rows - 1), np.minimum(cols, block_cols - 1)), shape)
    is_shown = energy >= LEAST_SHARE * energy.max()
    return [(int(row), int(col)) for row, col in np.argwhere(is_shown)]
