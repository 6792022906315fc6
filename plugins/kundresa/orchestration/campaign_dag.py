"""The DAG of one campaign."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NoReturn

from airflow.sdk import DAG, CronTriggerTimetable, TaskGroup, task
from airflow.sdk.exceptions import AirflowFailException

from kundresa.orchestration import operators
from kundresa.orchestration.assets import campaign_asset, segments_asset
from kundresa.orchestration.defaults import TAG, default_args
from kundresa.orchestration.documents import campaign_document, quarantine_document
from kundresa.orchestration.pools import WAREHOUSE
from kundresa.settings import Settings
from kundresa.spec.campaign import AssetSchedule, Campaign, CronSchedule
from kundresa.spec.problems import SpecError

PREFIX = "campaign_"
QUARANTINE_TAG = "spec:invalid"
MAX_ACTIVE_RUNS = 16
"""Not 1: a run whose messages wait for a receiving server stays active up to its validity (84 h by
default), and the next day's run must not queue behind it until it expires itself. Runs do not disturb
each other: the warehouse pool serialises deciding, a batch has one owner at a time."""
FIRST_RUN_WITHIN = timedelta(minutes=10)
"""Unpausing sends nothing for a date that passed longer ago. Not 0: between the tick and the run, a
parse of the file would move the first run to the next tick."""
BATCH_LABEL = "{{ task.channel }} · batch {{ task.batch_number }} · {{ '{:,}'.format(task.messages) }}"


def build_campaign_dag(campaign: Campaign, settings: Settings) -> DAG:
    """open → decide → check → per channel (batches → deliver, mapped) → record → reconcile → report.

    The last three run whatever happened before: a failed gate, a refused account or an empty batch list
    leaves an account too.
    """
    with DAG(
        dag_id=PREFIX + campaign.name,
        dag_display_name=f"Campaign · {campaign.name}",
        description=campaign.description.splitlines()[0],
        doc_md=campaign_document(campaign),
        schedule=_schedule(campaign),
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=MAX_ACTIVE_RUNS,
        default_args=default_args(settings, owner=campaign.owner),
        tags=_tags(campaign),
    ) as dag:
        name: dict[str, Any] = {"campaign": campaign.name}
        opened = operators.OpenRun(task_id="open", **name)
        decided = operators.DecideRun(task_id="decide", pool=WAREHOUSE, **name)
        checked = operators.CheckRun(task_id="check", **name)
        record = operators.RecordRun(task_id="record", pool=WAREHOUSE, trigger_rule="all_done", **name)
        reconcile = operators.ReconcileRun(task_id="reconcile", trigger_rule="all_done", **name)
        report = operators.ReportRun(
            task_id="report", trigger_rule="all_done", outlets=[campaign_asset(campaign.name)], **name
        )
        opened >> decided >> checked
        for channel in campaign.channels:
            checked >> _channel_group(campaign.name, channel.kind) >> record
        record >> reconcile >> report
    return dag


def build_quarantine_dag(dag_id: str, folder: str, error: SpecError, kind: str = "campaign") -> DAG:
    """Stands in for a campaign, or a journey, whose spec is not valid: never runs by itself, says what is
    wrong, and says it again as a failed task when somebody triggers it."""
    with DAG(
        dag_id=dag_id,
        dag_display_name=f"{kind.capitalize()} · {folder} (spec not valid)",
        description="The spec is not valid; nothing is sent.",
        doc_md=quarantine_document(folder, error, kind),
        schedule=None,
        catchup=False,
        is_paused_upon_creation=True,
        tags=[TAG, kind, QUARANTINE_TAG],
    ) as dag:
        message = str(error)

        @task(task_id="spec_is_not_valid", retries=0)
        def fail() -> NoReturn:
            raise AirflowFailException(message)

        fail()
    return dag


def _channel_group(campaign: str, channel: str) -> TaskGroup:
    with TaskGroup(group_id=channel, tooltip=f"Everybody who is reached by {channel}") as group:
        batches = operators.PlanBatches(task_id="batches", campaign=campaign, channel=channel)
        operators.DeliverBatch.partial(
            task_id="deliver",
            campaign=campaign,
            channel=channel,
            pool=channel,
            map_index_template=BATCH_LABEL,
        ).expand_kwargs(batches.output)
    return group


def _schedule(campaign: Campaign) -> Any:
    if isinstance(campaign.schedule, CronSchedule):
        return CronTriggerTimetable(
            campaign.schedule.cron,
            timezone=campaign.schedule.time_zone,
            run_immediately=FIRST_RUN_WITHIN,
        )
    return [segments_asset()] if isinstance(campaign.schedule, AssetSchedule) else None


def _tags(campaign: Campaign) -> list[str]:
    channels = [f"channel:{channel.kind}" for channel in campaign.channels]
    return [TAG, "campaign", *channels, f"topic:{campaign.topic}"]
