"""Restorers without a network: interpolation, and damage whose truth is known.

The controls damage the reference itself: what an audit should say of them follows from their
definition.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from upscale_audit.ingest.images import hash_pixels

if TYPE_CHECKING:
    import numpy.typing as npt


INTERPOLATIONS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}


def interpolate(
    image: npt.NDArray[np.uint8], height: int, width: int, kind: str
) -> npt.NDArray[np.uint8]:
    """Enlarge an image by Pillow's bicubic (a = -0.5) or Lanczos (3 lobes).

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    height, width : int
        Size of the result.
    kind : {"bicubic", "lanczos"}

    Returns
    -------
    (height, width) or (height, width, 3) uint8 array

    Notes
    -----
    Pillow interpolates rows, rounds to 8 bits, then columns: on an image and its transpose the
    results may differ by one level.
    """
    return np.asarray(Image.fromarray(image).resize((width, height), INTERPOLATIONS[kind]))


def blur(image: npt.NDArray[np.uint8], sigma_px: float) -> npt.NDArray[np.uint8]:
    """Blur by a sampled Gaussian.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    sigma_px : float

    Returns
    -------
    array like `image`

    Notes
    -----
    float32, kernel cut at 4 sigma, borders reflected without repeating the border pixel, rounded
    half to even.
    """
    return _to_bytes(_smooth(image, sigma_px))


def sharpen(image: npt.NDArray[np.uint8], sigma_px: float, amount: float) -> npt.NDArray[np.uint8]:
    """Sharpen by an unsharp mask: ``image + amount * (image - smooth(image))``.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    sigma_px : float
        Of the Gaussian, as in `blur`.
    amount : float

    Returns
    -------
    array like `image`
        Clipped and rounded half to even.
    """
    values = image.astype(np.float32)
    return _to_bytes(values + np.float32(amount) * (values - _smooth(image, sigma_px)))


def add_noise(image: npt.NDArray[np.uint8], sigma_dn: float, seed: str) -> npt.NDArray[np.uint8]:
    """Add white Gaussian noise.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    sigma_dn : float
        Standard deviation in grey levels, before clipping and rounding.
    seed : str
        Enters, with the pixels, the hash that draws the noise: the same image gets the same
        noise, any other image, a flipped one too, its own.

    Returns
    -------
    array like `image`
    """
    digest = hashlib.sha256(f"{seed} {hash_pixels(image)}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return _to_bytes(image + generator.normal(0.0, sigma_dn, image.shape))


def compress_jpeg(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    """Encode as JPEG and decode again, with Pillow; colour is not subsampled.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    quality : int
        1..100, of libjpeg.

    Returns
    -------
    array like `image`
    """
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)


def damage_frame(
    image: npt.NDArray[np.uint8], width_px: int, sigma_px: float
) -> npt.NDArray[np.uint8]:
    """Blur the outermost pixels and leave the rest as it is.

    Parameters
    ----------
    image : (M, N) or (M, N, 3) uint8 array
    width_px : int
        How far from the border the damage reaches; the blur itself is that of the whole image.
    sigma_px : float
        Of the Gaussian, as in `blur`.

    Returns
    -------
    array like `image`
    """
    damaged = blur(image, sigma_px)
    inner = (slice(width_px, -width_px),) * 2
    damaged[inner] = image[inner]
    return damaged


def _smooth(image: npt.NDArray[np.uint8], sigma_px: float) -> npt.NDArray[np.float32]:
    size = 2 * int(np.ceil(4 * sigma_px)) + 1
    smooth = cv2.GaussianBlur(
        image.astype(np.float32), (size, size), sigma_px, borderType=cv2.BORDER_REFLECT_101
    )
    return np.asarray(smooth, np.float32)


def _to_bytes(values: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return found
