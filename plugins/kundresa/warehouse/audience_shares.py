"""Who is in some segments, under the names that another system knows them by, and what has changed since it
was told last.

Each share is put together once, as two files: ``members`` is what the destination holds afterwards,
``changes`` what it has to be told for that. They stay until the next share is told, so that one which was
interrupted goes on with the very same lines."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.spec.audience_share import PROFILE_ID, ShareChange
from kundresa.spec.vocabulary import Consent
from kundresa.warehouse.build import Build, segments_of
from kundresa.warehouse.errors import WarehouseError
from kundresa.warehouse.sql import parquet

CHANNEL = "webhook"
"""On what channel people are asked whether they may be told about; see ``channels/ADR-004``."""
_CHUNK = 2_000
_ROW_GROUP = 50_000


def share_folder(settings: Settings, share: str, sequence: int) -> Path:
    """Where a share's files are."""
    return settings.published / "audience_shares" / share / f"{sequence:08d}"


def plan_share(
    settings: Settings,
    build: Build,
    *,
    share: str,
    sequence: int,
    earlier: Sequence[int],
    segments: Sequence[str],
    identifier: str,
    topic: str,
    consent: Consent,
    held: Callable[[Sequence[str]], Collection[str]],
    is_full: bool,
) -> int:
    """Put a share together; returns how many changes it has. Done again it writes the same lines.

    Args:
        build: whose memberships, identifiers and consents are read.
        earlier: the sequences of those that the destination may hold something of.
        identifier: a namespace, or ``profile_id``.
        held: of some profile ids, those that must not be told about, whatever the build says.
        is_full: everybody is a change, not only those who differ.

    Raises:
        WarehouseError: when the build does not know a segment, or members but nobody by such an identifier:
            everybody would be deleted for a mistake.
    """
    import duckdb

    unknown = sorted(set(segments) - segments_of(build))
    if unknown:
        raise WarehouseError(f"segment {unknown[0]!r} is not in build {build.build_id}; nothing is shared")
    folder = share_folder(settings, share, sequence)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    partial.mkdir(parents=True)
    try:
        with duckdb.connect() as connection:
            for mart in ("segment_memberships", "profile_identifiers", "consents"):
                connection.execute(f'create view "{mart}" as {parquet(build.path / mart / "*.parquet")}')
            _permitted(connection, segments, topic, consent, held)
            connection.execute(
                f"create table members as {_MEMBERS[identifier == PROFILE_ID]}", _named(identifier)
            )
            _require_names(connection, identifier)
            connection.execute(f"create table earlier as {_earlier(settings, share, earlier)}")
            connection.execute("create table changes as " + _CHANGES, {"full": is_full})
            for table in ("members", "changes"):
                target = f"{_quoted(partial / table)}.parquet"
                connection.execute(
                    f"copy (select * from {table} order by identifier) to '{target}' "
                    f"(format parquet, row_group_size {_ROW_GROUP})"
                )
            [[changes]] = connection.execute("select count(*) from changes").fetchall()
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return int(changes)


def share_changes(
    settings: Settings, share: str, sequence: int, *, batch_size: int, first_batch: int = 0
) -> Iterator[tuple[ShareChange, ...]]:
    """The changes of a share in batches, from one of them on (from 0); always the same."""
    import pyarrow.parquet as pq

    skip = first_batch * batch_size
    waiting: list[ShareChange] = []
    with pq.ParquetFile(share_folder(settings, share, sequence) / "changes.parquet") as file:
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if skip >= rows:
                skip -= rows
                continue
            for row in file.read_row_group(group).slice(skip).to_pylist():
                waiting.append(_change(row))
                if len(waiting) == batch_size:
                    yield tuple(waiting)
                    waiting = []
            skip = 0
    if waiting:
        yield tuple(waiting)


def prune_shares(settings: Settings, share: str, keep: Collection[int]) -> None:
    """Remove the files of all but these sequences."""
    for folder in (settings.published / "audience_shares" / share).glob("*"):
        if not (folder.name.isdecimal() and int(folder.name) in keep):
            shutil.rmtree(folder, ignore_errors=True)


