"""Coding one image to a stated ratio, and decoding it to the same pixels anywhere."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import IngestParameters
from upscale_audit.restore.codec.exact import run_decoder
from upscale_audit.restore.codec.images import split_planes
from upscale_audit.restore.codec.losses import measure_loss, measure_ssim
from upscale_audit.restore.codec.packing import pack, unpack
from upscale_audit.restore.codec.residuals import (
    MAX_TOLERANCE_DN,
    MIN_TOLERANCE_DN,
    decode_residual,
    encode_residual,
    max_residual_bytes,
)
from upscale_audit.restore.codec.streams import (
    MAX_SIDE_PX,
    MODEL_BYTES,
    NO_MODEL,
    OVERHEAD_BYTES,
    Stream,
    read_stream,
    write_stream,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.restore.codec.models import Codec


LATENT_STEPS = (1.0, 2.0, 4.0)
"""Latent steps that the search tries, besides the one that needs no residual."""
COARSEST_STEP_TRIED = 16.0
RATIO_TOLERANCE, _AIM = 0.02, 0.005
"""How far a ratio may be off its target, and how near the search tries to come."""
# The last predictions by decoder and latent: a stream that was just made is read back at once.
_DECODED: dict[tuple[bytes, bytes, tuple[int, ...], float], npt.NDArray[np.float32]] = {}
_MOST_DECODED = 12
_MAX_BISECTIONS, _MAX_FILL_BISECTIONS = 30, 10


@dataclass(frozen=True)
class CodedImage:
    """An image coded and decoded.

    Attributes
    ----------
    data : bytes
        The whole file.
    stream : restore.codec.streams.Stream
    pixels : (planes * M, N) uint8 array
        What every decoder makes of it.
    """

    data: bytes
    stream: Stream
    pixels: npt.NDArray[np.uint8]

    @property
    def ratio(self) -> float:
        """Bytes of the raw image, 8 bits a pixel and plane, over bytes of the file."""
        return self.pixels.size / len(self.data)


class ImageCoder:
    """Codes one image, at as many ratios as asked for.

    Parameters
    ----------
    codec : restore.codec.models.Codec or None
        None codes the residual of one grey level: zfp alone.
    grey : (planes * M, N) uint8 array
        The planes of the codec's design one below the other; sides up to 65,535 px.

    Raises
    ------
    StudyError
        A side is too long for the format.

    Notes
    -----
    The residual of colour is coded as one tall image, so that where a plane's rows are no
    multiple of 4, one row of zfp's blocks holds pixels of two planes.
    """

    def __init__(self, codec: Codec | None, grey: npt.NDArray[np.uint8]) -> None:
        if max(grey.shape) > MAX_SIDE_PX:
            raise StudyError(
                f"expected sides up to {MAX_SIDE_PX} px, found {grey.shape[1]}x{grey.shape[0]};"
                " code it in parts"
            )
        self._codec, self._grey = codec, grey
        self._latent = None if codec is None else encode_latent(codec, grey)
        self._latents: dict[float, tuple[int, bytes, npt.NDArray[Any]]] = {}

    def code(self, step: float, tolerance_dn: float | None) -> CodedImage:
        """Code the image.

        Parameters
        ----------
        step : float
            Of the latent's rounding.
        tolerance_dn : float or None
            Largest error before rounding, in grey levels; None sends no residual.

        Returns
        -------
        CodedImage
        """
        step = float(np.float32(step))
        method, latent, _ = self._pack(step)
        prediction = self._predict(step)
        residual, packing, pixels = b"", 0, _round_pixels(prediction)
        if tolerance_dn is not None:
            tolerance_dn = float(np.float32(tolerance_dn))
            coded = encode_residual(self._grey - prediction, tolerance_dn)
            rest = decode_residual(coded, self._grey.shape, tolerance_dn)
            if rest.any():  # a residual of zeros is left out
                packing, residual = pack(coded)
                pixels = _round_pixels(prediction + rest)
        rows = self._grey.shape[0] // _count_planes(self._codec)
        stream = Stream(
            shape=(rows, self._grey.shape[1]),
            step=step,
            tolerance_dn=1.0 if tolerance_dn is None else tolerance_dn,
            model=NO_MODEL if self._codec is None else self._codec.sha256[:MODEL_BYTES],
            pixels_crc32=zlib.crc32(pixels.tobytes()),
            latent_packing=method,
            residual_packing=packing,
            latent=latent,
            residual=residual,
        )
        return CodedImage(write_stream(stream), stream, pixels)

    def reach(self, ratio: float) -> CodedImage:
        """Code the image to a ratio.

        Parameters
        ----------
        ratio : float
            Raw bytes, 8 bits a pixel and one channel, over bytes of the file.

        Returns
        -------
        CodedImage
            Within 2 % of the ratio.

        Raises
        ------
        StudyError
            No latent step and tolerance give it; the message says what can be reached.

        Notes
        -----
        For each latent step that leaves room, the residual's tolerance is found by bisection. One
        more step is found so that the latent alone fills the bytes. Of these codings the one with
        the smallest loss is taken, the loss being the one that the network was trained for
        (squared error without a network). [OWN]
        """
        if not (math.isfinite(ratio) and ratio > 0):
            raise StudyError(f"ratio = {ratio!r}; expected a number above 0, as 25")
        steps = (1.0,) if self._codec is None else sorted({self._fill(ratio), *LATENT_STEPS})
        found, bounds = [], []
        for step in steps:
            bounds.append(self._grey.size / (OVERHEAD_BYTES + len(self._pack(step)[1])))
            if bounds[-1] < ratio / (1 + RATIO_TOLERANCE):
                continue
            coded, nearest = self._bisect(step, ratio)
            if coded is not None:
                found.append(coded)
            bounds.append(nearest)
        if not found:
            raise _make_ratio_error(ratio, bounds)
        return min(found, key=lambda coded: self._measure(coded.pixels))

    def _fill(self, ratio: float) -> float:
        """Latent step, 1 to 16, at which header and latent come nearest to a ratio."""
        best: tuple[float, float] | None = None
        low, high = math.log2(LATENT_STEPS[0]), math.log2(COARSEST_STEP_TRIED)
        for number in range(_MAX_FILL_BISECTIONS):
            middle = low if number == 0 else (low + high) / 2
            step = float(np.float32(2.0**middle))
            reached = self._grey.size / (OVERHEAD_BYTES + len(self._pack(step)[1]))
            if best is None or _is_nearer(reached, best[1], ratio):
                best = step, reached
            if number == 0 and reached >= ratio:
                break  # the finest step leaves room for a residual
            if number:
                low, high = (middle, high) if reached < ratio else (low, middle)
        return LATENT_STEPS[0] if best is None else best[0]

    def _pack(self, step: float) -> tuple[int, bytes, npt.NDArray[Any]]:
        """Packing, packed latent and latent (C, M, N) int8 at a latent step."""
        if step not in self._latents:
            if self._latent is None:
                latent = np.rint(self._grey.mean(dtype=np.float64)).astype(np.uint8)
                self._latents[step] = (0, latent.tobytes(), latent)
            else:
                rounded = np.clip(np.rint(self._latent / np.float32(step)), -127, 127)
                latent = rounded.astype(np.int8)
                self._latents[step] = (*pack(latent.tobytes()), latent)
        return self._latents[step]

    def _predict(self, step: float) -> npt.NDArray[np.float32]:
        """Prediction (M, N) float32 at a latent step, by the decoder that a receiver runs."""
        latent = self._pack(step)[2]
        if self._codec is None:
            return np.full(self._grey.shape, latent, np.float32)
        rows = self._grey.shape[0] // self._codec.design.planes
        return _predict_from(self._codec, latent, step, (rows, self._grey.shape[1]))

    def _bisect(self, step: float, ratio: float) -> tuple[CodedImage | None, float]:
        """Code at the tolerance that gives a ratio; None and the nearest ratio if none does."""
        best = self.code(step, MAX_TOLERANCE_DN)
        low, high = math.log2(MIN_TOLERANCE_DN), math.log2(MAX_TOLERANCE_DN)
        for _ in range(_MAX_BISECTIONS):
            if abs(best.ratio / ratio - 1) <= _AIM:
                break
            middle = (low + high) / 2
            coded = self.code(step, 2.0**middle)
            low, high = (middle, high) if coded.ratio < ratio else (low, middle)
            if _is_nearer(coded.ratio, best.ratio, ratio):
                best = coded
        return (best if abs(best.ratio / ratio - 1) <= RATIO_TOLERANCE else None), best.ratio

    def _measure(self, pixels: npt.NDArray[np.uint8]) -> float:
        loss = "mse" if self._codec is None else self._codec.design.loss
        first, second = (
            torch.from_numpy(image.astype(np.float32) / 255 - 0.5)[None, None]
            for image in (pixels, self._grey)
        )
        variance = max(float(self._grey.var()) / 255**2, 1e-12)
        found: float = measure_loss(first, second, loss=loss, variance=variance).item()
        return found


def encode_latent(codec: Codec, grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Latent of an image before it is rounded.

    Parameters
    ----------
    codec : restore.codec.models.Codec
    grey : (planes * M, N) uint8 array

    Returns
    -------
    (C, ceil(M / stride), ceil(N / stride)) float32 array
        Within +-`restore.codec.networks.LATENT_LIMIT`. A VAE gives the mean.

    Notes
    -----
    Sides that are no multiple of the stride are filled up with the last row and column.
    """
    stride = codec.design.stride_px
    stack = split_planes(grey, codec.design.planes)
    padding = [(0, 0), *((0, -length % stride) for length in stack.shape[1:])]
    padded = np.pad(stack, padding, mode="edge").astype(np.float32) / 255 - np.float32(0.5)
    with torch.no_grad():
        found: npt.NDArray[np.float32] = codec.encoder(torch.from_numpy(padded)[None])[0][0].numpy()
        return found


