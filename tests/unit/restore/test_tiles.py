"""Tiles: no seam where the network's reach is padded, and the borders reflected as stated."""

import numpy as np
import pytest
from scipy import ndimage

from upscale_audit.restore.tiles import restore_tiles, to_bytes
from upscale_audit.restore.variants import average_variants


class Doubling:
    """A linear network: each pixel four times, after a 7x7 mean that knows zeros outside."""

    scale = 2

    def __init__(self, kernel=None):
        self.kernel = np.ones((7, 7)) / 49 if kernel is None else kernel
        self.shapes = []

    def forward(self, planes):
        self.shapes.append(planes.shape)
        smooth = [ndimage.correlate(plane, self.kernel, mode="constant") for plane in planes]
        return np.kron(np.stack(smooth), np.ones((1, 2, 2))).astype(np.float32)


@pytest.fixture
def planes():
    return np.random.default_rng(3).random((3, 47, 60), np.float32)


def restore(network, planes, tile_px=16, prepad_px=4, tta=False):
    return restore_tiles(network, planes, tile_px=tile_px, prepad_px=prepad_px, tta=tta)


def test_tiles_that_see_as_far_as_the_network_leave_no_seam(planes):
    whole = restore(Doubling(), planes, tile_px=1000)
    assert np.array_equal(restore(Doubling(), planes), whole)
    seen_less = restore(Doubling(), planes, prepad_px=1)
    inside_a_tile = slice(2 * 4, 2 * 12)
    error = np.abs(seen_less - whole)[:, :, inside_a_tile].max(axis=(0, 2))
    at_seams = [0, 1, 14, 15, 16, 17, 30, 31, 32, 33, 45, 46]  # the reach of 3 less the 1 seen
    assert np.unique(np.flatnonzero(error > 1e-3) // 2).tolist() == at_seams


def test_beyond_the_image_lies_its_reflection(planes):
    found = restore(Doubling(), planes)
    mirrored = [ndimage.correlate(plane, np.ones((7, 7)) / 49, mode="mirror") for plane in planes]
    assert np.allclose(found[:, ::2, ::2], mirrored, rtol=0, atol=1e-6)


def test_every_tile_is_padded_on_four_sides_and_the_last_ones_are_smaller(planes):
    network = Doubling()
    restore(network, planes)
    assert {shape[1] for shape in network.shapes} == {24, 23}
    assert {shape[2] for shape in network.shapes} == {24, 20}
    assert len(network.shapes) == 3 * 4


def test_tta_of_an_equivariant_network_equals_no_tta(planes):
    plain, averaged = (restore(Doubling(), planes, tta=tta) for tta in (False, True))
    assert np.allclose(averaged, plain, rtol=0, atol=1e-6)


def test_tta_of_a_lopsided_network_is_its_symmetric_part(planes):
    kernel = np.random.default_rng(4).random((7, 7)) / 49
    turned = [np.rot90(kernel, turns) for turns in range(4)]
    symmetric = np.mean([*turned, *(turn.T for turn in turned)], axis=0)
    averaged = restore(Doubling(kernel), planes, tta=True)
    assert np.allclose(averaged, restore(Doubling(symmetric), planes), rtol=0, atol=1e-5)
    assert np.abs(averaged - restore(Doubling(kernel), planes)).max() > 0.01


def test_an_image_smaller_than_the_padding_is_restored_too():
    found = restore(Doubling(), np.full((3, 9, 1), 0.5, np.float32), prepad_px=10)
    assert found.shape == (3, 18, 2)
    assert np.allclose(found, 0.5)


def test_bytes_are_rounded_and_clipped():
    values = np.array([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 127.49 / 255, 1.0, 1.7])
    assert to_bytes(values).tolist() == [0, 0, 0, 1, 127, 255, 255]


class Batched(Doubling):
    """The same network, several inputs at once."""

    def __init__(self, batch_size, kernel=None):
        super().__init__(kernel)
        self.batch_size, self.batches = batch_size, []

    def forward_batch(self, batch):
        self.batches.append(batch.shape)
        return np.stack([self.forward(planes) for planes in batch])

    def average_batch(self, batch):
        self.batches.append(batch.shape)
        return np.stack([average_variants(self.forward, planes) for planes in batch])


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("batch_size", [2, 4, 8])
def test_tiles_of_one_shape_go_together_and_give_the_same(planes, tta, batch_size):
    kernel = np.random.default_rng(4).random((7, 7)) / 49
    one_by_one, together = Doubling(kernel), Batched(batch_size, kernel)
    wanted = restore(one_by_one, planes, tta=tta)
    assert np.array_equal(restore(together, planes, tta=tta), wanted)
    assert sorted(together.shapes) == sorted(one_by_one.shapes)
    assert max(shape[0] for shape in together.batches) == min(batch_size, 6)  # 6 of 12 are whole
    assert sum(shape[0] for shape in together.batches) == 12


@pytest.mark.parametrize("tta", [False, True])
def test_a_network_of_batch_size_one_sees_one_by_one(planes, tta):
    network = Batched(1)
    restore(network, planes, tta=tta)
    assert network.batches == []
    assert len(network.shapes) == (8 if tta else 1) * 12
