"""Messages that are asked for by name: taken durably, each once, and told what became of them."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kundresa.journeys import Asked, Versions, enter_asked
from kundresa.runs.journey_people import JourneyPeople
from kundresa.settings import Settings
from kundresa.spec.addresses import ADDRESS_NAMESPACES
from kundresa.spec.events import EventType, EventTypes, data_problems
from kundresa.spec.journey_outcomes import NOT_SENT, SENT
from kundresa.spec.keys import as_test, request_id, stranger_id
from kundresa.spec.policies import Policies
from kundresa.spec.problems import nearest, shown
from kundresa.spec.transactional import contract_of, is_transactional
from kundresa.spec.vocabulary import JourneyState, MessageState
from kundresa.store import (
    Advance,
    JourneyMessage,
    JourneyMoved,
    LedgerLine,
    MessageRequest,
    Position,
    Store,
)

QUEUED = "queued"
"""Of a message that is on its way, or to be decided; of a request of which nothing is sent yet."""
TRIES = 5
"""How often a journey may be started anew while a request is taken."""
_SETTLED = (MessageState.FAILED, MessageState.WITHHELD)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a caller asks for."""

    caller: str
    given_id: str
    journey: str
    namespace: str
    identifier: str
    """An address where the namespace is one of addresses, normalised."""
    data: Mapping[str, Any]

    @property
    def request_id(self) -> str:
        """The same for the same id of the same caller."""
        return request_id(self.caller, self.given_id)

    @property
    def content_hash(self) -> str:
        """The same for the same request, however its JSON is written."""
        content = [self.journey, self.namespace, self.identifier, self.data]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Unfit:
    """Why a request is not taken: field (``journey``, ``recipient``, ``data.<property>``) and why, each."""

    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Why a request that is right by itself is not taken now."""

    detail: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that is durable."""

    request_id: str
    message_ids: tuple[str, ...]
    """Those that were reached at once."""
    is_new: bool


@dataclass(slots=True)
class Pending:
    """A request on its way in, and what becomes of it."""

    wanted: Wanted
    answer: Taken | Unfit | Conflict | None = None
    error: Exception | None = None
    """Why there is no answer; it was not taken then."""


