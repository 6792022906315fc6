"""Warm-ups against a slow, obvious greedy in Python, on random worlds."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kundresa import warehouse
from kundresa.runs.limits import run_capacities
from kundresa.runs.warming import run_warm_ups, sender_domain
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.warehouse.schemas import EXPORTS, PUBLISHED, arrow_schema

PEOPLE = 120
RULE = "over_warm_up"
DOMAINS = ("gmail.com", "googlemail.com", "outlook.com", "web.example", "gmail.com.example")
POLICIES = Policies.model_validate(
    {
        "topics": {"order_updates": {"consent": "exempt", "because": "They were ordered."}},
        "providers": {"google": ["gmail.com", "googlemail.com"], "microsoft": ["outlook.com"]},
        "warm_ups": [
            {
                "domain": "new.example",
                "start": "2026-03-02",
                "time_zone": "Asia/Kolkata",
                "steps": [{"days": 1, "max": 8}, {"days": 1, "max": 15}, {"days": 1, "max": 40}],
                "per_provider": {"google": [{"days": 2, "max": 12}, {"days": 2, "max": 25}]},
            },
            {
                "domain": "news.new.example",
                "start": "2026-02-20",
                "time_zone": "Europe/Stockholm",
                "steps": [{"days": 10, "max": 5}, {"days": 1, "max": 20}],
            },
        ],
        "capacities": [{"name": "desk", "max": 60, "period": "day"}],
    }
)
RUNS: dict[str, dict[str, Any]] = {
    "first": {"priority": 80},
    "second": {"priority": 50, "audience": {"score": "value"}},
    "orders": {"priority": 10, "topic": "order_updates"},
    "letters": {"priority": 90, "sender": "News <hello@news.new.example>"},
    "warm": {"priority": 95, "sender": "Old <hello@old.example>"},
}


def campaign(name: str) -> Campaign:
    changes = dict(RUNS[name])
    sender = changes.pop("sender", "Shop <hello@New.example>")
    return Campaign.model_validate(
        {
            "name": name,
            "owner": "crm",
            "description": "For a test.",
            "schedule": "manual",
            "audience": {"include": [f"audience_{name}"], **changes.pop("audience", {})},
            "topic": "offers",
            "channels": [
                {"kind": "email", "template": "mail", "account": "mails", "sender": sender},
                {"kind": "sms", "template": "text", "account": "texts", "sender": "Shop"},
            ],
            "quality": {"rows": {"min": 0, "max": 10}},
            **changes,
        }
    )


def runs_of(make_run, rng: random.Random, now: datetime) -> list[warehouse.OpenRun]:
    """Everybody's message leaves at a time of its zone, within five days."""
    validity = {"decided_at": now, "valid_until": now + timedelta(days=5)}
    return [
        make_run(
            name,
            topic=spec.topic,
            priority=spec.priority,
            limit_score=spec.audience.score or "",
            sample_salt=f"sample|{name}",
            channels=("email", "sms"),
            channel_choice="all",
            holdout_percent=10.0,
            consent="exempt" if name == "orders" else "yes",
            logical_at=now - timedelta(hours=rng.choice((0, 1))),
            valid_until=validity["valid_until"],
            history_from=now - timedelta(days=2),
            include=spec.audience.include,
            exclude=(),
            capacities=run_capacities(spec, POLICIES, **validity),
            warm_ups=run_warm_ups(spec, POLICIES, **validity),
            is_timed=True,
            openings=[
                warehouse.RunOpening(zone, "", now + timedelta(hours=rng.choice((0, 10, 15, 33, 57, 100))))
                for zone in ("", "Europe/Stockholm", "Asia/Kolkata")
            ],
        )
        for name, spec in ((name, campaign(name)) for name in RUNS)
    ]


def fill(world, rng: random.Random) -> None:
    for number in range(PEOPLE):
        profile_id = f"p{number:03}"
        domain = rng.choice(DOMAINS)
        world.add_person(
            profile_id,
            [f"audience_{name}" for name in RUNS if rng.random() < 0.8],
            email=f"{profile_id}@{domain if rng.random() < 0.5 else domain.title()}"
            if rng.random() < 0.9
            else None,
            sms=f"+467{number:08}",
        )
        world.profiles[-1] |= {
            "time_zone": rng.choice((None, "Europe/Stockholm", "Asia/Kolkata")),
            "total_spend": rng.choice((None, 0.0, 30.0, 50.0, 500.0)),
        }


