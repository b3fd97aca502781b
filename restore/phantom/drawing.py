"""Draw a copy's conditions into an image, and measure what was drawn and what came through."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest import lr_loops as loops
from upscale_audit.ingest.lr import LrImage
from upscale_audit.restore.phantom.kinds import draw_condition, find_texture

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.phantom.design import Condition
    from upscale_audit.restore.phantom.sites import Site


class Splitter:
    """Splits an image into what an LR rule sees of it and what it does not.

    Parameters
    ----------
    shape : (int, int)
        Of the image, multiples of `scale`.
    lr_rule : {"opencv_cubic", "antialiased"}
    scale : {2, 3, 4}
    """

    def __init__(self, shape: tuple[int, int], lr_rule: str, scale: int) -> None:
        self._lr = LrImage(np.zeros([side // scale for side in shape], np.uint8), lr_rule, scale)

    def project(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Project a (M, N) float64 array onto what the rule sees."""
        rows, cols = self._lr.rows, self._lr.cols
        across = loops.reduce_rows(loops.transpose(values), cols.starts, cols.taps)
        return self._lr.project(loops.reduce_rows(loops.transpose(across), rows.starts, rows.taps))


def draw_into(
    grey: npt.NDArray[np.uint8],
    sites: Sequence[Site],
    conditions: Sequence[Condition | None],
    splitter: Splitter | None = None,
) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Draw a condition at each site of an image.

    Parameters
    ----------
    grey : (M, N) uint8 array
    sites : list of restore.phantom.sites.Site
    conditions : list of restore.phantom.design.Condition or None
        One a site; None draws nothing there.
    splitter : Splitter, optional
        Needed where a component is not ``full``.

    Returns
    -------
    drawn : (M, N) uint8 array
        Rounded half to even, and clipped.
    clipped : list of int
        Pixels of each site's window that were clipped.

    Notes
    -----
    ``range`` is the projection of what is drawn at those sites, ``null`` the rest: both have faint
    tails beyond the shape, which fall by two thirds an LR pixel.
    """
    image = grey.astype(np.float64)
    texture = find_texture(image)
    added = {component: np.zeros(grey.shape) for component in ("full", "range", "null")}
    for number, condition in enumerate(conditions):
        if condition is None:
            continue
        window = sites[number].window
        added[condition.component][window] += draw_condition(
            condition, image, texture, sites, number
        )
    total = image + added["full"]
    if splitter is not None and added["range"].any():
        total += splitter.project(added["range"])
    if splitter is not None and added["null"].any():
        total += added["null"] - splitter.project(added["null"])
    rounded = np.rint(total)
    is_clipped = (rounded < 0) | (rounded > 255)
    drawn = np.clip(rounded, 0, 255).astype(np.uint8)
    return drawn, [int(is_clipped[site.window].sum()) for site in sites]


def measure_drawn(
    grey: npt.NDArray[np.uint8],
    drawn: npt.NDArray[np.uint8],
    sites: Sequence[Site],
    splitter: Splitter | None = None,
) -> list[dict[str, Any]]:
    """Measure what was drawn at each site, after rounding.

    Parameters
    ----------
    grey, drawn : (M, N) uint8 arrays
        Before and after.
    sites : list of restore.phantom.sites.Site
    splitter : Splitter, optional

    Returns
    -------
    list of dict
        ``energy_dn2``, the sum of its squares; ``range_dn2``, its product with what the rule sees
        of it, None without a rule; ``drawn_sha256``, of its 72 x 72 values as int16, little-endian.
    """
    difference = drawn.astype(np.float64) - grey
    seen = None if splitter is None else splitter.project(difference)
    facts = []
    for site in sites:
        values = difference[site.window]
        data = np.ascontiguousarray(values.astype("<i2")).tobytes()
        facts.append(
            {
                "energy_dn2": float((values**2).sum()),
                "range_dn2": None if seen is None else float((values * seen[site.window]).sum()),
                "drawn_sha256": hashlib.sha256(data).hexdigest(),
            }
        )
    return facts


def measure_response(
    grey: npt.NDArray[np.uint8],
    drawn: npt.NDArray[np.uint8],
    restored: npt.NDArray[np.number],
    restored_drawn: npt.NDArray[np.number],
    sites: Sequence[Site],
) -> list[dict[str, float]]:
    """Measure what came through at each site.

    Parameters
    ----------
    grey, drawn : (M, N) uint8 arrays
        A reference before and after drawing: s is their difference.
    restored, restored_drawn : (M, N) uint8 arrays
        What a restorer makes of each.
    sites : list of restore.phantom.sites.Site

    Returns
    -------
    list of dict
        ``response_dn2``: <R(A(x + s)) - R(A x), s> over the site's window; ``residue_dn2``: the sum
        of squares of what of the difference is no multiple of s.
    """
    signal = drawn.astype(np.float64) - grey
    change = restored_drawn.astype(np.float64) - restored
    facts = []
    for site in sites:
        drawn_here, change_here = signal[site.window], change[site.window]
        energy, response = (drawn_here**2).sum(), (change_here * drawn_here).sum()
        rest = (change_here**2).sum() - (response**2 / energy if energy else 0)
        facts.append({"response_dn2": float(response), "residue_dn2": max(0.0, float(rest))})
    return facts
