"""A journey's webhook step against a receiver: signed, retried, under one key, its answer used later."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

# The shop of the journeys' tests, and its sandbox.
from tests.integration.runs.shop import NOW, Shop
from typer.testing import CliRunner

from kundresa.channels import AccountError
from kundresa.cli.journey import journey
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import rehearse_journey
from kundresa.runs.journey_reports import explain_journey, journey_report
from kundresa.runs.journey_supposing import UnfitAnswer
from kundresa.runs.journeys import has_work
from kundresa.store import NewEvent
from kundresa.store.journey_calls import JourneyCalls

SECRET = "a secret of the shop and its prices"
ASKING = """
owner: crm
description: The cart, with a discount that another system knows.
entry: {event: cart}
topic: offers
steps:
  ask:
    kind: webhook
    account: prices
    template: ask
    response: {discount: {kind: whole, required: true}, code: {kind: text, max_length: 10}}
    on: {answer_invalid: odd, failed: end}
  worth:
    kind: condition
    paths: [{when: {event: {discount: {at_least: 10}}}, go: mail}]
    otherwise: end
  mail:
    kind: message
    channel: {kind: email, template: m, account: mails, sender: Shop <hello@shop.example>}
    next: end
  odd: {kind: wait, duration: 1h}
"""
TEMPLATES = {
    "ask.json.j2": '{"value": {{ event.value }}, "name": {{ profile.first_name }}}',
    "m.subject.j2": "{{ event.discount }} off with {{ event.code | default('no code') }}",
}


@dataclass
class Receiver:
    """What was asked, and what is answered."""

    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, Any]] = field(default_factory=list)
    """Taken one by one; the last stays."""
    meanwhile: Callable[[], None] = lambda: None

    def answer(self, status: int = 200, **fields: Any) -> None:
        self.answers.append((status, fields))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    known = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            known.asked.append(
                {
                    "body": body,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "path": self.path,
                }
            )
            known.meanwhile()
            status, said = known.answers.pop(0) if len(known.answers) > 1 else known.answers[0]
            octets = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(octets)))
            self.end_headers()
            with suppress(BrokenPipeError):  # of one that did not wait
                self.wfile.write(octets)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def asking(shop: Shop, receiver: Receiver) -> Shop:
    secret = SECRET.replace(" ", "%20")
    shop.accounts["prices"] = f"http://shop:{secret}@127.0.0.1:{receiver.port}/ask?private=allowed"
    shop.policies("webhook_hosts: ['127.0.0.1']\n")
    shop.journey(ASKING, **TEMPLATES)
    shop.start()
    return shop


def last_subject(shop: Shop) -> str:
    return str(shop.arrived()[-1].subject)


def test_an_answer_is_asked_for_signed_and_used_in_conditions_and_templates(
    asking: Shop, receiver: Receiver
) -> None:
    receiver.answer(discount=15, code="SPRING", unasked="left out")
    asking.event("anna", value=60)
    done = asking.run()
    assert (done.called, done.accepted) == (1, 1)
    assert last_subject(asking) == "15 off with SPRING"
    [asked] = receiver.asked
    assert asked["path"] == "/ask"
    [message] = json.loads(asked["body"])["messages"]
    assert (message["profile_id"], message["payload"]) == ("p-anna", {"value": 60, "name": "Anna"})
    headers = asked["headers"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + asked["body"]
    expected = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert headers["idempotency-key"] == message["message_id"]
    told = explain_journey(asking.settings, "anna@shop.example", "cart")
    [call] = told.entries[0].calls
    assert (call["outcome"], call["response"]) == ("answered", {"discount": 15, "code": "SPRING"})
    report = journey_report(asking.settings, "cart")
    assert next(each.messages for each in report.steps if each.step == "ask") == {"answered": 1}
    # Nobody is called twice.
    assert asking.run(hours=1).called == 0
    assert len(receiver.asked) == 1


@pytest.mark.parametrize(
    ("said", "step"),
    [
        ({"discount": 5}, None),
        ({"discount": "much"}, "odd"),
        ({"code": "x"}, "odd"),
        ({"discount": 15, "code": "longer than ten"}, "odd"),
        (b"<html>", "odd"),
    ],
)
def test_what_is_no_answer_goes_its_own_way(
    asking: Shop, receiver: Receiver, said: Any, step: str | None
) -> None:
    receiver.answers.append((200, said))
    asking.event("anna", value=60)
    assert asking.run().accepted == 0
    assert asking.step("anna") == step


def test_a_receiver_that_is_down_is_asked_again_under_the_same_key_until_it_is_too_late(
    asking: Shop, receiver: Receiver
) -> None:
    receiver.answer(503)
    receiver.answer(502)
    receiver.answer(discount=15)
    asking.event("anna", value=60)
    assert asking.run().called == 0
    assert asking.step("anna") == "ask"
    assert not has_work(asking.settings, "cart", asking.now)
    asking.run(minutes=6)
    assert asking.run(minutes=11).called == 1
    assert last_subject(asking) == "15 off with no code"
    keys = {each["headers"]["idempotency-key"] for each in receiver.asked}
    ids = {each["headers"]["webhook-id"] for each in receiver.asked}
    assert (len(receiver.asked), len(keys), len(ids)) == (3, 1, 1)

    receiver.answers[:] = [(503, {})]
    asking.event("bo", value=60)
    asking.run()
    asking.run(minutes=30)
    asking.run(minutes=31)
    told = explain_journey(asking.settings, "bo@shop.example", "cart")
    [call] = told.entries[0].calls
    assert (call["outcome"], call["reason"]) == ("failed", "temporary_failure")
    assert asking.step("bo") is None


def test_a_refusal_is_told_and_the_secret_is_in_no_line(asking: Shop, receiver: Receiver) -> None:
    receiver.answer(422, message=f"no such person, says {SECRET}")
    asking.event("anna", value=60)
    assert asking.run().called == 1
    [call] = explain_journey(asking.settings, "anna@shop.example", "cart").entries[0].calls
    assert (call["outcome"], call["reason"], call["code"]) == ("failed", "message_refused", "HTTP 422")
    assert SECRET not in str(call["detail"])


def test_the_command_says_why_a_call_failed(
    asking: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver.answer(422, message="no such person")
    asking.event("anna", value=60)
    asking.run()
    for name, value in (("PROJECT", asking.settings.project), ("HOME", asking.settings.home)):
        monkeypatch.setenv(f"KUNDRESA_{name}", str(value))
    told = CliRunner().invoke(journey, ["explain", "anna@shop.example", "cart"], env={"COLUMNS": "200"})
    assert "ask: failed (message_refused: no such person)" in told.output, told.output


def test_who_is_killed_between_the_answer_and_recording_it_asks_again_under_the_same_key(
    asking: Shop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> int:
        raise Killed

    receiver.answer(discount=15)
    asking.event("anna", value=60)
    with monkeypatch.context() as patched:
        patched.setattr(JourneyCalls, "settle", killed)
        with pytest.raises(Killed):
            asking.run()
    # Its claim holds: the worker may only be slow.
    assert asking.run(seconds=asking.settings.lease_seconds - 1).called == 0
    assert len(receiver.asked) == 1
    done = asking.run(seconds=1)
    assert (done.called, done.accepted) == (1, 1)
    first, second = receiver.asked
    assert first["headers"]["idempotency-key"] == second["headers"]["idempotency-key"]
    assert first["body"] == second["body"]


def test_nothing_is_locked_while_somebody_is_asked(asking: Shop, receiver: Receiver) -> None:
    """The receiver itself writes to the store, as a shop does that sends an event before it answers."""

    def write() -> None:
        with asking.store() as store:
            at = asking.now
            store.inbox.append([NewEvent("other", "1", "order", "email", "eva@shop.example", "{}", at, at)])

    receiver.meanwhile = write
    receiver.answer(discount=15)
    asking.event("anna", value=60)
    assert asking.run().called == 1
    with asking.store() as store:
        assert [each.event_type for each in store.inbox.after(0, 10)] == ["cart", "order"]


@pytest.mark.parametrize(
    ("hosts", "uri", "expected"),
    [
        (
            "[hooks.example]",
            "http://u:{secret}@127.0.0.1:{port}/ask?private=allowed",
            "is not among webhook_hosts",
        ),
        ("['127.0.0.1']", "http://u:{secret}@127.0.0.1:{port}/ask", "is not encrypted"),
        ("['127.0.0.1']", "http://127.0.0.1:{port}/ask?private=allowed", "needs a secret"),
    ],
)
def test_a_target_that_is_not_permitted_is_never_called_and_the_call_waits(
    asking: Shop, receiver: Receiver, hosts: str, uri: str, expected: str
) -> None:
    right = asking.accounts["prices"]
    asking.policies(f"webhook_hosts: {hosts}\n")
    asking.accounts["prices"] = uri.format(secret="a" * 30, port=receiver.port)
    receiver.answer(discount=15)
    asking.event("anna", value=60)
    with pytest.raises(AccountError, match=expected):
        asking.run()
    assert receiver.asked == []
    asking.policies("webhook_hosts: ['127.0.0.1']\n")
    asking.accounts["prices"] = right
    assert asking.run(minutes=10).called == 1


def test_a_slow_receiver_is_left_after_its_time(asking: Shop, receiver: Receiver) -> None:
    gate = threading.Event()
    receiver.meanwhile = lambda: gate.wait(5) and None
    asking.accounts["prices"] += "&timeout=0.2"
    receiver.answer(discount=15)
    asking.event("anna", value=60)
    assert asking.run().called == 0
    gate.set()
    receiver.meanwhile = lambda: None
    assert asking.run(minutes=6).called == 1
    assert len({each["headers"]["idempotency-key"] for each in receiver.asked}) == 1


def test_a_plan_calls_nobody(asking: Shop, receiver: Receiver) -> None:
    receiver.answer(discount=15)
    asking.event("anna", value=60)
    asking.now += timedelta(minutes=1)
    plan = plan_journey(asking.settings, "cart", days=1, clock=lambda: asking.now)
    assert (plan.entered, plan.ended) == (1, {"finished": 1})
    assert receiver.asked == []
    assert asking.now > NOW
    assert plan.supposed == {"ask": "answered with nothing"}
    assert plan.messages == {}


@pytest.mark.parametrize(
    ("answer", "why", "text"),
    [
        ({"discount": 15, "code": "AUTUMN", "more": 1}, ["answered", "path 1"], "15 off with AUTUMN"),
        ({"discount": 5}, ["answered"], None),
        ({"discount": "much"}, ["answer_invalid"], None),
        (None, [], None),
    ],
)
def test_a_rehearsal_and_a_plan_take_an_answer(
    asking: Shop, receiver: Receiver, answer: dict[str, object] | None, why: list[str], text: str | None
) -> None:
    given = {"answers": {"ask": answer}, "clock": lambda: asking.now}
    rehearsed = rehearse_journey(asking.settings, "cart", "anna@shop.example", data={"value": 60}, **given)
    assert receiver.asked == []
    assert [move["why"] for move in rehearsed.moves] == ["entered", *why, "finished"]
    assert [each.text.splitlines()[0] for each in rehearsed.messages] == ([text] if text else [])
    asking.event("anna", value=60)
    asking.now += timedelta(minutes=1)
    plan = plan_journey(asking.settings, "cart", days=1, **given)
    assert plan.messages == ({"mail": {"sent": 1}} if text else {})
    assert plan.supposed == rehearsed.supposed


def test_an_answer_for_no_webhook_step_is_refused(asking: Shop) -> None:
    with pytest.raises(UnfitAnswer, match="no webhook step 'mail'; there are: ask"):
        plan_journey(asking.settings, "cart", days=1, answers={"mail": {}}, clock=lambda: asking.now)
