"""Many people as last published, at once: for journeys, which ask about those who have something happen.

One DuckDB over the Parquet files, kept while the publication is the same: a question costs what the columns
asked for cost to scan, some 50 ms for a million people, whether it is about ten of them or ten thousand.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from kundresa.settings import Settings
from kundresa.warehouse.build import current_build
from kundresa.warehouse.members_ahead import READ_AHEAD, WORTH_READING_AHEAD, Ahead
from kundresa.warehouse.sql import fetch, parquet

MARTS = (
    "profiles",
    "profile_redirects",
    "segment_memberships",
    "segment_changes",
    "contact_points",
    "consents",
)


@dataclass(frozen=True, slots=True)
class PublishedFacts:
    """One person: the columns that were asked for, and the segments they are in."""

    profile: Mapping[str, Any] = field(default_factory=dict)
    segments: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Recipient:
    """One person as somebody who may be written to on one channel."""

    profile: Mapping[str, Any]
    """All contracted columns."""
    address: str | None
    is_address_valid: bool
    granted_at: datetime | None
    """Their latest yes to the topic."""
    denied_at: datetime | None
    """Their latest no."""


@dataclass(frozen=True, slots=True)
class PublishedChange:
    """A line of ``segment_changes``, with where to go on after it."""

    segment: str
    profile_id: str
    entity_id: str
    is_entry: bool
    changed_at: datetime
    cursor: str


def cursor_at(instant: datetime) -> str:
    """Where to begin in ``segment_changes``: with what changes after an instant."""
    return json.dumps([instant.astimezone(UTC).replace(tzinfo=None).isoformat(), "~", "", "", ""])


class PublishedPeople:
    """Reads the current publication. Not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._build_id: str | None = None
        self._connection: Any = None
        self._ahead = Ahead()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection, self._build_id, self._ahead = None, None, Ahead()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def facts(self, profile_ids: Collection[str], columns: Collection[str]) -> dict[str, PublishedFacts]:
        """What is known of people, by the id that was asked for; those that are not published are left out.
        A column that ``profiles`` does not have is left out too: it may be a trait of a journey's own.

        Raises:
            NothingPublished: before the first build.
        """
        known = [name for name in sorted(columns) if name in self._columns()]
        selected = "".join(f', profiles."{name}"' for name in known)
        rows = self._fetch(_FACTS.format(columns=selected), ids=[*profile_ids])
        return {
            row["asked_id"]: PublishedFacts(
                {name: row[name] for name in known}, frozenset(row["segments"] or ())
            )
            for row in rows
        }

    def recipients(
        self, profile_ids: Collection[str], *, channel: str, topic: str, is_exempt: bool, now: datetime
    ) -> dict[str, Recipient]:
        """People with their address on a channel and what they have answered about a topic, by the id that
        was asked for.

        Args:
            is_exempt: an answer about every topic does not count then.
            now: a yes counts from its instant on.

        Raises:
            NothingPublished: before the first build.
        """
        topics = [topic] if is_exempt else [topic, "*"]
        rows = self._fetch(
            _RECIPIENTS,
            ids=[*profile_ids],
            channel=channel,
            topics=topics,
            now=now.astimezone(UTC).replace(tzinfo=None),
        )
        columns = self._columns()
        return {
            row["asked_id"]: Recipient(
                profile={name: row[name] for name in columns},
                address=row["kundresa_address"],
                is_address_valid=bool(row["kundresa_is_valid"]),
                granted_at=row["kundresa_granted_at"],
                denied_at=row["kundresa_denied_at"],
            )
            for row in rows
        }

    def stranger(self, profile_id: str) -> Recipient:
        """Somebody of whom nothing is published: every column of ``profiles`` is empty but the id.

        Raises:
            NothingPublished: before the first build.
        """
        profile = {**dict.fromkeys(self._columns()), "profile_id": profile_id}
        return Recipient(profile, None, is_address_valid=False, granted_at=None, denied_at=None)

    def sharing(self, column: str, profile_ids: Collection[str]) -> dict[str, str]:
        """Everybody who has one of these people's values of a column of ``profiles``, they themselves among
        them: profile_id → the value as text. People without a value are left out.

        Raises:
            NothingPublished: before the first build.
            KeyError: when ``profiles`` has no such column.
        """
        if column not in self._columns():
            raise KeyError(f"profiles has no column {column!r}")
        rows = self._fetch(_SHARING.format(column=column), ids=[*profile_ids])
        return {row["profile_id"]: row["shared_value"] for row in rows}

    def earlier_ids(self, profile_ids: Collection[str]) -> dict[str, str]:
        """The ids by which these people went before they were merged: earlier id → the one of now.

        Raises:
            NothingPublished: before the first build.
        """
        rows = self._fetch(_EARLIER, ids=[*profile_ids])
        return {row["profile_id"]: row["current_profile_id"] for row in rows}

    def members(
        self,
        segment: str,
        salt: str,
        after: str,
        limit: int,
        entity: str | None = None,
        *,
        among: Collection[str] | None = None,
    ) -> list[tuple[str, str, str]]:
        """At most ``limit`` of who is in a segment, beyond a place: (profile_id, entity_id, place), in order
        of the place, which is the MD5 of salt, person and entity, joined by ``|``.

        Args:
            entity: only those who are in it for this one; None is everybody.
            among: only these people; None is everybody.

        Raises:
            NothingPublished: before the first build.
        """
        connection = self._opened()  # of another build nothing is kept
        given: dict[str, Any] = {"segment": segment, "salt": salt, "after": after, "limit": limit}
        if among is not None:
            return _members(connection, given, entity, [*among])
        key = (segment, salt, entity)
        found = self._ahead.after(key, after, limit)
        if found is None:
            most = max(limit, READ_AHEAD) if limit >= WORTH_READING_AHEAD else limit
            places = _members(connection, {**given, "limit": most}, entity, None)
            self._ahead = Ahead(key, after, places, is_all=len(places) < most)
            found = places[:limit]
        return found

    def changes(self, segments: Collection[str], after: str, limit: int) -> list[PublishedChange]:
        """At most ``limit`` changes of segments by their rule beyond a cursor, in order. Those by a merge, a
        split or a first evaluation are left out: nobody has done anything.

        Raises:
            NothingPublished: before the first build.
        """
        at, segment, profile_id, entity_id, change = json.loads(after)
        rows = self._fetch(
            _CHANGES,
            segments=sorted(segments),
            limit=limit,
            at=datetime.fromisoformat(at),
            segment=segment,
            profile_id=profile_id,
            entity_id=entity_id,
            change=change,
        )
        return [
            PublishedChange(
                row["segment"],
                row["profile_id"],
                row["entity_id"],
                row["change"] == "entered",
                row["changed_at"],
                json.dumps(
                    [
                        row["changed_at"].replace(tzinfo=None).isoformat(),
                        row["segment"],
                        row["profile_id"],
                        row["entity_id"],
                        row["change"],
                    ]
                ),
            )
            for row in rows
        ]

    def _columns(self) -> list[str]:
        return [row["column_name"] for row in self._fetch("describe profiles")]

    def _fetch(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return fetch(self._opened(), sql, parameters)

    def _opened(self) -> Any:
        import duckdb

        build = current_build(self._settings)
        if build.build_id != self._build_id:
            self.close()
            self._connection = duckdb.connect()
            for mart in MARTS:
                self._connection.execute(
                    f'create view "{mart}" as {parquet(build.path / mart / "*.parquet")}'
                )
            self._build_id = build.build_id
        return self._connection


_BELONG = """
    with asked as (
        select unnest(cast($ids as varchar[])) as asked_id
    ),
    redirects as (
        select profile_id, max_by(current_profile_id, redirected_at) as current_profile_id
        from profile_redirects
        where profile_id in (select asked_id from asked)
        group by profile_id
    ),
    belong as (
        select asked.asked_id, coalesce(redirects.current_profile_id, asked.asked_id) as profile_id
        from asked
        left join redirects on asked.asked_id = redirects.profile_id
    )
"""
_FACTS = f"""
    {_BELONG},
    memberships as (
        select profile_id, list(distinct segment) as segments
        from segment_memberships
        where exited_at is null and profile_id in (select profile_id from belong)
        group by profile_id
    )
    select belong.asked_id, memberships.segments{{columns}}
    from belong
    inner join profiles on belong.profile_id = profiles.profile_id
    left join memberships on belong.profile_id = memberships.profile_id
"""
_RECIPIENTS = f"""
    {_BELONG},
    addresses as (
        select profile_id, address, is_valid
        from contact_points
        where channel = $channel and profile_id in (select profile_id from belong)
    ),
    answers as (
        select
            profile_id,
            max(case when status = 'yes' and recorded_at <= $now then recorded_at end) as granted_at,
            max(case when status = 'no' then recorded_at end) as denied_at
        from consents
        where
            channel = $channel
            and topic in (select unnest(cast($topics as varchar[])))
            and profile_id in (select profile_id from belong)
        group by profile_id
    )
    select
        belong.asked_id,
        profiles.*,
        addresses.address as kundresa_address,
        addresses.is_valid as kundresa_is_valid,
        answers.granted_at as kundresa_granted_at,
        answers.denied_at as kundresa_denied_at
    from belong
    inner join profiles on belong.profile_id = profiles.profile_id
    left join addresses on belong.profile_id = addresses.profile_id
    left join answers on belong.profile_id = answers.profile_id
"""
_SHARING = """
    with shared as (
        select distinct cast("{column}" as varchar) as shared_value
        from profiles
        where profile_id in (select unnest(cast($ids as varchar[])))
    )
    select profiles.profile_id, shared.shared_value
    from profiles
    inner join shared on cast(profiles."{column}" as varchar) = shared.shared_value
"""
_EARLIER = """
    select profile_id, current_profile_id
    from (
        select profile_id, max_by(current_profile_id, redirected_at) as current_profile_id
        from profile_redirects
        group by profile_id
    ) as redirects
    where current_profile_id in (select unnest(cast($ids as varchar[])))
"""


def _members(
    connection: Any, given: Mapping[str, Any], entity: str | None, among: list[str] | None
) -> list[tuple[str, str, str]]:
    of_some = ""
    more: dict[str, Any] = {}
    if entity is not None:
        of_some, more["entity"] = "and entity_id = $entity", entity
    if among is not None:
        of_some += " and profile_id in (select unnest(cast($among as varchar[])))"
        more["among"] = among
    rows = fetch(connection, _MEMBERS.format(of_some=of_some), {**given, **more})
    return [(row["profile_id"], row["entity_id"], row["place"]) for row in rows]


_MEMBERS = """
    with members as (
        select
            profile_id,
            coalesce(entity_id, '') as entity_id,
            md5($salt || '|' || profile_id || '|' || coalesce(entity_id, '')) as place
        from segment_memberships
        where segment = $segment and exited_at is null {of_some}
    )
    select profile_id, entity_id, place
    from members
    where place > $after
    order by place
    limit $limit
"""
_CHANGES = """
    select segment, profile_id, entity_id, change, changed_at
    from segment_changes
    where
        segment in (select unnest(cast($segments as varchar[])))
        and reason = 'rule'
        and (changed_at, segment, profile_id, entity_id, change)
            > ($at, $segment, $profile_id, $entity_id, $change)
    order by changed_at, segment, profile_id, entity_id, change
    limit $limit
"""
