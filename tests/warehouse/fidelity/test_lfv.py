"""The LFV proof, published and mended, from worst blocks found and tested again with scipy."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from scipy import stats

NULLS = ("normalized_distance", "boundary_ratio", "boundary_mended_ratio", "frame_ratio")
KEYS = ("population", "source_id", "model_id", "inference_path")


def distance_to_frame(row, col, rows, cols):
    return min(row, rows - 1 - row, col, cols - 1 - col)


def is_outer(row, col, rows, cols, is_mended=False):
    """The published zone, `> 0.75`; mended `>=`."""
    beyond = (row / rows >= 0.75, col / cols >= 0.75) if is_mended else (
        row > 0.75 * rows, col > 0.75 * cols
    )  # fmt: skip
    return row < 0.25 * rows or col < 0.25 * cols or any(beyond)


def count_places(rows, cols):
    """What uniform placement gives, by looking at every block of the grid."""
    places = list(itertools.product(range(rows), range(cols)))
    distances = np.array([distance_to_frame(*place, rows, cols) for place in places])
    return {
        "distances": distances,
        "null_normalized_distance": distances.mean() / (min(rows, cols) / 2),
        "null_boundary_ratio": np.mean([is_outer(*place, rows, cols) for place in places]),
        "null_boundary_mended_ratio": np.mean(
            [is_outer(*place, rows, cols, is_mended=True) for place in places]
        ),
        "null_frame_ratio": np.mean(distances == 0),
    }


def place_worst(min_row, min_col, rows, cols, nulls):
    """Columns of mart_lfv_images that follow from a place and its grid."""
    distance = distance_to_frame(min_row, min_col, rows, cols)
    counted = nulls[rows, cols]
    nearer = np.mean(counted["distances"] < distance)
    return {
        "block_rows": rows,
        "block_cols": cols,
        "min_row": min_row,
        "min_col": min_col,
        "distance_blocks": distance,
        "normalized_distance": distance / (min(rows, cols) / 2),
        "location_percentile": nearer + np.mean(counted["distances"] == distance) / 2,
        "is_boundary": is_outer(min_row, min_col, rows, cols),
        "is_boundary_mended": is_outer(min_row, min_col, rows, cols, is_mended=True),
        "is_frame": distance == 0,
    } | {f"null_{name}": counted[f"null_{name}"] for name in NULLS}


@pytest.fixture(scope="module")
def nulls(grids):
    """Give what chance gives, by grid."""
    shapes = {grid[:2] for grid in grids.values()} | {(128, 128), (32, 32), (16, 16)}
    return {shape: count_places(*shape) for shape in shapes}


@pytest.fixture(scope="module")
def reference_textures(fidelity_references):
    """Give the mean over an image's whole blocks of their population standard deviation."""
    found = {}
    for image_id, pixels in fidelity_references.items():
        rows, cols = pixels.shape[0] // 8, pixels.shape[1] // 8
        blocks = pixels[: 8 * rows, : 8 * cols].reshape(rows, 8, cols, 8)
        found[image_id] = blocks.std(axis=(1, 3)).mean()
    return found


def measured_images(facts, grids, nulls, reference_textures, complexities):
    """Rows of mart_lfv_images for the study's own images."""
    blocks = defaultdict(list)
    for fact in facts:
        for path in ("notta", "tta"):
            if fact[f"local_ssim_{path}"] is not None:
                place = (fact["block_row"], fact["block_col"])
                key = (fact["model_id"], path, fact["image_id"])
                blocks[key].append((float(fact[f"local_ssim_{path}"]), *place))
    for (model_id, path, image_id), found in blocks.items():
        least, *place = min(found)
        yield {
            "source_id": "images",
            "model_id": model_id,
            "inference_path": path,
            "image_id": image_id,
            "local_ssim_min": least,
            "local_ssim_mean": np.mean([value for value, *_ in found]),
            "texture_complexity": complexities[model_id, path, image_id],
            "reference_texture_dn": reference_textures[image_id],
        } | place_worst(*place, *grids[image_id][:2], nulls)


def published_images(published, nulls):
    """Rows of mart_lfv_images for published files."""
    unplaced = dict.fromkeys(place_worst(0, 0, 16, 16, nulls))
    for label, (results, locations) in published.items():
        places = {(row["model"], row["image_id"]): row for row in locations}
        alone = [
            row
            | {"local_quality_min": row["min_ssim_value"]}
            | dict.fromkeys(("local_quality_mean", "texture_complexity"))
            for row in locations
            if not results
        ]
        for row in results or alone:
            place = places.get((row["model"], row["image_id"]))
            grid = ("min_row", "min_col", "total_rows", "total_cols")
            yield {
                "source_id": label,
                "model_id": row["model"],
                "inference_path": "unstated",
                "image_id": row["image_id"],
                "local_ssim_min": row["local_quality_min"],
                "local_ssim_mean": row["local_quality_mean"],
                "texture_complexity": row["texture_complexity"],
                "reference_texture_dn": None,
            } | (place_worst(*(place[name] for name in grid), nulls) if place else unplaced)


