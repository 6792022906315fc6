"""What an operator reads when a task has failed for good."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kundresa.orchestration.alerts import ADVICE, describe_failure, on_failure, resolve_callback

told: list[tuple[str, str]] = []


def remember(context: Any, message: str) -> None:
    told.append((context["ti"].task_id, message))


def context(task_id: str, error: Exception | None = None) -> dict[str, Any]:
    ti = SimpleNamespace(dag_id="campaign_winback", run_id="manual__1", task_id=task_id)
    return {"ti": ti, "exception": error}


def test_the_line_says_what_failed_why_and_what_to_do() -> None:
    line = describe_failure(context("open", ValueError("line 1\nline 2 {braces}")))

    assert line == (
        "campaign_winback manual__1 open failed: line 1 line 2 {braces} -- "
        "Mend the campaign's files (`kundresa check winback`), then clear this task."
    )


def test_a_task_in_a_channels_group_has_advice_too() -> None:
    assert ADVICE["deliver"] in describe_failure(context("email.deliver"))
    assert "Clear this task" in describe_failure(context("something_new"))


def test_every_task_of_ours_has_advice() -> None:
    from kundresa import settings
    from kundresa.orchestration.warehouse_dag import build_warehouse_dag

    tasks = set(build_warehouse_dag(settings.load({})).task_ids)
    stages = {"open", "decide", "check", "batches", "deliver", "record", "reconcile", "report"}
    assert tasks | stages == set(ADVICE)


def test_the_installations_own_callback_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    told.clear()
    monkeypatch.setenv("KUNDRESA_ALERT_CALLBACK", f"{__name__}:remember")
    monkeypatch.setitem(__import__("sys").modules, __name__, SimpleNamespace(remember=remember))

    on_failure(context("report", RuntimeError("x")))

    assert [task for task, _ in told] == ["report"]
    assert "report failed: x" in told[0][1]


@pytest.mark.parametrize("path", ["nothing", "os:", ":path", "os:no_such_thing", "os:sep"])
def test_a_callback_that_is_none_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="KUNDRESA_ALERT_CALLBACK"):
        resolve_callback(path)
