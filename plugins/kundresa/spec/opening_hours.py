"""When a message may leave: hours of the day and days of the week, by the clock of the person who gets it.

Nothing here asks what time it is. Instants are aware; a zone's clock is cut into stretches of one offset from
UTC first, within which local time runs straight, so that an hour that does not exist or happens twice needs
no rule of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import NamedTuple

from kundresa.spec.send_time import DAYS, Hours, minute_of_day
from kundresa.spec.vocabulary import Outside

BEFORE = timedelta(days=2)
"""How far before the instant in question stretches must reach: whether a time of a date has been already is
asked of the whole date, which has at most 48 hours (a zone that crosses the date line eastwards)."""

_STEP = timedelta(hours=6)
"""How far apart the clock is looked at. Two changes of one zone's clock are weeks apart at least."""
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)


class Stretch(NamedTuple):
    """The instants from ``start`` until before ``end`` (UTC, naive); local time is UTC + ``offset`` then."""

    start: datetime
    end: datetime
    offset: timedelta


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for a message: a local time to wait for, hours that it must be in, hours that it must not
    be in, and what becomes of it outside."""

    at: str | None = None
    window: Hours | None = None
    quiet: tuple[Hours, ...] = ()
    outside: Outside = Outside.DEFER

    @property
    def is_always(self) -> bool:
        """Whether every instant is as good as any other, in every zone."""
        return self.at is None and self.window is None and not self.quiet

    def permits(self, local: datetime) -> bool:
        """Whether a message may leave at this local time, seconds disregarded."""
        if self.window is not None and not self.window.covers(local):
            return False
        return not any(hours.covers(local) for hours in self.quiet)


def stretches(zone: tzinfo, start: datetime, end: datetime) -> tuple[Stretch, ...]:
    """The zone's clock from :data:`BEFORE` ``start`` to the second of ``end``, without gaps. Zones whose
    clocks go alike in this time have equal stretches."""
    since = _naive(start).replace(microsecond=0) - BEFORE
    last = _naive(end).replace(microsecond=0) + _SECOND
    found = []
    moment, offset = since, _offset(zone, since)
    while moment < last:
        after = min(moment + _STEP, last)
        if _offset(zone, after) == offset:
            moment = after
            continue
        moment = _change(zone, moment, after)
        found.append(Stretch(since, moment, offset))
        since, offset = moment, _offset(zone, moment)
    if since < last:
        found.append(Stretch(since, last, offset))
    return tuple(found)


def opening(
    clock: tuple[Stretch, ...], rules: Rules, *, decided_at: datetime, valid_until: datetime
) -> datetime | None:
    """The first instant from ``decided_at`` to ``valid_until``, both included, at which a message may leave;
    None when there is none.

    With ``rules.at`` it is first waited for the next moment of that local time. A local date has at most
    one: its first minute at which the clock shows that time or a later one. So a time that the clock jumps
    over is the minute after the jump, one that comes twice is the first, and a date that does not exist has
    none. From there on the first minute within the window and outside the quiet hours is taken, or, with
    ``Outside.EXCLUDE``, that very instant or none.

    Args:
        clock: the :func:`stretches` of the zone, from ``decided_at`` to ``valid_until``.
    """
    earliest, latest = _naive(decided_at), _naive(valid_until)
    moment = earliest if rules.at is None else _moment(clock, minute_of_day(rules.at) % 1440, earliest)
    if moment is None:
        return None
    opens = _permitted(clock, rules, moment)
    if opens is None or opens > latest or (rules.outside is Outside.EXCLUDE and opens != moment):
        return None
    return opens.replace(tzinfo=UTC)


def is_ever_permitted(window: Hours | None, quiet: Iterable[Hours]) -> bool:
    """Whether a week has a minute within the window and outside the quiet hours."""
    rules = Rules(window=window, quiet=tuple(quiet))
    monday = datetime(2026, 1, 5)  # noqa: DTZ001  # a local time, of no zone
    week = Stretch(monday, monday + len(DAYS) * _DAY, timedelta(0))
    return _permitted((week,), rules, monday) is not None


def _moment(clock: tuple[Stretch, ...], minute: int, earliest: datetime) -> datetime | None:
    """The first of the moments described at :func:`opening` that is not before ``earliest``."""
    seen: set[date] = set()
    for stretch in clock:
        for instant in _instants(stretch, stretch.start, {minute}):
            local = instant + stretch.offset
            if local.hour * 60 + local.minute < minute or local.date() in seen:
                continue
            seen.add(local.date())
            if instant >= earliest:
                return instant
    return None


def _permitted(clock: tuple[Stretch, ...], rules: Rules, earliest: datetime) -> datetime | None:
    edges = {
        minute_of_day(edge) % 1440
        for hours in (*rules.quiet, *([rules.window] if rules.window else []))
        for edge in (hours.start, hours.end)
    }
    for stretch in clock:
        for instant in _instants(stretch, max(stretch.start, earliest), edges):
            if rules.permits(instant + stretch.offset):
                return instant
    return None


def _instants(stretch: Stretch, earliest: datetime, minutes: set[int]) -> Iterator[datetime]:
    """``earliest``, then every midnight and every one of these minutes of the day, within the stretch: where
    an answer that depends on the date and the hours can change."""
    if earliest >= stretch.end:
        return
    yield earliest
    day = (earliest + stretch.offset).date()
    last = (stretch.end + stretch.offset).date()
    while day <= last:
        midnight = datetime.combine(day, time())
        for minute in sorted({0, *minutes}):
            instant = midnight + timedelta(minutes=minute) - stretch.offset
            if earliest < instant < stretch.end:
                yield instant
        day += _DAY


def _change(zone: tzinfo, before: datetime, after: datetime) -> datetime:
    """The first second after ``before`` at which the zone's offset is no longer what it was then."""
    offset = _offset(zone, before)
    while after - before > _SECOND:
        middle = before + (after - before) // _SECOND // 2 * _SECOND
        if _offset(zone, middle) == offset:
            before = middle
        else:
            after = middle
    return after


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.replace(tzinfo=UTC).astimezone(zone).utcoffset() or timedelta(0)


def _naive(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(tzinfo=None)
