"""Words in English and Japanese, and whether a font can draw them."""

import json
import re
import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from upscale_audit.analysis.fonts import can_draw_japanese as can_draw_japanese
from upscale_audit.analysis.fonts import font_family as font_family
from upscale_audit.analysis.theme import CHARACTER_EM
from upscale_audit.analysis.wide import WIDE
from upscale_audit.ingest.errors import StudyError

LANGUAGES = ("en", "ja")
# A line may not start with these (closing marks, small kana, the mark of a long vowel, repeats: JIS
# X 4051), nor end with those.
_CLOSING = (
    "\u3001\u3002\uff0c\uff0e\uff1a\uff1b\uff1f\uff01\uff09\u300d\u300f\u3011\uff05\u30fb\uff0f"
    "\u3005\u309d\u309e\u30fd\u30fe\u30fc"
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30f5\u30f6"
    ":;,.)"
)
_OPENING = "\uff08\u300c\u300e\u3010("
_PIECE = re.compile(rf"[{WIDE}]|(?:[^\s{WIDE}]|\u00a0)+|\s")


def get_texts(language: str, package: str = "upscale_audit.analysis.lqd") -> dict[str, Any]:
    """Give the words of a language, by key.

    Parameters
    ----------
    language : {"en", "ja"}
    package : str
        Whose words: it holds ``texts_en.json`` and ``texts_ja.json``.

    Returns
    -------
    dict
        Texts, and lists or dictionaries of texts that belong together.

    Raises
    ------
    StudyError
        Another language.
    """
    if language not in LANGUAGES:
        raise StudyError(f"language {language!r}; expected one of {', '.join(LANGUAGES)}")
    part = files(package).joinpath(f"texts_{language}.json")
    found: dict[str, Any] = json.loads(part.read_text(encoding="utf-8"))
    return found


def name_place(name: str, language: str) -> str:
    """Name the folder of what is drawn in a language, beside that of the English."""
    return name if language == "en" else f"{name}_{language}"


def measure_text(text: str, size_pt: float) -> float:
    """Estimate the width of a text in points: wide characters 1 em, others 0.53 em."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return size_pt * (wide + CHARACTER_EM * (len(text) - wide))


def wrap_text(text: str, width_pt: float, size_pt: float) -> list[str]:
    """Break a text into lines: at spaces, and between Japanese characters.

    Parameters
    ----------
    text : str
    width_pt, size_pt : float

    Returns
    -------
    list of str
    """
    # A number stays on the line of its unit.
    text = re.sub(r"(?<=\d) (?=%|dn|px)", "\u00a0", text)
    line: list[str] = []
    lines = []
    for piece in _PIECE.findall(text):
        is_full = measure_text("".join([*line, piece]).rstrip(), size_pt) > width_pt
        if is_full and "".join(line).strip() and not piece.isspace():
            place = _find_break([*line, piece])
            if place:
                lines.append("".join(line[:place]).strip())
                line = line[place:]
        line.append(piece)
    last = "".join(line).strip()
    return [*lines, last] if last else lines


def _find_break(pieces: Sequence[str]) -> int:
    """Find the last place at which a line may end and the next begin; 0 where there is none."""
    for place in range(len(pieces) - 1, 0, -1):
        if pieces[place][0] not in _CLOSING and pieces[place - 1][-1] not in _OPENING:
            return place
    return 0
