"""Pages and vectors hold any text as a text: whatever a study names, nothing of it runs."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import duckdb
import numpy as np
import pytest

from tests.browser import dump_page, needs_browser
from tests.unit.analysis.conftest import Case, make_warehouse
from upscale_audit.analysis.figures.study import draw_figures
from upscale_audit.analysis.lqd.svg import Drawing
from upscale_audit.analysis.marts import quote_name, quote_text
from upscale_audit.analysis.output import clean_spec
from upscale_audit.analysis.pages import (
    check_own_page,
    compose_page,
    guard_page,
    spell_json,
    spell_text,
)
from upscale_audit.ingest.errors import StudyError

pytestmark = pytest.mark.long

PAYLOAD = (
    "</script></title></style><script>document.title='pwned'</script>"
    "<img src=x onerror=\"document.title='pwned'\"><svg onload='document.title=\"pwned\"'>"
    "<!--<script>&lt;{{1}}${1}\x1b\u2028\u202e"
)
VISIBLE = "<img src=x onerror="
# Columns in which a study's texts reach a figure; a published file names its models as it likes.
TEXTS = ("model_id", "image_id", "finding", "source_id")
# These values say how a row is read; they are no text of a user.
OWN_VALUES = ("any", "images")


class Tags(HTMLParser):
    """What a page's markup holds, as a parser that is not the browser reads it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.handlers, self.addresses = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def poison(path):
    """Put the payload behind every name of the warehouse's tables."""
    with duckdb.connect(str(path)) as connection:
        columns = connection.execute(
            "select table_name, column_name from duckdb_columns()"
            f" where column_name in {(*TEXTS, 'basis_id')} and schema_name = 'main'"
        ).fetchall()
        for table, column in columns:
            # The identifier of a basis is the model's behind a prefix.
            own = ("pooled", "standard-1", "frozen") if column == "basis_id" else OWN_VALUES
            connection.execute(
                f"update {quote_name(table)} set {column} = {column} || {quote_text(PAYLOAD)}"
                f" where {column} not in {own}"
            )
        for table in ("dim_components", "dim_models"):
            connection.execute(f"update {table} set label = label || {quote_text(PAYLOAD)}")
    return columns


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    case = Case(sources=("images", "other"), is_complete=False, lfv_paths=("notta",))
    path, references = make_warehouse(folder, case)
    assert {column for _, column in poison(path)} == {*TEXTS, "basis_id"}
    return draw_figures(path, references, folder / "figures")


def list_pages(paths):
    return [path for path in paths if path.suffix == ".html"]


def test_the_payload_is_on_most_pages(hostile):
    pages = list_pages(hostile)
    bearing = [page for page in pages if "onerror" in page.read_text(encoding="utf-8")]
    assert len(bearing) > 0.8 * len(pages) > 16


def test_a_parser_finds_no_markup_in_any_page_but_ours(hostile):
    for page in list_pages(hostile):
        found = Tags(page.read_text(encoding="utf-8"))
        assert sorted(found.tags) == sorted(
            ["html", "head", "title", "style", "body", "div"] + ["meta"] * 4 + ["script"] * 3
        ), page.name
        assert not found.handlers
        assert not found.addresses


def test_every_page_names_its_scripts_and_forbids_the_network(hostile):
    for page in list_pages(hostile):
        text = page.read_text(encoding="utf-8")
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
        assert rules["img-src"] == "data:"
        assert re.fullmatch(r"('sha256-[A-Za-z0-9+/=]{44}' ?){2}", rules["script-src"])


@needs_browser
def test_a_browser_draws_every_page_and_runs_no_name(hostile, tmp_path):
    for page in list_pages(hostile):
        dumped = dump_page(page.as_uri(), tmp_path, 'data-state="drawn"')
        assert 'data-state="drawn"' in dumped, page.name
        assert "<title>pwned" not in dumped, page.name


@needs_browser
def test_without_the_policy_the_escaping_alone_keeps_names_from_running(hostile, tmp_path):
    for page in list_pages(hostile)[::4]:
        text = page.read_text(encoding="utf-8")
        bare = tmp_path / page.name
        bare.write_text(re.sub(r'<meta http-equiv="Content-Sec[^>]*>', "", text), "utf-8")
        dumped = dump_page(bare.as_uri(), tmp_path, 'data-state="drawn"')
        assert 'data-state="drawn"' in dumped
        assert "<title>pwned" not in dumped


@needs_browser
def test_without_the_escaping_the_policy_alone_keeps_a_script_from_running(tmp_path):
    ours = "document.body.dataset.state = 'drawn';"
    page = compose_page("a title", f"<p>{PAYLOAD}</p>".replace("<!--", ""), scripts=[ours])
    path = tmp_path / "page.html"
    path.write_text(page, "utf-8")
    dumped = dump_page(path.as_uri(), tmp_path, 'data-state="drawn"')
    assert 'data-state="drawn"' in dumped
    assert "<title>pwned" not in dumped
    path.write_text(re.sub(r'<meta http-equiv="Content-Sec[^>]*>', "", page), "utf-8")
    assert "<title>pwned" in dump_page(path.as_uri(), tmp_path, "pwned</title>")


