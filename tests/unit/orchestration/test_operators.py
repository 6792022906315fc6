"""Small parts of the operators; whole runs are in tests/dags."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.sdk.module_loading import import_string

from kundresa.delivery import BatchResult
from kundresa.orchestration import operators, triggers
from kundresa.orchestration.operators import DeliverBatch, StageCall, _Counter, final_failures, worker_name
from kundresa.orchestration.pausing import NotPaused
from kundresa.orchestration.triggers import RunGoesOn
from kundresa.runs import stages
from kundresa.settings import SettingsError
from kundresa.spec.vocabulary import CloseReason, Trigger
from kundresa.store import NewRun, open_store


def test_progress_is_a_line_per_tenth(caplog: pytest.LogCaptureFixture) -> None:
    counter = _Counter(5_000)
    with caplog.at_level(logging.INFO):
        for _ in range(50):
            counter(100)

    assert [record.getMessage() for record in caplog.records][:2] == [
        "500 of 5,000 messages",
        "1,000 of 5,000 messages",
    ]
    assert len(caplog.records) == 10


def test_progress_of_an_empty_batch_does_not_divide_by_zero() -> None:
    _Counter(0)(0)


def test_attempts_have_different_names() -> None:
    first = {"ti": SimpleNamespace(id="a", try_number=1)}
    retry = {"ti": SimpleNamespace(id="b", try_number=2)}

    assert worker_name(first) != worker_name(retry)  # type: ignore[arg-type]


def test_what_a_retry_cannot_mend_fails_at_once() -> None:
    with pytest.raises(AirflowFailException, match="not set"), final_failures():
        raise SettingsError("KUNDRESA_SECRET is not set")
    with pytest.raises(ConnectionError), final_failures():
        raise ConnectionError("away")


def test_a_batch_whose_time_has_not_come_gives_its_slot_back_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moment = datetime.now(tz=UTC).replace(microsecond=0) + timedelta(hours=20)
    early = BatchResult({}, newly_accepted=0, already_settled=0, retry_at=moment)
    email = SimpleNamespace(kind="email", account="newsletter")
    monkeypatch.setattr(stages, "run_channels", lambda *_: (email,))
    monkeypatch.setattr(stages, "deliver", lambda *_, **__: early)
    monkeypatch.setattr(stages, "BatchWatch", lambda *_: SimpleNamespace(warn=lambda: None))
    monkeypatch.setattr(operators, "sender_account", lambda _: None)
    task = DeliverBatch(task_id="deliver", campaign="winback", channel="email", batch_number=3, messages=10)
    run = SimpleNamespace(run_key="winback--1")
    dag_run = SimpleNamespace(triggering_user_name=None)
    context = {"ti": SimpleNamespace(id="a", try_number=1), "dag_run": dag_run}

    with pytest.raises(TaskDeferred) as deferred:
        task.stage(StageCall(None, run, context))  # type: ignore[arg-type]
    assert deferred.value.trigger.moment == moment
    assert deferred.value.method_name == "resume"


def test_a_pause_while_the_task_runs_is_noticed_once_and_asked_for_seldom() -> None:
    now, asked, paused = [0.0], [], [False]

    def get_dag(dag_id: str) -> SimpleNamespace:
        asked.append((now[0], dag_id))
        return SimpleNamespace(is_paused=paused[0])

    run = SimpleNamespace(triggering_user_name=None)
    context: Any = {"ti": SimpleNamespace(dag_id="campaign_winback", get_dag=get_dag), "dag_run": run}
    may_go_on = NotPaused(context, monotonic=lambda: now[0])
    for now[0] in (0.0, 1.0, 1.9, 2.0, 3.9):
        assert may_go_on()
    assert asked == [(0.0, "campaign_winback"), (2.0, "campaign_winback")]
    paused[0] = True
    now[0] = 4.0
    assert not may_go_on()
    paused[0] = False
    now[0] = 100.0
    assert not may_go_on(), "what was put off once is not taken up again half-way"

    paused[0] = True
    assert not NotPaused(context, monotonic=lambda: now[0])(), "it was queued before the pause"
    run.triggering_user_name = "dag_test"
    of_a_paused_dag = NotPaused(context, monotonic=lambda: now[0])
    for now[0] in (200.0, 300.0):
        assert of_a_paused_dag(), "`airflow dags test` runs what is paused"
        assert of_a_paused_dag.begin(4, 4)()


def test_what_must_not_leave_after_a_pause_asks_each_time_while_something_else_is_done() -> None:
    now, paused = [0.0], [False]
    asked: list[tuple[float, int]] = []
    answering = threading.Event()

    def get_dag(_: str) -> SimpleNamespace:
        asked.append((now[0], threading.get_ident()))
        is_paused = paused[0]
        assert answering.wait(10)
        return SimpleNamespace(is_paused=is_paused)

    run = SimpleNamespace(triggering_user_name=None)
    context: Any = {"ti": SimpleNamespace(dag_id="campaign_winback", get_dag=get_dag), "dag_run": run}
    may_go_on = NotPaused(context, monotonic=lambda: now[0])
    answer = may_go_on.begin(4, 4)  # returns while nobody has answered
    answering.set()
    assert answer()
    for now[0] in (0.1, 0.2):
        assert may_go_on.begin(4, 4)()
    assert may_go_on.anew()
    assert may_go_on(), "one that need not be new is that of a moment ago"
    assert [at for at, _ in asked] == [0.0, 0.1, 0.2, 0.2]
    assert asked[0][1] != threading.get_ident()
    paused[0] = True
    assert may_go_on.begin(4, 4)(), "a window may leave on each answer"
    assert not may_go_on.begin(4, 4)()
    paused[0] = False
    assert not may_go_on.begin(4, 4)()
    assert not may_go_on.anew()
    assert len(asked) == 5, "what was put off once is not taken up again half-way"


def test_no_more_than_a_window_leaves_on_one_answer_and_a_few_messages_ask_for_none_of_their_own() -> None:
    now, asked = [0.0], []

    def get_dag(_: str) -> SimpleNamespace:
        asked.append(now[0])
        return SimpleNamespace(is_paused=False)

    run = SimpleNamespace(triggering_user_name=None)
    context: Any = {"ti": SimpleNamespace(dag_id="journey_cart", get_dag=get_dag), "dag_run": run}
    may_go_on = NotPaused(context, monotonic=lambda: now[0])
    left: Counter[int] = Counter()
    for step in range(100):  # 3 messages each tenth of a second
        now[0] = step / 10
        assert may_go_on.begin(3, 10)()
        left[len(asked)] += 3
    assert max(left.values()) == 9
    assert len(asked) == 34
    asked.clear()
    for step in range(100):  # one a second: an answer is not older than two
        now[0] = 100.0 + step
        assert may_go_on.begin(1, 10)()
    assert len(asked) == 50


def test_what_asking_fails_with_is_raised_where_the_answer_is_waited_for() -> None:
    def get_dag(_: str) -> SimpleNamespace:
        raise ConnectionError("the API server is away")

    run = SimpleNamespace(triggering_user_name=None)
    context: Any = {"ti": SimpleNamespace(dag_id="campaign_winback", get_dag=get_dag), "dag_run": run}
    answer = NotPaused(context).begin(4, 4)
    with pytest.raises(ConnectionError):
        answer()


def test_what_waits_for_a_stopped_run_fires_when_it_is_resumed_closed_or_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "LOOK_SECONDS", 0.02)
    monkeypatch.setenv("KUNDRESA_STORE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    now = datetime.now(tz=UTC)
    until = now + timedelta(hours=1)

    async def fires_after(change: Callable[[], object], run_key: str, until: datetime) -> bool:
        """Whether it fires, and did not before the change."""
        kwargs = RunGoesOn(run_key, until).serialize()[1]
        waiting = asyncio.ensure_future(anext(RunGoesOn(**kwargs).run()))
        await asyncio.sleep(0.2)
        early = waiting.done()
        change()
        await asyncio.wait_for(waiting, 5)
        return not early

    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        for key in ("resumed--1", "closed--1"):
            store.runs.open(NewRun(key, "winback", now, Trigger.MANUAL, "{}", "0" * 64, now, until))
            store.runs.stop(key, at=now)
        resume = partial(store.runs.resume, "resumed--1", at=now)
        close = partial(store.runs.close, "closed--1", CloseReason.CANCELLED, at=now)
        assert asyncio.run(fires_after(resume, "resumed--1", until))
        assert not asyncio.run(fires_after(int, "closed--1", now)), "its validity is over"
        assert asyncio.run(fires_after(close, "closed--1", until))
    path, _ = RunGoesOn("resumed--1", until).serialize()
    assert import_string(path) is RunGoesOn
