"""Calendar periods where they are not 24 hours."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.spec.fields import time_zones
from kundresa.spec.periods import first_instant, periods


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "zone", "at", "expected"),
    [
        ("day", "UTC", "2026-03-01T00:00", ("2026-03-01T00:00", "2026-03-02T00:00")),
        ("day", "UTC", "2026-03-01T23:59:59.999999", ("2026-03-01T00:00", "2026-03-02T00:00")),
        # The clocks go forward: 23 hours; back: 25.
        ("day", "Europe/Stockholm", "2026-03-29T12:00", ("2026-03-28T23:00", "2026-03-29T22:00")),
        ("day", "Europe/Stockholm", "2026-10-25T12:00", ("2026-10-24T22:00", "2026-10-25T23:00")),
        ("day", "Asia/Kolkata", "2026-03-01T18:30", ("2026-03-01T18:30", "2026-03-02T18:30")),
        # By half an hour.
        ("day", "Australia/Lord_Howe", "2026-04-04T20:00", ("2026-04-04T13:00", "2026-04-05T13:30")),
        # There is no midnight: the day starts at one o'clock, which is the instant of the change.
        ("day", "Africa/Cairo", "2026-04-24T12:00", ("2026-04-23T22:00", "2026-04-24T21:00")),
        # Midnight happens twice: the day starts at the first one, and the first belongs to it.
        ("day", "America/Havana", "2026-11-01T04:30", ("2026-11-01T04:00", "2026-11-02T05:00")),
        # A week starts on Monday, also over the change of the year.
        ("week", "UTC", "2026-03-01T12:00", ("2026-02-23T00:00", "2026-03-02T00:00")),
        ("week", "UTC", "2026-03-02T00:00", ("2026-03-02T00:00", "2026-03-09T00:00")),
        ("week", "UTC", "2026-01-01T12:00", ("2025-12-29T00:00", "2026-01-05T00:00")),
        ("month", "UTC", "2028-02-29T12:00", ("2028-02-01T00:00", "2028-03-01T00:00")),
        ("month", "UTC", "2026-12-31T12:00", ("2026-12-01T00:00", "2027-01-01T00:00")),
        ("month", "America/New_York", "2026-03-31T12:00", ("2026-03-01T05:00", "2026-04-01T04:00")),
    ],
)
def test_the_period_of_an_instant(kind, zone, at, expected):
    assert periods(kind, zone, utc(at), utc(at)) == [(utc(expected[0]), utc(expected[1]))]


def test_a_day_that_a_zone_left_out_is_no_period():
    """Samoa went from 29 to 31 December 2011."""
    found = periods("day", "Pacific/Apia", utc("2011-12-29T12:00"), utc("2011-12-31T12:00"))
    assert found == [
        (utc("2011-12-29T10:00"), utc("2011-12-30T10:00")),
        (utc("2011-12-30T10:00"), utc("2011-12-31T10:00")),
        (utc("2011-12-31T10:00"), utc("2012-01-01T10:00")),
    ]
    zone = ZoneInfo("Pacific/Apia")
    assert first_instant(date(2011, 12, 30), zone) == first_instant(date(2011, 12, 31), zone)


def test_a_gap_around_midnight_ends_where_the_day_starts():
    """Toronto went from 23:30 to 00:30 on 30 March 1919."""
    start = first_instant(date(1919, 3, 31), ZoneInfo("America/Toronto"))
    assert start.astimezone(ZoneInfo("America/Toronto")).replace(tzinfo=None) == datetime(1919, 3, 31, 0, 30)  # noqa: DTZ001
    before = start - timedelta(seconds=1)
    assert before.astimezone(ZoneInfo("America/Toronto")).replace(tzinfo=None) == datetime(  # noqa: DTZ001
        1919, 3, 30, 23, 29, 59
    )


@given(
    zone=st.sampled_from(time_zones()),
    kind=st.sampled_from(["day", "week", "month"]),
    first=st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1)),  # noqa: DTZ001
    hours=st.integers(0, 24 * 14),
)
def test_periods_cover_the_time_without_a_gap_and_are_what_the_calendar_says(zone, kind, first, hours):
    first = first.replace(tzinfo=UTC)
    last = first + timedelta(hours=hours)
    found = periods(kind, zone, first, last)
    assert found[0][0] <= first < found[0][1]
    assert found[-1][0] <= last < found[-1][1]
    assert all(one[1] == two[0] for one, two in pairwise(found))
    for start, end in found:
        local = [instant.astimezone(ZoneInfo(zone)) for instant in (start, end - timedelta(microseconds=1))]
        keys = {
            "day": [each.date() for each in local],
            "week": [each.date().isocalendar()[:2] for each in local],
            "month": [(each.year, each.month) for each in local],
        }[kind]
        assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (utc("2026-03-02T00:00"), utc("2026-03-01T00:00")),
        (datetime(2026, 3, 1), utc("2026-03-01T00:00")),  # noqa: DTZ001
    ],
)
def test_what_is_no_stretch_of_time_is_refused(first, last):
    with pytest.raises(ValueError, match="two instants in order"):
        periods("day", "UTC", first, last)
