"""Readers whose every score is known: the mean grey level, as TorchScript and as ONNX."""

import io
import warnings

import numpy as np
import pytest


def import_torch():
    """Import PyTorch, or skip: a conftest itself may not."""
    return pytest.importorskip("torch", reason="readers run in it: the extra readers")


def make_module(has_maps):
    """Two outputs: the mean of the planes it is given, and one less it; maps of cells of 8 px."""
    torch = import_torch()

    class MeanGrey(torch.nn.Module):
        def forward(self, planes):
            grey = planes.mean(dim=1, keepdim=True)
            both = torch.cat([grey, 1 - grey], dim=1)
            return both.mean(dim=(2, 3)), torch.nn.functional.avg_pool2d(both, 8)

    class ScoresAlone(torch.nn.Module):
        def forward(self, planes):
            grey = planes.mean(dim=1, keepdim=True)
            return torch.cat([grey, 1 - grey], dim=1).mean(dim=(2, 3))

    return MeanGrey() if has_maps else ScoresAlone()


def script(module):
    """TorchScript archive of a module, as bytes."""
    torch = import_torch()
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript itself is
        torch.jit.save(torch.jit.script(module.eval()), buffer)
    return buffer.getvalue()


@pytest.fixture(scope="session", name="script")
def script_fixture():
    """Give the maker of TorchScript archives: a module to bytes."""
    return script


@pytest.fixture(scope="session")
def mean_grey_script():
    """Give TorchScript archives of the mean grey level: with maps, and without."""
    return {has_maps: script(make_module(has_maps)) for has_maps in (True, False)}


def make_onnx(side=32, planes=1, batch="n", has_maps=True):
    """ONNX model of the mean grey level; maps are means of cells of 8 px."""
    pytest.importorskip("onnxruntime", reason="runs it: the extra readers")
    onnx = pytest.importorskip("onnx", reason="makes the tests' networks: the extra dev")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["planes", "plane_axis"], ["grey"], keepdims=1),
        helper.make_node("Sub", ["one", "grey"], ["rest"]),
        helper.make_node("Concat", ["grey", "rest"], ["both"], axis=1),
        helper.make_node("ReduceMean", ["both", "image_axes"], ["scores"], keepdims=0),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1], np.int64), "plane_axis"),
        onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "image_axes"),
        onnx.numpy_helper.from_array(np.float32(1).reshape(1), "one"),
    ]
    outputs = [helper.make_tensor_value_info("scores", kind, [batch, 2])]
    if has_maps:
        sides = {"kernel_shape": [8, 8], "strides": [8, 8]}
        nodes.append(helper.make_node("AveragePool", ["both"], ["maps"], **sides))
        shape = [batch, 2, side // 8, side // 8]
        outputs.append(helper.make_tensor_value_info("maps", kind, shape))
    taken = [helper.make_tensor_value_info("planes", kind, [batch, planes, side, side])]
    graph = helper.make_graph(nodes, "mean_grey", taken, outputs, constants)
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9)


@pytest.fixture(scope="session", name="make_onnx")
def make_onnx_fixture():
    """Give the maker of ONNX networks."""
    return make_onnx
