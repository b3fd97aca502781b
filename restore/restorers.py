"""A declared restorer made able to run: reference in, restored image out, and what decides it."""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import PIL

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.ingest.restorers import (
    Blur,
    Frame,
    Interpolation,
    Jpeg,
    NcnnWeights,
    Noise,
    RestoreParameters,
    SpandrelWeights,
    Unsharp,
)
from upscale_audit.restore import controls
from upscale_audit.restore.resampling import reduce_mitchell, to_grey
from upscale_audit.restore.tiles import restore_tiles, to_bytes
from upscale_audit.restore.variants import VARIANTS, average_variants
from upscale_audit.restore.weights import Weights, find_weights

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.restorers import Declaration
    from upscale_audit.restore.networks import Network


RECIPE_VERSION = 1
"""Raised whenever the same declaration comes to give other pixels."""

_CONTROLS: dict[type[Any], Callable[[npt.NDArray[np.uint8], Any], npt.NDArray[np.uint8]]] = {
    Blur: lambda image, it: controls.blur(image, it.sigma_px),
    Unsharp: lambda image, it: controls.sharpen(image, it.sigma_px, it.amount),
    Noise: lambda image, it: controls.add_noise(image, it.sigma_dn, it.seed),
    Jpeg: lambda image, it: controls.compress_jpeg(image, it.quality),
    Frame: lambda image, it: controls.damage_frame(image, it.width_px, it.sigma_px),
}
_RUNNERS = {"ncnn": ("ncnn",), "spandrel": ("torch", "spandrel")}
_PATHS = ("param", "bin", "file")
_DEFAULT_DEVICE = "cpu"
_CONTROL_COST = 50_000
"""Of a restorer without a network, in the bytes of weights that take about as long."""


