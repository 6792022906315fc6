"""What campaigns have decided to send, to some people or at some time: for journeys, which keep the same
caps, capacities and warm-ups.

One DuckDB over the published decisions. A question reads a few columns of the runs that reach into its time:
a run that is published does not change, so what its files say of themselves, and how many messages they have
in a time, is read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.warehouse.published import run_folder
from kundresa.warehouse.sql import fetch, literal

_SEND_AT = "send_at"


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A ``send`` line of a published run: what became of it the ledger knows."""

    message_id: str
    run_key: str
    profile_id: str
    """As it was decided; the person may have been merged since."""
    channel: str
    topic: str
    send_at: datetime


Places = Counter[tuple[str, str]]
"""(channel, domain of the address) → messages; of every domain but those asked for, and of other channels
than email, the domain is empty."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is counted: the messages that leave from ``first`` to before ``end``, of which emails are told
    apart by these domains, in lower case."""

    first: datetime
    end: datetime
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Run:
    topic: str
    files: tuple[Path, ...]
    last_at: datetime | None
    """The latest ``send_at``; None when nothing is sent."""


class SentMessages:
    """Reads the published runs. Not for several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._runs: dict[str, _Run] = {}
        self._places: dict[Span, dict[str, Places]] = {}
        self._connection: Any = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def of(self, profile_ids: Collection[str], since: datetime) -> list[SentMessage]:
        """The messages to these people whose ``send_at`` is then or later, of all runs published now."""
        runs = self._since(since)
        if not runs or not profile_ids:
            return []
        files = ", ".join(literal(file) for run in runs.values() for file in run.files)
        rows = fetch(
            self._opened(),
            _OF.format(files=files),
            {"ids": [*profile_ids], "since": since.astimezone(UTC).replace(tzinfo=None)},
        )
        return [SentMessage(**row, topic=runs[row["run_key"]].topic) for row in rows]

    def places(self, span: Span) -> Mapping[str, Places]:
        """How many messages leave in a time, by run: all ``send`` lines, whatever has become of them."""
        known = self._places.setdefault(span, {})
        runs = {key: run for key, run in self._since(span.first).items() if key not in known}
        if runs:
            known |= {key: Counter() for key in runs} | self._count(runs.values(), span)
        return known

    def places_among(self, run_key: str, message_ids: Collection[str], span: Span) -> Places:
        """As :meth:`places`, of some messages of one run."""
        found = self._count([self._runs[run_key]], span, message_ids)
        return found.get(run_key, Counter())

    def _count(
        self, runs: Iterable[_Run], span: Span, message_ids: Collection[str] | None = None
    ) -> dict[str, Places]:
        files = ", ".join(literal(file) for run in runs for file in run.files)
        if not files:
            return {}
        # Addresses are only read where they are asked for.
        domain = _DOMAIN if span.domains else "''"
        given: dict[str, Any] = {"domains": sorted(span.domains)} if span.domains else {}
        if message_ids is not None:
            given["ids"] = [*message_ids]
        among = "" if message_ids is None else _AMONG
        first, end = (each.astimezone(UTC).replace(tzinfo=None) for each in (span.first, span.end))
        query = _PLACES.format(files=files, domain=domain, among=among)
        found: dict[str, Places] = {}
        for row in fetch(self._opened(), query, {**given, "first": first, "end": end}):
            key = row["channel"], row["address_domain"]
            found.setdefault(row["run_key"], Counter())[key] += row["messages"]
        return found

    def _since(self, since: datetime) -> dict[str, _Run]:
        folder = self._settings.published / "runs"
        found = {}
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            key = path.name
            if key not in self._runs:
                self._runs[key] = _read(self._settings, key)
            run = self._runs[key]
            if run.last_at is not None and run.last_at >= since:
                found[key] = run
        return found

    def _opened(self) -> Any:
        import duckdb

        if self._connection is None:
            self._connection = duckdb.connect()
            # Footers of files that never change.
            self._connection.execute("set parquet_metadata_cache = true")
        return self._connection


def _read(settings: Settings, run_key: str) -> _Run:
    import pyarrow.parquet as pq

    folder = run_folder(settings, run_key)
    [row] = pq.read_table(folder / "run.parquet", columns=["topic"]).to_pylist()
    files = tuple(sorted((folder / "decisions").glob("*.parquet")))
    last = [at for file in files for at in _last(file)]
    return _Run(row["topic"], files, max(last, default=None))


def _last(file: Path) -> list[datetime]:
    """The latest ``send_at`` of each row group, from the footer."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(file)
    found = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = map(group.column, range(group.num_columns))
        chunk = next(each for each in columns if each.path_in_schema == _SEND_AT)
        statistics = chunk.statistics
        if statistics is None or not statistics.has_min_max:
            if statistics is not None and statistics.null_count == group.num_rows:
                continue
            return [datetime.max.replace(tzinfo=UTC)]  # nothing is said of it: it is read each time
        found.append(statistics.max.replace(tzinfo=UTC))
    return found


_OF = """
    select message_id, run_key, profile_id, channel, send_at
    from read_parquet([{files}], hive_partitioning = false, union_by_name = true)
    where
        verdict = 'send'
        and send_at >= $since
        and profile_id in (select unnest(cast($ids as varchar[])))
"""
_PLACES = """
    select run_key, channel, {domain} as address_domain, count(*) as messages
    from read_parquet([{files}], hive_partitioning = false, union_by_name = true)
    where verdict = 'send' and send_at >= $first and send_at < $end {among}
    group by all
"""
_AMONG = "and message_id in (select unnest(cast($ids as varchar[])))"
_DOMAIN = """
    case
        when channel = 'email' and split_part(lower(address), '@', -1) in (
            select unnest(cast($domains as varchar[]))
        ) then split_part(lower(address), '@', -1)
        else ''
    end
"""
