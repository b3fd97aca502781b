"""Tables for a paper: what the models are, their means and their differences, CSV and LaTeX."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.files import sync, write_text
from upscale_audit.warehouse.published_form import write_as_text

if TYPE_CHECKING:
    import duckdb


MEANS, PAIRS, MEANS_LATEX = "model_means.csv", "model_pairs.csv", "model_means.tex"
MODELS, MODELS_LATEX = "models.csv", "models.tex"
MOST_DECIMALS = 6

PRINTED = {
    "local_ssim": "Block SSIM",
    "ssim": "SSIM",
    "psnr": "PSNR",
    "lpips": "LPIPS",
    "mse_dn2": "Squared error",
    "axis1": "Axis1",
    "d_sharp": "Sharpness",
    "d_mu": "Brightness",
    "lr_contradicted_ratio": "Contradicted",
}
"""Columns of the LaTeX table, each where a model has a value; the CSV holds every quantity."""

# The columns that are rounded together: an estimate, and the interval that says how far.
_MEAN = ("mean", "mean_low", "mean_high")
_DIFFERENCE = ("difference", "difference_low", "difference_high")
_QUERIES = {
    MEANS: (
        "select source_id, model_id, inference_path, quantity, unit, cluster_unit, cluster_count,"
        " image_count, mean, mean_low, mean_high from mart_model_means where subgroup_kind = 'all'"
        " order by source_id, level, quantity, model_id, inference_path"
    ),
    PAIRS: (
        "select source_id, model_a, model_b, inference_path, quantity, unit, cluster_unit,"
        " cluster_count, image_count, difference, difference_low, difference_high, p_value, p_holm,"
        " family, family_size from mart_model_pairs where subgroup_kind = 'all'"
        " order by source_id, level, quantity, model_a, model_b, inference_path"
    ),
}
_MODELS_QUERY = (
    "select model_number, model_id, label, family, architecture, restorer_kind, scale, lr_rule,"
    " weights_sha256, weights_url, colour, array_to_string(stated_columns, ' ') as stated_columns,"
    " array_to_string(recorded_columns, ' ') as recorded_columns from dim_models"
    " order by model_number"
)
_MODEL_HEADS = {
    "label": "Model",
    "family": "Family",
    "architecture": "Architecture",
    "scale": "Scale",
    "lr_rule": "LR rule",
    "weights_sha256": "Weights (SHA-256)",
}
_HASH_CHARACTERS = 12
_P_DIGITS = 3

# TeX's own characters, and two that its fonts would make something else of.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    '"': r"\textquotedbl{}",
    "-": "-{}",
} | {letter: f"\\{letter}" for letter in "{}$&#%_"}

_NOTE = """\
% Mean over patients (images without one) of each patient's mean over its images; in brackets the
% 95 % interval, of Student's t corrected for skewness, from %d patients on. n: patients; images.
% Rounded, a column alike: so that the narrowest interval's half width has two significant digits,
% and without an interval the greatest mean four; 0 to 6 decimals, half to even.
% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}. Written by upscale-audit export.
"""
_MODELS_NOTE = """\
% The models, as the study file and the records of upscale-audit restore describe them: models.csv
% says which of both. Of a hash the first 12 of 64 digits.
% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}. Written by upscale-audit export.
"""


def write_paper_tables(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write the models, their means (CSV and LaTeX) and differences, of all images together.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A published warehouse, read-only.
    folder : Path
        Receives the files; made if missing.

    Notes
    -----
    Numbers are rounded for print, `count_decimals`; the marts hold them as they are. p has three
    significant digits. A text that a spreadsheet would run gets an apostrophe
    (`warehouse.published_form.write_as_text`); one that TeX would is escaped (`escape_latex`). The
    CSVs hold every quantity and name models by `model_id`; the LaTeX table holds those of
    `PRINTED`, one ``tabular`` for each source that has one, models by label and in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header, models = _read(connection, _MODELS_QUERY)
    _write_csv(folder / MODELS, header, models)
    write_text(folder / MODELS_LATEX, format_models(models))
    labels = {row["model_id"]: row["label"] for row in models}
    for name, estimate in ((MEANS, _MEAN), (PAIRS, _DIFFERENCE)):
        header, rows = _read(connection, _QUERIES[name])
        _round_rows(rows, estimate)
        _write_csv(folder / name, header, rows)
        if name == MEANS:
            write_text(folder / MEANS_LATEX, format_latex(rows, _read_tested(connection), labels))


def _read_tested(connection: duckdb.DuckDBPyConnection) -> int:
    query = "select value from dim_constants where constant = 'least_tested'"
    ((value,),) = connection.sql(query).fetchall()
    return int(value)


def count_decimals(estimates: Iterable[float], half_widths: Iterable[float]) -> int:
    """Decimals that a quantity is printed with, the same in all its rows.

    Parameters
    ----------
    estimates, half_widths : iterable of float
        In the quantity's unit; half widths of intervals, of those rows that have one.

    Returns
    -------
    int
        0 to 6: the narrowest interval that is not a point has two significant digits in its half
        width; where there is no interval, the greatest estimate has four.
    """
    known = [Decimal(repr(float(width))) for width in half_widths if width > 0]
    if known:
        decimals = 1 - min(known).adjusted()
    else:
        most = max((abs(Decimal(repr(float(value)))) for value in estimates), default=Decimal(0))
        decimals = 3 - most.adjusted() if most else 0
    return min(MOST_DECIMALS, max(0, decimals))


def round_number(value: float | None, decimals: int) -> Decimal | None:
    """Round half to even, on the shortest decimal that is the double.

    Parameters
    ----------
    value : float or None
    decimals : int

    Returns
    -------
    decimal.Decimal or None
        With so many decimals, and no sign where it is 0.
    """
    if value is None:
        return None
    # A double has up to 309 digits before the point: one that is refused would stop the export.
    context = Context(prec=400, rounding=ROUND_HALF_EVEN)
    place = Decimal(1).scaleb(-decimals)
    rounded = Decimal(repr(float(value))).quantize(place, context=context)
    return abs(rounded) if rounded == 0 else rounded


def escape_latex(text: int | str) -> str:
    r"""Write any text so that TeX prints it: its own characters escaped, unseen ones as U+202E."""
    seen = "".join(
        letter if letter.isprintable() else f"U+{ord(letter):04X}" for letter in str(text)
    )
    return "".join(_LATEX.get(letter, letter) for letter in seen)


def format_models(models: Sequence[dict[str, Any]]) -> str:
    r"""Lay out what the models are as a booktabs ``tabular``, a model a row.

    Parameters
    ----------
    models : list of dict
        Rows of ``models.csv``.

    Returns
    -------
    str
        LaTeX to ``\input``; a column of which nothing is known is left out, and the table where
        only labels are.
    """
    columns = [name for name in _MODEL_HEADS if any(row[name] is not None for row in models)]
    if len(columns) < 2:
        return _MODELS_NOTE
    lines = [
        rf"\begin{{tabular}}{{{'l' * len(columns)}}}",
        r"\toprule",
        " & ".join(escape_latex(_MODEL_HEADS[name]) for name in columns) + r" \\",
        r"\midrule",
        *(" & ".join(_format_fact(row, name) for name in columns) + r" \\" for row in models),
    ]
    return _MODELS_NOTE + "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _format_fact(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None:
        return ""
    text = escape_latex(row[name])
    if name == "scale":
        return rf"$\times${text}"
    return rf"\texttt{{{text[:_HASH_CHARACTERS]}}}" if name == "weights_sha256" else text


def format_latex(
    rows: Sequence[dict[str, Any]], tested: int, labels: Mapping[str, str] | None = None
) -> str:
    r"""Lay out means as one booktabs ``tabular`` a source, a model and path a row.

    Parameters
    ----------
    rows : list of dict
        Rows of ``model_means.csv``, numbers rounded.
    tested : int
        Patients from which on a mean has an interval.
    labels : dict, optional
        Of models by `model_id`, in their order; one that is not there goes by its name, behind.

    Returns
    -------
    str
        LaTeX to ``\input``.
    """
    parts = [_NOTE.replace("%d", f"{tested:d}")]
    for source in dict.fromkeys(row["source_id"] for row in rows):
        known = [row for row in rows if row["source_id"] == source and row["mean"] is not None]
        columns = [name for name in PRINTED if any(row["quantity"] == name for row in known)]
        if columns:
            parts.append(_format_source(source, known, columns, labels or {}))
    return "\n".join(parts)


def _format_source(
    source: str, rows: Sequence[dict[str, Any]], columns: Sequence[str], labels: Mapping[str, str]
) -> str:
    cells = {(row["model_id"], row["inference_path"], row["quantity"]): row for row in rows}
    units = {row["quantity"]: row["unit"] for row in rows}
    heads = [PRINTED[name] for name in columns]
    lines = [
        f"% Source: {escape_latex(source)}",
        rf"\begin{{tabular}}{{ll{'r' * (1 + len(columns))}}}",
        r"\toprule",
        " & ".join(["Model", "Path", "$n$", *heads]) + r" \\",
        " & ".join(["", "", "", *(_format_unit(units[name]) for name in columns)]) + r" \\",
        r"\midrule",
    ]
    places = {model: number for number, model in enumerate(labels)}
    drawn_rows = {key[:2] for key in cells}
    order = sorted(drawn_rows, key=lambda key: (places.get(key[0], len(places)), key))
    for model, path in order:
        drawn = [cells.get((model, path, name)) for name in columns]
        names = [escape_latex(labels.get(model, model)), escape_latex(path), _format_counts(drawn)]
        lines.append(" & ".join([*names, *map(_format_mean, drawn)]) + r" \\")
        if any(row is not None and row["mean_low"] is not None for row in drawn):
            lines.append(" & ".join(["", "", "", *map(_format_interval, drawn)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _format_unit(unit: str) -> str:
    text = escape_latex(unit).replace("dn2", r"dn\textsuperscript{2}")
    return f"({text})" if text else ""


def _format_counts(rows: Sequence[dict[str, Any] | None]) -> str:
    """Patients and images behind a row; a span where columns differ."""
    known = [row for row in rows if row is not None]
    spans = [sorted({row[name] for row in known}) for name in ("cluster_count", "image_count")]
    return "; ".join(
        str(span[0]) if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans
    )


def _format_mean(row: Mapping[str, Any] | None) -> str:
    return "" if row is None else f"${row['mean']}$"


def _format_interval(row: Mapping[str, Any] | None) -> str:
    if row is None or row["mean_low"] is None:
        return ""
    return rf"\footnotesize$[{row['mean_low']}, {row['mean_high']}]$"


def _read(
    connection: duckdb.DuckDBPyConnection, query: str
) -> tuple[list[str], list[dict[str, Any]]]:
    """Names of a query's columns, and its rows as dicts."""
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return names, [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _round_rows(rows: Sequence[dict[str, Any]], names: tuple[str, str, str]) -> None:
    """Round an estimate and its interval, all rows of a source and quantity alike; and p."""
    groups: dict[Any, Any] = {}
    for row in rows:
        groups.setdefault((row["source_id"], row["quantity"]), []).append(row)
    estimate, low, high = names
    for group in groups.values():
        known = [row for row in group if row[estimate] is not None]
        widths = [(row[high] - row[low]) / 2 for row in known if row[low] is not None]
        decimals = count_decimals([row[estimate] for row in known], widths)
        for row in group:
            row |= {name: round_number(row[name], decimals) for name in names}
            row |= {name: _round_p(row[name]) for name in ("p_value", "p_holm") if name in row}


def _round_p(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_P_DIGITS - 1}e}")


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([write_as_text(cell) for cell in row.values()] for row in rows)
    sync(path)
