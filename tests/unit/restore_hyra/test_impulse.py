"""Impulse responses: known kernels, known curvature, and what is said of them."""

import cv2
import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.hyra.impulse import (
    Impulse,
    ImpulseParameters,
    describe_impulse,
    find_zero_crossings,
    list_offsets,
    measure_impulse,
    measure_impulses,
    measure_phase_gains,
    run_network,
    take_profiles,
)


def pad_kernel(kernel, scale, radius):
    """Put a kernel in the middle of a response of `radius` cells."""
    around = radius * scale - (kernel.shape[0] // scale - 1) // 2 * scale
    return np.pad(kernel, around)


def make_impulse(response, scale):
    radius = (response.shape[0] // scale - 1) // 2
    return Impulse(response, np.full((scale, scale), 0.5), scale, radius, 0.5, 0.01, 0.0, 0.0, 0.0)


def make_sinc(scale, radius):
    places = np.arange((2 * radius + 1) * scale) - radius * scale - (scale - 1) / 2
    return np.outer(np.sinc(places / scale), np.sinc(places / scale))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_response_of_any_kernel_is_that_kernel_at_its_phase(networks, small, scale):
    kernel = np.random.default_rng(scale).normal(size=(5 * scale, 5 * scale))
    impulse = measure_impulse(networks["Kernel"](scale, kernel), small, 1 / 255)
    expected = pad_kernel(kernel, scale, small.radius_px)
    np.testing.assert_allclose(impulse.response, expected, atol=1e-11)
    cells = kernel.reshape(5, scale, 5, scale).sum(axis=(0, 2))
    np.testing.assert_allclose(measure_phase_gains(impulse), cells, atol=1e-11)
    np.testing.assert_allclose(impulse.flat, 0.5 * cells, atol=1e-12)
    assert impulse.tail_energy_ratio == pytest.approx(0, abs=1e-12)
    assert impulse.step_spread == pytest.approx(0, abs=1e-10)
    assert impulse.position_spread == pytest.approx(0, abs=1e-10)


def test_what_lies_beyond_the_radius_is_told(networks):
    kernel = np.ones((10, 10))
    parameters = ImpulseParameters(radius_px=1, guard_px=3)
    impulse = measure_impulse(networks["Kernel"](2, kernel), parameters, 1 / 255)
    assert impulse.tail_energy_ratio == pytest.approx(1 - 36 / 100)


def test_rows_of_two_kinds_are_averaged_and_their_distance_is_told(networks, small):
    kernel = np.ones((2, 2))
    network = networks["Kernel"](2, kernel, gains=(1.0, 1.1))
    impulse = measure_impulse(network, small, 1 / 255)
    np.testing.assert_allclose(
        impulse.response, pad_kernel(1.05 * kernel, 2, small.radius_px), atol=1e-12
    )
    assert impulse.position_spread == pytest.approx(0.05 / 1.05)


def test_curvature_cancels_in_the_mean_and_shows_between_up_and_down(networks, small):
    cubic = networks["Resize"](2, cv2.INTER_CUBIC)
    linear = measure_impulse(cubic, small, 1 / 255).response
    curvature, step = 0.3, 16 / 255
    impulse = measure_impulse(networks["Squared"](cubic, curvature), small, step)
    slope = 1 + 2 * curvature * small.base
    np.testing.assert_allclose(impulse.response, slope * linear, atol=1e-12)
    spread = step * curvature * np.linalg.norm(linear**2) / (slope * np.linalg.norm(linear))
    assert impulse.step_spread == pytest.approx(spread)


def test_a_network_is_asked_on_three_equal_planes_and_answers_in_rec_601():
    class Tint:
        scale = 1

        def forward(self, planes):
            assert planes.dtype == np.float32
            assert np.array_equal(planes[0], planes[1])
            assert np.array_equal(planes[0], planes[2])
            return planes * np.float32([[[1]], [[2]], [[4]]])

    grey = np.full((3, 4), 0.5)
    expected = 0.5 * (0.299 + 2 * 0.587 + 4 * 0.114)
    np.testing.assert_allclose(run_network(Tint(), grey), expected, rtol=1e-7)


def test_every_height_gets_its_response(networks, small):
    impulses = measure_impulses(networks["Resize"](2, cv2.INTER_CUBIC), small)
    assert [impulse.step for impulse in impulses] == list(small.steps)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_sinc_crosses_zero_every_scale_pixels(scale):
    described = describe_impulse(make_impulse(make_sinc(scale, 8), scale))
    # Between pixels the profile is taken to be straight.
    assert described["zero_crossing_px"] == pytest.approx(scale, abs=0.13)
    assert described["zero_spacing_px"] == pytest.approx(scale, abs=0.13)
    assert described["side_lobe"] < -0.1


def test_nearest_neighbour_has_no_side_lobe_and_gain_one(networks, small):
    impulse = measure_impulse(networks["Resize"](2, cv2.INTER_NEAREST), small, 1 / 255)
    described = describe_impulse(impulse)
    assert described["zero_crossing_px"] is None
    assert described["zero_spacing_px"] is None
    assert described["side_lobe"] == 0
    assert (described["gain_min"], described["gain_max"]) == pytest.approx((1, 1))
    assert described["flat_shift_dn"] == pytest.approx(0, abs=1e-12)
    assert described["flat_range_dn"] == pytest.approx(0, abs=1e-12)


def test_phases_of_unequal_gain_give_a_flat_area_a_pattern(networks, small):
    kernel = np.array([[1.0, 1.0], [1.0, 0.8]])
    described = describe_impulse(measure_impulse(networks["Kernel"](2, kernel), small, 1 / 255))
    assert (described["gain_min"], described["gain_max"]) == pytest.approx((0.8, 1))
    assert described["flat_range_dn"] == pytest.approx(0.2 * 127.5)
    assert described["flat_shift_dn"] == pytest.approx(-0.05 * 127.5)


def test_profiles_pass_through_the_centre_of_the_lr_pixel():
    response = np.arange(36.0).reshape(6, 6)
    even = make_impulse(response, 2)
    np.testing.assert_array_equal(list_offsets(even), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    np.testing.assert_array_equal(take_profiles(even)[0], response[2:4].mean(axis=0))
    odd = make_impulse(np.arange(81.0).reshape(9, 9), 3)
    assert list_offsets(odd)[4] == 0
    np.testing.assert_array_equal(take_profiles(odd)[1], odd.response[:, 4])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 0.5, -0.5, -0.1, 0.1], [[], [1.5, 3.5]]),
        ([1.0, 0.0, -0.5, 0.0, 0.0], [[], [1.0]]),
        ([1.0, 1e-5, -1e-5, 1e-5, 0.0], [[], []]),
    ],
)
def test_a_zero_crossing_lies_between_lobes_and_rounding_is_no_lobe(values, expected):
    offsets = np.arange(-4.0, 5.0)
    profile = np.concatenate([np.ones(4), values])
    assert find_zero_crossings(profile, offsets)[0] == expected[0]
    assert find_zero_crossings(profile, offsets)[1] == pytest.approx(expected[1])


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (np.zeros((3, 5, 5)), r"expected planes of \(3, 8, 8\)"),
        (np.full((3, 8, 8), np.nan), "192 others"),
    ],
)
def test_an_answer_of_another_kind_is_an_error(output, message):
    class Wrong:
        scale = 2

        def forward(self, planes):
            return output

    with pytest.raises(StudyError, match=message):
        run_network(Wrong(), np.zeros((4, 4)))


def test_a_network_that_does_not_answer_an_impulse_is_an_error(networks, small):
    with pytest.raises(StudyError, match="changes nothing"):
        measure_impulse(networks["Kernel"](2, np.zeros((2, 2))), small, 1 / 255)


@pytest.mark.parametrize(
    "given",
    [
        {"steps": ()},
        {"steps": (0.0,)},
        {"steps": (0.2, 0.1)},
        {"steps": (0.6,)},
        {"base": 0.0},
        {"radius_px": 0},
        {"guard_px": -1},
    ],
)
def test_parameters_out_of_range_are_refused(given):
    with pytest.raises(ValueError, match="expected"):
        ImpulseParameters(**given)
