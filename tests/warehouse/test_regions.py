"""Regions and tenths of content: every table against pixels, SciPy and a bootstrap-free oracle.

Twenty-one films of eighteen patients, a black border at the left, and two structures in label
images: some of half the size, one missing, one cut in half, one of another shape, one of no film.
"""

import csv
import hashlib
from collections import defaultdict

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, optimize, stats

from upscale_audit.analysis.figures.regions import draw_regions, plan_region_figures
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse

pytestmark = pytest.mark.long

SHAPE = (64, 76)
NAMES = [
    f"{patient:08}_{number:03}" for patient in range(1, 19) for number in range(1 + (patient < 4))
]
MISSING, HALF, WIDE, SMALL = NAMES[-1], NAMES[-2], NAMES[-3], NAMES[::4]
UNUSED = {MISSING: "missing", HALF: "truncated", WIDE: "size_mismatch"}
REGIONS = ("background", "outside", "nodule", "lung")
LABELS = '[regions]\nfolder = "masks"\nlabels = { 2 = "nodule", 1 = "lung" }\n'
QUANTITIES = (
    "mse_dn2",
    "invented_dn2",
    "lost_dn2",
    "exaggerated_dn2",
    "shifted_dn2",
    "local_ssim",
    "axis1",
    "d_sharp",
    "d_texture",
    "d_hf",
    "d_noise",
    "d_block",
    "d_mu",
)


def draw_reference(name):
    generator = np.random.default_rng(int(name.replace("_", "")))
    smooth = ndimage.gaussian_filter(generator.standard_normal(SHAPE), 1.5)
    strength = np.linspace(5, 60, SHAPE[0])[:, None]
    reference = 120 + strength * smooth / smooth.std()
    reference[:, : 14 + int(generator.integers(0, 8))] = 10
    return np.clip(np.round(reference), 0, 255).astype(np.uint8)


def draw_mask(name):
    """A lung of most of the middle, a nodule that overlaps it, at odd places."""
    generator = np.random.default_rng([7, int(name.replace("_", ""))])
    rows, cols = np.indices(SHAPE)
    top, left = generator.integers(0, 9, 2)
    lung = (abs(rows - 30 - top) < 21) & (abs(cols - 42 - left) < 17)
    nodule = (rows - 40) ** 2 + (cols - 50 - left) ** 2 < 90
    return np.where(nodule, 2, np.where(lung, 1, 0)).astype(np.uint8)


