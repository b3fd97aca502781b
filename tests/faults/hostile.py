"""Hostile files, names and study files: what is made of them, and what may come of them."""

import functools
import gzip
import io
import os
import random
import re
import shutil
import struct
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.conftest import StudyFolder
from tests.faults.common import Failure, Fresh, attempt, expect, make_study
from upscale_audit.ingest.boxes import read_boxes
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, to_text
from upscale_audit.ingest.labels import read_entries
from upscale_audit.ingest.published import read_comparison, read_locations, read_results
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.proof.hash_lists import compare, hash_archive, hash_folder, read_list

SHAPE = (16, 24)
CANARY = "canary"


def encode(kind, generator):
    """Encode a small random grey or colour image."""
    pixels = np.frombuffer(generator.randbytes(SHAPE[0] * SHAPE[1] * 3), np.uint8)
    array = pixels.reshape(*SHAPE, 3)
    buffer = io.BytesIO()
    image = Image.fromarray(array[..., 0] if generator.random() < 0.7 else array)
    image.save(buffer, kind)
    return buffer.getvalue()


def mutate(data, generator):
    """Flip, cut, repeat, insert or swap bytes at a few random places."""
    data = bytearray(data)
    for _ in range(generator.randint(1, 6)):
        at = generator.randrange(len(data) + 1)
        until = min(len(data), at + generator.randint(1, 40))
        match generator.randrange(6):
            case 0 if at < len(data):
                data[at] ^= 1 << generator.randrange(8)
            case 1:
                del data[at:until]
            case 2:
                data[at:at] = data[at:until] * generator.randint(1, 4)
            case 3:
                data[at:at] = generator.randbytes(generator.randint(1, 20))
            case 4:
                data[at:until] = generator.choice((b"\0", b"\xff", b"\x7f")) * (until - at)
            case 5:
                del data[at:]
    return bytes(data)


def chunk(kind, body):
    """One PNG chunk, its CRC right."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def split_chunks(data):
    """Names and bodies of a PNG's chunks."""
    at, chunks = 8, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + size]])
        at += 12 + size
    return chunks


def change_chunks(data, generator):
    """Mutate a PNG's chunks and set every CRC right, so that the decoder reads on."""
    chunks = split_chunks(data)
    for _ in range(generator.randint(1, 3)):
        number = generator.randrange(len(chunks))
        match generator.randrange(5):
            case 0 if chunks[number][1]:
                chunks[number][1] = mutate(chunks[number][1], generator)
            case 1:
                chunks.insert(number, list(generator.choice(chunks)))
            case 2 if len(chunks) > 1:
                del chunks[number]
            case 3:
                kind = generator.choice([b"PLTE", b"tRNS", b"gAMA", b"iCCP", b"acTL", b"fcTL"])
                chunks.insert(number, [kind, generator.randbytes(generator.randint(0, 60))])
            case 4:
                generator.shuffle(chunks)
    return data[:8] + b"".join(chunk(*item) for item in chunks)


def add_text(generator):
    """Add a large text chunk, plain or packed, to a PNG."""
    data = encode("PNG", generator)
    text = b"A" * generator.choice((10**4, 10**6, 3 * 10**6))
    body = b"k\0" + text if generator.random() < 0.5 else b"k\0\0" + zlib.compress(text)
    return data[:33] + chunk(b"tEXt" if body[2:3] == b"A" else b"zTXt", body) + data[33:]


def fake_dicom(generator):
    """Random bytes behind a DICOM preamble."""
    return bytes(128) + b"DICM\x02\0\0\0UL\x04\0" + generator.randbytes(300)


