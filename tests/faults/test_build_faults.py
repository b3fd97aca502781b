"""Build and export under faults: the old results stand, the next run gives the same bytes."""

import random

import pytest

from ingest.errors import StudyError
from tests.faults import campaign
from warehouse.connect import open_warehouse, saying_database_errors
from warehouse.export import export_tables


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A tiny study, built and exported; each fault leaves it as it found it."""
    return campaign.make_study(tmp_path_factory.mktemp("faults") / "study", build=True)


@pytest.fixture
def generator():
    """A seeded source of trouble."""
    return random.Random(11)


def test_damaged_files_are_found_and_mended(study, generator):
    outcomes = campaign.corrupt(study, 10, generator)
    assert outcomes["build refused, ingest mended it"] == 6
    assert "found by verify, OTHER EXPORTS" not in outcomes


def test_an_export_killed_leaves_the_old_one(study, generator):
    expected = campaign.read_exports(study)
    assert campaign.kill(study, 2, generator, "export", 1.0).total() == 2
    assert campaign.read_exports(study) == expected


def test_readers_see_no_error_through_a_publication(study, generator):
    assert campaign.read_while_publishing(study, 1, generator).total() == 1


def test_a_read_only_output_is_said_in_one_line(study, generator):
    if not campaign.can_mount():
        pytest.skip("this user may not mount in a namespace")
    assert campaign.write_protect(study, 2, generator) == {"StudyError": 2}


def test_sources_that_change_under_the_reader(tmp_path, generator):
    tiny = campaign.make_study(tmp_path / "study")
    assert campaign.change_sources(tiny, 8, generator).total() == 8


def test_a_full_memory_keeps_the_finished_units(tmp_path, generator):
    tiny = campaign.make_study(tmp_path / "study")
    outcomes = campaign.exhaust_memory(tiny, 3, generator)
    assert outcomes == {"StudyError, finished units kept": 3}


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


def test_an_exported_folder_is_swapped_in_one_step(study):
    folder = study.output / "exports"
    before = folder.stat().st_ino
    export_tables(study)
    assert folder.stat().st_ino != before
    assert not list(study.output.glob(".exports*"))
