"""Commands of known truth: phantom draws it, detectors keeps what was found of it.

Only phantom needs the extra `restore`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli.options import (
    EXIT_INCOMPLETE,
    EXIT_OK,
    add_check,
    add_command,
    read_count,
)
from upscale_audit.warehouse.cli.progress import Progress, say

if TYPE_CHECKING:
    import argparse

    from upscale_audit.ingest.study import Study


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add the commands to the parser."""
    summary = "draw known truth into copies of a study's images, to see what each number finds"
    command = add_command(
        commands, "phantom", _phantom, summary, "sample/study.toml --out build/phantoms"
    )
    command.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        required=True,
        help="where the phantom study is made; nothing is written anywhere else",
    )
    command.add_argument(
        "--arm",
        action="append",
        help="auditor, lost or through (default: these three), or, to judge what is said of an"
        " image, alone or everywhere; may be given again",
    )
    command.add_argument(
        "--kind", action="append", help="what to draw; may be given again (default: all)"
    )
    command.add_argument(
        "--contrast",
        type=int,
        action="append",
        metavar="DN",
        help="grey levels; may be given again (default: 0, 4, 8, 16)",
    )
    command.add_argument("--sites", type=read_count, help="sites an image (default: 16)")
    command.add_argument(
        "--versions", type=read_count, help="copies an arm of the first three (default: 2)"
    )
    command.add_argument(
        "--images", type=read_count, help="only so many references, the first by name"
    )
    command.add_argument("--model", action="append", help="only this model; may be given again")
    command.add_argument("--seed", help="another seed gives other sites")
    command.add_argument(
        "--workers", type=read_count, help="processes (default: all cores); no pixel depends on it"
    )
    summary = "keep what a phantom study found of each limit, for other studies to show"
    measured = add_command(
        commands, "detectors", _detectors, summary, "build/phantoms/copies/study.toml"
    )
    measured.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="where it is written (default: STUDY.detectors.toml beside the study file)",
    )
    measured.add_argument(
        "--kind", default="nodule_16", help="what is looked for (default: nodule_16)"
    )
    measured.add_argument(
        "--contrast", type=int, metavar="DN", help="of it, grey levels (default: 8, or none)"
    )
    add_check(measured)


def _phantom(options: argparse.Namespace) -> int:
    study = _choose_models(load_study(options.study), options.model)
    from upscale_audit.restore.phantom.design import PhantomParameters
    from upscale_audit.restore.phantom.study import make_phantoms

    given = {
        "arms": options.arm and tuple(options.arm),
        "kinds": options.kind and tuple(options.kind),
        "contrasts_dn": options.contrast and tuple(options.contrast),
        "site_count": options.sites,
        "version_count": options.versions,
        "seed": options.seed,
    }
    parameters = PhantomParameters(**{key: value for key, value in given.items() if value})
    with Progress("phantom", "images") as progress:
        report = make_phantoms(
            study, options.out, parameters, options.images, options.workers, progress
        )
    kept = f", {report.kept} unchanged" if report.kept else ""
    say(f"drew {report.injections} injections beside {report.shams} shams{kept}")
    if report.crowded:
        say(f"{report.crowded} of {report.images} images had room for fewer sites than asked for")
    for model_id, why in report.arms_left_out.items():
        say(f"no arm through for {model_id!r}: {why}")
    for name, why in list(report.left_out.items())[:5]:
        say(f"not drawn into: {name}, {why}")
    say(f"upscale-audit run {report.study_file} measures and judges it")
    return EXIT_INCOMPLETE if report.left_out else EXIT_OK


def _detectors(options: argparse.Namespace) -> int:
    from upscale_audit.restore.phantom.design import SHAPED
    from upscale_audit.warehouse.detectors import CONTRAST_DN, write_detectors

    contrast_dn = options.contrast
    if contrast_dn is None and options.kind in SHAPED:
        contrast_dn = CONTRAST_DN
    path = write_detectors(
        load_study(options.study), options.out, options.kind, contrast_dn, options.check
    )
    say(f"wrote {path}: read it, keep it, and name it in the study whose rates it stands beside:")
    say(f'  [study] detectors = "{path.name}"')
    return EXIT_OK


def _choose_models(study: Study, names: Sequence[str] | None) -> Study:
    """Give the study with some of its models only."""
    known = {model.model_id for model in study.models}
    unknown = sorted(set(names or ()) - known)
    if unknown:
        raise StudyError(
            f"--model {unknown[0]!r}; expected a model of {study.path}: {', '.join(sorted(known))}"
        )
    if not names:
        return study
    models = tuple(model for model in study.models if model.model_id in names)
    axis = tuple(name for name in study.axis_models if name in names)
    return replace(study, models=models, axis_models=axis or tuple(sorted(names)))
