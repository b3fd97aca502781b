"""Decode one image file, once, into the grey values that are measured."""

import hashlib
import io
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from upscale_audit.ingest.errors import RejectedFileError

FORMATS_BY_SUFFIX = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}

REJECT_CODES = {
    "unreadable": "the operating system refused the file",
    "empty": "zero bytes",
    "too_many_bytes": "more bytes than an image of max_image_px pixels needs",
    "not_an_image": "the content is no PNG or JPEG",
    "wrong_format": "the content is another format than the file's suffix says",
    "undecodable": "truncated or damaged image data",
    "too_many_pixels": "more pixels than max_image_px",
    "too_small": "a side shorter than one block of 8 px",
    "bit_depth": "more than 8 bits a channel",
    "colour_mode": "a colour mode with no stated way to grey",
    "colour": "channels differ and the study rejects colour",
    "animated": "more than one frame",
    "size_mismatch": "another size than the reference",
    "name_not_utf8": "a file name that is no UTF-8 text: rename the file",
    "unsupported_suffix": "no image suffix (.png, .jpg, .jpeg)",
    "ambiguous_name": "several files could belong to one reference",
    "no_reference": "no reference has this name",
}

MIN_SIDE_PX = 8


@dataclass(frozen=True)
class ImageFacts:
    r"""What `source_files` records about one decoded file.

    Attributes
    ----------
    bytes : int
    file_sha256, pixel_sha256 : str
        Of the file, and of the decoded channels (one where they are equal, else RGB)
        preceded by ``"<channels> <height> <width>\n"``.
    width_px, height_px : int
    colour_mode : str
        Pillow's mode of the file.
    bit_depth : int
        Bits a channel.
    grey_rule : str
        ``none`` (one channel), ``equal_channels``, ``rec601``, or, where a real alpha was
        composited on white, ``on_white`` or ``rec601_on_white``.
    """

    bytes: int
    file_sha256: str
    pixel_sha256: str
    width_px: int
    height_px: int
    colour_mode: str
    bit_depth: int
    grey_rule: str


@dataclass(frozen=True)
class DecodedImage:
    """One decoded file.

    Attributes
    ----------
    grey : (M, N) uint8 array
    facts : ImageFacts
    rgb : (M, N, 3) uint8 array or None
        The colours where the channels differ.
    """

    grey: np.ndarray
    facts: ImageFacts
    rgb: np.ndarray | None = None


def limit_bytes(max_image_px):
    """Bytes that a file of `max_image_px` pixels may have: 8 a pixel, and 64 MiB beside them."""
    return 8 * max_image_px + (1 << 26)


