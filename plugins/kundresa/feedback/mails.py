"""What a mail to the bounce address is: a bounce, a complaint, an automatic reply, or a person's words.

Standard forms first: delivery status (RFC 3464) and abuse reports (ARF, RFC 5965) say what they are. Other
forms are known to flufl.bounce. It is asked about mails from what is a mail system by its address, and, of
those that are no automatic reply (RFC 3834), about mails with another sign of one. It alone does not decide:
a person may quote what a bounce says, and an automatic reply is neither a bounce nor an opt-out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parseaddr
from html import unescape

from flufl.bounce import all_failures

from kundresa.spec.bounces import classify
from kundresa.spec.keys import message_ids_in
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

MAX_TEXT = 4_000
"""Characters of a mail's text that are looked at for a status."""
MOST_RECIPIENTS = 50
"""Of one report, that are looked at: each message of ours has one, and a list behind it may have some."""

_SYSTEM = re.compile(r"^(?:mailer-daemon|postmaster|mail-?daemon|bounces?|noreply-bounce)[^@]*(?:@|$)", re.I)
_LIKE_SYSTEM = re.compile(r"^(?:mail[ ._-]?delivery|mdaemon)[^@]*(?:@|$)", re.I)
_FAILURE_SUBJECT = re.compile(
    r"^\s*(?:undeliver(?:able|ed)|non-?delivery|returned mail|failure notice|failed mail|"
    r"mail (?:could not be delivered|not delivered|delivery (?:fail|error|problem|warning))|"
    r"mail (?:system )?error|"
    r"(?:permanent |message )?delivery (?:failure|failed|status notification))",
    re.IGNORECASE,
)
"""A person's answer or forward has something before it."""
_COPY = re.compile(
    r"^(?:[-|>* \t]{3}[^\n]*\b(?:copy|original message|returned m|unsent|message (?:text|header|body)|"
    r"forwarded message|source mail)|"
    r"[ \t-]*(?:the )?(?:original|old) message(?:$|:|[ \t]+(?:follows|attached|as received|details|headers))|"
    r"(?:here|this|included) is a copy|message headers follow|your message reads|(?:return-path|received):)",
    re.IGNORECASE | re.MULTILINE,
)
"""Where a mail system's own words end and the message that came back begins."""
_QUOTED_FIELD = re.compile(r"^[ \t]*(?:subject|from|to|cc|sent|date|message-id):[^\n]*$", re.I | re.M)
_TAG = re.compile(r"<[^<>]{0,200}>")
_AUTOMATIC_SUBJECT = re.compile(
    r"^\s*(?:auto(?:matic|matisk|matische)?[ :_-]*(?:reply|response|antwort|svar|respons)|"
    r"out of (?:the )?office|autosvar|frånvaro|abwesen|réponse automatique|vacation|away from)",
    re.IGNORECASE,
)
ABUSE = ("abuse", "fraud", "virus", "opt-out", "opt-out-list")
"""Feedback types (RFC 5965 7.3) of a recipient who does not want it; ``not-spam`` is the opposite, others are
about something else."""
_ACTIONS = {
    "failed": FeedbackKind.BOUNCED,
    "failure": FeedbackKind.BOUNCED,
    "error": FeedbackKind.BOUNCED,
    "delivered": FeedbackKind.DELIVERED,
}
"""RFC 3464 2.3.3; ``failure`` is NTMail's word and ``error`` OpenSMTPD's."""
_ADDRESSED = ("To", "Delivered-To", "X-Original-To", "Envelope-To")
"""To whom a mail came; the last three are written by the server that took it in."""
_UNDECIDED = ("delayed", "relayed", "expanded")
"""Still on its way, or out of our sight."""


@dataclass(frozen=True, slots=True)
class MailFinding:
    """What one mail tells about one message. ``candidates`` are what may be its message id, the likeliest
    first."""

    kind: FeedbackKind
    candidates: tuple[str, ...]
    bounce_class: BounceClass | None = None
    code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class ReadMail:
    """A mail, read: its key (the same when it is delivered again) and what it tells; nothing for an automatic
    reply, and for what is none of our business."""

    key: str
    what: str
    """``bounce``, ``delivery``, ``delay``, ``complaint``, ``automatic_reply``, ``reply`` or ``other``."""
    findings: tuple[MailFinding, ...] = ()
    addressed_to: tuple[str, ...] = ()
    """The addresses that it came to, as its headers say; at most 20."""


