"""Finding boxes: how a list writes them, in which frame it counts, what becomes of each."""

import random

import pytest

from upscale_audit.ingest.boxes import SIDES, place_boxes, read_boxes
from upscale_audit.ingest.errors import StudyError

PUBLISHED = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
DRAWN = [(120, 100, 100, 90), (640, 600, 150, 150)]
"""Left, top, width and height in images of 1024 x 1024 px."""


@pytest.fixture
def write(tmp_path):
    def write_file(header, rows, image="a.png"):
        lines = [",".join(map(str, (image, "Mass", *row))) + "\n" for row in rows]
        (tmp_path / "boxes.csv").write_text(header + "".join(lines))
        return tmp_path / "boxes.csv"

    return write_file


def place(path, size, frame=None, image_id="a"):
    return place_boxes(path, read_boxes(path), {image_id: size}, frame)


def sides(rows):
    return [tuple(row[side] for side in SIDES) for row in rows]


def to_corners(box, scale=1):
    left, top, width, height = (side * scale for side in box)
    return left, top, left + width, top + height


def to_centre(box):
    left, top, width, height = box
    return left + width / 2, top + height / 2, width, height


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "wide"])
def test_a_side_that_is_no_finite_number_is_refused_with_its_line(write, text):
    path = write(PUBLISHED, [DRAWN[0], (120, 100, text, 90)])
    with pytest.raises(StudyError, match=rf"boxes\.csv line 3: '{text}' is not a finite number"):
        read_boxes(path)


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (PUBLISHED, DRAWN),
        ('Image Index,Finding Label,"Bbox [x,y,w,h]",,,\n', DRAWN),
        ("image_id,class_name,x,y,w,h\n", DRAWN),
        ("Image,Finding,left,top,width,height\n", DRAWN),
        ("image_id,class_name,x_min,y_min,x_max,y_max\n", map(to_corners, DRAWN)),
        ("filename,label,x1,y1,x2,y2\n", map(to_corners, DRAWN)),
        ("image,label,x_center,y_center,width,height\n", map(to_centre, DRAWN)),
    ],
)
def test_the_header_says_how_four_numbers_are_read(write, header, rows):
    placed = place(write(header, rows), (1024, 1024), "reference")
    assert sides(placed) == DRAWN
    assert {row["status"] for row in placed} == {"whole"}


@pytest.mark.parametrize("size", [(256, 256), (512, 512), (1024, 1024), (600, 300)])
def test_the_published_list_is_scaled_to_references_of_another_size(write, size):
    across, down = size[0] / 1024, size[1] / 1024
    expected = [
        pytest.approx((left * across, top * down, width * across, height * down))
        for left, top, width, height in DRAWN
    ]
    path = write(PUBLISHED, DRAWN)
    placed = place(path, size)
    assert sides(placed) == expected
    assert {row["frame_rule"] for row in placed} == {"derived"}
    assert sides(place(path, size, (1024, 1024))) == expected


def test_boxes_that_fit_references_of_another_size_are_taken_as_theirs_and_that_is_an_assumption(
    write,
):
    scaled = [tuple(side / 4 for side in box) for box in DRAWN]
    placed = place(write(PUBLISHED, scaled), (256, 256))
    assert sides(placed) == scaled
    assert {(row["frame"], row["frame_rule"]) for row in placed} == {("reference", "assumed")}


def test_shares_of_the_image_are_known_by_their_values_or_stated(write):
    shares = [tuple(side / 1024 for side in box) for box in DRAWN]
    path = write("image,label,x,y,w,h\n", shares)
    for frame in (None, "unit"):
        placed = place(path, (512, 256), frame)
        expected = [(a / 2, b / 4, c / 2, d / 4) for a, b, c, d in DRAWN]
        assert sides(placed) == [pytest.approx(box) for box in expected]
        assert placed[0]["frame"] == "unit"


@pytest.mark.parametrize("scale", [1, 4])
def test_corners_under_a_header_of_sizes_are_refused_and_never_read_as_sizes(write, scale):
    path = write(PUBLISHED, [to_corners(box, 1 / 4) for box in DRAWN])
    with pytest.raises(StudyError, match=r"line 3: .* two corners; name the columns x_min"):
        place(path, (256, 256))


def test_boxes_beyond_their_image_that_nothing_explains_are_refused_with_the_key_to_state(write):
    path = write("image,label,x,y,w,h\n", [*DRAWN, (900, 900, 60, 60)])
    message = r"line 3: .*reference of 512x512 px, as 2 of 3 do.*state \[labels\] box_frame"
    with pytest.raises(StudyError, match=message):
        place(path, (512, 512))
    placed = place(path, (512, 512), (1024, 1024))
    assert sides(placed)[2] == (450, 450, 30, 30)