class MessageDesk:
    """Takes requests in, on one thread."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        policies: Callable[[], Policies],
        types: Callable[[], EventTypes],
    ) -> None:
        """
        Args:
            policies, types: those that hold at the moment; asked for each group of requests.
        """
        self._settings = settings
        self._store = store
        self._policies = policies
        self._types = types
        self._people = JourneyPeople(settings)
        self._versions: dict[tuple[str, int], Versions] = {}

    def close(self) -> None:
        """Give back what was opened."""
        self._people.__exit__(None, None, None)

    def contracts(self) -> dict[str, EventType]:
        """The journeys that take requests now, each with what it is asked with."""
        found = {}
        for row in self._store.journeys.all():
            if row.state is JourneyState.RUNNING:
                known = self._contract(self._version(row.journey, row.version))
                if known is not None:
                    found[row.journey] = known[1]
        return found

    def take(self, pending: Sequence[Pending], now: datetime) -> None:
        """Answer each of them; when this returns those that were taken are durable. What is wrong with one
        is its own ``error``, and the others are taken: ``NothingPublished`` before the first build, when
        nobody can be told from a stranger, or whatever was raised.

        Raises:
            StoreUnavailable: none was taken.
        """
        known = self._store.message_requests.of({each.wanted.request_id for each in pending})
        first: dict[str, Pending] = {}
        again: list[Pending] = []
        by_journey: dict[str, list[Pending]] = defaultdict(list)
        for each in pending:
            each.answer = self._known(each.wanted, known)
            if each.answer is not None:
                continue
            if first.setdefault(each.wanted.request_id, each) is each:
                by_journey[each.wanted.journey].append(each)
            else:
                again.append(each)
        for journey, some in by_journey.items():
            self._each_or_all(journey, some, now)
        for each in again:
            same = first[each.wanted.request_id]
            is_same = same.wanted.content_hash == each.wanted.content_hash
            each.answer, each.error = (same.answer, same.error) if is_same else (_another(), None)

    def _each_or_all(self, journey: str, pending: Sequence[Pending], now: datetime) -> None:
        """All in one transaction; where that fails, each in its own."""
        try:
            self._take_of(journey, pending, now)
        except Exception as error:  # of one of them, or of all: each answers for itself
            if len(pending) == 1:
                pending[0].answer, pending[0].error = None, error
                return
            for each in pending:
                self._each_or_all(journey, [each], now)

    def _take_of(self, journey: str, pending: Sequence[Pending], now: datetime) -> None:
        for _ in range(TRIES):
            try:
                self._try(journey, pending, now)
            except JourneyMoved:
                continue  # started anew, paused or stopped meanwhile: looked at again
            return
        for each in pending:
            each.answer = Conflict(f"{journey} is being started anew; try again")

    def _try(self, journey: str, pending: Sequence[Pending], now: datetime) -> None:
        row = None if as_test(journey) else self._store.journeys.get(journey)
        versions = None if row is None else self._version(journey, row.version)
        contract = None if versions is None else self._contract(versions)
        if row is None or versions is None or contract is None:
            for each in pending:
                each.answer = Unfit((("journey", self._no_such(journey)),))
            return
        fit = []
        for each in pending:
            each.answer = _unfit(each.wanted, contract)
            if each.answer is None and row.state is not JourneyState.RUNNING:
                each.answer = Conflict(f"{journey} is {row.state}; nothing is sent")
            if each.answer is None:
                fit.append(each)
        self._enter(versions, self._resolved(fit, now), now)

    def _resolved(self, pending: Sequence[Pending], now: datetime) -> list[tuple[Pending, MessageRequest]]:
        """Whom each is about; those that nobody is known for are answered."""
        people = self._people.resolve({(each.wanted.namespace, each.wanted.identifier) for each in pending})
        found = []
        for each in pending:
            wanted = each.wanted
            channel = ADDRESS_NAMESPACES.get(wanted.namespace)
            profile_id = people.get((wanted.namespace, wanted.identifier))
            if profile_id is None and channel is None:
                message = f"nobody, or more than one person, is published under this {wanted.namespace}"
                each.answer = Unfit((("recipient", message),))
                continue
            secret = self._settings.signing_secret()
            request = MessageRequest(
                request_id=wanted.request_id,
                caller=wanted.caller,
                given_id=wanted.given_id,
                content_hash=wanted.content_hash,
                journey=wanted.journey,
                profile_id=profile_id or stranger_id(secret, wanted.namespace, wanted.identifier),
                channel=channel,
                address=wanted.identifier if channel else None,
                requested_at=now,
            )
            found.append((each, request))
        return found

    def _enter(
        self, versions: Versions, requests: Sequence[tuple[Pending, MessageRequest]], now: datetime
    ) -> None:
        if not requests:
            return
        asked = [
            Asked(request.profile_id, request.request_id, json.dumps(each.wanted.data, separators=(",", ":")))
            for each, request in requests
        ]
        entries = enter_asked(self._store, self._people, versions, asked, now=now)
        rows = [request for _, request in requests]
        current = versions.current
        asked_for = list(zip(rows, entries, strict=True))
        new = self._store.journeys.enter(current.journey.name, current.number, asked_for, at=now)
        known = self._store.message_requests.of({each.request_id for each in rows} - new)
        for (each, request), entry in zip(requests, entries, strict=True):
            if request.request_id in new:
                each.answer = _taken(request, entry)
            else:  # the same request came in through another process just now
                each.answer = self._known(each.wanted, known)

    def _known(self, wanted: Wanted, known: Mapping[str, MessageRequest]) -> Taken | Conflict | None:
        """The answer to a request that was made before."""
        request = known.get(wanted.request_id)
        if request is None:
            return None
        if request.content_hash != wanted.content_hash:
            return _another()
        ids = tuple(each.message_id for each in _messages(self._store, request))
        return Taken(request.request_id, ids, is_new=False)

    def _no_such(self, name: str) -> str:
        near = nearest(name, self.contracts())
        hint = f"; did you mean '{near}'?" if near else ""
        return f"no journey {shown(name)} takes requests{hint}"

    def _contract(self, versions: Versions) -> tuple[str, EventType] | None:
        journey = versions.current.journey
        return contract_of(journey, self._types()) if is_transactional(journey, self._policies()) else None

    def _version(self, journey: str, number: int) -> Versions:
        """Only the one that people enter on; it never changes."""
        key = (journey, number)
        if key not in self._versions:
            self._versions[key] = Versions(number, self._store.journeys.versions(journey, [number]))
        return self._versions[key]


@dataclass(frozen=True, slots=True)
class RequestedMessage:
    """One message of a request, as the account and the ledger have it."""

    message_id: str
    step: str
    channel: str
    state: str
    """``queued``, ``sent`` or ``not_sent``."""
    reason: str | None
    """The one why it is not sent."""
    receipt: str | None
    """The provider's id of a message that is sent, where it gives one."""
    settled_at: datetime | None


