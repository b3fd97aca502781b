"""Read one DICOM image of one frame: its stored values, what they mean, and whose it is.

pydicom (extra ``dicom``) reads the header, of which only the elements named here are looked at, and
unpacks RLE; no other element of the file goes anywhere.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError, require_sound
from upscale_audit.ingest.stated_window import MOST
from upscale_audit.ingest.windows import LINEAR, SIGMOID, TABLE, Curve, Stored, Tone

if TYPE_CHECKING:
    import numpy.typing as npt
    from pydicom import Dataset

MAGIC, MAGIC_AT = b"DICM", 128
_IMPLICIT, _EXPLICIT, _DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".1.99"))
_BIG_ENDIAN, _RLE = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5"
_MONOCHROMES = ("MONOCHROME1", "MONOCHROME2")
_ELEMENTS = [
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "PixelData", "FloatPixelData",
    "DoubleFloatPixelData", "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PixelPaddingValue",
    "PixelPaddingRangeLimit", "PixelSpacing", "ImagerPixelSpacing", "PatientID",
]  # fmt: skip


A = TypeVarTuple("A")
R = TypeVar("R")
"""What a call of pydicom is given, and what it gives."""


@dataclass(frozen=True)
class Header:
    """What a DICOM file says of its pixels.

    Attributes
    ----------
    width_px, height_px, bit_depth, frames : int
    mode : str
        The photometric interpretation.
    syntax : str
        UID of the transfer syntax.
    dataset : pydicom.Dataset
        With the elements of `_ELEMENTS` and no others.
    """

    width_px: int
    height_px: int
    bit_depth: int
    frames: int
    mode: str
    syntax: str
    dataset: Dataset

    exif = orientation = gamma = profile = None

    @property
    def patient_id(self) -> str | None:
        """The patient, as the file names him; None where it does not."""
        text = str(self.dataset.get("PatientID") or "").strip()
        return text or None

    @property
    def spacing_mm(self) -> tuple[float, float] | tuple[None, None]:
        """Distance of rows and of columns, of the patient where known, else of the detector."""
        for name in ("PixelSpacing", "ImagerPixelSpacing"):
            given = self.dataset.get(name)
            if given is not None and len(given) == 2:
                return float(given[0]), float(given[1])
        return None, None


def read_header(data: bytes) -> Header:
    """Read the elements of a DICOM file that pixels depend on.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    Header

    Raises
    ------
    RejectedFileError
        ``no_decoder``: pydicom is not installed. ``undecodable``: it cannot read the file, or an
        element that pixels need is missing or impossible. ``compression``: the whole file is
        deflated.
    """
    dataset, syntax = _guard(_parse, data)
    frames = _guard(lambda: int(dataset.get("NumberOfFrames") or 1))
    numbers = ("Rows", "Columns", "BitsAllocated", "BitsStored")
    height, width, allocated, bits = (_guard(_whole, dataset, name) for name in numbers)
    is_float = "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset
    if is_float:
        raise RejectedFileError("sample_format", "floating-point samples")
    require_sound(0 < bits <= allocated, f"{bits} bits stored in {allocated}")
    mode = str(dataset.get("PhotometricInterpretation"))
    return Header(width, height, bits, frames, mode, syntax, dataset)


def peek_size(head: bytes) -> int:
    """Pixels of a DICOM file, by how it begins; 0 where Rows and Columns do not stand there."""
    sides = []
    for element in (b"\x28\0\x10\0", b"\x28\0\x11\0"):
        places = [head.rfind(element + kind) for kind in (b"US\2\0", b"\2\0\0\0")]
        at = max(places) + 8
        sides.append(int.from_bytes(head[at : at + 2], "little") if at > 8 else 0)
    return sides[0] * sides[1]


def check_kind(header: Header) -> None:
    """Refuse a sound file that is of no kind that is read.

    Raises
    ------
    RejectedFileError
        ``several_pictures``, ``colour_mode``, ``bit_depth`` or ``compression``.
    """
    dataset = header.dataset
    if header.frames != 1:
        raise RejectedFileError("several_pictures", f"{header.frames} frames in one file")
    samples = dataset.get("SamplesPerPixel", 1)
    if header.mode not in _MONOCHROMES or samples != 1:
        raise RejectedFileError("colour_mode", f"{header.mode} of {samples} samples a pixel")
    if dataset.BitsAllocated not in (8, 16):
        raise RejectedFileError("bit_depth", f"{dataset.BitsAllocated} bits a pixel")
    if header.syntax not in (_IMPLICIT, _EXPLICIT, _BIG_ENDIAN, _RLE):
        name = _guard(_name_syntax, header.syntax)
        raise RejectedFileError("compression", f"{name}; uncompressed and RLE are read")


def decode_stored(header: Header) -> Stored:
    """Give a DICOM file's stored values, and what they mean.

    Parameters
    ----------
    header : Header
        That `check_kind` lets pass.

    Returns
    -------
    Stored

    Raises
    ------
    RejectedFileError
        ``truncated`` or ``undecodable``.
    """
    dataset = header.dataset
    is_signed = _guard(_whole, dataset, "PixelRepresentation") == 1
    if header.syntax == _RLE:
        words = _guard(_unpack_rle, dataset)
        require_sound(words.shape == (header.height_px, header.width_px), "pixels of another size")
    else:
        words = _view_words(header)
    bits = header.bit_depth
    high = _guard(lambda: int(dataset.get("HighBit", bits - 1)))
    require_sound(bits - 1 <= high < dataset.BitsAllocated, f"high bit {high} of {bits} bits")
    # Bits beside the stored ones may hold overlays.
    samples = words.astype(np.int32)
    samples >>= high + 1 - bits
    samples &= (1 << bits) - 1
    if is_signed:
        samples[samples >= 1 << (bits - 1)] -= 1 << bits
    is_padding = _guard(_find_padding, dataset, samples, bits)
    tone = _guard(_read_tone, header, is_signed)
    return Stored(samples, bits, tone, is_padding, -(1 << (bits - 1)) if is_signed else 0)


def _guard(read: Callable[[*A], R], *arguments: *A) -> R:
    """Call pydicom: what is damaged surfaces there as errors of many types, and as warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read(*arguments)
        except (RejectedFileError, MemoryError):
            raise
        except Exception as error:
            words = str(error).splitlines() or [type(error).__name__]
            raise RejectedFileError("undecodable", f"pydicom: {words[0][:200]}") from None


