"""The advance of a journey: everything that is due, for all its people at once.

It reads (events, changes of segments, outcomes, elapsed waits, and whom they are about), moves positions in
memory, and writes all of it in one transaction that counts only if nobody else has written since. Cut off
anywhere, nothing has happened, and the next advance does it. Where it is about people who went by other ids
before, it first puts what there is of them under those of now, in a transaction of its own, and reads again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kundresa.journeys.apart import NotMoved, move_each, move_together
from kundresa.journeys.early import early_events, kept_events, over_before
from kundresa.journeys.living import in_order, live, tell
from kundresa.journeys.people import Facts, People
from kundresa.journeys.trail import Earlier, Trail
from kundresa.journeys.unread import Unread, read_unread, sort_out
from kundresa.journeys.versions import Versions
from kundresa.journeys.walking import Walker
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import (
    Advance,
    CallOutcome,
    JourneyRow,
    MessageOutcome,
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

    def read_on() -> Unread:
        read = read_unread(store, people, row, now, most_events=most_events, most_due=most_due)
        sort_out(read, people, now)
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


def _merge(store: Store, people: People, read: Unread, now: datetime) -> int | None:
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


def _move(
    store: Store, people: People, read: Unread, now: datetime, *, is_each: bool
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
                tell(walker, own.get(what.instance_key), what)
            else:
                live(walker, read.versions.current, into, own, what, profile_id=profile_id, facts=person)
        for trail in in_order(own):
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


def _hear_again(read: Unread, trails: Mapping[str, Mapping[str, Trail]]) -> None:
    """Put what was read before into its place among what happened, for who may come in this advance to a step
    that waited for it by then."""
    for profile_id, own in trails.items():
        again = [each for trail in own.values() for each in trail.earlier(read.row)]
        if again:
            told = [*again, *read.people.get(profile_id, ())]
            read.people[profile_id] = sorted(told, key=lambda each: each.at)


def _reactions(
    store: Store, read: Unread, profile_ids: Collection[str], now: datetime
) -> Mapping[tuple[str, str], Sequence[Reaction]]:
    """What people did about messages so far, by person and instance key; nothing where nobody waits for
    it."""
    found: dict[tuple[str, str], list[Reaction]] = {}
    if profile_ids and any(each.reacts for each in read.versions.all()):
        for each in store.journey_reactions.of(read.row.journey, profile_ids, now=now):
            if not read.row.leaves_out(each):
                found.setdefault((each.profile_id, each.instance_key), []).append(each)
    return found


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
