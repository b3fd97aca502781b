"""A study grows: what is added costs its own, and gives what a build from nothing gives."""

import json
import re
import shutil
from dataclasses import replace

import duckdb
import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.manifests import MANIFEST
from upscale_audit.ingest.run import ingest_study, read_raw_manifest
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse import build
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.companions import HyraFolder
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.dbt_runner import run_dbt
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.frozen import Frozen, freeze_study, read_frozen
from upscale_audit.warehouse.growth import (
    BLOCK_VIEWS,
    CARRIED_SCHEMA,
    GROWING,
    STORED_BLOCKS,
    _copy_file,
    _find_added,
    copy_published,
    plan_growth,
)
from upscale_audit.warehouse.proof.provenance import describe_build, describe_study
from upscale_audit.warehouse.proof.verify import verify

pytestmark = pytest.mark.long

OF_THE_BASIS = {
    f"{name}.parquet"
    for name in ("dim_study", "mart_axis1_multiverse", "mart_pca_basis", "mart_provenance")
}


def read_sums(study):
    export_tables(study)
    lines = (study.output / "exports" / "SHA256SUMS").read_text().splitlines()
    return {name: sha256 for sha256, name in (line.split("  ") for line in lines)}


def name_frozen_file(study):
    text = study.path.read_text()
    study.path.write_text(text.replace("[study]\n", '[study]\nfrozen = "study.frozen.toml"\n'))
    return load_study(study.path)


def add_image(study, image_id):
    """Add a reference and its restored images, from another's turned round."""
    for folder in (study.references, *(m.notta for m in study.models), study.models[0].tta):
        image = np.asarray(Image.open(folder / "a.png"))
        Image.fromarray(np.ascontiguousarray(image[::-1])).save(folder / f"{image_id}.png")


def add_model(study, model_id):
    """Add a model that darkens."""
    folder = study.path.parent / "restored" / model_id / "notta"
    folder.mkdir(parents=True)
    for path in study.references.iterdir():
        Image.fromarray(np.asarray(Image.open(path)) // 2).save(folder / path.name)
    text = study.path.read_text()
    entry = f'[[models]]\nmodel_id = "{model_id}"\nnotta = "restored/{model_id}/notta"\n[labels]'
    study.path.write_text(text.replace("[labels]", entry))
    return load_study(study.path)


@pytest.fixture(scope="module")
def frozen_root(small_study_root, tmp_path_factory):
    """Give the folder of the small study, frozen and built so."""
    root = tmp_path_factory.mktemp("growth") / "study"
    shutil.copytree(small_study_root, root)
    study = load_study(root / "study.toml")
    freeze_study(study)
    build_warehouse(name_frozen_file(study))
    return root


@pytest.fixture
def frozen_study(frozen_root, tmp_path):
    """Give a copy of the frozen study, to be grown."""
    shutil.copytree(frozen_root, tmp_path / "study")
    return load_study(tmp_path / "study" / "study.toml")


@pytest.fixture
def plan(frozen_study):
    """Give a function that plans the frozen study's next build."""

    def find(study=frozen_study, frozen=None, files=(), **recipe):
        frozen = frozen or read_frozen(study)
        manifest = read_raw_manifest(study.raw)
        manifest["files"] |= dict(files)
        recipe = describe_build(study, manifest, [HyraFolder()], {"frozen": frozen.sha256}) | recipe
        return plan_growth(study, manifest, recipe, frozen)

    return find


def test_freezing_moves_no_value(small_study_root, frozen_study):
    before = load_study(small_study_root / "study.toml")
    lines = (before.output / "exports" / "SHA256SUMS").read_text().splitlines()
    found = read_sums(frozen_study)
    different = {line.split("  ")[1] for line in lines if found[line[66:]] != line[:64]}
    assert different == OF_THE_BASIS
    with open_warehouse(frozen_study.warehouse) as connection:
        rows = connection.sql(
            "select basis_id, bool_or(is_scoring), min(alignment) from mart_pca_basis"
            " where basis_id in ('pooled', 'frozen') and pc_number = 1 group by all order by all"
        ).fetchall()
        ((kind, name),) = connection.sql(
            "select distinct parent_kind, parent_name from mart_provenance"
            " where child_name = 'stg_raw__frozen_limits' and parent_kind like '%file'"
        ).fetchall()
        ((basis, alignment),) = connection.sql(
            "select axis_basis, axis_alignment from dim_study"
        ).fetchall()
    assert [row[:2] for row in rows] == [("frozen", True), ("pooled", False)]
    assert (basis, alignment) == ("frozen", rows[1][2])
    assert (kind, name) == ("frozen_file", "frozen/study.frozen.toml")


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "standard"])
def test_grown_and_built_from_nothing_are_the_same_bytes(
    frozen_study, small_study, tmp_path, is_frozen
):
    before = frozen_study if is_frozen else small_study
    add_image(before, "bb")
    study = add_model(before, "aaa")
    ingest_study(study, workers=1)
    report = build_warehouse(study)
    assert report.reason is None
    assert report.carried_blocks == 3 * 2 * 6
    whole = replace(study, output=tmp_path / "whole")
    shutil.copytree(study.raw, whole.raw)
    assert build_warehouse(whole).carried_blocks == 0
    found = read_sums(study)
    assert found == read_sums(whole)
    assert found["fct_blocks/aaa.parquet"]
    assert verify(study.output, study).findings == ()
    with open_warehouse(study.warehouse) as connection:
        ((count, images, models),) = connection.sql(
            "select count(*), count(distinct image_id), count(distinct model_id) from fct_blocks"
        ).fetchall()
        kept = connection.sql(
            "select table_name from information_schema.tables where table_schema = 'intermediate'"
        ).fetchall()
        states = connection.sql(
            "select model_id, ssim_p90 from mart_limits where model_id = 'aaa'"
        ).fetchall()
    assert (count, images, models) == (4 * 3 * 6, 4, 3)
    assert all(name.startswith("int_") for (name,) in kept)
    assert states[0][1] is not None


