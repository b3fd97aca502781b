"""The explorer of the sample study in a browser: what is seen is what the warehouse holds."""

import csv
import http.client
import io
import json
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from PIL import Image

from tests.browser import check_accessible, needs_browser, open_browser
from tests.explorer import serving

pytestmark = pytest.mark.long

pytest.importorskip("bokeh", reason="pip install 'upscale-audit[explore]'")

MODEL, IMAGE = "upscayl_digital", "rg1_r1c0"
LINKS = {
    "Figure, PNG": "figure.png",
    "Figure, SVG": "figure.svg",
    "Blocks, CSV": "blocks.csv",
    "Query, SQL": "blocks.sql",
}


@pytest.fixture(scope="module")
def address(sample_study):
    with serving(sample_study) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    with open_browser() as page:
        yield page


@pytest.fixture
def page(browser, address):
    """Give a fresh page, what it asked for, and what went wrong in it."""
    asked, wrong = [], []
    heard = {
        "request": lambda request: asked.append(request.url),
        "pageerror": lambda error: wrong.append(str(error)),
        "console": lambda line: wrong.append(line.text) if line.type == "error" else None,
    }
    for event, hear in heard.items():
        browser.on(event, hear)
    browser.goto(address)
    browser.get_by_label("Model").wait_for()
    yield browser
    for event, hear in heard.items():
        browser.remove_listener(event, hear)
    assert wrong == []
    assert {url for url in asked if not url.startswith((address, "data:", "blob:"))} == set()


def read_query(page):
    return page.locator("section.save pre").inner_text()


def choose(page, label, option, expected):
    """Choose an option, and wait until the query says so."""
    page.get_by_label(label).select_option(option)
    page.locator("section.save pre", has_text=expected).wait_for()


def save(page, name):
    with page.expect_download() as download:
        page.get_by_text(name, exact=True).click()
    assert download.value.suggested_filename == LINKS.get(name, "answer.csv")
    return Path(download.value.path()).read_bytes()


def drag_over_histogram(page, begin, end):
    box = page.locator("section.brush canvas").first.bounding_box()
    height = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + begin * box["width"], height)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], height, steps=8)
    page.mouse.up()
    page.locator("section.brush").get_by_text("The others are clear, ").wait_for()


def click_block(page, row, col, blocks=64):
    box = page.locator("section.films canvas").first.bounding_box()
    page.mouse.click(
        box["x"] + (col + 0.5) / blocks * box["width"],
        box["y"] + (row + 0.5) / blocks * box["height"],
    )
    page.locator("section.block").get_by_text(f"row {row}, column {col};").wait_for()


@needs_browser
def test_choose_brush_click_and_save(page, query):
    choose(page, "Model", MODEL, MODEL)
    choose(page, "Image", IMAGE, IMAGE)
    choose(page, "Inference path", "with augmentation (tta)", "axis1_tta")
    choose(page, "Map shows", "Invented, dn\u00b2", "invented_dn2_tta")
    choose(page, "Brush by", "Block SSIM", "local_ssim_tta")
    drag_over_histogram(page, 0.3, 0.8)

    text = read_query(page)
    assert "and local_ssim_tta between " in text
    seen = query(text)
    assert 0 < seen.height < 4096
    page.get_by_text(f"{seen.height:,} of 4,096 blocks: those whose Block SSIM is ").wait_for()

    rows = list(csv.reader(io.StringIO(save(page, "Blocks, CSV").decode())))
    assert rows[0] == seen.columns
    assert rows[1:] == [[str(value) for value in row] for row in seen.rows()]
    assert save(page, "Query, SQL").decode() == f"{text};\n"
    picture = Image.open(io.BytesIO(save(page, "Figure, PNG")))
    assert picture.width > 2000
    vector = ElementTree.fromstring(save(page, "Figure, SVG"))
    words = " ".join("".join(item.itertext()) for item in vector.iter() if "text" in item.tag)
    assert f"{seen.height:,} of 4,096 blocks" in words

    click_block(page, 20, 31)
    (block,) = query(
        f"select * from fct_blocks where model_id = '{MODEL}' and image_id = '{IMAGE}'"
        " and block_row = 20 and block_col = 31"
    ).to_dicts()
    cells = page.locator("section.block tr", has_text="Invented, dn").first.inner_text()
    assert cells.split()[-1] == str(block["invented_dn2_tta"])


@needs_browser
def test_the_address_of_a_view_opens_it_as_it_was(page):
    choose(page, "Model", MODEL, MODEL)
    choose(page, "Map shows", "Squared error, dn\u00b2", "mse_dn2_notta")
    page.get_by_label("Opacity of the map").select_option("40 %")
    page.get_by_label("Full colour at").fill("12.5")
    page.keyboard.press("Tab")
    link = page.get_by_text("Link to this view")
    page.locator("section.save a[href*='full=12.5']").first.wait_for()
    before = read_query(page)
    link.click()
    page.get_by_label("Full colour at").wait_for()
    assert page.get_by_label("Full colour at").input_value() == "12.5"
    assert page.get_by_label("Opacity of the map").input_value() == "40 %"
    assert read_query(page) == before


@needs_browser
def test_the_farthest_block_is_the_one_the_warehouse_has_farthest(page, query):
    choose(page, "Model", MODEL, MODEL)
    choose(page, "Map shows", "Squared error, dn\u00b2", "mse_dn2_notta")
    page.get_by_role("button", name="Farthest of those seen").click()
    (worst,) = query(
        f"select block_row, block_col from fct_blocks where model_id = '{MODEL}'"
        " and image_id = 'rg1_r0c0' order by mse_dn2_notta desc, block_row, block_col limit 1"
    ).rows()
    page.get_by_text("row {}, column {};".format(*worst)).wait_for()
    assert page.get_by_label("Block row").input_value() == str(worst[0])


