"""Runs: opened once per key, and led from state to state without a way back."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select, update

from kundresa.spec.vocabulary import CloseReason, RunState, Trigger
from kundresa.store.engine import Database
from kundresa.store.errors import IllegalTransition, RunNotFound
from kundresa.store.records import NewRun, Run
from kundresa.store.tables import runs

log = logging.getLogger(__name__)

_MAY_CLOSE_FROM: Mapping[CloseReason, frozenset[RunState]] = {
    # Only what has passed the gate was delivered, and only what was delivered can be complete.
    CloseReason.COMPLETED: frozenset({RunState.CHECKED}),
    CloseReason.EXPIRED: frozenset({RunState.OPEN, RunState.DECIDED, RunState.CHECKED}),
    CloseReason.QUALITY_GATE_FAILED: frozenset({RunState.DECIDED}),
    CloseReason.CANCELLED: frozenset({RunState.OPEN, RunState.DECIDED, RunState.CHECKED}),
}

_OF_CAMPAIGN = runs.c.trigger != Trigger.JOURNEY.value


class Runs:
    """The table ``runs``. open → decided → checked → closed; closed may come early."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, run: NewRun) -> Run:
        """Open a run, or return the one that exists under this key, unchanged.

        A run keeps the spec it was opened with. When another is offered later, ``spec_differs`` of the
        result says so, and a warning is logged.
        """
        values = {name: getattr(run, name) for name in NewRun.__slots__}
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(runs), values | {"state": RunState.OPEN.value})
            stored = _require(connection, run.run_key)
        if stored.spec_hash == run.spec_hash:
            return stored
        log.warning(
            "%s was opened with spec %s and keeps it; the files now say %s, which the next run will use",
            run.run_key,
            stored.spec_hash[:12],
            run.spec_hash[:12],
        )
        return replace(stored, spec_differs=True)

    def open_standing(self, run: NewRun) -> None:
        """Open the run of one message of a journey, once: it may deliver from the beginning, and lasts.

        It is in none of the lists here, which are of campaigns: nobody decides or reconciles it.
        """
        values = {name: getattr(run, name) for name in NewRun.__slots__}
        state = {"state": RunState.CHECKED.value, "decided_at": run.opened_at}
        with self._database.write() as connection:
            connection.execute(self._database.insert_new(runs), values | state)

    def get(self, run_key: str) -> Run | None:
        """The run, or None when it was never opened."""
        with self._database.read() as connection:
            return _get(connection, run_key)

    def require(self, run_key: str) -> Run:
        """The run.

        Raises:
            RunNotFound: when it was never opened.
        """
        with self._database.read() as connection:
            return _require(connection, run_key)

    def list(self, campaign: str | None = None, state: RunState | None = None, limit: int = 100) -> list[Run]:
        """At most ``limit`` runs, the latest logical date first."""
        latest = (runs.c.logical_at.desc(), runs.c.run_key.desc())
        query = select(runs).where(_OF_CAMPAIGN).order_by(*latest).limit(limit)
        if campaign is not None:
            query = query.where(runs.c.campaign == campaign)
        if state is not None:
            query = query.where(runs.c.state == state.value)
        with self._database.read() as connection:
            return [_run(row) for row in connection.execute(query)]

    def undecided(self) -> tuple[Run, ...]:
        """All runs in state open, the earliest logical date first."""
        return self._in_order(runs.c.state == RunState.OPEN.value)

    def unfinished(self) -> tuple[Run, ...]:
        """All runs that are not closed, the earliest logical date first."""
        return self._in_order(runs.c.state != RunState.CLOSED.value)

    def standing(self) -> frozenset[str]:
        """What stands for a journey in its standing runs, of every one that has one that is not closed."""
        query = select(runs.c.campaign).distinct().where(~_OF_CAMPAIGN, runs.c.state != RunState.CLOSED.value)
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    def valid_since(self, instant: datetime) -> tuple[Run, ...]:
        """All decided runs whose validity ends then or later, the earliest logical date first."""
        return self._in_order(and_(runs.c.decided_at.is_not(None), runs.c.valid_until >= instant))

    def unaccounted(self) -> tuple[Run, ...]:
        """All decided runs without an account, the earliest logical date first: the warehouse does not know
        yet what has become of their messages."""
        return self._in_order(and_(runs.c.decided_at.is_not(None), runs.c.account_json.is_(None)))

    def _in_order(self, which: ColumnElement[bool]) -> tuple[Run, ...]:
        query = select(runs).where(_OF_CAMPAIGN, which).order_by(runs.c.logical_at, runs.c.run_key)
        with self._database.read() as connection:
            return tuple(_run(row) for row in connection.execute(query))

    def mark_decided(self, run_keys: Iterable[str], *, at: datetime) -> None:
        """All of these are decided, as of ``at``; one that was decided before keeps its time.

        A run that was closed while the decision was under way stays closed, but learns when it was
        decided: its lines exist and belong in its account.

        Raises:
            RunNotFound: for a key that was never opened; then none is marked.
        """
        with self._database.write() as connection:
            for run_key in sorted(run_keys):  # in one order, so that two callers cannot deadlock
                run = _require(connection, run_key, lock=True)
                if run.decided_at is None:
                    state = RunState.DECIDED if run.state is RunState.OPEN else run.state
                    connection.execute(
                        update(runs).where(runs.c.run_key == run_key).values(state=state.value, decided_at=at)
                    )

    def mark_checked(self, run_key: str) -> Run:
        """The run has passed its gate; a no-op when it had before.

        Raises:
            RunNotFound: when it was never opened.
            IllegalTransition: when it is not decided, or is closed.
        """
        with self._database.write() as connection:
            run = _require(connection, run_key, lock=True)
            if run.state is RunState.CHECKED:
                return run
            if run.state is not RunState.DECIDED:
                raise IllegalTransition(run_key, run.state, RunState.CHECKED)
            return _set(connection, run_key, state=RunState.CHECKED.value)

    def close(
        self,
        run_key: str,
        reason: CloseReason,
        *,
        at: datetime,
        detail: str | None = None,
        account: Mapping[str, Any] | None = None,
    ) -> Run:
        """Close the run; a no-op when it is closed for the same reason.

        From then on no message of it is claimed: a worker in the middle of a batch stops after its window.

        Raises:
            RunNotFound: when it was never opened.
            IllegalTransition: when it is closed for another reason, or the reason does not fit its state.
        """
        with self._database.write() as connection:
            run = _require(connection, run_key, lock=True)
            if run.state is RunState.CLOSED and run.close_reason is reason:
                return run
            if run.state not in _MAY_CLOSE_FROM[reason]:
                raise IllegalTransition(run_key, run.state, f"{RunState.CLOSED} ({reason})")
            return _set(
                connection,
                run_key,
                state=RunState.CLOSED.value,
                closed_at=at,
                close_reason=reason.value,
                close_detail=detail,
                account_json=_account_json(run.account if account is None else account),
            )

    def stop(self, run_key: str, *, at: datetime, detail: str | None = None) -> Run:
        """Let nothing of the run be claimed until it is resumed; a no-op when it is stopped already.

        A worker in the middle of a batch settles the window in its hand. The state stays what it is: a
        stopped run may be decided and checked.

        Raises:
            RunNotFound: when it was never opened.
            IllegalTransition: when it is closed.
        """
        with self._database.write() as connection:
            run = _require(connection, run_key, lock=True)
            if run.state is RunState.CLOSED:
                raise IllegalTransition(run_key, run.state, "stopped")
            if run.stopped_at is not None:
                return run
            return _set(connection, run_key, stopped_at=at, stop_detail=detail)

    def resume(self, run_key: str, *, at: datetime) -> Run:
        """Let a stopped run go on; a no-op when it is not stopped.

        Raises:
            RunNotFound: when it was never opened.
            IllegalTransition: when it is closed, or its validity is over: nothing could leave any more, and
                what has not left is accounted for as stopped.
        """
        with self._database.write() as connection:
            run = _require(connection, run_key, lock=True)
            if run.state is RunState.CLOSED:
                raise IllegalTransition(run_key, run.state, "resumed")
            if run.stopped_at is None:
                return run
            if at > run.valid_until:
                raise IllegalTransition(
                    run_key,
                    run.state,
                    f"resumed after the end of its validity, {run.valid_until:%Y-%m-%d %H:%M}Z",
                )
            return _set(connection, run_key, stopped_at=None, stop_detail=None)

    def save_account(self, run_key: str, account: Mapping[str, Any]) -> Run:
        """Keep the run's account, in place of an earlier one.

        Raises:
            RunNotFound: when it was never opened.
        """
        with self._database.write() as connection:
            _require(connection, run_key)
            return _set(connection, run_key, account_json=_account_json(account))


