"""What the codec commands do: train one codec, code a folder of images, decode a folder."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, replacing, write_text
from upscale_audit.restore.codec.coding import ImageCoder, decode_stream, measure_quality
from upscale_audit.restore.codec.images import is_matched, read_images, split_planes
from upscale_audit.restore.codec.models import load_codec, save_codec
from upscale_audit.restore.codec.streams import MAX_STREAM_BYTES, OVERHEAD_BYTES, SUFFIX
from upscale_audit.restore.codec.training import train_codec, write_curve

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.codec.coding import CodedImage
    from upscale_audit.restore.codec.images import GreyImage
    from upscale_audit.restore.codec.models import Codec
    from upscale_audit.restore.codec.networks import CodecDesign
    from upscale_audit.restore.codec.training import TrainingParameters


CODE_COLUMNS = (
    "image_id",
    "rows_px",
    "cols_px",
    "raw_bytes",
    "file_bytes",
    "header_bytes",
    "latent_bytes",
    "residual_bytes",
    "ratio",
    "ratio_float32",
    "ratio_with_decoder",
    "latent_step",
    "tolerance_dn",
    "psnr_db",
    "ssim",
    "max_error_dn",
    "image_sha256",
    "decoder_sha256",
    "file_sha256",
)


def train_from(
    source: str | Path,
    design: CodecDesign,
    weights: Path,
    hold_out: Sequence[str],
    parameters: TrainingParameters,
    progress: Callable[..., None] | None = None,
) -> tuple[Codec, list[dict[str, float | None]]]:
    """Train a codec on a study's references or a folder; write its weights and its curve.

    Parameters
    ----------
    source : str or Path
        A study file or a folder of images.
    design : restore.codec.networks.CodecDesign
        Its planes say whether images are read as grey or in colour.
    weights : Path
        The file to write; the curve goes beside it, as CSV.
    hold_out : list of str
        Shell patterns of image_ids to leave out of the training.
    parameters : restore.codec.training.TrainingParameters
    progress : callable, optional

    Returns
    -------
    codec : restore.codec.models.Codec
    curve : list of dict

    Raises
    ------
    StudyError
        No image is left to train on, a pattern matches none, the weights' name does not end in
        .npz, or a CSV of another origin lies where the curve would go.
    """
    if weights.suffix != ".npz":
        raise StudyError(f"expected --out to end in .npz, found {weights}; name it so")
    curve_file = weights.with_suffix(".csv")
    if curve_file.exists() and not weights.exists():
        raise StudyError(
            f"{curve_file}, where the curve would go, is of something else: move it, or name"
            " another --out"
        )
    images = read_images(source, planes=design.planes)
    for pattern in hold_out:
        if not any(is_matched(image.image_id, [pattern]) for image in images):
            names = ", ".join(image.image_id for image in images[:5])
            raise StudyError(f"--hold-out {pattern}: no image of {source} has that name ({names})")
    held_out = [image for image in images if is_matched(image.image_id, hold_out)]
    kept = [image for image in images if not is_matched(image.image_id, hold_out)]
    if not kept:
        raise StudyError(f"--hold-out leaves no image of {source} to train on; name fewer")
    codec, curve = train_codec(design, kept, held_out, parameters, progress)
    save_codec(codec, weights)
    write_curve(curve, curve_file)
    return codec, curve


def encode_images(
    source: str | Path,
    weights: Path | None,
    folder: Path,
    choose: Callable[[ImageCoder], CodedImage],
    patterns: Sequence[str] = ("*",),
    progress: Callable[..., None] | None = None,
) -> list[dict[str, Any]]:
    """Code images to files, and list their sizes.

    Parameters
    ----------
    source : str or Path
        A study file, whose references are coded, or a folder.
    weights : Path or None
        A codec; None codes with zfp alone.
    folder : Path
        Receives ``<image_id>.uac`` and ``codes.csv`` with `CODE_COLUMNS`.
    choose : callable
        ``choose(coder)`` gives the `restore.codec.coding.CodedImage`.
    patterns : sequence of str
        Shell patterns of the image_ids to code.
    progress : callable, optional

    Returns
    -------
    list of dict
        The rows of ``codes.csv``.
    """
    codec = None if weights is None else load_codec(weights)
    images = read_images(source, patterns, 1 if codec is None else codec.design.planes)
    rows = []
    for done, image in enumerate(images, start=1):
        coded = choose(ImageCoder(codec, image.grey))
        write_bytes(folder / f"{image.image_id}{SUFFIX}", coded.data)
        rows.append(describe_code(image, coded, codec, len(images)))
        if progress is not None:
            progress(done, len(images), image.image_id)
    write_rows(folder / "codes.csv", CODE_COLUMNS, rows)
    return rows


def decode_images(
    source: Path, weights: Path | None, folder: Path, progress: Callable[..., None] | None = None
) -> list[Path]:
    """Decode a coded image, or a folder of them, to PNG.

    Parameters
    ----------
    source : Path
        A ``.uac`` file, or a folder of them.
    weights : Path or None
        The codec they were coded with; None where no network predicts.
    folder : Path
        Receives ``<image_id>.png``.
    progress : callable, optional

    Returns
    -------
    list of Path

    Raises
    ------
    StudyError
        No coded image, one that is damaged or of another codec, or another image of that name in
        the folder.
    """
    codec = None if weights is None else load_codec(weights)
    paths = sorted(source.glob(f"*{SUFFIX}")) if source.is_dir() else [source]
    if not paths:
        raise StudyError(f"expected coded images (*{SUFFIX}) in {source}, found none")
    written = []
    for done, path in enumerate(paths, start=1):
        written.append(decode_file(path, codec, folder))
        if progress is not None:
            progress(done, len(paths), path.stem)
    return written


def decode_file(path: Path, codec: Codec | None, folder: Path) -> Path:
    """Decode one file to a PNG of the same name in a folder; another image there is an error."""
    try:
        data = read_bounded(path, MAX_STREAM_BYTES)
    except ValueError as error:
        raise StudyError(f"{path} is no coded image: {error}; name a {SUFFIX} file") from None
    except OSError as error:
        raise StudyError(
            f"cannot read {path}: {error.strerror}; make it with upscale-audit codec encode"
        ) from None
    target = folder / f"{path.stem}.png"
    planes = 1 if codec is None else codec.design.planes
    stack = split_planes(decode_stream(data, codec, str(path)), planes)
    png = encode_png(stack[0] if planes == 1 else np.ascontiguousarray(stack.transpose(1, 2, 0)))
    if target.exists() and target.read_bytes() != png:
        raise StudyError(
            f"{target} is another image and stays as it is; move it, or name another folder as"
            " --out"
        )
    write_bytes(target, png)
    return target


def describe_code(
    image: GreyImage, coded: CodedImage, codec: Codec | None, shared_by: int
) -> dict[str, Any]:
    """Row of `CODE_COLUMNS` about one coded image.

    Parameters
    ----------
    image : restore.codec.images.GreyImage
    coded : restore.codec.coding.CodedImage
    codec : restore.codec.models.Codec or None
    shared_by : int
        Images over which the decoder's bytes are spread in `ratio_with_decoder`.

    Returns
    -------
    dict
    """
    raw_bytes, file_bytes = image.grey.size, len(coded.data)
    decoder_bytes = 0 if codec is None else codec.decoder_bytes / shared_by
    psnr_db, ssim, max_error_dn = measure_quality(coded.pixels, image.grey)
    has_residual = bool(coded.stream.residual)
    return {
        "image_id": image.image_id,
        "rows_px": image.stack.shape[1],
        "cols_px": image.stack.shape[2],
        "raw_bytes": raw_bytes,
        "file_bytes": file_bytes,
        "header_bytes": OVERHEAD_BYTES,
        "latent_bytes": len(coded.stream.latent),
        "residual_bytes": len(coded.stream.residual),
        "ratio": raw_bytes / file_bytes,
        "ratio_float32": 4 * raw_bytes / file_bytes,
        "ratio_with_decoder": raw_bytes / (file_bytes + decoder_bytes),
        "latent_step": None if codec is None else coded.stream.step,
        "tolerance_dn": coded.stream.tolerance_dn if has_residual else None,
        "psnr_db": psnr_db,
        "ssim": ssim,
        "max_error_dn": max_error_dn,
        "image_sha256": image.sha256,
        "decoder_sha256": None if codec is None else codec.sha256.hex(),
        "file_sha256": hashlib.sha256(coded.data).hexdigest(),
    }


def write_rows(path: Path, columns: tuple[str, ...], rows: Sequence[dict[str, Any]]) -> None:
    """Write rows as CSV, whole or not at all; None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def encode_png(grey: npt.NDArray[np.uint8]) -> bytes:
    """Encode 8-bit levels, (M, N) or (M, N, 3), as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return buffer.getvalue()


def write_png(path: Path, grey: npt.NDArray[np.uint8]) -> str:
    """Write 8-bit grey levels as PNG; returns the file's SHA-256."""
    write_bytes(path, encode_png(grey))
    return hash_file(path)


def is_file_of(path: Path, sha256: str) -> bool:
    """Whether a file is there and its bytes have a hash."""
    return Path(path).is_file() and hash_file(path) == sha256
