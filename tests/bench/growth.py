"""What it costs to add a model, or an image, to a study that is measured already."""

import shutil
import time
from dataclasses import replace

from ingest.run import ingest_study
from tests.bench.scenes import clear
from warehouse.build import build_warehouse
from warehouse.export import export_tables

OF_THE_PARTS = ("dim_study.parquet", "mart_provenance.parquet")
"""Exports that name the shards, which lie differently in a study that grew."""


def measure_growth(source, folder):
    """Grow a study by a model and by an image, and compare it with one measured as a whole.

    Parameters
    ----------
    source : ingest.study.Study
        The benchmark's: eight images, four models.
    folder : Path
        Receives both studies; removed at the end.

    Returns
    -------
    list of dict
        ``step``, ``pairs`` (restored images measured) and CPU seconds of each stage.

    Raises
    ------
    RuntimeError
        The two studies' exports differ in more than `OF_THE_PARTS`.
    """
    clear(folder)
    whole = replace(source, output=folder / "whole")
    grown = replace(source, output=folder / "grown", references=folder / "reference")
    grown.references.mkdir(parents=True)
    images = sorted(source.references.iterdir())
    few = replace(grown, models=grown.models[:-1])
    steps = [("all at once", whole, images), ("without one model and one image", few, images[:-1])]
    steps += [("the model added", grown, images[:-1]), ("the image added", grown, images)]
    steps.append(("nothing added", grown, images))
    rows = []
    for step, study, wanted in steps:
        if study is not whole:
            for path in wanted:
                shutil.copyfile(path, grown.references / path.name)
        rows.append({"step": step} | _measure(study))
    before = rows[1]["pairs"]
    for row in rows[2:]:
        before, row["pairs"] = row["pairs"], row["pairs"] - before
    sums = [_read_sums(study) for study in (whole, grown)]
    if sums[0] != sums[1]:
        raise RuntimeError(f"{folder}: a grown study's exports differ from a whole one's")
    clear(folder)
    return rows


def _measure(study):
    begin = time.process_time()
    report = ingest_study(study, workers=1)
    ingested = time.process_time()
    build_warehouse(study)
    built = time.process_time()
    return {
        "pairs": 2 * report.images * len(study.models),
        "ingest_cpu_s": ingested - begin,
        "build_cpu_s": built - ingested,
    }


def _read_sums(study):
    export_tables(study)
    lines = (study.output / "exports" / "SHA256SUMS").read_text().splitlines()
    return [line for line in lines if not line.endswith(OF_THE_PARTS)]
