"""Where two of the rules of journeys meet: versions, merges, lateness, reactions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import event
from tests.unit.journeys.conftest import NOW, journey_of

from kundresa.journeys import Versions
from kundresa.runs.journeys import work_waits
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import FeedbackKind, JourneyState
from kundresa.store import NewFeedback

SECOND = timedelta(seconds=1)
WAIT = "pause: {kind: wait, duration: 1d}\n"
MESSAGE = "say: {kind: message, channel: {kind: email, template: m, account: a, sender: a@shop.example}}\n"
OF_SEGMENT = {"entry": {"segment": "vip", "change": "entered"}}


def test_a_full_batch_of_events_from_before_the_version_that_names_them_is_passed(world):
    world.start(journey_of(WAIT))
    world.store.journeys.pause("cart", JourneyState.HELD, cursor="", at=world.now)
    for _ in range(12):
        world.event("anna", "page")
    world.now += 10 * SECOND
    world.start(journey_of("pause: {kind: wait_for, event: page, within: 1h, timeout: end}\n"))
    world.advance(most_events=10)
    world.event("anna")
    world.advance(most_events=10)
    assert world.at("anna").step == "pause"


@pytest.mark.parametrize("who", ["former", "N"])
def test_a_change_of_a_segment_under_a_former_id_hears_what_came_under_all_of_them(world, who):
    world.start(journey_of(WAIT, **OF_SEGMENT, lateness="1h", exit=[{"event": "order"}]))
    world.now = NOW + 60 * SECOND
    world.event(who, "order", NOW + 50 * SECOND)
    world.advance()
    world.people.redirects = {"former": "N", "L": "N"}
    world.people.change("vip", "L", NOW + 10 * SECOND)
    world.now = NOW + 70 * SECOND
    world.advance()
    assert world.at("N").end_reason == "exit"
    assert world.store.journey_positions.of("cart", ["L"]) == []


def test_a_change_of_a_segment_under_a_former_id_lets_nobody_in_a_second_time(world):
    world.start(journey_of(MESSAGE + WAIT, **OF_SEGMENT))
    world.now = NOW + 10 * SECOND
    world.people.change("vip", "N", NOW + 5 * SECOND)
    world.advance()
    world.people.change("vip", "L", NOW + 6 * SECOND)
    world.people.redirects = {"L": "N"}
    world.now = NOW + 70 * SECOND
    world.advance()
    [message] = world.store.journey_messages.open("cart", world.now, 10)
    assert (message.profile_id, message.entry) == ("N", 1)


def test_what_either_entry_remembers_is_heard_after_a_merge(world):
    awaiting = "bought: {kind: wait_for, event: order, within: 1h, timeout: end}\n"
    world.start(journey_of(MESSAGE + awaiting + WAIT))
    for who, what in (("old", "cart"), ("new", "cart"), ("new", "order")):
        world.event(who, what)
        world.advance()
        world.now += 5 * SECOND
    world.people.redirects = {"old": "new"}
    world.event("new", "cart")
    world.advance()
    world.settle("sent", at=NOW + SECOND)
    world.advance()
    assert world.way("new")[-2:] == [("bought", "sent"), ("pause", "event")]


@pytest.mark.parametrize("is_asked_by_another", [False, True])
def test_a_reaction_that_another_version_asks_for_ends_nobodys_lateness(world, is_asked_by_another):
    awaiting = MESSAGE + "bought: {kind: wait_for, event: order, within: 1m, timeout: end}\n" + WAIT
    world.start(journey_of(awaiting, lateness="10m"))
    world.event("anna")
    world.advance()
    if is_asked_by_another:
        world.start(journey_of(awaiting, lateness="10m", exit=[{"reaction": "complained"}]))
    world.now = NOW + 90 * SECOND
    world.react("anna", "opened")
    world.advance()
    world.now = NOW + 100 * SECOND
    world.settle("sent", at=NOW + 2 * SECOND)
    world.advance()
    world.now = NOW + 120 * SECOND
    world.event("anna", "order", NOW + 30 * SECOND)
    world.advance()
    assert world.at("anna").step == "pause"


@pytest.mark.parametrize("is_asked", [False, True])
def test_what_is_about_others_is_not_gone_through_again(world, monkeypatch, is_asked):
    """Whether it is an advance that finds nothing, or whoever asks if there is anything to do."""
    monkeypatch.setattr("kundresa.journeys.advancing.SKIPPED_FAR", 10)
    world.start(journey_of(MESSAGE + WAIT, exit=[{"reaction": "opened"}]))

    def look():
        row = world.store.journeys.require("cart")
        if is_asked:
            versions = Versions(row.version, world.store.journeys.versions("cart"))
            assert not work_waits(world.store, row, versions, world.now)
        else:
            assert world.advance().events == 0
        row = world.store.journeys.require("cart")
        return row.event_position, row.feedback_position, row.click_position

    def told(first, count):
        for number in range(first, first + count):
            kind, now = FeedbackKind(("opened", "clicked")[number % 2]), world.now
            key = {"feedback_key": f"other {number}", "message_id": "of a campaign"}
            told = NewFeedback(
                kind=kind, channel="email", provider="link", **key, occurred_at=now, received_at=now
            )
            world.store.feedback.record([told])

    told(0, 9)
    assert look() == (0, 0, 0)
    told(9, 1)
    assert look() == (0, 10, 0)
    world.now += KNOWN_AFTER
    assert look() == (0, 10, 10)
    for _ in range(10):
        world.event("anna", "other")
    assert look() == (10, 10, 10)
    world.event("anna")
    world.advance()
    assert world.at("anna").step == "say"


def test_what_is_under_way_is_found_without_reading_what_is_over(world):
    """By the index of what is under way, in every look of a round at messages and calls."""
    asked = []

    def note(_connection, _cursor, statement, parameters, *_):
        states = ("journey_messages.state = ", "journey_calls.state = ")
        if statement.startswith("SELECT") and any(each in statement for each in states):
            asked.append((statement, parameters))

    engine = world.store.database.engine
    event.listen(engine, "before_cursor_execute", note)
    messages, calls = world.store.journey_messages, world.store.journey_calls
    for look in (messages.open, messages.waiting, calls.waiting):
        look("cart", world.now, 10)
    for look in (messages, calls):
        look.next_at("cart")
        look.known("cart", 10)
    messages.collect("cart", now=world.now, limit=10)
    calls.claim("cart", "me", now=world.now, until=world.now, limit=10)
    event.remove(engine, "before_cursor_execute", note)
    assert len(asked) >= 9
    with world.store.database.read() as connection:
        for statement, parameters in asked:
            plan = connection.exec_driver_sql(f"explain query plan {statement}", parameters).all()
            assert "_under_way" in " ".join(each.detail for each in plan), (statement, plan)
