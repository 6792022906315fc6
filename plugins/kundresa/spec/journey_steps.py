"""The steps of a journey."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from kundresa.spec.channels import DirectMailChannel, EmailChannel, PushChannel, SmsChannel
from kundresa.spec.collect import Collect
from kundresa.spec.conditions import Condition, Value
from kundresa.spec.events import Property
from kundresa.spec.fields import (
    DurationText,
    Name,
    Names,
    TimeZone,
    Whole,
    first_repeated,
    format_duration,
    misplaced,
    parse_duration,
)
from kundresa.spec.journey_outcomes import NOT_SENT, SENT, Answer, Outcome
from kundresa.spec.send_time import TimeOfDay
from kundresa.spec.spec import Spec

END = "end"
"""As the name of a step to go to: the journey is over for this person."""
MIN_WAIT = timedelta(seconds=1)
MAX_WAIT = timedelta(days=366)
_ZERO = timedelta(0)


def _bounded_wait(value: timedelta) -> timedelta:
    if not MIN_WAIT <= value <= MAX_WAIT or value.microseconds:
        raise ValueError("expected from 1s to 366d")
    return value


def _bounded_shift(value: timedelta) -> timedelta:
    if not _ZERO <= value <= MAX_WAIT or value.microseconds:
        raise ValueError("expected from 0s to 366d")
    return value


Wait = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=DurationText),
    AfterValidator(_bounded_wait),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
"""1s to 366d."""
Shift = Annotated[
    timedelta,
    BeforeValidator(parse_duration, json_schema_input_type=DurationText),
    AfterValidator(_bounded_shift),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
]
"""0s to 366d."""


class _Onward(Spec):
    """A step that goes on to one other."""

    next: Name | None = None
    """The step that follows, or ``end``; None is the one below it in the file, after the last the end."""


class WaitStep(_Onward):
    """Waits for a while."""

    kind: Literal["wait"]
    duration: Wait
    """1s to 366d, from the moment at which the step is reached."""


class WaitUntilStep(_Onward):
    """Waits until a moment that the event or the profile names, or until a time of day."""

    kind: Literal["wait_until"]
    event: Name | None = None
    """A property of the event, an instant or a day, from which the moment is counted."""
    profile: Name | None = None
    """A column of ``profiles`` instead. Neither: the moment at which the step is reached."""
    plus: Shift = _ZERO
    """How long after it: 0s to 366d."""
    minus: Shift = _ZERO
    """How long before it."""
    at: TimeOfDay | None = None
    """The first time at which clocks show this, from that moment on; of a day, on that day."""
    time_zone: Annotated[Literal["person"] | TimeZone, Field(union_mode="left_to_right")] = "person"
    """Whose clocks: an IANA zone, or ``person`` for each person's own, UTC where it is not known."""
    missing: Name | None = None
    """Where to go when there is no such value; None is as ``next``, at once."""
    past: Name | None = None
    """Where to go when the moment is over already; None is as ``next``, at once."""

    @model_validator(mode="after")
    def _one_moment(self) -> WaitUntilStep:
        if self.event is not None and self.profile is not None:
            raise misplaced(("profile",), "expected one of 'event' and 'profile'")
        if self.event is None and self.profile is None and self.at is None:
            raise misplaced((), "expected 'event', 'profile' or 'at': until when?")
        if self.plus and self.minus:
            raise misplaced(("minus",), "expected one of 'plus' and 'minus'")
        return self


Reaction = Literal["delivered", "bounced", "complained", "opened", "clicked", "unsubscribed", "replied"]


class WaitForStep(_Onward):
    """Waits for an event of the person, or for their reaction to a message, and goes on without it after a
    time."""

    kind: Literal["wait_for"]
    event: Name | None = None
    """One of ``dags/events.yaml``."""
    where: Condition | None = None
    """What must hold for the event; None is any."""
    reaction: Reaction | None = None
    """What a person did about a message, instead of an event; what machines did does not count. A click is
    heard a good minute later, when no scanner can show itself any more, and counts at its time. One of before
    the step is reached counts too."""
    to: Name | None = None
    """The message step that they react to, in this entry."""
    keep: Names = ()
    """Properties of the event that the entry takes over: from then on conditions and templates read what this
    event says of them, and nothing where it says nothing. With ``next`` back to this step its latest event
    counts, and each begins the wait anew."""
    within: Wait
    """How long: 1s to 366d. The time-out is taken once the journey's ``lateness`` has passed as well, and
    of a click the minute after which it is known."""
    timeout: Name
    """The step to go to when it has not come."""

    @model_validator(mode="after")
    def _one_thing(self) -> WaitForStep:
        if (self.event is None) == (self.reaction is None):
            raise misplaced((), "expected exactly one of 'event' and 'reaction'")
        if (self.reaction is None) != (self.to is None):
            raise misplaced(("to",), "a reaction is 'to' a message step, and nothing else is")
        if self.reaction is not None and self.where is not None:
            raise misplaced(("where",), "a reaction has no properties to ask for")
        if self.reaction is not None and self.keep:
            raise misplaced(("keep",), "a reaction has no properties to keep")
        return self


