"""Whose turn it is in an audience that is read: by the clock, or by the events that start a reading."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kundresa.journeys.people import People
from kundresa.journeys.reading import Read, Reading
from kundresa.journeys.versions import Version, Versions
from kundresa.spec.journey import MAX_KEY, AudienceEntry, BusinessEventEntry
from kundresa.spec.journey_references import ENTITY
from kundresa.spec.vocabulary import JourneySkip, JourneyState
from kundresa.store import InboxEvent, JourneyRow, ReadingRow, Store

MOST_READINGS = 200
"""Readings of one advance: each asks the warehouse once."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A person whose turn it is, and what their entry is to know."""

    profile_id: str
    data: Mapping[str, Any]


@dataclass(slots=True)
class Turns:
    """Whose turn it is, and how far the audience is read with them."""

    audience: str = ""
    people: list[Turn] = field(default_factory=list)
    cursor: str | None = None
    """The reading as it is to be kept; None leaves what is kept."""
    readings: list[ReadingRow] = field(default_factory=list)
    """Those by events that are new, or have gone on, or are over."""
    skips: Counter[str] = field(default_factory=Counter)
    """Why events let nobody in."""
    has_more: bool = False
    """More turns come at once."""


def turns_of(
    store: Store,
    people: People,
    versions: Versions,
    row: JourneyRow,
    *,
    events: Sequence[InboxEvent],
    now: datetime,
    most: int,
    among: Collection[str] | None = None,
) -> Turns:
    """At most ``most`` turns of a moment.

    Args:
        events: what the advance has read of the inbox; those about nobody may start readings.
        among: the only people who have turns; None is everybody.
    """
    version = versions.current
    entry = version.journey.entry
    found = Turns()
    waiting: list[ReadingRow] = []
    if any(isinstance(each.journey.entry, BusinessEventEntry) for each in versions.all()):
        waiting = store.journey_readings.under_way(row.journey, MOST_READINGS)
    reader = _Reader(people, version, row, now, most, among, found)
    if isinstance(entry, AudienceEntry):
        reader.by_the_clock(entry)
    elif isinstance(entry, BusinessEventEntry):
        started = _started(version, entry, events, found.skips)
        found.readings += started
        # Where there may be more in the store, those come first.
        is_all = len(waiting) < MOST_READINGS
        mine = [each for each in waiting if each.event_type == entry.event]
        reader.by_events(entry, [*mine, *started] if is_all else mine, is_all=is_all)
    # A version that is entered by something else has no use for what waits.
    event = entry.event if isinstance(entry, BusinessEventEntry) else None
    for each in waiting:
        if each.event_type != event:
            each.ended_at = now
            found.readings.append(each)
    return found


def next_turn_at(store: Store, row: JourneyRow, version: Version, now: datetime) -> datetime | None:
    """When the next people of the audience have their turn, at ``now`` or later; None when none have, or the
    journey reads none."""
    entry = version.journey.entry
    if row.state is not JourneyState.RUNNING:
        return None
    if isinstance(entry, AudienceEntry):
        return Reading.from_text(row.audience_cursor, entry, version.started_at).next_turn_at(entry, now)
    if isinstance(entry, BusinessEventEntry):
        for each in store.journey_readings.under_way(row.journey, 1):
            reading = Reading.from_text(row.audience_cursor, entry, now)
            return reading.started_by(each.number, entry, now).goes_on_at(entry, now)
    return None


@dataclass(slots=True)
class _Reader:
    people: People
    version: Version
    row: JourneyRow
    now: datetime
    most: int
    among: Collection[str] | None
    into: Turns

    def by_the_clock(self, entry: AudienceEntry) -> None:
        """The reading that is under way by the time that has passed since the journey was started."""
        reading = Reading.from_text(self.row.audience_cursor, entry, self.version.started_at)
        reading = reading.at(entry, self.now)
        if reading.turns_left(entry, self.now) > 0:
            salt = f"journey|{self.row.journey}|{entry.audience}"
            self._read(entry, reading, salt, {}, None)

    def by_events(self, entry: BusinessEventEntry, queue: Sequence[ReadingRow], *, is_all: bool) -> None:
        """One reading after the other, as far as the rate and the bounds of an advance go.

        Args:
            is_all: no more of them wait in the store.
        """
        reading = Reading.from_text(self.row.audience_cursor, entry, self.now)
        asked = 0
        for each in queue:
            reading = reading.started_by(each.number, entry, self.now)
            if reading.turns_left(entry, self.now) < 1:
                return
            if len(self.into.people) >= self.most or asked >= MOST_READINGS:
                self.into.has_more = True
                return
            data = json.loads(each.event_json)
            why_not = _refusal(self.version, entry, data)
            if why_not is None:
                asked += 1
                salt = f"journey|{self.row.journey}|{entry.audience}|{each.number}"
                entity = None if entry.entity is None else str(data[entry.entity])
                before = len(self.into.people)
                reading = self._read(entry, reading, salt, data, entity)
                each.turns += len(self.into.people) - before
            else:
                self.into.skips[why_not] += 1
            is_over = why_not is not None or reading.is_over
            each.began_at = each.began_at or self.now
            each.ended_at = self.now if is_over else None
            # Those that this very advance has started are among them already.
            if all(known is not each for known in self.into.readings):
                self.into.readings.append(each)
            if not is_over:
                return
        self.into.has_more = not is_all

    def _read(
        self, entry: Read, reading: Reading, salt: str, data: Mapping[str, Any], entity: str | None
    ) -> Reading:
        """As many as may have their turn now; where the reading has come to with them."""
        left = reading.turns_left(entry, self.now)
        limit = min(left, self.most - len(self.into.people))
        found = self.people.members(entry.audience, salt, reading.after, limit, entity, among=self.among)
        is_over = len(found) < limit
        after = found[-1].place if found else reading.after
        reading = reading.moved(entry, self.now, len(found), after, is_over=is_over)
        self.into.audience = entry.audience
        self.into.people += [Turn(each.profile_id, {**data, ENTITY: each.entity_id}) for each in found]
        self.into.cursor = reading.text
        self.into.has_more = limit < left and not is_over
        return reading


def _started(
    version: Version, entry: BusinessEventEntry, events: Sequence[InboxEvent], skips: Counter[str]
) -> list[ReadingRow]:
    """The readings that events start; one that comes too late starts none."""
    found = []
    for event in events:
        if event.namespace or event.event_type != entry.event:
            continue  # about a person, or for an earlier version
        if version.journey.leaves_out(event.lag):
            skips[JourneySkip.TOO_LATE] += 1
        else:
            at = min(event.occurred_at, event.received_at)
            found.append(ReadingRow(event.position, event.event_type, event.data_json, at))
    return found


def _refusal(version: Version, entry: BusinessEventEntry, data: Mapping[str, Any]) -> JourneySkip | None:
    """Why an event lets nobody in, whoever they are: then the warehouse is not asked for an audience."""
    keys = (entry.entity, version.journey.instance_key)
    if any(name is not None and data.get(name) is None for name in keys):
        return JourneySkip.KEY_MISSING
    if version.journey.instance_key is not None and len(str(data[version.journey.instance_key])) > MAX_KEY:
        return JourneySkip.KEY_TOO_LONG
    tests = entry.where.event if entry.where else {}
    if all(test.holds(data.get(name)) for name, test in tests.items() if name != ENTITY):
        return None
    return JourneySkip.CONDITION
