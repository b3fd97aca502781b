"""The command line: help with examples, one-line errors, exit codes."""

import argparse
import errno
import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from upscale_audit.analysis.lqd.measure import PATCH_SIZES_PX
from upscale_audit.analysis.output import WIDTHS_MM, Print
from upscale_audit.ingest import compiled
from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.cli import drawing, options
from upscale_audit.warehouse.cli import main as cli
from upscale_audit.warehouse.cli import progress as progress_module
from upscale_audit.warehouse.cli.options import LABEL_LANGUAGES
from upscale_audit.warehouse.cli.progress import Progress
from upscale_audit.warehouse.proof import provenance
from upscale_audit.warehouse.published_form import LANGUAGES

COMMANDS = (
    "run",
    "ingest",
    "build",
    "freeze",
    "export",
    "figures",
    "replication",
    "explore",
    "docs",
    "dbt",
    "verify",
    "prove",
    "paper",
    "map",
    "worst",
)
MORE_ARGUMENTS = {"map": ("rg1_r0c1", "upscayl_standard"), "worst": ("upscayl_standard",)}


def run_cli(capsys, *arguments):
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as exit_info:
        cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return exit_info.value.code, captured.out, captured.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_an_example(capsys, command):
    code, out, _ = run_cli(capsys, command, "--help")
    assert code == 0
    assert f"upscale-audit {command} sample/study.toml" in out


def test_checking_hashes_has_help_and_an_example(capsys):
    code, out, _ = run_cli(capsys, "check-hashes", "--help")
    assert code == 0
    assert "upscale-audit check-hashes SHA256SUMS --folder images" in out


def test_the_help_lists_every_command_and_exit_code(capsys):
    code, out, _ = run_cli(capsys, "--help")
    assert code == 0
    listed = {line.split()[0] for line in out.splitlines() if line.startswith("    ")}
    assert listed >= set(COMMANDS)
    assert "mart_rejects" in out


def test_the_help_loads_no_library_and_so_is_there_at_once():
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from upscale_audit.warehouse.cli.main import make_parser\n"
        "make_parser().format_help()\n"
        "loaded = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(*loaded - sys.stdlib_module_names)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "upscale_audit\n"


