"""What ``--answer`` of ``kundresa journey plan`` and ``rehearse`` takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from kundresa.cli.journey import _answers


def test_a_file_a_failure_and_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"discount": 15}')

    assert _answers([f"ask={tmp_path / 'a.json'}", "other=failed"]) == {
        "ask": {"discount": 15},
        "other": None,
    }
    assert _answers(None) == {}


@pytest.mark.parametrize("text", ["ask", "=x.json", "ask=", "ask=/nowhere.json"])
def test_what_is_none_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        _answers([text])


def test_a_file_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    with pytest.raises(typer.BadParameter, match="no JSON object"):
        _answers([f"ask={tmp_path / 'a.json'}"])
