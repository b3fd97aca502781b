"""One thing in an image: what its metrics, rules and verdicts say of it, against loops."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.warehouse.known_truth import draw_scene
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.restore.phantom.design import (
    IMAGE_ARMS,
    PhantomParameters,
    list_image_conditions,
)
from upscale_audit.restore.phantom.study import make_phantoms
from upscale_audit.restore.run import restore_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.detectors import write_detectors

pytestmark = pytest.mark.long

PARAMETERS = PhantomParameters(
    arms=IMAGE_ARMS, kinds=("nodule_16", "erase"), contrasts_dn=(0, 16), site_count=4
)
SIDE_PX, PATIENTS = 288, 6
STUDY = """
[study]
name = "whole"
references = "reference"
output = "out"
{more}
[parameters]
baseline_model = "bicubic"
[[models]]
model_id = "bicubic"
notta = "restored/bicubic"
restorer = {{ kind = "bicubic" }}
[lr]
rule = "antialiased"
scale = 2
[[models]]
model_id = "copied"
notta = "copied"
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Make a study of six patients of two images each, restored."""
    root = tmp_path_factory.mktemp("whole")
    for folder in ("reference", "copied"):
        (root / folder).mkdir()
        for number in range(2 * PATIENTS):
            name = f"{1 + number // 2:08d}_{number % 2:03d}.png"
            Image.fromarray(draw_scene(number, SIDE_PX)).save(root / folder / name)
    (root / "study.toml").write_text(STUDY.format(more=""))
    restore_study(load_study(root / "study.toml"), workers=1)
    return root


@pytest.fixture(scope="module")
def copies(root):
    study = load_study(root / "study.toml")
    copies = load_study(make_phantoms(study, root / "phantoms", PARAMETERS, workers=1).study_file)
    ingest_study(copies, workers=1)
    build_warehouse(copies, threads=2)
    return copies


@pytest.fixture(scope="module")
def informed(root, copies):
    """Build the study itself, with what its copies measured."""
    path = write_detectors(copies, root / "whole.detectors.toml", "nodule_16", 16)
    (root / "informed.toml").write_text(STUDY.format(more=f'detectors = "{path.name}"'))
    study = load_study(root / "informed.toml")
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    return study


def read(study, sql):
    with open_warehouse(study.warehouse) as connection:
        return connection.sql(sql).pl().to_dicts()


def by_image(copies):
    """Name what was drawn into each copy of bicubic: (arm, kind, contrast) by image."""
    rows = pq.read_table(copies.phantoms / "injections.parquet").to_pylist()
    return {
        row["image_id"]: (row["arm"], row["kind"], row["contrast_dn"])
        for row in rows
        if row["model_id"] == "bicubic"
    }


def test_a_copy_has_one_condition_once_or_at_every_site(copies):
    rows = pl.from_dicts(pq.read_table(copies.phantoms / "injections.parquet").to_pylist())
    assert [(c.kind, c.contrast_dn) for c in list_image_conditions(PARAMETERS)] == [
        ("nodule_16", 16),
        ("erase", None),
    ]
    for (image_id, _), part in rows.group_by("image_id", "model_id"):
        arms = set(part["arm"])
        assert len(arms) == len(set(part["kind"])) == 1
        folder = copies.path.parent
        shown = np.asarray(Image.open(folder / f"restored/bicubic/notta/{image_id}.png"))
        source = part["source_image_id"][0]
        before = np.asarray(Image.open(folder.parent / f"restored/bicubic/{source}.png"))
        windows = np.zeros(shown.shape, bool)
        for row in part.to_dicts():
            windows[
                row["row_px"] - 36 : row["row_px"] + 36, row["col_px"] - 36 : row["col_px"] + 36
            ] = True
        assert len(part) == (1 if arms == {"alone"} else 4)
        assert (shown == before)[~windows].all()
        if part["model_id"][0] == "bicubic":
            assert (shown != before).any() == (arms != {"sham"})


def test_copies_of_a_film_are_not_said_to_be_one_film(copies):
    rows = read(copies, "from mart_warnings where subject = 'reference'")
    assert [row["warning"] for row in rows] == []


def test_it_is_said_first_that_things_were_drawn_into_images(copies, informed):
    (warning,) = read(copies, "from mart_warnings where warning = 'phantoms'")
    drawn = {name for name, (arm, _, _) in by_image(copies).items() if arm != "sham"}
    (count,) = read(copies, "select count(*) as images from dim_images")
    assert (warning["item_count"], warning["total_count"]) == (len(drawn), count["images"])
    assert warning["example"] == min(drawn)
    assert read(informed, "from mart_warnings where warning = 'phantoms'") == []


def test_copies_of_a_patients_films_are_no_more_patients(copies):
    (counts,) = read(
        copies,
        "select count(*) as images, count(distinct cluster_id) as patients,"
        " min(cluster_unit) as unit from dim_images",
    )
    assert (counts["patients"], counts["unit"]) == (PATIENTS, "patient")
    assert counts["images"] > 2 * PATIENTS
    rows = read(copies, "from mart_model_means where subgroup = 'all' and mean is not null")
    assert rows
    assert {row["cluster_count"] for row in rows} == {PATIENTS}
    assert all(row["cluster_count"] <= PATIENTS for row in read(copies, "from mart_regions"))


def test_no_copy_has_a_part_in_a_threshold(copies, informed):
    query = "from fct_rule_thresholds where source_id = 'images' order by all"
    found, expected = read(copies, query), read(informed, query)
    assert found == expected
    assert {row["population"] for row in found} == {"pooled", "per_model", "frozen"}


def test_areas_of_metrics_are_those_of_loops(copies):
    rows = read(copies, "select * from mart_detectors where model_id = 'bicubic'")
    assert {row["arm"] for row in rows} == set(IMAGE_ARMS)
    drawn = by_image(copies)
    quality = {
        row["image_id"]: row
        for row in read(copies, "from fct_image_quality where model_id = 'bicubic'")
    }
    for row in rows:
        sign = {"value": 1, "negated": -1}[row["reading"]]
        score = {name: sign * facts[row["detector"]] for name, facts in quality.items()}
        key = (row["arm"], row["kind"], row["contrast_dn"])
        here = [score[name] for name, what in drawn.items() if what == key]
        shams = [score[name] for name, what in drawn.items() if what[0] == "sham"]
        area = np.mean([[(a > b) + (a == b) / 2 for b in shams] for a in here])
        assert (row["drawn_count"], row["sham_count"]) == (12, 12)
        assert (row["cluster_unit"], row["cluster_count"]) == ("patient", PATIENTS)
        assert row["auc"] == pytest.approx(area, abs=1e-9)
    # Of a perfect copy, whatever compares sees the first thing that is drawn.
    assert read(
        copies,
        "select distinct auc from mart_detectors where model_id = 'copied' and kind = 'nodule_16'"
        " and (detector, reading) in (('mae', 'value'), ('ssim', 'negated'))",
    ) == [{"auc": 1.0}]


def test_what_rules_find_is_counted(copies):
    drawn = by_image(copies)
    said = {
        (row["rule_set"], row["population"], row["rule_id"], row["image_id"]): row["is_flagged"]
        for row in read(copies, "from fct_rule_flags where model_id = 'bicubic'")
    }
    rows = read(
        copies,
        "from mart_rule_sensitivity where model_id = 'bicubic' and rule_id not in ('any', 'high')",
    )
    assert {row["arm"] for row in rows} == set(IMAGE_ARMS)
    fired = 0
    for row in rows:
        key = (row["rule_set"], row["population"], row["rule_id"])
        what = (row["arm"], row["kind"], row["contrast_dn"])
        here = [said[*key, name] for name, found in drawn.items() if found == what]
        shams = [said[*key, name] for name, found in drawn.items() if found[0] == "sham"]
        assert (row["drawn_count"], row["found_count"]) == (
            sum(flag is not None for flag in here),
            sum(flag is True for flag in here),
        )
        assert (row["sham_count"], row["alarm_count"]) == (
            sum(flag is not None for flag in shams),
            sum(flag is True for flag in shams),
        )
        fired += row["found_count"]
    assert fired
    verdicts = {
        row["image_id"]: row["detection_count"]
        for row in read(
            copies,
            "from fct_verdicts where model_id = 'bicubic' and rule_set = 'v2_current'"
            " and population = 'frozen'",
        )
    }
    for row in read(
        copies,
        "from mart_rule_sensitivity where model_id = 'bicubic' and rule_set = 'v2_current'"
        " and population = 'frozen' and rule_id in ('any', 'high')",
    ):
        least = {"any": 1, "high": 5}[row["rule_id"]]
        what = (row["arm"], row["kind"], row["contrast_dn"])
        here = [verdicts[name] >= least for name, found in drawn.items() if found == what]
        assert row["found_count"] == sum(here)


def test_beside_a_rules_rate_stands_what_it_finds(copies, informed):
    measured = {
        (row["population"], row["model_id"], row["rule_id"]): row
        for row in read(
            copies,
            "from mart_rule_sensitivity where rule_set = 'v2_current' and arm = 'alone'"
            " and kind = 'nodule_16'",
        )
    }
    rows = read(informed, "from mart_flag_rates where source_id = 'images'")
    known = [row for row in rows if row["sensitivity_ratio"] is not None]
    assert len(known) == sum(
        row["drawn_count"] > 0 and row["sham_count"] > 0 for row in measured.values()
    )
    for row in known:
        limit = measured[row["population"], row["model_id"], row["rule_id"]]
        for name in ("sensitivity", "false_alarm"):
            for end in ("", "_low", "_high"):
                assert row[f"{name}{end}_ratio"] == limit[f"{name}{end}_ratio"]
        # The same images, the same thresholds: what it costs is how often it fires.
        assert row["false_alarm_ratio"] == row["flagged_ratio"]
        assert (row["sensitivity_kind"], row["sensitivity_contrast_dn"]) == ("nodule_16", 16)


def test_areas_of_places_in_whole_images_are_those_of_loops(copies):
    blocks = read(
        copies,
        "select model_id, image_id, block_row, block_col, mse_dn2_notta as value from fct_blocks",
    )
    tiles = {}
    for row in blocks:
        image = tiles.setdefault((row["model_id"], row["image_id"]), {})
        tile = row["block_row"] // 8, row["block_col"] // 8
        image[tile] = max(image.get(tile, 0), row["value"])
    injections = pq.read_table(copies.phantoms / "injections.parquet").to_pylist()
    places = pq.read_table(copies.phantoms / "injection_blocks.parquet").to_pylist()
    nothing = {
        model_id: [
            max(image.values())
            for (name, image_id), image in tiles.items()
            if name == model_id and "." not in image_id
        ]
        for model_id in ("bicubic", "copied")
    }
    rows = read(copies, "from mart_lroc where detector = 'mse_dn2' and reading = 'value'")
    assert len(rows) == 4
    for row in rows:
        wins = located = 0
        for item in injections:
            key = ("alone", row["model_id"], row["kind"])
            if (item["arm"], item["model_id"], item["kind"]) != key:
                continue
            here = tiles[item["model_id"], item["image_id"]]
            at = {
                (place["block_row"] // 8, place["block_col"] // 8)
                for place in places
                if (place["source_image_id"], place["site_number"], place["kind"])
                == (item["source_image_id"], item["site_number"], item["kind"])
            }
            largest = max(here.values())
            if max(here[tile] for tile in at) == largest:
                located += 1
                wins += np.mean(
                    [(largest > most) + (largest == most) / 2 for most in nothing[row["model_id"]]]
                )
        assert (row["image_count"], row["sham_count"]) == (12, 12)
        assert row["located_count"] == located
        assert row["auc"] == pytest.approx(wins / 12, abs=1e-9)
    assert {row["auc"] for row in rows if row["model_id"] == "copied"} == {1.0}
