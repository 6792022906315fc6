"""A run as the decision models read it: what its spec and the policies come to at one instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import chain

from kundresa import warehouse
from kundresa.runs.capping import run_caps
from kundresa.runs.limits import BEGINNING, run_budgets, run_capacities
from kundresa.runs.send_times import wave_openings
from kundresa.runs.warming import run_warm_ups
from kundresa.spec.buckets import (
    experiment_salt,
    explore_salt,
    global_holdout_salt,
    holdout_salt,
    sample_salt,
    variant_buckets,
    wave_salt,
)
from kundresa.spec.campaign import Campaign
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import Consent
from kundresa.spec.waves import wave_buckets, wave_places, wave_starts
from kundresa.store import NewRun, Run


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
    validity = {"decided_at": decided_at, "valid_until": run.valid_until}
    capacities = run_capacities(spec, policies, **validity)
    warm_ups = run_warm_ups(spec, policies, **validity)
    limited_periods = (
        *chain.from_iterable(capacity.periods for capacity in capacities),
        *chain.from_iterable(warm_up.days for warm_up in warm_ups),
    )
    budgets = run_budgets(spec, policies, **validity)
    waves = run_waves(spec, decided_at)
    openings = wave_openings(spec, policies, waves, **validity)
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
        history_from=min(
            _asked_from(decided_at, not_again_since, caps, limited_periods, budgets), default=None
        ),
        not_again_since=not_again_since,
        one_per=spec.audience.one_per,
        sample_percent=spec.audience.sample,
        sample_salt=sample_salt(run.campaign),
        max_size=size.messages if size else None,
        size_score=(size.score or spec.audience.score or "") if size else "",
        limit_score=spec.audience.score or "",
        consent=consent,
        is_allow_listed=policies.allow_list is not None,
        is_timed=openings is not None,
        explore_percent=best_hour.explore if best_hour else None,
        explore_salt=explore_salt(run.run_key) if best_hour else "",
        caps=caps,
        capacities=capacities,
        warm_ups=warm_ups,
        budgets=budgets,
        openings=openings or (),
        wave_salt=wave_salt(run.run_key) if waves else "",
        waves=waves,
    )


def run_waves(spec: Campaign, decided_at: datetime) -> tuple[warehouse.RunWave, ...]:
    """The campaign's waves, from the decision on; none when it leaves all at once."""
    waves = spec.waves
    if waves is None:
        return ()
    starts = wave_starts(waves, decided_at)
    if waves.counts is not None:
        return tuple(
            warehouse.RunWave(number, starts_at=starts_at, place_from=first, place_to=end)
            for number, (starts_at, (first, end)) in enumerate(
                zip(starts, wave_places(waves.counts), strict=True), start=1
            )
        )
    return tuple(
        warehouse.RunWave(number, starts_at=starts_at, bucket_from=first, bucket_to=end)
        for number, (starts_at, (first, end)) in enumerate(
            zip(starts, wave_buckets(waves.shares or ()), strict=True), start=1
        )
    )


def _not_again_since(spec: Campaign, decided_at: datetime) -> datetime | None:
    again = spec.audience.again
    if again == "always":
        return None
    return decided_at - again if isinstance(again, timedelta) else BEGINNING


def _asked_from(
    decided_at: datetime,
    not_again_since: datetime | None,
    caps: tuple[warehouse.RunCap, ...],
    periods: Iterable[tuple[datetime, datetime, int]],
    budgets: tuple[warehouse.RunBudget, ...],
) -> Iterator[datetime]:
    """For each rule that asks about earlier messages, the earliest that it asks about."""
    if not_again_since is not None:
        yield not_again_since
    for cap in caps:
        if cap.window_seconds is not None:
            yield decided_at - timedelta(seconds=cap.window_seconds)
        yield from (start for _, start, _ in cap.periods)
    # Where there is room for nothing, nobody asks what was there before.
    yield from (start for start, _, messages in periods if messages > 0)
    yield from (budget.starts_at for budget in budgets if budget.is_shared)
