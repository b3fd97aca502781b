"""Files as people have them: the small collections of ../shared/field, each with what is right.

docs/faults.md lists the same kinds with the tests that hold each on inputs of their own, which run
everywhere; these run where the collections lie.
"""

import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.cli.main import main
from upscale_audit.warehouse.connect import open_warehouse

FIELD_TABLE = re.compile(r"^\| (?P<kind>[^|]+) \| .* \| (?P<tests>`[^|]+`) \|$", re.MULTILINE)
HASH_LISTS = {
    "01-one-space-between/SHA256SUMS.txt": 3,
    "01-one-space-between/SHA256SUMS_crlf.txt": 3,
    "02-powershell-hash-lists/certutil.txt": 3,
    "02-powershell-hash-lists/export_csv_51.csv": 3,
    "02-powershell-hash-lists/export_csv_7.csv": 3,
    "02-powershell-hash-lists/format_list_utf16.txt": 3,
    "02-powershell-hash-lists/format_table_utf16.txt": 3,
    "03-hash-lists-with-headers/7z.txt": 3,
    "03-hash-lists-with-headers/hashdeep.txt": 3,
    "03-hash-lists-with-headers/signed.asc": 3,
    "04-bagit-manifest/bag/manifest-sha256.txt": 4,
}
"""List to how many files it names."""
NOISE_DN2 = 10
"""A mean squared error that the damage in the boxes exceeds and the noise around it does not."""


@pytest.fixture(scope="module")
def field(shared_data, tmp_path_factory):
    """Copy the collections to where a study may write beside them."""
    source = shared_data.parent / "field"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    folder = tmp_path_factory.mktemp("field") / "field"
    shutil.copytree(source, folder, copy_function=shutil.copyfile)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return folder


@pytest.fixture
def measure(field):
    """Ingest a collection and give one of its raw tables as rows."""

    def run(case, study="study.toml", added=""):
        path = next(field.glob(f"{case}-*")) / study
        if added:
            text = path.read_text(encoding="utf-8") + added
            path = path.with_name(f"with_more_{study}")
            path.write_text(text, encoding="utf-8")
        study = load_study(path)
        ingest_study(study, workers=1)
        return lambda table: pq.read_table(study.raw / table).to_pylist()

    return run


def files_of(rows):
    """Name the images that were measured: model, or None of references, to their ids."""
    found = {}
    for row in rows:
        found.setdefault(row["model_id"], set()).add(row["image_id"])
    return found


def read_warnings(rows):
    """Name what was said, without its counts."""
    return {(row["warning"], row["subject"], row["other"]) for row in rows}


@pytest.mark.shared_data
@pytest.mark.parametrize(("name", "count"), HASH_LISTS.items())
def test_a_hash_list_of_any_program_matches_every_file(field, capsys, name, count):
    path = field / name
    folder = path.parent if path.parent.name == "bag" else path.parent / "files"
    with pytest.raises(SystemExit) as ended:
        main(["check-hashes", str(path), "--folder", str(folder)])
    assert ended.value.code == 0
    expected = f"{count} matched, 0 mismatched, 0 renamed, 0 missing, 0 extra, 0 refused"
    assert expected in capsys.readouterr().err


@pytest.mark.shared_data
def test_a_picture_that_ends_early_is_refused_though_every_checksum_is_right(measure):
    table = measure("05")
    assert files_of(table("source_files")).keys() == {None, "whole"}
    assert {(row["model_id"], row["reason"]) for row in table("rejects")} == {
        (name, "truncated")
        for name in ("adam7_six_passes", "cut_stream", "half_rows", "no_data", "one_row")
    }


