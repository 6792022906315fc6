"""A run as the decision models read it: what its spec and the policies come to at one instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kundresa import warehouse
from kundresa.runs.capping import run_caps
from kundresa.runs.send_times import run_openings
from kundresa.spec.buckets import (
    experiment_salt,
    explore_salt,
    global_holdout_salt,
    holdout_salt,
    sample_salt,
    variant_buckets,
)
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Consent
from kundresa.store import NewRun, Run

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every message: what "never again" looks back to."""


def open_run_row(
    run: Run | NewRun,
    spec: Campaign,
    policies: Policies,
    decided_at: datetime,
) -> warehouse.OpenRun:
    """One run as the decision models read it."""
    experiment = spec.experiment
    topic = policies.topics.get(spec.topic)
    consent = topic.consent if topic else Consent.YES
    caps = run_caps(spec, policies, decided_at=decided_at, valid_until=run.valid_until)
    openings = run_openings(spec, policies, decided_at=decided_at, valid_until=run.valid_until)
    not_again_since = _not_again_since(spec, decided_at)
    size = spec.audience.max_size
    best_hour = spec.send_time.best_hour if spec.send_time else None
    return warehouse.OpenRun(
        run_key=run.run_key,
        campaign=run.campaign,
        logical_at=run.logical_at,
        decided_at=decided_at,
        valid_until=run.valid_until,
        topic=spec.topic,
        priority=spec.priority,
        priority_score=spec.priority_score or "",
        channel_choice=spec.channel_choice,
        holdout_percent=spec.holdout.percent,
        holdout_salt=holdout_salt(run.campaign),
        # A message that carries out what the person ordered goes to everybody.
        global_holdout_percent=0.0 if consent is Consent.EXEMPT else policies.global_holdout.percent,
        global_holdout_salt=global_holdout_salt(policies.global_holdout.rotates, decided_at),
        variant_salt=experiment_salt(run.campaign, experiment.name) if experiment else "",
        batch_size=spec.delivery.batch_size,
        include=spec.audience.include,
        exclude=spec.audience.exclude,
        channels=tuple(channel.kind for channel in spec.channels),
        variants=tuple(variant_buckets(experiment)) if experiment else (),
        history_from=_history_from(decided_at, not_again_since, caps),
        not_again_since=not_again_since,
        one_per=spec.audience.one_per,
        sample_percent=spec.audience.sample,
        sample_salt=sample_salt(run.campaign),
        max_size=size.messages if size else None,
        size_score=(size.score or "") if size else "",
        consent=consent,
        is_allow_listed=policies.allow_list is not None,
        is_timed=openings is not None,
        explore_percent=best_hour.explore if best_hour else None,
        explore_salt=explore_salt(run.run_key) if best_hour else "",
        caps=caps,
        openings=openings or (),
    )


def _not_again_since(spec: Campaign, decided_at: datetime) -> datetime | None:
    again = spec.audience.again
    if again == "always":
        return None
    return decided_at - again if isinstance(again, timedelta) else BEGINNING


def _history_from(
    decided_at: datetime, not_again_since: datetime | None, caps: tuple[warehouse.RunCap, ...]
) -> datetime | None:
    """The earliest message that a rule asks about; None when none does."""
    instants = [] if not_again_since is None else [not_again_since]
    for cap in caps:
        if cap.window_seconds is not None:
            instants.append(decided_at - timedelta(seconds=cap.window_seconds))
        instants += [start for _, start, _ in cap.periods]
    return min(instants, default=None)