class Path(Spec):
    """One way out of a condition."""

    when: Condition
    go: Name
    """The step to go to, or ``end``."""


class ConditionStep(Spec):
    """Takes the first path whose condition holds."""

    kind: Literal["condition"]
    paths: Annotated[tuple[Path, ...], Field(min_length=1, max_length=50)]
    otherwise: Name
    """The step for who fits none of them."""


class Share(Spec):
    """One way out of a split."""

    name: Name
    """For reports; part of no hash."""
    weight: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Its share is its weight among all weights."""
    go: Name
    """The step to go to, or ``end``."""


def _distinct_shares(shares: tuple[Share, ...]) -> tuple[Share, ...]:
    repeated = first_repeated([each.name for each in shares])
    if repeated:
        raise misplaced((repeated[0], "name"), f"there is a share '{repeated[1]}' already")
    return shares


class SplitStep(Spec):
    """Sends shares of the people different ways, by a salted hash of the person: who comes here again goes
    the same way again."""

    kind: Literal["split"]
    shares: Annotated[tuple[Share, ...], Field(min_length=2, max_length=20), AfterValidator(_distinct_shares)]


class Arm(Spec):
    """One way out of an experiment."""

    name: Name
    """For reports; unique among all experiments of the journey, part of no hash."""
    weight: Annotated[Whole, Field(ge=1, le=1000)] = 1
    """Its share is its weight among all weights."""
    go: Name
    """The step to go to, or ``end``."""


def _distinct_arms(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    repeated = first_repeated([each.name for each in arms])
    if repeated:
        raise misplaced((repeated[0], "name"), f"there is a variant '{repeated[1]}' already")
    return arms


class ExperimentStep(Spec):
    """Sends shares of the people different ways to compare them: by a salted hash of the person, as those of
    campaigns do. The variant is recorded, and every message that follows is counted under it."""

    kind: Literal["experiment"]
    name: Name | None = None
    """Part of the hash: a new name shuffles people anew. None: the step's name."""
    variants: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=20), AfterValidator(_distinct_arms)]


Channel = Annotated[EmailChannel | SmsChannel | PushChannel | DirectMailChannel, Field(discriminator="kind")]


class MessageStep(_Onward):
    """Sends a message and waits for what becomes of it."""

    kind: Literal["message"]
    channel: Channel
    """What is sent, and through which account."""
    topic: Name | None = None
    """What it is about; None is the journey's."""
    quiet_hours: Literal["delay", "skip"] = "delay"
    """What becomes of it in quiet hours: it leaves at their end, or not at all (``out_of_hours``). They hold
    no letters back: a print file wakes nobody, and has a time of its own."""
    collect: Collect | None = None
    """Of letters (``direct_mail``), which need it: they wait for this time, when those of the step are put
    into one print file. Then it is decided who gets one."""
    no_room: Literal["delay", "skip"] = "delay"
    """What becomes of it where a warm-up or a capacity has no room left: it leaves in the first period that
    has, outside of quiet hours, or not at all (``over_warm_up``, ``over_capacity``). Where none has before
    ``valid_for`` is over, it does not leave either way."""
    valid_for: Wait = timedelta(hours=24)
    """How long after the step is reached (letters: after the time at which their file is made) it may leave;
    then it is not sent (``run_expired``)."""
    on: Mapping[Outcome, Name] = {}
    """Where to go, by what became of it: a reason, or ``sent``, ``delayed`` (sent, after quiet hours or when
    there was room) or ``not_sent``. The most exact one counts; without, the journey goes on to ``next``."""

    @model_validator(mode="after")
    def _letters_are_collected(self) -> MessageStep:
        is_letter = isinstance(self.channel, DirectMailChannel)
        if is_letter and self.collect is None:
            raise misplaced(("channel", "kind"), "direct_mail needs 'collect': when is its print file made?")
        if not is_letter and self.collect is not None:
            raise misplaced(("collect",), "only direct_mail is collected")
        if is_letter and self.quiet_hours == "skip":
            raise misplaced(("quiet_hours",), "quiet hours hold no letters back")
        return self

    def leaves_from(self, instant: datetime) -> datetime:
        """The first moment from one on at which its messages may be decided: for letters that of a file."""
        return instant if self.collect is None else self.collect.next(instant)

    def after(self, outcome: str, reason: str | None) -> str | None:
        """The step for what became of the message; None is ``next``.

        Args:
            outcome: one of ``OUTCOMES``.
            reason: why it was not sent.
        """
        general = SENT
        words = [reason, outcome] if outcome == NOT_SENT else [outcome, general]
        return next((self.on[word] for word in words if word in self.on), None)  # type: ignore[index]


