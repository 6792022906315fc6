"""What a column of a mart holds, told from the SQL type of its contract."""

from __future__ import annotations

from enum import StrEnum


class ColumnKind(StrEnum):
    """What a column holds, whichever engine's name its type has."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    TIMESTAMP = "timestamp"
    TRUTH = "truth value"


_NUMBERS = (
    "bigint",
    "decimal",
    "double",
    "float",
    "int",
    "number",
    "numeric",
    "real",
    "smallint",
    "tinyint",
)
_BY_TYPE: tuple[tuple[tuple[str, ...], ColumnKind], ...] = (
    (("timestamp", "datetime"), ColumnKind.TIMESTAMP),
    (("date",), ColumnKind.DATE),
    (("bool",), ColumnKind.TRUTH),
    (_NUMBERS, ColumnKind.NUMBER),
    (("string", "varchar", "text", "char"), ColumnKind.TEXT),
)


def kind_of_type(data_type: str) -> ColumnKind | None:
    """What a column of an SQL type holds; None for lists and for types that are not known here."""
    written = data_type.lower()
    if written.startswith("interval") or written.endswith("]"):
        return None
    return next((kind for beginnings, kind in _BY_TYPE if written.startswith(beginnings)), None)
