"""What a stranger's texts, folders and files can do (docs/trust.md): no more than be wrong."""

import json
import os
import re
import shutil
from dataclasses import replace

import duckdb
import pytest

from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.manifests import WAREHOUSE_MANIFEST
from upscale_audit.ingest.run import ingest_study, read_raw_manifest
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse import dbt_runner
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_build, open_warehouse
from upscale_audit.warehouse.dbt_runner import run_dbt
from upscale_audit.warehouse.docs import write_docs
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.raw import create_raw_views

pytestmark = pytest.mark.long

HOSTILE_FOLDER = "model_id=x,image_id=7[1]*{a,b}'\"%20;#é\n{{ x }}"
HOSTILE_TEXT = """\
[study]
name = "{{{{ 1 / 0 }}}}{{% x %}}</script>'"
references = "refer{{{{ x }}}}{{% y %}}"
output = "out"
[[models]]
model_id = "alpha"
notta = "restored/alpha/notta"
[[models]]
model_id = "beta"
notta = "restored/beta/notta"
[labels]
entries = "{{% z %}}.csv"
boxes = "boxes.csv"
[parameters]
bootstrap_seed = '''{seed}'''
"""
STEAL = (
    """{{{{ run_query("copy (select content from read_text('{secret}')) to '{stolen}'") }}}}"""
    '{{{{ env_var("HOME") }}}}'
)
LABELS = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
    "a.png,{{ q }},0,{% p %},40,{{ s }},{% v %}\n"
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h],,,\na.png,{{ f }}{% g %},0,0,16,16,,,\n"
SHELL = {
    "DBT_DEFER": "true",
    "DBT_EMPTY": "true",
    "DBT_ENGINE_EMPTY": "true",
    "DBT_EXCLUDE_RESOURCE_TYPES": "test",
    "DBT_FAIL_FAST": "true",
    "DBT_FULL_REFRESH": "true",
    "DBT_INDIRECT_SELECTION": "empty",
    "DBT_LOG_PATH": "/nonexistent",
    "DBT_PROFILES_DIR": "/nonexistent",
    "DBT_PROJECT_DIR": "/nonexistent",
    "DBT_STATE": "/nonexistent",
    "DBT_STORE_FAILURES": "true",
    "DBT_TARGET": "elsewhere",
    "DBT_TARGET_PATH": "/nonexistent",
    "DBT_WARN_ERROR": "true",
}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Give a file to be stolen, and where the study's texts would put it."""
    folder = tmp_path_factory.mktemp("places")
    (folder / "secret").write_text("secret")
    return folder / "secret", folder / "stolen.csv"


@pytest.fixture(scope="module")
def make(new_study_folder, places):
    """Give a maker of the study of hostile texts in a folder; `suffix` chooses its pixels."""

    def make_study(root, suffix="x"):
        folder = new_study_folder(root)
        for model_id in ("alpha", "beta"):
            folder.add_model(model_id, paths=("notta",))
        for image_id in ("a", "b", "c"):
            folder.add_image(image_id, suffix=suffix)
        secret, stolen = places
        seed = STEAL.format(secret=secret, stolen=stolen)
        (root / "study.toml").write_text(HOSTILE_TEXT.format(seed=seed))
        (root / "reference").rename(root / "refer{{ x }}{% y %}")
        (root / "{% z %}.csv").write_text(LABELS)
        (root / "boxes.csv").write_text(BOXES)
        study = load_study(root / "study.toml")
        # A study file may name such a baseline only where it names published files.
        hostile = replace(study.analysis_parameters, baseline_model="{% endif %}';--")
        return replace(study, analysis_parameters=hostile)

    return make_study


@pytest.fixture(scope="module")
def plain(make, tmp_path_factory):
    """Give the study of hostile texts, built and exported in a folder of a plain name."""
    study = make(tmp_path_factory.mktemp("plain") / "study")
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    export_tables(study)
    return study


@pytest.fixture(scope="module")
def hostile(make, tmp_path_factory):
    """Give the same study in a folder of a hostile name, other pixels in the one it would match."""
    root = tmp_path_factory.mktemp("hostile") / HOSTILE_FOLDER
    twin, study = make(root / "study1", suffix="other"), make(root / "study[1]")
    for one in (twin, study):
        ingest_study(one, workers=1)
    build_warehouse(study, threads=1)
    export_tables(study)
    return study


def test_a_folders_name_changes_no_byte_of_any_export(plain, hostile, read_tree):
    expected = read_tree(plain.output / "exports")
    assert {"manifest.json", "fct_blocks/alpha.parquet", "mart_provenance.parquet"} < set(expected)
    assert read_tree(hostile.output / "exports") == expected


def test_nothing_is_written_outside_the_study(hostile):
    assert sorted(os.listdir(hostile.path.parents[2])) == [HOSTILE_FOLDER]
    assert sorted(os.listdir(hostile.path.parents[1])) == ["study1", "study[1]"]


def test_a_study_files_texts_are_texts(plain, places):
    assert not places[1].exists()
    with open_warehouse(plain.warehouse) as connection:
        rows = connection.sql("select study_name from dim_study").fetchall()
        labels = connection.sql("select distinct finding from mart_lesion_risk").fetchall()
    assert rows == [("{{ 1 / 0 }}{% x %}</script>'",)]
    assert ("{{ f }}{% g %}",) in labels


