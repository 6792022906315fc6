"""Delivering one batch by the ledger protocol: claim a window, send it, settle it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from kundresa.content.errors import RenderError
from kundresa.delivery.batch import Batch, BatchResult, Halt
from kundresa.delivery.guard import StoreGuard
from kundresa.delivery.handover import Handover, hand_over
from kundresa.delivery.pacing import AccountBusy, Pacer, Pacing
from kundresa.delivery.protocols import Books, Guard, Hours, Renderer, Row, Sender
from kundresa.delivery.retries import schedule
from kundresa.delivery.senders import Senders
from kundresa.delivery.stopping import Stop, stop_on_signals
from kundresa.delivery.suppress import suppress_dead
from kundresa.delivery.withhold import WITHHELD_BY, candidate, leased, windows, withhold_rows
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.vocabulary import DeliveryPolicy, DeliveryReason, MessageState
from kundresa.store.errors import BatchIncomplete, LeaseLost, PaceChanged, RunClosed, RunStopped
from kundresa.store.records import Lease, Standing, Untried

_SOON_AFTER = timedelta(seconds=1)
"""After the last instant of the validity; as little as tells that it is over."""


def deliver_batch(
    books: Books,
    batch: Batch,
    *,
    rows: Callable[[], Iterable[Row]],
    renderer: Renderer,
    open_sender: Callable[[], Sender],
    owner: str,
    lease: timedelta,
    clock: Callable[[], datetime],
    guard: Guard | None = None,
    hours: Hours | None = None,
    may_go_on: Callable[[], bool] | None = None,
    pacing: Pacing | None = None,
    sleep: Callable[[float], None] = time.sleep,
    progress: Callable[[int], None] | None = None,
) -> BatchResult:
    """Deliver what is left of a batch. Delivering it again sends nothing.

    ``rows`` is called at most once, and its rows are read in windows; they may come in any order, but
    all must come. ``open_sender`` is called once there is something to send. ``lease`` is how long
    the batch stays reserved after a sign of life. ``progress`` is told how many rows were dealt with,
    window by window. ``guard`` defaults to the opt-outs and suppressions of ``books``, ``hours``
    to the whole day.

    Before ``batch.not_before`` nothing is done: the result is empty and says when to come again. Later on a
    message that may not leave at this hour waits for the next one at which it may; where there is none within
    the validity, it is settled at once as if the run had expired.

    A run that was closed as cancelled, failed at its gate or expired sends nothing more, and waits for
    nothing: the rest is withheld with that reason. So is, with ``run_expired``, what was never tried when the
    validity ended.

    A run that was stopped sends nothing more either, but what is left of it waits to be resumed; at the end
    of its validity it is withheld with ``run_stopped``. ``may_go_on`` is asked before each window; when it
    says no, the batch is given back as it is. In both cases ``halted`` of the result says so.

    ``pacing`` names the account whose pace is kept, with all other workers; ``sleep`` takes seconds. A window
    then has as many messages as may leave. When its turn comes later than in some seconds, the batch is given
    back (``halted``), and the result says when to come again.

    Raises:
        BatchNotFound, RunNotFound: when it was never registered.
        RunNotChecked: before the quality gate has passed.
        BatchBusy: another worker holds the batch.
        LeaseLost: this one was so slow that another got the batch.
        BatchIncomplete: ``rows`` gave fewer or more than were registered; what it gave is settled.
        AccountError: the account refuses us. What was not handed over can be delivered at once again.
        StoreUnavailable: the ledger cannot be written. Sent in this window: unknown, at most.
        SenderContractError: the channel is defective.
        Stopped: on SIGTERM or SIGINT, after settling what had left.
    """
    record = books.batches.get(batch.run_key, batch.channel, batch.number)
    if record.finished_at is not None:
        _tell(progress, record.size)
        tally = books.ledger.tally(batch.run_key, batch.channel, batch.number)
        return BatchResult(tally.counts, newly_accepted=0, already_settled=record.size, retry_at=None)
    if _is_early(books, batch, clock()):
        return BatchResult({}, newly_accepted=0, already_settled=0, retry_at=batch.not_before)
    reserved = leased(
        books, batch.run_key, batch.channel, batch.number, owner=owner, seconds=lease, clock=clock
    )
    with stop_on_signals() as stop, reserved as held:
        look = guard or StoreGuard(
            books.opt_outs,
            books.suppressions,
            channel=batch.channel,
            topic=batch.topic,
            is_exempt=batch.is_exempt,
            decided_at=batch.decided_at,
        )
        with Senders(open_sender) as senders:
            delivery = _Delivery(
                books,
                batch,
                held,
                guard=look,
                hours=hours,
                renderer=renderer,
                senders=senders,
                clock=clock,
                stop=stop,
                may_go_on=may_go_on or (lambda: True),
                pacing=pacing,
                sleep=sleep,
            )
            delivery.run(rows(), lambda count: _tell(progress, count))
        return delivery.end()


def _is_early(books: Books, batch: Batch, now: datetime) -> bool:
    """Whether the batch has to wait for its time; RunNotChecked is raised on."""
    if now >= batch.not_before or now > batch.valid_until:
        return False
    try:
        books.ledger.require_deliverable(batch.run_key)
    except RunClosed:
        return False
    except RunStopped:
        pass  # to be looked at when its time has come: it may have been resumed by then
    return True


class _Delivery:
    """One call of ``deliver_batch``: the loop over windows and its counters."""

    def __init__(
        self,
        books: Books,
        batch: Batch,
        lease: Lease,
        *,
        guard: Guard,
        hours: Hours | None,
        renderer: Renderer,
        senders: Senders,
        clock: Callable[[], datetime],
        stop: Stop,
        may_go_on: Callable[[], bool],
        pacing: Pacing | None,
        sleep: Callable[[float], None],
    ) -> None:
        self._ledger = books.ledger
        self._suppressions = books.suppressions
        self._batches = books.batches
        self._batch = batch
        self._lease = lease
        self._guard = guard
        self._hours = hours
        self._opens_at: datetime | None = None
        self._renderer = renderer
        self._senders = senders
        self._clock = clock
        self._stop = stop
        self._may_go_on = may_go_on
        self._sleep = sleep
        self._pacer = None if pacing is None else Pacer(books.paces, pacing, clock=clock, pause=self._pause)
        self._resend = batch.policy is DeliveryPolicy.AT_LEAST_ONCE
        self._renewed_at = clock()
        self._closed: RunClosed | None = None
        self._stopped: RunStopped | None = None
        self._halt: Halt | None = None
        self._busy: AccountBusy | None = None
        self._newly_accepted = 0
        self._already_settled = 0

    def run(self, rows: Iterable[Row], progress: Callable[[int], None]) -> None:
        """All rows, window by window, or as many as are allowed to leave before it is halted."""
        standing = self._ledger.standing(self._lease)
        self._ask()
        if self._halted():
            return
        for offered in windows(rows, self._batch.window, self._lease.size):
            window: Sequence[Row] = [row for row in offered if self._is_due(standing.get(row["message_id"]))]
            while window:
                window = self._some(window, standing)
                if self._halt is not None:
                    return
            progress(len(offered))

    def _some(self, rows: Sequence[Row], standing: Mapping[str, Standing]) -> Sequence[Row]:
        """Deal with as many of these rows as may leave together; returns those to be dealt with next."""
        self._stop.check()
        now: Sequence[Row] = rows
        rest: Sequence[Row] = ()
        if not self._over():
            if self._hours is not None:
                rows = self._within_hours(self._hours, rows, standing)
            if not rows or self._halted():
                return rows
            try:
                now, rest = (rows, ()) if self._pacer is None else self._pacer.next(rows)
            except AccountBusy as busy:
                self._halt, self._busy = Halt.PACED, busy
                return rows
        try:
            left = not self._over() and self._window(now)
        except PaceChanged:
            if self._pacer is not None:
                self._pacer.changed()
            return rows
        if not left:
            if self._halted():
                return rows
            reason = self._why_over()
            withhold_rows(self._ledger, self._lease, now, standing, reason, now=self._clock())
        return rest

    def end(self) -> BatchResult:
        """Finish the batch, or give it back until the earliest retry."""
        tally = self._ledger.tally(self._batch.run_key, self._batch.channel, self._batch.number)
        if self._halt is not None:
            again = self._come_again(self._halt)
            return BatchResult(tally.counts, self._newly_accepted, self._already_settled, again, self._halt)
        waits = tally.counts.get(MessageState.DEFERRED, 0) > 0
        # Unknown messages have a time for a retry only under at_least_once, and no use for it later.
        retry_at = tally.retry_at if waits or not self._over() else None
        if self._opens_at is not None:
            # A retry that is due already is one of those that wait for their hour.
            is_ahead = retry_at is not None and self._clock() < retry_at < self._opens_at
            retry_at = retry_at if is_ahead else self._opens_at
        elif retry_at is None:
            self._batches.finish(self._lease, at=self._clock())
        else:
            self._require_all_lines(sum(tally.counts.values()))
        return BatchResult(tally.counts, self._newly_accepted, self._already_settled, retry_at)

    def _come_again(self, halt: Halt) -> datetime:
        if halt is Halt.RUN_STOPPED:
            return self._batch.valid_until + _SOON_AFTER
        if self._busy is not None:
            return min(self._busy.until, self._batch.valid_until + _SOON_AFTER)
        return self._clock()

    def _require_all_lines(self, lines: int) -> None:
        if lines != self._lease.size:
            raise BatchIncomplete(
                f"{self._lease}: {self._lease.size} messages were registered, {lines} have a ledger line"
            )

    def _ask(self) -> None:
        """Look whether the run may send; RunNotChecked is raised on."""
        try:
            self._ledger.require_deliverable(self._batch.run_key)
        except RunClosed as closed:
            self._closed = closed
        except RunStopped as stopped:
            self._stopped = stopped

    def _over(self) -> bool:
        """Whether nothing more may leave, now or later."""
        return self._closed is not None or self._clock() > self._batch.valid_until

    def _halted(self) -> bool:
        """Whether to leave the rest for later. Beyond the validity nothing is: then it is withheld."""
        if self._over():
            self._halt = None
        elif self._stopped is not None:
            self._halt = Halt.RUN_STOPPED
        elif self._halt is None and not self._may_go_on():
            self._halt = Halt.PUT_OFF
        return self._halt is not None

    def _why_over(self) -> DeliveryReason:
        if self._closed is None:
            return DeliveryReason.RUN_EXPIRED if self._stopped is None else DeliveryReason.RUN_STOPPED
        if self._closed.reason not in WITHHELD_BY:
            raise self._closed  # completed, and yet a message is left: a line of the account is missing
        return WITHHELD_BY[self._closed.reason]

    def _is_due(self, standing: Standing | None) -> bool:
        """Whether something is to be done about a row. Counts those that have come to their end."""
        if standing is None:
            return True
        over = self._over()
        waits = standing.retry_at is not None and standing.retry_at > self._clock()
        if standing.state is MessageState.DEFERRED:
            return over or not waits
        if standing.state is MessageState.UNKNOWN and self._resend and not over:
            return not waits
        self._already_settled += 1
        return False

    def _within_hours(self, hours: Hours, rows: Sequence[Row], standing: Mapping[str, Standing]) -> list[Row]:
        """Those that may leave now. Of the others, those with an hour left wait for it."""
        now = self._clock()
        due, never = [], []
        for row in rows:
            opens_at = hours.opens_at(row, now)
            known = standing.get(row["message_id"])
            if opens_at is None and known is not None and known.state is MessageState.UNKNOWN:
                opens_at = self._batch.valid_until + _SOON_AFTER  # it stays what it is; look then
            if opens_at is None:
                never.append(row)
            elif opens_at > now:
                self._opens_at = min(self._opens_at or opens_at, opens_at)
            else:
                due.append(row)
        if never:
            reason = DeliveryReason.RUN_EXPIRED
            withhold_rows(self._ledger, self._lease, never, standing, reason, now=now)
        return due

    def _window(self, rows: Sequence[Row]) -> bool:
        """Claim, send and settle one window. False, and nothing done, when it may not leave: the run is
        closed or stopped."""
        messages, untried = self._write(rows)
        if messages:
            self._senders.get()  # before the claim: an account that cannot be used claims nothing
        asked = {each.message_id for each in messages}
        candidates = [candidate(row) for row in rows if row["message_id"] in asked]
        now = self._clock()
        try:
            attempts = self._ledger.claim(
                self._lease,
                candidates,
                now=now,
                resend_unknown=self._resend,
                untried=untried,
                pace=None if self._pacer is None else self._pacer.version,
            )
        except RunClosed as closed:
            self._closed = closed
            return False
        except RunStopped as stopped:
            self._stopped = stopped
            return False
        self._renewed_at = now
        self._already_settled += len(messages) - len(attempts)
        claimed = [each for each in messages if each.message_id in attempts]
        if claimed:
            self._send(claimed, attempts)
        return True

    def _write(self, rows: Sequence[Row]) -> tuple[list[Message], list[Untried]]:
        """Render, then look who said no: the look is the last thing before the claim."""
        messages, untried = [], []
        for row in rows:
            try:
                content = self._renderer.render(row)
            except RenderError as error:
                receipt = Receipt(
                    row["message_id"], MessageState.FAILED, DeliveryReason.RENDER_FAILED, detail=str(error)
                )
                untried.append(Untried(candidate(row), receipt))
            else:
                messages.append((row, Message(row["message_id"], row["address"], content)))
        held = self._guard.held([row for row, _ in messages]) if messages else {}
        for row, message in messages:
            if message.message_id in held:
                receipt = Receipt(message.message_id, MessageState.WITHHELD, held[message.message_id])
                untried.append(Untried(candidate(row), receipt))
        return [message for _, message in messages if message.message_id not in held], untried

    def _send(self, messages: Sequence[Message], attempts: Mapping[str, int]) -> None:
        handed = hand_over(
            self._senders.get(), messages, after_each=self._keep, during=self._stop.interruptible
        )
        if isinstance(handed.error, LeaseLost):
            # Whoever has the batch now has settled this window as unknown.
            raise handed.error
        now = self._clock()
        receipts = [self._scheduled(each, handed, attempts[each.message_id], now) for each in handed.receipts]
        try:
            # Before the settle: a crash between the two must not forget that an address is dead.
            suppress_dead(self._suppressions, self._batch.channel, messages, receipts, now=now)
            self._ledger.settle(self._lease, receipts, now=now)
        except Exception as failure:
            if handed.error is not None:
                raise failure from handed.error
            raise
        self._newly_accepted += sum(each.state is MessageState.ACCEPTED for each in receipts)
        if handed.error is not None:
            raise handed.error

    def _scheduled(self, receipt: Receipt, handed: Handover, attempt: int, now: datetime) -> Receipt:
        if receipt.message_id in handed.untouched:
            receipt, attempt = replace(receipt, retry_at=now), 1
        return schedule(
            receipt, attempt, now=now, valid_until=self._batch.valid_until, policy=self._batch.policy
        )

    def _pause(self, wait: timedelta) -> None:
        """Wait for the account's moment, and keep the batch meanwhile. A signal ends it at once."""
        seconds = wait.total_seconds()
        while seconds > 0:
            step = min(seconds, self._lease.seconds / 3)
            with self._stop.interruptible():
                self._sleep(step)
            self._keep()
            seconds -= step

    def _keep(self) -> None:
        """Renew the lease while a slow window is sent; every claim and settle renews it too."""
        now = self._clock()
        if now - self._renewed_at >= timedelta(seconds=self._lease.seconds / 3):
            self._batches.renew(self._lease, now=now)
            self._renewed_at = now


def _tell(progress: Callable[[int], None] | None, count: int) -> None:
    if progress is not None:
        progress(count)
