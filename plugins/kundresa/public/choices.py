"""What one person gets, by topic and channel, and what an answer to that changes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from kundresa.spec.policies import Policies, Topic
from kundresa.spec.vocabulary import ChannelKind, Consent
from kundresa.store import Answer
from kundresa.warehouse import Person

EVERY_TOPIC = "*"
_UNLISTED = Topic()

Answers = Mapping[str, Mapping[str, Answer]]
"""Channel → topic → what the person said last on our own pages."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One topic on one channel. ``is_wanted``: a message about it would not be stopped for want of
    consent."""

    topic: str
    channel: str
    is_exempt: bool
    is_wanted: bool
    is_denied: bool
    """The person said no to this topic by name, or to all, and has not said yes since."""

    @property
    def key(self) -> str:
        """How forms name it."""
        return f"{self.topic}:{self.channel}"


def channels_of(person: Person | None, channel: str) -> list[str]:
    """The channels to be asked about: those on which the person has an address, and the message's own."""
    known = [each.value for each in ChannelKind]
    return sorted({*(person.addresses if person else ()), channel} & set(known), key=known.index)


def topics_of(policies: Policies, person: Person | None, topic: str) -> list[str]:
    """The topics to be asked about: those of the policies, what the person was asked about before, and the
    message's own; in the order of the policies."""
    asked = {each for _, each in person.consents} if person else set()
    others = sorted(({*asked, topic} - {EVERY_TOPIC}) - set(policies.topics))
    return [*policies.topics, *others]


def declared_channels(policies: Policies) -> set[str]:
    """Those that topics of the policies say for themselves."""
    return {each.value for topic in policies.topics.values() for each in topic.channels or ()}


def choices_of(
    policies: Policies, person: Person | None, answers: Answers, *, channel: str, topic: str
) -> list[Choice]:
    """Every topic on every channel that people are asked about it on, by topic. ``channel`` and ``topic`` are
    those of the message that led here, and are always among them."""
    everywhere = channels_of(person, channel)
    return [
        _choice(policies.topics.get(name, _UNLISTED), name, on, person, answers.get(on, {}))
        for name in topics_of(policies, person, topic)
        for on in _asked(policies, name, everywhere, own=channel if name == topic else None)
    ]


def _asked(policies: Policies, topic: str, everywhere: list[str], *, own: str | None) -> list[str]:
    declared = policies.topics.get(topic, _UNLISTED).channels
    if declared is None:
        return everywhere
    return [each.value for each in ChannelKind if each in declared or each.value == own]


def label_of(policies: Policies, topic: str, language: str) -> str:
    """What a person reads for a topic: its label in the language, else in English, else its name."""
    labels = policies.topics.get(topic, _UNLISTED).labels
    return labels.get(language) or labels.get("en") or topic.replace("_", " ").capitalize()


def changes(
    choices: Iterable[Choice], *, shown: Collection[str], ticked: Collection[str]
) -> tuple[list[Choice], list[Choice]]:
    """(those to say yes to, those to say no to), of the choices that the form has shown: one that it did
    not show is not taken for unticked."""
    asked = [choice for choice in choices if choice.key in shown]
    return (
        [each for each in asked if each.key in ticked and not each.is_wanted],
        [each for each in asked if each.key not in ticked and each.is_wanted],
    )


def _choice(
    declared: Topic, topic: str, channel: str, person: Person | None, answers: Mapping[str, Answer]
) -> Choice:
    """The rule of the decision models (int_decisions__answers): the latest yes against the latest no; a no to
    everything does not count for what is exempt from consent."""
    is_exempt = declared.consent is Consent.EXEMPT
    said: list[tuple[str, str]] = []
    for name in (topic,) if is_exempt else (topic, EVERY_TOPIC):
        if name in answers:
            said.append((answers[name].status, _comparable(answers[name].recorded_at.isoformat())))
        if person is not None and (channel, name) in person.consents:
            status, recorded_at = person.consents[channel, name]
            said.append((status, _comparable(recorded_at)))
    granted = max((at for status, at in said if status == "yes"), default="")
    denied = max((at for status, at in said if status == "no"), default="")
    is_denied = bool(denied) and granted <= denied
    is_wanted = bool(granted) and not is_denied if declared.consent is Consent.YES else not is_denied
    return Choice(topic, channel, is_exempt, is_wanted, is_denied)


def _comparable(instant: str) -> str:
    """UTC in one form, so that texts compare as instants do: ``…T09:00:00.000000``."""
    text = instant.removesuffix("Z").removesuffix("+00:00")
    return text if "." in text else f"{text}.000000"
