"""Work on a cluster: the same units and workers' code, run by dask.distributed.

Needs the extra ``cluster``. Study, images and outputs lie where every worker finds them under
the same paths, and this package is installed on the scheduler and on each worker.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.workers import keep_to_one_core

if TYPE_CHECKING:
    from distributed.cfexecutor import ClientExecutor


@contextlib.contextmanager
def open_cluster(address: str, timeout_s: float = 30) -> Iterator[tuple[ClientExecutor, int]]:
    """Connect to a running scheduler for the time of a ``with`` block.

    Parameters
    ----------
    address : str
        As ``dask scheduler`` prints it, for instance ``tcp://10.0.0.1:8786``.
    timeout_s : float
        How long to wait for the scheduler and its first worker.

    Yields
    ------
    tuple of (concurrent.futures.Executor, int)
        Where to submit units, and how many the workers hold at once.

    Raises
    ------
    StudyError
        The extra is missing, the address is none, no scheduler answers, it has no worker, or a unit
        kills its workers.

    Notes
    -----
    A unit whose worker dies is given to another; the scheduler gives a unit up after
    ``distributed.scheduler.allowed-failures`` deaths (three unless configured).
    """
    try:
        from distributed import Client, KilledWorker
        from distributed.comm import get_address_host_port, normalize_address
    except ImportError:
        raise StudyError(
            "a cluster needs dask.distributed: pip install 'upscale-audit[cluster]'"
        ) from None
    try:
        # Of what is no address a client would be left that takes a minute to close.
        get_address_host_port(normalize_address(address), strict=True)
    except ValueError as error:
        raise StudyError(
            f"{address!r} is no address of a scheduler ({error}); expected it as dask scheduler"
            " prints it, tcp://10.0.0.1:8786"
        ) from error
    try:
        client = Client(address, timeout=timeout_s, set_as_default=False)
    except OSError as error:
        raise StudyError(
            f"no scheduler answers at {address} ({error}); start one with dask scheduler, and"
            " workers with dask worker, or leave --cluster out"
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=timeout_s)
        except TimeoutError:
            raise StudyError(
                f"the scheduler at {address} has no worker; start one with dask worker {address}"
            ) from None
        client.register_worker_callbacks(keep_to_one_core)
        cores = max(sum(client.nthreads().values()), 1)  # a worker may be gone again
        try:
            yield client.get_executor(pure=False), cores
        except KilledWorker as error:
            raise StudyError(
                f"workers of {address} died {error.allowed_failures + 1} times over one unit; most"
                " often memory ran out: give them more, or fewer threads each (units that ingest"
                " finished are kept)"
            ) from None
