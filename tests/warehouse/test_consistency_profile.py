"""mart_consistency_profile where the residual was planted: at seams, at the frame, nowhere."""

from collections import defaultdict

import cv2
import numpy as np
import pytest

from tests.warehouse.fidelity.conftest import draw
from tests.warehouse.fidelity.test_frame import find_seam, find_side
from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long

SIDE, TILE_PX, IMAGES, PATIENTS = 256, 64, 12, 9
MODELS = {
    "bicubic": ("notta",),
    "tiled": ("notta", "tta"),
    "framed": ("notta",),
    "scattered": ("notta",),
    "perfect": ("notta",),
}
QUANTITIES = ("lr_contradicted_ratio", "lr_rms_dn")
PLACES = {"frame": None, "seam": 0, "between_seams": TILE_PX // 2}


def plant(model_id, inference_path, reference, generator):
    """A reference whose residual is where the model's name says."""
    if model_id == "perfect":
        return reference
    restored, rows = reference.astype(float), np.arange(SIDE)
    # Every model contradicts here and there, wherever that falls.
    for top, left in generator.integers(0, SIDE - 4, (40, 2)):
        restored[top : top + 4, left : left + 4] += 12
    if model_id == "tiled":
        near = (rows + 2) % TILE_PX < 4
        near &= (rows > 8) & (rows < SIDE - 8)
        at_seam = near[:, None] | near[None, :]
        restored[at_seam] += 8 if inference_path == "notta" else 3
    if model_id == "framed":
        restored[:, :8] += 8
        restored[:, -8:] += 8
    return np.clip(np.rint(restored), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def read(new_study_folder, tmp_path_factory):
    """Give a function from SQL to a list of dicts, on the planted study."""
    folder = new_study_folder(tmp_path_factory.mktemp("planted") / "study")
    for model_id, paths in MODELS.items():
        folder.add_model(model_id, paths)
    for number in range(IMAGES):
        generator = np.random.default_rng([16, number])
        smooth = cv2.GaussianBlur(generator.normal(128, 300, (SIDE, SIDE)), (0, 0), 3)
        reference = np.clip(smooth, 60, 190).astype(np.uint8)
        name = f"{number % PATIENTS + 1:08}_{number // PATIENTS:03}.png"
        folder.put(name, reference)
        for model_id, paths in MODELS.items():
            for path in paths:
                folder.put(name, plant(model_id, path, reference, generator), model_id, path)
    study = folder.load(
        parameters=f"tile_px = {TILE_PX}", labels='[lr]\nrule = "antialiased"\nscale = 2\n'
    )
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    with open_warehouse(study.warehouse) as connection:

        def run(sql):
            query = connection.sql(sql)
            return [dict(zip(query.columns, row, strict=True)) for row in query.fetchall()]

        yield run


@pytest.fixture(scope="module")
def profile(read):
    return {
        (row["model_id"], row["inference_path"], row["place"], row["quantity"]): row
        for row in read("select * from mart_consistency_profile")
    }


def find_sides(place, row, col):
    """Near, far or neither, of a block of a square grid."""
    blocks = SIDE // 8
    depth, _ = find_side(row, col, blocks, blocks)
    if place == "frame":
        return "near" if depth == 0 else "far" if depth >= 4 else None
    if depth < 4:
        return None
    # As seen from a corner so far above that its grid has a seam where the moved one begins.
    shift = (TILE_PX - PLACES[place]) % TILE_PX
    moved = find_seam(row + shift // 8, col + shift // 8, SIDE + shift, SIDE + shift, TILE_PX)
    return "near" if moved == 0 else "far"


def test_every_row_is_that_of_a_bootstrap_written_by_hand(read, profile, stretch):
    facts = read("select * from fct_blocks")
    weights = draw(range(PATIENTS))
    sums = defaultdict(lambda: np.zeros((PATIENTS, 2)))
    for fact in facts:
        patient = int(fact["image_id"][:8]) - 1
        for place in PLACES:
            side = find_sides(place, fact["block_row"], fact["block_col"])
            for path in MODELS[fact["model_id"]]:
                if side is None or not fact[f"lr_judged_px_{path}"]:
                    continue
                values = fact[f"lr_contradicted_px_{path}"] > 0, fact[f"lr_rms_dn_{path}"]
                for quantity, value in zip(QUANTITIES, values, strict=True):
                    key = fact["model_id"], path, place, quantity, side
                    sums[key][patient] += float(value), 1
    assert set(profile) == {key[:4] for key in sums}

    def contrast(*key):
        means, drawn = [], []
        for side in ("near", "far"):
            total, count = sums[(*key, side)].T
            means.append(total.sum() / count.sum())
            drawn.append(weights @ total / (weights @ count))
        return means, means[0] - means[1], drawn[0] - drawn[1]

    for key, row in profile.items():
        (near, far), difference, drawn = contrast(*key)
        assert (row["near_mean"], row["far_mean"]) == pytest.approx((near, far), abs=1e-9)
        assert row["difference"] == pytest.approx(difference, abs=1e-9)
        assert row["near_block_count"] == sums[(*key, "near")][:, 1].sum()
        assert (row["cluster_unit"], row["cluster_count"]) == ("patient", PATIENTS)
        if key[0] == "perfect" and key[3] == "lr_contradicted_ratio":
            assert (row["near_mean"], row["far_mean"]) == (0, 0)
            assert (row["difference_low"], row["difference_high"]) == (None, None)
            continue
        assert row["tile_px"] == (None if key[2] == "frame" else TILE_PX)
        most = 1 if key[3] == "lr_contradicted_ratio" else np.inf
        ends = np.quantile(drawn, [0.025, 0.975])
        expected = stretch(difference, ends, PATIENTS, -most, most)
        found = row["difference_low"], row["difference_high"]
        assert found == pytest.approx(expected, abs=1e-9)
        if key[0] == "bicubic":
            assert [row["excess"], row["excess_cluster_count"]] == [None, 0]
            continue
        _, base, base_drawn = contrast("bicubic", "notta", *key[2:])
        assert row["excess"] == pytest.approx(difference - base, abs=1e-9)
        ends = np.quantile(drawn - base_drawn, [0.025, 0.975])
        expected = stretch(difference - base, ends, PATIENTS, -2 * most, 2 * most)
        assert (row["excess_low"], row["excess_high"]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("path", ["notta", "tta"])
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_residual_at_seams_is_found_there_and_not_between_them(profile, path, quantity):
    seam = profile["tiled", path, "seam", quantity]
    assert seam["difference_low"] > 0
    assert seam["excess_low"] > 0
    assert profile["tiled", path, "between_seams", quantity]["difference_high"] < 0
    assert profile["tiled", path, "seam", "lr_contradicted_ratio"]["near_mean"] > 0.9


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_residual_at_the_frame_is_found_there_and_at_no_seam(profile, quantity):
    frame = profile["framed", "notta", "frame", quantity]
    assert frame["excess_low"] > 0
    for place in ("seam", "between_seams"):
        row = profile["framed", "notta", place, quantity]
        assert abs(row["excess"]) < 0.1 * frame["excess"], place


def test_where_nothing_was_planted_nothing_is_found(profile):
    found = []
    for model_id, place in (
        ("bicubic", "seam"),
        ("bicubic", "between_seams"),
        ("scattered", "seam"),
        ("scattered", "between_seams"),
        ("scattered", "frame"),
    ):
        # Blocks at the frame have fewer judged LR pixels, and so fewer are contradicted, here too.
        name = "excess" if place == "frame" else "difference"
        for quantity in QUANTITIES:
            row = profile[model_id, "notta", place, quantity]
            planted = profile["tiled", "notta", "seam", quantity]
            # There is a residual to be found, only no more of it here than there.
            assert row["near_mean"] > 0
            assert abs(row[name]) < 0.1 * planted["difference"]
            if not row[f"{name}_low"] <= 0 <= row[f"{name}_high"]:
                found.append((model_id, place, quantity))
    # Of ten intervals of 95 % one may leave 0.
    assert len(found) <= 1, found


def test_the_cookbook_sets_a_seam_beside_its_control(read, repository):
    sql = (repository / "analysis/cookbook/where_the_residual_lies.sql").read_text()
    (row,) = [
        row
        for row in read(sql.rstrip().rstrip(";"))
        if (row["model_id"], row["inference_path"], row["place"]) == ("tiled", "notta", "seam")
        and row["quantity"] == "lr_contradicted_ratio"
    ]
    assert row["control_difference"] < 0 < row["difference_low"]
