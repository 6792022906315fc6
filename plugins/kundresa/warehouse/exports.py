"""What the operational store tells the warehouse: rows → Parquet, the dbt sources ``operations``.

Each file is replaced in one rename. Rows are streamed: memory holds one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from filelock import FileLock

from kundresa.settings import Settings
from kundresa.spec.keys import logical_at_of
from kundresa.spec.vocabulary import Consent, OnePer
from kundresa.warehouse.files import replacing, write_text
from kundresa.warehouse.schemas import EXPORTS, Columns, arrow_schema

CHUNK_ROWS = 20_000
"""Rows in memory, and in a row group: about 10 MB as Python objects. Below ~5,000 files grow by their
footers; above ~100,000 memory shows."""

EVERY_TOPIC = "*"
"""In ``run_cap_topics``: every topic but the exempt ones."""

EVERY_CAMPAIGN = "*"
"""In ``run_capacity_campaigns``: every campaign."""

_NO_LEDGER = "no_run"
"""The file without rows of the ledger, and of journeys' messages: a glob that matches nothing is an error. No
run key is like it (all have a time), and Spark does not see files with an underscore in front."""

_OWN_FOLDER = {"ledger": "ledger", "journey_messages": "journeys"}
"""The sources that are many files, each with its folder."""
_LASTING = ("earlier_decisions", "feedback", "journey_messages")
"""Those of which an older release's files are read, before they are written again."""


@dataclass(frozen=True, slots=True)
class RunCap:
    """One cap that a run is under.

    ``window_seconds`` is a rolling time; None is a calendar period, and ``periods`` are those that cover
    the run's validity, as (time zone, start, end): of the one zone that it is in, or of every zone when it is
    the recipient's (the empty zone for people whose own is unknown). ``topics`` None is every topic that
    is not exempt from consent. ``counted_per`` is a column of profiles; empty is the person.
    """

    cap: str
    max_messages: int
    channels: tuple[str, ...]
    window_seconds: int | None = None
    is_recipient_time: bool = False
    topics: tuple[str, ...] | None = None
    counted_per: str = ""
    periods: Sequence[tuple[str, datetime, datetime]] = ()


@dataclass(frozen=True, slots=True)
class RunCapacity:
    """One capacity that a run's messages on some channels draw on, together with those of ``campaigns``
    (None: of all).

    ``level``: the pass, from 1, in which it is asked; a message draws on one capacity of a level at most.
    ``periods`` are (start, end, messages), apart from each other, and cover the run's validity; two runs with
    the same capacity have the same of these.
    """

    capacity: str
    level: int
    channels: tuple[str, ...]
    campaigns: tuple[str, ...] | None
    periods: Sequence[tuple[datetime, datetime, int]]


@dataclass(frozen=True, slots=True)
class RunWarmUp:
    """What a run's sending domain may send to one receiving provider, on each day as (start, end, messages);
    days that are not here have no limit. ``address_domains`` are the provider's; the last provider of a run
    has none and is every other. Two runs of the same domain have the same of these."""

    domain: str
    provider: str
    address_domains: tuple[str, ...]
    days: Sequence[tuple[datetime, datetime, int]]


@dataclass(frozen=True, slots=True)
class RunBudget:
    """What a run's messages on a channel cost, and may cost together with its other channels, in millionths
    of a currency, within a time. ``is_shared``: with all other runs of the campaign."""

    channel: str
    is_shared: bool
    cost_micros: int
    budget_micros: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class RunOpening:
    """The first instant at which a run may write to people of one time zone and country. The empty zone
    is for people whose own is unknown, and of a zone that is not here; the empty country for every
    country that is not here. ``opens_at`` None: not within the run's validity."""

    time_zone: str
    country: str
    opens_at: datetime | None
    wave: int = 0
    """From 1; 0 in a run without waves."""
    hour: int | None = None
    """The local hour, 0 to 23, that is waited for; None for none."""


@dataclass(frozen=True, slots=True)
class RunWave:
    """One wave of a run, and the first instant at which it may leave: the people of its buckets,
    ``bucket_to`` excluded, which of all waves cover 0 to 10000; or the people of its places, from 1 on, in
    the order of a hash, ``place_to`` excluded and None in the last."""

    wave: int
    starts_at: datetime
    bucket_from: int | None = None
    bucket_to: int | None = None
    place_from: int | None = None
    place_to: int | None = None


