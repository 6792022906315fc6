"""What the operational store tells the warehouse: rows → Parquet, the dbt sources ``operations``.

Each file is replaced in one rename. Rows are streamed: memory holds one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock

from kundresa.settings import Settings
from kundresa.spec.keys import logical_at_of
from kundresa.warehouse.files import replacing, write_text
from kundresa.warehouse.schemas import EXPORTS, Columns, arrow_schema

CHUNK_ROWS = 20_000
"""Rows in memory, and in a row group: about 10 MB as Python objects. Below ~5,000 files grow by their
footers; above ~100,000 memory shows."""

_NO_LEDGER = "no_run"
"""The file without rows of the ledger, and of journeys' messages: a glob that matches nothing is an error. No
run key is like it (all have a time), and Spark does not see files with an underscore in front."""

_OWN_FOLDER = {"ledger": "ledger", "journey_messages": "journeys"}
"""The sources that are many files, each with its folder."""
_LASTING = ("earlier_decisions", "feedback", "journey_messages")
"""Those of which an older release's files are read, before they are written again."""


def ensure_exports(settings: Settings) -> None:
    """Create the files that are missing, without rows, so that every model can be built."""
    for name, columns in EXPORTS.items():
        folder = _OWN_FOLDER.get(name)
        path = path_of(settings, _NO_LEDGER if folder else name, folder=folder)
        # An older release's lacks columns.
        is_old = path.exists() and name in _LASTING and not _has_all(path, columns)
        if is_old and folder:
            _complete(settings, path, columns)
        if is_old or not path.exists():
            write_rows(path, columns, ())


def _complete(settings: Settings, empty: Path, columns: Columns) -> None:
    """Give the files beside an empty one the columns that they lack, without values: all are read as one
    table. The empty one has them last, so that what is interrupted is done again."""
    import pyarrow.parquet as pq

    with FileLock(settings.home / "journeys.lock"):
        for path in sorted(empty.parent.glob("*.parquet")):
            if path != empty and not _has_all(path, columns):
                write_rows(path, columns, _with_all(columns, pq.read_table(path).to_pylist()))


