"""Capacities and warm-ups on a journey's messages: who leaves when, over campaigns and journeys together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from sqlalchemy import insert

# The shop of the journeys' tests, and its sandbox.
from tests.integration.runs.shop import CAPPED, NOW, WITH_CART_ID, Shop

from kundresa import warehouse
from kundresa.channels import account_from_uri
from kundresa.runs.explaining import explain
from kundresa.runs.journey_accounting import journey_account
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.journey_checking import check_journeys
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import rehearse_journey
from kundresa.runs.journey_reports import explain_journey
from kundresa.runs.journeys import has_work, run_journey, start_journey
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import freeze
from kundresa.spec.vocabulary import CloseReason, Trigger
from kundresa.store import NewRun
from kundresa.store.tables import messages
from kundresa.warehouse.exports import journey_day_path
from kundresa.warehouse.schemas import PUBLISHED, arrow_schema

MIDNIGHT = datetime(2026, 11, 24, tzinfo=UTC)
ONE_A_DAY = "capacities: [{name: desk, max: 1, period: day}]\n"
PLENTY = "max_instances: 100\n" + CAPPED.replace("capped: late", "over_capacity: late, over_warm_up: late")


@pytest.fixture
def limited(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A shop in which a person may have several carts, and its desk takes one message a day."""
    monkeypatch.setattr(warehouse, "person_decisions", lambda *_: [])  # no campaign has considered anybody
    (shop.settings.project / "dags" / "events.yaml").write_text(WITH_CART_ID)
    shop.policies(ONE_A_DAY)
    shop.journey(PLENTY)
    return shop


def carts(at: Shop, count: int, who: str = "anna", name: str = "") -> None:
    for number in range(count):
        at.event(who, value=60, cart_id=f"{name}{number}")


def came_to(at: Shop, who: str = "anna") -> dict[str, tuple[str | None, str | None, datetime | None]]:
    """Instance key → outcome, reason and when it leaves."""
    with at.store() as store:
        own = store.journey_messages.of(f"p-{who}", "cart")
        return {each.instance_key: (each.outcome, each.reason, each.send_at) for each in own}


def test_what_there_is_no_room_for_waits_until_there_is(limited: Shop) -> None:
    assert [each.problems for each in check_journeys(limited.settings, ["cart"])] == [()]
    limited.start()
    carts(limited, 2)
    limited.run()
    # The second would be the second of the day; it leaves in the first minute of the next.
    done = limited.run(hours=1)
    assert (done.accepted, done.decided, done.next_at) == (1, 2, MIDNIGHT)
    reached = limited.now
    places = sorted(each[2] for each in came_to(limited).values())
    assert places == [reached, MIDNIGHT]
    assert limited.run(hours=1).accepted == 0
    assert not has_work(limited.settings, "cart", limited.now)
    carts(limited, 1, "eva", "late")
    limited.run()
    # The place of the next day is taken, and the day after is beyond 24 hours.
    assert limited.run(hours=1).accepted == 0
    assert came_to(limited, "eva")["late0"] == ("not_sent", "over_capacity", None)
    limited.now = MIDNIGHT
    assert limited.run().accepted == 1
    assert {each[0] for each in came_to(limited).values()} == {"sent", "delayed"}


def test_it_is_told_which_had_no_room(limited: Shop) -> None:
    limited.start()
    carts(limited, 2)
    limited.run()
    limited.run(hours=1)
    told = explain_journey(limited.settings, "anna@shop.example", "cart")
    lines = [message for each in told.entries for message in each.messages]
    [waits] = [each for each in lines if each["outcome"] == "under_way"]
    assert (waits["capacity"], waits["send_at"]) == ("desk", MIDNIGHT)
    assert [each["capacity"] for each in lines if each is not waits] == [None]
    [first, second] = sorted(
        explain(limited.settings, "anna@shop.example", "cart"), key=lambda each: each.send_at
    )
    rules = {each.rule: each for each in second.rules}
    assert (second.outcome, second.send_at) == ("pending", MIDNIGHT)
    assert "desk had no place when it was reached" in rules["over_capacity"].value
    assert first.rules[-2].value == "no capacity is used up"
    with limited.store() as store:
        account = journey_account(store, "journey.cart--20261123T000000Z", limited.now)
        assert account is not None
        assert account["channels"]["email"] == {
            "considered": 2,
            "sent": 1,
            "not_sent": {"pending": 1},
            "sum": 2,
            "adds_up": True,
            "decided_send": 2,
        }
        [day] = export_journeys(limited.settings, store, limited.now)
    told_of = pq.read_table(journey_day_path(limited.settings, day)).to_pylist()
    assert sorted((row["capacity"] or "", row["address_domain"], row["is_counted"]) for row in told_of) == [
        ("", "shop.example", True),
        ("desk", "shop.example", True),
    ]


