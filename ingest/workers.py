"""Work divided among processes: a bounded queue, workers that may die, one core each."""

from __future__ import annotations

import logging
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, TypeVar

import cv2

from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess


POOL_RETRIES = 2

U = TypeVar("U")
R = TypeVar("R")
"""A unit of work, and what is made of it."""

logger = logging.getLogger(__name__)


def map_units(
    function: Callable[[U], R],
    units: Sequence[U],
    workers: int,
    describe: Callable[[U], object],
    executor: Executor | None = None,
) -> Iterator[R]:
    """Yield ``function(unit)`` of every unit as it completes, surviving workers that die.

    Parameters
    ----------
    function : callable
        Found by its name in a worker: of a module, not of another function.
    units : sequence
    workers : int
        Processes. With one, or one unit, all is done in this process.
    describe : callable
        ``describe(unit)``: what it is, for the message about a unit that kills its workers.
    executor : concurrent.futures.Executor, optional
        Runs the units instead of processes of this machine, `workers` at once, and sees to
        workers that die itself; `ingest.cluster.open_cluster` gives one.

    Raises
    ------
    StudyError
        Workers died three times in a row, most often for lack of memory.
    """
    if executor is not None:
        yield from _drain(executor, function, list(units), workers, failed=[])
        return
    if workers == 1 or len(units) <= 1:
        yield from map(function, units)
        return
    remaining = list(units)
    for attempt in range(POOL_RETRIES + 1):
        failed: list[U] = []
        context = multiprocessing.get_context("spawn")
        count = min(workers, len(remaining))
        others = multiprocessing.active_children()
        with ProcessPoolExecutor(count, context, initializer=_start_worker) as pool:
            try:
                yield from _drain(pool, function, remaining, workers, failed)
            except BaseException:
                _abandon(pool, others)
                raise
        if not failed:
            return
        logger.warning("a worker died (attempt %d); %d units left", attempt + 1, len(failed))
        remaining = failed
    raise StudyError(
        f"workers died {POOL_RETRIES + 1} times, last at {describe(remaining[0])}; most often"
        " memory ran out: run with --workers 1; finished units are kept"
    )


def keep_to_one_core() -> None:
    """Keep the libraries of this process to one thread: a worker is one core."""
    cv2.setNumThreads(1)


def _abandon(pool: Executor, others: Sequence[BaseProcess]) -> None:
    """End the workers of a pool at once, and no other child of this process.

    An interrupt must not wait for what is in flight.
    """
    pool.shutdown(wait=False, cancel_futures=True)
    for worker in multiprocessing.active_children():
        if worker not in others:
            worker.terminate()


def _start_worker() -> None:
    """Keep a worker to one core, and let it die with the process that started it.

    Otherwise the workers of a killed run would go on writing, without its lock, into the
    folder that the next run repairs.
    """
    keep_to_one_core()
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _drain(
    pool: Executor,
    function: Callable[[U], R],
    units: Sequence[U],
    workers: int,
    failed: list[U],
) -> Iterator[R]:
    """Keep a bounded number of units in flight; `failed` collects those a dead pool dropped."""
    running: dict[Future[R], U] = {}
    waiting = list(reversed(units))
    while waiting or running:
        while waiting and len(running) < 2 * workers:
            unit = waiting.pop()
            try:
                running[pool.submit(function, unit)] = unit
            except BrokenProcessPool:
                failed.append(unit)
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            unit = running.pop(future)
            try:
                yield future.result()
            except BrokenProcessPool:
                failed.append(unit)
