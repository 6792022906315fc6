"""Spark that cannot be started says what it needs, before anything is touched."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from kundresa.warehouse.dbt import _result
from kundresa.warehouse.errors import DbtFailed, DbtFailure
from kundresa.warehouse.spark import SparkUnavailable, session


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No program is found, and none is told of."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return tmp_path


def test_without_java_it_names_the_version_and_the_package(nowhere: Path) -> None:
    with (
        pytest.raises(SparkUnavailable, match=r"needs Java 17 or later.*apt-get install"),
        session({}, nowhere / "home"),
    ):
        pass
    assert not (nowhere / "home").exists()


def test_a_java_home_without_java_is_named(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/no/jvm")
    with pytest.raises(SparkUnavailable, match="JAVA_HOME is /no/jvm"), session({}, nowhere / "home"):
        pass


def test_an_earlier_session_that_does_not_end_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    monkeypatch.setattr("kundresa.warehouse.spark._GONE_SECONDS", 0.3)
    script = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "org.apache.spark"]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()  # before that, the kernel may not show its arguments yet
        (tmp_path / "driver.pid").write_text(str(other.pid))
        with pytest.raises(SparkUnavailable, match=f"process {other.pid}"), session({}, tmp_path):
            pass
        other.stdin.close()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "26/11/24 ERROR Uncaught exception\njava.lang.StackOverflowError\n",
            "met java.lang.StackOverflowError",
        ),
        ("java.lang.OutOfMemoryError: Java heap space", "give it more with KUNDRESA_SPARK_MEMORY"),
        ("WARN x\nSpark's Java process ended by itself: killed by signal 15\n", "killed by signal 15"),
        ("WARN nothing that matters", None),
    ],
)
def test_what_ended_sparks_java_process_is_told_beside_what_dbt_knows(said: str, told: str | None) -> None:
    failed = {"node": "m", "status": "error", "message": "SparkContext was shut down", "compiled_path": ""}
    outcome = {"start_seconds": 1.0, "commands": [], "failed": "dbt build", "failures": [failed]}
    with pytest.raises(DbtFailed) as raised:
        _result(outcome, 1, io.BytesIO(said.encode()))
    known, *more = raised.value.failures
    assert known == DbtFailure(**failed)
    assert [told in each.message for each in more] == ([True] if told else [])
