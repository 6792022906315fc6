"""Running journeys: starting, pausing and stopping them, and the round of advancing, deciding, delivering."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from kundresa.channels import Account
from kundresa.journeys import Versions, is_far, next_turn_at, standing_key
from kundresa.runs.journey_accounts import journey_campaign
from kundresa.runs.journey_checking import load_checked_journey
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rounds import (
    AT_ONCE,
    MOST_ROUNDS,
    JourneyRun,
    Rounds,
    note_failure,
    run_rounds,
    versions_of,
)
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.keys import as_test
from kundresa.spec.vocabulary import CloseReason, JourneyState, RunState, Trigger
from kundresa.store import (
    JourneyNotFound,
    JourneyRow,
    JourneyTest,
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
    Several may run at once: what one has moved the others leave alone. Journey and test have their turns, of
    :data:`AT_ONCE` at most where both are busy. What goes wrong in the test ends nothing: it is told, and the
    test left alone for minutes; what does in the journey is raised when its test has had its turn.

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
    not_before: dict[tuple[str, str, int], datetime] = {}
    with open_store(settings.store_url) as store, JourneyPeople(settings) as people:

        def rounds(each: str, done: JourneyRun, most: datetime) -> Rounds:
            return run_rounds(
                settings,
                store,
                people,
                each,
                done,
                owner=owner,
                account_of=account_of,
                clock=clock,
                not_before=not_before,
                may_go_on=may_go_on,
                until=min(until, most) if stay else most,
            )

        turns = _Turns(name, store, rounds, clock)
        if not _rows_of(store, name):
            raise JourneyNotFound(name)
        while may_go_on is None or may_go_on():
            rows = _rows_of(store, name)
            was_busy = turns.each_has_one(rows)
            is_over = clock() >= until if stay else not turns.is_behind
            if is_over or not any(turns.may_run(row) for row, _ in rows):
                break
            if was_busy:
                idle_since = clock()
            elif idle is not None and clock() - idle_since >= idle:
                break
            else:
                sleep(LOOK_SECONDS)
        moments = [_next_at(store, *each, not_before, clock()) for each in _rows_of(store, name)]
        live = store.journeys.get(name)
    done = turns.done
    own = done.pop(name, None) or JourneyRun(None if live is None else live.state)
    return replace(
        own,
        next_at=min(filter(None, moments), default=None),
        in_test={what: sum(getattr(each, what) for each in done.values()) for what in _COUNTS if done},
        test_failure=turns.test_failure,
    )


class _Turns:
    """The turns that a journey and its test have in one run, one after the other."""

    def __init__(
        self, name: str, store: Store, rounds: Callable[[str, JourneyRun, datetime], Rounds], clock: Clock
    ) -> None:
        """
        Args:
            name: of the journey.
            rounds: runs one of the two, after what was done in it so far, up to a moment.
        """
        self._name = name
        self._store = store
        self._rounds = rounds
        self._clock = clock
        self._rounds_of: Counter[str] = Counter()
        self.done: dict[str, JourneyRun] = {}
        self.is_behind = False
        """One of the two was never done in the last turn, and has not had :data:`MOST_ROUNDS`."""
        self.test_failure: str | None = None

    def may_run(self, row: JourneyRow) -> bool:
        """Whether there may be something to do: nothing is in one that is paused, as its turn has told."""
        return self.done.get(row.journey, _NOTHING_DONE).state is JourneyState.RUNNING

    def each_has_one(self, rows: Iterable[tuple[JourneyRow, JourneyTest | None]]) -> bool:
        """One turn for each, a test that is left alone excepted; whether there was anything to do.

        Raises:
            What went wrong in the journey, when its test has had its turn.
        """
        self.is_behind = was_busy = False
        failure: Exception | None = None
        for row, test in rows:
            its = row.journey
            if test is not None and test.is_left_alone(self._clock()):
                continue
            before = self.done.get(its)
            failed = self._turn_of(its)
            was_busy |= self.is_behind or self.done.get(its, _NOTHING_DONE) != (before or _NOTHING_DONE)
            if test is None:
                failure = failed
            elif failed is None:
                self._store.journey_tests.try_again(test)
            else:
                self.test_failure = note_failure(self._store, its, failed, self._clock())
        if failure is not None:
            raise failure
        return was_busy

    def _turn_of(self, its: str) -> Exception | None:
        """What went wrong in it."""
        try:
            if its not in self.done:
                open_standing_runs(self._store, its)
            told = self._rounds(its, self.done.get(its, _NOTHING_DONE), self._clock() + AT_ONCE)
        except Exception as error:
            return error
        self.done[its] = told.done
        self._rounds_of[its] += told.rounds
        self.is_behind |= told.is_behind and self._rounds_of[its] < MOST_ROUNDS
        return told.failure


def _rows_of(store: Store, name: str) -> list[tuple[JourneyRow, JourneyTest | None]]:
    """A journey, where it was started, and its test, where one is under way."""
    live = store.journeys.get(name)
    tests = [(store.journeys.require(each.test), each) for each in store.journey_tests.under_way(name)]
    return [*([] if live is None else [(live, None)]), *tests]


def _next_at(
    store: Store,
    row: JourneyRow,
    test: JourneyTest | None,
    not_before: dict[tuple[str, str, int], datetime],
    now: datetime,
) -> datetime | None:
    if test is not None and test.is_left_alone(now):
        return test.again_at
    name = row.journey
    found = [
        next_turn_at(store, row, versions_of(store, name).current, now),
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
            work_waits(store, row, versions_of(store, row.journey), now, patience=LEFT_TO_SENDER)
            for row, test in _rows_of(store, name)
            if row.state is JourneyState.RUNNING and not (test is not None and test.is_left_alone(now))
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
        again = versions_of(store, row.journey).current.journey.reentrance
        is_over = row.state is JourneyState.STOPPED
        if is_over or again == "always":
            removed += store.retention.forget_positions(row.journey, before)
        elif isinstance(again, timedelta):
            removed += store.retention.forget_positions(row.journey, min(before, now - again))
    return removed


def _run_keys(store: Store, name: str) -> list[str]:
    keys = [key for each in versions_of(store, name).all() for key in each.run_keys.values()]
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
