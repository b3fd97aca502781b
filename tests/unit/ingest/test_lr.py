"""LR rules as algebra: against the libraries that make LR images, and against dense matrices."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from upscale_audit.ingest.images import decode_image
from upscale_audit.ingest.lr import LrImage, LrReference, find_lr
from upscale_audit.ingest.lr_rules import find_axis, find_kernel, make_lr
from upscale_audit.ingest.restorers import LR_RULES, LR_SCALES
from upscale_audit.ingest.study import LrParameters

CASES = [(rule, scale) for rule in LR_RULES for scale in LR_SCALES]
every_case = pytest.mark.parametrize(("rule", "scale"), CASES)
SPLITTING = [("antialiased", 2), ("antialiased", 3), ("antialiased", 4), ("opencv_cubic", 2)]
"""Rules under which a constant is wholly seen."""


def make_matrix(rule, scale, size):
    """D of one axis, from what the code says of it, as a dense matrix."""
    axis = find_axis(rule, scale, size)
    matrix = np.zeros((size // scale, size))
    for row, (start, taps) in enumerate(zip(axis.starts, axis.taps, strict=True)):
        matrix[row, start : start + len(taps)] += taps
    return matrix / find_kernel(rule, scale).denominator


def make_smooth(shape, seed=0, sigma=1.5):
    noise = np.random.default_rng(seed).normal(128, 255, shape)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), sigma), 0, 255).astype(np.uint8)


def hold(reference, rule, scale):
    """A reference against the LR image that the rule makes of it."""
    lr = LrImage(make_lr(reference, scale, rule), rule, scale)
    return LrReference(reference, lr, lr.judge(reference))


def measure(reference, restored, rule="antialiased", scale=2, margin=2):
    """Sums over the blocks inside a margin, by the raw column's name."""
    held = hold(reference, rule, scale)
    facts = held.measure(restored) | {"reference_null": held.columns["null_energy"]}
    inner = slice(margin, -margin or None)
    return {name: values[inner, inner].astype(float).sum() for name, values in facts.items()}


@every_case
def test_taps_are_those_that_the_library_applies_to_an_impulse(rule, scale):
    kernel = find_kernel(rule, scale)
    size, centre = 16 * scale, 8
    found = np.zeros(size)
    for pixel in range(size):
        image = np.zeros((size, size), np.float32)
        image[:, pixel] = 1
        if rule == "antialiased":
            small = (size // scale, size // scale)
            reduced = np.asarray(Image.fromarray(image).resize(small, Image.Resampling.BICUBIC))
        else:
            small = (size // scale, size // scale)
            reduced = cv2.resize(image, small, interpolation=cv2.INTER_CUBIC)
        found[pixel] = reduced[centre, centre]
    start = scale * centre + kernel.first
    expected = np.zeros(size)
    expected[start : start + len(kernel.taps)] = np.array(kernel.taps) / kernel.denominator
    assert np.abs(found - expected).max() < 1e-6
    assert sum(kernel.taps) == kernel.denominator


def test_the_bounds_are_those_of_the_two_libraries_roundings():
    assert find_kernel("antialiased", 2).taps == (-3, -9, 29, 111, 111, 29, -9, -3)
    assert find_kernel("antialiased", 2).bound() == 117_888
    assert Fraction(117_888, 65_536) == Fraction("1.798828125")
    assert find_kernel("opencv_cubic", 2).taps == (-3, 19, 19, -3)
    assert find_kernel("opencv_cubic", 2).bound() == 1_480
    # A value reduced from colours is rounded once more, by at most a half.
    wider = find_kernel("antialiased", 2).bound(Fraction(1))
    assert wider == 117_888 + 65_536 * Fraction(1, 2) * Fraction(19, 16) ** 2


@every_case
def test_the_projector_is_that_of_the_dense_matrix_and_keeps_a_constant(rule, scale):
    rows, cols = 24 * scale, 16 * scale
    image = np.random.default_rng(1).integers(0, 256, (rows, cols), np.uint8)
    held = hold(image, rule, scale)
    by_axis = []
    for size in (rows, cols):
        matrix = make_matrix(rule, scale, size)
        projector = matrix.T @ np.linalg.inv(matrix @ matrix.T) @ matrix
        assert np.abs(projector - projector.T).max() < 1e-12
        assert np.abs(projector @ projector - projector).max() < 1e-12
        by_axis.append(projector)
    expected = by_axis[0] @ image @ by_axis[1].T
    assert np.abs(held.range - expected).max() < 1e-9
    if (rule, scale) in SPLITTING:
        flat = np.full((rows, cols), 100, np.uint8)
        assert np.abs(hold(flat, rule, scale).range - 100).max() < 1e-9


@every_case
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_image_contradicts_the_lr_image_that_was_made_of_it(rule, scale, data):
    shape = (8 * scale, 12 * scale)
    image = data.draw(
        arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 7, 100, 128, 254, 255]))
    )
    lr = LrImage(make_lr(image, scale, rule), rule, scale)
    assert not lr.find_contradictions(lr.judge(image))[2].any()


