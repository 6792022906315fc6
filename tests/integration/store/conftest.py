"""A store on each engine, and a run in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from kundresa.spec.vocabulary import Trigger
from kundresa.store import Candidate, Lease, NewRun, Store, open_store

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return NOW


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with open_store(store_url) as opened:
        yield opened


@pytest.fixture
def new_run() -> Callable[..., NewRun]:
    def make(run_key: str = "winback--1", **changes: object) -> NewRun:
        values = {
            "run_key": run_key,
            "campaign": "winback",
            "logical_at": NOW,
            "trigger": Trigger.SCHEDULED,
            "spec_json": "{}",
            "spec_hash": "a" * 64,
            "opened_at": NOW,
            "valid_until": NOW + timedelta(hours=84),
        }
        return NewRun(**values | changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def checked(store: Store, new_run: Callable[..., NewRun]) -> Callable[..., str]:
    """Opens a run that may be delivered; returns its key."""

    def make(run_key: str = "winback--1") -> str:
        store.runs.open(new_run(run_key))
        store.runs.mark_decided([run_key], at=NOW)
        store.runs.mark_checked(run_key)
        return run_key

    return make


@pytest.fixture
def take(store: Store) -> Callable[..., Lease]:
    """Registers a batch, when it is new, and leases it."""

    def make(run_key: str, size: int = 3, owner: str = "anna", at: datetime = NOW, number: int = 1) -> Lease:
        store.batches.register(run_key, "email", number, size)
        return store.batches.lease(run_key, "email", number, owner=owner, seconds=60, now=at)

    return make


@pytest.fixture
def people() -> Callable[..., list[Candidate]]:
    def make(count: int = 3, start: int = 0) -> list[Candidate]:
        ids = (hashlib.md5(str(each).encode()).hexdigest() for each in range(start, start + count))
        return [Candidate(each, f"p-{each[:6]}", None) for each in ids]

    return make
