"""``POST /webhooks/{name}``: providers' reports and people's replies, believed by their signature alone."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundresa.feedback.webhooks import (
    Call,
    NotBelieved,
    NotNamed,
    NotNow,
    NotUnderstood,
    Told,
    Webhook,
)
from kundresa.public.refusals import RETRY_AFTER_SECONDS, Refused, read_body
from kundresa.public.service import Service
from kundresa.runs.feedback import record_reports
from kundresa.runs.replies import record_replies
from kundresa.runs.reported_messages import leaving_over
from kundresa.runs.suppression_changes import follow_changes

MOST_BYTES = 1_000_000
BODY_SECONDS = 20.0


class Webhooks:
    """Answers ``POST /webhooks/{name}`` with 200 when what it says is durable: how much is ``recorded``, now
    or when it was told before, and how much ``skipped``: of another kind, or about a message that is not
    ours. A provider that wants another answer gets that."""

    def __init__(
        self, service: Service, webhooks: Mapping[str, Webhook], accounts: Mapping[str, str]
    ) -> None:
        """
        Args:
            accounts: by the names of webhooks, where it is known, over which account the messages leave that
                they tell of.
        """
        self._service = service
        self._webhooks = webhooks
        self._is_of = {name: leaving_over(service.store, account) for name, account in accounts.items()}

    def routes(self) -> list[Route]:
        return [Route("/webhooks/{name}", self._take, methods=["POST"])]

    async def _take(self, request: Request) -> Response:
        name = request.path_params["name"]
        webhook = self._webhooks.get(name)
        if webhook is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such webhook")
        body = await read_body(request, most=MOST_BYTES, seconds=BODY_SECONDS)
        now = self._service.clock()
        query = f"?{request.url.query}" if request.url.query else ""
        call = Call(
            url=f"{self._service.settings.public_url}/webhooks/{name}{query}",
            headers=dict(request.headers),
            body=body,
            at=now,
        )
        # On a thread: a signature takes its time, and one kind may have to fetch a certificate first.
        told = await run_in_threadpool(_read, webhook, call)
        place = (self._service.settings, self._service.store, self._service.policies, name)
        # A no first: it is what must not wait.
        await run_in_threadpool(record_replies, *place, told.replies, now)
        done = await run_in_threadpool(
            record_reports, *place, told.reports, now, is_of_account=self._is_of.get(name)
        )
        followed = await run_in_threadpool(follow_changes, *place[:2], name, told.changes, now)
        if told.answer is not None:
            return Response(told.answer, media_type="text/xml")
        recorded = len(told.replies) + len(told.reports) - len(done.left_out) + followed
        skipped = told.skipped + len(done.left_out) + len(told.changes) - followed
        return JSONResponse({"recorded": recorded, "skipped": skipped})


def _read(webhook: Webhook, call: Call) -> Told:
    """
    Raises:
        Refused: with what makes the provider come again, or not: 401 where a person may have set a password
            wrong, 503 where it was not the report's fault.
    """
    try:
        return webhook.read(call)
    except NotNamed as error:
        named = {"WWW-Authenticate": 'Basic realm="webhooks"'}
        raise Refused(HTTPStatus.UNAUTHORIZED, str(error), named) from None
    except NotBelieved as error:
        raise Refused(HTTPStatus.FORBIDDEN, str(error)) from None
    except NotUnderstood as error:
        raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from None
    except NotNow as error:
        again = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error), again) from None
