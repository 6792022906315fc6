"""How the conditions of a template turn out, as far as that is laid down; by which question each is told from
others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from jinja2 import nodes
from jinja2.defaults import DEFAULT_NAMESPACE

from kundresa.content.relevance import Mentions, mentions

_NEGATIVE: Mapping[str, str] = {"ne": "eq", "notin": "in", "gteq": "lt", "lteq": "gt"}
"""Of a column without a value an order is an error, so that one of the two holds."""
_ANY: frozenset[tuple[str, object]] = frozenset({("gt", 0), ("ne", 0), ("gteq", 1)})
"""Of a length: that there is something; of the negations, that there is nothing."""
_NOTHING: frozenset[tuple[str, object]] = frozenset({("lteq", 0), ("eq", 0), ("lt", 1)})
_PLAIN = ("eq", "in", "lt", "gt")
_LONGEST_KEY = 100
"""A longer key is told by a number."""
_VALUE = (nodes.Name, nodes.Getattr)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """What a name stands for: an expression, a body or a macro, with the names of where it was written; or
    nothing that is known (the tag that gives it)."""

    node: nodes.Node | Sequence[nodes.Node]
    names: Names
    is_known: bool = True
    is_item: bool = False
    """One that a loop goes through, of what the expression gives."""
    parameters: tuple[str, ...] = ()
    """Of the body of a ``{% call(…) %}``."""


Names = Mapping[str, Bound]
"""What each name stands for, and under ``ns.a`` each field of a namespace that was set."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a condition hangs on."""

    text: str
    about: frozenset[str] = field(compare=False)
    """The values of the person that it reads."""
    fact: Fact | None = field(default=None, compare=False)
    """What it asks about the one value that it reads, where that is plain."""


Fact = tuple[str, object]
"""``has``, ``none``, ``eq``, ``in``, ``lt`` or ``gt``, and what is written there."""


def may_be(answers: Mapping[Question, bool]) -> bool:
    """Whether it is sure that there may be somebody of whom questions are answered so: no two read the same,
    or what they ask about it is so plain that a value is found for them."""
    by_value: dict[str, list[Question]] = {}
    for question in answers:
        for each in question.about:
            by_value.setdefault(each, []).append(question)
    for questions in by_value.values():
        facts = [(each.fact, answers[each]) for each in questions if each.fact is not None]
        if len(questions) > 1 and (len(facts) < len(questions) or not _is_met(facts)):
            return False
    return True


def _is_met(facts: Sequence[tuple[Fact, bool]]) -> bool:
    written = [each for (_, what), _ in facts for each in (what if isinstance(what, list) else [what])]
    return any(all(_is(value, fact) is holds for fact, holds in facts) for value in _values(written))


def _values(written: Sequence[object]) -> Iterator[object]:
    """Values that those written in a template may be told from, of their own kind."""
    known = [each for each in written if each is not None]
    yield None
    if not known:
        yield from ("", "x")
    for each in known:
        match each:
            case bool():
                yield from (True, False)
            case int() | float():
                yield from (0, each - 1, each, each + 1)
            case str():
                yield from ("", each, f"{each}x")


def _is(value: object, fact: Fact) -> bool | None:
    """How a plain question turns out; None where it is an error."""
    asks, what = fact
    match asks:
        case "has":
            return bool(value)
        case "none":
            return value is None
        case "eq":
            return value == what
        case "in":
            return _found(value, what)
    if isinstance(value, int | float) and isinstance(what, int | float):
        return value < what if asks == "lt" else value > what
    return None


class Asked(Exception):
    """How a condition turns out is not laid down yet."""

    def __init__(self, question: Question, line: int, *, is_loop: bool = False) -> None:
        super().__init__(question)
        self.question = question
        self.line = line
        self.is_loop = is_loop


class TooMuch(Exception):
    """The walks take more steps than they are given."""


@dataclass(slots=True)
class Steps:
    """What is left of them, over all walks through one template."""

    left: int

    def take(self, number: int = 1) -> None:
        """
        Raises:
            TooMuch: when there is none left.
        """
        self.left -= number
        if self.left < 0:
            raise TooMuch


@dataclass(frozen=True, slots=True)
class Given:
    """What is the same on every way."""

    value: str
    always: frozenset[str]
    constants: Mapping[str, object]
    libraries: Mapping[str, nodes.Template]
    steps: Steps
    keys: dict[str, str] = field(default_factory=dict)
    """Of long keys, those that stand for them."""
    names: dict[int, tuple[nodes.Node, Mentions]] = field(default_factory=dict)
    """What stands in a node, by its id."""

    def mentions(self, node: nodes.Node) -> Mentions:
        """
        Raises:
            TooMuch: when no steps are left.
        """
        found = self.names.get(id(node))
        if found is None:
            found = self.names[id(node)] = node, mentions(node)
        self.steps.take(1 + len(found[1]))
        return found[1]


