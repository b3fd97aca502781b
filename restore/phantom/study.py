"""Make a phantom study: an ordinary study of copies, with a table of what was drawn into them."""

from __future__ import annotations

import json
import operator
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from upscale_audit.ingest.boxes import SIDES, USED_STATUSES, place_boxes, read_boxes
from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.files import hash_file, hash_json, locked, replacing, to_text, write_text
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.manifests import MANIFEST, describe_code, hash_dependencies, seal_folder
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.restorers import Repair
from upscale_audit.ingest.schema import PHANTOM_TABLES, SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.study import (
    INFERENCE_PATHS,
    OUTPUT_FOLDERS,
    AnalysisParameters,
    IngestParameters,
)
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.ingest.windows import Display
from upscale_audit.ingest.workers import map_units
from upscale_audit.restore.phantom.design import (
    ARMS,
    IMAGE_ARMS,
    PhantomParameters,
    list_image_conditions,
)
from upscale_audit.restore.phantom.images import UNITS, ImageTask, make_image

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study
    from upscale_audit.restore.phantom.images import Unit
    from upscale_audit.restore.restorers import Restorer


STAGE = "phantoms"
_SETTING = "--out"


@dataclass(frozen=True)
class PhantomReport:
    """What a run of `make_phantoms` did.

    Attributes
    ----------
    study_file : Path
        Of the phantom study.
    images, kept : int
        Images of the study that have sites; of these, found complete.
    injections, shams : int
        Rows in which something was drawn, and in which nothing was.
    crowded : int
        Images with fewer sites than were asked for.
    arms_left_out : dict
        Why a model has no arm ``through``.
    left_out : dict
        Why a file was not drawn into, by its name.
    """

    study_file: Path
    images: int
    kept: int
    injections: int
    shams: int
    crowded: int
    arms_left_out: dict[str, str]
    left_out: dict[str, str]


def make_phantoms(
    study: Study,
    folder: Path,
    parameters: PhantomParameters | None = None,
    image_count: int | None = None,
    workers: int | None = None,
    progress: Callable[..., None] | None = None,
) -> PhantomReport:
    """Draw known truth into copies of a study's images.

    Parameters
    ----------
    study : ingest.study.Study
    folder : Path
        Receives the phantom study: new, empty, or of an earlier run.
    parameters : PhantomParameters, optional
    image_count : int, optional
        Only so many of the references, the first by name.
    workers : int, optional
        Processes; all cores by default. No pixel depends on it.
    progress : callable, optional
        Called as ``progress(done, total, name)`` after each image.

    Returns
    -------
    PhantomReport

    Raises
    ------
    StudyError
        The folder holds something else, no image has room for a site, a restorer gives another
        size than the reference's or other images than lie in its folder.

    Notes
    -----
    Nothing is written outside `folder`. After a kill at any moment, the next run ends with the same
    bytes.
    """
    parameters, folder = parameters or PhantomParameters(), Path(folder).resolve()
    if study.references is None:
        raise StudyError(f"{study.path} has no references; phantoms need images: name their folder")
    _check_apart(study, folder)
    with locked(folder, "phantom, ingest or build", setting=_SETTING):
        (folder / UNITS).mkdir(parents=True, exist_ok=True)
        (folder / STAGE / MANIFEST).unlink(missing_ok=True)
        restorers, arms_left_out = _prepare_restorers(study, parameters)
        tasks = _plan(study, folder, parameters, restorers, image_count)
        units, kept = _carry_out(tasks, workers or os.cpu_count() or 1, progress)
        if not any(unit["injections"] for unit in units):
            why = next((w for unit in units for w in unit["left_out"].values()), "nothing to read")
            raise StudyError(
                f"no image of {study.path} has a site to draw at ({why}): a site needs 72x72 px"
                f" without a grey value of 0 or above {255 - max(parameters.contrasts_dn)}, 48 px"
                " from the frame and outside labelled boxes; give larger images or lower contrasts"
            )
        _clear(folder, tasks, units)
        study_file = _write_study(study, folder, parameters)
        _write_tables(study, folder, tasks, units, parameters, restorers)
    rows = [row for unit in units for row in unit["injections"]]
    shams = sum(row["arm"] == "sham" for row in rows)
    return PhantomReport(
        study_file=study_file,
        images=sum(bool(unit["injections"]) for unit in units),
        kept=kept,
        injections=len(rows) - shams,
        shams=shams,
        crowded=sum(0 < unit["site_count"] < parameters.site_count for unit in units),
        arms_left_out=arms_left_out,
        left_out={
            f"{unit['image_id']}: {name}": why
            for unit in units
            for name, why in unit["left_out"].items()
        },
    )


