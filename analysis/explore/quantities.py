"""What of a block can be shown: the columns of `fct_blocks` that each inference path has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from upscale_audit.ingest.study import INFERENCE_PATHS

if TYPE_CHECKING:
    from upscale_audit.analysis.marts import Marts


SCORES, LEDGER, LR, DIRECTIONS, MORE = (
    "Scores",
    "Error and its parts",
    "Against the LR image",
    "Directions",
    "More of the block",
)
LABELS = {
    "axis1": ("Axis1", SCORES),
    "local_ssim": ("Block SSIM", SCORES),
    "pc1": ("PC1 score", SCORES),
    "mse_dn2": ("Squared error", LEDGER),
    "invented_dn2": ("Invented", LEDGER),
    "lost_dn2": ("Lost", LEDGER),
    "exaggerated_dn2": ("Exaggerated", LEDGER),
    "shifted_dn2": ("Shifted mean", LEDGER),
    "lr_contradicted_px": ("Contradicted LR pixels", LR),
    "lr_rms_dn": ("LR residual", LR),
    "lr_bent_dn2": ("Bent", LR),
    "lr_invented_dn2": ("Invented above LR", LR),
    "lr_lost_dn2": ("Lost above LR", LR),
    "lr_amplified_dn2": ("Amplified above LR", LR),
    "null_correlation": ("Correlation above LR", LR),
}
"""Name and group of those that come first, in their order; any other is named by its column."""
_SIGNED = ("axis1", "pc1", "null_correlation")
_UNITS = {"_dn2": "dn\u00b2", "_dn": "dn", "_px": "px"}
_SHOWN_TYPES = ("DECIMAL", "DOUBLE", "FLOAT", "SMALLINT", "INTEGER", "BIGINT", "BOOLEAN")


@dataclass(frozen=True)
class Quantity:
    """One quantity of a block.

    Attributes
    ----------
    stem : str
        Its column without the inference path.
    label, group, unit : str
        For the page; the unit is empty where it has none.
    scale : {"signed", "similarity", "amount"}
        0 between two directions, 1 for a block restored exactly, or 0 and more.
    is_flag : bool
        True or false: it has no range to brush.
    descriptions : dict of str to str
        What the column says, by inference path: the comment of the warehouse.
    """

    stem: str
    label: str
    group: str
    unit: str
    scale: str
    is_flag: bool
    descriptions: dict[str, str]

    @property
    def title(self) -> str:
        """Label and unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def column(self, inference_path: str) -> str:
        """Name of its column in `fct_blocks`."""
        return f"{self.stem}_{inference_path}"


def read_quantities(marts: Marts) -> dict[str, Quantity]:
    """Read what of a block can be shown.

    Parameters
    ----------
    marts : analysis.marts.Marts

    Returns
    -------
    dict of str to Quantity
        By stem: those of `LABELS` first, then the direction components, then the rest as the
        columns lie.
    """
    columns = marts.rows(
        "select column_name, data_type, comment from duckdb_columns()"
        " where table_name = 'fct_blocks' and database_name = current_database()"
        " order by column_index"
    )
    components = {item["column_stem"]: item for item in marts.read_components()}
    found: dict[str, tuple[dict[str, str], str]] = {}
    for column in columns:
        stem, _, path = column["column_name"].rpartition("_")
        kind = column["data_type"].partition("(")[0]
        if path in INFERENCE_PATHS and kind in _SHOWN_TYPES:
            found.setdefault(stem, ({}, kind))[0][path] = column["comment"] or ""
    whole = {stem: own for stem, own in found.items() if len(own[0]) == len(INFERENCE_PATHS)}
    order = [*LABELS, *components, *whole]
    return {
        stem: _describe(stem, whole[stem][0], whole[stem][1], components.get(stem))
        for stem in dict.fromkeys(order)
        if stem in whole
    }


def _describe(
    stem: str, descriptions: dict[str, str], kind: str, component: Mapping[str, Any] | None
) -> Quantity:
    suffix = next((suffix for suffix in _UNITS if stem.endswith(suffix)), "")
    unit = _UNITS.get(suffix, "")
    scale = "signed" if stem in _SIGNED else "amount"
    name = stem.removeprefix("is_").removesuffix(suffix).replace("_", " ").capitalize()
    label, group = LABELS.get(stem, (name, MORE))
    if component is not None:
        label, group, unit, scale = component["label"], DIRECTIONS, component["unit"], "signed"
    if stem == "local_ssim":
        scale = "similarity"
    return Quantity(stem, label, group, unit, scale, kind == "BOOLEAN", descriptions)
