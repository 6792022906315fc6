"""When a message is tried again, and when no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

FIRST = timedelta(minutes=5)
"""RFC 5321 4.5.4.1 advises 30 minutes, for a queue of one server; greylists let a sender pass after
1-5 minutes, and the back-off below reaches 30 after three more refusals."""
LONGEST = timedelta(hours=4)
"""RFC 5321 4.5.4.1: after the first attempts every two to three hours; the last ones of an 84-hour
validity are then not far from its end."""


def backoff(attempt: int) -> timedelta:
    """The wait after this many attempts (from 1): 5 minutes, doubled each time, at most 4 hours."""
    return min(LONGEST, FIRST * (1 << min(attempt - 1, 10)))


def schedule(
    receipt: Receipt, attempt: int, *, now: datetime, valid_until: datetime, resends_unknown: bool
) -> Receipt:
    """The receipt with the time of its next attempt, if it gets one.

    A deferred message waits as long as the provider says, from the second attempt on at least for the
    back-off; when that is after the run's validity it has failed now. An unknown one is tried again
    only with ``resends_unknown``.
    """
    if receipt.state is MessageState.DEFERRED:
        retry_at = _next(receipt, attempt, now)
        if retry_at > valid_until:
            return replace(
                receipt, state=MessageState.FAILED, reason=DeliveryReason.TEMPORARY_FAILURE, retry_at=None
            )
        return replace(receipt, reason=DeliveryReason.TEMPORARY_FAILURE, retry_at=retry_at)
    if receipt.state is MessageState.UNKNOWN and resends_unknown:
        retry_at_unknown = now + backoff(attempt)
        return replace(receipt, retry_at=retry_at_unknown if retry_at_unknown <= valid_until else None)
    return receipt if receipt.retry_at is None else replace(receipt, retry_at=None)


def _next(receipt: Receipt, attempt: int, now: datetime) -> datetime:
    if receipt.retry_at is None:
        return now + backoff(attempt)
    if attempt == 1:
        return receipt.retry_at
    return max(receipt.retry_at, now + backoff(attempt))


def given_up(message_id: str, state: MessageState | None, reason: DeliveryReason) -> Receipt:
    """The end of a message that will not be tried (again), because its run is over.

    ``state`` is where it stands; None when it was never tried. One that was deferred until its run
    expired has failed; one that is stopped otherwise was withheld by us.
    """
    if state is MessageState.DEFERRED and reason is DeliveryReason.RUN_EXPIRED:
        return Receipt(message_id, MessageState.FAILED, DeliveryReason.TEMPORARY_FAILURE)
    return Receipt(message_id, MessageState.WITHHELD, reason)
