"""Rows of the marts of local fidelity for the hand-made warehouse."""

import itertools

GRID_ROWS, GRID_COLS = 16, 24
FINDINGS = ("any", "Mass", "Nodule")
# Of mart_lesion_risk: one finding with a difference that survives correction, one without.
P_HOLM = {"any": 0.01, "Mass": 0.04, "Nodule": 0.2}


def list_paths(case, model):
    """Inference paths of a model."""
    return ("notta",) if model in case.without_tta else ("notta", "tta")


def make_local_fidelity(case):
    """Make the rows of each table, by its name."""
    return {
        "mart_limits": [
            {
                "model_id": model,
                "tau": 2.5 if case.is_identifiable else None,
                "error_limit_dn2": 25,
            }
            for model in case.models
        ],
        "mart_tier3_states": list(_states(case)),
        "mart_tier3_crosstab": list(_crosstab(case)),
        "mart_tier3_coverage": list(_state_coverage(case)),
        "mart_frame_profile": list(_frame_profile(case)),
        "mart_frame_effect": list(_frame_effect(case)),
        "mart_seam_profile": list(_seam_profile(case)),
        "mart_lesion_risk": list(_lesion_risk(case)),
        "mart_lfv_images": list(_lfv_images(case)),
        "mart_lfv_proof": list(_lfv_proof(case)),
    }


def _interval(case, mean, half=0.1):
    return (mean - half, mean + half) if case.clusters >= 5 else (None, None)


def _states(case):
    for model, indicator, paths in itertools.product(
        case.models, ("axis", "contradicted", "error"), ("both", "notta")
    ):
        if indicator == "contradicted" and not case.has_lr:
            continue
        has_state = paths == "notta" or model not in case.without_tta
        has_state = has_state and (case.is_identifiable or indicator != "axis")
        for zone in ("visible", "hidden"):
            # Of 1,000 blocks a zone; no hidden block of the second model is Persistent.
            counts = {"Stable": 900, "Persistent": 40, "Escape": 35, "BlindSpot": 25}
            if indicator == "error":
                counts = {"Stable": 700, "Persistent": 200, "Escape": 60, "BlindSpot": 40}
            elif indicator == "contradicted":
                counts = {"Stable": 5, "Persistent": 985, "Escape": 5, "BlindSpot": 0}
            elif zone == "hidden" and model == "three":
                counts = counts | {"Stable": 940, "Persistent": 0}
            if paths == "notta":
                counts = {"Within": 750, "Beyond": 250}
            for state, count in counts.items():
                yield _state(case, has_state, count) | {
                    "model_id": model,
                    "indicator": indicator,
                    "judged_paths": paths,
                    "zone": zone,
                    "state": state,
                    "indicator_limit": {"axis": 2.5, "error": 25.0, "contradicted": 0.0}[indicator],
                    # What the axis reads in other blocks does not reach the limit.
                    "loud_most": 2.0 if indicator == "axis" else 80.0,
                }


def _state(case, has_state, count):
    """Counts and shares of a cell; of 1,000 blocks a zone, 1 in 20 is not silent."""
    if not has_state:
        return dict.fromkeys(("block_count", "zone_ratio", "silent_count", "silent_ratio"))
    low, high = _interval(case, count / 1000, half=count / 4000)
    silent = count - count // 20
    return {
        "cluster_unit": "patient",
        "cluster_count": case.clusters,
        "block_count": count,
        "zone_ratio": count / 1000,
        "zone_low_ratio": low,
        "zone_high_ratio": high,
        "model_ratio": count / 2000,
        "silent_count": silent,
        "silent_ratio": silent / count if count else None,
        "zone_silent_ratio": 0.5,
    }


def _crosstab(case):
    for model in case.models:
        for pair in ((False, False), (False, True), (True, False), (True, True)):
            yield {
                "model_id": model,
                "indicator": "error",
                "is_beyond_notta": pair[0],
                "is_beyond_tta": pair[1],
                "block_count": 500,
            }


def _state_coverage(case):
    for model in case.models:
        yield {
            "model_id": model,
            "indicator": "error",
            "judged_paths": "both",
            "outcome": "evaluated" if model not in case.without_tta else "tta not_declared",
            "block_count": 2000,
            "block_ratio": 1.0,
        }


def _frame_profile(case):
    for model in case.models:
        for path in list_paths(case, model):
            for side in ("all", "top", "bottom", "left", "right", "corner"):
                for distance in range(20):
                    mean = 0.95 - 0.05 / (1 + distance)
                    has_interval = (side == "all" and distance < 16) or distance == 0
                    low, high = _interval(case, mean, 0.01) if has_interval else (None, None)
                    yield {
                        "model_id": model,
                        "inference_path": path,
                        "frame_side": side,
                        "distance_blocks": distance,
                        "cluster_unit": "patient",
                        "cluster_count": case.clusters,
                        "block_count": 100,
                        "mean_local_ssim": mean,
                        "mean_low": low,
                        "mean_high": high,
                    }


def _frame_effect(case):
    for model in case.models:
        for path in ("notta", "tta"):
            is_measured = path in list_paths(case, model)
            low, high = _interval(case, 0.05, 0.01) if is_measured else (None, None)
            is_baseline = model == case.models[0]
            yield {
                "model_id": model,
                "inference_path": path,
                "cluster_unit": "patient" if is_measured else None,
                "deficit_image_count": 6 if is_measured else 0,
                "deficit_cluster_count": case.clusters if is_measured else 0,
                "deficit": 0.05 if is_measured else None,
                "deficit_low": low,
                "deficit_high": high,
                "excess_image_count": 0 if is_baseline or not is_measured else 6,
                "excess_cluster_count": 0 if is_baseline or not is_measured else case.clusters,
                "excess": None if is_baseline or not is_measured else 0.0123,
            }


