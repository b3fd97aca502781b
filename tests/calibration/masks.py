"""How often intervals of what a trust mask misses, and masks, hold the truth.

Simulated patients go through the SQL of `mart_guarantee`, rendered.
"""

from functools import cache

import duckdb
import numpy as np
import polars as pl

from tests.calibration.rendered import SHAPES, Asked, count_answers, draw_effects, format_tables
from tests.guarantees import LEVELS, draw_levels
from tests.macros import make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "mart_guarantee": "marts/guarantees/mart_guarantee.sql",
}
MACROS = (
    *("constants", "special_functions", "cluster_unit", "fidelity", "skewed_means", "guarantees"),
    "fixed",
)
PATIENTS = (15, 30, 100)
LIMIT = 30
"""Level of the mask, of 64."""
GOOD_BLOCKS, GOOD_LEVEL, PATIENT_SD, BLOCK_SD = 24, 24, 4.0, 4.0
"""Blocks of a patient that are not bad; their level, its spread between patients and within."""
STUDIES, MANY = 1000, 200_000
"""Studies of each size, and patients that the truth is the mean of."""

HEAD = f"""## Trust masks: share of intervals that hold the truth, in %

Simulated patients go through the SQL of mart_guarantee, {{studies}} studies of each size, at a
limit that other patients gave (level {LIMIT} of {LEVELS}): what the mask misses of a patient's
truly bad blocks, 0 of one who has none, and how much of all it masks. Patients differ in how
visible their bad blocks are (normal, or skewed: log-normal, few whose bad blocks hardly show) and
in how many they have. The truth is the mean of {MANY:,} patients. There are intervals from 15
patients on.
"""
QUESTIONS = (
    Asked("missed of the truly bad blocks", "mart_guarantee", "risk_low_ratio"),
    Asked("masked of all blocks", "mart_guarantee", "masked_low_ratio"),
)


def count_masks(studies=STUDIES, sizes=PATIENTS):
    """Simulate studies of every size and shape, and count.

    Parameters
    ----------
    studies : int
        Of each size and shape.
    sizes : iterable of int

    Returns
    -------
    list of rendered.Answers
    """

    def ask(patients, shape, _):
        generator = np.random.default_rng([patients, SHAPES.index(shape)])
        with duckdb.connect() as connection:
            build_masks(connection, simulate_patients(generator, shape, studies, patients))
            truths = find_truths(shape)
            return {
                question.name: question.answer(connection, truth)
                for question, truth in zip(QUESTIONS, truths, strict=True)
            }

    return count_answers(ask, QUESTIONS, sizes, 1)


@cache
def find_truths(shape):
    """What a mask misses and masks of a patient, in the mean of many.

    Parameters
    ----------
    shape : {"normal", "skewed"}

    Returns
    -------
    tuple of float
    """
    generator = np.random.default_rng([MANY, SHAPES.index(shape)])
    bad, good = simulate_patients(generator, shape, 1, MANY)
    count = (bad > 0).sum(axis=-1)
    missed = ((bad > 0) & (bad <= LIMIT)).sum(axis=-1)
    trusted = missed + (good <= LIMIT).sum(axis=-1)
    risk = missed / np.maximum(count, 1)
    masked = 1 - trusted / (count + GOOD_BLOCKS)
    return float(risk.mean()), float(masked.mean())


def simulate_patients(generator, shape, studies, patients):
    """Simulate the levels of patients' blocks.

    Parameters
    ----------
    generator : numpy.random.Generator
    shape : {"normal", "skewed"}
    studies, patients : int

    Returns
    -------
    tuple of numpy.ndarray
        Of the truly bad blocks, 0 for none, and of the others: (studies, patients, blocks).
    """
    bad = draw_levels(generator, studies, patients, shape)
    middle = GOOD_LEVEL + PATIENT_SD * draw_effects(generator, shape, (studies, patients, 1))
    size = (studies, patients, GOOD_BLOCKS)
    good = np.ceil(middle + BLOCK_SD * generator.standard_normal(size))
    return bad, np.clip(good, 1, LEVELS).astype(int)


def build_masks(connection, levels):
    """Build the mart of what was simulated.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    levels : tuple of numpy.ndarray
        As `simulate_patients` gives them.
    """
    parts = []
    for blocks, is_bad in zip(levels, (1, 0), strict=True):
        study, patient, place = np.nonzero(blocks)
        level = blocks[study, patient, place]
        columns = {"study": study, "patient": patient, "trust_level": level}
        parts.append(pl.DataFrame(columns).with_columns(is_bad=pl.lit(is_bad)))
    connection.register("simulated", pl.concat(parts))
    counts = "".join(
        f", cast(sum(is_bad) as bigint) as {loss}_count"
        for loss in ("erroneous", "invented", "lost")
    )
    connection.execute(
        "create table int_image_trust_levels as select 's' || study as model_id,"
        " 'i' || patient as image_id, 'notta' as inference_path, 'detail_dn2' as score,"
        f" trust_level, count(*) as block_count{counts} from simulated group by all"
    )
    connection.execute(
        "create table int_clusters as select distinct image_id, image_id as cluster_id,"
        " 'patient' as cluster_unit from int_image_trust_levels"
    )
    connection.execute(
        "create table int_trust_limits as select model_id, 'notta' as inference_path,"
        " 'detail_dn2' as score, 'erroneous' as loss, 0.05 as alpha_ratio, 25 as loss_limit_dn2,"
        " 'dn2' as unit, 'patient' as cluster_unit, 0 as cluster_count,"
        " sum(block_count) as block_count, sum(block_count) as scored_block_count,"
        " sum(erroneous_count) as bad_block_count, 'elsewhere' as limit_source,"
        f" {LIMIT} as limit_level, 0 as limit_cluster_count, 0.05 as bound_ratio,"
        " cast(null as varchar) as obstacle from int_image_trust_levels group by model_id"
    )
    render = make_renderer(SQL, MACROS, var={"min_clusters": 5, "error_limit_dn2": 25}.get)
    for name in SQL:
        connection.execute(f"create table {name} as {render(name)}")


def format_masks(counts):
    """Format the section of the page.

    Parameters
    ----------
    counts : list of rendered.Answers

    Returns
    -------
    str
    """
    studies = max(studies for count in counts for _, studies in count.builds)
    return HEAD.format(studies=studies) + "\n" + format_tables(counts)
