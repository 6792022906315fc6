"""A publication's people, one key away: what the public service answers from, without DuckDB.

An SQLite file beside the marts, written once and read by any number of processes. One row per profile holds
a JSON document; reading one costs some 20 µs, whatever the size of the file. (DuckDB and Parquet answer
sets; for one person they read a row group, which is 5–50 ms.)
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.build import Build, builds_folder, current_build
from kundresa.warehouse.errors import NothingPublished
from kundresa.warehouse.files import replacing
from kundresa.warehouse.manifest import load_manifest
from kundresa.warehouse.sql import parquet

INDEX_FILE = "people.sqlite"
CHUNK_ROWS = 10_000
LOOK_SECONDS = 1.0
"""How long a reader goes on with the publication it has before it looks for a newer one."""


@dataclass(frozen=True, slots=True)
class Person:
    """One profile as published. Addresses and consents are for our own pages only; others get ``segments``
    and ``traits``."""

    profile_id: str
    build_id: str
    language: str | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Channel → address."""
    consents: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """(channel, topic) → (status, ISO instant in UTC)."""
    segments: tuple[Mapping[str, Any], ...] = ()
    """Current memberships: segment, entity_id (empty for the person), entered_at."""
    traits: Mapping[str, Any] = field(default_factory=dict)
    """The columns of ``profiles`` that are marked ``shareable``."""


def write_people_index(settings: Settings, build_id: str) -> int:
    """Write the index of a candidate publication; returns how many people are in it."""
    traits = load_manifest(settings).shareable("profiles")
    return write_index(builds_folder(settings) / build_id, traits)


def write_index(folder: Path, traits: Sequence[str]) -> int:
    """Write the index of the marts in ``folder``; returns how many people are in it.

    Memory does not grow with the people: DuckDB streams, SQLite writes in order of the key.

    Args:
        traits: the columns of ``profiles`` that other systems may be told.
    """
    import duckdb

    count = 0
    with (
        replacing(folder / INDEX_FILE) as temporary,
        duckdb.connect() as source,
        _new_index(temporary) as target,
    ):
        for mart in sorted(path for path in folder.iterdir() if path.is_dir()):
            source.execute(f'create view "{mart.name}" as {parquet(mart / "*.parquet")}')
        for table, sql in (
            ("people", _documents(traits)),
            ("identifiers", _IDENTIFIERS),
            ("redirects", _REDIRECTS),
        ):
            cursor = source.execute(sql)
            while rows := cursor.fetchmany(CHUNK_ROWS):
                marks = ", ".join("?" for _ in rows[0])
                target.executemany(f"insert into {table} values ({marks})", rows)
                count += len(rows) if table == "people" else 0
        target.commit()
    return count


class PeopleIndex:
    """Reads the current publication's index. Safe to use from several threads."""

    def __init__(self, settings: Settings, *, look_seconds: float = LOOK_SECONDS) -> None:
        """
        Args:
            look_seconds: how long a newer publication may stay unseen; 0 looks each time, for some 50 µs.
        """
        self._settings = settings
        self._look_seconds = look_seconds
        self._local = threading.local()

    def person(self, profile_id: str) -> Person | None:
        """The profile, or the one that it was merged into; None when it is not published."""
        opened = self._opened()
        if opened is None:
            return None
        connection, build = opened
        found = _document(connection, profile_id)
        if found is None:
            query = "select current_profile_id from redirects where profile_id = ?"
            row = connection.execute(query, (profile_id,)).fetchone()
            if row is None:
                return None
            profile_id = row[0]
            found = _document(connection, profile_id)
        return None if found is None else _person(profile_id, build.build_id, found)

    def find(self, namespace: str, identifier: str) -> Person | None:
        """The one profile that an identifier points to; ``profile_id`` is a namespace too. None when there
        is none, or several share it."""
        if namespace == "profile_id":
            return self.person(identifier)
        opened = self._opened()
        if opened is None:
            return None
        query = "select profile_id from identifiers where namespace = ? and identifier = ?"
        row = opened[0].execute(query, (namespace, identifier)).fetchone()
        return self.person(row[0]) if row else None

    def resolve(self, identifiers: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The profiles that many identifiers point to, in one question; those that point to nobody, or to
        several, are left out. ``profile_id`` is a namespace too.

        Raises:
            NothingPublished: before the first publication with an index: nobody can be told from a stranger.
        """
        opened = self._opened()
        if opened is None:
            raise NothingPublished("no people are published yet; run `kundresa build`")
        asked = json.dumps([*identifiers])
        return {(namespace, word): found for namespace, word, found in opened[0].execute(_RESOLVE, (asked,))}

    def merged(self, profile_ids: Collection[str]) -> dict[str, str]:
        """Every former id of the people who go by one of these, or did so before: former id → the one it is
        now. A profile that is published is none's former one. Nothing before the first publication with an
        index."""
        opened = self._opened()
        if opened is None:
            return {}
        return dict(opened[0].execute(_MERGED, (json.dumps([*profile_ids]),)))

    def ids_of(self, profile_id: str) -> list[str]:
        """An id, and then all others that its person goes by or has gone by, in order."""
        formers = self.merged([profile_id])
        return list(dict.fromkeys([profile_id, *sorted({*formers, *formers.values()})]))

    def granted(
        self, profile_ids: Collection[str], *, channel: str, topics: Collection[str]
    ) -> dict[str, datetime]:
        """When each of these people last said yes to one of the topics on a channel, as published, by the id
        that was asked for; who has not is left out. A yes of later than the publication is none yet."""
        found: dict[str, datetime] = {}
        build = self.build()
        for profile_id in profile_ids:
            person = self.person(profile_id)
            told = [person.consents.get((channel, topic)) for topic in topics] if person and build else []
            said = [datetime.fromisoformat(at) for status, at in filter(None, told) if status == "yes"]
            latest = max((at for at in said if build and at <= build.published_at), default=None)
            if latest is not None:
                found[profile_id] = latest
        return found

    def address(self, profile_id: str, channel: str) -> str:
        """The person's address on a channel; empty when it is not known."""
        person = self.person(profile_id)
        return person.addresses.get(channel, "") if person else ""

    def build(self) -> Build | None:
        """The publication that is answered from; None before the first one with an index."""
        opened = self._opened()
        return opened[1] if opened else None

    def _opened(self) -> tuple[sqlite3.Connection, Build] | None:
        state = self._local
        now = time.monotonic()
        if now < getattr(state, "look_at", 0.0):
            opened: tuple[sqlite3.Connection, Build] | None = state.opened
            return opened
        known = getattr(state, "opened", None)
        try:
            build = current_build(self._settings)
        except NothingPublished:
            build = None
        if build is not None and (known is None or known[1].build_id != build.build_id):
            file = build.path / INDEX_FILE
            if file.exists():
                if known is not None:
                    known[0].close()
                known = (_open(file), build)
        state.opened, state.look_at = known, now + self._look_seconds
        return known


def _open(file: Path) -> sqlite3.Connection:
    # immutable: no locks are taken; the file is replaced and never changed.
    connection = sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)
    connection.execute("pragma mmap_size = 1073741824")
    return connection