def restore(model_id, path, name, reference, mask):
    digest = hashlib.sha256(f"{model_id}{path}{name}".encode()).digest()
    generator = np.random.default_rng(int.from_bytes(digest[:4], "big"))
    noise = generator.standard_normal(SHAPE)
    if model_id == "bicubic":
        restored = ndimage.uniform_filter(reference.astype(float), 3) + noise
    else:
        restored = reference + (3 if path == "notta" else 2) * noise * (1 + 2 * (mask == 1))
    return np.clip(np.round(restored), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def study(new_study_folder, tmp_path_factory):
    folder = new_study_folder(tmp_path_factory.mktemp("regions") / "study")
    folder.add_model("bicubic", ("notta",))
    folder.add_model("sharp")
    masks = folder.root / "masks"
    masks.mkdir()
    for name in NAMES:
        reference, mask = draw_reference(name), draw_mask(name)
        folder.put(f"{name}.png", reference)
        for model_id, paths in folder.models.items():
            for path in paths:
                pixels = restore(model_id, path, name, reference, mask)
                folder.put(f"{name}.png", pixels, model_id, path)
        if name != MISSING:
            saved = mask[::2, ::2] if name in SMALL else mask.T if name == WIDE else mask
            Image.fromarray(np.ascontiguousarray(saved)).save(masks / f"{name}.png")
    half = (masks / f"{HALF}.png").read_bytes()
    (masks / f"{HALF}.png").write_bytes(half[: len(half) // 2])
    Image.fromarray(draw_mask("1_1")).save(masks / "stranger.png")
    folder.load()
    with folder.root.joinpath("study.toml").open("a") as file:
        file.write(LABELS)
    study = load_study(folder.root / "study.toml")
    report = ingest_study(study, workers=1)
    assert {(row["file_name"], row["reason"]) for row in report.rejects} == {
        (f"{HALF}.png", "truncated"),
        (f"{WIDE}.png", "size_mismatch"),
        ("stranger.png", "no_reference"),
    }
    build_warehouse(study)
    return study


@pytest.fixture(scope="module")
def ask(study):
    with open_warehouse(study.warehouse) as connection:

        def query(sql):
            rows = connection.sql(sql)
            return [dict(zip(rows.columns, row, strict=True)) for row in rows.fetchall()]

        yield query


@pytest.fixture(scope="module")
def regions():
    """Region and covered share of every block, pixel by pixel, by image and place."""
    found = {}
    for name in NAMES:
        if name in UNUSED:
            continue
        mask, reference = draw_mask(name), draw_reference(name)
        if name in SMALL:  # the nearest pixel of every second one
            small = mask[::2, ::2]
            mask = small[np.arange(SHAPE[0])[:, None] // 2, np.arange(SHAPE[1]) // 2]
        whole = reference[:, :72].reshape(8, 8, 9, 8).astype(float)
        dark = (whole.mean((1, 3)) <= 32) & (whole.var((1, 3)) <= 25)
        labels, _ = ndimage.label(dark)
        frame = np.ones_like(dark)
        frame[2:-2, 2:-2] = False
        background = np.isin(labels, np.unique(labels[frame & dark]))
        for row, col in np.ndindex(8, 10):
            pixels = mask[8 * row : 8 * row + 8, 8 * col : 8 * col + 8]
            votes = {2: np.sum(pixels == 2), 1: np.sum(pixels == 1), 0: np.sum(pixels == 0)}
            winner = max(votes, key=votes.get)  # the first of equals
            is_dark = background[row, min(col, 8)]
            region = {2: "nodule", 1: "lung", 0: "background" if is_dark else "outside"}[winner]
            found[name, row, col] = region, votes[winner] / pixels.size
    return found


def test_every_block_lies_where_its_pixels_do(ask, regions):
    rows = ask("select * from dim_blocks")
    assert len(rows) == len(NAMES) * 80
    for row in rows:
        name, block_row, block_col = row["image_id"], row["block_row"], row["block_col"]
        expected = regions.get((name, block_row, block_col), (None, None))
        assert (row["region"], row["covered_ratio"]) == expected
        assert (row["left_px"], row["top_px"]) == (8 * block_col, 8 * block_row)
        assert (row["width_px"], row["height_px"]) == (4 if block_col == 9 else 8, 8)
        assert row["is_partial"] == (block_col == 9)
    assert {region for region, _ in regions.values()} == set(REGIONS)
    assert any(0 < share < 1 for _, share in regions.values())


def test_what_became_of_each_mask_is_said(ask):
    rows = {row["image_id"]: row for row in ask("select * from dim_masks")}
    assert {name: row["status"] for name, row in rows.items()} == {
        name: UNUSED.get(name, "used") for name in NAMES
    }
    for name, row in rows.items():
        assert (row["regions_sha256"] is None) == (name in UNUSED)
    assert (rows[SMALL[0]]["mask_width_px"], rows[SMALL[0]]["mask_height_px"]) == (38, 32)
    said = {row["warning"]: row["sentence"] for row in ask("select * from mart_warnings")}
    assert said["mask_missing"].startswith(
        f"1 of 21 images have no mask: they have no regions ({MISSING})"
    )
    assert said["mask_size_mismatch"].startswith("1 of 21 images have a mask of another shape")
    refused = ask("select file_name, reason from mart_rejects where role = 'mask' order by reason")
    assert [row["reason"] for row in refused] == ["no_reference", "size_mismatch", "truncated"]


@pytest.fixture(scope="module")
def areas(ask, regions):
    """Blocks' values by kind, area, model, path, quantity and image."""
    found = defaultdict(lambda: defaultdict(list))
    tau = {row["model_id"]: row["tau"] for row in ask("select model_id, tau from mart_limits")}
    by_image = defaultdict(list)
    for fact in ask("select * from fct_blocks where variance_dn2_reference is not null"):
        by_image[fact["model_id"], fact["image_id"]].append(fact)
    for (model_id, name), facts in by_image.items():
        variances = sorted(fact["variance_dn2_reference"] for fact in facts)
        limits = [variances[-(-len(facts) * k // 10) - 1] for k in range(1, 10)]
        for fact in facts:
            decile = 1 + sum(fact["variance_dn2_reference"] > limit for limit in limits)
            region, _ = regions.get((name, fact["block_row"], fact["block_col"]), (None, None))
            for path in ("notta", "tta"):
                values = {quantity: fact[f"{quantity}_{path}"] for quantity in QUANTITIES}
                if values["mse_dn2"] is None:
                    continue
                values["erroneous_ratio"] = values["mse_dn2"] > 25
                values["extreme_ratio"] = abs(fact[f"pc1_{path}"]) > tau[model_id]
                for quantity, value in values.items():
                    for area in (("region", region), ("content", decile)):
                        found[(*area, model_id, path, quantity)][name].append(float(value))
    return found


def average(values):
    """Patients' means of images' values."""
    patients = defaultdict(list)
    for name, value in values.items():
        patients[name[:8]].append(value)
    return np.array([np.mean(own) for _, own in sorted(patients.items())])


def find_interval(patients):
    """The means that Student's t, corrected as Johnson and Hall do, does not reject."""
    n, mean = len(patients), patients.mean()
    error = patients.std(ddof=1) / np.sqrt(n)
    if n < 15 or error < 1e-11:
        return None, None
    k = np.sum(((patients - mean) / error) ** 3) / (n * (n - 1) * (n - 2))

    def corrected(other):
        t = (mean - other) / error
        return t + k / 6 + k * t**2 / 3 + k**2 * t**3 / 27

    limit = stats.t.ppf(0.975, n - 1)
    ends = [
        optimize.brentq(
            lambda other, at=at: corrected(other) - at, mean - 99 * error, mean + 99 * error
        )
        for at in (limit, -limit)
    ]
    return tuple(ends)


@pytest.mark.parametrize(
    ("table", "kind", "column", "common"),
    [("mart_regions", "region", "region", "outside"), ("mart_content", "content", "decile", 1)],
)
def test_means_differences_and_excesses_are_of_patients(ask, areas, table, kind, column, common):
    rows = ask(f"select * from {table}")
    images = {
        key[1:]: {name: np.mean(own) for name, own in values.items()}
        for key, values in areas.items()
        if key[0] == kind and key[1] is not None
    }
    keys = {(row[column], row["model_id"], row["inference_path"], row["quantity"]) for row in rows}
    assert keys - {key for key in keys if key[3] == "lr_contradicted_ratio"} == images.keys()
    tested = 0
    for row in rows:
        key = row[column], row["model_id"], row["inference_path"], row["quantity"]
        if row["quantity"] == "lr_contradicted_ratio":
            assert (row["mean"], row["cluster_count"]) == (None, 0)
            continue
        own, base = images[key], images.get((common, *key[1:]), {})
        blocks = areas[(kind, *key)]
        assert row["block_count"] == sum(map(len, blocks.values()))
        found = {"mean": own, "difference": {}, "excess": {}}
        if key[0] != common:
            found["difference"] = {
                name: own[name] - base[name] for name in own.keys() & base.keys()
            }
        if (row["model_id"], row["inference_path"]) != ("bicubic", "notta"):
            theirs = images.get((key[0], "bicubic", "notta", key[3]), {})
            common_theirs = images.get((common, "bicubic", "notta", key[3]), {})
            found["excess"] = {
                name: value - (theirs[name] - common_theirs[name])
                for name, value in found["difference"].items()
            }
        for measure, values in found.items():
            patients = average(values)
            count = row["cluster_count" if measure == "mean" else f"{measure}_cluster_count"]
            assert count == len(patients)
            expected = patients.mean() if len(patients) else None
            assert row[measure] == (None if expected is None else pytest.approx(expected, abs=1e-9))
            ends = find_interval(patients) if len(patients) else (None, None)
            if row["quantity"] not in ("erroneous_ratio", "extreme_ratio") or measure != "mean":
                tested += ends[0] is not None
                for end, value in zip(("low", "high"), ends, strict=True):
                    got = row[f"{measure}_{end}"]
                    if value is not None and measure == "mean" and row["quantity"].endswith("dn2"):
                        value = max(value, 0)
                    assert got == (
                        None if value is None else pytest.approx(value, rel=1e-6, abs=1e-8)
                    )
            elif row["mean_low"] is not None:
                assert 0 <= row["mean_low"] <= row["mean"] <= row["mean_high"] <= 1
    assert tested > 50


def test_what_is_damaged_in_the_lungs_alone_is_found_there(ask):
    rows = {
        (row["region"], row["quantity"]): row
        for row in ask(
            "select * from mart_regions where model_id = 'sharp' and inference_path = 'notta'"
        )
    }
    assert rows["lung", "mse_dn2"]["difference_low"] > 20
    assert rows["lung", "invented_dn2"]["excess_low"] > 20
    assert abs(rows["background", "invented_dn2"]["difference"]) < 9
    # White noise is sharp, fine and noisy, and shifts no mean.
    for name in ("d_sharp", "d_hf", "d_noise"):
        assert rows["lung", name]["difference_low"] > 0
    assert rows["lung", "d_mu"]["mean_low"] < 0 < rows["lung", "d_mu"]["mean_high"]


def test_limits_of_tenths_are_means_of_the_references_own(ask):
    limits = defaultdict(list)
    for name in NAMES:
        blocks = draw_reference(name)[:, :72].reshape(8, 8, 9, 8).astype(float)
        variances = np.sort(blocks.var((1, 3)).ravel())
        for number in range(1, 10):
            limits[number].append(variances[-(-len(variances) * number // 10) - 1])
    rows = ask(
        "select distinct model_id, decile, variance_above_dn2, variance_up_to_dn2 from mart_content"
    )
    assert {(row["model_id"], row["decile"]) for row in rows} >= {("sharp", 1), ("bicubic", 10)}
    for row in rows:
        for column, number in (("above", row["decile"] - 1), ("up_to", row["decile"])):
            expected = (
                pytest.approx(np.mean(limits[number]), abs=1e-5) if number in limits else None
            )
            assert row[f"variance_{column}_dn2"] == expected


def test_figures_show_the_means_of_regions_and_are_left_out_where_none_can_be_compared(
    study, sample_study
):
    with Marts(study.warehouse) as marts:
        planned = plan_region_figures(marts)
        assert list(planned) == ["regions_mse_dn2", "regions_invented_dn2", "regions_axis1"]
        chart = draw_regions(marts, "invented_dn2").to_dict()
        rows = marts.rows("select * from mart_regions where quantity = 'invented_dn2'")
    (drawn,) = chart["datasets"].values()
    assert {
        (row["model_id"], row["inference_path"], row["panel"], row["mean"], row["low"])
        for row in drawn
    } == {
        (row["model_id"], row["inference_path"], row["region"], row["mean"], row["mean_low"])
        for row in rows
    }
    assert chart["facet"]["sort"] == ["nodule", "lung", "outside", "background"]
    # All of the sample's crops lie within the body.
    with Marts(sample_study.warehouse) as marts:
        assert plan_region_figures(marts) == {}


def test_a_mask_that_changes_begins_the_next_build_anew_and_an_added_model_does_not(
    study, tmp_path
):
    with open_warehouse(study.warehouse) as connection:
        before = connection.sql("select * from mart_regions order by all").fetchall()
    root = study.path.parent
    text = study.path.read_text()
    extra = '[[models]]\nmodel_id = "twin"\nnotta = "restored/sharp/notta"\n[regions]'
    study.path.write_text(text.replace("[regions]", extra))
    grown = load_study(study.path)
    ingest_study(grown, workers=1)
    assert build_warehouse(grown).reason is None
    with open_warehouse(grown.warehouse) as connection:
        rows = connection.sql("select * from mart_regions order by all").fetchall()
        ((kept,),) = connection.sql(
            "select count(*) from mart_regions where model_id = 'twin'"
        ).fetchall()
    # The axis is the standard one; tau is of the study's models, and so are shares beyond it.
    same = [row for row in rows if row[0] != "twin" and row[3] != "extreme_ratio"]
    assert same == [row for row in before if row[3] != "extreme_ratio"]
    assert kept == len([row for row in before if row[:2] == ("sharp", "notta")])
    name = NAMES[5]
    Image.fromarray(draw_mask(name)[::-1].copy()).save(root / "masks" / f"{name}.png")
    ingest_study(grown, workers=1)
    report = build_warehouse(grown)
    assert report.reason == f"the regions of {name} changed since the last build"


def test_rows_of_a_chexmask_file_are_the_same_as_label_images_of_its_structures(
    new_study_folder, tmp_path
):
    folder = new_study_folder(tmp_path / "study")
    folder.add_model("alpha", ("notta",))
    for name in NAMES[:2]:
        reference = draw_reference(name)
        folder.put(f"{name}.png", reference)
        folder.put(f"{name}.png", reference, "alpha")
    study = folder.load()
    text = study.path.read_text()
    (folder.root / "masks").mkdir()
    lines = [
        ["Image Index", "Dice RCA (Mean)", "Left Lung", "Right Lung", "Heart", "Height", "Width"]
    ]
    for name in NAMES[:2]:
        labels = draw_mask(name)
        Image.fromarray(labels).save(folder.root / "masks" / f"{name}.png")
        runs = [
            " ".join(f"{place + 1} 1" for place in np.flatnonzero(labels.ravel() == value))
            for value in (1, 3, 2)
        ]
        lines.append([f"{name}.png", 0.8, *runs, *SHAPE])
    lines.append(["other.png", 0.8, "", "", "", *SHAPE])
    with open(folder.root / "masks.csv", "w", newline="") as file:
        csv.writer(file).writerows(lines)
    found = []
    for section in (
        '[regions]\nfolder = "masks"\n'
        'labels = { 2 = "heart", 1 = "left lung", 3 = "right lung" }\n',
        '[regions]\nchexmask = "masks.csv"\n',
    ):
        study.path.write_text(text + section)
        ingest_study(load_study(study.path), workers=1)
        raw = study.raw
        found.append([(raw / t / f"{t}.parquet").read_bytes() for t in ("regions", "region_rows")])
    assert found[0] == found[1]
    build_warehouse(load_study(study.path))
    with open_warehouse(study.warehouse) as connection:
        parents = connection.sql(
            "select parent_name from mart_provenance where parent_kind = 'source_file'"
            " and child_name = 'region_rows/region_rows.parquet'"
        ).fetchall()
    assert parents == [("mask/masks.csv",)]
