"""ncnn's networks run by PyTorch: what ncnn gives, layer by layer and for each shipped network."""

import random

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.ncnn_graph import BINARY_OPERATIONS, read_graph
from upscale_audit.restore.tiles import to_bytes
from upscale_audit.restore.weights import KNOWN_WEIGHTS, find_weights

PACKAGED = [name for name, known in KNOWN_WEIGHTS.items() if known.package]
IDENTITY = "Convolution same 1 1 in out 0=3 1=1 5=1 6=9"


@pytest.fixture(scope="module")
def run_torch():
    """Give a maker of networks run by PyTorch on the CPU."""
    pytest.importorskip("torch", reason="needs the extra restore-torch")
    from upscale_audit.restore.ncnn_torch import NcnnTorchNetwork

    return lambda param, weights, scale=1: NcnnTorchNetwork(param, weights, scale, "cpu")


@pytest.fixture
def write(tmp_path):
    """Give a writer of a network: layers behind the input ``in``, and the weights' bytes."""

    def make(lines, data=b""):
        text = ["Input in 0 1 in", *lines]
        tops = sum(int(line.split()[3]) for line in text)
        param, weights = tmp_path / "net.param", tmp_path / "net.bin"
        param.write_text("\n".join(["7767517", f"{len(text)} {tops}", *text]) + "\n")
        weights.write_bytes(data)
        return param, weights

    return make


def marked(values):
    """Weights behind the mark of float32."""
    return b"\0\0\0\0" + np.asarray(values, "<f4").tobytes()


def draw(count, seed=0):
    return np.random.default_rng(seed).normal(0, 0.3, count).astype("<f4")


def test_every_packaged_network_is_tried():
    assert len(PACKAGED) == 5


@pytest.mark.parametrize("name", PACKAGED)
def test_a_shipped_network_gives_what_ncnn_gives(load_known, run_torch, sample_planes, name):
    from upscale_audit.ingest.restorers import NcnnWeights

    by_ncnn = load_known(name)
    found = find_weights(NcnnWeights("ncnn", weights=name))
    by_torch = run_torch(*found.files, found.native_scale)
    planes = sample_planes("rg1_r1c0")[:, 100:140, 120:168]
    wanted, made = by_ncnn.forward(planes), by_torch.forward(planes)
    assert (made.shape, made.dtype) == (wanted.shape, np.float32)
    assert np.abs(made - wanted).max() < 2e-5
    levels = np.abs(to_bytes(made).astype(int) - to_bytes(wanted))
    assert levels.max() <= 1
    assert (levels > 0).mean() < 1e-3
    assert np.ptp(wanted) > 0.1  # a tile with something in it


GOOD = marked(np.eye(3)) + np.zeros(3, "<f4").tobytes()
CONVOLUTION = "Convolution c 1 1 in out 0=3 1=3 4=1 5=1 6=81"
LAYERS = {
    "convolution": ([CONVOLUTION], marked(draw(81)) + draw(3).tobytes()),
    "no_bias_dilated": (
        ["Convolution c 1 1 in out 0=3 1=3 2=2 4=2 6=81"],
        marked(draw(81)),
    ),
    "relu": ([f"{CONVOLUTION} 9=1"], marked(draw(81)) + draw(3).tobytes()),
    "leaky": ([f"{CONVOLUTION} 9=2 -23310=1,2.0e-01"], marked(draw(81)) + draw(3).tobytes()),
    "clip": ([f"{CONVOLUTION} 9=3 -23310=2,-0.1,0.2"], marked(draw(81)) + draw(3).tobytes()),
    "sigmoid": ([f"{CONVOLUTION} 9=4"], marked(draw(81)) + draw(3).tobytes()),
    "leaky_relu_layer": (
        ["BinaryOp b 1 1 in b 0=1 1=1 2=0.5", "ReLU r 1 1 b out 0=0.1"],
        b"",
    ),
    "relu_layer": (["BinaryOp b 1 1 in b 0=1 1=1 2=0.5", "ReLU r 1 1 b out"], b""),
    "prelu": (
        ["BinaryOp b 1 1 in b 0=1 1=1 2=0.5", "PReLU p 1 1 b out 0=3"],
        draw(3).tobytes(),
    ),
    "sigmoid_swish": (["Sigmoid s 1 1 in s", "Swish w 1 1 s out"], b""),
    "constant": (
        ["MemoryData m 0 1 m 0=1 1=1 2=3", "BinaryOp b 2 1 in m out 0=1"],
        draw(3).tobytes(),
    ),
    "split_concat": (
        [
            "Split s 1 2 in a b",
            "BinaryOp n 1 1 b c 0=2 1=1 2=-2.0",
            "Concat c 2 1 a c d",
            "Convolution e 1 1 d out 0=3 1=1 6=18",
        ],
        marked(draw(18)),
    ),
    "half_precision_of_odd_count": (
        ["Convolution c 1 1 in a 0=1 1=1 5=1 6=3", "Split s 1 3 a b c d", "Concat e 3 1 b c d out"],
        b"\x47\x6b\x30\x01" + np.append(draw(3), 0).astype("<f2").tobytes() + draw(1).tobytes(),
    ),
}
LAYERS |= {
    f"binary_{name}_{kind}": (
        (
            [f"BinaryOp b 1 1 in out 0={number} 1=1 2=0.7"]
            if kind == "scalar"
            else [
                "Split s 1 2 in a b",
                "BinaryOp h 1 1 b c 0=7 1=1 2=1.5",
                f"BinaryOp e 2 1 a c out 0={number}",
            ]
        ),
        b"",
    )
    for number, name in enumerate(BINARY_OPERATIONS)
    for kind in ("scalar", "blobs")
}
LAYERS |= {
    f"eltwise_{name}": (
        ["Split s 1 2 in a b", "Sigmoid g 1 1 b c", f"Eltwise e 2 1 a c out {given}"],
        b"",
    )
    for name, given in {
        "prod": "0=0",
        "sum": "0=1",
        "weighted_sum": "0=1 -23301=2,0.2,1.5",
        "max": "0=2",
    }.items()
}
ENLARGED = {
    "nearest": (2, ["Interp i 1 1 in out 0=1 1=2.0 2=2.0"]),
    "bilinear": (3, ["Interp i 1 1 in out 0=2 1=3.0 2=3.0"]),
    "bicubic": (2, ["Interp i 1 1 in out 0=3 1=2.0 2=2.0"]),
    "bicubic_down": (
        1,
        ["Interp i 1 1 in a 0=1 1=4.0 2=4.0", "Interp j 1 1 a out 0=3 1=2.5e-1 2=2.5e-1"],
    ),
    "nearest_then_three_quarters": (
        3,
        ["Interp i 1 1 in a 0=1 1=4.0 2=4.0", "Interp j 1 1 a out 0=3 1=0.75 2=0.75"],
    ),
    "shuffle": (2, ["Concat c 4 1 a b d e f", "PixelShuffle p 1 1 f out 0=2"]),
}


