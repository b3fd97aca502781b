"""How often intervals and tests of mart_reading_effect are right where nothing differs.

Scores of a reader are simulated, and the mart's own SQL, rendered, makes differences, intervals and
p of them: each simulated model is a study of its own.
"""

import math

import duckdb
import numpy as np
import polars as pl
from scipy import stats

from tests.calibration.rendered import Asked, count_answers, format_tables
from tests.macros import make_renderer

SQL = {
    "int_student_limits": "intermediate/clusters/int_student_limits.sql",
    "int_reading_limits": "intermediate/reading/int_reading_limits.sql",
    "fct_readings": "marts/reading/fct_readings.sql",
    "int_reading_clusters": "intermediate/reading/int_reading_clusters.sql",
    "int_reading_flips": "intermediate/reading/int_reading_flips.sql",
    "int_beta_points": "intermediate/quality/int_beta_points.sql",
    "mart_reading_effect": "marts/reading/mart_reading_effect.sql",
}
MACROS = (
    *("constants", "special_functions", "cluster_unit", "shares", "roc", "phantoms"),
    *("vocabulary", "reading"),
)
PATIENTS = (10, 20, 40, 100)
STUDIES = 1000
MOST_IMAGES = 3
"""A patient has one to so many images."""
PREVALENCE, SHIFT, PATIENT_SD, IMAGE_SD, READ_SD = 0.4, 1.0, 0.7, 0.8, 0.5
"""Share of patients with the finding and by how much they score higher; spread between patients,
between a patient's images, and between two readings of one."""
_OTHER_SHARES = (
    *("int_flag_counts", "int_tier3_shares", "int_consistency_shares", "int_sfrc_shares"),
    *("int_sham_shares", "int_detector_alarms", "int_detector_findings"),
    *("int_free_response_findings", "int_rule_shares", "int_localisation_shares"),
)


LABELS = ("true", "shuffled")
QUESTIONS = (
    Asked("area of references", "mart_reading_effect", "reference_auc_low"),
    Asked("area of restored images", "mart_reading_effect", "restored_auc_low"),
    Asked("restored images less references", "mart_reading_effect", "auc_difference_low", 0),
    Asked("the same, its test", "mart_reading_effect", "p_value"),
    Asked("area of LR images", "mart_reading_effect", "lr_auc_low"),
    Asked("area of restored images beside them", "mart_reading_effect", "lr_restored_auc_low"),
    Asked("restored images less LR images", "mart_reading_effect", "lr_auc_difference_low", 0),
    Asked("the same, its test, LR", "mart_reading_effect", "lr_p_value"),
    Asked("as many calls gained as lost, test", "mart_reading_effect", "flip_p_value"),
)

HEAD = f"""## What readers say: where nothing differs, share of studies in %

Simulated scores of a reader go through the SQL of mart_reading_effect, {{studies}} studies of each
size: of references, LR images and restored images that differ by chance alone, one to {MOST_IMAGES}
a patient. Of intervals the share that hold the truth, which of areas is that of images of different
patients and of differences 0; of tests the share that reject at 5 %, of flips that as many calls
are gained as lost at a limit chosen on the references. Labels are true (images with the finding
score {SHIFT:g} higher; spread between patients {PATIENT_SD:g}, images {IMAGE_SD:g}, readings
{READ_SD:g}) or shuffled. n: of fewer studies there is an interval or a test.
"""


def find_area(labels):
    """Area under the curve of images of different patients, with labels true or shuffled."""
    spread = math.sqrt(2 * (PATIENT_SD**2 + IMAGE_SD**2 + READ_SD**2))
    return float(stats.norm.cdf(SHIFT / spread)) if labels == "true" else 0.5


def count_readings(studies=STUDIES):
    """Simulate studies of every size, with labels that are true and shuffled, and count.

    Parameters
    ----------
    studies : int
        Of each.

    Returns
    -------
    list of rendered.Answers
    """

    def ask(patients, labels, _):
        simulated = simulate_readings(patients, studies, shuffled=labels == "shuffled")
        rows = estimate_effects(simulated)
        return {
            question.name: list(_judge(rows, question, find_area(labels))) for question in QUESTIONS
        }

    return count_answers(ask, QUESTIONS, PATIENTS, 1, LABELS)


