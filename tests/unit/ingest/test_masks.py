"""Masks: run lengths decoded as their authors write them, label images, and what is refused."""

import gzip

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import RejectedFileError, StudyError
from upscale_audit.ingest.masks import (
    decode_runs,
    read_chexmask,
    read_label_image,
)
from upscale_audit.ingest.structures import CHEXMASK_STRUCTURES

HEADER = (
    "Image Index,Dice RCA (Max),Dice RCA (Mean),Landmarks,Left Lung,Right Lung,Heart,Height,Width"
)
LABELS = ((3, "heart"), (1, "left lung"))


def encode(mask):
    """Run-length code of a mask, pixel by pixel: a run begins at its first pixel, from 1."""
    tokens, length = [], 0
    for place, value in enumerate([*mask.ravel().tolist(), 0], start=1):
        if value:
            length += 1
        elif length:
            tokens += [place - length, length]
            length = 0
    return " ".join(map(str, tokens))


def draw(seed, shape=(20, 24)):
    generator = np.random.default_rng(seed)
    return generator.random((3, *shape)) < [[[0.2]], [[0.5]], [[0.4]]]


def spell(image, masks, rca=0.9, height=None, width=None):
    heart, left, right = map(encode, masks)
    rows, cols = masks[0].shape
    height, width = height or rows, width or cols
    return f'{image},0.95,{rca},"1,2,3",{left},{right},{heart},{height},{width}'


def write(tmp_path, *lines, header=HEADER, name="masks.csv"):
    path = tmp_path / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def read(path, images=("a",), **more):
    return list(read_chexmask(path, set(images), **more))


@pytest.mark.parametrize("seed", range(5))
def test_a_pixel_is_of_the_first_structure_that_claims_it(tmp_path, seed):
    masks = draw(seed)
    (found,) = read(write(tmp_path, spell("a.png", masks)))
    expected = np.zeros(masks[0].shape, np.uint8)
    for row, col in np.ndindex(expected.shape):
        claims = [code for code, mask in enumerate(masks, start=1) if mask[row, col]]
        expected[row, col] = claims[0] if claims else 0
    assert list(CHEXMASK_STRUCTURES) == ["heart", "left lung", "right lung"]
    assert (found.labels == expected).all()
    assert found.overlap_px == sum(max(0, int(n) - 1) for n in masks.sum(0).ravel())
    assert (found.status, found.line_number, found.dice_rca) == ("used", 2, 0.9)


def test_runs_are_counted_from_one_row_by_row():
    assert decode_runs("1 2  5 1", 5).tolist() == [[0, 2], [4, 5]]
    assert decode_runs("", 5).tolist() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 2 4", "3 numbers; expected pairs"),
        ("0 2", "a run is empty"),
        ("3 0", "a run is empty"),
        ("1 -2", "'-2' is not the start"),
        ("1 2.0", "'2.0' is not the start"),
        ("4 3", "a run ends at pixel 6 of 5"),
        ("1 99999999999999999999", "is not the start"),
        ("4 1 1 2", "begins before the one before it ends"),
        ("1 3 2 1", "begins before the one before it ends"),
    ],
)
def test_runs_that_no_encoder_writes_are_errors_with_file_line_and_repair(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        decode_runs(text, 5)
    path = write(tmp_path, f"a,1,1,,1 1,{text},,1,5")
    with pytest.raises(StudyError, match=f"masks.csv line 2: right lung: .*{said}.*; restore the"):
        read(path)


def test_rows_of_other_images_are_named_and_not_decoded(tmp_path):
    path = write(tmp_path, "b.png,1,1,,no run,,,1,1", spell("x/y/a.dcm", draw(1)))
    unknown, mask = read(path)
    assert (unknown, mask.image_id, mask.line_number) == ("b.png", "a", 3)


def test_names_of_all_published_files_are_read_packed_too(tmp_path):
    for name in ("Image Index", "Path", "dicom_id", "ImageID", "image_id", "Image ID"):
        path = write(tmp_path, spell("a", draw(2)), header=HEADER.replace("Image Index", name))
        packed = tmp_path / "masks.csv.gz"
        packed.write_bytes(gzip.compress(path.read_bytes()))
        assert read(path)[0].labels.tolist() == read(packed)[0].labels.tolist()


def test_a_bad_segmentation_and_an_empty_one_give_no_labels(tmp_path):
    path = write(tmp_path, spell("a", draw(3), rca=0.69), "b,1,0.7,,,,,4,4")
    low, empty = read(path, "ab")
    assert (low.status, low.labels, low.dice_rca) == ("low_rca", None, 0.69)
    assert (empty.status, empty.labels) == ("empty", None)
    assert read(path, "a", min_rca=0.5)[0].status == "used"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("a,1,1,,1 1,1 1", "line 2: column 8 is empty"),
        ("a,1,1,,1 1,1 1,,4,", "line 2: column 9 is empty"),
        ("a,1,1,,,,,-4,4", "line 2: '-4' is no height or width"),
        ("a,1,1,,,,,4,0", "line 2: '0' is no height or width"),
        ("a,1,good,,,,,4,4", "line 2: 'good' is no Dice coefficient"),
        ("a,1,nan,,,,,4,4", "line 2: 'nan' is no Dice coefficient"),
        ("a,1,1,,,,,99999,99999", "line 2: a mask of 99999 x 99999 px, more than max_image_px"),
        ("a,1,1,,1 1,,,4,4\na,1,1,,1 1,,,4,4", "line 3: a is listed in line 2 too"),
        (",1,1,,1 1,,,4,4", "line 2: column 1 is empty"),
    ],
)
def test_a_row_of_the_study_that_is_not_whole_is_an_error(tmp_path, line, said):
    with pytest.raises(StudyError, match=f"masks.csv {said}"):
        read(write(tmp_path, line))


