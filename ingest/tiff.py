"""Decode one TIFF, whole or not at all.

libtiff goes on where a strip is short and prints what it thinks of it; which pixels it then gives
depends on the program around it. A strip takes few lines to unpack, so it is done here, and each
has to hold the bytes that the header promises.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numba import njit

from upscale_audit.ingest.errors import RejectedFileError, require_sound

if TYPE_CHECKING:
    import numpy.typing as npt


SIGNATURES = {b"II*\0": "<", b"MM\0*": ">"}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE = 0, 1, 2, 3
MULTIPLIED_ALPHA, ALPHA = 1, 2
MAX_TILE_PX = 1 << 22
"""Largest tile of an image that is smaller than it."""

_OTHER_COLOURS = {
    4: "a mask", 5: "CMYK", 6: "YCbCr", 8: "CIELab", 9: "ICCLab", 10: "ITULab",
    32803: "a colour filter array", 34892: "linear raw",
}  # fmt: skip
_NONE, _LZW, _DEFLATE, _PACKBITS = 1, 5, (8, 32946), 32773
_OTHER_COMPRESSIONS = {
    2: "CCITT", 3: "CCITT group 3", 4: "CCITT group 4", 6: "old-style JPEG", 7: "JPEG",
    34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP",
    50002: "JPEG XL",
}  # fmt: skip
_SAMPLE_FORMATS = {2: "signed", 3: "floating-point", 5: "complex", 6: "complex"}
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I"}

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_COUNTS = 273, 274, 277, 278, 279
_PLANAR, _PREDICTOR, _COLOUR_MAP = 284, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT, _PROFILE = 338, 339, 34675


@dataclass(frozen=True)
class Header:
    """What a TIFF says of itself before its pixels.

    Attributes
    ----------
    width_px, height_px, bit_depth, channels, photometric, compression, predictor : int
    frames : int
        1, or 2 where there are more pictures.
    sample_format : int
        1 for whole numbers from 0.
    extra : tuple of int
        What channels beyond the colours are: 1 an alpha that is multiplied in, 2 one that is not.
    is_planar : bool
        Whether each channel lies by itself.
    part_px : (int, int)
        Rows and columns of a strip or tile.
    is_tiled : bool
    offsets, counts : tuple of int
        Where each strip or tile lies, and its bytes.
    order : str
        Byte order, as `struct` names it.
    palette : (n, 3) uint8 array or None
    is_reversed : bool
        Whether each byte's bits are (FillOrder 2).
    orientation : int or None
    profile : bytes or None
        The ICC profile.
    """

    width_px: int
    height_px: int
    bit_depth: int
    channels: int
    photometric: int
    compression: int
    predictor: int
    frames: int
    sample_format: int
    extra: tuple[int, ...]
    is_planar: bool
    part_px: tuple[int, int]
    is_tiled: bool
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    order: str
    palette: npt.NDArray[np.uint8] | None
    is_reversed: bool
    orientation: int | None
    profile: bytes | None

    exif = gamma = None

    @property
    def mode(self) -> str:
        """Pillow's name of the colour mode."""
        names = {WHITE_IS_ZERO: "L", BLACK_IS_ZERO: "L", RGB: "RGB", PALETTE: "P"}
        name = names.get(self.photometric, _OTHER_COLOURS.get(self.photometric, "unknown"))
        if self.bit_depth == 16 and name in ("L", "RGB"):
            name = {"L": "I;16", "RGB": "RGB;16"}[name]
        return name + ("A" if self.extra else "")