def _check_apart(study: Study, folder: Path) -> None:
    """Refuse a folder of the study's own, or one that holds something else."""
    own = [study.references, *(model.folder(p) for model in study.models for p in INFERENCE_PATHS)]
    own.append(None if study.lr is None else study.lr.folder)
    for place in own:
        if place is None:
            continue
        if place == folder or place in folder.parents or folder in place.parents:
            raise StudyError(
                f"--out {folder} and {place}, which holds images of {study.path}, lie in one"
                " another: name another folder; nothing is drawn into a study's own images"
            )
    if folder == study.output or folder == study.path.parent:
        raise StudyError(f"--out {folder} is the study's own folder: name another")
    if (
        study.output in folder.parents
        and folder.relative_to(study.output).parts[0] in OUTPUT_FOLDERS
    ):
        raise StudyError(
            f"--out {folder} lies where {study.path} writes its own tables: name another folder"
        )
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StudyError(f"cannot list --out {folder}: {error.strerror}; name a folder") from None
    if STAGE not in names and set(names) - {".lock"}:
        raise StudyError(
            f"--out {folder} holds {names[0]!r} and no phantom study: name a new folder, which"
            " phantom fills and clears by itself"
        )


def _prepare_restorers(
    study: Study, parameters: PhantomParameters
) -> tuple[dict[str, Restorer], dict[str, str]]:
    """Find the models whose images can be made again, and why the others' cannot."""
    if "through" not in parameters.arms:
        return {}, {}
    restorers, left_out = {}, {}
    for model in study.models:
        if _find_lr(study) is None:
            left_out[model.model_id] = "no [lr] rule and scale in the study file"
        elif model.restorer is None:
            left_out[model.model_id] = "declares no restorer"
        elif isinstance(model.restorer, Repair):
            left_out[model.model_id] = f"is made of the images of {model.restorer.of}"
        else:
            from upscale_audit.restore.restorers import prepare_restorer

            restorers[model.model_id] = prepare_restorer(model.restorer, study.restore_parameters)
            restorers[model.model_id].check()
    return restorers, left_out


def _find_lr(study: Study) -> tuple[str, int] | None:
    """Rule and scale of the LR images; None where the study does not state both."""
    if study.lr is None or study.lr.rule is None or study.lr.scale is None:
        return None
    return study.lr.rule, study.lr.scale


def _plan(
    study: Study,
    folder: Path,
    parameters: PhantomParameters,
    restorers: Mapping[str, Restorer],
    image_count: int | None,
) -> list[ImageTask]:
    pairing = pair_study(study)
    files: defaultdict[str, dict[tuple[str, str], Path]] = defaultdict(dict)
    for pair in pairing.pairs:
        if pair.file is not None:
            files[pair.image_id][pair.model_id, pair.inference_path] = pair.file
    chosen = sorted(image_id for image_id in pairing.references if files[image_id])[:image_count]
    _check_names(study, chosen, parameters)
    boxes = _find_boxes(study, pairing.references)
    code_sha256 = hash_json(_describe_code())
    return [
        ImageTask(
            image_id=image_id,
            reference=pairing.references[image_id],
            restored=files[image_id],
            restorers=dict(restorers),
            boxes=tuple(boxes[image_id]),
            lr=_find_lr(study),
            parameters=parameters,
            folder=folder,
            max_image_px=study.ingest_parameters.max_image_px,
            colour=study.ingest_parameters.colour,
            code_sha256=code_sha256,
            display=Display(study.ingest_parameters.window),
        )
        for image_id in chosen
    ]


