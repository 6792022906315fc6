"""Deciding: all open runs together, in one pass of the warehouse, once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from filelock import FileLock

from kundresa import warehouse
from kundresa.runs.opening import Clock, utc_now
from kundresa.settings import Settings
from kundresa.spec.buckets import experiment_salt, holdout_salt, variant_buckets
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.vocabulary import CloseReason, RunState
from kundresa.store import NewRun, Run, Store, open_store

log = logging.getLogger(__name__)

Progress = Callable[[str], None]


class SegmentNotPublished(Exception):
    """A run names a segment of which nothing is known yet."""


def decide_run(
    settings: Settings, run_key: str, *, clock: Clock = utc_now, progress: Progress | None = None
) -> dict[str, int]:
    """Decide this run and every other that is open; return this one's count per ``channel verdict``.

    A run decided before is not decided again: its counts are read from its publication.

    Raises:
        RunNotFound: for a key that was never opened.
        SegmentNotPublished: when it names a segment that the current publication does not know.
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
            store.runs.close(
                run.run_key, CloseReason.EXPIRED, detail="its validity ended before it was decided", at=now
            )
        else:
            runs.append(run)
    decidable = [(run, spec) for run in runs if (spec := _decidable(settings, run, asked)) is not None]
    if not decidable:
        return
    export_operations(settings, store, decidable, now)
    decided = warehouse.decide(settings, [run.run_key for run, _ in decidable], progress=progress)
    for each in decided.runs:
        store.runs.mark_decided([each.run_key], at=each.decided_at)


def _decidable(settings: Settings, run: Run, asked: str) -> Campaign | None:
    """The run's spec, when it can be decided; None when not, so that one bad run does not stop the others.

    Raises:
        SegmentNotPublished, ValueError: what is wrong, when it is the run that was asked for.
    """
    try:
        spec, _ = thaw(run.spec_json)
        named = {*spec.audience.include, *spec.audience.exclude}
        missing = sorted(named - warehouse.published_segments(settings))
        if missing:
            raise SegmentNotPublished(
                f"{run.run_key} names segment {missing[0]}, which is not in the current publication: an "
                "exclusion would exclude nobody. Build and publish the warehouse, then clear decide."
            )
    except (SegmentNotPublished, ValueError) as error:
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
