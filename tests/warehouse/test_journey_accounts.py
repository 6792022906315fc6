"""Journeys' messages in the warehouse: they count against campaigns' caps, and stand in the account."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from typing import Any

import pytest

from kundresa import warehouse
from kundresa.runs.journey_accounts import export_journeys, record_journeys
from kundresa.settings import Settings
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.spec.keys import account_key
from kundresa.spec.messages import Receipt
from kundresa.spec.vocabulary import DeliveryReason, FeedbackKind, MessageState, Trigger
from kundresa.store import (
    Advance,
    Approved,
    Candidate,
    Delayed,
    NewFeedback,
    NewMessage,
    NewRun,
    Refused,
    Store,
    open_store,
)
from kundresa.warehouse.exports import journey_day_path

WEEK = timedelta(days=7)
STANDING = "cart.mail.v1--20260201T000000Z"
DAY = "journey.cart--20260301T000000Z"
RUN = "winback--20260301T090000Z"
JOURNEY = Journey.model_validate(
    {
        "name": "cart",
        "owner": "crm",
        "description": "The cart.",
        "entry": {"event": "cart"},
        "topic": "carts",
        "steps": {
            "mail": {
                "kind": "message",
                "channel": {"kind": "email", "template": "m", "account": "a", "sender": "a@shop.example"},
            }
        },
    }
)


class Cart:
    """A journey, and what becomes of its messages."""

    def __init__(self, settings: Settings, now: datetime) -> None:
        self.settings = settings
        self.now = now
        self.sent = 0
        with self.store() as store:
            store.journeys.start("cart", freeze(JOURNEY, {}), cursor="", at=now)
            store.runs.open_standing(
                NewRun(STANDING, "journey cart", now, Trigger.JOURNEY, "{}", "h", now, now + 52 * WEEK)
            )

    def store(self) -> Store:
        return open_store(self.settings.store_url)

    def reach(self, *people: str) -> None:
        messages = [
            NewMessage(
                message_id=f"m-{who}",
                version=1,
                step="mail",
                profile_id=who,
                instance_key="",
                entry=1,
                move=1,
                reached_at=self.now,
                valid_until=self.now + WEEK,
                channel="email",
                run_key=STANDING,
                event_json="{}",
                topic="carts",
                variant="a",
            )
            for who in people
        ]
        with self.store() as store:
            generation = store.journeys.require("cart").generation
            store.journeys.commit("cart", generation, Advance(1, "", messages=messages), at=self.now)

    def decide(self, *people: str, **decided: Any) -> None:
        approved = {(STANDING, "email"): [Approved(f"m-{who}", "{}") for who in people]} if people else {}
        given: dict[str, Any] = {"refused": [], "delayed": []} | decided
        with self.store() as store:
            store.journey_messages.decide(**given, approved=approved, now=self.now)

    def deliver(self, **states: MessageState) -> None:
        reasons = {
            MessageState.FAILED: DeliveryReason.ADDRESS_REFUSED,
            MessageState.UNKNOWN: DeliveryReason.OUTCOME_UNKNOWN,
        }
        receipts = [
            Receipt(f"m-{who}", state, reasons.get(state), provider_id=f"r-{who}")
            for who, state in states.items()
        ]
        self.sent += 1
        with self.store() as store:
            lease = store.batches.lease(STANDING, "email", self.sent, owner="anna", seconds=60, now=self.now)
            store.ledger.claim(lease, [Candidate(f"m-{who}", who) for who in states], now=self.now)
            store.ledger.settle(lease, receipts, now=self.now)


@pytest.fixture
def cart(home, now) -> Cart:
    return Cart(home, now)


def reasons(settings: Settings, campaign: str) -> dict[str, str | None]:
    rows = warehouse.query(
        settings, "select profile_id, reason from decisions where campaign = $campaign", campaign=campaign
    )
    return {row["profile_id"]: row["reason"] for row in rows}


def test_a_campaign_counts_what_journeys_sent_and_what_they_hold(
    cart, home, world, publish, open_runs, make_run, now
):
    people = ("nothing", "sent", "held", "quiet", "failed", "refused", "undecided", "long_ago")
    for who in people:
        world.add_person(who, ["lapsed_customers"], email=f"{who}@x.test")
    publish(home, world)
    cart.now = now - WEEK
    cart.reach("long_ago")
    cart.decide("long_ago")
    cart.deliver(long_ago=MessageState.ACCEPTED)
    cart.now = now - timedelta(hours=1)
    cart.reach("sent", "held", "quiet", "failed", "refused", "undecided")
    cart.decide(
        "sent",
        "failed",
        refused=[Refused("m-refused", "suppressed")],
        delayed=[Delayed("m-quiet", now + timedelta(hours=5))],
    )
    cart.deliver(sent=MessageState.ACCEPTED, failed=MessageState.FAILED)
    cart.decide("held")
    with cart.store() as store:
        assert export_journeys(home, store, now) == [
            account_key("cart", now - WEEK),
            account_key("cart", now),
        ]
        assert export_journeys(home, store, now) == []
    cap = warehouse.RunCap("one_a_week", 1, ("email",), window_seconds=int(WEEK.total_seconds()))
    open_runs(home, world, make_run(caps=(cap,), history_from=now - WEEK))
    warehouse.decide(home, [RUN])
    expected = dict.fromkeys(people) | dict.fromkeys(("sent", "held", "quiet"), "capped")
    assert reasons(home, "winback") == expected

    # What failed meanwhile is free again; what was sent stays.
    cart.deliver(held=MessageState.FAILED)
    with cart.store() as store:
        assert export_journeys(home, store, now + timedelta(seconds=1)) == [DAY]
    later = make_run("later", caps=(cap,), history_from=now - WEEK, exclude=())
    open_runs(home, world, later)
    warehouse.decide(home, [later.run_key])
    # The others have got the campaign of before.
    assert {who for who, why in reasons(home, "later").items() if why is None} == {"held"}


def test_a_plan_counts_journeys_as_of_its_instant(cart, home, world, publish, make_run, now, tmp_path):
    for who in ("early", "late"):
        world.add_person(who, ["lapsed_customers"], email=f"{who}@x.test")
    publish(home, world)
    for who, age in (("early", 48), ("late", 1)):
        cart.now = now - timedelta(hours=age)
        cart.reach(who)
        cart.decide(who)
    with cart.store() as store:
        export_journeys(home, store, now)
    cap = warehouse.RunCap("one_a_week", 1, ("email",), window_seconds=int(WEEK.total_seconds()))
    run = make_run(caps=(cap,), history_from=now - WEEK, include=("lapsed_customers",))
    with warehouse.plan_decisions(home, [run], scratch=tmp_path / "plan") as planned:
        assert reasons(planned.settings, "winback") == {"early": "capped", "late": "capped"}


def test_the_account_of_journeys_is_recorded_and_published(cart, home, world, publish, now):
    """Also where no campaign was ever decided; what has no news is not written again."""
    publish(home, world)
    assert record_journeys(home, clock=lambda: now) == 0
    cart.reach("sent", "lost", "failed", "capped", "held", "quiet", "undecided")
    cart.decide(
        "sent",
        "lost",
        "failed",
        refused=[Refused("m-capped", "capped", "one_a_week"), Refused("m-held", "global_holdout")],
        delayed=[Delayed("m-quiet", now + timedelta(hours=5))],
    )
    cart.deliver(sent=MessageState.ACCEPTED, lost=MessageState.UNKNOWN, failed=MessageState.FAILED)
    assert record_journeys(home, clock=lambda: now) == 1
    lines = warehouse.query(home, "select * from account_lines order by profile_id")
    assert {(row["run_key"], row["campaign"]) for row in lines} == {(DAY, "journey cart")}
    told = {row["profile_id"]: (row["outcome"], row["reason"], row["provider_id"]) for row in lines}
    assert told == {
        "sent": ("sent", None, "r-sent"),
        "lost": ("unknown", "outcome_unknown", "r-lost"),
        "failed": ("failed", "address_refused", "r-failed"),
        "capped": ("excluded", "capped", None),
        "held": ("holdout", "global_holdout", None),
        "quiet": ("pending", None, None),
        "undecided": ("pending", None, None),
    }
    assert {row["decided_at"] for row in lines} == {now}
    delivered = warehouse.query(home, "select profile_id, message_state from deliveries order by all")
    assert [(row["profile_id"], row["message_state"]) for row in delivered] == [
        ("failed", "failed"),
        ("lost", "unknown"),
        ("sent", "accepted"),
    ]
    [capped] = warehouse.query(home, "select cap, verdict from journey_messages where reason = 'capped'")
    assert capped == {"cap": "one_a_week", "verdict": "exclude"}
    [step] = warehouse.query(home, "select * from journey_performance")
    assert (step["journey"], step["step"], step["considered_count"]) == ("cart", "mail", 7)
    assert (step["sent_count"], step["excluded_count"], step["pending_count"]) == (1, 1, 2)
    people = warehouse.query(home, "select sum(people) as people from account_summary")
    assert people == [{"people": 7}]
    # Campaigns' performance is about campaigns.
    assert warehouse.query(home, "select * from campaign_performance") == []

    written = (home.published / "measurement" / "account_lines" / f"{DAY}.parquet").stat().st_mtime_ns
    assert record_journeys(home, clock=lambda: now) == 0
    assert (home.published / "measurement" / "account_lines" / f"{DAY}.parquet").stat().st_mtime_ns == written
    cart.now = now + timedelta(hours=5)
    cart.decide("quiet")
    cart.deliver(quiet=MessageState.ACCEPTED)
    assert record_journeys(home, clock=lambda: cart.now) == 1
    told = warehouse.query(home, "select outcome from account_lines where profile_id = 'quiet'")
    assert told == [{"outcome": "sent"}]
    assert all(
        node.status in ("pass", "success") for c in warehouse.check_history(home).commands for node in c.nodes
    )


def test_what_comes_back_about_a_journey_is_in_its_performance(cart, home, world, publish, now):
    """As its day's other counts are; also the day that an older release published by itself."""
    publish(home, world)
    cart.reach("reads", "silent")
    cart.decide("reads", "silent")
    cart.deliver(reads=MessageState.ACCEPTED, silent=MessageState.ACCEPTED)
    record_journeys(home, clock=lambda: now)
    folder = home.published / "measurement" / "journey_performance"
    shutil.copy(folder / "journey_performance.parquet", folder / f"{DAY}.parquet")
    with cart.store() as store:
        for number, kind in enumerate((FeedbackKind.OPENED, FeedbackKind.CLICKED, FeedbackKind.CLICKED)):
            item = NewFeedback(
                feedback_key=str(number),
                kind=kind,
                channel="email",
                provider="test",
                occurred_at=now,
                received_at=now,
                message_id="m-reads",
                profile_id="reads",
                address="reads@x.test",
            )
            store.feedback.record([item])
        warehouse.export_feedback(home, store.feedback.all_rows())
    assert record_journeys(home, clock=lambda: now) == 0
    [step] = warehouse.query(home, "select * from journey_performance")
    told = [step[f"{name}_count"] for name in ("sent", "opened", "clicked", "automated_clicked")]
    assert told == [2, 1, 1, 0]
    assert [path.name for path in folder.iterdir()] == ["journey_performance.parquet"]


def test_a_day_that_was_exported_and_not_recorded_is_recorded_by_the_next(cart, home, world, publish, now):
    publish(home, world)
    cart.reach("p1")
    with cart.store() as store:
        export_journeys(home, store, now)
    assert set(warehouse.journey_days_due(home)) == {DAY}
    assert record_journeys(home, clock=lambda: now) == 1
    assert warehouse.journey_days_due(home) == {}
    assert len(warehouse.query(home, "select * from account_lines")) == 1


def test_retention_keeps_what_a_cap_may_reach(cart, home, world, publish, now):
    publish(home, world)
    cart.reach("p1")
    with cart.store() as store:
        export_journeys(home, store, now)
    path = journey_day_path(home, DAY)
    long_after = now + timedelta(days=733)
    warehouse.prune_exports(home, long_after)
    assert path.exists()  # it is not recorded
    record_journeys(home, clock=lambda: now)
    warehouse.prune_exports(home, now + timedelta(days=732))
    assert path.exists()
    assert warehouse.prune_exports(home, long_after) == 1
    assert not path.exists()
    warehouse.record(home, ())
    assert len(warehouse.query(home, "select * from account_lines")) == 1
