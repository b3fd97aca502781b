"""What dbt warns of is said, and in this project it warns of nothing."""

import shutil
import weakref
from types import SimpleNamespace

import pytest

from tests.warehouse.conftest import WARNINGS
from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse import dbt_runner


def test_a_build_of_the_sample_gives_no_warning_and_no_deprecation(sample_study):
    assert sample_study.warehouse.is_file()
    assert (sample_study.output.parent / WARNINGS).read_text() == ""


def test_the_project_read_anew_gives_none(tmp_path, caplog):
    dbt_runner.invoke_dbt(["parse", "--no-partial-parse"], tmp_path / "dbt")
    assert caplog.text == ""


def test_a_warning_of_dbt_is_said(monkeypatch, tmp_path, caplog):
    shutil.copytree(dbt_runner.PROJECT, tmp_path / "project")
    path = tmp_path / "project" / "models" / "staging" / "_staging__models.yml"
    path.write_text(path.read_text() + "\nversion: 2\n")
    monkeypatch.setattr(dbt_runner, "PROJECT", tmp_path / "project")
    dbt_runner.invoke_dbt(["parse"], tmp_path / "dbt")
    assert "Duplicate key 'version'" in caplog.text


def test_a_command_that_takes_no_target_path_runs_too_and_writes_where_it_is_told(tmp_path):
    dbt_runner.invoke_dbt(["deps"], tmp_path / "dbt")
    assert (tmp_path / "dbt" / "logs").is_dir()
    assert not (dbt_runner.PROJECT / "logs").exists()


def test_what_dbt_ran_when_it_failed_is_not_held_until_the_interpreter_ends(tmp_path):
    class Pool:
        """As dbt's, which says so by a traceback."""

    made = []

    def fail():
        pool = Pool()
        made.append(weakref.ref(pool))
        raise ValueError("no such table")

    with pytest.raises(ValueError, match="no such table") as failed:
        fail()
    with pytest.raises(StudyError, match="dbt could not run: no such table"):
        dbt_runner._raise_what_ended(SimpleNamespace(exception=failed.value), tmp_path)
    assert made[0]() is None