def decode_stream(
    data: bytes, codec: Codec | None, name: str = "the stream"
) -> npt.NDArray[np.uint8]:
    """Decode the bytes of a coded image's file.

    Parameters
    ----------
    data : bytes
    codec : restore.codec.models.Codec or None
        None only for streams without a network.
    name : str
        For messages.

    Returns
    -------
    (planes * M, N) uint8 array
        The planes of the codec's design one below the other.

    Raises
    ------
    StudyError
        The bytes are no whole stream, were made with another model, or decode to other pixels
        than the encoder's.
    """
    stream = read_stream(data, name)
    _check_model(stream, codec, name)
    prediction = _decode_prediction(stream, codec, name)
    if stream.residual:
        shape = prediction.shape
        coded = unpack(stream.residual_packing, stream.residual, max_residual_bytes(shape))
        prediction = prediction + decode_residual(coded, shape, stream.tolerance_dn)
    pixels = _round_pixels(prediction)
    if zlib.crc32(pixels.tobytes()) != stream.pixels_crc32:
        raise StudyError(
            f"{name}: expected pixels with CRC-32 {stream.pixels_crc32:08x}, found"
            f" {zlib.crc32(pixels.tobytes()):08x}: this installation decodes otherwise than the"
            " encoder's; install the versions in constraints.txt"
        )
    return pixels


