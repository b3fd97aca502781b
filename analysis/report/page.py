"""Writing the report: one offline page without scripts, for the screen and for A4."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.study import PART, plan_figures
from upscale_audit.analysis.lqd.texts import get_texts
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.output import draw_svg
from upscale_audit.analysis.pages import compose_page, spell_text
from upscale_audit.analysis.png import encode_png
from upscale_audit.analysis.report import cutouts
from upscale_audit.analysis.report.facts import read_facts
from upscale_audit.analysis.report.sentences import (
    PERCENT,
    say_findings,
    say_warnings,
    spell_number,
    spell_parts,
)
from upscale_audit.ingest.files import write_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.report.cutouts import Cutout
    from upscale_audit.analysis.report.facts import Facts
    from upscale_audit.ingest.study import Study

    Cell = str | tuple[str, str]
    """A text, or two of which the second stands below the first."""


_PACKAGE = "upscale_audit.analysis.report"
FIGURES = (
    "consistency",
    "contradictions_",
    "ledger",
    "model_pairs",
    "axis1_distribution",
    "tier3_states",
    "flag_rates_",
)
"""What is drawn, in this order, where the study has it; a name that ends in _ is a beginning."""
MOST_BYTES = 4_000_000
"""Of all figures together; one that would go beyond it is left to figures/."""
COVERAGE_SHOWN = 40
ENLARGED = 3
"""Times that a cutout is enlarged."""
FRAME_RGB = (230, 120, 0)
FRAME_PX = 2
"""Its width: pictures are shown at half their size and more, and none of its sides may vanish."""
_MEANS = ("mse_dn2", "local_ssim", "axis1", "invented_dn2", "lost_dn2", "bent_dn2")
LEADS = {"patient": "lead", "image": "lead_images", "mixed": "lead_mixed"}


def write_report(
    study: Study, path: Path, folders: Mapping[str, Path], language: str = "en"
) -> dict[str, str]:
    """Write a study's report.

    Parameters
    ----------
    study : ingest.study.Study
        Built.
    path : Path
        Where the page goes.
    folders : dict
        Folder of the LR images as ``"lr"``, and of each model's notta images by its name.
    language : {"en", "ja"}

    Returns
    -------
    dict
        SHA-256 of each image that is shown, by its place.

    Raises
    ------
    StudyError
        No warehouse, one of another version, or references that are not where they were measured.
    """
    sources: dict[str, str] = {}
    text = get_texts(language, _PACKAGE)
    with Marts(study.warehouse) as marts:
        facts = read_facts(marts)
        parts = [_write_head(facts, text)]
        if facts.rows:
            worst, sources = cutouts.cut_worst_blocks(marts, study.references, folders)
            findings = _list(say_findings(marts, facts, text))
            parts += [_section(text["findings"], findings), _write_warnings(facts, text)]
            parts += [_write_table(facts, text), _write_worst(worst, facts, text)]
        else:
            parts += [_paragraph(text["no_images"]), _write_warnings(facts, text)]
        parts.append(_write_figures(marts, study.references, folders, text))
    if facts.coverage:
        parts.append(_write_coverage(facts, text))
    parts.append(_write_method(facts, text))
    style = files(_PACKAGE).joinpath("page.css").read_text(encoding="utf-8")
    title = text["title"].format(study=facts.study["study_name"])
    body = "\n".join(["<main>", *parts, "</main>"])
    write_text(path, compose_page(title, body, language=language, styles=[style]))
    return sources


def _write_head(facts: Facts, text: Mapping[str, str]) -> str:
    title = text["title"].format(study=facts.study["study_name"])
    lead = text[LEADS[facts.cluster_unit]].format(
        images=f"{facts.image_count:,}",
        clusters=f"{facts.cluster_count:,}",
        unit=_name_unit(facts, text),
        models=f"{facts.model_count:,}",
    )
    shown = _paragraph(lead, "lead") if facts.image_count else ""
    return f"<h1>{_spell(title)}</h1>\n{shown}"


def _name_unit(facts: Facts, text: Mapping[str, str]) -> str:
    return text[f"unit_{facts.cluster_unit}"]


def _write_warnings(facts: Facts, text: Mapping[str, str]) -> str:
    said = say_warnings(facts, text)
    if not said:
        return _section(text["warnings"], _paragraph(text["no_warnings"]))
    return _section(text["warnings"], f'<div class="warnings">{_list(said)}</div>')


def _write_table(facts: Facts, text: Mapping[str, str]) -> str:
    """Write a row a model and path; a column that no row has is left out."""
    columns = [name for name in _MEANS if any(getattr(row, name) for row in facts.rows)]
    heads = [text[name] for name in ("model", "path", "images", *columns)]
    if facts.has_lr:
        heads.append(text["contradicted_ratio"])
    rows = []
    for row in facts.rows:
        cells: list[Cell] = [row.label, row.inference_path, f"{row.image_count:,}"]
        cells += [spell_parts(getattr(row, name), text) for name in columns]
        if facts.has_lr:
            cells.append(spell_parts(row.contradicted_ratio, text, *PERCENT))
        rows.append(cells)
    note = text["table_lr" if facts.has_lr else "table_plain"].format(
        unit=_name_unit(facts, text),
        tested=facts.tested_count,
        proof=text["proof_made" if facts.is_lr_made else "proof"],
    )
    shown = len({row.model_id for row in facts.rows})
    if shown < facts.model_count:
        note += " " + text["table_part"].format(shown=shown, count=facts.model_count)
    table = _table(heads, rows, text["each_model"])
    return _section(text["each_model"], table + _paragraph(note, "note"))


def _write_worst(worst: Sequence[Cutout], facts: Facts, text: Mapping[str, str]) -> str:
    shown = []
    for cutout in worst:
        key = "block" if cutout.judged_px is None else "block_lr"
        if cutout.judged_px == 0:
            key = "block_unjudged"
        numbers = text[key].format(
            mse=spell_number(cutout.mse_dn2),
            contradicted=cutout.contradicted_px,
            judged=cutout.judged_px,
        )
        place = text["place"].format(image=cutout.image_id, row=cutout.row_px, col=cutout.col_px)
        if cutout.pictures:
            names = text["reference"], text["restored"], text["difference"]
            pictures = "".join(
                f'<span>{_spell(name)}<img alt="{_spell(name)}" src="{encode_png(pixels)}"></span>'
                for name, pixels in zip(names, _frame(cutout), strict=True)
            )
            pictures = f"<div>{pictures}</div>"
        else:
            pictures = _paragraph(text["not_there"])
        shown.append(
            f'<div class="triple"><h3>{_spell(cutout.label)}</h3>{pictures}'
            f'<p class="place">{_spell(place)}; {_spell(numbers)}</p></div>'
        )
    caption = text["worst_caption"].format(side=cutouts.SIDE_PX, limit=cutouts.DIFFERENCE_DN)
    if facts.model_count > cutouts.MODELS_SHOWN:
        part = text["worst_part"]
        caption += " " + part.format(shown=cutouts.MODELS_SHOWN, count=facts.model_count)
    body = f'<div class="worst">{"".join(shown)}</div>{_paragraph(caption, "note")}'
    return _section(text["worst"], body)


def _frame(cutout: Cutout) -> Iterator[npt.NDArray[np.uint8]]:
    """Enlarge a cutout's pictures without smoothing, and draw a frame around the block."""
    row, col = (ENLARGED * place for place in cutout.frame)
    side = ENLARGED * 8
    for pixels in cutout.pictures:
        colours = pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1)
        drawn = colours.repeat(ENLARGED, axis=0).repeat(ENLARGED, axis=1)
        top, left = max(0, row - FRAME_PX), max(0, col - FRAME_PX)
        bottom, right = (
            min(place + side + FRAME_PX, length)
            for place, length in zip((row, col), drawn.shape, strict=False)
        )
        framed = np.zeros(drawn.shape[:2], dtype=bool)
        framed[top:bottom, left:right] = True
        framed[top + FRAME_PX : bottom - FRAME_PX, left + FRAME_PX : right - FRAME_PX] = False
        drawn[framed] = FRAME_RGB
        yield drawn


