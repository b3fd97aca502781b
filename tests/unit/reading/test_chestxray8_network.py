import itertools
import math

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError

torch = pytest.importorskip("torch", reason="pip install 'upscale-audit[readers]'")

from upscale_audit.reading.chestxray8_network import (  # noqa: E402
    ChestXray8Network,
    NetworkDesign,
    ResidualTrunk,
    fill_trunk,
    pool_maps,
    weigh_cross_entropy,
)


def weigh_naively(logits, labels):
    """W-CEL as the paper writes it, over |P| + |N|."""
    probabilities = 1 / (1 + np.exp(-logits))
    p, n = (labels == 1).sum(), (labels == 0).sum()
    total = 0.0
    for f, y in zip(probabilities.ravel(), labels.ravel(), strict=True):
        total += (p + n) / p * -math.log(f) if y else (p + n) / n * -math.log(1 - f)
    return total / (p + n)


@pytest.fixture
def batch():
    """Give logits and labels of 6 images and 4 findings, few of them positive."""
    generator = np.random.default_rng(2)
    labels = (generator.random((6, 4)) < 0.2).astype(float)
    labels[0, 0], labels[0, 1] = 1, 0
    return generator.normal(0, 2, (6, 4)), labels


def test_the_loss_is_the_papers(batch):
    logits, labels = batch
    found = weigh_cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
    assert float(found) == pytest.approx(weigh_naively(logits, labels), rel=1e-12)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_batch_of_one_kind_has_the_other_sum_empty(label):
    logits = torch.tensor([[0.5, -1.0]], dtype=torch.float64)
    found = weigh_cross_entropy(logits, torch.full((1, 2), label, dtype=torch.float64))
    sign = -1 if label else 1
    expected = sum(math.log1p(math.exp(sign * value)) for value in (0.5, -1.0)) / 2
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_positives_weigh_as_much_as_negatives():
    logits = torch.zeros(1, 10, dtype=torch.float64, requires_grad=True)
    labels = torch.zeros(1, 10, dtype=torch.float64)
    labels[0, 0] = 1
    weigh_cross_entropy(logits, labels).backward()
    assert float(logits.grad[0, 0]) == pytest.approx(-0.5)
    assert float(logits.grad[0, 1:].sum()) == pytest.approx(0.5)


def test_huge_logits_have_a_finite_loss():
    logits = torch.tensor([[1e4, -1e4]])
    assert float(weigh_cross_entropy(logits, torch.tensor([[0.0, 1.0]]))) == pytest.approx(2e4)


def test_gradients_of_the_loss_and_of_every_pooling_are_those_of_finite_differences(batch):
    logits, labels = (torch.from_numpy(item) for item in batch)
    assert torch.autograd.gradcheck(weigh_cross_entropy, (logits.requires_grad_(), labels))
    maps = torch.from_numpy(np.random.default_rng(4).normal(size=(2, 3, 3, 4))).requires_grad_()
    for pooling, r in itertools.product(("lse", "max", "average"), (0.5, 10.0)):
        assert torch.autograd.gradcheck(lambda x, p=pooling, k=r: pool_maps(x, p, r=k), (maps,))


@pytest.mark.parametrize("r", [0.1, 1.0, 10.0])
def test_log_sum_exp_is_the_papers(r):
    maps = np.random.default_rng(1).normal(size=(2, 3, 4, 5))
    found = pool_maps(torch.from_numpy(maps), "lse", r=r).numpy()
    expected = np.log(np.exp(r * maps).mean(axis=(2, 3))) / r
    assert found == pytest.approx(expected, rel=1e-12)


def test_log_sum_exp_tends_to_the_average_and_to_the_maximum():
    maps = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 3, 4, 5)))
    average, largest = (pool_maps(maps, name, r=1).numpy() for name in ("average", "max"))
    assert pool_maps(maps, "lse", r=1e-6).numpy() == pytest.approx(average, abs=1e-5)
    assert pool_maps(maps, "lse", r=1e6).numpy() == pytest.approx(largest, abs=1e-5)
    assert (average < largest).all()


