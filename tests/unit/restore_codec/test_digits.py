"""The digits: PCA against scikit-learn, divergence and active units by hand, seeds that repeat."""

import math

import numpy as np
import pytest

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)
decomposition = pytest.importorskip("sklearn.decomposition", reason="pip install scikit-learn")

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.restore.codec import digits  # noqa: E402

TINY = digits.DigitPlan(latents=(2,), betas=(1.0, 1000.0), seeds=(0, 1), steps=150)


@pytest.fixture(scope="module")
def halves():
    return digits.load_digits()


@pytest.fixture(scope="module")
def rows(halves):
    return digits.run_digits(*halves, TINY)


def test_the_split_has_every_digit_image_once(halves):
    train, test = halves
    assert (len(train), len(test)) == (1347, 450)
    assert (train.shape[1], train.min(), train.max()) == (64, 0, 16)


def test_pca_rebuilds_as_scikit_learns(halves):
    train, test = halves
    model = decomposition.PCA(5, svd_solver="full").fit(train.astype(np.float64))
    restored, _ = digits.project_pca(train, test, 5)
    expected = model.inverse_transform(model.transform(test.astype(np.float64)))
    np.testing.assert_allclose(restored, expected, atol=1e-4)


def test_the_divergence_is_torchs():
    generator = torch.Generator().manual_seed(3)
    centre, log_variance = (torch.randn(7, 3, generator=generator) for _ in range(2))
    own = torch.distributions.Normal(centre, torch.exp(log_variance / 2))
    expected = torch.distributions.kl_divergence(own, torch.distributions.Normal(0.0, 1.0))
    found = digits.measure_divergences(centre, log_variance)
    torch.testing.assert_close(found, expected.mean(dim=0))


def test_a_unit_is_active_above_a_variance_of_a_hundredth():
    signs = np.array([[-1.0], [1.0]])
    codes = signs * np.array([0.0, 0.099, 0.101, 3.0])  # variances 0, 0.0098, 0.0102, 9
    assert digits.count_active(codes) == 2


def test_a_heavy_divergence_switches_units_off_and_costs_error(rows):
    light, heavy = (
        [row for row in rows if row["model"] == "vae" and row["beta"] == beta]
        for beta in TINY.betas
    )
    assert [row["active_count"] for row in heavy] == [0, 0]
    assert min(row["active_count"] for row in light) >= 1
    for one, other in zip(light, heavy, strict=True):
        assert one["test_rmse_level"] < other["test_rmse_level"]
        assert one["divergence_nats"] > other["divergence_nats"]


def test_the_same_seed_gives_the_same_run_and_a_network_learns(halves, rows):
    train, test = halves
    again = digits.run_digits(train, test, TINY)
    assert again == rows
    blind = math.sqrt(np.mean((test - train.mean(axis=0)) ** 2))
    assert all(row["test_rmse_level"] < 0.9 * blind for row in rows if row["model"] == "ae")


def test_the_table_is_paired_with_pca_of_the_same_size(rows):
    table = {(row["model"], row["beta"]): row for row in digits.summarise_digits(rows)}
    errors = [row["test_rmse_level"] for row in rows if row["model"] == "ae"]
    ae = table["ae", None]
    assert ae["test_rmse_level"] == pytest.approx(np.mean(errors))
    pca = table["pca", None]["test_rmse_level"]
    assert ae["rmse_less_pca_level"] == pytest.approx(np.mean(errors) - pca)
    assert ae["less_pca_low_level"] < ae["rmse_less_pca_level"] < ae["less_pca_high_level"]


@pytest.mark.parametrize(
    "wrong", [{"latents": (0,)}, {"betas": (0.0,)}, {"seeds": ()}, {"seeds": (1, 1)}]
)
def test_a_plan_that_says_nothing_is_an_error(wrong):
    with pytest.raises(StudyError, match="expected"):
        digits.DigitPlan(**wrong)
