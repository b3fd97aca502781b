"""Which restored file belongs to which reference, stated as a table."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import name_within, to_text, walk_files
from upscale_audit.ingest.study import INFERENCE_PATHS
from upscale_audit.ingest.suffixes import FORMATS_BY_SUFFIX, OTHER_IMAGES

if TYPE_CHECKING:
    from upscale_audit.ingest.study import Study


SEPARATORS = "_-. ([@+"
"""What stands between an image's name and what an upscaler adds behind it."""

PREFIX_SEPARATORS = "_-. )]"
"""The same of what it adds before."""


T = TypeVar("T")
K = TypeVar("K")


@dataclass(frozen=True)
class Pair:
    """One expected restored file.

    Attributes
    ----------
    image_id, model_id, inference_path : str
    status : str
        ``matched``, ``missing``, ``ambiguous`` or ``not_declared`` (the model has no such
        inference path).
    match_rule : str or None
        ``exact``, ``suffix``, ``prefix`` or ``case`` where matched.
    file : Path or None
    name : str or None
        Its place in its folder, as text.
    """

    image_id: str
    model_id: str
    inference_path: str
    status: str
    match_rule: str | None = None
    file: Path | None = None
    name: str | None = None


@dataclass(frozen=True)
class RefusedName:
    """A file that takes no part, and why (`code` is a key of `REJECT_CODES`).

    `name` is its place in its folder, as text.
    """

    role: str
    model_id: str | None
    inference_path: str | None
    file: Path
    name: str
    code: str
    detail: str


@dataclass(frozen=True)
class Pairing:
    """References, LR files and masks by image_id, each reference's pairs, and the refused names."""

    references: dict[str, Path]
    pairs: tuple[Pair, ...]
    refused: tuple[RefusedName, ...]
    lr_files: dict[str, Path] = field(default_factory=dict)
    mask_files: dict[str, Path] = field(default_factory=dict)


def pair_study(study: Study) -> Pairing:
    """Match every reference with its restored files.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    Pairing
        Pairs sorted by image, model, inference path: one for each reference x model x path,
        whether a file was found or not.

    Raises
    ------
    StudyError
        A folder cannot be listed, or holds no reference image.

    Notes
    -----
    Folders are read with their sub-folders; an image's name is its file's stem, in Unicode's
    composed form (NFC), wherever it lies. Of two files of one name the one nearer to the top
    counts, the other is refused.

    Under the rule ``exact`` a restored file's stem equals the image_id. Under ``suffix`` it
    may also be the image_id followed by one of ``_-. ([@+`` and anything; failing that, anything
    that ends in one of ``_-. )]`` and the image_id; failing that, either in other case. The
    longest image_id wins (``a_b_x2`` belongs to ``a_b``, not to ``a``), so ``img1`` never takes
    ``img10``. Two candidates for one reference are ambiguous: neither is used.
    """
    references, refused = list_references(study)
    others, pairs = _list_others(study), []
    for model in study.models:
        for inference_path in INFERENCE_PATHS:
            folder = model.folder(inference_path)
            if folder is None:
                pairs += [
                    Pair(image_id, model.model_id, inference_path, "not_declared")
                    for image_id in references
                ]
                continue
            if model.restorer is not None and not folder.is_dir():
                raise StudyError(
                    f"no folder {folder}, where restore puts the images of {model.model_id!r}:"
                    f" run upscale-audit restore {study.path} first"
                )
            owner = ("restored", model.model_id, inference_path)
            found, names = match_folder(folder, references, owner, study.pairing, others)
            refused += names
            pairs += found
    beside: dict[str, dict[str, Path]] = {}
    for role, source in (("lr", study.lr), ("mask", study.regions)):
        beside[role] = {}
        if source is not None and source.folder is not None:
            place = (role, None, None)
            found, names = match_folder(source.folder, references, place, study.pairing, others)
            refused += names
            beside[role] = {pair.image_id: pair.file for pair in found if pair.file is not None}
    pairs.sort(key=lambda pair: (pair.image_id, pair.model_id, pair.inference_path))
    return Pairing(references, tuple(pairs), tuple(refused), beside["lr"], beside["mask"])


