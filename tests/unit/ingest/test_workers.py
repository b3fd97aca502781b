"""Work among processes: every unit once, and an interrupt ends it at once."""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from upscale_audit.ingest.workers import map_units


@pytest.mark.parametrize("workers", [1, 2])
def test_every_unit_is_done_once(workers):
    assert sorted(map_units(abs, [-3, 1, -2], workers, str)) == [1, 2, 3]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_unit_is_raised_here(workers):
    with pytest.raises(TypeError, match="bad operand"):
        list(map_units(abs, [-3, "text", -2], workers, str))


def test_an_error_ends_the_workers_and_no_other_child():
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(100,))
    other.start()
    try:
        with pytest.raises(TypeError, match="bad operand"):
            list(map_units(abs, ["text", -2, -3], 2, str))
        begin = time.monotonic()
        while len(multiprocessing.active_children()) > 1 and time.monotonic() - begin < 60:
            time.sleep(0.05)
        assert multiprocessing.active_children() == [other]
    finally:
        other.kill()
        other.join()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="asks /proc which processes live")
def test_an_interrupt_does_not_wait_for_what_is_in_flight(repository):
    code = """
        import threading, time
        from multiprocessing import active_children
        from upscale_audit.ingest.workers import map_units

        def say_when_started():
            while len(active_children()) < 2:
                time.sleep(0.05)
            print(*(child.pid for child in active_children()), flush=True)

        if __name__ == "__main__":
            threading.Thread(target=say_when_started, daemon=True).start()
            list(map_units(time.sleep, [100, 100, 100], 2, str))
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    workers = process.stdout.readline().split()
    begin = time.monotonic()
    errors = None
    while errors is None and time.monotonic() - begin < 60:
        process.send_signal(signal.SIGINT)  # Python may lose one in a destructor
        with contextlib.suppress(subprocess.TimeoutExpired):
            errors = process.communicate(timeout=10)[1]
    process.kill()
    assert process.returncode != 0
    assert "KeyboardInterrupt" in (errors or "waited for the units")
    assert len(workers) == 2
    assert not [pid for pid in workers if os.path.exists(f"/proc/{pid}")]
