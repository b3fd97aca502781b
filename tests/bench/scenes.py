"""Studies to measure with, made of the sample's real radiograph and real restorations."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image

from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, SOURCES, restate, write_manifest
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.units import open_parquet

SAMPLE = Path(__file__).resolve().parents[2] / "sample"
MODELS = ("realesr_animevideov3", "span_x2_ch48", "upscayl_digital", "upscayl_standard")
TURNS = {"as_is": lambda a: a, "mirrored": np.fliplr, "flipped": np.flipud, "turned": np.rot90}


def make_study(root):
    """Write a study of eight 1024x1024 references, four models, both inference paths.

    The crops of the sample adjoin, so four of them make a real 1024x1024 region; two regions
    in four orientations make eight images.
    """
    lines = ["[study]", 'name = "bench"', 'references = "reference"']
    folders = {"reference": SAMPLE / "reference"}
    for model_id in MODELS:
        lines += ["[[models]]", f'model_id = "{model_id}"']
        for inference_path in ("notta", "tta"):
            name = f"restored/{model_id}/{inference_path}"
            folders[name] = SAMPLE / name
            lines.append(f'{inference_path} = "{name}"')
    for name, source in folders.items():
        (root / name).mkdir(parents=True)
        for first_row in (0, 1):
            region = np.block(
                [
                    [np.asarray(Image.open(source / f"rg1_r{row}c{col}.png")) for col in (0, 1)]
                    for row in (first_row, first_row + 1)
                ]
            )
            for turn, apply in TURNS.items():
                image = Image.fromarray(np.ascontiguousarray(apply(region)))
                image.save(root / name / f"region{first_row}_{turn}.png")
    (root / "study.toml").write_text("\n".join(lines) + "\n")
    return load_study(root / "study.toml")


def grow_study(study, root, copies):
    """Repeat a measured study's raw folder under new image names; nothing is measured again."""
    ingest_study(study, workers=1)
    raw = root / "raw"
    manifest = json.loads((study.raw / MANIFEST).read_text())
    files, shards = [], []
    for name in manifest["block_shards"]:
        table = pq.ParquetFile(study.raw / name).read()
        for copy in range(copies):
            shard = f"{Path(name).parent}/{copy:016x}.parquet"
            (raw / shard).parent.mkdir(parents=True, exist_ok=True)
            with open_parquet(raw / shard, table.schema) as writer:
                writer.write_table(rename_images(table, copy), row_group_size=131_072)
            shards.append(shard)
    for name in manifest["files"]:
        if name.endswith(".parquet") and not name.startswith("blocks/"):
            table = pq.read_table(study.raw / name)
            repeats = copies if "image_id" in table.column_names else 1
            copied = [rename_images(table, copy) for copy in range(repeats)]
            (raw / name).parent.mkdir(parents=True)
            pq.write_table(pa.concat_tables(copied), raw / name)
            files.append(name)
    shutil.copyfile(study.raw / SOURCES, raw / SOURCES)
    manifest["block_shards"] = sorted(shards)
    manifest["files"] = {name: hash_file(raw / name) for name in [*files, *shards, SOURCES]}
    write_manifest(raw / MANIFEST, manifest | restate(manifest))
    toml = study.path.read_text().replace('references = "', f'output = "{root}"\nreferences = "')
    (study.path.parent / f"{root.name}.toml").write_text(toml)
    return load_study(study.path.parent / f"{root.name}.toml")


def rename_images(table, copy):
    """Prefix every image and file name with the number of a copy."""
    for name in ("image_id", "file_name"):
        if name in table.column_names:
            index = table.column_names.index(name)
            text = table.column(name).cast(pa.string())
            renamed = pc.binary_join_element_wise(pa.scalar(f"{copy:06d}"), text, "_")
            table = table.set_column(index, table.schema.field(index), renamed)
    return table


def clear(folder):
    """Remove a folder, if there."""
    shutil.rmtree(folder, ignore_errors=True)
