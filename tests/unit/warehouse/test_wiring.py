"""What a user types reaches what does the work: every option of a command, in its place."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from upscale_audit.warehouse.cli import building, drawing, proving
from upscale_audit.warehouse.cli import main as cli

STUDY = Path(__file__).resolve().parents[3] / "sample" / "study.toml"


def call(*arguments):
    """Run a command and give its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in arguments])
    return ended.value.code


class Recorder:
    """Takes the place of what does the work, and keeps what it was called with."""

    def __init__(self, **attributes):
        self.calls = []
        self._report = SimpleNamespace(**attributes)

    def __call__(self, *arguments, **named):
        self.calls.append((arguments[1:], named))
        return self._report


def test_run_ingests_builds_exports_draws_and_reports_in_this_order(monkeypatch):
    done = []
    steps = ("ingest", "build", "export", "draw_figures", "write_study_report")
    for name in steps:
        monkeypatch.setattr(
            building,
            name,
            lambda study, *rest, name=name, **named: done.append((name, rest, named)) or 3,
        )
    assert call("run", STUDY, "--workers", 2, "--memory", 5) == 3
    assert [name for name, *_ in done] == list(steps)
    assert done[0][1:] == ((2,), {"memory_gib": 5})
    # What was just built is not hashed again.
    assert {step[2].get("check") for step in done[2:]} == {"built"}


def test_build_passes_threads_and_the_cluster_on(monkeypatch):
    made = Recorder(
        stands=False, resumed=False, carried_blocks=1, axis_alignment=None, least_alignment=0.9,
        warehouse="w", bytes=1, tests=1, sources_root="r",
    )  # fmt: skip
    monkeypatch.setattr("upscale_audit.warehouse.build.build_warehouse", made)
    monkeypatch.setattr(
        "upscale_audit.ingest.cluster.open_cluster", lambda address: nullcontext((address, 5))
    )
    assert call("build", STUDY, "--threads", 3, "--cluster", "tcp://10.0.0.1:8786") == 0
    ((threads, _, executor, workers), _) = made.calls[0]
    assert (threads, executor, workers) == (3, "tcp://10.0.0.1:8786", 5)


@pytest.mark.parametrize(
    ("words", "table", "labels", "has_floats", "check"),
    [
        ((), None, "published", False, "hash"),
        (("--table", "dim_models", "--table", "dim_images"), ["dim_models", "dim_images"],
         "published", False, "hash"),
        (("--labels", "ja", "--floats", "--no-check"), None, "ja", True, "skip"),
    ],
)  # fmt: skip
def test_export_passes_every_option_on(monkeypatch, words, table, labels, has_floats, check):
    made = Recorder(files=1, folder="f", bytes=1, root="r")
    monkeypatch.setattr("upscale_audit.warehouse.export.export_tables", made)
    assert call("export", STUDY, *words) == 0
    ((tables, _), named) = made.calls[0]
    assert tables == table
    assert named == {"labels": labels, "check": check, "has_floats": has_floats}


def test_paper_takes_the_date_for_the_date_and_the_licence_for_the_licence(monkeypatch):
    made = Recorder(
        files=1, folder="f", bytes=1, archive="a", archive_sha256="0", date="d", root="r", notes=()
    )
    monkeypatch.setattr(proving, "load_extra", lambda *_: SimpleNamespace(write_paper=made))
    words = ("--folder", "out", "--date", "2026-01-31", "--license", "CC-BY-4.0")
    assert call("paper", STUDY, *words) == 0
    assert made.calls[0][0][:3] == (Path("out"), "2026-01-31", "CC-BY-4.0")


@pytest.fixture
def drawn(monkeypatch):
    """Give what the functions that draw maps were called with; nothing is drawn."""
    made = Recorder()
    module = SimpleNamespace(draw_map=made, draw_worst=made, write_quantity_map=made)
    monkeypatch.setattr(drawing, "_load", lambda _: module)

    def draw(study, check, command, arguments, draw):
        draw(Path("fresh"))
        return [Path("maps/map.png"), Path("maps/map.csv")]

    monkeypatch.setattr(drawing, "_draw_sealed", draw)
    return made


@pytest.mark.parametrize("path", ["notta", "tta"])
def test_a_map_is_of_the_path_and_of_all_else_that_is_asked_for(drawn, path):
    words = ("--path", path, "--patch", 16, "--lang", "ja", "--also", "bicubic")
    assert call("map", STUDY, "rg1_r0c1", "upscayl_standard", *words) == 0
    (arguments, named) = drawn.calls[0]
    assert arguments == ("rg1_r0c1", "upscayl_standard", path)
    assert named == {
        "patch_px": 16, "language": "ja", "also": ["bicubic"], "folder": Path("fresh"),
        "mark": None,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["notta", "tta"])
def test_a_map_of_a_quantity_is_of_the_path_that_is_asked_for(drawn, path):
    words = ("--quantity", "mse_dn2", "--path", path, "--plain", "--width", 85)
    assert call("map", STUDY, "rg1_r0c1", *words) == 0
    (arguments, named) = drawn.calls[0]
    assert arguments == ("rg1_r0c1", "mse_dn2", Path("fresh"))
    assert named == {"path": path, "model_id": None, "plain": True, "width_mm": 85}


def test_the_worst_images_are_of_the_model_path_and_number_that_are_asked_for(drawn):
    words = ("--path", "tta", "--count", 7, "--lang", "ja")
    assert call("worst", STUDY, "upscayl_standard", *words) == 0
    assert drawn.calls[0][0] == ("upscayl_standard", "tta", 7, "ja", Path("fresh"))
