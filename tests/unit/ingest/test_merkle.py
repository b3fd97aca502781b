"""Merkle trees: RFC 6962's own test vectors, proofs of every leaf, nothing else accepted."""

import hashlib
import subprocess

import pytest

from upscale_audit.ingest.merkle import find_root, follow, prove

# Inputs and roots of the certificate transparency project's reference tree (merkletree tests).
VECTORS = ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")
VECTORS += ("606162636465666768696a6b6c6d6e6f",)
ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
LEAVES = [bytes.fromhex(text) for text in VECTORS]


def naive_root(leaves):
    """RFC 6962, 2.1, in the words of its equations."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = max(2**n for n in range(20) if 2**n < len(leaves))
    parts = naive_root(leaves[:k]) + naive_root(leaves[k:])
    return hashlib.sha256(b"\x01" + parts).digest()


@pytest.mark.parametrize(("count", "root"), ROOTS.items())
def test_roots_are_those_of_the_reference_tree(count, root):
    assert find_root(LEAVES[:count]) == root


def test_roots_of_any_size_are_the_equations():
    leaves = [bytes([number]) * number for number in range(70)]
    for size in range(70):
        assert find_root(leaves[:size]) == naive_root(leaves[:size]).hex()


def test_every_leaf_of_every_tree_proves_itself_and_no_other_leaf():
    leaves = [f"{number}".encode() for number in range(33)]
    for size in range(1, 34):
        root = find_root(leaves[:size])
        for index in range(size):
            path = prove(leaves[:size], index)
            assert len(path) <= (size - 1).bit_length()
            assert follow(leaves[index], path) == root
            assert follow(b"other", path) != root


def test_a_changed_step_or_side_leads_elsewhere():
    root, path = find_root(LEAVES), prove(LEAVES, 3)
    for number, (side, sibling) in enumerate(path):
        other = "left" if side == "right" else "right"
        changed = [(other, sibling), (side, hashlib.sha256().hexdigest())]
        for step in changed:
            assert follow(LEAVES[3], [*path[:number], step, *path[number + 1 :]]) != root


def test_a_leaf_that_is_not_there_has_no_proof():
    with pytest.raises(IndexError, match="leaf 8 of 8"):
        prove(LEAVES, 8)


def test_a_node_is_no_leaf():
    """The prefixes: without them, two leaves' hashes would be one leaf of another tree."""
    left, right = (hashlib.sha256(b"\x00" + leaf).digest() for leaf in LEAVES[:2])
    assert find_root([left + right]) != find_root(LEAVES[:2])


def test_a_proof_can_be_followed_with_sha256sum_alone():
    lines = [b"a  one\n", b"b  two\n", b"c  three\n"]

    def sha256sum(data):
        done = subprocess.run(["sha256sum"], input=data, capture_output=True, check=True)
        return bytes.fromhex(done.stdout.split()[0].decode())

    one, two, three = (sha256sum(b"\x00" + line) for line in lines)
    by_hand = sha256sum(b"\x01" + sha256sum(b"\x01" + one + two) + three)
    assert find_root(lines) == by_hand.hex()
    assert prove(lines, 2) == [("left", sha256sum(b"\x01" + one + two).hex())]
