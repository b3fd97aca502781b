"""The multiverse of the axis, recomputed from pixels with NumPy and scikit-learn."""

import itertools

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long

Q, C1, C2 = 1 / 12, 6.5025, 58.5225
SPACES = {
    "phi5": ["luminance", "contrast", "gain_2", "gain_4", "gain_8"],
    "phi6": ["luminance", "contrast", "structure", "decorrelation", "gain", "error"],
    "phi3": ["luminance", "contrast", "structure"],
}
KEYS = ["feature_space", "is_scaled", "basis", "origin", "axis_sign"]
JUDGED = ("sharp", "texture", "noise", "block", "ring")


def average(blocks, cell):
    means = blocks.reshape(-1, 8 // cell, cell, 8 // cell, cell).mean(axis=(2, 4))
    return means.repeat(cell, axis=1).repeat(cell, axis=2)


def find_energy(blocks, scale):
    return ((average(blocks, scale // 2) - average(blocks, scale)) ** 2).mean(axis=(1, 2))


def find_features(x, y):
    """Every feature of blocks of 8 x 8 px, as definitions E.3 and E.10 write them."""
    mx, my, vx, vy = (found((1, 2)) for found in (x.mean, y.mean, x.var, y.var))
    covariance = (x * y).mean((1, 2)) - mx * my
    sx, sy = np.sqrt(vx), np.sqrt(vy)
    structure = (covariance + C2 / 2) / (sx * sy + C2 / 2)
    flat = sx * sy <= 1e-9
    correlation = np.where(flat, (vx < 1e-9) & (vy < 1e-9), covariance / np.where(flat, 1, sx * sy))
    features = {
        "luminance": (my - mx) / np.sqrt(mx**2 + my**2 + C1),
        "contrast": (sy - sx) / np.sqrt(vx + vy + C2),
        "structure": np.sqrt(np.maximum(0, 1 - structure)),
        "decorrelation": 1 - correlation,
        "gain": np.log((vy + Q) / (vx + Q)),
        "error": np.log(((y - x).var((1, 2)) + Q) / (vx + Q)),
    }
    for scale in (2, 4, 8):
        energies = [find_energy(side, scale) for side in (x, y)]
        features[f"gain_{scale}"] = np.log((energies[1] + Q) / (energies[0] + Q))
    return {name: values.round(6) for name, values in features.items()}


def cut(path):
    grey = np.asarray(Image.open(path).convert("L")).astype(float)
    rows, cols = grey.shape[0] // 8, grey.shape[1] // 8
    return grey.reshape(rows, 8, cols, 8).swapaxes(1, 2).reshape(-1, 8, 8)


@pytest.fixture(scope="module")
def study(controlled):
    return controlled


@pytest.fixture(scope="module")
def read(study):
    def run(sql):
        with open_warehouse(study.warehouse) as connection:
            frame = connection.sql(sql).pl()
        return frame.with_columns(pl.selectors.decimal().cast(pl.Float64))

    return run


@pytest.fixture(scope="module")
def features(study):
    """Give every model's features, blocks in the order of images and raster."""
    images = sorted(path.name for path in study.references.iterdir())
    x = np.concatenate([cut(study.references / name) for name in images])
    return {
        model.model_id: find_features(x, np.concatenate([cut(model.notta / n) for n in images]))
        for model in study.models
    }


@pytest.fixture(scope="module")
def mart(read):
    rows = read("select * from mart_axis1_multiverse")
    return {
        (row["model_id"], *(row[key] for key in KEYS)): row for row in rows.iter_rows(named=True)
    }


@pytest.fixture(scope="module")
def components(read, study):
    """Give each model's components in robust spreads, images in the order of their names."""
    scales = dict(
        read("select distinct component, robust_sd from mart_direction_components").rows()
    )
    columns = ", ".join(f"d_{name}_notta as {name}" for name in JUDGED)
    rows = read(
        f"select model_id, image_id, {columns} from fct_blocks"
        " order by model_id, image_id, block_row, block_col"
    )
    found = {}
    for model in study.models:
        mine = rows.filter(model_id=model.model_id)
        found[model.model_id] = {n: mine[n].to_numpy() / scales[n] for n in JUDGED}
        found[model.model_id]["image"] = mine["image_id"].to_numpy()
    return found


def stack(features, models, space):
    return np.concatenate(
        [np.column_stack([features[model][name] for name in SPACES[space]]) for model in models]
    )


def fit(x, is_scaled):
    """First axis by scikit-learn as (weights as returned, mean, gap), for unscaled features."""
    scale = x.std(axis=0, ddof=1) if is_scaled else np.ones(x.shape[1])
    scale = np.where(x.std(axis=0) < 1e-6, np.inf, scale)
    found = PCA().fit(x / scale)
    ratio = found.explained_variance_[0] / found.explained_variance_[1]
    return found.components_[0] / scale, found.components_[0], x.mean(axis=0), ratio


def fit_standard(repository, is_scaled):
    """The standard basis, of its own correlations."""
    seed = pl.read_csv(repository / "dbt_project/seeds/standard_basis.csv")
    loadings = seed["loading"].to_numpy().reshape(5, 5)
    scale, mean = (seed.filter(component=1)[n].to_numpy() for n in ("scale", "feature_mean"))
    eigenvalues = seed.filter(position=1)["eigenvalue"].to_numpy()
    if is_scaled:
        return loadings[0] / scale, loadings[0], mean, eigenvalues[0] / eigenvalues[1]
    covariance = np.diag(scale) @ loadings.T @ np.diag(eigenvalues) @ loadings @ np.diag(scale)
    values, vectors = np.linalg.eigh(covariance)
    axis = vectors[:, -1] * np.sign(vectors[np.abs(vectors[:, -1]).argmax(), -1])
    return axis, axis, mean, values[-1] / values[-2]


@pytest.fixture(scope="module")
def axes(study, features, repository):
    """Give every axis: (model, space, is_scaled, basis) to weights as returned, anchor's sign,
    mean, gap and |cos| with the model's own."""
    found = {}
    for space, is_scaled in itertools.product(SPACES, (True, False)):
        pooled = fit(stack(features, study.axis_models, space), is_scaled)
        shared = {"pooled": pooled}
        if space == "phi5":
            shared["standard"] = fit_standard(repository, is_scaled)
        for model in features:
            own = fit(stack(features, [model], space), is_scaled)
            for basis, (weights, loadings, mean, gap) in {**shared, "own": own}.items():
                anchor = loadings[1] if abs(loadings[1]) >= 0.2 else max(loadings, key=abs)
                cosine = abs(loadings @ own[1])
                found[model, space, is_scaled, basis] = weights, np.sign(anchor), mean, gap, cosine
    return found


def test_there_is_a_row_for_every_choice_and_it_says_why_there_is_no_type(mart, study):
    assert len(mart) == len(study.models) * 3 * 2 * 3 * 2 * 2
    for key, row in mart.items():
        if row["basis"] == "standard" and row["feature_space"] != "phi5":
            assert row["reason"] == "this feature space has no standard basis"
            values = {name: row[name] for name in row if name not in ("model_id", "reason", *KEYS)}
            assert values.pop("axis1_type") == values.pop("contrast_type") == "not identifiable"
            assert not values.pop("is_scoring")
            assert not values.pop("is_turned")
            assert set(values.values()) == {None}, key
        else:
            assert row["eigenvalue_gap"] > 0
            assert row["positive_count"] + row["negative_count"] <= 6 * 4096


def test_every_axis_is_scikit_learns(mart, axes):
    turned = 0
    for (model, *axis), (_, anchor, _, gap, cosine) in axes.items():
        for sign in ("anchored", "returned"):
            row = mart[model, *axis, "zero", sign]
            assert row["eigenvalue_gap"] == pytest.approx(gap, rel=1e-4)
            assert row["own_axis_alignment"] == pytest.approx(cosine, abs=1e-4)
            assert row["is_turned"] == (sign == "returned" and anchor < 0)
            turned += row["is_turned"]
    assert turned > 0


def test_both_sides_of_every_choice_are_those_of_naive_scores(mart, axes, features, components):
    for (model, space, is_scaled, basis), (weights, anchor, mean, *_) in axes.items():
        raw = stack(features, [model], space) @ weights
        for origin, sign in itertools.product(("zero", "mean"), ("anchored", "returned")):
            score = raw - (mean @ weights if origin == "mean" else 0)
            score = score * (anchor if sign == "anchored" else 1)
            row = mart[model, space, is_scaled, basis, origin, sign]
            sides = {"positive": score > 5e-7, "negative": score < -5e-7}
            for side, members in sides.items():
                # Where scores are that near 0, the last digit of a loading decides.
                assert row[f"{side}_count"] == pytest.approx(members.sum(), abs=3)
                if row[f"{side}_count"] > 1000:
                    means = {n: np.nanmean(components[model][n][members]) for n in JUDGED}
                    artefact = (means["block"] - means["texture"]) / 2
                    assert row[f"{side}_sharpness"] == pytest.approx(means["sharp"], abs=2e-3)
                    assert row[f"{side}_artefact"] == pytest.approx(artefact, abs=2e-3)


def test_intervals_are_of_the_same_bootstrap_under_every_choice(
    mart, axes, features, components, draws, stretch
):
    model = "upscayl_digital"
    images = np.unique(components[model]["image"], return_inverse=True)[1]
    for space, is_scaled, basis in itertools.product(SPACES, (True, False), ("pooled", "own")):
        weights, anchor, mean, *_ = axes[model, space, is_scaled, basis]
        score = (stack(features, [model], space) - mean) @ weights * anchor
        row = mart[model, space, is_scaled, basis, "mean", "anchored"]
        means = {}
        for name, side in itertools.product(JUDGED, (1, -1)):
            values = components[model][name]
            member = (np.sign(score.round(6)) == side) & ~np.isnan(values)
            total = np.bincount(images[member], values[member], 6)
            count = np.bincount(images[member], minlength=6)
            means[name, side] = total[draws].sum(1) / count[draws].sum(1)
        contrast = {name: means[name, 1] - means[name, -1] for name in JUDGED}
        replicates = {
            "positive_sharpness": means["sharp", 1],
            "negative_artefact": (means["block", -1] - means["texture", -1]) / 2,
            "contrast_sharpness": contrast["sharp"],
            "contrast_artefact": (contrast["ring"] + contrast["block"] - contrast["texture"]) / 3,
        }
        for name, values in replicates.items():
            ends = stretch(row[name], np.quantile(values, [0.025, 0.975]), 6)
            found = row[f"{name}_low"], row[f"{name}_high"]
            assert found == pytest.approx(ends, abs=2e-3), (space, is_scaled, basis, name)


def test_types_follow_from_the_sides_and_contrasts_of_their_row(mart):
    seen = set()
    for row in mart.values():
        if row["cluster_count"] is None:
            continue
        contrasts = row["contrast_sharpness"], row["contrast_artefact"]
        if None in contrasts or row["eigenvalue_gap"] < 1.05:
            expected = "not identifiable"
        elif contrasts[0] <= 0 or contrasts[1] == 0:
            expected = "mixed"
        else:
            expected = "A" if contrasts[1] > 0 else "B"
        assert row["contrast_type"] == expected
        if expected == "not identifiable" or row["own_axis_alignment"] < 0.9:
            assert row["axis1_type"] == "not identifiable"
            continue

        def holds(name, sign, row=row):
            end = row[f"{name}_low" if sign > 0 else f"{name}_high"]
            return sign * row[name] > 0 and (end is None or sign * end > 0)

        grain = row["positive_noise"] > 2 * row["positive_sharpness"]
        if holds("positive_artefact", 1) and holds("negative_sharpness", -1):
            expected = "A"
        elif holds("positive_sharpness", 1) and holds("negative_artefact", 1) and not grain:
            expected = "B"
        else:
            expected = "mixed"
        assert row["axis1_type"] == expected
        seen.add((row["axis1_type"], row["contrast_type"]))
    assert {("A", "B"), ("mixed", "B"), ("mixed", "A")} <= seen


def test_the_choice_that_scores_is_the_mart_of_types(mart, read):
    scoring = {row["model_id"]: row for row in mart.values() if row["is_scoring"]}
    types = {row["model_id"]: row for row in read("select * from mart_axis1_types").to_dicts()}
    assert scoring.keys() == types.keys()
    names = {"contrast_sharpness": "contrast_sharp", "contrast_artefact": "contrast_artefact"}
    names |= {"contrast_sharpness_low": "sharpness_low", "contrast_artefact_high": "artefact_high"}
    sides = itertools.product(
        ("positive", "negative"), ("sharpness", "artefact"), ("", "_low", "_high")
    )
    for side, level, end in sides:
        names[f"{side}_{level}{end}"] = f"{side}_{level}{end}"
    for model, row in scoring.items():
        for name in ("axis1_type", "is_supported", "reason", "cluster_count", "positive_count"):
            assert row[name] == types[model][name]
        for name, other in names.items():
            assert row[name] == pytest.approx(types[model][other], abs=1e-9)


def test_controls_come_out_as_they_were_made(mart):
    standard = [key for key in mart if key[1:4] == ("phi5", True, "standard")]
    zero = {key[0]: mart[key] for key in standard if key[4:] == ("zero", "anchored")}
    assert zero["unsharp"]["axis1_type"] == "B"
    assert zero["jpeg"]["axis1_type"] == "A"
    # Wherever unsharp has a type, its positive side gained sharpness and lost no texture to it.
    for row in mart.values():
        if row["model_id"] == "unsharp" and row["positive_sharpness"] is not None:
            assert row["axis1_type"] != "A"
