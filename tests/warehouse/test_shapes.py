"""Manifests of wrong types under correct hashes are named in one line, whoever reads them."""

import itertools
import json

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, hash_json
from upscale_audit.ingest.manifests import MANIFEST, WAREHOUSE_MANIFEST, restate, write_manifest
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.units import UnitManifest, read_manifest
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.frozen import freeze_study
from upscale_audit.warehouse.proof.inclusion import describe_proof
from upscale_audit.warehouse.proof.verify import verify

WRONG = (None, 7, 1.5, "text", True, [{"a": 1}], {"a": 1}, {"a": ["b"]}, [[]])
MANIFESTS = (f"raw/{MANIFEST}", WAREHOUSE_MANIFEST, f"exports/{MANIFEST}")


def list_places(value, path=()):
    """Every place in a JSON value down to the second level, one of each list and table."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        if isinstance(item, (dict, list)) and item and len(path) < 2:
            yield from itertools.islice(list_places(item, (*path, key)), 9)
        else:
            yield (*path, key)


def change(value, path, wrong):
    """A copy of a JSON value with another value at a place."""
    copy = json.loads(json.dumps(value))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = wrong
    return copy


def restated(manifest):
    try:
        return manifest | restate(manifest)
    except (TypeError, ValueError, AttributeError, KeyError):
        return manifest


@pytest.mark.long
@pytest.mark.parametrize("name", MANIFESTS)
def test_whatever_a_manifest_holds_is_a_finding_or_one_line(small_study, name):
    path = small_study.output / name
    truth = json.loads(path.read_text())
    places = [place for place in list_places(truth) if place]
    assert len(places) > 20
    for number, place in enumerate(places):
        wrong = WRONG[number % len(WRONG)]
        forged = restated(change(truth, place, wrong))
        if forged == truth:
            continue
        write_manifest(path, forged)
        assert verify(small_study.output, small_study).findings, (place, wrong)
        if name.startswith("raw"):
            with pytest.raises(StudyError, match="run upscale-audit ingest"):
                build_warehouse(small_study)
            with pytest.raises(StudyError):
                describe_proof(small_study)


@pytest.mark.parametrize("wrong", WRONG)
def test_the_files_of_a_warehouse_s_manifest_of_another_type_stop_its_readers(small_study, wrong):
    path = small_study.output / WAREHOUSE_MANIFEST
    truth = json.loads(path.read_text())
    for field in ("files", "recipe", "parents", "units"):
        if type(wrong) is type(truth[field]):
            continue
        write_manifest(path, restated(truth | {field: wrong}))
        for action in (export_tables, freeze_study):
            with pytest.raises(StudyError, match="upscale-audit build"):
                action(small_study)


LISTS = ("shards", "patch_shards", "inputs")


def test_a_unit_of_another_shape_is_measured_again(small_study):
    (path,) = (small_study.raw / "units").iterdir()
    truth = json.loads(path.read_text())
    assert read_manifest(path) == truth
    fields = UnitManifest.__required_keys__
    places = [(field,) for field in sorted(fields)]
    places += [(field, 0, key) for field in LISTS for key in truth[field][0]]
    places += [("image_metrics", 0, "ssim"), ("image_facts", 0, "width_px"), ("models", 0)]
    for number, place in enumerate(places):
        # A recipe may be any table.
        wrong = {"a": 1} if number % 2 and place != ("recipe",) else 7
        manifest = change(truth, place, wrong)
        if place[-1] in ("recipe", "rows", "bytes", "ssim", "width_px") and wrong == 7:
            manifest = change(truth, place, "text")
        if place != ("content_sha256",):
            del manifest["content_sha256"]
            manifest["content_sha256"] = hash_json(manifest)
        path.write_text(canonical_json(manifest) + "\n")
        assert read_manifest(path) is None, place
    for field in fields - {"content_sha256"}:
        manifest = {key: value for key, value in truth.items() if key != field}
        del manifest["content_sha256"]
        path.write_text(canonical_json(manifest | {"content_sha256": hash_json(manifest)}) + "\n")
        assert read_manifest(path) is None, field
    assert ingest_study(small_study, workers=1).units_measured == 1
    assert read_manifest(path) == truth


def test_a_list_of_sources_of_other_lines_is_one_line(small_study):
    (small_study.raw / "sources.sha256").write_text("no list\n")
    with pytest.raises(StudyError, match="run upscale-audit ingest"):
        describe_proof(small_study)
    findings = verify(small_study.output, small_study).findings
    assert any(item.name == "raw/sources.sha256" for item in findings)
