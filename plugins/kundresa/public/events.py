"""``POST /events``: what happened to people and to the business, in batches, durable before the answer.

An event is a CloudEvent (CNCF, version 1.0.2), alone or in an array, one JSON document per line (NDJSON), or
in binary mode (``ce-`` headers). ``specversion`` and ``source`` may be left out. ``subject`` names the
person, ``email:anna@example.com``, by an address in any spelling; an event whose type is ``about: business``
has none. Each is checked by its type's schema in ``dags/events.yaml``.

| answer | when |
|---|---|
| 202 | all are in the inbox |
| 207 | some are, and what is wrong with each of the others is said |
| 422 | none is: the same |

Every event that is refused is named by its ``line``: of NDJSON that of the body, blank ones counted; of an
array its place in it; both from 1. Its ``status`` is 422, or 409 for an id that stands for another event.

One event per id and caller: sending a batch again, after an answer that was lost, changes nothing. What says
something else under an id that is known, in this batch or from before, is refused; the first one stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundresa.public.group_commit import GroupCommit
from kundresa.public.keys import Keys, Scope
from kundresa.public.refusals import Refused, content_type, echoed, parse_json, read_body, read_json
from kundresa.public.service import Service
from kundresa.spec.addresses import normalised_identifier
from kundresa.spec.events import About, EventTypes, parse_instant, problem_with
from kundresa.spec.problems import alternatives, misspelt, nearest, shown
from kundresa.store import Appended, NewEvent, Store

MOST_BYTES = 4_000_000
MOST_EVENTS = 5_000
MOST_DATA = 50_000
"""Characters of one event's data as JSON."""
MOST_ID = 200
"""Characters of an event's id."""
BODY_SECONDS = 20.0
MOST_OF_ID, MOST_OF_DETAIL = 380, 340
"""Octets of JSON in which a refusal repeats an id, and says why: all of them together are no longer than a
body may be."""
FUTURE = timedelta(hours=1)
"""How far ahead a producer's clock may be."""

JSON, NDJSON = "application/json", ("application/x-ndjson", "application/ndjson", "application/jsonl")
CLOUD, CLOUD_BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
ATTRIBUTES = (
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "subject",
    "data",
    "datacontenttype",
    "dataschema",
)
_BROKEN = object()
_ESCAPED = re.compile(r"\\(.)")


