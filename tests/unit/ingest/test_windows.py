"""From more than 8 bits to 8: by the stated window, alike for all files of an image."""

import dataclasses
import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from upscale_audit.ingest.certify import Task, judge_files
from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.images import decode_image
from upscale_audit.ingest.lr import LrImage
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.stated_window import Window, parse_window
from upscale_audit.ingest.windows import Curve, Display, Stored, Tone, follow, recall_display, show

DEEP = np.random.default_rng(8).integers(300, 3900, (24, 40), np.uint16)


def png(array):
    return cv2.imencode(".png", array)[1].tobytes()


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def decode(data, display, suffix=".png"):
    return decode_image(data, suffix, 1 << 20, "reduce", display)


def test_a_fixed_window_is_its_equation_written_out():
    image = decode(png(DEEP), Display(Window("fixed", 500, 3500)))
    wanted = [[min(255, max(0, round((int(v) - 500) / 3000 * 255))) for v in row] for row in DEEP]
    np.testing.assert_array_equal(image.grey, wanted)
    facts = image.facts
    assert (facts.window_rule, facts.window_low, facts.window_high) == ("fixed", 500, 3500)
    assert facts.window_clipped_px == ((DEEP < 500) | (DEEP > 3500)).sum() > 0
    assert (facts.bit_depth, facts.grey_rule, facts.rescale_slope) == (16, "none", 1)
    assert image.step == 255 / 3000


@pytest.mark.parametrize("limits", [(0.5, 99.5), (0, 100), (25, 50.01)])
def test_percentiles_are_numpys_inverted_distribution(limits):
    image = decode(png(DEEP), Display(Window("percentiles", *limits)))
    wanted = np.percentile(DEEP, limits, method="inverted_cdf")
    assert [image.facts.window_low, image.facts.window_high] == list(wanted)


def test_other_files_follow_the_reference_whatever_they_hold():
    reference = decode(png(DEEP), Display(Window("percentiles", 1, 99)))
    restored = decode(tiff(DEEP // 2), reference.display, ".tif")
    low, high = reference.facts.window_low, reference.facts.window_high
    wanted = np.clip((DEEP // 2 - low) / (high - low), 0, 1)
    np.testing.assert_array_equal(restored.grey, np.rint(255 * wanted))
    facts = restored.facts
    assert (facts.window_rule, facts.window_low, facts.window_high) == ("percentiles", low, high)


def test_an_8_bit_file_is_measured_as_it_is():
    grey = (DEEP >> 4).astype(np.uint8)
    reference = decode(png(DEEP), Display(Window("percentiles", 1, 99)))
    restored = decode(png(grey), reference.display)
    np.testing.assert_array_equal(restored.grey, grey)
    assert restored.facts.window_rule is None
    assert restored.step == 0


def test_a_deep_file_of_an_8_bit_reference_has_only_a_fixed_window():
    for window, message in (
        (Window("percentiles", 1, 99), "percentiles"),
        (Window("dicom"), "dicom"),
    ):
        reference = decode(png(DEEP.astype(np.uint8)), Display(window))
        with pytest.raises(RejectedFileError, match=message) as caught:
            decode(png(DEEP), reference.display)
        assert caught.value.code == "no_window"
    display = follow(Display(Window("fixed", 0, 65535)))
    np.testing.assert_array_equal(decode(png(DEEP), display).grey, np.rint(DEEP / 257))


@pytest.mark.parametrize(
    ("data", "suffix"),
    [(png(DEEP), ".png"), (tiff(DEEP), ".tif"), (png(np.dstack([DEEP] * 3)), ".png")],
)
def test_without_a_window_the_key_to_state_is_named(data, suffix):
    with pytest.raises(RejectedFileError, match=r"state window under \[parameters\]") as caught:
        decode(data, Display(), suffix)
    assert caught.value.code == "bit_depth"


def test_equal_deep_channels_are_grey_and_others_are_refused():
    display = Display(Window("fixed", 0, 4095))
    wanted = decode(png(DEEP), display).grey
    for channels in (3, 4):
        array = np.dstack([DEEP] * 3 + [np.full_like(DEEP, 65535)] * (channels - 3))
        np.testing.assert_array_equal(decode(png(array), display).grey, wanted)
        array[3, 4, channels - 1] -= 1
        with pytest.raises(RejectedFileError) as caught:
            decode(png(array), display)
        assert caught.value.code == "colour_mode"


def test_a_transparent_value_among_16_bits_is_refused():
    data = png(DEEP)
    body = b"tRNS" + struct.pack(">H", 7)
    chunk = struct.pack(">I", 2) + body + struct.pack(">I", zlib.crc32(body))
    with pytest.raises(RejectedFileError, match="transparent value"):
        decode(data[:33] + chunk + data[33:], Display(Window("fixed", 0, 1)))


def test_deep_interlaced_and_white_is_zero_files_hold_the_same_values():
    display = Display(Window("fixed", 0, 4095))
    wanted = decode(png(DEEP), display).grey
    inverse = tiff(65535 - DEEP, photometric="miniswhite")
    np.testing.assert_array_equal(decode(inverse, display, ".tif").grey, wanted)
    packed = tiff(DEEP, compression="deflate", predictor=True, byteorder=">", rowsperstrip=5)
    np.testing.assert_array_equal(decode(packed, display, ".tif").grey, wanted)
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1))  # fmt: skip
    lines = b"".join(
        b"\0" + line.astype(">u2").tobytes()
        for row, col, down, right in passes
        for line in DEEP[row::down, col::right]
    )

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 40, 24, 16, 0, 0, 0, 1)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines))
    np.testing.assert_array_equal(decode(data + chunk(b"IEND", b""), display).grey, wanted)


