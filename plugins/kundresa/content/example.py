"""A made-up person and event: for previews, proofs, seeds and checks, where nobody's data has a place."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from kundresa.spec.events import Property, PropertyKind

DAY = date(2026, 1, 15)
LOGICAL_AT = datetime(2026, 1, 15, 9, tzinfo=UTC)
"""The logical date that their run would have."""
COUNTRY = "SE"
"""For checks, where previews leave it open: a template that prints it is not wrong."""
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
_BY_KIND: Mapping[PropertyKind, Any] = {
    PropertyKind.WHOLE: 3,
    PropertyKind.NUMBER: 123.45,
    PropertyKind.TRUTH: True,
    PropertyKind.INSTANT: "2026-01-15T10:30:00Z",
    PropertyKind.DAY: "2026-01-15",
}
_CURRENCY = "EUR"
_LINK = "https://shop.example/"
_LINKS = ("url", "link")


def example_profile(columns: Mapping[str, str], language: str) -> dict[str, Any]:
    """A value for every column, by its SQL type; always the same. A text is its column's name in words."""
    return {name: _value(name, data_type.lower(), language) for name, data_type in columns.items()}


def example_event(properties: Mapping[str, Property]) -> dict[str, Any]:
    """A value for every property, as an event's data holds it; always the same. A text is the first of those
    that there are, else its property's name in words; of a link or a currency it is one."""
    return {name: _of_property(name, each) for name, each in properties.items()}


def _of_property(name: str, declared: Property) -> Any:
    if declared.kind in _BY_KIND:
        return _BY_KIND[declared.kind]
    if declared.values:
        text = declared.values[0]
    elif "currency" in name:
        text = _CURRENCY
    else:
        text = _LINK if name.endswith(_LINKS) else name.replace("_", " ")
    text = text[: declared.max_length]
    return [text] if declared.kind is PropertyKind.TEXTS else text


def _value(name: str, data_type: str, language: str) -> Any:
    if name == "language":
        return language
    if name in _KNOWN:
        return _KNOWN[name]
    if data_type.endswith("[]"):
        return [_value(name, data_type.removesuffix("[]"), language)]
    for beginnings, value in _BY_TYPE:
        if data_type.startswith(beginnings):
            return value
    return name.replace("_", " ")
