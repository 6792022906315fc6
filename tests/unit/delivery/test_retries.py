"""When a message is tried again, and when no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kundresa.delivery.retries import LONGEST, backoff, given_up, schedule
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, MessageState

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
END = NOW + timedelta(hours=84)
MINUTE = timedelta(minutes=1)


def scheduled(
    receipt: Receipt, attempt: int, until: datetime = END, resends_unknown: bool = False
) -> Receipt:
    return schedule(receipt, attempt, now=NOW, valid_until=until, resends_unknown=resends_unknown)


def deferred(retry_at: datetime | None) -> Receipt:
    return Receipt(
        "m", MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE, code="451", retry_at=retry_at
    )


def test_the_wait_doubles_and_is_bounded() -> None:
    assert [backoff(each) // MINUTE for each in (1, 2, 3, 6, 7, 50)] == [5, 10, 20, 160, 240, 240]
    assert backoff(10**9) == LONGEST


@pytest.mark.parametrize(
    ("asked", "attempt", "minutes"),
    [(None, 1, 5), (None, 3, 20), (1, 1, 1), (90, 1, 90), (1, 3, 20), (90, 3, 90)],
)
def test_a_deferred_message_waits_for_the_provider_and_the_back_off(
    asked: int | None, attempt: int, minutes: int
) -> None:
    receipt = scheduled(deferred(None if asked is None else NOW + asked * MINUTE), attempt)
    assert (receipt.state, receipt.retry_at) == (MessageState.DEFERRED, NOW + minutes * MINUTE)


def test_a_wait_beyond_the_validity_is_a_failure_now() -> None:
    last = scheduled(deferred(None), 1, until=NOW + 5 * MINUTE)
    assert (last.state, last.retry_at) == (MessageState.DEFERRED, NOW + 5 * MINUTE)
    late = scheduled(deferred(None), 1, until=NOW + 5 * MINUTE - timedelta(microseconds=1))
    assert (late.state, late.reason, late.retry_at, late.code) == (
        MessageState.FAILED,
        DeliveryReason.TEMPORARY_FAILURE,
        None,
        "451",
    )


def test_an_unknown_message_is_tried_again_only_where_it_may_be_and_in_time() -> None:
    unknown = Receipt("m", MessageState.UNKNOWN, DeliveryReason.OUTCOME_UNKNOWN)
    assert scheduled(unknown, 1).retry_at is None
    assert scheduled(unknown, 1, resends_unknown=True).retry_at == NOW + 5 * MINUTE
    assert scheduled(unknown, 1, until=NOW + MINUTE, resends_unknown=True).retry_at is None


@pytest.mark.parametrize(
    ("state", "reason", "end"),
    [
        (None, DeliveryReason.RUN_EXPIRED, ("withheld", "run_expired")),
        (None, DeliveryReason.RUN_CANCELLED, ("withheld", "run_cancelled")),
        (MessageState.DEFERRED, DeliveryReason.RUN_EXPIRED, ("failed", "temporary_failure")),
        (MessageState.DEFERRED, DeliveryReason.RUN_CANCELLED, ("withheld", "run_cancelled")),
    ],
)
def test_the_end_of_what_is_not_tried_any_more(
    state: MessageState | None, reason: DeliveryReason, end: tuple[str, str]
) -> None:
    receipt = given_up("m", state, reason)
    assert (receipt.state, receipt.reason) == end
