"""Facts stated in two places are the same, and every rule of the house has its checker."""

import re
import subprocess
import tomllib
from dataclasses import MISSING, fields

import pytest
import yaml

from upscale_audit.ingest import schema
from upscale_audit.ingest.restorers import DECLARATIONS
from upscale_audit.ingest.study import AnalysisParameters, load_study
from upscale_audit.warehouse import frozen, lineage, raw


@pytest.fixture(scope="module")
def dbt_yaml(repository):
    """Give every dbt yml file, parsed, by path."""
    files = (repository / "dbt_project").rglob("*.yml")
    return {path: yaml.safe_load(path.read_text(encoding="utf-8")) for path in files}


def test_dbt_sources_describe_exactly_the_raw_columns(dbt_yaml):
    described = {
        table["name"]: [column["name"] for column in table["columns"]]
        for document in dbt_yaml.values()
        for source in document.get("sources", [])
        for table in source["tables"]
    }
    declared = {name: [item.name for item in columns] for name, columns in schema.TABLES.items()}
    declared |= {
        name: [item.name for item in columns] for name, columns in schema.HYRA_TABLES.items()
    }
    declared["blocks"].insert(0, "model_id")
    declared |= {name: list(columns) for name, columns in lineage.TABLES.items()}
    declared |= {name: list(columns) for name, columns in frozen.TABLES.items()}
    declared[raw.PARAMETERS] = list(raw.PARAMETER_TEXTS)
    assert described == declared


def test_every_dbt_model_has_a_description_that_ends_with_its_grain(dbt_yaml, repository):
    described = {
        model["name"]: model["description"]
        for document in dbt_yaml.values()
        for model in document.get("models", [])
        if isinstance(model, dict)
    }
    files = {path.stem for path in (repository / "dbt_project" / "models").rglob("*.sql")}
    assert set(described) == files
    for name, description in described.items():
        assert re.search(r"One row per [^.]+\.$", description.strip()), name


def test_dbt_variables_default_to_the_study_files_defaults(dbt_yaml, repository):
    project = dbt_yaml[repository / "dbt_project" / "dbt_project.yml"]
    parameters = vars(AnalysisParameters())
    numbers = {name for name in parameters if name not in raw.PARAMETER_TEXTS}
    assert project["vars"] == {name: parameters[name] for name in numbers}
    # A text would be rendered by dbt; tile_px has none where the study declares none.
    assert all(isinstance(parameters[name], int | None) for name in numbers)


def uncomment_example(repository):
    """Text of study.example.toml with its optional lines in force."""
    text = (repository / "study.example.toml").read_text(encoding="utf-8")
    return re.sub(r"^# (?=[\[a-z0-9_.]+( =|\]))", "", text, flags=re.MULTILINE)


def test_the_example_study_shows_every_key_with_its_default(repository, tmp_path):
    shown = uncomment_example(repository)
    document = tomllib.loads(shown)
    paths = ("notta", "tta")
    for folder in ("reference", *(m[p] for m in document["models"] for p in paths if p in m)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    named = [item["file"] for item in document["published"]]
    for file in (*named, *document["labels"].values(), *document["perceptual"].values()):
        (tmp_path / file).write_text("")
    (tmp_path / "study.toml").write_text(shown)
    study = load_study(tmp_path / "study.toml")
    parameters = vars(study.ingest_parameters) | vars(study.analysis_parameters)
    assert document["parameters"] == parameters
    assert document["restore"] == vars(study.restore_parameters)


def test_the_example_study_shows_every_key_of_every_restorer(repository):
    document = tomllib.loads(uncomment_example(repository))
    shown = [model["restorer"] for model in document["models"] if "restorer" in model]
    assert {item["kind"] for item in shown} | {"bicubic"} == set(DECLARATIONS)
    for declaration in set(DECLARATIONS.values()):
        declared = {item.name: item.default for item in fields(declaration)}
        keys = {key for item in shown if item["kind"] in declaration.KINDS for key in item}
        assert keys == set(declared)
        values = [item for item in shown if item["kind"] in declaration.KINDS]
        for key in keys - {"kind"}:
            assert declared[key] in (MISSING, None, *(item.get(key) for item in values))


def test_every_sql_file_keeps_the_house_style(repository):
    for path in (repository / "dbt_project" / "models").rglob("*.sql"):
        text = path.read_text(encoding="utf-8")
        code = re.sub(r"\{#.*?#\}|--[^\n]*", "", text, flags=re.DOTALL)
        assert max(map(len, text.splitlines())) <= 100, path.name
        assert not re.search(r"\bgroup by (all|\d)|\bnow\(|\brandom\(", code), path.name
        assert code.rstrip().endswith(("select * from final", "select * from renamed")), path.name


def test_make_alone_lists_every_target(repository):
    text = (repository / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^\.PHONY: ([a-z-]+)$", text, flags=re.MULTILINE))
    printed = subprocess.run(
        ["make", "--no-print-directory"], cwd=repository, capture_output=True, text=True, check=True
    ).stdout
    listed = set(re.findall(r"^  make ([a-z-]+)", printed, flags=re.MULTILINE))
    assert listed == targets
