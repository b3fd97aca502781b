"""What it costs to add a model, or images, to a study: measured, and built.

Ingest is measured on real images. Builds are measured at size (docs/growing.md),
and what has grown must be what a build from nothing makes.
"""

import shutil
import sys
import time
from dataclasses import asdict, replace

from tests.bench.processes import measure
from tests.bench.resample import BLOCKS_PER_IMAGE, resample_study
from tests.bench.scenes import MODELS, clear
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.export import SPLIT_BY_MODEL, export_tables

ADDED_IMAGES = 100


def measure_ingest_growth(source, folder):
    """Measure a study of real images in parts, and as a whole.

    Parameters
    ----------
    source : ingest.study.Study
        The benchmark's: eight images, four models.
    folder : Path
        Receives both studies; removed at the end.

    Returns
    -------
    list of dict
        ``step``, ``pairs`` (restored images measured) and ``cpu_s``.
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
    rows, before = [], 0
    for step, study, wanted in steps:
        if study is not whole:
            for path in wanted:
                shutil.copyfile(path, grown.references / path.name)
        begin = time.process_time()
        report = ingest_study(study, workers=1)
        pairs = 2 * report.images * len(study.models)
        fresh = pairs - (before if study is grown else 0)
        rows.append({"step": step, "pairs": fresh, "cpu_s": time.process_time() - begin})
        before = pairs
    clear(folder)
    return rows


def measure_build_growth(source, root, images):
    """Build a study that grows by images, then by a model, and build it from nothing.

    Parameters
    ----------
    source : ingest.study.Study
        The benchmark's study, ingested.
    root : Path
        Receives the study; removed at the end.
    images : int
        Of the grown study.

    Returns
    -------
    dict
        ``rows`` and ``images`` of the grown study, and ``steps``: each with ``step``,
        ``added_rows`` and the build's cost.

    Raises
    ------
    RuntimeError
        What has grown differs from what was built from nothing.
    """
    clear(root)
    first = images - ADDED_IMAGES
    steps = []

    def build(step, image_count, model_count):
        models = MODELS[:model_count]
        study = resample_study(source, root, image_count, models=models, labelled=images)
        cost = measure(_command(study, "build"), watched=study.output)
        rows = image_count * model_count * BLOCKS_PER_IMAGE
        before = steps[-1]["rows"] if steps else 0
        steps.append({"step": step, "rows": rows, "added_rows": rows - before} | asdict(cost))
        return study

    few = len(MODELS) - 1
    build(f"{few} models, {first} images, from nothing", first, few)
    build(f"{ADDED_IMAGES} images added", images, few)
    study = build("a model added", images, len(MODELS))
    study = build("nothing added", images, len(MODELS))
    grown = _read_digests(study)
    study.warehouse.unlink()
    build("all of it, from nothing", images, len(MODELS))
    steps[-1]["added_rows"] = steps[-1]["rows"]
    if _read_digests(study) != grown:
        raise RuntimeError(f"{root}: what has grown differs from what was built from nothing")
    clear(root)
    return {"rows": steps[-1]["rows"], "images": images, "steps": steps}


def _command(study, command):
    return [sys.executable, "-m", "upscale_audit.warehouse.cli", command, str(study.path)]


def _read_digests(study):
    """SHA-256 of every exported mart, and a digest of all rows of the tables of blocks."""
    with open_warehouse(study.warehouse) as connection:
        rows = connection.sql("select table_name from dim_tables").fetchall()
        digests = {
            table: connection.sql(
                f"select count(*), bit_xor(hash(item)), sum(hash(item)) from {table} as item"
            ).fetchall()
            for table in SPLIT_BY_MODEL
        }
    export_tables(study, [name for (name,) in rows if name not in SPLIT_BY_MODEL])
    return digests, (study.output / "exports" / "SHA256SUMS").read_text()
