"""Commands that draw: figures, report, map, worst.

What is drawn is signed off with the warehouse that stood before and after: one that was published
in between is an error, for nothing would say which of the two was drawn.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, locked, sync
from upscale_audit.ingest.manifests import MANIFEST, SUMS
from upscale_audit.ingest.study import INFERENCE_PATHS, load_study
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.warehouse.cli.options import (
    EXIT_OK,
    LANGUAGES,
    MAP_WIDTHS_MM,
    PATCHES_PX,
    WIDTHS_MM,
    add_check,
    add_command,
    load_extra,
    read_count,
)
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    import argparse

    from upscale_audit.ingest.study import Study
    from upscale_audit.warehouse.proof.provenance import Parent


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    figures = add_command(commands, "figures", _draw, "draw figures as PNG, SVG, PDF and HTML")
    figures.add_argument(
        "--lang",
        choices=LANGUAGES,
        default="en",
        help="ja: draw those with published names in Japanese too, in lfv_proof_ja/ (default: en)",
    )
    _add_form(figures, WIDTHS_MM)
    add_check(figures)
    summary = "write what was found as one page to read and print, report.html"
    report = add_command(commands, "report", _report, summary)
    report.add_argument("--lang", choices=LANGUAGES, default="en", help="(default: en)")
    add_check(report)
    summary = "print the published claims, what the study says of each, and what would settle it"
    example = "sample/study.toml > replication.md"
    add_check(add_command(commands, "replication", _print_replication, summary, example))
    summary = "draw the local quality map of one image, with its published files and a page"
    example = (
        "sample/study.toml rg1_r0c1 upscayl_standard\n"
        "  upscale-audit map sample/study.toml rg1_r0c1 --quantity mse_dn2 --width 85\n"
        "  upscale-audit map sample/study.toml rg1_r0c1 --trust 0.2"
    )
    one = add_command(commands, "map", _draw_map, summary, example)
    one.add_argument("image", metavar="IMAGE_ID", help="as in dim_images")
    one.add_argument(
        "model",
        metavar="MODEL_ID",
        nargs="?",
        help="as in the study file (--quantity: default all)",
    )
    one.add_argument(
        "--quantity",
        metavar="NAME",
        help="map this number of a block instead, as fct_blocks calls it: mse_dn2, d_sharp",
    )
    _add_trust(one)
    _add_form(one, MAP_WIDTHS_MM)
    one.add_argument("--patch", type=int, choices=PATCHES_PX, default=8, help="px (default: 8)")
    one.add_argument(
        "--also",
        metavar="MODEL_ID",
        action="append",
        default=[],
        help="another model for the page; may be given again",
    )
    _add_marks(one)
    example = "sample/study.toml upscayl_standard"
    summary = "draw the images a model restored worst"
    worst = add_command(commands, "worst", _draw_worst, summary, example)
    worst.add_argument("model", metavar="MODEL_ID", help="as in the study file")
    worst.add_argument("--count", type=read_count, default=12, help="images (default: 12)")
    for command in (one, worst):
        command.add_argument(
            "--path", choices=INFERENCE_PATHS, default="notta", help="(default: notta)"
        )
        command.add_argument("--lang", choices=LANGUAGES, default="en", help="(default: en)")
        add_check(command)


def _add_trust(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--trust",
        type=float,
        metavar="ALPHA",
        help="hatch instead what mart_guarantee does not vouch for: a mask that misses at most this"
        " share of the truly bad blocks of a new patient, as 0.1",
    )
    command.add_argument(
        "--score",
        metavar="NAME",
        help="of --trust: what blocks are masked by (default: lr_rms_dn with LR images, else"
        " detail_dn2)",
    )
    command.add_argument(
        "--loss", metavar="NAME", help="of --trust: what makes a block bad (default: erroneous)"
    )


def _add_form(command: argparse.ArgumentParser, widths: tuple[int, ...]) -> None:
    of = "of the map of a --quantity or of --trust: " if command.prog.endswith(" map") else ""
    command.add_argument(
        "--plain", action="store_true", help=f"{of}no title, no caption: captions.txt has them"
    )
    command.add_argument(
        "--width",
        type=int,
        choices=widths,
        help=f"{of}mm in print, as the journal asks (default: 179, two columns)",
    )


def _add_marks(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--detector",
        metavar="NAME",
        help="frame the blocks beyond a limit of this number, as mart_detectors calls it: mse_dn2",
    )
    command.add_argument(
        "--reading",
        choices=("value", "negated", "absolute"),
        help="how it is read (default: as its limits were measured, else its value)",
    )
    limit = command.add_mutually_exclusive_group()
    limit.add_argument("--limit", type=float, help="in its unit, as read")
    limit.add_argument(
        "--false-alarms",
        type=float,
        metavar="SHARE",
        help="the limit that a phantom study measured at this share of false alarms, as 0.01",
    )


def _draw(options: argparse.Namespace) -> int:
    study = load_study(options.study)
    draw_figures(study, options.lang, options.check, options.plain, options.width)
    return EXIT_OK


def draw_figures(
    study: Study,
    language: str = "en",
    check: str = "hash",
    plain: bool = False,
    width_mm: int | None = None,
) -> None:
    """Draw every figure of a study, and list them with their hashes."""
    from upscale_audit.warehouse.proof.provenance import seal_figures

    figures, form = _load("analysis.figures.study"), _load("analysis.output").Print(plain, width_mm)
    folder = study.output / "figures"
    with (
        Progress("figures", "figures") as progress,
        _drawing(study, check) as (parent, checked),
    ):
        files = figures.draw_figures(
            study.warehouse,
            study.references,
            folder,
            progress,
            language,
            list_folders(study),
            form,
        )
        arguments = _spell_choices({"--lang": (language, "en"), "--width": (width_mm, None)})
        arguments += ["--plain"] if plain else []
        seal_figures(study, files, parent, arguments, checked)
    say(f"drew {len(files)} files in {folder}")


def _report(options: argparse.Namespace) -> int:
    write_study_report(load_study(options.study), options.lang, options.check)
    return EXIT_OK


def write_study_report(study: Study, language: str = "en", check: str = "hash") -> None:
    """Write a study's report, and sign it off."""
    from upscale_audit.analysis.pages import check_own_page
    from upscale_audit.warehouse.proof.provenance import REPORTS, seal_report

    _, name, manifest = REPORTS[language]
    report, page = _load("analysis.report"), study.output / name
    with _drawing(study, check) as (parent, checked):
        check_own_page(page, study.output / manifest)
        fresh = study.output / f".{name}.next"
        try:
            sources = report.write_report(study, fresh, list_folders(study), language)
            (study.output / manifest).unlink(missing_ok=True)
            os.replace(fresh, page)
        finally:
            fresh.unlink(missing_ok=True)
        arguments = _spell_choices({"--lang": (language, "en")})
        seal_report(study, language, parent, arguments, sources, checked)
    say(f"wrote {page}")


