"""Under --no-skips a test that stays away for want of a package fails the run."""

import os
import subprocess
import sys

import pytest

SKIPS = """
import pytest


def test_that_runs():
    pass


@pytest.mark.skipif(True, reason="no such program")
def test_without_a_program():
    raise RuntimeError


@pytest.mark.shared_data
@pytest.mark.skipif(True, reason="no radiographs")
def test_without_radiographs():
    raise RuntimeError
"""


@pytest.mark.long
@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("chosen", "option", "code"),
    [
        ("test_without_a_program", (), 0),
        ("test_without_a_program", ("--no-skips",), 1),
        ("test_without_radiographs", ("--no-skips",), 0),
    ],
)
def test_only_radiographs_may_be_missing(repository, tmp_path, chosen, option, code, workers):
    path = tmp_path / "test_skips.py"
    path.write_text(SKIPS, encoding="utf-8")
    ran = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", *option,
            "-c", str(repository / "pyproject.toml"), "-p", "tests.conftest", "-n", workers,
            f"{path}::test_that_runs", f"{path}::{chosen}",
        ],
        capture_output=True,
        text=True,
        cwd=repository,
        # CI gives the option to every run by this variable.
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
    )  # fmt: skip
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert ("skipped under --no-skips" in ran.stdout) == (code == 1)
