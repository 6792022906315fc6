"""What went wrong in journeys for others (``tests/unit/test_field_reports.py`` has the list)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from tests.unit.journeys.conftest import NOW, journey_of

from kundresa.store import open_store

CART = """
count: {kind: update, trait: carts, event: carts}
bought: {kind: wait_for, event: order, within: 1h, timeout: forgotten}
thanked: {kind: update, trait: buys, value: true, next: which}
forgotten: {kind: update, trait: buys, value: false, next: which}
which:
  kind: condition
  paths:
    - {when: {profile: {buys: true}}, go: thanks}
    - {when: {profile: {buys: false, carts: {at_least: 2}}}, go: remind_again}
  otherwise: remind
thanks: {kind: wait, duration: 1d, next: end}
remind_again: {kind: wait, duration: 1d, next: end}
remind: {kind: wait, duration: 1d}
"""


@pytest.mark.parametrize(
    ("minutes", "carts", "step"),
    [(30, 1, "thanks"), (61, 1, "remind"), (None, 1, "remind"), (None, 2, "remind_again")],
)
def test_an_event_starts_it_another_is_waited_for_and_what_was_just_set_is_read(
    world: Any, minutes: int | None, carts: int, step: str
) -> None:
    """Field report 17. Profiles say something else of old: what the same advance has set holds."""
    world.people.profiles["anna"] = {"buys": step != "thanks", "carts": 9 if carts == 1 else 0}
    world.start(journey_of(CART))
    world.event("anna", carts=carts)
    world.advance()
    assert world.at("anna").step == "bought"
    if minutes is not None:
        world.now += timedelta(minutes=minutes)
        world.event("anna", kind="order")
        world.advance()
    world.now = NOW + timedelta(hours=2)
    world.advance()
    assert world.at("anna").step == step


def test_the_same_person_enters_again_after_an_edit_and_after_a_restart(world: Any, tmp_path: Any) -> None:
    """Field report 18: nothing but its declaration changes who may enter again."""

    def visit() -> int:
        world.event("anna")
        world.advance()
        world.after(hours=2)
        assert world.at("anna").step is None
        return int(world.at("anna").entry)

    world.start(journey_of("{a: {kind: wait, duration: 1h}}", reentrance="always"))
    assert [visit(), visit()] == [1, 2]
    world.start(journey_of("{b: {kind: wait, duration: 1h}}", reentrance="always"))
    assert [visit(), visit()] == [3, 4]
    world.store.close()
    world.store = open_store(f"sqlite:///{tmp_path}/0.sqlite")
    assert [visit(), visit()] == [5, 6]
    # And it is switched off where, and as soon as, the declaration says so.
    world.start(journey_of("{b: {kind: wait, duration: 1h}}", reentrance="never"))
    assert visit() == 6
    world.store.close()


def test_a_step_of_many_people_takes_as_many_statements_as_one_of_a_few(new_world: Any) -> None:
    """Field report 8: no query for each person, nor for each small list of them."""

    def statements(people: int) -> int:
        world = new_world()
        world.start(journey_of("{a: {kind: wait, duration: 1h}, b: {kind: wait, duration: 1h}}"))
        for number in range(people):
            world.event(f"p{number}")
        world.advance()
        made: list[str] = []
        event.listen(world.store.database.engine, "before_cursor_execute", lambda *told: made.append(told[2]))
        assert world.after(hours=1).moved == people
        return len(made)

    assert statements(400) == statements(20)
