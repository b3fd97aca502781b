"""How often the interval of `mart_signal_transfer`, a mean over patients, holds the truth.

Products of sites are simulated, and the mart's own SQL, rendered, makes means and intervals of
them.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl

from tests.calibration.shares import COVERAGE_PCT, format_share
from tests.macros import make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "mart_signal_transfer": "marts/phantoms/mart_signal_transfer.sql",
}
MACROS = ("constants", "special_functions", "cluster_unit", "fidelity")
PATIENTS = (5, 10, 15, 30, 100)
SHAPES = ("normal", "skewed")
TRUTH, PATIENT_SD, SITE_SD, SITES = 0.8, 0.08, 0.12, (1, 3)
"""Share of a signal that comes through, its spread between patients and between a patient's sites,
and how many sites a patient has, as many as either."""
STUDIES = 1000

HEAD = f"""## What comes through a restorer: share of intervals that hold the truth, in %

{SITES[0]} to {SITES[1]} sites a patient go through the SQL of mart_signal_transfer, {{studies}}
studies of each size: {TRUTH:g} on average, of spread {PATIENT_SD:g} between patients (normal, or
skewed: an exponential turned downwards, most patients above the mean) and {SITE_SD:g} between
sites.
"""


@dataclass(frozen=True)
class Coverage:
    """How many intervals hold the truth, of simulated studies of one size and shape."""

    patients: int
    shape: str
    studies: int
    hits: int


def count_transfers(studies=STUDIES):
    """Simulate studies of every size and shape, and count.

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
        for shape in SHAPES:
            found = estimate_transfers(simulate_transfers(patients, shape, studies))
            hits = sum(row["transfer_low"] <= TRUTH <= row["transfer_high"] for row in found)
            counts.append(Coverage(patients, shape, len(found), hits))
    return counts


def simulate_transfers(patients, shape, studies):
    """Simulate what comes through at each site.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies : int

    Returns
    -------
    polars.DataFrame
        ``study``, ``patient``, ``site``, ``transfer``.
    """
    generator = np.random.default_rng([patients, SHAPES.index(shape)])
    size = (studies, patients, 1)
    if shape == "normal":
        of_patient = generator.normal(0, PATIENT_SD, size)
    else:
        of_patient = PATIENT_SD * (1 - generator.exponential(1, size))
    values = TRUTH + of_patient + generator.normal(0, SITE_SD, (studies, patients, SITES[1]))
    count = generator.integers(*SITES, endpoint=True, size=(studies, patients))
    is_there = np.arange(SITES[1]) < count[..., None]
    study, patient, site = np.nonzero(is_there)
    return pl.DataFrame(
        {"study": study, "patient": patient, "site": site, "transfer": values[is_there]}
    )


def estimate_transfers(sites):
    """Let the SQL of the mart make means and intervals.

    Parameters
    ----------
    sites : polars.DataFrame
        As `simulate_transfers` gives them.

    Returns
    -------
    list of dict
        Rows of `mart_signal_transfer`.
    """
    render = make_renderer(SQL, MACROS)
    with duckdb.connect() as connection:
        connection.register("sites", sites)
        connection.execute(
            "create table stg_raw__injections as select 's' || study as model_id,"
            " 'notta' as inference_path, 'wire' as kind, 'full' as signal_part,"
            " 8 as contrast_dn, 'through' as arm, 'p' || patient as image_id,"
            " 'p' || patient as source_image_id, site as site_number,"
            " transfer as response_dn2, cast(1 as double) as energy_dn2,"
            " cast(1 as double) as range_dn2, cast(0 as double) as residue_dn2 from sites"
        )
        connection.execute(
            "create table int_clusters as select distinct image_id, image_id as cluster_id,"
            " 'patient' as cluster_unit from stg_raw__injections"
        )
        for name in SQL:
            connection.execute(f"create table {name} as {render(name)}")
        return connection.sql("select * from mart_signal_transfer").pl().to_dicts()


def format_transfers(counts):
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
        "| patients | " + " | ".join(f"{patients}" for patients in PATIENTS) + " |",
        "|---|" + "---:|" * len(PATIENTS),
    ]
    for shape in SHAPES:
        own = [count for count in counts if count.shape == shape]
        shares = (format_share([(count.hits, count.studies)], COVERAGE_PCT) for count in own)
        lines.append(f"| {shape} | " + " | ".join(shares) + " |")
    return "\n".join(lines) + "\n"
