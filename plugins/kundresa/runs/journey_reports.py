"""What a person asks about a journey: where people are, what became of its messages, and why one got none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kundresa.journeys import Versions, next_turn_at
from kundresa.runs.explained import every_id, one_person
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.planning import masked
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.journey_loading import journey_names
from kundresa.spec.journey_steps import END, MessageStep
from kundresa.spec.journey_words import again_words, entry_words, exit_words, step_words, ways
from kundresa.store import ENTERED, JourneyCounts, JourneyTest, JourneyTotals, Position, Store, open_store

NOT_STARTED = "not started"
TEST = "test"
"""In the place of the state of a test that is under way."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of one version."""

    version: int
    step: str
    kind: str
    does: str
    """In words; what is between backticks is a name."""
    then: tuple[tuple[str, str], ...]
    """The ways on: by what, empty where nothing else is said, and the step, or ``end``."""
    people: int
    """Who are at it now, in this version."""
    since: datetime | None
    """When the one of them who is the longest at it came to it."""
    reached: int
    """Entries that have come to it so far, in all versions; again for each time round a loop."""
    left: int
    """Those that are not at it any more."""
    messages: Mapping[str, int]
    """Of all versions: ``under_way``, ``sent``, ``delayed``, or the reason why not → how many; of a webhook
    step its calls, as far as they are not forgotten."""
    adds_up: bool | None
    """Of a step that sends in all versions: whether there is one line for each time that it was reached."""


@dataclass(frozen=True, slots=True)
class VersionReport:
    """One version."""

    version: int
    started_at: datetime
    people: int
    """Who are inside on it."""


@dataclass(frozen=True, slots=True)
class JourneyReport:
    """A journey as it stands, all of one moment."""

    journey: str
    description: str
    entry: str
    again: str
    exits: str
    """The three as :mod:`kundresa.spec.journey_words` has them, of the current version."""
    state: str
    version: int
    changed_at: datetime
    entered: int
    """Entries so far; a person may have entered more than once."""
    inside: int
    left: int
    adds_up: bool
    """Whether as many have entered as are inside and have left, and every message step adds up."""
    steps: tuple[StepReport, ...]
    """Of the current version, then of earlier ones that somebody is inside on."""
    versions: tuple[VersionReport, ...]
    """All, the newest first."""
    ended: Mapping[str, int]
    """Reason → entries that are over."""
    skips: Mapping[str, int]
    """Why events and changes of segments let nobody in → how many."""
    next_due_at: datetime | None
    unread_events: int
    """Positions of the inbox that have not been looked at; events of other types among them."""
    next_turn_at: datetime | None = None
    """When more people of its audience enter; None: none do, or it reads none."""
    readings: int = 0
    """Events that let its audience in and are not over: one is read, the others wait for it."""
    test: JourneyTest | None = None
    """Its test that is under way, of which nothing is counted here; of a test, what is known of itself."""


@dataclass(frozen=True, slots=True)
class JourneyLine:
    """A journey in a line. ``state`` is ``not started`` before that, and ``test`` of a test."""

    journey: str
    state: str
    version: int | None
    entered: int
    inside: int
    left: int
    waiting_since: datetime | None
    """When the one who is the longest at their step came to it."""
    messages: int
    """That somebody has come to."""
    sent: int


