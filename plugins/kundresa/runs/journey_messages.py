"""The messages of a journey on their way out: decided by the rules of this moment, then delivered by the
ledger protocol as any campaign's are."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from kundresa import delivery
from kundresa.channels import Account, AccountError, is_idempotent, open_sender
from kundresa.content import Links, Renderer, compile_templates
from kundresa.journeys import Version, Versions
from kundresa.runs.feedback import soft_bounce_rule
from kundresa.runs.journey_calls import entry_data
from kundresa.runs.journey_caps import alone
from kundresa.runs.journey_limits import Taken
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.journey_rows import read_row, row_of, row_text
from kundresa.runs.journey_rules import Known, MessageRules
from kundresa.runs.opening import Clock
from kundresa.runs.send_times import SendHours
from kundresa.runs.text_reports import reports_of
from kundresa.settings import Settings
from kundresa.spec.channels import DirectMailChannel
from kundresa.spec.events import EventTypes, load_event_types
from kundresa.spec.frozen import thaw
from kundresa.spec.journey import Journey
from kundresa.spec.pace import pace_rates
from kundresa.spec.policies import Policies, exempt_topics, load_policies
from kundresa.spec.vocabulary import DeliveryPolicy
from kundresa.store import Approved, BatchBusy, CountedMessage, Delayed, JourneyMessage, Refused, Store

log = logging.getLogger(__name__)

MOST_AT_ONCE = 5_000
"""Messages that are decided at once, and so the most of one batch."""
WHILE_OTHERS_COUNT = timedelta(seconds=5)
"""Between two looks while somebody else decides what counts against caps, capacities or warm-ups."""
WINDOW = 100
"""Messages claimed at once: the most that one crash can leave unknown."""
RESENT_WINDOW = 20
"""The same where a crash makes them leave again, to who does not know them: the most that come twice. A claim
costs two writes."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def decide_messages(
    settings: Settings,
    store: Store,
    people: JourneyPeople,
    journey: str,
    versions: Versions,
    *,
    now: datetime,
) -> int:
    """Decide the messages that may be decided now; returns how many.

    Those under caps, capacities or warm-ups wait while a campaign or another journey is deciding, so that
    nobody counts what another is about to change.

    Raises:
        SpecError: when the policies or the event types cannot be read; nothing is decided then.
        RuleSetNotFound: when a journey names a set of caps that the policies do not have any more.
        NothingPublished: before the first build.
    """
    waiting = store.journey_messages.open(journey, now, MOST_AT_ONCE)
    if not waiting:
        return 0
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    types = load_event_types(settings.project / "dags", relative_to=settings.project)
    rules = {
        key: MessageRules.of_step(
            versions[key[0]].journey, key[1], policies, now=now, longest=versions[key[0]].longest
        )
        for key in _by_step(waiting)
    }
    decided = _Decided()
    needs_count = any(each.counts_others for each in rules.values())
    with alone(settings) if needs_count else nullcontext(True) as is_alone:
        if needs_count and is_alone:
            # As they are now: who was alone before may have decided some of them.
            still = {
                each.message_id: each for each in store.journey_messages.open(journey, now, MOST_AT_ONCE)
            }
            waiting = [still[each.message_id] for each in waiting if each.message_id in still]
        places = Taken(people, (store,), now=now)
        for key, messages in _by_step(waiting).items():
            if rules[key].counts_others and not is_alone:
                decided.put_off |= {each.message_id: now + WHILE_OTHERS_COUNT for each in messages}
                continue
            people_ids = [message.profile_id for message in messages]
            asked = store.message_requests.addressed([message.instance_key for message in messages])
            known = rules[key].look_up(
                store, people, people_ids, taken=decided.taken, places=places, asked=asked
            )
            for message in messages:
                decided.add(rules[key], message, known, versions[message.version].journey, types)
        store.journey_messages.decide(
            refused=decided.refused,
            delayed=decided.delayed,
            approved=decided.approved,
            put_off=decided.put_off,
            now=now,
        )
    return len(waiting) - len(decided.put_off)


def _by_step(messages: Sequence[JourneyMessage]) -> dict[tuple[int, str], list[JourneyMessage]]:
    found: dict[tuple[int, str], list[JourneyMessage]] = defaultdict(list)
    for message in messages:
        found[message.version, message.step].append(message)
    return found


@dataclass(slots=True)
class _Decided:
    """What is decided of some messages."""

    refused: list[Refused] = field(default_factory=list)
    delayed: list[Delayed] = field(default_factory=list)
    put_off: dict[str, datetime] = field(default_factory=dict)
    approved: dict[tuple[str, str], list[Approved]] = field(default_factory=lambda: defaultdict(list))
    taken: list[CountedMessage] = field(default_factory=list)

    def add(
        self,
        rules: MessageRules,
        message: JourneyMessage,
        known: Known,
        journey: Journey,
        types: EventTypes,
    ) -> None:
        recipient = known.recipient(message)
        decided = rules.decide(
            message,
            recipient,
            suppressed=known.suppressed,
            answers=known.answers,
            allowance=known.allowance,
            room=known.room,
        )
        name = message.message_id
        if decided.reason is not None:
            self.refused.append(Refused(name, decided.reason.value, decided.cap, decided.capacity))
        elif recipient is not None:
            domains = rules.domains(recipient)
            if decided.again_at is not None:
                later = Delayed(name, decided.again_at, capacity=decided.capacity, **domains)
                self.delayed.append(later)
            else:
                row = row_text(row_of(message, recipient, event_of(journey, message, types)))
                self.approved[message.run_key, message.channel].append(Approved(name, row, **domains))


