"""Keeping to an account's pace: how many of the next messages may leave now, and waiting for that moment. And
leaving alone the receiving domains that have asked for it, whoever was told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kundresa.channels.addresses import AddressError, smtp_domain
from kundresa.delivery.protocols import PaceBook, RestBook, RestingSender, Row, Sender
from kundresa.spec.pace import WHOLE_ACCOUNT, Rest
from kundresa.store.records import PaceVersion

log = logging.getLogger(__name__)

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


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of some messages whose turn it is."""

    now: Sequence[Row]
    """They may leave."""
    later: Sequence[Row] = ()
    """Nothing was taken for them yet."""
    resting: Sequence[tuple[Row, Rest]] = ()
    """Their domain is left alone."""


class AccountBusy(Exception):
    """The account is busy for longer than a worker waits. ``until`` is when to come again."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"nothing may leave before {until:%Y-%m-%d %H:%M:%S}Z")
        self.until = until


class Pacer:
    """One worker's way to its share. Without a pace, and while no domain rests, it costs nothing: that it is
    still so is asked by the claim, in a query that it makes anyway."""

    def __init__(
        self,
        book: PaceBook,
        rests: RestBook,
        pacing: Pacing,
        *,
        clock: Callable[[], datetime],
        pause: Callable[[timedelta], None],
    ) -> None:
        self._book = book
        self._rest_book = rests
        self._pacing = pacing
        self._clock = clock
        self._pause = pause
        self._is_limited = bool(pacing.rates)
        self._changed_at: datetime | None = None
        self._rests: Mapping[str, Rest] = {}
        self._told: Mapping[str, Rest] = {}
        """What the sender knows of them."""

    @property
    def account(self) -> str:
        return self._pacing.account

    @property
    def version(self) -> PaceVersion:
        """What the next claim names."""
        return PaceVersion(self._pacing.account, self._changed_at)

    @property
    def is_limited(self) -> bool:
        """Whether there is a pace to keep, or something else to ask for, as far as is known."""
        return self._is_limited

    def begin(self, changed_at: datetime | None) -> None:
        """At the start of a batch: when the account's pace or rests were changed last."""
        if changed_at is not None:
            self.changed()

    def changed(self) -> None:
        """A claim was refused: somebody has changed the pace, or a domain rests."""
        self._is_limited = True

    def next(self, rows: Sequence[Row]) -> Turn:
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
            self._changed_at, self._rests = grant.changed_at, grant.rests
            self._is_limited = grant.is_limited
            awake, resting = self._apart(rows, now)
            wait = grant.at - now
            if grant.positions or not awake:
                self._pause(wait)
                taken = set(grant.positions)
                asleep = {row["message_id"] for row, _ in resting}
                later = [
                    row
                    for position, row in enumerate(rows)
                    if position not in taken and row["message_id"] not in asleep
                ]
                return Turn([rows[position] for position in grant.positions], later, resting)
            if waited + wait > PATIENCE:
                # Ahead of all that workers can have taken: the pace itself is slower than they are patient.
                is_slow = wait > 2 * PATIENCE
                raise AccountBusy(grant.at if is_slow else now + COME_AGAIN)
            self._pause(wait)
            waited += wait
        awake, resting = self._apart(rows, self._clock())
        return Turn(awake, (), resting)

    def awake(self, rows: Sequence[Row]) -> Sequence[Row]:
        """Those of the rows whose domain does not rest, as far as is known."""
        return self._apart(rows, self._clock())[0]

    def _apart(self, rows: Sequence[Row], now: datetime) -> tuple[Sequence[Row], Sequence[tuple[Row, Rest]]]:
        """The rows that may leave, and those whose domain rests."""
        resting = {domain: rest for domain, rest in self._rests.items() if rest.until > now}
        if not resting:
            return rows, ()
        domains = [(row, _domain(row)) for row in rows]
        return (
            [row for row, domain in domains if domain not in resting],
            [(row, resting[domain]) for row, domain in domains if domain in resting],
        )

    def tell(self, sender: Sender) -> None:
        """Before a window: let the sender know what the other workers of the account were told."""
        if self._rests != self._told and isinstance(sender, RestingSender):
            sender.know_rests(self._rests)
            self._told = self._rests

    def hear(self, sender: Sender) -> None:
        """After a window: let the other workers know what the sender was told.

        Raises:
            StoreUnavailable: when it cannot be written.
        """
        new = sender.new_rests() if isinstance(sender, RestingSender) else {}
        if not new:
            return
        for domain, rest in new.items():
            if rest is not None:
                log.warning(
                    "%s: %s is left alone until %s: %s",
                    self._pacing.account,
                    domain,
                    f"{rest.until:%H:%M:%S}Z",
                    rest.detail,
                )
        self._rest_book.record(self._pacing.account, new, now=self._clock())
        self.changed()


def _domain(row: Row) -> str:
    """What stands behind the @ of an address, in ASCII; an address of another kind has no domain."""
    _, at, domain = row["address"].rpartition("@")
    if not at:
        return WHOLE_ACCOUNT
    if domain.isascii():
        return str(domain.lower())
    try:
        return smtp_domain(domain)
    except AddressError:  # the sender will say so
        return str(domain.lower())
