"""A forged number, restated as far up as its forger likes, is measured again and never adopted."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import canonical_json, hash_file, hash_json
from upscale_audit.ingest.manifests import (
    MANIFEST,
    SOURCES,
    SUMS,
    WAREHOUSE_MANIFEST,
    find_files_root,
    format_sums,
    read_manifest,
    restate,
    write_manifest,
)
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.schema import HYRA_TABLES, SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.companions import read_hyra
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.frozen import freeze_study
from upscale_audit.warehouse.proof.provenance import UNCHECKED, check_warehouse
from upscale_audit.warehouse.proof.verify import verify

pytestmark = pytest.mark.long


@pytest.fixture
def measured(small_study_root, tmp_path):
    """Give the small study, ingested and never built."""
    study = load_study(shutil.copytree(small_study_root, tmp_path / "fresh") / "study.toml")
    study = replace(study, output=tmp_path / "out")
    ingest_study(study, workers=1)
    return study


def find_unit(study):
    (path,) = (study.raw / "units").iterdir()
    return path


def forge_unit(study, change):
    """Change a unit's manifest, and restate its hash."""
    path = find_unit(study)
    manifest = json.loads(path.read_text())
    del manifest["content_sha256"]
    change(manifest)
    manifest["content_sha256"] = hash_json(manifest)
    path.write_text(canonical_json(manifest) + "\n")


def forge_metric(manifest):
    manifest["image_metrics"][0]["ssim"] = 0.987654321


def forge_shard(study):
    """Change a block, then the unit that signs it."""

    def sign(manifest):
        shard = manifest["shards"][0]
        path = study.raw / shard["file"]
        table = pq.read_table(path)
        values = table["notta_sum"].to_pylist()
        values[0] = 7
        at = table.schema.get_field_index("notta_sum")
        field = table.schema.field(at)
        pq.write_table(table.set_column(at, field, pa.array(values, field.type)), path)
        shard |= {"bytes": path.stat().st_size, "sha256": hash_file(path)}

    forge_unit(study, sign)


def forge_raw(study, sources=None):
    """Restate every hash of the raw folder, its lists and its manifest."""
    path = study.raw / MANIFEST
    manifest = json.loads(path.read_text())
    if sources is not None:
        (study.raw / SOURCES).write_text(format_sums(sources))
        manifest["sources_root"] = find_files_root(sources)
    files = {name: hash_file(study.raw / name) for name in manifest["files"] if name != SUMS}
    (study.raw / SUMS).write_text(format_sums(files))
    files[SUMS] = hash_file(study.raw / SUMS)
    manifest["files"] = dict(sorted(files.items()))
    write_manifest(path, manifest | restate(manifest))


def forge_table(study):
    """Change a small table and the raw manifest, and no unit."""
    path = study.raw / "pairs" / "pairs.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    forge_raw(study)


def forge_everything(study):
    forge_shard(study)
    forge_unit(study, forge_metric)
    forge_raw(study)


def replace_source(study):
    """Replace a reference, and let every hash say that its numbers were measured on it."""
    path = study.references / "a.png"
    pixels = np.asarray(Image.open(path)).copy()
    Image.fromarray(255 - pixels).save(path)

    def claim(manifest):
        for entry in manifest["inputs"]:
            if entry["key"][0] == "reference" and entry["key"][3] == "a":
                entry["file_sha256"] = hash_file(path)

    forge_unit(study, claim)
    lines = (study.raw / SOURCES).read_text().splitlines()
    sources = {line[66:]: line[:64] for line in lines}
    forge_raw(study, sources | {"reference/a.png": hash_file(path)})


FORGERIES = {
    "unit manifest": lambda study: forge_unit(study, forge_metric),
    "shard and unit manifest": forge_shard,
    "small table and raw manifest": forge_table,
    "raw folder whole": forge_everything,
}


@pytest.mark.parametrize("state", ["measured", "small_study"])
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_named_refused_and_measured_again(request, read_tree, state, forge):
    study = request.getfixturevalue(state)
    before = read_tree(study.raw)
    forge(study)
    findings = [item for item in verify(study.output, study).findings if "raw/" in item.name]
    assert any(f"upscale-audit ingest {study.path}" in item.repair for item in findings)
    with pytest.raises(StudyError, match="run upscale-audit ingest"):
        build_warehouse(study)
    ingest_study(study, workers=1)
    assert read_tree(study.raw) == before
    assert verify(study.raw, study).findings == ()


@pytest.mark.parametrize("state", ["measured", "small_study"])
def test_a_replaced_source_whose_hashes_are_restated_is_measured(request, state, read_rows):
    study = request.getfixturevalue(state)
    before = read_rows(study.raw, "image_metrics")
    replace_source(study)
    assert [item.problem for item in verify(study.raw, study).findings] == ["differs"]
    assert ingest_study(study, workers=1).units_measured == 1
    after = read_rows(study.raw, "image_metrics")
    assert [row["ssim"] for row in after] != [row["ssim"] for row in before]


def test_without_a_journal_the_raw_manifest_vouches_and_without_both_nothing_does(measured):
    Journal(measured.output, "raw").remove()
    assert ingest_study(measured, workers=1).units_kept == 1
    Journal(measured.output, "raw").remove()
    forge_unit(measured, forge_metric)
    assert ingest_study(measured, workers=1).units_kept == 0
    Journal(measured.output, "raw").remove()
    (measured.raw / MANIFEST).unlink()
    assert ingest_study(measured, workers=1).units_kept == 0


