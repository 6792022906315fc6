"""What all our DAGs have in common."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kundresa.orchestration.alerts import on_failure
from kundresa.settings import Settings

TAG = "kundresa"
SCHEDULED_OR_MANUAL: Any = ("scheduled", "manual")
"""Run types of a DAG that takes no backfill. Airflow turns the words into its own type, which
``airflow.sdk`` does not export; hence ``Any``."""
RETRIES = 3
"""With doubling waits: 1, 2 and 4 minutes. What takes longer to mend needs a person."""


def default_args(settings: Settings, *, owner: str) -> dict[str, Any]:
    """Defaults of every task."""
    return {
        "owner": owner,
        "retries": RETRIES,
        "retry_delay": timedelta(seconds=settings.retry_seconds),
        "retry_exponential_backoff": 2,
        "max_retry_delay": timedelta(minutes=10),
        "on_failure_callback": on_failure,
    }
