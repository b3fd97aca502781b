"""The published generator's result files: per-image results, LFV locations, model comparison.

Formats: definitions A.1, B.2, C.1 and D.1. The generator's stored versions write results of
28 columns, of 34 with the six size columns, and of 31 or 37 with the three flag columns;
versions before 1.5 also wrote the two columns of a risk score. All their headers are English.
"""

import codecs
import difflib
import itertools
import logging
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.tables import open_table, read_rows

METRIC_COLUMNS = (
    "ssim",
    "ms_ssim",
    "psnr",
    "lpips",
    "sharpness",
    "sharpness_diff_pct",
    "contrast",
    "contrast_diff_pct",
    "entropy",
    "noise",
    "edge_density",
    "edge_diff_pct",
    "artifact_block",
    "artifact_ringing",
    "artifact_total",
    "delta_e",
    "high_freq_ratio",
    "texture_complexity",
    "local_quality_mean",
    "local_quality_std",
    "local_quality_min",
    "histogram_corr",
    "lab_L_mean",
    "total_score",
)
"""Numeric columns of a results file, in its order; tested against `ingest.metrics.declared`."""

# No published rule reads these (C.1; rules on local_quality_std are skipped without it).
_UNRULED_METRICS = (
    "sharpness_diff_pct",
    "contrast_diff_pct",
    "edge_diff_pct",
    "artifact_block",
    "artifact_ringing",
    "local_quality_std",
    "local_quality_min",
    "lab_L_mean",
)
# The generator's own Japanese names: its definition document and its printed summary. No
# stored version writes them as a header, so they are for files edited by hand.
_ALIASES = {
    "画像ID": "image_id",
    "モデル": "model",
    "SSIM": "ssim",
    "MS-SSIM": "ms_ssim",
    "PSNR": "psnr",
    "LPIPS": "lpips",
    "シャープネス": "sharpness",
    "コントラスト": "contrast",
    "エントロピー": "entropy",
    "ノイズ": "noise",
    "エッジ密度": "edge_density",
    "アーティファクト": "artifact_total",
    "色差": "delta_e",
    "高周波比率": "high_freq_ratio",
    "テクスチャ複雑度": "texture_complexity",
    "局所品質平均": "local_quality_mean",
    "ヒストグラム相関": "histogram_corr",
    "総合スコア": "total_score",
}
_RENAMED = {
    "model": "model_id",
    "original_width": "original_width_px",
    "original_height": "original_height_px",
    "upscaled_width": "upscaled_width_px",
    "upscaled_height": "upscaled_height_px",
}
_SUPERSEDED = ("hallucination_risk_score", "risk_level")
_STATISTICS = ("mean", "std", "min", "max", "median", "count")
MAX_CELLS = 1 << 22
"""Most cells of a result file: the published one has 0.8 million."""
MAX_NUMBER = 1e15
"""Largest number of a result file: no measure of 8-bit images comes near it."""
_FILES = {
    "results": "batch_analysis*.csv or results_with_26pattern_detection.csv",
    "locations": "lfv_spatial_analysis.csv",
    "comparison": "model_comparison.csv",
}
_MISSING = frozenset({"", "none", "n/a", "nan", "-nan", "inf", "+inf", "-inf"})
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\1*(\r\n|\r|\n)', re.IGNORECASE)

logger = logging.getLogger(__name__)

V = TypeVar("V")
"""A cell's value."""
_Cell = str | float | None


@dataclass(frozen=True)
class _Table:
    """Named columns of a CSV: `positions` in its rows, each with its line number."""

    path: str | Path
    positions: dict[str, int]
    rows: list[tuple[int, list[str]]]