def list_references(study: Study) -> tuple[dict[str, Path], list[RefusedName]]:
    """List a study's reference images.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    references : dict
        Path by image_id, which is the file's stem in Unicode's composed form.
    refused : list of RefusedName

    Raises
    ------
    StudyError
        The folder cannot be listed, or holds no reference image.
    """
    owner = ("reference", None, None)
    references, refused = list_images(study.reference_folder, owner, _list_others(study))
    if not references:
        first = f" (refused: {to_text(refused[0].file.name)}, {refused[0].code})" if refused else ""
        raise StudyError(
            f"no reference image in {study.references}{first}: expected files ending in"
            f" {', '.join(FORMATS_BY_SUFFIX)}; [study] references in {study.path} names the folder"
        )
    return references, refused


def list_images(
    folder: Path,
    owner: tuple[str, str | None, str | None],
    others: Iterable[Path] = (),
) -> tuple[dict[str, Path], list[RefusedName]]:
    """List a folder's images by their names.

    Parameters
    ----------
    folder : Path
    owner : tuple
        Role, model_id and inference path, the last two None where there are none.
    others : iterable of Path or None
        Folders that are passed over where they lie below.

    Returns
    -------
    images : dict
        Path by name.
    refused : list of RefusedName
    """
    files, refused = _list_images(folder, owner, others)
    images = {}
    # By their spelling: a name that is no UTF-8 may be spelt as another's letters.
    spelt = _group(files, lambda file: to_text(_normalise(file.stem)))
    for image_id, candidates in spelt.items():
        chosen, names = _choose(candidates, image_id, folder, owner)
        refused += names
        if chosen is not None:
            images[_normalise(chosen.stem)] = chosen
    return images, refused


def match_folder(
    folder: Path,
    references: Collection[str],
    owner: tuple[str, str | None, str | None],
    rule: str,
    others: Iterable[Path] = (),
) -> tuple[list[Pair], list[RefusedName]]:
    """Match the files of a folder with images by their names.

    Parameters
    ----------
    folder : Path
    references : collection of str
        The images' names.
    owner : tuple
        Role, model_id and inference path, the last two None where there are none.
    rule : {"exact", "suffix"}
        As `pair_study` says.
    others : iterable of Path or None
        Folders that are passed over where they lie below.

    Returns
    -------
    pairs : list of Pair
        One for each name.
    refused : list of RefusedName
    """
    files, refused = _list_images(folder, owner, others)
    _, model_id, inference_path = owner
    finder = _Finder(references, rule)
    owned = _group(files, finder.find)
    for file in owned.pop(None, []):
        detail = f"no reference is called {file.stem!r} under the rule {rule!r}"
        refused.append(_refuse(owner, file, folder, "no_reference", detail))
    pairs = []
    for image_id in references:
        candidates = owned.get(image_id, [])
        chosen, names = _choose(candidates, image_id, folder, owner)
        refused += names
        pair = (image_id, model_id or "", inference_path or "")
        if chosen is None:
            pairs.append(Pair(*pair, "ambiguous" if candidates else "missing"))
        else:
            matched_by = finder.name_rule(chosen, image_id)
            pairs.append(Pair(*pair, "matched", matched_by, chosen, name_within(chosen, folder)))
    return pairs, refused


