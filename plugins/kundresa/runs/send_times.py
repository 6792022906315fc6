"""When a run may write to people, by their time zones and countries: when decided, and when sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from kundresa import warehouse
from kundresa.spec.campaign import Campaign
from kundresa.spec.fields import time_zones
from kundresa.spec.opening_hours import Rules, Stretch, opening, stretches
from kundresa.spec.policies import Policies
from kundresa.spec.send_time import EXCLUDE, MAX_WAIT, QuietHours, SendTime
from kundresa.spec.vocabulary import Consent, Outside

ANYWHERE = ""
"""As a zone: that of people whose own is unknown. As a country: every one without hours of its own."""


def run_openings(
    spec: Campaign, policies: Policies, *, decided_at: datetime, valid_until: datetime
) -> tuple[warehouse.RunOpening, ...] | None:
    """One for each time zone, and in each for every country that quiet hours name and for all the others.

    Where the campaign asks for the best hour there is one for each hour of the day as well, which waits for
    it as ``send_time.at`` does, unless it comes later than ``best_hour.within``; the one without an hour is
    for people of whom no best one is known.

    People whose zone is unknown have those of ``send_time.unknown_time_zone``. With ``exclude`` they have
    none, except in countries where no hours hold at all: what the zone is does not matter there.

    None when nothing but the decision says when messages leave.
    """
    send_time = spec.send_time or SendTime()
    topic = policies.topics.get(spec.topic)
    is_exempt = topic is not None and topic.consent is Consent.EXEMPT
    best_hour = send_time.best_hour
    rules = country_rules(send_time, () if is_exempt else policies.quiet_hours)
    if best_hour is None and all(each.is_always for each in rules.values()):
        return None
    zones: dict[str, tuple[Stretch, ...]] = {
        name: stretches(zone, decided_at, valid_until) for name, zone in _zones().items()
    }
    # Of 600 zones some 50 have clocks of their own, and few countries have rules of their own.
    known: dict[tuple[tuple[Stretch, ...], Rules], datetime | None] = {}

    def opens_at(clock: tuple[Stretch, ...], rule: Rules) -> datetime | None:
        if (clock, rule) not in known:
            known[clock, rule] = opening(clock, rule, decided_at=decided_at, valid_until=valid_until)
        return known[clock, rule]

    def in_hour(clock: tuple[Stretch, ...], rule: Rules, hour: int | None) -> datetime | None:
        if best_hour is None or hour is None:
            return opens_at(clock, rule)
        hourly = Rules(at=f"{hour:02d}:00")
        last = decided_at + best_hour.within
        too_late = best_hour.within < MAX_WAIT and (
            (opened := opens_at(clock, hourly)) is None or opened > last
        )
        return opens_at(clock, rule if too_late else replace(rule, at=hourly.at))

    hours: tuple[int | None, ...] = (None,) if best_hour is None else (None, *range(24))
    openings = [
        warehouse.RunOpening(zone, country, in_hour(clock, rule, hour), hour=hour)
        for zone, clock in zones.items()
        for country, rule in rules.items()
        for hour in hours
    ]
    fallback = send_time.unknown_time_zone
    openings += [
        warehouse.RunOpening(
            ANYWHERE,
            country,
            in_hour(zones["UTC" if fallback == EXCLUDE else fallback], rule, hour),
            hour=hour,
        )
        for country, rule in rules.items()
        if fallback != EXCLUDE or (rule.is_always and best_hour is None)
        for hour in hours
    ]
    return tuple(openings)


def wave_openings(
    spec: Campaign,
    policies: Policies,
    waves: Sequence[warehouse.RunWave],
    *,
    decided_at: datetime,
    valid_until: datetime,
) -> tuple[warehouse.RunOpening, ...] | None:
    """As :func:`run_openings`, for each wave from its own start on. A wave that would start after the
    validity, as in a run that is decided late, has none."""
    if not waves:
        return run_openings(spec, policies, decided_at=decided_at, valid_until=valid_until)
    found: list[warehouse.RunOpening] = []
    for wave in waves:
        is_late = wave.starts_at > valid_until
        start = decided_at if is_late else wave.starts_at
        openings = run_openings(spec, policies, decided_at=start, valid_until=valid_until)
        if openings is None:
            return None
        found += [
            replace(each, wave=wave.wave, opens_at=None if is_late else each.opens_at) for each in openings
        ]
    return tuple(found)


def country_rules(send_time: SendTime, quiet_hours: tuple[QuietHours, ...]) -> dict[str, Rules]:
    """What holds in each country that the quiet hours name, and under :data:`ANYWHERE` in all others."""
    named = sorted({country for hours in quiet_hours for country in hours.countries or ()})
    return {
        country: Rules(
            at=send_time.at,
            window=send_time.window,
            quiet=tuple(
                hours for hours in quiet_hours if hours.countries is None or country in hours.countries
            ),
            outside=send_time.outside,
        )
        for country in (ANYWHERE, *named)
    }


class SendHours:
    """The window of a run and the quiet hours, asked once more when a message is about to leave: one that a
    receiving server has deferred, or whose batch took long, does not arrive at night after all.

    A moment outside is moved to the next permitted minute here, also where the campaign's decision had
    excluded the person. ``at`` was waited for before.
    """

    def __init__(
        self,
        send_time: SendTime | None,
        quiet_hours: tuple[QuietHours, ...],
        *,
        decided_at: datetime,
        valid_until: datetime,
    ) -> None:
        hours = (send_time or SendTime()).model_copy(update={"at": None, "outside": Outside.DEFER})
        self._fallback = hours.unknown_time_zone
        self._rules = country_rules(hours, quiet_hours)
        self._decided_at = decided_at
        self._valid_until = valid_until
        self._clocks: dict[str, tuple[Stretch, ...]] = {}
        self._asked_at: datetime | None = None
        self._known: dict[tuple[str, str], datetime | None] = {}

    def opens_at(self, row: Mapping[str, Any], now: datetime, /) -> datetime | None:
        """The first instant from ``now`` on at which this message may leave; None when there is none within
        the run's validity.

        A person without a zone, of a run that excludes such people, was decided when no hours held for them:
        they are not held back by hours that came later.
        """
        country = row["profile"]["country"]
        country = country if country in self._rules else ANYWHERE
        zone = row["time_zone"] if row["time_zone"] in _zones() else self._fallback
        if self._rules[country].is_always or zone == EXCLUDE:
            return now
        if now != self._asked_at:
            self._asked_at = now
            self._known.clear()
        if (zone, country) not in self._known:
            self._known[zone, country] = opening(
                self._clock(zone), self._rules[country], decided_at=now, valid_until=self._valid_until
            )
        return self._known[zone, country]

    def _clock(self, zone: str) -> tuple[Stretch, ...]:
        if zone not in self._clocks:
            self._clocks[zone] = stretches(_zones()[zone], self._decided_at, self._valid_until)
        return self._clocks[zone]


def is_zone(name: str | None) -> bool:
    """Whether it is an IANA zone."""
    return name in _zones()


@cache
def _zones() -> dict[str, ZoneInfo]:
    return {name: ZoneInfo(name) for name in time_zones()}
