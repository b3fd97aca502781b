"""A small warehouse with the marts' contracts, filled by hand."""

import csv
from dataclasses import dataclass, field
from itertools import combinations, pairwise, product
from itertools import count as count_up
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
import yaml
from PIL import Image

from tests.macros import read_constants
from tests.unit.analysis.local_fidelity import make_local_fidelity
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.model_facts import ModelFacts, show_models

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"
MARTS = PROJECT / "models" / "marts"
MART = "fct_blocks"
COMPONENTS = ("sharp", "texture", "hf", "noise", "block", "block16", "block4", "ring", "mu")
METRICS = ("ssim", "ms_ssim", "psnr", "lpips", "noise", "histogram_corr")
RULE_SETS = ("v2_current", "v1_documented", "gui_suspects", "gui_clean")
# Definitions E.5: what the seed declares and dim_components publishes.
COMPONENT_ROWS = PROJECT / "seeds" / "direction_components.csv"
RULE_ROWS = PROJECT / "seeds" / "rules.csv"
FEATURES = ("luminance", "contrast", "gain_2", "gain_4", "gain_8")


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
    # Sources of per-image metrics, their models and images; none of them in an older study.
    sources: tuple[str, ...] = ("images",)
    source_models: tuple[str, ...] = ("one", "two")
    image_count: int = 6
    has_lpips: bool = False
    has_flags: bool = True
    # The basis that scores, and |cos| between it and the study's own.
    axis_basis: str = "standard-1"
    axis_alignment: float | None = 0.97
    # Whether an image is large enough for a window of 64 px, and the study has its baseline.
    has_windows: bool = True
    # Tiles of the upscalers: some, none, or too small for a block that is far from a seam.
    seams: str = "some"
    # Patients with a box of any finding and of Mass; of Nodule.
    box_patients: int = 8
    nodule_patients: int = 8
    # Inference paths of measured images with an LFV proof.
    lfv_paths: tuple[str, ...] = ("notta", "tta")
    # Whether the first model is the one that others are compared with.
    has_baseline: bool = True
    # Whether images were held against LR images.
    has_lr: bool = False
    # What the study states of its models, by model_id.
    facts: dict = field(default_factory=dict)
    # Whether a published source places its LFV images.
    has_locations: bool = True


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
        "dim_blocks": _places(case),
        "fct_blocks": _blocks(case),
        "mart_direction_components": _directions(case),
        "mart_axis1_distribution": _distribution(case),
        "mart_ledger": _ledger(case),
        "mart_axis1_multiverse": _multiverse(case),
        "mart_model_pairs": _model_pairs(case),
        "dim_study": [
            {
                "study_name": "made",
                "code_version": "0",
                "source_file_count": 3,
                "sources_root": "0" * 64,
                "axis_basis": case.axis_basis,
                "axis_alignment": case.axis_alignment,
            }
        ],
        "mart_pca_basis": _basis(case),
        "mart_tta_effect": _effects(case),
        **_against_lr(case),
        "mart_coverage": _coverage(case),
        "mart_guarantee": _guarantees(case),
        "mart_provenance": _provenance(),
        "dim_components": _read_seed(COMPONENT_ROWS),
        "dim_constants": [{"constant": name} | facts for name, facts in read_constants().items()],
        **_quality(case),
        **make_local_fidelity(case),
    }
    with duckdb.connect(str(path)) as connection:
        for contract in contracts:
            columns = [f"{item['name']} {item['data_type']}" for item in contract["columns"]]
            connection.execute(f"create table {contract['name']} ({', '.join(columns)})")
        for table, table_rows in rows.items():
            frame = pl.DataFrame(list(table_rows), infer_schema_length=None)
            if not frame.is_empty():
                connection.register("frame", frame)
                connection.execute(f"insert into {table} by name select * from frame")
        number_blocks(connection)
    return path, references


