"""How often intervals of places of an image hold the truth: residual to the LR image, areas.

Sums and means of images are simulated, and the SQL of `mart_consistency_profile`, `mart_regions`
and `mart_content`, rendered, makes estimates and intervals of them.
"""

import duckdb
import numpy as np
import polars as pl

from tests.calibration.rendered import (
    IMAGES,
    PATIENTS,
    Asked,
    count_answers,
    draw_effects,
    draw_patients,
    format_tables,
)
from tests.macros import make_environment, make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_cluster_draws": "intermediate/clusters/int_cluster_draws.sql",
    "mart_consistency_profile": "marts/consistency/mart_consistency_profile.sql",
    "int_area_estimates": "intermediate/regions/int_area_estimates.sql",
    "mart_regions": "marts/regions/mart_regions.sql",
    "mart_content": "marts/regions/mart_content.sql",
}
MACROS = (
    "constants", "special_functions", "cluster_unit", "bootstrap", "interval_end", "vocabulary",
    "consistency", "regions", "skewed_means", "fidelity",
)  # fmt: skip

NEAR, FAR = 44, 64
"""Blocks of an image at a place, and elsewhere."""
SHARE, SHARE_STEP, SHARE_SD = 0.1, 0.05, 0.05
"""Share of contradicted blocks elsewhere, how much larger it is at a place, and the spread of
either between patients."""
RMS_DN, RMS_STEP, BASELINE_STEP = 2.0, 0.4, 0.1
"""Residual elsewhere, and how much larger at a place it is and the baseline's."""
PATIENT_SD, STEP_SD, IMAGE_SD = 0.4, 0.3, 0.2
"""Spread between patients of the residual and of the step, and between images, in dn."""
ERROR_DN2, AREA_STEP = 20.0, 5.0
"""Squared error in the area of code 1, and how much larger it is in that of code 2."""
BASELINE, TILE_PX = "bicubic", 64
BUILDS, STUDIES = 40, 20
"""Draws of the bootstrap and of the baseline, and studies that share one."""

HEAD = f"""## Places of an image: share of intervals that hold the truth, in %

Sums of {IMAGES[0]} to {IMAGES[1]} images a patient go through the SQL of
mart_consistency_profile, and means of two areas of them through that of mart_regions and
mart_content, {{studies}} studies of each size, {{models}} to a draw of the bootstrap, which share
their baseline. At a place an image has {NEAR} blocks and elsewhere {FAR}: contradicted by
{SHARE + SHARE_STEP:g} and {SHARE:g} of them (spread between patients {SHARE_SD:g}), their residual
{RMS_DN + RMS_STEP:g} and {RMS_DN:g} dn (spread between patients {PATIENT_SD:g}, of the step
{STEP_SD:g}; normal, or skewed: exponential; between images {IMAGE_SD:g}). The second area has
{AREA_STEP:g} dn2 more squared error than the first; areas have an interval from 15 patients on.
"""

_PROFILE = tuple(
    Asked(
        f"{name}, {place}{', over the baseline' if measure == 'excess' else ''}",
        "mart_consistency_profile",
        f"{measure}_low",
        step - (base if measure == "excess" else 0),
        f"place = '{place}' and quantity = '{quantity}' and inference_path = 'notta'"
        f" and model_id != '{BASELINE}'",
    )
    for place in ("frame", "seam")
    for quantity, name, step, base in (
        ("lr_contradicted_ratio", "share of contradicted blocks", SHARE_STEP, 0.0),
        ("lr_rms_dn", "residual", RMS_STEP, BASELINE_STEP),
    )
    for measure in ("difference", "excess")
)
_AREAS = tuple(
    Asked(
        f"squared error, {measure}, {mart}",
        mart,
        f"{measure}_low",
        {"mean": ERROR_DN2 + AREA_STEP}.get(measure, AREA_STEP),
        f"quantity = 'mse_dn2' and {column} = {code} and model_id != '{BASELINE}'",
    )
    for mart, column, code in (("mart_regions", "region", "'lung'"), ("mart_content", "decile", 2))
    for measure in ("mean", "difference", "excess")
)
QUESTIONS = _PROFILE + _AREAS


def count_places(builds=BUILDS, studies=STUDIES, sizes=PATIENTS):
    """Simulate studies of every size and shape, and count.

    Parameters
    ----------
    builds : int
        Draws of the bootstrap.
    studies : int
        Of each size, shape and draw.
    sizes : iterable of int

    Returns
    -------
    list of rendered.Answers
    """

    def ask(patients, shape, build):
        return answer_places(patients, shape, studies, build)

    return count_answers(ask, QUESTIONS, sizes, builds)


