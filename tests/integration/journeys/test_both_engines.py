"""One long stream on either engine comes to what one person at a time comes to."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.journeys.conftest import World, journey_of
from tests.unit.journeys.lives import PEOPLE, PROFILES, SEGMENTS
from tests.unit.journeys.playing import Play, state_of, state_of_reference
from tests.unit.journeys.reference import Reference

from kundresa.feedback import RawHit, record_hits
from kundresa.spec.journey import MAX_KEY
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import FeedbackKind
from kundresa.store import open_store
from kundresa.store.tables import messages

STEPS = """
s0: {kind: condition, paths: [{when: {profile: {tier: 1}}, go: s2}], otherwise: s1}
s1: {kind: split, shares: [{name: a, go: s2}, {name: b, go: s3}]}
s2:
  kind: message
  channel: {kind: email, template: a, account: b, sender: a@shop.example}
  on: {consent_denied: s4}
s3: {kind: wait_for, event: order, where: {event: {value: 1}}, keep: [key, value], within: 1h, timeout: s5}
s4: {kind: update, trait: level, event: value}
s5: {kind: wait, duration: 10m, next: end}
"""


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    with open_store(store_url) as store:
        made = World(store)
        made.people.profiles, made.people.segments = PROFILES, SEGMENTS
        yield made


def stream(rng: random.Random) -> list[Any]:
    """Forty advances of some events each."""

    def told() -> tuple[Any, ...]:
        data = {"value": rng.randrange(3), "key": rng.choice("xyz")}
        return "event", rng.choice(PEOPLE), rng.choice(["cart", "order"]), rng.randrange(8), data

    def settled() -> list[tuple[Any, ...]]:
        ago = rng.choice([None, 0, 0, 3])
        return [] if ago is None else [("settle", ago)]

    return [
        (rng.choice([0, 1, 9, 61]), [*settled(), *(told() for _ in range(rng.randrange(6)))])
        for _ in range(40)
    ]


def test_a_long_stream(world: World) -> None:
    journey = journey_of(
        STEPS,
        reentrance="30m",
        instance_key="key",
        exit=[{"event": "order", "where": {"event": {"value": 2}}}],
        time_out="90m",
        lateness="5m",
    )
    world.start(journey)
    reference = Reference(journey, PROFILES, SEGMENTS)
    Play(world, [journey], reference).play(stream(random.Random(7)), World.advance)
    found, expected = state_of(world), state_of_reference(reference)
    assert found.pop("cancelled") <= expected.pop("cancelled")
    assert found == expected
    assert len(found["ways"]) > 20
    assert {step for way in found["ways"].values() for step, _, _ in way} == {*journey.steps, "end"}


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
SAY = "say: {kind: message, channel: {kind: email, template: a, account: b, sender: a@shop.example}}"
WAIT = "{kind: wait, duration: 9d, next: end}"
OUT = """
say: {kind: message, channel: {kind: email, template: a, account: b, sender: a@shop.example}}
pause: {kind: wait, duration: 1h}
more: {kind: message, channel: {kind: email, template: a, account: b, sender: a@shop.example}}
"""


def test_reactions_let_people_out(world: World) -> None:
    """Anna unsubscribes by the first message, Bo clicks in it and stays, Eva clicks in the second."""
    world.start(journey_of(OUT, exit=[{"reaction": "unsubscribed"}, {"reaction": "clicked", "to": "more"}]))
    for person in PEOPLE:
        world.event(person)
    world.advance()
    world.react("anna", "unsubscribed")
    world.react("bo", "clicked")
    world.advance()
    world.now += KNOWN_AFTER
    world.advance()
    assert (world.at("anna").end_reason, world.at("bo").step, world.at("eva").step) == ("exit", "say", "say")
    world.settle("sent")
    world.advance()
    world.after(hours=1)
    world.react("eva", "clicked")
    world.now += KNOWN_AFTER
    world.advance()
    assert (world.at("bo").step, world.at("eva").step, world.at("eva").end_reason) == ("more", None, "exit")
    assert world.way("eva")[-1] == ("end", "exit")


def test_the_longest_key_fits_into_the_indexes_and_a_longer_one_stops_nobody(world: World) -> None:
    rng = random.Random(1)  # what repeats itself an engine would pack
    longest = "".join(chr(rng.randrange(0x20000, 0x2A6DF)) for _ in range(MAX_KEY))
    world.start(journey_of("s0: {kind: wait, duration: 1h}", instance_key="key"))
    for key in (longest, longest * 50, "short"):
        world.event("anna", key=key)
    assert world.advance().entered == 2
    world.after(hours=1)
    assert [world.at("anna", key).end_reason for key in (longest, "short")] == ["finished", "finished"]


def test_a_scanner_that_follows_the_links_moves_nobody_and_a_person_does(world: World) -> None:
    """As the service records what it is asked for, with looks of the journey in between."""
    click = "clicked: {kind: wait_for, reaction: clicked, to: say, within: 1h, timeout: late}"
    world.start(journey_of(f"{SAY}\n{click}\nfound: {WAIT}\nlate: {WAIT}"))
    for person in PEOPLE:
        world.event(person)
    world.advance()
    world.settle("sent")
    world.advance()
    sent = {who: next(world.store.journey_messages.of(who, "cart")).message_id for who in PEOPLE}
    line = {"run_key": "r", "channel": "email", "batch_number": 1, "attempts": 1, "state": "accepted"}
    with world.store.database.write() as connection:
        lines = [
            line | {"message_id": each, "profile_id": who, "settled_at": world.now}
            for who, each in sent.items()
        ]
        connection.execute(messages.insert(), lines)
    for who, number in (("anna", 1), ("bo", 1), ("anna", 2), ("bo", 1)):
        world.now += timedelta(seconds=5)
        target = f"https://shop.example/{number}"
        hit = RawHit(FeedbackKind.CLICKED, sent[who], "GET", FIREFOX, world.now, target)
        record_hits(world.store, [hit], address_of=lambda *_: "")
        world.advance()
        assert world.at(who).step == "clicked"
    for _ in range(14):
        world.after(seconds=5)
    assert [world.at(who).step for who in PEOPLE] == ["clicked", "found", "clicked"]
    world.after(hours=1)
    assert [world.at(who).step for who in PEOPLE] == ["late", "found", "late"]
