"""One folder of restored images: what lies in it, what was made of what, and by which recipe.

Two hidden files in the folder say it, which ingest passes over. ``.restored.json`` is the manifest:
written last, it stands only where every image it names was finished. ``.restoring.jsonl`` is the
journal of the work in between: an image's line is on the disk before the image is, so a run that
was killed at any moment leaves no image that the next run does not know.
"""

import contextlib
import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO, TypedDict

from upscale_audit.ingest.documents import parse_document, read_bounded, read_document
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import (
    canonical_json,
    hash_file,
    hash_json,
    locked,
    replacing,
    sync,
    to_text,
)
from upscale_audit.ingest.manifests import hash_manifest, make_manifest, write_manifest

MANIFEST, JOURNAL, LOCK = ".restored.json", ".restoring.jsonl", ".restoring.lock"
WORKING = "working"
MAX_BYTES = 1 << 28
"""Of a manifest or journal: 256 MiB, of half a million images."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """One restored image: from which bytes, by which recipe and code, with which result."""

    image_id: str
    file: str
    input_sha256: str
    recipe_sha256: str
    code_sha256: str
    sha256: str

    def __post_init__(self) -> None:
        if not all(isinstance(value, str) for value in vars(self).values()):
            raise TypeError("expected text in every field of an image")


class EntryLine(TypedDict):
    """An `Entry` as it is written."""

    image_id: str
    file: str
    input_sha256: str
    recipe_sha256: str
    code_sha256: str
    sha256: str


class RestoredManifest(TypedDict):
    """What a shelf reads of its manifest."""

    images: list[EntryLine]
    left_over: list[EntryLine]


class Shelf:
    """A folder that `restore` fills, held by one process; use it as a context.

    Parameters
    ----------
    folder : Path
        Created where it is missing.
    owner : str
        The model and inference path it belongs to, for messages.
    recipe : dict
        What decides its images beside their references.
    code_sha256 : str
    signed : callable, optional
        ``signed(state)`` says whether the folder's records may be so: `state` is the SHA-256 of
        the manifest, or `WORKING` where the journal stands. ``signed(*states, is_new=True)`` says
        what they may be from now on. By default nothing is compared.

    Raises
    ------
    StudyError
        Another process holds the folder, it cannot be written, or it has a file that no run of
        `restore` put there.
    """

    def __init__(
        self,
        folder: Path,
        owner: str,
        recipe: dict[str, Any],
        code_sha256: str,
        signed: Callable[..., bool] | None = None,
    ) -> None:
        self.folder, self.owner, self.recipe = Path(folder), owner, recipe
        self._signed = signed or (lambda *states, is_new=False: True)
        self.recipe_sha256, self.code_sha256 = hash_json(recipe), code_sha256
        self.set_aside: list[str] = []
        self._known: defaultdict[str, list[Entry]] = defaultdict(list)
        self._current: dict[str, Entry] = {}
        self._held = contextlib.ExitStack()
        self._journal: TextIO | None = None

    def __enter__(self) -> Self:
        self._held.enter_context(locked(self.folder, "restore", LOCK, "the model's"))
        with contextlib.ExitStack() as undo:
            undo.enter_context(self._held)
            self._read()
            self._find_images()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._journal is not None:
            self._journal.close()
        self._held.__exit__(kind, error, trace)

    def has(self, image_id: str, input_sha256: str) -> bool:
        """Whether the image of these reference bytes stands, by this recipe, byte for byte."""
        entry = self._current.get(image_id)
        return entry is not None and (entry.input_sha256, entry.recipe_sha256) == (
            input_sha256,
            self.recipe_sha256,
        )

    def put(self, image_id: str, input_sha256: str, data: bytes) -> None:
        """Write one image: its line in the journal first, then the file, each atomically.

        Parameters
        ----------
        image_id : str
        input_sha256 : str
            Of the reference file that was restored.
        data : bytes
            The PNG file.
        """
        journal = self._journal or self._open_journal()
        entry = Entry(
            image_id=image_id,
            file=f"{image_id}.png",
            input_sha256=input_sha256,
            recipe_sha256=self.recipe_sha256,
            code_sha256=self.code_sha256,
            sha256=hashlib.sha256(data).hexdigest(),
        )
        journal.write(_to_line(entry))
        journal.flush()
        os.fsync(journal.fileno())
        with replacing(self.folder / entry.file) as temporary:
            temporary.write_bytes(data)
        self._current[image_id] = entry

    def finish(
        self,
        study_name: str,
        model_id: str,
        inputs: Mapping[str, str],
        rejects: Mapping[str, str],
        architecture: str | None = None,
    ) -> None:
        """Write the manifest, and end the journal.

        Parameters
        ----------
        study_name, model_id : str
        inputs : dict
            SHA-256 of each reference that was restored, by image_id.
        rejects : dict
            Why the others were not, by image_id. An older image of theirs is put aside: it is of
            another reference or recipe.
        architecture : str, optional
            What the network calls itself.
        """
        for image_id in sorted(rejects):
            entry = self._current.pop(image_id, None)
            if entry is not None:
                self._put_aside(self.folder / entry.file, entry.sha256)
        complete = [name for name in sorted(inputs) if self.has(name, inputs[name])]
        entries = [self._current.pop(name) for name in complete]
        left_over = [self._current[name] for name in sorted(self._current)]
        files = {to_text(entry.file): entry.sha256 for entry in entries}
        sizes = {
            to_text(entry.file): (self.folder / entry.file).stat().st_size for entry in entries
        }
        manifest = {
            **make_manifest("restored", study_name, files, sizes, self.recipe, {}),
            "model_id": model_id,
            "inference_path": self.recipe["inference_path"],
            "architecture": architecture,
            "images": [asdict(entry) for entry in entries],
            "left_over": [asdict(entry) for entry in left_over],
            "rejects": {to_text(name): rejects[name] for name in sorted(rejects)},
        }
        sha256 = hash_manifest(manifest)
        self._signed(WORKING, sha256, is_new=True)
        write_manifest(self.folder / MANIFEST, manifest)
        self._signed(sha256, is_new=True)
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def _read(self) -> None:
        path = self.folder / MANIFEST
        self._is_vouched = self._signed(hash_file(path) if path.is_file() else WORKING)
        for entry in (*_read_manifest(self.folder / MANIFEST), *_read_journal(self.folder)):
            if entry not in self._known[entry.file]:
                self._known[entry.file].append(entry)

    def _find_images(self) -> None:
        """Sort what lies in the folder into what stands, what was changed, and what is foreign."""
        for path in sorted(self.folder.iterdir()):
            name = path.name
            if name.startswith("."):
                continue
            if name not in self._known or path.is_dir():
                raise StudyError(
                    f"{self.folder} has {name!r}, which restore did not put there and will not"
                    f" touch: move it elsewhere, or name another folder for {self.owner}"
                )
            found = hash_file(path)
            entries = [entry for entry in self._known[name] if entry.sha256 == found]
            if not entries or not self._is_vouched:
                self._put_aside(path, found)
                continue
            self._current[entries[-1].image_id] = entries[-1]

    def _put_aside(self, path: Path, sha256: str) -> None:
        """Move an image out of the way that may be damaged, out of date, or someone's own."""
        target = self.folder.with_name(f"{self.folder.name}.set-aside")
        target.mkdir(exist_ok=True)
        target /= f"{sha256[:12]}-{path.name}"
        os.replace(path, target)
        logger.warning("%s is not what restore would write: moved to %s", path, target)
        self.set_aside.append(to_text(target))

    def _open_journal(self) -> TextIO:
        """Hand what the manifest knows to the journal, then take the manifest away."""
        entries = [entry for entries in self._known.values() for entry in entries]
        with replacing(self.folder / JOURNAL) as temporary:
            temporary.write_text("".join(map(_to_line, entries)), encoding="utf-8")
        before = self.folder / MANIFEST
        self._signed(WORKING, *([hash_file(before)] if before.is_file() else []), is_new=True)
        before.unlink(missing_ok=True)
        sync(self.folder)
        journal = open(self.folder / JOURNAL, "a", encoding="utf-8")  # noqa: SIM115
        self._journal = journal
        return journal


def _to_line(entry: Entry) -> str:
    return canonical_json(asdict(entry)) + "\n"


def _read_manifest(path: Path) -> list[Entry]:
    try:
        manifest = read_document(path, RestoredManifest, MAX_BYTES)
        return [Entry(**item) for item in [*manifest["images"], *manifest["left_over"]]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise StudyError(
            f"cannot read {path}: {error!r}; it says which images restore made: put it back, or"
            f" move the images out of {path.parent} to have them made again"
        ) from None


def _read_journal(folder: Path) -> list[Entry]:
    """Entries of a run that did not end; its last line may be torn, its image then is not there."""
    try:
        lines = read_bounded(folder / JOURNAL, MAX_BYTES).splitlines()
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cannot read {folder / JOURNAL}: {error}; remove it to have its images set aside"
        ) from None
    entries = []
    for line in lines:
        with contextlib.suppress(ValueError, TypeError):
            entries.append(Entry(**parse_document(line, EntryLine)))
    return entries
