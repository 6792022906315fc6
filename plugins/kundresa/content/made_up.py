"""People who are made up to get one file, and the values that they may have in what the file asks about.

The values of a field come from its contract (the type of a column, what a property of an event may hold) and
from what is written in the template: none and an empty one, where there may be such; each literal that it is
compared with, for numbers and days also one below and one above; and one other value. Where nothing is asked
everybody has the usual value, since without one they may get no message at all. What is beyond that, say a
text that is taken apart before it is compared, is not made up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from kundresa.content.asked import Asked
from kundresa.content.combinations import Person, Values
from kundresa.content.example import COUNTRY, LOGICAL_AT, example_event, example_profile
from kundresa.content.files import TemplateFile
from kundresa.spec.campaign import Campaign
from kundresa.spec.events import EventType, Property, PropertyKind, data_problems

MOST_VALUES = 24
"""Of one field: those of the contract first, then those that are written in the template, in its order."""
_FAR = 1_000_000_000
"""More than a number is compared with, after what is reckoned with it."""
_LONGEST = 100
"""Characters or elements, where their number is asked."""
_IDS = ("0" * 32, "f" * 32)
"""Of messages."""
_LENGTHS = frozenset({"|count", "|length", "|wordcount"})
_PARTS_OF_DATES = ("year", "month", "day", "hour", "minute")
_WEEKDAYS = frozenset({"isoweekday", "weekday"})
_WRITTEN = frozenset({"|date", "|datetime", "|string", "isoformat", "strftime"})
"""What makes a text of a date."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What there may be of a person and of an event."""

    types: Mapping[str, str]
    """SQL type by column; empty where it is not known."""
    event: Mapping[str, Property] | None
    """None outside of journeys."""


def contract_of(columns: Collection[str], event: Collection[str] | None) -> Contract:
    """
    Args:
        columns: of ``profiles``; a mapping of name to SQL type where that is known.
        event: the fields of a journey's ``event``; a mapping of name to declared property likewise.
    """
    types = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, "")
    if event is not None and not isinstance(event, Mapping):
        event = dict.fromkeys(event, Property(kind=PropertyKind.TEXT))
    return Contract(types, event)


class MadeUp:
    """Those who get one file of an email."""

    def __init__(
        self, campaign: Campaign, file: TemplateFile, others: Collection[str], contract: Contract
    ) -> None:
        """
        Args:
            others: the languages that there are files of the stem for.
        """
        self._contract = contract
        self._language = file.language
        self._others = others
        usual = campaign.language if campaign.language not in others else None
        spoken = file.language or usual
        profile = example_profile(contract.types, campaign.language)
        self._profile = {**profile, "country": COUNTRY, "language": spoken}
        self._event = None if contract.event is None else example_event(contract.event)

    def row(self, person: Person, variant: str | None) -> dict[str, Any]:
        """Of one who has these values, and in all other fields the usual ones."""
        row: dict[str, Any] = {
            "message_id": _IDS[0],
            "profile_id": "example",
            "channel": "email",
            "variant": variant,
            "profile": dict(self._profile),
            "logical_at": LOGICAL_AT,
        }
        if self._event is not None:
            row["event"] = dict(self._event)
        for name, value in person.items():
            record, _, key = name.partition(".")
            if key:
                row[record][key] = value
            else:
                row[record] = value
        return row

    def values(self, asked: Mapping[str, Asked]) -> Values:
        """By field that is asked about; only those that may have several."""
        found = {name: self._of(name, each) for name, each in asked.items()}
        return {name: some for name, some in found.items() if len(some) > 1}

    def _of(self, name: str, asked: Asked) -> Sequence[Any]:
        record, _, key = name.partition(".")
        if record == "message_id":
            texts = [(each * 32)[:32] for each in asked.literals if isinstance(each, str)]
            return values_of(asked, _IDS[0], has_none=False, may_be=_is_id, named=(_IDS[1], *texts))
        if record == "logical_at":
            return values_of(asked, LOGICAL_AT, has_none=False, may_be=_is_any)
        if record == "event":
            return self._of_event(key, asked)
        if name == "profile.language":
            return self._languages(asked)
        if key not in self._contract.types:
            return ()
        is_typed = bool(self._contract.types[key])
        has_none = key != "profile_id"
        usual = self._profile[key]
        return values_of(asked, usual, has_none=has_none, may_be=_is_any, is_typed=is_typed)

    def _languages(self, asked: Asked) -> Sequence[Any]:
        if self._language is not None:
            return ()
        usual = self._profile["language"] or ""
        return values_of(asked, usual, has_none=True, may_be=lambda each: each not in self._others)

    def _of_event(self, key: str, asked: Asked) -> Sequence[Any]:
        declared = (self._contract.event or {}).get(key)
        if declared is None or self._event is None:
            return ()
        kind = EventType(description="made up", properties={key: declared})
        return values_of(
            asked,
            self._event[key],
            has_none=not declared.required,
            may_be=lambda each: not any(data_problems("event", kind, {key: each})),
            named=declared.values,
        )


