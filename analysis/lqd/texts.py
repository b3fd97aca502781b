"""Words in English and Japanese, and whether a font can draw them."""

import json
import re
import unicodedata
from functools import cache
from importlib.resources import files

import vl_convert

from upscale_audit.analysis.theme import CHARACTER_EM
from upscale_audit.ingest.errors import StudyError

LANGUAGES = ("en", "ja")
FONT_LATIN = "Liberation Sans, Arial, Helvetica"
FONT_JAPANESE = "Noto Sans CJK JP, Noto Sans JP, IPAexGothic, IPAPGothic, IPAGothic"
# A line may not start with these, nor end with those.
_CLOSING = "\u3001\u3002\uff0c\uff0e\uff09\u300d\u300f\u3011\uff05:;,.)"
_OPENING = "\uff08\u300c\u300e\u3010("
_WIDE = r"\u3000-\u9fff\uff00-\uffef"
_PIECE = re.compile(rf"[{_WIDE}]|(?:[^\s{_WIDE}]|\u00a0)+|\s")


def get_texts(language, package="upscale_audit.analysis.lqd"):
    """Give the words of a language, by key.

    Parameters
    ----------
    language : {"en", "ja"}
    package : str
        Whose words: it holds ``texts_en.json`` and ``texts_ja.json``.

    Raises
    ------
    StudyError
        Another language.
    """
    if language not in LANGUAGES:
        raise StudyError(f"language {language!r}; expected one of {', '.join(LANGUAGES)}")
    part = files(package).joinpath(f"texts_{language}.json")
    return json.loads(part.read_text(encoding="utf-8"))


def font_family(language):
    """Name the fonts of a drawing.

    Raises
    ------
    StudyError
        Japanese is asked for and no installed font has its characters.
    """
    if language == "ja" and not can_draw_japanese():
        raise StudyError(
            "no installed font has Japanese characters; run"
            " apt-get install fonts-noto-cjk (or fonts-ipafont-gothic), or draw in English"
        )
    # The renderer draws a whole line in the first font that has all of it.
    first, second = (FONT_JAPANESE, FONT_LATIN) if language == "ja" else (FONT_LATIN, FONT_JAPANESE)
    return f"{first}, {second}, sans-serif"


@cache
def can_draw_japanese():
    """Whether two different characters come out as two different drawings.

    Without a font both are the same empty box, or nothing.
    """
    return len({_draw_character(character) for character in "質歪"}) == 2


def _draw_character(character):
    return vl_convert.svg_to_png(
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24">'
        f'<text x="2" y="20" font-size="20" font-family="{FONT_JAPANESE}, sans-serif">'
        f"{character}</text></svg>"
    )


def measure_text(text, size_pt):
    """Estimate the width of a text in points: wide characters 1 em, others 0.53 em."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return size_pt * (wide + CHARACTER_EM * (len(text) - wide))


def wrap_text(text, width_pt, size_pt):
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
    lines, line = [], ""
    for piece in _PIECE.findall(text):
        is_full = measure_text((line + piece).rstrip(), size_pt) > width_pt
        if is_full and line.strip() and piece not in _CLOSING and not piece.isspace():
            kept = line.rstrip(_OPENING)
            lines.append(kept.strip())
            line = line[len(kept) :]
        line += piece
    return [*lines, line.strip()] if line.strip() else lines
