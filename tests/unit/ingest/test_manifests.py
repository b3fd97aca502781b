"""Hash lists as `sha256sum` writes them; manifests that say one thing about themselves."""

import json
import subprocess

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SUMS,
    describe_code,
    find_files_root,
    format_sums,
    hash_dependencies,
    read_manifest,
    seal_folder,
)
from upscale_audit.ingest.merkle import find_root

NAMES = ("b.png", "a b.png", "sub/c.png", "back\\slash", "new\nline", "return\r", "名前.csv", "-x")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "files"


def seal(folder, names=NAMES):
    return seal_folder(folder, "exports", "tiny", names, {"rule": 1}, {"before": "00"})


def test_a_hash_list_is_what_sha256sum_writes_and_checks(folder):
    seal(folder)
    command = ["sha256sum", "--", *sorted(NAMES)]
    written = subprocess.run(command, cwd=folder, capture_output=True, check=True).stdout
    assert (folder / SUMS).read_bytes() == written
    subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=folder, check=True)


def test_a_manifest_keeps_recipe_and_content_apart(folder):
    first = seal(folder)
    assert read_manifest(folder / MANIFEST, "x") == first
    assert first["recipe_sha256"] == hash_json({"rule": 1})
    assert first["content_sha256"] == hash_json(first["files"])
    assert first["files"] == {name: hash_file(folder / name) for name in (*NAMES, SUMS)}
    assert first["bytes"]["b.png"] == 5
    (folder / "b.png").write_text("other")
    second = seal(folder)
    assert second["recipe_sha256"] == first["recipe_sha256"]
    assert second["content_sha256"] != first["content_sha256"]


def test_the_root_of_a_folder_is_over_the_lines_of_its_hash_list(folder):
    lines = (seal(folder), (folder / SUMS).read_bytes().split(b"\n"))[1]
    assert read_manifest(folder / MANIFEST, "x")["merkle_root"] == find_root(
        [line + b"\n" for line in lines[:-1]]
    )


def test_the_root_depends_on_names_and_bytes_and_not_on_the_order_they_come_in():
    files = {"a": "0" * 64, "b": "1" * 64}
    assert find_files_root(files) == find_files_root(dict(reversed(files.items())))
    assert find_files_root(files) != find_files_root({"a": "1" * 64, "b": "0" * 64})
    assert format_sums({}) == ""


def test_a_folder_sealed_twice_or_elsewhere_has_the_same_manifest(folder, tmp_path):
    seal(folder)
    first = (folder / MANIFEST).read_bytes()
    moved = folder.rename(tmp_path / "elsewhere")
    seal(moved)
    assert (moved / MANIFEST).read_bytes() == first


def test_a_file_that_vanished_leaves_no_manifest(folder):
    seal(folder)
    with pytest.raises(FileNotFoundError):
        seal(folder, ("gone",))
    assert not (folder / MANIFEST).exists()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": {"a": 1}}', "\0"])
def test_what_is_no_manifest_names_the_repair(tmp_path, text):
    path = tmp_path / MANIFEST
    with pytest.raises(StudyError, match=r"run upscale-audit build first"):
        read_manifest(path, "upscale-audit build")
    path.write_text(text)
    with pytest.raises(StudyError, match=r"manifest\.json.*run upscale-audit build again"):
        read_manifest(path, "upscale-audit build")


@pytest.mark.parametrize("field", ["kind", "recipe", "files", "bytes", "parents", "merkle_root"])
def test_a_manifest_without_one_of_its_fields_is_none(folder, field):
    manifest = seal(folder)
    del manifest[field]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(StudyError, match="no manifest of this version"):
        read_manifest(folder / MANIFEST, "x")


def test_code_and_dependencies_are_named_by_their_bytes(repository):
    packages = ("ingest", "warehouse", "dbt_project", "analysis")
    assert len({describe_code(package)["sha256"] for package in packages}) == 4
    assert hash_dependencies() == hash_file(repository / "constraints.txt")
