"""Outputs of another size: by a stated rule or not at all, and never without a record of it."""

import math

import cv2
import numpy as np
import pytest

from upscale_audit.ingest.images import decode_image
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.sizes import bring_to_size, find_size_problem
from upscale_audit.ingest.study import SIZE_RULES

GREY = cv2.GaussianBlur(np.random.default_rng(3).integers(0, 256, (96, 128), np.uint8), (0, 0), 1)
COLOUR = np.dstack([GREY, GREY[::-1], 255 - GREY])


@pytest.fixture(scope="module")
def decode(encode_png):
    return lambda array: decode_image(encode_png(array), ".png", 1 << 20, "reduce")


def weigh(t, rule):
    """Weight of a pixel at a distance, as published."""
    t = abs(t)
    if rule == "lanczos4":
        if t < 1e-12:
            return 1.0
        return math.sin(math.pi * t) * math.sin(math.pi * t / 4) / (math.pi * t) ** 2 * 4
    if t < 1:
        return (7 * t**3 - 12 * t**2 + 16 / 3) / 6
    return (-7 / 3 * t**3 + 12 * t**2 - 20 * t + 32 / 3) / 6 if t < 2 else 0.0


def resample_naively(line, size, rule):
    """One line by its equation: every tap, the border repeated, weights made to sum to 1."""
    step = len(line) / size
    stretch = max(step, 1) if rule == "mitchell" else 1
    reach = 2 * stretch if rule == "mitchell" else 4
    out = []
    for place in range(size):
        centre = (place + 0.5) * step - 0.5
        if rule == "lanczos4":
            taps = range(math.floor(centre) - 3, math.floor(centre) + 5)
        else:
            taps = range(math.ceil(centre - reach), math.floor(centre + reach) + 1)
        weights = [weigh((tap - centre) / stretch, rule) for tap in taps]
        values = [float(line[min(max(tap, 0), len(line) - 1)]) for tap in taps]
        total = sum(w * v for w, v in zip(weights, values, strict=True))
        out.append(total / sum(weights))
    return np.array(out)


@pytest.mark.parametrize("rule", ["lanczos4", "mitchell"])
@pytest.mark.parametrize("size", [(24, 32), (48, 64), (97, 129), (95, 127), (192, 256)])
def test_a_resampled_image_is_the_published_equation(decode, rule, size):
    found = bring_to_size(decode(GREY), size, rule).grey
    rows = np.stack([resample_naively(column, size[0], rule) for column in GREY.T], axis=1)
    wanted = np.stack([resample_naively(row, size[1], rule) for row in rows])
    gap = np.abs(found - np.clip(wanted, 0, 255))
    # OpenCV weighs in 11 bits; float64 only rounds at the end.
    assert gap.max() <= (1.01 if rule == "lanczos4" else 0.5 + 1e-9)


