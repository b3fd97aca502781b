"""What is known of models: stated or recorded, in tables, and without a part in any number."""

import json

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.model_facts import DEFAULT_COLOURS
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.restore.shelf import MANIFEST as RECORD
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.model_facts import read_model_facts

SHA256 = "ab" * 32


def state(study, model_id, *lines):
    """Write lines into a model's table of the study file, and load it."""
    head = f'model_id = "{model_id}"'
    text = study.path.read_text(encoding="utf-8")
    study.path.write_text(text.replace(head, "\n".join([head, *lines])), encoding="utf-8")
    return load_study(study.path)


def record(study, model_id, **recipe):
    """Write what restore would have recorded of a model's notta images."""
    (model,) = (model for model in study.models if model.model_id == model_id)
    files = {path.name: hash_file(path) for path in model.notta.glob("*.png")}
    known = {
        "restorer": {"kind": "spandrel"},
        "weights_sha256": [SHA256],
        "parameters": {"scale": 2},
    }
    document = {"files": files, "recipe": known | recipe, "architecture": "SPAN"}
    (model.notta / RECORD).write_text(json.dumps(document), encoding="utf-8")
    return model.notta


def read_models(study):
    with open_warehouse(study.warehouse) as connection:
        return connection.sql("select * from dim_models order by model_number").pl().to_dicts()


@pytest.mark.long
def test_a_new_label_carries_every_block_and_moves_no_number(small_study):
    before = (small_study.output / "exports" / "SHA256SUMS").read_text().splitlines()
    study = state(
        small_study, "beta", 'label = "Beta {{ 1/0 }}"', "order = 1", f'weights_sha256 = "{SHA256}"'
    )
    report = build_warehouse(study)
    assert (report.reason, report.carried_blocks) == (None, 36)
    beta, alpha = read_models(study)
    assert (beta["model_id"], beta["label"]) == ("beta", "Beta {{ 1/0 }}")
    assert beta["stated_columns"] == ["label", "model_number", "weights_sha256"]
    assert beta["recorded_columns"] == alpha["stated_columns"] == []
    assert [beta["colour"], alpha["colour"]] == [*DEFAULT_COLOURS[:2]]
    assert (alpha["label"], alpha["weights_sha256"]) == ("alpha", None)
    export_tables(study)
    after = set((study.output / "exports" / "SHA256SUMS").read_text().splitlines())
    moved = {line.split("  ")[1] for line in before if line not in after}
    tables = {"tables/models.csv", "tables/models.tex", "tables/model_means.tex"}
    # A study's hash covers its recipe, of which the label is part.
    named = {"dim_models.parquet", "dim_study.parquet", "mart_provenance.parquet"}
    assert moved <= tables | named
    assert "dim_models.parquet" in moved


def test_what_restore_recorded_of_the_measured_images_is_known(small_study):
    record(small_study, "alpha")
    alpha, beta = read_model_facts(small_study)
    assert [alpha[key] for key in ("architecture", "scale", "restorer_kind", "weights_sha256")] == [
        "SPAN",
        2,
        "spandrel",
        SHA256,
    ]
    assert alpha["recorded_columns"] == [
        "architecture",
        "restorer_kind",
        "scale",
        "weights_sha256",
    ]
    assert beta["recorded_columns"] == []


def test_a_record_of_other_images_speaks_for_none(small_study):
    folder = record(small_study, "alpha")
    document = json.loads((folder / RECORD).read_text())
    document["files"]["a.png"] = SHA256
    (folder / RECORD).write_text(json.dumps(document))
    assert read_model_facts(small_study)[0]["recorded_columns"] == []


@pytest.mark.parametrize("text", ["{", "[]", '{"files": {}, "recipe": 3}'])
def test_a_damaged_record_is_said_and_speaks_for_none(small_study, caplog, text):
    (record(small_study, "alpha") / RECORD).write_text(text)
    assert read_model_facts(small_study)[0]["recorded_columns"] == []
    assert "is no record of restore" in caplog.text


def test_a_stated_fact_that_the_record_denies_is_refused(small_study):
    record(small_study, "alpha")
    study = state(small_study, "alpha", "scale = 4")
    with pytest.raises(StudyError, match=r"scale = 4 of 'alpha', but .* says 2; correct the study"):
        read_model_facts(study)


def test_a_control_that_restore_made_has_its_record(small_study):
    from upscale_audit.restore.run import restore_study

    text = small_study.path.read_text(encoding="utf-8")
    entry = '[[models]]\nmodel_id = "soft"\nnotta = "made/soft"\nrestorer = { kind = "bicubic" }\n'
    small_study.path.write_text(text.replace("[labels]", f"{entry}[labels]"), encoding="utf-8")
    study = load_study(small_study.path)
    restore_study(study, workers=1)
    ingest_study(study, workers=1)
    soft = read_model_facts(study)[-1]
    assert (soft["restorer_kind"], soft["scale"], soft["lr_rule"]) == ("bicubic", 2, "opencv_cubic")
    assert "architecture" not in soft
    assert "weights_sha256" not in soft
