"""The frozen file: the axis and the limits that a study keeps while it grows.

With an axis of the study's own one more model or image turns it a little, and every score moves;
limits, which are quantiles of the study's blocks, move under any axis, and states with them.
``freeze`` writes axis and limits as a file that people review and that a study names; from then on
score and state of a block are final.
"""

from __future__ import annotations

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
    hash_document,
    list_parameters,
    name_values,
    read_values,
)

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


FILE_VERSION = 2
"""Raised when a feature, a component or a limit is defined anew."""

_LOADINGS = {
    "component": "bigint",
    "position": "bigint",
    "feature": "varchar",
    "loading": "double",
    "scale": "double",
    "feature_mean": "double",
    "weight": "double",
    "eigenvalue": "double",
    "eigenvalue_gap": "double",
    "is_identifiable": "boolean",
    "block_count": "bigint",
}
_LIMITS = {
    "model_id": "varchar",
    "tau": "decimal(9, 6)",
    "ssim_p90": "decimal(9, 6)",
    "mse_q75_dn2": "decimal(11, 6)",
    "pooled_block_count": "bigint",
    "block_count": "bigint",
}
_GUARANTEES = {
    "model_id": "varchar",
    "inference_path": "varchar",
    "score": "varchar",
    "loss": "varchar",
    "alpha_ratio": "double",
    "loss_limit_dn2": "decimal(11, 6)",
    "limit_score": "decimal(11, 6)",
    "cluster_count": "bigint",
    "bound_ratio": "double",
    "study_name": "varchar",
}
TABLES = {
    "frozen_loadings": _LOADINGS,
    "frozen_scales": {"component": "varchar", "robust_sd": "double"},
    "frozen_limits": _LIMITS,
    "frozen_guarantees": _GUARANTEES,
}
"""Tables that build adds to the raw schema: SQL type by column."""

_QUERIES = {
    "frozen_loadings": """
        select pc_number, feature_number, feature, loading, scale, feature_mean, weight,
            eigenvalue, eigenvalue_gap, is_identifiable, block_count
        from mart_pca_basis where is_scoring order by pc_number, feature_number
    """,
    "frozen_scales": """
        select component, max(robust_sd) from mart_direction_components
        group by component order by component
    """,
    "frozen_limits": """
        select model_id, tau, ssim_p90, mse_q75_dn2, pooled_block_count, block_count
        from mart_limits where block_count > 0 order by model_id
    """,
    "frozen_guarantees": """
        select model_id, inference_path, score, loss, alpha_ratio, loss_limit_dn2, limit_score,
            limit_cluster_count, bound_ratio, study_name
        from mart_guarantee cross join dim_study where limit_source = 'own'
        order by model_id, inference_path, score, loss, alpha_ratio
    """,
}

_HEAD = """\
# The axis and the limits of a study, frozen by upscale-audit freeze. A study that names this file,
# [study] frozen, scores every block by it: docs/growing.md. Review it; do not edit it by hand.
"""


@dataclass(frozen=True)
class Frozen:
    """A study's frozen file, checked; without one, no rows and no hash.

    Attributes
    ----------
    rows : dict
        Per table of `TABLES` a list of dict.
    sha256 : str or None
        Of the file.
    name : str or None
        Of the file, as `mart_provenance` has it.
    warehouse_recipe_sha256 : str or None
        The warehouse whose values it holds.
    """

    rows: dict[str, list[dict]] = field(default_factory=lambda: {name: [] for name in TABLES})
    sha256: str | None = None
    name: str | None = None
    warehouse_recipe_sha256: str | None = None

    @property
    def models(self) -> set[str]:
        """Models whose every limit the file holds."""
        return {row["model_id"] for row in self.rows["frozen_limits"]}

    def name_files(self) -> dict[str, tuple[str, str] | None]:
        """Give, by raw table, the file's name and SHA-256, or None where there is none."""
        named = None if self.name is None or self.sha256 is None else (self.name, self.sha256)
        return dict.fromkeys(TABLES, named)


def freeze_study(study: Study, check: str = "hash") -> Path:
    """Write the frozen file of a study from its warehouse.

    Parameters
    ----------
    study : ingest.study.Study
    check : {"hash", "skip", "built"}
        As `warehouse.proof.provenance.check_warehouse` takes it.

    Returns
    -------
    Path
        The file: the one that the study names, else ``<study>.frozen.toml`` beside it.

    Raises
    ------
    StudyError
        There is no warehouse, or it is frozen already; the axis is not identifiable; the file
        exists.
    """
    path = study.frozen or study.path.with_name(f"{study.path.stem}.frozen.toml")
    if path.exists():
        raise StudyError(f"{path} exists, and results may rest on it: move it away to freeze anew")
    repair = f"upscale-audit build {study.path}"
    with locked(study.output, "ingest or build"):
        manifest = read_manifest(study.output / WAREHOUSE_MANIFEST, repair)
        inputs = manifest["recipe"].get("inputs", {})
        if "frozen" in inputs:
            raise StudyError(
                f"{study.warehouse} has a frozen axis already: to freeze anew, take [study] frozen"
                f" out of {study.path}, run {repair} and then this again"
            )
        checked = check_warehouse(study, check)
        rows = _read_warehouse(study.warehouse)
    document = {
        "version": FILE_VERSION,
        "study": study.name,
        "warehouse_recipe_sha256": manifest["recipe_sha256"],
        "raw_content_sha256": inputs.get("raw", ""),
        **checked,
        "parameters": list_parameters(study),
    } | {_key(table): values for table, values in rows.items()}
    write_text(path, format_document(_HEAD, document))
    return path


