"""The generator's files, as written by its versions, by Excel, and by accident."""

import csv
import gzip
import logging
import math
import sys
from collections import Counter

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.metrics.declared import PUBLISHED_NAMES
from upscale_audit.ingest.published import (
    METRIC_COLUMNS,
    detect_kind,
    read_comparison,
    read_locations,
    read_results,
)

PATHS = ("original_path", "upscaled_path")
SIZES = (
    "original_width",
    "original_height",
    "original_format",
    "upscaled_width",
    "upscaled_height",
    "upscaled_format",
)
FLAGS = ("detection_count", "detected_patterns", "confidence_level")
HEADER_28 = ("image_id", "model", *PATHS, *METRIC_COLUMNS)
HEADER_34 = ("image_id", "model", *PATHS, *SIZES, *METRIC_COLUMNS)
HEADER_37 = (*HEADER_34, *FLAGS)
LOCATION_HEADER = (
    "image_id",
    "model",
    "min_ssim_value",
    "min_row",
    "min_col",
    "total_rows",
    "total_cols",
    "distance_to_boundary",
    "normalized_distance",
    "is_boundary",
)
LOCATION = ("i1", "m1", "0.0376", "14", "1", "128", "128", "1", "0.015625", "True")
COMPARISON = ",ssim,ssim,psnr,psnr\n,mean,std,mean,std\nmodel,,,,\n{}"
EXPECTED_SUMS = {
    "ssim": 865.2041,
    "psnr": 35593.02,
    "lpips": 148.5441,
    "artifact_total": 400900.59,
    "edge_diff_pct": 32913.1,
    "texture_complexity": 3735.572615,
    "total_score": 49058.0,
}
FOLDER = "D:\\ダウンロード\\"


def write_csv(path, header, rows, encoding="utf-8", newline="\n"):
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator=newline)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def make_row(header, **values):
    """Cells of one row: metrics are numbered, the rest is plausible unless given."""
    cells = {name: str(number + 0.25) for number, name in enumerate(METRIC_COLUMNS)}
    cells |= dict.fromkeys(SIZES, "1024") | {name: "png" for name in SIZES if "format" in name}
    cells |= {"image_id": "i1", "model": "m1"} | dict.fromkeys(PATHS, f"{FOLDER}i1.png")
    cells |= {"detection_count": "0", "detected_patterns": "None", "confidence_level": "Normal"}
    return [(cells | values)[name] for name in header]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batch_analysis.csv"


@pytest.fixture(scope="module")
def published_file(shared_data):
    return shared_data / "generator" / "batch_analysis_300images.csv"


@pytest.mark.shared_data
def test_published_300_image_file_is_read_whole_and_in_order(published_file):
    rows = read_results(published_file, "published-300")
    assert len(rows) == 900
    assert Counter(row["model_id"] for row in rows) == {"model1": 300, "model2": 300, "model3": 300}
    assert len({row["image_id"] for row in rows}) == 300
    assert [row["row_number"] for row in rows] == list(range(900))
    assert {row["label"] for row in rows} == {"published-300"}
    assert detect_kind(published_file) == "results"
    with published_file.open(encoding="utf-8", newline="") as file:
        naive = list(csv.DictReader(file))
    for name in METRIC_COLUMNS:
        assert [row[name] for row in rows] == [float(cells[name]) for cells in naive]
    for name in ("image_id", *PATHS):
        assert [row[name] for row in rows] == [cells[name] for cells in naive]
    assert all(row[name] is None for row in rows for name in ("original_width_px", *FLAGS))


@pytest.mark.shared_data
def test_published_ssim_above_one_is_kept(published_file):
    above = [row for row in read_results(published_file, "p") if row["ssim"] > 1]
    assert [(row["image_id"], row["model_id"], row["ssim"]) for row in above] == [
        ("00003946_000", "model1", 1.0061)
    ]


@pytest.mark.shared_data
def test_published_sums_equal_those_of_plain_csv(published_file):
    # csv module and math.fsum over batch_analysis_300images.csv, 2026-11-21.
    rows = read_results(published_file, "p")
    sums = {name: round(math.fsum(row[name] for row in rows), 6) for name in EXPECTED_SUMS}
    assert sums == EXPECTED_SUMS


