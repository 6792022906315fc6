"""Capacities and warm-ups: what a journey counts against what a campaign's decision does."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import insert

from kundresa import warehouse
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_limits import Taken, limits_of
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.limits import run_capacities
from kundresa.runs.reservations import export_ledger_news
from kundresa.runs.warming import run_warm_ups, sending_runs
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.spec.policies import Policies, exempt_topics
from kundresa.spec.vocabulary import CloseReason, Trigger
from kundresa.store import Advance, Approved, Delayed, NewMessage, NewRun, Store, open_store
from kundresa.store.tables import messages
from kundresa.warehouse.exports import journey_day_path
from kundresa.warehouse.schemas import EXPORTS, PUBLISHED, arrow_schema
from kundresa.warehouse.sent_messages import _Run

DAYS = 3
DOMAINS = ("gmail.com", "googlemail.com", "web.example", "Gmail.com.example")
POLICIES = Policies.model_validate(
    {
        "topics": {"order_updates": {"consent": "exempt", "because": "They were ordered."}},
        "providers": {"google": ["gmail.com", "googlemail.com"], "web": ["web.example"]},
        "warm_ups": [
            {
                "domain": "new.example",
                "start": "2026-02-28",
                "time_zone": "Asia/Kolkata",
                "steps": [{"days": 9, "max": 1}],
            }
        ],
        "capacities": [
            {"name": "desk", "max": 1, "period": "day", "time_zone": "America/New_York"},
            {"name": "week", "max": 1, "period": "week", "channels": ["email"]},
            {"name": "texts", "max": 1, "period": "day", "channels": ["sms"]},
            {"name": "theirs", "max": 1, "period": "day", "campaigns": ["other"]},
        ],
    }
)
ZONES = ("Europe/Stockholm", "Asia/Kolkata", "America/New_York")


def campaign(name: str, sender: str = "Shop <hello@New.example>") -> Campaign:
    return Campaign.model_validate(
        {
            "name": name,
            "owner": "crm",
            "description": "For a test.",
            "schedule": "manual",
            "topic": "offers",
            "audience": {"include": ["lapsed_customers"]},
            "channels": [{"kind": "email", "template": "m", "account": "a", "sender": sender}],
            "quality": {"rows": {"min": 0, "max": 10}},
        }
    )


JOURNEY = Journey.model_validate(
    {
        "name": "cart",
        "owner": "crm",
        "description": "The cart.",
        "entry": {"event": "cart"},
        "topic": "offers",
        "steps": {
            "mail": {
                "kind": "message",
                "valid_for": "3d",
                "channel": campaign("x").channels[0].model_dump(),
            }
        },
    }
)
SENDERS = {"first": "Shop <hello@New.example>", "second": "Shop <hello@old.example>", "over": "a@new.example"}


def send_by_campaigns(home: Settings, store: Store, rng: random.Random, now: datetime) -> None:
    """Three runs, of which one was cancelled, with a ledger of some of their messages."""
    for name, sender in SENDERS.items():
        key = f"{name}--20260227T090000Z"
        frozen = freeze(campaign(name, sender), {})
        at, until = now - timedelta(days=2), now + timedelta(days=9)
        store.runs.open(NewRun(key, name, at, Trigger.MANUAL, frozen.json, frozen.hash, at, until))
        store.runs.mark_decided([key], at=at)
        lines = [
            {
                "message_id": f"{name}{number}",
                "run_key": key,
                "campaign": name,
                "profile_id": f"old{number}",
                "entity_id": "",
                "channel": rng.choice(("email", "email", "sms")),
                "verdict": rng.choice(("send", "send", "exclude")),
                "address": f"{name}{number}@{rng.choice(DOMAINS)}",
                "send_at": now + timedelta(hours=rng.randrange(-30, 24 * DAYS)),
                "state": rng.choice((None, None, "accepted", "unknown", "deferred", "failed", "withheld")),
            }
            for number in range(120)
        ]
        folder = home.published / "runs" / key
        (folder / "decisions").mkdir(parents=True)
        write(folder / "run.parquet", "decided_runs", [{"run_key": key, "topic": "offers"}])
        write(folder / "decisions" / "decisions.parquet", "decisions", lines)
        with store.database.write() as connection:
            connection.execute(
                insert(messages),
                [
                    {each: line[each] for each in ("message_id", "run_key", "channel", "profile_id", "state")}
                    | {"batch_number": 1, "attempts": 1}
                    for line in lines
                    if line["state"] is not None and line["verdict"] == "send"
                ],
            )
    store.runs.close("over--20260227T090000Z", CloseReason.CANCELLED, at=now)


def write(path: Any, table: str, rows: list[dict[str, Any]]) -> None:
    schema = arrow_schema(PUBLISHED[table])
    plain = [
        {
            name: row[name].astimezone(UTC).replace(tzinfo=None)
            if isinstance(row.get(name), datetime)
            else row.get(name)
            for name in schema.names
        }
        for row in rows
    ]
    pq.write_table(pa.Table.from_pylist(plain, schema=schema), path)


def send_by_journey(store: Store, rng: random.Random, now: datetime) -> None:
    """Messages of a journey that have left and that wait, to all providers and from two domains."""
    store.journeys.start("cart", freeze(JOURNEY, {}), cursor="", at=now)
    valid = now + timedelta(days=99)
    store.runs.open_standing(NewRun("standing", "journey cart", now, Trigger.JOURNEY, "{}", "h", now, valid))
    for number in range(80):
        at = now - timedelta(hours=rng.randrange(30))
        channel = rng.choice(("email", "email", "sms"))
        topic = rng.choice(("offers", "order_updates"))
        made = NewMessage(
            f"j{number}", 1, "mail", f"p{number}", str(number), 1, 1, at, at + timedelta(days=3), channel,
            "standing", "{}", topic, None,
        )  # fmt: skip
        generation = store.journeys.require("cart").generation
        store.journeys.commit("cart", generation, Advance(1, "", messages=[made]), at=at)
        to: dict[str, Any] = {}
        if channel == "email":
            to["sender_domain"] = rng.choice(("new.example", "new.example", "old.example"))
            to["address_domain"] = rng.choice(DOMAINS).lower()
        decided: dict[str, Any] = {"delayed": [], "approved": {}}
        if rng.random() < 0.5:
            later = now + timedelta(hours=rng.randrange(24 * DAYS))
            decided["delayed"] = [Delayed(made.message_id, later, **to)]
        else:
            decided["approved"] = {("standing", channel): [Approved(made.message_id, "{}", **to)]}
        store.journey_messages.decide(refused=[], **decided, now=at)


def test_a_journey_counts_what_a_campaign_does(home, world, publish, open_runs, make_run, now):
    """Every limit has one place, and it is taken: the place that is told to the first who finds none is one
    more than those that are taken."""
    rng = random.Random(1)
    people = {
        f"p{number:03}": (f"p{number}@{rng.choice(DOMAINS)}", rng.choice(ZONES)) for number in range(90)
    }
    for who, (address, zone) in people.items():
        world.add_person(who, ["lapsed_customers"], email=address)
        world.profiles[-1] |= {"time_zone": zone}
    publish(home, world)
    warehouse.export_policies(home, exempt_topics=exempt_topics(POLICIES), allow_list=())
    validity = {"decided_at": now, "valid_until": now + timedelta(days=DAYS)}
    leaves = {zone: now + timedelta(hours=30 * number) for number, zone in enumerate(ZONES)}
    with open_store(home.store_url) as store, JourneyPeople(home) as known:
        send_by_campaigns(home, store, rng, now)
        send_by_journey(store, rng, now)
        export_journeys(home, store, now)
        export_ledger_news(home, store, now)
        warehouse.export_sending_runs(home, sending_runs(store, POLICIES, now))
        # One after the other: what a warm-up stops takes no place in a capacity.
        limited = {
            "asks_warm_ups": {"warm_ups": run_warm_ups(campaign("x"), POLICIES, **validity)},
            "asks_desk": {"capacities": run_capacities(campaign("x"), POLICIES, **validity)[:1]},
            "asks_week": {"capacities": run_capacities(campaign("x"), POLICIES, **validity)[1:2]},
        }
        runs = [
            make_run(
                name,
                valid_until=validity["valid_until"],
                history_from=now - timedelta(days=40),
                exclude=(),
                is_timed=True,
                openings=[warehouse.RunOpening(zone, "", at) for zone, at in leaves.items()],
                **limits,
            )
            for name, limits in limited.items()
        ]
        open_runs(home, world, *runs)
        warehouse.decide(home, [run.run_key for run in runs])
        for run in runs:
            # What these send is not what was there before them.
            known.sent._runs[run.run_key] = _Run("offers", (), None)
        taken = Taken(known, (store,), now=now)
        step = JOURNEY.message_campaign("mail")
        limits = {
            each.name: each for each in limits_of(step, POLICIES, first=now, last=validity["valid_until"])
        }
        told: dict[tuple[str, datetime], int] = {}
        counted = {}
        for row in warehouse.query(
            home, "select capacity, send_at, capacity_rank from decisions where capacity is not null"
        ):
            limit = limits[row["capacity"]]
            period = limit.period(row["send_at"])
            assert period is not None
            key = limit.name, period[0]
            told[key] = min(told.get(key, 999), row["capacity_rank"] - 1)
            assert taken.is_full(limit, period, own=0)
            counted[key] = taken._counts[key]
    assert counted == told
    # A guard that proves that it looked: at every limit, and at days of a few messages and of many.
    assert {name for name, _ in told} >= {
        "new.example/google",
        "new.example/web",
        "new.example/other",
        "desk",
        "week",
    }
    assert min(told.values()) < 10 < max(told.values())


def test_days_that_an_older_release_exported_get_the_columns_that_they_lack(home, world, publish, now):
    publish(home, world)
    with open_store(home.store_url) as store:
        send_by_journey(store, random.Random(1), now)
        [day, *_] = export_journeys(home, store, now)
    paths = journey_day_path(home, day), journey_day_path(home, "no_run")
    before = pq.read_table(paths[0])
    for path in paths:
        pq.write_table(
            pq.read_table(path).drop_columns(["capacity", "sender_domain", "address_domain"]), path
        )
    warehouse.ensure_exports(home)
    after = pq.read_table(paths[0])
    assert after.schema.equals(arrow_schema(EXPORTS["journey_messages"]))
    assert after.column("capacity").null_count == after.num_rows
    kept = [
        name for name in after.column_names if name not in ("capacity", "sender_domain", "address_domain")
    ]
    assert after.select(kept).equals(before.select(kept))
    assert set(pq.read_schema(paths[1]).names) == set(EXPORTS["journey_messages"])
