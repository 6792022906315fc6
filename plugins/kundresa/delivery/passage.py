"""The way through a batch, window by window: what may leave now, later, or not any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from kundresa.channels.accounts import AccountError
from kundresa.delivery.ahead import Ahead
from kundresa.delivery.batch import Batch, BatchResult, Halt
from kundresa.delivery.exchange import Exchange, PutOff
from kundresa.delivery.handover import MAX_DETAIL
from kundresa.delivery.pacing import AccountBusy, Pacer, Pacing, Turn
from kundresa.delivery.protocols import AskedAnew, Books, Guard, Hours, Renderer, Row
from kundresa.delivery.senders import Senders
from kundresa.delivery.stopping import Stop
from kundresa.delivery.suppress import RefusalCounter
from kundresa.delivery.withhold import WITHHELD_BY, candidate, stays_unknown, windows, withhold_rows
from kundresa.spec.messages import Receipt
from kundresa.spec.pace import Rest
from kundresa.spec.vocabulary import DeliveryPolicy, DeliveryReason, MessageState
from kundresa.store.errors import BatchIncomplete, PaceChanged, RunClosed, RunStopped
from kundresa.store.records import Lease, PaceVersion, Standing, Untried

_SOON_AFTER = timedelta(seconds=1)
"""After the last instant of the validity; as little as tells that it is over."""

_Claim = tuple[int | None, datetime | None]


def _yes() -> bool:
    return True


def _claim(standing: Standing) -> _Claim:
    """What messages have in common that were claimed together."""
    return standing.fence, standing.claimed_at


class Passage:
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
        self._batches = books.batches
        self._batch = batch
        self._lease = lease
        self._pacer = (
            None
            if pacing is None
            else Pacer(books.paces, books.rests, pacing, clock=clock, pause=self._pause)
        )
        self._refusals = RefusalCounter(books, batch.run_key, batch.channel, batch.soft_bounces)
        self._exchange = Exchange(
            books,
            batch,
            lease,
            guard=guard,
            senders=senders,
            pacer=self._pacer,
            refusals=self._refusals,
            clock=clock,
            stop=stop,
        )
        self._hours = hours
        self._opens_at: datetime | None = None
        self._renderer = renderer
        self._clock = clock
        self._stop = stop
        self._may_go_on = may_go_on
        self._sleep = sleep
        self._closed: RunClosed | None = None
        self._stopped: RunStopped | None = None
        self._halt: Halt | None = None
        self._busy: AccountBusy | None = None
        self._already_settled = 0

    def run(self, rows: Iterable[Row], progress: Callable[[int], None]) -> None:
        """All rows, window by window, or as many as are allowed to leave before it is halted."""
        try:
            self._go_through(rows, progress)
        except BaseException as error:
            try:
                self._exchange.settle()
            except Exception as failure:
                raise failure from error
            raise
        self._exchange.settle()

    def _go_through(self, rows: Iterable[Row], progress: Callable[[int], None]) -> None:
        standing: dict[str, Standing] = {**self._ledger.standing(self._lease)}
        self._ask()
        if self._halted():
            return
        offers = windows(rows, self._batch.window, self._lease.size)
        ahead = Ahead(offers, self._renderer, lambda rows: self._sure(rows, standing))
        for offered in ahead:
            due = offered
            if standing and self._batch.is_whole:
                self._resolve(offered, standing, ahead)
            if standing:
                due = [row for row in offered if self._is_due(standing.get(row["message_id"]))]
            for part, together in self._apart(due, standing):
                window = part
                while window:
                    window = self._some(window, standing, ahead, together)
                    if self._halt is not None:
                        return
            progress(len(offered))

    def _resolve(self, rows: Sequence[Row], standing: dict[str, Standing], ahead: Ahead) -> None:
        """Ask about wholes of which nobody knows whether they left, before anything leaves again. Nothing
        leaves by it: it is asked too when the run is over."""
        for whole in self._wholes(rows, standing).values():
            retry_at = standing[whole[0]["message_id"]].retry_at
            if retry_at is None or (retry_at > self._clock() and not self._over()):
                continue
            # What is reported of one of them has left, and all with it; it may be there no more.
            is_taken = self._ledger.has_result([row["message_id"] for row in whole])
            receipts: Sequence[Receipt] = ()
            try:
                receipts = self._exchange.ask(whole, ahead.write, is_taken=is_taken)
            except AccountError:
                if not self._over():
                    raise
            if not receipts and (is_taken or self._over()):
                # Nobody will know of all of them, and none leaves again. What is reported of each counts.
                stay = [stays_unknown(row) for row in whole]
                self._ledger.settle_untried(self._lease, stay, now=self._clock())
                receipts = [each.receipt for each in stay]
            for each in receipts:
                known = standing[each.message_id]
                standing[each.message_id] = replace(known, state=each.state, retry_at=each.retry_at)

    def _wholes(
        self, rows: Sequence[Row], standing: Mapping[str, Standing]
    ) -> Mapping[_Claim, Sequence[Row]]:
        """The unknown messages among these by their claim, where all that were claimed together are."""
        claims = Counter(_claim(each) for each in standing.values())
        wholes: dict[_Claim, list[Row]] = {}
        for row in rows:
            known = standing.get(row["message_id"])
            if known is not None and known.state is MessageState.UNKNOWN:
                wholes.setdefault(_claim(known), []).append(row)
        return {claim: whole for claim, whole in wholes.items() if len(whole) == claims[claim]}

    def _apart(
        self, rows: Sequence[Row], standing: Mapping[str, Standing]
    ) -> list[tuple[Sequence[Row], int]]:
        """Windows of these rows, and how many each has to have. Where the receiver knows only wholes, unknown
        messages leave as they were claimed, apart from others: in another whole they would be new to it."""
        if not standing:
            return [(rows, 0)]
        batch = self._batch
        wholes = self._wholes(rows, standing) if batch.is_whole else {}
        together = {row["message_id"] for whole in wholes.values() for row in whole}
        others, stay = [], []
        one_by_one = batch.policy is DeliveryPolicy.AT_LEAST_ONCE or (
            batch.is_idempotent and not batch.is_whole
        )
        for row in rows:
            known = standing.get(row["message_id"])
            if row["message_id"] in together:
                continue
            if known is None or known.state is not MessageState.UNKNOWN or one_by_one:
                others.append(row)
            else:
                stay.append(stays_unknown(row))
        if stay:
            self._ledger.settle_untried(self._lease, stay, now=self._clock())
            self._already_settled += len(stay)
        return [*((whole, len(whole)) for whole in wholes.values()), (others, 0)]

    def _some(
        self, rows: Sequence[Row], standing: Mapping[str, Standing], ahead: Ahead, together: int
    ) -> Sequence[Row]:
        """Deal with as many of these rows as may leave together; returns those to be dealt with next."""
        self._stop.check()
        turn = Turn(rows)
        if not self._over():
            if self._hours is not None:
                rows = self._within_hours(self._hours, rows, standing)
                rows = rows if len(rows) >= together else ()  # until all of them may leave
            if not rows or self._halted():
                return rows
            turn = Turn(rows)
        try:
            if self._pacer is not None and not self._over():
                turn = self._turn(self._pacer, rows)
            left = not turn.now or self._leave(turn.now, ahead, together)
        except PaceChanged:
            if self._pacer is not None:
                self._pacer.changed()
            return [*turn.now, *turn.later]
        except AccountBusy as busy:
            self._halt, self._busy = Halt.PACED, busy
            return rows
        if not left:
            if self._halted():
                return turn.now
            self._withhold(turn.now, standing, self._why_over())
        return turn.later

    def _turn(self, pacer: Pacer, rows: Sequence[Row]) -> Turn:
        """Which of the rows may leave, once their moment has come; those whose domain is left alone are put
        off.

        Raises:
            AccountBusy: when none may leave soon.
            PaceChanged: nothing is put off.
        """
        if pacer.is_limited:
            self._exchange.settle()  # its next moment may be far
        turn = pacer.next(rows)
        if turn.resting:
            self._exchange.settle()  # nothing else may come for long
            self._put_off(turn.resting, pacer.version)
        return turn

    def _withhold(
        self, rows: Sequence[Row], standing: Mapping[str, Standing], reason: DeliveryReason
    ) -> None:
        now = self._clock()
        withhold_rows(self._ledger, self._lease, rows, standing, reason, refusals=self._refusals, now=now)

    def _put_off(self, resting: Sequence[tuple[Row, Rest]], pace: PaceVersion) -> None:
        """Let messages wait whose domain is left alone: nothing is tried, and no attempt counted."""
        latest = self._batch.valid_until + _SOON_AFTER
        untried = [
            Untried(
                candidate(row),
                Receipt(
                    row["message_id"],
                    MessageState.DEFERRED,
                    DeliveryReason.TEMPORARY_FAILURE,
                    detail=f"not tried, its domain is left alone: {rest.detail}"[:MAX_DETAIL],
                    retry_at=min(rest.until, latest),
                ),
            )
            for row, rest in resting
        ]
        self._ledger.put_off(self._lease, untried, now=self._clock(), pace=pace)

    def _leave(self, rows: Sequence[Row], ahead: Ahead, together: int) -> bool:
        """Claim and send these rows. False when they may not leave: the run is over, closed or stopped, or
        the caller says no."""
        if self._over():
            return False
        may_go_on = self._may_go_on
        # Only now: a turn of the pace may have been waited for. The answer is on its way during the look.
        at_most = self._batch.window
        may_leave = may_go_on.begin(len(rows), at_most) if isinstance(may_go_on, AskedAnew) else _yes
        try:
            self._exchange.leave(
                rows, ahead.write, may_leave=may_leave, meanwhile=ahead.prepare, together=together
            )
        except RunClosed as closed:
            self._closed = closed
            return False
        except RunStopped as stopped:
            self._stopped = stopped
            return False
        except PutOff:
            self._halt = Halt.PUT_OFF
            return False
        return True

    def end(self) -> BatchResult:
        """Finish the batch, or give it back until the earliest retry."""
        tally = self._ledger.tally(self._batch.run_key, self._batch.channel, self._batch.number)
        settled = self._already_settled + self._exchange.already_settled
        if self._halt is not None:
            again = self._come_again(self._halt)
            return BatchResult(tally.counts, self._exchange.newly_accepted, settled, again, self._halt)
        waits = tally.counts.get(MessageState.DEFERRED, 0) > 0
        # Unknown messages have a time for a retry only if they are taken again, and no use for it later.
        retry_at = tally.retry_at if waits or not self._over() else None
        if self._opens_at is not None:
            # A retry that is due already is one of those that wait for their hour.
            is_ahead = retry_at is not None and self._clock() < retry_at < self._opens_at
            retry_at = retry_at if is_ahead else self._opens_at
        elif retry_at is None:
            self._batches.finish(self._lease, at=self._clock())
        else:
            self._require_all_lines(sum(tally.counts.values()))
        return BatchResult(tally.counts, self._exchange.newly_accepted, settled, retry_at)

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
            account = None if self._pacer is None else self._pacer.account
            changed_at = self._ledger.require_deliverable(self._batch.run_key, account=account)
            if self._pacer is not None:
                self._pacer.begin(changed_at)
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

    def _sure(self, rows: Sequence[Row], standing: Mapping[str, Standing]) -> Sequence[Row]:
        """Those that are sure enough to leave for being rendered ahead."""
        if self._over():
            return ()
        now, hours = self._clock(), self._hours
        fresh: Sequence[Row] = [row for row in rows if row["message_id"] not in standing]
        if self._pacer is not None:
            fresh = self._pacer.awake(fresh)
        if hours is None:
            return fresh
        opening = [(row, hours.opens_at(row, now)) for row in fresh]
        return [row for row, opens_at in opening if opens_at is not None and opens_at <= now]

    def _is_due(self, standing: Standing | None) -> bool:
        """Whether something is to be done about a row. Counts those that have come to their end."""
        if standing is None:
            return True
        over = self._over()
        if standing.state is MessageState.DEFERRED:
            # One that was never tried waits for its domain only, which may be awake by now.
            is_put_off = standing.attempts == 0
            return over or is_put_off or standing.retry_at is None or standing.retry_at <= self._clock()
        # An unknown one without a time to be handed over again stays what it is, whatever accounts say now.
        if standing.state is MessageState.UNKNOWN and standing.retry_at is not None and not over:
            return standing.retry_at <= self._clock()
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
            self._withhold(never, standing, DeliveryReason.RUN_EXPIRED)
        return due

    def _pause(self, wait: timedelta) -> None:
        """Wait for the account's moment, and keep the batch meanwhile. A signal ends it at once."""
        seconds = wait.total_seconds()
        while seconds > 0:
            step = min(seconds, self._lease.seconds / 3)
            with self._stop.interruptible():
                self._sleep(step)
            self._exchange.keep()
            seconds -= step
