"""The page that a journey's DAG shows in Airflow's UI: its steps, in words."""

from __future__ import annotations

from datetime import timedelta

from kundresa.orchestration.documents import plain
from kundresa.spec.fields import format_duration
from kundresa.spec.journey import Entry, EventEntry, EventExit, Journey, SegmentEntry
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

PROMISE = (
    "Each event counts once, whatever is cleared or run again, and nobody gets a message twice. "
    "Start it with `kundresa journey start {name}`; where people are, what was sent and what was not, and "
    "why: `kundresa journey show {name}`. Pausing this DAG lets nothing move or leave; `kundresa journey "
    "pause` says what becomes of what happens meanwhile."
)


def journey_document(journey: Journey) -> str:
    """Markdown for ``doc_md``."""
    entry = journey.entry
    condition = ", under a condition" if entry.where else ""
    again = journey.reentrance
    rows = [
        ("Owner", plain(journey.owner)),
        ("Entry", _entry(entry) + condition),
        ("Again", f"{format_duration(again)} later" if isinstance(again, timedelta) else again),
        ("Topic", f"`{journey.topic}` (consent is per channel and topic)"),
        ("Leaves", _exits(journey)),
        ("Time-out", format_duration(journey.time_out)),
    ]
    if journey.instance_key:
        rows.insert(2, ("One for each", f"`{journey.instance_key}`"))
    table = "\n".join(f"| **{name}** | {text} |" for name, text in rows)
    steps = "\n".join(
        f"| `{name}` | {_words(step)} | {_ways(journey, name, step)} |"
        for name, step in journey.steps.items()
    )
    return "\n\n".join(
        [
            plain(journey.description),
            f"| | |\n|---|---|\n{table}",
            f"| step | does | then |\n|---|---|---|\n{steps}",
            PROMISE.format(name=journey.name),
        ]
    )


def _entry(entry: Entry) -> str:
    if isinstance(entry, EventEntry):
        return f"event `{entry.event}`"
    if isinstance(entry, SegmentEntry):
        return f"{entry.change} `{entry.segment}`"
    every = f"every {format_duration(entry.every)}" if isinstance(entry.every, timedelta) else entry.every
    return f"everybody in `{entry.audience}`, {every}, {entry.rate.people:,} people per {entry.rate.per}"


def _exits(journey: Journey) -> str:
    found = [
        f"on `{each.event}`" if isinstance(each, EventExit) else f"in `{each.segment}`"
        for each in journey.exit
    ]
    return ", ".join(found) or "at its end"


def _words(step: AnyStep) -> str:
    match step:
        case WaitStep():
            words = f"waits {format_duration(step.duration)}"
        case WaitUntilStep():
            words = f"waits until `{step.event or step.profile or step.at}`"
        case WaitForStep():
            what = step.event or f"{step.reaction} {step.to}"
            words = f"waits {format_duration(step.within)} for `{what}`"
        case MessageStep():
            words = f"{step.channel.kind} `{step.channel.template}` by account `{step.channel.account}`"
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


def _ways(journey: Journey, name: str, step: AnyStep) -> str:
    ways = [f"{'.'.join(str(part) for part in at)}: `{target}`" for at, target in targets(step)]
    if falls_through(step):
        ways.append(f"`{journey.follows(name)}`")
    return ", ".join(ways)
