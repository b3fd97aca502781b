"""PyTorch on one device: how it is set up, and how many inputs go through it at once."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.variants import MIRRORED, TRANSPOSED, UPSIDE_DOWN, VARIANTS

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


GPU_BATCH = 8
"""Tiles at once on a GPU, halved where memory runs out."""


def import_torch() -> ModuleType:
    """Import PyTorch.

    Returns
    -------
    module

    Raises
    ------
    StudyError
        It is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise StudyError(
            f"a PyTorch network needs {error.name}, which is not installed:"
            " pip install 'upscale-audit[restore-torch]'"
        ) from None
    found: ModuleType = torch
    return found


class Device:
    """A device that runs functions of PyTorch over batches, in float32.

    Parameters
    ----------
    torch : module
    device : str
        ``cpu``, ``cuda`` or ``cuda:N``.

    Attributes
    ----------
    batch_size : int
        Inputs that go through at once: one on the CPU, where results of several might differ in
        their last bits; `GPU_BATCH` on a GPU, and half of that whenever memory runs out.

    Notes
    -----
    One thread on the CPU; on a GPU TensorFloat-32 is off. Threads take turns: their copies would
    share one memory.
    """

    def __init__(self, torch: ModuleType, device: str) -> None:
        torch.set_num_threads(1)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self._torch, self._device = torch, device
        self.batch_size = 1 if device == "cpu" else GPU_BATCH
        self._turn = threading.Lock()

    def place(self, function: Callable[[torch.device], object]) -> None:
        """Bring weights to the device by a function of it.

        Raises
        ------
        StudyError
            The device is not there.
        """
        try:
            function(self._torch.device(self._device))
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise StudyError(
                f"device = {self._device!r} is not available: {reason}; use device = 'cpu'"
            ) from None

    def run(
        self,
        function: Callable[[torch.Tensor], torch.Tensor],
        batch: npt.NDArray[np.float32],
        name: str,
    ) -> npt.NDArray[np.float32]:
        """Run a function over inputs, at most `batch_size` at once.

        Parameters
        ----------
        function : callable
            (N, ...) tensor on the device to a tensor of as many results.
        batch : (N, C, h, w) float32 array
        name : str
            Of the network, for messages.

        Returns
        -------
        (N, ...) float32 array

        Raises
        ------
        StudyError
            The function failed, or memory ran out for a single input.
        """
        made, start = [], 0
        with self._turn, self._torch.inference_mode():
            while start < len(batch):
                part = batch[start : start + self.batch_size]
                try:
                    made.append(self._run_part(function, part))
                except RuntimeError as error:
                    if not self._halve(error, len(part)):
                        raise _explain(name, batch, error) from error
                    continue
                start += len(part)
        return made[0] if len(made) == 1 else np.concatenate(made)

    def _run_part(
        self, function: Callable[[torch.Tensor], torch.Tensor], part: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        torch = self._torch
        given = torch.from_numpy(np.array(part, np.float32, order="C")).to(self._device)
        found: npt.NDArray[np.float32] = function(given).cpu().numpy()
        return found

    def _halve(self, error: RuntimeError, count: int) -> bool:
        """Go on with fewer at once, if memory ran out and there are fewer."""
        if not isinstance(error, self._torch.OutOfMemoryError) or count == 1:
            return False
        self.batch_size = count // 2
        self._torch.cuda.empty_cache()
        return True


def average_over_variants(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Give a function that averages another's results over the eight variants, on the device.

    Parameters
    ----------
    function : callable
        (N, C, h, w) tensor to as many results of any scale.

    Returns
    -------
    callable
        Summed in float64 and rounded once, as `restore.variants.average_variants`: one image
        comes back from the device in place of eight.
    """

    def average(batch: torch.Tensor) -> torch.Tensor:
        total = None
        for variant in VARIANTS:
            sides = [side for side, bit in ((-2, UPSIDE_DOWN), (-1, MIRRORED)) if variant & bit]
            turned = batch.transpose(-1, -2) if variant & TRANSPOSED else batch
            made = function(turned.flip(sides).contiguous()).flip(sides)
            made = made.transpose(-1, -2) if variant & TRANSPOSED else made
            total = made.double() if total is None else total.add_(made)
        if total is None:
            raise TypeError("no variants")
        return total.div_(len(VARIANTS)).float()

    return average


class DeviceNetwork(abc.ABC):
    """What networks on a `Device` have in common: inputs go through it in batches.

    Notes
    -----
    A network sets `_device` before it is run.
    """

    _device: Device

    @property
    def batch_size(self) -> int:
        """Inputs that are worth giving at once."""
        return self._device.batch_size

    @batch_size.setter
    def batch_size(self, size: int) -> None:
        self._device.batch_size = size

    def forward(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network once; see `restore.networks.Network.forward`.

        Raises
        ------
        StudyError
            As `forward_batch`.
        """
        found: npt.NDArray[np.float32] = self.forward_batch(planes[None])[0]
        return found

    @abc.abstractmethod
    def forward_batch(self, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network over several inputs; see `restore.networks.BatchNetwork`."""


def _explain(name: str, batch: npt.NDArray[np.float32], error: RuntimeError) -> StudyError:
    height, width = batch.shape[-2:]
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return StudyError(
        f"{name} failed on {height} x {width} pixels ({reason}): if memory ran out, give a smaller"
        " tile_px or --workers 1"
    )
