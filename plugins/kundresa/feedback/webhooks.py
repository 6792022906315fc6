"""Reports that providers send: each with a signature over what it says, and nothing believed without.

``twilio``, status callbacks of text messages, and what people answer to them: ``X-Twilio-Signature`` is the
base64 HMAC-SHA-1 of the URL and the sorted parameters, keyed by the account's auth token.

``hmac``, events of any channel as JSON, as a provider's bridge sends them: ``X-Signature`` is the hex
HMAC-SHA-256 of ``X-Timestamp``, a dot and the body; five minutes old at most. See ``SignedEvents``.

``KUNDRESA_WEBHOOKS`` names them: ``texts=twilio:<auth token>,mail=hmac:<secret>``. Each is answered at
``/webhooks/<name>``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import parse_qsl

from kundresa.feedback.replies import Reply
from kundresa.settings import SettingsError
from kundresa.spec.bounces import TWILIO_CODES, classify
from kundresa.spec.events import parse_instant
from kundresa.spec.problems import alternatives
from kundresa.spec.vocabulary import BounceClass, ChannelKind, FeedbackKind

MAX_AGE = timedelta(minutes=5)
_ENTRY = re.compile(r"([a-z][a-z0-9_]{0,40})=([a-z]+):(\S{8,})\Z")


class NotBelieved(Exception):
    """The signature is missing, wrong or too old; nothing of the report is used."""


class NotUnderstood(Exception):
    """It is signed, and not what its kind says."""


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
    other_ids: tuple[str, ...] = ()
    """What the provider may have called the message as well; believed of one to any of ``numbers``."""
    numbers: tuple[str, ...] = ()
    """Digits of telephone numbers, one of which the message went to; nothing where it is not known."""


@dataclass(frozen=True, slots=True)
class Told:
    """What one call tells. ``skipped`` counts what nothing is done about, whatever it says."""

    reports: Sequence[Report] = ()
    skipped: int = 0
    replies: Sequence[Reply] = ()
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
        """
        Raises:
            NotBelieved: before anything of the body is looked at, other than to check it.
            NotUnderstood: when it is signed and cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class TwilioStatus:
    """Status callbacks (Twilio, "Track the Message Status of Outbound Messages"; security as in "Validating
    Signatures"): form fields MessageSid, MessageStatus, ErrorCode. Messages that come in ("Twilio's Request
    to your Webhook URL"): MessageSid, From, Body, OptOutType."""

    secret: str = field(repr=False)

    def read(self, call: Call) -> Told:
        pairs = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=200)
        signed = call.url + "".join(name + value for name, value in sorted(set(pairs)))
        digest = hmac.digest(self.secret.encode(), signed.encode(), "sha1")
        _believe(base64.b64encode(digest).decode(), call.headers.get("x-twilio-signature", ""))
        values = dict(pairs)
        sid, status = values.get("MessageSid", ""), values.get("MessageStatus", "").lower()
        if sid and sid.isprintable() and not status and "Body" in values and values.get("From"):
            # What comes over WhatsApp and the like is no text message.
            is_text = ":" not in values["From"]
            reply = Reply(sid, values["From"], values["Body"], is_no=values.get("OptOutType") == "STOP")
            return Told(replies=[reply] if is_text else [], skipped=not is_text, answer=_NO_ANSWER)
        if not sid or not status or not f"{sid}{status}".isprintable():
            raise NotUnderstood("MessageSid and MessageStatus are needed, or MessageSid, From and Body")
        code = values.get("ErrorCode") or None
        if status == "delivered":
            return Told([Report(f"{sid}/{status}", FeedbackKind.DELIVERED, "sms", provider_id=sid)])
        if status in ("undelivered", "failed"):
            bounced = TWILIO_CODES.get(code or "", BounceClass.UNDETERMINED)
            report = Report(
                f"{sid}/{status}",
                FeedbackKind.BOUNCED,
                "sms",
                provider_id=sid,
                bounce_class=bounced,
                code=code,
            )
            return Told([report])
        return Told(skipped=1)  # accepted, queued, sending, sent: nothing that the ledger does not know


_NO_ANSWER = '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
"""TwiML: nothing is texted back."""


@dataclass(frozen=True, slots=True)
class SignedEvents:
    """Events as a JSON array of objects:

    | member | is |
    |---|---|
    | ``event_id`` | the provider's own; the same when it tells it again |
    | ``event`` | delivered, bounced, complained, opened, clicked, unsubscribed, of sms replied; or skipped |
    | ``channel`` | email (when left out), sms, push, direct_mail or webhook |
    | ``message_id`` or ``provider_id`` | ours, or the provider's (of emails ours alone is known) |
    | ``time`` | optional, when it happened: ISO 8601 with a time zone |
    | ``status``, ``diagnostic`` | optional, of a bounce: its code and its words |
    | ``bounce_class`` | optional: hard, soft, block or undetermined; else by status and words |
    | ``user_agent``, ``url`` | of an open or a click; without a user agent it counts as a machine's |
    | ``from``, ``text`` | of a reply, in place of the message: the person's number and words |

    An event that is known and lacks what it needs refuses the call: its bridge is broken, and must be told.
    """

    secret: str = field(repr=False)

    def read(self, call: Call) -> Told:
        timestamp = call.headers.get("x-timestamp", "")
        digest = hmac.digest(self.secret.encode(), timestamp.encode() + b"." + call.body, "sha256")
        _believe(digest.hex(), call.headers.get("x-signature", ""))
        if not timestamp.isdecimal() or len(timestamp) > 12:
            raise NotBelieved("X-Timestamp is in seconds since 1970")
        if abs(call.at - datetime.fromtimestamp(int(timestamp), tz=UTC)) > MAX_AGE:
            raise NotBelieved("the report is too old, or its clock is wrong")
        try:
            events = json.loads(call.body)
        except (ValueError, RecursionError):
            raise NotUnderstood("the body is not JSON") from None
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise NotUnderstood("expected an array of objects")
        reports = [_event(event) for event in events if event.get("event") in REPORTED_KINDS]
        replies = [_reply(event) for event in events if _is_reply(event)]
        return Told(reports, len(events) - len(reports) - len(replies), replies)


