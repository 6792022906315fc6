"""Small parts of the operators; whole runs are in tests/dags."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from kundresa.delivery import BatchResult
from kundresa.orchestration import operators
from kundresa.orchestration.operators import DeliverBatch, StageCall, _Counter, final_failures, worker_name
from kundresa.runs import stages
from kundresa.settings import SettingsError


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
    monkeypatch.setattr(operators, "sender_account", lambda _: None)
    task = DeliverBatch(task_id="deliver", campaign="winback", channel="email", batch_number=3, messages=10)
    run = SimpleNamespace(run_key="winback--1")
    context = {"ti": SimpleNamespace(id="a", try_number=1)}

    with pytest.raises(TaskDeferred) as deferred:
        task.stage(StageCall(None, run, context))  # type: ignore[arg-type]
    assert deferred.value.trigger.moment == moment
    assert deferred.value.method_name == "resume"
