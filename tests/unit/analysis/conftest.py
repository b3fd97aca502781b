"""A small warehouse with the marts' contracts, filled by hand."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest
import yaml
from PIL import Image

from ingest.files import hash_file

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
MARTS = PROJECT / "models" / "marts"
COMPONENTS = ("sharp", "texture", "hf", "noise", "block", "block16", "block4", "ring", "mu")
FEATURES = ("luminance", "contrast", "structure", "decorrelation", "gain", "error")


@dataclass(frozen=True)
class Case:
    """What a hand-made study looks like."""

    models: tuple[str, ...] = ("one", "two")
    without_tta: tuple[str, ...] = ("two",)
    is_identifiable: bool = True
    clusters: int = 6
    # Rows and columns of blocks of each image; the second is cut by its frame.
    sizes: tuple[tuple[int, int], ...] = ((4, 6), (5, 3))
    is_complete: bool = True
    flat_component: str | None = None


def make_warehouse(folder, case):
    """Write references and warehouse.duckdb; return their paths."""
    references, path = folder / "reference", folder / "warehouse.duckdb"
    references.mkdir(parents=True)
    contracts = [
        contract
        for path in sorted(MARTS.rglob("*.yml"))
        for contract in yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
    ]
    rows = {
        "dim_models": _models(case),
        "dim_images": _images(case, references),
        "fct_blocks": _blocks(case),
        "mart_direction_components": _directions(case),
        "mart_axis1_distribution": _distribution(case),
        "mart_pca_basis": _basis(case),
        "mart_tta_effect": _effects(case),
        "mart_coverage": _coverage(case),
    }
    with duckdb.connect(str(path)) as connection:
        for contract in contracts:
            columns = [f"{item['name']} {item['data_type']}" for item in contract["columns"]]
            connection.execute(f"create table {contract['name']} ({', '.join(columns)})")
        for table, table_rows in rows.items():
            for row in table_rows:
                marks = ", ".join("?" * len(row))
                connection.execute(
                    f"insert into {table} ({', '.join(row)}) values ({marks})", list(row.values())
                )
    return path, references


def _models(case):
    for model in case.models:
        yield {"model_id": model, "has_tta": model not in case.without_tta}


def _images(case, references):
    for number, (rows, cols) in enumerate(case.sizes):
        height, width = 8 * rows - number, 8 * cols
        ramp = np.add.outer(np.arange(height), np.arange(width)).astype(np.uint8)
        file = references / f"image_{number}.png"
        Image.fromarray(ramp).save(file)
        yield {
            "image_id": file.stem,
            "cluster_id": f"image:{file.stem}",
            "cluster_unit": "image",
            "width_px": width,
            "height_px": height,
            "block_rows": rows,
            "block_cols": cols,
            "file_name": file.name,
            "file_sha256": hash_file(file),
        }


def _blocks(case):
    for shift, model in enumerate(case.models):
        for number, (rows, cols) in enumerate(case.sizes):
            for row in range(rows):
                for col in range(cols):
                    partial = number > 0 and row == rows - 1
                    score = (row - col) / 4 + shift / 10 + number
                    known = case.is_identifiable and not partial
                    yield {
                        "model_id": model,
                        "image_id": f"image_{number}",
                        "block_row": row,
                        "block_col": col,
                        "is_partial": partial,
                        "axis1": score if known else None,
                        "pc1_notta": score if known else None,
                        "polarity": ("positive" if score > 0 else "negative") if known else None,
                        "local_ssim_notta": None if partial else 0.9,
                    }


def _interval(case, mean):
    return (mean - 0.1, mean + 0.1) if case.clusters >= 5 else (None, None)


def _directions(case):
    if not case.is_identifiable:
        return
    for shift, model in enumerate(case.models):
        for polarity in ("negative", "positive"):
            for step, component in enumerate(COMPONENTS):
                mean = step / 10 + shift / 20 + (0.3 if polarity == "positive" else -0.3)
                low, high = _interval(case, mean)
                spread = None if component == case.flat_component else 0.5
                yield {
                    "model_id": model,
                    "polarity": polarity,
                    "component": component,
                    "cluster_unit": "image",
                    "block_count": 100,
                    "measured_count": 90,
                    "cluster_count": case.clusters,
                    "mean": mean,
                    "sd": 1.0,
                    "mean_low": low,
                    "mean_high": high,
                    "robust_sd": spread,
                    "standardised_mean": None if spread is None else mean / spread,
                }


def _paths(case, model):
    return ("notta",) if model in case.without_tta else ("notta", "tta")


def _distribution(case):
    if not case.is_identifiable:
        return
    for model in case.models:
        for path in _paths(case, model):
            # -0.4 lies apart: the bins between are empty.
            for bin_low, count in ((-0.4, 10), (0.0, 30), (0.1, 60)):
                yield {
                    "model_id": model,
                    "inference_path": path,
                    "bin_low": bin_low,
                    "block_count": count,
                    "block_ratio": count / 100,
                }


def _basis(case):
    for basis in ("pooled", *(f"model:{model}" for model in case.models)):
        for component in range(1, 7):
            for number, feature in enumerate(FEATURES, start=1):
                yield {
                    "basis_id": basis,
                    "component": component,
                    "feature": feature,
                    "feature_number": number,
                    "is_identifiable": case.is_identifiable or component > 1,
                    "loading": 0.4 if number % 2 else -0.4,
                    "scale": 1.0,
                    "eigenvalue": 2.0 / component,
                    "eigenvalue_gap": 2.0 if component < 6 else None,
                    "pooled_alignment": 1.0 if basis == "pooled" else 0.85,
                    "block_count": 100,
                }


def _effects(case):
    for model in case.models:
        for quantity in ("local_ssim", "abs_pc1", *(f"d_{name}" for name in COMPONENTS)):
            has_value = model not in case.without_tta
            has_value &= case.is_identifiable or quantity != "abs_pc1"
            low, high = _interval(case, 0.05) if has_value else (None, None)
            yield {
                "model_id": model,
                "quantity": quantity,
                "cluster_unit": "image",
                "cluster_count": case.clusters if has_value else 0,
                "pair_count": 100 if has_value else 0,
                "mean_change": 0.05 if has_value else None,
                "change_low": low,
                "change_high": high,
            }


def _coverage(case):
    for model in case.models:
        for path in ("notta", "tta"):
            declared = path in _paths(case, model)
            missing = 0 if case.is_complete or not declared else 10
            yield {
                "model_id": model,
                "inference_path": path,
                "image_count": 2,
                "reference_rejected_image_count": 0 if case.is_complete else 1,
                "expected_block_count": 100,
                "block_count": 100,
                "measured_block_count": 100 - missing if declared else 0,
                "partial_block_count": 0,
                "missing_block_count": missing,
                "ambiguous_block_count": 0,
                "rejected_block_count": 0,
                "not_declared_block_count": 0 if declared else 100,
            }


@pytest.fixture
def study(tmp_path):
    """Make a warehouse of a case; called as ``study(Case(...))`` with its fields."""

    def make(**fields):
        return make_warehouse(tmp_path / "study", Case(**fields))

    return make
