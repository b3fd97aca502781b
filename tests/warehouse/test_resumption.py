"""A build that was killed: the next one goes on, with the same result."""

import os
import shutil
import subprocess
import sys

import duckdb
import pytest

from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import WAREHOUSE_MANIFEST
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse import build
from upscale_audit.warehouse.dbt_runner import MemoryLimitError
from upscale_audit.warehouse.export import export_tables

pytestmark = pytest.mark.long

KILLED = """
import os, signal, sys
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse

def progress(done, total, name):
    if name == "mart_limits":
        os.kill(os.getpid(), signal.SIGKILL)

build_warehouse(load_study(sys.argv[1]), progress=progress)
"""


@pytest.fixture
def small_study(small_study):
    """Give a finished small study that scores by its own axis: every build starts from nothing."""
    text = small_study.path.read_text()
    small_study.path.write_text(text.replace("[study]\n", '[study]\naxis = "own"\n'))
    study = load_study(small_study.path)
    build.build_warehouse(study)
    export_tables(study)
    return study


@pytest.fixture
def watched(small_study):
    """Give a function that builds the small study and lists the dbt nodes that are run."""

    def run(names):
        return build.build_warehouse(
            small_study, progress=lambda done, total, name: names.append(name)
        )

    return run


def kill_a_build(study, repository):
    command = [sys.executable, "-c", KILLED, str(study.path)]
    environment = os.environ | {"PYTHONPATH": str(repository)}
    result = subprocess.run(command, env=environment, capture_output=True, timeout=300)
    assert result.returncode == -9


def test_a_killed_build_goes_on_from_its_finished_tables(
    small_study, watched, repository, monkeypatch
):
    """Killed in the middle, then before its publication, it does nothing twice."""

    def interrupt(_):
        raise KeyboardInterrupt

    expected = (small_study.output / "exports" / "SHA256SUMS").read_bytes()
    published = small_study.warehouse.read_bytes()
    (small_study.output / WAREHOUSE_MANIFEST).unlink()
    kill_a_build(small_study, repository)
    assert small_study.warehouse.read_bytes() == published
    names = []
    with monkeypatch.context() as patch:
        patch.setattr(build._Job, "publish", interrupt)
        with pytest.raises(KeyboardInterrupt):
            watched(names)
    assert not {"int_blocks_scored", "int_image_moments", "mart_limits"} & set(names)
    assert {"mart_lesion_risk", "unique_grain_mart_limits_model_id"} <= set(names)
    assert small_study.warehouse.read_bytes() == published
    names = []
    report = watched(names)
    assert report.resumed
    assert names == []
    assert report.tests > 100
    assert not list(small_study.output.glob(".warehouse*"))
    export_tables(small_study)
    assert (small_study.output / "exports" / "SHA256SUMS").read_bytes() == expected


def test_a_build_that_ran_out_of_memory_is_gone_on_from(small_study, watched, monkeypatch):
    run, select = build.run_dbt, "+int_blocks_scored"

    def run_short(study, database, arguments, *rest, **more):
        arguments = ["build", "--exclude-resource-type", "test", "unit_test", "--select", select]
        run(study, database, arguments, *rest, **more)
        raise MemoryLimitError("no more memory")

    (small_study.output / WAREHOUSE_MANIFEST).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(build, "run_dbt", run_short)
        with pytest.raises(MemoryLimitError):
            build.build_warehouse(small_study)
    names = []
    assert watched(names).resumed
    assert "int_blocks_scored" not in names
    assert {"int_image_blocks", "mart_limits"} <= set(names)


def test_what_was_left_by_another_recipe_is_not_gone_on_from(small_study):
    job = build._Job(small_study, small_study.output / ".x", build.read_inputs(small_study))
    sha256 = job.inputs.recipe_sha256
    note = small_study.output / "dbt" / "unfinished.json"
    database = small_study.output / ".warehouse.duckdb.next"
    for text in (b"", b"{}", b'{"recipe_sha256": "other", "counts": null}', b"\xff"):
        note.write_bytes(text)
        assert build.find_interrupted(note.parent, database, sha256) is None
    build.note_build(note.parent, sha256)
    assert build.find_interrupted(note.parent, database, sha256) is None
    database.write_bytes(b"no database")
    assert build.find_interrupted(note.parent, database, sha256) is None
    counts = {"tables": 1, "tests": 1}
    shutil.copyfile(small_study.warehouse, database)
    file_sha256 = hash_file(database)
    build.note_build(note.parent, sha256, counts, file_sha256)
    found = build.find_interrupted(note.parent, database, sha256)
    assert (found.counts, found.database_sha256) == (counts, file_sha256)
    assert build.find_interrupted(note.parent, database, "other") is None
    build.note_build(note.parent, "other", counts, file_sha256)
    assert build.find_interrupted(note.parent, database, "other") is None


def test_a_finished_file_that_was_forged_before_its_publication_is_not_published(small_study):
    """One value of one table, the file sound again: only its hash tells."""
    job = build._Job(small_study, small_study.output / ".x", build.read_inputs(small_study))
    folder = small_study.output / "dbt"
    database = small_study.output / ".warehouse.duckdb.next"
    shutil.copyfile(small_study.warehouse, database)
    arguments = (folder, job.inputs.recipe_sha256, {"tables": 1, "tests": 1})
    build.note_build(*arguments, hash_file(database))
    assert build.find_interrupted(folder, database, job.inputs.recipe_sha256) is not None
    database.chmod(0o644)
    with duckdb.connect(str(database)) as connection:
        connection.execute("update mart_axis1_distribution set block_ratio = 0")
    assert build.find_interrupted(folder, database, job.inputs.recipe_sha256) is None
    build.note_build(*arguments)
    assert build.find_interrupted(folder, database, job.inputs.recipe_sha256) is None