@contextmanager
def _new_index(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        connection.executescript(_TABLES)
        yield connection
    finally:
        connection.close()


# It is written once and renamed into place: a half-written one is thrown away, so there is no journal.
_TABLES = """
    pragma journal_mode = off;
    pragma synchronous = off;
    create table people (profile_id text primary key, document text not null) without rowid;
    create table identifiers (
        namespace text, identifier text, profile_id text not null, primary key (namespace, identifier)
    ) without rowid;
    create table redirects (profile_id text primary key, current_profile_id text not null) without rowid;
    create index redirects_by_current on redirects (current_profile_id);
"""

_IDENTIFIERS = """
    select namespace, identifier, min(profile_id) as profile_id
    from profile_identifiers
    group by namespace, identifier
    having count(distinct profile_id) = 1
    order by namespace, identifier
"""

_RESOLVE = """
    with asked as (
        select value ->> 0 as namespace, value ->> 1 as identifier from json_each(?)
    ),
    found as (
        select asked.*, identifiers.profile_id from asked inner join identifiers using (namespace, identifier)
        union all
        select *, identifier from asked where namespace = 'profile_id'
    )
    select found.namespace, found.identifier, coalesce(redirects.current_profile_id, people.profile_id)
    from found
    left join people on found.profile_id = people.profile_id
    left join redirects on found.profile_id = redirects.profile_id and people.profile_id is null
    where coalesce(redirects.current_profile_id, people.profile_id) is not null
"""

_MERGED = """
    with found as (
        select asked.value, iif(people.profile_id is null, redirects.current_profile_id, null) as became
        from json_each(?) as asked
        left join redirects on asked.value = redirects.profile_id
        left join people on redirects.profile_id = people.profile_id
    ),
    now as (
        select distinct coalesce(became, value) as profile_id from found
    )
    select redirects.profile_id, redirects.current_profile_id
    from now
    inner join redirects on now.profile_id = redirects.current_profile_id
    left join people on redirects.profile_id = people.profile_id
    where people.profile_id is null
"""

_REDIRECTS = """
    select profile_id, max_by(current_profile_id, redirected_at) as current_profile_id
    from profile_redirects
    group by profile_id
    order by profile_id
"""


def _documents(traits: Sequence[str]) -> str:
    """Profile id and document of everybody, in order. Names are columns of the contract, never input."""
    shared = ", ".join(f"'{name}', profiles.{name}" for name in traits)
    instant = "strftime({}, '%Y-%m-%dT%H:%M:%S.%fZ')".format
    return f"""
        with addresses as (
            select profile_id, json_group_object(channel, address) as document
            from (select profile_id, channel, min(address) as address from contact_points group by all)
            group by profile_id
        ),
        answers as (
            select
                profile_id,
                json_group_array(json_array(channel, topic, status, {instant("recorded_at")})) as document
            from consents
            group by profile_id
        ),
        memberships as (
            select
                profile_id,
                to_json(list(
                    json_object(
                        'segment', segment, 'entity_id', entity_id, 'entered_at', {instant("entered_at")}
                    )
                    order by segment, entity_id
                )) as document
            from segment_memberships
            where exited_at is null
            group by profile_id
        )
        select
            profiles.profile_id,
            json_object(
                'language', profiles.language,
                'addresses', addresses.document,
                'consents', answers.document,
                'segments', memberships.document,
                'traits', json_object({shared})
            ) as document
        from profiles
        left join addresses on profiles.profile_id = addresses.profile_id
        left join answers on profiles.profile_id = answers.profile_id
        left join memberships on profiles.profile_id = memberships.profile_id
        order by profiles.profile_id
    """


def _document(connection: sqlite3.Connection, profile_id: str) -> dict[str, Any] | None:
    row = connection.execute("select document from people where profile_id = ?", (profile_id,)).fetchone()
    if row is None:
        return None
    found: dict[str, Any] = json.loads(row[0])
    return found


def _person(profile_id: str, build_id: str, document: Mapping[str, Any]) -> Person:
    return Person(
        profile_id=profile_id,
        build_id=build_id,
        language=document["language"],
        addresses=document["addresses"] or {},
        consents={
            (channel, topic): (status, recorded_at)
            for channel, topic, status, recorded_at in document["consents"] or ()
        },
        segments=tuple(document["segments"] or ()),
        traits=document["traits"] or {},
    )