def test_metric_columns_are_those_the_metrics_declare():
    # mae is in the generator's JSON only.
    declared = [name for name in PUBLISHED_NAMES if name != "mae"]
    assert list(METRIC_COLUMNS) == declared


@pytest.mark.parametrize("count", [28, 31, 34, 37])
def test_each_published_number_of_columns_is_read_without_a_word(path, caplog, count):
    header = {28: HEADER_28, 31: (*HEADER_28, *FLAGS), 34: HEADER_34, 37: HEADER_37}[count]
    assert len(header) == count
    (row,) = read_results(write_csv(path, header, [make_row(header)]), "p")
    assert row["model_id"] == "m1"
    assert row["lpips"] == 3.25
    assert row["original_width_px"] == (1024 if count >= 34 else None)
    assert row["upscaled_format"] == ("png" if count >= 34 else None)
    assert row["detection_count"] == (0 if count in (31, 37) else None)
    assert row["detected_patterns"] == ("None" if count in (31, 37) else None)
    assert row["confidence_level"] == ("Normal" if count in (31, 37) else None)
    assert not caplog.records


def test_row_keys_do_not_depend_on_the_number_of_columns(path):
    keys = []
    for header in (HEADER_28, HEADER_34, HEADER_37, HEADER_37[::-1]):
        (row,) = read_results(write_csv(path, header, [make_row(header)]), "p")
        keys.append(list(row))
    assert keys[0] == keys[1] == keys[2] == keys[3]
    assert keys[0][:4] == ["label", "row_number", "model_id", "image_id"]
    assert keys[0][12:36] == list(METRIC_COLUMNS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_encodings_line_ends_and_gzip_give_the_same_rows(path, encoding, newline, is_compressed):
    labels = "P6:品質ばらつき大, 単独:SSIM低"
    cells = make_row(HEADER_37, detected_patterns=labels, detection_count="2")
    write_csv(path, HEADER_37, [cells], encoding, newline)
    if is_compressed:
        path.write_bytes(gzip.compress(path.read_bytes()))
    (row,) = read_results(path, "p")
    assert row["detected_patterns"] == labels
    assert row["original_path"] == "D:\\ダウンロード\\i1.png"
    assert row["image_id"] == "i1"


def test_reading_shift_jis_is_said(path, caplog):
    read_results(write_csv(path, HEADER_28, [make_row(HEADER_28)], "cp932"), "p")
    assert [record.message for record in caplog.records] == [
        f"{path} is not UTF-8: read as Shift-JIS (cp932)"
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_damaged_utf_8_is_not_taken_for_shift_jis(path, encoding):
    data = write_csv(path, HEADER_28, [make_row(HEADER_28)], encoding).read_bytes()
    assert "ダ".encode() in data
    position = data.index("ー".encode()) + 1
    path.write_bytes(data[:position] + b"A" + data[position + 1 :])
    with pytest.raises(StudyError, match=rf"damaged: .* byte {position - 1} is not; save it"):
        read_results(path, "p")


def test_damage_far_down_is_named_by_its_byte(path):
    lines = ["image_id,model\n", *(f"ダ{number},m\n" for number in range(20_000))]
    data = "".join(lines).encode()
    position = 3 * (1 << 16) + data[3 << 16 :].index("ダ".encode())
    path.write_bytes(data[:position] + b"\xff" + data[position + 1 :])
    with pytest.raises(StudyError, match=rf"it begins as UTF-8, but byte {position} is not;"):
        read_results(path, "p")


def test_neither_encoding(path):
    path.write_bytes(b"image_id,model\n\x81\x20,m\n")
    with pytest.raises(StudyError, match=r"neither UTF-8 nor Shift-JIS.*save it again as CSV"):
        read_results(path, "p")


def test_utf_16_is_named(path):
    path.write_bytes("image_id,model\n".encode("utf-16-le"))
    with pytest.raises(StudyError, match="UTF-16"):
        read_results(path, "p")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.93", 0.93),
        (" 1e-3 ", 0.001),
        ("-17.", -17.0),
        ("+.5", 0.5),
        ("351.84000000000003", 351.84000000000003),
        ("", None),
        ("None", None),
        ("N/A", None),
        ("nan", None),
        ("-nan", None),
        ("NaN", None),
        ("inf", None),
        ("-inf", None),
        ("1e999", None),
    ],
)
def test_numbers_and_their_absence(path, text, value):
    write_csv(path, HEADER_28, [make_row(HEADER_28, psnr=text)])
    assert read_results(path, "p")[0]["psnr"] == value


