"""PyTorch networks that spandrel recognises by their weights; the extra `restore-torch`."""

from __future__ import annotations

import contextlib
import logging
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.torch_device import (
    Device,
    DeviceNetwork,
    average_over_variants,
    import_torch,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from spandrel.__helpers.model_descriptor import ImageModelDescriptor


_CHANNELS = (1, 3)
logger = logging.getLogger(__name__)


class SpandrelNetwork(DeviceNetwork):
    """An upscaling network read from a file of weights, in float32.

    Parameters
    ----------
    file : str or Path
        ``.pth`` or ``.safetensors``, of any upscaler that spandrel knows: SwinIR, Real-ESRGAN,
        SPAN and others. Nothing but tensors is unpickled.
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.

    Raises
    ------
    StudyError
        The extra is not installed, the file is no such network, the device is not there.

    Notes
    -----
    It runs as `restore.torch_device.Device` says. A network of one channel sees each plane by
    itself. SwinIR and its like pad to whole windows inside, as published.
    """

    def __init__(self, file: str | Path, device: str = "cpu") -> None:
        self._torch, spandrel = import_spandrel()
        self._device, self._name = Device(self._torch, device), Path(file).name
        model = self._read(spandrel, file)
        channels = (model.input_channels, model.output_channels)
        if model.purpose != "SR" or channels not in [(count, count) for count in _CHANNELS]:
            raise StudyError(
                f"{file} holds {model.architecture.name} for {model.purpose}, {channels[0]}"
                f" channels in and {channels[1]} out; expected an upscaler (SR) of 1 or 3 channels:"
                " name another file"
            )
        self.scale, self.architecture = model.scale, model.architecture.name
        self._channels = model.input_channels
        self._model = model.eval()
        self._device.place(model.to)

    def forward_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network over several inputs; see `restore.networks.BatchNetwork`.

        Raises
        ------
        StudyError
            It takes another number of planes, gives something else, or memory ran out.
        """
        return self._run_planes(self._run, batch)

    def average_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Average each result over its variants; raises what `forward_batch` does."""
        return self._run_planes(average_over_variants(self._run), batch)

    def _run_planes(
        self, function: Callable[[torch.Tensor], torch.Tensor], batch: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        count, channels, height, width = batch.shape
        if self._channels not in (1, channels):
            raise StudyError(
                f"{self._name} takes {self._channels} planes, found {channels};"
                " give RGB, or name another network"
            )
        if self._channels == 1 and (batch == batch[:, :1]).all():
            batch = batch[:, :1]  # a grey image is three equal planes: seen once
        made = self._device.run(function, batch, self._name)
        sides = (height * self.scale, width * self.scale)
        return np.broadcast_to(made, (count, channels, *sides))

    def _run(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the network, and cut off what it was padded by."""
        count, _, height, width = batch.shape
        planes = batch.reshape(-1, self._channels, height, width)
        # The descriptor's own call would clamp.
        result = self._model.model(self._pad(planes))
        if not isinstance(result, self._torch.Tensor):
            raise StudyError(
                f"{self._name} gives a {type(result).__name__}, expected planes: name another file"
            )
        height, width = height * self.scale, width * self.scale
        return result[..., :height, :width].reshape(count, -1, height, width)

    def _pad(self, batch: torch.Tensor) -> torch.Tensor:
        """Extend to the right and below where the architecture asks for other sizes."""
        height, width = batch.shape[-2:]
        right, below = self._model.size_requirements.get_padding(width, height)
        if not (right or below):
            return batch
        mode = "reflect" if right < width and below < height else "replicate"
        return self._torch.nn.functional.pad(batch, (0, right, 0, below), mode)

    def _read(self, spandrel: ModuleType, file: str | Path) -> ImageModelDescriptor:
        torch, path = self._torch, Path(file)
        try:
            if path.suffix.lower() == ".safetensors":
                from safetensors.torch import load_file

                state = load_file(path)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
            state = spandrel.canonicalize_state_dict(state)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of architectures written for older PyTorch
                return spandrel.ModelLoader().load_from_state_dict(state)
        except Exception as error:  # damaged data surfaces as many types
            reason = f"{type(error).__name__} {error}".partition("\n")[0].partition(". ")[0]
            raise StudyError(
                f"{file} holds no network that spandrel knows: {reason}; name a .pth or"
                " .safetensors file of a known upscaler"
            ) from None


def import_spandrel() -> tuple[ModuleType, ModuleType]:
    """Import PyTorch and spandrel.

    Returns
    -------
    torch, spandrel : module

    Raises
    ------
    StudyError
        One of them is not installed.
    """
    torch = import_torch()
    try:
        with _tolerating_torchvision():
            import spandrel
    except ModuleNotFoundError as error:
        raise StudyError(
            f"a PyTorch network needs {error.name}, which is not installed:"
            " pip install 'upscale-audit[restore-torch]'"
        ) from None
    return torch, spandrel


@contextlib.contextmanager
def _tolerating_torchvision() -> Iterator[None]:
    """Let spandrel be imported where torchvision is missing or built for another PyTorch.

    Notes
    -----
    Of its architectures only LaMa and RestoreFormer, no upscalers both, use torchvision: three
    names of one module. A CPU build of PyTorch beside the registry's torchvision, which is built
    for CUDA, cannot import it at all. Empty names stand in while spandrel is imported, and are
    taken away again, so that no other library meets them.
    """
    try:
        import torchvision.transforms.functional  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:
        logger.debug("torchvision cannot be imported (%s): spandrel does without", error)
    else:
        yield
        return
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    found = {name: sys.modules.pop(name, None) for name in names}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    for name in ("InterpolationMode", "rotate", "normalize"):
        setattr(sys.modules[names[-1]], name, None)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
            module = found[name]
            if module is not None:
                sys.modules[name] = module
