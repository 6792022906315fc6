"""A journey for one person at a time, as plainly as it can be said: what the engine is held against.

A life is a generator. It yields until when it would wait, and gets what happens first: ``None`` when the time
came, else what was heard. It knows of no sets, no store, and of no other life.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from kundresa.journeys import place_of
from kundresa.spec.buckets import bucket
from kundresa.spec.journey import AudienceEntry, BusinessEventEntry, EventExit, Journey
from kundresa.spec.journey_references import ENTITY, event_types


@dataclass
class Heard:
    """Something that happens to a person."""

    at: datetime
    name: str
    data: dict[str, Any]
    kind: str = "event"
    """One of ``KINDS``."""
    of: tuple[Any, ...] = ()
    """Of an outcome: key, entry and move of the message; ``data`` has outcome and reason. Of a reaction: key
    and entry; ``data`` has the step of the message that it is ``to``."""


KINDS = ("event", "outcome", "reaction")
"""What happens at one moment to one person comes in this order."""


@dataclass
class Life:
    """One entry of one person."""

    journey: Journey
    person: str
    key: str
    entry: int
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
    run: Generator[None, Heard | None, None] | None = None
    variant: str | None = None
    kept: list[Heard] = field(default_factory=list)
    """Events that came while the outcome of a message was not known, of those that a step waits for."""
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
        except StopIteration:
            self.finish(self.at, "finished")

    def finish(self, at: datetime, why: str) -> None:
        if self.step is not None and self.journey.steps[self.step].kind == "message" and why != "finished":
            self.world.cancelled.add((self.person, self.key, self.entry, self.moves))
        self.step, self.until, self.end = None, None, (at, why)
        self.way.append(("end", at, why))

    def _live(self) -> Generator[None, Heard | None, None]:  # noqa: C901  one arm for each kind of step
        steps = self.journey.steps
        name, why = self.journey.first, "entered"
        while name != "end":
            self.step, self.moves = name, self.moves + 1
            self.way.append((name, self.at, why))
            step = steps[name]
            names = [*steps, "end"]
            below = getattr(step, "next", None) or names[names.index(name) + 1]
            self.until, self.grace = None, timedelta(0)
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
                    yield
                    name, why, self.at = below, "waited", self.until
                case "jump":
                    self.world.jumps.append((self.person, step.journey, self.at, self.data))
                    name, why = below, "jumped"
                case "wait_for" if step.reaction is not None:
                    self.until, self.grace = self.at + step.within, self.journey.lateness
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
                    self.until, self.grace = self.at + step.within, self.journey.lateness
                    while True:
                        heard = yield
                        if heard is None:
                            name, why, self.at = step.timeout, "timeout", self.until
                            break
                        fits = self._fits(step, heard)
                        is_in_time = self.at <= heard.at <= self.until
                        if heard.kind == "event" and heard.name == step.event and is_in_time and fits:
                            name, why, self.at = below, "event", heard.at
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
                    of = (self.person, self.key, self.entry, name, self.moves, self.at, self.variant)
                    self.world.messages.add(of)
                    while True:
                        heard = yield
                        if heard.kind == "outcome" and heard.of == (self.key, self.entry, self.moves):
                            break
                    outcome, reason = heard.data["outcome"], heard.data["reason"]
                    words = [reason, outcome] + (["sent"] if outcome == "delayed" else [])
                    name = next((step.on[word] for word in words if word in step.on), below)
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

    @property
    def profile(self) -> dict[str, Any]:
        known = dict(self.world.profiles.get(self.person, {}))
        return known | {
            trait: value for (who, trait), value in self.world.traits.items() if who == self.person
        }

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
            elif is_step:
                is_step = self.until + self.grace <= now
            if is_step:
                self._next(None)
            elif self.over <= now:
                self.finish(self.over, "time_out")
            else:
                return

    def hear(self, heard: Heard) -> None:
        if self.end is not None or (heard.of and heard.of[0] != self.key):
            return
        self.pass_time(heard.at, by_event=True)
        if self.end is not None or (heard.kind == "event" and heard.at < self.entered):
            return
        for each in self.journey.exit if heard.kind == "event" else ():
            fits = isinstance(each, EventExit) and each.event == heard.name
            if fits and (each.where is None or each.where.holds(heard.data, self.profile, self.segments)):
                self.finish(max(heard.at, self.at), "exit")
                return
        if self.journey.steps[self.step].kind == "message" and heard.kind == "event":
            waits = [each for each in self.journey.steps.values() if each.kind == "wait_for"]
            if any(each.event == heard.name and self._fits(each, heard) for each in waits):
                self.kept.append(heard)
        is_mine = not heard.of or heard.of[1] == self.entry
        if is_mine and self.journey.steps[self.step].kind in ("wait_for", "message"):
            self._next(heard)

    def _is_it(self, step: Any, heard: Heard) -> bool:
        return heard.kind == "reaction" and (heard.name, heard.data["to"]) == (step.reaction, step.to)

    def _fits(self, step: Any, heard: Heard) -> bool:
        return step.where is None or step.where.holds(heard.data, self.profile, self.segments)

    def remember(self, heard: Heard, moves: int) -> None:
        """What came before, now that somebody may be further; ``moves`` was before."""
        if self.end is None and self.moves > moves:
            self.pass_time(heard.at, by_event=True)
            if self.end is None and self.journey.steps[self.step].kind == "wait_for":
                self._next(heard)

    def forget(self) -> None:
        """Keep only what may still turn out to be in time."""
        is_open = self.end is None and self.journey.steps[self.step].kind == "message"
        self.kept = [each for each in self.kept if is_open and each.at > self.at]


@dataclass
class Reference:
    """All lives of all people in one journey."""

    journey: Journey
    profiles: dict[str, dict[str, Any]]
    segments: dict[str, set[str]]
    lives: dict[tuple[str, str], list[Life]] = field(default_factory=dict)
    waiting: list[tuple[str, Heard]] = field(default_factory=list)
    """What happened and is yet to be taken."""
    messages: set[tuple[Any, ...]] = field(default_factory=set)
    cancelled: set[tuple[Any, ...]] = field(default_factory=set)
    jumps: list[tuple[str, str, datetime, dict[str, Any]]] = field(default_factory=list)
    """Who has come to a jump: where to, when, and with what data."""
    traits: dict[tuple[str, str], Any] = field(default_factory=dict)
    set_at: dict[tuple[str, str], datetime] = field(default_factory=dict)
    skips: dict[str, int] = field(default_factory=dict)
    started: datetime | None = None
    """When an audience began to be read; None where none is."""
    reading: int = 0
    last: str = ""
    """The place of the last one whose turn came."""
    is_read: bool = False
    turned: dict[tuple[int, int], int] = field(default_factory=dict)
    """Reading and period → turns."""
    entities: dict[str, set[str]] = field(default_factory=dict)
    """For what people are in a segment; who has none here is in it as a person."""
    queue: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Events about nobody that are yet to let their audience in: position in the inbox, and data."""
    period: int = 0
    """Of the readings that these start: the last in which somebody had a turn."""

    def turns_by_events(self, now: datetime) -> list[tuple[str, dict[str, Any]]]:
        """One reading after the other, until the period takes nobody any more."""
        entry, found = self.journey.entry, []
        assert isinstance(entry, BusinessEventEntry)
        length = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}[entry.rate.per]
        while self.queue:
            number, data = self.queue[0]
            if self.started is None:
                self.started = now
            if number != self.reading:
                self.reading, self.last = number, ""
                if now >= self.started + (self.period + 1) * length:
                    self.started, self.period, self.turned = now, 0, {}
            period = (now - self.started) // length
            left = entry.rate.people - self.turned.get((0, period), 0)
            if left < 1:
                break
            if entry.where is not None and not entry.where.holds(data, {}, ()):
                self.skips["condition"] = self.skips.get("condition", 0) + 1
                self.queue.pop(0)
                continue
            salt = f"journey|{self.journey.name}|{entry.audience}|{number}"
            waiting = sorted(
                (place, who, entity)
                for who, segments in self.segments.items()
                for entity in self.entities.get(who, {""})
                if entry.audience in segments
                and (entry.entity is None or entity == data[entry.entity])
                and (place := place_of(salt, who, entity)) > self.last
            )
            for place, who, entity in waiting[:left]:
                self.last, self.period = place, period
                self.turned[0, period] = self.turned.get((0, period), 0) + 1
                found.append((who, {**data, ENTITY: entity}))
            if len(waiting) >= left:
                break
            self.queue.pop(0)
        return found

    def turns(self, now: datetime) -> list[tuple[str, dict[str, Any]]]:
        """Whose turn it is: the next ones of who is in the segment now, as many as the period still takes."""
        entry = self.journey.entry
        if isinstance(entry, BusinessEventEntry):
            return self.turns_by_events(now)
        if not isinstance(entry, AudienceEntry) or self.started is None:
            return []
        passed = now - self.started
        if self.is_read and entry.every != "once" and passed // entry.every > self.reading:
            self.reading, self.last, self.is_read = passed // entry.every, "", False
        if self.is_read:
            return []
        began = passed if entry.every == "once" else passed - self.reading * entry.every
        period = began // {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}[entry.rate.per]
        left = entry.rate.people - self.turned.get((self.reading, period), 0)
        queue = sorted(
            (place, who)
            for who, segments in self.segments.items()
            if entry.audience in segments
            and (place := place_of(f"journey|{self.journey.name}|{entry.audience}", who, "")) > self.last
        )
        if left > 0:
            self.is_read = len(queue) < left
        for place, _ in queue[:left]:
            self.last = place
            self.turned[self.reading, period] = self.turned.get((self.reading, period), 0) + 1
        return [(who, {ENTITY: ""}) for _, who in queue[:left]]

    def happen(self, who: str, heard: Heard) -> None:
        """Something for the next advance. Of events that the journey does not name it knows nothing."""
        if heard.kind != "event" or heard.name in event_types(self.journey):
            self.waiting.append((who, heard))

    def advance(self, now: datetime) -> None:
        """One person after the other."""
        happened = sorted(self.waiting, key=lambda each: KINDS.index(each[1].kind))
        self.waiting = []
        turns = self.turns(now)
        people = {who for each in (happened, self.lives, turns) for who, _ in each}
        for person in sorted(people):
            mine = [lives[-1] for (who, _), lives in sorted(self.lives.items()) if who == person]
            again = [
                (each, life, life.moves)
                for life in mine
                for each in (*life.kept, *life.reactions)
                if each.at > life.at
            ]
            new = [heard for who, heard in happened if who == person]
            for life in mine:
                to_me = (life.key, life.entry)
                life.reactions += [each for each in new if each.kind == "reaction" and each.of == to_me]
            own = [*again, *((heard, None, 0) for heard in new)]
            for heard, life, moves in sorted(own, key=lambda each: each[0].at):
                if life is not None:
                    life.remember(heard, moves)
                    continue
                for (who, _), lives in sorted(self.lives.items(), key=lambda each: each[0]):
                    if who == person:
                        lives[-1].hear(heard)
                if heard.kind == "event" and heard.name == getattr(self.journey.entry, "event", None):
                    self._enter(person, heard)
            self._pass_time(person, now)
            for _, data in (each for each in turns if each[0] == person):
                self._enter(person, Heard(now, "", data))
                self._pass_time(person, now)

            for life in (each[-1] for (who, _), each in self.lives.items() if who == person):
                life.forget()

    def _pass_time(self, person: str, now: datetime) -> None:
        for (who, _), lives in sorted(self.lives.items(), key=lambda each: each[0]):
            if who == person:
                lives[-1].pass_time(now, by_event=False)

    def _enter(self, person: str, heard: Heard) -> None:
        key = str(heard.data[self.journey.instance_key or ENTITY]) if self._has_key(heard) else ""
        earlier = self.lives.setdefault((person, key), [])
        why_not = self._why_not(earlier, heard)
        if why_not:
            self.skips[why_not] = self.skips.get(why_not, 0) + 1
        else:
            earlier.append(Life(self.journey, person, key, len(earlier) + 1, heard.data, heard.at, self))
        if not earlier:
            del self.lives[person, key]

    def _has_key(self, heard: Heard) -> bool:
        return self.journey.instance_key is not None or ENTITY in heard.data

    def _why_not(self, earlier: list[Life], heard: Heard) -> str | None:
        if not earlier:
            return None
        last, again = earlier[-1], self.journey.reentrance
        if last.end is None or heard.at < last.end[0]:
            return "inside_already"
        if again == "never" or (again != "always" and heard.at < last.entered + again):
            return "too_soon"
        return None
