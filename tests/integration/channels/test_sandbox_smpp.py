"""Text messages over SMPP against the sandbox's centre: what it reads is what was written; it reports and
answers.

The same centre with smpplib's client: it is not only our own that it understands."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
import smpplib.client
import smpplib.consts
import smpplib.exceptions

from kundresa.channels import account_from_uri, open_sender
from kundresa.channels.smpp_deliver import Arrival, DeliveryReport, TextReply
from kundresa.channels.smpp_receiver import receive_reports
from kundresa.channels.smpp_session import OnReports
from kundresa.sandbox import received
from kundresa.sandbox.ports import Ports
from kundresa.sandbox.submission import SubmissionError, read_submission
from kundresa.spec.channels import SmsChannel
from kundresa.spec.messages import Message, Receipt, SmsContent
from kundresa.spec.vocabulary import MessageState

from .conftest import NOW

SMS = SmsChannel(kind="sms", template="m", account="a", sender="Shop")
Start = Callable[..., tuple[Ports, Path]]
Send = Callable[..., list[Receipt]]


@pytest.fixture
def send() -> Send:
    """Sends texts by an account that leads to the sandbox; waits for so many reports and replies."""

    def run(
        ports: Ports, texts: dict[str, str], arrived: list[Arrival] | None = None, wait_for: int = 0
    ) -> list[Receipt]:
        def keep(found: Sequence[Arrival]) -> Sequence[Arrival]:
            assert arrived is not None
            arrived.extend(found)
            return ()

        on_reports: OnReports | None = None if arrived is None else keep
        account = account_from_uri(ports.smpp_uri, name="texts")
        sender = open_sender(
            SMS,
            account,
            lambda: NOW,
            run_key="r",
            on_reports=on_reports,
            valid_until=NOW + timedelta(hours=84),
        )
        with contextlib.closing(sender):
            messages = [
                Message(f"{number:032x}", to, SmsContent(text))
                for number, (to, text) in enumerate(texts.items())
            ]
            receipts = list(sender.send(messages))
            end = monotonic() + 20
            while arrived is not None and len(arrived) < wait_for:
                assert monotonic() < end, arrived
                sleep(0.05)
                list(sender.send([]))  # it turns
        return receipts

    return run


def test_texts_arrive_whole_with_what_was_said_of_them(sandbox: Start, send: Send) -> None:
    ports, folder = sandbox()
    texts = {
        "+46701234567": "Hej Åsa {€}",
        "+46701234568": "x" * 400,
        "+46701234569": "日本" * 60 + "👋",
        "+46701230000": "nobody",
    }
    receipts = send(ports, texts)
    assert Counter(each.state for each in receipts) == {MessageState.ACCEPTED: 3, MessageState.FAILED: 1}
    rows = {row.recipient: row for row in received(folder)}
    assert {to: row.body.decode() for to, row in rows.items()} == {
        to: text for to, text in texts.items() if text != "nobody"
    }
    assert {row.provider_id for row in rows.values()} <= {each.provider_id for each in receipts}
    assert {row.sender for row in rows.values()} == {"Shop"}
    assert [row.subject for row in sorted(rows.values(), key=lambda row: row.recipient)] == [
        "SMPP, 1 segment, valid for 3 days, 12 hours",
        "SMPP, 3 segments, valid for 3 days, 12 hours",
        "SMPP, 2 segments, valid for 3 days, 12 hours",
    ]


def test_reports_and_a_stop_come_to_who_sends(sandbox: Start, send: Send) -> None:
    ports, _ = sandbox()
    arrived: list[Arrival] = []
    texts = {"+46701234567": "Hello", "+46701230001": "Hello", "+46701237867": "y" * 200}
    receipts = send(ports, texts, arrived, 4)
    reports = {each.provider_id: each.state for each in arrived if isinstance(each, DeliveryReport)}
    ids = [each.provider_id for each in sorted(receipts, key=lambda each: each.message_id)]
    assert reports == {ids[0]: "DELIVRD", ids[1]: "UNDELIV", ids[2]: "DELIVRD"}
    assert [(each.sender, each.text) for each in arrived if isinstance(each, TextReply)] == [
        ("+46701237867", "STOP")
    ]


def test_what_comes_later_waits_for_who_receives(sandbox: Start, send: Send) -> None:
    """Also what the receiver could not keep yet."""
    ports, _ = sandbox()
    sent: list[Arrival] = []
    send(ports, {"+46701234567": "Hello"}, sent)  # gone before its report
    taken: list[Arrival] = []
    turned_away: list[Arrival] = []

    def keep(found: Sequence[Arrival]) -> Sequence[Arrival]:
        if found and not turned_away:
            turned_away.extend(found)
            return found
        taken.extend(found)
        return ()

    end = monotonic() + 30
    account = account_from_uri(ports.smpp_uri, name="texts")
    assert receive_reports(account, keep, may_go_on=lambda: not taken and monotonic() < end)
    assert taken == turned_away
    assert len(taken) == 1


def test_it_understands_smpplib(sandbox: Start) -> None:
    ports, folder = sandbox()
    client = smpplib.client.Client("127.0.0.1", ports.smpp, allow_unknown_opt_params=True)
    answers: list[tuple[int, int]] = []
    client.set_message_sent_handler(lambda pdu: answers.append((pdu.sequence, pdu.status)))
    client.connect()
    client.bind_transceiver(system_id="other", password="any")
    for validity in ("261126210000012+", "0000"):
        client.send_message(
            source_addr_ton=smpplib.consts.SMPP_TON_ALNUM,
            source_addr="Shop",
            dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
            dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
            destination_addr="46701234567",
            short_message=b"Hello",
            validity_period=validity,
        )
        with contextlib.suppress(smpplib.exceptions.PDUError):
            client.read_once()
    client.disconnect()
    [row] = received(folder)
    assert (row.body, row.subject) == (b"Hello", "SMPP, 1 segment, valid until 2026-11-26 21:00:00 +03:00")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 0x01),
        (b"\0\5\0Shop\0\1\0014670\0", 0x01),
        (b"\0\5\0Shop\0\1\00146701234567\0\0\0\0\0\0\0\0\0\0\x09short", 0x01),
        (b"\0\5\0Shop\0\1\00146701234567\0\0\0\0\0tomorrow\0\0\0\0\0\5Hello", 0x62),
    ],
)
def test_what_is_no_message_is_refused(body: bytes, status: int) -> None:
    with pytest.raises(SubmissionError) as caught:
        read_submission(body)
    assert caught.value.status == status


def test_a_text_beside_its_message_is_read() -> None:
    """message_payload, and no short_message."""
    body = b"\0\5\0Shop\0\1\00146701234567\0\0\0\0\0\0\0\0\0\0\0" + b"\x02\x0c\0\2\0\1" + b"\x04\x24\0\5Hello"
    assert read_submission(body).text == "Hello"
