"""What an SMTP answer means for the message it is about (RFC 5321 4.2, RFC 3463 with its registry)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from kundresa.spec.bounces import HARD_BOUNCE, classify
from kundresa.spec.vocabulary import BounceClass, DeliveryReason

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


_UNNAMED_MAILBOX = frozenset({550, 551, 553})
"""Codes that RFC 5321 4.2.3 gives to the mailbox or its name. 552 is about an amount, 554 about anything."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refusal for good makes of its message, and of the address."""

    reason: DeliveryReason
    suppress: str | None = None
    """Why nobody may be written to there again, when the address is dead."""


_UNROUTED = frozenset({"1.2", "4.4"})
"""No such host, no route to it: a relay says so of everybody when its own resolver or routing is broken."""
_NO_HOST = re.compile(
    r"unknown (?:host|domain)|(?:host|domain) (?:name )?(?:is )?(?:unknown|not found)|no relay\b",
    re.IGNORECASE,
)
_CLOSED_ACCOUNT = re.compile(
    r"account\b[^.]{0,60}\b(?:disabled|closed|deleted|suspended|locked|deactivated)|"
    r"\b(?:disabled|closed|deleted|suspended|locked|deactivated) account",
    re.IGNORECASE,
)
"""Ours with whoever takes our mail, unless the words name the recipient."""
_RECIPIENT = re.compile(r"mail ?box|recipient|\buser|tried to reach", re.IGNORECASE)
_NO_MAILBOX = frozenset({"1.1", "1.10"})
_FULL_MAILBOX = re.compile(
    r"(?:mail ?box|mail ?folder|inbox)\b[^.]{0,40}(?:\bfull\b|\bexceed|\bover\b|quota|out of storage)|"
    r"\bfull (?:mail ?box|inbox)|"
    r"(?:recipient|\buser)\b[^.]{0,40}\b(?:over\b[^.]{0,20}\bquota|out of storage)",
    re.IGNORECASE,
)
"""Not a quota or limit alone, nor an account's: those may be ours with whoever takes our mail."""


def refusal(stage: Stage, reply: Reply) -> Refusal:
    """Why a message is refused for good, by what a bounce of the same words says (``spec.bounces``):

    - hard: the address is refused, and dead, unless the words may be about our account or a relay's routing;
    - soft: a full mailbox. The message has failed, the address is none the worse;
    - block: the message is refused, or we are;
    - undetermined: the address is refused, and not dead, when the status is about the recipient, or when
      RCPT is answered with a code about a mailbox and no status; else the message is.
    """
    match classify(reply.enhanced, f"{reply.code} {reply.text}"):
        case BounceClass.HARD:
            suppress = HARD_BOUNCE if _is_dead(stage, reply) else None
            return Refusal(DeliveryReason.ADDRESS_REFUSED, suppress)
        case BounceClass.SOFT:
            return Refusal(DeliveryReason.TEMPORARY_FAILURE)
        case BounceClass.BLOCK:
            return Refusal(DeliveryReason.MESSAGE_REFUSED)
        case _:
            is_address = _is_about_address(stage, reply)
            return Refusal(DeliveryReason.ADDRESS_REFUSED if is_address else DeliveryReason.MESSAGE_REFUSED)


def _is_dead(stage: Stage, reply: Reply) -> bool:
    """Whether words of a hard bounce are beyond doubt about the address, when whoever speaks may be our own
    relay. What is left waits for a bounce."""
    if stage is Stage.RCPT and reply.topic in _NO_MAILBOX:
        return True
    if reply.topic in _UNROUTED or (reply.topic not in _NO_MAILBOX and _NO_HOST.search(reply.text)):
        return False
    return not _CLOSED_ACCOUNT.search(reply.text) or bool(_RECIPIENT.search(reply.text))


def _is_about_address(stage: Stage, reply: Reply) -> bool:
    if reply.topic:
        return reply.subject in ABOUT_ADDRESS and reply.topic not in _NOT_THE_RECIPIENTS
    return stage is Stage.RCPT and reply.code in _UNNAMED_MAILBOX


def is_soft_refusal(code: str | None, detail: str | None) -> bool:
    """Whether what the ledger keeps of a server's answer is a soft refusal of the address: what a soft bounce
    of the same words says, and not of everybody.

    Whoever speaks may be our own relay. So its status has to be about the recipient; where it names no
    subject, its words have to name a full mailbox. None is what :func:`slows_domain` says is the domain's,
    what says that a host is unknown or not to be reached, and our own word (a server that is down, a domain
    that rests).
    """
    stage, _, text = (detail or "").partition(": ")
    if not code or stage not in (Stage.RCPT, Stage.END):
        return False
    reply = Reply(int(code[:3]), text)
    if reply.code == 421 or slows_domain(Stage(stage), reply) or reply.topic in _UNROUTED:
        return False
    is_of_address = _names_full_mailbox(reply) or (
        reply.subject in ABOUT_ADDRESS and reply.topic not in _NOT_THE_RECIPIENTS
    )
    return is_of_address and classify(reply.enhanced, f"{code} {text}") is BounceClass.SOFT


def _names_full_mailbox(reply: Reply) -> bool:
    """Whether words without a status that says what they are about (none, or x.0.x) do."""
    return reply.subject in ("", "0") and bool(_FULL_MAILBOX.search(reply.text))


def slows_domain(stage: Stage, reply: Reply) -> bool:
    """Whether a temporary refusal is about the receiving domain rather than one mailbox in it.

    Greylisting is not: it wants one attempt for each recipient, and then a wait. Nor is a full mailbox.
    """
    if stage not in (Stage.RCPT, Stage.END) or not 400 <= reply.code < 500 or reply.code == 421:
        return False
    if reply.subject in ABOUT_ADDRESS or _names_full_mailbox(reply):
        return False
    return not _GREYLISTED.search(reply.text)
