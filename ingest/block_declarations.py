"""What a study says of published block tables, and the columns that such a table may have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ("model_id", "image_id", "block_row", "block_col")
FLAGS = ("is_",)
PATH_COLUMNS = (
    *("local_ssim", "pc1", "axis1", "mse_dn2", "lr_contradicted_px"),
    *("d_sharp", "d_texture", "d_hf", "d_noise", "d_block", "d_block16", "d_block4"),
    *("d_ring", "d_mu", "is_silent", "is_textured", "is_lum_over", "is_lum_under"),
)
"""Of a block under one inference path, as `fct_blocks` names them before the path."""
PAIRED = ("delta_ssim", "state")
"""Of a block under both: tta less notta, and the state as its author names it."""
BOTH = "both"
FORMS = ("notta", "tta", BOTH)
MEASURES = (*(f"{name}_{path}" for path in FORMS[:2] for name in PATH_COLUMNS), *PAIRED)
ENTRY_KEYS = ("label", "file", "folder", "model_id", "path", "columns", "sha256", "hashes")


@dataclass(frozen=True)
class BlockTable:
    """One [[published_blocks]] entry: a table of blocks, or a folder with one a image.

    `form` is the inference path of its rows, or ``both`` where they hold the two side by side.
    `columns` maps this project's names to the file's. `hashes` is a published hash list and
    `sha256` the file's own. `where` names the entry in messages.
    """

    label: str
    form: str
    file: Path | None = None
    folder: Path | None = None
    model_id: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    sha256: str | None = None
    hashes: Path | None = None
    where: str = "[[published_blocks]]"

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells its files from those of other entries."""
        place = self.file or self.folder
        return (self.label, self.form, "" if place is None else place.name)

    @property
    def recipe(self) -> dict[str, Any]:
        """What of it decides a row beside the bytes of its files."""
        return {
            "label": self.label,
            "form": self.form,
            "model_id": self.model_id,
            "columns": [list(pair) for pair in self.columns],
        }
