"""What a study says of masks: where they are, and what their values mean."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscale_audit.ingest.errors import StudyError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9 _-]{0,39}")
RESERVED = ("background", "body", "outside")
"""Regions that are no structure of a mask: `ingest.regions`."""
MAX_STRUCTURES = 32
CHEXMASK_STRUCTURES = {"heart": "heart", "left lung": "leftlung", "right lung": "rightlung"}
"""Structures in the order in which a pixel that several claim is given away, and their columns."""
LEAST_RCA = 0.7
"""Estimated Dice coefficient below which the authors advise to leave a mask out."""


@dataclass(frozen=True)
class Masks:
    """What a study names under ``[regions]``: a folder with what its values mean, or a CSV.

    Attributes
    ----------
    folder : Path or None
        Label images, one a reference.
    labels : tuple of (int, str)
        What their values mean, in the order of the study file; 0 is no structure.
    chexmask : Path or None
    min_rca : float
        Rows of an estimated Dice coefficient below it are left out.
    """

    folder: Path | None = None
    labels: tuple[tuple[int, str], ...] = ()
    chexmask: Path | None = None
    min_rca: float = LEAST_RCA

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures; of two that claim a pixel or a block alike, the first has it."""
        if self.folder is None:
            return tuple(CHEXMASK_STRUCTURES)
        return tuple(name for _, name in self.labels)

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the regions beside the masks' bytes."""
        return {
            "kind": "chexmask" if self.folder is None else "label_images",
            "labels": [list(item) for item in self.labels],
            "min_rca": self.min_rca if self.folder is None else None,
        }


def parse_labels(given: object) -> tuple[tuple[int, str], ...]:
    """Check what a study file says the values of its label images mean.

    Parameters
    ----------
    given : dict
        Names by values, as TOML has them: the values are text.

    Returns
    -------
    tuple of (int, str)

    Raises
    ------
    StudyError
        No value or no name, or one that stands twice.
    """
    expected = 'expected { 1 = "left lung", 2 = "right lung" }, values 1 to 255'
    if not isinstance(given, dict) or not 1 <= len(given) <= MAX_STRUCTURES:
        raise StudyError(f"labels = {given!r}; {expected}, {MAX_STRUCTURES} names at most")
    labels: list[tuple[int, str]] = []
    for value, name in given.items():
        if not re.fullmatch("[1-9][0-9]{0,2}", value) or int(value) > 255:
            raise StudyError(f"labels has the value {value!r}; {expected}: 0 is no structure")
        if not isinstance(name, str) or not NAME_PATTERN.fullmatch(name) or name in RESERVED:
            raise StudyError(
                f"labels calls {value} {name!r}; expected up to 40 lower-case letters, digits,"
                f" blanks, '_' or '-', and not {', '.join(RESERVED)}"
            )
        if name in dict(labels).values():
            raise StudyError(f"labels calls two values {name!r}; give each its own name")
        labels.append((int(value), name))
    return tuple(labels)
