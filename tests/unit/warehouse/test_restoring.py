"""The command restore: help, what it says, exit codes."""

import pytest

from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.cli import main as cli


@pytest.fixture
def run(capsys):
    def run_cli(*arguments):
        with pytest.raises(SystemExit) as exit_info:
            cli.main(["restore", *map(str, arguments)])
        captured = capsys.readouterr()
        return exit_info.value.code, captured.out, captured.err

    return run_cli


@pytest.fixture
def study(study_folder):
    """A study of two references whose only model is to be made."""
    study_folder.add_model("blur", paths=("notta",))
    for image_id in "ab":
        study_folder.add_image(image_id)
        (study_folder.folder("blur", "notta") / f"{image_id}.png").unlink()
    path = study_folder.load().path
    text = path.read_text()
    path.write_text(
        text.replace('model_id = "blur"', 'model_id = "blur"\nrestorer = { kind = "blur" }')
    )
    return path


def test_restore_has_help_and_an_example_that_can_be_run(run, repository):
    code, out, _ = run("--help")
    assert code == 0
    assert "upscale-audit restore sample/controls.toml" in out
    controls = load_study(repository / "sample" / "controls.toml")
    assert all(model.restorer is not None for model in controls.models)


def test_restore_says_what_it_made_and_where_the_proof_lies(run, study):
    code, out, err = run(study, "--workers", 1)
    assert (code, out) == (0, "")
    assert "restore: 100.0/100 % of the work" in err
    assert "restored 2 images\n" in err
    assert "restored/blur/notta/.restored.json" in err
    assert "restored 0 images, 2 unchanged\n" in run(study)[2]


def test_references_that_are_refused_end_with_3(run, study):
    (study.parent / "reference" / "a.png").write_bytes(b"text")
    code, _, err = run(study)
    assert code == 3
    assert "not restored: 'a.png', not_an_image" in err
    assert "1 references were not restored in all" in err


def test_a_missing_study_and_a_study_without_restorers_are_one_line(run, tmp_path, tiny_study):
    for path, repair in (
        (tmp_path / "none.toml", "study.example.toml"),
        (tiny_study.load().path, "add one to a [[models]] table"),
    ):
        code, out, err = run(path)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert repair in err


def test_a_wrong_worker_count_exits_with_2(run, study):
    assert run(study, "--workers", 0)[0] == 2
