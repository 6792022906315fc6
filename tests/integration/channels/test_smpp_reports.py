"""Delivery reports and replies over SMPP: each has its answer and is read as what it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from time import monotonic, sleep

import pytest

from kundresa.channels.smpp_deliver import Arrival, DeliveryReport, TextReply, read_deliver
from kundresa.channels.smpp_pdu import DELIVER_SM, pack, unpack
from kundresa.channels.smpp_session import OnReports, SmppSession

from .smpp_peers import Open, texts
from .smsc import Centre, Reply


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
