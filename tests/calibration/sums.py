"""How often intervals of what is summed over images hold the truth: ledger, LR, tier 3.

Sums of images are simulated, and the SQL of `mart_ledger`, `mart_consistency` and
`mart_tier3_states`, rendered, makes estimates and intervals of them.
"""

from dataclasses import dataclass

import duckdb
import numpy as np
import polars as pl

from tests.calibration.rendered import IMAGES, PATIENTS, SHAPES, draw_patients
from tests.calibration.shares import COVERAGE_PCT, format_share
from tests.macros import make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_cluster_draws": "intermediate/clusters/int_cluster_draws.sql",
    "mart_ledger": "marts/axis/mart_ledger.sql",
    "int_consistency_shares": "intermediate/consistency/int_consistency_shares.sql",
    "int_tier3_shares": "intermediate/fidelity/int_tier3_shares.sql",
    "int_beta_points": "intermediate/quality/int_beta_points.sql",
    "mart_consistency": "marts/consistency/mart_consistency.sql",
    "mart_tier3_states": "marts/fidelity/mart_tier3_states.sql",
}
MACROS = (
    "constants", "special_functions", "cluster_unit", "bootstrap", "interval_end", "shares",
    "consistency", "ledger", "vocabulary", "fidelity", "block_states", "block_columns",
)  # fmt: skip
"""Files of macros that the models call."""

BASELINE, BASELINE_DN2 = "bicubic", 4.0
MEAN_DN2, BENT_RATIO = 5.0, 0.3
"""Of a squared error: its mean, and the share that the LR image decides."""
PATIENT_SD, IMAGE_SD = 0.3, 0.2
"""Spread of an image's squared error, as a share of its mean."""
SHARE, SHARE_SD = 0.1, 0.05
"""Share of blocks that are flagged, and its spread between patients."""
SILENT, SILENT_SIZE = 0.4, 10.0
"""Share of flagged blocks, of no other, that SSIM is blind to, and of its beta distribution between
patients the size."""
UNSEEN = {"invented": 0.6, "lost": 0.3, "amplified": 0.1}
"""Parts of the squared error that the LR image leaves open."""
BLOCKS, SIDE_PX, JUDGED_PX = 256, 128, 4096
"""Of an image."""
BUILDS, STUDIES = 4, 60
"""Draws of the bootstrap, and studies that share one."""


@dataclass(frozen=True)
class Question:
    """A column of a mart with its interval, and the value that the interval is to hold."""

    name: str
    mart: str
    condition: str
    estimate: str
    low: str
    high: str
    truth: float


QUESTIONS = (
    Question(
        "invented energy of mart_ledger", "mart_ledger", "kind = 'invented'",
        "energy_dn2", "energy_dn2_low", "energy_dn2_high", MEAN_DN2,
    ),
    Question(
        "the same less the baseline's", "mart_ledger", "kind = 'invented'",
        "excess_dn2", "excess_dn2_low", "excess_dn2_high", MEAN_DN2 - BASELINE_DN2,
    ),
    Question(
        "what of the error is bent, mart_consistency", "mart_consistency", "true",
        "bent_dn2", "bent_dn2_low", "bent_dn2_high", MEAN_DN2 * BENT_RATIO,
    ),
    Question(
        "what is invented, mart_consistency", "mart_consistency", "true",
        "invented_dn2", "invented_dn2_low", "invented_dn2_high",
        MEAN_DN2 * (1 - BENT_RATIO) * UNSEEN["invented"],
    ),
    Question(
        "bent, as a share of the error", "mart_consistency", "true",
        "bent_ratio", "bent_low_ratio", "bent_high_ratio", BENT_RATIO,
    ),
    Question(
        "share of contradicted blocks", "mart_consistency", "true",
        "contradicted_ratio", "contradicted_low_ratio", "contradicted_high_ratio", SHARE,
    ),
    Question(
        "share of contradicted LR pixels", "mart_consistency", "true",
        "contradicted_px_ratio", "contradicted_px_low_ratio", "contradicted_px_high_ratio",
        SHARE * BLOCKS / JUDGED_PX,
    ),
    Question(
        "share beyond a limit, mart_tier3_states", "mart_tier3_states",
        "indicator = 'axis' and zone = 'visible' and state = 'Beyond'",
        "zone_ratio", "zone_low_ratio", "zone_high_ratio", SHARE,
    ),
    *(
        Question(
            f"{name}, mart_tier3_states", "mart_tier3_states",
            "indicator = 'axis' and zone = 'visible' and state = 'Beyond'",
            f"{share}_ratio", f"{share}_low_ratio", f"{share}_high_ratio", truth,
        )
        for share, name, truth in (
            ("model", "the same of all blocks", SHARE / 2),
            ("silent", "silent blocks among them", SILENT),
            ("zone_silent", "silent blocks of the zone", SHARE * SILENT),
        )
    ),
)  # fmt: skip

