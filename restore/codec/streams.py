"""The file format of a coded image: a header of 46 bytes, latent, residual, a checksum."""

import struct
import zlib
from dataclasses import dataclass

from upscale_audit.ingest.errors import StudyError

MAGIC, VERSION, SUFFIX = b"UACS", 1, ".uac"
_HEADER = struct.Struct("<4sBBHHffII16sI")
_CHECKSUM = struct.Struct("<I")
OVERHEAD_BYTES = _HEADER.size + _CHECKSUM.size
MAX_SIDE_PX = 65_535
MAX_STREAM_BYTES = 1 << 28
"""Largest file that is decoded: 256 MiB, four bytes a pixel of the largest image."""
MODEL_BYTES = 16
"""Of the decoder's SHA-256 that a stream carries: the first half."""
NO_MODEL = bytes(MODEL_BYTES)


@dataclass(frozen=True)
class Stream:
    """A coded image.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns, px.
    step : float
        Of the latent's rounding; a float32 value.
    tolerance_dn : float
        Of the residual; a float32 value. Unused where there is none.
    model : bytes
        First 16 bytes of the decoder's SHA-256; zeros where no network predicts.
    pixels_crc32 : int
        Of the decoded pixels, row by row.
    latent_packing, residual_packing : int
        As `restore.codec.packing.pack` numbers them.
    latent, residual : bytes
        Packed.
    """

    shape: tuple[int, int]
    step: float
    tolerance_dn: float
    model: bytes
    pixels_crc32: int
    latent_packing: int
    residual_packing: int
    latent: bytes
    residual: bytes


def write_stream(stream: Stream) -> bytes:
    """Spell a stream as the bytes of its file.

    Notes
    -----
    Little-endian: ``UACS``, version (1 byte), packings (1; the residual's in the high half),
    rows and columns (2 each), step and tolerance (float32), bytes of the latent and of the
    residual (4 each), model (16), CRC-32 of the decoded pixels (4); latent; residual; CRC-32 of
    all before it (4).
    """
    head = _HEADER.pack(
        MAGIC,
        VERSION,
        stream.latent_packing | stream.residual_packing << 4,
        *stream.shape,
        stream.step,
        stream.tolerance_dn,
        len(stream.latent),
        len(stream.residual),
        stream.model,
        stream.pixels_crc32,
    )
    body = head + stream.latent + stream.residual
    return body + _CHECKSUM.pack(zlib.crc32(body))


def read_stream(data: bytes, name: str = "the stream") -> Stream:
    """Read the bytes of a coded image's file, and check that they are whole.

    Parameters
    ----------
    data : bytes
    name : str
        For messages.

    Returns
    -------
    Stream

    Raises
    ------
    StudyError
        They are no stream, of another version, cut short, longer than stated or damaged.
    """
    if data[:4] != MAGIC:
        raise StudyError(
            f"{name}: expected a coded image, starting {MAGIC!r}, found {data[:4]!r}; make one"
            " with upscale-audit codec encode"
        )
    if len(data) < OVERHEAD_BYTES:
        raise _make_damage_error(
            name, f"{OVERHEAD_BYTES} bytes of header and checksum", f"{len(data)}"
        )
    fields = _HEADER.unpack_from(data)
    version, packings, rows, cols, step, tolerance, latent_bytes, residual_bytes = fields[1:9]
    model, pixels_crc32 = fields[9:]
    if version != VERSION:
        raise StudyError(
            f"{name}: expected version {VERSION} of the format, found {version}; decode it with the"
            " version of upscale-audit that wrote it"
        )
    expected = OVERHEAD_BYTES + latent_bytes + residual_bytes
    if len(data) != expected:
        raise _make_damage_error(name, f"{expected} bytes", f"{len(data)}")
    body, checksum = data[: -_CHECKSUM.size], _CHECKSUM.unpack(data[-_CHECKSUM.size :])[0]
    if zlib.crc32(body) != checksum:
        raise _make_damage_error(name, f"checksum {checksum:08x}", f"{zlib.crc32(body):08x}")
    if not (rows and cols and 0 < step < 2**16 and 0 < tolerance < 2**16):
        raise _make_damage_error(
            name, "sides, step and tolerance above 0", f"{rows}, {cols}, {step}, {tolerance}"
        )
    middle = _HEADER.size + latent_bytes
    return Stream(
        (rows, cols),
        step,
        tolerance,
        model,
        pixels_crc32,
        packings & 15,
        packings >> 4,
        body[_HEADER.size : middle],
        body[middle:],
    )


def _make_damage_error(name: str, expected: str, found: str) -> StudyError:
    return StudyError(
        f"{name} is damaged: expected {expected}, found {found}; copy it again or encode the"
        " image again"
    )
