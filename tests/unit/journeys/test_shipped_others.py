"""The shipped cart, welcome and review journeys: who gets what, when, and what ends them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.unit.journeys.conftest import World

from kundresa.spec.journey_loading import load_journey
from kundresa.spec.machines import KNOWN_AFTER

JOURNEYS = Path(__file__).resolve().parents[3] / "dags" / "journeys"
STOCKHOLM = ZoneInfo("Europe/Stockholm")


def started(world: World, name: str) -> World:
    world.start(load_journey(JOURNEYS / name).model_copy(update={"name": "cart"}))
    world.people.profiles["anna"] = {"time_zone": "Europe/Stockholm"}
    return world


def steps(world: World) -> list[str]:
    return [step for step, _ in world.way("anna")]


def settle(world: World, outcome: str, reason: str | None = None) -> None:
    assert world.settle(outcome, reason) == 1
    world.advance()


def local(moment: datetime | None) -> datetime:
    assert moment is not None
    return moment.astimezone(STOCKHOLM)


def inside(world: World) -> int:
    return len(world.store.journey_positions.of("cart", ["anna"]))


class TestTheCart:
    @pytest.fixture
    def cart(self, world: World) -> World:
        started(world, "abandoned_cart")
        world.event("anna", "cart_updated", cart_id="c", cart_value=50)
        world.advance()
        return world

    def test_a_small_cart_lets_nobody_in(self, world: World) -> None:
        started(world, "abandoned_cart")
        world.event("anna", "cart_updated", cart_id="c", cart_value=49)
        world.advance()
        assert inside(world) == 0

    def change(self, cart: World, value: float, **data: Any) -> None:
        cart.event("anna", "cart_updated", cart_id="c", cart_value=value, **data)
        cart.advance()

    def remind(self, cart: World) -> None:
        """The hour is over, and so is the time in which an event may come late."""
        cart.after(minutes=62)
        assert cart.at("anna").step == "reminder"

    def test_the_reminder_comes_an_hour_later_and_is_all(self, cart: World) -> None:
        cart.after(minutes=61)
        assert cart.at("anna").step == "pause"
        cart.after(minutes=1)
        assert cart.at("anna").step == "reminder"
        settle(cart, "sent")
        assert steps(cart) == ["pause", "worth_it", "reminder", "end"]

    def test_who_goes_on_shopping_is_left_alone_and_reminded_of_the_latest_cart(self, cart: World) -> None:
        for value in (70, 60, 90):
            cart.after(minutes=40)
            self.change(cart, value, currency="SEK")
        last = cart.now
        cart.after(minutes=59)
        assert cart.at("anna").step == "pause"
        cart.after(minutes=3)
        [message] = cart.store.journey_messages.of("anna", "cart")
        assert message.reached_at == last + timedelta(hours=1)
        assert json.loads(message.event_json) == {"cart_id": "c", "cart_value": 90, "currency": "SEK"}
        settle(cart, "sent")
        assert steps(cart) == ["pause"] * 4 + ["worth_it", "reminder", "end"]

    @pytest.mark.parametrize("value", [49, 0], ids=["small", "emptied"])
    def test_what_is_left_of_it_must_be_worth_it(self, cart: World, value: int) -> None:
        cart.after(minutes=30)
        self.change(cart, value)
        cart.after(minutes=62)
        assert steps(cart) == ["pause", "pause", "worth_it", "small"]
        cart.after(days=2)
        assert steps(cart) == ["pause", "pause", "worth_it", "small", "end"]

    def test_who_fills_a_small_cart_later_is_reminded_of_that(self, cart: World) -> None:
        self.change(cart, 30)
        cart.after(minutes=62)
        for value in (40, 200):
            cart.after(hours=2)
            self.change(cart, value)
        last = cart.now
        assert cart.at("anna").step == "pause"
        cart.after(minutes=62)
        [message] = cart.store.journey_messages.of("anna", "cart")
        assert message.reached_at == last + timedelta(hours=1)
        assert json.loads(message.event_json)["cart_value"] == 200

    def test_whoever_orders_within_the_hour_is_not_reminded(self, cart: World) -> None:
        cart.after(minutes=40)
        self.change(cart, 90)
        cart.after(minutes=40)
        cart.event("anna", "order_placed", order_id="1", order_value=60)
        cart.after(minutes=31)
        assert steps(cart) == ["pause", "pause", "end"]

    @pytest.mark.parametrize("reason", ["contact_point_missing", "address_refused"])
    def test_whom_no_email_reaches_gets_a_text(self, cart: World, reason: str) -> None:
        self.remind(cart)
        settle(cart, "not_sent", reason)
        assert cart.at("anna").step == "text"
        settle(cart, "sent")
        assert steps(cart) == ["pause", "worth_it", "reminder", "text", "end"]

    @pytest.mark.parametrize("reason", ["consent_denied", "suppressed", "capped"])
    def test_who_does_not_want_it_gets_no_text_either(self, cart: World, reason: str) -> None:
        self.remind(cart)
        settle(cart, "not_sent", reason)
        assert steps(cart) == ["pause", "worth_it", "reminder", "end"]

    def test_one_cart_a_week(self, cart: World) -> None:
        self.remind(cart)
        settle(cart, "sent")
        for days, entries in ((6, 1), (1, 2)):
            cart.after(days=days)
            cart.event("anna", "cart_updated", cart_id="d", cart_value=90)
            cart.advance()
            assert cart.at("anna").entry == entries


class TestTheWelcome:
    @pytest.fixture
    def welcome(self, world: World) -> World:
        started(world, "welcome_series")
        world.people.change("newsletter_subscribers", "anna", world.now)
        world.advance()
        assert world.at("anna").step == "welcome"
        return world

    def test_who_looks_at_the_shop_needs_no_tour(self, welcome: World) -> None:
        settle(welcome, "sent")
        welcome.after(days=3)
        welcome.react("anna", "clicked")
        welcome.now += KNOWN_AFTER
        welcome.advance()
        assert steps(welcome) == ["welcome", "looked", "end"]

    def test_who_does_not_is_shown_it_four_days_later_in_the_morning(self, welcome: World) -> None:
        settle(welcome, "sent")
        welcome.now += KNOWN_AFTER
        welcome.after(days=4)
        due = local(welcome.at("anna").due_at)
        assert (welcome.at("anna").step, due.hour, due.minute) == ("morning", 9, 0)
        welcome.now = welcome.at("anna").due_at or welcome.now
        welcome.advance()
        assert welcome.at("anna").step == "tour"
        settle(welcome, "sent")
        assert steps(welcome) == ["welcome", "looked", "morning", "tour", "end"]

    def test_whom_the_first_does_not_reach_gets_no_second(self, welcome: World) -> None:
        settle(welcome, "not_sent", "contact_point_missing")
        assert steps(welcome) == ["welcome", "end"]

    def test_nobody_is_welcomed_twice(self, welcome: World) -> None:
        settle(welcome, "not_sent", "suppressed")
        welcome.now += timedelta(days=400)
        welcome.people.change("newsletter_subscribers", "anna", welcome.now)
        welcome.advance()
        assert welcome.at("anna").entry == 1


class TestTheReview:
    @pytest.fixture
    def review(self, world: World) -> World:
        started(world, "review_request")
        world.event("anna", "order_placed", order_id="1", order_value=20)
        world.advance()
        assert world.at("anna").step == "arrival"
        return world

    def asked(self, review: World) -> World:
        review.after(days=14)
        assert local(review.at("anna").due_at).hour == 18
        review.now = review.at("anna").due_at or review.now
        review.advance()
        assert review.at("anna").step == "question"
        return review

    def test_not_of_what_is_hardly_worth_it(self, world: World) -> None:
        started(world, "review_request")
        world.event("anna", "order_placed", order_id="1", order_value=19)
        world.advance()
        assert inside(world) == 0

    def test_who_answers_is_known_to_have(self, review: World) -> None:
        settle(self.asked(review), "sent")
        review.after(days=6)
        review.react("anna", "clicked")
        review.now += KNOWN_AFTER
        review.advance()
        assert steps(review) == ["arrival", "evening", "question", "reviewed", "thanks", "end"]
        assert review.store.journey_positions.traits(["anna"], ["has_reviewed"])["anna"] == {
            "has_reviewed": True
        }

    def test_who_does_not_is_left_alone(self, review: World) -> None:
        settle(self.asked(review), "sent")
        review.now += KNOWN_AFTER
        review.after(days=7)
        assert steps(review) == ["arrival", "evening", "question", "reviewed", "end"]
        assert not review.store.journey_positions.traits(["anna"], ["has_reviewed"])

    def test_not_before_the_parcel_is_there(self, review: World) -> None:
        review.after(days=13, hours=23)
        assert steps(review) == ["arrival"]

    def test_who_complains_meanwhile_is_not_asked(self, review: World) -> None:
        review.people.segments["anna"] = {"open_complaints"}
        review.after(days=14)
        assert "question" not in steps(review)
        assert review.at("anna").end_reason == "exit"

    def test_four_times_a_year(self, review: World) -> None:
        settle(self.asked(review), "not_sent", "consent_denied")
        for days, entries in ((60, 1), (31, 2)):
            review.after(days=days)
            review.event("anna", "order_placed", order_id=str(days), order_value=30)
            review.advance()
            assert review.at("anna").entry == entries
