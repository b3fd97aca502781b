"""Exports in the form of the published generator's own files, for whoever reads those.

Formats as in the author's public repository; definitions B.2, C.1 and D.1. Rule set `v2_current`,
thresholds pooled over the rows of a file, as its program does.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.files import sync
from upscale_audit.ingest.published import METRIC_COLUMNS
from upscale_audit.warehouse.connect import quote_name, quote_text

if TYPE_CHECKING:
    import duckdb


LANGUAGES = ("published", "en", "ja")
RESULTS = "results_with_26pattern_detection.csv"
SUMMARY = "pattern_detection_summary.csv"
THRESHOLDS = "recommended_thresholds.json"
LFV_SUMMARY = "lfv_proof_summary.csv"
LFV_LOCATIONS = "lfv_spatial_analysis.csv"

SIZE_COLUMNS = (
    "original_width",
    "original_height",
    "original_format",
    "upscaled_width",
    "upscaled_height",
    "upscaled_format",
)
_LABELS = {
    "published": "detected_patterns",
    "en": "detected_patterns_en",
    "ja": "detected_patterns_ja",
}
_RULE_SET, _POPULATION = "v2_current", "pooled"

# Columns and joins that give a row its files.
_MEASURED_FILES = (
    "originals.file_name as original_path, restored.file_name as upscaled_path,"
    " originals.width_px as original_width, originals.height_px as original_height,"
    r" regexp_extract(originals.file_name, '\.([^.]+)$', 1) as original_format,"
    # As the generator writes them: after it brought the image to the reference's size.
    " case when restored.size_rule is null then restored.width_px else originals.width_px end"
    " as upscaled_width,"
    " case when restored.size_rule is null then restored.height_px else originals.height_px end"
    " as upscaled_height,"
    r" regexp_extract(restored.file_name, '\.([^.]+)$', 1) as upscaled_format"
)
_MEASURED_JOINS = (
    "left join dim_source_files as originals"
    " on originals.role = 'reference' and quality.image_id = originals.image_id"
    " left join dim_source_files as restored on restored.role = 'restored'"
    " and quality.image_id = restored.image_id and quality.model_id = restored.model_id"
    " and quality.inference_path = restored.inference_path"
)
_FILES = {
    "notta": _MEASURED_FILES,
    "tta": _MEASURED_FILES,
    "unstated": (
        "files.original_path, files.upscaled_path, files.original_width_px as original_width,"
        " files.original_height_px as original_height, files.original_format,"
        " files.upscaled_width_px as upscaled_width, files.upscaled_height_px as upscaled_height,"
        " files.upscaled_format"
    ),
}
_FILE_JOINS = {
    "notta": _MEASURED_JOINS,
    "tta": _MEASURED_JOINS,
    "unstated": (
        "left join dim_published_rows as files on quality.source_id = files.source_id"
        " and quality.row_number = files.row_number"
    ),
}

_FORMULA = re.compile(r"'*[=+@\t\r-]")
"""How a text begins that a spreadsheet runs, or that `write_as_text` has made harmless."""

_NO_LOCATION = "N/A"
# The published column, and ours.
_LFV_SUMMARY_COLUMNS = {
    "correlation_texture_localmin": "correlation_texture_localmin",
    "correlation_p_value": "correlation_p_value",
    "lfv_threshold_25th": "lfv_threshold_25th",
    "lfv_cases_count": "lfv_cases_count",
    "lfv_cases_percentage": "lfv_cases_pct",
    "texture_dependency_strength": "texture_dependency_strength",
    "boundary_bias_index": "boundary_bias_index",
    "boundary_p_value": "boundary_p_value",
    "spatial_dependency_strength": "spatial_dependency_strength",
}
_LFV_LOCATED_COLUMNS = ("boundary_bias_index", "boundary_p_value")
_LFV_LOCATION_COLUMNS = {
    "image_id": "lfv.image_id",
    "model": "lfv.model_id",
    "min_ssim_value": (
        "case when lfv.source_id = 'images' then round(lfv.local_ssim_min, 4)"
        " else lfv.local_ssim_min end"
    ),
    "min_row": "lfv.min_row",
    "min_col": "lfv.min_col",
    "total_rows": "lfv.block_rows",
    "total_cols": "lfv.block_cols",
    "distance_to_boundary": "lfv.distance_blocks",
    "normalized_distance": "lfv.normalized_distance",
    "is_boundary": "lfv.is_boundary",
}

# Which quantile is recommended, and how the condition is written around it.
_HIGHER, _LOWER, _REFERENCE = (0.25, ">= {:.4f}"), (0.75, "<= {:.4f}"), (0.5, None)
_RECOMMENDED = {
    "ssim": (_HIGHER, "SSIM (Structural Similarity)", "SSIM（構造類似性）"),
    "ms_ssim": (_HIGHER, "MS-SSIM (Multi-Scale SSIM)", "MS-SSIM（マルチスケールSSIM）"),
    "psnr": (_HIGHER, "PSNR (Peak Signal-to-Noise Ratio)", "PSNR（信号対雑音比）"),
    "lpips": (_LOWER, "LPIPS (Perceptual Similarity)", "LPIPS（知覚的類似度）"),
    "sharpness": (_HIGHER, "Sharpness", "シャープネス"),
    "contrast": (_HIGHER, "Contrast", "コントラスト"),
    "entropy": (_HIGHER, "Entropy (Information Content)", "エントロピー（情報量）"),
    "noise": (_LOWER, "Noise Level", "ノイズレベル"),
    "edge_density": (_HIGHER, "Edge Density", "エッジ密度"),
    "artifact_total": (_LOWER, "Artifacts", "アーティファクト"),
    "delta_e": (_LOWER, "Color Difference (ΔE)", "色差（ΔE）"),
    "high_freq_ratio": (_HIGHER, "High Frequency Ratio", "高周波成分比率"),
    "texture_complexity": (_HIGHER, "Texture Complexity", "テクスチャ複雑度"),
    "local_quality_mean": (_HIGHER, "Local Quality Mean", "局所品質平均"),
    "histogram_corr": (_HIGHER, "Histogram Correlation", "ヒストグラム相関"),
    "lab_L_mean": (_REFERENCE, "LAB Lightness (Reference)", "LAB明度（参考値）"),
}
_REFERENCE_CONDITION = {"en": "Reference: {:.4f}", "ja": "参考値: {:.4f}"}


def write_published_form(
    connection: duckdb.DuckDBPyConnection, folder: Path, language: str = "published"
) -> list[Path]:
    """Write the results, summary, thresholds and LFV proof of each source as its own files.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        A published warehouse.
    folder : Path
        Receives one folder per source: the label of a published results file;
        ``images_notta`` and ``images_tta`` for measured images, since the published file has
        no column for the inference path and pools what it lists.
    language : {"published", "en", "ja"}
        Of the pattern labels: as the rule set's program writes them, this project's English,
        or Japanese. The names in the thresholds are English, or Japanese for "ja".

    Returns
    -------
    list of Path
        The files of each source: `RESULTS`, `SUMMARY` and `THRESHOLDS` where it has results,
        `LFV_SUMMARY`, and `LFV_LOCATIONS` where the worst block of an LFV image has a known
        place.

    Raises
    ------
    ValueError
        `language` is none of the three.

    Notes
    -----
    Rows keep the source's own order. A float is Python's shortest repr, as pandas writes it;
    a missing value is an empty cell, and null in JSON. The six size columns are there exactly
    when the source has a size. A row for which no rule could be evaluated has empty flags, and
    a pattern that could be evaluated in no row has an empty count and rate: the published
    program would say 0 of both.

    The LFV files hold the published statistics, flaws included (definitions D): what mends them
    is in `mart_lfv_proof`. Without a place they say ``N/A``, as published; a correlation that
    is not defined is an empty cell. Of measured images they come from 8 px blocks at six
    decimals, and ``min_ssim_value`` is rounded to the published four.

    No text runs as a formula in a spreadsheet: one that begins with ``=``, ``+``, ``-``, ``@``, a
    tab or a carriage return, as an image named ``=1+1`` does, gets an apostrophe before it
    (`write_as_text`). Numbers and all other texts are as they are.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language = {language!r}; expected one of {', '.join(LANGUAGES)}")
    files = []
    for source in _list_sources(connection):
        place = folder / name_folder(*source)
        place.mkdir(parents=True, exist_ok=True)
        if rows := _read_rows(connection, *source, language):
            counts = _count_patterns(connection, *source)
            files += [
                _write_csv(place / RESULTS, *_lay_out_results(rows)),
                _write_csv(place / SUMMARY, *_lay_out_summary(counts)),
                _write_json(place / THRESHOLDS, recommend_thresholds(rows, language)),
            ]
        # Unlike the files above, these two are published without a byte order mark.
        if proof := _read_proof(connection, *source):
            columns = list(_LFV_SUMMARY_COLUMNS)
            files.append(_write_csv(place / LFV_SUMMARY, columns, proof, "utf-8"))
        if located := _read_locations(connection, *source):
            columns = list(_LFV_LOCATION_COLUMNS)
            files.append(_write_csv(place / LFV_LOCATIONS, columns, located, "utf-8"))
    return files


