"""Lines between regions, and where their names stand."""

import numpy as np
import pytest

from upscale_audit.analysis.explore.outlines import find_edges, find_middles


def test_lines_go_between_different_cells_and_nowhere_else():
    grid = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [2, 0, 0, 0]])
    assert sorted(find_edges(grid)) == sorted(
        [
            (2, 0, 2, 2),  # right of the zeros, two cells long
            (1, 2, 1, 3),  # beside the two
            (0, 2, 1, 2),  # above it
            (2, 2, 4, 2),  # below the ones
        ]
    )


def test_every_side_between_two_values_is_on_a_line():
    grid = np.random.default_rng(4).integers(0, 3, (9, 13))
    sides = set()
    for x1, y1, x2, y2 in find_edges(grid):
        if x1 == x2:
            sides |= {("down", x1, row) for row in range(y1, y2)}
        else:
            sides |= {("across", col, y1) for col in range(x1, x2)}
    rows, cols = grid.shape
    assert sides == {
        ("down", col + 1, row)
        for row in range(rows)
        for col in range(cols - 1)
        if grid[row, col] != grid[row, col + 1]
    } | {
        ("across", col, row + 1)
        for row in range(rows - 1)
        for col in range(cols)
        if grid[row, col] != grid[row + 1, col]
    }


def test_one_value_has_no_line():
    assert find_edges(np.ones((4, 5), int)) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_name_stands_in_its_own_region(seed):
    grid = np.random.default_rng(seed).integers(0, 4, (7, 6))
    for value, (row, col) in find_middles(grid).items():
        assert grid[row, col] == value
    ring = np.ones((5, 5), int)
    ring[1:4, 1:4] = 0
    assert ring[find_middles(ring)[1]] == 1
