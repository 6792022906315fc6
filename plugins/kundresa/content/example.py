"""A made-up person: for previews, proofs and seeds, where nobody's data has a place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

DAY = date(2026, 1, 15)
_KNOWN: Mapping[str, Any] = {
    "profile_id": "example",
    "first_name": "Alex",
    "last_name": "Example",
    "country": None,
    "time_zone": "UTC",
}
_BY_TYPE: tuple[tuple[tuple[str, ...], Any], ...] = (
    (("timestamp",), datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
    (("date",), DAY),
    (("bool",), True),
    (("int", "bigint", "smallint", "tinyint"), 3),
    (("double", "float", "real", "decimal", "numeric"), 123.45),
)


def example_profile(columns: Mapping[str, str], language: str) -> dict[str, Any]:
    """A value for every column, by its SQL type; always the same. A text is its column's name in words."""
    return {name: _value(name, data_type.lower(), language) for name, data_type in columns.items()}


def _value(name: str, data_type: str, language: str) -> Any:
    if name == "language":
        return language
    if name in _KNOWN:
        return _KNOWN[name]
    for beginnings, value in _BY_TYPE:
        if data_type.startswith(beginnings):
            return value
    return name.replace("_", " ")
