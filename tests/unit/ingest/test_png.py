"""Decoding PNG: every kind against Pillow, and nothing half read."""

import functools
import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from upscale_audit.ingest import png
from upscale_audit.ingest.errors import RejectedFileError

GREY = np.random.default_rng(3).integers(0, 256, (13, 21), np.uint8)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def pack(shape, depth, colour_type, stream, *, before=(), interlaced=0, more=b""):
    """A PNG of a raw pixel stream, its lines as they are filtered."""
    header = struct.pack(">IIBBBBB", shape[1], shape[0], depth, colour_type, 0, 0, interlaced)
    body = [chunk(b"IHDR", header), *(chunk(*item) for item in before)]
    body += [chunk(b"IDAT", zlib.compress(stream) + more), chunk(b"IEND", b"")]
    return png.SIGNATURE + b"".join(body)


def read(data):
    return png.decode_samples(png.read_header(data))


def refuse(data):
    with pytest.raises(RejectedFileError) as caught:
        read(data)
    return caught.value.code, caught.value.detail


def grey_lines(pixels=GREY):
    return b"".join(b"\0" + line.tobytes() for line in pixels)


def filter_lines(lines, kinds, pixel_bytes):
    """Filter lines as the specification writes it: naively, byte by byte."""
    out, above = [], [0] * len(lines[0])
    for line, kind in zip(lines, kinds, strict=False):
        row = [kind]
        for at, value in enumerate(line):
            left = line[at - pixel_bytes] if at >= pixel_bytes else 0
            corner = above[at - pixel_bytes] if at >= pixel_bytes else 0
            over = above[at]
            near = left + over - corner
            paeth = min((left, over, corner), key=lambda value: abs(near - value))
            guess = (0, left, over, (left + over) // 2, paeth)[kind]
            row.append((value - guess) % 256)
        out.append(bytes(row))
        above = line
    return b"".join(out)


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kinds=st.lists(st.integers(0, 4), min_size=9, max_size=9),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_filter_is_undone(colour_type, channels, shape, kinds, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, channels), np.uint8)
    lines = [list(line.tobytes()) for line in pixels]
    data = pack(shape, 8, colour_type, filter_lines(lines, kinds, channels))
    np.testing.assert_array_equal(read(data), pixels if channels > 1 else pixels[..., 0])