def _judge(rows, question, area):
    """Say of each row that has it whether its interval holds the truth, or its p rejects."""
    truth = area if question.truth is None else question.truth
    for row in rows:
        end = row[question.column]
        if end is not None:
            yield end <= truth <= row[question.high] if question.high else end < 0.05


def format_readings(counts):
    """Format the section of the page.

    Parameters
    ----------
    counts : list of rendered.Answers

    Returns
    -------
    str
    """
    studies = max(studies for count in counts for _, studies in count.builds)
    return HEAD.format(studies=studies) + "\n" + format_tables(counts, "Labels: {}.")


def simulate_readings(patients, studies, seed=0, shuffled=False):
    """Simulate readings of studies in which reference, LR and restored image are alike.

    Parameters
    ----------
    patients, studies, seed : int
    shuffled : bool
        Whether labels have nothing to do with scores.

    Returns
    -------
    polars.DataFrame
        Rows of `int_readings_labelled`: each study a reader of its own, with a model of its own.
    """
    generator = np.random.default_rng([seed, patients])
    images = generator.integers(1, MOST_IMAGES, endpoint=True, size=(studies, patients))
    place = np.nonzero(np.arange(MOST_IMAGES) < images[..., None])
    is_ill = generator.random((studies, patients, MOST_IMAGES)) < PREVALENCE
    # The finding is the patient's in most images, as in a follow-up.
    is_ill |= (generator.random((studies, patients, 1)) < 0.3) & (
        generator.random((studies, patients, MOST_IMAGES)) < 0.7
    )
    base = generator.normal(0, PATIENT_SD, (studies, patients, 1))
    base = base + generator.normal(0, IMAGE_SD, is_ill.shape) + (0 if shuffled else SHIFT) * is_ill
    study, patient, image = place
    parts = []
    for subject in ("reference", "lr", "restored"):
        is_restored = subject == "restored"
        parts.append(
            pl.DataFrame(
                {
                    "study": study,
                    "patient": patient,
                    "image": image,
                    "score": (base + generator.normal(0, READ_SD, is_ill.shape))[place],
                    "has_finding": is_ill[place],
                }
            ).select(
                reader=pl.format("r{}", "study"),
                subject=pl.lit(subject),
                model_id=pl.format("m{}", "study") if is_restored else pl.lit(None, pl.String),
                inference_path=pl.lit("notta" if is_restored else None, pl.String),
                image_id=pl.format("{}_{}", "patient", "image"),
                finding=pl.lit("Mass"),
                cluster_id=pl.format("patient:{}", "patient"),
                cluster_unit=pl.lit("patient"),
                score="score",
                has_finding="has_finding",
                is_current=pl.lit(value=True),
                file_sha256=pl.lit(""),
            )
        )
    return pl.concat(parts)


def estimate_effects(labelled):
    """Let the SQL of the mart judge readings.

    Parameters
    ----------
    labelled : polars.DataFrame
        Rows of `int_readings_labelled`.

    Returns
    -------
    list of dict
        Rows of `mart_reading_effect`.
    """
    render = make_renderer(SQL, MACROS)
    with duckdb.connect() as connection:
        connection.register("labelled", labelled)
        connection.execute("create table int_readings_labelled as select * from labelled")
        connection.execute(
            "create table int_clusters as select cluster_id from labelled group by cluster_id"
        )
        for name in _OTHER_SHARES:
            connection.execute(
                f"create table {name} (effective_flagged double, effective_count double)"
            )
        for name in SQL:
            connection.execute(f"create table {name} as {render(name)}")
        return (
            connection.sql(
                "select * from mart_reading_effect"
                " order by reader, model_id, inference_path, finding"
            )
            .pl()
            .to_dicts()
        )
