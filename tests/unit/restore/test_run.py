"""A study restored: what is made, kept, refused and never touched."""

import json
import os
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.restorers import Blur, Interpolation, Jpeg
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import Model, load_study
from upscale_audit.restore import run
from upscale_audit.restore.restorers import Restorer
from upscale_audit.restore.run import restore_study
from upscale_audit.restore.shelf import JOURNAL, MANIFEST


@pytest.fixture
def study(study_folder, tmp_path):
    """Three references; bicubic without TTA, blur and jpeg with; and a model made elsewhere."""
    study_folder.add_model("elsewhere", paths=("notta",))
    for image_id in ("a", "b", "c"):
        study_folder.add_image(image_id, shape=(24, 32))
    loaded = study_folder.load()
    made = tmp_path / "made"
    models = (
        Model("bicubic", made / "bicubic", None, Interpolation("bicubic")),
        Model("blur", made / "blur/notta", made / "blur/tta", Blur("blur", 1.5)),
        Model("jpeg", made / "jpeg/notta", made / "jpeg/tta", Jpeg("jpeg", 30)),
    )
    return replace(loaded, models=(*models, *loaded.models))


@pytest.fixture
def made(tmp_path):
    return tmp_path / "made"


def change(study, model_id, **values):
    """The study with one restorer's parameters changed."""
    models = tuple(
        replace(model, restorer=replace(model.restorer, **values))
        if model.model_id == model_id
        else model
        for model in study.models
    )
    return replace(study, models=models)


def test_every_declared_folder_is_filled_and_others_are_left_alone(study, made, read_tree):
    elsewhere = next(model for model in study.models if model.restorer is None).notta
    before = read_tree(elsewhere)
    report = restore_study(study, workers=1)
    assert (report.made, report.kept, report.rejects) == (15, 0, {})
    assert read_tree(elsewhere) == before
    for folder in ("bicubic", "blur/notta", "blur/tta", "jpeg/notta", "jpeg/tta"):
        visible = [path.name for path in (made / folder).iterdir() if path.name[0] != "."]
        assert sorted(visible) == ["a.png", "b.png", "c.png"]
        assert not (made / folder / JOURNAL).exists()
    with Image.open(made / "blur/notta/a.png") as image:
        reference = np.asarray(Image.open(study.references / "a.png"))
        assert np.array_equal(np.asarray(image), run_restorer(study, "blur", reference))


def run_restorer(study, model_id, reference):
    declared = next(model.restorer for model in study.models if model.model_id == model_id)
    return Restorer(declared, study.restore_parameters).restore(reference, tta=False)


def test_the_manifest_names_inputs_recipe_and_outputs_by_their_hashes(study, made):
    restore_study(study, workers=1)
    manifest = json.loads((made / "jpeg/tta" / MANIFEST).read_text())
    assert (manifest["kind"], manifest["model_id"], manifest["inference_path"]) == (
        "restored",
        "jpeg",
        "tta",
    )
    assert manifest["recipe"]["restorer"] == {"kind": "jpeg", "quality": 30}
    for entry in manifest["images"]:
        reference = study.references / f"{entry['image_id']}.png"
        assert entry["input_sha256"] == hash_file(reference)
        assert entry["recipe_sha256"] == manifest["recipe_sha256"]
        output = made / "jpeg/tta" / entry["file"]
        assert entry["sha256"] == manifest["files"][entry["file"]] == hash_file(output)
    assert [entry["image_id"] for entry in manifest["images"]] == ["a", "b", "c"]
    assert str(made) not in json.dumps(manifest)


def test_a_second_run_makes_nothing_and_changes_no_byte(study, made, read_tree):
    restore_study(study, workers=1)
    before = read_tree(made)
    report = restore_study(study, workers=1)
    assert (report.made, report.kept) == (0, 15)
    assert read_tree(made) == before


def test_only_what_changed_is_made_anew(study, made, study_folder):
    restore_study(study, workers=1)
    report = restore_study(change(study, "jpeg", quality=31), workers=1)
    assert (report.made, report.kept) == (6, 9)
    study_folder.add_image("b", shape=(24, 32), suffix="other")
    report = restore_study(change(study, "jpeg", quality=31), workers=1)
    assert (report.made, report.kept) == (5, 10)
    (made / "blur/tta/c.png").unlink()
    study_folder.add_image("d", shape=(16, 16))
    report = restore_study(change(study, "jpeg", quality=31), workers=1)
    assert (report.made, report.kept) == (6, 14)


def test_the_result_depends_on_nothing_but_study_and_pixels(study, made, study_folder, read_tree):
    restore_study(change(study, "jpeg", quality=5), workers=1)
    (made / "blur/tta/c.png").unlink()
    (made / "bicubic" / MANIFEST).unlink()
    for name in "abc":
        (made / f"bicubic/{name}.png").unlink()
    restore_study(study, workers=1)
    found = read_tree(made)
    fresh = made.with_name("fresh")
    models = tuple(
        replace(
            model,
            notta=fresh / model.notta.relative_to(made),
            tta=model.tta and fresh / model.tta.relative_to(made),
        )
        for model in study.models
        if model.restorer
    )
    restore_study(replace(study, models=models), workers=2)
    assert read_tree(fresh) == found


