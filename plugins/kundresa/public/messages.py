"""``POST /messages``: a message to one person, asked for by name; ``GET /messages/{id}``: what became of it.

What may be asked for is a journey that is running and writes about nothing that needs consent; with what, its
entry event says in ``dags/events.yaml``. ``recipient`` is a namespace, a colon and an identifier. An email
address or a telephone number is where the message goes, whether a profile has it or not; by any other
namespace a profile is found, and the message goes where that one is published.

| answer | when |
|---|---|
| 202 | it is durable, and on its way |
| 200 | it was asked for before, by the same caller under the same id |
| 409 | the id stands for another message, or the journey does not run now |
| 422 | something is wrong with it: a line for each field |
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundresa.public.group_commit import GroupCommit
from kundresa.public.keys import Keys, Scope
from kundresa.public.refusals import PROBLEM_TYPE, Refused, content_type, echoed, read_body, read_json
from kundresa.public.service import Service
from kundresa.runs.message_requests import Conflict, Pending, Taken, Unfit, Wanted, request_standing
from kundresa.spec.addresses import normalised_identifier
from kundresa.spec.problems import alternatives, nearest, shown
from kundresa.warehouse import NothingPublished

MOST_BYTES = 100_000
MOST_DATA = 50_000
"""Characters of the data as JSON."""
MOST_TEXT = {"id": 200, "journey": 63, "recipient": 400}
"""Characters of the other fields."""
MOST_ID = 200
"""Characters of an id that is asked for; ours are shorter."""
MOST_REPORTED = 100
"""Fields that are told one by one."""
MOST_TOLD = 3
"""Of these, those that the one line of the answer repeats."""
MOST_NAME = 100
"""Characters that are told of a field's name."""
BODY_SECONDS = 20.0
FIELDS = ("id", "journey", "recipient", "data")
JSON = "application/json"


class Messages:
    """Answers ``POST /messages`` and ``GET /messages/{id}``."""

    def __init__(self, service: Service, keys: Keys, desk: GroupCommit[Pending]) -> None:
        self._service = service
        self._keys = keys
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route("/messages", self._take, methods=["POST"]),
            Route("/messages/{id}", self._standing, methods=["GET"]),
        ]

    async def _take(self, request: Request) -> Response:
        caller = self._keys.require(request, Scope.MESSAGES)
        if content_type(request) != JSON:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"this takes {JSON}, in UTF-8")
        body = read_json(await read_body(request, most=MOST_BYTES, seconds=BODY_SECONDS))
        if not isinstance(body, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, "the body is no JSON object")
        problems = list(_problems(body, self._service.event_types.namespaces))
        if problems:
            return _unfit(problems)
        pending = Pending(_wanted(body, caller.name))
        try:
            await self._desk.submit([pending])
            if pending.error is not None:
                raise pending.error
        except NothingPublished:
            raise Refused(
                HTTPStatus.SERVICE_UNAVAILABLE, "nothing is published yet", {"Retry-After": "60"}
            ) from None
        return _answer(pending)

    async def _standing(self, request: Request) -> Response:
        caller = self._keys.require(request, Scope.MESSAGES)
        some_id = request.path_params["id"]
        found = None
        if some_id.isprintable() and len(some_id) <= MOST_ID:
            found = await run_in_threadpool(request_standing, self._service.store, caller.name, some_id)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "this caller has asked for no such message")
        told = asdict(found)
        told = {"request_id": told.pop("request_id"), "id": told.pop("given_id"), **told}
        return JSONResponse(_plain(told), headers={"Cache-Control": "no-store"})


def _problems(body: Mapping[str, Any], namespaces: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What is wrong with a request whatever is installed: field and why."""
    for name in body:
        if name not in FIELDS:
            near = nearest(name, FIELDS)
            hint = f"; did you mean '{near}'?" if near else ""
            yield name, f"unknown field {shown(name)}{hint}"
    for name, longest in MOST_TEXT.items():
        value = body.get(name)
        if value is None:
            yield name, f"{name} is required"
        elif not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            yield name, f"{name}: expected a text of 1 to {longest} printable characters"
        elif name == "recipient" and (wrong := _wrong_recipient(value, namespaces)):
            yield name, f"recipient: {wrong}"
    data = body.get("data", {})
    if not isinstance(data, dict):
        yield "data", "data: expected an object"
    elif len(json.dumps(data, separators=(",", ":"))) > MOST_DATA:
        yield "data", f"data: more than {MOST_DATA:,} characters"


def _wrong_recipient(text: str, namespaces: tuple[str, ...]) -> str | None:
    namespace, colon, identifier = text.partition(":")
    if not colon or not identifier.strip():
        return "expected a namespace and an identifier: 'email:anna@example.com'"
    if namespace not in namespaces:
        near = nearest(namespace, namespaces)
        hint = f"; did you mean '{near}'?" if near else f"; there are {alternatives(namespaces)}"
        return f"unknown namespace {shown(namespace)}{hint}"
    try:
        normalised_identifier(identifier, namespace)
    except ValueError as error:
        return str(error)
    return None


def _wanted(body: Mapping[str, Any], caller: str) -> Wanted:
    namespace, _, identifier = body["recipient"].partition(":")
    return Wanted(
        caller=caller,
        given_id=body["id"],
        journey=body["journey"],
        namespace=namespace,
        identifier=normalised_identifier(identifier, namespace),
        data=body.get("data", {}),
    )


def _answer(pending: Pending) -> Response:
    match pending.answer:
        case Taken() as taken:
            status = HTTPStatus.ACCEPTED if taken.is_new else HTTPStatus.OK
            told = {
                "request_id": taken.request_id,
                "id": pending.wanted.given_id,
                "message_ids": list(taken.message_ids),
            }
            return JSONResponse(told, status.value, {"Location": f"/messages/{taken.request_id}"})
        case Unfit() as unfit:
            return _unfit(unfit.problems)
        case Conflict() as conflict:
            raise Refused(HTTPStatus.CONFLICT, conflict.detail)
        case None:
            raise AssertionError("a request was written and not answered")


def _unfit(problems: Sequence[tuple[str, str]]) -> Response:
    """Problem details (RFC 9457) with a line for each field."""
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    errors = [{"field": echoed(name, MOST_NAME), "detail": wrong} for name, wrong in problems[:MOST_REPORTED]]
    detail = "; ".join(wrong for _, wrong in problems[:MOST_TOLD])
    problem = {"title": status.phrase, "status": status.value, "detail": detail, "errors": errors}
    return JSONResponse(problem, status.value, media_type=PROBLEM_TYPE)


def _plain(value: Any) -> Any:
    """Instants in ISO 8601."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
