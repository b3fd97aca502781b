"""LPIPS with weights that the user names; needs the extra `torch`, imported only when used.

The project ships no weights. `[perceptual]` in the study file names two: AlexNet's convolutions
as torchvision publishes them, and the linear weights of the `lpips` package, v0.1.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.study import PerceptualFiles

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


MAX_WEIGHTS_BYTES = 1 << 29
"""Largest file of weights that is read: 512 MiB; AlexNet's has 244."""
SMALLEST_SIDE_PX = 31
"""On a shorter side nothing is left for the deeper layers."""

# torchvision's AlexNet: number within `features`, channels in and out, kernel, stride, padding.
_LAYERS = (
    (0, 3, 64, 11, 4, 2),
    (3, 64, 192, 5, 1, 2),
    (6, 192, 384, 3, 1, 1),
    (8, 384, 256, 3, 1, 1),
    (10, 256, 256, 3, 1, 1),
)
_POOLED = (1, 2)
_POOL_PX, _POOL_STEP_PX = 3, 2
# The mean and deviation of ImageNet's channels on the scale [-1, 1], as lpips writes them.
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)
_FLOOR = 1e-10
_FILES = {
    "alexnet": "torchvision's AlexNet (alexnet-owt-7be5be79.pth)",
    "lpips": "the lpips package's v0.1 weights for AlexNet (lpips/weights/v0.1/alex.pth)",
}


@dataclass(frozen=True)
class Weights:
    """Weight files, what they hold, and the version of torch that applies them."""

    files: PerceptualFiles
    alexnet_sha256: str
    lpips_sha256: str
    torch_version: str

    @property
    def recipe(self) -> dict[str, str]:
        """What decides a value beside the pixels: no path."""
        return {
            "alexnet_sha256": self.alexnet_sha256,
            "lpips_sha256": self.lpips_sha256,
            "torch": self.torch_version,
        }


def describe_weights(files: PerceptualFiles | None) -> Weights | None:
    """Hash a study's weight files, without importing torch.

    Parameters
    ----------
    files : PerceptualFiles or None

    Returns
    -------
    Weights or None
        None where the study names none.

    Raises
    ------
    StudyError
        torch is not installed, or a file cannot be read.
    """
    if files is None:
        return None
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        raise StudyError(
            "[perceptual] needs torch, which is not installed: pip install 'upscale-audit[torch]',"
            " or take [perceptual] out of the study file"
        ) from None
    try:
        return Weights(files, hash_file(files.alexnet), hash_file(files.lpips), version)
    except OSError as error:
        raise StudyError(
            f"cannot read the weights: {error}; make the file readable, or name another in"
            " [perceptual]"
        ) from None


@functools.cache
def load_network(weights: Weights) -> Network:
    """Load LPIPS once a process, and keep torch to one thread of it.

    Parameters
    ----------
    weights : Weights

    Returns
    -------
    Network

    Raises
    ------
    StudyError
        torch cannot be imported, a file changed since it was hashed, it is no state dict,
        or a tensor in it is missing, of another shape or not finite.
    """
    try:
        import torch
    except ImportError as error:
        raise StudyError(
            f"cannot import torch: {error}; pip install --force-reinstall 'upscale-audit[torch]'"
        ) from None
    torch.set_num_threads(1)
    alexnet = _read_state(torch, "alexnet", weights.files.alexnet, weights.alexnet_sha256)
    lpips = _read_state(torch, "lpips", weights.files.lpips, weights.lpips_sha256)
    convolutions, linears = [], []
    for layer, (number, ins, outs, kernel, *_) in enumerate(_LAYERS):
        path = weights.files.alexnet
        name = f"features.{number}"
        shape = (outs, ins, kernel, kernel)
        convolutions.append(
            (
                _take(torch, "alexnet", path, alexnet, f"{name}.weight", shape),
                _take(torch, "alexnet", path, alexnet, f"{name}.bias", (outs,)),
            )
        )
        linear = f"lin{layer}.model.1.weight"
        linears.append(
            _take(torch, "lpips", weights.files.lpips, lpips, linear, (1, outs, 1, 1)).flatten()
        )
    return Network(torch, tuple(convolutions), tuple(linears))


