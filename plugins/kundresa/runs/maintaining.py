"""Ending the runs that nobody finished, and removing what has been kept long enough."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from kundresa import quality, warehouse
from kundresa.runs.accounting import reconcile_run, record_run
from kundresa.runs.delivering import settle_overdue
from kundresa.runs.journey_testing import end_forgotten
from kundresa.runs.journeys import forget_ended
from kundresa.settings import Settings
from kundresa.spec.vocabulary import CloseReason, RunState
from kundresa.store import Run, Store, open_store

log = logging.getLogger(__name__)


CLOSED_RUNS = 1_000
"""Closed runs, newest first, among which those without an account are looked for."""


def cancel_run(settings: Settings, run_key: str, reason: str, now: datetime) -> Run:
    """Close a run for good; a delivery under way stops within one window and withholds the rest.

    Raises:
        RunNotFound: for a key that was never opened.
        IllegalTransition: when it is closed already for another reason.
    """
    with open_store(settings.store_url) as store:
        return store.runs.close(run_key, CloseReason.CANCELLED, detail=reason, at=now)


def apply_retention(settings: Settings, now: datetime) -> dict[str, int]:
    """Close overdue runs, then remove what is older than the retention settings.

    Returns counts by what was done. Messages, decisions and runs are the account and are never removed here.
    """
    done = close_overdue(settings, now)
    done["journeys and tests ended"] = end_forgotten(settings, now)
    before = now - timedelta(days=settings.retention_days)
    with open_store(settings.store_url) as store:
        done["attempts removed"] = store.retention.apply(before)
        done["rows of letters removed"] = store.retention.forget_print_rows()
        done["events removed"] = store.retention.forget_events(before)
        done["feedback removed"] = store.retention.forget_feedback(before)
        done["refusals removed"] = store.retention.forget_refusals(before)
        done["journey moves removed"] = store.retention.forget_moves(before)
        done["journey calls removed"] = store.retention.forget_calls(before)
        done["journey readings removed"] = store.retention.forget_readings(before)
        done["journey early events removed"] = sum(
            store.retention.forget_early_events(row.journey, before)
            for row in store.journeys.all(with_tests=True)
        )
        done["rests removed"] = store.rests.forget(now=now)
        done["message requests removed"] = store.retention.forget_requests(before)
        done["journey positions removed"] = forget_ended(store, before, now)
        done["journey traits removed"] = _forget_traits(settings, store, before)
    done["builds removed"] = warehouse.prune_builds(settings, settings.published_builds)
    done["exports removed"] = warehouse.prune_exports(settings, before)
    done["validation results removed"] = quality.prune_data_docs(settings, before)
    return done


def _forget_traits(settings: Settings, store: Store, before: datetime) -> int:
    """Those of people whom the warehouse does not know any more; none before there is a publication."""
    with warehouse.PublishedPeople(settings) as people:
        try:
            return store.retention.forget_traits(before, lambda ids: people.facts(ids, ()))
        except warehouse.NothingPublished:
            return 0


def close_overdue(settings: Settings, now: datetime) -> dict[str, int]:
    """End the runs whose validity is over: undecided ones expire, decided ones get their account.

    What had not left is withheld as ``run_expired``. A run that still cannot be reconciled is counted as
    stuck and left as it is; its own DAG run shows why.
    """
    done = {"runs expired": 0, "runs completed": 0, "runs stuck": 0}
    with open_store(settings.store_url) as store:
        overdue = [run for run in store.runs.unfinished() if now > run.valid_until]
        for run in overdue:
            decided = warehouse.is_published(settings, run.run_key)
            if run.state is RunState.OPEN and decided:  # killed before it was noted
                store.runs.mark_decided([run.run_key], at=warehouse.decided_at(settings, run.run_key))
            if run.state is RunState.CHECKED:
                continue
            # A gate that has not said yes by now will not: what was decided is withheld.
            late = f"its validity ended while it was {run.state}"
            store.runs.close(run.run_key, CloseReason.EXPIRED, detail=late, at=now)
            done["runs expired"] += 1
        # Closed by somebody who was killed, or had no time, to make the account.
        closed = store.runs.list(state=RunState.CLOSED, limit=CLOSED_RUNS)
        unaccounted = [run for run in closed if run.account is None]
    for run in (*overdue, *unaccounted):
        try:
            settle_overdue(settings, run.run_key, clock=lambda: now)
            record_run(settings, run.run_key, clock=lambda: now)
            reconcile_run(settings, run.run_key, clock=lambda: now)
        # Whatever is wrong with one run, the others and the retention go on; it is counted, and told.
        except Exception:
            log.exception("%s is over and cannot be accounted for", run.run_key)
            done["runs stuck"] += 1
        else:
            done["runs completed"] += run.state is RunState.CHECKED
    return done
