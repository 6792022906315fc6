"""Whatever a provider's key has signed: 200 or 422, never a defect, and nothing of nobody's."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzzing import seeded
from tests.unit.feedback.provider_calls import Signed, mailgun_signed, postmark_signed
from tests.unit.feedback.test_webhook_fuzz import KNOWN, NAMES, OURS, anything

from kundresa.content import Token
from kundresa.public.app import build_app
from kundresa.settings import Settings
from kundresa.store import Store, open_store

from .conftest import NOW, Clock, serving
from .test_provider_webhooks import ANNAS, MAILGUN, POSTMARK, SENDGRID, SNS, WEBHOOKS, post
from .test_webhooks import events, text_message, twilio

__all__ = ["text_message"]

SECONDS = 15.0
"""After which no more is tried of one kind."""
BRIDGE = """event_id event channel message_id provider_id time status diagnostic bounce_class user_agent url
    from text"""
FORM = "MessageSid MessageStatus ErrorCode From Body OptOutType To AccountSid"
ODD = [
    "\0",
    "\ud800",
    "\ufffe",
    "\x1b[31m",
    "9" * 400,
    "STOP",
    "0001-01-01T00:00:00Z",
    "SM1",
    "email",
    "sms",
    "replied",
]
WORDS = ["bounced", "opened", "clicked", "unsubscribed", "complained", "delivered", "failed", "undelivered"]


@pytest.fixture
def client(settings: Settings, clock: Clock) -> Iterator[httpx.Client]:
    made = dataclasses.replace(settings, webhooks=f"{settings.webhooks}, {WEBHOOKS}")
    app = build_app(made, open_store(made.store_url), clock=clock, fetch=SNS.fetch)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as opened:
        yield opened


def mutated(names: str, known: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """A known event with members of any kind in place of its own, or anything at all."""
    odd = st.sampled_from([*ODD, *WORDS, OURS]) | st.text(max_size=20) | anything(names)
    changed = st.dictionaries(st.sampled_from(names.split()), odd, max_size=4)
    return changed.map(lambda members: {**known, **members}) | anything(names)


def texts(known: Mapping[str, str]) -> st.SearchStrategy[dict[str, str]]:
    some = st.sampled_from([each for each in (*ODD, *WORDS) if each != "\ud800"])
    values = some | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    fields = st.dictionaries(st.sampled_from(FORM.split()), values, max_size=5)
    return fields.map(lambda members: {**known, **members})


def of_ours(event: object, message_id: str) -> Any:
    """The same about a message that was sent."""
    return json.loads(json.dumps(event).replace(OURS, message_id))


KINDS: Mapping[str, Callable[[httpx.Client, Any, Clock, int], httpx.Response]] = {
    "mail": lambda client, event, clock, _: events(client, clock, [event]),
    "texts": lambda client, event, _, __: twilio(client, event),
    "sg": lambda client, event, clock, _: post(client, "sg", SENDGRID.signed([event], clock())),
    "mg": lambda client, event, clock, number: post(client, "mg", _mailgun(event, clock(), number)),
    "aws": lambda client, event, clock, _: post(client, "aws", SNS.signed(SNS.message(event, clock()))),
    "pm": lambda client, event, _, __: post(client, "pm", postmark_signed(event, POSTMARK)),
}
PLAIN: Mapping[str, Any] = {
    "mail": {"event_id": "e", "event": "bounced", "message_id": OURS, "bounce_class": "soft"},
    "texts": {"MessageSid": "SM1", "MessageStatus": "failed"},
    "sg": KNOWN["sendgrid"],
    "mg": KNOWN["mailgun"],
    "aws": KNOWN["ses"],
    "pm": KNOWN["postmark"],
}
REPLY = {"MessageSid": "SM1", "From": "1", "Body": ""}
MADE: Mapping[str, st.SearchStrategy[Any]] = {
    "mail": mutated(BRIDGE, PLAIN["mail"])
    | mutated(BRIDGE, {**PLAIN["mail"], "event": "replied", "channel": "sms"}),
    "texts": texts(PLAIN["texts"]) | texts(REPLY),
    "sg": mutated(NAMES["sendgrid"], PLAIN["sg"]),
    "mg": mutated(NAMES["mailgun"], PLAIN["mg"]),
    "aws": mutated(NAMES["ses"], PLAIN["aws"]),
    "pm": mutated(NAMES["postmark"], PLAIN["pm"]),
}


def _mailgun(event: object, at: datetime, number: int) -> Signed:
    return mailgun_signed(event, MAILGUN, at, f"{number:0>50}")


@pytest.mark.parametrize("name", KINDS)
def test_what_is_signed_is_taken_or_refused(
    client: httpx.Client, store: Store, sent: Token, text_message: str, clock: Clock, name: str
) -> None:
    plain = of_ours(PLAIN[name], sent.message_id)
    assert KINDS[name](client, plain, clock, 0).json() == {"recorded": 1, "skipped": 0}
    statuses: list[int] = []
    until = time.monotonic() + SECONDS

    @seeded(150)
    @given(MADE[name])
    def told(event: object) -> None:
        if time.monotonic() > until:
            return
        answer = KINDS[name](client, of_ours(event, sent.message_id), clock, len(statuses) + 1)
        assert answer.status_code in (200, 422), (event, answer.text)
        assert "Traceback" not in answer.text
        statuses.append(answer.status_code)

    told()
    assert 200 in statuses
    lines = list(store.feedback.rows(NOW, NOW + timedelta(days=9)))
    assert lines
    assert {line["message_id"] for line in lines} <= {sent.message_id, text_message, None}
    assert all(NOW <= line["occurred_at"] <= clock.now for line in lines)
    assert {row["address"] for row in store.suppressions.rows()} <= {ANNAS, "anna@x.example", "+441632960001"}