def test_masks_of_padded_copies_name_no_size_and_are_refused(tmp_path):
    path = write(tmp_path, header=HEADER.removesuffix(",Height,Width"))
    with pytest.raises(StudyError, match=r"no column for height, width among .*OriginalResolution"):
        read(path)


def save(tmp_path, pixels, name="mask.png", **more):
    path = tmp_path / name
    image = Image.fromarray(np.array(pixels, np.uint8))
    (image.convert(more.pop("mode")) if "mode" in more else image).save(path, **more)
    return path


@pytest.mark.parametrize("name", ["mask.png", "mask.tif"])
def test_values_of_a_label_image_are_places_in_the_stated_order(tmp_path, name):
    pixels = np.random.default_rng(1).choice([0, 1, 3], (16, 24))
    found = read_label_image(save(tmp_path, pixels, name), LABELS, 10**6)
    assert (found == np.where(pixels == 3, 1, np.where(pixels == 1, 2, 0))).all()


def test_a_label_image_that_means_nothing_certain_is_refused(tmp_path):
    pixels = np.zeros((16, 16), int)
    pixels[3, 4] = 2
    cases = {
        "unknown_label": save(tmp_path, pixels),
        "colour_mode": save(tmp_path, pixels, "p.png", mode="P"),
    }
    whole = cases["unknown_label"].read_bytes()
    cases["truncated"] = tmp_path / "half.png"
    cases["truncated"].write_bytes(whole[: len(whole) // 2])
    for code, path in cases.items():
        with pytest.raises(RejectedFileError) as error:
            read_label_image(path, LABELS, 10**6)
        assert error.value.code == code
    with pytest.raises(
        RejectedFileError, match=r"value 2 has no name; add it to \[regions\] labels"
    ):
        read_label_image(cases["unknown_label"], LABELS, 10**6)


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "palette.png", "lossy.jpg", "lossy.webp"])
def test_what_repairs_a_label_image_is_said_of_one_that_is_no_8_bit_png_or_tiff(tmp_path, name):
    pixels, path = np.full((16, 16), 3, np.uint8), tmp_path / name
    pixels[4:9] = 1
    image = Image.fromarray(pixels.astype(np.uint16) if name.startswith("deep") else pixels)
    if name.startswith("palette"):
        image = image.convert("P")
        image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(path)
    with pytest.raises(RejectedFileError, match="save the mask as a grey PNG or TIFF") as error:
        read_label_image(path, LABELS, 10**6)
    assert error.value.code in ("bit_depth", "colour", "unsupported_suffix")
    assert "window" not in error.value.detail


def test_a_changed_file_is_read_or_ends_in_one_line(tmp_path):
    lines = [spell(name, draw(number)) for number, name in enumerate("abc")]
    whole = "\n".join([HEADER, *lines, ""]).encode()
    generator, said = np.random.default_rng(11), []
    for _ in range(300):
        data = bytearray(whole)
        for place in generator.integers(0, len(data), 3):
            change = [b"", b" ", b",", b"\n", b"-1 ", b"9" * 11, b'"', b"\0", b"nan"]
            data[place : place + int(generator.integers(0, 30))] = generator.choice(change)
        path = tmp_path / "masks.csv"
        path.write_bytes(data)
        try:
            read(path, "abc")
        except StudyError as error:
            said.append(str(error))
    assert len(said) > 200
    assert all(str(path) in line and "\n" not in line for line in said)
