"""The channels of a campaign's spec, and of a journey's message steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kundresa.spec.attachments import Attachments
from kundresa.spec.fields import (
    Line,
    Mailbox,
    Name,
    SmsSender,
    Whole,
    first_repeated,
    misplaced,
)
from kundresa.spec.spec import Spec


class EmailChannel(Spec):
    """Email, by SMTP."""

    kind: Literal["email"]
    template: Name
    """Stem of the templates beside the spec: ``<stem>.subject.j2``, ``<stem>.html.j2`` (or ``.mjml.j2``), and
    where wanted ``<stem>.txt.j2`` (else it is derived from the HTML) and ``<stem>.preheader.j2``. In another
    language ``<stem>.<language>.html.j2`` and so on."""
    account: Name
    """Sender account: the Airflow connection ``kundresa_<account>``."""
    sender: Mailbox
    """The From header."""
    reply_to: Mailbox | None = None
    """The Reply-To header."""
    attachments: Attachments = ()
    """Files that travel with the message: only where the topic's consent is ``exempt`` in
    ``dags/policies.yaml``, so with what a person is owed, never with an offer."""


class SmsChannel(Spec):
    """Text message, by an HTTP gateway or by SMPP."""

    kind: Literal["sms"]
    template: Name
    """Stem of one template beside the spec: ``<stem>.txt.j2``."""
    account: Name
    """Sender account: the Airflow connection ``kundresa_<account>``."""
    sender: SmsSender
    """An E.164 number or an alphanumeric sender of at most 11 characters."""
    max_segments: Annotated[Whole, Field(ge=1, le=10)] = 10
    """The most segments that one person's text may take: each is sent, and paid, as a message. A longer one
    is not sent, and its line in the account says so. 10 is what gateways take at most."""


class PushChannel(Spec):
    """Push notification, by FCM (HTTP v1) or APNs."""

    kind: Literal["push"]
    template: Name
    """Stem of the templates beside the spec: ``<stem>.title.j2``, ``<stem>.body.j2``; where they are there,
    ``<stem>.link.j2`` (what a tap opens) and ``<stem>.data.json.j2`` (an object of texts for the app)."""
    account: Name
    """Sender account: the Airflow connection ``kundresa_<account>``, ``fcm://`` or ``apns://``."""


class WebhookChannel(Spec):
    """A call of another system, by HTTPS: signed, several people in one request."""

    kind: Literal["webhook"]
    template: Name
    """Stem of one template beside the spec: ``<stem>.json.j2``, a JSON object per person."""
    account: Name
    """Receiver: the Airflow connection ``kundresa_<account>``; its host is one of ``webhook_hosts`` in
    ``dags/policies.yaml``."""
    per_request: Annotated[Whole, Field(ge=1, le=1_000)] = 50
    """The most people in one request."""


class PrintColumn(Spec):
    """One column of a print file."""

    name: Name
    """Its value is the block of this name in the template."""
    header: Line | None = None
    """What the header row calls it; None is its name."""
    width: Annotated[Whole, Field(ge=1, le=500)] | None = None
    """Characters: required for a file of fixed width, where a shorter value is filled with spaces. In either
    form a longer value is not cut: that person's message is not written, with that reason."""


def _distinct_columns(columns: tuple[PrintColumn, ...]) -> tuple[PrintColumn, ...]:
    repeated = first_repeated([column.name for column in columns])
    if repeated:
        raise misplaced((repeated[0], "name"), f"there is a column '{repeated[1]}' already")
    return columns


class PrintLayout(Spec):
    """How a print file is written."""

    format: Literal["csv", "fixed"] = "csv"
    """Values between delimiters, quoted where needed (RFC 4180), or each filled up to its width."""
    columns: Annotated[
        tuple[PrintColumn, ...], Field(min_length=1, max_length=200), AfterValidator(_distinct_columns)
    ]
    """In their order. One named ``message_id`` is required: by it the printer's result file is read back."""
    delimiter: Literal[",", ";", "\t", "|"] = ","
    """Of a CSV file."""
    header: bool = True
    """Whether the first row names the columns."""
    encoding: Literal["utf-8", "utf-8-sig", "latin-1", "cp1252"] = "utf-8"
    """A value that it cannot write fails that person's message; nothing is replaced in silence."""

    @model_validator(mode="after")
    def _complete(self) -> PrintLayout:
        if "message_id" not in {column.name for column in self.columns}:
            raise misplaced(("columns",), "there is no column 'message_id'")
        for position, column in enumerate(self.columns):
            if self.format == "fixed" and column.width is None:
                raise misplaced(("columns", position), f"column '{column.name}' needs a width")
        return self


class DirectMailChannel(Spec):
    """Letters: one print file per batch, to a folder, an SFTP server or a bucket on S3. Rows of a file that
    are equal but for the ``message_id`` are printed once; those of two files are not compared."""

    kind: Literal["direct_mail"]
    template: Name
    """Stem of one template beside the spec: ``<stem>.row.j2``, with a ``{% block <column> %}`` for each
    column of the layout."""
    account: Name
    """Where the files go: the Airflow connection ``kundresa_<account>``, ``file://``,
    ``sftp://`` or ``s3://``."""
    layout: PrintLayout
    """The file's columns and form."""


AnyChannel = EmailChannel | SmsChannel | PushChannel | WebhookChannel | DirectMailChannel
Channel = Annotated[AnyChannel, Field(discriminator="kind")]
