"""The command's own promises: help with examples, exit codes that mean something, output for machines."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from kundresa.cli import main as command
from kundresa.cli.output import Exit, account_rows
from kundresa.quality import GateFailed
from kundresa.runs.accounting import RunNotFinished
from kundresa.runs.checking import CampaignNotFound
from kundresa.settings import SettingsError
from kundresa.store import RunNotFound, StoreUnavailable


@pytest.fixture(scope="module")
def app():
    command._register()
    return command.app


@pytest.mark.parametrize("name", sorted(command.COMMANDS))
def test_every_command_has_help_with_an_example(app, name):
    result = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"kundresa {name}" in result.output


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
