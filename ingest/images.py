"""Decode one image file, once, into the grey values that are measured."""

from __future__ import annotations

import hashlib
import stat
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image

from upscale_audit.ingest import dicom, jpeg, png, tiff, webp
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.suffixes import FORMATS_BY_SUFFIX
from upscale_audit.ingest.windows import PLAIN, Display, Stored, check_window, follow, show

if TYPE_CHECKING:
    import numpy.typing as npt


_READERS = {"PNG": png, "JPEG": jpeg, "TIFF": tiff, "WebP": webp, "DICOM": dicom}

REJECT_CODES = {
    "unreadable": "the operating system refused the file",
    "empty": "zero bytes",
    "too_many_bytes": "more bytes than an image of max_image_px pixels needs",
    "not_an_image": "the content is no image format that is known here",
    "wrong_format": "the content is another format than the file's suffix says",
    "truncated": "the file, or the pixel data in it, end early",
    "bad_checksum": "a checksum in the file does not match its bytes: they were changed",
    "undecodable": "damaged image data, or chunks and segments that contradict each other",
    "too_many_pixels": "more pixels than max_image_px",
    "too_many_scans": "a JPEG of more scans than any encoder writes",
    "too_small": "a side shorter than one block of 8 px",
    "bit_depth": "more than 8 bits a channel, and the study states no window; or more than 16",
    "no_window": "the window that the study states gives none for this image",
    "no_decoder": "a DICOM file without pydicom: pip install 'upscale-audit[dicom]'",
    "colour_mode": "a colour mode with no stated way to grey",
    "colour": "channels differ and the study rejects colour",
    "jpeg_process": "an arithmetic-coded, lossless or hierarchical JPEG",
    "compression": "a TIFF or DICOM compressed by a method that is not read here",
    "sample_format": "signed samples in a TIFF, or floating-point ones",
    "animated": "a PNG or WebP of more than one frame",
    "several_pictures": "a file of several pictures: MPO, TIFF pages, DICOM frames",
    "size_mismatch": "another size than the reference, and no [size] rule that brings it there",
    "name_not_utf8": "a file name that is no UTF-8 text: rename the file",
    "unsupported_suffix": "another image suffix, or none; docs/images.md names those that are read",
    "other_file": "no image by its suffix: a list, a log, a licence; nothing is missing by it",
    "ambiguous_name": "several files could belong to one reference",
    "no_reference": "no reference has this name",
    "unknown_label": "a value of a mask that [regions] labels gives no name",
}

MIN_SIDE_PX = 8


@dataclass(frozen=True)
class ImageFacts:
    r"""What `source_files` records about one decoded file.

    Attributes
    ----------
    bytes : int
    file_sha256, pixel_sha256 : str
        Of the file, and of the decoded channels (one where they are equal, else RGB)
        preceded by ``"<channels> <height> <width>\n"``.
    width_px, height_px : int
        Of the file, turned where it says so.
    colour_mode : str
        Pillow's name of the file's mode; of DICOM the photometric interpretation.
    bit_depth : int
        Bits a channel, of DICOM those stored.
    grey_rule : str
        ``none`` (one channel), ``equal_channels``, ``rec601``, or, where a real alpha was
        composited on white, ``on_white`` or ``rec601_on_white``.
    transparent_px : int or None
        Pixels that were composited on white: of an alpha below 255. None without alpha.
    orientation : int or None
        EXIF orientation that was applied, 1..8; None where the file states none.
    gamma : float or None
        Exponent that a PNG states (gAMA). Recorded, not applied.
    icc_sha256 : str or None
        SHA-256 of the embedded ICC profile, unpacked. Recorded, not applied.
    window_rule : str or None
        ``fixed``, ``percentiles``, ``dicom_linear``, ``dicom_linear_exact``, ``dicom_sigmoid`` or
        ``dicom_table``: how values of more than 8 bits were shown. None where none was.
    window_low, window_high : float or None
        Values that are shown as 0 and 255.
    window_clipped_px : int or None
        Pixels beyond them.
    rescale_slope, rescale_intercept : float or None
        From stored values to those.
    is_inverted : bool or None
        Whether the lowest value is white.
    padding_px : int or None
        Pixels that the file says are no image.
    row_spacing_mm, col_spacing_mm : float or None
        As DICOM states them.
    size_rule : str or None
        One of `ingest.study.SIZE_RULES` that brought a restored image to its reference's size.
    """

    bytes: int
    file_sha256: str
    pixel_sha256: str
    width_px: int
    height_px: int
    colour_mode: str
    bit_depth: int
    grey_rule: str
    transparent_px: int | None = None
    orientation: int | None = None
    gamma: float | None = None
    icc_sha256: str | None = None
    window_rule: str | None = None
    window_low: float | None = None
    window_high: float | None = None
    window_clipped_px: int | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    is_inverted: bool | None = None
    padding_px: int | None = None
    row_spacing_mm: float | None = None
    col_spacing_mm: float | None = None
    size_rule: str | None = None