class _Finder:
    """Finds the reference that a file name belongs to under a rule."""

    def __init__(self, references: Iterable[str], rule: str) -> None:
        self.rule = rule
        self.names = {image_id: image_id for image_id in references}
        folded = _group(references, str.casefold)
        self.folded = {name: ids[0] for name, ids in folded.items() if len(ids) == 1}

    def find(self, file: Path) -> str | None:
        """Give the image_id, or None."""
        stem = _normalise(file.stem)
        if stem in self.names or self.rule == "exact":
            return self.names.get(stem)
        return _find_affixed(stem, self.names) or _find_affixed(stem.casefold(), self.folded)

    def name_rule(self, file: Path, image_id: str) -> str:
        """Name what made a file match."""
        stem = _normalise(file.stem)
        if stem == image_id:
            return "exact"
        if stem.startswith(image_id):
            return "suffix"
        return "prefix" if stem.endswith(image_id) else "case"


def _find_affixed(stem: str, names: Mapping[str, str]) -> str | None:
    """Find the longest name that a stem begins with, else ends with; None where there is none."""
    if stem in names:
        return names[stem]
    for length in range(len(stem) - 1, 0, -1):
        if stem[length] in SEPARATORS and stem[:length] in names:
            return names[stem[:length]]
    for begin in range(1, len(stem)):
        if stem[begin - 1] in PREFIX_SEPARATORS and stem[begin:] in names:
            return names[stem[begin:]]
    return None


def _choose(
    candidates: Sequence[Path],
    image_id: str,
    folder: Path,
    owner: tuple[str, str | None, str | None],
) -> tuple[Path | None, list[RefusedName]]:
    """Choose the one file nearest to the top; None where there are more, or none."""
    depth = min((len(file.parts) for file in candidates), default=0)
    nearest = [file for file in candidates if len(file.parts) == depth]
    chosen = nearest[0] if len(nearest) == 1 else None
    names = ", ".join(repr(name_within(file, folder)) for file in candidates)
    detail = f"{names} all claim {image_id!r}"
    refused = [
        _refuse(owner, file, folder, "ambiguous_name", detail)
        for file in candidates
        if file is not chosen
    ]
    return chosen, refused


def _refuse(
    owner: tuple[str, str | None, str | None], file: Path, folder: Path, code: str, detail: str
) -> RefusedName:
    return RefusedName(*owner, file, name_within(file, folder), code, detail)


def _list_others(study: Study) -> list[Path]:
    """List the folders that a study names: none is a part of another."""
    others = [model.folder(path) for model in study.models for path in INFERENCE_PATHS]
    beside = [item.folder for item in (study.lr, study.regions) if item is not None]
    listed = [*others, study.references, study.output, *beside]
    return [place for place in listed if place is not None]


def _list_images(
    folder: Path, owner: tuple[str, str | None, str | None], others: Iterable[Path]
) -> tuple[list[Path], list[RefusedName]]:
    """List the image files of a folder and below, but of no other folder."""
    try:
        files = walk_files(folder, [place for place in others if place != folder])
        # Links to folders are listed too.
        files = [file for file in files if not file.is_dir()]
    except OSError as error:
        raise StudyError(
            f"cannot list {error.filename or folder}: {error.strerror}; make the folder readable"
        ) from None
    images, refused = [], []
    for file in files:
        if not _is_utf8(file.name):
            # Every later reader finds a file by its name as text, and no text names this one.
            detail = f"{to_text(file.name)}: rename it in UTF-8"
            refused.append(_refuse(owner, file, folder, "name_not_utf8", detail))
        elif file.suffix.lower() in FORMATS_BY_SUFFIX:
            images.append(file)
        elif file.suffix.lower() in OTHER_IMAGES:
            detail = f"suffix {file.suffix!r}"
            refused.append(_refuse(owner, file, folder, "unsupported_suffix", detail))
        else:
            detail = f"suffix {file.suffix!r}"
            refused.append(_refuse(owner, file, folder, "other_file", detail))
    return images, refused


def _is_utf8(name: str) -> bool:
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _normalise(stem: str) -> str:
    """Spell a name in Unicode's composed form: a Mac's file names are decomposed."""
    return unicodedata.normalize("NFC", stem)


def _group(files: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    return groups