@pytest.mark.parametrize(
    "beyond", [(-9, 60, 10, 10), (60, -9, 10, 10), (90, 10, 19, 10), (10, 92, 10, 10)]
)
def test_a_box_beyond_any_side_is_one_beyond_its_image(write, beyond):
    path = write("image,label,x,y,w,h\n", [(10, 10, 20, 20), beyond])
    with pytest.raises(StudyError, match="line 3: the box reaches beyond its reference of 100x100"):
        place(path, (100, 100))


@pytest.mark.parametrize(
    "slip", [(-1, 60, 10, 10), (60, -1, 10, 10), (91, 10, 10, 9), (9, 91, 9, 10)]
)
def test_a_box_that_reaches_a_pixel_too_far_is_within_its_image(write, slip):
    assert place(write("image,label,x,y,w,h\n", [slip]), (100, 100))[0]["frame"] == "reference"


@pytest.mark.parametrize(("inside", "is_taken"), [(49, True), (98, True), (48, False)])
def test_one_box_in_fifty_beyond_its_image_is_a_slip_of_the_pen(write, inside, is_taken):
    rows = [(step, 10, 20, 20) for step in range(inside // 2)]
    rows += [(step, 40, 20, 20) for step in range(inside - len(rows))]
    path = write("image,label,x,y,w,h\n", [*rows, (90, 90, 50, 50)])
    if is_taken:
        assert place(path, (100, 100))[-1]["status"] == "clipped"
    else:
        with pytest.raises(StudyError, match=f"as 1 of {inside + 1} do"):
            place(path, (100, 100))


def test_a_centre_between_two_pixels_is_no_whole_one(write):
    path = write("image,label,x_center,y_center,width,height\n", [(20, 30, 5, 7)])
    assert sides(read_boxes(path)) == [(17.5, 26.5, 5, 7)]


def test_every_box_is_counted_as_what_it_is(write):
    rows = [
        (10, 10, 20, 20),
        (10, 10, 20, 20),
        (90, 90, 20, 20),
        (99.5, 0, 1, 1),
        (120, 10, 5, 5),
        (50, 50, 0, 5),
        (50, 50, -5, 5),
        (-3, -5, 10, 10),
    ]
    placed = place(write("image,label,x,y,w,h\n", rows), (100, 100), "reference")
    expected = ["whole", "duplicate", "clipped", "whole", "outside", "empty", "empty", "clipped"]
    assert [row["status"] for row in placed] == expected
    assert sides(placed)[2] == (90, 90, 10, 10)
    assert sides(placed)[3] == (99.5, 0, 0.5, 1)
    assert sides(placed)[7] == (0, 0, 7, 5)
    assert [row["line_number"] for row in placed] == [*range(2, 10)]
    assert [row["box_number"] for row in placed] == [*range(8)]


def test_a_box_of_an_image_that_is_not_in_the_study_decides_nothing(write):
    path = write(PUBLISHED, DRAWN)
    placed = place(path, (256, 256), image_id="another")
    assert {row["status"] for row in placed} == {"no_reference"}
    assert place(path, (256, 256), (1024, 1024), "another")[0]["left_px"] is None


def test_a_row_without_numbers_is_no_box_and_an_unknown_header_is_named(write):
    empty = ("", "", "", "")
    header = "image_id,class_name,x_min,y_min,x_max,y_max\n"
    assert len(read_boxes(write(header, [to_corners(DRAWN[0]), empty]))) == 1
    with pytest.raises(StudyError, match=r"is no list of finding boxes: its header is image, .*a,"):
        read_boxes(write("image,label,a,b,c,d\n", DRAWN))


def test_any_frame_that_is_stated_gives_the_boxes_that_were_drawn(write):
    """Draw boxes in the references, write them in a frame, and read them back."""
    generator = random.Random(1)
    for _ in range(50):
        size = generator.randint(64, 2000), generator.randint(64, 2000)
        frame = generator.randint(64, 4000), generator.randint(64, 4000)
        drawn = []
        for _ in range(5):
            left, top = generator.uniform(0, size[0] - 9), generator.uniform(0, size[1] - 9)
            width = generator.uniform(1, size[0] - left)
            drawn.append((left, top, width, generator.uniform(1, size[1] - top)))
        across, down = frame[0] / size[0], frame[1] / size[1]
        rows = [(a * across, b * down, c * across, d * down) for a, b, c, d in drawn]
        placed = place(write("image,label,x,y,w,h\n", rows), size, frame)
        assert sides(placed) == [pytest.approx(box) for box in drawn]
