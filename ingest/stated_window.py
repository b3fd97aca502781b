"""What a study states of images deeper than 8 bits; `ingest.windows` does it."""

from dataclasses import asdict, dataclass
from typing import Any

from upscale_audit.ingest.errors import StudyError

MOST = 1e9
"""No stored value, rescaled, is so far from 0."""

_EXPECTED = '"dicom", two numbers [low, high], or { percentiles = [low, high] } within 0..100'


@dataclass(frozen=True)
class Window:
    """What a study states of images deeper than 8 bits.

    Attributes
    ----------
    rule : {"dicom", "fixed", "percentiles"}
        The reference's own VOI LUT; values; or percentiles of the reference.
    low, high : float or None
        Values, or percentiles, that are shown as 0 and 255.
    """

    rule: str
    low: float | None = None
    high: float | None = None


def parse_window(value: object) -> Window:
    """Read the study's key ``window``.

    Parameters
    ----------
    value : object
        As TOML has it.

    Returns
    -------
    Window

    Raises
    ------
    StudyError
    """
    if value == "dicom":
        return Window("dicom")
    is_share, limits = False, value
    if isinstance(value, dict) and list(value) == ["percentiles"]:
        is_share, limits = True, value["percentiles"]
    if not isinstance(limits, list) or len(limits) != 2:
        raise StudyError(f"window = {value!r}; expected {_EXPECTED}")
    if all(type(item) in (int, float) and abs(item) < MOST for item in limits):
        low, high = map(float, limits)
        within = not is_share or (low >= 0 and high <= 100)
        if low < high and within:
            return Window("percentiles" if is_share else "fixed", low, high)
    raise StudyError(f"window = {value!r}; expected {_EXPECTED}")


def name_window(window: Window | None) -> dict[str, Any]:
    """Name a window in a recipe; nothing where there is none."""
    return {} if window is None else {"window": asdict(window)}
