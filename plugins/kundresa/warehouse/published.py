"""Reading what is published about runs: Parquet, without dbt, without a lock, in flat memory."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kundresa.settings import Settings
from kundresa.spec.vocabulary import Verdict
from kundresa.warehouse.errors import RunNotPublished

_NUMBER = re.compile(r"batch_number=(\d+)$")


@dataclass(frozen=True, slots=True)
class DecisionCount:
    """How many lines of a run have this channel, verdict, reason and variant."""

    channel: str
    verdict: str
    reason: str | None
    variant: str | None
    lines: int


@dataclass(frozen=True, slots=True)
class SendHour:
    """How many messages of a run on a channel may leave from some time in this hour on."""

    channel: str
    starts_at: datetime
    messages: int
    due_at: datetime
    """From when on the last of them may leave."""


def run_folder(settings: Settings, run_key: str) -> Path:
    """Where the run is published, or would be.

    Raises:
        ValueError: for a key that is no file name.
    """
    if run_key in ("", ".", "..") or "/" in run_key or "\\" in run_key:
        raise ValueError(f"{run_key!r} is no run key")
    return settings.published / "runs" / run_key


def decisions_folder(settings: Settings, run_key: str) -> Path:
    """The folder of the run's decisions.

    Raises:
        RunNotPublished: when it was never decided.
    """
    folder = run_folder(settings, run_key) / "decisions"
    if not folder.is_dir():
        raise RunNotPublished(f"run {run_key!r} has no published decisions in {settings.published}")
    return folder


def batch_numbers(settings: Settings, run_key: str, channel: str) -> list[int]:
    """The run's batches on a channel, from 1; empty when nothing is to be sent there.

    Raises:
        RunNotPublished: when it was never decided.
    """
    return sorted(_batches(settings, run_key, channel))


def batch_sizes(settings: Settings, run_key: str, channel: str) -> dict[int, int]:
    """Batch number → messages, by number, from the files' footers.

    Raises:
        RunNotPublished: when it was never decided.
    """
    batches = _batches(settings, run_key, channel)
    return {number: sum(_rows(file) for file in _files(batches[number])) for number in sorted(batches)}


def read_batch(
    settings: Settings,
    run_key: str,
    channel: str,
    number: int,
    *,
    start_row: int = 0,
    chunk_rows: int = 1_000,
    columns: Sequence[str] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """The messages of one batch in lists of at most ``chunk_rows``, always in the same order.

    Each is a decision plus ``profile``, a dict of the contracted profile columns. Instants are aware.

    Args:
        start_row: how many messages to leave out from the start; row groups before it are not read.
        columns: those that are wanted, ``profile.country`` for one of the person's; one that the run has not
            is left out. All take 26 µs a message, five and a dozen of the person's 7.

    Raises:
        RunNotPublished: when the run was never decided.
        KeyError: when it has no such batch.
    """
    skip = start_row
    for file in _files(_batch(settings, run_key, channel, number)):
        for rows in _read(file, skip, chunk_rows, columns):
            # Spark leaves to the path what the path says.
            yield [{"channel": channel, "batch_number": number, **row} for row in rows]
        skip = max(skip - _rows(file), 0)


def read_message(
    settings: Settings, run_key: str, channel: str, number: int, message_id: str
) -> dict[str, Any] | None:
    """One message of a batch as ``read_batch`` gives it; None when it is not in it.

    Raises:
        RunNotPublished: when the run was never decided.
        KeyError: when it has no such batch.
    """
    import pyarrow.parquet as pq

    for file in _files(_batch(settings, run_key, channel, number)):
        found = pq.read_table(file, filters=[("message_id", "=", message_id)], partitioning=None)
        for row in found.cast(_aware(found.schema)).to_pylist():
            return {"channel": channel, "batch_number": number, **row}
    return None


def read_addresses(
    settings: Settings, run_key: str, channel: str, number: int, message_ids: Collection[str]
) -> dict[str, str]:
    """Where some messages of a batch go: message_id → address, of those that are in it.

    Raises:
        RunNotPublished: when the run was never decided.
        KeyError: when it has no such batch.
    """
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for file in _files(_batch(settings, run_key, channel, number)):
        rows = pq.read_table(
            file,
            columns=["message_id", "address"],
            filters=[("message_id", "in", list(message_ids))],
            partitioning=None,
        ).to_pylist()
        found |= {row["message_id"]: row["address"] for row in rows}
    return found


def profile_types(settings: Settings, run_key: str, channel: str) -> dict[str, str]:
    """The profile columns in a run's batches on a channel, by Arrow's type names; empty without a batch.

    Raises:
        RunNotPublished: when the run was never decided.
    """
    import pyarrow.parquet as pq

    for folder in _batches(settings, run_key, channel).values():
        for file in _files(folder):
            profile = pq.read_schema(file).field("profile").type
            return {field.name: str(field.type) for field in profile}
    return {}


def batch_send_at(settings: Settings, run_key: str, channel: str, number: int) -> datetime:
    """The instant before which no message of the batch may leave: the latest ``send_at`` in it. (They are all
    the same, since batches are cut by it; should they ever not be, some leave late and none early.)

    Raises:
        RunNotPublished: when the run was never decided.
        KeyError: when it has no such batch.
        ValueError: when a message of it has no send time.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    files = _files(_batch(settings, run_key, channel, number))
    send_at = pq.read_table(files, columns=["send_at"], partitioning=None)["send_at"]
    latest = pc.max(send_at).as_py()
    if latest is None or send_at.null_count:
        raise ValueError(f"run {run_key}, {channel} batch {number}: a message without a send time")
    found: datetime = latest.replace(tzinfo=UTC)
    return found


