"""When a print file of letters is made, through the days on which clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kundresa.spec.collect import Collect
from kundresa.spec.send_time import DAYS, minute_of_day

STOCKHOLM = "Europe/Stockholm"
OFFICE = ("mon", "tue", "wed", "thu", "fri")


@pytest.mark.parametrize(
    ("spec", "instant", "expected"),
    [
        ({"at": "18:00"}, "2026-11-23T18:00", "2026-11-23T18:00"),  # that very moment is still in time
        ({"at": "18:00"}, "2026-11-23T18:00:01", "2026-11-24T18:00"),
        ({"at": "18:00", "time_zone": STOCKHOLM}, "2026-11-23T16:59", "2026-11-23T17:00"),
        ({"at": "18:00", "time_zone": STOCKHOLM}, "2026-11-23T23:30", "2026-11-24T17:00"),
        ({"at": "18:00", "days": OFFICE}, "2026-11-27T18:01", "2026-11-30T18:00"),  # over a weekend
        ({"at": "18:00", "days": ("mon",)}, "2026-11-23T18:01", "2026-11-30T18:00"),
        ({"at": "24:00", "days": ("sun",)}, "2026-11-29T12:00", "2026-11-30T00:00"),
        ({"at": "24:00", "days": ("sun",)}, "2026-11-30T00:00", "2026-11-30T00:00"),
        ({"at": "02:30", "time_zone": STOCKHOLM}, "2027-03-28T00:00", "2027-03-28T01:30"),  # is left out
        ({"at": "02:30", "time_zone": STOCKHOLM}, "2026-10-25T00:00", "2026-10-25T00:30"),  # comes twice
        ({"at": "02:30", "time_zone": STOCKHOLM}, "2026-10-25T00:31", "2026-10-26T01:30"),
    ],
)
def test_the_next_file(spec: dict[str, str], instant: str, expected: str) -> None:
    collect = Collect.model_validate(spec)
    found = collect.next(datetime.fromisoformat(instant).replace(tzinfo=UTC))
    assert found == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@given(
    st.datetimes(datetime(2026, 1, 2), datetime(2028, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["00:00", "02:30", "18:00", "23:59", "24:00"]),
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.sampled_from(["UTC", STOCKHOLM, "America/New_York", "Pacific/Kiritimati"]),
)
def test_it_is_the_first_minute_of_all_that_fit(
    instant: datetime, at: str, days: set[str], zone: str
) -> None:
    collect = Collect.model_validate({"at": at, "days": sorted(days), "time_zone": zone})
    now = instant.replace(tzinfo=UTC)
    found = collect.next(now)
    assert now <= found <= now + timedelta(days=7, hours=2)
    assert collect.next(found) == found
    # As its clocks show it, a minute before 24:00 being of the day that it ends.
    shown = (found - timedelta(minutes=1 if at == "24:00" else 0)).astimezone(ZoneInfo(zone))
    if at != "02:30":
        assert DAYS[shown.weekday()] in days
        assert shown.hour * 60 + shown.minute == minute_of_day(at) - (at == "24:00")
