"""Trust map of an image: which blocks a promise of mart_guarantee covers, under each model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.blockmap import (
    GAP_PT,
    REFERENCE_PX,
    ColourScale,
    draw_panel,
    find_display,
    paint_values,
    read_reference,
)
from upscale_audit.analysis.figures.quantity import (
    choose_drawn,
    choose_form,
    choose_scale,
    find_image,
    lay_out,
    spell_number,
    write_map,
)
from upscale_audit.analysis.marts import Marts, quote_text
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from upscale_audit.ingest.study import Study


NAME = "trust_map"
SCORES = {
    "lr_rms_dn": "lr_rms_dn_{path}",
    "tta_gap_dn2": "cast(pow(cast(mean_dn_tta - mean_dn_notta as double), 2)"
    " + pow(sqrt(cast(variance_dn2_tta as double))"
    " - sqrt(cast(variance_dn2_notta as double)), 2) as decimal(11, 6))",
    "detail_dn2": "variance_dn2_{path}",
}
"""A score in SQL of fct_blocks, as macros/guarantees.sql has it, against which it is tested: what a
warehouse holds is never run as SQL."""
LOSS = "erroneous"
"""The loss whose blocks are masked by default."""
UNITS = {"dn": "dn", "dn2": "dn\u00b2"}
_STRIPE_PX, _DARK, _LIGHT = 8, 120, 235


@dataclass(frozen=True)
class Promise:
    """What a trust map is asked for.

    Attributes
    ----------
    alpha : float
        Share of the truly bad blocks that it may miss.
    score : str or None
        A key of `SCORES`; None for the LR residual where the study has it, else local detail.
    loss : str
        What makes a block truly bad.
    """

    alpha: float
    score: str | None = None
    loss: str = LOSS


def find_promises(
    marts: Marts, promise: Promise, inference_path: str, models: Sequence[str]
) -> tuple[list[dict[str, Any]], str]:
    """Find the rows of mart_guarantee that a map is drawn by.

    Parameters
    ----------
    marts : analysis.marts.Marts
    promise : Promise
    inference_path : {"notta", "tta"}
    models : list of str

    Returns
    -------
    rows : list of dict
        Of the models that have the promise, in their order.
    left_out : str
        Which others there are, and why; empty where there are none.

    Raises
    ------
    StudyError
        The mart has no such score, loss or alpha, or no model has a limit: with the smallest alpha
        that one has.
    """
    named = ", ".join(map(quote_text, models))
    rows = marts.order_rows(
        marts.rows(
            "select *, cast(limit_score as double) as limit from mart_guarantee"
            f" where model_id in ({named}) and inference_path = {quote_text(inference_path)}"
            " order by model_id, score, loss, alpha_ratio"
        )
    )
    if not rows:
        raise StudyError(
            f"mart_guarantee has no row of {', '.join(models)} ({inference_path});"
            " mart_coverage says what was measured"
        )
    score = promise.score or _choose_score(rows)
    for name, given in {"score": score, "loss": promise.loss, "alpha_ratio": promise.alpha}.items():
        _check_term(name, given, sorted({row[name] for row in rows}))
    mine = [row for row in rows if (row["score"], row["loss"]) == (score, promise.loss)]
    asked = [row for row in mine if row["alpha_ratio"] == promise.alpha]
    kept = [row for row in asked if row["is_attainable"]]
    if not kept:
        others = sorted({row["alpha_ratio"] for row in mine if row["is_attainable"]})
        least = f"the smallest alpha that can be had is {others[0]:g}" if others else "no alpha can"
        raise StudyError(
            f"no trust mask by {score} for alpha {promise.alpha:g}: {asked[0]['reason']}; {least}"
            + ("" if others else " be had: mart_guarantee says why")
        )
    left_out = [
        f"{marts.labels[row['model_id']]} ({row['reason']})" for row in asked if row not in kept
    ]
    return kept, f"Not drawn: {', '.join(left_out)}." if left_out else ""


def _choose_score(rows: Sequence[Mapping[str, Any]]) -> str:
    """Choose by what the study has, never by how well a score does in it."""
    has_lr = any(row["score"] == "lr_rms_dn" and row["scored_ratio"] > 0 for row in rows)
    return "lr_rms_dn" if has_lr else "detail_dn2"


def _check_term(name: str, given: object, known: Sequence[object]) -> None:
    if given not in known:
        listed = ", ".join(map(str, known))
        raise StudyError(f"no {name} {given!r} in mart_guarantee; expected one of {listed}")


def draw_trust_map(
    marts: Marts,
    references: Path,
    image_id: str,
    promise: Promise,
    inference_path: str,
    models: Sequence[str],
    width_pt: float = theme.DOUBLE_COLUMN_PT,
) -> alt.TopLevelMixin:
    """Draw the reference of an image beside each model's blocks, those not to be trusted hatched.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : Path
        Folder of the reference images.
    image_id : str
    promise : Promise
    inference_path : {"notta", "tta"}
    models : list of str
        In the order in which they are drawn.
    width_pt : float

    Returns
    -------
    altair.TopLevelMixin

    Raises
    ------
    StudyError
        As `find_promises`; no such image, or a reference that is not the one that was measured.
    """
    image = find_image(marts, image_id)
    rows, left_out = find_promises(marts, promise, inference_path, models)
    named = ", ".join(quote_text(row["model_id"]) for row in rows)
    sql = SCORES[rows[0]["score"]].format(path=inference_path)
    blocks = marts.frame(
        f"select model_id, block_row, block_col, cast({sql} as double) as score from fct_blocks"
        f" where image_id = {quote_text(image_id)} and model_id in ({named})"
        " order by model_id, block_row, block_col"
    )
    if blocks.is_empty():
        raise StudyError(
            f"no block of {image_id!r} was measured under these models ({inference_path});"
            " mart_coverage says what was"
        )
    own = {row["model_id"]: blocks.filter(blocks["model_id"] == row["model_id"]) for row in rows}
    trusted = {row["model_id"]: _find_trusted(own[row["model_id"]], row["limit"]) for row in rows}
    (term,) = marts.rows(
        f"select label from dim_trust_terms where term = {quote_text(rows[0]['score'])}"
    )
    values = np.concatenate(
        [frame["score"].to_numpy()[trusted[model_id]] for model_id, frame in own.items()]
    )
    unit = UNITS[rows[0]["unit"]]
    scale = choose_scale(f"{term['label']} ({unit})", values if len(values) else np.zeros(1))
    size_pt, columns = lay_out(image, len(rows) + 1, width_pt)
    reference = read_reference(references, image, find_display(marts, image_id))
    panels = [draw_panel(reference, size_pt, "Reference", f"{theme.break_label(image_id, 24)}\n ")]
    shape = image["block_rows"], image["block_cols"]
    for row in rows:
        model_id = row["model_id"]
        raster = paint_trust(own[model_id], trusted[model_id], shape, scale)
        share = 1 - trusted[model_id].sum() / (shape[0] * shape[1])
        limit = "none trusted" if row["limit"] is None else f"up to {spell_number(row['limit'])}"
        label = theme.break_label(marts.labels[model_id], 24)
        summary = f"{limit} {unit}\nmasked here {share:.0%}".replace("%", "\u00a0%")
        panels.append(draw_panel(raster, size_pt, label, summary, scale))
    title = f"What may be trusted at \u03b1 = {promise.alpha:g}: {image_id}"
    caption = [*describe_promise(marts, rows), left_out]
    return alt.concat(*panels, columns=columns, spacing=GAP_PT).properties(
        title=theme.make_title(title, caption, width_pt)
    )


def _find_trusted(blocks: pl.DataFrame, limit: float | None) -> npt.NDArray[np.bool_]:
    """Tell which blocks have a score at or below a limit; none where there is no limit."""
    scores = blocks["score"].fill_null(np.inf).to_numpy()
    return np.asarray(scores <= (-np.inf if limit is None else limit))


def paint_trust(
    blocks: pl.DataFrame,
    trusted: npt.NDArray[np.bool_],
    shape: tuple[int, int],
    scale: ColourScale,
) -> npt.NDArray[np.uint8]:
    """Paint the scores of trusted blocks, and hatch all others.

    Parameters
    ----------
    blocks : polars.DataFrame
        block_row, block_col and score of one image and model.
    trusted : numpy.ndarray
        Shape (N,), bool, of its rows.
    shape : tuple of int
        Rows and columns of blocks.
    scale : ColourScale

    Returns
    -------
    numpy.ndarray
        Shape (M, N, 3), uint8, sRGB.
    """
    picture = paint_values(blocks.filter(trusted), "score", shape, scale)
    covered = np.zeros(shape, bool)
    places = blocks.filter(trusted)
    covered[places["block_row"].to_numpy(), places["block_col"].to_numpy()] = True
    side = max(1, round(REFERENCE_PX / max(shape)))
    masked = ~covered.repeat(side, axis=0).repeat(side, axis=1)
    rows, cols = np.indices(masked.shape)
    stripes = np.where((rows + cols) % _STRIPE_PX < _STRIPE_PX // 3, _DARK, _LIGHT)
    picture[masked] = stripes[masked][:, None]
    return picture


def describe_promise(marts: Marts, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say in plain words what is promised, to whom, what it is not, and what it costs.

    Parameters
    ----------
    marts : analysis.marts.Marts
    rows : list of dict
        Of mart_guarantee, of one score, loss and alpha.

    Returns
    -------
    list of str
        Sentences of a caption.
    """
    first = rows[0]
    (loss,) = marts.rows(
        f"select says from dim_trust_terms where term = {quote_text(first['loss'])}"
    )
    unit = {"patient": "patient", "image": "image"}.get(first["cluster_unit"], "case")
    counts = [row["limit_cluster_count"] for row in rows]
    named = sorted({row["limit_source"] for row in rows}, key=lambda name: (name != "own", name))
    sources = ["this study" if name == "own" else name for name in named]
    if sources != ["this study"]:
        # Whose limits another study's are, its file does not say.
        unit = "case"
    costs = [
        f"{marts.labels[row['model_id']]} {row['masked_ratio']:.0%}".replace("%", "\u00a0%")
        for row in rows
    ]
    limit_dn2 = f"{float(first['loss_limit_dn2']):g} dn\u00b2"
    empty = [f"{marts.labels[row['model_id']]}: {row['reason']}" for row in rows if row["reason"]]
    return [
        f"Hatched: masked, because the score is above the model's limit or is not known. Promised:"
        f" of the truly bad blocks of a new {unit} the mask misses at most"
        f" {100 * first['alpha_ratio']:g} % on average, if new {unit}s are like those that the"
        " limits are of (exchangeable).",
        f"It is an average over {unit}s, one without a bad block counting as 0: no promise for this"
        " image, nor of other films or scanners; and hatched is not wrong, it is not vouched for.",
        f"Truly bad ({first['loss']}, limit {limit_dn2}): {loss['says']}",
        f"Limits from n = {theme.count_span(counts, unit)} of {' and '.join(sources)}.",
        "A case is a patient, or an image without one." if unit == "case" else "",
        f"Masked on average over the study's {unit}s: {theme.name_some(costs)}.",
        f"{'; '.join(empty)}." if empty else "",
    ]


