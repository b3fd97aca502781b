"""Ask strict decoders about every file beside ingest: foreign corpora, and mutants of the sample.

``python -m tests.faults.corpora NAME=FOLDER ...`` writes its tables into docs/faults.md.
"""

import argparse
import io
import random
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from tests.faults.hostile import change_chunks, chunk, mutate, split_chunks
from tests.faults.oracles import ask_opencv, ask_pillow, ask_programs, has_programs, show
from upscale_audit.ingest import jpeg, png
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.images import decode_image

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "faults.md"
HEADING = "## Beside strict decoders"
BY_HAND = "## Files as people have them"
MAX_IMAGE_PX = 1 << 26

BY_RULE = {"bit_depth", "too_small", "too_many_pixels", "animated", "several_pictures"}
BY_RULE |= {"colour_mode", "jpeg_process", "too_many_scans", "compression", "sample_format"}
BY_RULE |= {"wrong_format"}
"""Sound files that are refused for what they are."""


def judge(data):
    """Decode a file here and by every strict decoder.

    Returns
    -------
    outcome : str
        What came of it, for the table.
    unexplained : str or None
        What no rule of this project explains: a file read that a strict decoder refuses or a
        JPEG that libjpeg warns of, other pixels, or a sound file refused without a rule.
    """
    suffix = ".jpg" if data.startswith(jpeg.SIGNATURE) else ".png"
    try:
        image = decode_image(data, suffix, MAX_IMAGE_PX, "reduce")
    except RejectedFileError as reject:
        if reject.code == "too_many_pixels":  # no decoder need fill the memory
            return f"refused by rule: {reject.code}", None
        return _judge_refused(reject, suffix, _ask_all(data).values())
    verdicts = _ask_all(data) | {"Pillow": ask_pillow(data)}
    pixels = np.dstack([image.grey] * 3) if image.rgb is None else image.rgb
    for name, verdict in verdicts.items():
        problem = _compare(name, verdict, data, pixels)
        if problem is not None:
            return "read", problem
    warned = any("libpng warning" in verdict.words for verdict in verdicts.values())
    return f"read, same pixels{'; libpng warns of another chunk' if warned else ''}", None


def judge_other(data, suffix):
    """Decode a TIFF or WebP here and by Pillow (libtiff, libwebp); as `judge`."""
    verdict = ask_pillow(data)
    try:
        image = decode_image(data, suffix, MAX_IMAGE_PX, "reduce")
    except RejectedFileError as reject:
        if not verdict.is_read:
            return f"refused by all: {reject.code}", None
        if reject.code in BY_RULE:
            return f"refused by rule: {reject.code}", None
        if reject.code in CONTRADICTING:
            return "refused here alone: tags that contradict each other or the file", None
        return "refused here alone", str(reject)
    if not verdict.is_read:
        return "read", f"refused by Pillow: {verdict.words}"
    pixels = np.dstack([image.grey] * 3) if image.rgb is None else image.rgb
    shown = show(verdict.samples, data)
    if shown.shape == pixels.shape:
        largest = np.abs(shown.astype(np.int16) - pixels).max()
        if largest == 0:
            return "read, same pixels", None
        # Pillow divides alpha out to 8 bits before it is put on white; here it never is.
        if largest == 1 and verdict.samples.shape[-1] == 4:
            return "read, within one grey level: alpha multiplied in", None
    return "read", "Pillow decodes other pixels"


CONTRADICTING = {"undecodable", "truncated"}


def _compare(name, verdict, data, pixels):
    """What speaks against an image that was read; None where nothing does."""
    is_png = data.startswith(png.SIGNATURE)
    if not verdict.is_read:
        # Pillow limits text chunks, OpenCV reads the chunks of animations; libpng neither.
        if name == "Pillow" or (name == "OpenCV" and any(kind in data for kind in ANIMATION)):
            return None
        return f"refused by {name}: {verdict.words}"
    if not is_png and verdict.words:
        return f"{name} warns: {verdict.words}"
    if is_png and b"tRNS" in data and (name, data[25]) in NO_COLOUR_KEY:
        return None
    if not np.array_equal(show(verdict.samples, data), pixels):
        return f"{name} decodes other pixels"
    return None


ANIMATION = (b"acTL", b"fcTL", b"fdAT")
NO_COLOUR_KEY = (("OpenCV", png.GREY), ("the programs", png.RGB))
"""Who passes over the one transparent value or colour of which colour type."""


def _ask_all(data):
    verdicts = {"OpenCV": ask_opencv(data)}
    if has_programs():
        verdicts["the programs"] = ask_programs(data)
    return verdicts


