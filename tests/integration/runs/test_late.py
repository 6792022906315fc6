"""Field report 9: messages that are due at eight and leave 15 hours later are told of, before they do."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.runs.test_seeds_and_mirror import KEY, NOW, settings  # noqa: F401
from typer.testing import CliRunner

from kundresa import settings as configuration
from kundresa.channels import account_from_uri
from kundresa.cli import main as command
from kundresa.orchestration.operators import DeliverBatch, PlanBatches, StageCall
from kundresa.orchestration.pages.accounts import load_run
from kundresa.orchestration.run_keys import RunIdentity
from kundresa.runs import lateness
from kundresa.runs.delivering import deliver, plan_batches
from kundresa.runs.lateness import BatchWatch, warn_expected, warn_of_account
from kundresa.runs.pacing import set_pace
from kundresa.sandbox import Sandbox
from kundresa.spec.vocabulary import LateKind, Trigger
from kundresa.store import open_store

PEOPLE = 150_000
IN_15_HOURS = PEOPLE / (15 * 3_600)
told: list[str] = []


def remember(context, message):
    told.append(message)


def fail(context, message):
    raise RuntimeError("no network")


@pytest.fixture
def shop(settings, monkeypatch):  # noqa: F811
    """Whose run has decided 150,000 emails for nine o'clock."""
    decisions = pa.table(
        {
            "channel": ["email"] * PEOPLE,
            "verdict": ["send"] * PEOPLE,
            "send_at": pa.array([NOW.replace(tzinfo=None)] * PEOPLE, pa.timestamp("us")),
        }
    )
    pq.write_table(decisions, settings.published / "runs" / KEY / "decisions" / "data_0.parquet")
    monkeypatch.setenv("KUNDRESA_HOME", str(settings.home))
    monkeypatch.setenv("KUNDRESA_SECRET", "s")
    monkeypatch.setattr(configuration, "load", lambda *_: settings)
    monkeypatch.setattr("kundresa.runs.pacing.sender_accounts", lambda _: {"n": "email"})
    told.clear()
    return settings


def call(shop):
    run = RunIdentity(KEY, NOW, Trigger.MANUAL)
    ti = SimpleNamespace(task_id="email.batches", dag_id="campaign_hello", run_id="r", id="i", try_number=1)
    return StageCall(shop, run, {"ti": ti})


def plan(shop):
    return PlanBatches(task_id="batches", campaign="hello", channel="email").stage(call(shop))


def lines(shop):
    with open_store(shop.store_url) as store:
        return [(each.channel, each.kind) for each in store.late_warnings.of([KEY])]


def at(moment, monkeypatch):
    monkeypatch.setattr(lateness.warn_expected, "__kwdefaults__", {"clock": lambda: moment})
    monkeypatch.setattr(lateness.BatchWatch.__init__, "__kwdefaults__", {"clock": lambda: moment})
    monkeypatch.setattr(lateness.warn_of_account, "__kwdefaults__", {"clock": lambda: moment})


def test_who_answers_for_it_is_told_once_before_the_first_message(shop, monkeypatch, caplog):
    at(NOW, monkeypatch)
    set_pace(shop, "n", None, IN_15_HOURS)
    monkeypatch.setattr(
        "kundresa.orchestration.alerts.load", lambda: SimpleNamespace(alert_callback=CALLBACK)
    )
    assert [batch["batch_number"] for batch in plan(shop)] == [0, 1]
    [line] = told
    assert line.startswith(
        f"{KEY}: 140,000 of 150,000 messages on email are expected to leave more than 1h late: due from "
        "2026-11-23 09:00Z on, the last leaves at 2026-11-24 00:00Z"
    )
    assert "At 2.8/s: the pace of the account n" in line
    plan(shop)
    assert told == [line], "told again by a cleared task"
    assert caplog.messages.count(line) == 2
    assert lines(shop) == [("email", LateKind.EXPECTED)]
    assert load_run(shop, KEY).warnings == (line,)


