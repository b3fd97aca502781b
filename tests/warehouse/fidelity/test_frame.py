"""Frame and seam profiles, recomputed block by block; scenes whose frame is known."""

from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

from tests.skewed import find_p, transform

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


def find_tiles(study):
    """The tile of each model: its own, else the study's."""
    shared = study.analysis_parameters.tile_px
    return {model.model_id: model.tile_px or shared for model in study.models}


@pytest.fixture(scope="module")
def placed(facts, grids, find_cluster, fidelity_study):
    """Give every measured block's model, path, image, cluster, distances and SSIM."""
    rows, tiles = [], find_tiles(fidelity_study)
    for fact in facts:
        block_rows, block_cols, height, width = grids[fact["image_id"]]
        place = fact["block_row"], fact["block_col"]
        depth, side = find_side(*place, block_rows, block_cols)
        seams = {
            tile: find_seam(*place, height, width, tile) for tile in sorted(set(tiles.values()))
        }
        for path in PATHS:
            value = fact[f"local_ssim_{path}"]
            key = (fact["model_id"], path, fact["image_id"], find_cluster(fact["image_id"]))
            rows.append((*key, depth, side, seams, None if value is None else float(value)))
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
            means = [np.mean(group) for group in by_cluster.values()]
            t = transform(np.mean(means) / stats.sem(means), means)
            assert found[0] == pytest.approx(np.mean([value for _, value in pairs]), abs=1e-11)
            ends = interval(bootstrap_mean(pairs))
            expected = stretch(found[0], ends, len(by_cluster), -2, 2)
            assert found[1:3] == pytest.approx(expected, abs=1e-11)
            assert found[3] == pytest.approx(find_p(t, means), rel=1e-6)


def test_an_image_without_an_interior_has_no_frame_effect(read_mart):
    """The 8 x 5 grid has no block four from the frame; mixed lost one of the twelve others."""
    counts = {
        (row["model_id"], row["inference_path"]): row["deficit_image_count"]
        for row in read_mart("mart_frame_effect")
    }
    assert counts["bicubic", "notta"] == 12
    assert (counts["mixed", "notta"], counts["mixed", "tta"]) == (11, 9)


@pytest.fixture(scope="module")
def seam_groups(placed):
    """Give (image, cluster, SSIM) of the blocks inside the frame by model, path, tile, distance."""
    groups = defaultdict(list)
    for model_id, path, image_id, cluster, depth, _, seams, value in placed:
        for tile_px, seam in seams.items():
            if depth >= 4 and seam is not None and value is not None:
                groups[model_id, path, tile_px, seam].append((image_id, cluster, value))
    return groups


def mean_of(group):
    return np.mean([value for *_, value in group])


def find_clusters(*groups):
    """Clusters that every group has a block of."""
    return set.intersection(*({cluster for _, cluster, _ in group} for group in groups))


def test_a_step_is_against_blocks_8_px_farther_and_the_frame_is_left_out(
    fidelity_study, read_mart, seam_groups, bootstrap_mean, stretch
):
    rows, tiles = read_mart("mart_seam_profile"), find_tiles(fidelity_study)
    assert len(rows) == 5 * 2 * 9
    assert len(set(tiles.values())) == 2
    for row in rows:
        assert row["tile_px"] == tiles[row["model_id"]]
        key = row["model_id"], row["inference_path"], row["tile_px"]
        here, next_ = (seam_groups[(*key, row["distance_blocks"] + more)] for more in (0, 1))
        found = [row[name] for name in ("difference", "difference_low", "difference_high")]
        assert row["block_count"] == len(here)
        assert row["cluster_unit"] == name_unit({cluster for _, cluster, _ in here})
        assert row["cluster_count"] == len(find_clusters(here, next_))
        if here:
            assert row["mean_local_ssim"] == pytest.approx(mean_of(here), abs=1e-12)
        if not here or row["distance_blocks"] == 8:
            assert found == [None] * 3
            continue
        assert found[0] == pytest.approx(mean_of(here) - mean_of(next_), abs=1e-12)
        drawn = [bootstrap_mean([place[1:] for place in group]) for group in (here, next_)]
        expected = stretch(found[0], interval(drawn[0] - drawn[1]), row["cluster_count"], -2, 2)
        assert found[1:] == pytest.approx(expected, abs=1e-12)


def test_the_excess_of_a_step_is_over_the_baselines_on_the_same_images(
    read_mart, seam_groups, bootstrap_mean, stretch
):
    seen = 0
    for row in read_mart("mart_seam_profile where distance_blocks < 8"):
        key, distance = (row["model_id"], row["inference_path"]), row["distance_blocks"]
        key += (row["tile_px"],)
        found = [row[name] for name in ("excess", "excess_low", "excess_high")]
        own = [seam_groups[(*key, distance + more)] for more in (0, 1)]
        base = [seam_groups["bicubic", "notta", key[2], distance + more] for more in (0, 1)]
        if key[0] == "bicubic" or not own[0]:
            assert (row["excess_cluster_count"], found) == (0, [None] * 3)
            continue
        seen += 1
        images = [
            {image for image, *_ in one} & {image for image, *_ in other}
            for one, other in zip(own, base, strict=True)
        ]
        groups = [
            [place for place in group if place[0] in kept]
            for side in (own, base)
            for group, kept in zip(side, images, strict=True)
        ]
        means = [mean_of(group) for group in groups]
        expected = means[0] - means[1] - (means[2] - means[3])
        assert found[0] == pytest.approx(expected, abs=1e-12)
        drawn = [bootstrap_mean([place[1:] for place in group]) for group in groups]
        ends = interval(drawn[0] - drawn[1] - (drawn[2] - drawn[3]))
        clusters = len(find_clusters(*groups))
        assert row["excess_cluster_count"] == clusters
        assert found[1:] == pytest.approx(stretch(expected, ends, clusters, -4, 4), abs=1e-12)
    assert seen > 30


def test_every_distance_to_a_seam_occurs(placed):
    for tile_px in (111, 120):
        found = {seams[tile_px] for *_, depth, _, seams, _ in placed if depth >= 4}
        assert found == {*range(9)}


def test_without_lr_images_nothing_is_said_of_where_they_are_contradicted(read_mart):
    assert read_mart("mart_consistency_profile") == []
    assert read_mart("mart_consistency") == []
    means = read_mart(
        "select * from mart_model_means"
        " where (starts_with(quantity, 'lr_') or quantity = 'null_correlation')"
        " and source_id = 'images'"
    )
    assert len({row["quantity"] for row in means}) == 7
    assert {(row["mean"], row["image_count"]) for row in means} == {(None, 0)}


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
