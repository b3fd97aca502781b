"""What a study says of its models beside their images: what is refused, and how they are shown."""

from itertools import pairwise

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.model_facts import (
    DEFAULT_COLOURS,
    MINIMUM_CONTRAST,
    ModelFacts,
    check_facts,
    measure_contrast,
    show_models,
)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("label", "", "expected one line of 1 to 80 characters"),
        ("label", " x", "expected one line"),
        ("label", "two\nlines", "expected one line"),
        ("label", "turned \u202e round", "expected one line"),
        ("family", "x" * 81, "expected one line of 1 to 80 characters"),
        ("architecture", "\x1b[31m", "expected one line"),
        ("scale", 0, r"expected 1\.\.16"),
        ("weights_sha256", "AB" * 32, "64 lower-case hexadecimal digits"),
        ("weights_url", "ftp://x", "an https URL, or a DOI"),
        ("weights_url", 'https://x/"><script>', "an https URL, or a DOI"),
        ("order", 0, "expected 1 or more"),
        ("colour", "blue", "#rrggbb"),
        ("colour", "#12345", "#rrggbb"),
        ("colour", "#F0E442", r"a contrast of 1\.3 with white paper; expected 2 or more"),
    ],
)
def test_a_fact_that_no_figure_can_show_is_refused_by_its_key(key, value, said):
    with pytest.raises(StudyError, match=rf"^{key} = .*{said}"):
        ModelFacts(**{key: value})


def test_contrast_is_that_of_the_guidelines():
    assert measure_contrast("#ffffff") == pytest.approx(1)
    assert measure_contrast("#000000") == pytest.approx(21)
    # 4.48, the grey known for just missing 4.5.
    assert measure_contrast("#777777") == pytest.approx(4.478, abs=0.001)


def test_default_colours_are_seen_and_told_apart():
    assert len(set(DEFAULT_COLOURS)) == len(DEFAULT_COLOURS)
    assert min(map(measure_contrast, DEFAULT_COLOURS)) >= MINIMUM_CONTRAST


def test_stated_orders_come_first_then_names():
    facts = {
        "d": ModelFacts(),
        "b": ModelFacts(order=20),
        "c": ModelFacts(),
        "a": ModelFacts(order=100, label="Alpha"),
    }
    faces = show_models(facts)
    assert [*faces] == ["b", "a", "c", "d"]
    assert [face.number for face in faces.values()] == [1, 2, 3, 4]
    assert [face.label for face in faces.values()] == ["b", "Alpha", "c", "d"]


def test_a_colour_that_is_stated_is_given_to_no_other_model():
    taken = DEFAULT_COLOURS[0]
    facts = {"a": ModelFacts(), "b": ModelFacts(colour=taken.upper()), "c": ModelFacts()}
    colours = [face.colour for face in show_models(facts).values()]
    assert colours == [DEFAULT_COLOURS[1], taken, DEFAULT_COLOURS[2]]


def test_many_models_begin_the_colours_again_and_neighbours_differ():
    colours = [
        f.colour for f in show_models({f"{n:03d}": ModelFacts() for n in range(40)}).values()
    ]
    assert colours[: len(DEFAULT_COLOURS)] == [*DEFAULT_COLOURS]
    assert all(one != other for one, other in pairwise(colours))


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        (ModelFacts(order=3), ModelFacts(order=3), "order = 3 is of 'one' and of 'other'"),
        (ModelFacts(label="Span"), ModelFacts(label="SPAN"), "label = 'SPAN' is of"),
        (ModelFacts(label="Other"), ModelFacts(), "label = 'other' is of"),
        (ModelFacts(colour="#AA0000"), ModelFacts(colour="#aa0000"), "colour = '#aa0000' is of"),
    ],
)
def test_two_models_that_would_look_like_one_are_refused(one, other, said):
    with pytest.raises(StudyError, match=f"^{said}.*; give each model its own"):
        check_facts({"one": one, "other": other})


def test_models_without_facts_go_together():
    check_facts({"one": ModelFacts(), "other": ModelFacts()})
