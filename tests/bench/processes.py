"""What a process of its own takes: wall and CPU seconds, peak memory, peak disk."""

import contextlib
import os
import subprocess
import threading
import time
from dataclasses import dataclass


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
    begin = time.perf_counter()
    process = subprocess.Popen(
        command,
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
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    ended.set()
    reader.join()
    watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(said[0].splitlines()[-8:])
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{tail}")
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(wall, cpu, usage.ru_maxrss * 1024, max(sizes))


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
