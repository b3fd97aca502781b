"""Readers in TorchScript archives. Their code runs, in the language that TorchScript is."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.readers import is_torchscript
from upscale_audit.reading.readers import NetworkReader, Weights
from upscale_audit.reading.torch_device import import_torch, shorten_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def load_torchscript(weights: Weights) -> NetworkReader:
    """Load a TorchScript archive whose module gives scores, or scores and maps.

    Parameters
    ----------
    weights : Weights

    Returns
    -------
    NetworkReader

    Raises
    ------
    StudyError
        It is no such archive, or does not take what the study says that it takes.

    Notes
    -----
    The interpreter optimises nothing: a module that it specialises after some calls would give
    other last digits for the first images than for later ones.
    """
    torch, declared = import_torch(weights.device), weights.declared
    if not is_torchscript(io.BytesIO(weights.data)):
        raise StudyError(
            f"{declared.file} is no TorchScript archive, as torch.jit.save writes it; correct"
            f" format of {declared.reader!r} in [[readers]], or name another file"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript itself is
            module = torch.jit.load(io.BytesIO(weights.data), map_location=weights.device).eval()
    except Exception as error:  # damaged archives surface as many types
        raise StudyError(
            f"{declared.file} cannot be loaded as TorchScript: {shorten_error(error)}; name another"
            f" file as {declared.reader!r} in [[readers]]"
        ) from None

    def call(
        planes: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
        batch = torch.from_numpy(planes).to(weights.device)
        try:
            with torch.inference_mode(), torch.jit.optimized_execution(False):
                result = module(batch)
        except Exception as error:  # an operator's, an assertion's, a lack of memory
            raise StudyError(
                f"reader {declared.reader!r} ({declared.file}) failed on planes of the shape"
                f" {planes.shape}: {shorten_error(error)}; correct input_px or intensity in"
                " [[readers]]; if memory ran out, give a smaller --batch"
            ) from None
        outputs = result if isinstance(result, tuple | list) else (result,)
        is_known = len(outputs) in (1, 2)
        if not is_known or not all(isinstance(item, torch.Tensor) for item in outputs):
            kinds = ", ".join(type(item).__name__ for item in outputs)
            raise StudyError(
                f"reader {declared.reader!r} ({declared.file}) gives ({kinds}); expected scores, or"
                " scores and maps: export it so"
            )
        scores, *maps = (item.float().cpu().numpy() for item in outputs)
        return scores, maps[0] if maps else None

    return NetworkReader(weights, f"torch {torch.__version__}", call)
