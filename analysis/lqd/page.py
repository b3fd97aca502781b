"""The interactive page of a map: one file that works offline."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.analysis import theme
from upscale_audit.analysis.lqd.classes import (
    CLASSES,
    HALLUCINATION,
    NULL_COLOUR,
    PALETTES,
    STOPS,
    paint,
)
from upscale_audit.analysis.lqd.measure import PATCH_SIZES_PX, has_whole_patch, measure_map
from upscale_audit.analysis.lqd.picture import DIFFERENCE_LIMITS_DN, choose_limit
from upscale_audit.analysis.lqd.texts import get_texts
from upscale_audit.analysis.pages import compose_page
from upscale_audit.analysis.png import encode_png
from upscale_audit.ingest.files import write_text

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.analysis.lqd.scene import Scene, View


NAME = "p6_local_quality_heatmap.html"
SSIM_STEP, TERM_STEP = 1e-6, 1e-4
# The page's packed arrays name a missing value by the least integer of their type.
_NULL = {"<i4": -(2**31), "<i2": -(2**15)}
_COLOURS = 1001
_DIFFERENCE_COLOURS = 511


def write_page(scene: Scene, folder: Path, *, patch_px: int = 8, language: str = "en") -> Path:
    """Write the interactive page of a scene.

    Parameters
    ----------
    scene : analysis.lqd.scene.Scene
        Every view is on the page; the first is shown first.
    folder : Path
    patch_px : {8, 16, 32, 64}
        The patch size shown first; the page holds all that fit into the image.
    language : {"en", "ja"}

    Returns
    -------
    Path

    Notes
    -----
    The page holds its images as PNG, local SSIM in millionths (int32), the terms l, c, s in
    ten-thousandths and the direction components in a step each (int16), little-endian,
    base64. It loads nothing: a content security policy forbids it.
    """
    texts = get_texts(language)
    page = compose_page(
        f"{texts['title']}: {scene.image_id}",
        Template(_read_part("page.html")).substitute(no_script=escape(texts["no_script"])),
        language=language,
        styles=[_read_part("page.css")],
        data={"data": describe_scene(scene, patch_px, language)},
        scripts=[_read_part("page.js")],
    )
    write_text(folder / NAME, page)
    return folder / NAME


def describe_scene(scene: Scene, patch_px: int, language: str) -> dict[str, Any]:
    """Collect all that the page shows, as a JSON value."""
    texts = get_texts(language)
    height_px, width_px = scene.reference.shape
    sizes = [size for size in PATCH_SIZES_PX if has_whole_patch(scene.reference.shape, size)]
    components = _describe_components(scene, texts)
    return {
        "image_id": scene.image_id,
        "height": height_px,
        "width": width_px,
        "text": {key: text for key, text in texts.items() if key != "components"},
        "classes": [
            {"name": texts[item.key], "low": item.lower_bound, "colour": item.colour}
            for item in CLASSES
        ],
        "outlined": HALLUCINATION,
        "stops": STOPS,
        "palettes": {name: _describe_palette(name) for name in PALETTES},
        "null_colour": NULL_COLOUR,
        "difference_colours": _pack_colours(
            theme.diverging_colours(np.linspace(-1, 1, _DIFFERENCE_COLOURS))
        ),
        "difference_limits": DIFFERENCE_LIMITS_DN,
        "difference_limit": choose_limit(
            scene.views[0].restored.astype(np.int16) - scene.reference
        ),
        "patches": sizes,
        "patch": patch_px,
        "components": components,
        "reference": encode_png(scene.reference),
        "views": [_describe_view(scene, view, sizes, components, texts) for view in scene.views],
    }


def _describe_palette(name: str) -> dict[str, Any]:
    return {
        "colours": _pack_colours(paint(np.arange(_COLOURS) / (_COLOURS - 1), name)),
        "classes": list(reversed(PALETTES[name][:-1])),
    }


def _describe_components(scene: Scene, texts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Labels of the direction components, and the step in which each is packed."""
    described = []
    for number, item in enumerate(scene.components):
        planes = [view.directions[number] for view in scene.views if view.directions is not None]
        largest = max((np.nanmax(np.abs(plane), initial=0) for plane in planes), default=0)
        step = 1e-3 if item["unit"] == "ln ratio" else 1e-2 if largest < 327 else 1e-1
        translated = texts["components"].get(item["component"])
        label, positive, negative = translated or (
            item["label"],
            item["positive_means"],
            item["negative_means"],
        )
        described.append(
            {
                "label": label,
                "unit": item["unit"],
                "positive": positive,
                "negative": negative,
                "step": step,
            }
        )
    return described


def _describe_view(
    scene: Scene,
    view: View,
    sizes: Sequence[int],
    components: Sequence[dict[str, Any]],
    texts: Mapping[str, str],
) -> dict[str, Any]:
    maps = {}
    for size in sizes:
        measured = measure_map(scene.reference, view.restored, patch_px=size)
        terms = np.stack([measured.luminance, measured.contrast, measured.structure])
        maps[size] = {
            "rows": measured.local_ssim.shape[0],
            "cols": measured.local_ssim.shape[1],
            "ssim": pack_numbers(measured.local_ssim, SSIM_STEP, "<i4"),
            "terms": pack_numbers(terms, TERM_STEP, "<i2"),
        }
    directions = None
    if view.directions is not None:
        steps = np.array([item["step"] for item in components])[:, None, None]
        directions = pack_numbers(view.directions, steps, "<i2")
    return {
        "model_id": view.model_id,
        "label": view.label,
        "path": view.inference_path,
        "path_name": texts[view.inference_path],
        "image": encode_png(view.restored),
        "maps": maps,
        "directions": directions,
    }


def pack_numbers(
    values: npt.NDArray[np.float64], step: float | npt.NDArray[np.float64], dtype: str
) -> str:
    """Pack numbers as base64 of little-endian integers.

    Parameters
    ----------
    values : float64 array
        NaN: missing.
    step : float or array
        What one integer stands for.
    dtype : {"<i4", "<i2"}

    Returns
    -------
    str
        Row by row; a missing value is the least integer of the type.
    """
    is_missing = np.isnan(values)
    # Multiplying by 1e6 and dividing by 1e-6 differ in the last bit: the first is what
    # rounding to six decimals does.
    scaled = np.rint(np.where(is_missing, 0, values) * np.rint(1 / np.asarray(step)))
    packed = scaled.astype(dtype)
    packed[is_missing] = _NULL[dtype]
    return base64.b64encode(packed.tobytes()).decode("ascii")


def _pack_colours(colours: npt.NDArray[np.uint8]) -> str:
    return base64.b64encode(colours.tobytes()).decode("ascii")


def _read_part(name: str) -> str:
    return files("upscale_audit.analysis.lqd").joinpath(name).read_text(encoding="utf-8")
