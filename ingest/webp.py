"""Decode one WebP, whole or not at all.

The container is walked here: libwebp reads a picture whose file ends early as far as a caller lets
it, and of an animation whichever frame is asked for.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import WebPImagePlugin

from upscale_audit.ingest.errors import RejectedFileError, require_sound

if TYPE_CHECKING:
    import numpy.typing as npt


SIGNATURE, KIND = b"RIFF", b"WEBP"
LOSSY, LOSSLESS = b"VP8 ", b"VP8L"


@dataclass(frozen=True)
class Header:
    """What a WebP says of itself before its pixels.

    Attributes
    ----------
    width_px, height_px : int
    frames : int
    has_alpha : bool
    exif, profile : bytes or None
    """

    width_px: int
    height_px: int
    frames: int
    has_alpha: bool
    exif: bytes | None
    profile: bytes | None

    bit_depth = 8
    orientation = gamma = None

    @property
    def mode(self) -> str:
        """Pillow's name of the colour mode."""
        return "RGBA" if self.has_alpha else "RGB"


def read_header(data: bytes) -> Header:
    """Walk all chunks of a WebP and check what holds them together.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    Header

    Raises
    ------
    RejectedFileError
        ``truncated``: a chunk or the container is longer than the file. ``undecodable``: no
        picture, more than one, or sizes that contradict each other.
    """
    require_sound(len(data) >= 20, f"{len(data)} bytes; a WebP's header has 20", "truncated")
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    require_sound(end <= len(data), f"{len(data)} bytes of a container of {end}", "truncated")
    chunks: dict[bytes, memoryview] = {}
    pictures, frames = [], 0
    for kind, body in _walk(memoryview(data)[:end]):
        if kind in (LOSSY, LOSSLESS):
            pictures.append((kind, body))
        elif kind == b"ANMF":
            frames += 1
        else:
            chunks.setdefault(kind, body)
    canvas = chunks.get(b"VP8X")
    is_animated = frames or b"ANIM" in chunks
    require_sound(is_animated or len(pictures) == 1, f"{len(pictures)} pictures in a still WebP")
    require_sound(canvas is None or len(canvas) == 10, "a VP8X chunk of another length")
    stated = None if canvas is None else _read_canvas(canvas)
    found, has_alpha = _read_frame(*pictures[0]) if pictures else (stated, False)
    if found is None:
        raise RejectedFileError("undecodable", "an animation without its canvas")
    fits = stated in (None, found)
    require_sound(fits, f"a picture of {found[0]}x{found[1]} px on a canvas of {stated}")
    exif, profile = chunks.get(b"EXIF"), chunks.get(b"ICCP")
    return Header(
        *found,
        max(frames, 2) if is_animated else 1,
        has_alpha or b"ALPH" in chunks,
        None if exif is None else bytes(exif).removeprefix(b"Exif\0\0"),
        None if profile is None else bytes(profile),
    )


def peek_size(head: bytes) -> int:
    """Pixels of a WebP, by how its file begins; 0 where that does not tell."""
    try:
        kind, body = next(_walk(memoryview(head), is_whole=False))
        size = _read_canvas(body) if kind == b"VP8X" else _read_frame(kind, body)[0]
    except (RejectedFileError, StopIteration, struct.error):
        return 0
    return size[0] * size[1]


def decode_samples(header: Header, data: bytes) -> npt.NDArray[np.uint8]:
    """Decode a WebP by libwebp.

    Parameters
    ----------
    header : Header
        Of one frame.
    data : bytes

    Returns
    -------
    (M, N, 3) or (M, N, 4) uint8 array
        RGB, or RGBA.

    Raises
    ------
    RejectedFileError
        ``undecodable``: libwebp finds the picture damaged or too short.
    MemoryError
    """
    try:
        image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
        samples = np.asarray(image)
    except MemoryError:
        raise
    except Exception as error:  # libwebp says no more than that it failed, Pillow in several types
        raise RejectedFileError("undecodable", f"libwebp: {error}") from None
    require_sound(
        samples.shape[:2] == (header.height_px, header.width_px), "pixels of another size"
    )
    channels = 4 if header.has_alpha else 3
    return samples[..., :channels] if samples.shape[2] >= channels else _add_opaque(samples)


def _walk(view: memoryview, is_whole: bool = True) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each chunk of the container; of a part of one, what there is of it."""
    at = 12
    while at < len(view):
        require_sound(at + 8 <= len(view), "the container ends within a chunk", "truncated")
        (size,) = struct.unpack_from("<I", view, at + 4)
        is_there = at + 8 + size <= len(view) or not is_whole
        require_sound(is_there, "the container ends within a chunk", "truncated")
        yield bytes(view[at : at + 4]), view[at + 8 : at + 8 + size]
        at += 8 + size + size % 2


def _read_canvas(body: memoryview) -> tuple[int, int]:
    """Width and height that a VP8X chunk states."""
    width, height = (1 + int.from_bytes(body[at : at + 3], "little") for at in (4, 7))
    return width, height


def _read_frame(kind: bytes, body: memoryview) -> tuple[tuple[int, int], bool]:
    """Width and height of a picture, and whether it holds an alpha of its own."""
    if kind == LOSSY:
        is_key = len(body) >= 10 and bytes(body[3:6]) == b"\x9d\x01\x2a" and not body[0] & 1
        require_sound(is_key, "a lossy picture without its start")
        width, height = struct.unpack_from("<HH", body, 6)
        return (width & 0x3FFF, height & 0x3FFF), False
    require_sound(len(body) >= 5 and body[0] == 0x2F, "a lossless picture without its start")
    bits = int.from_bytes(body[1:5], "little")
    return (1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)), bool(bits >> 28 & 1)


def _add_opaque(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.dstack([samples, np.full(samples.shape[:2], 255, np.uint8)])
