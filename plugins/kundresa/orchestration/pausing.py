"""Whether a DAG was paused while its task runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from airflow.sdk import Context

ASK_SECONDS = 2.0
"""Between two questions of a task that has nothing to send: a journey looks about ten times a second whether
there is something to do."""


TESTER = "dag_test"
"""Whom Airflow names as having started a run of ``airflow dags test`` (``DAG.test``)."""


class NotPaused:
    """Says no once somebody has paused the DAG. A task asks the API server: it has no database.

    Called, it asks again when the last answer is older than ``ASK_SECONDS``; ``begin`` also when more than a
    window has left on it. (A question takes 5 ms on an idle machine, as long as sending some 35 messages: a
    journey that sends a few many times a second would do little else.) Whoever has said no once says no ever
    after.

    The first question counts as every other: the scheduler starts no task of a paused DAG, so one that finds
    its own paused was queued before, and got its process after. Only `airflow dags test` runs what is paused.
    """

    def __init__(self, context: Context, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ti = context["ti"]
        self._monotonic = monotonic
        self._asked_at: float | None = None
        self._is_tested = context["dag_run"].triggering_user_name == TESTER
        self._paused = False
        self._asking: ThreadPoolExecutor | None = None
        self._left = 0
        """Messages that may have left on the last answer."""

    def __call__(self) -> bool:
        return self.anew() if self._is_old else not self._paused

    def anew(self) -> bool:
        """Ask now, whenever it was asked last."""
        if not self._is_settled:
            self._left = 0
            self._ask()
        return not self._paused

    def begin(self, messages: int, at_most: int) -> Callable[[], bool]:
        """What waits for the answer of a question that is asked now: meanwhile there is something else to do.
        With these messages no more than ``at_most`` may leave on one answer, or it is not asked for yet. For
        one thread, as all of this; the question waits in another."""
        if self._is_settled:
            return self.anew
        self._left += messages
        if self._left <= at_most and not self._is_old:
            return self
        self._left = messages
        if self._asking is None:
            self._asking = ThreadPoolExecutor(1, thread_name_prefix="pause")
        answer = self._asking.submit(self._ask)

        def wait() -> bool:
            answer.result()
            return not self._paused

        return wait

    @property
    def _is_old(self) -> bool:
        return self._asked_at is None or self._monotonic() - self._asked_at >= ASK_SECONDS

    @property
    def _is_settled(self) -> bool:
        """Whether no question is needed any more."""
        return self._is_tested or self._paused

    def _ask(self) -> None:
        self._asked_at = self._monotonic()
        if self._ti.get_dag(self._ti.dag_id).is_paused:
            self._paused = True
