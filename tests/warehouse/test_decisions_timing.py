"""Send times for real: from a campaign's hours, through the models, to batches as delivery reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kundresa import warehouse
from kundresa.runs.send_times import run_openings
from kundresa.spec.buckets import bucket, explore_salt, explored_hour
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies

RUN = "winback--20260301T090000Z"
ZONES = {
    "stockholm": ("Europe/Stockholm", "SE"),
    "paris": ("Europe/Paris", "FR"),
    "new_york": ("America/New_York", "US"),
    "kolkata": ("Asia/Kolkata", "IN"),
    "nowhere": (None, "SE"),
    "not_a_zone": ("Atlantis/Capital", "SE"),
}


def campaign(**send_time) -> Campaign:
    return Campaign.model_validate(
        {
            "name": "winback",
            "owner": "crm",
            "description": "A reminder.",
            "schedule": "manual",
            "audience": {"include": ["lapsed_customers"]},
            "topic": "offers",
            "channels": [{"kind": "email", "template": "t", "account": "a", "sender": "a@shop.example"}],
            "quality": {"rows": {"min": 0, "max": 100}},
            "send_time": send_time,
        }
    )


@pytest.fixture
def decide(home, world, publish, open_runs, make_run, now):
    """``decide(spec, policies)``: everybody of ``ZONES``, at 09:00 UTC on Sunday 1 March 2026."""

    def decide_run(spec: Campaign, policies: Policies) -> dict[str, dict[str, object]]:
        for profile_id, (zone, country) in ZONES.items():
            world.add_person(profile_id, ["lapsed_customers"], email=f"{profile_id}@x.test")
            world.profiles[-1] |= {"time_zone": zone, "country": country}
        publish(home, world)
        valid_until = now + timedelta(days=2)
        openings = run_openings(spec, policies, decided_at=now, valid_until=valid_until)
        best_hour = spec.send_time.best_hour if spec.send_time else None
        run = make_run(
            is_timed=openings is not None,
            openings=openings or (),
            batch_size=2,
            explore_percent=best_hour.explore if best_hour else None,
            explore_salt=explore_salt(RUN),
        )
        open_runs(home, world, run)
        warehouse.decide(home, [RUN])
        return {line["profile_id"]: line for line in warehouse.query(home, "select * from decisions")}

    return decide_run


def test_everybody_at_nine_by_their_own_clock(home, decide):
    lines = decide(campaign(at="09:00"), Policies())
    nine = {
        "kolkata": datetime(2026, 3, 2, 3, 30, tzinfo=UTC),
        "paris": datetime(2026, 3, 2, 8, tzinfo=UTC),
        "stockholm": datetime(2026, 3, 2, 8, tzinfo=UTC),
        "new_york": datetime(2026, 3, 1, 14, tzinfo=UTC),
    }
    sent = {key: line["send_at"] for key, line in lines.items() if line["verdict"] == "send"}
    assert sent == nine
    assert {key: line["reason"] for key, line in lines.items() if key not in nine} == {
        "nowhere": "time_zone_unknown",
        "not_a_zone": "time_zone_unknown",
    }
    assert warehouse.batch_sizes(home, RUN, "email") == {1: 1, 2: 1, 3: 2}
    times = [warehouse.batch_send_at(home, RUN, "email", number) for number in (1, 2, 3)]
    assert times == sorted(set(nine.values()))
    for number in (1, 2, 3):
        rows = [row for chunk in warehouse.read_batch(home, RUN, "email", number) for row in chunk]
        assert {row["send_at"] for row in rows} == {times[number - 1]}
    assert warehouse.send_hours(home, RUN) == [
        warehouse.SendHour("email", datetime(2026, 3, 1, 14, tzinfo=UTC), 1, times[0]),
        warehouse.SendHour("email", datetime(2026, 3, 2, 3, tzinfo=UTC), 1, times[1]),
        warehouse.SendHour("email", datetime(2026, 3, 2, 8, tzinfo=UTC), 2, times[2]),
    ]
    with pytest.raises(KeyError, match="no batch 4"):
        warehouse.batch_send_at(home, RUN, "email", 4)


def test_quiet_hours_of_a_country_hold_there_and_who_may_not_wait_is_out_of_hours(decide, now):
    quiet = {"days": ["sun"], "countries": ["FR"]}
    night = {"start": "12:00", "end": "16:00"}  # 14:30 in Kolkata
    lines = decide(
        campaign(outside="exclude", unknown_time_zone="Asia/Kolkata"),
        Policies.model_validate({"quiet_hours": [quiet, night]}),
    )
    assert {key: line["reason"] for key, line in lines.items()} == {
        "stockholm": None,
        "new_york": None,
        "paris": "out_of_hours",
        "kolkata": "out_of_hours",
        "nowhere": "out_of_hours",
        "not_a_zone": "out_of_hours",
    }
    assert {line["send_at"] for line in lines.values()} == {now}


def test_everybody_at_their_best_hour_and_some_at_any(world, decide, now):
    world.best_hours += [
        {"profile_id": "stockholm", "best_hour": 19},
        {"profile_id": "nowhere", "best_hour": 19},
    ]
    world.zone_best_hours += [
        {"time_zone": "", "best_hour": 20},
        {"time_zone": "Asia/Kolkata", "best_hour": 7},
    ]
    lines = decide(campaign(best_hour={"explore": 0}, unknown_time_zone="Asia/Tokyo"), Policies())
    assert {key: line["send_at"] for key, line in lines.items()} == {
        "stockholm": datetime(2026, 3, 1, 18, tzinfo=UTC),  # their own
        "kolkata": datetime(2026, 3, 2, 1, 30, tzinfo=UTC),  # their zone's
        "paris": datetime(2026, 3, 1, 19, tzinfo=UTC),  # everybody's
        "new_york": datetime(2026, 3, 2, 1, tzinfo=UTC),
        "nowhere": datetime(2026, 3, 1, 10, tzinfo=UTC),  # by the clock that the campaign names
        "not_a_zone": datetime(2026, 3, 1, 11, tzinfo=UTC),
    }
    assert {line["verdict"] for line in lines.values()} == {"send"}


def test_who_explores_is_who_python_says_and_leaves_in_the_hour_that_it_says(world, decide, now):
    world.zone_best_hours.append({"time_zone": "", "best_hour": 10})
    lines = decide(campaign(best_hour={"explore": 50}), Policies())
    salt = explore_salt(RUN)
    explorers = {profile_id for profile_id in ZONES if bucket(salt, profile_id) < 5000}
    known = [profile_id for profile_id, (zone, _) in ZONES.items() if zone and "/C" not in zone]
    assert explorers & set(known)
    assert set(known) - explorers
    for profile_id in known:
        local = lines[profile_id]["send_at"].astimezone(ZoneInfo(ZONES[profile_id][0]))
        assert local.hour == (explored_hour(salt, profile_id) if profile_id in explorers else 10)
        assert now <= lines[profile_id]["send_at"] <= now + timedelta(hours=24)
    assert lines["nowhere"]["reason"] == "time_zone_unknown"
