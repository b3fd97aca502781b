"""The one writer of HTML pages: texts escaped for where they stand, no script but ours run.

Each page carries a Content-Security-Policy: scripts run by their SHA-256, nothing is loaded from
anywhere, and what a page shows beside its own parts are images inside it. Each names its generator,
so that no file of a user's is taken for one.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from upscale_audit.ingest.errors import StudyError

# What a page may do beside running scripts that are named by their hash. Vega and the pages'
# own scripts set styles on elements, for which there are no hashes.
_POLICY = (
    "default-src 'none'",
    "img-src data:",
    "font-src data:",
    "style-src 'unsafe-inline'",
    "base-uri 'none'",
    "form-action 'none'",
)
_GENERATOR = '<meta name="generator" content="upscale-audit">'
_UNSAFE_IN_JSON = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}
_MARKDOWN = re.compile(r"[!-+/:-@\[-`{-~]")
_CLOSES_SCRIPT = re.compile(r"</script|<!--|<script", re.IGNORECASE)
_CLOSES_STYLE = re.compile(r"</style|<!--", re.IGNORECASE)
# Of these types a script element is run; any other holds data.
_SCRIPT_TYPES = ("", "text/javascript", "application/javascript", "module")
# Line ends within a text may stay; bidirectional controls and non-characters may not.
_UNPRINTABLE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff"
    "\ud800-\udfff]"
)


def compose_page(
    title: str,
    body: str,
    *,
    language: str = "en",
    styles: Sequence[str] = (),
    data: Mapping[str, Any] | None = None,
    scripts: Sequence[str] = (),
) -> str:
    """Compose a page that works from a file and without a network.

    Parameters
    ----------
    title : str
        Any text; it is escaped.
    body : str
        Markup of this project. A user's texts reach it escaped (`html.escape`) or as `data`.
    language : str
        Of the texts, as HTML names it.
    styles : sequence of str
        CSS of this project.
    data : dict, optional
        JSON values by the id of the element that holds them; see `spell_json`.
    scripts : sequence of str
        JavaScript of this project or of a library it pins, run in order.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        A style or script would end its own element.
    """
    for part, pattern in ((styles, _CLOSES_STYLE), (scripts, _CLOSES_SCRIPT)):
        for text in part:
            ending = pattern.search(text)
            if ending is not None:
                raise ValueError(f"{ending[0]!r} within an element's text ends it")
    lines = [
        "<!doctype html>",
        f'<html lang="{escape(language)}">',
        "<head>",
        '<meta charset="utf-8">',
        _spell_policy(scripts),
        _GENERATOR,
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(spell_text(title), quote=False)}</title>",
        *(f"<style>\n{style}</style>" for style in styles),
        "</head>",
        "<body>",
        body,
        *(
            f'<script type="application/json" id="{escape(name)}">{spell_json(value)}</script>'
            for name, value in (data or {}).items()
        ),
        *(f"<script>{script}</script>" for script in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def guard_page(markup: str) -> str:
    """Give a page that another program wrote a policy of ours: the scripts it has, and no others.

    Parameters
    ----------
    markup : str
        With a charset declaration in its head, and its scripts inside it.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        The page has no place for the policy, or loads a script.
    """
    found = _Scripts()
    found.feed(markup)
    found.close()
    head = re.search(r"<meta charset=[^>]*>", markup)
    if head is None or found.loads:
        raise ValueError(f"expected a charset and inline scripts, found {found.loads or 'none'}")
    return markup[: head.end()] + _spell_policy(found.scripts) + _GENERATOR + markup[head.end() :]


def check_own_page(page: Path, manifest: Path) -> None:
    """Refuse to replace a file without a manifest that this module did not write.

    Parameters
    ----------
    page : Path
        Where a page is to go.
    manifest : Path
        What is written after the page.

    Raises
    ------
    StudyError
    """
    if not page.exists() or manifest.is_file():
        return
    if page.is_file() and _GENERATOR.encode() in page.read_bytes():
        return
    raise StudyError(
        f"{page} is there, and upscale-audit did not write it: move it away, or name another folder"
        " as [study] output"
    )


def spell_json(value: object) -> str:
    r"""Spell a JSON value so that it may stand in any script element, or in JavaScript.

    Parameters
    ----------
    value : object
        What `json.dumps` takes, without NaN.

    Returns
    -------
    str
        ASCII; ``<``, ``>`` and ``&`` as ``\u003c``, ``\u003e`` and ``\u0026``.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.translate(_UNSAFE_IN_JSON)


def spell_text(text: str) -> str:
    r"""Spell what no eye sees and no XML holds by its number: ``\x1b``, ``\u202e``, ``\udcff``."""
    return _UNPRINTABLE.sub(
        lambda match: match[0].encode("unicode_escape", "surrogatepass").decode("ascii"), text
    )


def spell_markdown(text: str) -> str:
    r"""Spell a text so that Markdown shows it as it is: one line, no markup, no link.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Punctuation with a backslash before it, as CommonMark allows, but for ``-``, ``.`` and
        ``,``, which mean nothing within a line; ``www.`` too, of which GitHub makes a link.
    """
    text = _MARKDOWN.sub(r"\\\g<0>", spell_text(text).replace("\n", r"\n"))
    return re.sub(r"(?i)(www)\.", r"\1\.", text)


def _spell_policy(scripts: Sequence[str]) -> str:
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
        for script in scripts
    ]
    allowed = " ".join(f"'sha256-{each}'" for each in dict.fromkeys(hashes)) or "'none'"
    policy = "; ".join((*_POLICY, f"script-src {allowed}"))
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


class _Scripts(HTMLParser):
    """Texts of a page's scripts that are run, and addresses of those that would be loaded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.scripts: list[str] = []
        self.loads: list[str | None] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        kind = (attributes.get("type") or "").strip().lower()
        is_run = tag == "script" and kind in _SCRIPT_TYPES
        self._is_script = is_run and "src" not in attributes
        if self._is_script:
            self.scripts.append("")
        elif is_run:
            self.loads.append(attributes["src"])

    def handle_data(self, data: str) -> None:
        if self._is_script:
            self.scripts[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False
