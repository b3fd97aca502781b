"""What the tables say, in sentences that follow from them by stated rules.

The rules: the models of the first inference path are ranked, that of test-time augmentation stands
in the table alone. A difference is called one only where `mart_model_pairs` has a p of Holm below
the constant `significance`; otherwise the sentence says what was found and that it is not tested or
not shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts
    from upscale_audit.analysis.report.facts import Estimate, Facts, Row


DN2 = "\u00a0dn\u00b2"
PERCENT = 100, "\u00a0%"
"""Scale and unit of a share."""
_NAMES = 6
"""So many models are named in a sentence; of more, how many there are."""


def say_findings(marts: Marts, facts: Facts, text: Mapping[str, str]) -> list[str]:
    """Say what each model invented, lost and bent.

    Parameters
    ----------
    marts : analysis.marts.Marts
    facts : analysis.report.facts.Facts
    text : dict
        Sentences by key, of one language.

    Returns
    -------
    list of str
    """
    # A model that is the reference restored nothing, and would rank best of all.
    unrestored = {
        row["model_id"]
        for row in facts.warnings
        if row["warning"] == "same_as_reference" and row["item_count"] == row["total_count"]
    }
    rows = [
        row
        for row in facts.rows
        if row.inference_path == "notta" and row.model_id not in unrestored
    ]
    said = [*_say_contradicted(rows, facts, text), *_say_invented(rows, text)]
    return [*said, *_say_error(marts, rows, facts.tested_count, text), *_say_axis(rows, text)]


def _say_contradicted(rows: Sequence[Row], facts: Facts, text: Mapping[str, str]) -> Iterator[str]:
    if not facts.has_lr:
        yield text["no_lr"]
        return
    judged = [(row, share) for row in rows if (share := row.contradicted_ratio) is not None]
    judged.sort(key=lambda item: (-item[1].value, item[0].model_id))
    worst = [(row, share) for row, share in judged if share.value > 0]
    if worst:
        shares = [
            text["share_of"].format(model=row.label, share=spell(share, text, *PERCENT))
            for row, share in worst[:_NAMES]
        ]
        key = "contradicted_made" if facts.is_lr_made else "contradicted"
        yield text[key].format(shares=text["and"].join(shares))
        if worst[_NAMES:]:
            yield text["more_contradict"].format(count=len(worst) - _NAMES)
    never = [row.label for row, share in judged if share.value == 0]
    if never:
        yield text["never_contradicted"].format(models=_list_names(never, text))


def _say_invented(rows: Sequence[Row], text: Mapping[str, str]) -> Iterator[str]:
    known = [(row, energy) for row in rows if (energy := row.invented_dn2) is not None]
    if len(known) < 2:
        return
    most, most_dn2 = max(known, key=lambda item: (item[1].value, item[0].model_id))
    least, least_dn2 = min(known, key=lambda item: (item[1].value, item[0].model_id))
    yield text["invented"].format(
        most=most.label,
        most_value=spell(most_dn2, text, unit=DN2),
        least=least.label,
        least_value=spell(least_dn2, text, unit=DN2),
    )


def _say_error(
    marts: Marts, rows: Sequence[Row], tested: int, text: Mapping[str, str]
) -> Iterator[str]:
    known = sorted(
        ((row, error) for row in rows if (error := row.mse_dn2) is not None),
        key=lambda item: (item[1].value, item[0].model_id),
    )
    if len(known) < 2:
        return
    (first, first_dn2), (second, second_dn2) = known[:2]
    yield text["error"].format(
        least=first.label,
        least_value=spell(first_dn2, text, unit=DN2),
        second=second.label,
        second_value=spell(second_dn2, text, unit=DN2),
        tested=_say_test(marts, (first.model_id, second.model_id), tested, text),
    )


def _say_test(marts: Marts, models: tuple[str, str], tested: int, text: Mapping[str, str]) -> str:
    """Say whether the difference of two models' squared errors is shown."""
    one, two = map(quote_text, models)
    rows = marts.rows(
        "select p_holm, cluster_count from mart_model_pairs"
        " where source_id = 'images' and subgroup_kind = 'all' and quantity = 'mse_dn2'"
        f" and inference_path = 'notta' and ((model_a = {one} and model_b = {two})"
        f" or (model_a = {two} and model_b = {one}))"
    )
    if not rows:
        return text["not_paired"]
    if rows[0]["p_holm"] is None:
        is_many = rows[0]["cluster_count"] >= tested
        return text["no_spread" if is_many else "not_tested"].format(tested=tested)
    p = rows[0]["p_holm"]
    key = "shown" if p < marts.read_constant("significance") else "not_shown"
    return text[key].format(p=f"= {spell_number(p, 2)}" if p >= 0.001 else "< 0.001")


def _say_axis(rows: Sequence[Row], text: Mapping[str, str]) -> Iterator[str]:
    known = [(row.label, axis) for row in rows if (axis := row.axis1) is not None]
    signs: dict[str, list[str]] = {"up": [], "down": []}
    for label, axis in known:
        if axis.low is not None and axis.low > 0:
            signs["up"].append(label)
        elif axis.high is not None and axis.high < 0:
            signs["down"].append(label)
    for sign, names in signs.items():
        if names:
            yield text[f"axis_{sign}"].format(models=_list_names(names, text))
    if known and not any(signs.values()):
        yield text["axis_open"]


def say_warnings(facts: Facts, text: Mapping[str, str]) -> list[str]:
    """Say what a reader must know first, a sentence a warning.

    Parameters
    ----------
    facts, text
        As of `say_findings`. In English the warehouse's own sentences.

    Returns
    -------
    list of str
    """
    said = []
    for row in facts.warnings:
        template = text.get(f"warning_{row['warning']}")
        said.append(
            row["sentence"]
            if template is None
            else template.format(**row, tested=facts.tested_count)
        )
    return said


def _list_names(names: Sequence[str], text: Mapping[str, str]) -> str:
    listed = text["and"].join(names[:_NAMES])
    more = len(names) - _NAMES
    return listed if more <= 0 else text["and_more"].format(names=listed, count=more)


def spell_number(value: float, digits: int = 3) -> str:
    """Spell a number to so many significant digits, without an exponent; the minus is a minus."""
    if value == 0:
        return "0"
    rounded = f"{value:.{digits}g}"
    if "e" in rounded:
        rounded = f"{float(rounded):,.0f}" if abs(value) >= 1 else f"{float(rounded):.6f}"
    return rounded.replace("-", "\u2212")


def _spell_scaled(value: float, scale: int) -> str:
    """Spell a number in its unit; of percent, 100 stands for all and for nothing less."""
    spelled = (spell_number(scale * value, digits) for digits in range(3, 7))
    return next((text for text in spelled if scale == 1 or text != "100" or value >= 1), "> 99.999")


def spell_parts(
    estimate: Estimate | None, text: Mapping[str, str], scale: int = 1, unit: str = ""
) -> tuple[str, str]:
    """Spell an estimate and, apart, its interval; the latter empty where there is none."""
    if estimate is None:
        return "\u2013", ""
    value = _spell_scaled(estimate.value, scale) + unit
    if estimate.low is None or estimate.high is None:
        return value, ""
    low, high = _spell_scaled(estimate.low, scale), _spell_scaled(estimate.high, scale)
    return value, text["interval"].format(low=low, high=high)


def spell(estimate: Estimate, text: Mapping[str, str], scale: int = 1, unit: str = "") -> str:
    """Spell an estimate with its interval: ``12.3 (11.9 to 12.8)``."""
    return text["gap"].join(filter(None, spell_parts(estimate, text, scale, unit)))
