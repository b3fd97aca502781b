"""Decoding one file: the generator's grey rule, what is recorded, what is refused."""

import ast
import hashlib
import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from upscale_audit.ingest import images
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import REJECT_CODES, decode_image, hash_pixels, read_bytes

LIMIT_PX = 1 << 20
GREY = np.random.default_rng(3).integers(0, 256, (12, 20), np.uint8)
COLOUR = np.random.default_rng(4).integers(0, 256, (12, 20, 3), np.uint8)


def decode(data, suffix=".png", colour="reduce", max_image_px=LIMIT_PX):
    return decode_image(data, suffix, max_image_px, colour)


def encode_jpeg(array, **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pack_png(width, height, depth, colour_type, pixels):
    """A PNG written by hand; `pixels` are the unfiltered scan lines."""

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def reject_code(data, **options):
    with pytest.raises(RejectedFileError) as caught:
        decode(data, **options)
    assert caught.value.code in REJECT_CODES
    assert caught.value.detail
    return caught.value.code


def rec601(rgb):
    """OpenCV's fixed point, written out: 14 fractional bits, rounded."""
    red, green, blue = (rgb[..., channel].astype(int) for channel in range(3))
    return (4899 * red + 9617 * green + 1868 * blue + (1 << 13)) >> 14


def test_a_grey_png_keeps_its_values(encode_png):
    data = encode_png(GREY)
    image = decode(data)
    np.testing.assert_array_equal(image.grey, GREY)
    facts = image.facts
    assert (facts.width_px, facts.height_px, facts.bytes) == (20, 12, len(data))
    assert (facts.colour_mode, facts.bit_depth, facts.grey_rule) == ("L", 8, "none")
    assert facts.file_sha256 == hashlib.sha256(data).hexdigest()
    assert facts.pixel_sha256 == hashlib.sha256(b"1 12 20\n" + GREY.tobytes()).hexdigest()


def test_the_pixel_hash_tells_shapes_and_channels_apart():
    flat = np.zeros(48, np.uint8)
    shapes = [(6, 8), (8, 6), (2, 8, 3), (8, 2, 3)]
    assert len({hash_pixels(flat.reshape(shape)) for shape in shapes}) == len(shapes)


def test_the_pixel_hash_is_of_values_not_of_memory_order():
    assert hash_pixels(np.asfortranarray(GREY)) == hash_pixels(GREY)


def test_equal_channels_are_grey_and_hash_like_the_grey_file(encode_png):
    grey = decode(encode_png(GREY)).facts.pixel_sha256
    rgb = np.dstack([GREY] * 3)
    opaque = np.dstack([rgb, np.full_like(GREY, 255)])
    for array, mode in ((rgb, "RGB"), (opaque, "RGBA")):
        for colour in ("reduce", "reject"):
            image = decode(encode_png(array), colour=colour)
            np.testing.assert_array_equal(image.grey, GREY)
            facts = image.facts
            assert (facts.colour_mode, facts.grey_rule) == (mode, "equal_channels")
            assert facts.pixel_sha256 == grey


def test_unequal_channels_are_reduced_by_rec601_and_hashed_in_colour(encode_png):
    image = decode(encode_png(COLOUR))
    np.testing.assert_array_equal(image.grey, rec601(COLOUR))
    assert image.facts.grey_rule == "rec601"
    assert image.facts.pixel_sha256 == hash_pixels(COLOUR)


def test_one_differing_pixel_makes_an_image_coloured(encode_png):
    rgb = np.dstack([GREY] * 3)
    rgb[-1, -1, 2] ^= 1
    assert decode(encode_png(rgb)).facts.grey_rule == "rec601"
    assert reject_code(encode_png(rgb), colour="reject") == "colour"


def test_a_grey_rgba_is_composited_on_white(encode_png):
    alpha = np.full_like(GREY, 255)
    alpha[:, :5] = 0
    image = decode(encode_png(np.dstack([GREY] * 3 + [alpha])), colour="reject")
    np.testing.assert_array_equal(image.grey[:, :5], 255)
    np.testing.assert_array_equal(image.grey[:, 5:], GREY[:, 5:])
    assert image.facts.grey_rule == "on_white"


def test_half_transparency_mixes_with_white(encode_png):
    array = np.zeros((8, 8, 4), np.uint8)
    array[..., 3] = 51
    np.testing.assert_array_equal(decode(encode_png(array)).grey, 204)


def test_a_coloured_rgba_is_composited_and_reduced(encode_png):
    alpha = np.full_like(GREY, 255)
    alpha[0, 0] = 0
    image = decode(encode_png(np.dstack([COLOUR, alpha])))
    assert image.facts.grey_rule == "rec601_on_white"
    assert image.grey[0, 0] == 255
    np.testing.assert_array_equal(image.grey[1:], rec601(COLOUR)[1:])
    data = encode_png(np.dstack([COLOUR, alpha]))
    assert reject_code(data, colour="reject") == "colour"


@pytest.mark.parametrize(("mode", "rule"), [("1", "none"), ("LA", "none"), ("P", "equal_channels")])
def test_other_8_bit_modes_are_converted_as_the_generator_does(encode_png, mode, rule):
    source = Image.fromarray(GREY).convert(mode)
    image = decode(encode_png(source))
    np.testing.assert_array_equal(image.grey, np.asarray(source.convert("RGB"))[..., 0])
    assert (image.facts.colour_mode, image.facts.grey_rule) == (mode, rule)
    assert image.facts.bit_depth == (1 if mode == "1" else 8)


def on_white(values, alpha):
    """Composite in whole numbers, rounded to the nearest; 255 is odd, so no half arises."""
    weight = alpha.astype(int) if values.ndim == alpha.ndim else alpha.astype(int)[..., None]
    return (2 * (weight * values + (255 - weight) * 255) + 255) // 510


def test_every_alpha_of_every_grey_is_composited_by_one_rule(encode_png):
    grey, alpha = (array.astype(np.uint8) for array in np.indices((256, 256)))
    expected = on_white(grey, alpha)
    layers = {"LA": (grey, alpha), "RGBA": (grey, grey, grey, alpha)}
    for mode, bands in layers.items():
        image = decode(encode_png(Image.merge(mode, [Image.fromarray(band) for band in bands])))
        np.testing.assert_array_equal(image.grey, expected)
        assert (image.facts.colour_mode, image.facts.grey_rule) == (mode, "on_white")
        assert image.facts.transparent_px == 255 * 256


def test_transparent_colours_of_a_palette_are_composited(encode_png):
    source = Image.fromarray(COLOUR).quantize(32)
    clear = bytes(range(0, 256, 16))  # for 16 of 32 colours; the others are opaque
    image = decode(encode_png(source, transparency=clear))
    alpha = np.array([*clear, *[255] * 16], np.uint8)[np.asarray(source)]
    np.testing.assert_array_equal(image.rgb, on_white(np.asarray(source.convert("RGB")), alpha))
    assert image.facts.grey_rule == "rec601_on_white"
    assert image.facts.transparent_px == np.count_nonzero(alpha < 255)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_clear_grey_value_becomes_white(encode_png, value):
    image = decode(encode_png(GREY, transparency=value))
    np.testing.assert_array_equal(image.grey, np.where(value == GREY, 255, GREY))
    count = np.count_nonzero(value == GREY)
    assert image.facts.transparent_px == count
    assert image.facts.grey_rule == ("on_white" if count else "none")


def test_a_clear_colour_becomes_white_where_all_its_channels_match(encode_png):
    colours = COLOUR.copy()
    colours[2, 3] = colours[5, 6] = (1, 2, 3)
    colours[7, 7] = (1, 2, 4)
    image = decode(encode_png(colours, transparency=(1, 2, 3)))
    assert image.facts.transparent_px == 2
    np.testing.assert_array_equal(image.rgb[[2, 5], [3, 6]], 255)
    np.testing.assert_array_equal(image.rgb[7, 7], (1, 2, 4))


def test_a_clear_value_of_fewer_bits_is_one_of_the_file():
    lines = b"".join(b"\0" + bytes([0x0F, 0x7F, 0x00, 0xF8]) for _ in range(8))
    plain = pack_png(8, 8, 4, 0, lines)
    image = decode(plain[:33] + chunk(b"tRNS", b"\0\x07") + plain[33:])
    assert image.grey[0].tolist() == [0, 255, 255, 255, 0, 0, 255, 136]
    assert image.facts.transparent_px == 8


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_an_image_that_shows_nothing_is_white_and_said_to_be(encode_png, mode):
    source = Image.fromarray(GREY).convert(mode)
    source.putalpha(0)
    image = decode(encode_png(source))
    assert image.facts.transparent_px == GREY.size
    assert image.facts.grey_rule == "on_white"
    np.testing.assert_array_equal(image.grey, 255)


def test_files_without_alpha_have_no_transparent_pixels_and_opaque_ones_none(encode_png):
    assert decode(encode_png(GREY)).facts.transparent_px is None
    assert decode(encode_jpeg(GREY), suffix=".jpg").facts.transparent_px is None
    opaque = decode(encode_png(Image.fromarray(GREY).convert("LA"))).facts
    assert (opaque.transparent_px, opaque.grey_rule) == (0, "none")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_viewers_show_it(encode_png, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    encode = encode_png if kind == "PNG" else encode_jpeg
    data = encode(COLOUR, exif=exif)
    image = decode(data, suffix=f".{kind.lower()}")
    with Image.open(io.BytesIO(data)) as opened:
        np.testing.assert_array_equal(image.rgb, np.asarray(ImageOps.exif_transpose(opened)))
    facts = image.facts
    assert facts.orientation == orientation
    assert (facts.width_px, facts.height_px) == ((12, 20) if orientation > 4 else (20, 12))
    assert facts.pixel_sha256 == hash_pixels(image.rgb)


def test_an_orientation_that_exif_does_not_know_turns_nothing(encode_png):
    for value in (0, 9):
        exif = Image.Exif()
        exif[0x0112] = value
        facts = decode(encode_png(GREY, exif=exif)).facts
        assert (facts.orientation, facts.width_px) == (None, 20)
    for body in (b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff", bytes(40)):
        plain = encode_png(GREY)
        facts = decode(plain[:33] + chunk(b"eXIf", body) + plain[33:]).facts
        assert (facts.orientation, facts.width_px) == (None, 20)


def test_gamma_and_profile_are_recorded_and_not_applied(encode_png):
    profile = b"a profile" * 99
    plain = encode_png(GREY, icc_profile=profile)
    image = decode(plain[:33] + chunk(b"gAMA", struct.pack(">I", 45455)) + plain[33:])
    np.testing.assert_array_equal(image.grey, GREY)
    assert image.facts.gamma == 0.45455
    assert image.facts.icc_sha256 == hashlib.sha256(profile).hexdigest()
    facts = decode(encode_jpeg(GREY, icc_profile=profile), suffix=".jpg").facts
    assert (facts.gamma, facts.icc_sha256) == (None, hashlib.sha256(profile).hexdigest())
    facts = decode(encode_png(GREY)).facts
    assert (facts.gamma, facts.icc_sha256) == (None, None)


def test_a_coloured_palette_is_reduced(encode_png):
    source = Image.fromarray(COLOUR).quantize(16)
    image = decode(encode_png(source))
    np.testing.assert_array_equal(image.grey, rec601(np.asarray(source.convert("RGB"))))
    assert image.facts.grey_rule == "rec601"


def test_a_4_bit_grey_is_scaled_to_8_bits():
    lines = b"".join(b"\0" + bytes([0x0F, 0x7F, 0x00, 0xF8]) for _ in range(8))
    image = decode(pack_png(8, 8, 4, 0, lines))
    assert image.grey[0].tolist() == [0, 255, 119, 255, 0, 0, 255, 136]
    assert image.facts.bit_depth == 4


def test_a_jpeg_is_decoded_to_its_greys():
    data = encode_jpeg(GREY, quality=95)
    image = decode(data, suffix=".jpeg")
    np.testing.assert_array_equal(image.grey, np.asarray(Image.open(io.BytesIO(data))))
    assert (image.facts.colour_mode, image.facts.bit_depth) == ("L", 8)


def test_a_16_bit_grey_is_refused(encode_png):
    assert reject_code(encode_png(GREY.astype(np.uint16) * 257)) == "bit_depth"


def test_a_16_bit_rgb_is_refused_though_pillow_would_reduce_it():
    data = cv2.imencode(".png", COLOUR.astype(np.uint16) * 257)[1].tobytes()
    assert Image.open(io.BytesIO(data)).mode == "RGB"
    assert reject_code(data) == "bit_depth"


def test_an_animated_png_is_refused(encode_png):
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    data = encode_png(frames[0], save_all=True, append_images=frames[1:])
    assert reject_code(data) == "animated"


def test_a_cmyk_jpeg_is_refused():
    data = encode_jpeg(Image.fromarray(COLOUR).convert("CMYK"))
    assert reject_code(data, suffix=".jpg") == "colour_mode"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".tif"])
def test_png_bytes_under_another_suffix_are_refused(encode_png, suffix):
    assert reject_code(encode_png(GREY), suffix=suffix) == "wrong_format"


def test_jpeg_bytes_in_a_png_are_refused():
    assert reject_code(encode_jpeg(GREY)) == "wrong_format"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".jpe", ".jfif"])
