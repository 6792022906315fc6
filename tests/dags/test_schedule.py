"""The schedule that plans go by is Airflow's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pendulum
import pytest
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronTriggerTimetable

from kundresa.spec.campaign import Campaign
from kundresa.spec.schedule import runs_between

BASE = {
    "name": "sale",
    "owner": "crm",
    "description": "A sale.",
    "audience": {"include": ["everybody"]},
    "topic": "offers",
    "channels": [{"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"}],
    "quality": {"rows": {"min": 0, "max": 10}},
}


def campaign(schedule):
    return Campaign.model_validate({**BASE, "schedule": schedule})


def airflows(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    timetable = CronTriggerTimetable(cron, timezone=zone)
    # Catching up, so that the present does not matter.
    restriction = TimeRestriction(earliest=pendulum.instance(start), latest=None, catchup=True)
    found, last = [], None
    while True:
        following = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if following is None or following.run_after > end:
            return [moment for moment in found if moment > start]
        found.append(datetime.fromtimestamp(following.run_after.timestamp(), tz=UTC))
        last = following.data_interval


@pytest.mark.parametrize("zone", ["Europe/Stockholm", "America/New_York", "UTC", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "cron",
    ["0 9 * * 2", "30 2 * * *", "0 3 * * *", "15 * * * *", "*/20 1-3 * * *", "0 0 1 * *", "45 1 * * *"],
)
@pytest.mark.parametrize(
    "start",
    [
        datetime(2026, 3, 26, 5, 17, 8, 9, tzinfo=UTC),
        datetime(2026, 10, 22, 5, 17, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 10, tzinfo=UTC),  # within the hour that comes twice in Stockholm
    ],
)
def test_it_runs_when_airflow_says(cron, zone, start):
    end = start + timedelta(days=12)
    expected = airflows(cron, zone, start, end)
    assert list(runs_between(campaign({"cron": cron, "time_zone": zone}), start, end)) == expected
    assert expected or cron == "0 0 1 * *"


def test_segments_are_published_once_a_day_and_nobody_runs_a_manual_one():
    start = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
    end = start + timedelta(days=3)
    assert list(runs_between(campaign({"on": "segments"}), start, end)) == [
        start + timedelta(days=day) for day in (1, 2, 3)
    ]
    assert list(runs_between(campaign("manual"), start, end)) == []
