"""Resampled studies: real tiles in their places, no two images alike, small ones within large."""

import numpy as np
import pyarrow as pa
import pytest

from tests.bench import resample
from upscale_audit.ingest.schema import arrow_schema
from upscale_audit.ingest.units import check_rows


@pytest.fixture(scope="module")
def pool():
    """Give a pool of two images whose blocks carry their own row number."""
    count = 2 * resample.BLOCKS_PER_IMAGE
    generator = np.random.default_rng(0)
    tiles = 2 * resample.TILES**2
    places = {}
    for number in range(tiles):
        down, across = np.divmod(number % resample.TILES**2, resample.TILES)
        key = resample._find_place(down), resample._find_place(across)
        places.setdefault(key, []).append(number)
    return resample.Pool(
        {"any": pa.table({"row": np.arange(count)})},
        [],
        {key: np.array(numbers) for key, numbers in places.items()},
        generator.standard_normal((tiles, 2)),
    )


def test_a_tile_keeps_its_inner_order_and_its_side_of_the_frame(pool):
    rows = resample.draw_rows(pool, "00000007_000").reshape(resample.BLOCKS, resample.BLOCKS)
    row, col = np.divmod(rows % resample.BLOCKS_PER_IMAGE, resample.BLOCKS)
    for first in (0, 8, 64, 120):
        assert (np.diff(row[first : first + 8], axis=0) == 1).all()
        assert (np.diff(col[:, first : first + 8], axis=1) == 1).all()
    assert (row[0] == 0).all()
    assert (row[-1] == resample.BLOCKS - 1).all()
    assert (col[:, 0] == 0).all()
    assert (col[:, -1] == resample.BLOCKS - 1).all()
    assert row[8:120].min() >= 8
    assert row[8:120].max() < 120


def test_an_image_depends_on_its_name_alone_and_no_two_are_alike(pool):
    names = resample.name_images(40)
    assert names == resample.name_images(100)[:40]
    assert len(set(names)) == 40
    drawn = {name: resample.draw_rows(pool, name) for name in names}
    assert np.array_equal(drawn[names[3]], resample.draw_rows(pool, names[3]))
    assert len({rows.tobytes() for rows in drawn.values()}) == 40


def test_images_of_one_patient_are_more_alike_than_images_of_two(pool):
    means = {}
    for name in resample.name_images(400):
        image, place = np.divmod(resample.draw_rows(pool, name), resample.BLOCKS_PER_IMAGE)
        row, col = np.divmod(place, resample.BLOCKS)
        tiles = image * 256 + row // 8 * 16 + col // 8
        means.setdefault(name[:8], []).append(pool.marks[tiles, 0].mean())
    groups = [np.array(group) for group in means.values() if len(group) > 1]
    within = np.mean([group.var() for group in groups])
    assert within < np.var(np.concatenate(groups)) / 2


def test_placed_rows_keep_their_measures_and_take_the_new_places():
    schema = arrow_schema("blocks")
    count = resample.BLOCKS_PER_IMAGE
    generator = np.random.default_rng(1)
    columns = {"image_id": pa.array(["old"] * count), "is_partial": pa.array([False] * count)}
    for field in schema:
        values = generator.integers(0, 100, count)
        columns.setdefault(field.name, pa.array(values).cast(field.type, safe=False))
    table = pa.table([columns[field.name] for field in schema], schema=schema)
    placed = resample.place_rows(table, "00000001_000", schema)
    keys = ["image_id", "block_row", "block_col"]
    assert placed.schema == schema
    assert placed.drop_columns(keys) == table.drop_columns(keys)
    assert set(placed["image_id"].to_pylist()) == {"00000001_000"}
    expected = [(row, col) for row in range(128) for col in range(128)]
    assert list(zip(*(placed[key].to_pylist() for key in keys[1:]), strict=True)) == expected


def test_described_files_and_images_are_rows_of_their_raw_tables():
    check_rows("source_files", list(resample._describe_inputs("00000001_000", ("any",))))
    check_rows("images", [resample._describe_image("00000001_000")])
