"""Every metric: identity, a case worked by hand, an independent oracle, errors and NULLs."""

import csv
import io
import math
from decimal import Decimal, localcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, signal
from skimage import color
from skimage.measure import shannon_entropy
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from upscale_audit.ingest.blocks import Measured, measure_pair
from upscale_audit.ingest.kernel import measure_ringing
from upscale_audit.ingest.metrics.declared import (
    METRIC_NAMES,
    METRICS,
    PERIOD_NAME,
    PUBLISHED_NAMES,
    round_published,
)
from upscale_audit.ingest.metrics.image import profile_image, score_total
from upscale_audit.ingest.metrics.pair import (
    compare_edge_blocks,
    compare_images,
    compare_spectra,
    find_energy,
    scale_spectrum,
    sum_exactly,
)
from upscale_audit.ingest.metrics.pair_loops import find_exponential, sum_compensated

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "sample"
BLOCKS = np.array([[0.5, 1.0], [0.25, 0.25]], np.float32)
SHAPES = [(176, 200), (181, 167)]
IDENTICAL = {
    "ssim": 1.0,
    "ms_ssim": 1.0,
    "psnr": None,
    "sharpness_diff_pct": 0.0,
    "contrast_diff_pct": 0.0,
    "edge_diff_pct": 0.0,
    "delta_e": 0.0,
    "histogram_corr": 1.0,
    "mae": 0.0,
    "ringing_fr": 0.0,
    "fsds": None,
    "haarpsi": 1.0,
    "repetition_strength": 1.0,
}
# fmt: off
PUBLISHED_COLUMNS = [
    "ssim", "ms_ssim", "psnr", "lpips", "sharpness", "sharpness_diff_pct", "contrast",
    "contrast_diff_pct", "entropy", "noise", "edge_density", "edge_diff_pct",
    "artifact_block", "artifact_ringing", "artifact_total", "delta_e", "high_freq_ratio",
    "texture_complexity", "local_quality_mean", "local_quality_std", "local_quality_min",
    "histogram_corr", "lab_L_mean", "total_score",
]
# fmt: on


def read_grey(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def read_rgb(path):
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def read_published(shared_data):
    path = shared_data / "generator" / "batch_analysis_300images.csv"
    with path.open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def to_grey(rgb):
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)


