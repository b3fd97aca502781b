"""Which images a codec command reads: a study's references, or a folder."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.study import IngestParameters, load_study
from upscale_audit.ingest.suffixes import FORMATS_BY_SUFFIX

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True)
class GreyImage:
    """One image of 8-bit levels, grey or in three planes.

    Attributes
    ----------
    image_id : str
        The file's name without its suffix.
    grey : (planes * M, N) uint8 array
        Of colour, red above green above blue.
    sha256 : str
        Of the pixels, as `ingest.images.hash_pixels` makes it.
    planes : {1, 3}
    """

    image_id: str
    grey: npt.NDArray[np.uint8]
    sha256: str
    planes: int = 1

    @property
    def stack(self) -> npt.NDArray[np.uint8]:
        """Planes (planes, M, N)."""
        return split_planes(self.grey, self.planes)


def split_planes(grey: npt.NDArray[Any], planes: int) -> npt.NDArray[Any]:
    """Split planes (planes * M, N) that lie one below the other into (planes, M, N)."""
    return grey.reshape(planes, -1, grey.shape[1])


def read_images(
    source: str | Path, patterns: Sequence[str] = ("*",), planes: int = 1
) -> list[GreyImage]:
    """Read the images of a study or a folder, in the order of their names.

    Parameters
    ----------
    source : str or Path
        A study file, whose references are read, or a folder of PNG and JPEG files.
    patterns : sequence of str
        Shell patterns; an image is read if its image_id matches one.
    planes : {1, 3}
        1 refuses colour; 3 takes grey as three equal planes, and puts transparency on white.

    Returns
    -------
    list of GreyImage

    Raises
    ------
    StudyError
        There is no image, two have one name, or one is no 8-bit grey image.
    """
    folder = find_folder(source)
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in FORMATS_BY_SUFFIX and is_matched(path.stem, patterns)
    ]
    if not paths:
        raise StudyError(
            f"expected image files named {' or '.join(patterns)} in {folder}, found none;"
            " name another folder or pattern"
        )
    images = [_read(path, planes) for path in paths]
    names = [image.image_id for image in images]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StudyError(f"{folder}: several files are called {twice[0]}; rename all but one")
    return images


def find_folder(source: str | Path) -> Path:
    """Folder of a study's references, or the folder itself.

    Raises
    ------
    StudyError
        It is neither a study file with references nor a folder.
    """
    source = Path(source)
    if source.suffix == ".toml":
        references = load_study(source).references
        if references is None:
            raise StudyError(f"{source} has no references to code; name a folder of images")
        return references
    if not source.is_dir():
        raise StudyError(f"expected a study file (.toml) or a folder of images, found {source}")
    return source


def is_matched(image_id: str, patterns: Sequence[str]) -> bool:
    """Whether an image_id matches one of several shell patterns."""
    return any(fnmatch.fnmatchcase(image_id, pattern) for pattern in patterns)


def _read(path: Path, planes: int) -> GreyImage:
    limit = IngestParameters().max_image_px
    try:
        data = read_bytes(path, limit_bytes(limit))
        rule = "reject" if planes == 1 else "reduce"
        image = decode_image(data, path.suffix.lower(), limit, rule)
    except RejectedFileError as error:
        raise StudyError(
            f"{path}: expected one 8-bit grey image, found {error}; convert it or leave it out"
        ) from None
    if planes == 1:
        return GreyImage(path.stem, image.grey, image.facts.pixel_sha256)
    colours = image.rgb
    stack = [image.grey] * 3 if colours is None else [colours[..., n] for n in range(3)]
    return GreyImage(path.stem, np.concatenate(stack), image.facts.pixel_sha256, 3)
