"""Frame and seam profiles, recomputed block by block; scenes whose frame is known."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

PATHS = ("notta", "tta")


def find_side(row, col, rows, cols):
    """Blocks to the nearest side of the grid and which side; corner where two kinds are."""
    sides = {"top": row, "bottom": rows - 1 - row, "left": col, "right": cols - 1 - col}
    nearest = min(sides.values())
    found = [name for name, distance in sides.items() if distance == nearest]
    is_vertical = bool({"top", "bottom"} & set(found))
    is_horizontal = bool({"left", "right"} & set(found))
    return nearest, "corner" if is_vertical and is_horizontal else found[0]


def find_seam(row, col, height, width, tile_px):
    """Blocks to the nearest tile border, 0 where it touches or cuts the block; None without one."""
    gaps = []
    for first, size in ((8 * row, height), (8 * col, width)):
        for border in range(tile_px, size, tile_px):
            gaps.append(max(0, border - (first + 8), first - border))
    return min(-(-min(gaps) // 8), 8) if gaps else None


@pytest.fixture(scope="module")
def placed(facts, grids, find_cluster, fidelity_study):
    """Give every measured block's model, path, image, cluster, distances and SSIM."""
    rows, tile_px = [], fidelity_study.analysis_parameters.tile_px
    for fact in facts:
        block_rows, block_cols, height, width = grids[fact["image_id"]]
        place = fact["block_row"], fact["block_col"]
        depth, side = find_side(*place, block_rows, block_cols)
        seam = find_seam(*place, height, width, tile_px)
        for path in PATHS:
            value = fact[f"local_ssim_{path}"]
            key = (fact["model_id"], path, fact["image_id"], find_cluster(fact["image_id"]))
            rows.append((*key, depth, side, seam, None if value is None else float(value)))
    return rows


def name_unit(clusters):
    kinds = {cluster.split(":")[0] for cluster in clusters}
    return kinds.pop() if len(kinds) == 1 else "mixed" if kinds else None


def interval(values):
    return tuple(np.nanquantile(values, [0.025, 0.975]))


def test_the_frame_profile_is_the_mean_of_each_ring_and_side(
    read_mart, placed, bootstrap_mean, stretch
):
    groups = defaultdict(list)
    for model_id, path, _, cluster, depth, side, _, value in placed:
        for label in ("all", side):
            found = groups[model_id, path, label, depth]
            if value is not None:
                found.append((cluster, value))
    rows = read_mart("mart_frame_profile")
    assert {
        (row["model_id"], row["inference_path"], row["frame_side"], row["distance_blocks"])
        for row in rows
    } == set(groups)
    for row in rows:
        side, depth = row["frame_side"], row["distance_blocks"]
        pairs = groups[row["model_id"], row["inference_path"], side, depth]
        told_apart = side if depth == 0 else "all"
        ring = groups[row["model_id"], row["inference_path"], told_apart, depth]
        known = {cluster for cluster, _ in ring}
        assert row["block_count"] == len(pairs)
        assert (row["cluster_unit"], row["cluster_count"]) == (name_unit(known), len(known))
        found = (row["mean_local_ssim"], row["mean_low"], row["mean_high"])
        if not pairs:
            assert found == (None, None, None)
            continue
        assert found[0] == pytest.approx(np.mean([value for _, value in pairs]), abs=1e-12)
        if row["cluster_count"] >= 5 and (depth == 0 or (side == "all" and depth < 16)):
            ends = interval(bootstrap_mean(pairs))
            expected = stretch(found[0], ends, row["cluster_count"], -1, 1)
            assert found[1:] == pytest.approx(expected, abs=1e-12)
        else:
            assert found[1:] == (None, None)


def deficits(placed, model_id, path):
    """Image to mean SSIM at distance 4 or more less that of the outermost ring."""
    rings = defaultdict(lambda: ([], []))
    for model, inference_path, image_id, _, depth, _, _, value in placed:
        if (model, inference_path) == (model_id, path) and value is not None:
            if depth == 0:
                rings[image_id][0].append(value)
            elif depth >= 4:
                rings[image_id][1].append(value)
    return {
        image_id: np.mean(inside) - np.mean(frame)
        for image_id, (frame, inside) in rings.items()
        if frame and inside
    }


