"""Caps over several decisions: chains, crashes, two deciders at once, plans."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from kundresa import warehouse
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.vocabulary import CloseReason, Trigger
from kundresa.store import NewRun, open_store
from kundresa.warehouse import RunCap, RunOpening
from kundresa.warehouse.decisions import publish_recorded
from kundresa.warehouse.plan import _runs_decided_until
from kundresa.warehouse.schemas import EXPORTS

PLUGINS = str(Path(warehouse.__file__).parents[2])
CAP = RunCap("one_a_day", 1, ("email", "sms"), window_seconds=86_400)


def populate(world, people: int = 6) -> None:
    for number in range(people):
        world.add_person(f"p{number}", ["lapsed_customers"], email=f"p{number}@x.test")


def capped_run(make_run, now, campaign: str, **changes):
    history_from = changes.get("decided_at", now) - timedelta(days=1)
    return make_run(campaign, caps=(CAP,), history_from=history_from, **changes)


def reasons(settings: Settings, run_key: str) -> dict[str | None, int]:
    return {count.reason: count.lines for count in warehouse.decision_counts(settings, run_key)}


def killed_at(settings: Settings, function: str, run_key: str) -> None:
    """A process that decides a run and dies as it comes to a function of kundresa.warehouse.decisions."""
    code = (
        "import os, sys\n"
        "from kundresa import settings as configuration, warehouse\n"
        "from kundresa.warehouse import decisions\n"
        f"decisions.{function} = lambda *given: os._exit(9)\n"
        f"warehouse.decide(configuration.load({{'KUNDRESA_HOME': {str(settings.home)!r}}}), [{run_key!r}])\n"
    )
    died = subprocess.run([sys.executable, "-c", code], cwd=PLUGINS, check=False, timeout=300)
    assert died.returncode == 9


def test_lines_that_wait_for_each_other_are_settled_to_the_last(
    home, world, publish, open_runs, make_run, now
):
    """Ten runs, each 16 hours after the one before: every other one is refused, and each waits for the one
    before it. More rounds than the model has."""
    populate(world, 3)
    publish(home, world)
    runs = [
        capped_run(
            make_run,
            now,
            f"run_{number}",
            priority=90 - number,
            valid_until=now + timedelta(days=10),
            is_timed=True,
            openings=[RunOpening("", "", now + timedelta(hours=16 * number))],
        )
        for number in range(10)
    ]
    open_runs(home, world, *runs)
    warehouse.decide(home, [run.run_key for run in runs])
    assert [reasons(home, run.run_key) for run in runs] == [{None: 3}, {"outranked": 3}] * 5
    line = warehouse.query(home, "select * from decisions where campaign = 'run_9' limit 1")[0]
    assert (line["cap"], line["cap_messages"], line["outranked_by"]) == ("one_a_day", 1, runs[8].run_key)
    # Nothing beside the model's own table is left behind.
    with duckdb.connect(str(home.home / "decisions" / "warehouse.duckdb"), read_only=True) as connection:
        tables = connection.execute("select table_name from duckdb_tables()").fetchall()
    assert [name for (name,) in tables if "contention" in name] == ["int_decisions__contention"]


@pytest.mark.parametrize("killed_before", ["settle", "_publish"])
def test_what_a_killed_decision_has_recorded_holds_its_allowance(
    home, world, publish, open_runs, make_run, now, killed_before
):
    populate(world)
    publish(home, world)
    first, second = (capped_run(make_run, now, campaign) for campaign in ("first", "second"))
    open_runs(home, world, first)
    killed_at(home, killed_before, first.run_key)
    assert not warehouse.is_published(home, first.run_key)

    # Another run of better priority, for the same people and one more; the first is not even asked for.
    world.add_person("new", ["lapsed_customers"], email="new@x.test")
    publish(home, world)
    later = capped_run(make_run, now, "second", priority=99, decided_at=now + timedelta(hours=1))
    open_runs(home, world, later)
    warehouse.decide(home, [later.run_key])
    assert reasons(home, first.run_key) == {None: 6}
    assert reasons(home, second.run_key) == {None: 1, "capped": 6}
    assert warehouse.read_run(home, first.run_key).decided_at == now
    assert publish_recorded(home) == ()


def test_a_run_whose_lines_alone_were_recorded_is_recorded_and_published(
    home, world, publish, open_runs, make_run, now
):
    populate(world)
    publish(home, world)
    run = capped_run(make_run, now, "first")
    empty = capped_run(make_run, now, "empty", include=("nobody",))
    open_runs(home, world, run, empty)
    killed_at(home, "settle", run.run_key)
    with duckdb.connect(str(home.home / "decisions" / "warehouse.duckdb")) as connection:
        connection.execute("delete from kundresa_decisions.decided_runs")
    assert [each.run_key for each in publish_recorded(home)] == [run.run_key]
    assert reasons(home, run.run_key) == {None: 6}
    # Of a run without lines nobody knows whether it was decided: it still is to be.
    assert not warehouse.is_published(home, empty.run_key)
    assert warehouse.decide(home, [empty.run_key]).runs[0].lines_count == 0


def test_a_pass_that_died_before_it_recorded_anything_is_as_if_it_had_never_been(
    home, world, publish, open_runs, make_run, now
):
    populate(world)
    publish(home, world)
    run = capped_run(make_run, now, "first")
    open_runs(home, world, run)
    marker = home.home / "decisions" / "unpublished.json"
    marker.parent.mkdir()
    marker.write_text(json.dumps([run.run_key]))
    assert publish_recorded(home) == ()
    assert not marker.exists()
    warehouse.decide(home, [run.run_key])
    assert reasons(home, run.run_key) == {None: 6}


DECIDE = """
import sys
from datetime import datetime
from kundresa import settings as configuration
from kundresa.runs.deciding import decide_run
settings = configuration.load()
at = datetime.fromisoformat(sys.argv[2])
sys.stdin.readline()
decide_run(settings, sys.argv[1], clock=lambda: at)
"""


def open_in_store(settings: Settings, name: str, now, **changes) -> str:
    campaign = Campaign.model_validate(
        {
            "name": name,
            "owner": "crm",
            "description": "For a test.",
            "schedule": "manual",
            "audience": {"include": ["lapsed_customers"]},
            "topic": "offers",
            "channels": [
                {"kind": "email", "template": "text", "account": "post", "sender": "shop@shop.example"}
            ],
            "quality": {"rows": {"min": 0, "max": 10}},
            **changes,
        }
    )
    frozen = freeze(campaign, {})
    key = f"{name}--x"
    with open_store(settings.store_url) as store:
        store.runs.open(
            NewRun(key, name, now, Trigger.MANUAL, frozen.json, frozen.hash, now, now + timedelta(days=1))
        )
    return key


@pytest.fixture
def installation(home, world, publish, tmp_path, monkeypatch):
    """A project of its own, with a policy: one message a day."""
    project = tmp_path / "project"
    (project / "dags").mkdir(parents=True)
    (project / "dbt_project").symlink_to(home.dbt_project)
    (project / "dags" / "policies.yaml").write_text(
        "pressure:\n  default:\n    - {name: one_a_day, max: 1, within: 1d}\n"
    )
    populate(world)
    build = publish(home, world)
    (warehouse.builds_folder(home) / build / "segments.json").write_text('["lapsed_customers"]')
    monkeypatch.setenv("KUNDRESA_HOME", str(home.home))
    monkeypatch.setenv("KUNDRESA_PROJECT", str(project))
    from kundresa import settings as configuration

    return configuration.load()


def test_two_processes_that_decide_at_once_keep_to_the_cap(installation, now):
    """Each knows of one run: the second is opened while the first process waits to start, so that either
    decides one or both."""
    keys = [open_in_store(installation, name, now) for name in ("first", "second")]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", DECIDE, key, now.isoformat()],
            stdin=subprocess.PIPE,
            cwd=PLUGINS,
            text=True,
        )
        for key in keys
    ]
    for process in started:
        process.communicate("\n", timeout=300)
    assert [process.returncode for process in started] == [0, 0]
    sent = warehouse.query(installation, "select profile_id from decisions where verdict = 'send'")
    assert Counter(row["profile_id"] for row in sent) == {f"p{number}": 1 for number in range(6)}

    # A third one finds them all reserved, and free again once the run that holds them is cancelled.
    [holder] = [key for key in keys if reasons(installation, key).get(None)]
    third = open_in_store(installation, "third", now)
    decide(installation, third, now)
    assert reasons(installation, third) == {"capped": 6}
    with open_store(installation.store_url) as store:
        store.runs.close(holder, CloseReason.CANCELLED, at=now)
    fourth = open_in_store(installation, "fourth", now)
    decide(installation, fourth, now)
    assert reasons(installation, fourth) == {None: 6}


def decide(settings: Settings, key: str, now) -> None:
    from kundresa.runs.deciding import decide_run

    decide_run(settings, key, clock=lambda: now)


def test_a_plan_counts_what_runs_have_reserved_as_a_decision_would(
    home, world, publish, open_runs, make_run, now, tmp_path
):
    populate(world)
    publish(home, world)
    first = capped_run(make_run, now, "first")
    open_runs(home, world, first)
    warehouse.decide(home, [first.run_key])
    failed = warehouse.query(home, "select message_id, run_key from decisions order by message_id limit 2")

    def planned(name: str, **changes) -> dict[str | None, int]:
        run = capped_run(make_run, now, "planned", decided_at=now + timedelta(hours=1))
        scratch = tmp_path / name
        with warehouse.plan_decisions(home, [run], scratch=scratch, **changes) as plan:
            return {count.reason: count.lines for count in plan.counts()}

    news = [{**row, "state": "failed"} for row in failed]
    assert planned("now", ledger_news=news) == {"capped": 4, None: 2}
    assert planned("stopped", stopped_runs=[first.run_key]) == {None: 6}
    recorded = dict.fromkeys(EXPORTS["ledger"]) | failed[0] | {"state": "withheld"}
    warehouse.export_ledger(home, first.run_key, [recorded])
    assert planned("recorded") == {"capped": 5, None: 1}


def test_a_plan_of_the_past_knows_nothing_of_what_was_decided_since(
    home, world, publish, open_runs, make_run, now
):
    populate(world)
    publish(home, world)
    runs = [capped_run(make_run, now, name) for name in ("first", "second")]
    open_runs(home, world, *runs)
    warehouse.decide(home, [run.run_key for run in runs])
    decided = [{"run_key": run.run_key, "topic": run.topic} for run in runs]
    assert sorted(_runs_decided_until(home, now), key=lambda row: row["run_key"]) == decided
    assert _runs_decided_until(home, now - timedelta(microseconds=1)) == []
