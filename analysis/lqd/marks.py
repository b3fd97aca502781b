"""Blocks of an image beyond a limit of one number, and what is known of that limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Required, TypedDict

import numpy as np

from upscale_audit.analysis.lqd.scene import check_name
from upscale_audit.analysis.marts import Marts, quote_text
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study


READINGS = {"value": "{}", "negated": "-({})", "absolute": "abs({})"}
DERIVED = {"d_variance_dn2": "variance_dn2_{path} - variance_dn2_reference"}
"""Detectors that are no column of `fct_blocks` by themselves."""
TOLERANCE = 1e-12


class MarkRule(TypedDict, total=False):
    """By what blocks are marked, as `read_marks` takes it."""

    detector: Required[str]
    reading: str | None
    limit: float | None
    level: float | None


@dataclass(frozen=True, eq=False)
class Marks:
    """The blocks of an image beyond a limit.

    Attributes
    ----------
    detector, reading : str
        As of `mart_detectors`.
    limit : float
        In the detector's unit, as read.
    is_beyond : (R, C) bool array
        Of each 8 px block; False where its value is NULL.
    value_count : int
        Blocks that have a value.
    measured : dict or None
        The row of `mart_measured_limits` of this limit, or of the next lower one that was measured,
        beyond which lies as much or more; None where there is none.
    """

    detector: str
    reading: str
    limit: float
    is_beyond: npt.NDArray[np.bool_]
    value_count: int
    measured: dict[str, Any] | None = None


def read_marks(
    study: Study,
    image_id: str,
    model_id: str,
    inference_path: str,
    detector: str,
    reading: str | None = None,
    limit: float | None = None,
    level: float | None = None,
) -> Marks:
    """Read which blocks of an image lie beyond a limit.

    Parameters
    ----------
    study : ingest.study.Study
        Built.
    image_id, model_id, inference_path : str
    detector : str
    reading : {"value", "negated", "absolute"}, optional
        By default the only one in which the limits of the detector were measured, else its value.
    limit : float, optional
        As read; or
    level : float, optional
        A rate of false alarms, 0..1, whose limit is looked up.

    Returns
    -------
    Marks

    Raises
    ------
    StudyError
        No warehouse, no such number, or no limit of that rate is known.
    """
    if (limit is None) == (level is None):
        raise StudyError("--detector needs one of --limit and --false-alarms")
    with Marts(study.warehouse) as marts:
        value = _spell_value(marts, study, detector, inference_path)
        limits = _read_limits(marts, model_id, inference_path, detector)
        if reading is None:
            known = sorted({row["reading"] for row in limits})
            reading = known[0] if len(known) == 1 else "value"
        limits = [row for row in limits if row["reading"] == reading]
        chosen = _choose(limits, limit, level)
        if limit is None:
            if chosen is None:
                raise _say_unknown(study, detector, reading, level, limits)
            limit = chosen["limit_score"]
        blocks = marts.frame(
            "select block_row, block_col,"
            f" cast({READINGS[reading].format(value)} as double) as value from fct_blocks"
            f" where model_id = {quote_text(model_id)} and image_id = {quote_text(image_id)}"
            " order by block_row, block_col"
        )
    if blocks.is_empty():
        raise StudyError(
            f"{study.warehouse} has no block of {image_id!r} under {model_id}: run upscale-audit"
            " ingest and build"
        )
    row, col = blocks["block_row"].to_numpy(), blocks["block_col"].to_numpy()
    is_beyond = np.zeros((row.max() + 1, col.max() + 1), bool)
    is_beyond[row, col] = (blocks["value"] > limit).fill_null(False).to_numpy()
    count = blocks["value"].drop_nulls().len()
    return Marks(detector, reading, limit, is_beyond, count, chosen)


def _spell_value(marts: Marts, study: Study, detector: str, inference_path: str) -> str:
    """Spell a detector's value as SQL of `fct_blocks`; only names of its columns get there."""
    ending = f"_{inference_path}"
    columns = marts.rows(
        "select column_name as name from duckdb_columns() where table_name = 'fct_blocks'"
        " and data_type not in ('BOOLEAN', 'VARCHAR') order by column_name"
    )
    named = {row["name"].removesuffix(ending): row["name"] for row in columns}
    known = {stem: f'"{name}"' for stem, name in named.items() if name.endswith(ending)}
    known |= {name: sql.format(path=inference_path) for name, sql in DERIVED.items()}
    check_name("number of a block", detector, sorted(known), study)
    return known[detector]


def _read_limits(
    marts: Marts, model_id: str, inference_path: str, detector: str
) -> list[dict[str, Any]]:
    """Read what was measured of a detector's limits: carried to this study, or found in it."""
    of_model = (
        f"where model_id = {quote_text(model_id)} and inference_path = {quote_text(inference_path)}"
        f" and detector = {quote_text(detector)} and level_ratio is not null"
    )
    carried = marts.rows(
        f"select * from mart_measured_limits {of_model} order by reading, level_ratio"
    )
    return carried or marts.rows(
        "select reading, level_ratio, limit_score, sham_count, alarm_count, false_alarm_ratio,"
        " false_alarm_low_ratio, false_alarm_high_ratio, kind, contrast_dn, drawn_count,"
        " found_count, (select study_name from dim_study) as measured_in from mart_detector_limits"
        f" {of_model} and arm = 'auditor' and signal_part = 'full' and kind = 'nodule_16'"
        " and contrast_dn = 8 order by reading, level_ratio"
    )


def _choose(
    limits: Sequence[dict[str, Any]], limit: float | None, level: float | None
) -> dict[str, Any] | None:
    """Choose the row of a level, or the one whose limit is nearest below; None where none is."""
    if limit is None:
        found = [row for row in limits if abs(row["level_ratio"] - level) <= TOLERANCE]
        return found[0] if found else None
    below = [row for row in limits if row["limit_score"] <= limit]
    return max(below, key=lambda row: (row["limit_score"], -row["level_ratio"]), default=None)


def _say_unknown(
    study: Study, detector: str, reading: str, level: float | None, limits: Sequence[dict[str, Any]]
) -> StudyError:
    levels = ", ".join(f"{row['level_ratio']:g}" for row in limits)
    if levels:
        return StudyError(
            f"no limit of {detector} ({reading}) is known at false alarms of {level:g}; expected"
            f" one of {levels}, or --limit"
        )
    return StudyError(
        f"no limit of {detector} ({reading}) was measured for this model: name a file of"
        f" upscale-audit detectors in {study.path}, [study] detectors, and build; or give --limit"
    )
