"""Scores that a study file states as SQL: one scalar expression over numbers of a block each.

The text is a stranger's. It is cut into words, of which only numbers, operators and stated names
pass; put together again from these; and bound, before a build begins, by DuckDB against a table of
these names, with all outside access off. What stands in the build is a macro of the raw schema: no
text of a study reaches dbt, which would render it.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import INFERENCE_PATHS
from upscale_audit.warehouse.connect import open_build, quote_name, quote_text
from upscale_audit.warehouse.dbt_runner import PROJECT
from upscale_audit.warehouse.project import read_yml

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


TABLE = "composites"
COLUMNS = {"composite_number": "bigint", "detector": "varchar", "expression": "varchar"}
"""Table that build adds to the raw schema: SQL type by column."""
MAX_TOKENS = 500
"""Words of an expression at most: DuckDB's parser recurses into what is nested."""
MAX_DEPTH = 50

FUNCTIONS = {
    "abs": "abs({x})",
    "sqrt": "case when {x} >= 0 then sqrt({x}) end",
    "ln": "case when {x} > 0 then ln({x}) end",
}
"""Functions of one number; NULL where they have no value."""
VARIADIC = ("least", "greatest", "coalesce")
KEYWORDS = ("case", "when", "then", "else", "end", "and", "or", "not", "is", "null", "between")
_WORD = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?)(?![\w.])"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)|(?P<sign><=|>=|<>|[-+*/(),<>=]))"
)
_NUMERIC = re.compile(r"(?:tinyint|smallint|integer|bigint|float|double|decimal)\b.*")


def list_numbers() -> dict[str, str]:
    """List what an expression may name: numbers of a block, an inference path's without it.

    Returns
    -------
    dict
        Column of `fct_blocks` by name, ``{path}`` standing for the inference path.
    """
    document = read_yml(PROJECT / "models/marts/axis/_axis__models.yml")
    (blocks,) = [entry for entry in document["models"] if entry["name"] == "fct_blocks"]
    columns = [c["name"] for c in blocks["columns"] if _NUMERIC.fullmatch(c["data_type"])]
    numbers = {}
    for name in columns:
        stem, _, ending = name.rpartition("_")
        if ending == INFERENCE_PATHS[0]:
            numbers[stem] = f"{stem}_{{path}}"
        elif ending == "reference":
            numbers[name] = name
    return numbers


def spell_expression(study: Study, name: str, text: str, numbers: Collection[str]) -> list[str]:
    """Spell a composite as SQL of its own words.

    Parameters
    ----------
    study : ingest.study.Study
    name, text : str
        The composite, and what the study file says of it.
    numbers : collection of str
        What it may name.

    Returns
    -------
    list of str
        Words: of numbers, names, operators and keywords only.

    Raises
    ------
    StudyError
        Anything else stands there.
    """
    where = f"{study.path} [detectors.{name}] expression"
    words, position, depth, text = [], 0, 0, text.rstrip()
    while position < len(text):
        match = _WORD.match(text, position)
        if match is None:
            rest = text[position:].strip()[:20]
            raise StudyError(
                f"{where}: {rest!r} begins with what is no number, name or operator; expected one"
                " expression of + - * / < <= > >= = <> ( ) and names of numbers of a block"
            )
        word = match[match.lastgroup or 0]
        if match.lastgroup == "name":
            word = word.lower()
            known = {*numbers, *FUNCTIONS, *VARIADIC, *KEYWORDS}
            if word not in known:
                raise _say_unknown(where, word, known)
        words.append(word)
        depth += (word == "(") - (word == ")")
        position = match.end()
        if len(words) > MAX_TOKENS or depth > MAX_DEPTH:
            raise StudyError(
                f"{where} has more than {MAX_TOKENS} words, or brackets more than {MAX_DEPTH} deep"
            )
    return words


def _say_unknown(where: str, word: str, known: Iterable[str]) -> StudyError:
    near = ", ".join(difflib.get_close_matches(word, sorted(known), n=3, cutoff=0.5))
    return StudyError(
        f"{where}: {word!r} is no number of a block; the nearest: {near or 'none'} (columns of"
        " fct_blocks without the inference path)"
    )


