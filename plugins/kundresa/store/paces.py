"""Allowance to send: a share of an account's messages per second for each window of each worker.

Time is handed out, not tokens: a row says from when on its account (or one receiving domain of it) is free
again. Who takes n messages at r a second gets the moment at which they may leave, and moves it on by n / r.
So all workers together keep the pace, in the order in which they asked, and one that dies has only wasted its
share.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from kundresa.spec.pace import WHOLE_ACCOUNT, Rest
from kundresa.store.clocks import SKEW
from kundresa.store.engine import Database
from kundresa.store.inbox import take_turns
from kundresa.store.rests import next_change, rests_of
from kundresa.store.tables import UtcDateTime, paces

SLICE = timedelta(seconds=1)
"""A window takes at most as many messages as may leave in this time, and at least one. It is the burst: they
leave at once. Longer would save transactions (one for each slice and worker) and make bursts that servers
refuse."""
_Moment = tuple[datetime | None, datetime | None]
"""``free_at`` and ``doubted_at`` of a row."""
_MOVE = (
    update(paces)
    .where(paces.c.account == bindparam("of_account"), paces.c.domain == bindparam("of_domain"))
    .values(
        free_at=bindparam("new_free_at", type_=UtcDateTime()),
        doubted_at=bindparam("new_doubted_at", type_=UtcDateTime()),
    )
)


@dataclass(frozen=True, slots=True)
class Grant:
    """What was allowed."""

    positions: tuple[int, ...]
    """Of the messages that were asked for, those that may leave."""
    at: datetime
    """When they may leave. When there is none: when to ask again."""
    changed_at: datetime | None
    """When the account's pace or one of its rests was changed last; a claim names it."""
    is_limited: bool
    """False: the account has no pace, all whose domain does not rest may leave, and nobody need ask before
    that changes."""
    rests: Mapping[str, Rest] = field(default_factory=dict)
    """Receiving domains that are left alone, and those of which the next answer decides whether they are."""


@dataclass(frozen=True, slots=True)
class PaceRow:
    """A pace as it stands in the store, and what it is used for."""

    account: str
    domain: str
    """``WHOLE_ACCOUNT`` for all together."""
    per_second: float | None
    """As it was set while running; None: as the policies have it."""
    changed_at: datetime | None
    free_at: datetime | None
    """What has been allowed so far reaches until then."""
    doubted_at: datetime | None
    """Since when ``free_at`` is further ahead than it can be. Taking something ends it."""


class Paces:
    """The table ``paces``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, account: str, domain: str, per_second: float | None, *, now: datetime) -> None:
        """Change a pace from the next window on; None leaves it to the policies again.

        What was allowed and is not claimed yet is void: a claim under the old pace is refused.
        """
        with self._database.write() as connection:
            take_turns(self._database, connection)
            connection.execute(self._database.insert_new(paces), {"account": account, "domain": domain})
            _rows(connection, account, lock=True)
            changed_at = next_change(connection, account, now)
            connection.execute(
                update(paces)
                .where(paces.c.account == account, paces.c.domain == domain)
                .values(per_second=per_second, changed_at=changed_at, free_at=None, doubted_at=None)
            )

    def all(self) -> list[PaceRow]:
        """All that was ever set or used, by account and domain."""
        query = select(paces).order_by(paces.c.account, paces.c.domain)
        with self._database.read() as connection:
            return [PaceRow(**row._mapping) for row in connection.execute(query)]

    def take(
        self,
        account: str,
        rates: Mapping[str, float],
        domains: Sequence[str],
        *,
        now: datetime,
        patience: timedelta,
    ) -> Grant:
        """Take allowance for as many as possible of some messages; for none to a domain that rests.

        Args:
            rates: messages per second by domain as the policies have them; what was set in the store goes
                before.
            domains: the receiving domain of each message, in the order in which they should leave.
            patience: what cannot leave within this time is not taken, and leaves the place to others.
        """
        with self._database.write() as connection:
            rows = {row.domain: row for row in self._rows(connection, account, rates)}
            rests, rested_at = rests_of(connection, account, now)
            changes = (rested_at, *(row.changed_at for row in rows.values()))
            changed_at = max((each for each in changes if each is not None), default=None)
            resting = {domain for domain, rest in rests.items() if rest.until > now}
            awake = [domain for domain in domains if domain not in resting]
            known = {
                domain: rate
                for domain, row in rows.items()
                if (rate := rates.get(domain) if row.per_second is None else row.per_second) is not None
            }
            if not known or not awake:
                positions = tuple(_awake(domains, resting))
                return Grant(positions, now, changed_at, is_limited=bool(known), rests=rests)
            free = {domain: _free_at(rows[domain], rate, now, patience) for domain, rate in known.items()}
            at = max(now, free.get(WHOLE_ACCOUNT, now))
            positions = ()
            if at - now <= patience:
                positions = tuple(_allowed(domains, known, free, at, resting))
                if not positions:
                    at = min(free[domain] for domain in awake if domain in free)
            taken = Counter(domain for each in positions if (domain := domains[each]) in known)
            if positions and WHOLE_ACCOUNT in known:
                taken[WHOLE_ACCOUNT] = len(positions)
            moved: dict[str, _Moment] = {
                domain: (rows[domain].free_at, now)
                for domain in known
                if _is_new_doubt(rows[domain], free[domain], now)
            }
            for domain, count in taken.items():
                moved[domain] = (at + _time_for(count, known[domain]), None)
            _write(connection, account, moved)
        return Grant(positions, at, changed_at, is_limited=True, rests=rests)

    def _rows(self, connection: Connection, account: str, rates: Mapping[str, float]) -> list[Row[Any]]:
        """The account's rows, locked, one for each rate at least."""
        rows = _rows(connection, account, lock=True)
        missing = set(rates) - {row.domain for row in rows}
        if missing:
            new = [{"account": account, "domain": domain} for domain in sorted(missing)]
            connection.execute(self._database.insert_new(paces), new)
            rows = _rows(connection, account, lock=True)
        return rows