def detect_kind(path: str | Path) -> str:
    """Tell from its header which of the generator's files this is.

    Parameters
    ----------
    path : str or Path
        Plain or gzip.

    Returns
    -------
    {"results", "locations", "comparison"}
        What `read_results`, `read_locations` and `read_comparison` read.

    Raises
    ------
    StudyError
        Unreadable, or none of the three.
    """
    (_, header), *rows = _read_lines(path, 2)
    names = {_name_column(cell) for cell in header}
    second = rows[0][1] if rows else []
    if not header[0].strip() and second and second[0] == "" and set(second) & set(_STATISTICS):
        return "comparison"
    if names & {"min_ssim_value", "min_row", "min_col"}:
        return "locations"
    if names & {"image_id", *METRIC_COLUMNS}:
        return "results"
    raise StudyError(
        f"{path} is none of the generator's files that can be read: its first line"
        f" is {_join(header)}; name a {', a '.join(_FILES.values())}"
    )


def read_results(path: str | Path, label: str) -> list[dict[str, Any]]:
    """Read a results file, flagged or not.

    Parameters
    ----------
    path : str or Path
        UTF-8 with or without BOM, or Shift-JIS (cp932); plain or gzip.
    label : str
        Names the file in the study; copied into every row.

    Returns
    -------
    list of dict
        One row per model x image, in the order of the file: `label`, `row_number` (from 0),
        `model_id` and `image_id` as written, the paths and file formats as written, the
        sizes in px, `METRIC_COLUMNS` as float, `detection_count` as int,
        `detected_patterns` and `confidence_level` as written. None where the file has no
        such column, where a number is empty, None, N/A, NaN or infinite, and where a text
        is empty. `detected_patterns` alone keeps an empty text, which the pattern document
        writes for "no pattern", as it keeps the ``None`` of the files.

    Raises
    ------
    StudyError
        An unreadable file, a column that the published rules need and that is missing, an
        unknown or repeated column (missing and unknown ones are listed together), a ragged
        row, a cell of the wrong type, a model x image listed twice, no row at all.

    Notes
    -----
    The generator reads ``upscaled_width`` and ``upscaled_height`` after it has resized the
    restored image, so they equal the reference's (definitions A.0). The risk score of
    versions before 1.5 is left out with a warning.
    """
    parsers = _RESULT_PARSERS
    expected = [name for name in METRIC_COLUMNS if name not in _UNRULED_METRICS]
    table = _read_table(path, "results", parsers, ["image_id", "model", *expected])
    absent = [name for name in _UNRULED_METRICS if name not in table.positions]
    if absent:
        logger.warning("%s has no column %s: NULL in every row", path, _join(absent))
    rows = _build_rows(table, parsers, label)
    _check_unique(table, rows)
    return rows


def read_locations(path: str | Path, label: str) -> list[dict[str, Any]]:
    """Read ``lfv_spatial_analysis.csv``: where each LFV image has its worst block.

    Parameters
    ----------
    path : str or Path
        As for `read_results`.
    label : str
        Names the file in the study; copied into every row.

    Returns
    -------
    list of dict
        One row per model x image, in the order of the file: `label`, `row_number`,
        `model_id`, `image_id`, `min_ssim_value` (float), `min_row`, `min_col`,
        `total_rows`, `total_cols`, `distance_to_boundary` (int, blocks),
        `normalized_distance` (float, 0..1), `is_boundary` (bool). Nothing is None.

    Raises
    ------
    StudyError
        As for `read_results`; also an empty cell, or a block outside its grid.
    """
    parsers = _LOCATION_PARSERS
    table = _read_table(path, "locations", parsers, tuple(parsers))
    rows = _build_rows(table, parsers, label)
    _check_unique(table, rows)
    for (line, _), row in zip(table.rows, rows, strict=True):
        if row["min_row"] >= row["total_rows"] or row["min_col"] >= row["total_cols"]:
            raise StudyError(
                f"{path} line {line}: block ({row['min_row']}, {row['min_col']}) lies outside its"
                f" grid of {row['total_rows']} x {row['total_cols']}; {_repair('locations')}"
            )
    return rows


