"""One Airflow DAG per folder of ``campaigns/``: see ``kundresa.orchestration.campaigns``."""

from kundresa import settings
from kundresa.orchestration.campaigns import campaign_dags

globals().update(campaign_dags(settings.load()))