def read_mail(octets: bytes) -> ReadMail:
    """Whatever the octets are, this returns: mails to a public address may hold anything."""
    key = _key(octets)
    try:
        mail = message_from_bytes(octets)
        named = str(mail.get("Message-ID", "")).strip()
        key = _key(named.encode("utf-8", "replace") if named else octets)
        what, findings = _read(mail)
        addressed_to = _addressed_to(mail)
    # The parsers of the standard library and of flufl.bounce raise all kinds of things at broken mails, and
    # RecursionError at parts within parts.
    except Exception:
        return ReadMail(key, "other")
    return ReadMail(key, what, tuple(findings), addressed_to)


def _key(octets: bytes) -> str:
    return hashlib.sha256(octets).hexdigest()[:40]


def _read(mail: Message) -> tuple[str, list[MailFinding]]:
    report = str(mail.get_param("report-type", "") or "").lower()
    kind = mail.get_content_type()
    if kind == "multipart/report" and report == "feedback-report":
        return _complaint(mail)
    told = _status_report(mail)
    if told is None and _is_from_system(mail):
        told = _free_report(mail) or ("automatic_reply", [])
    if told is None and _is_automatic(mail):
        told = "automatic_reply", []
    # A receipt (RFC 8098) is a report as well, about a message that has arrived.
    is_receipt = report == "disposition-notification"
    if told is None and not is_receipt and (kind == "multipart/report" or _is_like_system(mail)):
        told = _free_report(mail)
    if told is None and _has_empty_return_path(mail):
        told = "automatic_reply", []
    return told or _reply(mail)


def _reply(mail: Message) -> tuple[str, list[MailFinding]]:
    candidates = tuple(_ids(mail, "In-Reply-To", "References"))
    if candidates:
        return "reply", [MailFinding(FeedbackKind.REPLIED, candidates)]
    return "other", []


def _free_report(mail: Message) -> tuple[str, list[MailFinding]] | None:
    """From a mail system, in a form of its own; nothing when no form is recognised."""
    temporary, permanent = all_failures(mail)
    if permanent:
        found = classify("", _own_words(mail))
        return "bounce", [
            MailFinding(FeedbackKind.BOUNCED, _candidates(mail), found, None, "no standard report")
        ]
    return ("delay", []) if temporary else None


def _complaint(mail: Message) -> tuple[str, list[MailFinding]]:
    part = _part(mail, "message/feedback-report")
    fields = _fields(part)[0] if part is not None else {}
    feedback_type = fields.get("feedback-type", "").lower()
    if feedback_type not in ABUSE:
        return "other", []
    return "complaint", [MailFinding(FeedbackKind.COMPLAINED, _candidates(mail), detail=feedback_type)]


def _status_report(mail: Message) -> tuple[str, list[MailFinding]] | None:
    """By RFC 3464; nothing when there is no such part, or it says nothing of any recipient."""
    part = _part(mail, "message/delivery-status")
    groups = [] if part is None else [group for group in _fields(part)[1:] if "action" in group]
    groups = groups[:MOST_RECIPIENTS]
    candidates = _candidates(mail) if groups else ()
    findings = []
    is_undecided = False
    for fields in groups:
        action = fields["action"].lower().split(" ")[0]
        is_undecided |= action in _UNDECIDED
        if action not in _ACTIONS:
            continue
        status, diagnostic = fields.get("status", ""), fields.get("diagnostic-code", "")
        kind = _ACTIONS[action]
        bounced = None
        if kind is FeedbackKind.BOUNCED:
            bounced = classify(status, f"{diagnostic} {status}")
            # The text is about all recipients: it says something of one only when there is one.
            if bounced is BounceClass.UNDETERMINED and len(groups) == 1:
                bounced = classify("", _own_words(mail))
        detail = diagnostic.partition(";")[2].strip() or diagnostic
        code = status.partition(" ")[0][:20]
        findings.append(MailFinding(kind, candidates, bounced, code or None, detail[:500] or None))
    kinds = {finding.kind for finding in findings}
    if FeedbackKind.BOUNCED in kinds:
        return "bounce", findings
    if kinds:
        return "delivery", findings
    return ("delay", []) if is_undecided else None


