"""The study file: which images, which models, and every parameter that changes a number."""

from __future__ import annotations

import codecs
import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

from upscale_audit.ingest.block_declarations import (
    BOTH,
    ENTRY_KEYS,
    KEYS,
    PAIRED,
    PATH_COLUMNS,
    BlockTable,
)
from upscale_audit.ingest.credit import Credit, parse_credit
from upscale_audit.ingest.documents import read_bounded
from upscale_audit.ingest.errors import StudyError, require_value
from upscale_audit.ingest.model_facts import KEYS as FACTS
from upscale_audit.ingest.model_facts import MAX_CHARACTERS, ModelFacts, check_facts
from upscale_audit.ingest.patients import COLUMNS, LAYOUTS, PatientList, is_plain_list
from upscale_audit.ingest.plain_paths import check_database_folder
from upscale_audit.ingest.readers import (
    READER_KEYS,
    ReaderDeclaration,
    list_required_keys,
    make_declaration,
)
from upscale_audit.ingest.restorers import (
    CONTROLS,
    DECLARATIONS,
    LR_RULES,
    LR_SCALES,
    Declaration,
    Repair,
    RestoreParameters,
)
from upscale_audit.ingest.stated_window import Window, parse_window
from upscale_audit.ingest.structures import LEAST_RCA, Masks, parse_labels

if TYPE_CHECKING:
    from dataclasses import Field


INFERENCE_PATHS = ("notta", "tta")
MAX_FILE_BYTES = 1 << 20
"""Largest study file that is read: 1 MiB, which names 3,000 models."""
MODEL_ID_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PAIRING_RULES = ("exact", "suffix")
EDGE_RULES = ("adaptive", "fixed")
COLOUR_RULES = ("reduce", "reject")
SIZE_RULES = ("lanczos4", "mitchell", "area", "crop")
AXES = ("standard", "own")
PATCH_PX_RANGE = (16, 1024)
"""Least and greatest side of a patch of sFRC; the authors use 32 to 96 px."""
OUTPUT_FOLDERS = (
    *("raw", "hyra", "phantoms", "readings"),
    *("exports", "figures", "maps", "paper", "dbt"),
)
OUTPUT_STARTS = (".", "warehouse", "docs.", "paper.", "report.")
"""How the files begin that a study writes beside these folders."""
COMPOSITE_PATTERN = re.compile(r"[a-z][a-z0-9_]{0,62}")
MAX_COMPOSITES = 20
MEASURED_SOURCES = ("images", "images_notta", "images_tta")
"""What marts and exports call the measured images; no published file may be labelled so."""


D = TypeVar("D")
"""A declaration of a table's keys, a dataclass."""


@dataclass(frozen=True)
class IngestParameters:
    """Parameters that change a raw number; hashed into every shard.

    Attributes
    ----------
    edge_rule : {"adaptive", "fixed"}
        Where the Canny thresholds of the ringing mask come from: each reference's own
        gradients, or `edge_low_dn` and `edge_high_dn`.
    edge_quantile : float
        Quantile of the L1 Sobel magnitude taken as the high threshold (adaptive rule);
        the low one is half of it.
    edge_low_dn, edge_high_dn : int
        L1 Sobel magnitudes (fixed rule). 100 and 200 are the published generator's.
    colour : {"reduce", "reject"}
        What happens to an image whose channels differ: grey by Rec. 601, or a reject.
    max_image_px : int
        Images with more pixels are rejected before they are decoded.
    image_metrics : bool
        Whether the per-image metrics are measured too; they take about as long as the rest.
    window : ingest.windows.Window or None
        How values of more than 8 bits become the 8 that are measured; without, they are refused.
    """

    edge_rule: str = "adaptive"
    edge_quantile: float = 0.95
    edge_low_dn: int = 100
    edge_high_dn: int = 200
    colour: str = "reduce"
    max_image_px: int = 8192 * 8192
    image_metrics: bool = True
    window: Window | None = None

    def __post_init__(self) -> None:
        require_value(self.edge_rule in EDGE_RULES, "edge_rule", self.edge_rule, EDGE_RULES)
        require_value(self.colour in COLOUR_RULES, "colour", self.colour, COLOUR_RULES)
        require_value(0 < self.edge_quantile < 1, "edge_quantile", self.edge_quantile, "0 < q < 1")
        ordered = 0 <= self.edge_low_dn <= self.edge_high_dn < 2**31
        expected = "0 <= edge_low_dn <= edge_high_dn < 2**31"
        require_value(ordered, "edge_low_dn", self.edge_low_dn, expected)
        require_value(self.max_image_px > 0, "max_image_px", self.max_image_px, "a positive count")


