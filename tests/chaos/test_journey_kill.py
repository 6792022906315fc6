"""Advances killed at random by SIGKILL, two at a time: every event counts, none counts twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kundresa.journeys import Facts, Member, SegmentChange, advance
from kundresa.spec.frozen import freeze
from kundresa.spec.journey import Journey
from kundresa.store import JourneyMoved, NewEvent, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
PEOPLE = 3_000
KILLS = 25
DEADLINE = 90.0
"""Seconds; ~10 on two busy cores."""
CHANNEL = {"kind": "email", "template": "a", "account": "b", "sender": "a@shop.example"}
JOURNEY = Journey.model_validate(
    {
        "name": "cart",
        "owner": "team",
        "description": "killed",
        "entry": {"event": "cart"},
        "reentrance": "always",
        "topic": "offers",
        "steps": {
            "seen": {"kind": "update", "trait": "seen", "event": "value"},
            "other": {"kind": "jump", "journey": "other"},
            "ordered": {"kind": "wait_for", "event": "order", "within": "1d", "timeout": "end"},
            "thanks": {"kind": "message", "channel": CHANNEL},
        },
    }
)


class Everybody:
    """Everybody is known by their own name."""

    def resolve(self, identifiers: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        return {each: each[1] for each in identifiers}

    def merged(self, *_: Collection[str]) -> Mapping[str, str]:
        return {}

    def facts(self, *_: Collection[str]) -> Mapping[str, Facts]:
        return {}

    def members(self, *_: object, **__: object) -> Sequence[Member]:
        return []

    def segment_changes(self, *_: object) -> Sequence[SegmentChange]:
        return []


def work(url: str) -> None:
    """Advance until somebody kills this process, or nothing is left."""
    with open_store(url, migrate=False) as store:
        while True:
            try:
                done = advance(store, Everybody(), "cart", now=NOW, most_events=150)
            except JourneyMoved:
                continue
            if done.events == 0:
                return


def events() -> list[NewEvent]:
    return [
        NewEvent("shop", f"{kind}{who}", kind, "email", f"p{who}", '{"value": 1}', at, at)
        for kind, at in (("cart", NOW - timedelta(hours=1)), ("order", NOW - timedelta(minutes=1)))
        for who in range(PEOPLE)
    ]


def nursery(url: str, rng: random.Random) -> None:
    """Two workers at a time, of whom one is killed every now and then. A program of its own: it forks, which
    a process with threads should not."""
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=work, args=(url,)) for _ in range(2)]
    for each in workers:
        each.start()
    hits = 0
    for _ in range(KILLS):
        time.sleep(rng.uniform(0, 0.06))
        position = rng.randrange(2)
        workers[position].kill()
        workers[position].join()
        hits += workers[position].exitcode == -signal.SIGKILL
        workers[position] = fork.Process(target=work, args=(url,))
        workers[position].start()
    for each in workers:
        each.join()
        if each.exitcode != 0:
            sys.exit("a worker that nobody killed has failed")
    if hits < 5:
        sys.exit(f"only {hits} kills hit a worker at work")


def test_killed_advances_lose_no_event_and_apply_none_twice(store_url: str) -> None:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    rng = random.Random(seed)
    with open_store(store_url) as store:
        store.journeys.start("cart", freeze(JOURNEY, {}), cursor="", at=NOW)
        store.inbox.append(events())
    command = [sys.executable, __file__, store_url, str(seed)]
    subprocess.run(command, check=True, timeout=DEADLINE)
    with open_store(store_url) as store:
        ids = [f"p{who}" for who in range(PEOPLE)]
        positions = store.journey_positions.of("cart", ids)
        assert Counter((each.step, each.entry, each.moves) for each in positions) == {
            ("thanks", 1, 4): PEOPLE
        }
        assert len(store.inbox.after(0, 9 * PEOPLE, {"jump:other"})) == PEOPLE
        assert store.journey_messages.counts("cart") == [("thanks", None, None, PEOPLE)]
        assert len(store.journey_positions.traits(ids, ["seen"])) == PEOPLE
        for who in rng.sample(ids, 100):
            rows = store.journey_positions.moves("cart", who)
            steps = [step for row in rows for step, _, _ in json.loads(row.moves_json)]
            assert steps == [*JOURNEY.steps], who


if __name__ == "__main__":
    nursery(sys.argv[1], random.Random(int(sys.argv[2])))