def draw(shape, seed=0):
    """Blurred noise with a bright rectangle: texture, edges and a flat region."""
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(0, 90, shape), 1.5) + 90
    image[shape[0] // 3 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] += 110
    image[: shape[0] // 8] = 12
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def spoil(image, seed=1):
    rng = np.random.default_rng(seed)
    blurred = ndimage.gaussian_filter(image.astype(float), 0.8)
    return np.clip(np.rint(blurred + rng.normal(0, 3, image.shape)), 0, 255).astype(np.uint8)


def paint(shape, seed=0):
    return np.stack([draw(shape, seed + channel) for channel in range(3)], axis=2)


def compare(reference, restored, blocks=BLOCKS):
    return compare_images(profile(reference), profile(restored), blocks)


def profile(image):
    return profile_image(image) if image.ndim == 2 else profile_image(to_grey(image), image)


@pytest.fixture(scope="module", params=SHAPES, ids=str)
def pair(request):
    reference = draw(request.param)
    restored = spoil(reference)
    return reference, restored, compare(reference, restored)


@pytest.fixture(scope="module")
def colour_pair():
    reference = paint((168, 171))
    restored = spoil(reference)
    return reference, restored, compare(reference, restored)


# ---- the declared table


def test_each_metric_is_declared_once():
    assert len(set(METRIC_NAMES)) == len(METRICS)
    assert {m.polarity for m in METRICS} == {"higher_better", "lower_better", "neutral"}
    assert {m.looks_at for m in METRICS} == {"restored", "both"}
    assert all(m.description and "\n" not in m.description for m in METRICS)


def test_published_names_are_the_columns_of_the_published_csv_and_mae():
    assert (*PUBLISHED_COLUMNS, "mae") == PUBLISHED_NAMES


@pytest.mark.shared_data
def test_published_columns_equal_the_real_csv_header(shared_data):
    header = read_published(shared_data)[0]
    keys = ["image_id", "model", "original_path", "upscaled_path"]
    assert [c for c in header if c not in keys] == PUBLISHED_COLUMNS


def test_looks_at_tells_what_a_value_depends_on(pair):
    reference, restored, values = pair
    other = compare(spoil(reference, seed=7)[::-1], restored, BLOCKS / 2)
    changed = {name for name in METRIC_NAMES if values[name] != other[name]}
    # LPIPS is passed on as given: tests/unit/ingest/test_perceptual.py.
    assert changed | {"lpips"} == {m.name for m in METRICS if m.looks_at == "both"}


# ---- identity, ranges, types


@pytest.mark.parametrize("image", [draw((176, 200)), paint((168, 171))], ids=["grey", "colour"])
def test_identical_images(image):
    values = compare(image, image.copy(), np.ones((3, 4), np.float32))
    assert list(values) == [*METRIC_NAMES, PERIOD_NAME]
    assert {name: values[name] for name in IDENTICAL} == pytest.approx(IDENTICAL, abs=1e-12)
    assert values["local_quality_mean"] == values["local_quality_min"] == 1.0
    assert values["local_quality_std"] == 0.0


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(1, 24),
    st.integers(1, 24),
    st.sampled_from(["flat", "noise", "binary"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_values_are_none_or_finite_floats_in_the_declared_range(rows, cols, kind, tint, seed):
    rng = np.random.default_rng(seed)
    shape = (rows, cols, 3) if tint else (rows, cols)
    make = {
        "flat": lambda: np.full(shape, rng.integers(256), np.uint8),
        "noise": lambda: rng.integers(0, 256, shape, dtype=np.uint8),
        "binary": lambda: (rng.integers(0, 2, shape) * 255).astype(np.uint8),
    }[kind]
    values = compare(make(), make())
    for metric in METRICS:
        value = values[metric.name]
        if value is None:
            continue
        assert type(value) is float, metric.name
        assert math.isfinite(value), metric.name
        assert metric.lowest is None or value >= metric.lowest - 1e-9, metric.name
        assert metric.highest is None or value <= metric.highest + 1e-9, metric.name


def test_values_are_bit_equal_whatever_was_computed_before(pair):
    reference, restored, values = pair
    shared = profile_image(reference)
    compare_images(shared, profile_image(reference[::-1].copy()), BLOCKS[:0])
    assert compare_images(shared, profile_image(restored), BLOCKS) == values


def test_memory_layout_changes_nothing(pair):
    reference, restored, values = pair
    turned = [np.asfortranarray(image) for image in (reference, restored)]
    assert compare(*turned, np.asfortranarray(BLOCKS)) == values


def test_inputs_are_left_as_they_were():
    image = paint((40, 41))
    before = image.copy()
    compare(image, image)
    assert np.array_equal(image, before)


# ---- oracles: scikit-image and SciPy, or the equation written naively


def correlate(image, kernel, mode):
    return ndimage.correlate(image.astype(float), np.asarray(kernel, float), mode=mode)


def gaussian_valid(image):
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    for axis in (0, 1):
        image = ndimage.correlate1d(image, weights / weights.sum(), axis=axis)
    return image[5:-5, 5:-5]


def naive_scale(x, y):
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y = gaussian_valid(x), gaussian_valid(y)
    var_x = gaussian_valid(x * x) - mean_x**2
    var_y = gaussian_valid(y * y) - mean_y**2
    cov = gaussian_valid(x * y) - mean_x * mean_y
    structure = (2 * cov + c2) / (var_x + var_y + c2)
    light = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (light * structure).mean(), structure.mean()


def naive_pool(image):
    """Average 2x2 with stride 2 after padding each odd side by a zero, as torch does."""
    rows, cols = image.shape
    padded = np.pad(image, ((rows % 2,) * 2, (cols % 2,) * 2))
    out = np.empty((padded.shape[0] // 2, padded.shape[1] // 2))
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            out[row, col] = padded[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].mean()
    return out


def naive_ms_ssim(x, y):
    x, y, product = x / 255, y / 255, 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        whole, structure = naive_scale(x, y)
        product *= max(whole if scale == 4 else structure, 0) ** weight
        x, y = naive_pool(x), naive_pool(y)
    return product


def naive_fsds(reference, restored):
    def spectrum(image):
        planes = np.moveaxis(np.atleast_3d(image).astype(float), 2, 0)
        z = (planes - planes.mean()) / planes.std(ddof=1)
        return np.fft.rfft2(np.pad(z, ((0, 0), (0, z.shape[1] % 2), (0, 0))))

    x, y = spectrum(reference), spectrum(restored)
    half = x.shape[1] // 2
    apart = own = 0.0
    for rows in (slice(0, half), slice(None, half - 1, -1)):
        d_x = x[:, rows].cumsum(axis=1).cumsum(axis=2)
        d_y = y[:, rows].cumsum(axis=1).cumsum(axis=2)
        apart += (np.abs(d_y - d_x) ** 2).sum()
        own += (np.abs(d_x) ** 2).sum()
    return -10 * math.log10(apart / own)


def naive_sobel(image):
    kernel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    across = correlate(image, kernel, "nearest")
    return np.sqrt(across**2 + correlate(image, kernel.T, "nearest") ** 2 + 1e-6)


def naive_steps(image, period):
    """Steps across lines of a period and elsewhere, both directions."""
    on, off = [], []
    for picture in (image.astype(float), image.T.astype(float)):
        for line in range(1, picture.shape[0]):
            kept = on if line % period == 0 else off
            kept.append(picture[line] - picture[line - 1])
    return np.concatenate(on), np.concatenate(off)


def skimage_ssim(reference, restored):
    return structural_similarity(
        reference, restored, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        data_range=255, channel_axis=2 if reference.ndim == 3 else None,
    )  # fmt: skip


def test_ssim_equals_scikit_image(pair, colour_pair):
    for reference, restored, values in (pair, colour_pair):
        assert values["ssim"] == pytest.approx(skimage_ssim(reference, restored), abs=1e-12)


@pytest.mark.parametrize("cols", [1024, 1025, 2100])
def test_ssim_of_an_image_wider_than_a_strip_equals_scikit_image(cols):
    generator = np.random.default_rng(cols)
    reference = generator.integers(0, 256, (29, cols), np.uint8)
    restored = np.where(generator.random((29, cols)) < 0.9, reference, 0).astype(np.uint8)
    found = compare(reference, restored)["ssim"]
    assert found == pytest.approx(skimage_ssim(reference, restored), abs=1e-12)


def test_ms_ssim_equals_its_equation(pair, colour_pair):
    reference, restored, values = pair
    assert values["ms_ssim"] == pytest.approx(naive_ms_ssim(reference, restored), abs=1e-12)
    reference, restored, values = colour_pair
    wanted = np.mean([naive_ms_ssim(reference[..., c], restored[..., c]) for c in range(3)])
    assert values["ms_ssim"] == pytest.approx(wanted, abs=1e-12)


def test_ms_ssim_sets_a_negative_term_to_zero():
    image = draw((176, 176))
    values = compare(image, 255 - image)
    assert values["ssim"] < 0
    assert values["ms_ssim"] == 0.0


def test_psnr_and_mae_equal_scikit_image_and_numpy(pair, colour_pair):
    for reference, restored, values in (pair, colour_pair):
        wanted = peak_signal_noise_ratio(reference, restored, data_range=255)
        assert values["psnr"] == pytest.approx(wanted, rel=1e-13)
        error = np.abs(reference.astype(float) - restored)
        assert values["mae"] == pytest.approx(error.mean(), rel=1e-13)


def test_sharpness_equals_scipy(pair):
    values = pair[2]
    kernel = np.ones((3, 3)) - 9 * (np.arange(9).reshape(3, 3) == 4)
    x, y = (correlate(i / 255, kernel / 16, "mirror").var(ddof=1) * 255**2 for i in pair[:2])
    assert values["sharpness"] == pytest.approx(y, rel=1e-11)
    assert values["sharpness_diff_pct"] == pytest.approx((y / x - 1) * 100, rel=1e-10)


def test_contrast_and_entropy_equal_numpy_and_scikit_image(pair):
    reference, restored, values = pair
    assert values["contrast"] == pytest.approx(restored.std(), rel=1e-12)
    change = (restored.std() / reference.std() - 1) * 100
    assert values["contrast_diff_pct"] == pytest.approx(change, rel=1e-9)
    assert values["entropy"] == pytest.approx(shannon_entropy(restored), rel=1e-12)


def test_noise_equals_scipy_with_a_zero_frame(pair):
    kernel = 9 * (np.arange(9).reshape(3, 3) == 4) - np.ones((3, 3))
    wanted = 100 * np.abs(correlate(pair[1] / 255, kernel, "constant")).mean()
    assert pair[2]["noise"] == pytest.approx(wanted, rel=1e-11)


def test_edge_density_equals_scipy(pair):
    x, y = (100 * (naive_sobel(image / 255) > 0.1).mean() for image in pair[:2])
    assert 0 < y < 100
    assert pair[2]["edge_density"] == pytest.approx(y, rel=1e-13)
    assert pair[2]["edge_diff_pct"] == pytest.approx((y / x - 1) * 100, rel=1e-10)


def test_texture_equals_its_equation(pair):
    rows, cols = (side // 4 for side in pair[1].shape)
    small = np.empty((rows, cols))
    for row in range(rows):
        for col in range(cols):
            small[row, col] = pair[1][4 * row + 1 : 4 * row + 3, 4 * col + 1 : 4 * col + 3].mean()
    wanted = naive_sobel(small / 255).mean() * 255
    assert pair[2]["texture_complexity"] == pytest.approx(wanted, rel=1e-12)


def test_texture_reduces_as_opencv_does():
    image = draw((176, 200))
    small = cv2.resize(image.astype(np.float64), (50, 44), interpolation=cv2.INTER_LINEAR)
    wanted = naive_sobel(small / 255).mean() * 255
    assert compare(image, image)["texture_complexity"] == pytest.approx(wanted, rel=1e-12)


def test_block_artifact_equals_its_equation(pair):
    image = pair[1].astype(float)
    rows, cols = image.shape
    wanted = sum(np.abs(image[r - 1] - image[r]).mean() for r in range(8, rows, 8))
    wanted += sum(np.abs(image[:, c - 1] - image[:, c]).mean() for c in range(8, cols, 8))
    assert pair[2]["artifact_block"] == pytest.approx(wanted, rel=1e-12)


def test_ringing_artifact_equals_two_dilations_by_five(pair):
    image, values = pair[1:]
    region = ndimage.binary_dilation(
        cv2.Canny(image, 100, 200) > 0, np.ones((5, 5), bool), iterations=2
    )
    assert 0 < region.sum() < region.size
    assert values["artifact_ringing"] == pytest.approx(image[region].std(), rel=1e-12)


@pytest.mark.parametrize("shape", [(176, 200), (181, 167), (64, 65), (65, 64)])
def test_high_frequencies_equal_the_shifted_full_transform(shape):
    image = draw(shape)
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(image)))
    centre_row, centre_col = shape[0] // 2, shape[1] // 2
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    radius = min(centre_row, centre_col) // 3
    low = (rows - centre_row) ** 2 + (cols - centre_col) ** 2 <= radius**2
    wanted = amplitude[~low].sum() / amplitude.sum()
    assert compare(image, image)["high_freq_ratio"] == pytest.approx(wanted, rel=1e-11)


def test_delta_e_equals_scikit_image(pair, colour_pair):
    reference, restored, values = pair
    x, y = (color.rgb2lab(color.gray2rgb(image)) for image in (reference, restored))
    assert values["delta_e"] == pytest.approx(color.deltaE_cie76(x, y).mean(), rel=1e-7)
    reference, restored, values = colour_pair
    wanted = color.deltaE_cie76(color.rgb2lab(reference), color.rgb2lab(restored)).mean()
    assert values["delta_e"] == pytest.approx(wanted, rel=1e-10)


def test_lab_lightness_equals_scikit_image_to_8_bits(pair, colour_pair):
    for image, values in ((color.gray2rgb(pair[1]), pair[2]), colour_pair[1:]):
        wanted = color.rgb2lab(image)[..., 0].mean() * 2.55
        assert values["lab_L_mean"] == pytest.approx(wanted, abs=0.3)
        eight_bit = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 0].mean()
        assert values["lab_L_mean"] == pytest.approx(eight_bit, rel=1e-12)


def test_histogram_correlation_equals_opencv_and_numpy(pair):
    reference, restored, values = pair
    x, y = (np.bincount(image.ravel(), minlength=256) for image in (reference, restored))
    assert values["histogram_corr"] == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-11)
    opencv = cv2.compareHist(np.float32(x), np.float32(y), cv2.HISTCMP_CORREL)
    assert values["histogram_corr"] == pytest.approx(opencv, rel=1e-6)


def test_immerkaer_equals_a_valid_convolution_and_finds_sigma(pair):
    mask = [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]
    response = np.abs(signal.convolve2d(pair[1].astype(float), mask, mode="valid"))
    wanted = math.sqrt(math.pi / 2) / 6 * response.mean()
    assert pair[2]["noise_sigma_immerkaer"] == pytest.approx(wanted, rel=1e-11)


def test_noise_estimators_find_a_known_sigma():
    noisy = np.rint(128 + np.random.default_rng(5).normal(0, 6, (300, 300))).astype(np.uint8)
    values = compare(noisy, noisy)
    assert values["noise_sigma_immerkaer"] == pytest.approx(6, rel=0.03)
    assert values["noise_sigma_mad"] == pytest.approx(6, rel=0.03)


@pytest.mark.parametrize("shape", [(176, 200), (181, 167), (4, 5), (7, 4)])
def test_mad_equals_a_padded_decomposition(shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    r = math.sqrt(3)
    high_pass = np.array([-1 - r, 3 + r, -3 + r, 1 - r]) / (4 * math.sqrt(2))
    band = image.astype(float)
    for axis in (0, 1):
        padded = np.pad(band, [(4, 4) if a == axis else (0, 0) for a in (0, 1)], "symmetric")
        # Output k of a decomposition is sum_j h[j] x[2 k + 1 - j].
        last = 4 + 2 * np.arange((band.shape[axis] + 3) // 2) + 1
        band = sum(high_pass[j] * np.take(padded, last - j, axis) for j in range(4))
    wanted = np.median(np.abs(band)) / 0.6745
    assert compare(image, image)["noise_sigma_mad"] == pytest.approx(wanted, rel=1e-11)


def test_mad_equals_pywavelets():
    # numpy.median(abs(pywt.dwtn(image, "db2")["dd"])) / 0.6745, PyWavelets 1.9.0.
    image = np.random.default_rng(3).integers(0, 256, (21, 32), dtype=np.uint8)
    assert compare(image, image)["noise_sigma_mad"] == pytest.approx(72.7563332497531, rel=1e-9)


@pytest.mark.parametrize("period", [8, 16, 4])
def test_blockiness_equals_its_equation(pair, period):
    on, off = naive_steps(pair[1], period)
    excess = (on**2).mean() - (off**2).mean()
    factor = max(excess, 0) * math.log2(period) / math.log2(min(pair[1].shape))
    ratio = np.abs(on).mean() / np.abs(off).mean()
    assert pair[2][f"blockiness_bef_{period}"] == pytest.approx(factor, rel=1e-10, abs=1e-12)
    assert pair[2][f"blockiness_ratio_{period}"] == pytest.approx(ratio, rel=1e-12)


@pytest.mark.parametrize("period", [8, 16, 4])
def test_blockiness_finds_its_own_period(period):
    coarse = np.random.default_rng(2).integers(0, 256, (12, 13), dtype=np.uint8)
    image = np.kron(coarse, np.ones((period, period), np.uint8))
    on, _ = naive_steps(image, period)
    values = compare(image, image)
    wanted = (on**2).mean() * math.log2(period) / math.log2(12 * period)
    assert values[f"blockiness_bef_{period}"] == pytest.approx(wanted, rel=1e-12)
    assert values[f"blockiness_ratio_{period}"] is None  # no step elsewhere


@pytest.mark.parametrize("shape", [(1300, 24), (24, 16_500)])
@pytest.mark.parametrize("pitch", [2, 3])
def test_sums_over_many_large_squares_are_exact(shape, pitch):
    image = np.zeros(shape, np.uint8)
    image[::pitch, ::pitch] = 255
    values, wide = profile_image(image).measures, image.astype(np.int64)
    mask = np.ones((3, 3), np.int64) - 9 * (np.arange(9).reshape(3, 3) == 4)
    wanted = ndimage.correlate(wide, mask, mode="mirror").var(ddof=1) / 256
    assert values["sharpness"] == pytest.approx(wanted, rel=1e-12)
    wanted = 100 * np.abs(ndimage.correlate(wide, mask, mode="constant")).mean() / 255
    assert values["noise"] == pytest.approx(wanted, rel=1e-12)
    response = np.abs(signal.convolve2d(wide, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]], "valid"))
    wanted = math.sqrt(math.pi / 2) / 6 * response.mean()
    assert values["noise_sigma_immerkaer"] == pytest.approx(wanted, rel=1e-12)
    assert values["edge_density"] == pytest.approx(100 * (naive_sobel(image / 255) > 0.1).mean())
    parts = [(np.abs(np.diff(wide, axis=axis)), axis) for axis in (0, 1)]
    on = [steps.take(range(7, steps.shape[axis], 8), axis).ravel() for steps, axis in parts]
    total, count = sum(steps.sum() for steps, _ in parts), sum(steps.size for steps, _ in parts)
    on = np.concatenate(on)
    off = (total - on.sum()) / (count - on.size)
    assert values["blockiness_ratio_8"] == pytest.approx(on.mean() / off, rel=1e-12)


def test_full_reference_ringing_equals_scipy(pair):
    reference, restored, values = pair
    edges = cv2.Canny(reference, 100, 200) > 0
    distance = ndimage.distance_transform_cdt(~edges, metric="chessboard")
    error = restored.astype(float) - reference
    high_passed = error - ndimage.uniform_filter(error, 9, mode="mirror")
    wanted = np.sqrt((high_passed[(distance >= 2) & (distance <= 5)] ** 2).mean())
    assert values["ringing_fr"] == pytest.approx(wanted, rel=1e-10)


def test_full_reference_ringing_looks_where_it_is_told(pair):
    reference, restored, values = pair
    mask = np.zeros(reference.shape, np.uint8)
    mask[::3, 2:50] = 1
    profiles = profile_image(reference), profile_image(restored)
    told = compare_images(*profiles, BLOCKS, ring_mask=mask)
    _, energy = measure_ringing(reference, restored, mask)
    assert compare_images(*profiles, BLOCKS, ring_mask=mask, ring_energy=int(energy)) == told
    error = restored.astype(float) - reference
    high_passed = error - ndimage.uniform_filter(error, 9, mode="mirror")
    wanted = np.sqrt((high_passed[mask > 0] ** 2).mean())
    assert told["ringing_fr"] == pytest.approx(wanted, rel=1e-10)
    assert told | {"ringing_fr": values["ringing_fr"]} == values
    with pytest.raises(ValueError, match="ring_mask: expected"):
        compare_images(*profiles, BLOCKS, ring_mask=mask[1:])


def test_fsds_equals_its_equation(pair, colour_pair):
    for reference, restored, values in (pair, colour_pair):
        assert values["fsds"] == pytest.approx(naive_fsds(reference, restored), rel=1e-10)
    reference, restored, values = pair
    swapped = compare(restored, reference)["fsds"]
    assert swapped == pytest.approx(naive_fsds(restored, reference), rel=1e-10)
    assert swapped != values["fsds"]


def naive_haarpsi(reference, restored):
    """The equations of Reisenhofer et al. 2018, one convolution a coefficient."""

    def same(image, kernel):
        # The middle of a convolution with zeros beyond the frame, as the authors' program cuts it.
        rows, cols = image.shape
        half = np.array(kernel.shape) // 2
        return signal.convolve2d(image, kernel)[half[0] :, half[1] :][:rows, :cols]

    def decompose(image):
        small = same(image.astype(float), np.full((2, 2), 0.25))[::2, ::2]
        wavelets = [2.0**-j * np.ones((2**j, 2**j)) for j in (1, 2, 3)]
        for wavelet in wavelets:
            wavelet[: len(wavelet) // 2] *= -1
        turned = wavelets, [wavelet.T for wavelet in wavelets]
        return [[np.abs(same(small, wavelet)) for wavelet in those] for those in turned]

    above = below = 0.0
    for x, y in zip(decompose(reference), decompose(restored), strict=True):
        local = sum(
            (2 * a * b + 30) / (a**2 + b**2 + 30) for a, b in zip(x[:2], y[:2], strict=True)
        )
        weight = np.maximum(x[2], y[2])
        above += (weight / (1 + np.exp(-4.2 * local / 2))).sum()
        below += weight.sum()
    mean = above / below
    return (math.log(mean / (1 - mean)) / 4.2) ** 2


def test_haarpsi_equals_its_equation(pair, colour_pair):
    reference, restored, values = pair
    assert values["haarpsi"] == pytest.approx(naive_haarpsi(reference, restored), rel=1e-12)
    assert compare(restored, reference)["haarpsi"] == pytest.approx(values["haarpsi"], rel=1e-14)
    reference, restored, values = colour_pair
    wanted = naive_haarpsi(to_grey(reference), to_grey(restored))
    assert values["haarpsi"] == pytest.approx(wanted, rel=1e-12)


def test_local_quality_equals_numpy(pair):
    blocks = np.random.default_rng(4).random((22, 25), dtype=np.float32)
    values = compare(*pair[:2], blocks)
    exact = np.concatenate([blocks.ravel(), compare_edge_blocks(*pair[:2])]).astype(float)
    assert values["local_quality_mean"] == pytest.approx(exact.mean(), rel=1e-14)
    assert values["local_quality_std"] == pytest.approx(exact.std(), rel=1e-13)
    assert values["local_quality_min"] == exact.min()


# ---- worked by hand


@settings(deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), max_size=60), st.sampled_from([1.0, 2.0**-40]))
def test_exact_sums_are_those_of_fsum(values, scale):
    array = np.array([*values, *(scale * value for value in values)])
    assert sum_exactly(array) == math.fsum(array.tolist())


def test_a_sum_that_twice_the_precision_does_not_decide_is_left_to_fsum():
    tie = np.array([1.0, 2.0**-53, 2.0**-110])
    assert not sum_compensated(tie)[1]
    assert sum_exactly(tie) == 1 + 2.0**-52
    assert sum_compensated(np.array([1.0, 2.0**-54])) == (1.0, True)


def test_flat_images_by_hand():
    values = compare(np.full((24, 24), 100, np.uint8), np.full((24, 24), 151, np.uint8))
    c1 = 0.01**2 * 255**2
    assert values["ssim"] == pytest.approx((2 * 100 * 151 + c1) / (100**2 + 151**2 + c1))
    assert values["psnr"] == pytest.approx(10 * math.log10(25))  # an error of 255 / 5
    assert values["mae"] == 51.0
    zero = (
        "sharpness contrast entropy edge_density artifact_block artifact_ringing "
        "artifact_total high_freq_ratio noise_sigma_immerkaer noise_sigma_mad "
        "blockiness_bef_8 blockiness_bef_16 blockiness_bef_4 sharpness_diff_pct edge_diff_pct"
    )
    assert {name: values[name] for name in zero.split()} == dict.fromkeys(zero.split(), 0.0)
    assert values["texture_complexity"] == pytest.approx(0.255)
    # Zero frame: 92 side pixels miss a row of 3 neighbours, of them 4 corners miss 5.
    assert values["noise"] == pytest.approx(100 * 151 / 255 * (88 * 3 + 4 * 5) / 576)
    # Mean of 0, 0, 0, 100 - noise / 2, 100, 0, 2.55, with the noise rounded.
    noise = round(values["noise"], 2)
    assert values["total_score"] == pytest.approx((100 - noise / 2 + 100 + 2.55) / 7)
    assert values["histogram_corr"] == pytest.approx(-1 / 255)
    absent = "contrast_diff_pct ringing_fr fsds blockiness_ratio_8 ms_ssim"
    assert {name: values[name] for name in absent.split()} == dict.fromkeys(absent.split())


def test_a_step_at_column_eight_by_hand():
    image = np.zeros((16, 16), np.uint8)
    image[:, 8:] = 80
    values = compare(image, image)
    assert values["artifact_block"] == 80.0
    assert values["contrast"] == 40.0
    assert values["entropy"] == 1.0
    # Columns 7 and 8 hold 3 * 80 / 16 = 15 and -15, 32 pixels of 256.
    assert values["sharpness"] == pytest.approx(32 * 15**2 / 255)
    # Sobel / 8 = 80 / 2 / 255 > 0.1 on columns 7 and 8.
    assert values["edge_density"] == 12.5
    # On a boundary of 8: 16 of 32 pairs step by 80 squared; elsewhere none of 448.
    assert values["blockiness_bef_8"] == pytest.approx(3 / 4 * 6400 / 2)
    assert values["blockiness_bef_4"] == pytest.approx(2 / 4 * 6400 / 6)
    assert values["blockiness_bef_16"] is None  # no boundary within 16 px
    assert values["noise_sigma_immerkaer"] == 0.0


def test_one_bright_pixel_by_hand():
    image = np.zeros((12, 12), np.uint8)
    image[5, 5] = 255
    values = compare(np.zeros_like(image), image)
    # |8 y| at the pixel, |y| at its eight neighbours.
    assert values["noise"] == pytest.approx(100 * 16 / 144)
    assert values["noise_sigma_immerkaer"] == pytest.approx(
        math.sqrt(math.pi / 2) * 16 * 255 / (6 * 100)
    )
    assert values["mae"] == pytest.approx(255 / 144)
    assert values["psnr"] == pytest.approx(10 * math.log10(144))
    assert values["sharpness_diff_pct"] == values["edge_diff_pct"] == 0.0
    assert values["contrast_diff_pct"] is None


@pytest.mark.parametrize(("step", "is_edge"), [(50, False), (51, True)])
def test_edge_threshold_is_one_tenth(step, is_edge):
    # Sobel / 8 of a step is step / 510: 51 gives sqrt(0.01 + 1e-6) > 0.1.
    image = np.zeros((9, 10), np.uint8)
    image[:, 5:] = step
    assert (compare(image, image)["edge_density"] > 0) is is_edge


def test_black_and_white_by_hand():
    values = compare(np.zeros((12, 12), np.uint8), np.full((12, 12), 255, np.uint8))
    assert values["delta_e"] == pytest.approx(100, abs=1e-4)
    assert values["lab_L_mean"] == 255.0
    assert values["psnr"] == 0.0
    assert values["mae"] == 255.0


def test_local_quality_by_hand():
    values = compare(draw((16, 16)), draw((16, 16)), BLOCKS)
    assert values["local_quality_mean"] == 0.5
    assert values["local_quality_std"] == pytest.approx(math.sqrt(0.375 / 4))
    assert values["local_quality_min"] == 0.25


def test_a_colour_shift_moves_red_only():
    reference = np.full((12, 12, 3), 100, np.uint8)
    restored = reference.copy()
    restored[..., 0] = 130
    values = compare(reference, restored)
    assert values["mae"] == 10.0
    assert values["psnr"] == pytest.approx(10 * math.log10(3 * 255**2 / 30**2))


def test_the_exponential_is_that_of_exact_arithmetic_to_an_ulp():
    powers = np.concatenate([-np.random.default_rng(0).uniform(0, 5, 2000), [0.0, -5.0, -2.1]])
    with localcontext(prec=40):
        for power in powers.tolist():
            found = find_exponential(power)
            apart = abs(Decimal(found) - Decimal(power).exp())
            assert apart <= Decimal(math.ulp(found)), power


def test_haarpsi_by_hand():
    # One 2x2 cell: its coefficients are its grey level halved, quartered, and so on.
    values = compare(np.full((2, 2), 100, np.uint8), np.full((2, 2), 60, np.uint8))
    fine, coarse = (2 * 50 * 30 + 30) / (50**2 + 30**2 + 30), (2 * 25 * 15 + 30) / (625 + 225 + 30)
    assert values["haarpsi"] == pytest.approx(((fine + coarse) / 2) ** 2, rel=1e-13)


def test_black_images_have_no_haarpsi():
    black, grey = np.zeros((9, 12), np.uint8), np.full((9, 12), 1, np.uint8)
    assert compare(black, black)["haarpsi"] is None
    assert compare(grey, grey)["haarpsi"] == 1.0
    assert compare(black, grey)["haarpsi"] < 1.0


def test_total_score_by_hand_uses_rounded_inputs():
    inputs = {
        "sharpness": 9.9951, "contrast": 50.004, "entropy": 4.0, "noise": 9.996,
        "artifact_total": 500.0, "edge_density": 10.004, "texture_complexity": 2.5,
    }  # fmt: skip
    assert score_total(inputs) == (2.0 + 50.0 + 50.0 + 95.0 + 90.0 + 20.0 + 25.0) / 7
    limits = dict.fromkeys(inputs, 1e6)
    assert score_total(limits) == (100 + 100 + 100 + 0 + 0 + 100 + 100) / 7
    assert score_total(inputs | {"sharpness": None}) is None


def test_total_score_is_the_same_under_every_python(monkeypatch):
    # Since Python 3.12 sum() of floats keeps what each addition rounds off, nearly as fsum() does.
    monkeypatch.setitem(score_total.__globals__, "sum", math.fsum)
    inputs = {
        "sharpness": 67.2, "contrast": 84.74, "entropy": 6.11, "noise": 148.98,
        "artifact_total": 2523.0, "edge_density": 22.47, "texture_complexity": 6.516,
    }  # fmt: skip
    terms = (67.2 / 5, 84.74, 6.11 / 8 * 100, 100 - 148.98 / 2, 100 - 2523 / 50, 44.94, 65.16)
    added = 0.0
    for term in terms:
        added += term
    assert score_total(inputs) == added / 7 != math.fsum(terms) / 7


def test_artifact_total_adds_rounded_parts(pair):
    values = pair[2]
    parts = round(values["artifact_block"], 2) + round(values["artifact_ringing"], 2)
    assert values["artifact_total"] == parts


# ---- colours


def test_equal_channels_take_the_grey_path(pair):
    reference, restored, values = pair
    stacked = [profile_image(image, color.gray2rgb(image)) for image in (reference, restored)]
    assert len(stacked[0].planes) == 1
    assert compare_images(*stacked, BLOCKS) == values


def test_a_grey_image_stands_for_three_channels(colour_pair):
    reference, restored = to_grey(colour_pair[0]), colour_pair[1]
    values = compare(reference, restored)
    stacked = color.gray2rgb(reference)
    assert values["ssim"] == pytest.approx(skimage_ssim(stacked, restored), abs=1e-12)
    assert values["fsds"] == pytest.approx(naive_fsds(stacked, restored), rel=1e-10)
    wanted = color.deltaE_cie76(color.rgb2lab(stacked), color.rgb2lab(restored)).mean()
    assert values["delta_e"] == pytest.approx(wanted, rel=1e-10)
    assert values["mae"] == pytest.approx(np.abs(stacked.astype(float) - restored).mean())
    assert compare(restored, reference)["mae"] == values["mae"]


# ---- what cannot be computed


@pytest.mark.parametrize(
    ("shape", "absent"),
    [
        ((160, 300), {"ms_ssim"}),
        ((161, 161), set()),
        ((11, 40), {"ms_ssim"}),
        ((10, 40), {"ms_ssim", "ssim"}),
    ],
)
def test_small_images_lack_ssim(shape, absent):
    rng = np.random.default_rng(6)
    values = compare(*rng.integers(0, 256, (2, *shape), dtype=np.uint8))
    assert {name for name in ("ssim", "ms_ssim") if values[name] is None} == absent


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("sharpness", 2),
        ("sharpness_diff_pct", 2),
        ("total_score", 4),
        ("texture_complexity", 4),
        ("noise_sigma_immerkaer", 3),
        ("noise_sigma_mad", 4),
        ("ringing_fr", 5),
        ("blockiness_ratio_4", 5),
        ("blockiness_bef_8", 9),
        ("blockiness_bef_16", 17),
    ],
)
def test_smallest_side_of_each_metric(name, side):
    rng = np.random.default_rng(8)
    wide = rng.integers(0, 2, (2, side, side), dtype=np.uint8) * 255
    if name == "ringing_fr":
        wide = np.zeros((2, side, 40), np.uint8)
        wide[:, :, 20:] = 255
    assert compare(*wide)[name] is not None
    assert compare(*wide[:, : side - 1, : side - 1 if name != "ringing_fr" else 40])[name] is None


