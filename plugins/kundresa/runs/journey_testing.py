"""Tests of journeys: named people go through it for real, in seconds, and nobody else and no figure knows."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from kundresa.journeys import JUMP
from kundresa.runs.explained import one_profile
from kundresa.runs.journey_accounts import journey_campaign
from kundresa.runs.journey_checking import load_checked_journey
from kundresa.runs.journey_rehearsing import UnfitEvent
from kundresa.runs.journey_reports import JourneyReport, PersonTold, explain_journey, journey_report
from kundresa.runs.journeys import let_all_out, open_standing_runs
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.events import About, load_event_types, problem_with
from kundresa.spec.frozen import freeze, thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.journey_references import event_types
from kundresa.spec.journey_steps import MAX_WAIT, MIN_WAIT
from kundresa.spec.keys import event_of_test
from kundresa.spec.problems import alternatives
from kundresa.spec.shortening import shortened
from kundresa.spec.vocabulary import JourneyState
from kundresa.store import HeldClick, JourneyTest, NewEvent, Store, open_store
from kundresa.warehouse import PeopleIndex, cursor_at

MOST_TESTERS = 100
"""Whom one test is for."""
LASTS = timedelta(days=7)
"""A test that nobody has ended by then was forgotten: it is ended."""


class NoJourneyTest(Exception):
    """No test of the journey is under way, or ever was."""


class UnfitTest(Exception):
    """A test that cannot be begun so, or something that nobody in it would hear; the message says why."""


@dataclass(frozen=True, slots=True)
class InTest:
    """One person of a test, and where they are. ``entry`` is 0 where they have not entered."""

    profile_id: str
    instance_key: str = ""
    entry: int = 0
    step: str | None = None
    since: datetime | None = None
    """When they came to the step."""
    due_at: datetime | None = None
    """When they go on without an event."""
    ended_at: datetime | None = None
    end_reason: str | None = None


@dataclass(frozen=True, slots=True)
class JourneyTestReport:
    """A test as it stands."""

    test: JourneyTest
    longest_wait: int
    """Seconds that nothing in it takes longer than."""
    testers: tuple[InTest, ...]
    """One for each entry under each instance key; one for who has not entered."""
    report: JourneyReport
    """As of a journey."""
    held_clicks: tuple[HeldClick, ...] = ()
    """Clicks that it hears later, as a journey does: when they are known to be no machine's."""


def begin_test(
    settings: Settings,
    name: str,
    people: Sequence[str],
    *,
    waits: timedelta,
    time_out: timedelta | None = None,
    clock: Clock = utc_now,
) -> JourneyTest:
    """Begin a test of a journey as its files say now, beside the journey itself, started or not.

    Its messages leave, by the rules that hold for everybody, to these people alone.

    Args:
        people: profile ids, or identifiers or addresses of any kind; at most :data:`MOST_TESTERS`.
        waits: longer nothing takes: whole seconds, at least one.
        time_out: of the whole journey, at most; None is as it is declared.

    Raises:
        UnfitTest: without people or with too many, or for a time that is no wait.
        UnknownJourney, SpecError, DbtFailed: when the journey is not there, or not valid.
        PersonNotFound: when nobody, or more than one profile, answers to one of them.
        JourneyTestUnderWay: when one of the journey is not over.
        NothingPublished: before the first build.
    """
    for what, length in (("waits", waits), ("time_out", time_out)):
        if length is not None and (not MIN_WAIT <= length <= MAX_WAIT or length.microseconds):
            raise UnfitTest(f"{what}: expected from 1s to 366d, in whole seconds")
    if not 1 <= len(people) <= MOST_TESTERS:
        raise UnfitTest(f"expected 1 to {MOST_TESTERS} people, not {len(people)}")
    journey, templates = load_checked_journey(settings, name)
    profile_ids = {one_profile(settings, each) for each in people}
    now = clock()
    frozen = freeze(shortened(journey, waits, time_out), templates)
    with open_store(settings.store_url) as store:
        made = store.journey_tests.begin(
            name, profile_ids, frozen, longest_wait=waits, cursor=cursor_at(now), at=now
        )
        open_standing_runs(store, made.test)
    return made


def tell_test(
    settings: Settings,
    name: str,
    *,
    event: str | None = None,
    person: str | None = None,
    data: Mapping[str, Any],
    clock: Clock = utc_now,
) -> str:
    """Let something happen that only the test of a journey hears, at its next run, and leave it alone no
    longer where something went wrong in it; returns whom it is about, empty for nobody.

    Args:
        event: one that the journey looks at; None lets the person in, whatever lets people in otherwise and
            whatever its condition.
        person: one of the test; None for an event about nobody.
        data: of the event, or of the one that the journey is entered by.

    Raises:
        NoJourneyTest: when none is under way.
        UnfitTest: when it looks at no such event, or the person is none of the test.
        UnfitEvent: when the event is none of ``dags/events.yaml``.
        PersonNotFound: when nobody, or more than one profile, answers to ``person``.
        SpecError: when the event types cannot be read.
        NothingPublished: before the first build.
    """
    types = load_event_types(settings.project / "dags", relative_to=settings.project)
    now = clock()
    with open_store(settings.store_url) as store:
        test = _under_way(store, name)
        journey = _journey_of(store, test)
        declared = journey.entry_event if event is None else event
        if event is not None and event not in event_types(journey):
            known = alternatives(sorted(event_types(journey))) or "none"
            raise UnfitTest(f"{name} looks at no event {event!r}; it looks at {known}")
        wrong = None if declared is None else problem_with(types, declared, data)
        if wrong:
            raise UnfitEvent(f"{wrong}; what it says is given by --data '{{…}}'")
        is_business = event is not None and types.events[event].about is About.BUSINESS
        if is_business == (person is not None):
            raise UnfitTest(f"{event} is about nobody" if is_business else "whom is it about? Name a person")
        profile_id = "" if person is None else _tester(settings, test, person)
        told = NewEvent(
            source=test.test,
            event_id=uuid.uuid4().hex,
            event_type=event_of_test(name, event or JUMP + name),
            namespace="" if is_business else "profile_id",
            identifier=profile_id,
            data_json=json.dumps(data),
            occurred_at=now,
            received_at=now,
        )
        store.inbox.append([told])
        store.journey_tests.try_again(test)
    return profile_id


