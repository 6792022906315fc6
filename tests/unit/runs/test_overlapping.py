"""Which campaigns run around a planned one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import yaml

from kundresa.runs.overlapping import DEFAULT_WINDOW, find_overlaps, pressure_window
from kundresa.spec.loading import load_campaign
from kundresa.spec.policies import Policies

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
PEOPLE = {"few": 3, "many": 30, "nobody": 0}


@pytest.fixture
def campaigns(tmp_path):
    def write(name, schedule, include, **more):
        folder = tmp_path / name
        folder.mkdir()
        spec = {
            "owner": "crm",
            "description": "A sale.",
            "schedule": schedule,
            "audience": {"include": [include]},
            "topic": "offers",
            "channels": [
                {"kind": "email", "template": "t", "account": "a", "sender": "Shop <a@shop.example>"}
            ],
            "quality": {"rows": {"min": 0, "max": 10}},
            **more,
        }
        (folder / "campaign.yaml").write_text(yaml.safe_dump(spec).replace("'on':", "on:"))

    write("planned", "manual", "many")
    write("weekly", {"cron": "0 9 * * 2"}, "many", priority=80)
    write("monthly", {"cron": "0 9 20 * *"}, "many")
    write("quarterly", {"cron": "0 9 1 1,4,7,10 *"}, "many")
    write("by_segments", {"on": "segments"}, "few")
    write("of_nobody", {"cron": "0 9 * * *"}, "nobody")
    write("by_hand", "manual", "many")
    write("broken", "never", "many")
    return tmp_path


def overlaps(folder, policies):
    return find_overlaps(
        SimpleNamespace(campaigns=folder, project=folder),
        load_campaign(folder / "planned"),
        policies,
        at=MONDAY,
        shared_people=lambda audience: PEOPLE[audience.include[0]],
    )


def test_campaigns_that_run_around_it_and_share_people_by_size(campaigns):
    found = overlaps(campaigns, Policies())
    assert [(each.campaign, each.people, each.priority) for each in found.campaigns] == [
        ("monthly", 30, 50),
        ("weekly", 30, 80),
        ("by_segments", 3, 50),
    ]
    assert found.campaigns[1].runs_at == (
        datetime(2026, 11, 17, 9, tzinfo=UTC),
        datetime(2026, 11, 24, 9, tzinfo=UTC),
    )
    assert [each.is_assumed_daily for each in found.campaigns] == [False, False, True]
    assert found.unreadable == ("broken",)
    assert found.window == DEFAULT_WINDOW


@pytest.mark.parametrize(
    ("caps", "topics", "window"),
    [
        ([{"name": "a", "max": 1, "within": "2d"}], {}, timedelta(days=2)),
        (
            [{"name": "a", "max": 1, "within": "2d"}, {"name": "b", "max": 4, "period": "month"}],
            {},
            timedelta(days=31),
        ),
        ([], {}, DEFAULT_WINDOW),
        (
            [{"name": "a", "max": 1, "within": "60d"}],
            {"offers": {"consent": "exempt", "because": "It is."}},
            DEFAULT_WINDOW,
        ),
    ],
)
def test_the_window_is_the_longest_that_a_cap_looks_at(campaigns, caps, topics, window):
    policies = Policies.model_validate({"pressure": {"default": caps}, "topics": topics})
    assert pressure_window(load_campaign(campaigns / "planned"), policies) == window
