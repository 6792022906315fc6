"""A journey in a few words, for pages and terminals; what is between backticks is a name."""

from __future__ import annotations

from datetime import timedelta

from kundresa.spec.collect import Collect
from kundresa.spec.fields import format_duration
from kundresa.spec.journey import (
    BusinessEventEntry,
    EventEntry,
    EventExit,
    Exit,
    Journey,
    Rate,
    ReactionExit,
    SegmentEntry,
)
from kundresa.spec.journey_steps import (
    AnyStep,
    ConditionStep,
    ExperimentStep,
    JumpStep,
    MessageStep,
    SplitStep,
    UpdateStep,
    WaitForStep,
    WaitStep,
    WaitUntilStep,
    WebhookStep,
    falls_through,
    targets,
)
from kundresa.spec.send_time import DAYS


def entry_words(journey: Journey) -> str:
    """What lets people in."""
    entry = journey.entry
    if isinstance(entry, EventEntry):
        by = f"event `{entry.event}`"
    elif isinstance(entry, SegmentEntry):
        by = f"{entry.change} `{entry.segment}`"
    elif isinstance(entry, BusinessEventEntry):
        for_it = f" for its `{entry.entity}`" if entry.entity else ""
        by = f"event `{entry.event}`: everybody in `{entry.audience}`{for_it}, {_rate(entry.rate)}"
    else:
        every = f"every {format_duration(entry.every)}" if isinstance(entry.every, timedelta) else entry.every
        by = f"everybody in `{entry.audience}`, {every}, {_rate(entry.rate)}"
    return by + (", under a condition" if entry.where else "")


def _rate(rate: Rate) -> str:
    return f"{rate.people:,} people per {rate.per}"


def again_words(journey: Journey) -> str:
    """When they may enter again."""
    again = journey.reentrance
    return f"{format_duration(again)} later" if isinstance(again, timedelta) else again


def exit_words(journey: Journey) -> str:
    """What lets them out, wherever they are."""
    return ", ".join(_out(each) for each in journey.exit) or "at its end"


def _out(each: Exit) -> str:
    if isinstance(each, ReactionExit):
        return f"`{each.reaction}`" + (f" of `{each.to}`" if each.to else "")
    return f"on `{each.event}`" if isinstance(each, EventExit) else f"in `{each.segment}`"


def step_words(step: AnyStep) -> str:
    """What a step does."""
    match step:
        case WaitStep():
            words = f"waits {format_duration(step.duration)}"
        case WaitUntilStep():
            words = f"waits until `{step.event or step.profile or step.at}`"
        case WaitForStep():
            what = step.event or f"{step.reaction} {step.to}"
            words = f"waits {format_duration(step.within)} for `{what}`"
            words += f" and keeps its {', '.join(f'`{name}`' for name in step.keep)}" if step.keep else ""
        case MessageStep():
            words = f"{step.channel.kind} `{step.channel.template}` by account `{step.channel.account}`"
            words += f", in a file made {_times(step.collect)}" if step.collect else ""
        case WebhookStep():
            words = f"calls `{step.template}` by account `{step.account}`"
        case UpdateStep():
            words = f"sets `{step.trait}`"
        case JumpStep():
            words = f"lets into `{step.journey}`"
        case _:
            others = {ConditionStep: "asks", SplitStep: "splits", ExperimentStep: "tries"}
            words = others.get(type(step), "ends")
    return words


def _times(collect: Collect) -> str:
    days = "every day" if len(collect.days) == len(DAYS) else ", ".join(collect.days)
    return f"{days} at `{collect.at}` ({collect.time_zone})"


def ways(journey: Journey, name: str) -> list[tuple[str, str]]:
    """The ways on from a step: by what, as moves tell it, and the step, or ``end``. Empty is the way where
    nothing else is said."""
    step = journey.steps[name]
    found = [(_by(step, at), target) for at, target in targets(step)]
    if falls_through(step):
        found.append(("", journey.follows(name)))
    return found


def _by(step: AnyStep, at: tuple[str | int, ...]) -> str:
    match at:
        case ("next",):
            return ""
        case ("on", outcome):
            return str(outcome)
        case ("paths", int(number), _):
            return f"path {number + 1}"
        case ("shares" | "variants" as kind, int(number), _):
            return f"{kind.removesuffix('s')} {getattr(step, kind)[number].name}"
        case _:
            return str(at[0])
