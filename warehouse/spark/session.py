"""A Spark driver for the time of a build: started, watched and ended with it."""

import contextlib
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from upscale_audit.ingest.errors import StudyError

PATIENCE_S = 120
"""A Spark job of which no task has run for so long is given up: no worker takes it."""

MASTER_TIMEOUT_S, DRIVER_TIMEOUT_S = 10, 30
"""How long a master may take to answer, and the driver to end."""

_CATALOGUE = {
    # Kept in the driver's memory: Hive's needs a database of its own beside the study.
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


@contextlib.contextmanager
def open_session(master: str, folder: Path, log: Path) -> Iterator[Any]:
    """Start a Spark driver in a process of its own, for the time of a ``with`` block.

    Parameters
    ----------
    master : str
        ``spark://host:7077``, or ``local[2]`` for this machine.
    folder : Path
        Receives tables that name no place.
    log : Path
        Receives what the driver says.

    Yields
    ------
    pyspark.sql.SparkSession

    Raises
    ------
    StudyError
        The extra or Java is missing, no master answers, no worker takes a task for `PATIENCE_S`,
        or the driver ends before the block does.
    """
    _check_master(master)
    try:
        import dbt.adapters.spark  # noqa: F401 - dbt finds it by name
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise StudyError("Spark needs pip install 'upscale-audit[spark]' and Java 17") from None
    _check_java()
    with _without_network_errors(), _start_driver(master, folder, log) as driver:
        watch = None
        try:
            session = SparkSession.builder.getOrCreate()
            with contextlib.ExitStack() as stack:
                stack.callback(_stop, session)
                watch = stack.enter_context(_Watch(session.sparkContext))
                yield session
        except (StudyError, PySparkException, Py4JError, OSError) as error:
            if watch is None:
                raise _say_start_failed(master, log) from error
            if watch.has_given_up:
                raise _say_no_worker(master, log) from error
            if _has_ended(driver):
                raise _say_driver_ended(log) from error
            raise


def _check_master(master: str) -> None:
    """Raise unless one of the masters of ``spark://host:port,host:port`` takes a connection."""
    if not master.startswith("spark://"):
        return
    refusals = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=MASTER_TIMEOUT_S).close()
        except ValueError:
            refusals.append(f"{address} is no host:port")
        except (OSError, OverflowError) as error:
            refusals.append(f"{address}: {error}")
        else:
            return
    raise StudyError(
        f"no Spark master answers at {master} ({'; '.join(refusals)}); start one there, or"
        " correct --spark"
    )


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = os.path.join(home, "bin", "java") if home else "java"
    if shutil.which(java) is None:
        raise StudyError(
            f"Spark needs Java 17 or later, and there is no {java}: install a JRE, or name its"
            " folder as JAVA_HOME"
        )


@contextlib.contextmanager
def _start_driver(master: str, folder: Path, log: Any) -> Iterator[Any]:
    """Start the driver's JVM, let PySpark use it, and wait for its end: its memory is then free."""
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    conf = SparkConf(loadDefaults=False).setMaster(master).setAppName("upscale-audit")
    conf.setAll([*_CATALOGUE.items(), ("spark.sql.warehouse.dir", str(folder / "warehouse"))])
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "wb") as said:
        try:
            gateway = launch_gateway(conf, {"stdout": said, "stderr": said})
        except (PySparkException, OSError) as error:
            raise _say_start_failed(master, log) from error
        SparkContext._ensure_initialized(gateway=gateway, conf=conf)
        try:
            yield gateway.proc
        finally:
            _forget_driver()
            gateway.shutdown()
            gateway.proc.stdin.close()
            if not _has_ended(gateway.proc, DRIVER_TIMEOUT_S):
                gateway.proc.kill()
                gateway.proc.wait()


def _stop(session: Any) -> None:
    """Stop a session, whether or not its driver still answers."""
    from py4j.protocol import Py4JError

    with warnings.catch_warnings(), contextlib.suppress(Py4JError, OSError):
        # PySpark warns where the driver is gone; `open_session` says it.
        warnings.simplefilter("ignore", RuntimeWarning)
        session.stop()


def _forget_driver() -> None:
    """Clear what PySpark keeps of a driver, one a process: the next session has its own."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    SparkSession._instantiatedSession = SparkSession._activeSession = None
    SparkContext._active_spark_context = None
    SparkContext._gateway = SparkContext._jvm = None


@contextlib.contextmanager
def _without_network_errors() -> Iterator[None]:
    """Keep Py4J from logging a lost driver with a traceback; what it raises is said once."""

    def is_other(record: Any) -> bool:
        return bool(record.module != "java_gateway")

    root = logging.getLogger()
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)


def _has_ended(process: Any, seconds: int = 2) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _say_start_failed(master: str, log: Any) -> Any:
    return StudyError(
        f"Spark did not start at {master}: {_find_cause(log)}; check the address, and that java"
        f" -version says 17 or later; {log} says more"
    )


def _say_no_worker(master: str, log: Any) -> Any:
    return StudyError(
        f"no Spark worker at {master} has taken a task for {PATIENCE_S} s: start workers that reach"
        " this machine and can give an executor its memory (spark.executor.memory, 1 GiB unless"
        f" set); {log} says more"
    )


def _say_driver_ended(log: Any) -> Any:
    return StudyError(
        f"Spark's driver on this machine ended: {_find_cause(log)}; if it was out of memory, set"
        f" spark.driver.memory; {log} says more"
    )


def _find_cause(log: Any) -> Any:
    """Give the last line of a log that names an error, or its last line."""
    lines = [line.strip() for line in Path(log).read_text(errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith(("at ", "..."))]
    named = [line for line in lines if "Error" in line or "Exception" in line]
    return (named or lines or ["it said nothing"])[-1][:200]


class _Watch:
    """Cancels Spark's jobs when none of their tasks has run for `PATIENCE_S`: Spark waits for ever.

    Parameters
    ----------
    context : pyspark.SparkContext
    """

    def __init__(self, context: Any) -> None:
        self.has_given_up = False
        self._context = context
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        from py4j.protocol import Py4JError

        busy = time.monotonic()
        with contextlib.suppress(Py4JError, OSError):
            while not self._ended.wait(1):
                if not self._is_waiting():
                    busy = time.monotonic()
                elif self.has_given_up or time.monotonic() - busy > PATIENCE_S:
                    self.has_given_up = True
                    self._context.cancelAllJobs()

    def _is_waiting(self) -> bool:
        tracker = self._context.statusTracker()
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        is_running = any(stage is not None and stage.numActiveTasks for stage in stages)
        return bool(tracker.getActiveJobsIds()) and not is_running
