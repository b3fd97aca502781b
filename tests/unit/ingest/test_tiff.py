"""TIFF: every pixel as three libraries give it, and nothing of a file that is not whole."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from upscale_audit.ingest import tiff
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import REJECT_CODES, decode_image
from upscale_audit.ingest.memory import peek_size

GREY = np.random.default_rng(5).integers(0, 256, (37, 51), np.uint8) // 3
SMOOTH = cv2.GaussianBlur(GREY, (0, 0), 3)
COLOUR = np.random.default_rng(6).integers(0, 256, (37, 51, 3), np.uint8)


METHODS = ("raw", "tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate")


def write(array, writer=tifffile.imwrite, **options):
    buffer = io.BytesIO()
    writer(buffer, array, **options)
    return buffer.getvalue()


def by_pillow(array, **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, "TIFF", **options)
    return buffer.getvalue()


def decode(data, suffix=".tif", colour="reduce"):
    return decode_image(data, suffix, 1 << 24, colour)


def reject_code(data):
    with pytest.raises(RejectedFileError) as caught:
        decode(data)
    assert caught.value.code in REJECT_CODES
    assert caught.value.detail
    return caught.value.code


def pack(pixels, **tags):
    """Write a TIFF of 16x8 px by hand; `tags` are SHORTs by their numbers, as ``t258``."""
    values = {256: [16], 257: [8], 258: [8], 259: [1], 262: [1], 273: [8], 279: [len(pixels)]}
    values |= {int(name[1:]): value for name, value in tags.items()}
    body, late = b"", b"II*\0" + struct.pack("<I", 8 + len(pixels)) + pixels
    end = len(late) + 2 + 12 * len(values) + 4
    more = b""
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"<{len(numbers)}H", *numbers)
        if len(packed) > 4:
            packed, more = struct.pack("<I", end + len(more)), more + packed
        body += struct.pack("<HHI", tag, 3, len(numbers)) + packed.ljust(4, b"\0")
    return late + struct.pack("<H", len(values)) + body + bytes(4) + more


def replace_tag(data, tag, value):
    """Give a classic little-endian TIFF's entry another value of its own type."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        found, kind, _ = struct.unpack_from("<HHI", data, place)
        if found == tag:
            packed = struct.pack({3: "<H", 4: "<I"}[kind], value).ljust(4, b"\0")
            return data[: place + 8] + packed + data[place + 12 :]
    raise LookupError(tag)


@pytest.mark.parametrize("array", [GREY, SMOOTH, COLOUR], ids=["noise", "smooth", "colour"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("more", [{}, {"tiffinfo": {278: 5}}, {"tiffinfo": {317: 2}}],
                         ids=["one strip", "strips", "predictor"])  # fmt: skip
def test_what_libtiff_writes_is_read_to_the_pixel(array, method, more):
    if more.get("tiffinfo") == {317: 2} and method in ("raw", "packbits"):
        more = {}
    data = by_pillow(array, compression=method, **more)
    image = decode(data)
    found = image.grey if image.rgb is None else image.rgb
    np.testing.assert_array_equal(found, array)
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(data))))
    assert image.facts.colour_mode == ("L" if array.ndim == 2 else "RGB")


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "options",
    [
        {"tile": (16, 32)},
        {"tile": (16, 16), "compression": "deflate", "predictor": True},
        {"rowsperstrip": 7, "compression": "deflate"},
        {"planarconfig": "separate", "rowsperstrip": 4},
    ],
    ids=["tiles", "packed tiles", "packed strips", "planes"],
)
def test_what_tifffile_writes_is_read_to_the_pixel(order, options):
    data = write(COLOUR if "planarconfig" not in options else COLOUR.transpose(2, 0, 1),
                 photometric="rgb", byteorder=order, **options)  # fmt: skip
    image = decode(data)
    np.testing.assert_array_equal(image.rgb, COLOUR)
    assert image.facts.grey_rule == "rec601"
    options = {key: value for key, value in options.items() if key != "planarconfig"}
    grey = write(GREY, photometric="minisblack", byteorder=order, **options)
    np.testing.assert_array_equal(decode(grey).grey, GREY)


def test_white_may_be_zero():
    data = write(GREY, photometric="miniswhite")
    np.testing.assert_array_equal(decode(data).grey, 255 - GREY)
    np.testing.assert_array_equal(
        decode(data).grey, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    )


def test_a_palette_is_looked_up():
    image = Image.fromarray(COLOUR).quantize(200)
    data = by_pillow(image, compression="tiff_lzw")
    np.testing.assert_array_equal(decode(data).rgb, np.asarray(image.convert("RGB")))
    assert decode(data).facts.colour_mode == "P"


