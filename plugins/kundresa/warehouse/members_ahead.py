"""Members of a segment that were read before they are asked for.

Whoever lets a large audience in asks for the next ten thousand, again and again; each reading puts the whole
segment in order. Of a million people that is a hundred readings, or ten.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

READ_AHEAD = 100_000
"""Members that are read at once: some 30 MB."""
WORTH_READING_AHEAD = 1_000
"""Who asks for fewer comes again later, or never."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """The members of a segment beyond a place, as far as they were read."""

    key: tuple[str, str, str | None] | None = None
    """Segment, salt, entity."""
    beyond: str = ""
    members: Sequence[tuple[str, str, str]] = ()
    is_all: bool = False
    """There are none behind them."""

    def after(
        self, key: tuple[str, str, str | None], place: str, limit: int
    ) -> list[tuple[str, str, str]] | None:
        """The next ones beyond a place; None where that is not known."""
        if key != self.key or place < self.beyond:
            return None
        start = bisect_right(self.members, place, key=lambda each: each[2])
        found = list(self.members[start : start + limit])
        return found if self.is_all or len(found) == limit else None
