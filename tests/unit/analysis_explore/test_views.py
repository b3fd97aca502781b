"""What the explorer shows: views and their queries, colours, pixels, answers."""

import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import polars as pl
import pytest

from tests.unit.analysis.conftest import Case, make_warehouse, number_blocks
from upscale_audit.analysis.explore import colours, quantities, views
from upscale_audit.analysis.explore.answers import MOST_ROWS, Desk, Question
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError

AXIS = quantities.Quantity("axis1", "Axis1", "Scores", "", "signed", False, {})
ERROR = quantities.Quantity("mse_dn2", "Squared error", "Error", "dn\u00b2", "amount", False, {})
SSIM = quantities.Quantity("local_ssim", "Block SSIM", "Scores", "", "similarity", False, {})
FLAG = quantities.Quantity("is_silent", "Silent", "More", "", "amount", True, {})


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    path, _ = make_warehouse(tmp_path_factory.mktemp("explored"), Case())
    return path


def make_view(low=None, high=None, **changes):
    words = {"model_id": "m", "inference_path": "notta", "image_id": "i", "quantity": AXIS}
    return views.View(**(words | {"brushed": ERROR} | changes), low=low, high=high)


def test_the_query_gives_the_blocks_that_are_seen_to_the_last_at_the_ends_of_the_brush():
    draws = np.random.default_rng(5).integers(0, 21, 200)
    rows = [
        ("m", "i", n // 20, n % 20, -n / 7, None if v == 20 else v / 10)
        for n, v in enumerate(draws)
    ]
    names = ["model_id", "image_id", "block_row", "block_col", "axis1_notta", "mse_dn2_notta"]
    frame = pl.DataFrame(rows, names, orient="row")
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        connection.execute(
            "create table fct_blocks as select * replace (axis1_notta::decimal(9, 6) as"
            " axis1_notta, mse_dn2_notta::decimal(11, 6) as mse_dn2_notta) from frame"
        )
        number_blocks(connection)
        marts = SimpleNamespace(
            frame=lambda sql: connection.sql(sql).pl(),
            rows=lambda sql: connection.sql(sql).pl().to_dicts(),
        )
        place = views.find_place(marts, "m", "i", 0, 200)
        values = views.read_values(marts, place, (10, 20), "mse_dn2_notta")
        for ends in ((0.1, 0.3), (0.3, 0.3), (1.9, 5), (None, None), (-2, -1)):
            view = make_view(*ends)
            found = connection.sql(views.spell_query(view)).fetchall()
            marked = views.mark_brushed(values, view)
            seen = [(row, col) for row, col, *_ in found]
            if view.has_brush:
                assert seen == [tuple(place) for place in np.argwhere(marked)]
                assert all(ends[0] <= float(row[3]) <= ends[1] for row in found)
            else:
                assert len(seen) == 200
                assert marked.sum() == (draws < 20).sum()


def test_an_image_is_read_by_its_rows_where_they_lie_together_and_else_by_name():
    with duckdb.connect() as connection:
        marts = SimpleNamespace(
            frame=lambda sql: connection.sql(sql).pl(),
            rows=lambda sql: connection.sql(sql).pl().to_dicts(),
        )
        connection.execute(
            "create table fct_blocks as select 'm' as model_id, 'i' || range // 6 as image_id,"
            " range % 6 // 3 as block_row, range % 3 as block_col, 1.5 * range as axis1_notta"
            " from range(30)"
        )
        number_blocks(connection)
        starts = views.read_starts(marts)
        assert starts == {("m", f"i{number}"): 6 * number for number in range(5)}
        place = views.find_place(marts, "m", "i2", starts["m", "i2"], 6)
        assert "block_number between 12 and 17" in place
        expected = 1.5 * np.arange(12, 18).reshape(2, 3)
        assert np.array_equal(views.read_values(marts, place, (2, 3), "axis1_notta"), expected)
        connection.execute("create table moved as from fct_blocks order by block_col, image_id")
        connection.execute("drop table fct_blocks")
        connection.execute("alter table moved rename to fct_blocks")
        number_blocks(connection)
        first = views.read_starts(marts)["m", "i2"]
        place = views.find_place(marts, "m", "i2", first, 6)
        assert "block_number" not in place
        assert np.array_equal(views.read_values(marts, place, (2, 3), "axis1_notta"), expected)
        assert "block_number" not in views.find_place(marts, "m", "i9", None, 6)


def test_a_name_with_quotes_is_a_text_in_the_query():
    name = "m' or 1=1; drop table fct_blocks; --"
    view = make_view(model_id=name, image_id="<img src=x onerror='a'>")
    with duckdb.connect() as connection:
        connection.execute(
            "create table fct_blocks as select ? as model_id, ? as image_id, 0 as block_row,"
            " 0 as block_col, 1.0 as axis1_notta, 2.0 as mse_dn2_notta",
            [view.model_id, view.image_id],
        )
        assert len(connection.sql(views.spell_query(view)).fetchall()) == 1
        assert len(connection.sql(views.spell_block_query(view, (0, 0))).fetchall()) == 1
        other = make_view(model_id="m")
        assert connection.sql(views.spell_query(other)).fetchall() == []


def test_where_a_colour_is_full_99_of_100_blocks_are_within():
    values = np.arange(-100, 101, dtype=float).reshape(3, 67)
    assert views.find_limit(values, AXIS) == pytest.approx(
        np.quantile(np.abs(values), 0.99), rel=0.05
    )
    assert views.find_limit(np.array([[0.9, 1.0, np.nan]]), SSIM) == pytest.approx(0.1, rel=0.05)
    assert views.find_limit(np.full((2, 2), np.nan), AXIS) == 1
    assert views.find_limit(np.zeros((2, 2)), ERROR) > 0
    assert views.find_limit(np.zeros((2, 2)), FLAG) == 1


def test_the_farthest_block_is_the_first_of_those_least_like_an_exact_one():
    assert views.find_farthest(np.array([[1.0, -3.0], [np.nan, 3.0]]), AXIS) == (0, 1)
    assert views.find_farthest(np.array([[0.9, 1.0], [0.2, np.nan]]), SSIM) == (1, 0)
    assert views.find_farthest(np.full((2, 2), np.nan), AXIS) == (0, 0)


def test_every_block_with_a_value_is_counted_once():
    values = np.random.default_rng(3).normal(size=(30, 40))
    values[0, :7] = np.nan
    counts, edges = views.count_bins(values)
    assert counts.sum() == 30 * 40 - 7
    assert (edges[0], edges[-1]) == (np.nanmin(values), np.nanmax(values))
    assert views.count_bins(np.full((2, 2), 4.0))[0].sum() == 4
    assert views.count_bins(np.full((2, 2), np.nan))[0].sum() == 0


def test_the_ends_of_a_brush_are_put_in_order_and_both_or_none():
    assert views.order_ends(2, 1) == (1.0, 2.0)
    assert views.order_ends(0.12345678, 1) == (0.123457, 1.0)
    assert views.order_ends(None, 1) == views.order_ends(1, None) == (None, None)


@pytest.mark.parametrize("scale", ["signed", "similarity", "amount"])
def test_a_block_restored_exactly_hides_nothing_and_one_at_the_limit_all(scale):
    ground = np.full((1, 4, 3), 77, np.uint8)
    exact = 1.0 if scale == "similarity" else 0.0
    limit = 0.5
    far = exact - limit if scale == "similarity" else limit
    painted = colours.paint(np.array([[exact, far, 9 * far, np.nan]]), ground, scale, limit)
    full = colours.make_colours(scale)[0 if scale == "similarity" else -1]
    assert painted[0, 0].tolist() == painted[0, 3].tolist() == [77] * 3
    assert painted[0, 1].tolist() == full[:3].tolist()
    if scale != "similarity":
        assert painted[0, 2].tolist() == full[:3].tolist()
    half = colours.paint(np.array([[far] * 4]), ground, scale, limit, opacity=0.5)[0, 0]
    assert np.abs(half - (full[:3] / 2 + 77 / 2)).max() <= 1


def test_every_number_and_flag_of_a_path_can_be_shown_once_and_under_a_name_of_its_own(warehouse):
    with Marts(warehouse) as marts:
        found = quantities.read_quantities(marts)
        columns = {
            row["column_name"]: row["data_type"]
            for row in marts.rows(
                "select column_name, data_type from duckdb_columns()"
                " where table_name = 'fct_blocks'"
            )
        }
    paths = {name for name in columns if name.endswith(("_notta", "_tta"))}
    shown = {item.column(path) for item in found.values() for path in ("notta", "tta")}
    assert paths - shown == {name for name in paths if columns[name] == "VARCHAR"}
    assert list(found)[:3] == ["axis1", "local_ssim", "pc1"]
    titles = [item.title for item in found.values()]
    assert len(titles) == len(set(titles))
    assert found["d_sharp"].scale == "signed"
    assert found["is_silent"].is_flag


@pytest.fixture
def desk(warehouse):
    desk = Desk(warehouse)
    yield desk
    desk.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("", "expected one query, found 0"),
        ("-- nothing", "expected one query, found 0"),
        ("select 1; select 2", "expected one query, found 2"),
        ("selec 1", "syntax error"),
        ("select * from nowhere", "nowhere does not exist"),
        ("copy dim_models to '{tmp}/x.csv'", "type COPY"),
        ("attach '{tmp}/x.db'", "type ATTACH"),
        ("export database '{tmp}/x'", "type EXPORT"),
        ("create table memory.main.x as select 1", "type CREATE"),
        ("delete from dim_models", "type DELETE"),
        ("set enable_external_access = true", "type SET"),
        ("install httpfs", "type LOAD"),
        ("explain analyze select 1", "type EXPLAIN"),
        ("select * from read_text('{tmp}/secret')", "disabled by configuration"),
        ("select * from read_csv('{tmp}/secret')", "disabled by configuration"),
        ("select * from read_parquet('{tmp}/secret')", "disabled by configuration"),
        ("select * from glob('{tmp}/*')", "disabled by configuration"),
        ("select * from '{tmp}/secret'", "does not exist"),
        ("select * from query('copy dim_models to ''{tmp}/x.csv''')", "SELECT"),
    ],
)
def test_what_is_typed_reads_the_warehouse_and_nothing_else(desk, tmp_path, sql, expected):
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(StudyError, match=re.escape(expected)):
        desk.ask(sql.format(tmp=tmp_path)).read()
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_rows_beyond_those_shown_are_said_and_the_rest_comes_in_batches(desk):
    few = desk.ask("select range as n from range(200)").read()
    assert (len(few.rows), few.has_more) == (MOST_ROWS, False)
    many = desk.ask("select range as n from range(201)").read()
    assert (len(many.rows), many.has_more) == (MOST_ROWS, True)
    batches = list(desk.ask("select * from range(25)").read_batches(10))
    assert [len(rows) for _, rows in batches] == [10, 10, 5]
    cut = list(desk.ask("select * from range(25)").read_batches(10, most_rows=15))
    assert sum(len(rows) for _, rows in cut) == 15
    assert list(desk.ask("select 1 as a where false").read_batches()) == [(["a"], [])]


