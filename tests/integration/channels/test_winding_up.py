"""A sender over HTTP or SMPP that has to stop: who is answered, who is unknown, who has not left."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from tests.chaos.test_stop_in_flight import Gateway, TextCentre

from kundresa.channels import account_from_uri
from kundresa.channels.http_sender import HttpSender
from kundresa.channels.smpp import SmppSender
from kundresa.channels.sms import TwilioAdapter
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.vocabulary import MessageState

from .conftest import NOW

TEXTS = SmsChannel(kind="sms", template="m", account="texts", sender="Shop")
IN_FLIGHT = 30


class Stop(BaseException):
    """As a signal's handler raises it."""


def texts(count: int, text: str = "Hello") -> list[Message]:
    return [
        Message(f"{number:08x}" * 4, f"+4670{number:07d}", SmsContent(f"{text} {number:08x}"))
        for number in range(count)
    ]


@pytest.fixture(params=[Gateway, TextCentre])
def peer(request: pytest.FixtureRequest) -> Iterator[Any]:
    found = request.param()
    yield found
    found.stop()


@pytest.fixture
def open_texts(
    peer: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., HttpSender | SmppSender]]:
    """Opens a sender to the peer; the account may say more."""
    monkeypatch.setattr("kundresa.channels.in_flight.WIND_UP", 0.5)
    with contextlib.ExitStack() as stack:

        def start(query: str = "") -> HttpSender | SmppSender:
            account = account_from_uri(peer.uri + query, name="texts")
            sender: HttpSender | SmppSender
            if account.kind == "smpp":
                sender = SmppSender(TEXTS, account, clock=lambda: NOW)
            else:
                adapter = TwilioAdapter(TEXTS, account, run_key="r", clock=lambda: NOW)
                sender = HttpSender(adapter, account, clock=lambda: NOW, in_flight=IN_FLIGHT)
            stack.callback(sender.close)
            return sender

        yield start


def stopped(sending: Any, error: BaseException) -> list[Receipt]:
    """What a sender still gives that is told to stop."""
    receipts = []
    try:
        receipts.append(sending.throw(error))
        for receipt in sending:
            receipts.append(receipt)  # noqa: PERF402 - those before the error count
    except Stop:
        return receipts
    raise AssertionError("it went on")


def by_state(receipts: Sequence[Receipt]) -> dict[MessageState, set[str]]:
    states = {each.state for each in receipts}
    return {state: {each.message_id[:8] for each in receipts if each.state is state} for state in states}


def test_what_waits_for_the_rate_has_not_left(peer: Any, open_texts: Callable[..., Any]) -> None:
    """All have been taken from the window; few have left."""
    messages = texts(IN_FLIGHT)
    sending = open_texts("&rate=10").send(messages)
    receipts = [next(sending)]
    receipts += stopped(sending, Stop())
    assert Counter(each.message_id for each in receipts) == Counter(each.message_id for each in messages)
    of, taken = by_state(receipts), peer.taken()
    assert of[MessageState.UNKNOWN] == set(taken[:3])
    assert of[MessageState.ACCEPTED] == set(taken[3:])
    assert len(of[MessageState.DEFERRED]) == IN_FLIGHT - len(taken) > 10
    waiting = [each for each in receipts if each.state is MessageState.DEFERRED]
    assert {(each.detail, each.retry_at) for each in waiting} == {("stopped before it was sent", NOW)}


def test_receipts_that_nobody_wants_are_not_given_later(peer: Any, open_texts: Callable[..., Any]) -> None:
    sender, messages = open_texts(), texts(60)
    sending = sender.send(messages[:30])
    next(sending)
    sending.close()
    later = list(sender.send(messages[30:]))
    assert Counter(each.message_id for each in later) == Counter(each.message_id for each in messages[30:])
    assert {each.state for each in later} == {MessageState.ACCEPTED}


@pytest.mark.parametrize("peer", [Gateway], indirect=True)
def test_an_idempotent_gateway_is_asked_later(peer: Any, open_texts: Callable[..., Any]) -> None:
    sending = open_texts("&idempotent=true").send(texts(IN_FLIGHT))
    of = by_state([next(sending), *stopped(sending, Stop())])
    assert of[MessageState.DEFERRED] >= set(peer.taken()[:3])
    assert MessageState.UNKNOWN not in of


@pytest.fixture
def centre() -> Iterator[TextCentre]:
    found = TextCentre(stalled=0)
    yield found
    found.stop()


def test_a_text_of_which_a_part_has_left_is_unknown(
    centre: TextCentre, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped where it waits, when the first of two segments has left; the other would be far later."""
    monkeypatch.setattr("kundresa.channels.in_flight.WIND_UP", 0.5)

    @contextlib.contextmanager
    def waiting() -> Iterator[None]:
        if centre.taken():
            raise Stop
        yield

    account = account_from_uri(f"{centre.uri}&rate=1", name="texts")
    with contextlib.closing(SmppSender(TEXTS, account, clock=lambda: NOW)) as sender:
        sender.wait_within(waiting)
        sending = sender.send(texts(2, "x" * 190))
        receipts = [next(sending), next(sending)]
        with pytest.raises(Stop):
            next(sending)
    assert len(centre.taken()) == 1
    found = {each.state: each.detail for each in receipts}
    assert found == {
        MessageState.UNKNOWN: "1 of 2 segments were taken; then stopped before the answer came",
        MessageState.DEFERRED: "stopped before it was sent",
    }
