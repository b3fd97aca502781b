"""Blocks on Spark: who runs what, and the same exports."""

import itertools
import json
import shutil
import sys

import pytest

from ingest.errors import StudyError
from ingest.run import ingest_study
from warehouse.build import build_warehouse
from warehouse.export import export_tables
from warehouse.spark import open_session, plan_phases


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
    assert {"fct_blocks", "int_image_moments", "int_tier3_counts", "mart_frame_profile"} <= names
    assert not names & {"int_basis_loadings", "mart_pca_basis", "int_clusters", "mart_lfv_proof"}
    for name in tables:
        assert manifest["nodes"][name]["config"]["materialized"] == "table"


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


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with (
        pytest.raises(StudyError, match=r"upscale-audit\[spark\]"),
        open_session("local[1]", tmp_path),
    ):
        pass


@pytest.mark.filterwarnings("ignore")
def test_exports_are_the_same_bytes_whichever_engine_made_the_blocks(study_folder, read_tree):
    pytest.importorskip("pyspark", reason="needs the extra 'spark' and Java 17")
    pytest.importorskip("dbt.adapters.spark", reason="needs the extra 'spark'")
    for model_id in ("alpha", "bicubic"):
        study_folder.add_model(model_id)
    for number in range(6):
        study_folder.add_image(f"0000000{number}_000", shape=(80, 72))
    study = study_folder.load(parameters="tile_px = 20")
    ingest_study(study, workers=1)
    build_warehouse(study)
    export_tables(study)
    expected = read_tree(study.output / "exports")
    build_warehouse(study, spark="local[2]")
    export_tables(study)
    assert not (study.output / "dbt" / "spark").exists()
    found = read_tree(study.output / "exports")
    for one in (expected, found):
        del one["manifest.json"]
    assert found == expected
