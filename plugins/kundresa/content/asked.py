"""What a template asks about the person that it is written for, and what it compares the answer with.

It is asked by conditions, by loops, and by whatever is set, passed to a macro or joined by ``or``. What is
only printed asks nothing. Where a name stands between a field and what it is compared with (a macro's
parameter, what ``{% set %}`` has set), each literal that any name is compared with counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jinja2 import nodes

from kundresa.content.environment import GLOBALS

Literal = str | int | float

LINK = "unsubscribe_url"
_RECORDS = ("profile", "event")
_VARYING = ("logical_at", "message_id")
"""Names that stand for something else in another message."""
_SAME = frozenset({*GLOBALS, "campaign", "mirror_url", "preferences_url", "variant", LINK})
"""Names that stand for the same, whoever the person is; of a variant each is looked at by itself."""
_ASKING = (nodes.And, nodes.Or, nodes.Not, nodes.CondExpr, nodes.Compare, nodes.Test)


@dataclass(slots=True)
class Asked:
    """What is asked about one field. Without any of these: whether there is anything."""

    literals: dict[Literal, None] = field(default_factory=dict)
    """What it is compared with, in the order of the template."""
    words: set[str] = field(default_factory=set)
    """Attributes, and filters with a bar before them, between the two."""
    is_compared: bool = False
    is_passed: bool = False
    """It is compared by another name."""


def asked_by(trees: Iterable[nodes.Template]) -> dict[str, Asked]:
    """The fields that templates ask about (``profile.country``, ``event.total``, ``logical_at``), in their
    order."""
    reading = _Reading()
    for tree in trees:
        reading.body(tree, is_shown=True)
    return reading.found()


def field_of(node: nodes.Node) -> str | None:
    """The field that an expression is, if it is one."""
    if isinstance(node, nodes.Name):
        return node.name if node.name in _VARYING and node.ctx == "load" else None
    if isinstance(node, nodes.Getattr):
        key = node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        key = str(node.arg.value)
    else:
        return None
    base = node.node
    return f"{base.name}.{key}" if isinstance(base, nodes.Name) and base.name in _RECORDS else None


def fields_in(node: nodes.Node) -> Iterator[str]:
    """Every field that is read in a node."""
    return (found for each in (node, *node.find_all(nodes.Node)) if (found := field_of(each)) is not None)


class _Reading:
    def __init__(self) -> None:
        self._found: dict[str, Asked] = {}
        self._compared: dict[Literal, None] = {}
        """With names of the template's own."""
        self._set: dict[Literal, None] = {}
        self._words: set[str] = set()
        self._has_names_alone = False
        """Whether a name of the template's own is compared with what is no literal either."""

    def found(self) -> dict[str, Asked]:
        others = self._compared | self._set if self._has_names_alone else self._compared
        for each in self._found.values():
            if each.is_passed:
                each.literals |= others
                each.words |= self._words
        return self._found

    def body(self, node: nodes.Node, *, is_shown: bool) -> None:
        """
        Args:
            is_shown: what is printed in it goes to the message, and to nothing that asks.
        """
        for child in node.iter_child_nodes():
            if isinstance(child, nodes.Output):
                for each in child.nodes:
                    if not (is_shown and _is_plain(each)):
                        self._expression(each, passes=not is_shown)
            elif isinstance(child, nodes.Expr):
                self._expression(child, passes=child is not getattr(node, "test", None))
            else:
                kept = isinstance(child, nodes.Macro | nodes.AssignBlock | nodes.CallBlock)
                self.body(child, is_shown=is_shown and not kept)

    def _expression(self, node: nodes.Expr, *, passes: bool) -> None:
        match node:
            case nodes.And() | nodes.Or() | nodes.Concat() | nodes.List() | nodes.Tuple():
                for each in node.iter_child_nodes():
                    if isinstance(each, nodes.Expr):
                        self._expression(each, passes=passes)
            case nodes.CondExpr():
                self._expression(node.test, passes=False)
                for branch in (node.expr1, node.expr2):
                    if branch is not None:
                        self._expression(branch, passes=passes)
            case nodes.Not():
                self._expression(node.node, passes=False)
            case nodes.Compare() | nodes.Test():
                self._term(node, passes=False)
            case _:
                self._term(node, passes=passes)

    def _term(self, node: nodes.Expr, *, passes: bool) -> None:
        """What no ``and`` or ``or`` parts."""
        term = _Term(node)
        is_open = passes or bool(term.names)
        for name in term.fields:
            asked = self._found.setdefault(name, Asked())
            asked.literals |= term.literals
            asked.words |= term.words
            asked.is_compared |= is_open or not _asks_for_anything(node)
            asked.is_passed |= is_open
        if term.names:
            self._compared |= term.literals
            self._words |= term.words
            self._has_names_alone |= isinstance(node, nodes.Compare) and not term.literals
        elif passes:
            self._set |= term.literals


class _Term:
    """What stands in one term of an expression."""

    def __init__(self, node: nodes.Node) -> None:
        self.fields: dict[str, None] = {}
        self.names: set[str] = set()
        """Of the template's own."""
        self.literals: dict[Literal, None] = {}
        self.words: set[str] = set()
        self._read(node)

    def _read(self, node: nodes.Node) -> None:
        found = field_of(node)
        if found is not None:
            self.fields[found] = None
            return
        match node:
            case nodes.Neg(node=nodes.Const(value=int() | float() as number)):
                self.literals[-number] = None
                return
            case nodes.Const(value=str() | int() | float() as value) if not isinstance(value, bool):
                self.literals[value] = None
            case nodes.Name(ctx="load") if node.name not in (*_SAME, *_RECORDS):
                self.names.add(node.name)
            case nodes.Getattr():
                self.words.add(node.attr)
            case nodes.Filter():
                self.words.add(f"|{node.name}")
        for child in node.iter_child_nodes():
            self._read(child)


def _is_plain(node: nodes.Expr) -> bool:
    """Whether an expression prints what it reads, and has nothing else to print in its place."""
    found = (node, *node.find_all(nodes.Node))
    if any(isinstance(each, _ASKING) for each in found):
        return False
    others = {each.name for each in found if isinstance(each, nodes.Name)} - {*_RECORDS, *_VARYING}
    return others <= _SAME - {LINK} or next(fields_in(node), None) is None


def _asks_for_anything(node: nodes.Expr) -> bool:
    """Whether a term is the field itself, or whether there is one."""
    if isinstance(node, nodes.Test) and node.name in ("defined", "none", "undefined"):
        return field_of(node.node) is not None
    return field_of(node) is not None
