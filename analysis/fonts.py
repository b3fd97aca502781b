"""Which fonts a drawing is set in, by what it says."""

import re
from collections.abc import Iterable
from functools import cache

import vl_convert

from upscale_audit.analysis.wide import WIDE
from upscale_audit.ingest.errors import StudyError

FONT_LATIN = "Liberation Sans, Arial, Helvetica"
FONT_JAPANESE = "Noto Sans CJK JP, Noto Sans JP, IPAexGothic, IPAPGothic, IPAGothic"
_WIDE = re.compile(f"[{WIDE}]")


def has_wide(text: str) -> bool:
    """Whether a text has characters that a Latin font has not."""
    return _WIDE.search(text) is not None


def choose_family(texts: Iterable[str], family: str) -> str:
    """Choose the fonts of a drawing: of one with Japanese names too, those that have both.

    Parameters
    ----------
    texts : iterable of str
        What is drawn.
    family : str
        Its fonts, if they do.

    Returns
    -------
    str

    Notes
    -----
    The renderer looks for a character that a font lacks in any other, thin and with serifs as it
    comes, and a bold text is bold no more.
    """
    if any(map(has_wide, texts)) and can_draw_japanese():
        return font_family("ja")
    return family


def font_family(language: str) -> str:
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
def can_draw_japanese() -> bool:
    """Whether two different characters come out as two different drawings.

    Without a font both are the same empty box, or nothing.
    """
    return len({_draw_character(character) for character in "質歪"}) == 2


def _draw_character(character: str) -> bytes:
    return vl_convert.svg_to_png(
        '<svg xmlns="http://www.w3.org/2000/svg" width="24" height="24">'
        f'<text x="2" y="20" font-size="20" font-family="{FONT_JAPANESE}, sans-serif">'
        f"{character}</text></svg>"
    )
