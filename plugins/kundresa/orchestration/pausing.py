"""Whether a DAG was paused while its task runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow.sdk import Context

ASK_SECONDS = 2.0
"""Between two questions. Each is a request to the API server, ~10 ms; a window takes about a second."""


TESTER = "dag_test"
"""Whom Airflow names as having started a run of ``airflow dags test`` (``DAG.test``)."""


class NotPaused:
    """Says no once somebody has paused the DAG. A task asks the API server: it has no database.

    The first question counts as every other: the scheduler starts no task of a paused DAG, so one that finds
    its own paused was queued before, and got its process after. Only `airflow dags test` runs what is paused.
    """

    def __init__(self, context: Context, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ti = context["ti"]
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._is_tested = context["dag_run"].triggering_user_name == TESTER
        self._paused = False

    def __call__(self) -> bool:
        if self._is_tested or self._paused:
            return not self._paused
        now = self._monotonic()
        if self._asked_at is None or now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            self._paused = bool(self._ti.get_dag(self._ti.dag_id).is_paused)
        return not self._paused
