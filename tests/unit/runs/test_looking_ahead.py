"""Which runs of the future a decision looks ahead to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from kundresa import warehouse
from kundresa.runs.looking_ahead import MOST_RUNS, runs_ahead
from kundresa.runs.run_rows import open_run_row
from kundresa.spec.campaign import Campaign
from kundresa.spec.keys import logical_at_of, run_key
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
CAPS = {"default": [{"name": "weekly", "max": 1, "within": "7d"}]}
DAILY = {"cron": "0 9 * * *"}


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "owner": "crm",
        "description": "A sale.",
        "schedule": DAILY,
        "audience": {"include": ["everybody"]},
        "topic": "offers",
        "channels": [{"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"}],
        "quality": {"rows": {"min": 0, "max": 10}},
        **changes,
    }


@pytest.fixture
def write(tmp_path):
    def write_campaign(name: str, **changes: Any) -> None:
        folder = tmp_path / name
        folder.mkdir()
        text = yaml.safe_dump(spec(**changes)).replace("'on':", "on:")
        (folder / "campaign.yaml").write_text(text)

    return write_campaign


@pytest.fixture
def ahead(tmp_path, monkeypatch):
    monkeypatch.setattr(warehouse, "published_segments", lambda _: {"everybody"})

    def of(look_ahead: str | None = "2d", *, pressure: Any = CAPS, **changes: Any) -> list[warehouse.OpenRun]:
        policies = Policies.model_validate({"pressure": pressure, "look_ahead": look_ahead})
        campaign = Campaign.model_validate({"name": "deciding", **spec(**changes)})
        run = NewRun(
            run_key=run_key("deciding", MONDAY),
            campaign="deciding",
            logical_at=MONDAY,
            trigger=Trigger.SCHEDULED,
            spec_json="",
            spec_hash="",
            opened_at=MONDAY,
            valid_until=MONDAY + timedelta(days=1),
        )
        rows = [open_run_row(run, campaign, policies, MONDAY)]
        return runs_ahead(SimpleNamespace(campaigns=tmp_path, project=tmp_path), policies, rows, MONDAY)

    return of


def test_scheduled_runs_of_higher_priority_in_the_time(write, ahead):
    write("deciding", priority=90)
    write("higher", priority=51)
    write("equal")
    write("lower", priority=49)
    write("by_hand", priority=90, schedule="manual")
    write("by_segments", priority=90, schedule={"on": "segments"})
    write("later", priority=90, schedule={"cron": "1 12 25 * *"})
    write("at_the_end", priority=90, schedule={"cron": "0 12 25 * *"})
    found = ahead()
    assert [run.run_key for run in found] == [
        "at_the_end--20261125T120000Z",
        "higher--20261124T090000Z",
        "higher--20261125T090000Z",
    ]
    assert all(run.is_ahead and run.caps for run in found)
    assert [run.decided_at for run in found] == [logical_at_of(run.run_key) for run in found]
    assert found[1].valid_until == found[1].decided_at + timedelta(hours=84)


def test_a_priority_that_differs_by_person_may_go_first_whatever_it_is(write, ahead):
    write("scored", priority=1, priority_score="value")
    write("lower", priority=1)
    assert {run.campaign for run in ahead()} == {"scored"}
    assert {run.campaign for run in ahead(priority_score="value")} == {"lower", "scored"}


@pytest.mark.parametrize("given", [{"look_ahead": None}, {"pressure": {}}])
def test_without_caps_or_a_time_nobody_is_asked(write, ahead, given):
    write("higher", priority=90)
    assert ahead() != []
    assert ahead(**given) == []


def test_limits_of_the_future_take_nothing_today(write, ahead):
    size = {"include": ["everybody"], "score": "value", "max_size": {"messages": 5}}
    write("higher", priority=90, audience=size, budget={"amount": 3})
    (run, _) = ahead()
    assert (run.max_size, run.budgets, run.capacities) == (5, (), ())


def test_what_cannot_be_decided_is_left_out_and_logged(write, ahead, caplog):
    write("broken", priority=90, topic=3)
    write("no_segment", priority=90, audience={"include": ["gone"]})
    write("no_caps", priority=90, rule_sets=["gone"])
    write("higher", priority=90)
    assert {run.campaign for run in ahead()} == {"higher"}
    logged = [record.getMessage() for record in caplog.records]
    assert [message.partition(" is not looked ahead to: ")[0] for message in logged] == [
        "broken",
        "no_caps",
        "no_segment",
    ]
    assert "segment gone" in logged[2]


def test_no_more_than_the_nearest_runs_of_one_campaign(write, ahead):
    write("hourly", priority=90, schedule={"cron": "0 * * * *"})
    found = ahead("20d")
    assert len(found) == MOST_RUNS
    assert found[0].logical_at == MONDAY + timedelta(hours=1)
