"""Decode one PNG, whole or not at all.

The decoders at hand let half a picture pass: Pillow fills the rows of a pixel stream that ends
early with black, and OpenCV tells a caller nothing of what libpng told the terminal. Only who
inflates the stream knows its length, so it is inflated here, once and never beyond what the
header promises; to undo the line filters beside it is then faster than either.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from isal import isal_zlib
from numba import njit

from upscale_audit.ingest.errors import RejectedFileError, require_sound

if TYPE_CHECKING:
    import numpy.typing as npt


SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES = 1 << 24
"""Largest ICC profile that is unpacked: the largest that are published have 4 MB."""

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8)}
DEPTHS |= {GREY_ALPHA: (8, 16), RGBA: (8, 16)}
_CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
_MODES = {GREY: "L", RGB: "RGB", PALETTE: "P", GREY_ALPHA: "LA", RGBA: "RGBA"}

# First row and column of each Adam7 pass, and its steps.
_PASSES = (
    (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
    (1, 0, 2, 1),
)  # fmt: skip
_READ = (b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"eXIf")


@dataclass(frozen=True)
class Header:
    """What a PNG says of itself before its pixels.

    Attributes
    ----------
    width_px, height_px, bit_depth, colour_type : int
    is_interlaced : bool
    chunks : dict
        Bodies of the chunks of `_READ`, by name.
    frames : int
        Pictures in the file; more than one where it is animated.
    data : tuple of memoryview
        The pixel stream, in pieces.
    """

    width_px: int
    height_px: int
    bit_depth: int
    colour_type: int
    is_interlaced: bool
    chunks: dict
    frames: int
    data: tuple

    orientation = None

    @property
    def mode(self) -> str:
        """Pillow's name of the colour mode."""
        is_bilevel = self.colour_type == GREY and self.bit_depth == 1
        return "1" if is_bilevel else _MODES[self.colour_type]

    @property
    def gamma(self) -> float | None:
        """Exponent in the chunk gAMA, or None."""
        body = self.chunks.get(b"gAMA")
        return None if body is None else int.from_bytes(body, "big") / 100_000

    @property
    def exif(self) -> bytes | None:
        """Body of the chunk eXIf, or None."""
        return self.chunks.get(b"eXIf")


def read_header(data: bytes) -> Header:
    """Walk all chunks of a PNG and check what holds them together.

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
        ``truncated``: a chunk is longer than the file, or there is no IEND. ``bad_checksum``:
        of any chunk, needed for the pixels or not. ``undecodable``: an IHDR that the
        specification does not know, a chunk missing, repeated, out of order or of a wrong
        length, an unknown critical chunk.

    Notes
    -----
    Stricter than libpng, which passes over ancillary chunks with errors: what the chunks read
    here say changes a pixel or stands in `source_files`.
    """
    view = memoryview(data)
    width, height, depth, colour_type, interlace = _read_ihdr(data)
    chunks, pieces, frames, has_frame, has_ended = {}, [], 0, False, False
    for kind, body in _walk(view):
        if kind == b"IDAT":
            require_sound(not has_ended, "IDAT chunks with another chunk between them")
            pieces.append(body)
            continue
        has_ended = bool(pieces)
        if kind in _READ:
            require_sound(kind not in chunks, f"two {_spell(kind)} chunks")
            require_sound(not pieces or kind == b"eXIf", f"{_spell(kind)} after the pixels")
            chunks[kind] = bytes(body)
        else:
            require_sound(kind != b"IHDR", "two IHDR chunks")
            require_sound(kind[0] & 32 or kind == b"IEND", f"unknown critical chunk {_spell(kind)}")
            if kind == b"acTL" and not pieces and len(body) == 8:
                frames = frames or int.from_bytes(body[:4], "big")
            has_frame |= kind == b"fcTL" and not pieces
    require_sound(pieces, "no IDAT chunk")
    _check_chunks(chunks, colour_type)
    if not has_frame:  # the picture itself is none of the animation's
        frames += 1
    return Header(width, height, depth, colour_type, bool(interlace), chunks, frames, tuple(pieces))


