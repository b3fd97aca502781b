"""Patch facts of a unit: a Parquet file beside its block shards, where the study asks for sFRC."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from upscale_audit.ingest.files import hash_file, hash_json, replacing
from upscale_audit.ingest.schema import SCHEMA_VERSION, arrow_schema

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.rings import ScannedReference
    from upscale_audit.ingest.units import Input, PatchFile, Unit


_KEYS = ("model_id", "inference_path", "image_id", "patch_px", "patch_row", "patch_col")


def name_patch_shard(unit_id: str) -> str:
    """Path of a unit's patch facts, relative to the raw folder."""
    return f"patches/{unit_id}.parquet"


class PatchShard:
    """A unit's patch facts, gathered and written at once: a patch of 64 px has 64 blocks' room.

    Parameters
    ----------
    unit : ingest.units.Unit
    """

    def __init__(self, unit: Unit) -> None:
        self.name = name_patch_shard(unit.unit_id)
        self._path = unit.raw / self.name
        self._scan = unit.scan
        self._batches: list[pa.RecordBatch] = []
        metadata = {
            "unit_id": unit.unit_id,
            "schema_version": str(SCHEMA_VERSION),
            "recipe_sha256": hash_json(unit.recipe),
        }
        self._schema = arrow_schema("patches", metadata)

    def add(
        self, item: Input, reference: ScannedReference | None, restored: npt.NDArray[np.uint8]
    ) -> None:
        """Measure the patches of a restored image.

        Parameters
        ----------
        item : ingest.units.Input
            The restored image's.
        reference : ingest.rings.ScannedReference or None
            None where the study asks for no patches.
        restored : (M, N) uint8 array, dn
        """
        if reference is None or self._scan is None:
            return
        for patch_px, ends in reference.compare(restored):
            if ends.size:
                keys = (item.model_id, item.inference_path, item.image_id, patch_px)
                columns = list_columns(keys, ends, self._scan.lr_nyquist)
                self._batches.append(pa.record_batch(columns, schema=self._schema))

    def finish(self) -> list[PatchFile]:
        """Write and publish the file; its entry in the manifest, or none where it has no row."""
        if not self._batches:
            return []
        table = pa.Table.from_batches(self._batches)
        with replacing(self._path) as temporary:
            pq.write_table(
                table, temporary, compression="zstd", use_dictionary=[*_KEYS, "lr_nyquist"]
            )
        return [
            {
                "file": self.name,
                "rows": table.num_rows,
                "bytes": self._path.stat().st_size,
                "sha256": hash_file(self._path),
            }
        ]


def list_columns(
    keys: tuple[str | None, str | None, str, int], ends: npt.NDArray[np.float64], lr_nyquist: float
) -> list[pa.DoubleArray | pa.FloatArray | pa.Int16Array | pa.StringArray]:
    """Give the columns of raw table `patches` for one restored image and size of patch.

    Parameters
    ----------
    keys : tuple
        Model, inference path, image and side of the patch, px.
    ends : (R, C, 2) float64 array
        From `ingest.rings.ScannedReference.compare`, cycles/px.
    lr_nyquist : float
        Cycles/px.

    Returns
    -------
    list of pyarrow.Array
        In the order of the schema; the ends rounded once, to float32.
    """
    *names, patch_px = keys
    rows, cols, _ = ends.shape
    count = rows * cols
    absent = np.isnan(ends[..., 0]).ravel()
    places = np.indices((rows, cols), np.int16).reshape(2, count)
    return [
        *(pa.repeat(pa.scalar(key, pa.string()), count) for key in names),
        pa.repeat(pa.scalar(patch_px, pa.int16()), count),
        *map(pa.array, places),
        pa.repeat(pa.scalar(lr_nyquist, pa.float64()), count),
        *(
            pa.array(ends[..., number].ravel().astype(np.float32), mask=absent)
            for number in range(ends.shape[2])
        ),
    ]
