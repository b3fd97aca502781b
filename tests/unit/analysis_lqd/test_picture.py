"""Pictures for papers: whole, the same twice, in a language that really renders."""

import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from upscale_audit.analysis import fonts
from upscale_audit.analysis.lqd import draw_map, draw_worst, scene, texts
from upscale_audit.analysis.lqd.measure import measure_map
from upscale_audit.analysis.lqd.picture import choose_limit, draw_picture, raster_map
from upscale_audit.analysis.lqd.scene import load_scene
from upscale_audit.analysis.lqd.sheet import rank_images
from upscale_audit.analysis.marts import Marts
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.study import load_study

needs_japanese = pytest.mark.skipif(
    not texts.can_draw_japanese(), reason="no font with Japanese characters is installed"
)
PUBLISHED_NAMES = {
    "p6_local_quality_data.csv",
    "p6_local_quality_data_statistics.csv",
    "p6_local_quality_heatmap.png",
    "p6_local_quality_heatmap.svg",
    "p6_local_quality_heatmap.pdf",
    "p6_local_quality_heatmap.html",
    *(f"p6_local_quality_heatmap_safe.{ending}" for ending in ("png", "svg", "pdf")),
}


def read_texts(path):
    """Every text of an SVG file, as one string."""
    root = ElementTree.fromstring(path.read_text(encoding="utf-8"))
    return " ".join(text.text for text in root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.fixture(scope="module")
def sample_scene(sample_study_file):
    study = load_study(sample_study_file)
    # Another output: the sample's warehouse need not be built.
    object.__setattr__(study, "output", sample_study_file.parent / "none")
    return load_scene(study, "rg1_r0c1", "upscayl_standard", "notta")


@pytest.fixture(scope="module")
def sample_map(sample_scene):
    return measure_map(sample_scene.reference, sample_scene.views[0].restored, patch_px=8)


def test_the_picture_has_print_size_and_says_its_numbers(sample_scene, sample_map, tmp_path):
    png, svg, pdf = draw_picture(sample_scene, sample_map, tmp_path)
    with Image.open(png) as image:
        assert image.width == round(510 / 72 * 300)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    shown = read_texts(svg).replace("\u00a0", " ")
    for words in ("rg1_r0c1", "upscayl_standard, no TTA", "n = 4,096 patches (512 × 512 px)"):
        assert words in shown
    assert f"mean {sample_map.local_ssim.mean():.4f}" in shown
    low = int((np.round(sample_map.local_ssim, 6) < 0.7).sum())
    assert f"{100 * low / 4096:.2f} % ({low})" in shown
    assert 'stroke="#FF0000"' in svg.read_text()
    # 504 pt and a margin of 3 on either side.
    assert b"/MediaBox [0 0 510 " in pdf.read_bytes()


def test_the_picture_for_any_eye_has_other_colours_and_says_so(sample_scene, sample_map, tmp_path):
    published = draw_picture(sample_scene, sample_map, tmp_path)
    safe = draw_picture(sample_scene, sample_map, tmp_path, palette="safe")
    assert [path.stem for path in safe] == ["p6_local_quality_heatmap_safe"] * 3
    assert all(path.is_file() for path in (*published, *safe))
    assert "White outline: local SSIM < 0.70" in read_texts(safe[1]).replace("\u00a0", " ")
    assert 'stroke="#FF0000"' not in safe[1].read_text()
    assert 'stroke="#FFFFFF"' in safe[1].read_text()


def test_the_picture_is_the_same_bytes_twice(sample_scene, sample_map, tmp_path):
    first = draw_picture(sample_scene, sample_map, tmp_path / "1")
    second = draw_picture(sample_scene, sample_map, tmp_path / "2")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@needs_japanese
def test_japanese_labels_are_drawn(sample_scene, sample_map, tmp_path):
    _, svg, _ = draw_picture(sample_scene, sample_map, tmp_path, "ja")
    assert "局所品質分布" in read_texts(svg)
    assert "TTAなし" in read_texts(svg)


def test_japanese_without_a_font_names_the_package(sample_scene, sample_map, tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "can_draw_japanese", lambda: False)
    with pytest.raises(StudyError, match="apt-get install fonts-noto-cjk"):
        draw_picture(sample_scene, sample_map, tmp_path, "ja")
    assert list(tmp_path.iterdir()) == []


def test_characters_that_no_font_has_look_alike():
    # What `can_draw_japanese` rests on; both characters are for private use.
    assert len({fonts._draw_character(character) for character in "\ue0f1\ue0f2"}) == 1


def test_both_languages_say_the_same_things():
    english, japanese = texts.get_texts("en"), texts.get_texts("ja")
    assert english.keys() == japanese.keys()
    for key, text in english.items():
        if isinstance(text, str):
            fields = [sorted(re.findall(r"{\w+}", each)) for each in (text, japanese[key])]
            assert fields[0] == fields[1], key
    assert len(english["keys"]) == len(japanese["keys"])
    with pytest.raises(StudyError, match="expected one of en, ja"):
        texts.get_texts("fr")


def test_lines_break_where_the_language_allows():
    assert texts.wrap_text("one two three", 60, 10) == ["one two", "three"]
    assert texts.wrap_text("share 5 % x", 45, 10) == ["share", "5\u00a0% x"]
    # No line starts with a closing mark or ends with an opening one.
    assert texts.wrap_text("あいう。え", 30, 10) == ["あい", "う。え"]
    assert texts.wrap_text("あい（う）", 30, 10) == ["あい", "（う）"]
    # Nor with a small kana or the mark of a long vowel; and none is wider than asked for.
    assert texts.wrap_text("一のブート", 30, 10) == ["一の", "ブート"]
    assert texts.wrap_text("一二キャラ", 30, 10) == ["一二", "キャラ"]
    assert texts.wrap_text("一\uff1a二", 10, 10) == ["一\uff1a", "二"]


@pytest.mark.parametrize(
    ("share", "size", "limit"), [(0.005, 9, 8), (0.006, 9, 16), (1, 4, 4), (1, 129, 255)]
)
def test_the_difference_scale_holds_995_in_1000_pixels(share, size, limit):
    difference = np.full(1000, min(size, 5), np.int16)
    difference[: round(share * 1000)] = -size
    assert choose_limit(difference) == limit


def test_a_map_cut_by_the_frame_keeps_the_images_shape(random_pair):
    measured = measure_map(*random_pair((23, 20)), patch_px=8)
    raster = raster_map(measured, 1024)
    assert raster.shape == (23, 20, 3)
    assert (raster[16:] == 140).all()
    assert not (raster[:16, :16] == 140).all()


def test_a_map_has_its_published_names_in_a_folder_of_its_own(built_study):
    paths, sources = draw_map(built_study, "a", "alpha", "tta", also=["beta"])
    assert {path.name for path in paths} == PUBLISHED_NAMES
    names = ["reference/a.png", "restored/alpha/tta/a.png", "restored/alpha/notta/a.png"]
    names.append("restored/beta/notta/a.png")
    root = built_study.path.parent
    assert sources == {name: hash_file(root / name) for name in names}
    folder = built_study.output / "maps" / "tta_8px" / "alpha" / "a"
    assert {path.name for path in folder.iterdir()} == PUBLISHED_NAMES


def test_images_are_ranked_worst_first_from_the_warehouse(built_study):
    with Marts(built_study.warehouse) as marts:
        worst, total = rank_images(marts, "alpha", "notta", 2)
    assert [image.image_id for image in worst] == ["c", "b"]
    assert total == 3
    assert worst[0].mean_ssim == pytest.approx(0.68, abs=1e-12)
    assert worst[0].min_ssim == 0.58
    # Columns 0 and 1 (0.58 and 0.68) lie below 0.70; in image a, 0.70 itself does not.
    assert (worst[0].low_count, worst[0].block_count) == (4, 6)
    assert worst[0].local_ssim.shape == (2, 3)


def test_the_contact_sheet_is_the_same_bytes_twice_and_says_its_numbers(built_study):
    (png, svg, pdf), sources = draw_worst(built_study, "alpha")
    first = png.read_bytes(), svg.read_bytes(), pdf.read_bytes()
    assert [path.read_bytes() for path in draw_worst(built_study, "alpha")[0]] == list(first)
    assert len(sources) == 9  # of each image the reference and alpha's two paths
    assert png.parent == built_study.output / "maps" / "notta_worst" / "alpha"
    shown = read_texts(svg).replace("\u00a0", " ")
    assert "The 3 of 3 images" in shown
    assert "mean 0.6800, min 0.5800, < 0.70: 66.7 %, n = 6" in shown
    with Image.open(io.BytesIO(first[0])) as image:
        assert image.width == 2125


def test_a_sheet_pairs_the_study_once_however_many_images_it_shows(built_study, monkeypatch):
    calls = []
    monkeypatch.setattr(scene, "pair_study", lambda study: calls.append(1) or pair_study(study))
    draw_worst(built_study, "alpha", count=3)
    assert calls == [1]


def test_a_sheet_without_data_is_refused(built_study, tiny_study):
    with pytest.raises(StudyError, match="no model 'gamma'"):
        draw_worst(built_study, "gamma")
    with pytest.raises(StudyError, match="no measured tta block"):
        draw_worst(built_study, "alpha", "tta")
    with pytest.raises(StudyError, match="run upscale-audit build first"):
        draw_worst(tiny_study.load(output="elsewhere"), "alpha")
