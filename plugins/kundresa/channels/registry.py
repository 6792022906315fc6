"""Which sender sends which channel kind on which kind of account."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from kundresa.channels import smtp_status
from kundresa.channels.accounts import Account
from kundresa.channels.apns import ApnsAdapter
from kundresa.channels.email import SmtpSender
from kundresa.channels.fcm import FcmAdapter
from kundresa.channels.http_sender import Adapter, HttpSender
from kundresa.channels.print_file import PrintFileSender
from kundresa.channels.public_links import require_public_links
from kundresa.channels.smpp import SmppSender
from kundresa.channels.smpp_session import OnReports
from kundresa.channels.sms import CONNECTIONS as SMS_CONNECTIONS
from kundresa.channels.sms import TwilioAdapter
from kundresa.channels.webhook import CONNECTIONS as WEBHOOK_CONNECTIONS
from kundresa.channels.webhook import WebhookAdapter
from kundresa.spec.channels import (
    Channel,
    DirectMailChannel,
    EmailChannel,
    PushChannel,
    SmsChannel,
    WebhookChannel,
)
from kundresa.spec.messages import Message, Receipt

STREAMS = 200
"""Requests at once over HTTP/2; what the other side permits is the bound below it."""

Clock = Callable[[], datetime]


class Sender(Protocol):
    """What every channel's sender does; ``delivery`` declares the same as what it needs."""

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]: ...

    def close(self) -> None: ...


def open_sender(
    channel: Channel,
    account: Account,
    clock: Clock,
    *,
    run_key: str,
    secret: str = "",
    public_url: str = "",
    allowed_hosts: Collection[str] = (),
    on_reports: OnReports | None = None,
    valid_until: datetime | None = None,
) -> Sender:
    """A sender for one run on one account, connected and logged in where the protocol has that.

    Args:
        channel: the campaign's channel.
        account: the account that ``channel.account`` names, resolved.
        clock: UTC now.
        run_key: goes with every message, so that it can be found on the other side.
        secret: signs the return paths of emails, where the account has a ``bounce_domain``.
        public_url: the base of the links that emails carry, held against the account; empty for messages
            without links.
        allowed_hosts: what webhooks may call: ``webhook_hosts`` of the policies.
        on_reports: gets the delivery reports that arrive while the sender works, where the protocol brings
            them (SMPP); None asks for none.
        valid_until: after it a push service or a text message centre delivers nothing any more to a device
            that was out of reach.

    Raises:
        AccountError: when the account cannot be used: wrong kind, wrong password, no encryption, links
            that no reader can follow. A server that is down is not an error: its messages are deferred.
    """
    match channel:
        case EmailChannel():
            if public_url:
                require_public_links(account, public_url)
            email = SmtpSender(channel, account, run_key=run_key, secret=secret, clock=clock)
            return _opened(email)
        case SmsChannel():
            if account.kind == "smpp":
                smpp = SmppSender(
                    channel, account, clock=clock, on_reports=on_reports, valid_until=valid_until
                )
                return _opened(smpp)
            sms = TwilioAdapter(channel, account, run_key=run_key, clock=clock)
            return _http(sms, account, clock, SMS_CONNECTIONS)
        case PushChannel():
            adapter = ApnsAdapter if account.kind == "apns" else FcmAdapter
            return HttpSender(
                adapter(account, run_key=run_key, clock=clock, valid_until=valid_until),
                account,
                clock=clock,
                in_flight=STREAMS,
            )
        case WebhookChannel():
            webhook = WebhookAdapter(
                channel, account, run_key=run_key, clock=clock, allowed_hosts=allowed_hosts
            )
            return _http(webhook, account, clock, WEBHOOK_CONNECTIONS)
        case DirectMailChannel():
            return PrintFileSender(channel, account, run_key=run_key, clock=clock)


def is_idempotent(channel: Channel, account: Account) -> bool:
    """Whether the receiver knows a message that it has had, so that one of which nobody knows what became can
    be handed over again: a print file takes the place of the one with the same rows; over HTTP the account
    says so."""
    if isinstance(channel, DirectMailChannel):
        return True
    return account.is_idempotent and account.kind not in ("smtp", "smpp")


def judges_addresses(channel: str) -> bool:
    """Whether who takes a channel's messages says of an address, while it is handed one, that it takes none
    for now: receiving mail servers do."""
    return channel == "email"


def is_soft_refusal(channel: str, code: str | None, detail: str | None) -> bool:
    """Whether this answer, as the ledger keeps it, is of such an address."""
    return judges_addresses(channel) and smtp_status.is_soft_refusal(code, detail)


def _opened(sender: SmtpSender | SmppSender) -> Sender:
    try:
        sender.open()
    except BaseException:
        sender.close()
        raise
    return sender


def _http(adapter: Adapter, account: Account, clock: Clock, connections: int) -> HttpSender:
    return HttpSender(adapter, account, clock=clock, in_flight=account.connections or connections)
