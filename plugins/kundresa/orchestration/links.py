"""Buttons on tasks in Airflow's UI that lead to our pages."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperatorLink, conf


def page_url(path: str) -> str:
    """The address of one of our pages in this Airflow's UI; ``path`` is below ``/kundresa``."""
    base = (conf.get("api", "base_url", fallback="") or "").rstrip("/")
    return f"{base}/kundresa/{path.lstrip('/')}"


class DataDocsLink(BaseOperatorLink):
    """To the validation results of this very check."""

    name = "Data Docs"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        """Airflow asks in the task's process after it ran, when the operator knows its page."""
        return page_url(f"data_docs/{operator.data_docs_page}")


class AccountLink(BaseOperatorLink):
    """To the account of this run."""

    name = "Account"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        return page_url(f"runs/{operator.reported_run_key}")


class JourneyLink(BaseOperatorLink):
    """To where the people of this journey are, and what became of its messages."""

    name = "Journey"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:  # noqa: ARG002
        return page_url(f"journeys/{operator.journey}")