def _parse(data: bytes) -> tuple[Dataset, str]:
    try:
        import pydicom
    except ImportError:
        raise RejectedFileError(
            "no_decoder", "DICOM is read by pydicom: pip install 'upscale-audit[dicom]'"
        ) from None
    syntax = _find_syntax(data)
    if syntax == _DEFLATED:  # it would be inflated whole, to any size
        raise RejectedFileError("compression", f"{_name_syntax(syntax)}; write it plain")
    # What it logs quotes the file's elements.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    require_sound(syntax, "no transfer syntax")
    return pydicom.dcmread(io.BytesIO(data), specific_tags=_ELEMENTS), syntax


def _find_syntax(data: bytes) -> str:
    """UID of the transfer syntax: group 2 is in explicit VR, little endian, whatever follows it."""
    at = MAGIC_AT + 4
    while at + 12 <= len(data) and data[at : at + 2] == b"\2\0":
        is_long = data[at + 4 : at + 6] in (b"OB", b"UN", b"UT", b"OW", b"SQ")
        body = at + 12 if is_long else at + 8
        size = int.from_bytes(data[body - 4 if is_long else body - 2 : body], "little")
        if data[at + 2 : at + 4] == b"\x10\0":
            return data[body : body + size].decode("ascii").strip("\0 ")
        at = body + size
    return ""


def _whole(dataset: Dataset, name: str) -> int:
    value = dataset.get(name)
    require_sound(value is not None, f"no {name}")
    return int(value)


def _name_syntax(syntax: str) -> str:
    from pydicom.uid import UID

    return str(UID(syntax).name)


