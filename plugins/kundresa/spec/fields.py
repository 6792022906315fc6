"""The kinds of value that a spec's keys take: names, times, addresses, numbers."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from croniter import croniter
from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, PlainSerializer, PlainValidator
from pydantic_core import PydanticCustomError

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
COUNTRY_PATTERN = r"^[A-Z]{2}$"
CURRENCY_PATTERN = r"^[A-Z]{3}$"
LABEL_PATTERN = r"^[A-Za-z0-9._~-]{1,100}$"
LANGUAGE_PATTERN = r"^[a-z]{2,3}$"
SMS_SENDER_PATTERN = r"^(\+[1-9]\d{6,14}|[A-Za-z0-9 ]{1,11})$"
MIN_VALIDITY = timedelta(minutes=10)
MAX_VALIDITY = timedelta(days=14)
MIN_AGE = timedelta(minutes=10)
MAX_AGE = timedelta(days=366)
DEFAULT_VALIDITY = timedelta(hours=84)
DEFAULT_LATE_AFTER = timedelta(hours=1)

EXPECTED_BY_PATTERN = {
    CURRENCY_PATTERN: "expected a currency in three capital letters (ISO 4217), for example EUR",
    COUNTRY_PATTERN: "expected a country in two capital letters (ISO 3166), for example SE",
    LABEL_PATTERN: "expected at most 100 letters, digits, '.', '_', '~' and '-'",
    LANGUAGE_PATTERN: "expected a language in two or three small letters (ISO 639), for example sv",
    NAME_PATTERN: "expected a name: lower-case letters, digits and _, a letter first, at most 63 characters",
    SMS_SENDER_PATTERN: "expected a number as +46701234567 or at most 11 letters, digits and spaces",
}
"""What to say to a person instead of a regular expression."""

_DURATION = re.compile(r"^(\d{1,9})([smhd])$", re.ASCII)
DurationText = Annotated[str, Field(pattern=_DURATION.pattern)]
"""A duration as it is written, for the JSON Schema."""
_EVERY_PATTERN = rf"^(once|{_DURATION.pattern[1:-1]})$"
_AGAIN_PATTERN = rf"^(always|never|{_DURATION.pattern[1:-1]})$"
_DURATION_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_EXPECTED_DURATION = "expected a whole number and one unit of s, m, h, d: for example 84h"
# croniter's R draws a time at random and H hashes one: the same spec would have two schedules.
_RANDOM_CRON = re.compile(r"\b[RH]\b|[^\x20-\x7e]", re.IGNORECASE)
_DOMAIN = r"(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z0-9-]{2,63}"
_ADDRESS = rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}}@{_DOMAIN}"
# Narrower than RFC 5322 section 3.4 on purpose: one mailbox, a display name without comments.
_MAILBOX = re.compile(rf"""(?:"[^"\\]*"|[^<>@,;:"\\()\[\]]*)\s?<{_ADDRESS}>|{_ADDRESS}""")
_RECIPIENT = re.compile(rf"{_ADDRESS}|@{_DOMAIN}|\+[1-9]\d{{6,14}}", re.ASCII)
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]{2,45}")
_MACHINE_ZONES = frozenset({"localtime", "posixrules", "Factory"})


def misplaced(at: tuple[str | int, ...], message: str) -> PydanticCustomError:
    """A validator's error about something inside its value: ``at`` is the path from there."""
    # The braces of a message would be read as a template; so the message is a value of the template.
    return PydanticCustomError("misplaced", "{message}", {"message": message, "at": at})


