"""The pages' web application, mounted by Airflow's API server under ``/kundresa``.

Airflow mounts a plugin's application without any of its own checks (apache/airflow#72655), so every
route here is behind Airflow's own: a logged-in user who may see plugins and, for a run or a journey, its
DAG.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from fastapi import Depends, FastAPI, HTTPException, Query, Request, status
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from kundresa import settings as installation
from kundresa.orchestration.pages.accounts import RunPage, load_run, load_runs
from kundresa.orchestration.pages.journeys import add_journey_routes
from kundresa.orchestration.pages.serving import PAGE_POLICY, page, permitted
from kundresa.spec.fields import NAME_PATTERN

RUNS_SHOWN = 200
NO_PAGE = "There is no such page. Data Docs appear with the first check."


def build_app() -> FastAPI:
    """The application. No API documentation of its own: it would be open to everybody."""
    app = FastAPI(
        title="Kundresa",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(requires_access_view(AccessView.PLUGINS))],
    )
    app.add_exception_handler(StarletteHTTPException, _tell_person)
    app.add_api_route("/", _start, include_in_schema=False)
    app.add_api_route("/runs", _runs, response_class=HTMLResponse)
    app.add_api_route("/runs/{run_key}", _run, response_class=HTMLResponse)
    add_journey_routes(app)
    app.add_api_route("/data_docs/{page:path}", _data_docs)
    return app


def _start(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{request.scope['root_path']}/runs")


def _runs(
    user: GetUserDep, campaign: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None
) -> HTMLResponse:
    settings = installation.load()
    runs = load_runs(settings, campaign=campaign, limit=RUNS_SHOWN)
    shown = permitted({run.dag_id for run in runs}, user)
    runs = [run for run in runs if run.dag_id in shown]
    return page("runs.html", runs=runs, campaign=campaign, limit=RUNS_SHOWN)


def _run(run_key: str, user: GetUserDep) -> HTMLResponse:
    run = load_run(installation.load(), run_key)
    if run is None or not permitted({run.dag_id}, user):
        # The same answer for both: that a run exists is already something to know.
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"There is no run {run_key[:200]!r}.")
    return page("run.html", run=run, dag_url=_dag_url(run))


def _data_docs(page: str) -> FileResponse:
    found = resolve_page(installation.load().data_docs, page)
    if found is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, NO_PAGE)
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": PAGE_POLICY}
    return FileResponse(found, headers=headers)


def resolve_page(root: Path, page: str) -> Path | None:
    """The file of a page below ``root``, or None; a folder stands for its ``index.html``.

    Symbolic links and ``..`` are followed before the comparison, so that neither leads out.
    """
    if "\0" in page:
        return None
    base = root.resolve()
    target = (base / page.lstrip("/")).resolve()
    if target.is_dir():
        target = (target / "index.html").resolve()
    return target if target.is_relative_to(base) and target.is_file() else None


def _dag_url(run: RunPage) -> str:
    return f"../../dags/{run.dag_id}"


async def _tell_person(request: Request, error: Exception) -> Response:
    """A refusal as a page; somebody who is not logged in is sent to the login and back."""
    if not isinstance(error, StarletteHTTPException):
        raise error
    if error.status_code == status.HTTP_401_UNAUTHORIZED and request.method == "GET":
        return RedirectResponse(get_auth_manager().get_url_login(next_url=str(request.url)))
    return page("refused.html", error.status_code, message=str(error.detail))