def decode_samples(header: Header) -> npt.NDArray[np.unsignedinteger]:
    """Inflate a PNG's pixels and undo filters and interlacing.

    Parameters
    ----------
    header : Header

    Returns
    -------
    (M, N) or (M, N, channels) uint8 array, or uint16 where samples have 16 bits
        As stored: palette indices for palettes, samples of fewer than 8 bits unscaled.

    Raises
    ------
    RejectedFileError
        ``truncated``, ``bad_checksum`` (Adler-32) or ``undecodable``.
    """
    stream = _inflate(header)
    channels = _CHANNELS[header.colour_type]
    shape = (header.height_px, header.width_px) + ((channels,) if channels > 1 else ())
    if not header.is_interlaced:
        lines, _ = _unfilter(stream, 0, header, *shape[:2])
        return _unpack(lines, shape, header)
    samples, at = np.empty(shape, np.uint16 if header.bit_depth == 16 else np.uint8), 0
    for row, col, row_step, col_step in _PASSES:
        target = samples[row::row_step, col::col_step]
        if target.size:
            lines, at = _unfilter(stream, at, header, *target.shape[:2])
            target[...] = _unpack(lines, target.shape, header)
    return samples


def read_profile(header: Header) -> bytes | None:
    """Give the ICC profile of a PNG, unpacked; None where there is none.

    Notes
    -----
    It is not applied. One that cannot be unpacked, or only to more than 16 MiB, is given as it
    is stored: viewers pass over it, and it says nothing about the pixels.
    """
    body: bytes | None = header.chunks.get(b"iCCP")
    if body is None:
        return None
    unpacker = zlib.decompressobj()
    try:
        profile = unpacker.decompress(body[body.find(b"\0") + 2 :], MAX_PROFILE_BYTES)
    except zlib.error:
        return body
    return profile if unpacker.eof else body


def _spell(kind: bytes) -> str:
    return kind.decode("ascii", "backslashreplace")


def _read_ihdr(data: bytes) -> tuple[int, ...]:
    require_sound(len(data) >= 33, f"{len(data)} bytes; a PNG's header has 33", "truncated")
    require_sound(data[8:16] == b"\0\0\0\rIHDR", f"starts with chunk {data[12:16]!r}, not IHDR")
    width, height, depth, colour_type, packing, filtering, interlace = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    _check_crc(memoryview(data)[12:29], data[29:33], b"IHDR")
    sized = 0 < width < 1 << 31 and 0 < height < 1 << 31
    require_sound(sized, f"IHDR of {width}x{height} px")
    require_sound(
        depth in DEPTHS.get(colour_type, ()), f"IHDR of colour type {colour_type} in {depth} bits"
    )
    known = packing == 0 and filtering == 0 and interlace < 2
    require_sound(known, f"IHDR of methods {packing}, {filtering}, {interlace}")
    return width, height, depth, colour_type, interlace


