"""The *Journeys* pages: all journeys, one, and one person's way through it.

They show what ``kundresa journey show`` and ``explain`` do. A person is found by what is posted, so that no
address gets into a log of addresses of pages, and is named by the profile id from then on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs, quote

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Path, Request, status
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from kundresa import settings as installation
from kundresa.orchestration.pages.serving import page, permitted
from kundresa.settings import Settings
from kundresa.spec.fields import NAME_PATTERN
from kundresa.spec.keys import account_key, as_test
from kundresa.spec.vocabulary import JourneySkip

if TYPE_CHECKING:
    from kundresa.runs.journey_reports import JourneyReport

PREFIX = "journey_"
DAYS_SHOWN = 7
MOST_POSTED = 2_000
"""Bytes of a form with one field in it."""
SKIP_WORDS = {
    JourneySkip.PERSON_UNKNOWN: "nobody is published under the identifier of the event",
    JourneySkip.CONDITION: "the condition of the entry does not hold for them",
    JourneySkip.INSIDE_ALREADY: "they are inside already",
    JourneySkip.TOO_SOON: "they were in it before, and may not enter again, or not yet",
    JourneySkip.TOO_LATE: "the event arrived later than the journey's lateness allows, or than its time-out",
    JourneySkip.TOO_MANY_INSTANCES: "they are inside under as many keys as the journey allows",
    JourneySkip.KEY_MISSING: "the event does not say the instance key",
    JourneySkip.KEY_TOO_LONG: "the instance key has more than 200 characters",
    JourneySkip.NOT_IN_TEST: "this is a test, and they are none of the people whom it is for",
    JourneySkip.SET_ASIDE: "an error came of it: they stay where they are, and the log says what",
}

JourneyName = Annotated[str, Path(pattern=rf"{NAME_PATTERN.removesuffix('$')}(-test[1-9][0-9]*)?$")]
"""Of a journey, or of a test of one."""


def add_journey_routes(app: FastAPI) -> None:
    """``/journeys`` and what is below it."""
    app.add_api_route("/journeys", _journeys, response_class=HTMLResponse)
    app.add_api_route("/journeys/{name}", _journey, response_class=HTMLResponse)
    app.add_api_route("/journeys/{name}", _find_person, methods=["POST"], response_class=HTMLResponse)
    app.add_api_route("/journeys/{name}/people/{profile_id:path}", _person, response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class _Day:
    journey: str
    at: datetime

    @property
    def key(self) -> str:
        return account_key(self.journey, self.at)

    @property
    def name(self) -> str:
        return f"{self.at:%a %d %b}"


def _journeys(user: GetUserDep) -> HTMLResponse:
    from kundresa.runs.journey_reports import list_journeys

    lines = list_journeys(installation.load())
    shown = permitted({_own_name(each.journey) for each in lines}, user, prefix=PREFIX)
    now = datetime.now(tz=UTC)
    journeys = [each for each in lines if _own_name(each.journey) in shown]
    return page("journeys.html", journeys=journeys, now=now)


def _own_name(name: str) -> str:
    """The journey; of a test the one that it is of, who may read which may read the test."""
    test = as_test(name)
    return test[0] if test else name


def _journey(name: JourneyName, user: GetUserDep) -> HTMLResponse:
    return _journey_page(_report(installation.load(), name, user))


async def _find_person(name: JourneyName, request: Request, user: GetUserDep) -> Response:
    """Leads to the page of whom the posted text stands for."""
    from starlette.concurrency import run_in_threadpool

    posted = bytearray()
    async for chunk in request.stream():
        posted += chunk
        if len(posted) > MOST_POSTED:
            raise HTTPException(status.HTTP_413_CONTENT_TOO_LARGE, "That is too long to be one person.")
    [text] = parse_qs(bytes(posted).decode(errors="replace")).get("person", [""])[:1]
    return await run_in_threadpool(_lead_to, name, text.strip(), request.scope["root_path"], user)


def _lead_to(name: str, text: str, root_path: str, user: Any) -> Response:
    from kundresa.runs.explained import PersonNotFound, one_person
    from kundresa.warehouse import NothingPublished

    settings = installation.load()
    report = _report(settings, name, user)
    if not text:
        return _journey_page(report, status.HTTP_422_UNPROCESSABLE_CONTENT, problem="Whom do you look for?")
    try:
        profile_id = one_person(settings, text)
    except (PersonNotFound, NothingPublished) as error:
        return _journey_page(report, status.HTTP_404_NOT_FOUND, problem=f"{error}.", asked=text)
    target = f"{root_path}/journeys/{report.journey}/people/{quote(profile_id, safe='')}"
    return RedirectResponse(target, status.HTTP_303_SEE_OTHER)


def _person(name: JourneyName, profile_id: str, user: GetUserDep) -> HTMLResponse:
    from kundresa.runs.explained import PersonNotFound
    from kundresa.runs.journey_reports import explain_journey
    from kundresa.store import JourneyNotFound
    from kundresa.warehouse import NothingPublished

    _require(name, user)
    try:
        told = explain_journey(installation.load(), profile_id, name)
    except JourneyNotFound:
        raise _missing(name) from None
    except (PersonNotFound, NothingPublished) as error:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"{error}.") from None
    return page("journey_person.html", told=told)


def _report(settings: Settings, name: str, user: Any) -> JourneyReport:
    """The report of a journey, or of its test where that is all there is."""
    from kundresa.runs.journey_reports import journey_report
    from kundresa.store import JourneyNotFound, open_store

    _require(name, user)
    try:
        return journey_report(settings, name)
    except JourneyNotFound:
        with open_store(settings.store_url, migrate=False) as store:
            tests = store.journey_tests.under_way(name)
        if not tests:
            raise _missing(name) from None
        return journey_report(settings, tests[0].test)


def _require(name: str, user: Any) -> None:
    if not permitted({_own_name(name)}, user, prefix=PREFIX):
        # The same answer as for one that is not there: that it exists is already something to know.
        raise _missing(name)


def _missing(name: str) -> HTTPException:
    return HTTPException(status.HTTP_404_NOT_FOUND, f"There is no journey {name!r} that was ever started.")


def _journey_page(
    report: JourneyReport, status_code: int = 200, *, problem: str | None = None, asked: str = ""
) -> HTMLResponse:
    now = datetime.now(tz=UTC)
    return page(
        "journey.html",
        status_code,
        report=report,
        numbers=list(dict.fromkeys(each.version for each in report.steps)),
        own_name=_own_name(report.journey),
        skip_words=SKIP_WORDS,
        now=now,
        # A test has no account of a day: nothing of it is counted.
        days=[]
        if as_test(report.journey)
        else [_Day(report.journey, now - timedelta(days=ago)) for ago in range(DAYS_SHOWN)],
        problem=problem,
        asked=asked,
    )
