"""Windows on their way: claimed in the transaction that settles the one before, sent, and settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from kundresa.delivery.ahead import Written
from kundresa.delivery.batch import Batch
from kundresa.delivery.handover import Handover, hand_over
from kundresa.delivery.pacing import Pacer
from kundresa.delivery.protocols import AskedSender, Books, Guard, Row, RowSender
from kundresa.delivery.retries import schedule
from kundresa.delivery.senders import Senders
from kundresa.delivery.stopping import Stop
from kundresa.delivery.suppress import RefusalCounter, suppress_dead
from kundresa.delivery.withhold import candidate, stays_unknown
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryPolicy, MessageState
from kundresa.store.errors import LeaseLost, StoreError
from kundresa.store.records import Candidate, Lease, Untried


class PutOff(Exception):
    """The caller does not want this window to leave."""


class Exchange:
    """What leaves of one batch under one lease.

    The receipts of a window that went well are kept until the next claim, which settles them: one commit for
    both. Whoever waits for anything else, or ends, settles them before, with :meth:`settle`. So at no time is
    more than one window claimed and not settled.
    """

    def __init__(
        self,
        books: Books,
        batch: Batch,
        lease: Lease,
        *,
        guard: Guard,
        senders: Senders,
        pacer: Pacer | None,
        refusals: RefusalCounter,
        clock: Callable[[], datetime],
        stop: Stop,
    ) -> None:
        self._ledger = books.ledger
        self._suppressions = books.suppressions
        self._batches = books.batches
        self._batch = batch
        self._lease = lease
        self._guard = guard
        self._senders = senders
        self._pacer = pacer
        self._refusals = refusals
        self._clock = clock
        self._stop = stop
        self._renewed_at = clock()
        self._renew_after = timedelta(seconds=lease.seconds / 3)
        self._open: Sequence[Receipt] = ()
        """Of the window before: known, and not settled."""
        self._untold: Callable[[], None] | None = None
        """Tells the store what those say of addresses, until it has taken it; may be repeated."""
        self.newly_accepted = 0
        self.already_settled = 0
        """Messages that were offered and had come to their end before."""

    def leave(
        self,
        rows: Sequence[Row],
        write: Callable[[Row], Written],
        *,
        may_leave: Callable[[], bool],
        meanwhile: Callable[[], None],
        together: int = 0,
    ) -> None:
        """Claim and send one window, and settle the one before.

        Args:
            write: gives a row's message.
            may_leave: is asked just before the claim.
            together: not 0 for unknown messages that leave as a whole again, which has so many. When one
                of them must not leave any more, under ``at_most_once`` all of them stay what they are.
            meanwhile: is called while the claim is made durable; must not raise.

        Raises:
            PutOff: ``may_leave`` said no; nothing of this window is claimed, the one before not settled yet.
            RunClosed, RunStopped, PaceChanged: nothing of this window is claimed; the one before is settled.
        """
        messages, untried = self._look(rows, write)
        if len(messages) < together and self._batch.policy is DeliveryPolicy.AT_MOST_ONCE:
            self.already_settled += len(rows)
            messages, untried = [], [stays_unknown(row) for row in rows]
        if messages:
            self._senders.get()  # before the claim: an account that cannot be used claims nothing
        candidates = self._candidates(rows, messages)
        if not may_leave():
            raise PutOff
        now = self._clock()
        receipts, self._open = self._open, ()
        try:
            attempts = self._ledger.claim(
                self._lease,
                candidates,
                now=now,
                resend_unknown=self._batch.resends_unknown,
                untried=untried,
                pace=None if self._pacer is None else self._pacer.version,
                receipts=receipts,
                meanwhile=meanwhile,
            )
        except Exception as failure:
            if isinstance(failure, StoreError) and failure.is_settled:
                self._settled(receipts, now)
            elif receipts:
                failure.add_note(f"{len(receipts)} messages had left: unsettled they are unknown")
            raise
        self._settled(receipts, now)
        self.already_settled += len(messages) - len(attempts)
        claimed = [each for each in messages if attempts.get(each.message_id)]
        if claimed:
            self._send(claimed, attempts)

    def _candidates(self, rows: Sequence[Row], messages: Sequence[Message]) -> list[Candidate]:
        """What the ledger keeps of the rows whose messages are to leave."""
        asked = {each.message_id: each for each in messages}
        found = [candidate(row) for row in rows if row["message_id"] in asked]
        if not messages or not self._batch.is_distinct:
            return found
        sender = self._senders.get()
        if not isinstance(sender, RowSender):
            return found
        return [replace(each, row_digest=sender.row_digest(asked[each.message_id])) for each in found]

    def ask(
        self, rows: Sequence[Row], write: Callable[[Row], Written], *, is_taken: bool
    ) -> Sequence[Receipt]:
        """Ask the receiver what became of these, which were claimed together and are unknown, and record what
        it says; none where it cannot be asked anything.

        Args:
            is_taken: it has reported about some of them: it has had all, and is not asked.

        Raises:
            AccountError: the account cannot be used.
        """
        sender = self._senders.get()
        messages = [each for each in map(write, rows) if isinstance(each, Message)]
        # By another template than the one that they were written with nobody can ask.
        if not isinstance(sender, AskedSender) or len(messages) < len(rows):
            return ()
        now, valid_until = self._clock(), self._batch.valid_until
        receipts = [
            each if each.retry_at is None or each.retry_at <= valid_until else replace(each, retry_at=None)
            for each in (sender.taken(messages) if is_taken else sender.ask(messages))
        ]
        self._ledger.resolve(self._lease, receipts, now=now)
        self._settled(receipts, now)
        return receipts

    def settle(self) -> None:
        """Settle what is known of the window before.

        What the store has not taken yet of what it says of addresses is told first, once more; the window
        is settled also when that fails again, and then the failure is raised.
        """
        receipts, self._open = self._open, ()
        if not receipts:
            return
        try:
            self._tell()
        finally:
            now = self._clock()
            self._ledger.settle(self._lease, receipts, now=now)
            self._settled(receipts, now)

    def keep(self) -> None:
        """Renew the lease while nothing else does: every claim and settle renews it too."""
        now = self._clock()
        if now - self._renewed_at >= self._renew_after:
            self._batches.renew(self._lease, now=now)
            self._renewed_at = now

    def _settled(self, receipts: Sequence[Receipt], now: datetime) -> None:
        self._renewed_at = now
        self.newly_accepted += sum(each.state is MessageState.ACCEPTED for each in receipts)

    def _look(
        self, rows: Sequence[Row], write: Callable[[Row], Written]
    ) -> tuple[list[Message], list[Untried]]:
        """Their messages, without those of who said no: the look is the last thing before the claim."""
        written = [(row, write(row)) for row in rows]
        untried = [each for _, each in written if isinstance(each, Untried)]
        messages = [(row, each) for row, each in written if isinstance(each, Message)]
        held = self._guard.held([row for row, _ in messages]) if messages else {}
        for row, message in messages:
            if message.message_id in held:
                receipt = Receipt(message.message_id, MessageState.WITHHELD, held[message.message_id])
                untried.append(Untried(candidate(row), receipt))
        return [message for _, message in messages if message.message_id not in held], untried

    def _send(self, messages: Sequence[Message], attempts: Mapping[str, int]) -> None:
        self.keep()  # what was done meanwhile may have taken longer than the lease
        sender = self._senders.get()
        if self._pacer is not None:
            self._pacer.tell(sender)
        handed = hand_over(sender, messages, after_each=self.keep, during=self._stop.interruptible)
        if isinstance(handed.error, LeaseLost):
            # Whoever has the batch now has settled this window as unknown.
            raise handed.error
        now = self._clock()
        receipts = [self._scheduled(each, handed, attempts[each.message_id], now) for each in handed.receipts]
        # Known from here on: whatever fails below, whoever ends the passage settles them.
        self._open = receipts
        self._untold = partial(self._tell_of, messages, receipts, now)
        try:
            # Before the settle: a crash between the two must not forget that an address is dead.
            self._tell()
            if handed.error is not None:
                self.settle()
            if self._pacer is not None:
                self._pacer.hear(sender)
        except Exception as failure:
            if handed.error is not None:
                raise failure from handed.error
            raise
        if handed.error is not None:
            raise handed.error

    def _tell(self) -> None:
        if self._untold is not None:
            self._untold()
            self._untold = None

    def _tell_of(self, messages: Sequence[Message], receipts: Sequence[Receipt], now: datetime) -> None:
        suppress_dead(self._suppressions, self._batch.channel, messages, receipts, now=now)
        self._refusals.sent(messages, receipts, now=now)

    def _scheduled(self, receipt: Receipt, handed: Handover, attempt: int, now: datetime) -> Receipt:
        if receipt.message_id in handed.untouched:
            receipt, attempt = replace(receipt, retry_at=now), 1
        return schedule(
            receipt,
            attempt,
            now=now,
            valid_until=self._batch.valid_until,
            resends_unknown=self._batch.resends_unknown,
        )
