"""SMPP against a text message centre whose decoder is smpplib's."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic, sleep

import pytest

from kundresa.channels import AccountError, account_from_uri
from kundresa.channels.http_peer import AnswerLostError
from kundresa.channels.smpp import SmppSender
from kundresa.channels.smpp_pdu import ENQUIRE_LINK, GENERIC_NACK, RESPONSE, SUBMIT_SM, pack, unpack
from kundresa.channels.smpp_session import SmppSession
from kundresa.spec.channels import SmsChannel
from kundresa.spec.vocabulary import DeliveryReason, MessageState

from .conftest import Time
from .smpp_peers import Open, texts
from .smsc import Centre

ACCEPTED, DEFERRED, FAILED, UNKNOWN = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.FAILED,
    MessageState.UNKNOWN,
)


def test_every_text_is_taken_and_has_the_centres_id(centre: Callable[..., Centre], smpp_sender: Open) -> None:
    peer = centre()
    sender, messages = smpp_sender(peer.port), texts(250, "Hej Åsa {€}")
    receipts = [*sender.send(messages[:130]), *sender.send(messages[130:])]
    assert {each.state for each in receipts} == {ACCEPTED}
    assert sorted(each.message_id for each in receipts) == [each.message_id for each in messages]
    assert len({each.provider_id for each in receipts}) == 250
    first = peer.submitted[0]
    assert (first.source_addr, first.source_addr_ton, first.source_addr_npi) == (b"Shop", 5, 0)
    assert (first.destination_addr, first.dest_addr_ton, first.dest_addr_npi) == (b"46700000000", 1, 1)
    assert (first.data_coding, first.esm_class, first.registered_delivery) == (0, 0, 0)
    assert first.short_message == b"Hej \x0esa \x1b\x28\x1b\x65\x1b\x29"
    assert peer.commands.count("bind") == 1


def test_a_long_text_is_joined_by_its_header(centre: Callable[..., Centre], smpp_sender: Open) -> None:
    peer = centre()
    [receipt] = smpp_sender(peer.port, sender="+447700900123").send(texts(1, "日" * 66 + "👋" + "本" * 80))
    assert receipt.state is ACCEPTED
    assert (receipt.provider_id, receipt.detail) == ("id3", "segments id1,id2,id3")
    assert [unit.registered_delivery for unit in peer.submitted] == [0, 0, 0]
    assert peer.binds == [0x2]
    assert [unit.source_addr for unit in peer.submitted] == [b"447700900123"] * 3
    headers = [unit.short_message[:6] for unit in peer.submitted]
    assert {each[:3] for each in headers} == {b"\5\0\3"}
    assert len({each[3] for each in headers}) == 1
    assert [(each[4], each[5]) for each in headers] == [(3, 1), (3, 2), (3, 3)]
    assert {(unit.esm_class, unit.data_coding) for unit in peer.submitted} == {(0x40, 8)}
    whole = b"".join(unit.short_message[6:] for unit in peer.submitted)
    assert whole.decode("utf-16-be") == "日" * 66 + "👋" + "本" * 80


def test_the_rate_is_kept_at_the_centre(centre: Callable[..., Centre], time: Time) -> None:
    """Of segments, the first ones as well: 12 at 10 a second take 1.1 seconds, over two windows."""
    moments: list[float] = []

    def note(_number: int, _unit: object) -> int:
        moments.append(monotonic())
        return 0

    peer = centre(answer=note)
    channel = SmsChannel(kind="sms", template="m", account="texts", sender="Shop")
    account = account_from_uri(f"smpp://shop:secret@127.0.0.1:{peer.port}/?timeout=10&rate=10", name="texts")
    with contextlib.closing(SmppSender(channel, account, clock=time.clock)) as sender:
        messages = texts(4, "x" * 400)
        receipts = [*sender.send(messages[:2]), *sender.send(messages[2:])]
    assert {each.state for each in receipts} == {ACCEPTED}
    assert len(moments) == 12
    # What makes the first one late on a busy machine makes the whole shorter, hence not 1.1.
    assert moments[-1] - moments[0] > 0.8


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (0x0B, FAILED, DeliveryReason.ADDRESS_REFUSED),
        (0x45, FAILED, DeliveryReason.MESSAGE_REFUSED),
        (0x0400, FAILED, DeliveryReason.MESSAGE_REFUSED),
        (0x08, DEFERRED, DeliveryReason.TEMPORARY_FAILURE),
        (0x58, DEFERRED, DeliveryReason.TEMPORARY_FAILURE),
    ],
)
def test_a_status_is_classified(
    centre: Callable[..., Centre],
    smpp_sender: Open,
    status: int,
    state: MessageState,
    reason: DeliveryReason,
) -> None:
    peer = centre(answer=lambda _number, _pdu: status)
    [receipt] = smpp_sender(peer.port).send(texts(1))
    assert (receipt.state, receipt.reason) == (state, reason)


def test_an_invalid_number_is_suppressed_once_a_text_was_taken(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    """A centre that wants numbers in another form finds all of them invalid."""
    statuses = {1: 0x0B, 3: 0x0B, 4: 0x50}
    sender = smpp_sender(centre(answer=lambda number, _: statuses.get(number, 0)).port, "&window=1")
    receipts = list(sender.send(texts(4)))
    assert [each.state for each in receipts] == [FAILED, ACCEPTED, FAILED, FAILED]
    assert [each.suppress for each in receipts] == [None, None, "hard_bounce", None]


def test_a_centre_that_is_too_slow_is_given_time(
    centre: Callable[..., Centre], smpp_sender: Open, time: Time
) -> None:
    peer = centre(answer=lambda number, _: 0x58 if number in (3, 4) else 0)
    receipts = list(smpp_sender(peer.port, "&window=1").send(texts(6)))
    assert {each.state for each in receipts} == {ACCEPTED}
    assert peer.count == 8
    assert time.slept
    assert max(time.slept) <= 1.0


def test_what_was_written_and_not_answered_is_unknown_and_the_rest_goes_over_a_new_connection(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    peer = centre(answer=lambda number, _: "drop" if number == 20 else 0)
    receipts = list(smpp_sender(peer.port, "&window=5").send(texts(60)))
    states = Counter(each.state for each in receipts)
    assert states[ACCEPTED] + states[UNKNOWN] == 60
    assert 1 <= states[UNKNOWN] <= 5
    assert peer.commands.count("bind") == 2
    taken = [unit.destination_addr for unit in peer.submitted]
    assert len(taken) == len(set(taken))


def test_an_answer_that_does_not_come_is_unknown(centre: Callable[..., Centre], smpp_sender: Open) -> None:
    peer = centre(answer=lambda number, _: "stall" if number == 2 else 0)
    receipts = list(smpp_sender(peer.port, "&timeout=0.5&window=2").send(texts(5)))
    assert Counter(each.state for each in receipts) == {ACCEPTED: 4, UNKNOWN: 1}


def test_a_part_that_was_taken_is_never_sent_again(centre: Callable[..., Centre], smpp_sender: Open) -> None:
    peer = centre(answer=lambda number, _: 0x08 if number == 2 else 0)
    [receipt] = smpp_sender(peer.port).send(texts(1, "x" * 400))
    assert receipt.state is FAILED
    assert receipt.detail == "1 of 3 segments were taken; then ESME_RSYSERR"


@pytest.mark.parametrize(("password", "status"), [("wrong", "ESME_RINVPASWD")])
def test_a_wrong_password_shows_when_it_is_opened(
    centre: Callable[..., Centre], smpp_sender: Open, password: str, status: str
) -> None:
    peer = centre()
    with pytest.raises(AccountError, match=f"refused the login: {status}") as caught:
        smpp_sender(peer.port, password=password)
    assert "wrong" not in str(caught.value)


def test_a_sender_that_the_centre_does_not_know(centre: Callable[..., Centre], smpp_sender: Open) -> None:
    peer = centre(answer=lambda _number, _pdu: 0x0A)
    with pytest.raises(AccountError, match="refuses the sender: ESME_RINVSRCADR"):
        list(smpp_sender(peer.port).send(texts(3)))


def test_no_centre_at_all(smpp_sender: Open, time: Time) -> None:
    receipts = list(smpp_sender(1).send(texts(10)))
    assert {each.state for each in receipts} == {DEFERRED}
    assert time.slept == [0.2, 1.0]


def test_a_quiet_connection_is_asked_whether_it_is_there(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    import time as clock

    peer = centre()
    sender = smpp_sender(peer.port, "&enquire=1")
    list(sender.send(texts(1)))
    clock.sleep(1.1)
    list(sender.send(texts(1)))
    assert "enquire" in peer.commands


def test_one_that_does_not_say_that_it_is_there_is_left(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    """Before anything is written to it: what follows goes over a new connection, and nothing is unknown."""
    peer = centre(silent_to=frozenset({"enquire"}))
    sender = smpp_sender(peer.port, "&enquire=1&timeout=0.3")
    assert [each.state for each in sender.send(texts(1))] == [ACCEPTED]
    sleep(1.1)
    assert [each.state for each in sender.send(texts(3))] == [ACCEPTED] * 3
    assert "enquire" in peer.commands
    others = [each for each in peer.commands if each != "enquire"]
    assert others == ["bind", "submit", "bind", "submit", "submit", "submit"]


def asked(arrives: Sequence[bytes]) -> tuple[int, bool]:
    """Status of what passes for the answer to a submit_sm, the first question of a connection (-1 when none
    does), and whether the connection goes on."""

    class Wire(asyncio.Transport):
        is_open = True

        def is_closing(self) -> bool:
            return not self.is_open

        def write(self, data: bytes | bytearray | memoryview) -> None: ...

        def abort(self) -> None:
            self.is_open = False

        close = abort

    async def arrive() -> tuple[int, bool]:
        session, wire = SmppSession(None, 30.0), Wire()
        session.connection_made(wire)
        question = asyncio.ensure_future(session.ask(SUBMIT_SM, b"", 0.05))
        await asyncio.sleep(0)
        session.data_received(b"".join(arrives))
        try:
            status, _ = await question
        except AnswerLostError:
            return -1, wire.is_open
        return status, wire.is_open

    return asyncio.run(arrive())


def test_only_its_own_answer_is_the_answer_to_a_text() -> None:
    answer, garbage = pack(SUBMIT_SM | RESPONSE, 0, 1, b"id\0"), b"\0\0\0\1" * 4
    assert asked([answer]) == (0, True)
    assert asked([pack(GENERIC_NACK, 3, 1)]) == (3, True)
    assert asked([pack(ENQUIRE_LINK | RESPONSE, 0, 1)]) == (-1, True)
    assert asked([pack(SUBMIT_SM | RESPONSE, 0, 2, b"id\0"), pack(0x80000103, 0, 1), answer]) == (0, True)
    # What came whole before garbage counts; then the connection is over.
    assert asked([answer, garbage]) == (0, False)
    assert asked([garbage, answer]) == (-1, False)


def test_clear_text_needs_to_be_allowed() -> None:
    with pytest.raises(AccountError, match="would send its password unencrypted"):
        account_from_uri("smpp://shop:secret@smsc.example")
    assert account_from_uri("smpp://shop:secret@smsc.example?clear_text=allowed").port == 2775
    assert account_from_uri("smpps://shop:secret@smsc.example").port == 3550


def test_units_arrive_in_pieces() -> None:
    octets = b"\0\0\0\x10\x80\0\0\x15\0\0\0\0\0\0\0\7" * 2
    buffer = bytearray(octets[:20])
    assert [unit.sequence for unit in unpack(buffer)] == [7]
    buffer += octets[20:]
    assert [unit.sequence for unit in unpack(buffer)] == [7]
    assert not buffer