def write_trust_map(
    study: Study,
    image_id: str,
    promise: Promise,
    folder: Path,
    *,
    path: str = "notta",
    model_id: str | None = None,
    plain: bool = False,
    width_mm: int | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Draw a map as `draw_trust_map` does, into a folder of its own.

    Parameters
    ----------
    study : ingest.study.Study
        Built.
    image_id : str
    promise : Promise
    folder : Path
        Of all maps.
    path : {"notta", "tta"}
    model_id : str, optional
        The one model that is drawn; by default the first `quantity.MODELS_DRAWN`.
    plain : bool
        Without title and caption.
    width_mm : int, optional
        In print.

    Returns
    -------
    paths : list of Path
        The map in four formats, and ``captions.txt``.
    sources : dict
        SHA-256 of the reference, by its name within the study.
    """
    width_pt, form = choose_form(plain, width_mm)
    with Marts(study.warehouse) as marts:
        references, models = choose_drawn(study, marts, model_id)
        chart = draw_trust_map(marts, references, image_id, promise, path, models, width_pt)
        rows, _ = find_promises(marts, promise, path, models)
        image = find_image(marts, image_id)
    name = f"{path}_trust_{promise.alpha:g}_{rows[0]['score']}_{promise.loss}"
    place = folder / name / (model_id or "_all") / image_id
    return write_map(chart, place, NAME, form, image)
