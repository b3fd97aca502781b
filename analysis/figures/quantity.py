"""Map of any number of a block over one image: the reference beside each model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.blockmap import (
    GAP_PT,
    ColourScale,
    draw_panel,
    find_display,
    paint_values,
    read_reference,
)
from upscale_audit.analysis.lqd.scene import check_name
from upscale_audit.analysis.marts import Marts, quote_name, quote_text
from upscale_audit.analysis.output import Print, read_caption, write_chart
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import write_text

if TYPE_CHECKING:
    import numpy.typing as npt
    import polars as pl

    from upscale_audit.ingest.study import Study


NAME, CAPTIONS = "quantity_map", "captions.txt"
COLUMN_MM, MODELS_DRAWN = 100, 15
WITHIN_RATIO = 0.99
"""Share of the blocks whose values a scale tells apart: a few far beyond hide no others."""
LEAST_PANEL_PT, TALLEST_PT = 104, 240
UNITS = {
    "_dn2": "dn\u00b2",
    "_dn": "dn",
    "_px": "px",
    "_db": "dB",
    "_ratio": "share",
    "_bits": "bits",
}
"""Unit by the end of a column's name, the first that fits."""
_NUMERIC = ("tinyint", "smallint", "integer", "bigint", "float", "double")


def list_quantities(marts: Marts, inference_path: str) -> dict[str, str]:
    """List the numbers of a block that can be mapped.

    Parameters
    ----------
    marts : analysis.marts.Marts
    inference_path : {"notta", "tta"}

    Returns
    -------
    dict
        Column of `fct_blocks` by the quantity's name, which is without the inference path.
    """
    rows = marts.rows(
        "select column_name, lower(data_type) as data_type from duckdb_columns()"
        " where table_name = 'fct_blocks' and schema_name = 'main'"
        " and database_name = current_database() order by column_index"
    )
    numeric = [
        row["column_name"]
        for row in rows
        if row["data_type"] in _NUMERIC or row["data_type"].startswith("decimal")
    ]
    path = f"_{inference_path}"
    named = {name.removesuffix(path): name for name in numeric if name.endswith(path)}
    shared = {name: name for name in numeric if name.endswith("_reference")}
    return named | shared


def draw_quantity_map(
    marts: Marts,
    references: Path,
    image_id: str,
    quantity: str,
    inference_path: str,
    models: Sequence[str],
    width_pt: float = theme.DOUBLE_COLUMN_PT,
) -> alt.TopLevelMixin:
    """Draw the reference of an image beside the map of a quantity under each model.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : Path
        Folder of the reference images.
    image_id : str
    quantity : str
        Of `list_quantities`.
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
        No such image or quantity, no value, or a reference that is not the one that was measured.
    """
    column = _find_column(marts, quantity, inference_path)
    image = find_image(marts, image_id)
    names = ", ".join(map(quote_text, models))
    blocks = marts.frame(
        f"select model_id, block_row, block_col, cast({quote_name(column)} as double) as value"
        f" from fct_blocks where image_id = {quote_text(image_id)} and model_id in ({names})"
        " order by model_id, block_row, block_col"
    )
    values = blocks["value"].drop_nulls().to_numpy()
    if not len(values):
        raise StudyError(
            f"no block of {image_id!r} has {quantity} ({inference_path}); name another image, path"
            " or model: mart_coverage says what was measured"
        )
    scale = choose_scale(f"{quantity} ({find_unit(marts, quantity)})", values)
    size_pt, columns = lay_out(image, len(models) + 1, width_pt)
    reference = read_reference(references, image, find_display(marts, image_id))
    panels = [draw_panel(reference, size_pt, "Reference", theme.break_label(image_id, 24))]
    shape = image["block_rows"], image["block_cols"]
    for model_id in models:
        own = blocks.filter(blocks["model_id"] == model_id)
        raster, label = paint_values(own, "value", shape, scale), marts.labels[model_id]
        summary = _summarise(own["value"].drop_nulls())
        panels.append(draw_panel(raster, size_pt, theme.break_label(label, 24), summary, scale))
    title = f"{quantity}, block by block: {image_id}"
    caption = _describe(image, blocks, values, scale, inference_path)
    return alt.concat(*panels, columns=columns, spacing=GAP_PT).properties(
        title=theme.make_title(title, caption, width_pt)
    )


