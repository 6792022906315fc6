"""The moment that a ``wait_until`` waits for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from kundresa.spec.events import parse_instant
from kundresa.spec.journey_steps import WaitUntilStep
from kundresa.spec.send_time import instant_of, minute_of_day

_DAY = timedelta(days=1)


def moment_of(
    step: WaitUntilStep, at: datetime, event: Mapping[str, Any], profile: Mapping[str, Any]
) -> datetime | None:
    """The instant at which a person goes on who has come to the step at ``at``; it may be over already.

    A day begins at midnight where the person is (or in the step's ``time_zone``); whole days are counted by
    the calendar, not in hours. A time that clocks leave out comes when they have jumped over it, one that
    they show twice is the first.

    Returns None when the value is missing, is neither a day nor an instant, or comes to no moment that there
    is: 9999-12-31, which stands for never, and a day more.
    """
    try:
        found = _moment_of(step, at, event, profile)
        return None if found is None else found.astimezone(UTC)
    except OverflowError:
        return None


def _moment_of(
    step: WaitUntilStep, at: datetime, event: Mapping[str, Any], profile: Mapping[str, Any]
) -> datetime | None:
    zone = _zone(profile.get("time_zone") if step.time_zone == "person" else step.time_zone)
    shift = step.plus - step.minus
    if step.event is None and step.profile is None:
        base = _shifted(at, shift, zone)
        return _clock(base, minute_of_day(step.at or "00:00"), zone, strictly=True)
    value = _value(event.get(step.event) if step.event is not None else profile.get(step.profile or ""))
    if value is None:
        return None
    if isinstance(value, datetime):
        base = _shifted(value, shift, zone)
        return base if step.at is None else _clock(base, minute_of_day(step.at), zone, strictly=False)
    whole, rest = divmod(shift, _DAY)
    minute = 0 if step.at is None else minute_of_day(step.at)
    return instant_of(value + timedelta(days=whole), minute, zone) + rest


def _value(value: Any) -> date | datetime | None:
    """An aware instant, a day, or None."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        return None
    if len(value) == len("2026-11-23"):
        try:
            return date.fromisoformat(value)
        except ValueError:
            return None
    return parse_instant(value)


def _shifted(instant: datetime, shift: timedelta, zone: ZoneInfo) -> datetime:
    """Whole days by the calendar of the zone."""
    if not shift or shift % _DAY:
        return instant + shift
    local = instant.astimezone(zone)
    return (local.replace(tzinfo=None, fold=0) + shift).replace(tzinfo=zone).astimezone(UTC)


def _clock(base: datetime, minute: int, zone: ZoneInfo, *, strictly: bool) -> datetime:
    """The first instant from ``base`` on, or after it, at which clocks show a minute of the day."""
    day = base.astimezone(zone).date()
    # 24:00 of the day before is the earliest that may still be to come; a day may lack its minute.
    for offset in range(-1, 3):
        found = instant_of(day + timedelta(days=offset), minute, zone)
        if found > base or (found == base and not strictly):
            return found
    raise AssertionError("within three days every clock shows every minute")


@lru_cache(maxsize=1024)
def _zone(name: str | None) -> ZoneInfo:
    """UTC for a person whose zone is not known, or is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