def list_growing(study):
    """Names of the dbt models that the study's last build added to, or could have."""
    path = study.output / "dbt" / "target" / "manifest.json"
    nodes = json.loads(path.read_text())["nodes"].values()
    return {node["name"] for node in nodes if node["config"]["materialized"] == GROWING}


def list_kept(study):
    with open_warehouse(study.warehouse) as connection:
        rows = connection.sql(
            "select table_name from information_schema.tables"
            " where table_schema not in ('main', 'information_schema')"
        ).fetchall()
    return {name for (name,) in rows}


def test_only_tables_that_grow_are_carried(small_study, frozen_study):
    frozen, standard = list_growing(frozen_study), list_growing(small_study)
    assert all(name.startswith("int_") for name in frozen)
    blocks = {STORED_BLOCKS, *BLOCK_VIEWS}
    assert list_kept(frozen_study) == frozen | blocks
    assert list_kept(small_study) == standard | blocks
    # What is compared with limits that move is made anew.
    assert frozen - standard == {
        "int_tier3_counts",
        "int_image_lesions",
        "int_image_area_extremes",
    }
    own = replace(small_study, axis="own")
    assert build_warehouse(own).axis_basis == "pooled"
    assert list_kept(own) == blocks


def test_what_was_carried_gets_its_rows_once(small_study, tmp_path):
    database = tmp_path / "copy.duckdb"
    carried = copy_published(small_study, database)
    stored = f"{CARRIED_SCHEMA}.{STORED_BLOCKS}"
    assert carried[stored] == 36
    variables = describe_study(small_study)
    select = ["run", "--select", STORED_BLOCKS]
    for rows, flag in ({stored: 35}, []), ({"other": 1}, []), (carried, ["--full-refresh"]):
        said = f"{rows.get(stored, 'no')} rows were carried, 36 are there.*upscale-audit"
        with pytest.raises(StudyError, match=said):
            run_dbt(small_study, database, select + flag, variables=variables, carried=rows)


def test_a_warehouse_of_which_nothing_has_changed_stands(small_study):
    before, file = read_sums(small_study), small_study.warehouse.stat()
    (small_study.output / f".{small_study.warehouse.name}.next").write_bytes(b"left over")
    ingest_study(small_study, workers=1)
    names = []
    report = build_warehouse(small_study, progress=lambda *node: names.append(node))
    assert (report.stands, names, report.reason) == (True, [], None)
    assert report.axis_basis == "standard-1"
    found = small_study.warehouse.stat()
    assert (found.st_ino, found.st_mtime_ns) == (file.st_ino, file.st_mtime_ns)
    assert not (small_study.output / f".{small_study.warehouse.name}.next").exists()
    assert read_sums(small_study) == before


def test_a_byte_of_the_published_file_or_of_a_manifest_makes_a_build(small_study):
    inputs = build.read_inputs(small_study)
    assert build._is_published(small_study, inputs)
    changed = replace(inputs, recipe=inputs.recipe | {"has_lr": True})
    assert not build._is_published(small_study, changed)
    manifest = small_study.raw / MANIFEST
    text = manifest.read_text()
    manifest.write_text(text + "\n")
    assert not build._is_published(small_study, inputs)
    manifest.write_text(text)
    assert build._is_published(small_study, inputs)
    small_study.warehouse.chmod(0o644)
    with open(small_study.warehouse, "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)[0]
        file.seek(-1, 2)
        file.write(bytes([last ^ 1]))
    assert not build._is_published(small_study, inputs)
    small_study.warehouse.unlink()
    assert not build._is_published(small_study, inputs)


def test_nothing_added_keeps_every_block(plan):
    growth = plan()
    assert growth.adds
    assert growth.shards == ()


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ({"parameters": {}}, "a parameter changed"),
        ({"has_lr": True}, "what the study says of LR images changed"),
        ({"code": {}}, "upscale-audit changed"),
        ({"dbt_project_sha256": ""}, "the SQL changed"),
        ({"duckdb_version": "0"}, "DuckDB changed"),
        ({"inputs": {}}, "the frozen file changed"),
        ({"axis": {"scoring_basis": "standard-1"}}, "the axis changed"),
    ],
)
def test_what_decides_a_block_makes_a_build_start_from_nothing(plan, part, reason):
    assert reason in plan(**part).reason


