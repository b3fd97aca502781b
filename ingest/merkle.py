"""Merkle trees over hash lists, after RFC 6962.

A leaf is one line of a hash list, so a root and every step of a proof can be computed by hand
with ``sha256sum``.

References
----------
RFC 6962, section 2.1, https://doi.org/10.17487/RFC6962
"""

import hashlib
from collections.abc import Sequence

_LEAF, _NODE = b"\x00", b"\x01"


def hash_leaf(data: bytes) -> bytes:
    """Hash of a leaf: SHA-256 of a zero byte and the leaf's bytes."""
    return hashlib.sha256(_LEAF + data).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256 of a one byte and its children's hashes."""
    return hashlib.sha256(_NODE + left + right).digest()


def find_root(leaves: Sequence[bytes]) -> str:
    """Root of a tree.

    Parameters
    ----------
    leaves : sequence of bytes
        In the order that is part of what is proven; SHA-256 of nothing where empty.

    Returns
    -------
    str
        Lower-case hex.
    """
    return _climb([hash_leaf(leaf) for leaf in leaves]).hex()


def prove(leaves: Sequence[bytes], index: int) -> list[tuple[str, str]]:
    """Audit path of a leaf.

    Parameters
    ----------
    leaves : sequence of bytes
    index : int
        Zero-based.

    Returns
    -------
    list of tuple of (str, str)
        From the leaf up: the side on which the sibling stands, ``left`` or ``right``, and
        its hash in hex.

    Raises
    ------
    IndexError
        There is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of {len(leaves)}")
    return _audit([hash_leaf(leaf) for leaf in leaves], index)


def follow(leaf: bytes, path: Sequence[tuple[str, str]]) -> str:
    """Root that a leaf and its audit path lead to, lower-case hex."""
    found = hash_leaf(leaf)
    for side, sibling in path:
        other = bytes.fromhex(sibling)
        found = hash_node(other, found) if side == "left" else hash_node(found, other)
    return found.hex()


def _split(count: int) -> int:
    """Return the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _climb(hashes: Sequence[bytes]) -> bytes:
    if not hashes:
        return hashlib.sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    middle = _split(len(hashes))
    return hash_node(_climb(hashes[:middle]), _climb(hashes[middle:]))


def _audit(hashes: Sequence[bytes], index: int) -> list[tuple[str, str]]:
    if len(hashes) == 1:
        return []
    middle = _split(len(hashes))
    if index < middle:
        return [*_audit(hashes[:middle], index), ("right", _climb(hashes[middle:]).hex())]
    return [*_audit(hashes[middle:], index - middle), ("left", _climb(hashes[:middle]).hex())]
