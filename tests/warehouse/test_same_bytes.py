"""Every file under exports/ and figures/ is the same bytes on every run, killed or not."""

import shutil

import pytest

from tests.faults.common import Failure
from tests.faults.same_bytes import compare, read_bytes, run_all

pytestmark = pytest.mark.long


def test_exports_and_figures_are_the_same_bytes_however_run(small_study):
    pytest.importorskip("altair", reason="figures need the extra figures")
    output = small_study.output
    shutil.rmtree(output)
    assert "done" in run_all(small_study, output, threads=1, seed=1)
    first = read_bytes(output)
    assert {"exports/manifest.json", "figures/manifest.json", "report.html"} < set(first)
    assert len(first) > 100
    shutil.rmtree(output)
    for stage in ("build", "export", "figures"):
        reached = run_all(small_study, output, 3, 3, killed_in=stage, after_s=0.5)
        assert stage in reached
        assert "done" not in reached
    assert "done" in run_all(small_study, output, threads=3, seed=3)
    assert compare(first, read_bytes(output)) == []


def test_a_run_that_fails_and_bytes_that_differ_are_no_agreement(small_study, tmp_path):
    small_study.path.write_text("[study]\n", encoding="utf-8")
    with pytest.raises(Failure, match="StudyError"):
        run_all(small_study, tmp_path / "out", threads=1, seed=1)
    assert compare({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == ["b", "c"]
