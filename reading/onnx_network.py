"""Readers in ONNX files, run by ONNX Runtime; nothing beside the file is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.reading.readers import NetworkReader, Weights
from upscale_audit.reading.torch_device import shorten_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from onnxruntime import InferenceSession

    from upscale_audit.reading.readers import Call


_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}

# Messages of onnx.proto3 that may hold a tensor: number of a field, and what it is.
_MESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def load_onnx(weights: Weights) -> NetworkReader:
    """Load an ONNX network of one input whose outputs are scores, or scores and maps.

    Parameters
    ----------
    weights : Weights

    Returns
    -------
    NetworkReader

    Raises
    ------
    StudyError
        It is no such network, keeps data in other files, or the device is not there.
    """
    import onnxruntime

    declared = weights.declared
    try:
        is_external = has_external_data(weights.data)
    except ValueError as error:
        raise StudyError(
            f"{declared.file} is no ONNX file: {error}; name another file as {declared.reader!r} in"
            " [[readers]], or state its format"
        ) from None
    if is_external:
        raise StudyError(
            f"{declared.file} keeps its weights in another file; save it whole"
            " (onnx.save(model, path, save_as_external_data=False)), so that its hash is all of it"
        )
    provider = _PROVIDERS[weights.device]
    if provider not in onnxruntime.get_available_providers():
        raise StudyError(
            f"--device {weights.device}: ONNX Runtime {onnxruntime.__version__} has no {provider};"
            " leave it out, or pip install onnxruntime-gpu instead of onnxruntime"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(weights.data, options, providers=[provider])
    except Exception as error:  # of a type for each code
        raise StudyError(
            f"{declared.file} cannot be loaded by ONNX Runtime: {shorten_error(error)}; name"
            f" another file as {declared.reader!r} in [[readers]]"
        ) from None
    library = f"onnxruntime {onnxruntime.__version__}"
    return NetworkReader(weights, library, _make_call(weights, session))


def _make_call(weights: Weights, session: InferenceSession) -> Call:
    """Make the function that runs a session; an input of one image gets them one by one."""
    import numpy as np

    declared, name = weights.declared, _check_session(weights, session)
    is_single = session.get_inputs()[0].shape[0] == 1

    def run(planes: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        try:
            return list(map(np.asarray, session.run(None, {name: planes})))
        except Exception as error:  # of a type for each code
            raise StudyError(
                f"reader {declared.reader!r} ({declared.file}) failed on planes of the shape"
                f" {planes.shape}: {shorten_error(error)}; correct input_px or intensity in"
                " [[readers]]; if memory ran out, give a smaller --batch"
            ) from None

    def call(
        planes: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
        steps = [planes[at : at + 1] for at in range(len(planes))] if is_single else [planes]
        scores, *maps = map(np.concatenate, zip(*map(run, steps), strict=True))
        return scores, maps[0] if maps else None

    return call


def _check_session(weights: Weights, session: InferenceSession) -> str:
    """Hold a network's input and outputs against what the study says; gives the input's name."""
    declared = weights.declared
    inputs, outputs = session.get_inputs(), session.get_outputs()
    where = f"reader {declared.reader!r} ({declared.file})"
    if len(inputs) != 1 or len(outputs) not in (1, 2):
        raise StudyError(
            f"{where} has {len(inputs)} inputs and {len(outputs)} outputs; expected one input, and"
            " scores, or scores and maps: export it so"
        )
    kinds = [item.type for item in (*inputs, *outputs)]
    shape, side = inputs[0].shape, declared.input_px
    expected = [None, len(weights.intensity.mean), side, side]
    is_fit = len(shape) == 4 and all(
        wanted is None or not isinstance(found, int) or found == wanted
        for found, wanted in zip(shape, expected, strict=True)
    )
    if not is_fit or any(kind != "tensor(float)" for kind in kinds):
        raise StudyError(
            f"{where} takes {inputs[0].type} of the shape {shape} and gives"
            f" {', '.join(kinds[1:])}; expected float32 of (n, {', '.join(map(str, expected[1:]))})"
            " in, float32 out: correct input_px or intensity in [[readers]], or export it so"
        )
    return str(inputs[0].name)


def has_external_data(data: bytes) -> bool:
    """Whether any tensor of an ONNX file lies in another file.

    Parameters
    ----------
    data : bytes
        The file's, a protocol buffer of the message ModelProto.

    Returns
    -------
    bool

    Raises
    ------
    ValueError
        It is no protocol buffer.

    Notes
    -----
    ONNX Runtime would look for the other file in the folder that a command is run in.
    """
    waiting = [("model", memoryview(data))]
    while waiting:
        kind, message = waiting.pop()
        for number, value in _list_fields(message):
            if kind == "tensor":
                if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value):
                    return True
            elif isinstance(value, memoryview) and number in _MESSAGES[kind]:
                waiting.append((_MESSAGES[kind][number], value))
    return False


def _list_fields(message: memoryview) -> Iterator[tuple[int, int | memoryview | None]]:
    """Yield the fields of a message: number, and value; None for numbers of a fixed length."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, wire = key >> 3, key & 7
        value: int | memoryview | None = None
        if wire == _VARINT:
            value, at = _read_varint(message, at)
        elif wire == _BYTES:
            length, at = _read_varint(message, at)
            value, at = message[at : at + length], at + length
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the wire type {wire}")
        if at > len(message):
            raise ValueError("it ends within a field")
        yield number, value


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 70:
        value |= (message[at] & 0x7F) << shift
        at += 1
        if message[at - 1] < 0x80:
            return value, at
        shift += 7
    raise ValueError("it ends within a number" if shift < 70 else "a number without end")
