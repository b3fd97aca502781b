"""Break the pipeline on purpose, many times, and count what it says: writes docs/faults.md."""

import argparse
import contextlib
import hashlib
import json
import logging
import math
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import pyarrow.parquet as pq

from tests.conftest import StudyFolder
from tests.faults.common import (
    Failure,
    Tally,
    attempt,
    expect,
    make_study,
    read_tree,
    run_command,
)
from tests.faults.corpora import keep_section
from tests.faults.forgeries import (
    draw_degenerate,
    exchange_references,
    forge_limits,
    launder_measures,
    launder_outputs,
    mistype_manifests,
    name_with_hostility,
    read_tampered,
)
from tests.faults.hostile import attack, encode, merge
from tests.faults.kinds import attack_more
from tests.faults.records import Record, hash_code
from upscale_audit.ingest import run, units
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.proof.paper import write_paper
from upscale_audit.warehouse.proof.verify import verify

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "faults.md"
SHELL = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
DATE = "2026-01-01"


def command(name, study, *options):
    """The command line of a stage."""
    return [sys.executable, "-m", "upscale_audit.warehouse.cli", name, str(study.path), *options]


def start(arguments, **options):
    """Start a command in the repository, its words captured."""
    return subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        **options,
    )  # fmt: skip


def finish(process):
    """Wait for a command: 'done', or 'refused' and the one line in which it said so."""
    _, said = process.communicate(timeout=600)
    expect("Traceback" not in said, said[-2000:])
    if process.returncode == 0:
        return "done", None
    last = said.strip().splitlines()[-1]
    expect(process.returncode == 1 and last.startswith("upscale-audit: "), said[-2000:])
    return "refused", last.removeprefix("upscale-audit: ")


def read_exports(study):
    """Hash list and manifest of the exports, after checking that each file is as it says."""
    folder = study.output / "exports"
    sums = (folder / "SHA256SUMS").read_text()
    for line in sums.splitlines():
        sha256, name = line.split("  ", 1)
        expect(hash_file(folder / name) == sha256, f"exports/{name} is not whole")
    return sums + (folder / "manifest.json").read_text()


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
    rerun(study)
    expect(read_exports(study) == expected, "a rerun gave other bytes")


def rerun(study):
    """Run everything up to the exports again."""
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    export_tables(study)


def expect_sealed(study):
    """Whatever has a manifest is as that says; what a fault cut short has none."""
    unfinished = ("manifest.json", ".sha256")
    for item in verify(study.output).findings:
        is_debris = item.problem == "missing" and item.name.endswith(unfinished)
        expect(is_debris or item.problem in ("extra", "outdated"), f"{item.problem}: {item.name}")


STAGES = {
    "ingest": ("raw", ()),
    "build": ("warehouse.duckdb", ()),
    "export": ("exports", ()),
    "figures": ("figures", ()),
    "map": ("maps", ("a", "alpha", "--also", "beta")),
    "docs": ("docs.html", ()),
    "paper": ("paper", ("--date", DATE)),
}


def find_result(study, stage):
    """Bytes of what a stage wrote; the exports stand for a database, whose bytes have no order."""
    if stage == "build":
        export_tables(study)
        return read_exports(study)
    if stage == "paper":
        return read_tree(study.output / "paper") | read_tree(study.output / "paper.zip")
    return read_tree(study.output / STAGES[stage][0])


