"""A run of everything leaves long tests out, unless it is told otherwise; what is named runs."""

import os
import subprocess
import sys

import pytest

TESTS = """
import pytest


def test_that_is_short():
    pass


@pytest.mark.long
def test_that_takes_its_time():
    pass
"""


@pytest.mark.long
@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("named", "option", "passed"),
    [([], (), 1), ([], ("--long",), 2), (["here/test_both.py"], (), 2)],
)
def test_long_tests_run_where_they_are_wanted(repository, tmp_path, named, option, passed, workers):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "test_both.py").write_text(TESTS, encoding="utf-8")
    settings = (repository / "pyproject.toml").read_text(encoding="utf-8")
    settings = settings.replace('testpaths = ["tests"]', 'testpaths = ["here"]')
    (tmp_path / "pyproject.toml").write_text(settings, encoding="utf-8")
    ran = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", *option,
            "-p", "tests.conftest", "-n", workers, *named,
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        # CI gives options to every run by this variable.
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
        | {"PYTHONPATH": str(repository)},
    )  # fmt: skip
    assert f"{passed} passed" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0
