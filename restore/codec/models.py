"""A trained codec and its file: encoder in float32, decoder in fixed point, how it was trained."""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, replacing
from upscale_audit.restore.codec.exact import (
    Layer,
    check_exact,
    dump_layers,
    hash_layers,
    round_decoder,
)
from upscale_audit.restore.codec.networks import CodecDesign, Encoder, make_decoder

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt


FORMAT = "upscale-audit-codec-1"
MAX_FILE_BYTES = 64 * 2**20
MAX_ARRAYS = 1000
HEADER = "header"
"""Name of the array that holds a JSON text."""
_HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# RuntimeError: a zip with a password, or JSON nested too deep.
_DAMAGES = (
    *(OSError, ValueError, EOFError, RuntimeError, TypeError, SyntaxError, IndexError),
    *(NotImplementedError, zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Codec:
    """A trained codec.

    Attributes
    ----------
    design : restore.codec.networks.CodecDesign
    encoder : restore.codec.networks.Encoder
        In evaluation mode.
    layers : tuple of restore.codec.exact.Layer
        The decoder.
    training : dict
        What decided the weights; JSON values.
    """

    design: CodecDesign
    encoder: Encoder
    layers: tuple[Layer, ...]
    training: dict[str, Any]

    @property
    def sha256(self) -> bytes:
        """SHA-256 of the decoder, 32 bytes; streams name their model by it."""
        return hash_layers(self.design.describe(), self.layers)

    @property
    def decoder_bytes(self) -> int:
        """Bytes of what a receiver needs besides the streams."""
        return len(dump_layers(self.design.describe(), self.layers))


def make_codec(
    design: CodecDesign, encoder: Encoder, decoder: torch.nn.Sequential, training: dict[str, Any]
) -> Codec:
    """Make a codec of a trained encoder and decoder.

    Parameters
    ----------
    design : CodecDesign
    encoder : Encoder
    decoder : torch.nn.Sequential
    training : dict

    Returns
    -------
    Codec
    """
    layers = round_decoder(decoder)
    check_exact(layers)
    return Codec(design, encoder.eval(), layers, training)


def save_codec(codec: Codec, path: str | Path) -> None:
    """Write a codec as a NumPy archive, whole or not at all.

    Parameters
    ----------
    codec : Codec
    path : str or Path

    Notes
    -----
    The same codec gives the same bytes. Reading it runs no code: no pickle is involved.
    """
    header = {"format": FORMAT, "design": codec.design.describe(), "training": codec.training}
    arrays: dict[str, npt.NDArray[Any]] = {
        HEADER: np.frombuffer(canonical_json(header).encode(), np.uint8)
    }
    for number, layer in enumerate(codec.layers):
        arrays[f"decoder.{number}.weight"] = layer.weight
        arrays[f"decoder.{number}.bias"] = layer.bias
    for name, value in codec.encoder.state_dict().items():
        arrays[f"encoder.{name}"] = value.numpy()
    write_arrays(Path(path), arrays)


def load_codec(path: str | Path) -> Codec:
    """Read a codec's file.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Codec

    Raises
    ------
    StudyError
        There is no file, or it is not a codec of this version, whole and of the stated design.
    """
    arrays = read_arrays(Path(path), "codec", "train one with upscale-audit codec train")
    try:
        header = json.loads(arrays.pop(HEADER).tobytes())
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}, expected {FORMAT!r}")
        design, training = CodecDesign(**header["design"]), dict(header["training"])
        encoder, layers = _fill_networks(design, arrays)
    except (KeyError, TypeError, ValueError, RecursionError, StudyError) as error:
        raise StudyError(
            f"{path} is no codec of this version: {error}; train one with upscale-audit codec train"
        ) from None
    check_exact(layers)
    return Codec(design, encoder.eval(), layers, training)


def _fill_networks(
    design: CodecDesign, arrays: Mapping[str, npt.NDArray[Any]]
) -> tuple[Encoder, tuple[Layer, ...]]:
    """Put arrays into an encoder and a decoder; ValueError where they are not the design's."""
    encoder, template = Encoder(design), round_decoder(make_decoder(design))
    state = encoder.state_dict()
    expected = {f"encoder.{name}": (tuple(v.shape), "float32") for name, v in state.items()}
    for number, layer in enumerate(template):
        expected[f"decoder.{number}.weight"] = (layer.weight.shape, "int16")
        expected[f"decoder.{number}.bias"] = (layer.bias.shape, "int32")
    found = {name: (value.shape, str(value.dtype)) for name, value in arrays.items()}
    if found != expected:
        wrong = sorted(set(found.items()) ^ set(expected.items()))[0]
        raise ValueError(f"array {wrong[0]} is not as the design has it")
    if not all(np.isfinite(value).all() for value in arrays.values()):
        raise ValueError("a weight is no number")
    encoder.load_state_dict({name: torch.from_numpy(arrays[f"encoder.{name}"]) for name in state})
    layers = tuple(
        Layer(
            layer.is_transposed,
            arrays[f"decoder.{number}.weight"],
            arrays[f"decoder.{number}.bias"],
            layer.ends_block,
        )
        for number, layer in enumerate(template)
    )
    return encoder, layers


def _read_array(data: bytes, name: str) -> npt.NDArray[np.number]:
    """Read an array whose header claims as many bytes as there are; ValueError where it does not.

    `numpy.load` makes room for what the header claims before it reads.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        version = None
    if version not in _HEADER_READERS:
        raise ValueError(f"it holds what is no array: {name}")
    shape, is_fortran, kind = _HEADER_READERS[version](file)
    begin, claimed = file.tell(), math.prod(shape) * kind.itemsize
    if kind.hasobject or claimed != len(data) - begin:
        raise ValueError(f"{name} claims {claimed} bytes and has {len(data) - begin}")
    flat = np.frombuffer(data[begin:], kind)
    return flat.reshape(shape, order="F" if is_fortran else "C").copy()


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays as a NumPy archive, whole or not at all; equal arrays give equal bytes."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getvalue())


def read_arrays(path: Path, thing: str, repair: str) -> dict[str, npt.NDArray[Any]]:
    """Read what `write_arrays` wrote; no pickle, and no more bytes than `MAX_FILE_BYTES`.

    Parameters
    ----------
    path : Path
    thing, repair : str
        What the file should be and what makes one, for messages.

    Returns
    -------
    dict of array
        By name.

    Raises
    ------
    StudyError
        There is no file, or it is no such archive.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(f"{size} bytes, expected at most {MAX_FILE_BYTES}")
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            members = archive.infolist()
            inflated = sum(item.file_size for item in members)
            if inflated > MAX_FILE_BYTES or len(members) > MAX_ARRAYS:
                raise ValueError(
                    f"{inflated} bytes in {len(members)} arrays, expected at most {MAX_FILE_BYTES}"
                    f" in {MAX_ARRAYS}"
                )
            return {
                item.filename.removesuffix(".npy"): _read_array(archive.read(item), item.filename)
                for item in members
            }
    except FileNotFoundError:
        raise StudyError(f"no {thing} at {path}; {repair}") from None
    except _DAMAGES as error:
        raise StudyError(f"{path} is no {thing}: {error}; {repair}") from None
