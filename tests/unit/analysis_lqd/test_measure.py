"""Local SSIM is skimage's on each patch, at every size, and NULL where a patch is cut."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from upscale_audit.analysis.lqd.measure import PATCH_SIZES_PX, measure_map
from upscale_audit.ingest import kernel
from upscale_audit.ingest.errors import StudyError


def patch(image, row, col, size):
    return image[row * size : (row + 1) * size, col * size : (col + 1) * size]


@pytest.mark.parametrize("size", PATCH_SIZES_PX)
def test_each_patch_is_skimages_default_on_its_own_pixels(sample_pairs, random_pair, size):
    pairs = [random_pair((128, 192), seed) for seed in range(2)]
    pairs += [(a[:128, :192], b[:128, :192]) for a, b in sample_pairs.values()]
    for reference, restored in pairs:
        measured = measure_map(reference, restored, patch_px=size).local_ssim
        assert measured.shape == (128 // size, 192 // size)
        for (row, col), value in np.ndenumerate(measured):
            expected = structural_similarity(
                patch(reference, row, col, size), patch(restored, row, col, size), data_range=255
            )
            assert value == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("size", PATCH_SIZES_PX)
def test_the_terms_are_the_equations_written_naively(sample_pairs, size):
    reference, restored = sample_pairs["upscayl_digital"]
    measured = measure_map(reference, restored, patch_px=size)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    for row, col in [(0, 0), (1, 3), (7, 7)]:
        x, y = (patch(image, row, col, size).astype(float) for image in (reference, restored))
        mx, my, sx, sy = x.mean(), y.mean(), x.std(), y.std()
        sxy = (x * y).mean() - mx * my
        luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
        contrast = (2 * sx * sy + c2) / (sx**2 + sy**2 + c2)
        structure = (sxy + c2 / 2) / (sx * sy + c2 / 2)
        assert measured.luminance[row, col] == pytest.approx(luminance, abs=1e-9)
        assert measured.contrast[row, col] == pytest.approx(contrast, abs=1e-9)
        assert measured.structure[row, col] == pytest.approx(structure, abs=1e-9)


def test_patch_8_is_the_block_ssim_of_the_raw_tables(sample_pairs):
    for reference, restored in sample_pairs.values():
        windows = (kernel.sum_windows(reference), kernel.sum_windows(restored))
        _, raw = kernel.compare_pair(reference, restored, *windows)
        measured = measure_map(reference, restored, patch_px=8).local_ssim
        assert np.abs(measured - raw).max() <= 6e-8


def test_a_size_is_measured_and_not_averaged_from_8(sample_pairs):
    reference, restored = sample_pairs["bicubic"]
    fine = measure_map(reference, restored, patch_px=8).local_ssim
    coarse = measure_map(reference, restored, patch_px=16).local_ssim
    averaged = fine.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(coarse - averaged).max() > 0.001


def test_equal_images_score_exactly_one(random_pair):
    reference, _ = random_pair((64, 64))
    measured = measure_map(reference, reference.copy(), patch_px=16)
    for values in (measured.local_ssim, measured.luminance, measured.contrast, measured.structure):
        assert (values == 1).all()


def test_two_constants_differ_by_luminance_alone():
    reference, restored = np.full((8, 8), 100, np.uint8), np.full((8, 8), 110, np.uint8)
    measured = measure_map(reference, restored, patch_px=8)
    by_hand = (2 * 100 * 110 + 6.5025) / (100**2 + 110**2 + 6.5025)
    assert measured.local_ssim[0, 0] == pytest.approx(by_hand, abs=1e-15)
    assert measured.luminance[0, 0] == pytest.approx(by_hand, abs=1e-15)
    assert (measured.contrast[0, 0], measured.structure[0, 0]) == (1, 1)


@pytest.mark.parametrize("size", PATCH_SIZES_PX)
def test_a_patch_depends_on_its_own_pixels_only(random_pair, size):
    reference, restored = random_pair((128, 128))
    whole = measure_map(reference, restored, patch_px=size).local_ssim
    row, col = 1, 128 // size - 1
    alone = measure_map(
        patch(reference, row, col, size), patch(restored, row, col, size), patch_px=size
    )
    assert alone.local_ssim[0, 0] == whole[row, col]


def test_patches_cut_by_the_frame_are_missing(random_pair):
    measured = measure_map(*random_pair((23, 20)), patch_px=8)
    assert measured.local_ssim.shape == (3, 3)
    expected = np.array([[False, False, True], [False, False, True], [True, True, True]])
    for values in (measured.local_ssim, measured.luminance, measured.contrast, measured.structure):
        assert (np.isnan(values) == expected).all()
    # Two rows of the lowest patches are 7 px high: the published file has a value there.
    assert np.isnan(measured.clipped_ssim[0, 2])
    assert not np.isnan(measured.clipped_ssim[2, 0])


def test_wrong_inputs_are_refused(random_pair):
    reference, restored = random_pair((16, 24))
    with pytest.raises(StudyError, match="restore it to the reference's size"):
        measure_map(reference, restored[:, :16], patch_px=8)
    with pytest.raises(StudyError, match="expected one of 8, 16, 32, 64"):
        measure_map(reference, restored, patch_px=7)
    with pytest.raises(StudyError, match="choose a smaller patch"):
        measure_map(reference, restored, patch_px=32)
