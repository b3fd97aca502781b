"""The frozen file: the axis and the limits that a study keeps while it grows.

With an axis of the study's own one more model or image turns it a little, and every score moves;
limits, which are quantiles of the study's blocks, move under any axis, and states with them.
``freeze`` writes axis and limits as a file that people review and that a study names; from then on
score and state of a block are final.
"""

import re
import sys
import tomllib
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, TypedDict

from upscale_audit.ingest.documents import check_shape, read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json, locked, to_text, write_text
from upscale_audit.ingest.manifests import read_manifest
from upscale_audit.warehouse.connect import (
    open_build,
    open_warehouse,
    quote_name,
    saying_database_errors,
)
from upscale_audit.warehouse.proof.provenance import WAREHOUSE_MANIFEST, check_warehouse

FILE_VERSION = 2
"""Raised when a feature, a component or a limit is defined anew."""
MAX_FILE_BYTES = 1 << 22
"""Largest frozen file that is read: 4 MiB, which holds the limits of 20,000 models."""

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
TABLES = {
    "frozen_loadings": _LOADINGS,
    "frozen_scales": {"component": "varchar", "robust_sd": "double"},
    "frozen_limits": _LIMITS,
}
"""Tables that build adds to the raw schema: SQL type by column."""

_QUERIES = {
    "frozen_loadings": """
        select component, feature_number, feature, loading, scale, feature_mean, weight,
            eigenvalue, eigenvalue_gap, is_identifiable, block_count
        from mart_pca_basis where is_scoring order by component, feature_number
    """,
    "frozen_scales": """
        select component, max(robust_sd) from mart_direction_components
        group by component order by component
    """,
    "frozen_limits": """
        select model_id, tau, ssim_p90, mse_q75_dn2, pooled_block_count, block_count
        from mart_limits where block_count > 0 order by model_id
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
    def models(self):
        """Models whose every limit the file holds."""
        return {row["model_id"] for row in self.rows["frozen_limits"]}

    def name_files(self):
        """Give, by raw table, the file's name and SHA-256, or None where there is none."""
        return dict.fromkeys(TABLES, None if self.sha256 is None else (self.name, self.sha256))


def freeze_study(study, check="hash"):
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
        "parameters": _list_parameters(study),
    } | {_key(table): values for table, values in rows.items()}
    write_text(path, _format(document))
    return path


def _read_warehouse(path):
    with saying_database_errors(path), open_warehouse(path) as connection:
        rows = {}
        for table, query in _QUERIES.items():
            found = connection.sql(query).fetchall()
            rows[table] = [
                {
                    name: value
                    for name, value in zip(TABLES[table], row, strict=True)
                    if value is not None
                }
                for row in found
            ]
    loadings = rows["frozen_loadings"]
    if not loadings or not loadings[0]["is_identifiable"]:
        raise StudyError(
            f"{path} has no identifiable first axis (table mart_pca_basis): nothing to freeze;"
            " more images or models may give one"
        )
    return rows


def _list_parameters(study):
    """Parameters that change a block's value, and with it what the file means."""
    ingest = asdict(study.ingest_parameters)
    names = ("edge_rule", "edge_quantile", "edge_low_dn", "edge_high_dn", "colour")
    chosen = {name: ingest[name] for name in names}
    return chosen | {"ringing_min_px": study.analysis_parameters.ringing_min_px}


def _format(document):
    """Write as TOML: a line for each row, so that two files compare line by line."""
    lines = [_HEAD]
    for key, value in document.items():
        if isinstance(value, dict):
            lines.append(f"{key} = {_format_row(value)}")
        elif isinstance(value, list):
            lines += [f"{key} = [", *(f"  {_format_row(row)}," for row in value), "]"]
        else:
            lines.append(f"{key} = {_format_value(value)}")
    lines.append(f'content_sha256 = "{_hash_document(document)}"')
    return "\n".join(lines) + "\n"


def _format_row(row):
    return "{ " + ", ".join(f"{key} = {_format_value(value)}" for key, value in row.items()) + " }"


