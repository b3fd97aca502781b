"""One unit of work: its name, its shards, its manifest, and when it is measured again."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from upscale_audit.ingest import units
from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.files import canonical_json, hash_file, hash_json
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.patches import name_patch_shard
from upscale_audit.ingest.rings import Scan, ScannedReference
from upscale_audit.ingest.run import plan_units
from upscale_audit.ingest.schema import arrow_schema
from upscale_audit.ingest.study import IngestParameters
from upscale_audit.ingest.units import ensure_unit, read_manifest


def plan(study):
    (unit,) = plan_units(study, pair_study(study))
    return unit


@pytest.fixture
def unit(tiny_study):
    return plan(tiny_study.load())


def read_shard(unit, model_id="alpha"):
    return pq.ParquetFile(unit.raw / unit.shard_name(model_id)).read()


def test_a_unit_is_named_by_images_models_and_parameters_alone(tiny_study, unit):
    tiny_study.put("a.png", np.zeros((8, 8), np.uint8))
    assert plan(tiny_study.load(output="elsewhere")).unit_id == unit.unit_id
    others = [
        replace(unit, images=unit.images[:2]),
        replace(unit, images=unit.images[::-1]),
        replace(unit, models=unit.models[:1]),
        replace(unit, parameters=IngestParameters(edge_quantile=0.9)),
    ]
    assert len({other.unit_id for other in [unit, *others]}) == 5


def test_a_new_schema_version_renames_every_unit(unit, monkeypatch):
    before = unit.unit_id
    monkeypatch.setattr(units, "SCHEMA_VERSION", units.SCHEMA_VERSION + 1)
    assert unit.unit_id != before


def test_the_manifest_states_what_was_read_and_written(unit):
    manifest, was_kept = ensure_unit(unit)
    assert not was_kept
    assert read_manifest(unit.manifest_path) == manifest
    assert manifest["images"] == ["a", "b", "c"]
    assert [shard["model_id"] for shard in manifest["shards"]] == ["alpha", "beta"]
    for shard in manifest["shards"]:
        path = unit.raw / shard["file"]
        assert shard["sha256"] == hash_file(path)
        assert shard["bytes"] == path.stat().st_size
        assert shard["rows"] == pq.read_metadata(path).num_rows == 3 * 6
    read = [item.path for items in unit.inputs.values() for item in items if item.path]
    assert [entry["file_sha256"] for entry in manifest["inputs"]] == list(map(hash_file, read))


def test_the_manifest_holds_no_path_and_no_time(unit, tmp_path):
    ensure_unit(unit)
    text = unit.manifest_path.read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert "time" not in text


def test_a_shard_states_its_model_unit_schema_and_recipe(unit):
    ensure_unit(unit)
    schema = read_shard(unit).schema
    assert schema.equals(arrow_schema("blocks"))
    stated = {key.decode(): value.decode() for key, value in schema.metadata.items()}
    assert stated["model_id"] == "alpha"
    assert stated["unit_id"] == unit.unit_id
    assert set(stated) == {"model_id", "unit_id", "schema_version", "recipe_sha256"}


@pytest.mark.parametrize(("limit", "groups"), [(1, [6, 6, 6]), (7, [12, 6]), (12, [12, 6])])
def test_no_row_group_splits_an_image(unit, monkeypatch, limit, groups):
    monkeypatch.setattr(units, "ROWS_PER_GROUP", limit)
    ensure_unit(unit)
    metadata = pq.read_metadata(unit.raw / unit.shard_name("alpha"))
    found = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert found == groups


def test_an_unchanged_unit_is_kept(unit, monkeypatch):
    manifest, _ = ensure_unit(unit)
    monkeypatch.setattr(units, "_measure_unit", None)
    assert ensure_unit(unit) == (manifest, True)


def test_a_touched_file_with_equal_bytes_is_kept(tiny_study, unit):
    ensure_unit(unit)
    path = tiny_study.folder() / "a.png"
    path.write_bytes(path.read_bytes())
    assert ensure_unit(unit)[1]


@pytest.mark.parametrize("model_id", [None, "alpha", "beta"])
def test_a_changed_input_is_measured_again(tiny_study, unit, model_id):
    before, _ = ensure_unit(unit)
    tiny_study.put("b.png", np.full((16, 24), 7, np.uint8), model_id)
    after, was_kept = ensure_unit(unit)
    assert not was_kept
    hashes = [
        {shard["model_id"]: shard["sha256"] for shard in m["shards"]} for m in (before, after)
    ]
    changed = {name for name, sha256 in hashes[0].items() if hashes[1][name] != sha256}
    assert changed == ({"alpha", "beta"} if model_id is None else {model_id})


def test_a_file_of_another_name_is_measured_again(tiny_study):
    study = tiny_study.load(pairing="suffix")
    ensure_unit(plan(study))
    path = tiny_study.folder("beta", "notta") / "a.png"
    path.rename(path.with_name("a_x2.png"))
    manifest, was_kept = ensure_unit(plan(study))
    assert not was_kept
    assert "a_x2.png" in {row["file_name"] for row in manifest["source_files"]}


def test_a_new_or_removed_file_is_measured_again(tiny_study):
    study = tiny_study.load()
    ensure_unit(plan(study))
    path = tiny_study.folder("alpha", "tta") / "b.png"
    data = path.read_bytes()
    path.unlink()
    assert not ensure_unit(plan(study))[1]
    assert ensure_unit(plan(study))[1]
    path.write_bytes(data)
    assert not ensure_unit(plan(study))[1]


def test_an_unreadable_file_is_tried_again_each_time(tiny_study):
    study = tiny_study.load()
    path = tiny_study.folder("alpha", "tta") / "b.png"
    path.unlink()
    path.symlink_to("nowhere.png")
    for _ in range(2):
        manifest, was_kept = ensure_unit(plan(study))
        assert not was_kept
        (reject,) = manifest["rejects"]
        assert (reject["reason"], reject["bytes"], reject["file_sha256"]) == (
            "unreadable",
            None,
            None,
        )


DAMAGE = {
    "empty": lambda text: "",
    "list": lambda text: "[]",
    "bare object": lambda text: "{}",
    "null": lambda text: "null",
    "cut": lambda text: text[: len(text) // 2],
    "other digit": lambda text: text.replace('"width_px":24', '"width_px":25', 1),
    "lost hash": lambda text: json.dumps({**json.loads(text), "content_sha256": None}),
    "lost key": lambda text: json.dumps(
        {key: value for key, value in json.loads(text).items() if key != "inputs"}
    ),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_manifest_is_no_manifest_and_is_repaired(tiny_study, unit, damage):
    ensure_unit(unit)
    good = unit.manifest_path.read_text(encoding="utf-8")
    bad = damage(good)
    assert bad != good
    unit.manifest_path.write_text(bad, encoding="utf-8")
    assert read_manifest(unit.manifest_path) is None
    assert plan(tiny_study.load()).unit_id == unit.unit_id
    assert not ensure_unit(unit)[1]
    assert unit.manifest_path.read_text(encoding="utf-8") == good


def test_a_manifest_that_is_no_text_is_no_manifest(unit):
    ensure_unit(unit)
    unit.manifest_path.write_bytes(b"\xff\xfe")
    assert read_manifest(unit.manifest_path) is None


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_damaged_or_lost_shard_is_measured_again(unit, damage):
    ensure_unit(unit)
    path = unit.raw / unit.shard_name("beta")
    good = path.read_bytes()
    path.write_bytes(damage) if damage is not None else path.unlink()
    assert not ensure_unit(unit)[1]
    assert path.read_bytes() == good


def test_the_old_sign_off_goes_before_anything_changes(tiny_study, unit, monkeypatch):
    ensure_unit(unit)
    (unit.raw / "manifest.json").write_text("{}", encoding="utf-8")
    ensure_unit(unit)
    assert (unit.raw / "manifest.json").exists()
    tiny_study.put("b.png", np.full((16, 24), 7, np.uint8))
    monkeypatch.setattr(units, "_measure_unit", None)
    with pytest.raises(TypeError):
        ensure_unit(unit)
    assert not (unit.raw / "manifest.json").exists()
    assert not unit.manifest_path.exists()


def test_a_unit_that_fails_leaves_no_manifest_and_no_temporary_file(unit, monkeypatch, read_tree):
    build, calls = units.build_batch, []

    def fail_at_the_last(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        return build(*arguments)

    monkeypatch.setattr(units, "ROWS_PER_GROUP", 1)
    monkeypatch.setattr(units, "build_batch", fail_at_the_last)
    with pytest.raises(OSError, match="No space left"):
        ensure_unit(unit)
    assert read_tree(unit.raw) == {}


def test_a_unit_without_a_good_reference_has_a_manifest_and_no_shard(tiny_study, unit):
    for name in ("a.png", "b.png", "c.png"):
        tiny_study.put(name, b"no image")
    manifest, _ = ensure_unit(unit)
    assert manifest["shards"] == []
    assert [row["reason"] for row in manifest["rejects"]] == ["not_an_image"] * 3
    assert not (unit.raw / "blocks").exists()
    assert ensure_unit(unit)[1]


@pytest.fixture
def scanned(tiny_study):
    """Give a unit that scans patches of 16 px: one an image, of 16x24 px."""
    return plan(tiny_study.load(output="scanned", sfrc=[16]))


def read_patches(unit):
    return pq.ParquetFile(unit.raw / name_patch_shard(unit.unit_id)).read()


def test_patches_are_one_file_of_all_models_and_the_manifest_states_it(unit, scanned):
    plain, _ = ensure_unit(unit)
    assert plain["patch_shards"] == []
    assert not (unit.raw / "patches").exists()
    manifest, _ = ensure_unit(scanned)
    assert manifest["unit_id"] != plain["unit_id"]
    assert manifest["recipe"]["sfrc"] == {
        "patch_px": [16], "lr_scale": 2, "thresholds": [0.5, 0.75],
    }  # fmt: skip
    blocks = [[shard["rows"] for shard in item["shards"]] for item in (plain, manifest)]
    assert blocks[0] == blocks[1]
    (shard,) = manifest["patch_shards"]
    path = scanned.raw / shard["file"]
    assert (shard["sha256"], shard["bytes"]) == (hash_file(path), path.stat().st_size)
    table = read_patches(scanned)
    assert table.schema.equals(arrow_schema("patches"))
    assert table.num_rows == shard["rows"] == 3 * 3


def test_patch_rows_are_what_the_scan_of_each_pair_finds(tiny_study, scanned):
    ensure_unit(scanned)
    rows = read_patches(scanned).to_pylist()
    keys = [(row["image_id"], row["model_id"], row["inference_path"]) for row in rows]
    paths = (("alpha", "notta"), ("alpha", "tta"), ("beta", "notta"))
    assert keys == [(image_id, *path) for image_id in "abc" for path in paths]
    for row in rows:
        name = f"{row['image_id']}.png"
        owner = tiny_study.folder(row["model_id"], row["inference_path"])
        x, y = (np.asarray(Image.open(folder / name)) for folder in (tiny_study.folder(), owner))
        ((_, ends),) = ScannedReference(x, Scan((16,), 2)).compare(y)
        wanted = np.float32(ends[0, 0]).tolist()
        assert [row["frc50_end"], row["frc75_end"]] == wanted
        assert (row["patch_px"], row["patch_row"], row["patch_col"]) == (16, 0, 0)
        assert row["lr_nyquist"] == 0.25


def test_a_flat_patch_has_no_end(tiny_study, scanned):
    tiny_study.put("b.png", np.full((16, 24), 9, np.uint8))
    ensure_unit(scanned)
    ends = {(row["image_id"], row["frc50_end"]) for row in read_patches(scanned).to_pylist()}
    assert {image_id for image_id, end in ends if end is None} == {"b"}


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_damaged_or_lost_patches_are_measured_again(scanned, damage):
    ensure_unit(scanned)
    path = scanned.raw / name_patch_shard(scanned.unit_id)
    good = path.read_bytes()
    path.write_bytes(damage) if damage is not None else path.unlink()
    assert not ensure_unit(scanned)[1]
    assert path.read_bytes() == good
    assert ensure_unit(scanned)[1]


@pytest.mark.parametrize("name", ["patches/../../x.parquet", "patches/0123456789abcdef.parquet"])
def test_patches_of_another_name_are_those_of_no_manifest(scanned, name):
    manifest, _ = ensure_unit(scanned)
    manifest["patch_shards"][0]["file"] = name
    del manifest["content_sha256"]
    text = canonical_json(manifest | {"content_sha256": hash_json(manifest)})
    scanned.manifest_path.write_text(text, encoding="utf-8")
    assert read_manifest(scanned.manifest_path) is None


def rows_by_image(unit, model_id="alpha"):
    rows = {}
    for row in read_shard(unit, model_id).to_pylist():
        rows.setdefault(row["image_id"], []).append(row)
    return rows


def test_an_images_rows_do_not_depend_on_its_batch_mates(tiny_study):
    ensure_unit(plan(tiny_study.load()))
    together = rows_by_image(plan(tiny_study.load()))
    for image_id in ("a", "c"):
        whole = plan(tiny_study.load(output=f"out_{image_id}"))
        alone = replace(whole, images=(image_id,), models=("alpha",))
        ensure_unit(alone)
        assert rows_by_image(alone) == {image_id: together[image_id]}


def test_an_images_rows_do_not_depend_on_the_sizes_before_it(tiny_study):
    ensure_unit(plan(tiny_study.load()))
    before = rows_by_image(plan(tiny_study.load()))
    tiny_study.add_image("a", shape=(65, 130), suffix="large")
    tiny_study.add_image("b", shape=(8, 8), suffix="small")
    ensure_unit(plan(tiny_study.load()))
    after = rows_by_image(plan(tiny_study.load()))
    assert after["c"] == before["c"]
    assert [len(rows) for rows in after.values()] == [9 * 17, 1, 6]


def test_the_same_unit_in_another_folder_has_the_same_bytes(tiny_study, read_tree):
    for output in ("one", "two"):
        ensure_unit(plan(tiny_study.load(output=output)))
    assert read_tree(tiny_study.root / "one") == read_tree(tiny_study.root / "two")
    assert len(read_tree(tiny_study.root / "one")) == 3


def test_a_refused_pair_keeps_the_files_hash(tiny_study, unit):
    path = tiny_study.put("a.png", np.zeros((16, 16), np.uint8), "alpha")
    manifest, _ = ensure_unit(unit)
    (reject,) = manifest["rejects"]
    assert reject["reason"] == "size_mismatch"
    assert reject["detail"] == "16x16 px; the reference has 24x16"
    assert reject["file_sha256"] == hash_file(path)
    assert reject["bytes"] == path.stat().st_size
    row = rows_by_image(unit)["a"][0]
    assert row["notta_sum"] is None
    assert row["tta_sum"] is not None


def test_a_rejection_reads_as_code_and_detail():
    assert str(RejectedFileError("empty", "0 bytes")) == "empty: 0 bytes"
