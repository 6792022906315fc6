"""The shipped journey that escalates from channel to channel: who gets what, and when it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from kundresa.spec.journey_loading import load_journey
from kundresa.spec.machines import KNOWN_AFTER

WIN_BACK = Path(__file__).resolve().parents[3] / "dags" / "journeys" / "win_back"


@pytest.fixture
def lapsed(world):
    """Anna has lapsed; it is the next morning at nine, where she is."""
    world.start(load_journey(WIN_BACK).model_copy(update={"name": "cart"}))
    world.people.profiles["anna"] = {"orders_count": 2, "time_zone": "Europe/Stockholm"}
    world.people.profiles["bo"] = {"orders_count": 1, "time_zone": "Europe/Stockholm"}
    for who in ("anna", "bo"):
        world.people.change("lapsed_customers", who, world.now)
    world.advance()
    assert world.store.journey_positions.of("cart", ["bo"]) == []
    [position] = world.store.journey_positions.of("cart", ["anna"])
    assert position.due_at.astimezone(ZoneInfo("Europe/Stockholm")).hour == 9
    world.now = position.due_at
    world.advance()
    assert world.at("anna").step == "letter"
    return world


def steps(world) -> list[str]:
    return [step for step, _ in world.way("anna")]


def settle(world, outcome: str, reason: str | None = None) -> None:
    assert world.settle(outcome, reason) == 1
    world.advance()


def test_who_follows_the_link_is_left_alone(lapsed):
    settle(lapsed, "sent")
    lapsed.after(days=4)
    lapsed.react("anna", "clicked")
    lapsed.now += KNOWN_AFTER
    lapsed.advance()
    assert steps(lapsed) == ["morning", "letter", "followed", "end"]


def test_who_does_not_gets_a_push_and_without_an_app_a_text(lapsed):
    settle(lapsed, "sent")
    lapsed.now += KNOWN_AFTER
    lapsed.after(days=5)
    assert lapsed.at("anna").step == "push"
    settle(lapsed, "not_sent", "contact_point_missing")
    assert lapsed.at("anna").step == "text"
    settle(lapsed, "sent")
    assert steps(lapsed) == ["morning", "letter", "followed", "push", "text", "end"]


def test_a_push_that_arrived_is_the_end_of_it(lapsed):
    settle(lapsed, "sent")
    lapsed.now += KNOWN_AFTER
    lapsed.after(days=5)
    settle(lapsed, "sent")
    assert steps(lapsed) == ["morning", "letter", "followed", "push", "end"]


def test_who_cannot_be_reached_by_email_is_asked_by_what_is_closer_at_once(lapsed):
    settle(lapsed, "not_sent", "consent_denied")
    assert steps(lapsed) == ["morning", "letter", "push"]


def test_who_had_enough_this_week_is_asked_in_the_next(lapsed):
    settle(lapsed, "not_sent", "capped")
    assert lapsed.at("anna").step == "next_week"
    lapsed.after(days=7)
    lapsed.after(days=1)
    assert steps(lapsed)[-2:] == ["morning", "letter"]


def test_an_order_ends_it_and_what_has_not_left_is_not_sent(lapsed):
    lapsed.event("anna", "order_placed", order_id="1", order_value=10)
    lapsed.advance()
    assert steps(lapsed) == ["morning", "letter", "end"]
    [message] = lapsed.store.journey_messages.of("anna", "cart")
    assert (message.outcome, message.reason) == ("not_sent", "run_cancelled")


def test_it_never_lasts_longer_than_a_month(lapsed):
    entered: datetime = lapsed.at("anna").entered_at
    for _ in range(10):
        if lapsed.at("anna").step == "letter":
            settle(lapsed, "not_sent", "capped")
        lapsed.after(days=7)
    end = lapsed.at("anna")
    assert (end.step, end.end_reason, end.ended_at) == (None, "time_out", entered + timedelta(days=30))
