"""What a study's files say about what its numbers mean."""

from upscale_audit.ingest.study_warnings import find_warnings


def make_file(role, image_id, grey, owner=(None, None), values=(3, 200)):
    model_id, inference_path = owner
    return {
        "role": role, "model_id": model_id, "inference_path": inference_path,
        "image_id": image_id, "grey_sha256": grey, "lowest_dn": values[0], "highest_dn": values[1],
    }  # fmt: skip


def make_box(status="whole", frame="reference", rule="derived"):
    return {"image_id": "a", "status": status, "frame": frame, "frame_rule": rule}


def make_mask(image_id, status="used", line=None, overlap_px=0):
    return {
        "image_id": image_id, "status": status, "line_number": line, "overlap_px": overlap_px,
    }  # fmt: skip


def warn(files, boxes=(), masks=(), unknown=()):
    tables = {"source_files": files, "boxes": list(boxes), "masks": list(masks)}
    rows = find_warnings(tables, unknown)
    return {
        (row["warning"], row["subject"], row["other"]): (row["item_count"], row["total_count"])
        for row in rows
    }


REFERENCES = [make_file("reference", name, f"x{name}") for name in "abc"]


def restore(model_id, inference_path, pixels):
    owner = model_id, inference_path
    files = zip("abc", pixels, strict=False)
    return [make_file("restored", name, grey, owner) for name, grey in files]


def test_an_ordinary_study_has_nothing_to_say():
    files = [*REFERENCES, *restore("m", "notta", "pqr"), *restore("m", "tta", "stu")]
    assert warn(files, [make_box(), make_box("no_reference")]) == {}


def test_a_model_that_is_the_reference_is_said_once_and_not_of_each_pair():
    same = ("xa", "xb", "r")
    files = [*REFERENCES, *restore("m", "notta", same), *restore("n", "notta", same)]
    assert warn(files) == {
        ("same_as_reference", "m (notta)", ""): (2, 3),
        ("same_as_reference", "n (notta)", ""): (2, 3),
        ("same_as_other_model", "m (notta)", "n (notta)"): (1, 3),
    }


def test_the_same_pixels_on_both_paths_or_of_another_image_are_told_apart():
    files = [*REFERENCES, *restore("m", "notta", "pqr"), *restore("m", "tta", "pqs")]
    assert warn(files) == {("same_on_both_paths", "m (notta)", "m (tta)"): (2, 3)}
    assert warn([*REFERENCES, *restore("m", "notta", "pqr"), *restore("n", "notta", "qrp")]) == {}


def test_of_many_that_are_one_each_is_named_with_the_first():
    same = [restore(name, "notta", ("p", "q", "r")) for name in "klmn"]
    found = warn([*REFERENCES, *(row for rows in same for row in rows)])
    assert found == {
        ("same_as_other_model", "k (notta)", f"{name} (notta)"): (3, 3) for name in "lmn"
    }


def test_one_film_under_two_names_and_images_of_one_value_are_said():
    files = [
        *REFERENCES,
        make_file("reference", "d", "xa"),
        make_file("restored", "a", "black", ("m", "notta"), (0, 0)),
        make_file("restored", "b", "grey", ("m", "notta"), (7, 7)),
        make_file("restored", "c", "r", ("m", "notta")),
    ]
    assert warn(files) == {
        ("same_reference", "reference", "a"): (2, 4),
        ("constant", "m (notta)", ""): (2, 3),
    }
    rows = find_warnings({"source_files": files, "boxes": [], "masks": []})
    assert "2 of 3 images are of one grey value (0, all black, 7; a)" in rows[0]["sentence"]
    assert "2 of 4 references are one film (a, d)" in rows[1]["sentence"]
    found = find_warnings({"source_files": files, "boxes": [], "masks": []}, sources={"d": "a"})
    assert [row["warning"] for row in found] == ["constant"]  # a copy is no second name


def test_boxes_are_counted_by_what_became_of_them():
    boxes = [make_box(), make_box("clipped"), make_box("outside"), make_box("no_reference")]
    assert warn(REFERENCES, boxes) == {
        ("box_clipped", "boxes", ""): (1, 3),
        ("box_outside", "boxes", ""): (1, 3),
    }
    assert warn(REFERENCES, [make_box(frame="1024 x 1024")]) == {
        ("box_frame_derived", "boxes", ""): (1, 1)
    }
    assert warn(REFERENCES, [make_box(frame="1024 x 1024", rule="stated")]) == {}
    assert warn(REFERENCES, [make_box(rule="assumed")]) == {
        ("box_frame_assumed", "boxes", ""): (1, 1)
    }


def test_images_without_regions_are_counted_by_why_and_rows_of_no_image():
    masks = [
        make_mask("a", line=2),
        make_mask("b", "low_rca", line=3),
        make_mask("c", "missing"),
        make_mask("d", "empty", line=5),
        make_mask("e", "size_mismatch", line=6, overlap_px=9),
    ]
    assert warn(REFERENCES, masks=masks, unknown=["x.png", "y.png"]) == {
        ("mask_low_rca", "masks", ""): (1, 5),
        ("mask_missing", "masks", ""): (1, 5),
        ("mask_empty", "masks", ""): (1, 5),
        ("mask_size_mismatch", "masks", ""): (1, 5),
        ("mask_overlap", "masks", ""): (1, 5),
        ("mask_no_reference", "masks", ""): (2, 6),
    }
    assert warn(REFERENCES, masks=[make_mask("a", "none_named")]) == {}
    # A published list has more images than a study, and that says nothing.
    assert warn(REFERENCES, masks=[make_mask("a", line=2)], unknown=["x.png"]) == {}
