"""Names of folders that a database would read more into."""

import os
import subprocess
import sys

import duckdb
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.plain_paths import check_database_folder, is_plain, plain_path
from upscale_audit.ingest.study import load_study

HOSTILE = (
    *("study[1]", "study*", "a?b", "[[]", "**", "{a,b}", "model_id=x", "image_id=7"),
    *("a\\b", "q'q", 'd"d', "new\nline", "%20", "a#b", "a;b", "s3:", "md:x", "$HOME", "`x`"),
    *("{{ x }}", "{% x %}", "e\u0301", "\udcff"),
)
PLAIN = ("study (1)", "é日本", "a.b-c_d", "~x", "x@y", "a+b,c")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_folder_with_another_name_is_read_under_a_plain_one(name, tmp_path):
    folder = tmp_path / name / "deep" / "er"
    folder.mkdir(parents=True)
    (folder / "x.txt").write_text(repr(name))
    path = plain_path(folder / "x.txt")
    assert is_plain(path)
    assert path.parts[-3:] == ("deep", "er", "x.txt")
    assert path.read_text() == repr(name)
    assert plain_path(folder / "x.txt") == path


@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_name_stays(name, tmp_path):
    assert plain_path(tmp_path / name) == tmp_path / name


def test_each_strange_folder_of_a_path_is_followed(tmp_path):
    folder = tmp_path / "a[1]" / "plain" / "b*"
    folder.mkdir(parents=True)
    (folder / "x").write_text("here")
    assert plain_path(folder / "x").read_text() == "here"


def test_a_file_that_is_not_there_yet_can_be_written(tmp_path):
    (tmp_path / "a[1]").mkdir()
    plain_path(tmp_path / "a[1]" / "x").write_text("new")
    assert (tmp_path / "a[1]" / "x").read_text() == "new"


@pytest.mark.parametrize("name", [name for name in HOSTILE if not {"?", "\\"} & set(name)])
def test_duckdb_reads_and_writes_the_file_itself_and_not_its_neighbour(name, tmp_path):
    for number, twin in enumerate((name, "study1", "study", "axb", "x")):
        (tmp_path / twin).mkdir()
        path = plain_path(tmp_path / twin) / "x.parquet"
        with duckdb.connect(str(plain_path(tmp_path / twin) / "x.duckdb")) as connection:
            connection.execute(f"create table t as select {number} as model_id")
            connection.execute(f"copy t to '{path}' (format parquet)")
    path = plain_path(tmp_path / name) / "x.parquet"
    found = duckdb.sql(f"select * from read_parquet(['{path}'], hive_partitioning = false)")
    assert found.fetchall() == [(0,)]
    assert sorted(os.listdir(tmp_path / name)) == ["x.duckdb", "x.parquet"]


def test_the_links_go_when_the_process_ends(tmp_path, repository):
    code = (
        f"from ingest.plain_paths import plain_path; print(plain_path({str(tmp_path)!r} + '/a*'))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=repository,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert ended.stdout.startswith(f"{tmp_path}/upscale-audit-")
    assert os.listdir(tmp_path) == []


def test_a_temporary_folder_without_a_plain_name_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "t*").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t*"))
    with pytest.raises(StudyError, match="set TMPDIR"):
        plain_path(tmp_path / "other[1]")


@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_a_folder_in_which_no_database_can_lie_is_refused_by_name(name, tmp_path, study_folder):
    (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / name)
    for folder in (tmp_path / name / "deeper", tmp_path / "link"):
        with pytest.raises(StudyError, match=r"no database below a folder with [?\\] in its name"):
            check_database_folder(folder, "study.toml: [study] output")
    check_database_folder(tmp_path, "study.toml: [study] output")
    study_folder.add_model("alpha")
    path = study_folder.load().path
    text = path.read_text().replace('output = "out"', f"output = '{tmp_path / name}'")
    path.write_text(text)
    with pytest.raises(StudyError, match="name another as"):
        load_study(path)
