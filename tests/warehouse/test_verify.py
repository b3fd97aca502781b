"""Every change of every artefact is found, named, and given its repair."""

import json
import os
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SUMS,
    make_manifest,
    read_manifest,
    restate,
    write_manifest,
)
from upscale_audit.warehouse.cli import main as cli
from upscale_audit.warehouse.docs import write_docs
from upscale_audit.warehouse.proof.provenance import (
    DOCS_MANIFEST,
    LINKS,
    WAREHOUSE_MANIFEST,
    seal_figures,
)
from upscale_audit.warehouse.proof.verify import verify

REPAIRS = {"raw": "ingest", "warehouse": "build", "exports": "export", "figures": "figures"}


@pytest.fixture(scope="module")
def outputs(sample_study, tmp_path_factory):
    """Give a copy of the sample's outputs, with two figures, that tests change and put back."""
    folder = tmp_path_factory.mktemp("verify") / "out"
    shutil.copytree(sample_study.output, folder, ignore=shutil.ignore_patterns("dbt", ".lock"))
    study = replace(sample_study, output=folder)
    (folder / "figures").mkdir(exist_ok=True)
    for name in ("one.png", "two.svg"):
        (folder / "figures" / name).write_text(name)
    seal_figures(study, [folder / "figures" / name for name in ("one.png", "two.svg")])
    return study


@pytest.fixture
def change(outputs):
    """Give a function that changes a file; it is as before when the test ends."""
    before = {}

    def apply(name, function):
        path = outputs.output / name
        before.setdefault(path, path.read_bytes() if path.exists() else None)
        if path.exists() and not path.is_symlink():
            path.chmod(0o644)
        function(path)
        return path

    yield apply
    for path, data in before.items():
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def find(study, stage):
    path = study.warehouse if stage == "warehouse" else study.output / stage
    return verify(path, study if stage == "raw" else None).findings


def list_artefacts(study):
    for stage in REPAIRS:
        folder = study.output if stage == "warehouse" else study.output / stage
        manifest = WAREHOUSE_MANIFEST if stage == "warehouse" else MANIFEST
        for name in read_manifest(folder / manifest, "x")["files"]:
            yield stage, folder / name


def test_what_was_just_written_verifies(outputs):
    report = verify(outputs.output, outputs)
    assert report.findings == ()
    assert report.files > 90
    assert set(report.roots) == {"sources", *REPAIRS}
    for stage in REPAIRS:
        assert find(outputs, stage) == ()


def test_a_flipped_byte_in_any_single_artefact_is_found_and_named(outputs, change):
    for stage, path in list_artefacts(outputs):
        name, data = str(path.relative_to(outputs.output)), path.read_bytes()
        change(name, flip)
        differs = [item for item in find(outputs, stage) if item.problem == "differs"]
        path.write_bytes(data)
        (item,) = differs
        assert path.name in item.name
        assert item.expected != item.found == hash_file_of(flip, data, path)
        assert f"upscale-audit {REPAIRS[stage]} " in item.repair


def hash_file_of(function, data, path):
    function(path)
    found = hash_file(path)
    path.write_bytes(data)
    return found


@pytest.mark.parametrize("stage", ["raw", "exports", "figures", "warehouse"])
def test_missing_truncated_renamed_and_extra_files_are_told_apart(outputs, change, stage):
    listed = [path for kind, path in list_artefacts(outputs) if kind == stage and path.name != SUMS]
    path = listed[0]
    name, other = str(path.relative_to(outputs.output)), f"{path.name}.moved"
    data = change(name, lambda path: None).read_bytes()
    path.write_bytes(data[:-1])
    assert [(i.problem) for i in find(outputs, stage)] == ["differs"]
    moved = path.with_name(other)
    path.rename(moved)
    problems = sorted(item.problem for item in find(outputs, stage))
    assert problems == (["missing"] if stage == "warehouse" else ["extra", "missing"])
    if stage != "warehouse":
        (extra,) = (item for item in find(outputs, stage) if item.problem == "extra")
        assert extra.repair == f"rm -- {moved}"
    moved.unlink()
    assert [item.problem for item in find(outputs, stage)] == ["missing"]


