"""Every block quantity against a hand-worked case, an independent oracle and its symmetries."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from scipy import ndimage
from skimage.metrics import structural_similarity

from upscale_audit.ingest import kernel
from upscale_audit.ingest.blocks import Measured, compare_blocks

SHAPES = ((8, 8), (9, 17), (16, 16), (33, 40), (40, 31), (512, 512))
KINDS = ("black", "white", "checkerboard", "columns", "noise", "blocks")
IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
LAPLACIAN = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8)


def draw(kind, shape, seed=0):
    row, col = np.indices(shape)
    if kind == "noise":
        return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    pattern = {
        "black": np.zeros(shape),
        "white": np.ones(shape),
        "checkerboard": (row + col + seed) % 2,
        "columns": (col + seed) % 2,
        "blocks": (row // 8 + col // 8 + seed) % 2,
    }[kind]
    return (pattern * 255).astype(np.uint8)


def cut_blocks(image):
    rows, cols = image.shape[0] // 8, image.shape[1] // 8
    return image[: rows * 8, : cols * 8].reshape(rows, 8, cols, 8).swapaxes(1, 2)


def sum_blocks(image):
    return cut_blocks(image).sum(axis=(2, 3))


def every_window(image):
    """(R, C, 4, 49) float64: pixels of the four 7x7 windows of each block."""
    blocks = cut_blocks(image).astype(np.float64)
    windows = [blocks[:, :, r : r + 7, c : c + 7] for r in (0, 1) for c in (0, 1)]
    return np.stack(windows, axis=2).reshape(*blocks.shape[:2], 4, 49)


def naive_ssim(reference, restored):
    x, y = every_window(reference), every_window(restored)
    mean_x, mean_y = x.mean(axis=-1), y.mean(axis=-1)
    covariance = ((x - mean_x[..., None]) * (y - mean_y[..., None])).sum(axis=-1) / 48
    variances = x.var(axis=-1, ddof=1) + y.var(axis=-1, ddof=1)
    top = (2 * mean_x * mean_y + kernel.C1) * (2 * covariance + kernel.C2)
    return (top / ((mean_x**2 + mean_y**2 + kernel.C1) * (variances + kernel.C2))).mean(axis=-1)


def skimage_ssim(reference, restored):
    x, y = cut_blocks(reference), cut_blocks(restored)
    return np.array(
        [
            [structural_similarity(x[r, c], y[r, c], data_range=255) for c in range(x.shape[1])]
            for r in range(x.shape[0])
        ]
    )


def compare(reference, restored):
    windows = kernel.sum_windows(reference), kernel.sum_windows(restored)
    return kernel.compare_pair(reference, restored, *windows)


def filter_whole(image):
    return kernel.filter_blocks(kernel.pad_mirrored(image, 1))


def naive_steps(image):
    image = image.astype(int)
    height, width = image.shape
    sums = np.zeros((4, height // 8, width // 8), int)
    for block_row, block_col in np.ndindex(height // 8, width // 8):
        top, left = block_row * 8, block_col * 8
        for line in range(top, min(top + 9, height)):
            if line > 0:
                row = slice(left, left + 8)
                step = abs(image[line, row] - image[line - 1, row]).sum()
                _add_line(sums[:, block_row, block_col], line, top, step)
        for line in range(left, min(left + 9, width)):
            if line > 0:
                col = slice(top, top + 8)
                step = abs(image[col, line] - image[col, line - 1]).sum()
                _add_line(sums[:, block_row, block_col], line, left, step)
    return sums


def _add_line(sums, line, begin, step):
    if line in (begin, begin + 8):
        sums[0] += step
        sums[1] += step if line % 16 == 0 else 0
    else:
        sums[2] += step if line == begin + 4 else 0
        sums[3] += step


def naive_ringing(reference, restored, mask):
    error = restored.astype(np.float64) - reference
    deviation = error - ndimage.uniform_filter(error, 9, mode="mirror")
    return sum_blocks(deviation**2 * mask)


@pytest.fixture(params=[f"{kind} {height}x{width}" for kind in KINDS for height, width in SHAPES])
def image(request):
    kind, shape = request.param.split()
    return draw(kind, tuple(map(int, shape.split("x"))))


@pytest.fixture(params=("bicubic", "upscayl_digital", "span_x2_ch48"))
def radiograph(request, sample_pairs):
    return sample_pairs[request.param]


@pytest.mark.parametrize("border", [1, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_padding_mirrors_about_the_edge_pixels(border, dtype):
    image = draw("noise", (9, 17)).astype(dtype)
    padded = kernel.pad_mirrored(image, border)
    assert padded.dtype == np.int16
    np.testing.assert_array_equal(padded, np.pad(image, border, mode="reflect"))


def test_moments_of_a_ramp_are_the_known_sums():
    total, total_sq = kernel.sum_moments(RAMP)
    assert total.item() == 63 * 64 // 2
    assert total_sq.item() == 63 * 64 * 127 // 6


def test_moments_are_numpys_sums(image):
    total, total_sq = kernel.sum_moments(image)
    np.testing.assert_array_equal(total, sum_blocks(image.astype(int)))
    np.testing.assert_array_equal(total_sq, sum_blocks(image.astype(int) ** 2))


def test_window_sums_are_numpys_sums(image):
    windows = kernel.sum_windows(image).transpose(1, 0, 3, 2)
    np.testing.assert_array_equal(windows[0], every_window(image).sum(axis=-1))
    np.testing.assert_array_equal(windows[1], (every_window(image) ** 2).sum(axis=-1))


def test_an_image_compared_with_itself_has_a_block_ssim_of_exactly_one(image):
    cross, local_ssim = compare(image, image)
    np.testing.assert_array_equal(cross, sum_blocks(image.astype(int) ** 2))
    np.testing.assert_array_equal(local_ssim, 1.0)


def test_block_ssim_of_black_and_white_is_the_luminance_term_alone():
    _, local_ssim = compare(draw("black", (8, 8)), draw("white", (8, 8)))
    assert local_ssim.item() == np.float32(6.5025 / (255**2 + 6.5025))


def test_block_ssim_of_a_brightened_ramp_is_the_mean_of_four_luminance_terms():
    _, local_ssim = compare(RAMP, RAMP + 10)
    terms = [
        (2 * m * (m + 10) + 6.5025) / (m**2 + (m + 10) ** 2 + 6.5025) for m in (27, 28, 35, 36)
    ]
    assert local_ssim.item() == pytest.approx(sum(terms) / 4, rel=1e-7)


def test_block_ssim_of_inverted_noise_is_negative():
    _, local_ssim = compare(draw("checkerboard", (16, 16)), draw("checkerboard", (16, 16), seed=1))
    assert (local_ssim < -0.99).all()


def test_block_ssim_is_skimages_on_each_pair_of_patches(radiograph):
    reference, restored = (np.ascontiguousarray(image[96:200, 64:201]) for image in radiograph)
    expected = skimage_ssim(reference, restored)
    np.testing.assert_allclose(naive_ssim(reference, restored), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(compare(reference, restored)[1], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kinds", [(a, b) for a in KINDS for b in KINDS if a < b])
def test_block_ssim_is_skimages_on_extreme_images(kinds):
    reference, restored = (draw(kind, (19, 24), seed=1) for kind in kinds)
    expected = skimage_ssim(reference, restored)
    np.testing.assert_allclose(naive_ssim(reference, restored), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(compare(reference, restored)[1], expected, rtol=0, atol=1e-6)


def test_block_ssim_is_the_naive_equation_rounded_once(radiograph):
    expected = naive_ssim(*radiograph).astype(np.float32)
    np.testing.assert_array_max_ulp(compare(*radiograph)[1], expected, maxulp=1)


@pytest.mark.parametrize("shape", SHAPES)
def test_cross_products_are_numpys_sums(shape):
    reference, restored = draw("noise", shape), draw("noise", shape, seed=1)
    expected = sum_blocks(reference.astype(int) * restored)
    np.testing.assert_array_equal(compare(reference, restored)[0], expected)


def test_a_single_bright_pixel_has_the_known_laplacian_and_noise():
    image = np.zeros((16, 16), np.uint8)
    image[3, 3] = 255
    laplacian, noise = filter_whole(image)
    np.testing.assert_array_equal(laplacian, [[64 * 20 * 255**2, 0], [0, 0]])
    np.testing.assert_array_equal(noise, [[16 * 255, 0], [0, 0]])


def test_laplacian_and_noise_are_scipys_mirrored_correlations(image):
    laplacian, noise = filter_whole(image)
    curvature = ndimage.correlate(image.astype(int), LAPLACIAN, mode="mirror")
    expected = 64 * sum_blocks(curvature**2) - sum_blocks(curvature) ** 2
    np.testing.assert_array_equal(laplacian, expected)
    grain = ndimage.correlate(image.astype(int), IMMERKAER, mode="mirror")
    np.testing.assert_array_equal(noise, sum_blocks(abs(grain)))


def test_the_greatest_laplacian_dispersion_fits_its_column():
    laplacian, noise = filter_whole(draw("checkerboard", (24, 24)))
    np.testing.assert_array_equal(laplacian, 64 * 64 * (4 * 255) ** 2)
    np.testing.assert_array_equal(noise, 64 * 8 * 255)


def test_laplacian_and_noise_of_a_radiograph_are_scipys(radiograph):
    laplacian, noise = filter_whole(radiograph[1])
    curvature = ndimage.correlate(radiograph[1].astype(int), LAPLACIAN, mode="mirror")
    np.testing.assert_allclose(laplacian / 4096, cut_blocks(curvature).var(axis=(2, 3)), rtol=1e-12)
    grain = ndimage.correlate(radiograph[1].astype(int), IMMERKAER, mode="mirror")
    np.testing.assert_array_equal(noise, sum_blocks(abs(grain)))


@pytest.mark.parametrize(
    ("step_col", "expected"),
    [(8, [800, 0, 0, 0]), (16, [0, 0, 0, 0]), (4, [0, 0, 800, 800]), (3, [0, 0, 0, 800])],
)
def test_a_vertical_edge_counts_where_it_lies(step_col, expected):
    image = np.zeros((16, 32), np.uint8)
    image[:, step_col:] = 100
    np.testing.assert_array_equal(kernel.sum_steps(image)[:, 0, 0], expected)
    np.testing.assert_array_equal(kernel.sum_steps(image.T.copy())[:, 0, 0], expected)


def test_an_edge_on_sixteen_pixels_counts_for_both_neighbours():
    image = np.zeros((16, 32), np.uint8)
    image[:, 16:] = 100
    side, side16, _, _ = kernel.sum_steps(image)
    np.testing.assert_array_equal(side, [[0, 800, 800, 0]] * 2)
    np.testing.assert_array_equal(side16, side)


def test_steps_are_those_of_a_naive_loop(image):
    if image.size > 10_000:
        image = np.ascontiguousarray(image[:75, :90])
    np.testing.assert_array_equal(kernel.sum_steps(image), naive_steps(image))


def test_steps_of_a_radiograph_are_those_of_a_naive_loop(radiograph):
    crop = np.ascontiguousarray(radiograph[1][100:205, 60:189])
    np.testing.assert_array_equal(kernel.sum_steps(crop), naive_steps(crop))


def test_a_lone_block_has_no_side_steps():
    assert kernel.sum_steps(draw("noise", (8, 8)))[:2].tolist() == [[[0]], [[0]]]


def measure_energies(image, other=None):
    """4 E_2 and 16 E_4 of an image, or of its products with another."""
    other = image if other is None else other
    cells = kernel.sum_cells(image), kernel.sum_cells(other)
    return kernel.measure_details(*cells, sum_blocks(image.astype(int) * other).astype(np.uint32))


def pair_up(x, y):
    return {"xx": (x, x), "yy": (y, y), "xy": (x, y)}


def naive_details(left, right):
    """4 E_2 and 16 E_4 of each block, in the words of the equations."""
    left, right = left.astype(int), right.astype(int)
    details = np.zeros((2, left.shape[0] // 8, left.shape[1] // 8), int)
    for block_row, block_col in np.ndindex(details.shape[1:]):
        products = {1: 0, 2: 0, 4: 0}
        for side in products:
            for row in range(8 * block_row, 8 * block_row + 8, side):
                for col in range(8 * block_col, 8 * block_col + 8, side):
                    cell = np.s_[row : row + side, col : col + side]
                    products[side] += left[cell].sum() * right[cell].sum()
        details[0, block_row, block_col] = 4 * products[1] - products[2]
        details[1, block_row, block_col] = 4 * products[2] - products[4]
    return details


def test_details_of_a_checkerboard_are_all_at_cells_of_two_pixels():
    # Every pixel deviates from its cell's mean by 127.5: 4 E_2 = 4 * 64 * 127.5^2.
    details = measure_energies(draw("checkerboard", (8, 8)))
    assert details.ravel().tolist() == [4 * 64 * 127.5**2, 0]


def test_details_of_a_negative_are_the_opposite_products():
    image = draw("checkerboard", (8, 8))
    np.testing.assert_array_equal(measure_energies(image, 255 - image), -measure_energies(image))


def test_details_of_constant_blocks_are_zero():
    every_grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    details = measure_energies(every_grey.repeat(8, axis=0).repeat(8, axis=1))
    assert details.shape == (2, 16, 16)
    assert not details.any()


@pytest.mark.parametrize("shape", SHAPES[:-1])
@pytest.mark.parametrize("kinds", [("noise", "noise"), ("checkerboard", "noise"), ("white",) * 2])
def test_details_are_those_of_a_naive_loop(shape, kinds):
    left, right = draw(kinds[0], shape), draw(kinds[1], shape, seed=1)
    np.testing.assert_array_equal(measure_energies(left), naive_details(left, left))
    np.testing.assert_array_equal(measure_energies(left, right), naive_details(left, right))


def test_details_of_a_radiograph_are_those_of_a_naive_loop(radiograph):
    sides = [np.ascontiguousarray(side[100:205, 60:189]) for side in radiograph]
    np.testing.assert_array_equal(measure_energies(*sides), naive_details(*sides))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    arrays(np.uint8, (2, 8, 8), elements=st.one_of(st.integers(0, 255), st.sampled_from((0, 255))))
)
def test_details_and_the_mean_add_up_to_the_squared_error(pair):
    x, y = pair
    found = {name: measure_energies(*images).ravel() for name, images in pair_up(x, y).items()}
    error = y.astype(int) - x
    # The error's own E_2 and E_4 in 64ths; E_8 is what they leave of all but the mean.
    scaled = (found["xx"] + found["yy"] - 2 * found["xy"]) * (16, 4)
    eight = 64 * (error**2).sum() - error.sum() ** 2 - scaled.sum()
    pooled = error.reshape(2, 4, 2, 4).sum(axis=(1, 3))
    assert eight == 4 * (pooled**2).sum() - error.sum() ** 2
    assert (scaled >= 0).all()
    assert (found["xy"].astype(float) ** 2 <= found["xx"].astype(float) * found["yy"]).all()


def test_ringing_of_a_single_wrong_pixel_is_the_known_sum():
    reference = np.zeros((24, 24), np.uint8)
    restored = reference.copy()
    restored[8, 8] = 81
    ringing, energy = kernel.measure_ringing(reference, restored, np.ones_like(reference))
    np.testing.assert_array_equal(ringing, [[16, 20, 0], [20, 80**2 + 24, 0], [0, 0, 0]])
    assert energy == 81**2 * (80**2 + 80)


def test_a_constant_error_rings_nowhere():
    reference = draw("noise", (33, 40)) // 2
    mask = np.ones_like(reference)
    ringing, energy = kernel.measure_ringing(reference, reference + 90, mask)
    np.testing.assert_array_equal(ringing, 0.0)
    assert energy == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kinds", [("noise", "noise"), ("checkerboard",) * 2, ("black", "columns")])
def test_ringing_is_the_error_less_scipys_box_mean(shape, kinds):
    reference, restored = draw(kinds[0], shape), draw(kinds[1], shape, seed=1)
    mask = draw("noise", shape, seed=2) % 2
    np.testing.assert_allclose(
        kernel.measure_ringing(reference, restored, mask)[0],
        naive_ringing(reference, restored, mask),
        rtol=1e-6,
    )


def test_ringing_of_a_radiograph_is_the_error_less_scipys_box_mean(radiograph):
    mask = draw("noise", radiograph[0].shape) % 2
    np.testing.assert_allclose(
        kernel.measure_ringing(*radiograph, mask)[0], naive_ringing(*radiograph, mask), rtol=1e-6
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_mask_counts_are_numpys_sums(shape):
    mask = draw("noise", shape) % 2
    np.testing.assert_array_equal(kernel.count_mask(mask), sum_blocks(mask.astype(int)))
    np.testing.assert_array_equal(kernel.count_mask(np.ones_like(mask)), 64)


def measure_all(reference, restored, mask):
    """Every quantity's map, by name."""
    sides = Measured(reference), Measured(restored)
    compared, _ = compare_blocks(*sides, np.ascontiguousarray(mask))
    return sides[1].columns | compared | {"mask": kernel.count_mask(np.ascontiguousarray(mask))}