def measure_quality(
    pixels: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]
) -> tuple[float | None, float | None, int]:
    """PSNR in dB (None where equal), SSIM in -1..1 (None below 11 px), largest error in dn."""
    difference = pixels.astype(np.int64) - grey
    mean_square = np.mean(difference**2)
    psnr_db = 10 * math.log10(255**2 / mean_square) if mean_square else None
    ssim = None
    if min(grey.shape) >= 11:
        first, second = (torch.from_numpy(image.astype(np.float64)) for image in (pixels, grey))
        ssim = measure_ssim(first[None, None], second[None, None], data_range=255.0).item()
    return psnr_db, ssim, int(np.abs(difference).max())


def _check_model(stream: Stream, codec: Codec | None, name: str) -> None:
    if stream.model == NO_MODEL:
        return
    given = None if codec is None else codec.sha256[:MODEL_BYTES]
    if stream.model != given:
        found = "no weights" if given is None else f"weights of decoder {given.hex()}"
        raise StudyError(
            f"{name}: coded with decoder {stream.model.hex()}, found {found}; name the file it was"
            " coded with as --weights"
        )


def _decode_prediction(stream: Stream, codec: Codec | None, name: str) -> npt.NDArray[np.float32]:
    rows, cols = stream.shape
    limit = IngestParameters().max_image_px // _count_planes(codec)
    if rows * cols > limit:
        raise StudyError(f"{name}: {cols}x{rows} px; expected at most {limit} px in all")
    if stream.model == NO_MODEL:
        level = unpack(stream.latent_packing, stream.latent, 1)
        _check_latent(level, 1, name)
        return np.full(stream.shape, level[0], np.float32)
    if codec is None:  # `_check_model` has refused it
        raise TypeError(f"{name}: a latent without its decoder")
    return _predict_from(codec, read_latent(stream, codec, name), stream.step, stream.shape)