def _judge_refused(reject, suffix, verdicts):
    if not any(verdict.is_read for verdict in verdicts):
        return f"refused by all: {reject.code}", None
    if suffix == ".jpg" and any(verdict.words for verdict in verdicts):
        return f"refused, libjpeg warns: {reject.code}", None
    if reject.code in BY_RULE:
        return f"refused by rule: {reject.code}", None
    for reason, words in STRICTER.items():
        if any(word in reject.detail for word in words):
            return f"refused here alone: {reason}", None
    return "refused here alone", str(reject)


STRICTER = {
    "a chunk's CRC": ("CRC of chunk",),
    "chunks that contradict each other": ("two ", " after the pixels", "before the palette"),
    "more pixel data than the header promises": ("pixel data of more than",),
    "a checksum or an end of the pixel data": ("incorrect data check", "without their end"),
    "a chunk that is read, of a wrong length": ("chunk of", "chunk without", "holds data"),
    "a palette in a grey image": ("in a grey image",),
    "an index beyond the palette": ("palette index",),
    "IDAT chunks apart": ("another chunk between",),
    "libjpeg's check of the ICC segments": ("bad ICC marker",),
    "a chunk before IHDR": ("not IHDR",),
    "scans of a progressive JPEG missing": ("hold all detail",),
    "no end of the file": ("before the chunk IEND", "within chunk", "is no name of a chunk"),
}
"""Faults that libpng or Debian's programs pass over, with or without a warning."""


def read_corpus(folder):
    """Judge each file in a folder and below; counts by outcome, and what is unexplained."""
    outcomes, unexplained = Counter(), []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        data, suffix = path.read_bytes(), path.suffix.lower()
        if suffix in OTHER_SUFFIXES:
            outcome, problem = judge_other(data, OTHER_SUFFIXES[suffix])
        elif suffix in (".png", ".jpg", ".jpeg") or data.startswith(SIGNATURES):
            outcome, problem = judge(data)
        else:
            continue
        outcomes[outcome] += 1
        if problem is not None:
            unexplained.append(f"{path.name}: {problem}")
    return outcomes, unexplained


SIGNATURES = (png.SIGNATURE, jpeg.SIGNATURE)
OTHER_SUFFIXES = {".tif": ".tif", ".tiff": ".tif", ".webp": ".webp"}


def make_seeds(pixels):
    """Sound images of every kind that is read, from grey pixels: (kind, bytes)."""
    grey = Image.fromarray(pixels)
    colour = Image.fromarray(np.dstack([pixels, pixels.T, 255 - pixels]))
    clear = Image.fromarray(pixels.T.copy())
    layered = colour.copy()
    layered.putalpha(clear)
    images = {
        "grey": (grey, {}), "bilevel": (grey.convert("1"), {}), "RGB": (colour, {}),
        "grey with alpha": (Image.merge("LA", (grey, clear)), {}), "RGBA": (layered, {}),
        "palette": (colour.quantize(37), {}), "palette of 16": (colour.quantize(16), {}),
        "palette with alpha": (colour.quantize(37), {"transparency": bytes(range(0, 74, 2))}),
        "grey with a clear value": (grey, {"transparency": int(pixels[0, 0])}),
    }  # fmt: skip
    seeds = [
        (f"PNG, {kind}", _encode(image, "PNG", **more)) for kind, (image, more) in images.items()
    ]
    seeds += [("PNG, interlaced", interlace(pixels))]
    for kind, image in (("grey", grey), ("YCbCr", colour)):
        seeds.append((f"JPEG, {kind}", _encode(image, "JPEG", quality=90)))
        seeds.append((f"JPEG, {kind}, progressive", _encode(image, "JPEG", progressive=True)))
        seeds.append((f"JPEG, {kind}, restarts", _encode(image, "JPEG", restart_marker_blocks=3)))
    return seeds


def _encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def interlace(pixels):
    """An Adam7-interlaced grey PNG, its lines unfiltered."""
    rows, cols = pixels.shape
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2))
    lines = [
        b"\0" + line.tobytes()
        for row, col, row_step, col_step in (*passes, (1, 0, 2, 1))
        for line in pixels[row::row_step, col::col_step]
        if line.size
    ]
    header = struct.pack(">IIBBBBB", cols, rows, 8, 0, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(lines)))
    return png.SIGNATURE + body + chunk(b"IEND", b"")


def change_stream(data, generator, change):
    """Change a PNG's inflated pixel stream; every checksum is right again."""
    chunks = split_chunks(data)
    stream = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    packed = zlib.compress(change(stream, generator))
    first = [kind for kind, _ in chunks].index(b"IDAT")
    others = [item for item in chunks if item[0] != b"IDAT"]
    others.insert(first, [b"IDAT", packed])
    return png.SIGNATURE + b"".join(chunk(*item) for item in others)


