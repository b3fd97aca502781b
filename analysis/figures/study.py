"""The figures of a study, drawn from its published warehouse."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_audit.analysis import theme
from upscale_audit.analysis.figures.audit import draw_restorer_audit
from upscale_audit.analysis.figures.axis import draw_axis1_distribution, draw_pca_basis
from upscale_audit.analysis.figures.blockmap import TITLE, choose_images, draw_blockmap, find_limit
from upscale_audit.analysis.figures.comparison import draw_model_pairs, find_baseline
from upscale_audit.analysis.figures.consistency import (
    choose_contradicted,
    draw_consistency,
    draw_contradictions,
    has_consistency,
)
from upscale_audit.analysis.figures.correlation import draw_metric_correlation
from upscale_audit.analysis.figures.coverage import draw_coverage, is_complete
from upscale_audit.analysis.figures.frame import draw_frame_profile, draw_seam_profile
from upscale_audit.analysis.figures.guarantee import draw_guarantee
from upscale_audit.analysis.figures.hyra import draw_hyra, list_hyra_models
from upscale_audit.analysis.figures.information import draw_rule_information
from upscale_audit.analysis.figures.intervals import draw_direction_components, draw_tta_effect
from upscale_audit.analysis.figures.learning import draw_learning, list_epochs
from upscale_audit.analysis.figures.ledger import draw_ledger
from upscale_audit.analysis.figures.lesions import draw_lesion_risk, plan_lesion_figures
from upscale_audit.analysis.figures.multiverse import draw_axis1_multiverse
from upscale_audit.analysis.figures.overlap import draw_rule_overlap
from upscale_audit.analysis.figures.phantoms import (
    draw_detectors,
    draw_free_response,
    list_detector_figures,
    list_free_response_figures,
)
from upscale_audit.analysis.figures.rates import draw_flag_rates
from upscale_audit.analysis.figures.readers import draw_readers, plan_reader_figures
from upscale_audit.analysis.figures.regions import draw_regions, plan_region_figures
from upscale_audit.analysis.figures.rules import list_sources, name_files
from upscale_audit.analysis.figures.states import draw_tier3_states
from upscale_audit.analysis.figures.verdicts import draw_verdicts
from upscale_audit.analysis.lfv import LFV_FIGURES
from upscale_audit.analysis.lfv.proof import Source, list_lfv_sources
from upscale_audit.analysis.lqd.texts import font_family, name_place
from upscale_audit.analysis.marts import Marts, quote_text
from upscale_audit.analysis.output import (
    AS_LAID_OUT,
    measure_height,
    read_caption,
    write_chart,
)
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import sync, write_text
from upscale_audit.ingest.manifests import MANIFEST

if TYPE_CHECKING:
    import altair as alt

    from upscale_audit.analysis.output import Print

    Drawer = Callable[[Marts], alt.TopLevelMixin]
    """Draws one figure of a study."""


MODELS_A_PICTURE, MODELS_AN_AUDIT = 15, 40
"""So many models are drawn on one picture; of more, each picture has a part."""
MODELS_IN_DETAIL = 60
"""So many models, the first in order, have pictures of what takes a map or several marks each."""
OVERVIEWS = ("ledger", "model_pairs", "tier3_states")
"""Figures in which a model is a line or two: drawn of every model, as the audit is."""
MODELS_APART = ("flag_rates", "verdicts")
"""Figures of a source in which every model has marks of its own."""

# Drawn of every study with images.
STUDY_FIGURES = {
    "direction_components": draw_direction_components,
    "ledger": draw_ledger,
    "axis1_distribution": draw_axis1_distribution,
    "pca_basis": draw_pca_basis,
    "axis1_multiverse": draw_axis1_multiverse,
    "tta_effect": draw_tta_effect,
    "tier3_states": draw_tier3_states,
    "frame_profile": draw_frame_profile,
    "seam_profile": draw_seam_profile,
}
# Drawn once for each source that has rows in the table.
SOURCE_FIGURES = {
    "flag_rates": ("mart_flag_rates", draw_flag_rates),
    "rule_overlap": ("fct_rule_flags", draw_rule_overlap),
    "verdicts": ("fct_verdicts", draw_verdicts),
    "metric_correlation": ("mart_metric_correlation", draw_metric_correlation),
    "rule_information": ("mart_rule_information", draw_rule_information),
}
# Drawn or not, and under which names, depends on the study.
VARYING = (
    *STUDY_FIGURES, *LFV_FIGURES, "coverage", "model_pairs", "restorer_audit", "consistency",
    "learning",
)  # fmt: skip
VARYING_STARTS = (
    "axis1_blockmap",
    "contradictions_",
    "detectors_",
    "free_response_",
    "guarantee",
    "hyra_",
    "lesion_risk",
    "readers_",
    "regions_",
    *(f"{name}_" for name in SOURCE_FIGURES),
)
# Folder of the figures that have published names: one folder in it per source and path.
LFV_FOLDER = "lfv_proof"
ENDINGS = (".png", ".svg", ".pdf", ".html")
CAPTIONS = "captions.txt"
TALLEST_PT = 655
"""Of a figure, 231 mm: as wide as 190 mm it still stands within an A4 page's 247 mm of text."""
MODELS_UNMEASURED = 5
"""So many models fit on a page in every figure, whatever their names."""
PART = re.compile(r"_\d+of\d+$")

