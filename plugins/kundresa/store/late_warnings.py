"""What was told of messages that leave too late: told once, however many tasks find it out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select, update

from kundresa.spec.vocabulary import LateKind
from kundresa.store.engine import Database
from kundresa.store.tables import late_warnings


@dataclass(frozen=True, slots=True)
class LateWarning:
    """What was told of one channel of a run."""

    run_key: str
    channel: str
    kind: LateKind
    told_at: datetime
    """For the first time."""
    detail: str
    """As it was found last: one line."""


class LateWarnings:
    """The table ``late_warnings``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, run_key: str, channel: str, kind: LateKind, detail: str, *, now: datetime) -> bool:
        """Write down what was found. True: for the first time, so that somebody is to be told."""
        key = {"run_key": run_key, "channel": channel, "kind": kind.value}
        mine = and_(*(late_warnings.c[name] == value for name, value in key.items()))
        with self._database.write() as connection:
            new = self._database.insert_new(late_warnings)
            is_first = connection.execute(new, key | {"told_at": now, "detail": detail}).rowcount == 1
            if not is_first:
                connection.execute(update(late_warnings).where(mine).values(detail=detail))
        return is_first

    def of(self, run_keys: Collection[str]) -> list[LateWarning]:
        """What was told of these runs, by run, channel and time."""
        order = (late_warnings.c.run_key, late_warnings.c.channel, late_warnings.c.told_at)
        query = select(late_warnings).where(late_warnings.c.run_key.in_(sorted(run_keys))).order_by(*order)
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [LateWarning(**dict(row) | {"kind": LateKind(row["kind"])}) for row in rows]
