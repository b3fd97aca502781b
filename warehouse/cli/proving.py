"""Commands that prove and hand on: certify, repair, verify, prove, check-hashes, paper."""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import writing
from upscale_audit.ingest.restorers import LR_RULES
from upscale_audit.ingest.stated_window import parse_window
from upscale_audit.ingest.study import INFERENCE_PATHS, MODEL_ID_PATTERN, PAIRING_RULES, load_study
from upscale_audit.warehouse.cli.options import (
    EXIT_FAILED,
    EXIT_INCOMPLETE,
    EXIT_OK,
    add_command,
    load_extra,
)
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    from upscale_audit.warehouse.proof.certificate import Certificate


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    _add_certify(commands)
    add_command(
        commands,
        "verify",
        _verify,
        "hash everything again and name what differs",
        argument=("PATH", "a study file, its output folder, a part of it, or a paper's folder"),
    )
    summary = "prove that a file is in the study's Merkle root"
    example = "sample/study.toml reference/rg1_r0c0.png"
    prove = add_command(commands, "prove", _prove, summary, example)
    prove.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="a source file by its path, by its name within the study (reference/a.png,"
        " restored/MODEL_ID/notta/a.png), or by the end of that name, where one file alone has it;"
        " without it the root is printed",
    )
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


def _add_certify(commands: argparse._SubParsersAction) -> None:
    summary = "prove which restored images contradict the LR images they were made of"
    certify = commands.add_parser(
        "certify",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}. Needs no reference and no study file.",
        epilog="example:\n  upscale-audit certify --lr sample/lr"
        " --restored sample/restored/upscayl_digital/notta",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    certify.add_argument("--lr", type=Path, required=True, metavar="DIR", help="the LR images")
    certify.add_argument(
        "--restored",
        required=True,
        action="append",
        metavar="[MODEL=]DIR",
        help="what was made of them, 2, 3 or 4 times as large; may be given again",
    )
    certify.add_argument(
        "--rule",
        choices=LR_RULES,
        help="how the LR images were made (default: judge by each, and call contradicted only what"
        " is so by all)",
    )
    certify.add_argument(
        "--window",
        nargs="+",
        metavar="RULE",
        help="for files of more than 8 bits: two values (--window 0 65535), dicom, or percentiles"
        " and two of them, of each LR image",
    )
    certify.add_argument(
        "--pairing", choices=PAIRING_RULES, default="suffix", help="(default: suffix)"
    )
    certify.add_argument(
        "--out",
        type=Path,
        default=Path("certificate"),
        metavar="DIR",
        help="for the certificate (default: certificate)",
    )
    certify.add_argument("--no-maps", dest="maps", action="store_false", help="draw no maps")
    certify.set_defaults(run=_certify)
    summary = "change restored images as little as the LR images demand"
    mend = commands.add_parser(
        "repair",
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}, so that they contradict them no more.",
        epilog="example:\n  upscale-audit repair --lr sample/lr --rule antialiased"
        " --restored sample/restored/upscayl_digital/notta --out build/repaired",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    mend.add_argument("--lr", type=Path, required=True, metavar="DIR", help="the LR images")
    mend.add_argument(
        "--restored", type=Path, required=True, metavar="DIR", help="what was made of them"
    )
    mend.add_argument("--rule", choices=LR_RULES, required=True, help="how the LR images were made")
    mend.add_argument(
        "--pairing", choices=PAIRING_RULES, default="suffix", help="(default: suffix)"
    )
    mend.add_argument("--out", type=Path, required=True, metavar="DIR", help="for the new images")
    mend.set_defaults(run=_repair)


def _spell_window(words: Sequence[str]) -> str | list[float] | dict[str, list[float]]:
    """Spell a window as a study file does."""
    try:
        if words[0] == "percentiles":
            return {"percentiles": [float(word) for word in words[1:]]}
        return [float(word) for word in words] if len(words) > 1 else words[0]
    except ValueError:
        return " ".join(words)


