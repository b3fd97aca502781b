"""What the codecs are trained for: squared error, structural similarity, both; the VAE's prior."""

import torch
from torch.nn import functional

WINDOW_PX, WINDOW_SIGMA_PX = 11, 1.5
SSIM_K1, SSIM_K2 = 0.01, 0.03


def measure_ssim(first: torch.Tensor, second: torch.Tensor, *, data_range: float) -> torch.Tensor:
    """Mean structural similarity of two batches, in their own precision.

    Parameters
    ----------
    first, second : torch.Tensor
        (B, 1, M, N), float; both sides at least 11 px.
    data_range : float
        Largest minus smallest possible value.

    Returns
    -------
    torch.Tensor
        Scalar, -1..1; differentiable.

    Raises
    ------
    ValueError
        A side is shorter than the window, or the shapes differ.

    Notes
    -----
    Gaussian window of 11 px and sigma 1.5, separable, valid region only, biased (weighted)
    variances, C1 = (0.01 L)^2, C2 = (0.03 L)^2. Deviation from the paper: none; its program
    halves large images first, this does not.

    References
    ----------
    Wang, Z. et al. (2004). Image quality assessment: from error visibility to structural
    similarity. IEEE TIP 13(4), 600-612. https://doi.org/10.1109/TIP.2003.819861
    """
    if first.shape != second.shape or min(first.shape[-2:]) < WINDOW_PX:
        raise ValueError(
            f"expected two batches of one shape, sides of {WINDOW_PX} px or more;"
            f" found {tuple(first.shape)} and {tuple(second.shape)}"
        )
    stacked = torch.cat([first, second, first * first, second * second, first * second], dim=1)
    means = _blur(stacked)
    mean_first, mean_second, square_first, square_second, product = means.chunk(5, dim=1)
    variance_first = square_first - mean_first * mean_first
    variance_second = square_second - mean_second * mean_second
    covariance = product - mean_first * mean_second
    c1, c2 = (SSIM_K1 * data_range) ** 2, (SSIM_K2 * data_range) ** 2
    luminance = (2 * mean_first * mean_second + c1) / (mean_first**2 + mean_second**2 + c1)
    structure = (2 * covariance + c2) / (variance_first + variance_second + c2)
    return (luminance * structure).mean()


def _blur(images: torch.Tensor) -> torch.Tensor:
    offset = torch.arange(WINDOW_PX, dtype=images.dtype, device=images.device) - WINDOW_PX // 2
    window = torch.exp(-(offset**2) / (2 * WINDOW_SIGMA_PX**2))
    window = (window / window.sum()).expand(images.shape[1], 1, 1, WINDOW_PX)
    groups = images.shape[1]
    rows = functional.conv2d(images, window, groups=groups)
    return functional.conv2d(rows, window.transpose(2, 3), groups=groups)


def measure_loss(
    restored: torch.Tensor, images: torch.Tensor, *, loss: str, variance: float
) -> torch.Tensor:
    """Distance of a batch from its references, dimensionless.

    Parameters
    ----------
    restored, images : torch.Tensor
        (B, 1, M, N), grey level / 255 - 0.5.
    loss : {"mse", "ssim", "mixed"}
    variance : float
        Of the training pixels on the same scale, above 0.

    Returns
    -------
    torch.Tensor
        Scalar: ``mse`` is the squared error over `variance` (the share not explained),
        ``ssim`` is 1 - SSIM, ``mixed`` is the mean of the two. [OWN]

    Notes
    -----
    SSIM is measured on grey level / 255, where its constants stand for a range of 1.
    """
    if loss == "mse":
        return functional.mse_loss(restored, images) / variance
    dissimilarity = 1 - measure_ssim(restored + 0.5, images + 0.5, data_range=1.0)
    if loss == "ssim":
        return dissimilarity
    return (functional.mse_loss(restored, images) / variance + dissimilarity) / 2


def measure_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    """Kullback-Leibler divergence of the latent's normals from the standard normal.

    Parameters
    ----------
    mean, log_variance : torch.Tensor
        (B, C, M, N)

    Returns
    -------
    torch.Tensor
        Scalar, nats per image, mean over the batch.

    References
    ----------
    Kingma, D. P. & Welling, M. (2014). Auto-encoding variational Bayes, appendix B.
    https://arxiv.org/abs/1312.6114
    """
    terms = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
    return terms.sum(dim=(1, 2, 3)).mean()
