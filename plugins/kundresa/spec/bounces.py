"""What a failed delivery says of the address: by its status (RFC 3463), else by its words.

| says | class |
|---|---|
| x.1.1, 2, 3, 6, 10, x.2.1, x.4.4 with 5: no such mailbox, disabled, no such domain | hard |
| x.2.2 and any 4: full, or not now, after the server gave up | soft |
| x.7.x, x.6.x, x.2.3, x.3.4, x.1.7, x.1.8: policy, reputation, the message itself, or we | block |
| nothing of these, and no word that is known | undetermined |

Words come before a status that means nothing by itself (5.0.0, 5.5.0, 5.1.0), and before 5.7.1 and 5.4.1,
under which some servers say that a user is unknown. Words about us (our domain, host, account or limit) come
before all other words. Only a hard bounce suppresses at once, so that what is not
understood never costs an address. "Permanent error" is no such word: qmail and Exim say it whenever they give
up, about full mailboxes and refused content as well.

What a server answers while a message is sent, and what is reported of it later, is judged by the same words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from kundresa.spec.vocabulary import BounceClass

HARD_BOUNCE = "hard_bounce"
"""Why an address is suppressed that a hard bounce speaks of, or a refusal of that class."""
MAX_TEXT = 2_000
"""Characters of a server's words that are looked at."""

_STATUS = re.compile(
    r"(?<![\d.])(?<!version )(?<!release )([45])\.(\d{1,3})\.(\d{1,3})(?![\d.])", re.IGNORECASE
)
"""Of a failure: 2.1.0 in a transcript is about what went well, and 2.1.5 may be a program's version."""
_REPLY = re.compile(r"(?<![\d\-.])([45])[0-5]\d(?=[ \-](?!\d))")
_SENDER = re.compile(
    r"(?<!to )(?<!to the )(?:sender|originator|return[ -]path)(?:['’]?s)?:?"
    r"(?: (?:e-?mail|mail|envelope|smtp|ip|address|id|name|is|was|has been|<?[^\s<>@]+@[^\s<>@]+>?:?)){0,4} "
    r"(?:domain|account|host|rejected|denied|refused|verif|unknown|invalid|not\b|does|doesn|could|cannot)|"
    r"(?:unknown|invalid|unverified|no such|unresolvable) sender|"
    r"(?:domain|account|host|address)(?: name)? (?:required )?(?:of|for) (?:the )?(?:sender|return[ -]path)|"
    r"(?:helo|ehlo)(?: command| name| argument)?\W+(?:is )?(?:rejected|denied|invalid|unknown|not|does|host)|"
    r"(?:invalid|bad|unknown|unresolvable|in|your) (?:helo|ehlo)\b|client host rejected|"
    r"(?:in reply to|after) (?:pipelined )?(?:helo|ehlo|mail from)\b|"
    r"(?:mail|envelope|header)[ -]from:? (?:domain|address|unknown|unresolvable|hosts? |your )|"
    r"mail from: ?<[^<>]*>[^<>]{0,40}(?:rejected|does not exist|not found|unknown)|"
    r"\bptr\b|reverse (?:dns|lookup|name|record|address)|\brdns\b|"
    r"(?<!check )\b(?:your|client|connecting|sending)(?:['’]s)? "
    r"(?:(?:ip|e-?mail|mail|smtp|sending|server|host) ){0,2}"
    r"(?:ip|address|account|host(?:name)?|domain)\b(?! (?:book|admin|manager|provider))|"
    r"\bip(?: address)?(?: [\[(]?[\da-f.:]+[\])]?)? (?:is |was |has )?(?:not|no|unknown|disabled|does)\b|"
    r"access denied\W+(?:unknown|invalid) (?:host|domain|client)|unknown host\W+\d+\.|"
    r"\byour (?:\w+ ){0,2}(?:limit|quota)\b|sending (?:limit|quota)",
    re.IGNORECASE,
)
"""About us: what follows, as "domain not found", is not about the recipient."""
_NO_MAILBOX = re.compile(
    r"user (?:is )?(?:unknown|not (?:found|known)|doesn'?t exist)|unknown (?:user|recipient|mailbox|local)|"
    r"no such (?:user|recipient|mailbox|person|address)|"
    r"(?:mailbox|user|account|recipient)[^.]{0,60}(?:does not exist|doesn'?t exist|not found(?!,? try)|"
    r"no longer valid|not recogni[sz]ed)|"
    r"invalid (?:recipient|mailbox|final delivery userid)|no mailbox here|not a valid (?:mailbox|user)|"
    r"user doesn'?t have an? \S+ account|not listed in (?:domino|the) directory|"
    r"adresse[^.]{0,80}n['’]existe pas",
    re.IGNORECASE,
)
"""It names the mailbox, or whose it is."""
_NO_ADDRESS = re.compile(
    r"unknown (?:host|domain)|(?:address|domain)[^.]{0,60}(?:does not exist|doesn'?t exist|"
    r"not found(?!,? try)|no longer valid|not recogni[sz]ed)|invalid address|"
    r"(?:mailbox|user|account|address|recipient|domain)[^.]{0,60}(?:is disabled|"
    r"unavailable or access denied)|(?:host|domain) (?:name )?(?:is )?(?:unknown|not found(?!,? try))|"
    r"account (?:has been )?(?:disabled|closed|deleted)",
    re.IGNORECASE,
)
"""Of a policy (x.7.x) it may as well be our host, domain or account."""
_FULL = re.compile(
    r"(?:mail ?box|mail ?folder|inbox|account)[^.]{0,40}(?:full|exceeded|\bover\b)|quota|out of storage|"
    r"insufficient (?:system )?storage|space not enough|try again later|not found,? try again|"
    r"temporar|timed? ?out|connection refused|not re(?:sponding|achable)|too many hops|message looping|"
    r"(?:failed|after) \d+ (?:delivery )?attempts",
    re.IGNORECASE,
)
_BLOCKED = re.compile(
    r"spam|blocked|block[ -]?list|black ?list|reputation|policy|dmarc|\bspf\b|dkim|\brbl\b|spamhaus|"
    r"barracuda|content rejected|message rejected|not authorized|unsolicited|\bvirus\b|too large|"
    r"size limit|message size|not accepting mail from|unable to relay|relay(?:ing)? (?:access )?denied",
    re.IGNORECASE,
)
_MEANINGLESS = {("7", "1"), ("4", "1")}
_NO_SUCH = ("1", "2", "3", "6", "10")
"""Details of x.1.x: no such mailbox, no such system, no valid address, moved, no mail (RFC 7505)."""


