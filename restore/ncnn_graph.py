"""ncnn's two files as a checked graph: layers in order, their parameters, their weights as arrays.

Nothing is run here, and neither ncnn nor PyTorch is needed; `restore.ncnn_torch` runs the graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.ncnn_network import MAX_PARAM_BYTES, check_param

if TYPE_CHECKING:
    import numpy.typing as npt


MAX_BIN_BYTES = 1 << 30
BINARY_OPERATIONS = ("add", "sub", "mul", "div", "max", "min", "pow", "rsub", "rdiv")
ACTIVATIONS = ("none", "relu", "leaky_relu", "clip", "sigmoid")
INTERPOLATIONS = ("", "nearest", "bilinear", "bicubic")
ELTWISE = ("prod", "sum", "max")
"""What ncnn's numbers stand for, in its order."""

_FLOAT32, _FLOAT16 = 0, 0x01306B47
_ARRAY_KEY = -23300
_MOST_TOPS = 1000

Value = int | float | tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """One line of a ``.param``, and what of the ``.bin`` belongs to it.

    Attributes
    ----------
    kind, name : str
    bottoms, tops : tuple of str
        Blobs that it takes and makes.
    parameters : dict
        Value by ncnn's number; those that a line leaves out have ncnn's default.
    weights : tuple of float32 array
        Of a convolution (O, I, kh, kw), then (O,) where it has a bias; of PReLU (C,); of
        constants (C, h, w).
    """

    kind: str
    name: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: Mapping[int, Value]
    weights: tuple[npt.NDArray[np.float32], ...] = ()

    def get_number(self, key: int) -> float:
        """Give a parameter that is one number."""
        value = self.parameters[key]
        if isinstance(value, tuple):
            raise ValueError(f"parameter {key} as one number, found a list")
        return value

    def get_count(self, key: int) -> int:
        """Give a parameter that is one whole number."""
        value = self.parameters[key]
        if not isinstance(value, int):
            raise ValueError(f"parameter {key} as a whole number, found {value}")
        return value

    def get_list(self, key: int) -> tuple[float, ...]:
        """Give a parameter that is a list of numbers."""
        value = self.parameters[key]
        if not isinstance(value, tuple):
            raise ValueError(f"parameter {key} as a list, found {value}")
        return value


@dataclass(frozen=True)
class Graph:
    """A network of one input and one output.

    Attributes
    ----------
    layers : tuple of Layer
        Each after those whose blobs it takes, without the input.
    input, output : str
        Blobs.
    """

    layers: tuple[Layer, ...]
    input: str
    output: str


def _one_of(*values: float) -> Callable[[Value], bool]:
    return lambda found: found in values


def _between(low: int, high: int) -> Callable[[Value], bool]:
    return lambda found: isinstance(found, int) and low <= found <= high


def _real(low: float, high: float) -> Callable[[Value], bool]:
    # ncnn takes the bits of a whole number for those of a float: only of 0 are they the same.
    return lambda found: found == 0 or (isinstance(found, float) and low <= found <= high)


def _is_list(found: Value) -> bool:
    return isinstance(found, tuple)


@dataclass(frozen=True)
class _Kind:
    """What is known of a type of layer: default and test of each parameter, blobs in and out."""

    bottoms: tuple[int, int]
    parameters: Mapping[int, tuple[Value, Callable[[Value], bool]]]
    tops: tuple[int, int] = (1, 1)


_SIDE, _ANY_SIDE = _between(1, 64), (0, _between(0, 1 << 24))
_FACTOR = (1.0, lambda found: isinstance(found, float) and 1 / 16 <= found <= 16)
_KINDS = {
    "Input": _Kind((0, 0), {0: _ANY_SIDE, 1: _ANY_SIDE, 2: _ANY_SIDE}),
    "MemoryData": _Kind((0, 0), {0: _ANY_SIDE, 1: _ANY_SIDE, 2: (0, _between(1, 1 << 24))}),
    "Split": _Kind((1, 1), {}, tops=(1, _MOST_TOPS)),
    "Concat": _Kind((1, _MOST_TOPS), {0: (0, _one_of(0))}),
    "Convolution": _Kind(
        (1, 1),
        {
            0: (0, _between(1, 1 << 20)),
            1: (0, _SIDE),
            2: (1, _SIDE),
            3: (1, _SIDE),
            4: (0, _between(0, 64)),
            5: (0, _one_of(0, 1)),
            6: (0, _between(1, 1 << 30)),
            9: (0, _between(0, len(ACTIVATIONS) - 1)),
            10: ((), _is_list),
        },
    ),
    "PReLU": _Kind((1, 1), {0: (0, _between(1, 1 << 20))}),
    "ReLU": _Kind((1, 1), {0: (0.0, _real(-100, 100))}),
    "Sigmoid": _Kind((1, 1), {}),
    "Swish": _Kind((1, 1), {}),
    "BinaryOp": _Kind(
        (1, 2),
        {
            0: (0, _between(0, len(BINARY_OPERATIONS) - 1)),
            1: (0, _one_of(0, 1)),
            2: (0.0, _real(-1e30, 1e30)),
        },
    ),
    "Eltwise": _Kind((2, _MOST_TOPS), {0: (0, _between(0, len(ELTWISE) - 1)), 1: ((), _is_list)}),
    "Interp": _Kind(
        (1, 1),
        {
            0: (0, _between(1, len(INTERPOLATIONS) - 1)),
            1: _FACTOR,
            2: _FACTOR,
            3: (0, _one_of(0)),
            4: (0, _one_of(0)),
            6: (0, _one_of(0)),
        },
    ),
    "PixelShuffle": _Kind((1, 1), {0: (1, _between(1, 16)), 1: (0, _one_of(0))}),
}


