"""How often the interval of an area under the ROC curve by patient holds the truth.

Scores of places are simulated, and the SQL of `mart_detectors` makes areas and intervals of them:
it is the mart's own, rendered, over a table of scores in place of a study's.
"""

import math
from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl
from scipy import stats

from tests.calibration.shares import COVERAGE_PCT, format_share
from tests.macros import make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_detector_clusters": "intermediate/phantoms/int_detector_clusters.sql",
    "int_detector_limits": "intermediate/phantoms/int_detector_limits.sql",
    "mart_detectors": "marts/phantoms/mart_detectors.sql",
}
MACROS = ("constants", "special_functions", "cluster_unit", "phantoms", "roc")
PATIENTS, AREAS = (10, 15, 30, 100), (0.7, 0.9, 0.98)
SHAMS, DRAWN = 16, (1, 3)
"""Places of a patient: without anything, and (as many as either) with something drawn."""
PATIENT_SD, DRAWN_SD = 0.7, 0.4
"""Spread between patients of all places, and of what is drawn besides; of a place it is 1."""
STUDIES = 500

HEAD = f"""## Areas under the ROC curve by patient: share of intervals that hold the truth, in %

Simulated scores of {SHAMS} places without anything and {DRAWN[0]} to {DRAWN[1]} with something
for each patient go through the SQL of mart_detectors, {{studies}} studies of each size and area:
normal, of spread 1 between a patient's places and {PATIENT_SD:g} between patients, and {DRAWN_SD:g}
more between patients where something is. The truth is the area of places of different patients; an
estimate also counts pairs within one. Where all is found there is no interval, and n is smaller.
"""


@dataclass(frozen=True)
class Coverage:
    """Of simulated studies of one size and area, how many intervals there are and hold the truth.

    Attributes
    ----------
    patients : int
    area : float
        Of a place drawn at and a sham of different patients.
    studies, bounded, hits : int
        Simulated; with an interval; of these, around the truth.
    """

    patients: int
    area: float
    studies: int
    bounded: int
    hits: int


def count_areas(studies=STUDIES):
    """Simulate studies of every size and area, and count.

    Parameters
    ----------
    studies : int
        Of each.

    Returns
    -------
    list of Coverage
    """
    counts = []
    for patients in PATIENTS:
        found = estimate_areas(simulate_scores(patients, studies))
        for area in AREAS:
            rows = [row for row in found if row["kind"] == name_area(area)]
            bounded = [row for row in rows if row["auc_low"] is not None]
            hits = sum(row["auc_low"] <= area <= row["auc_high"] for row in bounded)
            counts.append(Coverage(patients, area, len(rows), len(bounded), hits))
    return counts


def name_area(area):
    """Name the kind of thing that is found with an area."""
    return f"area_{area:g}"


def simulate_scores(patients, studies):
    """Simulate the scores of places, as rows of `int_drawn_scores`.

    Parameters
    ----------
    patients, studies : int

    Returns
    -------
    polars.DataFrame
    """
    parts = []
    for area in AREAS:
        generator = np.random.default_rng([patients, round(1000 * area)])
        spread = math.sqrt(2 * PATIENT_SD**2 + DRAWN_SD**2 + 2)
        shift = spread * stats.norm.ppf(area)
        drawn = generator.integers(*DRAWN, endpoint=True, size=(studies, patients))
        for arm, most, is_there in (
            ("sham", SHAMS, np.full((studies, patients, SHAMS), True)),
            ("auditor", DRAWN[1], np.arange(DRAWN[1]) < drawn[..., None]),
        ):
            if arm == "sham":
                of_patient = generator.normal(0, PATIENT_SD, (studies, patients, 1))
            scores = of_patient + generator.normal(0, 1, (studies, patients, most))
            if arm == "auditor":
                scores += shift + generator.normal(0, DRAWN_SD, (studies, patients, 1))
            study, patient, _ = np.nonzero(is_there)
            parts.append(
                pl.DataFrame(
                    {"study": study, "patient": patient, "score": scores[is_there]}
                ).with_columns(arm=pl.lit(arm), kind=pl.lit(name_area(area)))
            )
    return pl.concat(parts)


def estimate_areas(scores):
    """Let the SQL of the mart estimate areas and intervals.

    Parameters
    ----------
    scores : polars.DataFrame
        As `simulate_scores` gives them.

    Returns
    -------
    list of dict
        Rows of `mart_detectors`.
    """
    render = make_renderer(SQL, MACROS)
    with duckdb.connect() as connection:
        connection.register("scores", scores)
        connection.execute(
            "create table int_drawn_scores as select 's' || study as model_id,"
            " 'notta' as inference_path, arm, kind, 'full' as signal_part,"
            " cast(case arm when 'sham' then 0 else 8 end as integer) as contrast_dn,"
            " 'd' as detector, 'value' as reading, 'p' || patient as cluster_id,"
            " 'patient' as cluster_unit, score from scores"
        )
        connection.execute(
            "create table int_clusters as select cluster_id from int_drawn_scores group by all"
        )
        for name in SQL:
            connection.execute(f"create table {name} as {render(name)}")
        return connection.sql("select * from mart_detectors").pl().to_dicts()


def format_areas(counts):
    """Format the section of the page.

    Parameters
    ----------
    counts : list of Coverage

    Returns
    -------
    str
    """
    lines = [
        HEAD.format(studies=counts[0].studies),
        "| area | " + " | ".join(f"{patients} patients" for patients in PATIENTS) + " |",
        "|---|" + "---:|" * len(PATIENTS),
    ]
    for area in AREAS:
        own = [count for count in counts if count.area == area]
        lines.append(f"| {area:g} | " + " | ".join(map(_format_count, own)) + " |")
    return "\n".join(lines) + "\n"


def _format_count(count):
    builds = [(count.hits, count.bounded)]
    return format_share(builds, COVERAGE_PCT, count.studies) or "none"
