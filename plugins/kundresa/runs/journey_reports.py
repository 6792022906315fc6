"""What a person asks about a journey: where people are, what became of its messages, and why one got none."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from kundresa import warehouse
from kundresa.journeys import Versions
from kundresa.runs.explaining import PersonNotFound
from kundresa.runs.journeys import next_turn_at
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.planning import masked
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw_journey
from kundresa.spec.journey_loading import journey_names
from kundresa.store import JourneyRow, Store, open_store


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step of one version."""

    version: int
    step: str
    kind: str
    people: int
    """Who are at it now."""
    messages: Mapping[str, int]
    """Of all versions: ``under_way``, ``sent``, ``delayed``, or the reason why not → how many."""


@dataclass(frozen=True, slots=True)
class JourneyReport:
    """A journey as it stands. ``state`` is ``not started`` before that."""

    journey: str
    state: str
    version: int | None
    changed_at: datetime | None
    steps: tuple[StepReport, ...]
    ended: Mapping[str, int]
    """Reason → people whose last entry is over."""
    skips: Mapping[str, int]
    """Why events and changes of segments let nobody in → how many."""
    next_due_at: datetime | None
    unread_events: int
    """Positions of the inbox that have not been looked at; events of other types among them."""
    next_turn_at: datetime | None = None
    """When more people of its audience enter; None: none do, or it reads none."""


def journey_report(settings: Settings, name: str, *, clock: Clock = utc_now) -> JourneyReport:
    """Where a journey stands. It counts every position: for people, not for a loop.

    Raises:
        JourneyNotFound: when it was never started.
    """
    with open_store(settings.store_url) as store:
        row = store.journeys.require(name)
        current = Versions(row.version, store.journeys.versions(name, [row.version])).current
        counts = store.journey_positions.counts(name)
        messages: dict[str, dict[str, int]] = {}
        counted = [*store.journey_messages.counts(name), *store.journey_calls.counts(name)]
        for step, outcome, reason, count in counted:
            messages.setdefault(step, {})[reason or outcome or "under_way"] = count
        at = {(each.version, each.step): each.people for each in counts if each.step is not None}
        ended: dict[str, int] = {}
        for each in counts:
            if each.step is None:
                ended[each.end_reason or ""] = ended.get(each.end_reason or "", 0) + each.people
        inhabited = {version for version, _ in at} | {row.version}
        steps = []
        for version in store.journeys.versions(name, inhabited):
            journey, _ = thaw_journey(version.spec_json)
            steps += [
                StepReport(
                    version.version, key, step.kind, at.get((version.version, key), 0), messages.get(key, {})
                )
                for key, step in journey.steps.items()
            ]
        return JourneyReport(
            journey=name,
            state=row.state.value,
            version=row.version,
            changed_at=row.changed_at,
            steps=tuple(steps),
            ended=ended,
            skips=store.journey_positions.skips(name),
            next_due_at=store.journey_positions.next_due(name),
            unread_events=max(0, store.inbox.end() - row.event_position),
            next_turn_at=next_turn_at(row, current, clock()),
        )


def list_journeys(settings: Settings) -> list[tuple[str, JourneyRow | None]]:
    """Every journey of the folder, and where it stands; None for one that was never started."""
    with open_store(settings.store_url) as store:
        return [(name, store.journeys.get(name)) for name in journey_names(settings.journeys)]


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
    """``step``, ``outcome``, ``reason``, ``cap`` (the one that it was over), ``variant``, ``reached_at``,
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
    """What happened to a person in a journey, and why.

    Args:
        person: a profile id, or an identifier or address of any kind.

    Raises:
        PersonNotFound: when nobody, or more than one profile, answers to it.
        JourneyNotFound: when the journey was never started.
        NothingPublished: before the first build.
    """
    found = warehouse.find_profiles(settings, person)
    if len(found) != 1:
        raise PersonNotFound(f"{person!r} is {f'{len(found)} profiles' if found else 'nobody'}")
    [profile_id] = found
    with open_store(settings.store_url) as store:
        store.journeys.require(name)
        positions = store.journey_positions.of(name, [profile_id])
        moves: dict[tuple[str, int], list[Mapping[str, str]]] = {}
        for row in store.journey_positions.moves(name, profile_id):
            told = moves.setdefault((row.instance_key, row.entry), [])
            told += [{"step": step, "at": at, "why": why} for step, at, why in json.loads(row.moves_json)]
        messages = _messages(store, name, profile_id)
        calls = _calls(store, name, profile_id)
    entries = tuple(
        EntryTold(
            key,
            entry,
            tuple(told),
            tuple(calls.get((key, entry), ())),
            tuple(messages.get((key, entry), ())),
        )
        for (key, entry), told in sorted(moves.items())
    )
    shown = [
        {name: value for name, value in asdict(each).items() if name not in ("event_json", "profile_id")}
        for each in positions
    ]
    return PersonTold(name, profile_id, tuple(shown), entries)


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
    """The steps for a table: version, step, kind, people, messages."""
    return [
        (
            each.version,
            each.step,
            each.kind,
            each.people,
            ", ".join(f"{count:,} {what}" for what, count in sorted(each.messages.items())),
        )
        for each in report.steps
    ]