def check_composites(study: Study) -> dict[str, list[str]]:
    """Check the composites of a study against DuckDB's own parser and binder.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    dict
        Words of each composite, by name.

    Raises
    ------
    StudyError
        One is not one scalar expression of a number.
    """
    if not study.composites:
        return {}
    numbers = list_numbers()
    spelled = {}
    with duckdb.connect(config={"enable_external_access": "false"}) as connection:
        typed = ", ".join(f"{quote_name(name)} double" for name in numbers)
        connection.execute(f"create table facts ({typed})")
        _create_functions(connection)
        connection.execute("set lock_configuration = true")
        for name, text in study.composites:
            if name in numbers or name.startswith(("is_", "d_")):
                raise StudyError(
                    f"{study.path} [detectors.{name}]: a number or flag of a block has this name,"
                    " or could have it; choose one that does not begin with is_ or d_"
                )
            words = spell_expression(study, name, text, numbers)
            _check_one(connection, study, name, words)
            spelled[name] = words
    return spelled


def _check_one(
    connection: duckdb.DuckDBPyConnection, study: Study, name: str, words: Sequence[str]
) -> None:
    where = f"{study.path} [detectors.{name}] expression"
    plain = "select " + " ".join(words)
    ((parsed,),) = connection.execute(
        "select json_serialize_sql(cast(? as varchar))", [plain]
    ).fetchall()
    found = json.loads(parsed)
    if found["error"]:
        raise StudyError(f"{where}: {found['error_message']}; expected one SQL expression")
    statements = found["statements"]
    if len(statements) != 1 or len(statements[0]["node"]["select_list"]) != 1:
        raise StudyError(f"{where} is not one expression: give each composite one of its own")
    sql = _join(words, quote_name)
    try:
        ((kind,),) = connection.execute(
            "select column_type from (describe select " + sql + " as score from facts)"
        ).fetchall()
    except duckdb.Error as error:
        raise StudyError(f"{where}: {str(error).splitlines()[0]}") from None
    if not _NUMERIC.fullmatch(kind.lower()):
        raise StudyError(f"{where} is a {kind.lower()}; expected a number, as case when ... end")


def _join(words: Iterable[str], spell_number: Callable[[str], str]) -> str:
    """Put words together again, each function as this module defines it."""
    parts = []
    for word in words:
        if word in FUNCTIONS:
            parts.append(f"composite_{word}")
        elif word in (*VARIADIC, *KEYWORDS) or not word[0].isalpha():
            parts.append(f"cast({word} as double)" if word[0].isdigit() else word)
        else:
            parts.append(spell_number(word))
    return " ".join(parts)


def _create_functions(connection: duckdb.DuckDBPyConnection, schema: str = "main") -> None:
    for name, sql in FUNCTIONS.items():
        body = sql.format(x="number")
        connection.execute(f"create macro {schema}.composite_{name}(number) as {body}")


def create_composites(database: Path, study: Study, spelled: Mapping[str, Sequence[str]]) -> None:
    """Add composites to the raw schema of a build database: a table, and a macro for each path.

    Parameters
    ----------
    database : Path
    study : ingest.study.Study
    spelled : dict
        As `check_composites` gives it.
    """
    numbers = list_numbers() if spelled else {}
    with open_build(database) as connection:
        typed = ", ".join(f"{quote_name(name)} {kind}" for name, kind in COLUMNS.items())
        connection.execute(f"create table raw.{TABLE} ({typed})")
        for number, (name, text) in enumerate(study.composites, start=1):
            connection.execute(f"insert into raw.{TABLE} values (?, ?, ?)", [number, name, text])
        _create_functions(connection, "raw")
        for path in INFERENCE_PATHS:
            scores = ", ".join(_spell_score(words, numbers, path) for words in spelled.values())
            connection.execute(
                f"create macro raw.composites_{path}(facts) as cast([{scores}] as double[])"
            )


def _spell_score(words: Iterable[str], numbers: Mapping[str, str], path: str) -> str:
    def spell(name: str) -> str:
        column = quote_text(numbers[name].format(path=path))
        return f"cast(struct_extract(facts, {column}) as double)"

    sql = f"cast({_join(words, spell)} as double)".replace("composite_", "raw.composite_")
    return f"case when isfinite({sql}) then {sql} end"
