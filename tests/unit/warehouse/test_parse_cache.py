"""What dbt parsed of the project is kept for the next study, and is never needed."""

import gzip

import pytest

from upscale_audit.warehouse import dbt_events, dbt_runner
from upscale_audit.warehouse.dbt_runner import PROJECT, run_dbt
from upscale_audit.warehouse.parse_cache import ParseCache

ARGUMENTS = ("build", "--target", "build", "--vars", '{"min_clusters": 5}')
PARSED = b"parsed"


@pytest.fixture(autouse=True)
def cache_home(tmp_path, monkeypatch):
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "partial_parse.msgpack").write_bytes(PARSED)
    ParseCache(PROJECT, "a/w.duckdb", ARGUMENTS).keep(folder)
    return tmp_path / "second"


def find(target, project=PROJECT, database="b/w.duckdb", arguments=ARGUMENTS):
    ParseCache(project, database, arguments).bring(target)
    path = target / "partial_parse.msgpack"
    return path.read_bytes() if path.exists() else None


def test_another_study_and_command_find_what_one_left(target):
    assert find(target, arguments=("seed", *ARGUMENTS[1:])) == PARSED


@pytest.mark.parametrize(
    "other",
    [
        {"database": "a/development.duckdb"},
        {"project": PROJECT.parent / "elsewhere" / PROJECT.name},
        {"arguments": ("build", "--target", "other", *ARGUMENTS[3:])},
        {"arguments": (*ARGUMENTS[:4], '{"min_clusters": 6}')},
        {"arguments": (*ARGUMENTS, "--no-partial-parse")},
    ],
)
def test_what_decides_a_parse_finds_none_of_another(target, other):
    assert find(target, **other) is None


def test_what_another_installation_parsed_in_a_study_is_not_taken_for_ones_own(target):
    elsewhere = PROJECT.parent / "elsewhere" / PROJECT.name
    changed = (*ARGUMENTS[:4], '{"min_clusters": 7}')
    assert find(target) == PARSED
    assert find(target, arguments=changed) == PARSED
    assert find(target, elsewhere) is None
    (target / "partial_parse.msgpack").write_bytes(b"its own")
    assert find(target, elsewhere) == b"its own"
    (target / "partial_parse.project").unlink()
    assert find(target, elsewhere) is None


@pytest.mark.parametrize("harm", ["cut", "turned", "a folder"])
def test_a_harmed_one_is_not_brought_and_is_mended(target, cache_home, harm):
    (kept,) = cache_home.rglob("*.gz")
    content = kept.read_bytes()
    kept.unlink()
    if harm == "a folder":
        kept.mkdir()
    else:
        at = len(content) // 2
        turned = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        kept.write_bytes({"cut": content[:at], "turned": turned}[harm])
    cache = ParseCache(PROJECT, "w.duckdb", ARGUMENTS)
    cache.bring(target)
    assert not (target / "partial_parse.msgpack").exists()
    cache.keep(target.parent / "first")
    assert find(target) == (None if harm == "a folder" else PARSED)


def test_a_home_that_cannot_be_written_is_no_error(tmp_path, monkeypatch, target):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    ParseCache(PROJECT, "w.duckdb", ARGUMENTS).keep(tmp_path / "first")
    assert find(target) is None


def test_the_oldest_go(target, cache_home, monkeypatch):
    monkeypatch.setattr("upscale_audit.warehouse.parse_cache._KEPT", 2)
    for count in range(3):
        arguments = (*ARGUMENTS[:4], str(count))
        ParseCache(PROJECT, "w.duckdb", arguments).keep(target.parent / "first")
    assert len([*cache_home.rglob("*.gz")]) == 2
    assert find(target) is None
    assert find(target, arguments=(*ARGUMENTS[:4], "2")) == PARSED


@pytest.mark.long
def test_another_study_reads_no_file_of_the_project_again(tiny_study, monkeypatch):
    # What dbt compares before it takes a parse for its own must not hold where a study lies.
    said = []

    def note(event):
        if event.info.name == "UnableToPartialParse":
            said.append(event.info.msg)

    run = dbt_runner._invoke
    monkeypatch.setattr(dbt_runner, "_invoke", lambda *given: run(*given[:2], note))
    monkeypatch.setattr(dbt_events, "RESULTS", ("UnableToPartialParse",))
    for folder in ("first", "second"):
        study = tiny_study.load(output=folder)
        study.output.mkdir()
        run_dbt(
            study, study.output / "w.duckdb", ["compile", "--select", "dim_constants"], variables={}
        )
    assert len(said) == 1


def test_what_is_kept_is_what_dbt_wrote(target, cache_home):
    (kept,) = cache_home.rglob("*.gz")
    assert gzip.decompress(kept.read_bytes()) == PARSED