IMAGE_KINDS = {
    "PNG, bytes changed": lambda g: mutate(encode("PNG", g), g),
    "PNG, chunks changed, CRCs right": lambda g: change_chunks(encode("PNG", g), g),
    "PNG with a text chunk of up to 3 MB": add_text,
    "JPEG as .png, bytes changed": lambda g: mutate(encode("JPEG", g), g),
    "JPEG as .jpg, bytes changed": lambda g: mutate(encode("JPEG", g), g),
    "TIFF as .tif, bytes changed": lambda g: mutate(encode("TIFF", g), g),
    "WebP as .webp, bytes changed": lambda g: mutate(encode("WEBP", g), g),
    "DICOM-like as .dcm": fake_dicom,
    "TIFF as .png": lambda g: mutate(encode("TIFF", g), g),
    "GIF as .png": lambda g: mutate(encode("GIF", g), g),
    "BMP as .png": lambda g: mutate(encode("BMP", g), g),
    "DICOM-like as .png": fake_dicom,
    "random bytes as .png": lambda g: g.randbytes(g.randint(0, 500)),
}


@functools.cache
def pack_zeros(kind):
    """Compress 300 MB of zeros, as zlib, gzip or zip."""
    zeros = bytes(300_000_000)
    if kind != "zip":
        return (zlib if kind == "zlib" else gzip).compress(zeros, 1)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("SHA256SUMS", zeros)
    return buffer.getvalue()


def add_packed_zeros(generator):
    """Add a text or colour profile that unpacks to 300 MB to a PNG."""
    kind = generator.choice((b"zTXt", b"iCCP", b"iTXt"))
    head = b"k\0\1\0\0\0" if kind == b"iTXt" else b"k\0\0"
    data = encode("PNG", generator)
    return data[:33] + chunk(kind, head + pack_zeros("zlib")) + data[33:]


def promise_pixels(generator):
    """A PNG, JPEG or TIFF whose header promises up to 2^31 pixels a side."""
    kind = generator.choice(("PNG", "JPEG", "TIFF"))
    data = bytearray(encode(kind, generator))
    side = generator.choice((12_000, 65_500, 2**31 - 1))
    if kind == "PNG":
        header = struct.pack(">II", side, side) + data[24:29]
        data[8:33] = chunk(b"IHDR", bytes(header))
    elif kind == "JPEG":
        at = next(n for n in range(len(data)) if data[n] == 0xFF and data[n + 1] in (0xC0, 0xC2))
        data[at + 1] = generator.choice((0xC0, 0xC2))  # baseline or progressive
        struct.pack_into(">HH", data, at + 5, min(side, 65_500), min(side, 65_500))
    else:
        (offset,) = struct.unpack_from("<I", data, 4)
        for entry in range(struct.unpack_from("<H", data, offset)[0]):
            place = offset + 2 + 12 * entry
            if struct.unpack_from("<H", data, place)[0] in (256, 257):
                struct.pack_into("<HII", data, place + 2, 4, 1, side)
    return bytes(data)


HEAVY_KINDS = {
    "PNG with 300 MB packed into a chunk": add_packed_zeros,
    "PNG, JPEG or TIFF header of up to 2^31 px a side": promise_pixels,
    "file of 100 MB of zeros as .png": lambda _: bytes(100_000_000),
}
ALIKE = ("file of 100 MB of zeros as .png",)
"""What has one form, and is given many times over."""


