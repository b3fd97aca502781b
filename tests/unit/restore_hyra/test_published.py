"""The published program's two parts, against scipy and its stated sizes."""

import cv2
import numpy as np
import pytest
from scipy import signal

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.hyra.published import quantise_impulse, split_as_published


def test_the_linear_part_has_the_size_of_the_papers_example():
    rng = np.random.default_rng(0)
    grey, restored = rng.random((42, 42)), rng.random((126, 126))
    linear, nonlinear = split_as_published(grey, rng.random((33, 33)), restored, 3)
    assert linear.shape == nonlinear.shape == (124, 124)


@pytest.mark.parametrize(("shape", "kernel"), [((12, 17), (9, 9)), ((12, 17), (8, 11))])
def test_the_linear_part_is_a_correlation_with_the_zero_filled_image(shape, kernel):
    rng = np.random.default_rng(1)
    grey, impulse, scale = rng.random(shape), rng.random(kernel), 2
    pads = [(side // 4, side // 4) for side in kernel]
    stuffed = np.kron(np.pad(grey, pads, mode="reflect"), [[1, 0], [0, 0]])
    expected = signal.correlate(stuffed, impulse, mode="valid")
    restored = rng.random([side * scale for side in shape])
    linear, nonlinear = split_as_published(grey, impulse, restored, scale)
    np.testing.assert_allclose(linear, expected, atol=1e-12)
    size = expected.shape[1], expected.shape[0]
    resized = cv2.resize(restored, size, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_allclose(nonlinear, resized - expected, atol=1e-12)


def test_the_impulse_loses_its_scale_and_its_side_lobes():
    found = quantise_impulse(np.array([[-0.2, 0.1], [0.5, 0.25]]))
    np.testing.assert_array_equal(found, np.array([[0, 26], [128, 64]]) / 128)


def test_a_black_impulse_or_a_tiny_image_is_an_error():
    with pytest.raises(StudyError, match="black in 8 bits"):
        quantise_impulse(np.full((3, 3), 0.001))
    with pytest.raises(StudyError, match=r"more than 4 px a side, .* found 9x4"):
        split_as_published(np.zeros((4, 9)), np.zeros((16, 16)), np.zeros((8, 18)), 2)
