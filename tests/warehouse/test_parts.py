"""Tables of blocks made part by part on a dask cluster of this machine: the same exports."""

import json
from concurrent.futures import Future
from dataclasses import replace
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from upscale_audit.ingest.cluster import open_cluster
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.manifests import WAREHOUSE_MANIFEST
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse import parts
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.parts import (
    PART_ROWS,
    Part,
    PartsOnCluster,
    Relation,
    describe_program,
    group_shards,
    make_part,
    plan_rounds,
)

distributed = pytest.importorskip("distributed", reason="needs the extra 'cluster'")


@pytest.fixture(scope="module")
def nodes(sample_study):
    """Give dbt's nodes of the sample's build."""
    path = sample_study.output / "dbt" / "target" / "manifest.json"
    return json.loads(path.read_text(encoding="utf-8"))["nodes"]


def test_every_round_finds_what_it_reads(nodes):
    rounds = plan_rounds(nodes)
    planned = {name for _, made in rounds for name in made}
    assert all(one != other for (one, _), (other, _) in pairwise(rounds))
    done = set()
    for _, made in rounds:
        for name in made:
            assert set(nodes[name]["depends_on"]["nodes"]) & planned <= done, name
            done.add(name)


def test_workers_make_tables_that_grow_and_those_of_an_images_blocks(nodes):
    made = {
        name.rsplit(".", 1)[1]
        for is_of_workers, names in plan_rounds(nodes)
        for name in names
        if is_of_workers
    }
    models = {n["name"]: n for n in nodes.values() if n["resource_type"] == "model"}
    growing = {name for name, n in models.items() if n["config"]["materialized"] == "growing_table"}
    # Row numbers of the whole table are in int_image_blocks.
    assert growing - made == {"int_image_blocks"}
    tables = {name for name in made if models[name]["config"]["materialized"] != "view"}
    assert tables - growing == {
        "int_image_polarities", "int_image_area_extremes", "int_image_lesions", "int_tier3_counts"
    }  # fmt: skip


def write_shards(folder, *counts):
    """Write files of so many rows; their names."""
    names = [f"blocks/{number}.parquet" for number in range(len(counts))]
    (folder / "blocks").mkdir()
    for name, count in zip(names, counts, strict=True):
        pq.write_table(pa.table({"x": pa.nulls(count)}), folder / name)
    return names


def test_every_worker_has_a_part_and_none_is_too_large(tmp_path, monkeypatch):
    names = write_shards(tmp_path, 4, 4, 4, 4, 9, 1)
    assert group_shards(tmp_path, names, 1) == [tuple(names)]
    assert group_shards(tmp_path, names, 2) == [tuple(names[:3]), tuple(names[3:5]), (names[5],)]
    monkeypatch.setattr(parts, "PART_ROWS", 8)
    found = group_shards(tmp_path, names, 1)
    assert found == [tuple(names[:2]), tuple(names[2:4]), (names[4],), (names[5],)]
    assert group_shards(tmp_path, names, 100) == [(name,) for name in names]
    assert PART_ROWS == 4_194_304


@pytest.fixture
def part(tmp_path):
    """Give a part of no shards, of which one table is made, and a table that is lent."""
    for name in ("raw", "[x]"):
        (tmp_path / name).mkdir()
    huge = 2**100 + 1
    sql = f"select cast({huge} as hugeint) as wide, 'x' as \"a 'name\" union all select 1, 'y'"
    made = Relation("intermediate", "made", sql)
    program = describe_program()
    return Part(7, (), tmp_path / "raw", tmp_path / "[x]", "ware.house", (), (), (made,), program)


def test_whole_numbers_of_128_bits_go_there_and_back(part):
    number, made = make_part(part)
    assert (number, made["intermediate.made"].rows) == (7, 2)
    (first,) = part.made
    wide = made["intermediate.made"].wide
    again = Relation(
        "marts", "again", 'select wide from "ware.house".intermediate.made where wide > 1'
    )
    _, made = make_part(replace(part, before=(replace(first, wide=wide),), made=(again,)))
    assert made["marts.again"].wide == ("wide",)
    table = pq.read_table(part.locate(again))
    assert table["wide"].to_pylist() == [2**100 + 1]
    assert [path.name for path in part.locate(again).parent.iterdir()] == ["000007.parquet"]


def test_a_later_table_reads_an_earlier_one_of_its_round_from_the_file(part):
    (first,) = part.made
    blocks = Relation("intermediate", "int_blocks_scored", "select 3 as x union all select 2")
    between = Relation(
        "main",
        "between",
        "select *, rowid as place from intermediate.int_blocks_scored",
        is_view=True,
    )
    last = Relation("marts", "last", "select x, place, wide from main.between, intermediate.made")
    _, made = make_part(replace(part, made=(first, blocks, between, last)))
    assert {path: item.rows for path, item in made.items()} == {
        first.path: 2, blocks.path: 2, last.path: 4
    }  # fmt: skip
    assert made[last.path].wide == ("wide",)
    rows = pq.read_table(part.locate(last)).to_pylist()
    assert {(row["x"], row["place"]) for row in rows} == {(3, 0), (2, 1)}
    assert {row["wide"] for row in rows} == {2**100 + 1, 1}