def _view_words(header: Header) -> npt.NDArray[np.unsignedinteger]:
    """Uncompressed pixels: exactly as many bytes as the header promises, or one to be even."""
    dataset = header.dataset
    require_sound("PixelData" in dataset, "no pixel data", "truncated")
    width = dataset.BitsAllocated // 8
    promised = header.height_px * header.width_px * width
    body = dataset.PixelData
    found = f"pixel data of {len(body)} bytes where {promised} are promised"
    require_sound(len(body) >= promised, found, "truncated")
    require_sound(len(body) <= promised + promised % 2, found)
    order = ">" if header.syntax == _BIG_ENDIAN else "<"
    words = np.frombuffer(body[:promised], f"{order}u{width}")
    return words.reshape(header.height_px, header.width_px)


def _unpack_rle(dataset: Dataset) -> npt.NDArray[np.unsignedinteger]:
    dataset.pixel_array_options(decoding_plugin="pydicom", raw=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of bytes too many
        samples: npt.NDArray[np.integer] = dataset.pixel_array
    return samples.view(f"u{samples.dtype.itemsize}")


def _find_padding(
    dataset: Dataset, samples: npt.NDArray[np.int32], bits: int
) -> npt.NDArray[np.bool_] | None:
    """Pixels of the padding value or range; None where the file states none."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return None
    last = dataset.get("PixelPaddingRangeLimit", first)
    # The value is of the pixels' own sign, whatever the file's encoding made of it.
    lowest = int(samples.min())
    values = sorted(int(value) - ((1 << bits) if lowest < 0 and value >= 1 << (bits - 1) else 0)
                    for value in (first, last))  # fmt: skip
    return (samples >= values[0]) & (samples <= values[1])


def _read_tone(header: Header, is_signed: bool) -> Tone:
    dataset = header.dataset
    slope, intercept, table = 1.0, 0.0, None
    if dataset.get("ModalityLUTSequence"):
        first, entries, _ = _read_table(dataset.ModalityLUTSequence[0], is_signed)
        table = first, entries
    else:
        slope = float(dataset.get("RescaleSlope", 1))
        intercept = float(dataset.get("RescaleIntercept", 0))
        fits = slope != 0 and abs(slope) < MOST and abs(intercept) < MOST
        require_sound(fits, f"rescale slope {slope:g}, intercept {intercept:g}")
    is_below = is_signed or intercept < 0
    curve = _read_curve(dataset, is_below)
    return Tone(slope, intercept, table, header.mode == "MONOCHROME1", curve)


def _read_curve(dataset: Dataset, is_signed: bool) -> Curve | None:
    """Give the first VOI LUT, else the first window; None where there is neither."""
    if dataset.get("VOILUTSequence"):
        first, entries, bits = _read_table(dataset.VOILUTSequence[0], is_signed)
        last = float(first + len(entries) - 1)
        return Curve(TABLE, float(first), last, "dicom_table", entries / ((1 << bits) - 1))
    if dataset.get("WindowCenter") is None or dataset.get("WindowWidth") is None:
        return None
    centre, width = (_first(dataset[name].value) for name in ("WindowCenter", "WindowWidth"))
    function = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    require_sound(function in ("LINEAR", "LINEAR_EXACT", "SIGMOID"), f"VOI LUT function {function}")
    least = 1 if function == "LINEAR" else 0
    is_width = (width >= 1 if least else width > 0) and width < MOST and abs(centre) < MOST
    require_sound(is_width, f"a window of width {width:g} around {centre:g}")
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    kind = SIGMOID if function == "SIGMOID" else LINEAR
    return Curve(kind, centre - width / 2, centre + width / 2, f"dicom_{function.lower()}")


def _first(value: Any) -> float:
    return float(value if np.isscalar(value) or not hasattr(value, "__len__") else value[0])


def _read_table(item: Dataset, is_signed: bool) -> tuple[int, npt.NDArray[np.int64], int]:
    """First value, entries and bits of a LUT (PS3.3 C.11.1.1.1 and C.11.2.1.1)."""
    count, first, bits = (int(value) for value in item.LUTDescriptor)
    count = count or 1 << 16
    if is_signed and first >= 1 << 15:
        first -= 1 << 16
    data = item.LUTData
    if isinstance(data, bytes):
        data = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1")
    entries = np.atleast_1d(np.asarray(data)).astype(np.int64) & 0xFFFF
    require_sound(len(entries) >= count and 1 <= bits <= 16, f"a LUT of {len(entries)} entries")
    return first, entries[:count], bits
