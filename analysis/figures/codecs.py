"""Figures of the learned codecs: a training curve, and what the audit of a codec study says."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np
from PIL import Image

from upscale_audit.analysis import theme
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.output import write_chart
from upscale_audit.analysis.png import encode_png
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import write_text

if TYPE_CHECKING:
    import numpy.typing as npt


CURVE_STEM, AUDIT_STEM = "training", "codecs"
NETWORK_ONLY = "net"
CODECS = {
    "ae_mse": (theme.VERMILLION, "autoencoder, MSE", "square"),
    "ae_ssim": (theme.BLUE, "autoencoder, SSIM", "circle"),
    "ae_mixed": (theme.PURPLE, "autoencoder, mixed", "diamond"),
    "vae_mse": (theme.ORANGE, "VAE, MSE", "triangle-up"),
    "zfp": (theme.GREY, "zfp alone", "cross"),
}
"""Colour, label and symbol of the codecs in the order in which they are drawn."""
PANELS = (
    ("d_block4", "Squares of 4 px (zfp's blocks)", "excess step, grey levels"),
    ("d_block", "Squares of 8 px", "excess step, grey levels"),
    ("d_block16", "Squares of 16 px (latent)", "excess step, grey levels"),
    ("d_texture", "Texture", "ln energy ratio"),
    ("d_hf", "Fine detail", "ln energy ratio"),
    ("local_ssim", "Local SSIM", "mean over blocks"),
)
"""Measure, title and unit of the panels."""
_MODEL = re.compile(r"(?P<codec>.+)_(?:r(?P<ratio>[0-9.]+)|(?P<net>net))")
_PANEL_PT, _HEIGHT_PT, _CROP_PX, _CROP_PT = 118, 84, 96, 117
_DETAIL_TARGETS = (NETWORK_ONLY, "25", "97")


def write_training_curve(path: Path, title: str) -> list[Path]:
    """Draw a training curve beside its CSV.

    Parameters
    ----------
    path : Path
        The CSV of ``upscale-audit codec train``.
    title : str

    Returns
    -------
    list of Path
        PNG, SVG and HTML.
    """
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    points = [
        {"step": int(row["step"]), "images": label, "loss": float(row[name])}
        for row in rows
        for name, label in (("train_loss", "trained on"), ("held_out_loss", "held out"))
        if row[name]
    ]
    caption = [
        "Loss of the codec (dimensionless; mean over the steps since the point before, with latent"
        " noise; held out: the centre of each image, latent rounded to 1/16)."
    ]
    if rows and rows[-1]["held_out_psnr_db"]:
        caption.append(
            f"Held out at the end: PSNR {float(rows[-1]['held_out_psnr_db']):.2f} dB,"
            f" SSIM {float(rows[-1]['held_out_ssim']):.4f}, without a residual."
        )
    colour = alt.Color(
        "images:N",
        title="Images:",
        scale=alt.Scale(domain=["trained on", "held out"], range=[theme.GREY, theme.VERMILLION]),
        legend=alt.Legend(symbolType="stroke"),
    )
    width = theme.SINGLE_COLUMN_PT - 50
    chart = (
        alt.Chart(theme.make_data(points), width=width, height=110)
        .mark_line(strokeWidth=1.2)
        .encode(
            x=alt.X("step:Q", title="Step", axis=alt.Axis(tickCount=5)),
            y=alt.Y("loss:Q", title="Loss", scale=alt.Scale(type="log", nice=False)),
            color=colour,
        )
        .properties(title=theme.make_title(title, caption, theme.SINGLE_COLUMN_PT))
    )
    return write_chart(theme.finish(chart), path.parent, f"{path.stem}_{CURVE_STEM}")


def write_codec_figure(warehouse: Path, codes: Path, references: Path, folder: Path) -> list[Path]:
    """Draw the audit of a codec study, and write the numbers in it.

    Parameters
    ----------
    warehouse : Path
        The study's published ``warehouse.duckdb``.
    codes : Path
        The study's ``codes.csv``.
    references, folder : Path
        The references; where the figure goes.

    Returns
    -------
    list of Path
        PNG, SVG, HTML, and a CSV with a row per codec and target.

    Raises
    ------
    StudyError
        There is no warehouse or no ``codes.csv``, or no model is a codec's.
    """
    with Marts(warehouse) as marts:
        rows = read_audit(marts, _read_codes(codes))
    restored = codes.parent / "restored"
    detail = _choose_detail(references)
    chart = alt.vconcat(
        _draw_panels(rows),
        _draw_details(rows, references, restored, detail),
        spacing=14,
        title=theme.make_title("What learned codecs leave and lose", _caption(rows, detail)),
    )
    paths = write_chart(theme.finish(chart), folder, AUDIT_STEM)
    table = folder / f"{AUDIT_STEM}.csv"
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(table, text.getvalue())
    return [*paths, table]


def read_audit(marts: Marts, codes: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Read the means that the figure shows.

    Parameters
    ----------
    marts : analysis.marts.Marts
    codes : list of dict
        Rows of ``codes.csv``.

    Returns
    -------
    list of dict
        One per codec and target: ``codec``, ``target`` (a ratio as text, or ``net``),
        ``image_count``, mean size ratios over the images, and for each measure of `PANELS` its
        mean over the images' means with the lowest and highest image (``_low``, ``_high``).

    Raises
    ------
    StudyError
        No model of the warehouse is a codec's.
    """
    names = [name for name, _, _ in PANELS]
    averages = ", ".join(f"cast(avg({name}_notta) as double) as {name}" for name in names)
    rows = marts.rows(
        f"select model_id, image_id, {averages}, blockiness_ratio_4, blockiness_ratio_8,"
        " blockiness_ratio_16, psnr"
        " from fct_blocks inner join fct_image_quality using (model_id, image_id)"
        " where source_id = 'images' and inference_path = 'notta'"
        " group by model_id, image_id, blockiness_ratio_4, blockiness_ratio_8,"
        " blockiness_ratio_16, psnr order by model_id, image_id"
    )
    sizes = {(row["model_id"], row["image_id"]): row for row in codes}
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        match = _MODEL.fullmatch(row["model_id"])
        size = sizes.get((row["model_id"], row["image_id"]))
        if match and size and match["codec"] in CODECS:
            key = match["codec"], match["ratio"] or NETWORK_ONLY
            grouped.setdefault(key, []).append(row | _read_sizes(size))
    if not grouped:
        raise StudyError(
            "no model of this warehouse is a codec's; name the study that upscale-audit codec"
            " study wrote"
        )
    order = sorted(grouped, key=lambda key: (list(CODECS).index(key[0]), _place(key[1])))
    return [_summarise(key, grouped[key]) for key in order]


