"""The stages as Airflow's tasks and the command line call them: one function each, all repeatable."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from kundresa import quality, warehouse
from kundresa.runs.accounting import reconcile_run, record_run, report_run
from kundresa.runs.deciding import decide_run
from kundresa.runs.delivering import deliver, plan_batches
from kundresa.runs.gating import GateOutcome, check_run
from kundresa.runs.lateness import BatchWatch, warn_expected
from kundresa.runs.maintaining import apply_retention
from kundresa.runs.maintaining import cancel_run as _cancel_run
from kundresa.runs.opening import Clock, OpenedRun, open_run, utc_now
from kundresa.runs.stopping import resume_run, stop_run
from kundresa.settings import Settings
from kundresa.spec.channels import Channel
from kundresa.spec.frozen import thaw
from kundresa.store import open_store

__all__ = [
    "BatchWatch",
    "GateOutcome",
    "OpenedRun",
    "apply_retention",
    "build_warehouse",
    "cancel_run",
    "check_marts",
    "check_run",
    "check_sources",
    "decide_run",
    "deliver",
    "open_run",
    "plan_batches",
    "promote",
    "reconcile_run",
    "record_run",
    "report_run",
    "resume_run",
    "run_channels",
    "stop_run",
    "warn_expected",
]


def check_sources(settings: Settings) -> GateOutcome:
    """Hold the source files against their contract.

    Raises:
        GateFailed: listing files, columns, lines and what was expected; nothing is built then.
    """
    tables = [
        quality.SourceTable(
            name=table.name,
            path=table.path,
            columns=tuple(quality.SourceColumn(name, data_type) for name, data_type in table.columns.items()),
            primary_key=(table.primary_key,),
            time=_source_time(table),
        )
        for table in warehouse.load_manifest(settings).source_tables("shop").values()
    ]
    return _outcome(quality.check_sources(settings, tables))


def _source_time(table: warehouse.SourceTable) -> quality.SourceTime | None:
    if not table.time_column:
        return None
    if table.missing_day not in ("", *quality.Severity):
        raise ValueError(
            f"meta.missing_day of the source {table.name} is {table.missing_day!r}; "
            f"it can be {' or '.join(quality.Severity)}"
        )
    return quality.SourceTime(
        column=table.time_column,
        missing_day=quality.Severity(table.missing_day) if table.missing_day else None,
        closed_days=frozenset(table.closed_days),
    )


def build_warehouse(
    settings: Settings,
    *,
    as_of: datetime | None = None,
    accepted_segments: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> str:
    """Build all models and write a candidate publication; returns its build id.

    Args:
        as_of: the instant that "now" means in the models; the clock when None.
        accepted_segments: those that are taken into use although they are out of their bounds.

    Raises:
        DbtFailed: naming the models and tests that failed.
    """
    with open_store(settings.store_url) as store:
        warehouse.ensure_exports(settings)
        warehouse.export_opt_outs(settings, store.opt_outs.rows())
        warehouse.export_suppressions(settings, store.suppressions.rows())
        warehouse.export_feedback(settings, store.feedback.all_rows())
        warehouse.export_journey_traits(settings, store.journey_positions.trait_rows())
    return warehouse.build_warehouse(
        settings, as_of=as_of, accepted_segments=accepted_segments, progress=progress
    ).build_id


def check_marts(settings: Settings, build_id: str) -> GateOutcome:
    """Hold a candidate publication against the last one.

    Raises:
        GateFailed: the last publication stays current then.
    """
    segments = warehouse.load_manifest(settings).segments()
    return _outcome(quality.check_marts(settings, build_id, segments=tuple(segments)))


def promote(settings: Settings, build_id: str) -> None:
    """Make a candidate the current publication, with the index that the public service answers from."""
    warehouse.write_people_index(settings, build_id)
    warehouse.promote(settings, build_id)


def run_channels(settings: Settings, run_key: str) -> tuple[Channel, ...]:
    """The channels of a run, as frozen when it was opened."""
    with open_store(settings.store_url) as store:
        return thaw(store.runs.require(run_key).spec_json)[0].channels


def cancel_run(settings: Settings, run_key: str, reason: str, *, clock: Clock = utc_now) -> None:
    """Close a run for good; what has not left is withheld."""
    _cancel_run(settings, run_key, reason, clock())


def _outcome(report: quality.GateReport) -> GateOutcome:
    if not report.ok:
        raise quality.GateFailed(report)
    return GateOutcome(True, report.summary(), str(report.data_docs or ""))
