"""The files in dags/ hold as they are now; what cannot be read is as if it had not been written."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kundresa import settings as configuration
from kundresa.public.rules import LOOK_SECONDS, Rules
from kundresa.spec.problems import SpecError

EVENTS = "namespaces: [email]\nevents:\n  {name}: {{description: It happened., properties: {{}}}}\n"


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    (tmp_path / "dags").mkdir()
    return tmp_path / "dags"


def made(dags: Path, now: list[float]) -> Rules:
    settings = configuration.load({"KUNDRESA_PROJECT": str(dags.parent), "KUNDRESA_HOME": str(dags.parent)})
    return Rules(settings, monotonic=lambda: now[0])


def test_a_change_holds_from_the_next_look_on(dags: Path, caplog: pytest.LogCaptureFixture) -> None:
    now = [100.0]
    rules = made(dags, now)
    assert (dict(rules.policies.topics), dict(rules.event_types.events)) == ({}, {})
    (dags / "policies.yaml").write_text('topics: {offers: {consent: "yes"}}\n')
    (dags / "events.yaml").write_text(EVENTS.format(name="seen"))
    now[0] += LOOK_SECONDS
    assert not rules.policies.topics, "it may be written still"
    assert not rules.event_types.events
    now[0] += LOOK_SECONDS - 0.01
    assert not rules.policies.topics, "it looks so often and not more often"
    now[0] += 0.02
    with caplog.at_level(logging.WARNING):
        assert [*rules.policies.topics] == ["offers"]
        assert [*rules.event_types.events] == ["seen"]
    assert [record.message for record in caplog.records] == [
        "policies.yaml has changed and holds from now on",
        "events.yaml has changed and holds from now on",
    ]


def test_what_is_gone_or_half_written_changes_nothing(dags: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A deployment that removes and then writes does not refuse everybody's events meanwhile."""
    now = [0.0]
    whole = EVENTS.format(name="seen") + "  heard: {description: It happened., properties: {}}\n"
    (dags / "events.yaml").write_text(EVENTS.format(name="seen"))
    rules = made(dags, now)

    def looked(*, times: int = 1) -> list[str]:
        for _ in range(times):
            now[0] += LOOK_SECONDS
            found = [*rules.event_types.events]
        return found

    (dags / "events.yaml").unlink()
    assert looked(times=3) == ["seen"]
    assert [record.message for record in caplog.records] == [
        "events.yaml is gone; what it said goes on to hold"
    ]
    for length in (10, 20, len(EVENTS), len(whole)):
        (dags / "events.yaml").write_text(whole[:length])
        assert looked() == ["seen"], "each look sees another length"
    assert looked() == ["seen", "heard"]


def test_what_cannot_be_read_changes_nothing_and_is_told_once(
    dags: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]
    (dags / "events.yaml").write_text(EVENTS.format(name="seen"))
    rules = made(dags, now)
    (dags / "events.yaml").write_text("events: {seen: {descripton: It happened.}}\n")
    for _ in range(4):
        now[0] += LOOK_SECONDS
        assert [*rules.event_types.events] == ["seen"]
    [told] = [record.message for record in caplog.records]
    assert told.startswith("what it said before goes on to hold: dags/events.yaml:1: ")
    (dags / "events.yaml").write_text(EVENTS.format(name="heard"))
    for _ in range(2):
        now[0] += LOOK_SECONDS
        found = rules.event_types
    assert [*found.events] == ["heard"]
    assert [*rules.event_types.events] == ["heard"]


def test_a_service_does_not_start_on_what_cannot_be_read(dags: Path) -> None:
    (dags / "policies.yaml").write_text("topics: [offers]\n")
    with pytest.raises(SpecError, match=r"policies\.yaml:1"):
        made(dags, [0.0])
