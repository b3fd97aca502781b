"""Figures for journals: PDF, widths, pages, captions apart, and nothing where nothing is."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis import fonts, output, pdf, theme
from upscale_audit.analysis.figures import quantity
from upscale_audit.analysis.figures import study as figures_study
from upscale_audit.analysis.figures.ledger import draw_ledger
from upscale_audit.analysis.figures.study import TALLEST_PT, draw_figures, plan_figures
from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.output import Print, read_caption, write_chart
from upscale_audit.ingest.errors import StudyError

pytestmark = pytest.mark.long

needs_japanese = pytest.mark.skipif(
    not fonts.can_draw_japanese(), reason="no font with Japanese characters is installed"
)
A4_TEXT_MM = 247


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return make_warehouse(tmp_path_factory.mktemp("small"), Case(has_lr=True))


@pytest.fixture
def marts(small):
    with Marts(small[0]) as opened:
        yield opened


def read_box(data):
    """Width and height of a PDF's page, in points."""
    return tuple(map(float, re.search(rb"/MediaBox \[0 0 (\S+) (\S+)\]", data).groups()))


# ---- PDF


def test_a_pdf_is_the_same_bytes_each_time_though_the_renderer_writes_others(marts):
    svg = output._renumber(output._render(theme.finish(draw_ledger(marts)).to_dict()))
    assert len({pdf.draw_pdf(svg) for _ in range(6)}) == 1


def test_a_pdf_has_a_table_that_finds_every_object_and_text_that_is_text(marts):
    svg = output._render(theme.finish(draw_ledger(marts)).to_dict())
    data = pdf.draw_pdf(svg)
    start = int(re.search(rb"startxref\n(\d+)\n%%EOF$", data)[1])
    assert data[start:].startswith(b"xref\n0 ")
    places = re.findall(rb"(\d{10}) 00000 n\r\n", data[start:])
    for number, place in enumerate(places, start=1):
        assert data[int(place) :].startswith(b"%d 0 obj\n" % number)
    used = {int(number) for number in re.findall(rb"\b(\d+) 0 R\b", b"".join(_dictionaries(data)))}
    assert used <= set(range(1, len(places) + 1))
    assert b"/Type /Font" in data
    assert b"/ToUnicode" in data


def _dictionaries(data):
    """What a PDF says outside of its streams."""
    return re.sub(rb"(?s)\nstream\n.*?\nendstream", b"", data).splitlines()


def test_objects_that_differ_in_order_alone_become_the_same():
    one = (
        b"%PDF-1.7\n\n1 0 obj\n<<\n  /Pages 3 0 R\n>>\nendobj\n\n"
        b"2 0 obj\n<<\n  /Length 9\n>>\nstream\n\nendobj\n3\nendstream\nendobj\n\n"
        b"3 0 obj\n<<\n  /x1 2 0 R\n  /x0 1 0 R\n>>\nendobj\n\nxref\n0 4\n"
        b"trailer\n<<\n  /Size 4\n  /Root 1 0 R\n>>\nstartxref\n9\n%%EOF"
    )
    other = (
        b"%PDF-1.7\n\n7 0 obj\n<<\n  /x0 5 0 R\n  /x1 6 0 R\n>>\nendobj\n\n"
        b"5 0 obj\n<<\n  /Pages 7 0 R\n>>\nendobj\n\n"
        b"6 0 obj\n<<\n  /Length 9\n>>\nstream\n\nendobj\n3\nendstream\nendobj\n\nxref\n0 8\n"
        b"trailer\n<<\n  /Size 8\n  /Root 5 0 R\n>>\nstartxref\n9\n%%EOF"
    )
    assert pdf.order_objects(one) == pdf.order_objects(other)
    assert pdf.order_objects(one).count(b" 0 obj\n") == 3


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7\n", b"1 0 obj\n<<\n>>\nendobj\n\n"])
def test_what_is_no_pdf_of_the_renderer_is_refused(data):
    with pytest.raises(ValueError, match="no PDF as the renderer writes it"):
        pdf.order_objects(data)


# ---- widths, plain, captions


@pytest.mark.parametrize("width_mm", [None, 174, 190])
def test_every_format_has_the_width_asked_for_at_300_dpi(marts, tmp_path, width_mm):
    chart = theme.finish(draw_ledger(marts))
    laid_out = float(re.search(r'width="([\d.]+)pt"', output.draw_svg(chart))[1])
    png, svg, page, _ = write_chart(chart, tmp_path, "ledger", Print(width_mm=width_mm))
    width = laid_out * (1 if width_mm is None else width_mm / 25.4 * 72 / 507)
    assert float(re.search(r'width="([\d.]+)pt"', svg.read_text())[1]) == pytest.approx(width)
    assert read_box(page.read_bytes())[0] == pytest.approx(width, abs=0.01)
    with Image.open(png) as image:
        assert image.width == pytest.approx(width / 72 * 300, abs=1.5)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_a_plain_figure_has_no_title_and_no_caption_and_its_page_has(marts, tmp_path):
    chart = theme.finish(draw_ledger(marts))
    _, svg, _, page = write_chart(chart, tmp_path, "ledger", Print(plain=True))
    title, caption = read_caption(chart)
    assert title.startswith("The ledger: what the squared error")
    assert caption.startswith("Mean over pixels (dn²)")
    assert "The ledger" not in svg.read_text()
    assert "The ledger" in page.read_text()
    assert "\n" not in caption


