"""What is known of each model beside its images: stated in the study file, or recorded by restore.

`restore` writes, beside the images it made, how. A record speaks for a model only where every image
that was measured is one it names, byte for byte.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from upscale_audit.ingest.documents import read_document
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.manifests import SOURCES
from upscale_audit.ingest.model_facts import show_models
from upscale_audit.restore.shelf import MANIFEST as RECORD
from upscale_audit.restore.shelf import MAX_BYTES
from upscale_audit.warehouse.connect import open_build
from upscale_audit.warehouse.lineage import read_sums
from upscale_audit.warehouse.value_files import create_table

if TYPE_CHECKING:
    from upscale_audit.ingest.model_facts import Face
    from upscale_audit.ingest.study import Model, Study


TABLE = "model_facts"
COLUMNS = {
    "model_id": "varchar",
    "model_number": "bigint",
    "label": "varchar",
    "colour": "varchar",
    "family": "varchar",
    "architecture": "varchar",
    "restorer_kind": "varchar",
    "scale": "integer",
    "lr_rule": "varchar",
    "weights_sha256": "varchar",
    "weights_url": "varchar",
    "stated_columns": "varchar[]",
    "recorded_columns": "varchar[]",
}
"""Table that build adds to the raw schema: SQL type by column."""
STATED = ("label", "colour", "family", "architecture", "scale", "weights_sha256", "weights_url")

logger = logging.getLogger(__name__)


class _Recipe(TypedDict):
    restorer: dict[str, Any]
    weights_sha256: list[str] | None
    parameters: dict[str, Any]


class _Restored(TypedDict):
    files: dict[str, str]
    recipe: _Recipe


# Not `NotRequired`: of an annotation that is kept as text, nothing would see it.
class _Record(_Restored, total=False):
    architecture: str | None


def read_model_facts(study: Study) -> list[dict[str, Any]]:
    """Read what is known of each model of an ingested study.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    list of dict
        Rows of `TABLE`, in the order of the models.

    Raises
    ------
    StudyError
        The study file and a record say different things of one model.
    """
    sources = study.raw / SOURCES
    sums = read_sums(sources.read_text(encoding="utf-8")) if study.models else {}
    models = {model.model_id: model for model in study.models}
    faces = show_models({name: model.facts for name, model in models.items()})
    return [
        _describe(study, models[name], face, _read_record(models[name], sums))
        for name, face in faces.items()
    ]


def _describe(study: Study, model: Model, face: Face, recorded: dict[str, Any]) -> dict[str, Any]:
    """Join what is stated and what is recorded; where both speak, they must agree."""
    stated = {key: getattr(model.facts, key) for key in STATED}
    stated = {key: value for key, value in stated.items() if value is not None}
    for key in sorted(stated.keys() & recorded.keys()):
        if key != "architecture" and stated[key] != recorded[key]:
            raise StudyError(
                f"{study.path}: {key} = {stated[key]!r} of {model.model_id!r}, but"
                f" {model.notta / RECORD} says {recorded[key]!r}; correct the study file, or run"
                " upscale-audit restore and ingest"
            )
    order = [] if model.facts.order is None else ["model_number"]
    return recorded | stated | {
        "model_id": model.model_id,
        "model_number": face.number,
        "label": face.label,
        "colour": face.colour,
        "stated_columns": sorted([*order, *stated]),
        "recorded_columns": sorted(recorded.keys() - stated.keys()),
    }  # fmt: skip


def _read_record(model: Model, sums: Mapping[str, str]) -> dict[str, Any]:
    """Read what `restore` recorded of a model's notta images; nothing where it made others."""
    try:
        record = read_document(model.notta / RECORD, _Record, MAX_BYTES)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("%s is no record of restore: %s", model.notta / RECORD, error)
        return {}
    start = f"restored/{model.model_id}/notta/"
    names = [name for name in sums if name.startswith(start)]
    measured = {name.removeprefix(start): sums[name] for name in names}
    if not measured or not measured.items() <= record["files"].items():
        return {}
    recipe = record["recipe"]
    weights = recipe["weights_sha256"]
    found = {
        "restorer_kind": recipe["restorer"].get("kind"),
        "architecture": record.get("architecture"),
        "scale": recipe["parameters"].get("scale"),
        "lr_rule": recipe["parameters"].get("lr_rule"),
        "weights_sha256": weights[-1] if weights else None,
    }
    return {
        key: value
        for key, value in found.items()
        if type(value) is (int if key == "scale" else str)
    }


def create_model_facts(database: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add the table of models to the raw schema of a build database.

    Parameters
    ----------
    database : Path
    rows : list of dict
        As `read_model_facts` gives them.
    """
    with open_build(database) as connection:
        create_table(connection, TABLE, COLUMNS, rows)
