"""A phantom study: its tables, its files, what is left alone, and what ends it."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.unit.restore_phantom.conftest import draw_scene
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.patients import PatientList
from upscale_audit.ingest.restorers import Repair
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.schema import PHANTOM_TABLES, arrow_schema
from upscale_audit.ingest.stated_window import Window
from upscale_audit.ingest.study import load_study
from upscale_audit.restore.phantom import images
from upscale_audit.restore.phantom.design import (
    IMAGE_ARMS,
    Condition,
    PhantomParameters,
    assign_conditions,
    list_conditions,
    list_image_conditions,
)
from upscale_audit.restore.phantom.study import make_phantoms
from upscale_audit.restore.restorers import Restorer
from upscale_audit.warehouse.companions import (
    CompanionFolder,
    create_companion_views,
    read_phantoms,
)
from upscale_audit.warehouse.proof.verify import verify

SMALL = PhantomParameters(kinds=("nodule_8", "wire", "erase"), contrasts_dn=(0, 8), version_count=2)


def read(folder, table):
    return pq.read_table(folder / "phantoms" / f"{table}.parquet").to_pylist()


def open_grey(folder, image_id, model_id=None):
    place = "reference" if model_id is None else f"restored/{model_id}/notta"
    return np.asarray(Image.open(folder / place / f"{image_id}.png")).astype(int)


@pytest.fixture
def made(study, tmp_path):
    """The study's phantoms, and where they are."""
    make_phantoms(study, tmp_path / "phantoms", SMALL, workers=1)
    return tmp_path / "phantoms"


def test_every_injection_is_listed_where_it_lies(study, made):
    rows = read(made, "injections")
    assert len(rows) == 2 * 6 * (2 + 2 * 2 + 2 * 2 + 2)
    for table in PHANTOM_TABLES:
        schema = pq.read_table(made / "phantoms" / f"{table}.parquet").schema
        assert schema.equals(arrow_schema(table))
    for row in rows:
        window = tuple(slice(row[side] - 36, row[side] + 36) for side in ("row_px", "col_px"))
        source = row["source_image_id"]
        reference = open_grey(made, row["image_id"])[window]
        restored = open_grey(made, row["image_id"], row["model_id"])[window]
        plain = open_grey(made, source)[window]
        untouched = open_grey(made, source, row["model_id"])[window]
        drawn = {
            "sham": np.zeros((72, 72)),
            "auditor": restored - untouched,
            "lost": reference - plain,
            "through": reference - plain,
        }[row["arm"]]
        assert (drawn**2).sum() == row["energy_dn2"]
        assert (row["arm"] == "auditor") <= (reference == plain).all()
        assert (row["arm"] in ("lost", "sham")) <= (restored == untouched).all()
        if row["arm"] == "through":
            assert ((restored - untouched) * drawn).sum() == row["response_dn2"]
        else:
            assert row["response_dn2"] is row["residue_dn2"] is None
        assert (row["energy_dn2"] == 0) == (row["contrast_dn"] == 0)
        folder = study.models[row["model_id"] == "copied"].notta
        file = folder if row["arm"] in ("sham", "auditor") else study.references
        assert row["source_sha256"] == hash_file(file / f"{source}.png")


def test_the_copies_are_an_ordinary_study(study, made):
    copies = load_study(made / "study.toml")
    assert (copies.name, copies.lr.rule, copies.lr.scale) == ("tiny-phantoms", "antialiased", 2)
    assert [model.restorer for model in copies.models] == [None, None]
    report = ingest_study(copies, workers=1)
    assert not report.rejects
    # The arm `through` holds no images of what cannot be run.
    assert (report.images, report.missing) == (2 * 7, 2 * 2)


def test_nothing_of_the_study_is_touched(study, tmp_path, read_tree):
    before = read_tree(study.path.parent)
    make_phantoms(study, tmp_path / "phantoms", SMALL, workers=1)
    assert read_tree(study.path.parent) == before


