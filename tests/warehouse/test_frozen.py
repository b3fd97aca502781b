"""The frozen file: what it holds, and what stops a build that names it."""

import tomllib
from dataclasses import replace

import duckdb
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.frozen import TABLES, create_frozen_tables, freeze_study, read_frozen
from upscale_audit.warehouse.value_files import format_document, read_values


@pytest.fixture(scope="module")
def frozen_study(sample_study, tmp_path_factory):
    """Give the sample study with a frozen file of its own."""
    path = tmp_path_factory.mktemp("frozen") / "sample.frozen.toml"
    study = replace(sample_study, frozen=path)
    assert freeze_study(study) == path
    return study


@pytest.fixture
def edited(frozen_study, tmp_path):
    """Give a function that gives the study with an edited copy of its file."""

    def edit(old, new):
        text = frozen_study.frozen.read_text()
        assert old in text
        copy = tmp_path / "copy.frozen.toml"
        copy.write_text(text.replace(old, new, 1))
        return replace(frozen_study, frozen=copy)

    return edit


def test_the_file_holds_the_published_values_to_the_last_digit(frozen_study, tmp_path):
    database = tmp_path / "values.duckdb"
    with duckdb.connect(str(database)) as connection:
        connection.execute("create schema raw")
    create_frozen_tables(database, read_frozen(frozen_study))
    expected = {
        "frozen_loadings": "select pc_number, feature_number, feature, loading, scale,"
        " feature_mean, weight, eigenvalue, eigenvalue_gap, is_identifiable, block_count"
        " from mart_pca_basis where basis_id = 'standard-1' order by pc_number, feature_number",
        "frozen_scales": "select distinct component, robust_sd from mart_direction_components"
        " order by component",
        "frozen_limits": "select model_id, tau, ssim_p90, mse_q75_dn2, pooled_block_count,"
        " block_count from mart_limits order by model_id",
        "frozen_guarantees": "select model_id, inference_path, score, loss, alpha_ratio,"
        " loss_limit_dn2, limit_score, limit_cluster_count, bound_ratio, 'sample'"
        " from mart_guarantee where is_attainable order by all",
    }
    with open_warehouse(frozen_study.warehouse) as warehouse, duckdb.connect(str(database)) as made:
        for table, query in expected.items():
            rows = warehouse.sql(query).fetchall()
            assert rows
            assert made.sql(f"from raw.{table}").fetchall() == rows


def test_the_file_says_what_it_was_made_from(frozen_study):
    document = tomllib.loads(frozen_study.frozen.read_text())
    with open_warehouse(frozen_study.warehouse) as connection:
        ((recipe, raw),) = connection.sql(
            "select build_recipe_sha256, raw_content_sha256 from dim_study"
        ).fetchall()
    assert document["warehouse_recipe_sha256"] == recipe
    assert document["raw_content_sha256"] == raw
    assert document["parameters"]["ringing_min_px"] == 4


def test_without_a_file_there_are_no_rows(sample_study):
    frozen = read_frozen(sample_study)
    assert frozen.sha256 is None
    assert frozen.rows == {table: [] for table in TABLES}


def test_freezing_again_gives_the_same_bytes(frozen_study, tmp_path):
    again = freeze_study(replace(frozen_study, frozen=tmp_path / "again.toml"))
    assert again.read_bytes() == frozen_study.frozen.read_bytes()


def test_a_frozen_file_is_not_written_over(frozen_study):
    with pytest.raises(StudyError, match="exists, and results may rest on it: move it away"):
        freeze_study(frozen_study)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("block_count = ", "block_count = 1", "not as freeze wrote it"),
        ('feature = "gain_2"', 'feature = "gian_2"', "not as freeze wrote it"),
        ("version = 2\n", "version = 99\n", "has version 99; expected 2"),
        ("version = 2\n", "", "has version None"),
        ("version = 2\n", "version = 2\nwhen = 2026-11-21\n", "not as freeze wrote it"),
        ("limits = [", "bounds = [", "not as freeze wrote it"),
        ("[\n", "[[[\n", "cannot read"),
    ],
)
def test_a_changed_file_is_refused(edited, old, new, message):
    with pytest.raises(StudyError, match=message):
        read_frozen(edited(old, new))


def test_how_a_number_is_spelled_does_not_matter(edited):
    assert read_frozen(edited("edge_quantile = 0.95", "edge_quantile = 9.50e-1")).sha256


def test_a_file_from_before_there_were_trust_masks_is_as_good(frozen_study, tmp_path):
    document = read_values(frozen_study.frozen, "")
    assert len(document.pop("guarantees")) > 0
    del document["content_sha256"]
    older = tmp_path / "older.frozen.toml"
    older.write_text(format_document("# as it was written then", document))
    frozen = read_frozen(replace(frozen_study, frozen=older))
    assert frozen.rows["frozen_guarantees"] == []
    assert frozen.rows["frozen_limits"] == read_frozen(frozen_study).rows["frozen_limits"]


def test_a_missing_file_names_the_way_to_it(frozen_study, tmp_path):
    study = replace(frozen_study, frozen=tmp_path / "none.toml")
    with pytest.raises(StudyError, match=r"no frozen file at .*run upscale-audit build and"):
        read_frozen(study)


def test_another_parameter_is_refused(frozen_study):
    parameters = replace(frozen_study.analysis_parameters, ringing_min_px=6)
    with pytest.raises(StudyError, match=r"frozen with ringing_min_px = 4, .* has 6: set it back"):
        read_frozen(replace(frozen_study, analysis_parameters=parameters))


def test_a_study_without_an_identifiable_axis_has_nothing_to_freeze(tmp_path, small_study):
    small_study.warehouse.chmod(0o644)
    with duckdb.connect(str(small_study.warehouse)) as connection:
        connection.execute("update mart_pca_basis set is_identifiable = false")
    with pytest.raises(StudyError, match="is not as it was published: expected SHA-256"):
        freeze_study(small_study)
    with pytest.raises(StudyError, match="no identifiable first axis"):
        freeze_study(small_study, check="skip")
