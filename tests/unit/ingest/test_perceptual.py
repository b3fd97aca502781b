"""LPIPS against its equation written in NumPy, with random weights in the published layout."""

import importlib.metadata
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from upscale_audit.ingest import perceptual
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.perceptual import PerceptualFiles, describe_weights, load_network
from upscale_audit.ingest.run import ingest_study, plan_units
from upscale_audit.ingest.units import ensure_unit

# ---- without torch


@pytest.fixture
def no_torch(monkeypatch):
    def find(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(perceptual.importlib.metadata, "version", find)


@pytest.mark.usefixtures("no_torch")
def test_weights_without_torch_name_the_extra(tmp_path):
    with pytest.raises(StudyError, match=r"pip install 'upscale-audit\[torch\]'"):
        describe_weights(PerceptualFiles(tmp_path / "a", tmp_path / "b"))


@pytest.mark.usefixtures("no_torch")
def test_a_study_without_weights_needs_no_torch(tiny_study, read_rows):
    study = tiny_study.load()
    assert describe_weights(study.perceptual) is None
    ingest_study(study, workers=1)
    assert {row["lpips"] for row in read_rows(study.raw, "image_metrics")} == {None}
    reasons = {row["metric"]: row["not_measured"] for row in read_rows(study.raw, "metrics")}
    assert reasons.pop("lpips") == "no weights: name alexnet and lpips in [perceptual]"
    assert set(reasons.values()) == {None}


def test_a_missing_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(perceptual.importlib.metadata, "version", lambda name: "1")
    with pytest.raises(StudyError, match=r"cannot read the weights: .*a\.pth.*\[perceptual\]"):
        describe_weights(PerceptualFiles(tmp_path / "a.pth", tmp_path / "b.pth"))


# ---- with torch


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="LPIPS needs the extra torch, which is not here")


@pytest.fixture(scope="module")
def state():
    """Give random weights under the published names, as NumPy arrays."""
    generator = np.random.default_rng(11)
    alexnet, lpips = {}, {}
    for layer, (number, ins, outs, kernel) in enumerate(
        [(0, 3, 64, 11), (3, 64, 192, 5), (6, 192, 384, 3), (8, 384, 256, 3), (10, 256, 256, 3)]
    ):
        spread = (ins * kernel**2) ** -0.5
        shape = (outs, ins, kernel, kernel)
        alexnet[f"features.{number}.weight"] = generator.normal(0, spread, shape)
        alexnet[f"features.{number}.bias"] = generator.normal(0, 0.1, outs)
        lpips[f"lin{layer}.model.1.weight"] = generator.random((1, outs, 1, 1))
    # The published files hold more than is read.
    alexnet["classifier.6.bias"] = np.zeros(1000)
    both = alexnet, lpips
    return tuple({name: item.astype(np.float32) for name, item in one.items()} for one in both)


@pytest.fixture
def save(torch, tmp_path):
    """Give a function that writes two states and names them."""

    def write(alexnet, lpips):
        files = PerceptualFiles(tmp_path / "alexnet.pth", tmp_path / "alex.pth")
        for path, content in ((files.alexnet, alexnet), (files.lpips, lpips)):
            if isinstance(content, dict):
                content = {name: torch.from_numpy(item) for name, item in content.items()}
            torch.save(content, path)
        return files

    return write


@pytest.fixture(scope="module")
def network(torch, state, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    files = PerceptualFiles(folder / "alexnet.pth", folder / "alex.pth")
    for path, content in zip((files.alexnet, files.lpips), state, strict=True):
        torch.save({name: torch.from_numpy(item) for name, item in content.items()}, path)
    return load_network(describe_weights(files))


def draw(seed, shape):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, shape, dtype=np.uint8)


def slide(image, size, step):
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(1, 2))
    return windows[:, ::step, ::step]


