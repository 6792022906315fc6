"""The Airflow DAG ``warehouse``: source files to published segments and profiles."""

from kundresa import settings
from kundresa.orchestration.warehouse_dag import build_warehouse_dag

dag = build_warehouse_dag(settings.load())
