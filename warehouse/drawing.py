"""Commands that draw: figures, map, worst."""

import importlib

from ingest.errors import StudyError
from ingest.files import writing
from ingest.manifests import MANIFEST
from ingest.study import load_study
from warehouse.progress import Progress, say

EXIT_OK = 0
_INFERENCE_PATHS, _PATCHES_PX, _LANGUAGES = ("notta", "tta"), (8, 16, 32, 64), ("en", "ja")


def add_drawing_commands(commands, add):
    """Add the commands to the parser.

    Parameters
    ----------
    commands : argparse._SubParsersAction
    add : callable
        ``add(commands, name, run, summary, example)``: a command with the study as its first
        argument.
    """
    add(commands, "figures", draw_study, "draw figures as PNG, SVG and HTML")
    summary = "draw the local quality map of one image, with its published files and a page"
    example = "sample/study.toml rg1_r0c1 upscayl_standard"
    one = add(commands, "map", _draw_map, summary, example)
    one.add_argument("image", metavar="IMAGE_ID", help="as in dim_images")
    one.add_argument("model", metavar="MODEL_ID", help="as in the study file")
    one.add_argument("--patch", type=int, choices=_PATCHES_PX, default=8, help="px (default: 8)")
    one.add_argument(
        "--also",
        metavar="MODEL_ID",
        action="append",
        default=[],
        help="another model for the page; may be given again",
    )
    example = "sample/study.toml upscayl_standard"
    worst = add(commands, "worst", _draw_worst, "draw the images a model restored worst", example)
    worst.add_argument("model", metavar="MODEL_ID", help="as in the study file")
    worst.add_argument("--count", type=int, default=12, help="images (default: 12)")
    for command in (one, worst):
        command.add_argument("--path", choices=_INFERENCE_PATHS, default="notta")
        command.add_argument("--lang", choices=_LANGUAGES, default="en")


def draw_study(options):
    """Draw every figure of a study, and list them with their hashes."""
    from warehouse.provenance import seal_figures

    figures = _load("analysis.figures")
    study = load_study(options.study)
    folder = study.output / "figures"
    with Progress("figures", "figures") as progress, writing(folder):
        (folder / MANIFEST).unlink(missing_ok=True)
        files = figures.draw_figures(study.warehouse, study.references, folder, progress)
        seal_figures(study, files)
    say(f"drew {len(files)} files in {folder}")
    return EXIT_OK


def _draw_map(options):
    paths = _load("analysis.lqd").draw_map(
        load_study(options.study),
        options.image,
        options.model,
        options.path,
        patch_px=options.patch,
        language=options.lang,
        also=options.also,
    )
    say(f"drew {len(paths)} files in {paths[0].parent}")
    return EXIT_OK


def _draw_worst(options):
    study = load_study(options.study)
    count, language = options.count, options.lang
    draw_worst = _load("analysis.lqd").draw_worst
    paths = draw_worst(study, options.model, options.path, count, language)
    say(f"drew {paths[0]} and {paths[1].name}")
    return EXIT_OK


def _load(module):
    """Import a module that draws; what it needs is an extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise StudyError(
            f"figures need {error.name}, which is not installed:"
            " pip install 'upscale-audit[figures]'"
        ) from None
