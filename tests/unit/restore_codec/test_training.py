"""Training: seeded, on crops of the kept images only, and a loss that falls."""

import csv
import math

import numpy as np
import pytest

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.restore.codec.images import GreyImage, read_images  # noqa: E402
from upscale_audit.restore.codec.networks import LATENT_LIMIT, CodecDesign, Encoder, make_decoder  # noqa: E402
from upscale_audit.restore.codec.training import (  # noqa: E402
    CURVE_COLUMNS,
    TrainingParameters,
    train_codec,
    write_curve,
)

SHORT = TrainingParameters(steps=4, batch_size=2, crop_px=32, report_steps=2)


@pytest.fixture(scope="module")
def images(grey):
    return [GreyImage("a", grey, "aa"), GreyImage("b", grey[::-1].copy(), "bb")]


@pytest.mark.parametrize("kind", ["ae", "vae"])
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(images, kind):
    design = CodecDesign(kind, "mixed")
    before = torch.random.get_rng_state()
    first, curve = train_codec(design, images[:1], images[1:], SHORT)
    again, same = train_codec(design, images[:1], images[1:], SHORT)
    other, _ = train_codec(design, images[:1], [], TrainingParameters(**vars(SHORT) | {"seed": 1}))
    assert first.sha256 == again.sha256
    assert curve == same
    assert other.sha256 != first.sha256
    assert torch.equal(torch.random.get_rng_state(), before)


def test_held_out_images_change_the_curve_and_no_weight(images):
    design = CodecDesign("ae", "mse")
    alone, _ = train_codec(design, images[:1], [], SHORT)
    beside, curve = train_codec(design, images[:1], images[1:], SHORT)
    assert alone.sha256 == beside.sha256
    assert [row["step"] for row in curve] == [2, 4]
    assert all(math.isfinite(row["held_out_psnr_db"]) for row in curve)


def test_the_loss_falls(images):
    parameters = TrainingParameters(steps=60, batch_size=4, crop_px=32, report_steps=20)
    design = CodecDesign("ae", "mse", stride_px=8)
    _, curve = train_codec(design, images[:1], [], parameters)
    assert curve[-1]["train_loss"] < 0.6 * curve[0]["train_loss"]


def test_a_curve_is_a_csv_with_empty_places_where_nothing_was_held_out(tmp_path, images):
    _, curve = train_codec(CodecDesign("vae", "ssim"), images[:1], [], SHORT)
    write_curve(curve, tmp_path / "curve.csv")
    with open(tmp_path / "curve.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == CURVE_COLUMNS
    assert [row["held_out_loss"] for row in rows] == ["", ""]
    assert float(rows[1]["train_divergence_nats_per_px"]) > 0


def test_networks_have_the_stated_shapes_and_bounds():
    for stride in (8, 16):
        for kind in ("ae", "vae"):
            design = CodecDesign(kind, "mse", stride, 5)
            images = 100 * torch.randn(2, 1, 2 * stride, 3 * stride)
            with torch.no_grad():
                mean, log_variance = Encoder(design)(images)
                restored = make_decoder(design)(mean)
            assert mean.shape == (2, 5, 2, 3)
            assert mean.abs().max() <= LATENT_LIMIT
            assert (log_variance is None) == (kind == "ae")
            assert restored.shape == images.shape


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gan", "mse"), "ae, vae"),
        (("ae", "l1"), "mse, ssim, mixed"),
        (("ae", "mse", 12), "8, 16"),
        (("ae", "mse", 16, 0), "1..64"),
    ],
)
def test_a_design_that_cannot_be_is_an_error(arguments, said):
    with pytest.raises(StudyError, match=said):
        CodecDesign(*arguments)


def test_training_refuses_what_it_cannot_learn_from(images):
    design = CodecDesign("ae", "mse")
    with pytest.raises(StudyError, match="96 px or more, found 83x61"):
        train_codec(design, images, [], TrainingParameters())
    flat = GreyImage("c", np.full((64, 64), 9, np.uint8), "cc")
    with pytest.raises(StudyError, match="equal"):
        train_codec(design, [flat], [], SHORT)
    with pytest.raises(StudyError, match="multiple of 16"):
        TrainingParameters(crop_px=50)
    with pytest.raises(StudyError, match="steps = 0"):
        TrainingParameters(steps=0)
    for seed in (-1, 2**63):
        with pytest.raises(StudyError, match=f"seed = {seed}; expected 0 or more"):
            TrainingParameters(seed=seed)


def test_images_are_read_by_name_and_what_is_not_grey_is_refused(tmp_path, encode_png, grey):
    for name in ("b", "a", "c1"):
        (tmp_path / f"{name}.png").write_bytes(encode_png(grey))
    (tmp_path / "notes.txt").write_text("none")
    assert [image.image_id for image in read_images(tmp_path)] == ["a", "b", "c1"]
    assert [image.image_id for image in read_images(tmp_path, ["c*"])] == ["c1"]
    with pytest.raises(StudyError, match="found none"):
        read_images(tmp_path, ["d*"])
    with pytest.raises(StudyError, match="folder of images"):
        read_images(tmp_path / "nowhere")
    colour = np.stack([grey, grey, 255 - grey], axis=-1)
    (tmp_path / "d.png").write_bytes(encode_png(colour))
    with pytest.raises(StudyError, match=r"d\.png: expected one 8-bit grey image"):
        read_images(tmp_path)
