"""LR creation, the Mitchell reduction and grey against libraries and the equations."""

import cv2
import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.restore.resampling import reduce_mitchell, to_grey


@pytest.fixture
def crop(sample_pairs):
    return sample_pairs["bicubic"][0]


def test_opencv_cubic_is_the_published_generators_lr(crop):
    wanted = cv2.resize(crop, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(make_lr(crop, 2, "opencv_cubic"), wanted)


def test_the_antialiased_lr_is_pillows_and_another_image(crop):
    found = make_lr(crop, 2, "antialiased")
    wanted = Image.fromarray(crop).resize((256, 256), Image.Resampling.BICUBIC)
    assert np.array_equal(found, np.asarray(wanted))
    assert np.abs(found.astype(int) - make_lr(crop, 2, "opencv_cubic")).max() > 3


@pytest.mark.parametrize("rule", ["opencv_cubic", "antialiased"])
def test_colours_keep_their_channels_and_equal_channels_stay_equal(rule):
    image = np.random.default_rng(5).integers(0, 256, (30, 42, 3), np.uint8)
    assert make_lr(image, 3, rule).shape == (10, 14, 3)
    grey = np.repeat(image[..., :1], 3, axis=2)
    reduced = make_lr(grey, 3, rule)
    assert np.array_equal(reduced[..., 0], make_lr(image[..., 0], 3, rule))
    assert np.array_equal(reduced[..., 0], reduced[..., 2])


def test_a_scale_of_one_is_the_reference_itself(crop):
    assert np.array_equal(make_lr(crop, 1, "opencv_cubic"), crop)


@pytest.mark.parametrize(("scale", "rule"), [(3, "opencv_cubic"), (2, "nearest")])
def test_a_side_that_does_not_divide_and_an_unknown_rule_are_errors(crop, scale, rule):
    with pytest.raises(ValueError, match=r"multiple of 3|expected one of opencv_cubic"):
        make_lr(crop, scale, rule)


def naive_mitchell(line, reduced):
    """One line by the published equation, pixel by pixel; B = C = 1/3."""

    def kernel(x, b=1 / 3, c=1 / 3):
        x = abs(x)
        if x < 1:
            return ((12 - 9 * b - 6 * c) * x**3 + (-18 + 12 * b + 6 * c) * x**2 + 6 - 2 * b) / 6
        if x < 2:
            cubic = (-b - 6 * c) * x**3 + (6 * b + 30 * c) * x**2
            return (cubic + (-12 * b - 48 * c) * x + 8 * b + 24 * c) / 6
        return 0.0

    stretch = len(line) / reduced
    result = []
    for index in range(reduced):
        total = weight = 0.0
        for pixel in range(-40, len(line) + 40):
            share = kernel((pixel + 0.5) / stretch - (index + 0.5))
            total += share * line[min(max(pixel, 0), len(line) - 1)]
            weight += share
        result.append(total / weight)
    return np.array(result)


def linear(value):
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def srgb(value):
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


@pytest.mark.parametrize(("length", "reduced"), [(40, 20), (36, 24), (20, 20)])
def test_the_reduction_is_the_published_kernel_in_linear_light(length, reduced):
    image = np.random.default_rng(6).integers(0, 256, (length, length, 2), np.uint8)
    found = reduce_mitchell(image, reduced, reduced)
    light = np.vectorize(linear)(image / 255)
    rows = np.stack([naive_mitchell(column, reduced) for column in light.reshape(length, -1).T], 1)
    rows = rows.reshape(reduced, length, 2)
    both = np.stack([[naive_mitchell(row[:, c], reduced) for c in (0, 1)] for row in rows])
    wanted = np.vectorize(srgb)(both.transpose(0, 2, 1).clip(0, 1)) * 255
    assert np.abs(found - wanted).max() <= 0.5 + 1e-6


def test_the_reduction_leaves_flat_areas_and_averages_light_not_codes():
    flat = np.full((16, 16, 3), 77, np.uint8)
    assert np.array_equal(reduce_mitchell(flat, 8, 8), flat[:8, :8])
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    middle = reduce_mitchell(stripes, 32, 32)[8:-8, 8:-8]
    assert np.abs(middle.astype(int) - 188).max() <= 1  # half the light; half the code is 128


def test_grey_is_pillows_or_the_mean_or_kept():
    image = np.random.default_rng(7).integers(0, 256, (9, 11, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(image).convert("L"))
    assert np.array_equal(to_grey(image, "rec601"), wanted)
    exact = image.sum(axis=2, dtype=int) / 3
    assert np.array_equal(to_grey(image, "mean"), np.floor(exact + 0.5))
    assert to_grey(image, "keep") is image
    assert to_grey(image[..., 0], "mean").shape == (9, 11)
    with pytest.raises(ValueError, match="expected one of rec601, mean, keep"):
        to_grey(image, "luma")
