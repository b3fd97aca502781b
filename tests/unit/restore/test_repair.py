"""`repair = true`: a model beside the original, whose images contradict their LR images no more."""

import shutil

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.lr import LrImage, repair
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.restore.run import restore_study

CROPS = ("rg1_r0c0.png", "rg1_r1c1.png")
STUDY = """
[study]
name = "mended"
references = "reference"
output = "out"
[lr]
folder = "lr"
[[models]]
model_id = "digital"
notta = "digital/notta"
tta = "digital/tta"
repair = true
[[models]]
model_id = "bicubic"
notta = "made/bicubic"
restorer = { kind = "bicubic" }
repair = true
[parameters]
image_metrics = false
"""


@pytest.fixture
def study(repository, tmp_path):
    sample = repository / "sample"
    places = {
        "reference": sample / "reference",
        "lr": sample / "lr",
        "digital/notta": sample / "restored" / "upscayl_digital" / "notta",
        "digital/tta": sample / "restored" / "upscayl_digital" / "tta",
    }
    for name, place in places.items():
        (tmp_path / name).mkdir(parents=True)
        for crop in CROPS:
            shutil.copy(place / crop, tmp_path / name / crop)
    (tmp_path / "study.toml").write_text(STUDY)
    return load_study(tmp_path / "study.toml")


def read(path):
    return np.asarray(Image.open(path))


def test_a_repaired_model_stands_beside_its_original(study):
    assert [model.model_id for model in study.models] == [
        "bicubic", "bicubic_repaired", "digital", "digital_repaired",
    ]  # fmt: skip
    # The study's own axis is of what restorers made.
    assert study.axis_models == ("bicubic", "digital")
    report = restore_study(study, workers=1)
    assert (report.made, report.kept, report.rejects) == (8, 0, {})
    folder = study.output / "restored" / "digital_repaired"
    for path in ("notta", "tta"):
        for crop in CROPS:
            lr = LrImage(read(study.lr.folder / crop), "antialiased", 2)
            original = read(study.path.parent / "digital" / path / crop)
            mended = read(folder / path / crop)
            assert np.array_equal(mended, repair(original, lr))
            assert lr.find_contradictions(lr.judge(original))[2].any()
            assert not lr.find_contradictions(lr.judge(mended))[2].any()
    report = ingest_study(study, workers=1)
    assert (report.images, report.missing, report.rejects) == (2, 0, ())


def test_what_was_repaired_is_kept_until_one_of_its_three_files_changes(study):
    restore_study(study, workers=1)
    again = restore_study(study, workers=1)
    assert (again.made, again.kept) == (0, 8)
    path = study.path.parent / "digital" / "notta" / CROPS[0]
    Image.fromarray(255 - read(path)).save(path)
    assert restore_study(study, workers=1).made == 1
    path = study.lr.folder / CROPS[1]
    Image.fromarray(np.flipud(read(path))).save(path)
    report = restore_study(study, workers=1)
    # Of an LR image that the reference refutes nothing is repaired, and the old image is put aside.
    assert "LR image unknown" in report.rejects[f"{CROPS[1]} by digital_repaired"]
    assert not (study.output / "restored" / "digital_repaired" / "notta" / CROPS[1]).exists()
    assert len(report.set_aside) == 3


def test_a_missing_original_is_said(study):
    (study.path.parent / "digital" / "tta" / CROPS[0]).unlink()
    report = restore_study(study, workers=1)
    assert report.rejects == {f"{CROPS[0]} by digital_repaired": "no image of 'digital'"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[lr]\nfolder = "lr"\n', "", "repair = true of 'digital' needs the LR images; add [lr]"),
        ("repair = true\n[param", 'repair = "yes"\n[param', "repair = 'yes' of 'bicubic'"),
        ('"bicubic"\nnotta', '"digital_repaired"\nnotta', "makes a model 'digital_repaired'"),
    ],
)
def test_a_repair_that_cannot_be_is_refused(study, old, new, message):
    study.path.write_text(STUDY.replace(old, new))
    with pytest.raises(StudyError) as refusal:
        load_study(study.path)
    assert message in str(refusal.value)
