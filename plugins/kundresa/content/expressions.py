"""Whether a template does with a column what its type allows: found in the syntax, without a person.

What an expression gives is told from the types of the contract, from constants and from what operators and
filters make of them. Where it cannot be told for sure, nothing is said: a message here is never a guess.
Whether a column is empty for somebody is not asked; ``default`` and conditions are for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from jinja2 import nodes

from kundresa.spec.column_kinds import ColumnKind as Kind
from kundresa.spec.column_kinds import kind_of_type

_EXAMPLES: Mapping[Kind, tuple[Any, ...]] = {
    Kind.TEXT: ("",),
    Kind.NUMBER: (0, 0.0, Decimal(0)),
    Kind.DATE: (date(2026, 1, 15),),
    Kind.TIMESTAMP: (datetime(2026, 1, 15, tzinfo=UTC),),
    Kind.TRUTH: (True,),
}
"""What has the attributes of the kind."""
_GIVES: Mapping[str, Kind] = {
    **dict.fromkeys(
        ("upper", "lower", "title", "capitalize", "trim", "replace", "truncate", "string", "join"), Kind.TEXT
    ),
    **dict.fromkeys(("date", "datetime", "listed", "money", "number", "percent", "plural"), Kind.TEXT),
    **dict.fromkeys(("abs", "count", "float", "int", "length", "round", "wordcount"), Kind.NUMBER),
}
"""Filter → what comes out of it, whatever went in."""
_TEXT_FILTERS = frozenset({"truncate"})
"""Those that fail on anything else; ``upper``, ``trim`` and the like write a number as it is."""
_NUMBER_FILTERS = frozenset({"abs", "round"})
_SEVERAL = frozenset(
    {"count", "first", "join", "last", "length", "listed", "max", "min", "sort", "sum", "unique"}
)
"""Filters of what has elements: a list, and most of them of a text's letters too."""
_ARITHMETIC: Mapping[type[nodes.BinExpr], str] = {
    nodes.Add: "+",
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
_ORDER: Mapping[str, str] = {"lt": "<", "lteq": "<=", "gt": ">", "gteq": ">="}
_EQUALITY: Mapping[str, str] = {"eq": "==", "ne": "!="}
_TIMES = (Kind.DATE, Kind.TIMESTAMP)


class ExpressionProblem(NamedTuple):
    """What cannot be done, at its place; what can be and is hardly meant is advice."""

    node: nodes.Node
    message: str
    is_advisory: bool = False


def expression_problems(tree: nodes.Template, types: Mapping[str, str]) -> Iterator[ExpressionProblem]:
    """What cannot be done with a column, and as advice what would never hold, each at its place.

    Args:
        types: SQL type by column of ``profiles``; a column that is not in it is not judged.
    """
    told = _Told(types)
    for operation in tree.find_all(nodes.BinExpr):
        yield from told.arithmetic(operation)
    for sign in (*tree.find_all(nodes.Neg), *tree.find_all(nodes.Pos)):
        if told.kind(sign.node) not in (None, Kind.NUMBER, Kind.TRUTH):
            yield ExpressionProblem(sign, f"{sign.operator} takes a number; {told.words(sign.node)}")
    for comparison in tree.find_all(nodes.Compare):
        yield from told.comparison(comparison)
    for look_up in tree.find_all(nodes.Getattr):
        yield from told.attribute(look_up)
    parts: list[tuple[nodes.Node, nodes.Node, str]] = [
        *((each, each.node, "[…] takes a list or a text") for each in tree.find_all(nodes.Getitem)),
        *((each, each.iter, "for goes through a list") for each in tree.find_all(nodes.For)),
    ]
    for node, whole, wanted in parts:
        if told.kind(whole) not in (None, Kind.TEXT):
            yield ExpressionProblem(node, f"{wanted}; {told.words(whole)}")
    for each in tree.find_all(nodes.Filter):
        yield from told.filtered(each)


def kind_of(node: nodes.Node | None, types: Mapping[str, str]) -> Kind | None:
    """What an expression gives; None where that cannot be told."""
    return _Told(types).kind(node)


class _Told:
    def __init__(self, types: Mapping[str, str]) -> None:
        self._types = types

    def kind(self, node: nodes.Node | None) -> Kind | None:  # noqa: PLR0911  one for each form
        """What an expression gives; None where that cannot be told."""
        column = column_of(node)
        if column is not None:
            return kind_of_type(self._types.get(column, ""))
        match node:
            case nodes.Const():
                return _kind_of_value(node.value)
            case nodes.TemplateData() | nodes.Concat():
                return Kind.TEXT
            case nodes.Compare() | nodes.Not() | nodes.Test():
                return Kind.TRUTH
            case nodes.CondExpr():
                return self._both(node.expr1, node.expr2)
            case nodes.And() | nodes.Or():
                return self._both(node.left, node.right)
            case nodes.Filter():
                return self._filtered(node)
            case nodes.BinExpr():
                return self._calculated(node)
        return None

    def words(self, node: nodes.Node | None) -> str:
        """``profile.x is a bigint``, or what else stands there."""
        column = column_of(node)
        if column is not None:
            return f"profile.{column} is a {self._types[column].lower()}"
        if isinstance(node, nodes.Const):
            return f"{node.value!r} is a {self.kind(node)}"
        return f"what it is given is a {self.kind(node)}"

    def arithmetic(self, node: nodes.BinExpr) -> Iterator[ExpressionProblem]:
        sign = _ARITHMETIC.get(type(node))
        if sign is None or self._may_be(sign, node):
            return
        kinds = {self.kind(node.left), self.kind(node.right)}
        if sign == "-" and kinds == set(_TIMES):
            told = f"{self.words(node.left)}, {self.words(node.right)}"
            yield ExpressionProblem(node, f"- between a date and a timestamp: {told}")
            return
        for side in (node.left, node.right):
            if self.kind(side) not in (None, Kind.NUMBER, Kind.TRUTH):
                hint = "; join texts with ~" if sign == "+" and Kind.TEXT in kinds else ""
                yield ExpressionProblem(node, f"{sign} takes numbers; {self.words(side)}{hint}")
                return

    def _may_be(self, sign: str, node: nodes.BinExpr) -> bool:
        """What is done with others than numbers."""
        left, right = self.kind(node.left), self.kind(node.right)
        is_of_times = left in _TIMES or right in _TIMES
        if sign == "+" and Kind.TEXT in (left, right):
            return {left, right} <= {Kind.TEXT, None}  # what is not known may be a text
        if sign in ("+", "-") and is_of_times:
            return None in (left, right) or (sign == "-" and left is right)  # it may be a time span
        if sign == "*":  # a line of dashes
            return any(
                isinstance(each, nodes.Const) and self.kind(each) is Kind.TEXT
                for each in node.iter_child_nodes()
            )
        # Of texts the sandbox says what to write in its place.
        return sign == "%" and left is Kind.TEXT

    def comparison(self, node: nodes.Compare) -> Iterator[ExpressionProblem]:
        left = node.expr
        for operand in node.ops:
            right = operand.expr
            kinds = (self.kind(left), self.kind(right))
            if operand.op in ("in", "notin"):
                if kinds[1] not in (None, Kind.TEXT):
                    yield ExpressionProblem(node, f"in takes a list or a text; {self.words(right)}")
                elif kinds[1] is Kind.TEXT and kinds[0] not in (None, Kind.TEXT):
                    yield ExpressionProblem(node, f"in a text there are texts; {self.words(left)}")
            elif None not in kinds and Kind.TRUTH not in kinds and kinds[0] is not kinds[1]:
                is_equality = operand.op in _EQUALITY  # which writes something all the same
                if is_equality:
                    how = f"{_EQUALITY[operand.op]} never finds equal"
                else:
                    how = f"{_ORDER[operand.op]} cannot compare"
                told = f"{how}: {self.words(left)}, {self.words(right)}"
                yield ExpressionProblem(node, told, is_advisory=is_equality)
            left = right

    def attribute(self, node: nodes.Getattr) -> Iterator[ExpressionProblem]:
        kind = self.kind(node.node)
        if kind is not None and not any(hasattr(each, node.attr) for each in _EXAMPLES[kind]):
            yield ExpressionProblem(node, f"there is no .{node.attr}: {self.words(node.node)}")

    def filtered(self, node: nodes.Filter) -> Iterator[ExpressionProblem]:
        kind = self.kind(node.node)
        if kind is None:
            return
        if node.name in _TEXT_FILTERS and kind is not Kind.TEXT:
            yield ExpressionProblem(node, f"{node.name} takes a text; {self.words(node.node)}")
        elif node.name in _NUMBER_FILTERS and kind not in (Kind.NUMBER, Kind.TRUTH):
            yield ExpressionProblem(node, f"{node.name} takes a number; {self.words(node.node)}")
        elif node.name in _SEVERAL and kind is not Kind.TEXT:
            yield ExpressionProblem(node, f"{node.name} takes a list; {self.words(node.node)}")

    def _both(self, first: nodes.Node | None, second: nodes.Node | None) -> Kind | None:
        kind = self.kind(first)
        return kind if kind is self.kind(second) else None

    def _filtered(self, node: nodes.Filter) -> Kind | None:
        if node.name in ("default", "d"):
            other = node.args[0] if node.args else nodes.Const("")
            return self._both(node.node, other)
        return _GIVES.get(node.name)

    def _calculated(self, node: nodes.BinExpr) -> Kind | None:
        kind = self._both(node.left, node.right)
        if kind is Kind.NUMBER and type(node) in _ARITHMETIC:
            return Kind.NUMBER
        return Kind.TEXT if kind is Kind.TEXT and isinstance(node, nodes.Add) else None


def column_of(node: nodes.Node | None) -> str | None:
    """``x`` of ``profile.x`` and ``profile['x']``."""
    if isinstance(node, nodes.Getattr):
        name, base = node.attr, node.node
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        name, base = str(node.arg.value), node.node
    else:
        return None
    return name if isinstance(base, nodes.Name) and base.name == "profile" else None


def _kind_of_value(value: object) -> Kind | None:
    if isinstance(value, bool):
        return Kind.TRUTH
    if isinstance(value, int | float):
        return Kind.NUMBER
    return Kind.TEXT if isinstance(value, str) else None
