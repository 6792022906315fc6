"""The class of a bounce: what suppresses at once must say so plainly."""

from __future__ import annotations

import pytest

from kundresa.feedback.bounces import classify
from kundresa.spec.vocabulary import BounceClass

HARD, SOFT, BLOCK = BounceClass.HARD, BounceClass.SOFT, BounceClass.BLOCK
UNDETERMINED = BounceClass.UNDETERMINED


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        ("5.1.1", "smtp; 550 5.1.1 The email account that you tried to reach does not exist", HARD),
        ("5.1.2", "Host unknown (Name server: host not found)", HARD),
        ("5.1.10", "RESOLVER.ADR.RecipientNotFound", HARD),
        ("5.2.1", "The email account that you tried to reach is disabled", HARD),
        ("5.4.4", "unable to look up host", HARD),
        ("5.0.0", "550 User unknown", HARD),
        ("5.5.0", "550 Requested action not taken: mailbox unavailable; no such user here", HARD),
        ("5.7.1", "550 5.7.1 user unknown", HARD),
        ("5.4.1", "Recipient address rejected: Access denied", UNDETERMINED),
        ("", "550 5.1.1 <a@b>: Recipient address rejected: User unknown in virtual mailbox table", HARD),
        ("", "Sorry, no mailbox here by that name. (#5.1.1)", HARD),
        ("5.2.2", "552 5.2.2 mailbox full", SOFT),
        ("4.2.2", "The email account is over quota", SOFT),
        ("4.4.1", "connection timed out", SOFT),
        ("4.4.7", "message expired", SOFT),
        ("", "452 try again later", SOFT),
        ("5.7.1", "554 5.7.1 message blocked, see spamhaus", BLOCK),
        ("5.7.26", "unauthenticated email is not accepted due to the domain's DMARC policy", BLOCK),
        ("4.7.0", "our system has detected an unusual rate of mail", BLOCK),
        ("5.3.4", "message too big", BLOCK),
        ("5.1.8", "sender address rejected", BLOCK),
        ("5.6.0", "conversion failed", BLOCK),
        ("5.0.0", "", UNDETERMINED),
        ("", "", UNDETERMINED),
        ("", "It was not delivered. 192.5.1.1 said nothing.", UNDETERMINED),
    ],
)
def test_by_status_then_by_words(status: str, text: str, expected: BounceClass) -> None:
    assert classify(status, text) is expected
