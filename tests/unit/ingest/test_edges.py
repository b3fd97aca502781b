"""Canny thresholds and the ring of pixels beside a reference's edges."""

import math

import cv2
import numpy as np
import pytest
from scipy import ndimage

from upscale_audit.ingest.edges import find_thresholds, mark_ringing_pixels
from upscale_audit.ingest.study import IngestParameters

ACROSS = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])


def sort_magnitudes(grey):
    across = ndimage.correlate(grey.astype(int), ACROSS, mode="nearest")
    down = ndimage.correlate(grey.astype(int), ACROSS.T, mode="nearest")
    return sorted((abs(across) + abs(down)).ravel().tolist())


def naive_high(grey, quantile):
    magnitudes = sort_magnitudes(grey)
    return magnitudes[math.ceil(quantile * len(magnitudes)) - 1]


def naive_mask(grey, low, high):
    edges = cv2.Canny(grey, low, high)
    if not edges.any():
        return np.zeros_like(grey)
    distance = ndimage.distance_transform_cdt(edges == 0, metric="chessboard")
    return ((distance >= 2) & (distance <= 5)).astype(np.uint8)


@pytest.mark.parametrize("quantile", [0.95, 0.5, 0.25, 0.999])
@pytest.mark.parametrize("shape", [(8, 8), (9, 17), (64, 48)])
def test_adaptive_thresholds_are_those_of_a_naive_sort(shape, quantile):
    grey = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    low, high = find_thresholds(grey, IngestParameters(edge_quantile=quantile))
    assert high == naive_high(grey, quantile)
    assert low == high // 2


def test_adaptive_thresholds_of_radiographs_are_those_of_a_naive_sort(sample_pairs):
    for reference, _ in sample_pairs.values():
        _, high = find_thresholds(reference, IngestParameters())
        assert high == naive_high(reference, 0.95)
        assert high > 0


def test_thresholds_of_a_known_step_image():
    grey = np.zeros((8, 20), np.uint8)
    grey[:, 10:] = 10
    # Two of twenty columns see the step: 1 + 2 + 1 times 10 dn.
    assert find_thresholds(grey, IngestParameters(edge_quantile=0.875)) == (0, 0)
    assert find_thresholds(grey, IngestParameters(edge_quantile=0.9375)) == (20, 40)


def test_fixed_thresholds_are_the_given_ones():
    grey = np.random.default_rng(1).integers(0, 256, (16, 16), np.uint8)
    parameters = IngestParameters(edge_rule="fixed", edge_low_dn=7, edge_high_dn=31)
    assert find_thresholds(grey, parameters) == (7, 31)


def test_the_greatest_gradient_is_counted():
    grey = np.zeros((8, 8), np.uint8)
    grey[:, 4:] = 255
    grey[4:] = 255
    assert find_thresholds(grey, IngestParameters(edge_quantile=0.999))[1] == naive_high(
        grey, 0.999
    )


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_flat_image_has_no_edges_and_no_mask(grey):
    flat = np.full((24, 24), grey, np.uint8)
    low, high = find_thresholds(flat, IngestParameters())
    assert (low, high) == (0, 0)
    assert not mark_ringing_pixels(flat, low, high).any()


def test_the_mask_is_a_naive_chebyshev_ring_around_canny_edges(sample_pairs):
    for reference, _ in sample_pairs.values():
        low, high = find_thresholds(reference, IngestParameters())
        mask = mark_ringing_pixels(reference, low, high)
        np.testing.assert_array_equal(mask, naive_mask(reference, low, high))
        assert 0.05 < mask.mean() < 0.95


@pytest.mark.parametrize("shape", [(8, 8), (9, 17), (40, 33)])
def test_the_mask_of_noise_is_a_naive_chebyshev_ring(shape):
    grey = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    mask = mark_ringing_pixels(grey, 900, 1400)
    np.testing.assert_array_equal(mask, naive_mask(grey, 900, 1400))
    assert mask.dtype == np.uint8


def test_a_straight_edge_is_flanked_by_four_columns_on_either_side():
    grey = np.zeros((32, 40), np.uint8)
    grey[:, 20:] = 200
    marked = np.flatnonzero(mark_ringing_pixels(grey, 100, 200)[16])
    edge = np.flatnonzero(cv2.Canny(grey, 100, 200)[16]).item()
    offsets = [-5, -4, -3, -2, 2, 3, 4, 5]
    assert (marked - edge).tolist() == offsets
