"""Several connections at once: how many, what is in flight, and what a sender that stops still knows."""

from __future__ import annotations

import base64
import contextlib
import gc
import os
import re
import signal
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kundresa.channels import AccountError, account_from_uri
from kundresa.channels.domains import SLOW_AFTER
from kundresa.channels.email import SmtpSender
from kundresa.channels.return_path import read_return_path
from kundresa.delivery.stopping import Stopped, stop_on_signals
from kundresa.spec.messages import Receipt
from kundresa.spec.pace import FIRST_REST, Rest
from kundresa.spec.vocabulary import MessageState

from .conftest import DROP, EMAIL, NOW, RUN_KEY, STALL, Certificate, Peer, Step, Time, mails

Start = Callable[..., Peer]
Open = Callable[..., SmtpSender]

ACCEPTED, DEFERRED, UNKNOWN = MessageState.ACCEPTED, MessageState.DEFERRED, MessageState.UNKNOWN


@pytest.fixture(params=[("PIPELINING",), ("PIPELINING", "CHUNKING")], ids=["pipelined", "chunks"])
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def arrived(server: Peer) -> Counter[str]:
    """How often each message reached the server, whatever it answered."""
    return Counter(
        cast(re.Match[bytes], re.search(rb"<(\w{32})@", body))[1].decode() for body in server.bodies
    )


def by_state(receipts: list[Receipt]) -> dict[MessageState, set[str]]:
    found: dict[MessageState, set[str]] = {}
    for receipt in receipts:
        found.setdefault(receipt.state, set()).add(receipt.message_id)
    return found


def until_it_ends(sending: Iterator[Receipt], error: type[BaseException]) -> list[Receipt]:
    """What a sender gives before it ends with an error."""
    receipts = []
    try:
        for receipt in sending:
            receipts.append(receipt)  # noqa: PERF402  # extend loses what came before the error
    except error:
        return receipts
    raise AssertionError(f"it did not end with {error.__name__}")


def test_connections_grow_with_the_work_up_to_the_limit(peer: Start, sender: Open) -> None:
    server = peer()
    opened = sender(server.port, "security=none&connections=4")
    receipts = [receipt for _ in range(5) for receipt in opened.send(mails(300))]
    assert {receipt.state for receipt in receipts} == {ACCEPTED}
    assert len(receipts) == 1_500
    assert set(arrived(server).values()) == {5}
    assert 2 <= server.connections <= 4


def test_a_closed_sender_leaves_no_message_to_the_collector_of_cycles(peer: Start, sender: Open) -> None:
    """A process that delivers batch after batch grew by the last window of each: 2.5 MB at 20 KB."""

    class Address(str):
        """One that can be watched."""

    address = Address("anna@shop.example")
    opened = sender(peer().port)
    gc.disable()
    try:
        [receipt] = opened.send([replace(mails(1)[0], address=address)])
        opened.close()
        watched = weakref.ref(address)
        del address
        assert receipt.state is ACCEPTED
        assert watched() is None
    finally:
        gc.enable()


def test_a_server_that_takes_only_two_connections_gets_two(peer: Start, sender: Open) -> None:
    server = peer(
        lambda step: (
            "421 4.7.0 too many connections" if step.verb == "CONNECT" and step.connection > 2 else None
        )
    )
    opened = sender(server.port)
    receipts = [receipt for _ in range(5) for receipt in opened.send(mails(300))]
    assert {receipt.state for receipt in receipts} == {ACCEPTED}
    # It is tried again after every thousand, not after every message: in 1,500 messages twice, each time with
    # at most the eight that an account has above the server's two.
    assert server.connections <= 2 + 2 * 8


def test_all_connections_dying_with_everything_in_flight_leave_one_unknown_each(
    peer: Start, sender: Open
) -> None:
    dead = threading.Event()
    peak = 0

    def script(step: Step) -> str | None:
        nonlocal peak
        if step.transaction == 150:
            dead.set()
            peak = step.connection
        return DROP if dead.is_set() and step.verb in ("END", "CONNECT") else None

    server = peer(script)
    found = by_state(list(sender(server.port).send(mails(400))))
    received = arrived(server)
    assert set(received.values()) == {1}
    assert found[ACCEPTED] <= received.keys() <= found[ACCEPTED] | found[UNKNOWN]
    assert 1 <= len(found[UNKNOWN]) <= 10
    assert len(found[DEFERRED]) == 400 - len(found[ACCEPTED]) - len(found[UNKNOWN])


