"""What repeats comes out with its period; what does not, and what the reference has, does not."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage, signal

from upscale_audit.ingest.metrics import repetition
from upscale_audit.ingest.metrics.image_loops import take_medians
from upscale_audit.ingest.metrics.repetition import (
    LIMIT,
    cut_pieces,
    measure_repetition,
    profile_lines,
)

SAMPLE = Path(__file__).parents[3] / "sample"
CROPS = ("rg1_r0c0", "rg1_r0c1", "rg1_r1c0", "rg1_r1c1", "rg1_r2c0", "rg1_r2c1")


def read_grey(*place):
    return cv2.imread(str(SAMPLE.joinpath(*place)), cv2.IMREAD_GRAYSCALE)


def measure(reference, restored):
    return measure_repetition(profile_lines(reference), profile_lines(restored))


def store(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def draw_tissue(shape, seed=0):
    """Smooth structure and fine noise, as a radiograph has."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(0, 1, shape), 12)
    return store(128 + 40 * smooth / smooth.std() + rng.normal(0, 2, shape))


def draw_pink(shape, rng):
    """Noise whose power falls with the square of the frequency, standard deviation 1."""
    rows, cols = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    spectrum = np.fft.rfft2(rng.normal(size=shape)) / np.maximum(np.hypot(rows, cols), 1 / 512)
    noise = np.fft.irfft2(spectrum, s=shape)
    return noise / noise.std()