def test_a_constant_reference_has_no_percentiles():
    with pytest.raises(RejectedFileError, match="both 7; state window"):
        decode(png(np.full((9, 9), 7, np.uint16)), Display(Window("percentiles", 1, 99)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("dicom", Window("dicom")),
        ([0, 4095], Window("fixed", 0.0, 4095.0)),
        ({"percentiles": [0.5, 99.5]}, Window("percentiles", 0.5, 99.5)),
    ],
)
def test_a_study_states_one_of_three_windows(value, expected):
    assert parse_window(value) == expected


@pytest.mark.parametrize(
    "value",
    ["auto", [1], [5, 5], [9, 1], [0, float("inf")], [0, 10**400], [float("nan"), 5], [True, 5],
     {"percentiles": [0, 101]},
     {"percentiles": [-1, 99]}, {"percentile": [1, 99]}, {"percentiles": "all"}, 7, None],
)  # fmt: skip
def test_any_other_window_is_refused_with_what_is_expected(value):
    with pytest.raises(StudyError, match=r'expected "dicom", two numbers \[low, high\], or'):
        parse_window(value)


def test_a_step_is_what_a_stored_value_is_worth_or_infinite():
    samples = np.arange(256).reshape(16, 16)

    def step(window, tone=None, **more):
        return show(Stored(samples, 12, tone, **more), Display(window))[3]

    assert step(Window("fixed", 0, 4095)) == 255 / 4095
    assert step(Window("fixed", 0, 2040), Tone(slope=0.5)) == 255 * 0.5 / 2040
    assert step(Window("fixed", -1, 4095)) == np.inf  # 0 may be a cut within the window
    assert step(Window("fixed", -1, 2000), lowest=-2048) == 255 / 2001
    for kind in ("sigmoid", "table"):
        curve = Curve(kind, 0.0, 255.0, f"dicom_{kind}", np.linspace(0, 1, 256))
        assert step(Window("dicom"), Tone(curve=curve)) == np.inf


@pytest.mark.parametrize(("high", "step"), [(4095, 255 / 4095), (4096, np.inf)])
def test_a_step_is_stated_where_all_of_the_window_can_be_stored(high, step):
    stored = Stored(np.arange(256).reshape(16, 16), 12)
    assert show(stored, Display(Window("fixed", 0, high)))[3] == step