def read_comparison(path: str | Path) -> list[dict[str, Any]]:
    """Read ``model_comparison.csv``, whose header takes three lines.

    Parameters
    ----------
    path : str or Path
        As for `read_results`. Line 1 names the metrics, line 2 their statistics, line 3
        holds the word model.

    Returns
    -------
    list of dict
        One row per model x metric x statistic, in the order of the file: `model_id`,
        `metric`, `statistic` (mean, std, min, max, median or count), `value` (float or
        None).

    Raises
    ------
    StudyError
        As for `read_results`; also another header, a statistic listed twice, a model
        listed twice.
    """
    lines = _read_lines(path)
    columns = _read_comparison_header(path, lines)
    seen: dict[str, int] = {}
    rows = []
    _check_rectangular(path, lines)
    for line, cells in lines[3:]:
        model_id = _parse_cell(path, line, "model", _parse_key, cells[0])
        if seen.setdefault(model_id, line) != line:
            raise StudyError(
                f"{path} lines {seen[model_id]} and {line}: model {model_id} is listed twice;"
                f" {_repair('comparison')}"
            )
        for (metric, statistic), text in zip(columns, cells[1:], strict=True):
            value = _parse_cell(path, line, f"{metric} {statistic}", _parse_number, text)
            rows.append(
                {"model_id": model_id, "metric": metric, "statistic": statistic, "value": value}
            )
    if not rows:
        raise StudyError(f"{path} has a header and no row; {_repair('comparison')}")
    return rows


def _read_comparison_header(
    path: str | Path, lines: Sequence[tuple[int, list[str]]]
) -> list[tuple[str, str]]:
    """Metric and statistic of each value column."""
    header = [[cell.strip() for cell in cells] for _, cells in lines[:3]]
    is_header = (
        len(header) == 3
        and all(len(cells) == len(header[0]) > 1 for cells in header)
        and not header[0][0]
        and not header[1][0]
        and _name_column(header[2][0]) == "model"
        and not any(header[2][1:])
    )
    if not is_header:
        raise StudyError(
            f"{path} is no {_FILES['comparison']}: expected three header lines (metrics,"
            f" statistics, the word model), found {' | '.join(_join(cells) for cells in header)};"
            f" {_repair('comparison')}"
        )
    columns = [
        (_name_column(metric), statistic)
        for metric, statistic in zip(header[0][1:], header[1][1:], strict=True)
    ]
    unknown = [name for name, _ in columns if name not in METRIC_COLUMNS]
    unknown += [name for _, name in columns if name not in _STATISTICS]
    repeated = sorted({" ".join(column) for column in columns if columns.count(column) > 1})
    if unknown or repeated:
        raise StudyError(
            f"{path}: unknown metrics or statistics: {_join(unknown)}; listed twice:"
            f" {_join(repeated)}; {_repair('comparison')}"
        )
    return columns


def _read_table(
    path: str | Path, kind: str, known: Collection[str], required: Sequence[str]
) -> _Table:
    """Read a CSV of one header line and find its columns."""
    lines = _read_lines(path)
    _check_rectangular(path, lines)
    (_, header), *rows = lines
    positions: dict[str, int] = {}
    repeated, unknown = [], []
    for position, cell in enumerate(header):
        name = _name_column(cell)
        if not name and not any(cells[position].strip() for _, cells in rows):
            continue
        if name in positions:
            repeated.append(name)
        elif name not in known:
            unknown.append(name or f"(column {position + 1}, which has no name)")
        positions.setdefault(name, position)
    missing = [name for name in required if name not in positions]
    superseded = [name for name in unknown if kind == "results" and name in _SUPERSEDED]
    unknown = [name for name in unknown if name not in superseded]
    if repeated or missing or unknown:
        raise StudyError(_describe_columns(path, kind, known, missing, unknown, repeated))
    if superseded:
        logger.warning("%s: columns left out: %s", path, _join(superseded))
    if not rows:
        raise StudyError(f"{path} has a header and no row; {_repair(kind)}")
    return _Table(path, positions, rows)


