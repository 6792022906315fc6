"""How the conditions of a template turn out, as far as that is laid down; by which question each is told from
others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import nodes

_NEGATIVE: Mapping[str, str] = {"ne": "eq", "notin": "in", "gteq": "lt", "lteq": "gt"}
"""Of a column without a value an order is an error, so that one of the two holds."""
_LOOP_ENDS = ("first", "last")


@dataclass(frozen=True, slots=True)
class Bound:
    """What a name stands for: an expression, a body or a macro, with the names of where it was written; or
    nothing that is known (the tag that gives it)."""

    node: nodes.Node | Sequence[nodes.Node]
    names: Names
    is_known: bool = True


Names = Mapping[str, Bound]


class Asked(Exception):
    """How a condition turns out is not laid down yet."""

    def __init__(self, question: str, line: int) -> None:
        super().__init__(question)
        self.question = question
        self.line = line


@dataclass(frozen=True, slots=True)
class Given:
    """What is the same on every way."""

    value: str
    always: frozenset[str]
    constants: Mapping[str, object]
    macros: Mapping[str, Mapping[str, nodes.Macro]]


class Conditions:
    """How they turn out on one way: as ``answers`` say, and what is asked beyond is raised."""

    def __init__(self, given: Given, answers: Mapping[str, bool]) -> None:
        self._given = given
        self._answers = answers

    def _prints(self, body: Sequence[nodes.Node], names: Names) -> bool:
        """Whether a body prints the value: then what it is set as is not empty."""
        raise NotImplementedError

    def _holds(self, node: nodes.Node, names: Names, line: int) -> bool:
        """How a condition turns out."""
        known, constant = self._constant(node, names)
        if known:
            return bool(constant)
        match node:
            case nodes.Not():
                return not self._holds(node.node, names, line)
            case nodes.And():
                return self._holds(node.left, names, line) and self._holds(node.right, names, line)
            case nodes.Or():
                return self._holds(node.left, names, line) or self._holds(node.right, names, line)
            case nodes.CondExpr():
                chosen = node.expr1 if self._holds(node.test, names, line) else node.expr2
                return chosen is not None and self._holds(chosen, names, line)
        return self._term_holds(node, names, line)

    def _term_holds(self, node: nodes.Node, names: Names, line: int) -> bool:  # noqa: PLR0911  one for each form
        match node:
            case nodes.Name() if node.name in self._given.always and node.name not in names:
                return True
            case nodes.Name() if node.name in names and names[node.name].is_known:
                return self._bound_holds(names[node.name], line)
            case nodes.Compare(ops=[operand]):
                return self._compared(node.expr, operand, names, line)
            case nodes.Test(name="none" | "undefined"):
                return self._is_none(node.node, names, line)
            case nodes.Test(name="defined"):
                return not self._is_none(node.node, names, line)
            case nodes.Getattr(node=nodes.Name(name="loop"), attr=attr) if attr in _LOOP_ENDS:
                return True  # of one round it is both
            case nodes.Filter(
                name="default" | "d", node=nodes.Node() as inner, args=[nodes.Const(value=other)]
            ):
                if not other:
                    return self._holds(inner, names, line)
        return self._ask(self._key(node, names), line)

    def _bound_holds(self, bound: Bound, line: int) -> bool:
        if isinstance(bound.node, nodes.Expr):
            return self._holds(bound.node, bound.names, line)
        if isinstance(bound.node, nodes.Node):
            return True  # a macro, or what was imported
        return self._prints(bound.node, bound.names) or self._ask(f"body@{id(bound.node)}", line)

    def _compared(self, left: nodes.Node, operand: nodes.Operand, names: Names, line: int) -> bool:
        positive, right = _NEGATIVE.get(operand.op, operand.op), operand.expr
        first, second = self._constant(left, names), self._constant(right, names)
        if first[0] and second[0] and positive in ("eq", "in"):
            holds = _found(first[1], second[1]) if positive == "in" else first[1] == second[1]
        elif positive == "eq" and (True, None) in (first, second):
            holds = self._is_none(left if second[0] else right, names, line)
        else:
            sides = [self._key(left, names), self._key(right, names)]
            holds = self._ask(f"{positive}({', '.join(sorted(sides) if positive == 'eq' else sides)})", line)
        return holds if positive == operand.op else not holds

    def _is_none(self, node: nodes.Node, names: Names, line: int) -> bool:
        """Whether there is no value: an empty column is neither defined nor anything else."""
        known, constant = self._constant(node, names)
        if known:
            return constant is None
        if isinstance(node, nodes.Name):
            if node.name in self._given.always and node.name not in names:
                return False
            bound = names.get(node.name)
            if bound is not None and bound.is_known:
                is_expression = isinstance(bound.node, nodes.Expr)
                return is_expression and self._is_none(bound.node, bound.names, line)  # type: ignore[arg-type]
        return self._ask(f"none {self._key(node, names)}", line)

    def _constant(self, node: nodes.Node, names: Names) -> tuple[bool, object]:
        """Whether what an expression gives is known beforehand, and it."""
        match node:
            case nodes.Const():
                return True, node.value
            case nodes.Name() if node.name in names:
                bound = names[node.name]
                if bound.is_known and isinstance(bound.node, nodes.Expr):
                    return self._constant(bound.node, bound.names)
            case nodes.Name() if node.name in self._given.constants:
                return True, self._given.constants[node.name]
            case nodes.Getattr(node=nodes.Name(name=record), attr=attr) if record not in names:
                name = f"{record}.{attr}"
                return name in self._given.constants, self._given.constants.get(name)
            case nodes.List() | nodes.Tuple():
                items = [self._constant(each, names) for each in node.items]
                return all(known for known, _ in items), [item for _, item in items]
        return False, None

    def _ask(self, question: str, line: int) -> bool:
        answer = self._answers.get(question)
        if answer is None:
            raise Asked(question, line)
        return answer

    def _key(self, node: nodes.Node, names: Names) -> str:
        """An expression in words that are the same wherever the same is asked."""
        if isinstance(node, nodes.Name):
            bound = names.get(node.name)
            if bound is None:
                return str(node.name)
            if bound.is_known and isinstance(bound.node, nodes.Expr):
                return self._key(bound.node, bound.names)
            return f"{node.name}@{id(bound.node)}"
        parts = [self._keys(value, names) for name, value in node.iter_fields(exclude=("ctx",))]
        return f"{type(node).__name__}({', '.join(parts)})"

    def _keys(self, value: Any, names: Names) -> str:
        if isinstance(value, nodes.Node):
            return self._key(value, names)
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._keys(each, names) for each in value)}]"
        return repr(value)


def _found(one: object, among: object) -> bool:
    return isinstance(among, list | tuple | str) and one in among
