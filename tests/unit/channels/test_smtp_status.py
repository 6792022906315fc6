"""What a refusal for good makes of a message and of its address."""

from __future__ import annotations

import pytest

from kundresa.channels.smtp_status import Refusal, Reply, Stage, is_soft_refusal, refusal, slows_domain
from kundresa.spec.vocabulary import DeliveryReason

DEAD = Refusal(DeliveryReason.ADDRESS_REFUSED, "hard_bounce")
ADDRESS = Refusal(DeliveryReason.ADDRESS_REFUSED)
MESSAGE = Refusal(DeliveryReason.MESSAGE_REFUSED)
FULL = Refusal(DeliveryReason.TEMPORARY_FAILURE)


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (550, "5.1.1 User unknown", DEAD),
        (550, "no such user", DEAD),
        (550, "5.1.10 RecipientNotFound", DEAD),
        (550, "5.1.2 <anna@shop.example>: Host unknown", ADDRESS),
        (550, "Host unknown", ADDRESS),
        (554, "5.4.4 Unable to route: no relay", ADDRESS),
        (550, "Account disabled", ADDRESS),
        (550, "5.2.1 This account has been closed", ADDRESS),
        (550, "5.2.1 The email account that you tried to reach is disabled", DEAD),
        (550, "User account is disabled", DEAD),
        (550, "5.1.1 account disabled", DEAD),
        (550, "5.2.1 mailbox disabled", DEAD),
        (554, "5.7.1 <anna@shop.example>: user unknown", DEAD),
        (552, "5.2.2 mailbox full", FULL),
        (552, "mailbox is full", FULL),
        (550, "Blocked - see https://www.spamhaus.org/query/ip/192.0.2.4", MESSAGE),
        (554, "Service unavailable; Client host [192.0.2.4] blocked using zen.spamhaus.org", MESSAGE),
        (550, "SC-001 messages from 192.0.2.4 weren't sent: its network is on our block list", MESSAGE),
        (550, "5.7.1 Service unavailable, Client host blocked", MESSAGE),
        (550, "5.2.0 policy", MESSAGE),
        (550, "5.1.8 sender rejected", MESSAGE),
        (550, "5.1.9 no", MESSAGE),
        (554, "Transaction failed", MESSAGE),
        (552, "no", MESSAGE),
        (550, "5.1.0 Address rejected", ADDRESS),
        (550, "mailbox unavailable", ADDRESS),
        (550, "5.4.1 Recipient address rejected: Access denied", MESSAGE),
    ],
)
def test_a_refusal_of_rcpt(code: int, text: str, expected: Refusal) -> None:
    assert refusal(Stage.RCPT, Reply(code, text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.1.1 no such user", DEAD),
        ("no", MESSAGE),
        ("5.2.0 no", ADDRESS),
        ("5.7.1 spam", MESSAGE),
        ("Sending disabled: account has been closed", ADDRESS),
        ("5.1.1 account suspended", ADDRESS),
    ],
)
def test_a_refusal_of_the_content(text: str, expected: Refusal) -> None:
    assert refusal(Stage.END, Reply(550, text)) == expected


@pytest.mark.parametrize(
    ("code", "detail", "expected"),
    [
        ("552 5.2.2", "RCPT: 5.2.2 mailbox full", True),
        ("552", "RCPT: mailbox is full", True),
        ("452 4.2.2", "end of DATA: 4.2.2 over quota", True),
        ("450 4.2.0", "RCPT: 4.2.0 greylisted, try again", True),
        ("452", "RCPT: mailbox full", True),
        ("552 5.0.0", "RCPT: 5.0.0 mailbox size limit exceeded", True),
        ("552", "end of DATA: The user is over the storage quota", True),
        ("450", "RCPT: mailbox busy", False),
        ("452", "RCPT: over quota", False),
        ("550", "RCPT: account has exceeded its daily limit", False),
        ("550 5.4.5", "end of DATA: 5.4.5 Daily SMTP relay limit exceeded for customer.", False),
        ("554 5.4.6", "end of DATA: 5.4.6 Too many hops", False),
        ("451 4.3.5", "RCPT: 4.3.5 Server configuration error", False),
        ("452 4.3.1", "end of DATA: 4.3.1 Insufficient system storage", False),
        ("451 4.3.0", "RCPT: 4.3.0 <address>: Temporary lookup failure", False),
        ("450 4.1.2", "RCPT: 4.1.2 <address>: Domain not found", False),
        ("450 4.1.8", "RCPT: 4.1.8 sender's domain not found", False),
        ("452 4.2.2", "DATA: 4.2.2 mailbox full", False),
        ("450 4.1.1", "RCPT: 4.1.1 <address>: user unknown", True),
        ("451", "RCPT: user unknown", False),
        ("550 5.1.1", "RCPT: 5.1.1 user unknown", False),
        ("451 4.7.1", "RCPT: 4.7.1 poor reputation", False),
        ("451 4.3.0", "MAIL: 4.3.0 busy", False),
        ("421 4.3.2", "end of DATA: 4.3.2 shutting down", False),
        ("421", "RCPT: mailbox full", False),
        (None, "the server is down", False),
        (None, "RCPT: 4.2.2 mailbox full", False),
        (None, None, False),
    ],
)
def test_what_the_ledger_keeps_says_whether_an_address_has_refused_softly(
    code: str | None, detail: str | None, expected: bool
) -> None:
    assert is_soft_refusal(code, detail) is expected


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (452, "mailbox full"),
        (452, "4.2.2 over quota"),
        (452, "4.3.1 Insufficient system storage"),
        (451, "4.3.0 Temporary lookup failure"),
        (450, "mailbox busy"),
        (451, "try again later"),
    ],
)
def test_no_answer_is_both_the_domains_and_the_addresss(code: int, text: str) -> None:
    reply = Reply(code, text)
    is_domains = slows_domain(Stage.RCPT, reply)
    assert is_domains is not is_soft_refusal(reply.shown, f"RCPT: {text}")
