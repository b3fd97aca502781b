"""ChestX-ray8's label files, both published forms, and their mistakes."""

import gzip
from collections import Counter
from importlib import metadata

import pytest

from upscale_audit.ingest.boxes import read_boxes
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.labels import read_age, read_entries

V2020 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
)
V2017 = V2020.replace("Patient Sex", "Patient Gender").replace("y]\n", "y],\n")
ROWS = (
    "00000002_000.png,No Finding,0,2,80,M,PA,2500,2048,0.171,0.171\n"
    "00000001_001.png,Cardiomegaly|Infiltration,1,1,058Y,F,AP,2894,2729,0.143,0.143\n"
)
BOXES = (
    "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
    "00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169491,"
    "79.1864406779661,,,\n"
    "00000211_006.png,Infiltrate,1,2,3,4,,,\n"
    "00013118_008.png,Nodule,5,6,7,8,,,\n"
)
ENTRIES = [
    {
        "image_id": "00000001_001",
        "patient_id": "1",
        "finding_labels": "Cardiomegaly|Infiltration",
        "follow_up": 1,
        "age_years": 58,
        "sex": "F",
        "view_position": "AP",
    },
    {
        "image_id": "00000002_000",
        "patient_id": "2",
        "finding_labels": "No Finding",
        "follow_up": 0,
        "age_years": 80,
        "sex": "M",
        "view_position": "PA",
    },
]


@pytest.fixture
def write(tmp_path):
    def write_file(content, name="labels.csv"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write_file


@pytest.mark.parametrize("header", [V2020, V2017])
def test_both_published_headers_give_the_same_entries_sorted(write, header):
    assert read_entries(write(header + ROWS)) == ENTRIES


@pytest.mark.parametrize(
    "change",
    [
        lambda text: gzip.compress(text.encode()),
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: gzip.compress(b"\xef\xbb\xbf" + text.encode()),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("No Finding", '"No Finding"'),
    ],
    ids=["gzip", "bom", "gzip with bom", "crlf", "blank lines", "no last newline", "quoted"],
)
def test_the_files_packing_changes_nothing(write, change):
    assert read_entries(write(change(V2020 + ROWS))) == ENTRIES
    boxes = [read_boxes(write(content)) for content in (change(BOXES), BOXES)]
    for box in (*boxes[0], *boxes[1]):
        box.pop("line_number")
    assert boxes[0] == boxes[1]


def test_gzip_is_known_by_its_bytes_not_by_its_name(write):
    assert read_entries(write(gzip.compress((V2020 + ROWS).encode()), "entries.csv")) == ENTRIES
    assert read_entries(write(V2020 + ROWS, "entries.csv.gz")) == ENTRIES


def test_a_header_alone_is_an_empty_list(write):
    assert read_entries(write(V2020)) == []
    assert read_boxes(write(BOXES.split("\n")[0])) == []


def test_boxes_are_numbered_within_their_image_and_sorted(write):
    boxes = read_boxes(write(BOXES))
    keys = [(box["image_id"], box["box_number"], box["finding"]) for box in boxes]
    assert keys == [
        ("00000211_006", 0, "Infiltration"),
        ("00013118_008", 0, "Atelectasis"),
        ("00013118_008", 1, "Nodule"),
    ]
    sides = [boxes[1][name] for name in ("left_px", "top_px", "width_px", "height_px")]
    assert sides == [225.084745762712, 547.019216763771, 86.7796610169491, 79.1864406779661]


@pytest.mark.parametrize("read", [read_entries, read_boxes])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"\xff\xfe\x00",
        gzip.compress(V2020.encode())[:-9],
        gzip.compress(ROWS.encode() * 9)[:20] + b"\xff" * 20,
        b"\x1f\x8bno gzip",
        b'Image Index,"Finding',
    ],
    ids=["empty", "blank", "utf-16", "cut gzip", "damaged gzip", "false gzip", "open quote"],
)
def test_a_file_that_cannot_be_read_is_named(write, read, content):
    with pytest.raises(StudyError, match=r"labels\.csv.*give the published CSV or CSV\.gz"):
        read(write(content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StudyError, match=r"cannot read .*gone\.csv.*No such file"):
        read_entries(tmp_path / "gone.csv")


def test_a_missing_column_is_named_with_those_found(write):
    message = r"no column for patient_id, sex among Image Index, .*expected Data_Entry_2017"
    with pytest.raises(StudyError, match=message):
        read_entries(write(V2020.replace("Patient ID", "ID").replace("Patient Sex", "S") + ROWS))


def test_a_box_list_is_no_entry_list_nor_the_reverse(write):
    with pytest.raises(StudyError, match="is no ChestX-ray8 entry list"):
        read_entries(write(BOXES))
    with pytest.raises(StudyError, match=r"is no list of finding boxes.*Labels.*; expected"):
        read_boxes(write(V2020 + ROWS))


def test_an_image_listed_twice_is_named_with_its_line(write):
    with pytest.raises(StudyError, match="line 4: 00000002_000 is listed twice"):
        read_entries(write(V2020 + ROWS + ROWS.split("\n")[0]))


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("58", 58), ("058Y", 58), ("58.9", 58), ("0", 0),
        ("023M", 1), ("024M", 2), ("104W", 1), ("105W", 2), ("365D", 0), ("366D", 1), ("001d", 0),
        ("", None), ("nan", None), ("old", None), ("1e12", None), ("-1", None), ("60X", None),
    ],
)  # fmt: skip
def test_ages_are_whole_years_of_any_unit_that_label_files_write(text, years):
    assert read_age(text) == years


