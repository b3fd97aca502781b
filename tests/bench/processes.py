"""What a process of its own takes: wall and CPU seconds, peak memory, peak disk."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass

_LAUNCHER = """
import json, os, sys
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(process, 0)
with open(sys.argv[1], "w") as file:
    json.dump([usage.ru_utime + usage.ru_stime, usage.ru_maxrss], file)
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""
"""Starts the command from a small process: a child's peak memory begins with its parent's."""


@dataclass(frozen=True)
class Cost:
    """What a process took, the processes it waited for included.

    `peak_bytes` is resident memory of the largest of them; `peak_disk_bytes` the most that the
    watched folder held, looked at four times a second.
    """

    wall_s: float
    cpu_s: float
    peak_bytes: int
    peak_disk_bytes: int = 0


def measure(command, environment=None, watched=None):
    """Run a command to its end.

    Parameters
    ----------
    command : list of str
    environment : dict of str to str, optional
        Added to this process's.
    watched : Path, optional
        A folder whose size is followed.

    Returns
    -------
    Cost

    Raises
    ------
    RuntimeError
        It ended with another status than 0; its last lines are in the message.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _measure(command, environment, watched, os.path.join(folder, "usage.json"))


def _measure(command, environment, watched, usage):
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, usage, *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"DO_NOT_TRACK": "1"} | (environment or {}),
    )
    said = []
    reader = threading.Thread(target=lambda: said.append(process.stderr.read()))
    reader.start()
    ended, sizes = threading.Event(), [0]
    watcher = threading.Thread(target=_watch, args=(watched, ended, sizes))
    watcher.start()
    process.wait()
    wall = time.perf_counter() - begin
    ended.set()
    reader.join()
    watcher.join()
    if process.returncode:
        tail = "\n".join(said[0].splitlines()[-8:])
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    with open(usage) as file:
        cpu_s, peak_kib = json.load(file)
    return Cost(wall, cpu_s, peak_kib * 1024, max(sizes))


def _watch(folder, ended, sizes):
    while folder is not None and not ended.wait(0.25):
        sizes.append(size_of(folder))


def size_of(folder):
    """Bytes that the files of a folder take on disk; those that vanish meanwhile count nothing."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
    return total
