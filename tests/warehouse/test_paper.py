"""The folder for a data repository: complete, citable, the same bytes when made twice."""

import json
import os
import re
import shutil
import socket
import subprocess
import zipfile
from dataclasses import replace
from importlib.resources import files
from urllib.parse import unquote

import pytest
import yaml
from rocrate.rocrate import ROCrate

from upscale_audit.ingest.credit import Author, Credit, Organisation
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, SUMS, read_manifest
from upscale_audit.warehouse.proof import citations
from upscale_audit.warehouse.proof.paper import (
    find_chestxray8,
    find_date,
    find_licence,
    write_paper,
)
from upscale_audit.warehouse.proof.provenance import seal_figures
from upscale_audit.warehouse.proof.verify import verify

LICENCE_URL = "https://spdx.org/licenses/CC-BY-4.0"


@pytest.fixture(scope="module")
def study(sample_study, tmp_path_factory):
    """Give a copy of the sample's outputs, with a figure."""
    folder = tmp_path_factory.mktemp("paper") / "out"
    shutil.copytree(sample_study.output, folder, ignore=shutil.ignore_patterns("dbt", ".lock"))
    copied = replace(sample_study, output=folder)
    (folder / "figures").mkdir(exist_ok=True)
    (folder / "figures" / "one.png").write_text("figure")
    seal_figures(copied, [folder / "figures" / "one.png"])
    return copied


@pytest.fixture(scope="module")
def paper(study):
    """Give the paper of the copy."""
    return write_paper(study, date="2026-05-04", licence="CC-BY-4.0")


def test_the_folder_holds_results_sql_hashes_and_citations(paper):
    names = {path.relative_to(paper.folder).as_posix() for path in paper.folder.rglob("*")}
    assert names >= {
        "README.md",
        "CITATION.cff",
        "LICENSES/README.md",
        "LICENSES/software.txt",
        "study.toml",
        "exports/fct_blocks/bicubic.parquet",
        "exports/manifest.json",
        "figures/one.png",
        "sql/models/marts/axis/fct_blocks.sql",
        "sql/macros/vocabulary.sql",
        "sql/seeds/rules.csv",
        "provenance/warehouse.manifest.json",
        "provenance/exports.manifest.json",
        "provenance/figures.manifest.json",
        "provenance/raw/manifest.json",
        "provenance/raw/sources.sha256",
        "ro-crate-metadata.json",
        SUMS,
        MANIFEST,
    }


def test_folder_and_zip_are_the_same_bytes_when_made_twice(paper, study, read_tree):
    before, archive = read_tree(paper.folder), paper.archive.read_bytes()
    for path in (study.output / "exports").rglob("*"):
        os.utime(path, (1, 1))
    again = write_paper(study, date="2026-05-04", licence="CC-BY-4.0")
    assert read_tree(again.folder) == before
    assert again.archive.read_bytes() == archive
    assert hash_file(again.archive) == again.archive_sha256


def test_made_in_another_folder_the_zip_is_the_same(paper, study, tmp_path):
    other = write_paper(study, tmp_path / "elsewhere", "2026-05-04", "CC-BY-4.0")
    assert other.archive == tmp_path / "elsewhere.zip"
    assert other.archive_sha256 == paper.archive_sha256


def test_the_zip_holds_the_folder_and_verifies_unpacked(paper, read_tree, tmp_path):
    with zipfile.ZipFile(paper.archive) as archive:
        assert archive.namelist() == sorted(archive.namelist(), key=lambda name: name.split("/"))
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        archive.extractall(tmp_path)
    assert read_tree(tmp_path) == read_tree(paper.folder)
    assert verify(tmp_path).findings == ()
    command = ["sha256sum", "--check", "--strict", "--quiet", SUMS]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0


