"""Capacities and warm-ups on the messages of journeys: the first moment at which all have room for one.

The rules are those of ``int_decisions__warm_up`` and ``int_decisions__capacity``: a place is taken in the
period in which a message leaves, by what campaigns and journeys sent there and by what is decided and will
leave there; what failed or was withheld gives its place back. Who is decided first takes the first place
that is free.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, TypedDict

from kundresa.runs.journey_people import JourneyPeople
from kundresa.runs.limits import capacity_periods
from kundresa.runs.reservations import LEFT, RELEASED, is_stopped
from kundresa.runs.warming import run_warm_ups, sender_domain
from kundresa.spec.campaign import Campaign
from kundresa.spec.frozen import thaw
from kundresa.spec.policies import Policies
from kundresa.spec.vocabulary import ChannelKind, CloseReason, DecisionReason
from kundresa.store import JourneyMessage, Store
from kundresa.warehouse import Places, Span

KNOWN_FOR = timedelta(minutes=1)
"""How old may be what is known of places that campaigns gave back: too old is one place too few."""
_PAGE = 50_000
Period = tuple[datetime, datetime, int]
"""Start, end and most messages."""


class Domains(TypedDict):
    """An email's, in lower case; None of other channels."""

    sender_domain: str | None
    address_domain: str | None


class Drawn(NamedTuple):
    """What a message draws on limits by."""

    channel: str
    sender_domain: str | None
    address_domain: str | None


@dataclass(frozen=True, slots=True)
class Limit:
    """A capacity, or what a sending domain may send to one provider while it is new."""

    name: str
    """The capacity's, or ``<sending domain>/<provider>``: what the account calls it."""
    reason: DecisionReason
    channels: frozenset[str]
    periods: Sequence[Period]
    """In order and apart; at other times there is no limit."""
    sender_domain: str | None = None
    """None: every message of the channels draws on it."""
    address_domains: frozenset[str] = frozenset()
    """Of the provider; empty is every one that ``known_domains`` does not have."""
    known_domains: frozenset[str] = frozenset()
    """Of all providers."""

    def holds(self, drawn: Drawn) -> bool:
        """Whether such a message draws on it."""
        if drawn.channel not in self.channels or self.sender_domain is None:
            return drawn.channel in self.channels
        is_there = drawn.address_domain in (self.address_domains or self.known_domains)
        return drawn.sender_domain == self.sender_domain and is_there is bool(self.address_domains)

    def period(self, at: datetime) -> Period | None:
        """The one that an instant is in; None where there is no limit."""
        return next((each for each in self.periods if each[0] <= at < each[1]), None)


def limits_of(step: Campaign, policies: Policies, *, first: datetime, last: datetime) -> tuple[Limit, ...]:
    """What limits a message step between two instants, in the order in which it is asked: its domain's
    warm-up, then the capacities of its channel that name no campaigns. Whatever its topic."""
    channel = step.channels[0].kind
    known = frozenset(domain for domains in policies.providers.values() for domain in domains)
    warm_ups = [
        Limit(
            f"{each.domain}/{each.provider}",
            DecisionReason.OVER_WARM_UP,
            frozenset({"email"}),
            each.days,
            each.domain,
            frozenset(each.address_domains),
            known,
        )
        for each in run_warm_ups(step, policies, decided_at=first, valid_until=last)
    ]
    capacities = [
        Limit(
            each.name,
            DecisionReason.OVER_CAPACITY,
            frozenset(each.channels or map(str, ChannelKind)),
            capacity_periods(each, first, last),
        )
        for each in policies.capacities
        if each.campaigns is None and (each.channels is None or channel in each.channels)
    ]
    return (*warm_ups, *capacities)


