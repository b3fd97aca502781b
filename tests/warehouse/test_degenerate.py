"""Honest studies in which many a number has no meaning: they end well, and say NULL there.

`lone` is one image of one block under one model that changed nothing. `flat` is sixteen patients'
plain images, black, white and two alike among them; `bicubic` returned them as they were, with
and without tta, `shifted` a constant brighter, and every image has a box of the same finding.
`gaps` has no image, only published results: one row, rows that all agree, a metric that is never
there, and two that never stand in one row.
"""

import csv

import numpy as np
import pytest

from upscale_audit.ingest.published import METRIC_COLUMNS
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.cli.main import main
from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long

BLOCK = np.arange(64, dtype=np.uint8).reshape(8, 8)
LEVELS = (0, 255, 128, 128, *range(10, 250, 20))
SHIFT = 3
SIDE_PX = 16


@pytest.fixture(scope="module")
def run_study():
    """Give a function that runs a study whole, figures included, and opens its warehouse."""

    def run(study):
        with pytest.raises(SystemExit) as ended:
            main(["run", str(study.output.parent / "study.toml")])
        assert ended.value.code == 0
        return open_warehouse(study.warehouse)

    return run


@pytest.fixture(scope="module")
def lone(new_study_folder, tmp_path_factory, run_study):
    folder = new_study_folder(tmp_path_factory.mktemp("lone") / "study")
    folder.add_model("same", paths=("notta",))
    folder.put("a.png", BLOCK)
    folder.put("a.png", BLOCK, "same")
    with run_study(folder.load()) as connection:
        yield connection


@pytest.fixture(scope="module")
def flat(new_study_folder, tmp_path_factory, run_study):
    folder = new_study_folder(tmp_path_factory.mktemp("flat") / "study")
    folder.add_model("bicubic")
    folder.add_model("shifted", paths=("notta",))
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for number, level in enumerate(LEVELS, start=1):
        name = f"{number:08}_000.png"
        plain = np.full((SIDE_PX, SIDE_PX), level, np.uint8)
        folder.put(name, plain)
        folder.put(name, plain, "bicubic")
        folder.put(name, plain, "bicubic", "tta")
        folder.put(name, np.minimum(plain, 255 - SHIFT) + SHIFT, "shifted")
        boxes.append(f"{name},Mass,0,0,8,8,,,")
    (folder.root / "boxes.csv").write_text("\n".join(boxes) + "\n")
    with run_study(folder.load(labels='boxes = "boxes.csv"')) as connection:
        yield connection


def write_results(path, rows):
    """A published results file: what a row does not give is N/A."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image_id", "model", *METRIC_COLUMNS], restval="N/A")
        writer.writeheader()
        writer.writerows({"model": "m", "image_id": f"i{n}"} | row for n, row in enumerate(rows))


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    root = tmp_path_factory.mktemp("gaps")
    generator = np.random.default_rng(5)
    rows = [
        {name: round(value, 4) for name, value in zip(METRIC_COLUMNS, values, strict=True)}
        for values in generator.uniform(0.1, 0.9, (20, len(METRIC_COLUMNS)))
    ]
    never = [{name: row[name] for name in row if name != "lpips"} for row in rows]
    apart = [
        {name: row[name] for name in row if name != ("lpips", "ms_ssim")[number % 2]}
        for number, row in enumerate(rows)
    ]
    # As far as doubles go, 0.1 in every row: their mean is not 0.1.
    alike = [dict.fromkeys(METRIC_COLUMNS, 0.1)] * 20
    tables = {"one": rows[:1], "two": rows[:2], "alike": alike, "never": never, "apart": apart}
    tables["odd"] = [rows[0] | {"texture_complexity": 0.3, "high_freq_ratio": 12.5}]
    lines = ["[study]", 'name = "gaps"', 'output = "out"']
    for label, content in tables.items():
        write_results(root / f"{label}.csv", content)
        lines += ["[[published]]", f'file = "{label}.csv"', f'label = "{label}"']
    (root / "study.toml").write_text("\n".join(lines) + "\n")
    study = load_study(root / "study.toml")
    # Figures of five sources take as long as all else here; tests/unit/analysis draws gaps.
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    with open_warehouse(study.warehouse) as connection:
        yield connection


@pytest.fixture(params=["lone", "flat", "gaps"])
def built(request):
    """Give each study's published warehouse in turn."""
    return request.getfixturevalue(request.param)


def test_no_number_of_any_table_is_nan_or_infinite(built):
    columns = built.execute(
        "select schema_name, table_name, column_name from duckdb_columns()"
        " where not internal and data_type in ('DOUBLE', 'FLOAT')"
    ).fetchall()
    assert len(columns) > 200
    found = [
        (table, column)
        for schema, table, column in columns
        if built.execute(
            f'select count(*) from "{schema}"."{table}" where not isfinite("{column}")'
        ).fetchall()
        != [(0,)]
    ]
    assert found == []


def select(connection, columns, table, where="true"):
    """Rows of a table, as sorted tuples that tell NULL from a number."""
    rows = connection.execute(f"select {columns} from {table} where {where}").fetchall()
    return sorted(rows, key=str)


def has_only_null(connection, columns, table, where="true"):
    """Whether a table has rows, and in all of them NULL in every one of these columns."""
    names = columns.split(", ")
    rows = select(connection, columns, table, where)
    return bool(rows) and all(row == (None,) * len(names) for row in rows)


