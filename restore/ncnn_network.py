"""Networks as ncnn runs them: a ``.param`` and a ``.bin`` file, one thread, on the CPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    import numpy.typing as npt


MAX_PARAM_BYTES = 1 << 24
_TRIAL_PX = 32
_MAGIC, _SPARE_BLOBS = "7767517", 10_000
_WEIGHT_COUNTS = {
    **dict.fromkeys(("Convolution", "ConvolutionDepthWise", "Deconvolution"), "6"),
    "DeconvolutionDepthWise": "6",
    "InnerProduct": "2",
}


class NcnnNetwork:
    """A network in ncnn's format, in float32 on one thread.

    Parameters
    ----------
    param, weights : str or Path
        The ``.param`` text and its ``.bin``.
    scale : int
        Sides of the output over sides of the input; ncnn's files do not state it.

    Raises
    ------
    StudyError
        The extra `restore` is not installed, the files are no network with one input and one
        output, or a first run on grey gives another scale or no finite values.

    Notes
    -----
    Nothing is stored or computed in 16 bits, whatever the processor offers: the same weights
    then differ between processors by rounding alone.
    """

    def __init__(self, param: str | Path, weights: str | Path, scale: int) -> None:
        ncnn = _import_ncnn()
        self.scale = scale
        self._ncnn = ncnn
        self._net = ncnn.Net()
        options = self._net.opt
        options.num_threads = 1
        options.use_vulkan_compute = False
        for name in (
            "use_fp16_packed",
            "use_fp16_storage",
            "use_fp16_arithmetic",
            "use_bf16_packed",
            "use_bf16_storage",
        ):
            if hasattr(options, name):
                setattr(options, name, False)
        check_param(Path(param), Path(weights))
        self._load(Path(param), Path(weights))
        trial = self.forward(np.full((3, _TRIAL_PX, _TRIAL_PX), 0.5, np.float32))
        if not np.isfinite(trial).all():
            raise StudyError(
                f"{param} and {weights} turn grey into values that are not finite; name the .param"
                " and .bin that belong together"
            )

    def forward(self, planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Run the network once; see `restore.networks.Network.forward`.

        Raises
        ------
        StudyError
            The network refuses the planes or returns another number or size of planes.
        """
        planes = np.ascontiguousarray(planes, np.float32)
        extractor = self._net.create_extractor()
        # A copy that ncnn owns: a layer that works in place on an array's memory kills the process.
        extractor.input(self._input, self._ncnn.Mat(planes).clone())
        status, output = extractor.extract(self._output)
        channels, height, width = planes.shape
        expected = (channels, height * self.scale, width * self.scale)
        found = (output.c, output.h, output.w) if status == 0 else f"status {status}"
        if found != expected:
            raise StudyError(
                f"{self._name}: expected planes of {expected} for {planes.shape}, found {found};"
                f" correct scale = {self.scale}, or name another network"
            )
        return np.array(output)

    def _load(self, param: Path, weights: Path) -> None:
        self._name = param.name
        with _silenced():
            failed = self._net.load_param(str(param)) or self._net.load_model(str(weights))
            inputs, outputs = self._net.input_names(), self._net.output_names()
        if failed or len(inputs) != 1 or len(outputs) != 1:
            raise StudyError(
                f"{param} and {weights} are no ncnn network with one input and one output; name"
                " the .param and .bin that belong together"
            )
        self._input, self._output = inputs[0], outputs[0]


def check_param(param: Path, weights: Path) -> None:
    """Refuse a ``.param`` whose counts are not those of its lines: ncnn makes room for them first.

    Parameters
    ----------
    param, weights : Path

    Raises
    ------
    StudyError
        It is larger than 16 MiB, no such text, or claims other layers, blobs or weights than the
        two files hold.
    """
    try:
        text = read_bounded(param, MAX_PARAM_BYTES).decode("utf-8")
        magic, counts, *lines = [line.split() for line in text.splitlines() if line.strip()]
        layers, blobs = map(int, counts)
        tops = sum(int(line[3]) for line in lines)
        claimed = max((_find_weight_count(line) for line in lines), default=0)
        is_possible = 0 < layers <= len(lines) and tops <= blobs <= tops + _SPARE_BLOBS
        if magic != [_MAGIC] or not is_possible:
            raise ValueError(f"{layers} layers and {blobs} blobs, found {len(lines)} and {tops}")
        if claimed > weights.stat().st_size:
            raise ValueError(f"{claimed} weights of a layer in {weights.stat().st_size} bytes")
    except OSError as error:
        raise StudyError(
            f"cannot read {error.filename}: {error.strerror}; put the file there"
        ) from None
    except (ValueError, IndexError) as error:
        raise StudyError(
            f"{param} and {weights} are no ncnn network: the first states {error}; name the .param"
            " and .bin that belong together"
        ) from None


def _find_weight_count(line: Sequence[str]) -> int:
    """Weights that a layer's line claims: parameter 6 of convolutions, 2 of inner products."""
    name = _WEIGHT_COUNTS.get(line[0])
    values = dict(cell.partition("=")[::2] for cell in line if "=" in cell)
    return int(values.get(name, 0)) if name else 0


def _import_ncnn() -> ModuleType:
    try:
        import ncnn
    except ModuleNotFoundError:
        raise StudyError(
            "an ncnn network needs ncnn, which is not installed:"
            " pip install 'upscale-audit[restore]'"
        ) from None
    found: ModuleType = ncnn
    return found


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Keep ncnn's own lines off stderr while it loads: the error that follows says more."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as null:
            os.dup2(null.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