def test_a_step_may_skip_and_the_journey_can_tell(limited: Shop) -> None:
    limited.journey(PLENTY.replace("kind: message\n", "kind: message\n    no_room: skip\n"))
    limited.start()
    carts(limited, 2)
    limited.run()
    assert limited.run(hours=1).accepted == 1
    assert sorted(each[:2] for each in came_to(limited).values()) == [
        ("not_sent", "over_capacity"),
        ("sent", None),
    ]
    with limited.store() as store:
        assert {each.step for each in store.journey_positions.of("cart", ["p-anna"])} == {"rest", "late"}
    [refused] = [
        each
        for each in explain(limited.settings, "anna@shop.example", "cart")
        if each.reason == "over_capacity"
    ]
    assert refused.outcome == "exclude"
    [decided] = [each for each in refused.rules if each.decided]
    assert "desk has no place" in decided.value


def test_it_waits_for_the_end_of_quiet_hours_and_is_under_the_caps_of_when_it_leaves(limited: Shop) -> None:
    night = ONE_A_DAY + 'quiet_hours: [{start: "21:00", end: "08:00"}]\n'
    limited.policies(night)
    limited.start()
    carts(limited, 2)
    limited.run()
    limited.run(hours=1)
    assert sorted(each[2] for each in came_to(limited).values())[1] == MIDNIGHT + timedelta(hours=7)
    limited.policies(night + "pressure: {default: [{name: weekly, max: 2, period: day}]}\n")
    carts(limited, 2, name="more")
    limited.run()
    # Of the third day there is nothing within 24 hours: neither waits, whatever caps there are.
    limited.run(hours=1)
    assert {key: each[1] for key, each in came_to(limited).items() if key.startswith("more")} == {
        "more0": "over_capacity",
        "more1": "over_capacity",
    }
    limited.policies(
        night.replace("max: 1", "max: 2") + "pressure: {default: [{name: a, max: 1, within: 20h}]}"
    )
    carts(limited, 1, name="capped")
    limited.run()
    limited.run(hours=1)
    # There is room today, and the first was sent less than 20 hours ago.
    assert came_to(limited)["capped0"][1] == "capped"


def publish_run(
    at: Shop, sender: str = "Shop <hello@shop.example>", **sends: tuple[str, datetime]
) -> Callable[..., None]:
    """A campaign's run with a message by name: address, and when it leaves. What comes back says what its
    ledger has of some: ``name=state``."""
    key = "winback--1"
    with at.store() as store:
        spec = Campaign.model_validate(
            {
                "name": "winback",
                "owner": "crm",
                "description": "For a test.",
                "schedule": "manual",
                "topic": "offers",
                "audience": {"include": ["vip"]},
                "channels": [{"kind": "email", "template": "m", "account": "a", "sender": sender}],
                "quality": {"rows": {"min": 0, "max": 10}},
            }
        )
        frozen = freeze(spec, {})
        valid = NOW + timedelta(days=2)
        run = NewRun(key, "winback", NOW, Trigger.MANUAL, frozen.json, frozen.hash, NOW, valid)
        store.runs.open(run)
        store.runs.mark_decided([key], at=NOW)
    folder = at.settings.published / "runs" / key
    (folder / "decisions").mkdir(parents=True)
    common = {"run_key": key, "channel": "email", "verdict": "send"}
    lines = [
        common
        | {"message_id": name, "profile_id": name, "address": address, "send_at": leaves.replace(tzinfo=None)}
        for name, (address, leaves) in sends.items()
    ]
    for path, table, some in (
        (folder / "run.parquet", "decided_runs", [{"run_key": key, "topic": "offers"}]),
        (folder / "decisions" / "data_0.parquet", "decisions", lines),
    ):
        schema = arrow_schema(PUBLISHED[table])
        pq.write_table(
            pa.Table.from_pylist([dict.fromkeys(schema.names) | each for each in some], schema), path
        )

    def ledger(**states: str) -> None:
        with at.store() as store, store.database.write() as connection:
            for name, state in states.items():
                row = {"message_id": name, "run_key": key, "channel": "email", "profile_id": name}
                connection.execute(insert(messages), row | {"batch_number": 1, "state": state, "attempts": 1})

    return ledger


