"""HyRA as its authors coded it (arXiv:2405.07919), flaws included: for comparison with the paper.

Nothing else here uses it; the measured columns come from `restore.hyra.impulse` and `.parts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    import numpy.typing as npt


def quantise_impulse(response: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Turn a response into the 8-bit image that the published program reads.

    Parameters
    ----------
    response : (K, K) float array
        ``N(delta)``: the network's answer to one white pixel on black, 0..1 nominally.

    Returns
    -------
    (K, K) float64 array
        Multiples of 1/255 over their own maximum, 0..1.

    Raises
    ------
    StudyError
        The response is black.

    Notes
    -----
    What is negative, the side lobes among it, is gone, and so is the scale.
    """
    levels = np.rint(np.clip(response, 0, 1) * 255)
    if levels.max() == 0:
        raise StudyError(
            "the response to an impulse is black in 8 bits; expected a response to a white pixel"
        )
    found: npt.NDArray[np.float64] = levels / levels.max()
    return found


def split_as_published(
    grey: npt.NDArray[np.float64],
    impulse: npt.NDArray[np.float64],
    restored: npt.NDArray[np.float64],
    scale: int,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Split a restored image into the published program's two parts.

    Parameters
    ----------
    grey : (h, w) array
        LR image, 0..1.
    impulse : (K, L) array
        As `quantise_impulse` gives it.
    restored : (M, N) array
        What the network made of the LR image, 0..1.
    scale : int

    Returns
    -------
    linear, nonlinear : (P, Q) float64 arrays
        ``P = (h + 2 (K // (2 s))) s - K + 1``, Q likewise.

    Raises
    ------
    StudyError
        The LR image is not larger than the padding that reflects it.

    Notes
    -----
    The LR image is padded by reflection (the frame's pixel once), filled with zeros so that a
    sample is the first pixel of its cell, and correlated with the response where both overlap
    fully; the restored image is resized to that by nearest neighbour. Known flaws, kept:

    * correlation instead of convolution: right only for a symmetric response;
    * the sample sits at phase 0 of its cell, the response's centre does not: the linear part is
      shifted against the restored image, and resizing moves it again;
    * the response's maximum is set to 1, so the s x s phases have gains far from 1 (1.18 to 1.63
      in the paper's example) and G = N - H mixes that error of scale into the non-linear part;
    * 8 bits and clamping: see `quantise_impulse`.

    One flaw is not kept: the program swaps the paddings of height and width, which no square
    shows. The paper's own example cannot be rerun here: its images are not part of the project.
    """
    grey, impulse = np.asarray(grey, np.float64), np.asarray(impulse, np.float64)
    pads = [length // (2 * scale) for length in impulse.shape]
    if min(length - pad for length, pad in zip(grey.shape, pads, strict=True)) <= 0:
        raise StudyError(
            f"expected an LR image of more than {max(pads)} px a side, which is what its frame"
            f" reflects, found {grey.shape[1]}x{grey.shape[0]}; choose a larger one"
        )
    padded = np.pad(grey, [(pad, pad) for pad in pads], mode="reflect")
    stuffed = np.zeros([length * scale for length in padded.shape])
    stuffed[::scale, ::scale] = padded
    linear = _correlate_valid(stuffed, impulse)
    return linear, _resize_nearest(np.asarray(restored, np.float64), linear.shape) - linear


def _correlate_valid(
    image: npt.NDArray[np.float64], kernel: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Correlate where the kernel lies inside: ``sum_k image[i + k] kernel[k]``."""
    shape = image.shape
    product = np.fft.rfft2(image) * np.fft.rfft2(kernel, s=shape).conj()
    whole = np.fft.irfft2(product, s=shape)
    return whole[: shape[0] - kernel.shape[0] + 1, : shape[1] - kernel.shape[1] + 1]


def _resize_nearest(
    image: npt.NDArray[np.float64], shape: tuple[int, int]
) -> npt.NDArray[np.float64]:
    rows, cols = (
        np.arange(wanted) * length // wanted
        for wanted, length in zip(shape, image.shape, strict=True)
    )
    return image[np.ix_(rows, cols)]
