"""Phone numbers as E.164, by Google's numbering plans (the library ``phonenumbers``).

The functions of :data:`FUNCTIONS` are what SQL models call by the same names: text in, text out, null for
null, and they never raise. A number must be *possible* (its country knows numbers of that length), not
*valid* (in a range that is handed out): ranges change faster than a library is upgraded, and a person with
a new number must not drop out of every audience. About 15 microseconds per number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

_MOST_CHARACTERS = 60
"""A number takes 15 digits (E.164); what is longer is prose with digits in it."""

_NATIONAL_DIGITS = range(5, 15)
"""Of a number without an international prefix; fewer or more are of no country."""


def phone_e164(raw: str | None, country: str | None) -> str | None:
    """``+46701234567`` for ``070-123 45 67`` in Sweden; null when it is no number, or nobody can say which.

    ``country`` (ISO 3166-1 alpha-2) places a number that is written without its country code. A number
    with an extension is null: no message reaches one. So is one with letters: ``call after 5`` would be
    dialled as on a keypad.
    """
    if raw is None or len(raw) > _MOST_CHARACTERS or any(character.isalpha() for character in raw):
        return None
    text = raw.strip()
    number = _possible(text, country)
    if number is None and text.startswith("00"):
        # The prefix that most countries dial abroad with, on a number from one that dials another or
        # from nobody knows where.
        number = _possible("+" + text[2:], None)
    return number


def phone_problem(raw: str | None, country: str | None) -> str | None:
    """Why :func:`phone_e164` is null for a number: ``unknown_country`` when only the country is missing
    or not known, else ``syntax``; null when there is no problem, or no number."""
    if raw is None or not raw.strip() or phone_e164(raw, country) is not None:
        return None
    text = raw.strip()
    digits = sum(character.isdigit() for character in text)
    is_national = (
        digits in _NATIONAL_DIGITS
        and not text.startswith(("+", "00"))
        and not any(character.isalpha() for character in text)
    )
    if is_national and _region(country) not in phonenumbers.SUPPORTED_REGIONS:
        return "unknown_country"
    return "syntax"


FUNCTIONS: Mapping[str, Callable[[str | None, str | None], str | None]] = {
    "phone_e164": phone_e164,
    "phone_problem": phone_problem,
}
"""Name in SQL → function of two texts that gives a text."""


def _possible(text: str, country: str | None) -> str | None:
    try:
        number = phonenumbers.parse(text, _region(country))
    except NumberParseException:
        return None
    if number.extension:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def _region(country: str | None) -> str | None:
    return country.strip().upper() if country and country.strip() else None
