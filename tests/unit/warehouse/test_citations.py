"""Texts of a paper's folder show a study's name as it is, whatever it holds."""

import pytest
from markdown_it import MarkdownIt

from upscale_audit.analysis.pages import spell_markdown, spell_text
from upscale_audit.ingest.errors import StudyError
from upscale_audit.warehouse.proof.citations import describe_folder
from upscale_audit.warehouse.proof.paper import find_licence

NAMES = (
    "nih-four v1.2",
    "<script>document.title='pwned'</script>",
    "</h1><img src=x onerror=alert(1)>",
    "[a](javascript:alert(1)) ![b](https://example.org/x.png) <https://example.org>",
    "www.example.org https://example.org me@example.org",
    "*a* _b_ `c` ~~d~~ | e | # f #",
    r"a\b &lt; &#60; &amp;",
    "two\n\n<b>lines</b>\n| a | b |",
    "\x1b[31m\u202e\u2028",
)


@pytest.mark.parametrize("name", NAMES)
def test_a_studys_name_in_the_readme_is_one_heading_of_plain_text(name):
    reader = MarkdownIt("gfm-like", {"linkify": False})
    tokens = reader.parse(describe_folder(name, "1" * 64, "2" * 64, False))
    assert [token.type for token in tokens[:3]] == ["heading_open", "inline", "heading_close"]
    shown = tokens[1].children
    assert {token.type for token in shown} <= {"text", "text_special"}
    assert "".join(token.content for token in shown) == spell_text(name).replace("\n", r"\n")
    assert not [token for token in tokens if token.type == "html_block"]


def test_no_address_in_a_name_is_left_for_a_reader_to_link():
    text = spell_markdown("www.example.org https://example.org WWW.example.org")
    assert "www.e" not in text.lower()
    assert "://" not in text


@pytest.mark.parametrize(
    "given", ["https://a b", "https://a<script>", "https://a](x)", "https://a`b`", "javascript:a()"]
)
def test_a_licence_that_would_be_markup_is_refused(given):
    with pytest.raises(StudyError, match="expected an https URL or an SPDX identifier"):
        find_licence(given)