class WebhookStep(_Onward):
    """Calls another system about the person and waits for its answer, of which it keeps what is declared.
    The call is signed, tried again while it is valid, and may arrive twice, with one ``Idempotency-Key``."""

    kind: Literal["webhook"]
    account: Name
    """Receiver: the Airflow connection ``kundresa_<account>``; its host is one of ``webhook_hosts`` in
    ``dags/policies.yaml``."""
    template: Name
    """Stem of one template beside the spec: ``<stem>.json.j2``, the JSON object that is sent."""
    response: Annotated[Mapping[Name, Property], Field(max_length=50)] = {}
    """Fields of the answer, a JSON object, that are kept: from then on conditions and templates of this entry
    read them like properties of its event. Others are left out. An answer without a required one, or with one
    of another kind, is none (``answer_invalid``)."""
    valid_for: Wait = timedelta(hours=1)
    """How long after the step is reached it is tried: 1s to 366d."""
    on: Mapping[Answer, Name] = {}
    """Where to go, by what became of it: a reason, or ``answered`` or ``failed``. The most exact one counts;
    without, the journey goes on to ``next``."""

    def after(self, outcome: str, reason: str | None) -> str | None:
        """The step for what became of the call; None is ``next``."""
        return next((self.on[word] for word in (reason, outcome) if word in self.on), None)  # type: ignore[index]


class UpdateStep(_Onward):
    """Sets a trait of the person. It holds for conditions of all journeys from the next step on; the
    warehouse has it in ``journey_traits`` from its next build on."""

    kind: Literal["update"]
    trait: Name
    value: Value | None = None
    """What it becomes."""
    event: Name | None = None
    """The property of the event that it becomes instead."""

    @model_validator(mode="after")
    def _one_value(self) -> UpdateStep:
        if (self.value is None) == (self.event is None):
            raise misplaced((), "expected exactly one of 'value' and 'event'")
        return self


class JumpStep(_Onward):
    """Lets the person enter another journey, as its rule of re-entrance allows, and goes on in this one."""

    kind: Literal["jump"]
    journey: Name


class EndStep(Spec):
    """The journey is over for this person."""

    kind: Literal["end"]


AnyStep = (
    WaitStep
    | WaitUntilStep
    | WaitForStep
    | ConditionStep
    | SplitStep
    | ExperimentStep
    | MessageStep
    | WebhookStep
    | UpdateStep
    | JumpStep
    | EndStep
)
Step = Annotated[AnyStep, Field(discriminator="kind")]


def targets(step: AnyStep) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The steps that a step names, each with the path of the key that does."""
    for key in ("next", "timeout", "otherwise", "missing", "past"):
        name = getattr(step, key, None)
        if name is not None:
            yield (key,), name
    if isinstance(step, ConditionStep):
        yield from ((("paths", at, "go"), each.go) for at, each in enumerate(step.paths))
    if isinstance(step, SplitStep):
        yield from ((("shares", at, "go"), each.go) for at, each in enumerate(step.shares))
    if isinstance(step, ExperimentStep):
        yield from ((("variants", at, "go"), each.go) for at, each in enumerate(step.variants))
    if isinstance(step, MessageStep | WebhookStep):
        yield from ((("on", outcome), name) for outcome, name in step.on.items())


def falls_through(step: AnyStep) -> bool:
    """Whether the step below it in the file follows."""
    return isinstance(step, _Onward) and step.next is None
