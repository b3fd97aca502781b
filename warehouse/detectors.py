"""The detectors file: what a phantom study found of each limit, for ordinary studies to show.

An ordinary study has no known truth: nothing in it says what a limit finds. ``detectors`` writes
what a phantom study measured as a file that people review and that a study names; its marts then
show, beside a rate, what of nodules lies beyond the limit, and how often it speaks of nothing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, locked, to_text, write_text
from upscale_audit.ingest.manifests import read_manifest
from upscale_audit.warehouse.connect import open_build, open_warehouse, saying_database_errors
from upscale_audit.warehouse.proof.provenance import WAREHOUSE_MANIFEST, check_warehouse
from upscale_audit.warehouse.value_files import (
    check_parameters,
    check_values,
    create_table,
    format_document,
    list_parameters,
    name_values,
    read_values,
)

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


FILE_VERSION = 2
"""Raised when a detector, a limit or the thing that is looked for is defined anew."""
KIND, CONTRAST_DN = "nodule_16", 8
"""What is looked for by default: a nodule of this radius and contrast."""
_FINDINGS = {
    "kind": "varchar",
    "contrast_dn": "integer",
    "cluster_unit": "varchar",
    "sham_count": "bigint",
    "alarm_count": "bigint",
    "false_alarm_low_ratio": "double",
    "false_alarm_high_ratio": "double",
    "drawn_count": "bigint",
    "found_count": "bigint",
    "sensitivity_low_ratio": "double",
    "sensitivity_high_ratio": "double",
    "study_name": "varchar",
}
"""What was looked for, and how often it was told from nothing."""
TABLE = "measured_limits"
COLUMNS = {
    "model_id": "varchar",
    "inference_path": "varchar",
    "detector": "varchar",
    "reading": "varchar",
    "level_ratio": "double",
    "limit_score": "double",
    "stated_limit": "double",
    **_FINDINGS,
}
"""Table that build adds to the raw schema: SQL type by column."""
RULE_TABLE = "measured_rules"
RULE_COLUMNS = {
    "rule_set": "varchar",
    "population": "varchar",
    "model_id": "varchar",
    "inference_path": "varchar",
    "rule_id": "varchar",
    "thresholds_sha256": "varchar",
    **_FINDINGS,
}
"""The same of what rules find in images."""

_QUERY = """
    with stated as (
        select model_id, indicator, any_value(indicator_limit) as stated_limit
        from mart_tier3_states group by model_id, indicator
    )
    select limits.model_id, inference_path, detector, reading, level_ratio, limit_score,
        case when level_ratio is null then stated.stated_limit end, kind, contrast_dn,
        cluster_unit, sham_count, alarm_count, false_alarm_low_ratio, false_alarm_high_ratio,
        drawn_count, found_count, sensitivity_low_ratio, sensitivity_high_ratio,
        dim_study.study_name
    from mart_detector_limits as limits
    cross join dim_study
    left join stated on limits.model_id = stated.model_id
        and limits.detector = case stated.indicator when 'axis' then 'is_extreme'
            when 'error' then 'is_erroneous' when 'contradicted' then 'is_contradicted' end
    where arm = 'auditor' and signal_part = 'full'
        and kind = $kind and contrast_dn is not distinct from $contrast_dn
    order by limits.model_id, inference_path, detector, reading, level_ratio nulls first
"""
_RULE_QUERY = """
    select rule_set, population, model_id, inference_path, rule_id, thresholds_sha256, kind,
        contrast_dn, cluster_unit, sham_count, alarm_count, false_alarm_low_ratio,
        false_alarm_high_ratio, drawn_count, found_count, sensitivity_low_ratio,
        sensitivity_high_ratio, dim_study.study_name
    from mart_rule_sensitivity
    cross join dim_study
    where arm = 'alone' and kind = $kind and contrast_dn is not distinct from $contrast_dn
        and sham_count > 0 and drawn_count > 0
    order by rule_set, population, model_id, inference_path, rule_id
"""
_DRAWN_QUERY = """
    select kind, contrast_dn from mart_detector_limits
    where arm = 'auditor' and signal_part = 'full'
    union
    select kind, contrast_dn from mart_rule_sensitivity
    where arm = 'alone' and sham_count > 0 and drawn_count > 0
    order by kind, contrast_dn
"""
_HEAD = """\
# What limits find and cost, measured in a phantom study and written by upscale-audit detectors. A
# study that names this file, [study] detectors, shows it beside its rates: docs/phantoms.md. Review
# it; do not edit it by hand.
"""


@dataclass(frozen=True)
class Measured:
    """A study's detectors file, checked; without one, no rows and no hash.

    Attributes
    ----------
    rows, rules : list of dict
        Of `TABLE` and `RULE_TABLE`.
    sha256 : str or None
        Of the file.
    name : str or None
        Of the file, as `mart_provenance` has it.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    sha256: str | None = None
    name: str | None = None

    def name_files(self) -> dict[str, tuple[str, str] | None]:
        """Give, by raw table, the file's name and SHA-256, or None where there is none."""
        named = None if self.name is None or self.sha256 is None else (self.name, self.sha256)
        return dict.fromkeys((TABLE, RULE_TABLE), named)