def mark_cases(rows, name, keys):
    """Below the group's 25 % quantile, or listed alone; None where there is no value."""
    groups = defaultdict(list)
    for row in rows:
        if row["local_ssim_min"] is not None:
            groups[tuple(row[key] for key in keys)].append(row["local_ssim_min"])
    limits = {group: np.quantile(values, 0.25) for group, values in groups.items()}
    for row in rows:
        least, limit = row["local_ssim_min"], limits.get(tuple(row[key] for key in keys))
        row[name] = None if least is None or limit is None else least < limit
        if row["local_ssim_mean"] is None:
            row[name] = True


@pytest.fixture(scope="module")
def worst(
    facts, grids, nulls, reference_textures, fidelity_published, read_mart, find_cluster
):  # fmt: skip
    """Give every expected row of mart_lfv_images."""
    quality = read_mart("select * from fct_image_quality where source_id = 'images'")
    names = ("model_id", "inference_path", "image_id")
    complexities = {
        tuple(row[name] for name in names): row["texture_complexity"] for row in quality
    }
    rows = [
        *measured_images(facts, grids, nulls, reference_textures, complexities),
        *published_images(fidelity_published, nulls),
    ]
    for row in rows:
        row["cluster_id"] = find_cluster(row["image_id"])
        row["cluster_unit"] = row["cluster_id"].split(":")[0]
    mark_cases(rows, "is_lfv", ("source_id", "inference_path"))
    mark_cases(rows, "is_lfv_in_model", ("source_id", "inference_path", "model_id"))
    return rows


def test_every_images_worst_block_is_found_and_placed_against_chance(read_mart, worst):
    names = ("source_id", "model_id", "inference_path", "image_id")
    found = {tuple(row[name] for name in names): row for row in read_mart("mart_lfv_images")}
    assert len(found) == len(worst)
    for row in worst:
        mart = found[tuple(row[name] for name in names)]
        assert set(mart) == set(row)
        for name, value in row.items():
            if isinstance(value, float):
                assert mart[name] == pytest.approx(value, rel=1e-9, abs=1e-7), name
            else:
                assert mart[name] == value, (name, row)


def test_of_equally_bad_blocks_the_first_in_raster_order_counts(read_mart, facts):
    values = {
        (fact["block_row"], fact["block_col"]): fact["local_ssim_notta"]
        for fact in facts
        if (fact["model_id"], fact["image_id"]) == ("bicubic", "lateral")
    }
    assert values[1, 0] == values[1, 1] == min(values.values())
    (row,) = read_mart(
        "select * from mart_lfv_images where model_id = 'bicubic' and image_id = 'lateral'"
    )
    assert (row["min_row"], row["min_col"]) == (1, 0)


def test_chance_on_the_published_grid_is_the_published_constant(read_mart):
    rows = read_mart(
        "select distinct null_normalized_distance, null_boundary_ratio,"
        " null_boundary_mended_ratio, null_frame_ratio from mart_lfv_images"
        " where block_rows = 128"
    )
    assert len(rows) == 1
    assert 1 - rows[0]["null_normalized_distance"] == 0.6744384765625
    assert rows[0]["null_boundary_ratio"] == 0.74212646484375
    assert rows[0]["null_boundary_mended_ratio"] == 0.75
    assert rows[0]["null_frame_ratio"] == 508 / 16384


# ---- the proof


def round_fixed(value):
    """Half away from zero at six decimals, as a cast to DECIMAL rounds."""
    return None if value is None else np.sign(value) * np.floor(abs(value) * 1e6 + 0.5) / 1e6


def compare(rows):
    """Add each row's difference from bicubic on the same image of the same source."""
    baseline = {
        (row["source_id"], row["image_id"]): row
        for row in rows
        if row["model_id"] == "bicubic" and row["inference_path"] != "tta"
    }
    for row in rows:
        is_own = row["source_id"] == "images"
        row["texture"] = row["reference_texture_dn" if is_own else "texture_complexity"]
        other = baseline.get((row["source_id"], row["image_id"]))
        other = None if row["model_id"] == "bicubic" else other
        for name, column in (
            ("excess_min", "local_ssim_min"),
            ("excess_mean", "local_ssim_mean"),
            ("excess_frame", "is_frame"),
        ):
            values = (row[column], other and other[column])
            row[name] = None if None in values else float(values[0]) - float(values[1])