@pytest.mark.shared_data
def test_a_picture_is_measured_as_viewers_turn_it(measure, field):
    rows = measure("07")("blocks")
    assert {row["model_id"] for row in rows} == {
        "as_displayed",
        "stored_quarter_turned_with_tag",
        "stored_turned_with_tag",
    }
    for model_id in {row["model_id"] for row in rows}:
        with Image.open(next(field.glob("07-*")) / model_id / "f.jpg") as image:
            shown = np.asarray(ImageOps.exif_transpose(image).convert("L"), np.int64)
        sums = {
            (row["block_row"], row["block_col"]): row["notta_sum"]
            for row in rows
            if row["model_id"] == model_id
        }
        assert len(sums) == shown.size // 64
        for (row, column), value in sums.items():
            assert value == shown[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].sum()


@pytest.mark.shared_data
def test_every_way_to_be_transparent_is_put_on_white(measure, field):
    rows = measure("08")("blocks")
    for model_id in {row["model_id"] for row in rows}:
        with Image.open(next(field.glob("08-*")) / model_id / "f.png") as image:
            shown = image.convert("RGBA")
        white = Image.new("RGBA", shown.size, "white")
        grey = np.asarray(Image.alpha_composite(white, shown).convert("L"), np.int64)
        for row in rows:
            if row["model_id"] == model_id:
                top, left = 8 * row["block_row"], 8 * row["block_col"]
                assert row["notta_sum"] == grey[top : top + 8, left : left + 8].sum()


@pytest.mark.shared_data
def test_ages_in_months_and_days_are_whole_years(measure):
    rows = measure("09")("labels")
    assert [row["age_years"] for row in rows] == [60, 1, 0]


@pytest.mark.long
@pytest.mark.shared_data
def test_a_patient_with_and_without_leading_zeros_is_one(measure, field):
    measure("10")
    study = load_study(next(field.glob("10-*")) / "study.toml")
    build_warehouse(study)
    with open_warehouse(study.warehouse) as connection:
        patients = connection.sql(
            "select count(distinct cluster_id), min(cluster_unit), max(cluster_unit)"
            " from dim_images"
        ).fetchall()
    assert patients == [(3, "patient", "patient")]


@pytest.mark.shared_data
@pytest.mark.parametrize("study", ["study", "study_corners", "study_scaled", "study_unit"])
def test_boxes_lie_on_the_damage_in_whatever_frame_they_are_listed(measure, study):
    table = measure("11", f"{study}.toml")
    boxes = [box for box in table("boxes") if box["finding"] == "Nodule"]
    damaged = {}
    for row in table("blocks"):
        square = row["reference_sum_sq"] + row["notta_sum_sq"] - 2 * row["notta_cross"]
        if square > 64 * NOISE_DN2:
            place = (8 * row["block_col"], 8 * row["block_row"])
            damaged.setdefault(row["image_id"], []).append(place)
    assert damaged.keys() == {box["image_id"] for box in boxes}
    for box in boxes:
        left, top = box["left_px"], box["top_px"]
        right, bottom = left + box["width_px"], top + box["height_px"]
        places = damaged[box["image_id"]]
        assert all(left < x + 8 and x < right for x, _ in places)
        assert all(top < y + 8 and y < bottom for _, y in places)


@pytest.mark.shared_data
def test_a_model_that_is_the_reference_itself_or_another_is_said(measure):
    assert read_warnings(measure("12")("warnings")) == {
        ("same_as_reference", "itself (notta)", ""),
        ("same_as_reference", "m1_mixed (notta)", ""),
        ("same_as_other_model", "m1 (notta)", "m1_again (notta)"),
        ("same_on_both_paths", "m1 (notta)", "m1 (tta)"),
    }


@pytest.mark.shared_data
@pytest.mark.parametrize("study", ["study", "study_partly"])
def test_pictures_in_sub_folders_are_measured(measure, study):
    found = files_of(measure("13", f"{study}.toml")("source_files"))
    assert found.keys() == {None, "m1"}
    assert {len(ids) for ids in found.values()} == {4}


