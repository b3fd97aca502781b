"""Losses against independent libraries and the equations written out."""

import numpy as np
import pytest

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)

from upscale_audit.restore.codec.losses import measure_divergence, measure_loss, measure_ssim  # noqa: E402


@pytest.fixture(scope="module")
def pair(sample_pairs):
    return [image[100:260, 60:200] for image in sample_pairs["upscayl_digital"]]


def batch(*images):
    return [torch.from_numpy(image.astype(np.float32) / 255)[None, None] for image in images]


def test_ssim_is_scikit_images_on_the_valid_region(pair):
    from skimage.metrics import structural_similarity

    _, full = structural_similarity(
        *pair,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=255,
        full=True,
    )
    found = measure_ssim(*batch(*pair), data_range=1.0).item()
    assert found == pytest.approx(full[5:-5, 5:-5].mean(), abs=2e-6)


def test_ssim_is_the_equation_written_naively(pair):
    first, second = (image[:13, :12].astype(np.float64) for image in pair)
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / np.outer(line, line).sum()
    values = []
    for row in range(3):
        for col in range(2):
            one, two = (image[row : row + 11, col : col + 11] for image in (first, second))
            mean_one, mean_two = (window * one).sum(), (window * two).sum()
            var_one = (window * (one - mean_one) ** 2).sum()
            var_two = (window * (two - mean_two) ** 2).sum()
            covariance = (window * (one - mean_one) * (two - mean_two)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append(
                (2 * mean_one * mean_two + c1)
                * (2 * covariance + c2)
                / ((mean_one**2 + mean_two**2 + c1) * (var_one + var_two + c2))
            )
    exact = [torch.from_numpy(image)[None, None] for image in (first, second)]
    assert measure_ssim(*exact, data_range=255.0).item() == pytest.approx(
        np.mean(values), abs=1e-12
    )


def test_ssim_of_a_batch_is_the_mean_over_its_images(pair):
    first, second = batch(*pair)
    both = measure_ssim(
        torch.cat([first, second]), torch.cat([second, second]), data_range=1.0
    ).item()
    alone = measure_ssim(first, second, data_range=1.0).item()
    assert both == pytest.approx((alone + 1) / 2, abs=1e-6)


def test_ssim_refuses_images_below_its_window():
    small = torch.zeros(1, 1, 10, 20)
    with pytest.raises(ValueError, match="11 px"):
        measure_ssim(small, small, data_range=1.0)


def test_losses_are_what_their_names_say(pair):
    restored, image = (plane - 0.5 for plane in batch(*pair))
    difference = (pair[0].astype(float) - pair[1]) / 255
    unexplained = np.mean(difference**2) / 0.02
    dissimilarity = 1 - measure_ssim(*batch(*pair), data_range=1.0).item()
    expected = {"mse": unexplained, "ssim": dissimilarity}
    expected["mixed"] = (unexplained + dissimilarity) / 2
    for loss, value in expected.items():
        found = measure_loss(restored, image, loss=loss, variance=0.02).item()
        assert found == pytest.approx(value, rel=1e-4)
        assert measure_loss(image, image, loss=loss, variance=0.02).item() == pytest.approx(
            0, abs=1e-6
        )


def test_the_gradient_of_the_ssim_loss_is_the_difference_quotient():
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 1, 12, 11, generator=generator, dtype=torch.float64)
    restored = torch.rand(1, 1, 12, 11, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda values: measure_loss(values, image, loss="ssim", variance=1.0),
        restored.requires_grad_(),
        fast_mode=True,
    )


def test_the_divergence_is_torchs_and_zero_for_the_prior():
    generator = torch.Generator().manual_seed(2)
    mean = torch.randn(3, 2, 4, 5, generator=generator)
    log_variance = torch.randn(3, 2, 4, 5, generator=generator)
    normal = torch.distributions.Normal(mean, torch.exp(log_variance / 2))
    prior = torch.distributions.Normal(torch.zeros(()), torch.ones(()))
    expected = torch.distributions.kl_divergence(normal, prior).sum(dim=(1, 2, 3)).mean()
    assert measure_divergence(mean, log_variance).item() == pytest.approx(expected.item(), rel=1e-5)
    zero = torch.zeros(1, 1, 2, 2)
    assert measure_divergence(zero, zero).item() == 0
