"""Python's collector of cycles, called less often while messages are written."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

ALLOCATIONS = 20_000
"""Of containers, more than are freed, until it looks through the young ones; Python's default is 700. A
window of 500 messages holds some ten thousand, and none of them is in a cycle: by default they were looked
through time and again, for a twelfth of a worker's processor time. What waits is a few megabytes at most."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Within, for the whole process; a higher threshold that somebody has set stays."""
    before = gc.get_threshold()
    if 0 < before[0] < ALLOCATIONS:
        gc.set_threshold(ALLOCATIONS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