@dataclass(frozen=True, slots=True)
class OpenRun:
    """One run as the decision models read it.

    Instants are aware. ``decided_at`` is the instant that the decisions are made for. ``variant_salt``
    is empty without an experiment; ``variants`` are (name, first bucket, end of the range) and cover
    0 to 10000. ``channels`` are in the campaign's order.

    ``history_from``: the earliest message that any of its rules asks about; None when none does.
    ``not_again_since``: who got the campaign since then does not get it again; None asks nothing.
    ``consent`` is one of ``spec.vocabulary.Consent``. ``openings`` are read when ``is_timed``.
    ``explore_percent`` is None where no best hour is asked for.
    ``wave_salt`` is empty without ``waves``.
    ``is_ahead``: a run of the future, which takes its people's allowance where it goes first, and is neither
    recorded nor published; its ``decided_at`` is when it will be decided.
    """

    run_key: str
    campaign: str
    logical_at: datetime
    decided_at: datetime
    valid_until: datetime
    topic: str
    priority: int
    channel_choice: str
    holdout_percent: float
    holdout_salt: str
    variant_salt: str
    batch_size: int
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    channels: tuple[str, ...]
    variants: Sequence[tuple[str, int, int]] = ()
    history_from: datetime | None = None
    not_again_since: datetime | None = None
    one_per: str = OnePer.ENTITY.value
    sample_percent: float = 100.0
    sample_salt: str = ""
    max_size: int | None = None
    size_score: str = ""
    limit_score: str = ""
    priority_score: str = ""
    consent: str = Consent.YES.value
    is_allow_listed: bool = False
    is_timed: bool = False
    explore_percent: float | None = None
    explore_salt: str = ""
    global_holdout_percent: float = 0.0
    global_holdout_salt: str = ""
    caps: tuple[RunCap, ...] = ()
    capacities: tuple[RunCapacity, ...] = ()
    warm_ups: tuple[RunWarmUp, ...] = ()
    budgets: tuple[RunBudget, ...] = ()
    openings: Sequence[RunOpening] = ()
    wave_salt: str = ""
    waves: Sequence[RunWave] = ()
    is_ahead: bool = False


def ensure_exports(settings: Settings) -> None:
    """Create the files that are missing, without rows, so that every model can be built."""
    for name, columns in EXPORTS.items():
        folder = _OWN_FOLDER.get(name)
        path = _path(settings, _NO_LEDGER if folder else name, folder=folder)
        # An older release's lacks columns.
        is_old = path.exists() and name in _LASTING and not _has_all(path, columns)
        if is_old and folder:
            _complete(settings, path, columns)
        if is_old or not path.exists():
            _write(path, columns, ())


def _complete(settings: Settings, empty: Path, columns: Columns) -> None:
    """Give the files beside an empty one the columns that they lack, without values: all are read as one
    table. The empty one has them last, so that what is interrupted is done again."""
    import pyarrow.parquet as pq

    with FileLock(settings.home / "journeys.lock"):
        for path in sorted(empty.parent.glob("*.parquet")):
            if path != empty and not _has_all(path, columns):
                _write(path, columns, _with_all(columns, pq.read_table(path).to_pylist()))


