"""The advance of a journey: everything that is due, for all its people at once.

It reads (events, changes of segments, outcomes, elapsed waits, and whom they are about), moves positions in
memory, and writes all of it in one transaction that counts only if nobody else has written since. Cut off
anywhere, nothing has happened, and the next advance does it. Where it is about people who went by other ids
before, it first puts what there is of them under those of now, in a transaction of its own, and reads again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from kundresa.journeys.admitting import admitted, pass_over
from kundresa.journeys.apart import NotMoved, move_each, move_together
from kundresa.journeys.early import early_events, kept_events, over_before
from kundresa.journeys.entering import entered, key_of, knocks, refusal
from kundresa.journeys.people import Facts, People, SegmentChange
from kundresa.journeys.trail import Earlier, Happening, Trail
from kundresa.journeys.turns import Turns, turns_of
from kundresa.journeys.versions import Version, Versions
from kundresa.journeys.walking import Walker
from kundresa.spec.journey_references import ENTITY
from kundresa.spec.keys import plain_event
from kundresa.spec.vocabulary import JourneySkip, JourneyState
from kundresa.store import (
    Advance,
    CallOutcome,
    InboxEvent,
    JourneyRow,
    MessageOutcome,
    Position,
    Reaction,
    Store,
    UnreadReactions,
)

MOST_EVENTS = 10_000
"""Events of one advance: some 100 MB in memory, and half a second of SQLite's one write lock."""
MOST_DUE = 10_000
SKIPPED_FAR = 10_000
"""So many positions of the inbox, or of the feedback, that are about nobody here are worth a transaction of
their own."""
_NOBODY = Facts()


@dataclass(frozen=True, slots=True)
class Advanced:
    """What one advance did."""

    state: JourneyState
    events: int = 0
    """Events, changes of segments, turns, outcomes of messages and calls, and reactions, as acted on."""
    moved: int = 0
    """Positions that were moved, those of people who entered among them."""
    entered: int = 0
    ended: int = 0
    messages: int = 0
    """Messages that somebody has come to."""
    is_behind: bool = False
    """There is more to do now."""


@dataclass(slots=True)
class _Read:
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


def advance(
    store: Store,
    people: People,
    journey: str,
    *,
    now: datetime,
    most_events: int = MOST_EVENTS,
    most_due: int = MOST_DUE,
) -> Advanced:
    """Move everybody who can move, as of ``now``; call it again while it ``is_behind``. Who cannot, by their
    data or a defect of ours, is set aside (:mod:`kundresa.journeys.apart`).

    Raises:
        JourneyNotFound: when it was never started.
        JourneyMoved: when somebody else has moved or paused it meanwhile; nothing is written, call again.
    """
    row = store.journeys.require(journey)
    if row.state is not JourneyState.RUNNING:
        return Advanced(row.state)

    def read_on() -> _Read:
        read = _read(store, people, row, now, most_events=most_events, most_due=most_due)
        _sort_out(read, people, now)
        return read

    read = read_on()
    ended = _merge(store, people, read, now)
    if ended is not None:
        done = advance(store, people, journey, now=now, most_events=most_events, most_due=most_due)
        return replace(done, ended=done.ended + ended)
    try:
        change, done = _move(store, people, read, now, is_each=False)
    except NotMoved:
        read = read_on()
        change, done = _move(store, people, read, now, is_each=True)
    told = (read.outcomes, read.answers, read.reactions.reactions, read.turns.readings)
    is_new = read.has_read or change.positions or any(told) or read.turns.cursor is not None
    if is_new or is_far(row, read.position, read.reactions):
        store.journeys.commit(journey, row.generation, change, at=now)
    return done


def is_far(row: JourneyRow, event_position: int, reactions: UnreadReactions) -> bool:
    """Whether it is worth a transaction to remember how far was read, though nothing was found."""
    return (
        max(
            event_position - row.event_position,
            reactions.feedback_position - row.feedback_position,
            reactions.click_position - row.click_position,
        )
        >= SKIPPED_FAR
    )