def _write_figures(
    marts: Marts, references: Path | None, folders: Mapping[str, Path], text: Mapping[str, str]
) -> str:
    """Draw the figures that matter; of one that has parts, the first."""
    planned = plan_figures(marts, references, folders=folders)
    parts, left = [], MOST_BYTES
    for wanted in FIGURES:
        own = [name for name in planned if PART.sub("", name) == wanted or _starts(name, wanted)]
        if not own:
            continue
        chart = planned[own[0]](marts)
        if theme.find_message(chart) is not None:
            continue
        svg = draw_svg(theme.finish(chart)).encode()
        uri = "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
        if len(uri) > left:
            parts.append(_paragraph(text["figure_heavy"].format(name=own[0]), "note"))
            continue
        left -= len(uri)
        note = f"<figcaption>{_spell(text['figure_part'])}</figcaption>" if own[1:] else ""
        alt = f"{own[0]}: {text['figure_alt']}"
        parts.append(f'<figure><img alt="{_spell(alt)}" src="{uri}">{note}</figure>')
    return _section(text["figures"], "".join(parts)) if parts else ""


def _starts(name: str, wanted: str) -> bool:
    return wanted.endswith("_") and name.startswith(wanted)


def _write_coverage(facts: Facts, text: Mapping[str, str]) -> str:
    missing = [row for row in facts.coverage if row["measured_image_count"] < row["image_count"]]
    missing = [row for row in missing if row["not_declared_image_count"] < row["image_count"]]
    if not missing:
        count, cut = (
            sum(row[name] for row in facts.coverage)
            for name in ("measured_block_count", "partial_block_count")
        )
        said = text["coverage_cut" if cut else "coverage_whole"]
        said = said.format(blocks=f"{count:,}", cut=f"{cut:,}")
        return _section(text["coverage"], _paragraph(said))
    heads = [text[name] for name in ("model", "path", "expected", "measured", "missing", "refused")]
    counts = (
        "expected_block_count",
        "measured_block_count",
        "missing_image_count",
        "rejected_image_count",
    )
    rows = [
        [row["label"], row["inference_path"], *(f"{row[name]:,}" for name in counts)]
        for row in missing[:COVERAGE_SHOWN]
    ]
    note = ""
    if missing[COVERAGE_SHOWN:]:
        note = _paragraph(text["coverage_part"].format(count=len(missing) - COVERAGE_SHOWN), "note")
    return _section(text["coverage"], _table(heads, rows, text["coverage"]) + note)


