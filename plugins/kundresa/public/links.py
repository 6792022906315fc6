"""The links in messages: open image (``/o``), counted links (``/c``), and the message as a page (``/m``)."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kundresa.content import RenderError, TokenError
from kundresa.feedback import RawHit
from kundresa.public.group_commit import GroupCommit
from kundresa.public.languages import choose_language
from kundresa.public.pages import page
from kundresa.public.refusals import Refused
from kundresa.public.service import Service
from kundresa.runs.mirror import MessageGone, render_mirror
from kundresa.spec.vocabulary import FeedbackKind
from kundresa.store import StoreError

log = logging.getLogger(__name__)

Read = TypeVar("Read")
HONEYPOT_LINK = 0
"""The number of a link that no person sees; those of a template count from 1."""

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""One transparent pixel."""
RECORD_SECONDS = 2.0
"""How long a person waits for their page because a click is being recorded; the redirect goes first then."""
NOT_KEPT = {
    "Cache-Control": "no-store",
    "X-Robots-Tag": "noindex, nofollow",
    "Referrer-Policy": "no-referrer",
}
MIRROR_HEADERS = {
    **NOT_KEPT,
    # A message's own HTML: no script, no form, no origin; images and links as in the mail.
    "Content-Security-Policy": (
        "sandbox allow-popups allow-top-navigation-by-user-activation; default-src 'none'; "
        "style-src 'unsafe-inline'; img-src https: http: data:; font-src https:; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


class MessageLinks:
    """Answers ``/o/{token}``, ``/c/{token}`` and ``/m/{token}``."""

    def __init__(self, service: Service, hits: GroupCommit[RawHit]) -> None:
        self._service = service
        self._hits = hits

    def routes(self) -> list[Route]:
        return [
            Route("/o/{token}", self._open, methods=["GET"]),
            Route("/c/{token}", self._click, methods=["GET"]),
            Route("/m/{token}", self._mirror, methods=["GET"]),
        ]

    async def _open(self, request: Request) -> Response:
        message_id = _signed(self._service.links.read_open, request)
        await self._record(self._hit(request, FeedbackKind.OPENED, message_id))
        return Response(PIXEL, media_type="image/gif", headers=NOT_KEPT)

    async def _click(self, request: Request) -> Response:
        """Leads only to where a signed link says: a link that could be pointed elsewhere would lend the
        brand's name to anybody (CWE-601)."""
        click = _signed(self._service.links.read_click, request)
        if not click.target.startswith(("https://", "http://")):
            raise Refused(HTTPStatus.NOT_FOUND, "this link is not valid")
        hit = self._hit(
            request,
            FeedbackKind.CLICKED,
            click.message_id,
            target=click.target,
            is_honeypot=click.link == HONEYPOT_LINK,
        )
        await self._record(hit)
        return RedirectResponse(click.target, HTTPStatus.FOUND.value, NOT_KEPT)

    async def _mirror(self, request: Request) -> Response:
        message_id = _signed(self._service.links.read_mirror, request)
        return await run_in_threadpool(self._mirrored, request, message_id)

    def _mirrored(self, request: Request, message_id: str) -> Response:
        try:
            email = render_mirror(self._service.settings, self._service.store, message_id)
            return Response(email.html, media_type="text/html", headers=MIRROR_HEADERS)
        except MessageGone as error:
            log.info("no page: %s", error)
        except RenderError as error:
            log.warning("the mirror of message %s: %s", message_id, error)
        line = self._service.store.ledger.lines([message_id]).get(message_id)
        person = self._service.people.person(line.profile_id) if line else None
        accepted = request.headers.get("accept-language", "")
        language = choose_language(person.language if person else None, accepted)
        return page("gone.html", language, brand=self._service.settings.public_name, status=HTTPStatus.GONE)

    def _hit(
        self,
        request: Request,
        kind: FeedbackKind,
        message_id: str,
        *,
        target: str | None = None,
        is_honeypot: bool = False,
    ) -> RawHit:
        agent = request.headers.get("user-agent", "")[:500]
        return RawHit(
            kind=kind,
            message_id=message_id,
            method=request.method,
            user_agent="".join(each for each in agent if each.isprintable()),
            at=self._service.clock(),
            target=target,
            is_honeypot=is_honeypot,
        )

    async def _record(self, hit: RawHit) -> None:
        """The person comes first: a store that does not answer, or is slow, costs the hit and is logged,
        and the page opens all the same."""
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                await self._hits.submit([hit])
        except TimeoutError:
            log.warning("a hit is recorded later than it was answered: the store is slow")
        except (StoreError, Refused) as error:
            log.error("a hit was not recorded: %s", error)


def _signed(read: Callable[[str], Read], request: Request) -> Read:
    try:
        return read(request.path_params["token"])
    except TokenError as error:
        raise Refused(HTTPStatus.NOT_FOUND, str(error)) from None
