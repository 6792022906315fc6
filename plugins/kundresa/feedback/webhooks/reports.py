"""What a webhook is given and what it makes of it, and how it checks whom it believes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from kundresa.feedback.replies import Reply
from kundresa.spec.vocabulary import Automation, BounceClass, FeedbackKind

MAX_AHEAD = timedelta(minutes=5)
"""What a sender's clock may be ahead of ours."""
MAX_RETOLD_AGE = timedelta(hours=48)
"""How old a provider's signature may be, where it covers all that is said. Providers tell again what was not
taken, for 24 hours (SendGrid) or one (SNS), and may do it with the signature of the first time: what refuses
them after five minutes loses what happened while the service was away. A replay does no harm meanwhile: the
event is recorded under its own id once, for far longer than this."""


class NotBelieved(Exception):
    """The signature is missing, wrong or too old; nothing of the report is used."""


class NotNamed(NotBelieved):
    """User and password are missing or wrong."""


class NotUnderstood(Exception):
    """It is signed, and not what its kind says."""


class NotNow(Exception):
    """It cannot be checked, or done, at this time, through no fault of the report: it is to be told again."""


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a provider tells. ``provider_id`` is its name for the message, ``message_id`` ours;
    one of them is known. ``event_id`` is the same when it tells it again."""

    event_id: str
    kind: FeedbackKind
    channel: str
    message_id: str = ""
    provider_id: str = ""
    bounce_class: BounceClass | None = None
    code: str | None = None
    detail: str | None = None
    occurred_at: datetime | None = None
    user_agent: str = ""
    """Of an open or a click: what asked for it."""
    target: str | None = None
    """Of a click: where it led to."""
    automation: Automation | None = None
    """Of an open or a click: the machine that did it, where the provider knows of one."""
    other_ids: tuple[str, ...] = ()
    """What the provider may have called the message as well; believed of one to any of ``numbers``."""
    numbers: tuple[str, ...] = ()
    """Digits of telephone numbers, one of which the message went to; nothing where it is not known."""


@dataclass(frozen=True, slots=True)
class SuppressionChange:
    """An email address that staff have put on the provider's list of those that get nothing, or have taken
    off it, whatever put it there. It is about no message."""

    address: str
    """As the provider writes it."""
    is_suppressed: bool
    changed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What one call tells. ``skipped`` counts what nothing is done about, whatever it says."""

    reports: Sequence[Report] = ()
    skipped: int = 0
    replies: Sequence[Reply] = ()
    changes: Sequence[SuppressionChange] = ()
    answer: str | None = None
    """XML that the provider wants as an answer in place of ours."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a webhook, as it came in."""

    url: str
    """As the provider called it: below the public URL."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes
    at: datetime


class Webhook(Protocol):
    """What one kind of provider's reports are."""

    def read(self, call: Call) -> Told:
        """Called on a thread of its own, by several at once: it may wait, some seconds at most.

        Raises:
            NotBelieved: before anything of the body is looked at, other than to check it.
            NotUnderstood: when it is signed and cannot be read.
            NotNow: when it cannot be checked now.
        """
        ...


def believe(expected: str, given: str) -> None:
    """
    Raises:
        NotBelieved: when they differ; how much takes the same time however far they agree.
    """
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
        raise NotBelieved("the signature is missing or wrong")


def believe_age(at: datetime, signed_at: datetime | None, oldest: timedelta) -> None:
    """
    Args:
        at: now.
        signed_at: as the signed report says; None when it says nothing that can be read.

    Raises:
        NotBelieved: when it was signed longer ago than ``oldest``, or in the future.
    """
    if signed_at is None:
        raise NotBelieved("the report does not say when it was signed")
    if not -MAX_AHEAD <= at - signed_at <= oldest:
        raise NotBelieved("the report is too old, or its clock is wrong")


def unix_time(text: str) -> datetime | None:
    """Whole seconds since 1970, as texts of digits; None for another text."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 11):
        return None
    return datetime.fromtimestamp(int(text), tz=UTC)


def report_key(name: str, report: Report | Reply) -> str:
    """The feedback key of a report or a reply: the same when it is sent again, whoever sends it."""
    return f"webhook/{name}/{hashlib.sha256(report.event_id.encode()).hexdigest()[:40]}"
