"""Linear and non-linear part of a restored image [OWN].

The linear part is the superposition of one impulse response per LR pixel, at its exact phase;
the non-linear part is the rest. Beside it stands the best linear part: the filter that explains
most of this very image, whatever the network does to a single pixel on a flat grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.hyra.impulse import run_network

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.hyra.impulse import Impulse
    from upscale_audit.restore.networks import Network


FIT_RADIUS_PX = 4
"""Reach of the best linear filter: 9 x 9 LR pixels, as far as Lanczos with four lobes."""


@dataclass(frozen=True)
class Parts:
    """A restored image and its two parts, without the frame that the LR image's end reaches.

    Attributes
    ----------
    restored, linear, nonlinear : (M, N) float64 arrays
        Grey, nominally 0..1; restored = linear + nonlinear.
    margin_px : int
        Restored pixels left out on every side.
    """

    restored: npt.NDArray[np.float64]
    linear: npt.NDArray[np.float64]
    nonlinear: npt.NDArray[np.float64]
    margin_px: int


def superpose(impulse: Impulse, grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Add up the responses to all LR pixels: a transposed convolution.

    Parameters
    ----------
    impulse : restore.hyra.impulse.Impulse
    grey : (h, w) array
        LR image, 0..1.

    Returns
    -------
    ((h - 2 r) * scale, (w - 2 r) * scale) float64 array
        With r the impulse's radius: where every LR pixel that counts lies inside the image.

    Raises
    ------
    StudyError
        The image has no such pixel.

    Notes
    -----
    ``H(I)[i] = flat[i mod s] + sum_c (I[c] - b) h[i - s c]``: the first-order expansion of the
    network around the base grey b. Where ``flat = b sum_c h``, as for every interpolator, it is
    ``sum_c I[c] h[i - s c]``. Each of the s x s phases is one convolution, by FFT in float64.
    """
    scale, reach = impulse.scale, 2 * impulse.radius_px
    height, width = grey.shape
    if min(height, width) <= reach:
        raise StudyError(
            f"expected an LR image of more than {reach} px a side, found {width}x{height}; choose"
            " larger references"
        )
    spectrum = np.fft.rfft2(np.asarray(grey, np.float64) - impulse.base)
    linear = np.empty((height * scale, width * scale))
    for row in range(scale):
        for col in range(scale):
            phase = impulse.response[row::scale, col::scale]
            # Circular: only the first `reach` rows and columns, cut below, wrap around.
            product = spectrum * np.fft.rfft2(phase, s=grey.shape)
            linear[row::scale, col::scale] = np.fft.irfft2(product, s=grey.shape)
            linear[row::scale, col::scale] += impulse.flat[row, col]
    return linear[reach * scale :, reach * scale :]


def split_parts(network: Network, impulse: Impulse, grey: npt.NDArray[np.float64]) -> Parts:
    """Restore an LR image and split the result.

    Parameters
    ----------
    network : restore.networks.Network
    impulse : restore.hyra.impulse.Impulse
        Of this network.
    grey : (h, w) array
        LR image, 0..1.

    Returns
    -------
    Parts
        ``nonlinear = N(I) - H(I)``.

    Raises
    ------
    StudyError
        The image is too small for the response, or the network does not answer.
    """
    linear = superpose(impulse, grey)
    margin = impulse.radius_px * impulse.scale
    restored = run_network(network, grey)[margin:-margin, margin:-margin]
    return Parts(restored, linear, restored - linear, margin)


def measure_linear_energy(parts: Parts) -> dict[str, float | None]:
    """Measure how much of the restored image the linear part is.

    Parameters
    ----------
    parts : Parts

    Returns
    -------
    dict of str to float or None
        ``hyra_lin_energy``: ``|H|**2 / |N|**2``, near 1 for any network, since the mean grey
        dominates both. ``hyra_lin_contrast``: the same of the deviations from the mean.
        ``nonlin_rms_dn``: root mean square of the non-linear part in grey levels. The ratios are
        None for an image without energy or contrast.
    """
    linear, restored = parts.linear, parts.restored
    energy, contrast = (restored**2).sum(), restored.var() * restored.size
    return {
        "hyra_lin_energy": float((linear**2).sum() / energy) if energy else None,
        "hyra_lin_contrast": float(linear.var() * linear.size / contrast) if contrast else None,
        "nonlin_rms_dn": float(255 * np.sqrt((parts.nonlinear**2).mean())),
    }


def fit_linear_part(
    parts: Parts, grey: npt.NDArray[np.float64], scale: int
) -> npt.NDArray[np.float64]:
    """Fit the linear filter that explains most of a restored image [OWN].

    Parameters
    ----------
    parts : Parts
    grey : (h, w) array
        The LR image, 0..1.
    scale : int

    Returns
    -------
    (M, N) float64 array
        The best linear part, of the size of `parts`.

    Raises
    ------
    StudyError
        The margin of `parts` is narrower than the filter.

    Notes
    -----
    For each of the s x s phases, least squares of the restored pixels on the 9 x 9 LR pixels
    around theirs and a constant. It is the best of all filters of that reach, so what it leaves
    cannot be blamed on the filter's shape; but it is fitted to one image, and another image has
    another one. Known in system identification as the best linear approximation.

    References
    ----------
    Pintelon, R., Schoukens, J. (2012). System Identification: A Frequency Domain Approach,
    2nd ed., chapter 3. doi:10.1002/9781118287422
    """
    margin = parts.margin_px // scale
    if margin < FIT_RADIUS_PX:
        raise StudyError(
            f"expected a margin of {FIT_RADIUS_PX} LR px or more, found {margin}; raise radius_px"
        )
    cut = margin - FIT_RADIUS_PX
    inner = np.asarray(grey, np.float64)[cut : grey.shape[0] - cut, cut : grey.shape[1] - cut]
    side = 2 * FIT_RADIUS_PX + 1
    windows = np.lib.stride_tricks.sliding_window_view(inner, (side, side))
    height, width = windows.shape[:2]
    design = np.ones((height * width, side * side + 1))
    design[:, 1:] = windows.reshape(height * width, -1) - inner.mean()
    phases = parts.restored.reshape(height, scale, width, scale).transpose(0, 2, 1, 3)
    targets = phases.reshape(height * width, scale * scale)
    weights = np.linalg.lstsq(design, targets, rcond=None)[0]
    fitted = (design @ weights).reshape(height, width, scale, scale).transpose(0, 2, 1, 3)
    found: npt.NDArray[np.float64] = fitted.reshape(parts.restored.shape)
    return found
