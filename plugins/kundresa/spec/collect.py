"""When letters that come one by one are put into one print file."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from kundresa.spec.fields import TimeZone
from kundresa.spec.send_time import DAYS, Days, TimeOfDay, instant_of, minute_of_day
from kundresa.spec.spec import Spec


class Collect(Spec):
    """The time of day at which a print file is made of the letters that were reached since the one before."""

    at: TimeOfDay
    """As clocks show it; 24:00 belongs to the day that it ends."""
    days: Days = DAYS
    """The days on which one is made."""
    time_zone: TimeZone = "UTC"
    """Whose clocks: an IANA zone."""

    def next(self, instant: datetime) -> datetime:
        """The first such time from an instant on, in UTC. A time that clocks leave out comes when they have
        jumped over it, one that they show twice is the first."""
        zone = ZoneInfo(self.time_zone)
        today = instant.astimezone(zone).date()
        # 24:00 of the day before may still be to come; a week later every day has been.
        for offset in range(-1, len(DAYS) + 2):
            day = today + timedelta(days=offset)
            found = instant_of(day, minute_of_day(self.at), zone)
            if DAYS[day.weekday()] in self.days and found >= instant:
                return found
        raise AssertionError("within a week every day comes")
