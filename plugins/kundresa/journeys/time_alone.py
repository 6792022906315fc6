"""When a person in a journey goes on by time alone, and when that can be known."""

from __future__ import annotations

from datetime import datetime, timedelta

from kundresa.journeys.trail import Trail, awaits_click
from kundresa.spec.journey_steps import WaitForStep, WaitStep, WaitUntilStep
from kundresa.spec.machines import KNOWN_AFTER


def next_moment(
    trail: Trail, until: datetime, now: datetime, *, by_event: bool
) -> tuple[datetime | None, bool]:
    """When the next thing happens by itself, and whether it is the journey's time-out; None when nothing does
    up to ``until``.

    Args:
        by_event: an event is at ``until``: so much time has passed for this person, whatever the lateness.
    """
    over = trail.position.entered_at + trail.version.journey.time_out
    step = trail.step
    moment = _moment(trail)
    if moment is not None:
        if isinstance(step, WaitForStep):
            known = moment + _known_after(step)
            patience = trail.version.patience(step.within)
            is_due = moment < until if by_event else known + patience <= until
            # An event says how much time has passed, and not whose a click was that came before it.
            is_due &= not awaits_click(step) or known <= now
        else:
            is_due = moment <= until
        # Not <=: a time-out that comes first is what ``due_at`` keeps of a ``wait_until``.
        if is_due and moment < over:
            return moment, False
    return (over, True) if over <= until else (None, False)


def due_at(trail: Trail) -> datetime | None:
    """When an advance has to look at a position though nothing happens to its person; None where it is
    over."""
    if trail.position.step is None:
        return None
    step, moment = trail.step, _moment(trail)
    if moment is not None and isinstance(step, WaitForStep):
        moment += trail.version.patience(step.within) + _known_after(step)
    over = trail.position.entered_at + trail.version.journey.time_out
    return over if moment is None else min(moment, over)


def _moment(trail: Trail) -> datetime | None:
    """When the step is left by itself; None for one that only something else ends."""
    step, position = trail.step, trail.position
    if isinstance(step, WaitStep):
        return position.step_at + step.duration
    if isinstance(step, WaitForStep):
        return position.step_at + step.within
    # Its moment was found when the step was reached; a profile may say something else by now.
    return position.due_at if isinstance(step, WaitUntilStep) else None


def _known_after(step: WaitForStep) -> timedelta:
    """How much later than it happens that which ends a step may be heard of, lateness aside."""
    return KNOWN_AFTER if awaits_click(step) else timedelta(0)
