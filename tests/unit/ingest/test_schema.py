"""The declaration of the raw tables."""

import re

import pyarrow as pa
import pytest

from upscale_audit.ingest.schema import BLOCKS, HYRA_TABLES, TABLES, arrow_schema

GREATEST = {
    "sum": 64 * 255,
    "sum_sq": 64 * 255**2,
    "cross": 64 * 255**2,
    "detail2": 4 * 4 * 4 * 255**2,
    "detail4": 16 * 16 * 255**2,
    "cross_detail2": 4 * 4 * 4 * 255**2,
    "cross_detail4": 16 * 16 * 255**2,
    "laplacian": 64 * 64 * (4 * 255) ** 2,
    "noise": 64 * 8 * 255,
    "step_side": 4 * 8 * 255,
    "step_side16": 4 * 8 * 255,
    "step_middle": 2 * 8 * 255,
    "step_inside": 2 * 7 * 8 * 255,
}
WIDTHS = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
EVERY_TABLE = TABLES | HYRA_TABLES
EVERY_COLUMN = [(table, column) for table in EVERY_TABLE for column in EVERY_TABLE[table]]


def top_of(arrow_type):
    return 2 ** (arrow_type.bit_width - pa.types.is_signed_integer(arrow_type)) - 1


@pytest.mark.parametrize("table", EVERY_TABLE)
def test_a_tables_columns_are_named_once(table):
    names = [column.name for column in EVERY_TABLE[table]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-zL0-9_]*", name) for name in names)


@pytest.mark.parametrize(
    ("table", "column"), EVERY_COLUMN, ids=[f"{table}.{c.name}" for table, c in EVERY_COLUMN]
)
def test_every_column_says_what_it_holds(table, column):
    field = arrow_schema(table).field(column.name)
    assert field.type == column.type
    assert field.nullable == column.nullable
    assert field.metadata[b"description"].decode() == column.description
    assert field.metadata[b"unit"].decode() == column.unit
    assert column.description.endswith(".")
    unit = re.search(r"_(px|dn2|dn|bits|bytes|years)$", column.name)
    if unit and column.name != "ringing_px":
        assert column.unit == unit.group(1)


@pytest.mark.parametrize("quantity", GREATEST)
def test_the_greatest_value_fits_its_column_and_no_narrower_one(quantity):
    columns = [c for c in BLOCKS if re.fullmatch(rf"(reference|notta|tta)_{quantity}", c.name)]
    assert len(columns) == (2 if quantity.startswith("cross") else 3)
    for column in columns:
        assert GREATEST[quantity] <= top_of(column.type)
        narrower = [kind for kind in WIDTHS if kind.bit_width < column.type.bit_width]
        assert all(GREATEST[quantity] > top_of(kind) for kind in narrower)


def test_reference_notta_and_tta_measure_the_same_quantities():
    names = {
        image: {c.name.split("_", 1)[1] for c in BLOCKS if c.name.startswith(f"{image}_")}
        for image in ("reference", "notta", "tta")
    }
    assert names["notta"] == names["tta"]
    assert names["notta"] - names["reference"] == {
        "cross",
        "cross_detail2",
        "cross_detail4",
        "local_ssim",
        "ringing",
        "lr_usable",
        "lr_clamped",
        "lr_contradicted",
        "lr_sum",
        "lr_largest",
        "lr_square",
        "null_product",
        "bent",
    }


def test_the_keys_of_a_block_are_never_null():
    keys = {column.name for column in BLOCKS if not column.nullable}
    assert keys == {"image_id", "block_row", "block_col", "is_partial"}


def test_schema_metadata_is_kept():
    assert arrow_schema("pairs", {"schema_version": "1"}).metadata == {b"schema_version": b"1"}
