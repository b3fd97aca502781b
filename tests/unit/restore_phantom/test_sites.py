"""Sites: far apart, inside, clear of findings and of what would be cut."""

import itertools

import numpy as np
import pytest

from upscale_audit.restore.phantom.sites import REACH_PX, find_sites


def find(grey, count=100, seed="seed", image_id="image", headroom_dn=16, boxes=()):
    return find_sites(grey, image_id, count, seed, headroom_dn, boxes)


@pytest.fixture
def grey():
    """An image without texture, which has a site in every cell."""
    return np.full((512, 600), 100, np.uint8)


def test_sites_lie_far_apart_and_inside(grey):
    sites = find(grey)
    assert len(sites) == 4 * 5
    for first, second in itertools.combinations(sites, 2):
        apart = max(abs(first.row_px - second.row_px), abs(first.col_px - second.col_px))
        assert apart >= 88
    for site in sites:
        assert 40 <= site.row_px <= 512 - 40
        assert 40 <= site.col_px <= 600 - 40
        assert grey[site.window].shape == (2 * REACH_PX, 2 * REACH_PX)


def test_the_same_hash_gives_the_same_sites_and_fewer_are_the_first_of_more(grey):
    assert find(grey, 7) == find(grey)[:7]
    assert find(grey, seed="other") != find(grey)
    assert find(grey, image_id="other") != find(grey)


def test_no_site_touches_a_finding(grey):
    box = (200, 150, 90, 60)
    inside = [site for site in find(grey) if overlaps(site, box)]
    assert inside
    assert not any(overlaps(site, box) for site in find(grey, boxes=[box]))
    assert len(find(grey, boxes=[box])) == len(find(grey)) - len(inside)


def overlaps(site, box):
    left, top, width, height = box
    rows = range(site.row_px - REACH_PX, site.row_px + REACH_PX)
    cols = range(site.col_px - REACH_PX, site.col_px + REACH_PX)
    return any(top <= row < top + height for row in rows) and any(
        left <= col < left + width for col in cols
    )


@pytest.mark.parametrize(("value", "is_free"), [(0, False), (1, True), (239, True), (240, False)])
def test_a_site_has_no_cut_pixel_and_room_for_the_largest_contrast(grey, value, is_free):
    (first, *_) = find(grey)
    grey[first.row_px, first.col_px] = value
    assert (first in find(grey)) is is_free


def test_an_image_without_room_has_no_site():
    assert find(np.full((175, 400), 100, np.uint8)) == []
    assert find(np.full((8, 8), 100, np.uint8)) == []
    assert len(find(np.full((176, 176), 100, np.uint8))) == 1
