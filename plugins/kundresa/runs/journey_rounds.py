"""The rounds of a journey: advancing, deciding, calling and delivering, for a time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from kundresa.channels import Account, AccountError
from kundresa.journeys import Versions, advance
from kundresa.runs.journey_calls import make_calls
from kundresa.runs.journey_messages import decide_messages, deliver_messages
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.opening import Clock
from kundresa.settings import Settings
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import JourneyMoved, Store, StoreUnavailable

log = logging.getLogger(__name__)

MOST_ROUNDS = 1_000
"""Rounds without a pause; a journey that moves on for ever is found out by what calls this again."""
AT_ONCE = timedelta(seconds=2)
"""So long one busy journey goes on before the others, or its test, have their turn."""


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
    test_failure: str | None = None
    """What went wrong in the test last, which it was then left alone for; the journey does not notice."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """What some rounds did, and what they leave."""

    done: JourneyRun
    """With what was done before."""
    rounds: int
    is_behind: bool
    """There is more to do now."""
    failure: AccountError | None
    """A sender account has refused us: everybody has moved as far as they can, and what was to leave by it
    has not left."""


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
    until: datetime,
) -> Rounds:
    """Advance, decide, call and deliver, in rounds until one of them does nothing, or to a moment.

    Args:
        done: what was done so far.
        until: after this nothing more is begun; one round there always is.
        not_before: when each batch is worth another look; kept up to date here.

    Raises:
        As :func:`kundresa.runs.journeys.run_journey`, but AccountError, which is in what is returned.
    """
    failure: AccountError | None = None
    count, is_quiet = 0, False
    while count < MOST_ROUNDS and not is_quiet:
        before = done
        count += 1
        done, is_behind = _advance(store, people, name, done, clock())
        if done.state is JourneyState.RUNNING:
            versions = versions_of(store, name)
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
        is_quiet = done == before and not is_behind
        if clock() >= until:
            break
    return Rounds(done, count, not is_quiet, failure)


def note_failure(store: Store, name: str, error: Exception, at: datetime) -> str:
    """Tell the log what went wrong in a test, and keep it for who looks at it; returns it in words."""
    said = f"{type(error).__name__}: {error}"
    log.error("%s, a test, cannot be run now; tried again later: %s", name, said, exc_info=error)
    try:
        store.journey_tests.failed(name, said, at=at)
    except StoreUnavailable as unavailable:
        log.warning("%s: this cannot be kept for who looks at the test: %s", name, unavailable)
    return said


def versions_of(store: Store, name: str) -> Versions:
    """The versions of a journey, or of a test.

    Raises:
        JourneyNotFound: when it was never started.
    """
    return Versions(store.journeys.require(name).version, store.journeys.versions(name))


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