def parse_duration(value: object) -> timedelta:
    """``84h`` → timedelta; one whole number and one unit, so that nobody has to guess.

    Raises:
        ValueError: for anything else; a bare number would leave the unit open.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(_EXPECTED_DURATION)
    return timedelta(**{_DURATION_UNITS[match[2]]: int(match[1])})


def format_duration(value: timedelta) -> str:
    """The inverse: in the largest unit that divides it, so that equal durations are written equally."""
    seconds = int(value.total_seconds())
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _bounded_validity(value: timedelta) -> timedelta:
    if not MIN_VALIDITY <= value <= MAX_VALIDITY or value.microseconds:
        raise ValueError("expected from 10m to 14d")
    return value


def _bounded_age(value: timedelta) -> timedelta:
    if not MIN_AGE <= value <= MAX_AGE or value.microseconds:
        raise ValueError("expected from 10m to 366d")
    return value


def _again(value: object) -> timedelta | str:
    if value in ("always", "never"):
        return str(value)
    try:
        return _bounded_age(parse_duration(value))
    except ValueError:
        raise PydanticCustomError(
            "again",
            "expected 'always', 'never' or a time from 10m to 366d, for example 30d",
            {"expected": "'always', 'never'"},
        ) from None


def _every(value: object) -> timedelta | str:
    if value == "once":
        return "once"
    try:
        return _bounded_age(parse_duration(value))
    except ValueError:
        raise PydanticCustomError(
            "every", "expected 'once' or a time from 10m to 366d, for example 7d", {"expected": "'once'"}
        ) from None


def _format_again(value: timedelta | str) -> str:
    return format_duration(value) if isinstance(value, timedelta) else value


def time_zones() -> list[str]:
    """Every IANA zone, sorted, without the names that mean "as this machine is set"."""
    return sorted(available_timezones() - _MACHINE_ZONES)


def require_time_zone(value: str) -> str:
    """The value, when it is an IANA zone.

    Raises:
        PydanticCustomError: when it is not, or means "as this machine is set".
    """
    # Not by time_zones(): that opens 600 files, and a spec is loaded at every parse.
    try:
        known = value not in _MACHINE_ZONES and ZoneInfo(value).key == value
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if not known:
        raise PydanticCustomError("time_zone", "expected an IANA time zone, for example Europe/Stockholm")
    return value


def _cron(value: str) -> str:
    text = " ".join(value.split())
    if len(text) > 200 or text.count(" ") != 4 or _RANDOM_CRON.search(text) or not croniter.is_valid(text):
        raise ValueError("expected five cron fields: minute hour day month weekday, for example 0 9 * * 2")
    try:
        # From any fixed day: it is found within 50 years or never (croniter's own limit).
        croniter(text, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except ValueError:
        raise ValueError("this date never comes, for example 31 February") from None
    return text


def _mailbox(value: str) -> str:
    if not value.isprintable() or not _MAILBOX.fullmatch(value):
        raise ValueError("expected one address, for example Shop <hello@shop.example>")
    return value


def _email_address(value: str) -> str:
    if not re.fullmatch(_ADDRESS, value, re.ASCII):
        raise ValueError("expected one address without a name, for example editor@shop.example")
    return value


def _recipient(value: str) -> str:
    if not _RECIPIENT.fullmatch(value):
        raise ValueError("expected an address, '@' and a domain, or a number as +46701234567")
    return value


def _host_name(value: str) -> str:
    if not _HOST.fullmatch(value):
        raise ValueError("expected a host name in lower case, for example hooks.partner.example")
    return value


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("expected one line of text")
    return value


def _text(value: str) -> str:
    if not all(char.isprintable() or char in "\n\t" for char in value):
        raise ValueError("expected text without control characters")
    return value


def _plain_zero(value: float) -> float:
    return value + 0.0  # -0.0 equals 0.0 and must hash like it


def _whole_buckets(value: float) -> float:
    if abs(value * 100 - round(value * 100)) > 1e-9:
        raise ValueError("expected at most two decimals (people are split into 10,000 buckets)")
    return value


def _unique_names(names: tuple[str, ...]) -> tuple[str, ...]:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise misplaced((position,), f"'{name}' is listed twice")
    return names


def first_repeated(words: list[str]) -> tuple[int, str] | None:
    """Position and word of the first one that stood before already, or None."""
    seen: Counter[str] = Counter()
    for position, word in enumerate(words):
        if seen[word]:
            return position, word
        seen[word] += 1
    return None


Name = Annotated[str, Field(pattern=NAME_PATTERN)]
_UNIQUE: dict[str, JsonValue] = {"uniqueItems": True}
Language = Annotated[str, Field(pattern=LANGUAGE_PATTERN)]
"""ISO 639, as in ``profiles.language``."""
Names = Annotated[tuple[Name, ...], Field(json_schema_extra=_UNIQUE), AfterValidator(_unique_names)]
OneOrMoreNames = Annotated[
    tuple[Name, ...], Field(min_length=1, json_schema_extra=_UNIQUE), AfterValidator(_unique_names)
]
Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Text = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_text)]
Whole = Annotated[int, Field(strict=True)]
"""Strict: ``true`` is not 1 and ``"5"`` in quotes is a text."""
# Bounds stand before the functions: after one, pydantic no longer writes them into the JSON Schema.
Percent = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=100), AfterValidator(_plain_zero)]
PositivePercent = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
HoldoutPercent = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=0, le=50),
    AfterValidator(_plain_zero),
    AfterValidator(_whole_buckets),
]
SharePercent = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, ge=0, le=100),
    AfterValidator(_plain_zero),
    AfterValidator(_whole_buckets),
]
"""Of people, at most two decimals."""
SamplePercent = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0, le=100), AfterValidator(_whole_buckets)
]
Validity = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=Annotated[str, Field(pattern=_DURATION.pattern)]),
    AfterValidator(_bounded_validity),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
Age = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=Annotated[str, Field(pattern=_DURATION.pattern)]),
    AfterValidator(_bounded_age),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
Again = Annotated[
    timedelta | Literal["always", "never"],
    # One rule for both: of a union pydantic reports what each member finds wrong.
    PlainValidator(_again, json_schema_input_type=Annotated[str, Field(pattern=_AGAIN_PATTERN)]),
    PlainSerializer(_format_again, return_type=str, when_used="json"),
]
Every = Annotated[
    timedelta | Literal["once"],
    PlainValidator(_every, json_schema_input_type=Annotated[str, Field(pattern=_EVERY_PATTERN)]),
    PlainSerializer(_format_again, return_type=str, when_used="json"),
]
TimeZone = Annotated[str, AfterValidator(require_time_zone)]
Cron = Annotated[str, AfterValidator(_cron)]
Mailbox = Annotated[str, Field(max_length=320), AfterValidator(_mailbox)]
EmailAddress = Annotated[str, Field(max_length=254), AfterValidator(_email_address)]
"""One address, without a name."""
Recipient = Annotated[str, Field(max_length=320), AfterValidator(_recipient)]
"""One address or number, or ``@domain`` for all of a domain."""
EmailAddresses = Annotated[
    tuple[EmailAddress, ...], Field(max_length=20, json_schema_extra=_UNIQUE), AfterValidator(_unique_names)
]
SmsSender = Annotated[str, Field(pattern=SMS_SENDER_PATTERN)]
HostName = Annotated[str, Field(max_length=253), AfterValidator(_host_name)]
"""As it stands in a URL: a name, or an address for tests on one machine."""
