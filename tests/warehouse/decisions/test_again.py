"""Runs of one campaign that are open at once: nobody gets it twice, and the later one takes what is left."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta

import pytest

from kundresa import warehouse
from kundresa.runs.deciding import decide_run
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.vocabulary import RunState, Trigger
from kundresa.store import NewRun, open_store

SEGMENTS = ("lapsed_customers", "open_complaints")


@pytest.fixture
def published(home, world, publish):
    """Five people who may be written to, in a publication as a build makes it."""
    for number in range(5):
        world.add_person(f"p{number}", ["lapsed_customers"], email=f"p{number}@x.test")
    build_id = publish(home, world)
    (warehouse.builds_folder(home) / build_id / "segments.json").write_text(json.dumps(SEGMENTS))
    return home


def open_run(settings, key: str, at, **audience) -> None:
    spec = Campaign.model_validate(
        {
            "name": "winback",
            "owner": "crm",
            "description": "Wins back.",
            "schedule": "manual",
            "audience": {"include": ["lapsed_customers"], **audience},
            "topic": "offers",
            "channels": [
                {"kind": "email", "template": "t", "account": "a", "sender": "Shop <shop@x.example>"}
            ],
            "quality": {"rows": {"min": 0, "max": 10}},
        }
    )
    frozen = freeze(spec, {})
    with open_store(settings.store_url) as store:
        store.runs.open(
            NewRun(key, "winback", at, Trigger.BACKFILL, frozen.json, frozen.hash, at, at + timedelta(days=9))
        )


def test_a_backfill_of_a_campaign_that_nobody_gets_twice(published, now):
    days = [now - timedelta(days=number) for number in range(3)]
    keys = [f"winback--{day:%Y%m%dT%H%M%SZ}" for day in days]
    for key, day in zip(keys, days, strict=True):
        open_run(published, key, day, again="never", max_size={"messages": 2})

    # The latest date is asked for; the earlier ones are decided before it.
    decide_run(published, keys[0], clock=lambda: now)

    rows = warehouse.query(published, "select * from decisions where verdict = 'send'")
    assert sorted(row["profile_id"] for row in rows) == [f"p{number}" for number in range(5)]
    counted = Counter(
        (keys.index(row["run_key"]), row["reason"])
        for row in warehouse.query(published, "select * from decisions")
    )
    assert counted == {
        (2, None): 2,
        (2, "over_max_size"): 3,
        (1, None): 2,
        (1, "already_sent"): 2,
        (1, "over_max_size"): 1,
        (0, None): 1,
        (0, "already_sent"): 4,
    }
    with open_store(published.store_url) as store:
        assert {store.runs.require(key).state for key in keys} == {RunState.DECIDED}
