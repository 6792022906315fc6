"""Writing the pages that recipients see: plain HTML that works without a script."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse

from kundresa.public.languages import CATALOGUE

HEADERS = {
    # No script, nothing from elsewhere, no frame of somebody else's around a button.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
        "base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
    "Cache-Control": "no-store",
}

_environment = Environment(
    loader=PackageLoader("kundresa.public"),
    autoescape=select_autoescape(default=True),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(
    template: str,
    language: str,
    *,
    brand: str = "",
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """A page in a language of the catalogue."""
    texts = CATALOGUE[language]

    def say(key: str, **parts: str) -> str:
        return texts[key].format(**parts)

    html = _environment.get_template(template).render(say=say, language=language, brand=brand, **values)
    return HTMLResponse(html, status.value, {**HEADERS, **(headers or {})})