@pytest.mark.long
def test_a_flipped_byte_anywhere_in_the_folder_is_found(paper, tmp_path):
    folder = tmp_path / "paper"
    shutil.copytree(paper.folder, folder)
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != MANIFEST:
            data = path.read_bytes()
            changed = bytearray(data)
            changed[len(data) // 2] ^= 1
            path.write_bytes(changed)
            found = {item.name for item in verify(folder).findings}
            path.write_bytes(data)
            assert path.relative_to(folder).as_posix() in found


def test_the_zip_is_listed_beside_itself_as_sha256sum_reads_it(paper, study):
    sums = paper.archive.with_name("paper.zip.sha256")
    assert sums.read_text() == f"{paper.archive_sha256}  paper.zip\n"
    command = ["sha256sum", "--check", "--strict", "--quiet", sums.name]
    assert subprocess.run(command, cwd=sums.parent).returncode == 0
    again = f"upscale-audit paper STUDY.toml --date 2026-05-04 --license {LICENCE_URL}"

    def find(path=study.output):
        return [(i.problem, i.name, i.repair) for i in verify(path).findings]

    def restore(path, data):
        path.write_bytes(data)
        assert find() == []

    data, line = paper.archive.read_bytes(), sums.read_bytes()
    paper.archive.write_bytes(data[:-1] + b"\1")
    assert find() == [("differs", "paper.zip", again)]
    assert find(paper.folder) == [("differs", "paper.zip", f"{again} --folder {paper.folder}")]
    paper.archive.unlink()
    assert find() == [("missing", "paper.zip", again)]
    restore(paper.archive, data)
    sums.write_bytes(b"0" * 64 + line[64:])
    assert find() == [("differs", "paper.zip", again)]
    sums.write_bytes(line.replace(b"paper.zip", b"../paper.zip"))
    assert find() == [("differs", "paper.zip.sha256", again)]
    sums.unlink()
    assert find() == [("missing", "paper.zip.sha256", again)]
    assert find(paper.folder) == []
    restore(sums, line)


def test_what_is_damaged_inside_a_paper_is_mended_by_writing_the_paper_again(paper, tmp_path):
    folder = tmp_path / "paper"
    shutil.copytree(paper.folder, folder)
    (folder / "exports" / "dim_models.parquet").write_bytes(b"")
    (folder / "figures" / MANIFEST).unlink()
    findings = verify(folder).findings
    assert {(item.problem, item.name) for item in findings} == {
        ("differs", "exports/dim_models.parquet"),
        ("missing", f"figures/{MANIFEST}"),
    }
    for item in findings:
        assert item.repair.startswith("upscale-audit paper STUDY.toml ")
        assert item.repair.endswith(f"--folder {folder}")


def test_pages_and_maps_that_are_no_part_of_a_paper_do_not_stop_it(paper, study):
    (study.output / "docs.html").write_text("left by an earlier version")
    write_paper(study, date="2026-05-04", licence="CC-BY-4.0")
    (study.output / "docs.html").unlink()


def test_a_paper_beside_its_stages_is_verified_with_them_and_replaced_if_damaged(paper, study):
    assert "paper" in verify(study.output).roots
    path = paper.folder / "CITATION.cff"
    data = path.read_bytes()
    path.write_bytes(data + b"\n")
    assert [item.name for item in verify(study.output).findings] == ["paper/CITATION.cff"]
    write_paper(study, date="2026-05-04", licence="CC-BY-4.0")
    assert path.read_bytes() == data


def test_the_chain_holds_from_the_paper_to_the_source_files(paper):
    def parent(path):
        return read_manifest(path, "x")["parents"]

    folder, provenance = paper.folder, paper.folder / "provenance"
    assert parent(folder / MANIFEST)["exports/manifest.json"] == hash_file(
        folder / "exports" / MANIFEST
    )
    warehouse = provenance / "warehouse.manifest.json"
    for stage in ("exports", "figures"):
        linked = provenance / f"{stage}.manifest.json"
        assert parent(linked) == {warehouse.name: hash_file(warehouse)}
        sealed = folder / stage / MANIFEST
        assert read_manifest(linked, "x")["files"] == {f"{stage}/{MANIFEST}": hash_file(sealed)}
    assert parent(warehouse) == {"raw/manifest.json": hash_file(provenance / "raw" / MANIFEST)}
    raw = read_manifest(provenance / "raw" / MANIFEST, "x")
    assert raw["files"]["sources.sha256"] == hash_file(provenance / "raw" / "sources.sha256")
    assert raw["sources_root"] in (folder / "README.md").read_text()


def test_the_crate_is_read_by_its_library_and_describes_every_file(paper):
    crate = ROCrate(str(paper.folder))
    assert crate.root_dataset["datePublished"] == "2026-05-04"
    assert crate.root_dataset["license"].id == "https://spdx.org/licenses/CC-BY-4.0"
    described = {item.id: item for item in crate.data_entities}
    files = {p.relative_to(paper.folder).as_posix() for p in paper.folder.rglob("*") if p.is_file()}
    assert set(described) == files - {SUMS, MANIFEST, "ro-crate-metadata.json"}
    for name, item in described.items():
        assert item["sha256"] == hash_file(paper.folder / name)
        assert int(item["contentSize"]) == (paper.folder / name).stat().st_size
    assert crate.get("#audit")["instrument"].id == "#upscale-audit"


CREDIT = Credit(
    (
        Author(
            "A. Researcher",
            "https://orcid.org/0000-0002-1825-0097",
            Organisation("Somewhere", "https://somewhere.example"),
        ),
        Author("B. Helper"),
    ),
    Organisation("University of Somewhere", "https://ror.org/00example"),
    "someone@example.org",
)


@pytest.fixture(scope="module")
def credited(study, tmp_path_factory):
    """Give the graph of a paper whose study says who made it, and its folder."""
    folder = tmp_path_factory.mktemp("credited") / "paper"
    write_paper(replace(study, credit=CREDIT), folder, "2026-05-04", "CC-BY-4.0")
    document = json.loads((folder / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    return document, {item["@id"]: item for item in document["@graph"]}, folder


def list_links(value):
    """Ids that a property links to."""
    values = value if isinstance(value, list) else [value]
    return [item["@id"] for item in values if isinstance(item, dict)]


# RO-Crate Metadata Specification 1.1, https://w3id.org/ro/crate/1.1: what it REQUIRES.
def test_the_crate_keeps_what_ro_crate_requires(credited):
    document, graph, folder = credited
    assert set(document) == {"@context", "@graph"}
    assert document["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    assert len(graph) == len(document["@graph"])
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert descriptor["@type"] == "CreativeWork"
    assert descriptor["about"] == {"@id": "./"}
    assert descriptor["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert root["@type"] == "Dataset"
    assert root["name"]
    assert root["description"]
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", root["datePublished"])
    assert graph[root["license"]["@id"]]["name"]
    for identifier, item in graph.items():
        assert item["@type"], identifier
        if item["@type"] == "File":
            assert " " not in identifier
            assert not identifier.startswith(("/", "./", "../", "file:"))
            assert (folder / unquote(identifier)).is_file()
            assert {"@id": identifier} in root["hasPart"]


def test_the_crate_is_flat_and_every_link_leads_to_an_entity(credited):
    _, graph, _ = credited
    reached, left = set(), ["ro-crate-metadata.json", "#audit"]
    while left:
        identifier = left.pop()
        if identifier in reached:
            continue
        reached.add(identifier)
        for name, value in graph[identifier].items():
            for item in value if isinstance(value, list) else [value]:
                assert not isinstance(item, dict) or set(item) == {"@id"}, name
            if name != "conformsTo":
                left += list_links(value)
    assert reached == set(graph)


def test_every_term_is_of_the_crate_s_context(credited):
    document, graph, _ = credited
    source = files("rocrate") / "data" / "ro-crate.jsonld"
    known = set(json.loads(source.read_text(encoding="utf-8"))["@context"])
    known |= set(document["@context"][1]) | {"@id", "@type"}
    for item in graph.values():
        assert set(item) | {item["@type"]} <= known


# And what it RECOMMENDS.
def test_the_crate_keeps_what_ro_crate_recommends(credited):
    _, graph, _ = credited
    root = graph["./"]
    authors = [graph[identifier] for identifier in list_links(root["author"])]
    assert [(item["@type"], item["name"]) for item in authors] == [
        ("Person", "A. Researcher"),
        ("Person", "B. Helper"),
    ]
    assert authors[0]["@id"] == "https://orcid.org/0000-0002-1825-0097"
    (organisation,) = (graph[name] for name in list_links(authors[0]["affiliation"]))
    assert organisation == {
        "@id": "https://somewhere.example",
        "@type": "Organization",
        "name": "Somewhere",
        "url": "https://somewhere.example",
    }
    (publisher,) = (graph[identifier] for identifier in list_links(root["publisher"]))
    assert publisher == {
        "@id": "https://ror.org/00example",
        "@type": "Organization",
        "name": "University of Somewhere",
        "url": "https://ror.org/00example",
    }
    (point,) = (graph[identifier] for identifier in list_links(authors[0]["contactPoint"]))
    assert point["@id"] == "mailto:someone@example.org"
    assert (point["@type"], point["email"]) == ("ContactPoint", "someone@example.org")
    assert point["contactType"]
    for item in graph.values():
        if item["@type"] == "File":
            assert item["name"]
            assert "/" in item["encodingFormat"]
            assert item["contentSize"].isdecimal()
    action = graph["#audit"]
    assert graph[action["instrument"]["@id"]]["@type"] == "SoftwareApplication"
    assert graph[action["instrument"]["@id"]]["name"]


def test_without_a_word_of_who_made_it_the_author_is_told(paper, study):
    assert any("[paper] in the study file names them" in note for note in paper.notes)
    graph = json.loads((paper.folder / "ro-crate-metadata.json").read_text())["@graph"]
    assert not {"author", "publisher"} & {key for item in graph for key in item}


def test_nothing_in_the_description_is_of_this_machine(paper, study, repository):
    text = (paper.folder / "ro-crate-metadata.json").read_text()
    assert str(study.output) not in text
    assert str(repository) not in text
    assert json.loads(text)["@context"][0] == "https://w3id.org/ro/crate/1.1/context"


def test_no_network_is_needed(study, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a paper needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    write_paper(study, tmp_path / "offline", "2026-05-04")


def test_a_study_of_chestxray8_carries_its_mandatory_citation(study, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("")
    assert not find_chestxray8(study)
    assert find_chestxray8(replace(study, label_entries=labels))
    assert find_chestxray8(replace(study, label_boxes=labels))
    for text in (citations.describe_licences(None, True), citations.cite_software("1", True)):
        assert "https://nihcc.app.box.com/v/ChestXray-NIHCC" in text
        assert "ChestX-ray8: Hospital-scale Chest X-ray Database" in " ".join(text.split())
        assert "3462" in text
    assert "NIH Clinical Center" in citations.describe_licences(None, True)
    assert "ChestX-ray8" not in citations.describe_licences(None, False)


def test_images_under_chestxray8_names_are_recognised(study_folder):
    from upscale_audit.ingest.run import ingest_study

    study_folder.add_model("alpha")
    study_folder.add_image("00000013_004")
    named = study_folder.load()
    ingest_study(named, workers=1)
    assert find_chestxray8(named)


@pytest.mark.parametrize("is_chestxray8", [True, False])
def test_the_citation_file_is_the_citation_file_format(is_chestxray8):
    document = yaml.safe_load(citations.cite_software("0.1.0", is_chestxray8))
    assert {"cff-version", "message", "title", "authors"} <= set(document)
    assert document["version"] == "0.1.0"
    assert ("references" in document) == is_chestxray8


def test_the_date_is_given_or_of_the_epoch_or_of_the_exports_and_never_now(study, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    os.utime(study.output / "exports" / MANIFEST, (86_400 * 366,) * 2)
    assert find_date(study, None) == "1971-01-02"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    assert find_date(study, None) == "1970-01-01"
    assert find_date(study, "2026-05-04") == "2026-05-04"
    for given in ("4.5.2026", "2026-13-01", ""):
        with pytest.raises(StudyError, match="expected YYYY-MM-DD"):
            find_date(study, given)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(StudyError, match="expected seconds since 1970"):
        find_date(study, None)


def test_a_licence_is_a_page_or_an_identifier():
    assert find_licence("MIT") == "https://spdx.org/licenses/MIT"
    assert find_licence("cc-by-4.0") == "https://spdx.org/licenses/CC-BY-4.0"
    assert find_licence("https://example.org/terms") == "https://example.org/terms"


@pytest.mark.parametrize(
    "given", ["all rights reserved", "CC-BY-4", "foo", "MIT OR Apache-2.0", "MIT+", "LicenseRef-a"]
)
def test_a_licence_without_a_page_is_refused(given):
    with pytest.raises(StudyError, match="expected an https URL or an SPDX identifier, as CC-BY"):
        find_licence(given)


def test_a_folder_that_is_no_papers_is_left_alone(study, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(StudyError, match=r"no paper's folder"):
        write_paper(study, tmp_path, "2026-05-04")
    for folder in (study.output, study.output.parent):
        with pytest.raises(StudyError, match="name a folder of its own"):
            write_paper(study, folder, "2026-05-04")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_damaged_or_missing_stages_make_no_paper_and_name_the_repair(study, tmp_path):
    path = study.output / "figures" / "one.png"
    path.write_text("other!")
    with pytest.raises(StudyError, match=r"one\.png \(differs\); repair: upscale-audit figures"):
        write_paper(study, tmp_path / "paper", "2026-05-04")
    path.write_text("figure")
    manifest = study.output / "figures" / MANIFEST
    manifest.rename(tmp_path / "away")
    with pytest.raises(StudyError, match="run upscale-audit figures"):
        write_paper(study, tmp_path / "paper", "2026-05-04")
    (tmp_path / "away").rename(manifest)
    assert not (tmp_path / "paper").exists()


def test_the_crate_names_every_model(paper):
    crate = ROCrate(str(paper.folder))
    models = crate.root_dataset["mentions"]
    assert [model["alternateName"] for model in models] == [
        "bicubic",
        "realesr_animevideov3",
        "span_x2_ch48",
        "upscayl_digital",
        "upscayl_standard",
    ]
    assert {model.type for model in models} == {"SoftwareApplication"}
    assert all("sha256" not in model for model in models)
