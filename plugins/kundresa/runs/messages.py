"""One message of a run, long after it was sent: where it went, and what it said."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kundresa import warehouse
from kundresa.content import Links, Renderer, compile_templates
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw
from kundresa.spec.messages import EmailContent
from kundresa.store import Store

COMPILED_RUNS = 16
"""Runs whose templates are kept compiled: a few hundred KB each."""


def find_message(settings: Settings, store: Store, message_id: str) -> Mapping[str, Any] | None:
    """The decision that a message of the ledger came from, with ``profile`` as it was then; None when the
    ledger or the publications do not have it (any more)."""
    line = store.ledger.lines([message_id]).get(message_id)
    if line is None:
        return None
    try:
        return warehouse.read_message(settings, line.run_key, line.channel, line.batch_number, message_id)
    except (warehouse.RunNotPublished, KeyError):
        return None


def render_mirror(settings: Settings, store: Store, message_id: str) -> str | None:
    """The HTML of an email as it was sent; None when it was no email or is not kept any more.

    Raises:
        RenderError: when it cannot be written; nothing of the profile is in it.
    """
    row = find_message(settings, store, message_id)
    if row is None:
        return None
    run = store.runs.require(row["run_key"])
    content = _renderer(run.spec_json, settings.public_url, settings.signing_secret()).render(row)
    return content.html if isinstance(content, EmailContent) else None


@lru_cache(maxsize=COMPILED_RUNS)
def _renderer(spec_json: str, public_url: str, secret: str) -> Renderer:
    spec, templates = thaw(spec_json)
    return compile_templates(spec, templates, links=Links(public_url, secret))