def compare_with_ncnn(run_torch, write, lines, data, scale):
    from upscale_audit.restore.ncnn_network import NcnnNetwork

    param, weights = write(lines, data)
    planes = np.random.default_rng(5).uniform(0.1, 1, (3, 36, 44)).astype(np.float32)
    wanted = NcnnNetwork(param, weights, scale).forward(planes)
    made = run_torch(param, weights, scale).forward(planes)
    assert np.abs(made - wanted).max() < 1e-5
    assert not np.array_equal(made[:, : planes.shape[1], : planes.shape[2]], planes)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_what_ncnn_gives(run_torch, write, name):
    pytest.importorskip("ncnn", reason="needs the extra restore")
    lines, data = LAYERS[name]
    compare_with_ncnn(run_torch, write, lines, data, scale=1)


@pytest.mark.parametrize("name", ENLARGED)
def test_a_layer_that_resizes_gives_what_ncnn_gives(run_torch, write, name):
    pytest.importorskip("ncnn", reason="needs the extra restore")
    scale, lines = ENLARGED[name]
    if name == "shuffle":
        lines = ["Split s 1 4 in a b d e", *lines]
    if name == "bicubic_down":
        lines = [*lines[:-1], lines[-1].replace("out", "z"), "Sigmoid g 1 1 z out"]
    compare_with_ncnn(run_torch, write, lines, b"", scale=scale)


def test_a_batch_gives_what_each_gives_alone(run_torch, write):
    network = run_torch(*write(*LAYERS["convolution"]))
    batch = np.random.default_rng(6).random((5, 3, 20, 24), np.float32)
    network.batch_size = 2
    wanted = np.stack([network.forward(planes) for planes in batch])
    assert np.abs(network.forward_batch(batch) - wanted).max() < 1e-6


