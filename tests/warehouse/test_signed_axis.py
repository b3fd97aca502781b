"""Properties of the signed axis and the ledger, and what controls of known damage do to them."""

import re
import shutil

import numpy as np
import polars as pl
import pytest

from tests.warehouse.damage import MADE
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.standard import fit_basis, read_moments

pytestmark = pytest.mark.long

SIDE = 800
"""Of the drawn images: 10,000 whole blocks; four columns more are cut by the frame."""

KEYS = ["image_id", "block_row", "block_col"]
KINDS = ("invented", "lost", "exaggerated", "shifted")


def read(study, sql):
    with open_warehouse(study.warehouse) as connection:
        frame = connection.sql(sql).pl()
    return frame.with_columns(pl.selectors.decimal().cast(pl.Float64))


def draw_pair(generator):
    """Two images of blocks of every kind: noise, nearly flat, flat, saturated, alike, opposite."""
    count = (SIDE // 8) ** 2
    shape = (count, 8, 8)
    noise = generator.integers(0, 256, shape)
    faint = generator.integers(0, 256, (count, 1, 1)) + generator.integers(-2, 3, shape)
    flat = np.broadcast_to(generator.integers(0, 256, (count, 1, 1)), shape)
    extreme = 255 * generator.integers(0, 2, shape)
    ramp = flat + generator.normal(0, 9, (count, 8, 1)) * np.arange(8)[:, None]
    kinds = np.array([noise, faint, flat, extreme, ramp])
    x, y = (kinds[generator.integers(0, len(kinds), count), np.arange(count)] for _ in range(2))
    relation = generator.integers(0, 5, count)
    near = x + generator.integers(-3, 4, shape)
    y = np.select(
        [(relation == k)[:, None, None] for k in range(4)],
        [near, 255 - x, x, 1.4 * x - 30],
        y,
    )
    return [_join(np.clip(np.round(side), 0, 255).astype(np.uint8)) for side in (x, y)]


def _join(blocks):
    grid = SIDE // 8
    image = blocks.reshape(grid, grid, 8, 8).swapaxes(1, 2).reshape(SIDE, SIDE)
    return np.pad(image, ((0, 0), (0, 4)), mode="edge")


@pytest.fixture(scope="module")
def pair():
    return draw_pair(np.random.default_rng(14))


@pytest.fixture(scope="module")
def exchanged(new_study_folder, tmp_path_factory, pair):
    """Give a study of three images: x restored as y, y restored as x, and x as it is.

    Its windows are added up in two batches: of two images, and of the third.
    """
    folder = new_study_folder(tmp_path_factory.mktemp("signed") / "study")
    folder.add_model("m")
    x, y = pair
    for name, reference, notta, tta in (("there", x, y, y), ("back", y, x, x), ("same", x, x, y)):
        folder.put(f"{name}.png", reference)
        folder.put(f"{name}.png", notta, "m", "notta")
        folder.put(f"{name}.png", tta, "m", "tta")
    study = folder.load(parameters="image_metrics = false")
    ingest_study(study, workers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UPSCALE_AUDIT_BATCH_ROWS", "15000")
        build_warehouse(study)
    return study


def test_windows_are_added_up_some_images_at_a_time(exchanged):
    (made,) = (exchanged.output / "dbt" / "target" / "run").rglob("int_image_window_ledgers.sql")
    bounds = re.findall(r"block_number (>=|<) (\d+)", made.read_text())
    blocks = (SIDE // 8) * (SIDE // 8 + 1)
    assert bounds == [(">=", "0"), ("<", f"{2 * blocks}"), (">=", f"{2 * blocks}")]


def test_windows_of_a_study_that_grows_are_added_up_once(exchanged, tmp_path, monkeypatch):
    """An image comes, then the model is called otherwise, which adds no block."""
    monkeypatch.setenv("UPSCALE_AUDIT_BATCH_ROWS", "15000")
    root = shutil.copytree(exchanged.path.parent, tmp_path / "grown")
    for path in root.rglob("there.png"):
        shutil.copyfile(path, path.with_name("again.png"))
    text = (root / "study.toml").read_text()
    for label in ("", 'label = "M"\n'):
        (root / "study.toml").write_text(text.replace("[[models]]\n", f"[[models]]\n{label}"))
        study = load_study(root / "study.toml")
        ingest_study(study, workers=1)
        report = build_warehouse(study)
        assert (report.stands, report.reason) == (False, None)
        ledgers = read(study, "select * from intermediate.int_image_window_ledgers")
        assert len(ledgers) == 4 * 2 * 3
        there, again = (
            ledgers.filter(image_id=name).drop("image_id").sort("inference_path", "scale_px")
            for name in ("there", "again")
        )
        assert there.equals(again)


def test_exchanging_reference_and_restored_negates_every_score_exactly(exchanged):
    rows = read(exchanged, "select * from fct_blocks where not is_partial order by all")
    there, back = (rows.filter(image_id=name).sort(KEYS) for name in ("there", "back"))
    assert len(there) == 10_000
    for name in ("pc1", "axis1", "d_mu"):
        for path in ("notta", "tta"):
            found = there[f"{name}_{path}"]
            assert (found == -back[f"{name}_{path}"]).all()
            assert found.abs().max() > 1
    opposite = {"positive": "negative", "negative": "positive", "zero": "zero"}
    assert there["polarity_notta"].replace(opposite).equals(back["polarity_notta"])
    for name in ("mse_dn2", "shifted_dn2"):
        assert (there[f"{name}_notta"] == back[f"{name}_notta"]).all()
    assert set(there["polarity_notta"]) == set(opposite)


def test_a_perfect_block_scores_zero_and_owes_nothing(exchanged):
    rows = read(exchanged, "select * from fct_blocks where image_id = 'same' and not is_partial")
    assert set(rows["polarity_notta"]) == {"zero"}
    for name in ("pc1", "axis1", "mse_dn2", *(f"{kind}_dn2" for kind in KINDS)):
        assert (rows[f"{name}_notta"] == 0).all(), name


def test_the_ledger_adds_up_to_the_last_digit_in_every_block(exchanged):
    parts = " + ".join(f"{kind}_dn2_notta" for kind in KINDS)
    least = ", ".join(f"{kind}_dn2_notta" for kind in KINDS)
    rows = read(
        exchanged,
        f"select count(*) as n, count(*) filter (where {parts} = mse_dn2_notta) as same,"
        f" min(least({least})) as least, count(*) filter (where exaggerated_dn2_notta > 1) as over"
        " from fct_blocks where mse_dn2_notta is not null",
    )
    assert rows["n"].item() == rows["same"].item() == 30_000
    assert rows["least"].item() == 0
    assert rows["over"].item() > 100


def average(tiles, cell):
    """Means over cells, at the tiles' own size; (n, S, S)."""
    size = tiles.shape[1]
    means = tiles.reshape(-1, size // cell, cell, size // cell, cell).mean(axis=(2, 4))
    return means.repeat(cell, axis=1).repeat(cell, axis=2)


def write_ledger(x, y, scale):
    """Definitions E.8 for tiles and one scale: energies per pixel by kind, one a tile."""
    dx, dy = (average(side, scale // 2) - average(side, scale) for side in (x, y))
    xx, yy, xy = ((a * b).mean(axis=(1, 2)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
    gain = np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 0)
    turned, amplitude = gain < 0, (1 - gain) ** 2 * xx
    rest = yy - gain**2 * xx
    return {
        "invented": np.where(turned, rest + (gain**2 - 2 * gain) * xx, rest),
        "lost": np.where(turned, xx, np.where(gain < 1, amplitude, 0)),
        "exaggerated": np.where(gain > 1, amplitude, 0),
    }


def cut(image, side):
    rows, cols = image.shape[0] // side, image.shape[1] // side
    tiles = image[: rows * side, : cols * side].astype(float)
    return tiles.reshape(rows, side, cols, side).swapaxes(1, 2).reshape(-1, side, side)


def test_the_ledger_of_blocks_is_that_of_the_equations(exchanged, pair):
    x, y = (cut(image, 8) for image in pair)
    expected = {kind: np.zeros(len(x)) for kind in KINDS}
    for scale in (2, 4, 8):
        for kind, energy in write_ledger(x, y, scale).items():
            expected[kind] += energy
    expected["shifted"] = (y.mean((1, 2)) - x.mean((1, 2))) ** 2
    rows = read(
        exchanged,
        "select * from fct_blocks where image_id = 'there' and not is_partial"
        " order by block_row, block_col",
    )
    for kind, energy in expected.items():
        np.testing.assert_allclose(rows[f"{kind}_dn2_notta"].to_numpy(), energy, atol=2e-6)


def test_the_ledger_of_a_model_is_that_of_the_equations_at_every_scale(exchanged, pair):
    x, y = pair
    pairs = [(x, y), (y, x), (x, x)]
    rows = read(exchanged, "select * from mart_ledger where inference_path = 'notta'")
    for scale in (2, 4, 8, 16, 32, 64):
        side = 8 if scale <= 8 else 64
        tiles = [[cut(image, side) for image in sides] for sides in pairs]
        ledgers = [write_ledger(*sides, scale) for sides in tiles]
        expected = {kind: np.concatenate([item[kind] for item in ledgers]) for kind in KINDS[:3]}
        if scale == side:
            shift = [(b.mean((1, 2)) - a.mean((1, 2))) ** 2 for a, b in tiles]
            expected["shifted"] = np.concatenate(shift)
        own = rows.filter(scale_px=scale)
        assert set(own["kind"]) == set(expected)
        for kind, energy in expected.items():
            (row,) = own.filter(kind=kind).iter_rows(named=True)
            assert row["energy_dn2"] == pytest.approx(energy.mean(), rel=1e-6)
            assert row["pixel_count"] == energy.size * side * side


def test_mean_variance_and_the_axis_of_both_paths_are_those_of_the_pixels(exchanged, pair):
    rows = read(
        exchanged,
        "select * from fct_blocks where image_id = 'there' and not is_partial"
        " order by block_row, block_col",
    )
    for name, image in zip(("reference", "notta", "tta"), (*pair, pair[1]), strict=True):
        tiles = cut(image, 8)
        np.testing.assert_array_equal(rows[f"mean_dn_{name}"].to_numpy(), tiles.mean((1, 2)))
        found = rows[f"variance_dn2_{name}"].to_numpy()
        np.testing.assert_allclose(found, tiles.var((1, 2)), atol=6e-7)
    assert rows["axis1_notta"].equals(rows["axis1_tta"])


@pytest.mark.parametrize("table", ["fct_blocks", "fct_block_states", "mart_limits"])
def test_controls_move_nothing_of_another_model(sample_study, controlled, table):
    chosen = f"select * from {table} where model_id not in {tuple(MADE)}"
    order = " order by model_id" + (", image_id, block_row, block_col" if "blocks" in table else "")
    if table == "fct_block_states":
        order = " order by model_id, image_id, block_row, block_col"
    before, after = (read(study, chosen + order) for study in (sample_study, controlled))
    assert len(before) == (5 if table == "mart_limits" else 5 * 6 * 64 * 64)
    assert before.equals(after)


def test_controls_do_not_turn_the_studys_own_axis(sample_study, controlled):
    restorers = read_moments(sample_study)
    everyone = read_moments(controlled)
    assert {item.model_id for item in everyone} > {item.model_id for item in restorers}
    before, after = fit_basis(restorers), fit_basis(everyone)
    assert before.loadings[0] @ after.loadings[0] >= 0.99
    pooled = read(
        controlled,
        "select loading from mart_pca_basis where basis_id = 'pooled' and pc_number = 1"
        " order by feature_number",
    )
    # Fitted on the restorers alone, for controls are no models under test.
    np.testing.assert_allclose(pooled["loading"].to_numpy(), before.loadings[0], atol=1e-9)


def test_controls_come_out_as_they_were_made(controlled):
    rows = read(
        controlled,
        "select model_id, avg(cast(polarity_notta = 'positive' as integer)) as positive"
        " from fct_blocks group by model_id",
    )
    share = dict(rows.rows())
    assert share["noise"] > 0.9
    assert share["unsharp"] > 0.9
    assert share["blur"] < 0.1


def test_controls_have_the_types_that_they_were_made_for(sample_study, controlled):
    rows = read(controlled, "select * from mart_axis1_types")
    types = {row["model_id"]: row for row in rows.iter_rows(named=True)}
    unsharp, jpeg, noise, blur = (types[name] for name in ("unsharp", "jpeg", "noise", "blur"))
    assert unsharp["axis1_type"] == "B"
    assert unsharp["positive_sharpness_low"] > 0
    assert unsharp["positive_artefact_high"] < 0
    assert jpeg["axis1_type"] == "A"
    assert jpeg["is_supported"]
    assert "blocking" in jpeg["positive_artefacts"]
    # A Laplacian cannot tell grain from sharpness; noise beside it can.
    assert noise["axis1_type"] == "mixed"
    assert "grain" in noise["reason"]
    assert "noise" in noise["positive_artefacts"]
    assert blur["axis1_type"] == "mixed"
    # No control changes another model's type.
    before = read(sample_study, "select model_id, axis1_type from mart_axis1_types")
    for model_id, axis1_type in before.rows():
        assert types[model_id]["axis1_type"] == axis1_type


def test_contrasts_are_less_those_of_the_control_of_equal_error(controlled):
    rows = read(controlled, "select * from mart_axis1_types")
    types = {row["model_id"]: row for row in rows.iter_rows(named=True)}
    errors = dict(
        read(
            controlled,
            "select model_id, avg(mse_dn2_notta) as error_dn2 from fct_blocks group by model_id",
        ).rows()
    )
    compared = 0
    for model_id, row in types.items():
        ratios = {name: abs(np.log(errors[name] / errors[model_id])) for name in MADE}
        nearest = min(ratios, key=ratios.get)
        assert row["error_dn2"] == pytest.approx(errors[model_id], rel=1e-6)
        if model_id in MADE:
            assert row["no_control_reason"] == "a control itself"
        elif ratios[nearest] > np.log(2):
            assert row["no_control_reason"] == "no control has an error within a factor of two"
        else:
            assert row["control_model_id"] == nearest
            for name, contrast in (("sharpness", "sharp"), ("artefact", "artefact")):
                here, there = (types[m][f"contrast_{contrast}"] for m in (model_id, nearest))
                found = [row[f"excess_{name}{end}"] for end in ("", "_low", "_high")]
                assert found[0] == pytest.approx(here - there, abs=1e-12)
                # Unsharp has blocks on its negative side in two images: too few to resample.
                if min(types[m]["cluster_count"] for m in (model_id, nearest)) < 5:
                    assert found[1] is found[2] is None
                else:
                    assert found[1] <= found[0] <= found[2]
            compared += 1
    assert compared >= 2


def test_red_blocks_gained_contrast_as_the_captions_say(controlled):
    rows = read(
        controlled,
        "select model_id, count(*) as n,"
        " count(*) filter (where variance_dn2_notta > variance_dn2_reference) as grew"
        " from fct_blocks where polarity_notta = 'positive' group by model_id",
    )
    share = {model: grew / n for model, n, grew in rows.rows()}
    assert min(share.values()) > 0.8, share
    assert share["noise"] > 0.97
    assert share["unsharp"] > 0.97
    upscalers = rows.filter(~pl.col("model_id").is_in(list(MADE)))
    assert upscalers["grew"].sum() / upscalers["n"].sum() > 0.95