def test_what_campaigns_hold_takes_places_and_what_failed_gives_them_back(limited: Shop) -> None:
    limited.policies(ONE_A_DAY.replace("max: 1", "max: 3"))
    today = NOW + timedelta(hours=3)
    ledger = publish_run(
        limited,
        first=("a@x.example", today),
        second=("b@x.example", today),
        yesterday=("c@x.example", NOW - timedelta(days=1)),
        tomorrow=("d@x.example", MIDNIGHT),
    )
    ledger(first="accepted")
    limited.start()
    carts(limited, 2)
    limited.run()
    assert limited.run(hours=1).accepted == 1
    assert sorted(each[2] for each in came_to(limited).values()) == [limited.now, MIDNIGHT]
    # A failure makes room today for who comes next; who waits keeps the place that they have.
    ledger(second="failed")
    carts(limited, 1, name="next")
    limited.run()
    assert limited.run(hours=1).accepted == 1
    assert came_to(limited)["next0"][0] == "sent"


@pytest.mark.parametrize("reason", [CloseReason.COMPLETED, CloseReason.CANCELLED])
def test_of_a_run_that_is_over_what_had_left_counts(limited: Shop, reason: CloseReason) -> None:
    limited.policies(ONE_A_DAY.replace("max: 1", "max: 2"))
    ledger = publish_run(
        limited, **{name: (f"{name}@x.example", NOW + timedelta(hours=3)) for name in ("left", "stayed")}
    )
    ledger(left="accepted")
    if reason is CloseReason.COMPLETED:
        ledger(stayed="withheld")
    with limited.store() as store:
        if reason is CloseReason.COMPLETED:
            store.runs.mark_checked("winback--1")
        store.runs.close("winback--1", reason, at=NOW)
    limited.start()
    carts(limited, 2)
    limited.run()
    assert limited.run(hours=1).accepted == 1


WARM_UP = """
providers: {shop: [shop.example]}
warm_ups:
  - {domain: new.example, start: 2026-11-23, steps: [{days: 1, max: 2}, {days: 9, max: 3}]}
"""
FROM_NEW = PLENTY.replace("hello@shop.example", "hello@NEW.example")


def test_a_new_domain_is_warmed_up_by_campaigns_and_journeys_together(limited: Shop) -> None:
    limited.policies(WARM_UP)
    limited.journey(FROM_NEW)
    publish_run(
        limited,
        "News <news@new.example>",
        shop=("x@shop.example", NOW),
        elsewhere=("y@web.example", NOW),
        another=("z@web.example", NOW),
    )
    limited.start()
    carts(limited, 3)
    limited.run()
    # One place of the provider's two is the campaign's; what went elsewhere took none of them.
    assert limited.run(hours=1).accepted == 1
    assert sorted(each[2] for each in came_to(limited).values()) == [limited.now, MIDNIGHT, MIDNIGHT]
    with limited.store() as store:
        own = list(store.journey_messages.of("p-anna", "cart"))
    assert {(each.sender_domain, each.address_domain) for each in own} == {("new.example", "shop.example")}
    assert sorted(each.capacity or "" for each in own) == ["", "new.example/shop", "new.example/shop"]
    limited.now = MIDNIGHT
    assert limited.run().accepted == 2
    # From the domain that is known nothing is counted.
    limited.journey(PLENTY)
    limited.start()
    carts(limited, 4, name="known")
    limited.run()
    assert limited.run(hours=1).accepted == 4


def test_before_a_warm_up_begins_nothing_leaves(limited: Shop) -> None:
    limited.policies(WARM_UP.replace("2026-11-23", "2026-12-24"))
    limited.journey(FROM_NEW)
    limited.start()
    carts(limited, 1)
    limited.run()
    assert limited.run(hours=1).accepted == 0
    assert came_to(limited)["0"][:2] == ("not_sent", "over_warm_up")