def test_an_image_of_zeros_has_no_spectrum():
    assert compare(draw((16, 16)), np.zeros((16, 16), np.uint8))["high_freq_ratio"] is None


def test_a_uniform_histogram_has_no_correlation():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert compare(ramp, draw((16, 16)))["histogram_corr"] is None


def test_no_blocks_no_local_quality():
    values = compare(draw((16, 16)), draw((16, 16)), np.empty((0, 0), np.float32))
    assert values["local_quality_mean"] is None
    assert values["local_quality_std"] is None
    assert values["local_quality_min"] is None


# ---- errors


@pytest.mark.parametrize(
    ("grey", "rgb", "message"),
    [
        (np.zeros((4, 4), np.uint16), None, "grey: expected a .* found uint16"),
        (None, None, "grey: expected a .* found NoneType"),
        (np.zeros((4, 4, 3), np.uint8), None, "grey: expected a non-empty"),
        (np.zeros((0, 4), np.uint8), None, "grey: expected a non-empty"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 5, 3), np.uint8), "rgb: expected"),
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), float), "rgb: .* found float64"),
        (np.zeros((4, 4), np.uint8), np.ones((4, 4, 3), np.uint8), "expected grey to equal"),
    ],
)
def test_profile_refuses_bad_images(grey, rgb, message):
    with pytest.raises(ValueError, match=message):
        profile_image(grey, rgb)


