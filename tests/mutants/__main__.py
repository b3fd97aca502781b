"""`make mutants`: put one fault at a time into a copy, and see whether tests notice.

The faults are those of faults.toml: a wrong join key, < for <=, paths exchanged, a filter dropped,
ends of an interval exchanged, a command that leaves a step out; each names the tests that are to
notice, so that the whole takes hours and not days. And a sample of what Cosmic Ray changes in
modules that decide numbers. Writes docs/mutants.md.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.mutants.mutations import SAMPLED, TARGETS, try_mutations

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = REPOSITORY / "docs" / "mutants.md"
PACKAGES = ("analysis", "dbt_project", "ingest", "reading", "restore", "warehouse")
LONGEST_S = 1200
"""A run that takes longer has noticed: the fault made something endless."""
NOTICED, SURVIVED, BROKEN, UNTRIED = "noticed", "survived", "broken", "not tried"


@dataclass(frozen=True)
class Fault:
    """One change of meaning.

    Attributes
    ----------
    file : str
        From the repository's root.
    before, after : str
        Text that occurs once in the file, and what stands there instead.
    means : str
        What a reader would get wrong.
    tests : tuple of str
        Arguments of pytest: who is to notice.
    survives : str
        Why no test can or should notice; empty where one must.
    """

    file: str
    before: str
    after: str
    means: str
    tests: tuple[str, ...]
    survives: str = ""


def read_faults():
    """Read the list of faults."""
    with (Path(__file__).parent / "faults.toml").open("rb") as file:
        listed = tomllib.load(file)["faults"]
    return [Fault(**row | {"tests": tuple(row["tests"])}) for row in listed]


def main():
    """Run the faults and write the page; the exit code is 1 where one survives unexplained."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--only", default="", help="faults whose file holds this text")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="copies at once")
    parser.add_argument("--mutations", type=int, default=SAMPLED, help="of Cosmic Ray, in all")
    options = parser.parse_args()
    faults = [fault for fault in read_faults() if options.only in fault.file]
    results = try_faults(faults, options.workers)
    if not options.only:
        with tempfile.TemporaryDirectory(prefix="upscale-audit-mutants-") as folder:
            copy = copy_repository(Path(folder) / "copy")
            mutations = try_mutations(copy, make_environment(copy), sampled=options.mutations)
        PAGE.write_text(format_page(results, mutations), encoding="utf-8")
    return int(any(outcome != NOTICED and not fault.survives for fault, outcome in results))


def try_faults(faults, workers):
    """Try each fault in a copy of the repository.

    Returns
    -------
    list of (Fault, str)
        In their order: `NOTICED`, `SURVIVED`, or `BROKEN` where the tests did not run.
    """
    with tempfile.TemporaryDirectory(prefix="upscale-audit-mutants-") as folder:
        copies = SimpleQueue()
        for number in range(workers):
            copies.put(copy_repository(Path(folder) / str(number)))
        with ThreadPoolExecutor(workers) as pool:
            outcomes = pool.map(lambda fault: _try_in_turn(fault, copies), faults)
            results = list(zip(faults, outcomes, strict=True))
            # Tests that fail without a fault have noticed nothing.
            noticing = {fault.tests for fault, outcome in results if outcome == NOTICED}
            passes = dict(
                zip(noticing, pool.map(lambda names: _pass(names, copies), noticing), strict=True)
            )
    return [
        (fault, BROKEN if outcome == NOTICED and not passes[fault.tests] else outcome)
        for fault, outcome in results
    ]


def _try_in_turn(fault, copies):
    copy, begin = copies.get(), time.monotonic()
    try:
        outcome = try_fault(fault, copy)
    finally:
        copies.put(copy)
    print(f"{outcome:8} {time.monotonic() - begin:4.0f} s  {fault.file}: {fault.means}", flush=True)
    return outcome


def _pass(names, copies):
    copy = copies.get()
    try:
        code, said = _run_tests(names, copy)
    except subprocess.TimeoutExpired:
        code, said = None, f"longer than {LONGEST_S} s"
    finally:
        copies.put(copy)
    if code != 0:
        print(f"fail without a fault: {' '.join(names)}\n{said[-2000:]}", flush=True)
    return code == 0


def copy_repository(folder):
    """Copy what git does not ignore; the copy's packages are found before the installed ones."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    namespace = folder / "namespace" / "upscale_audit"
    namespace.mkdir(parents=True)
    for name in PACKAGES:
        (namespace / name).symlink_to(folder / name, target_is_directory=True)
    return folder


def make_environment(copy):
    """Give an environment in which Python finds a copy's packages first, and no outer options."""
    paths = os.pathsep.join([str(copy / "namespace"), str(copy)])
    options = {"PYTEST_ADDOPTS": "", "PYTHONPATH": paths}
    return os.environ | options


def try_fault(fault, copy):
    """Put a fault into a copy, run its tests, and put the file back."""
    path = copy / fault.file
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace(fault.before, fault.after), encoding="utf-8")
    try:
        code, said = _run_tests(fault.tests, copy)
    except subprocess.TimeoutExpired:
        return NOTICED
    finally:
        path.write_text(whole, encoding="utf-8")
    if code not in (0, 1):
        print(said[-2000:], flush=True)
        return BROKEN
    return SURVIVED if code == 0 else NOTICED


def _run_tests(names, copy):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *names]
    run = subprocess.run(
        command, cwd=copy, env=make_environment(copy), timeout=LONGEST_S,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    return run.returncode, run.stdout


def format_page(results, mutations=()):
    """Compose docs/mutants.md."""
    noticed = sum(outcome == NOTICED for _, outcome in results)
    tried = sum(outcome != UNTRIED for _, outcome in results)
    left = f" {len(results) - tried} were not tried." if tried < len(results) else ""
    lines = [
        "# Tests that notice",
        "",
        "What `make mutants` tries, at once or in parts: of each fault of",
        "tests/mutants/faults.toml, put alone into a copy of the project, whether the tests that",
        "it names fail, which pass without it. The faults were chosen by hand, where a reader",
        "would be misled; others may fare otherwise.",
        "",
        f"{noticed} of {tried} faults were noticed.{left}",
        "",
        *_list_faults(results),
        *(_list_mutations(mutations) if mutations else []),
    ]
    return "\n".join(lines) + "\n"


def _list_faults(results):
    lines = ["| file | what the fault means | outcome |", "| --- | --- | --- |"]
    for fault, outcome in results:
        said = f"{outcome}: {fault.survives}" if outcome != NOTICED and fault.survives else outcome
        lines.append(f"| `{fault.file}` | {fault.means} | {said} |")
    return lines


def _list_mutations(mutations):
    survived = [item for item in mutations if not item.is_noticed]
    harmless = sum(item.reason is not None for item in survived)
    able = len(mutations) - harmless
    lines = [
        "",
        "## Mutations by Cosmic Ray",
        "",
        f"A sample of {len(mutations)} of all that it makes of {len(TARGETS)} modules that decide",
        f"numbers (tests/mutants/mutations.py), annotations apart. {harmless} change no value; of",
        f"the other {able} the modules' own unit tests noticed {len(mutations) - len(survived)}.",
        "Those that survived, each with the line as it was and as it became:",
        "",
    ]
    for item in survived:
        said = f": {item.reason}" if item.reason else ""
        lines += [f"`{item.file}` line {item.line}{said}", ""]
        lines += ["```diff", *item.changed_lines, "```", ""]
    return lines[:-1]


if __name__ == "__main__":
    sys.exit(main())