@dataclass(frozen=True)
class AnalysisParameters:
    """Parameters that change a mart but no raw number; handed to dbt as variables.

    Attributes
    ----------
    ringing_min_px : int
        Blocks with fewer masked pixels have no ringing value (NULL).
    bootstrap_replicates : int
        Cluster resamples behind each interval.
    bootstrap_seed : str
        Enters the hash that draws the resamples.
    min_clusters : int
        With fewer clusters an interval is NULL.
    baseline_model : str
        Its notta images set the thresholds of the population `frozen`, and every excess is
        over them.
    error_limit_dn2 : float
        A block whose mean squared error exceeds it is erroneous.
    tile_px : int, optional
        Side of the tiles, in pixels of the reference, whose borders are searched for seams, of
        models that declare none of their own; none is assumed.
    """

    ringing_min_px: int = 4
    bootstrap_replicates: int = 1000
    bootstrap_seed: str = "upscale-audit"
    min_clusters: int = 5
    baseline_model: str = "bicubic"
    error_limit_dn2: float = 25.0
    tile_px: int | None = None

    def __post_init__(self) -> None:
        in_block = 1 <= self.ringing_min_px <= 64
        require_value(in_block, "ringing_min_px", self.ringing_min_px, "1..64")
        enough = 100 <= self.bootstrap_replicates <= 100_000
        require_value(enough, "bootstrap_replicates", self.bootstrap_replicates, "100..100000")
        require_value(
            2 <= self.min_clusters < 2**31, "min_clusters", self.min_clusters, "2 or more"
        )
        is_error = 0 <= self.error_limit_dn2 <= 255**2
        require_value(is_error, "error_limit_dn2", self.error_limit_dn2, "0..65025")
        _require_tile(self.tile_px)


@dataclass(frozen=True)
class Model:
    """A network under test: its name and one folder of restored images per inference path.

    `restorer` is one of `ingest.restorers.DECLARATIONS` where the command ``restore`` makes the
    images, or a `Repair`; its folders may then be still to come. `tile_px` is the side of the
    tiles it works in, in pixels of the reference, where it is not the study's. `facts` change no
    number.
    """

    model_id: str
    notta: Path
    tta: Path | None
    restorer: Declaration | Repair | None = None
    tile_px: int | None = None
    facts: ModelFacts = field(default_factory=ModelFacts)

    def __post_init__(self) -> None:
        _require_tile(self.tile_px)

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.facts.label or self.model_id

    @property
    def is_control(self) -> bool:
        """Whether its images are the references, damaged as stated."""
        return isinstance(self.restorer, CONTROLS)

    def folder(self, inference_path: str) -> Path | None:
        """Folder of the restored images, or None where the path is not declared."""
        found: Path | None = getattr(self, inference_path)
        return found


@dataclass(frozen=True)
class PerceptualFiles:
    """The LPIPS weight files that a study names."""

    alexnet: Path
    lpips: Path


@dataclass(frozen=True)
class LrParameters:
    """The LR images that restored images were made of.

    Attributes
    ----------
    rule : {"antialiased", "opencv_cubic"} or None
        How they were made of the references; None where each image's files are to tell.
    scale : {2, 3, 4} or None
        Sides of a reference over those of its LR image; None where the files' sizes tell.
    folder : Path or None
        Where they lie; None where they are made again, of the references and by the rule.
    """

    rule: str | None = None
    scale: int | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        require_value(self.rule in (None, *LR_RULES), "rule", self.rule, LR_RULES)
        require_value(self.scale in (None, *LR_SCALES), "scale", self.scale, "2, 3 or 4")
        if self.folder is None:
            require_value(
                self.rule is not None, "rule", None, "a rule, or folder with the LR images"
            )
            require_value(
                self.scale is not None, "scale", None, "a scale, or folder with the LR images"
            )


@dataclass(frozen=True)
class Published:
    """A result file of the published generator, and what the study calls it."""

    file: Path
    label: str


@dataclass(frozen=True)
class Study:
    """A parsed study file. All paths are absolute.

    `references` is None and `models` empty in a study of published files only; without
    `perceptual` there is no LPIPS. `size_rule` brings restored images of another size to their
    reference's; without one they are refused. `credit` names who made the study. `box_frame` is
    as `ingest.boxes.place_boxes` takes it. `axis` is what scores blocks: the standard basis, or one
    that every build fits to the study's blocks; `frozen` names a file to score by instead,
    `detectors` one of what a phantom study measured. The study's own basis, and the limits that
    models share, are fitted on `axis_models`. `sfrc` holds the sides of the patches, px, whose ring
    correlation is measured; by default none is. `composites` are scores of a block for
    `mart_detectors`: name and SQL expression. `regions` names masks; without them regions are
    background and body. `readers` are networks that score findings, for the command ``read``; no
    other command runs them. `published_blocks` are tables of blocks that others measured.
    """

    path: Path
    name: str
    references: Path | None
    output: Path
    pairing: str
    models: tuple[Model, ...]
    label_entries: Path | None
    label_boxes: Path | None
    box_frame: tuple[int, int] | str | None = None
    published: tuple[Published, ...] = ()
    published_blocks: tuple[BlockTable, ...] = ()
    perceptual: PerceptualFiles | None = None
    frozen: Path | None = None
    detectors: Path | None = None
    lr: LrParameters | None = None
    size_rule: str | None = None
    patients: PatientList | None = None
    credit: Credit = field(default_factory=Credit)
    axis: str = "standard"
    axis_models: tuple[str, ...] = ()
    sfrc: tuple[int, ...] = ()
    composites: tuple[tuple[str, str], ...] = ()
    regions: Masks | None = None
    readers: tuple[ReaderDeclaration, ...] = ()
    ingest_parameters: IngestParameters = field(default_factory=IngestParameters)
    analysis_parameters: AnalysisParameters = field(default_factory=AnalysisParameters)
    restore_parameters: RestoreParameters = field(default_factory=RestoreParameters)

    @property
    def reference_folder(self) -> Path:
        """Folder of the references.

        Raises
        ------
        StudyError
            The study is of published files only.
        """
        if self.references is None:
            raise StudyError(
                f"{self.path} names no images: expected references in [study], and models; this"
                " needs them"
            )
        return self.references

    @property
    def raw(self) -> Path:
        """Folder of the raw Parquet tables."""
        return self.output / "raw"

    @property
    def hyra(self) -> Path:
        """Folder of HyRA's tables; there once the command ``hyra`` has run."""
        return self.output / "hyra"

    @property
    def phantoms(self) -> Path:
        """Folder of what is drawn into this study's images; there if ``phantom`` made it."""
        return self.output / "phantoms"

    @property
    def readings(self) -> Path:
        """Folder of what readers say of the images; there once the command ``read`` has run."""
        return self.output / "readings"

    @property
    def warehouse(self) -> Path:
        """The published database."""
        return self.output / "warehouse.duckdb"


