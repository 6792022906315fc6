"""What deferred tasks and journeys wait for, besides a moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

log = logging.getLogger(__name__)

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


DUE_SECONDS = 1.0
"""Between two looks at a journey: five questions by index. It bounds how soon somebody is moved."""
AGAIN_SECONDS = 30.0
"""What was told is not told again sooner, unless it was done meanwhile: a run is on its way."""


class JourneyDue(BaseEventTrigger):
    """Fires when there is something to do in a journey: an event, somebody who is due, a message.

    It never ends by itself: Airflow keeps one for each journey whose DAG is not paused. A store that does not
    answer is asked again; what keeps it away is in the triggerer's log.
    """

    def __init__(self, journey: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.journey = journey

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.{type(self).__name__}", {"journey": self.journey}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        from kundresa import settings as installation
        from kundresa.runs.journeys import has_work
        from kundresa.store import StoreError

        settings = installation.load()

        async def is_due() -> bool:
            try:
                return await asyncio.to_thread(has_work, settings, self.journey, datetime.now(tz=UTC))
            except StoreError:
                log.exception("%s: the store cannot be asked; it is asked again", self.journey)
                return False

        while True:
            if await is_due():
                yield TriggerEvent(self.journey)  # type: ignore[no-untyped-call]
                waited = 0.0
                while waited < AGAIN_SECONDS and await is_due():
                    await asyncio.sleep(DUE_SECONDS)
                    waited += DUE_SECONDS
            await asyncio.sleep(DUE_SECONDS)
