"""What a mail to the bounce address is: a bounce, a complaint, an automatic reply, or a person's words.

Standard forms first: delivery status (RFC 3464) and abuse reports (ARF, RFC 5965) say what they are. Then
automatic replies (RFC 3834), which are neither a bounce nor an opt-out. What is left and comes from a mail
system goes through flufl.bounce, which knows the forms of those that do not keep to the standard.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from email.utils import parseaddr

from flufl.bounce import all_failures

from kundresa.feedback.bounces import classify
from kundresa.spec.vocabulary import BounceClass, FeedbackKind

MAX_TEXT = 4_000
"""Characters of a mail's text that are looked at for a status."""

_MESSAGE_ID = re.compile(r"(?<![0-9a-f])([0-9a-f]{32})(?![0-9a-f])", re.IGNORECASE)
"""Whatever its case: some servers change that of an address."""
_SYSTEM = re.compile(r"^(?:mailer-daemon|postmaster|mail-?daemon|bounces?|noreply-bounce)[^@]*(?:@|$)", re.I)
_AUTOMATIC_SUBJECT = re.compile(
    r"^\s*(?:auto(?:matic|matisk|matische)?[ :_-]*(?:reply|response|antwort|svar|respons)|"
    r"out of (?:the )?office|autosvar|frånvaro|abwesen|réponse automatique|vacation|away from)",
    re.IGNORECASE,
)
_ABUSE = ("abuse", "fraud", "virus", "opt-out", "opt-out-list")
"""Feedback types (RFC 5965 7.3) of a recipient who does not want it; ``not-spam`` is the opposite, others are
about something else."""
_ACTIONS = {"failed": FeedbackKind.BOUNCED, "delivered": FeedbackKind.DELIVERED}
"""RFC 3464 2.3.3. ``delayed`` is still on its way, ``relayed`` and ``expanded`` have left our sight."""


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


def read_mail(octets: bytes) -> ReadMail:
    """Whatever the octets are, this returns: mails to a public address may hold anything."""
    mail = message_from_bytes(octets)
    named = str(mail.get("Message-ID", "")).strip()
    key = hashlib.sha256(named.encode("utf-8", "replace") if named else octets).hexdigest()[:40]
    try:
        what, findings = _read(mail)
    # The parsers of the standard library and of flufl.bounce raise all kinds of things at broken mails.
    except Exception:
        return ReadMail(key, "other")
    return ReadMail(key, what, tuple(findings))


def _read(mail: Message) -> tuple[str, list[MailFinding]]:
    report = str(mail.get_param("report-type", "") or "").lower()
    kind = mail.get_content_type()
    if kind == "multipart/report" and report == "feedback-report":
        return _complaint(mail)
    if _part(mail, "message/delivery-status") is not None:
        return _status_report(mail)
    if _is_from_system(mail):
        return _free_report(mail)
    if _is_automatic(mail):
        return "automatic_reply", []
    candidates = tuple(_ids(mail, "In-Reply-To", "References"))
    if candidates:
        return "reply", [MailFinding(FeedbackKind.REPLIED, candidates)]
    return "other", []


def _free_report(mail: Message) -> tuple[str, list[MailFinding]]:
    """From a mail system, in a form of its own."""
    temporary, permanent = all_failures(mail)
    if permanent:
        found = classify("", _text(mail))
        return "bounce", [
            MailFinding(FeedbackKind.BOUNCED, _candidates(mail), found, None, "no standard report")
        ]
    return ("delay" if temporary else "automatic_reply"), []


def _complaint(mail: Message) -> tuple[str, list[MailFinding]]:
    part = _part(mail, "message/feedback-report")
    fields = _fields(part)[0] if part is not None else {}
    feedback_type = fields.get("feedback-type", "").lower()
    if feedback_type not in _ABUSE:
        return "other", []
    return "complaint", [MailFinding(FeedbackKind.COMPLAINED, _candidates(mail), detail=feedback_type)]


def _status_report(mail: Message) -> tuple[str, list[MailFinding]]:
    part = _part(mail, "message/delivery-status")
    assert part is not None  # noqa: S101  the caller has seen it
    findings = []
    actions = set()
    for fields in _fields(part)[1:]:
        action = fields.get("action", "").lower().split(" ")[0]
        actions.add(action)
        if action not in _ACTIONS:
            continue
        status, diagnostic = fields.get("status", ""), fields.get("diagnostic-code", "")
        kind = _ACTIONS[action]
        bounced = classify(status, diagnostic) if kind is FeedbackKind.BOUNCED else None
        detail = diagnostic.partition(";")[2].strip() or diagnostic
        findings.append(
            MailFinding(kind, _candidates(mail), bounced, status[:20] or None, detail[:500] or None)
        )
    kinds = {finding.kind for finding in findings}
    what = (
        "bounce"
        if FeedbackKind.BOUNCED in kinds
        else "delivery"
        if kinds
        else "delay"
        if actions
        else "other"
    )
    return what, findings


def _is_automatic(mail: Message) -> bool:
    """RFC 3834 section 5, and what those send that do not know it."""
    submitted = str(mail.get("Auto-Submitted", "no")).partition(";")[0].strip().lower()
    precedence = str(mail.get("Precedence", "")).strip().lower()
    return (
        submitted not in ("no", "")
        or precedence in ("auto_reply", "auto-reply", "junk")
        or any(name in mail for name in ("X-Autoreply", "X-Autorespond", "X-Vacation", "X-Auto-Reply"))
        or _AUTOMATIC_SUBJECT.match(str(mail.get("Subject", ""))) is not None
    )


def _is_from_system(mail: Message) -> bool:
    sender = parseaddr(str(mail.get("From", "")))[1]
    return bool(_SYSTEM.match(sender)) or (str(mail.get("Return-Path", "x")).strip() == "<>" and not sender)


def _candidates(mail: Message) -> tuple[str, ...]:
    """By the message that came back, the address that it was sent from (VERP), then anywhere in the text."""
    found: list[str] = []
    for part in mail.walk():
        if part is not mail and "Message-ID" in part:
            found += _ids(part, "Message-ID")
        if part.get_content_type() in ("text/rfc822-headers", "message/rfc822-headers"):
            found += _message_ids(_decoded(part))
    found += _ids(mail, "To", "Delivered-To", "X-Original-To", "In-Reply-To", "References")
    found += _message_ids(_text(mail))
    return tuple(dict.fromkeys(found))[:20]


def _ids(mail: Message, *names: str) -> Iterator[str]:
    for name in names:
        for value in mail.get_all(name, ()):
            yield from _message_ids(str(value)[:2_000])


def _message_ids(text: str) -> list[str]:
    return [found.lower() for found in _MESSAGE_ID.findall(text)]


def _part(mail: Message, content_type: str) -> Message | None:
    return next((part for part in mail.walk() if part.get_content_type() == content_type), None)


def _fields(part: Message) -> list[dict[str, str]]:
    """The groups of fields of a report, by lower-case name; RFC 3464 separates them by empty lines."""
    payload = part.get_payload()
    groups = payload if isinstance(payload, list) else [message_from_bytes(_decoded(part).encode())]
    return [
        {name.lower(): " ".join(str(value).split()) for name, value in group.items()}
        for group in groups
        if isinstance(group, Message)
    ]


def _text(mail: Message) -> str:
    texts = (_decoded(part) for part in mail.walk() if part.get_content_maintype() == "text")
    return "\n".join(texts)[:MAX_TEXT]


def _decoded(part: Message) -> str:
    octets = part.get_payload(decode=True)
    return octets.decode("utf-8", "replace") if isinstance(octets, bytes) else ""