def test_an_image_of_another_origin_is_an_error_and_keeps_its_bytes(study, made, read_tree):
    (made / "blur/tta").mkdir(parents=True)
    (made / "blur/tta/b.png").write_bytes(b"mine")
    with pytest.raises(StudyError, match=r"tta has 'b.png', which restore did not") as caught:
        restore_study(study, workers=1)
    assert "move it elsewhere, or name another folder for tta of 'blur'" in str(caught.value)
    assert (made / "blur/tta/b.png").read_bytes() == b"mine"
    assert not list(made.rglob("*/notta/*.png"))


@pytest.mark.parametrize("name", ["b.jpg", "B.png", "notes.txt"])
def test_any_visible_file_of_another_origin_is_an_error(study, made, name):
    restore_study(study, workers=1)
    (made / "bicubic" / name).write_bytes(b"mine")
    with pytest.raises(StudyError, match=f"has '{name}', which restore did not put there"):
        restore_study(study, workers=1)


def test_a_folder_named_like_an_image_is_an_error(study, made):
    restore_study(study, workers=1)
    (made / "bicubic" / "a.PNG").mkdir()
    with pytest.raises(StudyError, match=r"has 'a\.PNG', which restore did not put there"):
        restore_study(study, workers=1)


def test_a_changed_image_is_put_aside_and_made_anew(study, made, read_tree):
    restore_study(study, workers=1)
    before = read_tree(made)
    (made / "bicubic/a.png").write_bytes(b"retouched")
    report = restore_study(study, workers=1)
    assert (report.made, report.kept) == (1, 14)
    (aside,) = report.set_aside
    after = read_tree(made)
    assert after.pop(f"bicubic.set-aside/{aside.rpartition('/')[2]}") == b"retouched"
    assert after == before


def test_references_that_cannot_be_restored_are_named_and_the_rest_goes_on(study, study_folder):
    study_folder.put("a.png", b"text")
    study_folder.add_image("odd", shape=(25, 32))
    report = restore_study(study, workers=1)
    assert set(report.rejects) == {"a.png", "odd.png"}
    assert report.rejects["a.png"].startswith("not_an_image")
    assert "32x25 px, no multiple of [restore] scale = 2" in report.rejects["odd.png"]
    assert report.made == 2 * 5 + 4  # only bicubic needs sides that divide
    manifest = json.loads((study.models[0].notta / MANIFEST).read_text())
    assert sorted(manifest["rejects"]) == ["a", "odd"]
    again = restore_study(study, workers=1)
    assert (again.made, set(again.rejects)) == (0, {"a.png", "odd.png"})


def test_an_empty_reference_is_named_when_nothing_else_is_left_to_do(study, study_folder):
    study_folder.put("empty.png", b"")
    said = []
    for _ in range(2):
        report = restore_study(study, 1, lambda done, total, label: said.append(done))
        assert report.rejects == {"empty.png": "empty: 0 bytes"}
    assert said[-1] == 100


def test_a_pipe_among_the_references_is_named_and_not_waited_for(study):
    os.mkfifo(study.references / "pipe.png")
    report = restore_study(study, workers=1)
    assert report.rejects == {"pipe.png": "unreadable: not a regular file"}
    assert report.made == 15


def test_a_reference_of_more_bytes_than_its_pixels_need_is_refused(study):
    few = replace(study.ingest_parameters, max_image_px=1000)
    os.truncate(study.references / "a.png", 8 * 1000 + (1 << 26) + 1)
    report = restore_study(replace(study, ingest_parameters=few), workers=1)
    assert report.rejects["a.png"].startswith("too_many_bytes")


def test_the_old_image_of_a_reference_that_became_unreadable_does_not_stay(
    study, study_folder, made
):
    restore_study(study, workers=1)
    study_folder.put("a.png", b"text")
    report = restore_study(study, workers=1)
    assert len(report.set_aside) == 5
    assert not list(made.glob("*/*/a.png"))


def test_images_without_a_reference_stay_known(study, study_folder, made):
    restore_study(study, workers=1)
    reference = study_folder.folder() / "c.png"
    data = reference.read_bytes()
    reference.unlink()
    assert restore_study(study, workers=1).kept == 10
    manifest = json.loads((made / "bicubic" / MANIFEST).read_text())
    assert [entry["file"] for entry in manifest["left_over"]] == ["c.png"]
    reference.write_bytes(data)
    report = restore_study(study, workers=1)
    assert (report.made, report.kept) == (0, 15)


def test_a_reference_that_changes_under_way_is_an_error(study, study_folder, monkeypatch):
    plan = run._plan

    def plan_then_change(*arguments):
        tasks = plan(*arguments)
        study_folder.add_image("b", shape=(24, 32), suffix="other")
        return tasks

    monkeypatch.setattr(run, "_plan", plan_then_change)
    with pytest.raises(StudyError, match=r"b\.png changed while it was restored: run this again"):
        restore_study(study, workers=1)
    monkeypatch.undo()
    assert restore_study(study, workers=1).rejects == {}


