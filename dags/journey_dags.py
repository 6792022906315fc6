"""One Airflow DAG per folder of ``journeys/``: see ``kundresa.orchestration.journeys``."""

from kundresa import settings
from kundresa.orchestration.journeys import journey_dags

globals().update(journey_dags(settings.load()))
