"""Direction components in SQL, against images filtered by scipy and scikit-image."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.metrics import structural_similarity

CASE = ("rg1_r1c0", "upscayl_digital", "tta")
SIZE = 512


@pytest.fixture(scope="module")
def pair(sample_study):
    """Give the reference and one tta image, float64."""
    image_id, model_id, inference_path = CASE
    model = next(item for item in sample_study.models if item.model_id == model_id)
    folders = (sample_study.references, model.folder(inference_path))
    return [np.asarray(Image.open(folder / f"{image_id}.png")).astype(float) for folder in folders]


@pytest.fixture(scope="module")
def found(blocks):
    """Give the warehouse's column of the case as a map of blocks."""
    image_id, model_id, inference_path = CASE
    rows = blocks.filter(model_id=model_id, image_id=image_id)
    return lambda name: rows[f"{name}_{inference_path}"].to_numpy().reshape(SIZE // 8, SIZE // 8)


def pool(pixels, reduce):
    tiles = pixels.reshape(SIZE // 8, 8, SIZE // 8, 8).swapaxes(1, 2)
    return reduce(tiles, axis=(2, 3))


def test_sharpness_is_the_log_ratio_of_laplacian_variances(pair, found):
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    x, y = (pool(ndimage.correlate(image, kernel, mode="mirror"), np.var) for image in pair)
    assert np.allclose(found("d_sharp"), np.log((y + 1) / (x + 1)), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("name", "side"), [("d_texture", 4), ("d_hf", 2)])
def test_texture_and_grain_are_log_ratios_of_haar_energies(pair, found, name, side):
    def average(image, cell):
        tiles = image.reshape(SIZE // cell, cell, SIZE // cell, cell)
        return tiles.mean(axis=(1, 3)).repeat(cell, axis=0).repeat(cell, axis=1)

    def energy(image):
        return pool((average(image, side // 2) - average(image, side)) ** 2, np.mean)

    x, y = (energy(image) for image in pair)
    assert np.allclose(found(name), np.log((y + 1) / (x + 1)), rtol=0, atol=1e-6)


def test_noise_is_the_difference_of_immerkaer_sigmas(pair, found):
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    x, y = (
        np.sqrt(np.pi / 2)
        / 6
        * pool(np.abs(ndimage.correlate(image, mask, mode="mirror")), np.mean)
        for image in pair
    )
    assert np.allclose(found("d_noise"), y - x, rtol=0, atol=1e-6)


def test_blocking_is_the_excess_of_steps_across_sides(pair, found):
    def blocking(image, row, col):
        top, left = 8 * row, 8 * col
        tile = image[top : top + 8, left : left + 8]
        down, across = np.abs(np.diff(tile, axis=0)), np.abs(np.diff(tile, axis=1))
        sides, sixteen = [], []
        for exists, step, on_sixteen in (
            (row > 0, lambda: image[top] - image[top - 1], row % 2 == 0),
            (row < 63, lambda: image[top + 8] - image[top + 7], row % 2 == 1),
        ):
            if exists:
                sides.append(np.abs(step()[left : left + 8]))
                sixteen += [sides[-1]] if on_sixteen else []
        for exists, step, on_sixteen in (
            (col > 0, lambda: image[:, left] - image[:, left - 1], col % 2 == 0),
            (col < 63, lambda: image[:, left + 8] - image[:, left + 7], col % 2 == 1),
        ):
            if exists:
                sides.append(np.abs(step()[top : top + 8]))
                sixteen += [sides[-1]] if on_sixteen else []
        inside = np.concatenate([down.ravel(), across.ravel()]).mean()
        middle = np.concatenate([down[3], across[:, 3]])
        rest = np.concatenate([np.delete(down, 3, 0).ravel(), np.delete(across, 3, 1).ravel()])
        return (
            np.mean(sides) - inside,
            np.mean(sixteen) - inside if sixteen else np.nan,
            middle.mean() - rest.mean(),
        )

    x, y = pair
    for row, col in ((0, 0), (0, 5), (63, 63), (17, 0), (32, 31), (40, 62)):
        expected = np.subtract(blocking(y, row, col), blocking(x, row, col))
        for name, value in zip(("d_block", "d_block16", "d_block4"), expected, strict=True):
            assert found(name)[row, col] == pytest.approx(value, abs=1e-6, nan_ok=True)


def test_ringing_is_the_rms_of_the_high_passed_error_beside_edges(sample_study, pair, found):
    from upscale_audit.ingest.edges import find_thresholds, mark_ringing_pixels

    x, y = pair
    thresholds = find_thresholds(x.astype(np.uint8), sample_study.ingest_parameters)
    mask = mark_ringing_pixels(x.astype(np.uint8), *thresholds).astype(float)
    error = y - x
    passed = error - ndimage.uniform_filter(error, 9, mode="mirror")
    count = pool(mask, np.sum)
    with np.errstate(invalid="ignore", divide="ignore"):
        rms = np.sqrt(pool(passed**2 * mask, np.sum) / count)
    expected = np.where(count >= 4, rms, np.nan)
    assert np.isnan(expected).any()
    assert np.allclose(found("d_ring"), expected, rtol=0, atol=1e-5, equal_nan=True)


def test_brightness_is_the_difference_of_means(pair, found):
    x, y = (pool(image, np.mean) for image in pair)
    assert np.allclose(found("d_mu"), y - x, rtol=0, atol=1e-6)


def test_local_ssim_is_scikit_images_on_each_block(pair, found):
    x, y = (image.astype(np.uint8) for image in pair)
    for row, col in ((0, 0), (12, 50), (63, 63), (31, 8)):
        area = np.s_[8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
        expected = structural_similarity(x[area], y[area], data_range=255)
        assert found("local_ssim")[row, col] == pytest.approx(expected, abs=1e-6)
