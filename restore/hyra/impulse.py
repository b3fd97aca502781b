"""The impulse response of a network: how one LR pixel spreads over the restored image [OWN].

A network has biases and clamps, so it is asked around a mid-grey instead of on black:
``h = (N(b + a delta) - N(b)) / a``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.networks import Network


GREY_WEIGHTS = (0.299, 0.587, 0.114)
"""Rec. 601, as images are reduced to grey everywhere here (definitions A.0)."""

# Both parities in both directions, and four places within a window of SwinIR.
_POSITIONS = ((0, 0), (1, 2), (2, 1), (3, 3))
_POSITIONS_SIDE = 4
# A change of sign among values this small against the peak is rounding, not a lobe.
_LEAST_LOBE = 1e-3


@dataclass(frozen=True)
class ImpulseParameters:
    """What decides an impulse response; hashed into the manifest.

    Attributes
    ----------
    base : float
        Grey around which the network is asked, 0..1.
    steps : tuple of float
        Heights of the impulse, 0..1, ascending; each is asked with both signs. The first, small
        enough for the network's derivative, makes the linear part; the others show how far that
        derivative carries.
    radius_px : int
        The response is kept to so many LR pixels on each side of its own.
    guard_px : int
        LR pixels between the kept response and the frame of the canvas.
    """

    base: float = 0.5
    steps: tuple[float, ...] = (1 / 255, 16 / 255, 64 / 255)
    radius_px: int = 16
    guard_px: int = 8

    def __post_init__(self) -> None:
        ordered = [0.0, *self.steps, min(self.base, 1 - self.base)]
        if not self.steps or sorted(ordered) != ordered or 0.0 in self.steps:
            raise ValueError(
                f"expected ascending steps above 0 with base - step and base + step within 0..1,"
                f" found {self.steps} and base {self.base}"
            )
        if self.radius_px < 1 or self.guard_px < 0:
            raise ValueError(
                f"expected radius_px of 1 or more and guard_px of 0 or more, found"
                f" {self.radius_px} and {self.guard_px}"
            )


@dataclass(frozen=True)
class Impulse:
    """The measured response.

    Attributes
    ----------
    response : (K, K) float64 array
        Output per unit of input, K = (2 radius_px + 1) scale; the cell of the LR pixel itself
        starts at ``[radius_px * scale, radius_px * scale]``.
    flat : (scale, scale) float64 array
        What the network makes of the base grey, by phase, 0..1.
    scale, radius_px : int
    base, step : float
        Of the measurement, 0..1.
    position_spread : float
        Root mean square distance between the responses at single positions and their mean, over
        the norm of the mean: 0 for a network that treats all LR pixels alike.
    step_spread : float
        Half the distance between the responses to a step up and a step down, over the norm of
        their mean: 0 where the network is linear around the base.
    tail_energy_ratio : float
        Share of the response's energy beyond `radius_px`, 0..1.
    """

    response: npt.NDArray[np.float64]
    flat: npt.NDArray[np.float64]
    scale: int
    radius_px: int
    base: float
    step: float
    position_spread: float
    step_spread: float
    tail_energy_ratio: float


def run_network(network: Network, grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Run a network on a grey image as on a radiograph.

    Parameters
    ----------
    network : restore.networks.Network
        Planes are handed over in its `dtype` where it names one (float64 for restorers that
        compute so), else in float32.
    grey : (h, w) array
        LR image, nominally 0..1.

    Returns
    -------
    (h * scale, w * scale) float64 array
        Three equal planes in, Rec. 601 of what comes out; neither clamped nor rounded, so that
        the way to grey is linear.

    Raises
    ------
    StudyError
        The network returns planes of another number or size, or values that are not finite.
    """
    planes = np.repeat(np.asarray(grey)[None], 3, axis=0)
    planes = np.ascontiguousarray(planes, getattr(network, "dtype", np.float32))
    output = np.asarray(network.forward(planes), np.float64)
    expected = (3, planes.shape[1] * network.scale, planes.shape[2] * network.scale)
    if output.shape != expected:
        raise StudyError(
            f"network {type(network).__name__}: expected planes of {expected} for {planes.shape},"
            f" found {output.shape}; correct its scale, now {network.scale}"
        )
    if not np.isfinite(output).all():
        raise StudyError(
            f"network {type(network).__name__}: expected finite values, found"
            f" {np.count_nonzero(~np.isfinite(output))} others; load other weights"
        )
    return np.tensordot(GREY_WEIGHTS, output, axes=1)


