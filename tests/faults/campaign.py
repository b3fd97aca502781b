"""Break the pipeline on purpose, many times, and count what it says: writes docs/faults.md."""

import argparse
import contextlib
import hashlib
import io
import json
import os
import random
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ingest import run, units
from ingest.errors import StudyError
from ingest.files import hash_file, to_text
from ingest.labels import read_boxes, read_entries
from ingest.published import read_comparison, read_locations, read_results
from ingest.run import ingest_study
from ingest.study import load_study
from tests.conftest import StudyFolder
from warehouse.build import build_warehouse
from warehouse.connect import open_warehouse
from warehouse.export import export_tables
from warehouse.verify import verify

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "faults.md"
SHAPE = (16, 24)
CANARY = "canary"
SHELL = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


class Failure(AssertionError):  # noqa: N818 - what the campaign looks for
    """An outcome that no user should ever meet."""


def expect(condition, what):
    """Fail with `what` unless `condition` holds."""
    if not condition:
        raise Failure(what)


# ---------------------------------------------------------------- hostile bytes


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


def mutate_chunks(generator):
    """Mutate a PNG's chunks and set every CRC right, so that the decoder reads on."""
    data, at, chunks = encode("PNG", generator), 8, []
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + size]])
        at += 12 + size
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
    "PNG, chunks changed, CRCs right": mutate_chunks,
    "PNG with a text chunk of up to 3 MB": add_text,
    "JPEG as .png, bytes changed": lambda g: mutate(encode("JPEG", g), g),
    "JPEG as .jpg, bytes changed": lambda g: mutate(encode("JPEG", g), g),
    "TIFF as .png": lambda g: mutate(encode("TIFF", g), g),
    "GIF as .png": lambda g: mutate(encode("GIF", g), g),
    "BMP as .png": lambda g: mutate(encode("BMP", g), g),
    "DICOM-like as .png": fake_dicom,
    "random bytes as .png": lambda g: g.randbytes(g.randint(0, 500)),
}


def ingest_hostile_images(folder, cases, generator, workers=1):
    """Ingest one study whose restored files and some references are hostile; outcomes by kind."""
    study_folder = StudyFolder(folder / "study")
    study_folder.add_model("alpha", paths=("notta",))
    good = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    kinds = list(IMAGE_KINDS)
    owners = {}
    for number in range(cases):
        kind = kinds[number % len(kinds)]
        suffix = "jpg" if "as .jpg" in kind else "png"
        name = f"case{number:05d}.{suffix}"
        data = IMAGE_KINDS[kind](generator)
        as_reference = generator.random() < 0.3
        study_folder.put(name, data if as_reference else good)
        study_folder.put(name, good if as_reference else data, "alpha")
        owners[name] = kind, "reference" if as_reference else "restored"
        if suffix == "jpg":
            other = "alpha" if as_reference else None
            (study_folder.folder(*((other, "notta") if other else ())) / name).unlink()
            study_folder.put(name.replace("jpg", "png"), good, other)
    study = study_folder.load()
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
    from ingest.published import METRIC_COLUMNS

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
    outcomes = {kind: Counter() for kind in TEXT_KINDS}
    for number in range(cases):
        kind = list(TEXT_KINDS)[number % len(TEXT_KINDS)]
        text, read = TEXT_KINDS[kind]
        path = folder / "hostile.csv"
        path.write_bytes(mutate_text(text, generator))
        outcomes[kind][attempt(read, path)] += 1
    return outcomes


def attempt(action, *arguments):
    """Run an action that may succeed or raise a StudyError; anything else is a failure."""
    try:
        action(*arguments)
    except StudyError as error:
        expect(str(error), "an error without a message")
        return "StudyError"
    return "accepted"


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
    outcomes = Counter()
    path.write_bytes(b"")
    nowhere = folder / "nowhere"
    before = set(list_tree(folder, nowhere))
    for _ in range(cases):
        path.write_bytes(write_hostile_study(generator))
        outcomes[attempt(load_study, path)] += 1
        expect(set(list_tree(folder, nowhere)) == before, "loading a study wrote a file")
    return {"study file (paths, loops, names, values)": outcomes}


