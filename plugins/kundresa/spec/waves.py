"""Waves: a run that leaves in parts, each only when the results of the one before allow it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kundresa.spec.fields import (
    DurationText,
    Percent,
    SamplePercent,
    TimeZone,
    Whole,
    format_duration,
    misplaced,
    parse_duration,
)
from kundresa.spec.opening_hours import Rules, opening, stretches
from kundresa.spec.periods import first_instant
from kundresa.spec.send_time import TimeOfDay, minute_of_day
from kundresa.spec.spec import Spec

_Date = date
"""Under another name where a field is called ``date``."""
MAX_WAVES = 20
MAX_PEOPLE = 1_000_000_000
REST: Literal["rest"] = "rest"
DEFAULT_PAUSE = timedelta(hours=2)
MIN_PAUSE = timedelta(minutes=1)
MAX_PAUSE = timedelta(days=7)


def _bounded_pause(value: timedelta) -> timedelta:
    if not MIN_PAUSE <= value <= MAX_PAUSE or value.microseconds:
        raise ValueError("expected from 1m to 7d")
    return value


Pause = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=DurationText),
    AfterValidator(_bounded_pause),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]


class Hold(Spec):
    """What stops the waves that have not left. Each limit is the most that is still right, in percent of the
    messages of the wave before that receiving servers took (``bounce``, ``failed``: that were tried)."""

    after: Pause = timedelta(hours=1)
    """How long after its last message the results of a wave are looked at: 1m to 7d."""
    bounce_percent: Percent | None = 5
    """Addresses that were refused at once, or are suppressed as bounced since the decision. None: any."""
    failed_percent: Percent | None = None
    """Messages that failed, for whatever reason."""
    complaint_percent: Percent | None = 0.3
    """Addresses that are suppressed for a complaint since the decision."""
    unsubscribe_percent: Percent | None = None
    """People who have said no to the topic, or to everything, on the channel since the decision."""


def _all_of_it(shares: tuple[float, ...]) -> tuple[float, ...]:
    total = sum(round(share * 100) for share in shares)
    if total != 10_000:
        raise ValueError(f"expected shares that are 100 together, not {total / 100:g}")
    return shares


def _people(value: object) -> int | str:
    if value == REST or (type(value) is int and 1 <= value <= MAX_PEOPLE):
        return value
    raise PydanticCustomError("people", f"expected a whole number from 1 to {MAX_PEOPLE}, or '{REST}'")


People = Annotated[
    int | Literal["rest"],
    # One rule for both: of a union pydantic reports what each member finds wrong.
    PlainValidator(
        _people, json_schema_input_type=Annotated[int, Field(ge=1, le=MAX_PEOPLE)] | Literal["rest"]
    ),
]


def _rest_is_last(counts: tuple[int | str, ...]) -> tuple[int | str, ...]:
    for position, count in enumerate(counts):
        is_last = position == len(counts) - 1
        if is_last and count != REST:
            raise misplaced((position,), f"expected '{REST}' as the last: everybody else has to be in a wave")
        if not is_last and count == REST:
            raise misplaced((position,), f"'{REST}' leaves nobody for the waves after it")
    return counts


class Start(Spec):
    """When a wave leaves, at the earliest: a local time, on a day of the run or on a date."""

    day: Annotated[Whole, Field(ge=0, le=14)] | None = None
    """Days after the one on which the run is decided, which is 0."""
    date: _Date | None = None
    """Instead: that date. For campaigns that are run by hand; on a schedule every run would have the same."""
    at: TimeOfDay
    """By the clock of ``time_zone``."""

    @model_validator(mode="after")
    def _one_day(self) -> Start:
        if (self.day is None) == (self.date is None):
            raise misplaced(("day",), "expected exactly one of 'day' and 'date'")
        if self.at == "24:00":
            raise misplaced(("at",), "expected a time of the day itself: 24:00 is 00:00 of the next")
        return self

    def local_day(self, decided_on: _Date) -> _Date:
        """The day that is meant by a run that is decided on a day."""
        return self.date or decided_on + timedelta(days=self.day or 0)


def _in_order(starts: tuple[Start, ...]) -> tuple[Start, ...]:
    if len({start.date is None for start in starts}) > 1:
        raise ValueError("expected a 'day' for each wave or a 'date' for each, not both")
    some_day = date(2026, 1, 5)
    for position in range(1, len(starts)):
        if _shown(starts[position], some_day) <= _shown(starts[position - 1], some_day):
            raise misplaced((position,), "expected a later time than that of the wave before")
    return starts


def _shown(start: Start, decided_on: date) -> datetime:
    """What a clock on the wall shows then."""
    minutes = timedelta(minutes=minute_of_day(start.at))
    return datetime.combine(start.local_day(decided_on), datetime.min.time()) + minutes


class Waves(Spec):
    """Who leaves when: people are put into waves by a hash that differs from run to run."""

    shares: (
        Annotated[
            tuple[SamplePercent, ...],
            Field(min_length=2, max_length=MAX_WAVES),
            AfterValidator(_all_of_it),
        ]
        | None
    ) = None
    """Of the people, in percent, wave by wave; at most two decimals, 100 together."""
    counts: (
        Annotated[
            tuple[People, ...],
            Field(min_length=2, max_length=MAX_WAVES),
            AfterValidator(_rest_is_last),
        ]
        | None
    ) = None
    """Instead: how many people, wave by wave, and ``rest`` as the last. Of those who can be written to and
    are not held out; caps and what is asked after them can make a wave smaller, never larger."""
    every: Pause | None = None
    """Each wave leaves this long after the one before, at the earliest: 1m to 7d. 2h, where neither this
    nor ``starts`` is said."""
    starts: (
        Annotated[tuple[Start, ...], Field(min_length=2, max_length=MAX_WAVES), AfterValidator(_in_order)]
        | None
    ) = None
    """Instead: when each wave leaves, at the earliest, one for each."""
    time_zone: TimeZone = "UTC"
    """Whose clock and calendar ``starts`` go by."""
    hold: Hold = Hold()

    @property
    def number(self) -> int:
        """How many waves there are."""
        return len(self.shares or self.counts or ())

    @property
    def pause(self) -> timedelta:
        """Between two waves without ``starts``."""
        return self.every or DEFAULT_PAUSE

    @model_validator(mode="after")
    def _one_of_each(self) -> Waves:
        if (self.shares is None) == (self.counts is None):
            raise misplaced(("shares",), "expected exactly one of 'shares' and 'counts'")
        if self.starts is None:
            return self
        if self.every is not None:
            raise misplaced(("every",), "expected at most one of 'every' and 'starts'")
        if len(self.starts) != self.number:
            raise misplaced(("starts",), f"expected one for each of the {self.number} waves")
        return self

    @model_validator(mode="after")
    def _results_in_time(self) -> Waves:
        if self.hold.after > min(self._pauses()):
            raise misplaced(
                ("hold", "after"),
                f"results are looked at {format_duration(self.hold.after)} after a wave, and the next "
                f"leaves {format_duration(min(self._pauses()))} after it: "
                f"'{'every' if self.starts is None else 'starts'}' is too short",
            )
        return self

    def _pauses(self) -> list[timedelta]:
        if self.starts is None:
            return [self.pause]
        shown = [_shown(start, date(2026, 1, 5)) for start in self.starts]
        return [after - before for before, after in pairwise(shown)]

    def least_wait(self) -> timedelta:
        """How long after its decision a run's last wave leaves at the earliest, whatever the time of the
        decision; of dates nothing is known."""
        if self.starts is None:
            return self.pause * (self.number - 1)
        last = self.starts[-1]
        # Decided as late as possible on its day.
        whole_days = timedelta(days=(last.day or 0) - 1)
        return max(timedelta(0), whole_days + timedelta(minutes=minute_of_day(last.at)))


def wave_starts(waves: Waves, decided_at: datetime) -> list[datetime]:
    """The first instant at which each wave of a run may leave, in UTC, none before the decision or before
    the wave before.

    A local time that the clock jumps over is the minute after the jump, one that comes twice is the first; on
    a day that the zone never had it is the beginning of the next.
    """
    if waves.starts is None:
        return [decided_at + number * waves.pause for number in range(waves.number)]
    zone = ZoneInfo(waves.time_zone)
    decided_on = decided_at.astimezone(zone).date()
    found: list[datetime] = []
    for start in waves.starts:
        first, end = (
            first_instant(start.local_day(decided_on) + timedelta(days=days), zone) for days in (0, 1)
        )
        moment = opening(stretches(zone, first, end), Rules(at=start.at), decided_at=first, valid_until=end)
        found.append(max(moment or end, found[-1] if found else decided_at))
    return found


def wave_places(counts: Sequence[int | str]) -> list[tuple[int, int | None]]:
    """For each wave the first of its places, from 1, and the end of them; None where the rest is in it."""
    found: list[tuple[int, int | None]] = []
    start = 1
    for count in counts:
        end = None if isinstance(count, str) else start + count
        found.append((start, end))
        start = end or start
    return found


def wave_buckets(shares: Sequence[float]) -> list[tuple[int, int]]:
    """For each wave the first of its buckets and the end of them, of 10,000."""
    found, start = [], 0
    for share in shares:
        found.append((start, start + round(share * 100)))
        start = found[-1][1]
    return found