def test_a_file_that_became_a_link_is_not_followed(outputs, change, tmp_path):
    name = "exports/dim_models.parquet"
    path = change(name, lambda path: path.rename(tmp_path / "real"))
    path.symlink_to(tmp_path / "real")
    assert ("link", "dim_models.parquet") in {
        (item.problem, item.name) for item in find(outputs, "exports")
    }


@pytest.mark.parametrize(
    "name", ["exports/dim_models.parquet", f"exports/{MANIFEST}", "exports.manifest.json"]
)
def test_a_pipe_in_place_of_a_file_is_named_and_never_waited_for(outputs, change, name):
    def put(path):
        path.unlink()
        os.mkfifo(path)

    change(name, put)
    named = {item.name for item in verify(outputs.output).findings}
    assert name in named


@pytest.mark.parametrize("stage", REPAIRS)
@pytest.mark.parametrize("how", ["gone", "empty", "flipped"])
def test_a_damaged_manifest_is_a_finding_with_the_repair(outputs, change, stage, how):
    name = WAREHOUSE_MANIFEST if stage == "warehouse" else f"{stage}/{MANIFEST}"
    damage = {
        "gone": lambda path: path.unlink(),
        "empty": lambda path: path.write_bytes(b""),
        "flipped": lambda path: path.write_text(path.read_text().replace('"kind"', '"kinf"')),
    }
    change(name, damage[how])
    findings = verify(outputs.output).findings
    assert {item.name for item in findings} >= {name}
    assert any(f"upscale-audit {REPAIRS[stage]} " in item.repair for item in findings)


@pytest.mark.parametrize("field", ["recipe_sha256", "content_sha256", "merkle_root"])
def test_a_manifest_that_contradicts_itself_is_found(outputs, change, field):
    def forge(path):
        manifest = json.loads(path.read_text())
        manifest[field] = "0" * 64
        path.write_text(json.dumps(manifest))

    change(f"exports/{MANIFEST}", forge)
    assert {(i.problem, i.name) for i in find(outputs, "exports")} == {
        ("inconsistent", f"{MANIFEST}: {field}")
    }


def test_a_file_changed_together_with_its_hash_list_is_caught_by_the_manifest(outputs, change):
    path = change("exports/dim_models.parquet", flip)
    old, new = "", hash_file(path)

    def forge(sums):
        nonlocal old
        lines = sums.read_text().splitlines()
        old = next(line for line in lines if line.endswith("  dim_models.parquet"))
        sums.write_text(sums.read_text().replace(old, f"{new}  dim_models.parquet"))

    change(f"exports/{SUMS}", forge)
    command = ["sha256sum", "--check", "--quiet", SUMS]
    assert subprocess.run(command, cwd=path.parent).returncode == 0
    names = {item.name for item in find(outputs, "exports")}
    assert names == {"dim_models.parquet", SUMS}


def test_a_raw_folder_forged_whole_is_caught_by_the_warehouse_made_from_it(outputs, change):
    """The manifest rewritten too: the next stage still holds the hash of the true one."""
    path = change("raw/pairs/pairs.parquet", flip)
    truth = json.loads((outputs.raw / MANIFEST).read_text())
    files = truth["files"] | {"pairs/pairs.parquet": hash_file(path)}
    text = (outputs.raw / SUMS).read_text()
    old = truth["files"]["pairs/pairs.parquet"]
    change(f"raw/{SUMS}", lambda sums: sums.write_text(text.replace(old, hash_file(path))))
    files[SUMS] = hash_file(outputs.raw / SUMS)

    def forge(target):
        keys = (truth["study"], files, truth["bytes"], truth["recipe"], {})
        write_manifest(target, truth | make_manifest("raw", *keys))

    change(f"raw/{MANIFEST}", forge)
    (finding,) = find(outputs, "raw")
    assert (finding.problem, finding.name) == ("differs", MANIFEST)
    assert "upscale-audit ingest " in finding.repair
    findings = verify(outputs.output).findings
    assert {(item.problem, item.name) for item in findings} == {
        ("differs", f"raw/{MANIFEST}"),
        ("outdated", f"{WAREHOUSE_MANIFEST}: raw/{MANIFEST}"),
    }