def test_every_vector_is_well_formed_and_holds_names_as_texts(hostile):
    bearing = 0
    for path in (path for path in hostile if path.suffix == ".svg"):
        root = ElementTree.fromstring(path.read_bytes())
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "foreignObject", "img", "style"}, path.name
        assert not [name for element in root.iter() for name in element.attrib if name[:2] == "on"]
        bearing += any(VISIBLE[:9] in (element.text or "") for element in root.iter())
    assert bearing > 8


def test_figures_of_hostile_names_lie_in_their_folder_under_plain_names(hostile):
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", path.name) for path in hostile)


def test_a_drawing_in_points_escapes_its_texts():
    drawing = Drawing(100, 'Some "Font"')
    drawing.add_text(0, 10, PAYLOAD + "\ud800\x00\uffff")
    drawing.add_paragraph(0, 10, PAYLOAD, 80)
    drawing.add_raster(0, 0, 8, 8, np.zeros((8, 8), np.uint8))
    root = ElementTree.fromstring(drawing.to_svg(20))
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {
        "svg",
        "defs",
        "rect",
        "text",
        "image",
    }
    assert spell_text(PAYLOAD) + "\\ud800\\x00\\uffff" in [element.text for element in root.iter()]


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("a\nb\u00a0c", "a\nb\u00a0c"),
        ("\x00\t\x1b\x7f\x85", r"\x00\t\x1b\x7f\x85"),
        ("\u2028\u202e\u2066\ufeff", r"\u2028\u202e\u2066\ufeff"),
        ("\udcff\uffff", r"\udcff\uffff"),
        ("\u8cea\u6b6a \u2212 \u200c\U0001f600", "\u8cea\u6b6a \u2212 \u200c\U0001f600"),
    ],
)
def test_what_no_eye_sees_is_spelt_by_its_number(text, spelt):
    assert spell_text(text) == spelt


def test_json_in_a_page_holds_no_character_of_markup():
    text = spell_json({"a": PAYLOAD, "b": ["\u2029", "\ud800", None, 0.1]})
    assert text.isascii()
    assert not set("<>&") & set(text)
    assert text.endswith(r'"b":["\u2029","\ud800",null,0.1]}')
    with pytest.raises(ValueError, match="JSON"):
        spell_json(float("nan"))


def test_a_missing_number_of_a_chart_is_null():
    spec = {"values": [float("nan"), float("inf"), 1.5, {"a\x00": "b\x1b"}], "flag": True}
    assert clean_spec(spec) == {"values": [None, None, 1.5, {r"a\x00": r"b\x1b"}], "flag": True}


@pytest.mark.parametrize("end", ["</script>", "</SCRIPT ", "<!-- <script>", "<script"])
def test_a_script_that_would_end_its_element_is_refused(end):
    with pytest.raises(ValueError, match="ends it"):
        compose_page("title", "", scripts=[f"const a = '{end}';"])
    with pytest.raises(ValueError, match="ends it"):
        compose_page("title", "", styles=["</style>"])


FOREIGN = """<!doctype html><html><head><meta charset="utf-8"><title>a</title>
<script>document.body0 = "<b>&amp;";</script><script type="text/template"><p></p></script>
</head><body><script defer="defer">document.body.dataset.state = "drawn";</script></body></html>"""


def test_a_page_of_another_program_gets_the_hashes_of_its_scripts():
    guarded = guard_page(FOREIGN)
    assert re.sub("<meta (http-equiv|name)[^>]*>", "", guarded) == FOREIGN
    assert len(re.findall("'sha256-", guarded)) == 2
    assert guarded.index("Content-Security-Policy") < guarded.index("<script")
    for spoilt in (
        FOREIGN.replace("<meta charset", "<meta name"),
        FOREIGN.replace("<script>", '<script src="a.js">'),
    ):
        with pytest.raises(ValueError, match="expected a charset and inline scripts"):
            guard_page(spoilt)


def test_a_page_is_replaced_where_it_names_us_or_its_manifest_stands_beside_it(tmp_path):
    page, manifest = tmp_path / "report.html", tmp_path / "report.manifest.json"
    check_own_page(page, manifest)
    for ours in (compose_page("title", ""), guard_page(FOREIGN)):
        page.write_text(ours)
        check_own_page(page, manifest)
    page.write_text(FOREIGN)
    with pytest.raises(StudyError, match="upscale-audit did not write it: move it away, or name"):
        check_own_page(page, manifest)
    manifest.write_text("{}")
    check_own_page(page, manifest)


@needs_browser
def test_a_browser_runs_a_guarded_page_and_no_script_that_was_added(tmp_path):
    guarded = guard_page(FOREIGN)
    path = tmp_path / "page.html"
    path.write_text(guarded.replace("<body>", f"<body>{PAYLOAD.replace('<!--', '')}"), "utf-8")
    dumped = dump_page(path.as_uri(), tmp_path, 'data-state="drawn"')
    assert 'data-state="drawn"' in dumped
    assert "<title>pwned" not in dumped
