"""Delivering one batch by the ledger protocol: claim a window, send it, settle it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from kundresa.delivery.batch import Batch, BatchResult
from kundresa.delivery.garbage import collected_seldom
from kundresa.delivery.guard import StoreGuard
from kundresa.delivery.pacing import Pacing
from kundresa.delivery.passage import Passage
from kundresa.delivery.protocols import Books, Guard, Hours, PeopleBook, Renderer, Row, Sender
from kundresa.delivery.senders import Senders
from kundresa.delivery.stopping import stop_on_signals
from kundresa.delivery.withhold import leased
from kundresa.store.errors import RunClosed, RunStopped


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
    people: PeopleBook | None = None,
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
    window by window. ``guard`` defaults to the opt-outs and suppressions of ``books``, also those of other
    ids that ``people`` tells; ``hours`` to the whole day.

    Before ``batch.not_before`` nothing is done: the result is empty and says when to come again. Later on a
    message that may not leave at this hour waits for the next one at which it may; where there is none within
    the validity, it is settled at once as if the run had expired.

    A run that was closed as cancelled, failed at its gate or expired sends nothing more, and waits for
    nothing: the rest is withheld with that reason. So is, with ``run_expired``, what was never tried when the
    validity ended.

    A run that was stopped sends nothing more either, but what is left of it waits to be resumed; at the end
    of its validity it is withheld with ``run_stopped``. ``may_go_on`` is asked before each window (one that
    is ``AskedAnew`` just before the claim); when it says no, the batch is given back as it is. In both cases
    ``halted`` of the result says so.

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
        books,
        batch.run_key,
        batch.channel,
        batch.number,
        owner=owner,
        seconds=lease,
        clock=clock,
        resends=batch.resends_unknown,
    )
    with stop_on_signals() as stop, reserved as held, collected_seldom():
        look = guard or StoreGuard(
            books,
            channel=batch.channel,
            topic=batch.topic,
            is_exempt=batch.is_exempt,
            decided_at=batch.decided_at,
            people=people,
        )
        with Senders(open_sender) as senders:
            passage = Passage(
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
            passage.run(rows(), lambda count: _tell(progress, count))
        return passage.end()


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


def _tell(progress: Callable[[int], None] | None, count: int) -> None:
    if progress is not None:
        progress(count)
