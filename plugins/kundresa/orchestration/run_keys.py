"""Which run a DAG run carries out: one rule for cron, asset, manual and backfill runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from kundresa.spec.keys import run_key
from kundresa.spec.vocabulary import Trigger

AS_OF = "as_of"
"""In the extra of an asset event: the instant that the publication stands for, ISO 8601 in UTC."""

_TRIGGERS = {
    "scheduled": Trigger.SCHEDULED,
    "asset_triggered": Trigger.ASSET,
    "asset_materialization": Trigger.MANUAL,
    "manual": Trigger.MANUAL,
    "operator_triggered": Trigger.MANUAL,
    "backfill": Trigger.BACKFILL,
}
"""Every run type of Airflow 3.3; a person who materialises an asset by hand starts a run by hand."""


class DagRunTimes(Protocol):
    """What this module reads of a DAG run; Airflow's own and the task's view of it both have it."""

    @property
    def run_type(self) -> str: ...
    @property
    def logical_date(self) -> datetime | None: ...
    @property
    def run_after(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """The run of a campaign that a DAG run carries out."""

    run_key: str
    logical_at: datetime
    """UTC."""
    trigger: Trigger


def logical_instant(dag_run: DagRunTimes) -> datetime:
    """The instant that a DAG run stands for, in UTC: its logical date if it has one, else the time
    after which it may run.

    Asset-triggered runs have no logical date, and neither has a manual run that was given none.
    An asset-triggered run stands for the publication that woke it, as its event says: when somebody
    clears the publishing task, the event comes again, and must not be a new run of every campaign.
    The values are set when the run is created and stay through retries, clears and backfills of
    the same date; a start date would not.
    """
    if (published := _published_as_of(dag_run)) is not None:
        return published
    instant = dag_run.logical_date if dag_run.logical_date is not None else dag_run.run_after
    # Through text, so that a pendulum instant becomes a plain one with its microseconds.
    return datetime.fromisoformat(instant.astimezone(UTC).isoformat())


def _published_as_of(dag_run: DagRunTimes) -> datetime | None:
    """The latest ``as_of`` among the events that an asset-triggered run consumed."""
    if getattr(dag_run.run_type, "value", dag_run.run_type) != "asset_triggered":
        return None
    events = getattr(dag_run, "consumed_asset_events", None) or ()
    instants = [
        datetime.fromisoformat(str(event.extra[AS_OF])) for event in events if AS_OF in (event.extra or {})
    ]
    return max(instants, default=None)


def identify(campaign: str, dag_run: DagRunTimes) -> RunIdentity:
    """The one way from a DAG run to a run key.

    Raises:
        KeyError: for a run type that Airflow 3.3 does not have.
    """
    logical_at = logical_instant(dag_run)
    trigger = _TRIGGERS[getattr(dag_run.run_type, "value", dag_run.run_type)]
    return RunIdentity(run_key(campaign, logical_at), logical_at, trigger)