def read_latent(stream: Stream, codec: Codec, name: str = "the stream") -> npt.NDArray[np.int8]:
    """Latent (C, M, N) of a stream of a codec, in its steps; StudyError where it is cut short."""
    rows, cols = stream.shape
    stride = codec.design.stride_px
    shape = (codec.design.latent_channels, -(-rows // stride), -(-cols // stride))
    data = unpack(stream.latent_packing, stream.latent, math.prod(shape))
    _check_latent(data, math.prod(shape), name)
    return np.frombuffer(data, np.int8).reshape(shape)


def _check_latent(data: bytes, expected: int, name: str) -> None:
    if len(data) != expected:
        raise StudyError(
            f"{name}: expected a latent of {expected} bytes, found {len(data)}; encode the image"
            " again"
        )


def _predict_from(
    codec: Codec, latent: npt.NDArray[np.int8], step: float, shape: tuple[int, int]
) -> npt.NDArray[np.float32]:
    key = codec.sha256, latent.tobytes(), latent.shape, step
    if key not in _DECODED:
        while len(_DECODED) >= _MOST_DECODED:
            _DECODED.pop(next(iter(_DECODED)))
        _DECODED[key] = run_decoder(codec.layers, latent, step)
    planes = split_planes(_DECODED[key], codec.design.planes)
    found: npt.NDArray[np.float32] = planes[:, : shape[0], : shape[1]].reshape(-1, shape[1])
    return found


def _count_planes(codec: Codec | None) -> int:
    return 1 if codec is None else codec.design.planes


def _round_pixels(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _is_nearer(ratio: float, other: float, target: float) -> bool:
    return abs(math.log(ratio / target)) < abs(math.log(other / target))


def _make_ratio_error(ratio: float, bounds: Sequence[float]) -> StudyError:
    highest, lowest = max(bounds), min(bounds)
    if ratio > highest:
        reach = f"at most {highest:.4g}: header and latent alone take the rest"
    elif ratio < lowest:
        reach = f"at least {lowest:.4g}: there it is already lossless"
    else:
        nearest = min(bounds, key=lambda bound: abs(math.log(bound / ratio)))
        reach = f"{nearest:.4g} as the nearest"
    return StudyError(
        f"ratio {ratio:g} cannot be reached to within {RATIO_TOLERANCE:.0%}; this image and codec"
        f" give {reach}; name such a --ratio"
    )
