"""Whether a journey goes together with what there is: events, columns, segments, other journeys, policies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from kundresa.spec.attachments import no_attachments
from kundresa.spec.condition_bounds import column_problems, property_problems
from kundresa.spec.conditions import Condition
from kundresa.spec.events import About, EventType, EventTypes, Property, PropertyKind
from kundresa.spec.journey import (
    MAX_KEY,
    AudienceEntry,
    BusinessEventEntry,
    EventEntry,
    EventExit,
    Journey,
    SegmentEntry,
    SegmentExit,
)
from kundresa.spec.journey_steps import (
    AnyStep,
    ConditionStep,
    ExperimentStep,
    JumpStep,
    MessageStep,
    UpdateStep,
    WaitForStep,
    WaitUntilStep,
    WebhookStep,
)
from kundresa.spec.policies import DEFAULT_RULE_SET, Policies, exempt_topics
from kundresa.spec.problems import SpecProblem, nearest
from kundresa.spec.yaml_source import KeyPath, SpecSource

ENTITY = "entity_id"
"""What a journey that is entered by a segment knows as its event, beside that which has started a reading:
the order's id or the like; empty for a person."""
_MOMENTS = (PropertyKind.INSTANT, PropertyKind.DAY)


@dataclass(frozen=True, slots=True)
class KnownToJourneys:
    """What a journey may refer to."""

    events: EventTypes = field(default_factory=EventTypes)
    segments: Collection[str] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of ``profiles``: name → SQL type."""
    journeys: Mapping[str, Journey] = field(default_factory=dict)
    """All that can be read, by name; their updates set traits that every condition may read."""
    policies: Policies = field(default_factory=Policies)
    entity_segments: Collection[str] = ()
    """Of the segments those whose members are orders, products or the like."""


def journey_problems(journey: Journey, source: SpecSource, known: KnownToJourneys) -> list[SpecProblem]:
    """Everything in a journey that there is not, or that cannot be, at its place in the file."""
    return list(_Check(journey, source, known).problems())


def event_types(journey: Journey) -> frozenset[str]:
    """The types of event that a journey looks at."""
    waits = [step for step in journey.steps.values() if isinstance(step, WaitForStep)]
    found = {step.event for step in waits if step.event is not None}
    found |= {each.event for each in journey.exit if isinstance(each, EventExit)}
    return frozenset(found | ({journey.entry_event} if journey.entry_event is not None else set()))


def entry_properties(journey: Journey, types: EventTypes) -> Mapping[str, Property] | None:
    """What the data of an entry may hold, without what webhook steps keep; None when its event is not
    declared."""
    event = journey.entry_event
    entity = {ENTITY: Property(kind=PropertyKind.TEXT)}
    if event is None:
        return entity
    declared = types.events.get(event)
    if declared is None:
        return None
    return declared.properties if isinstance(journey.entry, EventEntry) else {**declared.properties, **entity}


def data_properties(journey: Journey, types: EventTypes) -> Mapping[str, Property] | None:
    """Everything that the data of an entry may come to hold: what it is entered with, what webhook steps keep
    of answers, and ``wait_for`` steps of events; None when its event is not declared."""
    entered = entry_properties(journey, types)
    if entered is None:
        return None
    kept: dict[str, Property] = {}
    for step in journey.steps.values():
        if isinstance(step, WaitForStep) and step.event is not None and step.event in types.events:
            declared = types.events[step.event].properties
            kept |= {
                # Until it is kept there is none.
                name: declared[name].model_copy(update={"required": False})
                for name in step.keep
                if name in declared
            }
    return {**kept, **journey.answers, **entered}


class _Check:
    def __init__(self, journey: Journey, source: SpecSource, known: KnownToJourneys) -> None:
        self._journey = journey
        self._source = source
        self._known = known
        self._entry_properties = entry_properties(journey, known.events)
        self._data = data_properties(journey, known.events)
        set_by = [step for each in (journey, *known.journeys.values()) for step in each.steps.values()]
        self._traits = {step.trait for step in set_by if isinstance(step, UpdateStep)}

    def problems(self) -> Iterator[SpecProblem]:
        yield from self._entry()
        for position, each in enumerate(self._journey.exit):
            at: KeyPath = ("exit", position)
            if isinstance(each, EventExit):
                yield from self._event(each.event, (*at, "event"))
                yield from self._condition(each.where, (*at, "where"), self._properties(each.event))
            elif isinstance(each, SegmentExit):
                yield from self._segments([each.segment], [(*at, "segment")])
        for name, step in self._journey.steps.items():
            yield from self._step(step, ("steps", name))
        yield from self._variants()
        known = {*self._known.policies.pressure, DEFAULT_RULE_SET}
        for position, name in enumerate(self._journey.rule_sets):
            if name not in known:
                yield self._missing(("rule_sets", position), "rule set", name, known, "dags/policies.yaml")

    def _variants(self) -> Iterator[SpecProblem]:
        """A message counts under one name of a variant, whatever experiment it is of."""
        of: dict[str, str] = {}
        for name, step in self._journey.steps.items():
            for position, arm in enumerate(step.variants if isinstance(step, ExperimentStep) else ()):
                if of.setdefault(arm.name, name) != name:
                    message = (
                        f"step '{of[arm.name]}' has a variant '{arm.name}' already; messages count by it"
                    )
                    yield self._source.problem(("steps", name, "variants", position, "name"), message)

    def _step(self, step: AnyStep, at: KeyPath) -> Iterator[SpecProblem]:
        match step:
            case WaitForStep(event=str() as name):
                yield from self._event(name, (*at, "event"))
                yield from self._condition(step.where, (*at, "where"), self._properties(name))
                yield from self._keep(step, (*at, "keep"), self._properties(name))
            case ConditionStep():
                for position, path in enumerate(step.paths):
                    where = (*at, "paths", position, "when")
                    yield from self._condition(path.when, where, self._data)
            case WebhookStep():
                yield from self._response(step, at)
            case MessageStep():
                yield from self._message(step, at)
            case JumpStep():
                yield from self._jump(step, at)
            case WaitUntilStep():
                yield from self._moment(step, at)
            case UpdateStep(event=str() as name):
                yield from self._property(name, (*at, "event"), self._data)
            case _:
                pass

    def _entry(self) -> Iterator[SpecProblem]:
        entry = self._journey.entry
        if isinstance(entry, EventEntry):
            yield from self._event(entry.event, ("entry", "event"))
        elif isinstance(entry, SegmentEntry):
            yield from self._segments([entry.segment], [("entry", "segment")])
        else:
            yield from self._audience(entry)
        yield from self._condition(entry.where, ("entry", "where"), self._entry_properties)
        key = self._journey.instance_key
        if key is not None and self._journey.entry_event is None:
            message = "for a segment the key is its entity's by itself; remove this"
            yield self._source.problem(("instance_key",), message)
        elif key is not None:
            yield from self._key(key, ("instance_key",))
            yield from self._key_length(key)

    def _audience(self, entry: AudienceEntry | BusinessEventEntry) -> Iterator[SpecProblem]:
        place = ("entry", "audience")
        yield from self._segments([entry.audience], [place])
        if any(
            isinstance(each, SegmentExit) and each.segment == entry.audience for each in self._journey.exit
        ):
            message = "who is in this segment leaves at once, by 'exit'; nobody would stay"
            yield self._source.problem(place, message)
        if not isinstance(entry, BusinessEventEntry):
            return
        yield from self._event(entry.event, ("entry", "event"), about=About.BUSINESS)
        if ENTITY in (self._properties(entry.event) or {}):
            message = f"its property '{ENTITY}' would hide that of the audience; give it another name"
            yield self._source.problem(("entry", "event"), message)
        if entry.entity is not None:
            yield from self._key(entry.entity, ("entry", "entity"))
            known = self._known
            if entry.audience in known.segments and entry.audience not in known.entity_segments:
                message = (
                    f"'{entry.audience}' has people and no entities (`entity` in dbt_project.yml): nobody "
                    f"would enter. For everybody in it, once for each '{entry.entity}', say 'instance_key'"
                )
                yield self._source.problem(("entry", "entity"), message)

    def _key(self, name: str, at: KeyPath) -> Iterator[SpecProblem]:
        """A property of the entry event that tells one thing from another."""
        properties = self._properties(self._journey.entry_event or "")
        yield from self._property(name, at, properties)
        declared = (properties or {}).get(name)
        if declared is not None and not (
            declared.required and declared.kind in (PropertyKind.TEXT, PropertyKind.WHOLE)
        ):
            message = f"'{name}' must be a required text or whole number in dags/events.yaml"
            yield self._source.problem(at, message)

    def _key_length(self, name: str) -> Iterator[SpecProblem]:
        """A longer key would let nobody in; better said here than found in the counts."""
        declared = (self._properties(self._journey.entry_event or "") or {}).get(name)
        if declared is not None and declared.kind is PropertyKind.TEXT and declared.max_length > MAX_KEY:
            message = (
                f"'{name}' may have {declared.max_length:,} characters, and an instance key {MAX_KEY}; "
                f"say 'max_length: {MAX_KEY}' or less in dags/events.yaml"
            )
            yield self._source.problem(("instance_key",), message)

    def _properties(self, event: str) -> Mapping[str, Property] | None:
        declared = self._known.events.events.get(event)
        return declared.properties if declared else None

    def _event(self, event: str, at: KeyPath, *, about: About = About.PERSON) -> Iterator[SpecProblem]:
        declared = self._known.events.events.get(event)
        if declared is None:
            yield self._missing(at, "event", event, self._known.events.events, "dags/events.yaml")
        elif declared.about is not about:
            yield self._source.problem(at, self._unfit(event, declared, at))

    def _unfit(self, event: str, declared: EventType, at: KeyPath) -> str:
        if declared.about is About.PERSON:
            return (
                f"'{event}' is about a person, who would enter by it without 'audience'; "
                f"an audience enters by one that is 'about: {About.BUSINESS}' in dags/events.yaml"
            )
        if at[0] == "entry":
            return f"'{event}' is about nobody: say with 'audience' and 'rate' who enters by it"
        return f"'{event}' is about nobody; nobody who is inside would hear it"

    def _property(
        self, name: str, at: KeyPath, properties: Mapping[str, Property] | None
    ) -> Iterator[SpecProblem]:
        # None: the event itself is not known, which is said already.
        if properties is not None and name not in properties:
            yield self._missing(at, "property", name, properties, "the event")

    def _segments(self, names: Collection[str], places: Collection[KeyPath]) -> Iterator[SpecProblem]:
        for name, at in zip(names, places, strict=True):
            if name not in self._known.segments:
                yield self._missing(at, "segment", name, self._known.segments, "the dbt project")

    def _condition(
        self, condition: Condition | None, at: KeyPath, properties: Mapping[str, Property] | None
    ) -> Iterator[SpecProblem]:
        for path, each in condition.everywhere(at) if condition else ():
            for name, test in each.event.items():
                place = (*path, "event", name)
                yield from self._property(name, place, properties)
                if properties is not None and name in properties:
                    for message, suggestion in property_problems(test, properties[name]):
                        yield self._source.problem(place, message, suggestion=suggestion)
            yield from self._profile(each, path)
            for key in ("in_segment", "not_in_segment"):
                names = getattr(each, key)
                yield from self._segments(names, [(*path, key, number) for number in range(len(names))])

    def _profile(self, condition: Condition, path: KeyPath) -> Iterator[SpecProblem]:
        columns = self._known.columns
        for name, test in condition.profile.items():
            place = (*path, "profile", name)
            if name in self._traits:
                continue  # it may be of any kind, and hides a column of its name
            if name not in columns:
                yield self._missing(place, "column", name, {*columns, *self._traits}, "profiles")
                continue
            for message in column_problems(test, columns[name]):
                yield self._source.problem(place, message)

    def _moment(self, step: WaitUntilStep, at: KeyPath) -> Iterator[SpecProblem]:
        if step.event is not None:
            place = (*at, "event")
            yield from self._property(step.event, place, self._data)
            declared = (self._data or {}).get(step.event)
            if declared is not None and declared.kind not in _MOMENTS:
                yield self._source.problem(place, f"expected an instant or a day; this is a {declared.kind}")
        if step.profile is not None:
            place = (*at, "profile")
            data_type = self._known.columns.get(step.profile)
            if data_type is None:
                yield self._missing(place, "column", step.profile, self._known.columns, "profiles")
            elif not data_type.lower().startswith(("date", "timestamp")):
                yield self._source.problem(place, f"expected a date or a timestamp; this is a {data_type}")

    def _jump(self, step: JumpStep, at: KeyPath) -> Iterator[SpecProblem]:
        place = (*at, "journey")
        others = {*self._known.journeys} - {self._journey.name}
        if step.journey == self._journey.name:
            yield self._source.problem(place, "a journey cannot jump to itself; name one of its steps")
        elif step.journey not in others:
            yield self._missing(place, "journey", step.journey, others, "dags/journeys")
        elif self._journey.name in _jumped_to(step.journey, self._known.journeys):
            yield self._source.problem(place, f"'{step.journey}' jumps back to this journey")

    def _message(self, step: MessageStep, at: KeyPath) -> Iterator[SpecProblem]:
        policies = self._known.policies
        topic = step.topic or self._journey.topic
        channel = step.channel
        if channel.kind == "email" and channel.attachments and topic not in exempt_topics(policies):
            yield self._source.problem((*at, "channel", "attachments"), no_attachments(topic))

    def _keep(
        self, step: WaitForStep, at: KeyPath, properties: Mapping[str, Property] | None
    ) -> Iterator[SpecProblem]:
        """What is kept of an event may stand where the entry's own stood: whoever reads it finds its like."""
        key = self._journey.instance_key
        if step.keep and key is not None and key in (properties or {}):
            message = (
                f"'{step.event}' says '{key}' too, and who is inside for another one hears it as well: they "
                "would keep what is said of this one"
            )
            yield self._source.problem(at, message)
            return
        for position, name in enumerate(step.keep):
            place = (*at, position)
            yield from self._property(name, place, properties)
            declared, known = (properties or {}).get(name), (self._data or {}).get(name)
            if declared is None or known is None:
                continue
            if name == ENTITY and not isinstance(self._journey.entry, EventEntry):
                yield self._source.problem(place, f"'{ENTITY}' says what they are inside for; it stays")
            elif declared.kind != known.kind:
                message = f"the entry has a '{name}' that is a {known.kind}; this is a {declared.kind}"
                yield self._source.problem(place, message)
            elif known.required and not declared.required:
                message = f"the entry always has a '{name}', and '{step.event}' may come without one"
                yield self._source.problem(place, message)

    def _response(self, step: WebhookStep, at: KeyPath) -> Iterator[SpecProblem]:
        """What is kept of an answer has one meaning in the whole journey."""
        for name, declared in step.response.items():
            place = (*at, "response", name)
            if name in (self._entry_properties or {}):
                message = f"the entry has '{name}' already; an answer must not overwrite it"
                yield self._source.problem(place, message, at_key=True)
            elif self._journey.answers[name] != declared:
                message = f"another step keeps a '{name}' too, and declares it differently"
                yield self._source.problem(place, message, at_key=True)

    def _missing(self, at: KeyPath, what: str, name: str, known: Collection[str], where: str) -> SpecProblem:
        suggestion = nearest(name, known)
        message = f"there is no {what} '{name}'"
        if suggestion is None:
            message += f" among the {len(known)} of {where}"
        is_key = at[-1] == name
        return self._source.problem(at, message, suggestion=suggestion, at_key=is_key)


def _jumped_to(name: str, journeys: Mapping[str, Journey]) -> set[str]:
    """The journeys that one leads to by jumps, over any number of them."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        journey = journeys.get(waiting.pop())
        for step in journey.steps.values() if journey else ():
            if isinstance(step, JumpStep) and step.journey not in found:
                found.add(step.journey)
                waiting.append(step.journey)
    return found
