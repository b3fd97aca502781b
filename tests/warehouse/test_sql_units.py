"""The unit tests that stand beside the dbt models: a build leaves them out, this runs them all."""

import json

from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse import build


def test_every_unit_test_of_the_sql_passes(tiny_study, monkeypatch):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    monkeypatch.setattr(build, "BUILD", ("build", "--exclude-resource-type", "test"))
    build.build_warehouse(study)
    target = study.output / "dbt" / "target"
    declared = json.loads((target / "manifest.json").read_text())["unit_tests"]
    results = json.loads((target / "run_results.json").read_text())["results"]
    passed = [item["unique_id"] for item in results if item["status"] == "pass"]
    assert declared
    assert sorted(passed) == sorted(declared)
