"""The DAG that removes what has been kept long enough."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException

from kundresa import settings as installation
from kundresa.orchestration.defaults import SCHEDULED_OR_MANUAL, TAG, default_args
from kundresa.orchestration.operators import final_failures
from kundresa.orchestration.pools import WAREHOUSE
from kundresa.orchestration.run_keys import logical_instant
from kundresa.settings import Settings

log = logging.getLogger(__name__)

DOCUMENT = """
Every night: ends runs whose validity is over and that nobody finished, and removes attempts, exports,
publications and validation results that are older than the retention settings (`KUNDRESA_RETENTION_DAYS`,
`KUNDRESA_PUBLISHED_BUILDS`). Messages and decisions are the account, and stay.
"""


def build_maintenance_dag(settings: Settings) -> DAG:
    """One task. No backfill: what was old on a past date is old today."""
    with DAG(
        dag_id="maintenance",
        dag_display_name="Maintenance",
        description="Ends overdue runs, applies the retention settings",
        doc_md=DOCUMENT,
        schedule=CronTriggerTimetable("30 1 * * *", timezone="UTC"),
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=1,
        allowed_run_types=SCHEDULED_OR_MANUAL,
        default_args=default_args(settings, owner="kundresa"),
        tags=[TAG, "maintenance"],
    ) as dag:
        ApplyRetention(task_id="apply_retention", pool=WAREHOUSE)
    return dag


class ApplyRetention(BaseOperator):
    """Ends overdue runs and removes what is past its retention."""

    ui_color = "#eceff1"

    def execute(self, context: Context) -> dict[str, Any]:
        from kundresa.runs.stages import apply_retention

        with final_failures():
            # A run triggered with a date to come must not end runs that are still valid.
            now = min(logical_instant(context["dag_run"]), datetime.now(tz=UTC))
            done = apply_retention(installation.load(), now)
        for what, count in done.items():
            log.info("%s: %s", what, f"{count:,}")
        if done.get("runs stuck"):
            raise AirflowFailException(
                f"{done['runs stuck']} runs are over without an account; see the log above"
            )
        return done
