"""What a failed delivery says of the address: by its status (RFC 3463), else by its words.

| says | class |
|---|---|
| x.1.x, x.2.1, x.4.4 with 5: no such mailbox, disabled, no such domain | hard |
| x.2.2 and any 4: full, or not now, after the server gave up | soft |
| x.7.x, x.6.x, x.2.3, x.3.4: policy, reputation, or the message itself | block |
| nothing of these, and no word that is known | undetermined |

Words come before a status that means nothing by itself (5.0.0, 5.5.0), and before 5.7.1 and 5.4.1, under
which some servers say that a user is unknown. Only a hard bounce suppresses at once, so that what is not
understood never costs an address.
"""

from __future__ import annotations

import re

from kundresa.spec.vocabulary import BounceClass

MAX_TEXT = 2_000
"""Characters of a server's words that are looked at."""

_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_REPLY = re.compile(r"(?<![\d.])([245])(\d)(\d)(?=[ \-])")
_UNKNOWN = re.compile(
    r"user (?:is )?(?:unknown|not found|doesn'?t exist)|unknown (?:user|recipient|mailbox|local)|no such "
    r"(?:user|recipient|mailbox|person|address)|(?:mailbox|user|account|address|recipient)[^.\n]{0,60}"
    r"(?:does not exist|doesn'?t exist|not found|is disabled|unavailable or access denied)|"
    r"invalid (?:recipient|mailbox|address)|no mailbox here|not a valid (?:mailbox|user)|"
    r"(?:host|domain) (?:name )?(?:is )?(?:unknown|not found)|"
    r"account (?:has been )?(?:disabled|closed|deleted)",
    re.IGNORECASE,
)
_FULL = re.compile(
    r"(?:mailbox|inbox|account|quota)[^.\n]{0,40}(?:full|exceeded|over)|over ?quota|out of storage|"
    r"insufficient (?:system )?storage|try again|temporar|timed? ?out|connection refused",
    re.IGNORECASE,
)
_BLOCKED = re.compile(
    r"spam|block(?:ed|list)|black ?list|reputation|policy|dmarc|\bspf\b|dkim|\brbl\b|spamhaus|barracuda|"
    r"content rejected|message rejected|not authorized|unsolicited|virus|too large|size limit",
    re.IGNORECASE,
)
_MEANINGLESS = {("0", "0"), ("5", "0"), ("7", "1"), ("4", "1"), ("3", "0")}


def classify(status: str, text: str = "") -> BounceClass:
    """The class of a bounce.

    Args:
        status: an enhanced status as ``5.1.1``, may be empty.
        text: the server's own words, may be empty; a status or reply code in them is read as well.
    """
    words = text[:MAX_TEXT]
    found = _STATUS.search(status) or _STATUS.search(words)
    if found is not None and (found[2], found[3]) not in _MEANINGLESS:
        return _by_status(found[1], found[2], found[3])
    by_words = _by_words(words)
    if by_words is not None:
        return by_words
    if found is not None:
        if found[2] == "7":
            return BounceClass.BLOCK
        return BounceClass.SOFT if found[1] == "4" else BounceClass.UNDETERMINED
    reply = _REPLY.search(words)
    return BounceClass.SOFT if reply is not None and reply[1] == "4" else BounceClass.UNDETERMINED


def _by_status(kind: str, subject: str, detail: str) -> BounceClass:
    if subject in ("6", "7") or (subject, detail) in (("2", "3"), ("3", "4")):
        return BounceClass.BLOCK
    if kind == "4" or (subject, detail) == ("2", "2"):
        return BounceClass.SOFT
    # x.1.7 and x.1.8 are about the sender's address.
    if subject == "1":
        return BounceClass.BLOCK if detail in ("7", "8") else BounceClass.HARD
    if (subject, detail) in (("2", "1"), ("4", "4")):
        return BounceClass.HARD
    return BounceClass.SOFT if subject in ("3", "4") else BounceClass.UNDETERMINED


def _by_words(words: str) -> BounceClass | None:
    for pattern, known in (
        (_UNKNOWN, BounceClass.HARD),
        (_FULL, BounceClass.SOFT),
        (_BLOCKED, BounceClass.BLOCK),
    ):
        if pattern.search(words):
            return known
    return None