def name_folder(source_id: str, inference_path: str) -> str:
    """Name a source's folder: its label, or ``images_notta`` and ``images_tta``."""
    return source_id if inference_path == "unstated" else f"{source_id}_{inference_path}"


def recommend_thresholds(
    rows: Sequence[dict[str, Any]], language: str = "published"
) -> dict[str, dict[str, Any]]:
    """Describe each metric and the quantile that the published program recommends.

    Parameters
    ----------
    rows : sequence of dict
        Metric values by name; None where missing.
    language : {"published", "en", "ja"}

    Returns
    -------
    dict of str to dict
        name, threshold (linear quantile: 0.25 where higher is better, 0.75 where lower is,
        the median of `lab_L_mean`), condition, mean, std (N - 1), min, max, in the metric's
        unit. None where there is no value, and std also where there is only one.
    """
    is_japanese = language == "ja"
    described = {}
    for metric, ((level, condition), english, japanese) in _RECOMMENDED.items():
        values = np.array([row[metric] for row in rows if row[metric] is not None], dtype=float)
        condition = condition or _REFERENCE_CONDITION["ja" if is_japanese else "en"]
        threshold = float(np.quantile(values, level)) if values.size else None
        described[metric] = {
            "name": japanese if is_japanese else english,
            "threshold": threshold,
            "condition": None if threshold is None else condition.format(threshold),
            "mean": float(values.mean()) if values.size else None,
            "std": float(values.std(ddof=1)) if values.size > 1 else None,
            "min": float(values.min()) if values.size else None,
            "max": float(values.max()) if values.size else None,
        }
    return described