_OTHER_CONTENT = (
    "id: it stands for another event, which was told before and stays; this one needs an id of its own"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One event that was not taken: its line (from 1), its id where it has one, and why."""

    line: int
    event_id: str | None
    detail: str
    status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY

    def as_dict(self) -> dict[str, Any]:
        return {
            "line": self.line,
            "id": None if self.event_id is None else _told(self.event_id, MOST_OF_ID),
            "status": self.status.value,
            "detail": _told(self.detail, MOST_OF_DETAIL),
        }


@dataclass(slots=True)
class Arrival:
    """An event that may go into the inbox, and what became of it there."""

    line: int
    event: NewEvent
    appended: Appended | None = None
    """None until it was offered."""


def take_in(store: Store, arrivals: Sequence[Arrival]) -> None:
    """Offer events, of one request or of many, to the inbox; durable when this returns."""
    found = store.inbox.append([each.event for each in arrivals])
    for arrival, appended in zip(arrivals, found, strict=True):
        arrival.appended = appended


class EventIntake:
    """Answers ``POST /events``."""

    def __init__(self, service: Service, keys: Keys, inbox: GroupCommit[Arrival]) -> None:
        self._service = service
        self._keys = keys
        self._inbox = inbox

    def routes(self) -> list[Route]:
        return [Route("/events", self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        caller = self._keys.require(request, Scope.EVENTS)
        kind = content_type(request)
        if kind not in (JSON, CLOUD, CLOUD_BATCH, *NDJSON):
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"this takes {', '.join((JSON, NDJSON[0], CLOUD, CLOUD_BATCH))}, in UTF-8",
            )
        body = await read_body(request, most=MOST_BYTES, seconds=BODY_SECONDS)
        documents = _binary(request, body) if "ce-id" in request.headers else _documents(kind, body)
        arrivals, refused = check_events(
            documents, self._service.event_types, caller=caller.name, now=self._service.clock()
        )
        if arrivals:
            await self._inbox.submit(arrivals)
        return _answer(arrivals, refused)


def _answer(arrivals: Sequence[Arrival], refused: Sequence[Refusal]) -> Response:
    """What became of each event, now that those that could be are in the inbox."""
    conflicting = [
        Refusal(each.line, each.event.event_id, _OTHER_CONTENT, HTTPStatus.CONFLICT)
        for each in arrivals
        if each.appended is Appended.CONFLICTING
    ]
    accepted = len(arrivals) - len(conflicting)
    told = sorted([*refused, *conflicting], key=lambda each: each.line)
    report = {
        "accepted": accepted,
        "known": sum(each.appended is Appended.KNOWN for each in arrivals),
        "refused": len(told),
        "errors": [each.as_dict() for each in told],
    }
    status = HTTPStatus.ACCEPTED
    if told:
        status = HTTPStatus.MULTI_STATUS if accepted else HTTPStatus.UNPROCESSABLE_ENTITY
    return JSONResponse(report, status.value)


def _told(text: str, most: int) -> str:
    """What an answer repeats: as much of it as takes at most ``most`` octets of JSON."""
    told = echoed(text, len(text))
    while len(json.dumps(told, ensure_ascii=False).encode()) > most:
        told = told[: len(told) * 3 // 4]
    return told


def check_events(
    documents: Iterable[tuple[int, object]], types: EventTypes, *, caller: str, now: datetime
) -> tuple[list[Arrival], list[Refusal]]:
    """(those that may go into the inbox, what is wrong with the others), both in order.

    Args:
        documents: each with its line.
    """
    arrivals: list[Arrival] = []
    refused: list[Refusal] = []
    for line, document in documents:
        try:
            arrivals.append(Arrival(line, _event(document, types, caller, now)))
        except ValueError as error:
            given = document.get("id") if isinstance(document, dict) else None
            refused.append(Refusal(line, given[:MOST_ID] if isinstance(given, str) else None, str(error)))
    return arrivals, refused


def _event(document: object, types: EventTypes, caller: str, now: datetime) -> NewEvent:
    """
    Raises:
        ValueError: with what is wrong, in one line.
    """
    if document is _BROKEN:
        raise ValueError("this is not JSON")
    if not isinstance(document, dict):
        raise ValueError("expected an object")
    for name in document:
        if name not in ATTRIBUTES and not _is_extension(name):
            near = misspelt(name, ATTRIBUTES)
            hint = f"; did you mean '{near}'?" if near else ""
            raise ValueError(f"unknown attribute {shown(name)}{hint}")
    if document.get("specversion", "1.0") != "1.0":
        raise ValueError("specversion: this takes CloudEvents 1.0")
    event_type = _text(document, "type", 64)
    data = document.get("data", {})
    if not isinstance(data, dict):
        raise ValueError("data: expected an object")
    wrong = problem_with(types, event_type, data)
    if wrong is not None:
        raise ValueError(wrong)
    data_json = json.dumps(data, separators=(",", ":"), allow_nan=False)
    if len(data_json) > MOST_DATA:
        raise ValueError(f"data: more than {MOST_DATA:,} characters")
    source = _text(document, "source", 200) if "source" in document else ""
    namespace, identifier = _subject(document, types, event_type)
    return NewEvent(
        source=f"{caller}/{source}" if source else caller,
        event_id=_text(document, "id", MOST_ID),
        event_type=event_type,
        namespace=namespace,
        identifier=identifier,
        data_json=data_json,
        occurred_at=_time(document, now),
        received_at=now,
    )


def _is_extension(name: str) -> bool:
    """CloudEvents 3.1: extensions are lower-case letters and digits. Those that look like a slip are none."""
    return name.isascii() and name.isalnum() and name == name.lower() and misspelt(name, ATTRIBUTES) is None


def _text(document: Mapping[str, Any], name: str, longest: int) -> str:
    value = document.get(name)
    if value is None:
        raise ValueError(f"{name} is required")
    if not isinstance(value, str) or not value or len(value) > longest or not value.isprintable():
        raise ValueError(f"{name}: expected a text of 1 to {longest} printable characters")
    return value


def _subject(document: Mapping[str, Any], types: EventTypes, event_type: str) -> tuple[str, str]:
    """Namespace and identifier; both are empty for an event that is about no person."""
    if types.events[event_type].about is About.BUSINESS:
        if document.get("subject") is None:
            return "", ""
        raise ValueError(f"subject: {event_type} is about no person; leave it out")
    namespace, colon, identifier = _text(document, "subject", 400).partition(":")
    if not colon or not identifier.strip():
        raise ValueError("subject: expected a namespace and an identifier: 'email:anna@example.com'")
    if namespace not in types.namespaces:
        near = nearest(namespace, types.namespaces)
        hint = f"; did you mean '{near}'?" if near else f"; there are {alternatives(types.namespaces)}"
        raise ValueError(f"subject: unknown namespace {shown(namespace)}{hint}")
    try:
        return namespace, normalised_identifier(identifier, namespace)
    except ValueError as error:
        raise ValueError(f"subject: {error}") from None


def _time(document: Mapping[str, Any], now: datetime) -> datetime:
    value = document.get("time")
    if value is None:
        return now
    found = parse_instant(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("time: expected an instant with a time zone, for example 2026-11-23T09:00:00Z")
    if found - now > FUTURE:
        raise ValueError("time: this lies in the future")
    return found.astimezone(UTC)


def _documents(kind: str, body: bytes) -> list[tuple[int, object]]:
    """The documents of a body, each with its line or place, from 1.

    Raises:
        Refused: when the body as a whole cannot be read, or holds too many.
    """
    if kind in NDJSON:
        found = [(number, _line(line)) for number, line in enumerate(body.splitlines(), 1) if line.strip()]
    else:
        whole = read_json(body)
        if kind == CLOUD_BATCH and not isinstance(whole, list):
            raise Refused(HTTPStatus.BAD_REQUEST, "a batch is an array")
        found = [*enumerate(whole if isinstance(whole, list) and kind != CLOUD else [whole], 1)]
    if not found:
        raise Refused(HTTPStatus.BAD_REQUEST, "there is no event in it")
    if len(found) > MOST_EVENTS:
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MOST_EVENTS:,} events")
    return found


def _line(text: bytes) -> object:
    try:
        return parse_json(text)
    except ValueError:
        return _BROKEN


def _binary(request: Request, body: bytes) -> list[tuple[int, object]]:
    """CloudEvents' HTTP binding, 3.1: attributes in headers, the body is the data.

    Raises:
        Refused: when the body is no JSON, or a header no UTF-8.
    """
    attributes: dict[str, Any] = dict(_attributes(request))
    data = read_json(body) if body.strip() else {}
    return [(1, attributes | {"data": data})]


def _attributes(request: Request) -> Iterator[tuple[str, str]]:
    for name, value in request.headers.items():
        if name.startswith("ce-"):
            yield name.removeprefix("ce-"), _header_text(name, value)


def _header_text(name: str, value: str) -> str:
    """The HTTP binding, 3.1.3.2: double quotes and the backslashes within are taken off (RFC 7230, 3.2.6),
    then it is percent-decoded once.

    Raises:
        Refused: when what comes out is no UTF-8.
    """
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = _ESCAPED.sub(r"\1", value[1:-1])
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Refused(HTTPStatus.BAD_REQUEST, f"{name}: expected percent-encoded UTF-8") from None
