"""Maps to boxes on blobs whose place is known, by hand and against SciPy."""

import numpy as np
import pytest
from scipy import ndimage, stats

from upscale_audit.reading.maps import (
    LEVELS,
    Frame,
    compare_maps,
    correlate,
    find_boxes,
    light_pixels,
    list_boxes,
    measure_overlap,
    place_square,
    scale_map,
)
from upscale_audit.reading.preparing import Square, find_square, prepare_image


def draw(blobs, side=40):
    """A map of 0 with rectangles: (top, left, height, width, value)."""
    canvas = np.zeros((side, side), np.float32)
    for top, left, height, width, value in blobs:
        canvas[top : top + height, left : left + width] = value
    return canvas


def test_each_isolated_area_gets_its_box_at_the_levels_that_it_passes():
    # 255, 120 and 51 of 255: above both levels, above the lower, above none.
    drawn = draw([(2, 3, 5, 7, 10), (20, 30, 4, 6, 120 / 25.5), (30, 2, 3, 3, 2)])
    boxes = list_boxes(light_pixels(drawn, 40), Frame(0, 0, 40))
    assert boxes == [(60, 0, 3, 2, 7, 5), (60, 1, 30, 20, 6, 4), (180, 0, 3, 2, 7, 5)]


def test_areas_that_touch_at_a_corner_are_one():
    assert find_boxes(draw([(2, 2, 3, 3, 1), (5, 5, 2, 4, 1)]) > 0) == [(2, 2, 7, 5)]
    assert find_boxes(draw([(2, 2, 3, 3, 1), (6, 6, 2, 4, 1)]) > 0) == [(2, 2, 3, 3), (6, 6, 4, 2)]
    ring = draw([(0, 0, 9, 9, 1), (1, 1, 7, 7, 0), (3, 4, 2, 1, 1)], 9) > 0
    assert find_boxes(ring) == [(0, 0, 9, 9), (4, 3, 1, 2)]  # one in the other's hole
    assert find_boxes(np.zeros((4, 4), bool)) == []
    assert find_boxes(np.ones((4, 4), bool)) == [(0, 0, 4, 4)]


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_those_of_scipys_labels(seed):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(97, 97)), 2)
    lit = noise > 0.04
    labels, count = ndimage.label(lit, structure=np.ones((3, 3)))
    slices = ndimage.find_objects(labels)
    expected = [
        (cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        for rows, cols in slices
    ]
    assert count > 20
    found = find_boxes(lit)
    assert sorted(found) == sorted(expected)
    assert [(top, left) for left, top, _, _ in found] == sorted(
        (top, left) for left, top, _, _ in found
    )


def test_the_brightest_cell_of_a_small_map_is_where_its_box_is():
    small = np.zeros((7, 7), np.float32)
    small[2, 4] = -1  # the least value is 0 of 255, whatever its sign
    small[5, 1] = 3
    (level, number, left, top, width, height), *_ = [
        box for box in list_boxes(light_pixels(small, 224), Frame(0, 0, 224)) if box[0] == 180
    ]
    # A cell of 32 px, its middle at (5.5, 1.5) cells; bilinearly 180 is passed within half a cell.
    assert (level, number) == (180, 0)
    assert top + height / 2 == pytest.approx(5.5 * 32, abs=1)
    assert left + width / 2 == pytest.approx(1.5 * 32, abs=1)
    assert 16 < width < 32
    assert 16 < height < 32


def test_enlarging_is_bilinear_between_the_middles_of_cells():
    ramp = np.array([[0, 1], [0, 1]], np.float32)
    lit = light_pixels(ramp, 8)
    # Middles at 1/4 and 3/4 of the width: pixel c is (c + 0.5) / 4 - 0.5 of the way, cut to 0..1.
    way = np.clip((np.arange(8) + 0.5) / 4 - 0.5, 0, 1) * 255
    for level in LEVELS:
        np.testing.assert_array_equal(lit[level], np.tile(way > level, (8, 1)))


def test_a_map_that_is_the_same_everywhere_lights_nothing():
    flat = np.full((4, 4), 2.5, np.float32)
    other = draw([(0, 0, 2, 2, 1)], 4)
    assert scale_map(flat) is None
    lit = {name: light_pixels(item, 16) for name, item in (("flat", flat), ("other", other))}
    assert list_boxes(lit["flat"], Frame(0, 0, 16)) == []
    none = {"map_correlation": None, "overlap_60": None, "overlap_180": None}
    assert compare_maps(flat, flat, lit["flat"], lit["flat"]) == none
    found = compare_maps(other, flat, lit["other"], lit["flat"])
    assert found == none | {"overlap_60": 0.0, "overlap_180": 0.0}


def test_two_maps_are_compared_by_pearson_and_by_what_both_light():
    generator = np.random.default_rng(4)
    first, second = generator.normal(size=(2, 7, 7)).astype(np.float32)
    lit = [light_pixels(item, 50) for item in (first, second)]
    found = compare_maps(first, second, *lit)
    expected = stats.pearsonr(first.ravel(), second.ravel()).statistic
    assert found["map_correlation"] == pytest.approx(expected, abs=1e-6)
    for level in LEVELS:
        both, any_ = (lit[0][level] & lit[1][level]).sum(), (lit[0][level] | lit[1][level]).sum()
        assert found[f"overlap_{level}"] == both / any_
    same = compare_maps(first, 3 * first + 1, lit[0], light_pixels(3 * first + 1, 50))
    assert same["map_correlation"] == pytest.approx(1)
    assert same["overlap_60"] == pytest.approx(1, abs=0.01)
    assert correlate(first, -first) == pytest.approx(-1)


def test_an_overlap_by_hand():
    first, second = draw([(0, 0, 2, 4, 1)], 8) > 0, draw([(1, 0, 2, 4, 1)], 8) > 0
    assert measure_overlap(first, second) == 4 / 12


def test_boxes_lie_in_the_reference_where_the_square_was_cut():
    """A blob of an LR image of 50 x 30, whose square is 30 x 30 from column 10 on, scale 2."""
    square = find_square((30, 50))
    assert square == Square(0, 10, 30)
    frame = place_square(square, 2.0)
    assert frame == Frame(0, 20, 60)
    drawn = draw([(5, 10, 4, 6, 1)], 60)  # in pixels of the reference's square
    boxes = list_boxes(light_pixels(drawn, 60), frame)
    assert boxes[0] == (60, 0, 20 + 10, 5, 6, 4)
    # The same map on a square of 120 px: half as large a pixel.
    wide = list_boxes(light_pixels(np.kron(drawn, np.ones((2, 2), np.float32)), 120), frame)
    assert wide[0] == boxes[0]


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((30, 50), (0, 10, 30)), ((51, 30), (10, 0, 30)), ((7, 10), (0, 2, 7)), ((8, 8), (0, 0, 8))],
)
def test_the_middle_square_is_torchxrayvisions(shape, expected):
    """XRayCenterCrop of torchxrayvision 1.5.7: n // 2 - side // 2."""
    assert find_square(shape) == Square(*expected)


def test_an_image_shrinks_by_area_and_grows_bilinearly():
    grey = np.random.default_rng(1).integers(0, 256, (12, 16), np.uint8)
    square = grey[:, 2:14].astype(np.float64)
    np.testing.assert_array_equal(prepare_image(grey, 12), square)
    shrunk = prepare_image(grey, 4)
    expected = square.reshape(4, 3, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(shrunk, expected, rtol=0, atol=1e-4)
    grown = prepare_image(grey, 24)
    # A pixel lies at quarters between the middles of two.
    across = np.repeat(square, 2, axis=1)
    across[:, 2::2] = 0.75 * square[:, 1:] + 0.25 * square[:, :-1]
    across[:, 1:-1:2] = 0.75 * square[:, :-1] + 0.25 * square[:, 1:]
    np.testing.assert_allclose(grown[0], across[0], rtol=0, atol=1e-3)
    assert grown.dtype == np.float32
