"""Every file that is written is the same bytes on every run, killed or not, and processor."""

import os
import platform
import shutil
import subprocess
import sys

import cv2
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

from tests.faults.common import Failure, read_tree
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


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names instructions of x86-64")
def test_raw_files_are_the_same_bytes_on_a_processor_of_the_first_x86_64(sample_study, tmp_path):
    # Kernels are compiled for it, and OpenCV and NumPy kept from all that a newer one can do.
    found = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    known = [name[1:] for name in cv2.getCPUFeaturesLine().split() if name.startswith("*")]
    oldest = {
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path / "kernels"),
        "NPY_DISABLE_CPU_FEATURES": " ".join(found),
        "OPENCV_CPU_DISABLE": ",".join(name.rstrip("?") for name in known),
    }
    script = (
        "import dataclasses, pathlib, sys\n"
        "from upscale_audit.ingest.run import ingest_study\n"
        "from upscale_audit.ingest.study import load_study\n"
        "study = load_study(sys.argv[1])\n"
        "ingest_study(dataclasses.replace(study, output=pathlib.Path(sys.argv[2])), workers=1)\n"
    )
    output = tmp_path / "out"
    subprocess.run(
        [sys.executable, "-c", script, str(sample_study.path), str(output)],
        env=os.environ | oldest,
        check=True,
    )
    written = read_tree(output / "raw")
    assert len(written) > 10
    assert compare(written, read_tree(sample_study.raw)) == []
