"""A journey played in a store of its own: of messages and calls it is said at once what they come to, by the
rules of now or by who plays. Nothing is sent and nobody is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kundresa.runs.journey_calls import answer_problem, kept_of
from kundresa.runs.journey_limits import Taken
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rules import Known, MessageRules
from kundresa.settings import Settings
from kundresa.spec.journey import Journey
from kundresa.spec.journey_outcomes import ANSWERED, DELAYED, FAILED, NOT_SENT, SENT
from kundresa.spec.policies import load_policies
from kundresa.spec.vocabulary import CallReason, DeliveryReason
from kundresa.store import CountedMessage, Delayed, JourneyMessage, Store, Supposed

Answers = Mapping[str, Mapping[str, Any] | None]
"""Webhook step → what it is answered, a JSON object; None: its calls fail. A step that is not named is
answered with none of its fields."""
Seen = Callable[[JourneyMessage, str | None, Known], None]
"""Is told of each message, why it would not be sent, and what is known of the people."""
_PAGE = 10_000


class UnfitAnswer(Exception):
    """An answer for a step that the journey does not have, or calls nobody."""


class Supposing:
    """What would have become of messages and calls of a journey that is played in ``store``."""

    def __init__(  # noqa: PLR0917  two callers, with the same names
        self,
        settings: Settings,
        real: Store,
        store: Store,
        people: JourneyPeople,
        journey: Journey,
        answers: Answers,
        seen: Seen,
    ) -> None:
        """Raises:
        UnfitAnswer: when an answer is for no webhook step.
        SpecError: when the policies cannot be read.
        """
        for step in answers:
            if step not in journey.webhooks:
                there = ", ".join(journey.webhooks) or "none"
                raise UnfitAnswer(f"{journey.name} has no webhook step {step!r}; there are: {there}")
        self._policies = load_policies(settings.project / "dags", relative_to=settings.project)
        self._real = real
        self._store = store
        self._people = people
        self._journey = journey
        self._seen = seen
        self._results = {step: _result(journey, step, answers) for step in journey.webhooks}

    @property
    def told(self) -> dict[str, str]:
        """Webhook step → what its calls are supposed to come to, in words."""
        return {
            step: reason or f"{outcome} with {response or 'nothing'}"
            for step, (outcome, reason, response) in self._results.items()
        }

    def settle(self, now: datetime, *, until: datetime) -> int:
        """Say it of everything that has come to its time by then; returns of how many.

        Args:
            now: the moment whose rules hold.
            until: which has come that far. Of what waits for room longer nothing is said yet.
        """
        said = 0
        while waiting := self._store.journey_messages.open(self._journey.name, until, _PAGE):
            by_step: dict[str, list[JourneyMessage]] = {}
            for message in waiting:
                by_step.setdefault(message.step, []).append(message)
            taken: list[CountedMessage] = []
            places = Taken(self._people, (self._real, self._store), now=now)
            for step, messages in by_step.items():
                said += self._step(step, messages, taken, places, now)
        return said + self._store.journey_calls.suppose(self._journey.name, self._results)

    def _step(
        self,
        name: str,
        messages: list[JourneyMessage],
        taken: list[CountedMessage],
        places: Taken,
        now: datetime,
    ) -> int:
        earliest = min(each.not_before for each in messages)
        rules = MessageRules.of_step(self._journey, name, self._policies, now=now, first=earliest)
        known = rules.look_up(
            self._real,
            self._people,
            [each.profile_id for each in messages],
            taken=taken,
            places=places,
            beside=[self._store],
            earliest=earliest,
        )
        outcomes: list[Supposed] = []
        delayed: list[Delayed] = []
        for each in messages:
            decided = rules.suppose(each, known)
            recipient = known.recipients.get(each.profile_id)
            domains = rules.domains(recipient)
            if decided.again_at is not None:
                later = Delayed(each.message_id, decided.again_at, capacity=decided.capacity, **domains)
                delayed.append(later)
                continue
            reason = decided.reason.value if decided.reason else None
            self._seen(each, reason, known)
            outcome = NOT_SENT if reason else (DELAYED if each.is_delayed else SENT)
            outcomes.append(Supposed(each.message_id, outcome, reason, **domains))
        self._store.journey_messages.decide(refused=[], delayed=delayed, approved={}, now=now)
        self._store.journey_messages.suppose(outcomes)
        return len(outcomes)


def _result(journey: Journey, name: str, answers: Answers) -> tuple[str, str | None, str | None]:
    """The outcome, the reason, and what is kept of the answer, as a call that is made would come to."""
    if name not in answers:
        return ANSWERED, None, None
    step, answer = journey.webhooks[name], answers[name]
    if answer is None:
        return FAILED, DeliveryReason.TEMPORARY_FAILURE.value, None
    if answer_problem(step, answer) is not None:
        return FAILED, CallReason.ANSWER_INVALID.value, None
    return ANSWERED, None, json.dumps(kept_of(step, answer))