def resize(image, factor, method):
    rows, cols = image.shape
    small = cv2.resize(image, (cols // factor, rows // factor), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (cols, rows), interpolation=method)


@pytest.fixture(scope="module")
def radiograph():
    return read_grey("reference", "rg1_r1c0.png")


# ---- the equation


def naive_levels(pieces, noise):
    """Welch's mean spectrum with SciPy's window and filter, one piece at a time."""
    length = len(pieces[0])
    window = signal.windows.cosine(length) ** 2
    mean = 0
    for piece in pieces:
        power = np.abs(np.fft.fft((piece - np.mean(piece)) * window)[: length // 2 + 1]) ** 2
        power += noise * np.sum(window**2)
        mean = mean + power / np.mean(power[length // 16 :]) / len(pieces)
    around = 2 * (length // 32) + 1
    return mean / ndimage.median_filter(mean, size=around, mode="mirror")


def naive_strength(reference, restored, pieces_of):
    def steps(piece):
        size = np.abs(np.diff(piece))
        return np.append(size, size[-1])

    best = 1.0
    for turned in (False, True):
        x, y = (pieces_of(image.T if turned else image) for image in (reference, restored))
        for look, shortest in ((lambda piece: piece, 2), (steps, 3)):
            change, own, before = (
                naive_levels([look(piece) for piece in pieces], noise)
                for pieces, noise in ((y - x, 1), (y, 1 / 12), (x, 1 / 12))
            )
            length = x.shape[1]
            for place in range(length // 16, length // shortest + 1):
                best = max(best, min(change[place], own[place] / before[place]))
    return best


def naive_pieces(image, length, places, count):
    golden = (math.sqrt(5) - 1) / 2
    rows = [math.floor((row + (row**2 * golden) % 1) * len(image) / count) for row in range(count)]
    spare = image.shape[1] - length
    starts = [spare * place // max(places - 1, 1) for place in range(places)]
    return np.array([image[row, start : start + length] for start in starts for row in rows], float)


@pytest.mark.parametrize(
    ("shape", "along", "across"),
    [
        ((512, 512), (512, 1, 256), (512, 1, 256)),
        ((130, 300), (256, 2, 128), (128, 2, 128)),
        ((128, 128), (128, 1, 128), (128, 1, 128)),
    ],
    ids=str,
)
@pytest.mark.parametrize("quality", [30, 90])
def test_strength_equals_its_equation(shape, along, across, quality):
    reference = draw_tissue(shape)
    code = cv2.imencode(".jpg", reference, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    restored = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)

    def pieces_of(image):
        return naive_pieces(image, *(along if image.shape == shape else across))

    wanted = naive_strength(reference, restored, pieces_of)
    assert measure(reference, restored)[0] == pytest.approx(wanted, rel=1e-10)
    assert wanted > 1


def test_a_checkerboard_by_hand():
    flat = np.full((128, 128), 100, np.uint8)
    board = flat + 10 * (np.indices(flat.shape).sum(0) % 2).astype(np.uint8)
    # 5 dn about the mean, the window sums to 64: a power of (5 * 64)^2 over 128 * 3/8 of noise.
    assert measure(flat, board) == (pytest.approx(1 + 320**2 / 48, rel=1e-12), 2.0)


def test_what_did_not_change_repeats_nothing(radiograph):
    assert measure(radiograph, radiograph.copy()) == (1.0, None)
    flat = np.full((130, 140), 30, np.uint8)
    assert measure(flat, flat) == (1.0, None)
    assert measure(flat, flat + 4) == (1.0, None)


# ---- what repeats


def grid(radiograph):
    code = cv2.imencode(".jpg", radiograph, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return cv2.imdecode(code, cv2.IMREAD_GRAYSCALE)


def tile(radiograph):
    pattern = np.random.default_rng(3).normal(0, 1, (6, 6))
    noise = np.random.default_rng(4).normal(0, 2, radiograph.shape)
    return store(radiograph + np.tile(pattern, (86, 86))[:512, :512] + noise)


def sine(radiograph):
    noise = np.random.default_rng(4).normal(0, 2, radiograph.shape)
    return store(radiograph + np.sin(2 * np.pi * np.arange(512) / 5) + noise)


def checkerboard(radiograph):
    noise = np.random.default_rng(4).normal(0, 2, radiograph.shape)
    return store(radiograph + (-1.0) ** np.indices(radiograph.shape).sum(0) + noise)


def nearest_2(radiograph):
    return resize(radiograph, 2, cv2.INTER_NEAREST)


def nearest_4(radiograph):
    return resize(radiograph, 4, cv2.INTER_NEAREST)


@pytest.mark.parametrize(
    ("damage", "period"),
    [(grid, 8), (tile, 6), (sine, 5), (checkerboard, 2), (nearest_2, 2), (nearest_4, 4)],
)
def test_what_repeats_comes_out_with_its_period(radiograph, damage, period):
    strength, found = measure(radiograph, damage(radiograph))
    assert strength > 1.7
    # Doubled pixels widen their line to both sides of 2 px, of which one does not exist.
    assert found == pytest.approx(period, rel=0.02 if damage is nearest_2 else 0.003)


@pytest.mark.parametrize("name", CROPS)
def test_tta_takes_away_what_animevideov3_repeats(name):
    reference = read_grey("reference", f"{name}.png")
    paths = ("restored", "realesr_animevideov3")
    strength, period = measure(reference, read_grey(*paths, "notta", f"{name}.png"))
    assert strength > 1.25
    assert period == (2.0 if strength >= LIMIT else None)
    assert measure(reference, read_grey(*paths, "tta", f"{name}.png"))[0] < 1.25


def test_columns_are_looked_at_like_rows(radiograph):
    restored = sine(radiograph)
    assert measure(radiograph.T, restored.T) == measure(radiograph, restored)


def test_a_pattern_of_a_part_is_weaker(radiograph):
    part = radiograph.copy()
    part[:128] = checkerboard(radiograph)[:128]
    whole, found = measure(radiograph, checkerboard(radiograph))[0], measure(radiograph, part)
    assert LIMIT < found[0] < 0.6 * whole
    assert found[1] == 2.0


# ---- what does not


@pytest.mark.parametrize(
    "harmless",
    [
        lambda image: cv2.GaussianBlur(image, (0, 0), 1),
        lambda image: cv2.GaussianBlur(image, (0, 0), 2),
        lambda image: cv2.medianBlur(image, 5),
        lambda image: store(2.0 * image - cv2.GaussianBlur(image.astype(float), (0, 0), 1.5)),
        lambda image: store(image + np.random.default_rng(1).normal(0, 4, image.shape)),
        lambda image: store(image + 4 * draw_pink(image.shape, np.random.default_rng(1))),
        lambda image: resize(image, 2, cv2.INTER_LANCZOS4),
        lambda image: resize(image, 4, cv2.INTER_LANCZOS4),
        lambda image: resize(image, 2, cv2.INTER_CUBIC),
        lambda image: resize(image, 4, cv2.INTER_LINEAR),
    ],
    ids=["blur", "strong blur", "median", "unsharp", "white", "pink", "lanczos", "lanczos 4",
         "cubic", "linear 4"],
)  # fmt: skip
@pytest.mark.parametrize("name", CROPS)
def test_what_does_not_repeat_stays_below_the_limit(name, harmless):
    image = read_grey("reference", f"{name}.png")
    strength, period = measure(image, harmless(image))
    assert strength < 1.35
    assert period is None


@pytest.mark.parametrize("side", [128, 256, 512])
def test_noise_of_any_colour_and_size_is_no_repetition(side):
    rng = np.random.default_rng(side)
    strengths = []
    for number in range(60 if side == 512 else 200):
        reference = draw_tissue((side, side), number)
        colour = (rng.normal(size=reference.shape), draw_pink(reference.shape, rng))[number % 2]
        strengths.append(measure(reference, store(reference + (2, 8, 20)[number % 3] * colour))[0])
    assert np.mean(np.array(strengths) >= LIMIT) <= 0.01
    # The limit is not out of reach of what the smallest images draw.
    assert 1.05 < np.median(strengths) < 1.3


# ---- what the reference has


def test_a_grid_of_the_reference_is_not_charged_to_the_model(radiograph):
    gridded = store(radiograph + 6.0 * (np.arange(512) % 8 == 0))
    lost = cv2.blur(gridded, (9, 9))
    sharpened = store(1.5 * gridded - 0.5 * cv2.GaussianBlur(gridded, (0, 0), 1.5))
    noisy = store(gridded + np.random.default_rng(2).normal(0, 3, gridded.shape))
    for restored in (gridded, lost, radiograph, sharpened, noisy):
        assert measure(gridded, restored)[0] < LIMIT
    strength, period = measure(radiograph, gridded)
    assert strength > 5
    assert period == pytest.approx(8, rel=1e-3)
    # Nor does it hide another pattern that the model adds.
    assert measure(gridded, checkerboard(gridded))[1] == 2.0


# ---- what is looked at


def test_pieces_cover_a_row_and_meet_short_periods_at_every_phase():
    rows, cols = np.indices((1024, 1000), np.int32)
    pieces = cut_pieces(cols)
    assert pieces.shape == (256, 512)
    assert set(np.unique(pieces)) == set(range(1000))
    for size in (512, 1024, 2048, 3000):
        rows = np.indices((size, 1024), np.int32)[0]
        chosen = cut_pieces(rows)[:, 0]
        assert len(chosen) == 256
        assert chosen[0] < size / 100
        assert chosen.max() > size * 0.98
        for period in range(2, 17):
            phases = np.bincount(chosen % period, minlength=period)
            assert 0.1 * phases.mean() < phases.min() <= phases.max() < 3 * phases.mean()


def test_an_image_under_128_px_has_no_value(radiograph):
    assert measure(radiograph[:127], radiograph[:127]) == (None, None)
    assert measure(radiograph[:, :127], radiograph[:, :127]) == (None, None)
    assert measure(radiograph[:16, :24], radiograph[:16, :24]) == (None, None)
    assert measure(radiograph[:128, :128], grid(radiograph)[:128, :128])[0] > 1


@pytest.mark.parametrize(("size", "reach"), [(5, 4), (65, 4), (257, 16)])
def test_medians_are_numpys_of_a_mirrored_line(size, reach):
    generator = np.random.default_rng(size)
    for values in (generator.random(size), generator.integers(1, 4, size).astype(float)):
        wide = np.pad(values, reach, mode="reflect")
        around = np.lib.stride_tricks.sliding_window_view(wide, 2 * reach + 1)
        np.testing.assert_array_equal(take_medians(values, reach), np.median(around, axis=1))


def test_constants_are_what_is_documented():
    assert (repetition.LEAST_PX, repetition.LONGEST_PERIOD_PX) == (128, 16)
    assert (repetition.SHORTEST_STEP_PERIOD_PX, repetition.NOISE_DN2) == (3, 1.0)