def _list_sources(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    return connection.sql(
        "select source_id, inference_path from fct_image_quality"
        " union select source_id, inference_path from mart_lfv_images"
        " order by source_id, inference_path"
    ).fetchall()


def _read_rows(
    connection: duckdb.DuckDBPyConnection, source_id: str, inference_path: str, language: str
) -> list[dict[str, Any]]:
    """Rows of a results file as dicts, keyed by its columns and in its order."""
    known = {name for (name, *_) in connection.sql("describe fct_image_quality").fetchall()}
    metrics = ", ".join(
        f"quality.{quote_name(f'{name}_rounded' if f'{name}_rounded' in known else name)}"
        f" as {quote_name(name)}"
        for name in METRIC_COLUMNS
    )
    cursor = connection.execute(
        f"select quality.image_id, quality.model_id as model, {_FILES[inference_path]},"
        f" {metrics}, verdicts.detection_count,"
        f" verdicts.{_LABELS[language]} as detected_patterns,"
        " verdicts.confidence as confidence_level"
        " from fct_image_quality as quality"
        " left join fct_verdicts as verdicts"
        f" on verdicts.rule_set = {quote_text(_RULE_SET)}"
        f" and verdicts.population = {quote_text(_POPULATION)}"
        " and quality.source_id = verdicts.source_id"
        " and quality.model_id = verdicts.model_id"
        " and quality.inference_path = verdicts.inference_path"
        " and quality.image_id = verdicts.image_id"
        f" {_FILE_JOINS[inference_path]}"
        " where quality.source_id = ? and quality.inference_path = ?"
        " order by quality.row_number",
        [source_id, inference_path],
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _count_patterns(
    connection: duckdb.DuckDBPyConnection, source_id: str, inference_path: str
) -> list[tuple[str, int, int, int]]:
    """Rule, flagged and evaluated rows, all rows; of the nine patterns in order."""
    return connection.execute(
        "select rules.rule_id, count(*) filter (where flags.is_flagged),"
        " count(flags.is_flagged), count(*)"
        " from fct_rule_flags as flags inner join dim_rules as rules"
        " on flags.rule_set = rules.rule_set and flags.rule_id = rules.rule_id"
        " where flags.rule_set = ? and flags.population = ? and flags.source_id = ?"
        " and flags.inference_path = ? and rules.family = 'pattern'"
        " group by rules.rule_id, rules.rule_number order by rules.rule_number",
        [_RULE_SET, _POPULATION, source_id, inference_path],
    ).fetchall()


def _read_proof(
    connection: duckdb.DuckDBPyConnection, source_id: str, inference_path: str
) -> list[list[float | str]]:
    """Read the published statistics of all models together: one row, or none."""
    rows = connection.execute(
        f"select {', '.join(_LFV_SUMMARY_COLUMNS.values())} from mart_lfv_proof"
        " where population = 'pooled' and source_id = ? and inference_path = ?",
        [source_id, inference_path],
    ).fetchall()
    return [
        [
            _NO_LOCATION if value is None and name in _LFV_LOCATED_COLUMNS else value
            for name, value in zip(_LFV_SUMMARY_COLUMNS, row, strict=True)
        ]
        for row in rows
    ]


def _read_locations(
    connection: duckdb.DuckDBPyConnection, source_id: str, inference_path: str
) -> list[tuple[float | str, ...]]:
    """Read LFV images with a known worst block, in the order of the results."""
    return connection.execute(
        f"select {', '.join(_LFV_LOCATION_COLUMNS.values())}"
        " from mart_lfv_images as lfv left join fct_image_quality as quality"
        " on lfv.source_id = quality.source_id and lfv.model_id = quality.model_id"
        " and lfv.inference_path = quality.inference_path and lfv.image_id = quality.image_id"
        " where lfv.is_lfv and lfv.min_row is not null"
        " and lfv.source_id = ? and lfv.inference_path = ?"
        " order by quality.row_number nulls last, lfv.image_id, lfv.model_id",
        [source_id, inference_path],
    ).fetchall()


def _lay_out_results(
    rows: Sequence[dict[str, Any]],
) -> tuple[list[str], list[list[float | str | None]]]:
    has_sizes = any(row[name] is not None for row in rows for name in SIZE_COLUMNS)
    header = [name for name in rows[0] if has_sizes or name not in SIZE_COLUMNS]
    return header, [[row[name] for name in header] for row in rows]


def _lay_out_summary(
    counts: Sequence[tuple[str, int, int, int]],
) -> tuple[list[str], list[list[float | str | None]]]:
    header = ["pattern_name", "detection_count", "detection_rate_%"]
    return header, [
        [rule_id, flagged, flagged / total * 100] if evaluated else [rule_id, None, None]
        for rule_id, flagged, evaluated, total in counts
    ]


def _write_csv(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[float | str | None]],
    encoding: str = "utf-8-sig",
) -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([write_as_text(cell) for cell in row] for row in rows)
    sync(path)
    return path


def write_as_text(cell: float | str | None) -> float | str | None:
    """Keep a spreadsheet from taking a text for a formula.

    Parameters
    ----------
    cell : str, float, int, bool or None

    Returns
    -------
    str, float, int, bool or None
        A text that begins as a formula does, with one apostrophe more; so does one that apostrophes
        and such a beginning make, so that taking one away gives every text back. All else as it is.
    """
    if isinstance(cell, str) and _FORMULA.match(cell):
        return f"'{cell}"
    return cell


def _write_json(path: Path, value: Any) -> Path:
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text, encoding="utf-8")
    sync(path)
    return path
