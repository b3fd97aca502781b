"""The build from one million to 328 million block rows: time, CPU, memory, disk, latency.

Each scale's figures are kept in ``build/bench/scale/``, and docs/scale.md and docs/scale.png are
made of all that were measured, so that one scale can be measured again alone.
"""

import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import duckdb

from tests.bench.contenders import compare
from tests.bench.growth import measure_build_growth, measure_ingest_growth
from tests.bench.latency import measure_latency
from tests.bench.processes import measure, size_of
from tests.bench.resample import BLOCKS_PER_IMAGE, resample_study
from tests.bench.scenes import MODELS, clear, make_study
from upscale_audit.ingest.files import write_text
from upscale_audit.ingest.run import ingest_study

IMAGES = {1: 16, 8: 122, 82: 1251, 328: 5004}
"""Images of a study of about so many million block rows; 328 is the published study's size."""

COMPARED_SCALES, EXPORTED_SCALES, GROWN_SCALES = (1, 8), (8,), (8, 82)
"""Scales at which other tools do the same work, exports are compared between limits, and a
study grows."""

REPOSITORY = Path(__file__).resolve().parents[2]
RESULTS = REPOSITORY / "build" / "bench" / "scale"
NODES, GROWTH = "nodes.json", "growth.json"


def measure_scales(scales, folder):
    """Measure the build at some scales, keeping each result.

    Parameters
    ----------
    scales : sequence of int
        Keys of `IMAGES`.
    folder : Path
        Receives the studies, each removed when it is measured: about 70 bytes a block row of raw
        Parquet, 135 of warehouse, and what spills.
    """
    if not scales:
        return
    clear(folder / "source")
    source = make_study(folder / "source")
    ingest_study(source)
    RESULTS.mkdir(parents=True, exist_ok=True)
    growth = measure_ingest_growth(source, folder / "growth")
    write_text(RESULTS / GROWTH, json.dumps(growth, indent=1) + "\n")
    for scale in scales:
        if scale in GROWN_SCALES:
            grown = measure_build_growth(source, folder / f"grown{scale}", IMAGES[scale])
            write_text(RESULTS / f"grown{scale}.json", json.dumps(grown, indent=1) + "\n")
        clear(folder / f"scale{scale}")
        result = measure_scale(source, folder / f"scale{scale}", scale)
        write_text(RESULTS / f"{scale}.json", json.dumps(result, indent=1) + "\n")
        clear(folder / f"scale{scale}")


def measure_scale(source, root, scale):
    """Generate a study, build it in a process of its own, and ask it questions.

    Returns
    -------
    dict
    """
    begin = time.perf_counter()
    study = resample_study(source, root, IMAGES[scale])
    generated_s = time.perf_counter() - begin
    raw_bytes = size_of(study.raw)
    profile = [sys.executable, "-m", "tests.bench.nodes", str(study.path), str(root / NODES)]
    cost = measure(profile, watched=study.output)
    nodes = json.loads((root / NODES).read_text())
    result = {
        "rows": IMAGES[scale] * len(MODELS) * BLOCKS_PER_IMAGE,
        "images": IMAGES[scale],
        "machine": describe_machine(),
        "generated_s": generated_s,
        "raw_bytes": raw_bytes,
        "build": asdict(cost) | {"peak_bytes": max(node["peak_bytes"] for node in nodes)},
        "warehouse_bytes": study.warehouse.stat().st_size,
        "spill_left_bytes": size_of(study.output / "dbt" / "spill"),
        "latency": measure_latency(study),
        "export": measure_export(study),
        "nodes": nodes,
    }
    if scale in EXPORTED_SCALES:
        result["exports"] = compare_exports(study)
    if scale in COMPARED_SCALES:
        result["contenders"] = compare(study)
    return result


def measure_export(study):
    """Export every table of a study in a process of its own; its cost and the bytes written."""
    cost = measure([sys.executable, "-m", "upscale_audit.warehouse.cli", "export", str(study.path)])
    return asdict(cost) | {"bytes": size_of(study.output / "exports")}


def compare_exports(study):
    """Build and export under memory limits, the least of which binds, and at one and two threads.

    Raises
    ------
    RuntimeError
        Two of the hash lists differ.
    """
    runs, sums = [], set()
    for memory, threads in (("8GB", 2), ("4GB", 2), ("1GB", 2), ("8GB", 1)):
        clear(study.output / "exports")
        study.warehouse.unlink(missing_ok=True)
        options = {"UPSCALE_AUDIT_MEMORY": memory}
        command = [sys.executable, "-m", "upscale_audit.warehouse.cli"]
        built = measure(
            [*command, "build", "--threads", str(threads), str(study.path)], options, study.output
        )
        exported = measure([*command, "export", str(study.path)], options, study.output)
        sums.add((study.output / "exports" / "SHA256SUMS").read_bytes())
        limits = {"memory": memory, "threads": threads}
        runs.append(limits | {"build": asdict(built), "export": asdict(exported)})
    if len(sums) != 1:
        raise RuntimeError(f"{study.path}: exports differ between memory limits or threads")
    return {"runs": runs, "export_bytes": size_of(study.output / "exports")}


def describe_machine():
    """Name what the figures depend on, and how busy it was."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "processor": _find_processor(),
        "python": platform.python_version(),
        "duckdb": duckdb.__version__,
        "load": os.getloadavg()[1],
    }


def _find_processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def read_results():
    """Read every scale's figures, smallest first."""
    results = [
        json.loads((RESULTS / f"{scale}.json").read_text())
        for scale in IMAGES
        if (RESULTS / f"{scale}.json").is_file()
    ]
    return sorted(results, key=lambda result: result["rows"])


def read_growth():
    """Read what growing a study cost: ingest's steps, and the builds of each scale.

    Returns
    -------
    steps : list of dict
        Empty where it was not measured.
    builds : list of dict
    """
    path = RESULTS / GROWTH
    steps = json.loads(path.read_text()) if path.is_file() else []
    files = [RESULTS / f"grown{scale}.json" for scale in GROWN_SCALES]
    return steps, [json.loads(path.read_text()) for path in files if path.is_file()]
