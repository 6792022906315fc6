"""One person played through a journey with every wait skipped: what they would come to, and read. Nothing is
written to the store and nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kundresa.content import Links, RenderError, compile_templates
from kundresa.journeys import JUMP, Member, People, advance, place_of
from kundresa.runs.explained import one_profile
from kundresa.runs.journey_checking import load_checked_journey
from kundresa.runs.journey_messages import event_of
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rows import row_of
from kundresa.runs.journey_rules import Known
from kundresa.runs.journey_supposing import Answers, Supposing
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.planning import shown_text
from kundresa.settings import Settings
from kundresa.spec.channels import EmailChannel
from kundresa.spec.events import About, EventTypes, load_event_types, problem_with
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import BusinessEventEntry, Journey
from kundresa.spec.messages import EmailContent
from kundresa.spec.shortening import at_once
from kundresa.store import JourneyMessage, NewEvent, Store, open_store
from kundresa.warehouse import cursor_at

MOST_MOMENTS = 1_000
"""Waits that are skipped; a journey that goes round and round is cut off there."""


class UnfitEvent(Exception):
    """The event is none that the installation takes in; the message says why."""


@dataclass(frozen=True, slots=True)
class LaterEvent:
    """Something that happens to the person on their way."""

    event: str
    after: timedelta
    """Since they entered."""
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RehearsedMessage:
    """A message that the person would come to."""

    step: str
    at: datetime
    """When it would leave: when it is reached, or from which on there is room for it."""
    reason: str | None
    """Why it would not be sent; None when it would."""
    text: str
    """What they would read, or why it cannot be written; empty when it would not be sent."""


@dataclass(frozen=True, slots=True)
class RehearsedEmail:
    """An email that the person would get, as it may be sent to somebody else."""

    step: str
    channel: EmailChannel
    content: EmailContent


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One person's way."""

    journey: str
    profile_id: str
    moves: tuple[Mapping[str, str], ...]
    """``step``, ``at`` and ``why``; empty when they would not enter."""
    messages: tuple[RehearsedMessage, ...]
    skips: Mapping[str, int]
    """Why they would not enter."""
    supposed: Mapping[str, str]
    """Webhook step → what its calls were supposed to come to."""
    emails: tuple[RehearsedEmail, ...] = ()
    """In the order of the way."""


def rehearse_journey(
    settings: Settings,
    name: str,
    person: str,
    *,
    data: Mapping[str, Any],
    then: Sequence[LaterEvent] = (),
    answers: Answers | None = None,
    clock: Clock = utc_now,
) -> Rehearsal:
    """Play a person through a journey as its files say now. Its webhook steps call nobody.

    Args:
        person: a profile id, or an identifier or address of any kind.
        data: of the event that lets them in. A journey that is entered by a segment lets them in as they are,
            and one that lets an audience in by an event takes them for one of it.
        then: what happens to them afterwards.
        answers: what webhook steps are answered, at once.

    Raises:
        UnknownJourney, SpecError, DbtFailed: when the journey is not there, or not valid.
        PersonNotFound: when nobody, or more than one profile, answers to ``person``.
        UnfitAnswer: when an answer is for no webhook step.
        UnfitEvent: when an event is none of ``dags/events.yaml``.
        NothingPublished: before the first build.
    """
    journey, templates = load_checked_journey(settings, name)
    types = load_event_types(settings.project / "dags", relative_to=settings.project)
    profile_id = one_profile(settings, person)
    now = clock()
    entry = journey.entry_event or JUMP + name
    events = [LaterEvent(entry, timedelta(0), data), *sorted(then, key=lambda each: each.after)]
    for each in events:
        wrong = None if each.event.startswith(JUMP) else problem_with(types, each.event, each.data)
        if wrong:
            given = "--then" if each.event != entry or each.after else "--data '{…}'"
            raise UnfitEvent(f"{wrong}; what it says is given by {given}")
    with (
        TemporaryDirectory(prefix="kundresa-rehearsal-") as folder,
        open_store(settings.store_url) as real,
        open_store(f"sqlite:///{Path(folder) / 'rehearsal.sqlite'}") as store,
        JourneyPeople(settings) as people,
    ):
        is_business = isinstance(journey.entry, BusinessEventEntry)
        played = at_once(journey) if is_business else journey
        store.journeys.start(name, freeze(played, templates), cursor=cursor_at(now), at=now)
        others = _Audience(people, profile_id) if is_business else people
        stage = _Stage(settings, store, others, journey, templates, types)
        supposing = Supposing(settings, real, store, people, journey, answers or {}, stage.see)
        stage.play(
            supposing,
            [_made_up(each, number, profile_id, types, now) for number, each in enumerate(events)],
            now,
        )
        moves = [
            {"step": step, "at": at, "why": why}
            for row in store.journey_positions.moves(name, profile_id)
            for step, at, why in json.loads(row.moves_json)
        ]
        return Rehearsal(
            name,
            profile_id,
            tuple(moves),
            tuple(stage.messages),
            store.journey_positions.skips(name),
            supposing.told,
            tuple(stage.emails),
        )


