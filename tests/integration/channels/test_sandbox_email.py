"""SmtpSender against the sandbox: what is accepted is stored, and the other way round."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from kundresa.channels.email import SmtpSender
from kundresa.sandbox import counts, received
from kundresa.sandbox.faults import Faults
from kundresa.sandbox.ports import Ports
from kundresa.sandbox.reader import message_ids
from kundresa.spec.messages import Attachment
from kundresa.spec.vocabulary import MessageState

from .conftest import RUN_KEY, mails

Start = Callable[..., tuple[Ports, Path]]
Open = Callable[..., SmtpSender]


def test_every_accepted_message_is_stored_with_its_id(sandbox: Start, sender: Open) -> None:
    ports, folder = sandbox()
    receipts = list(sender(ports.smtp).send(mails(25)))
    assert {receipt.state for receipt in receipts} == {MessageState.ACCEPTED}
    rows = received(folder)
    ids = {receipt.message_id: receipt.provider_id for receipt in receipts}
    assert {row.message_id: row.provider_id for row in rows} == ids
    assert {row.message_id: row.recipient for row in rows} == {
        f"{number:032x}": f"anna{number}@shop.example" for number in range(25)
    }
    assert {row.run_key for row in rows} == {RUN_KEY}
    assert {row.sender for row in rows} == {"hello@shop.example"}
    [count] = counts(folder)
    assert (count.run_key, count.channel) == (RUN_KEY, "email")
    assert (count.arrivals, count.messages, count.recipients) == (25, 25, 25)


def test_attachments_arrive(sandbox: Start, sender: Open) -> None:
    ports, folder = sandbox()
    terms = Attachment("terms.pdf", "application/pdf", b"%PDF-1.7 \x00\xff\r\n.\r\n" * 1_000)
    window = [
        replace(each, content=replace(each.content, attachments=(terms,)))  # type: ignore[type-var]
        for each in mails(3)
    ]
    assert {each.state for each in sender(ports.smtp).send(window)} == {MessageState.ACCEPTED}
    for row in received(folder):
        mail = email.message_from_bytes(row.body, policy=email.policy.default)
        [attached] = mail.iter_attachments()
        assert (attached.get_filename(), attached.get_content()) == ("terms.pdf", terms.octets)
        body = mail.get_body(preferencelist=("plain",))
        assert body is not None
        assert body.get_content().splitlines() == ["Hello"]


def test_faults_are_refusals_and_the_rest_arrives(sandbox: Start, sender: Open) -> None:
    ports, folder = sandbox(Faults(smtp_every=5, smtp_stage="rcpt", smtp_reply="550 5.1.1 no such user"))
    receipts = list(sender(ports.smtp).send(mails(25)))
    states = Counter(receipt.state for receipt in receipts)
    assert states == {MessageState.ACCEPTED: 20, MessageState.FAILED: 5}
    accepted = sorted(receipt.message_id for receipt in receipts if receipt.state is MessageState.ACCEPTED)
    assert message_ids(folder, RUN_KEY, "email") == accepted


def test_dropped_with_and_without_the_message_kept_look_the_same_from_here(
    sandbox: Start, sender: Open
) -> None:
    ports, folder = sandbox(Faults(smtp_every=3, smtp_drop="stored"))
    receipts = list(sender(ports.smtp).send(mails(9)))
    states = [receipt.state for receipt in receipts]
    assert sorted(states) == [MessageState.ACCEPTED] * 6 + [MessageState.UNKNOWN] * 3
    # All nine arrived, none twice: an unknown is never sent again by the sender itself.
    assert message_ids(folder, RUN_KEY, "email") == sorted(receipt.message_id for receipt in receipts)


def test_dropped_unstored(sandbox: Start, sender: Open) -> None:
    ports, folder = sandbox(Faults(smtp_every=3, smtp_drop="unstored"))
    receipts = list(sender(ports.smtp).send(mails(9)))
    assert [receipt.state for receipt in receipts].count(MessageState.UNKNOWN) == 3
    assert len(message_ids(folder, RUN_KEY, "email")) == 6