def _with_all(columns: Columns, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows as read from a file, with every column."""
    for row in rows:
        yield dict.fromkeys(columns) | {name: _as_instant(value) for name, value in row.items()}


def export_policies(settings: Settings, *, exempt_topics: Iterable[str], allow_list: Iterable[str]) -> None:
    """Write the topics that are exempt from consent, and whom an installation may write to (lower case;
    read only for runs that are ``is_allow_listed``)."""
    topics = [{"topic": topic} for topic in exempt_topics]
    write_rows(path_of(settings, "exempt_topics"), EXPORTS["exempt_topics"], topics)
    write_rows(
        path_of(settings, "allow_list"), EXPORTS["allow_list"], [{"entry": entry} for entry in allow_list]
    )


def export_earlier_runs(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write which published runs are to be counted, with their topics, for a plan that leaves some out;
    returns the file."""
    write_rows(path_of(settings, "earlier_runs"), EXPORTS["earlier_runs"], rows)
    return path_of(settings, "earlier_runs")


def export_ledger_news(
    settings: Settings, *, stopped_runs: Iterable[str], messages: Iterable[Mapping[str, Any]]
) -> int:
    """Write what the ledger knows and the warehouse does not yet; returns how many messages.

    Args:
        stopped_runs: keys of the runs of which nothing more leaves.
        messages: with ``message_id``, ``run_key`` and ``state``, of runs that have no account yet: those that
            failed or were withheld; of the stopped ones those that left as well.
    """
    write_rows(
        path_of(settings, "stopped_runs"), EXPORTS["stopped_runs"], [{"run_key": key} for key in stopped_runs]
    )
    return write_rows(path_of(settings, "ledger_news"), EXPORTS["ledger_news"], messages)


def export_sending_runs(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write which decided runs have sent or will send from a domain that is warmed up; returns how many."""
    return write_rows(path_of(settings, "sending_runs"), EXPORTS["sending_runs"], rows)


def export_opt_outs(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all opt-outs; returns how many."""
    return write_rows(path_of(settings, "opt_outs"), EXPORTS["opt_outs"], rows)


def export_opt_ins(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all opt-ins; returns how many."""
    return write_rows(path_of(settings, "opt_ins"), EXPORTS["opt_ins"], rows)


def export_feedback(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the feedback that is kept, by position, in place of what was written before: what is known of a
    hit's machine may have changed. Returns how many. From then on :func:`feedback_due` tells of it."""
    return write_rows(path_of(settings, "feedback"), EXPORTS["feedback"], rows)


def feedback_due(settings: Settings) -> int | None:
    """The last position of the feedback that is exported; None when it is recorded, or there is none."""
    import pyarrow.parquet as pq

    path = path_of(settings, "feedback")
    if not path.exists() or "position" not in pq.read_schema(path).names:
        return None
    with pq.ParquetFile(path) as file:
        groups = file.metadata.num_row_groups
        last = (
            file.read_row_group(groups - 1, columns=["position"])["position"][-1].as_py() if groups else None
        )
    recorded = _feedback_recorded(settings)
    is_known = recorded.exists() and recorded.read_text(encoding="utf-8") == str(last)
    return None if is_known else last


def feedback_recorded(settings: Settings, position: int) -> None:
    """Measurement knows the feedback up to this position."""
    write_text(_feedback_recorded(settings), str(position))


def _feedback_recorded(settings: Settings) -> Path:
    return settings.exports / "feedback_recorded"


def export_suppressions(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the active suppressions; returns how many."""
    return write_rows(path_of(settings, "suppressions"), EXPORTS["suppressions"], rows)


def export_journey_traits(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the traits that journeys have set; returns how many."""
    return write_rows(path_of(settings, "journey_traits"), EXPORTS["journey_traits"], rows)


def export_ledger(settings: Settings, run_key: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one run's ledger as it stands now, in place of what was written before; returns how many
    lines. All rows carry the same ``exported_at``.
    """
    return write_rows(ledger_path(settings, run_key), EXPORTS["ledger"], rows)


def ledger_path(settings: Settings, run_key: str) -> Path:
    """Where the run's ledger is exported to."""
    return path_of(settings, run_key, folder="ledger")


def export_journey_day(
    settings: Settings, key: str, rows: Iterable[Mapping[str, Any]], *, exported_at: datetime
) -> int:
    """Write the messages of one day of a journey as they stand now, in place of what was written before;
    returns how many. From then on :func:`journey_days_due` names the day.

    Args:
        key: of ``spec.keys.account_key``; every row carries it as ``run_key``, and the same ``exported_at``.
    """
    count = write_rows(journey_day_path(settings, key), EXPORTS["journey_messages"], rows)
    write_text(_due(settings) / key, exported_at.isoformat())
    return count


def journey_day_path(settings: Settings, key: str) -> Path:
    """Where one day of a journey's messages is exported to."""
    return path_of(settings, key, folder=_OWN_FOLDER["journey_messages"])


def journey_days_due(settings: Settings) -> dict[str, str]:
    """The days of journeys that are exported and not yet recorded as they are: key → what the export is."""
    if not _due(settings).is_dir():
        return {}
    # write_text's temporary files begin with a dot.
    files = [path for path in sorted(_due(settings).iterdir()) if not path.name.startswith(".")]
    return {path.name: path.read_text(encoding="utf-8") for path in files}


def earlier_journey_days(settings: Settings, before: datetime) -> list[Path]:
    """The exports of days of journeys before an instant that are recorded as they are."""
    due = journey_days_due(settings)
    found = []
    for path in sorted((settings.exports / _OWN_FOLDER["journey_messages"]).glob("*.parquet")):
        day = logical_at_of(path.stem)
        if day is not None and day < before and path.stem not in due:
            found.append(path)
    return found


def journey_day_recorded(settings: Settings, key: str, export: str) -> None:
    """The warehouse has this export of a day; a later one stays due."""
    with FileLock(settings.home / "journeys.lock"):
        if journey_days_due(settings).get(key) == export:
            (_due(settings) / key).unlink()


def export_earlier_journeys(settings: Settings, source: Settings, as_of: datetime) -> None:
    """Write what journeys had come to by an instant, for a plan as of it.

    Args:
        source: the installation whose exports are read.
    """
    import pyarrow.parquet as pq

    def rows() -> Iterator[Mapping[str, Any]]:
        for path in sorted((source.exports / _OWN_FOLDER["journey_messages"]).glob("*.parquet")):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=CHUNK_ROWS):
                    for row in _with_all(EXPORTS["journey_messages"], batch.to_pylist()):
                        if row["reached_at"] <= as_of:
                            yield row

    write_rows(path_of(settings, _NO_LEDGER, folder="journeys"), EXPORTS["journey_messages"], rows())


def _as_instant(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _due(settings: Settings) -> Path:
    return settings.exports / "journeys_due"


def ledger_exports(settings: Settings) -> list[tuple[str, Path]]:
    """(run key, file) of every exported ledger."""
    folder = settings.exports / "ledger"
    return sorted((path.stem, path) for path in folder.glob("*.parquet") if path.stem != _NO_LEDGER)


def _has_all(path: Path, columns: Columns) -> bool:
    import pyarrow.parquet as pq

    return set(columns) <= set(pq.read_schema(path).names)


def path_of(settings: Settings, name: str, *, folder: str | None = None) -> Path:
    """The file of a table of the exports."""
    # Not with_suffix: a run key with microseconds has a dot of its own.
    return settings.exports / (folder or "") / f"{name}.parquet"


def write_rows(path: Path, columns: Columns, rows: Iterable[Mapping[str, Any]]) -> int:
    """Stream rows into a Parquet file; keys beyond the columns are left out.

    Raises:
        KeyError: when a row lacks a column.
        ValueError: for an instant without a time zone.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(columns)
    instants = {name for name, data_type in columns.items() if data_type == "timestamp"}
    pending = iter(rows)
    count = 0
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while chunk := list(islice(pending, CHUNK_ROWS)):
            arrays = [pa.array(_values(chunk, field.name, instants), type=field.type) for field in schema]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(chunk)
    return count


def _values(chunk: Sequence[Mapping[str, Any]], name: str, instants: set[str]) -> list[Any]:
    if name not in instants:
        return [row[name] for row in chunk]
    return [None if row[name] is None else _utc(row[name]) for row in chunk]


def _utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone; the exports take instants only")
    return instant.astimezone(UTC).replace(tzinfo=None)