def _rows(connection: Connection, account: str, *, lock: bool) -> list[Row[Any]]:
    # In one order, so that two workers cannot deadlock.
    query = select(paces).where(paces.c.account == account).order_by(paces.c.domain)
    return list(connection.execute(query.with_for_update() if lock else query))


def _free_at(row: Row[Any], rate: float, now: datetime, patience: timedelta) -> datetime:
    """From when on there is allowance, as far as it is to be believed: what is taken further ahead than
    anybody could have taken it is given up when nobody has taken anything for so long that all that can have
    been taken has left."""
    if row.free_at is None:
        return now
    longest = patience + max(SLICE, _time_for(1, rate)) + SKEW
    if row.free_at <= now + longest:
        return row.free_at  # type: ignore[no-any-return]
    since = now if row.doubted_at is None else min(row.doubted_at, now)
    return since + longest


def _is_new_doubt(row: Row[Any], believed: datetime, now: datetime) -> bool:
    return row.free_at is not None and believed < row.free_at and (row.doubted_at or now) >= now


def _time_for(messages: int, rate: float) -> timedelta:
    """Rounded up to whole microseconds, so that no sum of them is faster than the rate."""
    return timedelta(microseconds=math.ceil(messages * 1_000_000 / rate))


def _slice(rate: float) -> int:
    return max(1, int(rate * SLICE.total_seconds()))


def _awake(domains: Sequence[str], resting: AbstractSet[str]) -> Iterable[int]:
    return (position for position, domain in enumerate(domains) if domain not in resting)


def _allowed(
    domains: Sequence[str],
    rates: Mapping[str, float],
    free: Mapping[str, datetime],
    at: datetime,
    resting: AbstractSet[str],
) -> Iterable[int]:
    """Which of the messages may leave at a moment, the first ones first."""
    room = {domain: _slice(rate) for domain, rate in rates.items()}
    whole = room.pop(WHOLE_ACCOUNT, len(domains))
    for position in _awake(domains, resting):
        domain = domains[position]
        if whole == 0:
            return
        if domain in room:
            if room[domain] == 0 or free[domain] > at:
                continue
            room[domain] -= 1
        whole -= 1
        yield position


def _write(connection: Connection, account: str, moments: Mapping[str, _Moment]) -> None:
    if moments:
        connection.execute(
            _MOVE,
            [
                {
                    "of_account": account,
                    "of_domain": domain,
                    "new_free_at": free_at,
                    "new_doubted_at": doubted_at,
                }
                for domain, (free_at, doubted_at) in sorted(moments.items())
            ],
        )
