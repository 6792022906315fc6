"""Receiving domains that are left alone for a while: what one worker was told, all workers of the account
keep to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, bindparam, delete, func, select, union_all, update

from kundresa.spec.pace import LONGEST_REST, Rest
from kundresa.store.bulk import put_rows
from kundresa.store.clocks import SKEW
from kundresa.store.engine import Database
from kundresa.store.inbox import take_turns
from kundresa.store.tables import paces, rests

REMEMBERED = timedelta(days=1)
"""How long after its end a rest is known: the first answer after it decides whether there is a longer one,
and messages that were put off come again within four hours."""
_MICROSECOND = timedelta(microseconds=1)
_COLUMNS = ("account", "domain", "until", "number", "detail", "changed_at")
_CHANGES = union_all(
    *(
        select(table.c.changed_at).where(table.c.account == bindparam("of_account"))
        for table in (paces, rests)
    )
).subquery()
LAST_CHANGE = select(func.max(_CHANGES.c.changed_at).label("changed_at"))
"""When the pace, or a rest, of the account ``of_account`` was changed last."""


@dataclass(frozen=True, slots=True)
class RestRow:
    """A receiving domain that is left alone by the senders of an account."""

    account: str
    domain: str
    rest: Rest


class Rests:
    """The table ``rests``. A change of it makes the account's next claims ask for it, as one of its pace
    does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, account: str, changes: Mapping[str, Rest | None], *, now: datetime) -> None:
        """Let receiving domains rest; None: the domain has taken a message after its rest.

        Several workers may hear of it at once. Of two rests the later end holds; that a domain takes messages
        again, only if nobody has been refused since.
        """
        with self._database.write() as connection:
            take_turns(self._database, connection)
            query = select(rests).where(rests.c.account == account, rests.c.domain.in_(sorted(changes)))
            known = {row.domain: row for row in connection.execute(query)}
            changed_at = next_change(connection, account, now)
            written: list[tuple[object, ...]] = []
            for domain, rest in sorted(changes.items()):
                row = known.get(domain)
                until = None if row is None else row.until
                if rest is None:
                    if until is not None and until <= now:
                        written.append((account, domain, None, 0, "", changed_at))
                elif until is None or until < rest.until:
                    number = max(rest.number, 0 if row is None else row.number)
                    written.append((account, domain, rest.until, number, rest.detail, changed_at))
            put_rows(self._database, connection, rests, _COLUMNS, written)

    def lift(self, account: str, domain: str | None = None, *, now: datetime) -> list[str]:
        """Let messages to a domain, or to all of the account's, leave again; returns the domains that rested.
        Earlier rests do not count any more either."""
        which = and_(rests.c.account == account, rests.c.until.is_not(None))
        if domain is not None:
            which = and_(which, rests.c.domain == domain)
        with self._database.write() as connection:
            take_turns(self._database, connection)
            rested = select(rests.c.domain).where(which, rests.c.until > now).order_by(rests.c.domain)
            lifted: list[str] = list(connection.execute(rested).scalars())
            changed_at = next_change(connection, account, now)
            over = update(rests).where(which)
            connection.execute(over.values(until=None, number=0, detail="", changed_at=changed_at))
        return lifted

    def forget(self, *, now: datetime) -> int:
        """Remove what is not remembered any more; returns how many rows. An account that has none is not
        asked for any."""
        with self._database.write() as connection:
            take_turns(self._database, connection)
            ended_at = func.coalesce(rests.c.until, rests.c.changed_at)
            return connection.execute(delete(rests).where(ended_at < now - REMEMBERED)).rowcount

    def all(self, *, now: datetime) -> list[RestRow]:
        """Those that are not over, by account and domain."""
        query = select(rests).where(rests.c.until > now).order_by(rests.c.account, rests.c.domain)
        with self._database.read() as connection:
            return [
                RestRow(row.account, row.domain, Rest(row.until, row.number, row.detail))
                for row in connection.execute(query)
            ]


def next_change(connection: Connection, account: str, now: datetime) -> datetime:
    """The time of a change of the account's pace or rests that is written now: later than any before,
    whatever the clock says. A version is never used twice. Within a write transaction that has taken its
    turn."""
    latest: datetime | None = connection.execute(LAST_CHANGE, {"of_account": account}).scalar_one()
    return now if latest is None else max(now, latest + _MICROSECOND)


def rests_of(connection: Connection, account: str, now: datetime) -> tuple[dict[str, Rest], datetime | None]:
    """The account's rests by domain, those that are over and remembered among them, and when one was changed
    last. Within a write transaction: an end that no clock can have meant, see ``SKEW``, is cut to the longest
    that it can be.
    """
    of_account = rests.c.account == account
    longest = now + LONGEST_REST + SKEW
    found: dict[str, Rest] = {}
    changed_at: datetime | None = None
    for row in connection.execute(select(rests).where(of_account)).all():
        changed_at = row.changed_at if changed_at is None else max(changed_at, row.changed_at)
        if row.until is not None and row.until >= now - REMEMBERED:
            found[row.domain] = Rest(min(row.until, longest), row.number, row.detail)
    if any(each.until == longest for each in found.values()):
        connection.execute(update(rests).where(of_account, rests.c.until > longest).values(until=longest))
    return found, changed_at
