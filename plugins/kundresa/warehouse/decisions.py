"""Deciding runs, once, and publishing what was decided."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kundresa.settings import Settings
from kundresa.spec.vocabulary import Consent
from kundresa.warehouse.build import current_build
from kundresa.warehouse.dbt import Command, Dbt, DbtResult, Progress
from kundresa.warehouse.exports import ensure_exports
from kundresa.warehouse.files import partial_folder, settle, write_text
from kundresa.warehouse.open_runs import export_open_runs, open_run_keys
from kundresa.warehouse.published import run_folder
from kundresa.warehouse.workspace import decide_workspace

# The tests of the open runs' lines stand before the record; those of the whole history are left out,
# so that deciding costs what the open runs cost (see models/decisions/_decisions__models.yml).
DECIDE = (
    *("build", "--select", "tag:decide"),
    *("--exclude", "tag:whole_history"),
    *("--exclude-resource-type", "unit_test"),
)

# The runs whose lines are recorded and which themselves are not, after a crash between the two models.
_RECORD = ("run", "--select", "stg_operations__runs", "decided_runs")


@dataclass(frozen=True, slots=True)
class DecidedRun:
    """A published run. ``decided_at`` is the instant that its lines were decided for, which is an
    earlier one than asked for when a crash came between deciding and publishing. ``consent`` is what its
    topic needed then."""

    run_key: str
    decided_at: datetime
    lines_count: int
    send_count: int
    consent: Consent = Consent.YES


@dataclass(frozen=True, slots=True)
class DecideResult:
    """The runs that were asked for; ``dbt`` is None when all were published before."""

    runs: tuple[DecidedRun, ...]
    dbt: DbtResult | None


def decide(settings: Settings, run_keys: Iterable[str], *, progress: Progress | None = None) -> DecideResult:
    """Decide all exported runs together, on the marts that are published now, and publish each in one
    rename. What was decided before stays as it is; what was decided but not published, is published, and
    before anything new is decided: what a run holds of people's allowance is read from its publication.
    Who exports runs calls :func:`publish_recorded` before that.

    Raises:
        DbtFailed: when a model, or a test of the new lines, failed; the record is untouched then. Also
            for a run that was neither exported nor decided.
        NothingPublished: before the first build.
    """
    wanted = tuple(dict.fromkeys(run_keys))
    result = None
    dbt = Dbt(decide_workspace(settings))
    if any(not is_published(settings, key) for key in wanted):
        ensure_exports(settings)
        with dbt.locked(progress):
            _finish_record(settings, dbt, progress)
            due = _unpublished(settings, (*wanted, *open_run_keys(settings)))
            if due:
                build = current_build(settings)
                with partial_folder(settings, "decisions") as folder:
                    commands = [use_published(build.path), DECIDE, *_publications(due, folder)]
                    # Until all are published, whoever comes next has to look what was recorded.
                    write_text(_marker(settings), json.dumps(due))
                    result = dbt.invoke(commands, progress=progress)
                    settle(folder)
                    for key in due:
                        _publish(settings, key, folder / key)
                _marker(settings).unlink()
    return DecideResult(tuple(read_run(settings, key) for key in wanted), result)


def publish_recorded(settings: Settings, *, progress: Progress | None = None) -> tuple[DecidedRun, ...]:
    """Publish the runs that an interrupted pass has recorded and not published; returns them. To be called
    before other runs are exported: what the record lacks is made up from the exports of that pass.

    Raises:
        DbtFailed: when they cannot be written; nothing new may be decided then.
    """
    if not _marker(settings).exists():
        return ()
    dbt = Dbt(decide_workspace(settings))
    with dbt.locked(progress):
        return tuple(read_run(settings, key) for key in _finish_record(settings, dbt, progress))


def _finish_record(settings: Settings, dbt: Dbt, progress: Progress | None) -> list[str]:
    """The runs that are published now, of those that an interrupted pass was at. The lock is held."""
    marker = _marker(settings)
    if not marker.exists():
        return []
    due = _unpublished(settings, json.loads(marker.read_text(encoding="utf-8")))
    published = []
    if due:
        build = current_build(settings)
        with partial_folder(settings, "decisions") as folder:
            commands = [use_published(build.path), _RECORD, *_publications(due, folder, only_recorded=True)]
            dbt.invoke(commands, variables={"only_recorded": True}, progress=progress)
            settle(folder)
            published = [key for key in due if (folder / key / "run.parquet").exists()]
            for key in published:
                _publish(settings, key, folder / key)
    marker.unlink()
    return published


def prepare_decisions(settings: Settings, *, progress: Progress | None = None) -> None:
    """Make the decision models without a run in them, where no run was ever decided: measurement reads them.
    No decision may be under way.

    Raises:
        NothingPublished: before the first build.
        DbtFailed: when a model failed.
    """
    if any((settings.published / "runs").glob("*/run.parquet")):
        return
    publish_recorded(settings, progress=progress)
    export_open_runs(settings, ())
    ensure_exports(settings)
    dbt = Dbt(decide_workspace(settings))
    with dbt.locked(progress):
        dbt.invoke([use_published(current_build(settings).path), DECIDE], progress=progress)


def check_history(settings: Settings, *, progress: Progress | None = None) -> DbtResult:
    """Test every line that was ever decided or delivered; as slow as the history is long.

    Raises:
        DbtFailed: naming the tests.
    """
    command = ("test", "--select", "tag:whole_history", "--exclude-resource-type", "unit_test")
    return Dbt(decide_workspace(settings)).invoke([command], progress=progress)


def is_published(settings: Settings, run_key: str) -> bool:
    """Whether the run's decisions can be read."""
    return (run_folder(settings, run_key) / "decisions").is_dir()


