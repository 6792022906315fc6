"""The yes and the no that people give themselves: what holds from the moment the page has answered."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from kundresa.store.bulk import among
from kundresa.store.engine import Database
from kundresa.store.feedback import record_feedback
from kundresa.store.inbox import take_turns
from kundresa.store.inbox_records import Answer, NewFeedback
from kundresa.store.inbox_tables import opt_ins
from kundresa.store.opt_outs import EVERY_TOPIC
from kundresa.store.soft_bounces import SoftBounceRule
from kundresa.store.tables import opt_outs

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class LatestAnswers:
    """When people last said yes and no."""

    granted: dict[str, datetime]
    """By profile."""
    denied: dict[str, datetime]
    """By profile."""
    denied_addresses: dict[str, datetime]

    def together(self, profile_ids: Iterable[str], formers: Mapping[str, str]) -> LatestAnswers:
        """Of these people what they said under any of their ids, where some have become others: former id →
        the one of now."""
        if not formers:
            return self
        said = []
        for answers in (self.granted, self.denied):
            latest: dict[str, datetime] = {}
            for each, at in answers.items():
                now = formers.get(each, each)
                latest[now] = max(at, latest.get(now, at))
            now_of = {each: formers.get(each, each) for each in profile_ids}
            said.append({each: latest[now] for each, now in now_of.items() if now in latest})
        return LatestAnswers(said[0], said[1], self.denied_addresses)

    def of(self, profile_id: str, address: str) -> tuple[datetime | None, datetime | None]:
        """When one person last said yes, and when they, or whoever has the address, last said no."""
        said_no = (self.denied.get(profile_id), self.denied_addresses.get(address))
        return self.granted.get(profile_id), max(filter(None, said_no), default=None)


class Answers:
    """The tables ``opt_outs`` and ``opt_ins`` together. Rows are only added, and the later answer counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def say_no(
        self,
        *,
        profile_id: str,
        channel: str,
        address: str,
        topic: str,
        source: str,
        at: datetime,
        known_as: Collection[str] = (),
        feedback: NewFeedback | None = None,
    ) -> datetime:
        """Record a no, and what came back about the message with it; durable when this returns.

        A no that holds already is not recorded twice; one to everything holds while there is no later yes to
        any topic. ``address`` is empty when it is not known. Returns the instant of the no that holds.

        Args:
            known_as: other ids of the same person, whose answers are theirs; the no is recorded under
                ``profile_id``.
        """
        who = {"profile_id": profile_id, "channel": channel, "address": address, "source": source}
        with self._database.write() as connection:
            take_turns(self._database, connection)
            said = _last(connection, {profile_id, *known_as}, channel)
            about = said.values() if topic == EVERY_TOPIC else [said[topic]] if topic in said else []
            last = _last(connection, {profile_id}, channel).get(topic)
            yes = max((each.recorded_at for each in about if each.status == "yes"), default=None)
            if last is None or last.status == "yes" or (yes is not None and yes > last.recorded_at):
                recorded_at = at if yes is None or at > yes else yes + _TICK
                row = who | {"topic": topic, "recorded_at": recorded_at}
                connection.execute(insert(opt_outs), row)
            else:
                recorded_at = said[topic].recorded_at
            if feedback is not None:
                record_feedback(self._database, connection, [feedback], SoftBounceRule())
        return recorded_at

    def say_yes(
        self,
        *,
        profile_id: str,
        channel: str,
        address: str,
        topics: Sequence[str],
        source: str,
        at: datetime,
        known_as: Collection[str] = (),
        undoes: tuple[str, datetime] | None = None,
    ) -> bool:
        """Record a yes to each of these topics, none of them ``*``: a yes to everything would take back what
        was declined by name.

        With ``undoes``, a topic and the instant of its no, nothing is recorded unless that no is still the
        person's last word on it; False then. ``known_as`` as in :meth:`say_no`.
        """
        if EVERY_TOPIC in topics:
            raise ValueError("a yes is to topics by name")
        who = {"profile_id": profile_id, "channel": channel, "address": address, "source": source}
        with self._database.write() as connection:
            take_turns(self._database, connection)
            last = _last(connection, {profile_id, *known_as}, channel)
            if undoes is not None:
                no = last.get(undoes[0])
                if no is None or no.status != "no" or no.recorded_at != undoes[1]:
                    return False
            everything = last.get(EVERY_TOPIC)
            for topic in topics:
                recorded_at = _after(_after(at, last.get(topic)), everything)
                row = who | {"topic": topic, "recorded_at": recorded_at}
                connection.execute(insert(opt_ins), row)
        return True

    def last(self, *, profile_id: str, channel: str, known_as: Collection[str] = ()) -> dict[str, Answer]:
        """The person's last answer to each topic on a channel, by topic; ``*`` is a topic of its own.
        ``known_as`` are other ids of the same person."""
        with self._database.read() as connection:
            return _last(connection, {profile_id, *known_as}, channel)

    def latest(
        self,
        *,
        channel: str,
        topic: str,
        is_exempt: bool,
        profile_ids: Collection[str],
        addresses: Collection[str],
    ) -> LatestAnswers:
        """The latest yes and no of many people to a topic, with those to every topic unless it is exempt.
        Three questions, whatever their number."""
        topics = (topic,) if is_exempt else (topic, EVERY_TOPIC)

        def latest(table: Table, by: str, values: Collection[str]) -> dict[str, datetime]:
            # By profile and by address, each by its own index: for one or the other SQLite goes through all
            # that were ever recorded on the channel.
            query = select(table.c[by], func.max(table.c.recorded_at)).where(
                table.c.channel == channel,
                table.c.topic.in_(topics),
                among(self._database, table.c[by], values),
            )
            return {row[0]: row[1] for row in connection.execute(query.group_by(table.c[by]))}

        with self._database.read() as connection:
            return LatestAnswers(
                granted=latest(opt_ins, "profile_id", profile_ids),
                denied=latest(opt_outs, "profile_id", profile_ids),
                denied_addresses=latest(opt_outs, "address", addresses),
            )

    def opt_in_rows(self, chunk: int = 5_000) -> Iterator[dict[str, Any]]:
        """All opt-ins as dicts, by id; read in pages."""
        last = 0
        while True:
            query = select(opt_ins).where(opt_ins.c.opt_in_id > last).order_by(opt_ins.c.opt_in_id)
            with self._database.read() as connection:
                page = [dict(row._mapping) for row in connection.execute(query.limit(chunk))]
            yield from page
            if len(page) < chunk:
                return
            last = page[-1]["opt_in_id"]


def _last(connection: Connection, profile_ids: Collection[str], channel: str) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for table, status in ((opt_ins, "yes"), (opt_outs, "no")):
        query = select(table.c.topic, table.c.recorded_at).where(
            table.c.profile_id.in_(sorted(profile_ids)), table.c.channel == channel
        )
        for row in connection.execute(query):
            known = found.get(row.topic)
            # Of two at the same instant the no counts, as in the warehouse: they are read last.
            if known is None or row.recorded_at >= known.recorded_at:
                found[row.topic] = Answer(channel, row.topic, status, row.recorded_at)
    return found


def _after(at: datetime, earlier: Answer | None) -> datetime:
    """An answer that is given later counts as later, whatever the clocks of two machines say."""
    return at if earlier is None or at > earlier.recorded_at else earlier.recorded_at + _TICK
