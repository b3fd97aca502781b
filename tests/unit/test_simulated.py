"""Every interval and p of the marts is simulated, or made by SQL of one that is."""

import re

import pytest

from tests.calibration.columns import (
    ALIKE,
    NEITHER,
    format_columns,
    list_columns,
    list_simulated,
    read_sql,
)

ALIKE_COLUMNS = [(one.mart, column) for one in ALIKE for column in one.columns]


def test_every_interval_and_p_is_simulated_or_like_one_that_is():
    columns = list_columns()
    assert len(set(columns)) == len(columns)
    named = [*list_simulated(), *ALIKE_COLUMNS, *NEITHER]
    assert len(set(named)) == len(named), "each for one reason"
    assert set(columns) == set(named)


@pytest.mark.parametrize("one", ALIKE, ids=lambda one: f"{one.mart}.{one.columns[0]}")
def test_what_stands_for_another_is_simulated_and_shares_its_sql(one):
    assert one.like in list_simulated()
    assert one.shared in read_sql(one.mart)
    assert (one.likewise or one.shared) in read_sql(one.like[0])


def test_the_page_says_where_each_column_is_simulated(repository):
    page = (repository / "docs" / "calibration.md").read_text(encoding="utf-8")
    assert format_columns() in page
    titles = re.findall(r"^## ([^:\n]*)", page, re.MULTILINE)
    for section in set(list_simulated().values()):
        assert any(title.startswith(section) for title in titles), section