def _find_boxes(
    study: Study, references: Mapping[str, Path]
) -> defaultdict[str, list[tuple[int, ...]]]:
    """Give the finding boxes of each image, in pixels of its reference."""
    boxes: defaultdict[str, list[tuple[int, ...]]] = defaultdict(list)
    if study.label_boxes is None:
        return boxes
    listed = read_boxes(study.label_boxes)
    names = {to_text(image_id): path for image_id, path in references.items()}
    sizes = {}
    for image_id in {box["image_id"] for box in listed} & set(names):
        size = _measure_size(study, names[image_id])
        if size is not None:
            sizes[image_id] = size
    for box in place_boxes(study.label_boxes, listed, sizes, study.box_frame):
        if box["status"] in USED_STATUSES:
            boxes[box["image_id"]].append(tuple(box[side] for side in SIDES))
    return boxes


def _measure_size(study: Study, path: Path) -> tuple[int, int] | None:
    """Width and height of a reference as ingest measures it; None where it is refused."""
    parameters = study.ingest_parameters
    try:
        data = read_bytes(path, limit_bytes(parameters.max_image_px))
        kind = path.suffix.lower()
        limits, display = (parameters.max_image_px, parameters.colour), Display(parameters.window)
        facts = decode_image(data, kind, *limits, display).facts
    except RejectedFileError:
        return None
    return facts.width_px, facts.height_px


def _check_names(study: Study, image_ids: Sequence[str], parameters: PhantomParameters) -> None:
    """Refuse references whose names are those of others' copies."""
    copies = {
        f"{image_id}.{arm}{version}"
        for image_id in image_ids
        for arm in ARMS
        for version in range(
            len(list_image_conditions(parameters))
            if arm in IMAGE_ARMS
            else parameters.version_count
        )
    }
    both = sorted(copies & set(image_ids))
    if both:
        raise StudyError(
            f"{study.path}: the reference {both[0]!r} has the name that a copy of another would"
            " get: rename it"
        )


def _describe_code() -> dict[str, str | None]:
    return {
        "restore": describe_code("restore", "*", "phantom/*")["sha256"],
        "ingest": describe_code("ingest", "lr*.py", "images.py", "png.py", "jpeg.py")["sha256"],
        "dependencies": hash_dependencies(),
    }


def _clear(folder: Path, tasks: Sequence[ImageTask], units: Sequence[Unit]) -> None:
    """Remove what an earlier or killed run made and no unit names."""
    wanted = {folder / name for unit in units for name in unit["files"]}
    wanted |= {task.unit_path for task in tasks}
    for place in ("reference", "restored", UNITS):
        for path in sorted((folder / place).rglob("*")):
            if path not in wanted and not path.is_dir():
                path.unlink()


def _carry_out(
    tasks: Sequence[ImageTask], workers: int, progress: Callable[..., None] | None
) -> tuple[list[Unit], int]:
    """Make every image's copies; gives the units, by name, and how many of them were there."""
    units, kept = [], 0
    done = map_units(make_image, tasks, workers, lambda task: to_text(task.image_id))
    for number, (unit, is_kept) in enumerate(done, start=1):
        units.append(unit)
        kept += is_kept and bool(unit["injections"])
        if progress is not None:
            progress(number, len(tasks), unit["image_id"])
    return sorted(units, key=lambda unit: unit["image_id"]), kept


