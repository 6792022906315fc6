"""Events that were read before the one that lets their person in, though they happened after it.

Who is not inside hears nothing. Where a journey states a lateness, an event may come that happened before one
that was read already, and let its person in: so what they could have heard is kept until none can come that
counts, and is told to who enters in order of time, as if it had come after.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from kundresa.journeys.entering import knocks
from kundresa.journeys.people import People
from kundresa.journeys.trail import Happening, Trail
from kundresa.journeys.versions import Version, Versions
from kundresa.spec.conditions import asks_profile
from kundresa.spec.journey import SegmentEntry
from kundresa.spec.keys import plain_event
from kundresa.store import EarlyEvent, Store

CLOCKS = timedelta(minutes=1)
"""What the clocks of services and engine may differ by, and an event take until it can be read."""


def over_before(versions: Versions, told_until: datetime) -> datetime | None:
    """Kept events that happened earlier are of no use: an entry of before them that counts would have been
    read. None where the journey has never stated a lateness.

    Args:
        told_until: what was received by then has been read.
    """
    if not any(each.journey.lateness for each in versions.all()):
        return None
    return told_until - versions.current.journey.lateness - CLOCKS


def early_events(
    store: Store, people: People, journey: str, version: Version, happened: Mapping[str, Sequence[Any]]
) -> dict[str, list[Happening]]:
    """What earlier advances have kept about those who may enter in this one, of after that: profile_id →
    events in the order in which they came.

    Args:
        happened: profile_id → what did so to them.
    """
    if not version.journey.lateness:
        return {}
    entries: dict[str, datetime] = {}
    for profile_id, own in happened.items():
        for what in own:
            if isinstance(what, Happening) and knocks(version, what):
                entries[profile_id] = min(what.at, entries.get(profile_id, what.at))
    latest = store.journey_early_events.latest(journey) if entries else None
    if latest is None:
        return {}
    # Who enters in order, which is nearly everybody, is not looked up.
    late = {profile_id: at for profile_id, at in entries.items() if at < latest}
    found: dict[str, list[Happening]] = {}
    if late:
        # Who was somebody else when the event came, as a guest is before their account, is told of it too.
        formers = {former: now for former, now in people.merged(late).items() if now in late}
        whose = formers | {each: each for each in late}
        for profile_id, at, event in store.journey_early_events.of(journey, whose, min(late.values())):
            found.setdefault(whose[profile_id], []).append(
                Happening(
                    plain_event(event.event_type),
                    at,
                    json.loads(event.data_json),
                    event.data_json,
                    is_event=True,
                    lag=event.lag,
                    number=event.position,
                    is_early=True,
                )
            )
    return found


def kept_events(
    version: Version,
    profile_id: str,
    happened: Sequence[Any],
    own: Mapping[str, Trail],
    over: datetime | None,
) -> Iterator[EarlyEvent]:
    """What is to be kept of what happened to one person.

    Args:
        own: where they are after it, by instance key.
        over: as of :func:`over_before`.
    """
    if over is None or not version.journey.lateness:
        return
    for what in happened:
        if (
            isinstance(what, Happening)
            and what.is_event
            and not what.is_early
            and what.at >= over
            and not version.journey.leaves_out(what.lag)
            and _may_be_heard(version, what)
            and _may_enter_before(version, what.at, own)
        ):
            yield EarlyEvent(profile_id, what.number, what.at)


def _may_be_heard(version: Version, what: Happening) -> bool:
    """Whether there is somebody inside, at any step, who would go on or leave by it."""
    steps = version.journey.steps
    conditions = [each.where for each in version.event_exits if each.event == what.name]
    conditions += [getattr(steps[name], "where", None) for name in version.event_waits.get(what.name, ())]
    return any(where is None or asks_profile(where) or where.holds(what.data, {}, ()) for where in conditions)


def _may_enter_before(version: Version, at: datetime, own: Mapping[str, Trail]) -> bool:
    """Whether an event of before ``at`` may still let the person in."""
    journey = version.journey
    if journey.instance_key is not None or isinstance(journey.entry, SegmentEntry) or "" not in own:
        return True
    last = own[""].position
    if last.ended_at is not None and at <= last.ended_at:
        return False
    again = journey.reentrance
    return again == "always" or (isinstance(again, timedelta) and at > last.entered_at + again)