CALLBACK = f"{__name__}:remember"


def test_a_callback_that_fails_keeps_no_message_back(shop, monkeypatch, caplog):
    at(NOW, monkeypatch)
    set_pace(shop, "n", None, IN_15_HOURS)
    monkeypatch.setattr(
        "kundresa.orchestration.alerts.load", lambda: SimpleNamespace(alert_callback=f"{__name__}:fail")
    )
    assert len(plan(shop)) == 2
    assert "KUNDRESA_ALERT_CALLBACK failed" in caplog.text


def test_what_the_run_is_not_valid_long_enough_for_is_said(shop):
    set_pace(shop, "n", None, PEOPLE / (48 * 3_600))
    line, is_new = warn_expected(shop, KEY, "email", clock=lambda: NOW)
    assert is_new
    assert "At 3,125.0 an hour: " in line
    assert "75,000 of them not at all, since the run is valid until 2026-11-24 09:00Z" in line


@pytest.mark.parametrize("pace", [None, PEOPLE / 3_600])
def test_nothing_is_said_of_who_is_fast_enough_or_of_whom_nothing_is_known(shop, pace):
    set_pace(shop, "n", None, pace)
    assert warn_expected(shop, KEY, "email", clock=lambda: NOW) is None
    assert lines(shop) == []


def test_who_slows_an_account_down_is_told_what_becomes_late(shop, monkeypatch):
    at(NOW, monkeypatch)
    command._register()
    found = CliRunner().invoke(command.app, ["pace", "n", "--per-second", "2"], env={"COLUMNS": "300"})
    assert found.exit_code == 0, found.output
    assert f"{KEY}: 142,800 of 150,000 messages on email" in found.stderr
    assert warn_of_account(shop, "another", clock=lambda: NOW) == []
    faster = CliRunner().invoke(command.app, ["pace", "n", "--per-second", "5000"])
    assert faster.stderr == ""
    status = CliRunner().invoke(command.app, ["status", "--json"])
    [run] = json.loads(status.stdout)
    assert [each["kind"] for each in run["late"]] == ["expected"]


def test_a_batch_that_begins_after_its_time_is_told_of_and_a_finished_one_is_not(shop, monkeypatch, tmp_path):
    monkeypatch.setattr(
        "kundresa.orchestration.alerts.load", lambda: SimpleNamespace(alert_callback=CALLBACK)
    )
    plan_batches(shop, KEY, "email")
    in_time = BatchWatch(shop, KEY, "email", 1, clock=lambda: NOW + timedelta(hours=1))
    assert in_time.warn() is None
    late = NOW + timedelta(hours=1, seconds=1)
    at(late, monkeypatch)
    monkeypatch.setattr(deliver, "__kwdefaults__", deliver.__kwdefaults__ | {"clock": lambda: late})
    with Sandbox(tmp_path / "sandbox") as sandbox:
        account = account_from_uri(sandbox.ports.smtp_uri)
        monkeypatch.setattr("kundresa.orchestration.operators.sender_account", lambda _: account)
        monkeypatch.setattr("kundresa.orchestration.operators.NotPaused", lambda _: lambda: True)
        operator = DeliverBatch(task_id="d", campaign="hello", channel="email", batch_number=1, messages=1)
        assert operator.stage(call(shop))["newly_accepted"] == 1
    [line] = told
    assert line.startswith(
        f"{KEY}: of batch 1 on email, due at 2026-11-23 09:00Z, 1 had not left more than 1h"
    )
    assert lines(shop) == [("email", LateKind.LATE)]
    assert BatchWatch(shop, KEY, "email", 1, clock=lambda: late + timedelta(days=1)).warn() is None
    assert BatchWatch(shop, KEY, "email", 0, clock=lambda: late).warn() is None, "seeds are nobody"
