"""Small parts of the operators; whole runs are in tests/dags."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from kundresa.orchestration.operators import _Counter, final_failures, worker_name
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