class Network:
    """LPIPS v0.1 on AlexNet.

    Parameters
    ----------
    torch : module
    convolutions : tuple of (weight, bias)
        Five float32 layers.
    linears : tuple of (C,) float32 tensors
        Weight of each channel of each layer.

    Notes
    -----
    RGB in [-1, 1] is shifted and scaled per channel; f_l is layer l after its ReLU, divided at
    every position by its length over the channels (plus 1e-10):

    LPIPS = sum_l mean_position sum_c w_lc (f_lc(reference) - f_lc(restored))^2.

    Convolutions are float32 on one CPU thread, the sums after them float64 (the package sums
    in float32). A value depends on its image pair alone, and repeats on one kind of machine
    and version of torch; elsewhere expect equality to about six digits.

    References
    ----------
    Zhang R. et al., The unreasonable effectiveness of deep features as a perceptual metric,
    CVPR 2018, 586-595, doi:10.1109/CVPR.2018.00068.
    Krizhevsky A., One weird trick for parallelizing convolutional neural networks,
    arXiv:1404.5997 (2014).
    """

    def __init__(
        self,
        torch: ModuleType,
        convolutions: tuple[tuple[torch.Tensor, torch.Tensor], ...],
        linears: tuple[torch.Tensor, ...],
    ) -> None:
        self._torch = torch
        self._convolutions = convolutions
        self._linears = tuple(linear.double() for linear in linears)

    def extract(
        self, grey: npt.NDArray[np.uint8], rgb: npt.NDArray[np.uint8] | None = None
    ) -> tuple[torch.Tensor, ...] | None:
        """Compute an image's normalised features.

        Parameters
        ----------
        grey : (M, N) uint8 array, dn
            Stands for each channel where `rgb` is None.
        rgb : (M, N, 3) uint8 array, optional

        Returns
        -------
        tuple of (C, M', N') float32 tensors, or None
            One a layer, of length 1 at every position that is not all zero; None where a side
            is under 31 px.
        """
        if min(grey.shape) < SMALLEST_SIDE_PX:
            return None
        torch = self._torch
        functional = torch.nn.functional
        colours = np.repeat(grey[..., None], 3, axis=2) if rgb is None else rgb
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(colours)).permute(2, 0, 1).float()
            shift, scale = (torch.tensor(item)[:, None, None] for item in (_SHIFT, _SCALE))
            values = ((pixels / 127.5 - 1 - shift) / scale)[None]
            features = []
            for layer, (*_, stride, padding) in enumerate(_LAYERS):
                if layer in _POOLED:
                    values = functional.max_pool2d(values, _POOL_PX, _POOL_STEP_PX)
                weight, bias = self._convolutions[layer]
                values = functional.conv2d(values, weight, bias, stride, padding).relu()
                length = values.square().sum(dim=1, keepdim=True).sqrt()
                features.append((values / (length + _FLOOR))[0])
        return tuple(features)

    def compare(
        self, reference: tuple[torch.Tensor, ...] | None, restored: tuple[torch.Tensor, ...] | None
    ) -> float | None:
        """Compute LPIPS from two images' features.

        Parameters
        ----------
        reference, restored : tuple of tensors or None
            From `extract`, of images of one size.

        Returns
        -------
        float or None
            At least 0 with the published weights, which are not negative; 0 for identical
            images. None where there are no features.
        """
        if reference is None or restored is None:
            return None
        total = 0.0
        with self._torch.inference_mode():
            for left, right, linear in zip(reference, restored, self._linears, strict=True):
                means = (left.double() - right.double()).square().mean(dim=(1, 2))
                total += float((means * linear).sum())
        return total


def _read_state(torch: ModuleType, role: str, path: Path, sha256: str) -> dict[str, torch.Tensor]:
    """Read a state dict, refusing anything but tensors."""
    try:
        data = read_bounded(path, MAX_WEIGHTS_BYTES)
        _check_unpacked(data)
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # damaged data surfaces as many types
        reason = f"{type(error).__name__} {error}".partition("\n")[0].rstrip(": ")
        raise StudyError(
            f"{path} is no file of weights: {reason}; name {_FILES[role]} as {role} in [perceptual]"
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise StudyError(f"{path} changed while it was used; run upscale-audit ingest again")
    if not isinstance(state, dict):
        raise StudyError(
            f"{path} holds a {type(state).__name__}; expected a state dict: name {_FILES[role]}"
            f" as {role} in [perceptual]"
        )
    return state


def _check_unpacked(data: bytes) -> None:
    """Raise ValueError where a file of PyTorch, which is a zip, unpacks to more than any weights.

    PyTorch stores tensors as they are; a packed one would be unpacked whole before it is looked
    at.
    """
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(item.file_size for item in archive.infolist())
        if unpacked > MAX_WEIGHTS_BYTES:
            raise ValueError(f"unpacks to {unpacked} bytes")


def _take(
    torch: ModuleType,
    role: str,
    path: Path,
    state: Mapping[str, torch.Tensor],
    name: str,
    shape: tuple[int, ...],
) -> torch.Tensor:
    """Take a float32 tensor out of a state dict."""
    tensor = state.get(name)
    found = "nothing"
    if isinstance(tensor, torch.Tensor):
        found = f"the shape {tuple(tensor.shape)}"
        if tuple(tensor.shape) == shape:
            values = tensor.detach().float()
            if bool(values.isfinite().all()):
                return values
            found = "values that are not finite"
    raise StudyError(
        f"{path}: expected {name} of shape {shape}, found {found}; name {_FILES[role]} as {role}"
        " in [perceptual]"
    )