def _guarantees(case):
    scores = (("lr_rms_dn", "dn"), ("tta_gap_dn2", "dn2"), ("detail_dn2", "dn2"))
    losses, alphas = ("erroneous", "invented", "lost"), (0.01, 0.05, 0.1, 0.2)
    for model, (score, unit), loss, alpha in product(case.models, scores, losses, alphas):
        # Six patients can promise no less than a seventh.
        is_attainable = alpha > 1 / 7
        yield {
            "model_id": model,
            "inference_path": "notta",
            "score": score,
            "loss": loss,
            "alpha_ratio": alpha,
            "unit": unit,
            "limit_source": "own" if is_attainable else None,
            "cluster_unit": "patient",
            "cluster_count": 6,
            "limit_cluster_count": 6 if is_attainable else None,
            "limit_score": 2.0 if is_attainable else None,
            "masked_ratio": 0.25 if is_attainable else None,
            "masked_low_ratio": None,
            "masked_high_ratio": None,
            "is_attainable": is_attainable,
            "reason": None if is_attainable else "alpha is below 1 / (n + 1) = 0.1429, n = 6",
        }


def number_blocks(connection):
    """Show the rows of `fct_blocks` with their numbers, as a warehouse does."""
    connection.execute("create schema if not exists intermediate")
    connection.execute(
        "create or replace view intermediate.int_blocks_completed"
        " as select rowid as block_number, * from fct_blocks"
    )


def _models(case):
    faces = show_models({model: ModelFacts(**case.facts.get(model, {})) for model in case.models})
    for model, face in faces.items():
        yield {
            "model_id": model,
            "model_number": face.number,
            "label": face.label,
            "colour": face.colour,
            "is_baseline": case.has_baseline and model == case.models[0],
            "has_tta": model not in case.without_tta,
        }


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
            "lr_scale": 2 if case.has_lr else None,
            "lr_rule": "antialiased" if case.has_lr else None,
            "lr_rule_status": "unverified" if case.has_lr else None,
        }