@st.composite
def triples(draw_from):
    """A reference, a restored image and a mask whose sides are multiples of 16 px."""
    shape = draw_from(st.tuples(st.sampled_from((16, 32)), st.sampled_from((16, 48))))
    grey = arrays(np.uint8, shape, elements=st.integers(0, 255))
    seeded = st.integers(0, 2**32 - 1).map(lambda seed: draw("noise", shape, seed))
    images = [draw_from(st.one_of(grey, seeded)) for _ in range(3)]
    return images[0], images[1], images[2] % 2


@settings(max_examples=40, deadline=None, derandomize=True)
@given(triples(), st.sampled_from((np.flipud, np.fliplr, lambda image: np.rot90(image, 2))))
def test_flipping_the_images_flips_every_map_exactly(images, flip):
    before, after = measure_all(*images), measure_all(*map(flip, images))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], flip(values), err_msg=name)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(triples())
def test_transposing_the_images_transposes_every_map(images):
    before, after = measure_all(*images), measure_all(*(image.T for image in images))
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values.T, err_msg=name)


def test_transposing_keeps_even_an_ssim_between_two_float32_values():
    # Found by a search over 2 x 10^8 blocks: added by rows or columns, not by diagonals, the
    # four windows of this one give another float32 once the images are transposed.
    generator = np.random.default_rng(2474)
    images = [generator.integers(0, 256, (1024, 1024), np.uint8) for _ in range(2)]
    crops = [np.ascontiguousarray(image[184:192, 720:728]) for image in images]
    turned = [np.ascontiguousarray(crop.T) for crop in crops]
    assert compare(*crops)[1] == compare(*turned)[1]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(triples())