def kill(study, times, generator, stage, window=(0.15, 1.0)):
    """SIGKILL a stage at random moments of its run, look at what stands, and run it again.

    Parameters
    ----------
    window : tuple of float
        Shares of an undisturbed run's time between which the moment is drawn; how long one takes is
        learned as the machine's load changes.
    """
    name, arguments = stage, STAGES[stage][1]
    run_command(name, study.path, *arguments)
    expected, exports = find_result(study, stage), read_exports(study)
    began = time.monotonic()
    done, _ = finish(start(command(name, study, *arguments)))
    lasted = time.monotonic() - began
    expect(done == "done", f"{stage} failed undisturbed")
    tally, attempts = Tally(), 0
    while tally.outcomes.total() < times and attempts < 3 * times:
        attempts += 1
        if stage == "ingest":
            shutil.rmtree(study.raw)
        began = time.monotonic()
        process = start(command(name, study, *arguments), start_new_session=True)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(lasted * generator.uniform(*window))
        ended = process.poll() is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, said = process.communicate()
        if ended:  # on a machine that is less busy now than it was: no kill, and none is counted
            expect(process.returncode == 0, f"{stage} failed undisturbed: {said[-2000:]}")
            lasted = 0.9 * (time.monotonic() - began)
            continue
        lasted *= 1.02
        expect_sealed(study)
        expect_whole(study)
        expect(read_exports(study) == exports, "exports changed")
        tally.add("what stood before is whole")
        run_command(name, study.path, *arguments)
        expect(find_result(study, stage) == expected, f"{stage} run again gave other bytes")
        tally.identical += 1
    expect(tally.outcomes, f"{stage} was never killed in time")
    return tally


def limit_file_size(study, times, generator):
    """Let every write beyond a size fail, in each stage in turn."""
    expected, tally = read_exports(study), Tally()
    for number in range(times):
        name = ("ingest", "build", "export")[number % 3]
        largest = {"ingest": 4000, "build": 8_000_000, "export": 4000}[name]
        size = generator.randint(1, largest)
        if name == "ingest":
            shutil.rmtree(study.raw)

        def limit(size=size):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        tally.add(*finish(start(command(name, study), preexec_fn=limit)))
        expect_sealed(study)
        expect_whole(study)
        expect(read_exports(study) == expected, "exports changed")
        ingest_study(study, workers=1)
    expect_same_after_rerun(study, expected)
    tally.identical = 1
    return tally


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
    expected, tally = read_exports(study), Tally()
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
        tally.add(*finish(start([*arguments, *command(name, study)])))
    expect_whole(study)
    expect_same_after_rerun(study, expected)
    tally.identical = 1
    return tally


def write_protect(study, times, generator):
    """Run each stage on a read-only output folder."""
    tally = Tally()
    script = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"; shift; exec "$@"'
    for number in range(times):
        name = ("ingest", "build", "export", "figures")[number % 4]
        said = finish(start([*SHELL, script, "sh", str(study.output), *command(name, study)]))
        expect(said[0] == "refused", f"{name} did not notice a read-only folder")
        tally.add(*said)
    return tally


def change_sources(study, times, generator):
    """Replace, cut or delete the file under the reader, just before or just after it is read."""
    tally, read = Tally(), units.read_bytes
    for number in range(times):
        shutil.rmtree(study.raw, ignore_errors=True)
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

        def read_disturbed(
            path, *limit, victim=victim, first=first, disturb=disturb, handed=handed
        ):
            if path == victim and first:
                disturb()
            data = read(path, *limit)
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
        tally.add("reject row" if report.rejects else "hashed as read")
        victim.write_bytes(good)
    return tally


def corrupt(study, times, generator):
    """Change bytes of a shard, a manifest, the warehouse or an export; the next run mends it."""
    expected, tally = read_exports(study), Tally()
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
            try:
                export_tables(study)
                expect(read_exports(study) == expected, "a damaged warehouse was exported")
                tally.add("found by verify, exported again")
            except StudyError as error:
                expect(kind == "warehouse", "an export was not written again")
                tally.add("found by verify, refused", str(error))
            if kind == "warehouse":
                path.write_bytes(good)
                path.chmod(0o444)
                export_tables(study)
        else:
            expect(attempt(build_warehouse, study) == "StudyError", f"built from a bad {path.name}")
            ingest_study(study, workers=1)
            expect(path.read_bytes() == good, f"{path.name} was not mended")
            tally.add("found by verify, build refused, ingest mended it")
        expect(read_exports(study) == expected, "exports changed")
        tally.identical += 1
    return tally