def simulate_places(patients, shape, studies, build):
    """Simulate what each image of each study, and of the baseline, has near a place and far off.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int

    Returns
    -------
    polars.DataFrame
        ``model_id``, ``patient``, ``image``; contradicted blocks ``frame_near`` … and sums of
        residuals ``frame_rms_near`` …, of the frame and of seams; ``region_1`` …, ``content_2``,
        the squared errors of two areas of either kind.
    """
    generator, patient = draw_patients(patients, shape, build)
    images = len(patient)

    def vary(patient_sd, image_sd):
        values = patient_sd * draw_effects(generator, shape, patients)[patient]
        return values + image_sd * generator.standard_normal(images)

    def draw_share(share):
        if shape == "skewed":
            of_patient = share - SHARE_SD + SHARE_SD * generator.standard_exponential(patients)
        else:
            size = share * (1 - share) / SHARE_SD**2 - 1
            of_patient = generator.beta(share * size, (1 - share) * size, patients)
        return np.minimum(1, of_patient)[patient]

    parts = []
    for study in range(-1, studies):  # the baseline first
        columns = {"patient": patient, "image": np.arange(images)}
        is_baseline = study < 0
        for place in ("frame", "seam"):
            near = draw_share(SHARE if is_baseline else SHARE + SHARE_STEP)
            columns[f"{place}_near"] = generator.binomial(NEAR, near)
            columns[f"{place}_far"] = generator.binomial(FAR, draw_share(SHARE))
            residual = RMS_DN + vary(PATIENT_SD, IMAGE_SD)
            step = (BASELINE_STEP if is_baseline else RMS_STEP) + vary(STEP_SD, IMAGE_SD)
            columns[f"{place}_rms_near"] = NEAR * (residual + step)
            columns[f"{place}_rms_far"] = FAR * residual
        for kind in ("region", "content"):
            error = ERROR_DN2 + 10 * vary(PATIENT_SD, IMAGE_SD)
            step = (0 if is_baseline else AREA_STEP) + 10 * vary(STEP_SD, IMAGE_SD)
            columns |= {f"{kind}_1": error, f"{kind}_2": error + step}
        name = BASELINE if is_baseline else f"s{study}"
        parts.append(pl.DataFrame(columns).with_columns(model_id=pl.lit(name)))
    return pl.concat(parts)


def answer_places(patients, shape, studies, build):
    """Let the SQL of the marts make intervals, and ask them.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int

    Returns
    -------
    dict of str to list of bool
        By question, the answers of the studies.
    """
    with duckdb.connect() as connection:
        build_places(connection, simulate_places(patients, shape, studies, build), build)
        return {question.name: question.answer(connection) for question in QUESTIONS}


def build_places(connection, simulated, build):
    """Build the marts of what was simulated.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    simulated : polars.DataFrame
        As `simulate_places` gives it.
    build : int
        Seeds the bootstrap.
    """
    values = {"min_clusters": 5, "bootstrap_replicates": 1000}
    render = make_renderer(SQL, MACROS, var=values.get)
    connection.register("simulated", simulated)
    _create_inputs(connection, build)
    for name in SQL:
        connection.execute(f"create table {name} as {render(name)}")


def _create_inputs(connection, build):
    """Show what was simulated as the tables that the marts read."""
    connection.execute(
        f"create table stg_raw__parameters as select '{build}' as bootstrap_seed,"
        f" '{BASELINE}' as baseline_model"
    )
    connection.execute(
        "create table int_clusters as select distinct 'i' || image as image_id,"
        " 'p' || patient as cluster_id, 'patient' as cluster_unit from simulated"
    )
    connection.execute(
        f"create table dim_models as select distinct model_id, {TILE_PX} as tile_px from simulated"
    )
    for table, place, column, sides in (
        ("int_image_rings", "frame", "ring", (0, 4)),
        ("int_image_seams", "seam", f"{TILE_PX} as tile_px, 0 as phase_px, seam_distance", (0, 1)),
    ):
        parts = " union all ".join(
            f"select model_id, 'i' || image as image_id, {column.replace(name, f'{at} as {name}')}"
            f", {blocks} as judged_notta, {place}_{side} as contradicted_notta,"
            f" cast({place}_rms_{side} as decimal(18, 6)) as rms_notta, 0 as judged_tta,"
            " 0 as contradicted_tta, cast(null as decimal(18, 6)) as rms_tta from simulated"
            for name in (column.split()[-1],)
            for at, side, blocks in zip(sides, ("near", "far"), (NEAR, FAR), strict=True)
        )
        connection.execute(f"create table {table} as {parts}")
    quantities = make_environment("regions").globals["area_quantities"]()
    others = "".join(
        f", cast(null as decimal(28, 12)) as {name}" for name in quantities if name != "mse_dn2"
    )
    connection.execute(
        "create table int_area_values as "
        + " union all ".join(
            f"select '{kind}' as area_kind, cast({code} as smallint) as area_code, model_id,"
            " 'notta' as inference_path, 'i' || image as image_id, 'p' || patient as cluster_id,"
            f" 'patient' as cluster_unit, cast({NEAR} as bigint) as block_count,"
            f" cast({kind}_{code} as decimal(28, 12)) as mse_dn2{others} from simulated"
            for kind in ("region", "content")
            for code in (1, 2)
        )
    )
    connection.execute(
        "create table dim_regions as select * from (values (1, 'body'), (2, 'lung'))"
        " as regions (region_code, region)"
    )
    limits = ", ".join(f"0 as limit_{number}_dn2" for number in range(1, 10))
    connection.execute(
        f"create table int_image_deciles as select model_id, {limits} from dim_models"
    )


def format_places(counts):
    """Format the section of the page.

    Parameters
    ----------
    counts : list of rendered.Answers

    Returns
    -------
    str
    """
    builds = counts[0].builds
    head = HEAD.format(studies=sum(studies for _, studies in builds), models=builds[0][1])
    return head + "\n" + format_tables(counts)
