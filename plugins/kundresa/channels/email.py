"""Email over SMTP: many connections, each with the next envelope ahead, one receipt for every message.

What an answer means (RFC 5321 4.2, RFC 3463; the details are in ``smtp_status``):

| what happened | receipt |
|---|---|
| 2xx after the end of DATA or BDAT | accepted |
| 4xx at any step, 421 | deferred |
| 5xx that says what a hard bounce does (``spec.bounces``) | failed, address_refused, suppressed [1] |
| 5xx that says what a soft bounce does: a full mailbox | failed, temporary_failure [2] |
| other 5xx about the recipient: status x.1.x, x.2.x, or 550, 551, 553 to RCPT | failed, address_refused |
| other 5xx: policy, a block list, the message | failed, message_refused |
| 5xx to MAIL: the sender is refused | AccountError |
| lost, stalled or garbage before the end of its content was written | tried once more, then deferred |
| lost, stalled or garbage after it | unknown |
| its domain has refused five in a row for now, here or with another worker | deferred, untouched |

[1] Once this sender has had a message taken: a relay that is broken, or a staging one, says it of everybody.
Not by words that may be about our account or the relay's routing; a bounce suppresses then.
[2] As a 4xx of the address is in the end. The message counts with soft bounces, where the status or the words
are about the mailbox (``smtp_status.is_soft_refusal``) and a message of the run was taken.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta

from kundresa.channels.accounts import Account, AccountError
from kundresa.channels.addresses import AddressError, smtp_domain, smtp_mailbox
from kundresa.channels.dkim import dkim_signer
from kundresa.channels.domains import Domains, parse_limits
from kundresa.channels.mime import build_envelope, email_parts
from kundresa.channels.outage import Outage
from kundresa.channels.provider_marks import provider_marks
from kundresa.channels.receipts import accepted, clean_detail, clean_provider_id, deferred, failed, unknown
from kundresa.channels.return_path import PREFIX, return_path
from kundresa.channels.smtp_connection import (
    ConnectionLostError,
    Outcome,
    ServerClosingError,
    SmtpConnection,
    Transaction,
)
from kundresa.channels.smtp_pool import CONNECTIONS, SmtpPool
from kundresa.channels.smtp_session import UnreachableError
from kundresa.channels.smtp_status import Reply, Stage, refusal, slows_domain
from kundresa.channels.stopping import UNANSWERED, WIND_UP, not_sent
from kundresa.spec.channels import EmailChannel
from kundresa.spec.messages import EmailContent, Message, Receipt
from kundresa.spec.pace import Rest
from kundresa.spec.vocabulary import DeliveryReason

RETRY_AFTER = timedelta(minutes=5)
"""For a message refused for now: most greylisting lets it through after five minutes."""
TRIES_PER_MESSAGE = 2
"""Connections that one message may break within a window before it waits for the next attempt."""


class SmtpSender:
    """Sends emails on one account. For one thread; connections are kept between windows."""

    def __init__(
        self,
        channel: EmailChannel,
        account: Account,
        *,
        run_key: str,
        secret: str = "",
        clock: Callable[[], datetime],
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            secret: signs return paths, where the account has a ``bounce_domain``.

        Raises:
            AccountError: when the account is not for SMTP, or the sender cannot stand in a header.
        """
        if account.kind != "smtp":
            raise AccountError(f"{account.place} is of kind {account.kind}; email takes smtp")
        self._account = account
        marks = provider_marks(account)
        try:
            feedback_id = account.extra.get("feedback_id", "kundresa")
            self._envelope = build_envelope(channel, run_key, feedback_id, marks)
        except ValueError as error:
            raise AccountError(f"{account.place}: sender {channel.sender}: {error}") from None
        self._clock = clock
        self._monotonic = monotonic
        self._outage = Outage(clock, sleep)
        try:
            connections = int(account.extra.get("connections", CONNECTIONS))
            limits = parse_limits(account.extra.get("domains", ""))
            # A connection holds two messages: one whose content is on its way, and the envelope ahead of it.
            per_domain = int(account.extra.get("per_domain", connections * 2))
        except ValueError as error:
            raise AccountError(f"{account.place}: connections, per_domain or domains: {error}") from None
        try:
            self._dkim = dkim_signer(account.extra)
            domain = account.extra.get("bounce_domain", "")
            self._bounce_domain = smtp_domain(domain) if domain else ""
        except ValueError as error:
            raise AccountError(f"{account.place}: {error}") from None
        if self._bounce_domain and not secret:
            raise AccountError(f"{account.place}: return paths at bounce_domain need a signing secret")
        self._secret = secret
        if connections < 1 or per_domain < 1:
            raise AccountError(f"{account.place}: connections and per_domain are at least 1")
        self._pool = SmtpPool(account, limit=connections, monotonic=monotonic)
        self._domains: Domains[Transaction] = Domains(limits, per_domain, clock)
        self._window: Sequence[Message] = ()
        self._next = 0
        self._open = 0
        """Messages of the window without a receipt."""
        self._again: deque[Transaction] = deque()
        """Certainly not sent, to be offered before the rest of the window."""
        self._receipts: deque[Receipt] = deque()
        self._has_accepted = False

    def open(self) -> None:
        """Connects and logs in now, so that a wrong password shows before any message is claimed. A
        server that cannot be reached is no error here: messages will be deferred.

        Raises:
            AccountError: as ``open_connection`` says.
        """
        self._connected()

    def send(self, window: Sequence[Message]) -> Iterator[Receipt]:
        """One receipt per message, each as soon as it is known; with several connections in any order.

        When it has to stop early, by an AccountError or by whatever is raised in it, it waits for the answers
        to what has left, at most ``WIND_UP`` seconds; what has left and is not answered is given as unknown.

        Raises:
            AccountError: messages without a receipt were certainly not sent.
        """
        self._window, self._next, self._open = window, 0, len(window)
        try:
            self._pool.drop_closed()
            while self._open:
                if not self._connected():
                    self._defer_rest()
                yield from self._known()
                if self._open:
                    self._step()
                    yield from self._known()
        except GeneratorExit:
            self._break_off()
            raise
        except BaseException as error:
            self._wind_up(is_account=isinstance(error, AccountError))
            yield from self._known()
            raise

    def wait_within(self, waiting: Callable[[], AbstractContextManager[object]]) -> None:
        """``waiting()`` is opened around each wait for a server, and nowhere else: what is raised there finds
        every octet that was written accounted for."""
        self._pool.waiting = waiting

    def know_rests(self, rests: Mapping[str, Rest]) -> None:
        """The rests of the account's receiving domains, as all its workers have found them."""
        self._domains.know(rests)

    def new_rests(self) -> Mapping[str, Rest | None]:
        """Those found, or over, since the last call."""
        return self._domains.changes()

    def close(self) -> None:
        """The last window goes at once: some of what a sender holds refers back to it, and 500 messages of
        each batch would wait for the collector of cycles."""
        self._pool.waiting = nullcontext
        self._pool.close()
        self._window, self._next = (), 0

    def _known(self) -> Iterator[Receipt]:
        receipts = self._receipts
        while receipts:
            self._open -= 1
            yield receipts.popleft()

    def _step(self) -> None:
        """Wait for something to happen, and act on it."""
        for connection in self._pool.connections:
            if connection.wants and not connection.is_busy:
                self._feed(connection)
        if self._receipts:
            return
        for connection, events in self._pool.wait():
            if events & selectors.EVENT_READ:
                self._receive(connection)
            if connection in self._pool.connections:
                self._feed(connection)
        for connection in self._pool.late():
            self._lost(connection, ConnectionLostError("timed out"))

    def _feed(self, connection: SmtpConnection) -> None:
        """Give a connection what it can take, and write it."""
        try:
            while connection.wants and (transaction := self._upcoming()) is not None:
                if 0 < connection.max_size < len(transaction.octets):
                    self._too_large(transaction, connection.max_size)
                    continue
                connection.offer(transaction, self._monotonic())
            connection.flush(self._monotonic())
        except ConnectionLostError as lost:
            self._lost(connection, lost)
        else:
            self._pool.watch(connection)

    def _receive(self, connection: SmtpConnection) -> None:
        try:
            for outcome in connection.receive(self._monotonic()):
                self._outcome(outcome)
                if outcome.reply.code == 421:
                    raise ServerClosingError(f"is closing: {outcome.reply.text}")
        except ConnectionLostError as lost:
            self._lost(connection, lost)

    def _outcome(self, outcome: Outcome) -> None:
        transaction, stage, reply = outcome.transaction, outcome.stage, outcome.reply
        self._free(transaction)
        domain = self._domains.of(transaction.domain)
        if reply.code < 300:
            self._outage.over()
            self._has_accepted = True
            self._domains.took(domain)
            self._receipts.append(
                accepted(
                    transaction.message.message_id,
                    clean_provider_id(_queue_id(reply), transaction.message.address),
                    reply.shown,
                )
            )
            self._pool.taken(len(self._window) - self._next)
            return
        detail = self._clean(f"{stage}: {reply.text}", transaction.message)
        if reply.code != 421:
            self._outage.over()
        if slows_domain(stage, reply):
            self._domains.refused(domain, detail)
        self._receipts.append(self._refusal(transaction, stage, reply, detail))

    def _refusal(self, transaction: Transaction, stage: Stage, reply: Reply, detail: str) -> Receipt:
        key = transaction.message.message_id
        if reply.code < 500:
            return deferred(key, reply.shown, detail, self._clock() + RETRY_AFTER)
        if stage is Stage.MAIL:
            raise AccountError(
                f"{self._account.place} refused the sender {self._return_address}: {reply.shown} {detail}"
            )
        refused = refusal(stage, reply)
        suppress = refused.suppress if self._has_accepted else None
        return failed(key, refused.reason, reply.shown, detail, suppress=suppress)

    @property
    def _return_address(self) -> str:
        return f"{PREFIX}…@{self._bounce_domain}" if self._bounce_domain else self._envelope.sender

    def _lost(self, connection: SmtpConnection, lost: ConnectionLostError) -> None:
        """A connection is of no further use: what may have left is unknown, the rest is offered again."""
        self._pool.remove(connection)
        held = connection.held()
        if not held and not isinstance(lost, ServerClosingError):
            return
        if self._pool.connections:
            self._pool.shrink()
        else:
            why = self._clean(str(lost), held[0].message if held else None)
            self._outage.failed(f"{self._account.place}: {why}")
        for place, transaction in enumerate(held):
            if connection.may_have_left(transaction):
                self._free(transaction)
                self._receipts.append(
                    unknown(transaction.message.message_id, None, self._clean(str(lost), transaction.message))
                )
                continue
            transaction.losses += place == 0
            transaction.refused, transaction.end_at = False, 0
            if transaction.losses < TRIES_PER_MESSAGE:
                self._again.append(transaction)
            else:
                self._free(transaction)
                self._receipts.append(self._down(transaction.message))

    def _connected(self) -> bool:
        """Whether there is a connection, opened when needed; False while the server is taken to be down."""
        while not self._pool.connections and self._outage.may_try():
            try:
                self._pool.open_first()
            except UnreachableError as error:
                self._outage.failed(str(error))
        return bool(self._pool.connections)

    def _upcoming(self) -> Transaction | None:
        """The next transaction that may be offered; receipts for messages that need none."""
        while True:
            if self._again:
                return self._again.popleft()
            if self._next >= len(self._window):
                return None
            message = self._window[self._next]
            self._next += 1
            transaction = self._prepared(message)
            if transaction is None:
                continue
            domain = self._domains.of(transaction.domain)
            rests_until = self._domains.rests_until(domain)
            if rests_until is not None:
                self._receipts.append(deferred(message.message_id, None, domain.detail, rests_until))
            elif domain.in_flight >= domain.limit:
                domain.waiting.append(transaction)
            else:
                domain.in_flight += 1
                return transaction

    def _free(self, transaction: Transaction) -> None:
        """A place at its domain is free: the next one that waited for it goes first."""
        domain = self._domains.of(transaction.domain)
        if not domain.waiting:
            domain.in_flight -= 1
            return
        rests_until = self._domains.rests_until(domain)
        if rests_until is None:
            self._again.append(domain.waiting.popleft())
            return
        domain.in_flight -= 1
        while domain.waiting:
            key = domain.waiting.popleft().message.message_id
            self._receipts.append(deferred(key, None, domain.detail, rests_until))

    def _prepared(self, message: Message) -> Transaction | None:
        """The message as it goes over the wire; None, and a receipt, when it cannot."""
        content = message.content
        if not isinstance(content, EmailContent):
            raise TypeError(f"an email sender got {type(content).__name__}")
        key = message.message_id
        try:
            recipient = smtp_mailbox(message.address)
            octets = self._octets(key, recipient, content)
            bounces = self._bounce_domain
            sender = return_path(key, bounces, self._secret) if bounces else self._envelope.sender
        except AddressError as error:
            self._receipts.append(failed(key, DeliveryReason.ADDRESS_REFUSED, None, str(error)))
            return None
        except ValueError as error:
            detail = clean_detail(str(error))
            self._receipts.append(failed(key, DeliveryReason.MESSAGE_REFUSED, None, detail))
            return None
        return Transaction(message, sender, recipient, recipient.rpartition("@")[2], octets)

    def _octets(self, key: str, recipient: str, content: EmailContent) -> bytes:
        now = self._clock()
        head, body = email_parts(self._envelope, key, recipient, content, now)
        signature = self._dkim.fields(head, body, now) if self._dkim else b""
        return b"".join((signature, head, b"\r\n", body))

    def _too_large(self, transaction: Transaction, max_size: int) -> None:
        self._free(transaction)
        detail = f"{len(transaction.octets):,} octets; the server takes {max_size:,}"
        key = transaction.message.message_id
        self._receipts.append(failed(key, DeliveryReason.MESSAGE_REFUSED, None, detail))

    def _down(self, message: Message) -> Receipt:
        return deferred(message.message_id, None, self._outage.detail, self._outage.retry_at())

    def _untouched(self) -> Iterator[Message]:
        """What was taken from the window and is on no connection, then the rest of the window."""
        for transaction in self._again:
            self._domains.of(transaction.domain).in_flight -= 1
            yield transaction.message
        self._again.clear()
        for domain in self._domains.all():
            yield from (transaction.message for transaction in domain.waiting)
            domain.waiting.clear()
        while self._next < len(self._window):
            self._next += 1
            yield self._window[self._next - 1]

    def _defer_rest(self) -> None:
        """The server is down: every message that is left waits, without a try of its own."""
        self._receipts.extend(self._down(message) for message in self._untouched())

    def _wind_up(self, *, is_account: bool) -> None:
        """Stop, for whatever reason: hear what was said to what has left, and know the rest as not sent."""
        self._pool.waiting = nullcontext
        until = self._monotonic() + WIND_UP
        for connection in self._pool.connections:
            connection.wind_up()
        while any(each.awaits_content_reply for each in self._pool.connections):
            left = until - self._monotonic()
            if left <= 0:
                break
            for connection, events in self._pool.wait(left):
                if events & selectors.EVENT_READ:
                    self._receive_last(connection)
        for connection in list(self._pool.connections):
            if connection.is_busy:
                self._lost(connection, ConnectionLostError(UNANSWERED))
        # What was never taken from the window is known as such; of the others only these did not leave.
        self._next = len(self._window)
        for message in self._untouched():
            if not is_account:
                self._receipts.append(not_sent(message.message_id, self._clock()))
        self._domains.idle()

    def _receive_last(self, connection: SmtpConnection) -> None:
        """As ``_receive``; a second refusal of the sender says nothing new."""
        try:
            self._receive(connection)
        except AccountError:
            self._pool.remove(connection)

    def _break_off(self) -> None:
        """Nobody wants the receipts any more."""
        for connection in list(self._pool.connections):
            if connection.is_busy:
                self._pool.remove(connection)
        self._next = len(self._window)
        for _ in self._untouched():
            pass
        self._domains.idle()

    def _clean(self, text: str, message: Message | None) -> str:
        return clean_detail(text, message.address if message else "", self._account.password)


def _queue_id(reply: Reply) -> str:
    """``2.0.0 Ok: queued as 4Yk2`` → ``4Yk2``; another wording as it is."""
    text = reply.text.removeprefix(reply.enhanced).strip()
    return text.rpartition("queued as ")[2] or text