@pytest.mark.parametrize("shape", [(32, 257), (33, 225), (65, 226), (3, 600), (100, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_undone_across_strips_of_rows_and_runs_of_steps(shape, channels):
    generator = np.random.default_rng(shape)
    pixels = generator.integers(0, 256, (*shape, channels), np.uint8)
    lines = [list(line.tobytes()) for line in pixels]
    stream = filter_lines(lines, generator.integers(0, 5, shape[0]).tolist(), channels)
    found = read(pack(shape, 8, {1: 0, 3: 2}[channels], stream))
    np.testing.assert_array_equal(found, pixels if channels > 1 else pixels[..., 0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P"])
def test_samples_of_every_mode_are_those_of_pillow(mode):
    source = Image.fromarray(GREY).convert("RGB").convert(mode)
    buffer = io.BytesIO()
    source.save(buffer, "PNG")
    header = png.read_header(buffer.getvalue())
    assert header.mode == mode
    np.testing.assert_array_equal(png.decode_samples(header), np.asarray(source).astype(np.uint8))


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("width", [1, 3, 8, 9])
def test_samples_of_fewer_bits_are_unpacked(depth, width):
    samples = np.random.default_rng(depth).integers(0, 1 << depth, (5, width), np.uint8)
    bits = np.unpackbits(samples[..., None], axis=-1)[..., 8 - depth :].reshape(5, -1)
    lines = b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)
    np.testing.assert_array_equal(read(pack((5, width), depth, 0, lines)), samples)


@pytest.mark.parametrize("shape", [*itertools.product((1, 2, 3, 8, 9), (1, 4, 5, 11)), (13, 21)])
def test_an_interlaced_image_is_put_together(shape):
    pixels = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    data = pack(shape, 8, 0, weave(pixels), interlaced=1)
    np.testing.assert_array_equal(read(data), pixels)
    with Image.open(io.BytesIO(data)) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


def weave(pixels):
    """Lines of the seven Adam7 passes, unfiltered, pixel by pixel."""
    table = (
        "16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656",
        "77777777",
    )  # fmt: skip
    stream = b""
    for number in "1234567":
        for row in range(pixels.shape[0]):
            cols = [c for c in range(pixels.shape[1]) if table[row % 8][c % 8] == number]
            if cols:
                stream += b"\0" + pixels[row, cols].tobytes()
    return stream


@pytest.mark.parametrize("size", [0, 1, 21, 22, 23, 13 * 22 - 1])
def test_a_stream_that_ends_early_is_truncated_though_every_checksum_is_right(size):
    code, detail = refuse(pack(GREY.shape, 8, 0, grey_lines()[:size]))
    assert (code, detail) == (
        "truncated", f"pixel data of {size} bytes where {13 * 22} are promised",
    )  # fmt: skip


def test_an_interlaced_stream_without_its_last_pass_is_truncated():
    stream = weave(GREY)
    for size in range(len(stream)):
        data = pack(GREY.shape, 8, 0, stream[:size], interlaced=1)
        assert refuse(data)[0] == "truncated", size


def test_a_stream_that_holds_more_than_the_header_promises_is_refused():
    code, detail = refuse(pack(GREY.shape, 8, 0, grey_lines() + b"\0"))
    assert code == "undecodable"
    assert "more than the 286 bytes" in detail


def test_bytes_behind_the_end_of_the_stream_are_passed_over_as_libpng_does():
    np.testing.assert_array_equal(read(pack(GREY.shape, 8, 0, grey_lines(), more=b"x" * 9)), GREY)


def test_a_bad_checksum_is_named():
    data = bytearray(pack(GREY.shape, 8, 0, grey_lines(), before=[(b"tEXt", b"k\0v")]))
    data[data.index(b"k\0v")] ^= 1
    assert refuse(bytes(data)) == ("bad_checksum", "CRC of chunk tEXt")
    packed = bytearray(zlib.compress(grey_lines()))
    packed[-1] ^= 1
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 21, 13, 8, 0, 0, 0, 0))
    data = png.SIGNATURE + header + chunk(b"IDAT", bytes(packed)) + chunk(b"IEND", b"")
    assert refuse(data)[0] == "bad_checksum"


IHDR = struct.pack(">IIBBBBB", 21, 13, 8, 0, 0, 0, 0)
IDAT = (b"IDAT", zlib.compress(grey_lines()))
END = (b"IEND", b"")
PALETTE_IHDR = IHDR[:9] + b"\3" + IHDR[10:]
RGB_IHDR = IHDR[:9] + b"\2" + IHDR[10:]


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([(b"IHDR", IHDR), (b"IHDR", IHDR), IDAT, END], "two IHDR"),
        ([(b"tEXt", b"k\0v"), (b"IHDR", IHDR), IDAT, END], "not IHDR"),
        ([(b"IHDR", PALETTE_IHDR), IDAT, END], "without PLTE"),
        ([(b"IHDR", PALETTE_IHDR), (b"PLTE", b"12"), IDAT, END], "PLTE chunk of 2 bytes"),
        ([(b"IHDR", PALETTE_IHDR), (b"PLTE", b""), IDAT, END], "PLTE chunk of 0 bytes"),
        ([(b"IHDR", PALETTE_IHDR), (b"PLTE", bytes(771)), IDAT, END], "PLTE chunk of 771 bytes"),
        ([(b"IHDR", PALETTE_IHDR), IDAT, (b"PLTE", b"123"), END], "PLTE after the pixels"),
        ([(b"IHDR", PALETTE_IHDR), *[(b"PLTE", b"123")] * 2, IDAT, END], "two PLTE"),
        ([(b"IHDR", IHDR), (b"PLTE", b"123"), IDAT, END], "PLTE chunk in a grey image"),
        ([(b"IHDR", IHDR), (b"tRNS", b"1"), IDAT, END], "tRNS chunk of 1 bytes"),
        (
            [(b"IHDR", PALETTE_IHDR), (b"tRNS", b"1"), (b"PLTE", b"123"), IDAT, END],
            "before the palette",
        ),
        (
            [(b"IHDR", PALETTE_IHDR), (b"PLTE", b"123"), (b"tRNS", b"12"), IDAT, END],
            "tRNS chunk of 2 bytes",
        ),
        ([(b"IHDR", RGB_IHDR), (b"tRNS", b"123"), IDAT, END], "tRNS chunk of 3 bytes"),
        ([(b"IHDR", IHDR), IDAT, (b"tRNS", b"12"), END], "tRNS after the pixels"),
        ([(b"IHDR", IHDR), (b"gAMA", bytes(4)), IDAT, END], "gAMA chunk without a value"),
        ([(b"IHDR", IHDR), IDAT, (b"tEXt", b"k\0v"), IDAT, END], "another chunk between"),
        ([(b"IHDR", IHDR), END], "no IDAT"),
        ([(b"IHDR", IHDR), IDAT, (b"IEND", b"x")], "IEND chunk that holds data"),
        ([(b"IHDR", IHDR), (b"CgBI", b"1234"), IDAT, END], "unknown critical chunk CgBI"),
        ([(b"IHDR", IHDR), (b"1234", b""), IDAT, END], "no name of a chunk"),
        ([(b"IHDR", IHDR[:8] + b"\3" + IHDR[9:]), IDAT, END], "colour type 0 in 3 bits"),
        ([(b"IHDR", IHDR[:9] + b"\5" + IHDR[10:]), IDAT, END], "colour type 5"),
        ([(b"IHDR", IHDR[:12] + b"\2"), IDAT, END], "methods 0, 0, 2"),
        ([(b"IHDR", bytes(4) + IHDR[4:]), IDAT, END], "0x13 px"),
        ([(b"IHDR", IHDR + b"x"), IDAT, END], "not IHDR"),
    ],
)
def test_chunks_that_contradict_each_other_are_refused_and_named(chunks, words):
    code, detail = refuse(png.SIGNATURE + b"".join(chunk(*item) for item in chunks))
    assert code == "undecodable"
    assert words in detail


