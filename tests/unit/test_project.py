"""Facts stated in two places are the same, and every rule of the house has its checker."""

import re
import subprocess
import tomllib
from dataclasses import MISSING, fields

import pytest

from upscale_audit.ingest import schema
from upscale_audit.ingest.documents import check_shape
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.restorers import DECLARATIONS
from upscale_audit.ingest.stated_window import parse_window
from upscale_audit.ingest.structures import LEAST_RCA
from upscale_audit.ingest.study import AnalysisParameters, load_study
from upscale_audit.warehouse import composites, detectors, frozen, lineage, model_facts, raw
from upscale_audit.warehouse.project import read_yml


@pytest.fixture(scope="module")
def dbt_yaml(repository):
    """Give every dbt yml file, parsed, by path."""
    files = (repository / "dbt_project").rglob("*.yml")
    return {path: read_yml(path) for path in files}


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
    declared |= {
        name: [item.name for item in columns] for name, columns in schema.PHANTOM_TABLES.items()
    }
    declared |= {
        name: [item.name for item in columns] for name, columns in schema.READING_TABLES.items()
    }
    declared["blocks"].insert(0, "model_id")
    declared |= {name: list(columns) for name, columns in lineage.TABLES.items()}
    declared |= {name: list(columns) for name, columns in frozen.TABLES.items()}
    declared[composites.TABLE] = list(composites.COLUMNS)
    declared[model_facts.TABLE] = list(model_facts.COLUMNS)
    declared[detectors.TABLE] = list(detectors.COLUMNS)
    declared[detectors.RULE_TABLE] = list(detectors.RULE_COLUMNS)
    declared[raw.PARAMETERS] = list(raw.PARAMETER_TEXTS)
    assert described == declared


def test_every_raw_column_is_described_and_those_of_ingest_as_ingest_declares_them(dbt_yaml):
    said = {
        (table["name"], column["name"]): " ".join(column["description"].split())
        for document in dbt_yaml.values()
        for source in document.get("sources", [])
        for table in source["tables"]
        for column in table["columns"]
    }
    declared = {
        (name, item.name): item.description + (f" Unit: {item.unit}." if item.unit else "")
        for tables in (
            *(schema.TABLES, schema.HYRA_TABLES),
            *(schema.PHANTOM_TABLES, schema.READING_TABLES),
        )
        for name, columns in tables.items()
        for item in columns
    }
    assert {key: said[key] for key in declared} == declared
    assert all(said.values())
    # Tables of the build itself say what they are by the mart that shows them.
    columns = {
        f"{model['name']}.{column['name']}"
        for document in dbt_yaml.values()
        for model in document.get("models", [])
        if isinstance(model, dict)
        for column in model.get("columns", [])
    }
    shown = [re.fullmatch(r"As (\w+\.\w+)\.", text) for text in said.values()]
    assert {match[1] for match in shown if match} <= columns


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


DOC = re.compile(r"\{\{ doc\('(\w+)'\) \}\}")


def test_what_two_files_say_of_a_column_alike_is_said_once(dbt_yaml, repository):
    said, used = {}, set()
    for path, document in dbt_yaml.items():
        for model in document.get("models", []) if "models" in path.parts else []:
            for column in model.get("columns", []):
                text = " ".join(column.get("description", "").split())
                used |= set(DOC.findall(text))
                if text and not DOC.fullmatch(text):
                    said.setdefault((column["name"], text), set()).add(path.name)
    assert [key for key, files in said.items() if len(files) > 1] == []
    text = (repository / "dbt_project/models/columns.md").read_text(encoding="utf-8")
    blocks = re.findall(r"\{% docs (\w+) %\}\n(.+)\n\{% enddocs %\}", text)
    assert text.count("enddocs") == len(blocks), "a block is one line"
    assert used == {name for name, _ in blocks}
    assert len({line for _, line in blocks}) == len(blocks)


KEYS = {
    "model_id": ("dim_models", "model_id"),
    "image_id": ("dim_images", "image_id"),
    "metric": ("dim_metrics", "metric"),
    "first_metric": ("dim_metrics", "metric"),
    "second_metric": ("dim_metrics", "metric"),
    "rule_id": ("dim_rules", "rule_id"),
    "first_rule_id": ("dim_rules", "rule_id"),
    "second_rule_id": ("dim_rules", "rule_id"),
    "nearest_rule_id": ("dim_rules", "rule_id"),
    "confidence": ("dim_confidence_classes", "confidence"),
    "component": ("dim_components", "component"),
}
NO_KEYS = {
    "fct_blocks": "block grain; assert_blocks_fill_their_grid holds its images against dim_images",
    "fct_block_states": "block grain; rows of fct_blocks",
    "dim_blocks": "block grain; rows of dim_images, and of dim_regions by code",
    "mart_model_means": "of published files too, whose models the study need not have",
    "dim_published_block_files": "published models, which the study need not have",
    "fct_published_blocks": "block grain, and as dim_published_block_files",
    "fct_published_block_states": "rows of fct_published_blocks",
    "mart_published_block_limits": "as dim_published_block_files",
    "mart_published_blocks": "as dim_published_block_files",
    "mart_published_states": "as dim_published_block_files",
    "mart_hyra": "measured before the build: rows stay when a model or image leaves (is_current)",
    "mart_hyra_networks": "as mart_hyra",
    "mart_hyra_impulses": "as mart_hyra",
    "mart_hyra_spectra": "as mart_hyra",
    "fct_readings": "as mart_hyra",
}


