"""How late messages are to be expected, at a rate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.runs.lateness import outlook
from kundresa.warehouse import SendHour

EIGHT = datetime(2026, 11, 27, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)


def hour(number: int, messages: int, *, minutes: int = 0) -> SendHour:
    starts_at = EIGHT + number * HOUR
    return SendHour("email", starts_at, messages, starts_at + timedelta(minutes=minutes))


def look(*hours: SendHour, per_second: float, done: int = 0, now: datetime = EIGHT, valid: int = 84):
    return outlook(hours, per_second, done=done, now=now, late_after=HOUR, valid_until=EIGHT + valid * HOUR)


def test_150_000_that_are_due_at_eight_and_leave_until_eleven_at_night():
    """Field report 9."""
    found = look(hour(0, 150_000), per_second=150_000 / (15 * 3_600))
    assert (found.late, found.lost, found.due_at) == (140_000, 0, EIGHT)
    assert abs(found.ends_at - (EIGHT + 15 * HOUR)) < timedelta(seconds=1)


def test_what_leaves_within_what_is_allowed_is_not_late():
    assert look(hour(0, 3_600), per_second=1) == look(hour(0, 3_600), per_second=1, done=0)
    found = look(hour(0, 3_600), per_second=1)
    assert (found.late, found.due_at, found.ends_at) == (0, None, EIGHT + HOUR)
    assert look(hour(0, 3_601), per_second=1).late == 1


def test_an_hour_waits_for_those_before_it_and_not_for_its_full_hour_alone():
    # The second hour's is due at half past nine; the first hour's takes until eleven.
    found = look(hour(0, 3 * 3_600), hour(1, 3_600, minutes=30), per_second=1)
    assert found.ends_at == EIGHT + 4 * HOUR
    assert found.late == 2 * 3_600 + 3_600
    # Alone it would be in time, due as it is at half past nine.
    assert look(hour(1, 3_600, minutes=30), per_second=1).late == 0


def test_what_is_done_counts_no_more():
    found = look(hour(0, 7_200), hour(5, 10), per_second=1, done=7_200, now=EIGHT + 4 * HOUR)
    assert (found.late, found.ends_at) == (0, EIGHT + 5 * HOUR + timedelta(seconds=10))
    assert look(hour(0, 7_200), per_second=1, done=7_199, now=EIGHT + 4 * HOUR).late == 1


def test_a_run_that_begins_late_is_late_whatever_the_rate():
    found = look(hour(0, 10), per_second=1_000_000, now=EIGHT + 2 * HOUR)
    assert (found.late, found.due_at) == (10, EIGHT)


@pytest.mark.parametrize(("valid", "lost"), [(1, 7_200), (2, 3_600), (3, 0), (-1, 10_800)])
def test_what_does_not_leave_while_the_run_is_valid_is_lost(valid: int, lost: int):
    found = look(hour(0, 10_800), per_second=1, valid=valid)
    assert (found.lost, found.late, found.due_at) == (lost, max(7_200, lost), EIGHT)


def test_what_is_lost_is_told_also_where_nothing_is_late_by_its_campaign():
    found = outlook(
        [hour(0, 7_200)],
        1,
        done=0,
        now=EIGHT,
        late_after=3 * HOUR,
        valid_until=EIGHT + HOUR,
    )
    assert (found.late, found.lost, found.due_at) == (3_600, 3_600, EIGHT)
