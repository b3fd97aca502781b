"""The Brownian bridge: its equations against Gaussian conditioning, and draws that repeat."""

import numpy as np
import pytest
from PIL import Image

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.ingest.study import load_study  # noqa: E402
from upscale_audit.restore.codec import bridge  # noqa: E402
from upscale_audit.restore.codec.models import save_codec  # noqa: E402

PLAN = bridge.BridgePlan(
    bridge_steps=5, noise_share=0.02, steps=40, batch_size=2, crop_px=32, learning_rate=1e-2
)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
def test_the_posterior_is_gaussian_conditioning_of_the_chain(step):
    """x_t = a x_(t-1) + b y + noise, so that both are jointly normal given x_0 and y."""
    original, start, place = 0.3, -0.8, 0.15
    share, variance = bridge.measure_marginal(step, PLAN)
    before, variance_before = bridge.measure_marginal(step - 1, PLAN)
    mean_before = (1 - before) * original + before * start
    mean = (1 - share) * original + share * start
    covariance = (1 - share) / (1 - before) * variance_before
    gain = covariance / variance if variance else 0.0
    expected = mean_before + gain * (place - mean)
    of_place, of_original, of_start, found = bridge.measure_posterior(step, PLAN)
    assert of_place * place + of_original * original + of_start * start == pytest.approx(expected)
    assert found == pytest.approx(variance_before - gain * covariance, abs=1e-15)


def test_the_walk_back_has_the_marginals_at_every_step():
    generator = np.random.default_rng(1)
    original, start, count = 0.4, -0.2, 200_000
    place = np.full(count, start)
    for step in range(PLAN.bridge_steps, 0, -1):
        of_place, of_original, of_start, variance = bridge.measure_posterior(step, PLAN)
        noise = np.sqrt(variance) * generator.standard_normal(count)
        place = of_place * place + of_original * original + of_start * start + noise
        share, expected = bridge.measure_marginal(step - 1, PLAN)
        assert place.mean() == pytest.approx((1 - share) * original + share * start, abs=2e-3)
        assert place.var() == pytest.approx(expected, rel=0.02, abs=1e-12)
    assert place == pytest.approx(original)


def test_the_ends_have_no_noise_and_the_middle_has_half_of_s():
    plan = bridge.BridgePlan(bridge_steps=4, noise_share=0.3)
    assert [bridge.measure_marginal(step, plan) for step in (0, 2, 4)] == [
        (0, 0),
        (0.5, pytest.approx(0.15)),
        (1, 0),
    ]


@pytest.fixture(scope="module")
def network(grey):
    blurred = np.clip(grey.astype(int) + 20, 0, 255).astype(np.uint8)
    return bridge.train_bridge([(grey, blurred)], PLAN)


def test_the_loss_falls_and_the_bridge_comes_nearer_than_its_start(grey, network):
    trained, curve = network
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    start = np.clip(grey.astype(int) + 20, 0, 255).astype(np.uint8)
    drawn = bridge.draw_image(trained, start, PLAN, 0)
    errors = [np.mean((image.astype(float) - grey) ** 2) for image in (drawn, start)]
    assert errors[0] < errors[1]


def test_a_seed_draws_the_same_image_again_and_another_seed_another(grey):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        untrained = bridge.BridgeNetwork()
    first, again, other = (bridge.draw_image(untrained, grey, PLAN, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    retrained, _ = bridge.train_bridge([(grey, grey)], PLAN)
    twice, _ = bridge.train_bridge([(grey, grey)], PLAN)
    for name, value in retrained.state_dict().items():
        assert torch.equal(value, twice.state_dict()[name])


def test_a_study_of_draws_names_the_decoded_image_as_its_baseline(tmp_path, grey, make_codec):
    for folder, shift in (("train", 0), ("test", 7)):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.roll(grey, shift, axis=1)).save(tmp_path / folder / "a.png")
    save_codec(make_codec(), tmp_path / "codec.npz")
    given = (tmp_path / "train", tmp_path / "test", tmp_path / "codec.npz", tmp_path / "out")
    study = load_study(bridge.make_bridge_study(*given, PLAN, 2))
    assert [model.model_id for model in study.models] == ["bridge_d0", "bridge_d1", "net"]
    assert study.analysis_parameters.baseline_model == "net"
    assert all((model.notta / "a.png").is_file() for model in study.models)
    with pytest.raises(StudyError, match="learned from"):
        bridge.make_bridge_study(given[0], given[0], *given[2:], PLAN, 1)
    with pytest.raises(StudyError, match="2 bridge steps"):
        bridge.BridgePlan(bridge_steps=1)
