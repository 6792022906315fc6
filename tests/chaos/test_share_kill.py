"""Processes that tell an audience share, killed at random moments: what the receiver knows is who is in the
segments, each batch was always the same, and nobody who left stays."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.chaos.conftest import Nursery
from tests.integration.audience_shares.conftest import SECRET, SPEC, Receiver, publish, receiver, settings

from kundresa.settings import Settings

WORKER = Path(__file__).with_name("share_worker.py")
__all__ = ["publish", "receiver", "settings"]

PEOPLE = 3_000
BUILDS = 3
KILLS = 12
LEASE = 0.2
DEADLINE = 120.0
"""Seconds; ~10 on two quiet cores."""


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    found = Nursery(tmp_path, WORKER)
    try:
        yield found
    finally:
        found.close()


def test_killed_shares_end_up_with_who_is_in_the_segments(
    settings: Settings, publish: Callable[..., str], receiver: tuple[Receiver, int], nursery: Nursery
) -> None:
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    known, port = receiver
    folder = settings.audience_shares / "web_shop"
    folder.mkdir()
    spec = {**SPEC, "destination": {"kind": "webhook", "account": "shop", "per_request": 25}}
    (folder / "audience_share.yaml").write_text(json.dumps(spec))
    known.fails = lambda _: time.sleep(0.002)
    start = {
        "environ": {
            "KUNDRESA_HOME": str(settings.home),
            "KUNDRESA_PROJECT": str(settings.project),
            "KUNDRESA_LEASE_SECONDS": str(LEASE),
        },
        "share": "web_shop",
        "account": f"http://:{SECRET.replace(' ', '%20')}@127.0.0.1:{port}/?private=allowed",
    }
    kills, end = 0, time.monotonic() + DEADLINE
    expected: dict[str, set[str]] = {}
    for build in range(BUILDS):
        expected = {
            f"p{number}": {each for each in ("vip", "lapsed") if chance.random() < 0.6}
            for number in range(PEOPLE)
        }
        publish(expected)
        while True:
            assert time.monotonic() < end, f"not finished in {DEADLINE:.0f} s"
            before = known.count
            worker = nursery.start(start)
            if kills < KILLS * (build + 1) // BUILDS:
                enough = before + chance.randrange(1, 25)
                while known.count < enough and "done" not in worker.output:
                    time.sleep(0.001)
                time.sleep(chance.uniform(0, 0.005))
                worker.send_signal(signal.SIGKILL)
            kills += worker.wait() == -signal.SIGKILL
            if worker.returncode == 0:
                break
            assert worker.returncode == -signal.SIGKILL, worker.output
    print(f"{kills} kills, {len(known.requests)} requests, {len(set(known.names))} batches")
    assert kills >= KILLS - BUILDS
    assert len(known.requests) > len(set(known.names)), "no kill hit a batch under way: nothing was tested"
    assert known.people == {who: its for who, its in expected.items() if its}
    bodies = defaultdict(set)
    for name, told in zip(known.names, known.requests, strict=True):
        bodies[name].add(hashlib.sha256(json.dumps(told).encode()).hexdigest())
    assert {len(each) for each in bodies.values()} == {1}
    sequences = [told["sequence"] for told in known.requests]
    assert sequences == sorted(sequences), "an older share came after a later one"
