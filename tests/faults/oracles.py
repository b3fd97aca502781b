"""Strict decoders that know nothing of ingest: OpenCV's libraries, and Debian's programs."""

import contextlib
import io
import os
import shutil
import subprocess
import tempfile
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageOps

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Verdict:
    """What a decoder made of a file: its words, and the samples with alpha where it read it."""

    is_read: bool
    words: str
    samples: np.ndarray | None = None


@contextlib.contextmanager
def hear():
    """Yield a list that, afterwards, holds what C code wrote to the standard error stream."""
    heard = []
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield heard
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            heard.append(file.read().decode(errors="replace").strip())


def ask_opencv(data):
    """Decode by OpenCV's libpng or libjpeg-turbo, whose words it leaves on standard error."""
    samples = None
    with hear() as heard, contextlib.suppress(cv2.error):  # of nothing, or too large for it
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    words = "; ".join(sorted(set(heard[0].splitlines())))
    if samples is None:
        return Verdict(False, words)
    if samples.ndim == 3:
        order = [2, 1, 0, 3][: samples.shape[2]]
        samples = samples[..., order]
    return Verdict(True, words, samples)


def ask_pillow(data):
    """Decode by Pillow, which knows every kind of transparency, but is not strict."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(data)) as image:
                return Verdict(True, "", np.asarray(image.convert("RGBA")))
        except Exception as error:  # what it cannot read is no matter here
            return Verdict(False, str(error))


def has_programs():
    """Whether Debian's netpbm and libjpeg-turbo-progs are here."""
    return bool(shutil.which("pngtopam") and shutil.which("djpeg"))


def ask_programs(data):
    """Decode by ``pngtopam -alphapam`` (libpng) or ``djpeg -strict`` (libjpeg-turbo)."""
    is_png = data.startswith(PNG_SIGNATURE)
    command = ["pngtopam", "-alphapam"] if is_png else ["djpeg", "-strict", "-pnm"]
    done = subprocess.run(command, input=data, capture_output=True)
    words = "; ".join(sorted(set(done.stderr.decode(errors="replace").strip().splitlines())))
    if done.returncode != 0:
        return Verdict(False, words)
    return Verdict(True, words, read_netpbm(done.stdout))


def read_netpbm(data):
    """Samples of a binary PAM, PGM or PPM, scaled to 0..255 where they are fewer."""
    if data[:2] == b"P7":
        head, _, body = data.partition(b"ENDHDR\n")
        fields = dict(line.split(None, 1) for line in head.decode().splitlines()[1:])
        width, height = int(fields["WIDTH"]), int(fields["HEIGHT"])
        depth, highest = int(fields["DEPTH"]), int(fields["MAXVAL"])
    else:
        kind, width, height, highest, body = data.split(None, 4)
        head = data[: len(data) - len(body)]
        width, height, highest = int(width), int(height), int(highest)
        depth = {b"P5": 1, b"P6": 3}[kind]
        body = data[-width * height * depth :]
    kind = np.uint8 if highest < 256 else ">u2"
    samples = np.frombuffer(body, kind).reshape(height, width, depth)
    samples = samples if highest > 255 else samples * np.uint8(255 // highest)
    return samples[..., 0] if depth == 1 else samples


def show(samples, data):
    """RGB on white and turned as viewers show it, by other means than ingest's."""
    pixels = samples.astype(np.float64)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.shape[-1] in (2, 4):
        weight = pixels[..., -1:] / 255
        pixels = np.rint(pixels[..., :-1] * weight + 255 * (1 - weight))
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    image = Image.fromarray(pixels.astype(np.uint8))
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as opened:
        if "exif" in opened.info:  # not XMP, nor ImageMagick's text chunk
            image.getexif()[0x0112] = opened.getexif().get(0x0112, 1)
            image = ImageOps.exif_transpose(image)
    return np.asarray(image)
