"""The DAG that reads what came back by mail."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowSkipException

from kundresa import settings as installation
from kundresa.orchestration.defaults import SCHEDULED_OR_MANUAL, TAG, default_args
from kundresa.orchestration.operators import final_failures
from kundresa.settings import Settings

log = logging.getLogger(__name__)

DOCUMENT = """
Every ten minutes: reads the unseen mails of the bounce mailbox (`KUNDRESA_MAILBOX`: a Maildir, or
`imaps://user:password@host/folder`). A hard bounce or a complaint suppresses its address from that moment
on, soft bounces by the rule in `dags/policies.yaml`. Automatic replies are neither a bounce nor an opt-out.
Each mail counts once, whenever this is cleared or run again. Receipts of providers, opens and clicks come
by the public service (`kundresa serve`), not through here. Skipped when no mailbox is set.
"""


def build_feedback_dag(settings: Settings) -> DAG:
    """One task. No backfill: the mailbox is read as it is."""
    with DAG(
        dag_id="feedback",
        dag_display_name="Feedback",
        description="Bounces and complaints from the mailbox",
        doc_md=DOCUMENT,
        schedule=CronTriggerTimetable("*/10 * * * *", timezone="UTC"),
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=1,
        allowed_run_types=SCHEDULED_OR_MANUAL,
        default_args=default_args(settings, owner="kundresa"),
        tags=[TAG, "feedback"],
    ) as dag:
        ReadMailbox(task_id="read_mailbox")
    return dag


class ReadMailbox(BaseOperator):
    """Reads bounces and complaints, and suppresses what follows."""

    ui_color = "#eceff1"

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  Airflow's signature
        from kundresa.runs.feedback import read_mailbox

        settings = installation.load()
        if not settings.mailbox:
            raise AirflowSkipException("KUNDRESA_MAILBOX is not set; nothing is read")
        with final_failures():
            counts = read_mailbox(settings, settings.mailbox)
        for what, count in counts.items():
            log.info("%s: %s", what, f"{count:,}")
        return counts