_SIZES = ("ratio", "ratio_float32", "ratio_with_decoder", "latent_bytes", "residual_bytes")


def _read_sizes(size: Mapping[str, str]) -> dict[str, float]:
    return {name: float(size[name]) for name in _SIZES}


def _summarise(key: tuple[str, str], images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    row = {"codec": key[0], "target": key[1], "image_count": len(images)}
    blockiness = tuple(f"blockiness_ratio_{period}" for period in (4, 8, 16))
    for name in (*_SIZES, "psnr", *blockiness):
        row[name] = _average([image[name] for image in images])
    for name, _, _ in PANELS:
        values = [image[name] for image in images if image[name] is not None]
        row[name] = _average(values)
        row[f"{name}_low"], row[f"{name}_high"] = min(values), max(values)
    return row


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _place(target: str) -> float:
    return 0.0 if target == NETWORK_ONLY else float(target)


def _read_codes(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise StudyError(
            f"cannot read {path}: {error.strerror}; make it with upscale-audit codec study"
        ) from None


def _label_target(target: str) -> str:
    return "none" if target == NETWORK_ONLY else target


def _draw_panels(rows: Sequence[dict[str, Any]]) -> alt.VConcatChart:
    panels = [_draw_panel(rows, *panel) for panel in PANELS]
    half = len(panels) // 2
    upper, lower = alt.hconcat(*panels[:half], spacing=16), alt.hconcat(*panels[half:], spacing=16)
    return alt.vconcat(upper, lower, spacing=10)


def _draw_panel(
    rows: Sequence[dict[str, Any]], measure: str, title: str, unit: str
) -> alt.LayerChart:
    labels = [CODECS[name][1] for name in CODECS if any(row["codec"] == name for row in rows)]
    drawn = [style for style in CODECS.values() if style[1] in labels]
    colour = alt.Color(
        "codec:N",
        scale=alt.Scale(domain=labels, range=[style[0] for style in drawn]),
        sort=labels,
        title=None,
    )
    shape = alt.Shape(
        "codec:N",
        scale=alt.Scale(domain=labels, range=[style[2] for style in drawn]),
        sort=labels,
        title=None,
    )
    x, offset, y = _make_channels(rows, measure, unit, labels)
    data = theme.make_data([_make_point(row, measure) for row in rows])
    base = alt.Chart(data, width=_PANEL_PT, height=_HEIGHT_PT)
    bars = base.mark_rule(strokeWidth=0.6, opacity=0.6).encode(
        x=x, xOffset=offset, y=alt.Y("low:Q", **y), y2="high:Q", color=colour
    )
    points = base.mark_point(filled=True, size=18, opacity=1).encode(
        x=x, xOffset=offset, y=alt.Y("mean:Q", **y), color=colour, shape=shape
    )
    layers = [bars, points]
    if measure != "local_ssim":
        zero = base.mark_rule(color="#888888", strokeWidth=0.75).encode(y=alt.datum(0))
        layers.insert(0, zero)
    head = alt.TitleParams(
        title, fontSize=theme.TEXT_PT + 0.5, fontWeight="normal", frame="group", offset=3
    )
    return alt.layer(*layers, title=head)


def _make_point(row: Mapping[str, Any], measure: str) -> dict[str, Any]:
    return {
        "codec": CODECS[row["codec"]][1],
        "target": _label_target(row["target"]),
        "mean": round(row[measure], 6),
        "low": round(row[f"{measure}_low"], 6),
        "high": round(row[f"{measure}_high"], 6),
    }


def _make_channels(
    rows: Sequence[dict[str, Any]], measure: str, unit: str, labels: Sequence[str]
) -> tuple[alt.X, alt.XOffset, dict[str, Any]]:
    """Horizontal place, its offset by codec, and what all vertical places share."""
    targets = sorted({row["target"] for row in rows}, key=_place)
    x = alt.X(
        "target:N",
        sort=[_label_target(target) for target in targets],
        title="Ratio, residual included",
        axis=alt.Axis(labelAngle=0),
        scale=alt.Scale(paddingOuter=0.2),
    )
    offset = alt.XOffset("codec:N", sort=labels, scale=alt.Scale(paddingOuter=0.35))
    # Squares range from none to those of a failed codec: near 0 the scale is linear, then log.
    if measure.startswith("d_block"):
        scale = alt.Scale(type="symlog", constant=0.5, nice=False)
        return x, offset, {"title": unit, "scale": scale, "axis": alt.Axis(values=[0, 1, 4])}
    scale = alt.Scale(zero=False)
    return x, offset, {"title": unit, "scale": scale, "axis": alt.Axis(tickCount=5)}


def _choose_detail(references: Path) -> tuple[str, int, int]:
    """Choose the square with the strongest fine structure that is not the frame.

    Returns
    -------
    tuple
        image_id, row and column of its upper left pixel, px.
    """
    best = None
    for path in sorted(Path(references).glob("*.png")):
        grey = np.asarray(Image.open(path).convert("L")).astype(np.float64)
        for row in range(_CROP_PX, grey.shape[0] - 2 * _CROP_PX + 1, 16):
            for col in range(_CROP_PX, grey.shape[1] - 2 * _CROP_PX + 1, 16):
                square = grey[row : row + _CROP_PX, col : col + _CROP_PX]
                steps = np.abs(np.diff(square, 2, axis=0)).mean()
                steps += np.abs(np.diff(square, 2, axis=1)).mean()
                is_clipped = np.mean((square == 0) | (square == 255)) > 0.01
                if not is_clipped and (best is None or steps > best[0]):
                    best = steps, (path.stem, row, col)
    if best is None:
        raise StudyError(f"{references}: expected PNG images of {3 * _CROP_PX} px or more")
    return best[1]


def _draw_details(
    rows: Sequence[dict[str, Any]], references: Path, restored: Path, detail: tuple[str, int, int]
) -> alt.VConcatChart:
    image_id, row, col = detail
    reference = _cut(Path(references) / f"{image_id}.png", row, col)
    window = int(reference.min()), max(1, int(reference.max()) - int(reference.min()))
    present = {(row["codec"], row["target"]) for row in rows}
    lines = []
    for target in _DETAIL_TARGETS:
        tiles = [_draw_tile(reference, window, "reference")]
        # zfp alone has no network to show without a residual.
        last = "vae_mse" if target == NETWORK_ONLY else "zfp"
        for codec in ("ae_mse", "ae_ssim", last):
            name = f"{codec}_net" if target == NETWORK_ONLY else f"{codec}_r{target}"
            path = restored / name / f"{image_id}.png"
            if (codec, target) not in present or not path.is_file():  # a ratio out of reach
                continue
            pixels = _cut(path, row, col)
            kind = "no residual" if target == NETWORK_ONLY else f"ratio {target}"
            tiles.append(_draw_tile(pixels, window, f"{CODECS[codec][1]}, {kind}"))
        if len(tiles) > 1:
            lines.append(alt.hconcat(*tiles, spacing=8))
    return alt.vconcat(*lines, spacing=6)


def _cut(path: Path, row: int, col: int) -> npt.NDArray[np.uint8]:
    grey = np.asarray(Image.open(path).convert("L"))
    return grey[row : row + _CROP_PX, col : col + _CROP_PX]


def _draw_tile(pixels: npt.NDArray[np.uint8], window: tuple[int, int], label: str) -> alt.Chart:
    low, span = window
    shown = np.clip(np.rint((pixels.astype(float) - low) * 255 / span), 0, 255).astype(np.uint8)
    uri = encode_png(shown.repeat(4, axis=0).repeat(4, axis=1))
    head = alt.TitleParams(
        label, fontSize=theme.TEXT_PT, fontWeight="normal", frame="group", offset=2
    )
    return (
        alt.Chart(theme.make_data([{"uri": uri}]), width=_CROP_PT, height=_CROP_PT, title=head)
        .mark_image(
            align="left",
            baseline="top",
            aspect=False,
            width=_CROP_PT,
            height=_CROP_PT,
            description=label,
        )
        .encode(x=alt.value(0), y=alt.value(0), url="uri:N")
        .properties(view=alt.ViewConfig(stroke=None))
    )


def _caption(rows: Sequence[dict[str, Any]], detail: tuple[str, int, int]) -> list[str]:
    images = theme.count_span([row["image_count"] for row in rows], "image")
    image_id, row, col = detail
    return [
        "Block measures of definitions E.5 (restored minus reference, 0: no change), mean over a"
        f" model's {images}; bars: lowest and highest image, no interval. Each image was coded by a"
        " network that was not trained on it.",
        "Ratios count every byte of the file, against 8 bits a pixel, the decoder left out.",
        "None: the network alone, without a residual, latent step 1.",
        f"Below: {_CROP_PX} px squares of {image_id} from row {row}, column {col}, grey levels"
        " stretched to the reference's range.",
    ]
