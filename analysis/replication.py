"""The published claims one by one, beside what a study says of each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


_HERE = Path(__file__).parent
_DIGITS = 4


def read_claims() -> list[dict[str, str]]:
    """List the claims, in the order of the page.

    Returns
    -------
    list of dict
        `claim` (its key), `source` as docs/definitions.md abbreviates it, `published`, `standing`
        (agrees, differs, judged, identity, open, a definition away), what it `says`, and what
        `settles` it.
    """
    claims: list[dict[str, str]] = json.loads(
        (_HERE / "replication.json").read_text(encoding="utf-8")
    )
    return claims


def read_findings(marts: Marts) -> list[dict[str, Any]]:
    """Run the cookbook's query of all claims.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    list of dict
        One a claim, quantity, source and model: `value` with `low` and `high`, the ends of its 95 %
        interval, None where there is none; and a `remark`.
    """
    query = (_HERE / "cookbook" / "what_replicates.sql").read_text(encoding="utf-8")
    return marts.rows(query)


def format_replication(marts: Marts) -> str:
    """Write claims and findings side by side.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    str
        Markdown, a section a claim; numbers of four significant digits.
    """
    findings = read_findings(marts)
    return "\n".join(
        _format_claim(claim, [row for row in findings if row["claim"] == claim["claim"]])
        for claim in read_claims()
    )


def _format_claim(claim: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> str:
    heading = claim["claim"]
    lines = [
        f"### {heading[0].upper()}{heading[1:]}",
        "",
        f"Published [{claim['source']}]: {claim['published']}."
        f" **{claim['standing'].capitalize()}.**",
        f"{claim['says']} Settled by: {claim['settles']}.",
        "",
    ]
    if not rows:
        return "\n".join([*lines, "Nothing in this study bears on it.", ""])
    lines += ["| of | model | value | 95 % interval | |", "|---|---|---:|---|---|"]
    for row in rows:
        source = "" if row["source_id"] == "images" else f" ({_escape(row['source_id'])})"
        cells = (
            f"{row['quantity']}{source}",
            _escape(row["model_id"]),
            _format_number(row["value"]),
            _format_interval(row["low"], row["high"]),
            _escape(row["remark"] or ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _format_number(value: float | None) -> str:
    if value is None:
        return "not known"
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.{_DIGITS}g}"


def _format_interval(low: float | None, high: float | None) -> str:
    return "" if low is None else f"{_format_number(low)} to {_format_number(high)}"


def _escape(text: str) -> str:
    """Keep a study's own text within its cell, and what no eye sees visible."""
    seen = "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)
    for mark, safe in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "\\`")):
        seen = seen.replace(mark, safe)
    return seen
