"""The command's own promises: help with examples, exit codes that mean something, output for machines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kundresa.cli import main as command
from kundresa.cli.output import Exit, account_rows
from kundresa.quality import GateFailed
from kundresa.runs.accounting import RunNotFinished
from kundresa.runs.checking import CampaignNotFound
from kundresa.runs.pacing import AccountNotFound
from kundresa.settings import SettingsError
from kundresa.spec.pace import Rest
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun, RunNotFound, StoreUnavailable, open_store

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def app():
    command._register()
    return command.app


@pytest.mark.parametrize("name", sorted(command.COMMANDS))
def test_every_command_has_help_with_an_example(app, name):
    result = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"kundresa {name}" in result.output.partition("Example")[2]


def test_the_issues_commands_are_all_there():
    promised = {"check", "plan", "run", "status", "account", "explain", "sample", "sandbox"}
    assert promised <= set(command.COMMANDS)


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['kundresa', '--help']\n"
        "from kundresa.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'airflow', 'dbt', 'duckdb', 'great_expectations', 'pandas', 'pyarrow', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunNotFound("a--b"), Exit.NOT_FOUND),
        (CampaignNotFound("x"), Exit.NOT_FOUND),
        (RunNotFinished("x"), Exit.BUSY),
        (GateFailed.__new__(GateFailed), Exit.PROBLEMS),
        (SettingsError("x"), Exit.ENVIRONMENT),
        (StoreUnavailable("x"), Exit.ENVIRONMENT),
        (ConnectionRefusedError("x"), Exit.ENVIRONMENT),
        (TypeError("a defect"), None),
        (KeyError("a defect"), None),
    ],
)
def test_errors_have_the_exit_code_that_their_kind_means(error, code):
    assert command.exit_code(error) == code


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["account", "winback--20200101T000000Z"], Exit.NOT_FOUND, "never opened"),
        (["run", "winback", "--logical-date", "yesterday"], Exit.USAGE, "no ISO 8601"),
        (["status", "--limit", "0"], Exit.USAGE, "limit"),
        (["nothing"], Exit.USAGE, "nothing"),
        (["plan", "no_such"], Exit.NOT_FOUND, "there are: spring_sale, winback"),
    ],
)
def test_a_wrong_call_says_why_without_a_trace(tmp_path, words, code, said):
    environ = {"KUNDRESA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "300"}
    done = subprocess.run(
        [sys.executable, "-m", "kundresa.cli.main", *words],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (["+46 70-123 45 67", "--channel", "sms"], ("sms", "+46701234567")),
        ([" Anna@Shop.Example "], ("email", "anna@shop.example")),
        (["070-1234567", "--channel", "sms"], None),
        (["+46701234567"], None),
    ],
)
@pytest.mark.parametrize("name", ["opt-out", "suppress"])
def test_a_no_is_recorded_as_contact_points_are_written_or_not_at_all(app, tmp_path, name, words, known):
    result = CliRunner().invoke(app, [name, *words], env={"KUNDRESA_HOME": str(tmp_path)})
    assert result.exit_code == (Exit.USAGE if known is None else Exit.OK), result.output
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        rows = [*store.opt_outs.rows(), *store.suppressions.rows()]
    assert [(row["channel"], row["address"]) for row in rows] == ([known] if known else [])


def test_a_suppression_can_be_lifted(app, tmp_path):
    environ = {"KUNDRESA_HOME": str(tmp_path)}
    for extra in ([], ["--lift"]):
        assert CliRunner().invoke(app, ["suppress", "a@shop.example", *extra], env=environ).exit_code == 0
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        assert list(store.suppressions.rows()) == []


def test_a_sample_does_not_replace_the_brands_own_files(app, tmp_path):
    (tmp_path / "orders.csv").write_text("order_id\n1\n")
    words = ["sample", "--people", "20", "--target", str(tmp_path)]
    assert CliRunner().invoke(app, words).exit_code == Exit.USAGE
    assert (tmp_path / "orders.csv").read_text() == "order_id\n1\n"
    assert CliRunner().invoke(app, [*words, "--overwrite"]).exit_code == Exit.OK
    assert CliRunner().invoke(app, words).exit_code == Exit.OK


def test_a_run_without_a_date_does_not_start_over_an_unfinished_one(tmp_path):
    now = datetime.now(tz=UTC)
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        store.runs.open(
            NewRun("winback--x", "winback", now, Trigger.MANUAL, "{}", "0" * 64, now, now + timedelta(days=1))
        )
    done = subprocess.run(
        [sys.executable, "-m", "kundresa.cli.main", "run", "winback"],
        env={"KUNDRESA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.BUSY
    assert f"--logical-date {now.isoformat()}" in done.stderr


def test_status_of_an_empty_store_is_an_empty_list(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "kundresa.cli.main", "status", "--json"],
        env={"KUNDRESA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []


def test_account_rows_name_what_does_not_add_up():
    part = {"considered": 3, "sent": 1, "not_sent": {"b": 1, "a": 1}, "sum": 3, "adds_up": True}
    rows = account_rows({"channels": {"email": part, "sms": part | {"considered": 4, "adds_up": False}}})
    assert rows[:5] == [
        ("email", "considered", 3),
        ("email", "  sent", 1),
        ("email", "  a", 1),
        ("email", "  b", 1),
        ("email", "  = sum, adds up", 3),
    ]
    assert rows[-1] == ("sms", "  = sum, DOES NOT ADD UP", 3)


def test_a_run_is_stopped_shown_and_resumed(app, tmp_path, monkeypatch):
    monkeypatch.setenv("KUNDRESA_HOME", str(tmp_path))
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    monkeypatch.setenv("KUNDRESA_STORE_URL", url)
    now = datetime.now(tz=UTC)
    key = "winback--20261123T090000Z"

    def call(*words, code=0):
        result = CliRunner().invoke(app, list(words), env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        return result.output

    with open_store(url) as store:
        until = now + timedelta(hours=1)
        store.runs.open(NewRun(key, "winback", now, Trigger.MANUAL, "{}", "0" * 64, now, until))
        store.runs.mark_decided([key], at=now)
        store.batches.register(key, "email", 1, 25)
    assert "was not stopped" in call("resume", key)
    assert f"kundresa resume {key}" in call("stop", key, "--reason", "the [page] is down")
    assert "decided, stopped" in call("status")
    [told] = json.loads(call("status", "--json"))
    assert told["stop_detail"] == "the [page] is down"
    waiting = call("account", key, code=Exit.BUSY)
    assert "the [page] is down. 0 sent, 25 wait until" in waiting
    assert f"kundresa run winback --logical-date {now.isoformat()}" in call("resume", key)
    assert "stopped" not in call("status")


def test_a_pace_is_set_shown_and_cleared_where_people_look_for_it(app, tmp_path, monkeypatch):
    monkeypatch.setenv("KUNDRESA_HOME", str(tmp_path))
    monkeypatch.setenv("KUNDRESA_STORE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    monkeypatch.setenv("KUNDRESA_PROJECT", str(tmp_path))
    campaign = tmp_path / "dags" / "campaigns" / "winback"
    shutil.copytree(CHECKOUT / "dags" / "campaigns" / "winback", campaign)
    policies = tmp_path / "dags" / "policies.yaml"
    policies.write_text("pacing: {newsletter: {per_second: 50, domains: {gmail.com: 20}}}\n")

    def call(*words, code=0):
        result = CliRunner().invoke(app, ["pace", *words], env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        return result

    def lines(*words):
        told = json.loads(call(*words, "--json").output)
        return [(each["domain"], each["per_second"], each["in_policies"]) for each in told]

    assert lines() == [(None, 50, 50), ("gmail.com", 20, 20)]
    assert lines("newsletter", "--per-second", "5", "--domain", "Web.de") == [
        (None, 50, 50), ("gmail.com", 20, 20), ("web.de", 5, None),
    ]  # fmt: skip
    assert lines("newsletter", "--per-second", "10")[0] == (None, 10, 50)
    assert "kundresa pace, 20" in call().output
    assert lines("newsletter", "--clear")[0] == (None, 50, 50)
    assert lines("newsletter", "--clear", "--domain", "web.de") == [(None, 50, 50), ("gmail.com", 20, 20)]
    assert "No pace for texts" in call("texts").output
    missing = call("newsleter", "--per-second", "5", code=1).exception
    assert isinstance(missing, AccountNotFound)
    assert "newsletter" in str(missing)
    assert command.exit_code(missing) is Exit.NOT_FOUND
    for words in (
        ["--per-second", "5"],
        ["newsletter", "--per-second", "0"],
        ["newsletter", "--domain", "gmail.com"],
        ["newsletter", "--domain", "a@gmail.com", "--clear"],
        ["newsletter", "--per-second", "5", "--clear"],
        ["newsletter", "--lift", "--clear"],
        ["--lift"],
    ):
        call(*words, code=Exit.USAGE)


def test_a_domain_that_is_left_alone_is_shown_and_lifted(app, tmp_path, monkeypatch):
    monkeypatch.setenv("KUNDRESA_HOME", str(tmp_path))
    monkeypatch.setenv("KUNDRESA_STORE_URL", f"sqlite:///{tmp_path / 'store.sqlite'}")
    monkeypatch.setenv("KUNDRESA_PROJECT", str(tmp_path))
    now = datetime.now(tz=UTC)
    until = now + timedelta(minutes=5)

    def call(*words):
        result = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert result.exit_code == 0, result.output
        return result.output

    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        rests = {"a.example": Rest(until, 1, "RCPT: too fast"), "b.example": Rest(now, 1, "over")}
        store.rests.record("newsletter", rests, now=now)
    assert f"newsletter: a.example is left alone until {until:%H:%M:%S}Z: RCPT: too fast" in call("status")
    assert "b.example" not in call("status")
    shown = call("pace")
    assert "RCPT: too fast" in shown
    assert "No account has a pace" in shown
    [told] = json.loads(call("pace", "newsletter", "--json"))
    assert (told["domain"], told["per_second"], told["rest_detail"]) == ("a.example", None, "RCPT: too fast")
    assert datetime.fromisoformat(told["resting_until"]) == until
    assert "Left alone no more: none was" in call("pace", "newsletter", "--lift", "--domain", "c.example")
    assert "Left alone no more: a.example" in call("pace", "newsletter", "--lift", "--domain", "A.example")
    assert json.loads(call("pace", "newsletter", "--lift", "--json")) == []
    assert "left alone until" not in call("status")
