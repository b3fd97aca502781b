"""Power by frequency, against the discrete transform written out and lines at known places."""

import numpy as np
import pytest

from upscale_audit.restore.hyra.spectra import (
    RING_COUNT,
    compare_bands,
    list_frequencies,
    measure_rings,
    transform,
)


def make_wave(frequency, shape=(128, 96), axis=0):
    places = np.arange(shape[axis]).reshape((-1, 1) if axis == 0 else (1, -1))
    return 0.5 + 0.1 * np.cos(2 * np.pi * frequency * places) + np.zeros(shape)


def test_the_transform_is_the_windowed_sum_over_all_pixels():
    grey = np.random.default_rng(1).random((6, 5))
    window = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in grey.shape))
    deviations = 255 * (grey - np.average(grey, weights=window)) * window
    rows, cols = np.mgrid[:6, :5]
    expected = [
        [(deviations * np.exp(-2j * np.pi * (u * rows / 6 + v * cols / 5))).sum() for v in range(5)]
        for u in range(6)
    ]
    expected = np.array(expected) / np.sqrt(30 * (window**2).sum())
    np.testing.assert_allclose(transform(grey), expected, atol=1e-12)
    power = (np.abs(transform(grey)) ** 2).sum()
    assert power == pytest.approx((deviations**2).sum() / (window**2).sum())
    assert abs(transform(grey)[0, 0]) < 1e-12


def test_the_variance_of_white_noise_is_its_power_at_every_frequency():
    noise = np.random.default_rng(2).normal(0.5, 4 / 255, (256, 256))
    rings = measure_rings(transform(noise))
    assert rings.mean() == pytest.approx(16, rel=0.05)
    assert rings[1:].std() < 4


@pytest.mark.parametrize(("frequency", "axis"), [(13 / 128, 0), (30 / 96, 1)])
def test_a_wave_lies_in_the_ring_of_its_frequency(frequency, axis):
    rings = measure_rings(transform(make_wave(frequency, axis=axis)))
    assert rings.argmax() == int(2 * RING_COUNT * frequency)


def test_the_frequency_is_the_larger_of_both_and_rings_without_coefficients_are_empty():
    frequencies = list_frequencies((8, 8))
    assert frequencies[1, 3] == 3 / 8
    assert frequencies[4, 0] == 0.5
    rings = measure_rings(np.ones((8, 8), complex))
    assert np.isfinite(rings).sum() == 5


def test_shares_powers_and_correlation_above_nyquist():
    low, high = make_wave(10 / 128), make_wave(40 / 128)
    both = low + high - 0.5
    spectra = {"low": low, "high": high, "both": both, "other": 1 - high}
    spectra = {name: transform(image) for name, image in spectra.items()}
    found = compare_bands(spectra["both"], spectra["high"], spectra["low"], spectra["other"], 2)
    assert found["reference_hf_ratio"] == pytest.approx(0.5, abs=1e-6)
    assert found["restored_hf_ratio"] == pytest.approx(1, abs=1e-6)
    assert found["linear_hf_ratio"] == pytest.approx(0, abs=1e-6)
    assert found["hyra_nonlin_hf"] == pytest.approx(1, abs=1e-6)
    assert found["restored_hf_gain"] == pytest.approx(1, abs=1e-6)
    assert found["linear_hf_gain"] == pytest.approx(0, abs=1e-6)
    assert found["hf_correlation"] == pytest.approx(1, abs=1e-6)
    opposite = compare_bands(spectra["both"], spectra["other"], spectra["low"], spectra["low"], 2)
    assert opposite["hf_correlation"] == pytest.approx(-1, abs=1e-6)


def test_the_scale_moves_nyquist():
    wave = transform(make_wave(26 / 128))
    assert compare_bands(wave, wave, wave, wave, 2)["restored_hf_ratio"] < 1e-6
    assert compare_bands(wave, wave, wave, wave, 3)["restored_hf_ratio"] > 1 - 1e-6


def test_nothing_above_nyquist_is_null_and_so_is_a_share_of_rounding():
    flat, rounding = transform(np.full((16, 16), 0.5)), transform(1e-9 * make_wave(0.4, (16, 16)))
    found = compare_bands(np.zeros_like(flat), flat, flat, rounding, 2)
    assert found["reference_hf_ratio"] is None
    assert found["restored_hf_gain"] is None
    assert found["hf_correlation"] is None
    assert found["hyra_nonlin_hf"] is None