HEAD = f"""## Sums over images: share of intervals that hold the truth, in %

Sums of {IMAGES[0]} to {IMAGES[1]} images a patient go through the SQL of mart_ledger,
mart_consistency and mart_tier3_states, {{studies}} studies of each size, {STUDIES} to a draw of
the bootstrap, which share their baseline. An image's squared error is {MEAN_DN2:g} dn2 on average,
of spread {PATIENT_SD:g} times that between patients (normal, or skewed: exponential) and
{IMAGE_SD:g} within; a share is {SHARE:g}, of spread {SHARE_SD:g} between patients (beta, or
exponential above half of it). Of the blocks beyond a limit {100 * SILENT:g} % are silent.
"""


@dataclass(frozen=True)
class Coverage:
    """How many intervals hold the truth, of simulated studies of one size and shape."""

    question: str
    patients: int
    shape: str
    studies: int
    hits: int


def count_sums(builds=BUILDS, studies=STUDIES):
    """Simulate studies of every size and shape, and count.

    Parameters
    ----------
    builds : int
        Draws of the bootstrap.
    studies : int
        Of each size, shape and draw.

    Returns
    -------
    list of Coverage
    """
    counts = []
    for patients in PATIENTS:
        for shape in SHAPES:
            made = [estimate_sums(patients, shape, studies, build) for build in range(builds)]
            for question in QUESTIONS:
                rows = [row for found in made for row in found[question.name]]
                hits = sum(low <= question.truth <= high for _, low, high in rows)
                counts.append(Coverage(question.name, patients, shape, len(rows), hits))
    return counts


def simulate_images(patients, shape, studies, build):
    """Simulate what is summed of each image of each study, and of the baseline's.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int

    Returns
    -------
    polars.DataFrame
        ``model_id``, ``patient``, ``image``, ``error`` and ``bent``, both in dn2 a pixel, and
        ``flagged``, of `BLOCKS`, and of these ``silent``.
    """
    generator, patient = draw_patients(patients, shape, build)
    image = np.arange(len(patient))
    parts = []
    seen = np.random.default_rng([patients, SHAPES.index(shape), build, 1])
    for study in range(-1, studies):  # the baseline first
        if shape == "normal":
            effect = generator.normal(0, 1, (2, patients))
            share = _draw_beta(generator, patients)
        else:
            effect = generator.exponential(1, (2, patients)) - 1
            share = SHARE - SHARE_SD + SHARE_SD * generator.exponential(1, patients)
        noise = generator.normal(0, IMAGE_SD, (2, len(image)))
        factor = np.maximum(0, 1 + PATIENT_SD * effect[:, patient] + noise)
        mean = BASELINE_DN2 if study < 0 else MEAN_DN2
        bent = BENT_RATIO * mean * factor[0]
        flagged = generator.binomial(BLOCKS, np.minimum(1, share)[patient])
        blind = seen.beta(SILENT * SILENT_SIZE, (1 - SILENT) * SILENT_SIZE, patients)[patient]
        parts.append(
            pl.DataFrame(
                {
                    "patient": patient,
                    "image": image,
                    "error": bent + (1 - BENT_RATIO) * mean * factor[1],
                    "bent": bent,
                    "flagged": flagged,
                    "silent": seen.binomial(flagged, blind),
                }
            ).with_columns(model_id=pl.lit(BASELINE if study < 0 else f"s{study}"))
        )
    return pl.concat(parts)


def _draw_beta(generator, patients):
    size = SHARE * (1 - SHARE) / SHARE_SD**2 - 1
    return generator.beta(SHARE * size, (1 - SHARE) * size, patients)


def estimate_sums(patients, shape, studies, build):
    """Let the SQL of the marts make estimates and intervals.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int

    Returns
    -------
    dict of str to list of tuple of float
        By question a study's estimate and its interval's ends, in the order of the studies.
    """
    values = {"min_clusters": 5, "bootstrap_replicates": 1000}
    render = make_renderer(SQL, MACROS, var=values.get)
    with duckdb.connect() as connection:
        connection.register("simulated", simulate_images(patients, shape, studies, build))
        _create_inputs(connection, build)
        for name in SQL:
            connection.execute(f"create table {name} as {render(name)}")
        return {
            question.name: connection.sql(
                f"select {question.estimate}, {question.low}, {question.high}"
                f" from {question.mart} where {question.condition}"
                f" and model_id != '{BASELINE}' order by cast(model_id[2:] as integer)"
            ).fetchall()
            for question in QUESTIONS
        }


