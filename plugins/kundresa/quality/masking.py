"""Hiding personal data in everything that a gate says: reports, pages, logs, exceptions.

Three ways, for three questions. ``mask`` answers *which kind of value is it*, ``shape`` *why does it not
parse*, ``masked_key`` *which row is it*. None of them returns a full address, name or phone number, and
none returns a control character, a line break, a character that changes the writing direction or one
that means something in HTML.
"""

from __future__ import annotations

import re
import unicodedata

SHORTEST_SHOWN = 4
"""A part below this many characters is hidden whole: two of three characters would give it away."""

SHAPE_CHARACTERS = 40
"""Longest shape. Above it a type error is not easier to see, and a line no longer fits a terminal."""

_PHONE = re.compile(r"\+?[\d\s().-]{7,20}")
_OPAQUE = re.compile(r"[0-9a-f]{16,64}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def mask(value: object) -> str:
    """The kind of a value and at most two characters of each part: ``a…g@s…e``, ``+46…67``, ``A…g``.

    - An address keeps the first and last character of what is before the ``@`` and of what is after it.
    - A phone number of ten or more digits keeps its ``+``, its first two and last two digits; a shorter
      one its last two.
    - Anything else keeps its first and last character; below four characters nothing.
    - ``None`` is ``null``.
    """
    if value is None:
        return "null"
    text = str(value)
    if text == "":
        return "empty"
    if text.count("@") == 1:
        local, _, domain = text.partition("@")
        return f"{_part(local)}@{_part(domain)}"
    if _PHONE.fullmatch(text):
        return _phone(text)
    return _part(text)


def shape(value: object) -> str:
    """The form of a value that does not parse, without the value: ``12,50`` → ``99,99``.

    Letters become ``a`` or ``A``, digits ``9``, the punctuation of numbers and dates stays, all else is
    ``?``. At most 40 characters, then ``…``.
    """
    text = str(value)
    form = "".join(_form(character) for character in text[:SHAPE_CHARACTERS])
    return f"{form}…" if len(text) > SHAPE_CHARACTERS else form


def masked_key(value: object) -> str:
    """A key, so that its row can be found: whole when it is opaque, else masked.

    Opaque is a hash of 16 to 64 lower-case hex digits or a UUID, with a letter in it. A number of 16
    digits could be a payment card; a word could be a name that slipped into the key column.
    """
    if isinstance(value, str) and _OPAQUE.fullmatch(value) and any(each.isalpha() for each in value):
        return value
    return mask(value)


def _part(text: str) -> str:
    if len(text) < SHORTEST_SHOWN:
        return "…"
    return f"{_edge(text[0])}…{_edge(text[-1])}"


def _edge(character: str) -> str:
    """A letter or digit written left to right, or ``·``."""
    plain = character.isalnum() and unicodedata.bidirectional(character) in {"L", "EN"}
    return character if plain else "·"


def _phone(text: str) -> str:
    digits = re.sub(r"\D", "", text)
    if len(digits) < 10:
        return f"…{digits[-2:]}" if len(digits) >= SHORTEST_SHOWN else "…"
    plus = "+" if text.startswith("+") else ""
    return f"{plus}{digits[:2]}…{digits[-2:]}"


def _form(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in " +-.,:;/@_%" else "?"