def load_study(path: str | Path, *, needs_models: bool = True) -> Study:
    """Read and check a study file.

    Parameters
    ----------
    path : str or Path
        A TOML file; `study.example.toml` shows every key.
    needs_models : bool
        Whether references without a model are an error; who reads no restored image needs none.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        Missing file or folder, malformed TOML, an unknown key (named with its nearest
        valid one), a missing key, a wrong type, an unsafe or repeated model name.
    """
    path = Path(path)
    try:
        text = _decode(read_bounded(path, MAX_FILE_BYTES))
        document = tomllib.loads(text)
    except FileNotFoundError:
        raise StudyError(
            f"no study file at {path}: copy study.example.toml there and name your folders in it"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}; give a readable TOML file") from None
    except (ValueError, RecursionError) as error:  # also a number of too many digits, deep nesting
        raise StudyError(f"{path} is not valid TOML: {error}{_hint_at_backslash(error)}") from None
    return _parse_study(path.resolve(), document, needs_models)


def _decode(data: bytes) -> str:
    """Decode UTF-8, or UTF-16 with its mark, as Notepad and PowerShell save text."""
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if is_wide else "utf-8-sig")
    return text.replace("\r\n", "\n")


def _hint_at_backslash(error: Exception) -> str:
    """Say what to do where Windows' separators were taken for the start of an escape."""
    if "\\" not in str(error) and "hex" not in str(error):
        return ""
    return "; write folders with / or between single quotes, as 'restored\\alpha'"


def _parse_study(path: Path, document: Mapping[str, Any], needs_models: bool) -> Study:
    sections = (
        "study", "models", "lr", "size", "published", "labels", "perceptual", "parameters",
        "restore", "paper", "detectors", "regions", "readers", "published_blocks",
    )  # fmt: skip
    _check_keys(path, "the study file", document, sections, required=("study",))
    study = _table(path, document, "study")
    keys = ("name", "references", "output", "pairing", "axis", "axis_models", "frozen", "sfrc")
    published = _parse_published(path, document.get("published", []))
    published_blocks = _parse_published_blocks(path, document.get("published_blocks", []))
    is_published = bool(published or published_blocks)
    has_images = "models" in document or "references" in study or not is_published
    required = ("name", "references") if has_images else ("name",)
    _check_keys(path, "[study]", study, (*keys, "detectors"), required=required)
    labels = _table(path, document, "labels")
    known = ("entries", "boxes", "box_frame", "patients", "layout", "columns")
    _check_keys(path, "[labels]", labels, known)
    pairing = _text(path, "[study]", study, "pairing", default="exact")
    if pairing not in PAIRING_RULES:
        raise StudyError(
            f"{path} [study]: pairing = {pairing!r}; expected one of {', '.join(PAIRING_RULES)}"
        )
    ingest_parameters, analysis_parameters = _parse_parameters(path, document)
    output = _resolve(path, "[study]", study, "output", default=".")
    models: tuple[Model, ...] = ()
    if has_images and (needs_models or "models" in document):
        models = _parse_models(path, document.get("models"))
        models = _add_repaired(path, document, models, output)
    if models and not published:
        _check_baseline(path, document, models)
    patients = _parse_patients(path, labels)
    parsed = Study(
        path=path,
        name=_text(path, "[study]", study, "name"),
        references=_folder(path, "[study]", study, "references") if has_images else None,
        output=output,
        pairing=pairing,
        models=models,
        label_entries=None if patients else _find_file(path, "[labels]", labels, "entries"),
        label_boxes=_find_file(path, "[labels]", labels, "boxes"),
        box_frame=_parse_frame(path, labels),
        published=published,
        published_blocks=published_blocks,
        perceptual=_parse_perceptual(path, document),
        frozen=_resolve(path, "[study]", study, "frozen") if "frozen" in study else None,
        detectors=_resolve(path, "[study]", study, "detectors") if "detectors" in study else None,
        lr=_parse_lr(path, document) if has_images else None,
        size_rule=_parse_size(path, document),
        patients=patients,
        credit=_parse_credit(path, document),
        axis=_parse_axis(path, study),
        axis_models=_parse_axis_models(path, study, models),
        sfrc=_parse_patch_sides(path, study),
        composites=_parse_composites(path, document),
        regions=_parse_regions(path, document) if has_images else None,
        readers=_parse_readers(path, document.get("readers", [])),
        ingest_parameters=ingest_parameters,
        analysis_parameters=analysis_parameters,
        restore_parameters=_parse_restore(path, document),
    )
    _check_apart(parsed)
    check_database_folder(parsed.output, f"{path}: [study] output")
    return parsed


