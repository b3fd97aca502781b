"""The basis and the scores, against scikit-learn and the equations written naively."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

FEATURES = ("luminance", "contrast", "gain_2", "gain_4", "gain_8")
C1, C2, Q = 6.5025, 58.5225, 1 / 12


def measure_energy(x, side):
    """Haar energy per pixel at cells of `side` px, one block a row."""

    def average(cell):
        tiles = x.reshape(-1, 8 // cell, cell, 8 // cell, cell)
        return tiles.mean(axis=(2, 4)).repeat(cell, axis=1).repeat(cell, axis=2)

    return ((average(side // 2) - average(side)) ** 2).mean(axis=(1, 2))


def compute_features(x, y):
    """Definitions E.3, one block a row, in the words of the equations."""
    mean_x, mean_y = x.mean(1), y.mean(1)
    sd_x, sd_y = x.std(1), y.std(1)
    columns = (
        (mean_y - mean_x) / np.sqrt(mean_x**2 + mean_y**2 + C1),
        (sd_y - sd_x) / np.sqrt(sd_x**2 + sd_y**2 + C2),
        *(
            np.log((measure_energy(y, side) + Q) / (measure_energy(x, side) + Q))
            for side in (2, 4, 8)
        ),
    )
    return np.round(np.stack(columns, axis=1), 6)


@pytest.fixture(scope="module")
def features(sample_study, read_blocks):
    """Give the naive features of every notta block, by model, images in name order."""
    names = sorted(file.stem for file in sample_study.references.iterdir())
    return {
        model.model_id: np.concatenate(
            [compute_features(read_blocks(n), read_blocks(n, model.model_id)) for n in names]
        )
        for model in sample_study.models
    }


def fit(matrix):
    """Return scikit-learn's eigenvalues and rows of loadings on the correlation matrix."""
    scaled = (matrix - matrix.mean(0)) / matrix.std(0, ddof=1)
    result = PCA(svd_solver="full").fit(scaled)
    return result.explained_variance_, result.components_


def read_basis(query, basis_id):
    frame = query(
        f"select * from mart_pca_basis where basis_id = '{basis_id}'"
        " order by pc_number, feature_number"
    )
    return frame, frame["loading"].to_numpy().reshape(5, 5)


def test_the_pooled_basis_is_scikit_learns(query, features):
    frame, loadings = read_basis(query, "pooled")
    matrix = np.concatenate(list(features.values()))
    eigenvalues, components = fit(matrix)
    for row, expected in zip(loadings, components, strict=True):
        assert np.allclose(row, np.sign(row @ expected) * expected, rtol=0, atol=1e-9)
    assert np.allclose(frame["eigenvalue"].to_numpy()[::5], eigenvalues, rtol=1e-9)
    assert np.allclose(frame["scale"].to_numpy()[:5], matrix.std(0, ddof=1), rtol=1e-9)
    assert np.allclose(frame["feature_mean"].to_numpy()[:5], matrix.mean(0), atol=1e-9)
    assert tuple(frame["feature"][:5]) == FEATURES


def test_each_models_own_basis_is_scikit_learns(query, features):
    for model_id, matrix in features.items():
        frame, loadings = read_basis(query, f"model:{model_id}")
        eigenvalues, components = fit(matrix)
        assert np.allclose(frame["eigenvalue"].to_numpy()[::5], eigenvalues, rtol=1e-9)
        first = loadings[0]
        assert np.allclose(first, np.sign(first @ components[0]) * components[0], atol=1e-9)


def test_the_sign_follows_the_anchor_rule(query):
    for basis_id in query("select distinct basis_id from mart_pca_basis")["basis_id"]:
        _, loadings = read_basis(query, basis_id)
        for row in loadings:
            anchor = row[1] if abs(row[1]) >= 0.2 else row[np.argmax(np.abs(row))]
            assert anchor > 0


def test_the_alignment_is_the_cosine_with_the_vector_that_scores(query):
    _, scoring = read_basis(query, "standard-1")
    for basis_id in ("pooled", "model:upscayl_digital"):
        frame, own = read_basis(query, basis_id)
        expected = np.abs((own * scoring).sum(1))
        assert np.allclose(frame["alignment"].to_numpy()[::5], expected, atol=1e-12)
    (row,) = query("select axis_basis, axis_alignment from dim_study").rows()
    _, pooled = read_basis(query, "pooled")
    assert row == ("standard-1", pytest.approx(abs(pooled[0] @ scoring[0]), abs=1e-12))


def test_scores_and_axis_are_the_visible_dot_product(query, features, blocks):
    frame, _ = read_basis(query, "standard-1")
    weights = frame["weight"].to_numpy()[:5]
    for model_id, matrix in features.items():
        rows = blocks.filter(blocks["model_id"] == model_id)
        score = matrix @ weights
        assert np.allclose(rows["pc1_notta"].to_numpy(), score, rtol=0, atol=2e-6)
        found = rows["axis1_notta"].to_numpy()
        assert np.allclose(found, np.sign(score) * np.log1p(np.abs(score)), rtol=0, atol=2e-6)
        signs = {"positive": 1.0, "negative": -1.0, "zero": 0.0}
        assert [signs[polarity] for polarity in rows["polarity_notta"]] == list(np.sign(found))


def test_a_models_scores_do_not_change_its_neighbours_file_order(query, blocks):
    """Rows lie in the warehouse in the order model, image, block: no sort finds one image."""
    stored = query("select model_id, image_id, block_row, block_col from fct_blocks")
    assert stored.rows() == blocks.select(stored.columns).rows()
