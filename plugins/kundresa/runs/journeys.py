"""Running journeys: starting, pausing and stopping them, and the round of advancing, deciding, delivering."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kundresa.channels import Account, AccountError
from kundresa.journeys import Versions, advance, is_far, next_turn_at, standing_key
from kundresa.runs.journey_accounts import journey_campaign
from kundresa.runs.journey_calls import make_calls
from kundresa.runs.journey_checking import load_checked_journey
from kundresa.runs.journey_messages import decide_messages, deliver_messages
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.keys import as_test
from kundresa.spec.vocabulary import CloseReason, JourneyState, RunState, Trigger
from kundresa.store import (
    JourneyMoved,
    JourneyNotFound,
    JourneyRow,
    NewRun,
    Store,
    UnreadReactions,
    open_store,
)
from kundresa.warehouse import cursor_at

_AGES = timedelta(days=36_500)
"""A standing run lasts as long as its version; each of its messages has a validity of its own."""
LOOK_SECONDS = 1.0
"""Between two looks of a run that stays: each is a few questions by index."""
LEFT_TO_SENDER = timedelta(seconds=2)
"""So long Airflow leaves a message alone that waits to be looked at: where `kundresa deliver` runs it has
left by then, and starting a task for it would be in vain."""
MOST_ROUNDS = 1_000
"""Rounds without a pause; a journey that moves on for ever is found out by what calls this again."""


@dataclass(frozen=True, slots=True)
class JourneyRun:
    """What one run of a journey did."""

    state: JourneyState | None
    """None: it was never started, and only a test of it was run."""
    events: int = 0
    """Events, changes of segments, turns, outcomes of messages and calls, and reactions, as acted on."""
    entered: int = 0
    moved: int = 0
    ended: int = 0
    decided: int = 0
    """Messages whose fate was decided, those that wait for the end of quiet hours among them."""
    called: int = 0
    """Calls of other systems that have come to their end."""
    accepted: int = 0
    """Messages that were accepted by their provider."""
    next_at: datetime | None = None
    """When something is due without an event; None: nothing is."""
    in_test: Mapping[str, int] = field(default_factory=dict)
    """The same counts, of the test of the journey that was under way; empty where none was."""


_NOTHING_DONE = JourneyRun(JourneyState.RUNNING)
_COUNTS = ("events", "entered", "moved", "ended", "decided", "called", "accepted")


def start_journey(settings: Settings, name: str, *, clock: Clock = utc_now) -> JourneyRow:
    """Start a journey, go on after a pause, or let new people enter on what its files say now.

    Raises:
        UnknownJourney, SpecError, DbtFailed: as :func:`load_checked_journey`; nothing is started then.
        JourneyStopped: when it was stopped for good.
    """
    journey, templates = load_checked_journey(settings, name)
    now = clock()
    with open_store(settings.store_url) as store:
        store.journeys.start(name, freeze(journey, templates), cursor=cursor_at(now), at=now)
        open_standing_runs(store, name)
        for key in _run_keys(store, name):
            store.runs.resume(key, at=now)
        return store.journeys.require(name)


def pause_journey(
    settings: Settings, name: str, state: JourneyState, *, clock: Clock = utc_now
) -> JourneyRow:
    """Let nothing move and nothing leave until it is started again.

    Args:
        state: ``held`` keeps what happens meanwhile, ``discarding`` leaves it out.

    Raises:
        JourneyNotFound, JourneyStopped: when there is nothing to pause; a test is ended instead.
    """
    _require_no_test(name)
    now = clock()
    with open_store(settings.store_url) as store:
        row = store.journeys.pause(name, state, cursor=cursor_at(now), at=now)
        for key in _run_keys(store, name):
            store.runs.stop(key, at=now, detail=f"journey {name} is paused")
        return row


def stop_journey(settings: Settings, name: str, *, clock: Clock = utc_now) -> int:
    """End a journey for good; returns how many people were inside. What has not left is not sent.

    Raises:
        JourneyNotFound: when it was never started; a test is ended instead.
    """
    _require_no_test(name)
    with open_store(settings.store_url) as store:
        return let_all_out(store, name, at=clock())


def let_all_out(store: Store, name: str, *, at: datetime) -> int:
    """End a journey, or a test, for good, and close its standing runs; returns how many people were inside.

    Raises:
        JourneyNotFound: when there is none.
    """
    left = store.journeys.stop(name, at=at)
    for key in _run_keys(store, name):
        store.runs.close(key, CloseReason.CANCELLED, at=at, detail=f"journey {name} was stopped")
    store.journey_accounts.cancel_unsent(name, at=at)
    return left


def _require_no_test(name: str) -> None:
    if as_test(name) is not None:
        raise JourneyNotFound(name)


def run_journey(
    settings: Settings,
    name: str,
    *,
    owner: str,
    account_of: Callable[[str], Account],
    stay: timedelta = timedelta(0),
    idle: timedelta | None = None,
    clock: Clock = utc_now,
    sleep: Callable[[float], None] = time.sleep,
    may_go_on: Callable[[], bool] | None = None,
) -> JourneyRun:
    """Advance a journey, and its test where one is under way, and send what that comes to, until nothing more
    is due.

    With ``stay`` it goes on as things happen, and ends after that time; what is left the next run does.
    Several may run at once: what one has moved the others leave alone.

    Args:
        owner: names this attempt; two workers never share one.
        idle: with ``stay``: end earlier, after so long without anything to do.
        account_of: finds a sender account by its name.
        may_go_on: asked between rounds and windows.

    Raises:
        JourneyNotFound: when it was never started, and no test of it is under way.
        NothingPublished: before the first build: nobody can be told from a stranger.
        AccountError: when a sender account refuses us; everybody has moved by then as far as they can.
        SpecError: when the policies cannot be read; nothing is sent then.
    """
    idle_since = clock()
    until = idle_since + stay
    done: dict[str, JourneyRun] = {}
    not_before: dict[tuple[str, str, int], datetime] = {}
    with open_store(settings.store_url) as store, JourneyPeople(settings) as people:
        if not _rows_of(store, name):
            raise JourneyNotFound(name)
        while may_go_on is None or may_go_on():
            before = dict(done)
            rows = _rows_of(store, name)
            for row in rows:
                if row.journey not in done:
                    open_standing_runs(store, row.journey)
                done[row.journey] = run_rounds(
                    settings,
                    store,
                    people,
                    row.journey,
                    done.get(row.journey, _NOTHING_DONE),
                    owner=owner,
                    account_of=account_of,
                    clock=clock,
                    not_before=not_before,
                    may_go_on=may_go_on,
                    until=until if stay else None,
                )
            if clock() >= until or all(done[row.journey].state is not JourneyState.RUNNING for row in rows):
                break
            if any(each != before.get(journey, _NOTHING_DONE) for journey, each in done.items()):
                idle_since = clock()
            elif idle is not None and clock() - idle_since >= idle:
                break
            else:
                sleep(LOOK_SECONDS)
        moments = [_next_at(store, row.journey, not_before, clock()) for row in _rows_of(store, name)]
        live = store.journeys.get(name)
        own = done.pop(name, None) or JourneyRun(None if live is None else live.state)
        tested = {what: sum(getattr(each, what) for each in done.values()) for what in _COUNTS if done}
        return replace(own, next_at=min(filter(None, moments), default=None), in_test=tested)


def _rows_of(store: Store, name: str) -> list[JourneyRow]:
    """A journey, where it was started, and its test, where one is under way."""
    names = [name, *(each.test for each in store.journey_tests.under_way(name))]
    return [row for each in names if (row := store.journeys.get(each)) is not None]


def run_rounds(
    settings: Settings,
    store: Store,
    people: JourneyPeople,
    name: str,
    done: JourneyRun,
    *,
    owner: str,
    account_of: Callable[[str], Account],
    clock: Clock,
    not_before: dict[tuple[str, str, int], datetime],
    may_go_on: Callable[[], bool] | None,
    until: datetime | None,
) -> JourneyRun:
    """Advance, decide, call and deliver, in rounds until one of them does nothing, or to a moment.

    Args:
        done: what was done so far.
        not_before: when each batch is worth another look; kept up to date here.

    Raises:
        As :func:`run_journey`.
    """
    failure: AccountError | None = None
    for _ in range(MOST_ROUNDS):
        before = done
        done, is_behind = _advance(store, people, name, done, clock())
        if done.state is JourneyState.RUNNING:
            versions = _versions(store, name)
            decided = decide_messages(settings, store, people, name, versions, now=clock())
            done = replace(done, decided=done.decided + decided)
            try:
                called = make_calls(
                    settings, store, people, name, versions, owner=owner, account_of=account_of, clock=clock
                )
                done = replace(done, called=done.called + called)
            except AccountError as error:
                failure = error  # its calls wait; everything else goes on
            try:
                accepted = deliver_messages(
                    settings,
                    store,
                    people,
                    versions,
                    owner=owner,
                    account_of=account_of,
                    clock=clock,
                    not_before=not_before,
                    may_go_on=may_go_on,
                )
                done = replace(done, accepted=done.accepted + accepted)
            except AccountError as error:
                failure = error  # people go on moving; what was refused is tried by the next run
        is_over = until is not None and clock() >= until
        if is_over or (done == before and not is_behind):
            break
    if failure is not None:
        raise failure
    return done


def _advance(
    store: Store, people: JourneyPeople, name: str, done: JourneyRun, now: datetime
) -> tuple[JourneyRun, bool]:
    try:
        moved = advance(store, people, name, now=now)
    except JourneyMoved:
        return done, True  # another run was quicker; the next round reads again
    return (
        replace(
            done,
            state=moved.state,
            events=done.events + moved.events,
            entered=done.entered + moved.entered,
            moved=done.moved + moved.moved,
            ended=done.ended + moved.ended,
        ),
        moved.is_behind,
    )


def _next_at(
    store: Store, name: str, not_before: dict[tuple[str, str, int], datetime], now: datetime
) -> datetime | None:
    row = store.journeys.require(name)
    found = [
        next_turn_at(store, row, _versions(store, name).current, now),
        store.journey_positions.next_due(name),
        store.journey_messages.next_at(name),
        store.journey_calls.next_at(name),
        *not_before.values(),
    ]
    return min((each for each in found if each is not None), default=None)


def has_work(settings: Settings, name: str, now: datetime) -> bool:
    """Whether a run of the journey, or of its test, would find something to do now: see
    :func:`work_waits`."""
    with open_store(settings.store_url, migrate=False) as store:
        return any(
            work_waits(store, row, _versions(store, row.journey), now, patience=LEFT_TO_SENDER)
            for row in _rows_of(store, name)
            if row.state is JourneyState.RUNNING
        )


def work_waits(
    store: Store, row: JourneyRow, versions: Versions, now: datetime, *, patience: timedelta = timedelta(0)
) -> bool:
    """Whether there is something to do for a running journey: an event that it looks at, somebody who is due,
    a message. A few questions by index; changes of segments are looked at by the run itself. Where much has
    come that is about nobody here, it is remembered that it was looked at.

    Args:
        patience: how long a message may have waited without being looked at.
    """
    name = row.journey
    due = [
        store.journey_positions.next_due(name),
        store.journey_calls.next_at(name),
        next_turn_at(store, row, versions.current, now),
    ]
    if any(each is not None and each <= now for each in due):
        return True
    message_at = store.journey_messages.next_at(name)
    if message_at is not None and message_at <= now - patience:
        return True
    types = frozenset[str]().union(*(each.events for each in versions.all()))
    end = max(row.event_position, store.inbox.end())  # before the events: what comes between is beyond it
    if store.inbox.after(row.event_position, 1, types):
        return True
    reactions = UnreadReactions([], row.feedback_position, row.click_position)
    if any(each.reacts for each in versions.all()):
        reactions = store.journey_reactions.unread(row, now=now, limit=1)
        if reactions.reactions:
            return True
    if is_far(row, end, reactions):
        store.journeys.pass_by(row, end, reactions)  # else every look would go through more
    keys = [key for each in versions.all() for key in each.run_keys.values()]
    return store.journey_messages.may_deliver(keys, now)


def forget_ended(store: Store, before: datetime, now: datetime) -> int:
    """Remove who ended before ``before``, where no rule of re-entrance needs to know of them any more;
    returns how many. A journey that nobody may enter again remembers everybody, until it is stopped."""
    removed = 0
    for row in store.journeys.all(with_tests=True):
        again = _versions(store, row.journey).current.journey.reentrance
        is_over = row.state is JourneyState.STOPPED
        if is_over or again == "always":
            removed += store.retention.forget_positions(row.journey, before)
        elif isinstance(again, timedelta):
            removed += store.retention.forget_positions(row.journey, min(before, now - again))
    return removed


def _versions(store: Store, name: str) -> Versions:
    return Versions(store.journeys.require(name).version, store.journeys.versions(name))


def _run_keys(store: Store, name: str) -> list[str]:
    keys = [key for each in _versions(store, name).all() for key in each.run_keys.values()]
    return [key for key in keys if (run := store.runs.get(key)) and run.state is not RunState.CLOSED]


def open_standing_runs(store: Store, name: str) -> None:
    """The standing runs of all versions, those that a crash has left out among them.

    Raises:
        JourneyNotFound: when it was never started.
    """
    store.journeys.require(name)
    for version in store.journeys.versions(name):
        journey, templates = thaw_journey(version.spec_json)
        for step in journey.messages:
            key = standing_key(name, step, version)
            if store.runs.get(key) is not None:
                continue
            frozen = freeze(journey.message_campaign(step), templates)
            store.runs.open_standing(
                NewRun(
                    run_key=key,
                    campaign=journey_campaign(name),
                    logical_at=version.started_at,
                    trigger=Trigger.JOURNEY,
                    spec_json=frozen.json,
                    spec_hash=frozen.hash,
                    opened_at=version.started_at,
                    valid_until=version.started_at + _AGES,
                )
            )
