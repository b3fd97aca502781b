"""What a map is drawn from: the files that were measured, or an error that names the repair."""

import numpy as np
import pytest

from upscale_audit.analysis.lqd.scene import load_scene
from upscale_audit.ingest.errors import StudyError


def test_a_scene_holds_the_asked_view_first_then_every_other(built_study):
    scene = load_scene(built_study, "b", "alpha", "tta", also=["beta", "alpha"])
    views = [(view.model_id, view.inference_path) for view in scene.views]
    assert views == [("alpha", "tta"), ("alpha", "notta"), ("beta", "notta")]
    assert scene.reference.shape == scene.views[0].restored.shape == (16, 24)


def test_directions_are_those_of_the_warehouse(built_study):
    directions = load_scene(built_study, "a", "alpha", "notta").views[0].directions
    assert directions.shape == (2, 2, 3)
    assert directions[0, 0].tolist() == [-1, 0, 1]
    assert np.isnan(directions[0, 1]).all()
    assert (directions[1] == -3.25).all()


def test_before_the_first_build_there_are_no_directions(tiny_study):
    scene = load_scene(tiny_study.load(), "a", "alpha", "notta")
    assert scene.views[0].directions is None
    assert scene.components == ()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("aa", "alpha", "notta"), r"no image 'aa'.*nearest: a \(3 in all\)"),
        (("a", "alfa", "notta"), r"no model 'alfa'.*nearest: alpha"),
        (("a", "beta", "tta"), r"beta has no tta folder.*add tta"),
        (("a", "alpha", "TTA"), r"expected notta or tta"),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(tiny_study, asked, message):
    with pytest.raises(StudyError, match=message):
        load_scene(tiny_study.load(), *asked)


def test_another_model_that_is_unknown_is_refused_too(tiny_study):
    with pytest.raises(StudyError, match="no model 'gamma'"):
        load_scene(tiny_study.load(), "a", "alpha", "notta", also=["gamma"])


def test_a_missing_restored_image_names_its_folder(tiny_study):
    (tiny_study.folder("alpha", "tta") / "a.png").unlink()
    with pytest.raises(StudyError, match=r"no restored image of 'a'; put it into .*alpha/tta"):
        load_scene(tiny_study.load(), "a", "alpha", "tta")


def test_files_that_changed_since_ingest_are_refused(built_study, tiny_study):
    tiny_study.put("a.png", np.zeros((16, 24), np.uint8), "alpha")
    with pytest.raises(StudyError, match=r"not the file that was measured.*ingest and build"):
        load_scene(built_study, "a", "alpha", "notta")


def test_an_image_of_another_size_or_damaged_is_refused(tiny_study):
    tiny_study.put("a.png", np.zeros((16, 32), np.uint8), "alpha")
    tiny_study.put("b.png", b"text", "alpha")
    study = tiny_study.load()
    with pytest.raises(StudyError, match="32x16 px; the reference has 24x16; restore it"):
        load_scene(study, "a", "alpha", "notta")
    with pytest.raises(StudyError, match=r"not_an_image.*replace the file"):
        load_scene(study, "b", "alpha", "notta")
