"""Files of a warehouse's values that people review and a study names: TOML with a hash in it.

``freeze`` and ``detectors`` write them; a build that names one reads it, checks it and adds its
rows to the raw schema.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.documents import check_shape, read_bounded
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_json
from upscale_audit.warehouse.connect import quote_name

if TYPE_CHECKING:
    import duckdb

    from upscale_audit.ingest.study import Study


MAX_FILE_BYTES = 1 << 22
"""Largest file that is read: 4 MiB, which holds the limits of 20,000 models, or of 250 of
which every trust mask, with and without TTA, is attainable."""

_BITS = {"integer": 32, "bigint": 64}


def list_parameters(study: Study) -> dict[str, Any]:
    """List the parameters that change a block's value, and with it what a file means.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    dict
        Value by name.
    """
    ingest = asdict(study.ingest_parameters)
    names = ("edge_rule", "edge_quantile", "edge_low_dn", "edge_high_dn", "colour")
    chosen = {name: ingest[name] for name in names}
    return chosen | {"ringing_min_px": study.analysis_parameters.ringing_min_px}


def format_document(head: str, document: Mapping[str, Any]) -> str:
    """Write a document as TOML: a line for each row, so that two files compare line by line.

    Parameters
    ----------
    head : str
        Comment lines that say what the file is.
    document : dict
        Texts and numbers, tables of them, and lists of such tables.

    Returns
    -------
    str
        Ends with the hash of the document's values.
    """
    lines = [head]
    for key, value in document.items():
        if isinstance(value, dict):
            lines.append(f"{key} = {_format_row(value)}")
        elif isinstance(value, list):
            lines += [f"{key} = [", *(f"  {_format_row(row)}," for row in value), "]"]
        else:
            lines.append(f"{key} = {_format_value(value)}")
    lines.append(f'content_sha256 = "{hash_document(document)}"')
    return "\n".join(lines) + "\n"


def _format_row(row: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {_format_value(value)}" for key, value in row.items()) + " }"


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = "".join(_escape(letter) for letter in value)
        return f'"{escaped}"'
    return repr(value) if isinstance(value, float) else str(value)


def _escape(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() else f"\\U{ord(letter):08X}"


def name_values(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> list[dict[str, Any]]:
    """Give rows of a query as such a file has them: by column, NULL left out."""
    return [
        {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        for row in rows
    ]


def hash_document(document: Mapping[str, Any]) -> str:
    """Give the SHA-256 of a document's values, whichever way its numbers are spelled."""

    def spell(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spell(item) for key, item in value.items()}
        if isinstance(value, list):
            return [spell(item) for item in value]
        if isinstance(value, (float, Decimal)):
            return repr(float(value))
        return value if isinstance(value, (str, int)) else str(value)

    return hash_json(spell(document))


def read_values(path: Path, repair: str) -> dict[str, Any]:
    """Read a file of values as TOML, its fractions as Decimal.

    Parameters
    ----------
    path : Path
    repair : str
        What to do where it cannot be read.

    Returns
    -------
    dict

    Raises
    ------
    StudyError
        It is larger than `MAX_FILE_BYTES`, cannot be read, or is no TOML.
    FileNotFoundError
    """
    try:
        text = read_bounded(path, MAX_FILE_BYTES).decode("utf-8")
        return tomllib.loads(text, parse_float=Decimal)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(f"cannot read {path}: {error}; {repair}") from None


def check_values(
    path: Path,
    document: dict[str, Any],
    shape: Any,
    tables: Mapping[str, Mapping[str, str]],
    writer: str,
) -> None:
    """Check a file's shape, the types of its rows, and the hash it states, which is taken out.

    Parameters
    ----------
    path : Path
    document : dict
    shape : type
        A TypedDict of the document.
    tables : dict
        By a list's name the SQL type of each column.
    writer : str
        The command that writes such a file.

    Raises
    ------
    StudyError
        Something is not as it was written.
    """
    stated = document.pop("content_sha256", None)
    try:
        check_shape(document, shape, "the file")
        _check_rows(document, tables)
        if stated != hash_document(document):
            raise ValueError("its content_sha256 is of other values")
    except ValueError as error:
        raise StudyError(
            f"{path} is not as {writer} wrote it: {error}; put back what {writer} wrote"
        ) from None


def check_parameters(
    study: Study, path: Path, expected: Mapping[str, Any], made: str, repair: str
) -> None:
    """Refuse a file whose values were made with other parameters than the study has.

    Parameters
    ----------
    study : ingest.study.Study
    path : Path
    expected : dict
        As `list_parameters` gives them.
    made : str
        What was done to it: "frozen".
    repair : str
        What to do if not to set the parameter back.

    Raises
    ------
    StudyError
        A parameter differs.
    """
    for name, value in list_parameters(study).items():
        if value != _as_float(expected.get(name)):
            raise StudyError(
                f"{path} was {made} with {name} = {expected.get(name)}, {study.path} has"
                f" {value}: set it back, or {repair}"
            )


def _check_rows(document: Mapping[str, Any], tables: Mapping[str, Mapping[str, str]]) -> None:
    """Raise ValueError where a row has other columns than its table, or values of other types."""
    for key, columns in tables.items():
        for number, row in enumerate(document[key]):
            for name, value in row.items():
                where = f"{key}[{number}][{name!r}]"
                if not _fits(value, columns.get(name)):
                    raise ValueError(f"{where}: {value!r}"[:200] + " is no value of such a column")


def _fits(value: Any, kind: str | None) -> bool:
    """Whether a TOML value is one of a column's SQL type; None is no column."""
    if kind in ("varchar", "boolean"):
        return type(value) is (str if kind == "varchar" else bool)
    if kind is None or type(value) not in (int, Decimal) or not Decimal(value).is_finite():
        return False
    if kind in _BITS:
        return type(value) is int and abs(value) < 1 << (_BITS[kind] - 1)
    digits = re.fullmatch(r"decimal\((\d+), (\d+)\)", kind)
    limit = 10 ** (int(digits[1]) - int(digits[2])) if digits else Decimal(sys.float_info.max)
    return abs(Decimal(value)) < limit


def _as_float(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def create_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Any],
) -> None:
    """Add a table of values to the raw schema of a build database.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    table : str
    columns : dict
        SQL type by name.
    rows : iterable of dict
        A value that a row lacks is NULL.
    """
    typed = ", ".join(f"{quote_name(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"create table raw.{quote_name(table)} ({typed})")
    marks = ", ".join("?" * len(columns))
    for row in rows:
        connection.execute(
            f"insert into raw.{quote_name(table)} values ({marks})",
            [_to_type(row.get(name), kind) for name, kind in columns.items()],
        )


def _to_type(value: Any, kind: str) -> Any:
    return float(value) if kind == "double" and value is not None else value
