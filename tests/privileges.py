"""Root without its right to pass over permissions, so that its tests mean what a user's do."""

import contextlib
import ctypes
import os

_VERSION_3 = 0x20080522
_OVERRIDE, _READ_SEARCH = 1 << 1, 1 << 2


@contextlib.contextmanager
def bound_by_permissions():
    """Let file permissions bind this thread, even root's, for the time of a ``with`` block."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    held = (ctypes.c_uint32 * 6)()
    _check(libc.capget(header, held))
    lowered = (ctypes.c_uint32 * 6)(*held)
    lowered[0] &= ~(_OVERRIDE | _READ_SEARCH)
    _check(libc.capset(header, lowered))
    try:
        yield
    finally:
        _check(libc.capset(header, held))


def _check(failed):
    if failed:
        raise OSError(ctypes.get_errno(), "cannot read or set this thread's capabilities")