def _read_warehouse(path: Path) -> dict[str, list[dict[str, Any]]]:
    with saying_database_errors(path), open_warehouse(path) as connection:
        rows = {
            table: name_values(TABLES[table], connection.sql(query).fetchall())
            for table, query in _QUERIES.items()
        }
    loadings = rows["frozen_loadings"]
    if not loadings or not loadings[0]["is_identifiable"]:
        raise StudyError(
            f"{path} has no identifiable first axis (table mart_pca_basis): nothing to freeze;"
            " more images or models may give one"
        )
    return rows


def read_frozen(study: Study) -> Frozen:
    """Read and check the frozen file that a study names.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    Frozen

    Raises
    ------
    StudyError
        Missing, changed since it was written, of another version, or made with other
        parameters.
    """
    path = study.frozen
    if path is None:
        return Frozen()
    try:
        document = read_values(path, "put back what freeze wrote")
    except FileNotFoundError:
        raise StudyError(
            f"no frozen file at {path}: take [study] frozen out of {study.path}, run upscale-audit"
            " build and upscale-audit freeze, then put it back"
        ) from None
    _check(study, path, document)
    return Frozen(
        # A file from before there were trust masks has no limits of them, and is as good.
        {table: document.get(_key(table), []) for table in TABLES},
        hash_file(path),
        f"frozen/{to_text(path.name)}",
        document["warehouse_recipe_sha256"],
    )


def _key(table: str) -> str:
    return table.removeprefix("frozen_")


class _Document(TypedDict):
    study: str
    warehouse_recipe_sha256: str
    raw_content_sha256: str
    parameters: dict[str, Any]
    loadings: list[dict[str, Any]]
    scales: list[dict[str, Any]]
    limits: list[dict[str, Any]]


# A class of its own: of an annotation that is kept as text, nothing would see `NotRequired`.
class _Shape(_Document, total=False):
    guarantees: list[dict[str, Any]]


def _check(study: Study, path: Path, document: dict[str, Any]) -> None:
    if document.get("version") != FILE_VERSION:
        raise StudyError(
            f"{path} has version {document.get('version')!r}; expected {FILE_VERSION}: freeze the"
            " study anew with this version of upscale-audit"
        )
    tables = {_key(table): columns for table, columns in TABLES.items() if _key(table) in document}
    check_values(path, document, _Shape, tables, "freeze")
    check_parameters(study, path, document["parameters"], "frozen", "freeze anew")


def check_vouched_frozen(study: Study, frozen: Frozen) -> None:
    """Refuse a frozen file that is not the one behind the published warehouse, or made from it.

    Parameters
    ----------
    study : ingest.study.Study
    frozen : Frozen

    Raises
    ------
    StudyError
        The warehouse was built with another, or holds other values than the file says it froze.

    Notes
    -----
    A file that was frozen from another warehouse, and whose hash no build has recorded, is taken
    at its word.
    """
    path = study.output / WAREHOUSE_MANIFEST
    if frozen.sha256 is None or not path.exists() or not study.warehouse.is_file():
        return
    published = read_manifest(path, f"upscale-audit build {study.path}")
    before = published["recipe"].get("inputs", {}).get("frozen")
    if before is None and frozen.warehouse_recipe_sha256 == published["recipe_sha256"]:
        is_vouched = _is_of(study.warehouse, frozen)
    else:
        is_vouched = before in (None, frozen.sha256)
    if not is_vouched:
        raise StudyError(
            f"{study.frozen} is not what the published warehouse rests on: put back what freeze"
            f" wrote; to take another on purpose, take [study] frozen out of {study.path}, run"
            " upscale-audit build, and put it back"
        )


def _is_of(warehouse: Path, frozen: Frozen) -> bool:
    """Whether the values of a frozen file are those of the warehouse that it names."""
    rows = _read_warehouse(warehouse)
    tables = {_key(table): values for table, values in rows.items()}
    given = {_key(table): values for table, values in frozen.rows.items()}
    return hash_document(tables) == hash_document(given)


def create_frozen_tables(database: Path, frozen: Frozen) -> None:
    """Add the frozen values to the raw schema of a build database; without rows if there are none.

    Parameters
    ----------
    database : Path
    frozen : Frozen
    """
    with open_build(database) as connection:
        for table, columns in TABLES.items():
            create_table(connection, table, columns, frozen.rows[table])