def ask(page, sql):
    page.get_by_label("SQL, one query").fill(sql)
    page.get_by_role("button", name="Run").click()


@needs_browser
def test_the_sql_cell_answers_says_what_it_leaves_out_and_saves_all_of_it(page):
    ask(page, "select block_row from fct_blocks")
    page.get_by_text("The first 200 rows; there are more.").wait_for()
    assert page.get_by_label("Answer").locator("tbody tr").count() == 200
    assert save(page, "All of it, CSV").count(b"\n") == 1 + 5 * 6 * 4096


@needs_browser
def test_the_sql_cell_reads_no_file_and_a_long_query_is_stopped(page):
    answer = page.locator("section.sql [role=alert]")
    ask(page, "select * from read_text('/etc/hostname')")
    answer.get_by_text("file system operations are disabled").wait_for()
    ask(page, "select sum(a.block_row * b.block_row * c.block_row)"
        " from fct_blocks as a, fct_blocks as b, fct_blocks as c")  # fmt: skip
    running = page.get_by_text("Running; Stop ends it.")
    running.wait_for()
    choose(page, "Model", MODEL, MODEL)
    assert running.is_visible()  # the page answered while the query ran
    page.get_by_role("button", name="Stop").click()
    answer.get_by_text("stopped").wait_for()
    ask(page, "select 40 + 2 as sum")
    page.get_by_text("42", exact=True).wait_for()


@needs_browser
def test_a_table_is_described_in_the_words_of_the_warehouse(page, query):
    page.get_by_label("Table").select_option("mart_coverage")
    (said,) = query("select description from dim_tables where table_name = 'mart_coverage'").rows()
    page.get_by_text(said[0], exact=True).wait_for()


@needs_browser
def test_everything_is_done_with_a_keyboard(page):
    page.get_by_label("Model").focus()
    page.keyboard.press("ArrowDown")
    page.locator("section.save pre", has_text="realesr_animevideov3").wait_for()
    page.get_by_label("Block row").fill("7")
    page.keyboard.press("Tab")
    page.get_by_text("row 7, column ").wait_for()
    page.get_by_label("from").fill("0")
    page.keyboard.press("Tab")
    page.keyboard.type("1")
    page.keyboard.press("Tab")
    page.locator("section.save pre", has_text="between 0.000000 and 1.000000").wait_for()
    page.get_by_label("SQL, one query").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("select 6 * 7 as product")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("cell", name="42", exact=True).wait_for()


@needs_browser
def test_the_explorer_has_no_serious_accessibility_fault(page):
    check_accessible(page)
    ask(page, "select * from dim_models")
    page.get_by_text("5 rows.").wait_for()
    check_accessible(page)


@needs_browser
def test_a_file_that_was_changed_is_not_shown_and_its_map_is(
    browser, sample_study, tmp_path, encode_png
):
    references = tmp_path / "reference"
    shutil.copytree(sample_study.references, references)
    (references / "rg1_r0c0.png").write_bytes(
        encode_png(Image.open(references / "rg1_r0c1.png").convert("L"))
    )
    (references / "rg1_r0c1.png").unlink()
    with serving(replace(sample_study, references=references)) as address:
        browser.goto(f"{address}/?image=rg1_r0c0")
        browser.get_by_text("rg1_r0c0.png is not the file that was measured").wait_for()
        browser.get_by_text("4,096 of 4,096 blocks have a value.").wait_for()
        browser.get_by_label("Image").select_option("rg1_r0c1")
        browser.get_by_text("rg1_r0c1.png cannot be read in").wait_for()
        browser.goto("about:blank")


def fetch(address, path="/", **headers):
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    try:
        connection.request(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_whoever_comes_by_another_name_or_from_another_page_is_refused(address, headers):
    for path in ("/", "/ws", "/save/answer.csv?sql=select+1", "/static/js/bokeh.min.js"):
        assert fetch(address, path, **headers)[0] == 403


def test_every_answer_forbids_what_is_not_its_own(address):
    status, headers, body = fetch(address)
    rules = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert status == 200
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert rules["connect-src"] == "'self'"
    assert "unsafe" not in rules["script-src"]
    assert b"http:" not in body.replace(b"http://www.w3.org", b"")
    assert fetch(address, Sec_Fetch_Site="none", Origin=address)[0] == 200


def test_a_refused_query_is_a_line_and_no_file(address):
    status, _, body = fetch(address, "/save/answer.csv?sql=copy+dim_models+to+'x.csv'")
    assert (status, body) == (400, b"expected a query, found a statement of type COPY\n")
    assert fetch(address, "/save/other.csv")[0] == 404


def test_no_text_of_a_saved_answer_runs_in_a_spreadsheet(address):
    sql = "select '=1+1' as first, '''@a' as second, -1 as third, 'a' as fourth"
    _, _, body = fetch(address, f"/save/answer.csv?{urlencode({'sql': sql})}")
    assert body == b"first,second,third,fourth\n'=1+1,''@a,-1,a\n"


def test_the_page_holds_its_state_in_its_address(address):
    words = f"model={MODEL}&image={IMAGE}&show=local_ssim&by=mse_dn2&low=3&high=1"
    _, headers, body = fetch(address, f"/save/blocks.sql?{words}")
    assert headers["Content-Disposition"] == 'attachment; filename="blocks.sql"'
    text = body.decode()
    assert "mse_dn2_notta between 1.000000 and 3.000000" in text
    assert json.dumps(MODEL)[1:-1] in text