def spoil_entry(text):
    """Spell a manifest whose first image has a list for a file name."""
    manifest = json.loads(text)
    manifest["images"][0]["file"] = ["a.png"]
    return json.dumps(manifest)


@pytest.mark.parametrize("spoil", [lambda text: "{}", lambda text: text[:50], spoil_entry])
def test_a_damaged_manifest_says_how_to_go_on(study, made, spoil):
    restore_study(study, workers=1)
    path = made / "bicubic" / MANIFEST
    path.write_text(spoil(path.read_text()))
    with pytest.raises(StudyError, match="says which images restore made: put it back, or move"):
        restore_study(study, workers=1)


def test_progress_ends_at_a_hundred_and_never_falls(study):
    said = []
    restore_study(study, workers=1, progress=lambda *values: said.append(values))
    shares = [done for done, _, _ in said]
    assert shares == sorted(shares)
    assert 0 < shares[0] < 20
    assert (shares[-1], said[-1][1], len(said)) == (100, 100, 15)
    assert said[-1][2].startswith("15/15 images, last ")


def test_a_study_without_restorers_is_an_error(tiny_study):
    with pytest.raises(StudyError, match="no model declares a restorer"):
        restore_study(tiny_study.load(), workers=1)


def test_wrong_weights_stop_before_anything_is_made(study, study_folder, made):
    text = study.path.read_text().replace(
        'model_id = "elsewhere"',
        'model_id = "elsewhere"\nrestorer = { kind = "ncnn", param = "p", bin = "b",'
        f' native_scale = 2, sha256 = "{"0" * 64}" }}',
    )
    study.path.write_text(text)
    (study.path.parent / "p").write_text("text")
    (study.path.parent / "b").write_text("numbers")
    with pytest.raises(StudyError, match=r"restorer of 'elsewhere': .*/b: expected SHA-256 0000"):
        restore_study(load_study(study.path), workers=1)
    assert not made.exists()


def test_what_was_restored_can_be_ingested_at_once(study):
    restore_study(study, workers=1)
    report = ingest_study(study, workers=1)
    assert (report.rejects, report.missing) == ((), 0)
    assert report.images == 3


@pytest.mark.parametrize(
    "line", [b"[1]", b'{"file": 1}', b"\xff", b'"text"', b"[" * 100_000, b"null", b"1e999"]
)
def test_a_journal_of_other_lines_vouches_for_no_image(study, made, line):
    restore_study(study, workers=1)
    (made / "bicubic" / MANIFEST).unlink()
    (made / "bicubic" / JOURNAL).write_bytes(line + b"\n")
    with pytest.raises(StudyError, match="which restore did not put there"):
        restore_study(study, workers=1)


def test_an_image_that_was_forged_with_its_record_is_put_aside_and_made_anew(
    study, made, read_tree
):
    restore_study(study, workers=1)
    folder, before = made / "bicubic", read_tree(made / "bicubic")
    Image.fromarray(np.zeros((16, 24), np.uint8)).save(folder / "a.png")
    manifest = json.loads((folder / MANIFEST).read_text())
    (entry,) = (item for item in manifest["images"] if item["image_id"] == "a")
    entry["sha256"] = manifest["files"]["a.png"] = hash_file(folder / "a.png")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    report = restore_study(study, workers=1)
    assert report.made == 3
    assert any("bicubic.set-aside" in name for name in report.set_aside)
    assert read_tree(folder) == before


def test_a_journal_in_place_of_a_signed_record_is_not_believed(study, made, read_tree):
    restore_study(study, workers=1)
    folder, before = made / "bicubic", read_tree(made / "bicubic")
    entries = json.loads((folder / MANIFEST).read_text())["images"]
    (folder / JOURNAL).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    (folder / MANIFEST).unlink()
    assert restore_study(study, workers=1).made == 3
    assert read_tree(folder) == before


def test_a_deep_reference_is_restored_as_the_study_s_window_shows_it(study_folder, tmp_path):
    study_folder.add_model("elsewhere", paths=("notta",))
    deep = np.random.default_rng(9).integers(0, 4096, (24, 32), np.uint16)
    study_folder.put("a.png", cv2.imencode(".png", deep)[1].tobytes())
    made = tmp_path / "made"
    model = Model("bicubic", made, None, Interpolation("bicubic"))
    for high in (4095, 2000):
        study = replace(study_folder.load(parameters=f"window = [0, {high}]"), models=(model,))
        report = restore_study(study, workers=1)
        assert (report.made, report.kept, report.rejects) == (1, 0, {})
        shown = np.rint(255 * np.clip(deep / high, 0, 1)).astype(np.uint8)
        with Image.open(made / "a.png") as image:
            assert np.array_equal(np.asarray(image), run_restorer(study, "bicubic", shown))
    assert restore_study(study, workers=1).kept == 1
    study = replace(study_folder.load(), models=(model,))
    (reject,) = restore_study(study, workers=1).rejects.values()
    assert "state window" in str(reject)
