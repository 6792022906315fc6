"""The DAG of one journey: a single task that moves everybody and sends what that comes to, and a picture of
the steps."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    DAG,
    AssetOrTimeSchedule,
    BaseOperator,
    BaseOperatorLink,
    Context,
    CronTriggerTimetable,
)
from airflow.sdk.exceptions import AirflowSkipException

from kundresa import settings as installation
from kundresa.orchestration.accounts import sender_account
from kundresa.orchestration.assets import journey_asset, segments_asset
from kundresa.orchestration.defaults import TAG, default_args
from kundresa.orchestration.journey_documents import journey_document
from kundresa.orchestration.journey_picture import picture_steps
from kundresa.orchestration.links import JourneyLink
from kundresa.orchestration.operators import final_failures, worker_name
from kundresa.orchestration.pausing import NotPaused
from kundresa.orchestration.pools import JOURNEYS
from kundresa.settings import Settings
from kundresa.spec.journey import Journey, SegmentEntry, SegmentExit

log = logging.getLogger(__name__)

PREFIX = "journey_"
STAY = timedelta(seconds=25)
"""How long a run goes on as things happen: a task start costs some seconds, so a busy journey is not started
anew for each event."""
IDLE = timedelta(seconds=5)
"""After so long without anything to do the slot is given back; the triggerer looks on."""
NOW_AND_THEN = "*/15 * * * *"
"""A run without being told, should the triggerer be down."""


def build_journey_dag(journey: Journey, settings: Settings) -> DAG:
    """One task, and the steps as a picture. It is told by the triggerer that there is something to do; where
    the journey looks at segments, by each publication too."""
    due = journey_asset(journey.name)
    looks_at_segments = isinstance(journey.entry, SegmentEntry) or any(
        isinstance(each, SegmentExit) for each in journey.exit
    )
    with DAG(
        dag_id=PREFIX + journey.name,
        dag_display_name=f"Journey · {journey.name}",
        description=journey.description.splitlines()[0],
        doc_md=journey_document(journey),
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(NOW_AND_THEN, timezone="UTC"),
            assets=due | segments_asset() if looks_at_segments else due,
        ),
        catchup=False,
        is_paused_upon_creation=True,
        # Two would only get in each other's way: what one has moved the other leaves alone.
        max_active_runs=1,
        default_args=default_args(settings, owner=journey.owner),
        tags=_tags(journey),
    ) as dag:
        AdvanceJourney(task_id="advance", journey=journey.name, pool=JOURNEYS)
        picture_steps(journey)
    return dag


class AdvanceJourney(BaseOperator):
    """Moves everybody in a journey who can move, and sends what that comes to."""

    ui_color = "#ede7f6"
    operator_extra_links: Collection[BaseOperatorLink] = (JourneyLink(),)

    def __init__(self, *, journey: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.journey = journey

    def execute(self, context: Context) -> dict[str, Any]:
        from kundresa.runs.journeys import run_journey
        from kundresa.store import JourneyNotFound

        with final_failures():
            try:
                done = run_journey(
                    installation.load(),
                    self.journey,
                    owner=worker_name(context),
                    account_of=sender_account,
                    stay=STAY,
                    idle=IDLE,
                    may_go_on=NotPaused(context),
                )
            except JourneyNotFound:
                message = f"{self.journey} was never started: kundresa journey start {self.journey}"
                raise AirflowSkipException(message) from None
        for what, count in asdict(done).items():
            log.info("%s: %s", what, count)
        return {
            name: str(value) if name in ("state", "next_at") else value
            for name, value in asdict(done).items()
        }


def _tags(journey: Journey) -> list[str]:
    channels = sorted({f"channel:{step.channel.kind}" for step in journey.messages.values()})
    return [TAG, "journey", *channels, f"topic:{journey.topic}"]