def _describe_columns(
    path: str | Path,
    kind: str,
    known: Collection[str],
    missing: Sequence[str],
    unknown: Sequence[str],
    repeated: Sequence[str],
) -> str:
    hints = []
    for name in unknown:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
        hints.append(f"{name} (did you mean {near[0]}?)" if near else name)
    return (
        f"{path} does not have the columns of {_FILES[kind]}. Missing: {_join(missing)}."
        f" Unknown: {_join(hints)}. Listed twice: {_join(repeated)}. Restore, rename or delete"
        " these columns, or give the file as the generator wrote it (separated by commas)"
    )


def _build_rows(
    table: _Table, parsers: Mapping[str, Callable[[str], _Cell]], label: str
) -> list[dict[str, Any]]:
    """One dict per row, the file's names replaced by this project's."""
    columns: dict[str, Sequence[_Cell]] = {
        "label": [label] * len(table.rows),
        "row_number": range(len(table.rows)),
    }
    for name, parse in parsers.items():
        position = table.positions.get(name)
        columns[_RENAMED.get(name, name)] = [
            None if position is None else _parse_cell(table.path, line, name, parse, row[position])
            for line, row in table.rows
        ]
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _check_rectangular(path: str | Path, lines: Sequence[tuple[int, list[str]]]) -> None:
    (_, header), *rows = lines
    for line, cells in rows:
        if len(cells) != len(header):
            raise StudyError(
                f"{path} line {line} has {len(cells)} cells; expected {len(header)}, as its header"
                " has; restore the line, or give the file as the generator wrote it"
            )


def _check_unique(table: _Table, rows: Sequence[dict[str, Any]]) -> None:
    first: dict[tuple[str, str], int] = {}
    repeats = []
    for (line, _), row in zip(table.rows, rows, strict=True):
        key = row["model_id"], row["image_id"]
        if first.setdefault(key, line) != line:
            repeats.append(f"{' '.join(key)} in lines {first[key]} and {line}")
    if repeats:
        more = f" and {len(repeats) - 5} more" if len(repeats) > 5 else ""
        raise StudyError(
            f"{table.path} lists a model x image twice: {_join(repeats[:5])}{more}; keep one line"
            " of each (the generator's append mode writes an image again)"
        )


def _read_lines(path: str | Path, count: int | None = None) -> list[tuple[int, list[str]]]:
    """Lines that are not blank, each with the number of its first physical line; or the first."""
    rows = read_rows(path, _find_encoding(path), MAX_CELLS, _find_separator)
    lines = list(itertools.islice(rows, count))
    if not lines:
        raise StudyError(f"{path} is empty; give a {', a '.join(_FILES.values())}")
    return lines


def _find_separator(line: str) -> str | None:
    match = _SEPARATOR_LINE.match(line)
    return match[1] if match else None


def _find_encoding(path: str | Path) -> str:
    """Tell UTF-8 from Shift-JIS, where the first character beyond ASCII is not UTF-8.

    Notes
    -----
    Damaged UTF-8 may be valid Shift-JIS: a file that begins as UTF-8 is not read as such.
    """
    repair = "save it again as CSV UTF-8, or give the file as the generator wrote it"
    with open_table(path) as stream:
        position, is_ascii = _find_damage(stream, "utf-8", path, repair)
    if position is None:
        return "utf-8-sig"
    if not is_ascii:
        raise StudyError(
            f"{path} is damaged: it begins as UTF-8, but byte {position} is not; {repair}"
        )
    with open_table(path) as stream:
        if _find_damage(stream, "cp932", path, repair)[0] is not None:
            raise StudyError(f"{path} is neither UTF-8 nor Shift-JIS (cp932); {repair}")
    logger.warning("%s is not UTF-8: read as Shift-JIS (cp932)", path)
    return "cp932"