def _with_all(columns: Columns, rows: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows as read from a file, with every column."""
    for row in rows:
        yield dict.fromkeys(columns) | {name: _as_instant(value) for name, value in row.items()}


def export_open_runs(settings: Settings, runs: Iterable[OpenRun]) -> None:
    """Write the runs to be decided, in place of those written before.

    A run that is published already is left out: it was decided, and a run that had no candidates then
    must not find some now.
    """
    undecided = [
        run for run in runs if not (settings.published / "runs" / run.run_key / "decisions").exists()
    ]
    segments = [
        {"run_key": run.run_key, "role": role, "segment": segment}
        for run in undecided
        for role, names in (("include", run.include), ("exclude", run.exclude))
        for segment in names
    ]
    channels = [
        {"run_key": run.run_key, "channel": str(channel), "position": position}
        for run in undecided
        for position, channel in enumerate(run.channels)
    ]
    variants = [
        {"run_key": run.run_key, "variant": name, "bucket_from": start, "bucket_to": end}
        for run in undecided
        for name, start, end in run.variants
    ]
    openings = [{"run_key": run.run_key, **asdict(opening)} for run in undecided for opening in run.openings]
    plain = [{name: getattr(run, name) for name in EXPORTS["runs"]} for run in undecided]
    tables: dict[str, list[dict[str, Any]]] = {
        "run_segments": segments,
        "run_channels": channels,
        "run_variants": variants,
        "run_openings": openings,
        "run_waves": [{"run_key": run.run_key, **asdict(wave)} for run in undecided for wave in run.waves],
        **_caps(undecided),
        **_limits(undecided),
        **_warm_ups(undecided),
        # Last: a run is open to the models when it is here.
        "runs": plain,
    }
    for name, rows in tables.items():
        _write(_path(settings, name), EXPORTS[name], rows)


def _caps(runs: Iterable[OpenRun]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {
        name: [] for name in ("run_caps", "run_cap_channels", "run_cap_topics", "run_cap_periods")
    }
    for run_key, cap in ((run.run_key, cap) for run in runs for cap in run.caps):
        key = {"run_key": run_key, "cap": cap.cap}
        tables["run_caps"].append(
            {
                **key,
                "max_messages": cap.max_messages,
                "window_seconds": cap.window_seconds,
                "is_recipient_time": cap.is_recipient_time,
                "counted_per": cap.counted_per,
            }
        )
        tables["run_cap_channels"] += [{**key, "channel": channel} for channel in cap.channels]
        tables["run_cap_topics"] += [{**key, "topic": topic} for topic in cap.topics or (EVERY_TOPIC,)]
        tables["run_cap_periods"] += [
            {**key, "time_zone": zone, "starts_at": start, "ends_at": end} for zone, start, end in cap.periods
        ]
    return tables


def _limits(runs: Iterable[OpenRun]) -> dict[str, list[dict[str, Any]]]:
    tables: dict[str, list[dict[str, Any]]] = {
        name: []
        for name in ("run_capacities", "run_capacity_campaigns", "run_capacity_periods", "run_budgets")
    }
    for run in runs:
        tables["run_budgets"] += [{"run_key": run.run_key, **asdict(budget)} for budget in run.budgets]
        for each in run.capacities:
            key = {"run_key": run.run_key, "capacity": each.capacity}
            tables["run_capacities"] += [
                {**key, "channel": channel, "level": each.level} for channel in each.channels
            ]
            tables["run_capacity_campaigns"] += [
                {**key, "campaign": campaign} for campaign in each.campaigns or (EVERY_CAMPAIGN,)
            ]
            tables["run_capacity_periods"] += [
                {**key, "starts_at": start, "ends_at": end, "max_messages": messages}
                for start, end, messages in each.periods
            ]
    return tables


def _warm_ups(runs: Iterable[OpenRun]) -> dict[str, list[dict[str, Any]]]:
    found = [(run.run_key, each) for run in runs for each in run.warm_ups]
    return {
        "run_warm_ups": [
            {
                "run_key": run_key,
                "domain": each.domain,
                "provider": each.provider,
                "starts_at": start,
                "ends_at": end,
                "max_messages": messages,
            }
            for run_key, each in found
            for start, end, messages in each.days
        ],
        "run_providers": [
            {"run_key": run_key, "provider": each.provider, "address_domain": domain}
            for run_key, each in found
            for domain in each.address_domains
        ],
    }


def export_policies(settings: Settings, *, exempt_topics: Iterable[str], allow_list: Iterable[str]) -> None:
    """Write the topics that are exempt from consent, and whom an installation may write to (lower case;
    read only for runs that are ``is_allow_listed``)."""
    topics = [{"topic": topic} for topic in exempt_topics]
    _write(_path(settings, "exempt_topics"), EXPORTS["exempt_topics"], topics)
    _write(_path(settings, "allow_list"), EXPORTS["allow_list"], [{"entry": entry} for entry in allow_list])


def export_earlier_runs(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write which published runs are to be counted, with their topics, for a plan that leaves some out;
    returns the file."""
    _write(_path(settings, "earlier_runs"), EXPORTS["earlier_runs"], rows)
    return _path(settings, "earlier_runs")


def export_ledger_news(
    settings: Settings, *, stopped_runs: Iterable[str], messages: Iterable[Mapping[str, Any]]
) -> int:
    """Write what the ledger knows and the warehouse does not yet; returns how many messages.

    Args:
        stopped_runs: keys of the runs of which nothing more leaves.
        messages: with ``message_id``, ``run_key`` and ``state``, of runs that have no account yet: those that
            failed or were withheld; of the stopped ones those that left as well.
    """
    _write(
        _path(settings, "stopped_runs"), EXPORTS["stopped_runs"], [{"run_key": key} for key in stopped_runs]
    )
    return _write(_path(settings, "ledger_news"), EXPORTS["ledger_news"], messages)


def export_sending_runs(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write which decided runs have sent or will send from a domain that is warmed up; returns how many."""
    return _write(_path(settings, "sending_runs"), EXPORTS["sending_runs"], rows)


def export_opt_outs(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all opt-outs; returns how many."""
    return _write(_path(settings, "opt_outs"), EXPORTS["opt_outs"], rows)


def export_opt_ins(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write all opt-ins; returns how many."""
    return _write(_path(settings, "opt_ins"), EXPORTS["opt_ins"], rows)


def export_feedback(settings: Settings, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write the feedback that is kept, by position, in place of what was written before: what is known of a
    hit's machine may have changed. Returns how many. From then on :func:`feedback_due` tells of it."""
    return _write(_path(settings, "feedback"), EXPORTS["feedback"], rows)


def feedback_due(settings: Settings) -> int | None:
    """The last position of the feedback that is exported; None when it is recorded, or there is none."""
    import pyarrow.parquet as pq

    path = _path(settings, "feedback")
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
    return _write(_path(settings, "suppressions"), EXPORTS["suppressions"], rows)


def export_ledger(settings: Settings, run_key: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write one run's ledger as it stands now, in place of what was written before; returns how many
    lines. All rows carry the same ``exported_at``.
    """
    return _write(ledger_path(settings, run_key), EXPORTS["ledger"], rows)


def ledger_path(settings: Settings, run_key: str) -> Path:
    """Where the run's ledger is exported to."""
    return _path(settings, run_key, folder="ledger")


def export_journey_day(
    settings: Settings, key: str, rows: Iterable[Mapping[str, Any]], *, exported_at: datetime
) -> int:
    """Write the messages of one day of a journey as they stand now, in place of what was written before;
    returns how many. From then on :func:`journey_days_due` names the day.

    Args:
        key: of ``spec.keys.account_key``; every row carries it as ``run_key``, and the same ``exported_at``.
    """
    count = _write(journey_day_path(settings, key), EXPORTS["journey_messages"], rows)
    write_text(_due(settings) / key, exported_at.isoformat())
    return count


def journey_day_path(settings: Settings, key: str) -> Path:
    """Where one day of a journey's messages is exported to."""
    return _path(settings, key, folder=_OWN_FOLDER["journey_messages"])


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

    _write(_path(settings, _NO_LEDGER, folder="journeys"), EXPORTS["journey_messages"], rows())


def _as_instant(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _due(settings: Settings) -> Path:
    return settings.exports / "journeys_due"


def ledger_exports(settings: Settings) -> list[tuple[str, Path]]:
    """(run key, file) of every exported ledger."""
    folder = settings.exports / "ledger"
    return sorted((path.stem, path) for path in folder.glob("*.parquet") if path.stem != _NO_LEDGER)


def open_run_keys(settings: Settings) -> list[str]:
    """The runs that were exported to be decided; those that are only looked ahead to are not."""
    import pyarrow.parquet as pq

    path = _path(settings, "runs")
    if not path.exists():
        return []
    rows = pq.read_table(path, columns=["run_key", "is_ahead"]).to_pylist()
    return [row["run_key"] for row in rows if not row["is_ahead"]]


def _has_all(path: Path, columns: Columns) -> bool:
    import pyarrow.parquet as pq

    return set(columns) <= set(pq.read_schema(path).names)


def _path(settings: Settings, name: str, *, folder: str | None = None) -> Path:
    # Not with_suffix: a run key with microseconds has a dot of its own.
    return settings.exports / (folder or "") / f"{name}.parquet"


def _write(path: Path, columns: Columns, rows: Iterable[Mapping[str, Any]]) -> int:
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
