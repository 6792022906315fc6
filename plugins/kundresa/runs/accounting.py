"""The account: recording what the ledger knows, proving that the lines add up, and telling it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from kundresa import warehouse
from kundresa.runs.delivering import withhold_closed
from kundresa.runs.journey_accounting import journey_account, run_head
from kundresa.runs.journey_accounts import export_journeys
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.vocabulary import CloseReason, DeliveryReason, MessageState, RunState, Verdict
from kundresa.store import Run, Store, open_store

Account = dict[str, Any]
"""``{run_key, campaign, logical_at, state, close_reason, close_detail, stopped_at,
stop_detail, channels, people}``, where
``channels`` is ``{channel: {considered, sent, not_sent: {reason: lines}, sum, adds_up, decided_send}}``
in lines of that channel, and ``people`` is ``{considered, reached}`` in persons.
``stopped_at`` is of a run that was stopped and never resumed. As it is read, one that was reconciled may
have ``delivered_since``, ``{channel: lines}``: its ``outcome_unknown`` that were reported delivered after
that."""


class AccountDoesNotAddUp(Exception):
    """A line of the account is missing, double or unexpected. Nothing is closed."""


class RunNotFinished(Exception):
    """Messages are still on their way; the account can be closed when they have arrived somewhere."""


def record_run(settings: Settings, run_key: str, *, clock: Clock = utc_now) -> int:
    """Export the run's ledger to the warehouse and bring the measurement models up to date.

    Returns how many ledger lines were exported.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        if run.decided_at is None:
            return 0
        withhold_closed(settings, store, run, clock=clock)
        lines = warehouse.export_ledger(settings, run_key, _ledger_rows(store, run, clock()))
        export_journeys(settings, store, clock())  # one pass of dbt records both
    warehouse.record(settings, [run_key])
    return lines


def _ledger_rows(store: Store, run: Run, now: datetime) -> Iterator[Mapping[str, Any]]:
    for chunk in store.ledger.rows(run.run_key):
        for row in chunk:
            yield dict(row) | {"campaign": run.campaign, "exported_at": now}


def reconcile_run(settings: Settings, run_key: str, *, clock: Clock = utc_now) -> Account:
    """Prove the account: every ``send`` decision has exactly one settled line, and no line is without one.

    Closes the run as completed. A run that was closed before (expired, gate failed, cancelled) keeps its
    reason; its account is proved all the same.

    Raises:
        AccountDoesNotAddUp: naming what is missing, double or unexpected, per channel.
        RunNotFinished: while messages are claimed, deferred, or unknown and to be asked about again, or the
            run is stopped before its last message.
    """
    with open_store(settings.store_url) as store:
        run = store.runs.require(run_key)
        if run.decided_at is None:
            if run.state is not RunState.CLOSED:
                raise RunNotFinished(f"{run_key} is {run.state}: nobody has been decided yet. Clear decide.")
            return _save(settings, store, run, _empty_account(run))
        counts = warehouse.reconcile_counts(settings, run_key)
        may_resume = run.state is not RunState.CLOSED and clock() <= run.valid_until
        if run.stopped_at is not None and may_resume and (counts.missing or counts.pending):
            raise RunNotFinished(f"{run_key} is stopped; `kundresa resume {run_key}` lets it go on")
        if counts.missing or counts.extra or counts.double:
            raise AccountDoesNotAddUp(
                f"{run_key}: {counts.missing} decided but not in the ledger, {counts.extra} in the ledger "
                f"but not decided, {counts.double} more than once. "
                "Clear the deliver tasks and run record again."
            )
        if counts.pending:
            raise RunNotFinished(f"{run_key}: {counts.pending} messages are still claimed or deferred")
        if may_resume and (asked := store.ledger.asked_again(run_key)):
            raise RunNotFinished(f"{run_key}: of {asked} messages it is not known yet what became of them")
        account = build_account(run, counts)
        wrong = [channel for channel, part in account["channels"].items() if not part["adds_up"]]
        if wrong:
            raise AccountDoesNotAddUp(f"{run_key}: the lines of {', '.join(wrong)} do not add up: {account}")
        if run.state is not RunState.CLOSED:
            run = store.runs.close(run_key, CloseReason.COMPLETED, at=clock())
        return _save(settings, store, run, account | run_head(run))


def report_run(settings: Settings, run_key: str) -> Account:
    """The account as it was reconciled.

    Raises:
        AccountDoesNotAddUp: when it never was.
    """
    account = read_account(settings, run_key)
    if account is None:
        raise AccountDoesNotAddUp(f"{run_key} was never reconciled")
    return account


def read_account(settings: Settings, run_key: str, *, clock: Clock = utc_now) -> Account | None:
    """The run's reconciled account, or None; of a day of a journey, or a standing run, the account of now.

    Raises:
        RunNotFound: for a key that was never opened.
        JourneyNotFound: for the day of a journey that was never started.
    """
    with open_store(settings.store_url) as store:
        found = journey_account(store, run_key, clock())
        if found is not None:
            return found
        account = store.runs.require(run_key).account
        return None if account is None else dict(account) | _delivered_since(store, run_key, account)


def _delivered_since(store: Store, run_key: str, account: Mapping[str, Any]) -> Account:
    """What the ledger knows by now of messages that were unknown when the account was reconciled."""
    then = {
        channel: part["not_sent"].get(DeliveryReason.OUTCOME_UNKNOWN.value, 0)
        for channel, part in account["channels"].items()
    }
    if not any(then.values()):
        return {}
    now = {
        count.channel: count.messages
        for count in store.ledger.counts(run_key)
        if count.state is MessageState.UNKNOWN
    }
    since = {channel: unknown - now.get(channel, 0) for channel, unknown in then.items()}
    since = {channel: lines for channel, lines in since.items() if lines > 0}
    return {"delivered_since": since} if since else {}


def _empty_account(run: Run) -> Account:
    """Of a run that closed before anyone was considered."""
    return run_head(run) | {"channels": {}, "people": {"considered": 0, "reached": 0}}


def build_account(run: Run, counts: warehouse.ReconcileCounts) -> Account:
    """The account from the reconciled counts; ``adds_up`` compares the sum of its lines with the count of
    decisions, which is taken separately."""
    channels: dict[str, Any] = {}
    for channel, considered in counts.considered.items():
        lines = [line for line in counts.lines if line.channel == channel]
        sent = sum(line.lines for line in lines if line.state == MessageState.ACCEPTED)
        not_sent: dict[str, int] = {}
        for line in lines:
            if line.state != MessageState.ACCEPTED:
                reason = line.reason or "reason_missing"
                not_sent[reason] = not_sent.get(reason, 0) + line.lines
        total = sent + sum(not_sent.values())
        channels[channel] = {
            "considered": considered,
            "sent": sent,
            "not_sent": dict(sorted(not_sent.items())),
            "sum": total,
            "adds_up": total == considered and "reason_missing" not in not_sent,
            "decided_send": sum(line.lines for line in lines if line.verdict == Verdict.SEND),
        }
    people = {"considered": counts.people_considered, "reached": counts.people_reached}
    return run_head(run) | {"channels": channels, "people": people}


def _save(settings: Settings, store: Store, run: Run, account: Account) -> Account:
    """Keep the account in the store, and beside the run's decisions for whoever reads files."""
    store.runs.save_account(run.run_key, account)
    folder = settings.published / "runs" / run.run_key
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".account.{os.getpid()}.json"
    temporary.write_text(json.dumps(account, indent=2) + "\n")
    temporary.replace(folder / "account.json")
    return account
