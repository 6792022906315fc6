"""Conditions on one person: what their event says, what is known of them, which segments they are in."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from kundresa.spec.comparing import alike
from kundresa.spec.fields import Name, Names, misplaced
from kundresa.spec.spec import Spec

Scalar = str | int | float | bool


def _scalar(value: object) -> object:
    if isinstance(value, Scalar):
        return value
    raise PydanticCustomError("scalar", "expected a text, a number, true or false")


# Of a union pydantic reports what each member finds wrong; and `true` must not become 1.
Value = Annotated[Any, BeforeValidator(_scalar, json_schema_input_type=str | int | float | bool)]
Values = Annotated[tuple[Value, ...], Field(min_length=1, max_length=200)]
"""A text, a number, true or false."""

ORDERED: Mapping[str, Callable[[Any, Any], bool]] = {
    "at_least": operator.ge,
    "more_than": operator.gt,
    "at_most": operator.le,
    "less_than": operator.lt,
}
"""The tests that need a value with an order."""
_WITH_ORDER = (int, float, str, date)


class Test(Spec):
    """What must hold for one value. All keys that are given must hold; of a value that is missing only
    ``is_set: false`` and ``not_one_of`` hold."""

    __test__ = False  # pytest would take it for a class of tests

    equals: Value | None = None
    one_of: Values | None = None
    not_one_of: Values | None = None
    """Holds for a missing value too."""
    at_least: Value | None = None
    """Numbers by size. Dates and timestamps of ``profiles`` by time: of a timestamp the bound is an ISO
    instant, in UTC unless it names a zone, or a day, which is its beginning in UTC. Texts, and with them the
    days and instants of events, by their characters."""
    more_than: Value | None = None
    at_most: Value | None = None
    less_than: Value | None = None
    includes: Value | None = None
    """Of a list of texts: that this one is in it."""
    is_set: bool | None = None
    """Whether there is a value at all."""

    @model_validator(mode="after")
    def _asks_something(self) -> Test:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise misplaced((), "expected a value, or a test as in {at_least: 50}")
        return self

    def holds(self, value: object) -> bool:
        """Whether a value passes. A value of another kind than the one asked for does not, and is no error:
        an event of last year may be of another shape."""
        if self.is_set is not None and self.is_set is (value is None):
            return False
        if self.not_one_of is not None and any(_same(value, each) for each in self.not_one_of):
            return False
        return self._of_missing() if value is None else self._of_value(value)

    def _of_missing(self) -> bool:
        asked = [name for name in type(self).model_fields if getattr(self, name) is not None]
        return not set(asked) - {"is_set", "not_one_of"}

    def _of_value(self, value: object) -> bool:
        if self.equals is not None and not _same(value, self.equals):
            return False
        if self.one_of is not None and not any(_same(value, each) for each in self.one_of):
            return False
        if self.includes is not None and not (isinstance(value, list) and self.includes in value):
            return False
        return all(
            _compared(holds, value, bound)
            for name, holds in ORDERED.items()
            if (bound := getattr(self, name)) is not None
        )


def _same(value: object, wanted: object) -> bool:
    pair = alike(value, wanted)
    return pair is not None and bool(pair[0] == pair[1])


def _compared(holds: Callable[[Any, Any], bool], value: object, bound: object) -> bool:
    pair = alike(value, bound)
    return (
        pair is not None
        and isinstance(pair[0], _WITH_ORDER)
        and not isinstance(pair[0], bool)
        and holds(*pair)
    )


def _as_test(value: object) -> object:
    return {"equals": value} if isinstance(value, Scalar) else value


_INPUT: Any = str | int | float | bool | Test
Tests = Mapping[Name, Annotated[Test, BeforeValidator(_as_test, json_schema_input_type=_INPUT)]]


class Condition(Spec):
    """Everything that is said must hold."""

    event: Tests = Field(default_factory=dict)
    """Properties of the event: a value that it must equal, or a test as in ``{at_least: 50}``."""
    profile: Tests = Field(default_factory=dict)
    """Columns of ``profiles``, or traits that a journey has set."""
    in_segment: Names = ()
    """Segments; in one of them is enough."""
    not_in_segment: Names = ()
    """Segments; in none of them."""
    any_of: tuple[Condition, ...] = ()
    """Of these one is enough."""

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if not (self.event or self.profile or self.in_segment or self.not_in_segment or self.any_of):
            keys = "event, profile, in_segment, not_in_segment or any_of"
            raise misplaced((), f"a condition that says nothing; expected {keys}")
        return self

    def holds(
        self, event: Mapping[str, object], profile: Mapping[str, object], segments: Collection[str]
    ) -> bool:
        """Whether it holds for a person.

        Args:
            event: the data of the event in question; a property that is not there is missing.
            profile: what is known of the person.
            segments: those they are in.
        """
        return (
            all(test.holds(event.get(name)) for name, test in self.event.items())
            and all(test.holds(profile.get(name)) for name, test in self.profile.items())
            and (not self.in_segment or any(name in segments for name in self.in_segment))
            and not any(name in segments for name in self.not_in_segment)
            and (not self.any_of or any(each.holds(event, profile, segments) for each in self.any_of))
        )

    def everywhere(self, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Condition]]:
        """This condition and all within it, each with its path from here."""
        yield at, self
        for position, each in enumerate(self.any_of):
            yield from each.everywhere((*at, "any_of", position))


def asks_profile(condition: Condition | None) -> bool:
    """Whether the answer needs more than the event."""
    return condition is not None and any(
        each.profile or each.in_segment or each.not_in_segment for _, each in condition.everywhere()
    )
