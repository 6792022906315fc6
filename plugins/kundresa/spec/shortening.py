"""A journey as a test of it plays it: what takes days takes seconds, and all else is as it is written."""

from __future__ import annotations

from datetime import timedelta

from kundresa.spec.journey import MOST_PEOPLE, AudienceEntry, BusinessEventEntry, Journey, Rate
from kundresa.spec.journey_steps import AnyStep, WaitForStep, WaitStep


def shortened(journey: Journey, longest: timedelta, time_out: timedelta | None = None) -> Journey:
    """With waits and time-outs of ``wait_for`` of at most ``longest``, and a rate that keeps nobody waiting.

    Moments that are known only when a step is reached (``wait_until``, a print file, the end of quiet hours)
    are not in here: those the engine bounds.

    Args:
        longest: whole seconds, at least one.
        time_out: of the whole journey, at most; None leaves it as it is: everybody would be out by it after
            one wait, if it were as short.
    """
    steps = {name: _shortened(step, longest) for name, step in journey.steps.items()}
    over = journey.time_out if time_out is None else min(journey.time_out, time_out)
    return at_once(journey).model_copy(update={"steps": steps, "time_out": over})


def at_once(journey: Journey) -> Journey:
    """With a rate that keeps nobody of an audience waiting."""
    entry = journey.entry
    if not isinstance(entry, AudienceEntry | BusinessEventEntry):
        return journey
    rate = Rate(people=MOST_PEOPLE, per="minute")
    return journey.model_copy(update={"entry": entry.model_copy(update={"rate": rate})})


def _shortened(step: AnyStep, longest: timedelta) -> AnyStep:
    if isinstance(step, WaitStep):
        return step.model_copy(update={"duration": min(step.duration, longest)})
    if isinstance(step, WaitForStep):
        return step.model_copy(update={"within": min(step.within, longest)})
    return step