def ingest_hostile_images(folder, cases, generator, workers=1, image_kinds=IMAGE_KINDS, fresh=None):
    """Ingest one study whose restored files and some references are hostile; outcomes by kind."""
    fresh = fresh or Fresh()
    study_folder = StudyFolder(folder / "study")
    study_folder.add_model("alpha", paths=("notta",))
    good = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    kinds = list(image_kinds)
    owners = {}
    for number in range(cases):
        kind = kinds[number % len(kinds)]
        suffix = re.search(r"as (\.[a-z]+)|$", kind)[1] or ".png"
        name = f"case{number:05d}{suffix}"
        draw = image_kinds[kind]
        data = draw(generator) if kind in ALIKE else fresh.draw(draw, generator)
        as_reference = generator.random() < 0.3
        study_folder.put(name, data if as_reference else good)
        study_folder.put(name, good if as_reference else data, "alpha")
        owners[name] = kind, "reference" if as_reference else "restored"
        if suffix != ".png":
            other = "alpha" if as_reference else None
            (study_folder.folder(*((other, "notta") if other else ())) / name).unlink()
            study_folder.put(name.replace(suffix, ".png"), good, other)
    study = study_folder.load(parameters="max_image_px = 1000000")
    before = list_tree(folder, study.output)
    ingest_study(study, workers=workers)
    expect(list_tree(folder, study.output) == before, "something outside the output changed")
    found = {}
    for table in ("source_files", "rejects"):
        for row in pq.ParquetFile(study.raw / table / f"{table}.parquet").read().to_pylist():
            found[row["file_name"], row["role"]] = row.get("reason")
    outcomes = {kind: Counter() for kind in kinds}
    for name, (kind, role) in owners.items():
        expect((name, role) in found, f"{name} is neither measured nor refused")
        code = found[name, role]
        outcomes[kind]["accepted" if code is None else f"rejected: {code}"] += 1
    return outcomes


def list_tree(folder, but):
    """Every name under a folder, with size, time of change and place, except under `but`."""
    return {
        os.fsencode(path): (entry.st_size, entry.st_mtime_ns, entry.st_ino)
        for path in folder.rglob("*")
        if but not in (path, *path.parents) and (entry := path.lstat()) and not path.is_dir()
    }


ENTRIES = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    + "".join(f"{n:08d}.png,Mass|Nodule,{n},{n},5{n}Y,F,PA\n" for n in range(5))
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n" + "0.png,Mass,1.5,2,3,4\n" * 3
LOCATIONS = (
    "model,image_id,min_ssim_value,min_row,min_col,total_rows,total_cols,distance_to_boundary,"
    "normalized_distance,is_boundary\nm,a,0.5,1,2,9,9,1,0.25,False\nm,b,0.5,0,0,9,9,0,0,True\n"
)
COMPARISON = ",ssim,ssim\n,mean,std\nmodel,,\nm,0.5,0.1\nn,0.25,\n"
CELLS = ("", "'; drop table x; --", "=cmd|' /C calc'!A0", "1e999", "nan", "-1", "9" * 400)
CELLS += ("\u202egnp.x", "../../etc/passwd", '"', "\0", "a\nb", "$(touch canary)", "٣")


def mutate_text(text, generator):
    """Put hostile cells into a CSV, or change its bytes."""
    if generator.random() < 0.3:
        return mutate(text.encode(), generator)
    lines = [line.split(",") for line in text.splitlines()]
    for _ in range(generator.randint(1, 3)):
        cells = generator.choice(lines)
        cells[generator.randrange(len(cells))] = generator.choice(CELLS)
    return "\n".join(map(",".join, lines)).encode("utf-8", generator.choice(["strict", "replace"]))


def make_results():
    """Two rows of a results file."""
    from upscale_audit.ingest.published import METRIC_COLUMNS

    header = ["image_id", "model", *METRIC_COLUMNS]
    rows = [[name, "m", *["0.5"] * len(METRIC_COLUMNS)] for name in "ab"]
    return "\n".join(map(",".join, [header, *rows])) + "\n"


TEXT_KINDS = {
    "label entries CSV": (ENTRIES, read_entries),
    "label boxes CSV": (BOXES, read_boxes),
    "published results CSV": (make_results(), lambda path: read_results(path, "x")),
    "published locations CSV": (LOCATIONS, lambda path: read_locations(path, "x")),
    "published comparison CSV": (COMPARISON, read_comparison),
}


def read_hostile_texts(folder, cases, generator):
    """Read mutated label and result files; outcomes by kind."""
    outcomes, fresh = {kind: Counter() for kind in TEXT_KINDS}, Fresh()
    for number in range(cases):
        kind = list(TEXT_KINDS)[number % len(TEXT_KINDS)]
        text, read = TEXT_KINDS[kind]
        path = folder / "hostile.csv"
        path.write_bytes(fresh.draw(functools.partial(mutate_text, text), generator))
        outcomes[kind][attempt(read, path)] += 1
    return outcomes