def read_graph(param: Path, weights: Path) -> Graph:
    """Read a network's two files.

    Parameters
    ----------
    param, weights : Path
        The ``.param`` text and its ``.bin``.

    Returns
    -------
    Graph

    Raises
    ------
    StudyError
        The files cannot be read or contradict each other; a layer or a parameter is not known
        here; the blobs are no network of one input and one output.

    Notes
    -----
    Known are the layers of Real-ESRGAN, ESRGAN and SPAN, with every parameter that their files
    state; anything else is refused rather than guessed. Weights are float32, or float16 as ncnn
    marks them, which is exact in float32. Bytes that no layer takes are an error: ncnn lets a
    larger ``.bin`` of another network pass.
    """
    check_param(param, weights)
    text = read_bounded(param, MAX_PARAM_BYTES).decode("utf-8")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    count = int(lines[1][0])
    data = _Weights(param, weights)
    layers = [data.fill(_parse_layer(line, param)) for line in lines[2 : 2 + count]]
    data.finish()
    return _connect(layers, param)


def _parse_layer(line: Sequence[str], param: Path) -> Layer:
    """Read a line: kind, name, numbers of blobs, blobs, parameters."""
    kind, name = line[0], line[1] if len(line) > 1 else ""
    known = _KINDS.get(kind)
    if known is None:
        raise _refuse(param, name, f"one of {', '.join(_KINDS)}", kind)
    try:
        taken, made = int(line[2]), int(line[3])
        cells = [cell.partition("=") for cell in line[4 + taken + made :]]
        given = dict(_parse_value(key, value) for key, _, value in cells)
    except (ValueError, IndexError, OverflowError):
        raise _refuse(param, name, "a layer's line", " ".join(line)[:100]) from None
    bottoms, tops = tuple(line[4 : 4 + taken]), tuple(line[4 + taken : 4 + taken + made])
    for noun, found, (low, high) in (
        ("in", bottoms, known.bottoms),
        ("out", tops, known.tops),
    ):
        if not low <= len(found) <= high:
            raise _refuse(param, name, f"{kind} with {low}..{high} blobs {noun}", len(found))
    for key, value in given.items():
        if key not in known.parameters or not known.parameters[key][1](value):
            raise _refuse(param, name, f"{kind} as PyTorch can follow it", f"{key}={value}")
    values = {key: given.get(key, default) for key, (default, _) in known.parameters.items()}
    layer = Layer(kind, name, bottoms, tops, values)
    _check_counts(layer, param)
    return layer


def _check_counts(layer: Layer, param: Path) -> None:
    """See that there are as many blobs and numbers as the layer's other parameters ask for."""
    found = 0
    expected: tuple[int, ...] = (0,)
    if layer.kind == "Convolution":
        needed = {"leaky_relu": 1, "clip": 2}.get(ACTIVATIONS[layer.get_count(9)])
        found, expected = len(layer.get_list(10)), (0,) if needed is None else (needed,)
    elif layer.kind == "BinaryOp":
        found, expected = len(layer.bottoms), (2 - layer.get_count(1),)
    elif layer.kind == "Eltwise":
        found, expected = len(layer.get_list(1)), (0, len(layer.bottoms))
    if found not in expected:
        counts = " or ".join(map(str, expected))
        raise _refuse(param, layer.name, f"{layer.kind} of {counts} numbers or blobs", found)


def _parse_value(key: str, text: str) -> tuple[int, Value]:
    number = int(key)
    if number > _ARRAY_KEY:
        return number, _parse_number(text)
    count, *values = text.split(",")
    if int(count) != len(values):
        raise ValueError(text)
    return _ARRAY_KEY - number, tuple(map(float, map(_parse_number, values)))