def _is_any(_: object) -> bool:
    return True


def _is_id(value: str) -> bool:
    return len(value) == len(_IDS[0]) and value.isalnum()


def values_of(
    asked: Asked,
    usual: Any,
    *,
    has_none: bool,
    may_be: Callable[[Any], bool],
    named: Iterable[Any] = (),
    is_typed: bool = True,
) -> tuple[Any, ...]:
    """The values of one field that a template may tell apart, the usual one first, nothing second.

    Args:
        usual: what a made-up person has there; by its type the others are made.
        has_none: whether somebody may have no value.
        may_be: whether the contract allows a value.
        named: values that the contract names.
        is_typed: False where the contract does not say what a field holds: numbers are values of it too.
    """
    found: dict[tuple[type, str], Any] = {}
    for each in [usual, *([None] if has_none else []), *_made(asked, usual, is_typed=is_typed), *named]:
        if each is None or may_be(each):
            found.setdefault((type(each), repr(each)), each)
    return tuple(islice(found.values(), MOST_VALUES))


def _made(asked: Asked, usual: Any, *, is_typed: bool) -> Iterator[Any]:
    numbers = [each for each in asked.literals if isinstance(each, int | float)]
    texts = [each for each in asked.literals if isinstance(each, str)]
    match usual:
        case bool():
            yield from (False, True)
        case int() | float():
            yield from _numbers(numbers, type(usual), is_compared=asked.is_compared)
        case date():
            if asked.is_compared:
                yield from _dates(asked.words, usual, numbers, texts)
        case list():
            yield from _lists(asked.words, usual, numbers, texts)
        case _:
            yield from ("", *texts, *_days_in(texts, str(usual)))
            if usual in texts:
                yield "z" * len(usual)
            if asked.words & _LENGTHS:
                yield from ("x" * size for size in _around(numbers) if size <= _LONGEST)
            if not is_typed:
                yield from _around(numbers)


def _around(numbers: Iterable[int | float]) -> Iterator[int]:
    """Whole ones, each with its neighbours."""
    for each in numbers:
        if math.isfinite(each):
            yield from range(math.floor(each) - 1, math.ceil(each) + 2)


def _numbers(numbers: list[int | float], kind: type[int | float], *, is_compared: bool) -> Iterator[Any]:
    yield kind(0)
    for each in numbers:
        yield from map(kind, _around([each]))
        if kind is float:
            yield each
    if is_compared:
        yield kind(_FAR)


def _dates(words: set[str], usual: date, numbers: list[int | float], texts: list[str]) -> Iterator[date]:
    """Of a date or a timestamp: the days that are written out, those with the part that is asked for, those
    that are so many days from the usual one; and one long before and one long after."""
    for text in texts:
        if (day := _day(text)) is not None:
            yield from (_on(usual, day + timedelta(days=each)) for each in (0, -1, 1))
    parts = [each for each in _PARTS_OF_DATES if each in words]
    if words & _WRITTEN:
        parts = parts or ["year", "month", "day"]
        numbers = [*numbers, *(int(each) for each in texts if each.isdecimal() and len(each) <= 4)]
    if words & (_WEEKDAYS | _WRITTEN):
        yield from (_later(usual, each) for each in range(1, 7))
    for number in _around(numbers):
        if parts:
            yield from _with(usual, parts, number)
        else:
            yield from (_later(usual, each) for each in (-number, number))
    yield from (_later(usual, each) for each in (-3_650, 3_650))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        return None


def _on(usual: date, day: date) -> date:
    return datetime.combine(day, usual.timetz()) if isinstance(usual, datetime) else day


def _later(usual: date, days: int) -> date:
    try:
        return usual + timedelta(days=days)
    except OverflowError:
        return usual


def _with(usual: date, parts: list[str], number: int) -> Iterator[date]:
    for part in parts:
        if isinstance(usual, datetime) or part not in ("hour", "minute"):
            try:
                yield usual.replace(**{part: number})
            except ValueError:
                continue  # there is no 13th month


def _lists(
    words: set[str], usual: list[Any], numbers: list[int | float], texts: list[str]
) -> Iterator[list[Any]]:
    yield []
    yield from ([each] for each in texts)
    yield [*usual, *texts]
    if words & _LENGTHS:
        yield from (usual[:1] * size for size in _around(numbers) if 0 < size <= _LONGEST)
    yield usual[:1] * 2


def _days_in(texts: list[str], usual: str) -> Iterator[str]:
    """Of a property that is a day or an instant, which an event holds as a text: days around those that are
    written out, and the usual one with the beginning that is written out (a year, a month)."""
    day = _day(usual)
    if day is None:
        return
    for text in texts:
        if (found := _day(text)) is not None:
            yield from (f"{found + timedelta(days=each)}{usual[10:]}" for each in (0, -1, 1))
        yield f"{text}{usual[len(text) :]}"
    yield from (f"{_later(day, each)}{usual[10:]}" for each in (-3_650, 3_650))
