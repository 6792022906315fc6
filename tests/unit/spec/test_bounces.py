"""The class of a bounce: what suppresses at once must say so plainly."""

from __future__ import annotations

import pytest

from kundresa.spec.bounces import classify, weigh
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
        ("5.2.0", "mailbox full", SOFT),
        ("5.5.1", "unknown user", HARD),
        ("", "This user doesn't have a x.example account (anna@x.example) [0]", HARD),
        ("", "The recipient name\nis not recognized", HARD),
        ("", "User anna not listed in Domino Directory", HARD),
        ("", "L'adresse de messagerie ci-dessus n'existe pas.", HARD),
        ("", "anna@x.example: Domain does not exist", HARD),
        ("", "Error: User's Disk Quota Exceeded. Permanent error.", SOFT),
        ("", "Name service error for x.example: Host\n    not found, try again", SOFT),
        ("", "Host x.example is not responding.", SOFT),
        ("", "Delivery failed 20 attempts: anna@x.example", SOFT),
        ("", "554 Too many hops 26 (25 max)", SOFT),
        ("", "they are not accepting mail from news@shop.example", BLOCK),
        ("", "exceeded the maximum incoming message size", BLOCK),
        ("5.0.0", "550 Unable to relay for anna@x.example", BLOCK),
        # About our address, not the recipient's.
        ("", "550 Sender verify failed: no such user here", BLOCK),
        ("", "550 <news@shop.example>: Sender address rejected: Domain not found", BLOCK),
        ("5.0.0", "rejected, sender domain does not exist", BLOCK),
        ("5.5.0", "Sender domain does not exist", BLOCK),
        ("", "550 Access denied - unknown host name", BLOCK),
        ("5.7.1", "Unknown host", BLOCK),
        ("5.7.1", "Domain not found", BLOCK),
        ("5.7.1", "Address not recognized", BLOCK),
        ("5.7.1", "client IP address not recognized", BLOCK),
        ("", "550 IP address [192.0.2.7] not found", BLOCK),
        ("5.7.1", "Sender domain not found", BLOCK),
        ("5.7.1", "PTR record for your IP address not found", BLOCK),
        ("", "550 reverse lookup: domain not found", BLOCK),
        ("5.7.1", "Your account has been disabled for sending", BLOCK),
        ("", "550 Your account has been disabled for sending", BLOCK),
        ("5.1.0", "Sender rejected", BLOCK),
        ("", "550 <news@shop.example>: the sender's domain does not exist", BLOCK),
        ("", "553 Domain of sender address news@shop.example does not exist", BLOCK),
        ("", "550 Sender address <news@shop.example> not found", BLOCK),
        ("", "550 unknown sender domain", BLOCK),
        ("", "550 Originator domain does not exist", BLOCK),
        ("", "550 return path domain does not exist", BLOCK),
        ("", "550 account of the sender has been disabled", BLOCK),
        ("", "550 envelope-from address not recognized", BLOCK),
        ("", "550 Helo command rejected: Host not found", BLOCK),
        ("", "550 EHLO: host unknown", BLOCK),
        ("", "550 cannot resolve your hostname: domain not found", BLOCK),
        ("", "550 MAIL FROM: <news@shop.example> domain does not exist", BLOCK),
        ("", "host mx.x.example said: 550 Domain not found (in reply to MAIL FROM command)", BLOCK),
        ("5.1.90", "Your message can't be sent because you've reached your daily limit", BLOCK),
        ("5.1.90", "", UNDETERMINED),
        # Under such a status, the recipient's all the same.
        ("5.1.0", "Address rejected: user unknown", HARD),
        ("5.1.0", "", UNDETERMINED),
        ("5.1.4", "ambiguous", UNDETERMINED),
        ("5.1.3", "bad address syntax", HARD),
        ("5.1.6", "mailbox has moved", HARD),
        ("5.7.1", "mailbox not found", HARD),
        ("5.7.1", "Recipient not found", HARD),
        ("", "550 Host unknown (Name server: x.example: host not found)", HARD),
        # We are spoken to, and it is about the recipient.
        ("", "Returned to sender: account does not exist", HARD),
        ("", "550 User unknown. Please check your address book, or ask your mail server administrator", HARD),
        ("", ">>> MAIL From:<news@shop.example> <<< 250 ok >>> RCPT To:<a@x> <<< 550 user not found", HARD),
        ("", "the remote host said: 550 user unknown (in reply to RCPT TO command)", HARD),
        # Not for good, whatever the words.
        ("", "450 <anna@x.example>: Recipient address rejected: unknown user", SOFT),
        ("4.0.0", "user unknown", SOFT),
        # Said of full mailboxes and refused content as well.
        ("", "This is a permanent error; I've given up. Sorry it didn't work out.", UNDETERMINED),
        ("", "550 Requested action not taken: mailbox unavailable", UNDETERMINED),
        # No status of a failure, and no reply: what went well, versions, a telephone number.
        ("", "250 2.1.0 Sender ok", UNDETERMINED),
        ("", "Mailer release 5.1.1 and version 4.1.2", UNDETERMINED),
        ("", "Call Customer Support at 450-624-2500", UNDETERMINED),
        ("", "Message from VirusWall: it was not delivered", UNDETERMINED),
    ],
)
def test_by_status_then_by_words(status: str, text: str, expected: BounceClass) -> None:
    assert classify(status, text) is expected


@pytest.mark.parametrize(
    ("verdict", "status", "text", "expected"),
    [
        # What nothing else tells, the provider's verdict decides.
        *((each, "", "", each) for each in BounceClass),
        *((each, "550", "no", each) for each in BounceClass),
        # Permanent is about the message: the words may say that the address lives.
        (HARD, "5.1.1", "user unknown", HARD),
        (HARD, "552", "mailbox full", SOFT),
        (HARD, "5.7.1", "blocked", BLOCK),
        # Temporary or blocked, whatever the words say, costs no address.
        (SOFT, "5.1.1", "user unknown", SOFT),
        (SOFT, "5.7.1", "", BLOCK),
        (BLOCK, "5.1.1", "user unknown", BLOCK),
        (BLOCK, "4.2.2", "", SOFT),
        # Without a verdict the words are all there is.
        (UNDETERMINED, "550", "no such user", HARD),
        (UNDETERMINED, "450", "no such user", SOFT),
        (UNDETERMINED, "450", "550 no such user", SOFT),
        (UNDETERMINED, "", "550 5.7.1 rejected", BLOCK),
    ],
)
def test_a_provider_s_verdict_is_weighed_with_the_server_s_words(
    verdict: BounceClass, status: str, text: str, expected: BounceClass
) -> None:
    assert weigh(verdict, status, text) is expected