def test_a_damaged_journal_or_warehouse_manifest_vouches_for_nothing(measured, small_study):
    Journal(measured.output, "raw").path.write_bytes(b'\xff{"name": 1}\n[]\n{"name"')
    assert ingest_study(measured, workers=1).units_kept == 0
    path = small_study.output / WAREHOUSE_MANIFEST
    manifest = json.loads(path.read_text())
    del manifest["units"]
    path.write_text(json.dumps(manifest))
    assert ingest_study(small_study, workers=1).units_kept == 0


def test_the_next_build_takes_the_journal_away_and_names_the_units(small_study, new_study_folder):
    path = small_study.references / "a.png"
    path.write_bytes((small_study.references / "b.png").read_bytes())
    assert ingest_study(small_study, workers=1).units_measured == 1
    assert ingest_study(small_study, workers=1).units_kept == 1
    assert Journal(small_study.output, "raw").read()
    build_warehouse(small_study)
    assert Journal(small_study.output, "raw").read() is None
    manifest = read_manifest(small_study.output / WAREHOUSE_MANIFEST, "x")
    unit = find_unit(small_study)
    assert manifest["units"] == {f"units/{unit.name}": hash_file(unit)}
    assert ingest_study(small_study, workers=1).units_kept == 1


def write_hyra(study, value="net"):
    """Write HyRA's folder as its command does, with one row."""
    from upscale_audit.ingest.manifests import seal_folder

    names = []
    study.hyra.mkdir(exist_ok=True)
    for table in HYRA_TABLES:
        names.append(f"{table}.parquet")
        pq.write_table(arrow_schema(table, {"by": value}).empty_table(), study.hyra / names[-1])
    recipe = {"schema_version": SCHEMA_VERSION, "inputs": {"sources": {}}}
    seal_folder(study.hyra, "hyra", study.name, names, recipe, {})


def test_hyra_that_was_forged_whole_is_named_and_refused(measured):
    write_hyra(measured)
    assert read_hyra(measured).content_sha256  # nothing says otherwise
    Journal(measured.output, "hyra").write({MANIFEST: {hash_file(measured.hyra / MANIFEST)}})
    assert read_hyra(measured).content_sha256
    write_hyra(measured, "forged")
    with pytest.raises(StudyError, match=r"not the one that was signed.*upscale-audit hyra"):
        read_hyra(measured)
    (item,) = (i for i in verify(measured.output).findings if i.name == f"hyra/{MANIFEST}")
    assert "upscale-audit hyra" in item.repair


def forge_frozen(path, old, new):
    """Change a value of a frozen file, and restate its hash."""
    import tomllib
    from decimal import Decimal

    from upscale_audit.warehouse.value_files import hash_document

    text = path.read_text()
    assert old in text
    text = text.replace(old, new, 1)
    document = tomllib.loads(text, parse_float=Decimal)
    document.pop("content_sha256")
    head = text[: text.rindex("content_sha256")]
    path.write_text(f'{head}content_sha256 = "{hash_document(document)}"\n')


def test_a_frozen_file_whose_values_are_forged_is_refused_before_and_after_a_build(small_study):
    path = freeze_study(small_study)
    study = replace(small_study, frozen=path)
    truth = path.read_text()
    forge_frozen(path, "scale = ", "scale = 1")
    with pytest.raises(StudyError, match="not what the published warehouse rests on: put back"):
        build_warehouse(study)
    path.write_text(truth)
    build_warehouse(study)
    forge_frozen(path, "scale = ", "scale = 1")
    with pytest.raises(StudyError, match="not what the published warehouse rests on: put back"):
        build_warehouse(study)
    path.write_text(truth)
    build_warehouse(study)


def tamper(study):
    data = bytearray(study.warehouse.read_bytes())
    data[len(data) // 2] ^= 1
    study.warehouse.chmod(0o644)
    study.warehouse.write_bytes(data)


def test_a_changed_warehouse_is_neither_exported_nor_frozen_unless_asked(small_study):
    before = (small_study.output / "exports" / MANIFEST).read_bytes()
    tamper(small_study)
    for action in (export_tables, freeze_study, check_warehouse):
        with pytest.raises(StudyError, match=r"not as it was published.*--no-check"):
            action(small_study)
    assert (small_study.output / "exports" / MANIFEST).read_bytes() == before
    assert check_warehouse(small_study, "skip") == {UNCHECKED: True}
    assert check_warehouse(small_study, "built") == {}
    with pytest.raises(ValueError, match="check = 'never'; expected"):
        check_warehouse(small_study, "never")


def test_what_was_exported_without_a_check_says_so(small_study):
    export_tables(small_study, ["dim_models"], check="skip")
    path = small_study.output / "exports" / MANIFEST
    assert read_manifest(path, "x")["recipe"][UNCHECKED] is True
    export_tables(small_study, ["dim_models"])
    assert UNCHECKED not in read_manifest(path, "x")["recipe"]


def test_exports_that_were_forged_whole_are_replaced_by_the_command(small_study, read_tree):
    folder = small_study.output / "exports"
    before = read_tree(folder)
    path = folder / "dim_models.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][path.name] = hash_file(path)
    write_manifest(folder / MANIFEST, manifest | restate(manifest))
    export_tables(small_study)
    assert read_tree(folder) == before
