"""Settling a batch whose run is over without sending, and the reserved batch that this needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

from kundresa.delivery.protocols import Books, LedgerBook, Row
from kundresa.delivery.retries import given_up
from kundresa.delivery.suppress import RefusalCounter
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState
from kundresa.store.errors import BatchIncomplete, StoreError
from kundresa.store.records import Candidate, Lease, Standing, Untried
from kundresa.store.soft_bounces import SoftBounceRule

log = logging.getLogger(__name__)

WITHHELD_BY: Mapping[CloseReason, DeliveryReason] = {
    CloseReason.EXPIRED: DeliveryReason.RUN_EXPIRED,
    CloseReason.CANCELLED: DeliveryReason.RUN_CANCELLED,
    CloseReason.QUALITY_GATE_FAILED: DeliveryReason.QUALITY_GATE_FAILED,
}
"""Why the messages of a closed run do not leave. A completed run has none left."""

_WINDOW = 500
"""Rows per transaction when nothing is sent: ~15 ms of SQLite's one write lock."""


def withhold_batch(
    books: Books,
    run_key: str,
    channel: str,
    batch_number: int,
    *,
    rows: Callable[[], Iterable[Row]],
    reason: DeliveryReason,
    owner: str,
    lease: timedelta,
    clock: Callable[[], datetime],
    soft_bounces: SoftBounceRule | None = None,
) -> int:
    """Settle every message of a batch that has not come to its end, without sending it.

    Those never tried, or deferred, are withheld with ``reason``; with ``run_expired``, deferred ones
    have failed as ``temporary_failure``, and those whose address had refused them count by ``soft_bounces``.
    What a dead worker left claimed becomes unknown. For a run that is closed or expired; for one that goes
    on, ``deliver_batch`` decides.

    Returns how many were settled now; 0 when it is repeated.

    Raises:
        BatchNotFound: when the batch was never registered.
        BatchBusy: a worker is still in its last window; try again at ``until``.
        BatchIncomplete: ``rows`` gave fewer or more than were registered; what it gave is settled.
    """
    if books.batches.get(run_key, channel, batch_number).finished_at is not None:
        return 0
    with leased(books, run_key, channel, batch_number, owner=owner, seconds=lease, clock=clock) as held:
        standing = books.ledger.standing(held)
        refusals = RefusalCounter(books, run_key, channel, soft_bounces or SoftBounceRule())
        settled = sum(
            withhold_rows(books.ledger, held, window, standing, reason, refusals=refusals, now=clock())
            for window in windows(rows(), _WINDOW, held.size)
        )
        books.batches.finish(held, at=clock())
    return settled


def withhold_rows(
    ledger: LedgerBook,
    lease: Lease,
    rows: Sequence[Row],
    standing: Mapping[str, Standing],
    reason: DeliveryReason,
    *,
    refusals: RefusalCounter,
    now: datetime,
) -> int:
    """Settle those of these rows that have not come to their end. Returns how many."""
    untried = []
    for row in rows:
        known = standing.get(row["message_id"])
        receipt = given_up(row["message_id"], known.state if known else None, reason)
        untried.append(Untried(candidate(row), receipt))
    # Before they are settled: a crash between the two must not forget it.
    refusals.given_up(rows, [each.receipt for each in untried], now=now)
    return ledger.settle_untried(lease, untried, now=now)


def candidate(row: Row) -> Candidate:
    """What the ledger keeps of a row."""
    return Candidate(row["message_id"], row["profile_id"], row["variant"])


def stays_unknown(row: Row) -> Untried:
    """Of an unknown message that is not handed over again."""
    receipt = Receipt(row["message_id"], MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
    return Untried(candidate(row), receipt)


def windows(rows: Iterable[Row], window: int, size: int) -> Iterator[list[Row]]:
    """The rows in lists of ``window``.

    Raises:
        BatchIncomplete: at the first row beyond ``size``, before it can be sent.
    """
    source = iter(rows)
    seen = 0
    while some := list(islice(source, window)):
        seen += len(some)
        if seen > size:
            raise BatchIncomplete(
                f"the batch was registered with {size} messages and has more rows than that"
            )
        yield some


@contextmanager
def leased(
    books: Books,
    run_key: str,
    channel: str,
    batch_number: int,
    *,
    owner: str,
    seconds: timedelta,
    clock: Callable[[], datetime],
    resends: bool = False,
) -> Iterator[Lease]:
    """The batch, reserved for the block, with what an earlier worker left open settled as unknown; with
    ``resends`` as to be handed over again.

    Given back at the end, however the block ends, so that a retry need not wait for the lease.

    Raises:
        BatchBusy: another worker holds it.
    """
    held = books.batches.lease(
        run_key, channel, batch_number, owner=owner, seconds=seconds.total_seconds(), now=clock()
    )
    try:
        unknown = books.ledger.recover(held, now=clock(), resends=resends)
        if unknown:
            log.warning("%s: an earlier worker left %d messages whose outcome is unknown", held, unknown)
        yield held
    except BaseException as error:
        try:
            books.batches.release(held)
        except StoreError as failure:
            error.add_note(f"The batch could not be given back either, its lease has to run out: {failure}")
        raise
    books.batches.release(held)