def test_a_killed_run_ends_with_the_same_bytes(study, made, tmp_path, read_tree, monkeypatch):
    whole = read_tree(made)
    other = tmp_path / "other"
    restore, calls = Restorer.restore, []

    def die(self, *arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return restore(self, *arguments)

    monkeypatch.setattr(Restorer, "restore", die)
    with pytest.raises(KeyboardInterrupt):
        make_phantoms(study, other, SMALL, workers=1)
    assert not (other / "phantoms" / "manifest.json").exists()
    assert not (other / "phantoms" / "injections.parquet").exists()
    monkeypatch.undo()
    # What was half made of the second image, and a torn list, are made again.
    report = make_phantoms(study, other, SMALL, workers=1)
    assert report.kept == 1
    assert read_tree(other) == whole
    assert make_phantoms(study, other, SMALL, workers=2).kept == 2
    assert read_tree(other) == whole


def test_a_copy_that_was_changed_is_made_again(study, made, read_tree):
    whole = read_tree(made)
    (made / "restored/copied/notta/a.auditor1.png").write_bytes(b"changed")
    unit = next(iter((made / "phantoms/units").iterdir()))
    unit.write_text("{" + unit.read_text()[:50])
    assert make_phantoms(study, made, SMALL, workers=1).kept < 2
    assert read_tree(made) == whole


def test_what_is_asked_for_no_more_is_removed(study, made):
    make_phantoms(study, made, replace(SMALL, arms=("lost",)), image_count=1, workers=1)
    assert sorted(path.name for path in (made / "reference").iterdir()) == [
        "a.lost0.png",
        "a.lost1.png",
        "a.png",
    ]
    assert {row["arm"] for row in read(made, "injections")} == {"sham", "lost"}


def test_images_that_are_made_of_another_models_are_not_made_again(study, tmp_path):
    bicubic, copied = study.models
    repaired = replace(study, models=(bicubic, replace(copied, restorer=Repair("bicubic"))))
    report = make_phantoms(repaired, tmp_path / "out", SMALL, workers=1)
    assert report.arms_left_out == {"copied": "is made of the images of bicubic"}
    models = {row["model_id"] for row in read(tmp_path / "out", "injections")}
    assert models == {"bicubic", "copied"}


def test_a_baseline_of_published_files_is_none_of_the_copies(study, tmp_path):
    theirs = replace(study.analysis_parameters, baseline_model="theirs")
    make_phantoms(replace(study, analysis_parameters=theirs), tmp_path / "out", SMALL, workers=1)
    copies = load_study(tmp_path / "out" / "study.toml")
    assert copies.analysis_parameters == study.analysis_parameters


def test_without_an_lr_rule_there_are_no_parts_and_nothing_goes_through(study, tmp_path):
    report = make_phantoms(replace(study, lr=None), tmp_path / "out", SMALL, workers=1)
    why = "no [lr] rule and scale in the study file"
    assert report.arms_left_out == {"bicubic": why, "copied": why}
    rows = read(tmp_path / "out", "injections")
    assert {row["component"] for row in rows} == {"full"}
    assert {row["null_ratio"] for row in rows} == {None}
    assert {row["arm"] for row in rows} == {"sham", "auditor", "lost"}
    assert load_study(tmp_path / "out" / "study.toml").lr is None


def test_an_arm_of_images_may_draw_what_has_no_contrast_alone():
    parameters = PhantomParameters(arms=IMAGE_ARMS, kinds=("erase", "wire"), contrasts_dn=(0,))
    assert [item.kind for item in list_image_conditions(parameters)] == ["erase"]


def test_a_contrast_of_nothing_has_no_parts():
    conditions = list_conditions(PhantomParameters(), has_rule=True)
    assert len(set(conditions)) == len(conditions) == 5 * 4 + 3 + 2 * 3 + 2
    assert Condition("wire", 0, "null") not in conditions
    assert Condition("wire", 0, "full") in conditions


@pytest.mark.parametrize("site_count", [1, 6, 9, 16, 31, 40])
@pytest.mark.parametrize("condition_count", [1, 6, 31])
def test_no_site_has_a_condition_again_before_it_has_had_all(site_count, condition_count):
    conditions = list_conditions(PhantomParameters(), has_rule=True)[:condition_count]
    dealt = [
        assign_conditions(conditions, "image", site_count, version, "seed")
        for version in range(condition_count)
    ]
    for site in range(site_count):
        assert {copy[site] for copy in dealt} == set(conditions)
    for copy in dealt:
        counts = [Counter(copy)[condition] for condition in conditions]
        assert max(counts) - min(counts) <= 1
    if condition_count > 6:
        assert assign_conditions(conditions, "other", 31, 0, "seed") != dealt[0][:31]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kinds": ("tumour",)}, "kind = 'tumour'; expected one of nodule_8"),
        ({"kinds": ()}, "kinds = .*; expected one or more"),
        ({"arms": ("sideways",)}, "arm = 'sideways'; expected one of auditor"),
        ({"contrasts_dn": (300,)}, r"contrast = 300; expected 0\.\.64"),
        ({"contrasts_dn": (-4,)}, r"contrast = -4; expected 0\.\.64"),
        (
            {"arms": ("lost", "alone"), "kinds": ("wire",), "contrasts_dn": (0,)},
            r"contrasts = \(0,\); expected one above 0, or a kind without contrast: an arm that",
        ),
        ({"site_count": 0}, "sites = 0"),
        ({"version_count": 0}, "versions = 0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(given, message):
    with pytest.raises(StudyError, match=message):
        PhantomParameters(**given)


def test_images_without_room_are_said(study, study_folder, tmp_path):
    for image_id in ("a", "b"):
        dark = np.zeros((280, 376), np.uint8)
        study_folder.put(f"{image_id}.png", dark)
    arms = replace(SMALL, arms=("auditor",))
    with pytest.raises(StudyError, match=r"has a site to draw at \(no room for a site\).*72x72"):
        make_phantoms(study, tmp_path / "out", arms, workers=1)
    assert not (tmp_path / "out/phantoms/manifest.json").exists()
    study_folder.put("b.png", draw_scene(1))
    report = make_phantoms(study, tmp_path / "out", arms, workers=1)
    assert report.left_out == {"a: reference": "no room for a site"}
    assert {row["source_image_id"] for row in read(tmp_path / "out", "injections")} == {"b"}


def test_in_a_flat_reference_there_is_nothing_to_erase(study, study_folder, tmp_path):
    flat = np.full((280, 376), 120, np.uint8)
    for model_id in (None, "copied", "bicubic"):
        for image_id in ("a", "b"):
            study_folder.put(f"{image_id}.png", flat, model_id)
    make_phantoms(study, tmp_path / "out", replace(SMALL, kinds=("erase",)), workers=1)
    rows = [row for row in read(tmp_path / "out", "injections") if row["kind"] == "erase"]
    assert {(row["energy_dn2"], row["null_ratio"]) for row in rows} == {(0.0, None)}


def test_a_restorer_that_changes_size_ends_it(study, tmp_path, monkeypatch):
    monkeypatch.setattr(Restorer, "restore", lambda self, image, tta: image[:-2])
    with pytest.raises(StudyError, match="makes 376x278 px of 'a'; expected 376x280, the refer"):
        make_phantoms(study, tmp_path / "out", SMALL, workers=1)
    assert not (tmp_path / "out/phantoms/manifest.json").exists()


def test_images_that_their_restorer_did_not_make_end_it(study, study_folder, tmp_path):
    study_folder.put("b.png", draw_scene(1), "bicubic")
    with pytest.raises(StudyError, match="is not what the restorer of 'bicubic' makes of 'b': run"):
        make_phantoms(study, tmp_path / "out", SMALL, workers=1)


def test_files_that_cannot_be_read_or_are_of_another_size_are_left_out(
    study, study_folder, tmp_path
):
    study_folder.put("a.png", b"no image", "copied")
    study_folder.put("b.png", draw_scene(1, (280, 368)), "copied")
    report = make_phantoms(study, tmp_path / "out", replace(SMALL, arms=("lost",)), workers=1)
    assert report.left_out == {
        "a: copied/notta": "not_an_image: " + report.left_out["a: copied/notta"].split(": ")[1],
        "b: copied/notta": "size_mismatch: another size than the reference",
    }
    assert {row["model_id"] for row in read(tmp_path / "out", "injections")} == {"bicubic"}


def test_a_folder_of_something_else_is_left_alone(study, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/letter.txt").write_text("dear")
    with pytest.raises(StudyError, match=r"holds 'letter\.txt' and no phantom study"):
        make_phantoms(study, tmp_path / "notes", SMALL)
    for place in (study.references, study.references / "below", study.references.parent):
        with pytest.raises(StudyError, match=r"lie in one another|is the study's own folder"):
            make_phantoms(study, place, SMALL)
    with pytest.raises(StudyError, match="is the study's own folder"):
        make_phantoms(study, study.output, SMALL)
    with pytest.raises(StudyError, match=r"lies where .* writes its own tables"):
        make_phantoms(study, study.output / "phantoms", SMALL)


def test_references_named_as_copies_are_refused(study, study_folder, tmp_path):
    scene = draw_scene(5)
    study_folder.put("a.lost0.png", scene)
    study_folder.put("a.lost0.png", scene, "copied")
    with pytest.raises(StudyError, match=r"'a\.lost0' has the name that a copy of another"):
        make_phantoms(study, tmp_path / "out", SMALL)


def test_what_a_build_finds(study, made, tmp_path):
    plain = load_study(study.path)
    assert read_phantoms(plain) == CompanionFolder("phantoms")
    create_companion_views(tmp_path / "without.duckdb", read_phantoms(plain))
    copies = load_study(made / "study.toml")
    found = read_phantoms(copies)
    create_companion_views(tmp_path / "with.duckdb", found)
    assert len(found.sources) == 2 * 3
    assert not verify(made).findings
    manifest = made / "phantoms/manifest.json"
    forged = json.loads(manifest.read_text()) | {"study": "other"}
    manifest.write_text(json.dumps(forged))
    with pytest.raises(StudyError, match=r"not the one that was signed.*upscale-audit phantom"):
        read_phantoms(copies)
    assert any(item.name == "phantoms/manifest.json" for item in verify(made).findings)
    (made / "phantoms/injections.parquet").write_bytes(b"other")
    findings = {item.name: item.repair for item in verify(made).findings}
    assert "upscale-audit phantom STUDY.toml --out" in findings["phantoms/injections.parquet"]


def test_a_unit_without_its_list_is_debris(made):
    unit = next(iter((made / images.UNITS).iterdir()))
    assert images.read_unit(unit, made) is not None
    unit.write_text("[]")
    assert images.read_unit(unit, made) is None


def test_a_phantom_study_has_the_8_bits_a_window_made_and_the_list_of_patients(study, tmp_path):
    who = study.path.with_name("who.csv")
    who.write_text("file,subject\na.png,p\nb.png,p\n")
    columns = (("image", "file"), ("patient", "subject"))
    parameters = replace(study.ingest_parameters, window=Window("fixed", 0, 4095))
    patients = PatientList(who, None, columns)
    folder = tmp_path / "phantoms"
    stated = replace(study, ingest_parameters=parameters, patients=patients)
    make_phantoms(stated, folder, SMALL, workers=1)
    made = load_study(folder / "study.toml")
    assert made.ingest_parameters.window is None
    assert made.patients.file.samefile(who)
    assert made.patients.columns == columns
