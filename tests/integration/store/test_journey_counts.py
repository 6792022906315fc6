"""What pages show in numbers is counted in indexes: the lines themselves, ten million, are not read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from sqlalchemy import event
from tests.integration.store.test_journeys import NOW, SPEC, message, position

from kundresa.spec.journey_steps import END
from kundresa.store import ENTERED, Advance, Store, open_store


def fill(store: Store) -> None:
    """Three are inside, one has left; two messages are under way."""
    store.journeys.start("cart", SPEC, cursor="", at=NOW)
    people = [position("p1"), position("p2"), position("p3", step="say"), position("p4", step=None)]
    advance = Advance(
        0,
        "",
        positions=people,
        messages=[message(1, "p3"), message(2, "p4")],
        passages=Counter({(ENTERED, ""): 4, ("wait", ""): 4, ("say", ""): 2, (END, "finished"): 1}),
    )
    row = store.journeys.require("cart")
    store.journeys.commit("cart", row.generation, advance, at=NOW)


def test_who_is_inside_and_what_became_of_messages(store: Store) -> None:
    fill(store)
    counts = store.journey_counts.of("cart")
    assert [(each.version, each.step, each.people, each.since) for each in counts.steps] == [
        (1, "say", 1, NOW),
        (1, "wait", 2, NOW),
    ]
    assert counts.messages == [("say", None, None, 2)]
    [(name, total)] = store.journey_counts.totals().items()
    assert (name, total.entered, total.inside, total.left, total.waiting_since) == ("cart", 4, 3, 1, NOW)
    assert (total.messages, total.sent) == (2, 0)
    everywhere = store.journey_positions.counts("cart")
    assert sorted((each.step or "", each.people) for each in everywhere) == [("", 1), ("say", 1), ("wait", 2)]


def test_no_line_is_read_and_none_is_sorted(tmp_path: Path) -> None:
    asked: list[tuple[str, Any]] = []
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        fill(store)

        @event.listens_for(store.database.engine, "before_cursor_execute")
        def listen(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            asked.append((statement, parameters))

        store.journey_counts.of("cart")
        store.journey_counts.totals()
        counted = [each for each in asked if "count(*)" in each[0] and "journey_calls" not in each[0]]
        assert len(counted) == 4
        with store.database.read() as connection:
            for statement, parameters in counted:
                rows = connection.exec_driver_sql(f"explain query plan {statement}", parameters).all()
                plan = [str(row[3]) for row in rows]
                assert len(plan) == 1, plan
                assert "USING COVERING INDEX ix_journey_" in plan[0], plan
