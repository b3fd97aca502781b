"""`upscale-audit ingest` with two workers that may each take only so much more memory.

python -m tests.faults.scarce STUDY.toml BYTES
"""

import os
import resource
import sys

from upscale_audit.ingest import run, workers

ROOM = "UPSCALE_AUDIT_TEST_ROOM"
start_worker = workers._start_worker


def start_scarce_worker():
    """Start a worker as ever, then let it have only so much more address space."""
    start_worker()
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    limit = used + int(os.environ[ROOM])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main():
    """Run the command line's ingest; a unit for each image, so that every worker has one."""
    from upscale_audit.warehouse.cli import main as cli

    os.environ[ROOM] = sys.argv[2]
    workers._start_worker = start_scarce_worker
    run.IMAGES_PER_UNIT = 1
    cli.main(["ingest", sys.argv[1], "--workers", "2"])


if __name__ == "__main__":
    main()
