"""From the folders of ``dags/campaigns`` to their DAGs, none of which can spoil another's."""

from __future__ import annotations

import logging

from airflow.sdk import DAG, get_parsing_context

from kundresa.orchestration.campaign_dag import PREFIX, build_campaign_dag, build_quarantine_dag
from kundresa.orchestration.folders import folder_dag_id, wanted_folders
from kundresa.settings import Settings
from kundresa.spec.loading import campaign_names, load_campaign
from kundresa.spec.problems import SpecError

log = logging.getLogger(__name__)


def campaign_dags(settings: Settings) -> dict[str, DAG]:
    """Every campaign's DAG by its id, in the order of the ids.

    Where Airflow parses for the sake of one DAG (a task's start), only that one's folder is opened, so
    that the start costs the same at ten campaigns and at a thousand.
    """
    wanted = get_parsing_context().dag_id
    dags = {}
    for folder in folders(settings, wanted):
        dag = load_dag(settings, folder)
        dags[dag.dag_id] = dag
    return dags


def folders(settings: Settings, wanted: str | None) -> list[str]:
    """The names of the folders to open: of all campaigns, or only of the one whose DAG is wanted."""
    return wanted_folders(settings.campaigns, campaign_names, PREFIX, wanted)


def load_dag(settings: Settings, folder: str) -> DAG:
    """The DAG of one folder: the campaign's, or its quarantine."""
    try:
        campaign = load_campaign(settings.campaigns / folder, relative_to=settings.project)
    except SpecError as error:
        log.warning("%s is in quarantine: %s", folder, error)
        return build_quarantine_dag(dag_id_of(folder), folder, error)
    return build_campaign_dag(campaign, settings)


def dag_id_of(folder: str) -> str:
    """The id of a folder's DAG."""
    return folder_dag_id(PREFIX, folder)