def _made_up(each: LaterEvent, number: int, profile_id: str, types: EventTypes, now: datetime) -> NewEvent:
    at = now + each.after
    declared = types.events.get(each.event)
    is_business = declared is not None and declared.about is About.BUSINESS
    subject = ("", "") if is_business else ("profile_id", profile_id)
    return NewEvent("rehearsal", str(number), each.event, *subject, json.dumps(each.data), at, at)


class _Audience:
    """``journeys.People``, of whom one person alone is in every audience."""

    def __init__(self, people: JourneyPeople, profile_id: str) -> None:
        self.resolve, self.merged, self.facts = people.resolve, people.merged, people.facts
        self.segment_changes = people.segment_changes
        self._profile_id = profile_id

    def members(
        self,
        segment: str,  # noqa: ARG002  whichever it is
        salt: str,
        after: str,
        limit: int,  # noqa: ARG002  at least one
        entity: str | None = None,
        *,
        among: Collection[str] | None = None,  # noqa: ARG002  nobody rehearses a test
    ) -> list[Member]:
        """As ``journeys.People``; for whatever entity is asked for."""
        place = place_of(salt, self._profile_id, entity or "")
        return [Member(self._profile_id, entity or "", place)] if place > after else []


@dataclass(slots=True)
class _Stage:
    settings: Settings
    store: Store
    people: People
    journey: Journey
    templates: Mapping[str, str]
    types: EventTypes
    messages: list[RehearsedMessage] = field(default_factory=list)
    emails: list[RehearsedEmail] = field(default_factory=list)

    def play(self, supposing: Supposing, events: Sequence[NewEvent], now: datetime) -> None:
        """From moment to moment: what is next, an event or the end of a wait."""
        waiting = list(events)
        for _ in range(MOST_MOMENTS):
            due = [each for each in waiting if each.occurred_at <= now]
            self.store.inbox.append(due)
            waiting = waiting[len(due) :]
            advance(self.store, self.people, self.journey.name, now=now)
            if supposing.settle(now, until=now):
                continue
            waits = (
                self.store.journey_positions.next_due(self.journey.name),
                self.store.journey_messages.next_at(self.journey.name),
            )
            moments = [each.occurred_at for each in waiting[:1]]
            moments += [each for each in waits if each is not None]
            if not moments:
                return
            now = max(now, min(moments))

    def see(self, message: JourneyMessage, reason: str | None, known: Known) -> None:
        """Keeps what a message would have said."""
        recipient = known.recipients.get(message.profile_id)
        text = ""
        if reason is None and recipient is not None:
            row = row_of(message, recipient, event_of(self.journey, message, self.types))
            text = self._written(message.step, row)
        self.messages.append(RehearsedMessage(message.step, message.not_before, reason, text))

    def _written(self, step: str, row: Mapping[str, Any]) -> str:
        campaign = self.journey.message_campaign(step)
        links = Links(self.settings.public_url, "a rehearsal, not valid")
        try:
            content = compile_templates(campaign, self.templates, links=links).render(row)
        except RenderError as error:
            return f"cannot be written: {error}"
        [channel] = campaign.channels
        if not isinstance(content, EmailContent) or not isinstance(channel, EmailChannel):
            return shown_text(content)
        self.emails.append(RehearsedEmail(step, channel, content))
        attached = "".join(f"\nAttached: {each.name}" for each in content.attachments)
        return f"{content.subject}\n\n{shown_text(content)}{attached}"