def _places(case):
    for number, (rows, cols) in enumerate(case.sizes):
        for block_row, block_col in np.ndindex(rows, cols):
            yield {
                "image_id": f"image_{number}",
                "block_row": block_row,
                "block_col": block_col,
                "left_px": 8 * block_col,
                "top_px": 8 * block_row,
                "width_px": 8,
                "height_px": min(8, 8 * rows - number - 8 * block_row),
                "region": "body",
                "covered_ratio": 1.0,
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
                        "axis1_notta": score if known else None,
                        "pc1_notta": score if known else None,
                        "polarity_notta": ("positive" if score > 0 else "negative")
                        if known
                        else None,
                        "local_ssim_notta": None if partial else 0.9,
                        "variance_dn2_reference": None if partial else 4.0 + row + col,
                        "lr_judged_px_notta": 16 if case.has_lr and not partial else None,
                        # More to the right, and of the second model everywhere.
                        "lr_contradicted_px_notta": min(16, col + 9 * shift)
                        if case.has_lr and not partial
                        else None,
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


def _ledger(case):
    kinds = {"invented": 0.4, "lost": 0.5, "exaggerated": 0.1, "shifted": 0.2}
    for shift, model in enumerate(case.models):
        for path in _paths(case, model):
            for scale in (2, 4, 8, 16, 32, 64) if case.has_windows else (2, 4, 8):
                for kind, share in kinds.items():
                    if kind != "shifted" or scale in (8, 64):
                        yield {
                            "model_id": model,
                            "inference_path": path,
                            "scale_px": scale,
                            "kind": kind,
                            "image_count": len(case.sizes),
                            "energy_dn2": share * (1 + shift) / scale,
                            "baseline_energy_dn2": share / scale if case.has_windows else None,
                        }


def _against_lr(case):
    """Of the first model a tenth of the blocks is contradicted, of the others more."""
    if not case.has_lr:
        return {}
    marts, images = [], []
    for shift, model in enumerate(case.models):
        for path in _paths(case, model):
            ratio = min(1.0, 0.1 + 0.4 * shift)
            low, high = (0.05, min(1.0, ratio + 0.2)) if case.clusters >= 5 else (None, None)
            energies = {"bent": 2.0 + shift, "invented": 0.1, "lost": 1.5, "amplified": 0.0}
            marts.append(
                {
                    "model_id": model,
                    "inference_path": path,
                    "cluster_unit": "image",
                    "cluster_count": case.clusters,
                    "image_count": len(case.sizes),
                    "judged_block_count": 100,
                    "contradicted_block_count": int(100 * ratio),
                    "contradicted_ratio": ratio,
                    "contradicted_low_ratio": low,
                    "contradicted_high_ratio": high,
                    "mse_dn2": sum(energies.values()),
                    **{f"{kind}_dn2": value for kind, value in energies.items()},
                    "invented_dn2_low": None if low is None else 0.05,
                    "invented_dn2_high": None if low is None else 0.2,
                    "rounding_floor_dn2": 0.0625,
                }
            )
            images += [
                {
                    "model_id": model,
                    "inference_path": path,
                    "image_id": f"image_{number}",
                    "lr_rule_status": "unverified",
                    "judged_block_count": 20,
                    "contradicted_block_count": 2 + number,
                }
                for number in range(len(case.sizes))
            ]
    return {"mart_consistency": marts, "mart_consistency_images": images}


def _multiverse(case):
    """Scaled choices: A where the origin is the mean, no type of phi6; contrasts say B."""
    choices = product(
        case.models,
        ("phi5", "phi6", "phi3"),
        ("standard", "pooled", "own"),
        ("zero", "mean"),
        ("anchored", "returned"),
    )
    for model, space, basis, origin, sign in choices:
        is_there = basis != "standard" or space == "phi5"
        by_rule = "A" if origin == "mean" else "mixed"
        yield {
            "model_id": model,
            "feature_space": space,
            "is_scaled": True,
            "basis": basis,
            "origin": origin,
            "axis_sign": sign,
            "is_scoring": (space, basis, origin, sign) == ("phi5", "standard", "zero", "anchored"),
            "is_turned": is_there and (model, space, sign) == (case.models[0], "phi3", "returned"),
            "axis1_type": by_rule if is_there and space != "phi6" else "not identifiable",
            "contrast_type": "B" if is_there else "not identifiable",
            "is_supported": True if by_rule == "A" else None,
            "contrast_sharpness_low": 0.1 if is_there else None,
            "contrast_artefact_high": 0.1 if is_there else None,
            "eigenvalue_gap": 2.5 if is_there else None,
        }


def _model_pairs(case):
    is_tested = case.clusters >= 15
    for number, (one, two) in enumerate(combinations(case.models, 2)):
        for path in ("notta", "tta"):
            if path not in _paths(case, one) or path not in _paths(case, two):
                continue
            held = ("lr_contradicted_ratio", "lr_bent_dn2") if case.has_lr else ()
            for quantity in ("local_ssim", "psnr", "mse_dn2", "axis1", "d_mu", "ssim", *held):
                difference = 0.05 * (1 + number % 3) * (1 if path == "notta" else -1)
                p_value = (0.001, 0.2, 0.01)[number % 3]
                yield {
                    "source_id": "images",
                    "model_a": one,
                    "model_b": two,
                    "inference_path": path,
                    "subgroup_kind": "all",
                    "subgroup": "all",
                    "quantity": quantity,
                    "cluster_unit": "image",
                    "cluster_count": case.clusters,
                    "image_count": case.clusters,
                    "difference": difference,
                    "difference_low": difference - 0.02 if is_tested else None,
                    "difference_high": difference + 0.03 if is_tested else None,
                    "p_value": p_value if is_tested else None,
                    "p_holm": p_value if is_tested else None,
                    "family_size": 3 if is_tested else None,
                }


def _basis(case):
    for basis in dict.fromkeys(
        (case.axis_basis, "pooled", *(f"model:{model}" for model in case.models))
    ):
        for pc_number in range(1, 6):
            for number, feature in enumerate(FEATURES, start=1):
                yield {
                    "basis_id": basis,
                    "pc_number": pc_number,
                    "feature": feature,
                    "feature_number": number,
                    "is_identifiable": case.is_identifiable or pc_number > 1,
                    "loading": 0.4 if number % 2 else -0.4,
                    "scale": 1.0,
                    "weight": 0.4,
                    "eigenvalue": 2.0 / pc_number,
                    "eigenvalue_gap": 2.0 if pc_number < 5 else None,
                    "is_scoring": basis == case.axis_basis,
                    "alignment": 1.0 if basis == case.axis_basis else 0.85,
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
                "measured_image_count": 2 - (not case.is_complete) if declared else 0,
                "missing_image_count": int(missing > 0),
                "rejected_image_count": 0,
                "not_declared_image_count": 0 if declared else 2,
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


def _read_seed(path):
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: value or None for name, value in row.items()} for row in csv.DictReader(file)
        ]


