"""Segments that let people into a journey: by a change, at a rate, or for an event about nobody."""

from __future__ import annotations

from datetime import timedelta
from email import policy
from email.parser import BytesParser
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.integration.runs.shop import EARLIER, JOURNEY, MARTS, NOW, PEOPLE, Shop

from kundresa.journeys import place_of
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_planning import plan_journey
from kundresa.runs.journey_rehearsing import UnfitEvent, rehearse_journey
from kundresa.runs.journey_reports import journey_report
from kundresa.runs.journeys import has_work
from kundresa.settings import Settings


def test_entering_a_segment_by_its_rule_lets_people_in(shop: Shop) -> None:
    shop.journey(
        JOURNEY.replace("entry: {event: cart}", "entry: {segment: vip}").replace("exit:", "#"),
        **{"m.subject.j2": "x", "m.html.j2": '<a href="{{ unsubscribe_url }}">off</a>', "t.txt.j2": "y"},
    )
    shop.start()
    shop.run(hours=2)
    with shop.store() as store:
        found = store.journey_positions.of("cart", [f"p-{who}" for who in PEOPLE])
    assert {each.profile_id for each in found} == {"p-bo", "p-eva"}
    assert shop.run().events == 0


AUDIENCE = (
    JOURNEY.replace("{event: cart}", "{audience: vip, every: once, rate: {people: 2, per: minute}}")
    .replace("exit:", "#")
    .replace("topic: offers", "topic: offers\nreentrance: always")
)
PLAIN = {"m.subject.j2": "x", "m.html.j2": '<a href="{{ unsubscribe_url }}">off</a>', "t.txt.j2": "y"}


def everybody_is_vip(settings: Settings, *without: str) -> None:
    schema = pa.schema(list(MARTS["segment_memberships"].items()))
    members = [
        {
            "segment": "vip",
            "profile_id": f"p-{who}",
            "entity_id": "",
            "entered_at": EARLIER,
            "exited_at": None,
        }
        for who in PEOPLE
        if who not in without
    ]
    [file] = settings.published.glob("builds/*/segment_memberships/*.parquet")
    pq.write_table(pa.Table.from_pylist(members, schema), file)


def test_an_audience_is_read_at_a_rate_as_it_is_published(shop: Shop) -> None:
    everybody_is_vip(shop.settings)
    salt = "journey|cart|vip"
    order = sorted(PEOPLE, key=lambda who: place_of(salt, f"p-{who}", ""))
    with JourneyPeople(shop.settings) as people:
        found = people.members("vip", salt, "", 9)
        assert [each.profile_id for each in found] == [f"p-{who}" for who in order]
        assert [each.place for each in found] == [place_of(salt, each.profile_id, "") for each in found]
        assert people.members("vip", salt, found[1].place, 1) == found[2:3]
        assert people.members("none", salt, "", 9) == []
        some = people.members("vip", salt, "", 9, among=["p-anna", "p-bo", "p-nobody"])
        assert some == [each for each in found if each.profile_id in ("p-anna", "p-bo")]
    shop.journey(AUDIENCE, **PLAIN)
    planned = plan_journey(shop.settings, "cart", days=1, clock=lambda: shop.now)
    assert (planned.entered, planned.messages["mail"]["sent"]) == (4, 1)
    told = rehearse_journey(shop.settings, "cart", "anna@shop.example", data={}, clock=lambda: shop.now)
    assert [move["step"] for move in told.moves][:2] == ["pause", "mail"]
    shop.start()
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.entered, done.next_at) == (2, NOW + timedelta(minutes=1))
    assert not has_work(shop.settings, "cart", shop.now)
    report = journey_report(shop.settings, "cart", clock=lambda: shop.now)
    assert report.next_turn_at == NOW + timedelta(minutes=1)
    everybody_is_vip(shop.settings, order[2])
    assert shop.run(minutes=1).entered == 1
    assert shop.run(minutes=1).entered == 0
    assert journey_report(shop.settings, "cart", clock=lambda: shop.now).next_turn_at is None
    with shop.store() as store:
        inside = {each.profile_id for each in store.journey_positions.of("cart", [f"p-{x}" for x in PEOPLE])}
    assert inside == {f"p-{who}" for who in PEOPLE if who != order[2]}


