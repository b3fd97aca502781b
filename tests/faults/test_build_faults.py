"""Build and export under faults: the old results stand, the next run gives the same bytes."""

import errno
import os
import random
import sys
from types import SimpleNamespace

import pytest

from tests.faults import campaign, forgeries
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import locked
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.connect import check_disk, open_warehouse, saying_database_errors
from upscale_audit.warehouse.export import export_tables

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A tiny study, built and exported; each fault leaves it as it found it."""
    return campaign.make_study(tmp_path_factory.mktemp("faults") / "study", build=True)


@pytest.fixture
def generator():
    """A seeded source of trouble."""
    return random.Random(11)


def test_damaged_files_are_found_and_mended(study, generator):
    tally = campaign.corrupt(study, 10, generator)
    assert tally.outcomes["found by verify, build refused, ingest mended it"] == 6
    assert tally.identical == 10


def test_forged_measures_are_named_and_measured_again(study, generator):
    tally = forgeries.launder_measures(study, 5, generator)
    assert tally.outcomes == {"named, refused, measured again": 5}
    assert forgeries.exchange_references(study, 3, generator).identical == 3


def test_forged_exports_figures_and_maps_are_named_and_replaced(study, generator):
    pytest.importorskip("altair", reason="figures need the extra figures")
    tally = forgeries.launder_outputs(study, 9, generator)
    assert set(tally.outcomes.values()) == {3}
    assert tally.identical == 3
    assert forgeries.read_tampered(study, 10, generator).outcomes.total() == 10


def test_manifests_of_wrong_types_and_forged_limits_are_refused(study, generator):
    assert forgeries.mistype_manifests(study, 12, generator).outcomes.total() >= 9
    assert forgeries.forge_limits(study, 4, generator).outcomes == {"refused": 4}


def test_an_export_killed_leaves_the_old_one(study, generator):
    tally = campaign.kill(study, 2, generator, "export")
    assert tally.outcomes.total() == tally.identical == 2


def test_a_map_killed_leaves_the_old_one_or_none(study, generator):
    pytest.importorskip("altair", reason="maps need the extra figures")
    tally = campaign.kill(study, 2, generator, "map", (0.6, 1.0))
    assert tally.outcomes.total() == tally.identical == 2
    assert not (study.output / ".maps.next").exists()


def test_two_drawings_at_once_do_the_work_or_say_why_not(study):
    with locked(study.output, "figures, map or worst", ".drawing.lock"):
        message = r"another figures, map or worst holds .*; wait for it to end"
        with pytest.raises(StudyError, match=message):
            campaign.run_command("map", study.path, "a", "alpha")


@pytest.mark.parametrize("room", [0, 250_000_000])
def test_a_worker_without_memory_is_one_line_and_the_rerun_is_whole(tmp_path, room):
    tiny = campaign.make_study(tmp_path / "study")
    arguments = [sys.executable, "-m", "tests.faults.scarce", str(tiny.path), str(room)]
    outcome, message = campaign.finish(campaign.start(arguments))
    if room == 0:
        assert outcome == "refused"
        assert "memory ran out" in message
        assert not (tiny.raw / "manifest.json").exists()
    ingest_study(tiny, workers=1)
    assert (tiny.raw / "manifest.json").exists()


def test_readers_see_no_error_through_a_publication(study, generator):
    assert campaign.read_while_publishing(study, 1, generator).outcomes.total() >= 4


def test_a_read_only_output_is_said_in_one_line(study, generator):
    if not campaign.can_mount():
        pytest.skip("this user may not mount in a namespace")
    tally = campaign.write_protect(study, 4, generator)
    assert tally.outcomes == {"refused": 4}
    assert all("make it writable" in message for message in tally.messages)


def test_sources_that_change_under_the_reader(tmp_path, generator):
    tiny = campaign.make_study(tmp_path / "study")
    assert campaign.change_sources(tiny, 8, generator).outcomes.total() == 8


def test_a_full_memory_keeps_the_finished_units(tmp_path, generator):
    tiny = campaign.make_study(tmp_path / "study")
    tally = campaign.exhaust_memory(tiny, 3, generator)
    assert tally.outcomes == {"refused, finished units kept": 3}


def test_a_database_of_another_program_is_no_warehouse(tmp_path):
    import duckdb

    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table mine (x int)")
    with (
        pytest.raises(StudyError, match="of another program: rebuild it with upscale-audit build"),
        saying_database_errors(path),
        open_warehouse(path) as connection,
    ):
        connection.sql("select * from dim_tables").fetchall()


def test_a_full_disk_is_not_called_damage(tmp_path):
    import duckdb

    with (
        pytest.raises(
            StudyError, match=r"No space left on device; free some space there"
        ) as caught,
        saying_database_errors(tmp_path / "w.duckdb"),
    ):
        raise duckdb.TransactionException("Could not write w.wal: No space left on device")
    assert "damaged" not in str(caught.value)


def test_an_exported_folder_is_swapped_in_one_step(study):
    folder = study.output / "exports"
    before = folder.stat().st_ino
    export_tables(study)
    assert folder.stat().st_ino != before
    assert not list(study.output.glob(".exports*"))


@pytest.mark.parametrize("code", ["ENOSPC", "EDQUOT", "EFBIG"])
def test_a_disk_that_refuses_dbt_is_said_as_such(tmp_path, monkeypatch, code):
    from dbt.cli import main

    from upscale_audit.warehouse.dbt_runner import invoke_dbt

    number = getattr(errno, code)
    hidden = RuntimeError("dbt wraps what it meets")
    hidden.__cause__ = OSError(number, os.strerror(number), "target/partial_parse.msgpack")
    message = f"IO Error: Could not write file: {os.strerror(number)}"
    failed = SimpleNamespace(status="error", message=message, node=SimpleNamespace(name="x"))
    for result in (
        SimpleNamespace(exception=hidden, result=None),
        SimpleNamespace(exception=None, result=SimpleNamespace(results=[failed])),
    ):
        runner = SimpleNamespace(invoke=lambda _, result=result: result)
        monkeypatch.setattr(main, "dbtRunner", lambda *given, runner=runner: runner)
        with pytest.raises(StudyError, match=f"{os.strerror(number)}; .*then run this again"):
            invoke_dbt(["build"], tmp_path)


def test_a_dbt_model_that_ran_out_of_memory_is_said_with_what_gives_more(tmp_path, monkeypatch):
    from dbt.cli import main

    from upscale_audit.warehouse.dbt_runner import MemoryLimitError, invoke_dbt

    message = "Out of Memory Error: could not allocate block of size 256.0 KiB"
    failed = SimpleNamespace(status="error", message=message, node=SimpleNamespace(name="x"))
    result = SimpleNamespace(exception=None, result=SimpleNamespace(results=[failed]))
    runner = SimpleNamespace(invoke=lambda _: result)
    monkeypatch.setattr(main, "dbtRunner", lambda *given: runner)
    with pytest.raises(MemoryLimitError, match=r"Memory.*; give more by UPSCALE_AUDIT_MEMORY"):
        invoke_dbt(["build"], tmp_path)


def test_the_bound_of_what_is_put_aside_is_a_full_disk_and_other_failures_are_not(tmp_path):
    said = "Out of Memory Error: failed to offload data; set by the 'max_temp_directory_size'"
    with pytest.raises(StudyError, match="No space left on device; free some space there"):
        check_disk(tmp_path, None, said)
    check_disk(tmp_path, ValueError("a dbt model failed"), "Conversion Error")


def test_an_error_that_dbt_wrapped_and_too_few_handles_are_one_line(tmp_path, monkeypatch):
    from dbt.cli import main
    from dbt.cli.exceptions import ExceptionExit

    from upscale_audit.warehouse.dbt_runner import invoke_dbt

    wrapped = {
        "dbt could not run: no such profile": RuntimeError("no such\nprofile"),
        "too few file handles": OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    }
    for said, error in wrapped.items():
        result = SimpleNamespace(exception=ExceptionExit(error), result=None)
        runner = SimpleNamespace(invoke=lambda _, result=result: result)
        monkeypatch.setattr(main, "dbtRunner", lambda *given, runner=runner: runner)
        with pytest.raises(StudyError, match=said):
            invoke_dbt(["docs"], tmp_path)
