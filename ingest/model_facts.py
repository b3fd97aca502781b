"""What a study says of its models beside their images: names for people, and what they are.

Nothing here changes a number: a label, an order or a colour may change at any time, and no block is
measured or scored again for it.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from upscale_audit.ingest.errors import StudyError, require_value

MAX_CHARACTERS = 80
"""Of a label, a family or an architecture: what three lines beside an axis hold."""
MINIMUM_CONTRAST = 2.0
"""Contrast of a colour with white paper below which a thin line of it is not seen."""
DEFAULT_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000",
    "#882255", "#999933", "#332288", "#aa4499", "#44aa99",
)  # fmt: skip
"""Of models without a stated colour, in their order, again from the first where they are more.

Okabe and Ito's without their yellow, which white paper swallows, then Tol's muted ones.
"""

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SOURCE = re.compile(r"https?://[^\s<>\"]{1,500}|10\.\d{4,9}/[^\s<>\"]{1,200}")


@dataclass(frozen=True)
class ModelFacts:
    """What a ``[[models]]`` table may say of a model; what it does not say is None.

    Attributes
    ----------
    label : str or None
        Its name in figures, the report and LaTeX tables.
    family, architecture : str or None
    scale : int or None
        Sides of its output over sides of its input.
    weights_sha256 : str or None
        Of its weights; of the ``.bin`` of an ncnn network.
    weights_url : str or None
        Where they are to be had: a URL, or a DOI (10....).
    order : int or None
        Its place among the models; those without one follow by name.
    colour : str or None
        ``#rrggbb``, in lower case.
    """

    label: str | None = None
    family: str | None = None
    architecture: str | None = None
    scale: int | None = None
    weights_sha256: str | None = None
    weights_url: str | None = None
    order: int | None = None
    colour: str | None = None

    def __post_init__(self) -> None:
        for key in ("label", "family", "architecture"):
            text = getattr(self, key)
            is_line = text is None or (text.isprintable() and text == text.strip() != "")
            expected = f"one line of 1 to {MAX_CHARACTERS} characters that are seen"
            require_value(is_line and len(text or "") <= MAX_CHARACTERS, key, text, expected)
        require_value(self.scale is None or 1 <= self.scale <= 16, "scale", self.scale, "1..16")
        sha256, url = self.weights_sha256, self.weights_url
        is_hash = sha256 is None or _SHA256.fullmatch(sha256)
        require_value(is_hash, "weights_sha256", sha256, "64 lower-case hexadecimal digits")
        is_source = url is None or _SOURCE.fullmatch(url)
        require_value(
            is_source, "weights_url", url, "an https URL, or a DOI as 10.5281/zenodo.1234567"
        )
        in_range = self.order is None or 1 <= self.order <= 100_000
        require_value(in_range, "order", self.order, "1 or more")
        self._check_colour()

    def _check_colour(self) -> None:
        if self.colour is None:
            return
        require_value(
            _COLOUR.fullmatch(self.colour), "colour", self.colour, '#rrggbb, as "#0072b2"'
        )
        contrast = measure_contrast(self.colour)
        if contrast < MINIMUM_CONTRAST:
            raise StudyError(
                f"colour = {self.colour!r} has a contrast of {contrast:.1f} with white paper;"
                f" expected {MINIMUM_CONTRAST:g} or more: take a darker one"
            )
        object.__setattr__(self, "colour", self.colour.lower())


KEYS = tuple(item.name for item in fields(ModelFacts))
"""The keys of a ``[[models]]`` table that are facts."""


@dataclass(frozen=True)
class Face:
    """How every figure shows a model: its place from 1 on, its name for people, its colour."""

    number: int
    label: str
    colour: str


def measure_contrast(colour: str) -> float:
    """Contrast of a colour with white.

    Parameters
    ----------
    colour : str
        ``#rrggbb``, sRGB.

    Returns
    -------
    float
        1 (white) to 21 (black).

    References
    ----------
    W3C (2018). Web Content Accessibility Guidelines 2.1, contrast ratio.
    """
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = sum(c * weight for c, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
    return 1.05 / (luminance + 0.05)


def check_facts(facts: Mapping[str, ModelFacts]) -> None:
    """Refuse facts that would show two models as one.

    Parameters
    ----------
    facts : dict
        `ModelFacts` by `model_id`.

    Raises
    ------
    StudyError
        Two models have one order, one colour, or one label, where what has none goes by its name.
    """
    for key in ("order", "colour"):
        stated = ((name, getattr(item, key)) for name, item in facts.items())
        _refuse_twice(key, [(name, value, value) for name, value in stated if value is not None])
    labels = [(name, item.label or name) for name, item in facts.items()]
    _refuse_twice("label", [(name, text, text.casefold()) for name, text in labels])


def _refuse_twice(key: str, stated: Sequence[tuple[str, int | str, int | str]]) -> None:
    known: dict[int | str, str] = {}
    for model_id, value, same in stated:
        other = known.setdefault(same, model_id)
        if other != model_id:
            raise StudyError(
                f"{key} = {value!r} is of {other!r} and of {model_id!r}; give each model its own"
            )


def show_models(facts: Mapping[str, ModelFacts]) -> dict[str, Face]:
    """Give each model its place, its label and its colour.

    Parameters
    ----------
    facts : dict
        `ModelFacts` by `model_id`.

    Returns
    -------
    dict
        `Face` by `model_id`, in their order: the stated ones first, then the others by name.
    """
    names = sorted(facts, key=lambda name: (facts[name].order is None, facts[name].order, name))
    stated = {item.colour for item in facts.values()}
    free = itertools.cycle([c for c in DEFAULT_COLOURS if c not in stated] or DEFAULT_COLOURS)
    return {
        name: Face(number, facts[name].label or name, facts[name].colour or next(free))
        for number, name in enumerate(names, start=1)
    }
