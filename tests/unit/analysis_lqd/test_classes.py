"""Classes keep their lower bounds; colours pass through the published stops."""

import numpy as np
import pytest

from upscale_audit.analysis.lqd.classes import (
    CLASSES,
    classify,
    count_classes,
    paint,
    trace_outline,
)

BELOW, MISSING = 4, -1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "faithful"),
        (0.95, "faithful"),
        (0.949999, "good"),
        (0.9499, "good"),
        (0.90, "good"),
        (0.899999, "slight_loss"),
        (0.80, "slight_loss"),
        (0.799999, "degraded"),
        (0.70, "degraded"),
        (0.699999, "hallucination"),
        (0.0, "hallucination"),
        (-0.4381, "hallucination"),
        # Published as 0.950000, so Faithful to its reader.
        (0.9499997, "faithful"),
        (0.9499994, "good"),
    ],
)
def test_a_bound_belongs_to_the_class_above_it(value, expected):
    assert CLASSES[int(classify(value))].key == expected


def test_what_was_not_measured_has_no_class_and_no_share():
    values = np.array([0.96, np.nan, 0.5, 0.72])
    assert classify(values).tolist() == [0, MISSING, BELOW, 3]
    assert count_classes(values) == (1, 0, 0, 1, 1)


def test_colours_meet_the_published_stops():
    stops = {0.95: "0066ff", 1.0: "0066ff", 0.9: "00dd00", 0.8: "ffdd00", 0.7: "ff6600"}
    stops |= {0.0: "ff0000", -0.3: "ff0000", np.nan: "8c8c8c"}
    painted = paint(np.array(list(stops)))
    assert ["".join(f"{channel:02x}" for channel in colour) for colour in painted] == [
        *stops.values()
    ]


def test_the_safe_palette_grows_lighter_with_quality():
    painted = paint(np.linspace(0, 1, 101), "safe").astype(float)
    lightness = painted @ [0.2126, 0.7152, 0.0722]
    # Rounding to 8 bits may stall the slow rise below 0.70 by one step, never turn it.
    assert (np.diff(lightness) >= 0).all()
    assert lightness[-1] - lightness[70] > 100


def test_an_outline_goes_round_neighbours_once():
    mask = np.zeros((4, 5), bool)
    mask[1, 1:3] = True
    across = [(1, 1, 1, 3), (2, 1, 2, 3)]
    down = [(1, 1, 2, 1), (1, 3, 2, 3)]
    assert trace_outline(mask) == across + down
    assert trace_outline(np.zeros((2, 2), bool)) == []


def test_an_outline_includes_the_frame():
    assert trace_outline(np.ones((1, 1), bool)) == [
        (0, 0, 0, 1),
        (1, 0, 1, 1),
        (0, 0, 1, 0),
        (0, 1, 1, 1),
    ]
