"""What deferred tasks wait for, besides a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

LOOK_SECONDS = 10.0
"""Between two looks at a stopped run. Each is one row by its key; no task is started for it."""


class RunGoesOn(BaseTrigger):
    """Fires when a stopped run was resumed or closed, and at ``until``, when its validity is over.

    The triggerer needs the settings of the workers: it asks the operational store.
    """

    def __init__(self, run_key: str, until: datetime) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_key = run_key
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {"run_key": self.run_key, "until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from kundresa import settings as installation
        from kundresa.runs.stopping import waits_to_be_resumed

        settings = installation.load()
        while datetime.now(tz=UTC) < self.until and await asyncio.to_thread(
            waits_to_be_resumed, settings, self.run_key
        ):
            await asyncio.sleep(LOOK_SECONDS)
        yield TriggerEvent(self.run_key)  # type: ignore[no-untyped-call]
