"""Whole DAG runs with ``dag.test()``: what runs, what is skipped and how the run ends. The stages are
stood in for here; what they do is proved in their own tests, and together with Airflow end to end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from sqlalchemy import select

from kundresa import settings
from kundresa.delivery import BatchResult, Halt
from kundresa.orchestration import triggers
from kundresa.orchestration.campaigns import campaign_dags
from kundresa.quality import GateFailed, GateReport
from kundresa.runs import stages
from kundresa.runs.readiness import AudienceNotReady, AudienceWaits
from kundresa.spec.vocabulary import CloseReason, MessageState, RunState, Trigger
from kundresa.store import BatchBusy, NewRun, open_store

TWO_CHANNELS = (
    "  - {kind: email, template: letter, account: newsletter, sender: Shop <hello@shop.example>}\n"
    "  - {kind: sms, template: text, account: texts, sender: Shop}\n"
)


@dataclass
class Stages:
    """Stand-ins for the stages. ``calls`` is what the tasks asked for, in order."""

    batches: dict[str, dict[int, int]] = field(
        default_factory=lambda: {"email": {1: 5000, 2: 300}, "sms": {}}
    )
    close_reason: CloseReason = CloseReason.COMPLETED
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    answers: list[Callable[[], Any]] = field(default_factory=list)
    """What ``deliver`` does, call by call; when they are used up, everything is accepted."""
    may_go_on: list[bool] = field(default_factory=list)
    """What each delivery was told when it asked whether it may go on."""
    decisions: list[Callable[[], Any]] = field(default_factory=list)
    """What ``decide`` does, call by call, before it succeeds."""
    gate: Callable[[], Any] = lambda: stages.GateOutcome(True, "12 checks passed", "")

    def open_run(self, _: Any, campaign: str, logical_at: datetime, trigger: str, **__: Any) -> Any:
        self.calls.append(("open", campaign, logical_at, trigger))
        return stages.OpenedRun(f"{campaign}--key", RunState.OPEN, None, "opened")

    def decide_run(self, _: Any, run_key: str, **__: Any) -> dict[str, int]:
        self.calls.append(("decide", run_key))
        if self.decisions:
            self.decisions.pop(0)()
        return {"email send": 5300}

    def check_run(self, _: Any, run_key: str) -> Any:
        self.calls.append(("check", run_key))
        return self.gate()

    def plan_batches(self, _: Any, run_key: str, channel: str) -> dict[int, int]:
        self.calls.append(("batches", run_key, channel))
        return self.batches[channel]

    def warn_expected(self, *_: Any) -> Any:
        return None

    def BatchWatch(self, *_: Any) -> Any:  # noqa: N802  a class
        return SimpleNamespace(warn=lambda: None)

    def run_channels(self, *_: Any) -> Any:
        return (
            SimpleNamespace(kind="email", account="newsletter"),
            SimpleNamespace(kind="sms", account="texts"),
        )

    def deliver(self, _: Any, __: str, channel: str, number: int, **given: Any) -> Any:
        self.calls.append(("deliver", channel, number, given["owner"], given["account"].host))
        self.may_go_on.append(given["may_go_on"]())
        if self.answers:
            return self.answers.pop(0)()
        return result(accepted=10)

    def record_run(self, _: Any, run_key: str) -> int:
        self.calls.append(("record", run_key))
        return 10

    def _account(self, run_key: str) -> dict[str, Any]:
        channels = {"email": {"considered": 11, "sent": 10, "not_sent": {"suppressed": 1}, "adds_up": True}}
        return {
            "run_key": run_key,
            "state": "closed",
            "close_reason": self.close_reason.value,
            "close_detail": "because",
            "channels": channels,
        }

    def reconcile_run(self, _: Any, run_key: str) -> dict[str, Any]:
        self.calls.append(("reconcile", run_key))
        return self._account(run_key)

    def report_run(self, _: Any, run_key: str) -> dict[str, Any]:
        self.calls.append(("report", run_key))
        return self._account(run_key)

    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


def result(*, accepted: int, retry_at: datetime | None = None, halted: Halt | None = None) -> Any:
    return BatchResult({MessageState.ACCEPTED: accepted}, accepted, 0, retry_at, halted)


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stand_in = Stages()
    for name in ("open_run", "decide_run", "check_run", "plan_batches", "run_channels", "deliver",
                 "warn_expected", "BatchWatch", "record_run", "reconcile_run", "report_run"):  # fmt: skip
        monkeypatch.setattr(stages, name, getattr(stand_in, name))
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_NEWSLETTER", "smtp://127.0.0.1:2525/?security=none")
    monkeypatch.setenv("AIRFLOW_CONN_KUNDRESA_TEXTS", "http://127.0.0.1:2526/messages")
    return stand_in


@pytest.fixture
def run_dag(project: Any, airflow_database: Path) -> Iterator[Callable[[], tuple[str, dict[str, str]]]]:
    """Runs the campaign once; gives the DAG run's state and each task's (mapped: the worst)."""

    def run() -> tuple[str, dict[str, str]]:
        project.campaign("winback", channels=TWO_CHANNELS)
        dag = campaign_dags(settings.load())["campaign_winback"]
        dag_run = dag.test(logical_date=datetime.now(tz=UTC))
        with create_session() as session:
            stored = session.get(DagRun, dag_run.id)
            states = {
                ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]": str(ti.state)
                for ti in stored.get_task_instances(session=session)
            }
            return str(stored.state), states

    yield run
    with create_session() as session:
        for each in session.scalars(select(DagRun)):
            session.delete(each)


def test_a_run_goes_through_all_stages_with_one_key(stood_in: Stages, run_dag: Any) -> None:
    state, tasks = run_dag()

    assert state == "success"
    key = stood_in.calls[1][1]
    assert key.startswith("winback--20")
    assert stood_in.names() == [
        "open", "decide", "check", "batches", "batches", "deliver", "deliver",
        "record", "reconcile", "report",
    ]  # fmt: skip
    assert {call[1] for call in stood_in.calls if call[0] in ("decide", "check", "record", "report")} == {key}
    assert {task for task, each in tasks.items() if each == "success"} == {
        "open", "decide", "check", "email.batches", "sms.batches", "email.deliver[0]", "email.deliver[1]",
        "record", "reconcile", "report",
    }  # fmt: skip


def test_a_channel_without_batches_is_skipped_and_the_account_is_made_all_the_same(
    stood_in: Stages, run_dag: Any
) -> None:
    stood_in.batches = {"email": {}, "sms": {}}

    state, tasks = run_dag()

    assert state == "success"
    assert tasks["email.deliver"] == tasks["sms.deliver"] == "skipped"
    assert tasks["record"] == tasks["reconcile"] == tasks["report"] == "success"


def test_a_failed_gate_stops_sending_and_leaves_an_account_and_a_red_run(
    stood_in: Stages, run_dag: Any
) -> None:
    def refuse() -> Any:
        at = datetime.now(tz=UTC)
        raise GateFailed(GateReport("run", "winback--key", checked_at=at, results=(), partitions=1))

    stood_in.gate = refuse
    stood_in.close_reason = CloseReason.QUALITY_GATE_FAILED

    state, tasks = run_dag()

    assert state == "failed"
    assert stood_in.names().count("check") == 1, "a gate is not asked again by a retry"
    assert "deliver" not in stood_in.names()
    assert tasks["check"] == "failed"
    assert tasks["email.deliver"] == "upstream_failed"
    assert tasks["record"] == tasks["reconcile"] == "success"
    assert tasks["report"] == "failed"


def test_a_run_whose_segments_are_not_ready_waits_and_is_decided_when_they_are(
    stood_in: Stages, run_dag: Any
) -> None:
    def not_yet() -> Any:
        raise AudienceWaits("lapsed is 30 h old", datetime.now(tz=UTC) + timedelta(seconds=1))

    stood_in.decisions = [not_yet, not_yet]

    state, tasks = run_dag()

    assert state == "success"
    assert stood_in.names().count("decide") == 3
    assert tasks["email.deliver[0]"] == "success"


def test_a_run_whose_segments_are_never_ready_fails_without_a_retry_and_ends_red(
    stood_in: Stages, run_dag: Any
) -> None:
    def never() -> Any:
        raise AudienceNotReady("lapsed is 30 h old")

    stood_in.decisions = [never]
    stood_in.close_reason = CloseReason.EXPIRED

    state, tasks = run_dag()

    assert state == "failed"
    assert stood_in.names().count("decide") == 1
    assert (tasks["decide"], tasks["check"], tasks["report"]) == ("failed", "upstream_failed", "failed")
    assert "deliver" not in stood_in.names()


def test_a_deliver_task_that_fails_for_good_is_told_by_a_red_report(stood_in: Stages, run_dag: Any) -> None:
    def refuse() -> Any:
        from kundresa.channels import AccountError

        raise AccountError("535 wrong password")

    stood_in.answers = [refuse]

    state, tasks = run_dag()

    assert state == "failed"
    assert stood_in.names().count("deliver") == 2, "a refused password is not tried again"
    assert sorted(tasks[f"email.deliver[{index}]"] for index in (0, 1)) == ["failed", "success"]
    assert tasks["record"] == tasks["reconcile"] == "success"
    assert tasks["report"] == "failed"


def test_an_ordinary_error_is_retried(stood_in: Stages, run_dag: Any) -> None:
    def stumble() -> Any:
        raise ConnectionError("store away")

    stood_in.answers = [stumble]

    state, tasks = run_dag()

    assert (state, tasks["email.deliver[0]"], tasks["email.deliver[1]"]) == ("success",) * 3
    assert stood_in.names().count("deliver") == 3


def test_deferred_messages_and_a_busy_batch_wait_without_a_worker(stood_in: Stages, run_dag: Any) -> None:
    def busy() -> Any:
        raise BatchBusy("winback--key", "email", 1, datetime.now(tz=UTC) + timedelta(seconds=1))

    soon = datetime.now(tz=UTC) + timedelta(seconds=1)
    stood_in.answers = [lambda: result(accepted=8, retry_at=soon), busy]

    state, _ = run_dag()

    assert state == "success"
    assert stood_in.names().count("deliver") == 4, "two batches, one woken twice or each once"


def test_a_stopped_run_waits_without_a_worker_and_goes_on_when_it_is_resumed(
    stood_in: Stages, run_dag: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggers, "LOOK_SECONDS", 0.05)
    stood_in.batches["email"] = {1: 5000}
    resumed: list[datetime] = []

    def stopped() -> Any:
        store = open_store(settings.load().store_url)
        now = datetime.now(tz=UTC)
        key = stood_in.calls[1][1]
        store.runs.open(
            NewRun(key, "winback", now, Trigger.MANUAL, "{}", "0" * 64, now, now + timedelta(hours=1))
        )
        store.runs.stop(key, at=now)

        def resume() -> None:
            with store:
                resumed.append(datetime.now(tz=UTC))
                store.runs.resume(key, at=now)

        threading.Timer(1.5, resume).start()
        return result(accepted=8, retry_at=now + timedelta(hours=1), halted=Halt.RUN_STOPPED)

    def looked() -> Any:
        assert resumed, "it went on before anybody had resumed the run"
        return result(accepted=5000)

    stood_in.answers = [stopped, looked]

    state, tasks = run_dag()

    assert (state, tasks["email.deliver[0]"]) == ("success", "success")
    assert stood_in.names().count("deliver") == 2


def test_a_delivery_that_was_put_off_goes_on(stood_in: Stages, run_dag: Any) -> None:
    now = datetime.now(tz=UTC)
    stood_in.answers = [lambda: result(accepted=8, retry_at=now, halted=Halt.PUT_OFF)]

    state, _ = run_dag()

    assert state == "success"
    assert stood_in.names().count("deliver") == 3
    # The DAG is paused, as every new one is: one that was paused all along runs when it is told to.
    assert stood_in.may_go_on == [True] * 3


def test_each_attempt_is_an_owner_of_its_own(stood_in: Stages, run_dag: Any) -> None:
    def stumble() -> Any:
        raise ConnectionError("store away")

    stood_in.answers = [stumble]

    run_dag()

    owners = [call[3] for call in stood_in.calls if call[0] == "deliver"]
    assert len(set(owners)) == len(owners) == 3


def test_a_missing_account_says_which_connection_to_add(
    stood_in: Stages, run_dag: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_KUNDRESA_NEWSLETTER")

    state, tasks = run_dag()

    assert (state, tasks["email.deliver[0]"]) == ("failed", "failed")
    assert "deliver" not in stood_in.names()
    assert any(
        "airflow connections add kundresa_newsletter" in record.getMessage() for record in caplog.records
    )


def test_an_expired_run_is_green_and_its_report_says_skipped(stood_in: Stages, run_dag: Any) -> None:
    stood_in.batches = {"email": {}, "sms": {}}
    stood_in.close_reason = CloseReason.EXPIRED

    state, tasks = run_dag()

    assert (state, tasks["report"]) == ("success", "skipped")