def earlier_messages(rng: random.Random, now: datetime) -> list[dict[str, Any]]:
    return [
        {
            "message_id": f"m{number:06}",
            "run_key": rng.choice(("earlier_shop", "earlier_news", "earlier_old")),
            "campaign": "stranger",
            "profile_id": f"p{rng.randrange(PEOPLE):03}",
            "entity_id": "",
            "channel": rng.choice(("email", "email", "email", "sms")),
            "address": f"X{number}@{rng.choice(DOMAINS)}",
            "verdict": rng.choice(("send", "send", "send", "exclude")),
            "send_at": now + timedelta(hours=rng.choice((-40, -12, -1, 0, 1, 24, 40, 60, 80))),
            "state": rng.choice((None, "accepted", "claimed", "failed", "withheld")),
        }
        for number in range(150)
    ]


SENDERS = {"earlier_shop": "new.example", "earlier_news": "news.new.example"}
"""The third has sent from a domain that is warm."""


def publish_earlier(settings, rows: list[dict[str, Any]]) -> None:
    for key in {row["run_key"] for row in rows}:
        folder = settings.published / "runs" / key
        (folder / "decisions").mkdir(parents=True)
        write(folder / "run.parquet", "decided_runs", [{"run_key": key, "topic": "offers"}])
        lines = [row for row in rows if row["run_key"] == key]
        write(folder / "decisions" / "decisions.parquet", "decisions", lines)
        ledger = [dict.fromkeys(EXPORTS["ledger"]) | line for line in lines if line["state"] is not None]
        warehouse.export_ledger(settings, key, ledger)
    senders = [{"run_key": key, "domain": domain} for key, domain in SENDERS.items()]
    warehouse.export_sending_runs(settings, senders)


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
    """One line after the other, each asked for a place on its day."""

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
        )

    def decide(self) -> dict[str, tuple[bool, str | None, int | None]]:
        taken: Counter[Any] = Counter()
        for message in self.earlier:
            domain = SENDERS.get(message["run_key"])
            if domain and message["channel"] == "email":
                slot = self.slot(domain, message)
                taken[slot] += self.limit(slot) != 0
        said = {}
        for line in self.lines:
            domain = sender_domain(campaign(line["campaign"]))
            found: tuple[bool, str | None, int | None] = (False, None, None)
            if line["channel"] == "email" and line["address"] and domain != "old.example":
                slot = self.slot(domain, line)
                limit = self.limit(slot)
                if limit is not None and taken[slot] >= limit:
                    found = (True, f"{slot[0]}/{slot[1]}", taken[slot] + 1)
                # Whoever comes after one that found no room is told the place after it.
                rules = set(filter(None, line["failed_rules"].split(",")))
                taken[slot] += not rules - {RULE, "over_capacity"}
            said[line["message_id"]] = found
        return said

    def slot(self, domain: str, message) -> tuple[str, str, date]:
        (warm_up,) = (each for each in POLICIES.warm_ups if each.domain == domain)
        address_domain = message["address"].lower().split("@")[1]
        groups = [name for name, domains in POLICIES.providers.items() if address_domain in domains]
        day = message["send_at"].astimezone(ZoneInfo(warm_up.time_zone)).date()
        # All days before the first are one, on which there is room for nothing.
        return domain, groups[0] if groups else "other", max(day, warm_up.start - timedelta(days=1))

    def limit(self, slot) -> int | None:
        (warm_up,) = (each for each in POLICIES.warm_ups if each.domain == slot[0])
        if slot[2] < warm_up.start:
            return 0
        steps = warm_up.per_provider.get(slot[1], warm_up.steps)
        every_day = [step.max for step in steps for _ in range(step.days)]
        number = (slot[2] - warm_up.start).days
        return every_day[number] if number < len(every_day) else None


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
        is_over = RULE in line["failed_rules"].split(",")
        told = (line["capacity"], line["capacity_rank"]) if is_over else (None, None)
        assert (is_over, *told) == expected[line["message_id"]], line
    # Rich enough: both domains have cut somebody, at every provider, and let others pass.
    cut = [line["capacity"].split("/") for line in lines if line["reason"] == RULE]
    assert {domain for domain, _ in cut} == {*SENDERS.values()}
    assert {provider for _, provider in cut} == {"google", "microsoft", "other"}
    assert {line["campaign"] for line in lines if line["reason"] == RULE} == {*RUNS} - {"warm"}
    sent = {line["campaign"] for line in lines if line["verdict"] == "send" and line["channel"] == "email"}
    assert "warm" in sent
    assert len(sent) >= 2
