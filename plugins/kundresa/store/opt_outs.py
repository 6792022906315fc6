"""Opt-outs: a no that holds from the moment it is recorded, before any build has seen it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, or_, select

from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.inbox_tables import opt_ins
from kundresa.store.records import OptOut, OptOutHits
from kundresa.store.tables import opt_outs

EVERY_TOPIC = "*"


class OptOuts:
    """The table ``opt_outs``. Rows are only added: a later yes is a consent in the warehouse or an opt-in
    (see ``store.answers``), and the times are compared."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        *,
        channel: str,
        address: str,
        topic: str = EVERY_TOPIC,
        source: str,
        recorded_at: datetime,
        profile_id: str | None = None,
    ) -> int:
        """Record a no; durable when this returns. ``address`` is normalised, as contact points are.

        Returns the row's id.
        """
        row = {
            "profile_id": profile_id,
            "channel": channel,
            "address": address,
            "topic": topic,
            "source": source,
            "recorded_at": recorded_at,
        }
        with self._database.write() as connection:
            return int(
                connection.execute(insert(opt_outs).returning(opt_outs.c.opt_out_id), row).scalar_one()
            )

    def since(
        self,
        since: datetime,
        *,
        channel: str,
        topic: str,
        with_every_topic: bool = True,
        profile_ids: Sequence[str],
        addresses: Sequence[str],
    ) -> OptOutHits:
        """Who of these people said no to this topic on this channel at ``since`` or later; a no to every
        topic counts too, unless ``with_every_topic`` is false.

        A person matches by profile or by address: the row may come from a link that knew no profile. A no
        that the same profile has taken back since, by a later yes to the topic, does not count; one that
        names no profile stays. One query for at most a few thousand people, and another when somebody said
        no. What people with several ids have said, ``store.answers`` knows.
        """
        topics = (topic, EVERY_TOPIC) if with_every_topic else (topic,)
        query = select(opt_outs.c.profile_id, opt_outs.c.address, opt_outs.c.recorded_at).where(
            opt_outs.c.recorded_at >= since,
            # Not by its own name: SQLite would go through all that were ever recorded on the channel.
            opt_outs.c.channel.concat("") == channel,
            opt_outs.c.topic.in_(topics),
            or_(
                among(self._database, opt_outs.c.profile_id, profile_ids),
                among(self._database, opt_outs.c.address, addresses),
            ),
        )
        with self._database.read() as connection:
            said_no = connection.execute(query).all()
            named = {row.profile_id for row in said_no if row.profile_id is not None}
            said_yes: dict[str, datetime] = {}
            if named:
                yes = select(opt_ins.c.profile_id, func.max(opt_ins.c.recorded_at).label("at")).where(
                    among(self._database, opt_ins.c.profile_id, named),
                    opt_ins.c.channel == channel,
                    opt_ins.c.topic == topic,
                )
                for row in connection.execute(yes.group_by(opt_ins.c.profile_id)):
                    said_yes[row.profile_id] = row.at
        found = [row for row in said_no if row.recorded_at >= said_yes.get(row.profile_id, row.recorded_at)]
        return OptOutHits(
            profile_ids=frozenset(row.profile_id for row in found if row.profile_id is not None),
            addresses=frozenset(row.address for row in found),
        )

    def all_since(
        self, since: datetime, *, channel: str, topic: str, with_every_topic: bool = True
    ) -> OptOutHits:
        """As :meth:`since`, of everybody: all that said no since then, some thousands in a busy week."""
        topics = (topic, EVERY_TOPIC) if with_every_topic else (topic,)
        query = select(opt_outs.c.profile_id, opt_outs.c.address).where(
            opt_outs.c.recorded_at >= since, opt_outs.c.channel == channel, opt_outs.c.topic.in_(topics)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return OptOutHits(
            profile_ids=frozenset(row.profile_id for row in found if row.profile_id is not None),
            addresses=frozenset(row.address for row in found),
        )

    def rows(self, chunk: int = 5_000) -> Iterator[dict[str, Any]]:
        """All opt-outs as dicts with the fields of ``OptOut``, by id; read in pages."""
        last = 0
        while True:
            query = (
                select(opt_outs)
                .where(opt_outs.c.opt_out_id > last)
                .order_by(opt_outs.c.opt_out_id)
                .limit(chunk)
            )
            with self._database.read() as connection:
                page = [dict(row._mapping) for row in connection.execute(query)]
            yield from page
            if len(page) < chunk:
                return
            last = page[-1]["opt_out_id"]

    def of(self, *, profile_ids: Collection[str], addresses: Collection[str] = ()) -> list[OptOut]:
        """Everything one person said no to under any of their ids, the latest first; to explain a
        decision."""
        query = (
            select(opt_outs)
            .where(or_(opt_outs.c.profile_id.in_(profile_ids), opt_outs.c.address.in_(addresses)))
            .order_by(opt_outs.c.recorded_at.desc(), opt_outs.c.opt_out_id.desc())
        )
        with self._database.read() as connection:
            return [OptOut(**row._mapping) for row in connection.execute(query)]
