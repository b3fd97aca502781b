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
CLASSES = {
    "High": ("#A63603", "High (5 rules or more)"),
    "Medium": (theme.ORANGE, "Medium (3 or 4)"),
    "Low": ("#F7DC9C", "Low (1 or 2)"),
    "Normal": ("#F4F4F4", "Normal (none)"),
    None: (theme.NULL_GREY, "not evaluated"),
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
