"""The steps of a journey as a graph: names that are there, steps that are reached, loops that wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kundresa.spec.journey import Journey, ReactionExit
from kundresa.spec.journey_steps import (
    END,
    AnyStep,
    WaitForStep,
    WaitStep,
    WaitUntilStep,
    falls_through,
    targets,
)
from kundresa.spec.problems import SpecProblem, nearest
from kundresa.spec.yaml_source import SpecSource

Ways = Mapping[str, tuple[str, ...]]
"""Step → the steps that may follow it, ``end`` left out."""


def graph_problems(journey: Journey, source: SpecSource) -> list[SpecProblem]:
    """What is wrong with how the steps hang together, each at its place in the file."""
    problems = []
    if END in journey.steps:
        message = "'end' is no name for a step: it stands for the end of the journey"
        problems.append(source.problem(("steps", END), message, at_key=True))
    problems += [*_unknown(journey, source), *_no_messages(journey, source)]
    if problems:
        return problems  # what is reached cannot be told before they are mended
    ways = step_ways(journey)
    reached = _reached(journey.first, ways)
    for name in journey.steps:
        if name not in reached:
            message = "no step leads here; name it in a 'next' or a 'go', or remove it"
            problems.append(source.problem(("steps", name), message, at_key=True))
    loop = _loop({name: () if _waits(journey.steps[name]) else after for name, after in ways.items()})
    if loop:
        message = f"a loop without a wait: {' → '.join([*loop, loop[0]])}"
        problems.append(source.problem(("steps", loop[0]), message, at_key=True))
    return problems


def step_ways(journey: Journey) -> Ways:
    """Which steps may follow each."""
    return {
        name: tuple(each for each in dict.fromkeys(_after(journey, name, step)) if each != END)
        for name, step in journey.steps.items()
    }


def _after(journey: Journey, name: str, step: AnyStep) -> Iterator[str]:
    yield from (target for _, target in targets(step))
    if falls_through(step):
        yield journey.follows(name)


def _unknown(journey: Journey, source: SpecSource) -> Iterator[SpecProblem]:
    known = {*journey.steps, END}
    for name, step in journey.steps.items():
        for at, target in targets(step):
            if target not in known:
                suggestion = nearest(target, known)
                yield source.problem(
                    ("steps", name, *at), f"there is no step '{target}'", suggestion=suggestion
                )


def _no_messages(journey: Journey, source: SpecSource) -> Iterator[SpecProblem]:
    for name, step in journey.steps.items():
        if isinstance(step, WaitForStep) and step.to is not None and step.to not in journey.messages:
            suggestion = nearest(step.to, journey.messages)
            message = f"there is no message step '{step.to}'"
            yield source.problem(("steps", name, "to"), message, suggestion=suggestion)
    for position, each in enumerate(journey.exit):
        if not isinstance(each, ReactionExit):
            continue
        if not journey.messages:
            message = f"no step sends a message that could be {each.reaction}"
            yield source.problem(("exit", position, "reaction"), message)
        elif each.to is not None and each.to not in journey.messages:
            message = f"there is no message step '{each.to}'"
            suggestion = nearest(each.to, journey.messages)
            yield source.problem(("exit", position, "to"), message, suggestion=suggestion)


def _reached(first: str, ways: Ways) -> set[str]:
    reached: set[str] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting.extend(ways[name])
    return reached


def _waits(step: AnyStep) -> bool:
    """Whether time, or another event, always lies between coming to a step and leaving it. Not so a moment
    that a value names, or a reaction: it may be over."""
    if isinstance(step, WaitUntilStep):
        return step.event is None and step.profile is None
    return isinstance(step, WaitStep) or (isinstance(step, WaitForStep) and step.event is not None)


def _loop(ways: Ways) -> list[str]:
    """The steps of a circle in their order; empty when there is none."""
    done: set[str] = set()
    for start in ways:
        trail: list[str] = []
        stack = [(start, iter(ways[start]))] if start not in done else []
        if stack:
            trail.append(start)
        while stack:
            name, after = stack[-1]
            following = next(after, None)
            if following is None:
                stack.pop()
                trail.pop()
                done.add(name)
            elif following in trail:
                return trail[trail.index(following) :]
            elif following not in done:
                trail.append(following)
                stack.append((following, iter(ways[following])))
    return []
