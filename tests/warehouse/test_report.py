"""The sample's report: its numbers are the tables', its pictures the images'."""

import base64
import io
import re
from html import unescape

import numpy as np
import pytest
from PIL import Image

from tests.browser import check_accessible, needs_browser, open_browser
from upscale_audit.analysis.report import cutouts
from upscale_audit.analysis.report.sentences import spell_number
from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.cli import drawing
from upscale_audit.warehouse.cli import main as cli
from upscale_audit.warehouse.cli.drawing import list_folders, write_study_report
from upscale_audit.warehouse.proof.verify import verify

MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def page(sample_study):
    write_study_report(sample_study)
    return (sample_study.output / "report.html").read_text(encoding="utf-8")


def read_cells(page):
    """Cells of the table of models, by model and path, tags taken out."""
    table = re.search(r"<table>.*?</table>", page, re.DOTALL)[0]
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table.split("<tr>")[2:]]
    cells = [[unescape(re.sub(r"<[^>]*>", " ", cell)).strip() for cell in row] for row in rows]
    return {(row[0], row[1]): row[2:] for row in cells}


@pytest.mark.long
def test_the_table_holds_what_the_marts_hold(page, query):
    cells = read_cells(page)
    judged = query("select * from mart_consistency").to_dicts()
    assert len(cells) == len(judged) == 9
    for row in judged:
        own = cells[row["model_id"], row["inference_path"]]
        assert own[0] == f"{row['image_count']}"
        names = ("invented_dn2", "lost_dn2", "bent_dn2")
        assert [cell.split()[0] for cell in own[4:7]] == [spell_number(row[name]) for name in names]
        assert own[7].split("\u00a0")[0] == spell_number(100 * row["contradicted_ratio"])
    for row in query(
        "select * from mart_model_means where quantity = 'mse_dn2' and source_id = 'images'"
    ).to_dicts():
        assert cells[row["model_id"], row["inference_path"]][1] == spell_number(row["mean"])


def test_the_first_sentences_name_who_contradicts_and_who_does_not(page):
    first, second = re.findall(r"<li>(.*?)</li>", page)[:2]
    order = [first.index(name) for name in ("realesr", "upscayl_digital", "upscayl_st", "bicubic")]
    assert order == sorted(order)
    assert second == "Never contradicted: span_x2_ch48."


def test_it_is_one_small_file_that_runs_nothing_and_loads_nothing(page):
    assert len(page) < MOST_BYTES
    assert "<script" not in page
    assert {address[:5] for address in re.findall(r'(?:src|href)="([^"]*)"', page)} == {"data:"}


def test_the_worst_block_of_a_model_is_its_worst_and_shown_as_it_is(sample_study, blocks, page):
    from upscale_audit.analysis.marts import Marts

    with Marts(sample_study.warehouse) as marts:
        found, sources = cutouts.cut_worst_blocks(
            marts, sample_study.references, list_folders(sample_study)
        )
    assert len(found) == 5
    assert len(sources) == 10
    for cutout in found:
        own = blocks.filter(blocks["model_id"] == cutout.label)
        assert cutout.mse_dn2 == own["mse_dn2_notta"].max()
        model = next(m for m in sample_study.models if m.model_id == cutout.label)
        places = (sample_study.references, model.notta)
        pixels = [
            np.asarray(Image.open(folder / f"{cutout.image_id}.png").convert("L")).astype(int)
            for folder in places
        ]
        block = np.s_[cutout.row_px : cutout.row_px + 8, cutout.col_px : cutout.col_px + 8]
        error = ((pixels[1][block] - pixels[0][block]) ** 2).mean()
        assert cutout.mse_dn2 == pytest.approx(error)
        row, col = cutout.frame
        inside = np.s_[row : row + 8, col : col + 8]
        for shown, whole in zip(cutout.pictures[:2], pixels, strict=True):
            assert np.array_equal(shown[inside], whole[block])
    drawn = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    assert len(drawn) == 15
    side = cutouts.SIDE_PX * 3
    assert all(Image.open(io.BytesIO(base64.b64decode(d))).size == (side, side) for d in drawn)


@pytest.mark.long
def test_it_is_signed_and_the_same_on_every_run(sample_study, page):
    write_study_report(sample_study)
    path = sample_study.output / "report.html"
    assert path.read_text(encoding="utf-8") == page
    assert not verify(sample_study.output, sample_study).findings
    path.write_text(page.replace("Never", "Often"), encoding="utf-8")
    findings = verify(sample_study.output, sample_study).findings
    assert [(item.problem, item.name) for item in findings] == [("differs", "report.html")]
    assert "report" in findings[0].repair
    write_study_report(sample_study)


@pytest.mark.long
@needs_browser
@pytest.mark.parametrize("language", ["ja", "en"])
def test_it_has_no_serious_accessibility_fault(sample_study, page, language):
    write_study_report(sample_study, language)
    with open_browser() as browser:
        browser.goto((sample_study.output / "report.html").as_uri())
        check_accessible(browser)


def test_before_a_build_there_is_nothing_to_report(tiny_study):
    with pytest.raises(StudyError, match="run upscale-audit build first"):
        write_study_report(tiny_study.load())


@pytest.mark.long
def test_the_japanese_report_lies_beside_the_english_and_both_are_verified(sample_study):
    write_study_report(sample_study)
    english = (sample_study.output / "report.html").read_bytes()
    write_study_report(sample_study, "ja")
    path = sample_study.output / "report.ja.html"
    assert (sample_study.output / "report.html").read_bytes() == english
    assert '<html lang="ja"' in path.read_text(encoding="utf-8")
    assert not verify(sample_study.output, sample_study).findings
    assert not verify(path).findings
    path.write_bytes(path.read_bytes() + b" ")
    (finding,) = verify(sample_study.output, sample_study).findings
    assert (finding.problem, finding.name) == ("differs", "report.ja.html")
    assert finding.repair.endswith("--lang ja")
    write_study_report(sample_study, "ja")


def test_a_map_of_a_quantity_and_a_japanese_map_are_verified_and_repaired_by_their_words(
    sample_study, monkeypatch
):
    monkeypatch.setattr(drawing, "load_study", lambda _: sample_study)
    words = ["rg1_r0c0", "span_x2_ch48", "--quantity", "d_sharp", "--width", "85", "--plain"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["map", "study.toml", *words])
    assert ended.value.code == 0
    place = sample_study.output / "maps" / "notta_d_sharp" / "span_x2_ch48" / "rg1_r0c0"
    assert {path.suffix for path in place.iterdir()} >= {".png", ".svg", ".pdf", ".html", ".txt"}
    assert not verify(sample_study.output, sample_study).findings
    (place / "quantity_map.png").write_bytes(b"")
    (finding,) = verify(sample_study.output, sample_study).findings
    assert finding.repair.endswith(f"{' '.join(words)}")
