"""A journey for one person at a time, as plainly as it can be said: what the engine is held against.

A life is a generator. It yields until when it would wait, and gets what happens first: ``None`` when the time
came, else what was heard. It knows of no sets, no store, and of no other life.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kundresa.spec.buckets import bucket
from kundresa.spec.journey import Journey, ReactionExit, SegmentExit
from kundresa.spec.machines import KNOWN_AFTER


@dataclass
class Heard:
    """Something that happens to a person."""

    at: datetime
    name: str
    data: dict[str, Any]
    kind: str = "event"
    """One of ``KINDS``."""
    of: tuple[Any, ...] = ()
    """Of an outcome: key, entry and move of the message; ``data`` has outcome and reason. Of an answer the
    same; ``data`` has the answer, or the reason why there is none. Of a reaction: key and entry; ``data`` has
    the step of the message that it is ``to``."""
    lag: timedelta = timedelta(0)
    """How much later than it happened an event came."""
    known: datetime | None = None
    """Of a click: when it is known to be the person's; nobody hears of it before."""


KINDS = ("event", "entered", "left", "outcome", "answer", "reaction")
"""What happens at one moment to one person comes in this order."""


def said_of(data: dict[str, Any]) -> str:
    """The data of an entry as text: the same for the same."""
    return json.dumps(data, sort_keys=True)