def _parse_frame(path: Path, labels: Mapping[str, Any]) -> tuple[int, int] | str | None:
    """Parse in which frame boxes count; None where the study leaves it to their numbers."""
    given: object = labels.get("box_frame")
    if given is None or (isinstance(given, str) and given in ("reference", "unit")):
        return given
    if isinstance(given, list) and [type(side) for side in given] == [int, int] and min(given) > 0:
        width, height = given
        return width, height
    raise StudyError(
        f"{path} [labels]: box_frame = {given!r}; expected the width and height in px of the"
        ' images on which the boxes were drawn, as [1024, 1024], or "reference" or "unit"'
    )


def _parse_size(path: Path, document: Mapping[str, Any]) -> str | None:
    if "size" not in document:
        return None
    given = _table(path, document, "size")
    _check_keys(path, "[size]", given, ("rule",), required=("rule",))
    rule = _text(path, "[size]", given, "rule")
    if rule not in SIZE_RULES:
        raise StudyError(f"{path} [size]: rule = {rule!r}; expected one of {', '.join(SIZE_RULES)}")
    return rule


def _parse_credit(path: Path, document: Mapping[str, Any]) -> Credit:
    try:
        return parse_credit(_table(path, document, "paper"))
    except StudyError as error:
        raise StudyError(f"{path} [paper]: {error}") from None


def _parse_patients(path: Path, labels: Mapping[str, Any]) -> PatientList | None:
    """Parse the list of patients: a layout's, or one whose columns are named."""
    layout, columns = labels.get("layout"), labels.get("columns", {})
    entries = None if "patients" in labels else _find_file(path, "[labels]", labels, "entries")
    if entries is not None and layout is None and not columns and is_plain_list(entries):
        return PatientList(entries)
    if "patients" not in labels:
        if layout is not None or columns:
            raise StudyError(f"{path} [labels]: layout and columns describe patients = ...; add it")
        return None
    if "entries" in labels:
        raise StudyError(
            f"{path} [labels]: entries and patients both say who is who; take one of them out"
        )
    if layout is not None and (columns or layout not in LAYOUTS):
        found = "columns beside it" if columns else repr(layout)
        raise StudyError(
            f"{path} [labels]: layout = {found}; expected one of {', '.join(LAYOUTS)}, or columns"
            " alone"
        )
    is_text = isinstance(columns, dict) and all(isinstance(name, str) for name in columns.values())
    if not is_text:
        raise StudyError(
            f"{path} [labels]: columns = {columns!r}; expected {{ image = ..., patient = ... }}"
        )
    required = ("image", "patient") if columns else ()
    _check_keys(path, "[labels] columns", columns, COLUMNS, required=required)
    file = _file(path, "[labels]", labels, "patients")
    return PatientList(file, layout, tuple(sorted(columns.items())))


def _parse_lr(path: Path, document: Mapping[str, Any]) -> LrParameters | None:
    if "lr" not in document:
        return None
    given = _table(path, document, "lr")
    lr = _make(path, "[lr]", given, LrParameters)
    if lr.folder is not None:
        _folder(path, "[lr]", given, "folder")
    return lr


def _parse_restore(path: Path, document: Mapping[str, Any]) -> RestoreParameters:
    """Parse what `restore` does; the LR images it makes are those of [lr] where that says how."""
    given = _table(path, document, "restore")
    lr = _table(path, document, "lr")
    stated = {"lr_rule": lr.get("rule"), "scale": lr.get("scale")}
    for key, value in stated.items():
        if value is not None and given.get(key, value) != value:
            raise StudyError(
                f"{path}: [restore] {key} = {given[key]!r}, but [lr] says {value!r}: images are"
                " held against the LR images they are made of; state the same, or leave it out"
                " of [restore]"
            )
    stated = {key: value for key, value in stated.items() if value is not None}
    return _make(path, "[restore]", stated | given, RestoreParameters)


