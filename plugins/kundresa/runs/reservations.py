"""What decided runs still hold of people's allowance, as the operational store knows it now.

The warehouse counts every message that an earlier run decided to send. The ledger says which of them it need
not count: those that failed or were withheld, and what a stopped run had not sent. Of runs that have their
account the warehouse knows that already; here is what it cannot know yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kundresa import warehouse
from kundresa.settings import Settings
from kundresa.spec.vocabulary import MessageState, RunState
from kundresa.store import Run, Store

RELEASED = (MessageState.FAILED, MessageState.WITHHELD)
"""Nobody got these."""
LEFT = (MessageState.CLAIMED, MessageState.ACCEPTED, MessageState.UNKNOWN)
"""Somebody may have got these. Not those deferred: of a stopped run they never leave."""


@dataclass(frozen=True, slots=True)
class LedgerNews:
    """``messages`` streams mappings with ``message_id``, ``run_key`` and ``state``; read it once."""

    stopped_runs: tuple[str, ...]
    messages: Iterator[Mapping[str, Any]]


def ledger_news(store: Store, now: datetime) -> LedgerNews:
    """What has become of the messages of decided runs that have no account yet.

    A run is stopped when it is closed: the store lets nobody claim a message of it then. Or when its validity
    is over and no worker holds one of its batches: who does may be in its last window.
    """
    runs = store.runs.unaccounted()
    stopped = {run.run_key for run in runs if is_stopped(store, run, now)}
    return LedgerNews(tuple(sorted(stopped)), _messages(store, runs, stopped))


def export_ledger_news(settings: Settings, store: Store, now: datetime) -> int:
    """Write it for the decision models; returns how many messages."""
    news = ledger_news(store, now)
    return warehouse.export_ledger_news(settings, stopped_runs=news.stopped_runs, messages=news.messages)


def is_stopped(store: Store, run: Run, now: datetime) -> bool:
    """Whether nothing more leaves of a run."""
    if run.state is RunState.CLOSED:
        return True
    return now > run.valid_until and not any(
        batch.owner is not None and batch.lease_expires_at is not None and batch.lease_expires_at > now
        for batch in store.batches.list(run.run_key)
    )


def _messages(store: Store, runs: tuple[Run, ...], stopped: set[str]) -> Iterator[Mapping[str, Any]]:
    for run in runs:
        states = (*RELEASED, *LEFT) if run.run_key in stopped else RELEASED
        for chunk in store.ledger.rows(run.run_key, states=states):
            yield from chunk
