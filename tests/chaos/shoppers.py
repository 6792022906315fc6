"""Systems of a shop that tell the public service what their people do, as real ones would: whatever is not
answered is told again with the same ids, and some of what was answered as well."""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

MOST = 25
"""Events in one request, those that are told once more not counted."""
TOLD_AGAIN = 5
"""Events that were taken, in about every tenth request."""
CARTS = 0.55
"""Of all events; the others are orders, but for a few that no journey knows."""
PAUSE = (1.0, 3.0)
"""Seconds between two events of one person."""


class Shoppers:
    """One system with people of its own, on a thread: what each does comes in its order."""

    def __init__(self, url: str, key: str, name: str, people: Sequence[str], chance: random.Random) -> None:
        """
        Args:
            people: their email addresses, which no other system has.
        """
        self.taken: list[str] = []
        """Ids of the events that the service has answered for."""
        self.breaks = 0
        """Requests that were not answered, or with a 5xx."""
        self._failure: BaseException | None = None
        self._url, self._key, self._name = url, key, name
        self._chance = chance
        self._told: list[dict[str, Any]] = []
        now = time.monotonic()
        self._due = [(now + chance.uniform(0, PAUSE[1]), who) for who in people]
        heapq.heapify(self._due)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last request is answered."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the service does not come back"
        self.require_well()

    def require_well(self) -> None:
        """Raises what has gone wrong on the thread, if anything has."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            keyed = {"Authorization": f"Bearer {self._key}"}
            with httpx.Client(base_url=self._url, headers=keyed, trust_env=False, timeout=10) as client:
                while not self._stop.is_set():
                    self._tell(client)
        except BaseException as error:
            self._failure = error

    def _tell(self, client: httpx.Client) -> None:
        people = []
        while self._due and self._due[0][0] <= time.monotonic() and len(people) < MOST:
            people.append(heapq.heappop(self._due)[1])
        if not people:
            self._stop.wait(0.02)
            return
        new = [self._event(who) for who in people]
        is_again = self._chance.random() < 0.1 and len(self._told) > TOLD_AGAIN
        known = self._chance.sample(self._told, TOLD_AGAIN) if is_again else []
        body = [*new, *known]
        self._chance.shuffle(body)
        tries = 0
        while (answer := self._post(client, body)) is None:
            self.breaks += 1
            tries += 1
            time.sleep(0.05)
        assert (answer["accepted"], answer["refused"]) == (len(body), 0), answer
        # Of a request that was not answered nobody knows how much was taken.
        assert answer["known"] == len(known) or (tries and answer["known"] > len(known)), answer
        self._told += new
        self.taken += [each["id"] for each in new]
        for who in people:
            heapq.heappush(self._due, (time.monotonic() + self._chance.uniform(*PAUSE), who))

    def _event(self, who: str) -> dict[str, Any]:
        drawn = self._chance.random()
        kind = "cart" if drawn < CARTS else "order" if drawn < 0.95 else "seen"
        return {
            "id": f"{self._name}-{len(self._told)}-{who}",
            "type": kind,
            "subject": f"email:{who}",
            "time": datetime.now(tz=UTC).isoformat(),
            "data": {} if kind == "seen" else {"value": self._chance.randrange(6)},
        }

    @staticmethod
    def _post(client: httpx.Client, events: Sequence[dict[str, Any]]) -> dict[str, int] | None:
        """What the service answers; None where it does not."""
        try:
            answer = client.post("/events", json=list(events))
        except httpx.TransportError:
            return None
        if answer.is_server_error:
            return None
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        found: dict[str, int] = answer.json()
        return found