def end_test(settings: Settings, name: str, *, clock: Clock = utc_now) -> tuple[JourneyTest, int]:
    """End the test of a journey: everybody in it leaves, and what has not left is not sent. Repeated, it does
    what a kill has left undone. Returns it, and how many were inside.

    Raises:
        NoJourneyTest: when there never was one.
    """
    with open_store(settings.store_url) as store:
        test = latest_test(store, name)
        return test, let_all_out(store, test.test, at=clock())


def end_forgotten(settings: Settings, now: datetime) -> int:
    """End the tests that began longer ago than :data:`LASTS`, and those tests and journeys whose end a kill
    has cut off; returns how many."""
    with open_store(settings.store_url) as store:
        over = {each.test for each in store.journey_tests.under_way() if each.began_at <= now - LASTS}
        standing, unsent = store.runs.standing(), store.journey_accounts.with_unsent()
        over |= {
            row.journey
            for row in store.journeys.all(with_tests=True)
            if row.state is JourneyState.STOPPED
            and (journey_campaign(row.journey) in standing or row.journey in unsent)
        }
        for each in sorted(over):
            let_all_out(store, each, at=now)
    return len(over)


def report_test(settings: Settings, name: str, *, clock: Clock = utc_now) -> JourneyTestReport:
    """Where the people of a journey's test are: of the one that is under way, or of the last.

    Raises:
        NoJourneyTest: when there never was one.
        NothingPublished: before the first build.
    """
    with open_store(settings.store_url) as store:
        test = latest_test(store, name)
        [version] = store.journeys.versions(test.test)
        # Until the journey has heard of a merge, there is something under the ids of before.
        now_as = PeopleIndex(settings).merged(test.people)
        whom = {*test.people, *now_as, *now_as.values()}
        positions = store.journey_positions.of(test.test, whom)
        clicks = store.journey_reactions.held_clicks(test.test, now=clock()) if test.ended_at is None else []
    testers = sorted(
        (
            InTest(
                now_as.get(each.profile_id, each.profile_id),
                each.instance_key,
                each.entry,
                each.step,
                each.step_at,
                each.due_at,
                each.ended_at,
                each.end_reason,
            )
            for each in positions
        ),
        key=lambda each: (each.profile_id, each.instance_key),
    )
    people = {now_as.get(each, each) for each in test.people}
    entered = {each.profile_id for each in testers}
    return JourneyTestReport(
        test=test,
        longest_wait=version.longest_wait or 0,
        testers=(*testers, *(InTest(each) for each in sorted(people - entered))),
        report=journey_report(settings, test.test, clock=clock),
        held_clicks=tuple(
            replace(each, profile_id=now_as.get(each.profile_id, each.profile_id)) for each in clicks
        ),
    )


def explain_test(settings: Settings, person: str, name: str) -> PersonTold:
    """What happened to a person in the test of a journey that is under way, or in the last.

    Raises:
        NoJourneyTest: when there never was one.
        PersonNotFound, NothingPublished: as :func:`explain_journey`.
    """
    with open_store(settings.store_url) as store:
        test = latest_test(store, name)
    return explain_journey(settings, person, test.test)


def latest_test(store: Store, name: str) -> JourneyTest:
    """The test of a journey that is under way, or the last that was.

    Raises:
        NoJourneyTest: when there never was one.
    """
    found = store.journey_tests.latest(name)
    if found is None:
        raise NoJourneyTest(
            f"there never was a test of {name}; kundresa journey test begin {name} begins one"
        )
    return found


def _under_way(store: Store, name: str) -> JourneyTest:
    found = store.journey_tests.under_way(name)
    if not found:
        message = f"no test of {name} is under way; kundresa journey test begin {name} begins one"
        raise NoJourneyTest(message)
    return found[0]


def _journey_of(store: Store, test: JourneyTest) -> Journey:
    [version] = store.journeys.versions(test.test)
    return thaw_journey(version.spec_json)[0]


def _tester(settings: Settings, test: JourneyTest, person: str) -> str:
    profile_id = one_profile(settings, person)
    merged = PeopleIndex(settings).merged(test.people)
    if profile_id not in {merged.get(each, each) for each in test.people}:
        raise UnfitTest(f"{person} is none of the people of {test.test}; it would not hear it")
    return profile_id
