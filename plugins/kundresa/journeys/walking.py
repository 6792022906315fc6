"""One person's way through a journey: what a moment, an event or an outcome does to a position.

Nothing here reads or writes: what comes of it is collected in an ``Advance`` of the store. Times are those of
the events, not of the machine: who has an event of 12:00 that arrives at 12:05 waits from 12:00 on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kundresa.journeys.moments import moment_of
from kundresa.journeys.outgoing import call_of, jump_of, message_of
from kundresa.journeys.people import Facts
from kundresa.journeys.time_alone import due_at, next_moment
from kundresa.journeys.trail import Earlier, Happening, HeardEvent, Trail, heard_of
from kundresa.journeys.versions import Versions
from kundresa.spec.buckets import BUCKETS, bucket, journey_experiment_salt, weighted_buckets
from kundresa.spec.journey_steps import (
    END,
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
)
from kundresa.spec.vocabulary import JourneyEnd
from kundresa.store import (
    ENTERED,
    Advance,
    CallOutcome,
    MessageOutcome,
    MoveRow,
    Position,
    Reaction,
)

MOST_AT_ONCE = 1_000
"""Steps that one position may take in one advance; who is further behind stays due, and takes more in the
next. A journey has fewer, and one that is checked no loop without a wait: this ends another."""
MOST_HEARD = 50
"""Events that one position remembers while an outcome is not known, the latest: 2 to 3 KB, and what steps
keep of them."""


class JourneyDefect(Exception):
    """A position or a version that cannot be: a defect of ours, not of a person's data."""