def test_seams_of_carried_blocks_at_another_tile_make_a_build_start_from_nothing(
    plan, frozen_study
):
    models = frozen_study.models
    first = replace(frozen_study, models=(replace(models[0], tile_px=16), *models[1:]))
    assert plan(first).reason == f"the tile of {models[0].model_id} changed since the last build"
    added = replace(frozen_study, models=(*models, replace(models[0], model_id="z", tile_px=24)))
    assert plan(added).reason == "z has a tile that no model had"


def test_a_study_with_an_axis_of_its_own_starts_from_nothing(plan, frozen_study):
    own = replace(frozen_study, frozen=None, axis="own")
    assert plan(own, frozen=Frozen()).reason == "the axis is the study's own"


def test_a_changed_image_starts_from_nothing(plan, frozen_study):
    shutil.copyfile(frozen_study.references / "b.png", frozen_study.models[0].notta / "a.png")
    ingest_study(frozen_study, workers=1)
    assert "changed or is gone" in plan().reason


@pytest.mark.parametrize("name", ["boxes/boxes.parquet", "regions/regions.parquet"])
def test_boxes_and_regions_that_moved_start_from_nothing(plan, name):
    assert plan(files={name: "0" * 64}).reason == f"raw/{name} changed or is gone"


def test_a_model_that_left_starts_from_nothing(plan, frozen_study):
    study = replace(frozen_study, models=frozen_study.models[:1])
    ingest_study(study, workers=1)
    assert "changed or is gone" in plan(study).reason


def test_a_model_that_left_and_had_no_whole_block_starts_from_nothing():
    without = {"files": {}, "models": ["alpha"], "block_shards": []}
    growth = _find_added({}, {"alpha", "beta"}, without, Frozen())
    assert growth.reason == "the model beta is no longer in the study"
    assert _find_added({}, {"alpha"}, without, Frozen()).adds


def test_images_of_a_model_that_came_after_the_freeze_start_from_nothing(plan, frozen_study):
    frozen = read_frozen(frozen_study)
    frozen.rows["frozen_limits"][:] = frozen.rows["frozen_limits"][:1]
    add_image(frozen_study, "d")
    ingest_study(frozen_study, workers=1)
    assert plan().adds
    assert plan(frozen=frozen).reason == (
        "images were added to beta, which has no limits in the frozen file"
    )


def test_a_damaged_warehouse_is_not_grown(plan, frozen_study):
    frozen_study.warehouse.chmod(0o644)
    with open(frozen_study.warehouse, "r+b") as file:
        file.seek(-5, 2)
        file.write(b"wrong")
    # Which of the two depends on whether DuckDB reads those bytes when it opens the file.
    assert re.search("not as it was published|cannot be read", plan().reason)
    (frozen_study.output / "warehouse.manifest.json").unlink()
    assert "cannot be read" in plan().reason


def test_a_sound_warehouse_that_somebody_changed_is_not_grown(plan, frozen_study):
    assert plan().adds
    frozen_study.warehouse.chmod(0o644)
    with duckdb.connect(str(frozen_study.warehouse)) as connection:
        connection.execute("create table note as select 1 as line")
    assert plan().reason == "the published warehouse is not as it was published"


def test_a_warehouse_with_rows_taken_out_is_not_grown(plan, frozen_study):
    frozen_study.warehouse.chmod(0o644)
    with duckdb.connect(str(frozen_study.warehouse)) as connection:
        connection.execute(f"delete from {CARRIED_SCHEMA}.{STORED_BLOCKS} where image_id = 'a'")
    assert "rows were taken out" in plan().reason


def test_an_edited_frozen_file_is_found(frozen_study):
    with open(frozen_study.frozen, "a") as file:
        file.write("\n# a remark\n")
    findings = verify(frozen_study.output, frozen_study).findings
    assert ("differs", "study.frozen.toml") in {(item.problem, item.name) for item in findings}


def test_a_copy_is_whole_however_it_is_made(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(bytes(range(256)) * 1000)
    _copy_file(source, target)
    assert target.read_bytes() == source.read_bytes()

    def refuse(*_):
        raise OSError("not here")

    monkeypatch.setattr("os.copy_file_range", refuse)
    target.unlink()
    _copy_file(source, target)
    assert target.read_bytes() == source.read_bytes()