def test_who_leaves_gives_the_place_back(limited: Shop) -> None:
    limited.start()
    carts(limited, 2)
    limited.run()
    limited.run(hours=1)
    limited.event("anna", "order")
    limited.run()
    assert sorted(each[1] or "" for each in came_to(limited).values()) == ["", "run_cancelled"]
    carts(limited, 1, "eva", "next")
    limited.run()
    limited.run(hours=1)
    assert came_to(limited, "eva")["next0"] != ("not_sent", "over_capacity", None)
    with limited.store() as store:
        [text] = [each for each in store.journey_messages.of("p-eva", "cart") if each.step == "text"]
    assert (text.send_at, text.capacity) == (MIDNIGHT, "desk")


def test_nothing_is_counted_while_a_campaign_is_deciding_whatever_the_topic(limited: Shop) -> None:
    limited.policies(ONE_A_DAY + "topics: {offers: {consent: exempt, because: ordered}}\n")
    limited.start()
    carts(limited, 1)
    limited.run()
    with FileLock(limited.settings.home / "decide.lock"):
        assert limited.run(hours=1).decided == 0
    assert limited.run(seconds=5).accepted == 1


def test_a_capacity_that_names_campaigns_is_theirs(limited: Shop) -> None:
    limited.policies("capacities: [{name: desk, max: 0, period: day, campaigns: [cart]}]\n")
    limited.start()
    carts(limited, 2)
    limited.run()
    assert limited.run(hours=1).accepted == 2


def test_two_journeys_at_once_share_what_there_is(limited: Shop, store_url: str) -> None:
    """However often, and beside whom, each is advanced: no day gets more than it can take."""
    limited.settings = replace(limited.settings, store_url=store_url)
    limited.policies(ONE_A_DAY.replace("max: 1", "max: 5"))
    names = ("cart", "basket")
    for name in names:
        folder = limited.settings.journeys / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in (limited.settings.journeys / "cart").iterdir():
            if path.name != "journey.yaml":
                (folder / path.name).write_text(path.read_text())
        (folder / "journey.yaml").write_text(
            PLENTY.replace("kind: message\n", "kind: message\n    valid_for: 9d\n")
        )
        start_journey(limited.settings, name, clock=lambda: limited.now)
    carts(limited, 12)

    def run(number: int) -> int:
        done = run_journey(
            limited.settings,
            names[number % 2],
            owner=f"worker {number} {limited.now}",
            account_of=lambda name: account_from_uri(limited.accounts[name], name=name),
            clock=lambda: limited.now,
        )
        return done.accepted

    def round_of_all() -> int:
        total = 0
        with ThreadPoolExecutor(4) as workers:
            total += sum(workers.map(run, range(4)))
        for _ in range(3):  # who was not alone looks again five seconds later
            limited.now += timedelta(seconds=6)
            total += sum(map(run, range(2)))
        return total

    round_of_all()
    limited.now += timedelta(hours=1)
    assert round_of_all() == 5
    sent = [5]
    while sum(sent) < 24:
        limited.now = datetime.combine(limited.now.date(), datetime.min.time(), UTC) + timedelta(days=1)
        sent.append(round_of_all())
    assert sent == [5, 5, 5, 5, 4]


def test_a_plan_and_a_rehearsal_keep_room(limited: Shop) -> None:
    limited.start()
    carts(limited, 2)
    limited.now += timedelta(hours=2)

    def planned(now: datetime) -> Any:
        return plan_journey(limited.settings, "cart", days=1, clock=lambda: now).messages["mail"]

    def rehearsed() -> list[tuple[str | None, datetime]]:
        data = {"value": 1, "cart_id": "x"}
        found = rehearse_journey(
            limited.settings, "cart", "anna@shop.example", data=data, clock=lambda: limited.now
        )
        return [(each.reason, each.at) for each in found.messages]

    assert planned(limited.now) == {"sent": 1, "under_way": 1}
    assert planned(MIDNIGHT + timedelta(hours=1)) == {"sent": 1, "delayed": 1}
    assert rehearsed() == [(None, limited.now + timedelta(hours=1))]
    limited.run()
    assert sorted(each[2] for each in came_to(limited).values()) == [limited.now, MIDNIGHT]
    # Today and tomorrow the desk has no place any more.
    assert rehearsed() == [("over_capacity", limited.now + timedelta(hours=1))]
    limited.policies(ONE_A_DAY.replace("max: 1", "max: 2"))
    assert rehearsed() == [(None, limited.now + timedelta(hours=1))]