def _walk(view: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each chunk after IHDR up to IEND, its CRC checked."""
    at = 33
    while True:
        require_sound(at + 12 <= len(view), "the file ends before the chunk IEND", "truncated")
        (size,) = struct.unpack_from(">I", view, at)
        kind = bytes(view[at + 4 : at + 8])
        require_sound(kind.isalpha() and kind.isascii(), f"{kind!r} is no name of a chunk")
        end = at + 12 + size
        require_sound(end <= len(view), f"the file ends within chunk {_spell(kind)}", "truncated")
        _check_crc(view[at + 4 : end - 4], view[end - 4 : end], kind)
        yield kind, view[at + 8 : end - 4]
        if kind == b"IEND":
            require_sound(size == 0, "an IEND chunk that holds data")
            return
        at = end


def _check_crc(covered: memoryview, stored: bytes | memoryview, kind: bytes) -> None:
    good = isal_zlib.crc32(covered).to_bytes(4, "big") == stored
    require_sound(good, f"CRC of chunk {_spell(kind)}", "bad_checksum")


def _check_chunks(chunks: Mapping[bytes, bytes], colour_type: int) -> None:
    """Check the lengths of the chunks that are read."""
    sizes = {kind: len(body) for kind, body in chunks.items()}
    palette = sizes.get(b"PLTE")
    require_sound(
        palette is not None or colour_type != PALETTE, "a palette image without PLTE chunk"
    )
    if palette is not None:
        require_sound(palette % 3 == 0 and 0 < palette <= 768, f"a PLTE chunk of {palette} bytes")
        require_sound(colour_type not in (GREY, GREY_ALPHA), "a PLTE chunk in a grey image")
    clear = sizes.get(b"tRNS")
    if clear is not None:
        allowed = {GREY: (2,), RGB: (6,), PALETTE: range(1, (palette or 0) // 3 + 1)}
        fits = clear in allowed.get(colour_type, ())
        require_sound(fits, f"a tRNS chunk of {clear} bytes for colour type {colour_type}")
        order = list(chunks)
        after = palette is None or order.index(b"PLTE") < order.index(b"tRNS")
        require_sound(after, "a tRNS chunk before the palette")
    gamma = chunks.get(b"gAMA")
    require_sound(gamma is None or (len(gamma) == 4 and any(gamma)), "a gAMA chunk without a value")


def _row_bytes(header: Header, width: int) -> int:
    return (width * header.bit_depth * _CHANNELS[header.colour_type] + 7) // 8


def _list_passes(header: Header) -> list[tuple[int, int]]:
    """Rows and columns of each pass that has pixels; one where nothing is interlaced."""
    if not header.is_interlaced:
        return [(header.height_px, header.width_px)]
    sizes = [
        (-(-(header.height_px - row) // row_step), -(-(header.width_px - col) // col_step))
        for row, col, row_step, col_step in _PASSES
    ]
    return [(rows, cols) for rows, cols in sizes if rows > 0 and cols > 0]


def _inflate(header: Header) -> npt.NDArray[np.uint8]:
    """Inflate the pixel stream to exactly the bytes that the header promises.

    Notes
    -----
    ISA-L does in a third of zlib's time what is sound: as many bytes as promised, an end, and their
    Adler-32. Of all else zlib says what it is. Only one thing passes that zlib refuses: a code of
    distances with gaps that no pixel meets.
    """
    expected = sum(rows * (1 + _row_bytes(header, cols)) for rows, cols in _list_passes(header))
    data = b"".join(header.data)
    try:
        stream, surplus, has_ended = _inflate_by(isal_zlib, data, expected)
        is_sound = has_ended and not surplus and len(stream) == expected
    except isal_zlib.error:  # type: ignore[misc]  # its stub gives an instance
        is_sound = False
    return np.frombuffer(stream if is_sound else _inflate_by_zlib(data, expected), np.uint8)


def _inflate_by(library: ModuleType, data: bytes, expected: int) -> tuple[bytes, bytes, bool]:
    """Inflate so many bytes and look for one more; whether the stream ends after them."""
    unpacker = library.decompressobj()
    stream = unpacker.decompress(data, expected)
    surplus = b"" if unpacker.eof else unpacker.decompress(unpacker.unconsumed_tail, 1)
    return stream, surplus, unpacker.eof


def _inflate_by_zlib(data: bytes, expected: int) -> bytes:
    """Inflate once more, and name the fault."""
    try:
        stream, surplus, has_ended = _inflate_by(zlib, data, expected)
    except zlib.error as error:
        if "Error -4" in str(error):  # Z_MEM_ERROR
            raise MemoryError(str(error)) from None
        code = "bad_checksum" if "incorrect data check" in str(error) else "undecodable"
        raise RejectedFileError(code, f"pixel data: {error}") from None
    found = f"pixel data of {len(stream)} bytes where {expected} are promised"
    require_sound(len(stream) == expected, found, "truncated")
    require_sound(not surplus, f"pixel data of more than the {expected} bytes that are promised")
    require_sound(has_ended, "pixel data without their end", "truncated")
    return stream


def _unfilter(
    stream: npt.NDArray[np.uint8], at: int, header: Header, rows: int, cols: int
) -> tuple[npt.NDArray[np.uint8], int]:
    row_bytes = _row_bytes(header, cols)
    pixel_bytes = max(1, header.bit_depth * _CHANNELS[header.colour_type] // 8)
    lines = np.empty((rows, row_bytes), np.uint8)
    bad = _undo_filters(stream[at : at + rows * (1 + row_bytes)], pixel_bytes, lines)
    require_sound(bad < 0, f"row {bad} names a filter that does not exist")
    return lines, at + rows * (1 + row_bytes)


def _unpack(
    lines: npt.NDArray[np.uint8], shape: tuple[int, ...], header: Header
) -> npt.NDArray[np.unsignedinteger]:
    if header.bit_depth == 8:
        return lines.reshape(shape)
    if header.bit_depth == 16:
        return lines.view(">u2").astype(np.uint16).reshape(shape)
    per_byte = 8 // header.bit_depth
    shifts = np.arange(per_byte - 1, -1, -1, dtype=np.uint8) * np.uint8(header.bit_depth)
    mask = np.uint8((1 << header.bit_depth) - 1)
    samples = (lines[:, :, None] >> shifts) & mask
    return samples.reshape(shape[0], -1)[:, : shape[1]]


_ROWS, _STEPS = 32, 256
_PITCH = _ROWS + 1
"""Rows that are undone side by side; steps that are laid out at once; values of a step."""


@njit(cache=True, nogil=True)
def _undo_filters(stream: Any, pixel_bytes: Any, lines: Any) -> Any:
    """Undo the filter of each line; the first line of an unknown filter, or -1.

    Notes
    -----
    A sample waits for the three to its left and above. So of a strip of rows each is undone one
    pixel behind the row above it, all of them at once: a step gives one sample of every row. Steps
    lie one after the other in `stage`, the last row of the strip above first, and two of those
    before them are kept.
    """
    rows, row_bytes = lines.shape
    for row in range(rows):
        if stream[row * (1 + row_bytes)] > 4:
            return row
    cols = row_bytes // pixel_bytes
    above = np.zeros(row_bytes, np.uint8)
    stage = np.empty((_STEPS + 2) * _PITCH, np.int16)
    kinds = np.zeros(_ROWS, np.int16)
    for top in range(0, rows, _ROWS):
        count = min(rows - top, _ROWS)
        strip = stream[top * (1 + row_bytes) : (top + count) * (1 + row_bytes)]
        for row in range(count):
            kinds[row] = strip[row * (1 + row_bytes)]
        for channel in range(pixel_bytes):
            stage[:] = 0  # left of a row, and above the first one, samples count as 0
            stage[_PITCH] = above[channel]
            for begin in range(0, cols + count - 1, _STEPS):
                _lay_out(strip, above, (begin, channel, pixel_bytes), stage)
                _undo_steps(stage, kinds)
                _take_back(stage, (begin, channel, pixel_bytes), lines[top : top + count])
                stage[: 2 * _PITCH] = stage[_STEPS * _PITCH :]
        above = lines[top + count - 1]
    return -1


@njit(cache=True, nogil=True)
def _lay_out(strip: Any, above: Any, place: Any, stage: Any) -> None:
    """Lay the steps from `begin` on out: in each, of every row the sample that is next.

    Places are unsigned: then none is looked at for a count from the end.
    """
    begin, channel, pixel_bytes = place
    row_bytes = above.size
    cols = row_bytes // pixel_bytes
    for col in range(begin + 1, min(begin + 1 + _STEPS, cols)):
        stage[(col - begin + 1) * _PITCH] = above[col * pixel_bytes + channel]
    pixel, pitch = np.uint64(pixel_bytes), np.uint64(_PITCH)
    for row in range(strip.size // (1 + row_bytes)):
        first, last = max(begin - row, 0), min(begin - row + _STEPS, cols)
        at = np.uint64((first + row - begin + 2) * _PITCH + row + 1)
        source = np.uint64(row * (1 + row_bytes) + 1 + first * pixel_bytes + channel)
        for step in range(np.uint64(max(last - first, 0))):
            stage[at + step * pitch] = strip[source + step * pixel]


@njit(cache=True, nogil=True)
def _take_back(stage: Any, place: Any, lines: Any) -> None:
    """Copy the samples of the steps from `begin` on to their lines."""
    begin, channel, pixel_bytes = place
    cols = lines.shape[1] // pixel_bytes
    pixel, pitch = np.uint64(pixel_bytes), np.uint64(_PITCH)
    for row in range(lines.shape[0]):
        line = lines[row]
        first, last = max(begin - row, 0), min(begin - row + _STEPS, cols)
        at = np.uint64((first + row - begin + 2) * _PITCH + row + 1)
        target = np.uint64(first * pixel_bytes + channel)
        for step in range(np.uint64(max(last - first, 0))):
            line[target + step * pixel] = stage[at + step * pitch]


@njit(cache=True, nogil=True)
def _undo_steps(stage: Any, kinds: Any) -> None:
    """Undo all steps but the first two. Places are unsigned: then the rows are one vector."""
    one, pitch = np.uint64(1), np.uint64(_PITCH)
    for step in range(np.uint64(_STEPS)):
        before = step * pitch
        last, now = before + pitch, before + pitch + pitch
        for row in range(np.uint64(_ROWS)):
            left, over = np.int32(stage[last + row + one]), np.int32(stage[last + row])
            corner, kind = np.int32(stage[before + row]), kinds[row]
            guess = _predict(left, over, corner)
            guess = (left + over) >> 1 if kind == 3 else guess
            guess = over if kind == 2 else guess
            guess = left if kind == 1 else guess
            guess = np.int32(0) if kind == 0 else guess
            stage[now + row + one] = (stage[now + row + one] + guess) & 255


@njit(cache=True, nogil=True, inline="always")
def _predict(left: Any, over: Any, corner: Any) -> Any:
    """Paeth's predictor: the neighbour nearest to left + over - corner."""
    to_left, to_over = abs(over - corner), abs(left - corner)
    to_corner = abs(left + over - 2 * corner)
    nearest = over if to_over <= to_corner else corner
    return left if to_left <= to_over and to_left <= to_corner else nearest
