"""What dbt warns of is said, and in this project it warns of nothing."""

import shutil

from tests.warehouse.conftest import WARNINGS
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