def read_bytes(path, max_bytes=None):
    """Read a whole file, or reject it.

    Parameters
    ----------
    path : str or Path
    max_bytes : int, optional

    Returns
    -------
    bytes

    Raises
    ------
    RejectedFileError
        ``unreadable``: also for what is no regular file, since a pipe would never end.
        ``too_many_bytes``: it is larger than `max_bytes`.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RejectedFileError("unreadable", "not a regular file")
        with path.open("rb") as file:
            data = file.read(-1 if max_bytes is None else max_bytes + 1)
    except OSError as error:
        raise RejectedFileError("unreadable", error.strerror or str(error)) from None
    if max_bytes is not None and len(data) > max_bytes:
        raise RejectedFileError("too_many_bytes", f"more than {max_bytes}")
    return data


def decode_image(data, suffix, max_image_px, colour):
    """Decode the bytes of an image file to grey.

    Parameters
    ----------
    data : bytes
        The whole file; what is decoded is exactly what is hashed.
    suffix : str
        The file name's suffix, lower case, with its dot.
    max_image_px : int
        Larger images are refused from their header alone.
    colour : {"reduce", "reject"}
        What to do when channels differ.

    Returns
    -------
    DecodedImage

    Raises
    ------
    RejectedFileError
        With a key of `REJECT_CODES`.

    Notes
    -----
    The rule of the published generator (definitions A.0): RGBA is composited on white, any
    other mode converted to RGB, then Y = 0.299 R + 0.587 G + 0.114 B in OpenCV's fixed
    point. Where R = G = B, Y is that value exactly. Deviation: 16-bit, CMYK and animated
    files are rejected, where the generator would clip, convert or take the first frame.
    """
    if not data:
        raise RejectedFileError("empty", "0 bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
                _check_header(image, data, suffix, max_image_px)
                image.load()
                rgb, has_alpha = _to_channels(image)
                mode, depth = image.mode, _bit_depth(image, data)
        except (RejectedFileError, MemoryError):
            raise  # a full memory says nothing about the file
        except UnidentifiedImageError:
            raise RejectedFileError("not_an_image", f"starts with {data[:8]!r}") from None
        except Image.DecompressionBombError as error:
            raise RejectedFileError("too_many_pixels", str(error)) from None
        except Exception as error:  # damaged data surfaces as many types; none may stop the study
            if "out of memory" in str(error):  # Pillow's decoders say it as an OSError
                raise MemoryError(str(error)) from None
            raise RejectedFileError("undecodable", f"{type(error).__name__}: {error}") from None
    grey, grey_rule = _to_grey(rgb, has_alpha)
    if grey_rule.startswith("rec601") and colour == "reject":
        raise RejectedFileError("colour", f"mode {mode} with unequal channels")
    colours = rgb if grey_rule.startswith("rec601") else None
    facts = ImageFacts(
        bytes=len(data),
        file_sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=hash_pixels(grey if colours is None else colours),
        width_px=grey.shape[1],
        height_px=grey.shape[0],
        colour_mode=mode,
        bit_depth=depth,
        grey_rule=grey_rule,
    )
    return DecodedImage(grey, facts, colours)


def hash_pixels(pixels):
    """SHA-256 of decoded channels, (M, N) or (M, N, 3) uint8, preceded by their shape."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    digest = hashlib.sha256(f"{channels} {pixels.shape[0]} {pixels.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()


def _check_header(image, data, suffix, max_image_px):
    expected = FORMATS_BY_SUFFIX.get(suffix)
    if image.format != expected:
        raise RejectedFileError("wrong_format", f"{image.format} data in a {suffix} file")
    width, height = image.size
    if width * height > max_image_px:
        raise RejectedFileError(
            "too_many_pixels", f"{width}x{height} px; max_image_px is {max_image_px}"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise RejectedFileError("too_small", f"{width}x{height} px")
    if getattr(image, "n_frames", 1) > 1:
        raise RejectedFileError("animated", f"{image.n_frames} frames")
    depth = _bit_depth(image, data)
    if depth > 8:
        raise RejectedFileError("bit_depth", f"{depth} bits a channel, mode {image.mode}")
    if image.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA"):
        raise RejectedFileError("colour_mode", f"mode {image.mode}")


def _bit_depth(image, data):
    # Pillow silently reduces 16-bit RGB PNGs to 8 bits, so the header itself is asked: the
    # depth is the byte after signature (8), IHDR length and name (8), width and height (8).
    return data[24] if image.format == "PNG" else 8


def _to_channels(image):
    """Channels of a loaded image: (M, N) where there is one, else (M, N, 3); and alpha's use."""
    if image.mode == "L":
        return np.asarray(image), False
    if image.mode == "RGBA":
        has_alpha = image.getchannel("A").getextrema()[0] < 255
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return np.asarray(white), has_alpha
    return np.asarray(image.convert("RGB")), False


def _to_grey(channels, has_alpha):
    if channels.ndim == 2:
        return channels, "none"
    red = channels[..., 0]
    if np.array_equal(red, channels[..., 1]) and np.array_equal(red, channels[..., 2]):
        return np.ascontiguousarray(red), "on_white" if has_alpha else "equal_channels"
    grey = cv2.cvtColor(channels, cv2.COLOR_RGB2GRAY)
    return grey, "rec601_on_white" if has_alpha else "rec601"
