"""Train a small SwinIR x2 on radiographs: the project's own transformer, not a published one.

``python -m upscale_audit.restore.train_swinir --references DIR --out FILE --seconds 400``

Nothing of it is needed to restore or to audit: the file that it writes is read as any other by
``kind = "spandrel"``. It wants a GPU; on a processor a step takes seconds.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import hash_file, hash_json, write_text
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.restore.torch_network import import_spandrel

if TYPE_CHECKING:
    import numpy.typing as npt
    from spandrel.architectures.SwinIR.__arch.SwinIR import SwinIR
    from torch import Tensor


DESIGN: dict[str, Any] = {
    "upscale": 2,
    "in_chans": 1,
    "img_size": 64,
    "window_size": 8,
    "img_range": 1.0,
    "depths": [6, 6, 6, 6],
    "embed_dim": 60,
    "num_heads": [6, 6, 6, 6],
    "mlp_ratio": 2,
    "upsampler": "pixelshuffledirect",
    "resi_connection": "1conv",
}
"""The lightweight SwinIR of Liang et al. 2021, for one channel."""
MAX_IMAGE_PX = 1 << 26
CURVE_COLUMNS = ("step", "train_loss", "held_out_psnr_db")
HELD_OUT_LR_PX = 192
"""Side of the middle of a held-out LR image, of which the curve's PSNR is."""


@dataclass(frozen=True)
class TrainingParameters:
    """What decides the weights beside the images.

    Attributes
    ----------
    seconds : float
        How long to train; the number of steps follows from the speed of the first ones.
    steps : int
        That number; 0 finds it.
    batch_size : int
        Crops in a batch.
    crop_px : int
        Side of an LR crop, a multiple of the window.
    learning_rate : float
        The largest; it rises over 200 steps and falls as a cosine.
    average_decay : float
        The weights that are kept are a running average with this decay a step.
    seed : int
    report_steps : int
        Steps between rows of the curve.
    """

    seconds: float = 0
    steps: int = 0
    batch_size: int = 32
    crop_px: int = 64
    learning_rate: float = 1e-3
    average_decay: float = 0.999
    seed: int = 0
    report_steps: int = 250

    def __post_init__(self) -> None:
        if (self.seconds > 0) == (self.steps > 0):
            raise StudyError("give --seconds or --steps, one of them, above 0")
        if self.crop_px % DESIGN["window_size"]:
            raise StudyError(
                f"crop_px = {self.crop_px}; expected a multiple of {DESIGN['window_size']}"
            )


