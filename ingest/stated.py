"""What a study may state of its image files, known without a decoder: formats, windows, sizes."""

import math
from dataclasses import dataclass

from upscale_audit.ingest.errors import StudyError

FORMATS_BY_SUFFIX = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG"}
FORMATS_BY_SUFFIX |= {".jfif": "JPEG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WebP"}
FORMATS_BY_SUFFIX |= {".dcm": "DICOM", ".dicom": "DICOM"}

OTHER_IMAGES = {
    "", ".bmp", ".gif", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".heif",
    ".ppm", ".pgm", ".pnm", ".pbm", ".pfm", ".tga", ".exr", ".psd", ".npy", ".nii", ".mha",
    ".nrrd", ".raw", ".dng",
}  # fmt: skip
"""Suffixes of images that are not read, and a name without one; any other is no image's."""

SIZE_RULES = ("lanczos4", "mitchell", "area", "crop")
"""How a restored image of another size is brought to its reference's; `ingest.sizes`."""

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


def parse_window(value):
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
    is_share = isinstance(value, dict) and list(value) == ["percentiles"]
    limits = value["percentiles"] if is_share else value
    is_pair = isinstance(limits, list) and len(limits) == 2
    if is_pair and all(type(limit) in (int, float) for limit in limits):
        low, high = map(float, limits)
        within = not is_share or (low >= 0 and high <= 100)
        if math.isfinite(low) and math.isfinite(high) and low < high and within:
            return Window("percentiles" if is_share else "fixed", low, high)
    raise StudyError(f"window = {value!r}; expected {_EXPECTED}")