def _print_replication(options: argparse.Namespace) -> int:
    """Print a page; it is no file of the study, so nothing signs it off."""
    study, marts = load_study(options.study), _load("analysis.marts")
    replication = _load("analysis.replication")
    with (
        _drawing(study, options.check),
        marts.Marts(study.warehouse) as opened,
    ):
        sys.stdout.write(replication.format_replication(opened))
    return EXIT_OK


def list_folders(study: Study) -> dict[str, Path]:
    """List the folders of a study's LR images, as ``"lr"``, and of its models' notta images."""
    folders = {model.model_id: model.notta for model in study.models}
    if study.lr is not None and study.lr.folder is not None:
        folders["lr"] = study.lr.folder
    return folders


@contextlib.contextmanager
def _drawing(study: Study, check: str) -> Iterator[tuple[Parent | None, dict[str, Any]]]:
    """Keep other drawings of the study out, and check the warehouse that is drawn.

    Yields its `Parent`, None before any build, and what `check_warehouse` said.
    """
    from upscale_audit.warehouse.proof.provenance import check_warehouse, find_parent

    with locked(study.output, "figures, map or worst", ".drawing.lock"):
        if study.warehouse.is_file():
            parent = find_parent(study)
            yield parent, check_warehouse(study, check)
        else:
            yield None, {}


def _draw_map(options: argparse.Namespace) -> int:
    if options.trust is not None:
        return _draw_trust(options)
    if options.score is not None or options.loss is not None:
        raise StudyError("--score and --loss need --trust: give its share, as 0.1")
    if options.quantity is not None:
        return _draw_quantity(options)
    if options.model is None or options.plain or options.width is not None:
        raise StudyError(
            "without --quantity a map is of one MODEL_ID, and has neither --plain nor --width: name"
            " a model, or a quantity, or give --trust"
        )
    study, draw_map = load_study(options.study), _load("analysis.lqd").draw_map
    arguments = [options.image, options.model]
    choices = {"--path": (options.path, "notta"), "--patch": (options.patch, 8)}
    choices["--lang"] = options.lang, "en"
    arguments += _spell_choices(choices)
    arguments += [word for name in options.also for word in ("--also", name)]
    mark = _read_mark(options)
    marked = ("detector", "reading", "limit", "false_alarms")
    arguments += _spell_choices(
        {f"--{name.replace('_', '-')}": (getattr(options, name), None) for name in marked}
    )
    paths = _draw_sealed(
        study,
        options.check,
        "map",
        arguments,
        lambda folder: draw_map(
            study,
            options.image,
            options.model,
            options.path,
            patch_px=options.patch,
            language=options.lang,
            also=options.also,
            folder=folder,
            mark=mark,
        ),
    )
    say(f"drew {len(paths)} files in {paths[0].parent}")
    return EXIT_OK


