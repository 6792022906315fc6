"""Whether a DAG was paused while its task runs."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow.sdk import Context

ASK_SECONDS = 2.0
"""Between two questions. Each is a request to the API server, ~10 ms; a window takes about a second."""


class NotPaused:
    """Says no once somebody has paused the DAG. A task asks the API server: it has no database.

    Paused when the task started is not paused since: the scheduler starts no task of such a DAG, but
    `airflow dags test` does.
    """

    def __init__(self, context: Context, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ti = context["ti"]
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._counts = True
        self._paused = False

    def __call__(self) -> bool:
        now = self._monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._counts = not self._is_paused()
        elif self._counts and not self._paused and now - self._asked_at >= ASK_SECONDS:
            self._asked_at = now
            self._paused = self._is_paused()
        return not self._paused

    def _is_paused(self) -> bool:
        return bool(self._ti.get_dag(self._ti.dag_id).is_paused)