def run_two_at_once(study, times, generator):
    """Start the same stage twice; one does it, the other too or is refused in a line."""
    expected, tally = read_exports(study), Tally()
    for number in range(times):
        name = ("ingest", "build", "map", "export", "figures")[number % 5]
        both = [start(command(name, study, *STAGES[name][1])) for _ in range(2)]
        ended = sorted(map(finish, both), key=lambda said: said[0])
        expect(ended[0][0] == "done", "neither of two did the work")
        tally.add(f"done and {ended[1][0]}", ended[1][1])
        expect_sealed(study)
    expect_whole(study)
    expect_same_after_rerun(study, expected)
    tally.identical = 1
    return tally


READER = """
import json, sys, time, duckdb
expected, count = json.loads(sys.argv[2]), 0
while True:
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        names = connection.sql("select table_name from dim_tables order by table_name").fetchall()
        counts = [f"select count(*) from {name}" for (name,) in names]
        rows = [connection.sql(query).fetchall()[0][0] for query in counts]
        assert dict(zip([name for (name,) in names], rows)) == expected, rows
    count += 1
    print(count, flush=True)
    time.sleep(0.2)
"""


def read_while_publishing(study, times, generator, readers=4):
    """Four processes open the warehouse anew, and count every table, through publications."""
    with open_warehouse(study.warehouse) as connection:
        names = [name for (name,) in connection.sql("select table_name from dim_tables").fetchall()]
        counts = {
            name: connection.sql(f"select count(*) from {name}").fetchall()[0][0] for name in names
        }
    exports = read_exports(study)
    arguments = [sys.executable, "-c", READER, str(study.warehouse), json.dumps(counts)]
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
            expect(read_exports(study) == exports, "readers changed a byte")
        deadline = time.monotonic() + 120
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
    tally = Tally()
    whole = f"queries through {times} publications, none an error or of a half-built table"
    tally.outcomes[whole] = sum(queries)
    return tally


def set_clock(study, times, generator):
    """Date inputs and outputs far back or ahead; nothing is measured again or differs."""
    expected, tally = read_exports(study), Tally()
    for _ in range(times):
        stamp = generator.choice([0, 315_532_800, 4_102_444_800])
        for path in study.path.parent.rglob("*"):
            if generator.random() < 0.7:
                os.utime(path, (stamp, stamp))
        expect(ingest_study(study, workers=1).units_measured == 0, "a date caused a measurement")
        build_warehouse(study, threads=2)
        export_tables(study)
        expect(read_exports(study) == expected, "a date changed a byte")
        tally.add("nothing measured again")
        tally.identical += 1
    return tally


def exhaust_memory(study, times, generator):
    """Let the n-th decoding find no memory; finished units are kept."""
    tally, decode = Tally(), units.decode_image
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
                said = str(error)
            units.decode_image = decode
            found = ingest_study(study, workers=1).units_kept
            expect(found == kept, f"{found} units kept, not {kept}")
            tally.add("refused, finished units kept", said)
    finally:
        units.decode_image, run.IMAGES_PER_UNIT = decode, per_unit
        shutil.rmtree(study.raw, ignore_errors=True)  # units of one image would be kept
    return tally


def starve_workers(study, times, generator):
    """Let each of two ingest workers have only so much more address space (RLIMIT_AS)."""
    folder = StudyFolder(study.path.parent / "starved")
    folder.add_model("alpha", paths=("notta",))
    for image_id in ("a", "b", "c"):
        folder.add_image(image_id, shape=(512, 512))
    starved, tally = folder.load(), Tally()
    per_unit, run.IMAGES_PER_UNIT = run.IMAGES_PER_UNIT, 1
    try:
        ingest_study(starved, workers=1)
        expected = read_tree(starved.raw)
        for number in range(times):
            shutil.rmtree(starved.raw)
            # From nothing at all to about what a worker needs.
            room = generator.randint(0, 1_000_000_000) if number else 0
            arguments = [sys.executable, "-m", "tests.faults.scarce", str(starved.path), str(room)]
            tally.add(*finish(start(arguments)))
            ingest_study(starved, workers=1)
            expect(read_tree(starved.raw) == expected, "a rerun gave other bytes")
            tally.identical += 1
    finally:
        run.IMAGES_PER_UNIT = per_unit
        shutil.rmtree(folder.root)
    return tally


