"""From stored values of more than 8 bits to the 8 that are measured: one stated window an image.

What is measured is 8-bit grey, so a deeper file is shown first. By which values is never guessed:
the study states a window, the reference fixes it, and the same serves its LR and restored images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.stated_window import Window

if TYPE_CHECKING:
    import numpy.typing as npt


LINEAR, SIGMOID, TABLE = "linear", "sigmoid", "table"


@dataclass(frozen=True)
class Tone:
    """What a DICOM file says of its stored values.

    Attributes
    ----------
    slope, intercept : float
        Modality rescale; 1 and 0 without one, or with a table.
    modality_table : (int, array) or None
        First stored value of the modality LUT, and its entries.
    is_inverted : bool
        MONOCHROME1: the lowest value is white.
    curve : Curve or None
        The VOI LUT; None where the file has none.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_table: tuple[int, npt.NDArray[np.int64]] | None = None
    is_inverted: bool = False
    curve: Curve | None = None

    @property
    def is_plain(self) -> bool:
        """Whether stored values are what they stand for."""
        return self.modality_table is None and (self.slope, self.intercept) == (1.0, 0.0)

    def rescale(self, stored: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Modality values of stored ones, float64."""
        if self.modality_table is None:
            return stored * np.float64(self.slope) + self.intercept
        first, entries = self.modality_table
        at = np.clip(stored.astype(np.int64) - first, 0, len(entries) - 1)
        return entries[at].astype(np.float64)


@dataclass(frozen=True)
class Curve:
    """From modality values to 0..1.

    Attributes
    ----------
    kind : {"linear", "sigmoid", "table"}
    low, high : float
        Values that become 0 and 1; of a sigmoid, half a width to either side of its centre; of a
        table, the first and the last it has.
    rule : str
        Name of the rule for `source_files`.
    entries : array or None
        Of a table, 0..1.

    Notes
    -----
    DICOM PS3.3 C.11.2. LINEAR is linear from c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2,
    LINEAR_EXACT from c - w / 2 to c + w / 2, SIGMOID is 1 / (1 + exp(-4 (x - c) / w)).
    """

    kind: str
    low: float
    high: float
    rule: str
    entries: npt.NDArray[np.float64] | None = None

    def __call__(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Map float64 values to 0..1."""
        if self.entries is not None and self.kind == TABLE:
            at = np.clip(np.rint(values - self.low), 0, len(self.entries) - 1)
            return self.entries[at.astype(np.int64)]
        if self.kind == SIGMOID:
            centre, width = (self.low + self.high) / 2, self.high - self.low
            with np.errstate(over="ignore"):  # of what is far below, which is 0
                return 1 / (1 + np.exp(-4 * (values - centre) / width))
        if self.low == self.high:  # a window of width 1 is a step
            return (values > self.low).astype(np.float64)
        with np.errstate(over="ignore"):  # a window far narrower than a value is a step
            return np.clip((values - self.low) / (self.high - self.low), 0, 1)


@dataclass(frozen=True)
class Stored:
    """Stored values of a file that is shown by a window.

    Attributes
    ----------
    samples : (M, N) integer array
    bit_depth : int
    tone : Tone or None
        None of a file that says nothing of its values: PNG, TIFF.
    lowest : int
        Least value that the file could hold.
    is_padding : (M, N) bool array or None
        Pixels that are no image, where the file says which.
    """

    samples: npt.NDArray[np.integer]
    bit_depth: int
    tone: Tone | None = None
    is_padding: npt.NDArray[np.bool_] | None = None
    lowest: int = 0


@dataclass(frozen=True)
class Display:
    """How files of one image are shown.

    Attributes
    ----------
    window : Window or None
    role : {"reference", "other"}
        A reference fixes what the window leaves open; another file takes what it fixed.
    curve : Curve or None
        What the reference fixed; None where it was not shown by a window.
    tone : Tone or None
        Of the reference: what its stored values mean holds for files that do not say.
    """

    window: Window | None = None
    role: str = "reference"
    curve: Curve | None = None
    tone: Tone | None = None


PLAIN = Display()
"""Without a window: what is deeper than 8 bits is refused."""

NO_DISPLAY = {
    "window_rule": None,
    "window_low": None,
    "window_high": None,
    "window_clipped_px": None,
    "rescale_slope": None,
    "rescale_intercept": None,
    "is_inverted": None,
    "padding_px": None,
}
"""Columns of `source_files` of a file that no window was applied to."""


def show(
    stored: Stored, display: Display
) -> tuple[npt.NDArray[np.uint8], dict[str, Any], Display, float]:
    """Show stored values as 8-bit grey.

    Parameters
    ----------
    stored : Stored
    display : Display

    Returns
    -------
    grey : (M, N) uint8 array
        round(255 curve(modality value)), and 255 less that where the file is inverted.
    facts : dict
        As `NO_DISPLAY`.
    others : Display
        For the files that belong to this one.
    step : float
        Grey levels of one stored value: what a rounding of stored values is worth here. 0 without a
        window, infinite where that is not one number, or where the window reaches beyond what the
        file can hold: a rule may then have cut within it.

    Raises
    ------
    RejectedFileError
        ``bit_depth``: the study states no window, and the file is no plain 8 bits. ``no_window``:
        what it states gives none here.
    """
    window, is_reference = display.window, display.role == "reference"
    if window is None:
        return _show_plain(stored)
    # A file that says nothing of its values is read as its reference says.
    tone = stored.tone or display.tone or Tone()
    curve = display.curve or _find_curve(stored, tone, window, is_reference)
    least, counts = _count_values(stored.samples)
    values = tone.rescale(np.arange(least, least + len(counts)))
    table = np.rint(255 * curve(values)).astype(np.uint8)
    table = 255 - table if tone.is_inverted else table
    facts = _describe(stored, tone) | {
        "window_rule": curve.rule,
        "window_low": curve.low,
        "window_high": curve.high,
        "window_clipped_px": int(counts[(values < curve.low) | (values > curve.high)].sum()),
    }
    others = Display(window, "other", curve, stored.tone or display.tone)
    step = _find_step(stored, tone, curve)
    return _look_up(stored.samples, least, table), facts, others, step


def _find_step(stored: Stored, tone: Tone, curve: Curve) -> float:
    if curve.kind != LINEAR or tone.modality_table is not None or curve.low == curve.high:
        return np.inf
    ends = tone.rescale(np.array([stored.lowest, stored.lowest + (1 << stored.bit_depth) - 1]))
    if not ends.min() <= curve.low < curve.high <= ends.max():
        return np.inf
    return 255 * abs(tone.slope) / (curve.high - curve.low)


def check_window(bit_depth: int, display: Display, what: str = "") -> None:
    """Refuse a file of so many bits where the study states no window."""
    if display.window is None:
        raise RejectedFileError(
            "bit_depth",
            f"{bit_depth} bits a channel{what}; state window under [parameters]:"
            ' "dicom", [low, high] or { percentiles = [0.5, 99.5] }',
        )


def _show_plain(
    stored: Stored,
) -> tuple[npt.NDArray[np.uint8], dict[str, Any], Display, float]:
    """Show 8 bits that mean what they say as they are; refuse what is deeper or means else."""
    tone = stored.tone or Tone()
    if stored.bit_depth != 8 or not tone.is_plain or stored.samples.min() < 0:
        check_window(stored.bit_depth, PLAIN, "" if tone.is_plain else ", to be rescaled")
    grey = stored.samples.astype(np.uint8)
    grey = 255 - grey if tone.is_inverted else grey
    return grey, NO_DISPLAY | _describe(stored, tone), Display(None, "other"), 0.0


def _describe(stored: Stored, tone: Tone) -> dict[str, float | None]:
    is_rescaled = tone.modality_table is None
    return {
        "rescale_slope": tone.slope if is_rescaled else None,
        "rescale_intercept": tone.intercept if is_rescaled else None,
        "is_inverted": tone.is_inverted,
        "padding_px": None if stored.is_padding is None else int(stored.is_padding.sum()),
    }


def _count_values(samples: npt.NDArray[np.integer]) -> tuple[int, npt.NDArray[np.int64]]:
    """Least value, and how many pixels have it and each above it."""
    least, most = int(samples.min()), int(samples.max())
    counts = np.zeros(most - least + 1, np.int64)
    for part in _list_parts(samples):
        counts += np.bincount((part.astype(np.int64) - least).ravel(), minlength=len(counts))
    return least, counts


def _look_up(
    samples: npt.NDArray[np.integer], least: int, table: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    grey = np.empty(samples.shape, np.uint8)
    for source, target in zip(_list_parts(samples), _list_parts(grey), strict=True):
        target[...] = table[source.astype(np.int64) - least]
    return grey


def _list_parts(pixels: npt.NDArray[np.integer]) -> list[npt.NDArray[np.integer]]:
    """Divide pixels into some rows at a time: indices take 8 bytes a pixel."""
    return [pixels[row : row + 256] for row in range(0, len(pixels), 256)]


def follow(display: Display) -> Display:
    """Give the display for files of a reference that no window was applied to."""
    return replace(display, role="other")


def recall_display(facts: Mapping[str, Any]) -> Display:
    """Give the display that a file was shown by, for showing that file again.

    Parameters
    ----------
    facts : dict
        Columns of its row of `source_files`, as `NO_DISPLAY` names them.

    Returns
    -------
    Display
    """
    rule, low, high = (facts[f"window_{name}"] for name in ("rule", "low", "high"))
    if rule is None:
        return PLAIN
    if rule == "dicom_table":  # only the file itself holds it
        return Display(Window("dicom"))
    curve = Curve(SIGMOID if rule == "dicom_sigmoid" else LINEAR, low, high, rule)
    tone = None
    if facts["rescale_slope"] is not None:
        tone = Tone(facts["rescale_slope"], facts["rescale_intercept"], None, facts["is_inverted"])
    return Display(Window("fixed", low, high), "other", curve, tone)


def _find_curve(stored: Stored, tone: Tone, window: Window, is_reference: bool) -> Curve:
    if window.low is not None and window.high is not None and window.rule == "fixed":
        return Curve(LINEAR, window.low, window.high, "fixed")
    if not is_reference:
        raise RejectedFileError(
            "no_window",
            f"{stored.bit_depth} bits, and its reference, which has 8 or was refused, gives no"
            f" {window.rule} window; state window = [low, high]",
        )
    if window.rule == "dicom":
        if tone.curve is None:
            raise RejectedFileError(
                "no_window", "it states no VOI LUT or window; state window = [low, high]"
            )
        return tone.curve
    low, high = _find_percentiles(stored, tone, window)
    if low == high:
        raise RejectedFileError(
            "no_window",
            f"its percentiles {window.low:g} and {window.high:g} are both {low:g}; state window ="
            " [low, high]",
        )
    return Curve(LINEAR, low, high, "percentiles")


def _find_percentiles(stored: Stored, tone: Tone, window: Window) -> list[float]:
    """Values at two ranks, padding left out: the least of which so many parts are not above it."""
    samples = stored.samples
    if stored.is_padding is not None and not stored.is_padding.all():
        samples = samples[~stored.is_padding]
    least, counts = _count_values(samples)
    values = tone.rescale(np.arange(least, least + len(counts)))
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(counts[order])
    found = []
    for share in (window.low or 0.0, window.high or 0.0):
        rank = max(1, int(np.ceil(share / 100 * samples.size)))
        found.append(float(values[order][np.searchsorted(reached, rank)]))
    return found