def _write_method(facts: Facts, text: Mapping[str, str]) -> str:
    study = facts.study
    words = {
        "basis": study["axis_basis"] or "\u2013",
        "version": study["code_version"],
        "unit": _name_unit(facts, text),
        "tested": facts.tested_count,
        "study": study["study_name"],
        "root": study["sources_root"],
    }
    method = "".join(_paragraph(text[key].format(**words)) for key in ("method_1", "method_2"))
    hashes = [
        [text["root"].format(count=f"{study['source_file_count']:,}"), study["sources_root"]],
        [text["raw"], study["raw_content_sha256"]],
        [text["build"], study["build_recipe_sha256"]],
    ]
    cells = "".join(
        f'<tr><th scope="row">{_spell(name)}</th><td>{_spell(value or "")}</td></tr>'
        for name, value in hashes
    )
    cite = _paragraph(text["cite_text"].format(**words)) + _paragraph(text["check_text"])
    cite += f'<table class="hashes">{cells}</table>'
    return _section(text["method"], method) + _section(text["cite"], cite)


def _spell(text: object) -> str:
    """Spell any text as markup that shows it."""
    return escape(spell_text(str(text)))


def _paragraph(text: str, name: str | None = None) -> str:
    return f"<p{f' class={chr(34)}{name}{chr(34)}' if name else ''}>{_spell(text)}</p>"


def _list(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_spell(text)}</li>" for text in texts) + "</ul>"


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{_spell(title)}</h2>\n{body}\n</section>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[Cell]], name: str) -> str:
    """Compose a table; a row's first heads it.

    Where a window is too narrow for it, a keyboard scrolls it too.
    """
    first = "".join(f'<th scope="col">{_spell(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{_spell(head)}</th>{"".join(map(_write_cell, cells))}</tr>'
        for head, *cells in rows
    )
    scrolled = f'class="scroll" tabindex="0" role="region" aria-label="{_spell(name)}"'
    return f"<div {scrolled}><table><tr>{first}</tr>{body}</table></div>"


def _write_cell(cell: Cell) -> str:
    value, below = (cell, "") if isinstance(cell, str) else cell
    return f"<td>{_spell(value)}{f'<span>{_spell(below)}</span>' if below else ''}</td>"
