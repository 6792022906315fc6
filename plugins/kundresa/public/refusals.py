"""What the service says when it does not do what it was asked: a page for people, problem details (RFC
9457) for programs, and never a stack trace."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from kundresa.public.languages import choose_language
from kundresa.public.pages import page
from kundresa.store import StoreError

log = logging.getLogger(__name__)

PROBLEM_TYPE = "application/problem+json"
PAGES = ("/u/", "/p/", "/m/", "/c/")
RETRY_AFTER_SECONDS = 5


class Refused(HTTPException):
    """A request that is not carried out; nothing of it was written."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status.value, detail, dict(headers or {}))


async def read_body(request: Request, *, most: int, seconds: float) -> bytes:
    """The request's body.

    Raises:
        Refused: when it is larger than ``most`` bytes, compressed, or not there after ``seconds``.
    """
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a compressed body is not taken")
    too_large = Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {most:,} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > most:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > most:
                    raise too_large
                chunks.append(chunk)
    except TimeoutError:
        raise Refused(
            HTTPStatus.REQUEST_TIMEOUT, f"the body was not there after {seconds:g} s", {"Connection": "close"}
        ) from None
    return b"".join(chunks)


def parse_json(text: bytes) -> Any:
    """The value of a JSON text (RFC 8259).

    Raises:
        ValueError: when it is none, or nested beyond reason.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json(body: bytes) -> Any:
    """The value of a body that is one JSON text.

    Raises:
        Refused: when it is none.
    """
    try:
        return parse_json(body)
    except ValueError:
        raise Refused(HTTPStatus.BAD_REQUEST, "the body is not JSON in UTF-8") from None


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")  # RFC 8259 section 6


def echoed(text: str, most: int) -> str:
    """What a caller has sent, at most ``most`` characters of it, in a form that every answer can hold: JSON
    may name half of a surrogate pair, and UTF-8 cannot."""
    return text[:most].encode("utf-8", "backslashreplace").decode()


def content_type(request: Request) -> str:
    """The media type in lower case, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def tell(request: Request, error: Exception) -> Response:
    """The answer to a refusal, an error of the store's, or a defect of ours."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=HTTPStatus.BAD_REQUEST.value)
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        status, detail = HTTPStatus(error.status_code), str(error.detail)
        headers = dict(error.headers or {})
    elif isinstance(error, StoreError):
        log.error("the store did not answer: %s", error)
        status, detail = HTTPStatus.SERVICE_UNAVAILABLE, "it cannot be recorded now; try again"
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    else:
        log.error("%s %s failed", request.method, request.url.path.partition("/")[0], exc_info=error)
        status, detail = HTTPStatus.INTERNAL_SERVER_ERROR, "this is a defect; it was logged"
    if request.url.path.startswith(PAGES):
        language = choose_language(None, request.headers.get("accept-language", ""))
        return page(
            "refused.html", language, status=status, headers=headers, code=status.value, heading=status.phrase
        )
    problem = {"title": status.phrase, "status": status.value, "detail": detail}
    return JSONResponse(problem, status.value, headers, PROBLEM_TYPE)
