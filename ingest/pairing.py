"""Which restored file belongs to which reference, stated as a table."""

import os
from dataclasses import dataclass
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import to_text
from upscale_audit.ingest.images import FORMATS_BY_SUFFIX
from upscale_audit.ingest.study import INFERENCE_PATHS

SEPARATORS = "_-. ("


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
        ``exact`` or ``suffix`` where matched.
    file : Path or None
    """

    image_id: str
    model_id: str
    inference_path: str
    status: str
    match_rule: str | None = None
    file: Path | None = None


@dataclass(frozen=True)
class RefusedName:
    """A file that takes no part, and why (`code` is a key of `REJECT_CODES`)."""

    role: str
    model_id: str | None
    inference_path: str | None
    file: Path
    code: str
    detail: str


@dataclass(frozen=True)
class Pairing:
    """References by image_id, the pairs of every reference, and the refused names."""

    references: dict[str, Path]
    pairs: tuple[Pair, ...]
    refused: tuple[RefusedName, ...]


def pair_study(study):
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
    Under the rule ``exact`` a restored file's stem equals the image_id. Under ``suffix`` it
    may also be the image_id followed by one of ``_-. (`` and anything. The longest image_id
    wins (``a_b_x2`` belongs to ``a_b``, not to ``a``), so ``img1`` never takes ``img10``.
    Two candidates for one reference are ambiguous: neither is used.
    """
    references, refused = list_references(study)
    pairs = []
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
            found, names = _match_folder(folder, references, study.pairing, owner)
            refused += names
            pairs += found
    pairs.sort(key=lambda pair: (pair.image_id, pair.model_id, pair.inference_path))
    return Pairing(references, tuple(pairs), tuple(refused))


def list_references(study):
    """List a study's reference images.

    Parameters
    ----------
    study : ingest.study.Study

    Returns
    -------
    references : dict
        Path by image_id, which is the file's stem.
    refused : list of RefusedName

    Raises
    ------
    StudyError
        The folder cannot be listed, or holds no reference image.
    """
    files, refused = _list_images(study.references, ("reference", None, None))
    references = {}
    for image_id, candidates in _group(files, lambda file: to_text(file.stem)).items():
        if len(candidates) == 1:
            references[candidates[0].stem] = candidates[0]
        else:
            refused += _refuse_ambiguous(candidates, image_id, ("reference", None, None))
    if not references:
        first = f" (refused: {to_text(refused[0].file.name)}, {refused[0].code})" if refused else ""
        raise StudyError(
            f"no reference image in {study.references}{first}: expected files ending in"
            f" {', '.join(FORMATS_BY_SUFFIX)}; [study] references in {study.path} names the folder"
        )
    return references, refused


def _match_folder(folder, references, rule, owner):
    files, refused = _list_images(folder, owner)
    _, model_id, inference_path = owner
    owned = _group(files, lambda file: _find_reference(file.stem, references, rule))
    for file in owned.pop(None, []):
        detail = f"no reference is called {file.stem!r} under the rule {rule!r}"
        refused.append(RefusedName(*owner, file, "no_reference", detail))
    pairs = []
    for image_id in references:
        candidates = owned.get(image_id, [])
        if len(candidates) == 1:
            match_rule = "exact" if candidates[0].stem == image_id else "suffix"
            status, file = "matched", candidates[0]
        else:
            status, file, match_rule = "ambiguous" if candidates else "missing", None, None
            refused += _refuse_ambiguous(candidates, image_id, owner)
        pairs.append(Pair(image_id, model_id, inference_path, status, match_rule, file))
    return pairs, refused


def _find_reference(stem, references, rule):
    if stem in references:
        return stem
    if rule == "suffix":
        for length in range(len(stem) - 1, 0, -1):
            if stem[length] in SEPARATORS and stem[:length] in references:
                return stem[:length]
    return None


def _refuse_ambiguous(candidates, image_id, owner):
    names = ", ".join(repr(file.name) for file in candidates)
    return [
        RefusedName(*owner, file, "ambiguous_name", f"{names} all claim {image_id!r}")
        for file in candidates
    ]


def _list_images(folder, owner):
    """Image files of a folder in name order; hidden files and sub-folders are passed over."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.is_dir()]
    except OSError as error:
        raise StudyError(
            f"cannot list {folder}: {error.strerror}; make the folder readable"
        ) from None
    images, refused = [], []
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        if not _is_utf8(entry.name):
            # Every later reader finds a file by its name as text, and no text names this one.
            detail = f"{to_text(entry.name)}: rename it in UTF-8"
            refused.append(RefusedName(*owner, entry, "name_not_utf8", detail))
        elif entry.suffix.lower() in FORMATS_BY_SUFFIX:
            images.append(entry)
        else:
            detail = f"suffix {entry.suffix!r}"
            refused.append(RefusedName(*owner, entry, "unsupported_suffix", detail))
    return images, refused


def _is_utf8(name):
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _group(files, key):
    groups = {}
    for file in files:
        groups.setdefault(key(file), []).append(file)
    return groups
