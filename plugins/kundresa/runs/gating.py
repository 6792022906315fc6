"""Checking a decided run before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

from kundresa import quality
from kundresa.content import template_columns
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw
from kundresa.spec.vocabulary import CloseReason, RunState
from kundresa.store import Run, Store, open_store


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What the gate said. ``data_docs`` is the path of its page, empty when it did not have to look."""

    ok: bool
    summary: str
    data_docs: str


def check_run(settings: Settings, run_key: str, *, clock: Clock = utc_now) -> GateOutcome:
    """Hold the run's decisions, and the profiles they read, against the campaign's thresholds.

    Passed: the run may be delivered. Failed: the run is closed, and delivery withholds every message; asked
    again, the gate fails again, as a task that was killed between closing and failing must.

    Raises:
        RunNotFound: for a key that was never opened.
        GateFailed: when a blocking check fails; the text lists the checks, counts and masked samples.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        refused = run.close_reason is CloseReason.QUALITY_GATE_FAILED
        if run.state is not RunState.DECIDED and not refused:
            return GateOutcome(True, f"{run_key} is {run.state}; nothing to check", "")
        spec, templates = thaw(run.spec_json)
        report = quality.check_run(
            settings,
            run_key,
            spec,
            previous=_previous(store, run),
            template_columns=template_columns(spec, templates),
        )
        if report.ok and not refused:
            store.runs.mark_checked(run_key)
            return GateOutcome(True, report.summary(), str(report.data_docs or ""))
        store.runs.close(run_key, CloseReason.QUALITY_GATE_FAILED, detail=report.failures_line(), at=clock())
        raise quality.GateFailed(report)


def _previous(store: Store, run: Run) -> quality.PreviousRun | None:
    """The last completed run of the campaign before this one, as its account tells it."""
    for earlier in store.runs.list(campaign=run.campaign, state=RunState.CLOSED, limit=50):
        if earlier.close_reason is CloseReason.COMPLETED and earlier.logical_at < run.logical_at:
            account = earlier.account or {}
            decided = sum(part["decided_send"] for part in account.get("channels", {}).values())
            return quality.PreviousRun(run_key=earlier.run_key, send_count=decided)
    return None
