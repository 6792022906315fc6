"""The events that an installation takes in, as written in ``dags/events.yaml``, and what is wrong with
one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from kundresa.spec.explain import explain
from kundresa.spec.fields import Line, Name, Names, Whole
from kundresa.spec.problems import SpecError, SpecProblem, alternatives, nearest, shown
from kundresa.spec.spec import Spec
from kundresa.spec.yaml_source import MAX_BYTES, parse_yaml

EVENTS_FILE = "events.yaml"
MAX_TEXT = 1_000
"""Characters of a text, unless its property says otherwise."""
MAX_ITEMS = 200
"""Entries of a list."""
_LARGEST_WHOLE = 2**63


class PropertyKind(StrEnum):
    """What a property holds."""

    TEXT = "text"
    WHOLE = "whole"
    NUMBER = "number"
    TRUTH = "truth"
    """true or false."""
    INSTANT = "instant"
    """ISO 8601 with a time zone."""
    DAY = "day"
    """ISO 8601, for example 2026-11-23."""
    TEXTS = "texts"
    """A list of texts."""


class About(StrEnum):
    """Whom events of a type are about."""

    PERSON = "person"
    """The one that their ``subject`` names."""
    BUSINESS = "business"
    """Nobody: a product is back, a price has fallen. They have no ``subject``."""


class Property(Spec):
    """One property of an event."""

    kind: PropertyKind
    required: bool = False
    max_length: Annotated[Whole, Field(ge=1, le=20_000)] = MAX_TEXT
    """Characters of a text, of each in a list of texts."""
    values: Annotated[tuple[Line, ...], Field(max_length=200)] = ()
    """The texts that there are; empty is any."""
    description: Line | None = None


class EventType(Spec):
    """One type of event."""

    description: Line
    about: About = About.PERSON
    properties: Mapping[Name, Property] = {}
    """What its ``data`` may hold. Nothing else is taken: a misspelt property would silently never arrive."""


class EventTypes(Spec):
    """All events that are taken in. Without the file: none."""

    namespaces: Names = ()
    """What an event may name its person by: the kinds of identifiers that the dbt project knows."""
    events: Mapping[Name, EventType] = {}


def load_event_types(dags: Path, *, relative_to: Path | None = None) -> EventTypes:
    """The event types of an installation; none when there is no file.

    Raises:
        SpecError: with everything that is wrong with it.
    """
    file = dags / EVENTS_FILE
    name = str(file.relative_to(relative_to) if relative_to and file.is_relative_to(relative_to) else file)
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return EventTypes()
    except OSError as error:
        raise SpecError([SpecProblem(file=name, message=f"cannot be read: {error.strerror}")]) from None
    source = parse_yaml(content, name)
    problems = list(source.problems)
    try:
        types = EventTypes.model_validate(source.data)
    except ValidationError as error:
        problems += explain(error, EventTypes, source)
    if problems:
        raise SpecError(problems)
    return types


def problem_with(types: EventTypes, event_type: str, data: Mapping[str, Any]) -> str | None:
    """What is wrong with an event's data, in one line that names the property; None when nothing is."""
    known = types.events.get(event_type)
    if known is None:
        return f"unknown event type {shown(event_type)}{_meant(event_type, types.events)}"
    return next((wrong for _, wrong in data_problems(event_type, known, data)), None)


def data_problems(event_type: str, known: EventType, data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Everything that is wrong with the data of one type: (property, one line that names it)."""
    for name, value in data.items():
        declared = known.properties.get(name)
        if declared is None:
            wrong = (
                f"unknown property {shown(name)} of {event_type}{_meant(name, known.properties)}; "
                "declare it in dags/events.yaml or leave it out"
            )
            yield name, wrong
        elif value is not None and (wrong_value := _CHECKS[declared.kind](declared, value)):
            yield name, f"property '{name}' of {event_type}: {wrong_value}"
    for name, declared in known.properties.items():
        if declared.required and data.get(name) is None:
            yield name, f"property '{name}' of {event_type} is required"


def _meant(word: str, valid: Mapping[str, object]) -> str:
    near = nearest(word, valid)
    if near is not None:
        return f"; did you mean '{near}'?"
    return f"; there are {alternatives(sorted(valid))}" if 0 < len(valid) <= 8 else ""


def _text(declared: Property, value: object) -> str | None:
    if not isinstance(value, str):
        return f"expected a text, not {_kind(value)}"
    if len(value) > declared.max_length:
        return f"longer than {declared.max_length} characters"
    if "\0" in value or (not value.isascii() and _is_broken(value)):
        return "a text holds no NUL and no half of a surrogate pair"
    if declared.values and value not in declared.values:
        return f"{shown(value)} is none of {alternatives(declared.values)}"
    return None


def _is_broken(value: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in value)


def _texts(declared: Property, value: object) -> str | None:
    if not isinstance(value, list):
        return f"expected a list of texts, not {_kind(value)}"
    if len(value) > MAX_ITEMS:
        return f"more than {MAX_ITEMS} entries"
    return next((wrong for each in value if (wrong := _text(declared, each))), None)


def _whole(_: Property, value: object) -> str | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return f"expected a whole number, not {_kind(value)}"
    return None if -_LARGEST_WHOLE <= value < _LARGEST_WHOLE else "beyond 64 bits"


def _number(_: Property, value: object) -> str | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"expected a number, not {_kind(value)}"
    try:
        return None if math.isfinite(float(value)) else "expected a finite number"
    except OverflowError:
        return "expected a finite number"


def _truth(_: Property, value: object) -> str | None:
    return None if isinstance(value, bool) else f"expected true or false, not {_kind(value)}"


def _instant(_: Property, value: object) -> str | None:
    if isinstance(value, str) and parse_instant(value) is not None:
        return None
    return "expected an instant with a time zone, for example 2026-11-23T09:00:00Z"


def _day(_: Property, value: object) -> str | None:
    try:
        if isinstance(value, str) and len(value) == 10 and date.fromisoformat(value):
            return None
    except ValueError:
        pass
    return "expected a day, for example 2026-11-23"


def parse_instant(text: str) -> datetime | None:
    """ISO 8601 with a time zone (RFC 3339, as CloudEvents has it) → an aware datetime; None for another
    text."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    # Beyond these years a change of zone may leave what a datetime can hold.
    return found if found.tzinfo is not None and 1 < found.year < 9999 else None


def _kind(value: object) -> str:
    names = {str: "a text", bool: "true or false", int: "a number", float: "a number", list: "a list"}
    return names.get(type(value), "an object" if isinstance(value, dict) else "null")


_CHECKS: Mapping[PropertyKind, Callable[[Property, object], str | None]] = {
    PropertyKind.TEXT: _text,
    PropertyKind.WHOLE: _whole,
    PropertyKind.NUMBER: _number,
    PropertyKind.TRUTH: _truth,
    PropertyKind.INSTANT: _instant,
    PropertyKind.DAY: _day,
    PropertyKind.TEXTS: _texts,
}
