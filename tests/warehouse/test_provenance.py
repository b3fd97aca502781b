"""Lineage in SQL, recipes and roots: each answer against the files themselves."""

import hashlib
import json
from dataclasses import replace

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json
from upscale_audit.ingest.manifests import MANIFEST, SOURCES, SUMS, read_manifest
from upscale_audit.ingest.merkle import find_root, follow, hash_leaf
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.sources import find_sources
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.dbt_runner import PROJECT
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.lineage import read_sums
from upscale_audit.warehouse.proof.inclusion import describe_proof
from upscale_audit.warehouse.proof.provenance import EXPORTS_MANIFEST, WAREHOUSE_MANIFEST


@pytest.fixture(scope="module")
def edges(query):
    """Give every edge as (child, parent), each a (kind, name)."""
    rows = query("select child_kind, child_name, parent_kind, parent_name from mart_provenance")
    return {((a, b), (c, d)) for a, b, c, d in rows.iter_rows()}


def reach(edges, start):
    """Everything that edges lead to from an artefact."""
    found, waiting = set(), [start]
    while waiting:
        here = waiting.pop()
        for child, parent in edges:
            if child == here and parent not in found:
                found.add(parent)
                waiting.append(parent)
    return found


def test_every_hash_is_that_of_the_file(query, sample_study):
    sources = find_sources(sample_study)
    definitions = {path.stem: path for path in PROJECT.rglob("*.sql")}
    definitions |= {path.stem: path for path in PROJECT.rglob("seeds/*.csv")}
    for side in ("child", "parent"):
        rows = query(
            f"select distinct {side}_kind, {side}_name, {side}_hash_of, {side}_sha256"
            " from mart_provenance"
        )
        for kind, name, hash_of, sha256 in rows.iter_rows():
            path = {
                "source_file": lambda name: sources[name],
                "raw_file": lambda name: sample_study.raw / name,
                "macro": lambda name: PROJECT / name,
            }.get(kind, lambda name: definitions[name])(name)
            assert hash_file(path) == sha256, (kind, name)
            assert hash_of == ("bytes" if kind in ("source_file", "raw_file") else "definition")


def test_every_source_file_and_every_raw_file_is_an_artefact(edges, sample_study):
    artefacts = {item for edge in edges for item in edge}
    named = {name for kind, name in artefacts if kind == "source_file"}
    assert named == set(find_sources(sample_study))
    files = read_manifest(sample_study.raw / MANIFEST, "x")["files"]
    listed = {name for kind, name in artefacts if kind == "raw_file"}
    assert listed == {*files, MANIFEST} - {SUMS}


def test_every_table_of_the_warehouse_is_a_mart_with_parents(edges, query):
    tables = set(query("select table_name from dim_tables")["table_name"])
    assert {name for (kind, name), _ in edges if kind == "mart"} == tables


def test_no_artefact_stands_behind_itself(edges):
    for start in {child for child, _ in edges}:
        assert start not in reach(edges, start)


def test_a_shard_has_its_models_images_and_the_references_behind_it_and_no_other(
    edges, sample_study
):
    for child, parent in edges:
        if child[0] == "raw_file" and child[1].startswith("blocks/"):
            model_id = child[1].split("/")[1].removeprefix("model_id=")
            assert parent[1].startswith(("reference/", "lr/", f"restored/{model_id}/"))
    shard = next(child for child, _ in edges if "model_id=bicubic" in child[1])
    assert len(reach(edges, shard)) == 18


def test_the_cookbook_answers_which_files_stand_behind_a_row(query, repository, sample_study):
    sql = (repository / "analysis/cookbook/which_files_stand_behind_a_row.sql").read_text()
    rows = query(sql.rstrip().removesuffix(";"))
    own = rows.filter(reaches_it_as="own")
    assert list(own["source_file"]) == [
        "lr/rg1_r0c0.png",
        "reference/rg1_r0c0.png",
        "restored/bicubic/notta/rg1_r0c0.png",
    ]
    sources = find_sources(sample_study)
    assert list(own["sha256"]) == [hash_file(sources[name]) for name in own["source_file"]]
    assert set(rows["source_file"]) == set(sources)


def test_the_cookbook_answers_what_changes_if_a_file_changes(query, repository, edges):
    sql = (repository / "analysis/cookbook/what_changes_if_a_file_changes.sql").read_text()
    rows = query(sql.rstrip().removesuffix(";"))
    found = set(rows.iter_rows())
    file = ("source_file", "reference/rg1_r0c0.png")
    expected = {child for child, _ in edges if file in reach(edges, child)}
    assert found == {item for item in expected if item[0] in ("raw_file", "mart")}
    assert ("mart", "fct_blocks") in found
    assert ("mart", "dim_components") not in found


def test_the_study_row_holds_the_manifests_recipes_and_roots(query, sample_study):
    (row,) = query("select * from dim_study").to_dicts()
    raw = read_manifest(sample_study.raw / MANIFEST, "x")
    build = read_manifest(sample_study.output / WAREHOUSE_MANIFEST, "x")
    assert row["raw_recipe_sha256"] == raw["recipe_sha256"]
    assert row["raw_content_sha256"] == raw["content_sha256"]
    assert row["build_recipe_sha256"] == build["recipe_sha256"]
    assert row["raw_root"] == raw["merkle_root"]
    lines = (sample_study.raw / SOURCES).read_bytes().splitlines(keepends=True)
    assert row["sources_root"] == find_root(lines)
    assert row["source_file_count"] == len(lines) == 66