def write_detectors(
    study: Study,
    path: Path | None = None,
    kind: str = KIND,
    contrast_dn: int | None = CONTRAST_DN,
    check: str = "hash",
) -> Path:
    """Write the detectors file of a phantom study from its warehouse.

    Parameters
    ----------
    study : ingest.study.Study
        One that `restore.phantom` made, built.
    path : Path, optional
        By default ``<study>.detectors.toml`` beside the study file.
    kind : str
        What is looked for, drawn into the restored image.
    contrast_dn : int or None
        Of it; None for kinds that have none.
    check : {"hash", "skip", "built"}
        As `warehouse.proof.provenance.check_warehouse` takes it.

    Returns
    -------
    Path

    Raises
    ------
    StudyError
        There is no warehouse, it holds no limits for what is looked for, or the file exists.
    """
    path = path or study.path.with_name(f"{study.path.stem}.detectors.toml")
    if path.exists():
        raise StudyError(f"{path} exists, and results may rest on it: move it away to write anew")
    with locked(study.output, "ingest or build"):
        manifest = read_manifest(
            study.output / WAREHOUSE_MANIFEST, f"upscale-audit build {study.path}"
        )
        checked = check_warehouse(study, check)
        rows, rules = _read_limits(study, kind, contrast_dn)
    document = {
        "version": FILE_VERSION,
        "study": study.name,
        "warehouse_recipe_sha256": manifest["recipe_sha256"],
        "raw_content_sha256": manifest["recipe"]["inputs"]["raw"],
        **checked,
        "parameters": list_parameters(study),
        "limits": rows,
        "rules": rules,
    }
    write_text(path, format_document(_HEAD, document))
    return path


def _read_limits(
    study: Study, kind: str, contrast_dn: float | None
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    choice = {"kind": kind, "contrast_dn": contrast_dn}
    with saying_database_errors(study.warehouse), open_warehouse(study.warehouse) as connection:
        found = connection.execute(_QUERY, choice).fetchall()
        rules = connection.execute(_RULE_QUERY, choice).fetchall()
        drawn = connection.execute(_DRAWN_QUERY).fetchall()
    if not found and not rules:
        others = ", ".join(itertools.starmap(_spell_thing, drawn)) or "none"
        wanted = _spell_thing(kind, contrast_dn)
        raise StudyError(
            f"{study.warehouse} has no limits that look for {wanted} in the arms auditor or alone;"
            f" it has them for: {others}. Name one with --kind and"
            " --contrast, or draw it: upscale-audit phantom"
        )
    return name_values(COLUMNS, found), name_values(RULE_COLUMNS, rules)


def _spell_thing(kind: str, contrast_dn: float | None) -> str:
    return kind if contrast_dn is None else f"{kind} of {contrast_dn} dn"


class _Document(TypedDict):
    study: str
    warehouse_recipe_sha256: str
    raw_content_sha256: str
    parameters: dict[str, Any]
    limits: list[dict[str, Any]]
    rules: list[dict[str, Any]]


def read_detectors(study: Study) -> Measured:
    """Read and check the detectors file that a study names.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    Measured

    Raises
    ------
    StudyError
        Missing, changed since it was written, of another version, or made with other
        parameters.

    Notes
    -----
    The file is taken at its word: the phantom study behind it need not be there.
    """
    path = study.detectors
    if path is None:
        return Measured()
    try:
        document = read_values(path, "put back what detectors wrote")
    except FileNotFoundError:
        raise StudyError(
            f"no detectors file at {path}: run upscale-audit detectors on a phantom study, or take"
            f" [study] detectors out of {study.path}"
        ) from None
    if document.get("version") != FILE_VERSION:
        raise StudyError(
            f"{path} has version {document.get('version')!r}; expected {FILE_VERSION}: run"
            " upscale-audit detectors anew with this version of upscale-audit"
        )
    tables = {"limits": COLUMNS, "rules": RULE_COLUMNS}
    check_values(path, document, _Document, tables, "detectors")
    check_parameters(
        study, path, document["parameters"], "measured", "measure detectors with the study's own"
    )
    name = f"detectors/{to_text(path.name)}"
    return Measured(document["limits"], document["rules"], hash_file(path), name)


def create_measured_table(database: Path, measured: Measured) -> None:
    """Add what was measured to the raw schema of a build database; without rows if nothing was.

    Parameters
    ----------
    database : Path
    measured : Measured
    """
    with open_build(database) as connection:
        create_table(connection, TABLE, COLUMNS, measured.rows)
        create_table(connection, RULE_TABLE, RULE_COLUMNS, measured.rules)
