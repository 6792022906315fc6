"""The calls of journeys' webhook steps: from the step that was reached to the answer that moves people on.

``open`` → ``known`` → ``over``. A call is claimed before it is made: until the claim runs out nobody else
makes it. Who is killed between the answer and recording it leaves the claim, and the call is made again under
the same id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, bindparam, func, literal_column, select, update

from kundresa.spec.journey_outcomes import FAILED
from kundresa.spec.vocabulary import DeliveryReason
from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.journey_counts import Outcomes, outcomes_in
from kundresa.store.journey_message_records import CallOutcome, JourneyCall, NewCall
from kundresa.store.journey_messages import KNOWN, OPEN, OVER
from kundresa.store.journey_tables import journey_calls as table
from kundresa.store.locks import hold_rows
from kundresa.store.tables import UtcDateTime

_UNDER_WAY = table.c.state != literal_column("'over'")
"""As of messages."""
_NEW = tuple(table.c[each.name] for each in fields(NewCall))


@dataclass(frozen=True, slots=True)
class CallResult:
    """What one attempt came to. ``outcome`` None: it is made again at ``retry_at``."""

    call_id: str
    outcome: str | None = None
    reason: str | None = None
    response_json: str | None = None
    code: str | None = None
    detail: str | None = None
    retry_at: datetime | None = None


class JourneyCalls:
    """The table ``journey_calls``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self, journey: str, owner: str, *, now: datetime, until: datetime, limit: int
    ) -> list[JourneyCall]:
        """Calls that may be made now, the longest waiting first; nobody else gets them until then, unless
        they are settled.

        Args:
            owner: names this attempt; two workers never share one.
        """
        query = (
            select(table.c.call_id)
            .where(table.c.journey == journey, table.c.state == OPEN, _UNDER_WAY, table.c.not_before <= now)
            .order_by(table.c.not_before)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as connection:
            ids: list[str] = list(connection.execute(query).scalars())
            some = among(self._database, table.c.call_id, ids)
            connection.execute(
                update(table)
                .where(some, table.c.state == OPEN)
                .values(not_before=until, claimed_by=owner, attempts=table.c.attempts + 1)
            )
            rows = connection.execute(
                select(*_NEW, table.c.attempts).where(some).order_by(table.c.call_id)
            ).all()
        return [JourneyCall(**row._mapping) for row in rows]

    def waiting(self, journey: str, now: datetime, limit: int) -> set[str]:
        """About whom calls may be made now."""
        query = (
            select(table.c.profile_id)
            .where(table.c.journey == journey, table.c.state == OPEN, _UNDER_WAY, table.c.not_before <= now)
            .order_by(table.c.not_before)
            .limit(limit)
        )
        with self._database.read() as connection:
            return {*connection.execute(query).scalars()}

    def settle(self, owner: str, results: Sequence[CallResult], *, now: datetime) -> int:
        """Record what attempts came to; returns how many are over. A call whose claim has run out, and was
        made by another since, is left to that one."""
        own = update(table).where(
            table.c.call_id == bindparam("id"), table.c.state == OPEN, table.c.claimed_by == owner
        )
        done = own.values(
            state=KNOWN,
            outcome=bindparam("what"),
            reason=bindparam("why"),
            response_json=bindparam("said"),
            code=bindparam("number"),
            detail=bindparam("more"),
            settled_at=_at("now"),
        )
        later = own.values(
            not_before=_at("again"), claimed_by=None, code=bindparam("number"), detail=bindparam("more")
        )
        over = [each for each in results if each.outcome is not None]
        again = [each for each in results if each.outcome is None]
        count = 0
        with self._database.write() as connection:
            ids = [each.call_id for each in results]
            hold_rows(connection, table, among(self._database, table.c.call_id, ids))
            for each in over:
                told = {"what": each.outcome, "why": each.reason, "said": each.response_json}
                told |= {"id": each.call_id, "number": each.code, "more": each.detail}
                count += connection.execute(done, told | {"now": now}).rowcount
            if again:
                connection.execute(
                    later,
                    [
                        {"id": each.call_id, "again": each.retry_at, "number": each.code, "more": each.detail}
                        for each in again
                    ],
                )
        return count

    def next_at(self, journey: str) -> datetime | None:
        """When the next call may be made; None when none waits."""
        query = select(func.min(table.c.not_before)).where(
            table.c.journey == journey, table.c.state == OPEN, _UNDER_WAY
        )
        with self._database.read() as connection:
            found: datetime | None = connection.execute(query).scalar_one()
            return found

    def known(self, journey: str, limit: int) -> list[CallOutcome]:
        """Outcomes that nobody has acted on yet."""
        columns = [table.c[each.name] for each in fields(CallOutcome) if each.name != "at"]
        query = select(*columns, table.c.settled_at.label("at")).where(
            table.c.journey == journey, table.c.state == KNOWN, _UNDER_WAY
        )
        with self._database.read() as connection:
            return [CallOutcome(**row._mapping) for row in connection.execute(query.limit(limit))]

    def suppose(self, journey: str, results: Mapping[str, tuple[str, str | None, str | None]]) -> int:
        """In a plan's own store: say at once what becomes of open calls. Returns how many there were.

        Args:
            results: step → outcome, reason, and what is kept of the answer.
        """
        count = 0
        with self._database.write() as connection:
            for step, (outcome, reason, response_json) in results.items():
                count += connection.execute(
                    update(table)
                    .where(table.c.journey == journey, table.c.step == step, table.c.state == OPEN)
                    .values(
                        state=KNOWN,
                        outcome=outcome,
                        reason=reason,
                        response_json=response_json,
                        settled_at=table.c.reached_at,
                    )
                ).rowcount
        return count

    def of(self, profile_id: str, journey: str) -> Iterator[dict[str, Any]]:
        """Every call about one person in a journey, in the order in which they came to them."""
        query = select(table).where(table.c.profile_id == profile_id, table.c.journey == journey)
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(table.c.reached_at, table.c.entry, table.c.move)).all()
        return (dict(row._mapping) for row in rows)

    def counts(self, journey: str) -> Outcomes:
        """Step, outcome (None while under way), reason, calls."""
        with self._database.read() as connection:
            return outcomes_in(connection, table, journey)


def not_called(at: datetime) -> dict[str, object]:
    """What becomes of a call whose person has left before it was answered."""
    reason = DeliveryReason.RUN_CANCELLED.value
    return {"state": OVER, "outcome": FAILED, "reason": reason, "settled_at": at}


def _at(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=UtcDateTime())
