"""Entropy coding with the standard library: the shortest of four packings."""

import bz2
import lzma
import zlib

from upscale_audit.ingest.errors import StudyError

RAW, DEFLATE, LZMA, BZIP2 = range(4)
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20, "lc": 0, "pb": 0}]


def pack(data: bytes) -> tuple[int, bytes]:
    """Pack bytes by the method that makes them shortest.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    method : int
        0 as they are, 1 raw deflate, 2 raw LZMA2, 3 bzip2.
    packed : bytes
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    choices = (
        (RAW, data),
        (DEFLATE, deflate.compress(data) + deflate.flush()),
        (LZMA, lzma.compress(data, format=lzma.FORMAT_RAW, filters=_FILTERS)),
        (BZIP2, bz2.compress(data, 9)),
    )
    return min(choices, key=lambda choice: len(choice[1]))


def unpack(method: int, packed: bytes, max_bytes: int) -> bytes:
    """Unpack bytes, never to more than `max_bytes`.

    Raises
    ------
    StudyError
        The method is unknown, or the bytes are damaged, incomplete or unpack to more.
    """
    try:
        data = _unpack(method, packed, max_bytes + 1)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
        raise StudyError(
            f"the packed bytes are damaged ({error}); encode the image again"
        ) from None
    if len(data) > max_bytes:
        raise StudyError(
            f"expected at most {max_bytes} unpacked bytes, found more; encode the image again"
        )
    return data


def _unpack(method: int, packed: bytes, limit: int) -> bytes:
    if method == RAW:
        return packed
    machine: zlib._Decompress | lzma.LZMADecompressor | bz2.BZ2Decompressor
    if method == DEFLATE:
        machine = zlib.decompressobj(-15)
        data = machine.decompress(packed, limit)
    elif method == LZMA:
        machine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
        data = machine.decompress(packed, limit)
    elif method == BZIP2:
        machine = bz2.BZ2Decompressor()
        data = machine.decompress(packed, limit)
    else:
        raise ValueError(f"packing {method}")
    if len(data) < limit and (not machine.eof or machine.unused_data):
        raise ValueError("they end too early or too late")
    return data
