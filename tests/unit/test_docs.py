"""Pages can be found, and their links lead somewhere."""

import re

import pytest

FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)")


@pytest.fixture(scope="module")
def pages(repository):
    """Give the text of every page, code left out, by path."""
    paths = [
        path for folder in ("", "docs/", "sample/") for path in repository.glob(f"{folder}*.md")
    ]
    return {path: FENCED.sub("", path.read_text(encoding="utf-8")) for path in paths}


def name_anchor(heading):
    """Name the anchor that GitHub gives a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def test_every_link_leads_to_a_file_and_a_heading_of_it(pages):
    anchors = {
        path: {name_anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
        for path, text in pages.items()
    }
    broken = []
    for page, text in pages.items():
        for name, anchor in LINK.findall(text):
            target = (page.parent / name).resolve() if name else page
            if not target.exists() or (anchor and anchor not in anchors[target]):
                broken.append((page.name, f"{name}#{anchor}"))
    assert broken == []
    assert sum(len(LINK.findall(text)) for text in pages.values()) > 100


def test_the_index_names_every_page_of_docs_once(pages, repository):
    docs = repository / "docs"
    named = [name for name, _ in LINK.findall(pages[docs / "README.md"]) if "/" not in name]
    assert sorted(named) == sorted(p.name for p in docs.glob("*.md") if p.name != "README.md")
