"""Stopping a run for a while. See ADR-004."""

from __future__ import annotations

from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.vocabulary import RunState
from kundresa.store import Run, open_store


def stop_run(settings: Settings, run_key: str, reason: str, *, clock: Clock = utc_now) -> Run:
    """Let nothing more of a run leave, within one window of each worker, until it is resumed; a no-op when it
    is stopped already.

    What has not left keeps its place: it is neither withheld nor given back to other campaigns.

    Raises:
        RunNotFound: for a key that was never opened.
        IllegalTransition: when it is closed.
    """
    with open_store(settings.store_url) as store:
        return store.runs.stop(run_key, at=clock(), detail=reason)


def resume_run(settings: Settings, run_key: str, *, clock: Clock = utc_now) -> tuple[Run, bool]:
    """Let a stopped run go on, within its validity. Returns it, and whether it was stopped.

    Raises:
        RunNotFound: for a key that was never opened.
        IllegalTransition: when it is closed, or its validity is over.
    """
    with open_store(settings.store_url) as store:
        was_stopped = store.runs.require(run_key).stopped_at is not None
        return store.runs.resume(run_key, at=clock()), was_stopped


def waits_to_be_resumed(settings: Settings, run_key: str) -> bool:
    """Whether somebody has stopped the run, and neither resumed nor closed it. Migrates nothing: it is asked
    again and again.

    Raises:
        RunNotFound: for a key that was never opened.
        StoreOutOfDate: when there is no store at the settings' URL, or it is of another version.
    """
    with open_store(settings.store_url, migrate=False) as store:
        run = store.runs.require(run_key)
        return run.stopped_at is not None and run.state is not RunState.CLOSED
