"""The policies and event types that hold now: the files in ``dags/``, read again when they have changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from kundresa.settings import Settings
from kundresa.spec.events import EVENTS_FILE, EventTypes, load_event_types
from kundresa.spec.policies import POLICIES_FILE, Policies, load_policies
from kundresa.spec.problems import SpecError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks at a file. A change is taken when two in a row see the same."""

Read = TypeVar("Read")
_Mark = tuple[int, int, int] | None
"""Of one state of a file: when it was written, its length, its number; None when it is not there."""


class Rules:
    """What holds for the service. For any number of threads."""

    def __init__(self, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            SpecError: when the policies or the event types cannot be read.
        """
        dags, root = settings.project / "dags", settings.project
        self._policies = _Watched(
            dags / POLICIES_FILE, lambda: load_policies(dags, relative_to=root), monotonic
        )
        self._event_types = _Watched(
            dags / EVENTS_FILE, lambda: load_event_types(dags, relative_to=root), monotonic
        )

    @property
    def policies(self) -> Policies:
        """Those of the file, or the last that could be read."""
        return self._policies.current()

    @property
    def event_types(self) -> EventTypes:
        """Those of the file, or the last that could be read."""
        return self._event_types.current()


class _Watched(Generic[Read]):
    """What one file says. When it is gone, or changed to something that cannot be read, what it said before
    goes on to hold, and the log says why."""

    def __init__(self, file: Path, read: Callable[[], Read], monotonic: Callable[[], float]) -> None:
        self._file = file
        self._read = read
        self._monotonic = monotonic
        # The mark first: what is written between the two is read at the next look.
        self._mark = self._seen = self._look()
        self._value = read()
        self._looked_at = monotonic()

    def current(self) -> Read:
        now = self._monotonic()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            mark = self._look()
            is_settled, self._seen = mark == self._seen, mark
            # What is being written has another mark at the next look.
            if mark != self._mark and is_settled:
                self._take(mark)
        return self._value

    def _take(self, mark: _Mark) -> None:
        self._mark = mark
        if mark is None:
            log.error("%s is gone; what it said goes on to hold", self._file.name)
            return
        try:
            self._value = self._read()
        except SpecError as error:
            log.error("what it said before goes on to hold: %s", error)
        else:
            log.warning("%s has changed and holds from now on", self._file.name)

    def _look(self) -> _Mark:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