def cut(data, generator):
    """Keep a part of some bytes."""
    return data[: generator.randrange(len(data))]


def change_header(data, generator):
    """Change one byte of IHDR, its CRC right."""
    header = bytearray(data[16:29])
    header[generator.choice((3, 3, 7, 7, 8, 9, 12, 10, 11))] ^= 1 << generator.randrange(8)
    return data[:8] + chunk(b"IHDR", bytes(header)) + data[33:]


def change_scan(data, generator):
    """Change bytes of a JPEG behind its first scan header; the end marker stays."""
    begin = data.index(b"\xff\xda") + 14
    return data[:begin] + mutate(data[begin:-2], generator) + b"\xff\xd9"


def cut_and_end(data, generator):
    """Cut a JPEG within its scans and add an end marker."""
    begin = data.index(b"\xff\xda") + 14
    return data[: generator.randrange(begin, len(data) - 2)] + b"\xff\xd9"


MUTATIONS = {
    "PNG": {
        "bytes changed": mutate,
        "chunks changed, CRCs right": change_chunks,
        "header changed, CRC right": change_header,
        "pixel stream cut, checksums right": lambda d, g: change_stream(d, g, cut),
        "pixel stream changed, checksums right": lambda d, g: change_stream(d, g, mutate),
    },
    "JPEG": {
        "bytes changed": mutate,
        "bytes of a scan changed": change_scan,
        "cut, an end marker added": cut_and_end,
    },
}


def mutate_sample(cases, seed):
    """Judge seeded mutants of a crop of the sample; outcomes by kind, and what is unexplained."""
    generator = random.Random(seed)
    with Image.open(REPOSITORY / "sample" / "reference" / "rg1_r0c0.png") as image:
        pixels = np.asarray(image)[200:240, 200:240]
    seeds = make_seeds(pixels)
    tables, unexplained = {}, []
    for number in range(cases):
        kind, data = seeds[number % len(seeds)]
        family = kind.split(",")[0]
        mutation = generator.choice(list(MUTATIONS[family]))
        changed = MUTATIONS[family][mutation](data, generator)
        counts = tables.setdefault(f"{family}, {mutation}", Counter())
        outcome, problem = judge(changed)
        counts[outcome] += 1
        if problem is not None:
            unexplained.append(f"{number} {kind}, {mutation}: {problem}")
    return tables, unexplained


INTRODUCTION = """\
Written by `python -m tests.faults.corpora NAME=FOLDER ...`. Each file is decoded by
ingest and by decoders that know nothing of it: OpenCV's libpng and libjpeg-turbo,
with what they say on standard error, Debian's `pngtopam` and `djpeg -strict` where
they are installed, and, for its pixels alone, Pillow; TIFF and WebP by Pillow
(libtiff, libwebp). A file that is read though one of the strict ones refuses it, a
JPEG that is read though libjpeg warns of it, a pixel that differs, or a refusal
without a stated rule fails the command. DICOM is held against pydicom by
`tests/unit/ingest/test_dicom.py`."""


def format_section(tables):
    """The section of docs/faults.md."""
    lines = [HEADING, "", INTRODUCTION, ""]
    lines += ["| Files | Number | Outcome | Unexplained |", "| --- | ---: | --- | ---: |"]
    for name, (counts, wrong) in tables.items():
        spelt = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        lines.append(f"| {name} | {counts.total()} | {spelt} | {wrong} |")
    return "\n".join(lines) + "\n"


def keep_section(page):
    """This section of a page as it stands, and the one by hand before it; empty of none."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    at = min((text.find(line) for line in (BY_HAND, HEADING) if line in text), default=-1)
    return "" if at < 0 else "\n" + text[at:]


def main():
    """Judge the corpora and the mutants, and write the section."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.corpora", description=__doc__)
    parser.add_argument("folders", nargs="*", metavar="NAME=FOLDER")
    parser.add_argument("--cases", type=int, default=3000, help="mutants (default: 3000)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tables, unexplained = {}, []
    for item in options.folders:
        name, _, folder = item.rpartition("=")
        counts, wrong = read_corpus(Path(folder))
        tables[name or Path(folder).name] = counts, len(wrong)
        unexplained += wrong
    mutants, wrong = mutate_sample(options.cases, options.seed)
    unexplained += wrong
    for kind, counts in sorted(mutants.items()):
        number = sum(kind in line for line in wrong)
        tables[f"mutants of the sample: {kind}"] = counts, number
    print(format_section(tables))
    for line in unexplained:
        print(line, file=sys.stderr)
    if not unexplained:
        text = PAGE.read_text(encoding="utf-8").partition(HEADING)[0].rstrip("\n") + "\n\n"
        PAGE.write_text(text + format_section(tables), encoding="utf-8")
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