def test_a_jpeg_may_have_any_of_its_suffixes(suffix):
    assert decode(encode_jpeg(GREY), suffix=suffix).grey.shape == GREY.shape


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "JPEG2000"])
def test_another_format_is_named(kind):
    buffer = io.BytesIO()
    Image.fromarray(GREY).save(buffer, kind)
    with pytest.raises(RejectedFileError, match=r"wrong_format: .* data in a .png file") as caught:
        decode(buffer.getvalue())
    assert caught.value.detail.split()[0].lower() == kind.lower().replace("jpeg2000", "jpeg")


def test_dicom_is_named():
    with pytest.raises(RejectedFileError, match="wrong_format: DICOM data"):
        decode(bytes(128) + b"DICM" + bytes(100))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"plain text", "starts with b'plain te'"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"PK\x03\x04rest", "a zip archive"),
        (b"<!DOCTYPE html>", "a web page"),
    ],
)
def test_other_bytes_are_no_image_and_said_to_be_what_they_are(data, words):
    with pytest.raises(RejectedFileError) as caught:
        decode(data)
    assert caught.value.code == "not_an_image"
    assert words in caught.value.detail


def test_a_signature_that_a_text_transfer_changed_is_named(encode_png):
    data = encode_png(GREY).replace(b"\r\n", b"\n", 1)
    assert reject_code(data) == "not_an_image"  # one byte shorter: nothing stands in its place
    data = encode_png(GREY).replace(b"\r\n\x1a\n", b"\n\n\x1a\n", 1)
    with pytest.raises(RejectedFileError, match="undecodable: a PNG whose signature was changed"):
        decode(data)


