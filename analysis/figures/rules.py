"""What the figures of rules share: sources, rules, populations and verdict classes by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from upscale_audit.analysis import theme
from upscale_audit.analysis.marts import quote_text

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.marts import Marts


CURRENT = "v2_current"
# How the rules look where test-time augmentation took no part or is not known.
BASE_PATHS = "('notta', 'unstated')"
POPULATIONS = {
    "pooled": "pooled over all models, as published",
    "per_model": "of each model's own images",
    "frozen": "frozen on the baseline model",
}
COLOURS = {
    "High": "#A63603",
    "Medium": theme.ORANGE,
    "Low": "#F7DC9C",
    "Normal": "#F4F4F4",
    None: theme.NULL_GREY,
}


def list_sources(marts: Marts, table: str) -> list[str]:
    """List the sources for which a table has rows: images, or labels of published files."""
    rows = marts.rows(f"select source_id from {table} group by source_id order by source_id")
    return [row["source_id"] for row in rows]


def name_files(sources: Sequence[str]) -> dict[str, str]:
    """Name a part of a file name for each source.

    Parameters
    ----------
    sources : list of str

    Returns
    -------
    dict
        By source, what is safe in a file name on every system; no two are alike, not even
        where a file system ignores case.
    """
    names, taken = {}, set()
    for source in sources:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", source).strip("._")[:64] or "source"
        name, number = plain, 1
        while name.casefold() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.casefold())
        names[source] = name
    return names


def make_title(title: str, source: str, caption: Sequence[str]) -> alt.TitleParams:
    """Make the title of a figure about one source."""
    name = "images measured here" if source == "images" else source
    return theme.make_title(f"{title}: {name}", caption)


def read_rules(marts: Marts) -> list[dict[str, Any]]:
    """Read the current rules in published order.

    Returns
    -------
    list of dict
        rule_id, label, family, nominal_ratio (None for a rule of several comparisons).
    """
    return marts.rows(
        "select rule_id, label_en as label, family, round(nominal_ratio, 6) as nominal_ratio"
        f" from dim_rules where rule_set = {quote_text(CURRENT)} order by rule_number"
    )


def shorten_rule(rule: Mapping[str, Any]) -> str:
    """Name a rule in a word or two: P4, or Low SSIM."""
    label = rule["label"]
    found: str = rule["rule_id"] if rule["family"] == "pattern" else label.removeprefix("Single: ")
    return found


def read_least_counts(marts: Marts) -> dict[str, int]:
    """Read how many rules fire on an image of each verdict class at least, the most first."""
    limited = ("High", "Medium", "Low")
    least = {name: int(marts.read_constant(f"verdict_{name.lower()}")) for name in limited}
    return least | {"Normal": 0}


def name_class(count: int, least: Mapping[str, int]) -> str:
    """Name the verdict class of an image on which so many rules fired.

    Parameters
    ----------
    count : int
    least : dict
        As `read_least_counts` gives it.

    Returns
    -------
    str
    """
    return next(name for name, limit in least.items() if count >= limit)


def label_classes(least: Mapping[str, int]) -> dict[str | None, str]:
    """Label each verdict class, and what was not evaluated (None), with its numbers of rules."""
    labels, above = {}, None
    for name, limit in least.items():
        labels[name] = f"{name} ({_spell_counts(limit, above)})"
        above = limit
    return labels | {None: "not evaluated"}


def _spell_counts(first: int, above: int | None) -> str:
    if above is None:
        return f"{first} rules or more"
    counts = range(first, above)
    if counts == range(1):
        return "none"
    joint = " or " if len(counts) == 2 else " to "
    return joint.join(dict.fromkeys((str(counts[0]), str(counts[-1]))))


def place_rules(
    rules: Sequence[dict[str, Any]], top: float, row_pt: float, gap_pt: int
) -> dict[str, float]:
    """Place rules under each other, with a gap between families.

    Returns
    -------
    dict
        Middle of each rule's row, in points, by rule_id.
    """
    places, family = {}, None
    for rule in rules:
        if family not in (None, rule["family"]):
            top += gap_pt
        family = rule["family"]
        places[rule["rule_id"]] = top + row_pt / 2
        top += row_pt
    return places
