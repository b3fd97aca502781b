"""A model compared with itself, a film under two names, boxes in another frame: said, and right."""

import numpy as np
import pytest

from upscale_audit.ingest.run import ingest_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse

SIDE_PX = 128
HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
NODULE = (256, 512, 128, 64)
"""As a list of 1024 x 1024 px writes it; an eighth of that in these references."""
INSIDE = (slice(64, 72), slice(32, 48))


@pytest.fixture(scope="module")
def ask(new_study_folder, tmp_path_factory):
    """Give the warehouse of a study with every fault of the kind in it."""
    folder = new_study_folder(tmp_path_factory.mktemp("warnings") / "study")
    models = {"m": ("notta", "tta"), "again": ("notta",), "itself": ("notta",)}
    for model_id, paths in models.items():
        folder.add_model(model_id, paths)
    generator = np.random.default_rng(5)
    images = {name: generator.integers(0, 256, (SIDE_PX, SIDE_PX), np.uint8) for name in "abc"}
    images |= {"twin": images["a"], "black": np.zeros((SIDE_PX, SIDE_PX), np.uint8)}
    for name, reference in images.items():
        folder.put(f"{name}.png", reference)
        restored = reference.copy()
        restored[INSIDE] = 255 - restored[INSIDE]
        for model_id, inference_path in (("m", "notta"), ("m", "tta"), ("again", "notta")):
            folder.put(f"{name}.png", restored, model_id, inference_path)
        folder.put(f"{name}.png", reference, "itself")
    rows = [("a", "Nodule", *NODULE), ("a", "Nodule", *NODULE), ("b", "Mass", 1000, 8, 900, 8)]
    rows += [("b", "Mass", 1100, 0, 8, 8), ("c", "Mass", 8, 8, 0, 8)]
    lines = [",".join(map(str, (f"{name}.png", *rest))) + ",,,\n" for name, *rest in rows]
    (folder.root / "boxes.csv").write_text(HEADER + "".join(lines))
    study = folder.load(labels='boxes = "boxes.csv"\nbox_frame = [1024, 1024]')
    ingest_study(study, workers=1)
    build_warehouse(study)

    def run(sql):
        with open_warehouse(study.warehouse) as connection:
            return connection.sql(sql).pl().to_dicts()

    return run


@pytest.mark.long
def test_a_study_says_what_a_reader_must_know_first(ask):
    rows = ask("select * from mart_warnings")
    found = {
        (row["warning"], row["subject"], row["other"]): (row["item_count"], row["total_count"])
        for row in rows
    }
    assert found == {
        ("same_as_reference", "itself (notta)", ""): (5, 5),
        ("same_as_other_model", "again (notta)", "m (notta)"): (5, 5),
        ("same_as_other_model", "again (notta)", "m (tta)"): (5, 5),
        ("same_on_both_paths", "m (notta)", "m (tta)"): (5, 5),
        ("same_reference", "reference", "a"): (2, 5),
        ("constant", "reference", ""): (1, 5),
        ("constant", "itself (notta)", ""): (1, 5),
        ("box_clipped", "boxes", ""): (1, 5),
        ("box_duplicate", "boxes", ""): (1, 5),
        ("box_empty", "boxes", ""): (1, 5),
        ("box_outside", "boxes", ""): (1, 5),
        ("few_clusters", "image", ""): (5, 5),
        ("axis_alignment", "standard-1", ""): (1, 1),
    }


def test_boxes_lie_where_they_were_drawn(ask):
    rows = ask("select * from dim_boxes order by image_id, box_number")
    assert [row["status"] for row in rows] == ["whole", "duplicate", "clipped", "outside", "empty"]
    assert {(row["frame"], row["frame_rule"]) for row in rows} == {("1024 x 1024", "stated")}
    names = ("left", "top", "width", "height")
    sides = [tuple(row[f"{name}_px"] for name in names) for row in rows]
    assert sides[0] == (32, 64, 16, 8)
    assert sides[2] == (125, 1, 3, 1)
    spans = [
        tuple(row[f"{end}_block_{way}"] for way in ("row", "col") for end in ("first", "end"))
        for row in rows
    ]
    assert spans[0] == (8, 9, 4, 6)
    assert [row["block_count"] for row in rows] == [2, None, 0, None, None]


def test_all_damage_is_inside_the_box(ask):
    (row,) = ask(
        "select inside_block_count, outside_mean from mart_lesion_risk where model_id = 'm'"
        " and inference_path = 'notta' and finding = 'Nodule' and quantity = 'mse_dn2'"
    )
    assert row == {"inside_block_count": 2, "outside_mean": 0}


def test_a_model_that_is_the_reference_has_no_worst_block_and_is_not_drawn_to_the_corner(ask):
    rows = ask(
        "select model_id, image_count, located_count, frame_count, location_percentile,"
        " frame_p_value from mart_lfv_proof where population = 'per_model'"
        " and model_id in ('itself', 'm') and inference_path = 'notta' order by model_id"
    )
    assert [row["image_count"] for row in rows] == [5, 5]
    assert [row["located_count"] for row in rows] == [0, 5]
    exact, changed = rows
    tests = ("frame_count", "location_percentile", "frame_p_value")
    assert all(exact[name] is None for name in tests)
    # The block that was inverted lies eight rows from the top and four columns from the left.
    assert all(changed[name] is not None for name in tests)
    assert changed["frame_count"] == 0
    first = ask("select distinct min_row, min_col from mart_lfv_images where model_id = 'itself'")
    assert first == [{"min_row": 0, "min_col": 0}], "as published, the first of equals stands there"
