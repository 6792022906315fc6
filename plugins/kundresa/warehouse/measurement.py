"""Bringing what the ledger knows into the warehouse, and publishing the account."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kundresa.settings import Settings
from kundresa.warehouse.dbt import Dbt, DbtResult, Progress
from kundresa.warehouse.exports import (
    earlier_journey_days,
    ensure_exports,
    feedback_due,
    feedback_recorded,
    journey_day_recorded,
    journey_days_due,
    ledger_exports,
)
from kundresa.warehouse.files import partial_folder, settle
from kundresa.warehouse.workspace import decide_workspace

_MEASURE = (
    *("build", "--select", "tag:measure"),
    *("--exclude", "tag:whole_history"),
    *("--exclude-resource-type", "unit_test"),
)
_WHOLE = ("account_summary", "campaign_performance", "journey_performance")
_PER_RUN = ("deliveries", "account_lines")
CAPS_REACH = timedelta(days=2 * 366 + 1)
"""The longest cap, beside the longest time that a message may wait, and the day itself."""
_PER_JOURNEY_DAY = (*_PER_RUN, "journey_messages")


def record(settings: Settings, run_keys: Iterable[str], *, progress: Progress | None = None) -> DbtResult:
    """Take every export with news, the feedback's too, into the measurement models, and publish these runs'
    lines, those of the days of journeys that have news, and the summaries. Each published file is replaced in
    one rename; recording twice changes nothing.

    Raises:
        DbtFailed: when a model or test failed; what is published stays then.
    """
    keys = list(dict.fromkeys(run_keys))
    ensure_exports(settings)
    dbt = Dbt(decide_workspace(settings))
    with dbt.locked(progress), partial_folder(settings, "measurement") as folder:
        due = journey_days_due(settings)  # before dbt reads them: what is exported meanwhile stays due
        position = feedback_due(settings)
        for name in (*_WHOLE, *_PER_JOURNEY_DAY):
            (folder / name).mkdir()
        arguments = json.dumps({"run_keys": keys, "journey_days": sorted(due), "target_dir": str(folder)})
        publish = ("run-operation", "publish_measurement", "--args", arguments)
        result = dbt.invoke([_MEASURE, publish], progress=progress)
        settle(folder)
        # Lines before summaries: who reads a sum can find its lines.
        for name in (*_PER_JOURNEY_DAY, *_WHOLE):
            for file in sorted((folder / name).iterdir()):
                target = measurement_folder(settings) / name / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
        _remove_days(settings)
        for key, export in due.items():
            journey_day_recorded(settings, key, export)
        if position is not None:
            feedback_recorded(settings, position)
    return result


def _remove_days(settings: Settings) -> None:
    """An older release published the performance of journeys a day at a time."""
    name = "journey_performance"
    for path in (measurement_folder(settings) / name).glob("*.parquet"):
        if path.stem != name:
            path.unlink()


def prune_exports(settings: Settings, before: datetime) -> int:
    """Remove the exports that were made before an instant and are recorded as they are; returns how
    many went. One that is not recorded stays, however old: it is the only way into the warehouse. Days of
    journeys stay two years longer: as far as a cap may reach back.
    """
    removed = 0
    for path in earlier_journey_days(settings, before - CAPS_REACH):
        path.unlink()
        removed += 1
    for run_key, path in ledger_exports(settings):
        exported = _state(path)
        recorded = delivered_path(settings, run_key)
        made_at = exported[1] or datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
        if made_at < before and recorded.exists() and _state(recorded) == exported:
            path.unlink()
            removed += 1
    return removed


def measurement_folder(settings: Settings) -> Path:
    """Where the measurement marts are published."""
    return settings.published / "measurement"


def delivered_path(settings: Settings, run_key: str) -> Path:
    """Where the run's deliveries are published."""
    return measurement_folder(settings) / "deliveries" / f"{run_key}.parquet"


def _state(path: Path) -> tuple[int, datetime | None]:
    """Rows of a ledger file, and the instant that they were exported at; None without rows."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        instants = list(_exported(file))
        return file.metadata.num_rows, max(instants, default=None)


def _exported(file: object) -> Iterator[datetime]:
    """The last instant of each row group, which is the same in all of a run."""
    import pyarrow.compute as pc

    for batch in file.iter_batches(columns=["exported_at"]):  # type: ignore[attr-defined]
        if batch.num_rows:
            yield pc.max(batch.column(0)).as_py().replace(tzinfo=UTC)