def test_alpha_goes_on_white_and_one_that_is_multiplied_in_too():
    alpha = np.random.default_rng(7).integers(0, 256, GREY.shape, np.uint8)
    straight = write(np.dstack([COLOUR, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    weight = alpha[..., None] / 255
    wanted = np.rint(COLOUR * weight + 255 * (1 - weight))
    found = decode(straight)
    np.testing.assert_array_equal(found.rgb, wanted)
    assert found.facts.transparent_px == (alpha < 255).sum()
    multiplied = np.rint(COLOUR * weight).astype(np.uint8)
    data = write(np.dstack([multiplied, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    np.testing.assert_array_equal(decode(data).rgb, multiplied + 255 - alpha[..., None])
    beyond = write(np.dstack([GREY | 128, GREY // 4]), photometric="minisblack",
                   extrasamples=["assocalpha"])  # fmt: skip
    assert reject_code(beyond) == "undecodable"


def test_orientation_is_undone_and_a_profile_is_recorded():
    profile = b"\0" * 128 + b"a profile"
    data = by_pillow(GREY, tiffinfo={274: 6}, icc_profile=profile)
    image = decode(data)
    np.testing.assert_array_equal(image.grey, np.rot90(GREY, -1))
    assert image.facts.orientation == 6
    assert image.facts.icc_sha256 is not None


@pytest.mark.parametrize(
    ("array", "options", "code", "words"),
    [
        (GREY.astype(np.float32), {}, "sample_format", "floating-point samples of 32 bits"),
        (GREY.astype(np.int16), {}, "sample_format", "signed samples"),
        (GREY.astype(np.uint32), {}, "bit_depth", "32 bits"),
        (np.stack([GREY, GREY]), {"photometric": "minisblack"}, "several_pictures", "several"),
        (np.dstack([COLOUR, GREY]), {"photometric": "separated"}, "colour_mode", "CMYK"),
        (np.dstack([COLOUR, GREY]), {"photometric": "rgb", "extrasamples": ["unspecified"]},
         "colour_mode", "4 channels"),
        (GREY, {"bigtiff": True}, "wrong_format", "BigTIFF"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_by_name(array, options, code, words):
    with pytest.raises(RejectedFileError, match=words) as caught:
        decode(write(array, **options))
    assert caught.value.code == code


def test_files_by_hand_are_read_or_refused_for_what_they_are():
    grey = np.arange(128, dtype=np.uint8).reshape(8, 16)
    np.testing.assert_array_equal(decode(pack(grey.tobytes())).grey, grey)
    assert reject_code(pack(grey.tobytes(), t266=[2])) == "compression"
    assert reject_code(pack(bytes(16), t258=[1])) == "bit_depth"
    assert reject_code(pack(bytes(16), t258=[1], t262=[3], t320=[0, 9, 0, 9, 0, 9])) == "bit_depth"
    assert reject_code(pack(grey.tobytes(), t262=[3], t320=[0] * 6)) == "undecodable"
    assert reject_code(pack(grey.tobytes(), t273=[8, 9])) == "undecodable"
    assert reject_code(pack(grey.tobytes(), t259=[65000])) == "compression"
    assert reject_code(pack(grey.tobytes(), t317=[3])) == "undecodable"


@pytest.mark.parametrize(
    ("method", "name"), [("jpeg", "JPEG"), ("group4", "bits"), ("zstd", "Zstandard")]
)
def test_a_compression_that_is_not_read_is_refused_by_name(method, name):
    image = Image.fromarray(GREY).convert("1") if method == "group4" else GREY
    with pytest.raises(RejectedFileError, match=name) as caught:
        decode(by_pillow(image, compression=method))
    assert caught.value.code in ("compression", "bit_depth")


@pytest.mark.parametrize("method", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_file_cut_anywhere_is_refused(method):
    data = by_pillow(SMOOTH, compression=method, tiffinfo={278: 5})
    for end in range(4, len(data), 7):
        assert reject_code(data[:end]) in ("truncated", "undecodable", "bad_checksum"), end


@pytest.mark.parametrize("method", ["raw", "tiff_lzw", "tiff_deflate", "packbits"])
def test_a_strip_that_ends_early_is_refused_though_the_file_is_whole(method):
    data = by_pillow(SMOOTH, compression=method)
    (at,) = struct.unpack_from("<I", data, 4)
    strip = next(
        struct.unpack_from("<I", data, place + 8)[0]
        for place in range(at + 2, len(data) - 11, 12)
        if struct.unpack_from("<H", data, place)[0] == 279
    )
    for lost in (1, 2, strip // 3, strip // 2):
        shorter = replace_tag(data, 279, strip - lost)
        if method == "tiff_lzw" and lost == 1:  # the end mark, which nothing waits for
            continue
        assert reject_code(shorter) in ("truncated", "undecodable"), lost


def test_pixels_beyond_the_promise_and_missing_strips_are_refused():
    data = by_pillow(SMOOTH, compression="tiff_deflate")
    assert reject_code(replace_tag(data, 257, 36)) == "undecodable"
    strips = by_pillow(SMOOTH, compression="raw", tiffinfo={278: 5})
    assert reject_code(replace_tag(strips, 278, 4)) == "undecodable"
    assert reject_code(replace_tag(strips, 257, 400)) == "undecodable"


def test_a_byte_changed_in_deflate_is_a_bad_checksum():
    data = bytearray(write(SMOOTH, compression="deflate", rowsperstrip=37))
    packed = zlib.compress(SMOOTH.tobytes())
    at = bytes(data).find(packed[:2])
    end = len(data) - 1 if data[-1] else len(data) - 2
    codes = set()
    for place in range(at + 12, end, 29):
        changed = bytearray(data)
        changed[place] ^= 1
        try:
            decode(bytes(changed))
        except RejectedFileError as error:
            codes.add(error.code)
    assert "bad_checksum" in codes
    assert codes <= {"bad_checksum", "undecodable", "truncated"}


def test_no_mutant_is_read_to_other_pixels_than_libtiff_gives():
    generator = np.random.default_rng(11)
    seeds = [by_pillow(SMOOTH, compression=name, tiffinfo={278: 9})
             for name in ("raw", "tiff_lzw", "packbits", "tiff_deflate")]  # fmt: skip
    outcomes = {"read": 0, "refused": 0}
    for seed in seeds:
        for _ in range(150):
            data = bytearray(seed)
            for place in generator.integers(0, len(data), 2):
                data[place] = generator.integers(256)
            try:
                image = decode(bytes(data))
            except RejectedFileError:
                outcomes["refused"] += 1
                continue
            outcomes["read"] += 1
            if image.facts.grey_rule == "none" and image.facts.bit_depth == 8:
                pixels = np.asarray(Image.open(io.BytesIO(bytes(data))))
                tag = Image.open(io.BytesIO(bytes(data))).tag_v2
                if tag.get(274, 1) == 1 and tag[262] == 1:
                    np.testing.assert_array_equal(image.grey, pixels)
    assert min(outcomes.values()) > 50


def test_strips_may_not_share_their_bytes():
    strips = by_pillow(SMOOTH, compression="raw", tiffinfo={278: 1})
    (at,) = struct.unpack_from("<I", strips, 4)
    (count,) = struct.unpack_from("<H", strips, at)
    data = bytearray(strips)
    for place in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, number, where = struct.unpack_from("<HHII", strips, place)
        if tag == 279:
            size = {3: "<H", 4: "<I"}[kind]
            for index in range(number):
                struct.pack_into(size, data, where + index * struct.calcsize(size), len(data) // 2)
        if tag == 273:
            for index in range(number):
                struct.pack_into("<I", data, where + 4 * index, 8)
    assert reject_code(bytes(data)) == "truncated"


def test_a_tile_far_larger_than_its_picture_is_refused_before_it_is_unpacked():
    data = write(GREY, tile=(16, 16), compression="deflate")
    for tag in (322, 323):
        data = replace_tag(data, tag, 65_520)
    with pytest.raises(RejectedFileError, match="tiles of 65520x65520"):
        decode(data)


@pytest.mark.parametrize("array", [GREY, COLOUR])
def test_the_size_is_found_without_the_pixels(tmp_path, array):
    path = tmp_path / "a.tif"
    for data in (by_pillow(array), by_pillow(array, compression="tiff_lzw"), write(array)):
        path.write_bytes(data)
        assert peek_size(path) == (GREY.size, array.ndim == 3)
    path.write_bytes(b"II*\0")
    assert peek_size(path) == (0, False)


def test_lzw_of_a_long_run_grows_its_codes_as_libtiff_does():
    long = np.zeros((64, 4096), np.uint8)
    long[::3, ::5] = 9
    data = by_pillow(long, compression="tiff_lzw", tiffinfo={278: 64})
    np.testing.assert_array_equal(decode(data).grey, long)


def test_the_one_lzw_of_before_is_named():
    data = by_pillow(SMOOTH, compression="tiff_lzw")
    header = tiff.read_header(data)
    changed = bytearray(data)
    changed[header.offsets[0] : header.offsets[0] + 2] = b"\0\1"
    assert reject_code(bytes(changed)) == "compression"