def test_the_frame_effect_is_tested_over_patients(
    read_mart, placed, bootstrap_mean, find_cluster, stretch
):
    baseline = deficits(placed, "bicubic", "notta")
    rows = read_mart("mart_frame_effect")
    assert len(rows) == 5 * 2
    for row in rows:
        own = deficits(placed, row["model_id"], row["inference_path"])
        excess = {} if row["model_id"] == "bicubic" else {
            image_id: value - baseline[image_id]
            for image_id, value in own.items()
            if image_id in baseline
        }  # fmt: skip
        assert row["cluster_unit"] == name_unit({find_cluster(image_id) for image_id in own})
        for name, values in (("deficit", own), ("excess", excess)):
            pairs = [(find_cluster(image_id), value) for image_id, value in values.items()]
            found = [row[f"{name}{end}"] for end in ("", "_low", "_high", "_p_value")]
            by_cluster = defaultdict(list)
            for cluster, value in pairs:
                by_cluster[cluster].append(value)
            assert row[f"{name}_image_count"] == len(pairs)
            assert row[f"{name}_cluster_count"] == len(by_cluster)
            if not pairs:
                assert found == [None] * 4
                continue
            test = stats.ttest_1samp([np.mean(group) for group in by_cluster.values()], 0)
            assert found[0] == pytest.approx(np.mean([value for _, value in pairs]), abs=1e-11)
            ends = interval(bootstrap_mean(pairs))
            expected = stretch(found[0], ends, len(by_cluster), -2, 2)
            assert found[1:3] == pytest.approx(expected, abs=1e-11)
            assert found[3] == pytest.approx(test.pvalue, rel=1e-6)


def test_an_image_without_an_interior_has_no_frame_effect(read_mart):
    """The 8 x 5 grid has no block four from the frame; mixed lost one of the twelve others."""
    counts = {
        (row["model_id"], row["inference_path"]): row["deficit_image_count"]
        for row in read_mart("mart_frame_effect")
    }
    assert counts["bicubic", "notta"] == 12
    assert (counts["mixed", "notta"], counts["mixed", "tta"]) == (11, 9)


def test_the_seam_profile_leaves_the_frame_out(read_mart, placed, bootstrap_mean, stretch):
    groups = defaultdict(list)
    for model_id, path, _, cluster, depth, _, seam, value in placed:
        if depth >= 4 and seam is not None and value is not None:
            groups[model_id, path, seam].append((cluster, value))
    rows = read_mart("mart_seam_profile")
    assert len(rows) == 5 * 2 * 9
    for row in rows:
        model_id, path, seam = row["model_id"], row["inference_path"], row["distance_blocks"]
        pairs, elsewhere = groups[model_id, path, seam], groups[model_id, path, 8]
        found = [row[name] for name in ("difference", "difference_low", "difference_high")]
        assert row["block_count"] == len(pairs)
        assert row["cluster_unit"] == name_unit({cluster for cluster, _ in pairs})
        both = {cluster for cluster, _ in pairs} & {cluster for cluster, _ in elsewhere}
        assert row["cluster_count"] == len(both)
        if not pairs:
            assert (row["mean_local_ssim"], *found) == (None,) * 4
            continue
        mean, base = (np.mean([value for _, value in group]) for group in (pairs, elsewhere))
        assert row["mean_local_ssim"] == pytest.approx(mean, abs=1e-12)
        assert found[0] == pytest.approx(mean - base, abs=1e-12)
        ends = interval(bootstrap_mean(pairs) - bootstrap_mean(elsewhere))
        expected = stretch(found[0], ends, len(both), -2, 2)
        assert found[1:] == pytest.approx(expected, abs=1e-12)


def test_every_distance_to_a_seam_occurs(placed):
    assert {seam for *_, depth, _, seam, _ in placed if depth >= 4} == {*range(9)}


def read_effect(read_mart, model_id, path="notta"):
    return read_mart(
        f"select * from mart_frame_effect where model_id = '{model_id}'"
        f" and inference_path = '{path}'"
    )[0]


@pytest.mark.parametrize("path", PATHS)
def test_white_noise_has_no_frame_effect(read_mart, path):
    effect = read_effect(read_mart, "noisy", path)
    for name in ("deficit", "excess"):
        assert effect[f"{name}_low"] < 0 < effect[f"{name}_high"]
        assert effect[f"{name}_p_value"] > 0.05


def test_a_restorer_that_breaks_the_frame_has_a_frame_effect(read_mart):
    effect = read_effect(read_mart, "framed")
    for name in ("deficit", "excess"):
        assert 0.1 < effect[f"{name}_low"] < effect[name] < effect[f"{name}_high"]
        assert effect[f"{name}_p_value"] < 1e-6
    rings = {
        row["distance_blocks"]: row["mean_high"]
        for row in read_mart(
            "select * from mart_frame_profile where model_id = 'framed'"
            " and inference_path = 'notta' and frame_side = 'all'"
        )
    }
    assert rings[0] < 0.9 < 0.98 < min(rings[1], rings[2])


def test_a_restorer_that_breaks_lesions_has_no_frame_effect(read_mart):
    effect = read_effect(read_mart, "lesioned")
    assert effect["deficit_low"] < 0 < effect["deficit_high"]
    assert effect["excess_p_value"] > 0.05