def batch_waves(settings: Settings, run_key: str) -> dict[str, dict[int, int]]:
    """Channel → batch number → the wave that its messages are of; empty for a run that leaves all at once.

    From the decisions, three columns of which are read: a run may have thousands of batches, and one file to
    open is less than thousands.

    Raises:
        RunNotPublished: when it was never decided.
    """
    import pyarrow.parquet as pq

    files = _files(decisions_folder(settings, run_key))
    keys = ["channel", "batch_number", "wave"]
    # A run of before there were waves has no such column.
    if any("wave" not in pq.read_schema(file).names for file in files):
        return {}
    send = pq.read_table(
        files, columns=keys, filters=[("verdict", "=", Verdict.SEND.value)], partitioning=None
    )
    found: dict[str, dict[int, int]] = {}
    for row in send.group_by(keys).aggregate([]).to_pylist():
        if row["wave"] is not None:
            found.setdefault(row["channel"], {})[row["batch_number"]] = row["wave"]
    return found


def send_hours(settings: Settings, run_key: str) -> list[SendHour]:
    """How many messages may leave from when on, by channel and the full hour in which ``send_at`` lies.

    Raises:
        RunNotPublished: when the run was never decided.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    files = _files(decisions_folder(settings, run_key))
    send = pq.read_table(
        files,
        columns=["channel", "send_at"],
        filters=[("verdict", "=", Verdict.SEND.value)],
        partitioning=None,
    )
    hours = send.set_column(1, "hour", pc.floor_temporal(send["send_at"], unit="hour"))
    counted = hours.append_column("send_at", send["send_at"])
    counted = counted.group_by(["channel", "hour"]).aggregate([([], "count_all"), ("send_at", "max")])
    found = [
        SendHour(
            row["channel"],
            row["hour"].replace(tzinfo=UTC),
            row["count_all"],
            row["send_at_max"].replace(tzinfo=UTC),
        )
        for row in counted.to_pylist()
    ]
    return sorted(found, key=lambda each: (each.channel, each.starts_at))


def decision_counts(settings: Settings, run_key: str) -> list[DecisionCount]:
    """Lines by channel, verdict, reason and variant, in that order.

    Raises:
        RunNotPublished: when the run was never decided.
    """
    import pyarrow.parquet as pq

    keys = ["channel", "verdict", "reason", "variant"]
    files = _files(decisions_folder(settings, run_key))
    table = pq.read_table(files, columns=keys, partitioning=None)
    counted = table.group_by(keys).aggregate([([], "count_all")])
    counts = [
        DecisionCount(row["channel"], row["verdict"], row["reason"], row["variant"], row["count_all"])
        for row in counted.to_pylist()
    ]
    return sorted(
        counts, key=lambda each: (each.channel, each.verdict, each.reason or "", each.variant or "")
    )


def _batch(settings: Settings, run_key: str, channel: str, number: int) -> Path:
    batches = _batches(settings, run_key, channel)
    if number not in batches:
        raise KeyError(f"run {run_key} has no batch {number} on {channel}")
    return batches[number]


def _batches(settings: Settings, run_key: str, channel: str) -> dict[int, Path]:
    decisions_folder(settings, run_key)
    folder = run_folder(settings, run_key) / "batches" / f"channel={channel}"
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NUMBER.search(path.name)
        if match:
            found[int(match[1])] = path
    return found


def _files(folder: Path) -> list[Path]:
    """In the order in which they were written: data_2 before data_10."""
    return sorted(folder.glob("*.parquet"), key=lambda path: (len(path.name), path.name))


def _rows(file: Path) -> int:
    import pyarrow.parquet as pq

    rows: int = pq.read_metadata(file).num_rows
    return rows


def _read(
    file: Path, skip: int, chunk_rows: int, columns: Sequence[str] | None
) -> Iterator[list[dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        groups: list[int] = []
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            if skip >= size and not groups:
                skip -= size
            else:
                groups.append(group)
        if not groups:
            return
        for batch in parquet.iter_batches(batch_size=chunk_rows, row_groups=groups, columns=columns):
            rows = batch.slice(min(skip, batch.num_rows))
            skip -= batch.num_rows - rows.num_rows
            if rows.num_rows:
                table = pa.Table.from_batches([rows])
                yield table.cast(_aware(table.schema)).to_pylist()


def _aware(schema: Any) -> Any:
    """The same schema, with timestamps that say that they are UTC."""
    import pyarrow as pa

    fields = [
        field.with_type(pa.timestamp(field.type.unit, tz="UTC"))
        if pa.types.is_timestamp(field.type)
        else field
        for field in schema
    ]
    return pa.schema(fields)
