"""WebP: as libwebp decodes it elsewhere, and nothing of a file that is not whole."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import REJECT_CODES, decode_image
from upscale_audit.ingest.memory import peek_size

COLOUR = np.random.default_rng(6).integers(0, 256, (37, 51, 3), np.uint8)
SMOOTH = cv2.GaussianBlur(COLOUR, (0, 0), 2)


def encode(array, **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "WEBP", **options)
    return buffer.getvalue()


def decode(data, suffix=".webp"):
    return decode_image(data, suffix, 1 << 24, "reduce")


def reject_code(data):
    with pytest.raises(RejectedFileError) as caught:
        decode(data)
    assert caught.value.code in REJECT_CODES
    return caught.value.code


def pack(*chunks):
    body = b"".join(
        kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
        for kind, body in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 70}], ids=["whole", "lossy"])
def test_pixels_are_opencvs(options):
    data = encode(SMOOTH, **options)
    image = decode(data)
    wanted = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    np.testing.assert_array_equal(image.rgb, wanted)
    facts = image.facts
    assert (facts.colour_mode, facts.bit_depth, facts.grey_rule) == ("RGB", 8, "rec601")
    assert (facts.width_px, facts.height_px, facts.transparent_px) == (51, 37, None)


def test_a_lossless_grey_film_is_grey():
    grey = np.dstack([SMOOTH[..., 0]] * 3)
    image = decode(encode(grey, lossless=True))
    np.testing.assert_array_equal(image.grey, SMOOTH[..., 0])
    assert image.facts.grey_rule == "equal_channels"


@pytest.mark.parametrize("options", [{"lossless": True, "exact": True}, {"quality": 80}])
def test_alpha_goes_on_white(options):
    alpha = np.full((37, 51), 255, np.uint8)
    alpha[:, :9] = 60
    data = encode(np.dstack([SMOOTH, alpha]), **options)
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    weight = stored[..., 3:] / 255
    wanted = np.rint(stored[..., 2::-1] * weight + 255 * (1 - weight))
    image = decode(data)
    np.testing.assert_array_equal(image.rgb, wanted)
    assert image.facts.transparent_px == 9 * 37
    assert image.facts.colour_mode == "RGBA"


def test_orientation_is_undone_and_a_profile_is_recorded():
    exif = Image.Exif()
    exif[0x0112] = 3
    data = encode(SMOOTH, lossless=True, exif=exif, icc_profile=b"\0" * 128)
    image = decode(data)
    np.testing.assert_array_equal(image.rgb, SMOOTH[::-1, ::-1])
    assert image.facts.orientation == 3
    assert image.facts.icc_sha256 is not None


def test_an_animation_is_refused():
    buffer = io.BytesIO()
    frames = [Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:])
    assert reject_code(buffer.getvalue()) == "animated"


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 70}], ids=["whole", "lossy"])
def test_a_file_cut_anywhere_is_refused(options):
    data = encode(SMOOTH, **options)
    for end in range(12, len(data) - 1, 5):
        assert reject_code(data[:end]) == "truncated"


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 70}], ids=["whole", "lossy"])
def test_a_picture_that_ends_early_in_a_sound_container_is_refused(options):
    data = encode(SMOOTH, **options)
    kind, (size,) = data[12:16], struct.unpack_from("<I", data, 16)
    body = data[20 : 20 + size]
    np.testing.assert_array_equal(decode(pack((kind, body))).rgb, decode(data).rgb)
    for end in range(5, size - 3, 9):
        assert reject_code(pack((kind, body[:end]))) == "undecodable"


def test_contradictions_are_refused():
    data = encode(SMOOTH, lossless=True)
    (size,) = struct.unpack_from("<I", data, 16)
    picture = b"VP8L", data[20 : 20 + size]
    canvas = b"VP8X", bytes(4) + (99).to_bytes(3, "little") + (36).to_bytes(3, "little")
    for chunks in ((), (picture, picture), (canvas, picture), (canvas,), ((b"VP8X", b""), picture)):
        assert reject_code(pack(*chunks)) in ("undecodable", "truncated")
    assert reject_code(b"RIFF\4\0\0\0WEBP") == "truncated"
    with pytest.raises(RejectedFileError, match="WebP data in a"):
        decode(data, ".png")


def test_the_size_is_found_without_the_pixels(tmp_path):
    path = tmp_path / "a.webp"
    exif = Image.Exif()
    exif[0x0112] = 1
    for options in ({"lossless": True}, {"quality": 70}, {"quality": 70, "exif": exif}):
        path.write_bytes(encode(SMOOTH, **options))
        assert peek_size(path) == (37 * 51, True)
    path.write_bytes(b"RIFF")
    assert peek_size(path) == (0, True)