def _write_study(study: Study, folder: Path, parameters: PhantomParameters) -> Path:
    """Write the study file of the copies."""
    lines = [
        f"# Known truth drawn into copies of {study.name}: upscale-audit phantom wrote this file.",
        "[study]",
        f"name = {_quote(study.name + '-phantoms')}",
        'references = "reference"',
        f"axis = {_quote(study.axis)}",
        f"axis_models = [{', '.join(map(_quote, study.axis_models))}]",
    ]
    if study.frozen is not None:
        lines.append(f"frozen = {_quote(_within(study.frozen, folder))}")
    lr = _find_lr(study)
    if lr is not None:
        lines += ["", "[lr]", f"rule = {_quote(lr[0])}", f"scale = {lr[1]}"]
    for model in study.models:
        lines += ["", "[[models]]", f"model_id = {_quote(model.model_id)}"]
        for path in INFERENCE_PATHS:
            if model.folder(path) is not None:
                place = f"restored/{model.model_id}/{path}"
                (folder / place).mkdir(parents=True, exist_ok=True)
                lines.append(f"{path} = {_quote(place)}")
    lines += _spell_labels(study, folder)
    for name, expression in study.composites:
        lines += ["", f"[detectors.{name}]", f"expression = {_quote(expression)}"]
    has_metrics = bool(set(IMAGE_ARMS) & set(parameters.arms))
    lines += ["", "[parameters]", *_spell_parameters(study, has_metrics)]
    write_text(folder / "study.toml", "\n".join(lines) + "\n")
    return folder / "study.toml"


def _spell_labels(study: Study, folder: Path) -> list[str]:
    if study.label_entries is not None:
        return ["", "[labels]", f"entries = {_quote(_within(study.label_entries, folder))}"]
    if study.patients is None:
        return []
    lines = ["", "[labels]", f"patients = {_quote(_within(study.patients.file, folder))}"]
    if study.patients.layout is not None:
        lines.append(f"layout = {_quote(study.patients.layout)}")
    if study.patients.columns:
        named = ", ".join(f"{name} = {_quote(column)}" for name, column in study.patients.columns)
        lines.append(f"columns = {{ {named} }}")
    return lines


def _spell_parameters(study: Study, has_metrics: bool) -> list[str]:
    """Spell the study's parameters that are not the default ones.

    Metrics of whole images are for the arms that judge images. The window is left out: copies have
    the 8 bits that it made; and so is a baseline of published files, which are not copied.
    """
    given = asdict(study.ingest_parameters) | asdict(study.analysis_parameters)
    del given["window"]
    if given["baseline_model"] not in [model.model_id for model in study.models]:
        del given["baseline_model"]
    default = {
        item.name: item.default
        for kind in (IngestParameters, AnalysisParameters)
        for item in fields(kind)
    }
    given["image_metrics"] = has_metrics
    return [
        f"{name} = {json.dumps(value, ensure_ascii=False)}"
        for name, value in given.items()
        if value != default[name]
    ]


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _within(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _write_tables(
    study: Study,
    folder: Path,
    tasks: Sequence[ImageTask],
    units: Sequence[Unit],
    parameters: PhantomParameters,
    restorers: Mapping[str, Restorer],
) -> None:
    names = [task.unit_path.relative_to(folder / STAGE).as_posix() for task in tasks]
    parts: Sequence[Mapping[str, Any]] = units
    for table, columns in PHANTOM_TABLES.items():
        keys = [column.name for column in columns if not column.nullable]
        rows = [row for part in parts for row in part[table]]
        empty = dict.fromkeys(column.name for column in columns)
        ordered = sorted(rows, key=operator.itemgetter(*keys))
        content = pa.Table.from_pylist(
            [empty | row for row in ordered],
            schema=arrow_schema(table, {"schema_version": str(SCHEMA_VERSION)}),
        )
        names.append(f"{table}.parquet")
        with replacing(folder / STAGE / names[-1]) as temporary:
            pq.write_table(content, temporary, compression="zstd")
    recipe = {
        "command": "phantom",
        "parameters": asdict(parameters),
        "study": study.name,
        "restorers": {
            model_id: restorer.describe("notta") for model_id, restorer in restorers.items()
        },
        "lr": _find_lr(study),
        "schema_version": SCHEMA_VERSION,
        "code": _describe_code(),
        "inputs": {
            "sources": {
                f"{unit['image_id']}: {name}": sha256
                for unit in units
                for name, sha256 in unit["sources"].items()
            },
            "copies": {name: item for unit in units for name, item in unit["files"].items()},
        },
    }
    seal_folder(folder / STAGE, STAGE, f"{study.name}-phantoms", names, recipe, {})
    Journal(folder, STAGE).write({MANIFEST: {hash_file(folder / STAGE / MANIFEST)}})