def test_a_query_that_is_stopped_says_so(desk):
    question = desk.ask(ENDLESS)
    timer = threading.Timer(0.3, question.stop)
    timer.start()
    with pytest.raises(StudyError, match="stopped"):
        question.read()
    timer.join()


class DeafCursor:
    """DuckDB's, of a query that begins just after it was told to stop."""

    def __init__(self):
        self.heard = threading.Event()

    def execute(self, _):
        self.question.stop()
        self.heard.clear()
        if self.heard.wait(60):
            raise duckdb.InterruptException
        raise AssertionError("it would run for ever")

    def interrupt(self):
        self.heard.set()


def test_a_query_that_begins_as_it_is_stopped_is_told_again():
    cursor = DeafCursor()
    cursor.question = Question(cursor, ENDLESS)
    with pytest.raises(StudyError, match="stopped"):
        cursor.question.read()


ENDLESS = "select sum(a.range * b.range) from range(1000000) a, range(1000000) b"


def test_a_query_that_is_stopped_before_it_begins_does_not_begin(desk):
    question = desk.ask(ENDLESS)
    question.stop()
    with pytest.raises(StudyError, match="stopped"):
        question.read()


def test_closing_ends_queries_that_run_and_those_between_two_batches(warehouse):
    desk, said = Desk(warehouse), []
    running, waiting = desk.ask(ENDLESS), desk.ask("select * from range(25)").read_batches(10)
    next(waiting)

    def read():
        try:
            running.read()
        except StudyError as error:
            said.append(str(error))

    thread = threading.Thread(target=read)
    thread.start()
    time.sleep(0.3)
    desk.close()
    thread.join(timeout=20)
    assert said == ["stopped"]
    with pytest.raises(StudyError, match="stopped"):
        next(waiting)


def test_only_one_module_of_the_explorer_makes_markup_of_texts():
    folder = Path(views.__file__).parent
    own = [path.name for path in folder.glob("*.py") if "<" + "td" in path.read_text()]
    assert own == ["markup.py"]