def test_the_source_list_names_every_file_of_the_study_with_its_hash(sample_study):
    listed = read_sums((sample_study.raw / SOURCES).read_text())
    assert listed == {name: hash_file(path) for name, path in find_sources(sample_study).items()}


def test_each_manifest_names_the_one_before(sample_study):
    output = sample_study.output
    warehouse = read_manifest(output / WAREHOUSE_MANIFEST, "x")
    exports = read_manifest(output / "exports" / MANIFEST, "x")
    assert warehouse["parents"] == {f"raw/{MANIFEST}": hash_file(output / "raw" / MANIFEST)}
    linked = read_manifest(output / EXPORTS_MANIFEST, "x")
    assert linked["parents"] == {WAREHOUSE_MANIFEST: hash_file(output / WAREHOUSE_MANIFEST)}
    assert linked["files"] == {f"exports/{MANIFEST}": hash_file(output / "exports" / MANIFEST)}
    assert exports["parents"] == {}
    assert warehouse["files"] == {"warehouse.duckdb": hash_file(sample_study.warehouse)}
    assert exports["recipe"]["inputs"]["warehouse"] == warehouse["recipe_sha256"]


def test_no_manifest_holds_a_folder_of_this_machine_or_a_time(sample_study, repository):
    for path in sample_study.output.rglob("*manifest.json"):
        if "dbt" in path.relative_to(sample_study.output).parts:
            continue
        text = path.read_text()
        assert str(sample_study.output) not in text
        assert str(repository) not in text
        assert "_at" not in {key[-3:] for key in json.loads(text)}


def read_hashes(study):
    paths = (study.raw / MANIFEST, study.output / WAREHOUSE_MANIFEST)
    paths = (*paths, study.output / "exports" / MANIFEST)
    return [
        (manifest["recipe_sha256"], manifest["content_sha256"])
        for manifest in (read_manifest(path, "x") for path in paths)
    ]


@pytest.mark.long
def test_recipes_and_contents_move_only_with_what_they_name(small_study):
    before = read_hashes(small_study)
    parameters = replace(small_study.analysis_parameters, bootstrap_seed="other")
    other = replace(small_study, analysis_parameters=parameters)
    build_warehouse(other)
    export_tables(other)
    seeded = read_hashes(other)
    assert seeded[0] == before[0]
    assert seeded[1][0] != before[1][0]
    assert seeded[2][0] != before[2][0]
    ingest_study(small_study, workers=1)
    build_warehouse(small_study)
    export_tables(small_study)
    again = read_hashes(small_study)
    assert again[0] == before[0]
    assert again[1][0] == before[1][0]
    assert again[2] == before[2]


@pytest.mark.long
def test_labels_refused_files_and_published_files_are_sources_too(tiny_study):
    root = tiny_study.root
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
    header += "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]\n"
    (root / "entries.csv").write_text(header + "a.png,No Finding,0,1,58,M,PA,8,8,0.1,0.1\n")
    tiny_study.put("b.png", b"text", "alpha")
    study = tiny_study.load(labels='entries = "entries.csv"')
    ingest_study(study, workers=1)
    build_warehouse(study)
    listed = read_sums((study.raw / SOURCES).read_text())
    assert listed["labels/entries.csv"] == hash_file(root / "entries.csv")
    assert listed["restored/alpha/notta/b.png"] == hashlib.sha256(b"text").hexdigest()
    with open_warehouse(study.warehouse) as connection:
        children = connection.sql(
            "select child_name from mart_provenance where parent_name = 'labels/entries.csv'"
        ).fetchall()
    assert children == [("labels/labels.parquet",)]


def test_a_proof_leads_from_a_file_to_the_studys_root(sample_study, query):
    root = query("select sources_root from dim_study").item()
    path = find_sources(sample_study)["restored/bicubic/notta/rg1_r1c0.png"]
    for file in ("restored/bicubic/notta/rg1_r1c0.png", "bicubic/notta/rg1_r1c0.png", str(path)):
        lines = [line.split(" ", 1) for line in describe_proof(sample_study, file)[1:]]
        line = f"{hash_file(path)}  restored/bicubic/notta/rg1_r1c0.png\n".encode()
        assert lines[0] == ["line", line.decode().rstrip("\n")]
        assert lines[1] == ["leaf", hash_leaf(line).hex()]
        assert follow(line, lines[2:-1]) == root == lines[-1][1]
    assert describe_proof(sample_study) == ["leaves 66", f"root {root}"]


def test_a_name_that_several_files_end_in_is_no_proof_of_one(sample_study):
    with pytest.raises(StudyError, match=r"files of this study end in rg1_r1c0.png: .*name one"):
        describe_proof(sample_study, "rg1_r1c0.png")


def test_a_recipe_is_the_hash_of_what_the_manifest_shows(sample_study):
    manifest = read_manifest(sample_study.output / WAREHOUSE_MANIFEST, "x")
    assert manifest["recipe_sha256"] == hash_json(manifest["recipe"])
    assert set(manifest["recipe"]) == {
        "parameters",
        "axis",
        "models",
        "model_facts",
        "has_lr",
        "composites",
        "code",
        "dbt_project_sha256",
        "duckdb_version",
        "dependencies_sha256",
        "inputs",
    }