TWILIO_CODES: Mapping[str, BounceClass] = {
    "21211": BounceClass.HARD,  # not a valid number
    "21610": BounceClass.BLOCK,  # the recipient has replied STOP to this sender
    "21614": BounceClass.HARD,  # not a mobile number
    "30003": BounceClass.SOFT,  # unreachable: switched off, out of reach
    "30004": BounceClass.BLOCK,  # blocked
    "30005": BounceClass.HARD,  # unknown destination
    "30006": BounceClass.HARD,  # a landline
    "30007": BounceClass.BLOCK,  # filtered by the carrier
    "30008": BounceClass.UNDETERMINED,
}
"""Twilio's error codes, "Error and Warning Dictionary"."""


def classify(status: str, text: str = "") -> BounceClass:
    """The class of a bounce.

    Args:
        status: an enhanced status as ``5.1.1``, may be empty.
        text: the server's own words, may be empty; a status or reply code in them is read as well.
    """
    words = " ".join(text[:MAX_TEXT].split())
    found = _STATUS.search(status) or _STATUS.search(words)
    by_status = None if found is None else _by_status(found[1], found[2], found[3])
    if found is not None and by_status is not None and (found[2], found[3]) not in _MEANINGLESS:
        return by_status
    code = found or _REPLY.search(words)
    is_temporary = code is not None and code[1] == "4"
    is_policy = found is not None and found[2] == "7"
    by_words = _by_words(words, is_policy=is_policy)
    if by_words is not None:
        # Greylisting and address verification say "user unknown" for the time being.
        return BounceClass.SOFT if is_temporary and by_words is BounceClass.HARD else by_words
    if is_policy:
        return BounceClass.BLOCK
    return BounceClass.SOFT if is_temporary else BounceClass.UNDETERMINED


def weigh(verdict: BounceClass, status: str, text: str) -> BounceClass:
    """The class of a bounce that a provider has judged itself, by its verdict and by the server's words.

    A verdict decides what nothing else tells, and never that an address is dead where the words say something
    else: its *permanent* is about the message. What the provider calls temporary, or a block, costs no
    address, whatever the words.

    Args:
        verdict: the provider's; UNDETERMINED when it has none.
        status: a code, enhanced (``5.1.1``) or of the reply (``550``), may be empty.
        text: the server's own words, may be empty.
    """
    # The dash keeps a reply code apart from another one in the words.
    by_words = classify(status, f"{status} - {text}" if status else text)
    if verdict is BounceClass.UNDETERMINED or by_words is verdict:
        return by_words
    if verdict is BounceClass.HARD:
        return verdict if by_words is BounceClass.UNDETERMINED else by_words
    other = BounceClass.BLOCK if verdict is BounceClass.SOFT else BounceClass.SOFT
    return other if by_words is other else verdict


def _by_status(kind: str, subject: str, detail: str) -> BounceClass | None:
    """Nothing for a status that does not say what failed."""
    if subject in ("0", "5") or (subject, detail) == ("3", "0"):
        return None
    if subject in ("6", "7") or (subject, detail) in (("2", "3"), ("3", "4")):
        return BounceClass.BLOCK
    if kind == "4" or (subject, detail) == ("2", "2"):
        return BounceClass.SOFT
    # x.1.7 and x.1.8 are about the sender's address.
    if subject == "1" and detail in ("7", "8"):
        return BounceClass.BLOCK
    if (subject == "1" and detail in _NO_SUCH) or (subject, detail) in (("2", "1"), ("4", "4")):
        return BounceClass.HARD
    return BounceClass.SOFT if subject in ("3", "4") else None


def _by_words(words: str, *, is_policy: bool) -> BounceClass | None:
    for pattern, known in (
        (_SENDER, BounceClass.BLOCK),
        (_NO_MAILBOX, BounceClass.HARD),
        (None if is_policy else _NO_ADDRESS, BounceClass.HARD),
        (_FULL, BounceClass.SOFT),
        (_BLOCKED, BounceClass.BLOCK),
    ):
        if pattern is not None and pattern.search(words):
            return known
    return None
