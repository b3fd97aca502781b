"""How often intervals and tests of readers' maps, and of calls that turn over, are right.

Simulated maps and calls go through the SQL of `mart_localisation`, `mart_reading_maps` and
`mart_reading_harm`, rendered.
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
from tests.macros import make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_localisation_shares": "intermediate/reading/int_localisation_shares.sql",
    "int_beta_points": "intermediate/quality/int_beta_points.sql",
    "mart_localisation": "marts/reading/mart_localisation.sql",
    "mart_reading_maps": "marts/reading/mart_reading_maps.sql",
    "mart_reading_harm": "marts/reading/mart_reading_harm.sql",
}
MACROS = (
    *("constants", "special_functions", "cluster_unit", "shares", "reading", "fidelity"),
    "skewed_means",
)
OTHER_SHARES = (
    *("int_flag_counts", "int_tier3_shares", "int_consistency_shares", "int_sfrc_shares"),
    *("int_sham_shares", "int_detector_alarms", "int_detector_findings", "int_reading_flips"),
    *("int_free_response_findings", "int_rule_shares"),
)
"""Other tables of shares that have a beta distribution's points."""

MOST_BOXES = 2
"""A patient has one to so many images, an image one to so many boxes."""
FOUND, KEPT, FALSE_BOXES, FALSE_LESS = 0.6, 0.8, 0.5, 0.1
"""Share of boxes found in references, and of these in restored images; false boxes of an image in
references, and how many fewer in restored ones."""
FOUND_SIZE = {"normal": 10.0, "skewed": 1.5}
"""Of the beta distribution of a patient's share of boxes found."""
FALSE_SHAPE = {"normal": 16.0, "skewed": 1.0}
"""Of the gamma distribution of a patient's false boxes: 1 is exponential."""
LIKENESS, PATIENT_SD, IMAGE_SD = 0.7, 0.08, 0.08
"""Correlation of two maps, and its spread between patients and between a patient's images."""
FLIPPED = 0.25
"""Share of calls that turn over, whatever the image."""
BUILDS, STUDIES = 8, 100
"""Draws of patients, and studies that share one."""

HEAD = f"""## Readers' maps, and calls that turn over: share of studies, in %

One to {IMAGES[1]} images a patient go through the SQL of mart_localisation, mart_reading_maps and
mart_reading_harm, {{studies}} studies of each size, {{models}} to a draw of the patients. A reader
finds {FOUND:g} of the boxes in references and {FOUND * KEPT:g} in restored images (a patient's
share is beta distributed, of size {FOUND_SIZE["normal"]:g}, or skewed: {FOUND_SIZE["skewed"]:g})
and has {FALSE_BOXES:g} and {FALSE_BOXES - FALSE_LESS:g} false boxes an image (a patient's mean has
a gamma distribution of shape {FALSE_SHAPE["normal"]:g}, or skewed: exponential). Two maps correlate
by {LIKENESS:g}, of spread {PATIENT_SD:g} between patients (normal, or skewed: an exponential turned
downwards) and {IMAGE_SD:g} between images. A call turns over in {100 * FLIPPED:g} % of the images,
whatever they invented. Of intervals the share that hold the truth, of tests the share that reject
at 5 %. n: of fewer studies there is an interval or a test.
"""

QUESTIONS = (
    Asked("boxes found in references", "mart_localisation", "reference_accuracy_low_ratio", FOUND),
    Asked(
        "boxes found in restored images",
        "mart_localisation",
        "restored_accuracy_low_ratio",
        FOUND * KEPT,
    ),
    Asked(
        "restored less references",
        "mart_localisation",
        "accuracy_difference_low",
        FOUND * (KEPT - 1),
    ),
    Asked(
        "false boxes in references", "mart_localisation", "reference_false_mean_low", FALSE_BOXES
    ),
    Asked(
        "false boxes in restored images",
        "mart_localisation",
        "restored_false_mean_low",
        FALSE_BOXES - FALSE_LESS,
    ),
    Asked(
        "false boxes, restored less references",
        "mart_localisation",
        "false_difference_low",
        -FALSE_LESS,
    ),
    Asked(
        "likeness of maps",
        "mart_reading_maps",
        "mean_low",
        LIKENESS,
        "quantity = 'map_correlation'",
    ),
    Asked(
        "what was invented where calls turned over, less elsewhere",
        "mart_reading_harm",
        "difference_low",
        0.0,
        "quantity = 'invented_ratio'",
    ),
    Asked(
        "the same, its test", "mart_reading_harm", "p_value", where="quantity = 'invented_ratio'"
    ),
)


