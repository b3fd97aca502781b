"""Measure how often intervals hold the truth, and tests reject a true null.

Nothing here computes an interval or a p: simulated studies go through the dbt project, and the
columns of its marts are counted. Writes docs/calibration.md and docs/calibration.png.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from tests.calibration import areas, columns, maps, masks, places, readings, sides, sums, transfers
from tests.calibration.page import draw_page, format_page, replace_sections
from tests.calibration.questions import INTERVALS, PUBLISHED, RATES, TESTS
from tests.calibration.studies import EFFECTS, simulate_published_study, simulate_study
from upscale_audit.ingest.model_facts import show_models
from upscale_audit.ingest.run import read_raw_manifest
from upscale_audit.warehouse.companions import CompanionFolder, create_companion_views
from upscale_audit.warehouse.composites import create_composites
from upscale_audit.warehouse.dbt_runner import run_dbt
from upscale_audit.warehouse.detectors import Measured, create_measured_table
from upscale_audit.warehouse.frozen import Frozen, create_frozen_tables
from upscale_audit.warehouse.model_facts import create_model_facts
from upscale_audit.warehouse.raw import create_raw_views

DOCS = Path(__file__).resolve().parents[2] / "docs"


SECTIONS = {
    "areas": (areas.HEAD, lambda: areas.format_areas(areas.count_areas())),
    "transfers": (transfers.HEAD, lambda: transfers.format_transfers(transfers.count_transfers())),
    "sums": (sums.HEAD, lambda: sums.format_sums(sums.count_sums())),
    "sides": (sides.HEAD, lambda: sides.format_sides(sides.count_sides())),
    "places": (places.HEAD, lambda: places.format_places(places.count_places())),
    "masks": (masks.HEAD, lambda: masks.format_masks(masks.count_masks())),
    "readings": (readings.HEAD, lambda: readings.format_readings(readings.count_readings())),
    "maps": (maps.HEAD, lambda: maps.format_maps(maps.count_maps())),
    "columns": (columns.HEAD, columns.format_columns),
}
"""By name, in the order of the page: sections that need no dbt, with their heading."""


@dataclass(frozen=True)
class Setting:
    """Studies of one size: each build simulates `models` of them, with draws of its own."""

    patients: int
    builds: int
    models: int
    is_published: bool = False


SETTINGS = (
    Setting(100, 4, 125),
    Setting(1567, 2, 400, is_published=True),
    Setting(30, 4, 250),
    Setting(15, 4, 250),
    Setting(10, 4, 250),
    Setting(5, 4, 250),
)


@dataclass(frozen=True)
class Count:
    """How many of a build's simulated studies answer a question with yes."""

    question: str
    patients: int
    effect: str
    hits: int
    studies: int


def main():
    """Run every simulation and write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.calibration.campaign", description=__doc__
    )
    parser.add_argument("--models", type=int, help="simulated models a build, for a short run")
    parser.add_argument("--builds", type=int, help="builds of each size, for a short run")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="builds at once")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where page and figure go")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SECTIONS,
        default=[],
        help="sections to simulate anew; the page keeps the others as they are",
    )
    options = parser.parse_args()
    page = options.docs / "calibration.md"
    if options.only:
        text = page.read_text(encoding="utf-8")
    else:
        given = {name: getattr(options, name) for name in ("models", "builds")}
        given = {name: value for name, value in given.items() if value}
        settings = [replace(setting, **given) for setting in SETTINGS]
        text = format_page(counts := count_all(settings, options.workers), settings)
        draw_page(counts, options.docs)
    made = {name: SECTIONS[name][1]() for name in options.only or SECTIONS}
    text = replace_sections(text, {name: head for name, (head, _) in SECTIONS.items()}, made)
    page.write_text(text, encoding="utf-8")
    print(text)


def count_all(settings, workers):
    """Run the builds of all settings, several at once, each in a process of its own.

    Parameters
    ----------
    settings : list of Setting
    workers : int

    Returns
    -------
    list of Count
        In the order of settings and builds, whatever ends first.
    """
    jobs = [(setting, build) for setting in settings for build in range(setting.builds)]
    context = multiprocessing.get_context("spawn")
    begin, counts = time.monotonic(), []
    with ProcessPoolExecutor(workers, context, max_tasks_per_child=1) as pool:
        results = pool.map(count_build, *zip(*jobs, strict=True))
        for done, ((setting, _), result) in enumerate(zip(jobs, results, strict=True), start=1):
            counts += result
            passed = time.monotonic() - begin
            print(
                f"{done}/{len(jobs)} builds, {setting.patients} patients, {passed:.0f} s",
                file=sys.stderr,
                flush=True,
            )
    return counts


def count_build(setting, build):
    """Simulate one study of many models, build its marts and count their answers.

    Parameters
    ----------
    setting : Setting
    build : int
        Seeds the simulation and the bootstrap.

    Returns
    -------
    list of Count
    """
    # No test of the published study rests on the bootstrap: it gets the fewest replicates.
    parameters = f'bootstrap_seed = "calibration-{build}"\n'
    parameters += "bootstrap_replicates = 100" if setting.is_published else ""
    simulate = simulate_published_study if setting.is_published else simulate_study
    questions = PUBLISHED if setting.is_published else INTERVALS + RATES + TESTS
    with tempfile.TemporaryDirectory(prefix="upscale-audit-calibration-") as folder:
        study = simulate(
            Path(folder),
            patient_count=setting.patients,
            model_count=setting.models,
            seed=build,
            parameters=parameters,
        )
        answers = answer(study, questions)
    return [
        Count(question.name, setting.patients, effect, sum(outcomes), len(outcomes))
        for (question, effect), outcomes in answers.items()
    ]


def answer(study, questions):
    """Build the marts that questions read, and put each question to every simulated model.

    Parameters
    ----------
    study : ingest.study.Study
        Simulated: its raw folder is complete.
    questions : iterable of Interval or Test

    Returns
    -------
    dict
        By question and effect: a list of bool, one per model that has an answer.
    """
    database = study.output / "calibration.duckdb"
    marts = sorted({f"+{question.mart}" for question in questions})
    create_raw_views(database, study, read_raw_manifest(study.raw))
    create_companion_views(database, CompanionFolder("phantoms"))
    create_companion_views(database, CompanionFolder("readings"))
    create_frozen_tables(database, Frozen())
    create_measured_table(database, Measured())
    create_composites(database, study, {})
    create_model_facts(database, _name_models(study))
    command = ("build", "--exclude-resource-type", "test", "unit_test", "--select", *marts)
    run_dbt(study, database, command, threads=1)
    answers = defaultdict(list)
    with duckdb.connect(str(database), read_only=True) as connection:
        for question in questions:
            for model_id, outcome in connection.execute(question.sql).fetchall():
                effect = model_id.split("_")[0]
                if effect in EFFECTS and outcome is not None:
                    answers[question, effect].append(outcome)
    return answers


def _name_models(study):
    """Say what the study file says of each simulated model: its place, name and colour."""
    faces = show_models({model.model_id: model.facts for model in study.models})
    return [
        {
            "model_id": model_id,
            "model_number": face.number,
            "label": face.label,
            "colour": face.colour,
            "stated_columns": [],
            "recorded_columns": [],
        }
        for model_id, face in faces.items()
    ]


if __name__ == "__main__":
    main()