def _account_json(account: Mapping[str, Any] | None) -> str | None:
    """The account as it is stored."""
    return None if account is None else json.dumps(account, sort_keys=True, ensure_ascii=False)


def _get(connection: Connection, run_key: str, *, lock: bool = False) -> Run | None:
    """``lock``: until the end of the transaction nobody else changes the row. (SQLite has one writer at a
    time anyway, and leaves FOR UPDATE out.)"""
    query = select(runs).where(runs.c.run_key == run_key)
    row = connection.execute(query.with_for_update() if lock else query).first()
    return None if row is None else _run(row)


def _require(connection: Connection, run_key: str, *, lock: bool = False) -> Run:
    run = _get(connection, run_key, lock=lock)
    if run is None:
        raise RunNotFound(run_key)
    return run


def _set(connection: Connection, run_key: str, **values: object) -> Run:
    connection.execute(update(runs).where(runs.c.run_key == run_key).values(**values))
    return _require(connection, run_key)


def _run(row: Row[Any]) -> Run:
    values = dict(row._mapping)
    account = values.pop("account_json")
    return Run(
        **values
        | {
            "trigger": Trigger(row.trigger),
            "state": RunState(row.state),
            "close_reason": CloseReason(row.close_reason) if row.close_reason else None,
            "account": None if account is None else json.loads(account),
        }
    )