def test_swapping_the_images_leaves_ssim_products_and_ringing_alone(images):
    reference, restored, mask = images
    there, energy = compare_blocks(Measured(reference), Measured(restored), mask)
    back, energy_back = compare_blocks(Measured(restored), Measured(reference), mask)
    assert energy == energy_back
    for name, values in there.items():
        np.testing.assert_array_equal(back[name], values, err_msg=name)


def test_a_block_feels_no_pixel_beyond_its_halo():
    images = [draw("noise", (48, 56), seed) for seed in range(3)]
    images[2] %= 2
    far = np.ones((48, 56), bool)
    far[16 - 4 : 24 + 4, 24 - 4 : 32 + 4] = False
    changed = [np.where(far, draw("noise", (48, 56), 9), image) for image in images]
    changed[2] %= 2
    before, after = measure_all(*images), measure_all(*changed)
    for name, values in before.items():
        assert after[name][2, 3] == values[2, 3], name
        assert (after[name] != values).any(), name


def test_no_fused_multiply_add_stands_in_the_machine_code():
    # Compiled afresh: numba does not show the machine code of what it loads from its cache.
    function = njit(error_model="numpy", nogil=True)(kernel.compare_pair.py_func)
    image = draw("noise", (16, 16))
    windows = kernel.sum_windows(image)
    function(image, image, windows, windows)
    (code,) = function.inspect_asm().values()
    assert re.search(r"\b(v?mulpd|v?mulsd|fmul)\b", code)
    assert not re.search(r"\b(v?fn?m(add|sub)\w*|fml[as])\b", code)
