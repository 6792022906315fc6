"""The account of journeys: their messages on the way into the warehouse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from filelock import FileLock

from kundresa import warehouse
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.journey_outcomes import NOT_SENT
from kundresa.spec.keys import account_key
from kundresa.spec.vocabulary import DecisionReason, Verdict
from kundresa.store import JourneyRow, Store, open_store

JOURNEY = "journey "
DAY = timedelta(days=1)
_HELD_OUT = frozenset({DecisionReason.GLOBAL_HOLDOUT, DecisionReason.HOLDOUT})
_DECIDED = frozenset(DecisionReason)
_MOST = 10_000
"""Outcomes that are copied from the ledger at once."""


def journey_campaign(journey: str) -> str:
    """What stands for a journey where a table names a campaign; no campaign's name has a space."""
    return JOURNEY + journey


def record_journeys(settings: Settings, *, clock: Clock = utc_now) -> int:
    """Bring everything that is new about journeys' messages, and what came back about any message as far as
    it is exported, into the measurement models, and publish it.

    Returns how many days of journeys had news. It costs what these days have, not what was recorded before.

    Raises:
        NothingPublished: before the first build.
        DbtFailed: when a model or a test failed; what is published stays then, and the next call goes on.
    """
    with open_store(settings.store_url) as store:
        export_journeys(settings, store, clock())
    due = warehouse.journey_days_due(settings)
    if due or warehouse.feedback_due(settings) is not None:
        # Measurement reads the decisions, which an installation without campaigns has not made yet.
        with FileLock(settings.home / "decide.lock"):
            warehouse.prepare_decisions(settings)
        warehouse.record(settings, ())
    return len(due)


def export_journeys(settings: Settings, store: Store, now: datetime) -> list[str]:
    """Write what the warehouse does not know yet of journeys' messages, a day of a journey at a time; returns
    the keys of these days.

    A message that is on its way is among them, as one that is reserved.
    """
    written = []
    settings.home.mkdir(parents=True, exist_ok=True)
    # One at a time: of two, the one that has read the earlier might write the later.
    with FileLock(settings.home / "journeys.lock"):
        for row in store.journeys.all():  # tests are none of them: nothing of theirs is counted anywhere
            _collect(store, row, now)
            since: datetime | None = None
            while (at := store.journey_accounts.changed_from(row.journey, since)) is not None:
                first = at.replace(hour=0, minute=0, second=0, microsecond=0)
                since = first + DAY
                key = account_key(row.journey, first)
                lines = _lines(store, row.journey, key, first, now)
                warehouse.export_journey_day(settings, key, lines, exported_at=now)
                store.journey_accounts.written(row.journey, first, since)
                written.append(key)
    return written


def _collect(store: Store, row: JourneyRow, now: datetime) -> None:
    """What became of messages, also of a journey that is paused or stopped."""
    while store.journey_messages.collect(row.journey, now=now, limit=_MOST) == _MOST:
        pass


def _lines(
    store: Store, journey: str, key: str, first: datetime, now: datetime
) -> Iterator[Mapping[str, Any]]:
    for chunk in store.journey_accounts.reached(journey, first, first + DAY):
        for row in chunk:
            yield row | {
                "run_key": key,
                "campaign": journey_campaign(journey),
                "journey": journey,
                "entity_id": row["instance_key"],
                "verdict": _verdict(row),
                "is_counted": bool(row["is_counted"]),
                "exported_at": now,
            }


def _verdict(row: Mapping[str, Any]) -> Verdict | None:
    """What was decided about a message; None for one that waits for its decision."""
    if row["outcome"] == NOT_SENT and row["reason"] in _DECIDED:
        return Verdict.HOLDOUT if row["reason"] in _HELD_OUT else Verdict.EXCLUDE
    # Delayed to the end of quiet hours is decided as well.
    return Verdict.SEND if row["outcome"] is not None or row["send_at"] is not None else None
