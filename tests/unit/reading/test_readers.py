"""Readers as TorchScript and ONNX: hand-computed scores, and each mistake in one line."""

import hashlib
import math

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.readers import INTENSITIES, ReaderDeclaration, parse_intensity
from upscale_audit.reading import readers as registry
from upscale_audit.reading.readers import complete_declaration, hash_weights, load_reader

torch = pytest.importorskip("torch", reason="readers run in it: the extra readers")

SIDE = 32


def declare(file, **given):
    settings = {
        "reader": "mean",
        "format": "torchscript" if file.suffix == ".pt" else "onnx",
        "input_px": SIDE,
        "intensity": INTENSITIES["unit"],
        "findings": ("bright", "dark"),
        "score": "probability",
    }
    return ReaderDeclaration(file=file, **settings | given)


@pytest.fixture
def put(tmp_path):
    """Write a reader's file; gives its path."""

    def write(data, name="reader.pt"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.SerializeToString())
        return path

    return write


@pytest.fixture
def refuse():
    """Load a bad reader, or let it read; returns the message, which is one line."""

    def read(declared, images):
        reader = load_reader(declared, "cpu")
        if images is not None:
            reader.read(images)

    def message_of(declared, images=None):
        with pytest.raises(StudyError) as caught:
            read(declared, images)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message_of


@pytest.fixture(scope="module")
def images():
    """Three images of whole grey levels, whose sums are exact."""
    return np.random.default_rng(3).integers(0, 256, (3, SIDE, SIDE)).astype(np.float32)


