"""Published block tables in the warehouse: the sample's own blocks, exported and read again."""

from pathlib import Path

import duckdb
import pytest

from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.proof.hash_lists import read_list

KEYS = "model_id, image_id, block_row, block_col"
STATED = ("state_axis", "state_error", "state_contradicted", "zone", "delta_tier3_axis",
          "delta_ssim", "is_extreme_notta", "is_extreme_tta", "is_masked_notta",
          "is_silent_notta", "is_silent_tta")  # fmt: skip


def build(root, entries):
    text = '[study]\nname = "published"\n' + "\n".join(
        f"[[published_blocks]]\n{e}" for e in entries
    )
    (root / "study.toml").write_text(text)
    study = load_study(root / "study.toml")
    ingest_study(study, read_hashes=read_list)
    build_warehouse(study, threads=2)
    return study


@pytest.fixture(scope="module")
def imported(sample_study, tmp_path_factory):
    """Give a study of the sample's exported blocks, as one CSV of both paths, and as two files."""
    root = tmp_path_factory.mktemp("published_blocks")
    exported = (sample_study.output / "exports" / "fct_blocks").as_posix()
    with duckdb.connect() as connection:
        blocks = f"read_parquet('{exported}/*.parquet')"
        order = f"order by {KEYS}"
        connection.execute(f"copy (from {blocks} {order}) to '{root}/both.csv' (header)")
        columns = f"{KEYS}, local_ssim_%s as local_ssim"
        chosen = (
            columns % "notta" + ", axis1_notta as axis1, local_ssim_tta - local_ssim_notta as d"
        )
        connection.execute(
            f"copy (select {chosen} from {blocks} where block_row + block_col > 1 {order})"
            f" to '{root}/notta.csv.gz' (format csv, header, compression gzip)"
        )
        chosen = columns % "tta" + ", pc1_tta as pc1, 'Stable' as state"
        connection.execute(
            f"copy (select {chosen} from {blocks} where local_ssim_tta is not null {order})"
            f" to '{root}/tta.parquet'"
        )
    return build(
        root,
        [
            'label = "again"\nfile = "both.csv"\n',
            'label = "parts"\nfile = "notta.csv.gz"\npath = "notta"\ncolumns.delta_ssim = "d"\n',
            'label = "parts"\nfile = "tta.parquet"\npath = "tta"\n',
        ],
    )


@pytest.fixture(scope="module")
def ask(imported, sample_study):
    """Give a function from SQL to rows; the sample's exported states are `ours`."""
    with duckdb.connect(str(imported.warehouse), read_only=True) as connection:
        ours = Path(sample_study.output / "exports" / "fct_block_states").as_posix()
        connection.execute(f"create temp view ours as from read_parquet('{ours}/*.parquet')")
        yield lambda sql: connection.sql(sql).fetchall()


@pytest.mark.long
def test_blocks_that_this_project_exports_are_in_the_same_states_when_read_again(ask):
    columns = f"{KEYS}, {', '.join(STATED)}"
    theirs = f"select {columns} from fct_published_block_states where label = 'again'"
    assert ask(f"({theirs}) except (select {columns} from ours)") == []
    assert ask(f"(select {columns} from ours) except ({theirs})") == []
    ((states, rows),) = ask(f"select count(distinct state_axis), count(*) from ({theirs})")
    assert (states, rows) == (4, ask("select count(*) from ours")[0][0])


def test_files_of_one_path_each_are_put_together_and_what_is_missing_is_counted(ask):
    rows = ask(
        "select inference_path, sum(missing_block_count), sum(block_count), sum(pc1_null_count)"
        " from mart_published_blocks where label = 'parts' group by inference_path order by all"
    )
    ((images, paired, blocks),) = ask(
        "select count(distinct (model_id, image_id)), count(local_ssim_tta), count(*)"
        " from fct_published_blocks where label = 'again'"
    )
    assert [row[0] for row in rows] == ["notta", "tta"]
    assert (rows[0][1], rows[0][2]) == (3 * images, blocks - 3 * images)
    assert (rows[1][1], rows[1][2], rows[1][3]) == (0, paired, 0)
    # The score of an axis of six decimals is that score to a millionth of its size or so.
    ((differing, compared),) = ask(
        "select count(*) filter (where abs(parts.pc1_notta - again.pc1_notta) > 0.0001), count(*)"
        " from fct_published_blocks as parts inner join fct_published_blocks as again"
        " using (model_id, image_id, block_row, block_col)"
        " where parts.label = 'parts' and again.label = 'again' and parts.has_notta"
    )
    assert (differing, compared) == (0, blocks - 3 * images)