def _parse_number(text: str) -> int | float:
    if "_" in text or not math.isfinite(float(text)):  # Python reads both, ncnn neither
        raise ValueError(text)
    return float(np.float32(text)) if set(text) & set(".eE") else int(text)


class _Weights:
    """The bytes of a ``.bin``, taken from the front by one layer after the other."""

    def __init__(self, param: Path, weights: Path) -> None:
        self._param, self._weights, self._offset = param, weights, 0
        try:
            self._data = read_bounded(weights, MAX_BIN_BYTES)
        except (OSError, ValueError) as error:
            raise StudyError(
                f"cannot read the weights {weights}: {error}; name the network's own .bin"
            ) from None

    def fill(self, layer: Layer) -> Layer:
        """Give a layer its weights."""
        take = {
            "Convolution": self._take_convolution,
            "PReLU": lambda layer: (self._take(layer, layer.get_count(0)),),
            "MemoryData": self._take_constant,
        }.get(layer.kind)
        if take is None:
            return layer
        try:
            arrays = take(layer)
        except ValueError as error:
            raise _refuse(self._param, layer.name, layer.kind, error) from None
        parts = (layer.kind, layer.name, layer.bottoms, layer.tops, layer.parameters)
        return Layer(*parts, weights=arrays)

    def finish(self) -> None:
        """Refuse what is left over."""
        if self._offset != len(self._data):
            raise StudyError(
                f"{self._weights}: expected the {self._offset} bytes of {self._param}'s layers,"
                f" found {len(self._data)}; name the .param and .bin that belong together"
            )

    def _take_convolution(self, layer: Layer) -> tuple[npt.NDArray[np.float32], ...]:
        outputs, side, count = (layer.get_count(key) for key in (0, 1, 6))
        inputs, rest = divmod(count, max(outputs * side * side, 1))
        if rest or not inputs:
            raise ValueError(f"{count} weights for {outputs} planes of {side} x {side}")
        kernel = self._take_marked(layer, count).reshape(outputs, inputs, side, side)
        return (kernel, self._take(layer, outputs)) if layer.get_count(5) else (kernel,)

    def _take_constant(self, layer: Layer) -> tuple[npt.NDArray[np.float32], ...]:
        width, height, channels = (layer.get_count(key) for key in range(3))
        if min(width, height, channels) < 1:
            raise ValueError(f"a constant of {channels} x {height} x {width}")
        shape = (channels, height, width)
        return (self._take(layer, math.prod(shape)).reshape(shape),)

    def _take_marked(self, layer: Layer, count: int) -> npt.NDArray[np.float32]:
        """Take weights behind the word that says how they are stored."""
        mark = int(self._take(layer, 1, "<u4")[0])
        if mark == _FLOAT32:
            return self._take(layer, count)
        if mark == _FLOAT16:
            padded = count + count % 2  # ncnn fills up to four bytes
            return self._take(layer, padded, "<f2")[:count].astype(np.float32)
        raise _refuse(self._param, layer.name, "weights in float32 or float16", f"mark {mark:#x}")

    def _take(self, layer: Layer, count: int, kind: str = "<f4") -> npt.NDArray[np.float32]:
        size = count * np.dtype(kind).itemsize
        left = len(self._data) - self._offset
        if size > left:
            raise StudyError(
                f"{self._weights} ends in layer {layer.name!r}: expected {size} more bytes, found"
                f" {left}; name the .param and .bin that belong together"
            )
        found = np.frombuffer(self._data, kind, count, self._offset)
        self._offset += size
        return found


def _connect(layers: Sequence[Layer], param: Path) -> Graph:
    """See that each layer takes what was made before it, and find the input and the output."""
    made: set[str] = set()
    for layer in layers:
        for blob in layer.bottoms:
            if blob not in made:
                raise _refuse(param, layer.name, "blobs that an earlier layer makes", repr(blob))
        for blob in layer.tops:
            if blob in made:
                raise _refuse(param, layer.name, "blobs that are made once", repr(blob))
            made.add(blob)
    taken = {blob for layer in layers for blob in layer.bottoms}
    inputs = [layer for layer in layers if layer.kind == "Input"]
    outputs = [blob for layer in layers for blob in layer.tops if blob not in taken]
    if len(inputs) != 1 or len(outputs) != 1:
        raise StudyError(
            f"{param}: expected one input and one output, found {len(inputs)} and"
            f" {', '.join(map(repr, outputs[:5])) or 'none'}; name another network"
        )
    rest = tuple(layer for layer in layers if layer.kind != "Input")
    return Graph(rest, inputs[0].tops[0], outputs[0])


def _refuse(param: Path, layer: str, expected: object, found: object) -> StudyError:
    return StudyError(
        f'{param}, layer {layer!r}: expected {expected}, found {found}; use device = "cpu", where'
        " ncnn runs the network itself"
    )
