"""The DAG that reads what came back by mail, and what printers tell of letters."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

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

It also reads the result files that printers have put into `KUNDRESA_PRINT_RESULTS` (a folder that the
workers see, or one file) since it last did. An address that letters come back from is suppressed for direct
mail. A row that cannot be understood fails the task, once the others are recorded: it is named in the log by
file and line, and told again when its file has changed. Skipped when no place is set.
"""


def build_feedback_dag(settings: Settings) -> DAG:
    """Two tasks, of which neither waits for the other. No backfill: what is there is read as it is."""
    with DAG(
        dag_id="feedback",
        dag_display_name="Feedback",
        description="Bounces and complaints from the mailbox, printers' results",
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
        ReadPrintResults(task_id="read_print_results")
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


class ReadPrintResults(BaseOperator):
    """Reads the result files of printers that are new or have changed."""

    ui_color = "#eceff1"

    def execute(self, context: Context) -> dict[str, Any]:  # noqa: ARG002  Airflow's signature
        from kundresa.feedback.print_results import ResultFileError
        from kundresa.runs.print_results import read_new_print_results

        settings = installation.load()
        if settings.print_results is None:
            raise AirflowSkipException("KUNDRESA_PRINT_RESULTS is not set; nothing is read")
        with final_failures():
            try:
                results = read_new_print_results(settings, settings.print_results)
            except ResultFileError as error:
                raise AirflowFailException(str(error)) from error
        for run_key, count in results.without_result.items():
            log.info("%s: %s letters without a result", run_key, f"{count:,}")
        for each in results.problems:
            log.error("%s:%s: %s", each.file, each.line, each.problem)
        if results.problems:
            first = results.problems[0]
            raise AirflowFailException(
                f"{len(results.problems):,} rows or files were left out, first {first.file}:{first.line}: "
                f"{first.problem}; {results.new:,} results are recorded"
            )
        return {"files": results.files, "new": results.new, **results.counts}