@dataclass
class Life:
    """One entry of one person."""

    journey: Journey
    person: str
    key: str
    entry: int
    version: int
    data: dict[str, Any]
    at: datetime
    """When it came to where it is."""
    world: Any
    step: str | None = None
    moves: int = 0
    way: list[tuple[str, datetime, str]] = field(default_factory=list)
    end: tuple[datetime, str] | None = None
    until: datetime | None = None
    """When the step would be left by itself; None for never."""
    grace: timedelta = timedelta(0)
    """How much longer the step is not left, for what comes late."""
    unknown: timedelta = timedelta(0)
    """The same for what is known late, also when an event says that the time is over."""
    run: Generator[None, Heard | None, str | None] | None = None
    variant: str | None = None
    kept: list[Heard] = field(default_factory=list)
    """Events that a step waits for, of those that came while it was not known what became of a message."""
    reactions: list[Heard] = field(default_factory=list)
    """All to messages of this entry."""

    def __post_init__(self) -> None:
        self.entered = self.at
        self.over = self.at + self.journey.time_out
        self.run = self._live()
        self._next(None)

    def _next(self, heard: Heard | None) -> None:
        try:
            self.run.send(heard)
        except StopIteration as over:
            self.finish(self.at, over.value or "finished")

    def finish(self, at: datetime, why: str) -> None:
        if self.is_waiting_for_outcome and why != "finished":
            self.world.cancelled.add((self.person, self.key, self.entry, self.moves))
        self.step, self.until, self.end = None, None, (at, why)
        self.way.append(("end", at, why))

    @property
    def is_waiting_for_outcome(self) -> bool:
        return self.step is not None and self.journey.steps[self.step].kind in ("message", "webhook")

    def _live(self) -> Generator[None, Heard | None, str | None]:  # noqa: C901  one arm for each kind of step
        steps = self.journey.steps
        name, why = self.journey.first, "entered"
        while name != "end":
            self.step, self.moves = name, self.moves + 1
            self.way.append((name, self.at, why))
            if any(
                isinstance(each, SegmentExit) and each.segment in self.segments for each in self.journey.exit
            ):
                return "exit"
            step = steps[name]
            names = [*steps, "end"]
            below = getattr(step, "next", None) or names[names.index(name) + 1]
            self.until, self.grace, self.unknown = None, timedelta(0), timedelta(0)
            match step.kind:
                case "wait":
                    self.until = self.at + step.duration
                    yield
                    name, why = below, "waited"
                    self.at = self.until
                case "wait_until" if step.event is not None:
                    name, why = step.missing or below, "missing"  # no event of these tests names a moment
                case "wait_until":
                    hour, minute = map(int, step.at.split(":"))
                    self.until = self.at.replace(hour=hour, minute=minute, second=0, microsecond=0)
                    if self.until <= self.at:
                        self.until += timedelta(days=1)
                    self.until = min(self.until, self.at + self.world.longest)
                    yield
                    name, why, self.at = below, "waited", self.until
                case "jump":
                    self.world.jumps.append((self.person, step.journey, self.at, self.data))
                    name, why = below, "jumped"
                case "wait_for" if step.reaction is not None:
                    self.until, self.grace = self.at + step.within, self._patience(step.within)
                    self.unknown = KNOWN_AFTER if step.reaction == "clicked" else timedelta(0)
                    is_there = any(self._is_it(step, each) and each.at <= self.at for each in self.reactions)
                    name, why = below, step.reaction
                    while not is_there:
                        heard = yield
                        if heard is None:
                            name, why, self.at = step.timeout, "timeout", self.until
                            break
                        if self._is_it(step, heard) and heard.at <= self.until:
                            self.at = max(self.at, heard.at)
                            break
                case "wait_for":
                    self.until, self.grace = self.at + step.within, self._patience(step.within)
                    while True:
                        heard = yield
                        if heard is None:
                            name, why, self.at = step.timeout, "timeout", self.until
                            break
                        fits = self._fits(step, heard)
                        is_in_time = self.at <= heard.at <= self.until
                        if heard.kind == "event" and heard.name == step.event and is_in_time and fits:
                            name, why, self.at = below, "event", heard.at
                            for kept in step.keep:
                                self.data = {key: said for key, said in self.data.items() if key != kept}
                                if kept in heard.data:
                                    self.data[kept] = heard.data[kept]
                            break
                case "condition":
                    for number, path in enumerate(step.paths, 1):
                        if path.when.holds(self.data, self.profile, self.segments):
                            name, why = path.go, f"path {number}"
                            break
                    else:
                        name, why = step.otherwise, "otherwise"
                case "split":
                    total = sum(each.weight for each in step.shares)
                    place = bucket(f"journey|{self.journey.name}|{name}", self.person) / 10_000 * total
                    passed = 0
                    for share in step.shares:
                        passed += share.weight
                        if place < passed:
                            name, why = share.go, f"share {share.name}"
                            break
                case "experiment":
                    hashed = f"experiment|journey {self.journey.name}|{step.name or name}"
                    place, total = bucket(hashed, self.person), sum(each.weight for each in step.variants)
                    passed = 0
                    for arm in step.variants:
                        passed += arm.weight
                        # The weights of these tests divide 10,000 with a remainder of less than one bucket.
                        if place < round(passed * 10_000 / total):
                            name, why, self.variant = arm.go, f"variant {arm.name}", arm.name
                            break
                case "message":
                    of = (self.person, self.key, self.entry, name, self.moves, self.at, said_of(self.data))
                    self.world.messages.add((*of, self.variant))
                    while True:
                        heard = yield
                        if heard.kind == "outcome" and heard.of == (self.key, self.entry, self.moves):
                            break
                    outcome, reason = heard.data["outcome"], heard.data["reason"]
                    words = [reason, outcome] + (["sent"] if outcome == "delayed" else [])
                    name = next((step.on[word] for word in words if word in step.on), below)
                    why, self.at = reason or outcome, max(self.at, heard.at)
                case "webhook":
                    of = (self.person, self.key, self.entry, name, self.moves, self.at)
                    self.world.calls.append((*of, self.data))
                    while True:
                        heard = yield
                        if heard.kind == "answer" and heard.of == (self.key, self.entry, self.moves):
                            break
                    said, reason = heard.data.get("answer"), heard.data.get("reason")
                    if said is not None and any(
                        each.required and key not in said for key, each in step.response.items()
                    ):
                        said, reason = None, "answer_invalid"
                    if said is not None:
                        self.data = self.data | {key: said[key] for key in step.response if key in said}
                    outcome = "failed" if said is None else "answered"
                    name = next((step.on[word] for word in (reason, outcome) if word in step.on), below)
                    why, self.at = reason or outcome, max(self.at, heard.at)
                case "update":
                    value = step.value if step.event is None else self.data.get(step.event)
                    set_at = self.world.set_at.get((self.person, step.trait))
                    if set_at is None or set_at <= self.at:
                        self.world.traits[self.person, step.trait] = value
                        self.world.set_at[self.person, step.trait] = self.at
                    name, why = below, "updated"
                case "end":
                    name, why = "end", "finished"
        self.until = None
        return None

    def _patience(self, within: timedelta) -> timedelta:
        return min(self.journey.lateness, max(self.world.longest - within, timedelta(0)))

    @property
    def profile(self) -> dict[str, Any]:
        return self.world.profiles.get(self.person, {}) | self.world.traits_of(self.person)

    @property
    def segments(self) -> set[str]:
        return self.world.segments.get(self.person, set())

    def pass_time(self, now: datetime, *, by_event: bool) -> None:
        """Let everything happen that time alone does."""
        while self.end is None:
            is_step = self.until is not None and self.until < self.over
            if is_step and by_event:
                is_step = self.until < now or (
                    self.until == now and self.journey.steps[self.step].kind != "wait_for"
                )
                is_step = is_step and (not self.unknown or self.until + self.unknown <= self.world.now)
            elif is_step:
                is_step = self.until + self.grace + self.unknown <= now
            if is_step:
                self._next(None)
            elif self.over <= now:
                self.finish(self.over, "time_out")
            else:
                return

    def hear(self, heard: Heard) -> None:
        if self.end is not None or (heard.of and heard.of[0] != self.key):
            return
        if heard.kind == "reaction" and not self.reacts:
            return
        self.pass_time(heard.at, by_event=True)
        is_told = heard.kind in ("event", "entered", "left")
        if (
            self.end is not None
            or (is_told and heard.at < self.entered)
            or self.journey.leaves_out(heard.lag)
        ):
            return
        if any(self._lets_out(each, heard) for each in self.journey.exit):
            self.finish(max(heard.at, self.at), "exit")
            return
        if self.may_be_further and heard.kind == "event":
            waits = [each for each in self.journey.steps.values() if each.kind == "wait_for"]
            if any(each.event == heard.name and self._fits(each, heard) for each in waits):
                self.kept.append(heard)
        is_mine = not heard.of or heard.of[1] == self.entry
        if is_mine and self.journey.steps[self.step].kind in ("wait_for", "message", "webhook"):
            self._next(heard)

    @property
    def may_be_further(self) -> bool:
        """Whether what ends the step may have happened and is not known yet."""
        return self.is_waiting_for_outcome or (
            self.step is not None and getattr(self.journey.steps[self.step], "reaction", None) == "clicked"
        )

    @property
    def reacts(self) -> bool:
        """Whether anything in this journey asks what people do about its messages."""
        asked = (*self.journey.exit, *self.journey.steps.values())
        return any(getattr(each, "reaction", None) is not None for each in asked)

    def _lets_out(self, each: Any, heard: Heard) -> bool:
        if isinstance(each, SegmentExit):
            return (heard.kind, heard.name) == ("entered", each.segment)
        if isinstance(each, ReactionExit):
            is_mine = heard.kind == "reaction" and heard.of[1] == self.entry
            return is_mine and heard.name == each.reaction and each.to in (None, heard.data["to"])
        return (heard.kind, heard.name) == ("event", each.event) and self._fits(each, heard)

    def _is_it(self, step: Any, heard: Heard) -> bool:
        return heard.kind == "reaction" and (heard.name, heard.data["to"]) == (step.reaction, step.to)

    def _fits(self, step: Any, heard: Heard) -> bool:
        return step.where is None or step.where.holds(heard.data, self.profile, self.segments)

    def remember(self, heard: Heard, moves: int) -> None:
        """What came before, now that somebody may be further; ``moves`` was before."""
        if self.end is None:
            self.pass_time(heard.at, by_event=True)
        if self.end is None and self.moves > moves and self.journey.steps[self.step].kind == "wait_for":
            self._next(heard)

    def forget(self) -> None:
        """Keep only what may still turn out to be in time."""
        self.kept = [each for each in self.kept if self.may_be_further and each.at > self.at]