def test_a_japanese_caption_is_joined_without_spaces():
    chart = theme.draw_message("題", [], "x").properties(
        title={"text": ["局所", "品質"], "subtitle": ["一二", "三 four", "five", "六"]}
    )
    assert read_caption(chart) == ("局所品質", "一二三 four five 六")


def test_captions_stand_apart_and_what_has_nothing_to_show_is_not_drawn(small, tmp_path):
    path, references = small
    with Marts(path) as marts:
        plan = plan_figures(marts, references)
        few = {name: plan[name] for name in ("ledger", "tta_effect")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures_study, "plan_figures", lambda *_: few | {"none": _draw_none})
        paths = draw_figures(path, references, tmp_path / "figures", form=Print(plain=True))
    names = {item.name for item in paths}
    assert "none.png" not in names
    assert {"ledger.pdf", "tta_effect.png", "captions.txt"} <= names
    text = (tmp_path / "figures" / "captions.txt").read_text(encoding="utf-8")
    assert text.startswith("ledger\nThe ledger: what the squared error is made of")
    assert text.endswith("\nNot drawn\nnone: Nothing is there.\n")


def _draw_none(_):
    return theme.draw_message("None", [], "Nothing is there.")


# ---- pages


@pytest.mark.parametrize(("count", "name"), [(15, "short_{}"), (40, "a-very.long_" * 4 + "{:02d}")])
def test_no_figure_is_taller_than_a_page(tmp_path, count, name):
    names = tuple(name.format(number) for number in range(count))
    case = Case(models=names, source_models=names, has_lr=True, sizes=((16, 16),))
    path, _ = make_warehouse(tmp_path, case)
    with Marts(path) as marts:
        for figure in ("tta_effect", "ledger", "frame_profile"):
            draw = figures_study.STUDY_FIGURES[figure]
            plan = figures_study._share_out(marts, figure, draw, marts.models)
            heights = [output.measure_height(theme.finish(part(marts))) for part in plan.values()]
            assert max(heights) <= TALLEST_PT, figure
            assert len(plan) > 1 or figure != "tta_effect"
    assert TALLEST_PT / 72 * 25.4 * 190 / (507 / 72 * 25.4) <= A4_TEXT_MM


# ---- fonts


@needs_japanese
def test_a_japanese_label_is_drawn_in_one_font_without_serifs(tmp_path):
    case = Case(facts={"one": {"label": "高精細ネット"}})
    path, _ = make_warehouse(tmp_path, case)
    with Marts(path) as marts:
        svg = output.draw_svg(theme.finish(draw_ledger(marts)))
    assert "Noto Sans CJK JP" in svg
    assert "高精細ネット" in svg


def test_an_english_figure_keeps_its_font(marts):
    svg = output.draw_svg(theme.finish(draw_ledger(marts)))
    assert "CJK" not in svg


# ---- any quantity


@pytest.fixture
def built(small):
    return SimpleNamespace(warehouse=small[0], references=small[1], path="study.toml")


def test_a_map_of_a_quantity_has_a_scale_with_its_unit(built, tmp_path):
    paths, sources = quantity.write_quantity_map(
        built, "image_0", "variance_dn2_reference", tmp_path, model_id="one", width_mm=85
    )
    assert {path.suffix for path in paths} == {".png", ".svg", ".pdf", ".html", ".txt"}
    assert paths[0].parent == tmp_path / "notta_variance_dn2_reference" / "one" / "image_0"
    svg = next(path for path in paths if path.suffix == ".svg").read_text()
    assert "variance_dn2_reference (dn²)" in svg
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) <= 85 / 25.4 * 72 + 0.5
    assert list(sources) == ["reference/image_0.png"]


def test_a_signed_quantity_is_white_at_zero_and_a_magnitude_starts_white():
    signed = quantity.choose_scale("d", np.array([-3.14, 0.0, 1.0]))
    assert signed.is_signed
    assert (signed.low, signed.high) == (-3.1, 3.1) or signed.high == 3.2
    assert signed.paint(np.zeros(1)).min() > 240
    magnitude = quantity.choose_scale("m", np.linspace(0, 100, 1001))
    assert (magnitude.low, magnitude.high) == (0, 99)
    assert magnitude.paint(np.zeros(1)).min() > 240
    # What is all far from 0, as SSIM is, would have one colour.
    narrow = quantity.choose_scale("s", np.linspace(0.9, 1, 1001))
    assert narrow.low == pytest.approx(0.9, abs=0.002)
    assert narrow.high == pytest.approx(1, abs=0.002)
    for constant in (0.0, 5.0):
        scale = quantity.choose_scale("c", np.full(4, constant))
        assert scale.low < scale.high


def test_an_unknown_quantity_or_image_is_named_with_what_there_is(built, tmp_path):
    with pytest.raises(StudyError, match=r"no quantity 'nope' of a block; expected one of axis1, "):
        quantity.write_quantity_map(built, "image_0", "nope", tmp_path)
    with pytest.raises(StudyError, match="no image 'gone' in the warehouse"):
        quantity.write_quantity_map(built, "gone", "mse_dn2", tmp_path)
    with pytest.raises(StudyError, match="no block of 'image_0' has mse_dn2"):
        quantity.write_quantity_map(built, "image_0", "mse_dn2", tmp_path)