def naive_lpips(state, reference, restored):
    """LPIPS v0.1 in float64: arrays (M, N, 3) uint8."""
    alexnet, lpips = state
    shift = np.array([-0.030, -0.088, -0.188])
    scale = np.array([0.458, 0.448, 0.450])
    images = [
        np.moveaxis((image / 127.5 - 1 - shift) / scale, 2, 0) for image in (reference, restored)
    ]
    total = 0.0
    for layer, (number, step, border) in enumerate(
        [(0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)]
    ):
        weight = alexnet[f"features.{number}.weight"].astype(float)
        bias = alexnet[f"features.{number}.bias"].astype(float)
        linear = lpips[f"lin{layer}.model.1.weight"].astype(float).ravel()
        units = []
        for which, image in enumerate(images):
            if layer in (1, 2):
                image = slide(image, 3, 2).max(axis=(3, 4))
            image = np.pad(image, ((0, 0), (border, border), (border, border)))
            image = np.einsum(
                "crsij,ocij->ors", slide(image, weight.shape[2], step), weight, optimize=True
            )
            images[which] = np.maximum(image + bias[:, None, None], 0)
            length = np.sqrt((images[which] ** 2).sum(axis=0))
            units.append(images[which] / (length + 1e-10))
        total += np.einsum("crs,c->rs", (units[0] - units[1]) ** 2, linear).mean()
    return total


@pytest.mark.parametrize("shape", [(64, 80), (31, 31), (75, 33)], ids=str)
def test_lpips_equals_the_equation(network, state, shape):
    reference = draw(1, (*shape, 3))
    restored = np.clip(reference.astype(int) + draw(2, (*shape, 3)) // 8, 0, 255).astype(np.uint8)
    found = network.compare(
        network.extract(reference[..., 0], reference), network.extract(restored[..., 0], restored)
    )
    assert type(found) is float
    assert found == pytest.approx(naive_lpips(state, reference, restored), rel=1e-5)
    assert found > 0.001


def test_a_grey_image_stands_for_three_equal_channels(network, state):
    reference, restored = draw(3, (40, 48)), draw(4, (40, 48))
    colours = [np.repeat(image[..., None], 3, axis=2) for image in (reference, restored)]
    found = network.compare(network.extract(reference), network.extract(restored))
    assert found == network.compare(
        network.extract(reference, colours[0]), network.extract(restored, colours[1])
    )
    assert found == pytest.approx(naive_lpips(state, *colours), rel=1e-5)


@pytest.mark.parametrize("level", [0, 255, None], ids=["black", "white", "noise"])
def test_identical_images_give_exactly_zero(network, level):
    image = draw(5, (64, 64)) if level is None else np.full((64, 64), level, np.uint8)
    assert network.compare(network.extract(image), network.extract(image.copy())) == 0.0


def test_a_value_does_not_depend_on_what_was_measured_before(network):
    images = [draw(seed, (96, 96)) for seed in range(4)]
    first = network.compare(network.extract(images[0]), network.extract(images[1]))
    network.compare(network.extract(images[2]), network.extract(images[3]))
    network.extract(images[3][:40])
    assert network.compare(network.extract(images[0]), network.extract(images[1])) == first


@pytest.mark.parametrize("shape", [(30, 64), (64, 30), (1, 1)], ids=str)
def test_an_image_too_small_for_the_deepest_layer_has_no_value(network, shape):
    assert network.extract(np.zeros(shape, np.uint8)) is None
    assert network.compare(None, None) is None


# ---- weights that are not as expected


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (0, {"features.6.bias": None}, r"alexnet\.pth: expected features\.6\.bias of shape \(384,\)"
         r", found nothing; name torchvision's AlexNet .* as alexnet in \[perceptual\]"),
        (0, {"features.0.weight": np.zeros((64, 3, 3, 3), np.float32)},
         r"shape \(64, 3, 11, 11\), found the shape \(64, 3, 3, 3\)"),
        (1, {"lin4.model.1.weight": None}, r"alex\.pth: expected lin4\.model\.1\.weight .*nothing;"
         r" name the lpips package's v0\.1 weights"),
        (1, {"lin0.model.1.weight": np.full((1, 64, 1, 1), np.nan, np.float32)},
         "values that are not finite"),
    ],
)  # fmt: skip
def test_missing_or_misshapen_weights_are_named(save, state, part, change, message):
    content = [dict(item) for item in state]
    for name, value in change.items():
        content[part].pop(name)
        if value is not None:
            content[part][name] = value
    weights = describe_weights(save(*content))
    with pytest.raises(StudyError, match=message):
        load_network(weights)


