"""The Airflow DAG ``maintenance``: ends overdue runs, applies the retention settings."""

from kundresa import settings
from kundresa.orchestration.maintenance_dag import build_maintenance_dag

dag = build_maintenance_dag(settings.load())