def test_a_state_that_its_author_states_otherwise_is_counted(ask):
    rows = dict(
        ask(
            "select state, sum(stated_block_count) - sum(stated_otherwise_count)"
            " from mart_published_states where label = 'parts' group by state"
        )
    )
    assert rows.pop("Stable") > 0
    assert set(rows.values()) == {0}
    assert ask("select count(*) from dim_published_block_files") == [(3,)]
    assert ask(
        "select count(distinct parent_name) from mart_provenance"
        " where child_name like 'published_blocks/%' and parent_kind = 'source_file'"
    ) == [(3,)]


@pytest.mark.long
def test_published_and_measured_blocks_are_compared_where_both_are_there(small_study):
    """One SSIM differs by 0.01, and one score by so much that its state does."""
    first = "block_row + block_col = 0 and image_id = 'a' and model_id = 'alpha'"
    with open_warehouse(small_study.warehouse) as connection:
        rows = connection.sql(
            f"select {KEYS}, local_ssim_tta, pc1_notta,"
            f" local_ssim_notta - if({first}, 0.01, 0) as local_ssim_notta,"
            f" if({first}, 999, pc1_tta) as pc1_tta"
            f" from fct_blocks order by {KEYS}"
        ).pl()
        ((blocks, pairs),) = connection.sql(
            "select count(*), count(local_ssim_tta) from fct_blocks where model_id = 'alpha'"
        ).fetchall()
    rows.write_csv(small_study.path.parent / "blocks.csv")
    with small_study.path.open("a") as file:
        file.write('[[published_blocks]]\nlabel = "again"\nfile = "blocks.csv"\n')
    study = load_study(small_study.path)
    ingest_study(study, read_hashes=read_list)
    build_warehouse(study, threads=2)
    with open_warehouse(study.warehouse) as connection:
        found = connection.sql(
            "select inference_path, compared_block_count, largest_ssim_difference,"
            " mean_ssim_difference from mart_published_blocks where model_id = 'alpha'"
            " order by inference_path"
        ).fetchall()
        states = connection.sql(
            "select sum(compared_block_count), sum(differing_count) from mart_published_states"
        ).fetchall()
    (notta, tta) = found
    assert (notta[1], float(notta[2])) == (blocks, 0.01)
    assert notta[3] == pytest.approx(0.01 / blocks)
    assert tta[1:] == (pairs, 0, 0)
    assert states == [(2 * blocks, 1)]


@pytest.mark.long
def test_states_of_twenty_scores_worked_by_hand(tmp_path):
    # Scores 1 to 20: 95 % of them are 19 or less, so tau is 19 and 20 alone is extreme notta.
    lines = [
        "image_id,model_id,block_row,block_col,local_ssim_notta,local_ssim_tta,pc1_notta,pc1_tta"
    ]
    for number in range(1, 21):
        tta = {1: 19.5, 2: -20, 3: 19, 20: 20}.get(number, 0)
        score = number if number % 2 else -number
        lines.append(f"i,m,{(number - 1) // 5},{(number - 1) % 5},0.5,0.75,{score},{tta}")
    lines[5] = "i,m,0,4,,0.75,5,0"
    (tmp_path / "b.csv").write_text("\n".join(lines) + "\n")
    study = build(tmp_path, ['label = "hand"\nfile = "b.csv"\n'])
    with open_warehouse(study.warehouse) as connection:
        rows = connection.sql(
            "select block_row * 5 + block_col + 1, state_axis, delta_tier3_axis, delta_ssim"
            " from fct_published_block_states order by all"
        ).fetchall()
        assert connection.sql("select tau from mart_published_block_limits").fetchall()[0][0] == 19
        polarity = connection.sql(
            "select polarity_notta, axis1_notta from fct_published_blocks where block_row = 0"
            " and block_col < 2 order by block_col"
        ).fetchall()
    states = {number: (state, delta) for number, state, delta, _ in rows}
    assert states[1] == states[2] == ("BlindSpot", 1)
    assert states[3] == ("Stable", 0)  # tta at the limit, not beyond it
    assert states[5] == (None, None)  # no SSIM of notta
    assert states[20] == ("Persistent", 0)
    assert {states[number] for number in range(6, 20)} == {("Stable", 0)}
    assert float(rows[0][3]) == 0.25
    assert [(side, float(axis)) for side, axis in polarity] == [
        ("positive", 0.693147),  # ln 2
        ("negative", -1.098612),  # -ln 3
    ]
