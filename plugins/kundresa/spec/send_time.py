"""The hours at which messages may leave, in the time of the person who gets them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, PlainSerializer, model_validator

from kundresa.spec.fields import (
    COUNTRY_PATTERN,
    SharePercent,
    first_repeated,
    format_duration,
    misplaced,
    parse_duration,
    require_time_zone,
)
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
MIN_WAIT = timedelta(hours=1)
MAX_WAIT = timedelta(hours=24)


def _zone_or_exclude(value: str) -> str:
    return value if value == EXCLUDE else require_time_zone(value)


# Not a union: its error would name both arms.
ZoneOrExclude = Annotated[str, AfterValidator(_zone_or_exclude)]


def minute_of_day(value: TimeOfDay) -> int:
    """``HH:MM`` as minutes since midnight: 0 to 1440."""
    hour, _, minute = value.partition(":")
    return int(hour) * 60 + int(minute)


def instant_of(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """When clocks of a zone show a minute of a day (0 to 1440), in UTC: one that they leave out when they
    have jumped over it, one that they show twice the first time."""
    start = datetime.combine(day, time())
    return (start + timedelta(minutes=minute)).replace(tzinfo=zone).astimezone(UTC)


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


Days = Annotated[
    tuple[Day, ...], Field(min_length=1, json_schema_extra=_UNIQUE), AfterValidator(_days_are_distinct)
]
"""At least one, each once."""


class Hours(Spec):
    """A stretch of the day on some days. One that ends before it starts crosses midnight and belongs to
    the day that it starts on."""

    start: TimeOfDay = "00:00"
    """The first minute of them."""
    end: TimeOfDay = "24:00"
    """The first minute that is no longer one of them."""
    days: Days = DAYS
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


def _bounded_wait(value: timedelta) -> timedelta:
    if not MIN_WAIT <= value <= MAX_WAIT or value.microseconds:
        raise ValueError("expected from 1h to 24h")
    return value


Wait = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=str),
    AfterValidator(_bounded_wait),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]


class BestHour(Spec):
    """Each person's own hour of the day: the one in which they react most (``best_hours`` in the warehouse),
    or the people of their zone, or everybody."""

    within: Annotated[Wait, Field(json_schema_extra={"default": format_duration(MAX_WAIT)})] = MAX_WAIT
    """How long a message may wait for it: 1h to 24h. When the hour comes later, the message leaves as if
    there were none. 24h is any hour, on the day of 25 hours too."""
    explore: SharePercent = 5
    """Of the people, in percent: they are written to in any hour of the day, others in every run. So it is
    found out what nobody knows of hours that nobody is written to in."""


class SendTime(Spec):
    """When a campaign's messages leave, in each person's own time zone."""

    at: TimeOfDay | None = None
    """The same local time for everybody: each person's first such moment since the run was decided."""
    best_hour: BestHour | None = None
    """Each person's own hour, in place of ``at``."""
    window: Hours | None = None
    """Only within these hours."""
    outside: Outside = Outside.DEFER
    """What happens to a message outside the window or in quiet hours."""
    unknown_time_zone: ZoneOrExclude = EXCLUDE
    """The IANA zone of people whose own is unknown; or ``exclude``: they get nothing, and have that as
    their reason."""

    @model_validator(mode="after")
    def _one_moment(self) -> SendTime:
        if self.at is not None and self.best_hour is not None:
            raise misplaced(("best_hour",), "expected one of 'at' and 'best_hour', there are both")
        return self

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
