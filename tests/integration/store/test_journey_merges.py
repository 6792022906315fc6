"""Profiles that are merged while people are inside, on each engine: nobody is in a journey twice, gets what
they would not have got, or is forgotten, by having gone by two ids."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, select
from tests.unit.journeys.conftest import NOW, World, journey_of

from kundresa.journeys import advance
from kundresa.spec.machines import KNOWN_AFTER
from kundresa.spec.vocabulary import JourneyEnd
from kundresa.store import Advance, JourneyMoved, Store
from kundresa.store.journey_tables import journey_traits, message_requests
from kundresa.store.message_requests import MessageRequest

CHANNEL = "{kind: email, template: m, account: a, sender: a@shop.example}"
REMIND = f"""
pause: {{kind: wait, duration: 1h}}
reminder: {{kind: message, channel: {CHANNEL}}}
rest: {{kind: wait, duration: 30d}}
"""
AT_ONCE = f"""
hello: {{kind: message, channel: {CHANNEL}, next: rest}}
rest: {{kind: wait, duration: 30d}}
"""
LEAVING: dict[str, Any] = {"exit": [{"event": "order"}]}
MERGED = JourneyEnd.MERGED.value


@pytest.fixture
def world(store: Store) -> World:
    return World(store)


def in_turn(world: World, *people: str, minutes: int = 1, **data: Any) -> None:
    """They enter one after the other."""
    for who in people:
        world.event(who, **data)
        world.advance()
        world.now += timedelta(minutes=minutes)


def merge(world: World, former: str = "old", now: str = "new") -> None:
    """As a new publication says it."""
    world.people.redirects[former] = now


def positions(world: World, *people: str) -> list[tuple[str, str, int, str | None, str | None]]:
    found = world.store.journey_positions.of("cart", people or ("old", "new"))
    return sorted(
        (each.profile_id, each.instance_key, each.entry, each.step, each.end_reason) for each in found
    )


def messages(world: World, *people: str) -> list[tuple[str, int, str | None, str]]:
    return [
        (each.profile_id, each.entry, each.reason, each.state)
        for who in people or ("old", "new")
        for each in world.store.journey_messages.of(who, "cart")
    ]


def balance(world: World) -> tuple[int, int, int]:
    """Entries so far, who are inside, and who have left."""
    passages = world.store.journey_positions.passages("cart")
    inside = sum(each.people for each in world.store.journey_counts.of("cart").steps)
    return passages["", ""], inside, sum(count for (step, _), count in passages.items() if step == "end")


def test_the_order_under_the_new_id_lets_out_who_entered_under_the_old_one(world: World) -> None:
    world.start(journey_of(REMIND, **LEAVING))
    in_turn(world, "old")
    merge(world)
    world.event("new", "order")
    assert world.advance().ended == 1
    world.after(hours=2)
    assert positions(world) == [("new", "", 1, None, "exit")]
    assert world.way("new") == [("pause", "entered"), ("end", "exit")]
    assert world.way("old") == []
    assert messages(world) == []


def test_two_who_are_one_are_reminded_once_and_the_older_entry_goes_on(world: World) -> None:
    world.start(journey_of(REMIND))
    in_turn(world, "new", "old")
    in_turn(world, "other")
    merge(world)
    done = world.after(hours=2)
    assert (done.ended, done.moved) == (1, 2)
    assert positions(world) == [("new", "", 2, "reminder", None)]
    assert world.at("new").entered_at == NOW
    assert messages(world) == [("new", 2, None, "open")]
    # The younger is numbered first: entry 1 has ended, and entry 2 is where they are.
    rows = world.store.journey_positions.moves("cart", "new")
    assert [(each.entry, json.loads(each.moves_json)[-1][::2]) for each in rows] == [
        (2, ["pause", "entered"]),
        (1, ["pause", "entered"]),
        (1, ["end", MERGED]),
        (2, ["reminder", "waited"]),
    ]
    assert world.store.journey_positions.passages("cart")["end", MERGED] == 1
    assert balance(world) == (3, 2, 1)


def test_a_message_that_waits_is_not_sent_to_the_same_person_again(world: World) -> None:
    world.start(journey_of(AT_ONCE))
    in_turn(world, "old", "new", minutes=0)
    ids = {each.message_id for who in ("old", "new") for each in world.store.journey_messages.of(who)}
    merge(world)
    world.advance()  # nothing has happened to them: their messages are about to leave
    assert sorted(messages(world)) == [("new", 1, "run_cancelled", "over"), ("new", 2, None, "open")]
    assert {each.message_id for each in world.store.journey_messages.of("new")} == ids
    world.settle("sent")
    world.advance()
    assert positions(world) == [("new", "", 2, "rest", None)]


def test_who_leaves_under_another_id_than_they_were_written_to_by_gets_nothing(world: World) -> None:
    world.start(journey_of(AT_ONCE, **LEAVING))
    in_turn(world, "old")
    merge(world)
    world.advance()
    assert messages(world) == [("new", 1, None, "open")]
    world.event("new", "order")
    world.advance()
    assert messages(world) == [("new", 1, "run_cancelled", "over")]


@pytest.mark.parametrize("end", ["sent", "not_sent"])
def test_what_becomes_of_a_message_moves_the_person_of_now(world: World, end: str) -> None:
    world.start(journey_of(AT_ONCE))
    in_turn(world, "old", "new")
    world.settle(end, None if end == "sent" else "suppressed")
    merge(world)
    world.advance()
    assert positions(world) == [("new", "", 2, "rest", None)]
    assert balance(world) == (2, 1, 1)
    why = None if end == "sent" else "suppressed"
    assert sorted(messages(world)) == [("new", 1, why, "over"), ("new", 2, why, "over")]


def test_a_reaction_to_what_the_old_id_got_is_the_new_ones(world: World) -> None:
    steps = f"""
    hello: {{kind: message, channel: {CHANNEL}}}
    rest: {{kind: wait_for, reaction: clicked, to: hello, within: 7d, timeout: end}}
    thanks: {{kind: wait, duration: 30d}}
    """
    world.start(journey_of(steps))
    in_turn(world, "old")
    world.settle("sent")
    world.advance()
    world.react("old", "clicked")
    world.now += KNOWN_AFTER
    merge(world)
    world.advance()
    assert positions(world) == [("new", "", 1, "thanks", None)]


@pytest.mark.parametrize(("again", "entered"), [("never", 0), ("10d", 0), ("10m", 1), ("always", 1)])
def test_an_entry_that_ended_under_the_old_id_counts(world: World, again: str, entered: int) -> None:
    world.start(journey_of(REMIND, reentrance=again, **LEAVING))
    in_turn(world, "old")
    world.event("old", "order")
    world.advance()
    world.now += timedelta(minutes=15)
    merge(world)
    world.event("new")
    assert world.advance().entered == entered
    assert positions(world) == [("new", "", 1 + entered, *(("pause", None) if entered else (None, "exit")))]


def test_inside_by_one_id_and_out_by_the_other_is_inside(world: World) -> None:
    world.start(journey_of(REMIND, **LEAVING))
    in_turn(world, "old", "new")
    world.event("new", "order")
    world.advance()
    merge(world)
    world.after(hours=2)
    assert positions(world) == [("new", "", 2, "reminder", None)]
    assert balance(world) == (2, 1, 1)


def test_instances_of_other_keys_stay_beside_each_other_and_the_limit_holds(world: World) -> None:
    world.start(journey_of(REMIND, instance_key="key", max_instances=2))
    in_turn(world, "old", key="a")
    in_turn(world, "new", key="b")
    in_turn(world, "old", "new", key="c")
    merge(world)
    in_turn(world, "new", key="d")
    assert [each[1:] for each in positions(world)] == [
        ("a", 1, "pause", None),
        ("b", 1, "pause", None),
        ("c", 2, "pause", None),
    ]
    assert world.store.journey_positions.skips("cart") == {"too_many_instances": 1}


def test_three_who_are_one_by_and_by(world: World) -> None:
    world.start(journey_of(REMIND))
    in_turn(world, "a", "b", "c")
    merge(world, "a", "b")
    world.event("b")
    world.advance()
    assert positions(world, "a", "b", "c") == [("b", "", 2, "pause", None), ("c", "", 1, "pause", None)]
    world.people.redirects = {"a": "c", "b": "c"}
    world.after(hours=2)
    assert positions(world, "a", "b", "c") == [("c", "", 3, "reminder", None)]
    assert balance(world) == (3, 1, 2)


@pytest.mark.parametrize("latest", ["old", "new"])
def test_the_trait_that_was_set_last_counts_whichever_id_it_was_set_for(world: World, latest: str) -> None:
    setting = "set: {kind: update, trait: tier, event: tier}\nrest: {kind: wait, duration: 1d}\n"
    world.start(journey_of(setting, name="setter", entry={"event": "tier"}))
    for who in sorted(["old", "new"], key=lambda each: each == latest):
        world.event(who, "tier", tier=who)
        world.advance("setter")
        world.now += timedelta(minutes=1)
    asks = {"when": {"profile": {"tier": latest}}, "go": "right"}
    path = f"ask: {{kind: condition, paths: [{json.dumps(asks)}], otherwise: wrong}}\n"
    world.start(journey_of(path + "right: {kind: wait, duration: 1d}\nwrong: {kind: wait, duration: 2d}\n"))
    merge(world)
    world.event("new")
    world.advance()
    assert world.at("new").step == "right"
    with world.store.database.read() as connection:
        rows = connection.execute(select(journey_traits.c.profile_id, journey_traits.c.value_json)).all()
    assert [tuple(each) for each in rows] == [("new", json.dumps(latest))]


def test_a_request_is_found_under_the_id_that_its_person_goes_by(world: World) -> None:
    world.start(journey_of(REMIND))
    in_turn(world, "old")
    request = MessageRequest("", "shop", "1", "x", "cart", "old", None, None, NOW)
    with world.store.database.write() as connection:
        for number, who in (("r1", "old"), ("r2", "else")):
            row = {name: getattr(request, name) for name in MessageRequest.__dataclass_fields__}
            connection.execute(
                message_requests.insert(), row | {"request_id": number, "given_id": number, "profile_id": who}
            )
        row = world.at("old")
    row.instance_key = "r1"
    generation = world.store.journeys.require("cart").generation
    world.store.journeys.commit("cart", generation, Advance(1, "", positions=[row]), at=NOW)
    merge(world)
    world.after(hours=2)
    found = world.store.message_requests.of(["r1", "r2"])
    assert {key: each.profile_id for key, each in found.items()} == {"r1": "new", "r2": "else"}


def test_another_journey_and_other_people_are_left_alone(world: World) -> None:
    world.start(journey_of(REMIND))
    world.start(journey_of(REMIND, name="second"))
    in_turn(world, "old", "bystander")
    world.advance("second")
    merge(world)
    merge(world, "nobody", "bystander")
    generation = world.store.journeys.require("second").generation
    world.after(hours=2)
    assert positions(world, "bystander") == [("bystander", "", 1, "reminder", None)]
    assert world.at("old", name="second").step == "pause"
    assert world.store.journeys.require("second").generation == generation


def test_a_merge_costs_no_commit_while_nothing_happens_to_its_people(world: World) -> None:
    world.start(journey_of(REMIND))
    in_turn(world, "old", "new")
    merge(world)
    generation = world.store.journeys.require("cart").generation
    world.advance()
    assert world.store.journeys.require("cart").generation == generation


def test_who_comes_second_merges_nothing(world: World) -> None:
    world.start(journey_of(REMIND))
    in_turn(world, "old", "new")
    generation = world.store.journeys.require("cart").generation
    with pytest.raises(JourneyMoved):
        world.store.journey_merges.merge("cart", generation - 1, {"old": "new"}, at=world.now)
    assert [each[0] for each in positions(world)] == ["new", "old"]


def test_what_is_published_while_an_advance_reads_is_read_again(world: World) -> None:
    """The event was resolved to the old id, and everything is under the new one already."""
    world.start(journey_of(REMIND, **LEAVING))
    in_turn(world, "new")
    world.event("old", "order")
    resolve = world.people.resolve

    def before(*asked: Any) -> Any:
        found = resolve(*asked)
        merge(world)
        return found

    world.people.resolve = before  # type: ignore[method-assign]
    advance(world.store, world.people, "cart", now=world.now)
    assert positions(world) == [("new", "", 1, None, "exit")]


def test_killed_before_any_statement_everything_is_as_if_it_had_not_been(world: World) -> None:
    """Pair after pair, each cut off one statement later, until one is not."""
    setting = "mark: {kind: update, trait: seen, value: yes}\n"
    world.start(journey_of(setting + AT_ONCE))
    engine = world.store.database.engine
    outcomes: list[Any] = []
    for number in range(1, 200):
        old, new = f"old{number}", f"new{number}"
        in_turn(world, old, new)
        world.settle("sent")
        world.advance()
        in_turn(world, f"quiet{number}")
        merge(world, old, new)
        world.event(new, "cart")
        is_cut = cut_off(world, engine, number)
        world.advance()
        outcomes.append(
            (
                [each[1:] for each in positions(world, old, new)],
                sorted(each[1:] for each in messages(world, old, new)),
                sorted(each.entry for each in world.store.journey_positions.moves("cart", new)),
                len(world.store.journey_positions.moves("cart", old)),
                sorted(world.store.journey_positions.traits([old, new], ["seen"])) == [new],
            )
        )
        passages = world.store.journey_positions.passages("cart")
        assert passages["end", MERGED] == number
        assert balance(world) == (3 * number, 2 * number, number)
        if not is_cut:
            break
    assert number > 25
    assert outcomes == [outcomes[-1]] * number
    assert outcomes[-1][0] == [("", 2, "rest", None)]
    assert outcomes[-1][1] == [(1, None, "over"), (2, None, "over")]
    assert outcomes[-1][3:] == (0, True)


class Killed(Exception):
    pass


def cut_off(world: World, engine: Any, number: int) -> bool:
    """Advance, and be killed before a statement or a commit; whether there were as many."""
    counted: Counter[str] = Counter()

    def count(*_: object) -> None:
        counted["all"] += 1
        if counted["all"] == number:
            raise Killed

    for name in ("before_cursor_execute", "commit"):
        event.listen(engine, name, count)
    try:
        advance(world.store, world.people, "cart", now=world.now)
    except Killed:
        return True
    finally:
        for name in ("before_cursor_execute", "commit"):
            event.remove(engine, name, count)
    return False