def _draw_quantity(options: argparse.Namespace) -> int:
    """Draw the map of a number of a block; what is of the other map is refused."""
    _refuse_others(options, "a --quantity")
    study, quantity = load_study(options.study), _load("analysis.figures.quantity")
    arguments = [options.image, *([options.model] if options.model else [])]
    arguments += ["--quantity", options.quantity]
    arguments += _spell_choices(
        {"--path": (options.path, "notta"), "--width": (options.width, None)}
    )
    arguments += ["--plain"] if options.plain else []
    paths = _draw_sealed(
        study,
        options.check,
        "map",
        arguments,
        lambda folder: quantity.write_quantity_map(
            study,
            options.image,
            options.quantity,
            folder,
            path=options.path,
            model_id=options.model,
            plain=options.plain,
            width_mm=options.width,
        ),
    )
    say(f"drew {len(paths)} files in {paths[0].parent}")
    return EXIT_OK


def _draw_trust(options: argparse.Namespace) -> int:
    """Draw the map of what a promise covers; what is of the other maps is refused."""
    _refuse_others(options, "--trust")
    if options.quantity is not None:
        raise StudyError("--quantity and --trust draw different maps: leave one of them out")
    study, trust = load_study(options.study), _load("analysis.figures.trustmap")
    promise = trust.Promise(options.trust, options.score, options.loss or trust.LOSS)
    arguments = [options.image, *([options.model] if options.model else [])]
    arguments += ["--trust", f"{options.trust:g}"]
    named = {"--score": options.score, "--loss": options.loss, "--width": options.width}
    choices = {name: (given, None) for name, given in named.items()}
    arguments += _spell_choices({"--path": (options.path, "notta")} | choices)
    arguments += ["--plain"] if options.plain else []
    paths = _draw_sealed(
        study,
        options.check,
        "map",
        arguments,
        lambda folder: trust.write_trust_map(
            study,
            options.image,
            promise,
            folder,
            path=options.path,
            model_id=options.model,
            plain=options.plain,
            width_mm=options.width,
        ),
    )
    say(f"drew {len(paths)} files in {paths[0].parent}")
    return EXIT_OK


def _refuse_others(options: argparse.Namespace, this: str) -> None:
    """Refuse what is of the local quality map alone."""
    others = {
        "--patch": options.patch != 8,
        "--also": options.also,
        "--lang": options.lang != "en",
        "--detector": options.detector is not None,
    }
    given = [name for name, is_given in others.items() if is_given]
    if given:
        raise StudyError(f"{given[0]} does not go with {this}: leave one of them out")


def _read_mark(options: argparse.Namespace) -> dict[str, Any] | None:
    """Give what the map marks; None where it marks nothing."""
    chosen = {
        "detector": options.detector,
        "reading": options.reading,
        "limit": options.limit,
        "level": options.false_alarms,
    }
    if options.limit is not None and not math.isfinite(options.limit):
        raise StudyError(f"--limit {options.limit}; expected a number, in the detector's unit")
    if options.detector is not None:
        return chosen
    if any(value is not None for value in chosen.values()):
        raise StudyError("--reading, --limit and --false-alarms need a --detector: name it")
    return None


def _draw_worst(options: argparse.Namespace) -> int:
    study, draw_worst = load_study(options.study), _load("analysis.lqd").draw_worst
    choices = {"--path": (options.path, "notta"), "--count": (options.count, 12)}
    choices["--lang"] = options.lang, "en"
    arguments = [options.model, *_spell_choices(choices)]
    paths = _draw_sealed(
        study,
        options.check,
        "worst",
        arguments,
        lambda folder: draw_worst(
            study, options.model, options.path, options.count, options.lang, folder
        ),
    )
    say(f"drew {paths[0]} and {paths[1].name}")
    return EXIT_OK


def _spell_choices(choices: Mapping[str, tuple[Any, Any]]) -> list[str]:
    """Words of the options that are not at their default."""
    return [
        word
        for option, (given, default) in choices.items()
        if given != default
        for word in (option, str(given))
    ]


def _draw_sealed(
    study: Study,
    check: str,
    command: str,
    arguments: Sequence[str],
    draw: Callable[[Path], tuple[list[Path], dict[str, str]]],
) -> list[Path]:
    """Draw beside ``maps/``, sign off, then move each file into its place, the manifest last."""
    from upscale_audit.warehouse.proof.provenance import seal_map

    fresh = study.output / ".maps.next"
    with _drawing(study, check) as (parent, checked):
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            paths, sources = draw(fresh)
            seal_map(study, paths, command, arguments, sources, parent, checked)
            folder = study.output / "maps" / paths[0].parent.relative_to(fresh)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / MANIFEST).unlink(missing_ok=True)
            name = (folder / MANIFEST).relative_to(study.output).as_posix()
            _sign(study, name, hash_file(paths[0].with_name(MANIFEST)))
            for path in [*paths, paths[0].with_name(SUMS), paths[0].with_name(MANIFEST)]:
                os.replace(path, folder / path.name)
            sync(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return [folder / path.name for path in paths]


def _sign(study: Study, name: str, sha256: str) -> None:
    """Keep the hash of a map's manifest outside of its folder, where `verify` compares it."""
    journal = Journal(study.output, "maps")
    journal.write((journal.read() or {}) | {name: {sha256}})


def _load(module: str) -> ModuleType:
    """Import a module that draws; what it needs is an extra."""
    return load_extra(module, "figures")
