"""Lists of patients of any collection: by named columns, and by the layouts of public ones."""

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.patients import (
    LAYOUTS,
    PatientList,
    is_plain_list,
    read_patients,
)
from upscale_audit.ingest.run import ingest_study

NOTHING = {"finding_labels": None, "follow_up": None, "age_years": None, "sex": None,
           "view_position": None}  # fmt: skip

CHEXPERT = """\
Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity
CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,,,
CheXpert-v1.0/train/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,1.0,-1.0,1.0
CheXpert-v1.0/train/patient00002/study2/view2_lateral.jpg,Unknown,0,Lateral,,,,0.0,
"""
MIMIC = """\
dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns
02aa804e-bde0afdd-112c0b34-7bc16630-4e384014,10000032,50414267,CHEST (PA AND LAT),PA,3056,2544
174413ec-4ec4c1f7-34ea26b7-c5f994f8-79ef1962,10000032,50414267,CHEST (PA AND LAT),LATERAL,3056,2544
"""
PADCHEST = """\
,ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,Projection,Labels
0,2053668664013634823_k6ga29.png,0,20140915,2053,83986048869429,1930.0,F,PA,"['normal']"
1,139_t2.png,0,20140731,139,313572,1951.0,M,AP_h,"['pleural effusion', 'cardiomegaly']"
"""
VINDR = """\
image_id,rad_id,Aortic enlargement,Cardiomegaly,No finding
000434271f63a053c4128a0ba6352c7f,R2,0,0,1
000434271f63a053c4128a0ba6352c7f,R3,0,1,0
000434271f63a053c4128a0ba6352c7f,R6,1,1,0
00053190460d56c53cc3e57321387478,R11,0,0,1
"""


@pytest.fixture
def read(tmp_path):
    """Give a reader of a list's text, by image_id."""

    def run(text, image_ids=(), layout=None, **columns):
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        patients = PatientList(path, layout, tuple(sorted(columns.items())))
        rows = read_patients(patients, image_ids)
        assert [row["image_id"] for row in rows] == sorted(row["image_id"] for row in rows)
        return {row.pop("image_id"): row for row in rows}

    return run


def test_named_columns_are_read(read):
    header = "n,file,who,gender,years,proj,what\n"
    text = header + "1,x/a.png,007,Female,061Y,PA,Mass;Nodule\n2,b.jpg,P 8,M,,,\n"
    found = read(text, ["a", "b"], image="file", patient="who", sex="gender", age="years",
                 view="proj", findings="what")  # fmt: skip
    assert found["a"] == NOTHING | {
        "patient_id": "7",
        "finding_labels": "Mass|Nodule",
        "age_years": 61,
        "sex": "F",
        "view_position": "PA",
    }
    assert found["b"] == NOTHING | {"patient_id": "P 8", "sex": "M"}


def test_plain_names_of_columns_need_not_be_named(read):
    found = read("Image,Patient\na.dcm,p1\nb.png,p1\n", ["a", "b"])
    assert found == {name: NOTHING | {"patient_id": "p1"} for name in "ab"}


def test_chexpert(read):
    stem = "patient00002_study2_view2_lateral"
    ids = ["patient00001_study1_view1_frontal", "patient00002_study2_view1_frontal", stem]
    found = read(CHEXPERT, ids, "chexpert")
    assert found[ids[0]] == NOTHING | {
        "patient_id": "patient00001",
        "finding_labels": "No Finding",
        "age_years": 68,
        "sex": "F",
        "view_position": "AP",
    }
    assert found[ids[1]]["finding_labels"] == "Enlarged Cardiomediastinum|Lung Opacity"
    assert found[stem] == NOTHING | {
        "patient_id": "patient00002",
        "age_years": 0,
        "view_position": "Lateral",
    }


@pytest.mark.parametrize(
    "name",
    ["02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
     "p10000032_s50414267_02aa804e-bde0afdd-112c0b34-7bc16630-4e384014",
     "s50414267_02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"],
)  # fmt: skip
def test_mimic_cxr_by_the_dicom_id_and_by_its_path(read, name):
    found = read(MIMIC, [name], "mimic-cxr")
    assert found[name] == NOTHING | {"patient_id": "10000032", "view_position": "PA"}


def test_padchest(read):
    ids = ["2053668664013634823_k6ga29", "139_t2"]
    found = read(PADCHEST, ids, "padchest")
    assert found[ids[0]] == NOTHING | {
        "patient_id": "83986048869429",
        "finding_labels": "normal",
        "age_years": 84,
        "sex": "F",
        "view_position": "PA",
    }
    assert found[ids[1]]["finding_labels"] == "pleural effusion|cardiomegaly"
    assert found[ids[1]]["age_years"] == 63


def test_vindr_has_no_patients_and_the_findings_of_any_radiologist(read):
    ids = ["000434271f63a053c4128a0ba6352c7f", "00053190460d56c53cc3e57321387478"]
    found = read(VINDR, ids, "vindr")
    assert found[ids[0]] == NOTHING | {
        "patient_id": None,
        "finding_labels": "Cardiomegaly|Aortic enlargement",
    }
    assert found[ids[1]]["finding_labels"] == "No finding"


