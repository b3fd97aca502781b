"""The explorer as a whole: any name is a text, and what is not there is said."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlencode

import duckdb
import numpy as np
import pytest

from tests.browser import needs_browser, open_browser
from tests.explorer import REPOSITORY, serving
from tests.unit.analysis.conftest import Case, make_warehouse
from tests.unit.analysis.test_pages import PAYLOAD, poison
from upscale_audit.analysis.explore.explorer import Explorer, spell_address
from upscale_audit.analysis.explore.figure import draw_figure
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import IngestParameters
from upscale_audit.warehouse.cli import main as cli


def make_study(folder, *, is_hostile=False):
    path, references = make_warehouse(folder, Case())
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table dim_tables (table_name varchar, description varchar)")
        connection.execute("insert into dim_tables values ('fct_blocks', 'One row per block.')")
    if is_hostile:
        poison(path)
    return SimpleNamespace(
        path=folder / "study.toml",
        name=PAYLOAD if is_hostile else "made",
        warehouse=path,
        references=references,
        models=(),
        ingest_parameters=IngestParameters(),
    )


@needs_browser
def test_a_browser_shows_hostile_names_and_runs_none(tmp_path):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    with serving(make_study(tmp_path, is_hostile=True)) as address, open_browser() as page:
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.get_by_label("Model").wait_for()
        for label in ("Model", "Image"):
            names = page.get_by_label(label).locator("option").all_inner_texts()
            assert all("<img src=x onerror=" in name for name in names)
            page.get_by_label(label).select_option(names[-1])
        page.locator("section.save pre", has_text="two</script>").wait_for()
        page.get_by_role("button", name="Query of the blocks seen").click()
        page.get_by_role("button", name="Run").click()
        page.locator("section.sql").get_by_text("15 rows.").wait_for()
        page.get_by_label("SQL, one query").fill("select model_id from dim_models")
        page.get_by_role("button", name="Run").click()
        page.locator("section.sql").get_by_text("2 rows.").wait_for()
        with page.expect_download() as download:
            page.get_by_text("Figure, SVG").click()
        assert "<script" not in Path(download.value.path()).read_text()
        assert page.title() != "pwned"
        assert page.locator("img[src=x]").count() == 0
        assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()


@needs_browser
def test_where_a_colour_is_full_without_a_number_is_the_pages_own_choice(tmp_path):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    with serving(make_study(tmp_path)) as address, open_browser() as page:
        page.goto(address)
        full = page.get_by_label("Full colour at")
        full.wait_for()
        own = full.input_value()
        for number, shown in (("0.5", "0.5"), ("0", own), ("7", "7"), ("", own)):
            full.fill(number)
            page.keyboard.press("Tab")
            page.locator(f"section.save a[href*='full={float(shown):g}']").first.wait_for()
            assert full.input_value() == shown


@needs_browser
def test_a_name_that_is_longer_than_a_narrow_window_is_broken(tmp_path):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    study = make_study(tmp_path)
    with duckdb.connect(str(study.warehouse)) as connection:
        for table in ("dim_models", "fct_blocks"):
            connection.execute(f"update {table} set model_id = repeat('m', 64)")
    with serving(study) as address, open_browser() as page:
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto(address)
        page.get_by_text("Left: reference").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    with Explorer(make_study(tmp_path_factory.mktemp("page"))) as explorer:
        yield explorer


def test_an_address_that_names_what_is_not_there_shows_what_is(explorer):
    view = explorer.make_view(
        {"model": "none", "path": "tta", "image": "../x", "show": "rowid", "by": "is_silent",
         "low": "nan", "high": "1e999"}
    )  # fmt: skip
    assert (view.model_id, view.image_id, view.inference_path) == ("one", "image_0", "tta")
    assert (view.quantity.stem, view.brushed.stem, view.has_brush) == ("axis1", "axis1", False)
    assert explorer.make_view({"model": "two", "path": "tta"}).inference_path == "notta"


def test_an_address_gives_the_view_that_spelt_it(explorer):
    words = {"model": "two", "image": "image_1", "show": "mse_dn2", "by": "local_ssim"}
    view = explorer.make_view(words | {"low": "0.25", "high": "0.5"})
    assert explorer.make_view(dict(parse_qsl(spell_address(view)))) == view
    assert view.low == 0.25


def test_an_image_that_was_not_measured_is_said_in_the_figure_and_its_map_drawn(explorer):
    view = explorer.make_view({})
    films = explorer.read_films(view)
    assert [film.grey for film in films] == [None, None]
    svg = draw_figure(
        explorer.name_seen(view),
        view,
        films,
        explorer.read_seen(view),
        [],
        ([], []),
        explorer.find_limit(view),
        0.8,
        "A note.",
    )
    said = [film.problem for film in films]
    assert said[0].startswith("The warehouse has measured no reference for image_0:")
    assert said[1].startswith("The warehouse has measured no image of one, notta, for image_0:")
    assert "has measured no reference for image_0" in svg.replace("\n", " ")


def test_a_model_is_named_as_the_study_names_it(explorer, monkeypatch):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    from upscale_audit.analysis.explore import markup

    monkeypatch.setitem(explorer.labels, "two", "Model <Two>")
    view = explorer.make_view({"model": "two"})
    assert explorer.name_seen(view) == "image_0 under Model <Two>"
    said = markup.caption(view, explorer.labels["two"], explorer.read_films(view))
    assert "Right: <b>Model &lt;Two&gt;</b>" in said


def test_it_is_said_how_many_blocks_are_seen_and_by_what(explorer, monkeypatch):
    values = explorer.read_values(explorer.make_view({}), explorer.quantities["axis1"])
    known = values[np.isfinite(values)]
    view = explorer.make_view({"by": "axis1", "low": "-9", "high": str(np.median(known))})
    count = int((known <= view.high).sum())
    assert 0 < count < known.size <= values.size == 24
    ends = f"-9 to {view.high:g}".replace("-", "\u2212")
    others = "The others are clear, whatever they are: that says nothing of them."
    assert explorer.describe_seen(view) == (
        f"{count} of 24 blocks: those whose Axis1 is {ends}. {others}"
    )
    whole = explorer.make_view({"show": "axis1"})
    assert explorer.describe_seen(whole) == f"{known.size} of 24 blocks have a value."
    monkeypatch.setattr(explorer, "read_values", lambda *_: np.array([[0.0, np.nan]]))
    assert explorer.describe_seen(whole) == f"1 of 2 blocks have a value. {others}"


def test_counts_of_few_blocks_are_numbered_by_powers_of_ten_and_do_not_overprint(explorer):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    from upscale_audit.analysis.explore.plots import Histogram

    view, histogram = explorer.make_view({}), Histogram()
    histogram.show(explorer.read_values(view, view.brushed), view)
    span, (axis,) = histogram.figure.y_range, histogram.figure.yaxis
    assert [tick for tick in axis.ticker.ticks if span.start <= tick <= span.end] == [1]
    assert axis.ticker.minor_ticks == []


def test_boxes_are_drawn_into_the_figure(explorer):
    view = explorer.make_view({})
    words = view, explorer.read_films(view), explorer.read_seen(view)
    box = {"name": "Mass", "left_px": 8, "top_px": 8, "width_px": 16, "height_px": 8}
    svg = [
        draw_figure("A title", *words, boxes, ([], []), 1.0, 0.8, "A note.")
        for boxes in ([], [box])
    ]
    assert svg[1].count("#E69F00") - svg[0].count("#E69F00") == 3
    assert "Boxes: Mass." in svg[1]


def test_edges_of_regions_are_drawn_into_the_figure(explorer):
    view = explorer.make_view({})
    words = view, explorer.read_films(view), explorer.read_seen(view), []
    outlines = [(8, 0, 8, 16), (0, 16, 8, 16)], [("heart", 4, 4), ("body", 20, 20)]
    svg = [
        draw_figure("A title", *words, lines, 1.0, 0.8, "A note.") for lines in (([], []), outlines)
    ]
    assert svg[1].count("#56B4E9") - svg[0].count("#56B4E9") == 2 * 3
    assert "edges of regions (heart, body)" in svg[1].replace("\n", " ")
    assert explorer.read_outlines(view.image_id) == ([], [])


def test_without_a_measured_image_there_is_nothing_to_look_at(tmp_path):
    study = make_study(tmp_path)
    with duckdb.connect(str(study.warehouse)) as connection:
        connection.execute("delete from dim_images")
    with pytest.raises(StudyError, match="no image was measured in "):
        Explorer(study)


def test_without_the_extra_the_command_names_what_installs_it(monkeypatch, capsys, tiny_study):
    for name in [name for name in sys.modules if name.startswith("upscale_audit.analysis.explore")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "bokeh"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bokeh", None)
    tiny_study.load()
    with pytest.raises(SystemExit) as ended:
        cli.main(["explore", str(tiny_study.root / "study.toml")])
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert said.startswith("upscale-audit: this needs bokeh")
    assert said.endswith("is not installed: pip install 'upscale-audit[explore]'\n")
    assert said.count("\n") == 1


def test_a_saved_answer_says_that_it_is_cut_only_where_it_is(tmp_path, monkeypatch):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    from upscale_audit.analysis.explore import saving

    monkeypatch.setattr(saving, "MOST_SAVED_ROWS", 3)
    with serving(make_study(tmp_path)) as address:
        for count, last in ((3, b"2"), (4, b"only the first 3 rows"), (0, b"n")):
            sql = urlencode({"sql": f"select range as n from range({count})"})
            with urllib.request.urlopen(f"{address}/save/answer.csv?{sql}") as answer:
                assert answer.read().splitlines()[-1].strip(b'"') == last


def test_the_longest_query_that_the_page_takes_can_be_saved(tmp_path):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    letters = 100_000 - len("select 1 as n --")
    for letter in ("x", "\U0001f9b4"):
        sql = urlencode({"sql": f"select 1 as n --{letter * letters}"})
        with (
            serving(make_study(tmp_path / str(ord(letter)))) as address,
            urllib.request.urlopen(f"{address}/save/answer.csv?{sql}") as answer,
        ):
            assert answer.read() == b"n\n1\n"


def test_an_answer_shows_texts_as_they_are_and_long_ones_in_part():
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    from upscale_audit.analysis.explore.answers import Answer
    from upscale_audit.analysis.explore.markup import MOST_CHARACTERS, tabulate_answer

    row = ("a-1", -1, Decimal("-0.5"), date(2026, 11, 26), "x" * (MOST_CHARACTERS + 1), None)
    text = tabulate_answer(Answer(list("abcdef"), [row], False), "select 1")
    cells = re.findall("<td>(.*?)</td>", text)
    assert cells[:4] == ["a-1", "\u22121", "\u22120.5", "2026-11-26"]
    assert cells[4:] == ["x" * MOST_CHARACTERS + "\u2026", "\u2013"]
    assert ">1 row. <" in text


def test_the_command_says_where_the_page_is_and_ends_when_it_is_interrupted(tmp_path):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from tests.unit.analysis_explore.test_page import make_study\n"
        "from upscale_audit.analysis.explore.server import serve\n"
        "serve(make_study(Path(sys.argv[1])), 0, lambda line: print(line, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        said = process.stdout.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", said)[0]
        with urllib.request.urlopen(address) as answer:
            assert b"<h1>made " in answer.read()
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "explored; nothing was changed\n"
    assert process.returncode == 0


def test_a_port_that_is_taken_is_said_in_a_line(explorer):
    pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")
    from upscale_audit.analysis.explore.server import make_server

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=f"cannot listen on 127.0.0.1:{port}.*--port"):
            make_server(explorer, port)
