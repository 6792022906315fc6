"""Does a text read as a value of this SQL type? As strict as a contract, so no looser than DuckDB.

An empty text is null and is not asked about. The forms are those of ISO 8601 for times and of SQL for
numbers; whatever a country writes otherwise (``12,50``, ``31.12.2026``) is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

Parses = Callable[[str], bool]

_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_FIXED = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?", re.ASCII
)
_TYPE = re.compile(r"(?P<name>[a-z][a-z ]*[a-z0-9]|[a-z])\s*(?:\((?P<size>\d+)(?:\s*,\s*(?P<scale>\d+))?\))?")

_BITS = {
    "tinyint": 8,
    "smallint": 16,
    "integer": 32,
    "int": 32,
    "bigint": 64,
    "hugeint": 128,
}
_BOOLEANS = frozenset({"true", "false", "t", "f", "1", "0"})
WHOLE_NUMBERS = frozenset(_BITS)
TEXTS = frozenset({"varchar", "text", "string", "char"})
FLOATS = frozenset({"double", "float", "real", "double precision"})
DECIMALS = frozenset({"decimal", "numeric"})
TIMES = frozenset({"timestamp", "timestamptz", "datetime", "timestamp with time zone"})

EXAMPLES = {
    "boolean": "true or false",
    "date": "2026-12-31",
    "timestamp": "2026-12-31 09:30:00",
    "decimal": "12.50",
    "double": "12.5",
    "integer": "12",
}


class UnknownType(ValueError):
    """A contract names a type that is not known here."""


def parser(data_type: str) -> Parses | None:
    """The test for a SQL type, case-insensitive; None for text, where everything reads.

    Raises:
        UnknownType: for a type that is not known here; a column is never silently unchecked.
    """
    name, size, scale = _split(data_type)
    if name in TEXTS:
        return None
    if name in _BITS:
        return _whole(_BITS[name])
    if name in DECIMALS:
        return _decimal(18 if size is None else size, 3 if size is None else scale or 0)
    simple: dict[str, Parses] = {
        "boolean": _boolean,
        "bool": _boolean,
        "date": _date,
        **dict.fromkeys(FLOATS, _float),
        **dict.fromkeys(TIMES, _timestamp),
    }
    if name not in simple:
        raise UnknownType(f"the type {data_type} is not one of the types of a source column")
    return simple[name]


def example(data_type: str) -> str:
    """How a value of the type is written."""
    name = _split(data_type)[0]
    if name in _BITS:
        name = "integer"
    for names, word in (
        (DECIMALS, "decimal"),
        (FLOATS, "double"),
        (TIMES, "timestamp"),
        ({"bool"}, "boolean"),
    ):
        name = word if name in names else name
    return EXAMPLES.get(name, "any text")


def _split(data_type: str) -> tuple[str, int | None, int | None]:
    match = _TYPE.fullmatch(data_type.strip().lower())
    if match is None:
        raise UnknownType(f"{data_type!r} is not a SQL type")
    size, scale = match["size"], match["scale"]
    return match["name"], int(size) if size else None, int(scale) if scale else None


def _whole(bits: int) -> Parses:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1

    def parses(text: str) -> bool:
        # 40 digits hold any 128-bit number; more is never converted.
        return _WHOLE.fullmatch(text) is not None and len(text) <= 40 and low <= int(text) <= high

    return parses


def _decimal(size: int, scale: int) -> Parses:
    """Digits behind the scale are rounded away by the engine; digits before it have no room."""

    def parses(text: str) -> bool:
        if _FIXED.fullmatch(text) is None:
            return False
        return len(text.lstrip("+-").partition(".")[0].lstrip("0")) <= size - scale

    return parses


def _float(text: str) -> bool:
    """Without ``nan`` and ``inf``: one of them makes every sum useless."""
    return _FLOAT.fullmatch(text) is not None


def _boolean(text: str) -> bool:
    return text.lower() in _BOOLEANS


def _date(text: str) -> bool:
    if _DATE.fullmatch(text) is None:
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _timestamp(text: str) -> bool:
    if _TIMESTAMP.fullmatch(text) is None:
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
