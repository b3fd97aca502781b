"""Regions of blocks: majorities counted pixel by pixel, the background by scipy's labelling."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from upscale_audit.ingest.regions import (
    BODY,
    FIRST_STRUCTURE,
    choose_regions,
    count_blocks,
    cover_with_body,
    find_background,
    fits,
    hash_rows,
    scale_labels,
    spell_rows,
)
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study


def choose_by_hand(labels, structures):
    """Code and pixels of each block, one pixel after the other."""
    height, width = labels.shape
    codes, covered = {}, {}
    for top in range(0, height, 8):
        for left in range(0, width, 8):
            votes = [0] * (structures + 1)
            for row in range(top, min(top + 8, height)):
                for col in range(left, min(left + 8, width)):
                    votes[labels[row, col]] += 1
            best = max(votes)
            firsts = [code for code in range(1, structures + 1) if votes[code] == best]
            block = top // 8, left // 8
            codes[block] = FIRST_STRUCTURE + firsts[0] - 1 if firsts else BODY
            covered[block] = best
    return codes, covered


@pytest.mark.parametrize("shape", [(64, 64), (61, 83), (8, 8), (9, 17)])
@pytest.mark.parametrize("structures", [0, 1, 3])
def test_a_block_is_of_what_most_of_its_pixels_are(shape, structures):
    generator = np.random.default_rng([*shape, structures])
    coarse = generator.integers(0, structures + 1, [-(-side // 5) for side in shape])
    labels = coarse.repeat(5, 0).repeat(5, 1)[: shape[0], : shape[1]].astype(np.uint8)
    codes, covered = choose_regions(count_blocks(labels, structures))
    if not structures:
        assert all(
            (a == b).all() for a, b in zip(cover_with_body(shape), (codes, covered), strict=True)
        )
    expected = choose_by_hand(labels, structures)
    assert {block: int(code) for block, code in np.ndenumerate(codes)} == expected[0]
    assert {block: int(count) for block, count in np.ndenumerate(covered)} == expected[1]


def test_of_equal_counts_the_first_structure_has_the_block_and_none_comes_last():
    labels = np.zeros((8, 32), np.uint8)
    labels[:4, :8], labels[4:, :8] = 2, 1
    labels[:4, 8:16] = 2
    labels[:4, 16:24] = 2
    labels[0, 16] = 0
    codes, covered = choose_regions(count_blocks(labels, 2))
    assert codes.tolist() == [[FIRST_STRUCTURE, FIRST_STRUCTURE + 1, BODY, BODY]]
    assert covered.tolist() == [[32, 32, 33, 64]]


def find_by_scipy(grey):
    blocks = grey.reshape(grey.shape[0] // 8, 8, -1, 8).astype(float)
    dark = (blocks.mean((1, 3)) <= 32) & (blocks.var((1, 3)) <= 25)
    labels, _ = ndimage.label(dark)
    frame = np.ones_like(dark)
    frame[2:-2, 2:-2] = False
    return np.isin(labels, np.unique(labels[frame & (labels > 0)]))


def sums(grey):
    blocks = grey.reshape(grey.shape[0] // 8, 8, -1, 8).astype(np.int64)
    return blocks.sum((1, 3)), (blocks * blocks).sum((1, 3))


@pytest.mark.parametrize("seed", range(8))
def test_background_is_dark_and_flat_and_hangs_together_with_the_frame(seed):
    generator = np.random.default_rng(seed)
    is_dark = ndimage.gaussian_filter(generator.standard_normal((40, 32)), 1.0) > -0.08
    levels = np.where(is_dark, 20, 120).repeat(8, 0).repeat(8, 1)
    grey = levels + generator.integers(0, 8, levels.shape)
    found = find_background(*sums(grey))
    assert (found == find_by_scipy(grey)).all()
    assert 0 < found.sum() < is_dark.sum()


def test_a_spiral_is_followed_to_its_end_and_what_it_does_not_reach_is_body():
    dark = np.zeros((11, 11), bool)
    for row, cols in ((0, range(11)), (10, range(2, 11)), (2, range(2, 9)), (8, range(2, 5))):
        dark[row, list(cols)] = True
    dark[:, 10] = True
    dark[2:, 2] = True
    dark[5, 6] = True
    grey = np.where(dark, 5, 200).repeat(8, 0).repeat(8, 1)
    found = find_background(*sums(grey))
    assert (found == find_by_scipy(grey)).all()
    assert found[2, 8]
    assert not found[5, 6]


@pytest.mark.parametrize(
    ("value", "spread", "is_found"), [(32, 0, True), (33, 0, False), (20, 5, True), (20, 6, False)]
)
def test_limits_are_closed(value, spread, is_found):
    """Half the pixels above, half below: the variance is the spread squared."""
    grey = np.full((48, 48), value)
    grey[::2] += spread
    grey[1::2] -= spread
    assert find_background(*sums(grey)).all() == is_found
    assert find_background(*sums(grey)).any() == is_found


def test_a_white_border_is_body_and_beyond_8_px_hides_the_air_behind_it():
    film = np.pad(np.full((64, 64), 120), 32)
    for border_px, air_ratio in ((0, 1.0), (8, 1.0), (16, 0.0), (24, 0.0)):
        grey = np.pad(film, border_px, constant_values=255)
        found = find_background(*sums(grey))
        is_air = np.pad(film == 0, border_px)[::8, ::8]
        assert found[is_air].mean() == air_ratio
        assert not found[~is_air].any()


def test_of_a_film_darker_and_flatter_than_both_limits_all_is_background():
    film = np.linspace(5, 30, 64).astype(int) * np.ones((64, 1), int)
    assert find_background(*sums(film)).all()


@pytest.mark.parametrize("shape", [(1024, 1024), (60, 45), (7, 1000)])
def test_scaling_takes_the_pixel_in_which_the_middle_lies(shape):
    labels = np.random.default_rng(5).integers(0, 4, (60, 45)).astype(np.uint8)
    found = scale_labels(labels, shape)
    for row, col in zip(*np.random.default_rng(6).integers(0, shape, (300, 2)).T, strict=True):
        own = int((row + 0.5) / shape[0] * 60), int((col + 0.5) / shape[1] * 45)
        assert found[row, col] == labels[own]


@pytest.mark.parametrize(
    ("mask", "reference", "does"),
    [
        ((1024, 1024), (1024, 1024), True),
        ((512, 512), (1024, 1024), True),
        ((512, 500), (1023, 1000), True),
        ((2544, 3056), (1024, 1024), False),
        ((1024, 1024), (1024, 1026), False),
        ((1, 1), (1024, 1024), True),
        ((1024, 900), (900, 1024), False),
    ],
)
def test_only_masks_of_the_references_shape_fit(mask, reference, does):
    assert fits(mask, reference) == does


def test_ingest_finds_the_regions_of_every_film_and_says_what_became_of_its_mask(
    study_folder, read_rows
):
    """Films with a dark side, cut blocks at two sides, and masks good, empty, torn and unknown."""
    study_folder.add_model("m", ("notta",))
    study_folder.add_model("n", ("notta",))
    masks = study_folder.root / "masks"
    masks.mkdir()
    mask = np.zeros((28, 52), np.uint8)
    mask[8:19, 16:30] = 1
    mask[:8, :8] = 1
    for image_id in ("a", "b", "c", "d"):
        study_folder.add_image(image_id, mask.shape)
        film = np.random.default_rng(ord(image_id)).integers(60, 200, mask.shape).astype(np.uint8)
        film[:, :8] = 5
        for model_id in (None, "m", "n"):
            study_folder.put(f"{image_id}.png", film, model_id)
        study_folder.put(f"{image_id}.png", mask * (image_id != "b"))
        (study_folder.root / "reference" / f"{image_id}.png").rename(masks / f"{image_id}.png")
        study_folder.put(f"{image_id}.png", film)
    whole = (masks / "c.png").read_bytes()
    (masks / "c.png").write_bytes(whole[: len(whole) // 2])
    (masks / "d.png").rename(masks / "stranger.png")
    study_folder.load()
    file = study_folder.root / "study.toml"
    regions = '[regions]\nfolder = "masks"\nlabels = { 1 = "lung" }\n'
    file.write_text(file.read_text() + regions)
    study = load_study(file)
    ingest_study(study, workers=1)
    status = {row["image_id"]: row["status"] for row in read_rows(study.raw, "masks")}
    assert status == {"a": "used", "b": "empty", "c": "truncated", "d": "missing"}
    refused = {
        (row["file_name"], row["reason"], row["role"]): row["file_sha256"]
        for row in read_rows(study.raw, "rejects")
    }
    torn = hashlib.sha256((masks / "c.png").read_bytes()).hexdigest()
    assert refused[("c.png", "truncated", "mask")] == torn
    assert ("stranger.png", "no_reference", "mask") in refused
    names = {row["region_code"]: row["region"] for row in read_rows(study.raw, "regions")}
    found = {
        row["block_row"]: [names[ord(code) - 48] for code in row["regions"]]
        for row in read_rows(study.raw, "region_rows")
        if row["image_id"] == "a"
    }
    out = ["background", *["outside"] * 6]
    lung = ["background", "outside", "lung", "lung", *["outside"] * 3]
    # A block that the frame cuts is what its neighbour is; one of a structure is no background.
    assert found == {0: ["lung", *out[1:]], 1: lung, 2: out, 3: out}
    assert {row["image_id"] for row in read_rows(study.raw, "region_rows")} == {"a"}


def test_rows_are_spelt_a_character_a_block():
    codes = np.array([[0, 1, 2], [33, 1, 0]], np.uint8)
    covered = np.array([[64, 1, 33], [64, 64, 9]], np.uint8)
    rows = spell_rows("a", codes, covered)
    assert rows[0] == {"image_id": "a", "block_row": 0, "regions": "012", "covered": "p1Q"}
    assert rows[1]["regions"] == "Q10"
    assert hash_rows(rows) != hash_rows(spell_rows("a", codes, covered - 1))
    assert hash_rows(rows) == hash_rows(spell_rows("b", codes, covered))