def _change(row: dict[str, Any]) -> ShareChange:
    segments = None if row["segments"] is None else tuple(row["segments"])
    return ShareChange(row["identifier"], segments, tuple(row["entered"]), tuple(row["left_segments"]))


def _permitted(
    connection: Any,
    segments: Sequence[str],
    topic: str,
    consent: Consent,
    held: Callable[[Sequence[str]], Collection[str]],
) -> None:
    """The table ``permitted``: who is in which segment, of those that may be told about."""
    connection.execute(
        "create table current as " + _CURRENT,
        {
            "segments": list(segments),
            "channel": CHANNEL,
            "topics": [topic] if consent is Consent.EXEMPT else [topic, "*"],
            "needs_yes": consent is Consent.YES,
        },
    )
    connection.execute("create table held (profile_id varchar)")
    cursor = connection.cursor().execute("select distinct profile_id from current order by profile_id")
    while rows := cursor.fetchmany(_CHUNK):
        found = sorted(held([row[0] for row in rows]))
        if found:
            connection.executemany("insert into held values (?)", [[each] for each in found])
    connection.execute("create table permitted as select * from current anti join held using (profile_id)")


def _require_names(connection: Any, identifier: str) -> None:
    [[people, named]] = connection.execute(
        "select (select count(*) from permitted), (select count(*) from members)"
    ).fetchall()
    if people and not named:
        raise WarehouseError(
            f"nobody in the shared segments has an identifier {identifier!r}; nothing is shared"
        )


def _earlier(settings: Settings, share: str, sequences: Sequence[int]) -> str:
    files = [share_folder(settings, share, each) / "members.parquet" for each in sequences]
    if not files:
        return "select null::varchar as identifier, null::varchar[] as segments where false"
    together = " union all by name ".join(parquet(file) for file in files)
    # Of two that the destination may hold, either may be there: what is told is the same.
    return f"select identifier, first(segments) as segments from ({together}) group by identifier"


def _named(identifier: str) -> dict[str, str]:
    return {} if identifier == PROFILE_ID else {"namespace": identifier}


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


# Consent as decisions have it: the latest answer about the topic or about all, of one instant the no.
_CURRENT = """
    with answers as (
        select
            profile_id,
            max(recorded_at) filter (status = 'yes') as granted_at,
            max(recorded_at) filter (status = 'no') as denied_at
        from consents
        where channel = $channel and list_contains($topics, topic)
        group by profile_id
    )
    select distinct memberships.segment, memberships.profile_id
    from segment_memberships as memberships
    left join answers on memberships.profile_id = answers.profile_id
    where
        memberships.exited_at is null
        and list_contains($segments, memberships.segment)
        and (answers.denied_at is null or coalesce(answers.granted_at > answers.denied_at, false))
        and (answers.granted_at is not null or not $needs_yes)
"""

_MEMBERS = {
    True: """
        select profile_id as identifier, list(segment order by segment) as segments
        from permitted
        group by profile_id
    """,
    # As people are found by identifiers elsewhere: one that several share is nobody's.
    False: """
        with names as (
            select identifier, min(profile_id) as profile_id
            from profile_identifiers
            where namespace = $namespace
            group by identifier
            having count(distinct profile_id) = 1
        )
        select names.identifier, list(permitted.segment order by permitted.segment) as segments
        from permitted inner join names using (profile_id)
        group by names.identifier
    """,
}

_CHANGES = """
    with sides as (
        select
            coalesce(members.identifier, earlier.identifier) as identifier,
            members.segments as segments,
            coalesce(members.segments, []) as now,
            coalesce(earlier.segments, []) as before
        from members full outer join earlier on members.identifier = earlier.identifier
        where members.segments is distinct from earlier.segments or ($full and members.identifier is not null)
    )
    select
        identifier,
        segments,
        list_filter(now, lambda each: not list_contains(before, each)) as entered,
        list_filter(before, lambda each: not list_contains(now, each)) as left_segments
    from sides
"""
