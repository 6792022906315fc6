"""The DAG that turns source files into published segments and profiles."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from typing import Any

from airflow.sdk import DAG, BaseOperator, BaseOperatorLink, Context, CronTriggerTimetable, Param

from kundresa import settings as installation
from kundresa.orchestration.assets import segments_asset
from kundresa.orchestration.defaults import SCHEDULED_OR_MANUAL, TAG, default_args
from kundresa.orchestration.links import DataDocsLink
from kundresa.orchestration.operators import final_failures
from kundresa.orchestration.pools import WAREHOUSE
from kundresa.orchestration.run_keys import AS_OF, logical_instant
from kundresa.settings import Settings

log = logging.getLogger(__name__)

ACCEPT_SEGMENTS = "accept_segments"

DOCUMENT = """
Builds profiles, consents and segments from the source files, checks them, and publishes them all at once.

* **check_sources**: the files are there, with the columns, types and keys that staging reads.
* **build**: `dbt build`: models, unit tests and data tests, and a candidate publication.
* **check_marts**: the candidate against the last publication.
* **publish**: the candidate becomes current; campaigns that wait for new segments start.
* **record_journeys**: what became of journeys' messages is brought into the account, and what came back about
  any message into the performance of campaigns and journeys.

A segment whose size jumps beyond its bounds stays at its last good state, and campaigns that name it stop.
When the new state is right, trigger this DAG with its name in **accept_segments**.

When a step fails, campaigns go on using the last good publication.
"""


def build_warehouse_dag(settings: Settings) -> DAG:
    """check_sources → build → check_marts → publish → record_journeys.

    No backfill: the source files hold what is known today, so a build "as of" a past date would publish
    a mixture, and older segments over newer ones.
    """
    with DAG(
        dag_id="warehouse",
        dag_display_name="Warehouse",
        description="Source files to published segments and profiles",
        doc_md=DOCUMENT,
        schedule=CronTriggerTimetable(settings.warehouse_schedule, timezone="UTC"),
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=1,
        allowed_run_types=SCHEDULED_OR_MANUAL,
        default_args=default_args(settings, owner="kundresa"),
        tags=[TAG, "warehouse"],
        params={
            ACCEPT_SEGMENTS: Param(
                default=[],
                type="array",
                items={"type": "string"},
                title="Segments to accept",
                description="Taken into use although they are out of their bounds, one name per line.",
            )
        },
    ) as dag:
        sources = CheckSources(task_id="check_sources")
        build = BuildWarehouse(task_id="build", pool=WAREHOUSE)
        marts = CheckMarts(task_id="check_marts")
        publish = Publish(task_id="publish", outlets=[segments_asset()])
        journeys = RecordJourneys(task_id="record_journeys", pool=WAREHOUSE)
        sources >> build >> marts >> publish >> journeys
    return dag


class WarehouseOperator(BaseOperator):
    """One step of the warehouse's build."""

    data_docs_page = "index.html"

    def execute(self, context: Context) -> Any:
        with final_failures():
            return self.step(installation.load(), context)

    def step(self, settings: Settings, context: Context) -> Any:
        """What this task does; what it returns becomes its XCom."""
        raise NotImplementedError

    def tell(self, settings: Settings, outcome: Any) -> str:
        """Log what a gate said and remember its page for the link."""
        if outcome.data_docs:
            self.data_docs_page = os.path.relpath(outcome.data_docs, settings.data_docs)
        log.info(outcome.summary)
        return str(outcome.summary)

    @staticmethod
    def build_id(context: Context) -> str:
        """The candidate that this run's ``build`` task made."""
        return str(context["ti"].xcom_pull(task_ids="build"))


class CheckSources(WarehouseOperator):
    """Refuses source files that staging could not read rightly."""

    ui_color = "#fff8e1"
    operator_extra_links: Collection[BaseOperatorLink] = (DataDocsLink(),)

    def step(self, settings: Settings, context: Context) -> str:  # noqa: ARG002
        from kundresa.runs.stages import check_sources

        return self.tell(settings, check_sources(settings))


class BuildWarehouse(WarehouseOperator):
    """Runs dbt; returns the id of the candidate publication."""

    ui_color = "#e8f5e9"

    def step(self, settings: Settings, context: Context) -> str:
        from kundresa.runs.stages import build_warehouse

        return build_warehouse(
            settings,
            as_of=logical_instant(context["dag_run"]),
            accepted_segments=tuple(context["params"][ACCEPT_SEGMENTS]),
            progress=log.info,
        )


class CheckMarts(WarehouseOperator):
    """Refuses a candidate that differs from the last publication beyond the bounds."""

    ui_color = "#fff8e1"
    operator_extra_links: Collection[BaseOperatorLink] = (DataDocsLink(),)

    def step(self, settings: Settings, context: Context) -> str:
        from kundresa.runs.stages import check_marts

        return self.tell(settings, check_marts(settings, self.build_id(context)))


class Publish(WarehouseOperator):
    """Makes the candidate current; emits the segments' asset."""

    ui_color = "#e3f2fd"

    def step(self, settings: Settings, context: Context) -> str:
        from kundresa.runs.stages import promote

        build_id = self.build_id(context)
        promote(settings, build_id)
        log.info("%s is current", build_id)
        # A cleared task says the same again: see run_keys.logical_instant.
        as_of = logical_instant(context["dag_run"]).isoformat()
        context["outlet_events"][segments_asset()].extra = {AS_OF: as_of}
        return build_id


class RecordJourneys(WarehouseOperator):
    """Brings the news about journeys' messages, and the feedback about any, into the measurement marts;
    returns how many days of journeys had some."""

    ui_color = "#ede7f6"

    def step(self, settings: Settings, context: Context) -> int:  # noqa: ARG002
        from kundresa.runs.journey_accounts import record_journeys

        days = record_journeys(settings)
        log.info("%s days of journeys had news", days)
        return days
