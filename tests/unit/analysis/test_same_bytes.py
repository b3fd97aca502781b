"""A figure is decided by what the tables hold, not by the order of rows nor by the process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis import fonts, output
from upscale_audit.analysis.figures import study as figures_study
from upscale_audit.analysis.figures.study import draw_figures, plan_figures
from upscale_audit.analysis.marts import Marts, quote_name
from upscale_audit.ingest.errors import StudyError

REPOSITORY = Path(__file__).resolve().parents[3]
# Its rows are read in the order of the seed.
ORDERED = ("dim_components",)
DRAW = """
import sys
import duckdb
connect, threads = duckdb.connect, int(sys.argv[4])
def connect_with_threads(*args, config=None, **options):
    return connect(*args, config={**(config or {}), "threads": threads}, **options)
duckdb.connect = connect_with_threads
from upscale_audit.analysis.figures import study as figures
if sys.argv[5] != "all":
    plan = figures.plan_figures
    def plan_some(*args):
        return {name: draw for name, draw in plan(*args).items() if name in sys.argv[5:]}
    figures.plan_figures = plan_some
figures.draw_figures(*sys.argv[1:4])
"""


def draw_in_a_process(warehouse, references, folder, threads, names=("all",)):
    """Draw in a process with a hash seed and a count of threads of its own; bytes by name."""
    seeds = {"PYTHONHASHSEED": str(threads), "PYTHONPATH": str(REPOSITORY)}
    counts = {"POLARS_MAX_THREADS": str(threads), "RAYON_NUM_THREADS": str(threads)}
    subprocess.run(
        [sys.executable, "-c", DRAW, warehouse, references, folder, str(threads), *names],
        env=os.environ | seeds | counts,
        check=True,
    )
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def reverse_rows(path):
    """Lay every table's rows in the other order."""
    with duckdb.connect(str(path)) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'main'"
        ).fetchall()
        for (table,) in tables:
            if table not in ORDERED:
                connection.execute(
                    f"create or replace table {quote_name(table)} as"
                    f" select * from {quote_name(table)} order by rowid desc"
                )


def describe_figures(path, references):
    with Marts(path) as marts:
        return {
            name: json.dumps(draw(marts).to_dict())
            for name, draw in plan_figures(marts, references).items()
        }


@pytest.mark.long
def test_the_order_of_a_tables_rows_changes_no_figure(tmp_path):
    case = Case(
        models=("one", "three", "two"),
        source_models=("one", "three", "two"),
        sources=("images", "other"),
        is_complete=False,
    )
    path, references = make_warehouse(tmp_path, case)
    first = describe_figures(path, references)
    reverse_rows(path)
    assert len(first) > 25
    again = describe_figures(path, references)
    assert [name for name in first if again[name] != first[name]] == []


@pytest.mark.long
def test_two_processes_with_other_seeds_and_threads_write_the_same_bytes(tmp_path):
    path, references = make_warehouse(tmp_path, Case(lfv_paths=("notta",)))
    names = ("frame_profile", "rule_information_images", "axis1_blockmap_image_0", "lesion_risk")
    first, again = (
        draw_in_a_process(path, references, tmp_path / f"of{threads}", threads, names)
        for threads in (1, 3)
    )
    assert len(first) == 13
    assert first == again


@pytest.mark.long
@pytest.mark.parametrize("stopped_at", [0, 2])
def test_a_drawing_that_was_stopped_leaves_what_stands_and_the_next_is_the_same(
    tmp_path, monkeypatch, stopped_at
):
    path, references = make_warehouse(tmp_path, Case())
    plan = figures_study.plan_figures

    def plan_some(*arguments):
        return dict(list(plan(*arguments).items())[3:6])

    monkeypatch.setattr(figures_study, "plan_figures", plan_some)
    folder = tmp_path / "figures"
    draw_figures(path, references, folder)
    before = {file: file.read_bytes() for file in folder.iterdir()}
    (folder / "manifest.json").write_text("signed")

    def stop(done, *_):
        if done > stopped_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_figures(path, references, folder, stop)
    assert (folder / "manifest.json").read_text() == "signed"
    assert {file: file.read_bytes() for file in before} == before
    draw_figures(path, references, folder)
    assert {file: file.read_bytes() for file in folder.iterdir()} == before
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_a_language_without_a_font_is_refused_before_anything_is_touched(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "can_draw_japanese", lambda: False)
    path, references = make_warehouse(tmp_path, Case())
    folder = tmp_path / "figures"
    folder.mkdir()
    (folder / "manifest.json").write_text("signed")
    (folder / "frame_profile.png").write_text("drawn")
    with pytest.raises(StudyError, match="apt-get install fonts-noto-cjk"):
        draw_figures(path, references, folder, None, "ja")
    assert (folder / "manifest.json").read_text() == "signed"
    assert {entry.name for entry in folder.iterdir()} == {"manifest.json", "frame_profile.png"}


def test_a_renderer_that_cannot_start_is_one_line(tmp_path, monkeypatch):
    def fail(_):
        raise ValueError("conversion failed: oneshot canceled")

    monkeypatch.setattr(output.vl_convert, "vegalite_to_svg", fail)
    path, references = make_warehouse(tmp_path, Case())
    with pytest.raises(StudyError, match="ulimit -n 256"):
        draw_figures(path, references, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()