def test_a_stage_of_which_nothing_is_left_is_missing_from_its_study(outputs, tmp_path):
    raw, manifest = outputs.raw, outputs.output / WAREHOUSE_MANIFEST
    listed = read_manifest(manifest, "x")["parents"]["raw/manifest.json"]
    raw.rename(tmp_path / "raw")
    try:
        (item,) = verify(outputs.output, outputs).findings
        assert (item.problem, item.name, item.expected) == ("missing", "raw/manifest.json", listed)
        assert item.repair == f"upscale-audit ingest {outputs.path}"
        # What was published without it is whole.
        assert verify(outputs.output).findings == ()
    finally:
        (tmp_path / "raw").rename(raw)
    manifest.rename(tmp_path / "kept")
    try:
        findings = verify(outputs.output, outputs).findings
        assert [item.name for item in findings] == [WAREHOUSE_MANIFEST]
    finally:
        (tmp_path / "kept").rename(manifest)


def test_a_forged_parent_that_no_stage_has_is_missing(outputs, change):
    def forge(path):
        forged = json.loads(path.read_text()) | {"parents": {"x/y": "0" * 64}}
        write_manifest(path, forged | restate(forged))

    change(WAREHOUSE_MANIFEST, forge)
    found = {item.name: item.repair for item in verify(outputs.output, outputs).findings}
    assert found["x/y"] == f"upscale-audit build {outputs.path}"


def test_a_changed_missing_or_new_source_file_is_named(outputs, tmp_path):
    references = tmp_path / "reference"
    shutil.copytree(outputs.references, references)
    study = replace(outputs, references=references)
    assert verify(outputs.raw, study).findings == ()
    flip(references / "rg1_r0c0.png")
    (references / "rg1_r0c1.png").unlink()
    (references / "new.png").write_bytes(b"new")
    found = {(item.problem, item.name) for item in verify(outputs.raw, study).findings}
    assert found == {
        ("differs", "sources/reference/rg1_r0c0.png"),
        ("missing", "sources/reference/rg1_r0c1.png"),
        ("extra", "sources/reference/new.png"),
    }


def test_sha256sum_agrees_on_every_folder(outputs, change):
    command = ["sha256sum", "--check", "--strict", "--quiet", SUMS]
    for stage in ("raw", "exports", "figures"):
        folder = outputs.output / stage
        assert subprocess.run(command, cwd=folder).returncode == 0
        name = next(n for n in read_manifest(folder / MANIFEST, "x")["files"] if n != SUMS)
        path = change(f"{stage}/{name}", flip)
        checked = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert checked.stdout.startswith(f"{name}: FAILED")
        assert [item.name for item in find(outputs, stage)] == [name]
        flip(path)


def test_a_manifest_that_names_files_outside_reads_none_of_them(outputs, change):
    def forge(path):
        manifest = json.loads(path.read_text())
        manifest["files"] |= {"../raw/manifest.json": "0" * 64, "/etc/hostname": "0" * 64}
        path.write_text(json.dumps(manifest))

    change(f"exports/{MANIFEST}", forge)
    found = {(item.problem, item.found) for item in find(outputs, "exports")}
    assert ("inconsistent", "/etc/hostname") in found
    assert "differs" not in {problem for problem, _ in found}