def _format_value(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(_escape(letter) for letter in value)
        return f'"{escaped}"'
    return repr(value) if isinstance(value, float) else str(value)


def _escape(letter):
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"


def _hash_document(document):
    """SHA-256 of a document's values, whichever way its numbers are spelled."""

    def spell(value):
        if isinstance(value, dict):
            return {key: spell(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spell(item) for item in value]
        if isinstance(value, (float, Decimal)):
            return repr(float(value))
        return value if isinstance(value, (str, int)) else str(value)

    return hash_json(spell(document))


def read_frozen(study):
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
        text = read_bounded(path, MAX_FILE_BYTES).decode("utf-8")
        document = tomllib.loads(text, parse_float=Decimal)
    except FileNotFoundError:
        raise StudyError(
            f"no frozen file at {path}: take [study] frozen out of {study.path}, run upscale-audit"
            " build and upscale-audit freeze, then put it back"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"cannot read {path}: {error}; put back what freeze wrote") from None
    _check(study, path, document)
    return Frozen(
        {table: document[_key(table)] for table in TABLES},
        hash_file(path),
        f"frozen/{to_text(path.name)}",
        document["warehouse_recipe_sha256"],
    )


def _key(table):
    return table.removeprefix("frozen_")


class _Document(TypedDict):
    study: str
    warehouse_recipe_sha256: str
    raw_content_sha256: str
    parameters: dict[str, Any]
    loadings: list[dict[str, Any]]
    scales: list[dict[str, Any]]
    limits: list[dict[str, Any]]


def _check_rows(document):
    """Raise ValueError where a row has other columns than its table, or values of other types."""
    for table, columns in TABLES.items():
        for number, row in enumerate(document[_key(table)]):
            for name, value in row.items():
                where = f"{_key(table)}[{number}][{name!r}]"
                if not _fits(value, columns.get(name)):
                    raise ValueError(f"{where}: {value!r}"[:200] + " is no value of such a column")


def _fits(value, kind):
    """Whether a TOML value is one of a column's SQL type; None is no column."""
    if kind in ("varchar", "boolean"):
        return type(value) is (str if kind == "varchar" else bool)
    if kind is None or type(value) not in (int, Decimal) or not Decimal(value).is_finite():
        return False
    if kind == "bigint":
        return type(value) is int and abs(value) < 1 << 63
    digits = re.fullmatch(r"decimal\((\d+), (\d+)\)", kind)
    limit = 10 ** (int(digits[1]) - int(digits[2])) if digits else Decimal(sys.float_info.max)
    return abs(Decimal(value)) < limit


def _check(study, path, document):
    stated = document.pop("content_sha256", None)
    if document.get("version") != FILE_VERSION:
        raise StudyError(
            f"{path} has version {document.get('version')!r}; expected {FILE_VERSION}: freeze the"
            " study anew with this version of upscale-audit"
        )
    try:
        check_shape(document, _Document, "the file")
        _check_rows(document)
        if stated != _hash_document(document):
            raise ValueError("its content_sha256 is of other values")
    except ValueError as error:
        raise StudyError(
            f"{path} is not as freeze wrote it: {error}; put back what freeze wrote"
        ) from None
    expected, found = document["parameters"], _list_parameters(study)
    wrong = [name for name, value in found.items() if value != _as_float(expected.get(name))]
    if wrong:
        name = wrong[0]
        raise StudyError(
            f"{path} was frozen with {name} = {expected.get(name)}, {study.path} has"
            f" {found[name]}: set it back, or freeze anew"
        )


def check_vouched_frozen(study, frozen):
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


def _is_of(warehouse, frozen):
    """Whether the values of a frozen file are those of the warehouse that it names."""
    rows = _read_warehouse(warehouse)
    tables = {_key(table): values for table, values in rows.items()}
    given = {_key(table): values for table, values in frozen.rows.items()}
    return _hash_document(tables) == _hash_document(given)


def _as_float(value):
    return float(value) if isinstance(value, Decimal) else value


def create_frozen_tables(database, frozen):
    """Add the frozen values to the raw schema of a build database; without rows if there are none.

    Parameters
    ----------
    database : Path
    frozen : Frozen
    """
    with open_build(database) as connection:
        for table, columns in TABLES.items():
            typed = ", ".join(f"{quote_name(name)} {kind}" for name, kind in columns.items())
            connection.execute(f"create table raw.{quote_name(table)} ({typed})")
            marks = ", ".join("?" * len(columns))
            for row in frozen.rows[table]:
                connection.execute(
                    f"insert into raw.{quote_name(table)} values ({marks})",
                    [_to_type(row.get(name), kind) for name, kind in columns.items()],
                )


def _to_type(value, kind):
    return float(value) if kind == "double" and value is not None else value