def read_packed_texts(folder, cases, generator):
    """Read label and result files of gzip that unpack to 300 MB of zeros: refused, and said why."""
    path, outcomes = folder / "hostile.csv.gz", Counter()
    path.write_bytes(pack_zeros("gzip"))
    for number in range(cases):
        kind = list(TEXT_KINDS)[number % len(TEXT_KINDS)]
        try:
            TEXT_KINDS[kind][1](path)
        except StudyError as error:
            said = ("a row of more than 1048576 characters", "holds NUL characters")
            expect(any(text in str(error) for text in said), str(error))
            outcomes["StudyError"] += 1
    expect(outcomes.total() == cases, "a gzip bomb was read")
    return {"label and result CSV.gz of 300 MB of zeros": outcomes}


LISTS = (
    "".join(f"{n:064x}  sub/{n}.png\n" for n in range(6)).encode(),
    "".join(f"SHA256 ({n}.png) = {n:064X}\r\n" for n in range(6)).encode(),
    ("name;sha256\n" + "".join(f"{n}.png;{n:064x}\n" for n in range(6))).encode("utf-16"),
)


def compose_list(generator):
    """A published hash list with hostile names, changed bytes, or in a changed zip."""
    data = generator.choice(LISTS)
    if generator.random() < 0.5:
        name = generator.choice(
            ("/etc/passwd", "../" * 9 + "etc/passwd", "$(touch canary)", "a\\b")
        )
        data = data.replace(b"3.png", name.encode())
    if generator.random() < 0.5:
        return mutate(data, generator)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        name = generator.choice(("SHA256SUMS", "../../up", "/etc/passwd"))
        archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)  # no time of today
    return mutate(buffer.getvalue(), generator) if generator.random() < 0.7 else buffer.getvalue()


def check_hostile_lists(folder, cases, generator):
    """Check a folder against hostile hash lists and archives; nothing is read outside it."""
    inside = folder / "lists" / "inside"
    inside.mkdir(parents=True)
    (inside / "1.png").write_bytes(b"1")
    path, outcomes, fresh = folder / "lists" / "list", Counter(), Fresh()
    before = None

    def check():
        entries = read_list(path)
        for hashes, refused in (hash_folder(inside), hash_archive(path)):
            rows = compare(entries, hashes, refused)
            expect(all(row.status != "matched" for row in rows), "a hostile list matched")

    for _ in range(cases):
        path.write_bytes(fresh.draw(compose_list, generator))
        names = set(list_tree(folder, path))
        expect(before in (None, names), "checking a list wrote a file")
        before = names
        outcomes[attempt(check)] += 1
        attempt(hash_archive, path)
    return {"hash list, plain or in a zip, and archives": outcomes}


def check_packed_lists(folder, cases, generator):
    """Read lists and archives that unpack to 300 MB of zeros: refused, not unpacked."""
    path = folder / "bomb.zip"
    path.write_bytes(pack_zeros("zip"))
    for _ in range(cases):
        try:
            read_list(path)
            raise Failure("a zip bomb was read")
        except StudyError as error:
            expect("unpacks to more than 256 MiB" in str(error), str(error))
        hashes, refused = hash_archive(path)
        expect(not hashes and "256 MiB" in refused["SHA256SUMS"], "a zip bomb was unpacked")
    return {"hash list or archive, a zip of 300 MB of zeros": Counter({"StudyError": cases})}