def launder(study, change, place):
    """Change a file of a folder, and every hash of it there."""
    folder = study.output / place
    name = next(name for name in read_manifest(folder / MANIFEST, "x")["files"] if name != SUMS)
    sha256 = hash_file(change(f"{place}/{name}", flip))

    def restate_sums(path):
        rows = [line for line in path.read_text().splitlines() if line[66:] != name]
        rows = sorted([*rows, f"{sha256}  {name}"], key=lambda line: line[66:])
        path.write_text("\n".join(rows) + "\n")

    def restate_manifest(path):
        truth = json.loads(path.read_text())
        hashes = {name: sha256, SUMS: hash_file(folder / SUMS)}
        forged = truth | {"files": truth["files"] | hashes}
        write_manifest(path, forged | restate(forged))

    change(f"{place}/{SUMS}", restate_sums)
    change(f"{place}/{MANIFEST}", restate_manifest)


@pytest.mark.parametrize("stage", LINKS)
def test_what_is_forged_whole_is_caught_by_the_manifest_beside_it(outputs, change, stage):
    launder(outputs, change, stage)
    assert find(outputs, stage) == ()
    (item,) = verify(outputs.output).findings
    assert (item.problem, item.name) == ("differs", f"{stage}/{MANIFEST}")
    assert item.repair == f"upscale-audit {REPAIRS[stage]} STUDY.toml"


@pytest.mark.parametrize("stage", LINKS)
def test_without_the_manifest_beside_it_a_folder_is_to_be_written_again(outputs, stage):
    path = outputs.output / LINKS[stage][1]
    away = path.rename(path.with_name("away"))
    (item,) = (one for one in verify(outputs.output).findings if one.name == path.name)
    away.rename(path)
    assert (item.problem, item.repair) == ("missing", f"upscale-audit {REPAIRS[stage]} STUDY.toml")


@pytest.fixture(scope="module")
def run_drawing(outputs, sample_study_file, tmp_path_factory):
    """Give a runner of commands that draw, on a study file whose output is the copy."""
    text = sample_study_file.read_text()
    for start in ('"reference', '"restored/', '"lr"'):
        text = text.replace(start, f'"{sample_study_file.parent}/{start[1:]}')
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(text.replace('"../build/sample"', f'"{outputs.output}"'))

    def run(name, *arguments):
        options = cli.make_parser().parse_args([name, str(path), *arguments])
        return options.run(options)

    return run


@pytest.fixture(scope="module")
def drawn(outputs, run_drawing):
    """Give the study's outputs with a page, a map and a contact sheet beside them."""
    pytest.importorskip("altair", reason="maps need the extra figures")
    write_docs(outputs)
    run_drawing("map", "rg1_r0c1", "bicubic", "--patch", "16")
    run_drawing("worst", "bicubic", "--count", "1")
    yield outputs
    for name in ("docs.html", DOCS_MANIFEST):
        (outputs.output / name).unlink()
    shutil.rmtree(outputs.output / "maps")
    (outputs.output / ".maps.signed").unlink()


@pytest.mark.long
def test_pages_maps_and_sheets_are_verified_and_name_what_draws_them(drawn, change):
    repairs = {
        "docs.html": "docs STUDY.toml",
        "maps/notta_16px/bicubic/rg1_r0c1/p6_local_quality_data.csv": (
            "map STUDY.toml rg1_r0c1 bicubic --patch 16"
        ),
        "maps/notta_worst/bicubic/worst_bicubic_notta.svg": "worst STUDY.toml bicubic --count 1",
    }
    assert verify(drawn.output).findings == ()
    for name, repair in repairs.items():
        path = change(name, flip)
        (item,) = verify(drawn.output).findings
        assert (item.problem, item.name) == ("differs", name)
        assert item.repair == f"upscale-audit {repair}"
        flip(path)
        manifest = path.with_name(DOCS_MANIFEST if name == "docs.html" else MANIFEST)
        away = manifest.rename(manifest.with_name("away"))
        item = next(i for i in verify(drawn.output).findings if i.name.endswith(manifest.name))
        away.rename(manifest)
        assert item.problem == "missing"
        assert item.repair == f"upscale-audit {repair.removesuffix(' --count 1')}"


