"""A study whose reader is the mean grey level: its calls, areas and boxes can be made by hand."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.manifests import MANIFEST, seal_folder
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.schema import READING_TABLES, SCHEMA_VERSION, arrow_schema
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.vouchers import Journal

STUDY = """
[study]
name = "read"
references = "reference"
output = "out"
[lr]
rule = "antialiased"
scale = 2
folder = "lr"
[labels]
entries = "entries.csv"
boxes = "boxes.csv"
[[models]]
model_id = "copied"
notta = "copied"
[[models]]
model_id = "moved"
notta = "moved"
"""
PATIENTS, SIDE = 8, 64
READER = "mean"
LEVELS = (100, 104, 108, 112, 116, 120, 124, 128, 132, 136, 140, 144, 148, 152, 156, 160)
"""Mean of each reference, two a patient, in order."""
POSITIVE = (3, 6, 8, 9, 10, 11, 12, 13, 14, 15)
"""References with Mass: 9 of 10 lie above 122, where 5 of 5 others lie below."""
MOVED = {2: 140, 5: 131, 9: 127, 12: 120}
"""Where the model `moved` has another mean: 2 and 5 become positive, 12 negative."""
UNLISTED = 7
"""The label file does not list it: it is called, but neither has a finding nor has none."""
BOX = (10, 20, 20, 10)
"""Left, top, width and height of Mass in the images with it."""


def name_image(number):
    return f"{number // 2 + 1:08d}_{number % 2:03d}"


def make_image(mean):
    """A texture of that mean, exactly."""
    pattern = np.indices((SIDE, SIDE)).sum(0) % 4
    return (mean + np.array([-9, 3, 9, -3])[pattern]).astype(np.uint8)


def read_mean(path):
    """What the reader says of a file."""
    return float(np.asarray(Image.open(path), np.float64).mean() / 255)


def make_study(root):
    """Write images, labels and boxes; give the study, ingested."""
    for folder in ("reference", "lr", "copied", "moved"):
        (root / folder).mkdir()
    entries = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"]
    entries[0] += "View Position,OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x"
    entries[0] += ",OriginalImagePixelSpacing_y"
    boxes = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for number, mean in enumerate(LEVELS):
        name = name_image(number) + ".png"
        reference = make_image(mean)
        Image.fromarray(reference).save(root / "reference" / name)
        Image.fromarray(reference).resize((32, 32), Image.Resampling.BICUBIC).save(
            root / "lr" / name
        )
        Image.fromarray(reference).save(root / "copied" / name)
        Image.fromarray(make_image(MOVED.get(number, mean))).save(root / "moved" / name)
        finding = "Mass" if number in POSITIVE else "No Finding"
        if number != UNLISTED:
            entries.append(f"{name},{finding},0,{number // 2 + 1},50,F,PA,64,64,0.1,0.1")
        if number in POSITIVE:
            boxes.append(f"{name},Mass,{','.join(map(str, BOX))},,,")
    (root / "entries.csv").write_text("\n".join(entries) + "\n")
    (root / "boxes.csv").write_text("\n".join(boxes) + "\n")
    (root / "study.toml").write_text(STUDY)
    study = load_study(root / "study.toml")
    ingest_study(study, workers=1)
    return study


def read_images(root):
    """Rows of the four tables, of the mean grey level as reader."""
    tables = {table: [] for table in READING_TABLES}
    tables["readers"].append(
        {
            "reader": READER,
            "format": "onnx",
            "file_sha256": "0" * 64,
            "input_px": 64,
            "intensity": "unit",
            "score": "probability",
            "has_maps": True,
            "library": "by hand",
            "device": "cpu",
        }
    )
    subjects = (
        ("reference", None, None, "reference"),
        ("lr", None, None, "lr"),
        ("restored", "copied", "notta", "copied"),
        ("restored", "moved", "notta", "moved"),
    )
    for subject, model_id, inference_path, folder in subjects:
        for number in range(len(LEVELS)):
            path = root / folder / (name_image(number) + ".png")
            read = {
                "reader": READER,
                "image_id": name_image(number),
                "subject": subject,
                "model_id": model_id,
                "inference_path": inference_path,
                "finding": "Mass",
            }
            tables["readings"].append(
                read | {"file_sha256": hash_file(path), "score": read_mean(path)}
            )
            if subject != "reference":
                agreement = {"map_correlation": 1 - number / 100, "overlap_60": 0.5}
                tables["reading_maps"].append(read | agreement | {"overlap_180": None})
            tables["reading_boxes"] += list_reader_boxes(read, number, model_id == "moved")
    return tables


def list_reader_boxes(read, number, is_moved):
    """A box at 60 that is the true one, or 8 px beside it, and one at 180 within it, or none."""
    left, top, width, height = BOX
    shown = (60, left + 8 * is_moved, top, width, height), (180, left, top, width // 2, height)
    return [
        read
        | {"map_level": level, "box_number": 0, "left_px": float(x), "top_px": float(y)}
        | {"width_px": float(w), "height_px": float(h)}
        for level, x, y, w, h in shown[: 1 if is_moved and number % 2 else 2]
    ]


def write_readings(study, tables):
    """Write the folder as the command ``read`` does, and vouch for it."""
    folder = study.readings
    folder.mkdir(exist_ok=True)
    for table, rows in tables.items():
        schema = arrow_schema(table, {"schema_version": str(SCHEMA_VERSION)})
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / f"{table}.parquet")
    recipe = {"schema_version": SCHEMA_VERSION, "inputs": {"sources": {}}}
    names = [f"{table}.parquet" for table in tables]
    seal_folder(folder, "readings", study.name, names, recipe, {})
    Journal(study.output, "readings").write({MANIFEST: {hash_file(folder / MANIFEST)}})
