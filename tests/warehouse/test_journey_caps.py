"""Caps on a journey's message against those on a campaign's, for the same people with the same history."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import insert

from kundresa import warehouse
from kundresa.runs.capping import run_caps
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_caps import CapContext, caps_of, look_up_allowance
from kundresa.runs.journey_people import JourneyPeople
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.spec.policies import Policies, exempt_topics
from kundresa.spec.vocabulary import Trigger
from kundresa.store import Advance, Approved, Delayed, NewMessage, NewRun, Store, open_store
from kundresa.store.tables import messages
from kundresa.warehouse.schemas import EXPORTS, PUBLISHED, arrow_schema
from kundresa.warehouse.sent_messages import _Run

PEOPLE = 80
ZONES = ("Europe/Stockholm", "America/New_York", "Asia/Kolkata", "Mars/Olympus", None)
TOPICS = ("offers", "newsletter", "order_updates")
POLICIES = Policies.model_validate(
    {
        "topics": {"order_updates": {"consent": "exempt", "because": "They were ordered."}},
        "pressure": {
            "default": [
                {"name": "all_week", "max": 3, "within": "7d"},
                {"name": "email_2d", "max": 1, "within": "2d", "channels": ["email"]},
                {"name": "a_day", "max": 1, "period": "day", "time_zone": "recipient"}
                | {"channels": ["email"]},
                {"name": "offers_week", "max": 2, "period": "week", "time_zone": "Asia/Kolkata"}
                | {"topics": ["offers", "order_updates"]},
                {"name": "a_month", "max": 6, "period": "month", "counted_per": "region"},
                {"name": "house_3d", "max": 3, "within": "3d", "counted_per": "region"},
            ]
        },
    }
)


def campaign() -> Campaign:
    return Campaign.model_validate(
        {
            "name": "winback",
            "owner": "crm",
            "description": "For a test.",
            "schedule": "manual",
            "topic": "offers",
            "audience": {"include": ["lapsed_customers"]},
            "channels": [{"kind": "email", "template": "m", "account": "a", "sender": "a@shop.example"}],
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
        "steps": {"mail": {"kind": "message", "channel": campaign().channels[0].model_dump()}},
    }
)


def history(rng: random.Random, now: datetime) -> list[dict[str, Any]]:
    hours = (-24 * 35, -24 * 8, -24 * 7, -24 * 7 + 1, -49, -48, -47, -25, -12, -1, 0, 1, 24, 100)
    return [
        {
            "message_id": f"m{number:06}",
            "run_key": f"earlier_{rng.choice(TOPICS)}",
            "profile_id": rng.choice((f"p{rng.randrange(PEOPLE):03}", f"old{rng.randrange(10)}")),
            "channel": rng.choice(("email", "sms")),
            "verdict": rng.choice(("send", "send", "exclude")),
            "send_at": now + timedelta(hours=rng.choice(hours)),
            "state": rng.choice((None, "accepted", "claimed", "deferred", "failed", "withheld")),
        }
        for number in range(3 * PEOPLE)
    ]


def publish_history(settings: Settings, store: Store, rows: list[dict[str, Any]], now: datetime) -> None:
    """As the runs that they name are published, with the same ledgers in the store and in the warehouse."""
    by_run = defaultdict(list)
    for row in rows:
        by_run[row["run_key"]].append(row)
    for run_key, lines in by_run.items():
        folder = settings.published / "runs" / run_key
        (folder / "decisions").mkdir(parents=True)
        topic = run_key.removeprefix("earlier_")
        write(folder / "run.parquet", "decided_runs", [{"run_key": run_key, "topic": topic}])
        decided = [{"entity_id": "", "campaign": "earlier", **line} for line in lines]
        write(folder / "decisions" / "decisions.parquet", "decisions", decided)
        ledger = [dict.fromkeys(EXPORTS["ledger"]) | line for line in lines if line["state"] is not None]
        warehouse.export_ledger(settings, run_key, ledger)
    with store.database.write() as connection:
        connection.execute(
            insert(messages),
            [
                {name: row[name] for name in ("message_id", "run_key", "channel", "profile_id", "state")}
                | {"batch_number": 1, "attempts": 1}
                for row in rows
                if row["state"] is not None
            ],
        )


def write(path, table: str, rows: list[dict[str, Any]]) -> None:
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
    """Some messages of a journey about another topic, decided at different times."""
    store.journeys.start("cart", freeze(JOURNEY, {}), cursor="", at=now)
    store.runs.open_standing(
        NewRun("standing", "journey cart", now, Trigger.JOURNEY, "{}", "h", now, now + timedelta(days=99))
    )
    for number in range(PEOPLE // 2):
        at = now - timedelta(hours=rng.choice((0, 1, 30, 49, 24 * 6)))
        made = NewMessage(
            message_id=f"j{number}",
            version=1,
            step="mail",
            profile_id=f"p{rng.randrange(PEOPLE):03}",
            instance_key=str(number),
            entry=1,
            move=1,
            reached_at=at,
            valid_until=at + timedelta(days=2),
            channel="email",
            run_key="standing",
            event_json="{}",
            topic=rng.choice(("carts", "order_updates")),
            variant=None,
        )
        generation = store.journeys.require("cart").generation
        store.journeys.commit("cart", generation, Advance(1, "", messages=[made]), at=at)
        if rng.random() < 0.3:
            given = {"delayed": [Delayed(made.message_id, at + timedelta(hours=9))], "approved": {}}
        else:
            given = {"delayed": [], "approved": {("standing", "email"): [Approved(made.message_id, "{}")]}}
        if rng.random() < 0.9:
            store.journey_messages.decide(refused=[], **given, now=at)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_journeys_caps_say_what_a_campaigns_do(home, world, publish, open_runs, make_run, now, seed):
    rng = random.Random(seed)
    for number in range(PEOPLE):
        world.add_person(f"p{number:03}", ["lapsed_customers"], email=f"p{number}@x.test")
        world.profiles[-1] |= {
            "time_zone": rng.choice(ZONES),
            "region": rng.choice((None, *(f"house {n}" for n in range(PEOPLE // 3)))),
        }
    world.profile_redirects = [
        {"profile_id": f"old{number}", "current_profile_id": f"p{number:03}", "redirected_at": now}
        for number in range(10)
    ]
    publish(home, world)
    warehouse.export_policies(home, exempt_topics=exempt_topics(POLICIES), allow_list=())
    valid_until = now + timedelta(days=1)
    caps = run_caps(campaign(), POLICIES, decided_at=now, valid_until=valid_until)
    with open_store(home.store_url) as store, JourneyPeople(home) as people:
        publish_history(home, store, history(rng, now), now)
        send_by_journey(store, rng, now)
        export_journeys(home, store, now)
        run = make_run(caps=caps, valid_until=valid_until, history_from=now - timedelta(days=40), exclude=())
        open_runs(home, world, run)
        warehouse.decide(home, [run.run_key])
        decided = warehouse.query(
            home, "select profile_id, reason, cap from decisions where run_key = $key", key=run.run_key
        )
        expected = {row["profile_id"]: row["cap"] if row["reason"] == "capped" else None for row in decided}

        recipients = people.published.recipients(
            sorted(expected), channel="email", topic="offers", is_exempt=False, now=now
        )
        # The run that was just decided is published: what it sends is not what was there before it.
        people.sent._runs[run.run_key] = _Run("offers", (), None)
        step = JOURNEY.message_campaign("mail")
        found = look_up_allowance(
            caps_of(step, POLICIES),
            POLICIES,
            list(recipients.values()),
            CapContext(people, (store,), []),
            earliest=now,
            now=now,
        )
        told = {who: found.full("new", each, now) for who, each in recipients.items()}
    assert told == expected
    # A guard that proves that it looked: nearly every cap stops somebody, and many get through.
    assert len({cap for cap in told.values() if cap}) >= 5
    assert sum(cap is None for cap in told.values()) >= 10
