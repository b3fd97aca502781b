"""Figures of what restored images say of the LR images they were made of."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
from PIL import Image

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.blockmap import find_display, read_reference
from upscale_audit.analysis.marts import quote_text
from upscale_audit.analysis.png import encode_png
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.images import decode_image

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from upscale_audit.analysis.marts import Marts
    from upscale_audit.ingest.windows import Display


TITLE = "Held against the LR image: what is contradicted, and what it could not decide"
MAP_TITLE = "Where the LR image is contradicted"
KINDS = {
    "bent": theme.VERMILLION,
    "invented": theme.PURPLE,
    "lost": theme.BLUE,
    "amplified": theme.ORANGE,
}
PANEL_GAP_PT, ROW_PT, BAR_PT = 12, 12, 8
SHARE_PT, INVENTED_PT = 104, 84
WINDOW_PX = 96
"""Side of the part of an image that is shown enlarged."""
Made = tuple[bool, bool]
"""LR images were made of the references; by a rule that does not read all pixels alike."""
PANEL_PX, MODELS_A_ROW, GAP_PT = 288, 5, 6


def has_consistency(marts: Marts) -> bool:
    """Whether any image was held against its LR image."""
    (row,) = marts.rows("select count(*) as rows from mart_consistency")
    return bool(row["rows"] > 0)


def draw_consistency(marts: Marts) -> alt.HConcatChart:
    """Draw the share of contradicted blocks, and the error by what the LR image says of it.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    altair.TopLevelMixin
    """
    rows = marts.rows(
        "select * from mart_consistency where judged_block_count > 0"
        " order by model_id, inference_path"
    )
    if not rows:
        return theme.draw_message(TITLE, [], "No LR image is known: dim_images says why.")
    rows = marts.order_rows(rows)
    for row in rows:
        tta = ", tta" if row["inference_path"] == "tta" else ""
        row["row"] = theme.break_label(marts.labels[row["model_id"]] + tta, 26)
    labels = [row["row"] for row in rows]
    height = round(len(labels) * theme.row_height(labels, ROW_PT))
    composed = theme.DOUBLE_COLUMN_PT - theme.label_width(labels) - 24
    composed = int(composed - SHARE_PT - INVENTED_PT - 2 * PANEL_GAP_PT)
    charts = [
        _draw_shares(rows, labels).properties(width=SHARE_PT, height=height),
        _draw_composition(rows, labels).properties(width=composed, height=height),
        _draw_invented(rows, labels).properties(width=INVENTED_PT, height=height),
    ]
    title = theme.make_title(TITLE, _describe(rows, _read_made(marts)))
    chart = alt.hconcat(*charts, spacing=PANEL_GAP_PT, title=title)
    return chart.resolve_scale(color="independent")


def _read_made(marts: Marts) -> Made:
    """Read whether LR images were made of the references, and by a rule that leaves pixels out."""
    (made,) = marts.rows(
        "select coalesce(bool_or(lr_rule_status = 'unverified'), false) as is_made,"
        " coalesce(bool_or(lr_rule = 'opencv_cubic' and lr_scale > 2), false) as is_sparse"
        " from mart_consistency_images where judged_block_count > 0"
    )
    return made["is_made"], made["is_sparse"]


def _describe(rows: Sequence[dict[str, Any]], made: Made) -> list[str]:
    is_made, is_sparse = made
    images = theme.count_span([row["image_count"] for row in rows], "image")
    blocks = theme.count_span([row["judged_block_count"] for row in rows], "block")
    floor = max(row["rounding_floor_dn2"] for row in rows)
    return [
        "Left: blocks with an LR pixel that no image which rounds to the restored one can have"
        " given: "
        + (
            "proof if models were given the LR images that the stated rule makes of the references"
            if is_made
            else "proof without the reference"
        )
        + ", and no threshold; the reference itself has none.",
        "Middle: the squared error by what the LR rule sees of it (bent), and of what it cannot see"
        " what restored has and the reference has not (invented), what it has too little (lost)"
        " or too much of (amplified); number: mean squared error, dn\u00b2.",
        f"Right: invented, dn\u00b2; dashed: what rounding to 8 bits gives, {floor:g}. What is lost"
        " holds the reference's noise (definitions E.9).",
        "opencv_cubic at 1/3 and 1/4 does not read all pixels alike: what is bent and what is"
        " invented says little there."
        if is_sparse
        else "",
        f"n = {images} and {blocks} per row.",
        theme.describe_intervals(rows, "contradicted_low_ratio", "Korn and Graubard"),
        "Right: bootstrap." if any(row["invented_dn2_low"] is not None for row in rows) else "",
    ]


def _order(labels: Sequence[str]) -> alt.Y:
    return alt.Y("row:N", sort=labels, title=None, axis=theme.make_model_axis())


def _hidden(labels: Sequence[str]) -> alt.Y:
    return alt.Y("row:N", sort=labels, title=None, axis=None)


def _draw_shares(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> alt.LayerChart:
    data = [
        {
            "row": row["row"],
            "share": 100 * row["contradicted_ratio"],
            "low": _percent(row["contradicted_low_ratio"]),
            "high": _percent(row["contradicted_high_ratio"]),
        }
        for row in rows
    ]
    # Without padding, the point at 0 lies on its model's name.
    scale = alt.Scale(domain=[0, 100], padding=4)
    axis = alt.Axis(tickCount=5)
    x = alt.X("share:Q", title="Contradicted blocks (%)", scale=scale, axis=axis)
    base = alt.Chart(theme.make_data(data))
    lines = base.mark_rule(strokeWidth=0.75).encode(
        x=alt.X("low:Q", scale=scale), x2="high:Q", y=_order(labels)
    )
    points = base.mark_point(filled=True, size=22, color=theme.VERMILLION, opacity=1).encode(
        x=x, y=_order(labels)
    )
    return alt.layer(lines.transform_filter("datum.low != null"), points)


def _percent(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * ratio


def _draw_composition(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> alt.LayerChart:
    bars, numbers = [], []
    for row in rows:
        total = math.fsum(row[f"{kind}_dn2"] for kind in KINDS)
        numbers.append({"row": row["row"], "mse": f"{row['mse_dn2']:.3g}"})
        bars += [
            {
                "row": row["row"],
                "kind": kind,
                "order": order,
                "share": 100 * row[f"{kind}_dn2"] / total if total else 0,
            }
            for order, kind in enumerate(KINDS)
        ]
    colours = alt.Scale(domain=list(KINDS), range=list(KINDS.values()))
    drawn = (
        alt.Chart(theme.make_data(bars))
        .mark_bar(size=BAR_PT)
        .encode(
            x=alt.X(
                "share:Q",
                title="Share of the squared error (%)",
                scale=alt.Scale(domain=[0, 116], nice=False),
                axis=alt.Axis(values=[0, 25, 50, 75, 100]),
            ),
            y=_hidden(labels),
            color=alt.Color("kind:N", title=None, scale=colours),
            order="order:Q",
        )
    )
    written = (
        alt.Chart(theme.make_data(numbers))
        .mark_text(align="right", fontSize=theme.TEXT_PT)
        .encode(x=alt.datum(116), y=_hidden(labels), text="mse:N")
    )
    return alt.layer(drawn, written)


def _draw_invented(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> alt.LayerChart:
    data = [
        {
            "row": row["row"],
            "invented": row["invented_dn2"],
            "low": row["invented_dn2_low"],
            "high": row["invented_dn2_high"],
        }
        for row in rows
    ]
    base = alt.Chart(theme.make_data(data))
    x = alt.X("invented:Q", title="Invented (dn\u00b2)", axis=alt.Axis(tickCount=4))
    lines = base.mark_rule(strokeWidth=0.75).encode(x="low:Q", x2="high:Q", y=_hidden(labels))
    points = base.mark_point(filled=True, size=22, color=theme.PURPLE, opacity=1).encode(
        x=x, y=_hidden(labels)
    )
    floors = sorted({row["rounding_floor_dn2"] for row in rows})
    floor = (
        alt.Chart(theme.make_data([{"floor": value} for value in floors]))
        .mark_rule(strokeDash=[3, 2], strokeWidth=0.6, color=theme.GREY)
        .encode(x="floor:Q")
    )
    return alt.layer(floor, lines.transform_filter("datum.low != null"), points)


def choose_contradicted(marts: Marts) -> str | None:
    """Choose the image to map: the one with the median share of contradicted blocks.

    Returns
    -------
    str or None
    """
    ranked = [
        row["image_id"]
        for row in marts.rows(
            "select image_id from mart_consistency_images where inference_path = 'notta'"
            " and judged_block_count > 0 group by image_id"
            " order by sum(contradicted_block_count) / sum(judged_block_count), image_id"
        )
    ]
    return ranked[len(ranked) // 2] if ranked else None


def draw_contradictions(
    marts: Marts, references: Path, image_id: str, folders: Mapping[str, Path] | None = None
) -> alt.ConcatChart:
    """Draw an image under every model, enlarged where most is contradicted, and the whole map.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : Path
        Folder of the reference images.
    image_id : str
    folders : dict, optional
        Folder of the LR images as ``"lr"``, and of each model's notta images by its name. Files
        that are not those that were measured are left out.

    Returns
    -------
    altair.TopLevelMixin

    Raises
    ------
    StudyError
        The reference is missing, or is not the file that was measured.
    """
    (image,) = marts.rows(
        "select image_id, file_name, file_sha256, width_px, height_px, block_rows, block_cols,"
        f" lr_scale, lr_rule, lr_rule_status, lr_file_name, lr_file_sha256 from dim_images"
        f" where image_id = {quote_text(image_id)}"
    )
    blocks = marts.frame(
        "select model_id, block_row, block_col, lr_contradicted_px_notta as contradicted,"
        " lr_judged_px_notta as judged, cast(variance_dn2_reference as double) as variance"
        f" from fct_blocks where image_id = {quote_text(image_id)}"
        " order by model_id, block_row, block_col"
    )
    files = _find_files(marts, image_id)
    reference = read_reference(references, image, find_display(marts, image_id), whole=True)
    corner = _choose_window(blocks, image, reference.shape)
    shown = _gather(marts, image, reference, blocks, files, folders or {}, corner)
    side = (theme.DOUBLE_COLUMN_PT - 24 - GAP_PT * MODELS_A_ROW) // (MODELS_A_ROW + 1)
    columns = [
        alt.vconcat(
            *(_draw_picture(pixels, side, *words) for pixels, words in column), spacing=GAP_PT
        )
        for column in shown
    ]
    caption = _describe_map(image, image_id, corner)
    return alt.concat(*columns, columns=MODELS_A_ROW + 1, spacing=GAP_PT).properties(
        title=theme.make_title(f"{MAP_TITLE}: {image_id}", caption)
    )


def _find_files(marts: Marts, image_id: str) -> dict[str, dict[str, Any]]:
    """Names and hashes of an image's notta files, by model."""
    return {
        row["model_id"]: row
        for row in marts.rows(
            "select model_id, file_name, file_sha256"
            " from dim_source_files where inference_path = 'notta' and size_rule is null"
            f" and image_id = {quote_text(image_id)}"
        )
    }