def _certify(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.proof.certificate import certify

    restored = {}
    for text in options.restored:
        model, _, folder = text.rpartition("=") if "=" in text else ("", "", text)
        folder = Path(folder)
        model = model or _name_model(folder)
        if not MODEL_ID_PATTERN.fullmatch(model) or ".." in model or model in restored:
            raise StudyError(
                f"--restored {text}: {model!r} cannot name a model, or names two; give each as"
                " MODEL=DIR, MODEL of letters, digits, '_', '-' or '.'"
            )
        restored[model] = folder
    for folder in (options.lr, *restored.values()):
        if not folder.is_dir():
            raise StudyError(f"no folder {folder}: name one that holds images")
    window = options.window and parse_window(_spell_window(options.window))
    with Progress("certify", "images") as progress, writing(options.out, "--out"):
        found = certify(
            options.lr.resolve(),
            {model: folder.resolve() for model, folder in restored.items()},
            options.out.resolve(),
            options.rule,
            options.pairing,
            progress,
            options.maps,
            window,
        )
    _say_verdicts(found)
    if found.counts["contradicted"]:
        return EXIT_INCOMPLETE
    return EXIT_OK if found.counts["consistent"] else EXIT_FAILED


def _repair(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.proof.certificate import repair

    for folder in (options.lr, options.restored):
        if not folder.is_dir():
            raise StudyError(f"no folder {folder}: name one that holds images")
    with Progress("repair", "images") as progress, writing(options.out, "--out"):
        verdicts = repair(
            options.lr.resolve(),
            options.restored.resolve(),
            options.out.resolve(),
            options.rule,
            options.pairing,
            progress,
        )
    mended = [(before, after) for before, after in verdicts if after is not None]
    counts = [sum(item[number].contradicted_px or 0 for item in mended) for number in (0, 1)]
    say(
        f"repaired {len(mended)} of {len(verdicts)} images in {options.out}: contradicted LR pixels"
        f" {counts[0]:,} before, {counts[1]:,} after"
    )
    for before, _ in [item for item in verdicts if item[1] is None][:3]:
        say(f"  {show(before.image)}: not judged: {show(before.detail)}")
    return EXIT_OK if len(mended) == len(verdicts) else EXIT_INCOMPLETE


def _name_model(folder: Path) -> str:
    """Name a model by its folder: restored/MODEL/notta, or MODEL."""
    parts = [part for part in folder.resolve().parts[1:] if part not in INFERENCE_PATHS]
    return parts[-1] if parts else ""


def _say_verdicts(found: Certificate) -> None:
    for model in sorted({verdict.model for verdict in found.verdicts}):
        verdicts = [verdict for verdict in found.verdicts if verdict.model == model]
        counts = Counter(verdict.status for verdict in verdicts)
        blocks = sum(verdict.block_count or 0 for verdict in verdicts)
        wrong = sum(verdict.contradicted_block_count or 0 for verdict in verdicts)
        share = f"; {100 * wrong / blocks:.2f} % of {blocks:,} blocks" if blocks else ""
        say(
            f"{model}: {counts['contradicted']} of {len(verdicts)} images contradict their LR image"
            f"{share}; {counts['not_judged']} not judged"
        )
        worst = max(verdicts, key=lambda verdict: verdict.largest_dn or 0)
        if worst.proof:
            say(f"  {show(worst.image)}: {worst.proof}")
        for verdict in [item for item in verdicts if item.status == "not_judged"][:3]:
            say(f"  {show(verdict.image)}: not judged: {show(verdict.detail)}")
    say(f"wrote {found.folder}; Merkle root {found.merkle_root}")


def _verify(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.proof.verify import verify

    study = load_study(options.study) if options.study.suffix == ".toml" else None
    path = options.study if study is None else study.output
    with Progress("verify", "MB") as progress:
        report = verify(path, study, progress)
    _write_rows(
        ("problem", "name", "expected", "found", "repair"),
        [[show(value or "") for value in vars(item).values()] for item in report.findings],
    )
    say(f"hashed {report.files} files, {report.bytes / 1e6:.1f} MB, in {path}")
    for name, root in report.roots.items():
        say(f"Merkle root of {name}: {root}")
    if study is None:
        say("source files were not read: give the study file to verify them too")
    for item in report.findings[:5]:
        say(f"{item.problem}: {show(item.name)}; repair: {item.repair}")
    if report.findings:
        say(f"{len(report.findings)} differences")
        return EXIT_FAILED
    say("all as their manifests say")
    return EXIT_OK


def _prove(options: argparse.Namespace) -> int:
    from upscale_audit.warehouse.proof.inclusion import describe_proof

    for line in describe_proof(load_study(options.study), options.file):
        print(line)
    return EXIT_OK


def _check_hashes(options: argparse.Namespace) -> int:
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


def _paper(options: argparse.Namespace) -> int:
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


def show(name: str) -> str:
    r"""Spell a name so that it is one line and no terminal obeys it: ``\n``, ``\x1b``."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in name
    )


def _write_rows(
    header: tuple[str, ...],
    rows: Iterable[Sequence[str | None]],
) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