def kill_stage(stage, *window):
    """Name the fault that kills a stage."""
    return lambda *arguments: kill(*arguments, stage, *window)


FAULTS = {
    "SIGKILL during ingest": (kill_stage("ingest"), 10),
    "SIGKILL during export": (kill_stage("export"), 6),
    "SIGKILL while figures are drawn": (kill_stage("figures"), 5),
    "SIGKILL while a map is drawn": (kill_stage("map"), 5),
    "SIGKILL while a paper is written": (kill_stage("paper"), 5),
    "SIGKILL during build": (kill_stage("build"), 6),
    "SIGKILL while the tables' page is written": (kill_stage("docs"), 2),
    "no room for a larger file (ingest, build, export)": (limit_file_size, 6),
    "small file system runs full (ingest, build, export)": (fill_disk, 3),
    "read-only output (ingest, build, export, figures)": (write_protect, 4),
    "source replaced, cut or deleted while it is read": (change_sources, 30),
    "bytes changed in a shard, manifest, warehouse or export": (corrupt, 20),
    "two at once (ingest, build, map, export, figures)": (run_two_at_once, 5),
    "4 readers query in a loop through publications": (read_while_publishing, 20),
    "clock set back or ahead": (set_clock, 2),
    "decoder finds no memory": (exhaust_memory, 20),
    "ingest worker under RLIMIT_AS": (starve_workers, 5),
    "folder names of patterns and keys, Jinja in texts, script in labels": (name_with_hostility, 3),
    "study without contrast, size or change": (draw_degenerate, 3),
    "unit, shard, table, raw folder or source laundered": (launder_measures, 20),
    "export, figure or map laundered with its manifest": (launder_outputs, 30),
    "tampered warehouse read (export, freeze, figures, map, worst)": (read_tampered, 30),
    "manifest of wrong types under right hashes": (mistype_manifests, 40),
    "frozen file forged, its hash restated": (forge_limits, 20),
    "reference replaced between two ingests": (exchange_references, 20),
}
LONG = {
    "SIGKILL during ingest": 250,
    "SIGKILL during export": 100,
    "SIGKILL while figures are drawn": 15,
    "SIGKILL while a map is drawn": 30,
    "SIGKILL while a paper is written": 40,
    "SIGKILL during build": 15,
    "SIGKILL while the tables' page is written": 5,
    "no room for a larger file (ingest, build, export)": 9,
    "small file system runs full (ingest, build, export)": 9,
    "read-only output (ingest, build, export, figures)": 20,
    "two at once (ingest, build, map, export, figures)": 15,
    "4 readers query in a loop through publications": 20,
    "clock set back or ahead": 5,
    "ingest worker under RLIMIT_AS": 20,
    "folder names of patterns and keys, Jinja in texts, script in labels": 3,
    "study without contrast, size or change": 4,
}
"""How often the long form tries what takes a process, a build or drawings each time."""
SHARES = {
    "source replaced, cut or deleted while it is read": 0.05,
    "bytes changed in a shard, manifest, warehouse or export": 0.02,
    "decoder finds no memory": 0.2,
    "unit, shard, table, raw folder or source laundered": 0.03,
    "export, figure or map laundered with its manifest": 0.04,
    "tampered warehouse read (export, freeze, figures, map, worst)": 0.38,
    "manifest of wrong types under right hashes": 0.08,
    "frozen file forged, its hash restated": 0.15,
    "reference replaced between two ingests": 0.05,
}
"""What each quick fault has of the rest: those that take a fraction of a second."""
READERS = "4 readers"
"""What they count are queries, no faults."""
MOUNTING = (fill_disk, write_protect)
MEASURING = (change_sources, exhaust_memory)