def _merge(store: Store, people: People, read: _Read, now: datetime) -> int | None:
    """Put what there is of former ids under those of now, and return how many entries ended by it; None where
    what was read is about nobody who has become another."""
    whom = {*read.people, *read.waiting, *(each.profile_id for each in read.due)}
    formers = people.merged(whom) if whom else {}
    known = store.journey_merges.known(read.row.journey, formers) if formers else ()
    merges = {each: formers[each] for each in known}
    if merges:
        return store.journey_merges.merge(read.row.journey, read.row.generation, merges, at=now)
    # Published since the events were read: who is named by them goes by another id now.
    return None if read.named.isdisjoint(formers) else 0


def _read(
    store: Store, people: People, row: JourneyRow, now: datetime, *, most_events: int, most_due: int
) -> _Read:
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
    return _Read(
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


def _sort_out(read: _Read, people: People, now: datetime) -> None:
    """Whom each event is about, in the order of time; those that are too late for every version, or about
    nobody, are counted."""
    journeys = [each.journey for each in read.versions.all()]
    read.skips.update(read.turns.skips)
    events = [each for each in read.events if each.namespace]  # of the others `turns` has told
    # Segments name people by their ids of when they changed.
    changed = {("profile_id", each.profile_id) for each in read.changes}
    resolved = people.resolve({*((each.namespace, each.identifier) for each in events), *changed})
    read.named.update(resolved.values())
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
    if read.among is not None:
        read.skips.update(pass_over(read.people, read.among, read.versions.current))
    for happened in read.people.values():
        if len(happened) > 1:
            happened.sort(key=lambda each: each.at)  # stable: what is of one moment stays as it came


def _move(
    store: Store, people: People, read: _Read, now: datetime, *, is_each: bool
) -> tuple[Advance, Advanced]:
    journey = read.row.journey
    into = Advance(
        event_position=read.position,
        segment_cursor=read.segment_cursor,
        feedback_position=read.reactions.feedback_position,
        click_position=read.reactions.click_position,
        taken=[each.message_id for each in read.outcomes],
        answered=[each.call_id for each in read.answers],
        audience_cursor=read.turns.cursor,
        readings=read.turns.readings,
        skips=read.skips,
        early_over=over_before(read.versions, read.told_until),
    )
    trails: dict[str, dict[str, Trail]] = {each.profile_id: {} for each in read.due}
    trails |= {profile_id: {} for profile_id in read.people}
    facts = known_facts(store, people, read.versions, trails)
    reactions = _reactions(store, read, trails, now)
    walker = Walker(read.versions, into, now)
    of_people = store.journey_positions.of(journey, read.people) if read.people else []
    for each in (*read.due, *of_people):
        before = reactions.get((each.profile_id, each.instance_key), ())
        trail = walker.trail(each, facts.get(each.profile_id, _NOBODY), before)
        trails[each.profile_id][each.instance_key] = trail
    _hear_again(read, trails)
    for profile_id, early in early_events(store, people, journey, read.versions.current, read.people).items():
        read.people[profile_id] = sorted([*early, *read.people[profile_id]], key=lambda each: each.at)

    def move(walker: Walker, into: Advance, profile_id: str) -> None:
        own, person = trails[profile_id], facts.get(profile_id, _NOBODY)
        happened = read.people.get(profile_id, ())
        for what in happened:
            if isinstance(what, MessageOutcome | CallOutcome | Reaction | Earlier):
                _tell(walker, own.get(what.instance_key), what)
            else:
                _live(walker, read.versions.current, into, own, what, profile_id=profile_id, facts=person)
        for trail in _in_order(own):
            walker.elapse(trail, now)
            walker.close(trail)
        into.early += kept_events(read.versions.current, profile_id, happened, own, into.early_over)

    if is_each:
        told = read.people
        move_each(move, walker, into, trails, told, journey=journey, versions=read.versions, now=now)
    else:
        move_together(move, walker, into, trails)
    done = Advanced(
        read.row.state,
        events=sum(
            map(
                len,
                (
                    read.events,
                    read.changes,
                    read.outcomes,
                    read.answers,
                    read.reactions.reactions,
                    read.turns.people,
                ),
            )
        ),
        moved=walker.moved,
        entered=walker.entered,
        ended=walker.ended,
        messages=len(into.messages),
        is_behind=read.is_behind or walker.is_behind,
    )
    return into, done


def _in_order(own: dict[str, Trail]) -> Iterable[Trail]:
    """The instances of one person by their keys: what two of them set at one moment must not depend on how
    they were read."""
    return own.values() if len(own) == 1 else [own[key] for key in sorted(own)]


def _hear_again(read: _Read, trails: Mapping[str, Mapping[str, Trail]]) -> None:
    """Put what was read before into its place among what happened, for who may come in this advance to a step
    that waited for it by then."""
    for profile_id, own in trails.items():
        again = [each for trail in own.values() for each in trail.earlier(read.row)]
        if again:
            told = [*again, *read.people.get(profile_id, ())]
            read.people[profile_id] = sorted(told, key=lambda each: each.at)


def _tell(
    walker: Walker, trail: Trail | None, told: MessageOutcome | CallOutcome | Reaction | Earlier
) -> None:
    """What is told of a message or a call, to where its person is."""
    if trail is None:
        return
    if isinstance(told, Earlier):
        walker.hear_again(trail, told)
        return
    if isinstance(told, Reaction) and not trail.version.reacts:
        return  # it is read for another version
    walker.elapse(trail, told.at, by_event=True)
    if isinstance(told, Reaction):
        walker.react(trail, told)
    elif isinstance(told, CallOutcome):
        walker.answered(trail, told)
    else:
        walker.told(trail, told)


def _reactions(
    store: Store, read: _Read, profile_ids: Collection[str], now: datetime
) -> Mapping[tuple[str, str], Sequence[Reaction]]:
    """What people did about messages so far, by person and instance key; nothing where nobody waits for
    it."""
    found: dict[tuple[str, str], list[Reaction]] = {}
    if profile_ids and any(each.reacts for each in read.versions.all()):
        for each in store.journey_reactions.of(read.row.journey, profile_ids, now=now):
            if not read.row.leaves_out(each):
                found.setdefault((each.profile_id, each.instance_key), []).append(each)
    return found


def _live(
    walker: Walker,
    version: Version,
    into: Advance,
    own: dict[str, Trail],
    what: Happening,
    *,
    profile_id: str,
    facts: Facts,
) -> None:
    """One thing that happened to one person: to where they are, then to whether they enter. How late is too
    late says the version that somebody is on, and of who enters the current one."""
    is_heard = False
    for trail in _in_order(own):
        is_heard |= _hears(walker, trail, what)
    if what.is_early:
        return
    is_entry = knocks(version, what)
    if version.journey.leaves_out(what.lag):
        into.skips[JourneySkip.TOO_LATE] += is_entry or not is_heard
        return
    if not is_entry:
        return
    key = key_of(version, what)
    known = None if key is None else own.get(key)
    last = known.position if known else None
    instances = sum(each.position.step is not None for each in own.values())
    known_of = walker.known(profile_id, facts)
    why_not = refusal(version, what, key, known_of, last, instances=instances)
    if key is None or why_not is not None:
        into.skips[str(why_not)] += 1
        return
    if known is not None:
        walker.note(known)  # the entry before may have ended in this very advance
    own[key] = walker.trail(entered(version, what, profile_id, key, last), facts)
    own[key].is_new = True
    walker.begin(own[key], what.at)


def _hears(walker: Walker, trail: Trail, what: Happening) -> bool:
    """Tell an instance what happened; whether it is inside, and it was for it."""
    if trail.position.step is None:
        return False
    # A turn comes with the clock and not with an event: it tells nobody how late it is. An event does, also
    # who does not hear it: they may have left by then.
    walker.elapse(trail, what.at, by_event=not what.is_turn)
    was_heard = what.is_early and not trail.is_new  # when it came
    if was_heard or trail.version.journey.leaves_out(what.lag):
        return False
    if not what.is_turn:
        walker.hear(trail, what)
    return True


def known_facts(
    store: Store, people: People, versions: Versions, profile_ids: Iterable[str]
) -> Mapping[str, Facts]:
    """What is known of people, with the traits that journeys have set; nothing where nobody asks."""
    asking = [each for each in versions.all() if each.asks]
    if not asking:
        return {}
    columns = frozenset[str]().union(*(each.columns for each in asking))
    ids = [*profile_ids]
    found = dict(people.facts(ids, columns))
    asker = versions.current.name
    for profile_id, traits in store.journey_positions.traits(ids, columns, journey=asker).items():
        known = found.get(profile_id, _NOBODY)
        found[profile_id] = Facts({**known.profile, **traits}, known.segments)
    return found
