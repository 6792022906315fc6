"""What every misbehaviour of an SMTP server becomes: one receipt per message, and never a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from kundresa.channels.email import SmtpSender
from kundresa.channels.outage import DOWN_FOR
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

from .conftest import DROP, HALF_CLOSE, NOW, STALL, Certificate, Peer, Script, Step, Time, mails

Start = Callable[..., Peer]
Open = Callable[..., SmtpSender]

ACCEPTED, DEFERRED, FAILED, UNKNOWN = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.FAILED,
    MessageState.UNKNOWN,
)


@pytest.fixture(
    params=[(), ("PIPELINING",), ("PIPELINING", "CHUNKING"), ("CHUNKING",)],
    ids=["step by step", "pipelined", "pipelined chunks", "chunks"],
)
def extensions(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def once(verb: str, reply: str) -> Script:
    """A server that answers so in the first transaction and is good afterwards."""
    return lambda step: reply if step.verb == verb and step.transaction == 1 else None


def always(verb: str, reply: str) -> Script:
    return lambda step: reply if step.verb == verb else None


def states(receipts: list[Receipt]) -> list[MessageState]:
    return [receipt.state for receipt in receipts]


def test_a_good_server(peer: Start, sender: Open) -> None:
    server = peer()
    receipts = list(sender(server.port).send(mails(3)))
    assert states(receipts) == [ACCEPTED] * 3
    assert [receipt.message_id for receipt in receipts] == [f"{number:032x}" for number in range(3)]
    assert {(receipt.provider_id, receipt.code, receipt.reason) for receipt in receipts} == {
        ("4Yk2", "250 2.0.0", None)
    }
    assert server.connections == 1
    assert len(server.bodies) == 3


@pytest.mark.parametrize(
    ("verb", "reply", "state", "reason", "code"),
    [
        ("MAIL", "451 4.3.0 busy", DEFERRED, DeliveryReason.TEMPORARY_FAILURE, "451 4.3.0"),
        ("RCPT", "450 4.2.1 greylisted", DEFERRED, DeliveryReason.TEMPORARY_FAILURE, "450 4.2.1"),
        ("RCPT", "550 5.1.1 no such user", FAILED, DeliveryReason.ADDRESS_REFUSED, "550 5.1.1"),
        ("RCPT", "552 5.2.2 mailbox full", FAILED, DeliveryReason.TEMPORARY_FAILURE, "552 5.2.2"),
        ("RCPT", "550 no such user", FAILED, DeliveryReason.ADDRESS_REFUSED, "550"),
        ("RCPT", "554 5.7.1 relay denied", FAILED, DeliveryReason.MESSAGE_REFUSED, "554 5.7.1"),
        ("DATA", "452 4.3.1 no space", DEFERRED, DeliveryReason.TEMPORARY_FAILURE, "452 4.3.1"),
        ("DATA", "554 no valid recipients", FAILED, DeliveryReason.MESSAGE_REFUSED, "554"),
        ("END", "451 4.7.1 later", DEFERRED, DeliveryReason.TEMPORARY_FAILURE, "451 4.7.1"),
        ("END", "421 4.3.2 shutting down", DEFERRED, DeliveryReason.TEMPORARY_FAILURE, "421 4.3.2"),
        ("END", "554 5.7.1 spam", FAILED, DeliveryReason.MESSAGE_REFUSED, "554 5.7.1"),
        ("END", "550 5.1.1 no such user", FAILED, DeliveryReason.ADDRESS_REFUSED, "550 5.1.1"),
        ("RCPT", "421 4.7.0 too many connections", DEFERRED, DeliveryReason.TEMPORARY_FAILURE, "421 4.7.0"),
    ],
)
def test_an_answer_is_classified_and_the_next_message_goes(
    peer: Start,
    sender: Open,
    extensions: tuple[str, ...],
    verb: str,
    reply: str,
    state: MessageState,
    reason: DeliveryReason,
    code: str,
) -> None:
    server = peer(once(verb, reply))
    if verb == "DATA" and "CHUNKING" in extensions:
        assert states(list(sender(server.port).send(mails(2)))) == [ACCEPTED, ACCEPTED]
        assert not [each for each in server.verbs if each.startswith("DATA")]
        return
    first, second = sender(server.port).send(mails(2))
    assert (first.state, first.reason, first.code) == (state, reason, code)
    assert first.detail
    assert first.detail.startswith("end of DATA: " if verb == "END" else f"{verb}: ")
    assert first.retry_at == (NOW + timedelta(minutes=5) if state is DEFERRED else None)
    assert second.state is ACCEPTED
    assert server.connections == (2 if reply.startswith("421") else 1)


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("reply", [DROP, HALF_CLOSE, "no smtp at all", "999 what", "150 what"])
def test_lost_before_the_end_of_data_is_tried_again(
    peer: Start, sender: Open, extensions: tuple[str, ...], verb: str, reply: str
) -> None:
    if verb == "DATA" and "CHUNKING" in extensions:
        verb = "RCPT"  # the last step before the content
    server = peer(once(verb, reply))
    receipts = list(sender(server.port).send(mails(2)))
    assert states(receipts) == [ACCEPTED, ACCEPTED]
    assert server.connections == 2
    assert len(server.bodies) == 2


@pytest.mark.parametrize("reply", [DROP, HALF_CLOSE, "no smtp at all", "999 what", "354 what"])
def test_lost_after_the_end_of_data_is_unknown_and_not_sent_again(
    peer: Start, sender: Open, reply: str
) -> None:
    server = peer(once("END", reply))
    receipts = list(sender(server.port).send(mails(3)))
    assert states(receipts) == [UNKNOWN, ACCEPTED, ACCEPTED]
    assert receipts[0].reason is DeliveryReason.OUTCOME_UNKNOWN
    assert len(server.bodies) == 3


def test_a_small_message_whose_reader_vanished_is_unknown(peer: Start, sender: Open) -> None:
    # The system had taken all of it, dot included; that nobody read it cannot be seen from here.
    server = peer(once("BODY", DROP))
    assert states(list(sender(server.port).send(mails(2)))) == [UNKNOWN, ACCEPTED]
    assert len(server.bodies) == 1


@pytest.mark.parametrize("encrypted", [False, True], ids=["clear", "tls"])
def test_a_server_that_half_closes_and_still_takes_the_content_gets_it_once(
    peer: Start, sender: Open, certificate: Certificate, encrypted: bool
) -> None:
    server = peer(once("BODY", HALF_CLOSE), tls=certificate.context if encrypted else None)
    query = f"security=starttls&ca_file={certificate.file}" if encrypted else "security=none"
    opened = sender(server.port, query)
    first, second = opened.send(mails(2))
    opened.close()
    server.wait_idle()
    # Where the end is seen before a content is written, it goes over another connection.
    assert first.state in (UNKNOWN, ACCEPTED)
    assert second.state is ACCEPTED
    arrived = [body.split(b"Message-ID: ")[1][1:33].decode() for body in server.bodies]
    assert len(set(arrived)) == len(arrived)
    assert {each.message_id for each in (first, second) if each.state is ACCEPTED} <= set(arrived)
    # In TLS the server's library may refuse what comes after its own end.
    assert len(arrived) == 2 or encrypted


def test_a_large_content_under_way_when_the_server_half_closes_is_not_taken_twice(
    peer: Start, sender: Open
) -> None:
    server = peer(once("BODY", HALF_CLOSE))
    opened = sender(server.port)
    [receipt] = opened.send(mails(1, "x" * 5_000_000))
    opened.close()
    server.wait_idle()
    assert receipt.state in (ACCEPTED, UNKNOWN)
    assert len(server.bodies) == 1 if receipt.state is ACCEPTED else len(server.bodies) <= 1


def test_a_stall_before_the_end_is_tried_again(peer: Start, sender: Open) -> None:
    server = peer(once("RCPT", STALL))
    assert states(list(sender(server.port, "security=none&timeout=0.3").send(mails(1)))) == [ACCEPTED]


def test_a_stall_after_the_end_is_unknown(peer: Start, sender: Open) -> None:
    server = peer(once("END", STALL))
    receipts = list(sender(server.port, "security=none&timeout=0.3").send(mails(2)))
    assert states(receipts) == [UNKNOWN, ACCEPTED]


def test_a_large_message_cut_off_while_it_is_written_was_not_sent(peer: Start, sender: Open) -> None:
    server = peer(always("BODY", DROP))
    receipts = list(sender(server.port).send(mails(1, "x" * 5_000_000)))
    # Either the write failed, or the system took it all before the reset: never accepted, never failed.
    assert receipts[0].state in (DEFERRED, UNKNOWN)
    assert server.bodies == []


def test_a_message_that_always_breaks_the_connection_does_not_stop_the_others(
    peer: Start, sender: Open
) -> None:
    poison = iter([1, 2])

    def script(step: Step) -> str | None:
        return DROP if step.verb == "MAIL" and step.transaction in (1, 2) and next(poison, None) else None

    receipts = list(sender(peer(script).port).send(mails(3)))
    assert states(receipts) == [DEFERRED, ACCEPTED, ACCEPTED]


def test_a_server_that_always_drops_is_left_alone(peer: Start, sender: Open, time: Time) -> None:
    server = peer(always("MAIL", DROP))
    receipts = list(sender(server.port).send(mails(50)))
    assert states(receipts) == [DEFERRED] * 50
    assert server.connections == 3
    assert {receipt.retry_at for receipt in receipts[2:]} == {NOW + DOWN_FOR}


def test_a_server_that_comes_back_is_used_again(peer: Start, sender: Open, time: Time) -> None:
    server = peer(lambda step: DROP if step.verb == "MAIL" and step.connection <= 3 else None)
    opened = sender(server.port)
    assert states(list(opened.send(mails(5)))) == [DEFERRED] * 5
    time.now += DOWN_FOR
    assert states(list(opened.send(mails(5)))) == [ACCEPTED] * 5


def test_no_server_at_all(peer: Start, sender: Open) -> None:
    server = peer()
    server.close()
    receipts = list(sender(server.port).send(mails(10)))
    assert states(receipts) == [DEFERRED] * 10
    assert receipts[0].detail
    assert "account newsletter (127.0.0.1:" in receipts[0].detail
    assert "cannot be reached" in receipts[0].detail


@pytest.mark.parametrize("reply", ["421 too busy", "450 later", DROP])
def test_a_server_that_does_not_greet_us_now(peer: Start, sender: Open, reply: str) -> None:
    assert states(list(sender(peer(always("CONNECT", reply)).port).send(mails(2)))) == [DEFERRED] * 2


def test_an_idle_connection_that_was_closed_costs_nothing(peer: Start, sender: Open) -> None:
    server = peer(lambda step: DROP if step.verb == "MAIL" and step.transaction == 2 else None)
    opened = sender(server.port)
    assert states(list(opened.send(mails(1)))) == [ACCEPTED]
    assert states(list(opened.send(mails(1)))) == [ACCEPTED]


def test_a_refused_reset_costs_a_connection_not_a_message(peer: Start, sender: Open) -> None:
    server = peer(
        lambda step: (
            {"RCPT": "550 5.1.1 no", "RSET": "500 no"}.get(step.verb) if step.transaction == 1 else None
        )
    )
    assert states(list(sender(server.port).send(mails(2)))) == [FAILED, ACCEPTED]


@pytest.mark.parametrize(
    "reply", ["550 5.1.1 <anna0@shop.example> is no user, call +46 70 123 45 67", "550 5.1.1 a\x00b\x1b[0m"]
)
def test_no_address_is_in_the_detail(peer: Start, sender: Open, reply: str) -> None:
    detail = next(iter(sender(peer(always("RCPT", reply)).port).send(mails(1)))).detail
    assert detail
    assert "anna0" not in detail
    assert "4670" not in detail.replace(" ", "")
    assert detail.isprintable()


@pytest.mark.parametrize(
    ("address", "detail"),
    [
        ("åsa@shop.example", "the part before the @ is not ASCII and would need SMTPUTF8"),
        ("anna@shop", "the domain is not a valid one"),
        ("a@shop.example>\r\nRCPT TO:<b@shop.example", "the part before the @ is not a valid one"),
    ],
)
def test_an_address_that_smtp_cannot_carry(peer: Start, sender: Open, address: str, detail: str) -> None:
    server = peer()
    first, second = mails(2)
    broken = type(first)(first.message_id, address, first.content)
    receipts = list(sender(server.port).send([broken, second]))
    assert (receipts[0].state, receipts[0].reason) == (FAILED, DeliveryReason.ADDRESS_REFUSED)
    assert receipts[0].detail == detail
    assert receipts[1].state is ACCEPTED


def test_dots_at_the_start_of_lines_arrive(peer: Start, sender: Open, extensions: tuple[str, ...]) -> None:
    server = peer()
    list(sender(server.port).send(mails(1, "one\n.two\n..three\n.\nfour")))
    stuffed = b"\r\n..two\r\n" if "CHUNKING" not in extensions else b"\r\n.two\r\n"
    assert stuffed in server.bodies[0]
    assert b"four" in server.bodies[0]