@pytest.mark.parametrize("rule", ["lanczos4", "mitchell"])
@pytest.mark.parametrize("low", range(0, 60, 3))
def test_what_overshoots_is_cut_at_black_and_white(decode, rule, low):
    image = np.full((24, 32), 255 - low // 3, np.uint8)
    image[:, 8:16], image[:, 16:24] = low, 0
    found = bring_to_size(decode(image), (48, 64), rule).grey
    wanted = np.stack([resample_naively(image[0], 64, rule)] * 48)
    assert np.abs(found - np.clip(wanted, 0, 255)).max() <= 1.01


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_area_is_the_mean_of_what_lies_under_a_pixel(decode, factor):
    rows, cols = 96 // factor // 4 * 4, 128 // factor // 4 * 4
    image = GREY[: rows * factor, : cols * factor]
    found = bring_to_size(decode(image), (rows, cols), "area").grey
    means = image.reshape(rows, factor, cols, factor).mean(axis=(1, 3), dtype=np.float64)
    assert np.abs(found - means).max() <= 0.5 + 1e-6


@pytest.mark.parametrize("rule", ["lanczos4", "mitchell", "area"])
def test_colours_are_brought_there_one_by_one_and_reduced_after(decode, rule):
    image = bring_to_size(decode(COLOUR), (48, 64), rule)
    for channel in range(3):
        alone = bring_to_size(decode(COLOUR[..., channel]), (48, 64), rule)
        np.testing.assert_array_equal(image.rgb[..., channel], alone.grey)
    np.testing.assert_array_equal(image.grey, cv2.cvtColor(image.rgb, cv2.COLOR_RGB2GRAY))
    assert image.facts.size_rule == rule
    assert (image.facts.height_px, image.facts.width_px) == (96, 128)


def test_crop_takes_away_and_adds_nothing(decode):
    for expected in ((95, 127), (96, 127), (96, 129), (97, 127)):
        found = bring_to_size(decode(GREY), expected, "crop").grey
        np.testing.assert_array_equal(found, GREY[: expected[0], : expected[1]])


@pytest.mark.parametrize("rule", SIZE_RULES)
def test_an_image_of_the_right_size_is_left_alone(decode, rule):
    image = decode(GREY)
    assert bring_to_size(image, (96, 128), rule) is image
    assert image.facts.size_rule is None


@pytest.mark.parametrize(
    ("shape", "rule", "words"),
    [
        ((192, 256), None, "[size] rule = 'lanczos4' would bring it there"),
        ((97, 128), None, "[size] rule = 'crop' would bring it there"),
        ((95, 128), None, "[size] rule = 'lanczos4' would bring it there"),
        ((95, 128), "crop", "blocks of the reference need what it lacks; state 'lanczos4'"),
        ((128, 96), None, "96x128 px; the reference has 128x96"),
        ((192, 256), "crop", "more than the 1 px that 'crop' takes away"),
        ((94, 128), "crop", "more than the 1 px"),
        ((95, 128), "area", "'area' only reduces; state 'lanczos4' or 'mitchell'"),
        ((48, 64), "area", "'area' only reduces; state 'lanczos4' or 'mitchell'"),
        ((128, 96), "lanczos4", "other proportions, which 'lanczos4' would distort"),
        ((96, 135), "mitchell", "other proportions"),
        ((96, 134), "mitchell", None),
        ((97, 129), "crop", None),
        ((96, 128), None, None),
    ],
)
def test_what_no_rule_covers_is_refused_with_what_would(shape, rule, words):
    found = find_size_problem(shape, (96, 128), rule)
    assert found is None if words is None else words in found


def fill(study_folder, sizes):
    """A study of the reference GREY under one model for each size of its output."""
    study_folder.put("a.png", GREY)
    for name, (rows, cols) in sizes.items():
        study_folder.add_model(name, paths=("notta",))
        study_folder.put("a.png", cv2.resize(GREY, (cols, rows)), name)


@pytest.mark.parametrize("rule", ["lanczos4", "mitchell", "area"])
def test_ingest_measures_the_resampled_image_and_records_the_rule(study_folder, read_rows, rule):
    fill(study_folder, {"double": (192, 256), "same": (96, 128)})
    study = study_folder.load(parameters=f'[size]\nrule = "{rule}"')
    assert ingest_study(study, workers=1).rejects == ()
    files = {row["model_id"]: row for row in read_rows(study.raw, "source_files")}
    assert [files[name]["size_rule"] for name in (None, "same", "double")] == [None, None, rule]
    assert (files["double"]["width_px"], files["double"]["height_px"]) == (256, 192)
    study_folder.put("a.png", GREY, "same")
    study_folder.put("a.png", cv2.resize(GREY, (256, 192)), "double")
    flag = {"lanczos4": cv2.INTER_LANCZOS4, "area": cv2.INTER_AREA}.get(rule)
    if flag is not None:
        wanted = cv2.resize(cv2.resize(GREY, (256, 192)), (128, 96), interpolation=flag)
        rows = [r for r in read_rows(study.raw, "blocks") if r["model_id"] == "double"]
        sums = wanted.reshape(12, 8, 16, 8).sum(axis=(1, 3), dtype=int).ravel()
        assert [row["notta_sum"] for row in rows] == sums.tolist()


def test_without_a_rule_they_are_refused_and_another_rule_measures_anew(study_folder):
    fill(study_folder, {"double": (192, 256)})
    report = ingest_study(study_folder.load(), workers=1)
    assert [row["reason"] for row in report.rejects] == ["size_mismatch"]
    assert "[size] rule = 'lanczos4'" in report.rejects[0]["detail"]
    for rule in ("mitchell", "area"):
        study = study_folder.load(parameters=f'[size]\nrule = "{rule}"')
        assert ingest_study(study, workers=1).units_measured == 1
    assert ingest_study(study, workers=1).units_kept == 1


def test_one_row_too_many_is_measured_as_if_it_were_not_there(study_folder, read_rows):
    larger = np.pad(GREY, ((0, 1), (0, 1)), mode="edge")
    study_folder.put("a.png", GREY)
    for name, pixels in (("larger", larger), ("same", GREY)):
        study_folder.add_model(name, paths=("notta",))
        study_folder.put("a.png", pixels, name)
    study = study_folder.load(parameters='[size]\nrule = "crop"')
    ingest_study(study, workers=1)
    rows = {"larger": [], "same": []}
    for row in read_rows(study.raw, "blocks"):
        rows[row.pop("model_id")].append(row)
    assert rows["larger"] == rows["same"]
    metrics = read_rows(study.raw, "image_metrics")
    assert {**metrics[0], "model_id": ""} == {**metrics[1], "model_id": ""}


def test_an_odd_reference_and_its_even_output_lose_no_block(study_folder, read_rows):
    study_folder.add_model("even", paths=("notta",))
    study_folder.put("a.png", GREY[:89, :121])
    study_folder.put("a.png", GREY[:88, :120], "even")
    study = study_folder.load(parameters='[size]\nrule = "crop"')
    assert ingest_study(study, workers=1).rejects == ()
    rows = [row for row in read_rows(study.raw, "blocks") if not row["is_partial"]]
    assert len(rows) == 11 * 15
    assert all(row["notta_cross"] == row["reference_sum_sq"] for row in rows)
    (metrics,) = read_rows(study.raw, "image_metrics")
    assert metrics["ssim"] == 1


def test_ringing_of_a_cut_image_is_of_the_whole_reference_s_mask(study_folder, read_rows):
    noise = np.random.default_rng(4).integers(-9, 10, (89, 121))
    restored = np.clip(GREY[:89, :121] + noise, 0, 255).astype(np.uint8)
    study_folder.put("a.png", GREY[:89, :121])
    for name, rows in (("even", 88), ("whole", 89)):
        study_folder.add_model(name, paths=("notta",))
        study_folder.put("a.png", restored[:rows, : rows + 32], name)
    study = study_folder.load(parameters='[size]\nrule = "crop"')
    ingest_study(study, workers=1)
    found = {"even": [], "whole": []}
    for row in read_rows(study.raw, "blocks"):
        # The last whole blocks see the pixel beyond them, which one of the two lacks.
        if row["block_row"] < 10 and row["block_col"] < 14:
            found[row["model_id"]].append((row["ringing_px"], row["notta_ringing"]))
    assert found["even"] == found["whole"]
    assert sum(px for px, _ in found["whole"] if px) > 100
