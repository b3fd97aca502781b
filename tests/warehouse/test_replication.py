"""The page of published claims is what the command writes, and its numbers are the marts'."""

import json

import pytest

from upscale_audit.analysis.marts import Marts
from upscale_audit.analysis.replication import format_replication, read_claims, read_findings

MARK = "<!-- replication: sample/study.toml -->\n"


@pytest.fixture(scope="module")
def findings(sample_study):
    with Marts(sample_study.warehouse) as marts:
        return read_findings(marts)


def test_the_page_holds_what_the_command_writes_of_the_sample(sample_study, repository):
    with Marts(sample_study.warehouse) as marts:
        written = format_replication(marts)
    page = (repository / "docs" / "replication.md").read_text(encoding="utf-8")
    assert page.split(MARK)[1] == written


def test_every_claim_has_its_words_and_every_finding_a_claim(findings):
    claims = read_claims()
    names = [claim["claim"] for claim in claims]
    assert len(set(names)) == len(names)
    for claim in claims:
        assert set(claim) == {"claim", "source", "published", "standing", "says", "settles"}
        assert all(claim.values())
    # The sample imports no published file, so nothing there bears on that file's rules.
    assert {row["claim"] for row in findings} == set(names) - {"rules of the published file"}


def test_standings_are_those_that_the_page_explains(repository):
    page = (repository / "docs" / "replication.md").read_text(encoding="utf-8")
    for claim in read_claims():
        assert f"| {claim['standing']} | " in page


def find(findings, claim, model_id, word=""):
    (row,) = (
        row
        for row in findings
        if (row["claim"], row["model_id"]) == (claim, model_id) and word in row["quantity"]
    )
    return row


def test_shares_are_counted_again_from_blocks(findings, query):
    counted = query(
        "select model_id, count(*) as block_count, count_if(axis1_notta > 0) as positive,"
        " count_if(axis1_notta != 0) as polar, count(distinct image_id) as images"
        " from fct_blocks where axis1_notta is not null group by model_id"
    )
    for row in counted.to_dicts():
        name = row["model_id"]
        share = int(row["positive"]) / int(row["polar"])
        assert find(findings, "polarity", name)["value"] == pytest.approx(share, rel=1e-12)
        blocks = find(findings, "blocks an image", name)
        assert blocks["value"] == row["block_count"] / row["images"] == 4096


def test_silent_shares_are_counted_again_from_states(findings, query):
    counted = query(
        "select model_id, count(*) as persistent, count_if(is_silent_notta) as silent"
        " from fct_block_states where zone = 'hidden' and state_error = 'Persistent'"
        " group by model_id"
    )
    assert counted.height
    for row in counted.to_dicts():
        found = find(findings, "silent among hidden persistent", row["model_id"], "error")
        share = int(row["silent"]) / row["persistent"]
        assert found["value"] == pytest.approx(share, rel=1e-12)
        assert f"of {row['persistent']} blocks" in found["remark"]


def test_the_four_states_make_up_all_blocks_that_are_judged(findings):
    rows = [row for row in findings if row["claim"] == "four states"]
    assert {row["value"] for row in rows if row["model_id"] != "bicubic"} == {1.0}
    assert all(row["value"] is None for row in rows if row["model_id"] == "bicubic")


def test_a_name_of_the_study_stays_within_its_cell(monkeypatch):
    row = {"claim": "polarity", "quantity": "q", "source_id": "a|b", "model_id": "<x>`\n",
           "value": -0.25, "low": -0.5, "high": 0.0, "remark": None}  # fmt: skip
    monkeypatch.setattr("upscale_audit.analysis.replication.read_findings", lambda _: [row])
    text = format_replication(None)
    assert r"| q (a\|b) | &lt;x>\`\\x0a | -0.25 | -0.5 to 0 |  |" in text
    assert text.count("Nothing in this study bears on it.") == len(read_claims()) - 1


def test_the_published_counts_follow_from_each_other():
    (claim,) = (one for one in read_claims() if one["claim"] == "blocks an image")
    assert "81,975,528" in claim["published"]
    assert 5004 * 16382 == 81975528
    (claim,) = (one for one in read_claims() if one["claim"] == "clean pairs of 300 images")
    assert 110 + 39 + 98 == 247
    assert "247" in json.dumps(claim)