def test_values_at_the_ends_of_a_window_are_not_cut():
    stored = Stored(np.array([[9, 10, 11], [19, 20, 21]]), 12)
    grey, facts, _, _ = show(stored, Display(Window("fixed", 10, 20)))
    assert facts["window_clipped_px"] == 2
    assert grey.tolist() == [[0, 0, 26], [230, 255, 255]]


def test_white_is_the_other_way_round_where_the_file_says_so():
    plain = Stored(np.array([[0, 1, 200, 255]], np.uint8), 8, Tone(is_inverted=True))
    assert show(plain, Display(None))[0].tolist() == [[255, 254, 55, 0]]
    deep = Stored(np.array([[0, 100, 400]]), 12, Tone(is_inverted=True))
    assert show(deep, Display(Window("fixed", 0, 400)))[0].tolist() == [[255, 191, 0]]


def test_a_table_gives_its_ends_to_what_lies_beyond_it():
    curve = Curve("table", 10.0, 13.0, "dicom_table", np.array([0.25, 0.5, 0.75, 1.0]))
    values = np.array([-5, 9, 10, 11, 12, 13, 14, 400], float)
    assert curve(values).tolist() == [0.25, 0.25, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    tone = Tone(modality_table=(3, np.array([70, 60, 90])))
    assert tone.rescale(np.array([0, 3, 4, 5, 6])).tolist() == [70, 70, 60, 90, 90]


def test_a_window_of_no_width_is_a_step_above_its_value():
    curve = Curve("linear", 5.0, 5.0, "fixed")
    assert curve(np.array([4, 5, 6], float)).tolist() == [0, 0, 1]


def test_a_sigmoid_is_one_half_at_its_centre():
    curve = Curve("sigmoid", 100.0, 300.0, "dicom_sigmoid")
    values = np.array([0, 100, 200, 250], float)
    wanted = [1 / (1 + np.exp(-4 * (value - 200) / 200)) for value in values]
    assert curve(values) == pytest.approx(wanted, rel=1e-12)
    assert curve(values)[2] == 0.5


@pytest.mark.parametrize(
    ("tone", "is_plain"),
    [
        (Tone(), True),
        (Tone(slope=2.0), False),
        (Tone(slope=0.5), False),
        (Tone(intercept=-1.0), False),
        (Tone(modality_table=(0, np.array([0]))), False),
    ],
)
def test_values_that_stand_for_others_are_not_plain(tone, is_plain):
    assert tone.is_plain is is_plain
    stored = Stored(np.array([[3, 4]]), 8, tone)
    if is_plain:
        assert show(stored, Display(None))[0].tolist() == [[3, 4]]
    else:
        with pytest.raises(RejectedFileError, match="8 bits a channel, to be rescaled; state"):
            show(stored, Display(None))


def test_values_below_0_are_not_shown_as_they_are():
    with pytest.raises(RejectedFileError, match="state window"):
        show(Stored(np.array([[-1, 4]]), 8), Display(None))


def test_what_is_recorded_shows_a_file_again():
    for tone in (None, Tone(2.0, -100.0, None, True)):
        display = Display(Window("percentiles", 1, 99), tone=tone)
        image = decode(png(DEEP), display)
        again = decode(png(DEEP), recall_display(dataclasses.asdict(image.facts)))
        np.testing.assert_array_equal(again.grey, image.grey)


def test_ingest_shows_an_image_s_files_alike_and_says_which_not(study_folder, read_rows, caplog):
    study_folder.add_model("deep", paths=("notta",))
    study_folder.add_model("plain", paths=("notta",))
    study_folder.put("a.png", png(DEEP))
    study_folder.put("a.png", png(DEEP + 20), "deep")
    study_folder.put("a.png", (DEEP >> 4).astype(np.uint8), "plain")
    study = study_folder.load(parameters="window = { percentiles = [1, 99] }")
    ingest_study(study, workers=1)
    rows = {row["model_id"]: row for row in read_rows(study.raw, "source_files")}
    low, high = np.percentile(DEEP, [1, 99], method="inverted_cdf")
    for name in (None, "deep"):
        assert (rows[name]["window_low"], rows[name]["window_high"]) == (low, high)
        assert rows[name]["bit_depth"] == 16
    assert rows["plain"]["window_rule"] is None
    assert "1 files of 8 bits (the first: a.png)" in caplog.text
    shown = np.rint(255 * np.clip((DEEP + 20.0 - low) / (high - low), 0, 1))
    blocks = read_rows(study.raw, "blocks")
    first = next(row for row in blocks if row["model_id"] == "deep")
    assert first["notta_sum"] == shown[:8, :8].sum()


RULES = {
    "opencv_cubic": lambda image: cv2.resize(image, (20, 12), interpolation=cv2.INTER_CUBIC),
    "antialiased": lambda image: np.asarray(
        Image.fromarray(image.astype(np.float32)).resize((20, 12), Image.Resampling.BICUBIC)
    ).round().clip(0, 65535).astype(np.uint16),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("limits", [(0, 65535), (0, 4095), (900, 2300), (1500, 1600), (1000, 1003)])
def test_no_window_makes_an_image_contradict_its_own_lr_image(rule, limits):
    generator = np.random.default_rng(21)
    for trial in range(12):
        deep = generator.integers(0, 4096, (24, 40), np.uint16)
        deep = deep if trial % 2 else cv2.GaussianBlur(deep, (0, 0), 2.5)
        display = Display(Window("fixed", *limits))
        lr = decode(png(RULES[rule](deep)), display)
        restored = decode(png(deep), display)
        held = LrImage(lr.grey, rule, 2, lr.step)
        assert not held.find_contradictions(held.judge(restored.grey))[2].any()


def test_a_deep_image_that_is_another_contradicts_by_certify_and_by_ingest(study_folder, read_rows):
    deep = cv2.GaussianBlur(DEEP.repeat(2, 0).repeat(2, 1), (0, 0), 4)
    small = cv2.resize(deep, (40, 24), interpolation=cv2.INTER_CUBIC)
    study_folder.add_model("same", paths=("notta",))
    study_folder.add_model("other", paths=("notta",))
    (study_folder.root / "lr").mkdir()
    (study_folder.root / "lr" / "a.png").write_bytes(png(small))
    study_folder.put("a.png", png(deep))
    study_folder.put("a.png", png(deep), "same")
    study_folder.put("a.png", png(deep + 90), "other")
    text = 'window = [0, 4095]\n[lr]\nfolder = "lr"\nrule = "opencv_cubic"'
    study = study_folder.load(parameters=text)
    ingest_study(study, workers=1)
    (image,) = read_rows(study.raw, "images")
    assert (image["lr_rule_status"], image["lr_rule"]) == ("verified", "opencv_cubic")
    counts = {"same": 0, "other": 0}
    for row in read_rows(study.raw, "blocks"):
        counts[row["model_id"]] += row["notta_lr_contradicted"]
    assert counts["same"] == 0 < counts["other"]
    window = Window("fixed", 0, 4095)
    for model, status in (("same", "consistent"), ("other", "contradicted")):
        restored = study_folder.folder(model, "notta") / "a.png"
        task = Task(model, "a", study_folder.root / "lr" / "a.png", "a.png", restored, "a.png",
                    window=window)  # fmt: skip
        verdict, _ = judge_files(task)
        assert verdict.status == status
        assert "shown from 0 to 4095" in verdict.detail
        refused, _ = judge_files(dataclasses.replace(task, window=None))
        assert refused.status == "not_judged"
        assert "bit_depth" in refused.detail


def test_another_window_measures_anew_and_without_one_the_file_is_refused(study_folder):
    study_folder.add_model("deep", paths=("notta",))
    study_folder.put("a.png", png(DEEP))
    study_folder.put("a.png", png(DEEP), "deep")
    for window in ("[0, 4095]", "[0, 2000]"):
        report = ingest_study(study_folder.load(parameters=f"window = {window}"), workers=1)
        assert (report.units_measured, report.images) == (1, 1)
    report = ingest_study(study_folder.load(), workers=1)
    assert [row["reason"] for row in report.rejects] == ["bit_depth", "bit_depth"]
