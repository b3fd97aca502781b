"""torchxrayvision's DenseNet-121, from weights that the user brings; its code is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.reading.readers import MAX_WEIGHTS_BYTES, NetworkReader, Weights
from upscale_audit.reading.tensors import read_tensors
from upscale_audit.reading.torch_device import import_torch, shorten_error

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


BLOCKS = (6, 12, 24, 16)
"""Layers of each dense block."""
GROWTH, BOTTLENECK, FIRST = 32, 128, 64
"""Planes that a layer adds, those it squeezes its input into, those of the first convolution."""
EPSILON = 1e-5
"""Of batch normalisation, PyTorch's default."""


def load_densenet(weights: Weights) -> NetworkReader:
    """Load a DenseNet-121 with one output a finding.

    Parameters
    ----------
    weights : Weights
        A state dict, or a whole module as torchxrayvision's published files are, of which only
        the tensors are looked at.

    Returns
    -------
    NetworkReader
        Scores are logits, or their sigmoids, brought to an operating point of 0.5 where the file
        holds `op_threshs`; maps are class activation maps (`DenseNet121.read`).

    Raises
    ------
    StudyError
        It is no such file, or a tensor is missing, of another shape or not finite.
    """
    torch, declared = import_torch(weights.device), weights.declared
    try:
        state = read_tensors(weights.data, MAX_WEIGHTS_BYTES)
        shapes = list_shapes(len(weights.intensity.mean), len(declared.findings))
        tensors = _take_tensors(torch, state, shapes)
        limits = _take_limits(torch, state, declared.findings, declared.score)
    except ValueError as error:
        raise StudyError(
            f"{declared.file} holds no DenseNet-121 of {len(declared.findings)} outputs: {error};"
            f" correct findings or intensity of {declared.reader!r} in [[readers]], or name"
            " another file"
        ) from None
    network = DenseNet121(torch, tensors, weights.device)

    def call(
        planes: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        try:
            logits, maps = network.read(planes)
        except RuntimeError as error:
            raise StudyError(
                f"reader {declared.reader!r} ({declared.file}) failed on planes of the shape"
                f" {planes.shape}: {shorten_error(error)}; correct input_px in [[readers]]; if"
                " memory ran out, give a smaller --batch"
            ) from None
        scores = logits.double().cpu()
        if declared.score == "probability":
            scores = scores.sigmoid()
            scores = scores if limits is None else scale_scores(torch, scores, limits)
        return scores.numpy(), maps.cpu().numpy()

    return NetworkReader(weights, f"torch {torch.__version__}", call)


def list_shapes(planes: int, outputs: int) -> dict[str, tuple[int, ...]]:
    """List the tensors of a DenseNet-121, by the names of torchvision's layout.

    Parameters
    ----------
    planes : int
        That it takes.
    outputs : int

    Returns
    -------
    dict
        Shape by name.
    """
    shapes: dict[str, tuple[int, ...]] = {"features.conv0.weight": (FIRST, planes, 7, 7)}

    def add_norm(name: str, width: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (width,)

    add_norm("features.norm0", FIRST)
    width = FIRST
    for block, layers in enumerate(BLOCKS, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            add_norm(f"{name}.norm1", width)
            shapes[f"{name}.conv1.weight"] = (BOTTLENECK, width, 1, 1)
            add_norm(f"{name}.norm2", BOTTLENECK)
            shapes[f"{name}.conv2.weight"] = (GROWTH, BOTTLENECK, 3, 3)
            width += GROWTH
        if block < len(BLOCKS):
            name = f"features.transition{block}"
            add_norm(f"{name}.norm", width)
            shapes[f"{name}.conv.weight"] = (width // 2, width, 1, 1)
            width //= 2
    add_norm("features.norm5", width)
    shapes["classifier.weight"] = (outputs, width)
    shapes["classifier.bias"] = (outputs,)
    return shapes


def _take_tensors(
    torch: ModuleType, state: Mapping[str, torch.Tensor], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, torch.Tensor]:
    """Take the network's tensors out of a file's, as float32; ValueError where one is another."""
    tensors = {}
    for name, shape in shapes.items():
        if name not in state:
            raise ValueError(f"expected {name} of shape {shape}, found nothing")
        tensor = state[name]
        if tuple(tensor.shape) != shape or not tensor.is_floating_point():
            raise ValueError(f"expected {name} of shape {shape}, found {tuple(tensor.shape)}")
        tensors[name] = tensor.float()
        if not bool(tensors[name].isfinite().all()):
            raise ValueError(f"{name} is not finite")
    return tensors


def _take_limits(
    torch: ModuleType,
    state: Mapping[str, torch.Tensor],
    findings: tuple[str, ...],
    score: str | None,
) -> torch.Tensor | None:
    """Take the operating points of a file, if it holds some and probabilities are asked for."""
    limits = state.get("op_threshs")
    if limits is None or score != "probability":
        return None
    if tuple(limits.shape) != (len(findings),):
        raise ValueError(f"expected op_threshs of shape {(len(findings),)}")
    limits = limits.double()
    for name, limit in zip(findings, limits.tolist(), strict=True):
        if name and not 0 < limit < 1:
            raise ValueError(
                f"op_threshs has no point between 0 and 1 for {name!r}, which the network was not"
                ' trained on: write "" for it in findings'
            )
    return limits


def scale_scores(torch: ModuleType, scores: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """Bring probabilities to an operating point of 0.5, as torchxrayvision does.

    Parameters
    ----------
    torch : module
    scores : (n, findings) float64 tensor
    limits : (findings,) float64 tensor
        NaN where there is none: the result is too.

    Returns
    -------
    (n, findings) float64 tensor
        p / (2 t) below t, 1 - (1 - p) / (2 (1 - t)) from t on: 0, t and 1 become 0, 0.5 and 1.
    """
    return torch.where(
        scores < limits, scores / (2 * limits), 1 - (1 - scores) / (2 * (1 - limits))
    )


class DenseNet121:
    """The network, of tensors and PyTorch's functions alone.

    Parameters
    ----------
    torch : module
    tensors : dict
        By the names of `list_shapes`.
    device : str

    References
    ----------
    Huang G., Liu Z., van der Maaten L., Weinberger K. Q., Densely connected convolutional
    networks, CVPR 2017, doi:10.1109/CVPR.2017.243: table 1, DenseNet-121, k = 32.
    Cohen J. P. et al., TorchXRayVision: a library of chest X-ray datasets and models, MIDL 2022,
    arXiv:2111.00595.
    """

    def __init__(self, torch: ModuleType, tensors: Mapping[str, torch.Tensor], device: str) -> None:
        self._torch, self._functional = torch, torch.nn.functional
        self._device = device
        self._tensors = {name: tensor.to(device) for name, tensor in tensors.items()}

    def read(self, planes: npt.NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
        """Read images.

        Parameters
        ----------
        planes : (n, planes, h, w) float32 array

        Returns
        -------
        logits : (n, outputs) float32 tensor
        maps : (n, outputs, h / 32, w / 32) float32 tensor
            The classifier's weights on the rectified last features: their mean, and the
            classifier's bias, make the logit.
        """
        with self._torch.inference_mode():
            features = self._extract(self._torch.from_numpy(planes).to(self._device))
            weight, bias = self._tensors["classifier.weight"], self._tensors["classifier.bias"]
            logits = self._functional.linear(features.mean(dim=(2, 3)), weight, bias)
            return logits, self._functional.conv2d(features, weight[:, :, None, None])

    def _extract(self, planes: torch.Tensor) -> torch.Tensor:
        """Compute the last features, rectified."""
        functional = self._functional
        values = self._convolve("features.conv0", planes, stride=2, padding=3)
        values = functional.max_pool2d(self._normalise("features.norm0", values), 3, 2, 1)
        for block, layers in enumerate(BLOCKS, start=1):
            for layer in range(1, layers + 1):
                name = f"features.denseblock{block}.denselayer{layer}"
                squeezed = self._convolve(f"{name}.conv1", self._normalise(f"{name}.norm1", values))
                added = self._convolve(
                    f"{name}.conv2", self._normalise(f"{name}.norm2", squeezed), padding=1
                )
                values = self._torch.cat([values, added], dim=1)
            if block < len(BLOCKS):
                name = f"features.transition{block}"
                values = self._convolve(f"{name}.conv", self._normalise(f"{name}.norm", values))
                values = functional.avg_pool2d(values, 2, 2)
        return self._normalise("features.norm5", values)

    def _convolve(
        self, name: str, values: torch.Tensor, stride: int = 1, padding: int = 0
    ) -> torch.Tensor:
        weight = self._tensors[f"{name}.weight"]
        return self._functional.conv2d(values, weight, None, stride, padding)

    def _normalise(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """Normalise by the statistics of training, and rectify."""
        parts = ("running_mean", "running_var", "weight", "bias")
        mean, variance, weight, bias = (self._tensors[f"{name}.{part}"] for part in parts)
        normalised = self._functional.batch_norm(
            values, mean, variance, weight, bias, False, 0.0, EPSILON
        )
        return normalised.relu()
