"""The rows of the raw block table: grid, frame, types, NULLs."""

import numpy as np
import pyarrow as pa
import pytest

from upscale_audit.ingest import kernel
from upscale_audit.ingest.blocks import Measured, build_batch, frame_columns, measure_pair
from upscale_audit.ingest.schema import BLOCKS, arrow_schema

KEYS = ("image_id", "block_row", "block_col", "is_partial")
OF_LR = {
    column.name
    for column in BLOCKS
    if "_lr_" in column.name or "_null_" in column.name or column.name.endswith("_bent")
}
"""Columns that are NULL in a study without LR images."""
SIZES = [(8, 8), (9, 17), (16, 16), (17, 33), (24, 40), (15, 8), (512, 256)]


def draw(shape, seed):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def build(shape, tta=True):
    images = [Measured(draw(shape, seed)) for seed in range(3)]
    mask = draw(shape, 3) % 2
    restored = {"notta": measure_pair(images[0], images[1], mask)[0]}
    if tta:
        restored["tta"] = measure_pair(images[0], images[2], mask)[0]
    batch = build_batch("img", images[0], mask, restored, arrow_schema("blocks"))
    return batch, images, mask


def count_sides(height, width, row, col, spacing):
    """Sides on a multiple of `spacing` px with a pixel on either side of them."""
    lines = [(row * 8, height), (row * 8 + 8, height), (col * 8, width), (col * 8 + 8, width)]
    return sum(0 < line < end and line % spacing == 0 for line, end in lines)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_frame_columns_are_those_of_a_naive_loop(height, width):
    grid = np.ndindex(-(-height // 8), -(-width // 8))
    expected = [
        (
            row,
            col,
            row * 8 + 8 > height or col * 8 + 8 > width,
            count_sides(height, width, row, col, 8),
            count_sides(height, width, row, col, 16),
        )
        for row, col in grid
    ]
    frame = frame_columns(height, width)
    names = ("block_row", "block_col", "is_partial", "side_count", "side16_count")
    assert list(zip(*(frame[name].tolist() for name in names), strict=True)) == expected


def test_a_lone_block_has_no_sides():
    assert frame_columns(8, 8)["side_count"].tolist() == [0]


def test_a_partial_block_beyond_counts_as_a_neighbour():
    frame = frame_columns(9, 17)
    assert frame["side_count"][:2].tolist() == [2, 3]
    assert frame["is_partial"].tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_every_block_has_a_row_in_raster_order(height, width):
    batch, _, _ = build((height, width))
    assert batch.schema.equals(arrow_schema("blocks"))
    grid = list(np.ndindex(-(-height // 8), -(-width // 8)))
    columns = batch.to_pydict()
    assert list(zip(columns["block_row"], columns["block_col"], strict=True)) == grid
    assert set(columns["image_id"]) == {"img"}


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_partial_blocks_hold_null_measures_and_whole_blocks_none(height, width):
    batch, _, _ = build((height, width))
    columns = batch.to_pydict()
    for name in set(columns) - set(KEYS):
        is_null = [value is None for value in columns[name]]
        assert is_null == columns["is_partial"] or (name in OF_LR and all(is_null)), name


def test_a_missing_tta_image_leaves_its_columns_null_and_the_others_alone():
    full, without = build((17, 33))[0].to_pydict(), build((17, 33), tta=False)[0].to_pydict()
    for column in BLOCKS:
        if column.name.startswith("tta_"):
            assert without[column.name] == [None] * 15
        else:
            assert without[column.name] == full[column.name]


@pytest.mark.parametrize("shape", [(17, 33), (24, 40)])
def test_each_value_stands_at_its_own_block(shape):
    batch, (reference, notta, tta), mask = build(shape)
    rows, cols = shape[0] // 8, shape[1] // 8
    expected = {"ringing_px": kernel.count_mask(mask)}
    expected |= {f"reference_{name}": grid for name, grid in reference.columns.items()}
    for path, image in (("notta", notta), ("tta", tta)):
        columns, _ = measure_pair(reference, image, mask)
        expected |= {f"{path}_{name}": grid for name, grid in columns.items()}
    for row in batch.to_pylist():
        if not row["is_partial"]:
            at = row["block_row"], row["block_col"]
            assert at[0] < rows
            assert at[1] < cols
            for name, grid in expected.items():
                assert row[name] == grid[at].item(), name
    assert len(expected) == len(BLOCKS) - 6 - len(OF_LR)


@pytest.mark.parametrize("period", [1, 8])
def test_the_greatest_values_fit_their_columns(period):
    row, col = np.indices((32, 32)) // period
    light = ((row + col) % 2 * 255).astype(np.uint8)
    images = Measured(light), Measured(255 - light)
    whole = np.ones_like(light)
    paths = {"notta": images[1], "tta": images[0]}
    restored = {path: measure_pair(images[0], image, whole)[0] for path, image in paths.items()}
    batch = build_batch("img", images[0], whole, restored, arrow_schema("blocks")).to_pydict()
    for name, grid in images[0].columns.items():
        assert batch[f"reference_{name}"] == grid.ravel().tolist(), name
    assert batch["ringing_px"] == [64] * 16
    assert batch["tta_cross"] == batch["reference_sum_sq"]
    assert min(map(min, (batch[f"notta_{name}"] for name in images[1].columns))) >= 0


def test_white_blocks_reach_the_known_greatest_sums():
    white = Measured(np.full((16, 16), 255, np.uint8))
    mask = np.zeros((16, 16), np.uint8)
    restored = {"notta": measure_pair(white, white, mask)[0]}
    batch = build_batch("img", white, mask, restored, arrow_schema("blocks"))
    assert set(batch.column("notta_sum").to_pylist()) == {64 * 255}
    assert set(batch.column("notta_cross").to_pylist()) == {64 * 255**2}


def test_the_input_array_may_be_a_view():
    wide = draw((32, 64), 1)
    view, copy = Measured(wide[:, ::2]), Measured(wide[:, ::2].copy())
    for name, grid in copy.columns.items():
        np.testing.assert_array_equal(view.columns[name], grid)


def test_no_measured_value_is_nan_or_infinite():
    batch = build((64, 64))[0]
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_floating(column.type) and name not in OF_LR:
            assert np.isfinite(column.to_numpy()).all()