def count_maps(builds=BUILDS, studies=STUDIES, sizes=PATIENTS):
    """Simulate studies of every size and shape, and count.

    Parameters
    ----------
    builds : int
        Draws of patients and their images.
    studies : int
        Of each size, shape and draw.
    sizes : iterable of int

    Returns
    -------
    list of rendered.Answers
    """

    def ask(patients, shape, build):
        with duckdb.connect() as connection:
            build_maps(connection, simulate_maps(patients, shape, studies, build))
            return {question.name: question.answer(connection) for question in QUESTIONS}

    return count_answers(ask, QUESTIONS, sizes, builds)


def simulate_maps(patients, shape, studies, build):
    """Simulate what a reader finds in each image of each study.

    Parameters
    ----------
    patients : int
    shape : {"normal", "skewed"}
    studies, build : int

    Returns
    -------
    polars.DataFrame
        ``model_id``, ``patient``, ``image``, ``boxes``; ``found`` and ``false`` of ``reference``
        and ``restored``; ``likeness``; ``is_flipped`` and ``invented``, 0..1.
    """
    generator, patient = draw_patients(patients, shape, build)
    images = len(patient)
    boxes = generator.integers(1, MOST_BOXES, endpoint=True, size=images)
    size, form = FOUND_SIZE[shape], FALSE_SHAPE[shape]
    parts = []
    for study in range(studies):
        share = generator.beta(FOUND * size, (1 - FOUND) * size, patients)[patient]
        found = generator.binomial(boxes, share)
        more = generator.gamma(form, 1 / form, patients)[patient]
        likeness = PATIENT_SD * draw_effects(generator, shape, patients)[patient]
        likeness = LIKENESS - likeness + IMAGE_SD * generator.standard_normal(images)
        invented = generator.beta(2, 4, patients)[patient]
        parts.append(
            pl.DataFrame(
                {
                    "patient": patient,
                    "image": np.arange(images),
                    "boxes": boxes,
                    "reference_found": found,
                    "restored_found": generator.binomial(found, KEPT),
                    "reference_false": generator.poisson(FALSE_BOXES * more),
                    "restored_false": generator.poisson((FALSE_BOXES - FALSE_LESS) * more),
                    "likeness": likeness,
                    "is_flipped": generator.random(images) < FLIPPED,
                    "invented": (invented + generator.beta(2, 4, images)) / 2,
                }
            ).with_columns(model_id=pl.lit(f"s{study}"))
        )
    return pl.concat(parts)


def build_maps(connection, simulated):
    """Build the marts of what was simulated.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
    simulated : polars.DataFrame
        As `simulate_maps` gives it.
    """
    render = make_renderer(SQL, MACROS)
    connection.register("simulated", simulated)
    _create_inputs(connection)
    for name in SQL:
        connection.execute(f"create table {name} as {render(name)}")


def _create_inputs(connection):
    """Show what was simulated as the tables that the marts read."""
    for name in OTHER_SHARES:
        connection.execute(
            f"create table {name} (effective_flagged double, effective_count double)"
        )
    keys = (
        "'reader' as reader, model_id, 'notta' as inference_path, 'Mass' as finding,"
        " 'i' || image as image_id"
    )
    cluster = "'p' || patient as cluster_id, 'patient' as cluster_unit"
    connection.execute(
        "create table int_clusters as select distinct 'p' || patient as cluster_id from simulated"
    )
    counts = ", ".join(
        f"{side}_found as {side}_found_count, {side}_false as {side}_false_count,"
        f" {side}_found + {side}_false as {side}_predicted_count"
        for side in ("reference", "restored")
    )
    connection.execute(
        f"create table int_readings_localised as select {keys}, {cluster}, 60 as map_level,"
        f" 'iou' as overlap, 50 as overlap_pct, boxes as box_count, {counts} from simulated"
    )
    connection.execute(
        f"create table fct_readings as select {keys}, {cluster}, 'restored' as subject,"
        " true as is_current, 0.5 as reference_score, is_flipped from simulated"
    )
    connection.execute(
        f"create table stg_raw__reading_maps as select {keys}, 'restored' as subject,"
        " likeness as map_correlation, likeness as overlap_60, likeness as overlap_180"
        " from simulated"
    )
    connection.execute(
        "create table int_image_quantities as select 'images' as source_id, model_id,"
        " 'notta' as inference_path, 'i' || image as image_id,"
        " invented as lr_contradicted_ratio, 4 * invented as invented_dn2, 4 as mse_dn2"
        " from simulated"
    )


def format_maps(counts):
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
