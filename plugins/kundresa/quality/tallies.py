"""Finding keys that occur twice across all partitions, in 8 bytes a row.

A set of keys would take about 100 bytes a row in Python. Here each key leaves its 64-bit hash, and the
hashes are sorted at the end. Two different keys may share a hash (once in about 4 million tables of 3
million rows), so what looks repeated is read again and compared whole.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VERIFIED = 10_000
"""Repeated hashes compared whole, at most. Beyond it a collision changes the count by nothing."""


class KeyTally:
    """The hashes of one key column. Hashes are of this process: they are never stored."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, keys: Iterable[Hashable]) -> None:
        """Count these keys."""
        self._hashes.extend(map(hash, keys))

    def sorted(self) -> NDArray[np.int64]:
        """All hashes, ascending."""
        import numpy as np

        return np.sort(np.frombuffer(self._hashes, dtype=np.int64))

    def repeated(self) -> Repeated:
        """Which hashes occur more than once."""
        import numpy as np

        hashes = self.sorted()
        again = hashes[1:][hashes[1:] == hashes[:-1]]
        return Repeated(frozenset(np.unique(again)[:VERIFIED].tolist()), len(again))


def distinct(hashes: NDArray[np.int64]) -> int:
    """How many different values a sorted array holds. (``np.unique`` hashes them again, at five times
    the time and memory.)"""
    return int((hashes[1:] != hashes[:-1]).sum()) + 1 if len(hashes) else 0


def absent(hashes: NDArray[np.int64], others: NDArray[np.int64]) -> int:
    """How many values of one sorted array are not in another sorted array."""
    import numpy as np

    if not len(others):
        return len(hashes)
    nearest = np.minimum(np.searchsorted(others, hashes), len(others) - 1)
    return int((others[nearest] != hashes).sum())


class Repeated:
    """Hashes that occurred twice, and the keys behind them once they have been read again."""

    def __init__(self, hashes: frozenset[int], surplus: int) -> None:
        self.hashes = hashes
        self._surplus = surplus
        self._found: Counter[Hashable] = Counter()

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def again(self, key: Hashable) -> int:
        """Show a key of the second reading; how often it has been seen, 0 when it is not one of these."""
        if hash(key) not in self.hashes:
            return 0
        self._found[key] += 1
        return self._found[key]

    @property
    def surplus_rows(self) -> int:
        """Rows beyond the first of their key. Exact up to ``VERIFIED`` repeated keys."""
        if len(self.hashes) >= VERIFIED:
            return self._surplus
        return sum(count - 1 for count in self._found.values())