def event_of(journey: Journey, message: JourneyMessage, types: EventTypes) -> dict[str, Any]:
    """The event's data, with what webhook steps have kept."""
    return entry_data(journey, message.event_json, types)


def deliver_messages(
    settings: Settings,
    store: Store,
    people: JourneyPeople,
    versions: Versions,
    *,
    owner: str,
    account_of: Callable[[str], Account],
    clock: Clock,
    not_before: dict[tuple[str, str, int], datetime],
    may_go_on: Callable[[], bool] | None = None,
) -> int:
    """Deliver every batch that is not finished; returns how many messages were accepted now.

    Args:
        not_before: when each batch is worth another look; kept up to date here.

    Raises:
        AccountError: when a sender account refuses us, after the other accounts' batches.
        SpecError: when the policies cannot be read; nothing is sent then.
    """
    keys = {key: (each, name) for each in versions.all() for name, key in each.run_keys.items()}
    unfinished = store.journey_messages.unfinished(keys)
    if not unfinished:
        return 0
    policies = load_policies(settings.project / "dags", relative_to=settings.project)
    accepted = 0
    failures: list[Exception] = []
    for which in unfinished:
        if clock() < not_before.get(which, _LONG_AGO):
            continue
        version, name = keys[which[0]]
        try:
            result = _deliver(
                settings,
                store,
                which,
                version,
                name,
                people=people,
                policies=policies,
                owner=owner,
                account_of=account_of,
                clock=clock,
                may_go_on=may_go_on,
            )
        except BatchBusy as busy:
            not_before[which] = busy.until
        except AccountError as error:
            failures.append(error)
        else:
            accepted += result.newly_accepted
            if result.retry_at is not None:
                not_before[which] = result.retry_at
    if failures:
        raise failures[0]
    return accepted


def _deliver(
    settings: Settings,
    store: Store,
    which: tuple[str, str, int],
    version: Version,
    name: str,
    *,
    people: JourneyPeople,
    policies: Policies,
    owner: str,
    account_of: Callable[[str], Account],
    clock: Clock,
    may_go_on: Callable[[], bool] | None,
) -> delivery.BatchResult:
    run_key, channel, number = which
    run = store.runs.require(run_key)
    spec, _ = thaw(run.spec_json)
    step = version.journey.messages[name]
    messages = store.journey_messages.batch(run_key, number)
    decided_at = min((each.reached_at for each in messages), default=run.opened_at)
    # The earliest: no message leaves later than it may. Those of a batch were decided together.
    valid_until = min((each.valid_until for each in messages), default=run.valid_until)
    is_exempt = spec.topic in exempt_topics(policies)
    account = account_of(step.channel.account)
    is_letter = isinstance(step.channel, DirectMailChannel)
    again = is_idempotent(step.channel, account)
    window = RESENT_WINDOW if spec.delivery.policy is DeliveryPolicy.AT_LEAST_ONCE and not again else WINDOW
    hours = SendHours(
        None,
        # They hold no letters back, as when it was decided, and what a test has held is held no longer.
        () if is_exempt or is_letter or version.longest is not None else policies.quiet_hours,
        decided_at=decided_at,
        valid_until=valid_until,
    )
    batch = delivery.Batch(
        run_key=run_key,
        channel=channel,
        number=number,
        topic=spec.topic,
        is_exempt=is_exempt,
        policy=spec.delivery.policy,
        # A print file is one hand-over, whole or not at all.
        window=MOST_AT_ONCE if is_letter else window,
        decided_at=decided_at,
        not_before=decided_at,
        valid_until=valid_until,
        is_idempotent=again,
        is_whole=is_letter,
        soft_bounces=soft_bounce_rule(policies),
    )
    with reports_of(settings, store, policies, account, clock=clock) as on_reports:
        return delivery.deliver_batch(
            store,
            batch,
            rows=lambda: _rows(messages),
            renderer=_renderer(run.spec_json, Links.from_settings(settings)),
            open_sender=lambda: open_sender(
                step.channel,
                account,
                clock,
                run_key=run_key,
                secret=settings.signing_secret(),
                public_url=settings.public_url,
                allowed_hosts=policies.webhook_hosts,
                on_reports=on_reports,
                valid_until=batch.valid_until,
            ),
            owner=owner,
            lease=timedelta(seconds=settings.lease_seconds),
            clock=clock,
            people=people,
            hours=hours,
            may_go_on=may_go_on,
            pacing=None
            if is_letter
            else delivery.Pacing(step.channel.account, pace_rates(policies.pacing.get(step.channel.account))),
        )


@lru_cache(maxsize=64)
def _renderer(spec_json: str, links: Links) -> Renderer:
    """Compiled once for all batches of a standing run."""
    spec, templates = thaw(spec_json)
    return compile_templates(spec, templates, links=links)


def _rows(messages: Sequence[JourneyMessage]) -> Iterator[Mapping[str, Any]]:
    for message in messages:
        if message.row_json is None:
            raise AssertionError(f"message {message.message_id} is in a batch without its row")
        yield read_row(message.row_json)