def test_a_file_that_is_no_state_dict_is_refused(save, state):
    files = save(*state)
    for data in (b"", b"text", files.lpips.read_bytes()[:2000]):
        files.lpips.write_bytes(data)
        with pytest.raises(StudyError, match=r"alex\.pth is no file of weights: .* as lpips in"):
            load_network(describe_weights(files))
    with pytest.raises(StudyError, match="holds a list; expected a state dict"):
        load_network(describe_weights(save(state[0], [1, 2])))


class Payload:
    """Unpickled, this would run code."""

    def __reduce__(self):
        return (print, ("run",))


def test_a_file_that_holds_code_is_refused_unrun(save, state, capsys):
    with pytest.raises(StudyError, match="is no file of weights"):
        load_network(describe_weights(save(state[0], Payload())))
    assert "run" not in capsys.readouterr().out


def test_weights_changed_since_they_were_hashed_are_refused(save, state):
    files = save(*state)
    weights = describe_weights(files)
    files.lpips.write_bytes(files.lpips.read_bytes() + b"x")
    with pytest.raises(StudyError, match="changed while it was used; run upscale-audit ingest"):
        load_network(weights)


# ---- in an ingest


@pytest.fixture
def weighted(study_folder, save, state):
    study_folder.add_model("alpha")
    study_folder.add_image("large", (64, 48))
    study_folder.add_image("small", (16, 24))
    return replace(study_folder.load(), perceptual=save(*state))


def test_an_ingest_with_weights_measures_lpips(weighted, network, study_folder, read_rows):
    from PIL import Image

    ingest_study(weighted, workers=1)
    rows = read_rows(weighted.raw, "image_metrics")
    assert len(rows) == 4
    folders = {path: study_folder.folder("alpha", path) for path in ("notta", "tta")}
    for row in rows:
        if row["image_id"] == "small":
            assert (row["lpips"], row["lpips_rounded"]) == (None, None)
            continue
        grey = [
            np.asarray(Image.open(folder / "large.png"))
            for folder in (study_folder.folder(), folders[row["inference_path"]])
        ]
        expected = network.compare(*map(network.extract, grey))
        assert row["lpips"] == expected > 0
        assert row["lpips_rounded"] == round(expected, 4)
    assert {row["not_measured"] for row in read_rows(weighted.raw, "metrics")} == {None}


def test_other_weights_are_another_recipe_and_another_place_for_them_is_not(
    weighted, save, state, tmp_path
):
    pairing = pair_study(weighted)
    weights = describe_weights(weighted.perceptual)
    (unit,) = plan_units(weighted, pairing, weights)
    manifest, _ = ensure_unit(unit)
    assert manifest["recipe"]["perceptual"] == weights.recipe
    assert ensure_unit(unit) == (manifest, True)
    moved = PerceptualFiles(tmp_path / "c.pth", tmp_path / "d.pth")
    moved.alexnet.write_bytes(weights.files.alexnet.read_bytes())
    moved.lpips.write_bytes(weights.files.lpips.read_bytes())
    (same,) = plan_units(weighted, pairing, describe_weights(moved))
    assert same.unit_id == unit.unit_id
    other = {name: item + 1 for name, item in state[1].items()}
    (changed,) = plan_units(weighted, pairing, describe_weights(save(state[0], other)))
    assert changed.unit_id != unit.unit_id
    (without,) = plan_units(weighted, pairing)
    assert "perceptual" not in without.recipe


def test_weights_that_unpack_to_more_than_any_are_refused_unread(save, state, monkeypatch):
    files = save(*state)
    with zipfile.ZipFile(files.alexnet, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(5_000_000))
    monkeypatch.setattr("upscale_audit.ingest.perceptual.MAX_WEIGHTS_BYTES", 4_000_000)
    with pytest.raises(StudyError, match="unpacks to 5000000 bytes; name torchvision's AlexNet"):
        load_network(describe_weights(files))
    files.alexnet.write_bytes(bytes(4_000_001))
    with pytest.raises(StudyError, match="more than 4000000 bytes; name torchvision's AlexNet"):
        load_network(describe_weights(files))