BAD = {
    "truncated": ([IDENTITY], GOOD[:-2], "ends in layer 'same': expected 12 more bytes, found 10"),
    "too_long": ([IDENTITY], GOOD + b"1234", "expected the 52 bytes of .* found 56"),
    "quantized": ([IDENTITY], b"\x38\x4b\x0d\x00" + GOOD, "float32 or float16, found mark 0xd4b38"),
    "unknown_layer": (["Softmax x 1 1 in out"], b"", "layer 'x': expected one of Input, .*Softmax"),
    "unknown_parameter": ([f"{IDENTITY} 19=1"], GOOD, "as PyTorch can follow it, found 19=1"),
    "unknown_value": ([f"{IDENTITY} 9=6"], GOOD, "layer 'same': .*found 9=6"),
    "whole_for_real": (["Interp i 1 1 in out 0=1 1=2 2=2"], b"", "found 1=2"),
    "wrong_blob": (
        ["Sigmoid a 1 1 inn out"],
        b"",
        "layer 'a': .* earlier layer makes, found 'inn'",
    ),
    "cycle": (
        ["BinaryOp a 2 1 in c b", "Split s 1 2 b c out"],
        b"",
        "layer 'a': expected blobs that an earlier layer makes, found 'c'",
    ),
    "made_twice": (["Split s 1 2 in a a"], b"", "blobs that are made once, found 'a'"),
    "two_outputs": (["Split s 1 2 in a b"], b"", "one input and one output, found 1 and 'a', 'b'"),
    "two_inputs": (
        ["Input j 0 1 b", "BinaryOp a 2 1 in b out"],
        b"",
        "one input and one output, found 2",
    ),
    "no_slope": ([f"{IDENTITY} 9=2"], GOOD, "Convolution of 1 numbers or blobs, found 0"),
    "factors": (
        ["Split s 1 2 in a b", "Eltwise e 2 1 a b out 0=1 -23301=1,1.0"],
        b"",
        "Eltwise of 0 or 2 numbers or blobs, found 1",
    ),
    "lonely": (["BinaryOp b 1 1 in out 0=1"], b"", "BinaryOp of 2 numbers or blobs, found 1"),
    "planes_left": ([IDENTITY.replace("6=9", "6=8")], GOOD, "8 weights for 3 planes of 1 x 1"),
    "no_number": ([f"{IDENTITY} 9=x"], GOOD, "layer 'same': expected a layer's line"),
    "no_list": ([f"{IDENTITY} -23310=2,1.0"], GOOD, "layer 'same': expected a layer's line"),
    "not_finite": (["BinaryOp b 1 1 in out 1=1 2=nan"], b"", "layer 'b': expected a layer's line"),
    "empty_constant": (["MemoryData m 0 1 m 0=3", "BinaryOp b 2 1 in m out"], b"", "a constant of"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_known_network_are_one_line(write, name):
    lines, data, message = BAD[name]
    with pytest.raises(StudyError, match=message) as caught:
        read_graph(*write(lines, data))
    assert "\n" not in str(caught.value)


def test_what_is_not_known_says_that_ncnn_may_run_it(write):
    with pytest.raises(StudyError, match='use device = "cpu", where ncnn runs the network itself'):
        read_graph(*write(["Softmax x 1 1 in out"]))


def test_a_missing_file_is_one_line(write, tmp_path):
    param, _ = write([IDENTITY])
    with pytest.raises(StudyError, match="put the file there"):
        read_graph(param, tmp_path / "none.bin")


def test_text_with_any_cell_changed_is_a_graph_or_one_line(write):
    lines = [
        *LAYERS["split_concat"][0][:3],
        f"{CONVOLUTION} 9=2 -23310=1,0.2".replace(" in ", " d "),
    ]
    param, weights = write(lines, marked(draw(162)) + draw(3).tobytes())
    cells = param.read_text().replace("6=81", "6=162").split(" ")
    param.write_text(" ".join(cells))
    assert len(read_graph(param, weights).layers) == 4
    words = ["", "-1", "0", "9" * 30, "x", "=", "0=", "-23310=", "1e999", "\n", "é", "6=1e3", "2"]
    choice, refusals = random.Random(7), []
    for _ in range(300):
        changed = list(cells)
        changed[choice.randrange(len(cells))] = choice.choice([*words, *cells])
        param.write_text(" ".join(changed))
        try:
            read_graph(param, weights)
        except StudyError as error:
            refusals.append(str(error))
    assert 100 < len(refusals) < 300
    assert not any("\n" in refusal for refusal in refusals)


def test_a_network_that_fails_when_it_runs_is_one_line(run_torch, write):
    lines = ["Split s 1 2 in a b", "Interp i 1 1 b c 0=1 1=2.0 2=2.0", "Concat e 2 1 a c out"]
    with pytest.raises(StudyError, match=r"net\.param failed on 32 x 32 pixels") as caught:
        run_torch(*write(lines))
    assert "\n" not in str(caught.value)


def test_a_network_of_another_scale_or_without_finite_values_is_one_line(run_torch, write):
    files = write([IDENTITY], GOOD)
    planes = np.random.default_rng(8).random((3, 9, 8), np.float32)
    assert np.array_equal(run_torch(*files).forward(planes), planes)
    with pytest.raises(StudyError, match=r"expected planes of \(3, 64, 64\) .* correct scale = 2"):
        run_torch(*files, 2)
    with pytest.raises(StudyError, match="not finite"):
        run_torch(*write([IDENTITY], GOOD[:-4] + np.full(1, np.nan, "<f4").tobytes()))


def test_a_device_that_is_not_there_is_one_line(run_torch, write):
    from upscale_audit.restore.ncnn_torch import NcnnTorchNetwork

    with pytest.raises(StudyError, match=r"device = 'cuda:99' is not available: .* device = 'cpu'"):
        NcnnTorchNetwork(*write([IDENTITY], GOOD), 1, "cuda:99")