class Taken:
    """The places that are taken, for all messages that are decided together. Each limit is counted once for
    each of its periods that is asked for, of everybody at once."""

    def __init__(self, people: JourneyPeople, stores: Sequence[Store], *, now: datetime) -> None:
        """
        Args:
            stores: of which the messages of journeys count. The first is the installation's, whose ledger
                says what became of campaigns' messages.
        """
        self._people = people
        self._stores = stores
        self._now = now
        self._counts: dict[tuple[str, datetime], int] = {}
        self._exact: set[tuple[str, datetime]] = set()

    def is_full(self, limit: Limit, period: Period, *, own: int) -> bool:
        """Whether a period has no place for one more.

        Args:
            own: how many places the message that asks has taken in it.
        """
        if not period[2]:
            return True  # of times with room for nothing, which may be all before a date, nobody asks more
        key = limit.name, period[0]
        if self._count(limit, period) - own >= period[2] and key not in self._exact:
            # Only where it matters: what campaigns gave back is a question to their ledgers.
            self._counts[key] -= self._given_back(limit, period)
            self._exact.add(key)
        return self._counts[key] - own >= period[2]

    def add(self, limit: Limit, period: Period, places: int) -> None:
        """Take places, or give them back."""
        self._count(limit, period)
        self._counts[limit.name, period[0]] += places

    def _count(self, limit: Limit, period: Period) -> int:
        key = limit.name, period[0]
        if key not in self._counts:
            runs = self._people.sent.places(_span(limit, period))
            campaigns = sum(self._drawn(limit, run_key, each) for run_key, each in runs.items())
            self._counts[key] = campaigns + sum(
                store.journey_accounts.counted_between(
                    *period[:2],
                    channels=limit.channels,
                    sender_domain=limit.sender_domain,
                    address_domains=limit.address_domains or limit.known_domains,
                    is_other=not limit.address_domains,
                )
                for store in self._stores
            )
        return self._counts[key]

    def _drawn(self, limit: Limit, run_key: str, places: Places) -> int:
        sender = self._sender(run_key) if limit.sender_domain is not None and places else None
        return sum(
            messages
            for (channel, domain), messages in places.items()
            if limit.holds(Drawn(channel, sender, domain))
        )

    def _sender(self, run_key: str) -> str | None:
        known = self._people.senders
        if run_key not in known:
            run = self._stores[0].runs.get(run_key)
            known[run_key] = sender_domain(thaw(run.spec_json)[0]) if run else None
        return known[run_key]

    def _given_back(self, limit: Limit, period: Period) -> int:
        span = _span(limit, period)
        total = 0
        for run_key, places in self._people.sent.places(span).items():
            if not self._drawn(limit, run_key, places):
                continue
            known = self._people.given_back.get((run_key, span))
            if known is None or not known[0] <= self._now < known[0] + KNOWN_FOR:
                known = self._now, self._released(run_key, span, places)
                self._people.given_back[run_key, span] = known
            total += self._drawn(limit, run_key, known[1])
        return total

    def _released(self, run_key: str, span: Span, places: Places) -> Places:
        """What failed or was withheld; of a run that is stopped, everything that had not left."""
        store = self._stores[0]
        run = store.runs.get(run_key)
        # Of one that was completed nothing is left that has not left.
        is_over = (
            run is not None
            and run.close_reason is not CloseReason.COMPLETED
            and is_stopped(store, run, self._now)
        )
        found = Places()
        for page in store.ledger.rows(run_key, _PAGE, states=LEFT if is_over else RELEASED):
            ids = [row["message_id"] for row in page]
            found += self._people.sent.places_among(run_key, ids, span)
        return places - found if is_over else found


def _span(limit: Limit, period: Period) -> Span:
    return Span(period[0], period[1], limit.known_domains)


class Room:
    """What limits leave to the messages of one step."""

    def __init__(self, limits: Sequence[Limit], taken: Taken) -> None:
        self._limits = limits
        self._taken = taken

    def place(
        self,
        message: JourneyMessage,
        drawn: Drawn,
        at: datetime,
        *,
        opens: Callable[[datetime], datetime | None] | None,
    ) -> tuple[datetime | None, Limit | None]:
        """The first instant, from one on, at which all limits have room for a message to leave, and the first
        limit that has none at that one; no instant when there is none while the message is valid.

        Args:
            opens: the first instant, from one on, at which hours permit it to leave. None: it does not wait.
        """
        first: Limit | None = None
        leaves_at: datetime | None = at
        while leaves_at is not None and (full := self._full(message, drawn, leaves_at)) is not None:
            limit, ends_at = full
            first = first or limit
            leaves_at = opens(ends_at) if opens is not None and ends_at <= message.valid_until else None
        is_late = first is not None and leaves_at is not None and leaves_at > message.valid_until
        return None if is_late else leaves_at, first

    def _full(self, message: JourneyMessage, drawn: Drawn, at: datetime) -> tuple[Limit, datetime] | None:
        """The first limit that has no room then, and when the period ends in which it has none. A message
        that waits for its place has it."""
        for limit in self._limits:
            period = limit.period(at) if limit.holds(drawn) else None
            if period is not None:
                own = int(_held(message, limit) == period)
                if self._taken.is_full(limit, period, own=own):
                    return limit, period[1]
        return None

    def take(self, message: JourneyMessage, drawn: Drawn, at: datetime) -> None:
        """The message will leave then: from now on it counts there, and no more where it was to leave."""
        for limit in self._limits:
            held = _held(message, limit)
            period = limit.period(at) if limit.holds(drawn) else None
            if held != period:
                if held is not None:
                    self._taken.add(limit, held, -1)
                if period is not None:
                    self._taken.add(limit, period, 1)


def _held(message: JourneyMessage, limit: Limit) -> Period | None:
    """The period in which a message that waits for its place has one."""
    if message.send_at is None:
        return None
    drawn = Drawn(message.channel, message.sender_domain, message.address_domain)
    return limit.period(message.send_at) if limit.holds(drawn) else None
