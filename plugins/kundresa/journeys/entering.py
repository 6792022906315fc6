"""Whether something that happened lets a person in, and if not, why not."""

from __future__ import annotations

from datetime import timedelta

from kundresa.journeys.people import Facts
from kundresa.journeys.trail import Happening
from kundresa.journeys.versions import JUMP, Version
from kundresa.spec.journey import MAX_KEY, AudienceEntry, BusinessEventEntry, EventEntry, SegmentEntry
from kundresa.spec.journey_references import ENTITY
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import Position


def knocks(version: Version, what: Happening) -> bool:
    """Whether this is what lets people in, whoever they are."""
    if what.is_event:
        return event_knocks(version, what.name)
    entry = version.journey.entry
    if isinstance(entry, AudienceEntry | BusinessEventEntry):
        return what.is_turn and what.name == entry.audience
    return (
        isinstance(entry, SegmentEntry)
        and not what.is_turn
        and what.name == entry.segment
        and what.is_entry is (entry.change == "entered")
    )


def event_knocks(version: Version, event_type: str) -> bool:
    """Whether events of a type, about a person, let people in."""
    entry = version.journey.entry
    return event_type == JUMP + version.journey.name or (
        isinstance(entry, EventEntry) and event_type == entry.event
    )


def key_of(version: Version, what: Happening) -> str | None:
    """Under which key; None when the event does not say it."""
    name = version.journey.instance_key
    if what.is_turn and name is not None:
        return str(what.data[name])  # of the event that has started the reading, which must say it
    if not what.is_event:
        return str(what.data.get(ENTITY) or "")
    if name is None:
        return ""
    value = what.data.get(name)
    if value is None or isinstance(value, list | dict):
        # A jump brings what its own journey was entered by, which may know no such key.
        return "" if what.name.startswith(JUMP) else None
    return str(value)


def refusal(
    version: Version,
    what: Happening,
    key: str | None,
    facts: Facts,
    last: Position | None,
    *,
    instances: int,
) -> JourneySkip | None:
    """Why a person does not enter; None when they do.

    An event that came when the time-out of its entry was over lets nobody in: there is nothing left that a
    person could get, and all that time to catch up with.

    Args:
        key: as of :func:`key_of`.
        last: the position under this key, of an entry that is under way or over.
        instances: under how many keys the person is inside now.
    """
    unfit = _unfit(version, what, key)
    if unfit is not None:
        return unfit
    where = version.journey.entry.where
    is_jump = what.name.startswith(JUMP) and what.is_event
    if where is not None and not is_jump and not where.holds(what.data, facts.profile, facts.segments):
        return JourneySkip.CONDITION
    if not version.segment_exits.isdisjoint(facts.segments):
        return JourneySkip.CONDITION
    again = None if last is None else _too_early(version, what, last)
    if again is None and instances >= version.journey.max_instances:
        return JourneySkip.TOO_MANY_INSTANCES
    return again


def _unfit(version: Version, what: Happening, key: str | None) -> JourneySkip | None:
    """What is wrong with the event, whoever it is about."""
    if key is None:
        return JourneySkip.KEY_MISSING
    if len(key) > MAX_KEY:
        return JourneySkip.KEY_TOO_LONG
    return JourneySkip.TOO_LATE if what.lag >= version.journey.time_out else None


def _too_early(version: Version, what: Happening, last: Position) -> JourneySkip | None:
    """What the entry before says to another one."""
    if last.step is not None or (last.ended_at is not None and what.at < last.ended_at):
        return JourneySkip.INSIDE_ALREADY
    again = version.journey.reentrance
    if isinstance(again, timedelta):
        return JourneySkip.TOO_SOON if what.at < last.entered_at + again else None
    return None if again == "always" else JourneySkip.TOO_SOON


def entered(version: Version, what: Happening, profile_id: str, key: str, last: Position | None) -> Position:
    """The position of a person who has just come in, before the first step."""
    return Position(
        profile_id=profile_id,
        instance_key=key,
        entry=1 if last is None else last.entry + 1,
        version=version.number,
        step=None,
        moves=0,
        entered_at=what.at,
        step_at=what.at,
        due_at=None,
        ended_at=None,
        end_reason=None,
        event_json=what.data_json,
    )
