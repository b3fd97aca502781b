"""A trained reader of this project's own network: its file, and what it says of images."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from upscale_audit.ingest.documents import check_shape, parse_document, read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, open_regular, replacing

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from upscale_audit.reading.chestxray8_network import ChestXray8Network


FORMAT = "upscale-audit-reader-1"
MAX_FILE_BYTES = 1 << 30
MAX_HEADER_BYTES = 1 << 24
LEAST_INPUT_PX, MOST_INPUT_PX = 32, 4096
_REPAIR = "name a file that upscale-audit reader train wrote"


class Metadata(TypedDict):
    """What a reader's file says of itself: each value JSON text in the safetensors metadata.

    ``findings`` in the order of its outputs; ``intensity`` as a study file states it; ``score`` is
    what `ChestXray8Reader.read` gives; ``training`` is what decided the weights: JSON values.
    """

    format: str
    findings: list[str]
    input_px: int
    intensity: dict[str, float]
    score: str
    trunk: int
    width: int
    pooling: str
    r: float
    training: dict[str, Any]
    version: str | None


@dataclass(frozen=True)
class ChestXray8Reader:
    """A trained network, ready to read.

    Attributes
    ----------
    findings : tuple of str
    input_px : int
        Side of the square that it takes.
    library : str
        Name and version of what computes.
    has_maps : bool
    """

    findings: tuple[str, ...]
    input_px: int
    library: str
    _network: ChestXray8Network
    _device: str
    has_maps: bool = True

    def read(
        self, images: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Read images.

        Parameters
        ----------
        images : (B, input_px, input_px) float32 array
            Grey levels, 0..255.

        Returns
        -------
        scores : (B, C) float64 array
            Probability of each finding, 0..1, as the network has learnt it: not calibrated.
        maps : (B, C, h, w) float32 array
            Class activation maps, of any sign.

        Raises
        ------
        StudyError
            Images of another size, or a score is no number.

        Notes
        -----
        On a processor images are read one by one: no value depends on those beside it.
        """
        import torch

        from upscale_audit.reading.chestxray8_network import STRIDE_PX

        side = self.input_px
        if images.ndim != 3 or images.shape[1:] != (side, side):
            raise StudyError(
                f"expected images of {side} x {side} px for this reader, found the shape"
                f" {images.shape}; correct input_px of the reader"
            )
        step = 1 if self._device == "cpu" else max(1, len(images))
        scores, maps = [], []
        with torch.inference_mode():
            for begin in range(0, len(images), step):
                batch = np.array(images[begin : begin + step], np.float32)
                found = self._network.find_maps(torch.from_numpy(batch).to(self._device))
                scores.append(self._network.predict(found).double().sigmoid().cpu().numpy())
                maps.append(self._network.activate(found).float().cpu().numpy())
        count, cells = len(self.findings), -(-side // STRIDE_PX)
        read = np.concatenate([np.empty((0, count)), *scores])
        if not np.isfinite(read).all():
            raise StudyError(
                "a score of this reader is not a number: train it anew, or name another"
            )
        drawn = np.concatenate([np.empty((0, count, cells, cells), np.float32), *maps])
        return read, drawn


def load_reader(
    path: str | Path, device: str = "cpu", data: bytes | None = None
) -> ChestXray8Reader:
    """Load a reader that this project trained.

    Parameters
    ----------
    path : str or Path
        ``.safetensors``, as `save_reader` writes it; no code is run.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.
    data : bytes, optional
        The file's, where they were read already.

    Returns
    -------
    ChestXray8Reader

    Raises
    ------
    StudyError
        It is no such file, a tensor is missing, of another shape or not finite, the device is
        not there.

    Notes
    -----
    One thread on a processor; on a GPU TensorFloat-32 is off.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    from upscale_audit.reading.chestxray8_network import (
        ChestXray8Network,
        NetworkDesign,
        load_tensors,
    )

    path = Path(path)
    try:
        data = read_bounded(path, MAX_FILE_BYTES) if data is None else data
        said, tensors = _parse_header(data), load(data)
    except (OSError, SafetensorError, ValueError) as error:
        raise _refuse(path, error) from None
    count = len(said["findings"])
    try:
        design = NetworkDesign(said["trunk"], said["pooling"], said["r"], count, said["width"])
    except StudyError as error:
        raise StudyError(f"{path}: {error}; {_REPAIR}") from None
    network = ChestXray8Network(design)
    load_tensors(network, tensors, str(path), _REPAIR)
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    place_network(network, device)
    library = f"torch {torch.__version__}"
    return ChestXray8Reader(
        tuple(said["findings"]), said["input_px"], library, network.eval(), device
    )


def place_network(network: torch.nn.Module, device: str) -> None:
    """Move a network to a device.

    Raises
    ------
    StudyError
        The device is not there.
    """
    try:
        network.to(device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise StudyError(f"device {device!r} is not available: {reason}; use cpu") from None


def save_reader(
    path: str | Path, network: ChestXray8Network, said: Mapping[str, Any], *, is_half: bool = False
) -> None:
    """Write a reader's file, whole or not at all.

    Parameters
    ----------
    path : str or Path
    network : reading.chestxray8_network.ChestXray8Network
    said : dict
        ``findings``, ``input_px``, ``training`` and ``version`` of `Metadata`; the rest follows.
    is_half : bool
        Store float16, of half the size; it is loaded as float32.

    Notes
    -----
    The same network and words give the same bytes.
    """
    import torch
    from safetensors.torch import save

    from upscale_audit.reading.chestxray8_network import DEVIATION, MEAN

    design = network.design
    metadata: Metadata = {
        "format": FORMAT,
        "findings": list(said["findings"]),
        "input_px": said["input_px"],
        "intensity": {"mean": MEAN, "std": DEVIATION},
        "score": "probability",
        "trunk": design.trunk,
        "width": design.width,
        "pooling": design.pooling,
        "r": design.r,
        "training": dict(said["training"]),
        "version": said["version"],
    }
    tensors = {}
    for name, value in network.state_dict().items():
        kept = value.detach().cpu().contiguous()
        tensors[name] = kept.half() if is_half and kept.dtype == torch.float32 else kept
    texts = {name: canonical_json(value) for name, value in metadata.items()}
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(_sort_header(save(tensors, texts)))


def _sort_header(data: bytes) -> bytes:
    """Sort the words of a safetensors file, which the library writes in no fixed order.

    A file is the header's length, the header (JSON, filled up with spaces) and the tensors.
    """
    length = _find_length(data)
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def read_metadata(path: str | Path) -> Metadata:
    """Read what a reader's file says of itself, without its weights.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Metadata

    Raises
    ------
    StudyError
        It cannot be read, or is no file of a reader of this project.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            start = file.read(8)
            return _parse_header(start + file.read(min(_find_length(start), MAX_HEADER_BYTES)))
    except (OSError, ValueError) as error:
        raise _refuse(path, error) from None


def _parse_header(data: bytes) -> Metadata:
    """Parse and check the words at the beginning of a file."""
    length = _find_length(data)
    header = parse_document(data[8 : 8 + length], dict[str, Any])
    texts = header.get("__metadata__", {})
    check_shape(texts, dict[str, str], "its metadata")
    said: Any = {name: parse_document(text, Any) for name, text in texts.items()}
    check_shape(said, Metadata, "its metadata")
    _check_values(said)
    found: Metadata = said
    return found


def _find_length(data: bytes) -> int:
    """Find the length of a safetensors header, which the first eight bytes state."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > MAX_HEADER_BYTES:
        raise ValueError("it is no safetensors file")
    return length


def _refuse(path: Path, error: Exception) -> StudyError:
    reason = f"{error}".partition("\n")[0] or type(error).__name__
    return StudyError(f"{path} is no reader of this project's own network: {reason}; {_REPAIR}")


def _check_values(said: Metadata) -> None:
    if said["format"] != FORMAT:
        raise ValueError(f"its format is {said['format']!r}, expected {FORMAT!r}")
    names = said["findings"]
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError("its findings are none, unnamed or named twice")
    if not LEAST_INPUT_PX <= said["input_px"] <= MOST_INPUT_PX:
        raise ValueError(f"its input_px is {said['input_px']}, expected 32..4096")
    if said["score"] != "probability":
        raise ValueError(f"its score is {said['score']!r}, expected 'probability'")
