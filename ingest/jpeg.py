"""Decode one JPEG, whole or not at all.

libjpeg goes on where a picture is broken and fills in grey; what it says of that is a warning,
which Pillow drops and OpenCV prints. Here every warning is an error.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simplejpeg

from upscale_audit.ingest.errors import RejectedFileError, require_sound

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


SIGNATURE = b"\xff\xd8\xff"
MAX_SCANS = 500
"""Scans of a progressive image that are decoded; encoders write about 10."""

_PROCESSES = {
    0xC3: "lossless", 0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical",
    0xC9: "arithmetic-coded", 0xCA: "arithmetic-coded", 0xCB: "arithmetic-coded",
    0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical", 0xF7: "JPEG-LS",
}  # fmt: skip
_FRAMES = {0xC0, 0xC1, 0xC2, *_PROCESSES}
_MODES = {1: "L", 3: "RGB", 4: "CMYK"}
_SOS, _EOI, _APP1, _APP2 = 0xDA, 0xD9, 0xE1, 0xE2
# What ends the coded data of a scan: a marker that is no stuffed byte, restart or fill.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


@dataclass(frozen=True)
class Header:
    """What a JPEG says of itself beside its pixels.

    Attributes
    ----------
    width_px, height_px, bit_depth, components, scans : int
    process : str or None
        The coding process where it is neither baseline nor progressive Huffman coding.
    exif, profile : bytes or None
        TIFF body of the first Exif segment; the ICC profile, its segments joined.
    frames : int
        Pictures in the file; more than one in a multi-picture file (MPO).
    """

    width_px: int
    height_px: int
    bit_depth: int
    components: int
    scans: int
    process: str | None
    exif: bytes | None
    profile: bytes | None
    frames: int

    orientation = gamma = None

    @property
    def mode(self) -> str:
        """Pillow's name of the colour mode."""
        return _MODES.get(self.components, f"{self.components} components")


def read_header(data: bytes) -> Header:
    """Walk the segments of a JPEG up to its end marker.

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
        ``truncated``: no end marker, or scans are missing. ``undecodable``: no frame header
        before the first scan, or two, or a header that contradicts itself.
    """
    frame, exif, profile, scans, frames = None, None, {}, [], 1
    for marker, body in _walk(data):
        if marker in _FRAMES:
            require_sound(frame is None, "two frame headers")
            require_sound(len(body) >= 6, "a frame header that is too short")
            frame = (_PROCESSES.get(marker), *struct.unpack_from(">BHHB", body))
            names = bytes(body[6::3])
        elif marker == _SOS:
            require_sound(frame is not None, "a scan before the frame header")
            scans.append(bytes(body))
        elif marker == _APP1 and body[:6] == b"Exif\0\0" and exif is None:
            exif = bytes(body[6:])
        elif marker == _APP2 and body[:12] == b"ICC_PROFILE\0" and len(body) >= 14:
            profile[body[12]] = bytes(body[14:])
        elif marker == _APP2 and body[:4] == b"MPF\0":
            frames = max(frames, _count_pictures(bytes(body[4:])))
    if frame is None or not scans:
        raise RejectedFileError("undecodable", "no scan")
    process, depth, height, width, components = frame
    require_sound(
        len(names) == components, f"a frame header of {len(names)}, not {components} parts"
    )
    if process is None:
        _check_scans(scans, names)
    joined = b"".join(profile[number] for number in sorted(profile)) or None
    return Header(width, height, depth, components, len(scans), process, exif, joined, frames)


def find_frame(head: bytes) -> tuple[int, int, int] | None:
    """Width, height and components in the first frame header; None where `head` ends before."""
    try:
        for marker, body in _walk(head):
            if marker in _FRAMES and len(body) >= 6:
                _, height, width, components = struct.unpack_from(">BHHB", body)
                return width, height, components
    except RejectedFileError:
        pass
    return None


def decode_pixels(data: bytes, components: int) -> npt.NDArray[np.uint8]:
    """Decode a JPEG of one or three components by libjpeg, its warnings taken as errors.

    Parameters
    ----------
    data : bytes
    components : {1, 3}

    Returns
    -------
    (M, N) or (M, N, 3) uint8 array
        Grey values, or RGB.

    Raises
    ------
    RejectedFileError
        ``truncated`` or ``undecodable``, with libjpeg's own words.
    MemoryError
    """
    try:
        pixels = simplejpeg.decode_jpeg(data, "GRAY" if components == 1 else "RGB", strict=True)
    except ValueError as error:
        if "emory" in str(error):
            raise MemoryError(str(error)) from None
        code = "truncated" if "remature end" in str(error) else "undecodable"
        raise RejectedFileError(code, f"libjpeg: {error}") from None
    found: npt.NDArray[np.uint8] = pixels[..., 0] if components == 1 else pixels
    return found


def _walk(data: bytes) -> Iterator[tuple[int, memoryview]]:
    """Marker and body of each segment up to the end marker; a scan's body is its header."""
    view, at = memoryview(data), 2
    while True:
        found = _MARKER.search(data, at)
        if found is None:
            raise RejectedFileError("truncated", "the file ends without an end marker")
        marker, at = data[found.end() - 1], found.end()
        if marker == _EOI:
            return
        if marker == 0x01:  # TEM stands alone
            continue
        require_sound(at + 2 <= len(data), "the file ends within a segment", "truncated")
        (size,) = struct.unpack_from(">H", data, at)
        require_sound(size >= 2, f"segment {marker:02X} of {size} bytes")
        require_sound(at + size <= len(data), "the file ends within a segment", "truncated")
        yield marker, view[at + 2 : at + size]
        at += size


def _check_scans(scans: Sequence[bytes], names: bytes) -> None:
    """Check that the scans hold every bit of every coefficient.

    libjpeg says nothing of a progressive picture whose last scans are missing: it smooths what
    there is, and each version in its own way.
    """
    missing = {name: [True] * 64 for name in names}
    for body in scans:
        count = body[0] if body else 0
        require_sound(
            1 <= count <= 4 and len(body) == 4 + 2 * count, "a scan header of a wrong length"
        )
        first, last, low_bit = body[-3], body[-2], body[-1] & 15
        for name in body[1:-3:2]:
            require_sound(name in missing, "a scan of a component that the frame does not have")
            missing[name][first : last + 1] = [low_bit > 0] * (min(last, 63) + 1 - first)
    if any(map(any, missing.values())):
        raise RejectedFileError("truncated", f"{len(scans)} scans, which do not hold all detail")


def _count_pictures(index: bytes) -> int:
    """Count the pictures of a multi-picture index (CIPA DC-007); 1 where it is unreadable."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(index[:4])
    if order is None or len(index) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", index, 4)
    if at + 2 > len(index):
        return 1
    (entries,) = struct.unpack_from(order + "H", index, at)
    for entry in range(at + 2, min(at + 2 + 12 * entries, len(index) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHII", index, entry)
        if tag == 0xB001:
            return int(value)
    return 1
