"""Blocks beyond a limit: which, and what the caption says of the limit."""

import duckdb
import numpy as np
import polars as pl
import pytest

from tests.unit.analysis_lqd.test_picture import needs_japanese, read_texts
from upscale_audit.analysis.lqd import draw_map
from upscale_audit.analysis.lqd.marks import read_marks
from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.cli.drawing import _read_mark
from upscale_audit.warehouse.cli.main import make_parser

ROW = {
    "model_id": "alpha",
    "inference_path": "notta",
    "detector": "d_sharp",
    "reading": "absolute",
    "level_ratio": 0.01,
    "limit_score": 0.5,
    "sham_count": 160,
    "alarm_count": 1,
    "false_alarm_ratio": 1 / 160,
    "false_alarm_low_ratio": 0.0001,
    "false_alarm_high_ratio": 0.042,
    "kind": "nodule_16",
    "contrast_dn": 8,
    "drawn_count": 10,
    "found_count": 9,
    "measured_in": "nih-phantoms",
}


@pytest.fixture
def measure(built_study):
    """Give a function that fills the marts of limits with changes of a row."""

    def fill(*changes, table="mart_measured_limits"):
        rows = pl.DataFrame([ROW | change for change in changes], infer_schema_length=None)
        empty = pl.DataFrame([ROW]).clear()
        with duckdb.connect(str(built_study.warehouse)) as connection:
            connection.execute("create table dim_study as select 'own' as study_name")
            for name in ("mart_measured_limits", "mart_detector_limits"):
                connection.register("frame", rows if changes and name == table else empty)
                more = ", 'auditor' as arm, 'full' as signal_part" if "detector" in name else ""
                connection.execute(f"create table {name} as select *{more} from frame")
        return built_study

    return fill


def mark(study, detector="d_sharp", **choice):
    return read_marks(study, "a", "alpha", "notta", detector, **choice)


def test_blocks_beyond_a_limit_are_marked_and_those_at_it_or_without_a_value_are_not(measure):
    # d_sharp of the upper row is -1, 0, 1; of the lower NULL.
    study = measure()
    found = mark(study, limit=0.0)
    assert found.is_beyond.tolist() == [[False, False, True], [False] * 3]
    assert (found.reading, found.value_count, found.measured) == ("value", 3, None)
    found = mark(study, limit=0.0, reading="negated")
    assert found.is_beyond.tolist() == [[True, False, False], [False] * 3]
    found = mark(study, limit=0.5, reading="absolute")
    assert found.is_beyond.tolist() == [[True, False, True], [False] * 3]
    assert not mark(study, limit=1.0, reading="absolute").is_beyond.any()


def test_a_rate_of_false_alarms_stands_for_its_limit(measure):
    study = measure({}, {"level_ratio": 0.1, "limit_score": 0.25}, {"model_id": "beta"})
    found = mark(study, level=0.1)
    assert (found.reading, found.limit, found.measured["level_ratio"]) == ("absolute", 0.25, 0.1)
    assert np.argwhere(found.is_beyond).tolist() == [[0, 0], [0, 2]]
    for level, reading, expected in (
        (0.02, None, r"at false alarms of 0.02; expected one of 0.01, 0.1, or --limit"),
        (0.01, "value", r"\(value\) was measured for this model: name a file"),
    ):
        with pytest.raises(StudyError, match=expected):
            mark(study, level=level, reading=reading)


def test_a_limit_that_was_not_measured_is_told_by_the_next_lower_one(measure):
    study = measure({}, {"level_ratio": 0.1, "limit_score": 0.25})
    assert mark(study, limit=0.5).measured["level_ratio"] == 0.01
    assert mark(study, limit=0.4).measured["level_ratio"] == 0.1
    assert mark(study, limit=0.2).measured is None


def test_in_a_phantom_study_its_own_limits_are_known(measure):
    study = measure({}, table="mart_detector_limits")
    assert mark(study, level=0.01).measured["measured_in"] == "own"


def test_what_is_no_number_of_a_block_is_refused(measure):
    study = measure()
    with pytest.raises(StudyError, match=r"no number of a block 'd_sharpp' .* nearest: d_sharp"):
        mark(study, "d_sharpp", limit=1.0)
    with pytest.raises(StudyError, match="no number of a block"):
        mark(study, 'd_sharp_notta") from dim_study --', limit=1.0)
    with pytest.raises(StudyError, match="needs one of --limit and --false-alarms"):
        mark(study)


def draw(study, tmp_path, language="en", **choice):
    paths, _ = draw_map(
        study,
        "a",
        "alpha",
        folder=tmp_path,
        language=language,
        mark={"detector": "d_sharp"} | choice,
    )
    (svg,) = [path for path in paths if path.name == "p6_local_quality_heatmap.svg"]
    return svg, read_texts(svg).replace("\u00a0", " ").replace("\u2212", "-")


def test_the_picture_frames_them_and_states_limit_false_alarms_and_what_is_found(measure, tmp_path):
    study = measure({})
    svg, words = draw(study, tmp_path, level=0.01)
    assert svg.parent.relative_to(tmp_path).parts == ("notta_8px_d_sharp", "alpha", "a")
    assert "2 of 3 blocks of 8 × 8 px whose d_sharp without its sign is greater than 0.5." in words
    assert "(nih-phantoms): 1 of 160 places where nothing was drawn" in words
    assert "(0.62 %, 95 % interval 0.01 to 4.2 %), and 9 of 10 with nodule_16 (8 dn)." in words
    assert svg.read_text().count('stroke="#E69F00"') == 1
    _, words = draw(study, tmp_path, limit=0.75, reading="absolute")
    assert "of the lower limit 0.5, beyond which lie as many or more: 1 of 160" in words
    _, words = draw(study, tmp_path, limit=0.25, reading="absolute")
    assert "how often it speaks of nothing was not measured" in words


@needs_japanese
def test_the_caption_is_in_japanese_too(measure, tmp_path):
    _, words = draw(measure({}), tmp_path, language="ja", level=0.01)
    assert "d_sharpの絶対値が0.5を超える" in words.replace(" ", "")


def test_a_limit_needs_the_number_that_it_limits():
    command = ["map", "study.toml", "a", "alpha"]
    assert _read_mark(make_parser().parse_args(command)) is None
    options = make_parser().parse_args([*command, "--limit", "3"])
    with pytest.raises(StudyError, match="need a --detector: name it"):
        _read_mark(options)
    options = make_parser().parse_args([*command, "--detector", "mse_dn2", "--limit", "nan"])
    with pytest.raises(StudyError, match="--limit nan; expected a number"):
        _read_mark(options)
    options = make_parser().parse_args([*command, "--detector", "mse_dn2", "--limit", "3"])
    chosen = {"detector": "mse_dn2", "reading": None, "limit": 3, "level": None}
    assert _read_mark(options) == chosen
