"""What is known of a person and what a condition says, side by side: a date is Python's on one side and a
text on the other."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any


def alike(value: object, wanted: object) -> tuple[Any, Any] | None:
    """Both in a form in which they can be compared, ``value`` first; None where they are of different kinds.

    A date goes with a text like 2026-11-23, an instant with a text that :func:`as_instant` reads, a number
    with a number, whatever holds it. True is no number.
    """
    if isinstance(value, Decimal):
        value = float(value)
    elif isinstance(value, datetime):
        value, wanted = _aware(value), as_instant(wanted)
    elif isinstance(value, date):
        wanted = as_day(wanted)
    return (value, wanted) if _kind(value) is _kind(wanted) else None


def as_instant(text: object) -> datetime | None:
    """ISO 8601 → an aware datetime; without a zone it is in UTC, and a day is its beginning there. None for
    anything else."""
    try:
        return _aware(datetime.fromisoformat(text)) if isinstance(text, str) else None
    except ValueError:
        return None


def as_day(text: object) -> date | None:
    """``2026-11-23`` → a date; None for anything else, an instant too: its day depends on where."""
    try:
        return date.fromisoformat(text) if isinstance(text, str) and len(text) == len("2026-11-23") else None
    except ValueError:
        return None


def _aware(instant: datetime) -> datetime:
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def _kind(value: object) -> type:
    if isinstance(value, bool):
        return bool
    return float if isinstance(value, int | float) else type(value)
