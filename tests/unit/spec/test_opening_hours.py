"""When a message may leave: at the edges, on the days on which clocks are changed, and minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kundresa.spec.opening_hours import Rules, Stretch, is_ever_permitted, opening, stretches
from kundresa.spec.send_time import DAYS, Hours
from kundresa.spec.vocabulary import Outside

MINUTE = timedelta(minutes=1)
OFFICE = Hours(start="09:00", end="18:00")
NIGHT = Hours(start="21:00", end="08:00")
WEEKEND = Hours(days=("sat", "sun"))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opens(zone: str, rules: Rules, decided_at: str, valid_for: timedelta = timedelta(days=4)) -> str | None:
    """The opening as local time with its offset, to the minute."""
    start = utc(decided_at)
    clock = stretches(ZoneInfo(zone), start, start + valid_for)
    found = opening(clock, rules, decided_at=start, valid_until=start + valid_for)
    return None if found is None else found.astimezone(ZoneInfo(zone)).isoformat(" ", "minutes")


# ------------------------------------------------------------------------------------------------ the edges


@pytest.mark.parametrize(
    ("decided_at", "expected"),
    [
        ("2026-11-25 07:59:59", "2026-11-25 09:00+01:00"),  # 08:59:59 in Stockholm, on a Wednesday
        ("2026-11-25 08:00", "2026-11-25 09:00+01:00"),
        ("2026-11-25 16:59:59", "2026-11-25 17:59+01:00"),
        ("2026-11-25 17:00", "2026-11-26 09:00+01:00"),
    ],
)
def test_a_window_holds_from_its_first_minute_to_before_its_end(decided_at, expected):
    assert opens("Europe/Stockholm", Rules(window=OFFICE), decided_at) == expected


@pytest.mark.parametrize(
    ("decided_at", "expected"),
    [
        ("2026-11-25 19:59:59", "2026-11-25 20:59+01:00"),
        ("2026-11-25 20:00", "2026-11-26 08:00+01:00"),
        ("2026-11-25 23:30", "2026-11-26 08:00+01:00"),
        ("2026-11-26 06:59:59", "2026-11-26 08:00+01:00"),
        ("2026-11-26 07:00", "2026-11-26 08:00+01:00"),
    ],
)
def test_quiet_hours_cross_midnight(decided_at, expected):
    assert opens("Europe/Stockholm", Rules(quiet=(NIGHT,)), decided_at) == expected


def test_a_permitted_instant_is_kept_to_the_microsecond():
    start = utc("2026-11-25 10:00:07.000123")
    clock = stretches(ZoneInfo("Europe/Stockholm"), start, start + timedelta(hours=1))
    rules = Rules(window=OFFICE)
    assert opening(clock, rules, decided_at=start, valid_until=start + timedelta(hours=1)) == start


def test_hours_that_cross_midnight_belong_to_the_day_they_start_on():
    friday_night = Rules(quiet=(Hours(start="22:00", end="06:00", days=("fri",)),))
    assert opens("UTC", friday_night, "2026-11-27 05:00") == "2026-11-27 05:00+00:00"  # Friday morning
    assert opens("UTC", friday_night, "2026-11-27 22:00") == "2026-11-28 06:00+00:00"
    assert opens("UTC", friday_night, "2026-11-28 03:00") == "2026-11-28 06:00+00:00"
    assert opens("UTC", friday_night, "2026-11-28 22:00") == "2026-11-28 22:00+00:00"  # Saturday night


def test_24_00_is_the_end_of_the_day_and_not_of_the_next():
    evening = Rules(window=Hours(start="20:00", end="24:00", days=("sat",)))
    assert opens("UTC", evening, "2026-11-28 23:59") == "2026-11-28 23:59+00:00"
    assert opens("UTC", evening, "2026-11-29 00:00", timedelta(days=8)) == "2026-12-05 20:00+00:00"
    until_midnight = Rules(window=Hours(start="20:00", end="00:00", days=("sat",)))
    assert opens("UTC", until_midnight, "2026-11-28 23:59") == "2026-11-28 23:59+00:00"
    assert opens("UTC", until_midnight, "2026-11-29 00:00", timedelta(days=8)) == "2026-12-05 20:00+00:00"


def test_window_and_quiet_hours_hold_together():
    rules = Rules(window=Hours(start="07:00", end="22:00"), quiet=(NIGHT, WEEKEND))
    assert opens("Europe/Stockholm", rules, "2026-11-27 20:30") == "2026-11-30 08:00+01:00"


def test_the_last_instant_of_the_validity_is_one():
    rules = Rules(window=OFFICE)
    assert opens("UTC", rules, "2026-11-25 05:00", timedelta(hours=4)) == "2026-11-25 09:00+00:00"
    assert opens("UTC", rules, "2026-11-25 05:00", timedelta(hours=4) - MINUTE / 60) is None


def test_outside_exclude_permits_the_instant_itself_or_none():
    rules = Rules(window=OFFICE, outside=Outside.EXCLUDE)
    assert opens("Europe/Stockholm", rules, "2026-11-25 08:00") == "2026-11-25 09:00+01:00"
    assert opens("Europe/Stockholm", rules, "2026-11-25 07:59") is None
    at = Rules(at="20:30", quiet=(Hours(start="20:00", end="21:00", days=("wed",)),), outside=Outside.EXCLUDE)
    assert opens("UTC", at, "2026-11-24 12:00") == "2026-11-24 20:30+00:00"
    assert opens("UTC", at, "2026-11-25 12:00") is None


def test_at_is_the_next_such_time_now_included():
    rules = Rules(at="09:00")
    assert opens("America/New_York", rules, "2026-11-25 14:00") == "2026-11-25 09:00-05:00"
    assert opens("America/New_York", rules, "2026-11-25 14:00:01") == "2026-11-26 09:00-05:00"
    assert opens("Asia/Kolkata", rules, "2026-11-25 03:30") == "2026-11-25 09:00+05:30"
    assert opens("UTC", Rules(at="24:00"), "2026-11-25 03:30") == "2026-11-26 00:00+00:00"


def test_at_in_quiet_hours_leaves_at_the_next_permitted_minute():
    assert opens("UTC", Rules(at="22:00", quiet=(NIGHT,)), "2026-11-25 12:00") == "2026-11-26 08:00+00:00"


# ------------------------------------------------------------------- the days on which clocks are changed


def test_an_hour_that_does_not_exist():
    """In Stockholm 29 March 2026 has no 02:00 to 03:00."""
    night = "2026-03-29 00:00"
    assert opens("Europe/Stockholm", Rules(at="02:30"), night) == "2026-03-29 03:00+02:00"
    assert opens("Europe/Stockholm", Rules(at="02:00"), night) == "2026-03-29 03:00+02:00"
    assert opens("Europe/Stockholm", Rules(at="03:00"), night) == "2026-03-29 03:00+02:00"
    inside = Rules(window=Hours(start="02:00", end="03:00"))
    assert opens("Europe/Stockholm", inside, night) == "2026-03-30 02:00+02:00"
    beyond = Rules(window=Hours(start="02:15", end="04:00"))
    assert opens("Europe/Stockholm", beyond, night) == "2026-03-29 03:00+02:00"


def test_an_hour_that_happens_twice():
    """In Stockholm 02:00 to 03:00 of 25 October 2026 comes again at 01:00 UTC."""
    at = Rules(at="02:30")
    assert opens("Europe/Stockholm", at, "2026-10-25 00:00") == "2026-10-25 02:30+02:00"
    # The first 02:30 is over; the second is not another moment.
    assert opens("Europe/Stockholm", at, "2026-10-25 00:31") == "2026-10-26 02:30+01:00"
    assert opens("Europe/Stockholm", at, "2026-10-25 01:10") == "2026-10-26 02:30+01:00"
    quiet = Rules(quiet=(Hours(start="00:00", end="02:30"),))
    assert opens("Europe/Stockholm", quiet, "2026-10-25 00:20") == "2026-10-25 02:30+02:00"
    # What the clock shows counts: it is 02:00 once more.
    assert opens("Europe/Stockholm", quiet, "2026-10-25 01:00") == "2026-10-25 02:30+01:00"


def test_half_an_hour_on_lord_howe():
    """Clocks go from 02:00 to 01:30 on 5 April 2026 (15:00 UTC), and from 02:00 to 02:30 on 4 October."""
    assert opens("Australia/Lord_Howe", Rules(at="01:45"), "2026-04-04 14:00") == "2026-04-05 01:45+11:00"
    assert opens("Australia/Lord_Howe", Rules(at="01:45"), "2026-04-04 15:00") == "2026-04-06 01:45+10:30"
    assert opens("Australia/Lord_Howe", Rules(at="02:10"), "2026-10-03 15:00") == "2026-10-04 02:30+11:00"


def test_a_day_that_does_not_exist():
    """Apia had no 30 December 2011: it crossed the date line."""
    assert opens("Pacific/Apia", Rules(at="09:00"), "2011-12-29 20:00") == "2011-12-31 09:00+14:00"
    fridays = Rules(window=Hours(start="09:00", end="18:00", days=("fri",)))
    assert opens("Pacific/Apia", fridays, "2011-12-30 06:00", timedelta(days=9)) == "2012-01-06 09:00+14:00"


def test_midnight_that_does_not_exist():
    """In Santiago 6 September 2026 starts at 01:00."""
    assert opens("America/Santiago", Rules(at="00:00"), "2026-09-05 12:00") == "2026-09-06 01:00-03:00"
    sunday = Rules(window=Hours(days=("sun",)))
    assert opens("America/Santiago", sunday, "2026-09-05 12:00") == "2026-09-06 01:00-03:00"


# -------------------------------------------------------------------------------------------- the stretches


def test_stretches_have_no_gaps_and_one_offset_each():
    start, end = utc("2026-03-28 12:00:00.5"), utc("2026-03-30 12:00")
    first, change, last = (
        utc(text).replace(tzinfo=None)
        for text in ("2026-03-26 12:00", "2026-03-29 01:00", "2026-03-30 12:00:01")
    )
    assert stretches(ZoneInfo("Europe/Stockholm"), start, end) == (
        Stretch(first, change, timedelta(hours=1)),
        Stretch(change, last, timedelta(hours=2)),
    )


def test_zones_with_clocks_alike_are_equal():
    start, end = utc("2026-03-28 12:00"), utc("2026-03-30 12:00")
    assert stretches(ZoneInfo("Europe/Oslo"), start, end) == stretches(ZoneInfo("Europe/Rome"), start, end)
    assert stretches(ZoneInfo("Africa/Lagos"), start, end) != stretches(ZoneInfo("Europe/Rome"), start, end)


def test_a_week_without_a_permitted_minute_is_found_out():
    assert is_ever_permitted(OFFICE, [NIGHT, WEEKEND])
    assert is_ever_permitted(None, [Hours(start="00:01", end="00:00")])
    assert not is_ever_permitted(Hours(start="22:00", end="08:00"), [NIGHT])
    assert not is_ever_permitted(Hours(days=("sat",)), [WEEKEND])
    assert not is_ever_permitted(None, [Hours(end="12:00"), Hours(start="12:00")])
    assert is_ever_permitted(None, [])


# ------------------------------------------------------------------------------------------ minute by minute


def covered(hours: Hours, local: datetime) -> bool:
    """Counted from the minutes of the week at which they start, for as long as they last."""
    start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (hours.start, hours.end))
    length = end - start if end > start else 1440 - start + end
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    starts = [DAYS.index(day) * 1440 + start for day in hours.days]
    return any(0 <= (minute - each) % (7 * 1440) < length for each in starts)


def permitted(rules: Rules, local: datetime) -> bool:
    in_window = rules.window is None or covered(rules.window, local)
    return in_window and not any(covered(hours, local) for hours in rules.quiet)


def minutes(start: datetime, end: datetime) -> list[datetime]:
    """``start`` itself and every whole minute after it, to ``end``."""
    whole = start.replace(second=0, microsecond=0)
    count = int((end - whole) / MINUTE)
    return [start, *(each for step in range(1, count + 1) if (each := whole + step * MINUTE) <= end)]


def next_moment(zone: ZoneInfo, at: str, start: datetime, end: datetime) -> datetime | None:
    first: dict[date, datetime] = {}
    for instant in minutes(start.replace(second=0, microsecond=0) - timedelta(days=3), end):
        local = instant.astimezone(zone)
        if f"{local:%H:%M}" >= at.replace("24:00", "00:00"):
            first.setdefault(local.date(), instant)
    return min((instant for instant in first.values() if instant >= start), default=None)


def by_the_minute(zone: ZoneInfo, rules: Rules, start: datetime, end: datetime) -> datetime | None:
    moment = start if rules.at is None else next_moment(zone, rules.at, start, end)
    if moment is None:
        return None
    if rules.outside is Outside.EXCLUDE:
        return moment if permitted(rules, moment.astimezone(zone)) else None
    return next((each for each in minutes(moment, end) if permitted(rules, each.astimezone(zone))), None)


TIMES = st.builds(
    lambda hour, minute: f"{hour:02}:{minute:02}", st.integers(0, 23), st.sampled_from([0, 0, 15, 30, 59])
)
HOURS = st.builds(
    lambda ends, days: Hours(start=ends[0], end=ends[1], days=tuple(days)),
    st.tuples(TIMES, TIMES | st.just("24:00")).filter(lambda ends: ends[0] != ends[1]),
    st.lists(st.sampled_from(DAYS), min_size=1, max_size=7, unique=True),
)
RULES = st.builds(
    Rules,
    at=st.none() | TIMES | st.just("24:00"),
    window=st.none() | HOURS,
    quiet=st.lists(HOURS, max_size=2).map(tuple),
    outside=st.sampled_from([Outside.DEFER, Outside.DEFER, Outside.EXCLUDE]),
)
CHANGES = {
    "Europe/Stockholm": ("2026-03-29 01:00", "2026-10-25 01:00"),
    "America/New_York": ("2026-03-08 07:00", "2026-11-01 06:00"),
    "Australia/Lord_Howe": ("2026-04-04 15:00", "2026-10-03 15:30"),
    "America/Santiago": ("2026-04-05 03:00", "2026-09-06 04:00"),
    "Asia/Kolkata": ("2026-06-15 12:00",),
    "Pacific/Apia": ("2011-12-30 10:00",),
    "Africa/Casablanca": ("2026-02-15 02:00", "2026-03-22 02:00"),
}
CASES = st.sampled_from([(zone, change) for zone, changes in CHANGES.items() for change in changes])


@settings(max_examples=150, deadline=None)
@given(
    case=CASES,
    rules=RULES,
    before=st.integers(-26 * 3600, 50 * 3600),
    valid_for=st.integers(600, 60 * 3600),
)
@example(
    case=("Europe/Stockholm", "2026-10-25 01:00"), rules=Rules(at="02:30"), before=-600, valid_for=90_000
)
@example(case=("Pacific/Apia", "2011-12-30 10:00"), rules=Rules(at="12:00"), before=3600, valid_for=90_000)
def test_the_same_as_minute_by_minute(case, rules, before, valid_for):
    zone, start = ZoneInfo(case[0]), utc(case[1]) - timedelta(seconds=before)
    end = start + timedelta(seconds=valid_for)
    found = opening(stretches(zone, start, end), rules, decided_at=start, valid_until=end)
    assert found == by_the_minute(zone, rules, start, end)
