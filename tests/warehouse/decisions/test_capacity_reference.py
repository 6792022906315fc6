"""Capacities and budgets against a slow, obvious greedy in Python, on random worlds."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import warehouse
from kundresa.runs.limits import run_budgets, run_capacities
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.warehouse.schemas import EXPORTS, PUBLISHED, arrow_schema

CHANNELS = ("email", "sms")
PEOPLE = 120
LIMITS = {"over_capacity", "over_budget"}
AFTER = LIMITS | {"holdout", "global_holdout"}
POLICIES = Policies.model_validate(
    {
        "topics": {"order_updates": {"consent": "exempt", "because": "They were ordered."}},
        "costs": {"currency": "EUR", "per_message": {"email": 0.0005, "sms": 0.04}},
        "capacities": [
            {"name": "gateway", "max": 60, "period": "day", "time_zone": "Asia/Kolkata", "channels": ["sms"]},
            {
                "name": "desk",
                "dates": [
                    {"first": "2026-03-01", "last": "2026-03-02", "max": 90},
                    {"first": "2026-03-04", "last": "2026-03-30", "max": 70},
                ],
                "time_zone": "Europe/Stockholm",
                "campaigns": ["first", "second", "third"],
            },
            {"name": "mail_week", "max": 170, "period": "week", "channels": ["email"]},
            {"name": "all_month", "max": 300, "period": "month"},
        ],
    }
)
RUNS: dict[str, dict[str, Any]] = {
    "first": {"priority": 80, "budget": {"amount": 0.4}},
    "second": {"priority": 50, "audience": {"score": "value"}, "budget": {"amount": 0.3, "per": "month"}},
    "third": {"priority": 50, "priority_score": "value"},
    "free": {"priority": 20, "audience": {"score": "value", "max_size": {"messages": 100}}},
    "orders": {"priority": 10, "topic": "order_updates"},
}


def campaign(name: str) -> Campaign:
    changes = dict(RUNS[name])
    audience = {"include": [f"audience_{name}"], **changes.pop("audience", {})}
    return Campaign.model_validate(
        {
            "name": name,
            "owner": "crm",
            "description": "For a test.",
            "schedule": "manual",
            "audience": audience,
            "topic": "offers",
            "channels": [{"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"}],
            "quality": {"rows": {"min": 0, "max": 10}},
            **changes,
        }
    )


def runs_of(make_run, rng: random.Random, now: datetime) -> list[warehouse.OpenRun]:
    """Everybody's message leaves at a time of its zone, within five days."""
    runs = []
    validity = {"decided_at": now, "valid_until": now + timedelta(days=5)}
    for name in RUNS:
        spec = campaign(name)
        size = spec.audience.max_size
        runs.append(
            make_run(
                name,
                topic=spec.topic,
                priority=spec.priority,
                priority_score=spec.priority_score or "",
                limit_score=spec.audience.score or "",
                max_size=size.messages if size else None,
                sample_salt=f"sample|{name}",
                channels=CHANNELS,
                channel_choice="all",
                holdout_percent=10.0,
                consent="exempt" if name == "orders" else "yes",
                logical_at=now - timedelta(hours=rng.choice((0, 1))),
                valid_until=validity["valid_until"],
                history_from=now - timedelta(days=40),
                include=spec.audience.include,
                exclude=(),
                capacities=run_capacities(spec, POLICIES, **validity),
                budgets=run_budgets(spec, POLICIES, **validity),
                is_timed=True,
                openings=[
                    warehouse.RunOpening(
                        zone, "", now + timedelta(hours=rng.choice((0, 10, 15, 20, 40, 70, 100)))
                    )
                    for zone in ("", "Europe/Stockholm", "Asia/Kolkata")
                ],
            )
        )
    return runs


def fill(world, rng: random.Random) -> None:
    for number in range(PEOPLE):
        profile_id = f"p{number:03}"
        groups = [f"audience_{name}" for name in RUNS if rng.random() < 0.8]
        world.add_person(
            profile_id,
            groups,
            email=f"{profile_id}@x.test" if rng.random() < 0.9 else None,
            sms=f"+467{number:08}" if rng.random() < 0.8 else None,
        )
        world.profiles[-1] |= {
            "time_zone": rng.choice((None, "Europe/Stockholm", "Asia/Kolkata")),
            "total_spend": rng.choice((None, 0.0, 30.0, 50.0, 500.0)),
        }


def earlier_messages(rng: random.Random, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "message_id": f"m{number:06}",
            "campaign": rng.choice((*RUNS, "stranger")),
            "profile_id": f"p{rng.randrange(PEOPLE):03}",
            "entity_id": "",
            "channel": rng.choice(CHANNELS),
            "verdict": rng.choice(("send", "send", "send", "exclude")),
            "send_at": now + timedelta(hours=rng.choice((-24 * 35, -24 * 5, -12, -1, 0, 1, 24, 48, 80))),
            "state": rng.choice((None, "accepted", "claimed", "failed", "withheld")),
        }
        for number in range(150)
    ]


def publish_earlier(settings, rows: list[dict[str, Any]]) -> None:
    """As one published run, with the ledger that was recorded of it."""
    folder = settings.published / "runs" / "earlier"
    (folder / "decisions").mkdir(parents=True)
    write(folder / "run.parquet", "decided_runs", [{"run_key": "earlier", "topic": "offers"}])
    lines = [row | {"run_key": "earlier"} for row in rows]
    write(folder / "decisions" / "decisions.parquet", "decisions", lines)
    ledger = [dict.fromkeys(EXPORTS["ledger"]) | line for line in lines if line["state"] is not None]
    warehouse.export_ledger(settings, "earlier", ledger)


