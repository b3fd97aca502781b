"""The data test of closed ranges, on values that lie inside, at a bound, and beyond."""

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.connect import open_build
from upscale_audit.warehouse.dbt_runner import run_dbt
from upscale_audit.warehouse.growth import copy_database
from upscale_audit.warehouse.proof.provenance import describe_study

RANGES = ["test", "--select", "fct_blocks,test_name:in_range"]


@pytest.fixture
def judge(small_study, tmp_path):
    """Give a function that changes a copy of the warehouse's blocks and runs their range test."""

    def run(change):
        database = tmp_path / "copy.duckdb"
        copy_database(small_study.warehouse, database)
        with open_build(database) as connection:
            connection.execute(f"update intermediate.int_blocks_scored set {change}")
        return run_dbt(small_study, database, RANGES, variables=describe_study(small_study))

    return run


def test_values_inside_at_a_bound_and_null_pass(judge):
    ends = "local_ssim_notta = 1, local_ssim_tta = -1, mse_dn2_tta = 0, mse_dn2_notta = 65025"
    (result,) = judge(f"{ends}, invented_dn2_notta = null")
    assert str(result.status) == "pass"


@pytest.mark.parametrize(
    ("change", "column", "count"),
    [
        ("local_ssim_notta = 1.000001 where block_row + block_col = 0", "local_ssim_notta", 6),
        ("invented_dn2_tta = -0.000001", "invented_dn2_tta", 36),
    ],
)
def test_what_lies_beyond_is_said_with_its_column_and_how_often(judge, change, column, count):
    said = f"in_range_fct_blocks.*first: column_name = {column}, outside_count = {count}"
    with pytest.raises(StudyError, match=said):
        judge(change)
