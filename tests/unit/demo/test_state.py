"""What a demo remembers."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kundresa.demo import processes
from kundresa.demo.processes import ProcessMark
from kundresa.demo.state import DemoStateError, load_state, new_state

NOW = datetime(2026, 3, 3, 8, 0, 0, 123, tzinfo=UTC)


def test_nothing_was_remembered(tmp_path: Path) -> None:
    assert load_state(tmp_path / "demo") is None


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    state = new_state(500, 7, NOW, tmp_path / "demo")
    state.ports["api"] = 8080
    state.remember("driver", processes.mark(os.getpid()))

    again = load_state(tmp_path / "demo")

    assert again == state
    assert again is not None
    assert again.logical_at == NOW.replace(microsecond=0)
    assert again.marks().keys() == {"driver"}


def test_secrets_are_the_owners_and_differ_between_demos(tmp_path: Path) -> None:
    one, two = (new_state(1, 1, NOW, tmp_path / name) for name in "ab")
    one.save()

    assert stat.S_IMODE((tmp_path / "a" / "state.json").stat().st_mode) == 0o600
    assert len({one.secret, two.secret, one.jwt_secret, two.jwt_secret}) == 4
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["state.json"]


def test_marks_of_another_boot_mean_nothing(tmp_path: Path) -> None:
    state = new_state(1, 1, NOW, tmp_path / "demo")
    state.remember("driver", processes.mark(os.getpid()))
    state.boot_id = "another"

    assert state.marks() == {}


def test_what_has_ended_is_not_listed(tmp_path: Path) -> None:
    state = new_state(1, 1, NOW, tmp_path / "demo")
    state.remember("airflow", ProcessMark(os.getpid(), 1))

    assert state.marks() == {}


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"people": 3})])
def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)

    with pytest.raises(DemoStateError, match="start the demo again"):
        load_state(tmp_path)
