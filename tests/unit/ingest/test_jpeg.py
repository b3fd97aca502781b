"""Decoding JPEG: libjpeg's pixels, its warnings as errors, and nothing half read."""

import contextlib
import io
import shutil
import struct
import subprocess

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest import jpeg
from upscale_audit.ingest.errors import RejectedFileError

GREY = np.random.default_rng(3).integers(0, 256, (40, 56), np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (40, 56, 3), np.uint8)


def encode(pixels, **options):
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def read(data):
    return jpeg.decode_pixels(data, jpeg.read_header(data).components)


def refuse(data):
    with pytest.raises(RejectedFileError) as caught:
        read(data)
    return caught.value.code, caught.value.detail


def segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_pixels_are_those_of_pillow(pixels, options):
    data = encode(pixels, quality=90, **options)
    header = jpeg.read_header(data)
    assert (header.width_px, header.height_px, header.bit_depth) == (56, 40, 8)
    assert header.mode == ("L" if pixels is GREY else "RGB")
    assert header.process is None
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(read(data), np.asarray(image))


def test_a_cut_with_an_end_marker_is_refused_at_every_length():
    data = encode(GREY)
    for length in range(data.index(b"\xff\xda") + 10, len(data) - 3, 17):
        assert refuse(data[:length] + b"\xff\xd9")[0] in ("undecodable", "truncated"), length
        assert refuse(data[:length]) == ("truncated", "the file ends without an end marker")


def test_a_progressive_image_without_its_last_scans_is_truncated():
    data = encode(COLOUR, progressive=True)
    begins, at = [], data.index(b"\xff\xda")
    while at >= 0:
        begins.append(at)
        at = data.find(b"\xff\xda", at + 2)
    assert len(begins) == 10
    for count, begin in enumerate(begins[1:], start=1):
        code, detail = refuse(data[:begin] + b"\xff\xd9")
        assert (code, detail) == ("truncated", f"{count} scans, which do not hold all detail")


def test_libjpegs_warning_is_the_detail():
    data = encode(GREY)
    code, detail = refuse(data[:2] + b"junk" + data[2:])
    assert code == "undecodable"
    assert detail == "libjpeg: Corrupt JPEG data: 4 extraneous bytes before marker 0xe0"


def test_what_follows_the_end_marker_is_passed_over():
    data = encode(GREY)
    np.testing.assert_array_equal(read(data + b"trailing \xff\xda"), read(data))


@pytest.mark.parametrize(
    ("marker", "process"),
    [(0xC9, "arithmetic-coded"), (0xCA, "arithmetic-coded"), (0xC3, "lossless"),
     (0xC5, "hierarchical"), (0xF7, "JPEG-LS")],
)  # fmt: skip
def test_another_process_is_named(marker, process):
    data = encode(GREY).replace(b"\xff\xc0", b"\xff" + bytes([marker]), 1)
    assert jpeg.read_header(data).process == process


@pytest.mark.skipif(shutil.which("cjpeg") is None, reason="needs libjpeg-turbo-progs")
def test_an_arithmetic_coded_image_of_libjpeg_is_named():
    pgm = b"P5 56 40 255\n" + GREY.tobytes()
    data = subprocess.run(["cjpeg", "-arithmetic"], input=pgm, capture_output=True, check=True)
    assert jpeg.read_header(data.stdout).process == "arithmetic-coded"


def test_twelve_bits_are_told():
    data = bytearray(encode(GREY))
    data[data.index(b"\xff\xc0") + 4] = 12
    assert jpeg.read_header(bytes(data)).bit_depth == 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.replace(b"\xff\xc0", b"\xff\xfe"), "a scan before the frame header"),
        (lambda data: data[: data.index(b"\xff\xda")] + b"\xff\xd9", "no scan"),
        (lambda data: data[:2] + segment(0xC0, b"short") + data[2:], "too short"),
        (lambda data: data[:2] + segment(0xC0, bytes(9)) + data[2:], "two frame headers"),
        (lambda data: data[:2] + b"\xff\xe1\0\1" + data[2:], "segment E1 of 1 bytes"),
    ],
)
def test_segments_that_contradict_each_other_are_refused(change, words):
    code, detail = refuse(change(encode(GREY)))
    assert code == "undecodable"
    assert words in detail


def test_every_change_of_a_header_is_refused_or_read_whole():
    data = encode(GREY)
    for at in range(2, data.index(b"\xff\xda") + 10):
        changed = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
        with contextlib.suppress(RejectedFileError):
            assert read(changed).size


def test_exif_and_profile_are_found():
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = bytes(range(256)) * 300  # more than one segment holds
    header = jpeg.read_header(encode(GREY, exif=exif, icc_profile=profile))
    assert header.exif[:4] in (b"II*\0", b"MM\0*")
    assert header.profile == profile
    assert jpeg.read_header(encode(GREY)).exif is None
    assert jpeg.read_header(encode(GREY)).profile is None


def test_pictures_of_a_multi_picture_file_are_counted():
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(
        buffer, "MPO", save_all=True, append_images=[Image.fromarray(255 - GREY)]
    )
    assert jpeg.read_header(buffer.getvalue()).frames == 2
    for index in (b"", b"II*\0", b"II*\0\xff\0\0\0", b"II*\0\x08\0\0\0\x01\0"):
        data = encode(GREY)
        data = data[:2] + segment(0xE2, b"MPF\0" + index) + data[2:]
        assert jpeg.read_header(data).frames == 1


def test_a_full_memory_is_no_property_of_the_file(monkeypatch):
    def fail(*_, **__):
        raise ValueError("Insufficient memory (case 4)")

    monkeypatch.setattr(jpeg.simplejpeg, "decode_jpeg", fail)
    with pytest.raises(MemoryError):
        read(encode(GREY))