def measure_impulses(network: Network, parameters: ImpulseParameters) -> tuple[Impulse, ...]:
    """Measure a network's impulse response at each height of the impulse.

    Parameters
    ----------
    network : restore.networks.Network
    parameters : ImpulseParameters

    Returns
    -------
    tuple of Impulse
        In the order of ``parameters.steps``. See `measure_impulse`.
    """
    return tuple(measure_impulse(network, parameters, step) for step in parameters.steps)


def measure_impulse(network: Network, parameters: ImpulseParameters, step: float) -> Impulse:
    """Measure a network's impulse response [OWN].

    Parameters
    ----------
    network : restore.networks.Network
    parameters : ImpulseParameters
    step : float
        Height of the impulse, 0..1.

    Returns
    -------
    Impulse

    Raises
    ------
    StudyError
        The network does not answer, or answers an impulse with nothing.

    Notes
    -----
    ``h = mean over a and c of (N(b + a delta_c) - N(b)) / a`` with a = ±step, so that terms of
    even order cancel, and four centres c that differ in both parities, each response shifted
    back by whole LR pixels. No value is clamped or rounded, and the phase of every output pixel
    within its LR cell is kept. Deviation from arXiv:2405.07919, which asks on black and reads
    the response from an 8-bit image: see `restore.hyra.published`.
    """
    scale, radius = network.scale, parameters.radius_px
    first = radius + parameters.guard_px
    side = 2 * first + _POSITIONS_SIDE
    canvas = np.full((side, side), parameters.base)
    flat = run_network(network, canvas)
    responses, tails = [], []
    for row, col in _POSITIONS:
        for signed in (step, -step):
            probe = canvas.copy()
            probe[first + row, first + col] += signed
            whole = (run_network(network, probe) - flat) / signed
            kept = _crop_cells(whole, first + row, first + col, radius, scale)
            tails.append(((whole**2).sum(), (kept**2).sum()))
            responses.append(kept)
    stacked = np.array(responses).reshape(len(_POSITIONS), 2, *responses[0].shape)
    response = stacked.mean(axis=(0, 1))
    norm = float(np.linalg.norm(response))
    if norm == 0:
        raise StudyError(
            f"network {type(network).__name__}: a step of {step:g} on"
            f" {parameters.base:g} changes nothing in its output; load other weights"
        )
    apart = stacked.mean(axis=1) - response
    up_down = stacked[:, 0] - stacked[:, 1]
    energy, kept_energy = np.sum(tails, axis=0)
    return Impulse(
        response=response,
        flat=_fold_phases(flat, first, scale),
        scale=scale,
        radius_px=radius,
        base=parameters.base,
        step=step,
        position_spread=_root_mean_norm(apart) / norm,
        step_spread=_root_mean_norm(up_down) / 2 / norm,
        tail_energy_ratio=float(1 - kept_energy / energy),
    )


def _crop_cells(
    whole: npt.NDArray[np.float64], row: int, col: int, radius: int, scale: int
) -> npt.NDArray[np.float64]:
    top, left, side = (row - radius) * scale, (col - radius) * scale, (2 * radius + 1) * scale
    return whole[top : top + side, left : left + side]


def _fold_phases(flat: npt.NDArray[np.float64], first: int, scale: int) -> npt.NDArray[np.float64]:
    """Mean by phase over the cells in which impulses were set."""
    side = _POSITIONS_SIDE
    cells = flat[first * scale : (first + side) * scale, first * scale : (first + side) * scale]
    found: npt.NDArray[np.float64] = cells.reshape(side, scale, side, scale).mean(axis=(0, 2))
    return found


def _root_mean_norm(arrays: npt.NDArray[np.float64]) -> float:
    return math.sqrt((arrays**2).sum(axis=(1, 2)).mean())


def measure_phase_gains(impulse: Impulse) -> npt.NDArray[np.float64]:
    """Measure what each output phase makes of a constant.

    Parameters
    ----------
    impulse : Impulse

    Returns
    -------
    (scale, scale) float64 array
        Sum of the response over all LR pixels, by phase; 1 everywhere for an interpolator. Where
        the phases differ, a flat area gets a pattern of period `scale`.
    """
    side, scale = 2 * impulse.radius_px + 1, impulse.scale
    found: npt.NDArray[np.float64] = impulse.response.reshape(side, scale, side, scale).sum(
        axis=(0, 2)
    )
    return found