@pytest.mark.shared_data
def test_outputs_under_the_names_that_upscalers_give_are_found(measure):
    table = measure("14")
    both = {"film 0", "film 1"}
    found = (None, "double_extension", "prefix", "upper_case", "waifu2x", "webp")
    assert files_of(table("source_files")) == dict.fromkeys(found, both)
    refused = {(row["model_id"], row["reason"]) for row in table("rejects")}
    assert refused == {("upscayl_4x", "size_mismatch"), ("off_by_one", "size_mismatch")}
    assert all("[size] rule = 'lanczos4'" in row["detail"] for row in table("rejects"))
    resized = measure("14", added="\n[size]\nrule = 'lanczos4'\n")
    assert files_of(resized("source_files")) == {
        **files_of(table("source_files")),
        "upscayl_4x": both,
        "off_by_one": both,
    }


@pytest.mark.shared_data
def test_composed_and_decomposed_names_pair(measure):
    found = files_of(measure("16")("source_files"))
    assert found[None] == found["m1"]
    assert len(found["m1"]) == 2


@pytest.mark.shared_data
def test_deep_images_ask_for_a_window_and_are_measured_by_it(measure):
    pytest.importorskip("pydicom")
    refused = measure("18")("rejects")
    assert {row["file_name"] for row in refused} == {"d12.dcm", "p16.png"}
    assert all("state window under [parameters]" in row["detail"] for row in refused)
    table = measure("18", added="\n[parameters]\nwindow = { percentiles = [0.5, 99.5] }\n")
    assert table("rejects") == []
    assert files_of(table("source_files"))["m1"] == {"d12", "ok", "p16", "t8"}


@pytest.mark.shared_data
def test_a_study_file_that_windows_saved_is_read_or_its_path_named(measure):
    for study in ("study_bom.toml", "study_utf16.toml"):
        assert files_of(measure("19", study)("source_files")) == {None: {"f"}, "m1": {"f"}}
    with pytest.raises(StudyError, match=r"write folders with / or between single quotes"):
        measure("19", "study_backslash.toml")


@pytest.mark.shared_data
@pytest.mark.parametrize("study", ["study_8", "study_flat", "study_odd"])
def test_a_tiny_or_constant_picture_gives_no_nan(measure, study):
    table = measure("23", f"{study}.toml")
    rows = table("blocks")
    assert rows
    for row in [*rows, *table("image_metrics")]:
        numbers = [value for value in row.values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()


@pytest.mark.shared_data
def test_a_plain_list_says_who_is_who(measure):
    rows = measure("24")("labels")
    assert len(rows) == 6
    assert {row["patient_id"] for row in rows} == {
        "patient99001",
        "patient99002",
        "p19990001",
        "299999999999999001",
    }


@pytest.mark.shared_data
def test_what_desktops_leave_is_passed_over_and_another_file_is_listed(measure):
    table = measure("26")
    assert files_of(table("source_files")) == {None: {"f"}, "m1": {"f"}}
    assert {(row["file_name"], row["reason"]) for row in table("rejects")} == {
        ("LICENSE.txt", "other_file"),
        ("upscale_log.txt", "other_file"),
    }


@pytest.mark.long
@pytest.mark.shared_data
@pytest.mark.parametrize("case", ["30", "34"])
def test_gaps_in_metrics_leave_null_and_never_nan(measure, field, case):
    measure(case)
    study = load_study(next(field.glob(f"{case}-*")) / "study.toml")
    build_warehouse(study)
    with open_warehouse(study.warehouse) as connection:
        rows = connection.sql("from mart_metric_correlation").pl().to_dicts()
    assert rows
    for row in rows:
        numbers = [value for value in row.values() if isinstance(value, float)]
        assert np.isfinite(numbers).all()
    assert any(row["correlation"] is None for row in rows)


def test_each_kind_that_docs_list_is_held_by_a_test_that_is_there(repository):
    rows = FIELD_TABLE.findall((repository / "docs" / "faults.md").read_text(encoding="utf-8"))
    assert len(rows) >= 18
    for _, tests in rows:
        for held in re.findall(r"`([^`]+)`", tests):
            path, name = held.split("::")
            text = (repository / "tests" / path).read_text(encoding="utf-8")
            assert f"def {name}(" in text, held
