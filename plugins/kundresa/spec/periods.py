"""Calendar periods: days, weeks and months as they begin and end in a time zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

PeriodKind = Literal["day", "week", "month"]


def periods(kind: PeriodKind, zone: str, first: datetime, last: datetime) -> list[tuple[datetime, datetime]]:
    """Every period that holds an instant from ``first`` to ``last``, both included, in order.

    A period is (start, end) in UTC, the end excluded and equal to the next one's start. A week starts on
    Monday. Each starts at the first instant of its first day: that is not midnight where the clocks are put
    forward at midnight, and a day that the zone never had is left out.

    Raises:
        ValueError: for an instant without a time zone, or when ``first`` is after ``last``.
    """
    if first.tzinfo is None or last.tzinfo is None or first > last:
        raise ValueError(f"expected two instants in order, not {first} and {last}")
    where = ZoneInfo(zone)
    # One period earlier: where the clocks went back over midnight, an instant's date says nothing certain.
    day = _first_day(kind, _first_day(kind, first.astimezone(where).date()) - timedelta(days=1))
    found = []
    start = first_instant(day, where)
    while start <= last:
        day = _next(kind, day)
        end = first_instant(day, where)
        if end > max(start, first):
            found.append((start, end))
        start = end
    return found


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins, in UTC: the earlier one when midnight happens twice; when it does not happen, the
    instant at which the clocks are put forward over it."""
    midnight = datetime.combine(day, time(), zone)
    instant = midnight.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return instant
    # Within a gap. The clocks are put forward at most a day before the instant that the old offset gives.
    before, after = instant - timedelta(days=1), instant
    while after - before > timedelta(seconds=1):
        between = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if between.astimezone(zone).date() < day:
            before = between
        else:
            after = between
    return after


def _first_day(kind: PeriodKind, day: date) -> date:
    if kind == "month":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if kind == "week" else day


def _next(kind: PeriodKind, day: date) -> date:
    if kind == "month":
        return (day + timedelta(days=31)).replace(day=1)
    return day + timedelta(days=7 if kind == "week" else 1)
