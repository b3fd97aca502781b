"""A network over a whole image, tile by tile, as Upscayl's program runs it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from upscale_audit.restore.variants import average_variants

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.networks import BatchNetwork, Network


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
    corners = [
        (top, left) for top in range(0, height, tile_px) for left in range(0, width, tile_px)
    ]
    sides = [(min(tile_px, height - top), min(tile_px, width - left)) for top, left in corners]
    seen = [
        padded[:, top : top + rows + 2 * prepad_px, left : left + cols + 2 * prepad_px]
        for (top, left), (rows, cols) in zip(corners, sides, strict=True)
    ]
    for index, result in _run_tiles(network, seen, tta):
        (top, left), (rows, cols) = corners[index], sides[index]
        restored[:, top * scale : (top + rows) * scale, left * scale : (left + cols) * scale] = (
            result[:, inner : inner + rows * scale, inner : inner + cols * scale]
        )
    return restored


def _run_tiles(
    network: Network, tiles: Sequence[npt.NDArray[np.float32]], tta: bool
) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Yield each tile's number and result, as many at once as the network wants."""
    size: int = getattr(network, "batch_size", 1)
    if size == 1:
        for index, tile in enumerate(tiles):
            yield index, average_variants(network.forward, tile) if tta else network.forward(tile)
        return
    several = cast("BatchNetwork", network)
    by_shape: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, tile in enumerate(tiles):
        by_shape[tile.shape].append(index)
    for indices in by_shape.values():
        for start in range(0, len(indices), size):
            part = indices[start : start + size]
            batch = np.stack([tiles[index] for index in part])
            results = several.average_batch(batch) if tta else several.forward_batch(batch)
            yield from zip(part, results, strict=True)


def to_bytes(planes: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Bring planes of 0..1 to uint8: times 255, rounded (half to even), clipped."""
    scaled = np.asarray(planes, np.float32) * np.float32(255)
    found: npt.NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
    return found
