"""From the folders of ``dags/journeys`` to their DAGs, none of which can spoil another's."""

from __future__ import annotations

import logging

from airflow.sdk import DAG, get_parsing_context

from kundresa.orchestration.campaign_dag import build_quarantine_dag
from kundresa.orchestration.folders import folder_dag_id, wanted_folders
from kundresa.orchestration.journey_dag import PREFIX, build_journey_dag
from kundresa.settings import Settings
from kundresa.spec.journey_loading import journey_names, load_journey
from kundresa.spec.problems import SpecError

log = logging.getLogger(__name__)


def journey_dags(settings: Settings) -> dict[str, DAG]:
    """Every journey's DAG by its id, in the order of the ids; where Airflow parses for the sake of one DAG,
    only that one's folder is opened."""
    wanted = get_parsing_context().dag_id
    names = wanted_folders(settings.journeys, journey_names, PREFIX, wanted)
    return {dag.dag_id: dag for dag in (load_dag(settings, folder) for folder in names)}


def load_dag(settings: Settings, folder: str) -> DAG:
    """The DAG of one folder: the journey's, or its quarantine."""
    try:
        journey = load_journey(settings.journeys / folder, relative_to=settings.project)
    except SpecError as error:
        log.warning("%s is in quarantine: %s", folder, error)
        return build_quarantine_dag(folder_dag_id(PREFIX, folder), folder, error, "journey")
    return build_journey_dag(journey, settings)
