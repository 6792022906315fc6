"""Caps on the messages of journeys: what people got and will get, from campaigns and journeys, as the caps of
``dags/policies.yaml`` count it.

The rules are those of ``int_decisions__contention``, for one message after the other: a cap counts what is
less than its window away, on both sides, or in the same calendar period; of those that are full the first by
name is the reason. Who is decided first goes first: there is no arbitration between a journey and a campaign.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from filelock import FileLock, Timeout

from kundresa.runs.capping import require_rule_sets
from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.reservations import LEFT, RELEASED, is_stopped
from kundresa.runs.send_times import is_zone
from kundresa.settings import Settings
from kundresa.spec.campaign import Campaign
from kundresa.spec.periods import PeriodKind, periods
from kundresa.spec.policies import Policies, exempt_topics
from kundresa.spec.pressure import RECIPIENT, Cap
from kundresa.store import CountedMessage, Store
from kundresa.warehouse import Recipient, SentMessage

_PERIODS = {"day": timedelta(days=2), "week": timedelta(days=9), "month": timedelta(days=33)}
"""The longest of each, in any zone."""
_PAGE = 2_000


def caps_of(step: Campaign, policies: Policies) -> tuple[Cap, ...]:
    """The caps that a message step is under: those of its rule sets that count its topic and its channel.

    Raises:
        RuleSetNotFound: when it names a set that the policies do not have.
    """
    require_rule_sets(step, policies)
    exempt = frozenset(exempt_topics(policies))
    if step.topic in exempt:
        return ()
    caps = (cap for name in step.rule_sets for cap in policies.pressure.get(name, ()))
    return tuple(cap for cap in caps if _counts(cap, step.topic, step.channels[0].kind, exempt))


@contextmanager
def alone(settings: Settings) -> Iterator[bool]:
    """Whether nobody else decides what counts against caps: while that is so, what is counted stays so until
    it is decided. Nobody is waited for: a campaign's decision takes minutes.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(settings.home / "decide.lock").acquire(timeout=0)
    except Timeout:
        yield False
        return
    with lock:
        yield True


@dataclass(frozen=True, slots=True)
class CapContext:
    """Where what people got and will get is looked up."""

    people: JourneyPeople
    stores: Sequence[Store]
    """The first is the installation's, whose ledger says what became of campaigns' messages."""
    taken: list[CountedMessage]
    """What was decided just now and is in no store yet."""


class Allowance:
    """What some people may still get."""

    def __init__(
        self,
        caps: Sequence[Cap],
        exempt: Collection[str],
        messages: Iterable[CountedMessage],
        members: Mapping[str, Mapping[str, Collection[str]]],
        taken: list[CountedMessage],
    ) -> None:
        """
        Args:
            messages: by the ids that people go by now.
            members: column of ``profiles`` → person → all who are counted together with them by it.
        """
        self._caps = sorted(caps, key=lambda cap: cap.name)
        self._exempt = exempt
        self._members = members
        self._taken = taken
        self._messages: dict[str, list[CountedMessage]] = defaultdict(list)
        for each in messages:
            self._messages[each.profile_id].append(each)

    def full(self, message_id: str, recipient: Recipient, at: datetime) -> str | None:
        """The cap that stops a message from leaving then; None when there is room.

        Args:
            message_id: the message, which does not count itself where it is reserved already.
        """
        return next((cap.name for cap in self._caps if self._is_full(cap, message_id, recipient, at)), None)

    def take(self, message_id: str, recipient: Recipient, channel: str, topic: str, at: datetime) -> None:
        """A message will leave then: from now on it counts."""
        made = CountedMessage(message_id, person_of(recipient), channel, topic, at)
        self._messages[made.profile_id].append(made)
        self._taken.append(made)

    def _is_full(self, cap: Cap, message_id: str, recipient: Recipient, at: datetime) -> bool:
        person = person_of(recipient)
        zone = str(recipient.profile.get("time_zone") or "")
        people = self._members.get(cap.counted_per or "", {}).get(person, (person,))
        counted = sum(
            1
            for who in people
            for each in self._messages.get(who, ())
            if each.message_id != message_id
            and _counts(cap, each.topic, each.channel, self._exempt)
            and _is_near(cap, zone, at, each.send_at)
        )
        return counted >= cap.max


def look_up_allowance(
    caps: Sequence[Cap],
    policies: Policies,
    recipients: Collection[Recipient],
    context: CapContext,
    *,
    earliest: datetime,
    now: datetime,
) -> Allowance:
    """What these people may still get, in a few questions about all of them.

    Args:
        earliest: no message that is asked about leaves before.

    Raises:
        NothingPublished: before the first build.
        KeyError: when a cap counts by a column that ``profiles`` does not have.
    """
    published = context.people.published
    own = {person_of(each) for each in recipients}
    members: dict[str, dict[str, list[str]]] = {}
    everybody = set(own)
    for column in sorted({cap.counted_per for cap in caps if cap.counted_per}):
        shared = published.sharing(column, own)
        groups: dict[str, list[str]] = defaultdict(list)
        for who, value in shared.items():
            groups[value].append(who)
        members[column] = {who: groups[value] for who, value in shared.items()}
        everybody |= shared.keys()
    earlier = published.earlier_ids(everybody)
    ids = [*everybody, *earlier]
    since = earliest - max(cap.within or _PERIODS[cap.period or "month"] for cap in caps)
    found = _of_campaigns(context.stores[0], context.people.sent.of(ids, since), now)
    for store in context.stores:
        found += store.journey_accounts.counted(ids, since)
    known = [replace(each, profile_id=earlier.get(each.profile_id, each.profile_id)) for each in found]
    exempt = frozenset(exempt_topics(policies))
    return Allowance(caps, exempt, [*known, *context.taken], members, context.taken)


def person_of(recipient: Recipient) -> str:
    """The id that a person goes by now."""
    return str(recipient.profile["profile_id"])


def _of_campaigns(store: Store, sent: Sequence[SentMessage], now: datetime) -> list[CountedMessage]:
    """Those that somebody got or still may, by the ledger of now."""
    counted = []
    stopped: dict[str, bool] = {}
    for start in range(0, len(sent), _PAGE):
        page = sent[start : start + _PAGE]
        lines = store.ledger.lines([each.message_id for each in page])
        for each in page:
            line = lines.get(each.message_id)
            if line is not None and line.state in RELEASED:
                continue
            if line is None or line.state not in LEFT:
                if each.run_key not in stopped:
                    run = store.runs.get(each.run_key)
                    stopped[each.run_key] = run is not None and is_stopped(store, run, now)
                if stopped[each.run_key]:
                    continue
            counted.append(
                CountedMessage(each.message_id, each.profile_id, each.channel, each.topic, each.send_at)
            )
    return counted


def _counts(cap: Cap, topic: str, channel: str, exempt: Collection[str]) -> bool:
    if cap.channels is not None and channel not in cap.channels:
        return False
    return topic in cap.topics if cap.topics is not None else topic not in exempt


def _is_near(cap: Cap, zone: str, at: datetime, other: datetime) -> bool:
    if cap.within is not None:
        return abs(other - at) < cap.within
    if cap.time_zone != RECIPIENT:
        zone = cap.time_zone
    start, end = _period(cap.period or "day", zone if is_zone(zone) else "UTC", at)
    return start <= other < end


@lru_cache(maxsize=4096)
def _period(kind: PeriodKind, zone: str, at: datetime) -> tuple[datetime, datetime]:
    return periods(kind, zone, at, at)[0]
