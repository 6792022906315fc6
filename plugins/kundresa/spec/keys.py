"""Keys that are derived, never drawn: the same run and the same message have the same key after any
retry, on any machine."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime

SINGLE_STEP = "campaign"
"""The step of a campaign's only message; a journey names its own."""

SEED_BATCH = 0
"""The batch of a run's seeds; people are in batches from 1."""

MESSAGE_MARK = "kundresa-message"
"""What a provider of email is told our message id under, that is to give it back with its reports."""

_MESSAGE_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{32})(?![0-9a-f])", re.IGNORECASE)
"""Whatever its case: some servers change that of an address."""


def run_key(campaign: str, logical_at: datetime) -> str:
    """``<campaign>--<UTC instant>``, safe in a file name: ``winback--20261123T090000Z``.

    Microseconds show when there are any, so that two manual runs of one second stay two runs.

    Raises:
        ValueError: when ``logical_at`` has no time zone; a naive time would key by the machine's.
    """
    if logical_at.tzinfo is None:
        raise ValueError(f"logical_at {logical_at!r} has no time zone")
    instant = logical_at.astimezone(UTC)
    fraction = f".{instant.microsecond:06d}" if instant.microsecond else ""
    return f"{campaign}--{instant:%Y%m%dT%H%M%S}{fraction}Z"


def account_key(journey: str, reached_at: datetime) -> str:
    """The day of a journey that a message is accounted for under: ``journey.<name>--<UTC midnight>``. No
    run has such a key: no name has a dot, and a standing run's has two.

    Raises:
        ValueError: when ``reached_at`` has no time zone.
    """
    if reached_at.tzinfo is None:
        raise ValueError(f"reached_at {reached_at!r} has no time zone")
    day = reached_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return run_key(f"journey.{journey}", day)


def journey_day_of(run_key: str) -> tuple[str, datetime] | None:
    """The journey and the day, its midnight in UTC, of an :func:`account_key`; None when it is none."""
    name, at = run_key.rpartition("--")[0], logical_at_of(run_key)
    if at is None or not name.startswith("journey.") or account_key(name[8:], at) != run_key:
        return None
    return name[8:], at


_TEST = "-test"
"""No journey's name has a dash."""
_NAME_OF_TEST = re.compile(rf"([a-z][a-z0-9_]*){_TEST}([1-9][0-9]*)", re.ASCII)


def name_of_test(journey: str, number: int) -> str:
    """What the n-th test of a journey is called wherever a journey is named: ``<journey>-test<number>``."""
    return f"{journey}{_TEST}{number}"


def as_test(name: str) -> tuple[str, int] | None:
    """The journey, and the number, of a :func:`name_of_test`; None for a journey that is no test."""
    found = _NAME_OF_TEST.fullmatch(name)
    return (found[1], int(found[2])) if found else None


def event_of_test(journey: str, event_type: str) -> str:
    """The type of an event that only a test of the journey hears: ``<journey>-test:<type>``. No declared type
    has a colon, so that nothing else knows it."""
    return f"{journey}{_TEST}:{event_type}"


def plain_event(event_type: str) -> str:
    """The type that an :func:`event_of_test` stands for; of any other itself."""
    return event_type.rpartition(f"{_TEST}:")[2]


def logical_at_of(run_key: str) -> datetime | None:
    """The instant in a :func:`run_key`; None when it has none, as the key of a plan."""
    instant = run_key.rpartition("--")[2]
    for form in ("%Y%m%dT%H%M%SZ", "%Y%m%dT%H%M%S.%fZ"):
        try:
            return datetime.strptime(instant, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def message_id(run_key: str, profile_id: str, entity_id: str, channel: str, step: str) -> str:
    """32 hex digits: MD5 over the parts joined by ``|``, as ``decisions.sql`` computes it too.

    MD5 names, it does not protect: the links in a message are signed separately.
    """
    text = "|".join((run_key, profile_id, entity_id, channel, step))
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def message_ids_in(text: str) -> list[str]:
    """What may be a :func:`message_id` in a text, such as a Message-ID or an address, in lower case."""
    return [found.lower() for found in _MESSAGE_ID.findall(text)]


def request_id(caller: str, given_id: str) -> str:
    """32 hex digits: what a caller of ``POST /messages`` has asked for, by the id that they gave it. The same
    id of another caller is another request."""
    return hashlib.sha256(f"{caller}|{given_id}".encode()).hexdigest()[:32]


STRANGER = "stranger-"
"""What the id of somebody without a profile begins with."""


def stranger_id(secret: str, namespace: str, address: str) -> str:
    """What stands for the person behind an address that no profile has: the same for one address, and no
    way back to it without the secret."""
    named = f"{namespace}|{address}".encode()
    return f"{STRANGER}{hmac.new(secret.encode(), named, hashlib.sha256).hexdigest()[:32]}"
