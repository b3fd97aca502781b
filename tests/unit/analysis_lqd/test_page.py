"""The interactive page holds all it shows, loads nothing, and works in a browser."""

import base64
import html
import io
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from tests.browser import dump_page, needs_browser
from upscale_audit.analysis.lqd.classes import paint
from upscale_audit.analysis.lqd.measure import measure_map
from upscale_audit.analysis.lqd.page import pack_numbers, write_page
from upscale_audit.analysis.lqd.scene import load_scene
from upscale_audit.analysis.lqd.texts import get_texts


def read_data(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1]
    )


def unpack(packed, dtype):
    return np.frombuffer(base64.b64decode(packed), dtype)


def read_image(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))))


@pytest.fixture
def scene(built_study):
    return load_scene(built_study, "a", "alpha", "notta", also=["beta"])


@pytest.fixture
def page(scene, tmp_path):
    return write_page(scene, tmp_path / "page")


def test_the_page_holds_every_view_with_the_measured_numbers(scene, page):
    data = read_data(page)
    assert (data["height"], data["width"], data["patches"]) == (16, 24, [8, 16])
    assert (read_image(data["reference"]) == scene.reference).all()
    assert len(data["views"]) == 3
    for shown, view in zip(data["views"], scene.views, strict=True):
        assert (shown["model_id"], shown["path"]) == (view.model_id, view.inference_path)
        assert (read_image(shown["image"]) == view.restored).all()
        for size in (8, 16):
            measured = measure_map(scene.reference, view.restored, patch_px=size)
            packed = shown["maps"][str(size)]
            ssim = unpack(packed["ssim"], "<i4").reshape(packed["rows"], packed["cols"])
            is_missing = np.isnan(measured.local_ssim)
            assert (ssim[is_missing] == -(2**31)).all()
            rounded = np.round(measured.local_ssim[~is_missing], 6)
            assert (ssim[~is_missing] / 1e6 == rounded).all()
            terms = unpack(packed["terms"], "<i2").reshape(3, *ssim.shape)
            expected = np.stack([measured.luminance, measured.contrast, measured.structure])
            assert np.abs(terms[:, ~is_missing] / 1e4 - expected[:, ~is_missing]).max() <= 5.1e-5
            assert (terms[:, is_missing] == -(2**15)).all()


def test_directions_are_packed_with_their_step_and_missing_values(page):
    data = read_data(page)
    sharp, noise = data["components"]
    assert (sharp["unit"], sharp["step"]) == ("ln ratio", 0.001)
    assert (noise["unit"], noise["step"]) == ("dn", 0.01)
    directions = unpack(data["views"][0]["directions"], "<i2").reshape(2, 2, 3)
    null = -(2**15)
    assert directions.tolist() == [[[-1000, 0, 1000], [null] * 3], [[-325] * 3, [-325] * 3]]


def test_without_a_warehouse_the_page_says_so(tiny_study, tmp_path):
    scene = load_scene(tiny_study.load(), "a", "alpha", "notta")
    data = read_data(write_page(scene, tmp_path))
    assert data["views"][0]["directions"] is None
    assert "upscale-audit" in data["text"]["directions_none"]


def test_the_colours_are_those_of_the_picture(page):
    data = read_data(page)
    for name, palette in data["palettes"].items():
        table = unpack(palette["colours"], np.uint8).reshape(-1, 3)
        assert (table == paint(np.arange(1001) / 1000, name)).all()


def test_the_page_loads_nothing_and_forbids_it(page):
    text = page.read_text(encoding="utf-8")
    without_data = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]*", "", text)
    without_data = re.sub(r"'sha256-[A-Za-z0-9+/=]*'", "", without_data)
    assert not re.search(
        r"https?:|//[a-z]|@import|<link|<iframe|\ssrc=|fetch\(|url\(", without_data
    )
    assert "default-src 'none'" in text


def test_the_page_is_the_same_bytes_twice(scene, page, tmp_path):
    assert write_page(scene, tmp_path / "again").read_bytes() == page.read_bytes()


HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=1>$data\x1b\u2028"