PLACES = ("reference", "restored/alpha/notta", "../../../../etc", "/etc", "/proc/self", "loop")
PLACES += ("loop/x", "a\\u0000b", "x" * 300, "", ".", "~", "$(touch canary)", "'; drop table x; --")
PLACES += ("\\u202e", "file", "out", "out/raw", "/dev/null", "//", "%s%n", "{{ 1 / 0 }}", "a\\nb")
VALUES = ('"x"', "1", "-1", "nan", "1e400", "9" * 30, "9" * 5000, "[]", "{}", "true", "[" * 4000)
VALUES += ('"\'; drop table x; --"', '"{{ 1 / 0 }}"', "1979-05-27")
KEYS = ("edge_rule", "edge_quantile", "edge_low_dn", "edge_high_dn", "colour", "max_image_px")
KEYS += ("ringing_min_px", "bootstrap_replicates", "bootstrap_seed", "min_clusters", "typo")
KEYS += ("baseline_model", "image_metrics")


def write_hostile_study(generator):
    """Compose a study file with hostile paths, names and values."""
    place = [generator.choice(PLACES) if generator.random() < 0.4 else None for _ in range(4)]
    names = ("alpha", "a/b", "..", "a b", "CON", "x" * 65, "\\u202e", "'; drop table x; --")
    name = generator.choice(names) if generator.random() < 0.3 else "alpha"
    lines = ["[study]", 'name = "n"', f'references = "{place[0] or "reference"}"']
    lines += [f'output = "{place[1] or "out"}"', "[[models]]", f'model_id = "{name}"']
    lines += [f'notta = "{place[2] or "restored/alpha/notta"}"', "[labels]"]
    lines += [f'entries = "{place[3]}"'] if place[3] else []
    lines += ["[parameters]"]
    if generator.random() < 0.5:
        lines += [f"{generator.choice(KEYS)} = {generator.choice(VALUES)}"]
    text = "\n".join(lines).encode()
    return mutate(text, generator) if generator.random() < 0.2 else text


def load_hostile_studies(folder, cases, generator):
    """Load hostile study files; loading writes nothing anywhere."""
    study_folder = StudyFolder(folder / "study")
    study_folder.add_model("alpha", paths=("notta",))
    os.symlink("loop", study_folder.root / "loop")
    (study_folder.root / "file").write_text("x")
    path = study_folder.root / "study.toml"
    outcomes, fresh = Counter(), Fresh()
    path.write_bytes(b"")
    nowhere = folder / "nowhere"
    before = set(list_tree(folder, nowhere))
    for _ in range(cases):
        path.write_bytes(fresh.draw(write_hostile_study, generator))
        outcomes[attempt(load_study, path)] += 1
        expect(set(list_tree(folder, nowhere)) == before, "loading a study wrote a file")
    return {"study file (paths, loops, names, values)": outcomes}


PIECES = ("\n", "\r", "$(touch canary)", "`touch canary`", ";touch canary;", "|", "&", "'", '"')
PIECES += ("'; drop table x; --", "\u202e", "\u200f", "*", "?", "[a]", "\\", "%00", "-rf", "~")
PIECES += ("{{ x }}", "=1+1", "..", " ", "\t", "\x1b[31m", "é", "\udce9", "\udcff", "x" * 90)
PIECES += ("\\xe9", "\\xff")


