"""Judge restored images by the LR images they were made of: no reference, no study.

A restored image contradicts its LR image if no image that rounds to it can have given that LR
image, whatever it was before it was rounded. There is no threshold in this, and no false alarm; the
proof is one pixel, and anyone can check it with a calculator (docs/proof.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.lr import LrImage, repair
from upscale_audit.ingest.restorers import LR_RULES, LR_SCALES
from upscale_audit.ingest.stated_window import Window
from upscale_audit.ingest.study import IngestParameters
from upscale_audit.ingest.suffixes import FORMATS_BY_SUFFIX
from upscale_audit.ingest.windows import PLAIN, Display

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.images import DecodedImage


STATUSES = ("contradicted", "consistent", "not_judged")
CHANNELS = ("red", "green", "blue")


@dataclass(frozen=True)
class Verdict:
    """What an LR image says of an image restored from it.

    Attributes
    ----------
    model, image : str
    status : {"contradicted", "consistent", "not_judged"}
    detail : str
        Why it was not judged; else how it was, where that needs a word.
    proof : str or None
        The LR pixel that is contradicted most, in one line.
    lr_file, restored_file : str
        Names within their folders; the second is empty where there is none.
    lr_sha256, restored_sha256 : str or None
    rule : str or None
        The rule that was judged by.
    scale, channels : int or None
    lr_px, judged_px, border_px, clamped_px, contradicted_px : int or None
        LR pixels: all; those judged; those left out because they read beyond the border, or
        because the rule may have cut there; those contradicted, in any channel.
    block_count, contradicted_block_count : int or None
        Blocks of 8x8 restored pixels that were judged, and that hold a contradicted LR pixel.
    largest_dn, bound_dn : float or None
        Largest residual, and what a true one cannot exceed.
    """

    model: str
    image: str
    status: str
    detail: str
    proof: str | None
    lr_file: str
    restored_file: str
    lr_sha256: str | None = None
    restored_sha256: str | None = None
    rule: str | None = None
    scale: int | None = None
    channels: int | None = None
    lr_px: int | None = None
    judged_px: int | None = None
    border_px: int | None = None
    clamped_px: int | None = None
    contradicted_px: int | None = None
    block_count: int | None = None
    contradicted_block_count: int | None = None
    largest_dn: float | None = None
    bound_dn: float | None = None


@dataclass(frozen=True)
class Task:
    """One image to judge. `restored` is None where a model has none of this name."""

    model: str
    image: str
    lr: Path
    lr_name: str
    restored: Path | None
    restored_name: str
    lr_rule: str | None = None
    reason: str = "no restored image of this name"
    window: Window | None = None


def judge_files(task: Task) -> tuple[Verdict, npt.NDArray[np.float32] | None]:
    """Judge one restored file by its LR file.

    Parameters
    ----------
    task : Task

    Returns
    -------
    verdict : Verdict
    residual_dn : (m, n) float32 array or None
        What the image implies of each LR pixel, less what the LR image has; the channel that is
        farthest off. NaN where not judged; None where nothing was.
    """
    names: dict[str, Any] = {
        "model": task.model,
        "image": task.image,
        "lr_file": task.lr_name,
        "restored_file": task.restored_name,
    }
    if task.restored is None:
        return Verdict(**names, status="not_judged", detail=task.reason, proof=None), None
    hashes: dict[str, Any] = {}
    images, display = [], Display(task.window)
    for role, path in (("lr", task.lr), ("restored", task.restored)):
        try:
            image = _decode(path, display)
        except RejectedFileError as error:
            detail = f"{role} file: {error.code}: {error.detail}"
            if error.code == "bit_depth" and task.window is None:
                detail += "; of certify it is --window"
            verdict = Verdict(**names, **hashes, status="not_judged", detail=detail, proof=None)
            return verdict, None
        display = image.display
        images.append(image)
        hashes[f"{role}_sha256"] = image.facts.file_sha256
    lr_image, restored = images
    problem = _find_problem(lr_image, restored)
    if problem is not None:
        verdict = Verdict(**names, **hashes, status="not_judged", detail=problem, proof=None)
        return verdict, None
    rules = LR_RULES if task.lr_rule is None else (task.lr_rule,)
    judged = [_judge(lr_image, restored, rule) for rule in rules]
    facts, residual_dn = min(judged, key=lambda item: item[0]["contradicted_px"])
    detail = _describe([item[0] for item in judged], facts, task.restored, images[1])
    status = "contradicted" if facts["contradicted_px"] else "consistent"
    if not facts["judged_px"]:
        status, detail = "not_judged", "no LR pixel lies inside the image, or the rule may have cut"
    return Verdict(**names, **hashes, **facts, status=status, detail=detail), residual_dn


def repair_files(task: Task) -> tuple[Verdict, npt.NDArray[np.uint8] | None, Verdict | None]:
    """Repair one restored file by its LR file.

    Parameters
    ----------
    task : Task
        With its rule.

    Returns
    -------
    verdict : Verdict
        Of the file as it was.
    pixels : (M, N) or (M, N, 3) uint8 array or None
        The repaired image; None where it could not be judged.
    after : Verdict or None
        Of the repaired image.
    """
    before, _ = judge_files(task)
    rule, scale = task.lr_rule, before.scale
    if before.status == "not_judged" or task.restored is None or rule is None or scale is None:
        return before, None, None
    lr_image, restored = _decode(task.lr), _decode(task.restored)
    planes = _pair_channels(lr_image, restored)
    repaired = [repair(np.ascontiguousarray(grey), LrImage(lr, rule, scale)) for lr, grey in planes]
    pixels = repaired[0] if len(repaired) == 1 else np.stack(repaired, axis=2)
    facts, _ = _judge(lr_image, _Pixels(pixels), rule)
    status = "contradicted" if facts["contradicted_px"] else "consistent"
    return before, pixels, replace(before, **facts, status=status, detail="repaired")


class _Pixels:
    """Pixels in memory, as `_judge` takes a decoded image."""

    def __init__(self, pixels: npt.NDArray[np.uint8]) -> None:
        self.step, self.rgb = 0.0, pixels if pixels.ndim == 3 else None
        self.grey = pixels if pixels.ndim == 2 else pixels[:, :, 0]


def _decode(path: Path, display: Display = PLAIN) -> DecodedImage:
    most = IngestParameters().max_image_px
    data = read_bytes(path, limit_bytes(most))
    return decode_image(data, path.suffix.lower(), most, "reduce", display)


def _find_problem(lr: DecodedImage, restored: DecodedImage) -> str | None:
    """Why an image cannot be judged; None where it can."""
    rows, cols = restored.grey.shape
    lr_rows, lr_cols = lr.grey.shape
    if not any((rows, cols) == (lr_rows * scale, lr_cols * scale) for scale in LR_SCALES):
        names = ", ".join(map(str, LR_SCALES))
        return f"{cols}x{rows} px is not {names} times the LR image's {lr_cols}x{lr_rows}"
    for name, image in (("the LR file", lr), ("the restored file", restored)):
        if image.facts.transparent_px:
            return f"{name} has {image.facts.transparent_px} transparent pixels, of no one value"
    if bool(lr.step) != bool(restored.step):
        return "a window shows one of the two files only: roundings before it are not comparable"
    if math.inf in (lr.step, restored.step):
        return "the window is not linear, or wider than what the files can hold"
    return None


def _judge(
    lr_image: DecodedImage, restored: DecodedImage | _Pixels, lr_rule: str
) -> tuple[dict[str, Any], npt.NDArray[np.float32]]:
    """Judge every channel by a rule; colours by their own, whatever grey they make."""
    scale = restored.grey.shape[0] // lr_image.grey.shape[0]
    planes = _pair_channels(lr_image, restored)
    step = max(lr_image.step, restored.step)
    judged = [_judge_plane(lr, grey, lr_rule, scale, step) for lr, grey in planes]
    lr = judged[0][0]
    is_usable = np.any([item[2] for item in judged], axis=0)
    is_contradicted = np.any([item[3] for item in judged], axis=0)
    residuals = np.stack([np.where(item[2], item[1], 0) for item in judged])
    worst = np.abs(residuals).argmax(axis=0)
    residual = np.take_along_axis(residuals, worst[None], axis=0)[0]
    unit = lr.kernel.denominator**2
    largest = int(np.abs(residual).max(initial=0))
    facts = {
        "rule": lr_rule,
        "scale": scale,
        "channels": len(planes),
        "lr_px": lr.grey.size,
        "judged_px": int(is_usable.sum()),
        "border_px": int((~lr.is_inside).sum()),
        "clamped_px": int((lr.is_inside & ~is_usable).sum()),
        "contradicted_px": int(is_contradicted.sum()),
        **_count_blocks(is_usable, is_contradicted, scale),
        "largest_dn": largest / unit,
        "bound_dn": lr.bound / unit,
        "proof": None,
    }
    if facts["contradicted_px"]:
        facts["proof"] = _prove(residual, worst, [item[0] for item in judged])
    return facts, np.where(is_usable, residual / unit, np.nan).astype(np.float32)


def _pair_channels(
    lr_image: DecodedImage, restored: DecodedImage | _Pixels
) -> list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]]:
    """Pair the channels of LR and restored image; one pair where neither has colours."""
    return [
        (lr_image.grey if lr_image.rgb is None else lr_image.rgb[:, :, channel],
         restored.grey if restored.rgb is None else restored.rgb[:, :, channel])
        for channel in range(1 if lr_image.rgb is None and restored.rgb is None else 3)
    ]  # fmt: skip


def _judge_plane(
    lr_grey: npt.NDArray[np.uint8],
    grey: npt.NDArray[np.uint8],
    lr_rule: str,
    scale: int,
    step: float,
) -> tuple[LrImage, npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    lr = LrImage(lr_grey, lr_rule, scale, step)
    return lr, *lr.find_contradictions(lr.judge(np.ascontiguousarray(grey)))


def _count_blocks(
    is_usable: npt.NDArray[np.bool_], is_contradicted: npt.NDArray[np.bool_], scale: int
) -> dict[str, int]:
    rows, cols = ((scale * np.arange(side) + (scale - 1) // 2) // 8 for side in is_usable.shape)
    shape = rows[-1] + 1, cols[-1] + 1
    counts = {}
    for name, pixels in (("block_count", is_usable), ("contradicted_block_count", is_contradicted)):
        found = np.zeros(shape, bool)
        row, col = np.nonzero(pixels)
        found[rows[row], cols[col]] = True
        counts[name] = int(found.sum())
    return counts


def _prove(
    residual: npt.NDArray[np.int64], worst: npt.NDArray[np.int64], lrs: Sequence[LrImage]
) -> str:
    """Say which LR pixel is contradicted most, so that it can be checked by hand."""
    row, col = np.unravel_index(np.abs(residual).argmax(), residual.shape)
    lr = lrs[worst[row, col]]
    unit = lr.kernel.denominator**2
    value = int(lr.grey[row, col])
    implied = Fraction(int(residual[row, col]), unit) + value
    channel = "" if len(lrs) == 1 else f" ({CHANNELS[worst[row, col]]})"
    return (
        f"LR pixel at row {row}, column {col}{channel} is {value}; the restored image implies"
        f" {float(implied):.3f}, and roundings explain at most {lr.bound / unit:.3f}"
    )


def _describe(
    tried: Sequence[dict[str, Any]], chosen: Mapping[str, Any], restored: Path, image: DecodedImage
) -> str:
    """Say by which rules an image was judged, and what its format adds to what is found."""
    words = []
    if len(tried) > 1:
        counts = ", ".join(f"{item['rule']} {item['contradicted_px']:,}" for item in tried)
        words.append(f"by every known rule, contradicted LR pixels: {counts}")
    if chosen["channels"] > 1:
        words.append("each of three channels by its own")
    if image.step:
        low, high = image.facts.window_low, image.facts.window_high
        words.append(
            f"shown from {low:g} to {high:g}: what that rounds is allowed for, what it cuts is left"
            " out"
        )
    kind = FORMATS_BY_SUFFIX[restored.suffix.lower()]
    if kind in ("JPEG", "WebP"):
        words.append(f"what {kind} changed in the restored file counts with it")
    return "; ".join(words)