def _find_damage(
    stream: BinaryIO, encoding: str, path: str | Path, repair: str
) -> tuple[int | None, bool]:
    """First byte that an encoding does not have, None where all is; whether before is ASCII."""
    decoder = codecs.getincrementaldecoder(encoding)()
    read, is_ascii = 0, True
    while True:
        chunk = stream.read(1 << 16)
        if b"\0" in chunk:
            raise StudyError(f"{path} holds NUL characters, as UTF-16 does; {repair}")
        held = decoder.getstate()[0]
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            before = (held + chunk)[: error.start]
            return read - len(held) + error.start, is_ascii and before.isascii()
        if not chunk:
            return None, is_ascii
        read, is_ascii = read + len(chunk), is_ascii and chunk.isascii()


def _name_column(cell: str) -> str:
    return _ALIASES.get(cell.strip(), cell.strip())


def _join(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _repair(kind: str) -> str:
    return f"give {_FILES[kind]} as the generator wrote it"


def _parse_cell(path: str | Path, line: int, name: str, parse: Callable[[str], V], text: str) -> V:
    try:
        return parse(text)
    except ValueError as error:
        raise StudyError(
            f"{path} line {line}, column {name}: expected {error}, found {text!r}; correct the"
            " cell, or give the file as the generator wrote it"
        ) from None


def _parse_key(text: str) -> str:
    if not text.strip():
        raise ValueError("a name")
    return text


def _parse_text(text: str) -> str | None:
    return text or None


def _parse_verbatim(text: str) -> str:
    return text


def _parse_number(text: str) -> float | None:
    text = text.strip()
    if text.lower() in _MISSING:
        return None
    if not _NUMBER.fullmatch(text):
        raise ValueError("a number with a decimal point, None, N/A, NaN, inf or nothing")
    value = float(text)
    if math.isfinite(value) and abs(value) > MAX_NUMBER:
        raise ValueError(f"a number of at most {MAX_NUMBER:g}")
    return value if math.isfinite(value) else None


def _parse_count(text: str) -> int | None:
    value = _parse_number(text)
    if value is None:
        return None
    if value < 0 or not value.is_integer() or value >= 2**31:
        raise ValueError("a whole number of 31 bits, or nothing")
    return int(value)


def _parse_boolean(text: str) -> bool:
    if text.strip().lower() not in ("true", "false"):
        raise ValueError("True or False")
    return text.strip().lower() == "true"


def _present(parse: Callable[[str], float | None]) -> Callable[[str], float]:
    """Refuse what `parse` reads as missing."""

    def parse_present(text: str) -> float:
        value = parse(text)
        if value is None:
            raise ValueError("a finite number")
        return value

    return parse_present


_RESULT_PARSERS: dict[str, Callable[[str], _Cell]] = {
    "model": _parse_key,
    "image_id": _parse_key,
    "original_path": _parse_text,
    "upscaled_path": _parse_text,
    "original_width": _parse_count,
    "original_height": _parse_count,
    "original_format": _parse_text,
    "upscaled_width": _parse_count,
    "upscaled_height": _parse_count,
    "upscaled_format": _parse_text,
    **dict.fromkeys(METRIC_COLUMNS, _parse_number),
    "detection_count": _parse_count,
    "detected_patterns": _parse_verbatim,
    "confidence_level": _parse_text,
}
_LOCATION_PARSERS: dict[str, Callable[[str], _Cell]] = {
    "model": _parse_key,
    "image_id": _parse_key,
    "min_ssim_value": _present(_parse_number),
    "min_row": _present(_parse_count),
    "min_col": _present(_parse_count),
    "total_rows": _present(_parse_count),
    "total_cols": _present(_parse_count),
    "distance_to_boundary": _present(_parse_count),
    "normalized_distance": _present(_parse_number),
    "is_boundary": _parse_boolean,
}
