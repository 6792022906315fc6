"""A receiver that knows what it has had resolves what a crash left unknown, under either policy."""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.delivery_worker import rows
from tests.chaos.test_stop_in_flight import Gateway

from kundresa.store import open_store
from kundresa.store.print_rows import LOOK_AGAIN

RUN = "chaos--1"
LETTERS = 300
TEXTS = 600
WINDOW = 100
LEASE = 0.3
"""Seconds."""
BATCHES = (1, 2, 3)
KILLS = 8
"""While a print file is written."""
DEADLINE = 120.0
"""Seconds; ~10 on two quiet cores."""


def states(url: str, run: str = RUN) -> Counter[str]:
    with open_store(url) as store:
        return Counter(row["state"] for page in store.ledger.rows(run) for row in page)


def print_files(folder: Path) -> list[list[str]]:
    """The message ids of each that a printer sees."""
    return [
        [row[0] for row in csv.reader(file.read_text().splitlines())]
        for file in folder.iterdir()
        if not file.name.startswith(".")
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "letters"
    found.mkdir()
    return found


@pytest.fixture(params=["at_most_once", "at_least_once"])
def letters(
    request: pytest.FixtureRequest,
    folder: Path,
    open_run: Callable[..., str],
    start_worker: Callable[..., Any],
) -> tuple[str, Callable[..., Any]]:
    """The store, and what starts a worker that writes the letters."""
    url = open_run(RUN, LETTERS, "direct_mail")
    options = {"size": LETTERS, "window": LETTERS, "policy": request.param, "account": f"file://{folder}"}
    return url, lambda **more: start_worker(url, RUN, **{**options, "lease": LEASE, **more})


@pytest.mark.parametrize("moment", ["before", "within", "renamed", "after"])
def test_a_print_file_is_written_once_whenever_its_worker_died(
    moment: str, folder: Path, letters: tuple[str, Callable[..., Any]]
) -> None:
    url, start = letters
    assert start(dies=moment).wait() == -signal.SIGKILL
    assert states(url) == {"claimed": LETTERS}
    time.sleep(LEASE)
    worker = start()
    assert worker.wait() == 0, worker.output
    assert "finished" in worker.output
    assert states(url) == {"accepted": LETTERS}
    [printed] = print_files(folder)
    assert sorted(printed) == sorted(row["message_id"] for row in rows(RUN, LETTERS, "direct_mail"))


def say_no(url: str) -> str:
    """The first of the people says no; returns their message's id."""
    someone = next(rows(RUN, LETTERS, "direct_mail"))
    with open_store(url) as store:
        store.opt_outs.record(
            channel="direct_mail",
            address=someone["address"],
            source="letter",
            recorded_at=datetime.now(tz=UTC),
        )
    return str(someone["message_id"])


@pytest.mark.parametrize(
    ("moment", "stood"), [("before", False), ("within", False), ("renamed", True), ("after", True)]
)
def test_an_opt_out_since_then_makes_no_second_file(
    moment: str, stood: bool, folder: Path, letters: tuple[str, Callable[..., Any]]
) -> None:
    """Whoever is in a file that stands was sent one, who said no too; where none does, they are not in the
    one that is written. Each of the others is in one file."""
    url, start = letters
    account = f"file://{folder}?kept=true"
    assert start(dies=moment, account=account).wait() == -signal.SIGKILL
    left = say_no(url)
    time.sleep(LEASE)
    worker = start(account=account)
    assert worker.wait() == 0, worker.output
    assert "finished" in worker.output
    [printed] = print_files(folder)
    everybody = {row["message_id"] for row in rows(RUN, LETTERS, "direct_mail")}
    assert sorted(printed) == sorted(everybody if stood else everybody - {left})
    assert states(url) == ({"accepted": LETTERS} if stood else {"accepted": LETTERS - 1, "withheld": 1})
    assert not [each for each in folder.iterdir() if each.name.startswith(".")]


def test_a_file_that_the_printer_has_taken_is_not_written_with_others(
    folder: Path, letters: tuple[str, Callable[..., Any]], request: pytest.FixtureRequest
) -> None:
    """What is not there may have been: at most once, nobody gets a second letter, and nobody knows."""
    url, start = letters
    assert start(dies="after").wait() == -signal.SIGKILL
    [taken] = folder.iterdir()
    taken.unlink()
    say_no(url)
    time.sleep(LEASE)
    worker = start()
    assert worker.wait() == 0, worker.output
    assert "finished" in worker.output
    if "at_most_once" in request.node.name:
        assert states(url) == {"unknown": LETTERS}
        assert not print_files(folder)
    else:
        assert states(url) == {"unknown": 1, "accepted": LETTERS - 1}


def test_workers_killed_at_any_moment_put_everybody_into_one_file(
    folder: Path, letters: tuple[str, Callable[..., Any]]
) -> None:
    """Every worker is killed a little later than the one before, and somebody says no each time."""
    url, start = letters
    account = f"file://{folder}?kept=true"
    delay = 0.0
    for kills in range(60):
        worker = start(account=account)
        worker.wait_until(lambda worker=worker: "ready" in worker.output)  # type: ignore[misc]
        time.sleep(delay)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        if "finished" in worker.output:
            break
        delay += 0.002
        if kills == 3:
            say_no(url)
        time.sleep(LEASE)
    else:
        worker = start(account=account)
        assert worker.wait() == 0, worker.output
    printed = Counter(key for file in print_files(folder) for key in file)
    found = states(url)
    assert set(printed.values()) == {1}
    assert found["accepted"] == len(printed)
    assert found["accepted"] + found["withheld"] == LETTERS


@pytest.mark.parametrize("policy", ["at_most_once", "at_least_once"])
def test_equal_rows_of_batches_whose_workers_are_killed_are_printed_once(
    policy: str, tmp_path: Path, open_run: Callable[..., str], start_worker: Callable[..., Any]
) -> None:
    """Runs of three batches with the same homes, delivered at once by workers that are killed."""
    seed = int(os.environ.get("KUNDRESA_CHAOS_SEED") or random.SystemRandom().randrange(10**6))
    print(f"KUNDRESA_CHAOS_SEED={seed}")
    chance = random.Random(seed)
    kills: Counter[str] = Counter()
    end = time.monotonic() + DEADLINE
    for run in (f"chaos--{number}" for number in range(1, 100)):
        folder = tmp_path / run
        folder.mkdir()
        url = open_run(run, LETTERS, "direct_mail")
        with open_store(url) as store:
            for number in BATCHES[1:]:
                store.batches.register(run, "direct_mail", number, LETTERS)
        options = {"size": LETTERS, "window": LETTERS, "policy": policy, "lease": LEASE, "is_distinct": True}
        options |= {"account": f"file://{folder}?kept=true"}
        open_ones, ahead = set(BATCHES), 0.0
        while open_ones:
            assert time.monotonic() < end, f"{run}, batches {open_ones} after {kills.total()} kills"
            workers = []
            for number in sorted(open_ones):
                moment = chance.choice(["before", "within", "renamed", "after"] * 2 + ["anytime", ""])
                dies = moment.removesuffix("anytime")
                more = {"number": number, "dies": dies, "ahead": ahead}
                workers.append((number, moment, start_worker(url, run, **options, **more)))
            for number, moment, worker in workers:
                if moment == "anytime":
                    worker.wait_until(lambda worker=worker: "ready" in worker.output)  # type: ignore[misc]
                    time.sleep(chance.uniform(0, 0.05))
                    worker.send_signal(signal.SIGKILL)
                code = worker.wait()
                assert code in (0, -signal.SIGKILL), worker.output
                kills[moment] += code == -signal.SIGKILL
                if "finished" in worker.output:
                    open_ones.discard(number)
            time.sleep(LEASE)
            ahead += LOOK_AGAIN.total_seconds()
        lines = (line for file in folder.iterdir() for line in file.read_text().splitlines())
        printed = Counter(row[1] for row in csv.reader(lines))
        assert printed == {f"home {home}": 1 for home in range(LETTERS)}
        assert states(url, run) == {"accepted": LETTERS, "withheld": LETTERS * (len(BATCHES) - 1)}
        if kills.total() - kills["anytime"] >= KILLS:
            break
    print(f"{kills.total()} kills in {run}: {kills}")
    assert kills.total() - kills["anytime"] >= KILLS


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    found = Gateway(stalled=0)
    yield found
    found.stop()


@pytest.mark.parametrize("idempotent", ["true", "false"])
def test_an_idempotent_gateway_is_asked_again(
    idempotent: str, gateway: Gateway, open_run: Callable[..., str], start_worker: Callable[..., Any]
) -> None:
    url = open_run(RUN, TEXTS)
    options = {
        "size": TEXTS,
        "window": WINDOW,
        "policy": "at_most_once",
        "lease": LEASE,
        "account": f"{gateway.uri}&idempotent={idempotent}",
    }
    worker = start_worker(url, RUN, **options)
    worker.wait_until(lambda: len(gateway.taken()) > WINDOW + 10)
    worker.send_signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    time.sleep(LEASE)
    worker = start_worker(url, RUN, **options)
    assert worker.wait() == 0, worker.output
    taken = Counter(gateway.taken())
    twice = sum(taken.values()) - len(taken)
    if idempotent == "true":
        assert states(url) == {"accepted": TEXTS}
        assert len(taken) == TEXTS
        assert 0 < twice <= WINDOW
    else:
        found = states(url)
        assert not twice
        assert 0 < found.pop("unknown") <= WINDOW
        assert [*found] == ["accepted"]