def test_marts_and_the_page_of_tables_open_in_a_hostile_folder(plain, hostile):
    with Marts(hostile.warehouse) as marts:
        assert marts.models == ["alpha", "beta"]
    pages = [write_docs(study).read_bytes() for study in (plain, hostile)]
    assert pages[0] == pages[1]


def test_variables_of_the_shell_reach_no_build(plain, read_tree, monkeypatch):
    before = read_tree(plain.output / "exports")
    page = write_docs(plain).read_bytes()
    for name, value in SHELL.items():
        monkeypatch.setenv(name, value)
    (plain.output / WAREHOUSE_MANIFEST).unlink()
    report = build_warehouse(plain, threads=1)
    export_tables(plain)
    assert report.tests > 100
    assert read_tree(plain.output / "exports") == before
    assert write_docs(plain).read_bytes() == page
    assert {name: os.environ.get(name) for name in SHELL} == SHELL


READING = (
    "select * from read_text('{secret}')",
    "select * from read_blob('{secret}')",
    "select * from read_csv('{secret}')",
    "select * from glob('{secret}')",
    "copy (select 1 as one) to '{stolen}'",
    "attach '{stolen}' as other",
    "export database '{stolen}'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "reset lock_configuration",
)


def refuse(connection, places):
    secret, stolen = places
    for query in READING:
        with pytest.raises(duckdb.Error, match=r"disabled|locked|Cannot"):
            connection.execute(query.format(secret=secret, stolen=stolen))
    assert not stolen.exists()


def test_a_readers_connection_reaches_no_file(plain, places):
    with open_warehouse(plain.warehouse) as connection:
        refuse(connection, places)
    with Marts(plain.warehouse) as marts:
        refuse(marts._connection, places)


def test_a_view_in_a_strangers_warehouse_reaches_no_file(tmp_path, places):
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create view dim_models as select * from read_text('{places[0]}')")
        connection.execute(f"create macro steal() as table from read_text('{places[0]}')")
    with open_warehouse(path) as connection:
        for query in ("from dim_models", "from steal()"):
            with pytest.raises(duckdb.PermissionException):
                connection.sql(query).fetchall()
    with pytest.raises(StudyError, match="cannot open"):
        Marts(path)


def test_readers_do_not_stop_each_other(plain, tmp_path):
    (tmp_path / "out").mkdir()
    with (
        duckdb.connect(str(plain.warehouse), read_only=True) as own,
        open_warehouse(plain.warehouse) as reader,
        open_warehouse(plain.warehouse, tmp_path / "out", {"threads": 1}) as writer,
    ):
        writer.execute(f"copy dim_models to '{tmp_path}/out/models.parquet' (format parquet)")
        counts = [one.sql("select count(*) from fct_blocks").fetchall() for one in (own, reader)]
    assert counts == [[(36,)], [(36,)]]


def test_a_builds_connection_reaches_its_study_and_nothing_else(plain, places, tmp_path):
    with open_build(tmp_path / "x.duckdb", [tmp_path]) as connection:
        refuse(connection, places)
        connection.execute(f"copy (select 1 as one) to '{tmp_path}/own.parquet' (format parquet)")


def test_a_dbt_model_reaches_no_file_outside_the_study(plain, places, tmp_path, monkeypatch):
    secret, stolen = places
    project, database = tmp_path / "dbt_project", tmp_path / "out" / "x.duckdb"
    shutil.copytree(dbt_runner.PROJECT, project)
    monkeypatch.setattr(dbt_runner, "PROJECT", project)
    for number, query in enumerate(READING):
        hook = query.format(secret=secret, stolen=stolen).replace("'", "\\'")
        text = f"{{{{ config(materialized='table', pre_hook='{hook}') }}}} select 1 as one"
        (project / "models" / f"steal_{number}.sql").write_text(text)
    study = replace(plain, output=tmp_path / "out")
    shutil.copytree(plain.raw, study.raw)
    create_raw_views(database, study, read_raw_manifest(study.raw))
    with pytest.raises(StudyError, match=f"^{len(READING)} dbt nodes failed"):
        run_dbt(study, database, ["run", "--select", "steal_*"])
    results = json.loads((study.output / "dbt" / "target" / "run_results.json").read_text())
    assert len(results["results"]) == len(READING)
    for result in results["results"]:
        assert re.search("disabled|locked|Cannot", result["message"])
    assert not stolen.exists()


def test_a_shard_of_another_name_is_refused(plain, tmp_path):
    manifest = read_raw_manifest(plain.raw)
    shutil.copytree(plain.raw, tmp_path / "out" / "raw")
    study = replace(plain, output=tmp_path / "out")
    for name in ("blocks/model_id=alpha/*.parquet", "blocks/../../x.parquet", "/etc/passwd"):
        with pytest.raises(StudyError, match=r"the block shard .*; expected blocks/model_id"):
            create_raw_views(tmp_path / "x.duckdb", study, manifest | {"block_shards": [name]})
        (tmp_path / "x.duckdb").unlink()
