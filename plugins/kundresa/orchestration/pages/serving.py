"""What all pages share: templates, the policy that they are served under, and who may see what."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'self'"
)
"""Neither our pages nor the Data Docs need a script; so one that got into a value cannot run in Airflow's
origin."""


def _names(words: str) -> Markup:
    """What stands between backticks as code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(words))))  # noqa: S704  escaped before


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["names"] = _names


def page(template: str, status_code: int = 200, **values: Any) -> HTMLResponse:
    """A template as an answer."""
    text = _TEMPLATES.get_template(template).render(**values)
    return HTMLResponse(text, status_code, headers={"Content-Security-Policy": PAGE_POLICY})


def permitted(names: Collection[str], user: Any, *, prefix: str = "") -> set[str]:
    """Those whose DAG, ``<prefix><name>``, the user may read."""
    by_dag = {f"{prefix}{name}": name for name in names}
    allowed = get_auth_manager().filter_authorized_dag_ids(dag_ids=set(by_dag), user=user)
    return {by_dag[dag_id] for dag_id in allowed}