logger = logging.getLogger(__name__)


def draw_figures(
    warehouse_path: str | Path,
    references: str | Path | None,
    folder: str | Path,
    progress: Callable[[int, int, str], None] | None = None,
    language: str = "en",
    folders: Mapping[str, Path] | None = None,
    form: Print = AS_LAID_OUT,
) -> list[Path]:
    """Draw every figure of a study as PNG, SVG, PDF and self-contained HTML.

    Parameters
    ----------
    warehouse_path : str or Path
        The published `warehouse.duckdb`; opened read-only.
    references : str, Path or None
        Folder of the reference images, named as in `dim_images`; None in a study of published
        files only.
    folder : str or Path
        Where the figures go; made if missing. Files of an earlier run that this study no
        longer has (another image mapped, nothing missing any more) are removed. Until all are
        drawn, nothing in it is touched: what is refused or killed leaves it as it was signed.
    progress : callable, optional
        Called as ``progress(done, total, name)`` when a figure is written.
    language : {"en", "ja"}
        Of the figures that have published names: other than in English, in ``lfv_proof/``, they are
        drawn a second time beside it, in ``lfv_proof_ja/``. All others are English.
    folders : dict, optional
        Folder of the LR images as ``"lr"``, and of each model's notta images by its name, for the
        figure that shows them.
    form : analysis.output.Print

    Returns
    -------
    list of Path
        Four files per figure, and ``captions.txt`` with what stands above each; a figure that has
        nothing to show has no file, and its reason there.

    Raises
    ------
    StudyError
        There is no warehouse, it is of another version, it has images but there is no folder
        of references, a reference is not the file that was measured, or no font has the
        language's characters.
    """
    folder, font = Path(folder), font_family(language)
    fresh = folder.with_name(f".{folder.name}.next")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with Marts(warehouse_path) as marts:
            figures = plan_figures(marts, references, language, folders)
            paths, captions, reasons = [], [], []
            for done, (name, draw) in enumerate(figures.items(), start=1):
                chart = draw(marts)
                message = theme.find_message(chart)
                if message is None:
                    chart = theme.finish(chart, *([font] if _is_spoken(name) else []))
                    paths += write_chart(chart, fresh, name, form)
                    captions.append("\n".join([name, *read_caption(chart), ""]))
                else:
                    reasons.append(f"{name}: {message}")
                logger.info("drew %s", name)
                if progress is not None:
                    progress(done, len(figures), name)
        paths.append(fresh / CAPTIONS)
        undrawn = ["\n".join(["Not drawn", *reasons, ""])] if reasons else []
        write_text(fresh / CAPTIONS, "\n".join([*captions, *undrawn]))
        return _put_in_place(fresh, folder, paths)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def plan_figures(
    marts: Marts,
    references: str | Path | None,
    language: str = "en",
    folders: Mapping[str, Path] | None = None,
) -> dict[str, Drawer]:
    """Say which figures a study has.

    Parameters
    ----------
    marts : analysis.marts.Marts
    references : str, Path or None
    language : {"en", "ja"}
        As `draw_figures` takes it.
    folders : dict, optional
        As `draw_figures` takes it.

    Returns
    -------
    dict
        A function of the marts that draws the figure, by the figure's name, which may begin
        with a folder.
    """
    figures = _plan_study_figures(marts, references, folders, language) if marts.models else {}
    sources = {name: list_sources(marts, table) for name, (table, _) in SOURCE_FIGURES.items()}
    files = name_files(sorted({source for listed in sources.values() for source in listed}))
    for name, (table, draw) in SOURCE_FIGURES.items():
        for source in sources[name]:
            figure, drawn = f"{name}_{files[source]}", partial(draw, source=source)
            models = _list_models(marts, table, source) if name in MODELS_APART else []
            figures |= _share_out(marts, figure, drawn, models)
    for spoken in dict.fromkeys(["en", language]):
        figures |= _plan_lfv_figures(marts, spoken)
    return figures