@pytest.mark.parametrize("text", ["0,93", "1_0", "\uff10.\uff19", "high", "0x1", "--1", "=1+1"])
def test_what_is_no_number_is_refused_with_its_place(path, text):
    write_csv(path, HEADER_28, [make_row(HEADER_28), make_row(HEADER_28, image_id="b", psnr=text)])
    with pytest.raises(StudyError, match=r"line 3, column psnr: expected a number.*correct"):
        read_results(path, "p")


@pytest.mark.parametrize("text", ["1e16", "-1.5e308", "9" * 300])
def test_a_number_that_measures_nothing_is_refused_before_a_sum_overflows(path, text):
    write_csv(path, HEADER_28, [make_row(HEADER_28, sharpness_diff_pct=text)])
    with pytest.raises(StudyError, match=r"line 2, column sharpness_diff_pct: .* at most 1e\+15"):
        read_results(path, "p")


@pytest.mark.parametrize("text", ["1.5", "-1", "3000000000", "two"])
def test_what_is_no_count_is_refused(path, text):
    write_csv(path, HEADER_37, [make_row(HEADER_37, detection_count=text)])
    with pytest.raises(StudyError, match=r"line 2, column detection_count: expected a "):
        read_results(path, "p")


@pytest.mark.parametrize("name", ["image_id", "model"])
def test_a_row_without_key_is_refused(path, name):
    write_csv(path, HEADER_28, [make_row(HEADER_28, **{name: " "})])
    with pytest.raises(StudyError, match=rf"line 2, column {name}: expected a name, found ' '"):
        read_results(path, "p")


def test_text_is_kept_as_written(path):
    given = {
        "image_id": "=cmd()",
        "model": "模型 '; drop table x; --",
        "original_path": "C:\\新しい\\n.png",
        "upscaled_path": "",
        "detected_patterns": "",
        "confidence_level": "",
    }
    write_csv(path, HEADER_37, [make_row(HEADER_37, **given)])
    (row,) = read_results(path, "p")
    assert row["image_id"] == given["image_id"]
    assert row["model_id"] == given["model"]
    assert row["original_path"] == given["original_path"]
    assert row["upscaled_path"] is None
    assert row["detected_patterns"] == ""
    assert row["confidence_level"] is None


def test_missing_and_unknown_columns_are_listed_together(path):
    header = [{"ssim": "ssmi", "psnr": "snr"}.get(name, name) for name in HEADER_28] + ["patient"]
    write_csv(path, header, [["1"] * len(header)])
    with pytest.raises(StudyError) as caught:
        read_results(path, "p")
    message = str(caught.value)
    assert str(path) in message
    assert "Missing: ssim, psnr." in message
    assert "Unknown: ssmi (did you mean ssim?), snr (did you mean psnr?), patient." in message
    assert "results_with_26pattern_detection.csv" in message
    assert "as the generator wrote it" in message


def test_an_unknown_column_is_refused(path):
    header = (*HEADER_28, "patient", "detection_counts")
    write_csv(path, header, [[*make_row(HEADER_28), "7", "1"]])
    with pytest.raises(
        StudyError, match=r"Missing: none. Unknown: patient, detection_counts \(did.*Restore"
    ):
        read_results(path, "p")


def test_the_risk_score_of_old_versions_is_left_out_with_a_warning(path, caplog):
    header = (*HEADER_28, "hallucination_risk_score", "risk_level")
    write_csv(path, header, [[*make_row(HEADER_28), "25", "LOW"]])
    (row,) = read_results(path, "p")
    assert "risk_level" not in row
    assert "columns left out: hallucination_risk_score, risk_level" in caplog.text