def read_header(data: bytes) -> Header:
    """Read the first directory of a TIFF and check what holds it together.

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
        ``truncated``: the directory, a value or the pixels lie beyond the file's end.
        ``undecodable``: entries missing, repeated or contradicting each other.
    """
    order = SIGNATURES[data[:4]]
    require_sound(len(data) >= 8, f"{len(data)} bytes; a TIFF's header has 8", "truncated")
    (at,) = struct.unpack_from(order + "I", data, 4)
    entries, following = _read_directory(data, order, at)
    if following:
        require_sound(
            following + 2 <= len(data), "the file ends before its second picture", "truncated"
        )
    tags = _Tags(data, order, entries)
    width, height = tags.one(_WIDTH), tags.one(_HEIGHT)
    require_sound(width and height, f"a picture of {width}x{height} px")
    channels = tags.one(_SAMPLES, 1)
    require_sound(0 < channels <= 8, f"{channels} channels")
    bits = set(tags.all(_BITS, (1,)))
    require_sound(len(bits) == 1, f"channels of {sorted(bits)} bits")
    is_tiled = _TILE_OFFSETS in entries
    offsets = tags.all(_TILE_OFFSETS if is_tiled else _STRIP_OFFSETS)
    counts = tags.all(_TILE_COUNTS if is_tiled else _STRIP_COUNTS)
    if is_tiled:
        part = tags.one(_TILE_HEIGHT), tags.one(_TILE_WIDTH)
    else:
        part = min(tags.one(_ROWS_PER_STRIP, height), height), width
    require_sound(part[0] and part[1], f"a part of {part[1]}x{part[0]} px")
    depth = bits.pop()
    is_palette = tags.one(_PHOTOMETRIC) == PALETTE
    return Header(
        width_px=width,
        height_px=height,
        bit_depth=depth,
        channels=channels,
        photometric=tags.one(_PHOTOMETRIC),
        compression=tags.one(_COMPRESSION, _NONE),
        predictor=tags.one(_PREDICTOR, 1),
        frames=2 if following else 1,
        sample_format=max(tags.all(_SAMPLE_FORMAT, (1,))),
        extra=tags.all(_EXTRA_SAMPLES, ()),
        is_planar=tags.one(_PLANAR, 1) == 2 and channels > 1,
        part_px=part,
        is_tiled=is_tiled,
        offsets=offsets,
        counts=counts,
        order=order,
        palette=_read_palette(tags, depth) if is_palette else None,
        is_reversed=tags.one(_FILL_ORDER, 1) == 2,
        orientation=tags.one(_ORIENTATION) if _ORIENTATION in entries else None,
        profile=tags.raw(_PROFILE),
    )


def peek_size(file: BinaryIO, head: bytes) -> tuple[int, bool]:
    """Pixels of a TIFF and whether it stores colours; (0, False) where unreadable.

    Parameters
    ----------
    file : binary file
    head : bytes
        How it begins; 8 bytes or more.
    """
    order = SIGNATURES[head[:4]]
    if len(head) < 8:
        return 0, False
    (at,) = struct.unpack_from(order + "I", head, 4)
    file.seek(at)
    body = file.read(2 + 12 * 65_535)
    found = {}
    for place in range(2, len(body) - 11, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", body, place)
        if number == 1 and kind in (3, 4) and tag not in found:
            (found[tag],) = struct.unpack_from(order + _INTEGERS[kind], body, place + 8)
    is_colour = found.get(_PHOTOMETRIC) in (RGB, PALETTE)
    return found.get(_WIDTH, 0) * found.get(_HEIGHT, 0), is_colour


def check_kind(header: Header) -> None:
    """Refuse a sound TIFF that is of no kind that is read.

    Raises
    ------
    RejectedFileError
        ``sample_format``, ``colour_mode``, ``bit_depth`` or ``compression``.
    """
    if header.sample_format != 1:
        name = _SAMPLE_FORMATS.get(header.sample_format, "undefined")
        raise RejectedFileError("sample_format", f"{name} samples of {header.bit_depth} bits")
    if header.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE):
        name = _OTHER_COLOURS.get(header.photometric, f"photometric {header.photometric}")
        raise RejectedFileError("colour_mode", f"a TIFF in {name}")
    depths = (8,) if header.photometric == PALETTE else (8, 16)
    if header.bit_depth not in depths:
        raise RejectedFileError("bit_depth", f"a TIFF of {header.bit_depth} bits a channel")
    colours = 3 if header.photometric == RGB else 1
    is_alpha = header.extra in ((), (MULTIPLIED_ALPHA,), (ALPHA,))
    fits = is_alpha and header.channels == colours + len(header.extra)
    if not fits or (header.photometric == PALETTE and header.extra):
        raise RejectedFileError(
            "colour_mode", f"{header.channels} channels, of which {colours} are colours"
        )
    if header.is_reversed:
        raise RejectedFileError("compression", "the bits of each byte in reverse (FillOrder)")
    if header.compression not in (_NONE, _LZW, *_DEFLATE, _PACKBITS):
        name = _OTHER_COMPRESSIONS.get(header.compression, f"method {header.compression}")
        raise RejectedFileError(
            "compression", f"a TIFF compressed by {name}; LZW, Deflate and PackBits are read"
        )


