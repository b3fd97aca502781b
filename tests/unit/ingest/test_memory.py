"""Workers are as many as the memory holds."""

import io
import logging
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest import memory
from upscale_audit.ingest.memory import (
    BLOCK_BYTES_PER_PX,
    COLOUR_BYTES_PER_PX,
    GREY_BYTES_PER_PX,
    NETWORK_BYTES_PER_PX,
    SCAN_BYTES_PER_PX,
    WORKER_BYTES,
    count_workers,
    estimate_need,
    find_memory,
    peek_size,
)
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import IngestParameters


def save(path, size, mode="L", **options):
    Image.new(mode, size).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("memory_bytes", "workers"), [(0, 1), (9, 1), (10, 1), (19, 1), (20, 2), (80, 8), (10**9, 8)]
)
def test_workers_are_as_many_as_fit_and_no_more_than_cores(memory_bytes, workers):
    assert count_workers(8, 10, memory_bytes) == workers


def test_nine_tenths_of_what_is_free_are_taken(monkeypatch):
    monkeypatch.setattr(memory, "find_memory", lambda: 100)
    assert count_workers(8, 30) == 3
    assert count_workers(8, 31) == 2
    monkeypatch.setattr(memory, "find_memory", lambda: None)
    assert count_workers(8, 31) == 8


def test_the_need_is_that_of_the_largest_image_that_is_not_refused(tmp_path):
    small = save(tmp_path / "a.png", (100, 10))
    large = save(tmp_path / "b.png", (200, 10))
    colour = save(tmp_path / "c.png", (150, 10), "RGB")
    limits = IngestParameters(max_image_px=2000)
    cases = [
        ([], 0),
        ([small], 1000 * GREY_BYTES_PER_PX),
        ([small, large], 2000 * GREY_BYTES_PER_PX),
        ([small, large, colour], 1500 * COLOUR_BYTES_PER_PX),
        ([small, save(tmp_path / "d.png", (201, 10))], 1000 * GREY_BYTES_PER_PX),
    ]
    for paths, expected in cases:
        assert estimate_need(paths, limits) == WORKER_BYTES + expected
    with_network = 1000 * (GREY_BYTES_PER_PX + NETWORK_BYTES_PER_PX)
    assert estimate_need([small], limits, has_network=True) == WORKER_BYTES + with_network
    blocks_only = IngestParameters(image_metrics=False)
    assert estimate_need([colour], blocks_only) == WORKER_BYTES + 1500 * BLOCK_BYTES_PER_PX
    scanned = 1500 * (BLOCK_BYTES_PER_PX + 2 * SCAN_BYTES_PER_PX)
    assert estimate_need([colour], blocks_only, patch_sizes=2) == WORKER_BYTES + scanned


def test_sizes_are_read_from_headers(tmp_path):
    assert peek_size(save(tmp_path / "a.png", (30, 20))) == (600, False)
    assert peek_size(save(tmp_path / "b.png", (30, 20), "LA")) == (600, False)
    assert peek_size(save(tmp_path / "c.png", (30, 20), "P")) == (600, True)
    assert peek_size(save(tmp_path / "a.jpg", (30, 20))) == (600, False)
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000  # a header longer than what is read at first
    assert peek_size(save(tmp_path / "b.jpg", (30, 20), "RGB", exif=exif)) == (600, True)


def test_what_cannot_be_read_counts_as_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "text.png").write_text("no image")
    buffer = io.BytesIO()
    Image.new("L", (30, 20)).save(buffer, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:30])
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("pipe.png", "text.png", "cut.jpg", "cut.png", "absent.png"):
        assert peek_size(tmp_path / name) == (0, False), name


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of files: give what they say by name."""
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_CGROUP_ROOT", tmp_path / "fs")

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


def test_nothing_is_known_where_nothing_can_be_read(machine):
    assert find_memory() is None
    machine({"meminfo": "MemTotal: 90 kB\nMemAvailable: 50 kB\n"})
    assert find_memory() == 50 * 1024


@pytest.mark.parametrize("folder", ["fs/batch/job", "fs/batch", "fs"])
def test_the_narrowest_control_group_above_a_process_counts(machine, folder):
    machine({"meminfo": "MemAvailable: 50 kB\n", "cgroup": "1:cpu:/x\n0::/batch/job\n"})
    for place in ("fs/batch/job", "fs/batch", "fs"):
        machine({f"{place}/memory.max": "max\n", f"{place}/memory.current": "7\n"})
        machine({f"{place}/memory.stat": "anon 1\ninactive_file 5\n"})
    assert find_memory() == 50 * 1024
    machine({f"{folder}/memory.max": "1000\n"})
    assert find_memory() == 1000 - 7 + 5


def test_control_groups_of_version_1_count_too(machine):
    machine({"cgroup": "4:cpuset,memory:/job\n", "fs/memory/job/memory.stat": "inactive_file 0\n"})
    machine({"fs/memory/job/memory.limit_in_bytes": "900\n"})
    machine({"fs/memory/job/memory.usage_in_bytes": "1000\n"})
    assert find_memory() == 0


def test_fewer_workers_than_cores_are_said_and_change_nothing(
    tiny_study, monkeypatch, caplog, read_rows
):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    study = tiny_study.load()
    with caplog.at_level(logging.WARNING):
        ingest_study(study, memory_bytes=WORKER_BYTES)
    assert "1 of 64 cores are used: the largest image takes 0.3 GB a worker" in caplog.text
    assert len(read_rows(study.raw, "blocks")) > 0


INGEST = """
import re, sys
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.workers import keep_to_one_core
keep_to_one_core()
ingest_study(load_study(sys.argv[1]), workers=1)
# Not getrusage's peak: that may be of the process which started this one.
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024)
"""


@pytest.mark.long
@pytest.mark.parametrize("is_colour", [False, True])
def test_a_worker_takes_what_is_reckoned(tmp_path, new_study_folder, repository, is_colour):
    # The small study's worker compiles what is not compiled: that would count too.
    for side in (64, 1600):
        folder = new_study_folder(tmp_path / f"study{side}")
        folder.add_model("alpha", paths=("notta",))
        pixels = np.random.default_rng(1).integers(0, 256, (side, side), np.uint8)
        if is_colour:
            pixels = np.dstack([pixels, pixels // 2, 255 - pixels])
        folder.put("a.png", pixels)
        folder.put("a.png", pixels[::-1].copy(), "alpha")
        study = folder.load()
        done = subprocess.run(
            [sys.executable, "-c", INGEST, str(study.path)],
            cwd=repository, capture_output=True, text=True, check=True,
        )  # fmt: skip
    need = estimate_need([study.references / "a.png"], study.ingest_parameters)
    assert 0.8 * need < int(done.stdout) < need
