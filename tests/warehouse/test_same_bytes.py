"""Every file under exports/ and figures/ is the same bytes on every run, killed or not."""

import os
import shutil
import signal
import subprocess
import sys

import pytest

RUN = """
import sys
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.cli.drawing import draw_figures
from upscale_audit.warehouse.export import export_tables

study, threads = load_study(sys.argv[1]), int(sys.argv[2])
steps = {
    "ingest": lambda: ingest_study(study, workers=threads),
    "build": lambda: build_warehouse(study, threads=threads),
    "export": lambda: export_tables(study),
    "figures": lambda: draw_figures(study),
}
for name, step in steps.items():
    print(name, flush=True)
    step()
"""


@pytest.fixture
def run(small_study, repository):
    """Give a runner of all stages in a process of its own; `killed_in` names where it ends."""

    def start(threads, killed_in=None, after_s=0.5):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(small_study.path), str(threads)],
            env=os.environ | {"PYTHONHASHSEED": str(threads), "POLARS_MAX_THREADS": str(threads)},
            cwd=repository,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        with process:
            for line in process.stdout:
                if line.strip() == killed_in:
                    with pytest.raises(subprocess.TimeoutExpired):
                        process.wait(after_s)
                    process.send_signal(signal.SIGKILL)
        return process.returncode

    return start


def test_exports_and_figures_are_the_same_bytes_however_run(small_study, run, read_tree):
    pytest.importorskip("altair", reason="figures need the extra figures")

    def read():
        return {
            f"{stage}/{name}": data
            for stage in ("exports", "figures")
            for name, data in read_tree(small_study.output / stage).items()
        }

    shutil.rmtree(small_study.output)
    assert run(1) == 0
    first = read()
    assert {"exports/manifest.json", "figures/manifest.json"} < set(first)
    assert len(first) > 100
    shutil.rmtree(small_study.output)
    for stage in ("build", "export", "figures"):
        assert run(3, killed_in=stage) == -signal.SIGKILL
    assert run(3) == 0
    again = read()
    assert [name for name in first if again.get(name) != first[name]] == []
    assert set(again) == set(first)