def _choose_window(
    blocks: pl.DataFrame, image: Mapping[str, Any], shape: tuple[int, int]
) -> tuple[int, int]:
    """Choose the upper left pixel of the window in which most is contradicted, where it shows.

    A contradicted LR pixel counts as much as the reference's standard deviation in its block.
    """
    counts = np.zeros((image["block_rows"], image["block_cols"]))
    known = blocks.drop_nulls("contradicted")
    places = known["block_row"].to_numpy(), known["block_col"].to_numpy()
    weights = np.sqrt(known["variance"].to_numpy())
    np.add.at(counts, places, known["contradicted"].to_numpy() * weights)
    side = WINDOW_PX // 8
    sums = np.pad(counts, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    rows, cols = (max(1, size - side + 1) for size in counts.shape)
    found = (
        sums[side : side + rows, side : side + cols]
        - sums[:rows, side : side + cols]
        - sums[side : side + rows, :cols]
        + sums[:rows, :cols]
        if min(counts.shape) >= side
        else np.zeros((1, 1))
    )
    row, col = np.unravel_index(found.argmax(), found.shape)
    return min(8 * row, max(0, shape[0] - WINDOW_PX)), min(8 * col, max(0, shape[1] - WINDOW_PX))


def _gather(
    marts: Marts,
    image: Mapping[str, Any],
    reference: npt.NDArray[np.uint8],
    blocks: pl.DataFrame,
    files: Mapping[str, Mapping[str, Any]],
    folders: Mapping[str, Path],
    corner: tuple[int, int],
) -> list[list[tuple[npt.NDArray[np.uint8], tuple[str, str]]]]:
    """List the columns of pictures: pixels, and the words above them."""
    scale = image["lr_scale"]
    first = [(_cut(reference, corner, WINDOW_PX), ("Reference", "enlarged"))]
    lr = read_measured(folders.get("lr"), image["lr_file_name"], image["lr_file_sha256"],
                        find_display(marts, image["image_id"], "lr"))  # fmt: skip
    if lr is not None and scale:
        window = _cut(lr, [place // scale for place in corner], WINDOW_PX // scale)
        first.append((window, ("LR image", f"{WINDOW_PX // scale} px of it")))
    else:
        first.append((_frame(reference, corner), ("Reference", "whole, and the window")))
    columns = [first]
    for model_id in marts.models:
        own = blocks.filter(blocks["model_id"] == model_id)
        column = []
        file = files.get(model_id)
        restored = None
        if file is not None:
            restored = read_measured(
                folders.get(model_id),
                file["file_name"],
                file["file_sha256"],
                find_display(marts, image["image_id"], "restored", model_id),
            )
        words = (theme.break_label(marts.labels[model_id], 17), "enlarged")
        if restored is not None:
            column.append((_cut(restored, corner, WINDOW_PX), words))
        painted = _paint(own, image, reference.shape)
        name = words[0] if not column else "Contradicted"
        column.append((_frame(painted, corner), (name, _summarise(own))))
        columns.append(column)
    return columns


def read_measured(
    folder: Path | None, name: str | None, sha256: str | None, display: Display
) -> npt.NDArray[np.uint8] | None:
    """Read an image for display, if it is there and is the file that was measured."""
    if folder is None or name is None or not (folder / name).is_file():
        return None
    path = folder / name
    if hash_file(path) != sha256:
        return None
    return decode_image(path.read_bytes(), path.suffix.lower(), 1 << 28, "reduce", display).grey


def _cut(pixels: npt.NDArray[np.uint8], corner: Sequence[int], side: int) -> npt.NDArray[np.uint8]:
    """Cut a window and enlarge it without smoothing."""
    row, col = corner
    window = pixels[row : row + side, col : col + side]
    times = max(1, PANEL_PX // max(window.shape[:2]))
    return window.repeat(times, axis=0).repeat(times, axis=1)


def _paint(
    blocks: pl.DataFrame, image: Mapping[str, Any], shape: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Paint the share of contradicted LR pixels of each block: white none, red all."""
    share = np.full((image["block_rows"], image["block_cols"]), np.nan)
    known = blocks.drop_nulls("contradicted")
    share[known["block_row"].to_numpy(), known["block_col"].to_numpy()] = (
        known["contradicted"].to_numpy() / known["judged"].to_numpy()
    )
    painted = theme.diverging_colours(share).repeat(8, axis=0).repeat(8, axis=1)
    return painted[: shape[0], : shape[1]]


def _frame(pixels: npt.NDArray[np.uint8], corner: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Shrink a whole picture to print size, and draw the window's frame into it."""
    picture = Image.fromarray(pixels).convert("RGB")
    shrink = max(picture.size) / PANEL_PX
    if shrink > 1:
        size = [max(1, round(side / shrink)) for side in picture.size]
        picture = picture.resize(size, Image.Resampling.BOX)
    drawn = np.asarray(picture).copy()
    top, left = (int(place / max(shrink, 1)) for place in corner)
    bottom, right = (
        min(limit - 1, int((place + WINDOW_PX) / max(shrink, 1)))
        for place, limit in zip(corner, drawn.shape, strict=False)
    )
    for row in (top, bottom):
        drawn[row, left:right] = 0
    drawn[top:bottom, left] = 0
    drawn[top : bottom + 1, right] = 0
    return drawn


def _summarise(blocks: pl.DataFrame) -> str:
    known = blocks.drop_nulls("contradicted")
    if known.is_empty():
        return "not judged"
    share = 100 * (known["contradicted"] > 0).mean()
    return f"{share:.3g} % of blocks"


def _draw_picture(pixels: npt.NDArray[np.uint8], side: int, name: str, summary: str) -> alt.Chart:
    height = max(1, round(side * pixels.shape[0] / pixels.shape[1]))
    title = alt.TitleParams(
        name,
        subtitle=summary,
        fontSize=theme.TEXT_PT + 0.5,
        subtitleFontSize=theme.TEXT_PT,
        frame="group",
        offset=3,
        subtitlePadding=1,
    )
    return (
        alt.Chart(theme.make_data([{"uri": encode_png(pixels)}]), title=title)
        .mark_image(
            align="left",
            baseline="top",
            aspect=False,
            width=side,
            height=height,
            description=f"{name}: {summary}",
        )
        .encode(x=alt.value(0), y=alt.value(0), url="uri:N")
        .properties(width=side, height=height)
    )


def _describe_map(image: Mapping[str, Any], image_id: str, corner: tuple[int, int]) -> list[str]:
    row, col = (int(place) for place in corner)
    return [
        "Maps: of each 8 \u00d7 8 px block restored without test-time augmentation the share of LR"
        " pixels that no image which rounds to the restored one can have given; white none, red"
        " all, grey not judged. Above each, the blocks with at least one.",
        f"Enlarged: {WINDOW_PX} px from row {row}, column {col}, where most structure is"
        " contradicted; framed in the maps.",
        f"{image_id}: LR by {image['lr_rule']}, 1/{image['lr_scale']}, {image['lr_rule_status']}.",
    ]
