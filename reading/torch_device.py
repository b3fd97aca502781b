"""PyTorch as readers use it: one thread, a device that is there, the same sums every time."""

from __future__ import annotations

from types import ModuleType

from upscale_audit.ingest.errors import StudyError


def import_torch(device: str) -> ModuleType:
    """Import PyTorch, and keep it to one thread and to exact float32.

    Parameters
    ----------
    device : {"cpu", "cuda"}

    Returns
    -------
    module

    Raises
    ------
    ModuleNotFoundError
        It is not installed.
    StudyError
        The device is not there.
    """
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise StudyError(
            f"--device {device}: PyTorch {torch.__version__} finds no such device here; leave it"
            " out, or install a build of PyTorch for it"
        )
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    module: ModuleType = torch
    return module


def shorten_error(error: BaseException) -> str:
    """Say an error of a library in a part of a line: of what it wrote the last line that speaks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else type(error).__name__
    return text[:200]
