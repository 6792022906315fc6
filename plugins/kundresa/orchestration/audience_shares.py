"""From the folders of ``dags/audience_shares`` to their DAGs: one task each, after every publication."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from airflow.sdk import DAG, BaseOperator, Context, get_parsing_context
from airflow.sdk.exceptions import AirflowSkipException

from kundresa import settings as installation
from kundresa.orchestration.accounts import sender_account
from kundresa.orchestration.assets import segments_asset
from kundresa.orchestration.campaign_dag import build_quarantine_dag
from kundresa.orchestration.defaults import TAG, default_args
from kundresa.orchestration.folders import folder_dag_id, wanted_folders
from kundresa.orchestration.operators import final_failures, worker_name
from kundresa.orchestration.pausing import NotPaused
from kundresa.settings import Settings
from kundresa.spec.audience_share import AudienceShare, audience_share_names, load_audience_share
from kundresa.spec.problems import SpecError

log = logging.getLogger(__name__)

PREFIX = "share_"


def audience_share_dags(settings: Settings) -> dict[str, DAG]:
    """Every audience share's DAG by its id, in the order of the ids; where Airflow parses for the sake of
    one DAG, only that one's folder is opened."""
    wanted = get_parsing_context().dag_id
    names = wanted_folders(settings.audience_shares, audience_share_names, PREFIX, wanted)
    return {dag.dag_id: dag for dag in (load_dag(settings, folder) for folder in names)}


def load_dag(settings: Settings, folder: str) -> DAG:
    """The DAG of one folder: the share's, or its quarantine."""
    try:
        share = load_audience_share(settings.audience_shares / folder, relative_to=settings.project)
    except SpecError as error:
        log.warning("%s is in quarantine: %s", folder, error)
        return build_quarantine_dag(folder_dag_id(PREFIX, folder), folder, error, "audience share")
    return build_share_dag(share, settings)


def build_share_dag(share: AudienceShare, settings: Settings) -> DAG:
    """The DAG of one audience share."""
    with DAG(
        dag_id=PREFIX + share.name,
        dag_display_name=f"Audience share · {share.name}",
        description=share.description.splitlines()[0][:200],
        doc_md=_document(share),
        schedule=[segments_asset()],
        catchup=False,
        is_paused_upon_creation=True,
        max_active_runs=1,
        default_args=default_args(settings, owner=share.owner),
        tags=[TAG, "audience share", f"destination:{share.destination.kind}", f"topic:{share.topic}"],
    ) as dag:
        ShareAudience(task_id="share", share=share.name)
    return dag


class ShareAudience(BaseOperator):
    """Tells the destination who is in the segments, and who has left."""

    ui_color = "#e0f2f1"

    def __init__(self, *, share: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.share = share

    def execute(self, context: Context) -> dict[str, Any]:
        from kundresa.runs.audience_shares import share_audience

        with final_failures():
            done = share_audience(
                installation.load(),
                self.share,
                owner=worker_name(context),
                account_of=sender_account,
                may_go_on=NotPaused(context).anew,
            )
        for what, count in asdict(done).items():
            log.info("%s: %s", what, count)
        if not done.is_complete:
            message = (
                "the DAG was paused; once it is not, the next publication or a trigger goes on from there"
            )
            raise AirflowSkipException(message)
        return asdict(done)


def _document(share: AudienceShare) -> str:
    segments = ", ".join(f"`{name}`" for name in share.segments)
    told = "everybody" if share.mode == "full" else "what has changed"
    return f"""
{share.description}

After each publication of the segments tells `{share.destination.account}` ({share.destination.kind})
who is in {segments}, by `{share.identifier}`: {told}, and who has left. What people have agreed to is the
topic `{share.topic}`. Cleared or run again it tells nothing twice; an interrupted run is gone on with.
By hand: `kundresa share {share.name}`.
"""
