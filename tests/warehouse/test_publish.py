"""Publication: whole or not at all, the same bytes every time, readers undisturbed."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.browser import dump_page, needs_browser
from upscale_audit.analysis.connection import explain
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, locked
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SOURCES,
    WAREHOUSE_MANIFEST,
    restate,
    write_manifest,
)
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.warehouse import block_files, export
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.cli.drawing import write_study_report
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.docs import write_docs
from upscale_audit.warehouse.export import export_tables


@pytest.mark.long
def test_exports_are_the_same_bytes_at_one_and_two_threads_and_twice(sample_study):
    sums = sample_study.output / "exports" / "SHA256SUMS"
    first = sums.read_bytes()
    for threads in (1, 2):
        # Without one to add to, a build starts from nothing.
        sample_study.warehouse.unlink()
        build_warehouse(sample_study, threads=threads)
        export_tables(sample_study)
        assert sums.read_bytes() == first


def test_sha256sums_is_what_sha256sum_checks(sample_study):
    folder = sample_study.output / "exports"
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True
    )
    assert checked.returncode == 0
    listed = {line.split("  ", 1)[1] for line in (folder / "SHA256SUMS").read_text().splitlines()}
    found = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert listed == found - {"SHA256SUMS", "manifest.json"}


@pytest.mark.long
def test_the_published_file_opens_in_older_shells_and_has_marts_and_what_grows(small_study):
    with open_warehouse(small_study.warehouse) as connection:
        version = connection.sql(
            "select tags['storage_version'] from duckdb_databases()"
            " where database_name = 'warehouse'"
        ).fetchall()
        schemas = connection.sql(
            "select distinct schema_name from duckdb_tables() order by schema_name"
        ).fetchall()
        views = connection.sql(
            "select schema_name, view_name from duckdb_views() where not internal"
        ).fetchall()
    assert version[0][0].startswith("v1.5")
    assert schemas == [("intermediate",), ("main",)]
    assert sorted(views) == [
        ("intermediate", "int_block_states_exported"),
        ("intermediate", "int_blocks_completed"),
        ("main", "dim_blocks"),
        ("main", "fct_block_states"),
        ("main", "fct_blocks"),
        ("main", "fct_published_block_states"),
    ]


def test_the_view_of_states_needs_neither_the_files_name_nor_its_place(sample_study, tmp_path):
    query = (
        "select model_id, zone, state_axis, state_error, direction_notta, count(*)"
        " from {}fct_block_states"
        " group by model_id, zone, state_axis, state_error, direction_notta order by all"
    )
    with open_warehouse(sample_study.warehouse) as connection:
        expected = connection.sql(query.format("")).fetchall()
    assert sum(row[-1] for row in expected) == 5 * 6 * 64 * 64
    copied = tmp_path / "another name.duckdb"
    shutil.copyfile(sample_study.warehouse, copied)
    with open_warehouse(copied) as connection:
        assert connection.sql(query.format("")).fetchall() == expected
    for alias in ("w", "warehouse"):
        with duckdb.connect() as connection:
            connection.execute(f"attach '{copied}' as {alias} (read_only)")
            assert connection.sql(query.format(f"{alias}.")).fetchall() == expected


def test_floats_are_the_exact_numbers_as_doubles_and_carry_their_meanings(small_study):
    export_tables(small_study)
    folder = small_study.output / "exports"
    exact = {path.relative_to(folder): pq.read_table(path) for path in folder.rglob("*.parquet")}
    export_tables(small_study, has_floats=True)
    assert {path.relative_to(folder) for path in folder.rglob("*.parquet")} == set(exact)
    decimals = 0
    for name, table in exact.items():
        path = folder / name
        found = pq.ParquetFile(path).read()
        assert not any(pa.types.is_decimal(kind) for kind in found.schema.types)
        for column, kind in zip(table.column_names, table.schema.types, strict=True):
            values = table[column].to_pylist()
            if pa.types.is_decimal(kind):
                decimals += 1
                values = [None if value is None else float(value) for value in values]
            if name.parts[0] != "dictionary":
                assert found[column].to_pylist() == values or kind == pa.float64()
        if name.parts[0] == "dictionary":
            continue
        metadata = pq.read_schema(path).metadata
        meanings = json.loads(metadata[b"columns"])
        assert list(meanings) == sorted(table.column_names)
        assert all(meanings.values())
        assert b"One row per" in metadata[b"description"]
    assert decimals > 40
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["recipe"]["arguments"] == ["--floats"]


@pytest.mark.parametrize("has_floats", [False, True])
def test_the_dictionary_has_every_exported_table_and_column(small_study, has_floats):
    export_tables(small_study, has_floats=has_floats)
    folder = small_study.output / "exports"
    tables = pq.read_table(folder / "dictionary" / "dim_tables.parquet").to_pylist()
    columns = pq.read_table(folder / "dictionary" / "dim_columns.parquet").to_pylist()
    assert all(row["grain"] and row["description"] for row in tables)
    assert all(row["description"] for row in columns)
    assert any(row["data_type"].startswith("DECIMAL") for row in columns) != has_floats
    for row in tables:
        name = row["table_name"]
        place = folder / f"{name}.parquet"
        path = place if place.is_file() else next((folder / name).iterdir())
        listed = [item["column_name"] for item in columns if item["table_name"] == name]
        assert listed == pq.read_schema(path).names
    with (folder / "dictionary" / "dim_columns.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert [row["column_name"] for row in read] == [row["column_name"] for row in columns]
    assert [row["description"] for row in read] == [row["description"] for row in columns]


def test_block_tables_are_exported_a_file_a_model(sample_study):
    folder = sample_study.output / "exports"
    models = {model.model_id for model in sample_study.models}
    for table in ("fct_blocks", "fct_block_states"):
        assert {path.stem for path in (folder / table).iterdir()} == models
        assert not (folder / f"{table}.parquet").exists()
    rows = pq.ParquetFile(folder / "fct_block_states" / "bicubic.parquet").read()
    assert set(rows["model_id"].to_pylist()) == {"bicubic"}
    places = ("image_id", "block_row", "block_col")
    keys = list(zip(*(rows[name].to_pylist() for name in places), strict=True))
    assert len(keys) == 6 * 64 * 64
    assert keys == sorted(keys)


IN_ORDER, OUT_OF_ORDER = "bicubic", "span_x2_ch48"


@pytest.fixture(scope="module")
def many_blocks(sample_study, tmp_path_factory):
    """Give a copy of the sample's warehouse in which two models have 15 times as many images.

    Of one the blocks that were added lie in the order of their grain, of the other the wrong way
    round: three row groups of an exported file each.
    """
    path = tmp_path_factory.mktemp("many") / "warehouse.duckdb"
    shutil.copyfile(sample_study.warehouse, path)
    path.chmod(0o644)
    copies = "range(10, 24) as copies (copy)"
    renamed = "replace ('z' || copy || image_id as image_id)"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"insert into dim_images select images.* {renamed} from dim_images as images, {copies}"
        )
        for model_id, turn in ((IN_ORDER, "asc"), (OUT_OF_ORDER, "desc")):
            connection.execute(
                f"insert into intermediate.int_blocks_scored select blocks.* {renamed}"
                f" from intermediate.int_blocks_scored as blocks, {copies}"
                f" where blocks.model_id = '{model_id}'"
                f" order by copy {turn}, blocks.image_id, block_row, block_col"
            )
    return path


def write_blocks(path, folder, table, monkeypatch, threads=2, memory="1GB"):
    """Write a table of blocks with so many cores and so much memory; the files by model."""
    monkeypatch.setattr(block_files, "THREADS", threads)
    monkeypatch.setenv("UPSCALE_AUDIT_MEMORY", memory)
    folder.mkdir()
    with open_warehouse(path) as connection:
        ((grain,),) = connection.execute(
            "select grain from dim_tables where table_name = ?", [table]
        ).fetchall()
        models = connection.sql("select model_id from dim_models").fetchall()
    wanted = [block_files.BlockTable(table, grain)]
    names = [model_id for (model_id,) in models]
    assert list(block_files.write_block_files(path, wanted, names, folder, folder / "spill"))
    return {path.stem: path for path in (folder / table).iterdir()}


@pytest.mark.parametrize("table", block_files.SPLIT_BY_MODEL)
def test_blocks_that_lie_in_order_are_exported_unsorted_with_the_same_bytes(
    many_blocks, tmp_path, monkeypatch, table
):
    found = write_blocks(many_blocks, tmp_path / "as_they_lie", table, monkeypatch)
    limits = {"alone": (1, "300MB"), "threads of writers": (11, "2GB")}
    others = [
        write_blocks(many_blocks, tmp_path / name, table, monkeypatch, *each)
        for name, each in limits.items()
    ]
    with open_warehouse(many_blocks, tmp_path) as connection:
        assert block_files.lies_in_order(connection, IN_ORDER)
        assert not block_files.lies_in_order(connection, OUT_OF_ORDER)
    monkeypatch.setattr(block_files, "lies_in_order", lambda connection, model_id: False)
    expected = write_blocks(many_blocks, tmp_path / "sorted", table, monkeypatch)
    others.append(write_blocks(many_blocks, tmp_path / "two", table, monkeypatch, 11, "2GB"))
    assert len(expected) == 5
    for model_id, path in expected.items():
        for files in (found, *others):
            assert files[model_id].read_bytes() == path.read_bytes()
    assert pq.read_metadata(expected[IN_ORDER]).num_row_groups == 3


@pytest.mark.parametrize("late_s", [0, 0.3])
def test_a_writer_that_fails_stops_the_others_and_is_said(
    many_blocks, tmp_path, monkeypatch, late_s
):
    begun = []

    def fail(connection, table, model_id, ordered, folder):
        begun.append(model_id)
        if model_id == "a":
            raise ValueError("no such thing")
        time.sleep(late_s)  # its query begins when all have been told to stop
        connection.execute("select sum(range) from range(1_000_000_000_000)")

    monkeypatch.setattr(block_files, "THREADS", 2)
    monkeypatch.setattr(block_files, "lies_in_order", lambda connection, model_id: True)
    monkeypatch.setattr(block_files, "_write_file", fail)
    tables = [block_files.BlockTable("fct_blocks", ())]
    written = block_files.write_block_files(many_blocks, tables, "abcd", tmp_path, tmp_path / "s")
    with pytest.raises(ValueError, match="no such thing"):
        list(written)
    assert "d" not in begun


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("7GB", "3.500GB"),
        ("1.5 GiB", "0.750GiB"),
        ("80%", "40.000%"),
        ("-1", "-1"),
        ("none", "none"),
    ],
)
def test_a_writers_share_of_memory_is_spelled_as_duckdb_reads_it(limit, expected):
    assert block_files.divide_memory(limit, 2) == expected
    with duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{expected}'")


@pytest.mark.parametrize("table", block_files.SPLIT_BY_MODEL)
def test_exported_blocks_are_those_of_the_warehouse_in_the_order_of_their_grain(
    many_blocks, tmp_path, monkeypatch, table
):
    files = write_blocks(many_blocks, tmp_path / "out", table, monkeypatch)
    with open_warehouse(many_blocks) as connection:
        for model_id, path in files.items():
            expected = connection.sql(
                f"select * from {table} where model_id = ? order by image_id, block_row, block_col",
                params=[model_id],
            ).to_arrow_table()
            found = pq.ParquetFile(path).read()
            assert found.column_names == expected.column_names
            for name, column in zip(found.column_names, expected.columns, strict=True):
                assert found[name].type == column.type, name
                assert found[name].combine_chunks().equals(column.combine_chunks()), name


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("a00 a01 a10 a11 b00 b01 b10 b11", True),
        ("a00 b00 a01 b01 a10 b10 a11 b11", False),
        ("b00 b01 b10 b11 a00 a01 a10 a11", False),
        ("a00 a10 a01 a11 b00 b01 b10 b11", False),
        ("a01 a00 a10 a11", False),
        ("", True),
    ],
)
def test_the_order_of_stored_blocks_is_seen(places, expected):
    with duckdb.connect() as connection:
        connection.execute("create table dim_images (image_id varchar, block_cols integer)")
        connection.execute("insert into dim_images values ('a', 2), ('b', 2)")
        connection.execute(
            "create table stored"
            " (model_id varchar, image_id varchar, block_row smallint, block_col smallint)"
        )
        connection.execute("create schema intermediate")
        connection.execute(
            "create view intermediate.int_blocks_completed"
            " as select rowid as block_number, * from stored"
        )
        connection.execute("insert into stored values ('other', 'a', 0, 0)")
        for image_id, row, col in places.split():
            values = ["m", image_id, int(row), int(col)]
            connection.execute("insert into stored values (?, ?, ?, ?)", values)
        assert block_files.lies_in_order(connection, "m") == expected


def test_a_damaged_shard_stops_the_build_and_the_old_warehouse_stands(small_study):
    before = hash_file(small_study.warehouse)
    shard = next((small_study.raw / "blocks").rglob("*.parquet"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StudyError, match=r"not as ingest wrote it.*upscale-audit ingest"):
        build_warehouse(small_study)
    assert hash_file(small_study.warehouse) == before
    assert not list(small_study.output.glob(".warehouse*"))


@pytest.mark.long
def test_a_failed_data_test_publishes_nothing_and_is_named(small_study):
    """A shard with one block twice, and a manifest that agrees with it."""
    before = hash_file(small_study.warehouse)
    manifest = json.loads((small_study.raw / MANIFEST).read_text())
    name = manifest["block_shards"][0]
    table = pq.ParquetFile(small_study.raw / name).read()
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), small_study.raw / name)
    manifest["files"][name] = hash_file(small_study.raw / name)
    write_manifest(small_study.raw / MANIFEST, manifest | restate(manifest))
    Journal(small_study.output, "raw").add(MANIFEST, hash_file(small_study.raw / MANIFEST))
    said = r"assert_blocks_fill_their_grid: Got 1 result, .*, first: .*image_id = a"
    with pytest.raises(StudyError, match=said):
        build_warehouse(small_study)
    assert hash_file(small_study.warehouse) == before


def seal(manifest, more):
    """Add to a manifest's recipe, and let it agree with itself."""
    changed = manifest | {"recipe": manifest["recipe"] | more}
    return changed | restate(changed)