def test_every_truncation_is_refused_as_one(encode_png):
    data = encode_png(GREY)
    for length in range(8, len(data)):
        assert reject_code(data[:length]) == "truncated", length


def test_every_flipped_bit_is_refused_by_its_checksum_or_what_it_breaks(encode_png):
    data = encode_png(GREY)
    for offset in range(8, len(data)):
        damaged = bytearray(data)
        damaged[offset] ^= 1
        code = reject_code(bytes(damaged))
        assert code in ("bad_checksum", "undecodable", "truncated"), offset
        if data.index(b"IDAT") <= offset < data.index(b"IEND") - 4:
            assert code in ("bad_checksum", "undecodable"), offset


def test_an_index_beyond_the_palette_is_refused(encode_png):
    lines = b"".join(b"\0" + bytes([0, 1, 2, 1, 0, 1, 2, 3]) for _ in range(8))
    plain = pack_png(8, 8, 8, 3, lines)
    with pytest.raises(RejectedFileError, match="palette index 3 of a palette of 3 colours"):
        decode(plain[:33] + chunk(b"PLTE", bytes(9)) + plain[33:])
    assert decode(plain[:33] + chunk(b"PLTE", bytes(12)) + plain[33:]).grey.max() == 0


def test_a_truncated_jpeg_is_refused():
    data = encode_jpeg(GREY)
    for end in (b"", b"\xff\xd9"):
        assert reject_code(data[: len(data) * 3 // 4] + end, suffix=".jpg") in (
            "truncated", "undecodable",
        )  # fmt: skip


def test_a_jpeg_of_two_pictures_is_named():
    buffer = io.BytesIO()
    others = [Image.fromarray(255 - GREY)]
    Image.fromarray(GREY).save(buffer, "MPO", save_all=True, append_images=others)
    assert reject_code(buffer.getvalue(), suffix=".jpg") == "several_pictures"


def test_a_jpeg_of_12_bits_and_one_of_another_process_are_named():
    data = bytearray(encode_jpeg(GREY))
    at = data.index(b"\xff\xc0")
    data[at + 4] = 12
    assert reject_code(bytes(data), suffix=".jpg") == "bit_depth"
    data[at + 1], data[at + 4] = 0xC9, 8
    assert reject_code(bytes(data), suffix=".jpg") == "jpeg_process"


def test_a_jpeg_of_more_scans_than_any_encoder_writes_is_refused():
    data = encode_jpeg(GREY, progressive=True)
    last = data.rindex(b"\xff\xda")
    many = data[:-2] + data[last:-2] * 500 + b"\xff\xd9"
    assert reject_code(many, suffix=".jpg") == "too_many_scans"


@pytest.mark.parametrize("side", [10_000, 30_000])
def test_a_decompression_bomb_is_refused_from_its_header(side):
    data = pack_png(side, side, 8, 0, b"\0" * 100)
    assert reject_code(data, max_image_px=8192 * 8192) == "too_many_pixels"


def test_the_pixel_limit_is_the_largest_size_accepted(encode_png):
    assert decode(encode_png(GREY), max_image_px=240).grey.size == 240
    assert reject_code(encode_png(GREY), max_image_px=239) == "too_many_pixels"


def test_a_side_of_eight_pixels_is_the_smallest_accepted(encode_png):
    assert decode(encode_png(GREY[:8, :8])).grey.shape == (8, 8)
    assert reject_code(encode_png(GREY[:8, :7])) == "too_small"
    assert reject_code(encode_png(GREY[:7, :8])) == "too_small"


def test_a_full_memory_is_no_property_of_the_file(encode_png, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(images.png, "decode_samples", fail)
    with pytest.raises(MemoryError):
        decode(encode_png(GREY))


def test_an_empty_a_missing_and_an_endless_file_are_refused(tmp_path):
    with pytest.raises(RejectedFileError, match="empty: 0 bytes"):
        decode(b"")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(RejectedFileError, match="unreadable: not a regular file"):
        read_bytes(tmp_path / "pipe.png")
    with pytest.raises(RejectedFileError, match="unreadable: No such file"):
        read_bytes(tmp_path / "absent.png")
    with pytest.raises(RejectedFileError, match="unreadable: not a regular file"):
        read_bytes(tmp_path)


def test_every_reject_code_is_declared_and_used(repository):
    texts = set()
    for path in sorted((repository / "ingest").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                constants = (arg.value for arg in node.args if isinstance(arg, ast.Constant))
                texts |= {text for text in constants if isinstance(text, str)}
                if getattr(node.func, "id", None) == "RejectedFileError":
                    code = node.args[0]
                    assert isinstance(code, ast.Name) or code.value in REJECT_CODES
    assert set(REJECT_CODES) <= texts


@pytest.mark.shared_data
def test_nih_originals_with_alpha_decode_to_the_grey_of_their_copies(shared_data):
    original = next((shared_data / "nih" / "raw_rgba").glob("*.png"))
    copy = shared_data / "nih" / "reference" / original.name
    rgba, grey = (decode(path.read_bytes(), max_image_px=1 << 26) for path in (original, copy))
    assert rgba.facts.colour_mode == "RGBA"
    assert rgba.facts.pixel_sha256 == grey.facts.pixel_sha256
