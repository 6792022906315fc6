"""The webhook steps of a journey: calls that are made, and what their answers come to.

No transaction is open while a call is made. A call is claimed, made, and settled; what is lost between the
last two is made again, under the same id.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any

from kundresa.channels import Account, AccountError, CallSender
from kundresa.content import Links, Renderer, RenderError, compile_templates
from kundresa.delivery import schedule
from kundresa.journeys import Version, Versions
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.opening import Clock
from kundresa.settings import Settings
from kundresa.spec.channels import WebhookChannel
from kundresa.spec.events import EventType, EventTypes, load_event_types, problem_with
from kundresa.spec.frozen import thaw_journey
from kundresa.spec.journey import Journey
from kundresa.spec.journey_outcomes import ANSWERED, FAILED
from kundresa.spec.journey_references import data_properties
from kundresa.spec.journey_steps import WebhookStep
from kundresa.spec.messages import Message, Receipt
from kundresa.spec.policies import Policies, load_policies
from kundresa.spec.vocabulary import CallReason, DeliveryReason, MessageState
from kundresa.store import CallResult, JourneyCall, Store
from kundresa.warehouse import Recipient

MOST_CALLS = 200
"""Calls that are claimed at once: the most that are made again after a crash."""


def make_calls(
    settings: Settings,
    store: Store,
    people: JourneyPeople,
    journey: str,
    versions: Versions,
    *,
    owner: str,
    account_of: Callable[[str], Account],
    clock: Clock,
) -> int:
    """Make the calls that may be made now, some at a time; returns how many have come to their end.

    Raises:
        AccountError: when an account cannot be used or refuses us; the calls of others are made before, those
            of this one wait.
        SpecError: when the policies or the event types cannot be read; nothing is called then.
        NothingPublished: before the first build.
    """
    if not any(version.call_keys for version in versions.all()):
        return 0
    now = clock()
    until = now + timedelta(seconds=settings.lease_seconds)
    calls = store.journey_calls.claim(journey, owner, now=now, until=until, limit=MOST_CALLS)
    by_step: dict[tuple[int, str], list[JourneyCall]] = defaultdict(list)
    for call in calls:
        by_step[call.version, call.step].append(call)
    if not calls:
        return 0
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    types = load_event_types(settings.project / "dags", relative_to=settings.project)
    over = 0
    failures: list[AccountError] = []
    for (number, name), some in by_step.items():
        step = _Step(
            settings, store.journeys.versions(journey, {number})[0].spec_json, versions[number], name
        )
        results = _Results(step.webhook, clock)
        try:
            step.make(some, people, types, policies, account_of=account_of, results=results)
        except AccountError as error:
            failures.append(error)
            results.put_off([each for each in some if each.call_id not in results.found])
        over += store.journey_calls.settle(owner, list(results.found.values()), now=clock())
    if failures:
        raise failures[0]
    return over


@dataclass(slots=True)
class _Results:
    """What calls of one step came to."""

    step: WebhookStep
    clock: Clock
    found: dict[str, CallResult] = field(default_factory=dict)

    def fail(self, call: JourneyCall, reason: str, receipt: Receipt | None = None, detail: str = "") -> None:
        code = receipt.code if receipt else None
        said = detail or (receipt.detail if receipt else None)
        self.found[call.call_id] = CallResult(call.call_id, FAILED, reason, code=code, detail=said)

    def put_off(self, calls: Sequence[JourneyCall]) -> None:
        """Nothing is known of these, but that nobody has got them."""
        for call in calls:
            waiting = Receipt(call.call_id, MessageState.DEFERRED, DeliveryReason.TEMPORARY_FAILURE)
            self.take(call, waiting, {})

    def take(self, call: JourneyCall, receipt: Receipt, answer: Mapping[str, Any]) -> None:
        """One attempt's receipt, and what was answered."""
        if receipt.state is MessageState.ACCEPTED:
            wrong = answer_problem(self.step, answer)
            if wrong is not None:
                self.fail(call, CallReason.ANSWER_INVALID.value, receipt, wrong)
                return
            kept = json.dumps(kept_of(self.step, answer))
            self.found[call.call_id] = CallResult(
                call.call_id, ANSWERED, response_json=kept, code=receipt.code
            )
            return
        ends = {"now": self.clock(), "valid_until": call.valid_until}
        again = schedule(receipt, call.attempts, **ends, resends_unknown=True)
        if again.retry_at is None:
            self.fail(call, str(again.reason), again)
        else:
            self.found[call.call_id] = CallResult(
                call.call_id, code=again.code, detail=again.detail, retry_at=again.retry_at
            )


