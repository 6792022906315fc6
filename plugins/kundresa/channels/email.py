"""Email over SMTP: one connection, one message after the other, one receipt for each.

What an answer means (RFC 5321 4.2, RFC 3463):

| what happened | receipt |
|---|---|
| 2xx after the end of DATA | accepted |
| 4xx at any step, 421 | deferred |
| 5xx to RCPT; 5xx with status x.1.x or x.2.x | failed, address_refused |
| other 5xx | failed, message_refused |
| 5xx to MAIL: the sender is refused | AccountError |
| lost, stalled or garbage before the end of DATA was written | tried once more, then deferred |
| lost, stalled or garbage after it | unknown |
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.addresses import AddressError, smtp_mailbox
from kundresa.channels.mime import build_envelope, email_bytes
from kundresa.channels.outage import Outage
from kundresa.channels.receipts import accepted, clean_detail, clean_provider_id, deferred, failed, unknown
from kundresa.channels.smtp_session import ConnectionLostError, Reply, SmtpSession, Stage, UnreachableError
from kundresa.spec.campaign import EmailChannel
from kundresa.spec.messages import EmailContent, Message, Receipt
from kundresa.spec.vocabulary import DeliveryReason

RETRY_AFTER = timedelta(minutes=5)
"""For a message refused for now: most greylisting lets it through after five minutes."""
TRIES_PER_MESSAGE = 2
"""Connections that one message may use up within a window before it waits for the next attempt."""
ADDRESS_SUBJECTS = ("1", "2")
"""Enhanced status subjects about the recipient: addressing and mailbox (RFC 3463 section 3)."""


class SmtpSender:
    """Sends emails on one account. For one thread; the connection is kept between windows."""

    def __init__(
        self,
        channel: EmailChannel,
        account: Account,
        *,
        run_key: str,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Raises:
            AccountError: when the account is not for SMTP, or the sender cannot stand in a header.
        """
        if account.kind != "smtp":
            raise AccountError(f"{account.place} is of kind {account.kind}; email takes smtp")
        self._account = account
        try:
            self._envelope = build_envelope(channel, run_key, account.extra.get("feedback_id", "kundresa"))
        except ValueError as error:
            raise AccountError(f"{account.place}: sender {channel.sender}: {error}") from None
        self._clock = clock
        self._outage = Outage(clock, sleep)
        self._session: SmtpSession | None = None

    def open(self) -> None:
        """Connects and logs in now, so that a wrong password shows before any message is claimed. A
        server that cannot be reached is no error here: messages will be deferred.

        Raises:
            AccountError: as ``SmtpSession`` says.
        """
        self._connected()

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, in order, each as soon as it is known.

        Raises:
            AccountError: messages without a receipt were certainly not sent.
        """
        for message in window:
            yield self._send(message)

    def close(self) -> None:
        if self._session is not None:
            self._session.quit()
            self._session = None

    def _send(self, message: Message) -> Receipt:
        content = message.content
        if not isinstance(content, EmailContent):
            raise TypeError(f"an email sender got {type(content).__name__}")
        try:
            recipient = smtp_mailbox(message.address)
        except AddressError as error:
            return failed(message.message_id, DeliveryReason.ADDRESS_REFUSED, None, str(error))
        try:
            octets = email_bytes(self._envelope, message.message_id, recipient, content, self._clock())
        except ValueError as error:
            return failed(message.message_id, DeliveryReason.MESSAGE_REFUSED, None, clean_detail(str(error)))
        return self._hand_over(message, recipient, octets)

    def _hand_over(self, message: Message, recipient: str, octets: bytes) -> Receipt:
        for _ in range(TRIES_PER_MESSAGE):
            session = self._connected()
            if session is None:
                break
            try:
                stage, reply = session.transact(self._envelope.sender, recipient, octets)
            except ConnectionLostError as lost:
                self._drop()
                self._outage.failed(f"{self._account.place}: {self._clean(str(lost), message)}")
                if lost.handed_over:
                    return unknown(message.message_id, None, self._clean(str(lost), message))
                continue
            self._settle_session(session, stage, reply)
            return self._receipt(message, stage, reply)
        return deferred(message.message_id, None, self._outage.detail, self._outage.retry_at())

    def _settle_session(self, session: SmtpSession, stage: Stage, reply: Reply) -> None:
        """Leaves the connection ready for the next message, or closed."""
        if reply.code == 421:
            self._drop()
            self._outage.failed(f"{self._account.place} is closing: {clean_detail(reply.text)}")
            return
        self._outage.over()
        if stage is Stage.END:
            return
        try:
            session.reset()
        except ConnectionLostError:
            # The receipt of this message is known; the next one opens a connection of its own.
            self._drop()

    def _receipt(self, message: Message, stage: Stage, reply: Reply) -> Receipt:
        key, code = message.message_id, reply.shown
        if reply.code < 300:
            return accepted(key, clean_provider_id(_queue_id(reply), message.address), code)
        detail = self._clean(f"{stage}: {reply.text}", message)
        if reply.code < 500:
            return deferred(key, code, detail, self._clock() + RETRY_AFTER)
        if stage is Stage.MAIL:
            self._drop()
            raise AccountError(
                f"{self._account.place} refused the sender {self._envelope.sender}: {code} {detail}"
            )
        return failed(key, _refusal(stage, reply), code, detail)

    def _connected(self) -> SmtpSession | None:
        """The session, opened when needed; None while the server is taken to be down."""
        while self._session is None and self._outage.may_try():
            try:
                self._session = SmtpSession(self._account)
            except UnreachableError as error:
                self._outage.failed(str(error))
        return self._session

    def _drop(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None

    def _clean(self, text: str, message: Message) -> str:
        return clean_detail(text, message.address, self._account.password)


def _refusal(stage: Stage, reply: Reply) -> DeliveryReason:
    """A refused address will feed suppression: only what speaks of the recipient counts as one."""
    about_address = reply.subject in ADDRESS_SUBJECTS if reply.subject else stage is Stage.RCPT
    return DeliveryReason.ADDRESS_REFUSED if about_address else DeliveryReason.MESSAGE_REFUSED


def _queue_id(reply: Reply) -> str:
    """``2.0.0 Ok: queued as 4Yk2`` → ``4Yk2``; another wording as it is."""
    text = reply.text.removeprefix(reply.enhanced).strip()
    return text.rpartition("queued as ")[2] or text
