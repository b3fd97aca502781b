"""The published warehouse, opened read-only, and what it says about its own axis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from upscale_audit.analysis.connection import explain, open_published
from upscale_audit.analysis.connection import quote_text as quote_text
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    import polars as pl


ORIGIN = "a block restored exactly"
"""What 0 is on the axis."""


class Marts:
    """A published warehouse, open for reading.

    Parameters
    ----------
    path : str or Path
        The published `warehouse.duckdb`.

    Attributes
    ----------
    models : list of str
        Every model, in the one order in which all figures show them: the study file's.
    labels, colours : dict
        How figures call and colour each; one that is not the study's, as a published file may have,
        goes by its own name.

    Raises
    ------
    StudyError
        There is no such file, or it is no warehouse of this version.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise StudyError(f"no warehouse at {path}; run upscale-audit build first")
        self._opened: duckdb.DuckDBPyConnection | None = None
        self._constants: dict[str, float] = {}
        try:
            self._opened = open_published(path)
            rows = self.rows("select model_id, label, colour from dim_models order by model_number")
        except duckdb.Error as error:
            self.close()
            raise StudyError(explain(path, error)) from None
        self.models = [row["model_id"] for row in rows]
        self.labels = _Labels({row["model_id"]: row["label"] for row in rows})
        self.colours = {row["model_id"]: row["colour"] for row in rows}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        if self._opened is None:
            raise TypeError(f"{self._path} was not opened")
        return self._opened

    def frame(self, query: str) -> pl.DataFrame:
        """Run a query.

        Parameters
        ----------
        query : str

        Returns
        -------
        polars.DataFrame

        Raises
        ------
        StudyError
            A table or column of the contract is missing: the file is of another version.
        """
        try:
            return self._connection.sql(query).pl()
        except (duckdb.CatalogException, duckdb.BinderException) as error:
            missing = error
        raise StudyError(
            f"{self._path} was built by another version: {str(missing).splitlines()[0]};"
            " run upscale-audit build"
        ) from None

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Run a query; one dictionary per row."""
        found: list[dict[str, Any]] = self.frame(query).to_dicts()
        return found

    def read_constant(self, name: str) -> float:
        """Give a constant that decides a number: the value of `dim_constants`, in its unit."""
        if not self._constants:
            rows = self.rows("select constant, value from dim_constants")
            self._constants = {row["constant"]: row["value"] for row in rows}
        return self._constants[name]

    def order_models(self, models: Sequence[str] | set[str]) -> list[str]:
        """Put some models into the order of figures; those that are not the study's come last."""
        places = {model: number for number, model in enumerate(self.models)}
        return sorted(models, key=lambda model: (places.get(model, len(places)), model))

    def order_rows(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Put rows with a model_id into the order of figures, and keep that of each model's."""
        order = self.order_models({row["model_id"] for row in rows})
        places = {model: number for number, model in enumerate(order)}
        return sorted(rows, key=lambda row: places[row["model_id"]])

    def name_models(self, models: Iterable[str]) -> dict[str, str]:
        """Label of each of some models, by its model_id."""
        return {model: self.labels[model] for model in models}

    def list_labels(self, models: Sequence[str]) -> str:
        """List labels of some models, apart by commas, in the order of figures."""
        return ", ".join(self.labels[model] for model in self.order_models(models))

    @contextlib.contextmanager
    def narrowed(self, models: Sequence[str]) -> Iterator[None]:
        """Show some models alone: in `models`, and in every table that names a row's model.

        Parameters
        ----------
        models : list of str

        Notes
        -----
        What is of all models together stays: rows without a model, and the pooled basis.
        """
        names = ", ".join(quote_text(model) for model in models)
        bases = ", ".join(quote_text(f"model:{model}") for model in models)
        tables = self.rows(
            "select table_name, column_name from duckdb_columns()"
            " where column_name in ('model_id', 'basis_id') and schema_name = 'main'"
            " and database_name = current_database() order by table_name, column_name"
        )
        conditions = {
            "model_id": f"model_id is null or model_id in ({names})",
            "basis_id": f"not starts_with(basis_id, 'model:') or basis_id in ({bases})",
        }
        views = {table["table_name"]: conditions[table["column_name"]] for table in tables}
        before, (place,) = self.models, self.rows("select current_database() as database")
        database = quote_name(place["database"])
        try:
            for name, condition in views.items():
                # A temporary view comes before the table of its name.
                self._connection.execute(
                    f"create temporary view {quote_name(name)} as select * from"
                    f" {database}.main.{quote_name(name)} where {condition}"
                )
            self.models = [model for model in before if model in models]
            yield
        finally:
            self.models = before
            for name in views:
                self._connection.execute(f"drop view if exists temp.{quote_name(name)}")

    def read_components(self) -> list[dict[str, str]]:
        """Read the direction components in the order of their declaration.

        Returns
        -------
        list of dict
            component, column_stem, unit, family, label, positive_means, negative_means.
        """
        # dim_components has no number; its rows lie in the order of the seed.
        components = self.rows("select * from dim_components order by rowid")
        for component in components:
            # Every component without a unit is the logarithm of a ratio (definitions E.5).
            component["unit"] = component["unit"] or "ln ratio"
        return components

    def describe_axis(self) -> str:
        """Name the basis that scores, and say where it is not the axis of this study's blocks.

        Returns
        -------
        str
            A sentence for a caption.
        """
        (row,) = self.rows("select axis_basis, axis_alignment from dim_study")
        names = {"pooled": "the study's own", "frozen": "the study's frozen one"}
        text = f"Basis: {names.get(row['axis_basis'], row['axis_basis'])}"
        alignment = row["axis_alignment"]
        least = self.read_constant("minimum_alignment")
        if alignment is None or alignment >= least:
            return f"{text}."
        other = "standard-1" if row["axis_basis"] == "pooled" else "the study's own"
        return (
            f"{text}, which is not the first axis of these blocks: |cos| with {other} is"
            f" {alignment:.2f}, below {least:g}."
        )


class _Labels(dict[str, str]):
    """Labels by model_id; a model without one goes by its name."""

    def __missing__(self, model_id: str) -> str:
        return model_id


def quote_name(name: str) -> str:
    """Quote an SQL name."""
    return '"' + name.replace('"', '""') + '"'