@pytest.mark.parametrize("has_maps", [True, False])
@pytest.mark.parametrize("kind", ["torchscript", "onnx", "onnx of one image"])
def test_the_mean_grey_level_is_the_mean_grey_level(
    kind, has_maps, images, put, mean_grey_script, make_onnx
):
    if kind == "torchscript":
        file = put(mean_grey_script[has_maps])
    else:
        batch = 1 if kind == "onnx of one image" else "n"
        file = put(make_onnx(SIDE, has_maps=has_maps, batch=batch), "reader.onnx")
    reader = load_reader(declare(file), "cpu")
    assert (reader.findings, reader.input_px) == (("bright", "dark"), SIDE)
    assert reader.has_maps is has_maps
    assert reader.library.split()[0] == ("torch" if kind == "torchscript" else "onnxruntime")
    scores, maps = reader.read(images)
    expected = images.astype(np.float64).mean(axis=(1, 2)) / 255
    np.testing.assert_allclose(scores[:, 0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(scores[:, 1], 1 - expected, rtol=0, atol=1e-6)
    assert scores.dtype == np.float64
    if has_maps:
        cells = images.reshape(3, 4, 8, 4, 8).astype(np.float64).mean(axis=(2, 4)) / 255
        np.testing.assert_allclose(maps[:, 0], cells, rtol=0, atol=1e-6)
        assert maps.shape == (3, 2, 4, 4)
    else:
        assert maps is None


def test_an_output_without_a_name_is_passed_over(images, put, mean_grey_script):
    file = put(mean_grey_script[True])
    both = load_reader(declare(file), "cpu").read(images)
    one = load_reader(declare(file, findings=("", "dark")), "cpu")
    assert one.findings == ("dark",)
    for found, expected in zip(one.read(images), both, strict=True):
        np.testing.assert_array_equal(found, expected[:, 1:])


@pytest.mark.parametrize(
    ("intensity", "low", "high"),
    [
        ("unit", [0], [1]),
        ("xrv", [-1024], [1024]),
        ("imagenet", [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225],
         [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]),
        ({"mean": 0.5, "std": 0.25}, [-2], [2]),
        ({"mean": [0, 0, 0], "std": [1, 1, 0.5]}, [0, 0, 0], [1, 1, 2]),
    ],
)  # fmt: skip
def test_black_and_white_are_scaled_as_the_study_says(intensity, low, high, put, script):
    class Corners(torch.nn.Module):
        def forward(self, planes):
            return planes[:, :, 0, 0]

    names = tuple(f"plane {number}" for number in range(len(low)))
    declared = declare(
        put(script(Corners())),
        findings=names,
        intensity=parse_intensity(intensity),
        score="logit",
    )
    reader = load_reader(declared, "cpu")
    black_and_white = np.stack([np.zeros((SIDE, SIDE)), np.full((SIDE, SIDE), 255)])
    scores, _ = reader.read(black_and_white.astype(np.float32))
    np.testing.assert_allclose(scores, [low, high], rtol=1e-6, atol=1e-6)


def test_the_xrv_scale_is_torchxrayvisions_own_to_the_bit():
    levels = np.arange(256, dtype=np.float32)
    expected = (2 * (levels / np.float32(255)) - np.float32(1)) * np.float32(1024)
    found = registry.scale_planes(levels[None, None], INTENSITIES["xrv"])
    np.testing.assert_array_equal(found[0, 0, 0], expected)


def test_the_file_must_be_the_one_that_the_study_states(put, mean_grey_script, refuse, images):
    file = put(mean_grey_script[True])
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    stated = declare(file, sha256=sha256)
    assert hash_weights(stated) == sha256
    assert load_reader(stated, "cpu", sha256).read(images)[0].shape == (3, 2)
    other = declare(file, sha256="0" * 64)
    assert f"has the SHA-256 {sha256}; expected 0000" in refuse(other)
    with pytest.raises(StudyError, match="bring that file, or correct sha256"):
        hash_weights(other)
    with pytest.raises(StudyError, match="changed while it was used"):
        load_reader(declare(file), "cpu", "0" * 64)
    file.unlink()
    assert "cannot read" in refuse(stated)
    with pytest.raises(StudyError, match="cannot read"):
        hash_weights(stated)


def test_a_network_of_another_size_or_of_other_planes_is_one_line(put, make_onnx, refuse, script):
    file = put(make_onnx(SIDE), "reader.onnx")
    assert "takes tensor(float) of the shape ['n', 1, 32, 32]" in refuse(declare(file, input_px=64))
    three = declare(file, intensity=INTENSITIES["imagenet"])
    assert "expected float32 of (n, 3, 32, 32) in" in refuse(three)

    class Fixed(torch.nn.Module):
        def forward(self, planes):
            return planes.reshape(planes.shape[0], 32 * 32)[:, :2]

    file = put(script(Fixed()))
    assert load_reader(declare(file), "cpu").findings == ("bright", "dark")
    message = refuse(declare(file, input_px=64))
    assert "failed on planes of the shape (1, 1, 64, 64)" in message
    assert "correct input_px or intensity" in message


def test_other_outputs_than_findings_are_one_line(put, mean_grey_script, make_onnx, refuse):
    names = ("bright", "dark", "grey")
    expected = "gives scores of the shape (1, 2) for 1 image(s); expected (1, 3)"
    assert expected in refuse(declare(put(mean_grey_script[True]), findings=names))
    assert expected in refuse(declare(put(make_onnx(SIDE), "a.onnx"), findings=names))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "gives a score that is not finite"),
        (math.inf, "gives a score that is not finite"),
        (1.5, "gives the score 1.5; expected a probability, 0 to 1: state score = 'logit'"),
        (-0.1, "gives the score -0.1"),
    ],
)
def test_a_score_that_is_none_is_one_line(put, script, refuse, images, value, message):
    class Constant(torch.nn.Module):
        def __init__(self, value: float):
            super().__init__()
            self.value = value

        def forward(self, planes):
            return torch.full((planes.shape[0], 2), self.value)

    declared = declare(put(script(Constant(value))))
    assert message in refuse(declared, images)
    if math.isfinite(value):
        logits = load_reader(declare(declared.file, score="logit"), "cpu")
        assert logits.read(images)[0][0, 0] == pytest.approx(value)


def test_maps_of_another_number_or_that_are_not_finite_are_one_line(put, script, refuse, images):
    class Maps(torch.nn.Module):
        def __init__(self, count: int, value: float):
            super().__init__()
            self.count, self.value = count, value

        def forward(self, planes):
            scores = torch.zeros(planes.shape[0], 2)
            return scores, torch.full((planes.shape[0], self.count, 3, 3), self.value)

    message = refuse(declare(put(script(Maps(3, 0.0)))))
    assert "gives maps of the shape (1, 3, 3, 3); expected (1, 2, rows, columns)" in message
    assert "gives a map that is not finite" in refuse(
        declare(put(script(Maps(2, math.nan)))), images
    )


