"""Blocks on Spark: who runs what, and the same exports."""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.spark.blocks import BlocksOnSpark, plan_phases
from upscale_audit.warehouse.spark.session import open_session

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def manifest(sample_study):
    """Give dbt's manifest of the sample's build."""
    path = sample_study.output / "dbt" / "target" / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def plan(manifest):
    return plan_phases(manifest)


def test_spark_makes_every_table_that_reads_blocks_and_no_other(plan, manifest):
    _, tables = plan
    names = {name.rsplit(".", 1)[1] for name in tables}
    assert {"int_blocks_scored", "int_image_moments", "int_tier3_counts"} <= names
    assert "int_frame_counts" in names
    assert not names & {"int_basis_loadings", "mart_pca_basis", "int_clusters", "mart_lfv_proof"}
    for name in tables:
        assert manifest["nodes"][name]["config"]["materialized"] != "view"


def test_every_phase_finds_what_it_reads(plan, manifest):
    phases, _ = plan
    planned = {name for _, phase in phases for name in phase}
    done = set()
    for engine, phase in phases:
        assert engine in ("spark", "duckdb")
        for name in phase:
            parents = set(manifest["nodes"][name]["depends_on"]["nodes"]) & planned
            assert parents <= done, name
            done.add(name)
    assert done == planned


def test_the_engines_take_turns(plan):
    engines = [engine for engine, _ in plan[0]]
    assert all(one != other for one, other in itertools.pairwise(engines))


def test_a_shard_that_no_manifest_lists_stops_spark_which_reads_whole_folders(tiny_study):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    shard = next((study.raw / "blocks").rglob("*.parquet"))
    shutil.copyfile(shard, shard.with_name("stranger.parquet"))
    with pytest.raises(StudyError, match=r"stranger\.parquet; run upscale-audit ingest"):
        build_warehouse(study, spark="local[1]")


def test_a_folder_in_whose_name_spark_reads_more_is_refused(new_study_folder, tmp_path):
    folder = new_study_folder(tmp_path / "model_id=x" / "{a,b}")
    folder.add_model("alpha")
    folder.add_image("a")
    study = folder.load()
    ingest_study(study, workers=1)
    with pytest.raises(StudyError, match=r"Spark cannot be given .*\{a,b\}.* without --spark"):
        build_warehouse(study, spark="local[1]")


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with (
        pytest.raises(StudyError, match=r"upscale-audit\[spark\]"),
        open_session("local[1]", tmp_path, tmp_path / "spark.log"),
    ):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "127.0.0.1", "127.0.0.1:99999"])
def test_a_wrong_address_is_said_at_once(address, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    master = "spark://" + address.format(port=port)
    with (
        pytest.raises(StudyError, match=f"no Spark master answers at {master} .* correct --spark"),
        open_session(master, tmp_path, tmp_path / "spark.log"),
    ):
        pass


@pytest.mark.parametrize("seen", [0, 7])
def test_a_worker_that_does_not_see_the_folder_stops_the_build(seen, tiny_study):
    def write(folder):
        Path(folder).mkdir()
        for number in range(seen):
            (Path(folder) / f"part-{number}.parquet").touch()

    session = SimpleNamespace(
        sparkContext=SimpleNamespace(defaultParallelism=2),
        range=lambda *_: SimpleNamespace(write=SimpleNamespace(parquet=write)),
    )
    blocks = BlocksOnSpark(tiny_study.load(), None, None, "spark://host:7077", None)
    blocks.folder.mkdir(parents=True)
    with pytest.raises(StudyError, match=rf"wrote 8 files .* {seen} are there.* shared folder"):
        blocks._check_shared(session)


@pytest.fixture(scope="module")
def spark_home():
    """Give the folder of Spark's programs."""
    pyspark = pytest.importorskip("pyspark", reason="needs the extra 'spark'")
    pytest.importorskip("dbt.adapters.spark", reason="needs the extra 'spark'")
    if shutil.which("java") is None:
        pytest.skip("needs Java 17")
    return Path(pyspark.__file__).parent


@contextlib.contextmanager
def start_daemon(spark_home, kind, folder, ready, *arguments):
    """Run a ``Master`` or ``Worker`` on loopback; give its process and what `ready` finds."""
    environment = {
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_HOME": str(spark_home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_MASTER_OPTS": "-Dspark.master.rest.enabled=false",
    }
    name = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
    command = [spark_home / "bin" / "spark-class", name, "--host", "127.0.0.1", *arguments]
    log = folder / f"{kind}.log"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            [*command, "--webui-port", "0"],
            stdout=said,
            stderr=said,
            env=os.environ | environment,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(ready, log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield process, found[0]
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def cluster(spark_home, tmp_path_factory):
    """Give the address of a master on loopback, and its one worker: 2 cores, 1 GiB."""
    folder = tmp_path_factory.mktemp("spark")
    resources = ["--cores", "2", "--memory", "1g", "--work-dir", str(folder / "work")]
    address = r"spark://127\.0\.0\.1:\d+"
    with (
        pytest.MonkeyPatch.context() as patch,
        start_daemon(spark_home, "Master", folder, address, "--port", "0") as (_, master),
        start_daemon(
            spark_home, "Worker", folder, "Successfully registered", *resources, master
        ) as (worker, _),
    ):
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        yield master, worker


def test_without_java_the_error_names_it(tmp_path, monkeypatch):
    pytest.importorskip("dbt.adapters.spark", reason="needs the extra 'spark'")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with (
        pytest.raises(StudyError, match=r"Java 17 or later, and there is no .*nowhere/bin/java"),
        open_session("local[1]", tmp_path, tmp_path / "spark.log"),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
def test_exports_are_the_same_bytes_whichever_engine_made_the_blocks(
    study_folder, read_tree, cluster
):
    for model_id in ("alpha", "bicubic"):
        study_folder.add_model(model_id)
    for number in range(6):
        study_folder.add_image(f"0000000{number}_000", shape=(80, 72))
    study = study_folder.load(parameters="tile_px = 20")
    ingest_study(study, workers=1)
    build_warehouse(study)
    export_tables(study)
    expected = read_tree(study.output / "exports")
    build_warehouse(study, spark=cluster[0])
    export_tables(study)
    assert not (study.output / "dbt" / "spark").exists()
    found = read_tree(study.output / "exports")
    for one in (expected, found):
        del one["manifest.json"]
    assert found == expected


@pytest.mark.filterwarnings("ignore")
def test_a_job_that_no_worker_takes_ends_with_one_line(cluster, tmp_path, monkeypatch):
    master, worker = cluster
    monkeypatch.setattr("upscale_audit.warehouse.spark.session.PATIENCE_S", 2)

    def run():
        with open_session(master, tmp_path, tmp_path / "spark.log") as session:
            assert session.range(10).count() == 10
            os.killpg(worker.pid, signal.SIGKILL)
            session.range(10).count()

    with pytest.raises(StudyError, match=f"no Spark worker at {master} has taken a task for 2 s"):
        run()


@pytest.mark.filterwarnings("ignore")
def test_a_driver_that_dies_is_said_and_the_next_one_starts(spark_home, tmp_path):
    from pyspark import SparkContext

    def run(is_killed):
        with open_session("local[1]", tmp_path, tmp_path / "spark.log") as session:
            if is_killed:
                SparkContext._gateway.proc.kill()
            return session.range(10).count()

    with pytest.raises(StudyError, match=r"driver on this machine ended: .*spark\.driver\.memory"):
        run(True)
    assert run(False) == 10