FORGERIES = {
    "study": lambda manifest: manifest | {"study": "other"},
    "models": lambda manifest: manifest | {"models": ["alpha"]},
    "has_published": lambda manifest: manifest | {"has_published": True},
    "sources_root": lambda manifest: manifest | {"sources_root": "0" * 64},
    "block_shards": lambda manifest: manifest | {"block_shards": manifest["block_shards"][:1]},
    "recipe_sha256": lambda manifest: manifest | {"recipe": manifest["recipe"] | {"pairing": "x"}},
    "has_lr": lambda manifest: seal(
        manifest, {"lr": {"rule": "box", "scale": 2, "has_files": False}}
    ),
    "is not as ingest writes it": lambda manifest: {
        name: value for name, value in manifest.items() if name != "models"
    },
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_changed_sign_off_is_not_believed_even_where_every_file_is_whole(tiny_study, what):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    manifest = json.loads((study.raw / MANIFEST).read_text())
    write_manifest(study.raw / MANIFEST, FORGERIES[what](manifest))
    with pytest.raises(StudyError, match=rf"{what}.*; run upscale-audit ingest|{what}; run"):
        build_warehouse(study)
    assert not study.warehouse.exists()
    ingest_study(study, workers=1)
    assert json.loads((study.raw / MANIFEST).read_text()) == manifest


def test_a_source_list_that_is_gone_and_struck_off_stops_the_build(tiny_study):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    manifest = json.loads((study.raw / MANIFEST).read_text())
    del manifest["files"][SOURCES]
    write_manifest(study.raw / MANIFEST, manifest | restate(manifest))
    (study.raw / SOURCES).unlink()
    with pytest.raises(StudyError, match=r"sources_root.*run upscale-audit ingest"):
        build_warehouse(study)


def seed_anew(study):
    """Give a study with a parameter changed, so that a build makes something."""
    parameters = replace(study.analysis_parameters, bootstrap_seed="other")
    return replace(study, analysis_parameters=parameters)


@pytest.mark.long
def test_a_reader_keeps_its_snapshot_through_a_publication(small_study):
    with open_warehouse(small_study.warehouse) as old:
        count = old.sql("select count(*) from fct_blocks").fetchall()
        assert not build_warehouse(seed_anew(small_study)).stands
        assert old.sql("select count(*) from fct_blocks").fetchall() == count
    with open_warehouse(small_study.warehouse) as new:
        assert new.sql("select count(*) from fct_blocks").fetchall() == count


@pytest.mark.long
def test_a_build_killed_at_any_moment_leaves_the_old_warehouse_and_can_be_rerun(small_study):
    export_tables(small_study)
    with open_warehouse(small_study.warehouse) as connection:
        expected_tables = connection.sql("select table_name from duckdb_tables()").fetchall()
    expected = (small_study.output / "exports" / "SHA256SUMS").read_bytes()
    (small_study.output / WAREHOUSE_MANIFEST).unlink()
    command = [sys.executable, "-m", "upscale_audit.warehouse.cli", "build", str(small_study.path)]
    for delay_s in (1.0, 2.5, 4.0):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with open_warehouse(small_study.warehouse) as connection:
            assert connection.sql("select count(*) from fct_blocks").fetchall() == [(36,)]
            tables = connection.sql("select count(*) from duckdb_tables()").fetchall()
            assert tables == [(len(expected_tables),)]
    build_warehouse(small_study)
    export_tables(small_study)
    assert (small_study.output / "exports" / "SHA256SUMS").read_bytes() == expected
    assert not list(small_study.output.glob(".warehouse*"))


@pytest.mark.long
def test_a_manifest_never_stands_beside_another_builds_database(small_study, monkeypatch):
    manifest, found = small_study.output / "warehouse.manifest.json", []
    replace_file = os.replace

    def stop_at_the_database(source, target):
        if target == small_study.warehouse:
            found.append(manifest.exists())
            raise OSError("killed")
        replace_file(source, target)

    assert manifest.is_file()
    monkeypatch.setattr(os, "replace", stop_at_the_database)
    with pytest.raises(OSError, match="killed"):
        build_warehouse(seed_anew(small_study))
    assert found == [False]
    monkeypatch.undo()
    build_warehouse(small_study)
    assert manifest.is_file()


def test_exports_are_whole_at_every_moment_where_folders_cannot_be_exchanged(tmp_path, monkeypatch):
    folder, fresh, old = tmp_path / "exports", tmp_path / "fresh", tmp_path / ".exports.old"
    for place, text in ((folder, "old"), (fresh, "new")):
        place.mkdir()
        (place / "mart").write_text(text)
    replace_folder, moments = os.replace, []

    def note(source, target):
        replace_folder(source, target)
        moments.append({place.name for place in (folder, fresh, old) if (place / "mart").is_file()})

    monkeypatch.setattr(export, "_exchange", lambda fresh, folder: False)
    monkeypatch.setattr(os, "replace", note)
    export.replace_folder(fresh, folder)
    assert moments == [{"fresh", ".exports.old"}, {"exports", ".exports.old"}]
    assert (folder / "mart").read_text() == "new"
    assert not old.exists()


def test_a_second_build_at_once_is_refused(small_study):
    with locked(small_study.output, "build"), pytest.raises(StudyError, match="wait for it"):
        build_warehouse(small_study)


def test_missing_stages_name_the_command_that_makes_them(tiny_study):
    study = tiny_study.load()
    with pytest.raises(StudyError, match="run upscale-audit ingest first"):
        build_warehouse(study)
    with pytest.raises(StudyError, match=r"run upscale-audit build .*first"):
        export_tables(study)
    with pytest.raises(StudyError, match=r"run upscale-audit build .*first"):
        write_docs(study)


@pytest.mark.long
def test_a_warehouse_that_is_no_database_is_an_error_that_names_the_repair(small_study):
    small_study.warehouse.chmod(0o644)
    small_study.warehouse.write_bytes(b"not a database, but long enough to look like a file" * 99)
    message = r"no database of DuckDB 1\.5 or later: rebuild it with upscale-audit build"
    with pytest.raises(StudyError, match=message):
        open_warehouse(small_study.warehouse)
    build_warehouse(small_study)


@pytest.mark.parametrize("is_database", [True, False])
def test_a_warehouse_that_no_build_published_is_left_to_its_owner(tiny_study, is_database):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    if is_database:
        with duckdb.connect(str(study.warehouse)) as connection:
            connection.sql("create table mine as select 42 as answer")
    else:
        study.warehouse.write_bytes(b"no database")
    before = study.warehouse.read_bytes()
    with pytest.raises(StudyError, match="no build published it: move it away, or name another"):
        build_warehouse(study)
    assert study.warehouse.read_bytes() == before


def test_exports_that_no_export_wrote_are_left_to_their_owner(small_study):
    exports = small_study.output / "exports"
    shutil.rmtree(exports)
    (small_study.output / "exports.manifest.json").unlink()
    exports.mkdir()
    (exports / "mine.txt").write_text("mine")
    with pytest.raises(StudyError, match="no export wrote it, which replaces it as a whole: move"):
        export_tables(small_study)
    assert [path.name for path in exports.iterdir()] == ["mine.txt"]
    (exports / "mine.txt").unlink()
    export_tables(small_study, ["dim_models"])
    # What it wrote itself it replaces, with what lies there besides.
    (small_study.output / "exports.manifest.json").unlink()
    (exports / "mine.txt").write_text("mine")
    export_tables(small_study, ["dim_models"])
    assert not (exports / "mine.txt").exists()


def test_a_file_of_a_later_duckdb_is_not_called_damaged(tmp_path):
    error = duckdb.IOException("Trying to read a database file with version number 99, but ...")
    said = explain(tmp_path / "w.duckdb", error)
    assert f"this is DuckDB {duckdb.__version__}, and the file is of a later one" in said
    assert "damaged" not in said


HOLD = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"


def test_a_warehouse_that_another_program_holds_is_not_called_damaged(small_study):
    small_study.warehouse.chmod(0o644)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(small_study.warehouse)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        holder.stdout.readline()
        said = []
        for read in (open_warehouse, Marts, lambda path: export_tables(small_study)):
            with pytest.raises(StudyError) as raised:
                read(small_study.warehouse)
            said.append(str(raised.value))
        holder.stdin.close()
    for line in said:
        assert "another program has it open for writing: close that" in line
        assert "damaged" not in line
        assert "rebuild" not in line
    export_tables(small_study)


def test_an_unknown_table_lists_those_there_are(small_study):
    with pytest.raises(StudyError, match=r"no table 'fct_block'.*fct_blocks"):
        export_tables(small_study, ["fct_block"])


@pytest.mark.long
def test_models_without_tta_have_null_and_partial_blocks_no_measure(study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    for image_id in ("a", "b"):
        study_folder.add_image(image_id, shape=(20, 33))
    study = study_folder.load()
    ingest_study(study, workers=1)
    build_warehouse(study)
    with open_warehouse(study.warehouse) as connection:
        rows = connection.sql(
            "select is_partial, count(*), count(local_ssim_notta), count(pc1_tta), count(d_mu_tta)"
            " from fct_blocks group by is_partial order by is_partial"
        ).fetchall()
    assert rows == [(False, 16, 16, 0, 0), (True, 14, 0, 0, 0)]


@pytest.mark.long
def test_a_perfect_restorer_has_no_contrast_and_the_mart_says_so(study_folder):
    study_folder.add_model("perfect", paths=("notta",))
    study_folder.add_image("a")
    folder = study_folder.folder("perfect", "notta")
    shutil.copyfile(study_folder.folder() / "a.png", folder / "a.png")
    study = study_folder.load()
    ingest_study(study, workers=1)
    build_warehouse(study)
    with open_warehouse(study.warehouse) as connection:
        blocks = connection.sql("select distinct local_ssim_notta, d_sharp_notta from fct_blocks")
        assert [tuple(map(float, row)) for row in blocks.fetchall()] == [(1.0, 0.0)]
        types = connection.sql(
            "select axis1_type, is_supported, reason from mart_axis1_types"
        ).fetchall()
    assert types == [
        (
            "not identifiable",
            None,
            "no contrast: a polarity has no block, or a component no spread",
        )
    ]


def test_a_page_that_we_did_not_write_is_left_to_its_owner(small_study):
    for name, write in (("docs.html", write_docs), ("report.html", write_study_report)):
        page = small_study.output / name
        page.with_suffix(".manifest.json").unlink(missing_ok=True)
        page.write_text("mine")
        with pytest.raises(StudyError, match="did not write it: move it away, or name another"):
            write(small_study)
        assert page.read_text() == "mine"
        page.unlink()


@pytest.mark.long
def test_the_documentation_builds_offline_as_one_page(small_study):
    page = write_docs(small_study)
    text = page.read_text(encoding="utf-8")
    assert "fct_blocks" in text
    assert "Score of the notta block on the first axis of the basis that scores" in text
    assert "JSON INLINE DATA" not in text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/=]{44}'", policy)


# What the page's program writes when it has read its data.
READY = "Welcome to the auto-generated documentation"


@pytest.mark.long
@needs_browser
def test_a_browser_shows_the_documentation_under_its_policy(small_study, tmp_path):
    page = write_docs(small_study)
    dumped = dump_page(page.as_uri(), tmp_path, READY)
    shown = re.sub("<script.*?</script>", "", dumped, flags=re.DOTALL)
    assert READY in shown


@pytest.mark.long
def test_the_documentation_is_the_same_bytes_twice_and_of_no_machine(small_study, repository):
    page = write_docs(small_study)
    first = page.read_bytes()
    assert write_docs(small_study).read_bytes() == first
    for place in (small_study.output, repository, Path.home(), Path(sys.prefix)):
        assert os.fsencode(place) + b"/" not in first


def test_memory_limit_is_stated_to_duckdb(monkeypatch):
    from upscale_audit.warehouse.connect import memory_limit

    monkeypatch.setenv("UPSCALE_AUDIT_MEMORY", "3GB")
    assert memory_limit() == "3GB"
    monkeypatch.delenv("UPSCALE_AUDIT_MEMORY")
    with duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{memory_limit()}'")
        stated = connection.sql("select current_setting('memory_limit')").fetchall()[0][0]
    assert stated.endswith("GiB")