def select(rows, *names):
    """Columns of the rows in which none of them is None."""
    kept = [row for row in rows if all(row[name] is not None for name in names)]
    return kept, [np.array([row[name] for row in kept], float) for name in names]


def resample_fit(rows, x, y, draws):
    """Slope and correlation of each replicate, from cluster weights."""
    clusters, weights = draws
    kept, columns = select(rows, x, y)
    x, y = ([round_fixed(value) for value in column] for column in columns)
    x, y = np.array(x), np.array(y)
    share = weights[:, [clusters.index(row["cluster_id"]) for row in kept]]
    total = share.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        from_x = x - share @ x[:, None] / total
        from_y = y - share @ y[:, None] / total
        joint = (share * from_x * from_y).sum(1)
        spread_x, spread_y = ((share * part**2).sum(1) for part in (from_x, from_y))
        level_x, level_y = ((share * part**2).sum(1) for part in (x[None], y[None]))
        spread_x[spread_x <= 1e-10 * level_x] = np.nan
        spread_y[spread_y <= 1e-10 * level_y] = np.nan
        return joint / spread_x, joint / np.sqrt(spread_x * spread_y)


def interval(values):
    known = values[~np.isnan(values)]
    return tuple(np.quantile(known, [0.025, 0.975])) if known.size else (None, None)


def count_clusters(rows):
    return len({row["cluster_id"] for row in rows})


def fit(rows, x, y):
    """scipy's regression and rank correlation; Nones where one does not vary."""
    _, (x, y) = select(rows, x, y)
    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None, None
    return stats.linregress(x, y), stats.spearmanr(x, y).statistic


def name_strength(r):
    return "Strong" if r < -0.7 else "Moderate" if r < -0.5 else "Weak"


def prove_texture(rows, draws, stretch):
    """Columns of mart_lfv_proof about texture."""
    line, ranked = fit(rows, "texture_complexity", "local_ssim_min")
    mean_line, mean_ranked = fit(rows, "texture", "local_ssim_mean")
    excess_line, _ = fit(rows, "texture", "excess_mean")
    found = {
        "pair_count": len(select(rows, "texture_complexity", "local_ssim_min")[0]),
        "correlation_texture_localmin": line and line.rvalue,
        "correlation_p_value": line and line.pvalue,
        "texture_dependency_strength": line and name_strength(line.rvalue),
        "rank_correlation_texture_localmin": ranked,
        "correlation_texture_mean": mean_line and mean_line.rvalue,
        "rank_correlation_texture_mean": mean_ranked,
        "slope_texture_mean": mean_line and mean_line.slope,
        "slope_texture_excess": excess_line and excess_line.slope,
    }
    ends = {}
    for name, pair, number, estimate, bounds in (
        ("r", ("texture_complexity", "local_ssim_min"), 1, line and line.rvalue, (-1, 1)),
        ("mean", ("texture", "local_ssim_mean"), 0, mean_line and mean_line.slope, ()),
        ("excess", ("texture", "excess_mean"), 0, excess_line and excess_line.slope, ()),
    ):
        drawn = (None, None)
        if estimate is not None:
            drawn = interval(resample_fit(rows, *pair, draws)[number])
        ends[name] = stretch(estimate, drawn, count_clusters(select(rows, *pair)[0]), *bounds)
    r_ends = ends["r"]
    found |= dict(zip(("correlation_low", "correlation_high"), r_ends, strict=True))
    high = r_ends[1]
    found["texture_strength_shown"] = (
        None if high is None else "None" if high >= 0 else name_strength(high)
    )
    for name in ("mean", "excess"):
        low, high = ends[name]
        found |= {f"slope_texture_{name}_low": low, f"slope_texture_{name}_high": high}
    return found