def write_quantity_map(
    study: Study,
    image_id: str,
    quantity: str,
    folder: Path,
    *,
    path: str = "notta",
    model_id: str | None = None,
    plain: bool = False,
    width_mm: int | None = None,
) -> tuple[list[Path], dict[str, str]]:
    """Draw a map as `draw_quantity_map` does, into a folder of its own.

    Parameters
    ----------
    study : ingest.study.Study
        Built.
    image_id, quantity : str
    folder : Path
        Of all maps.
    path : {"notta", "tta"}
    model_id : str, optional
        The one model that is drawn; by default the first `MODELS_DRAWN`.
    plain : bool
        Without title and caption.
    width_mm : int, optional
        In print; one column, 85 mm, is laid out for itself, others are scaled.

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
        chart = draw_quantity_map(marts, references, image_id, quantity, path, models, width_pt)
        image = find_image(marts, image_id)
    place = folder / f"{path}_{quantity}" / (model_id or "_all") / image_id
    return write_map(chart, place, NAME, form, image)


def choose_drawn(study: Study, marts: Marts, model_id: str | None) -> tuple[Path, list[str]]:
    """Give the folder of references, and the model that is named or the first `MODELS_DRAWN`."""
    if study.references is None:
        raise StudyError(f"{study.path} names no images; a map needs [study] references")
    if model_id is None:
        return study.references, marts.models[:MODELS_DRAWN]
    check_name("model", model_id, marts.models, study)
    return study.references, [model_id]


def write_map(
    chart: alt.TopLevelMixin, place: Path, name: str, form: Print, image: Mapping[str, Any]
) -> tuple[list[Path], dict[str, str]]:
    """Write a map of an image in four formats, and its caption; give what was written and read."""
    paths = write_chart(theme.finish(chart), place, name, form)
    paths.append(place / CAPTIONS)
    write_text(paths[-1], "\n".join([name, *read_caption(chart), ""]))
    return paths, {f"reference/{image['file_name']}": image["file_sha256"]}


def choose_form(plain: bool, width_mm: int | None) -> tuple[float, Print]:
    """Choose how wide a map is laid out, in points, and how it is printed.

    One column of a journal is laid out for itself; wider ones are scaled.
    """
    if width_mm is not None and width_mm < COLUMN_MM:
        return width_mm / 25.4 * 72, Print(plain, None)
    return theme.DOUBLE_COLUMN_PT, Print(plain, width_mm)


def find_unit(marts: Marts, quantity: str) -> str:
    """Name the unit of a quantity: that of its direction component, else of its name's end."""
    for part in marts.read_components():
        if part["column_stem"] == quantity:
            return part["unit"]
    stem = quantity.removesuffix("_reference")
    return next((unit for end, unit in UNITS.items() if stem.endswith(end)), "dimensionless")


def choose_scale(title: str, values: npt.NDArray[np.float64]) -> ColourScale:
    """Choose the colours of some values: around 0 where they have two signs, else of magnitudes.

    Parameters
    ----------
    title : str
    values : numpy.ndarray
        At least one, finite.

    Returns
    -------
    ColourScale
        Its ends hold 99 % of the values, rounded outwards to two digits. That of magnitudes begins
        at 0, unless all are far from it.
    """
    if values.min() < 0:
        return ColourScale(title, *_round_out(np.quantile(np.abs(values), WITHIN_RATIO), True))
    low, high = np.quantile(values, [1 - WITHIN_RATIO, WITHIN_RATIO])
    if low < high / 2:
        low = 0.0
    step = 10.0 ** (math.floor(math.log10(high - low)) - 1) if high > low else 0.0
    if not step:
        return ColourScale(title, 0.0, _round_out(high)[1])
    ends = math.floor(low / step) * step, math.ceil(high / step) * step
    return ColourScale(title, *(float(f"{end:.6g}") for end in ends))


def _round_out(limit: float, is_signed: bool = False) -> tuple[float, float]:
    """Give the ends of a scale: its upper one rounded up to two digits, 1 where it is 0."""
    step = 10.0 ** (math.floor(math.log10(limit)) - 1) if limit else 1.0
    high = float(f"{math.ceil(limit / step) * step:.6g}") if limit else 1.0
    return (-high if is_signed else 0.0), high


def _find_column(marts: Marts, quantity: str, inference_path: str) -> str:
    known = list_quantities(marts, inference_path)
    if quantity not in known:
        raise StudyError(
            f"no quantity {quantity!r} of a block; expected one of {', '.join(sorted(known))}"
        )
    return known[quantity]


def find_image(marts: Marts, image_id: str) -> dict[str, Any]:
    """Find an image's row of `dim_images`; StudyError where there is none."""
    rows = marts.rows(
        "select file_name, file_sha256, width_px, height_px, block_rows, block_cols"
        f" from dim_images where image_id = {quote_text(image_id)}"
    )
    if not rows:
        raise StudyError(f"no image {image_id!r} in the warehouse; dim_images names all")
    return rows[0]


def lay_out(
    image: Mapping[str, Any], panel_count: int, width_pt: float
) -> tuple[tuple[int, int], int]:
    """Give the size of a panel in points, and how many stand side by side."""
    most = max(1, int(width_pt // LEAST_PANEL_PT))
    columns = min(panel_count, most, 3 if panel_count <= 6 else 4)
    ratio = image["block_rows"] / image["block_cols"]
    width = round((width_pt - 12 - GAP_PT * (columns - 1)) / columns)
    width = max(1, min(width, round(TALLEST_PT / ratio)))
    return (width, max(1, round(width * ratio))), columns


def _summarise(known: pl.Series) -> str:
    if known.is_empty():
        return "not measured"
    return f"mean {spell_number(known.mean())}, median {spell_number(known.median())}"


def spell_number(value: float) -> str:
    """Spell a number in three digits."""
    return f"{value:.3g}".replace("-", "\u2212")


def _describe(
    image: Mapping[str, Any],
    blocks: pl.DataFrame,
    values: npt.NDArray[np.float64],
    scale: ColourScale,
    inference_path: str,
) -> list[str]:
    path = {"notta": "without", "tta": "with"}[inference_path]
    size = f"{image['width_px']} \u00d7 {image['height_px']} px"
    count = theme.count_noun(image["block_rows"] * image["block_cols"], "block")
    beyond = int(((values < scale.low) | (values > scale.high)).sum())
    missing = blocks["value"].null_count()
    ends = f"{spell_number(scale.low)} to {spell_number(scale.high)}"
    colours = "blue: below 0, white: 0, red: above" if scale.is_signed else "the darker the more"
    return [
        f"Of each 8 \u00d7 8 px block restored {path} test-time augmentation; {colours}.",
        f"n = {count} per model ({size}). One scale for all maps, {ends}"
        + (
            f"; {theme.count_noun(beyond, 'block')} beyond it have the colour of its end."
            if beyond
            else "."
        ),
        f"Grey: no value ({theme.count_noun(missing, 'block')})." if missing else "",
    ]