def ingest_hostile_names(folder, cases, generator, build=False):
    """Ingest (and build) a study whose file names are hostile; every file is accounted for."""
    # A question mark is refused: DuckDB can keep no database there.
    hostile = folder / "a [1]* 'x' {{ y }} \u202e;"
    study_folder = StudyFolder(hostile / "study")
    study_folder.add_model("alpha", paths=("notta",))
    good = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    stems = ["x" * 251, "-n", "...", "\udce9", "\\xe9"]
    while len(stems) < cases:
        stems.append("".join(generator.choices(PIECES, k=generator.randint(1, 4))))
    names = [f"{stem}.png" for stem in stems if len(os.fsencode(stem)) <= 251]
    names = sorted({name for name in names if not name.startswith(".")})
    for name in names:
        study_folder.put(name, good)
        study_folder.put(name, good, "alpha")
    os.symlink("loop.png", study_folder.folder() / "loop.png")
    os.symlink("/etc/passwd", study_folder.folder("alpha", "notta") / "passwd.png")
    os.symlink(".", study_folder.folder() / "again")
    os.mkfifo(study_folder.folder("alpha", "notta") / "pipe.png")
    study = study_folder.load()
    before = list_tree(folder, study.output)
    report = ingest_study(study, workers=1)
    if build:
        build_warehouse(study, threads=2)
        export_tables(study)
    expect(list_tree(folder, study.output) == before, "something outside the output changed")
    for place in (folder, hostile, study_folder.root, Path.cwd(), study.output):
        expect(not (place / CANARY).exists(), "a file name was executed")
    outcomes = Counter()
    for row in report.rejects:
        outcomes[f"rejected: {row['reason']}"] += 1
    outcomes["accepted"] = report.images
    refused = sum(row["role"] == "reference" for row in report.rejects)
    # What is no UTF-8 is refused; two names may be spelt the same, there and among the others.
    spelt = {(to_text(name), to_text(name) == name) for name in (*names, "loop.png")}
    expect(report.images + refused == len(spelt), "a reference is neither measured nor refused")
    return {"file names, links, a pipe": outcomes}


def ingest_among_strangers(folder, cases, generator):
    """Drop foreign Parquet files into raw/; none enters the sign-off, every byte stays."""
    study = make_study(folder / "study")
    ingest_study(study, workers=1)
    recorded = hash_file(study.raw / "manifest.json")
    places = ("blocks/model_id=alpha", "blocks/model_id=evil", "images", "rejects", "units", "")
    outcomes = Counter()
    for number in range(cases):
        path = study.raw / generator.choice(places) / f"stranger{number}.parquet"
        path.parent.mkdir(exist_ok=True)
        if generator.random() < 0.5:
            pq.write_table(pa.table({"image_id": ["a"], "evil": [1]}), path)
        else:
            path.write_bytes(b"PAR1" + generator.randbytes(100) + b"PAR1")
        data = path.read_bytes()
        ingest_study(study, workers=1)
        expect(
            hash_file(study.raw / "manifest.json") == recorded, "a stranger changed the sign-off"
        )
        expect(path.read_bytes() == data, "a stranger's file was changed")
        outcomes["passed over"] += 1
    return {"strangers' Parquet in raw/": outcomes}


def merge(totals, outcomes):
    """Add outcomes by kind to the totals."""
    for kind, counts in outcomes.items():
        totals.setdefault(kind, Counter()).update(counts)


def attack(folder, cases, seed, workers=1):
    """Run about `cases` hostile inputs of every sort; outcomes by kind."""
    generator, totals, fresh = random.Random(seed), {}, Fresh()
    for batch, size in enumerate(split(cases // 2, 2000)):
        place = folder / f"image{batch}"
        merge(totals, ingest_hostile_images(place, size, generator, workers, fresh=fresh))
        shutil.rmtree(place)
    heavy, few = folder / "heavy", min(60, max(6, cases // 100))
    merge(totals, ingest_hostile_images(heavy, few, generator, workers, HEAVY_KINDS))
    shutil.rmtree(heavy)
    merge(totals, read_hostile_texts(folder, cases // 4, generator))
    merge(totals, read_packed_texts(folder, len(TEXT_KINDS), generator))
    merge(totals, check_hostile_lists(folder, cases // 6, generator))
    merge(totals, check_packed_lists(folder, 3, generator))
    merge(totals, load_hostile_studies(folder / "toml", cases // 4, generator))
    merge(totals, ingest_hostile_names(folder / "names", min(600, max(12, cases // 40)), generator))
    merge(totals, ingest_among_strangers(folder / "raw", min(60, max(4, cases // 400)), generator))
    return totals


def split(total, size):
    """Sizes of batches that make up a total."""
    return [min(size, total - begin) for begin in range(0, total, size)]