def test_log_sum_exp_neither_overflows_nor_vanishes():
    maps = torch.tensor([[[[1000.0, 999.0]], [[-1000.0, -1001.0]]]])
    expected = math.log((1 + math.exp(-10)) / 2) / 10
    found = pool_maps(maps, "lse", r=10)[0].tolist()
    assert found == pytest.approx([1000 + expected, -1000 + expected])


# torchvision 0.28.0's resnetN(): its parameters (11,689,512; 21,797,672; 25,557,032) less those of
# its classifier and of two of the first convolution's three planes.
@pytest.mark.parametrize(
    ("layers", "published", "maps"),
    [(18, 11_689_512, 512), (34, 21_797_672, 512), (50, 25_557_032, 2048)],
)
def test_a_trunk_has_the_published_parameters(layers, published, maps):
    with torch.device("meta"):
        trunk = ResidualTrunk(layers)
    count = sum(parameter.numel() for parameter in trunk.parameters())
    assert count == published - (1000 * maps + 1000) - 2 * 64 * 49
    assert trunk.maps == maps


def make_network(**changes):
    settings = {"trunk": 18, "pooling": "lse", "r": 10.0, "findings": 2, "width": 4} | changes
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return ChestXray8Network(NetworkDesign(**settings)).eval()


@pytest.mark.parametrize("layers", [18, 50])
def test_maps_are_a_32nd_of_the_image_and_not_negative(layers):
    network = make_network(trunk=layers)
    with torch.no_grad():
        maps = network.find_maps(torch.full((1, 96, 64), 120.0))
    assert maps.shape == (1, network.trunk.maps, 3, 2)
    assert float(maps.min()) >= 0


def test_under_average_pooling_a_logit_is_its_maps_mean_and_the_bias():
    network = make_network(pooling="average")
    levels = torch.rand(3, 64, 64) * 255
    with torch.no_grad():
        torch.nn.init.normal_(network.prediction.bias)
        found = network.activate(network.find_maps(levels)).mean(dim=(2, 3))
        expected = network(levels) - network.prediction.bias
    assert torch.allclose(found, expected, atol=1e-5)


def make_published_state(trunk):
    """Make a state dict as torchvision has it: three planes, a classifier."""
    generator = torch.Generator().manual_seed(5)
    state = {
        name: torch.rand(value.shape, generator=generator) + 0.1
        for name, value in trunk.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    state["conv1.weight"] = torch.rand((4, 3, 7, 7), generator=generator)
    return state | {"fc.weight": torch.zeros(1000, trunk.maps), "fc.bias": torch.zeros(1000)}


def test_published_weights_see_three_equal_planes_as_one():
    trunk = ResidualTrunk(18, 4)
    state = make_published_state(trunk)
    fill_trunk(trunk, state, "file")
    plane = torch.rand(1, 1, 20, 20)
    expected = torch.nn.functional.conv2d(
        plane.expand(-1, 3, -1, -1), state["conv1.weight"], stride=2, padding=3
    )
    assert torch.allclose(trunk.conv1(plane), expected, atol=1e-4)
    assert torch.equal(trunk.layer4[1].bn2.running_var, state["layer4.1.bn2.running_var"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bn1.weight": None}, r"expected bn1.weight of shape \(4,\), found nothing"),
        ({"bn1.weight": torch.ones(5)}, r"found the shape \(5,\)"),
        ({"bn1.weight": torch.full((4,), math.nan)}, "found values that are not finite"),
        ({"layer5.0.bn1.weight": torch.ones(4)}, "layer5.0.bn1.weight is no tensor of this"),
    ],
)
def test_other_weights_than_the_trunks_are_named(change, message):
    trunk = ResidualTrunk(18, 4)
    state = make_published_state(trunk) | change
    given = {name: value for name, value in state.items() if value is not None}
    with pytest.raises(StudyError, match=f"weights.pth: {message}|weights.pth: .*{message}"):
        fill_trunk(trunk, given, "weights.pth")


@pytest.mark.parametrize(
    "change",
    [{"trunk": 101}, {"pooling": "mean"}, {"r": 0.0}, {"r": math.nan}, {"findings": 0}],
)
def test_a_design_that_is_none_is_refused(change):
    name = next(iter(change))
    with pytest.raises(StudyError, match=f"^{name} = .*; expected"):
        make_network(**change)