def _plan_lfv_figures(marts: Marts, language: str) -> dict[str, Drawer]:
    """Plan the LFV proof of each source and path, in folders as `published_form/` has them."""
    sources = [Source(*listed, language) for listed in list_lfv_sources(marts)]
    places = {
        source: f"{source.source_id}_{source.inference_path}"
        if source.is_measured
        else source.source_id
        for source in sources
    }
    files = name_files(sorted(places.values()))
    folder = LFV_FOLDER if language == "en" else f"{LFV_FOLDER}_{language}"
    return {
        f"{folder}/{files[places[source]]}/{name}": partial(draw, source=source)
        for source in sources
        for name, draw in LFV_FIGURES.items()
    }


def _is_spoken(name: str) -> bool:
    """Whether a figure is drawn in the language that was asked for, beside the English one."""
    if "/" in name:
        return not name.startswith(f"{LFV_FOLDER}/")
    return name.startswith("guarantee_ja")


def _plan_study_figures(
    marts: Marts,
    references: str | Path | None,
    folders: Mapping[str, Path] | None,
    language: str,
) -> dict[str, Drawer]:
    if references is None:
        raise StudyError(
            "the warehouse has images of models, but no folder of references was given;"
            " name it in the study file ([study] references)"
        )
    planned = dict(STUDY_FIGURES)
    if len(marts.models) > 1:
        planned["model_pairs"] = partial(draw_model_pairs, baseline=find_baseline(marts))
    if has_consistency(marts):
        planned["consistency"] = draw_consistency
        mapped = choose_contradicted(marts)
        if mapped is not None:
            (name,) = name_files([mapped]).values()
            planned[f"contradictions_{name}"] = partial(
                draw_contradictions, references=Path(references), image_id=mapped, folders=folders
            )
    for spoken in dict.fromkeys(["en", language]):
        planned[name_place("guarantee", spoken)] = partial(draw_guarantee, language=spoken)
    for name, quantity in plan_lesion_figures(marts).items():
        planned[name] = partial(draw_lesion_risk, quantity=quantity)
    for name, (reader, measure) in plan_reader_figures(marts).items():
        planned[name] = partial(draw_readers, reader=reader, measure=measure)
    for name, quantity in plan_region_figures(marts).items():
        planned[name] = partial(draw_regions, quantity=quantity)
    if not is_complete(marts):
        planned["coverage"] = draw_coverage
    images = choose_images(marts)
    limit, files = find_limit(marts, images), name_files(images)
    for image_id in images:
        planned[f"axis1_blockmap_{files[image_id]}"] = partial(
            draw_blockmap, references=Path(references), image_id=image_id, limit=limit
        )
    figures: dict[str, Drawer] = {}
    for name, draw in planned.items():
        most_drawn = len(marts.models) if name in OVERVIEWS else MODELS_IN_DETAIL
        figures |= _share_out(marts, name, draw, marts.models, most_drawn=most_drawn)
    if len(marts.models) > 1:
        figures |= _share_out(
            marts, "restorer_audit", draw_restorer_audit, marts.models, MODELS_AN_AUDIT
        )
    if list_epochs(marts.models):
        figures["learning"] = draw_learning
    figures |= _plan_hyra_figures(list_hyra_models(marts))
    for arm, model_id in list_detector_figures(marts):
        figures[f"detectors_{arm}_{model_id}"] = partial(draw_detectors, arm=arm, model_id=model_id)
    for model_id in list_free_response_figures(marts):
        figures[f"free_response_{model_id}"] = partial(draw_free_response, model_id=model_id)
    if not images:
        figures["axis1_blockmap"] = _draw_no_map
    return figures


def _list_models(marts: Marts, table: str, source: str) -> list[str]:
    rows = marts.rows(
        f"select model_id from {table} where source_id = {quote_text(source)} group by model_id"
    )
    return marts.order_models([row["model_id"] for row in rows])