def _quality(case):
    """Rows of the tables of images and rules."""
    flags = list(_flags(case))
    return {
        "dim_rules": _rules(),
        "fct_rule_flags": flags,
        "fct_verdicts": _verdicts(flags),
        "mart_flag_rates": _rates(case, flags),
        "mart_metric_correlation": _correlations(case),
        "mart_rule_information": _information(flags),
        "mart_rule_overlap": _pairs(flags),
        "mart_published_agreement": _agreement(case),
    }


def _rules():
    for rule in _read_seed(RULE_ROWS):
        single = 0.25 if rule["rule_id"] == "P6" else 0.1
        is_single = rule["family"] != "pattern" or rule["rule_id"] in ("P4", "P6")
        yield {
            **{name: rule[name] for name in ("rule_set", "rule_id", "family", "label_en")},
            "rule_number": int(rule["rule_number"]),
            "nominal_ratio": single if is_single else None,
            "is_output_only": rule["rule_id"] == "P2",
        }


def _flags(case):
    rules = [rule for rule in _rules() if rule["rule_set"] == "v2_current"]
    for source in case.sources:
        paths = ("notta", "tta") if source == "images" else ("unstated",)
        populations = ("pooled", "per_model", *(("frozen",) if source == "images" else ()))
        for key in [
            (population, path, model, image)
            for population in populations
            for path in paths
            for model in range(len(case.source_models))
            for image in range(case.image_count)
        ]:
            for rule in rules:
                yield {
                    "rule_set": "v2_current",
                    "population": key[0],
                    "source_id": source,
                    "model_id": case.source_models[key[2]],
                    "inference_path": key[1],
                    "image_id": f"image_{key[3]}",
                    "rule_id": rule["rule_id"],
                    "is_flagged": _fires(case, rule, key[2], key[3]),
                }


def _fires(case, rule, model, image):
    """P4 and single_artifact_total agree; P1 never fires; P5 is known for one image only."""
    name = rule["rule_id"]
    if not case.has_lpips and (name == "single_lpips" or (name == "P5" and image)):
        return None
    number = 23 if name == "P4" else rule["rule_number"]
    return case.has_flags and name not in ("P1", "P5") and (number + model + image) % 5 == 0


def _group(rows, names):
    groups = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row["is_flagged"])
    return groups


def _verdicts(flags):
    names = ("population", "source_id", "model_id", "inference_path", "image_id")
    for key, group in _group(flags, names).items():
        fired = sum(map(bool, group))
        name = "High" if fired > 4 else "Medium" if fired > 2 else "Low" if fired else "Normal"
        for rule_set in RULE_SETS:
            yield {
                "rule_set": rule_set,
                **dict(zip(names, key, strict=True)),
                "confidence": name,
                "detection_count": fired,
                "evaluated_count": sum(flag is not None for flag in group),
            }