@dataclass(frozen=True, slots=True)
class RequestStanding:
    """What has become of a request. ``state``: ``sent`` once one of its messages is, ``queued`` while one may
    still be, else ``not_sent``."""

    request_id: str
    given_id: str
    journey: str
    state: str
    requested_at: datetime
    ended: str | None
    """Why the person has left the journey; None while they are inside, and when that was forgotten."""
    messages: tuple[RequestedMessage, ...] = field(default=())


def request_standing(store: Store, caller: str, some_id: str) -> RequestStanding | None:
    """What has become of a request of this caller's, by the id that they gave it, by its own or by that of
    one of its messages; None when there is none."""
    given = request_id(caller, some_id)
    known = store.message_requests.of([some_id, given])
    of_caller = (each for each in map(known.get, (some_id, given)) if each and each.caller == caller)
    request = next(of_caller, None)
    if request is None:
        message = store.journey_messages.get(some_id)
        key = message.instance_key if message else ""
        request = store.message_requests.of([key]).get(key)
    if request is None or request.caller != caller:
        return None
    # The position first: who has left by then has no message that is still to come.
    position = _position(store, request)
    messages = _messages(store, request)
    lines = store.ledger.lines([each.message_id for each in messages]) if messages else {}
    told = tuple(_told(each, lines.get(each.message_id)) for each in messages)
    states = {each.state for each in told}
    is_inside = position is not None and position.step is not None
    state = SENT if SENT in states else QUEUED if is_inside or QUEUED in states else NOT_SENT
    return RequestStanding(
        request_id=request.request_id,
        given_id=request.given_id,
        journey=request.journey,
        state=state,
        requested_at=request.requested_at,
        ended=position.end_reason if position else None,
        messages=told,
    )


def _position(store: Store, request: MessageRequest) -> Position | None:
    found = store.journey_positions.of(request.journey, [request.profile_id])
    return next((each for each in found if each.instance_key == request.request_id), None)


def _messages(store: Store, request: MessageRequest) -> list[JourneyMessage]:
    """Those of this request, and not of one by the same id that retention has forgotten."""
    found = store.journey_messages.of_instance(request.journey, request.profile_id, request.request_id)
    return [each for each in found if each.reached_at >= request.requested_at]


def _told(message: JourneyMessage, line: LedgerLine | None) -> RequestedMessage:
    """The journey's account is copied from the ledger a moment later; what is settled there counts now."""
    state, reason, settled_at = QUEUED, None, None
    if message.outcome is not None:
        state = NOT_SENT if message.outcome == NOT_SENT else SENT
        reason, settled_at = message.reason, message.settled_at
    elif line is not None and line.state is MessageState.ACCEPTED:
        state, settled_at = SENT, line.settled_at
    elif line is not None and line.state in _SETTLED:
        state, reason, settled_at = NOT_SENT, line.reason, line.settled_at
    receipt = line.provider_id if line is not None and state == SENT else None
    return RequestedMessage(
        message.message_id, message.step, message.channel, state, reason, receipt, settled_at
    )


def _taken(request: MessageRequest, entry: Advance) -> Taken:
    return Taken(request.request_id, tuple(each.message_id for each in entry.messages), is_new=True)


def _unfit(wanted: Wanted, contract: tuple[str, EventType]) -> Unfit | None:
    found = [(f"data.{key}", wrong) for key, wrong in data_problems(*contract, wanted.data)]
    return Unfit(tuple(found)) if found else None


def _another() -> Conflict:
    return Conflict("this id was given to another message; the same id stands for the same content")
