"""Who made a study, as its file says: for what is handed to a data repository."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from upscale_audit.ingest.errors import StudyError

_ORCID = re.compile(r"(?:https?://orcid\.org/)?([0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X])/?")
_URL = re.compile(r"https?://[^\s<>\"]+")
_MAIL = re.compile(r"[^\s@<>\"]+@[^\s@<>\"]+\.[^\s@<>\"]+")
_AUTHOR_KEYS, _ORGANISATION_KEYS = ("name", "orcid", "affiliation"), ("name", "url")


@dataclass(frozen=True)
class Organisation:
    """An organisation: name, and URL (of its page, or its ROR) or None."""

    name: str
    url: str | None = None


@dataclass(frozen=True)
class Author:
    """A person: name, ORCID (a URL) and affiliation, the last two None where not stated."""

    name: str
    orcid: str | None = None
    affiliation: Organisation | None = None


@dataclass(frozen=True)
class Credit:
    """What a study's table ``[paper]`` says; `contact` is an e-mail address."""

    authors: tuple[Author, ...] = ()
    publisher: Organisation | None = None
    contact: str | None = None


def parse_credit(given: Mapping[str, Any]) -> Credit:
    """Read a study's table ``[paper]``.

    Parameters
    ----------
    given : dict
        As TOML has it.

    Returns
    -------
    Credit

    Raises
    ------
    StudyError
        A key that is none, a text that is empty, an ORCID whose check digit is wrong, a URL or an
        e-mail address that is none.
    """
    _check_keys(given, ("authors", "publisher", "contact"), "[paper]")
    authors = given.get("authors", [])
    if not isinstance(authors, list):
        raise StudyError(f"authors = {authors!r}; expected a list of {{ name = ..., orcid = ... }}")
    contact = _read(given, "contact", _MAIL, "an e-mail address")
    if contact is not None and not (authors or "publisher" in given):
        raise StudyError("contact is an author's or the publisher's; name one of them too")
    publisher = _read_organisation(given, "publisher", "publisher")
    people = tuple(_read_author(item, number) for number, item in enumerate(authors, start=1))
    known = [person.orcid for person in people if person.orcid is not None]
    if len(set(known)) < len(known):
        raise StudyError("authors: two have the same orcid; correct one")
    return Credit(people, publisher, contact)


def _read_author(item: object, number: int) -> Author:
    where = f"author {number}"
    table = _check_keys(item, _AUTHOR_KEYS, where)
    affiliation = _read_organisation(table, "affiliation", f"{where}: affiliation")
    return Author(_name(table, where), _read_orcid(table, where), affiliation)


def _read_organisation(table: Mapping[str, Any], key: str, where: str) -> Organisation | None:
    """Give an organisation, stated as { name, url } or by its name alone."""
    if key not in table:
        return None
    if isinstance(table[key], str):
        return Organisation(_name(table, where.removesuffix(f": {key}"), key))
    given = _check_keys(table[key], _ORGANISATION_KEYS, where)
    return Organisation(_name(given, where), _read(given, "url", _URL, "a URL"))


def _check_keys(table: object, known: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(table, dict) or not set(table) <= set(known):
        raise StudyError(f"{where} = {table!r}; expected a table of {', '.join(known)}")
    return table


def _name(table: Mapping[str, Any], where: str, key: str = "name") -> str:
    text = table.get(key)
    if not isinstance(text, str) or not text.strip():
        raise StudyError(f"{where}: {key} = {text!r}; expected a non-empty string")
    return text.strip()


def _read(
    table: Mapping[str, Any], key: str, pattern: re.Pattern[str], expected: str
) -> str | None:
    text: object = table.get(key)
    if text is None or (isinstance(text, str) and pattern.fullmatch(text)):
        return text
    raise StudyError(f"{key} = {text!r}; expected {expected}")


def _read_orcid(table: Mapping[str, Any], where: str) -> str | None:
    """Give an ORCID as a URL; its last digit checks the others (ISO 7064, MOD 11-2)."""
    text = table.get("orcid")
    if text is None:
        return None
    match = _ORCID.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise StudyError(f"{where}: orcid = {text!r}; expected 16 digits as 0000-0002-1825-0097")
    digits = match[1].replace("-", "")
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    if digits[-1] != ("X" if check == 10 else str(check)):
        raise StudyError(f"{where}: orcid = {text!r}: its check digit is wrong; look it up again")
    return f"https://orcid.org/{match[1]}"