def decode_samples(header: Header, data: bytes) -> npt.NDArray[np.uint8]:
    """Unpack a TIFF's strips or tiles.

    Parameters
    ----------
    header : Header
        That `check_kind` lets pass.
    data : bytes
        The whole file.

    Returns
    -------
    (M, N) or (M, N, channels) uint8 or uint16 array
        As stored.

    Raises
    ------
    RejectedFileError
        ``truncated``, ``bad_checksum`` (Adler-32) or ``undecodable``.
    """
    require_sound(header.predictor in (1, 2), f"predictor {header.predictor}")
    height, width, channels = header.height_px, header.width_px, header.channels
    depth = 1 if header.is_planar else channels
    rows, cols = header.part_px
    is_small = rows * cols <= max(MAX_TILE_PX, height * width)
    require_sound(is_small, f"tiles of {cols}x{rows} px in a picture of {width}x{height}")
    down, across = -(-height // rows), -(-width // cols)
    expected = down * across * (channels // depth)
    found = len(header.offsets), len(header.counts)
    require_sound(
        found == (expected, expected), f"{found} strips or tiles where {expected} are due"
    )
    require_sound(sum(header.counts) <= len(data), "strips that share their bytes, or lack them",
             "truncated")  # fmt: skip
    samples = np.empty((height, width, channels), f"u{header.bit_depth // 8}")
    for number, place in enumerate(zip(header.offsets, header.counts, strict=True)):
        plane, part = divmod(number, down * across)
        top, left = part // across * rows, part % across * cols
        high = rows if header.is_tiled else min(rows, height - top)
        pixels = _unpack_part(header, data, place, (high, cols, depth), number)
        target = samples[top : top + rows, left : left + cols]
        target = target[..., plane : plane + 1] if header.is_planar else target
        target[...] = pixels[: target.shape[0], : target.shape[1]]
    return samples[..., 0] if channels == 1 else samples


def _read_directory(
    data: bytes, order: str, at: int
) -> tuple[dict[int, tuple[int, int, int]], int]:
    """Entries of a directory by tag, and where the next one lies (0 for none)."""
    require_sound(
        at >= 8 and at + 2 <= len(data), "the file ends before its directory", "truncated"
    )
    (count,) = struct.unpack_from(order + "H", data, at)
    end = at + 2 + 12 * count
    require_sound(end + 4 <= len(data), "the file ends within its directory", "truncated")
    entries = {}
    for place in range(at + 2, end, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", data, place)
        require_sound(tag not in entries, f"tag {tag} is there twice")
        entries[tag] = kind, number, place + 8
    return entries, struct.unpack_from(order + "I", data, end)[0]


class _Tags:
    """Values of a directory's entries: type, number of values and place of each, by tag."""

    def __init__(
        self, data: bytes, order: str, entries: Mapping[int, tuple[int, int, int]]
    ) -> None:
        self.data, self.order, self.entries = data, order, entries

    def raw(self, tag: int) -> bytes | None:
        """Bytes of an entry; None where there is none."""
        if tag not in self.entries:
            return None
        kind, number, at = self.entries[tag]
        require_sound(kind in _VALUE_BYTES, f"tag {tag} is of the unknown type {kind}")
        size = number * _VALUE_BYTES[kind]
        if size > 4:
            (at,) = struct.unpack_from(self.order + "I", self.data, at)
        require_sound(at + size <= len(self.data), f"the file ends before tag {tag}", "truncated")
        return self.data[at : at + size]

    def all(self, tag: int, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Whole numbers of an entry."""
        body = self.raw(tag)
        if body is None:
            if default is None:
                raise RejectedFileError("undecodable", f"no tag {tag}")
            return default
        kind, number, _ = self.entries[tag]
        require_sound(kind in _INTEGERS and number, f"tag {tag} holds no whole number")
        return struct.unpack(f"{self.order}{number}{_INTEGERS[kind]}", body)

    def one(self, tag: int, *default: int) -> int:
        """Give the one whole number of an entry."""
        if default and tag not in self.entries:
            return default[0]
        values = self.all(tag)
        require_sound(len(values) == 1, f"tag {tag} holds {len(values)} numbers")
        return values[0]


def _read_palette(tags: _Tags, depth: int) -> npt.NDArray[np.uint8]:
    """Colours of 8 bits: of 16, the upper ones, unless none are there (as libtiff does)."""
    values = np.array(tags.all(_COLOUR_MAP), np.uint16)
    require_sound(values.size == 3 << min(depth, 16), f"a palette of {values.size} values")
    colours = values >> 8 if values.max() > 255 else values
    return np.ascontiguousarray(colours.astype(np.uint8).reshape(3, -1).T)


def _unpack_part(
    header: Header, data: bytes, place: tuple[int, int], shape: tuple[int, int, int], number: int
) -> npt.NDArray[np.uint8]:
    """Unpack one strip or tile to its samples."""
    offset, count = place
    require_sound(offset + count <= len(data), f"the file ends within strip or tile {number}",
             "truncated")  # fmt: skip
    size = shape[0] * shape[1] * shape[2] * (header.bit_depth // 8)
    packed = memoryview(data)[offset : offset + count]
    plain = _unpack_bytes(header.compression, packed, size, number)
    found = f"strip or tile {number} holds {len(plain)} bytes where {size} are promised"
    require_sound(len(plain) >= size, found, "truncated")
    kind = np.dtype(f"{header.order}u{header.bit_depth // 8}")
    samples = np.frombuffer(plain[:size], kind).reshape(shape)
    if header.predictor == 2:
        native = kind.newbyteorder("=")
        samples = np.cumsum(samples, axis=1, dtype=native)
    return samples


def _unpack_bytes(
    compression: int, packed: memoryview, size: int, number: int
) -> bytes | npt.NDArray[np.uint8] | memoryview:
    if compression == _NONE:
        return packed
    if compression in _DEFLATE:
        return _inflate(packed, size, number)
    source, plain = np.frombuffer(packed, np.uint8), np.empty(size, np.uint8)
    if compression == _PACKBITS:
        written = _unpack_packbits(source, plain)
    else:
        is_old = len(packed) > 1 and packed[0] == 0 and packed[1] & 1
        if is_old:
            raise RejectedFileError("compression", "a TIFF compressed by LZW of before 1989")
        written = _unpack_lzw(source, plain)
    require_sound(written >= 0, f"strip or tile {number}: a code that no LZW table has")
    return plain[:written]


def _inflate(packed: memoryview, size: int, number: int) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        plain = unpacker.decompress(packed, size)
        surplus = b"" if unpacker.eof else unpacker.decompress(unpacker.unconsumed_tail, 1)
    except zlib.error as error:
        if "Error -4" in str(error):  # Z_MEM_ERROR
            raise MemoryError(str(error)) from None
        code = "bad_checksum" if "incorrect data check" in str(error) else "undecodable"
        raise RejectedFileError(code, f"strip or tile {number}: {error}") from None
    require_sound(not surplus, f"strip or tile {number} holds more than the {size} bytes promised")
    is_whole = len(plain) < size or unpacker.eof
    require_sound(is_whole, f"strip or tile {number} is without its end", "truncated")
    return plain


@njit(cache=True, nogil=True)
def _unpack_packbits(source: npt.NDArray[np.uint8], plain: npt.NDArray[np.uint8]) -> int:
    """Unpack runs of bytes; how many there were, at most as many as fit."""
    at, written = 0, 0
    while at < source.size and written < plain.size:
        head: Any = np.int64(source[at])
        at += 1
        if head < 128:
            count = min(head + 1, source.size - at, plain.size - written)
            plain[written : written + count] = source[at : at + count]
            at += head + 1
            written += count
        elif head > 128 and at < source.size:
            count = min(257 - head, plain.size - written)
            plain[written : written + count] = source[at]
            at += 1
            written += count
    return written


@njit(cache=True, nogil=True)
def _unpack_lzw(source: npt.NDArray[np.uint8], plain: npt.NDArray[np.uint8]) -> int:
    """Unpack TIFF's LZW; how many bytes there were, or -1 for a code that is not known yet.

    A string of the table is a stretch of what was written before: the one before it and one byte
    more. Codes grow one code early, as TIFF 6.0 section 13 has it.
    """
    clear, end = 256, 257
    starts, sizes = np.empty(4096, np.int64), np.empty(4096, np.int64)
    held: Any = 0
    written, bits, width, known = 0, 0, 9, 258
    last_start, last_size = 0, 0
    for byte in source:
        held = ((held << 8) | np.int64(byte)) & 0xFFFFF
        bits += 8
        if bits < width:
            continue
        bits -= width
        code = (held >> bits) & ((1 << width) - 1)
        if code == clear:
            width, known, last_size = 9, 258, 0
            continue
        if code == end or written == plain.size:
            break
        if last_size and known < 4096:
            starts[known], sizes[known] = last_start, last_size + 1
            known += 1
        if code >= known:
            return -1
        begin = written
        if code < 256:
            plain[written] = code
            written += 1
        else:
            for offset in range(min(sizes[code], plain.size - written)):
                plain[written] = plain[starts[code] + offset]
                written += 1
        last_start, last_size = begin, written - begin
        if known >= (1 << width) - 1 and width < 12:
            width += 1
    return written
