"""Linear and non-linear parts, against linear networks and one of known curvature."""

import cv2
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.hyra.impulse import measure_impulse
from upscale_audit.restore.hyra.parts import (
    Parts,
    fit_linear_part,
    measure_linear_energy,
    split_parts,
    superpose,
)


# At scale 3 OpenCV rounds its own weights differently from pixel to pixel.
@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize(
    "interpolation", [cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]
)
def test_a_linear_upsampler_leaves_no_residual(networks, small, grey, scale, interpolation):
    network = networks["Resize"](scale, interpolation)
    parts = split_parts(network, measure_impulse(network, small, 1 / 255), grey)
    assert np.abs(parts.nonlinear).max() < 1e-12
    assert parts.margin_px == small.radius_px * scale
    assert parts.restored.shape == tuple((side - 10) * scale for side in grey.shape)


def test_a_kernel_without_any_symmetry_leaves_no_residual(networks, small, grey):
    kernel = np.random.default_rng(3).normal(size=(15, 15))
    network = networks["Kernel"](3, kernel)
    parts = split_parts(network, measure_impulse(network, small, 1 / 255), grey)
    assert np.abs(parts.nonlinear).max() < 1e-12 * np.abs(kernel).sum()


def test_the_nonlinear_part_of_a_squared_network_is_its_square_around_the_base(
    networks, small, grey
):
    cubic, curvature = networks["Resize"](2, cv2.INTER_CUBIC), 0.3
    network = networks["Squared"](cubic, curvature)
    parts = split_parts(network, measure_impulse(network, small, 16 / 255), grey)
    margin = parts.margin_px
    linear = cv2.resize(grey, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    linear = linear[margin:-margin, margin:-margin]
    np.testing.assert_allclose(
        parts.nonlinear, curvature * (linear - small.base) ** 2, rtol=0, atol=1e-12
    )
    measured = measure_linear_energy(parts)
    assert measured["nonlin_rms_dn"] == pytest.approx(
        255 * curvature * np.sqrt(((linear - small.base) ** 4).mean())
    )


def test_energies_by_hand():
    linear, nonlinear = np.array([[1.0, 2.0]]), np.array([[0.0, 1.0]])
    found = measure_linear_energy(Parts(linear + nonlinear, linear, nonlinear, 0))
    assert found["hyra_lin_energy"] == pytest.approx(5 / 10)
    assert found["hyra_lin_contrast"] == pytest.approx(0.25 / 1)
    assert found["nonlin_rms_dn"] == pytest.approx(255 * np.sqrt(0.5))


def test_black_has_no_energy_and_a_flat_image_no_contrast():
    black, flat = np.zeros((2, 2)), np.full((2, 2), 0.5)
    assert measure_linear_energy(Parts(black, black, black, 0))["hyra_lin_energy"] is None
    found = measure_linear_energy(Parts(flat, flat, black, 0))
    assert (found["hyra_lin_energy"], found["hyra_lin_contrast"]) == (1.0, None)


def test_an_image_smaller_than_the_response_is_an_error(networks, small):
    network = networks["Resize"](2, cv2.INTER_CUBIC)
    impulse = measure_impulse(network, small, 1 / 255)
    assert superpose(impulse, np.zeros((11, 12))).shape == (2, 4)
    with pytest.raises(StudyError, match="more than 10 px a side, found 12x10"):
        superpose(impulse, np.zeros((10, 12)))


def test_the_best_linear_filter_of_a_linear_network_is_the_network(networks, small, grey):
    network = networks["Resize"](2, cv2.INTER_CUBIC)
    parts = split_parts(network, measure_impulse(network, small, 1 / 255), grey)
    np.testing.assert_allclose(fit_linear_part(parts, grey, 2), parts.restored, atol=1e-10)


def test_the_best_linear_filter_is_least_squares_on_81_pixels(networks, small, grey):
    network = networks["Squared"](networks["Resize"](2, cv2.INTER_CUBIC), 0.5)
    parts = split_parts(network, measure_impulse(network, small, 1 / 255), grey)
    fitted = fit_linear_part(parts, grey, 2)
    rows, cols = (side // 2 for side in parts.restored.shape)
    windows = np.array(
        [grey[row + 1 : row + 10, col + 1 : col + 10].ravel() for row in range(rows)
         for col in range(cols)]
    )  # fmt: skip
    for row, col in ((0, 0), (0, 1), (1, 0), (1, 1)):
        wanted = parts.restored[row::2, col::2].ravel()
        oracle = LinearRegression().fit(windows, wanted).predict(windows)
        np.testing.assert_allclose(fitted[row::2, col::2].ravel(), oracle, atol=1e-10)


def test_a_margin_narrower_than_the_filter_is_an_error(grey):
    parts = Parts(np.zeros((68, 54)), np.zeros((68, 54)), np.zeros((68, 54)), 6)
    with pytest.raises(StudyError, match="margin of 4 LR px"):
        fit_linear_part(parts, grey, 2)
