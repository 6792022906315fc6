"""A message as it passes between rooms: written by ``content``, sent by ``channels``, settled by
``delivery``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from kundresa.spec.vocabulary import DeliveryReason, MessageState


class Constant(str):
    """A piece of a template that stands in every message made from it, the same object each time; what is
    made from it can be kept with it."""

    printable: bytes
    """It as quoted-printable, once a channel has made that."""


@dataclass(slots=True)
class Attachment:
    """A file that travels with an email. One that everybody gets is the same object in each message; what is
    made from it can be kept with it."""

    name: str
    """What the recipient sees: one line of at most 60 characters without slashes, quotes or controls."""
    media_type: str
    """``application/pdf``; a ``text/`` one is UTF-8."""
    octets: bytes = field(repr=False)
    part: bytes = field(default=b"", repr=False, compare=False)
    """It as a MIME part, once a channel has made that."""


@dataclass(frozen=True, slots=True)
class EmailContent:
    """A rendered email, before it is MIME. ``subject`` is one line without control characters."""

    subject: str
    html: str
    text: str
    unsubscribe_url: str
    html_pieces: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The html once more, in pieces of which some are ``Constant``; or nothing."""
    text_pieces: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """The same of the text."""
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class SmsContent:
    """A rendered text message."""

    text: str


@dataclass(frozen=True, slots=True)
class PushContent:
    """A rendered push notification. ``title`` is one line."""

    title: str
    body: str
    link: str | None = None
    """What a tap opens: a URL, or an app's own scheme."""
    data: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """For the app; texts only, as FCM takes no others."""


@dataclass(frozen=True, slots=True)
class WebhookContent:
    """What a webhook's receiver gets of one person: one JSON object, in compact form."""

    payload: str


@dataclass(frozen=True, slots=True)
class DirectMailContent:
    """One row of a print file: the values in the order of the layout's columns, each one line."""

    values: tuple[str, ...]


Content = EmailContent | SmsContent | PushContent | WebhookContent | DirectMailContent


@dataclass(frozen=True, slots=True)
class Message:
    """One message, ready to leave. ``address`` is the recipient's, already normalised."""

    message_id: str
    address: str
    content: Content


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one message in one attempt.

    ``state`` is one of accepted, failed, deferred, withheld or unknown. ``reason`` is None exactly
    when it was accepted. ``code`` is the provider's own (``550 5.1.1``, ``HTTP 429``), ``detail`` one
    line of at most 500 characters with no address in it. ``retry_at`` is set when deferred, and of an
    unknown one that is handed over, or asked about, again. ``suppress`` is set
    when the provider says that the address is dead: the reason for which nobody may be written to there
    again.
    """

    message_id: str
    state: MessageState
    reason: DeliveryReason | None = None
    provider_id: str | None = None
    code: str | None = None
    detail: str | None = None
    retry_at: datetime | None = None
    suppress: str | None = None