def test_the_longest_name_that_the_study_has_is_meant(read):
    text = "image,patient\ntrain/p1/view.png,p1\ntrain/p2/view.png,p2\n"
    found = read(text, ["p1_view", "train_p2_view"])
    assert {name: row["patient_id"] for name, row in found.items()} == {
        "p1_view": "p1",
        "train_p2_view": "p2",
    }
    assert set(read(text, [])) == {"train_p1_view", "train_p2_view"}


def test_dots_in_a_name_are_no_suffix_and_decomposed_names_are_composed(read):
    text = "image,patient\n1.2.840.113619.2,a\nMu\u0308ller.PNG,b\nc.nii.gz,c\n"
    found = read(text, ["1.2.840.113619.2", "M\u00fcller"])
    assert found["1.2.840.113619.2"]["patient_id"] == "a"
    assert found["M\u00fcller"]["patient_id"] == "b"


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("image,patient\na.png,1\na.jpg,2\n", {}, "a is of patient 2, and of 1 above"),
        ("image,patient\na.png,1\na.jpg,01\n", {}, "a is listed twice; keep one row"),
        ("image,patient\n,1\n", {}, "line 2: the column of the image is empty"),
        ("image,patient\nz.png,1\n", {}, "lists no image of the study: its first is 'z'"),
        ("Images,patient\na,1\n", {}, "no column 'image' for the image.*did you mean 'Images'"),
        ("image,pat\na,1\n", {"image": "image", "patient": "patient"}, "no column 'patient'"),
        ("", {}, "no column 'image'"),
        ("a,b\n1,2\n", {"layout": "padchest"}, "no column 'ImageID' for the image"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(read, text, options, message):
    with pytest.raises(StudyError, match=message):
        read(text, ["a"], **options)


@pytest.mark.parametrize("cell", ["[", "[" * 9999, "[1", "{}", "['a'", "[open('x')]"])
def test_a_list_that_is_none_is_no_finding_and_runs_nothing(read, cell):
    found = read(f'image,patient,findings\na,1,"{cell}"\n', ["a"])
    assert found["a"]["finding_labels"] in (None, "{}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_any_columns_may_be_missing_but_the_image_s(read, layout):
    column = LAYOUTS[layout].columns["image"]
    found = read(f"{column}\npatient7/a.png\n", [], layout)
    assert len(found) == 1


def test_ingest_reads_it_says_what_is_missing_and_reads_it_anew(study_folder, read_rows, caplog):
    study_folder.add_model("m", paths=("notta",))
    for image_id in ("a", "b", "c"):
        study_folder.add_image(image_id)
    path = study_folder.root / "who.csv"
    path.write_text("image,patient\na.png,01\nb.png,1\n")
    study = study_folder.load(labels='patients = "who.csv"')
    ingest_study(study, workers=1)
    assert [row["patient_id"] for row in read_rows(study.raw, "labels")] == ["1", "1"]
    assert "1 of 3 images of the study are not listed (the first: c)" in caplog.text
    path.write_text("image,patient\na.png,1\nb.png,2\nc.png,2\n")
    ingest_study(study, workers=1)
    assert [row["patient_id"] for row in read_rows(study.raw, "labels")] == ["1", "2", "2"]
    assert "labels/who.csv" in (study.raw / "sources.sha256").read_text()


@pytest.mark.parametrize(
    ("header", "is_plain"),
    [("image,patient", True), (" Patient , age,IMAGE", True), ("image,age", False), ("", False)],
)
def test_a_plain_list_has_a_column_for_the_image_and_one_for_the_patient(
    tmp_path, header, is_plain
):
    path = tmp_path / "list.csv"
    path.write_text(f"{header}\na.png,1\n")
    assert is_plain_list(path) is is_plain


def test_a_plain_list_of_images_and_patients_may_stand_as_entries(study_folder, read_rows):
    study_folder.add_model("m", paths=("notta",))
    for name in ("a_1", "a_2", "b_1"):
        study_folder.add_image(name)
    (study_folder.root / "who.csv").write_text("Patient,image\n7,a_1.png\n007,a_2.png\nP8,b_1\n")
    study = study_folder.load(labels='entries = "who.csv"')
    assert study.label_entries is None
    ingest_study(study, workers=1)
    found = {row["image_id"]: row["patient_id"] for row in read_rows(study.raw, "labels")}
    assert found == {"a_1": "7", "a_2": "7", "b_1": "P8"}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('patients = "who.csv"\nentries = "who.csv"', "both say who is who"),
        ('layout = "padchest"', "describe patients"),
        ('patients = "who.csv"\nlayout = "nih"', "expected one of chexpert, mimic-cxr, padchest"),
        ('patients = "who.csv"\nlayout = "padchest"\ncolumns = { image = "a", patient = "b" }',
         "columns beside it"),
        ('patients = "who.csv"\ncolumns = { image = "a" }', "lacks the key 'patient'"),
        ('patients = "who.csv"\ncolumns = { image = 3, patient = "b" }', "expected { image = "),
        ('patients = "who.csv"\ncolumns = { imag = "a", patient = "b" }', "did you mean 'image'"),
        ('patients = "none.csv"', "names no file"),
    ],
)  # fmt: skip
def test_a_study_states_one_list_and_how_it_is_read(study_folder, labels, message):
    study_folder.add_model("m", paths=("notta",))
    (study_folder.root / "who.csv").write_text("image,patient\n")
    with pytest.raises(StudyError, match=message):
        study_folder.load(labels=labels)