def list_offsets(impulse: Impulse) -> npt.NDArray[np.float64]:
    """List the distances of the response's rows (and columns) from the LR pixel's centre.

    Returns
    -------
    (K,) float64 array
        Restored pixels; halves where the scale is even.
    """
    count = impulse.response.shape[0]
    rows = np.arange(count) - impulse.radius_px * impulse.scale
    return np.asarray(rows - (impulse.scale - 1) / 2, np.float64)


def take_profiles(impulse: Impulse) -> npt.NDArray[np.float64]:
    """Take the response along the row and the column through the LR pixel's centre.

    Returns
    -------
    (2, K) float64 array
        Along the row, along the column. For an even scale the centre lies between two pixels,
        whose mean is taken.
    """
    start = impulse.radius_px * impulse.scale
    middle = slice(start + (impulse.scale - 1) // 2, start + impulse.scale // 2 + 1)
    response = impulse.response
    return np.array([response[middle].mean(axis=0), response[:, middle].mean(axis=1)])


def find_zero_crossings(
    profile: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64]
) -> list[list[float]]:
    """Find where a profile's lobes end, outwards from the centre.

    Parameters
    ----------
    profile, offsets : (K,) float64 arrays

    Returns
    -------
    list of list of float
        Distances from the centre in restored pixels, ascending: towards negative offsets, then
        towards positive ones. Between pixels the profile is taken to be straight; a lobe that
        does not reach a thousandth of the peak is none.
    """
    least = _LEAST_LOBE * np.abs(profile).max()
    sides = []
    for outwards in (offsets <= 0, offsets >= 0):
        distances, values = np.abs(offsets[outwards]), profile[outwards]
        order = np.argsort(distances)
        sides.append(_cross_one_side(distances[order], values[order], least))
    return sides


def _cross_one_side(
    distances: npt.NDArray[np.float64], values: npt.NDArray[np.float64], least: float
) -> list[float]:
    crossings: list[float] = []
    sign: float | None = None
    place = 0
    for index in np.flatnonzero(np.abs(values) >= least):
        if sign is not None and np.sign(values[index]) != sign:
            # The sign changes somewhere between the last and this lobe, at a step that crosses.
            steps = np.arange(place, index)
            step = steps[np.sign(values[steps + 1]) != sign][0]
            share = values[step] / (values[step] - values[step + 1])
            crossings.append(
                float(distances[step] + share * (distances[step + 1] - distances[step]))
            )
        sign, place = float(np.sign(values[index])), int(index)
    return crossings


def describe_impulse(impulse: Impulse) -> dict[str, float | None]:
    """Say in numbers what the response looks like.

    Parameters
    ----------
    impulse : Impulse

    Returns
    -------
    dict of str to float, int or None
        ``zero_crossing_px``: mean distance of the first zero crossing over the four directions;
        ``zero_spacing_px``: mean distance between the first and the second one. A separable sinc
        has both equal to the scale (the sinc phenomenon); None where a direction has none.
        ``side_lobe``: lowest value of the two profiles over the highest; 0 or above if
        none is negative. ``gain_min``, ``gain_max``: of the phases. ``flat_shift_dn``,
        ``flat_range_dn``: what the base grey becomes, less itself, and its span over the phases,
        in grey levels. And spreads and tail of `Impulse`.

    Notes
    -----
    All [OWN]. The paper shows the response as a picture and gives no numbers.
    """
    profiles, offsets = take_profiles(impulse), list_offsets(impulse)
    sides = [side for profile in profiles for side in find_zero_crossings(profile, offsets)]
    firsts = [side[0] for side in sides if side]
    spacings = [side[1] - side[0] for side in sides if len(side) > 1]
    gains = measure_phase_gains(impulse)
    return {
        "scale": impulse.scale,
        "radius_px": impulse.radius_px,
        "zero_crossing_px": math.fsum(firsts) / 4 if len(firsts) == 4 else None,
        "zero_spacing_px": math.fsum(spacings) / 4 if len(spacings) == 4 else None,
        "side_lobe": float(profiles.min() / profiles.max()) if profiles.max() > 0 else None,
        "gain_min": float(gains.min()),
        "gain_max": float(gains.max()),
        "flat_shift_dn": float(255 * (impulse.flat.mean() - impulse.base)),
        "flat_range_dn": float(255 * np.ptp(impulse.flat)),
        "position_spread": impulse.position_spread,
        "step_spread": impulse.step_spread,
        "tail_energy_ratio": impulse.tail_energy_ratio,
    }