def _create_inputs(connection, build):
    """Show what was simulated as the tables that the marts read."""
    pixels = SIDE_PX**2
    others = (
        "int_flag_counts", "int_sfrc_shares", "int_sham_shares", "int_detector_alarms",
        "int_detector_findings", "int_free_response_findings", "int_rule_shares",
        "int_reading_flips", "int_localisation_shares",
    )  # fmt: skip
    for name in others:
        connection.execute(
            f"create table {name} (effective_flagged double, effective_count double)"
        )
    connection.execute(
        f"create table stg_raw__parameters as select '{build}' as bootstrap_seed,"
        f" '{BASELINE}' as baseline_model"
    )
    connection.execute(
        "create table int_clusters as select distinct 'i' || image as image_id,"
        " 'p' || patient as cluster_id, 'patient' as cluster_unit from simulated"
    )
    connection.execute(
        "create table stg_raw__images as select image_id, cast(0 as bigint) as lr_border_px,"
        " 1 as lr_unit, 2 as lr_scale from int_clusters"
    )
    connection.execute(
        "create table int_image_ledgers as select model_id, 'i' || image as image_id,"
        f" 'notta' as inference_path, 8 as scale_px, cast({pixels} as bigint) as pixel_count,"
        " cast(1 as hugeint) as reference_energy, cast(1 as hugeint) as product,"
        f" cast(round(error * {pixels} * 4096) as hugeint) as error, error as invented,"
        " cast(0 as hugeint) as exaggerated, cast(null as hugeint) as shifted"
        f" from (select * replace (cast(round(error * {pixels} * 4096) as hugeint) as error)"
        " from simulated)"
    )
    kinds = "".join(
        f", cast({sql} as decimal(18, 6)) as {kind}_dn2"
        for kind, sql in {
            "bent": f"bent * {BLOCKS}",
            **{kind: f"{part} * (error - bent) * {BLOCKS}" for kind, part in UNSEEN.items()},
        }.items()
    )  # fmt: skip
    connection.execute(
        "create table int_image_consistency as select model_id, 'i' || image as image_id,"
        f" 'notta' as inference_path, cast({BLOCKS} as bigint) as judged_block_count,"
        " cast(flagged as bigint) as contradicted_block_count,"
        f" cast({JUDGED_PX} as bigint) as judged_px,"
        " cast(0 as bigint) as clamped_px, cast(flagged as bigint) as contradicted_px,"
        f" 1 as residual_largest, cast({BLOCKS} as bigint) as split_block_count,"
        f" cast(error * {BLOCKS} as decimal(18, 6)) as mse_dn2{kinds} from simulated"
    )
    names = ("masked", "lum_over", "lum_under", "none", "single", "multi")
    kinds = "".join(f", cast(0 as bigint) as {name}_count" for name in (*names, "unclassified"))
    connection.execute(
        "create table int_tier3_cells as select model_id, 'axis' as indicator,"
        " 'notta' as judged_paths, 'p' || patient as cluster_id, 'patient' as cluster_unit,"
        " 'visible' as zone, 'Beyond' as state,"
        f" cast(2 * count(*) * {BLOCKS} as bigint) as model_count,"
        f" cast(count(*) * {BLOCKS} as bigint) as zone_count,"
        " cast(sum(silent) as bigint) as zone_silent_count, zone_silent_count as silent_count,"
        " 1.0 as loud_most,"
        f" cast(sum(flagged) as bigint) as block_count{kinds}"
        " from simulated group by model_id, patient"
    )
    connection.execute(
        "create table mart_limits as select distinct model_id, 3 as tau, 1 as error_limit_dn2,"
        " 0 as contradicted_limit_px from simulated"
    )
    connection.execute("create table dim_models as select model_id from mart_limits")
    shares = "".join(
        f", cast(null as double) as {share}{end}_ratio"
        for share in ("sensitivity", "false_alarm")
        for end in ("", "_low", "_high")
    )
    connection.execute(
        "create table mart_measured_limits as select model_id, 'notta' as inference_path,"
        f" 0.5 as level_ratio, '' as detector, 0 as stated_limit{shares} from mart_limits"
    )


def format_sums(counts):
    """Format the section of the page.

    Parameters
    ----------
    counts : list of Coverage

    Returns
    -------
    str
    """
    lines = [HEAD.format(studies=counts[0].studies)]
    for shape in SHAPES:
        lines += [] if shape == SHAPES[0] else [""]
        lines += [
            f"Patient effects: {shape}.",
            "",
            "| what | " + " | ".join(f"{patients} patients" for patients in PATIENTS) + " |",
            "|---|" + "---:|" * len(PATIENTS),
        ]
        for question in QUESTIONS:
            shares = (
                format_share([(count.hits, count.studies)], COVERAGE_PCT)
                for count in counts
                if (count.shape, count.question) == (shape, question.name)
            )
            lines.append(f"| {question.name} | " + " | ".join(shares) + " |")
    return "\n".join(lines) + "\n"
