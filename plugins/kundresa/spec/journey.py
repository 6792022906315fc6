"""A journey as its owner writes it in ``dags/journeys/<name>/journey.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from kundresa.spec.campaign import Audience, Campaign, Delivery, Quality, RowBounds
from kundresa.spec.channels import Channel, WebhookChannel
from kundresa.spec.conditions import Condition
from kundresa.spec.events import Property
from kundresa.spec.fields import (
    MAX_VALIDITY,
    MIN_VALIDITY,
    Again,
    Every,
    Language,
    Line,
    Name,
    Names,
    Text,
    Whole,
)
from kundresa.spec.journey_steps import END, MessageStep, Reaction, Shift, Step, Wait, WebhookStep
from kundresa.spec.policies import DEFAULT_RULE_SET
from kundresa.spec.spec import Spec
from kundresa.spec.tracking import Tracking
from kundresa.spec.vocabulary import DeliveryPolicy

MAX_STEPS = 200
MAX_KEY = 200
"""Characters of an instance key: it is in indexes, which hold some 2,700 bytes."""
MOST_PEOPLE = 100_000_000
"""In one period of a rate."""


class EventEntry(Spec):
    """Who has this event enters."""

    event: Name
    """One of ``dags/events.yaml``."""
    where: Condition | None = None
    """What must hold for it, and for the person; None is any."""


class SegmentEntry(Spec):
    """Who enters a segment, or leaves it, enters the journey, as the warehouse sees it at its next build."""

    segment: Name
    change: Literal["entered", "left"] = "entered"
    where: Condition | None = None
    """What must hold for the person; None is everybody."""


DURATIONS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
"""Of the times of a rate."""


class Rate(Spec):
    """How many may enter in a time: the n-th such time begins so much after the reading did."""

    people: Annotated[Whole, Field(ge=1, le=MOST_PEOPLE)]
    """Whose turn comes; who does not enter, by the condition or the rule of re-entrance, has had theirs."""
    per: Literal["minute", "hour", "day"]

    @property
    def duration(self) -> timedelta:
        """How long one of these times is."""
        return DURATIONS[self.per]


class AudienceEntry(Spec):
    """Everybody in a segment enters, at a rate: the segment is *read*. Each has one turn in a reading, in an
    order that is the same whenever it is asked for; who is not in the segment when it comes does not enter,
    and who joins it before theirs does."""

    audience: Name
    """The segment that is read, from the start of the journey on."""
    every: Every
    """``once``, or so long after the reading before began (10m to 366d). One that takes longer is ended
    first."""
    rate: Rate
    """At most so many people in a time. What a time has left over is not added to the next."""
    where: Condition | None = None
    """What must hold for the person; None is everybody."""

    @property
    def segment(self) -> str:
        """As the other entry by segment calls it."""
        return self.audience


class BusinessEventEntry(Spec):
    """An event about nobody lets everybody in a segment in, at a rate: it starts a *reading* of the segment.
    Several are read one after the other, as they came; the rate is that of all together."""

    event: Name
    """One of ``dags/events.yaml`` that is ``about: business``. Its data is the entry's."""
    audience: Name
    """The segment that is read, once for each event."""
    entity: Name | None = None
    """A property of the event: only who is in the segment with that entity enters, as who waits for the
    product that is back. None: everybody in the segment."""
    rate: Rate
    """At most so many people in a time. What a time has left over is not added to the next."""
    where: Condition | None = None
    """What must hold for the event, and for the person; None is any."""


def _by(value: object) -> str | None:
    """``event``, ``segment``, ``audience`` or ``event and audience``; None for none, and for a mapping that
    could be several."""
    if isinstance(value, Mapping):
        found = " and ".join(word for word in ("event", "segment", "audience") if word in value)
        return found if found in ("event", "segment", "audience", "event and audience") else None
    if isinstance(value, EventEntry):
        return "event"
    if isinstance(value, AudienceEntry | BusinessEventEntry):
        return "audience" if isinstance(value, AudienceEntry) else "event and audience"
    return "segment" if isinstance(value, SegmentEntry) else None


_EXPECTED_ENTRY = "expected a mapping with 'event', with 'segment' or with 'audience'"
Entry = Annotated[
    Annotated[EventEntry, Tag("event")]
    | Annotated[SegmentEntry, Tag("segment")]
    | Annotated[AudienceEntry, Tag("audience")]
    | Annotated[BusinessEventEntry, Tag("event and audience")],
    Discriminator(_by, custom_error_type="event_or_segment", custom_error_message=_EXPECTED_ENTRY),
]


class EventExit(Spec):
    """Who has this event leaves."""

    event: Name
    where: Condition | None = None


class SegmentExit(Spec):
    """Who is in this segment leaves."""

    segment: Name


class ReactionExit(Spec):
    """Who does this about a message of the journey leaves. What machines did does not count; a click lets out
    a good minute later, when no scanner can show itself any more."""

    reaction: Reaction
    to: Name | None = None
    """The message step that they react to, in this entry; None is any."""


def _out_by(value: object) -> str | None:
    """``event``, ``segment`` or ``reaction``; None for none, and for a mapping that could be several."""
    if isinstance(value, Mapping):
        found = [word for word in ("event", "segment", "reaction") if word in value]
        return found[0] if len(found) == 1 else None
    for word, model in (("event", EventExit), ("segment", SegmentExit), ("reaction", ReactionExit)):
        if isinstance(value, model):
            return word
    return None