def test_a_result_that_is_no_tensor_is_one_line(put, script, refuse):
    class Named(torch.nn.Module):
        def forward(self, planes):
            return {"scores": planes}

    assert "gives (dict); expected scores, or" in refuse(declare(put(script(Named()))))


def test_a_file_of_another_kind_is_one_line(put, mean_grey_script, refuse, tmp_path):
    text = put(b"not a network", "a.onnx")
    assert "is no ONNX file" in refuse(declare(text))
    assert "cannot be loaded by ONNX Runtime" in refuse(declare(put(b"", "b.onnx")))
    assert "is no TorchScript archive" in refuse(declare(text, format="torchscript"))
    damaged = put(mean_grey_script[True].replace(b"code/__torch__", b"c0de/__torch__"))
    assert "cannot be loaded as TorchScript" in refuse(declare(damaged))


def test_a_device_that_is_not_there_is_one_line(put, mean_grey_script, make_onnx, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra readers")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(StudyError, match="finds no such device here"):
        load_reader(declare(put(mean_grey_script[True])), "cuda")
    with pytest.raises(StudyError, match="has no CUDAExecutionProvider; leave it out"):
        load_reader(declare(put(make_onnx(SIDE), "a.onnx")), "cuda")


def test_an_onnx_file_that_keeps_data_elsewhere_is_refused(put, make_onnx, refuse, tmp_path):
    onnx = pytest.importorskip("onnx", reason="makes the tests' networks: the extra dev")
    model = make_onnx(SIDE)
    path = tmp_path / "external.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    assert (tmp_path / "data.bin").exists()
    assert "keeps its weights in another file" in refuse(declare(path))
    # Within a constant of a branch of a node, too.
    helper = onnx.helper
    tensor = onnx.numpy_helper.from_array(np.float32([1]), "inner")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["x"], value=tensor)], "branch", [], []
    )
    model.graph.node.append(helper.make_node("If", ["c"], ["y"], then_branch=inner))
    assert "keeps its weights in another file" in refuse(declare(put(model, "branch.onnx")))


def test_an_onnx_file_of_other_inputs_is_one_line(put, make_onnx, refuse):
    onnx = pytest.importorskip("onnx", reason="makes the tests' networks: the extra dev")
    model = make_onnx(SIDE)
    extra = onnx.helper.make_tensor_value_info("age", onnx.TensorProto.FLOAT, [1])
    model.graph.input.append(extra)
    assert "has 2 inputs and 2 outputs; expected one input" in refuse(
        declare(put(model, "two.onnx"))
    )


def test_a_format_plugs_in_by_its_loader_and_what_its_file_says(monkeypatch, tmp_path):
    file = tmp_path / "own.safetensors"
    file.write_bytes(b"weights")
    stated = ReaderDeclaration("own", file, "chestxray8")
    said = {"input_px": 64, "intensity": {"mean": 0.5, "std": 0.25}, "findings": ["Mass"]}
    said["score"] = "logit"
    monkeypatch.setitem(registry.DESCRIBERS, "chestxray8", lambda path: said)
    complete = complete_declaration(stated)
    assert (complete.input_px, complete.findings, complete.score) == (64, ("Mass",), "logit")
    assert complete.intensity == parse_intensity(said["intensity"])
    assert complete_declaration(complete) == complete
    with pytest.raises(StudyError, match=r"input_px = 32, but .* says 64; take input_px out"):
        complete_declaration(ReaderDeclaration("own", file, "chestxray8", input_px=32))
    monkeypatch.setitem(registry.LOADERS, "chestxray8", lambda weights: weights)
    assert load_reader(complete, "cpu").data == b"weights"
    monkeypatch.delitem(registry.LOADERS, "chestxray8")
    with pytest.raises(StudyError, match="no reader of the format 'chestxray8' is known here"):
        load_reader(complete, "cpu")


def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch, tmp_path):
    file = tmp_path / "a.onnx"
    file.write_bytes(b"")

    def load(weights):
        raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime")

    monkeypatch.setitem(registry.LOADERS, "onnx", load)
    with pytest.raises(StudyError, match=r"needs onnxruntime.*pip install 'upscale-audit\[readers"):
        load_reader(declare(file), "cpu")
