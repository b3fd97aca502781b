"""A network over a whole image, tile by tile, as Upscayl's program runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.restore.variants import average_variants

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.networks import Network


def restore_tiles(
    network: Network, planes: npt.NDArray[np.float32], *, tile_px: int, prepad_px: int, tta: bool
) -> npt.NDArray[np.float32]:
    """Run a network over planes in tiles.

    Parameters
    ----------
    network : restore.networks.Network
    planes : (C, h, w) float32 array
        0..1.
    tile_px : int
        Side of a tile in pixels of `planes`; the last ones of a row or column are smaller.
    prepad_px : int
        What a tile sees of its surroundings on each side and leaves out of its result. Beyond
        the image it is reflected, the border pixel not repeated.
    tta : bool
        Average each tile over its eight flips and transpositions, in float32.

    Returns
    -------
    (C, h * scale, w * scale) float32 array
        Neither clamped nor rounded.
    """
    planes = np.asarray(planes, np.float32)
    channels, height, width = planes.shape
    scale = network.scale
    border = ((0, 0), (prepad_px, prepad_px), (prepad_px, prepad_px))
    padded = np.pad(planes, border, mode="reflect")
    restored = np.empty((channels, height * scale, width * scale), np.float32)
    inner = prepad_px * scale
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            rows, cols = min(tile_px, height - top), min(tile_px, width - left)
            tile = padded[:, top : top + rows + 2 * prepad_px, left : left + cols + 2 * prepad_px]
            result = average_variants(network.forward, tile) if tta else network.forward(tile)
            restored[
                :, top * scale : (top + rows) * scale, left * scale : (left + cols) * scale
            ] = result[:, inner : inner + rows * scale, inner : inner + cols * scale]
    return restored


def to_bytes(planes: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Bring planes of 0..1 to uint8: times 255, rounded (half to even), clipped."""
    scaled = np.asarray(planes, np.float32) * np.float32(255)
    found: npt.NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return found
