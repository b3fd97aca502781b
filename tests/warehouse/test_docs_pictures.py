"""Pictures in README and docs are what the code draws."""

import re

from tests.pictures import LIST, draw, hash_drawing, read_list
from upscale_audit.ingest.files import hash_file

REPAIR = "run make docs-pictures"


def test_every_picture_that_a_document_shows_is_listed(repository):
    shown = set()
    for path in (repository / "README.md", *(repository / "docs").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        shown |= set(re.findall(r"!\[[^\]]*\]\((?:docs/)?([\w.]+)\)", text))
    assert shown == set(read_list()) == {path.name for path in LIST.parent.glob("*.png")}


def test_a_picture_that_was_drawn_is_the_file_that_stands():
    for name, item in read_list().items():
        if "picture_sha256" in item:
            assert hash_file(LIST.parent / name) == item["picture_sha256"], f"{name}: {REPAIR}"


def test_pictures_of_the_sample_are_what_the_code_draws_now(sample_study):
    recorded = {
        item["figure"]: item["drawing_sha256"]
        for item in read_list().values()
        if item.get("study") == "sample/study.toml"
    }
    assert len(recorded) == 3
    drawn = {name: hash_drawing(chart) for name, chart in draw(sample_study, recorded)}
    assert drawn == recorded, REPAIR
