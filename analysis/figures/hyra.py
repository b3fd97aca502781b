"""Figure of one network: its impulse responses, their profiles, and power by frequency."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.marts import quote_text
from upscale_audit.analysis.png import encode_png

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.marts import Marts


SHOWN_CELLS = 6
"""LR pixels drawn on each side of the impulse."""

_MAPS_DRAWN = 3
_HEIGHT_PT, _GAP_PT, _AXIS_PT = 118, 12, 34
_STEP_COLOURS = (theme.BLUE, theme.GREEN, theme.ORANGE)
_SPECTRA = {
    "reference_power": ("reference", theme.BLACK, [1, 0]),
    "restored_power": ("restored image N", theme.BLUE, [1, 0]),
    "linear_power": ("linear part H", theme.GREEN, [5, 2]),
    "nonlin_power": ("G = N \u2212 H", theme.VERMILLION, [5, 2]),
    "best_nonlin_power": ("left by the best linear filter", theme.ORANGE, [1.5, 1.5]),
}
_SUMMARY = ("hyra_lin_contrast", "best_linear_contrast", "restored_hf_gain", "hf_correlation")


def list_hyra_models(marts: Marts) -> list[str]:
    """List the models whose networks were analysed."""
    rows = marts.rows("select model_id from mart_hyra_networks group by model_id")
    return marts.order_models([row["model_id"] for row in rows])


def draw_hyra(marts: Marts, model_id: str) -> alt.VConcatChart:
    """Draw what is known of one network.

    Parameters
    ----------
    marts : analysis.marts.Marts
    model_id : str

    Returns
    -------
    altair.TopLevelMixin
    """
    where = f"where model_id = {quote_text(model_id)}"
    networks = marts.rows(f"select * from mart_hyra_networks {where} order by step_dn")
    networks = networks[:_MAPS_DRAWN]
    responses = [_read_response(marts, where, network) for network in networks]
    offsets = np.arange(responses[0].shape[0]) - (responses[0].shape[0] - 1) / 2
    spectra = marts.rows(
        f"select frequency, {', '.join(_SPECTRA)} from mart_hyra_spectra {where}"
        " order by frequency, image_id"
    )
    spectra = [
        {"frequency": frequency} | _average(list(rows), _SPECTRA)
        for frequency, rows in groupby(spectra, key=lambda row: row["frequency"])
    ]
    measured = marts.rows(
        f"select hyra_lin_energy, {', '.join(_SUMMARY)} from mart_hyra {where} order by image_id"
    )
    images = _average(measured, _SUMMARY) | {
        "image_count": sum(row["hyra_lin_energy"] is not None for row in measured)
    }
    maps = [
        _draw_map(response, offsets, network)
        for response, network in zip(responses, networks, strict=True)
    ]
    scale = networks[0]["scale"]
    panels = [alt.hconcat(*maps, spacing=_GAP_PT), _draw_profiles(responses, offsets, networks)]
    if spectra:
        panels.append(_draw_spectra(spectra, scale))
    title = _make_title(marts.labels[model_id], networks, images)
    return alt.vconcat(*panels, spacing=12, title=title).resolve_scale(
        color="independent", strokeDash="independent"
    )


def _average(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, float | None]:
    """Average columns by exact sums, which no order of rows changes; None where none is known."""
    known = {name: [row[name] for row in rows if row[name] is not None] for name in names}
    return {
        name: math.fsum(values) / len(values) if values else None for name, values in known.items()
    }


def _read_response(marts: Marts, where: str, network: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    reach = (SHOWN_CELLS + 0.5) * network["scale"]
    rows = marts.rows(
        f"select response from mart_hyra_impulses {where} and step_dn = {network['step_dn']}"
        f" and abs(row_offset_px) < {reach} and abs(col_offset_px) < {reach}"
        " order by row_offset_px, col_offset_px"
    )
    side = round(len(rows) ** 0.5)
    return np.array([row["response"] for row in rows]).reshape(side, side)


def _draw_map(
    response: npt.NDArray[np.float64], offsets: npt.NDArray[np.float64], network: Mapping[str, Any]
) -> alt.LayerChart:
    width = round((theme.DOUBLE_COLUMN_PT - 3 * _AXIS_PT - 2 * _GAP_PT) / _MAPS_DRAWN)
    peak = np.abs(response).max()
    pixels = theme.diverging_colours(np.sign(response) * np.sqrt(np.abs(response) / peak))
    # Enlarged here: renderers differ in how they smooth an enlarged image.
    side = max(1, round(640 / len(offsets)))
    uri = encode_png(pixels.repeat(side, axis=0).repeat(side, axis=1))
    end = offsets[-1] + 0.5
    axis = alt.Axis(values=list(range(-6 * network["scale"], 6 * network["scale"] + 1, 4)))
    image = (
        alt.Chart(theme.make_data([{"uri": uri, "left": -end, "top": -end}]))
        .mark_image(
            align="left",
            baseline="top",
            aspect=False,
            width=width,
            height=width,
            description=f"response to {network['step_dn']:g} dn",
        )
        .encode(
            x=alt.X(
                "left:Q",
                title="Columns (restored px)",
                scale=alt.Scale(domain=[-end, end], nice=False),
                axis=axis,
            ),
            y=alt.Y(
                "top:Q",
                title="Rows (restored px)" if network["is_linear_part"] else None,
                scale=alt.Scale(domain=[-end, end], nice=False, reverse=True),
                axis=axis,
            ),
            url="uri:N",
        )
    )
    title = _make_small_title(f"Response to \u00b1{network['step_dn']:g} dn")
    return alt.layer(image, title=title).properties(width=width, height=width)


def _draw_profiles(
    responses: Sequence[npt.NDArray[np.float64]],
    offsets: npt.NDArray[np.float64],
    networks: Sequence[dict[str, Any]],
) -> alt.LayerChart:
    scale = networks[0]["scale"]
    middle = np.flatnonzero(np.abs(offsets) < 0.75)
    names = [f"\u00b1{network['step_dn']:g} dn" for network in networks]
    rows = []
    for name, response in zip(names, responses, strict=True):
        profile = (response[middle].mean(axis=0) + response[:, middle].mean(axis=1)) / 2
        rows += _list_points(name, offsets, profile / profile.max())
    sinc_name = f"sinc with a zero every {scale} px"
    fine = np.linspace(offsets[0], offsets[-1], 301)
    curves = rows + _list_points(sinc_name, fine, np.sinc(fine / scale))
    colour = alt.Color(
        "curve:N",
        title=None,
        scale=alt.Scale(
            domain=[*names, sinc_name], range=[*_STEP_COLOURS[: len(names)], "#A6A6A6"]
        ),
        legend=alt.Legend(symbolType="stroke"),
    )
    x = alt.X(
        "offset:Q",
        title="Distance from the LR pixel's centre (restored px)",
        scale=alt.Scale(domain=[offsets[0], offsets[-1]], nice=False),
        axis=alt.Axis(values=list(range(-SHOWN_CELLS * scale, SHOWN_CELLS * scale + 1, scale))),
    )
    y = alt.Y("value:Q", title="Response over its peak", axis=alt.Axis(tickCount=5))
    lines = (
        alt.Chart(theme.make_data(curves)).mark_line(strokeWidth=1).encode(x=x, y=y, color=colour)
    )
    points = (
        alt.Chart(theme.make_data(rows))
        .mark_point(size=7, filled=True, opacity=1)
        .encode(x=x, y=y, color=colour)
    )
    zero = (
        alt.Chart(theme.make_data([{"value": 0}]))
        .mark_rule(color="#888888", strokeWidth=0.75)
        .encode(y="value:Q")
    )
    title = _make_small_title("Profile through the centre, mean of row and column")
    return alt.layer(zero, lines, points, title=title).properties(
        width=theme.DOUBLE_COLUMN_PT - _AXIS_PT - 10, height=_HEIGHT_PT
    )


def _list_points(
    curve: str, offsets: npt.NDArray[np.float64], values: npt.NDArray[np.float64]
) -> list[dict[str, Any]]:
    return [
        {"curve": curve, "offset": round(float(offset), 4), "value": round(float(value), 6)}
        for offset, value in zip(offsets, values, strict=True)
    ]


def _draw_spectra(spectra: Sequence[dict[str, float]], scale: int) -> alt.LayerChart:
    truth = [row["reference_power"] for row in spectra if row["reference_power"]]
    # Three decades below the least of the reference lies what float32 rounds away.
    floor = float(10.0 ** np.floor(np.log10(min(truth)) - 3)) if truth else 1e-3
    labels = [label for label, _, _ in _SPECTRA.values()]
    rows = [
        {
            "curve": label,
            "frequency": row["frequency"],
            # A gap, not a bridge, where there is nothing to see.
            "power": row[name] if row[name] and row[name] >= floor else None,
        }
        for name, (label, _, _) in _SPECTRA.items()
        for row in spectra
    ]
    lines = (
        alt.Chart(theme.make_data(rows))
        .mark_line(strokeWidth=1.1)
        .encode(
            x=alt.X(
                "frequency:Q",
                title="Frequency, the larger of row's and column's (cycles per restored px)",
                scale=alt.Scale(domain=[0, 0.5], nice=False),
            ),
            y=alt.Y(
                "power:Q",
                title="Power density (dn\u00b2 px\u00b2)",
                scale=alt.Scale(type="log", domainMin=floor),
                axis=alt.Axis(tickCount=6, format="~e"),
            ),
            color=alt.Color(
                "curve:N",
                title=None,
                scale=alt.Scale(
                    domain=labels, range=[colour for _, colour, _ in _SPECTRA.values()]
                ),
                legend=alt.Legend(symbolType="stroke"),
            ),
            strokeDash=alt.StrokeDash(
                "curve:N",
                title=None,
                scale=alt.Scale(domain=labels, range=[dash for _, _, dash in _SPECTRA.values()]),
            ),
        )
    )
    mark = alt.Chart(theme.make_data([{"limit": 1 / (2 * scale), "text": "LR Nyquist"}]))
    limit = mark.mark_rule(strokeDash=[3, 2], color=theme.GREY, strokeWidth=0.75).encode(
        x="limit:Q"
    )
    text = mark.mark_text(align="left", dx=3, color=theme.GREY).encode(
        x="limit:Q", y=alt.value(6), text="text:N"
    )
    title = _make_small_title("Power by frequency")
    return alt.layer(limit, lines, text, title=title).properties(
        width=theme.DOUBLE_COLUMN_PT - _AXIS_PT - 10, height=_HEIGHT_PT + 12
    )


def _make_small_title(text: str) -> alt.TitleParams:
    return alt.TitleParams(
        text, fontSize=theme.TEXT_PT + 0.5, fontWeight="normal", frame="group", offset=3
    )


def _make_title(
    label: str, networks: Sequence[dict[str, Any]], images: Mapping[str, Any]
) -> alt.TitleParams:
    first = networks[0]
    caption = [
        f"What one LR pixel does to the restored image (scale {first['scale']}), on a grey of"
        f" {first['base_dn']:g} dn, before any clamp.",
        "Red above 0, blue below; colours show the square root, so that side lobes are seen.",
        "First zero crossing, mean of four directions: "
        + ", ".join(_say_crossing(network) for network in networks)
        + ".",
        "Responses up and down differ by "
        + ", ".join(f"{network['step_spread']:.2f}" for network in networks)
        + " of their norm (0: linear around that grey).",
    ]
    if images["image_count"]:
        count = theme.count_noun(images["image_count"], "image")
        caption += [
            f"Spectra: mean of {count}, Hann window; H is made of the response to"
            f" \u00b1{first['step_dn']:g} dn.",
            _say("H has {:.2f} of the variance of N", images["hyra_lin_contrast"])
            + _say("; the best linear filter explains {:.4f}.", images["best_linear_contrast"]),
            _say(
                "Above LR Nyquist N has {:.2f} of the reference's power", images["restored_hf_gain"]
            )
            + _say(", correlation {:.2f}.", images["hf_correlation"]),
        ]
    return theme.make_title(f"HyRA of {label} [OWN]", caption)


def _say_crossing(network: Mapping[str, Any]) -> str:
    crossing = network["zero_crossing_px"]
    return "none" if crossing is None else f"{crossing:.2f} px"


def _say(text: str, value: float | None) -> str:
    return "" if value is None else text.format(value).replace("-", "\u2212")