def test_every_foreign_key_of_a_mart_is_held_against_its_table(dbt_yaml):
    missing, marts = [], set()
    for path, document in dbt_yaml.items():
        for model in document.get("models", []) if path.parts[-3:-2] == ("marts",) else []:
            marts.add(model["name"])
            for column in model["columns"] if model["name"] not in NO_KEYS else []:
                table, field = KEYS.get(column["name"], (None, None))
                held = [
                    item["relationships"]["arguments"]
                    for item in column.get("data_tests", [])
                    if "relationships" in item
                ]
                expected = [{"to": f"ref('{table}')", "field": field}]
                if table not in (None, model["name"]) and held != expected:
                    missing.append((model["name"], column["name"]))
    assert missing == []
    assert marts > NO_KEYS.keys()


def test_a_key_that_stands_twice_is_refused_and_its_place_named(tmp_path):
    path = tmp_path / "models.yml"
    path.write_text("models:\n  - name: a\n    columns: [b]\n    columns: []\n")
    with pytest.raises(StudyError, match=r"models.yml: the key 'columns' stands there twice at li"):
        read_yml(path)
    path.write_text("a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\n")
    assert read_yml(path)["c"] == {"b": 2}


def test_dbt_variables_default_to_the_study_files_defaults(dbt_yaml, repository):
    project = dbt_yaml[repository / "dbt_project" / "dbt_project.yml"]
    parameters = vars(AnalysisParameters())
    numbers = {name for name in parameters if name not in raw.PARAMETER_TEXTS}
    assert project["vars"] == {name: parameters[name] for name in numbers}
    # A text would be rendered by dbt; tile_px has none where the study declares none.
    assert all(isinstance(parameters[name], int | float | None) for name in numbers)


def uncomment_example(repository):
    """Text of study.example.toml with its optional lines in force."""
    text = (repository / "study.example.toml").read_text(encoding="utf-8")
    return re.sub(r"^# (?=[\[a-z0-9_.]+( =|\]))", "", text, flags=re.MULTILINE)


def test_the_example_study_shows_every_key_with_its_default(repository, tmp_path):
    shown = uncomment_example(repository)
    document = tomllib.loads(shown)
    paths = ("notta", "tta")
    for folder in ("reference", "lr", *(m[p] for m in document["models"] for p in paths if p in m)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    kinds = ("published", "published_blocks", "readers")
    named = [item["file"] for kind in kinds for item in document[kind]]
    named += [item["hashes"] for item in document["published_blocks"]]
    labels = [file for key, file in document["labels"].items() if key != "box_frame"]
    masks = document["regions"]["chexmask"]
    for file in (*named, *labels, masks, *document["perceptual"].values()):
        (tmp_path / file).write_text("")
    (tmp_path / "study.toml").write_text(shown)
    study = load_study(tmp_path / "study.toml")
    parameters = vars(study.ingest_parameters) | vars(study.analysis_parameters)
    document["parameters"]["window"] = parse_window(document["parameters"]["window"])
    assert document["parameters"] == parameters
    assert document["restore"] == vars(study.restore_parameters)
    assert document["regions"]["min_rca"] == LEAST_RCA


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


@pytest.mark.parametrize("study", ["my study/study.toml", "it's.toml", 'a "b" `c` $HOME;d#e.toml'])
def test_make_hands_a_path_on_as_it_is(repository, tmp_path, study):
    (tmp_path / "bin").mkdir()
    (tmp_path / ".installed").touch()
    program = tmp_path / "bin" / "upscale-audit"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    program.chmod(0o755)
    words = [
        "-o",
        f"{tmp_path}/.installed",
        f"VENV={tmp_path}",
        f"STUDY={study.replace('$', '$$')}",
    ]
    handed_on = {"run": [study], "map": [study, "it's 1", "a b"], "worst": [study, "a b"]}
    for command, expected in handed_on.items():
        target = "warehouse" if command == "run" else command
        printed = subprocess.run(
            ["make", "-s", target, *words, "IMAGE=it's 1", "MODEL=a b"],
            cwd=repository,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed.splitlines() == [command, *expected]


@pytest.fixture(scope="module")
def folders(repository):
    """Give the folder of each subpackage at the top that is Python, and setuptools' table."""
    document = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    setuptools = document["tool"]["setuptools"]
    places = {name: repository / folder for name, folder in setuptools["package-dir"].items()}
    return {name: path for name, path in places.items() if any(path.glob("*.py"))}, setuptools


def test_what_types_are_checked_in_is_the_namespace_as_it_is_installed(repository, folders):
    places, _ = folders
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    (rooms,) = re.findall(r"^ROOMS := (.+)$", makefile, re.MULTILINE)
    assert {f"upscale_audit.{room}": repository / room for room in rooms.split()} == places
    assert len(places) == 5


def test_every_package_that_is_installed_says_that_it_is_typed(folders):
    places, setuptools = folders
    # PEP 561: of a namespace each package below it says so, for all that lies in it.
    assert "py.typed" in setuptools["package-data"]["*"]
    assert {name for name, path in places.items() if (path / "py.typed").is_file()} == set(places)
    roots = {".".join(name.split(".")[:2]) for name in setuptools["packages"]}
    assert roots == {*places, "upscale_audit.dbt_project"}


def test_no_key_is_left_out_where_annotations_are_text(folders):
    # There NotRequired is not seen: the key would be required (docs of typing.TypedDict).
    places, _ = folders
    modules = [path for place in places.values() for path in sorted(place.rglob("*.py"))]
    texts = {path.name: path.read_text(encoding="utf-8") for path in modules}
    assert [name for name, text in texts.items() if "NotRequired[" in text] == []
    record = {"files": {}, "recipe": {"restorer": {}, "weights_sha256": None, "parameters": {}}}
    check_shape(record, model_facts._Record)
    with pytest.raises(ValueError, match="architecture"):
        check_shape(record | {"architecture": 1}, model_facts._Record)
