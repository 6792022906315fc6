"""The one file of plugins/ that Airflow imports: puts the *Campaigns* and *Journeys* pages into Airflow's UI.

Every Airflow process loads it, task processes included, so the pages themselves are imported only
where they are served.
"""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin


class KundresaPlugin(AirflowPlugin):
    """The account of every run, where the people of journeys are, and the Data Docs, under ``/kundresa``."""

    name = "kundresa"
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Campaigns",
            "href": "kundresa/runs",
            "destination": "nav",
            "url_route": "kundresa",
        },
        {
            "name": "Journeys",
            "href": "kundresa/journeys",
            "destination": "nav",
            "url_route": "kundresa_journeys",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        from kundresa.orchestration.pages.app import build_app

        return [{"app": build_app(), "url_prefix": "/kundresa", "name": "Kundresa campaigns"}]