BUSINESS = (
    JOURNEY.replace(
        "{event: cart}",
        "{event: back, audience: waiting, entity: product, rate: {people: 1, per: minute}, "
        "where: {event: {stock: {at_least: 5}}}}",
    )
    .replace("exit:", "#")
    .replace("topic: offers", "topic: offers\nreentrance: always")
)
IN_STOCK = PLAIN | {
    "m.subject.j2": "{{ event.product }} {{ event.stock }} {{ event.entity_id }}",
    "t.txt.j2": "Back: {{ event.product }}",
}


def waiting_for(settings: Settings, *who: tuple[str, str]) -> None:
    schema = pa.schema(list(MARTS["segment_memberships"].items()))
    members = [
        {"segment": "waiting", "profile_id": f"p-{each}", "entity_id": product, "entered_at": EARLIER}
        for each, product in who
    ]
    [file] = settings.published.glob("builds/*/segment_memberships/*.parquet")
    pq.write_table(pa.Table.from_pylist([{"exited_at": None} | each for each in members], schema), file)


def test_who_waits_for_a_product_is_told_that_it_is_back(shop: Shop) -> None:
    waiting_for(shop.settings, ("anna", "p1"), ("anna", "p2"), ("eva", "p1"), ("bo", "p3"))
    with JourneyPeople(shop.settings) as people:
        found = people.members("waiting", "s", "", 9, "p1")
        assert {(each.profile_id, each.entity_id) for each in found} == {("p-anna", "p1"), ("p-eva", "p1")}
        assert people.members("waiting", "s", found[0].place, 9, "p1") == found[1:]
        assert people.members("waiting", "s", "", 9, "p'9") == []
    shop.journey(BUSINESS, **IN_STOCK)
    shop.start()
    assert not has_work(shop.settings, "cart", shop.now)
    shop.business(product="p1", stock=4)
    shop.business(product="p1", stock=7)
    assert has_work(shop.settings, "cart", shop.now)
    done = shop.run()
    assert (done.entered, done.next_at) == (1, NOW + timedelta(minutes=1))
    assert not has_work(shop.settings, "cart", shop.now)
    report = journey_report(shop.settings, "cart", clock=lambda: shop.now)
    assert (report.next_turn_at, report.readings) == (NOW + timedelta(minutes=1), 1)
    assert report.skips == {"condition": 1}
    assert report.entry.startswith(
        "event `back`: everybody in `waiting` for its `product`, 1 people per minute"
    )
    assert shop.run(minutes=1).entered == 1
    assert shop.run(minutes=1).entered == 0
    assert journey_report(shop.settings, "cart", clock=lambda: shop.now).readings == 0
    before = len(shop.arrived())
    shop.run(hours=1)
    new = shop.arrived()[before:]
    assert sorted(each.recipient for each in new) == ["+46701234567", "anna@shop.example"]
    mail = next(each for each in new if each.channel == "email")
    assert BytesParser(policy=policy.default).parsebytes(mail.body)["Subject"] == "p1 7 p1"
    planned = plan_journey(shop.settings, "cart", days=1, clock=lambda: shop.now)
    assert (planned.entered, planned.skips) == (2, {"condition": 1})
    assert planned.messages["mail"] == {"sent": 1, "contact_point_missing": 1}


def test_one_person_is_rehearsed_as_if_they_were_in_the_audience_of_an_event(shop: Shop) -> None:
    shop.journey(BUSINESS, **IN_STOCK)

    def rehearse(**data: Any) -> Any:
        return rehearse_journey(shop.settings, "cart", "anna@shop.example", data=data, clock=lambda: shop.now)

    told = rehearse(product="p1", stock=7)
    assert [move["step"] for move in told.moves][:2] == ["pause", "mail"]
    assert told.messages[0].text.startswith("p1 7 p1")
    refused = rehearse(product="p1", stock=4)
    assert (refused.moves, refused.skips) == ((), {"condition": 1})
    with pytest.raises(UnfitEvent, match="'product' of back is required"):
        rehearse(stock=7)
