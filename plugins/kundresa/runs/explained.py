"""What explanations have in common: of whom they are, one line of the account, and the answers of then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kundresa import warehouse
from kundresa.runs.rules_told import RuleResult
from kundresa.settings import Settings
from kundresa.spec.addresses import ADDRESS_NAMESPACES, normalised_address
from kundresa.spec.keys import STRANGER, stranger_id
from kundresa.spec.vocabulary import Consent
from kundresa.store import CameBack, OptOut, open_store
from kundresa.store.opt_outs import EVERY_TOPIC


class PersonNotFound(Exception):
    """No profile has this id or identifier."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One line of the account: what was decided about a person on one channel, and what became of it.

    ``considered_by`` are the included segments that the person was in then, each with since when. The address
    is masked. ``send_at_local`` is by the person's own clock; None when their zone is unknown.
    """

    run_key: str
    campaign: str
    """``journey <name>`` of a journey."""
    profile_id: str
    entity_id: str
    channel: str
    outcome: str
    reason: str | None
    variant: str | None
    """The one that the message was written in, or will be as far as is known."""
    decided_variant: str | None
    """Another where a champion was sent."""
    address: str | None
    decided_at: datetime
    send_at: datetime
    send_at_local: str | None
    batch_number: int | None
    considered_by: tuple[dict[str, Any], ...]
    rules: tuple[RuleResult, ...]
    delivery: dict[str, Any] | None
    came_back: tuple[CameBack, ...] = ()
    """About the message, in the order in which it happened: bounces, opens, clicks and the like."""
    step: str | None = None
    """The journey's, that the person had come to."""


def one_profile(settings: Settings, person: str) -> str:
    """The profile that a text stands for: its id, or an identifier or address of any kind.

    Raises:
        PersonNotFound: when nobody, or more than one profile, answers to it.
        NothingPublished: before the first build.
    """
    profiles = warehouse.find_profiles(settings, person)
    if len(profiles) != 1:
        which = f"{len(profiles)} profiles: {', '.join(sorted(profiles)[:5])}" if profiles else "nobody"
        raise PersonNotFound(f"{person!r} is {which}")
    return profiles[0]


def one_person(settings: Settings, person: str) -> str:
    """As :func:`one_profile`. Where no profile alone answers to a text, it is the stranger to whom messages
    went at that address (``POST /messages``), if there is one, or their id.

    Raises:
        PersonNotFound: when it is nobody either way.
        NothingPublished: before the first build.
    """
    try:
        return one_profile(settings, person)
    except PersonNotFound:
        with open_store(settings.store_url) as store:
            for stranger in _strangers(settings, person.strip()):
                if next(iter(store.journey_messages.of(stranger)), None) is not None:
                    return stranger
        raise


def every_id(settings: Settings, profile_id: str) -> list[str]:
    """A profile's id, and then those of who it has been merged with, in order."""
    return warehouse.PeopleIndex(settings).ids_of(profile_id)


def _strangers(settings: Settings, text: str) -> Iterator[str]:
    """Who a text may be where no profile has it."""
    if text.startswith(STRANGER):
        yield text
    for namespace, channel in ADDRESS_NAMESPACES.items():
        # Without the secret that their ids are made with nobody can be told by an address.
        with suppress(ValueError):
            if settings.secret:
                address = normalised_address(text.removeprefix(f"{namespace}:"), channel)
                yield stranger_id(settings.secret, namespace, address)


def as_answer(opt_out: OptOut) -> dict[str, Any]:
    return {
        "channel": opt_out.channel,
        "topic": opt_out.topic,
        "status": "no",
        "source": opt_out.source,
        "recorded_at": opt_out.recorded_at,
    }


def answers_then(
    answers: Sequence[Mapping[str, Any]],
    topic: str,
    channel: str,
    consent: Consent,
    decided_at: datetime,
) -> list[Mapping[str, Any]]:
    """Those that count, by the rules of ``int_decisions__answers``, and that were there then, the latest
    first. A no recorded since is not one that decided."""
    topics = {topic} if consent is Consent.EXEMPT else {topic, EVERY_TOPIC}
    counting = [
        each
        for each in answers
        if each["channel"] == channel
        and each["topic"] in topics
        and each["recorded_at"].astimezone(UTC) <= decided_at
    ]
    return sorted(counting, key=lambda each: each["recorded_at"], reverse=True)
