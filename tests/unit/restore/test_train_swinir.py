"""The network that this project trained, and how: in short, on a processor."""

import json

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.restorers import RestoreParameters, SpandrelWeights
from upscale_audit.restore import train_swinir
from upscale_audit.restore.restorers import prepare_restorer
from upscale_audit.restore.weights import SHIPPED_WEIGHTS, find_weights

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:torch.meshgrid:UserWarning")]
SHIPPED = SpandrelWeights("spandrel", weights="swinir_x2_radiographs")


@pytest.fixture(scope="module", autouse=True)
def _libraries():
    pytest.importorskip("torch", reason="needs the extra restore-torch")
    try:
        train_swinir.import_spandrel()
    except StudyError as error:
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path):
    """Give a folder of three references."""
    generator = np.random.default_rng(3)
    (tmp_path / "hr").mkdir()
    for number in range(3):
        rough = generator.integers(0, 256, (20, 20), np.uint8)
        image = Image.fromarray(rough).resize((160, 160), Image.Resampling.BICUBIC)
        image.save(tmp_path / "hr" / f"{number}.png")
    return tmp_path / "hr"


def test_a_few_steps_write_weights_that_a_restorer_reads(folder):
    from safetensors import safe_open

    out = folder.parent / "w.safetensors"
    arguments = ["--references", str(folder), "--out", str(out)]
    arguments += ["--held-out", "1", "--steps", "3", "--batch", "1"]
    train_swinir.main(arguments)
    with safe_open(out, "pt") as file:
        facts = json.loads(file.metadata()["upscale_audit"])
    assert (facts["images"], facts["parameters"]["steps"]) == (2, 3)
    lines = out.with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "step,train_loss,held_out_psnr_db"
    assert len(lines) == 2
    restorer = prepare_restorer(SpandrelWeights("spandrel", out), RestoreParameters())
    reference = np.asarray(Image.open(folder / "0.png"))
    assert restorer.restore(reference, False).shape == (160, 160)


def test_training_brings_the_network_nearer_to_what_it_has_not_seen(folder):
    pairs = train_swinir.read_pairs(sorted(folder.iterdir()))
    low, high = pairs[0]
    made = Image.fromarray(high).resize((80, 80), Image.Resampling.BICUBIC)
    assert (low == np.asarray(made)).all()
    parameters = train_swinir.TrainingParameters(steps=12, batch_size=2, crop_px=32, report_steps=4)
    _, curve, steps = train_swinir.train(pairs[1:], pairs[:1], parameters, report=list)
    assert (steps, [row["step"] for row in curve]) == (12, [4, 8, 12])
    assert curve[-1]["held_out_psnr_db"] > curve[0]["held_out_psnr_db"]
    assert curve[-1]["train_loss"] < curve[0]["train_loss"]


def test_the_crops_of_both_sizes_are_of_one_place_and_orientation():
    torch, _ = train_swinir.import_spandrel()
    low = np.arange(80 * 80, dtype=np.uint32).reshape(80, 80) % 251
    pair = (low.astype(np.uint8), np.kron(low, np.ones((2, 2))).astype(np.uint8))
    parameters = train_swinir.TrainingParameters(steps=1, batch_size=16, crop_px=16)
    lows, highs = train_swinir._Crops(torch, [pair], parameters, "cpu")()
    assert torch.equal(highs[..., ::2, ::2], lows)
    assert len({tuple(crop.ravel().tolist()) for crop in lows}) == 16


def test_what_cannot_be_trained_is_refused(folder):
    with pytest.raises(StudyError, match="--seconds or --steps, one of them"):
        train_swinir.TrainingParameters()
    with pytest.raises(StudyError, match="crop_px = 20; expected a multiple of 8"):
        train_swinir.TrainingParameters(steps=1, crop_px=20)
    for size in ((161, 160), (126, 160)):
        Image.new("L", size).save(folder / "1.png")
        with pytest.raises(StudyError, match=r"1\.png: \d+x160 px; expected even sides of 128 px"):
            train_swinir.read_pairs([folder / "1.png"])
    (folder / "1.png").write_bytes(b"no image")
    with pytest.raises(StudyError, match=r"1\.png: not_an_image.*take it out of the folder"):
        train_swinir.read_pairs([folder / "1.png"])
    with pytest.raises(StudyError, match="has 3 PNG images, of which 3 are held out: give more"):
        train_swinir.main(
            ["--references", str(folder), "--out", "x", "--held-out", "3", "--steps", "1"]
        )


def test_the_shipped_network_is_named_by_its_hash_and_restores_better_than_bicubic(repository):
    name, sha256 = SHIPPED_WEIGHTS[SHIPPED.weights]
    found = find_weights(SHIPPED)
    assert (found.files[0].name, found.sha256) == (name, (sha256,))
    # A crop of the sample, of which the network has seen nothing.
    image = Image.open(repository / "sample" / "reference" / "rg1_r0c0.png")
    reference = np.asarray(image)[128:384, 128:384]
    parameters = RestoreParameters(lr_rule="antialiased")
    made = prepare_restorer(SHIPPED, parameters).restore(reference, False)
    low = Image.fromarray(reference).resize((128, 128), Image.Resampling.BICUBIC)
    bicubic = np.asarray(low.resize((256, 256), Image.Resampling.BICUBIC))
    errors = [np.mean((np.asarray(it, float) - reference) ** 2) for it in (made, bicubic)]
    assert errors[0] < 0.95 * errors[1]


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"weights": "swinir"}, "expected one of swinir_x2_radiographs, or the file"),
        ({"weights": "swinir_x2_radiographs", "sha256": "0" * 64}, "leave sha256 out"),
        ({}, "a file, or weights by a name, one of them"),
        ({"weights": "swinir_x2_radiographs", "file": "x.pth"}, "one of them"),
    ],
)
def test_a_name_that_says_nothing_or_too_much_is_refused(declared, message):
    with pytest.raises(StudyError, match=message):
        find_weights(SpandrelWeights("spandrel", **declared))
