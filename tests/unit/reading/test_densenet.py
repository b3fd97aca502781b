"""torchxrayvision's DenseNet-121 against torchvision's, from every kind of file."""

import io

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.readers import INTENSITIES, ReaderDeclaration
from upscale_audit.reading.densenet import list_shapes, scale_scores
from upscale_audit.reading.readers import load_reader

torch = pytest.importorskip("torch", reason="readers run in it: the extra readers")

FINDINGS = ("Atelectasis", "Mass", "Hernia")
SIDE = 64


@pytest.fixture(scope="module")
def oracle():
    """Give torchvision's DenseNet-121 of one plane and three outputs, statistics not trivial."""
    densenet121 = import_densenet()
    torch.manual_seed(5)
    network = densenet121(weights=None, num_classes=len(FINDINGS))
    network.features.conv0 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    torch.nn.init.uniform_(network.classifier.bias, -1, 1)
    return network.eval()


def import_densenet():
    """Import torchvision's, also where its operators are built for another PyTorch."""
    try:
        from torchvision.models import densenet121
    except RuntimeError:
        # Only detection calls the two that it describes whether they are there or not.
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision.models import densenet121
    except ImportError:
        pytest.skip("torchvision is the oracle: pip install torchvision")
    return densenet121


@pytest.fixture
def put(tmp_path):
    """Save what torch.save takes; gives the declaration of a reader of it."""

    def write(item, is_zip=True, **given):
        buffer = io.BytesIO()
        torch.save(item, buffer, _use_new_zipfile_serialization=is_zip)
        path = tmp_path / "densenet.pt"
        path.write_bytes(buffer.getvalue())
        settings = {
            "format": "torchxrayvision",
            "input_px": SIDE,
            "intensity": INTENSITIES["unit"],
            "findings": FINDINGS,
            "score": "logit",
        }
        return ReaderDeclaration("densenet", path, **settings | given)

    return write


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).uniform(0, 255, (2, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(oracle, images):
    """Logits and class activation maps by torchvision's modules."""
    with torch.inference_mode():
        planes = torch.from_numpy(images)[:, None] / 255
        features = oracle.features(planes).relu()
        maps = torch.einsum("of,nfhw->nohw", oracle.classifier.weight, features)
        return oracle(planes).numpy(), maps.numpy()


@pytest.mark.parametrize(
    ("is_module", "is_zip"), [(True, True), (True, False), (False, True), (False, False)]
)
def test_scores_and_maps_are_torchvisions(oracle, put, images, expected, is_module, is_zip):
    declared = put(oracle if is_module else oracle.state_dict(), is_zip)
    reader = load_reader(declared, "cpu")
    assert (reader.has_maps, reader.findings) == (True, FINDINGS)
    scores, maps = reader.read(images)
    logits, activations = expected
    np.testing.assert_allclose(scores, logits, rtol=0, atol=2e-5)
    np.testing.assert_allclose(maps, activations, rtol=0, atol=2e-4)
    # Their mean, and the bias, are the logit.
    means = maps.mean(axis=(2, 3)) + oracle.classifier.bias.detach().numpy()
    np.testing.assert_allclose(means, scores, rtol=0, atol=1e-4)


def test_a_probability_is_the_sigmoid_and_one_image_is_read_as_many(oracle, put, images, expected):
    reader = load_reader(put(oracle.state_dict(), score="probability"), "cpu")
    scores, _ = reader.read(images)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-expected[0])), rtol=0, atol=1e-5)
    alone = [reader.read(image[None])[0][0] for image in images]
    np.testing.assert_allclose(alone, scores, rtol=0, atol=1e-6)


def test_the_operating_points_of_a_file_become_one_half(oracle, put, images, expected):
    limits = torch.tensor([0.2, 0.6, 0.05])
    state = oracle.state_dict() | {"op_threshs": limits}
    scores, _ = load_reader(put(state, score="probability"), "cpu").read(images)
    plain = 1 / (1 + np.exp(-expected[0].astype(np.float64)))
    for found, p, t in zip(scores.T, plain.T, limits.tolist(), strict=True):
        for one, probability in zip(found, p, strict=True):
            below, above = probability / (2 * t), 1 - (1 - probability) / (2 * (1 - t))
            assert one == pytest.approx(below if probability < t else above, abs=1e-5)
    logits, _ = load_reader(put(state), "cpu").read(images)
    np.testing.assert_allclose(logits, expected[0], rtol=0, atol=2e-5)


def test_operating_points_are_where_torchxrayvision_puts_them():
    """Its op_norm gives 0, 0.25, 0.5, 0.75 and 1 for these, by the equation in its source."""
    scores = torch.tensor([[0.0, 0.1, 0.2, 0.6, 1.0]], dtype=torch.float64)
    found = scale_scores(torch, scores, torch.full((5,), 0.2, dtype=torch.float64))
    np.testing.assert_allclose(found[0], [0, 0.25, 0.5, 0.75, 1], atol=1e-12)


def test_a_finding_without_an_operating_point_is_refused(oracle, put):
    state = oracle.state_dict() | {"op_threshs": torch.tensor([0.2, torch.nan, 0.05])}
    with pytest.raises(StudyError, match=r"'Mass', which the network was not trained on"):
        load_reader(put(state, score="probability"), "cpu")
    passed = put(state, score="probability", findings=("Atelectasis", "", "Hernia"))
    assert load_reader(passed, "cpu").findings == ("Atelectasis", "Hernia")


def test_the_layout_is_torchvisions(oracle):
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in oracle.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert list_shapes(1, len(FINDINGS)) == shapes


def test_other_weights_are_one_line(oracle, put):
    state = oracle.state_dict()
    for change, message in (
        ({"classifier.bias": None}, r"expected classifier.bias of shape \(3,\), found nothing"),
        ({"classifier.bias": torch.zeros(4)}, r"of shape \(3,\), found \(4,\)"),
        ({"features.norm5.bias": torch.full((1024,), torch.nan)}, "features.norm5.bias is not"),
        ({"features.norm5.bias": torch.zeros(1024, dtype=torch.int64)}, "features.norm5.bias of"),
    ):
        changed = {name: item for name, item in (state | change).items() if item is not None}
        with pytest.raises(StudyError, match=message) as caught:
            load_reader(put(changed), "cpu")
        assert "\n" not in str(caught.value)
    with pytest.raises(StudyError, match="holds no DenseNet-121 of 2 outputs"):
        load_reader(put(state, findings=FINDINGS[:2]), "cpu")
    with pytest.raises(StudyError, match=r"conv0.weight of shape \(64, 3, 7, 7\)"):
        load_reader(put(state, intensity=INTENSITIES["imagenet"]), "cpu")
    with pytest.raises(StudyError, match="correct input_px"):
        load_reader(put(state, input_px=16), "cpu")