@contextlib.contextmanager
def quiet():
    """Keep warnings from being said, and leave logging as it was."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def make_whole_study(root):
    """A study with every stage there is: the faults strike among all of them."""
    study = make_study(root, build=True)
    run_command("figures", study.path)
    write_paper(study, date=DATE)
    return study


def disturb(folder, seed, say, record, total=0, processes=1):
    """Try every fault, each on a study of its own; what came of each, by name.

    Parameters
    ----------
    folder : Path
    seed : int
    say : callable
        Called with a line as a fault ends.
    record : Record
        Of what a campaign that was stopped has come to.
    total : int
        How many faults at least, all together; by default a few of each.
    processes : int
        How many faults are tried at a time; no outcome depends on it.
    """
    study, tallies = make_whole_study(folder / "study"), {n: record.read_tally(n) for n in FAULTS}
    with start_pool(processes) as pool:
        running = {}
        for number, (name, (fault, times)) in enumerate(FAULTS.items()):
            if tallies[name] is not None:
                continue
            if fault in MOUNTING and not can_mount():
                tallies[name] = Tally(reason="not tried: this user may not mount")
                continue
            root = folder / f"of{number}" / "study"
            shutil.copytree(study.path.parent, root)
            times = max(times, plan_times(name, total))
            running[pool.submit(try_fault, name, root, times, f"{seed} {number}")] = name
        for done in as_completed(running):
            name = running[done]
            tallies[name], lasted = done.result()
            record.write_tally(name, tallies[name])
            say(f"{name}: {tallies[name].reason or dict(tallies[name].outcomes)}, {lasted:.0f} s")
    return tallies


def plan_times(name, total):
    """How often the long form tries a fault, so that `total` are tried, queries not counted."""
    if not total or name in LONG:
        return LONG[name] if total else 0
    dear = sum(times for other, times in LONG.items() if not other.startswith(READERS))
    return math.ceil(max(0, total - dear) * SHARES[name])


def start_pool(processes):
    """Processes of their own for faults: what one changes in a module, no other meets."""
    return ProcessPoolExecutor(processes, mp_context=get_context("spawn"))


@quiet()
def try_fault(name, root, times, seed):
    """Try a fault on a study; what came of it, and the seconds it took."""
    study, began = load_study(root / "study.toml"), time.monotonic()
    expected, fault = read_tree(study.raw), FAULTS[name][0]
    try:
        tally = fault(study, times, random.Random(seed))
        if fault in MEASURING:
            ingest_study(study, workers=1)
            expect(read_tree(study.raw) == expected, "a rerun gave other bytes")
            tally.identical = 1
    except Exception as error:  # a fault that no study error names is what is looked for
        tally = Tally(wrong=1, reason=f"FAILED: {type(error).__name__}: {error}"[:500])
    tally.messages = Counter(
        {text.replace(str(root), "…"): count for text, count in tally.messages.items()}
    )
    shutil.rmtree(root.parent, ignore_errors=True)
    return tally, time.monotonic() - began


@quiet()
def attack_all(folder, cases, seeds, record):
    """Try about `cases` hostile inputs of every kind, drawn from each seed; outcomes by kind."""
    hostile = {}
    for seed in seeds:
        for attacker, share in ((attack, cases * 2 // 3), (attack_more, cases // 3)):
            name = f"{attacker.__name__} {seed}"
            outcomes = record.read(name)
            if outcomes is None:
                inputs = folder / name
                inputs.mkdir()
                outcomes = attacker(inputs, share, seed, workers=2)
                shutil.rmtree(inputs)
                record.write(name, outcomes)
            merge(hostile, outcomes)
    return hostile


def format_page(faults, hostile, options):
    """The page: what was tried, what came of it, and what in it may differ from run to run."""
    lines = ["# Faults and hostile input", ""]
    lines += [f"Written by `make faults` (`python -m tests.faults.campaign {options}`), which"]
    lines += ["breaks a small study in each of these ways and looks at what stands, what is said"]
    lines += ["and what the next run writes. A wrong or half-written result, or a traceback, is a"]
    lines += ["row that says FAILED, and `make faults` fails.", ""]
    lines += ["| Fault | Tried | Wrong | Rerun identical | Outcome |"]
    lines += ["| --- | ---: | ---: | ---: | --- |"]
    lines += [_row_fault(name, tally) for name, tally in faults.items()]
    kills = sum(t.outcomes.total() for name, t in faults.items() if name.startswith("SIGKILL"))
    tried = sum(t.outcomes.total() for n, t in faults.items() if not n.startswith(READERS))
    lines += ["", f"{tried:,} faults in all, {kills} of them kills. *Rerun identical* counts"]
    lines += ["reruns whose bytes are those of an undisturbed run: after every trial, or once"]
    lines += ["after all (1 of 1). A warehouse is compared by its exports; for readers, *tried*"]
    lines += ["counts their queries.", ""]
    lines += ["## What is said", "", "One line each, `…` for the study's folder."]
    lines += ["", "| Fault | Message |", "| --- | --- |"]
    lines += [line for name, tally in faults.items() for line in _row_message(name, tally)]
    lines += ["", "## Hostile input", "", "| Input | Cases | Outcome |", "| --- | ---: | --- |"]
    lines += [_row(name, counts) for name, counts in sorted(hostile.items())]
    lines += ["", f"{sum(map(Counter.total, hostile.values())):,} inputs in all, drawn from a"]
    lines += ["seed; in one round no two files of images, texts, lists, codecs or studies have the"]
    lines += ["same bytes, save what is packed or huge. A StudyError is one line that names the"]
    lines += ["repair; an input neither measured nor refused, or a file touched outside the study,"]
    lines += ["ends the run without a page. This table is the same in every run with the pinned"]
    lines += ["packages. In those above, what was tried is fixed, but kills, limits and races fall"]
    lines += ["on other moments in each run, so the counts of outcomes may differ."]
    return "\n".join(lines) + "\n"


def _row_fault(name, tally):
    if tally.reason is not None:
        return f"| {name} | 0 | {tally.wrong or '—'} | — | {tally.reason} |"
    tried = tally.outcomes.total()
    reruns = "—"
    if tally.identical:
        reruns = f"{tally.identical} of {tally.identical}"
    return f"| {name} | {tried} | {tally.wrong} | {reruns} | {_spell(tally.outcomes)} |"


def _row_message(name, tally):
    """The most frequent message."""
    for message, _ in sorted(tally.messages.items(), key=lambda item: (-item[1], item[0]))[:1]:
        yield f"| {name} | {message.replace('|', chr(92) + '|')} |"


def _row(name, counts):
    return f"| {name} | {counts.total()} | {_spell(counts)} |"


def _spell(counts):
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))


@quiet()
def main():
    """Run the whole campaign and write its page."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign", description=__doc__)
    parser.add_argument("--cases", type=int, default=3000, help="hostile inputs (default: 3000)")
    parser.add_argument("--rounds", type=int, default=1, help="of inputs, each from its own seed")
    parser.add_argument("--faults", type=int, default=0, help="at least (default: a few of each)")
    parser.add_argument("--processes", type=int, default=2, help="faults at a time (default: 2)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", type=Path, help="folder in which a stopped run finds its outcomes"
    )
    options = parser.parse_args()
    began = time.monotonic()

    def say(line):
        print(f"{time.monotonic() - began:4.0f} s  {line}", file=sys.stderr, flush=True)

    given = f"--cases {options.cases} --rounds {options.rounds} --faults {options.faults}"
    record = Record(options.keep, f"{given} --seed {options.seed} {hash_code()}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        with start_pool(1) as pool:
            seeds = range(options.seed, options.seed + options.rounds)
            inputs = pool.submit(attack_all, folder, options.cases, seeds, record)
            faults = disturb(folder, options.seed, say, record, options.faults, options.processes)
            hostile = inputs.result()
        for kind, counts in hostile.items():
            say(f"{kind}: {dict(counts)}")
        page = format_page(faults, hostile, given) + keep_section(PAGE)
    PAGE.write_text(page, encoding="utf-8")
    say(f"wrote {PAGE}")
    if any(tally.wrong for tally in faults.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