def _seam_profile(case):
    if case.seams == "none":
        return
    for model in case.models:
        for path in ("notta", "tta"):
            for distance in range(9):
                known = path in list_paths(case, model) and case.seams == "some" and distance < 8
                mean = -0.02 / (1 + distance)
                low, high = _interval(case, mean, 0.01) if known else (None, None)
                yield {
                    "model_id": model,
                    "inference_path": path,
                    "distance_blocks": distance,
                    "tile_px": 400,
                    "cluster_unit": "patient",
                    "cluster_count": case.clusters if known else 0,
                    "block_count": 50,
                    "mean_local_ssim": 0.9,
                    "difference": mean if known else None,
                    "difference_low": low,
                    "difference_high": high,
                    "excess_cluster_count": 0,
                }


def _lesion_risk(case):
    if not case.box_patients:
        return
    for model in case.models:
        for path in ("notta", "tta"):
            for finding in FINDINGS:
                patients = case.box_patients if finding != "Nodule" else case.nodule_patients
                for quantity in ("local_ssim", "extreme", "abs_pc1", "mse_dn2"):
                    known = path in list_paths(case, model)
                    tested = known and patients >= 5 and quantity != "extreme"
                    has_excess = known and model != case.models[0]
                    yield {
                        "model_id": model,
                        "inference_path": path,
                        "finding": finding,
                        "quantity": quantity,
                        "cluster_unit": "patient" if known else None,
                        "cluster_count": patients if known else 0,
                        "image_count": patients if known else 0,
                        "inside_block_count": 30 if known else 0,
                        "outside_block_count": 300 if known else 0,
                        "inside_mean": 0.8 if known else None,
                        "outside_mean": 0.9 if known else None,
                        "difference": -0.1 if known else None,
                        "difference_low": -0.15 if tested else None,
                        "difference_high": -0.05 if tested else None,
                        "p_value": 0.01 if tested else None,
                        "p_holm": P_HOLM[finding] if tested else None,
                        "family_size": (1 if finding == "any" else 2) if tested else None,
                        "excess_cluster_count": patients if has_excess else 0,
                        "excess": -0.04 if has_excess else None,
                    }


def _list_lfv(case):
    for source in case.sources:
        for path in case.lfv_paths if source == "images" else ("unstated",):
            yield source, path


def place_worst(model, image):
    """Row and column of the worst block of an image."""
    return (0, (3 * image + model) % GRID_COLS) if image % 2 else (image % GRID_ROWS, 5)


def _lfv_images(case):
    for source, path in _list_lfv(case):
        for number, model in enumerate(case.source_models):
            for image in range(case.image_count):
                row, col = place_worst(number, image)
                is_lfv = image < case.image_count / 4
                # Published files place LFV images only, and may place none.
                is_located = source == "images" or (is_lfv and case.has_locations)
                yield {
                    "source_id": source,
                    "model_id": model,
                    "inference_path": path,
                    "image_id": f"image_{image}",
                    "cluster_id": f"image:image_{image}",
                    "cluster_unit": "image",
                    "block_rows": GRID_ROWS if is_located else None,
                    "block_cols": GRID_COLS if is_located else None,
                    "min_row": row if is_located else None,
                    "min_col": col if is_located else None,
                    "local_ssim_min": 0.2 + 0.1 * (image % 5) + number / 100,
                    "local_ssim_mean": 0.9 + 0.01 * (image % 5),
                    "texture_complexity": 2.0 + image,
                    "reference_texture_dn": 1.0 + image if source == "images" else None,
                    "is_lfv": is_lfv,
                    "is_frame": row == 0 if is_located else None,
                }


def _lfv_proof(case):
    for source, path in _list_lfv(case):
        groups = [("pooled", "pooled"), *(("per_model", model) for model in case.source_models)]
        for population, group in groups:
            count = case.image_count * (len(case.source_models) if group == "pooled" else 1)
            located = source == "images" or case.has_locations
            low, high = _interval(case, -0.2)
            yield {
                "population": population,
                "source_id": source,
                "model_id": group,
                "inference_path": path,
                "cluster_unit": "image",
                "cluster_count": case.clusters,
                "image_count": count,
                "pair_count": count,
                "correlation_texture_localmin": -0.2,
                "correlation_p_value": 1.4e-27,
                "correlation_low": low,
                "correlation_high": high,
                "texture_dependency_strength": "Weak",
                "texture_strength_shown": "Weak" if low is not None else None,
                "lfv_threshold_25th": 0.3,
                "lfv_cases_count": count // 4,
                "texture_measure": "reference_texture_dn"
                if source == "images"
                else "texture_complexity",
                "correlation_texture_mean": -0.05,
                "slope_texture_mean": 0.001,
                "slope_texture_mean_low": None if low is None else 0.0005,
                "slope_texture_mean_high": None if low is None else 0.0015,
                "lfv_located_count": count // 4 if located else 0,
                "boundary_count": count // 4 if located else 0,
                "boundary_bias_index": 0.9 if located else None,
                "boundary_p_value": 0.0 if located else None,
                "spatial_dependency_strength": "Strong" if located else "N/A",
                "null_boundary_bias_index": 0.6744384765625 if located else None,
                "centred_boundary_bias_index": 0.7 if located else None,
                "centred_boundary_bias_index_low": 0.6 if located and low is not None else None,
                "centred_boundary_bias_index_high": 0.8 if located and low is not None else None,
                "null_boundary_ratio": 0.74212646484375 if located else None,
                "boundary_exact_p_value": 0.02 if located else None,
                "located_count": count if located else 0,
                "location_percentile": 0.12 if located else None,
                "frame_ratio": 0.5 if located else None,
                "null_frame_ratio": 0.031 if located else None,
            }
