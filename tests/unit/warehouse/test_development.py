"""The copy that dbt commands run in: when it is made again."""

from dataclasses import replace

import pytest

from upscale_audit.warehouse import development


@pytest.fixture
def call(monkeypatch):
    """Give a function that runs a dbt command and says whether it made the copy first."""
    monkeypatch.setattr(
        development, "_make_copy", lambda study, folder, database: folder.mkdir(exist_ok=True)
    )
    monkeypatch.setattr(development, "hand_to_dbt", lambda *arguments: True)

    def run(study):
        said = []
        assert development.run_in_copy(study, ["ls"], said.append)
        return bool(said)

    return run


def test_the_copy_is_made_once_and_again_when_a_file_behind_it_changed(tiny_study, call):
    study = tiny_study.load()
    study.raw.mkdir(parents=True)
    study.warehouse.write_bytes(b"")
    assert [call(study), call(study)] == [True, False]
    study = replace(study, detectors=tiny_study.root / "limits.toml")
    for path in (study.path, study.raw / "manifest.json", study.detectors):
        with open(path, "a", encoding="utf-8") as file:
            file.write("# another\n")
        assert [call(study), call(study)] == [True, False], path
