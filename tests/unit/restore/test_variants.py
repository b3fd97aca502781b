"""The eight variants of TTA: a group, undone exactly, averaged as by hand."""

import numpy as np
import pytest

from upscale_audit.restore.variants import VARIANTS, apply_variant, average_variants, undo_variant


@pytest.fixture
def planes():
    return np.random.default_rng(1).random((3, 5, 7), np.float32)


def test_the_variants_are_the_eight_symmetries_of_a_square():
    corner = np.arange(9).reshape(1, 3, 3)
    found = {apply_variant(corner, variant).tobytes() for variant in VARIANTS}
    turned = [np.rot90(corner, turns, (1, 2)) for turns in range(4)]
    wanted = {image.tobytes() for turn in turned for image in (turn, turn[..., ::-1])}
    assert len(wanted) == 8
    assert found == wanted


@pytest.mark.parametrize("variant", VARIANTS)
def test_undoing_a_variant_gives_the_planes_back(planes, variant):
    assert np.array_equal(undo_variant(apply_variant(planes, variant), variant), planes)


def test_the_average_is_the_mean_of_the_eight_done_by_hand(planes):
    weights = np.random.default_rng(2).random((16, 16), np.float32)

    def uneven(image):
        return image * weights[: image.shape[1], : image.shape[2]]

    by_hand = [
        np.rot90(uneven(np.rot90(image, turns, (1, 2))), -turns, (1, 2))
        for image in (planes,)
        for turns in range(4)
    ]
    by_hand += [
        np.rot90(uneven(np.rot90(planes[..., ::-1], turns, (1, 2))), -turns, (1, 2))[..., ::-1]
        for turns in range(4)
    ]
    found = average_variants(uneven, planes)
    assert found.dtype == np.float32
    assert np.abs(found - np.mean(by_hand, axis=0, dtype=np.float64)).max() < 1e-6
    assert np.abs(found - uneven(planes)).max() > 0.01


def test_the_average_of_an_equivariant_function_is_the_function(planes):
    found = average_variants(lambda image: 1 - image, planes)
    assert np.array_equal(found, 1 - planes)