REPORTED_KINDS = tuple(kind for kind in FeedbackKind if kind is not FeedbackKind.REPLIED)
"""What ``SignedEvents`` tells of messages. A reply to an email is a mail; one to a text has its form."""
_DEAD_TOKENS = frozenset({"unregistered", "expiredtoken"})
"""What FCM and APNs (lower-case) say of a token that no device answers to any more."""

_FREE_TEXTS = ("diagnostic", "user_agent", "url")
"""What may hold line breaks: they become spaces. Other texts with such characters count as left out."""


def _event(event: Mapping[str, Any]) -> Report:
    given = {name: value for name, value in event.items() if isinstance(value, str)}
    texts = {name: value for name, value in given.items() if value.isprintable()}
    texts |= {name: _printable(given[name]) for name in _FREE_TEXTS if name in given}
    if not texts.get("event_id") or not (texts.get("message_id") or texts.get("provider_id")):
        raise NotUnderstood("event_id and message_id or provider_id are needed")
    channel = event.get("channel", ChannelKind.EMAIL.value)
    if channel not in tuple(ChannelKind):
        raise NotUnderstood(f"channel: expected {alternatives(tuple(ChannelKind))}")
    occurred_at = parse_instant(texts.get("time", "")) if "time" in event else None
    if "time" in event and occurred_at is None:
        raise NotUnderstood("time: expected an instant with a time zone, for example 2026-11-23T09:00:00Z")
    kind = FeedbackKind(texts["event"])
    return Report(
        texts["event_id"][:200],
        kind,
        channel,
        message_id=texts.get("message_id", "")[:200],
        provider_id=texts.get("provider_id", "")[:200],
        bounce_class=_bounce_class(channel, texts) if kind is FeedbackKind.BOUNCED else None,
        code=texts.get("status", "")[:20] or None,
        detail=texts.get("diagnostic", "")[:500] or None,
        occurred_at=occurred_at,
        user_agent=texts.get("user_agent", "")[:500],
        target=texts.get("url", "")[:2_000] or None,
    )


def _is_reply(event: Mapping[str, Any]) -> bool:
    return event.get("event") == FeedbackKind.REPLIED and event.get("channel") == ChannelKind.SMS


def _reply(event: Mapping[str, Any]) -> Reply:
    event_id, sender, text = (event.get(name) for name in ("event_id", "from", "text"))
    if not (isinstance(event_id, str) and isinstance(sender, str) and isinstance(text, str)):
        raise NotUnderstood("event_id, from and text are needed of a reply")
    if not event_id or not event_id.isprintable() or not sender:
        raise NotUnderstood("event_id and from are needed of a reply")
    return Reply(event_id[:200], sender[:40], text)


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text).strip()


def _bounce_class(channel: str, texts: Mapping[str, str]) -> BounceClass:
    given = texts.get("bounce_class")
    if given is not None:
        if given not in tuple(BounceClass):
            raise NotUnderstood(f"bounce_class: expected {alternatives(tuple(BounceClass))}")
        return BounceClass(given)
    status, diagnostic = texts.get("status", ""), texts.get("diagnostic", "")
    if {status.lower(), diagnostic.lower()} & _DEAD_TOKENS:
        return BounceClass.HARD
    # Of an email the status may be a reply code. The dash keeps it apart from another one.
    return classify(status, f"{status} - {diagnostic}" if channel == ChannelKind.EMAIL else diagnostic)


_KINDS: Mapping[str, type[TwilioStatus] | type[SignedEvents]] = {
    "twilio": TwilioStatus,
    "hmac": SignedEvents,
}


def parse_webhooks(text: str) -> dict[str, Webhook]:
    """The entries of ``KUNDRESA_WEBHOOKS`` by name.

    Raises:
        SettingsError: naming the entry by its number, since its text holds a secret.
    """
    found: dict[str, Webhook] = {}
    for number, entry in enumerate((part.strip() for part in text.split(",") if part.strip()), 1):
        match = _ENTRY.match(entry)
        if match is None or match[2] not in _KINDS or match[1] in found:
            raise SettingsError(
                f"KUNDRESA_WEBHOOKS, entry {number}: expected name=kind:secret, each name once, the secret "
                f"of 8 characters or more, the kind one of {', '.join(_KINDS)}"
            )
        found[match[1]] = _KINDS[match[2]](match[3])
    return found


def _believe(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode("utf-8", "surrogateescape")):
        raise NotBelieved("the signature is missing or wrong")


def report_key(name: str, report: Report | Reply) -> str:
    """The feedback key of a report or a reply: the same when it is sent again, whoever sends it."""
    return f"webhook/{name}/{hashlib.sha256(report.event_id.encode()).hexdigest()[:40]}"
