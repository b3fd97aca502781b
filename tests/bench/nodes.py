"""Which dbt node takes how much: CPU, wall and peak memory of each, in the order they ran."""

import json
import sys
import time
from pathlib import Path

from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse


def profile_build(study):
    """Build a study's warehouse in this process.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    list of dict
        ``name``, ``cpu_s``, ``wall_s``, ``peak_bytes`` of every dbt node, from the end of the
        node before to its own; the first holds dbt's start, the last what comes after dbt.

    Notes
    -----
    Peak memory is the process's, its high-water mark reset after every node (Linux).
    """
    nodes, before = [], [time.process_time(), time.perf_counter()]

    def note(done, total, name):
        now = [time.process_time(), time.perf_counter()]
        nodes.append(
            {
                "name": name,
                "cpu_s": now[0] - before[0],
                "wall_s": now[1] - before[1],
                "peak_bytes": _take_peak(),
            }
        )
        before[:] = now

    build_warehouse(study, progress=note)
    note(0, 0, "publish")
    return nodes


def _take_peak():
    status = Path("/proc/self/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    Path("/proc/self/clear_refs").write_text("5")
    return int(peak.split()[1]) * 1024


def main():
    """Write the nodes of a study's build: ``python -m tests.bench.nodes STUDY.toml OUT.json``."""
    nodes = profile_build(load_study(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(nodes, indent=1) + "\n")


if __name__ == "__main__":
    main()