def journey_report(settings: Settings, name: str, *, clock: Clock = utc_now) -> JourneyReport:
    """Where a journey stands. It counts who are inside and all messages: for people, not for a loop.

    Raises:
        JourneyNotFound: when it was never started.
    """
    with open_store(settings.store_url) as store:
        row = store.journeys.require(name)
        counts = store.journey_counts.of(name)
        inside: Counter[int] = Counter()
        for each in counts.steps:
            inside[each.version] += each.people
        stored = store.journeys.versions(name)
        thawed = {each.version: thaw_journey(each.spec_json)[0] for each in stored}
        steps = tuple(
            each
            for version in sorted({row.version, *inside}, reverse=True)
            for each in _steps(version, thawed, counts)
        )
        current = thawed[row.version]
        entered = counts.passages.get((ENTERED, ""), 0)
        ended = {reason: count for (step, reason), count in counts.passages.items() if step == END}
        total = sum(inside.values())
        is_whole = entered == total + sum(ended.values())
        under_way = next(iter(store.journey_tests.under_way(name)), None)
        return JourneyReport(
            journey=name,
            description=current.description,
            entry=entry_words(current),
            again=again_words(current),
            exits=exit_words(current),
            state=row.state.value,
            version=row.version,
            changed_at=row.changed_at,
            entered=entered,
            inside=total,
            left=sum(ended.values()),
            adds_up=is_whole and all(each.adds_up is not False for each in steps),
            steps=steps,
            versions=tuple(
                VersionReport(each.version, each.started_at, inside[each.version])
                for each in reversed(stored)
            ),
            ended=ended,
            skips=counts.skips,
            next_due_at=store.journey_positions.next_due(name),
            unread_events=max(0, store.inbox.end() - row.event_position),
            next_turn_at=next_turn_at(store, row, Versions(row.version, stored).current, clock()),
            readings=store.journey_readings.count(name),
            test=under_way or store.journey_tests.get(name),
        )


def _steps(version: int, journeys: Mapping[int, Journey], counts: JourneyCounts) -> Iterator[StepReport]:
    at = {each.step: each for each in counts.steps if each.version == version}
    in_all: Counter[str | None] = Counter()
    for counted in counts.steps:
        in_all[counted.step] += counted.people
    came_to: dict[str, dict[str, int]] = {}
    for name, outcome, reason, count in (*counts.messages, *counts.calls):
        came_to.setdefault(name, {})[reason or outcome or "under_way"] = count
    for name, step in journeys[version].steps.items():
        here = at.get(name)
        reached = counts.passages.get((name, ""), 0)
        own = came_to.get(name, {})
        # Of all versions: a name that stood for something else before has no such sum.
        sends = all(isinstance(each.steps.get(name, step), MessageStep) for each in journeys.values())
        yield StepReport(
            version=version,
            step=name,
            kind=step.kind,
            does=step_words(step),
            then=tuple(ways(journeys[version], name)),
            people=here.people if here else 0,
            since=here.since if here else None,
            reached=reached,
            left=reached - in_all[name],
            messages=own,
            adds_up=sum(own.values()) == reached if sends else None,
        )


