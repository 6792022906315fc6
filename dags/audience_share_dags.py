"""One Airflow DAG per folder of ``audience_shares/``: see ``kundresa.orchestration.audience_shares``."""

from kundresa import settings
from kundresa.orchestration.audience_shares import audience_share_dags

globals().update(audience_share_dags(settings.load()))
