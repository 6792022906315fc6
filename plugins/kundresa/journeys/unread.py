"""What there is to do in a journey: read from the store and the warehouse, and put in order by person."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kundresa.journeys.admitting import admitted, pass_over
from kundresa.journeys.entering import event_knocks
from kundresa.journeys.people import Identifier, People, SegmentChange
from kundresa.journeys.trail import Earlier, Happening
from kundresa.journeys.turns import Turns, turns_of
from kundresa.journeys.versions import Versions
from kundresa.spec.journey_references import ENTITY
from kundresa.spec.keys import plain_event
from kundresa.spec.vocabulary import JourneySkip
from kundresa.store import (
    CallOutcome,
    InboxEvent,
    JourneyRow,
    MessageOutcome,
    Position,
    Reaction,
    Store,
    UnreadReactions,
)


@dataclass(slots=True)
class Unread:
    """What there is to do."""

    row: JourneyRow
    versions: Versions
    events: Sequence[InboxEvent]
    position: int
    changes: Sequence[SegmentChange]
    segment_cursor: str
    has_read: bool
    """Whether there were events or changes at all, those of before a version that names them included."""
    outcomes: Sequence[MessageOutcome]
    answers: Sequence[CallOutcome]
    reactions: UnreadReactions
    due: Sequence[Position]
    waiting: Collection[str]
    """For whom, or about whom, something may leave now."""
    turns: Turns
    is_behind: bool
    told_until: datetime
    """What was received by then has been read."""
    among: frozenset[str] | None
    """The only people whom a test is about; None for a journey that is none."""
    people: dict[str, list[Happening | MessageOutcome | CallOutcome | Reaction | Earlier]] = field(
        default_factory=dict
    )
    """profile_id → what happened to them, in the order of time."""
    named: set[str] = field(default_factory=set)
    """Whom events are about."""
    skips: Counter[str] = field(default_factory=Counter)


def read_unread(
    store: Store, people: People, row: JourneyRow, now: datetime, *, most_events: int, most_due: int
) -> Unread:
    """All that the journey has not acted on: at most ``most_events`` events, changes, turns and reactions,
    and at most ``most_due`` outcomes, answers and waits."""
    journey = row.journey
    versions = Versions(row.version, store.journeys.versions(journey))
    known = versions.all()
    among = admitted(store, people, journey)
    collected = store.journey_messages.collect(journey, now=now, limit=most_due)
    end = store.inbox.end()  # before the events: what comes between the two is beyond it
    types = frozenset[str]().union(*(each.events for each in known))
    events = store.inbox.after(row.event_position, most_events, types)
    last = events[-1].position if events else row.event_position
    is_full, has_read = len(events) >= most_events, bool(events)
    told_until = min(now, events[-1].received_at) if is_full else now
    events = [each for each in events if versions.names_event(each.event_type, each.position)]
    if among is not None:
        events = [replace(each, event_type=plain_event(each.event_type)) for each in events]
    segments = frozenset[str]().union(*(each.segments for each in known))
    changes = people.segment_changes(segments, row.segment_cursor, most_events) if segments else []
    segment_cursor = changes[-1].cursor if changes else row.segment_cursor
    has_more_changes, has_read = len(changes) >= most_events, has_read or bool(changes)
    changes = [each for each in changes if versions.names_segment(each.segment, each.changed_at)]
    outcomes = store.journey_messages.known(journey, most_due)
    answers: list[CallOutcome] = []
    if any(each.call_keys for each in known):
        answers = store.journey_calls.known(journey, most_due)
    reactions = UnreadReactions([], row.feedback_position, row.click_position)
    if any(each.reacts for each in known):
        reactions = store.journey_reactions.unread(row, now=now, limit=most_events)
    due = store.journey_positions.due(journey, now, most_due)
    waiting = store.journey_messages.waiting(journey, now, most_due)
    if any(each.call_keys for each in known):
        waiting |= store.journey_calls.waiting(journey, now, most_due)
    turns = turns_of(store, people, versions, row, events=events, now=now, most=most_events, among=among)
    return Unread(
        row=row,
        versions=versions,
        events=events,
        position=last if is_full else max(last, end),
        changes=changes,
        segment_cursor=segment_cursor,
        has_read=has_read,
        outcomes=outcomes,
        answers=answers,
        reactions=reactions,
        due=due,
        waiting=waiting,
        turns=turns,
        is_behind=is_full
        or turns.has_more
        or has_more_changes
        or len(reactions.reactions) >= most_events
        or max(collected, len(outcomes), len(answers), len(due)) >= most_due,
        told_until=told_until,
        among=among,
    )


def sort_out(read: Unread, people: People, now: datetime) -> None:
    """Whom each event is about, in the order of time; those that are too late for every version, or about
    nobody, are counted. Of a test all that is about others is dropped, and what would let them in counted."""
    journeys = [each.journey for each in read.versions.all()]
    read.skips.update(read.turns.skips)
    events = [each for each in read.events if each.namespace]  # of the others `turns` has told
    # Segments name people by their ids of when they changed.
    changed = {("profile_id", each.profile_id) for each in read.changes}
    resolved = people.resolve({*((each.namespace, each.identifier) for each in events), *changed})
    read.named.update(resolved.values())
    events = _of_testers(read, events, resolved)
    for event in events:
        profile_id = resolved.get((event.namespace, event.identifier))
        if profile_id is None:
            read.skips[JourneySkip.PERSON_UNKNOWN] += 1
        elif all(each.leaves_out(event.lag) for each in journeys):
            read.skips[JourneySkip.TOO_LATE] += 1
        else:
            # A producer's clock may be ahead; nothing happens before it is told.
            at = min(event.occurred_at, event.received_at)
            what = Happening(
                event.event_type,
                at,
                json.loads(event.data_json),
                event.data_json,
                is_event=True,
                lag=event.lag,
                number=event.position,
            )
            read.people.setdefault(profile_id, []).append(what)
    for change in read.changes:
        data = {ENTITY: change.entity_id}
        profile_id = resolved.get(("profile_id", change.profile_id), change.profile_id)
        read.people.setdefault(profile_id, []).append(
            Happening(
                change.segment,
                change.changed_at,
                data,
                json.dumps(data),
                is_event=False,
                is_entry=change.is_entry,
            )
        )
    told: list[MessageOutcome | CallOutcome | Reaction] = [
        *read.outcomes,
        *read.answers,
        *read.reactions.reactions,
    ]
    for each in told:
        read.people.setdefault(each.profile_id, []).append(each)
    for turn in read.turns.people:
        # The last: a turn comes with the clock, after all that has happened by then.
        read.people.setdefault(turn.profile_id, []).append(
            Happening(
                read.turns.audience, now, turn.data, json.dumps(turn.data), is_event=False, is_turn=True
            )
        )
    _drop_others(read, resolved)
    for happened in read.people.values():
        if len(happened) > 1:
            happened.sort(key=lambda each: each.at)  # stable: what is of one moment stays as it came


def _of_testers(
    read: Unread, events: list[InboxEvent], resolved: Mapping[Identifier, str]
) -> list[InboxEvent]:
    """Which of the events are about the people of a test, all of a journey that is none. Those that would let
    in others, known or not, late or not, are counted; what is about others is not acted on."""
    if read.among is None:
        return events
    among = read.among
    others = {
        each.position for each in events if resolved.get((each.namespace, each.identifier)) not in among
    }
    knocking = sum(
        each.position in others and event_knocks(read.versions.current, each.event_type) for each in events
    )
    if knocking:
        read.skips[JourneySkip.NOT_IN_TEST] += knocking
    read.events = [each for each in read.events if each.position not in others]
    return [each for each in events if each.position not in others]


def _drop_others(read: Unread, resolved: Mapping[Identifier, str]) -> None:
    """Of a test, the same of all else that has happened."""
    if read.among is None:
        return
    read.skips.update(pass_over(read.people, read.among, read.versions.current))
    read.changes = [
        each
        for each in read.changes
        if resolved.get(("profile_id", each.profile_id), each.profile_id) in read.among
    ]
