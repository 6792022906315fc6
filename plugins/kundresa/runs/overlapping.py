"""Which other campaigns are to run around a planned one, and how many people they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kundresa.settings import Settings
from kundresa.spec.campaign import AssetSchedule, Audience, Campaign
from kundresa.spec.loading import campaign_names, load_campaign
from kundresa.spec.policies import Policies, exempt_topics
from kundresa.spec.problems import SpecError
from kundresa.spec.schedule import runs_between

DEFAULT_WINDOW = timedelta(days=7)
"""How far before and after the run others are looked for, where no cap says."""
_PERIODS = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}


@dataclass(frozen=True, slots=True)
class Overlap:
    """Another scheduled campaign. ``runs_at`` are its instants in the window; ``people`` are those of the
    plan's ``send`` who are in its audience (included and not excluded) now. Its own rules (consent, caps …)
    are not asked."""

    campaign: str
    priority: int
    people: int
    runs_at: tuple[datetime, ...]
    is_assumed_daily: bool
    """It runs whenever segments are published: when that will be is an assumption."""


@dataclass(frozen=True, slots=True)
class Overlaps:
    """``window`` is looked at on both sides of the run. ``unreadable`` are the campaigns whose spec is not
    valid: they run at no time until it is mended."""

    window: timedelta
    campaigns: tuple[Overlap, ...]
    unreadable: tuple[str, ...]


def find_overlaps(
    settings: Settings,
    spec: Campaign,
    policies: Policies,
    *,
    at: datetime,
    shared_people: Callable[[Audience], int],
) -> Overlaps:
    """Every other campaign with a run in the window that shares people with this plan, the largest overlap
    first.

    Args:
        at: the instant that is planned for.
        shared_people: how many of the plan's people are in an audience.
    """
    window = pressure_window(spec, policies)
    found: list[Overlap] = []
    unreadable: list[str] = []
    for name in campaign_names(settings.campaigns):
        if name == spec.name:
            continue
        try:
            other = load_campaign(settings.campaigns / name, relative_to=settings.project)
        except SpecError:
            unreadable.append(name)
            continue
        runs_at = tuple(runs_between(other, at - window, at + window))
        people = shared_people(other.audience) if runs_at else 0
        if people:
            found.append(
                Overlap(name, other.priority, people, runs_at, isinstance(other.schedule, AssetSchedule))
            )
    found.sort(key=lambda each: (-each.people, each.campaign))
    return Overlaps(window, tuple(found), tuple(unreadable))


def pressure_window(spec: Campaign, policies: Policies) -> timedelta:
    """The longest time that a cap of the campaign looks at; :data:`DEFAULT_WINDOW` when it has none, as when
    its topic is exempt from consent."""
    windows = [
        cap.within if cap.within is not None else _PERIODS[cap.period or "week"]
        for name in spec.rule_sets
        if spec.topic not in exempt_topics(policies)
        for cap in policies.pressure.get(name, ())
    ]
    return max(windows, default=DEFAULT_WINDOW)
