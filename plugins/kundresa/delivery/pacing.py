"""Keeping to an account's pace: how many of the next messages may leave now, and waiting for that moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kundresa.delivery.protocols import PaceBook, Row
from kundresa.spec.pace import WHOLE_ACCOUNT
from kundresa.store.records import PaceVersion

PATIENCE = timedelta(seconds=5)
"""The longest wait within a task. It bounds how many workers share a pace: each takes a second's worth, so
about six at a time, and the others give their slot back. Longer would hold slots that other accounts could
use."""
COME_AGAIN = timedelta(minutes=1)
"""When somebody comes again whose turn did not come: the others are in the middle of batches of minutes, and
each time costs a task start."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """An account's pace as a run's worker knows it at the start of a batch."""

    account: str
    rates: Mapping[str, float]
    """Messages per second by receiving domain, ``WHOLE_ACCOUNT`` for all; as the policies have them. What is
    set in the store goes before. Empty: none."""


class AccountBusy(Exception):
    """The account is busy for longer than a worker waits. ``until`` is when to come again."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"nothing may leave before {until:%Y-%m-%d %H:%M:%S}Z")
        self.until = until


class Pacer:
    """One worker's way to its share. Without a pace it costs nothing: that there still is none is asked by
    the claim, in a query that it makes anyway."""

    def __init__(
        self,
        book: PaceBook,
        pacing: Pacing,
        *,
        clock: Callable[[], datetime],
        pause: Callable[[timedelta], None],
    ) -> None:
        self._book = book
        self._pacing = pacing
        self._clock = clock
        self._pause = pause
        self._is_limited = bool(pacing.rates)
        self._changed_at: datetime | None = None

    @property
    def version(self) -> PaceVersion:
        """What the next claim names."""
        return PaceVersion(self._pacing.account, self._changed_at)

    @property
    def is_limited(self) -> bool:
        """Whether there is a pace to keep, as far as is known."""
        return self._is_limited

    def changed(self) -> None:
        """A claim was refused: somebody has changed the pace."""
        self._is_limited = True

    def next(self, rows: Sequence[Row]) -> tuple[Sequence[Row], Sequence[Row]]:
        """Those of the rows that may leave, once their moment has come, and the others.

        Raises:
            AccountBusy: when none may leave soon.
        """
        waited = timedelta(0)
        while self._is_limited:
            now = self._clock()
            domains = [_domain(row) for row in rows]
            grant = self._book.take(
                self._pacing.account, self._pacing.rates, domains, now=now, patience=PATIENCE
            )
            self._changed_at = grant.changed_at
            self._is_limited = grant.is_limited
            wait = grant.at - now
            if grant.positions:
                self._pause(wait)
                taken = set(grant.positions)
                rest = [row for position, row in enumerate(rows) if position not in taken]
                return [rows[position] for position in grant.positions], rest
            if waited + wait > PATIENCE:
                # Ahead of all that workers can have taken: the pace itself is slower than they are patient.
                is_slow = wait > 2 * PATIENCE
                raise AccountBusy(grant.at if is_slow else now + COME_AGAIN)
            self._pause(wait)
            waited += wait
        return rows, ()


def _domain(row: Row) -> str:
    """What stands behind the @ of an address; an address of another kind has no domain."""
    _, at, domain = row["address"].rpartition("@")
    return domain.lower() if at else WHOLE_ACCOUNT