def _is_automatic(mail: Message) -> bool:
    """RFC 3834 section 5, and what those send that do not know it."""
    submitted = str(mail.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    precedence = str(mail.get("Precedence", "")).strip().lower()
    return (
        submitted not in ("no", "")
        or precedence in ("auto_reply", "auto-reply", "junk")
        or any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Vacation", "X-Auto-Reply"))
        or _AUTOMATIC_SUBJECT.match(_subject(mail)) is not None
    )


def _is_from_system(mail: Message) -> bool:
    sender = parseaddr(str(mail.get("From", "")))[1]
    return bool(_SYSTEM.match(sender)) or (str(mail.get("Return-Path", "x")).strip() == "<>" and not sender)


def _is_like_system(mail: Message) -> bool:
    """By a sender without an address, or a name or a subject that only mail systems have. Not by an empty
    return path: automatic replies have it as well."""
    name, sender = parseaddr(str(mail.get("From", "")))
    return (
        (bool(name) and not sender)
        or bool(_LIKE_SYSTEM.match(sender) or _LIKE_SYSTEM.match(name))
        or _FAILURE_SUBJECT.match(_subject(mail)) is not None
    )


def _has_empty_return_path(mail: Message) -> bool:
    """A person's mail has none (RFC 5321 4.5.5, RFC 3834 3.3). Some servers write it as MAILER-DAEMON."""
    path = str(mail.get("Return-Path", "x")).strip()
    return path == "<>" or path.lower().startswith("<mailer-daemon")


def _subject(mail: Message) -> str:
    raw = str(mail.get("Subject", ""))
    try:
        return str(make_header(decode_header(raw)))
    except (HeaderParseError, LookupError, ValueError):
        return raw


def _candidates(mail: Message) -> tuple[str, ...]:
    """By the message that came back, the address that it was sent from (VERP), then anywhere in the text."""
    found: list[str] = []
    for part in mail.walk():
        if part is not mail and "Message-ID" in part:
            found += _ids(part, "Message-ID")
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers"):
            found += message_ids_in(_decoded(part))
    found += _ids(mail, *_ADDRESSED, "In-Reply-To", "References")
    found += message_ids_in(_text(mail))
    return tuple(dict.fromkeys(found))[:20]


def _addressed_to(mail: Message) -> tuple[str, ...]:
    values = [str(value)[:2_000] for name in _ADDRESSED for value in mail.get_all(name, ())]
    return tuple(dict.fromkeys(address for _, address in getaddresses(values) if address))[:20]


def _ids(mail: Message, *names: str) -> Iterator[str]:
    for name in names:
        for value in mail.get_all(name, ()):
            yield from message_ids_in(str(value)[:2_000])


def _part(mail: Message, content_type: str) -> Message | None:
    return next((part for part in mail.walk() if part.get_content_type() == content_type), None)


def _fields(part: Message) -> list[dict[str, str]]:
    """The groups of fields of a report, by lower-case name, each one printable line; RFC 3464 separates the
    groups by empty lines."""
    payload = part.get_payload()
    groups = payload if isinstance(payload, list) else [message_from_bytes(_decoded(part).encode())]
    return [
        {name.lower(): _one_line(str(value)) for name, value in group.items()}
        for group in groups
        if isinstance(group, Message)
    ]


def _one_line(text: str) -> str:
    """Without NUL and the like, which no store takes."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _text(mail: Message) -> str:
    texts = (_decoded(part) for part in mail.walk() if part.get_content_maintype() == "text")
    return "\n".join(texts)[:MAX_TEXT]


def _own_words(mail: Message) -> str:
    """What a mail system says itself, without the message that came back and its subject: their words must
    not decide about an address."""
    texts = []
    for part in _walk(mail):
        if part.get_content_type() in ("text/plain", "text/html"):
            text = _decoded(part)
            texts.append(unescape(_TAG.sub(" ", text)) if part.get_content_subtype() == "html" else text)
    own = "\n".join(texts)[:MAX_TEXT].replace("\r\n", "\n")
    copy = _COPY.search(own)
    return _QUOTED_FIELD.sub("", own[: copy.start()] if copy else own)


def _walk(mail: Message) -> Iterator[Message]:
    """The parts of a mail, without those of a message that it encloses."""
    yield mail
    if mail.get_content_maintype() == "multipart" and mail.is_multipart():
        for part in mail.get_payload():
            if isinstance(part, Message):
                yield from _walk(part)


def _decoded(part: Message) -> str:
    octets = part.get_payload(decode=True)
    return octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""
