"""docs/add-a-mart.md as it is written, step by step, in a clone of its own."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.long

ROOMS = ("analysis", "dbt_project", "ingest", "restore", "warehouse")
FILE = re.compile(r"In\s+`([\w./-]+)`:\n\n```\w+\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ upscale-audit (.*)$", re.MULTILINE)
SCRIPT = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture(scope="module")
def page(repository):
    """Give the page's text."""
    return (repository / "docs" / "add-a-mart.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def clone(repository, new_study_folder, tmp_path_factory):
    """Give a copy of the code that runs by itself, with a small study in place of the sample."""
    root = tmp_path_factory.mktemp("clone") / "upscale_audit"
    for name in ROOMS:
        shutil.copytree(repository / name, root / name)
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copyfile(repository / name, root / name)
    folder = new_study_folder(root / "sample")
    folder.add_model("alpha")
    folder.add_model("beta", paths=("notta",))
    for image_id in ("a", "b", "c"):
        folder.add_image(image_id)
    folder.load(output="../build/sample")
    return root


@pytest.fixture(scope="module")
def run(clone):
    """Give a function that runs Python in the clone, on the clone's own code."""
    environment = os.environ | {"PYTHONPATH": str(clone.parent)}

    def call(*arguments, code=0):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=clone,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return call


@pytest.fixture(scope="module")
def audit(run):
    """Give a function that runs upscale-audit in the clone."""

    def call(arguments, code=0):
        return run("-m", "upscale_audit.warehouse.cli", *shlex.split(arguments), code=code)

    return call


@pytest.fixture(scope="module")
def followed(page, clone, run, audit):
    """Follow the page to its end; give what each of its commands printed."""
    audit("run sample/study.toml")
    published = (clone / "build/sample/warehouse.duckdb").read_bytes()
    for name, text in FILE.findall(page):
        path = clone / name
        assert not path.exists()
        path.write_text(text, encoding="utf-8")
    printed = {}
    for command in COMMAND.findall(page):
        if command.startswith("run"):
            # Nothing that went before has touched the published file.
            assert (clone / "build/sample/warehouse.duckdb").read_bytes() == published
        done = audit(command)
        assert "WARNING" not in done.stderr
        printed[command] = done.stdout
    (script,) = SCRIPT.findall(page)
    return printed, run("-c", script).stdout


def test_the_page_has_what_it_speaks_of(page):
    assert [name.rpartition("/")[2] for name, _ in FILE.findall(page)] == [
        "mart_brightness.sql",
        "_brightness__models.yml",
        "who_brightens.sql",
    ]
    assert [command.split()[0] for command in COMMAND.findall(page)] == ["dbt", "dbt", "run"]


def test_the_new_mart_is_built_and_tested_in_the_copy(followed):
    built, shown, _ = followed[0].values()
    assert "PASS=6 WARN=0 ERROR=0" in built
    assert "a_block_that_did_not_move_is_not_brighter" in built
    assert "brighter_ratio" in shown


def test_the_new_mart_is_published_exported_and_drawn_from(followed, clone):
    exports = clone / "build/sample/exports"
    rows = pq.ParquetFile(exports / "mart_brightness.parquet").read().to_pylist()
    assert [(row["model_id"], row["image_id"]) for row in rows] == [
        (model_id, image_id) for model_id in ("alpha", "beta") for image_id in "abc"
    ]
    assert "mart_brightness.parquet" in (exports / "SHA256SUMS").read_text()
    assert "median_shift_dn" in followed[1]


def count_blocks(audit):
    shown = audit(
        "dbt sample/study.toml show --inline \"select count(*) as n from {{ ref('fct_blocks') }}\""
    ).stdout
    return int(re.search(r"^\|\s+(\d+) \|$", shown, flags=re.MULTILINE)[1])


@pytest.mark.usefixtures("followed")
def test_every_dbt_command_works_in_the_copy_as_often_as_one_likes(audit, clone):
    published = (clone / "build/sample/warehouse.duckdb").read_bytes()
    for arguments in (
        "build",
        "build --select fct_blocks+1 --full-refresh",
        "run --select fct_blocks",
        "test",
        "compile --select mart_brightness",
        "ls --select mart_brightness",
        "docs generate",
    ):
        audit(f"dbt sample/study.toml {arguments}")
    assert count_blocks(audit) == 2 * 3 * 6
    assert (clone / "build/sample/warehouse.duckdb").read_bytes() == published
    assert (clone / "build/sample/dev/target/catalog.json").is_file()


@pytest.mark.usefixtures("followed")
def test_what_fails_in_the_copy_exits_with_1_and_what_the_study_decides_is_refused(audit):
    assert (
        "was not found" in audit('dbt sample/study.toml show --inline "select nothing"', 1).stdout
    )
    for option in ("--vars", "-t", "--project-dir=x"):
        said = audit(f"dbt sample/study.toml build {option} x", 1).stderr
        assert said.startswith(f"upscale-audit: {option.split('=')[0]} is given to dbt by this")
        assert said.count("\n") == 1
    assert "expected a dbt command" in audit("dbt sample/study.toml", 1).stderr


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize("command", ["build", "dbt"])
def test_a_mart_without_a_grain_is_one_line_before_dbt_runs(audit, clone, command):
    path = clone / "dbt_project/models/marts/axis/_brightness__models.yml"
    text = path.read_text(encoding="utf-8")
    stated = (
        "grain: [model_id, image_id]}}\n    data_tests:\n      - unique_grain: {arguments: {col"
    )
    assert text.count(stated) == 1
    arguments = f"{command} sample/study.toml" + (" build" if command == "dbt" else "")
    try:
        for grain, words in {
            "x: 1": "states no grain",
            "grain: [nowhere]": "'nowhere' in its",
        }.items():
            path.write_text(
                text.replace(stated, stated.replace("grain: [model_id, image_id]", grain))
            )
            done = audit(arguments, 1)
            assert done.stderr.count("\n") == 1
            assert "dbt_project/models/marts/axis/mart_brightness.sql" in done.stderr
            assert words in done.stderr
            assert "docs/add-a-mart.md" in done.stderr
            assert done.stdout == ""
    finally:
        path.write_text(text, encoding="utf-8")


@pytest.mark.usefixtures("followed")
def test_dbt_by_itself_says_in_a_line_what_to_run(run, clone, tmp_path):
    project = str(clone / "dbt_project")
    done = run(
        "-c",
        "from dbt.cli.main import cli; cli()",
        *("build", "--project-dir", project, "--profiles-dir", project),
        *("--target-path", str(tmp_path), "--log-path", str(tmp_path)),
        code=2,
    )
    assert "run upscale-audit dbt STUDY.toml with the same arguments" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
