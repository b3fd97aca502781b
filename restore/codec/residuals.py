"""The residual: what the decoder left over, coded by zfp to a stated largest error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import zfpy

if TYPE_CHECKING:
    import numpy.typing as npt


MIN_TOLERANCE_DN, MAX_TOLERANCE_DN = 0.25, 4096.0
_BLOCK_PX = 4
# zfp_stream_maximum_size for 2-D float32: a flag, 8 bits of exponent, 16 values of 32 planes.
_MAX_BLOCK_BYTES = 67
_SPARE_BYTES = 64


def encode_residual(residual: npt.NDArray[np.float32], tolerance_dn: float) -> bytes:
    """Code a residual so that no pixel is off by more than a tolerance.

    Parameters
    ----------
    residual : (M, N) float32 array
        Grey levels.
    tolerance_dn : float
        Largest error, in grey levels, above 0.

    Returns
    -------
    bytes
        A zfp stream without header.

    Notes
    -----
    zfp rounds a tolerance down to a power of two, so that sizes would come in steps of about
    a third. The residual is divided by the tolerance and coded to a tolerance of 1 instead,
    which makes every size reachable. [OWN] Fixed rate is not used: zfpy 1.0.1 crashes below
    9/16 bit a value.

    References
    ----------
    Lindstrom, P. (2014). Fixed-rate compressed floating-point arrays. IEEE TVCG 20(12),
    2674-2683. https://doi.org/10.1109/TVCG.2014.2346458
    """
    scaled = np.ascontiguousarray(residual, np.float32) / np.float32(tolerance_dn)
    found: bytes = zfpy.compress_numpy(scaled, tolerance=1.0, write_header=False)
    return found


def decode_residual(
    data: bytes, shape: tuple[int, int], tolerance_dn: float
) -> npt.NDArray[np.float32]:
    """Decode a residual.

    Parameters
    ----------
    data : bytes
        At most `max_residual_bytes`.
    shape : tuple of int
    tolerance_dn : float

    Returns
    -------
    (M, N) float32 array

    Notes
    -----
    zfp does not know where its input ends: zeros follow it, as many as any stream of this shape
    can ask for, so that no stream makes it read beyond.
    """
    padded = data + bytes(max_residual_bytes(shape) - len(data) + _SPARE_BYTES)
    scaled = zfpy._decompress(padded, zfpy.type_float, shape, tolerance=1.0)
    found: npt.NDArray[np.float32] = scaled * np.float32(tolerance_dn)
    return found


def max_residual_bytes(shape: tuple[int, int]) -> int:
    """Bytes of the longest zfp stream of a shape."""
    blocks = -(-shape[0] // _BLOCK_PX) * -(-shape[1] // _BLOCK_PX)
    return blocks * _MAX_BLOCK_BYTES + 8