def test_compare_refuses_images_of_two_sizes():
    with pytest.raises(ValueError, match=r"\(16, 17\) and restored \(17, 16\)"):
        compare(draw((16, 17)), draw((17, 16)))


@pytest.mark.parametrize("blocks", [np.float32([[1, np.nan]]), np.float32([1, 0.5])])
def test_compare_refuses_bad_block_ssim(blocks):
    with pytest.raises(ValueError, match="local_ssim"):
        compare(draw((16, 16)), draw((16, 16)), blocks)


@pytest.mark.parametrize("rows", range(8, 17))
@pytest.mark.parametrize("cols", range(16, 24))
def test_local_quality_takes_in_the_clipped_blocks_that_hold_a_window(rows, cols):
    reference, restored = draw((rows, cols), 1), draw((rows, cols), 2)
    restored[:, -3:] = reference[:, -3:]
    values = [
        structural_similarity(
            reference[row : row + 8, col : col + 8], restored[row : row + 8, col : col + 8],
            data_range=255,
        )
        for row in range(0, rows, 8)
        for col in range(0, cols, 8)
        if min(rows - row, cols - col) >= 7
    ]  # fmt: skip
    whole = [rows // 8, cols // 8]
    assert len(values) == np.prod([(size + 1) // 8 for size in (rows, cols)])
    mask = np.zeros((rows, cols), np.uint8)
    blocks = measure_pair(Measured(reference), Measured(restored), mask)[0]["local_ssim"]
    assert list(blocks.shape) == whole
    found = compare(reference, restored, blocks)
    assert found["local_quality_mean"] == pytest.approx(np.mean(values), abs=1e-7)
    assert found["local_quality_std"] == pytest.approx(np.std(values), abs=1e-7)
    assert found["local_quality_min"] == pytest.approx(np.min(values), abs=1e-7)


# ---- published rounding


def test_round_published_rounds_half_to_even_on_the_double():
    values = dict.fromkeys(METRIC_NAMES, 0.125)
    values |= {"psnr": None, "ssim": 0.99995, "total_score": 0.25, "high_freq_ratio": 0.12345678}
    rounded = round_published(values)
    assert tuple(rounded) == PUBLISHED_NAMES
    assert rounded["psnr"] is None
    assert rounded["ssim"] == round(0.99995, 4)
    assert rounded["contrast"] == 0.12
    assert rounded["entropy"] == 0.125
    assert rounded["total_score"] == 0.2
    assert rounded["high_freq_ratio"] == 0.12345678


def test_round_published_misses_no_metric():
    with pytest.raises(KeyError, match="ssim"):
        round_published({"psnr": 1.0})


# ---- real data


def test_real_radiograph_equals_scikit_image():
    reference = read_grey(SAMPLE / "reference" / "rg1_r1c0.png")
    restored = read_grey(SAMPLE / "restored" / "span_x2_ch48" / "notta" / "rg1_r1c0.png")
    values = compare(reference, restored)
    assert values["ssim"] == pytest.approx(skimage_ssim(reference, restored), abs=1e-12)
    assert values["ms_ssim"] == pytest.approx(naive_ms_ssim(reference, restored), abs=1e-12)
    wanted = peak_signal_noise_ratio(reference, restored, data_range=255)
    assert values["psnr"] == pytest.approx(wanted, rel=1e-13)
    assert values["fsds"] == pytest.approx(naive_fsds(reference, restored), rel=1e-10)
    # piq 0.8.0 in float64; the authors' haarPsi.py of 2018 gives 0.9931310536008235.
    assert values["haarpsi"] == pytest.approx(0.9931310536008198, abs=1e-13)
    assert values["ringing_fr"] is None  # this crop has no Canny(100, 200) edge
    assert values["artifact_ringing"] == 0.0


@pytest.mark.shared_data
def test_total_score_reproduces_the_published_file(shared_data):
    # Older code of the generator used unrounded inputs: 893 of 900 agree (definitions A.1).
    rows = read_published(shared_data)
    names = [m.name for m in METRICS if m.name in rows[0]]
    same = 0
    for row in rows:
        values = {name: float(row[name]) for name in names}
        same += round(score_total(values), 1) == values["total_score"]
    assert (same, len(rows)) == (893, 900)


@pytest.mark.shared_data
def test_artifact_total_reproduces_the_published_file(shared_data):
    for row in read_published(shared_data):
        parts = float(row["artifact_block"]) + float(row["artifact_ringing"])
        assert parts == pytest.approx(float(row["artifact_total"]), abs=1e-9)


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "change", "decimals"),
    [
        ("sharpness", "sharpness_diff_pct", 2),
        ("contrast", "contrast_diff_pct", 2),
        ("edge_density", "edge_diff_pct", 2),
    ],
)
def test_the_reference_is_measured_as_published(shared_data, name, change, decimals):
    """The generator's own value of a reference lies in the interval its CSV implies."""
    rows = [row for row in read_published(shared_data) if row["image_id"] == "00000001_000"]
    measured = profile_image(read_grey(shared_data / "nih" / "reference" / "00000001_000.png"))
    half = 0.5 * 10**-decimals
    for row in rows:
        value, factor = float(row[name]), 1 + float(row[change]) / 100
        lowest, highest = (value - half) / (factor + 5e-4), (value + half) / (factor - 5e-4)
        assert lowest <= measured.measures[name] <= highest
    assert len(rows) == 3


def upscale_by_sinc(plane, omega, scale):
    """Resample by the FSDS paper's sinc low-pass, rescaled to the range of the input."""
    half = plane.shape[0] // 2
    padded = np.pad(plane.astype(float), half, mode="reflect")
    stuffed = np.zeros([side * scale for side in padded.shape])
    stuffed[::scale, ::scale] = padded
    kernel = np.sinc(omega * np.linspace(-1, 1, 2 * half * scale + 1))
    for shape in ((-1, 1), (1, -1)):
        stuffed = signal.oaconvolve(stuffed, kernel.reshape(shape), mode="valid")
    share = (stuffed - stuffed.min()) / np.ptp(stuffed)
    return share * float(np.ptp(plane)) + float(plane.min())


@pytest.mark.shared_data
def test_fsds_reproduces_the_anchor_of_its_paper(shared_data):
    small = read_rgb(shared_data / "fsds" / "baby_x2.png")
    reference = read_rgb(shared_data / "fsds" / "baby.png")
    restored = [upscale_by_sinc(small[..., c], 48.5, 2) for c in range(3)]
    values = profile_image(to_grey(reference), reference)
    spectra = [np.fft.rfft2(plane - np.mean(restored)) for plane in restored]
    deviations = reference.std(ddof=1), np.std(restored, ddof=1)
    scaled = tuple(scale_spectrum(plane, deviations[0]) for plane in values.plane_spectra)
    found = compare_spectra(scaled, find_energy(scaled), spectra, deviations[1])
    assert found == pytest.approx(27.5088, abs=1e-3)
    # The same image in 8 bits, as files hold it.
    eight_bit = np.rint(np.moveaxis(restored, 0, 2)).astype(np.uint8)
    whole = compare(reference, eight_bit)["fsds"]
    assert whole == pytest.approx(naive_fsds(reference, eight_bit), abs=1e-9)
    assert whole == pytest.approx(27.5088, abs=1e-2)


@pytest.mark.shared_data
def test_fsds_ranks_nearest_neighbour_above_bicubic(shared_data):
    """Definitions F.2: FSDS looks at low frequencies, so it is no measure of good upscaling."""
    reference = read_rgb(shared_data / "fsds" / "baby.png")
    with Image.open(shared_data / "fsds" / "baby_x2.png") as small:
        size = reference.shape[1], reference.shape[0]
        nearest, bicubic = (
            np.asarray(small.convert("RGB").resize(size, kind))
            for kind in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC)
        )
    assert compare(reference, nearest)["fsds"] == pytest.approx(40.86, abs=0.01)
    assert compare(reference, bicubic)["fsds"] == pytest.approx(40.13, abs=0.01)


