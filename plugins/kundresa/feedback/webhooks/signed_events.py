"""``hmac``: events of any channel as JSON, as a provider's bridge sends them.

``X-Signature`` is the hex HMAC-SHA-256 of ``X-Timestamp``, a dot and the body; five minutes old at most,
since a bridge signs again what it sends again.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kundresa.feedback.replies import Reply
from kundresa.feedback.webhooks.fields import parse_body, printable
from kundresa.feedback.webhooks.reports import (
    Call,
    NotUnderstood,
    Report,
    Told,
    believe,
    believe_age,
    unix_time,
)
from kundresa.spec.bounces import classify
from kundresa.spec.events import parse_instant
from kundresa.spec.problems import alternatives
from kundresa.spec.vocabulary import BounceClass, ChannelKind, FeedbackKind

MAX_AGE = timedelta(minutes=5)


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
        believe(digest.hex(), call.headers.get("x-signature", ""))
        believe_age(call.at, unix_time(timestamp), MAX_AGE)
        events = parse_body(call.body)
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
    texts |= {name: printable(given[name]) for name in _FREE_TEXTS if name in given}
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
        texts["event_id"],
        kind,
        channel,
        message_id=texts.get("message_id", ""),
        provider_id=texts.get("provider_id", ""),
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
    return Reply(event_id, sender[:40], text)


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
