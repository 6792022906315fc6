"""SMPP against a text message centre whose decoder is smpplib's."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from time import monotonic, sleep
from typing import Any

import pytest

from kundresa.channels import AccountError, account_from_uri
from kundresa.channels.http_peer import AnswerLostError
from kundresa.channels.smpp import SmppSender
from kundresa.channels.smpp_deliver import Arrival, DeliveryReport, TextReply, read_deliver
from kundresa.channels.smpp_pdu import (
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    RESPONSE,
    SUBMIT_SM,
    pack,
    unpack,
)
from kundresa.channels.smpp_session import OnReports, SmppSession
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, SmsContent
from kundresa.spec.vocabulary import DeliveryReason, MessageState

from .conftest import NOW, Time
from .smsc import Centre, Reply

ACCEPTED, DEFERRED, FAILED, UNKNOWN = (
    MessageState.ACCEPTED,
    MessageState.DEFERRED,
    MessageState.FAILED,
    MessageState.UNKNOWN,
)
Open = Callable[..., SmppSender]


def texts(count: int, text: str = "Hello") -> list[Message]:
    return [Message(f"{number:032x}", f"+4670{number:07d}", SmsContent(text)) for number in range(count)]


@pytest.fixture
def centre() -> Iterator[Callable[..., Centre]]:
    with contextlib.ExitStack() as stack:

        def start(**options: object) -> Centre:
            built = Centre(**options).start()  # type: ignore[arg-type]
            stack.callback(built.stop)
            return built

        yield start


@pytest.fixture
def smpp_sender(time: Time) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        async def sleep(seconds: float) -> None:
            time.sleep(seconds)

        def build(
            port: int,
            query: str = "",
            sender: str = "Shop",
            password: str = "secret",
            on_reports: OnReports | None = None,
            valid_until: datetime | None = None,
        ) -> SmppSender:
            account = account_from_uri(
                f"smpp://shop:{password}@127.0.0.1:{port}/?timeout=2{query}", name="texts"
            )
            channel = SmsChannel(kind="sms", template="m", account="texts", sender=sender)
            built = SmppSender(
                channel,
                account,
                clock=time.clock,
                sleep=sleep,
                on_reports=on_reports,
                valid_until=valid_until,
            )
            stack.callback(built.close)
            built.open()
            return built

        yield build


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


def test_reports_reach_the_hook_and_are_answered(centre: Callable[..., Centre], smpp_sender: Open) -> None:
    peer = centre(reports=True)
    reports: list[DeliveryReport] = []

    def keep(arrived: Sequence[DeliveryReport]) -> Sequence[DeliveryReport]:
        first = not reports
        reports.extend(arrived)
        if first:
            raise OSError("the store is away")
        return ()

    sender = smpp_sender(peer.port, on_reports=keep)
    receipts = list(sender.send(texts(50)))
    ids = {each.provider_id for each in receipts}
    end = monotonic() + 20
    # Reports come when they come, and are answered when the sender turns again: it does with each text.
    while not (ids <= {report.provider_id for report in reports} and 0 in peer.report_answers):
        assert monotonic() < end, (len(reports), Counter(peer.report_answers))
        receipts += sender.send(texts(1))
    # From here on it turns no more: what has reached the hook has its answer on the way, and no other.
    arrived = len(reports)
    while len(peer.report_answers) < arrived:
        assert monotonic() < end, (arrived, Counter(peer.report_answers))
        sleep(0.01)
    assert len(peer.report_answers) == arrived
    assert 1 <= Counter(peer.report_answers)[0x64] < arrived
    sender.close()
    assert {unit.registered_delivery for unit in peer.submitted} == {1}
    by_id = {report.provider_id: report for report in reports}
    assert ids <= set(by_id)
    assert by_id["id1"] == DeliveryReport("id1", "DELIVRD", "000")
    assert by_id["id1"].is_delivered
    assert peer.binds == [0x9]


def deliver_sm(text: str) -> bytes:
    octets = text.encode("latin-1")
    return b"\0\1\0014670\0\5\0Shop\0" + b"\x04\0\0\0\0\0\0\0\0" + bytes([len(octets)]) + octets


def answers(bodies: Sequence[bytes], on_reports: OnReports) -> list[tuple[int, int]]:
    """Number and status of each answer to some deliver_sm that arrive in one piece."""

    class Wire(asyncio.Transport):
        written = bytearray()

        def is_closing(self) -> bool:
            return False

        def write(self, data: bytes | bytearray | memoryview) -> None:
            self.written += data

    async def arrive() -> list[tuple[int, int]]:
        session, wire = SmppSession(on_reports, 30.0), Wire()
        session.connection_made(wire)
        session.data_received(
            b"".join(pack(DELIVER_SM, 0, number, body) for number, body in enumerate(bodies, start=1))
        )
        await asyncio.sleep(0)
        return [(unit.sequence, unit.status) for unit in unpack(wire.written)]

    return asyncio.run(arrive())


def test_each_report_has_its_own_answer() -> None:
    """One that is cut short is refused for good; one that the hook cannot use yet is asked for again."""
    arrived: list[Arrival] = []

    def keep(reports: Sequence[Arrival]) -> Sequence[Arrival]:
        arrived.extend(reports)
        return [each for each in reports if isinstance(each, DeliveryReport) and each.provider_id == "later"]

    good, later = deliver_sm("id:now stat:DELIVRD err:000"), deliver_sm("id:later stat:DELIVRD err:000")
    reply = b"\0\1\0014670\0\5\0Shop\0" + b"\0\0\0\0\0\0\0\0\0\2hi"
    assert answers([good, good[:-3], later, reply], keep) == [(1, 0), (2, 0x65), (3, 0x64), (4, 0)]
    assert [each.provider_id for each in arrived if isinstance(each, DeliveryReport)] == ["now", "later"]
    [said] = [each for each in arrived if isinstance(each, TextReply)]
    assert (said.sender, said.text) == ("+4670", "hi")


def test_a_report_has_no_control_characters() -> None:
    """PostgreSQL takes no NUL in a text, and nobody wants the others."""
    told = read_deliver(deliver_sm("id:ab\0c stat:DELI\x01VRD err:0\x8500\x7f"))
    assert told == DeliveryReport("abc", "DELIVRD", "0")
    option = b"\x00\x1e\x00\x05a\0bc\0"
    assert read_deliver(deliver_sm("stat:UNDELIV err:0\x021") + option) == DeliveryReport(
        "abc", "UNDELIV", "01"
    )
    assert read_deliver(deliver_sm("id:\0 stat:DELIVRD")) is None


def test_of_a_long_text_the_last_segment_is_reported(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    peer = centre(reports=True)
    reports: list[DeliveryReport] = []
    sender = smpp_sender(peer.port, on_reports=lambda arrived: reports.extend(arrived) or ())
    [receipt] = sender.send(texts(1, "x" * 400))
    sender.close()
    assert [unit.registered_delivery for unit in peer.submitted] == [0, 0, 1]
    assert [each.provider_id for each in reports] == [receipt.provider_id]


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


@pytest.mark.parametrize(
    ("query", "left", "period"),
    [
        ("", timedelta(hours=84), b"000003120000000R"),
        ("", timedelta(days=14), b"000014000000000R"),
        ("", timedelta(minutes=10, seconds=7, microseconds=900_000), b"000000001007000R"),
        # What a centre makes of no time at all is not asked; delivery withholds what is over.
        ("", timedelta(minutes=4), b"000000000500000R"),
        ("", timedelta(seconds=-3), b"000000000500000R"),
        ("&validity=absolute", timedelta(seconds=1), b"261123090500000+"),
        ("&validity=relative&validity_hours=48", timedelta(hours=84), b"000002000000000R"),
        ("&validity=absolute", timedelta(hours=84), b"261126210000000+"),
        ("&validity=absolute&validity_hours=1", timedelta(hours=84), b"261123100000000+"),
        ("&validity=none", timedelta(hours=84), b""),
        ("", None, b""),
    ],
)
def test_a_text_says_until_when_it_may_be_delivered(
    centre: Callable[..., Centre],
    smpp_sender: Open,
    query: str,
    left: timedelta | None,
    period: bytes,
) -> None:
    peer = centre()
    sender = smpp_sender(peer.port, query, valid_until=None if left is None else NOW + left)
    [receipt] = sender.send(texts(1, "x" * 200))
    assert receipt.state is ACCEPTED
    assert [unit.validity_period for unit in peer.submitted] == [period, period]


@pytest.mark.parametrize("length", [10, 200])
def test_a_centre_that_takes_no_such_validity_gets_texts_without(
    centre: Callable[..., Centre], smpp_sender: Open, caplog: pytest.LogCaptureFixture, length: int
) -> None:
    refused: list[bytes] = []

    def answer(_number: int, unit: Any) -> int:
        if unit.validity_period:
            refused.append(unit.validity_period)
        return 0x62 if unit.validity_period else 0

    peer = centre(answer=answer)
    sender = smpp_sender(peer.port, "&window=1", valid_until=NOW + timedelta(hours=84))
    assert [each.state for each in sender.send(texts(3, "x" * length))] == [ACCEPTED] * 3
    assert [each.state for each in sender.send(texts(2, "x" * length))] == [ACCEPTED] * 2
    assert len(refused) == 1, "it is tried once"
    assert len(peer.submitted) == (5 if length == 10 else 10)
    [told] = [each.getMessage() for each in caplog.records if "validity" in each.getMessage()]
    assert "set validity=absolute, validity_hours=48 or validity=none" in told


def test_many_at_once_that_are_refused_for_their_validity_are_all_taken(
    centre: Callable[..., Centre], smpp_sender: Open, caplog: pytest.LogCaptureFixture
) -> None:
    peer = centre(answer=lambda _number, unit: 0x62 if unit.validity_period else 0)
    sender = smpp_sender(peer.port, valid_until=NOW + timedelta(hours=84))
    assert {each.state for each in sender.send(texts(20))} == {ACCEPTED}
    assert len([each for each in caplog.records if "validity" in each.getMessage()]) == 1


def test_a_centre_that_speaks_of_a_validity_where_none_is_said_has_refused_the_text(
    centre: Callable[..., Centre], smpp_sender: Open
) -> None:
    peer = centre(answer=lambda _number, _pdu: 0x62)
    for query in ("", "&validity=none"):
        sender = smpp_sender(peer.port, query, valid_until=NOW + timedelta(hours=84))
        assert {each.state for each in sender.send(texts(3))} == {FAILED}


@pytest.mark.parametrize("query", ["&validity=3d", "&validity_hours=0", "&validity_hours=400"])
def test_a_validity_that_cannot_be(centre: Callable[..., Centre], smpp_sender: Open, query: str) -> None:
    with pytest.raises(AccountError, match=r"account texts: validity"):
        smpp_sender(centre().port, query)


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


def test_a_report_by_its_options_only() -> None:
    body = b"\0\1\0014670\0\5\0Shop\0" + b"\x04\0\0\0\0\0\0\0\0\0"
    body += b"\x00\x1e\x00\x04abc\0" + b"\x04\x27\x00\x01\x05"
    assert read_deliver(body) == DeliveryReport("abc", "UNDELIV", "")
    network = b"\x04\x23\x00\x03\x03\x00\x1b"
    assert read_deliver(body + network) == DeliveryReport("abc", "UNDELIV", "", gsm_error=27)
    assert read_deliver(body + network.replace(b"\3\0\x1b", b"\1\0\x1b")) == DeliveryReport(
        "abc", "UNDELIV", ""
    )
    # An intermediate notification is of neither kind.
    assert read_deliver(b"\0\1\0014670\0\5\0Shop\0" + b"\x20\0\0\0\0\0\0\0\0\2hi") is None


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply("46701234567", b"STOP"), ("+46701234567", "STOP")),
        (Reply("+46701234567", b"STOP"), ("+46701234567", "STOP")),
        (Reply("46701234567", b"stop\0", kind=0), ("+46701234567", "stop@")),
        (Reply("0046701234567", b"STOP", kind=0), ("+46701234567", "STOP")),
        # No country is said, and none is guessed.
        (Reply("0701234567", b"STOP", kind=0), ("0701234567", "STOP")),
        (Reply("701234567", b"STOP", kind=2), ("701234567", "STOP")),
        (Reply("Tele2", b"Top up now", kind=5), ("Tele2", "Top up now")),
        (Reply("33612345678", "ARR\u00caT".encode("utf-16-be"), coding=8), ("+33612345678", "ARR\u00caT")),
        (Reply("33612345678", "arr\u00eat".encode("latin-1"), coding=3), ("+33612345678", "arr\u00eat")),
        (Reply("46701234567", b"avsluta \x0f \x1be"), ("+46701234567", "avsluta \u00e5 \u20ac")),
        (Reply("46701234567", b"\5\0\3\7\2\1STOP", esm_class=0x40), ("+46701234567", "STOP")),
        (Reply("46701234567", b"", options=b"\x04\x24\x00\x04STOP"), ("+46701234567", "STOP")),
    ],
)
def test_what_a_person_writes(reply: Reply, expected: tuple[str, str]) -> None:
    said = read_deliver(reply.body())
    assert isinstance(said, TextReply)
    assert (said.sender, said.text) == expected


@pytest.mark.parametrize(
    "reply",
    [
        Reply("46701234567", b"\5\0\3\7\2\2and more", esm_class=0x40),
        Reply("46701234567", b"\6\x08\4\0\7\2\2and more", esm_class=0x40),
        Reply("46701234567", b"and more", options=b"\x02\x0f\x00\x01\x02"),
    ],
)
def test_a_later_segment_is_no_reply_of_its_own(reply: Reply) -> None:
    assert read_deliver(reply.body()) is None


def test_units_arrive_in_pieces() -> None:
    octets = b"\0\0\0\x10\x80\0\0\x15\0\0\0\0\0\0\0\7" * 2
    buffer = bytearray(octets[:20])
    assert [unit.sequence for unit in unpack(buffer)] == [7]
    buffer += octets[20:]
    assert [unit.sequence for unit in unpack(buffer)] == [7]
    assert not buffer
