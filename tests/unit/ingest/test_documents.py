"""JSON documents are bounded and of a stated shape, whatever their hashes say."""

import json
import tracemalloc
from typing import Any, Literal, NotRequired, TypedDict

import pytest

from upscale_audit.ingest.documents import check_shape, parse_document, read_document


class Inner(TypedDict):
    """A shape for the tests."""

    size: int
    note: NotRequired[str | None]


class Outer(TypedDict):
    """Another, that holds it."""

    kind: Literal["a", 1]
    ratio: float
    items: list[Inner]
    by_name: dict[str, bool]
    rest: Any


GOOD = {"kind": "a", "ratio": 1, "items": [{"size": 2}], "by_name": {"x": True}, "rest": [None]}


def test_a_document_of_the_shape_passes_with_keys_that_are_not_named():
    check_shape(GOOD, Outer)
    check_shape(GOOD | {"more": 1, "items": [{"size": 1, "note": None, "other": 2}]}, Outer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": True}, r"\['kind'\]: expected 'a' or 1, found True"),
        ({"ratio": "1"}, r"\['ratio'\]: expected a number, found '1'"),
        ({"ratio": True}, r"\['ratio'\]: expected a number, found True"),
        ({"items": {"a": 1}}, r"\['items'\]: expected a list, found \{'a': 1\}"),
        ({"items": [{"size": 2}, {"size": 1.0}]}, r"\['items'\]\[1\]\['size'\]: expected a whole"),
        ({"items": [{}]}, r"\['items'\]\[0\] lacks 'size'"),
        ({"items": [{"size": 2, "note": 3}]}, r"\['note'\]: expected null, found 3"),
        ({"by_name": {"x": 1}}, r"\['by_name'\]\['x'\]: expected true or false, found 1"),
        ({"by_name": []}, r"\['by_name'\]: expected a table, found \[\]"),
    ],
)
def test_the_first_place_of_another_type_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        check_shape(GOOD | change, Outer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deep"),
        ("NaN", "NaN is no JSON number"),
        ('{"a": Infinity}', "Infinity is no JSON number"),
        ("{", "Expecting property name"),
        ("1" * 5000, "Exceeds the limit"),
        (b"\xff", "can't decode byte"),
    ],
)
def test_what_is_no_json_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        parse_document(text, Any)


def test_a_document_is_bounded_before_it_is_read(tmp_path):
    path = tmp_path / "x.json"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than 1000 bytes"):
        read_document(path, Any, 1000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    path.write_text(json.dumps(GOOD))
    assert read_document(path, Outer) == GOOD