def test_a_metric_no_rule_reads_may_be_missing_but_not_silently(path, caplog):
    header = [name for name in HEADER_28 if name not in ("lab_L_mean", "local_quality_std")]
    write_csv(path, header, [make_row(header)])
    (row,) = read_results(path, "p")
    assert row["local_quality_std"] is None
    assert row["lab_L_mean"] is None
    assert "has no column local_quality_std, lab_L_mean: NULL" in caplog.text


def test_repeated_columns_are_refused(path):
    write_csv(path, (*HEADER_28, "ssim", "モデル"), [[*make_row(HEADER_28), "1", "m"]])
    with pytest.raises(StudyError, match="Listed twice: ssim, model"):
        read_results(path, "p")


def test_the_generators_japanese_names_are_read_as_headers(path):
    japanese = {
        "image_id": "画像ID",
        "model": "モデル",
        "ms_ssim": "MS-SSIM",
        "noise": "ノイズ",
        "total_score": "総合スコア",
        "artifact_total": "アーティファクト",
    }
    expected = read_results(write_csv(path, HEADER_28, [make_row(HEADER_28)]), "p")
    header = [japanese.get(name, name) for name in HEADER_28]
    assert read_results(write_csv(path, header, [make_row(HEADER_28)], "cp932"), "p") == expected


@pytest.mark.parametrize("first", ["sep=,\n", "sep=,\r\n", '"sep=,"\n', "sep=,,,,,\n", "SEP=;\n"])
def test_the_separator_line_of_excel(path, first):
    delimiter = first.strip('"\r\n')[4]
    lines = [HEADER_28, make_row(HEADER_28), make_row(HEADER_28, image_id="i2", psnr="x")]
    text = "\n".join(delimiter.join(line) for line in lines)
    path.write_text("\ufeff" + first + text.rsplit("\n", 1)[0], encoding="utf-8", newline="")
    assert read_results(path, "p")[0]["psnr"] == 2.25
    assert detect_kind(path) == "results"
    path.write_text(first + text, encoding="utf-8", newline="")
    with pytest.raises(StudyError, match="line 4, column psnr"):
        read_results(path, "p")


def test_quoted_newlines_stay_and_lines_are_counted_by_the_file(path):
    first = make_row(HEADER_28, original_path='C:\\a\nb, "c".png')
    ragged = make_row(HEADER_28, image_id="i2")[:-1]
    write_csv(path, HEADER_28, [first])
    assert read_results(path, "p")[0]["original_path"] == 'C:\\a\nb, "c".png'
    write_csv(path, HEADER_28, [first, ragged])
    with pytest.raises(StudyError, match=r"line 4 has 27 cells; expected 28.*restore the line"):
        read_results(path, "p")


def test_a_longer_row_is_refused(path):
    write_csv(path, HEADER_28, [[*make_row(HEADER_28), "1"]])
    with pytest.raises(StudyError, match="line 2 has 29 cells; expected 28"):
        read_results(path, "p")


def test_blank_lines_and_blank_trailing_columns_are_nothing(path):
    header = (*HEADER_28, "", "")
    row = [*make_row(HEADER_28), "", " "]
    blank = [""] * len(header)
    write_csv(path, header, [blank, row, blank])
    assert [row["row_number"] for row in read_results(path, "p")] == [0]


def test_a_column_without_name_that_holds_something_is_unknown(path):
    write_csv(path, ("", *HEADER_28), [["0", *make_row(HEADER_28)]])
    assert detect_kind(path) == "results"
    with pytest.raises(StudyError, match=r"Unknown: \(column 1, which has no name\)"):
        read_results(path, "p")


def test_an_open_quote_is_refused_with_its_line(path):
    path.write_text(",".join(HEADER_28) + '\n"i1,m1\n', encoding="utf-8")
    with pytest.raises(StudyError, match="line 2: unexpected end of data; restore"):
        read_results(path, "p")


