"""Which columns of the marts are intervals or p, and where each is simulated, or what is like it.

The list of columns is read from the marts' descriptions; a test holds it against what follows.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from tests.calibration import maps, masks, places, questions, readings, sides, sums

MODELS = Path(__file__).resolve().parents[2] / "dbt_project/models"
HEAD = """## Where each interval and each p is simulated

Columns of marts, an interval by its lower end. What stands below "like" is not simulated itself:
it is made by the same SQL as the column named, which is.
"""
_P = re.compile(r"(?:.*_)?(?:p|p_value|p_holm|p_holm_all|log10_p)")


@dataclass(frozen=True)
class Alike:
    """Columns of a mart that another, simulated one stands for.

    Attributes
    ----------
    mart : str
    columns : tuple of str
    like : tuple of str
        Mart and column that are simulated.
    why : str
        What the two have in common, for the page.
    shared : str
        Text of the mart's SQL, or of a model's that it is made of.
    likewise : str
        Text of the other's; empty for the same.
    """

    mart: str
    columns: tuple
    like: tuple
    why: str
    shared: str
    likewise: str = ""


NEITHER = {
    ("dim_images", "edge_low_dn"): "grey level",
    ("dim_source_files", "window_low"): "grey level",
}
"""Columns that are named as an end is, and are none."""

_FLAGS = ("mart_flag_rates", "flagged_low_ratio")
_OF_SHARE = "Korn and Graubard's interval"
_HOLM = ("mart_lesion_risk", "p_holm")
_OF_HOLM = "Holm's correction, which holds whatever the dependence"
_MEASURED = ("sensitivity_low_ratio", "false_alarm_low_ratio")

ALIKE = (
    *(
        Alike(mart, columns, _FLAGS, _OF_SHARE, "share_end(")
        for mart, columns in (
            ("mart_sfrc", ("flagged_low_ratio",)),
            ("mart_sham", ("flagged_low_ratio",)),
            ("mart_detector_limits", _MEASURED),
            ("mart_free_response", ("sensitivity_low_ratio",)),
            ("mart_rule_sensitivity", _MEASURED),
            ("mart_reading_effect", ("flip_low_ratio",)),
        )
    ),
    *(
        Alike(
            mart, _MEASURED, _FLAGS, f"{_OF_SHARE}, read from a detectors file", text, "share_end("
        )
        for mart, text in (
            ("mart_measured_limits", "measured.sensitivity_low_ratio"),
            ("mart_flag_rates", "measured.sensitivity_low_ratio"),
            ("mart_tier3_states", "measured.{{ share }}{{ end }}_ratio"),
        )
    ),
    Alike(
        "mart_lroc",
        ("auc_low",),
        ("mart_detectors", "auc_low"),
        "Obuchowski's variance",
        "roc_areas(",
    ),
    Alike(
        "mart_consistency",
        ("lost_dn2_low", "amplified_dn2_low"),
        ("mart_consistency", "invented_dn2_low"),
        "one loop makes all",
        "for kind in lr_kinds('notta')",
    ),
    Alike(
        "mart_lfv_proof",
        ("excess_min_ssim_low",),
        ("mart_lfv_proof", "excess_mean_ssim_low"),
        "one loop makes both",
        "for name in ['excess_min', 'excess_mean', 'excess_frame']",
    ),
    Alike(
        "mart_lfv_proof",
        ("slope_texture_excess_low",),
        ("mart_lfv_proof", "slope_texture_mean_low"),
        "one loop makes both",
        "'texture_excess': ['fixed_texture', 'fixed_excess_mean']",
    ),
    Alike(
        "mart_lfv_proof",
        ("boundary_mended_p_value",),
        ("mart_lfv_proof", "boundary_exact_p_value"),
        "the same test of a zone with another exact share",
        "chi_square_p(",
    ),
    Alike(
        "mart_lfv_proof",
        ("frame_log10_p",),
        ("mart_lfv_proof", "frame_p_value"),
        "its logarithm",
        "frame_ln_p",
    ),
    Alike(
        "mart_frame_effect",
        ("excess_p_value",),
        ("mart_frame_effect", "deficit_p_value"),
        "one loop makes both",
        "set quantities = ['deficit', 'excess']",
    ),
    Alike(
        "mart_lesion_risk",
        ("p_holm_all", "excess_p_holm", "excess_p_holm_all"),
        _HOLM,
        _OF_HOLM,
        "_size - {{ name }}_position + 1) * p_value",
    ),
    *(
        Alike(mart, columns, _HOLM, _OF_HOLM, "osition + 1) * p_value")
        for mart, columns in (
            ("mart_model_pairs", ("p_holm",)),
            ("mart_reading_harm", ("p_holm",)),
            ("mart_reading_effect", ("p_holm", "lr_p_holm", "flip_p_holm")),
        )
    ),
)


def list_columns():
    """Give the columns of marts and other published tables that are named as an interval or p is.

    Returns
    -------
    list of (str, str)
        Table and column, of an interval that of its lower end, in the order of files and columns.
    """
    found = []
    for path in sorted(MODELS.glob("marts/**/*.yml")):
        for model in yaml.safe_load(path.read_text(encoding="utf-8")).get("models", []):
            names = [column["name"] for column in model["columns"]]
            found += [
                (model["name"], name)
                for name in names
                if _P.fullmatch(name)
                or (re.search(r"_low(_|$)", name) and name.replace("_low", "_high") in names)
            ]
    return found


def list_simulated():
    """Give the section of the page where each simulated column is asked.

    Returns
    -------
    dict
        By table and column.
    """
    found = {}
    for asked, section in (
        (questions.INTERVALS, "Intervals"),
        (questions.RATES, "Flag rates"),
    ):
        found |= {(question.mart, question.low): section for question in asked}
    for asked, section in (
        (questions.TESTS, "Tests"),
        (questions.PUBLISHED, "The published tests"),
    ):
        for question in asked:
            found.setdefault((question.mart, question.p), section)
    found["mart_detectors", "auc_low"] = "Areas under the ROC curve"
    found["mart_signal_transfer", "transfer_low"] = "What comes through a restorer"
    for question in sums.QUESTIONS:
        found.setdefault((question.mart, question.low), "Sums over images")
    for module, section in (
        (sides, "Two sides of the axis"),
        (places, "Places of an image"),
        (masks, "Trust masks"),
        (readings, "What readers say"),
        (maps, "Readers' maps"),
    ):
        for question in module.QUESTIONS:
            found.setdefault((question.mart, question.column), section)
    for column in sides.CHOICE_COLUMNS:
        found.setdefault(("mart_axis1_multiverse", f"{column}_low"), "Two sides of the axis")
    return found


def read_sql(mart):
    """Read the SQL of a mart and of the models that it names.

    Parameters
    ----------
    mart : str

    Returns
    -------
    str
    """
    texts = [_read_model(mart)]
    texts += [_read_model(name) for name in re.findall(r"ref\('(\w+)'\)", texts[0])]
    return "\n".join(texts)


@cache
def _read_model(name):
    """Read a dbt model's SQL; nothing of a seed."""
    return "".join(path.read_text(encoding="utf-8") for path in MODELS.glob(f"**/{name}.sql"))


def format_columns():
    """Format the section of the page.

    Returns
    -------
    str
    """
    simulated = list_simulated()
    alike = {(one.mart, column): one for one in ALIKE for column in one.columns}
    rows = {}
    for mart, column in list_columns():
        if (mart, column) in simulated:
            row = (mart, simulated[mart, column], "")
        elif (mart, column) in alike:
            one = alike[mart, column]
            row = (mart, "", f"{'.'.join(one.like)}: {one.why}")
        else:
            continue
        rows.setdefault(row, []).append(column)
    lines = ["| mart | columns | simulated in | like |", "|---|---|---|---|"]
    for (mart, section, like), columns in rows.items():
        lines.append(f"| {mart} | {', '.join(columns)} | {section} | {like} |")
    return HEAD + "\n" + "\n".join(lines) + "\n"
