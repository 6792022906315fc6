"""Which sender sends which channel kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from kundresa.channels.accounts import Account
from kundresa.channels.email import SmtpSender
from kundresa.channels.sms import HttpSmsSender
from kundresa.spec.campaign import Channel, EmailChannel
from kundresa.spec.messages import Message, Receipt


class Sender(Protocol):
    """What every channel's sender does; ``delivery`` declares the same as what it needs."""

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]: ...

    def close(self) -> None: ...


def open_sender(
    channel: Channel, account: Account, clock: Callable[[], datetime], *, run_key: str, secret: str = ""
) -> Sender:
    """A sender for one run on one account, connected and logged in.

    Args:
        channel: the campaign's channel.
        account: the account that ``channel.account`` names, resolved.
        clock: UTC now.
        run_key: goes with every message, so that it can be found on the other side.
        secret: signs the return paths of emails, where the account has a ``bounce_domain``.

    Raises:
        AccountError: when the account cannot be used: wrong kind, wrong password, no encryption. A
            server that is down is not an error: its messages are deferred.
    """
    sender: SmtpSender | HttpSmsSender
    if isinstance(channel, EmailChannel):
        sender = SmtpSender(channel, account, run_key=run_key, secret=secret, clock=clock)
    else:
        sender = HttpSmsSender(channel, account, run_key=run_key, clock=clock)
    try:
        sender.open()
    except BaseException:
        sender.close()
        raise
    return sender
