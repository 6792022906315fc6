"""Whether the values that a condition asks for can ever be those of the property or column that it asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kundresa.spec.column_kinds import ColumnKind, kind_of_type
from kundresa.spec.comparing import as_day, as_instant
from kundresa.spec.conditions import ORDERED, Test
from kundresa.spec.events import Property, PropertyKind
from kundresa.spec.problems import nearest

_NUMBERS = (PropertyKind.NUMBER, PropertyKind.WHOLE)


def property_problems(test: Test, declared: Property) -> Iterator[tuple[str, str | None]]:
    """What cannot be of a test of an event's property: (what is wrong, the nearest word there is)."""
    kind = declared.kind
    if test.includes is not None and kind is not PropertyKind.TEXTS:
        yield f"the property is a {kind}: only a list has 'includes'", None
    yield from _without_order(test, "property", is_truth=kind is PropertyKind.TRUTH)
    for value in _asked(test):
        if kind is PropertyKind.TEXTS:
            fits = False
        elif kind is PropertyKind.TRUTH:
            fits = isinstance(value, bool)
        else:
            fits = _is_number(value) if kind in _NUMBERS else isinstance(value, str)
        if not fits:
            what = "use 'includes' for a list" if kind is PropertyKind.TEXTS else "never equal"
            yield f"the property is a {kind}: {what}, not {value!r}", None
        elif declared.values and isinstance(value, str) and value not in declared.values:
            yield f"the event never says {value!r}", nearest(value, declared.values)


def column_problems(test: Test, data_type: str) -> Iterator[str]:
    """What cannot be of a test of a column with this SQL type. Of a list, and of a type that is not known
    here, nothing is said."""
    kind = kind_of_type(data_type)
    if kind is None:
        return
    if test.includes is not None:
        yield f"the column is a {data_type}: only a list has 'includes'"
    yield from (told for told, _ in _without_order(test, "column", is_truth=kind is ColumnKind.TRUTH))
    fits, expected = _OF_COLUMNS[kind]
    for value in _asked(test):
        if not fits(value):
            yield f"the column is a {data_type}: expected {expected}, not {value!r}"


def _without_order(test: Test, what: str, *, is_truth: bool) -> Iterator[tuple[str, None]]:
    for name in ORDERED if is_truth else ():
        if getattr(test, name) is not None:
            yield f"the {what} is true or false, which has no order: say it without '{name}'", None


def _asked(test: Test) -> list[Any]:
    single = [getattr(test, name) for name in ("equals", *ORDERED)]
    asked = [*single, *(test.one_of or ()), *(test.not_one_of or ())]
    return [value for value in asked if value is not None]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_OF_COLUMNS: Mapping[ColumnKind, tuple[Callable[[object], bool], str]] = {
    ColumnKind.TEXT: (lambda value: isinstance(value, str), "a text"),
    ColumnKind.NUMBER: (_is_number, "a number"),
    ColumnKind.TRUTH: (lambda value: isinstance(value, bool), "true or false"),
    ColumnKind.DATE: (lambda value: as_day(value) is not None, "a day, for example 2026-11-23"),
    ColumnKind.TIMESTAMP: (
        lambda value: as_instant(value) is not None,
        "an instant, for example 2026-11-23T09:00:00Z",
    ),
}