def _rates(case, flags):
    names = ("population", "source_id", "model_id", "inference_path", "rule_id")
    overall = [
        {**row, "rule_id": name, "is_flagged": row["detection_count"] >= least}
        for row in _verdicts(flags)
        for name, least in (("any", 1), ("high", 5))
        if row["rule_set"] == "v2_current"
    ]
    for key, group in _group([*flags, *overall], names).items():
        known = [flag for flag in group if flag is not None]
        ratio = sum(known) / len(known) if known else None
        has_interval = case.clusters >= 5 and known
        yield {
            **dict(zip(names, key, strict=True)),
            "cluster_unit": "image",
            "cluster_count": case.clusters if known else 0,
            "evaluated_count": len(known),
            "flagged_count": sum(known),
            "flagged_ratio": ratio,
            "flagged_low_ratio": max(0.0, ratio - 0.05) if has_interval else None,
            "flagged_high_ratio": min(1.0, ratio + 0.05) if has_interval else None,
        }


def _information(flags):
    names = ("rule_set", "population", "source_id", "rule_id")
    for key, group in _group(flags, names).items():
        known, fired = sum(flag is not None for flag in group), sum(map(bool, group))
        twins = {"P4": "single_artifact_total", "single_artifact_total": "P4"}
        twin = twins.get(key[-1])
        assessment = "rate fixed by construction" if key[-1] == "P6" else "carries information"
        if twin:
            assessment = f"same images as {twin}"
        if not fired:
            assessment = "never fires" if known else "not evaluated"
        yield {
            **dict(zip(names, key, strict=True)),
            "assessment": assessment,
            "image_count": len(group),
            "evaluated_count": known,
            "flagged_count": fired,
            "flagged_ratio": fired / known if known else None,
            "sole_ratio": 0.125 if fired else None,
            "nearest_rule_id": (twin or "single_ssim") if fired else None,
            "nearest_jaccard_ratio": (1.0 if twin else 0.25) if fired else None,
        }


def _pairs(flags):
    for population, source in sorted({(row["population"], row["source_id"]) for row in flags}):
        for first, second in (("P4", "single_artifact_total"), ("single_artifact_total", "P4")):
            yield {
                "rule_set": "v2_current",
                "population": population,
                "source_id": source,
                "first_rule_id": first,
                "second_rule_id": second,
                "both_count": 4,
                "either_count": 4,
                "jaccard_ratio": 1.0,
            }


def _correlations(case):
    for source in case.sources:
        for number, first in enumerate(METRICS):
            for second in METRICS[number + 1 :]:
                known = case.has_lpips or "lpips" not in (first, second)
                # psnr with noise is the one pair beyond 0.7, and is negative.
                value = -0.856 if (first, second) == ("psnr", "noise") else 0.004
                yield {
                    "source_id": source,
                    "first_metric": first,
                    "second_metric": second,
                    "image_count": case.image_count if known else 0,
                    "correlation": value if known else None,
                }


def _agreement(case):
    for source in case.sources:
        if source != "images":
            for rule_set in RULE_SETS:
                yield {
                    "rule_set": rule_set,
                    "source_id": source,
                    "row_count": 10,
                    "flagged_row_count": 8,
                    "equal_count_count": 8,
                    "equal_patterns_count": 6,
                    "equal_confidence_count": 8,
                }


def _provenance():
    steps = (("source_file", "reference/image_0.png"), ("raw_file", "b.parquet"), ("mart", MART))
    for (parent_kind, parent), (child_kind, child) in pairwise(steps):
        yield {
            "child_kind": child_kind,
            "child_name": child,
            "parent_kind": parent_kind,
            "parent_name": parent,
        }


@pytest.fixture
def study(tmp_path):
    """Make a warehouse of a case; called as ``study(Case(...))`` with its fields."""

    numbers = count_up()

    def make(**fields):
        return make_warehouse(tmp_path / f"study_{next(numbers)}", Case(**fields))

    return make