def _plan_hyra_figures(models: Sequence[str]) -> dict[str, Drawer]:
    """Plan a picture for each analysed network, of many for the first, and say so."""
    note = ""
    if len(models) > MODELS_IN_DETAIL:
        note = (
            f"Of {len(models):,} networks analysed, the first {MODELS_IN_DETAIL} have"
            " pictures; the marts hold the others."
        )
    return {
        f"hyra_{model_id}": partial(_draw_network, model_id=model_id, note=note)
        for model_id in models[:MODELS_IN_DETAIL]
    }


def _draw_network(marts: Marts, model_id: str, note: str) -> alt.TopLevelMixin:
    chart = draw_hyra(marts, model_id)
    return theme.add_sentence(chart, note) if note else chart


def _share_out(
    marts: Marts,
    name: str,
    draw: Drawer,
    models: Sequence[str],
    most: int = MODELS_A_PICTURE,
    most_drawn: int | None = None,
) -> dict[str, Drawer]:
    """Plan one picture of all models, or several of about as many each, of the first in order.

    Of more than a few, the tallest are measured: they fit on a page.
    """
    drawn = models[:most_drawn]
    count = max(1, -(-len(drawn) // most))
    while True:
        parts = _plan_parts(name, draw, models, len(drawn), count)
        if len(drawn) <= MODELS_UNMEASURED or count == len(drawn):
            return parts
        longest = max(range(len(drawn)), key=lambda number: len(marts.labels[drawn[number]]))
        # The last has as many models as any, another may have the tallest rows.
        pictures = [*parts.values()]
        tallest = [pictures[place] for place in {longest * count // len(drawn), count - 1}]
        height = max(measure_height(theme.finish(part(marts))) for part in tallest)
        if height <= TALLEST_PT:
            return parts
        count = min(len(drawn), max(count + 1, int(count * height / TALLEST_PT)))


def _plan_parts(
    name: str, draw: Drawer, models: Sequence[str], last: int, count: int
) -> dict[str, Drawer]:
    """Plan so many pictures of the first models, or one that has no number."""
    if count == 1:
        return {name: draw}
    ends = [last * number // count for number in range(count + 1)]
    digits = len(str(count))
    return {
        f"{name}_{number:0{digits}d}of{count}": partial(
            _draw_part,
            draw=draw,
            models=models,
            start=ends[number - 1],
            stop=ends[number],
            last=last,
            is_one_scale=name.startswith("axis1_blockmap"),
        )
        for number in range(1, count + 1)
    }


def _draw_part(
    marts: Marts,
    draw: Drawer,
    models: Sequence[str],
    start: int,
    stop: int,
    last: int,
    is_one_scale: bool,
) -> alt.TopLevelMixin:
    """Draw some of the models, and say which; what all models share stays that of all."""
    part = models[start:stop]
    with marts.narrowed(part):
        chart = draw(marts)
    ends = f"{marts.labels[part[0]]} to {marts.labels[part[-1]]}"
    which = f"Models {start + 1:,} to {stop:,} of {len(models):,}, {ends}"
    others = "the others have pictures of their own"
    if last < len(models):
        others = f"the first {last:,} have pictures of this kind, the marts hold the others"
    scales = "" if is_one_scale else ", whose scales may differ"
    if last < len(models) and scales:
        scales = "; scales may differ from picture to picture"
    return theme.add_sentence(chart, f"{which}; {others}{scales}.")


def _draw_no_map(_: Marts) -> alt.Chart:
    message = "No block has a score: Axis1 is not identifiable in this study."
    return theme.draw_message(TITLE, [], message)


def _put_in_place(fresh: Path, folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Move drawn files to where they belong; from here on, an older manifest holds no longer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    placed = [folder / path.relative_to(fresh) for path in paths]
    for path, place in zip(paths, placed, strict=True):
        place.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, place)
    _remove_stale(folder, placed)
    for place in sorted({path.parent for path in placed} | {folder}):
        sync(place)
    return placed


def _remove_stale(folder: Path, paths: Sequence[Path]) -> None:
    for path in [*folder.iterdir(), *folder.glob(f"{LFV_FOLDER}*/*/*")]:
        stem = PART.sub("", path.stem)
        is_ours = stem in VARYING or stem.startswith(VARYING_STARTS)
        if is_ours and path.suffix in ENDINGS and path not in paths:
            path.unlink()
    for place in [*folder.glob(f"{LFV_FOLDER}*/*"), *folder.glob(f"{LFV_FOLDER}*")]:
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
