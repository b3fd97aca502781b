"""Shapes against their closed forms, textures against what they alter."""

import numpy as np
import pytest

from upscale_audit.restore.phantom.design import KINDS, Condition
from upscale_audit.restore.phantom.kinds import (
    draw_condition,
    draw_shape,
    find_texture,
    list_blocks,
)
from upscale_audit.restore.phantom.sites import ANGLES, REACH_PX, Site


@pytest.mark.parametrize("radius", [8, 16, 32])
def test_a_nodule_is_burgess_lesion(radius):
    shape = draw_shape(f"nodule_{radius}", 0)
    assert shape[REACH_PX, REACH_PX] == shape.max() == 1
    assert shape[REACH_PX, REACH_PX + radius // 2] == pytest.approx(0.75**1.5)
    assert shape[REACH_PX, REACH_PX + radius] == 0
    # The integral of (1 - r^2/R^2)^3 over a disc is pi R^2 / 4.
    assert (shape**2).sum() == pytest.approx(np.pi * radius**2 / 4, rel=1e-3)


@pytest.mark.parametrize("angle", range(ANGLES))
def test_a_wire_has_its_width_and_length_at_any_angle(angle):
    shape = draw_shape("wire", angle)
    assert shape[REACH_PX, REACH_PX] == shape.max() == 1
    # A Gaussian profile of sigma s has a sum of s sqrt(2 pi), and of its squares s sqrt(pi).
    assert shape.sum() == pytest.approx(48 * 0.8 * np.sqrt(2 * np.pi), rel=0.03)
    assert (shape**2).sum() == pytest.approx(48 * 0.8 * np.sqrt(np.pi), rel=0.03)
    assert (shape[:4] < 1e-6).all()


def test_an_edge_is_a_step_and_moves_no_mean():
    shape = draw_shape("edge", 0)  # along a row: bright above, dark below, or the other way round
    above, below = shape[REACH_PX - 6, REACH_PX], shape[REACH_PX + 6, REACH_PX]
    assert abs(above - below) == pytest.approx(1, abs=0.01)
    assert shape[REACH_PX, REACH_PX] == 0
    assert shape.sum() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_drawn_ends_within_its_window_and_shows_in_the_blocks_that_are_listed(kind):
    shape = draw_shape(kind, 5)
    rim = np.concatenate([shape[0], shape[-1], shape[:, 0], shape[:, -1]])
    assert np.abs(rim).max() < 1e-9
    site = Site(101, 140, 5)
    whole = np.zeros((256, 256))
    whole[site.window] = shape
    energy = (whole**2).reshape(32, 8, 32, 8).sum(axis=(1, 3))
    expected = [tuple(item) for item in np.argwhere(energy >= 0.05 * energy.max()).tolist()]
    assert list_blocks(kind, site, 32, 32) == expected
    assert energy[tuple(np.transpose(expected))].sum() > 0.9 * energy.sum()


def draw(kind, image, sites, number=0, contrast=None):
    texture = find_texture(image)
    return draw_condition(Condition(kind, contrast, "full"), image, texture, sites, number)


@pytest.fixture
def image():
    return np.random.default_rng(7).normal(100, 9, (300, 300))


SITES = [Site(80, 90, 3), Site(200, 180, 3)]


def test_a_contrast_is_that_of_the_highest_point(image):
    assert draw("nodule_16", image, SITES, contrast=8).max() == 8
    assert not draw("wire", image, SITES, contrast=0).any()


def test_erase_takes_the_texture_away(image):
    drawn = image.copy()
    drawn[SITES[0].window] += draw("erase", image, SITES)
    middle = (slice(72, 88), slice(82, 98))
    assert find_texture(image)[middle].std() > 8
    assert (image - find_texture(image))[middle] == pytest.approx(drawn[middle])
    # What is flat has no texture to lose.
    assert np.abs(draw("erase", np.full((300, 300), 100.0), SITES)).max() < 1e-9


def test_swap_puts_the_texture_of_the_next_site_in_its_place(image):
    drawn = image.copy()
    drawn[SITES[0].window] += draw("swap", image, SITES)
    here, there = (slice(72, 88), slice(82, 98)), (slice(192, 208), slice(172, 188))
    texture = find_texture(image)
    assert drawn[here] - (image - texture)[here] == pytest.approx(texture[there])


def test_mirror_puts_the_other_side_there_and_keeps_the_mean(image):
    drawn = draw("mirror", image, SITES)
    weight = draw_shape("mirror", 3)
    assert (weight * (image[SITES[0].window] + drawn)).sum() == pytest.approx(
        (weight * image[SITES[0].window]).sum() + (weight * drawn).sum()
    )
    assert drawn.sum() == pytest.approx(0, abs=1e-6)
    other = image[:, ::-1][SITES[0].window]
    inner = (slice(28, 44), slice(28, 44))
    found = (image[SITES[0].window] + drawn)[inner]
    assert found - found.mean() == pytest.approx(other[inner] - other[inner].mean())
    both = (image + image[:, ::-1]) / 2
    assert np.abs(draw("mirror", both, SITES)).max() < 1e-9
