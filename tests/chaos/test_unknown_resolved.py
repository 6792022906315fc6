"""A receiver that knows what it has had resolves what a crash left unknown, under either policy."""

from __future__ import annotations

import csv
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

RUN = "chaos--1"
LETTERS = 300
TEXTS = 600
WINDOW = 100
LEASE = 0.3
"""Seconds."""


def states(url: str) -> Counter[str]:
    with open_store(url) as store:
        return Counter(row["state"] for page in store.ledger.rows(RUN) for row in page)


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
    return url, lambda **more: start_worker(url, RUN, **options, lease=LEASE, **more)


@pytest.mark.parametrize("moment", ["before", "within", "after"])
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


def test_an_opt_out_since_then_makes_no_second_file(
    folder: Path, letters: tuple[str, Callable[..., Any]], request: pytest.FixtureRequest
) -> None:
    """One row less is another file: at most once, the first one stays alone, and nobody knows whether it was
    printed."""
    url, start = letters
    assert start(dies="after").wait() == -signal.SIGKILL
    with open_store(url) as store:
        someone = next(rows(RUN, LETTERS, "direct_mail"))
        store.opt_outs.record(
            channel="direct_mail",
            address=someone["address"],
            source="letter",
            recorded_at=datetime.now(tz=UTC),
        )
    time.sleep(LEASE)
    worker = start()
    assert worker.wait() == 0, worker.output
    if "at_most_once" in request.node.name:
        assert "finished" in worker.output
        assert states(url) == {"unknown": LETTERS}
        assert len(print_files(folder)) == 1
    else:
        assert states(url) == {"unknown": 1, "accepted": LETTERS - 1}


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