class _Step:
    """One webhook step of one version."""

    def __init__(self, settings: Settings, spec_json: str, version: Version, name: str) -> None:
        self._settings = settings
        self._journey = version.journey
        step = version.journey.webhooks[name]
        self._channel = WebhookChannel(kind="webhook", account=step.account, template=step.template)
        self._run_key = version.call_keys[name]
        self._renderer = _renderer(spec_json, name, Links.from_settings(settings))
        self.webhook = step

    def make(
        self,
        calls: Sequence[JourneyCall],
        people: JourneyPeople,
        types: EventTypes,
        policies: Policies,
        *,
        account_of: Callable[[str], Account],
        results: _Results,
    ) -> None:
        """Make these calls.

        Raises:
            AccountError: those without a result were certainly not accepted.
        """
        now = results.clock()
        ids = [each.profile_id for each in calls]
        known = people.published.recipients(ids, channel="webhook", topic="", is_exempt=True, now=now)
        written: dict[str, tuple[JourneyCall, Message]] = {}
        for call in calls:
            recipient = known.get(call.profile_id)
            if now > call.valid_until:
                was_tried = call.attempts > 1
                reason = DeliveryReason.TEMPORARY_FAILURE if was_tried else DeliveryReason.RUN_EXPIRED
                results.fail(call, reason.value)
            elif recipient is None:
                results.fail(call, CallReason.PERSON_UNKNOWN.value)
            else:
                try:
                    content = self._renderer.render(call_row(call, self._journey, recipient, types))
                except RenderError as error:
                    results.fail(call, DeliveryReason.RENDER_FAILED.value, detail=str(error)[:500])
                else:
                    written[call.call_id] = (call, Message(call.call_id, call.profile_id, content))
        if not written:
            return
        sender = CallSender(
            self._channel,
            account_of(self.webhook.account),
            results.clock,
            run_key=self._run_key,
            allowed_hosts=policies.webhook_hosts,
        )
        try:
            for receipt, answer in sender.calls([message for _, message in written.values()]):
                results.take(written[receipt.message_id][0], receipt, answer)
        finally:
            sender.close()


def call_row(call: JourneyCall, journey: Journey, recipient: Recipient, types: EventTypes) -> dict[str, Any]:
    """What the template of a webhook step reads: as that of a message does."""
    return {
        "message_id": call.call_id,
        "profile_id": call.profile_id,
        "channel": "webhook",
        "address": call.profile_id,
        "variant": None,
        "time_zone": recipient.profile.get("time_zone"),
        "profile": dict(recipient.profile),
        "event": entry_data(journey, call.event_json, types),
        "logical_at": call.reached_at,
    }


def entry_data(journey: Journey, event_json: str, types: EventTypes) -> dict[str, Any]:
    """The data of an entry, with every property that its event declares and whatever steps keep of answers
    and events; one that is not said is empty."""
    names = data_properties(journey, types) or journey.answers
    return {**dict.fromkeys(names), **json.loads(event_json)}


def answer_problem(step: WebhookStep, answer: Mapping[str, Any]) -> str | None:
    """What is wrong with an answer, as with an event's data; fields that are not declared are left out."""
    if not step.response:
        return None
    kept = {name: value for name, value in answer.items() if name in step.response}
    declared = EventTypes(events={"answer": EventType(description="answer", properties=step.response)})
    return problem_with(declared, "answer", kept)


def kept_of(step: WebhookStep, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an answer: the fields that the step declares, without those that are empty."""
    return {name: answer[name] for name in step.response if answer.get(name) is not None}


@lru_cache(maxsize=64)
def _renderer(spec_json: str, name: str, links: Links) -> Renderer:
    journey, templates = thaw_journey(spec_json)
    return compile_templates(journey.webhook_campaign(name), templates, links=links)
