"""More kinds of hostile files: pixel streams that end early, alpha, bombs of lines, claims."""

import gzip
import io
import random
import shutil
import zipfile
from collections import Counter

import numpy as np
from PIL import Image

from tests.faults.common import Fresh, attempt, expect
from tests.faults.corpora import (
    change_header,
    change_scan,
    change_stream,
    cut,
    cut_and_end,
    judge,
)
from tests.faults.hostile import (
    BOXES,
    ENTRIES,
    SHAPE,
    encode,
    ingest_hostile_images,
    merge,
    mutate,
    split,
)
from upscale_audit.ingest.boxes import read_boxes
from upscale_audit.ingest.labels import read_entries
from upscale_audit.restore.codec.streams import read_stream
from upscale_audit.warehouse.proof.hash_lists import hash_archive, read_list

STREAM_KINDS = {
    "PNG, pixel stream cut, checksums right": lambda g: change_stream(encode("PNG", g), g, cut),
    "PNG, pixel stream changed, checksums right": lambda g: change_stream(
        encode("PNG", g), g, mutate
    ),
    "PNG, header changed, CRC right": lambda g: change_header(encode("PNG", g), g),
    "JPEG as .jpg, cut, an end marker added": lambda g: cut_and_end(encode("JPEG", g), g),
    "JPEG as .jpg, bytes of a scan changed": lambda g: change_scan(encode("JPEG", g), g),
}
NEVER_READ = ("PNG, pixel stream cut, checksums right", "JPEG as .jpg, cut, an end marker added")
"""A file that ends early is not measured, however whole it looks."""


def ingest_cut_streams(folder, cases, generator, workers=1, fresh=None):
    """Ingest images whose pixel data end early or were changed under right checksums."""
    outcomes = ingest_hostile_images(folder, cases, generator, workers, STREAM_KINDS, fresh)
    for kind in NEVER_READ:
        expect("accepted" not in outcomes[kind], f"{kind}: a cut image was measured")
    return outcomes


ALPHA = ("LA", "RGBA", "grey with a key", "RGB with a key", "palette")


def compose_alpha(generator):
    """A PNG with transparency of any kind, and the kind."""
    drawn = np.random.default_rng(generator.getrandbits(32))
    kind = generator.choice(ALPHA)
    bands = {"LA": 2, "RGBA": 4, "RGB with a key": 3}.get(kind, 1)
    pixels = drawn.integers(0, 256, (*SHAPE, bands), np.uint8)
    if bands in (2, 4) and generator.random() < 0.5:
        pixels[..., -1] = generator.choice((0, 1, 128, 254, 255))
    options = {}
    if kind == "palette":
        image = Image.fromarray(pixels[..., 0] % 16).convert("P")
        image.putpalette(drawn.integers(0, 256, 48, np.uint8).tobytes())
        options["transparency"] = drawn.integers(0, 256, 16, np.uint8).tobytes()
    else:
        image = Image.fromarray(pixels[..., 0] if bands == 1 else pixels)
    if kind.endswith("key"):
        key = pixels[0, 0].tolist()
        options["transparency"] = key[0] if bands == 1 else tuple(key)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return kind, buffer.getvalue()


def decode_alpha(cases, generator):
    """Decode transparent images here and by strict decoders: the same pixels on white."""
    outcomes = {}
    for _ in range(cases):
        kind, data = compose_alpha(generator)
        outcome, unexplained = judge(data)
        expect(unexplained is None, f"{kind}: {unexplained}")
        outcomes.setdefault(f"PNG with alpha: {kind}", Counter())[outcome] += 1
    return outcomes


LINES = (b"\n", b"a\n", b",\n", b"a,b\n", b"\r\n", b'""\n')