def write(path, table: str, rows: list[dict[str, Any]]) -> None:
    schema = arrow_schema(PUBLISHED[table])
    plain = [
        {
            name: row[name].replace(tzinfo=None) if isinstance(row.get(name), datetime) else row.get(name)
            for name in schema.names
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(plain, schema=schema), path)


class Greedy:
    """One line after the other, each asked for a place in one capacity, then in the next, then for money."""

    def __init__(self, world, runs, earlier, lines) -> None:
        self.spend = {row["profile_id"]: row["total_spend"] for row in world.profiles}
        self.runs = {run.run_key: run for run in runs}
        self.earlier = [
            row for row in earlier if row["verdict"] == "send" and row["state"] not in ("failed", "withheld")
        ]
        self.lines = sorted(lines, key=self.place)

    def place(self, line) -> tuple[Any, ...]:
        run = self.runs[line["run_key"]]
        score = self.spend[line["profile_id"]] if run.limit_score else None
        text = f"{run.sample_salt}|{line['profile_id']}"
        return (
            run.consent != "exempt",
            -line["priority"],
            run.logical_at,
            line["run_key"],
            score is None,
            -(score or 0.0),
            hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
            line["profile_id"],
            line["entity_id"],
            line["channel"],
        )

    def decide(self) -> dict[str, dict[str, Any]]:
        said = {
            line["message_id"]: {
                "capacity": None,
                "capacity_rank": None,
                "budget_spent": None,
                "rules": set(),
            }
            for line in self.lines
        }
        takers = {
            line["message_id"]
            for line in self.lines
            if not set(filter(None, line["failed_rules"].split(","))) - LIMITS
        }
        for capacity in POLICIES.capacities:
            for line in self.fill(capacity, said, takers):
                takers.discard(line["message_id"])
        self.pay(said, takers)
        return said

    def fill(self, capacity, said, takers):
        taken = Counter(
            slot
            for message in self.earlier
            if self.draws(capacity, message) and self.room(capacity, slot := self.slot(capacity, message)) > 0
        )
        refused = []
        for line in self.lines:
            if not self.draws(capacity, line):
                continue
            slot = self.slot(capacity, line)
            mine = said[line["message_id"]]
            if mine["capacity"] is None and taken[slot] + 1 > self.room(capacity, slot):
                mine |= {"capacity": capacity.name, "capacity_rank": taken[slot] + 1}
                mine["rules"].add("over_capacity")
                refused.append(line)
            # Whoever comes after one that found no room is told the place after it.
            taken[slot] += line["message_id"] in takers
        return refused

    def draws(self, capacity, message) -> bool:
        return (capacity.channels is None or message["channel"] in capacity.channels) and (
            capacity.campaigns is None or message["campaign"] in capacity.campaigns
        )

    def slot(self, capacity, message) -> Any:
        day = message["send_at"].astimezone(ZoneInfo(capacity.time_zone)).date()
        if capacity.dates is not None:
            found = [number for number, each in enumerate(capacity.dates) if each.first <= day <= each.last]
            gaps = sum(each.last < day for each in capacity.dates)
            return ("in", found[0]) if found else ("gap", gaps)
        return {"day": day, "week": day.isocalendar()[:2], "month": (day.year, day.month)}[capacity.period]

    def room(self, capacity, slot) -> int:
        if capacity.dates is None:
            return capacity.max
        return capacity.dates[slot[1]].max if slot[0] == "in" else 0

    def pay(self, said, takers) -> None:
        costs = {"email": 500, "sms": 40_000}
        spent: Counter[Any] = Counter()
        specs = {name: campaign(name) for name in RUNS}
        for message in self.earlier:
            if message["campaign"] == "second":
                spent["second", message["send_at"].month] += costs[message["channel"]]
        for line in self.lines:
            budget = specs[line["campaign"]].budget
            if budget is None:
                continue
            key = (line["campaign"], line["send_at"].month if budget.per == "month" else 0)
            comes_to = spent[key] + costs[line["channel"]]
            said[line["message_id"]]["budget_spent"] = pytest.approx(comes_to / 1e6)
            if comes_to > round(budget.amount * 1e6):
                said[line["message_id"]]["rules"].add("over_budget")
            if line["message_id"] in takers:
                spent[key] = comes_to


@pytest.mark.parametrize("seed", [1, 2])
def test_every_place_is_what_the_greedy_says(home, world, publish, open_runs, make_run, now, seed):
    rng = random.Random(seed)
    fill(world, rng)
    earlier = earlier_messages(rng, now)
    runs = runs_of(make_run, rng, now)
    publish(home, world)
    publish_earlier(home, earlier)
    open_runs(home, world, *runs)
    warehouse.decide(home, [run.run_key for run in runs])
    lines = [
        line | {"send_at": line["send_at"].replace(tzinfo=UTC)}
        for line in warehouse.query(
            home,
            "select * from decisions where run_key in (select unnest($keys))",
            keys=[run.run_key for run in runs],
        )
    ]
    assert len(lines) > 600

    expected = Greedy(world, runs, earlier, lines).decide()
    for line in lines:
        found = {
            "rules": set(line["failed_rules"].split(",")) & LIMITS,
            **{name: line[name] for name in ("capacity", "capacity_rank", "budget_spent")},
        }
        assert found == expected[line["message_id"]], line
    # Rich enough: of the four capacities three at least, and a budget, have cut somebody.
    assert len({line["capacity"] for line in lines}) >= 4
    assert "first" in {line["campaign"] for line in lines if line["reason"] == "over_budget"}
    assert {line["campaign"] for line in lines if line["budget_spent"] is not None} == {"first", "second"}
    assert {line["verdict"] for line in lines} == {"send", "holdout", "exclude"}
