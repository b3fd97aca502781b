"""Other sizes and fewer channels: the Mitchell reduction, grey."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from upscale_audit.ingest.restorers import GREY_RULES
from upscale_audit.ingest.sizes import resample_mitchell

if TYPE_CHECKING:
    import numpy.typing as npt


def reduce_mitchell(image: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Reduce an sRGB image by a Mitchell filter in linear light.

    Parameters
    ----------
    image : (M, N, C) uint8 array
        sRGB values.
    height, width : int
        Size of the result, at most (M, N).

    Returns
    -------
    (height, width, C) uint8 array

    Notes
    -----
    v = EOTF(image / 255), resampled along rows and columns with the kernel of Mitchell and
    Netravali (B = C = 1/3) stretched by M / height and N / width, weights normalised to a sum of
    1, pixels beyond the border equal to the border's; then OETF, times 255, rounded half up,
    clipped. This is what Upscayl does to bring x4 to x2 (stb_image_resize2, its sRGB default),
    here in float64 where that program uses float32 and a table for the OETF.

    References
    ----------
    D. P. Mitchell, A. N. Netravali, Reconstruction filters in computer graphics, SIGGRAPH 1988.
    doi:10.1145/54852.378514. Transfer function: IEC 61966-2-1.
    """
    rows = resample_mitchell(_SRGB_TO_LINEAR[image], height)
    reduced = resample_mitchell(rows.swapaxes(0, 1), width).swapaxes(0, 1)
    return np.floor(_linear_to_srgb(reduced.clip(0, 1)) * 255 + 0.5).astype(np.uint8)


def to_grey(image: npt.NDArray[np.uint8], grey_rule: str) -> npt.NDArray[np.uint8]:
    """Reduce a restored image to grey.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    grey_rule : {"rec601", "mean", "keep"}
        Pillow's ``convert("L")``, Y = (19595 R + 38470 G + 7471 B + 32768) >> 16; the mean of the
        channels, rounded half up; or leave the channels, for ingest to reduce.

    Returns
    -------
    (M, N) uint8 array, or (M, N, 3) under ``keep``

    Raises
    ------
    ValueError
        The rule is none of `GREY_RULES`.
    """
    if grey_rule not in GREY_RULES:
        raise ValueError(f"grey_rule = {grey_rule!r}; expected one of {', '.join(GREY_RULES)}")
    if image.ndim == 2 or grey_rule == "keep":
        return image
    if grey_rule == "rec601":
        return np.asarray(Image.fromarray(image).convert("L"))
    total = image.sum(axis=2, dtype=np.uint16)
    found: npt.NDArray[np.uint8] = ((2 * total + 3) // 6).astype(np.uint8)
    return found


def _srgb_to_linear(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _linear_to_srgb(value: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


_SRGB_TO_LINEAR = _srgb_to_linear(np.arange(256) / 255)
