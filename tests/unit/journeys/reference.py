"""Everybody in a journey, one person after the other: what the engine is held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.unit.journeys.life import KINDS, Heard, Life

from kundresa.journeys import JUMP, place_of
from kundresa.spec.journey import AudienceEntry, BusinessEventEntry, Journey, SegmentEntry, SegmentExit
from kundresa.spec.journey_references import ENTITY, event_types


@dataclass
class Reference:
    """All lives of all people in one journey."""

    journey: Journey
    """The version that who enters now is on."""
    profiles: dict[str, dict[str, Any]]
    segments: dict[str, set[str]]
    versions: list[Journey] = field(default_factory=list)
    """All that were started, in order."""
    told: list[tuple[str, Heard]] = field(default_factory=list)
    """Whatever anybody could have heard so far, where the journey states a lateness: who enters by an event
    of before that hears it too."""
    state: str = "running"
    now: datetime | None = None
    """Of the advance that is under way."""
    lives: dict[tuple[str, str], list[Life]] = field(default_factory=dict)
    waiting: list[tuple[str, Heard]] = field(default_factory=list)
    """What happened and is yet to be taken."""
    messages: set[tuple[Any, ...]] = field(default_factory=set)
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    cancelled: set[tuple[Any, ...]] = field(default_factory=set)
    """Messages and calls whose person left while nothing was known of them."""
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
    unread: list[tuple[int, dict[str, Any], timedelta]] = field(default_factory=list)
    """Those that no advance has taken yet, and how much later than they happened they came."""
    period: int = 0
    """Of the readings that these start: the last in which somebody had a turn."""
    among: set[str] | None = None
    """The people of a test; None where it is none."""
    longest: timedelta = timedelta(days=99_999)
    """Of a test: nothing is waited for longer."""

    def __post_init__(self) -> None:
        self.versions.append(self.journey)

    def start(self, journey: Journey) -> None:
        """Go on; who enters from now on does so on this version, and who is inside stays on theirs."""
        self._leave()
        self.state = "running"
        if journey != self.journey:
            self.journey = journey
            self.versions.append(journey)

    def pause(self, state: str) -> None:
        """Nothing moves. ``held``: what happens waits; ``discarding``: whatever waits then is left out."""
        self._leave(state)
        self.state = state

    def _leave(self, state: str = "running") -> None:
        if self.state == "discarding" != state:
            self.unread = []
            told = ("outcome", "answer")  # of what we have done ourselves
            self.waiting = [(who, heard) for who, heard in self.waiting if heard.kind in told]

    def stop(self, now: datetime) -> None:
        """Everybody leaves, and nothing moves any more."""
        self.state, self.queue = "stopped", []
        for lives in self.lives.values():
            if lives[-1].end is None:
                lives[-1].finish(now, "stopped" if self.among is None else "test_ended")

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
        """Something for the next advance. Of what no version names by now the journey knows nothing."""
        if heard.kind == "event":
            named = {JUMP + self.journey.name}.union(*(event_types(each) for each in self.versions))
        else:
            asked = [each for journey in self.versions for each in (journey.entry, *journey.exit)]
            named = {each.segment for each in asked if isinstance(each, SegmentEntry | SegmentExit)}
        inside = self.segments.setdefault(who, set())
        if heard.kind == "entered":
            inside.add(heard.name)
        elif heard.kind == "left":
            inside.discard(heard.name)
        if heard.of or heard.name in named:
            self.waiting.append((who, heard))

    def unmask(self, heard: Heard) -> None:
        """A click turns out to be a scanner's, before anybody has heard of it."""
        self.waiting = [each for each in self.waiting if each[1] is not heard]

    def advance(self, now: datetime) -> None:
        """One person after the other."""
        if self.state != "running":
            return
        self.now = now
        self.queue += [(at, data) for at, data, lag in self.unread if not self.journey.leaves_out(lag)]
        self.unread = []
        if self.among is not None:
            self._pass_over(self.among)
        known = [each for each in self.waiting if each[1].known is None or each[1].known <= now]
        happened = sorted(known, key=lambda each: KINDS.index(each[1].kind))
        self.waiting = [each for each in self.waiting if not any(each is one for one in known)]
        turns = self.turns(now)
        people = {who for each in (happened, self.lives, turns) for who, _ in each}
        for person in sorted(people):
            mine = [lives[-1] for (who, _), lives in sorted(self.lives.items()) if who == person]
            own = self._own(person, [heard for who, heard in happened if who == person])
            for heard, life, moves in sorted(own, key=lambda each: each[0].at):
                if life is not None:
                    life.remember(heard, moves)
                    continue
                is_told = any(heard is each for _, each in self.told)
                self._tell(person, heard, mine if is_told else [])
                if not is_told and self._knocks(heard) and not self.journey.leaves_out(heard.lag):
                    self._enter(person, heard)
            self._pass_time(person, now)
            for _, data in (each for each in turns if each[0] == person):
                self._enter(person, Heard(now, "", data, "turn"))
                self._pass_time(person, now)

            for life in (each[-1] for (who, _), each in self.lives.items() if who == person):
                life.forget()
        if self.journey.lateness:
            self.told += (each for each in happened if self._could_be_heard(each[1]))

    def _pass_over(self, among: set[str]) -> None:
        """A test hears nothing of others, but counts what would have let them in, late or not."""
        others = [heard for who, heard in self.waiting if who not in among]
        self.waiting = [(who, heard) for who, heard in self.waiting if who in among]
        knocked = sum(map(self._knocks, others))
        if knocked:
            self.skips["not_in_test"] = self.skips.get("not_in_test", 0) + knocked

    def _tell(self, person: str, heard: Heard, but: list[Life]) -> None:
        """Wherever they are; not to lives that have heard it when it came."""
        for (who, _), lives in sorted(self.lives.items(), key=lambda each: each[0]):
            if who == person and not any(lives[-1] is each for each in but):
                lives[-1].hear(heard)

    def _could_be_heard(self, heard: Heard) -> bool:
        waits = [each for each in self.journey.steps.values() if each.kind == "wait_for"]
        return (
            heard.kind == "event"
            and not self.journey.leaves_out(heard.lag)
            and any(
                getattr(each, "event", None) == heard.name
                and (each.where is None or each.where.holds(heard.data, {}, ()))
                for each in (*self.journey.exit, *waits)
            )
        )

    def _own(self, person: str, new: list[Heard]) -> list[tuple[Heard, Life | None, int]]:
        """What happened to a person; and what is told again to a life that may turn out to have waited for
        it, with how far that was before."""
        mine = [lives[-1] for (who, _), lives in sorted(self.lives.items()) if who == person]
        again = [
            (each, life, life.moves)
            for life in mine
            for each in (*life.kept, *life.reactions)
            if each.at > life.at
        ]
        for life in mine:
            to_me = (life.key, life.entry)
            life.reactions += [each for each in new if each.kind == "reaction" and each.of == to_me]
        told = [heard for who, heard in self.told if who == person and self.journey.lateness]
        return [*again, *((heard, None, 0) for heard in (*told, *new))]

    def _pass_time(self, person: str, now: datetime) -> None:
        for (who, _), lives in sorted(self.lives.items(), key=lambda each: each[0]):
            if who == person:
                lives[-1].pass_time(now, by_event=False)

    def _knocks(self, heard: Heard) -> bool:
        entry = self.journey.entry
        if isinstance(entry, SegmentEntry):
            is_it = (heard.kind, heard.name) == (entry.change, entry.segment)
        else:
            is_it = (heard.kind, heard.name) == ("event", getattr(entry, "event", None))
        return is_it or (heard.kind, heard.name) == ("event", JUMP + self.journey.name)

    def _enter(self, person: str, heard: Heard) -> None:
        key = self._key(heard)
        earlier = self.lives.get((person, key or ""), [])
        why_not = "key_missing" if key is None else self._why_not(person, earlier, heard)
        if why_not or key is None:
            self.skips[str(why_not)] = self.skips.get(str(why_not), 0) + 1
            return
        self.lives[person, key] = earlier
        entry = (len(earlier) + 1, len(self.versions), heard.data, heard.at)
        earlier.append(Life(self.journey, person, key, *entry, self))

    def _key(self, heard: Heard) -> str | None:
        """Which instance it is about; None when that is not said."""
        name = self.journey.instance_key
        if heard.kind in ("entered", "left") or (heard.kind == "turn" and name is None):
            return str(heard.data[ENTITY])
        if name is None:
            return ""
        missing = "" if heard.name.startswith(JUMP) else None
        return str(heard.data[name]) if name in heard.data else missing

    def _why_not(self, person: str, earlier: list[Life], heard: Heard) -> str | None:
        segments = self.segments.get(person, set())
        where, exits = self.journey.entry.where, self.journey.exit
        if where is not None and not heard.name.startswith(JUMP):
            profile = self.profiles.get(person, {}) | self.traits_of(person)
            if not where.holds(heard.data, profile, segments):
                return "condition"
        if any(isinstance(each, SegmentExit) and each.segment in segments for each in exits):
            return "condition"
        last, again = earlier[-1] if earlier else None, self.journey.reentrance
        if last is not None and (last.end is None or heard.at < last.end[0]):
            return "inside_already"
        if last is not None and (again == "never" or (again != "always" and heard.at < last.entered + again)):
            return "too_soon"
        inside = [lives for (who, _), lives in self.lives.items() if who == person and lives[-1].end is None]
        return "too_many_instances" if len(inside) >= self.journey.max_instances else None

    def traits_of(self, person: str) -> dict[str, Any]:
        return {trait: value for (who, trait), value in self.traits.items() if who == person}