def find_block_period(image):
    """Period whose boundaries stand out most against the steps elsewhere."""
    measures = profile_image(image).measures
    return max((4, 8, 16), key=lambda period: measures[f"blockiness_ratio_{period}"])


def test_the_blocks_of_jpeg_show_at_a_period_of_8_px(sample_pairs):
    reference = sample_pairs["upscayl_digital"][0][:256, :256]
    buffer = io.BytesIO()
    Image.fromarray(reference).save(buffer, "JPEG", quality=10)
    compressed = np.asarray(Image.open(buffer))
    assert find_block_period(compressed) == 8
    found = profile_image(compressed).measures["blockiness_ratio_8"]
    assert found > 5 * profile_image(reference).measures["blockiness_ratio_8"]


def test_the_blocks_of_zfp_show_at_a_period_of_4_px(sample_pairs):
    zfpy = pytest.importorskip("zfpy", reason="zfp compresses the image: pip install zfpy")
    reference = sample_pairs["upscayl_digital"][0][:256, :256]
    stream = zfpy.compress_numpy(reference.astype(np.float32), tolerance=64)
    decoded = np.clip(np.rint(zfpy.decompress_numpy(stream)), 0, 255).astype(np.uint8)
    assert find_block_period(decoded) == 4
    found = profile_image(decoded).measures["blockiness_ratio_4"]
    assert found > 2 * profile_image(reference).measures["blockiness_ratio_4"]
