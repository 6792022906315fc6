"""SIGKILL at any moment of a run, then the same command again: nothing lost, nobody twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from kundresa.sandbox import counts

SEED = int(os.environ.get("KUNDRESA_CHAOS_SEED", "20261123"))
BEFORE_DELIVERY = (2.0, 5.0, 8.0)
"""Seconds from the start, give or take one: deciding takes about ten."""
KILLS_BY_ARRIVALS = 4
AFTER_DELIVERY = (2.0, 4.0)
"""Everything has left, or nearly: recording takes about six."""
WINDOW = 2


def _kill(shop, campaign: str, moment) -> bool:
    """Start the run in a process group of its own and kill the group once ``moment(seconds)`` says so;
    then wait until what it held is free again.

    True when it was still running.
    """
    command = [sys.executable, "-m", "kundresa.cli.main", "run", campaign, "--json"]
    command += ["--logical-date", shop.logical_date]
    with subprocess.Popen(
        command,
        env=shop.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        started = time.monotonic()
        while process.poll() is None:
            if moment(time.monotonic() - started):
                os.killpg(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        else:
            return False
    time.sleep(float(shop.environ["KUNDRESA_LEASE_SECONDS"]))
    return True


def _kill_by_time(shop, chance: random.Random, seconds: tuple[float, ...]) -> int:
    moments = [at + chance.uniform(-1, 1) for at in seconds]
    return sum(_kill(shop, "spring_sale", lambda passed, at=at: passed > at) for at in moments)


def _arrived(shop) -> int:
    return sum(count.arrivals for count in counts(shop.sandbox.home / "sandbox"))


def test_killing_a_run_anywhere_loses_nobody_and_sends_nobody_twice(shop):
    """Kills at random seconds hit dbt, the gate and the recording; kills at random counts of arrivals
    hit the delivery, whose windows of two make it slow enough to be hit often."""
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    shop.change("spring_sale", {"delivery": {"batch_size": 40, "window": WINDOW}})
    killed = _kill_by_time(shop, chance, BEFORE_DELIVERY)
    for _ in range(KILLS_BY_ARRIVALS):
        wanted = _arrived(shop) + chance.randrange(1, 12)
        killed += _kill(shop, "spring_sale", lambda _, wanted=wanted: _arrived(shop) >= wanted)
    killed += _kill_by_time(shop, chance, AFTER_DELIVERY)
    assert killed >= 7, f"only {killed} kills hit the run"
    account = shop.run("spring_sale")

    unknown = 0
    for channel, part in account["channels"].items():
        assert part["considered"] == part["sent"] + sum(part["not_sent"].values())
        arrived = Counter(each.message_id for each in shop.received(account["run_key"], channel))
        assert all(count == 1 for count in arrived.values()), "somebody was sent it twice"
        hidden = part["not_sent"].get("outcome_unknown", 0)
        unknown += hidden
        assert part["sent"] <= len(arrived) <= part["sent"] + hidden
        assert part["decided_send"] == part["sent"] + hidden
    assert unknown <= killed * WINDOW, "a crash can hide at most one window"
