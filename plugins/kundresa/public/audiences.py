"""``GET /audiences/{namespace}/{id}``: what a decision engine may know of a person, as last published."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kundresa.public.keys import Keys, Scope
from kundresa.public.refusals import Refused
from kundresa.public.service import Service
from kundresa.spec.addresses import normalised_identifier


class Audiences:
    """Answers ``GET /audiences/{namespace}/{identifier}``. Only memberships, and the traits that the dbt
    project marks shareable; no address, no name. An address finds its person in any spelling."""

    def __init__(self, service: Service, keys: Keys) -> None:
        self._service = service
        self._keys = keys

    def routes(self) -> list[Route]:
        return [Route("/audiences/{namespace}/{identifier}", self._person, methods=["GET"])]

    async def _person(self, request: Request) -> Response:
        """On the loop, not on a thread: it is two look-ups by key in a file that is in memory, some 50 µs."""
        self._keys.require(request, Scope.AUDIENCES)
        namespace, identifier = request.path_params["namespace"], request.path_params["identifier"]
        build = self._service.people.build()
        if build is None:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "nothing is published yet", {"Retry-After": "60"})
        try:
            person = self._service.people.find(namespace, normalised_identifier(identifier, namespace))
        except ValueError as error:
            raise Refused(HTTPStatus.NOT_FOUND, f"nobody has this identifier: {error}") from None
        if person is None:
            raise Refused(HTTPStatus.NOT_FOUND, "nobody is published under this identifier")
        return JSONResponse(
            {
                "profile_id": person.profile_id,
                "segments": [dict(each) for each in person.segments],
                "traits": dict(person.traits),
                "build_id": build.build_id,
                "published_at": build.published_at.isoformat(),
            },
            headers={"Cache-Control": "no-store"},
        )