def test_a_model_and_image_listed_twice_names_both_lines(path):
    pairs = [("i1", "m1"), ("i1", "m2"), ("i2", "m1"), ("i1", "m1"), ("i2", "m1")]
    rows = [make_row(HEADER_28, image_id=image, model=model) for image, model in pairs]
    write_csv(path, HEADER_28, rows)
    with pytest.raises(StudyError, match=r"m1 i1 in lines 2 and 5, m1 i2 in lines 4 and 6; keep"):
        read_results(path, "p")
    write_csv(path, HEADER_28, rows[:3])
    assert len(read_results(path, "p")) == 3


def test_many_repeats_are_counted(path):
    write_csv(path, HEADER_28, [make_row(HEADER_28)] * 9)
    with pytest.raises(StudyError, match=r"in lines 2 and 7 and 3 more"):
        read_results(path, "p")


@pytest.mark.parametrize("read", [lambda path: read_results(path, "p"), detect_kind])
@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\x1f\x8bnot gzip at all"])
def test_no_file_no_line_no_gzip(path, read, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StudyError, match=rf"{path}.*; give "):
        read(path)


def test_a_truncated_gzip_is_refused(path):
    data = write_csv(path, HEADER_28, [make_row(HEADER_28)]).read_bytes()
    path.write_bytes(gzip.compress(data)[:-9])
    with pytest.raises(StudyError, match="cannot read"):
        read_results(path, "p")


def test_a_header_alone_is_refused(path):
    with pytest.raises(StudyError, match="has a header and no row; give batch_analysis"):
        read_results(write_csv(path, HEADER_28, []), "p")


def test_the_work_grows_with_the_rows_and_no_faster(path):
    def count_calls(row_count):
        rows = [make_row(HEADER_37, image_id=f"i{number}") for number in range(row_count)]
        write_csv(path, HEADER_37, rows, "utf-8-sig")
        events = []
        sys.setprofile(lambda frame, event, argument: events.append(event))
        try:
            assert len(read_results(path, "p")) == row_count
        finally:
            sys.setprofile(None)
        return events.count("call") + events.count("c_call")

    assert count_calls(800) < 2.05 * count_calls(400)


def test_reading_says_nothing_where_nothing_is_wrong(path, caplog):
    caplog.set_level(logging.INFO)
    read_results(write_csv(path, HEADER_37, [make_row(HEADER_37)]), "p")
    assert not caplog.records


def test_locations(path):
    other = ("i2", "m1", "0.5", "60", "64", "128", "128", "60", "0.9375", "False")
    write_csv(path, LOCATION_HEADER, [LOCATION, other], "utf-8-sig")
    assert detect_kind(path) == "locations"
    first, second = read_locations(path, "p")
    assert first == {
        "label": "p",
        "row_number": 0,
        "model_id": "m1",
        "image_id": "i1",
        "min_ssim_value": 0.0376,
        "min_row": 14,
        "min_col": 1,
        "total_rows": 128,
        "total_cols": 128,
        "distance_to_boundary": 1,
        "normalized_distance": 0.015625,
        "is_boundary": True,
    }
    assert second["is_boundary"] is False
    assert second["row_number"] == 1


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("is_boundary", "yes", "expected True or False, found 'yes'"),
        ("is_boundary", "", "expected True or False"),
        ("min_row", "", "expected a finite number"),
        ("min_row", "1.5", "expected a whole number"),
        ("min_ssim_value", "nan", "expected a finite number"),
        ("model", "", "expected a name"),
    ],
)
def test_a_location_lacks_nothing(path, name, text, expected):
    cells = [
        text if name == column else cell
        for column, cell in zip(LOCATION_HEADER, LOCATION, strict=True)
    ]
    write_csv(path, LOCATION_HEADER, [cells])
    with pytest.raises(StudyError, match=f"line 2, column {name}: {expected}"):
        read_locations(path, "p")


