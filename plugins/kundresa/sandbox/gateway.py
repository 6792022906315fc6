"""The HTTP gateway for text messages, in the shape of Twilio's Messages resource."""

from __future__ import annotations

import itertools
import re
import uuid
from collections.abc import Callable
from datetime import datetime
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from kundresa.sandbox.faults import Faults
from kundresa.sandbox.store import Arrival, Recorder

PATH = "/2010-04-01/Accounts/{account}/Messages.json"
MAX_BODY = 64_000
"""Octets of a request; the longest text message has under 7,000."""

_E164 = re.compile(r"\+[1-9]\d{6,14}\Z")


class Gateway:
    """Takes every text message and stores it."""

    def __init__(self, recorder: Recorder, clock: Callable[[], datetime], faults: Faults) -> None:
        self._recorder = recorder
        self._clock = clock
        self._faults = faults
        self._requests = itertools.count(1)

    def routes(self) -> list[Route]:
        return [Route(PATH, self._post, methods=["POST"])]

    async def _post(self, request: Request) -> JSONResponse:
        if self._faults.http_every and next(self._requests) % self._faults.http_every == 0:
            return self._fault()
        form = await _form(request)
        problem = _problem(form)
        if problem:
            return _error(400, *problem)
        sid = f"SM{uuid.uuid4().hex}"
        await self._recorder.record(
            Arrival(
                channel="sms",
                run_key=request.headers.get("X-Kundresa-Run", ""),
                message_id=request.headers.get("Idempotency-Key", ""),
                provider_id=sid,
                sender=form["From"],
                recipient=form["To"],
                subject="",
                body=form["Body"].encode(),
                received_at=self._clock().isoformat(),
            )
        )
        answer = {
            "sid": sid,
            "account_sid": request.path_params["account"],
            "to": form["To"],
            "from": form["From"],
            "body": form["Body"],
            "status": "queued",
            "direction": "outbound-api",
            "error_code": None,
            "error_message": None,
        }
        return JSONResponse(answer, status_code=201)

    def _fault(self) -> JSONResponse:
        response = _error(self._faults.http_status, 20000, "The sandbox was told to fail")
        if self._faults.http_retry_after:
            response.headers["Retry-After"] = self._faults.http_retry_after
        return response


async def _form(request: Request) -> dict[str, str]:
    """The fields of an urlencoded body; empty when it is too long or not UTF-8."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return {}
    try:
        return dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body)))
    except ValueError:
        return {}


def _problem(form: dict[str, str]) -> tuple[int, str] | None:
    if not form.get("Body"):
        return 21602, "Message body is required."
    if not form.get("From"):
        return 21603, "A 'From' phone number is required."
    if not _E164.match(form.get("To", "")):
        return 21211, "Invalid 'To' phone number."
    return None


def _error(status: int, code: int, message: str) -> JSONResponse:
    return JSONResponse({"status": status, "code": code, "message": message}, status_code=status)