def test_a_sender_told_to_stop_hears_what_was_answered(peer: Start, sender: Open) -> None:
    server = peer()
    sending = cast(Generator[Receipt, None, None], sender(server.port).send(mails(500)))
    receipts = [next(sending) for _ in range(100)]
    receipts.append(sending.throw(KeyboardInterrupt()))
    receipts.extend(until_it_ends(sending, KeyboardInterrupt))
    found = by_state(receipts)
    assert found.keys() <= {ACCEPTED, DEFERRED}
    assert arrived(server) == dict.fromkeys(found[ACCEPTED], 1)
    assert len(receipts) < 200


def test_a_sender_told_to_stop_does_not_wait_for_ever(
    peer: Start, sender: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kundresa.channels.email.WIND_UP", 0.2)

    def script(step: Step) -> str | None:
        if step.verb != "END" or step.transaction != 2:
            return None
        os.kill(os.getpid(), signal.SIGINT)
        return STALL

    opened = sender(peer(script).port)
    with stop_on_signals() as stop:
        opened.wait_within(stop.interruptible)
        receipts = until_it_ends(opened.send(mails(5)), Stopped)
    # Never taken from the window: the fourth and fifth; taken, and its content never written: the third.
    assert [each.state for each in receipts][:2] == [ACCEPTED, UNKNOWN]
    assert {each.state for each in receipts[2:]} <= {DEFERRED}


def test_a_receipt_nobody_wants_closes_what_is_in_flight(peer: Start, sender: Open) -> None:
    server = peer()
    opened = sender(server.port)
    sending = cast(Generator[Receipt, None, None], opened.send(mails(50)))
    next(sending)
    sending.close()
    again = list(opened.send([replace(each, message_id=f"{each.message_id[:-2]}ff") for each in mails(1)]))
    assert [each.state for each in again] == [ACCEPTED]


def test_a_refused_sender_with_others_in_flight_loses_nothing(peer: Start, sender: Open) -> None:
    server = peer(
        lambda step: "550 5.7.1 not yours" if step.verb == "MAIL" and step.transaction > 120 else None
    )
    receipts = until_it_ends(sender(server.port).send(mails(300)), AccountError)
    found = by_state(receipts)
    assert found.keys() <= {ACCEPTED}
    assert arrived(server) == dict.fromkeys(found[ACCEPTED], 1)
    assert 100 < len(found[ACCEPTED]) <= 120


def test_a_domain_that_is_too_slow_rests_and_others_go_on(peer: Start, sender: Open) -> None:
    server = peer(
        lambda step: (
            "451 4.7.0 rate limited"
            if step.verb == "RCPT" and step.argument.endswith("@slow.example>")
            else None
        )
    )
    messages = [
        replace(each, address=f"a{number}@{'slow' if number % 2 else 'quick'}.example")
        for number, each in enumerate(mails(200))
    ]
    receipts = list(sender(server.port).send(messages))
    slow = {each.message_id for number, each in enumerate(messages) if number % 2}
    found = by_state(receipts)
    assert found == {ACCEPTED: {each.message_id for each in messages} - slow, DEFERRED: slow}
    tried = [each for each in receipts if each.code == "451 4.7.0"]
    assert SLOW_AFTER <= len(tried) <= SLOW_AFTER + 20  # those in flight when it came to rest
    assert all(each.detail == "RCPT: 4.7.0 rate limited" for each in receipts if each.message_id in slow)


def test_a_domain_that_rests_is_told_to_the_next_sender_which_does_not_try_it(
    peer: Start, sender: Open, time: Time
) -> None:
    asked: list[str] = []

    def script(step: Step) -> str | None:
        if step.verb != "RCPT" or not step.argument.endswith("@slow.example>"):
            return None
        asked.append(step.argument)
        return "451 4.7.0 rate limited" if time.now < NOW + FIRST_REST else None

    server = peer(script)
    messages = [replace(each, address=f"a@{'slow' if place % 2 else 'quick'}.example")
                for place, each in enumerate(mails(100))]  # fmt: skip
    first = sender(server.port)
    list(first.send(messages))
    found = first.new_rests()
    rest = Rest(NOW + FIRST_REST, 1, "RCPT: 4.7.0 rate limited")
    assert found == {"slow.example": rest}, "however many were under way when it came to rest"
    assert first.new_rests() == {}
    tried = len(asked)
    second = sender(server.port)
    second.know_rests({"slow.example": rest})
    receipts = by_state(list(second.send(messages)))
    assert len(asked) == tried
    assert (len(receipts[ACCEPTED]), len(receipts[DEFERRED])) == (50, 50)
    time.now += FIRST_REST
    assert by_state(list(second.send(messages))).keys() == {ACCEPTED}
    assert second.new_rests() == {"slow.example": None}


def test_a_domains_limit_holds_over_all_connections(peer: Start, sender: Open) -> None:
    lock, now, most = threading.Lock(), Counter[str](), Counter[str]()
    place: dict[int, str] = {}

    def script(step: Step) -> str | None:
        with lock:
            if step.verb == "RCPT":
                domain = place[step.connection] = step.argument.rpartition("@")[2]
                now[domain] += 1
                most[domain] = max(most[domain], now[domain])
            if step.verb == "END":
                now[place[step.connection]] -= 1
        return None

    server = peer(script)
    messages = [
        replace(each, address=f"a{number}@{'small' if number % 3 else 'large'}.example")
        for number, each in enumerate(mails(300))
    ]
    opened = sender(server.port, "security=none&domains=small.example%3D2")
    assert {each.state for each in opened.send(messages)} == {ACCEPTED}
    assert most["small.example>"] <= 2


def test_a_server_says_how_much_it_takes(peer: Start, sender: Open, extensions: tuple[str, ...]) -> None:
    server = peer()
    server.extensions = (*extensions, "SIZE 3000")
    large, small = mails(2)
    large = replace(large, content=mails(1, "x" * 5_000)[0].content)
    found = {each.message_id: each for each in sender(server.port).send([large, small])}
    assert found[small.message_id].state is ACCEPTED
    refused = found[large.message_id]
    assert (refused.state, refused.detail) == (MessageState.FAILED, refused.detail)
    assert refused.detail
    assert refused.detail.endswith("octets; the server takes 3,000")
    assert len(server.bodies) == 1


def test_large_messages_over_tls(peer: Start, sender: Open, certificate: Certificate) -> None:
    server = peer(tls=certificate.context)
    messages = mails(60, "x" * 100_000)
    receipts = list(sender(server.port, f"ca_file={certificate.file}").send(messages))
    assert {each.state for each in receipts} == {ACCEPTED}
    assert set(arrived(server).values()) == {1}
    assert all(body.count(b"x") > 200_000 for body in server.bodies)


def test_what_arrives_is_signed_and_comes_back_to_its_message(
    peer: Start, time: Time, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    file = tmp_path / "key.pem"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    senders: list[str] = []

    def script(step: Step) -> str | None:
        if step.verb == "MAIL":
            senders.append(step.argument)
        return None

    server = peer(script)
    query = (
        "security=none&bounce_domain=b.shop.example"
        f"&dkim_domain=shop.example&dkim_selector=s&dkim_key_file={file}"
    )
    account = account_from_uri(f"smtp://127.0.0.1:{server.port}/?{query}", name="newsletter")
    opened = SmtpSender(EMAIL, account, run_key=RUN_KEY, secret="secret", clock=time.clock)
    with contextlib.closing(opened):
        messages = mails(20, "one\n.two\n")
        assert {each.state for each in opened.send(messages)} == {ACCEPTED}
    paths = {read_return_path(each.removeprefix("FROM:<").removesuffix(">"), "secret") for each in senders}
    assert paths == {each.message_id for each in messages}
    for body in server.bodies:
        octets = body.replace(b"\r\n..", b"\r\n.")
        assert dkim.DKIM(octets).verify(dnsfunc=lambda *_, **__: b"v=DKIM1; k=ed25519; p=" + public)


def test_return_paths_need_a_secret(peer: Start, sender: Open) -> None:
    with pytest.raises(AccountError, match="need a signing secret"):
        sender(peer().port, "security=none&bounce_domain=b.shop.example")
