"""A run of the future that goes first keeps its place, and is neither recorded nor published."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from kundresa import warehouse
from kundresa.warehouse import RunCap
from kundresa.warehouse.published import run_folder

WEEKLY = RunCap("weekly", 1, ("email", "sms"), window_seconds=7 * 86_400)
WHAT = ("profile_id", "channel", "verdict", "reason", "failed_rules", "cap", "outranked_by", "batch_number")


def capped(make_run, campaign, at, **changes):
    return make_run(
        campaign,
        run_key=f"{campaign}--{at:%Y%m%dT%H%M%SZ}",
        logical_at=at,
        decided_at=at,
        valid_until=at + timedelta(days=2),
        history_from=at - timedelta(days=7),
        caps=(WEEKLY,),
        **changes,
    )


def lines(settings, run_key):
    found = warehouse.query(settings, "select * from decisions where run_key = $key", key=run_key)
    return sorted((tuple(line[name] for name in WHAT) for line in found), key=str)


def test_the_planned_run_has_its_place_when_it_comes(home, world, publish, open_runs, make_run, now):
    world.add_person("anna", ["lapsed_customers", "vip"], email="anna@x.test")
    world.add_person("bo", ["lapsed_customers"], email="bo@x.test")
    world.add_person("cia", ["lapsed_customers", "vip"], email="cia@x.test", consent=())
    publish(home, world)
    today = capped(make_run, "winback", now)
    soon = capped(make_run, "party", now + timedelta(days=3), priority=80, include=("vip",), exclude=())

    open_runs(home, world, today, replace(soon, is_ahead=True))
    warehouse.decide(home, [today.run_key])
    assert [(line[0], line[2], line[3], line[6]) for line in lines(home, today.run_key)] == [
        ("anna", "exclude", "outranked", soon.run_key),
        ("bo", "send", None, None),
        # Nothing is kept for one whom the planned run cannot write to.
        ("cia", "exclude", "consent_unknown", None),
    ]
    assert not run_folder(home, soon.run_key).exists()
    assert lines(home, soon.run_key) == []
    assert warehouse.query(home, "select run_key from decided_runs") == [{"run_key": today.run_key}]

    open_runs(home, world, soon)
    decided = warehouse.decide(home, [soon.run_key])
    assert [(each.run_key, each.send_count) for each in decided.runs] == [(soon.run_key, 1)]
    assert ("anna", "send", None, None) in [
        (line[0], line[2], line[3], line[6]) for line in lines(home, soon.run_key)
    ]


def test_a_plan_looks_ahead_too_and_shows_what_was_asked_for(
    home, world, publish, make_run, now, tmp_path_factory
):
    world.add_person("anna", ["lapsed_customers", "vip"], email="anna@x.test")
    publish(home, world)
    today = capped(make_run, "winback", now)
    soon = capped(make_run, "party", now + timedelta(days=3), priority=80, include=("vip",), exclude=())
    scratch = tmp_path_factory.mktemp("scratch")
    with warehouse.plan_decisions(home, [today, replace(soon, is_ahead=True)], scratch=scratch) as planned:
        assert planned.run_keys == (today.run_key,)
        assert [(count.verdict, count.reason) for count in planned.counts()] == [("exclude", "outranked")]


@pytest.mark.parametrize("seed", [1, 2])
def test_who_is_decided_now_gets_what_deciding_all_at_once_would_give(
    home, world, publish, open_runs, make_run, now, tmp_path_factory, seed
):
    rng = random.Random(seed)
    for number in range(150):
        groups = [name for name in ("lapsed_customers", "vip", "new") if rng.random() < 0.6]
        world.add_person(
            f"p{number:03}",
            groups,
            email=f"p{number:03}@x.test" if rng.random() < 0.9 else None,
            sms=f"+467{number:08}" if rng.random() < 0.5 else None,
        )
    publish(home, world)
    both = {"channels": ("email", "sms"), "channel_choice": "all", "exclude": ()}
    today = capped(make_run, "winback", now, holdout_percent=10.0, **both)
    others = [
        capped(make_run, "party", now + timedelta(days=3), priority=80, include=("vip",), **both),
        capped(make_run, "late", now + timedelta(days=5), priority=90, include=("new",), **both),
        capped(make_run, "too_late", now + timedelta(days=8), priority=85, include=("new",), **both),
    ]
    scratch = tmp_path_factory.mktemp("scratch")
    with warehouse.plan_decisions(home, [today, *others], scratch=scratch) as planned:
        at_once = lines(planned.settings, today.run_key)

    open_runs(home, world, today, *(replace(each, is_ahead=True) for each in others))
    warehouse.decide(home, [today.run_key])
    found = lines(home, today.run_key)
    # Of two channels of a person one is enough for the cap; a week and a day later nothing competes.
    assert {line[6].partition("--")[0] for line in found if line[6]} == {"winback", "party", "late"}
    assert at_once == found
