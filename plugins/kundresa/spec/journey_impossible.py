"""What the steps of a journey wait for in vain: reactions that nobody is known to have, and times that end
after the journey."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from kundresa.spec.fields import format_duration
from kundresa.spec.journey import Journey, ReactionExit
from kundresa.spec.journey_graph import step_ways
from kundresa.spec.journey_steps import MessageStep, WaitForStep, WaitStep
from kundresa.spec.problems import SpecProblem, alternatives
from kundresa.spec.yaml_source import KeyPath, SpecSource

_NEVER = {
    "sms": frozenset({"opened"}),
    "push": frozenset({"complained", "replied"}),
    "direct_mail": frozenset({"complained", "opened", "clicked", "replied"}),
}
"""Channel → what nobody reports of its messages. Clicks on links in texts, and opened or tapped
notifications, come from a provider or the app, by webhook; ``unsubscribed`` from the link that any
message may have."""
_SWITCHES = {"opened": "opens", "clicked": "clicks"}
"""Of an email: reaction → the key of ``tracking`` without which it is not known."""


def impossible_problems(journey: Journey, source: SpecSource) -> list[SpecProblem]:
    """What can never happen, each at its place in the file. For a journey whose steps hang together."""
    return [*_reactions(journey, source), *_waits(journey, source)]


def _reactions(journey: Journey, source: SpecSource) -> Iterator[SpecProblem]:
    for at, reaction, to in _asked(journey):
        steps = [journey.messages[to]] if to is not None else [*journey.messages.values()]
        why = [_why_never(journey, step, reaction) for step in steps]
        if all(why):
            yield source.problem((*at, "reaction"), f"nobody would be known to have {reaction}: {why[0]}")


def _asked(journey: Journey) -> Iterator[tuple[KeyPath, str, str | None]]:
    for name, step in journey.steps.items():
        if isinstance(step, WaitForStep) and step.reaction is not None:
            yield ("steps", name), step.reaction, step.to
    for position, each in enumerate(journey.exit):
        if isinstance(each, ReactionExit):
            yield ("exit", position), each.reaction, each.to


def _why_never(journey: Journey, step: MessageStep, reaction: str) -> str | None:
    kind = step.channel.kind
    if kind == "email":
        switch = _SWITCHES.get(reaction)
        is_known = switch is None or getattr(journey.tracking, switch)
        return None if is_known else f"of emails it needs 'tracking: {{{switch}: true}}'"
    return f"messages of kind {alternatives([kind])} do not tell" if reaction in _NEVER[kind] else None


def _waits(journey: Journey, source: SpecSource) -> Iterator[SpecProblem]:
    for name, at in _earliest(journey).items():
        step = journey.steps[name]
        key = {WaitStep: "duration", WaitForStep: "within"}.get(type(step))
        over = at + _wait_of(journey, name)
        if key is None or at > journey.time_out or over <= journey.time_out:
            continue  # who cannot come here has been stopped by a wait before
        before = f" after the {format_duration(at)} of waits that lead here" if at else ""
        limit = format_duration(journey.time_out)
        message = f"this ends{before} later than the journey's 'time_out' ({limit}): nothing follows"
        yield source.problem(("steps", name, key), message)


def _earliest(journey: Journey) -> dict[str, timedelta]:
    """Step → how long after entering somebody gets there at the earliest."""
    ways = step_ways(journey)
    found = {journey.first: timedelta(0)}
    waiting = [journey.first]
    while waiting:
        name = waiting.pop()
        for following in ways[name]:
            at = found[name] + _wait_before(journey, name, following)
            if following not in found or at < found[following]:
                found[following] = at
                waiting.append(following)
    return found


def _wait_before(journey: Journey, name: str, following: str) -> timedelta:
    """How long the step holds those who go on to another at least."""
    step = journey.steps[name]
    if isinstance(step, WaitForStep):
        onward = step.next if step.next is not None else journey.follows(name)
        return timedelta(0) if following == onward else _wait_of(journey, name)
    return _wait_of(journey, name)


def _wait_of(journey: Journey, name: str) -> timedelta:
    step = journey.steps[name]
    if isinstance(step, WaitStep):
        return step.duration
    return step.within if isinstance(step, WaitForStep) else timedelta(0)