def test_one_block_of_one_image_has_no_correlation_spread_axis_test_or_interval(lone):
    assert has_only_null(lone, "correlation", "mart_metric_correlation")
    assert has_only_null(lone, "psnr, ms_ssim", "fct_image_quality")
    own = "basis_id <> 'standard-1'"
    assert has_only_null(lone, "eigenvalue_gap", "mart_pca_basis", own)
    assert select(lone, "axis1_type, is_supported", "mart_axis1_types") == [
        ("not identifiable", None)
    ]
    assert has_only_null(lone, "flagged_low_ratio, flagged_high_ratio", "mart_flag_rates")
    assert has_only_null(lone, "deficit, deficit_low, deficit_p_value", "mart_frame_effect")
    assert has_only_null(
        lone,
        "correlation_texture_localmin, correlation_p_value, slope_texture_mean,"
        " boundary_chi_square, boundary_p_value, location_p_value, frame_p_value,"
        " excess_mean_ssim",
        "mart_lfv_proof",
    )
    assert has_only_null(lone, "mean_change, change_low, raised_ratio", "mart_tta_effect")
    assert has_only_null(
        lone, "state_count, block_ratio", "mart_tier3_crosstab", "indicator = 'axis'"
    )
    assert has_only_null(lone, "zone_low_ratio, silent_high_ratio", "mart_tier3_states")


def test_plain_images_have_no_texture_to_go_with_and_an_unchanged_one_no_psnr(flat):
    assert has_only_null(flat, "psnr", "fct_image_quality", "model_id = 'bicubic'")
    moved = "model_id = 'shifted' and mae > 0"
    assert len(select(flat, "psnr", "fct_image_quality", f"{moved} and psnr is not null")) == 15
    assert has_only_null(
        flat,
        "correlation_texture_localmin, rank_correlation_texture_localmin, correlation_low,"
        " slope_texture_mean, slope_texture_mean_low, slope_texture_excess, location_t,"
        " location_p_value",
        "mart_lfv_proof",
    )
    constant = "'sharpness' in (first_metric, second_metric)"
    assert has_only_null(flat, "correlation", "mart_metric_correlation", constant)
    defined = "first_metric = 'ssim' and second_metric = 'local_quality_mean'"
    assert select(flat, "correlation", "mart_metric_correlation", defined) == [
        (pytest.approx(1, abs=1e-6),)
    ]


def test_what_is_the_same_for_every_patient_is_not_tested(flat):
    unchanged = "model_id = 'bicubic' and quantity = 'mse_dn2'"
    rows = select(flat, "cluster_count, difference, t, p_value", "mart_lesion_risk", unchanged)
    assert rows == [(16, 0, None, None)] * 4
    rows = select(flat, "mean_change, raised_ratio", "mart_tta_effect", "model_id = 'bicubic'")
    assert (0, 0) in rows
    assert set(rows) <= {(0, 0), (None, None)}


def test_a_published_value_that_cannot_be_is_kept_and_said(gaps):
    kept = gaps.sql("select high_freq_ratio from fct_image_quality where source_id = 'odd'")
    assert kept.fetchall() == [(12.5,)]
    said = gaps.sql("select other, item_count from mart_warnings where subject = 'odd'").fetchall()
    assert said == [("high_freq_ratio", 1)]


def test_correlations_of_published_gaps_are_null_where_they_have_no_meaning(gaps):
    counts = {
        source_id: (rows, defined)
        for source_id, rows, defined in select(
            gaps,
            "source_id, count(*), count(correlation)",
            "mart_metric_correlation",
            "true group by source_id",
        )
    }
    pairs = len(METRIC_COLUMNS) * (len(METRIC_COLUMNS) - 1) // 2
    with_lpips = len(METRIC_COLUMNS) - 1
    assert counts == {
        "one": (pairs, 0),
        "odd": (pairs, 0),
        "two": (pairs, 0),
        "alike": (pairs, 0),
        "never": (pairs, pairs - with_lpips),
        "apart": (pairs, pairs - 1),
    }
    apart = "source_id = 'apart' and first_metric = 'ms_ssim' and second_metric = 'lpips'"
    assert select(gaps, "image_count, correlation", "mart_metric_correlation", apart) == [(0, None)]


def test_a_texture_that_all_rows_share_correlates_with_nothing(gaps):
    columns = "correlation_texture_localmin, rank_correlation_texture_localmin, correlation_p_value"
    assert has_only_null(gaps, columns, "mart_lfv_proof", "source_id in ('one', 'alike')")
    # Two points lie on a line, and test nothing.
    two = select(gaps, columns, "mart_lfv_proof", "source_id = 'two'")
    assert len(two) == 2
    for r, rank, p_value in two:
        assert (abs(r), abs(rank)) == pytest.approx((1, 1), abs=1e-9)
        assert p_value is None


def test_a_reference_that_is_refused_stops_nothing(new_study_folder, tmp_path):
    folder = new_study_folder(tmp_path / "study")
    folder.add_model("m", paths=("notta",))
    for image_id in ("halved", "whole"):
        folder.add_image(image_id)
    path = folder.folder(None) / "halved.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    study = folder.load()
    with pytest.raises(SystemExit) as ended:
        main(["run", str(study.path)])
    assert ended.value.code == 3
    with open_warehouse(study.warehouse) as connection:
        files = "select role, image_id from dim_source_files order by all"
        refused = "select role, file_name, reason from mart_rejects"
        counted = "reference_rejected_image_count, measured_image_count"
        counted = f"select {counted} from mart_coverage where inference_path = 'notta'"
        assert connection.sql("select image_id from dim_images").fetchall() == [("whole",)]
        # What was read whole stands in one table, and what was refused in the other.
        assert connection.sql(files).fetchall() == [
            ("reference", "whole"), ("restored", "halved"), ("restored", "whole"),
        ]  # fmt: skip
        assert connection.sql(refused).fetchall() == [("reference", "halved.png", "truncated")]
        assert connection.sql(counted).fetchall() == [(1, 1)]