def prove_boundary(cases, bootstrap_mean, stretch):
    """Columns about the places of the LFV images, `cases` those that have one."""
    if not cases:
        return {"lfv_located_count": 0, "boundary_count": 0, "boundary_mended_count": 0} | (
            {"spatial_dependency_strength": "N/A"}
        )
    count = len(cases)
    distance = np.mean([row["normalized_distance"] for row in cases])
    null_distance = np.mean([row["null_normalized_distance"] for row in cases])
    found = {
        "lfv_located_count": count,
        "boundary_bias_index": 1 - distance,
        "null_boundary_bias_index": 1 - null_distance,
        "centred_boundary_bias_index": (1 - distance - (1 - null_distance)) / null_distance,
    }
    inside = sum(row["is_boundary"] for row in cases)
    mended = sum(row["is_boundary_mended"] for row in cases)
    exact_share = np.mean([row["null_boundary_ratio"] for row in cases])
    mended_share = np.mean([row["null_boundary_mended_ratio"] for row in cases])
    for name, observed, share in (
        ("boundary", inside, 0.75),
        ("boundary_exact", inside, exact_share),
        ("boundary_mended", mended, mended_share),
    ):
        test = stats.chisquare([observed, count - observed], [share * count, (1 - share) * count])
        found |= {f"{name}_chi_square": test.statistic, f"{name}_p_value": test.pvalue}
    found |= {
        "boundary_count": inside,
        "boundary_mended_count": mended,
        "null_boundary_ratio": exact_share,
        "null_boundary_mended_ratio": mended_share,
    }
    strong = found["boundary_bias_index"] > 0.7 and found["boundary_p_value"] < 0.001
    moderate = found["boundary_bias_index"] > 0.5 and found["boundary_p_value"] < 0.05
    found["spatial_dependency_strength"] = (
        "Strong" if strong else "Moderate" if moderate else "Weak"
    )
    drawn, chance = (
        bootstrap_mean([(row["cluster_id"], round_fixed(row[name])) for row in cases])
        for name in ("normalized_distance", "null_normalized_distance")
    )
    estimate = found["centred_boundary_bias_index"]
    ends = interval((chance - drawn) / chance)
    low, high = stretch(estimate, ends, count_clusters(cases), greatest=1)
    return found | {
        "centred_boundary_bias_index_low": low,
        "centred_boundary_bias_index_high": high,
    }


def prove_location(rows):
    """Columns about every known place, LFV or not."""
    placed = [row for row in rows if row["min_row"] is not None]
    clusters = defaultdict(list)
    for row in placed:
        clusters[row["cluster_id"]].append(row["location_percentile"])
    found = {"located_count": len(placed), "located_cluster_count": len(clusters)}
    if not placed:
        return found
    means = [np.mean(values) for values in clusters.values()]
    found["location_percentile"] = np.mean(means)
    if len(means) >= 5 and np.ptp(means) > 1e-12:
        test = stats.ttest_1samp(means, 0.5)
        found |= {"location_t": test.statistic, "location_p_value": test.pvalue}
    framed = sum(row["is_frame"] for row in placed)
    found |= {"frame_count": framed, "frame_ratio": framed / len(placed)}
    shares = {row["null_frame_ratio"] for row in placed}
    if len(shares) == 1:
        (share,) = shares
        tail = stats.binom.logsf(framed - 1, len(placed), share)
        found |= {
            "null_frame_ratio": share,
            "frame_p_value": stats.binom.sf(framed - 1, len(placed), share),
            "frame_log10_p": tail / np.log(10),
        }
    return found


def prove_excess(rows, bootstrap_mean, stretch):
    """Columns about the difference from bicubic on the same images."""
    found = {"baseline_image_count": sum(row["excess_mean"] is not None for row in rows)}
    for name, column in (
        ("excess_min", "excess_min_ssim"),
        ("excess_mean", "excess_mean_ssim"),
        ("excess_frame", "excess_frame_ratio"),
    ):
        kept, (values,) = select(rows, name)
        if not kept:
            continue
        found[column] = values.mean()
        pairs = [(row["cluster_id"], round_fixed(row[name])) for row in kept]
        bound = 1 if name == "excess_frame" else 2
        ends = interval(bootstrap_mean(pairs))
        low, high = stretch(found[column], ends, count_clusters(kept), -bound, bound)
        found |= {f"{column}_low": low, f"{column}_high": high}
    return found


def prove(rows, draws, bootstrap_mean, case, stretch):
    """A row of mart_lfv_proof: absent columns are NULL."""
    known = [row for row in rows if row["local_ssim_min"] is not None]
    is_listed = all(row[case] for row in known)
    clusters = {row["cluster_id"] for row in rows}
    kinds = {row["cluster_unit"] for row in rows}
    cases = [row for row in rows if row[case]]
    located = [row for row in cases if row["min_row"] is not None]
    return {
        "cluster_unit": kinds.pop() if len(kinds) == 1 else "mixed",
        "cluster_count": len(clusters),
        "image_count": len(known),
        "texture_measure": "reference_texture_dn"
        if rows[0]["source_id"] == "images"
        else "texture_complexity",
        "lfv_threshold_25th": None
        if is_listed
        else np.quantile([row["local_ssim_min"] for row in known], 0.25),
        "lfv_cases_count": len(cases),
        "lfv_cases_pct": None if is_listed else 100 * len(cases) / len(known),
        **prove_texture(rows, draws, stretch),
        **prove_boundary(located, bootstrap_mean, stretch),
        **prove_location(rows),
        **prove_excess(rows, bootstrap_mean, stretch),
    }


