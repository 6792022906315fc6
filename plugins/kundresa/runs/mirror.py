"""The mirror page: a message written again, from what its run froze."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from kundresa import warehouse
from kundresa.content import Links, Renderer, compile_templates
from kundresa.runs.messages import find_message
from kundresa.runs.seeds import SEED_BATCH, seed_rows
from kundresa.settings import Settings
from kundresa.spec.frozen import thaw
from kundresa.spec.messages import EmailContent
from kundresa.spec.vocabulary import Trigger
from kundresa.store import LedgerLine, Run, Store


class MessageGone(Exception):
    """The message was never sent, or what it was written from is no longer kept."""


def render_mirror(settings: Settings, store: Store, message_id: str) -> EmailContent:
    """An email as it was sent: same row, same templates, same message.

    Args:
        message_id: as :meth:`Links.read_mirror` reads it from the signed link; never as somebody asked.

    Raises:
        MessageGone: when there is nothing (any more) to write the message from.
        RenderError: when it cannot be written; nothing of the profile is in it.
        SettingsError: when no signing secret is set.
    """
    line = store.ledger.lines([message_id]).get(message_id)
    if line is None:
        raise MessageGone(f"message {message_id} was never sent")
    run = store.runs.require(line.run_key)
    try:
        row = _row(settings, store, run, line)
    except (KeyError, warehouse.RunNotPublished):
        row = None
    if row is None:
        raise MessageGone(f"message {message_id} is no longer kept")
    links = Links.from_settings(settings)
    logical_at = "" if run.trigger is Trigger.JOURNEY else run.logical_at.isoformat()
    content = _renderer(run.spec_json, links, logical_at).render(row)
    if not isinstance(content, EmailContent):
        raise MessageGone(f"message {message_id} is no email")
    return content


def _row(settings: Settings, store: Store, run: Run, line: LedgerLine) -> Mapping[str, Any] | None:
    """What the message was written from; None when it is not there."""
    if run.trigger is Trigger.JOURNEY:
        return find_message(settings, store, line.message_id)
    if line.batch_number != SEED_BATCH:
        row = warehouse.read_message(settings, line.run_key, line.channel, line.batch_number, line.message_id)
        # As it was written, which a champion may have made another than was decided.
        return row if row is None else {**row, "variant": line.variant}
    seeds = seed_rows(settings, thaw(run.spec_json)[0], line.run_key, line.channel)
    return next((each for each in seeds if each["message_id"] == line.message_id), None)


@lru_cache(maxsize=32)
def _renderer(spec_json: str, links: Links, logical_at: str) -> Renderer:
    """Compiled once for the many who look at one run's messages; a few megabytes each."""
    spec, templates = thaw(spec_json)
    return compile_templates(
        spec, templates, links=links, logical_at=datetime.fromisoformat(logical_at) if logical_at else None
    )
