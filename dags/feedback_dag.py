"""The Airflow DAG ``feedback``: bounces and complaints from the mailbox, printers' result files."""

from kundresa import settings
from kundresa.orchestration.feedback_dag import build_feedback_dag

dag = build_feedback_dag(settings.load())
