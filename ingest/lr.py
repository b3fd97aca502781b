"""What a restored image says of the LR image it was made of: facts per block, and a certificate.

L is the LR image, A the rule that made it, y a restored image, x the reference. If y contradicts L,
no image that rounds to y can have given L: that is proved without x. With x the rest is divided
into what A could see and what it could not, docs/definitions.md E.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest import lr_loops as loops
from upscale_audit.ingest.lr_rules import Kernel, find_axis, find_kernel, make_lr
from upscale_audit.ingest.restorers import LR_RULES, LR_SCALES

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.images import DecodedImage
    from upscale_audit.ingest.study import LrParameters


BLOCK_PX = 8
DARKEST, BRIGHTEST = 0, 255
"""Grey values of an LR pixel at which the rule may have cut: what lies beyond is not known."""


class LrImage:
    """An LR image under a rule, ready to judge images of `scale` times its size.

    Parameters
    ----------
    grey : (m, n) uint8 array
    lr_rule : {"opencv_cubic", "antialiased"}
    scale : {2, 3, 4}
    step : float
        Grey levels of one stored value, where a window shows this image and those it judges: both
        were rounded before it, and what it cut is not known.
    """

    def __init__(
        self, grey: npt.NDArray[np.uint8], lr_rule: str, scale: int, step: float = 0.0
    ) -> None:
        self.grey = np.ascontiguousarray(grey)
        self.lr_rule, self.scale, self.step = lr_rule, scale, step
        self.kernel: Kernel = find_kernel(lr_rule, scale)
        rows, cols = (side * scale for side in grey.shape)
        self.rows, self.cols = find_axis(lr_rule, scale, rows), find_axis(lr_rule, scale, cols)
        self.is_inside = self.rows.is_inside[:, None] & self.cols.is_inside[None, :]
        self.is_cut = (self.grey == DARKEST) | (self.grey == BRIGHTEST)
        self.blocks = rows // BLOCK_PX, cols // BLOCK_PX

    def judge(
        self, grey: npt.NDArray[np.uint8], channels: npt.NDArray[np.uint8] | None = None
    ) -> Judged:
        """Hold an image against this LR image.

        Parameters
        ----------
        grey : (M, N) uint8 array
            `scale` times as high and as wide.
        channels : (M, N, 3) uint8 array, optional
            The colours that `grey` was reduced from.

        Returns
        -------
        Judged
        """
        made, is_clamped = self._apply(grey)
        rounding = Fraction(1, 2)
        if channels is not None:
            # Each channel was an image of its own: any of them may have been clamped, and grey is
            # rounded after them.
            rounding = Fraction(1)
            for channel in range(3):
                plane = np.ascontiguousarray(channels[:, :, channel])
                is_clamped |= self._apply(plane)[1]
        if self.step:
            is_clamped |= self._find_reach((grey == DARKEST) | (grey == BRIGHTEST))
        return Judged(made, is_clamped | self.is_cut, self._widen(self.kernel.bound(rounding)))

    @property
    def bound(self) -> int:
        """Largest residual of a true image in one channel."""
        return self._widen(self.kernel.bound())

    def _widen(self, bound: int) -> int:
        """Allow for a rounding of stored values beside each rounding of grey levels.

        A step comes to each; where the rule cuts between its two roundings, the gain to one more.
        """
        if not self.step:
            return bound
        return math.ceil(bound * (1 + Fraction(self.step) * self.kernel.gain))

    def _find_reach(self, is_unknown: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """LR pixels that read any of some pixels."""
        down = _spread(is_unknown, self.rows.starts, self.rows.taps.shape[1])
        return _spread(down.T, self.cols.starts, self.cols.taps.shape[1]).T

    def _apply(
        self, grey: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Apply the rule: the result, times the squared denominator, and where it may cut."""
        limits = -np.inf, np.inf
        if self.kernel.rounds_twice:
            # Columns are rounded to 8 bits and cut; whatever rounds to this image is cut nowhere if
            # this one stays half a grey level times the gain away from it.
            reach, unit = float((self.kernel.gain - 1) / 2), self.kernel.denominator
            limits = reach * unit, (255 - reach) * unit
        found: tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]] = loops.reduce_image(
            grey, self.rows.starts, self.rows.taps, self.cols.layout, limits
        )
        return found

    def fold(self, judged: Judged) -> dict[str, npt.NDArray[Any]]:
        """Block facts of a judged image, by name."""
        counts, sums, squares = loops.count_residuals(
            judged.made,
            self.grey,
            self.is_inside,
            judged.is_clamped,
            self.kernel.denominator**2,
            judged.bound,
            self.scale,
            self.blocks,
        )
        return {
            "lr_usable": counts[0],
            "lr_clamped": counts[1],
            "lr_contradicted": counts[2],
            "lr_sum": sums[0],
            "lr_largest": sums[1],
            "lr_square": squares,
        }

    def find_contradictions(
        self, judged: Judged
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Residuals of an image, and where they prove a contradiction.

        Parameters
        ----------
        judged : Judged

        Returns
        -------
        residual : (m, n) int64 array
            Of the squared denominator a dn.
        is_usable, is_contradicted : (m, n) bool arrays
        """
        is_usable = self.is_inside & ~judged.is_clamped
        unit = self.kernel.denominator**2
        residual = np.rint(judged.made).astype(np.int64) - unit * self.grey.astype(np.int64)
        return residual, is_usable, is_usable & (np.abs(residual) > judged.bound)

    def solve(self, made: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Apply (A A^T)^-1 to what the rule made of an image: (m, n)."""
        unit = self.kernel.denominator**2
        found: npt.NDArray[np.float64] = loops.solve_image(
            made, unit, self.rows.factor, self.cols.factor
        )
        return found

    def project(self, made: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Project onto the range of A^T: what of an image the LR image determines, (M, N)."""
        solved, unit = self.solve(made), self.kernel.denominator
        found: npt.NDArray[np.float64] = loops.project_image(
            solved, self.rows.layout, self.cols.layout, unit
        )
        return found


def repair(grey: npt.NDArray[np.uint8], lr: LrImage) -> npt.NDArray[np.uint8]:
    """Change an image as little as the LR image demands.

    Parameters
    ----------
    grey : (M, N) uint8 array
        A restored image.
    lr : LrImage

    Returns
    -------
    (M, N) uint8 array
        y' = y - A^T (A A^T)^-1 (A y - L), rounded: of all images that give L the one nearest to y.
        LR pixels that cannot be judged ask for nothing. Unless it was cut at 0 or 255, the result
        contradicts no LR pixel: its rounding moves each residual by less than the bound.
    """
    judged = lr.judge(grey)
    residual, is_usable, _ = lr.find_contradictions(judged)
    change = lr.project(np.where(is_usable, residual, 0).astype(np.float64))
    return np.clip(np.rint(grey - change), 0, 255).astype(np.uint8)


def _spread(
    flags: npt.NDArray[np.bool_], starts: npt.NDArray[np.int64], width: int
) -> npt.NDArray[np.bool_]:
    """Whether any flag stands among the rows that each LR row reads: (M, n) to (m, n) bool."""
    sums = np.zeros((flags.shape[0] + 1, flags.shape[1]), np.int32)
    np.cumsum(flags, axis=0, out=sums[1:])
    return sums[starts + width] > sums[starts]


@dataclass(frozen=True)
class Judged:
    """An image held against an LR image.

    Attributes
    ----------
    made : (m, n) float64 array
        What the rule makes of it, times the squared denominator: whole numbers.
    is_clamped : (m, n) bool array
        LR pixels at which the rule may have cut: not judged.
    bound : int
        A residual beyond it is a contradiction.
    """

    made: npt.NDArray[np.float64]
    is_clamped: npt.NDArray[np.bool_]
    bound: int


class LrReference:
    """A reference and its LR image, which its restored images are held against.

    Parameters
    ----------
    grey : (M, N) uint8 array
        The reference.
    lr : LrImage
    judged : Judged
        The reference, held against it.
    """

    def __init__(self, grey: npt.NDArray[np.uint8], lr: LrImage, judged: Judged) -> None:
        self.grey, self.lr = grey, lr
        self.range = lr.project(judged.made)
        self.columns = {"null_energy": loops.sum_null_energies(grey, self.range, lr.blocks)}

    def measure(
        self, grey: npt.NDArray[np.uint8], channels: npt.NDArray[np.uint8] | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Block columns of a restored image.

        Parameters
        ----------
        grey : (M, N) uint8 array
        channels : (M, N, 3) uint8 array, optional
            Its colours, where they differ.

        Returns
        -------
        dict
            ``(M // 8, N // 8)`` arrays by the raw column's name, less its path.
        """
        judged = self.lr.judge(grey, channels)
        lr = self.lr
        null_energy, null_product, bent = loops.split_energies(
            self.grey,
            grey,
            self.range,
            lr.solve(judged.made),
            lr.rows.layout,
            lr.cols.layout,
            lr.kernel.denominator,
            lr.blocks,
        )
        split = {"null_energy": null_energy, "null_product": null_product, "bent": bent}
        return lr.fold(judged) | split


def find_size_problem(
    parameters: LrParameters, shape: tuple[int, int], lr_shape: tuple[int, int]
) -> str | None:
    """Say why an LR image is not of a reference, by their sizes; None where it may be.

    Parameters
    ----------
    parameters : ingest.study.LrParameters
    shape, lr_shape : (int, int)

    Returns
    -------
    str or None
    """
    scales = LR_SCALES if parameters.scale is None else (parameters.scale,)
    if any(tuple(shape) == (lr_shape[0] * scale, lr_shape[1] * scale) for scale in scales):
        return None
    names = " or ".join(map(str, scales))
    return (
        f"{lr_shape[1]}x{lr_shape[0]} px; the reference, {shape[1]}x{shape[0]}, is not {names}"
        " times it"
    )


NO_FACTS = {
    "lr_rule_status": None,
    "lr_detail": None,
    "lr_rule": None,
    "lr_scale": None,
    "lr_unit": None,
    "lr_bound": None,
    "lr_px": None,
    "lr_border_px": None,
    "lr_clamped_px": None,
    "lr_contradicted_px": None,
    "lr_largest_dn": None,
}
"""Columns of raw table `images` of a study without LR images."""


def find_lr(
    parameters: LrParameters,
    image: DecodedImage,
    lr_image: DecodedImage | None = None,
    is_rejected: bool = False,
) -> tuple[LrReference | None, dict[str, Any]]:
    """Find the LR image of a reference, and by which rule it was made.

    Parameters
    ----------
    parameters : ingest.study.LrParameters
    image : ingest.images.DecodedImage
        The reference.
    lr_image : ingest.images.DecodedImage, optional
        Its LR file.
    is_rejected : bool
        Whether there is an LR file that was refused.

    Returns
    -------
    reference : LrReference or None
        None where the rule is not known, or the reference itself contradicts the LR image.
    facts : dict
        Columns of raw table `images`, with the evidence.
    """
    if parameters.folder is None:
        return _make_from_reference(parameters, image)
    if lr_image is None:
        status = "rejected" if is_rejected else "missing"
        detail = "the LR file was refused: mart_rejects" if is_rejected else "no LR file"
        return None, NO_FACTS | {"lr_rule_status": status, "lr_detail": detail}
    if lr_image.rgb is not None:
        detail = "the LR image has colours, and its rule acted on each channel: see certify"
        return None, NO_FACTS | {"lr_rule_status": "unknown", "lr_detail": detail}
    if lr_image.step and (not image.step or math.inf in (lr_image.step, image.step)):
        detail = "a window shows the LR image, and not the reference, or not linearly: not judged"
        return None, NO_FACTS | {"lr_rule_status": "unknown", "lr_detail": detail}
    rows = image.grey.shape[0]
    scale = rows // lr_image.grey.shape[0]
    rules = LR_RULES if parameters.rule is None else (parameters.rule,)
    step = max(image.step, lr_image.step) if lr_image.step else 0.0
    tried = [_try_rule(image, lr_image.grey, rule, scale, step) for rule in rules]
    fitting = [item for item in tried if item.contradicted == 0]
    detail = "; ".join(item.describe() for item in tried)
    if not fitting:
        status = "unknown" if parameters.rule is None else "refuted"
        return None, tried[0].facts(status, detail, is_known=parameters.rule is not None)
    chosen = max(fitting, key=lambda item: item.count_equal(image.grey))
    status = "verified" if chosen.usable else "unverified"
    return chosen.make_reference(), chosen.facts(status, detail)


def _make_from_reference(
    parameters: LrParameters, image: DecodedImage
) -> tuple[LrReference | None, dict[str, Any]]:
    rows, cols = image.grey.shape
    rule, scale = parameters.rule, parameters.scale
    if rule is None or scale is None:
        return None, NO_FACTS
    if rows % scale or cols % scale:
        detail = f"{cols}x{rows} px is no multiple of {scale}"
        return None, NO_FACTS | {"lr_rule_status": "unfit", "lr_detail": detail}
    tried = _try_rule(image, make_lr(image.grey, scale, rule), rule, scale)
    return tried.make_reference(), tried.facts("unverified", "made of the reference by the rule")


class _Trial:
    """A reference under a rule that may have made its LR image."""

    def __init__(self, grey: npt.NDArray[np.uint8], lr: LrImage, judged: Judged) -> None:
        self.grey, self.lr, self.judged = grey, lr, judged
        unit = lr.kernel.denominator**2
        self.usable, self.clamped, self.contradicted, largest = loops.sum_up_residuals(
            judged.made, lr.grey, lr.is_inside, judged.is_clamped, unit, judged.bound
        )
        self.border = lr.grey.size - self.usable - self.clamped
        self.largest_dn = largest / unit

    def describe(self) -> str:
        """Say what of the reference contradicts its LR image."""
        return (
            f"{self.lr.lr_rule} x{self.lr.scale}: {self.contradicted} of {self.usable} LR pixels"
            f" contradicted, largest {self.largest_dn:.3f} dn"
        )

    def count_equal(self, grey: npt.NDArray[np.uint8]) -> int:
        """LR pixels that are just what this rule makes of the reference."""
        made = make_lr(grey, self.lr.scale, self.lr.lr_rule)
        return int((made == self.lr.grey).sum())

    def make_reference(self) -> LrReference:
        return LrReference(self.grey, self.lr, self.judged)

    def facts(self, status: str, detail: str, is_known: bool = True) -> dict[str, Any]:
        """Columns of raw table `images`; those of the rule only where one is known."""
        known = {
            "lr_rule": self.lr.lr_rule,
            "lr_unit": self.lr.kernel.denominator**2,
            "lr_bound": self.judged.bound,
            "lr_border_px": self.border,
            "lr_clamped_px": self.clamped,
            "lr_contradicted_px": self.contradicted,
            "lr_largest_dn": self.largest_dn,
        }
        facts = {"lr_rule_status": status, "lr_detail": detail, "lr_scale": self.lr.scale}
        facts["lr_px"] = self.lr.grey.size
        return NO_FACTS | facts | (known if is_known else {})


def _try_rule(
    image: DecodedImage,
    lr_grey: npt.NDArray[np.uint8],
    lr_rule: str,
    scale: int,
    step: float = 0.0,
) -> _Trial:
    lr = LrImage(lr_grey, lr_rule, scale, step)
    return _Trial(image.grey, lr, lr.judge(image.grey, image.rgb))