@dataclass(frozen=True)
class Restorer:
    """A declared restorer, its weights found and hashed; travels to worker processes.

    Attributes
    ----------
    declared : object
        One of `ingest.restorers.DECLARATIONS`.
    parameters : RestoreParameters
    weights : restore.weights.Weights or None
        None for restorers without a network.
    """

    declared: Declaration
    parameters: RestoreParameters
    weights: Weights | None = None

    def restore(self, reference: npt.NDArray[np.uint8], tta: bool) -> npt.NDArray[np.uint8]:
        """Restore one image.

        Parameters
        ----------
        reference : (M, N) or (M, N, 3) uint8 array
        tta : bool
            Average over the eight flips and transpositions: of each tile, before rounding, for a
            network; of the whole restored image for the others.

        Returns
        -------
        (M, N) uint8 array, or (M, N, 3) where channels are kept

        Raises
        ------
        ValueError
            A side is no multiple of the scale.
        StudyError
            The network cannot be loaded or does not do what its declaration says.
        """
        if self.weights is None:
            restored = self._average(reference) if tta else self._transform(reference)
        else:
            restored = self._run_network(reference, tta)
        return to_grey(restored, self.parameters.grey_rule)

    @property
    def is_on_gpu(self) -> bool:
        """Whether a GPU runs the network: then one process feeds it."""
        return getattr(self.declared, "device", _DEFAULT_DEVICE) != _DEFAULT_DEVICE

    def find_refusal(self, shape: tuple[int, ...]) -> str | None:
        """Say why a reference of this shape cannot be restored; None where it can.

        Parameters
        ----------
        shape : tuple of int
            (M, N) or (M, N, 3).

        Returns
        -------
        str or None
        """
        height, width = shape[:2]
        scale = 1 if type(self.declared) in _CONTROLS else self.parameters.scale
        if height % scale or width % scale:
            return f"{width}x{height} px, no multiple of [restore] scale = {scale}: crop it"
        return None

    def describe(self, inference_path: str) -> dict[str, Any]:
        """Name what decides the restored bytes beside the reference's.

        Parameters
        ----------
        inference_path : {"notta", "tta"}

        Returns
        -------
        dict
            JSON values; no folder of this machine. Controls never see an LR image, so neither its
            rule nor its scale is theirs.
        """
        declared = {key: value for key, value in asdict(self.declared).items() if key not in _PATHS}
        if isinstance(self.declared, NcnnWeights) and not self.is_on_gpu:
            del declared["device"]  # recipes of ncnn itself are older than the choice
        parameters = asdict(self.parameters)
        if type(self.declared) in _CONTROLS:
            parameters = {"grey_rule": self.parameters.grey_rule}
        return {
            "recipe_version": RECIPE_VERSION,
            "restorer": declared,
            "weights_sha256": None if self.weights is None else list(self.weights.sha256),
            "parameters": parameters,
            "inference_path": inference_path,
            "packages": _find_versions(self.declared),
        }

    def estimate_cost(self, size: int, tta: bool) -> float:
        """Estimate the work of one image, in units that all restorers share.

        Parameters
        ----------
        size : int
            Anything in proportion to the reference's pixels; the bytes of its file will do.
        tta : bool

        Returns
        -------
        float

        Notes
        -----
        A convolution meets every weight once for each LR pixel: bytes of weights x pixels x
        passes. Between the networks at hand this is right within a factor of about two.
        """
        passes = len(VARIANTS) if tta else 1
        if self.weights is None:
            return _CONTROL_COST * size * passes
        return self.weights.bytes * size * passes / self.parameters.scale**2

    def check(self) -> None:
        """Load the network, if there is one, and see that it can reach the scale.

        Raises
        ------
        StudyError
        """
        if self.weights is None:
            return
        native, scale = load_network(self.declared, self.weights).scale, self.parameters.scale
        if native < scale:
            raise StudyError(
                f"the network enlarges by {native}; expected at least [restore] scale = {scale}:"
                " name other weights, or lower scale"
            )

    def name_architecture(self) -> str | None:
        """Give what the network calls itself; None where there is none, or nothing says it."""
        if self.weights is None:
            return None
        return getattr(load_network(self.declared, self.weights), "architecture", None)

    def _transform(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        if isinstance(self.declared, Interpolation):
            lr = make_lr(image, self.parameters.scale, self.parameters.lr_rule)
            height, width = image.shape[:2]
            return controls.interpolate(lr, height, width, self.declared.kind)
        return _CONTROLS[type(self.declared)](image, self.declared)

    def _average(self, reference: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        def transform(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
            return _to_planes(self._transform(_to_image(planes)))

        averaged = average_variants(transform, _to_planes(reference))
        return _to_image(np.rint(averaged).astype(np.uint8))

    def _run_network(self, reference: npt.NDArray[np.uint8], tta: bool) -> npt.NDArray[np.uint8]:
        declared = self.declared
        if self.weights is None or not isinstance(declared, NcnnWeights | SpandrelWeights):
            raise TypeError(f"{declared!r} is no network")
        network = load_network(declared, self.weights)
        lr = make_lr(reference, self.parameters.scale, self.parameters.lr_rule)
        planes = _to_planes(lr)
        channels = np.broadcast_to(planes, (3, *planes.shape[1:])).astype(np.float32)
        restored = restore_tiles(
            network,
            channels / np.float32(255),
            tile_px=declared.tile_px,
            prepad_px=declared.prepad_px,
            tta=tta,
        )
        image = _to_image(to_bytes(restored))
        if network.scale == self.parameters.scale:
            return image
        height, width = reference.shape[:2]
        return reduce_mitchell(image, height, width)


def prepare_restorer(declared: Declaration, parameters: RestoreParameters) -> Restorer:
    """Find what a declared restorer needs.

    Parameters
    ----------
    declared : object
        One of `ingest.restorers.DECLARATIONS`.
    parameters : ingest.restorers.RestoreParameters

    Returns
    -------
    Restorer

    Raises
    ------
    StudyError
        Weights or a package are missing, or not the expected ones.
    """
    if isinstance(declared, NcnnWeights | SpandrelWeights):
        return Restorer(declared, parameters, find_weights(declared))
    return Restorer(declared, parameters)


@functools.lru_cache(maxsize=1)
def load_network(declared: Declaration, weights: Weights) -> Network:
    """Load a declared network; the last one stays in memory.

    Parameters
    ----------
    declared : ingest.restorers.NcnnWeights or ingest.restorers.SpandrelWeights
    weights : restore.weights.Weights
        As `restore.weights.find_weights` found them.

    Returns
    -------
    restore.networks.Network

    Raises
    ------
    StudyError
        The runner is not installed, or the files are no network it can run.
    """
    if isinstance(declared, NcnnWeights):
        param, file = weights.files
        if declared.device != _DEFAULT_DEVICE:
            from upscale_audit.restore.ncnn_torch import NcnnTorchNetwork

            return NcnnTorchNetwork(param, file, weights.native_scale or 0, declared.device)
        from upscale_audit.restore.ncnn_network import NcnnNetwork

        return NcnnNetwork(param, file, weights.native_scale or 0)
    if isinstance(declared, SpandrelWeights):
        from upscale_audit.restore.torch_network import SpandrelNetwork

        (file,) = weights.files
        return SpandrelNetwork(file, declared.device)
    raise TypeError(f"{declared!r} is no network")


def _find_versions(declared: Declaration) -> dict[str, str | None]:
    found: dict[str, str | None] = {
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "pillow": PIL.__version__,
    }
    runs_in_torch = isinstance(declared, NcnnWeights) and declared.device != _DEFAULT_DEVICE
    for package in ("torch",) if runs_in_torch else _RUNNERS.get(declared.kind, ()):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None  # loading the network says what to install
    return found


def _to_planes(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return image[None] if image.ndim == 2 else np.ascontiguousarray(image.transpose(2, 0, 1))


def _to_image(planes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    if planes.shape[0] == 1:
        return np.ascontiguousarray(planes[0])
    return np.ascontiguousarray(planes.transpose(1, 2, 0))