def test_ten_thousand_images_are_never_contradicted_by_their_own_lr_image():
    generator = np.random.default_rng(5)
    judged = 0
    for number in range(10_000):
        rule, scale = CASES[number % len(CASES)]
        low, high = np.sort(generator.integers(0, 256, 2))
        image = generator.integers(low, high + 1, (24, 24), np.uint8)
        image[generator.random(image.shape) < 0.1] = generator.choice([0, 255])
        lr = LrImage(make_lr(image, scale, rule), rule, scale)
        _, is_usable, is_contradicted = lr.find_contradictions(lr.judge(image))
        assert not is_contradicted.any(), (number, rule, scale)
        judged += is_usable.sum()
    assert judged > 100_000


def apply_as_pillow(image, scale):
    """What Pillow would make of grey values that are no whole numbers: both its roundings."""
    across = make_matrix("antialiased", scale, image.shape[1])
    down = make_matrix("antialiased", scale, image.shape[0])
    columns = np.clip(np.floor(image @ across.T + 0.5), 0, 255)
    return np.clip(np.floor(down @ columns + 0.5), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("scale", LR_SCALES)
@pytest.mark.parametrize("spread", [3, 60, 200])
def test_nor_does_any_real_image_that_rounds_to_it(scale, spread):
    # The worst roundings there are: each as its tap's sign makes it.
    generator = np.random.default_rng(scale)
    reference = generator.integers(128 - spread // 2, 129 + spread // 2, (24 * scale, 24 * scale))
    nudge = np.where(generator.random(reference.shape) < 0.5, -0.4999, 0.4999)
    kernel = find_kernel("antialiased", scale)
    tile = np.zeros(reference.shape)
    start = 12 * scale + kernel.first
    signs = np.sign(kernel.taps)
    inside = slice(start, start + len(signs))
    tile[inside, inside] = 0.4999 * np.outer(signs, signs)
    for move in (nudge, tile, -tile, np.full(reference.shape, 0.4999)):
        lr = LrImage(apply_as_pillow(reference + move, scale), "antialiased", scale)
        judged = lr.judge(reference.astype(np.uint8))
        _, is_usable, is_contradicted = lr.find_contradictions(judged)
        assert is_usable.any()
        assert not is_contradicted.any()


@every_case
def test_one_changed_lr_pixel_is_found_where_it_is(rule, scale):
    image = make_smooth((16 * scale, 16 * scale), sigma=2 * scale)
    grey = make_lr(image, scale, rule).copy()
    grey[9, 5] += 4
    lr = LrImage(grey, rule, scale)
    residual, _, is_contradicted = lr.find_contradictions(lr.judge(image))
    assert np.argwhere(is_contradicted).tolist() == [[9, 5]]
    facts = lr.fold(lr.judge(image))
    row, col = (scale * place + (scale - 1) // 2 for place in (9, 5))
    assert facts["lr_contradicted"][row // 8, col // 8] == 1
    assert facts["lr_contradicted"].sum() == 1
    assert facts["lr_largest"].max() == abs(residual[9, 5])


def test_the_pseudo_inverse_of_the_lr_image_does_not_contradict_it():
    reference = make_smooth((96, 96), sigma=2) // 2 + 60
    for rule, scale in SPLITTING:
        held = hold(reference.astype(np.uint8), rule, scale)
        restored = np.clip(np.rint(held.lr.project(
            held.lr.grey.astype(float) * held.lr.kernel.denominator**2
        )), 0, 255).astype(np.uint8)  # fmt: skip
        facts = held.measure(restored)
        assert facts["lr_contradicted"].sum() == 0
        assert facts["lr_usable"].sum() > 0


@every_case
def test_block_facts_are_those_of_the_equations_written_naively(rule, scale):
    generator = np.random.default_rng(7)
    reference = make_smooth((8 * scale * 2 + 0, 8 * scale * 3))
    restored = np.clip(reference + generator.integers(-20, 21, reference.shape), 0, 255)
    restored = restored.astype(np.uint8)
    held = hold(reference, rule, scale)
    facts = held.measure(restored)
    down, across = (make_matrix(rule, scale, size) for size in reference.shape)
    unit = find_kernel(rule, scale).denominator ** 2
    residual = unit * (down @ restored @ across.T - held.lr.grey)
    _, is_usable, is_contradicted = held.lr.find_contradictions(held.lr.judge(restored))
    ranges = []
    for image in (reference, restored):
        for matrix, turned in ((down, False), (across, True)):
            projector = matrix.T @ np.linalg.inv(matrix @ matrix.T) @ matrix
            image = image @ projector.T if turned else projector @ image
        ranges.append(image)
    x_null, y_null = reference - ranges[0], restored - ranges[1]
    bent = ranges[1] - ranges[0]
    lr_rows = (scale * np.arange(len(down)) + (scale - 1) // 2) // 8
    lr_cols = (scale * np.arange(len(across)) + (scale - 1) // 2) // 8
    for row, col in np.ndindex(facts["bent"].shape):
        pixels = np.s_[8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
        assert facts["bent"][row, col] == pytest.approx((bent[pixels] ** 2).sum())
        assert facts["null_energy"][row, col] == pytest.approx((y_null[pixels] ** 2).sum())
        product = (x_null[pixels] * y_null[pixels]).sum()
        assert facts["null_product"][row, col] == pytest.approx(product, abs=1e-6)
        energy = (x_null[pixels] ** 2).sum()
        assert held.columns["null_energy"][row, col] == pytest.approx(energy)
        chosen = is_usable & (lr_rows == row)[:, None] & (lr_cols == col)[None, :]
        assert facts["lr_usable"][row, col] == chosen.sum()
        assert facts["lr_contradicted"][row, col] == (chosen & is_contradicted).sum()
        assert facts["lr_sum"][row, col] == np.rint(residual[chosen].sum())
        assert facts["lr_largest"][row, col] == np.rint(np.abs(residual[chosen]).max(initial=0))
        square = (residual[chosen] ** 2).sum() / unit**2
        assert facts["lr_square"][row, col] == pytest.approx(square)


def solve_plainly(values, factor):
    """(D D^T)^-1 along the first axis, one row after another."""
    values, reach = values.copy(), factor.shape[1] - 1
    for row in range(len(values)):
        for back in range(min(reach, row), 0, -1):
            values[row] -= factor[row, reach - back] * values[row - back]
        values[row] *= factor[row, reach]
    for row in range(len(values) - 1, -1, -1):
        for ahead in range(min(reach, len(values) - 1 - row), 0, -1):
            values[row] -= factor[row + ahead, reach - ahead] * values[row + ahead]
        values[row] *= factor[row, reach]
    return values


def expand_plainly(values, axis, unit):
    """D^T along the first axis, LR rows in their order."""
    expanded = np.zeros((axis.size_px, values.shape[1]))
    for lr_row, (start, taps) in enumerate(zip(axis.starts, axis.taps, strict=True)):
        for tap, weight in enumerate(taps):
            expanded[start + tap] += weight / unit * values[lr_row]
    return expanded


def fold_plainly(product):
    """Sums of blocks: down each column first, then across."""
    rows, cols = (side // 8 for side in product.shape)
    blocks = product[: rows * 8, : cols * 8].reshape(rows, 8, cols, 8)
    columns = np.zeros((rows, cols, 8))
    for row in range(8):
        columns += blocks[:, row]
    total = np.zeros((rows, cols))
    for col in range(8):
        total += columns[:, :, col]
    return total


@every_case
@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (21, 33), (40, 72)])
def test_facts_are_to_the_last_bit_those_of_one_pass_after_another(rule, scale, shape):
    # Ingest goes row by row so that it stays in the cache; no published byte may show it.
    generator = np.random.default_rng(scale)
    size = tuple(side * scale for side in shape)
    reference, restored = generator.integers(0, 256, (2, *size), np.uint8)
    held = hold(reference, rule, scale)
    lr, unit = held.lr, held.lr.kernel.denominator
    ranges = []
    for image in (reference, restored):
        down, across = (
            np.rint(make_matrix(rule, scale, side) * unit).astype(np.int64) for side in size
        )
        made = down @ image.astype(np.int64) @ across.T
        assert np.array_equal(lr.judge(image).made, made)
        solved = solve_plainly(made / unit**2, lr.rows.factor)
        solved = solve_plainly(solved.T, lr.cols.factor)
        half = expand_plainly(solved, lr.cols, unit).T
        ranges.append(expand_plainly(half, lr.rows, unit))
    assert np.array_equal(held.range, ranges[0])
    x_null, y_null = reference - ranges[0], restored - ranges[1]
    bent = ranges[1] - ranges[0]
    facts = held.measure(restored)
    assert np.array_equal(held.columns["null_energy"], fold_plainly(x_null * x_null))
    assert np.array_equal(facts["null_energy"], fold_plainly(y_null * y_null))
    assert np.array_equal(facts["null_product"], fold_plainly(x_null * y_null))
    assert np.array_equal(facts["bent"], fold_plainly(bent * bent))


@pytest.mark.parametrize(("rule", "scale"), SPLITTING)
def test_the_energies_of_an_image_add_up_to_its_squared_error(rule, scale):
    side = 24 * scale  # whole blocks at every scale
    reference = make_smooth((side, side))
    restored = cv2.GaussianBlur(reference, (0, 0), 1)
    facts = measure(reference, restored, rule, scale, margin=0)
    null = facts["null_energy"] + facts["reference_null"] - 2 * facts["null_product"]
    error = ((restored.astype(float) - reference) ** 2).sum()
    assert facts["bent"] + null == pytest.approx(error, rel=1e-6)


@pytest.mark.parametrize(("scale", "part"), [(2, 1 / 4), (4, 1 / 16)])
def test_noise_splits_as_the_dimensions_of_the_two_spaces(scale, part):
    reference = make_smooth((512, 512), sigma=4) // 2 + 60
    noise = np.rint(np.random.default_rng(3).normal(0, 4, reference.shape))
    restored = (reference + noise).astype(np.uint8)
    facts = measure(reference.astype(np.uint8), restored, scale=scale)
    null = facts["null_energy"] + facts["reference_null"] - 2 * facts["null_product"]
    assert facts["bent"] / (facts["bent"] + null) == pytest.approx(part, rel=0.03)


def test_damage_of_a_known_kind_is_called_by_its_name(sample_reference):
    blurred = cv2.GaussianBlur(sample_reference, (0, 0), 1)
    sharpened = np.clip(2.0 * sample_reference - blurred, 0, 255).astype(np.uint8)
    lost = measure(sample_reference, blurred)
    # Of its own unseen detail b is left: too little, or too much.
    assert lost["null_product"] / lost["reference_null"] < 0.3
    gained = measure(sample_reference, sharpened)
    assert gained["null_product"] / gained["reference_null"] > 1.5
    same = measure(sample_reference, sample_reference)
    assert same["bent"] == 0
    assert same["null_product"] == same["null_energy"] == same["reference_null"]
    assert same["lr_contradicted"] == 0


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(
    "turn", [np.flipud, np.fliplr, np.transpose], ids=lambda turn: turn.__name__
)
def test_flips_and_transposes_permute_the_facts(turn, scale):
    # OpenCV's rule rounds once; Pillow's rounds columns first, which a transpose exchanges.
    reference = make_smooth((64, 96))
    restored = np.roll(reference, 1, axis=0)
    facts = hold(reference, "opencv_cubic", scale).measure(restored)
    turned = hold(np.ascontiguousarray(turn(reference)), "opencv_cubic", scale).measure(
        np.ascontiguousarray(turn(restored))
    )
    for name in ("lr_usable", "lr_contradicted", "lr_sum", "lr_largest"):
        assert np.array_equal(turn(facts[name]), turned[name]), name
    for name in ("null_energy", "null_product", "bent", "lr_square"):
        assert turned[name] == pytest.approx(turn(facts[name]), abs=1e-6), name


def test_colours_are_judged_with_the_wider_bound_and_every_channels_clamp():
    grey = np.full((32, 32), 100, np.uint8)
    lr = LrImage(make_lr(grey, 2, "antialiased"), "antialiased", 2)
    channels = np.stack([grey] * 3, axis=2)
    channels[16:, 16:, 2] = 0
    judged = lr.judge(grey, channels)
    assert judged.bound > lr.judge(grey).bound
    assert judged.is_clamped[12:14, 12:14].all()
    assert not judged.is_clamped[:4, :4].any()


def decode(encode_png, array):
    return decode_image(encode_png(array), ".png", 1 << 26, "reduce")


@pytest.fixture
def sample_reference(repository):
    return cv2.imread(
        str(repository / "sample" / "reference" / "rg1_r1c0.png"), cv2.IMREAD_GRAYSCALE
    )


@pytest.mark.parametrize("made_by", LR_RULES)
@pytest.mark.parametrize("stated", [None, *LR_RULES])
def test_a_rule_is_verified_refuted_or_found(
    tmp_path, encode_png, sample_reference, made_by, stated
):
    image = decode(encode_png, sample_reference)
    lr_image = decode(encode_png, make_lr(sample_reference, 2, made_by))
    reference, facts = find_lr(LrParameters(stated, 2, tmp_path), image, lr_image)
    is_right = stated in (None, made_by)
    assert facts["lr_rule_status"] == ("verified" if is_right else "refuted")
    assert (reference is not None) == is_right
    if is_right:
        assert (facts["lr_rule"], facts["lr_scale"], facts["lr_contradicted_px"]) == (made_by, 2, 0)
    else:
        assert facts["lr_contradicted_px"] > 0


@pytest.mark.parametrize("damage", ["jpeg", "other image", "a pixel off", "another rule"])
def test_an_lr_file_that_no_known_rule_made_proves_nothing(
    tmp_path, encode_png, sample_reference, damage
):
    image = decode(encode_png, sample_reference)
    grey = make_lr(sample_reference, 2, "antialiased")
    made = {
        "jpeg": lambda: cv2.imdecode(cv2.imencode(".jpg", grey)[1], cv2.IMREAD_GRAYSCALE),
        "other image": lambda: make_lr(np.flipud(sample_reference).copy(), 2, "antialiased"),
        "a pixel off": lambda: make_lr(np.roll(sample_reference, 1, axis=1), 2, "antialiased"),
        "another rule": lambda: cv2.resize(
            sample_reference, (256, 256), interpolation=cv2.INTER_AREA
        ),
    }[damage]()  # fmt: skip
    for stated in (None, "antialiased"):
        parameters = LrParameters(stated, None, tmp_path)
        reference, facts = find_lr(parameters, image, decode(encode_png, made))
        assert reference is None
        assert facts["lr_rule_status"] == ("unknown" if stated is None else "refuted")
        assert "LR pixels contradicted" in facts["lr_detail"]


def test_without_an_lr_file_the_rule_makes_one_or_says_why_not(tmp_path, encode_png):
    image = decode(encode_png, make_smooth((48, 64)))
    reference, facts = find_lr(LrParameters("antialiased", 2), image)
    assert reference is not None
    assert facts["lr_rule_status"] == "unverified"
    odd = decode(encode_png, make_smooth((48, 65)))
    assert find_lr(LrParameters("antialiased", 2), odd)[1]["lr_rule_status"] == "unfit"
    files = LrParameters(None, None, tmp_path)
    assert find_lr(files, image)[1]["lr_rule_status"] == "missing"
    assert find_lr(files, image, None, True)[1]["lr_rule_status"] == "rejected"
    colours = np.stack([make_smooth((24, 32), seed) for seed in range(3)], axis=2)
    assert find_lr(files, image, decode(encode_png, colours))[1]["lr_rule_status"] == "unknown"


@pytest.mark.shared_data
@every_case
def test_no_radiograph_contradicts_the_lr_image_that_was_made_of_it(shared_data, rule, scale):
    paths = sorted((shared_data / "nih120" / "reference").glob("*.png"))
    assert len(paths) == 120
    judged = 0
    # All at x2, a tenth at the other scales; 1024 px are cut to a multiple of 3.
    for path in paths if scale == 2 else paths[::10]:
        grey = decode_image(path.read_bytes(), ".png", 1 << 26, "reduce").grey
        side = grey.shape[0] // scale * scale
        grey = np.ascontiguousarray(grey[:side, :side])
        lr = LrImage(make_lr(grey, scale, rule), rule, scale)
        _, is_usable, is_contradicted = lr.find_contradictions(lr.judge(grey))
        assert not is_contradicted.any(), path.name
        judged += int(is_usable.sum())
    assert judged > (25_000_000 if scale == 2 else 500_000)


@pytest.mark.parametrize("scale", LR_SCALES)
@pytest.mark.parametrize("greys", [(0, 255), (0, 40), (215, 255), (30, 220)])
def test_pixels_that_the_rule_may_have_cut_are_those_whose_columns_come_near_to_it(scale, greys):
    generator = np.random.default_rng(scale)
    image = generator.integers(greys[0], greys[1] + 1, (16 * scale, 24 * scale), np.uint8)
    lr = LrImage(np.full((16, 24), 100, np.uint8), "antialiased", scale)
    columns = image @ make_matrix("antialiased", scale, image.shape[1]).T
    reach = float(find_kernel("antialiased", scale).gain - 1) / 2
    is_out = (columns < reach - 1e-9) | (columns > 255 - reach + 1e-9)
    reads = make_matrix("antialiased", scale, image.shape[0]) != 0
    # A tap of 0 in the middle is read too.
    reads = np.maximum.accumulate(reads, 1) & np.maximum.accumulate(reads[:, ::-1], 1)[:, ::-1]
    expected = (reads.astype(int) @ is_out.astype(int) > 0) & lr.is_inside
    assert np.array_equal(lr.judge(image).is_clamped & lr.is_inside, expected)