def test_what_is_optional_and_cannot_be_read_is_null_and_counted(write, caplog):
    row = ROWS.replace("0,2,80,M,PA", "x,2,old,,")
    assert read_entries(write(V2020 + row))[1] == ENTRIES[1] | {
        "follow_up": None, "age_years": None, "sex": None, "view_position": None
    }  # fmt: skip
    for name in ("follow_up", "age_years", "sex", "view_position"):
        assert f"{name} is empty or unreadable in 1 rows" in caplog.text


def test_a_patient_is_the_same_with_and_without_leading_zeros(write):
    patients = ("00091000", "91000", "P07", "000")
    rows = [f"{patient}.png,No_Finding,0,{patient},1,M,PA\n" for patient in patients]
    entries = read_entries(write(V2020 + "".join(rows)))
    assert [entry["patient_id"] for entry in entries] == ["0", "91000", "91000", "P07"]
    assert entries[0]["finding_labels"] == "No Finding"


@pytest.mark.parametrize("side", ["nan", "inf", "wide"])
def test_a_box_side_that_is_no_finite_number_is_named_with_its_line(write, side):
    with pytest.raises(StudyError, match=f"line 3: '{side}' is not a finite number"):
        read_boxes(write(BOXES.replace("1,2,3,4", f"1,2,{side},4")))


def test_the_line_named_is_the_files_own_even_after_blank_lines(write):
    with pytest.raises(StudyError, match="line 5: 'wide' is not"):
        read_boxes(write(BOXES.replace("1,2,3,4", "1,2,wide,4").replace("\n", "\n\n")))


def test_an_empty_cell_and_a_short_row_are_named_with_line_and_column(write):
    with pytest.raises(StudyError, match="line 2: column 4 is empty"):
        read_entries(write(V2020 + ROWS.replace("0,2,80", "0, ,80")))
    with pytest.raises(StudyError, match="line 2: column 6 is empty"):
        read_boxes(write(BOXES.split("\n")[0] + "\na.png,Nodule,1,2,3\n"))


@pytest.fixture(scope="module")
def published():
    """The published label files, where the torchxrayvision wheel is installed."""
    try:
        files = metadata.files("torchxrayvision") or []
    except metadata.PackageNotFoundError:
        pytest.skip("torchxrayvision is not installed; it holds the published label files")
    return {file.name: file.locate() for file in files if file.name.endswith(".csv.gz")}


def test_the_published_entry_list_is_read_whole(published):
    entries = read_entries(published["Data_Entry_2017_v2020.csv.gz"])
    assert len(entries) == 112_120
    assert len({entry["patient_id"] for entry in entries}) == 30_805
    assert {entry["sex"] for entry in entries} == {"M", "F"}


def test_the_published_box_list_is_read_whole(published):
    boxes = read_boxes(published["BBox_List_2017.csv.gz"])
    assert len(boxes) == 984
    assert len({box["image_id"] for box in boxes}) == 880
    assert Counter(box["finding"] for box in boxes)["Infiltration"] == 123
