"""Commands that prove and hand on: verify, prove, check-hashes, paper."""

import csv
import sys
from collections import Counter
from pathlib import Path

from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.options import (
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_OK,
    add_command,
    load_extra,
)
from upscale_audit.warehouse.cli.progress import Progress, say


def add_commands(commands):
    """Add the commands to the parser."""
    add_command(
        commands,
        "verify",
        _verify,
        "hash everything again and name what differs",
        argument=("PATH", "a study file, its output folder, a part of it, or a paper's folder"),
    )
    prove = add_command(
        commands, "prove", _prove, "prove that a file is in the study's Merkle root"
    )
    prove.add_argument("file", metavar="FILE", nargs="?", help="a source file, or its name")
    check = add_command(
        commands,
        "check-hashes",
        _check_hashes,
        "check files against a published hash list",
        example="SHA256SUMS --folder images",
        argument=(
            "LIST",
            "sha256sum text, BSD style, CSV, BagIt manifest, or what Get-FileHash, certutil, 7-Zip"
            " or hashdeep print; plain or in a zip",
        ),
    )
    place = check.add_mutually_exclusive_group(required=True)
    place.add_argument("--folder", type=Path, help="where the files lie")
    place.add_argument("--archive", type=Path, help="a zip that holds the files")
    paper = add_command(commands, "paper", _paper, "write a folder and a zip for a data repository")
    paper.add_argument("--folder", type=Path, help="where (default: paper/ beside the exports)")
    paper.add_argument("--license", help="of tables and figures: a URL, or as CC-BY-4.0 (SPDX)")
    paper.add_argument(
        "--date",
        help="date of publication, YYYY-MM-DD (default: SOURCE_DATE_EPOCH, else the day on which"
        " the exports were written)",
    )


def _verify(options):
    from upscale_audit.warehouse.proof.verify import verify

    is_study = options.study.suffix == ".toml"
    study = load_study(options.study) if is_study else None
    path = study.output if is_study else options.study
    with Progress("verify", "MB") as progress:
        report = verify(path, study, progress)
    _write_rows(
        ("problem", "name", "expected", "found", "repair"),
        [[show(value or "") for value in vars(item).values()] for item in report.findings],
    )
    say(f"hashed {report.files} files, {report.bytes / 1e6:.1f} MB, in {path}")
    for name, root in report.roots.items():
        say(f"Merkle root of {name}: {root}")
    if not is_study:
        say("source files were not read: give the study file to verify them too")
    for item in report.findings[:5]:
        say(f"{item.problem}: {show(item.name)}; repair: {item.repair}")
    if report.findings:
        say(f"{len(report.findings)} differences")
        return EXIT_FAILED
    say("all as their manifests say")
    return EXIT_OK


def _prove(options):
    from upscale_audit.warehouse.proof.inclusion import describe_proof

    for line in describe_proof(load_study(options.study), options.file):
        print(line)
    return EXIT_OK


def _check_hashes(options):
    from upscale_audit.warehouse.proof.hash_lists import (
        STATUSES,
        compare,
        hash_archive,
        hash_folder,
        place_entries,
        read_list,
        select_described,
    )

    entries = read_list(options.study)
    if options.archive is not None:
        hashes, refused = hash_archive(options.archive)
    else:
        with Progress("check-hashes", "MB") as progress:
            hashes, refused = hash_folder(options.folder, options.study, progress)
    entries = place_entries(entries, hashes)
    hashes, refused = select_described(options.study, entries, hashes, refused)
    rows = compare(entries, hashes, refused)
    _write_rows(
        ("status", "name", "expected_sha256", "found_sha256", "found_name", "detail"),
        [
            (
                row.status,
                show(row.name),
                row.expected_sha256,
                row.found_sha256,
                None if row.found_name is None else show(row.found_name),
                row.detail,
            )
            for row in rows
        ],
    )
    counts = Counter(row.status for row in rows)
    say(", ".join(f"{counts[status]} {status}" for status in STATUSES))
    return EXIT_OK if counts["matched"] == len(rows) else EXIT_INCOMPLETE


def _paper(options):
    write_paper = load_extra("warehouse.proof.paper", "provenance").write_paper
    study = load_study(options.study)
    with Progress("paper", "MB") as progress:
        report = write_paper(study, options.folder, options.date, options.license, progress)
    say(f"wrote {report.files} files to {report.folder} ({report.bytes / 1e6:.1f} MB)")
    say(f"and {report.archive}, SHA-256 {report.archive_sha256}, which stands beside it")
    say(f"published on {report.date}; Merkle root: {report.root}")
    for note in report.notes:
        say(note)
    return EXIT_OK


def show(name):
    r"""Spell a name so that it is one line and no terminal obeys it: ``\n``, ``\x1b``."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def _write_rows(header, rows):
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