class Memo(Generic[_T]):
    """What was found of an expression, with the names of where it was written: a name that stands for an
    expression in which names stand for others is gone through once."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], tuple[object, object, _T]] = {}

    def get(self, node: object, names: Names, find: Callable[[], _T]) -> _T:
        key = (id(node), id(names))
        if key not in self._found:
            self._found[key] = (node, names, find())  # kept, so that no other gets its id
        return self._found[key][2]


class Conditions:
    """How they turn out on one way: as ``answers`` say, and what is asked beyond is raised."""

    def __init__(self, given: Given, answers: Mapping[Question, bool]) -> None:
        self._given = given
        self._answers = answers
        self.is_sure = True
        """Whether nothing was met that might print the value and is not followed."""
        self._keys: Memo[str] = Memo()
        self._paths: Memo[frozenset[str]] = Memo()
        self._held: Memo[bool] = Memo()
        self._constants: Memo[tuple[bool, object]] = Memo()

    def _prints(self, body: Sequence[nodes.Node], names: Names) -> bool:
        """Whether a body prints the value: then what it is set as is not empty."""
        raise NotImplementedError

    def _resolved(self, node: nodes.Node, names: Names) -> tuple[nodes.Node, Names]:
        """The expression that one stands for, and the names of where it is written."""
        while True:
            self._given.steps.take()
            found = self._stands_for(node, names)
            if found is None or found.is_item or not found.is_known or not isinstance(found.node, nodes.Expr):
                return node, names
            node, names = found.node, found.names

    def _stands_for(self, node: nodes.Node, names: Names) -> Bound | None:
        match node:
            case nodes.Name():
                return names.get(node.name)
            case nodes.Getattr():
                return self._field(node.node, node.attr, names)
            case nodes.Getitem(arg=nodes.Const(value=key)):
                return self._field(node.node, key, names)
        return None

    def _field(self, record: nodes.Node, key: object, names: Names) -> Bound | None:
        while isinstance(record, nodes.Name):
            if f"{record.name}.{key}" in names:
                return names[f"{record.name}.{key}"]
            bound = names.get(record.name)
            if bound is None or bound.is_item or not bound.is_known or not isinstance(bound.node, nodes.Expr):
                return None
            record, names = bound.node, bound.names
        record, names = self._resolved(record, names)
        match record:
            case nodes.Dict():
                found = [each.value for each in record.items if _is_const(each.key, key)]
            case nodes.Call(node=nodes.Name(name="namespace")):
                found = [each.value for each in record.kwargs if each.key == key]
            case nodes.List() | nodes.Tuple() if isinstance(key, int):
                found = record.items[key : key + 1] if key >= 0 else record.items[key:][:1]
            case _:
                found = []
        return Bound(found[-1], names) if found else None

    def _holds(self, node: nodes.Node, names: Names, line: int) -> bool:
        """How a condition turns out."""
        node, names = self._resolved(node, names)
        return self._held.get(node, names, lambda: self._found_to_hold(node, names, line))

    def _found_to_hold(self, node: nodes.Node, names: Names, line: int) -> bool:  # noqa: PLR0911  for each form
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
            case nodes.List() | nodes.Tuple() | nodes.Dict():
                return bool(node.items)
        bound = self._stands_for(node, names)
        if bound is not None and bound.is_known and not bound.is_item:
            return self._bound_holds(bound, line)
        return self._term_holds(node, names, line)

    def _term_holds(self, node: nodes.Node, names: Names, line: int) -> bool:  # noqa: PLR0911  one for each form
        match node:
            case nodes.Name() if node.name in self._given.always and node.name not in names:
                return True
            case nodes.Compare(ops=[operand]):
                return self._compared(node.expr, operand, names, line)
            case nodes.Test(name="none" | "undefined"):
                return self._is_none(node.node, names, line)
            case nodes.Test(name="defined"):
                return not self._is_none(node.node, names, line)
            case nodes.Filter(name="length" | "count", node=nodes.Node() as inner):
                return self._holds(inner, names, line)
            case nodes.Filter(
                name="default" | "d", node=nodes.Node() as inner, args=[nodes.Const(value=other)]
            ):
                if not other:
                    return self._holds(inner, names, line)
        fact = ("has", None) if isinstance(node, _VALUE) else None
        return self._ask(self._key(node, names), node, names, line, fact=fact)

    def _bound_holds(self, bound: Bound, line: int) -> bool:
        if isinstance(bound.node, nodes.Node):
            return True  # a macro, or what was imported
        if self._prints(bound.node, bound.names):
            return True
        self.is_sure = False  # what it prints beside the value is not looked at
        return self._answer(Question(f"body@{id(bound.node)}", frozenset()), line)

    def _compared(self, left: nodes.Node, operand: nodes.Operand, names: Names, line: int) -> bool:
        positive, right = _NEGATIVE.get(operand.op, operand.op), operand.expr
        first, second = self._constant(left, names), self._constant(right, names)
        if isinstance(left, nodes.Filter) and left.name in ("length", "count") and second[0]:
            counted = (operand.op, second[1] if isinstance(second[1], int) else None)
            if counted in _ANY or counted in _NOTHING:
                return self._holds(left, names, line) == (counted in _ANY)
        if first[0] and second[0] and positive in ("eq", "in"):
            holds = _found(first[1], second[1]) if positive == "in" else first[1] == second[1]
        elif positive == "eq" and (True, None) in (first, second):
            holds = self._is_none(left if second[0] else right, names, line)
        else:
            sides = [self._key(left, names), self._key(right, names)]
            key = f"{positive}({', '.join(sorted(sides) if positive == 'eq' else sides)})"
            fact = (positive, second[1] if second[0] else first[1])
            asked_of = left if second[0] else right
            is_plain = positive in _PLAIN and (second[0] or (first[0] and positive == "eq"))
            is_plain = is_plain and isinstance(self._resolved(asked_of, names)[0], _VALUE)
            both = nodes.Tuple([left, right], "load")
            holds = self._ask(key, both, names, line, fact=fact if is_plain else None)
        return holds if positive == operand.op else not holds

    def _is_none(self, node: nodes.Node, names: Names, line: int) -> bool:
        """Whether there is no value: an empty column is neither defined nor anything else."""
        node, names = self._resolved(node, names)
        known, constant = self._constant(node, names)
        if known:
            return constant is None
        if isinstance(node, nodes.Name):
            if node.name in self._given.always and node.name not in names:
                return False
            bound = names.get(node.name)
            if bound is not None and bound.is_known and not bound.is_item:
                return False
        fact = ("none", None) if isinstance(node, _VALUE) else None
        return self._ask(f"none {self._key(node, names)}", node, names, line, fact=fact)

    def _constant(self, node: nodes.Node, names: Names) -> tuple[bool, object]:
        """Whether what an expression gives is known beforehand, and it."""
        node, names = self._resolved(node, names)
        return self._constants.get(node, names, lambda: self._found_constant(node, names))

    def _found_constant(self, node: nodes.Node, names: Names) -> tuple[bool, object]:
        match node:
            case nodes.Const():
                return True, node.value
            case nodes.Name() if node.name not in names and node.name in self._given.constants:
                return True, self._given.constants[node.name]
            case nodes.Getattr(node=nodes.Name(name=record), attr=attr) if record not in names:
                name = f"{record}.{attr}"
                return name in self._given.constants, self._given.constants.get(name)
            case nodes.List() | nodes.Tuple():
                items = [self._constant(each, names) for each in node.items]
                return all(known for known, _ in items), [item for _, item in items]
        return False, None

    def _ask(self, key: str, node: nodes.Node, names: Names, line: int, *, fact: Fact | None = None) -> bool:
        about = self._about(node, names)
        if not about:
            self.is_sure = False  # how it turns out is written in the template, and not worked out here
        return self._answer(Question(key, about, fact if len(about) == 1 else None), line)

    def _answer(self, question: Question, line: int) -> bool:
        answer = self._answers.get(question)
        if answer is None:
            raise Asked(question, line)
        return answer

    def _about(self, node: nodes.Node, names: Names) -> frozenset[str]:
        """The values of the person that an expression reads; none of those of the template."""
        node, names = self._resolved(node, names)
        return self._paths.get(node, names, lambda: self._found_about(node, names))

    def _found_about(self, node: nodes.Node, names: Names) -> frozenset[str]:
        match node:
            case nodes.Name():
                bound = names.get(node.name)
                if bound is None:
                    return (
                        frozenset()
                        if node.name in {*DEFAULT_NAMESPACE, self._given.value}
                        else frozenset({node.name})
                    )
                if bound.is_item and isinstance(bound.node, nodes.Node):
                    return frozenset(f"{each}[]" for each in self._about(bound.node, bound.names))
                return frozenset()
            case nodes.Getattr(attr=key) | nodes.Getitem(arg=nodes.Const(value=key)):
                return frozenset(f"{each}.{key}" for each in self._about(node.node, names))
        parts = [self._about(each, names) for each in node.iter_child_nodes()]
        return frozenset().union(*parts)

    def _key(self, node: nodes.Node, names: Names) -> str:
        """An expression in words that are the same wherever the same is asked."""
        node, names = self._resolved(node, names)
        return self._keys.get(node, names, lambda: self._found_key(node, names))

    def _found_key(self, node: nodes.Node, names: Names) -> str:
        if isinstance(node, nodes.Name):
            bound = names.get(node.name)
            if bound is None:
                return str(node.name)
            if bound.is_item and isinstance(bound.node, nodes.Node):
                return f"{node.name} of {self._key(bound.node, bound.names)}"
            return f"{node.name}@{id(bound.node)}"
        parts = [self._part(value, names) for name, value in node.iter_fields(exclude=("ctx",))]
        key = f"{type(node).__name__}({', '.join(parts)})"
        if len(key) <= _LONGEST_KEY:
            return key
        return self._given.keys.setdefault(key, f"#{len(self._given.keys)}")

    def _part(self, value: Any, names: Names) -> str:
        if isinstance(value, nodes.Node):
            return self._key(value, names)
        if isinstance(value, list | tuple):
            return f"[{', '.join(self._part(each, names) for each in value)}]"
        return repr(value)


def _is_const(node: nodes.Node, value: object) -> bool:
    return isinstance(node, nodes.Const) and bool(node.value == value)


def _found(one: object, among: object) -> bool:
    return isinstance(among, list | tuple | str) and one in among
