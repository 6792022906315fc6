"""What an SMTP answer means for the message it is about (RFC 5321 4.2, RFC 3463 with its registry)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from kundresa.spec.vocabulary import DeliveryReason

_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")
_GREYLISTED = re.compile(r"gr[ae]y", re.IGNORECASE)

ABOUT_ADDRESS = frozenset({"1", "2"})
"""Enhanced status subjects about the recipient: addressing and mailbox (RFC 3463 section 3)."""
_NOT_THE_RECIPIENTS = frozenset({"1.7", "1.8", "1.9", "2.3", "2.4"})
"""Of these subjects, what speaks of the sender's address (x.1.7 to x.1.9), of the message's length
(x.2.3) or of a list behind the address (x.2.4)."""


class Stage(StrEnum):
    """Which step of a transaction an answer belongs to."""

    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    END = "end of DATA"
    """Also of BDAT with LAST."""
    RSET = "RSET"


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463), or nothing."""
        match = _ENHANCED.match(self.text)
        return match[0] if match else ""

    @property
    def topic(self) -> str:
        """Its second and third part: ``1.1`` no such mailbox, ``2.2`` mailbox full; or nothing."""
        return self.enhanced[2:]

    @property
    def subject(self) -> str:
        """Its second part: 1 address, 2 mailbox, 3 system, 4 network, 5 protocol, 6 content, 7 policy;
        or nothing."""
        return self.topic.partition(".")[0]

    @property
    def shown(self) -> str:
        """``550 5.1.1``."""
        return f"{self.code} {self.enhanced}".strip()


def refusal(stage: Stage, reply: Reply) -> DeliveryReason:
    """Why a message is refused for good. A refused address will feed suppression: only what speaks of the
    recipient counts as one; without an enhanced code, a refusal of RCPT does."""
    if reply.topic:
        about_address = reply.subject in ABOUT_ADDRESS and reply.topic not in _NOT_THE_RECIPIENTS
    else:
        about_address = stage is Stage.RCPT
    return DeliveryReason.ADDRESS_REFUSED if about_address else DeliveryReason.MESSAGE_REFUSED


def slows_domain(stage: Stage, reply: Reply) -> bool:
    """Whether a temporary refusal is about the receiving domain rather than one mailbox in it.

    Greylisting is not: it wants one attempt for each recipient, and then a wait.
    """
    if stage not in (Stage.RCPT, Stage.END) or not 400 <= reply.code < 500 or reply.code == 421:
        return False
    return reply.subject not in ABOUT_ADDRESS and not _GREYLISTED.search(reply.text)