class Walker:
    """Moves positions of one journey, and collects what that comes to."""

    def __init__(self, versions: Versions, into: Advance, now: datetime) -> None:
        self._versions = versions
        self._into = into
        self._now = now
        self._traits: dict[str, dict[str, Any]] = {}
        self.entered = 0
        self.ended = 0
        self.moved = 0
        self.is_behind = False
        """Somebody has taken as many steps as they may in one advance, and is due for more."""

    def add(self, other: Walker) -> None:
        """Count what another has done."""
        self.entered += other.entered
        self.ended += other.ended
        self.moved += other.moved
        self.is_behind |= other.is_behind

    def trail(self, position: Position, facts: Facts, reactions: Sequence[Reaction] = ()) -> Trail:
        """A position, ready to be moved."""
        found = Trail(position, self._versions[position.version], facts, reactions)
        if position.heard_json is not None:
            found.heard = heard_of(position.heard_json)
        return found

    def known(self, profile_id: str, facts: Facts) -> Facts:
        """A person with the traits that this very advance has set."""
        own = self._traits.get(profile_id)
        return Facts({**facts.profile, **own}, facts.segments) if own else facts

    def begin(self, trail: Trail, at: datetime) -> None:
        """Come to the first step."""
        self.entered += 1
        self._into.passages[ENTERED, ""] += 1
        self._go(trail, trail.version.journey.first, at, "entered")

    def elapse(self, trail: Trail, until: datetime, *, by_event: bool = False) -> None:
        """Everything that time alone does up to a moment.

        Args:
            by_event: an event is at ``until``, so that much time has passed for this person, whatever the
                lateness; the event itself may still be the one that is waited for.
        """
        while trail.position.step is not None:
            moment, is_time_out = next_moment(trail, until, self._now, by_event=by_event)
            if moment is None:
                return
            if is_time_out:
                self.end(trail, moment, JourneyEnd.TIME_OUT)
            elif trail.steps >= MOST_AT_ONCE:
                self.is_behind = True
                return
            else:
                step = trail.step
                timeout = step.timeout if isinstance(step, WaitForStep) else None
                self._go(trail, timeout or self._after(trail), moment, "timeout" if timeout else "waited")

    def hear(self, trail: Trail, what: Happening) -> None:
        """What an event, or a change of segment, does to who is inside."""
        position = trail.position
        if position.step is None or what.at < position.entered_at:
            return
        if self._lets_out(trail, what):
            self.end(trail, max(what.at, position.step_at), JourneyEnd.EXIT)
            return
        step = trail.step
        if trail.may_be_further:
            self._remember(trail, what)
        elif (
            isinstance(step, WaitForStep)
            and what.is_event
            and what.name == step.event
            and position.step_at <= what.at <= position.step_at + step.within
            and (step.where is None or self._holds(trail, step.where, what.data))
        ):
            self._go_by_event(trail, step, what.data, what.at)

    def _go_by_event(self, trail: Trail, step: WaitForStep, said: Mapping[str, Any], at: datetime) -> None:
        """On by the event that was waited for. Of what the step keeps the entry knows what the event says."""
        if step.keep:
            known = {name: value for name, value in trail.event.items() if name not in step.keep}
            known |= {name: said[name] for name in step.keep if name in said}
            trail.position.event_json = json.dumps(known)
        self._go(trail, self._after(trail), at, "event")

    def _remember(self, trail: Trail, what: Happening) -> None:
        """Remember an event that may turn out to have come after an outcome, or a click, that is not known
        yet."""
        waits = trail.version.event_waits.get(what.name, ()) if what.is_event else ()
        fitting: list[str] = []
        said: dict[str, Any] = {}
        for name in waits:
            step = trail.version.journey.steps[name]
            assert isinstance(step, WaitForStep)  # noqa: S101  # for mypy: only such wait for an event
            if step.where is None or self._holds(trail, step.where, what.data):
                fitting.append(name)
                said |= {key: what.data[key] for key in step.keep if key in what.data}
        if fitting:
            trail.heard = [*trail.heard, HeardEvent(tuple(fitting), what.at, said)][-MOST_HEARD:]
            trail.has_heard = True

    def hear_again(self, trail: Trail, earlier: Earlier) -> None:
        """What an earlier advance has read, to who has come to another step in this one, as of before it.
        Who has not has heard it; nobody leaves by it, since that was asked wherever they were. An event moves
        on once, also where one step after the other waits for it."""
        position = trail.position
        if position.entry != earlier.entry:
            return
        # First: that nobody has clicked in time is known only now.
        self.elapse(trail, earlier.at, by_event=True)
        if not trail.moves:
            return
        if isinstance(earlier.what, Reaction):
            self.react(trail, earlier.what)
        elif position.step in earlier.what.steps:
            step = trail.step
            assert isinstance(step, WaitForStep)  # noqa: S101  # for mypy: only for such it was kept
            if position.step_at <= earlier.at <= position.step_at + step.within:
                self._go_by_event(trail, step, earlier.what.said, earlier.at)

    def react(self, trail: Trail, reaction: Reaction) -> None:
        """What a reaction does to who is inside. One to another entry's message moves nobody."""
        position = trail.position
        if position.step is None or position.entry != reaction.entry:
            return
        if any(
            each.reaction == reaction.kind and each.to in (None, reaction.step)
            for each in trail.version.reaction_exits
        ):
            self.end(trail, max(reaction.at, position.step_at), JourneyEnd.EXIT)
            return
        step = trail.step
        if (
            isinstance(step, WaitForStep)
            and (step.reaction, step.to) == (reaction.kind, reaction.step)
            and reaction.at <= position.step_at + step.within
        ):
            self._go(trail, self._after(trail), max(reaction.at, position.step_at), reaction.kind)

    def told(self, trail: Trail, outcome: MessageOutcome) -> None:
        """What became of a message. One of an earlier step, or entry, moves nobody any more."""
        position = trail.position
        if (position.entry, position.moves) != (outcome.entry, outcome.move) or position.step is None:
            return
        step = trail.step
        if not isinstance(step, MessageStep):
            raise JourneyDefect(f"an outcome at step {position.step}, which sends nothing")
        target = step.after(outcome.outcome, outcome.reason) or self._after(trail)
        self._go(trail, target, max(outcome.at, position.step_at), outcome.reason or outcome.outcome)

    def answered(self, trail: Trail, outcome: CallOutcome) -> None:
        """What became of a call; what is kept of the answer joins the entry's data. One of an earlier step,
        or entry, moves nobody any more."""
        position = trail.position
        if (position.entry, position.moves) != (outcome.entry, outcome.move) or position.step is None:
            return
        step = trail.step
        if not isinstance(step, WebhookStep):
            raise JourneyDefect(f"an answer at step {position.step}, which calls nobody")
        if outcome.response_json is not None:
            position.event_json = json.dumps({**trail.event, **json.loads(outcome.response_json)})
        target = step.after(outcome.outcome, outcome.reason) or self._after(trail)
        self._go(trail, target, max(outcome.at, position.step_at), outcome.reason or outcome.outcome)

    def end(self, trail: Trail, at: datetime, reason: JourneyEnd) -> None:
        """Let a person leave; a message that has not left is not sent."""
        position = trail.position
        step = trail.step
        if isinstance(step, MessageStep) and reason is not JourneyEnd.FINISHED:
            self._into.cancelled.append(trail.place)
        if isinstance(step, WebhookStep) and reason is not JourneyEnd.FINISHED:
            self._into.cancelled_calls.append(trail.place)
        position.step, position.due_at = None, None
        position.ended_at, position.end_reason = at, reason.value
        self.ended += 1
        self._into.passages[END, reason.value] += 1
        trail.moves.append([END, at.isoformat(), reason.value])

    def note(self, trail: Trail) -> None:
        """Keep what happened to an entry, for who asks later."""
        if trail.moves:
            position = trail.position
            told = json.dumps(trail.moves, separators=(",", ":"))
            key = (position.profile_id, position.instance_key, position.entry)
            self._into.moves.append(MoveRow(*key, self._now, told))

    def close(self, trail: Trail) -> None:
        """Collect a position that was moved; one that was not costs nothing."""
        if trail.moves or trail.has_heard:
            trail.position.due_at = due_at(trail)
            trail.position.heard_json = trail.still_heard()
            self._into.positions.append(trail.position)
            self.moved += bool(trail.moves)
            self.note(trail)

    def _after(self, trail: Trail) -> str:
        """The step that follows where nothing else is said."""
        step, name = trail.step, trail.position.step or ""
        return getattr(step, "next", None) or trail.version.follows[name]

    def _lets_out(self, trail: Trail, what: Happening) -> bool:
        if not what.is_event:
            return what.is_entry and what.name in trail.version.segment_exits
        return any(
            each.event == what.name and (each.where is None or self._holds(trail, each.where, what.data))
            for each in trail.version.event_exits
        )

    def _holds(self, trail: Trail, condition: Any, event: Mapping[str, Any]) -> bool:
        profile = self._profile(trail)
        return bool(condition.holds(event, profile, trail.facts.segments))

    def _profile(self, trail: Trail) -> Mapping[str, Any]:
        return self.known(trail.position.profile_id, trail.facts).profile

    def _go(self, trail: Trail, name: str, at: datetime, why: str) -> None:
        """Come to a step, and on from it as far as nothing has to be waited for."""
        position = trail.position
        target: tuple[str, str] | None = (name, why)
        for _ in range(MOST_AT_ONCE):
            if target is None:
                return
            name, why = target
            if name == END:
                self.end(trail, at, JourneyEnd.FINISHED)
                return
            position.step, position.step_at, position.due_at = name, at, None
            position.moves += 1
            trail.steps += 1
            self._into.passages[name, ""] += 1
            trail.moves.append([name, at.isoformat(), why])
            if not trail.version.segment_exits.isdisjoint(trail.facts.segments):
                self.end(trail, at, JourneyEnd.EXIT)
                return
            target = self._arrive(trail, at)
        raise JourneyDefect(f"a loop without a wait at step {name}")

    def _arrive(self, trail: Trail, at: datetime) -> tuple[str, str] | None:
        """What a step does at once; the step after it, and why, or None when something is waited for."""
        step = trail.step
        target: tuple[str, str] | None = None
        match step:
            case WaitForStep(reaction=str()):
                target = self._reacted(trail, step, at)
            case WaitStep() | WaitForStep():
                pass
            case WaitUntilStep():
                target = self._arrive_until(trail, step, at)
            case ConditionStep() | SplitStep() | ExperimentStep():
                target = self._way(trail, step)
            case MessageStep():
                self._into.messages.append(message_of(trail, step, at, self._now))
            case WebhookStep():
                self._into.calls.append(call_of(trail, step, at))
            case UpdateStep():
                self._update(trail, step, at)
                target = self._after(trail), "updated"
            case JumpStep():
                self._into.jumps.append(jump_of(trail, step, at))
                target = self._after(trail), "jumped"
            case _:
                target = END, JourneyEnd.FINISHED.value
        return target

    def _reacted(self, trail: Trail, step: WaitForStep, at: datetime) -> tuple[str, str] | None:
        """On, when the reaction was there before the step was reached; a later one is heard in its turn."""
        entry = trail.position.entry
        for each in trail.reactions:
            if (each.entry, each.step, each.kind) == (entry, step.to, step.reaction) and each.at <= at:
                return self._after(trail), each.kind
        return None

    def _way(self, trail: Trail, step: ConditionStep | SplitStep | ExperimentStep) -> tuple[str, str]:
        """The one of several ways that is taken at once."""
        if isinstance(step, ConditionStep):
            return self._path(trail, step)
        return self._share(trail, step) if isinstance(step, SplitStep) else self._variant(trail, step)

    def _path(self, trail: Trail, step: ConditionStep) -> tuple[str, str]:
        event = trail.event
        for number, path in enumerate(step.paths, 1):
            if self._holds(trail, path.when, event):
                return path.go, f"path {number}"
        return step.otherwise, "otherwise"

    def _arrive_until(self, trail: Trail, step: WaitUntilStep, at: datetime) -> tuple[str, str] | None:
        moment = moment_of(step, at, trail.event, self._profile(trail))
        if moment is None:
            return step.missing or self._after(trail), "missing"
        if moment <= at:
            return step.past or self._after(trail), "past"
        trail.position.due_at = trail.version.bounded(at, moment)
        return None

    def _share(self, trail: Trail, step: SplitStep) -> tuple[str, str]:
        salt = f"journey|{trail.version.journey.name}|{trail.position.step}"
        total = sum(each.weight for each in step.shares)
        place = bucket(salt, trail.position.profile_id) * total // BUCKETS
        for each in step.shares:
            if place < each.weight:
                return each.go, f"share {each.name}"
            place -= each.weight
        raise JourneyDefect("shares that do not add up")

    def _variant(self, trail: Trail, step: ExperimentStep) -> tuple[str, str]:
        position = trail.position
        salt = journey_experiment_salt(trail.version.journey.name, step.name or position.step or "")
        place = bucket(salt, position.profile_id)
        ranges = weighted_buckets([(each.name, each.weight) for each in step.variants])
        arm = next(arm for arm, each in zip(step.variants, ranges, strict=True) if place < each.bucket_to)
        position.variant = arm.name
        return arm.go, f"variant {arm.name}"

    def _update(self, trail: Trail, step: UpdateStep, at: datetime) -> None:
        profile_id = trail.position.profile_id
        value = step.value if step.event is None else trail.event.get(step.event)
        known = self._into.traits.get((profile_id, step.trait))
        if known is None or known[1] <= at:  # another instance of the person may be further in time
            self._traits.setdefault(profile_id, {})[step.trait] = value
            self._into.traits[profile_id, step.trait] = (json.dumps(value), at)
