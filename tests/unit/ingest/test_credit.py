"""Who made a study: read from its file, or refused with what was expected."""

import pytest

from upscale_audit.ingest.credit import Author, Credit, Organisation, parse_credit
from upscale_audit.ingest.errors import StudyError

# ORCID's own examples, https://support.orcid.org/hc/en-us/articles/360006897674
VALID = ("0000-0002-1825-0097", "0000-0001-5109-3700", "0000-0002-1694-233X")


@pytest.mark.parametrize("orcid", VALID)
@pytest.mark.parametrize("form", ["{}", "https://orcid.org/{}", "http://orcid.org/{}/"])
def test_an_orcid_is_read_in_every_form_and_written_in_one(orcid, form):
    found = parse_credit({"authors": [{"name": "A", "orcid": form.format(orcid)}]})
    assert found.authors == (Author("A", f"https://orcid.org/{orcid}"),)


@pytest.mark.parametrize("orcid", VALID)
def test_any_other_digit_is_found(orcid):
    for place, digit in enumerate(orcid):
        for other in "0123456789":
            if digit in "-X" or other == digit:
                continue
            changed = orcid[:place] + other + orcid[place + 1 :]
            with pytest.raises(StudyError, match="check digit"):
                parse_credit({"authors": [{"name": "A", "orcid": changed}]})


def test_everything_there_is_to_say():
    found = parse_credit(
        {
            "authors": [
                {"name": " A. B. ", "affiliation": "X"},
                {"name": "C", "affiliation": {"name": "P"}},
            ],
            "publisher": {"name": "P", "url": "https://ror.org/00example"},
            "contact": "a@b.example",
        }
    )
    people = (Author("A. B.", None, Organisation("X")), Author("C", None, Organisation("P")))
    assert found == Credit(people, Organisation("P", "https://ror.org/00example"), "a@b.example")
    assert parse_credit({}) == Credit()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"author": []}, "expected a table of authors, publisher, contact"),
        ({"authors": {"name": "A"}}, "expected a list of"),
        ({"authors": ["A"]}, "author 1 = 'A'; expected a table of name, orcid, affiliation"),
        ({"authors": [{"name": "A"}, {"nam": "B"}]}, "author 2"),
        ({"authors": [{"name": " "}]}, "name = ' '; expected a non-empty string"),
        ({"authors": [{"name": "A", "affiliation": ""}]}, "affiliation = ''"),
        ({"authors": [{"name": "A", "orcid": "0000-0002"}]}, "expected 16 digits"),
        ({"authors": [{"name": "A", "orcid": 7}]}, "expected 16 digits"),
        ({"authors": 2 * [{"name": "A", "orcid": VALID[0]}]}, "two have the same orcid"),
        ({"publisher": 7}, "publisher = 7; expected a table of name, url"),
        ({"publisher": ""}, "publisher: publisher = ''; expected a non-empty string"),
        ({"publisher": {"url": "https://x.example"}}, "publisher: name = None"),
        ({"publisher": {"name": "P", "url": "x.example"}}, "expected a URL"),
        ({"authors": [{"name": "A"}], "contact": "a at b"}, "expected an e-mail address"),
        ({"contact": "a@b.example"}, "name one of them too"),
    ],
)
def test_what_is_wrong_is_said_with_what_was_expected(given, message):
    with pytest.raises(StudyError, match=message):
        parse_credit(given)