def test_a_file_without_its_end_is_truncated():
    data = pack(GREY.shape, 8, 0, grey_lines())
    for length in range(8, len(data)):
        assert refuse(data[:length])[0] == "truncated", length
    np.testing.assert_array_equal(read(data + b"trailing"), GREY)


def test_a_line_of_an_unknown_filter_is_refused():
    stream = bytearray(grey_lines())
    stream[3 * 22] = 5
    assert refuse(pack(GREY.shape, 8, 0, bytes(stream))) == (
        "undecodable", "row 3 names a filter that does not exist",
    )  # fmt: skip


def test_a_stream_that_is_none_is_refused():
    header = chunk(b"IHDR", IHDR)
    for stream in (b"no zlib stream", zlib.compress(grey_lines())[:-4]):
        data = png.SIGNATURE + header + chunk(b"IDAT", stream) + chunk(b"IEND", b"")
        assert refuse(data)[0] in ("undecodable", "truncated")


def test_no_more_is_unpacked_than_the_header_promises(monkeypatch):
    asked = []

    class Watched:
        def __init__(self, unpacker):
            self.inner = unpacker()

        def decompress(self, data, most):
            asked.append(most)
            return self.inner.decompress(data, most)

        def __getattr__(self, name):
            return getattr(self.inner, name)

    for library in (png.zlib, png.isal_zlib):
        unpacker = library.decompressobj
        monkeypatch.setattr(library, "decompressobj", functools.partial(Watched, unpacker))
    bomb = pack(GREY.shape, 8, 0, bytes(10_000_000))
    assert "more than" in refuse(bomb)[1]
    assert asked == [13 * 22, 1] * 2  # once more to name the fault


def test_every_byte_that_is_changed_has_zlibs_word(monkeypatch):
    packed = zlib.compress(grey_lines())
    for place in range(len(packed)):
        damaged = bytearray(packed)
        damaged[place] ^= 1 << place % 8
        header = png.Header(21, 13, 8, 0, False, {}, 1, (memoryview(bytes(damaged)),))
        with monkeypatch.context() as patch:
            patch.setattr(png, "isal_zlib", zlib)
            by_zlib = _outcome(header)
        assert _outcome(header) == by_zlib, place


def _outcome(header):
    try:
        return png.decode_samples(header).tobytes()
    except RejectedFileError as error:
        return error.code, error.detail


def test_what_only_zlib_inflates_is_read(monkeypatch):
    class Refusing:
        def decompress(self, *_):
            raise png.isal_zlib.error("none of it")

    monkeypatch.setattr(png.isal_zlib, "decompressobj", Refusing)
    np.testing.assert_array_equal(read(pack(GREY.shape, 8, 0, grey_lines())), GREY)


def test_a_profile_is_unpacked_and_a_damaged_one_is_given_as_stored():
    for body, expected in (
        (b"name\0\0" + zlib.compress(b"profile"), b"profile"),
        (b"name\0\0not packed", b"name\0\0not packed"),
        (
            b"name\0\0" + zlib.compress(b"profile")[:-3],
            b"name\0\0" + zlib.compress(b"profile")[:-3],
        ),
    ):
        header = png.read_header(pack(GREY.shape, 8, 0, grey_lines(), before=[(b"iCCP", body)]))
        assert png.read_profile(header) == expected
    assert png.read_profile(png.read_header(pack(GREY.shape, 8, 0, grey_lines()))) is None


def test_a_profile_that_unpacks_to_more_than_any_is_not_unpacked():
    body = b"name\0\0" + zlib.compress(bytes(png.MAX_PROFILE_BYTES + 1))
    header = png.read_header(pack(GREY.shape, 8, 0, grey_lines(), before=[(b"iCCP", body)]))
    assert png.read_profile(header) == body


@pytest.mark.parametrize(
    ("before", "frames"),
    [
        ([], 1),
        ([(b"acTL", struct.pack(">II", 1, 0)), (b"fcTL", bytes(26))], 1),
        ([(b"acTL", struct.pack(">II", 1, 0))], 2),
        ([(b"acTL", struct.pack(">II", 3, 0)), (b"fcTL", bytes(26))], 3),
        ([(b"acTL", b"short")], 1),
    ],
)
def test_pictures_of_an_animation_are_counted(before, frames):
    data = pack(GREY.shape, 8, 0, grey_lines(), before=before)
    assert png.read_header(data).frames == frames
