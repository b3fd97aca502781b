"""The command phantom: what it says, and how it ends."""

import numpy as np
import pytest

from tests.unit.restore_phantom.conftest import draw_scene
from upscale_audit.warehouse.cli.main import main


@pytest.fixture
def run(study_folder, capsys):
    """Give a function from options to the exit status and what was said."""
    for model_id in ("one", "two"):
        study_folder.add_model(model_id, paths=("notta",))
    study_folder.put("a.png", draw_scene(1))
    for model_id in ("one", "two"):
        study_folder.put("a.png", draw_scene(1), model_id)
    study_folder.load()

    def call(*options):
        out = study_folder.root.parent / "out"
        arguments = ["phantom", str(study_folder.root / "study.toml"), "--out", str(out)]
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--workers", "1", *options])
        return ended.value.code, capsys.readouterr().err

    return call


def test_it_says_what_it_drew_and_what_to_run_next(run):
    code, said = run("--kind", "wire", "--contrast", "8", "--versions", "1")
    assert code == 0
    # Two arms of six sites under two models; the third arm needs an LR rule.
    assert "drew 24 injections beside 12 shams" in said
    assert "1 of 1 images had room for fewer sites than asked for" in said
    assert "no arm through for 'one': no [lr] rule and scale in the study file" in said
    assert "upscale-audit run " in said
    assert (
        "drew 24 injections beside 12 shams, 1 unchanged"
        in run("--kind", "wire", "--contrast", "8", "--versions", "1")[1]
    )


def test_models_can_be_chosen(run):
    code, said = run("--model", "two", "--arm", "lost", "--versions", "1", "--sites", "2")
    assert (code, "drew 2 injections beside 2 shams" in said) == (0, True)
    code, said = run("--model", "three")
    assert code == 1
    assert "--model 'three'; expected a model of" in said


def test_what_could_not_be_drawn_into_is_said_and_the_status_is_3(run, study_folder):
    study_folder.put("b.png", np.zeros((280, 376), np.uint8))
    study_folder.put("b.png", np.zeros((280, 376), np.uint8), "one")
    code, said = run("--versions", "1")
    assert code == 3
    assert "not drawn into: b: reference, no room for a site" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kind", "tumour"], "kind = 'tumour'; expected one of nodule_8"),
        (["--arm", "sideways"], "arm = 'sideways'; expected one of auditor"),
        (["--contrast", "99"], "contrast = 99; expected 0..64"),
    ],
)
def test_what_means_nothing_is_refused_in_a_line(run, options, message):
    code, said = run(*options)
    assert (code, message in said) == (1, True)