def test_the_version_is_that_of_the_package(capsys):
    code, out, _ = run_cli(capsys, "--version")
    assert (code, out) == (0, f"upscale-audit {importlib.metadata.version('upscale-audit')}\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_missing_study_is_one_line_that_names_the_repair(capsys, tmp_path, command):
    code, out, err = run_cli(
        capsys, command, tmp_path / "none.toml", *MORE_ARGUMENTS.get(command, ())
    )
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "study.example.toml" in err


def test_a_reader_that_has_enough_ends_a_command_without_a_word(tmp_path):
    names = [f"{number:05d}.png" for number in range(5000)]
    (tmp_path / "SHA256SUMS").write_text("".join(f"{'0' * 64}  {name}\n" for name in names))
    words = ["check-hashes", str(tmp_path / "SHA256SUMS"), "--folder", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "upscale_audit.warehouse.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline().startswith(b"status,name,")
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 141
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


PROGRAM = f"{sys.executable} -m upscale_audit.warehouse.cli"


@pytest.fixture
def lists(tmp_path):
    """Give the words that hold a folder against a list: some rows, or more than a buffer takes."""

    def write(count):
        lines = (f"{'0' * 64}  {number:05d}.png\n" for number in range(count))
        (tmp_path / "SHA256SUMS").write_text("".join(lines))
        return f"check-hashes {tmp_path}/SHA256SUMS --folder {tmp_path}"

    return write


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("count", [3, 5000])
def test_output_that_is_not_taken_is_one_line(lists, count, unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    command = f"{PROGRAM} {lists(count)} > /dev/full"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=environment, check=False
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("upscale-audit: ")]
    assert done.returncode == 1
    assert said == [
        "upscale-audit: cannot write to standard output: No space left on device; free some space"
        " where it goes, or send it elsewhere"
    ]
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_caller_that_closed_a_stream_is_served(lists, closed):
    command = f"{PROGRAM} {lists(3)} {closed}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert ("missing,00002.png" in done.stdout) == (">&-" not in closed.split())
    assert ("0 matched" in done.stderr) == ("2>&-" not in closed)
    assert "Traceback" not in done.stderr


def test_a_wrong_command_line_exits_with_2(capsys):
    assert run_cli(capsys, "ingest")[0] == 2
    assert run_cli(capsys, "ingest", "study.toml", "--workers", "0")[0] == 2
    assert run_cli(capsys, "worst", "study.toml", "m", "--count", "0")[0] == 2
    assert run_cli(capsys, "export", "study.toml", "--labels", "fr")[0] == 2
    assert run_cli(capsys, "figures", "study.toml", "--lang", "fr")[0] == 2


def test_labels_are_of_the_published_form_which_an_export_of_one_table_leaves_out(capsys):
    assert LABEL_LANGUAGES == LANGUAGES
    code, _, err = run_cli(capsys, "export", "study.toml", "--table", "a", "--labels", "en")
    assert code == 2
    assert "not allowed with argument --table" in err


def test_figures_are_drawn_and_signed_off_in_the_language_asked_for(
    monkeypatch, capsys, tiny_study
):
    study, sealed = tiny_study.load(), []
    figures = SimpleNamespace(draw_figures=lambda *given: [given[4]], Print=Print)
    monkeypatch.setattr(drawing, "_load", lambda name: figures)
    monkeypatch.setattr(provenance, "seal_figures", lambda *given: sealed.append(given))
    printed = ["--width", "174", "--plain"]
    for words in ([], ["--lang", "ja"], printed):
        assert run_cli(capsys, "figures", str(study.path), *words)[0] == 0
    assert [given[1] for given in sealed] == [["en"], ["ja"], ["en"]]
    assert [given[3] for given in sealed] == [[], ["--lang", "ja"], printed]


def test_the_widths_of_the_command_line_are_those_that_figures_have():
    assert options.WIDTHS_MM == WIDTHS_MM
    assert options.PATCHES_PX == PATCH_SIZES_PX


def test_a_map_is_of_a_model_or_of_a_quantity(capsys, tiny_study):
    path = str(tiny_study.load().path)
    for words, said in (
        (["a"], "without --quantity a map is of one MODEL_ID"),
        (["a", "alpha", "--plain"], "has neither --plain nor --width"),
        (["a", "--quantity", "mse_dn2", "--lang", "ja"], "--lang does not go with a --quantity"),
        (["a", "--trust", "0.1", "--patch", "16"], "--patch does not go with --trust"),
        (["a", "--trust", "0.1", "--quantity", "mse_dn2"], "--quantity and --trust draw different"),
        (["a", "alpha", "--score", "lr_rms_dn"], "--score and --loss need --trust"),
    ):
        code, _, err = run_cli(capsys, "map", path, *words)
        assert code == 1
        assert said in err


def test_a_refused_drawing_leaves_the_figures_that_stand_signed(monkeypatch, capsys, tiny_study):
    def refuse(*_):
        raise StudyError("no font")

    study = tiny_study.load()
    manifest = study.output / "figures" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("signed")
    monkeypatch.setattr(
        drawing, "_load", lambda _: SimpleNamespace(draw_figures=refuse, Print=Print)
    )
    assert run_cli(capsys, "figures", str(study.path), "--lang", "ja")[0] == 1
    assert manifest.read_text() == "signed"


def test_a_list_or_a_licence_beside_the_images_is_said_and_nothing_failed(capsys, tiny_study):
    study = tiny_study.load()
    (study.references / "LICENSE.txt").write_text("x")
    code, _, said = run_cli(capsys, "ingest", str(study.path))
    assert code == 0
    assert "1 files are no images: mart_rejects lists them" in said
    assert "refused" not in said


def test_an_ingest_with_rejects_is_done_and_exits_with_3(capsys, tiny_study):
    tiny_study.put("b.png", b"text", "alpha")
    study = tiny_study.load()
    code, out, err = run_cli(capsys, "ingest", study.path)
    assert (code, out) == (3, "")
    said = [line for line in err.splitlines() if "refused" in line]
    assert len(said) == 1
    assert said[0].startswith("refused 'b.png' (restored, alpha, notta): not_an_image, ")
    assert (study.raw / "manifest.json").is_file()


def test_a_missing_image_is_reported_and_no_failure(capsys, tiny_study):
    (tiny_study.folder("alpha", "tta") / "a.png").unlink()
    code, _, err = run_cli(capsys, "ingest", tiny_study.load().path)
    assert code == 0
    assert "1 restored image missing" in err


def test_progress_without_a_terminal_is_plain_lines(capsys):
    with Progress("ingest", "images") as progress:
        progress(1, 4)
        progress(4, 4)
    err = capsys.readouterr().err
    assert err.startswith("ingest: 4/4 images")
    assert err.count("\n") == 1


def test_what_is_left_is_said_at_the_rate_since_the_first_unit_ended(monkeypatch, capsys):
    # A start of 60 s, then a unit a second.
    clock = iter([0.0, 60.0, 65.0, 70.0, 160.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with Progress("build", "nodes") as progress:
        for done in (1, 6, 11, 101):
            progress(done, 101)
    assert capsys.readouterr().err.splitlines() == [
        "build: 1/101 nodes, 60 s",
        "build: 6/101 nodes, 65 s",
        "build: 11/101 nodes, 70 s, about 90 s left",
        "build: 101/101 nodes, 160 s",
    ]


def test_what_is_left_of_another_unit_is_reckoned_for_itself(monkeypatch, capsys):
    clock = iter([0.0, 10.0, 20.0, 30.0, 50.0, 60.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(clock))
    with Progress("build", "dbt nodes") as progress:
        for done in (14, 28, 42):
            progress(done, 42, f"part {done}", "tables of parts")
        for done in (1, 11):
            progress(done, 101, "fct_blocks")
    assert capsys.readouterr().err.splitlines() == [
        "build: 14/42 tables of parts, 10 s",
        "build: 28/42 tables of parts, 20 s, about 10 s left",
        "build: 42/42 tables of parts, 30 s",
        "build: 1/101 dbt nodes, 50 s",
        "build: 11/101 dbt nodes, 60 s, about 90 s left",
    ]


def test_more_rejects_than_are_said_are_counted(capsys, tiny_study):
    for image_id in ("a", "b", "c"):
        for model_id, path in (("alpha", "notta"), ("alpha", "tta"), ("beta", "notta")):
            tiny_study.put(f"{image_id}.png", b"text", model_id, path)
    _, _, err = run_cli(capsys, "ingest", tiny_study.load().path)
    assert err.count("refused '") == 5
    assert "9 files were refused in all: mart_rejects lists them" in err


def test_who_waits_for_a_compilation_is_told(monkeypatch, capsys, tiny_study):
    study = tiny_study.load()
    for is_known, count in ((True, 0), (False, 1)):
        monkeypatch.setattr(compiled, "is_compiled", lambda known=is_known: known)
        assert run_cli(capsys, "ingest", study.path)[2].count("compiling the kernels") == count


def test_progress_on_a_terminal_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Progress("build", "dbt nodes") as progress:
        progress(1, 4, "fct_blocks")
        assert progress._bar.tasks[0].completed == 1
        progress(21, 42, "part 0", "tables of parts")
        found = [(task.completed, task.fields["unit"]) for task in progress._bar.tasks]
        assert found == [(1, "dbt nodes"), (21, "tables of parts")]


def test_the_main_job_imports_no_network_library_and_no_plotting_until_it_draws():
    code = (
        "import sys, warehouse.cli.main, warehouse.build, warehouse.export, ingest.run;"
        "names = ('torch', 'ncnn', 'spandrel', 'restore', 'altair', 'polars', 'dbt');"
        "print([name for name in names if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("alignment", "is_said"), [(0.9, False), (0.899, True), (None, False)])
def test_a_basis_that_is_not_the_studys_is_said_in_a_line(
    monkeypatch, capsys, tiny_study, alignment, is_said
):
    from upscale_audit.warehouse.build import BuildReport

    report = BuildReport(
        tiny_study.root, 0, "", axis_basis="standard-1", axis_alignment=alignment,
        least_alignment=0.9,
    )  # fmt: skip
    monkeypatch.setattr("upscale_audit.warehouse.build.build_warehouse", lambda *_: report)
    code, _, said = run_cli(capsys, "build", tiny_study.load().path)
    assert code == 0
    assert ("the axis standard-1 is not this study's" in said) == is_said


def test_a_build_that_makes_nothing_says_so_and_claims_no_publication(
    monkeypatch, capsys, tiny_study
):
    from upscale_audit.warehouse.build import BuildReport

    report = BuildReport(tiny_study.root / "warehouse.duckdb", 0, "", stands=True)
    monkeypatch.setattr("upscale_audit.warehouse.build.build_warehouse", lambda *_: report)
    code, _, said = run_cli(capsys, "build", tiny_study.load().path)
    assert code == 0
    assert "nothing changed since" in said
    assert "published" not in said
    assert "built from nothing" not in said


def list_commands(parser, words=()):
    """Every command's words and parser, those of groups too."""
    groups = [item for item in parser._actions if isinstance(item, argparse._SubParsersAction)]
    if not groups:
        yield " ".join(words), parser
    for group in groups:
        for word, found in group.choices.items():
            yield from list_commands(found, (*words, word))


def test_no_command_asks_for_an_option_that_it_does_not_have():
    commands = dict(list_commands(cli.make_parser()))
    assert {"freeze", "codec train", "check-hashes"} < set(commands)
    for words, parser in commands.items():
        asked = re.findall(r"\boptions\.(\w+)", inspect.getsource(parser.get_default("run")))
        known = {action.dest for action in parser._actions} | set(parser._defaults)
        assert set(asked) <= known, words


class PanicException(BaseException):
    """As a library in Rust raises: no Exception."""


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, "Too many open files"),
        PanicException(
            'called `unwrap()` on an `Err` value: Os { code: 24, "Too many open files" }'
        ),
    ],
)
def test_too_few_file_handles_are_one_line_whoever_says_so(capsys, monkeypatch, error, tmp_path):
    def fail(*_):
        raise error

    monkeypatch.setattr(drawing, "load_study", fail)
    code, _, err = run_cli(capsys, "figures", tmp_path)
    assert code == 1
    assert err.startswith("upscale-audit: too few file handles")
    assert err.count("\n") == 1


def test_what_is_no_lack_of_handles_stays_a_bug(monkeypatch, tmp_path):
    def fail(*_):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(drawing, "load_study", fail)
    with pytest.raises(PanicException):
        cli.main(["figures", str(tmp_path)])