def list_journeys(settings: Settings) -> list[JourneyLine]:
    """Every journey of the folder, and every other that was ever started, by name, and the tests that are
    under way. It counts all who are inside and all messages: for people, not for a loop."""
    with open_store(settings.store_url) as store:
        rows = {row.journey: row for row in store.journeys.all()}
        tests = {each.test for each in store.journey_tests.under_way()}
        rows |= {each: store.journeys.require(each) for each in tests}
        totals = store.journey_counts.totals()
    found = []
    for name in sorted({*journey_names(settings.journeys), *rows}):
        row, total = rows.get(name), totals.get(name, JourneyTotals())
        found.append(
            JourneyLine(
                journey=name,
                state=(TEST if name in tests else row.state.value) if row else NOT_STARTED,
                version=row.version if row else None,
                entered=total.entered,
                inside=total.inside,
                left=total.left,
                waiting_since=total.waiting_since,
                messages=total.messages,
                sent=total.sent,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class EntryTold:
    """One entry of one person."""

    instance_key: str
    entry: int
    moves: tuple[Mapping[str, str], ...]
    """``step``, ``at`` and ``why``, in order; the last may be ``end``."""
    calls: tuple[Mapping[str, Any], ...]
    """``step``, ``outcome``, ``reason``, ``reached_at``, ``settled_at``, ``attempts``, ``code``, ``detail``,
    and the fields of the answer that were kept as ``response``."""
    messages: tuple[Mapping[str, Any], ...]
    """``step``, ``outcome``, ``reason``, ``cap`` (the one that it was over), ``capacity`` (that, or the
    warm-up, that had no room for it), ``send_at`` (None before it is decided), ``not_before`` (when it is, or
    was, to be decided; of a letter, when its print file is made), ``variant``, ``reached_at``,
    ``settled_at``, ``address`` (masked) and the line of the ledger as ``delivery``."""


@dataclass(frozen=True, slots=True)
class PersonTold:
    """One person in one journey."""

    journey: str
    profile_id: str
    positions: tuple[Mapping[str, Any], ...]
    """Where they are, or how they ended, by instance key."""
    entries: tuple[EntryTold, ...]


def explain_journey(settings: Settings, person: str, name: str) -> PersonTold:
    """What happened to a person in a journey, and why: also what did under ids by which they went before, of
    which the journey has not heard yet that they are one.

    Args:
        person: a profile id, or an identifier or address of any kind, also one that no profile has.

    Raises:
        PersonNotFound: when nobody, or more than one profile, answers to it.
        JourneyNotFound: when the journey was never started.
        NothingPublished: before the first build.
    """
    profile_id = one_person(settings, person)
    entries: list[EntryTold] = []
    positions: list[Position] = []
    with open_store(settings.store_url) as store:
        store.journeys.require(name)
        for each in every_id(settings, profile_id):
            positions += store.journey_positions.of(name, [each])
            entries += _entries(store, name, each)
    shown = [
        {name: value for name, value in asdict(each).items() if name not in ("event_json", "profile_id")}
        for each in positions
    ]
    return PersonTold(name, profile_id, tuple(shown), tuple(entries))


def _entries(store: Store, name: str, profile_id: str) -> Iterator[EntryTold]:
    """What there is under one id, in order."""
    moves: dict[tuple[str, int], list[Mapping[str, str]]] = {}
    for row in store.journey_positions.moves(name, profile_id):
        told = moves.setdefault((row.instance_key, row.entry), [])
        told += [{"step": step, "at": at, "why": why} for step, at, why in json.loads(row.moves_json)]
    messages = _messages(store, name, profile_id)
    calls = _calls(store, name, profile_id)
    for (key, entry), told in sorted(moves.items()):
        own = (key, entry)
        yield EntryTold(key, entry, tuple(told), tuple(calls.get(own, ())), tuple(messages.get(own, ())))


def _messages(store: Store, name: str, profile_id: str) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    own = list(store.journey_messages.of(profile_id, name))
    lines = store.ledger.lines([each.message_id for each in own]) if own else {}
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for each in own:
        address = json.loads(each.row_json)["address"] if each.row_json else None
        line = lines.get(each.message_id)
        found.setdefault((each.instance_key, each.entry), []).append(
            {
                "step": each.step,
                "outcome": each.outcome or "under_way",
                "reason": each.reason,
                "cap": each.cap,
                "capacity": each.capacity,
                "send_at": each.send_at,
                "not_before": each.not_before,
                "variant": each.variant,
                "reached_at": each.reached_at,
                "settled_at": each.settled_at,
                "address": masked(address) if address else None,
                "delivery": line.as_dict() if line else None,
            }
        )
    return found


def _calls(store: Store, name: str, profile_id: str) -> dict[tuple[str, int], list[Mapping[str, Any]]]:
    told = ("step", "reason", "reached_at", "settled_at", "attempts", "code", "detail")
    found: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for each in store.journey_calls.of(profile_id, name):
        kept = json.loads(each["response_json"]) if each["response_json"] else {}
        line = {key: each[key] for key in told} | {
            "outcome": each["outcome"] or "under_way",
            "response": kept,
        }
        found.setdefault((each["instance_key"], each["entry"]), []).append(line)
    return found


def steps_as_rows(report: JourneyReport) -> Sequence[tuple[object, ...]]:
    """The steps for a table: version, step, kind, people, reached, messages."""
    return [
        (
            each.version,
            each.step,
            each.kind,
            each.people,
            each.reached,
            ", ".join(f"{count:,} {what}" for what, count in sorted(each.messages.items())),
        )
        for each in report.steps
    ]
