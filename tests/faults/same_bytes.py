"""Run a study again and again from nothing, some runs killed on the way, and compare every byte.

``python -m tests.faults.same_bytes --runs 10 [STUDY]`` says what came of it, and fails where a file
under ``exports/`` or ``figures/``, or the report, differs between two runs. The study's own output
is not touched.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.faults.common import Failure, expect, read_tree
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.study import load_study

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("exports", "figures")
RUN = """
import dataclasses, pathlib, sys
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.cli.drawing import draw_figures, write_study_report
from upscale_audit.warehouse.export import export_tables

study = dataclasses.replace(load_study(sys.argv[1]), output=pathlib.Path(sys.argv[2]))
threads = int(sys.argv[3])
steps = {
    "ingest": lambda: ingest_study(study, workers=threads),
    "build": lambda: build_warehouse(study, threads=threads),
    "export": lambda: export_tables(study),
    "figures": lambda: draw_figures(study),
    "report": lambda: write_study_report(study),
}
for name, step in steps.items():
    print(name, flush=True)
    step()
print("done", flush=True)
"""
STAGES = ("ingest", "build", "export", "figures", "report")


def run_all(study, output, threads, seed, killed_in=None, after_s=0):
    """Run every stage in a process of its own; kill it some time after a stage began.

    Returns
    -------
    dict
        Seconds from the start at which each stage began, and ``done`` where it got there.
    """
    arguments = [sys.executable, "-c", RUN, str(study.path), str(output), str(threads)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            arguments,
            env=os.environ | {"PYTHONHASHSEED": str(seed), "POLARS_MAX_THREADS": str(threads)},
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=said, text=True,
            start_new_session=True,
        )  # fmt: skip
        began, reached = time.monotonic(), {}
        for line in process.stdout:
            reached[line.strip()] = time.monotonic() - began
            if line.strip() == killed_in:
                time.sleep(after_s)
                os.killpg(process.pid, signal.SIGKILL)
                break
        process.communicate()
        said.seek(0)
        if process.returncode == 0:  # it may have ended before the kill
            reached.setdefault("done", time.monotonic() - began)
        elif killed_in is None or process.returncode != -signal.SIGKILL:
            raise Failure(f"ended with {process.returncode}: {said.read()[-2000:]}")
    return reached


def read_bytes(output):
    """SHA-256 of every file whose bytes no run may change, by folder and name."""
    files = {
        f"{folder}/{name}": sha256
        for folder in FOLDERS
        for name, sha256 in read_tree(output / folder).items()
    }
    report = output / "report.html"
    return files | ({report.name: hash_file(report)} if report.is_file() else {})


def compare(first, other):
    """Names of files that are not the same in both."""
    return sorted(
        name for name in first.keys() | other.keys() if first.get(name) != other.get(name)
    )


def repeat(study, output, runs, generator, say):
    """Run a study from nothing so many times, every second time after a kill; the files compared.

    Returns
    -------
    files : int
    warehouses : int
        How many different files `warehouse.duckdb` was: its bytes may vary, theirs may not.
    kills : list of str
        The stages that were killed.
    """
    first, lasting, warehouses, kills = None, {}, set(), []
    for number in range(runs):
        shutil.rmtree(output, ignore_errors=True)
        threads = 1 + number % 3
        if number % 2:
            stage = STAGES[number // 2 % len(STAGES)]
            after_s = lasting[stage] * generator.uniform(0.1, 0.9)
            killed = "done" not in run_all(study, output, threads, number, stage, after_s)
            kills += [stage] * killed
        reached = run_all(study, output, threads, number)
        times = [*reached.values()]
        if not lasting:
            lasting = {n: b - a for n, a, b in zip(STAGES, times, times[1:], strict=False)}
        found = read_bytes(output)
        first = first or found
        differing = compare(first, found)
        expect(not differing, f"run {number + 1} wrote other bytes: {', '.join(differing)}")
        warehouses.add(hash_file(output / "warehouse.duckdb"))
        after = f" after a kill in {stage}" if number % 2 and killed else ""
        say(f"run {number + 1}{after}, {threads} threads: {len(found)} files, all the same")
    return len(first), len(warehouses), kills


def main():
    """Run a study again and again, and say whether its bytes stand."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.same_bytes", description=__doc__)
    parser.add_argument("study", nargs="?", type=Path, default=REPOSITORY / "sample/study.toml")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        output, study = Path(name).resolve() / "out", load_study(options.study)
        files, warehouses, kills = repeat(
            replace(study, output=output), output, options.runs, random.Random(options.seed),
            lambda line: print(line, flush=True),
        )  # fmt: skip
    print(
        f"{options.runs} runs from nothing, {len(kills)} of them after a kill"
        f" ({', '.join(kills)}): {files} files the same in all, {warehouses} different warehouses"
    )


if __name__ == "__main__":
    main()
