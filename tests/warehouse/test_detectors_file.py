"""The detectors file: from a phantom study's limits to the rates of an ordinary study."""

import tomllib
from dataclasses import replace

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.detectors import Measured, read_detectors, write_detectors
from upscale_audit.warehouse.proof.verify import verify
from upscale_audit.warehouse.value_files import format_document

pytestmark = pytest.mark.long

KEY = ("model_id", "inference_path", "detector", "reading", "level_ratio")


def read(study, sql):
    with open_warehouse(study.warehouse) as connection:
        return connection.sql(sql).pl().to_dicts()


@pytest.fixture(scope="module")
def written(copies):
    path = copies.path.parent.parent / "known.detectors.toml"
    assert write_detectors(copies, path, "nodule_16", 16) == path
    return path


@pytest.fixture(scope="module")
def informed(copies, written):
    """Give the study that the copies are of, built with what they measured."""
    path = copies.path.parent.parent / "study.toml"
    text = path.read_text().replace("output = ", f'detectors = "{written.name}"\noutput = ')
    path.with_name("informed.toml").write_text(text)
    study = load_study(path.with_name("informed.toml"))
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    return study


def test_the_file_carries_the_limits_to_the_last_digit(copies, informed):
    measured = read(informed, "select * from mart_measured_limits")
    limits = read(
        copies,
        "select * from mart_detector_limits where arm = 'auditor' and signal_part = 'full'"
        " and kind = 'nodule_16' and contrast_dn = 16",
    )
    assert {row["measured_in"] for row in measured} == {"known-phantoms"}
    expected = {tuple(row[name] for name in KEY): row for row in limits}
    assert len(measured) == len(expected)
    for row in measured:
        limit = expected[tuple(row[name] for name in KEY)]
        for name in row.keys() & limit.keys():
            assert row[name] == limit[name], name
    assert {row["detector"]: row["stated_limit"] for row in measured if row["stated_limit"]} == {
        "is_extreme": float(
            read(copies, "select any_value(tau) as tau from mart_limits")[0]["tau"]
        ),
        "is_erroneous": 25,
    }


def test_beside_a_rate_stands_what_its_limit_finds(copies, informed):
    states = read(informed, "select * from mart_tier3_states")
    flags = {"error": "is_erroneous", "contradicted": "is_contradicted"}
    for row in states:
        if row["indicator"] == "axis":
            # Tau is a quantile of each study's own blocks: of another limit nothing is known.
            assert row["sensitivity_ratio"] is row["false_alarm_high_ratio"] is None
            continue
        (limit,) = read(
            copies,
            "select * from mart_detector_limits where arm = 'auditor' and signal_part = 'full' and"
            f" kind = 'nodule_16' and contrast_dn = 16 and model_id = '{row['model_id']}' and"
            f" detector = '{flags[row['indicator']]}' and level_ratio is null",
        )
        for name in ("sensitivity", "false_alarm"):
            for end in ("", "_low", "_high"):
                assert row[f"{name}{end}_ratio"] == limit[f"{name}{end}_ratio"]
    assert {row["sensitivity_ratio"] for row in states} == {1, None}
    assert len({row["false_alarm_ratio"] for row in states}) > 2


def test_where_two_studies_have_one_tau_it_is_known_what_it_finds(informed, written):
    (tau,) = {
        row["tau"] for row in read(informed, "select cast(tau as double) as tau from mart_limits")
    }
    document = tomllib.loads(written.read_text())
    del document["content_sha256"]
    known = {
        row["model_id"]: row
        for row in document["limits"]
        if row["detector"] == "is_extreme" and "level_ratio" not in row
    }
    for row in known.values():
        row["stated_limit"] = tau
    path = written.with_name("same_tau.detectors.toml")
    path.write_text(format_document("# one tau", document))
    study = replace(informed, detectors=path)
    build_warehouse(study, threads=2)
    rows = read(study, "select * from mart_tier3_states where indicator = 'axis'")
    build_warehouse(informed, threads=2)
    assert {row["model_id"] for row in rows} == known.keys()
    for row in rows:
        limit = known[row["model_id"]]
        assert row["sensitivity_ratio"] == limit["found_count"] / limit["drawn_count"]
        assert row["false_alarm_ratio"] == limit["alarm_count"] / limit["sham_count"]


def test_a_build_names_the_file_and_verify_misses_it(informed, written, tmp_path):
    edges = read(informed, "select * from mart_provenance where parent_kind = 'detectors_file'")
    assert {(row["child_name"], row["parent_name"], row["parent_sha256"]) for row in edges} == {
        (f"stg_raw__measured_{table}", f"detectors/{written.name}", hash_file(written))
        for table in ("limits", "rules")
    }
    assert verify(informed.output, informed, kinds={"warehouse"}).findings == ()
    other = tmp_path / written.name
    other.write_text(written.read_text() + "# touched\n")
    (finding,) = verify(
        informed.output, replace(informed, detectors=other), kinds={"warehouse"}
    ).findings
    assert (finding.problem, finding.name) == ("differs", written.name)


def test_without_a_file_nothing_is_known(small_study):
    assert read_detectors(small_study) == Measured()
    assert read(small_study, "select * from mart_measured_limits") == []
    rows = read(small_study, "select distinct sensitivity_ratio from mart_tier3_states")
    assert rows == [{"sensitivity_ratio": None}]


def test_what_is_not_as_it_was_written_is_refused(informed, written, tmp_path):
    text = written.read_text()
    assert tomllib.loads(text)["study"] == "known-phantoms"
    for old, new, reason in (
        ("sham_count = 108", "sham_count = 1080", "other values"),
        ("version = 2", "version = 9", "has version 9; expected 2"),
        ("edge_low_dn = 100", "edge_low_dn = true", "other values"),
        ('reading = "absolute"', "reading = 1", "no value of such a column"),
        ("sham_count = 108", "colour = 108", "no value of such a column"),
        ("contrast_dn = 16", "contrast_dn = 4294967296", "no value of such a column"),
        ("limits = [", "limits = [[", "not valid|cannot read"),
    ):
        assert old in text
        path = tmp_path / "edited.toml"
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(StudyError, match=reason):
            read_detectors(replace(informed, detectors=path))
    with pytest.raises(StudyError, match=r"no detectors file at .* run upscale-audit detectors"):
        read_detectors(replace(informed, detectors=tmp_path / "none.toml"))
    other = replace(informed.ingest_parameters, edge_low_dn=90)
    with pytest.raises(StudyError, match=r"measured with edge_low_dn = 100, .* has 90"):
        read_detectors(replace(informed, ingest_parameters=other))


def test_a_study_without_known_truth_has_nothing_to_write(copies, written, small_study):
    with pytest.raises(StudyError, match=r"look for nodule_16 of 8 dn .* for: none"):
        write_detectors(small_study, small_study.output / "x.toml")
    with pytest.raises(StudyError, match=r"look for erase in .* nodule_16 of 16 dn"):
        write_detectors(copies, written.with_name("other.toml"), "erase", None)
    with pytest.raises(StudyError, match="exists, and results may rest on it"):
        write_detectors(copies, written, "nodule_16", 16)