def train(
    pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    held_out: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    parameters: TrainingParameters,
    device: str = "cpu",
    report: Callable[[str], object] = print,
) -> tuple[dict[str, Tensor], list[dict[str, float]], int]:
    """Train the network.

    Parameters
    ----------
    pairs, held_out : list of (LR, reference)
        (M, N) and (2 M, 2 N) uint8 arrays; the first are learned from, of the others the curve is.
    parameters : TrainingParameters
    device : str
    report : callable
        Called with a line of text now and then.

    Returns
    -------
    state : dict of str to torch.Tensor
        Weights in float16, on the CPU.
    curve : list of dict
        Of `CURVE_COLUMNS`.
    steps : int

    Raises
    ------
    StudyError
        The loss is not finite, or spandrel is missing.

    Notes
    -----
    L1 loss of grey levels over 255, Adam, crops in all eight orientations, computed in bfloat16
    where the device is a GPU. The same inputs give about the same weights, not the same bits.
    """
    torch, _ = import_spandrel()
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(parameters.seed)
    model = SwinIR(**DESIGN).to(device)
    average = SwinIR(**DESIGN).to(device)
    average.load_state_dict(model.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=parameters.learning_rate)
    draw = _Crops(torch, pairs, parameters, device)
    is_gpu = str(device).startswith("cuda")

    def learn(rate: float) -> Tensor:
        low, high = draw()
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast("cuda", torch.bfloat16, enabled=is_gpu):
            loss = torch.nn.functional.l1_loss(model(low).float(), high)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.detach()

    steps = parameters.steps or _count_steps(torch, learn, parameters, is_gpu)
    curve, losses = [], []
    for step in range(1, steps + 1):
        losses.append(learn(parameters.learning_rate * _share_rate(step, steps)))
        # Early on the average follows the weights, so that it forgets where they began.
        decay = min(parameters.average_decay, step / (step + 10))
        with torch.no_grad():
            for kept, now in zip(average.parameters(), model.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        if step % parameters.report_steps == 0 or step == steps:
            loss = float(torch.stack(losses).mean())
            if not math.isfinite(loss):
                raise StudyError(f"the loss is not a number at step {step}; give another --seed")
            psnr = judge(torch, average, held_out, device)
            curve.append(dict(zip(CURVE_COLUMNS, (step, loss, psnr), strict=True)))
            report(f"step {step} of {steps}: loss {loss:.5f}, held out {psnr:.3f} dB")
            losses = []
    return _pack(SwinIR, average), curve, steps


def _pack(architecture: type[SwinIR], model: SwinIR) -> dict[str, Tensor]:
    """Give the weights in float16, beside the masks of a small image: those of others are found."""
    small = architecture(**(DESIGN | {"img_size": 2 * DESIGN["window_size"]}))
    state = small.state_dict() | {
        name: value.detach().half().cpu() for name, value in model.named_parameters()
    }
    return {name: value.contiguous() for name, value in state.items()}


def judge(
    torch: ModuleType,
    model: SwinIR,
    held_out: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
    device: str,
) -> float:
    """Mean PSNR over the middles of the held-out images, dB, of rounded grey levels."""
    values = []
    model.eval()
    with torch.no_grad():
        for low, high in held_out:
            side = min(HELD_OUT_LR_PX, *(length // 8 * 8 for length in low.shape))
            top, left = ((length - side) // 2 for length in low.shape)
            part = low[top : top + side, left : left + side]
            batch = torch.from_numpy(part / np.float32(255))[None, None].to(device)
            made = (model(batch)[0, 0].float() * 255).round().clamp(0, 255).cpu().numpy()
            true = high[2 * top : 2 * (top + side), 2 * left : 2 * (left + side)]
            error = np.mean((made - true.astype(np.float64)) ** 2)
            values.append(10 * math.log10(255**2 / max(error, 1e-12)))
    model.train()
    return fmean(values) if values else math.nan


class _Crops:
    """Draws batches of aligned crops, on the device."""

    def __init__(
        self,
        torch: ModuleType,
        pairs: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]],
        parameters: TrainingParameters,
        device: str,
    ) -> None:
        self._torch, self._size = torch, parameters.crop_px
        self._generator = np.random.default_rng(parameters.seed)
        self._batch = parameters.batch_size
        self._pairs = [
            tuple(torch.from_numpy(np.array(side)).to(device) for side in pair) for pair in pairs
        ]

    def __call__(self) -> tuple[Tensor, Tensor]:
        torch, size, rng = self._torch, self._size, self._generator
        lows: list[Tensor] = []
        highs: list[Tensor] = []
        for _ in range(self._batch):
            low, high = self._pairs[rng.integers(len(self._pairs))]
            top, left = (int(rng.integers(length - size + 1)) for length in low.shape)
            quarter, is_flipped = int(rng.integers(4)), bool(rng.integers(2))
            for scale, source, into in ((1, low, lows), (2, high, highs)):
                crop = source[
                    scale * top : scale * (top + size), scale * left : scale * (left + size)
                ]
                crop = torch.rot90(crop, quarter)
                into.append(crop.flip(0) if is_flipped else crop)
        return tuple(torch.stack(side)[:, None].float() / 255 for side in (lows, highs))


def _count_steps(
    torch: ModuleType,
    learn: Callable[[float], Tensor],
    parameters: TrainingParameters,
    is_gpu: bool,
) -> int:
    """Time a few steps, of no rate, and say how many fit."""
    for count in (10, 40):
        if is_gpu:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(count):
            learn(0.0)
        if is_gpu:
            torch.cuda.synchronize()
        seconds = (time.perf_counter() - begin) / count
    return max(parameters.report_steps, int(parameters.seconds / seconds / 1.1))


def _share_rate(step: int, steps: int) -> float:
    warm = min(200, max(1, steps // 10))
    if step < warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def read_pairs(files: Sequence[Path]) -> list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Read references as ingest does, and make the LR image of each by Pillow's bicubic.

    Parameters
    ----------
    files : list of Path

    Returns
    -------
    list of (LR, reference)
        As `train` takes them.

    Raises
    ------
    StudyError
        A file is refused, or a side is odd or shorter than a crop.
    """
    pairs, least = [], DESIGN["upscale"] * TrainingParameters.crop_px
    for file in files:
        try:
            data = read_bytes(file, limit_bytes(MAX_IMAGE_PX))
            high = decode_image(data, file.suffix.lower(), MAX_IMAGE_PX, "reject").grey
        except RejectedFileError as reject:
            raise StudyError(f"{file.name}: {reject}; take it out of the folder") from None
        if any(side % DESIGN["upscale"] or side < least for side in high.shape):
            raise StudyError(
                f"{file.name}: {high.shape[1]}x{high.shape[0]} px; expected even sides of {least}"
                " px or more: take it out of the folder"
            )
        pairs.append((make_lr(high, DESIGN["upscale"], "antialiased"), high))
    return pairs


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--references", type=Path, required=True, help="grey PNG images")
    parser.add_argument("--out", type=Path, required=True, help="weights; a curve lies beside them")
    parser.add_argument("--held-out", type=int, default=8, help="the first so many by name")
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=TrainingParameters.batch_size)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args(arguments)
    parameters = TrainingParameters(
        options.seconds, options.steps, options.batch, seed=options.seed
    )
    files = sorted(options.references.glob("*.png"))
    kept, learned = files[: options.held_out], files[options.held_out :]
    if not learned:
        raise StudyError(
            f"{options.references} has {len(files)} PNG images, of which {options.held_out} are"
            " held out: give more, or lower --held-out"
        )
    state, curve, steps = train(read_pairs(learned), read_pairs(kept), parameters, options.device)
    torch, _ = import_spandrel()
    from safetensors.torch import save_file

    facts = {
        "what": "SwinIR x2 for grey radiographs, trained by upscale-audit; no published weights",
        "parameters": asdict(parameters) | {"steps": steps},
        "design": DESIGN,
        "images": len(learned),
        "images_sha256": hash_json([hash_file(file) for file in learned]),
        "torch": torch.__version__,
    }
    save_file(state, options.out, {"upscale_audit": json.dumps(facts)})
    text = io.StringIO()
    writer = csv.DictWriter(text, CURVE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(curve)
    write_text(options.out.with_suffix(".csv"), text.getvalue())


if __name__ == "__main__":
    try:
        main()
    except StudyError as error:
        raise SystemExit(f"train_swinir: {error}") from None