def test_every_number_of_the_proof_is_scipys(read_mart, worst, draws, bootstrap_mean, stretch):
    compare(worst)
    groups = defaultdict(list)
    for row in worst:
        for population, model_id in (("pooled", "pooled"), ("per_model", row["model_id"])):
            groups[population, row["source_id"], model_id, row["inference_path"]].append(row)
    mart = {tuple(row[key] for key in KEYS): row for row in read_mart("mart_lfv_proof")}
    assert set(mart) == set(groups)
    for key, rows in groups.items():
        case = "is_lfv" if key[0] == "pooled" else "is_lfv_in_model"
        expected = dict(zip(KEYS, key, strict=True)) | prove(
            rows, draws, bootstrap_mean, case, stretch
        )
        assert set(expected) <= set(mart[key])
        if key[0] == "pooled":
            # Models of one image are not independent: the pool has no exact test.
            expected |= {"frame_p_value": None, "frame_log10_p": None}
        for name, found in mart[key].items():
            value = expected.get(name)
            if isinstance(value, float):
                is_end = name.endswith(("_low", "_high"))
                if name == "frame_p_value" and value == 0:
                    assert found < 1e-300
                    continue
                if name == "frame_log10_p" and np.isinf(value):
                    assert found < -300
                    continue
                tolerance = {"rel": 1e-5, "abs": 2e-6} if is_end else {"rel": 2e-6, "abs": 1e-11}
                assert found == pytest.approx(value, **tolerance), (key, name)
            else:
                assert found == value, (key, name)


def read_pooled(read_mart, source_id):
    rows = read_mart(f"select * from mart_lfv_proof where source_id = '{source_id}'")
    return next(row for row in rows if row["population"] == "pooled")


def test_the_published_statistics_come_back(read_mart):
    """Definitions D.1 and H: r, cases, threshold, BBI, chi-square and both p values."""
    row = read_pooled(read_mart, "published")
    assert row["image_count"] == 5004
    assert row["correlation_texture_localmin"] == pytest.approx(-0.1529839571257516, abs=1e-14)
    assert row["correlation_p_value"] == pytest.approx(1.3839425872228e-27, rel=1e-10)
    assert row["texture_dependency_strength"] == "Weak"
    assert (row["lfv_cases_count"], row["lfv_cases_pct"]) == (1251, 25)
    assert (row["lfv_located_count"], row["boundary_count"]) == (1251, 1250)
    assert row["boundary_bias_index"] == pytest.approx(0.9928557154276578, abs=1e-15)
    assert row["boundary_chi_square"] == pytest.approx(414.33759659, abs=1e-8)
    assert row["boundary_p_value"] == pytest.approx(4.16826241961808e-92, rel=1e-11)
    assert row["spatial_dependency_strength"] == "Strong"


def test_a_location_file_alone_lists_lfv_images_and_has_the_statistics_of_all_of_them(read_mart):
    row = read_pooled(read_mart, "listed")
    assert (row["lfv_cases_count"], row["lfv_located_count"], row["located_count"]) == (12, 12, 12)
    assert row["boundary_bias_index"] is not None
    assert row["lfv_threshold_25th"] is row["lfv_cases_pct"] is None


def test_what_mends_the_published_statistics_stands_beside_them(read_mart):
    """Definitions D.2: BBI* 0.978, 957 of 1251 on a frame that has 3.10 % of the blocks."""
    row = read_pooled(read_mart, "published")
    assert row["null_boundary_bias_index"] == pytest.approx(0.6744384765625, abs=1e-14)
    assert row["null_boundary_ratio"] == pytest.approx(0.74212646484375, abs=1e-14)
    assert row["null_boundary_mended_ratio"] == 0.75
    assert row["centred_boundary_bias_index"] == pytest.approx(0.978, abs=5e-4)
    assert (row["frame_count"], round(100 * row["frame_ratio"], 1)) == (957, 76.5)
    assert row["frame_log10_p"] is row["frame_p_value"] is None
    (own,) = read_mart(
        "select * from mart_lfv_proof where source_id = 'published' and population = 'per_model'"
    )
    terms = stats.binom.logpmf(np.arange(957, 1252), 1251, 508 / 16384)
    log10_p = np.logaddexp.reduce(terms) / np.log(10)
    assert own["frame_log10_p"] == pytest.approx(log10_p, rel=1e-10)
    assert own["frame_p_value"] < 1e-307