def make_hostile(scene, folder):
    """Write a page whose image, model and components bear a hostile name."""
    object.__setattr__(scene, "image_id", HOSTILE)
    object.__setattr__(scene.views[0], "model_id", HOSTILE)
    names = dict.fromkeys(("component", "label", "positive_means", "negative_means"), HOSTILE)
    object.__setattr__(scene, "components", tuple(item | names for item in scene.components))
    return write_page(scene, folder)


def test_a_name_cannot_break_out_of_the_page(scene, tmp_path):
    page = make_hostile(scene, tmp_path)
    assert read_data(page)["image_id"] == read_data(page)["views"][0]["model_id"] == HOSTILE
    text = page.read_text(encoding="utf-8")
    assert "<script>document" not in text
    assert "<img" not in text


@needs_browser
def test_a_browser_shows_a_hostile_name_and_does_not_run_it(scene, tmp_path):
    page = make_hostile(scene, tmp_path / "page")
    dumped = dump_page(page.as_uri(), tmp_path, 'data-ready="yes"')
    assert 'data-ready="yes"' in dumped
    assert "<title>pwned" not in dumped
    assert "<img" not in dumped
    assert dumped.count("&lt;/script&gt;&lt;script&gt;document.title") > 2


def test_every_word_of_the_page_is_in_both_languages():
    parts = [
        files("upscale_audit.analysis.lqd").joinpath(name).read_text()
        for name in ("page.html", "page.js")
    ]
    used = set(re.findall(r'data-(?:text|label)="(\w+)"', parts[0]))
    used |= set(re.findall(r"\btext\.(\w+)", parts[1]))
    assert len(used) > 30
    for language in ("en", "ja"):
        assert used <= get_texts(language).keys()


def test_packing_rounds_as_the_published_file_does():
    values = np.array([0.95, 0.9499995, 0.9499994, -1, np.nan])
    packed = unpack(pack_numbers(values, 1e-6, "<i4"), "<i4")
    expected = [*np.rint(np.round(values[:-1], 6) * 1e6).astype(int), -(2**31)]
    assert packed.tolist() == expected


@pytest.mark.shared_data
def test_a_page_of_a_whole_radiograph_stays_light(shared_data, new_study_folder, tmp_path):
    folder = new_study_folder(tmp_path / "study")
    folder.add_model("upscayl_standard")
    nih, name = shared_data / "nih", "00000001_000.png"
    folder.put(name, (nih / "reference" / name).read_bytes())
    for path in ("notta", "tta"):
        content = (nih / "restored" / "upscayl_standard" / path / name).read_bytes()
        folder.put(name, content, "upscayl_standard", path)
    scene = load_scene(folder.load(), "00000001_000", "upscayl_standard", "notta")
    page = write_page(scene, tmp_path / "page", patch_px=64)
    # Five models with two paths each, and the directions that this page lacks, stay below 25 MB.
    assert page.stat().st_size < 4e6
    assert len(read_data(page)["views"]) == 2


@needs_browser
def test_a_browser_shows_the_numbers_of_the_patch_in_the_address(scene, page, tmp_path):
    address = f"{page.as_uri()}#patch=8&row=0&col=2"
    dumped = dump_page(address, tmp_path, 'data-ready="yes"')
    shown = html.unescape(re.sub(r"<script.*", "", dumped, flags=re.DOTALL))
    ssim = measure_map(scene.reference, scene.views[0].restored, patch_px=8).local_ssim[0, 2]
    assert 'data-ready="yes"' in dumped
    assert "Row 0   Column 2" in shown
    assert f'<output id="score">{ssim:.6f}</output>' in shown
    assert "+1.000 ln ratio" in shown
    assert "\u22123.25 dn" in shown


@needs_browser
def test_a_page_says_that_it_is_ready_when_its_numbers_are_drawn(page, tmp_path):
    # A busy browser may be asked for its document before it has shown a frame.
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    assert text.count("requestAnimationFrame(") == 1
    page.write_text(text.replace("requestAnimationFrame(", "void ("))
    dumped = dump_page(f"{page.as_uri()}#patch=8&row=0&col=2", tmp_path, 'data-ready="yes"')
    assert "Row 0   Column 2" in html.unescape(re.sub(r"<script.*", "", dumped, flags=re.DOTALL))
