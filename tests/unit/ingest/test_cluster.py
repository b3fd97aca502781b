"""Ingest on a real dask cluster of this machine: the same bytes, and workers that may die."""

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from upscale_audit.ingest.cluster import open_cluster
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.cli.main import main

distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")


@pytest.fixture(scope="module")
def cluster():
    """Give a scheduler and two worker processes on the loopback device."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


@pytest.fixture
def study_of_nine(study_folder):
    """Give a study folder of nine images under two models."""
    for model_id in ("alpha", "beta"):
        study_folder.add_model(model_id)
    for number in range(9):
        study_folder.add_image(f"i{number}")
    return study_folder


def test_a_cluster_writes_the_bytes_that_one_process_writes(study_of_nine, cluster, read_tree):
    local = study_of_nine.load(output="local")
    ingest_study(local, workers=1)
    shared = study_of_nine.load(output="shared")
    with pytest.raises(SystemExit) as stop:
        main(["ingest", str(shared.path), "--cluster", cluster.scheduler_address])
    assert stop.value.code == 0
    assert read_tree(shared.raw) == read_tree(local.raw)


class Apart(ThreadPoolExecutor):
    """A worker whose folder is another, or late: it has written more than this machine sees."""

    def __init__(self, name, lose):
        super().__init__(1)
        self.name, self.lose = name, lose

    def submit(self, function, unit):
        """Do the unit, then lose the last file of this name."""

        def measure():
            result = function(unit)
            self.lose(sorted(unit.raw.rglob(self.name))[-1])
            return result

        return super().submit(measure)


def cut(path):
    """Take a file's last byte."""
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize(
    ("name", "lose"),
    [
        ("model_id=beta/*.parquet", Path.unlink),
        ("model_id=beta/*.parquet", cut),
        ("patches/*.parquet", Path.unlink),
        ("units/*.json", Path.unlink),
    ],
)
def test_a_file_that_only_a_worker_sees_is_said_at_once(study_of_nine, name, lose):
    study = study_of_nine.load(sfrc=[16])
    message = r"a worker wrote .*, and it is not in .*raw: every worker must see .* at once"
    with Apart(name, lose) as executor, pytest.raises(StudyError, match=message):
        ingest_study(study, 1, executor=executor)
    assert not (study.raw / "manifest.json").exists()
    ingest_study(study, workers=1)


@pytest.mark.parametrize("name", ["reference/i3.png", "restored/beta/notta/i3.png"])
def test_an_image_that_only_a_worker_misses_is_no_reject(study_of_nine, monkeypatch, name):
    study = study_of_nine.load()
    path = study_of_nine.root / name
    whole = Path.stat

    def refuse(file, **options):
        if file == path and threading.current_thread() is not threading.main_thread():
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN), str(file))
        return whole(file, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    message = rf"a worker could not read .*{path.name}, and this machine can: every worker must"
    with ThreadPoolExecutor(1) as executor, pytest.raises(StudyError, match=message):
        ingest_study(study, 1, executor=executor)
    monkeypatch.undo()
    ingest_study(study, workers=1)
    assert pq.read_metadata(study.raw / "rejects" / "rejects.parquet").num_rows == 0


def test_an_image_that_no_machine_reads_is_a_reject_on_a_cluster_too(study_of_nine):
    study = study_of_nine.load()
    path = study_of_nine.folder("beta", "notta") / "i3.png"
    path.unlink()
    path.symlink_to("nowhere.png")
    with ThreadPoolExecutor(1) as executor:
        report = ingest_study(study, 1, executor=executor)
    assert [row["reason"] for row in report.rejects] == ["unreadable"]


def test_a_worker_that_dies_costs_nothing(study_of_nine, cluster, read_tree, monkeypatch):
    monkeypatch.setattr("upscale_audit.ingest.run.IMAGES_PER_UNIT", 1)
    local = study_of_nine.load(output="local")
    ingest_study(local, workers=1)
    shared = study_of_nine.load(output="shared")

    killed = []

    def kill_one(done, total):
        if not killed:
            killed.append(total - done)
            next(iter(cluster.workers.values())).process.process.kill()

    with open_cluster(cluster.scheduler_address) as (executor, workers):
        ingest_study(shared, workers, kill_one, executor)
    assert killed[0] > 0
    assert read_tree(shared.raw) == read_tree(local.raw)


def test_a_unit_that_kills_its_workers_is_an_error_that_names_the_repair(cluster):
    with (
        pytest.raises(StudyError, match=r"died 4 times over one unit.*give them more"),
        open_cluster(cluster.scheduler_address),
    ):
        raise distributed.KilledWorker("unit", None, 3)


def test_no_scheduler_is_an_error_that_names_the_repair():
    with (
        pytest.raises(StudyError, match=r"no scheduler answers.*dask scheduler"),
        open_cluster("tcp://127.0.0.1:9", timeout_s=0.5),
    ):
        pass


@pytest.mark.parametrize("address", ["foo", "10.0.0.1", "tcp://x:abc", "http://10.0.0.1:8786", ""])
def test_what_is_no_address_is_said_before_a_client_is_made(address, monkeypatch):
    monkeypatch.setattr("distributed.Client", None)
    with (
        pytest.raises(StudyError, match=r"no address of a scheduler .*tcp://10\.0\.0\.1:8786"),
        open_cluster(address),
    ):
        pass


def test_a_scheduler_without_workers_is_an_error_that_names_the_repair(monkeypatch):
    wait = distributed.Client.wait_for_workers
    # The connection has its whole time, which a loaded machine may need.
    monkeypatch.setattr(
        distributed.Client,
        "wait_for_workers",
        lambda client, count, timeout: wait(client, count, timeout=0.1),
    )
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as empty,
        pytest.raises(StudyError, match=r"has no worker.*dask worker"),
        open_cluster(empty.scheduler_address),
    ):
        pass