PIECES = ("\n", "\r", "$(touch canary)", "`touch canary`", ";touch canary;", "|", "&", "'", '"')
PIECES += ("'; drop table x; --", "\u202e", "\u200f", "*", "?", "[a]", "\\", "%00", "-rf", "~")
PIECES += ("{{ x }}", "=1+1", "..", " ", "\t", "\x1b[31m", "é", "\udce9", "\udcff", "x" * 90)
PIECES += ("\\xe9", "\\xff")


def ingest_hostile_names(folder, cases, generator, build=False):
    """Ingest (and build) a study whose file names are hostile; every file is accounted for."""
    hostile = folder / "a [1]*? 'x' {{ y }} \u202e;"
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
    spelt = {to_text(name) for name in (*names, "loop.png")}  # two names may be spelt the same
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
    generator, totals = random.Random(seed), {}
    for batch, size in enumerate(split(cases // 2, 400)):
        merge(totals, ingest_hostile_images(folder / f"image{batch}", size, generator, workers))
        shutil.rmtree(folder / f"image{batch}")
    merge(totals, read_hostile_texts(folder, cases // 4, generator))
    merge(totals, load_hostile_studies(folder / "toml", cases // 4, generator))
    merge(totals, ingest_hostile_names(folder / "names", max(12, cases // 40), generator))
    merge(totals, ingest_among_strangers(folder / "raw", max(4, cases // 400), generator))
    return totals


def split(total, size):
    """Sizes of batches that make up a total."""
    return [min(size, total - begin) for begin in range(0, total, size)]


# ---------------------------------------------------------------- faults


def make_study(root, build=False):
    """A study of three tiny images; with `build`, ingested, built and exported."""
    folder = StudyFolder(root)
    folder.add_model("alpha")
    folder.add_model("beta", paths=("notta",))
    for image_id in ("a", "b", "c"):
        folder.add_image(image_id)
    study = folder.load()
    if build:
        ingest_study(study, workers=1)
        build_warehouse(study, threads=2)
        export_tables(study)
    return study


def command(name, study, *options):
    """The command line of a stage."""
    return [sys.executable, "-m", "warehouse.cli", name, str(study.path), *options]


def start(arguments, **options):
    """Start a command in the repository, its words captured."""
    return subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


def finish(process):
    """Wait for a command: 'done', or 'StudyError' where it said so in one line."""
    _, said = process.communicate(timeout=300)
    expect("Traceback" not in said, said[-2000:])
    if process.returncode == 0:
        return "done"
    last = said.strip().splitlines()[-1]
    expect(process.returncode == 1 and last.startswith("upscale-audit: "), said[-2000:])
    return "StudyError"


def read_exports(study):
    """Hash list of the exports, after checking that each file is as it says."""
    folder = study.output / "exports"
    sums = (folder / "SHA256SUMS").read_text()
    for line in sums.splitlines():
        sha256, name = line.split("  ", 1)
        expect(hash_file(folder / name) == sha256, f"exports/{name} is not whole")
    return sums


def expect_whole(study):
    """The published warehouse answers; the number of its tables."""
    with open_warehouse(study.warehouse) as connection:
        tables = [row[0] for row in connection.sql("select table_name from dim_tables").fetchall()]
        for table in tables:
            connection.sql(f'select count(*) from "{table}"').fetchall()
        rows = connection.sql("select count(*) from fct_blocks").fetchall()
    expect(rows == [(36,)], f"fct_blocks has {rows} rows")
    return len(tables)


def expect_same_after_rerun(study, expected):
    """A rerun of everything gives the bytes of an undisturbed run."""
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    export_tables(study)
    expect(read_exports(study) == expected, "a rerun gave other bytes")


def kill(study, times, generator, name, longest_s):
    """SIGKILL a command at random moments; what was published before stays whole."""
    expected, outcomes = read_exports(study), Counter()
    for _ in range(times):
        process = start(command(name, study))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(generator.uniform(0.1, longest_s))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        expect_whole(study)
        expect(read_exports(study) == expected, "exports changed")
        outcomes["old results whole"] += 1
    expect_same_after_rerun(study, expected)
    return outcomes


def limit_file_size(study, times, generator):
    """Let every write beyond a size fail, in each stage in turn."""
    expected, outcomes = read_exports(study), Counter()
    for number in range(times):
        name = ("ingest", "build", "export")[number % 3]
        largest = {"ingest": 4000, "build": 8_000_000, "export": 4000}[name]
        size = generator.randint(1, largest)
        if name == "ingest":
            shutil.rmtree(study.raw)

        def limit(size=size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        outcomes[finish(start(command(name, study), preexec_fn=limit))] += 1
        expect_whole(study)
        expect(read_exports(study) == expected, "exports changed")
        ingest_study(study, workers=1)
    expect_same_after_rerun(study, expected)
    return outcomes


def can_mount():
    """Whether this user may mount in a namespace of their own."""
    with contextlib.suppress(OSError):
        return (
            subprocess.run([*SHELL, "mount -t tmpfs tmpfs /tmp"], capture_output=True).returncode
            == 0
        )
    return False


def fill_disk(study, times, generator):
    """Run each stage on a file system of its own that is too small."""
    outcomes = Counter()
    used = sum(path.stat().st_size for path in study.output.rglob("*") if path.is_file())
    for number in range(times):
        name = ("ingest", "build", "export")[number % 3]
        room = {"ingest": 60_000, "build": 12_000_000, "export": 200_000}[name]
        size = used + 1_500_000 + generator.randint(0, room)
        script = (
            'o=$1; s=$2; shift 2; t=$(mktemp -d) && cp -a "$o/." "$t" && mount -t tmpfs'
            ' -o size=$s tmpfs "$o" && cp -a "$t/." "$o" && rm -r "$t"; [ "$1" = fill ] &&'
            ' rm -r "$o/raw" && head -c 99999999 /dev/zero > "$o/fill" 2>/dev/null; shift;'
            ' exec "$@"'
        )
        fill = "fill" if name == "ingest" else "-"
        arguments = [*SHELL, script, "sh", str(study.output), str(size), fill]
        outcomes[finish(start([*arguments, *command(name, study)]))] += 1
    expect_whole(study)
    return outcomes


def write_protect(study, times, generator):
    """Run each stage on a read-only output folder."""
    outcomes = Counter()
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; shift; exec "$@"'
    for number in range(times):
        name = ("ingest", "build", "export")[number % 3]
        outcome = finish(start([*SHELL, script, "sh", str(study.output), *command(name, study)]))
        expect(outcome == "StudyError", f"{name} did not notice a read-only folder")
        outcomes[outcome] += 1
    return outcomes


def change_sources(study, times, generator):
    """Replace, cut or delete the file under the reader, just before or just after it is read."""
    outcomes, read = Counter(), units.read_bytes
    for number in range(times):
        shutil.rmtree(study.output, ignore_errors=True)
        victim = study.models[0].notta / generator.choice(["a.png", "b.png", "c.png"])
        good, first = victim.read_bytes(), number % 2 == 0
        change = generator.choice(["replaced", "cut", "deleted"])
        handed = {}

        def disturb(path=victim, change=change, good=good):
            if change == "replaced":
                path.write_bytes(encode("PNG", random.Random(5)))
            elif change == "cut":
                path.write_bytes(good[: len(good) // 2])
            else:
                path.unlink()

        def read_disturbed(path, victim=victim, first=first, disturb=disturb, handed=handed):
            if path == victim and first:
                disturb()
            data = read(path)
            if path == victim and not first:
                disturb()
            handed[path] = data
            return data

        units.read_bytes = read_disturbed
        try:
            report = ingest_study(study, workers=1)
        finally:
            units.read_bytes = read
        rows = pq.ParquetFile(study.raw / "source_files" / "source_files.parquet").read()
        hashes = {row["file_sha256"] for row in rows.to_pylist()}
        hashes |= {row["file_sha256"] for row in report.rejects}
        for data in handed.values():
            expect(
                hashlib.sha256(data).hexdigest() in hashes, "what was read is not what is hashed"
            )
        expect(len(report.rejects) == (first and change != "replaced"), "a change was passed over")
        outcomes["reject row" if report.rejects else "hashed as read"] += 1
        victim.write_bytes(good)
    return outcomes


def corrupt(study, times, generator):
    """Change bytes of a shard, a manifest, the warehouse or an export; the next run mends it."""
    expected, outcomes = read_exports(study), Counter()
    for number in range(times):
        kind = ("raw/blocks", "raw/units", "raw", "warehouse", "exports")[number % 5]
        if kind == "warehouse":
            path = study.warehouse
            path.chmod(0o644)
        elif kind == "raw":
            path = study.raw / "manifest.json"
        else:
            files = sorted(path for path in (study.output / kind).rglob("*") if path.is_file())
            path = generator.choice(files)
        good = path.read_bytes()
        bad = bytearray(good)
        for _ in range(generator.randint(1, 30)):
            bad[generator.randrange(len(bad))] ^= generator.randint(1, 255)
        path.write_bytes(bad)
        expect(verify(study.output).findings, f"verify did not notice a damaged {path.name}")
        if kind in ("warehouse", "exports"):
            if attempt(export_tables, study) == "StudyError":
                expect(kind == "warehouse", "an export was not written again")
                outcomes["StudyError, rebuilt"] += 1
            elif read_exports(study) == expected:
                outcomes["found by verify, same exports"] += 1
            else:
                outcomes["found by verify, OTHER EXPORTS"] += 1
            if kind == "warehouse":
                path.write_bytes(good)
                path.chmod(0o444)
                export_tables(study)
        else:
            expect(attempt(build_warehouse, study) == "StudyError", f"built from a bad {path.name}")
            ingest_study(study, workers=1)
            expect(path.read_bytes() == good, f"{path.name} was not mended")
            outcomes["build refused, ingest mended it"] += 1
        expect(read_exports(study) == expected, "exports changed")
    return outcomes


def run_two_at_once(study, times, generator):
    """Start the same stage twice; one does it, the other too or is refused in a line."""
    expected, outcomes = read_exports(study), Counter()
    for number in range(times):
        name = ("ingest", "build")[number % 2]
        both = [start(command(name, study)) for _ in range(2)]
        ended = sorted(map(finish, both))
        expect("done" in ended, "neither of two did the work")
        outcomes[" and ".join(ended)] += 1
    expect_whole(study)
    expect_same_after_rerun(study, expected)
    return outcomes


READER = """
import sys, time, duckdb
count = 0
while True:
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        rows = connection.sql("select count(*) from fct_blocks").fetchall()
        tables = connection.sql("select count(*) from dim_tables").fetchall()
        assert rows == [(36,)] and tables == [(int(sys.argv[2]),)], (rows, tables)
    count += 1
    print(count, flush=True)
    time.sleep(0.02)
"""


def read_while_publishing(study, times, generator, readers=4):
    """Four processes open and query the warehouse in a loop through several publications."""
    tables = expect_whole(study)
    arguments = [sys.executable, "-c", READER, str(study.warehouse), str(tables)]
    processes = [start(arguments) for _ in range(readers)]
    queries = [0] * readers

    def drain(number):
        for line in processes[number].stdout:
            queries[number] = int(line)

    threads = [threading.Thread(target=drain, args=(n,), daemon=True) for n in range(readers)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(times):
            build_warehouse(study, threads=1)
            export_tables(study)
        deadline = time.monotonic() + 20
        while min(queries) < 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        for process in processes:
            expect(process.poll() is None, f"a reader died: {process.poll()}")
        expect(min(queries) > 0, "a reader never read")
    finally:
        for process in processes:
            process.kill()
        for thread in threads:
            thread.join()
        errors = [process.stderr.read() for process in processes]
        for process in processes:
            process.wait()
            process.stdout.close()
            process.stderr.close()
    expect(not any(errors), errors)
    return Counter({"no reader saw an error": times})


def set_clock(study, times, generator):
    """Date inputs and outputs far back or ahead; nothing is measured again or differs."""
    expected, outcomes = read_exports(study), Counter()
    for _ in range(times):
        stamp = generator.choice([0, 315_532_800, 4_102_444_800])
        for path in study.path.parent.rglob("*"):
            if generator.random() < 0.7:
                os.utime(path, (stamp, stamp))
        expect(ingest_study(study, workers=1).units_measured == 0, "a date caused a measurement")
        build_warehouse(study, threads=2)
        export_tables(study)
        expect(read_exports(study) == expected, "a date changed a byte")
        outcomes["same bytes"] += 1
    return outcomes


def exhaust_memory(study, times, generator):
    """Let the n-th decoding find no memory; finished units are kept."""
    outcomes, decode = Counter(), units.decode_image
    per_unit, run.IMAGES_PER_UNIT = run.IMAGES_PER_UNIT, 1
    try:
        for _ in range(times):
            shutil.rmtree(study.raw, ignore_errors=True)
            left = [generator.randint(1, 12)]

            def decode_until(*arguments, left=left):
                left[0] -= 1
                if left[0] == 0:
                    raise MemoryError("Unable to allocate")
                return decode(*arguments)

            units.decode_image = decode_until
            kept = (left[0] - 1) // 4
            try:
                ingest_study(study, workers=1)
                raise Failure("no memory, and no error")
            except StudyError as error:
                expect("--workers 1" in str(error), str(error))
            units.decode_image = decode
            found = ingest_study(study, workers=1).units_kept
            expect(found == kept, f"{found} units kept, not {kept}")
            outcomes["StudyError, finished units kept"] += 1
    finally:
        units.decode_image, run.IMAGES_PER_UNIT = decode, per_unit
        shutil.rmtree(study.raw, ignore_errors=True)  # units of one image would be kept
    return outcomes


FAULTS = {
    "build killed at a random moment": (lambda *a: kill(*a, "build", 9.0), 5),
    "export killed at a random moment": (lambda *a: kill(*a, "export", 1.5), 10),
    "a limit on file size (ingest, build, export)": (limit_file_size, 6),
    "a small file system runs full": (fill_disk, 3),
    "read-only output": (write_protect, 3),
    "source replaced, cut or deleted while read": (change_sources, 30),
    "bytes of a shard, manifest, warehouse, export changed": (corrupt, 20),
    "two ingests or two builds at once": (run_two_at_once, 2),
    "4 readers through publications": (read_while_publishing, 2),
    "clock set back or ahead": (set_clock, 2),
    "memory runs out while decoding": (exhaust_memory, 20),
}
MOUNTING = (fill_disk, write_protect)
MEASURING = (change_sources, exhaust_memory)


def disturb(folder, seed, say):
    """Try every fault on one study; outcomes by fault."""
    outcomes = {}
    study = make_study(folder / "study", build=True)
    expected = read_exports(study)
    for number, (name, (fault, times)) in enumerate(FAULTS.items()):
        if fault in MOUNTING and not can_mount():
            outcomes[name] = Counter({"NOT TRIED: this user may not mount": 0})
        else:
            began = time.monotonic()
            outcomes[name] = fault(study, times, random.Random(f"{seed} {number}"))
            if fault in MEASURING:
                expect_same_after_rerun(study, expected)
            say(f"{name}: {dict(outcomes[name])}, {time.monotonic() - began:.0f} s")
    return outcomes


def format_page(faults, hostile, cases):
    """The page: two tables and what in them may differ from run to run."""
    lines = ["# Faults and hostile input", ""]
    lines += [f"Written by `make faults` (`python -m tests.faults.campaign --cases {cases}`)."]
    lines += ["A run that meets any other outcome (a traceback, a wrong or half-written result,"]
    lines += ["a file neither measured nor refused) stops, and writes no page.", ""]
    lines += ["| Fault | Times tried | Outcome |", "| --- | ---: | --- |"]
    lines += [_row(name, counts) for name, counts in faults.items()]
    lines += ["", "| Hostile input | Cases | Outcome |", "| --- | ---: | --- |"]
    lines += [_row(name, counts) for name, counts in sorted(hostile.items())]
    lines += ["", f"{sum(map(Counter.total, hostile.values()))} hostile inputs in all. The second"]
    lines += ["table follows from the seed and the pinned packages. In the first, the times tried"]
    lines += ["are fixed; kills, limits and races fall on other moments in every run, so how often"]
    lines += ["each of their good outcomes appears may differ."]
    return "\n".join(lines) + "\n"


def _row(name, counts):
    shown = ", ".join(
        f"{count} {what}" if count else what for what, count in sorted(counts.items())
    )
    return f"| {name} | {counts.total()} | {shown} |"


def main():
    """Run the whole campaign and write its page."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=3000, help="hostile inputs (default: 3000)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    def say(line):
        print(line, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        hostile = attack(Path(name), options.cases, options.seed, workers=2)
        say(json.dumps(hostile, indent=1))
        faults = disturb(Path(name), options.seed, say)
    PAGE.write_text(format_page(faults, hostile, options.cases), encoding="utf-8")
    say(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