def read_packed_lines(folder, cases, generator):
    """Read label files of gzip that unpack to 250 MB of short lines: refused within bounds."""
    path, outcomes = folder / "lines.csv.gz", Counter()
    for number in range(cases):
        head, read = ((ENTRIES, read_entries), (BOXES, read_boxes))[number % 2]
        line = LINES[number % len(LINES)]
        start = head.encode() if generator.random() < 0.5 else b""
        path.write_bytes(gzip.compress(start + line * (250_000_000 // len(line)), 1))
        outcomes[attempt(read, path)] += 1
    path.unlink(missing_ok=True)
    expect(not outcomes["accepted"], "a gzip bomb of lines was read")
    return {"label CSV.gz of 250 MB of short lines": outcomes}


class _Nameless(zipfile.ZipInfo):
    """A member whose name may be empty; zipfile asks for its last letter."""

    def is_dir(self):
        return False


def compose_archive(generator):
    """A zip whose members have names that are none, or none to be unpacked."""
    names = ["", "/", ".", "..", "a/", "a//b", "\\", "x" * 60_000, "../" * 40 + "x", "SHA256SUMS"]
    names += [
        "".join(generator.choices("\0\n/.\\:*~\u202eé", k=generator.randint(1, 9))) for _ in "abc"
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in generator.sample(sorted(set(names)), generator.randint(1, 4)):
            info = _Nameless("x")
            info.filename = name
            archive.writestr(info, f"{'0' * 64}  1.png\n")
    return buffer.getvalue()


def compose_long_list(number):
    """A hash list of too many entries, of lines without end, or of a line without end."""
    if number % 3 == 0:
        return b"".join(b"%064x  %d\n" % (n, n) for n in range(1_000_001))
    return b"\n" * 270_000_000 if number % 3 == 1 else b"a" * 2_000_000


def read_hostile_archives(folder, cases, generator):
    """Read archives of members without names, and lists of more than is read."""
    path = folder / "hostile.zip"
    outcomes, fresh = {"zip with members of no name or a hostile one": Counter()}, Fresh()
    for _ in range(cases):
        path.write_bytes(fresh.draw(compose_archive, generator))
        for read in (read_list, hash_archive):
            said = attempt(read, path)
        outcomes["zip with members of no name or a hostile one"][said] += 1
    large = Counter()
    for number in range(3):
        path.write_bytes(compose_long_list(number))
        large[attempt(read_list, path)] += 1
    path.unlink()
    expect(not large["accepted"], "a list of more than is read was read")
    return outcomes | {"hash list of 10^6 entries, 270 MB or an endless line": large}


def claim_codec(generator):
    """A codec file whose arrays claim more than they hold, or have hostile names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in ("header", *generator.sample(("encoder.0", "decoder.0", "../x", ""), 2)):
            head = io.BytesIO()
            side = generator.choice((0, 1, -1, 2**31, 2**62, 200_000_000_000))
            kind = generator.choice(("<f4", "<f8", "|O", "<U9", "|V9", "<i8"))
            shape = {"descr": kind, "fortran_order": False, "shape": (side,)}
            np.lib.format.write_array_header_1_0(head, shape)
            info = _Nameless("x")
            info.filename = f"{name}.npy"
            archive.writestr(info, head.getvalue() + generator.randbytes(generator.randrange(9)))
    return buffer.getvalue()


def draw_stream(generator):
    """The first bytes of a coded image, and random ones."""
    return b"UACS\1" + generator.randbytes(generator.randrange(60))


def read_hostile_codecs(folder, cases, generator):
    """Read codecs and coded images that claim what they do not hold: one line each."""
    from upscale_audit.restore.codec.models import load_codec  # needs the extra codec

    path, codecs, streams, fresh = folder / "codec.npz", Counter(), Counter(), Fresh()
    for _ in range(cases):
        path.write_bytes(fresh.draw(claim_codec, generator))
        codecs[attempt(load_codec, path)] += 1
        streams[attempt(read_stream, fresh.draw(draw_stream, generator))] += 1
    path.unlink()
    expect(not codecs["accepted"] and not streams["accepted"], "a false claim was believed")
    return {"codec that claims more than it holds": codecs, "coded image, random": streams}


def attack_more(folder, cases, seed, workers=1):
    """Run about `cases` further hostile inputs; outcomes by kind."""
    generator, totals, fresh = random.Random(f"{seed} more"), {}, Fresh()
    for batch, size in enumerate(split(cases // 2, 2000)):
        place = folder / f"stream{batch}"
        merge(totals, ingest_cut_streams(place, size, generator, workers, fresh))
        shutil.rmtree(place)
    merge(totals, decode_alpha(cases // 10, generator))
    merge(totals, read_hostile_archives(folder, cases // 5, generator))
    merge(totals, read_hostile_codecs(folder, cases // 10, generator))
    merge(totals, read_packed_lines(folder, len(LINES), generator))
    return totals