def _parse_axis(path: Path, study: Mapping[str, Any]) -> str:
    axis = _text(path, "[study]", study, "axis", default="standard")
    if axis not in AXES:
        raise StudyError(f"{path} [study]: axis = {axis!r}; expected one of {', '.join(AXES)}")
    if axis == "own" and "frozen" in study:
        raise StudyError(
            f"{path} [study]: axis = 'own' fits a basis to score by, and frozen names a file that"
            " scores; take one of them out"
        )
    return axis


def _parse_axis_models(
    path: Path, study: Mapping[str, Any], models: tuple[Model, ...]
) -> tuple[str, ...]:
    """Names of the models that the study's own axis is fitted on: by default all but controls."""
    known = tuple(model.model_id for model in models)
    if "axis_models" not in study:
        left_out = (*CONTROLS, Repair)  # known damage, and what is of another model
        restorers = [m.model_id for m in models if not isinstance(m.restorer, left_out)]
        return tuple(restorers) or known
    given = study["axis_models"]
    if not isinstance(given, list) or not given or not all(name in known for name in given):
        raise StudyError(
            f"{path} [study]: axis_models = {given!r}; expected a list of one or more of"
            f" {', '.join(known) or 'the models, of which there are none'}"
        )
    return tuple(sorted(set(given)))


def _check_baseline(path: Path, document: Mapping[str, Any], models: tuple[Model, ...]) -> None:
    """Refuse a baseline that is named and is none of the models; published files have others."""
    known = [model.model_id for model in models]
    named = _table(path, document, "parameters").get("baseline_model", known[0])
    if named not in known:
        raise StudyError(
            f"{path} [parameters]: baseline_model = {named!r}; expected one of {', '.join(known)}"
        )


def _parse_patch_sides(path: Path, study: Mapping[str, Any]) -> tuple[int, ...]:
    given = study.get("sfrc", [])
    least, most = PATCH_PX_RANGE
    is_list = isinstance(given, list) and all(type(side) is int for side in given)
    if not is_list or not all(least <= side <= most and side % 2 == 0 for side in given):
        raise StudyError(
            f"{path} [study]: sfrc = {given!r}; expected a list of even sides of patches in pixels,"
            f" each {least} to {most}, as [64]"
        )
    return tuple(sorted(set(given)))