def decided_at(settings: Settings, run_key: str) -> datetime:
    """The instant that a published run was decided for."""
    return read_run(settings, run_key).decided_at


def read_run(settings: Settings, run_key: str) -> DecidedRun:
    """The published run's own line."""
    import pyarrow.parquet as pq

    row = pq.read_table(run_folder(settings, run_key) / "run.parquet").to_pylist()[0]
    decided_at = row["decided_at"].replace(tzinfo=UTC)
    # Runs of before topics had a policy have no such column, or no value there.
    consent = Consent(row.get("consent") or Consent.YES)
    return DecidedRun(row["run_key"], decided_at, row["lines_count"], row["send_count"], consent)


def use_published(build: Path, *, as_of: datetime | None = None) -> Command:
    """The command that lets a publication stand for the marts of the workspace; with ``as_of`` as they
    were then, from the histories in it. One of before a mart was added lets the others stand."""
    marts = sorted(each.parent.name for each in build.glob("*/*.parquet"))
    arguments: dict[str, object] = {"build_dir": str(build), "marts": list(dict.fromkeys(marts))}
    if as_of is not None:
        arguments["as_of"] = as_of.astimezone(UTC).replace(tzinfo=None).isoformat(" ")
    return ("run-operation", "use_published", "--args", json.dumps(arguments))


def publish_run(run_key: str, folder: Path, *, only_recorded: bool = False) -> Command:
    """The command that writes one run's files into a folder, which is made here. It fails when the run is
    not decided; with ``only_recorded`` it writes nothing then."""
    for part in ("decisions", "batches"):
        (folder / part).mkdir(parents=True)
    arguments = {"run_key": run_key, "target_dir": str(folder), "only_recorded": only_recorded}
    return ("run-operation", "publish_run", "--args", json.dumps(arguments))


def _unpublished(settings: Settings, run_keys: Sequence[str]) -> list[str]:
    return [key for key in dict.fromkeys(run_keys) if not is_published(settings, key)]


def _publications(run_keys: Sequence[str], folder: Path, *, only_recorded: bool = False) -> list[Command]:
    return [publish_run(key, folder / key, only_recorded=only_recorded) for key in run_keys]


def _marker(settings: Settings) -> Path:
    """There while runs may be recorded that are not published; it holds their keys."""
    return decide_workspace(settings).database.with_name("unpublished.json")


def _publish(settings: Settings, run_key: str, folder: Path) -> None:
    target = run_folder(settings, run_key)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(target)
