"""Restorers without a network against the libraries that define them."""

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.filters import unsharp_mask

from upscale_audit.restore import controls


@pytest.fixture
def crop(sample_pairs):
    return sample_pairs["bicubic"][0][:160, :200]


@pytest.fixture
def colour():
    return np.random.default_rng(8).integers(0, 256, (40, 56, 3), np.uint8)


@pytest.mark.parametrize("kind", ["bicubic", "lanczos"])
def test_interpolation_is_pillows(crop, colour, kind):
    for image in (crop, colour):
        height, width = 2 * image.shape[0], 2 * image.shape[1]
        filters = {"bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
        wanted = Image.fromarray(image).resize((width, height), filters[kind])
        assert np.array_equal(controls.interpolate(image, height, width, kind), wanted)


@pytest.mark.parametrize("sigma_px", [0.7, 1.5, 3.0])
def test_blur_is_a_gaussian(crop, sigma_px):
    wanted = ndimage.gaussian_filter(crop.astype(float), sigma_px, mode="mirror", truncate=4)
    assert np.abs(controls.blur(crop, sigma_px) - wanted).max() <= 0.55


def test_unsharp_is_skimages(crop):
    values = crop / 255.0
    wanted = unsharp_mask(values, radius=1.5, amount=0.8) * 255
    found = controls.sharpen(crop, 1.5, 0.8)
    # skimage repeats the border pixel, this reflects beside it.
    assert np.abs(found - wanted)[8:-8, 8:-8].max() <= 0.55
    assert found.std() > crop.std()


def test_jpeg_is_pillows_round_trip(crop):
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "JPEG", quality=20)
    assert np.array_equal(controls.compress_jpeg(crop, 20), np.asarray(Image.open(buffer)))
    errors = [np.abs(controls.compress_jpeg(crop, q) - crop.astype(int)).mean() for q in (10, 90)]
    assert errors[0] > 2 * errors[1]


def test_noise_has_the_stated_spread_and_the_same_image_the_same_noise():
    image = np.full((256, 256), 128, np.uint8)
    noise = controls.add_noise(image, 5.0, "a").astype(float) - image
    assert abs(noise.std() - np.sqrt(25 + 1 / 12)) < 0.1
    assert abs(noise.mean()) < 0.1
    again, other = (controls.add_noise(image, 5.0, seed) - image.astype(float) for seed in "ab")
    assert np.array_equal(noise, again)
    assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.02


def test_noise_of_different_pixels_is_independent():
    image = np.full((256, 256), 128, np.uint8)
    changed = image.copy()
    changed[0, 0] = 129
    first, second = (controls.add_noise(it, 5.0, "a") - it.astype(float) for it in (image, changed))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.02


def test_frame_damage_is_the_blur_in_the_frame_and_nothing_inside(crop):
    found = controls.damage_frame(crop, 10, 2.0)
    assert np.array_equal(found[10:-10, 10:-10], crop[10:-10, 10:-10])
    inside = np.zeros(crop.shape, bool)
    inside[10:-10, 10:-10] = True
    assert np.array_equal(found[~inside], controls.blur(crop, 2.0)[~inside])
    assert np.any(found[~inside] != crop[~inside])


def test_a_frame_wider_than_the_image_is_all_of_it(crop):
    assert np.array_equal(controls.damage_frame(crop, 80, 2.0), controls.blur(crop, 2.0))
    assert np.array_equal(controls.damage_frame(crop, 1000, 2.0), controls.blur(crop, 2.0))


def test_every_control_takes_colour(colour):
    made = (
        controls.blur(colour, 1.0),
        controls.sharpen(colour, 1.0, 1.0),
        controls.add_noise(colour, 2.0, "a"),
        controls.compress_jpeg(colour, 50),
        controls.damage_frame(colour, 4, 1.0),
    )
    for image in made:
        assert (image.shape, image.dtype) == (colour.shape, np.uint8)
    channels = [controls.blur(colour[..., c], 1.0) for c in range(3)]
    assert np.array_equal(made[0], np.stack(channels, axis=2))
