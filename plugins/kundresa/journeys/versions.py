"""The versions of a journey, thawed once, with what the engine asks of them again and again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from kundresa.spec.conditions import Condition, asks_profile
from kundresa.spec.frozen import thaw_journey
from kundresa.spec.journey import EventExit, Journey, ReactionExit, SegmentEntry, SegmentExit
from kundresa.spec.journey_references import event_types
from kundresa.spec.journey_steps import AnyStep, ConditionStep, WaitForStep, WaitUntilStep
from kundresa.spec.keys import as_test, event_of_test, run_key
from kundresa.store import JourneyVersion

JUMP = "jump:"
"""Begins the type of the events by which journeys let people enter another; no declared type has a colon."""
_TIME_ZONE = "time_zone"


@dataclass(frozen=True, slots=True)
class Version:
    """One version, ready to move people."""

    name: str
    """As which it runs; of a test another than that of its file."""
    number: int
    started_at: datetime
    event_position: int
    """Where the inbox ended then."""
    journey: Journey
    run_keys: Mapping[str, str]
    """Message step → its standing run."""
    call_keys: Mapping[str, str]
    """Webhook step → what the ids of its calls are derived from."""
    follows: Mapping[str, str]
    """Step → the one below it in the file."""
    columns: frozenset[str]
    """What its conditions and moments read of ``profiles``, and the traits among them."""
    asks: bool
    """Whether people have to be looked up at all."""
    reacts: bool
    """Whether it waits for reactions to its messages, or lets out by them."""
    event_waits: Mapping[str, tuple[str, ...]]
    """Type of event → the steps that wait for one."""
    event_exits: tuple[EventExit, ...]
    reaction_exits: tuple[ReactionExit, ...]
    segment_exits: frozenset[str]
    segments: frozenset[str]
    """Whose changes it looks at."""
    events: frozenset[str]
    """The types of event that it looks at."""
    longest: timedelta | None
    """Of a test: longer than this nothing takes; None is no bound."""

    def patience(self, within: timedelta) -> timedelta:
        """How much longer than its time a ``wait_for`` waits for what comes late: of a test only as far as
        the two together are within bounds."""
        lateness = self.journey.lateness
        return lateness if self.longest is None else min(lateness, max(self.longest - within, timedelta(0)))

    def bounded(self, since: datetime, moment: datetime) -> datetime:
        """Until when it is waited for a moment, from ``since`` on."""
        return moment if self.longest is None else min(moment, since + self.longest)


class Versions:
    """The versions that people are on, and the current one."""

    def __init__(self, current: int, versions: Iterable[JourneyVersion]) -> None:
        self._known = {each.version: _thawed(each) for each in versions}
        self.current = self._known[current]

        # Downwards, so that the first that names one remains.
        earlier = [self._known[number] for number in sorted(self._known, reverse=True)]
        self._event_since = {name: each.event_position for each in earlier for name in each.events}
        self._segment_since = {name: each for each in earlier for name in each.segments}

    def names_event(self, event_type: str, position: int) -> bool:
        """Whether an event at a position of the inbox is this journey's: when it came, a version that names
        its type had been started."""
        since = self._event_since.get(event_type)
        return since is not None and position > since

    def names_segment(self, segment: str, changed_at: datetime) -> bool:
        """The same of a change of a segment. From where on the first version counts says the journey."""
        since = self._segment_since.get(segment)
        return since is not None and (since.number == 1 or changed_at > since.started_at)

    def __getitem__(self, number: int) -> Version:
        return self._known[number]

    def all(self) -> list[Version]:
        """Every one, in order."""
        return [self._known[number] for number in sorted(self._known)]


def standing_key(journey: str, step: str, stored: JourneyVersion) -> str:
    """The key of the standing run of a message step: the same on any machine, another for each version."""
    return run_key(f"{journey}.{step}.v{stored.version}", stored.started_at)


@lru_cache(maxsize=256)
def _thawed(stored: JourneyVersion) -> Version:
    journey, _ = thaw_journey(stored.spec_json)
    conditions = [each for step in journey.steps.values() for each in _conditions(step)]
    conditions += [each.where for each in journey.exit if isinstance(each, EventExit)]
    conditions.append(journey.entry.where)
    said = [each for condition in conditions if condition for _, each in condition.everywhere()]
    moments = [step for step in journey.steps.values() if isinstance(step, WaitUntilStep)]
    columns = {name for each in said for name in each.profile}
    columns |= {step.profile for step in moments if step.profile is not None}
    columns |= {_TIME_ZONE for step in moments if step.time_zone == "person"}
    exits = frozenset(each.segment for each in journey.exit if isinstance(each, SegmentExit))
    reaction_exits = tuple(each for each in journey.exit if isinstance(each, ReactionExit))
    waits_for = [step for step in journey.steps.values() if isinstance(step, WaitForStep) and step.reaction]
    waits: dict[str, tuple[str, ...]] = {}
    for place, step in journey.steps.items():
        if isinstance(step, WaitForStep) and step.event is not None:
            waits[step.event] = (*waits.get(step.event, ()), place)
    entry = {journey.entry.segment} if isinstance(journey.entry, SegmentEntry) else set()
    name = stored.journey
    events = event_types(journey) | {JUMP + journey.name}
    if as_test(name):
        events |= {event_of_test(journey.name, each) for each in events}
    seconds = stored.longest_wait
    return Version(
        name=name,
        number=stored.version,
        started_at=stored.started_at,
        event_position=stored.event_position,
        journey=journey,
        run_keys={step: standing_key(name, step, stored) for step in journey.messages},
        call_keys={step: standing_key(name, step, stored) for step in journey.webhooks},
        follows={step: journey.follows(step) for step in journey.steps},
        columns=frozenset(columns),
        asks=bool(columns or exits or any(asks_profile(each) for each in conditions)),
        reacts=bool(waits_for or reaction_exits),
        event_waits=waits,
        event_exits=tuple(each for each in journey.exit if isinstance(each, EventExit)),
        reaction_exits=reaction_exits,
        segment_exits=exits,
        segments=exits | entry,
        events=events,
        longest=None if seconds is None else timedelta(seconds=seconds),
    )


def _conditions(step: AnyStep) -> list[Condition | None]:
    if isinstance(step, ConditionStep):
        return [path.when for path in step.paths]
    return [step.where] if isinstance(step, WaitForStep) else []
