"""Deciding: all open runs together, in one pass of the warehouse, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from filelock import FileLock

from kundresa import warehouse
from kundresa.runs.opening import Clock, utc_now
from kundresa.runs.readiness import AudienceNotReady, SegmentNotPublished, require_ready
from kundresa.settings import Settings
from kundresa.spec.buckets import experiment_salt, holdout_salt, variant_buckets
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.vocabulary import CloseReason, RunState
from kundresa.store import NewRun, Run, Store, open_store

log = logging.getLogger(__name__)

Progress = Callable[[str], None]


def decide_run(
    settings: Settings, run_key: str, *, clock: Clock = utc_now, progress: Progress | None = None
) -> dict[str, int]:
    """Decide this run and every other that is open; return this one's count per ``channel verdict``.

    A run decided before is not decided again: its counts are read from its publication.

    Raises:
        RunNotFound: for a key that was never opened.
        SegmentNotPublished: when it names a segment that the current publication does not know.
        AudienceWaits: when one of its segments is too old or held; it says when to look again.
        AudienceNotReady: the same when the run does not wait, or its validity is over; it is closed then.
        DbtFailed: when a model or one of its tests failed; nothing is marked as decided then.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with open_store(settings.store_url) as store, FileLock(settings.home / "decide.lock"):
        run = store.runs.require(run_key)
        if run.state is RunState.OPEN:
            _decide_open(settings, store, clock(), progress, asked=run_key)
            run = store.runs.require(run_key)
    if run.decided_at is None:
        return {}
    counts: dict[str, int] = {}
    for count in warehouse.decision_counts(settings, run_key):
        what = f"{count.channel} {count.verdict}"
        counts[what] = counts.get(what, 0) + count.lines
    return counts


def _decide_open(
    settings: Settings, store: Store, now: datetime, progress: Progress | None, *, asked: str
) -> None:
    runs = []
    for run in store.runs.undecided():
        if now > run.valid_until and not warehouse.is_published(settings, run.run_key):
            _expire(settings, store, run, now, asked)
        else:
            runs.append(run)
    decidable = [(run, spec) for run in runs if (spec := _decidable(settings, run, now, asked)) is not None]
    if not decidable:
        return
    export_operations(settings, store, decidable, now)
    decided = warehouse.decide(settings, [run.run_key for run, _ in decidable], progress=progress)
    for each in decided.runs:
        store.runs.mark_decided([each.run_key], at=each.decided_at)


def _expire(settings: Settings, store: Store, run: Run, now: datetime, asked: str) -> None:
    """Close a run whose validity is over, with what it waited for.

    Raises:
        SegmentNotPublished, AudienceNotReady: what the run that was asked for has waited for in vain.
    """
    waited_for: Exception | None = None
    try:
        audience = thaw(run.spec_json)[0].audience
        require_ready(settings, run.run_key, audience, now=now, valid_until=run.valid_until)
    except (SegmentNotPublished, AudienceNotReady, warehouse.NothingPublished, ValueError) as error:
        waited_for = error
    detail = "its validity ended before it was decided" + (f": {waited_for}" if waited_for else "")
    store.runs.close(run.run_key, CloseReason.EXPIRED, detail=detail, at=now)
    if isinstance(waited_for, SegmentNotPublished | AudienceNotReady) and run.run_key == asked:
        raise waited_for


def _decidable(settings: Settings, run: Run, now: datetime, asked: str) -> Campaign | None:
    """The run's spec, when it can be decided; None when not, so that one bad run does not stop the others.

    Raises:
        SegmentNotPublished, AudienceWaits, AudienceNotReady, ValueError: what is wrong, when it is the
            run that was asked for.
    """
    try:
        spec, _ = thaw(run.spec_json)
        # Decided already, but killed before it was noted: what its segments are now is not asked.
        if not warehouse.is_published(settings, run.run_key):
            require_ready(settings, run.run_key, spec.audience, now=now, valid_until=run.valid_until)
    except (SegmentNotPublished, AudienceNotReady, ValueError) as error:
        if run.run_key == asked:
            raise
        log.warning("%s is left undecided: %s", run.run_key, error)
        return None
    return spec


def export_operations(
    settings: Settings, store: Store, runs: Iterable[tuple[Run, Campaign]], decided_at: datetime
) -> None:
    """Write what the decision models read from the operational store: the open runs and, as of now,
    the opt-outs and suppressions.

    ``decided_at`` is taken before they are read, so that an opt-out in between is caught at delivery.
    """
    warehouse.export_open_runs(settings, [open_run_row(run, spec, decided_at) for run, spec in runs])
    warehouse.export_opt_outs(settings, store.opt_outs.rows())
    warehouse.export_suppressions(settings, store.suppressions.rows())


def open_run_row(run: Run | NewRun, spec: Campaign, decided_at: datetime) -> warehouse.OpenRun:
    """One run as the decision models read it."""
    experiment = spec.experiment
    return warehouse.OpenRun(
        run_key=run.run_key,
        campaign=run.campaign,
        logical_at=run.logical_at,
        decided_at=decided_at,
        valid_until=run.valid_until,
        topic=spec.topic,
        priority=spec.priority,
        channel_choice=spec.channel_choice,
        holdout_percent=spec.holdout.percent,
        holdout_salt=holdout_salt(run.campaign),
        variant_salt=experiment_salt(run.campaign, experiment.name) if experiment else "",
        batch_size=spec.delivery.batch_size,
        include=spec.audience.include,
        exclude=spec.audience.exclude,
        channels=tuple(channel.kind for channel in spec.channels),
        variants=tuple(variant_buckets(experiment)) if experiment else (),
    )
