"""Runs of the future that go first: what higher-priority campaigns will need of people's allowance soon."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice

from kundresa import warehouse
from kundresa.runs.capping import RuleSetNotFound, require_rule_sets
from kundresa.runs.readiness import SegmentNotPublished, require_known
from kundresa.runs.run_rows import open_run_row
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign, CronSchedule
from kundresa.spec.keys import run_key
from kundresa.spec.loading import campaign_names, load_campaign
from kundresa.spec.policies import Policies
from kundresa.spec.problems import SpecError
from kundresa.spec.schedule import runs_between
from kundresa.spec.vocabulary import Trigger
from kundresa.store import NewRun

log = logging.getLogger(__name__)

MOST_RUNS = 31
"""Runs of one campaign that are looked ahead to, the nearest first: each costs as much as deciding it. It is
what a daily campaign has in the longest time that can be looked ahead."""


def runs_ahead(
    settings: Settings, policies: Policies, runs: Sequence[warehouse.OpenRun], at: datetime
) -> list[warehouse.OpenRun]:
    """The scheduled runs after ``at``, within the policies' ``look_ahead``, that may go before one of these.

    They are of other campaigns, with a higher priority or one that differs by person. Of their limits only
    the maximum size is kept: who has no place in a capacity or a warm-up today may have one then. One that
    cannot be decided as its campaign stands is left out, and logged.

    Args:
        runs: those that are to be decided at ``at``.
    """
    if policies.look_ahead is None or not any(run.caps for run in runs):
        return []
    ahead: list[warehouse.OpenRun] = []
    deciding = {run.campaign for run in runs}
    for name in campaign_names(settings.campaigns):
        if name in deciding:
            continue
        try:
            spec = load_campaign(settings.campaigns / name, relative_to=settings.project)
            if not _may_go_first(spec, runs):
                continue
            require_known(settings, name, spec.audience)
            require_rule_sets(spec, policies)
        except (SpecError, SegmentNotPublished, RuleSetNotFound) as error:
            log.warning("%s is not looked ahead to: %s", name, error)
            continue
        moments = runs_between(spec, at, at + policies.look_ahead)
        ahead += (_row(spec, policies, moment) for moment in islice(moments, MOST_RUNS))
    return ahead


def _may_go_first(spec: Campaign, runs: Sequence[warehouse.OpenRun]) -> bool:
    """Among equals the earlier run goes first: a later one cannot take its place."""
    if not isinstance(spec.schedule, CronSchedule):
        return False
    return any(spec.priority_score or run.priority_score or spec.priority > run.priority for run in runs)


def _row(spec: Campaign, policies: Policies, moment: datetime) -> warehouse.OpenRun:
    run = NewRun(
        run_key=run_key(spec.name, moment),
        campaign=spec.name,
        logical_at=moment,
        trigger=Trigger.SCHEDULED,
        spec_json="",
        spec_hash="",
        opened_at=moment,
        valid_until=moment + spec.delivery.valid_for,
    )
    row = open_run_row(run, spec.model_copy(update={"budget": None}), policies, moment)
    return replace(row, is_ahead=True, capacities=(), warm_ups=())
