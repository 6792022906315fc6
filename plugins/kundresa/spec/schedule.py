"""When a campaign is scheduled to run, as Airflow would have it.

The instants are those of Airflow's ``CronTriggerTimetable``, which the campaign DAGs use; a test compares the
two over clock changes. Airflow itself is not asked, since planning works without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from kundresa.spec.campaign import AssetSchedule, Campaign, CronSchedule

PUBLISHED_EVERY = timedelta(days=1)
"""How often new segments are assumed to be published: nobody can know when a warehouse will be built."""


def runs_between(campaign: Campaign, start: datetime, end: datetime) -> Iterator[datetime]:
    """The instants after ``start`` and not after ``end`` at which the campaign is to run, in UTC.

    One that runs whenever segments are published is assumed to run once a day, at the time of day that
    ``start`` has. A manual one runs at none.
    """
    schedule = campaign.schedule
    if isinstance(schedule, CronSchedule):
        yield from _cron_instants(schedule, start, end)
    elif isinstance(schedule, AssetSchedule):
        moment = start.astimezone(UTC) + PUBLISHED_EVERY
        while moment <= end:
            yield moment
            moment += PUBLISHED_EVERY


def _cron_instants(schedule: CronSchedule, start: datetime, end: datetime) -> Iterator[datetime]:
    """By local time, unless the cron runs in every hour: that goes on through a change of the clocks."""
    zone = ZoneInfo(schedule.time_zone)
    moment = start.astimezone(UTC)
    while True:
        local = moment.astimezone(zone).replace(tzinfo=None)
        cron = croniter(schedule.cron, local)
        scheduled: datetime = cron.get_next(datetime)
        every_hour = cron.expanded[1] == ["*"]
        following = moment + (scheduled - local) if every_hour else _instant(scheduled, zone)
        if following > end:
            return
        yield following
        moment = following


def _instant(local: datetime, zone: ZoneInfo) -> datetime:
    """A local time that comes twice is the second; one that does not exist is as much later as the clock is
    put forward by."""
    instant = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) != local:
        instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    return instant