@pytest.mark.parametrize(
    ("row", "col"), [("127", "127"), ("128", "0"), ("0", "128"), ("400", "0"), ("0", "400")]
)
def test_a_location_lies_in_its_grid(path, row, col):
    cells = [*LOCATION[:3], row, col, *LOCATION[5:]]
    write_csv(path, LOCATION_HEADER, [cells])
    if row == col:
        assert read_locations(path, "p")[0]["min_row"] == 127
    else:
        with pytest.raises(StudyError, match=r"line 2: block .* outside its grid of 128 x 128"):
            read_locations(path, "p")


def test_locations_refuse_other_columns_and_repeats(path):
    header = (*LOCATION_HEADER[:5], "grid_rows", *LOCATION_HEADER[6:])
    write_csv(path, header, [LOCATION])
    with pytest.raises(
        StudyError, match=r"columns of lfv_spatial_analysis.*Missing: total_rows. U"
    ):
        read_locations(path, "p")
    write_csv(path, LOCATION_HEADER, [LOCATION, LOCATION])
    with pytest.raises(StudyError, match="m1 i1 in lines 2 and 3"):
        read_locations(path, "p")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_comparison(path, encoding):
    body = "model1,0.97,0.02,40.6,2.3\nモデル 2,0.93,,36.5,inf\n"
    path.write_text(COMPARISON.format(body), encoding=encoding)
    assert detect_kind(path) == "comparison"
    rows = read_comparison(path)
    assert [tuple(row.values()) for row in rows] == [
        ("model1", "ssim", "mean", 0.97),
        ("model1", "ssim", "std", 0.02),
        ("model1", "psnr", "mean", 40.6),
        ("model1", "psnr", "std", 2.3),
        ("モデル 2", "ssim", "mean", 0.93),
        ("モデル 2", "ssim", "std", None),
        ("モデル 2", "psnr", "mean", 36.5),
        ("モデル 2", "psnr", "std", None),
    ]
    assert list(rows[0]) == ["model_id", "metric", "statistic", "value"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model,ssim\nm1,0.9\n", r"expected three header lines .*found model, ssim \| m1, 0.9;"),
        (",ssim\n,mean\n", "expected three header lines"),
        (",ssim\n,mean\nm1,0.9\n", "expected three header lines"),
        (",ssim,psnr\n,mean\nmodel,,\n", "expected three header lines"),
        ("a,ssim\n,mean\nmodel,\nm1,1\n", "expected three header lines"),
        (",ssmi\n,mode\nmodel,\nm1,1\n", "unknown metrics or statistics: ssmi, mode; listed"),
        (",ssim,ssim\n,mean,mean\nmodel,,\nm1,1,1\n", "none; listed twice: ssim mean; give"),
        (COMPARISON.format(""), "has a header and no row"),
        (COMPARISON.format("m1,1,1,1\n"), "line 4 has 4 cells; expected 5"),
        (COMPARISON.format("m1,1,1,1,x\n"), "line 4, column psnr std: expected a number"),
        (COMPARISON.format(",1,1,1,1\n"), "line 4, column model: expected a name"),
        (COMPARISON.format("m1,1,1,1,1\nm1,1,1,1,1\n"), "lines 4 and 5: model m1 is listed twice"),
    ],
)
def test_another_comparison_is_refused(path, text, expected):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=expected) as caught:
        read_comparison(path)
    assert str(path) in str(caught.value)
    assert "as the generator wrote it" in str(caught.value)


@pytest.mark.parametrize(
    "header",
    [
        "pattern_name,detection_count,detection_rate_%",
        "correlation_texture_localmin,lfv_cases_count",
        "pair_id,original_name,original_path,upscaled_name,upscaled_path,model,match_method",
        "row,col,local_ssim,pixel_y_start",
        ",a,b\n,c,d",
    ],
)
def test_the_generators_other_files_are_named_as_unreadable(path, header):
    path.write_text(header + "\n", encoding="utf-8")
    with pytest.raises(StudyError, match=r"none of the generator's files.*name a batch_analysis"):
        detect_kind(path)


def test_detect_kind_leaves_faults_to_the_reader(path):
    write_csv(path, ("image_id", "ssim"), [("i1", "1")])
    assert detect_kind(path) == "results"
    write_csv(path, ("画像ID", "min_row"), [("i1", "1")])
    assert detect_kind(path) == "locations"
