"""The compression log's programme: architectures, epochs in order, the channel not learned."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)

from tests.unit.restore_codec.test_exact import decode_naively  # noqa: E402
from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.ingest.study import load_study  # noqa: E402
from upscale_audit.restore.codec import exact, programmes  # noqa: E402
from upscale_audit.restore.codec.coding import ImageCoder  # noqa: E402
from upscale_audit.restore.codec.images import GreyImage, read_images  # noqa: E402
from upscale_audit.restore.codec.models import load_codec, save_codec  # noqa: E402
from upscale_audit.restore.codec.networks import CodecDesign, make_decoder  # noqa: E402
from upscale_audit.restore.codec.training import (  # noqa: E402
    TrainingParameters,
    train_codec,
)

pytestmark = pytest.mark.long

SHORT = TrainingParameters(steps=4, batch_size=2, crop_px=32, report_steps=2)
SHAPES = [
    {"residual_blocks": 1},
    {"strides": (4, 4)},
    {"strides": (4, 4), "residual_blocks": 2},
    {"strides": (2, 4), "stride_px": 8, "residual_blocks": 1},
    {"planes": 3},
]


@pytest.fixture(scope="module")
def colour_folder(tmp_path_factory):
    """Give a folder of four colour images, much red and little blue, their planes unlike."""
    folder = tmp_path_factory.mktemp("colour")
    rows, cols = np.mgrid[0:48, 0:64]
    for number, name in enumerate("abcd"):
        waves = [np.sin(rows / 5 + number), np.cos(cols / 7 + number), np.sin((rows + cols) / 6)]
        pixels = np.rint((215, 60, 30) + 25 * np.stack(waves, axis=-1)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_architecture_decodes_as_integer_arithmetic(make_codec, shape, monkeypatch):
    codec = make_codec(seed=2, **shape)
    latent = np.random.default_rng(1).integers(-90, 91, (8, 6, 3)).astype(np.int8)
    expected = decode_naively(codec.layers, latent, 0.7)
    assert np.ptp(expected) > 0
    for strip in (1, 32):
        monkeypatch.setattr(exact, "_STRIP_ROWS", strip)
        assert np.array_equal(exact.run_decoder(codec.layers, latent, 0.7), expected)


def test_fixed_point_stays_near_a_residual_decoder(make_codec):
    torch.manual_seed(6)
    decoder = make_decoder(CodecDesign("ae", "mse", strides=(4, 4), residual_blocks=1, planes=3))
    quiet = np.random.default_rng(4).integers(-7, 8, (8, 3, 3)).astype(np.int8)
    with torch.no_grad():
        floating = decoder(torch.from_numpy(quiet.astype(np.float32))[None])[0].numpy()
    levels = np.clip(255 * (floating + 0.5), 0, 255).reshape(-1, 48)
    found = exact.run_decoder(exact.round_decoder(decoder), quiet, 1.0)
    assert np.abs(found - levels).max() < 0.5


@pytest.mark.parametrize("shape", SHAPES[::2], ids=str)
def test_a_file_says_its_architecture_and_another_process_decodes_it(
    make_codec, shape, tmp_path, grey
):
    codec = make_codec(seed=3, **shape)
    planes = codec.design.planes
    pixels = np.concatenate([grey, grey[::-1], 255 - grey]) if planes == 3 else grey
    save_codec(codec, tmp_path / "w.npz")
    assert load_codec(tmp_path / "w.npz").design == codec.design
    coded = ImageCoder(codec, pixels).code(1.0, 8.0)
    (tmp_path / "a.uac").write_bytes(coded.data)
    assert coded.ratio == pixels.size / (tmp_path / "a.uac").stat().st_size
    command = [sys.executable, "-m", "upscale_audit.warehouse.cli", "codec", "decode"]
    arguments = [tmp_path / "a.uac", "--weights", tmp_path / "w.npz", "--out", tmp_path / "out"]
    subprocess.run([*command, *map(str, arguments)], check=True, capture_output=True)
    decoded = np.asarray(Image.open(tmp_path / "out" / "a.png"))
    stack = decoded[None] if planes == 1 else decoded.transpose(2, 0, 1)
    assert np.array_equal(stack.reshape(-1, grey.shape[1]), coded.pixels)
    assert np.abs(coded.pixels.astype(int) - pixels).max() <= 9


def test_designs_from_before_there_was_a_choice_keep_their_hash_and_their_files(
    make_codec, tmp_path
):
    codec = make_codec(seed=4)
    first = {"kind": "ae", "loss": "mse", "stride_px": 16, "latent_channels": 8}
    assert codec.design.describe() == first
    assert codec.sha256 == exact.hash_layers(first, codec.layers)
    assert CodecDesign(**first) == codec.design
    assert SHORT.describe().keys().isdisjoint({"jitter", "learned_planes"})
    save_codec(codec, tmp_path / "w.npz")
    with np.load(tmp_path / "w.npz") as file:
        assert json.loads(file["header"].tobytes())["design"] == first


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"strides": (2, 4)}, "product 16"),
        ({"strides": (16,)}, "2 and 4"),
        ({"residual_blocks": 9}, r"0\.\.4"),
        ({"planes": 2}, "3 .colour."),
    ],
)
def test_an_architecture_that_cannot_be_is_an_error(shape, said):
    with pytest.raises(StudyError, match=said):
        CodecDesign("ae", "mse", **shape)


def test_an_observer_changes_no_weight_and_sees_the_steps_in_order(grey):
    images = [GreyImage("a", grey, "aa")]
    seen = {}
    keep = {step: lambda codec: seen.setdefault(codec.training["step"], codec) for step in (1, 4)}
    alone, _ = train_codec(CodecDesign("ae", "mse"), images, [], SHORT)
    watched, _ = train_codec(CodecDesign("ae", "mse"), images, [], SHORT, keep=keep)
    assert list(seen) == [1, 4]
    assert alone.sha256 == watched.sha256 == seen[4].sha256 != seen[1].sha256


def test_the_epochs_are_models_in_order_and_are_kept(tmp_path, encode_png, grey):
    (tmp_path / "in").mkdir()
    for number, name in enumerate("abc"):
        rolled = encode_png(np.roll(grey, 9 * number, axis=1))
        (tmp_path / "in" / f"{name}.png").write_bytes(rolled)
    # 10,126 pixels of two images in crops of 2 x 1,024: five steps an epoch.
    parameters = TrainingParameters(steps=17, batch_size=2, crop_px=32)
    report = programmes.make_learning_study(tmp_path / "in", tmp_path / "out", parameters)
    assert (report.trained, report.coded, report.unreached) == (2, 9, [])
    models = [model.model_id for model in load_study(report.study).models]
    assert models == ["ae_e001", "ae_e002", "ae_e003"]
    steps = [
        load_codec(tmp_path / "out" / "weights" / f"{model}_fold0.npz").training["step"]
        for model in models
    ]
    assert steps == [3, 6, 9]  # fold 0 learns from b alone: 5,063 pixels
    again = programmes.make_learning_study(tmp_path / "in", tmp_path / "out", parameters)
    assert (again.trained, again.kept, again.coded) == (0, 9, 0)


def test_the_channel_that_was_not_learned_is_found_and_only_that_one(
    colour_folder, tmp_path, monkeypatch
):
    monkeypatch.setattr(programmes, "COLOUR_CODECS", ("colour", "noblue"))
    # Small enough to learn colours in a second.
    quick = CodecDesign("ae", "mse", stride_px=8, planes=3)
    monkeypatch.setattr(programmes, "COLOUR", quick)
    # A latent learned for so short a time is all zeros when rounded to 1.
    monkeypatch.setattr(programmes, "NETWORK_STEP", 1 / 16)
    parameters = TrainingParameters(steps=120, batch_size=4, crop_px=32)
    out = tmp_path / "out"
    report = programmes.make_colour_study(colour_folder, out, (12.0,), parameters)
    assert (report.trained, report.unreached) == (4, [])
    errors = {}
    for plane in programmes.PLANES:
        study = load_study(out / plane / "study.toml")
        for model in study.models:
            for image in read_images(study.references):
                restored = np.asarray(Image.open(model.notta / f"{image.image_id}.png"))
                square = np.mean((restored.astype(float) - image.grey) ** 2)
                errors.setdefault((model.model_id, plane), []).append(square)
    means = {key: np.mean(values) for key, values in errors.items()}
    assert means["noblue_net", "blue"] > 1.5 * means["colour_net", "blue"]
    for plane in ("red", "green"):
        assert means["noblue_net", plane] < 1.3 * means["colour_net", plane]
    with open(out / "codes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2 * 2
    for row in rows:
        path = out / "streams" / row["model_id"] / f"{row['image_id']}.uac"
        assert int(row["file_bytes"]) == path.stat().st_size
        assert int(row["raw_bytes"]) == 3 * 48 * 64
        if row["target_ratio"]:
            assert float(row["ratio"]) == pytest.approx(12, rel=0.02)


def test_jitter_changes_colours_within_bounds_and_not_which_crops_are_drawn(colour_folder):
    from upscale_audit.restore.codec import training

    planes = [training._scale(image.stack) for image in read_images(colour_folder, planes=3)]
    plain = next(training._draw_crops(planes, SHORT))
    shaken = TrainingParameters(**vars(SHORT) | {"jitter": 0.2})
    other = next(training._draw_crops(planes, shaken))
    assert other.shape == plain.shape == (2, 3, 32, 32)
    assert other.abs().max() <= 0.5
    assert 0 < (other - plain).abs().max() <= 0.2 * 0.5 + 0.1 + 1e-6


def test_planes_that_do_not_fit_are_refused(colour_folder):
    images = read_images(colour_folder, planes=3)
    with pytest.raises(StudyError, match="expected 1 planes as the design has, found 3"):
        train_codec(CodecDesign("ae", "mse"), images, [], SHORT)
    beyond = TrainingParameters(**vars(SHORT) | {"learned_planes": (3,)})
    with pytest.raises(StudyError, match="learned_planes"):
        train_codec(CodecDesign("ae", "mse", planes=3), images, [], beyond)
    with pytest.raises(StudyError, match="jitter = 1"):
        TrainingParameters(jitter=1.0)
