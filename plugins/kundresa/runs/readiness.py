"""Whether a run's segments may be used: there, fresh enough, and not held."""

from __future__ import annotations

from datetime import datetime, timedelta

from kundresa import warehouse
from kundresa.settings import Settings
from kundresa.spec.campaign import Audience
from kundresa.spec.fields import format_duration
from kundresa.spec.vocabulary import HeldPolicy, NotReadyPolicy

LOOK_AGAIN = timedelta(minutes=5)
"""Between two looks of a waiting run. A look reads two small files; sooner gains little against a build
that takes minutes."""


class SegmentNotPublished(Exception):
    """A run names a segment of which nothing is known yet."""


class AudienceNotReady(Exception):
    """A segment of the run is too old or held, and the run does not wait, or no longer."""


class AudienceWaits(AudienceNotReady):
    """The same, within the run's validity: look again at ``look_again_at``."""

    def __init__(self, message: str, look_again_at: datetime) -> None:
        super().__init__(message)
        self.look_again_at = look_again_at


def require_ready(
    settings: Settings, run_key: str, audience: Audience, *, now: datetime, valid_until: datetime
) -> None:
    """Nothing, when every segment of the audience may be used at ``now``.

    Raises:
        SegmentNotPublished: when the current publication does not know one.
        AudienceWaits, AudienceNotReady: naming every segment that is too old or held.
        NothingPublished: before the first build.
    """
    named = sorted({*audience.include, *audience.exclude})
    require_known(settings, run_key, audience)
    states = warehouse.segment_states(settings)
    reasons = [
        reason for name in named for reason in _against(states[name], audience, now) if reason is not None
    ]
    if not reasons:
        return
    message = f"{run_key} is not decided: {'; '.join(reasons)}"
    if audience.not_ready is NotReadyPolicy.WAIT and now <= valid_until:
        # Past the end by as little as tells the next look that it is the last.
        look_again_at = min(now + LOOK_AGAIN, valid_until + timedelta(seconds=1))
        raise AudienceWaits(f"{message}; it waits until {valid_until:%Y-%m-%d %H:%M}Z", look_again_at)
    raise AudienceNotReady(message)


def require_known(settings: Settings, who: str, audience: Audience) -> None:
    """Nothing, when the current publication knows every segment of the audience.

    Raises:
        SegmentNotPublished: naming one, and who names it.
        NothingPublished: before the first build.
    """
    missing = sorted({*audience.include, *audience.exclude} - warehouse.published_segments(settings))
    if missing:
        raise SegmentNotPublished(
            f"{who} names segment {missing[0]}, which is not in the current publication: an "
            "exclusion would exclude nobody. Build and publish the warehouse, then clear decide."
        )


def _against(state: warehouse.SegmentState, audience: Audience, now: datetime) -> list[str | None]:
    return [_age_problem(state, audience.max_age, now), _held_problem(state, audience.held)]


def _age_problem(state: warehouse.SegmentState, max_age: timedelta | None, now: datetime) -> str | None:
    if max_age is None:
        return None
    if state.fresh_at is None:
        behind = f" ({state.stalest_source} has no rows)" if state.stalest_source else ""
        return f"how fresh segment {state.segment} is, is not known{behind}"
    age = now - state.fresh_at
    if age <= max_age:
        return None
    return (
        f"segment {state.segment} is {_rounded(age)} old ({state.stalest_source}: newest row "
        f"{state.fresh_at:%Y-%m-%d %H:%M}Z), max_age is {format_duration(max_age)}"
    )


def _held_problem(state: warehouse.SegmentState, policy: HeldPolicy) -> str | None:
    if state.held_reason is None or policy is HeldPolicy.USE_LAST_GOOD:
        return None
    return (
        f"segment {state.segment} is held at its last good state of {state.members:,} "
        f"({state.held_reason}); look at it, then accept it (kundresa build --accept-segment "
        f"{state.segment}) or set audience.held to {HeldPolicy.USE_LAST_GOOD}"
    )


def _rounded(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
