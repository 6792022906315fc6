"""When to stop knocking at a server that does not answer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

FAILURES = 3
"""Failures in a row until the server counts as down."""
PAUSES = (0.2, 1.0)
"""Seconds to wait after the first and the second of them."""
DOWN_FOR = timedelta(seconds=60)
"""Then nothing is tried for so long, and messages are deferred at once: without it, every message of a
batch would wait for its own timeout."""


class Outage:
    """Counts failures in a row of one connection, and says when the next try may be."""

    def __init__(self, clock: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self._clock = clock
        self._sleep = sleep
        self._failures = 0
        self._down_until: datetime | None = None
        self.detail = ""
        """What failed last, for receipts."""

    def failed(self, detail: str) -> None:
        """A try has failed; ``detail`` is already clean."""
        self.detail = detail
        self._failures += 1
        if self._failures >= FAILURES:
            self._down_until = self._clock() + DOWN_FOR

    def over(self) -> None:
        """The server has answered."""
        self._failures = 0
        self._down_until = None

    def may_try(self) -> bool:
        """Whether to try now; waits first when the last try has just failed."""
        if self._down_until is not None:
            if self._clock() < self._down_until:
                return False
            # One try decides whether it is still down.
            self._down_until = None
            self._failures = FAILURES - 1
            return True
        if self._failures:
            self._sleep(PAUSES[min(self._failures, len(PAUSES)) - 1])
        return True

    def retry_at(self) -> datetime:
        """When a message deferred now may be tried again."""
        return self._down_until or self._clock() + DOWN_FOR