def _parse_composites(path: Path, document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Parse [detectors.NAME] expression = "..."; what they say, a build reads."""
    given = _table(path, document, "detectors")
    if len(given) > MAX_COMPOSITES:
        raise StudyError(
            f"{path} [detectors]: {len(given)} composites; expected {MAX_COMPOSITES} at most"
        )
    composites = []
    for name in sorted(given):
        where = f"[detectors.{name}]"
        if not COMPOSITE_PATTERN.fullmatch(name):
            raise StudyError(
                f"{path} [detectors]: {name!r} names a composite; expected lower-case letters,"
                " digits and _, a letter first, 63 at most"
            )
        table = given[name]
        if not isinstance(table, dict):
            raise StudyError(f"{path} {where}: expected a table with expression = ...")
        _check_keys(path, where, table, ("expression",), required=("expression",))
        composites.append((name, _text(path, where, table, "expression")))
    return tuple(composites)


def _parse_regions(path: Path, document: Mapping[str, Any]) -> Masks | None:
    """Parse where the masks of structures are: label images and their meaning, or CheXmask's."""
    if "regions" not in document:
        return None
    given = _table(path, document, "regions")
    where, known = "[regions]", ("folder", "labels", "chexmask", "min_rca")
    _check_keys(path, where, given, known)
    if ("folder" in given) == ("chexmask" in given):
        raise StudyError(
            f"{path} {where}: expected folder = ... with labels, or chexmask = ..., one of the two"
        )
    if "folder" in given:
        _check_keys(path, where, given, ("folder", "labels"), required=("labels",))
        folder = _folder(path, where, given, "folder")
        try:
            return Masks(folder, parse_labels(given["labels"]))
        except StudyError as error:
            raise StudyError(f"{path} {where}: {error}") from None
    _check_keys(path, where, given, ("chexmask", "min_rca"))
    least = given.get("min_rca", LEAST_RCA)
    if type(least) not in (int, float) or not 0 <= least <= 1:
        raise StudyError(f"{path} {where}: min_rca = {least!r}; expected a number, 0 to 1")
    return Masks(chexmask=_file(path, where, given, "chexmask"), min_rca=float(least))


def _check_apart(study: Study) -> None:
    """Refuse a study whose images lie where its outputs are written."""
    folders = [model.notta for model in study.models]
    folders += [study.references] if study.references else []
    folders += [study.lr.folder] if study.lr and study.lr.folder else []
    folders += [study.regions.folder] if study.regions and study.regions.folder else []
    folders += [model.tta for model in study.models if model.tta]
    for folder in folders:
        if folder == study.output:
            raise StudyError(
                f"{study.path}: {folder} holds images, and this study would write among them;"
                " name another folder as [study] output"
            )
        name = _first_part(folder, study.output)
        if name in OUTPUT_FOLDERS or (name or "").startswith(OUTPUT_STARTS):
            raise StudyError(
                f"{study.path}: {folder} lies where this study writes its {name}/;"
                " name another folder as [study] output"
            )
    for model in study.models:
        made = [model.notta, model.tta] if model.restorer else []
        for folder in filter(None, made):
            if folders.count(folder) > 1:
                raise StudyError(
                    f"{study.path}: {folder}, which restore would fill for {model.model_id!r}, has"
                    " another use in this study too; give each model and path a folder of its own"
                )


def _first_part(folder: Path, output: Path) -> str | None:
    """Give the first name of a folder below the output folder; None where it lies elsewhere."""
    return folder.relative_to(output).parts[0] if output in folder.parents else None


def _parse_published(path: Path, entries: object) -> tuple[Published, ...]:
    if not isinstance(entries, list):
        raise StudyError(f"{path}: expected [[published]] tables, each with file and label")
    published = []
    for number, entry in enumerate(entries, start=1):
        where = f"[[published]] number {number}"
        if not isinstance(entry, dict):
            raise StudyError(f"{path} {where}: expected a table, found {entry!r}")
        _check_keys(path, where, entry, ("file", "label"), required=("file", "label"))
        label = _parse_label(path, where, entry)
        if label.lower() in MEASURED_SOURCES:
            raise StudyError(
                f"{path} {where}: label = {label!r} is what the warehouse calls the study's own"
                " images; choose another"
            )
        published.append(Published(_file(path, where, entry, "file"), label))
    return tuple(published)


def _parse_label(path: Path, where: str, entry: Mapping[str, Any]) -> str:
    label = _text(path, where, entry, "label")
    if not MODEL_ID_PATTERN.fullmatch(label):
        raise StudyError(
            f"{path} {where}: label = {label!r}; use up to 64 letters, digits, '_', '-' or"
            " '.', starting with a letter or digit"
        )
    return label


def _parse_published_blocks(path: Path, entries: object) -> tuple[BlockTable, ...]:
    """Parse [[published_blocks]]: tables of blocks that others measured."""
    if not isinstance(entries, list):
        raise StudyError(f"{path}: expected [[published_blocks]] tables, each with label and file")
    parsed: list[BlockTable] = []
    for number, entry in enumerate(entries, start=1):
        where = f"[[published_blocks]] number {number}"
        if not isinstance(entry, dict):
            raise StudyError(f"{path} {where}: expected a table, found {entry!r}")
        _check_keys(path, where, entry, ENTRY_KEYS, required=("label",))
        if ("file" in entry) == ("folder" in entry):
            raise StudyError(f"{path} {where}: expected file = ... or folder = ..., one of the two")
        form = _text(path, where, entry, "path", default=BOTH)
        if (form not in INFERENCE_PATHS and "path" in entry) or (
            "folder" in entry and form == BOTH
        ):
            found = entry.get("path")
            raise StudyError(
                f"{path} {where}: path = {found!r}; expected one of {', '.join(INFERENCE_PATHS)}"
                " (a file of both, its columns named ..._notta and ..._tta, needs none)"
            )
        sha256 = entry.get("sha256")
        if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", str(sha256)):
            raise StudyError(f"{path} {where}: sha256 = {sha256!r}; expected 64 hex digits")
        if sha256 is not None and "folder" in entry:
            raise StudyError(f"{path} {where}: sha256 is of a file; a folder has hashes = a list")
        parsed.append(
            BlockTable(
                label=_parse_label(path, where, entry),
                form=form,
                file=_find_file(path, where, entry, "file"),
                folder=_folder(path, where, entry, "folder") if "folder" in entry else None,
                model_id=_text(path, where, entry, "model_id") if "model_id" in entry else None,
                columns=_parse_block_columns(path, where, entry, form),
                sha256=None if sha256 is None else str(sha256).lower(),
                hashes=_find_file(path, where, entry, "hashes"),
                where=f"{path} {where}",
            )
        )
        if any(parsed[-1].key == other.key for other in parsed[:-1]):
            raise StudyError(
                f"{path} {where}: {'/'.join(parsed[-1].key)} is named twice; give one another"
                " label, or its folder or file another name"
            )
    return tuple(parsed)


def _parse_block_columns(
    path: Path, where: str, entry: Mapping[str, Any], form: str
) -> tuple[tuple[str, str], ...]:
    columns = _table(path, entry, "columns")
    ends = [f"_{name}" for name in INFERENCE_PATHS] if form == BOTH else [""]
    known = (*KEYS, *(f"{name}{end}" for name in PATH_COLUMNS for end in ends), *PAIRED)
    _check_keys(path, f"{where} columns", columns, known)
    return tuple(sorted((name, _text(path, where, columns, name)) for name in columns))


def _parse_readers(path: Path, entries: object) -> tuple[ReaderDeclaration, ...]:
    """Parse [[readers]]: networks that score findings, in the order of their names."""
    if not isinstance(entries, list):
        raise StudyError(f"{path}: expected [[readers]] tables, each with reader and file")
    readers: list[ReaderDeclaration] = []
    for number, entry in enumerate(entries, start=1):
        where = f"[[readers]] number {number}"
        if not isinstance(entry, dict):
            raise StudyError(f"{path} {where}: expected a table, found {entry!r}")
        _check_keys(path, where, entry, READER_KEYS, required=("reader", "file"))
        name = _text(path, where, entry, "reader")
        if not MODEL_ID_PATTERN.fullmatch(name):
            raise StudyError(
                f"{path} {where}: reader = {name!r}; use up to 64 letters, digits, '_', '-' or"
                " '.', starting with a letter or digit"
            )
        if any(name.lower() == other.reader.lower() for other in readers):
            raise StudyError(f"{path} {where}: reader {name!r} is declared twice; rename one")
        try:
            reader = make_declaration(entry, _file(path, where, entry, "file"))
        except StudyError as error:
            prefix = "" if str(error).startswith(str(path)) else f"{path} {where}: "
            raise StudyError(f"{prefix}{error}") from None
        required = list_required_keys(reader.format)
        _check_keys(path, where, entry, READER_KEYS, required=required)
        readers.append(reader)
    return tuple(sorted(readers, key=lambda reader: reader.reader))


def _parse_perceptual(path: Path, document: Mapping[str, Any]) -> PerceptualFiles | None:
    if "perceptual" not in document:
        return None
    names = ("alexnet", "lpips")
    files = _table(path, document, "perceptual")
    _check_keys(path, "[perceptual]", files, names, required=names)
    return PerceptualFiles(*(_file(path, "[perceptual]", files, name) for name in names))


def _parse_models(path: Path, entries: object) -> tuple[Model, ...]:
    if not isinstance(entries, list) or not entries:
        raise StudyError(
            f"{path}: expected one or more [[models]] tables, each a model_id and its folders;"
            " study.example.toml shows one"
        )
    models: list[Model] = []
    for number, entry in enumerate(entries, start=1):
        where = f"[[models]] number {number}"
        if not isinstance(entry, dict):
            raise StudyError(f"{path} {where}: expected a table, found {entry!r}")
        known = ("model_id", "notta", "tta", "restorer", "tile_px", "repair")
        required = ("model_id", "notta")
        _check_keys(path, where, entry, (*known, *FACTS), required=required)
        model_id = _text(path, where, entry, "model_id")
        if not MODEL_ID_PATTERN.fullmatch(model_id) or ".." in model_id:
            raise StudyError(
                f"{path} {where}: model_id = {model_id!r} cannot name a folder safely; use up"
                " to 64 letters, digits, '_', '-' or single '.', starting with a letter or digit"
            )
        if any(model_id.lower() == other.model_id.lower() for other in models):
            raise StudyError(f"{path} {where}: model_id {model_id!r} is declared twice; rename one")
        restorer = _parse_restorer(path, where, entry)
        find = _folder if restorer is None else _resolve
        tta = find(path, where, entry, "tta") if "tta" in entry else None
        notta = find(path, where, entry, "notta")
        stated = {key: value for key, value in entry.items() if key in FACTS}
        facts = _make(path, where, stated, ModelFacts)
        tile_px = _parse_tile(path, where, entry)
        models.append(Model(model_id, notta, tta, restorer, tile_px, facts))
    return tuple(models)


def _add_repaired(
    path: Path, document: Mapping[str, Any], models: tuple[Model, ...], output: Path
) -> tuple[Model, ...]:
    """Add, for each model with ``repair = true``, one whose images `restore` repairs."""
    repaired = []
    for model, entry in zip(models, document["models"], strict=True):
        wanted = entry.get("repair", False)
        if type(wanted) is not bool:
            raise StudyError(f"{path}: repair = {wanted!r} of {model.model_id!r}; expected bool")
        if not wanted:
            continue
        if "lr" not in document:
            raise StudyError(
                f"{path}: repair = true of {model.model_id!r} needs the LR images; add [lr]"
            )
        model_id = f"{model.model_id}_repaired"
        if len(model_id) > 64 or any(model_id.lower() == m.model_id.lower() for m in models):
            raise StudyError(
                f"{path}: repair = true of {model.model_id!r} makes a model {model_id!r}, which is"
                " too long, or declared; rename one"
            )
        folder = output / "restored" / model_id
        tta = folder / "tta" if model.tta else None
        label = model.facts.label and f"{model.facts.label}, repaired"[:MAX_CHARACTERS]
        facts = ModelFacts(label=label)
        repair = Repair(model.model_id)
        repaired.append(Model(model_id, folder / "notta", tta, repair, facts=facts))
    try:
        check_facts({model.model_id: model.facts for model in [*models, *repaired]})
    except StudyError as error:
        raise StudyError(f"{path} [[models]]: {error}") from None
    return tuple(sorted([*models, *repaired], key=lambda model: model.model_id))


def _parse_tile(path: Path, where: str, entry: Mapping[str, Any]) -> int | None:
    tile_px: object = entry.get("tile_px")
    if tile_px is None:
        return None
    if type(tile_px) is not int:
        raise StudyError(f"{path} {where}: tile_px = {tile_px!r}; expected int")
    try:
        _require_tile(tile_px)
    except StudyError as error:
        raise StudyError(f"{path} {where}: {error}") from None
    return tile_px


def _parse_restorer(path: Path, where: str, entry: Mapping[str, Any]) -> Declaration | None:
    if "restorer" not in entry:
        return None
    given = _table(path, entry, "restorer")
    where = f"{where} restorer"
    kind = _text(path, where, given, "kind", default="(none)")
    if kind not in DECLARATIONS:
        raise StudyError(
            f"{path} {where}: kind = {kind!r}; expected one of {', '.join(DECLARATIONS)}"
        )
    return _make(path, where, given, DECLARATIONS[kind])


def _make(path: Path, where: str, given: Mapping[str, Any], declaration: type[D]) -> D:
    """Make a declaration of a table's values, each of its field's type."""
    known = {item.name: item for item in fields(declaration)}  # type: ignore[arg-type]  # a dataclass
    required = [name for name, item in known.items() if item.default is MISSING]
    _check_keys(path, where, given, known, required)
    hints, values = get_type_hints(declaration), {}
    for key, value in given.items():
        expected = next(iter(get_args(hints[key])), hints[key])
        if expected is Path:
            value = _resolve(path, where, given, key)
        elif expected is float and type(value) is int:
            value = float(value)
        elif type(value) is not expected:
            raise StudyError(f"{path} {where}: {key} = {value!r}; expected {expected.__name__}")
        values[key] = value
    try:
        return declaration(**values)
    except StudyError as error:
        raise StudyError(f"{path} {where}: {error}") from None


def _parse_parameters(
    path: Path, document: Mapping[str, Any]
) -> tuple[IngestParameters, AnalysisParameters]:
    given = dict(_table(path, document, "parameters"))
    if "window" in given:
        try:
            given["window"] = parse_window(given["window"])
        except StudyError as error:
            raise StudyError(f"{path} [parameters]: {error}") from None
    kinds = (IngestParameters, AnalysisParameters)
    known = {item.name: item for kind in kinds for item in fields(kind)}
    _check_keys(path, "[parameters]", given, known)
    hints = {key: hint for kind in kinds for key, hint in get_type_hints(kind).items()}
    for key, value in given.items():
        expected = next(iter(get_args(hints[key])), hints[key])
        is_number = expected is float and type(value) is int
        if type(value) is not expected and not is_number:
            raise StudyError(
                f"{path} [parameters]: {key} = {value!r}; expected {expected.__name__}"
            )
    try:
        measured, analysed = (
            {item.name: given[item.name] for item in fields(kind) if item.name in given}
            for kind in kinds
        )
        return IngestParameters(**measured), AnalysisParameters(**analysed)
    except StudyError as error:
        raise StudyError(f"{path} [parameters]: {error}") from None


def _require_tile(tile_px: int | None) -> None:
    is_tile = tile_px is None or 16 <= tile_px < 2**31
    require_value(is_tile, "tile_px", tile_px, "16 or more, below 2**31")


def _check_keys(
    path: Path,
    where: str,
    table: Mapping[str, Any],
    known: Mapping[str, Field] | tuple[str, ...],
    required: Sequence[str] = (),
) -> None:
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"valid keys: {', '.join(known)}"
            raise StudyError(f"{path}: unknown key {key!r} in {where}; {hint}")
    for key in required:
        if key not in table:
            raise StudyError(f"{path}: {where} lacks the key {key!r}; study.example.toml shows it")


def _table(path: Path, document: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = document.get(key, {})
    if not isinstance(table, dict):
        raise StudyError(f"{path}: expected [{key}] to be a table, found {table!r}")
    return table


def _text(
    path: Path, where: str, table: Mapping[str, Any], key: str, default: str | None = None
) -> str:
    value = table.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise StudyError(f"{path} {where}: {key} = {value!r}; expected a non-empty string")
    return value


def _resolve(
    path: Path, where: str, table: Mapping[str, Any], key: str, default: str | None = None
) -> Path:
    text = _text(path, where, table, key, default)
    try:
        if "\\" in text and not os.path.exists(path.parent / text):
            text = text.replace("\\", "/")
        return (path.parent / text).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a link to itself, a NUL, a long name
        raise StudyError(
            f"{path} {where}: {key} = {text!r} is no path: {error}; correct {key}"
        ) from None


def _folder(path: Path, where: str, table: Mapping[str, Any], key: str) -> Path:
    folder = _resolve(path, where, table, key)
    if not os.path.isdir(folder):
        raise StudyError(
            f"{path} {where}: {key} names no folder: {folder}; create it or correct {key}"
        )
    return folder


def _find_file(path: Path, where: str, table: Mapping[str, Any], key: str) -> Path | None:
    """Give the file that a key names; None where the table does not have the key."""
    return _file(path, where, table, key) if key in table else None


def _file(path: Path, where: str, table: Mapping[str, Any], key: str) -> Path:
    file = _resolve(path, where, table, key)
    if not os.path.isfile(file):
        raise StudyError(
            f"{path} {where}: {key} names no file: {file}; put it there or correct {key}"
        )
    return file