def test_a_worker_of_another_program_is_refused(part):
    other = replace(part, program=part.program | {"DuckDB": "0.1"})
    with pytest.raises(StudyError, match=r"another DuckDB than this machine .*: install the same"):
        make_part(other)


def test_a_worker_that_does_not_see_the_study_says_so(part, tmp_path):
    lent = Relation("staging", "gone")
    with pytest.raises(StudyError, match=r"every worker must see .*\[x\] and .*raw under the same"):
        make_part(replace(part, lent=(lent,)))


def test_a_worker_short_of_memory_says_what_to_give(part, monkeypatch):
    monkeypatch.setattr(parts, "find_memory", lambda: "20MB")
    made = Relation("marts", "large", "select list(x) as one from range(20_000_000) as t(x)")
    with pytest.raises(StudyError, match=r"memory ran out on .* part 7: .*--memory-limit"):
        make_part(replace(part, made=(made,)))


class Elsewhere:
    """An executor whose workers write where nobody else sees it."""

    def submit(self, function, part):
        future = Future()
        future.set_result(function(part))
        part.locate(part.made[0]).unlink()
        return future


def test_files_that_lie_elsewhere_are_missed(part, tiny_study):
    study = tiny_study.load()
    nodes = {"model.upscale_audit.int_blocks_scored": {"database": "warehouse"}}
    cluster = PartsOnCluster(study, None, nodes, [], Elsewhere(), 1, None)
    cluster.groups, cluster.folder = [()], part.folder
    (study.output / "dbt").mkdir(parents=True)
    cluster._lend = lambda relations: None
    with pytest.raises(StudyError, match=r"made intermediate\.made of part 0, and it is not in"):
        cluster._make_parts(part.made, [])


@pytest.fixture(scope="module")
def cluster():
    """Give a scheduler and two worker processes on the loopback device."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
    ) as cluster:
        yield cluster


def test_a_task_takes_its_share_of_a_worker_and_else_what_a_build_takes(monkeypatch):
    monkeypatch.setenv("UPSCALE_AUDIT_MEMORY", "3GB")
    assert parts.find_memory() == "3GB"
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, memory_limit="2GiB", dashboard_address=":0"
        ) as small,
        open_cluster(small.scheduler_address) as (executor, workers),
    ):
        assert workers == 2
        # 0.6 of 2048 MiB for two threads.
        assert executor.submit(parts.find_memory).result() == "614MiB"


@pytest.mark.long
@pytest.mark.parametrize("axis", ["standard", "own"])
def test_exports_are_the_same_bytes_whoever_made_the_blocks(
    study_folder, read_tree, cluster, monkeypatch, axis
):
    monkeypatch.setattr("upscale_audit.ingest.run.IMAGES_PER_UNIT", 2)
    for model_id in ("alpha", "bicubic"):
        study_folder.add_model(model_id)
    for number in range(6):
        study_folder.add_image(f"0000000{number}_000", shape=(80, 72))
    path = study_folder.load(parameters="tile_px = 20").path
    path.write_text(path.read_text().replace("[study]\n", f'[study]\naxis = "{axis}"\n'))
    study = load_study(path)
    ingest_study(study, workers=1)
    build_warehouse(study)
    export_tables(study)
    expected = read_tree(study.output / "exports")
    (study.output / WAREHOUSE_MANIFEST).unlink()  # else the warehouse would stand

    check, killed = PartsOnCluster._check_files, []

    def kill_a_worker_once(*given):
        if not killed:
            killed.append(given)
            next(iter(cluster.workers.values())).process.process.kill()
        check(*given)

    monkeypatch.setattr(PartsOnCluster, "_check_files", kill_a_worker_once)
    said = []
    with open_cluster(cluster.scheduler_address) as (executor, workers):
        report = build_warehouse(
            study, progress=lambda *given: said.append(given), executor=executor, workers=workers
        )
    export_tables(study)
    assert killed
    of_parts = [given for given in said if given[3:]]
    assert said[: len(of_parts)] == of_parts  # dbt's nodes are counted afterwards
    assert {given[2:] for given in of_parts} == {
        ("part 0", "tables of parts"), ("part 1", "tables of parts")
    }  # fmt: skip
    done = [0, *(count for count, *_ in of_parts)]
    assert all(one < other for one, other in pairwise(done))
    assert {total for _, total, *_ in of_parts} == {done[-1]}
    assert report.reason == "a cluster makes every block's row"
    assert not (study.output / "dbt" / "parts").exists()
    found = read_tree(study.output / "exports")
    for one in (expected, found):
        del one["manifest.json"]
    assert found == expected
