"""Orders that come in all the while, and what becomes of their confirmations."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import text
from tests.end_to_end.plant import Plant

from kundresa.demo.service import PublicService, ServiceError
from kundresa.runs.journey_messages import RESENT_WINDOW, WINDOW
from kundresa.sandbox import counts
from kundresa.store import open_store

PER_SECOND = 120
PER_REQUEST = 60
MOST_BEHIND = 3_000
"""Orders that wait for their confirmation. With more the shop has a rest: a slow machine would never come to
the end."""
CONFIRMED = "from journey_messages where journey = :journey and step = 'confirmation'"


class Shop:
    """Places ``PER_SECOND`` orders with the public service, for as long as it is not told to stop: each again
    until it is taken, and some once more. What it was told is taken stands in ``taken``."""

    def __init__(
        self,
        service: PublicService,
        people: Sequence[str],
        confirmed: Callable[[], int],
        chance: random.Random,
    ) -> None:
        """
        Args:
            confirmed: how many orders are, so far.
        """
        self.taken: list[str] = []
        self._service = service
        self._people = people
        self._confirmed = confirmed
        self._chance = chance
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._place)
        self._thread.start()

    def close(self) -> None:
        """Returns when all that was told is taken."""
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "the service does not come back"

    def _place(self) -> None:
        last = looked = time.monotonic()
        is_behind = False
        while not self._stop.wait(0.05):
            number, before, last = len(self.taken), last, time.monotonic()
            if last > looked + 1:
                is_behind, looked = number - self._confirmed() > MOST_BEHIND, last
            due = 0 if is_behind else min(round((last - before) * PER_SECOND), PER_REQUEST)
            orders = [f"order-{each}" for each in range(number, number + due)]
            again = self._chance.sample(self.taken, 3) if number > 3 and self._chance.random() < 0.1 else []
            while orders and not self._told([*orders, *again]):
                time.sleep(0.05)  # it is dead or starting: the same orders are told again
            self.taken += orders

    def _told(self, orders: Sequence[str]) -> bool:
        events = [
            {
                "id": order,
                "type": "order_placed",
                "subject": f"email:{self._people[int(order.removeprefix('order-')) % len(self._people)]}",
                "data": {"order_id": order, "order_value": 20},
            }
            for order in orders
        ]
        try:
            self._service.post_events(events)
        except ServiceError:
            return False
        return True


def known(plant: Plant, journey: str) -> int:
    """How many confirmations have been sent, or have a reason why not."""
    query = text(f"select count(*) {CONFIRMED} and outcome is not null")
    with (
        open_store(plant.settings.store_url, migrate=False) as store,
        store.database.read() as connection,
    ):
        return int(connection.execute(query, {"journey": journey}).scalar_one())


def confirmations(plant: Plant, journey: str) -> dict[str, tuple[str | None, str]]:
    """Order → what became of its confirmation by email (None: nothing yet), and the message's id."""
    with open_store(plant.settings.store_url) as store, store.database.read() as connection:
        rows = [
            each._mapping for each in connection.execute(text(f"select * {CONFIRMED}"), {"journey": journey})
        ]
    found = {row["instance_key"]: (row["reason"] or row["outcome"], row["message_id"]) for row in rows}
    assert len(found) == len(rows), "an order was confirmed by two entries"
    return found


def check(
    plant: Plant, journeys: Collection[str], taken: Sequence[str], *, at_most_once: str, kills: int
) -> None:
    """Every order that was taken is in the store once, and has let somebody into each journey once; each
    account says what was received, nothing came twice by the journey ``at_most_once``, and what became of the
    others' messages is known.

    Args:
        kills: of what sends. Each can hide one window of a journey, or make it come again.
    """
    with open_store(plant.settings.store_url) as store:
        posted = Counter(each.event_id for each in store.inbox.after(0, 10**6, {"order_placed"}))
        assert posted == Counter(taken), "an order that was taken is lost, or is there twice"
        for journey in journeys:
            passages: Any = store.journey_positions.passages(journey)
            assert passages["", ""] == len(taken), "an order has let in nobody, or twice"
            assert store.journey_positions.skips(journey) == {}
            assert store.journey_counts.totals()[journey].inside == 0
    for journey in journeys:
        found = confirmations(plant, journey)
        assert set(found) == set(taken)
        arrived = Counter(
            message
            for each in counts(plant.settings.sandbox)
            if each.run_key.startswith(f"{journey}.confirmation.")
            for message in plant.received(each.run_key, "email")
        )
        sent = {message for outcome, message in found.values() if outcome == "sent"}
        unknown = {message for outcome, message in found.values() if outcome == "outcome_unknown"}
        twice = [message for message, times in arrived.items() if times > 1]
        print(journey, len(sent), "sent", len(unknown), "unknown", len(twice), "twice")
        assert sent <= set(arrived) <= sent | unknown
        assert len(sent) + len(unknown) == len(found), Counter(outcome for outcome, _ in found.values())
        if journey == at_most_once:
            assert not twice
            assert len(unknown) <= kills * WINDOW
        else:
            assert not unknown
            assert len(twice) <= kills * RESENT_WINDOW
