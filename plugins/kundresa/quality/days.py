"""What the times of a source table say about it: days that are missing, rows that are from the future.

A load that skipped a day leaves a table that is sound row by row; who bought on that day would be written
to as lapsed. A day counts as missing when it has fewer than a twentieth of the rows that its weekday had
before, so that Sundays of a shop that is closed on Sundays are no fault, and days of tables that have few
rows anyway (complaints) are not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from statistics import median

from kundresa.quality.report import SAMPLES, Severity

JUDGED_DAYS = 28
"""How far back a missing day is looked for. An older gap is known, or nobody will fill it any more."""
WEEKS_BEFORE = 4
"""The usual rows of a day are the median of its weekday over so many weeks before; two must be there."""
USUAL_ROWS = 20
"""Below it no day is judged. Where 20 rows are usual, a day has none by chance once in a million years."""
SMALLEST_SHARE = 0.05
"""Of the usual rows. A bank holiday rarely goes below a tenth; a load that broke off does."""
READ_ROWS = 100_000
"""Rows of a Parquet column in memory at once."""

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SourceTime:
    """The column that says when a row happened, and what a missing day means.

    ``missing_day`` is None for a table without events, where a day without rows says nothing.
    ``closed_days`` are days that may be without rows.
    """

    column: str
    missing_day: Severity | None = None
    closed_days: frozenset[date] = frozenset()


@dataclass(slots=True)
class DayTally:
    """Rows by day, and rows later than ``now`` (aware). A value that is no time is another check's subject.

    Days are UTC near now; further back they are the days as written, which an offset may shift by one.
    """

    now: datetime
    rows: int = 0
    future_rows: int = 0
    future_lines: list[int] = field(default_factory=list)
    days: Counter[date] = field(default_factory=Counter)

    def add(self, values: Sequence[str], lines: Sequence[int]) -> None:
        """One block of a CSV column, with the line of each value. Only times near now are parsed whole."""
        self.rows += len(values)
        near = set()
        for text, count in Counter(value[:10] for value in values).items():
            day = _day(text)
            if day is None:
                continue
            if day < self.now.date() - _DAY:
                self.days[day] += count
            else:
                near.add(text)
        if near:
            self._add_near(near, values, lines)

    def _add_near(self, near: set[str], values: Sequence[str], lines: Sequence[int]) -> None:
        for value, line in zip(values, lines, strict=True):
            instant = _instant(value) if value[:10] in near else None
            if instant is None:
                continue
            if instant <= self.now:
                self.days[instant.date()] += 1
                continue
            self.future_rows += 1
            if len(self.future_lines) < SAMPLES:
                self.future_lines.append(line)

    def add_parquet(self, path: Path, column: str) -> None:
        """A whole column of a Parquet file.

        Raises:
            OSError: when the file cannot be read; pyarrow's errors are OSErrors and ValueErrors.
            ValueError: the same, or when the column holds no times.
        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        now = pa.scalar(self.now.astimezone(UTC).replace(tzinfo=None), pa.timestamp("us"))
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(READ_ROWS, columns=[column]):
                instants = pc.cast(batch.column(0), pa.timestamp("us"), safe=False)
                self.rows += len(instants)
                is_future = pc.greater(instants, now)
                self.future_rows += pc.sum(is_future).as_py() or 0
                past = pc.cast(instants.filter(pc.invert(is_future)), pa.date32(), safe=False)
                for found in pc.value_counts(past.drop_null()).to_pylist():
                    self.days[found["values"]] += found["counts"]


@dataclass(frozen=True, slots=True)
class MissingDay:
    """A day with ``rows`` rows where ``usual`` are usual."""

    day: date
    rows: int
    usual: int

    def __str__(self) -> str:
        return f"{self.day} ({self.rows:,} rows, usually {self.usual:,})"


def last_whole_day(tallies: Iterable[DayTally], now: datetime) -> date | None:
    """The day up to which tables are judged: yesterday, or the newest day of any of them when all of them
    are older (then they are stale, which is for a segment's freshness to say). None without any row."""
    newest = max((max(tally.days) for tally in tallies if tally.days), default=None)
    return None if newest is None else min(newest, now.date() - _DAY)


def missing_days(tally: DayTally, last: date, closed: frozenset[date]) -> list[MissingDay]:
    """The missing days of one table among the ``JUDGED_DAYS`` up to ``last``, in order."""
    first = min(tally.days, default=last)
    found = []
    for back in range(JUDGED_DAYS - 1, -1, -1):
        day = last - back * _DAY
        weeks = [day - 7 * week * _DAY for week in range(1, WEEKS_BEFORE + 1)]
        before = [tally.days[each] for each in weeks if each >= first]
        if len(before) < 2 or day in closed:  # one week alone may be the odd one
            continue
        usual = median(before)
        if usual >= USUAL_ROWS and tally.days[day] < SMALLEST_SHARE * usual:
            found.append(MissingDay(day, tally.days[day], round(usual)))
    return found


@lru_cache(maxsize=100_000)
def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
