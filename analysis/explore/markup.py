"""The page's texts as markup: any text of a study is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from bokeh.core.templates import FILE, get_env

from upscale_audit.analysis.explore.answers import MOST_ROWS
from upscale_audit.analysis.explore.colours import MEANINGS
from upscale_audit.analysis.explore.views import spell_query
from upscale_audit.analysis.pages import spell_text
from upscale_audit.analysis.theme import count_noun

if TYPE_CHECKING:
    from bokeh.document import Document

    from upscale_audit.analysis.explore.answers import Answer
    from upscale_audit.analysis.explore.explorer import Explorer
    from upscale_audit.analysis.explore.pixels import Film
    from upscale_audit.analysis.explore.quantities import Quantity
    from upscale_audit.analysis.explore.views import View


MOST_CHARACTERS = 1000
"""Of a value that a table shows."""
_PACKAGE = "upscale_audit.analysis.explore"


def _read_part(name: str) -> str:
    return files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


INNER_STYLE = _read_part("inner.css")
"""Of what lies in a widget's own tree, which the page's style does not reach."""


def dress(document: Document, explorer: Explorer) -> None:
    """Give a document the page around its parts."""
    models, images = len(explorer.models), len(explorer.images)
    counts = f"{count_noun(models, 'model')}, {count_noun(images, 'image')}"
    document.title = spell_text(f"Explore {explorer.study.name}")
    document.template = get_env().from_string(_read_part("page.html"))
    document.template_variables.update(
        base=FILE,
        style=_read_part("page.css"),
        study=spell_text(explorer.study.name),
        lead=f"{counts}. Read-only, and on this machine alone.",
    )


def group(quantities: Iterable[Quantity]) -> dict[str, list[tuple[str, str]]]:
    """Group quantities for a list of choices: stem and title of each."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for item in quantities:
        groups.setdefault(item.group, []).append((item.stem, item.title))
    return groups


def spell(text: object) -> str:
    """Spell any text as markup that shows it."""
    return escape(spell_text(str(text)))


def paragraph(text: object) -> str:
    """Compose a paragraph."""
    return f"<p>{spell(text)}</p>"


def alarm(text: object) -> str:
    """Compose a message of what went wrong."""
    return f'<pre class="alarm" role="alert">{spell(text)}</pre>'


def meaning(quantity: Quantity, inference_path: str) -> str:
    """Say what a quantity is: the words of the warehouse."""
    texts = quantity.descriptions[inference_path], MEANINGS[quantity.scale]
    return "".join(f'<p class="quiet">{spell(text)}</p>' for text in texts)


def caption(view: View, label: str, films: tuple[Film, Film]) -> str:
    """Say what both films are, and why one is not shown."""
    text = (
        f"<p>Left: reference <b>{spell(view.image_id)}</b>. Right: <b>{spell(label)}</b>,"
        f" {spell(view.inference_path)}. Drag to move both, click to choose a block.</p>"
    )
    problems = [film.problem for film in films if film.problem]
    return text + "".join(f'<p class="alarm" role="alert">{spell(item)}</p>' for item in problems)


def tabulate_block(
    numbers: Mapping[str, Any] | None,
    block: tuple[int, int],
    quantities: Iterable[Quantity],
    view: View,
) -> str:
    """Tabulate what the warehouse holds of a block."""
    place = f"row {block[0]}, column {block[1]}; pixels from {8 * block[0]}, {8 * block[1]}"
    if numbers is None:
        return paragraph(f"{place}: the warehouse has no such block.")
    lines, last = [], None
    for item in quantities:
        if item.group != last:
            last = item.group
            lines.append(
                f'<tr class="group"><th scope="rowgroup" colspan="2">{spell(last)}</th></tr>'
            )
        value = numbers[item.column(view.inference_path)]
        shown = ' class="shown"' if item.stem == view.quantity.stem else ""
        lines.append(
            f'<tr{shown}><th scope="row">{spell(item.title)}</th>'
            f'<td class="number">{spell_value(value)}</td></tr>'
        )
    partial = " The image's frame cuts it: nothing is measured." if numbers["is_partial"] else ""
    return (
        f'<div class="scroll tall" tabindex="0" role="region" aria-label="Numbers of the block">'
        f"<table><caption>{spell(place)}.{partial}</caption><tbody>{''.join(lines)}</tbody></table>"
        "</div>"
    )


def spell_value(value: object) -> str:
    """Spell a value of the warehouse; a missing one is a dash, and only numbers have a minus."""
    if value is None:
        return "\u2013"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float | Decimal):
        return spell(value).replace("-", "\u2212")
    text = str(value)
    return spell(text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}\u2026")


def list_files(view: View, address: str) -> str:
    """List what can be saved of what is seen, and show its query."""
    links = {
        "Figure, PNG": f"/save/figure.png?{address}",
        "Figure, SVG": f"/save/figure.svg?{address}",
        "Blocks, CSV": f"/save/blocks.csv?{address}",
        "Query, SQL": f"/save/blocks.sql?{address}",
    }
    items = "".join(
        f'<li><a href="{escape(target)}" download>{name}</a></li>' for name, target in links.items()
    )
    return (
        f'<ul class="files">{items}'
        f'<li><a href="/?{escape(address)}">Link to this view</a></li></ul>'
        f"<pre>{spell(spell_query(view))}</pre>"
    )


def describe_table(name: str, description: str, columns: Sequence[Mapping[str, Any]]) -> str:
    """Describe a table and its columns: the words of the warehouse."""
    lines = "".join(
        f'<tr><th scope="row">{spell(item["column_name"])}</th><td>{spell(item["data_type"])}</td>'
        f"<td>{spell(item['comment'] or '')}</td></tr>"
        for item in columns
    )
    return (
        f'{paragraph(description)}<div class="scroll" tabindex="0" role="region"'
        f' aria-label="Columns of {spell(name)}"><table><thead><tr><th scope="col">column</th>'
        f'<th scope="col">type</th><th scope="col">meaning</th></tr></thead><tbody>{lines}</tbody>'
        "</table></div>"
    )


def tabulate_answer(answer: Answer, sql: str) -> str:
    """Tabulate the rows of an answer, say how many there are, and offer all as CSV."""
    count = f"{count_noun(len(answer.rows), 'row')}."
    said = f"The first {MOST_ROWS} rows; there are more." if answer.has_more else count
    heads = "".join(f'<th scope="col">{spell(name)}</th>' for name in answer.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{spell_value(value)}</td>" for value in values) + "</tr>"
        for values in answer.rows
    )
    target = escape(f"/save/answer.csv?{urlencode({'sql': sql})}")
    return (
        f'<p role="status">{said} <a href="{target}" download>All of it, CSV</a></p>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Answer"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