def test_a_map_is_of_its_sources_and_of_the_warehouse(drawn):
    folder = drawn.output / "maps" / "notta_16px" / "bicubic" / "rg1_r0c1"
    manifest = read_manifest(folder / MANIFEST, "x")
    names = [f"{place}/rg1_r0c1.png" for place in ("reference", "restored/bicubic/notta")]
    sources = drawn.references.parent
    expected = {name: hash_file(sources / name) for name in names}
    assert manifest["recipe"]["inputs"]["sources"] == expected
    built = drawn.output / WAREHOUSE_MANIFEST
    assert manifest["parents"] == {built.name: hash_file(built)}
    command = ["sha256sum", "--check", "--strict", "--quiet", SUMS]
    assert subprocess.run(command, cwd=folder).returncode == 0
    assert verify(folder).findings == verify(drawn.output / "maps").findings == ()


def test_a_map_forged_whole_is_caught_by_what_was_signed_beside_the_maps(drawn, change):
    place = "maps/notta_16px/bicubic/rg1_r0c1"
    launder(drawn, change, place)
    for folder in (drawn.output, drawn.output / "maps"):
        (item,) = verify(folder).findings
        assert item.problem == "differs"
        assert item.name.endswith(f"{place.removeprefix('maps/')}/{MANIFEST}")
        assert item.repair == "upscale-audit map STUDY.toml rg1_r0c1 bicubic --patch 16"


def test_what_was_made_from_another_warehouse_is_outdated(drawn, change):
    def rebuild(path):
        manifest = json.loads(path.read_text())
        manifest["recipe"]["rebuilt"] = True
        write_manifest(path, manifest | restate(manifest))

    change(WAREHOUSE_MANIFEST, rebuild)
    outdated = {i.name.split(":")[0] for i in verify(drawn.output).findings}
    assert outdated == {
        "docs.manifest.json",
        "exports.manifest.json",
        "figures.manifest.json",
        "maps/notta_16px/bicubic/rg1_r0c1/manifest.json",
        "maps/notta_worst/bicubic/manifest.json",
    }


def test_a_warehouse_published_while_something_is_drawn_is_an_error(
    drawn, run_drawing, change, monkeypatch
):
    from upscale_audit.warehouse.cli import drawing

    def draw(*_, folder, **__):
        change(WAREHOUSE_MANIFEST, lambda path: path.write_text(path.read_text() + "\n"))
        folder.mkdir()
        (folder / "map.png").write_bytes(b"")
        return [folder / "map.png"], {}

    before = sorted((drawn.output / "maps").rglob("*"))
    monkeypatch.setattr(drawing, "_load", lambda _: SimpleNamespace(draw_map=draw))
    with pytest.raises(StudyError, match=r"published anew while .* was written; run this again"):
        run_drawing("map", "rg1_r0c1", "bicubic")
    assert sorted((drawn.output / "maps").rglob("*")) == before
    assert not (drawn.output / ".maps.next").exists()


def test_nothing_to_verify_is_an_error(tmp_path):
    with pytest.raises(StudyError, match="nothing to verify"):
        verify(tmp_path / "none")
    with pytest.raises(StudyError, match="holds no manifest"):
        verify(tmp_path)


def test_the_command_lists_findings_as_csv_and_exits_with_1(outputs, change, capsys):
    def run():
        with pytest.raises(SystemExit) as exit_info:
            cli.main(["verify", str(outputs.output / "figures")])
        return exit_info.value.code, *capsys.readouterr()

    code, out, err = run()
    assert (code, out) == (0, "problem,name,expected,found,repair\n")
    assert "all as their manifests say" in err
    change("figures/one.png", flip)
    code, out, err = run()
    assert code == 1
    assert out.splitlines()[1].startswith("differs,one.png,")
    assert "repair: upscale-audit figures STUDY.toml" in err


def test_source_lists_with_strange_names_are_read_back(tmp_path):
    from upscale_audit.ingest.manifests import format_sums
    from upscale_audit.warehouse.lineage import read_sums

    files = dict.fromkeys(("a", "a\\nb", "a\nb", "\\", "\\\\n", "r\r", "x  y"), "0" * 64)
    assert read_sums(format_sums(files)) == dict(sorted(files.items()))
