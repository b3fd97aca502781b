"""From a reference to its restored image: LR, network, size, grey; and what is said of it."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_json
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.ingest.restorers import (
    Blur,
    Interpolation,
    Jpeg,
    NcnnWeights,
    Noise,
    RestoreParameters,
    SpandrelWeights,
)
from upscale_audit.restore import restorers
from upscale_audit.restore.controls import compress_jpeg
from upscale_audit.restore.resampling import reduce_mitchell
from upscale_audit.restore.restorers import Restorer, prepare_restorer
from upscale_audit.restore.weights import Weights

PARAMETERS = RestoreParameters(lr_rule="antialiased")
NETWORK = NcnnWeights("ncnn", None, Path("a.param"), Path("a.bin"), native_scale=4, tile_px=32)
ON_GPU = replace(NETWORK, device="cuda")
FILES = Weights((Path("a.param"), Path("a.bin")), ("p" * 64, "b" * 64), 4, 1000)


class Tinted:
    """A network that repeats pixels and turns the three planes apart."""

    def __init__(self, scale):
        self.scale = scale

    def forward(self, planes):
        assert planes.dtype == np.float32
        assert planes.shape[0] == 3
        tint = np.array([1.0, 0.5, 0.25], np.float32)[:, None, None]
        return np.kron(planes * tint, np.ones((1, self.scale, self.scale), np.float32))


@pytest.fixture
def tinted(monkeypatch):
    """Every declared network is one that repeats pixels, of scale 4."""
    network = Tinted(4)
    monkeypatch.setattr(restorers, "load_network", lambda *_: network)
    return network


@pytest.fixture
def reference():
    return np.random.default_rng(12).integers(0, 256, (72, 104), np.uint8)


def tint(image):
    """What `Tinted` makes of grey, before any resizing: uint8 RGB."""
    shares = image[..., None] * np.array([1.0, 0.5, 0.25])
    return np.rint(shares).astype(np.uint8)


@pytest.mark.usefixtures("tinted")
@pytest.mark.parametrize("tta", [False, True])
def test_a_network_of_four_is_reduced_to_two_and_then_to_grey(reference, tta):
    found = Restorer(NETWORK, PARAMETERS, FILES).restore(reference, tta)
    lr = make_lr(reference, 2, "antialiased")
    quadrupled = np.kron(tint(lr), np.ones((4, 4, 1), np.uint8))
    wanted = Image.fromarray(reduce_mitchell(quadrupled, 72, 104)).convert("L")
    assert np.array_equal(found, np.asarray(wanted))


@pytest.mark.parametrize("grey_rule", ["rec601", "mean", "keep"])
def test_a_network_of_the_scale_itself_is_not_resized(reference, tinted, grey_rule):
    tinted.scale = 2
    parameters = replace(PARAMETERS, lr_rule="opencv_cubic", grey_rule=grey_rule)
    found = Restorer(NETWORK, parameters, FILES).restore(reference, tta=False)
    rgb = np.kron(tint(make_lr(reference, 2, "opencv_cubic")), np.ones((2, 2, 1), np.uint8))
    if grey_rule == "keep":
        assert np.array_equal(found, rgb)
    else:
        assert found.shape == reference.shape
        share = {"rec601": 0.299 + 0.587 / 2 + 0.114 / 4, "mean": 1.75 / 3}[grey_rule]
        assert np.abs(found - rgb[..., 0] * share).max() <= 1.01


@pytest.mark.usefixtures("tinted")
def test_colour_goes_through_in_three_planes():
    colour = np.random.default_rng(13).integers(0, 256, (48, 48, 3), np.uint8)
    restorer = Restorer(NETWORK, replace(PARAMETERS, grey_rule="keep"), FILES)
    found = restorer.restore(colour, tta=False)
    lr = make_lr(colour, 2, "antialiased") * np.array([1.0, 0.5, 0.25])
    quadrupled = np.kron(np.rint(lr).astype(np.uint8), np.ones((4, 4, 1), np.uint8))
    assert np.array_equal(found, reduce_mitchell(quadrupled, 48, 48))


@pytest.mark.parametrize("kind", ["bicubic", "lanczos"])
def test_interpolation_starts_from_the_lr_image(sample_study_file, kind):
    folder = sample_study_file.parent
    with Image.open(folder / "reference" / "rg1_r1c0.png") as image:
        reference = np.asarray(image)
    found = Restorer(Interpolation(kind), PARAMETERS).restore(reference, tta=False)
    size, rule = (512, 512), {"bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}[kind]
    lr = Image.fromarray(reference).resize((256, 256), Image.BICUBIC)
    assert np.array_equal(found, np.asarray(lr.resize(size, rule)))
    if kind == "bicubic":
        with Image.open(folder / "restored" / "bicubic" / "notta" / "rg1_r1c0.png") as shipped:
            assert np.array_equal(found, np.asarray(shipped))


@pytest.mark.shared_data
@pytest.mark.parametrize("kind", ["bicubic", "lanczos"])
def test_interpolation_gives_the_radiographs_restored_elsewhere(shared_data, kind):
    folder = shared_data / "nih"
    for name in ("00000001_000.png", "00013911_000.png"):
        with Image.open(folder / "reference" / name) as image:
            reference = np.asarray(image)
        found = Restorer(Interpolation(kind), PARAMETERS).restore(reference, tta=False)
        with Image.open(folder / "restored" / kind / "notta" / name) as wanted:
            assert np.array_equal(found, np.asarray(wanted))


def test_tta_of_a_whole_image_is_the_rounded_mean_of_the_eight_by_hand(reference):
    found = Restorer(Jpeg("jpeg", 20), PARAMETERS).restore(reference, tta=True)
    results = []
    for turns in range(4):
        results.append(np.rot90(compress_jpeg(np.rot90(reference, turns), 20), -turns))
        mirrored = compress_jpeg(np.rot90(reference[:, ::-1], turns), 20)
        results.append(np.rot90(mirrored, -turns)[:, ::-1])
    assert np.array_equal(found, np.rint(np.mean(results, axis=0)))
    assert np.any(found != results[0])


def test_tta_of_an_equivariant_restorer_equals_no_tta(reference):
    restorer = Restorer(Blur("blur", 2.0), PARAMETERS)
    plain, averaged = (restorer.restore(reference, tta=tta) for tta in (False, True))
    # Rows before columns, in float32: the eight differ where a value lies on a rounding border.
    assert np.abs(plain.astype(int) - averaged).max() <= 1
    assert np.mean(plain != averaged) < 1e-3


def test_tta_of_noise_averages_eight_draws():
    flat = np.full((128, 128), 128, np.uint8)
    restorer = Restorer(Noise("noise", 16.0), PARAMETERS)
    spreads = [np.std(restorer.restore(flat, tta) - 128.0) for tta in (False, True)]
    # A flat image is its own flip, so the same draw is averaged in its eight orientations.
    assert abs(spreads[0] - 16) < 0.4
    assert abs(spreads[1] - 16 / np.sqrt(8)) < 0.4


def test_what_decides_the_bytes_is_named_without_folders():
    restorer = Restorer(NETWORK, PARAMETERS, FILES)
    said = restorer.describe("tta")
    assert said["weights_sha256"] == ["p" * 64, "b" * 64]
    assert said["parameters"] == {"lr_rule": "antialiased", "scale": 2, "grey_rule": "rec601"}
    assert "a.bin" not in str(said)
    assert set(said["packages"]) == {"numpy", "opencv", "pillow", "ncnn"}
    changed = (
        replace(restorer, parameters=replace(PARAMETERS, scale=4)),
        replace(restorer, parameters=RestoreParameters()),
        replace(restorer, declared=replace(NETWORK, prepad_px=12)),
        replace(restorer, weights=replace(FILES, sha256=("p" * 64, "c" * 64))),
    )
    assert all(other.describe("tta") != said for other in changed)
    assert restorer.describe("notta") != said
    moved = replace(restorer, declared=replace(NETWORK, bin=Path("elsewhere.bin")))
    assert moved.describe("tta") == said


def test_the_recipe_of_ncnn_itself_is_as_it_was_before_there_was_a_choice():
    said = Restorer(NETWORK, PARAMETERS, FILES).describe("tta")
    assert said.pop("packages").keys() == {"numpy", "opencv", "pillow", "ncnn"}
    # As the commit before the choice hashed the same declaration.
    assert hash_json(said) == "2bb3edf43584eba1dc60997190d3204bccde5acdac375fb3a623b35b27f6f693"
    swinir = SpandrelWeights("spandrel", Path("a.pth"))
    files = Weights((Path("a.pth"),), ("f" * 64,), None, 9)
    said = Restorer(swinir, PARAMETERS, files).describe("notta")
    del said["packages"]
    assert hash_json(said) == "eaebe905439a300b7d066df3ebb4c80c3b10d78c6bd7f13abb771c20ffef9ba8"


def test_the_recipe_says_which_runtime_made_an_image():
    said = Restorer(ON_GPU, PARAMETERS, FILES).describe("tta")
    assert said["restorer"]["device"] == "cuda"
    assert set(said["packages"]) == {"numpy", "opencv", "pillow", "torch"}
    assert Restorer(ON_GPU, PARAMETERS, FILES).is_on_gpu
    assert not Restorer(NETWORK, PARAMETERS, FILES).is_on_gpu
    assert not Restorer(Blur("blur"), PARAMETERS).is_on_gpu


def test_controls_do_not_depend_on_how_lr_images_are_made():
    first, second = (
        Restorer(Blur("blur"), parameters).describe("notta")
        for parameters in (PARAMETERS, RestoreParameters(scale=4))
    )
    assert first == second
    assert Restorer(Blur("blur", 2.0), PARAMETERS).describe("notta") != first


def test_a_reference_that_does_not_divide_is_refused_where_an_lr_image_is_made():
    restorer = Restorer(Interpolation("bicubic"), PARAMETERS)
    assert restorer.find_refusal((32, 40)) is None
    assert "41x32 px, no multiple of [restore] scale = 2" in restorer.find_refusal((32, 41, 3))
    assert Restorer(Blur("blur"), PARAMETERS).find_refusal((33, 41)) is None


def test_the_cost_follows_weights_pixels_and_passes():
    restorer = Restorer(NETWORK, PARAMETERS, FILES)
    assert restorer.estimate_cost(1024, tta=False) == 1000 * 1024 / 4
    assert restorer.estimate_cost(1024, tta=True) == 8 * restorer.estimate_cost(1024, tta=False)


@pytest.mark.usefixtures("tinted")
def test_a_network_below_the_scale_is_an_error():
    restorer = Restorer(NETWORK, replace(PARAMETERS, scale=8), FILES)
    with pytest.raises(StudyError, match=r"enlarges by 4; expected at least \[restore\] scale = 8"):
        restorer.check()


@pytest.mark.parametrize(
    ("module", "declared", "extra"),
    [
        ("ncnn", NETWORK, "restore"),
        ("torch", SpandrelWeights("spandrel", Path("a.pth")), "restore-torch"),
        ("spandrel", SpandrelWeights("spandrel", Path("a.pth")), "restore-torch"),
        ("torch", ON_GPU, "restore-torch"),
    ],
)
def test_a_missing_extra_is_one_line_that_names_it(monkeypatch, module, declared, extra):
    if module == "spandrel":
        pytest.importorskip("torch", reason="needs torch, to miss spandrel")
    monkeypatch.setitem(sys.modules, module, None)
    restorers.load_network.cache_clear()
    weights = FILES if isinstance(declared, NcnnWeights) else replace(FILES, files=FILES.files[:1])
    with pytest.raises(StudyError, match=rf"pip install 'upscale-audit\[{extra}\]'") as caught:
        Restorer(declared, PARAMETERS, weights).check()
    assert "\n" not in str(caught.value)


def test_a_restorer_without_a_network_needs_nothing():
    restorer = prepare_restorer(Blur("blur"), PARAMETERS)
    restorer.check()
    assert restorer.weights is None
