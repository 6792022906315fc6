"""Whether a helper is given a column that it can write: a date of a date, money of a number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jinja2 import nodes

from kundresa.content.expressions import column_of

_NUMBERS = (
    "int",
    "bigint",
    "smallint",
    "tinyint",
    "integer",
    "double",
    "float",
    "real",
    "decimal",
    "numeric",
)
_DATES = ("date", "timestamp")
TAKES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "date": ("a date or a timestamp", _DATES),
    "datetime": ("a timestamp", ("timestamp",)),
    "money": ("a number", _NUMBERS),
    "number": ("a number", _NUMBERS),
    "percent": ("a number", _NUMBERS),
    "plural": ("a number", _NUMBERS),
}
"""Filter → what it takes, in words and as the beginnings of SQL types."""


def filter_problems(tree: nodes.Template, types: Mapping[str, str]) -> Iterator[tuple[nodes.Node, str]]:
    """Filters on columns of another type, and those that lack what they cannot do without.

    Args:
        types: SQL type by column of ``profiles``; a column that is not in it is not judged.
    """
    for node in tree.find_all(nodes.Filter):
        yield from _lacking(node)
        column = _column(node.node)
        data_type = types.get(column, "").lower() if column else ""
        if not data_type or node.name not in TAKES:
            continue
        words, beginnings = TAKES[node.name]
        if not data_type.startswith(beginnings):
            yield node, f"{node.name} takes {words}; profile.{column} is a {data_type}"
        elif node.name == "date" and data_type.startswith("timestamp") and not _has(node, "zone"):
            yield node, f"profile.{column} is a timestamp: say whose date, date(zone=profile.time_zone)"


def _lacking(node: nodes.Filter) -> Iterator[tuple[nodes.Node, str]]:
    if node.name == "money" and not node.args and not _has(node, "currency"):
        yield node, "money needs its currency, for example money('EUR')"
    if node.name == "datetime" and not node.args and not _has(node, "zone"):
        yield node, "datetime needs a time zone, for example datetime(profile.time_zone)"
    if node.name == "plural" and not _has(node, "other") and node.dyn_kwargs is None:
        yield node, "plural needs other='…'"


def _has(node: nodes.Filter, name: str) -> bool:
    return any(each.key == name for each in node.kwargs) or node.dyn_kwargs is not None


def _column(node: nodes.Node | None) -> str | None:
    """``x`` of ``profile.x``, also behind ``| default(…)``."""
    while isinstance(node, nodes.Filter) and node.name in ("default", "d"):
        node = node.node
    return column_of(node)