_EXPECTED_EXIT = "expected a mapping with 'event', with 'segment' or with 'reaction'"
Exit = Annotated[
    Annotated[EventExit, Tag("event")]
    | Annotated[SegmentExit, Tag("segment")]
    | Annotated[ReactionExit, Tag("reaction")],
    Discriminator(_out_by, custom_error_type="event_or_segment", custom_error_message=_EXPECTED_EXIT),
]


class Journey(Spec):
    """One journey. Its name is its folder's."""

    name: Name
    owner: Line
    """Who answers for it: a team or an address."""
    description: Text
    """What it is for; shown in Airflow."""
    entry: Entry
    """What lets a person in."""
    reentrance: Again = "never"
    """Whether who has been in it may enter again: never, always, or this long after they entered (10m to
    366d). Nobody enters who is inside, with the same ``instance_key``."""
    instance_key: Name | None = None
    """A property of the entry event, for example a booking's id, of 200 characters at most: with each of its
    values a person is in the journey by itself. None: once. For a segment of orders or the like, also for one
    that an event lets in, it is the order's id by itself."""
    max_instances: Annotated[Whole, Field(ge=1, le=100)] = 10
    """Under how many keys a person may be inside at once: 1 to 100. More do not enter, and are counted."""
    exit: Annotated[tuple[Exit, ...], Field(max_length=20)] = ()
    """Who fits one of them leaves, wherever they are."""
    time_out: Wait = timedelta(days=91)
    """Who is still inside so long after entering leaves: 1s to 366d. An event that comes as late as that lets
    nobody in."""
    lateness: Shift = timedelta(0)
    """How much later than it happened an event may arrive and still count, at the time at which it happened;
    one that is later is left out, and counted. A ``wait_for`` waits this much longer for it. 0s asks nothing
    of events and waits no longer."""
    topic: Name
    """What its messages are about; consent is per channel and topic."""
    rule_sets: Names = (DEFAULT_RULE_SET,)
    """The sets of caps in ``dags/policies.yaml`` that hold for its messages. [] is none."""
    language: Language = "en"
    """Of the templates that name none."""
    tracking: Tracking = Tracking()
    """What is measured of the people who get an email. Nothing, unless it is asked for."""
    policy: DeliveryPolicy = DeliveryPolicy.AT_MOST_ONCE
    """What happens to a message whose outcome a crash has hidden."""
    steps: Annotated[Mapping[Name, Step], Field(min_length=1, max_length=MAX_STEPS)]
    """By name; who enters begins with the first."""

    @property
    def entry_event(self) -> str | None:
        """The declared event whose data an entry has; None where a segment lets people in by itself."""
        return self.entry.event if isinstance(self.entry, EventEntry | BusinessEventEntry) else None

    @property
    def messages(self) -> dict[str, MessageStep]:
        """The steps that send, by name, in their order."""
        return {name: step for name, step in self.steps.items() if isinstance(step, MessageStep)}

    @property
    def webhooks(self) -> dict[str, WebhookStep]:
        """The steps that call other systems, by name, in their order."""
        return {name: step for name, step in self.steps.items() if isinstance(step, WebhookStep)}

    @property
    def answers(self) -> dict[str, Property]:
        """What those may add to the data of an entry."""
        return {name: each for step in self.webhooks.values() for name, each in step.response.items()}

    @property
    def first(self) -> str:
        """The step that who enters begins with."""
        return next(iter(self.steps))

    def follows(self, name: str) -> str:
        """The step below one in the file; ``end`` after the last."""
        names = [*self.steps]
        below = names.index(name) + 1
        return names[below] if below < len(names) else END

    def message_campaign(self, name: str) -> Campaign:
        """A message step as a campaign of that one message: what templates are written and links are signed
        with. It has no audience and no schedule of its own.

        Raises:
            KeyError: when there is no such message step.
        """
        step = self.messages[name]
        return self._as_campaign(step.channel, step.topic, step.valid_for)

    def webhook_campaign(self, name: str) -> Campaign:
        """The same of a webhook step.

        Raises:
            KeyError: when there is no such webhook step.
        """
        step = self.webhooks[name]
        channel = WebhookChannel(kind="webhook", account=step.account, template=step.template)
        return self._as_campaign(channel, None, step.valid_for)

    def leaves_out(self, lag: timedelta) -> bool:
        """Whether an event that came so much later than it happened is too late."""
        return bool(self.lateness) and lag > self.lateness

    def _as_campaign(self, channel: Channel, topic: str | None, valid_for: timedelta) -> Campaign:
        values: dict[str, Any] = {
            "name": self.name,
            "owner": self.owner,
            "description": self.description,
            "schedule": "manual",
            "audience": Audience(include=(self.name,)),
            "topic": topic or self.topic,
            "channels": (channel,),
            "rule_sets": self.rule_sets,
            "language": self.language,
            "tracking": self.tracking,
            "quality": Quality(rows=RowBounds(min=0, max=1_000_000_000)),
            "delivery": Delivery(
                policy=self.policy, valid_for=max(MIN_VALIDITY, min(MAX_VALIDITY, valid_for))
            ),
        }
        return Campaign.model_validate(values)
