"""The hours at which messages may leave, in the time of the person who gets them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, JsonValue, model_validator

from kundresa.spec.fields import COUNTRY_PATTERN, first_repeated, misplaced, require_time_zone
from kundresa.spec.spec import Spec
from kundresa.spec.vocabulary import Outside

_TIME = re.compile(r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")


def _time_of_day(value: str) -> str:
    if not _TIME.fullmatch(value):
        raise ValueError("expected a time of day as HH:MM, for example '09:00'")
    return value


# The pattern is for editors; its own error would not say what is expected.
TimeOfDay = Annotated[str, Field(json_schema_extra={"pattern": _TIME.pattern}), AfterValidator(_time_of_day)]
"""``HH:MM``, 00:00 to 24:00."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MONDAY = datetime(2026, 1, 5)  # noqa: DTZ001  # a local time, of no zone
Country = Annotated[str, Field(pattern=COUNTRY_PATTERN)]
"""ISO 3166-1 alpha-2."""


EXCLUDE = "exclude"


def _zone_or_exclude(value: str) -> str:
    return value if value == EXCLUDE else require_time_zone(value)


# Not a union: its error would name both arms.
ZoneOrExclude = Annotated[str, AfterValidator(_zone_or_exclude)]


def minute_of_day(value: TimeOfDay) -> int:
    """``HH:MM`` as minutes since midnight: 0 to 1440."""
    hour, _, minute = value.partition(":")
    return int(hour) * 60 + int(minute)


_UNIQUE: dict[str, JsonValue] = {"uniqueItems": True}


def _days_are_distinct(days: tuple[Day, ...]) -> tuple[Day, ...]:
    _require_distinct(list(days))
    return days


def _countries_are_distinct(countries: tuple[str, ...]) -> tuple[str, ...]:
    _require_distinct(list(countries))
    return countries


def _require_distinct(words: list[str]) -> None:
    repeated = first_repeated(words)
    if repeated:
        raise misplaced((repeated[0],), f"'{repeated[1]}' is listed twice")


class Hours(Spec):
    """A stretch of the day on some days. One that ends before it starts crosses midnight and belongs to
    the day that it starts on."""

    start: TimeOfDay = "00:00"
    """The first minute of them."""
    end: TimeOfDay = "24:00"
    """The first minute that is no longer one of them."""
    days: Annotated[
        tuple[Day, ...], Field(min_length=1, json_schema_extra=_UNIQUE), AfterValidator(_days_are_distinct)
    ] = DAYS
    """The days that they start on."""

    @model_validator(mode="after")
    def _not_empty(self) -> Hours:
        if self.start in (self.end, "24:00"):
            raise misplaced(("end",), f"from {self.start} to {self.end} is no time at all")
        return self

    def covers(self, local: datetime) -> bool:
        """Whether a local time is one of these hours, by what clock and calendar show; seconds are
        disregarded."""
        minute = local.hour * 60 + local.minute
        start, end = minute_of_day(self.start), minute_of_day(self.end)
        today = DAYS[local.weekday()] in self.days
        if start < end:
            return today and start <= minute < end
        yesterday = DAYS[local.weekday() - 1] in self.days
        return (today and minute >= start) or (yesterday and minute < end)


class QuietHours(Hours):
    """When nobody is written to, whatever the campaign; topics that are exempt from consent excepted."""

    countries: (
        Annotated[tuple[Country, ...], Field(min_length=1), AfterValidator(_countries_are_distinct)] | None
    ) = None
    """Whose people; None is everybody."""

    @model_validator(mode="after")
    def _end(self) -> QuietHours:
        if (self.start, self.end) == ("00:00", "24:00") and set(self.days) == set(DAYS):
            raise misplaced(("end",), "these quiet hours never end")
        return self


class SendTime(Spec):
    """When a campaign's messages leave, in each person's own time zone."""

    at: TimeOfDay | None = None
    """The same local time for everybody: each person's first such moment since the run was decided."""
    window: Hours | None = None
    """Only within these hours."""
    outside: Outside = Outside.DEFER
    """What happens to a message outside the window or in quiet hours."""
    unknown_time_zone: ZoneOrExclude = EXCLUDE
    """The IANA zone of people whose own is unknown; or ``exclude``: they get nothing, and have that as
    their reason."""

    @model_validator(mode="after")
    def _at_is_in_the_window(self) -> SendTime:
        if self.at is None or self.window is None:
            return self
        minutes = timedelta(minutes=minute_of_day(self.at))
        week = (_MONDAY + timedelta(days=day) + minutes for day in range(len(DAYS)))
        if not any(self.window.covers(local) for local in week):
            window = f"{self.window.start} to {self.window.end}"
            raise misplaced(("at",), f"{self.at} is never in the window ({window})")
        return self