@dataclass(frozen=True)
class DecodedImage:
    """One decoded file.

    Attributes
    ----------
    grey : (M, N) uint8 array
    facts : ImageFacts
    rgb : (M, N, 3) uint8 array or None
        The colours where the channels differ.
    display : ingest.windows.Display
        For the files that belong to this one, if it is a reference.
    patient_id : str or None
        As DICOM states it.
    step : float
        Grey levels of one stored value, where a window shows them: `ingest.windows.show`.
    """

    grey: np.ndarray
    facts: ImageFacts
    rgb: np.ndarray | None = None
    display: Display = PLAIN
    patient_id: str | None = None
    step: float = 0.0


def limit_bytes(max_image_px: int) -> int:
    """Bytes that a file of `max_image_px` pixels may have: 8 a pixel, and 64 MiB beside them."""
    return 8 * max_image_px + (1 << 26)


def read_bytes(path: str | Path, max_bytes: int | None = None) -> bytes:
    """Read a whole file, or reject it.

    Parameters
    ----------
    path : str or Path
    max_bytes : int, optional

    Returns
    -------
    bytes

    Raises
    ------
    RejectedFileError
        ``unreadable``: also for what is no regular file, since a pipe would never end.
        ``too_many_bytes``: it is larger than `max_bytes`.
    """
    path = Path(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise RejectedFileError("unreadable", "not a regular file")
        with path.open("rb") as file:
            data = file.read(-1 if max_bytes is None else max_bytes + 1)
    except OSError as error:
        raise RejectedFileError("unreadable", error.strerror or str(error)) from None
    if max_bytes is not None and len(data) > max_bytes:
        raise RejectedFileError("too_many_bytes", f"more than {max_bytes}")
    return data


def decode_image(
    data: bytes, suffix: str, max_image_px: int, colour: str, display: Display = PLAIN
) -> DecodedImage:
    """Decode the bytes of an image file to grey.

    Parameters
    ----------
    data : bytes
        The whole file; what is decoded is exactly what is hashed.
    suffix : str
        The file name's suffix, lower case, with its dot.
    max_image_px : int
        Larger images are refused from their header alone.
    colour : {"reduce", "reject"}
        What to do when channels differ.
    display : ingest.windows.Display
        How values of more than 8 bits are shown; without one they are refused.

    Returns
    -------
    DecodedImage

    Raises
    ------
    RejectedFileError
        With a key of `REJECT_CODES`.

    Notes
    -----
    The rule of the published generator (definitions A.0): alpha is composited on white, then
    Y = 0.299 R + 0.587 G + 0.114 B in OpenCV's fixed point. Where R = G = B, Y is that value
    exactly. Deviations: the generator composites RGBA only, and leaves files turned that say
    by EXIF that they are; damaged, CMYK and animated files are refused here, where it would fill
    in, convert or take the first frame, and 16-bit ones are shown by a stated window or refused,
    where it would clip. Gamma and ICC profile are not applied.
    """
    if not data:
        raise RejectedFileError("empty", "0 bytes")
    kind = _find_format(data, suffix)
    header: Any = _READERS[kind].read_header(data)
    _check_header(header, kind, max_image_px)
    orientation = _find_orientation(header)
    shown: dict[Any, Any] = {}
    others, step, transparent = follow(display), 0.0, None
    if kind != "DICOM" and header.bit_depth > 8:
        check_window(header.bit_depth, display)
    if kind == "DICOM" or header.bit_depth > 8:
        channels, shown, others, step = show(_STORED[kind](header, data), display)
    else:
        channels, transparent = _DECODERS[kind](header, data)
    channels = np.ascontiguousarray(_TURNS[orientation or 1](channels))
    grey, grey_rule = _to_grey(channels, bool(transparent))
    if grey_rule.startswith("rec601") and colour == "reject":
        raise RejectedFileError("colour", f"mode {header.mode} with unequal channels")
    colours = channels if grey_rule.startswith("rec601") else None
    profile = png.read_profile(header) if kind == "PNG" else header.profile
    spacing = header.spacing_mm if kind == "DICOM" else (None, None)
    facts = ImageFacts(
        bytes=len(data),
        file_sha256=hashlib.sha256(data).hexdigest(),
        pixel_sha256=hash_pixels(grey if colours is None else colours),
        width_px=grey.shape[1],
        height_px=grey.shape[0],
        colour_mode=header.mode,
        bit_depth=header.bit_depth,
        grey_rule=grey_rule,
        transparent_px=transparent,
        orientation=orientation,
        gamma=header.gamma,
        icc_sha256=None if profile is None else hashlib.sha256(profile).hexdigest(),
        row_spacing_mm=spacing[0],
        col_spacing_mm=spacing[1],
        **shown,
    )
    patient_id = header.patient_id if kind == "DICOM" else None
    return DecodedImage(grey, facts, colours, others, patient_id, step)


def hash_pixels(pixels: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of decoded channels, (M, N) or (M, N, 3) uint8, preceded by their shape."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    digest = hashlib.sha256(f"{channels} {pixels.shape[0]} {pixels.shape[1]}\n".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def _find_orientation(header: Any) -> int | None:
    if header.exif is None:
        return header.orientation if header.orientation in _TURNS else None
    return read_orientation(header.exif)


def read_orientation(exif: bytes | None) -> int | None:
    """Read the orientation that EXIF data state.

    Parameters
    ----------
    exif : bytes or None
        From the TIFF header on.

    Returns
    -------
    int or None
        1..8; None where there is none, or none that EXIF knows: viewers then turn nothing.
    """
    if exif is None:
        return None
    tags = Image.Exif()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tags.load(exif)
            value = tags.get(_ORIENTATION)
        except Exception:  # damaged EXIF surfaces as many types, and says nothing of the pixels
            return None
    return value if value in _TURNS else None


_ORIENTATION = 0x0112
_TURNS = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: pixels.swapaxes(0, 1)[:, ::-1],
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: pixels.swapaxes(0, 1)[::-1],
}


# How other files begin that are found under an image's name, and what they are.
_OTHERS = (
    (b"GIF8", 0, "GIF"), (b"BM", 0, "BMP"), (b"II+\0", 0, "BigTIFF"), (b"MM\0+", 0, "BigTIFF"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"), (b"\xff\x0a", 0, "JPEG XL"),
    (b"\0\0\0\x0cJXL ", 0, "JPEG XL"), (b"ftypavif", 4, "AVIF"), (b"ftyphei", 4, "HEIC"),
    (b"ftypmif1", 4, "HEIC"), (b"8BPS", 0, "Photoshop"), (b"v/1\x01", 0, "OpenEXR"),
)  # fmt: skip
_NO_IMAGES = (
    (b"version https://git-lfs", "a Git LFS pointer: run git lfs pull"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"<", "a web page or XML"),
    (b"%PDF", "a PDF"),
)


def _find_format(data: bytes, suffix: str) -> str:
    """Format by the first bytes; one that is not read is refused by its name."""
    expected = FORMATS_BY_SUFFIX.get(suffix)
    is_dicom = data.startswith(dicom.MAGIC, dicom.MAGIC_AT)
    if is_dicom and expected == "DICOM":  # before it may stand the head of a TIFF
        found = "DICOM"
    elif data.startswith(png.SIGNATURE):
        found = "PNG"
    elif data.startswith(jpeg.SIGNATURE):
        found = "JPEG"
    elif data[:4] in tiff.SIGNATURES:
        found = "TIFF"
    elif data.startswith(webp.SIGNATURE) and data.startswith(webp.KIND, 8):
        found = "WebP"
    elif is_dicom:
        found = "DICOM"
    else:
        names = (name for magic, at, name in _OTHERS if data.startswith(magic, at))
        found = next(names, "")
    if not found:
        if data[12:16] == b"IHDR":
            raise RejectedFileError(
                "undecodable", f"a PNG whose signature was changed to {data[:8]!r}"
            )
        what = (name for magic, name in _NO_IMAGES if data.startswith(magic))
        raise RejectedFileError("not_an_image", next(what, f"starts with {data[:8]!r}"))
    if found != expected:
        raise RejectedFileError("wrong_format", f"{found} data in a {suffix} file")
    return found


def _check_header(header: Any, kind: str, max_image_px: int) -> None:
    width, height = header.width_px, header.height_px
    if width * height > max_image_px:
        raise RejectedFileError(
            "too_many_pixels", f"{width}x{height} px; max_image_px is {max_image_px}"
        )
    if min(width, height) < MIN_SIDE_PX:
        raise RejectedFileError("too_small", f"{width}x{height} px")
    if header.frames > 1 and kind in ("PNG", "WebP"):
        raise RejectedFileError("animated", f"{header.frames} frames")
    if header.frames > 1 and kind != "DICOM":
        count = "several" if kind == "TIFF" else header.frames
        raise RejectedFileError("several_pictures", f"{count} pictures in one file")
    if kind in ("TIFF", "DICOM"):
        _READERS[kind].check_kind(header)
    if kind == "JPEG":
        if header.bit_depth > 8:
            raise RejectedFileError("bit_depth", f"a JPEG of {header.bit_depth} bits a channel")
        if header.process is not None:
            raise RejectedFileError("jpeg_process", f"{header.process} JPEG")
        if header.scans > jpeg.MAX_SCANS:
            raise RejectedFileError("too_many_scans", f"{header.scans} scans")
        if header.components not in (1, 3):
            raise RejectedFileError("colour_mode", f"mode {header.mode}")


def _decode_jpeg(header: jpeg.Header, data: bytes) -> tuple[npt.NDArray[np.uint8], None]:
    return jpeg.decode_pixels(data, header.components), None


def _decode_webp(header: webp.Header, data: bytes) -> tuple[npt.NDArray[np.uint8], int | None]:
    return _compose(webp.decode_samples(header, data), header.has_alpha)


def _decode_tiff(header: tiff.Header, data: bytes) -> tuple[npt.NDArray[np.uint8], int | None]:
    """Channels of a TIFF on white, and how many pixels were not opaque."""
    samples = tiff.decode_samples(header, data)
    if header.palette is not None and header.photometric == tiff.PALETTE:
        return header.palette[samples], None
    if header.photometric == tiff.WHITE_IS_ZERO:
        colours = samples[..., :1] if header.extra else samples
        np.subtract(np.iinfo(samples.dtype).max, colours, out=colours)
    if header.extra == (tiff.MULTIPLIED_ALPHA,):
        return _add_white(samples)
    return _compose(samples, bool(header.extra))


def _compose(
    samples: npt.NDArray[np.uint8], has_alpha: bool
) -> tuple[npt.NDArray[np.uint8], int | None]:
    """Put channels on white by their last one, where it is an alpha."""
    if not has_alpha:
        return samples, None
    alpha, channels = samples[..., -1], samples[..., :-1]
    count = int(np.count_nonzero(alpha != 255))
    channels = channels[..., 0] if channels.shape[-1] == 1 else channels
    return (_put_on_white(channels, alpha) if count else channels), count


def _add_white(samples: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], int]:
    """Put channels on white into which their alpha is multiplied: what it leaves is white."""
    alpha, channels = samples[..., -1], samples[..., :-1]
    channels = channels[..., 0] if channels.shape[-1] == 1 else channels
    clear = 255 - alpha
    rest = clear if channels.ndim == 2 else clear[..., None]
    if (channels > 255 - rest).any():
        raise RejectedFileError("undecodable", "colours beyond the alpha that is multiplied in")
    return channels + rest, int(np.count_nonzero(clear))


def _decode_png(header: png.Header, _data: bytes) -> tuple[npt.NDArray[np.uint8], int | None]:
    """Channels of a PNG on white, (M, N) or (M, N, 3), and how many pixels were not opaque."""
    samples = png.decode_samples(header)
    clear = header.chunks.get(b"tRNS")
    if header.colour_type == png.PALETTE:
        return _look_up(samples, header.chunks[b"PLTE"], clear)
    if header.colour_type in (png.GREY_ALPHA, png.RGBA):
        return _compose(samples, has_alpha=True)
    is_clear = None
    if clear is not None:
        # Only the bits of a sample count, as in libpng.
        mask = (1 << header.bit_depth) - 1
        key = np.frombuffer(clear, ">u2") & mask
        is_clear = samples == key if samples.ndim == 2 else (samples == key).all(axis=-1)
    channels = samples
    if header.bit_depth < 8:
        channels = samples * np.uint8(255 // ((1 << header.bit_depth) - 1))
    if is_clear is None:
        return channels, None
    channels = channels.copy()
    channels[is_clear] = 255
    return channels, int(np.count_nonzero(is_clear))


_DECODERS: dict[str, Callable[[Any, bytes], tuple[npt.NDArray[np.uint8], int | None]]] = {
    "PNG": _decode_png, "JPEG": _decode_jpeg, "TIFF": _decode_tiff, "WebP": _decode_webp,
}  # fmt: skip


def _store_dicom(header: dicom.Header, _data: bytes) -> Stored:
    return dicom.decode_stored(header)


def _store_png(header: png.Header, _data: bytes) -> Stored:
    samples = png.decode_samples(header)
    if header.chunks.get(b"tRNS") is not None:
        raise RejectedFileError("colour_mode", "a transparent value among 16-bit ones")
    return _take_grey(samples, header.colour_type in (png.GREY_ALPHA, png.RGBA))


def _store_tiff(header: tiff.Header, data: bytes) -> Stored:
    samples = tiff.decode_samples(header, data)
    stored = _take_grey(samples, bool(header.extra))
    if header.photometric == tiff.WHITE_IS_ZERO:
        np.subtract(65_535, stored.samples, out=stored.samples)
    return stored


def _take_grey(samples: npt.NDArray[np.unsignedinteger], has_alpha: bool) -> Stored:
    """Take the one grey value of 16-bit channels: they are equal, and all of it is opaque."""
    if has_alpha:
        if (samples[..., -1] != 65_535).any():
            raise RejectedFileError("colour_mode", "transparent pixels among 16-bit ones")
        samples = samples[..., :-1]
    if samples.ndim == 2:
        return Stored(samples, 16)
    if (samples != samples[..., :1]).any():
        raise RejectedFileError("colour_mode", "16-bit colours: channels differ")
    return Stored(np.ascontiguousarray(samples[..., 0]), 16)


_STORED: dict[str, Callable[[Any, bytes], Stored]] = {
    "PNG": _store_png,
    "TIFF": _store_tiff,
    "DICOM": _store_dicom,
}


def _look_up(
    samples: npt.NDArray[np.uint8], palette: bytes, clear: bytes | None
) -> tuple[npt.NDArray[np.uint8], int | None]:
    """Colours of palette indices, each colour of the palette put on white first."""
    colours = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    highest = int(samples.max())
    if highest >= len(colours):
        raise RejectedFileError(
            "undecodable", f"palette index {highest} of a palette of {len(colours)} colours"
        )
    if clear is None:
        return colours[samples], None
    alpha = np.full(len(colours), 255, np.uint8)
    alpha[: len(clear)] = np.frombuffer(clear, np.uint8)
    count = int(np.count_nonzero(alpha[samples] != 255))
    return _put_on_white(colours, alpha)[samples], count


def _put_on_white(
    channels: npt.NDArray[np.uint8], alpha: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """Composite on white: (a c + (255 - a) 255) / 255, to the nearest (there are no halves)."""
    weight = alpha.astype(np.uint16)
    white = (255 - weight) * np.uint16(255) + np.uint16(128)
    mixed = np.empty(channels.shape, np.uint8)
    for channel in range(1 if channels.ndim == alpha.ndim else channels.shape[-1]):
        whole = channels.ndim == alpha.ndim
        source = channels if whole else channels[..., channel]
        total = source * weight + white
        (mixed if whole else mixed[..., channel])[...] = (total + (total >> 8)) >> 8
    return mixed


def _to_grey(channels: npt.NDArray[np.uint8], has_alpha: bool) -> tuple[npt.NDArray[np.uint8], str]:
    if channels.ndim == 2:
        return channels, "on_white" if has_alpha else "none"
    red = channels[..., 0]
    if np.array_equal(red, channels[..., 1]) and np.array_equal(red, channels[..., 2]):
        return np.ascontiguousarray(red), "on_white" if has_alpha else "equal_channels"
    grey = cv2.cvtColor(channels, cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.uint8), "rec601_on_white" if has_alpha else "rec601"
