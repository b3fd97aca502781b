"""SQL that a reader types: one query, that reads the warehouse and nothing else."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from upscale_audit.analysis.connection import open_published
from upscale_audit.ingest.errors import StudyError

MOST_ROWS = 200
"""Rows that the page shows."""
MOST_SAVED_ROWS = 1_000_000
BATCH_ROWS = 10_000
MOST_MEMORY = "4GiB"
"""For typed queries; one that needs more ends with an error."""
T = TypeVar("T")
_PATIENCE_S = 0.05
"""After which a query that has not heard is told once more to stop."""


@dataclass(frozen=True)
class Answer:
    """What a query gave.

    Attributes
    ----------
    columns : list of str
    rows : list of tuple
        At most `MOST_ROWS`.
    has_more : bool
        Whether there are further rows.
    """

    columns: list[str]
    rows: list[tuple[Any, ...]]
    has_more: bool


class Desk:
    """A connection of its own for what readers type.

    Parameters
    ----------
    path : Path
        The published warehouse.

    Notes
    -----
    Nothing is spilt to disk, so that a careless query fills none, and one thread is left to
    whatever else the page does.
    """

    def __init__(self, path: Path) -> None:
        settings: dict[str, str | int] = {
            "memory_limit": MOST_MEMORY,
            "temp_directory": "",
            "threads": max(1, (os.cpu_count() or 1) - 1),
        }
        self._connection = open_published(path, settings=settings)
        self._questions: weakref.WeakSet[Question] = weakref.WeakSet()

    def close(self) -> None:
        """End what still runs, and close the warehouse."""
        for question in list(self._questions):
            question.end()
        self._connection.close()

    def ask(self, sql: str) -> Question:
        """Take a query; it runs when it is read.

        Parameters
        ----------
        sql : str

        Returns
        -------
        Question

        Raises
        ------
        StudyError
            It is no single query.
        """
        query = check_query(self._connection, sql)
        cursor = self._connection.cursor()
        # What a connection uses, its cursors do not.
        cursor.execute("use warehouse")
        question = Question(cursor, query)
        self._questions.add(question)
        return question


class Question:
    """A query that may be stopped from another thread while it runs.

    Parameters
    ----------
    cursor : duckdb.DuckDBPyConnection
        Its own.
    sql : str
    """

    def __init__(self, cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
        self._cursor, self._sql = cursor, sql
        self._is_stopped, self._calling = False, threading.Lock()

    def stop(self) -> None:
        """End it, also where it has not begun; whoever reads it gets an error."""
        self._is_stopped = True
        threading.Thread(target=self._let_go, daemon=True).start()

    def end(self) -> None:
        """End it, and wait until DuckDB has let go of it."""
        self._is_stopped = True
        self._let_go(self._cursor.close)

    def _let_go(self, act: Callable[[], None] | None = None) -> None:
        """Interrupt DuckDB until it no longer works on the query, then act."""
        # What begins just after it was told to stop does not hear of it.
        while not self._calling.acquire(timeout=_PATIENCE_S):
            self._cursor.interrupt()
        try:
            if act is not None:
                act()
        finally:
            self._calling.release()

    def read(self) -> Answer:
        """Run it, and read the rows that are shown.

        Returns
        -------
        Answer

        Raises
        ------
        StudyError
            DuckDB refused it, or it was stopped.
        """
        columns, rows = next(self.read_batches(MOST_ROWS + 1))
        return Answer(columns, rows[:MOST_ROWS], len(rows) > MOST_ROWS)

    def read_batches(
        self, batch_rows: int = BATCH_ROWS, most_rows: int = MOST_SAVED_ROWS
    ) -> Iterator[tuple[list[str], list[tuple[Any, ...]]]]:
        """Run it, and yield the names of the columns and some rows, until there are no more.

        The first batch comes also where it has no rows.

        Raises
        ------
        StudyError
            As `read`.
        """
        try:
            self._call(self._cursor.execute, self._sql)
            columns = [column[0] for column in self._cursor.description]
            count = 0
            while True:
                rows = self._call(self._cursor.fetchmany, min(batch_rows, most_rows - count))
                if rows or count == 0:
                    yield columns, rows
                count += len(rows)
                if not rows or count >= most_rows:
                    return
        except duckdb.InterruptException:
            raise StudyError("stopped") from None
        except duckdb.Error as error:
            raise StudyError(str(error)) from None

    def _call(self, act: Callable[..., T], *arguments: object) -> T:
        with self._calling:
            if self._is_stopped:
                raise StudyError("stopped")
            return act(*arguments)


def check_query(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """Give the one query that a text holds.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    sql : str

    Returns
    -------
    str

    Raises
    ------
    StudyError
        It holds none, several, or a statement of another kind.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise StudyError(str(error)) from None
    if len(statements) != 1:
        raise StudyError(f"expected one query, found {len(statements)} statements")
    (statement,) = statements
    if statement.type != duckdb.StatementType.SELECT:
        raise StudyError(f"expected a query, found a statement of type {statement.type.name}")
    return statement.query
