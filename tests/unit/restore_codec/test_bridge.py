"""The Brownian bridge: its equations against Gaussian conditioning, and draws that repeat."""

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.ingest.files import hash_file  # noqa: E402
from upscale_audit.ingest.study import load_study  # noqa: E402
from upscale_audit.restore.codec import bridge  # noqa: E402
from upscale_audit.restore.codec.coding import decode_stream, encode_latent  # noqa: E402
from upscale_audit.restore.codec.models import load_codec, save_codec  # noqa: E402

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


@pytest.fixture(scope="module")
def given(tmp_path_factory, grey, make_codec):
    """Give folders of two images to learn from and of one other, and a codec."""
    place = tmp_path_factory.mktemp("bridge")
    for folder, name, shift in (("train", "a", 0), ("train", "b", 3), ("test", "c", 7)):
        (place / folder).mkdir(exist_ok=True)
        Image.fromarray(np.roll(grey, shift, axis=1)).save(place / folder / f"{name}.png")
    codec = make_codec()
    last = codec.encoder.body[-1]
    with torch.no_grad():  # so that its latents, all near 0 without training, differ
        last.weight.mul_(100)
        last.bias.mul_(100)
    save_codec(codec, place / "codec.npz")
    return place / "train", place / "test", place / "codec.npz"


@pytest.fixture(scope="module")
def made(given, tmp_path_factory):
    report = bridge.make_bridge_study(*given, tmp_path_factory.mktemp("made") / "out", PLAN, 2)
    assert report.is_trained
    return report.study


def read_runs(folder):
    with open(folder / "bridge_runs.csv", encoding="utf-8", newline="") as file:
        return {row["model_id"]: row for row in csv.DictReader(file)}


def read_levels(path):
    with Image.open(path) as image:
        return np.asarray(image).astype(float)


def test_a_study_of_draws_names_the_decoded_image_as_its_baseline(given, made, tmp_path):
    study = load_study(made)
    assert [model.model_id for model in study.models] == ["bridge_d0", "bridge_d1", "net"]
    assert study.analysis_parameters.baseline_model == "net"
    assert all((model.notta / "c.png").is_file() for model in study.models)
    train, _, weights = given
    with pytest.raises(StudyError, match="learned from"):
        bridge.make_bridge_study(train, train, weights, tmp_path, PLAN, 1)
    with pytest.raises(StudyError, match="2 bridge steps"):
        bridge.BridgePlan(bridge_steps=1)
    with pytest.raises(StudyError, match="seed = -1; expected 0 or more"):
        bridge.BridgePlan(seed=-1)


def test_net_is_what_the_file_decodes_to_and_runs_say_what_was_measured(given, made, grey):
    folder, codec = made.parent, load_codec(given[2])
    data = (folder / "streams" / "c.uac").read_bytes()
    original = np.roll(grey, 7, axis=1)
    images = {
        model: read_levels(folder / "restored" / model / "c.png")
        for model in ("net", "bridge_d0", "bridge_d1")
    }
    assert np.array_equal(images["net"], decode_stream(data, codec))
    latents = {
        model: np.rint(encode_latent(codec, image.astype(np.uint8)))
        for model, image in (images | {"original": original}).items()
    }
    apart = np.mean((images["bridge_d0"] - images["bridge_d1"]) ** 2)
    assert apart > 0
    for model, row in read_runs(folder).items():
        assert int(row["file_bytes"]) == len(data)
        error = np.mean((images[model] - original) ** 2)
        assert float(row["mse_dn2"]) == pytest.approx(error)
        assert float(row["psnr_db"]) == pytest.approx(10 * np.log10(255**2 / error))
        kept = np.mean(latents[model] == latents["original"])
        assert float(row["latent_kept_ratio"]) == pytest.approx(kept)
        assert kept < 1
        found = row["next_draw_mse_dn2"]
        assert found == "" if model == "net" else float(found) == pytest.approx(apart)


def test_another_process_keeps_the_bridge_and_draws_the_same_pixels(given, made):
    folder = made.parent
    before, weights = read_runs(folder), (folder / "bridge.npz").read_bytes()
    (folder / "bridge_curve.csv").unlink()
    for file in folder.glob("restored/*/*.png"):
        file.unlink()
    code = (
        "import sys; from pathlib import Path; from upscale_audit.restore.codec import bridge;"
        "train, test, weights, out = map(Path, sys.argv[1:]);"
        f"report = bridge.make_bridge_study(train, test, weights, out, bridge.{PLAN!r}, 2);"
        "sys.exit(int(report.is_trained))"
    )
    subprocess.run([sys.executable, "-c", code, *map(str, (*given, folder))], check=True)
    assert read_runs(folder) == before
    assert (folder / "bridge.npz").read_bytes() == weights
    assert not (folder / "bridge_curve.csv").exists()  # nothing was trained
    for model, row in before.items():
        assert hash_file(folder / "restored" / model / "c.png") == row["restored_sha256"]


def test_another_plan_trains_another_bridge_and_what_is_no_bridge_is_refused(given, tmp_path):
    bridge.make_bridge_study(*given, tmp_path, replace(PLAN, steps=1), 1)
    first = (tmp_path / "bridge.npz").read_bytes()
    bridge.make_bridge_study(*given, tmp_path, replace(PLAN, steps=2), 1)
    assert (tmp_path / "bridge.npz").read_bytes() != first
    assert read_runs(tmp_path)["bridge_d0"]["next_draw_mse_dn2"] == ""  # there is one draw
    (tmp_path / "bridge.npz").write_bytes(given[2].read_bytes())
    with pytest.raises(StudyError, match=r"no bridge of this version.*remove it"):
        bridge.make_bridge_study(*given, tmp_path, PLAN, 1)
    (tmp_path / "bridge.npz").write_bytes(first[:-9])
    with pytest.raises(StudyError, match=r"is no bridge: .*remove it"):
        bridge.make_bridge_study(*given, tmp_path, PLAN, 1)


@pytest.mark.parametrize("damage", ["shape", "kind", "number"])
def test_weights_that_are_not_the_networks_are_refused(network, tmp_path, damage):
    trained, _ = network
    bridge.save_bridge(trained, {"seed": 1}, tmp_path / "bridge.npz")
    assert bridge.load_bridge(tmp_path / "bridge.npz")[1] == {"seed": 1}
    with np.load(tmp_path / "bridge.npz") as file:
        arrays = dict(file)
    name = "body.0.bias"
    changed = {
        "shape": arrays[name][:-1],
        "kind": arrays[name].astype(np.float64),
        "number": np.full_like(arrays[name], np.nan),
    }
    np.savez(tmp_path / "bridge.npz", **(arrays | {name: changed[damage]}))
    with pytest.raises(StudyError, match="no bridge of this version"):
        bridge.load_bridge(tmp_path / "bridge.npz")


def test_a_codec_of_colour_is_refused(given, make_codec, tmp_path):
    save_codec(make_codec(planes=3), tmp_path / "colour.npz")
    with pytest.raises(StudyError, match="one plane"):
        bridge.make_bridge_study(*given[:2], tmp_path / "colour.npz", tmp_path / "out", PLAN, 1)
