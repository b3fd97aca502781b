"""What a study says the values of its masks mean."""

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.structures import parse_labels


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "labels = {}"),
        ("lung", "labels = 'lung'"),
        ({"0": "lung"}, "the value '0'"),
        ({"256": "lung"}, "the value '256'"),
        ({"1": "Lung"}, "calls 1 'Lung'"),
        ({"1": "body"}, "calls 1 'body'"),
        ({"1": 7}, "calls 1 7"),
        ({"1": "lung", "2": "lung"}, "two values 'lung'"),
    ],
)
def test_labels_are_checked(given, said):
    with pytest.raises(StudyError, match=said):
        parse_labels(given)


def test_labels_keep_their_order():
    assert parse_labels({"3": "heart", "1": "left lung"}) == ((3, "heart"), (1, "left lung"))
